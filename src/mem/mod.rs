//! Guest memory: large memory of the host's ([`bytes`]), RAM with page flags and an incremental
//! digest ([`ram`]) and copies of it as it was ([`ram::copy`]), Sv39 translation as a pure walk ([`sv39`]), physical memory protection ([`pmp`]).
//!
//! Absent on purpose: devices (memory-mapped I/O is the bus's), translation caches (the hart's),
//! and any clock or file.

pub mod bytes;
pub mod pmp;
pub mod ram;
pub mod sv39;

pub use bytes::Bytes;
pub use pmp::Pmp;
pub use ram::copy::{CopyUnderWay, Extent, Pages};
pub use ram::{OutOfRam, PAGE_BYTES, PageFlags, RAM_BASE, Ram};

/// What an access wants to do: it selects the permission and the exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An instruction fetch: needs X.
    Fetch,
    /// A load, and the walk's own reads of page tables in PMP: needs R.
    Load,
    /// A store: needs W. Also every AMO and `sc`.
    Store,
}
