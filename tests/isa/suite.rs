//! The test programs of `guest-programs/isa`: each checks itself, and says a line with the number of
//! its cases and a signature over every value that it looked at.
//!
//! Programs named `ours-*` show what is this machine's own decision; all others must say the same line
//! on QEMU.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::lockstep;
use crate::machines::{qemu, qemu_is_here};

/// The fewest programs that there are: a glob that finds nothing must not pass.
const PROGRAMS_MIN: usize = 38;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/isa")
}

/// The programs' names, from their sources.
fn programs() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "S"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= PROGRAMS_MIN, "{names:?}");
    names
}

fn elf(name: &str) -> String {
    let path = folder().join(format!("{name}.elf"));
    assert!(path.exists(), "{} is not built: guest-programs/build", path.display());
    path.to_str().unwrap().to_owned()
}

/// The line that a program has said, and nothing else.
fn verdict(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

#[test]
fn every_program_passes_here_and_replays_to_the_same_digests() {
    let mut cases = 0;
    for name in programs() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let log = log.to_str().unwrap();
        let limit = ["--memory", "4M", "--max-instructions", "10000000"];
        let run = lockstep(&[&["run", &elf(&name), "--record", log], &limit[..]].concat());
        let said = verdict(&run);
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(said.starts_with("PASS cases ") && run.status.success(), "{name}: {said}{stderr}");
        cases += u64::from_str_radix(&said[11..27], 16).unwrap();

        let replay = lockstep(&["replay", log]);
        let stderr = String::from_utf8_lossy(&replay.stderr);
        assert!(replay.status.success(), "{name}: {stderr}");
        assert_eq!(replay.stdout, run.stdout, "{name}");
        assert!(
            stderr.contains("digests checked") && !stderr.contains("digests checked 0"),
            "{name}: {stderr}"
        );
    }
    println!("{cases} cases");
    assert!(cases > 5000, "{cases}");
}

#[test]
fn every_program_says_the_same_on_qemu() {
    if !qemu_is_here("the ISA test programs are not run on QEMU") {
        return;
    }
    for name in programs().into_iter().filter(|name| !name.starts_with("ours-")) {
        let theirs = qemu(&["-M", "virt", "-serial", "stdio", "-kernel", &elf(&name)]);
        let said = verdict(&theirs);
        let stderr = String::from_utf8_lossy(&theirs.stderr);
        assert!(theirs.status.success(), "{name}: {} {said}{stderr}", theirs.status);
        let ours = lockstep(&["run", &elf(&name), "--memory", "4M"]);
        assert_eq!(said, verdict(&ours), "{name}: QEMU, and this machine");
    }
}
