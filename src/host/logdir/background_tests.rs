use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::background::{WAITING_BYTES_MAX, WAITING_BYTES_SOFT};
use super::tests::{base, files, frame, lineage, read};
use super::*;
use crate::base::{Generation, Icount};
use crate::log::segment::HEADER_BYTES_MAX;
use crate::log::{Entry, Event, FrameBuilder};
use crate::machine::Input;
use crate::snapshot::Encoder;

const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for a thread that runs to do what it must not.
const A_WHILE: Duration = Duration::from_millis(100);

/// A base that is complete once something is sent to it: a disk that stands still until then.
fn stuck_base() -> (Sender<()>, impl Iterator<Item = Vec<u8>> + Send) {
    let (go, stuck) = channel::<()>();
    (go, Encoder::new(base()).inspect(move |_| stuck.recv().map_or((), |()| ())))
}

/// A log in `dir/log`, its base, and what its `wake` sends.
fn begin(
    dir: &TempDir,
    base: impl Iterator<Item = Vec<u8>> + Send + 'static,
    bytes_max: Option<u64>,
    segment_bytes_max: u64,
) -> (PathBuf, BackgroundWriter, Receiver<()>) {
    let path = dir.path().join("log");
    let (woken, wakes) = channel();
    let wake = move || woken.send(()).map_or((), |()| ());
    let writer = BackgroundWriter::create_with(
        &path,
        lineage(),
        Generation(1),
        base,
        bytes_max,
        segment_bytes_max,
        wake,
    );
    (path, writer.unwrap(), wakes)
}

/// A frame of `entries` entries of 4000 bytes.
fn large(first: u64, entries: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for seq in first..first + entries {
        let event = Event::Input(Input::Console(vec![b'x'; 4000]));
        builder.push(&Entry { seq: Seq(seq), at: Icount(10 * seq), event });
    }
    builder.finish()
}

#[test]
fn the_files_are_those_of_a_writer_on_the_callers_thread() {
    let dir = TempDir::new().unwrap();
    let (bytes_max, ours) = (106 + 2 * 35, dir.path().join("ours"));
    let mut straight =
        LogWriter::create_with(&ours, lineage(), Generation(1), Encoder::new(base()), bytes_max).unwrap();
    let (path, mut writer, _wakes) = begin(&dir, Encoder::new(base()), None, bytes_max);
    for i in 0..7 {
        let (generation, frame) = (Generation(1 + i), frame(11 + 2 * i, 2));
        straight.set_generation(generation);
        straight.append(&frame).unwrap();
        writer.append(generation, frame);
    }
    straight.close().unwrap();
    assert_eq!(writer.close().unwrap(), Ended::Closed);
    assert_eq!(files(&path), files(&ours));
    assert!(files(&path).len() > 3, "several segments");
    for name in files(&path) {
        assert_eq!(fs::read(path.join(&name)).unwrap(), fs::read(ours.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn an_occupied_directory_is_refused_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(BASE_PART_NAME), b"precious").unwrap();
    let refused =
        BackgroundWriter::create(dir.path(), lineage(), Generation(1), Encoder::new(base()), None, || ());
    assert!(matches!(refused.err(), Some(LogError::Occupied { .. })));
    assert_eq!(fs::read(dir.path().join(BASE_PART_NAME)).unwrap(), b"precious");
}

#[test]
fn who_appends_waits_for_no_disk_until_too_much_waits() {
    let dir = TempDir::new().unwrap();
    let (go, stuck) = stuck_base();
    let (path, mut writer, _wakes) = begin(&dir, stuck, None, SEGMENT_BYTES_MAX);
    let append = |writer: &mut BackgroundWriter| {
        writer.append(Generation(1), large(11 + 64 * writer.appended(), 64));
    };
    let frame_bytes = large(11, 64).len();
    for _ in 0..WAITING_BYTES_SOFT / frame_bytes {
        append(&mut writer);
        assert!(!writer.is_full());
    }
    append(&mut writer);
    assert!(writer.is_full());
    for _ in writer.appended() as usize..WAITING_BYTES_MAX.div_ceil(frame_bytes) {
        append(&mut writer);
    }
    assert_eq!((files(&path), writer.written()), (vec![BASE_PART_NAME.to_owned()], 0));
    // No more than that is kept: the next one waits.
    let appended = writer.appended();
    let waiting = std::thread::spawn(move || {
        append(&mut writer);
        writer
    });
    sleep(A_WHILE);
    assert!(!waiting.is_finished());
    drop(go);
    let writer = waiting.join().unwrap();
    assert_eq!(writer.appended(), appended + 1);
    writer.await_written();
    assert_eq!(writer.written(), appended + 1);
    assert!(!writer.is_full());
    assert_eq!(writer.close().unwrap(), Ended::Closed);
    assert_eq!(read(&path), ((11..11 + 64 * (appended + 1)).collect(), vec![]));
}

#[test]
fn who_awaits_frames_is_woken_when_they_are_written() {
    let dir = TempDir::new().unwrap();
    let (go, stuck) = stuck_base();
    let (path, mut writer, wakes) = begin(&dir, stuck, None, SEGMENT_BYTES_MAX);
    writer.append(Generation(1), frame(11, 2));
    writer.append(Generation(1), frame(13, 2));
    assert!(writer.awaits(2));
    assert!(wakes.recv_timeout(A_WHILE).is_err());
    drop(go);
    wakes.recv_timeout(PATIENCE).expect("woken");
    assert_eq!(writer.written(), 2);
    assert!(!writer.awaits(2));
    // What is written can be read by others, and stays when our process is killed.
    assert_eq!(read(&path), ((11..15).collect(), vec![]));
    // Over and over: a wake-up that is lost shows as one that does not come.
    for n in 3..2000 {
        writer.append(Generation(1), frame(2 * n + 9, 2));
        while writer.awaits(n) {
            wakes.recv_timeout(PATIENCE).expect("woken");
        }
    }
    drop(writer);
    assert_eq!(read(&path).0.last(), Some(&4008), "what is dropped is written, too");
}

#[test]
fn a_failure_ends_the_log_and_keeps_nobody_waiting() {
    let dir = TempDir::new().unwrap();
    let bytes_max = 110 + frame(11, 1).len() as u64;
    let (path, mut writer, wakes) = begin(&dir, Encoder::new(base()), None, bytes_max);
    writer.append(Generation(1), frame(11, 1));
    writer.await_written();
    assert!(!writer.has_ended());
    // The next segment's name is taken, so beginning it fails.
    fs::write(path.join(segment_name(Seq(12))), b"").unwrap();
    writer.append(Generation(1), frame(12, 1));
    writer.append(Generation(1), frame(13, 1));
    wakes.recv_timeout(PATIENCE).expect("woken by the end");
    assert!(writer.has_ended() && !writer.awaits(2));
    writer.await_written();
    assert_eq!(writer.written(), 1);
    let begun = Instant::now();
    for _ in 0..2 * WAITING_BYTES_MAX / (1 << 20) {
        writer.append(Generation(1), vec![0; 1 << 20]);
    }
    assert!(!writer.is_full() && begun.elapsed() < PATIENCE);
    let failure = writer.close().unwrap_err();
    assert!(matches!(&failure, LogError::Io { what: "create", .. }), "{failure}");
}

#[test]
fn a_base_that_cannot_be_made_is_a_failure_too() {
    let dir = TempDir::new().unwrap();
    let fails = std::iter::from_fn(|| panic!("planted: the base cannot be made"));
    let (path, writer, wakes) = begin(&dir, fails, None, SEGMENT_BYTES_MAX);
    wakes.recv_timeout(PATIENCE).expect("woken by the end");
    assert!(writer.has_ended());
    assert!(matches!(writer.close(), Err(LogError::Broken { .. })));
    assert!(matches!(LogDir::open(&path), Err(LogError::Unbegun { .. })));
}

#[test]
fn the_directory_stays_within_its_bound_and_whole() {
    let dir = TempDir::new().unwrap();
    let bytes_max = 8 << 10;
    let (path, mut writer, _wakes) = begin(&dir, Encoder::new(base()), Some(bytes_max), SEGMENT_BYTES_MAX);
    for n in 0..1000 {
        writer.append(Generation(1), frame(11 + 2 * n, 2));
    }
    writer.await_written();
    let written = writer.written();
    let last = Seq(10 + 2 * written);
    assert!(written > 10 && writer.has_ended());
    assert_eq!(writer.close().unwrap(), Ended::Full { last, bytes_max });
    assert_eq!(read(&path), ((11..=last.get()).collect(), vec![]));
    let bytes: u64 = files(&path).iter().map(|name| fs::metadata(path.join(name)).unwrap().len()).sum();
    let margin = HEADER_BYTES_MAX as u64 + frame(11, 2).len() as u64;
    assert!((bytes_max - margin..=bytes_max).contains(&bytes), "{bytes}");
}
