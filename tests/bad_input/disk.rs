//! Disks that fill up.

use std::process::Command;
use std::time::Duration;

use lockstep::lab::kvclient::request;
use tempfile::TempDir;

use crate::common::small_disk::SmallDisk;
use crate::support::{BINARY, clean, cluster, finish, guest, load, run, until};

/// What a full disk leaves: whole, or with a torn tail, and it replays up to there.
#[track_caller]
fn left_usable(log: &str) {
    let verified = run(&["log", "verify", "--json", log]);
    let verdict = String::from_utf8_lossy(&verified.out).into_owned();
    assert!(
        (verdict.contains("\"whole\"") && verified.code() == Some(0))
            || (verdict.contains("\"torn-tail\"") && verified.code() == Some(1)),
        "{}",
        verified.said()
    );
    run(&["replay", log]).ends(0, &["digest"]);
}

#[test]
fn a_recording_that_fills_its_disk_ends_with_the_reason_and_stays_readable() {
    let dir = TempDir::new().unwrap();
    let Some(small) = SmallDisk::mount(&dir.path().join("small"), 128 << 10) else { return };
    let log = small.at.join("log").display().to_string();
    run(&["run", &guest("clock"), "--memory", "4M", "--digest-every", "20", "--record", &log])
        .refuses(&["No space left", "fix: free some space"]);
    left_usable(&log);
}

#[test]
fn a_disk_too_small_for_the_base_is_told_before_the_guest_is_heard() {
    let dir = TempDir::new().unwrap();
    let Some(small) = SmallDisk::mount(&dir.path().join("small"), 4096) else { return };
    let log = small.at.join("log").display().to_string();
    let ran = run(&["run", &guest("kv"), "--memory", "4M", "--record", &log]);
    ran.refuses(&["No space left", "fix:"]);
    assert!(ran.out.is_empty());
}

#[test]
fn a_file_size_limit_is_an_error_and_not_a_silent_end() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log").display().to_string();
    let mut command = Command::new("sh");
    // In units of 512 bytes.
    command.args(["-c", "ulimit -f 200; exec \"$@\"", "sh", BINARY, "run"]);
    command.args([&guest("clock"), "--memory", "4M", "--digest-every", "20", "--record", &log]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command).refuses(&["File too large", "fix:"]);
    left_usable(&log);
}

#[test]
fn recordings_on_two_disks_of_one_size_end_and_both_nodes_go_on() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    cluster.record = true;
    let small = [1, 2].map(|n| SmallDisk::mount(&cluster.record_dir(n), 400 << 10));
    let [Some(first), Some(second)] = &small else { return };
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 1);
    for node in [&mut primary, &mut backup] {
        let status = cluster.await_status(node, "without a recording", |s| s.recording == "ended").unwrap();
        assert!(status.protected, "{status:?}");
        assert!(status.recording_trouble.unwrap().contains("No space left"));
        assert!(node.told().contains("the recording has ended, the guest goes on"), "{}", node.told());
    }
    let before = load.snapshot().answers;
    until("serving on", Duration::from_secs(5), || load.snapshot().answers > before + 100);
    // Each is still as good as the other.
    primary.kill().unwrap();
    cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    let before = load.snapshot().answers;
    until("serving again", Duration::from_secs(5), || load.snapshot().answers > before + 100);
    clean(load);
    for log in [first, second] {
        left_usable(&log.at.display().to_string());
    }
}

#[test]
fn a_bounded_recording_stops_whole_and_replays_to_its_end() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    cluster.record = true;
    cluster.arguments = vec!["--record-max".into(), "300K".into()];
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 1);
    for node in [&mut primary, &mut backup] {
        let status = cluster.await_status(node, "without a recording", |s| s.recording == "ended").unwrap();
        assert!(status.recording_trouble.unwrap().contains("--record-max"));
    }
    clean(load);
    for n in [1, 2] {
        let log = cluster.record_dir(n);
        let files = std::fs::read_dir(&log).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!((200 << 10..=300 << 10).contains(&bytes), "{bytes}");
        let log = log.display().to_string();
        let verified = run(&["log", "verify", &log]);
        assert!(String::from_utf8_lossy(&verified.ends(0, &[]).out).contains("whole"));
        run(&["replay", &log]).ends(0, &["digest"]);
    }
}

#[test]
fn a_bounded_recording_of_a_lone_guest_stops_and_the_guest_goes_on() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log").display().to_string();
    let guest_of = guest("clock");
    let bounded = ["run", &guest_of, "--memory", "4M", "--digest-every", "20", "--record", &log];
    run(&[&bounded[..], &["--record-max", "48K"]].concat())
        .ends(0, &["the recording has ended, the guest goes on"]);
    let verified = run(&["log", "verify", &log]);
    assert!(String::from_utf8_lossy(&verified.ends(0, &[]).out).contains("whole"));
    run(&["replay", &log]).ends(0, &[]);
    run(&["run", &guest("clock"), "--record-max", "48K"]).refuses(&["--record"]);
}

#[test]
fn a_protected_primary_whose_disk_fills_is_taken_over_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    cluster.record = true;
    cluster.arguments.push("--record-fatal".into());
    let Some(small) = SmallDisk::mount(&cluster.record_dir(1), 400 << 10) else { return };
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 1);
    let status = primary.wait(Duration::from_secs(30));
    assert_eq!(status, Some(2), "{}", primary.told());
    assert!(primary.told().contains("No space left"), "{}", primary.told());
    assert!(!primary.told().contains("panicked"), "{}", primary.told());
    cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    let before = load.snapshot().answers;
    until("serving again", Duration::from_secs(5), || load.snapshot().answers > before + 100);
    clean(load);
    left_usable(&small.at.display().to_string());
    assert!(request(cluster.service, "HALT", Duration::from_secs(5)).is_ok());
    assert_eq!(backup.wait(Duration::from_secs(5)), Some(0), "{}", backup.told());
    run(&["replay", &cluster.record_dir(2).display().to_string()]).ends(0, &[]);
}

#[test]
fn a_backup_whose_disk_fills_is_dropped_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    cluster.record = true;
    cluster.arguments.push("--record-fatal".into());
    let Some(_small) = SmallDisk::mount(&cluster.record_dir(2), 400 << 10) else { return };
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 2);
    assert_eq!(backup.wait(Duration::from_secs(30)), Some(2), "{}", backup.told());
    assert!(backup.told().contains("No space left"), "{}", backup.told());
    cluster.await_status(&mut primary, "alone", |status| status.phase == "alone").unwrap();
    let before = load.snapshot().answers;
    until("serving again", Duration::from_secs(5), || load.snapshot().answers > before + 100);
    clean(load);
}
