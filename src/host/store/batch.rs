//! A batch: frames that were written together, with what was durable before them.
//!
//! ```text
//! offset  size  field
//! 0       4     mark, "LKSB"
//! 4       4     length of the frames in bytes; 0 says only what is durable
//! 8       8     number of the first entry of the segment: bytes of a recycled file name an earlier one
//! 16      8     number of the first entry of the batch; of the next one if it has no frames
//! 24      8     bytes of the segment that were durable when the batch was written
//! 32      8     sum of the last batch with frames before; the store's id in the first batch of the store
//! 40      8     sum: the low half of the XXH3-128 of the frames, seeded with the sum before
//! 48      4     CRC-32 (IEEE) of bytes 0..48
//! 52      ...   the frames, one after another
//! ```
//!
//! Little-endian. Behind the last batch stand [`HEADER_BYTES`] zeros, or the end of the file.
//!
//! The sums chain each batch to all before it: bytes that stayed from an earlier use of the file, or from
//! batches that were cut, are not taken for the next batch, wherever they happen to begin. The durable
//! length decides between a torn tail and rot: a bad batch is rot if a later one was written when its
//! place was durable already. Frames alone could not tell, since of several that were written and not
//! synced a power loss can leave the later and take the earlier.

use thiserror::Error;

use crate::base::{Seq, digest_bytes};

/// Bytes before the frames.
pub const HEADER_BYTES: usize = 52;
/// The most bytes of frames in one batch: four of the longest.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// What a batch starts with.
pub const MARK: [u8; 4] = *b"LKSB";

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of frames.
    pub len: u32,
    /// Number of the segment's first entry.
    pub segment: Seq,
    /// Number of the batch's first entry.
    pub first: Seq,
    /// Bytes of the segment that were durable before.
    pub durable: u64,
    /// Sum of the batch before.
    pub before: u64,
    /// Sum of this one.
    pub sum: u64,
}

/// Why there is no batch at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchFault {
    /// Nothing was written here.
    #[error("zeros")]
    Zeros,
    /// The file ends.
    #[error("the end of the file")]
    End,
    /// No header, or not all of it.
    #[error("no batch begins here")]
    NoHeader,
    /// Of an earlier use of the file.
    #[error("a batch of segment {0}, which had this file before")]
    Older(Seq),
    /// The frames are not all there, or are others.
    #[error("the sum of the batch is {found:016x}, its bytes make {expected:016x}")]
    BadSum {
        /// The sum that the bytes make.
        expected: u64,
        /// The sum in the header.
        found: u64,
    },
    /// The file ends in the middle of the frames.
    #[error("{have} of {need} bytes of the batch are there")]
    CutOff {
        /// Bytes of frames that are there.
        have: u64,
        /// Bytes of frames by the header.
        need: u64,
    },
}

impl BatchFault {
    /// Whether something was begun here: more than nothing at all.
    pub const fn is_torn(&self) -> bool {
        !matches!(self, BatchFault::Zeros | BatchFault::End)
    }
}

/// The sum of a batch of `frames` behind one with the sum `before`.
pub fn sum_of(frames: &[u8], before: u64) -> u64 {
    digest_bytes(frames, before).0 as u64
}

impl BatchHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MARK);
        out[4..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..16].copy_from_slice(&self.segment.get().to_le_bytes());
        out[16..24].copy_from_slice(&self.first.get().to_le_bytes());
        out[24..32].copy_from_slice(&self.durable.to_le_bytes());
        out[32..40].copy_from_slice(&self.before.to_le_bytes());
        out[40..48].copy_from_slice(&self.sum.to_le_bytes());
        let crc = crc32fast::hash(&out[..48]);
        out[48..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the front of `bytes`, of a batch of `segment`.
    pub fn decode(bytes: &[u8], segment: Seq) -> Result<Self, BatchFault> {
        if bytes.is_empty() {
            return Err(BatchFault::End);
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(if bytes.iter().all(|b| *b == 0) { BatchFault::Zeros } else { BatchFault::NoHeader });
        };
        if bytes[..4] != MARK || crc32fast::hash(&bytes[..48]).to_le_bytes() != bytes[48..] {
            return Err(if bytes == &[0; HEADER_BYTES] { BatchFault::Zeros } else { BatchFault::NoHeader });
        }
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let len = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        let found = Self {
            len,
            segment: Seq(u64_at(8)),
            first: Seq(u64_at(16)),
            durable: u64_at(24),
            before: u64_at(32),
            sum: u64_at(40),
        };
        if len as usize > BATCH_BYTES_MAX {
            return Err(BatchFault::NoHeader);
        }
        if found.segment != segment {
            return Err(BatchFault::Older(found.segment));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            len: 300,
            segment: Seq(7),
            first: Seq(9),
            durable: 1000,
            before: 1 << 60,
            sum: u64::MAX,
        }
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_and_cut_is_noticed() {
        let bytes = header().encode();
        assert_eq!(BatchHeader::decode(&bytes, Seq(7)), Ok(header()));
        assert_eq!(BatchHeader::decode(&bytes, Seq(8)), Err(BatchFault::Older(Seq(7))));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&bad, Seq(7)), Err(BatchFault::NoHeader), "bit {bit}");
        }
        for len in 1..HEADER_BYTES {
            assert_eq!(BatchHeader::decode(&bytes[..len], Seq(7)), Err(BatchFault::NoHeader));
        }
        assert_eq!(BatchHeader::decode(&[], Seq(7)), Err(BatchFault::End));
        assert_eq!(BatchHeader::decode(&[0; 400], Seq(7)), Err(BatchFault::Zeros));
    }

    #[test]
    fn equal_frames_have_other_sums_behind_other_batches() {
        assert_ne!(sum_of(b"frames", 1), sum_of(b"frames", 2));
        assert_ne!(sum_of(b"", 1), sum_of(b"", 2));
    }
}
