//! A saved machine to chunks.

use std::borrow::Borrow;

use super::chunk::{self, Head, Kind, PIECE_BYTES_MAX, PIECE_PAGES_MAX};
use crate::base::{Digest, Icount, varint};
use crate::machine::{MachineConfig, Saved};

/// How a snapshot is cut into chunks.
#[derive(Debug)]
pub(super) struct Cut {
    /// The configuration, encoded.
    config: Vec<u8>,
    pub head: Head,
    /// How many chunks each section takes.
    config_chunks: u32,
    state_chunks: u32,
    boot_chunks: u32,
}

/// What a chunk is for, and for a section whose bytes are at hand, which of its chunks it is.
pub(super) enum Part {
    Head,
    Config(u32),
    State(u32),
    Boot(u32),
    Pages(u32),
}

impl Cut {
    /// Of a machine of which these are known.
    pub fn new(
        config: &MachineConfig,
        (icount, digest): (Icount, Digest),
        state_bytes: usize,
        boot_bytes: u64,
        pages: u32,
    ) -> Self {
        let encoded = postcard::to_allocvec(config).expect("a configuration is plain data");
        let chunks_of = |bytes: u64| bytes.div_ceil(PIECE_BYTES_MAX as u64) as u32;
        let config_chunks = chunks_of(encoded.len() as u64);
        let (state_chunks, boot_chunks) = (chunks_of(state_bytes as u64), chunks_of(boot_bytes));
        let pages_chunks = pages.div_ceil(PIECE_PAGES_MAX as u32);
        let head = Head {
            version: chunk::VERSION,
            chunks: 1 + config_chunks + state_chunks + boot_chunks + pages_chunks,
            ram_bytes: config.ram_bytes,
            icount,
            digest,
            config_bytes: encoded.len() as u64,
            state_bytes: state_bytes as u64,
            boot_bytes,
            pages,
        };
        Self { config: encoded, head, config_chunks, state_chunks, boot_chunks }
    }

    /// What chunk `number`, one of those that there are, is for.
    pub fn part(&self, number: u32) -> Part {
        let Some(index) = number.checked_sub(1) else { return Part::Head };
        let Some(behind) = index.checked_sub(self.config_chunks) else { return Part::Config(index) };
        let Some(index) = behind.checked_sub(self.state_chunks) else { return Part::State(behind) };
        match index.checked_sub(self.boot_chunks) {
            None => Part::Boot(index),
            Some(index) => Part::Pages(index),
        }
    }

    pub fn head_chunk(&self) -> Vec<u8> {
        let mut out = chunk::begin(Kind::Head, 0);
        self.head.encode(&mut out);
        chunk::seal(out)
    }

    pub fn config_chunk(&self, number: u32, index: u32) -> Vec<u8> {
        bytes_chunk(Kind::Config, number, &self.config, index)
    }
}

/// Yields a snapshot's chunks in order. It packs a chunk when it is asked for, so the work can be
/// spread out. Takes the saved machine itself, or anything that lends it.
#[derive(Debug)]
pub struct Encoder<S> {
    saved: S,
    cut: Cut,
    next: u32,
    /// One past the last page that was encoded.
    page_end: u32,
}

impl<S: Borrow<Saved>> Encoder<S> {
    /// Encodes the configuration; the rest is packed chunk by chunk.
    pub fn new(saved: S) -> Self {
        let Saved { config, icount, digest, state, boot, pages } = saved.borrow();
        let cut = Cut::new(config, (*icount, *digest), state.len(), boot.len() as u64, pages.len() as u32);
        Self { saved, cut, next: 0, page_end: 0 }
    }

    /// How many chunks there are in all; at least the head.
    pub const fn chunks_total(&self) -> u32 {
        self.cut.head.chunks
    }

    /// How many have been yielded.
    pub const fn chunks_done(&self) -> u32 {
        self.next
    }
}

impl<S: Borrow<Saved>> Iterator for Encoder<S> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.next == self.chunks_total() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let saved = self.saved.borrow();
        Some(match self.cut.part(number) {
            Part::Head => self.cut.head_chunk(),
            Part::Config(index) => self.cut.config_chunk(number, index),
            Part::State(index) => bytes_chunk(Kind::State, number, &saved.state, index),
            Part::Boot(index) => bytes_chunk(Kind::Boot, number, &saved.boot, index),
            Part::Pages(index) => {
                let pages = piece(&saved.pages, index as usize, PIECE_PAGES_MAX);
                let chunk = pages_chunk(number, pages, self.page_end);
                self.page_end = pages.last().map_or(self.page_end, |(page, _)| page + 1);
                chunk
            }
        })
    }
}

/// The `index`-th piece of `all`, cut into pieces of `len`.
fn piece<T>(all: &[T], index: usize, len: usize) -> &[T] {
    all.chunks(len).nth(index).unwrap_or_default()
}

pub(super) fn bytes_chunk(kind: Kind, number: u32, section: &[u8], index: u32) -> Vec<u8> {
    let mut out = chunk::begin(kind, number);
    chunk::put_block(&mut out, piece(section, index as usize, PIECE_BYTES_MAX));
    chunk::seal(out)
}

/// A chunk of these pages, ascending and at most [`PIECE_PAGES_MAX`], after one that ended at `page_end`.
pub(super) fn pages_chunk<P: AsRef<[u8]>>(number: u32, pages: &[(u32, P)], mut page_end: u32) -> Vec<u8> {
    let mut out = chunk::begin(Kind::Pages, number);
    let runs: Vec<_> = pages.chunk_by(|(a, _), (b, _)| a + 1 == *b).collect();
    varint::put_u64(&mut out, runs.len() as u64);
    for run in runs {
        let first = run[0].0;
        varint::put_u64(&mut out, u64::from(first - page_end));
        varint::put_u64(&mut out, run.len() as u64);
        page_end = first + run.len() as u32;
    }
    let mut raw = Vec::with_capacity(PIECE_BYTES_MAX);
    for (_, bytes) in pages {
        raw.extend_from_slice(bytes.as_ref());
    }
    chunk::put_block(&mut out, &raw);
    chunk::seal(out)
}
