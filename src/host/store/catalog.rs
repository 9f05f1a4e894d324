//! What is in a store right now: shared by the thread that appends, the one that saves checkpoints, and
//! readers.
//!
//! Its lock is held for a few instructions at a time, never while the disk works.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::checkpoint::CheckpointInfo;
use super::keep::needed_from;
use super::survey::Survey;
use crate::base::{Generation, Seq};

/// How many files are kept for later segments.
pub const SPARES_MAX: usize = 4;

/// The shared state. See the fields of [`Held`].
#[derive(Debug)]
pub struct Catalog {
    held: Mutex<Held>,
    changed: Condvar,
}

/// What is held under the lock.
#[derive(Debug)]
pub struct Held {
    /// Oldest first; at least one.
    pub checkpoints: Vec<CheckpointInfo>,
    /// First entry and length of the file, in order; the last one is written to.
    pub segments: Vec<(Seq, u64)>,
    /// Names of files that can become segments.
    pub spares: Vec<String>,
    /// The last entry that was written; it can be read.
    pub written: Seq,
    /// The last entry that is durable.
    pub durable: Seq,
    /// The generation after the last entry that was written.
    pub generation: Generation,
    /// The way back to this entry is kept whatever the limits say.
    pub hold: Option<Seq>,
    /// Nothing will become durable any more.
    pub ended: bool,
    /// What each reader needs next.
    readers: BTreeMap<u64, Seq>,
    next_reader: u64,
}

impl Held {
    /// The first entry that is there.
    pub fn first(&self) -> Seq {
        self.segments.first().map_or(self.written.next(), |(first, _)| *first)
    }
}

impl Catalog {
    /// The catalogue of a store that was looked through.
    pub fn new(survey: &Survey) -> Self {
        let (checkpoints, segments) = (survey.checkpoints.clone(), survey.segments.clone());
        Self::of(checkpoints, segments, survey.last(), survey.tail.progress.generation)
    }

    /// The catalogue of a store whose log goes to entry `last`, which ends in `generation`.
    pub fn of(
        checkpoints: Vec<CheckpointInfo>,
        segments: Vec<(Seq, u64)>,
        last: Seq,
        generation: Generation,
    ) -> Self {
        let held = Held {
            checkpoints,
            segments,
            spares: Vec::new(),
            written: last,
            durable: last,
            generation,
            hold: None,
            ended: false,
            readers: BTreeMap::new(),
            next_reader: 0,
        };
        Self { held: Mutex::new(held), changed: Condvar::new() }
    }

    /// The state, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Held> {
        // Every change is a whole one: a panic elsewhere leaves the state sound.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the last durable entry.
    pub fn set_durable(&self, upto: Seq) {
        self.lock().durable = upto;
        self.changed.notify_all();
    }

    /// Nothing will become durable any more: whoever waits for it is let go.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until entry `seq` is durable; false if it will not be.
    pub fn wait_durable(&self, seq: Seq) -> bool {
        let mut held = self.lock();
        while held.durable < seq && !held.ended {
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.durable >= seq
    }

    /// A reader begins at the entry behind `after`; none if that is not there.
    pub fn enter_reader(&self, after: Seq) -> Result<u64, (Seq, Seq)> {
        let mut held = self.lock();
        let (first, last) = (held.first(), held.written);
        if after.next() < first || after > last {
            return Err((first, last));
        }
        let id = held.next_reader;
        held.next_reader += 1;
        held.readers.insert(id, after.next());
        Ok(id)
    }

    /// A reader needs nothing before `next` any more.
    pub fn move_reader(&self, id: u64, next: Seq) {
        self.lock().readers.insert(id, next);
    }

    /// A reader has gone.
    pub fn leave_reader(&self, id: u64) {
        self.lock().readers.remove(&id);
    }

    /// The segment that entry `seq` is in.
    pub fn segment_of(&self, seq: Seq) -> Option<Seq> {
        let held = self.lock();
        let index = held.segments.partition_point(|(first, _)| *first <= seq);
        held.segments.get(index.checked_sub(1)?).map(|(first, _)| *first)
    }

    /// Takes the segments out of the list that neither a checkpoint nor a reader needs.
    pub fn take_unneeded(&self) -> Vec<Seq> {
        let mut held = self.lock();
        let Some(oldest) = held.checkpoints.first() else { return Vec::new() };
        let readers = held.readers.values().map(|next| Seq(next.get().saturating_sub(1)));
        let needed = readers.chain([oldest.meta.seq]).min().unwrap_or_default();
        let from = needed_from(&held.segments, needed);
        held.segments.drain(..from).map(|(first, _)| first).collect()
    }
}
