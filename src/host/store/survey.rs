//! Looking through a store: what is there, and whether it is whole. Nothing is changed.
//!
//! | in the directory | what happened | what is answered |
//! |---|---|---|
//! | `store.new`, no `store` | crash during creation | `Unfinished`: create it again |
//! | a checkpoint that builds on one which is not there, and a later one that stands by itself | crash while old ones were removed | ignored; an opener removes it |
//! | `N.ckpt.part` | crash while a checkpoint was saved | ignored; an opener removes it |
//! | `N.spare` | a file for a later segment | whatever it holds is ignored |
//! | segments before what the oldest checkpoint needs | crash while old ones were removed | ignored |
//! | bad bytes behind the last good batch of the last segment | crash while writing | a torn tail: cut |
//! | the same, and a later batch says that this place was durable | not a crash | `Rot` |
//! | a bad batch in another segment, a missing file, a checkpoint past the log's end | not a crash | errors |
//!
//! [`look_through`] collects everything that is wrong and what is there all the same, for people; [`survey`] is for
//! a store that is to be used, and fails with the first fault.

use std::fs;
use std::path::Path;

use super::catalog::SPARES_MAX;
use super::checkpoint::{self, CheckpointInfo, Chunks};
use super::error::StoreError;
use super::files::Files;
use super::identity::{self, Identity};
use super::keep::needed_from;
use super::segment::{self, Progress, Walk};
use crate::base::{Icount, Seq};

/// How much of a store is read when it is opened. What is not read then is checked when it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Every byte of checkpoints and log.
    #[default]
    All,
    /// The log since the newest checkpoint; of checkpoints, their heads and ends.
    SinceNewest,
    /// What is needed to go on after this entry, which has a checkpoint: that one, those after it, and the log
    /// since. Of older checkpoints, their heads and ends.
    Since(Seq),
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// First entry of the last segment.
    pub segment: Seq,
    /// Bytes into it: here the next batch goes.
    pub at: u64,
    /// Bytes of it that are known to have been durable.
    pub durable: u64,
    /// Sum of the last batch.
    pub sum: u64,
    /// The next entry, and what the last ones were.
    pub progress: Progress,
    /// Bytes behind `at` that a writer left who was cut off; 0 if there are none.
    pub torn_bytes: u64,
    /// The last that was written is what a close writes.
    pub closed: bool,
}

/// What is in a store.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Whose it is.
    pub identity: Identity,
    /// Oldest first; at least one.
    pub checkpoints: Vec<CheckpointInfo>,
    /// First entry and length of the file, from the one that the oldest checkpoint needs; at least one.
    pub segments: Vec<(Seq, u64)>,
    /// The end of the log.
    pub tail: Tail,
    /// Names of files that can become segments, some of them too many.
    pub(super) spares: Vec<String>,
    /// Names of files that are of no use.
    pub(super) leftovers: Vec<String>,
}

impl Survey {
    /// The first entry that is there.
    pub fn first(&self) -> Seq {
        self.segments[0].0
    }

    /// The last entry that is there; the one before [`Survey::first`] if there is none.
    pub fn last(&self) -> Seq {
        Seq(self.tail.progress.next.get() - 1)
    }
}

/// What there is in a store, whole or not, and what is wrong with it.
#[derive(Debug)]
pub struct Findings {
    /// Whose it is.
    pub identity: Identity,
    /// Those whose heads can be read, oldest first.
    pub checkpoints: Vec<CheckpointInfo>,
    /// First entry and length of the file, from the one that the oldest checkpoint needs.
    pub segments: Vec<(Seq, u64)>,
    /// How far the log was followed; none if no segment could be read.
    pub reached: Option<Progress>,
    /// The end of the log; none if it was not found.
    pub tail: Option<Tail>,
    /// Bytes of all files of the store.
    pub bytes: u64,
    /// Bytes of those that wait to become segments.
    pub bytes_spare: u64,
    /// What is wrong, in the order of checkpoints and then of the log.
    pub faults: Vec<StoreError>,
    spares: Vec<String>,
    leftovers: Vec<String>,
}

impl Findings {
    /// The same of a store that has no fault; otherwise the first.
    pub fn whole(self) -> Result<Survey, StoreError> {
        let Self { identity, checkpoints, segments, tail, faults, spares, leftovers, .. } = self;
        if let Some(fault) = faults.into_iter().next() {
            return Err(fault);
        }
        let tail = tail.expect("the end of a log without a fault is found");
        Ok(Survey { identity, checkpoints, segments, tail, spares, leftovers })
    }

    /// The last entry that is known to be there; the one before the first segment if there is none.
    pub fn last(&self) -> Seq {
        let next =
            self.reached.map(|reached| reached.next).or(self.segments.first().map(|(first, _)| *first));
        next.map_or(Seq::ZERO, |next| Seq(next.get().saturating_sub(1)))
    }

    /// The last position that is known to have been reached.
    pub fn end(&self) -> Icount {
        let last = self.reached.map_or(Icount::ZERO, |reached| reached.position);
        self.checkpoints.last().map_or(last, |newest| last.max(newest.meta.icount))
    }
}

/// Whether `name` is that of a segment, a checkpoint, or a file which becomes one.
pub fn is_ours(name: &str) -> bool {
    [".log", ".spare", ".ckpt", ".ckpt.part"].iter().any(|suffix| segment::number_in(name, suffix).is_some())
}

/// Whether `dir` has, or had, a store, whole or not.
pub fn is_begun_in(dir: &Path) -> bool {
    let names = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|item| item.file_name().into_string().ok());
    // Segments alone may be a recording's.
    let is_of_store = |name: String| {
        [identity::NAME, identity::NAME_NEW].contains(&name.as_str())
            || (is_ours(&name) && !name.ends_with(".log"))
    };
    names.into_iter().any(is_of_store)
}

/// The files by which a recording (`host::logdir`) is told from a store: both have segments.
pub(super) const RECORDING_NAMES: [&str; 2] = ["base.snap", "base.snap.part"];

/// Looks through a store that is to be used.
pub fn survey(files: &dyn Files, check: Check) -> Result<Survey, StoreError> {
    look_through(files, check, &mut |_| {})?.whole()
}

/// Looks through a store as far as it can be read, and says how many bytes it has read whenever there are some more.
/// It fails where there is no store, or its identity says nothing.
pub fn look_through(
    files: &dyn Files,
    check: Check,
    has_read: &mut dyn FnMut(u64),
) -> Result<Findings, StoreError> {
    let dir = files.path("");
    let names = files.list().map_err(StoreError::io("read the directory", &dir))?;
    let has = |name: &str| names.iter().any(|(found, _)| found == name);
    if !has(identity::NAME) {
        if has(identity::NAME_NEW) {
            return Err(StoreError::Unfinished { dir });
        }
        if RECORDING_NAMES.iter().any(|name| has(name)) {
            return Err(StoreError::Recording { dir });
        }
        return match names.iter().find(|(name, _)| is_ours(name)) {
            Some((found, _)) => Err(StoreError::NoIdentity { dir, found: found.clone() }),
            None => Err(StoreError::NoStore { dir }),
        };
    }
    let identity = Identity::read(files)?;
    let numbered = |suffix: &str| {
        let found = names.iter().filter_map(|(name, len)| Some((segment::number_in(name, suffix)?, *len)));
        let mut found: Vec<(Seq, u64)> = found.collect();
        found.sort_unstable();
        found
    };

    let mut faults = Vec::new();
    let saved = numbered(".ckpt");
    let (mut checkpoints, mut orphans) = (Vec::new(), Vec::new());
    for (seq, _) in &saved {
        let is_checked = match check {
            Check::All => true,
            Check::SinceNewest => false,
            Check::Since(from) => *seq >= from,
        };
        match Chunks::open(files, &identity, *seq) {
            Ok(chunks) => {
                let info = chunks.info();
                match info.meta.base {
                    Some(base) if !checkpoints.iter().any(|kept: &CheckpointInfo| kept.meta.seq == base) => {
                        orphans.push((*seq, base));
                        continue;
                    }
                    _ => checkpoints.push(info),
                }
                if is_checked {
                    faults.extend(chunks.verify(&mut *has_read).err());
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    let mut segments = numbered(".log");
    // A removal that was cut off leaves a later one that stands by itself.
    let stands = checkpoints.iter().rfind(|kept| kept.meta.base.is_none()).map(|kept| kept.meta.seq);
    let (orphans, lost): (Vec<_>, Vec<_>) = orphans.into_iter().partition(|(seq, _)| Some(*seq) < stands);
    let no_base = |(seq, base)| StoreError::NoBase { dir: dir.clone(), seq, base };
    faults.extend(lost.into_iter().map(no_base));
    let is_whole = |seq: &Seq| !orphans.iter().any(|(orphan, _)| orphan == seq);
    let saved: Vec<_> = saved.into_iter().filter(|(seq, _)| is_whole(seq)).collect();
    // By their names: what a checkpoint that is rotten needs is needed.
    let (oldest, newest) = match (saved.first(), saved.last()) {
        (Some((oldest, _)), Some((newest, _))) => (*oldest, *newest),
        _ => {
            faults.push(StoreError::NoCheckpoint { dir: dir.clone() });
            let before = segments.first().map_or(identity.base_seq, |(first, _)| *first);
            let before = Seq(before.get().saturating_sub(1));
            (before, before)
        }
    };

    let needless = needed_from(&segments, oldest);
    let mut leftovers: Vec<String> =
        segments.drain(..needless).map(|(first, _)| segment::name_of(first)).collect();
    let missing = |from: Seq, upto: Seq| StoreError::Missing { dir: dir.clone(), from, upto };
    match segments.first() {
        None => faults.push(missing(oldest.next(), newest.next())),
        Some((first, _)) if *first > oldest.next() => {
            faults.push(missing(oldest.next(), Seq(first.get() - 1)));
        }
        Some(_) => {}
    }
    let from = match check {
        Check::All => 0,
        Check::SinceNewest => needed_from(&segments, newest),
        Check::Since(from) => needed_from(&segments, from.max(oldest)),
    };
    let (reached, tail) = walk(files, &identity, &segments[from..], &mut faults, has_read);
    if let Some(last) = tail.map(|tail| Seq(tail.progress.next.get() - 1))
        && last < newest
    {
        // It got its name only when the log up to it was durable.
        faults.push(missing(last.next(), newest));
    }

    let parts = numbered(".ckpt.part");
    leftovers.extend(parts.into_iter().map(|(seq, _)| checkpoint::part_name_of(seq)));
    leftovers.extend(orphans.into_iter().map(|(seq, _)| checkpoint::name_of(seq)));
    let spares = numbered(".spare");
    let bytes_spare = spares.iter().map(|(_, bytes)| bytes).sum();
    let mut spares: Vec<String> =
        spares.into_iter().map(|(first, _)| segment::spare_name_of(first)).collect();
    if spares.len() > SPARES_MAX {
        leftovers.extend(spares.drain(SPARES_MAX..));
    }
    if has(identity::NAME_NEW) {
        leftovers.push(identity::NAME_NEW.into());
    }
    let is_of_store = |name: &str| is_ours(name) || [identity::NAME, identity::NAME_NEW].contains(&name);
    let bytes = names.iter().filter(|(name, _)| is_of_store(name)).map(|(_, bytes)| bytes).sum();
    Ok(Findings {
        identity,
        checkpoints,
        segments,
        reached,
        tail,
        bytes,
        bytes_spare,
        faults,
        spares,
        leftovers,
    })
}

/// Walks through the segments: how far that went, and the end of the log if it was found. A fault ends the walk
/// through its segment, and what is behind it is read without knowing what was before.
fn walk(
    files: &dyn Files,
    identity: &Identity,
    segments: &[(Seq, u64)],
    faults: &mut Vec<StoreError>,
    has_read: &mut dyn FnMut(u64),
) -> (Option<Progress>, Option<Tail>) {
    let dir = files.path("");
    // The chain begins with the store's id. Where the beginning is cut off, the first batch is believed.
    let is_begin = segments.first().is_some_and(|(first, _)| *first == identity.base_seq.next());
    let mut sum = is_begin.then_some(identity.id);
    let mut before: Option<Progress> = None;
    let mut reached = None;
    for (index, (first, _)) in segments.iter().enumerate() {
        let position = before.map_or(Icount::ZERO, |progress| progress.position);
        let mut walk = match Walk::open(files, identity, *first, sum, position) {
            Ok(walk) => walk,
            Err(fault) => {
                faults.push(fault);
                (sum, before) = (None, None);
                continue;
            }
        };
        faults.extend(before.and_then(|before| check_generation(&walk, before).err()));
        let walked = match segments.get(index + 1) {
            None => last_segment(identity, &mut walk, has_read).map(Some),
            Some((next, _)) => to_entry(&dir, &mut walk, *next, has_read).map(|()| None),
        };
        reached = Some(walk.progress());
        match walked {
            Ok(None) => (sum, before) = (walk.sum(), reached),
            Ok(tail) => return (reached, tail),
            Err(fault) => {
                faults.push(fault);
                (sum, before) = (None, None);
            }
        }
    }
    (reached, None)
}

/// A segment names the generation that the entries before it end in.
pub(super) fn check_generation(walk: &Walk, before: Progress) -> Result<(), StoreError> {
    let (expected, found) = (before.generation, walk.header().generation);
    if expected == found {
        return Ok(());
    }
    Err(StoreError::OtherGeneration { path: walk.path().clone(), expected, found })
}

/// Walks through a segment up to the one from entry `next`.
fn to_entry(dir: &Path, walk: &mut Walk, next: Seq, has_read: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    while walk.progress().next < next {
        if let Err(fault) = walk.step()? {
            if !fault.is_torn() {
                let (from, upto) = (walk.progress().next, Seq(next.get() - 1));
                return Err(StoreError::Missing { dir: dir.to_owned(), from, upto });
            }
            return Err(walk.rot(fault, "and a later segment was begun when this one was durable"));
        }
        has_read(walk.frames().len() as u64);
    }
    match walk.progress().next == next {
        true => Ok(()),
        false => Err(StoreError::BadFrame {
            path: walk.path().clone(),
            offset: walk.at(),
            why: format!("entry {next} ends a batch here, and begins the next segment, too"),
        }),
    }
}

/// Walks through the last segment to the end of the log.
fn last_segment(
    identity: &Identity,
    walk: &mut Walk,
    has_read: &mut dyn FnMut(u64),
) -> Result<Tail, StoreError> {
    let fault = loop {
        match walk.step()? {
            Ok(()) => has_read(walk.frames().len() as u64),
            Err(fault) => break fault,
        }
    };
    let behind = walk.behind()?;
    if let Some((offset, first)) = behind.proof {
        let because = format!(
            "and the batch from entry {first} at byte {offset} was written when this place was durable"
        );
        return Err(walk.rot(fault, &because));
    }
    Ok(Tail {
        segment: walk.header().first_seq,
        at: walk.at(),
        durable: walk.durable(),
        // Without a batch in the only segment, there is none before it either.
        sum: walk.sum().unwrap_or(identity.id),
        progress: walk.progress(),
        torn_bytes: behind.bytes.max(u64::from(fault.is_torn())),
        closed: walk.is_closed(),
    })
}
