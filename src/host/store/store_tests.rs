//! Open stores with their threads, on the simulated disk and on the host's.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::checkpoint::Chunks;
use super::disk_tests::{Disk, Operation};
use super::files::HostFiles;
use super::handle::create;
use super::power_tests::{Source, chunks, closed, identity, meta};
use super::*;
use crate::base::{Generation, Icount, Seq};

const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings { segment_bytes: 16 << 10, ..Settings::default() }
}

fn begin(dir: &Path) -> Result<(Store, Receiver<StoreEvent>), StoreError> {
    let (events, seen) = channel();
    let report = move |event| events.send(event).unwrap_or(());
    let base = meta(Seq::ZERO, Generation(1));
    let store = Store::create(dir, &identity(Seq::ZERO), base, chunks(Seq::ZERO), settings(), report)?;
    Ok((store, seen))
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, settings(), |_| {})
}

fn on(disk: &Disk, settings: Settings) -> (Store, Receiver<StoreEvent>) {
    let (events, seen) = channel();
    let report = move |event| events.send(event).unwrap_or(());
    (Store::start(disk.files(), None, settings, Box::new(report)).unwrap(), seen)
}

fn new_disk() -> Disk {
    let disk = Disk::default();
    let base = meta(Seq::ZERO, Generation(1));
    create(&*disk.files(), &identity(Seq::ZERO), base, chunks(Seq::ZERO), 16 << 10).unwrap();
    disk
}

/// Waits for an event that `wanted` picks.
fn await_event(seen: &Receiver<StoreEvent>, wanted: impl Fn(&StoreEvent) -> bool) -> StoreEvent {
    loop {
        let event = seen.recv_timeout(PATIENCE).expect("the event comes");
        if wanted(&event) {
            return event;
        }
    }
}

fn await_durable(seen: &Receiver<StoreEvent>, last: Seq) {
    await_event(seen, |event| matches!(event, StoreEvent::Durable { upto } if *upto == last));
}

fn taken(store: &Store, frame: &[u8]) -> u64 {
    match store.append(frame).unwrap() {
        Appended::Taken { waiting } => waiting,
        Appended::NoRoom { waiting } => panic!("no room, {waiting} bytes wait"),
    }
}

#[test]
fn what_was_appended_is_read_back_now_and_after_the_next_start() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("s");
    let (store, seen) = begin(&dir).unwrap();
    let mut source = Source::new(Seq::ZERO, 1);
    let mut frames: Vec<Vec<u8>> = (0..500).map(|_| source.frame()).collect();
    frames.iter().for_each(|frame| _ = taken(&store, frame));
    let last = Seq(source.next.get() - 1);
    await_durable(&seen, last);
    let read =
        |store: &Store, after| store.frames_after(after).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(read(&store, Seq::ZERO), frames);
    assert_eq!(store.status().durable, last);
    store.checkpoint(meta(last, source.generation), chunks(last).into_iter()).unwrap();
    let saved = await_event(&seen, |event| matches!(event, StoreEvent::CheckpointSaved { .. }));
    let bytes = fs::metadata(dir.join(format!("{:020}.ckpt", last.get()))).unwrap().len();
    assert_eq!(saved, StoreEvent::CheckpointSaved { seq: last, bytes });
    frames.push(source.frame());
    taken(&store, &frames[500]);
    store.close().unwrap();

    let store = open(&dir).unwrap();
    let found = store.found();
    assert_eq!((found.first(), found.last().next()), (Seq(1), source.next));
    assert_eq!((found.tail.torn_bytes, found.tail.progress.generation), (0, source.generation));
    assert_eq!(found.checkpoints.iter().map(|kept| kept.meta.seq).collect::<Vec<_>>(), [Seq::ZERO, last]);
    assert_eq!(read(&store, Seq::ZERO), frames);
    assert_eq!(read(&store, last), frames[500..]);
    // These bytes are whole, and no machine's.
    let chunks = Chunks::open(&HostFiles::new(&dir), &found.identity, last).unwrap();
    assert_eq!(chunks.saved().unwrap(), super::power_tests::state(last));
    assert!(matches!(store.restore(last), Err(StoreError::NotAMachine { .. })));
    assert!(matches!(store.restore(Seq(1)), Err(StoreError::NoSuchCheckpoint { .. })));
    assert_eq!(Store::survey(&dir, Check::All).unwrap_err().to_string(), in_use(&dir));
}

fn in_use(dir: &Path) -> String {
    format!("the store {} is in use by another process", dir.display())
}

#[test]
fn a_store_has_one_owner_until_it_is_closed() {
    let parent = tempfile::tempdir().unwrap();
    let (store, _) = begin(parent.path()).unwrap();
    let error = open(parent.path()).unwrap_err();
    assert_eq!(error.to_string(), in_use(parent.path()));
    assert!(error.fix().unwrap().contains("end that process"));
    drop(store);
    open(parent.path()).unwrap();
    match begin(parent.path()) {
        Err(StoreError::Occupied { found, .. }) => assert_eq!(found, "store"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_whose_node_has_diverged_is_looked_at_and_not_gone_on_from_until_another_takes_its_place() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path();
    let divergence = crate::replay::Divergence {
        seq: Seq(7),
        entry_at: Icount(50),
        machine_at: Icount(50),
        expected: "state digest 1".into(),
        found: "2".into(),
        context: vec![],
    };
    // There is nothing yet to distrust.
    distrust(&dir.join("missing"), &divergence).unwrap();
    distrust(dir, &divergence).unwrap();
    assert!(!is_distrusted(dir));
    drop(begin(dir).unwrap());
    distrust(dir, &divergence).unwrap();
    assert!(is_distrusted(dir) && is_there(dir));
    let error = open(dir).unwrap_err();
    assert!(matches!(&error, StoreError::Diverged { .. }) && !error.is_damage(), "{error}");
    assert!(error.fix().unwrap().contains("lockstep backup"));
    assert!(Store::survey(dir, Check::All).is_ok(), "whoever looks may look");
    // Whatever the file holds.
    fs::write(dir.join("diverged"), b"").unwrap();
    assert!(open(dir).is_err());
    let base = meta(Seq::ZERO, Generation(1));
    let replace = || Store::replace(dir, &identity(Seq::ZERO), base, chunks(Seq::ZERO), settings(), |_| {});
    drop(replace().unwrap());
    assert!(!is_distrusted(dir));
    drop(open(dir).unwrap());
    // Cut off in between, it is none: its name goes before the mark does.
    distrust(dir, &divergence).unwrap();
    fs::rename(dir.join("store"), dir.join("store.new")).unwrap();
    fs::remove_file(dir.join("diverged")).unwrap();
    assert!(!is_there(dir) && open(dir).is_err());
    drop(replace().unwrap());
    drop(open(dir).unwrap());
    // A disk that takes no more bytes still takes a name away.
    fs::create_dir(dir.join("diverged")).unwrap();
    distrust(dir, &divergence).unwrap();
    assert!(!is_there(dir));
}

#[test]
fn what_is_no_store_is_refused_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path();
    let refused = |dir: &Path, words: &str| {
        let error = open(dir).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.fix().is_some(), "{error} has no fix");
    };
    refused(dir, "holds no store");
    refused(&dir.join("missing"), "cannot open");
    fs::write(dir.join("file"), b"x").unwrap();
    refused(&dir.join("file"), "cannot open");
    let error = begin(&dir.join("not/there")).unwrap_err();
    assert!(matches!(&error, StoreError::Io { why, .. } if why.kind() == ErrorKind::NotFound), "{error}");

    fs::write(dir.join("00000000000000000001.log"), b"x").unwrap();
    refused(dir, "no file \"store\"");
    assert!(matches!(begin(dir), Err(StoreError::Occupied { .. })));
    fs::write(dir.join("store.new"), b"{").unwrap();
    refused(dir, "was cut off");
    // It is begun again over what is left of it.
    drop(begin(dir).unwrap());
    drop(open(dir).unwrap());

    let text = fs::read_to_string(dir.join("store")).unwrap();
    fs::write(dir.join("store"), text.replace("\"format\": 2", "\"format\": 7")).unwrap();
    refused(dir, "has format 7, this lockstep reads format 2");
    fs::write(dir.join("store"), vec![b'x'; 70 << 10]).unwrap();
    refused(dir, "does not say whose store");
    fs::write(dir.join("store"), &text).unwrap();
    fs::remove_file(dir.join("00000000000000000000.ckpt")).unwrap();
    refused(dir, "it has no checkpoint");
}

#[test]
fn a_creation_that_finds_the_disk_full_leaves_nothing() {
    for operation in [Operation::Space, Operation::Write] {
        let disk = Disk::default();
        disk.fail(operation, ErrorKind::StorageFull);
        let base = meta(Seq::ZERO, Generation(1));
        let error =
            create(&*disk.files(), &identity(Seq::ZERO), base, chunks(Seq::ZERO), 16 << 10).unwrap_err();
        assert!(error.is_full() && error.fix().unwrap().contains("free some space"), "{error}");
        assert_eq!(disk.names(), Vec::<String>::new());
    }
}

#[test]
fn appending_does_not_wait_for_a_disk_that_hangs_and_is_bounded() {
    let disk = new_disk();
    let (store, seen) = on(&disk, Settings { queue_bytes_max: 0, segment_bytes: 64 << 20, ..settings() });
    disk.hang(true);
    let mut source = Source::new(Seq::ZERO, 4);
    let (mut count, mut waiting) = (0, 0);
    let mut frame = source.frame();
    // At least one of the longest frames has room.
    while let Appended::Taken { waiting: now } = store.append(&frame).unwrap() {
        (count, waiting, frame) = (count + 1, now, source.frame());
    }
    assert!(
        count > 1000 && waiting <= 1 << 20 && waiting + frame.len() as u64 > 1 << 20,
        "{count}: {waiting}"
    );
    assert!(seen.try_recv().is_err(), "nothing is durable yet");
    let before = disk.syncs();
    disk.hang(false);
    let refused = crate::log::Frame::check(&frame).unwrap().first_seq();
    await_durable(&seen, Seq(refused.get() - 1));
    // What came while the first sync hung was written together.
    assert!(disk.syncs() - before <= 3, "{} syncs for {count} frames", disk.syncs() - before);
    taken(&store, &frame);
    store.close().unwrap();
}

#[test]
fn a_store_that_is_not_synced_is_durable_at_the_latest_when_it_is_closed() {
    let (disk, begun) = (new_disk(), Instant::now());
    let (store, seen) = on(&disk, Settings { sync: Sync::Relaxed, ..settings() });
    let mut source = Source::new(Seq::ZERO, 4);
    let before = disk.syncs();
    for _ in 0..20 {
        taken(&store, &source.frame());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(disk.syncs() - before <= begun.elapsed().as_secs());
    let first = Seq(source.next.get() - 1);
    // After a second without anything more to write.
    await_durable(&seen, first);
    taken(&store, &source.frame());
    store.close().unwrap();
    await_durable(&seen, Seq(source.next.get() - 1));
}

#[test]
fn a_failure_is_reported_once_and_everything_after_it_is_refused() {
    for (kind, is_full) in [(ErrorKind::Other, false), (ErrorKind::StorageFull, true)] {
        let disk = new_disk();
        let (store, seen) = on(&disk, settings());
        let mut source = Source::new(Seq::ZERO, 4);
        taken(&store, &source.frame());
        await_durable(&seen, Seq(source.next.get() - 1));
        disk.fail(Operation::Write, kind);
        taken(&store, &source.frame());
        let event = seen.recv_timeout(PATIENCE).unwrap();
        match event {
            StoreEvent::Full { why } => assert!(is_full && why.contains("cannot write to"), "{why}"),
            StoreEvent::Failed { why } => assert!(!is_full && why.contains("cannot write to"), "{why}"),
            other => panic!("{other:?}"),
        }
        let next = source.frame();
        assert!(matches!(store.append(&next), Err(StoreError::Broken { .. })));
        store.checkpoint(meta(source.next, Generation(1)), chunks(source.next).into_iter()).unwrap();
        let failed = await_event(&seen, |event| matches!(event, StoreEvent::CheckpointFailed { .. }));
        assert!(matches!(failed, StoreEvent::CheckpointFailed { seq, .. } if seq == source.next));
        assert!(store.close().is_err());
        assert!(seen.try_recv().is_err(), "more was reported");
    }
}

#[test]
fn a_frame_out_of_order_or_damaged_is_refused_and_the_store_goes_on() {
    let disk = new_disk();
    let (store, seen) = on(&disk, settings());
    let mut source = Source::new(Seq::ZERO, 4);
    let (first, second) = (source.frame(), source.frame());
    assert!(matches!(store.append(&second), Err(StoreError::OutOfSequence { expected: Seq(1), .. })));
    let mut bad = first.clone();
    bad[12] ^= 1;
    assert!(matches!(store.append(&bad), Err(StoreError::NotAFrame { .. })));
    taken(&store, &first);
    assert!(matches!(store.append(&first), Err(StoreError::OutOfSequence { .. })));
    taken(&store, &second);
    await_durable(&seen, Seq(source.next.get() - 1));
}

#[test]
fn appending_goes_on_while_a_checkpoint_is_saved_and_only_one_is_saved_at_a_time() {
    let disk = new_disk();
    let keep = Keep { count: Some(1), ..Keep::default() };
    let (store, seen) = on(&disk, Settings { keep, ..settings() });
    let mut source = Source::new(Seq::ZERO, 4);
    (0..400).for_each(|_| _ = taken(&store, &source.frame()));
    let seq = Seq(source.next.get() - 1);
    await_durable(&seen, seq);
    let (go_on, waits) = channel::<()>();
    let slow = chunks(seq).into_iter().inspect(move |_| waits.recv_timeout(PATIENCE).unwrap_or(()));
    store.checkpoint(meta(seq, source.generation), slow).unwrap();
    let busy = store.checkpoint(meta(seq, source.generation), chunks(seq).into_iter());
    assert!(matches!(busy, Err(StoreError::Busy { .. })));
    (0..100).for_each(|_| _ = taken(&store, &source.frame()));
    await_durable(&seen, Seq(source.next.get() - 1));
    assert_eq!(store.status().checkpoints.len(), 1);
    drop(go_on);
    await_event(&seen, |event| matches!(event, StoreEvent::CheckpointSaved { .. }));
    let pruned = await_event(&seen, |event| matches!(event, StoreEvent::Pruned(_)));
    assert!(matches!(pruned, StoreEvent::Pruned(Pruned { checkpoints: 1, segments: 1.. })), "{pruned:?}");
    let status = store.status();
    assert_eq!(status.checkpoints.iter().map(|kept| kept.meta.seq).collect::<Vec<_>>(), [seq]);
    assert!(status.first > Seq(1) && status.first <= seq.next());
    store.close().unwrap();
    let (store, _) = on(&disk, settings());
    assert_eq!(store.found().last().next(), source.next);
}

#[test]
fn a_checkpoint_that_is_not_finished_goes_with_the_close() {
    let disk = new_disk();
    let (store, seen) = on(&disk, settings());
    // The log never comes to where it is.
    let seq = Seq(50);
    store.checkpoint(meta(seq, Generation(1)), chunks(seq).into_iter()).unwrap();
    store.close().unwrap();
    let event = await_event(&seen, |event| matches!(event, StoreEvent::CheckpointFailed { .. }));
    assert!(matches!(event, StoreEvent::CheckpointFailed { seq, .. } if seq == Seq(50)));
    assert!(!disk.names().iter().any(|name| name.contains("50.ckpt")), "{:?}", disk.names());
}

#[test]
fn the_way_back_that_is_held_stays() {
    let (disk, _) = closed();
    let (store, seen) = on(&disk, settings());
    store.hold(Some(Seq(1)));
    let keep = Keep { count: Some(1), ..Keep::default() };
    assert!(store.prune(keep));
    store.hold(None);
    assert!(store.prune(keep));
    let event = await_event(&seen, |event| matches!(event, StoreEvent::Pruned(_)));
    assert!(matches!(event, StoreEvent::Pruned(Pruned { checkpoints: 1, .. })));
    assert_eq!(store.status().checkpoints.len(), 1);
}
