//! Debian's own kernel boots, is recorded, and replays to the same console bytes and the same end.
//!
//! Where Debian's packages are neither cached nor within reach the test says so loudly.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

const NO_PACKAGES: i32 = 3;

fn lockstep() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lockstep"))
}

fn said(run: &Output) -> String {
    let [out, err] = [&run.stdout, &run.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n{out}{err}", run.status)
}

/// Kernel, tiny initramfs and command line; none without packages.
fn guest() -> Option<[String; 3]> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/linux/build");
    let run = Command::new(script).args(["--tiny-only", "--json"]).output().expect("the script runs");
    if run.status.code() == Some(NO_PACKAGES) {
        // Not eprintln: the test harness would keep that to itself.
        writeln!(std::io::stderr(), "SKIPPED: Linux was not booted, Debian's packages are out of reach")
            .expect("stderr is open");
        return None;
    }
    assert!(run.status.success(), "{}", said(&run));
    let made: serde_json::Value = serde_json::from_slice(&run.stdout).expect("--json prints one object");
    let kernel = made["kernel"].as_str().expect("a path").to_owned();
    let initrd = made["initrd"].as_str().expect("a path").to_owned();
    let cmdline = std::fs::read_to_string(Path::new(&kernel).with_file_name("cmdline")).expect("a cmdline");
    Some([kernel, initrd, cmdline.trim().to_owned()])
}

#[test]
fn a_recorded_boot_of_debian_replays_to_the_bit() {
    let Some([kernel, initrd, cmdline]) = guest() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("boot");
    let run = lockstep()
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

    let again = lockstep().arg("replay").arg(&log).output().expect("lockstep runs");
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(again.stdout, run.stdout, "the console says the same");
}

#[test]
fn a_kernel_without_an_init_panics_with_its_own_status() {
    let Some([kernel, _, cmdline]) = guest() else { return };
    let run = lockstep()
        .args(["run", "--kernel", &kernel, "--max-instructions", "5000000000", "--append"])
        .arg(format!("{cmdline} panic=-1 reboot=panic_warm"))
        .output()
        .expect("lockstep runs");
    assert_eq!(run.status.code(), Some(70), "{}", said(&run));
    assert!(String::from_utf8_lossy(&run.stdout).contains("Kernel panic"), "{}", said(&run));
}
