//! A saved machine to chunks.

use std::borrow::Borrow;

use super::chunk::{self, Head, Kind, PIECE_BYTES_MAX, PIECE_PAGES_MAX};
use crate::base::varint;
use crate::machine::Saved;

/// Yields a snapshot's chunks in order. It packs a chunk when it is asked for, so the work can be
/// spread out. Takes the saved machine itself, or anything that lends it.
#[derive(Debug)]
pub struct Encoder<S> {
    saved: S,
    /// The configuration, encoded.
    config: Vec<u8>,
    /// How many chunks each section takes.
    config_chunks: u32,
    state_chunks: u32,
    boot_chunks: u32,
    pages_chunks: u32,
    next: u32,
    /// One past the last page that was encoded.
    page_end: u32,
}

impl<S: Borrow<Saved>> Encoder<S> {
    /// Encodes the configuration; the rest is packed chunk by chunk.
    pub fn new(saved: S) -> Self {
        let parts = saved.borrow();
        let config = postcard::to_allocvec(&parts.config).expect("a configuration is plain data");
        Self {
            config_chunks: config.len().div_ceil(PIECE_BYTES_MAX) as u32,
            state_chunks: parts.state.len().div_ceil(PIECE_BYTES_MAX) as u32,
            boot_chunks: parts.boot.len().div_ceil(PIECE_BYTES_MAX) as u32,
            pages_chunks: parts.pages.len().div_ceil(PIECE_PAGES_MAX) as u32,
            config,
            saved,
            next: 0,
            page_end: 0,
        }
    }

    /// How many chunks there are in all; at least the head.
    pub const fn chunks_total(&self) -> u32 {
        1 + self.config_chunks + self.state_chunks + self.boot_chunks + self.pages_chunks
    }

    /// How many have been yielded.
    pub const fn chunks_done(&self) -> u32 {
        self.next
    }

    fn head_chunk(&self) -> Vec<u8> {
        let saved = self.saved.borrow();
        let mut out = chunk::begin(Kind::Head, 0);
        let head = Head {
            version: chunk::VERSION,
            chunks: self.chunks_total(),
            ram_bytes: saved.config.ram_bytes,
            icount: saved.icount,
            digest: saved.digest,
            config_bytes: self.config.len() as u64,
            state_bytes: saved.state.len() as u64,
            boot_bytes: saved.boot.len() as u64,
            pages: saved.pages.len() as u32,
        };
        head.encode(&mut out);
        chunk::seal(out)
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
        let Some(index) = number.checked_sub(1) else { return Some(self.head_chunk()) };
        let saved = self.saved.borrow();
        let Some(index) = index.checked_sub(self.config_chunks) else {
            return Some(bytes_chunk(Kind::Config, number, &self.config, index));
        };
        let Some(index) = index.checked_sub(self.state_chunks) else {
            return Some(bytes_chunk(Kind::State, number, &saved.state, index));
        };
        let Some(index) = index.checked_sub(self.boot_chunks) else {
            return Some(bytes_chunk(Kind::Boot, number, &saved.boot, index));
        };
        let pages = piece(&saved.pages, index as usize, PIECE_PAGES_MAX);
        let chunk = pages_chunk(number, pages, self.page_end);
        self.page_end = pages.last().map_or(self.page_end, |(page, _)| page + 1);
        Some(chunk)
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
