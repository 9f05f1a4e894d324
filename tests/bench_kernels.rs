//! The kernels of `lockstep bench --engines` compute what they should: under both engines, and on QEMU.
//!
//! QEMU's part is left out, with a word on stderr, where `qemu-system-riscv64` is missing.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ELF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest-programs/bench/bench.elf");
const MARKER: &[u8] = b"lockstep bench:\0";

/// The checksums after one round; the same C built for x86-64 gives them, too.
const ONE_ROUND: [(&str, &str); 13] = [
    ("empty", "0000000000000001"),
    ("integers", "07dd975237194271"),
    ("sieve", "58477009aa01619e"),
    ("sha256", "f5b0f6c50b874527"),
    ("quicksort", "0521033a37e6e8ce"),
    ("strings", "4c6fd3327abf8a32"),
    ("table-1m", "000000025a79b322"),
    ("table-28m", "0000000134ed8e70"),
    ("switch", "0f34b64905f9f148"),
    ("recursion", "000ac70000125026"),
    ("matrix", "8090f5386900c36a"),
    ("matrix-fma", "8090f53bcf00c36a"),
    ("nbody", "9a87f59614557f5d"),
];

/// All kernels in both modes, one round each.
fn one_round(dir: &Path) -> std::path::PathBuf {
    let mut elf = std::fs::read(ELF).expect("the committed file is there");
    let marker = elf.windows(MARKER.len()).position(|bytes| bytes == MARKER);
    // After it: the kernel, the mode, what divides the rounds.
    let at = marker.expect("the file has a marker") + MARKER.len() + 8;
    elf[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let path = dir.join("one-round.elf");
    std::fs::write(&path, elf).expect("a file can be written");
    path
}

fn assert_one_round(who: &str, run: &Output) {
    let said = String::from_utf8_lossy(&run.stdout).replace('\r', "");
    let mut expected = String::new();
    for mode in ["bare", "sv39"] {
        for (name, checksum) in ONE_ROUND {
            expected += &format!("bench: {name} {mode} {checksum}\n");
        }
    }
    assert_eq!(said, expected, "{who}: {}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{who}: {}", run.status);
}

fn lockstep(engine: &str, elf: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(["--engine", engine, "run"]).arg(elf).stdin(Stdio::null());
    command.output().expect("lockstep starts")
}

#[test]
fn one_round_has_its_checksums_under_both_engines_and_on_qemu() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let elf = one_round(dir.path());
    for engine in ["translator", "interpreter"] {
        assert_one_round(engine, &lockstep(engine, &elf));
    }
    let mut qemu = Command::new("qemu-system-riscv64");
    qemu.args(["-M", "virt", "-bios", "none", "-display", "none", "-monitor", "none", "-serial", "stdio"]);
    match qemu.arg("-kernel").arg(&elf).stdin(Stdio::null()).output() {
        Ok(run) => assert_one_round("QEMU", &run),
        Err(why) => {
            writeln!(std::io::stderr(), "SKIPPED: qemu-system-riscv64: {why}").expect("stderr is open")
        }
    }
}

/// The guest knows the checksums of all rounds and ends with 1 if one is wrong.
#[test]
fn all_rounds_have_their_checksums_under_the_translator() {
    let run = lockstep("translator", Path::new(ELF));
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}: {said}", run.status);
    assert_eq!(said.lines().count(), 2 * ONE_ROUND.len(), "{said}");
    for (name, _) in ONE_ROUND {
        assert!(said.contains(&format!("bench: {name} sv39 ")), "{name}: {said}");
    }
}
