//! The first command that a new user types does what it says, and reports it in its exit status.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_demo_loses_nothing_over_two_kills_and_a_switch_over() {
    let output = demo().arg("--json").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, wanted) in [("lost", 0), ("duplicated", 0), ("contradictions", 0), ("unanswered", 0)] {
        assert_eq!(outcome[key], wanted, "{key} in {outcome}\n{told}");
    }
    assert_eq!(outcome["kills"], 2);
    assert_eq!(outcome["generation"], 4, "two takeovers and a switch-over: {outcome}");
    assert_eq!(outcome["digests_agree"], true);
    assert!(outcome["digests_compared"].as_u64().unwrap() >= 4, "{outcome}");
    assert!(outcome["acknowledged_writes"].as_u64().unwrap() > 100, "{outcome}");
    assert!(outcome["tcp_answers"].as_u64().unwrap() > 10, "{outcome}");
}

/// Processes whose environment says that they belong to a demo of this id.
fn processes_of(demo: u32) -> Vec<u32> {
    let mark = format!("LOCKSTEP_DIES_WITH={demo}");
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()).then_some(pid)
    });
    pids.collect()
}

fn nothing_is_left_after(signal: Signal) {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo().env("TMPDIR", temporary.path()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("protected,")), "the demo gets under way");
    assert!(processes_of(child.id()).len() >= 3);
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while !processes_of(child.id()).is_empty() {
        assert!(Instant::now() < until, "still there: {:?}", processes_of(child.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
    if signal != Signal::KILL {
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "its directory is removed");
    }
}

#[test]
fn an_interrupted_demo_leaves_no_process_behind() {
    nothing_is_left_after(Signal::INT);
}

#[test]
fn a_killed_demo_leaves_no_process_behind() {
    nothing_is_left_after(Signal::KILL);
}

/// `demo --linux` where nothing of a Linux guest is cached.
fn linux_demo_without_images(name: &str, value: &str) -> (Option<i32>, String) {
    let cache = tempfile::tempdir().unwrap();
    let output =
        demo().arg("--linux").env("LOCKSTEP_GUESTS", cache.path()).env(name, value).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_linux_demo_without_packages_or_python_says_what_to_do() {
    let (status, told) = linux_demo_without_images("LOCKSTEP_DEBIAN_MIRROR", "http://127.0.0.1:9/debian");
    assert_eq!(status, Some(2), "{told}");
    let words = if told.contains("cannot be fetched") { "LOCKSTEP_DEBIAN_MIRROR" } else { "e2fsprogs" };
    assert!(told.contains("  fix: ") && told.contains(words), "{told}");
    let (status, told) = linux_demo_without_images("PATH", "/nonexistent");
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("python3") && told.contains("apt-get install python3"), "{told}");
}
