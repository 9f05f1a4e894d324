//! The committed guest ELFs are what their sources give.
//!
//! Needs Debian's `gcc-riscv64-unknown-elf`. A developer without it gets a message
//! and goes on; under `CI` its absence is a failure, so that the check cannot
//! fall asleep unnoticed.

use std::io::Write;
use std::path::Path;
use std::process::Command;

fn compiler_is_here() -> bool {
    Command::new("riscv64-unknown-elf-gcc").arg("--version").output().is_ok_and(|run| run.status.success())
}

#[test]
fn guest_programs_rebuild_to_the_same_bytes() {
    if !compiler_is_here() {
        assert!(
            std::env::var_os("CI").is_none(),
            "riscv64-unknown-elf-gcc is missing: apt-get install gcc-riscv64-unknown-elf"
        );
        // Not eprintln: the test harness would keep that to itself.
        writeln!(
            std::io::stderr(),
            "SKIPPED: guest programs not rebuilt, riscv64-unknown-elf-gcc is missing \
             (apt-get install gcc-riscv64-unknown-elf)"
        )
        .expect("stderr is open");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/build");
    let run = Command::new(&script).arg("--check").output().expect("bash runs guest-programs/build");
    assert!(
        run.status.success(),
        "guest-programs/build --check: {}\n{}{}",
        run.status,
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}
