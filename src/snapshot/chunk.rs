//! The bytes of a snapshot.
//!
//! A snapshot is a head chunk and then the chunks of its four sections, in this order: the
//! machine's configuration, its state (registers and devices), what a reset starts over from, the
//! pages of RAM that are not all zero. A file of it is its chunks one after another.
//!
//! ```text
//! offset  size    field
//! 0       4       length of the body in bytes
//! 4       4       CRC-32 (IEEE) of bytes 0..4 and of the body
//! 8       1       body: kind (1 head, 2 configuration, 3 state, 4 pages, 5 boot)
//! 9       4       body: number of this chunk, from 0
//! 13      ...     body: by kind
//!
//! head
//! 13      8       magic, "LKSTPSNP"
//! 21      4       format version, 4 (3 is read: its state has no clock; 2 is read: its configuration has neither board nor hart, either)
//! 25      4       chunks in all, this one included
//! 29      8       RAM size in bytes
//! 37      8       position
//! 45      16      digest of the state at that position
//! 61      8       bytes of configuration
//! 69      8       bytes of state
//! 77      8       bytes of boot
//! 85      4       pages
//!
//! configuration, state, boot
//! 13      ...     block: the next bytes of the section
//!
//! pages
//! 13      varint  number of runs
//! ...     varint  per run: pages skipped since the end of the run before (in the chunk before, too)
//! ...     varint  per run: pages in it
//! ...     ...     block: the pages' bytes, run after run
//!
//! block
//! 0       1       method: 0 stored, 1 LZ4 block
//! 1       varint  length when unpacked, at most 245,760
//! ...     ...     to the end of the chunk
//! ```
//!
//! Little-endian; a page is 4096 bytes. No chunk is longer than [`CHUNK_BYTES_MAX`].

use super::SnapshotError;
use crate::base::varint;
use crate::base::{Digest, Icount};
use crate::mem::PAGE_BYTES;

/// What a head's payload starts with.
pub const MAGIC: [u8; 8] = *b"LKSTPSNP";
/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 4;
/// The first version whose configuration has a board.
pub const VERSION_BOARD: u32 = 3;
/// The oldest version that is read.
pub const VERSION_OLDEST: u32 = 2;
/// The longest chunk, prefix included.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Length and CRC.
pub const CHUNK_PREFIX_BYTES: usize = 8;
/// The most that one chunk holds when unpacked: so much that even unpacked and as single pages it
/// stays below [`CHUNK_BYTES_MAX`].
pub const PIECE_BYTES_MAX: usize = PIECE_PAGES_MAX * PAGE_BYTES;
/// The most pages in one chunk.
pub const PIECE_PAGES_MAX: usize = 60;

const BODY_BYTES_MIN: usize = 5;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The description of the others; the first chunk, and only that.
    Head = 1,
    /// Some of the machine's configuration, in postcard's encoding.
    Config = 2,
    /// Some of the state of hart and devices.
    State = 3,
    /// Pages of RAM.
    Pages = 4,
    /// Some of what a reset starts over from.
    Boot = 5,
}

/// The head chunk's description of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the format.
    pub version: u32,
    /// Chunks in all, the head included.
    pub chunks: u32,
    /// The machine's RAM size in bytes.
    pub ram_bytes: u64,
    /// The machine's position when it was saved.
    pub icount: Icount,
    /// The digest of its whole state there, RAM included.
    pub digest: Digest,
    /// Length of the configuration, unpacked.
    pub config_bytes: u64,
    /// Length of the state of hart and devices, unpacked.
    pub state_bytes: u64,
    /// Length of what a reset starts over from, unpacked; 0 if the snapshot is without.
    pub boot_bytes: u64,
    /// How many pages of RAM the snapshot holds; the others are zeros, or were sent ahead.
    pub pages: u32,
}

/// The length of the whole chunk that starts with these bytes, going by its length field alone.
pub fn chunk_len(prefix: [u8; CHUNK_PREFIX_BYTES]) -> Result<usize, SnapshotError> {
    let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
    if !(BODY_BYTES_MIN..=CHUNK_BYTES_MAX - CHUNK_PREFIX_BYTES).contains(&len) {
        return Err(SnapshotError::BadLength { len });
    }
    Ok(CHUNK_PREFIX_BYTES + len)
}

fn crc_of(chunk: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&chunk[..4]);
    hasher.update(&chunk[CHUNK_PREFIX_BYTES..]);
    hasher.finalize()
}

/// A chunk up to its payload, to be completed by [`seal`].
pub(super) fn begin(kind: Kind, number: u32) -> Vec<u8> {
    let mut chunk = vec![0; CHUNK_PREFIX_BYTES];
    chunk.push(kind as u8);
    chunk.extend_from_slice(&number.to_le_bytes());
    chunk
}

/// Fills in length and checksum.
pub(super) fn seal(mut chunk: Vec<u8>) -> Vec<u8> {
    debug_assert!(chunk.len() <= CHUNK_BYTES_MAX);
    let len = (chunk.len() - CHUNK_PREFIX_BYTES) as u32;
    chunk[..4].copy_from_slice(&len.to_le_bytes());
    let crc = crc_of(&chunk);
    chunk[4..8].copy_from_slice(&crc.to_le_bytes());
    chunk
}

/// Checks a chunk as a whole; answers with its kind, number and payload.
pub(super) fn open(chunk: &[u8]) -> Result<(Kind, u32, &[u8]), SnapshotError> {
    let prefix = *chunk.first_chunk().ok_or(SnapshotError::CutOff)?;
    let need = chunk_len(prefix)?;
    if chunk.len() != need {
        return Err(SnapshotError::WrongLength { expected: need, found: chunk.len() });
    }
    let (found, expected) = (u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]), crc_of(chunk));
    if found != expected {
        return Err(SnapshotError::BadCrc { expected, found });
    }
    let body = &chunk[CHUNK_PREFIX_BYTES..];
    let kind = match body[0] {
        1 => Kind::Head,
        2 => Kind::Config,
        3 => Kind::State,
        4 => Kind::Pages,
        5 => Kind::Boot,
        kind => return Err(SnapshotError::UnknownKind { kind }),
    };
    let number = u32::from_le_bytes([body[1], body[2], body[3], body[4]]);
    Ok((kind, number, &body[BODY_BYTES_MIN..]))
}

impl Head {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.chunks.to_le_bytes());
        out.extend_from_slice(&self.ram_bytes.to_le_bytes());
        out.extend_from_slice(&self.icount.get().to_le_bytes());
        out.extend_from_slice(&self.digest.0.to_le_bytes());
        out.extend_from_slice(&self.config_bytes.to_le_bytes());
        out.extend_from_slice(&self.state_bytes.to_le_bytes());
        out.extend_from_slice(&self.boot_bytes.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
    }

    pub(super) fn decode(mut payload: &[u8]) -> Result<Self, SnapshotError> {
        let bytes = &mut payload;
        let found = take(bytes)?;
        if found != MAGIC {
            return Err(SnapshotError::BadMagic { found });
        }
        let version = u32::from_le_bytes(take(bytes)?);
        if !(VERSION_OLDEST..=VERSION).contains(&version) {
            return Err(SnapshotError::BadVersion { found: version });
        }
        let head = Self {
            version,
            chunks: u32::from_le_bytes(take(bytes)?),
            ram_bytes: u64::from_le_bytes(take(bytes)?),
            icount: Icount(u64::from_le_bytes(take(bytes)?)),
            digest: Digest(u128::from_le_bytes(take(bytes)?)),
            config_bytes: u64::from_le_bytes(take(bytes)?),
            state_bytes: u64::from_le_bytes(take(bytes)?),
            boot_bytes: u64::from_le_bytes(take(bytes)?),
            pages: u32::from_le_bytes(take(bytes)?),
        };
        if bytes.is_empty() { Ok(head) } else { Err(SnapshotError::TrailingBytes { len: bytes.len() }) }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], SnapshotError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(SnapshotError::CutOff)?;
    *bytes = rest;
    Ok(*head)
}

const STORED: u8 = 0;
const LZ4: u8 = 1;

/// Appends `raw` as a block, packed if that is shorter.
pub(super) fn put_block(out: &mut Vec<u8>, raw: &[u8]) {
    let packed = lz4_flex::block::compress(raw);
    let (method, bytes) = if packed.len() < raw.len() { (LZ4, packed.as_slice()) } else { (STORED, raw) };
    out.push(method);
    varint::put_u64(out, raw.len() as u64);
    out.extend_from_slice(bytes);
}

/// Unpacks the block that `bytes` are, of `len` bytes if that is known.
pub(super) fn get_block(mut bytes: &[u8], expected_len: Option<usize>) -> Result<Vec<u8>, SnapshotError> {
    let [method] = take(&mut bytes)?;
    let len = varint::get_u64(&mut bytes)?;
    if len > PIECE_BYTES_MAX as u64 || expected_len.is_some_and(|expected| len != expected as u64) {
        return Err(SnapshotError::BadBlockLength { len, expected: expected_len });
    }
    let len = len as usize;
    match method {
        STORED if bytes.len() == len => Ok(bytes.to_vec()),
        LZ4 => {
            let mut raw = vec![0; len];
            match lz4_flex::block::decompress_into(bytes, &mut raw) {
                Ok(unpacked) if unpacked == len => Ok(raw),
                Ok(unpacked) => Err(SnapshotError::BadBlock { why: format!("{unpacked} of {len} bytes") }),
                Err(why) => Err(SnapshotError::BadBlock { why: why.to_string() }),
            }
        }
        STORED => Err(SnapshotError::BadBlockLength { len: len as u64, expected: Some(bytes.len()) }),
        method => Err(SnapshotError::BadBlock { why: format!("unknown method {method}") }),
    }
}
