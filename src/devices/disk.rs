//! What a disk is, what its device asks of the host, and what the host answers.
//!
//! Plain data, between `virtio::blk` and the owner of the bytes. A request
//! carries everything that is needed to carry it out, so it can be carried out again: all of them are
//! idempotent, and a successor reissues those that were in flight.

use serde::{Deserialize, Serialize};

use crate::base::blob;

/// Bytes of a sector, the unit of a disk's addresses (Virtio 1.2, 5.2.4).
pub const SECTOR_BYTES: u64 = 512;
/// The most disks of a machine.
pub const DISKS_MAX: usize = 4;

/// What two replicas must agree on about a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Capacity; whole sectors.
    pub sectors: u64,
    /// The guest may not write.
    pub read_only: bool,
    /// What the guest reads as the disk's serial: at most 20 bytes of ASCII.
    pub serial: String,
}

/// One thing that a guest wants of one of its disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRequest {
    /// Which of the machine's disks, from 0.
    pub disk: u8,
    /// Counts this disk's requests from 1, in the order in which the guest submitted them.
    pub tag: u64,
    /// What the disk is to do.
    pub op: DiskOp,
}

/// The three things that a disk does. Sectors are within the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskOp {
    /// Reads consecutive sectors into memory (`VIRTIO_BLK_T_IN`; Virtio 1.2, 5.2.6).
    Read {
        /// The first sector.
        sector: u64,
        /// Whole sectors.
        bytes: u32,
    },
    /// Writes consecutive sectors (`VIRTIO_BLK_T_OUT`).
    Write {
        /// The first sector.
        sector: u64,
        /// Whole sectors.
        #[serde(with = "blob")]
        data: Vec<u8>,
    },
    /// Every write that was done before is to survive a crash of the host.
    Flush,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskStatus {
    /// The request was carried out (`VIRTIO_BLK_S_OK`).
    Ok,
    /// The host's disk failed: the guest gets an I/O error.
    IoError,
}

/// The end of the request with this disk and tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskDone {
    /// The disk, as in [`DiskRequest::disk`].
    pub disk: u8,
    /// The request, as in [`DiskRequest::tag`].
    pub tag: u64,
    /// How it ended.
    pub status: DiskStatus,
    /// What a read that went well has read; empty for everything else.
    pub data: Vec<u8>,
}
