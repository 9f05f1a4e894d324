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
use common::{BINARY, digests, said, skipped};

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

/// Runs `command` in a guest that has the software `name`, records it, and replays it to the same digests and the
/// same console, which it returns.
fn recorded_and_replayed(name: &str, memory: &str, command: &str) -> Option<String> {
    let [kernel, initrd, cmdline, root] = software(name)?;
    let dir = tempfile::tempdir().unwrap();
    let (log, overlay) = (dir.path().join("log"), dir.path().join("overlay"));
    let append = format!(
        "{cmdline} panic=-1 reboot=panic_warm lockstep.root=/dev/vda lockstep.exec=\"{command}\" lockstep.poweroff"
    );
    let begun = Instant::now();
    let run = Command::new(BINARY)
        .args(["run", "--memory", memory, "--kernel", &kernel, "--initrd", &initrd, "--append", &append])
        .args(["--disk", &format!("{root},overlay={}", overlay.display())])
        .args(["--max-instructions", "60000000000", "--record"])
        .arg(&log)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", said(&run));
    let lived = begun.elapsed();
    let again = Command::new(BINARY).arg("replay").arg(&log).output().unwrap();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(0), "{told}");
    let count = digests(&log).len();
    assert!(count > 20 && told.contains(&format!("digests checked {count},")), "{told}");
    assert!(again.stdout == run.stdout, "the console says the same");
    println!(
        "{name}: recorded in {:.1} s, replayed in {:.1} s, {count} digests agree",
        lived.as_secs_f64(),
        (begun.elapsed() - lived).as_secs_f64()
    );
    Some(String::from_utf8_lossy(&run.stdout).into_owned())
}

#[test]
fn gcc_compiles_a_program_that_runs_and_both_replay() {
    // A format of the shell's printf: no double quotes may be in a kernel's word.
    let program = r"int printf(const char*,...);int main(){long s=0;for(long i=1;i<=100000;i++)s+=i*i;printf(\42sum %%ld\\n\42,s);}";
    let command = format!("printf '{program}' >/tmp/s.c; gcc -O2 -o /tmp/s /tmp/s.c; /tmp/s");
    let Some(console) = recorded_and_replayed("gcc", "384M", &command) else { return };
    assert!(console.contains("sum 333338333350000"), "{console}");
}

#[test]
fn node_js_computes_and_replays() {
    let command = "node -e 'let m=new Map();for(let i=0;i<50000;i++)m.set(i,i*i%97);console.log([...m.values()].reduce((a,b)=>a+b),process.version)'";
    let Some(console) = recorded_and_replayed("nodejs", "512M", command) else { return };
    let sum: u64 = (0..50_000u64).map(|i| i * i % 97).sum();
    assert!(console.contains(&format!("{sum} v")), "{sum}: {console}");
}
