use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use std::sync::mpsc::channel;
use tempfile::TempDir;

use super::super::identity::{Claimant, Identity};
use super::super::open::open_boot;
use super::super::place::OverlayPlace;
use super::super::store::Store;
use super::*;
use crate::ft::LinkId;

const LINK: LinkId = LinkId(7);
const VM: &str = "db";

fn place(path: &Path) -> DiskPlace {
    let (file, overlay) = (path.to_owned(), OverlayPlace::None);
    DiskPlace { file, read_only: false, overlay, serial: None, slot: None, reset: false }
}

/// Carries `jobs` out on a disk; everything that was answered.
fn carry_out(disk: Option<OpenDisk>, place: Option<DiskPlace>, jobs: Vec<Job>) -> Vec<Answer> {
    let (give, todo) = channel();
    jobs.into_iter().for_each(|job| give.send(job).unwrap());
    drop(give);
    let answers = Mutex::new(Vec::new());
    let joiner = Joiner { place, vm: VM.into(), node: NodeId(2) };
    work(0, disk, &joiner, &todo, |answer| {
        answers.lock().unwrap().push(answer);
        true
    });
    answers.into_inner().unwrap()
}

fn boot(path: &Path) -> OpenDisk {
    let claimant = Claimant { vm: VM, node: NodeId(1), last: None, replica: None, fault_tolerant: true };
    open_boot(&place(path), 0, &claimant).unwrap()
}

fn request(tag: u64, op: DiskOp) -> Job {
    Job::Request(DiskRequest { disk: 0, tag, op })
}

fn write(tag: u64, sector: u64, byte: u8, bytes: usize) -> Job {
    request(tag, DiskOp::Write { sector, data: vec![byte; bytes] })
}

fn job(work: Work) -> Job {
    Job::Work(DiskJob { link: LINK, disk: 0, work })
}

fn statuses(answers: &[Answer]) -> Vec<DiskStatus> {
    answers.iter().filter_map(|a| if let Answer::Done(done) = a { Some(done.status) } else { None }).collect()
}

fn worked(answers: Vec<Answer>) -> Vec<Result<Worked, String>> {
    answers
        .into_iter()
        .filter_map(|a| if let Answer::Worked(w) = a { Some(w.outcome) } else { None })
        .collect()
}

fn told(answers: &[Answer]) -> Vec<&str> {
    answers
        .iter()
        .filter_map(|a| if let Answer::Tell(text) = a { Some(text.as_str()) } else { None })
        .collect()
}

fn image(dir: &TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn requests_are_answered_in_order_and_reach_the_file() {
    let dir = TempDir::new().unwrap();
    let path = image(&dir, "d.img", &[0; 1 << 20]);
    let jobs = vec![
        write(1, 8, 7, 1024),
        request(2, DiskOp::Flush),
        request(3, DiskOp::Read { sector: 9, bytes: 1024 }),
        request(4, DiskOp::Read { sector: 2047, bytes: 1024 }),
        write(5, u64::MAX, 1, 512),
        request(6, DiskOp::Read { sector: 0, bytes: u32::MAX }),
    ];
    let answers = carry_out(Some(boot(&path)), None, jobs);
    let (ok, error) = (DiskStatus::Ok, DiskStatus::IoError);
    assert_eq!(statuses(&answers), [ok, ok, ok, error, error, error]);
    let Some(Answer::Done(read)) = answers.iter().filter(|a| matches!(a, Answer::Done(_))).nth(2) else {
        panic!("{answers:?}")
    };
    assert_eq!((read.tag, &read.data[..512], &read.data[512..]), (3, &[7; 512][..], &[0; 512][..]));
    assert_eq!(fs::read(&path).unwrap()[4096..5120], [7; 1024]);
    assert_eq!(told(&answers).len(), 2, "each kind once: {answers:?}");
}

/// A store whose parts fail on command.
struct Faulty {
    bytes: Vec<u8>,
    writes_left: usize,
    syncs_left: Arc<Mutex<usize>>,
}

impl Store for Faulty {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.copy_from_slice(&self.bytes[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }

    fn write_at(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        self.writes_left = self.writes_left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        self.bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut left = self.syncs_left.lock().unwrap();
        // Fails once, as the kernel does; the next would go well again.
        let now = *left;
        *left = left.wrapping_sub(1);
        if now == 0 { Err(io::Error::other("EIO")) } else { Ok(()) }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok((offset < self.bytes()).then_some(offset))
    }
}

fn faulty(writes_left: usize, syncs_left: usize) -> OpenDisk {
    let store = Faulty { bytes: vec![0; 8192], writes_left, syncs_left: Arc::new(Mutex::new(syncs_left)) };
    OpenDisk {
        number: 0,
        path: "faulty".into(),
        store: Box::new(store),
        read_only: false,
        guard: None,
        overwrite: Overwrite::Allowed,
        notes: Vec::new(),
    }
}

#[test]
fn after_one_failed_sync_nothing_is_ever_called_durable_again() {
    let jobs = vec![
        write(1, 0, 1, 512),
        request(2, DiskOp::Flush),
        request(3, DiskOp::Flush),
        request(4, DiskOp::Flush),
        write(5, 0, 1, 512),
        request(6, DiskOp::Read { sector: 0, bytes: 512 }),
        job(Work::Sync),
        job(Work::Write { chunk: 0, bytes: vec![0; 8192] }),
    ];
    let answers = carry_out(Some(faulty(9, 1)), None, jobs);
    let (ok, error) = (DiskStatus::Ok, DiskStatus::IoError);
    assert_eq!(statuses(&answers), [ok, ok, error, error, error, ok]);
    assert_eq!(told(&answers).len(), 2, "{answers:?}");
    assert!(told(&answers)[0].contains("a flush failed"), "{answers:?}");
    assert!(worked(answers).iter().all(Result::is_err));
}

#[test]
fn a_full_disk_fails_the_write_and_the_next_may_succeed() {
    let answers = carry_out(
        Some(faulty(1, 9)),
        None,
        vec![write(1, 0, 1, 512), write(2, 1, 2, 512), request(3, DiskOp::Flush)],
    );
    assert_eq!(statuses(&answers), [DiskStatus::Ok, DiskStatus::IoError, DiskStatus::Ok]);
    assert!(told(&answers)[0].contains("a write failed"), "{answers:?}");
}

#[test]
fn chunks_written_while_tracked_are_taken_once_and_in_order() {
    let dir = TempDir::new().unwrap();
    let path = image(&dir, "d.img", &vec![0; 300 << 10]);
    let jobs = vec![
        write(1, 0, 1, 512),
        job(Work::TakeDirty),
        job(Work::Track),
        write(2, 599, 1, 512),
        write(3, 127, 1, 1024),
        job(Work::TakeDirty),
        job(Work::TakeDirty),
        write(4, 300, 1, 512),
        job(Work::Track),
        job(Work::TakeDirty),
        job(Work::Untrack),
    ];
    let found = worked(carry_out(Some(boot(&path)), None, jobs));
    let dirty = |chunks: &[u32]| Ok(Worked::Dirty { chunks: chunks.to_vec() });
    assert!(found[0].is_err());
    assert_eq!(found[2..4], [dirty(&[0, 1, 4]), dirty(&[])]);
    assert_eq!(found[5], dirty(&[]));
}

#[test]
fn digests_are_those_of_the_bytes_also_over_holes_and_at_the_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d.img");
    let file = fs::File::create(&path).unwrap();
    file.set_len((10 << 20) + 512).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[3; 5000], (5 << 20) + 77).unwrap();
    let bytes = fs::read(&path).unwrap();
    let expected: Vec<Digest> = bytes.chunks(CHUNK_BYTES).map(|chunk| digest_bytes(chunk, 0)).collect();
    assert_eq!(expected.len(), 161);
    let asks = [(0, 64), (64, 64), (128, 33)];
    let mut jobs: Vec<Job> =
        asks.iter().map(|(first, count)| job(Work::Digest { first: *first, count: *count })).collect();
    jobs.push(job(Work::Digest { first: 161, count: 1 }));
    jobs.push(job(Work::Digest { first: 160, count: 2 }));
    let mut found = Vec::new();
    let mut refused = 0;
    for outcome in worked(carry_out(Some(boot(&path)), None, jobs)) {
        match outcome {
            Ok(Worked::Digests { first, digests }) => {
                assert_eq!(first as usize, found.len());
                found.extend(digests);
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => refused += 1,
        }
    }
    assert!(found == expected);
    assert_eq!(refused, 2);
}

fn spec(bytes: u64, read_only: bool) -> DiskSpec {
    DiskSpec { sectors: bytes / 512, read_only, serial: "disk0".into() }
}

#[test]
fn a_joiner_makes_a_missing_file_and_calls_it_behind_until_it_counts() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new.img");
    let join = |jobs| worked(carry_out(None, Some(place(&path)), jobs));
    let open = || job(Work::Open { spec: spec(100 << 10, false) });
    let copied = join(vec![open(), job(Work::Write { chunk: 1, bytes: vec![9; 36 << 10] })]);
    assert_eq!(copied, [Ok(Worked::Done), Ok(Worked::Done)]);
    assert_eq!(Identity::read(&path).unwrap().unwrap().role, Role::Behind);
    let claimant = Claimant { vm: VM, node: NodeId(1), last: None, replica: None, fault_tolerant: true };
    assert!(matches!(open_boot(&place(&path), 0, &claimant), Err(DiskError::Partial { .. })));
    let generation = Generation(4);
    let counts = Job::Mark { role: Role::Replica, generation };
    assert_eq!(join(vec![open(), job(Work::Sync), counts, Job::Leave(Some(State::Closed))]).len(), 2);
    let identity = Identity::read(&path).unwrap().unwrap();
    assert_eq!(
        (identity.role, identity.generation, identity.state),
        (Role::Replica, generation, State::Closed)
    );
    assert_eq!(fs::read(&path).unwrap()[64 << 10..], [9; 36 << 10]);
    assert!(open_boot(&place(&path), 0, &claimant).is_ok());
    // Its node has diverged, and is killed then.
    join(vec![open(), Job::Mark { role: Role::Behind, generation }]);
    assert!(matches!(open_boot(&place(&path), 0, &claimant), Err(DiskError::Partial { .. })));
}

#[test]
fn a_file_without_an_identity_is_taken_when_equal_and_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = image(&dir, "photos.img", &[1; 64 << 10]);
    let open = || job(Work::Open { spec: spec(64 << 10, false) });
    let write = || job(Work::Write { chunk: 0, bytes: vec![2; 64 << 10] });
    let refused =
        worked(carry_out(None, Some(place(&path)), vec![open(), write(), Job::Leave(Some(State::Closed))]));
    let why = refused[1].as_ref().unwrap_err();
    assert!(why.contains("photos.img") && why.contains("--disk-reset"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), [1; 64 << 10]);
    assert_eq!(Identity::read(&path).unwrap(), None, "refused, it still has no identity");
    let reset = DiskPlace { reset: true, ..place(&path) };
    assert_eq!(
        worked(carry_out(None, Some(reset), vec![open(), write()])),
        [Ok(Worked::Done), Ok(Worked::Done)]
    );
    fs::remove_file(super::super::identity::path_of(&path)).unwrap();
    // Equal to the primary's: nothing is written before `Sync`.
    let taken = worked(carry_out(None, Some(place(&path)), vec![open(), job(Work::Sync), write()]));
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
}

#[test]
fn a_joiners_disk_of_another_shape_is_refused_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let path = image(&dir, "d.img", &[0; 64 << 10]);
    let read_only = DiskPlace { read_only: true, ..place(&path) };
    let cases = [
        (None, spec(64 << 10, false), "no --disk"),
        (Some(place(&path)), spec(65 << 10, false), "has 66560 bytes"),
        (Some(place(&path)), spec(4 << 40, false), "are the most"),
        (Some(read_only), spec(64 << 10, false), "read-only"),
        (Some(place(&dir.path().join("a/b.img"))), spec(64 << 10, false), "a/b.img"),
        (Some(place(dir.path())), spec(64 << 10, false), "a directory"),
    ];
    for (place, spec, why) in cases {
        let found = worked(carry_out(None, place, vec![job(Work::Open { spec })]));
        let text = found[0].as_ref().unwrap_err();
        assert!(text.contains(why) && text.contains("fix:"), "{why}: {text}");
    }
}

#[test]
fn a_read_only_disk_is_copied_where_it_is_missing_and_compared_where_it_is_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("base.img");
    let open = || job(Work::Open { spec: spec(64 << 10, true) });
    let write = || job(Work::Write { chunk: 0, bytes: vec![2; 64 << 10] });
    // Cut off, and taken up again.
    assert!(worked(carry_out(None, Some(place(&path)), vec![open(), write()])).iter().all(Result::is_ok));
    let jobs = vec![open(), write(), job(Work::Sync), write(), self::write(1, 0, 1, 512)];
    let answers = carry_out(None, Some(place(&path)), jobs);
    assert_eq!(statuses(&answers), [DiskStatus::IoError]);
    let found = worked(answers);
    assert!(found[..3].iter().all(Result::is_ok) && found[3].is_err(), "{found:?}");
    assert_eq!(Identity::read(&path).unwrap(), None, "a whole base needs none");
    let again = worked(carry_out(None, Some(place(&path)), vec![open(), write()]));
    assert!(again[1].as_ref().unwrap_err().contains("differs"), "{again:?}");
    assert_eq!(fs::read(&path).unwrap(), [2; 64 << 10]);
}

#[test]
fn one_file_has_one_writer() {
    let dir = TempDir::new().unwrap();
    let path = image(&dir, "d.img", &[0; 4096]);
    let claimant = Claimant { vm: VM, node: NodeId(1), last: None, replica: None, fault_tolerant: true };
    let reader = DiskPlace { read_only: true, ..place(&path) };
    let first = boot(&path);
    for place in [&place(&path), &reader] {
        assert!(matches!(open_boot(place, 1, &claimant), Err(DiskError::InUse { .. })));
    }
    drop(first);
    let held = [open_boot(&reader, 0, &claimant).unwrap(), open_boot(&reader, 1, &claimant).unwrap()];
    assert!(matches!(open_boot(&place(&path), 0, &claimant), Err(DiskError::InUse { .. })));
    drop(held);
    let overlay = |overlay| DiskPlace { overlay, ..place(&path) };
    let named = overlay(OverlayPlace::File(dir.path().join("d.over")));
    let over = open_boot(&named, 0, &claimant).unwrap();
    assert!(matches!(open_boot(&named, 0, &claimant), Err(DiskError::InUse { .. })));
    assert!(open_boot(&overlay(OverlayPlace::Temporary), 0, &claimant).is_ok());
    drop(over);
}

/// Three sectors of ones; kept, and two of them overwritten; then what is read of how it was, and of how it is.
fn kept_and_overwritten(path: &Path) -> [Result<Vec<u8>, String>; 2] {
    fs::write(path, [1; 3 * 512]).unwrap();
    let read = || {
        let (answer, read) = std::sync::mpsc::sync_channel(1);
        (Job::ReadKept { sector: 0, bytes: 3 * 512, answer }, read)
    };
    let (early, [(kept, first), (late, last)]) = (read(), [read(), read()]);
    let jobs = vec![
        early.0,
        job(Work::Keep),
        write(1, 1, 2, 512),
        write(2, 1, 3, 1024),
        kept,
        job(Work::Unkeep),
        late,
    ];
    let answers = carry_out(Some(boot(path)), None, jobs);
    assert_eq!(statuses(&answers), [DiskStatus::Ok; 2]);
    assert!(early.1.recv().unwrap().unwrap_err().ends_with("as it was: it is not kept"));
    assert!(last.recv().unwrap().unwrap_err().ends_with("as it was: it is not kept"));
    assert_eq!(fs::read(path).unwrap(), [[1; 512], [3; 512], [3; 512]].concat());
    let (give, todo) = channel();
    let (job, closed) = read();
    give.send(job).unwrap();
    drop(give);
    work(0, None, &Joiner { place: None, vm: VM.into(), node: NodeId(2) }, &todo, |_| true);
    [first.recv().unwrap(), closed.recv().unwrap()]
}

/// A sandbox reads what its state goes with, whatever the node writes on.
pub(crate) fn a_kept_disk_is_read_as_it_was() -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    let [kept, closed] = kept_and_overwritten(&dir.path().join("disk"));
    assert_eq!(closed, Err("disk 0 is not open".to_owned()));
    if kept? == [1; 3 * 512] { Ok(()) } else { Err("what was written since is read".into()) }
}

#[test]
fn what_a_disk_held_when_it_was_told_to_keep_it_can_be_read_until_it_is_told_otherwise() {
    assert_eq!(a_kept_disk_is_read_as_it_was(), Ok(()));
}

#[test]
fn no_more_is_kept_than_may_be_and_then_nothing_is_known() {
    let mut kept = Kept::default();
    let piece = 4 << 20;
    for at in 0..(REHEARSAL_SECTORS_MAX as u64 * SECTOR_BYTES / piece) {
        kept.keep(at * piece, Ok(vec![5; piece as usize]));
    }
    assert_eq!((kept.sectors.len(), &kept.lost), (REHEARSAL_SECTORS_MAX, &None));
    kept.keep(0, Ok(vec![6; 512]));
    let mut data = [0; 512];
    kept.restore(0, &mut data);
    assert_eq!((data, kept.lost.as_ref()), ([5; 512], None), "the first content is what counts");
    kept.keep(1 << 40, Ok(vec![6; 512]));
    assert_eq!(kept.lost.as_deref(), Some("the guest has overwritten more than 64 MiB of it since"));
    assert!(kept.sectors.is_empty());
}
