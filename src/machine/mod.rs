//! The whole machine: a hart, RAM and devices behind one deterministic door.
//!
//! Reading order: [`io`] (what crosses the wall), [`map`] (where everything is), [`board`] (the
//! devices on the hart's bus), [`config`], [`elf`] and [`fdt`] (what it starts from), [`vm`]
//! (the door), [`saved`].
//!
//! Absent on purpose: the log, and the choice of the positions at which inputs are delivered.

pub mod board;
pub mod config;
pub mod elf;
pub mod fdt;
pub mod io;
pub mod map;
pub mod saved;
pub mod vm;

pub use config::{BadConfig, MAC_DEFAULT, MachineConfig, Symbol};
pub use elf::{Elf, LoadError, symbols_of};
pub use io::{Channel, Exit, Input, Output, Request, Stop};
pub use saved::{RestoreError, Saved};
pub use vm::{BootOptions, Machine, Undeliverable};

#[cfg(test)]
pub(crate) mod testing;
