//! Debian's OpenSBI as the firmware (`--firmware`), in each of its shapes: a small kernel of ours, and
//! Debian's own, boot through it, are recorded, and replay to the bit.
//!
//! Where the package or Debian's kernel is missing, the tests say so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::path::PathBuf;

use common::kernel::{LEGACY_PUTCHAR, SRST, call, image};
use common::linux::tiny;
use common::{lockstep, said, skipped};

/// Where Debian's package `opensbi` puts its firmware; `LOCKSTEP_OPENSBI` names another directory.
const DEBIANS: &str = "/usr/lib/riscv64-linux-gnu/opensbi/generic";
const SHAPES: [&str; 4] = ["fw_dynamic.bin", "fw_dynamic.elf", "fw_jump.bin", "fw_jump.elf"];

fn firmware() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("LOCKSTEP_OPENSBI").unwrap_or_else(|| DEBIANS.into()));
    if !dir.join(SHAPES[0]).exists() {
        skipped("OpenSBI was not booted: the package opensbi is not installed (apt-get install opensbi)");
        return None;
    }
    Some(dir)
}

/// A kernel that speaks through the firmware's console and has it power the machine off.
fn small_kernel() -> Vec<u8> {
    let said = b"in S-mode\n".iter().flat_map(|&byte| call(LEGACY_PUTCHAR, 0, byte.into(), 0));
    image(&said.chain(call(SRST, 0, 0, 0)).collect::<Vec<u32>>())
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
    let Some([kernel, initrd, cmdline]) = tiny("Debian's kernel was not booted under OpenSBI") else {
        return;
    };
    let append = format!("{} lockstep.poweroff", cmdline);
    let firmware = opensbi.join("fw_dynamic.bin");
    let firmware = firmware.to_str().expect("a path");
    let arguments = ["--kernel", &kernel, "--initrd", &initrd, "--append", &append, "--firmware", firmware];
    boots_and_replays(&arguments, &["OpenSBI v", "lockstep: ready", "reboot: Power down"]);
}
