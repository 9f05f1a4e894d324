//! A saved machine to chunks.

use std::borrow::Borrow;

use super::Parts;
use super::chunk::{self, Head, Kind, PIECE_BYTES_MAX, PIECE_PAGES_MAX};
use crate::base::varint;

/// Yields a snapshot's chunks in order. It packs a chunk when it is asked for, so the work can be
/// spread out.
#[derive(Debug)]
pub struct Encoder<P> {
    parts: P,
    chunks: u32,
    next: u32,
    /// One past the last page that was encoded.
    page_end: u32,
}

impl<P: Borrow<Parts>> Encoder<P> {
    pub fn new(parts: P) -> Self {
        let sections = Sections::of(parts.borrow());
        Self { chunks: sections.chunks(), parts, next: 0, page_end: 0 }
    }

    /// How many chunks there are in all; at least the head.
    pub const fn chunks_total(&self) -> u32 {
        self.chunks
    }

    /// How many have been yielded.
    pub const fn chunks_done(&self) -> u32 {
        self.next
    }
}

/// How many chunks each section takes.
struct Sections {
    config: u32,
    state: u32,
    pages: u32,
}

impl Sections {
    fn of(parts: &Parts) -> Self {
        Self {
            config: parts.config.len().div_ceil(PIECE_BYTES_MAX) as u32,
            state: parts.state.len().div_ceil(PIECE_BYTES_MAX) as u32,
            pages: parts.pages.len().div_ceil(PIECE_PAGES_MAX) as u32,
        }
    }

    fn chunks(&self) -> u32 {
        1 + self.config + self.state + self.pages
    }
}

impl<P: Borrow<Parts>> Iterator for Encoder<P> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.next == self.chunks {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let parts = self.parts.borrow();
        let sections = Sections::of(parts);
        let Some(index) = number.checked_sub(1) else {
            return Some(head_chunk(parts, self.chunks));
        };
        if index < sections.config {
            return Some(bytes_chunk(Kind::Config, number, &parts.config, index));
        }
        let index = index - sections.config;
        if index < sections.state {
            return Some(bytes_chunk(Kind::State, number, &parts.state, index));
        }
        let pages = piece(&parts.pages, (index - sections.state) as usize, PIECE_PAGES_MAX);
        let chunk = pages_chunk(number, pages, self.page_end);
        self.page_end = pages.last().map_or(self.page_end, |(page, _)| page + 1);
        Some(chunk)
    }
}

/// The `index`-th piece of `all`, cut into pieces of `len`.
fn piece<T>(all: &[T], index: usize, len: usize) -> &[T] {
    all.chunks(len).nth(index).unwrap_or_default()
}

fn head_chunk(parts: &Parts, chunks: u32) -> Vec<u8> {
    let mut out = chunk::begin(Kind::Head, 0);
    let head = Head {
        chunks,
        ram_bytes: parts.ram_bytes,
        icount: parts.icount,
        digest: parts.digest,
        config_bytes: parts.config.len() as u64,
        state_bytes: parts.state.len() as u64,
        pages: parts.pages.len() as u32,
    };
    head.encode(&mut out);
    chunk::seal(out)
}

fn bytes_chunk(kind: Kind, number: u32, section: &[u8], index: u32) -> Vec<u8> {
    let mut out = chunk::begin(kind, number);
    chunk::put_block(&mut out, piece(section, index as usize, PIECE_BYTES_MAX));
    chunk::seal(out)
}

fn pages_chunk(number: u32, pages: &[(u32, Box<[u8]>)], mut page_end: u32) -> Vec<u8> {
    let mut out = chunk::begin(Kind::Pages, number);
    let runs: Vec<_> = pages.chunk_by(|(a, _), (b, _)| a + 1 == *b).collect();
    varint::put_u64(&mut out, runs.len() as u64);
    for run in runs {
        let first = run[0].0;
        varint::put_u64(&mut out, u64::from(first - page_end));
        varint::put_u64(&mut out, run.len() as u64);
        page_end = first + run.len() as u32;
    }
    let raw: Vec<u8> = pages.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    chunk::put_block(&mut out, &raw);
    chunk::seal(out)
}
