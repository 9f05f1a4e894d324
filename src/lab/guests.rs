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

/// Puts a guest's ELF file into a machine.
pub fn boot(bytes: &[u8], name: &str, ram_bytes: u64) -> Result<Machine, Failure> {
    boot_elf(bytes, BootOptions { guest: name.to_owned(), ram_bytes, ..BootOptions::default() })
}

/// The same, with options.
pub fn boot_elf(bytes: &[u8], options: BootOptions) -> Result<Machine, Failure> {
    let elf = Elf::parse(bytes).map_err(|error| {
        Failure::new(format!("not a guest that this machine can run: {error}"))
            .fix("build a static RV64 ELF linked at 0x80000000 or above, as guest-programs/build does")
    })?;
    Machine::boot(&elf, &options).map_err(|error| {
        Failure::new(format!("the guest does not load: {error}"))
            .fix("give it more memory with --memory, or check its program headers")
    })
}
