//! Guests that come with the binary, so that `demo`, `bench` and `sim` need nothing else.

use crate::host::failure::Failure;
use crate::machine::{BootOptions, Elf, Machine};

/// The UDP key-value server.
pub const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");
/// The same with a journal on a disk.
pub const DISKKV: &[u8] = include_bytes!("../../guest-programs/diskkv/diskkv.elf");
/// Counters over TCP.
pub const COUNTER: &[u8] = include_bytes!("../../guest-programs/counter/counter.elf");
/// Pure compute.
pub const CRUNCH: &[u8] = include_bytes!("../../guest-programs/crunch/crunch.elf");
/// Writes all over 40 MB of memory.
pub const CHURN: &[u8] = include_bytes!("../../guest-programs/churn/churn.elf");
/// Reads the time, over and over.
pub const CLOCK: &[u8] = include_bytes!("../../guest-programs/clock/clock.elf");
/// Timer interrupts in a tight loop.
pub const TICKER: &[u8] = include_bytes!("../../guest-programs/ticker/ticker.elf");
/// Code that changes under its own feet.
pub const SMC: &[u8] = include_bytes!("../../guest-programs/smc/smc.elf");

/// Puts one of them into a machine.
pub fn boot(bytes: &[u8], name: &str, ram_bytes: u64) -> Result<Machine, Failure> {
    let failed = |what: String| Failure::new(format!("{name}: {what}")).fix("build the binary again");
    let elf = Elf::parse(bytes).map_err(|error| failed(error.to_string()))?;
    let options = BootOptions { guest: name.to_owned(), ram_bytes, ..BootOptions::default() };
    Machine::boot(&elf, &options).map_err(|error| failed(error.to_string()))
}
