//! Chunks to a saved machine, from an untrusted sender.
//!
//! Promises: no bytes make it panic; it holds no more than the bytes that came, unpacked, and never
//! more than twice the RAM size that the caller allows (for RAM and what it was booted from, and
//! [`SECTION_BYTES_MAX`] for each of the other sections); chunks that are missing, repeated or out of order are refused.

use thiserror::Error;

use super::chunk::{self, Head, Kind};
use crate::base::varint::{self, VarintError};
use crate::cpu::Cpu;
use crate::machine::{BoardModel, MachineConfig, Saved};
use crate::mem::PAGE_BYTES;

/// The most configuration, and the most state, that a snapshot may hold.
pub const SECTION_BYTES_MAX: u64 = 64 << 20;

/// Chunks that are not a snapshot, or not one that we take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The bytes end inside a chunk, or its payload inside a field.
    #[error("the snapshot is cut off inside a chunk")]
    CutOff,
    /// No chunk can be as long as the length field says, or as short.
    #[error("a snapshot chunk of {len} bytes is out of bounds")]
    BadLength {
        /// The length field: bytes of the body.
        len: usize,
    },
    /// The bytes are more or fewer than one chunk.
    #[error("a snapshot chunk has {found} bytes, its length field says {expected}")]
    WrongLength {
        /// The whole chunk, by its length field.
        expected: usize,
        /// How many bytes came.
        found: usize,
    },
    /// The chunk was damaged on its way or on its disk.
    #[error("a snapshot chunk's checksum is {found:08x}, its bytes make {expected:08x}")]
    BadCrc {
        /// The checksum that the bytes make.
        expected: u32,
        /// The checksum field.
        found: u32,
    },
    /// The checksum is right and the kind is none of [`Kind`].
    #[error("no snapshot chunk is of kind {kind}")]
    UnknownKind {
        /// The kind byte.
        kind: u8,
    },
    /// The head does not start with [`chunk::MAGIC`].
    #[error("this is no lockstep snapshot: it starts with {found:02x?}, not \"LKSTPSNP\"")]
    BadMagic {
        /// Its first eight bytes.
        found: [u8; 8],
    },
    /// Outside of [`chunk::VERSION_OLDEST`] to [`chunk::VERSION`].
    #[error("the snapshot has format version {found}, this lockstep reads version {}", chunk::VERSION)]
    BadVersion {
        /// The version field.
        found: u32,
    },
    /// A chunk is missing, repeated or out of place.
    #[error("snapshot chunk {found} came where chunk {expected} should")]
    OutOfOrder {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// The number is right and the section is not the one that is due.
    #[error("a snapshot chunk of {found:?} came where {expected:?} should")]
    WrongSection {
        /// The section that is due.
        expected: Kind,
        /// The section that came.
        found: Kind,
    },
    /// The head claims more than the receiver takes, and none of it is stored; or a boot image that is sent ahead
    /// grows past the bound.
    #[error("the snapshot's {what} of {found} is over the bound of {max}")]
    OverBound {
        /// Which size.
        what: &'static str,
        /// The claim: bytes, or pages for a page count.
        found: u64,
        /// The receiver's bound, in the same unit.
        max: u64,
    },
    /// Not whole pages, or more pages than 32 bits number.
    #[error("the snapshot's RAM size of {ram_bytes} bytes is not a number of pages")]
    BadRamSize {
        /// The head's RAM size.
        ram_bytes: u64,
    },
    /// A number in a chunk of pages or in a block's head does not decode.
    #[error("a varint in a snapshot chunk: {0}")]
    Varint(#[from] VarintError),
    /// A block's length unpacked is over [`chunk::PIECE_BYTES_MAX`], or is not what its chunk needs.
    #[error("a block in a snapshot chunk claims {len} bytes, expected {expected:?}")]
    BadBlockLength {
        /// The claim, in bytes unpacked.
        len: u64,
        /// The length that is needed, or that is there; none when only the bound was broken.
        expected: Option<usize>,
    },
    /// The block's method is unknown, or LZ4 does not unpack it to the length claimed.
    #[error("a block in a snapshot chunk cannot be unpacked: {why}")]
    BadBlock {
        /// What went wrong, in words.
        why: String,
    },
    /// Bytes follow the last field of the head or of the configuration.
    #[error("a snapshot chunk has {len} bytes too many")]
    TrailingBytes {
        /// How many.
        len: usize,
    },
    /// A run of pages is empty, goes past the end of RAM or beyond what one chunk can hold.
    #[error("a run of {count} pages, {gap} after page {after}, does not fit")]
    BadRun {
        /// One past the last page of the run before.
        after: u64,
        /// Pages skipped, as claimed.
        gap: u64,
        /// Pages in the run, as claimed.
        count: u64,
    },
    /// A section is longer than the head says.
    #[error("the snapshot promises {expected} bytes of {section:?}, but more come")]
    TooMuch {
        /// Which one.
        section: Kind,
        /// What the head says: bytes, or pages for [`Kind::Pages`].
        expected: u64,
    },
    /// A chunk that adds nothing to its section: none is written so.
    #[error("a snapshot chunk without content")]
    EmptyChunk,
    /// All chunks had come already.
    #[error("a chunk more than the {total} that the snapshot has")]
    Surplus {
        /// How many the head says there are.
        total: u32,
    },
    /// The section is whole and is no [`MachineConfig`].
    #[error("the snapshot's configuration does not decode: {why}")]
    BadConfig {
        /// What the decoder found, in words.
        why: String,
    },
    /// Head and configuration contradict each other.
    #[error("the snapshot has {head} bytes of RAM, its configuration {config}")]
    TwoRamSizes {
        /// Bytes by the head.
        head: u64,
        /// Bytes by the configuration.
        config: u64,
    },
    /// [`Decoder::finish`] was called too early, or the sections are shorter than the head says.
    #[error("the snapshot is not complete: {done} of {total} chunks came")]
    Unfinished {
        /// Chunks that came.
        done: u32,
        /// Chunks that the head says there are; 0 before the head.
        total: u32,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that came and were taken, the head included.
    pub chunks_done: u32,
    /// Chunks in all by the head; 0 before it has come.
    pub chunks_total: u32,
}

impl Progress {
    /// True when the head and all that it announces have come. It takes [`Decoder::finish`] to know that they are a
    /// saved machine.
    pub const fn is_complete(self) -> bool {
        self.chunks_done == self.chunks_total && self.chunks_total > 0
    }
}

/// Page numbers and their bytes.
pub(super) type Pages = Vec<(u32, Box<[u8]>)>;

/// What has come so far.
#[derive(Debug, Default)]
struct Parts {
    config: Vec<u8>,
    state: Vec<u8>,
    boot: Vec<u8>,
    pages: Pages,
}

/// Takes a snapshot's chunks in order.
#[derive(Debug)]
pub struct Decoder {
    ram_bytes_max: u64,
    /// After the head: it, and what has come of the rest.
    body: Option<(Head, Parts)>,
    chunks_done: u32,
    /// One past the last page that came.
    page_end: u64,
}

impl Decoder {
    /// A decoder for a machine with at most this much RAM.
    pub const fn new(ram_bytes_max: u64) -> Self {
        Self { ram_bytes_max, body: None, chunks_done: 0, page_end: 0 }
    }

    /// The head, once it has come.
    pub fn head(&self) -> Option<&Head> {
        self.body.as_ref().map(|(head, _)| head)
    }

    /// How far the transfer is, as [`Decoder::push`] also answers.
    pub fn progress(&self) -> Progress {
        Progress { chunks_done: self.chunks_done, chunks_total: self.head().map_or(0, |head| head.chunks) }
    }

    /// Takes the next chunk. After an error the decoder cannot be used further.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, SnapshotError> {
        let (kind, number, payload) = chunk::open(bytes)?;
        let Progress { chunks_done: done, chunks_total: total } = self.progress();
        if self.progress().is_complete() {
            return Err(SnapshotError::Surplus { total });
        }
        if number != done {
            return Err(SnapshotError::OutOfOrder { expected: done, found: number });
        }
        match &mut self.body {
            None if kind == Kind::Head => self.body = Some(self.begin(Head::decode(payload)?)?),
            None => return Err(SnapshotError::WrongSection { expected: Kind::Head, found: kind }),
            Some((head, parts)) => {
                let expected = section_due(head, parts);
                if kind != expected {
                    return Err(SnapshotError::WrongSection { expected, found: kind });
                }
                match kind {
                    Kind::Config => append(&mut parts.config, payload, kind, head.config_bytes)?,
                    Kind::State => append(&mut parts.state, payload, kind, head.state_bytes)?,
                    Kind::Boot => append(&mut parts.boot, payload, kind, head.boot_bytes)?,
                    Kind::Head | Kind::Pages => {
                        self.page_end = take_pages(head, parts, payload, self.page_end)?
                    }
                }
            }
        }
        self.chunks_done += 1;
        Ok(self.progress())
    }

    /// The state of hart and devices, once all of that has come.
    pub fn state(&self) -> Option<&[u8]> {
        let (head, parts) = self.body.as_ref()?;
        let is_whole = head.state_bytes > 0 && parts.state.len() as u64 == head.state_bytes;
        is_whole.then_some(&parts.state)
    }

    /// The saved machine, when all of it has come. [`Machine::restore`](crate::machine::Machine::restore)
    /// decides whether it is one that can run, and whether its digest is right.
    pub fn finish(self) -> Result<Saved, SnapshotError> {
        let Progress { chunks_done: done, chunks_total: total } = self.progress();
        let unfinished = SnapshotError::Unfinished { done, total };
        let Some((head, parts)) = self.body else { return Err(unfinished) };
        let is_all_there = parts.config.len() as u64 == head.config_bytes
            && parts.state.len() as u64 == head.state_bytes
            && parts.boot.len() as u64 == head.boot_bytes
            && parts.pages.len() as u64 == u64::from(head.pages);
        if done != total || !is_all_there {
            return Err(unfinished);
        }
        let mut config = parts.config;
        if head.version < chunk::VERSION_BOARD {
            config.extend(postcard::to_allocvec(&BoardModel::FIRST).expect("plain data always encodes"));
            config.extend(postcard::to_allocvec(&Cpu::FIRST).expect("plain data always encodes"));
        }
        let (config, rest) = postcard::take_from_bytes::<MachineConfig>(&config)
            .map_err(|why| SnapshotError::BadConfig { why: why.to_string() })?;
        if !rest.is_empty() {
            return Err(SnapshotError::TrailingBytes { len: rest.len() });
        }
        if config.ram_bytes != head.ram_bytes {
            let (head, config) = (head.ram_bytes, config.ram_bytes);
            return Err(SnapshotError::TwoRamSizes { head, config });
        }
        let Head { icount, digest, .. } = head;
        Ok(Saved { config, icount, digest, state: parts.state, boot: parts.boot, pages: parts.pages })
    }

    fn begin(&self, head: Head) -> Result<(Head, Parts), SnapshotError> {
        let bound = |what, found, max| match found > max {
            true => Err(SnapshotError::OverBound { what, found, max }),
            false => Ok(()),
        };
        bound("RAM size", head.ram_bytes, self.ram_bytes_max)?;
        bound("configuration", head.config_bytes, SECTION_BYTES_MAX)?;
        bound("state", head.state_bytes, SECTION_BYTES_MAX)?;
        bound("boot image", head.boot_bytes, boot_bytes_max(self.ram_bytes_max))?;
        let pages_max = head.ram_bytes / PAGE_BYTES as u64;
        if !head.ram_bytes.is_multiple_of(PAGE_BYTES as u64) || pages_max > u64::from(u32::MAX) {
            return Err(SnapshotError::BadRamSize { ram_bytes: head.ram_bytes });
        }
        bound("page count", u64::from(head.pages), pages_max)?;
        Ok((head, Parts::default()))
    }
}

/// The longest boot image of a machine with so much RAM: page by page with a number each, and a little more.
pub(super) const fn boot_bytes_max(ram_bytes: u64) -> u64 {
    ram_bytes / 4096 * 4112 + 4096
}

/// The section that the next chunk must belong to.
fn section_due(head: &Head, parts: &Parts) -> Kind {
    if (parts.config.len() as u64) < head.config_bytes {
        Kind::Config
    } else if (parts.state.len() as u64) < head.state_bytes {
        Kind::State
    } else if (parts.boot.len() as u64) < head.boot_bytes {
        Kind::Boot
    } else {
        Kind::Pages
    }
}

fn append(section: &mut Vec<u8>, payload: &[u8], kind: Kind, expected: u64) -> Result<(), SnapshotError> {
    let raw = chunk::get_block(payload, None)?;
    if raw.is_empty() {
        return Err(SnapshotError::EmptyChunk);
    }
    if (section.len() + raw.len()) as u64 > expected {
        return Err(SnapshotError::TooMuch { section: kind, expected });
    }
    section.extend_from_slice(&raw);
    Ok(())
}

/// Takes a chunk of pages; answers with one past its last.
fn take_pages(head: &Head, parts: &mut Parts, payload: &[u8], page_end: u64) -> Result<u64, SnapshotError> {
    let (pages, page_end) = pages_of(head.ram_bytes, payload, page_end)?;
    if parts.pages.len() + pages.len() > head.pages as usize {
        return Err(SnapshotError::TooMuch { section: Kind::Pages, expected: u64::from(head.pages) });
    }
    parts.pages.extend(pages);
    Ok(page_end)
}

/// The pages of a chunk, ascending from `page_end` on; and one past the last.
pub(super) fn pages_of(
    ram_bytes: u64,
    mut payload: &[u8],
    mut page_end: u64,
) -> Result<(Pages, u64), SnapshotError> {
    let pages_max = ram_bytes / PAGE_BYTES as u64;
    let bytes = &mut payload;
    let runs = varint::get_u64(bytes)?;
    let mut numbers = Vec::new();
    for _ in 0..runs {
        let (gap, count) = (varint::get_u64(bytes)?, varint::get_u64(bytes)?);
        let first = page_end.checked_add(gap);
        let end = first.and_then(|first| first.checked_add(count));
        let (Some(first), Some(end)) = (first, end) else {
            return Err(SnapshotError::BadRun { after: page_end, gap, count });
        };
        if count == 0 || end > pages_max || numbers.len() as u64 + count > chunk::PIECE_PAGES_MAX as u64 {
            return Err(SnapshotError::BadRun { after: page_end, gap, count });
        }
        numbers.extend(first as u32..end as u32);
        page_end = end;
    }
    if numbers.is_empty() {
        return Err(SnapshotError::EmptyChunk);
    }
    let raw = chunk::get_block(bytes, Some(numbers.len() * PAGE_BYTES))?;
    Ok((numbers.into_iter().zip(raw.chunks_exact(PAGE_BYTES).map(Box::from)).collect(), page_end))
}

#[cfg(test)]
mod tests;
