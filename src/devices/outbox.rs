//! Outputs of devices that have not been taken yet.
//!
//! Not state: the counters beside it are ([`net::Net`](super::virtio::net::Net) numbers its
//! frames, the machine its console bytes). It stays small because the machine stops as soon as a
//! frame or a disk request is in it, or [`CONSOLE_BYTES_STOP`] console bytes.

use super::disk::DiskRequest;

/// With this many console bytes waiting, the machine stops to have them taken.
pub const CONSOLE_BYTES_STOP: usize = 1024;

/// Outputs in the order in which they were made, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Ethernet frames, each with its number.
    pub frames: Vec<(u64, Vec<u8>)>,
    /// Console bytes, of the serial port and the virtio console together.
    pub console: Vec<u8>,
    /// What disks are asked for.
    pub disk: Vec<DiskRequest>,
    /// A device has a new request for the host.
    pub request: bool,
}

impl Outbox {
    /// True when there is no output; requests to disks are another matter.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.console.is_empty()
    }

    /// True when the machine should stop to have this emptied.
    pub fn is_pressing(&self) -> bool {
        self.request
            || !self.disk.is_empty()
            || !self.frames.is_empty()
            || self.console.len() >= CONSOLE_BYTES_STOP
    }
}
