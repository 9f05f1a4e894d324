//! Disks: what passes between a node and the host that stores their bytes.
//!
//! A guest's requests ([`DiskRequest`](crate::devices::disk::DiskRequest)) and the jobs here go through one queue for each disk, and are
//! answered in order. So "which chunks were written" and "what is in this chunk" have one meaning:
//! after everything that was asked before.
//!
//! Absent on purpose: files, threads, and how a chunk's writer is remembered (`host::disk`).

use serde::{Deserialize, Serialize};

use super::link::LinkId;
use crate::base::Digest;
use crate::devices::disk::{DiskSpec, SECTOR_BYTES};

/// Two replicas' disks are compared and copied in pieces of this size; the last may be shorter.
pub const CHUNK_BYTES: usize = 64 << 10;
/// The most chunks whose digests are asked for at once.
pub const DIGESTS_MAX: u32 = 64;

/// During a rehearsal so many sectors of a disk, 64 MiB, may be written in the sandbox, and as many outside.
pub const REHEARSAL_SECTORS_MAX: usize = 128 << 10;

/// Lays sectors, by their numbers, over `data`, which begins with sector `from` and has them all.
pub fn overlay<'a>(data: &mut [u8], from: u64, sectors: impl Iterator<Item = (u64, &'a [u8])>) {
    for (sector, bytes) in sectors {
        let at = ((sector - from) * SECTOR_BYTES) as usize;
        data[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// How many chunks a disk has.
pub const fn chunk_count(spec: &DiskSpec) -> u64 {
    (spec.sectors * SECTOR_BYTES).div_ceil(CHUNK_BYTES as u64)
}

/// How long a chunk of this disk is; 0 for one that it does not have.
pub fn chunk_bytes(spec: &DiskSpec, chunk: u32) -> usize {
    let left = (spec.sectors * SECTOR_BYTES).saturating_sub(u64::from(chunk) * CHUNK_BYTES as u64);
    left.min(CHUNK_BYTES as u64) as usize
}

/// Work on one disk for a state transfer, a checkpoint or a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskJob {
    /// The connection that the work is for; comes back with the answer, to recognise stale ones.
    pub link: LinkId,
    /// The disk's number, from 0.
    pub disk: u8,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// This node needs a disk of this shape; one that does not exist yet is made, empty.
    Open {
        /// The shape.
        spec: DiskSpec,
    },
    /// From here on the chunks that are written are noted; none is noted yet.
    Track,
    /// No more noting; what was noted is forgotten.
    Untrack,
    /// Answer with the chunks noted, ascending, and go on with none.
    TakeDirty,
    /// Digest `count` chunks from `first` on; at most [`DIGESTS_MAX`], all of them on the disk.
    Digest {
        /// The first chunk.
        first: u32,
        /// How many chunks.
        count: u32,
    },
    /// Read a chunk.
    Read {
        /// The chunk's number: counted from the disk's start in units of [`CHUNK_BYTES`].
        chunk: u32,
    },
    /// Overwrite a chunk.
    Write {
        /// The chunk's number.
        chunk: u32,
        /// Its new content: [`chunk_bytes`] bytes.
        bytes: Vec<u8>,
    },
    /// Everything written so far is to survive a crash of the host.
    Sync,
    /// The content as it is now is to be readable for a rehearsal, whatever is written from here on.
    Keep,
    /// It need not be any longer.
    Unkeep,
}

/// The end of the job that was asked for first and is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskWorked {
    /// As in [`DiskJob::link`].
    pub link: LinkId,
    /// As in [`DiskJob::disk`].
    pub disk: u8,
    /// A failure is described in one line, for people.
    pub outcome: Result<Worked, String>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worked {
    /// Open, Track, Untrack, Write, Sync, Keep, Unkeep.
    Done,
    /// Of [`Work::TakeDirty`].
    Dirty {
        /// Numbers of the chunks that were written, ascending.
        chunks: Vec<u32>,
    },
    /// Of each chunk, with seed 0.
    Digests {
        /// The first chunk.
        first: u32,
        /// The digests of it and of those after it.
        digests: Vec<Digest>,
    },
    /// Of [`Work::Read`].
    Bytes {
        /// The chunk's number.
        chunk: u32,
        /// Its content.
        bytes: Vec<u8>,
    },
}

/// A chunk as it is sent: LZ4 when that is shorter, which the length shows.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(bytes);
    if packed.len() < bytes.len() { packed } else { bytes.to_vec() }
}

/// The `len` bytes of a chunk that was sent.
pub fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len == 0 || packed.len() > len {
        return None;
    }
    if packed.len() == len {
        return Some(packed.to_vec());
    }
    lz4_flex::block::decompress(packed, len).ok().filter(|bytes| bytes.len() == len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    #[test]
    fn a_chunk_comes_back_whether_it_packs_or_not() {
        let mut noise = vec![0; CHUNK_BYTES];
        Prng::new(1).fill(&mut noise);
        for bytes in [vec![0; CHUNK_BYTES], noise, vec![5; 512]] {
            let packed = pack(&bytes);
            assert!(packed.len() <= bytes.len());
            assert_eq!(unpack(&packed, bytes.len()), Some(bytes));
        }
        assert_eq!(unpack(&[0; 513], 512), None);
        assert_eq!(unpack(&[0xff; 20], 512), None);
        assert_eq!(unpack(&[], 0), None);
        assert_eq!(unpack(&[0x10, 1], 512), None, "too short");
    }

    #[test]
    fn only_what_becomes_shorter_is_packed() {
        assert!(pack(&[0; CHUNK_BYTES]).len() < CHUNK_BYTES / 100);
        // The length alone tells the two forms apart, so one as long as the bytes is not used.
        let mut as_long = 0;
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let bytes: Vec<u8> = (0..64).map(|_| prng.below(2 + seed % 20) as u8).collect();
            as_long += u32::from(lz4_flex::block::compress(&bytes).len() == bytes.len());
            assert_eq!(unpack(&pack(&bytes), 64), Some(bytes), "{seed}");
        }
        assert!(as_long > 0, "the bound is not met");
    }

    #[test]
    fn the_last_chunk_may_be_short() {
        let spec = |sectors| DiskSpec { sectors, read_only: false, serial: String::new() };
        assert_eq!((chunk_count(&spec(128)), chunk_count(&spec(129))), (1, 2));
        assert_eq!((chunk_bytes(&spec(129), 0), chunk_bytes(&spec(129), 1)), (CHUNK_BYTES, 512));
        assert_eq!((chunk_bytes(&spec(129), 2), chunk_bytes(&spec(129), u32::MAX)), (0, 0));
    }
}
