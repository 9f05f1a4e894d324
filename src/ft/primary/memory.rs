//! A joiner's memory, before its state: sent while the guest runs on, and again where the guest has written
//! since, until little is left. So the guest is paused only for that rest, and the joiner has to catch up
//! with only that much of log.
//!
//! ```text
//! boot image, all pages --sent--> written since? --few, or no fewer than before--> state, the rest, log
//!                          ^           | many: those
//!                          +-----------+
//! ```
//!
//! Packing a chunk takes longer than a slice of the guest: after each the guest has its share of the time
//! first, unless it has nothing to do.

use std::collections::{BTreeSet, VecDeque};

use crate::machine::Machine;
use crate::snapshot::ahead;

/// So few pages go with the state.
const FEW_PAGES: usize = 256;
/// After so many rounds the state goes in any case: this guest writes as fast as we send.
const ROUNDS_MAX: u32 = 8;
/// Chunks sent and not yet taken: enough to keep the joiner busy. What it has not taken when the state
/// comes, it has to take while the log grows.
const CHUNKS_UNTAKEN_MAX: u32 = 8;
/// The guest runs for so many times as long as packing took: more makes a join longer, less lets the guest's
/// clients wait longer meanwhile.
const GUEST_SHARE: u64 = 3;

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// This chunk goes to the joiner.
    Send(Vec<u8>),
    /// These pages are all that the joiner has not, or not as they are: the state is to follow, with them.
    Offer(BTreeSet<u32>),
}

/// The sending of RAM and boot image to one joiner.
#[derive(Debug)]
pub(super) struct MemoryCopy {
    /// Pieces of the boot image, sent and in all.
    boot_sent: u32,
    boot_pieces: u32,
    /// Pages to be sent in this round.
    left: VecDeque<u32>,
    /// How many this round began with.
    round_pages: usize,
    rounds: u32,
    chunks_sent: u32,
    /// Those that the joiner has put where they belong.
    chunks_taken: u32,
    /// The guest's, before the next chunk is packed.
    owed_ns: u64,
}

impl MemoryCopy {
    /// Takes note of what there is to send; the machine tracks what the guest writes from here on, until a
    /// call to [forget](Machine::forget_writes).
    pub fn begin(machine: &mut Machine) -> Self {
        machine.note_writes();
        let left: VecDeque<u32> = machine.ram().pages_nonzero().collect();
        Self {
            boot_sent: 0,
            boot_pieces: machine.boot_pieces(),
            round_pages: left.len(),
            left,
            rounds: 0,
            chunks_sent: 0,
            chunks_taken: 0,
            owed_ns: 0,
        }
    }

    /// Chunks sent, and of how many as far as is known.
    pub fn progress(&self) -> (u32, u32) {
        let pages = self.left.len().div_ceil(ahead::PAGES_MAX) as u32;
        (self.chunks_sent, self.chunks_sent + pages + self.boot_pieces - self.boot_sent)
    }

    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// True while the guest's share comes first, or the joiner has enough to do.
    pub fn waits(&self) -> bool {
        let untaken = self.chunks_sent - self.chunks_taken;
        let round_is_over = self.left.is_empty() && self.boot_sent == self.boot_pieces;
        self.owed_ns > 0 || untaken >= CHUNKS_UNTAKEN_MAX || (round_is_over && untaken > 0)
    }

    /// The joiner reports how many chunks it has taken in all; an error is a reason to drop it.
    pub fn taken(&mut self, chunks: u32) -> Result<(), String> {
        if !(self.chunks_taken..=self.chunks_sent).contains(&chunks) {
            return Err("it took memory that it was not sent".into());
        }
        self.chunks_taken = chunks;
        Ok(())
    }

    /// Chunks that the joiner has taken.
    pub fn taken_so_far(&self) -> u32 {
        self.chunks_taken
    }

    /// The last chunk took this long.
    pub fn packed(&mut self, took_ns: u64) {
        self.owed_ns = took_ns.saturating_mul(GUEST_SHARE);
    }

    /// The guest ran for this long.
    pub fn guest_ran(&mut self, ns: u64) {
        self.owed_ns = self.owed_ns.saturating_sub(ns);
    }

    /// The guest has nothing to do.
    pub fn guest_rests(&mut self) {
        self.owed_ns = 0;
    }

    pub fn next(&mut self, machine: &mut Machine) -> Due {
        if let Some(piece) = machine.boot_piece(self.boot_sent) {
            self.boot_sent += 1;
            self.chunks_sent += 1;
            return Due::Send(ahead::boot(&piece));
        }
        if self.left.is_empty() {
            let written = machine.take_written();
            let is_close = written.len() <= FEW_PAGES
                || written.len() > self.round_pages / 2
                || self.rounds == ROUNDS_MAX;
            if is_close {
                return Due::Offer(written);
            }
            self.rounds += 1;
            self.round_pages = written.len();
            self.left = written.into_iter().collect();
        }
        let count = self.left.len().min(ahead::PAGES_MAX);
        let pages: Vec<u32> = self.left.drain(..count).collect();
        self.chunks_sent += 1;
        Due::Send(ahead::pages(machine.ram(), &pages))
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
