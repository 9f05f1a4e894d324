//! Removing what is over from a store that nobody has, and looking through one that is damaged.

use super::checkpoint::{CheckpointMeta, name_of};
use super::disk_tests::Disk;
use super::error::StoreError;
use super::handle::resume;
use super::keep::Keep;
use super::keeper::Keeper;
use super::power_tests::{chunks, closed, meta};
use super::prune::prune_in;
use super::survey::{Check, RECORDING_NAMES, look_through, survey};
use crate::base::{Generation, Seq};
use crate::host::logdir::{BASE_NAME, BASE_PART_NAME};

fn keep(text: &str) -> Keep {
    text.parse().unwrap()
}

/// The newest checkpoint of a closed store has rotted: what is older stays.
pub fn the_only_way_back_stays() -> Result<(), String> {
    let (disk, _) = closed();
    let newest = disk.names().into_iter().rfind(|name| name.ends_with(".ckpt"));
    rot(&disk, &newest.ok_or("no checkpoint")?, 200);
    let names = disk.names();
    match prune_in(disk.files(), &keep("1")) {
        Err(StoreError::LeftUnsound { .. }) if disk.names() == names => Ok(()),
        other => Err(format!("{other:?}, and {:?} are left of {names:?}", disk.names())),
    }
}

/// Of checkpoints that build on each other none goes while one stays.
pub fn what_a_checkpoint_builds_on_stays() -> Result<(), String> {
    let (disk, _) = chained();
    prune_in(disk.files(), &keep("1")).map_err(|error| error.to_string())?;
    let found = survey(&*disk.files(), Check::All).map_err(|error| error.to_string())?;
    match found.checkpoints.len() {
        3 => Ok(()),
        other => Err(format!("{other} checkpoints are left")),
    }
}

#[test]
fn a_checkpoint_goes_only_with_those_that_build_on_it() {
    what_a_checkpoint_builds_on_stays().unwrap();
    // The newest and all that it builds on is the only way back.
    let (disk, _) = chained();
    let error = prune_in(disk.files(), &keep("1K")).unwrap_err();
    let newest = survey(&*disk.files(), Check::All).unwrap().checkpoints.pop().unwrap();
    assert!(
        matches!(error, StoreError::OnlyWayBack { bytes, .. } if bytes > 2 * newest.bytes),
        "{error}: {newest:?}"
    );
}

/// A removal was cut off in any place: what builds on a checkpoint that has gone is left over, and only before all others.
#[test]
fn increments_without_their_base_are_left_over_or_a_fault() {
    let (disk, checkpoints) = chained();
    let before = disk.names();
    for gone in [&checkpoints[..1], &checkpoints[1..2], &checkpoints[..2], &checkpoints[..3]] {
        let copy = disk.copy();
        gone.iter().for_each(|name| copy.files().remove(name).unwrap());
        let found = survey(&*copy.files(), Check::All).unwrap();
        let expected = if gone[0] == checkpoints[0] { 3 } else { 4 };
        assert_eq!(found.checkpoints.len(), expected, "{gone:?}");
        let report = prune_in(copy.files(), &keep("1")).unwrap();
        assert_eq!(report.pruned.checkpoints, expected - 3);
        assert!(!copy.names().iter().any(|name| checkpoints[..3].contains(name)), "{:?}", copy.names());
    }
    // The newest ones' base.
    let copy = disk.copy();
    copy.files().remove(&checkpoints[3]).unwrap();
    let found = look_through(&*copy.files(), Check::All, &mut |_| {}).unwrap();
    let missing = found.faults.iter().filter(|fault| matches!(fault, StoreError::NoBase { .. })).count();
    assert_eq!((missing, found.checkpoints.len()), (2, 3), "{:?}", found.faults);
    assert_eq!(disk.names(), before);
}

/// A closed store with two groups of three checkpoints that build on each other, the first of each on none; and their names.
fn chained() -> (Disk, Vec<String>) {
    let (disk, last) = closed();
    let files = disk.files();
    prune_in(disk.files(), &keep("1")).unwrap();
    let (_, catalog, _) = resume(&files, Check::All, 2000).unwrap();
    let identity = survey(&*files, Check::All).unwrap().identity;
    let mut keeper = Keeper::new(disk.files(), catalog, identity);
    let oldest = survey(&*files, Check::All).unwrap().checkpoints[0].meta.seq;
    let mut base = None;
    let names = (0..6).map(|nth| {
        let seq = Seq(last.get() - 5 + nth);
        assert!(seq > oldest, "{seq} {oldest}");
        let meta = CheckpointMeta { base: base.filter(|_| nth % 3 > 0), ..meta(seq, Generation(1)) };
        let info = keeper.write(meta, chunks(seq), || true).unwrap().unwrap();
        keeper.publish(info).unwrap();
        base = Some(seq);
        name_of(seq)
    });
    let names = names.collect();
    files.remove(&name_of(oldest)).unwrap();
    (disk, names)
}

fn rot(disk: &Disk, name: &str, at: usize) {
    let (mut content, _) = disk.content(name);
    content[at] ^= 1;
    disk.put(name, content);
}

#[test]
fn nothing_goes_unless_what_is_left_is_whole() {
    the_only_way_back_stays().unwrap();
    // The same of the log.
    let (disk, _) = closed();
    let log = disk.names().into_iter().rfind(|name| name.ends_with(".log")).unwrap();
    rot(&disk, &log, 300);
    let names = disk.names();
    prune_in(disk.files(), &keep("1")).unwrap_err();
    assert_eq!(disk.names(), names);
}

#[test]
fn what_is_over_goes_and_its_space_is_free_again() {
    let (disk, last) = closed();
    let before = survey(&*disk.files(), Check::All).unwrap();
    let report = prune_in(disk.files(), &keep("1")).unwrap();
    assert_eq!(report.pruned.checkpoints, before.checkpoints.len() - 1);
    assert!(report.pruned.segments > 0 && report.bytes_freed > 0);
    assert!(!disk.names().iter().any(|name| name.ends_with(".spare")), "{:?}", disk.names());
    let after = survey(&*disk.files(), Check::All).unwrap();
    assert_eq!((after.last(), after.checkpoints.len()), (last, 1));
    assert_eq!(after.checkpoints[0], before.checkpoints[before.checkpoints.len() - 1]);
    assert_eq!(prune_in(disk.files(), &keep("1")).unwrap().pruned, Default::default());
}

/// A removal was cut off: the checkpoint has gone, and a segment that only it needed has not.
#[test]
fn what_a_removal_has_left_goes_with_the_next_one() {
    let (disk, last) = closed();
    let first = disk.names().into_iter().find(|name| name.ends_with(".log")).unwrap();
    let (content, _) = disk.content(&first);
    prune_in(disk.files(), &keep("1")).unwrap();
    assert!(!disk.names().contains(&first));
    disk.put(&first, content.clone());
    let report = prune_in(disk.files(), &keep("1")).unwrap();
    assert_eq!((report.bytes_freed, report.pruned), (content.len() as u64, Default::default()));
    assert!(!disk.names().contains(&first), "{:?}", disk.names());
    assert_eq!(survey(&*disk.files(), Check::All).unwrap().last(), last);
}

#[test]
fn a_limit_that_the_only_way_back_exceeds_is_refused() {
    let (disk, _) = closed();
    let names = disk.names();
    match prune_in(disk.files(), &Keep { bytes: Some(1), ..Keep::default() }) {
        Err(error @ StoreError::OnlyWayBack { limit: 1, .. }) => {
            assert_eq!(error.fix().unwrap(), "keep at least that: --keep 1M");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.names(), names);
}

#[test]
fn all_that_is_wrong_is_found_at_once_and_the_rest_is_told() {
    let (disk, last) = closed();
    let mut bytes = 0;
    let whole = look_through(&*disk.files(), Check::All, &mut |more| bytes += more).unwrap();
    let chunks: u64 = whole.checkpoints.iter().map(|kept| kept.bytes - 108).sum();
    assert!(bytes > chunks + 1000 && bytes < whole.bytes, "{bytes} bytes were read of {}", whole.bytes);
    assert!(whole.faults.is_empty() && whole.tail.is_some_and(|tail| tail.closed));
    let names = disk.names();
    let of = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).cloned().collect::<Vec<_>>();
    let (checkpoints, logs) = (of(".ckpt"), of(".log"));
    assert!(logs.len() > 2, "{logs:?}");
    rot(&disk, &checkpoints[0], 200);
    rot(&disk, &logs[0], 300);
    rot(&disk, &logs[1], 300);
    let found = look_through(&*disk.files(), Check::All, &mut |_| {}).unwrap();
    let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, name) in faults.iter().zip([&checkpoints[0], &logs[0], &logs[1]]) {
        assert!(fault.contains(name.as_str()) && fault.contains("at byte"), "{fault}");
    }
    // The end of the log is found all the same, and both checkpoints have heads.
    assert_eq!((found.last(), found.checkpoints.len()), (last, checkpoints.len()));
    assert!(found.tail.is_some());
    // What is newer than the rot is whole.
    let newest = found.checkpoints.last().unwrap().meta.seq;
    assert_eq!(survey(&*disk.files(), Check::Since(newest)).unwrap().last(), last);
}

#[test]
fn a_recording_is_known_by_the_names_that_it_has() {
    assert_eq!(RECORDING_NAMES, [BASE_NAME, BASE_PART_NAME]);
}
