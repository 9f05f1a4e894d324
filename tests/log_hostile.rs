//! A damaged log directory: whatever was done to it, reading ends, nothing
//! panics, no entry that was not written is shown, and nothing that is wrong goes untold.

use std::fs;
use std::path::{Path, PathBuf};

use lockstep::base::{Digest, Generation, Icount, Prng, Seq};
use lockstep::cpu::Answer;
use lockstep::host::logdir::{Follower, LogDir, LogError, LogWriter};
use lockstep::log::{Entry, Event, FrameBuilder, Lineage, OutputMark};
use lockstep::machine::{Channel, Input, MachineConfig, Saved};
use lockstep::snapshot::Encoder;
use tempfile::TempDir;

fn entries(count: u64) -> Vec<Entry> {
    let event = |i: u64| match i % 4 {
        0 => Event::Input(Input::NetFrame { rx_seq: i, frame: vec![i as u8; 40] }),
        1 => Event::Input(Input::Answer(Answer::Time(1000 * i))),
        2 => Event::Output(OutputMark { channel: Channel::Net, seq: i, len: 40, digest: i as u32 }),
        _ => Event::Horizon,
    };
    (1..=count).map(|i| Entry { seq: Seq(i), at: Icount(100 * i), event: event(i) }).collect()
}

const RAM: u64 = 4 << 20;

fn base() -> Saved {
    let config = MachineConfig {
        guest: "guest".into(),
        guest_digest: Digest(1),
        ram_bytes: RAM,
        mac: [2; 6],
        ..MachineConfig::default()
    };
    Saved {
        config,
        icount: Icount(0),
        digest: Digest(2),
        state: vec![3; 1000],
        boot: vec![4; 100],
        pages: (0..20).map(|n| (n, vec![n as u8; 4096].into_boxed_slice())).collect(),
    }
}

/// Writes `entries` two to a frame and about `segment_bytes` to a segment.
fn record(dir: &Path, entries: &[Entry], segment_bytes: u64) -> Vec<PathBuf> {
    let lineage = Lineage::of("vm", &base(), Seq(0));
    let encoder = Encoder::new(base());
    let mut writer =
        LogWriter::create_with(dir, lineage, Generation(1), encoder, segment_bytes).expect("a new log");
    let mut builder = FrameBuilder::new();
    for pair in entries.chunks(2) {
        pair.iter().for_each(|entry| builder.push(entry));
        writer.append(&builder.finish()).expect("the disk takes it");
    }
    writer.close().expect("the disk takes it");
    LogDir::open(dir).expect("it is there").segments().iter().map(|s| s.path.clone()).collect()
}

/// What can be read of the log in `dir`, and what was said to be wrong.
fn read(dir: &Path) -> (Vec<Entry>, Vec<LogError>) {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    let Ok(log) = LogDir::open(dir) else { return (entries, errors) };
    for found in log.read() {
        match found {
            Ok(place) => entries.push(place.entry),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                errors.push(error);
            }
        }
        assert!(entries.len() + errors.len() < 10_000, "reading ends");
    }
    (entries, errors)
}

fn is_torn_tail(error: &LogError) -> bool {
    matches!(error, LogError::Damaged { damage, .. } if damage.fault.is_torn_tail())
}

#[test]
fn a_cut_at_every_byte_of_the_last_segment_is_clean_or_a_torn_tail() {
    let tmp = TempDir::new().unwrap();
    let dir = tmp.path().join("log");
    let written = entries(20);
    let segments = record(&dir, &written, 300);
    let last = segments.last().unwrap();
    let whole = fs::read(last).unwrap();
    assert!(segments.len() > 2);
    for len in 0..whole.len() {
        fs::write(last, &whole[..len]).unwrap();
        let (found, errors) = read(&dir);
        assert_eq!(found, written[..found.len()], "cut at {len}");
        assert!(errors.len() <= 1 && errors.iter().all(is_torn_tail), "cut at {len}: {errors:?}");
    }
}

#[test]
fn every_flipped_bit_of_a_small_log_is_told_and_no_other_entry_is_changed() {
    let tmp = TempDir::new().unwrap();
    let dir = tmp.path().join("log");
    let written = entries(14);
    let segments = record(&dir, &written, 260);
    assert!(segments.len() > 2);
    for path in &segments {
        let whole = fs::read(path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, &bad).unwrap();
            let (found, errors) = read(&dir);
            assert!(!errors.is_empty(), "{} bit {bit}", path.display());
            assert!(found.iter().all(|entry| written.contains(entry)), "{} bit {bit}", path.display());
            assert!(found.is_sorted_by_key(|entry| entry.seq), "{} bit {bit}", path.display());
            // At most a segment is lost: its version may be one that we do not read.
            assert!(found.len() + 6 >= written.len(), "{} bit {bit}", path.display());
        }
        fs::write(path, whole).unwrap();
    }
    assert_eq!(read(&dir).0, written);
}

#[test]
fn any_damage_to_any_files_is_survived_and_told() {
    for seed in 0..150 {
        let mut prng = Prng::new(seed);
        let tmp = TempDir::new().unwrap();
        let dir = tmp.path().join("log");
        let written = entries(prng.between(1, 60));
        let segment_bytes = prng.between(200, 1500);
        let segments = record(&dir, &written, segment_bytes);
        for _ in 0..prng.between(1, 3) {
            let path = &segments[prng.below(segments.len() as u64) as usize];
            let Ok(mut bytes) = fs::read(path) else { continue };
            let at = prng.below(bytes.len() as u64 + 1) as usize;
            let len = prng.below(64) as usize;
            match prng.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, vec![0xa7; len])),
                2 => drop(bytes.drain(at..(at + len).min(bytes.len()))),
                3 => bytes.extend_from_within(at..),
                4 => bytes.iter_mut().skip(at).take(len).for_each(|byte| *byte = prng.next_u64() as u8),
                _ => {
                    fs::remove_file(path).unwrap();
                    continue;
                }
            }
            fs::write(path, &bytes).unwrap();
        }
        let (found, errors) = read(&dir);
        assert!(found.iter().all(|entry| written.contains(entry)), "seed {seed}");
        if errors.is_empty() {
            assert_eq!(found, written[..found.len()], "seed {seed}: a hole is reported");
        }
        follow_to_the_end(&dir, &written, seed);
    }
}

/// A follower shows a part of what was written, and then waits or names the damage.
fn follow_to_the_end(dir: &Path, written: &[Entry], seed: u64) {
    let mut follower = Follower::open(dir).unwrap();
    let mut found = Vec::new();
    while let Ok(Some(place)) = follower.poll() {
        assert!(found.len() < 10_000, "seed {seed}: following ends");
        found.push(place.entry);
    }
    let first = found.first().map_or(0, |entry| entry.seq.get() as usize - 1);
    assert_eq!(found, written[first..first + found.len()], "seed {seed}");
}

#[test]
fn things_that_are_no_segments_are_left_alone_or_refused() {
    let tmp = TempDir::new().unwrap();
    let dir = tmp.path().join("log");
    let written = entries(4);
    let segments = record(&dir, &written, 1 << 20);
    for name in ["notes.txt", "1.log", "0000000000000000000x.log", "99999999999999999999.log", ".log"] {
        fs::write(dir.join(name), b"mine").unwrap();
    }
    assert_eq!(read(&dir).0, written);
    assert!(read(&dir).1.is_empty());

    fs::create_dir(dir.join("00000000000000000009.log")).unwrap();
    let (found, errors) = read(&dir);
    assert_eq!(found, written);
    assert!(errors[0].to_string().contains("not a regular file"), "{errors:?}");

    fs::remove_file(&segments[0]).unwrap();
    fs::create_dir(&segments[0]).unwrap();
    assert!(read(&dir).0.is_empty());
}
