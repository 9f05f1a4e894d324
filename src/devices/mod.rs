//! Devices: registers and state only. Their requests to the host and their output pass through the machine;
//! no device knows a clock, a socket or a file.
//!
//! | device | file | its state is |
//! |---|---|---|
//! | 16550 serial port | `uart` | registers, bytes received and not yet read |
//! | core-local interruptor | `clint` | `msip`, the compare values, the latest time that is known, the guest's clock (`timebase`) |
//! | platform interrupt controller | `plic` | priorities, enables, pending and claimed sources |
//! | power switch | `finisher` | nothing: it ends the machine |
//! | virtio over memory-mapped I/O | `virtio` | transport registers, ring positions, each device's own |
//!
//! Each state is plain data that derives serde's traits: that form *is* what a snapshot holds and
//! what the machine digests. `check` on each looks at a state that came from a file or a peer;
//! a state that passes it can do no harm later.
//!
//! Absent on purpose: modem lines that change, baud rates, DMA while the guest runs, PCI.

pub(crate) mod clint;
pub mod disk;
pub(crate) mod finisher;
pub(crate) mod outbox;
pub(crate) mod plic;
pub(crate) mod rtc;
pub(crate) mod timebase;
pub(crate) mod uart;
pub(crate) mod virtio;

use thiserror::Error;

/// A device state (from a snapshot) that no run of this machine can have produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{device}: {field} cannot be {found:#x}")]
pub struct BadDevice {
    /// Which device, as its file is called.
    pub device: &'static str,
    /// Which part of its state.
    pub field: &'static str,
    /// What was found there.
    pub found: u64,
}
