//! Debian's own kernel boots, is recorded, and replays to the same console bytes and the same end.
//!
//! Where Debian's packages are neither cached nor within reach the test says so loudly.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::process::Command;

use common::linux::tiny;
use common::{BINARY, said};

#[test]
fn a_recorded_boot_of_debian_replays_to_the_bit() {
    let Some([kernel, initrd, cmdline]) = tiny("Linux was not booted") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("boot");
    let run = Command::new(BINARY)
        .args(["run", "--kernel", &kernel, "--initrd", &initrd, "--record"])
        .arg(&log)
        .args(["--max-instructions", "5000000000", "--append"])
        .arg(format!("{cmdline} panic=-1 reboot=panic_warm lockstep.poweroff"))
        .output()
        .expect("lockstep runs");
    assert!(run.status.success(), "{}", said(&run));
    let console = String::from_utf8_lossy(&run.stdout);
    assert!(console.contains("lockstep: ready"), "{}", said(&run));
    assert!(console.contains("reboot: Power down"), "{}", said(&run));

    let log_bytes: u64 = std::fs::read_dir(&log)
        .expect("a recording")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "log"))
        .map(|entry| entry.metadata().expect("its length").len())
        .sum();
    assert!((1..1 << 20).contains(&log_bytes), "the log of a boot has {log_bytes} bytes");

    let again = Command::new(BINARY).arg("replay").arg(&log).output().expect("lockstep runs");
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(again.stdout, run.stdout, "the console says the same");
}

#[test]
fn a_kernel_without_an_init_panics_with_its_own_status() {
    let Some([kernel, _, cmdline]) = tiny("Linux was not booted") else { return };
    let run = Command::new(BINARY)
        .args(["run", "--kernel", &kernel, "--max-instructions", "5000000000", "--append"])
        .arg(format!("{cmdline} panic=-1 reboot=panic_warm"))
        .output()
        .expect("lockstep runs");
    assert_eq!(run.status.code(), Some(70), "{}", said(&run));
    assert!(String::from_utf8_lossy(&run.stdout).contains("Kernel panic"), "{}", said(&run));
}
