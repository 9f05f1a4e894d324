//! Debian's OpenSBI as the firmware (`--firmware`), in each of its shapes: a small kernel of ours, and
//! Debian's own, boot through it, are recorded, and replay to the bit.
//!
//! Where the package or Debian's kernel is missing, the tests say so loudly.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where Debian's package `opensbi` puts its firmware; `LOCKSTEP_OPENSBI` names another directory.
const DEBIANS: &str = "/usr/lib/riscv64-linux-gnu/opensbi/generic";
const SHAPES: [&str; 4] = ["fw_dynamic.bin", "fw_dynamic.elf", "fw_jump.bin", "fw_jump.elf"];
const NO_PACKAGES: i32 = 3;

fn skipped(why: &str) {
    // Not eprintln: the test harness would keep that to itself.
    writeln!(std::io::stderr(), "SKIPPED: OpenSBI was not booted: {why}").expect("stderr is open");
}

fn firmware() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("LOCKSTEP_OPENSBI").unwrap_or_else(|| DEBIANS.into()));
    if !dir.join(SHAPES[0]).exists() {
        skipped("the package opensbi is not installed (apt-get install opensbi)");
        return None;
    }
    Some(dir)
}

fn lockstep(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockstep")).args(arguments).output().expect("lockstep runs")
}

fn said(run: &Output) -> String {
    let [out, err] = [&run.stdout, &run.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n{out}{err}", run.status)
}

/// `value` below 2^31 into register `rd`.
fn li(rd: u32, value: u32) -> [u32; 2] {
    let low = (value << 20) as i32 >> 20;
    let high = value.wrapping_sub(low as u32) >> 12;
    [high << 12 | rd << 7 | 0x37, (low as u32) << 20 | rd << 15 | rd << 7 | 0x13]
}

fn call(extension: u32, function: u32, argument: u32) -> Vec<u32> {
    let set = [(10, argument), (11, 0), (16, function), (17, extension)];
    set.iter().flat_map(|&(rd, value)| li(rd, value)).chain([0x73]).collect()
}

/// A kernel that speaks through the firmware's console and has it power the machine off.
fn small_kernel() -> Vec<u8> {
    const LEGACY_PUTCHAR: u32 = 1;
    const SRST: u32 = 0x5352_5354;
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(&0x0400_006fu32.to_le_bytes());
    bytes[0x08..0x10].copy_from_slice(&(2u64 << 20).to_le_bytes());
    bytes[0x10..0x18].copy_from_slice(&(1u64 << 20).to_le_bytes());
    bytes[0x30..0x38].copy_from_slice(b"RISCV\0\0\0");
    bytes[0x38..0x3c].copy_from_slice(b"RSC\x05");
    let said = b"in S-mode\n".iter().flat_map(|&byte| call(LEGACY_PUTCHAR, 0, byte.into()));
    let code = said.chain(call(SRST, 0, 0));
    bytes.extend(code.flat_map(u32::to_le_bytes));
    bytes
}

/// Runs, recorded; replays; both must say the same and end well.
fn boots_and_replays(arguments: &[&str], words: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let log = log.to_str().expect("a path");
    let mut all = vec!["run", "--record", log, "--max-instructions", "5000000000"];
    all.extend(arguments);
    let run = lockstep(&all);
    assert_eq!(run.status.code(), Some(0), "{arguments:?}: {}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout).into_owned();
    for word in words {
        assert!(console.contains(word), "{arguments:?}: no {word:?} in {}", said(&run));
    }
    let again = lockstep(&["replay", log]);
    assert_eq!(again.status.code(), Some(0), "{arguments:?}: {}", said(&again));
    assert_eq!(again.stdout, run.stdout, "{arguments:?}: the console says the same");
}

#[test]
fn each_shape_of_opensbi_starts_a_kernel_in_s_mode() {
    let Some(opensbi) = firmware() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let image = dir.path().join("Image");
    std::fs::write(&image, small_kernel()).expect("written");
    let image = image.to_str().expect("a path");
    for shape in SHAPES {
        let firmware = opensbi.join(shape);
        let arguments = ["--kernel", image, "--firmware", firmware.to_str().expect("a path")];
        boots_and_replays(&arguments, &["OpenSBI v", "lockstep,virt", "S-mode", "\nin S-mode"]);
    }
}

#[test]
fn debians_kernel_boots_under_debians_opensbi() {
    let Some(opensbi) = firmware() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/linux/build");
    let made = Command::new(script).args(["--tiny-only", "--json"]).output().expect("the script runs");
    if made.status.code() == Some(NO_PACKAGES) {
        skipped("Debian's kernel is out of reach");
        return;
    }
    assert!(made.status.success(), "{}", said(&made));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("--json prints one object");
    let [kernel, initrd] = ["kernel", "initrd"].map(|what| made[what].as_str().expect("a path").to_owned());
    let cmdline = std::fs::read_to_string(Path::new(&kernel).with_file_name("cmdline")).expect("a cmdline");
    let append = format!("{} lockstep.poweroff", cmdline.trim());
    let firmware = opensbi.join("fw_dynamic.bin");
    let firmware = firmware.to_str().expect("a path");
    let arguments = ["--kernel", &kernel, "--initrd", &initrd, "--append", &append, "--firmware", firmware];
    boots_and_replays(&arguments, &["OpenSBI v", "lockstep: ready", "reboot: Power down"]);
}
