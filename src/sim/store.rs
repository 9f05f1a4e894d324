//! A node's store in the simulated world: what a process has written, how much of that is synced, and what is left after
//! a process or a host is lost.

use crate::base::{Generation, Prng, Seq};
use crate::ft::Standing;
use crate::log::Frame;
use crate::machine::Saved;

use super::oracle::Who;

/// A store that is whole: its base is durable.
pub struct SimStore {
    /// Tells it from others that were in this place.
    pub number: u64,
    /// The role that has written it.
    pub by: Who,
    pub base: Saved,
    /// The number of the first entry behind the base.
    pub first: Seq,
    pub generation: Generation,
    pub life: u64,
    frames: Vec<Vec<u8>>,
    /// So many frames were removed from the front.
    dropped: usize,
    /// So many of them are synced.
    durable: usize,
    /// The base is durable: until then there is no store.
    pub is_whole: bool,
    /// What the replica was to its group.
    pub standing: Standing,
}

impl SimStore {
    pub fn new(number: u64, by: Who, base: Saved, first: Seq, generation: Generation, life: u64) -> Self {
        Self {
            number,
            by,
            base,
            first,
            generation,
            life,
            frames: Vec::new(),
            dropped: 0,
            durable: 0,
            is_whole: false,
            standing: Standing::default(),
        }
    }

    /// Takes a frame; how many there are then.
    pub fn append(&mut self, frame: Vec<u8>) -> usize {
        self.frames.push(frame);
        self.dropped + self.frames.len()
    }

    /// The first `count` frames are synced: the last entry that is durable then; none if they are not there any more.
    pub fn synced(&mut self, count: usize) -> Option<Seq> {
        let count = count.saturating_sub(self.dropped);
        if count > self.frames.len() {
            return None;
        }
        self.durable = count.max(self.durable);
        Some(self.last_of(self.durable))
    }

    /// The last entry of the first `count` frames.
    fn last_of(&self, count: usize) -> Seq {
        match count.checked_sub(1) {
            Some(at) => Frame::check(&self.frames[at]).map_or(Seq::ZERO, |frame| frame.last_seq()),
            None => Seq(self.first.get() - 1),
        }
    }

    /// The last entry that is durable.
    pub fn durable_upto(&self) -> Seq {
        self.last_of(self.durable)
    }

    /// From here on the store begins with a checkpoint after entry `seq`, and what came before is gone.
    pub fn starts_from(&mut self, state: Saved, seq: Seq, generation: Generation) {
        let is_behind = |frame: &Vec<u8>| Frame::check(frame).is_ok_and(|frame| frame.last_seq() > seq);
        let gone = self.frames.iter().position(is_behind).unwrap_or(self.frames.len());
        self.frames.drain(..gone);
        self.dropped += gone;
        self.durable = self.durable.saturating_sub(gone);
        (self.base, self.first, self.generation) = (state, seq.next(), generation);
    }

    /// The last entry that is there.
    pub fn last(&self) -> Seq {
        self.last_of(self.frames.len())
    }

    /// Opening it syncs what is there.
    pub fn opened(&mut self) {
        self.durable = self.frames.len();
    }

    pub fn frame(&self, at: usize) -> Option<&Vec<u8>> {
        self.frames.get(at)
    }

    /// The process is gone: of what it had not handed to the kernel, some is lost. With the host, all that was not
    /// synced may be.
    pub fn process_died(&mut self, number: u64, prng: &mut Prng) {
        // Nothing that was under way for the dead process is taken for the next one's.
        self.number = number;
        let left = prng.between(self.durable as u64, self.frames.len() as u64) as usize;
        self.frames.truncate(left);
    }
}
