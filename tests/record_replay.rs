//! A recording, replayed, is the same run to the bit: over every guest that comes with lockstep.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lockstep::base::{Prng, Seq};
use lockstep::cpu::Answer;
use lockstep::host::logdir::LogDir;
use lockstep::lab::cluster::free_tcp;
use lockstep::log::{Entry, Event};
use lockstep::machine::{Input, Machine, Saved};
use lockstep::replay::{Divergence, ReplayStop, Replayer};

use common::slow_disk::with_slow_syncs;
use common::{BINARY, digests, guest, said, sleep_ms};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn lockstep(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A guest that ends early closes the pipe; that is its right.
        stdin.write_all(&input).is_ok()
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn record(name: &str, dir: &Path, more: &[&str], input: &[u8]) -> Output {
    let guest = guest(name);
    let mut arguments = vec!["run", &guest, "--memory", "4M", "--record", dir.to_str().unwrap()];
    arguments.extend(more);
    lockstep(&arguments, input)
}

/// Records, replays, and compares output and exit status.
fn same_again(name: &str, more: &[&str], input: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let recorded = record(name, &log, more, input);
    let replayed = lockstep(&["replay", log.to_str().unwrap()], b"");
    assert_eq!(recorded.status.code(), replayed.status.code(), "{name}: {}", said(&replayed));
    assert_eq!(recorded.stdout, replayed.stdout, "{name}: {}", said(&replayed));
    let verdict = String::from_utf8(replayed.stderr).unwrap();
    assert!(
        verdict.contains("digests checked") && !verdict.contains("digests checked 0,"),
        "{name}: {verdict}"
    );
    String::from_utf8(recorded.stdout).unwrap()
}

/// A log made under one engine is the other's, too: the same output, the same digests, the same log.
#[test]
fn what_one_engine_records_the_other_replays() {
    for name in ["hello", "clock", "identity", "ticker", "smc", "crunch"] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        for (records, replays) in [("interpreter", "translator"), ("translator", "interpreter")] {
            let log = log.join(records);
            std::fs::create_dir_all(log.parent().unwrap()).unwrap();
            let more = ["--engine", records, "--max-instructions", "20M", "--digest-every", "1M"];
            let recorded = record(name, &log, &more, b"");
            let replayed = lockstep(&["replay", "--engine", replays, log.to_str().unwrap()], b"");
            // A guest that was stopped (124) has not ended in its recording either.
            let ended = recorded.status.code().filter(|&code| code != 124).unwrap_or(0);
            assert_eq!(Some(ended), replayed.status.code(), "{name}: {}", said(&replayed));
            assert_eq!(recorded.stdout, replayed.stdout, "{name}: {}", said(&replayed));
            let verdict = said(&replayed);
            assert!(
                verdict.contains("digests checked") && !verdict.contains("digests checked 0,"),
                "{name}: {verdict}"
            );
        }
    }
}

#[test]
fn every_guest_replays_to_the_bit() {
    for name in ["hello", "clock", "identity", "ticker", "smc"] {
        assert!(!same_again(name, &[], b"").is_empty(), "{name} says nothing");
    }
    for name in ["exit_code", "tohost_pass", "tohost_fail"] {
        same_again(name, &[], b"");
    }
}

#[test]
fn console_input_comes_back_at_the_same_instruction() {
    // Again and again: what comes before the guest has set up its serial port must not be lost.
    for _ in 0..20 {
        let text = same_again("echo", &["--console", "-"], b"one\ntwo\nquit\n");
        assert!(text.contains("one") && text.contains("two"), "{text}");
    }
}

#[test]
fn a_guest_stopped_in_the_middle_replays_to_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let recorded = record("ticker", &log, &["--max-instructions", "1234567"], b"");
    assert_eq!(recorded.status.code(), Some(124), "{}", said(&recorded));
    let replayed = lockstep(&["replay", log.to_str().unwrap()], b"");
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    assert!(said(&replayed).contains("at 1234567;"), "{}", said(&replayed));
    assert_eq!(recorded.stdout, replayed.stdout);
}

#[test]
fn a_killed_recorder_leaves_a_log_that_replays() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let guest = guest("ticker");
    let mut prng = Prng::new(5);
    for round in 0..5 {
        let log = log.with_extension(round.to_string());
        let mut child = Command::new(BINARY)
            .args(["run", &guest, "--memory", "4M", "--record", log.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // However long a busy host takes to start it: what is killed has begun to record.
        let until = Instant::now() + PATIENCE;
        let segment = log.join("00000000000000000001.log");
        while !segment.metadata().is_ok_and(|meta| meta.len() > 0) {
            assert!(Instant::now() < until, "no recording is begun");
            sleep_ms(1);
        }
        sleep_ms(prng.between(0, 120));
        child.kill().unwrap();
        child.wait().unwrap();
        let replayed = lockstep(&["replay", log.to_str().unwrap()], b"");
        assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    }
}

/// The names of the files in a directory.
fn files(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).into_iter().flatten();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_guest_runs_while_the_disk_stands_still_and_shows_what_the_recording_has() {
    let dir = tempfile::tempdir().unwrap();
    // Three syncs are waited for before the first entry is written.
    let Some(slow) = with_slow_syncs(dir.path(), 2000) else { return };
    let (log, at) = (dir.path().join("log"), free_tcp().unwrap().to_string());
    let start = |log: &Path| {
        Command::new(&slow)
            .args(["run", &guest("crunch"), "--memory", "4M", "--listen", &at, "--record"])
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut run = start(&log);
    let until = Instant::now() + PATIENCE;
    let icount = || loop {
        let status = lockstep(&["status", &at, "--json"], b"");
        if status.status.success() {
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
            return status["icount"].as_u64().unwrap();
        }
        assert!(Instant::now() < until, "no status: {}", said(&status));
        sleep_ms(5);
    };
    let before = icount();
    sleep_ms(20);
    assert!(icount() > before, "the guest runs");
    assert_eq!(files(&log), ["base.snap.part"], "and nothing of the recording is there");
    // Killed now, it has shown nothing, and its recording says that there is none.
    run.kill().unwrap();
    let killed = run.wait_with_output().unwrap();
    assert!(killed.stdout.is_empty(), "{}", said(&killed));
    for command in [&["replay"][..], &["log", "info"], &["log", "verify"]] {
        let read = lockstep(&[command, &[log.to_str().unwrap()]].concat(), b"");
        assert_eq!(read.status.code(), Some(2), "{command:?}: {}", said(&read));
        assert!(said(&read).contains("beginning of a recording"), "{command:?}: {}", said(&read));
    }

    // Left alone, it shows everything, and its recording has it.
    let log = dir.path().join("whole");
    let whole = start(&log).wait_with_output().unwrap();
    assert!(whole.status.success() && !whole.stdout.is_empty(), "{}", said(&whole));
    let replayed = lockstep(&["replay", log.to_str().unwrap()], b"");
    assert_eq!((replayed.status.code(), &replayed.stdout), (Some(0), &whole.stdout), "{}", said(&replayed));
}

#[test]
fn until_stops_exactly_there_and_trace_prints_each_instruction() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    record("hello", &log, &[], b"");
    let replayed = lockstep(&["replay", log.to_str().unwrap(), "--until", "20", "--trace"], b"");
    let text = said(&replayed);
    assert!(text.contains("stopped by --until at 20;"), "{text}");
    let instructions =
        text.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|w| w.len() == 16));
    assert_eq!(instructions.count(), 20, "{text}");
}

#[test]
fn a_digest_stands_at_every_multiple_whatever_the_guest_does_there() {
    let dir = tempfile::tempdir().unwrap();
    for (name, every) in [("ticker", 10_000), ("clock", 777), ("modes", 1_000), ("smc", 10_000)] {
        let log = dir.path().join(name);
        let recorded = record(name, &log, &["--digest-every", &every.to_string()], b"");
        assert!(recorded.status.success(), "{name}: {}", said(&recorded));
        let mut digests = digests(&log);
        let end = digests.pop().expect("one at the end");
        let expected: Vec<u64> = (1..).map(|n| n * every).take_while(|at| *at < end).collect();
        assert!(expected.len() > 10, "{name} is too short to show anything");
        assert_eq!(digests, expected, "{name}");
    }
    let log = dir.path().join("none");
    record("clock", &log, &["--digest-every", "0"], b"");
    assert_eq!(digests(&log).len(), 1, "only the one at the end");
}

/// Replays with detours: the same verdict on as many digests.
fn same_with_detours(log: &Path, digests: usize) {
    let log = log.to_str().unwrap();
    for detours in
        [&["--chunks", "1"][..], &["--save-restore", "2"], &["--chunks", "3", "--save-restore", "4"]]
    {
        let replayed = lockstep(&[&["replay", log], detours].concat(), b"");
        let told = said(&replayed);
        assert_eq!(replayed.status.code(), Some(0), "{detours:?}: {told}");
        assert!(told.contains(&format!("digests checked {digests},")), "{detours:?}: {told}");
        assert!(told.contains("no difference"), "{detours:?}: {told}");
    }
}

#[test]
fn chunks_and_restores_leave_no_trace_in_any_digest() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ticker", "modes", "identity"] {
        let log = dir.path().join(name);
        record(name, &log, &["--digest-every", "5K"], b"");
        same_with_detours(&log, digests(&log).len());
    }
}

#[test]
fn a_guest_that_writes_all_over_its_memory_is_digested_right() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let more = ["--memory", "64M", "--digest-every", "4M", "--max-instructions", "18M"];
    let guest = guest("churn");
    let mut arguments = vec!["run", &guest, "--record", log.to_str().unwrap()];
    arguments.extend(more);
    assert_eq!(lockstep(&arguments, b"").status.code(), Some(124));
    assert_eq!(digests(&log).len(), 5);
    same_with_detours(&log, 5);
}

struct Recording {
    base: Saved,
    entries: Vec<Entry>,
}

fn recording(name: &str, more: &[&str]) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    record(name, &path, more, b"");
    let log = LogDir::open(&path).unwrap();
    let base = log.base(1 << 30).unwrap();
    let entries = log.read().map(|place| place.unwrap().entry).collect();
    Recording { base, entries }
}

fn replay(recording: &Recording, mut budget: impl FnMut() -> u64) -> Result<Machine, Divergence> {
    let mut replayer = Replayer::new(Machine::restore(recording.base.clone()).unwrap(), Seq(1));
    replayer.push(recording.entries.clone())?;
    let mut followed = Vec::new();
    while replayer.run(budget(), &mut followed)? == ReplayStop::Budget {}
    Ok(replayer.into_parts().0)
}

#[test]
fn whole_chunked_and_restored_replays_end_in_the_same_state() {
    for name in ["ticker", "smc", "clock"] {
        let recording = recording(name, &[]);
        let whole = replay(&recording, || u64::MAX >> 1).unwrap().digest();
        for seed in 0..3 {
            let mut prng = Prng::new(seed);
            let chunked = replay(&recording, || prng.between(1, 100_000)).unwrap().digest();
            assert_eq!(whole, chunked, "{name}, seed {seed}");
        }
        // Saved and restored in the middle, many times.
        let mut prng = Prng::new(77);
        let mut machine = Machine::restore(recording.base.clone()).unwrap();
        let mut next = Seq(1);
        for piece in recording.entries.chunks(recording.entries.len() / 10 + 1) {
            let mut replayer = Replayer::new(machine, next);
            replayer.push(piece.to_vec()).unwrap();
            let mut followed = Vec::new();
            while replayer.run(prng.between(1000, 1 << 24), &mut followed).unwrap() == ReplayStop::Budget {}
            let (mut done, seq) = replayer.into_parts();
            if done.outputs_waiting() {
                done.take_outputs();
            }
            machine = Machine::restore(done.save()).unwrap();
            next = seq;
        }
        assert_eq!(whole, machine.digest(), "{name}, restored");
    }
}

/// Each change makes another history; the replayer must notice each.
#[test]
fn a_history_that_is_not_the_recording_is_reported() {
    let (mut tried, mut times) = (0, 0);
    for name in ["clock", "identity", "ticker"] {
        let good = recording(name, &["--digest-every", "20K"]);
        assert!(replay(&good, || 1 << 30).is_ok());
        // Entries from everywhere, and those that carry a time, of which a log has few.
        let is_time = |event: &Event| {
            matches!(
                event,
                Event::Input(Input::Answer(Answer::Time(_)) | Input::TimerDue { .. } | Input::Clock { .. })
            )
        };
        let timed = (0..good.entries.len()).filter(|at| is_time(&good.entries[*at].event)).take(40);
        let sampled = (0..good.entries.len()).step_by(good.entries.len() / 80 + 1);
        let victims: BTreeSet<usize> = timed.chain(sampled).collect();
        for victim in victims {
            for change in 0..4 {
                let mut bad = Recording { base: good.base.clone(), entries: good.entries.clone() };
                let input = matches!(good.entries[victim].event, Event::Input(_));
                let clock = matches!(good.entries[victim].event, Event::Input(Input::Clock { .. }));
                let mark = matches!(good.entries[victim].event, Event::Output(_));
                // Where it stays in order.
                let next = good.entries.get(victim + 1).is_some_and(|next| next.at > good.entries[victim].at);
                match (change, &mut bad.entries[victim].event) {
                    (
                        0,
                        Event::Input(
                            Input::Answer(Answer::Time(time))
                            | Input::TimerDue { time }
                            | Input::Clock { time, .. },
                        ),
                    ) => {
                        *time += 1_000_000_000;
                        times += 1;
                    }
                    (1, _) if input || mark => {
                        // Gone, and the numbers closed over it.
                        bad.entries.remove(victim);
                        for entry in &mut bad.entries[victim..] {
                            entry.seq = Seq(entry.seq.get() - 1);
                        }
                    }
                    // A clock set one instruction later may show the same until it is set again.
                    (2, _) if input && !clock && next => bad.entries[victim].at.0 += 1,
                    (2, Event::Digest(digest)) => digest.0 ^= 1,
                    (3, Event::Input(Input::Clock { rate, .. })) => *rate ^= 0x4000,
                    _ => continue,
                }
                tried += 1;
                let event = &good.entries[victim].event;
                assert!(
                    replay(&bad, || 1 << 30).is_err(),
                    "{name}: change {change} of {event:?} is not noticed"
                );
            }
        }
    }
    assert!(tried > 50 && times > 5, "{tried}, {times} of a time");
}

/// A clock that is read a hundred thousand times needs next to no log, and is the host's all the same.
#[test]
fn reads_of_the_time_are_in_no_log() {
    let Recording { entries, .. } = recording("clock", &[]);
    let told: Vec<u64> = entries
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Input(Input::Answer(Answer::Time(time)) | Input::Clock { time, .. }) => Some(time),
            _ => None,
        })
        .collect();
    // The guest can be told only what it is more than half a millisecond behind or ahead.
    let ticks = told.last().unwrap() - told[0];
    assert!(
        !told.is_empty() && told.len() as u64 <= 10 + ticks / 1000,
        "{} entries in {ticks} ticks",
        told.len()
    );
    assert!(entries.len() < 10_000, "{} entries", entries.len());
}

/// The counts of a profile, by stack.
fn profile(path: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let (stack, count) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        (stack.to_owned(), count.parse().unwrap_or_else(|_| panic!("{line:?}")))
    };
    text.lines().map(line).collect()
}

/// `crunch` begins with its sieve.
#[test]
fn a_profile_is_the_same_of_the_run_of_each_replay_and_under_either_engine() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (log, first) = (dir.path().join("log"), path("first"));
    let more = ["--max-instructions", "60M", "--digest-every", "1M", "--profile", &first];
    let recorded = record("crunch", &log, &more, b"");
    assert_eq!(recorded.status.code(), Some(124), "{}", said(&recorded));
    let told = said(&recorded);
    assert!(told.contains("5,995 samples, one in 10007 instructions"), "{told}");
    assert!(told.contains("60,000,000 instructions") && told.contains("the long way"), "{told}");

    let counts = profile(Path::new(&first));
    assert_eq!(counts.values().sum::<u64>(), 60_000_000 / 10_007);
    let hottest = counts.iter().max_by_key(|(_, count)| **count).unwrap();
    assert_eq!(hottest.0, "machine;_start;main;sieve", "{counts:?}");
    assert!(hottest.1 * 10 > 9 * counts.values().sum::<u64>(), "{counts:?}");

    let plain = said(&lockstep(&["replay", log.to_str().unwrap()], b""));
    let end = plain.lines().find(|line| line.contains("state digest")).unwrap();
    let again = path("again");
    let ways: [&[&str]; 4] = [
        &["--engine", "translator"],
        &["--engine", "interpreter"],
        &["--chunks", "5"],
        &["--save-restore", "5", "--chunks", "6"],
    ];
    for way in ways {
        let replay = [&["replay", log.to_str().unwrap(), "--profile", &again], way].concat();
        let replayed = lockstep(&replay, b"");
        assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
        assert_eq!(replayed.stdout, recorded.stdout, "{way:?}");
        assert!(said(&replayed).contains(end), "{way:?}: {} and {end}", said(&replayed));
        assert!(said(&replayed).contains("60,000,000 instructions"), "{way:?}: {}", said(&replayed));
        assert!(std::fs::read(&again).unwrap() == std::fs::read(&first).unwrap(), "{way:?}: another profile");
        std::fs::remove_file(&again).unwrap();
    }
    // Nothing else was left beside it.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);

    let often = ["--profile-every", "100K", "--until", "10000000", "--profile", &again];
    let replayed = lockstep(&[&["replay", log.to_str().unwrap()], &often[..]].concat(), b"");
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    assert_eq!(profile(Path::new(&again)).values().sum::<u64>(), 100);
}

#[test]
fn a_profile_is_written_however_the_guest_ends_and_refused_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile");
    let path = file.to_str().unwrap();
    std::fs::write(path, "an old one, to be replaced").unwrap();
    let run = lockstep(&["run", &guest("exit_code"), "--profile", path, "--profile-every", "1"], b"");
    assert_eq!(run.status.code(), Some(42), "{}", said(&run));
    let instructions: u64 = profile(&file).values().sum();
    assert_eq!(profile(&file).keys().collect::<Vec<_>>(), ["machine;_start"]);
    assert!(said(&run).contains(&format!("{instructions} instructions")), "{}", said(&run));

    // `echo` waits to be typed at, until it is interrupted.
    std::fs::remove_file(path).unwrap();
    let mut child = Command::new(BINARY)
        .args(["run", &guest("echo"), "--console", "-", "--profile", path, "--profile-every", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut greeting = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut greeting).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(profile(&file).values().sum::<u64>() > 10, "{:?}", profile(&file));

    let log = dir.path().join("log");
    for bad in [dir.path().join("not/there"), dir.path().to_owned()] {
        let refused = record("hello", &log, &["--profile", bad.to_str().unwrap()], b"");
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(refused.stdout.is_empty() && said(&refused).contains("--profile"), "{}", said(&refused));
        assert!(!log.exists(), "nothing has begun");
    }
    let refused = lockstep(&["run", &guest("hello"), "--profile", path, "--profile-every", "0"], b"");
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let refused = lockstep(&["run", &guest("hello"), "--symbols", &guest("hello")], b"");
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
}
