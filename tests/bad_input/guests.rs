//! Guests that misbehave.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{guest, lockstep, peak_kib, run, until, watch};

#[test]
fn guests_end_with_their_own_status() {
    for (name, status) in [("tohost_pass", 0), ("tohost_fail", 7), ("exit_code", 42), ("ring_attack", 0)] {
        run(&["run", &guest(name), "--memory", "16M"]).ends(status, &[]).within_mib(60);
    }
}

#[test]
fn a_jump_into_nowhere_is_a_trap_and_the_limit_holds() {
    run(&["run", &guest("wild"), "--memory", "4M", "--max-instructions", "1000000"])
        .ends(124, &["stopped at 1000000", "--max-instructions"])
        .within_mib(40);
}

#[test]
fn endless_printing_ends_when_nobody_reads_any_more() {
    let mut child = lockstep(&["run", &guest("loop_print"), "--memory", "4M"]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut line = [0; 100];
    out.read_exact(&mut line).unwrap();
    drop(out);
    watch(child, "run loop_print | head -1".into()).ends(0, &["standard output"]).within_mib(60);
}

#[test]
fn endless_printing_to_a_reader_that_sleeps_waits_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let record = crate::support::path(&dir, "log");
    let mut child =
        lockstep(&["run", &guest("loop_print"), "--memory", "4M", "--record", &record]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let early = peak_kib(child.id()).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let later = peak_kib(child.id()).unwrap();
    assert!(later < early + 4096 && later < 60 << 10, "{early} then {later} KiB");
    // It goes on as soon as somebody reads, with nothing left out.
    let mut out = child.stdout.take().unwrap();
    let mut bytes = vec![0; 2 << 20];
    out.read_exact(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("loop_print: line ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(numbers.len() > 20_000 && numbers.is_sorted_by(|a, b| a + 1 == *b), "{}", &text[..200]);
    drop(out);
    until("ended", Duration::from_secs(5), || child.try_wait().unwrap().is_some());
    run(&["log", "verify", &record]).ends(0, &[]);
}

#[test]
fn a_limit_holds_while_nobody_reads() {
    let mut command =
        lockstep(&["run", &guest("loop_print"), "--memory", "4M", "--max-instructions", "3000000"]);
    command.stdout(Stdio::null());
    crate::support::finish(command).ends(124, &[]).within_mib(60);
}
