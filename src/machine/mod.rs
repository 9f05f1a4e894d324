//! The whole machine: a hart, RAM and devices behind one deterministic door.
//!
//! Reading order: [`io`] (what crosses the wall), [`map`] (where everything is), [`board`] (the
//! devices on the hart's bus) and `sbi` (the firmware that it is itself), [`config`], [`elf`],
//! [`kernel`], [`fdt`] and [`boot`] (what it starts from), [`vm`] (the door), [`saved`] and
//! [`arriving`] (there and back).
//!
//! Absent on purpose: the log, and the choice of the positions at which inputs are delivered.

pub mod arriving;
pub mod board;
pub mod boot;
pub mod config;
pub mod elf;
pub mod fdt;
pub mod io;
pub mod kernel;
pub mod map;
pub mod model;
pub mod saved;
mod sbi;
mod stranger;
pub mod vm;

pub use arriving::Arriving;
pub use config::{BadConfig, MAC_DEFAULT, MachineConfig, Platform, Symbol, mac_of};
pub use elf::{Elf, LeftOut, LoadError, symbols_of};
pub use io::{Channel, Exit, Input, Output, Request, Stop};
pub use kernel::{Firmware, Kernel, KernelBoot, KernelError};
pub use model::{BoardModel, Occupant};
pub use saved::{RestoreError, Saved};
pub use vm::{BootOptions, Machine, Undeliverable};

#[cfg(test)]
pub(crate) mod testing;
