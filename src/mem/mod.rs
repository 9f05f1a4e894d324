//! Guest memory: RAM with page flags and an incremental digest ([`ram`]).
//!
//! Absent on purpose: devices (memory-mapped I/O is the bus's), and any clock or file.

pub mod ram;

pub use ram::{OutOfRam, PAGE_BYTES, RAM_BASE, Ram};
