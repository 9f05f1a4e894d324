//! A machine that was saved while it ran on, to chunks: those that an [`Encoder`](super::Encoder) yields of what
//! [`Machine::save`](crate::machine::Machine::save) answers at the same position, to the byte.
//!
//! Packing is where a save's time goes, so it has no machine: what it takes are plain bytes that a machine
//! handed out ([`Machine::save_next`](crate::machine::Machine::save_next)), on whatever thread.

use super::chunk::{Kind, PIECE_BYTES_MAX, PIECE_PAGES_MAX};
use super::encode::{Cut, Part, bytes_chunk, pages_chunk};
use crate::machine::{Piece, SavedHead};
use crate::mem::{PAGE_BYTES, Pages};

/// Yields a snapshot's chunks in order. It takes a piece when it needs one, and packs a chunk when it is asked for.
/// It holds one chunk's bytes and one piece besides the head.
///
/// If the pieces end too early (the save was abandoned) the chunks do: fewer come than the head announces.
#[derive(Debug)]
pub struct Packer<I> {
    cut: Cut,
    /// Hart and devices, encoded.
    state: Vec<u8>,
    pieces: I,
    /// What was taken from `pieces` and is in no chunk yet.
    boot: Vec<u8>,
    pages: Pages,
    next: u32,
    /// One past the last page that was packed.
    page_end: u32,
}

impl<I: Iterator<Item = Piece>> Packer<I> {
    /// Encodes the configuration; the rest is packed chunk by chunk.
    pub fn new(head: SavedHead, pieces: I) -> Self {
        let SavedHead { config, icount, digest, state, boot_bytes, pages, base: _ } = head;
        let cut = Cut::new(&config, (icount, digest), state.len(), boot_bytes, pages);
        Self { cut, state, pieces, boot: Vec::new(), pages: Pages::default(), next: 0, page_end: 0 }
    }

    /// How many chunks there are in all; at least the head.
    pub const fn chunks_total(&self) -> u32 {
        self.cut.head.chunks
    }

    /// How many have been yielded.
    pub const fn chunks_done(&self) -> u32 {
        self.next
    }

    /// Takes pieces until `has_enough`; none if they end before.
    fn fill(&mut self, has_enough: impl Fn(&Self) -> bool) -> Option<()> {
        while !has_enough(self) {
            match self.pieces.next()? {
                Piece::Boot(bytes) => self.boot.extend(bytes),
                Piece::Pages(pages) => {
                    self.pages.numbers.extend(pages.numbers);
                    self.pages.bytes.extend(pages.bytes);
                }
            }
        }
        Some(())
    }

    fn boot_chunk(&mut self, number: u32, index: u32) -> Option<Vec<u8>> {
        let before = u64::from(index) * PIECE_BYTES_MAX as u64;
        let len = (self.cut.head.boot_bytes - before).min(PIECE_BYTES_MAX as u64) as usize;
        self.fill(|this| this.boot.len() >= len)?;
        let chunk = bytes_chunk(Kind::Boot, number, &self.boot[..len], 0);
        self.boot.drain(..len);
        Some(chunk)
    }

    fn pages_chunk(&mut self, number: u32, index: u32) -> Option<Vec<u8>> {
        let before = index as usize * PIECE_PAGES_MAX;
        let len = (self.cut.head.pages as usize - before).min(PIECE_PAGES_MAX);
        self.fill(|this| this.pages.numbers.len() >= len)?;
        let pages: Vec<(u32, &[u8])> = self.pages.iter().take(len).collect();
        let chunk = pages_chunk(number, &pages, self.page_end);
        self.page_end = pages.last().map_or(self.page_end, |(page, _)| page + 1);
        self.pages.numbers.drain(..len);
        self.pages.bytes.drain(..len * PAGE_BYTES);
        Some(chunk)
    }
}

impl<I: Iterator<Item = Piece>> Iterator for Packer<I> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.next == self.chunks_total() {
            return None;
        }
        let number = self.next;
        let chunk = match self.cut.part(number) {
            Part::Head => self.cut.head_chunk(),
            Part::Config(index) => self.cut.config_chunk(number, index),
            Part::State(index) => bytes_chunk(Kind::State, number, &self.state, index),
            Part::Boot(index) => self.boot_chunk(number, index)?,
            Part::Pages(index) => self.pages_chunk(number, index)?,
        };
        self.next += 1;
        Some(chunk)
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
pub(crate) mod tests;
