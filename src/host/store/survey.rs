//! Looking through a store: what is there, and whether it is whole. Nothing is changed.
//!
//! | in the directory | what happened | what is answered |
//! |---|---|---|
//! | `store.new`, no `store` | crash during creation | `Unfinished`: create it again |
//! | `N.ckpt.part` | crash while a checkpoint was saved | ignored; an opener removes it |
//! | `N.spare` | a file for a later segment | whatever it holds is ignored |
//! | segments before what the oldest checkpoint needs | crash while old ones were removed | ignored |
//! | bad bytes behind the last good batch of the last segment | crash while writing | a torn tail: cut |
//! | the same, and a later batch says that this place was durable | not a crash | `Rot` |
//! | a bad batch in another segment, a missing file, a checkpoint past the log's end | not a crash | errors |

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

/// Whether `name` is that of a segment, a checkpoint, or a file which becomes one.
pub fn is_ours(name: &str) -> bool {
    [".log", ".spare", ".ckpt", ".ckpt.part"].iter().any(|suffix| segment::number_in(name, suffix).is_some())
}

/// Looks through the store.
pub fn survey(files: &dyn Files, check: Check) -> Result<Survey, StoreError> {
    let dir = files.path("");
    let names = files.list().map_err(StoreError::io("read the directory", &dir))?;
    let has = |name: &str| names.iter().any(|(found, _)| found == name);
    if !has(identity::NAME) {
        if has(identity::NAME_NEW) {
            return Err(StoreError::Unfinished { dir });
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

    let mut checkpoints = Vec::new();
    for (seq, _) in numbered(".ckpt") {
        let chunks = Chunks::open(files, &identity, seq)?;
        checkpoints.push(chunks.info());
        if check == Check::All {
            chunks.verify()?;
        }
    }
    let (Some(oldest), Some(newest)) = (checkpoints.first(), checkpoints.last()) else {
        return Err(StoreError::NoCheckpoint { dir });
    };
    let (oldest, newest) = (oldest.meta.seq, newest.meta.seq);

    let mut segments = numbered(".log");
    let mut leftovers: Vec<String> =
        segments.drain(..needed_from(&segments, oldest)).map(|(first, _)| segment::name_of(first)).collect();
    let missing = |from: Seq, upto: Seq| StoreError::Missing { dir: dir.clone(), from, upto };
    match segments.first() {
        None => return Err(missing(oldest.next(), newest.next())),
        Some((first, _)) if *first > oldest.next() => {
            return Err(missing(oldest.next(), Seq(first.get() - 1)));
        }
        Some(_) => {}
    }
    let from = if check == Check::All { 0 } else { needed_from(&segments, newest) };
    let tail = walk(files, &identity, &segments[from..])?;
    let last = Seq(tail.progress.next.get() - 1);
    if last < newest {
        // It got its name only when the log up to it was durable.
        return Err(missing(last.next(), newest));
    }

    let parts = numbered(".ckpt.part");
    leftovers.extend(parts.into_iter().map(|(seq, _)| checkpoint::part_name_of(seq)));
    let mut spares: Vec<String> =
        numbered(".spare").into_iter().map(|(first, _)| segment::spare_name_of(first)).collect();
    if spares.len() > SPARES_MAX {
        leftovers.extend(spares.drain(SPARES_MAX..));
    }
    if has(identity::NAME_NEW) {
        leftovers.push(identity::NAME_NEW.into());
    }
    Ok(Survey { identity, checkpoints, segments, tail, spares, leftovers })
}

/// Walks through the segments, of which there is at least one; answers with the end of the log.
fn walk(files: &dyn Files, identity: &Identity, segments: &[(Seq, u64)]) -> Result<Tail, StoreError> {
    // The chain begins with the store's id. Where the beginning is cut off, the first batch is believed.
    let mut sum = (segments[0].0 == identity.base_seq.next()).then_some(identity.id);
    let mut before: Option<Progress> = None;
    for (index, (first, _)) in segments.iter().enumerate() {
        let position = before.map_or(Icount::ZERO, |progress| progress.position);
        let mut walk = Walk::open(files, identity, *first, sum, position)?;
        if let Some(before) = before {
            check_generation(&walk, before)?;
        }
        let Some((next, _)) = segments.get(index + 1) else {
            return last_segment(identity, walk);
        };
        to_entry(&files.path(""), &mut walk, *next)?;
        (sum, before) = (walk.sum(), Some(walk.progress()));
    }
    unreachable!("the last segment returns")
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
fn to_entry(dir: &std::path::Path, walk: &mut Walk, next: Seq) -> Result<(), StoreError> {
    while walk.progress().next < next {
        if let Err(fault) = walk.step()? {
            if !fault.is_torn() {
                let (from, upto) = (walk.progress().next, Seq(next.get() - 1));
                return Err(StoreError::Missing { dir: dir.to_owned(), from, upto });
            }
            return Err(walk.rot(fault, "and a later segment was begun when this one was durable"));
        }
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
fn last_segment(identity: &Identity, mut walk: Walk) -> Result<Tail, StoreError> {
    let fault = loop {
        match walk.step()? {
            Ok(()) => {}
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
    })
}
