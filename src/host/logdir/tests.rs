use std::fs;

use tempfile::TempDir;

use super::*;
use crate::base::{Digest, Generation, Icount};
use crate::log::{Entry, Event, Fault, FrameBuilder, Lineage};
use crate::machine::{Input, MachineConfig, Saved};
use crate::snapshot::Encoder;

const RAM: u64 = 4 << 20;

pub(super) fn lineage() -> Lineage {
    Lineage::of("test", &base(), Seq(10))
}

pub(super) fn base() -> Saved {
    let config = MachineConfig {
        guest: "echo.elf".into(),
        guest_digest: Digest(1),
        ram_bytes: RAM,
        mac: [2; 6],
        ..MachineConfig::default()
    };
    Saved {
        config,
        icount: Icount(100),
        digest: Digest(2),
        state: vec![3; 1000],
        boot: vec![4; 100],
        pages: (0..20).map(|n| (n, vec![n as u8; 4096].into_boxed_slice())).collect(),
    }
}

pub(super) fn frame(first: u64, count: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for seq in first..first + count {
        let event = Event::Input(Input::Console(format!("line {seq}\n").into_bytes()));
        builder.push(&Entry { seq: Seq(seq), at: Icount(10 * seq), event });
    }
    builder.finish()
}

/// A log in `dir/log` whose segments hold two frames of two entries, from entry 11 on.
fn write(dir: &TempDir, frames: u64) -> PathBuf {
    let path = dir.path().join("log");
    let bytes_max = 106 + 2 * 35;
    let mut writer =
        LogWriter::create_with(&path, lineage(), Generation(1), Encoder::new(base()), bytes_max).unwrap();
    for i in 0..frames {
        writer.append(&frame(11 + 2 * i, 2)).unwrap();
        writer.set_generation(Generation(1 + i));
    }
    assert_eq!(writer.next_seq(), Seq(11 + 2 * frames));
    writer.close().unwrap();
    path
}

/// Numbers of the entries, and what was wrong.
pub(super) fn read(path: &Path) -> (Vec<u64>, Vec<String>) {
    let (mut seqs, mut damage) = (Vec::new(), Vec::new());
    for found in LogDir::open(path).unwrap().read() {
        match found {
            Ok(place) => seqs.push(place.entry.seq.get()),
            Err(error) => damage.push(error.to_string()),
        }
    }
    (seqs, damage)
}

pub(super) fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_log_comes_back_over_its_segments_and_its_base_too() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 5);
    assert_eq!(
        files(&path),
        [segment_name(Seq(11)), segment_name(Seq(15)), segment_name(Seq(19)), BASE_NAME.into()]
    );
    assert_eq!(read(&path), ((11..21).collect(), vec![]));
    let log = LogDir::open(&path).unwrap();
    assert_eq!(log.base(RAM).unwrap(), base());
    assert!(matches!(log.base(RAM - 1), Err(LogError::BadBase { .. })));
    assert_eq!(log.header().unwrap().lineage, lineage());
    assert_eq!(log.bytes(), log.segments().iter().map(|s| fs::metadata(&s.path).unwrap().len()).sum::<u64>());
}

#[test]
fn a_log_without_entries_is_whole() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 0);
    assert_eq!(read(&path), (vec![], vec![]));
    fs::remove_file(path.join(segment_name(Seq(11)))).unwrap();
    assert_eq!(read(&path), (vec![], vec![]));
    assert!(matches!(LogDir::open(dir.path()), Err(LogError::NoLog { .. })));
    assert!(matches!(LogDir::open(&path.join("missing")), Err(LogError::Io { .. })));
    fs::write(dir.path().join(BASE_PART_NAME), b"").unwrap();
    let begun = LogDir::open(dir.path()).unwrap_err();
    assert!(matches!(&begun, LogError::Unbegun { .. }), "{begun}");
    assert!(begun.fix().unwrap().contains("cut off"));
}

#[test]
fn an_occupied_directory_is_refused_and_left_as_it_is() {
    for keep in [BASE_NAME.to_string(), segment_name(Seq(11)), BASE_PART_NAME.into()] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        fs::create_dir(&path).unwrap();
        fs::write(path.join(&keep), b"precious").unwrap();
        let error = LogWriter::create(&path, lineage(), Generation(1), Encoder::new(base())).unwrap_err();
        assert!(matches!(&error, LogError::Occupied { found, .. } if *found == keep), "{error}");
        assert!(error.fix().unwrap().contains("choose another directory"));
        assert_eq!(files(&path), std::slice::from_ref(&keep));
        assert_eq!(fs::read(path.join(keep)).unwrap(), b"precious");
    }
}

#[test]
fn a_directory_whose_parent_is_missing_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("no/log");
    let error = LogWriter::create(&path, lineage(), Generation(1), Encoder::new(base())).unwrap_err();
    assert!(matches!(&error, LogError::Io { what: "create the directory", .. }), "{error}");
    assert!(error.fix().is_some());
}

#[test]
fn only_frames_in_sequence_are_appended() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let mut writer = LogWriter::create(&path, lineage(), Generation(1), Encoder::new(base())).unwrap();
    assert!(matches!(writer.append(&frame(12, 1)), Err(LogError::OutOfSequence { .. })));
    assert!(matches!(writer.append(b"no frame at all"), Err(LogError::NotAFrame { .. })));
    writer.append(&frame(11, 1)).expect("what was refused did no harm");
    assert_eq!(read(&path), (vec![11], vec![]));
}

#[test]
fn a_writer_that_failed_once_writes_no_more() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let bytes_max = 110 + frame(11, 1).len() as u64;
    let mut writer =
        LogWriter::create_with(&path, lineage(), Generation(1), Encoder::new(base()), bytes_max).unwrap();
    writer.append(&frame(11, 1)).unwrap();
    // The next segment's name is taken, so beginning it fails.
    fs::write(path.join(segment_name(Seq(12))), b"").unwrap();
    assert!(matches!(writer.append(&frame(12, 1)), Err(LogError::Io { .. })));
    fs::remove_file(path.join(segment_name(Seq(12)))).unwrap();
    assert!(matches!(writer.append(&frame(12, 1)), Err(LogError::Broken { .. })));
    assert!(matches!(writer.close(), Err(LogError::Broken { .. })));
}

#[test]
fn a_torn_tail_is_told_from_rot() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 5);
    let cut = |first: u64, by: u64| {
        let file = path.join(segment_name(Seq(first)));
        let len = fs::metadata(&file).unwrap().len();
        fs::File::options().write(true).open(file).unwrap().set_len(len - by).unwrap();
    };
    cut(19, 1);
    let (seqs, damage) = read(&path);
    assert_eq!(seqs, (11..19).collect::<Vec<_>>());
    assert!(damage.len() == 1 && damage[0].contains("torn tail"), "{damage:?}");

    cut(15, 1);
    let (seqs, damage) = read(&path);
    assert_eq!(seqs, (11..17).collect::<Vec<_>>());
    assert!(damage.len() == 3 && damage[0].contains("rot"), "{damage:?}");
    assert!(damage[1].contains("entries 17 to 18 are missing"), "{damage:?}");
    assert!(damage[2].contains("torn tail"), "{damage:?}");

    fs::write(path.join(segment_name(Seq(19))), b"LKST").unwrap();
    let (_, damage) = read(&path);
    assert!(damage.last().unwrap().contains("torn tail: the segment was just begun, its 4 bytes"));
}

#[test]
fn a_missing_segment_is_rot_also_at_the_front() {
    for (missing, text) in [(11, "entries 11 to 14 are missing"), (15, "entries 15 to 18 are missing")] {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, 5);
        fs::remove_file(path.join(segment_name(Seq(missing)))).unwrap();
        let (seqs, damage) = read(&path);
        assert_eq!(seqs.len(), 6);
        assert!(damage.len() == 1 && damage[0].contains(text), "{damage:?}");
    }
}

#[test]
fn a_rotten_or_foreign_header_is_named_and_what_follows_is_read() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 5);
    let middle = path.join(segment_name(Seq(15)));
    let good = fs::read(&middle).unwrap();

    let mut bad = good.clone();
    bad[40] ^= 1;
    fs::write(&middle, &bad).unwrap();
    let (seqs, damage) = read(&path);
    assert_eq!(seqs, (11..21).collect::<Vec<_>>());
    assert!(damage[0].contains("header cannot be read"), "{damage:?}");

    bad = good.clone();
    bad[8] = 9;
    fs::write(&middle, &bad).unwrap();
    let (seqs, damage) = read(&path);
    assert_eq!(seqs, [11, 12, 13, 14, 19, 20]);
    assert!(damage.len() == 1 && damage[0].contains("format version 9"), "{damage:?}");

    let mut header = LogDir::open(&path).unwrap().header().unwrap();
    header.lineage.ram_bytes = 1 << 30;
    header.first_seq = Seq(15);
    let frames = &good[header.encode().len()..];
    fs::write(&middle, [&header.encode(), frames].concat()).unwrap();
    let (seqs, damage) = read(&path);
    assert_eq!(seqs, (11..21).collect::<Vec<_>>());
    assert!(damage.len() == 1 && damage[0].contains("its RAM size is 1073741824"), "{damage:?}");

    fs::write(&middle, &good).unwrap();
    fs::rename(&middle, path.join(segment_name(Seq(16)))).unwrap();
    let (_, damage) = read(&path);
    assert!(damage[0].contains("named for entry 16, but its header says 15"), "{damage:?}");
}

#[test]
fn a_rotten_base_is_refused_at_every_byte_that_matters() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 0);
    let base_path = path.join(BASE_NAME);
    let good = fs::read(&base_path).unwrap();
    let log = LogDir::open(&path).unwrap();
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&base_path, &bad).unwrap();
        assert!(matches!(log.base(RAM), Err(LogError::BadBase { .. })), "byte {at}");
        fs::write(&base_path, &good[..at]).unwrap();
        assert!(matches!(log.base(RAM), Err(LogError::BadBase { .. })), "cut at {at}");
    }
}

#[test]
fn a_follower_sees_each_entry_when_it_is_written() {
    let dir = TempDir::new().unwrap();
    let whole = write(&dir, 5);
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let mut follower = Follower::open(&copy).unwrap();
    let mut seqs = Vec::new();
    let mut poll_all = |follower: &mut Follower| {
        while let Some(place) = follower.poll().unwrap() {
            seqs.push(place.entry.seq.get());
        }
        seqs.len()
    };
    assert_eq!(poll_all(&mut follower), 0);
    for segment in LogDir::open(&whole).unwrap().segments() {
        let (bytes, to) = (fs::read(&segment.path).unwrap(), copy.join(segment.path.file_name().unwrap()));
        for len in 0..=bytes.len() {
            fs::write(&to, &bytes[..len]).unwrap();
            poll_all(&mut follower);
        }
    }
    assert_eq!(poll_all(&mut follower), 10);
    assert_eq!(seqs, (11..21).collect::<Vec<_>>());
}

#[test]
fn a_follower_stops_at_damage_with_its_place() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 5);
    let file = path.join(segment_name(Seq(15)));
    let mut bytes = fs::read(&file).unwrap();
    let len = bytes.len();
    bytes.truncate(len - 3);
    fs::write(&file, &bytes).unwrap();
    let mut follower = Follower::open(&path).unwrap();
    let mut read = 0;
    let error = loop {
        match follower.poll() {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("waits for what will not come"),
            Err(error) => break error,
        }
    };
    assert_eq!(read, 6);
    let LogError::Damaged { damage, .. } = &error else { panic!("{error}") };
    assert!(matches!(damage.fault, Fault::Rot { .. }));
    assert_eq!(damage.offset, (len - frame(17, 2).len()) as u64);
}
