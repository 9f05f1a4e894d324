//! The whole machine: a hart, RAM and devices behind one deterministic door.
//!
//! Reading order: `io` (what crosses the wall), `map` (where everything is), `board` (the
//! devices on the hart's bus) and `sbi` (the firmware that it is itself), [`config`], [`elf`],
//! `kernel`, `fdt` and `boot` (what it starts from), `vm` (the door), `observer` (a
//! window beside it), `saved`, `saving` (while it runs on) and `arriving` (there and back).
//!
//! Absent on purpose: the log, and the choice of the positions at which inputs are delivered.

pub(crate) mod arriving;
pub(crate) mod board;
pub(crate) mod boot;
pub mod config;
pub mod elf;
pub(crate) mod fdt;
pub(crate) mod io;
pub(crate) mod kernel;
mod magic;
pub(crate) mod map;
pub(crate) mod model;
mod observer;
pub(crate) mod saved;
pub(crate) mod saving;
mod sbi;
pub(crate) mod vm;

pub use arriving::{Arriving, clint_of};
pub use config::{BadConfig, MAC_DEFAULT, MachineConfig, Platform, Symbol, mac_of};
pub use elf::{Elf, LeftOut, LoadError, symbols_of};
pub use io::{Channel, Exit, Input, Output, Request, Stop};
pub use kernel::{Firmware, Kernel, KernelBoot, KernelError};
pub use model::{BoardModel, Occupant};
pub use observer::{Executed, Look, Observer};
pub use saved::{RestoreError, Saved};
pub use saving::{Piece, SaveStep, SaveUnderWay, SavedHead};
pub use vm::{BootOptions, Machine, Undeliverable};

#[cfg(test)]
pub(crate) mod testing;
