//! A frame: a batch of entries with consecutive numbers, the same bytes on disk and on the wire.
//!
//! ```text
//! offset  size    field
//! 0       1       mark, 0xa7 (so a hole of zeros is no frame)
//! 1       3       length of the body in bytes, little-endian
//! 4       4       CRC-32 (IEEE) of bytes 0..4 and of the body, little-endian
//! 8       2       body: how many entries, not 0, little-endian
//! 10      varint  body: number of the first entry, not 0
//! ...     ...     body: the entries, see [`super::code`]
//! ```
//!
//! A frame is self-contained: positions, times and numbers start from zero in each, so the first
//! entry carries them whole and there is no base to keep. A frame is at most [`FRAME_BYTES_MAX`]
//! long, whatever its length field says.
//!
//! Decoding promises: no bytes make it panic; it allocates a bounded multiple of the frame's own
//! bytes; only bytes that [`FrameBuilder`] could have written are accepted, up to CRC collisions and to how
//! what was read from a disk is packed.

use thiserror::Error;

use super::code::{self, ENTRY_BYTES_MAX, EntryError, Payloads, Running};
use super::entry::Entry;
use crate::base::varint::{self, VarintError};
use crate::base::{Icount, Seq};

/// The longest frame.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Mark, length and CRC.
pub const FRAME_PREFIX_BYTES: usize = 8;

const MARK: u8 = 0xa7;
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_PREFIX_BYTES;
/// A count, a first number and one entry without payload.
const BODY_BYTES_MIN: usize = 5;
const COUNT_AT: usize = FRAME_PREFIX_BYTES;
const FIRST_SEQ_AT: usize = COUNT_AT + 2;

/// Bytes that are not (or not yet) a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// So far so good, but the bytes end: with `need` bytes it may become a frame.
    #[error("a frame of at least {need} bytes is cut off after {have}")]
    Incomplete {
        /// Bytes that are there.
        have: usize,
        /// Bytes of the whole frame; of the shortest, while the length field is not there.
        need: usize,
    },
    /// The first byte is not the mark: here is something else, or a hole.
    #[error("no frame starts here: the first byte is {found:#04x}, expected {MARK:#04x}")]
    BadMark {
        /// That byte.
        found: u8,
    },
    /// No frame can be as long as the length field says, or as short.
    #[error("a frame body of {len} bytes is out of bounds ({BODY_BYTES_MIN} to {BODY_BYTES_MAX})")]
    BadLength {
        /// The length field: bytes of the body.
        len: usize,
    },
    /// The frame was damaged, or its end is of another one.
    #[error("the frame's checksum is {found:08x}, its bytes make {expected:08x}")]
    BadCrc {
        /// The checksum that the bytes make.
        expected: u32,
        /// The checksum field.
        found: u32,
    },
    /// The number does not decode.
    #[error("the frame's first entry number: {0}")]
    BadSeq(VarintError),
    /// No entries, a first number of 0, or numbers past 64 bits.
    #[error("the frame numbers {count} entries from {first}")]
    BadCount {
        /// The count field.
        count: u16,
        /// The first number.
        first: Seq,
    },
    /// The checksum is right and yet this is no entry: written by something else than this codec.
    #[error("entry {seq}, {offset} bytes into the frame: {why}")]
    BadEntry {
        /// The number that the entry would have.
        seq: Seq,
        /// Where it starts, in bytes from the frame's start.
        offset: usize,
        /// What is wrong with it.
        why: EntryError,
    },
    /// The body is longer than the entries that it counts.
    #[error("{len} bytes follow entry {last}, the last of the frame")]
    TrailingBytes {
        /// The last entry's number.
        last: Seq,
        /// How many bytes follow it.
        len: usize,
    },
}

impl FrameError {
    /// True when more bytes may make it a frame: the one error that a stream just waits out.
    pub const fn is_incomplete(&self) -> bool {
        matches!(self, FrameError::Incomplete { .. })
    }
}

/// Collects entries into a frame. The buffer is kept from frame to frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    running: Running,
    count: u16,
    /// First and last number and the last position, once there is an entry.
    span: Option<(Seq, Seq, Icount)>,
}

impl FrameBuilder {
    /// A builder without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If `entry` does not follow the one before (number one higher, position not lower), carries
    /// more than [an entry can](code::is_encodable), or the builder [is full](Self::is_full): the caller
    /// ensures all three.
    pub fn push(&mut self, entry: &Entry) {
        assert!(code::is_encodable(&entry.event), "entry {} is too long", entry.seq);
        assert!(!self.is_full(), "entry {} is put into a full frame", entry.seq);
        let first = match self.span {
            Some((first, last, at)) => {
                assert!(entry.seq > last && entry.seq == last.next(), "entry {} after {last}", entry.seq);
                assert!(entry.at >= at, "entry {} goes back from {at} to {}", entry.seq, entry.at);
                first
            }
            None => {
                assert!(entry.seq > Seq::ZERO, "entries are numbered from 1");
                self.bytes.extend_from_slice(&[MARK, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                varint::put_u64(&mut self.bytes, entry.seq.get());
                entry.seq
            }
        };
        self.running.encode(&mut self.bytes, entry.at, &entry.event);
        self.count += 1;
        self.span = Some((first, entry.seq, entry.at));
    }

    /// True when no entry waits to be finished into a frame.
    pub fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// True when the largest possible entry would no longer fit: finish first.
    pub fn is_full(&self) -> bool {
        self.bytes.len() > FRAME_BYTES_MAX - ENTRY_BYTES_MAX || self.count == u16::MAX
    }

    /// Length of the frame if it were finished now; 0 when empty.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The number of the first entry that waits.
    pub fn first_seq(&self) -> Option<Seq> {
        self.span.map(|(first, _, _)| first)
    }

    /// The number of the last entry that waits; the next must be one more.
    pub fn last_seq(&self) -> Option<Seq> {
        self.span.map(|(_, last, _)| last)
    }

    /// The frame, and an empty builder again. No entries, no bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        if !self.is_empty() {
            let body = (self.bytes.len() - FRAME_PREFIX_BYTES) as u32;
            self.bytes[COUNT_AT..FIRST_SEQ_AT].copy_from_slice(&self.count.to_le_bytes());
            self.bytes[1..4].copy_from_slice(&body.to_le_bytes()[..3]);
            let crc = crc_of(&self.bytes);
            self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        }
        let frame = self.bytes.as_slice().to_vec();
        self.bytes.clear();
        self.running = Running::default();
        self.count = 0;
        self.span = None;
        frame
    }
}

/// CRC of a frame's bytes, leaving out the field that holds it.
fn crc_of(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[FRAME_PREFIX_BYTES..]);
    hasher.finalize()
}

/// Length of the frame that starts at `bytes`, going by its length field alone.
pub fn frame_len(bytes: &[u8]) -> Result<usize, FrameError> {
    if let Some(&found) = bytes.first()
        && found != MARK
    {
        return Err(FrameError::BadMark { found });
    }
    let have = bytes.len();
    let Some(&[_, a, b, c]) = bytes.first_chunk() else {
        return Err(FrameError::Incomplete { have, need: FRAME_PREFIX_BYTES + BODY_BYTES_MIN });
    };
    let len = u32::from_le_bytes([a, b, c, 0]) as usize;
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&len) {
        return Err(FrameError::BadLength { len });
    }
    Ok(FRAME_PREFIX_BYTES + len)
}

/// A frame whose checksum is right; its entries are decoded one by one as they are asked for.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    start: EntryCursor,
}

impl<'a> Frame<'a> {
    /// Checks the frame at the front of `bytes`; what follows it does not matter.
    pub fn check(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let need = frame_len(bytes)?;
        let bytes = bytes.get(..need).ok_or(FrameError::Incomplete { have: bytes.len(), need })?;
        let found = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let expected = crc_of(bytes);
        if found != expected {
            return Err(FrameError::BadCrc { expected, found });
        }
        let count = u16::from_le_bytes([bytes[COUNT_AT], bytes[COUNT_AT + 1]]);
        let mut entries = &bytes[FIRST_SEQ_AT..];
        let first = Seq(varint::get_u64(&mut entries).map_err(FrameError::BadSeq)?);
        if first == Seq::ZERO || count == 0 || first.get().checked_add(u64::from(count)).is_none() {
            return Err(FrameError::BadCount { count, first });
        }
        let offset = bytes.len() - entries.len();
        Ok(Self {
            bytes,
            start: EntryCursor { offset, seq: first, left: count, running: Running::default() },
        })
    }

    /// The number of the first entry by the frame's head; never 0.
    pub const fn first_seq(&self) -> Seq {
        self.start.seq
    }

    /// The number of the last entry, if all of them decode.
    pub const fn last_seq(&self) -> Seq {
        Seq(self.start.seq.get() + self.start.left as u64 - 1)
    }

    /// The whole frame.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A place before the first entry.
    pub fn cursor(&self) -> EntryCursor {
        self.start.clone()
    }

    /// The entries in order. After an error there are no more.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, FrameError>> + 'a {
        let (bytes, mut cursor, mut failed) = (self.bytes, self.cursor(), false);
        std::iter::from_fn(move || {
            if failed || cursor.is_done() {
                return None;
            }
            let entry = cursor.next_in(bytes, Payloads::Kept);
            failed = entry.is_err();
            Some(entry)
        })
    }
}

/// A place between two entries of a frame. It borrows nothing, so it can be kept beside the bytes
/// that it is a place in.
#[derive(Clone, Debug)]
pub struct EntryCursor {
    offset: usize,
    seq: Seq,
    /// Entries from here on.
    left: u16,
    running: Running,
}

impl EntryCursor {
    /// Bytes into the frame.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The number of the entry that comes next.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// True after the last entry.
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Decodes the entry here and moves on past it. `frame` must be the whole frame that the cursor
    /// was made for; with other bytes the result makes no sense, but no harm is done. Stays where
    /// it is on an error; asking for more entries than the frame has is one.
    #[inline(always)]
    pub fn next_in(&mut self, frame: &[u8], payloads: Payloads) -> Result<Entry, FrameError> {
        let bad = |why| FrameError::BadEntry { seq: self.seq, offset: self.offset, why };
        let mut rest = frame.get(self.offset..).ok_or(bad(EntryError::Truncated))?;
        let left = self.left.checked_sub(1).ok_or(bad(EntryError::Truncated))?;
        let mut running = self.running;
        let (at, event) = running.decode(&mut rest, payloads).map_err(bad)?;
        if left == 0 && !rest.is_empty() {
            return Err(FrameError::TrailingBytes { last: self.seq, len: rest.len() });
        }
        let entry = Entry { seq: self.seq, at, event };
        *self = Self { offset: frame.len() - rest.len(), seq: self.seq.next(), left, running };
        Ok(entry)
    }
}

/// Decodes the frame at the front of `bytes`: its entries, and how many bytes it took.
pub fn decode_frame(bytes: &[u8]) -> Result<(Vec<Entry>, usize), FrameError> {
    let frame = Frame::check(bytes)?;
    let entries = frame.entries().collect::<Result<Vec<_>, _>>()?;
    Ok((entries, frame.bytes.len()))
}

#[cfg(test)]
mod tests;
