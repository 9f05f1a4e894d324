//! What is sent ahead of a snapshot, while the guest still runs: its memory as it is just then, again and
//! again as it changes, and once what it was booted from.
//!
//! The bytes are chunks as those of a [snapshot](super::chunk), each by itself: chunks of pages count their
//! page numbers from 0, and all have number 0. The snapshot that follows holds only the pages that were
//! written since they were last sent, those of zeros too, and no boot image if that was sent.
//!
//! Absent on purpose: which pages to send, and when ([`crate::ft`]); putting it together
//! ([`crate::machine::Arriving`]).

use super::chunk::{self, Kind, PIECE_BYTES_MAX, PIECE_PAGES_MAX};
use super::decode::{SnapshotError, boot_bytes_max, pages_of};
use super::encode::{bytes_chunk, pages_chunk};
use crate::mem::Ram;

/// The most pages in one chunk.
pub const PAGES_MAX: usize = PIECE_PAGES_MAX;

/// What came in a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Pages as they were when they were sent, ascending.
    Pages(Vec<(u32, Box<[u8]>)>),
    /// The next bytes of the boot image.
    Boot(Vec<u8>),
}

/// A chunk of these pages of `ram`, ascending and at most [`PAGES_MAX`].
pub fn pages(ram: &Ram, numbers: &[u32]) -> Vec<u8> {
    let pages: Vec<(u32, &[u8])> = numbers.iter().map(|page| (*page, ram.page(*page))).collect();
    pages_chunk(0, &pages, 0)
}

/// A chunk of the boot image's next bytes, as many as fit into a chunk.
pub fn boot(piece: &[u8]) -> Vec<u8> {
    debug_assert!(piece.len() <= PIECE_BYTES_MAX);
    bytes_chunk(Kind::Boot, 0, piece, 0)
}

/// What a chunk holds, for a machine with `ram_bytes` of RAM of whose boot image `boot_bytes` have come.
pub fn open(chunk: &[u8], ram_bytes: u64, boot_bytes: usize) -> Result<Ahead, SnapshotError> {
    let (kind, number, payload) = chunk::open(chunk)?;
    if number != 0 {
        return Err(SnapshotError::OutOfOrder { expected: 0, found: number });
    }
    match kind {
        Kind::Pages => Ok(Ahead::Pages(pages_of(ram_bytes, payload, 0)?.0)),
        Kind::Boot => {
            let piece = chunk::get_block(payload, None)?;
            if piece.is_empty() {
                return Err(SnapshotError::EmptyChunk);
            }
            let (found, max) = ((boot_bytes + piece.len()) as u64, boot_bytes_max(ram_bytes));
            if found > max {
                return Err(SnapshotError::OverBound { what: "boot image", found, max });
            }
            Ok(Ahead::Boot(piece))
        }
        found @ (Kind::Head | Kind::Config | Kind::State) => {
            Err(SnapshotError::WrongSection { expected: Kind::Pages, found })
        }
    }
}
