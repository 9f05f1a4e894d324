//! Virtio 1.2 devices over memory-mapped I/O (version 2 registers).
//!
//! Reading order: [`queue`] (a split virtqueue that trusts no driver), [`transport`] (the registers
//! that all devices share), then the devices: [`net`], [`rng`], [`console`], [`blk`].
//!
//! A device answers a notify at once, within the guest's store: rings are walked and data is moved
//! only there and when an input is delivered, never while the guest runs. A ring that makes no
//! sense breaks its device, not the machine: the device sets DEVICE_NEEDS_RESET, raises a
//! configuration interrupt and keeps still until the driver resets it (virtio 2.1.2).
//!
//! Absent on purpose: legacy (version 1) registers, packed rings, event indexes, shared memory.

pub mod blk;
pub mod console;
pub mod net;
pub mod queue;
pub mod rng;
pub mod transport;

pub use queue::QueueFault;

#[cfg(test)]
pub(crate) mod testing;
