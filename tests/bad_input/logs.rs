//! Recordings that are damaged, mixed, missing or of something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lockstep::base::Prng;
use tempfile::TempDir;

use crate::support::{Ran, copy_dir, guest, record, run, segments};

/// A recording of `clock`, with more than ten thousand entries, made once and copied by each test that damages it.
fn clock() -> &'static Path {
    static RECORDED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RECORDED.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let name = path.to_str().unwrap();
        run(&["run", &guest("clock"), "--memory", "4M", "--record", name, "--digest-every", "100"])
            .ends(0, &[]);
        (dir, path)
    });
    path
}

fn damaged(dir: &TempDir, damage: impl FnOnce(&Path)) -> String {
    let path = dir.path().join("log");
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    copy_dir(clock(), &path);
    damage(&path);
    path.display().to_string()
}

fn truncate(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

fn verdict(log: &str) -> String {
    let ran = run(&["log", "verify", "--json", log]);
    let Ok(found) = serde_json::from_slice::<serde_json::Value>(&ran.out) else {
        ran.refuses(&[]);
        return "unreadable".into();
    };
    let verdict = found["verdict"].as_str().unwrap().to_owned();
    ran.ends(i32::from(verdict != "whole"), &[]);
    verdict
}

/// Every reader of a log ends, without a panic, with a status that means something.
#[track_caller]
fn readers_survive(log: &str) {
    let whole = clock().display().to_string();
    let dir = TempDir::new().unwrap();
    let svg = dir.path().join("x.svg").display().to_string();
    let readers: [&[&str]; 6] = [
        &["log", "info", log],
        &["log", "dump", log],
        &["log", "stats", log, "--svg", &svg],
        &["log", "grep", "console", log],
        &["log", "diff", log, &whole],
        &["log", "verify", log],
    ];
    for reader in readers {
        let ran = run(reader);
        assert!(matches!(ran.code(), Some(0..=2)), "{}", ran.said());
        assert!(!ran.err.contains("panicked"), "{}", ran.said());
        ran.within_mib(80);
    }
}

#[test]
fn a_log_cut_off_anywhere_replays_up_to_the_cut() {
    let dir = TempDir::new().unwrap();
    let whole = fs::metadata(&segments(clock())[0]).unwrap().len();
    let all = run(&["replay", clock().to_str().unwrap()]).out;
    let mut prng = Prng::new(3);
    let cuts =
        [0, 1, 7, 8, 40, 100, whole - 1, whole - 9].into_iter().chain((0..12).map(|_| prng.below(whole)));
    for len in cuts {
        let log = damaged(&dir, |log| truncate(&segments(log)[0], len));
        assert!(["torn-tail", "whole", "unreadable"].contains(&verdict(&log).as_str()), "cut at {len}");
        let ran = run(&["replay", &log]);
        match ran.code() {
            Some(0) => assert!(all.starts_with(&ran.out), "cut at {len}: {}", ran.said()),
            // Not even the header is left: what was recorded is unknown.
            _ => drop(ran.refuses(&["fix:"])),
        }
        if len % 3 == 0 {
            readers_survive(&log);
        }
    }
}

#[test]
fn a_flipped_bit_is_never_replayed() {
    let dir = TempDir::new().unwrap();
    let bits = fs::metadata(&segments(clock())[0]).unwrap().len() * 8;
    for seed in 0..12 {
        let bit = Prng::new(seed).below(bits) as usize;
        let log = damaged(&dir, |log| flip(&segments(log)[0], bit));
        assert!(["rot", "torn-tail", "unreadable"].contains(&verdict(&log).as_str()), "bit {bit}");
        let ran = run(&["replay", &log]);
        assert!(matches!(ran.code(), Some(1 | 2)), "bit {bit}: {}", ran.said());
        assert!(!ran.err.contains("panicked"), "bit {bit}: {}", ran.said());
        if seed % 4 == 0 {
            readers_survive(&log);
        }
    }
}

#[test]
fn a_damaged_base_is_not_started_from() {
    let dir = TempDir::new().unwrap();
    let bytes = fs::metadata(clock().join("base.snap")).unwrap().len();
    let check = |log: &str| {
        assert_eq!(verdict(log), "bad-base");
        let ran = run(&["replay", log]);
        ran.refuses(&["base.snap", "fix:"]).within_mib(60);
        assert!(ran.out.is_empty());
    };
    for seed in 0..8 {
        let bit = Prng::new(seed).below(bytes * 8) as usize;
        check(&damaged(&dir, |log| flip(&log.join("base.snap"), bit)));
    }
    for len in [0, 1, 20, bytes / 2, bytes - 1] {
        check(&damaged(&dir, |log| truncate(&log.join("base.snap"), len)));
    }
    check(&damaged(&dir, |log| fs::remove_file(log.join("base.snap")).unwrap()));
    check(&damaged(&dir, |log| {
        fs::remove_file(log.join("base.snap")).unwrap();
        fs::create_dir(log.join("base.snap")).unwrap();
    }));
    readers_survive(&damaged(&dir, |log| truncate(&log.join("base.snap"), 30)));
}

#[test]
fn a_base_of_another_recording_is_refused() {
    let dir = TempDir::new().unwrap();
    let other = dir.path().join("other");
    record("ticker", &other);
    let log = damaged(&dir, |log| {
        fs::copy(other.join("base.snap"), log.join("base.snap")).unwrap();
    });
    assert_eq!(verdict(&log), "bad-base");
    run(&["replay", &log]).refuses(&["fix:", "mix"]);
    readers_survive(&log);
    // And a segment of another recording.
    let log = damaged(&dir, |log| {
        fs::copy(&segments(&other)[0], &segments(log)[0]).unwrap();
    });
    run(&["replay", &log]).refuses(&["fix:", "mix"]);
}

#[test]
fn versions_of_the_future_are_named() {
    let dir = TempDir::new().unwrap();
    let bump = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] += 1;
        // Both formats begin with a magic of 8 bytes; only the version differs.
        fs::write(path, bytes).unwrap();
    };
    let log = damaged(&dir, |log| bump(&segments(log)[0], 8));
    run(&["replay", &log]).refuses(&["version", "fix:"]);
    for reader in ["info", "dump", "stats", "verify"] {
        let ran = run(&["log", reader, &log]);
        assert!(
            ran.err.contains("version") || String::from_utf8_lossy(&ran.out).contains("version"),
            "{}",
            ran.said()
        );
        assert!(!ran.err.contains("panicked"), "{}", ran.said());
    }
}

#[test]
fn directories_without_a_recording_are_told_from_those_with_one() {
    let dir = TempDir::new().unwrap();
    let empty = dir.path().display().to_string();
    let missing = dir.path().join("missing").display().to_string();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let file = file.display().to_string();
    for (log, why) in [(&empty, "holds no log"), (&missing, "No such file"), (&file, "Not a directory")] {
        let readers: [&[&str]; 7] = [
            &["replay", log],
            &["log", "info", log],
            &["log", "dump", log],
            &["log", "stats", log],
            &["log", "verify", log],
            &["log", "grep", "x", log],
            &["log", "diff", log, log],
        ];
        for reader in readers {
            run(reader).refuses(&["lockstep:", why]);
        }
    }
    // A recorder that died before its first segment, and one whose segment is empty.
    let log = damaged(&dir, |log| fs::remove_file(&segments(log)[0]).unwrap());
    readers_survive(&log);
    let ran = run(&["replay", &log]);
    assert!(matches!(ran.code(), Some(0 | 2)) && !ran.err.contains("panicked"), "{}", ran.said());
    let log = damaged(&dir, |log| truncate(&segments(log)[0], 0));
    readers_survive(&log);
    let ran = run(&["replay", &log]);
    assert!(matches!(ran.code(), Some(0 | 2)) && !ran.err.contains("panicked"), "{}", ran.said());
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_rot() {
    use lockstep::host::logdir::{LogDir, LogWriter};
    use lockstep::log::frame::FrameBuilder;
    use lockstep::snapshot::Encoder;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("parts");
    let log = LogDir::open(clock()).unwrap();
    let header = log.header().unwrap();
    let base = Encoder::new(log.base(1 << 30).unwrap());
    let mut writer = LogWriter::create_with(&path, header.lineage, header.generation, base, 40_000).unwrap();
    let mut frame = FrameBuilder::new();
    for (n, place) in log.read().enumerate() {
        frame.push(&place.unwrap().entry);
        if n % 500 == 0 {
            writer.append(&frame.finish()).unwrap();
        }
    }
    if !frame.is_empty() {
        writer.append(&frame.finish()).unwrap();
    }
    writer.close().unwrap();
    let whole = path.display().to_string();
    assert_eq!(verdict(&whole), "whole");
    run(&["replay", &whole]).ends(0, &["the guest ended with pass"]);
    let found = segments(&path);
    assert!(found.len() > 3);
    fs::remove_file(&found[1]).unwrap();
    assert_eq!(verdict(&whole), "rot");
    let ran = run(&["replay", &whole]);
    ran.refuses(&["fix:"]);
    readers_survive(&whole);
    // The last one is only the end; the first one is the beginning.
    fs::remove_file(&found[0]).unwrap();
    assert!(["rot", "unreadable"].contains(&verdict(&whole).as_str()));
    run(&["replay", &whole]).refuses(&["fix:"]);
}

#[test]
fn another_guest_or_memory_is_refused_by_name() {
    let log = clock().to_str().unwrap();
    run(&["replay", log, "--guest", &guest("clock"), "--memory", "4M"]).ends(0, &[]);
    run(&["replay", log, "--guest", &guest("hello")]).refuses(&["clock", "digest", "fix:"]);
    run(&["replay", log, "--memory", "8M"]).refuses(&["4194304", "--memory", "fix:"]);
    run(&["replay", log, "--guest", "/nowhere"]).refuses(&["/nowhere", "fix:"]);
}

#[test]
fn a_position_past_the_end_is_no_divergence() {
    let log = clock().to_str().unwrap();
    let all = run(&["replay", log]);
    for until in ["99999999999", "18446744073709551614", "18446744073709551615"] {
        let ran = run(&["replay", log, "--until", until]);
        ran.ends(0, &["the guest ended with pass"]);
        assert_eq!(ran.out, all.out);
    }
    // A recording that was cut off knows no further than its last entry.
    let dir = TempDir::new().unwrap();
    let cut = damaged(&dir, |log| {
        let segment = &segments(log)[0];
        truncate(segment, fs::metadata(segment).unwrap().len() / 2);
    });
    let ran = run(&["replay", &cut, "--until", "99999999999"]);
    ran.refuses(&["the recording", "--until", "fix:"]);
}

#[test]
fn readers_whose_reader_goes_away_end_quietly() {
    let log = clock().to_str().unwrap();
    for words in [vec!["log", "dump", log], vec!["replay", log]] {
        let mut child = crate::support::lockstep(&words).spawn().unwrap();
        drop(child.stdout.take());
        let ran: Ran = crate::support::watch(child, format!("{words:?} | true"));
        ran.ends(0, &[]);
    }
}
