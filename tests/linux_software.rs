//! Larger software of Debian's, each on a root disk of its own (`guest-programs/linux/build --software NAME`).
//!
//! Each takes minutes and hundreds of megabytes, so they run only where asked for:
//! `LOCKSTEP_LONG=1 cargo test --release --test linux_software -- --nocapture`; otherwise, and where Debian's
//! packages are out of reach, a line says that they were skipped.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::linux::made;
use common::{BINARY, skipped};

/// Longer than any of this may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Kernel, tiny initial RAM disk, command line, and the root disk with this software.
fn software(name: &str) -> Option<[String; 4]> {
    if std::env::var_os("LOCKSTEP_LONG").is_none() {
        skipped(&format!("{name}: it takes minutes; LOCKSTEP_LONG=1 asks for it"));
        return None;
    }
    let made = made(name, &["--tiny-only", "--software", name])?;
    Some(["kernel", "initrd", "cmdline", "software"].map(|key| made[key].as_str().unwrap().to_owned()))
}

#[test]
fn systemd_boots_from_a_disk_to_its_login_prompt() {
    let Some([kernel, initrd, cmdline, root]) = software("systemd") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let begun = Instant::now();
    let mut run = Command::new(BINARY)
        .args(["run", "--memory", "512M", "--kernel", &kernel, "--initrd", &initrd])
        .args(["--disk", &format!("{root},overlay={}", dir.path().join("overlay").display())])
        .args(["--append", &format!("{cmdline} lockstep.root=/dev/vda")])
        .stdin(Stdio::piped())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let text = |path: &Path| {
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let verdict = loop {
        if text(&out).contains("login: ") {
            break Ok(());
        }
        if let Some(status) = run.try_wait().unwrap() {
            break Err(format!("it ended: {status}"));
        }
        if begun.elapsed() > PATIENCE {
            break Err(format!("no prompt within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    run.kill().ok();
    run.wait().unwrap();
    let console = text(&out);
    assert_eq!(verdict, Ok(()), "{console}\n{}", text(&err));
    assert!(!console.contains("[FAILED]") && !console.contains("FAILED\u{1b}"), "a failed unit: {console}");
    println!("systemd's login prompt after {:.1} s", begun.elapsed().as_secs_f64());
}
