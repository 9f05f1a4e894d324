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
/// Kernels to measure engines with; [`bench`] chooses among them.
const BENCH: &[u8] = include_bytes!("../../guest-programs/bench/bench.elf");
/// What stands before the choice in it (`bench_choice` in `bench.c`).
const BENCH_MARKER: &[u8; 16] = b"lockstep bench:\0";

/// How a kernel runs; the values are those of `bench.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchMode {
    /// In M-mode.
    Bare = 0,
    /// In S-mode under Sv39, with pages of 4 KiB.
    Sv39 = 1,
}

impl BenchMode {
    /// As the guest prints it.
    pub fn name(self) -> &'static str {
        match self {
            BenchMode::Bare => "bare",
            BenchMode::Sv39 => "sv39",
        }
    }
}

/// The ELF file of kernel number `kernel` of `guest-programs/bench/table.h` alone, with its rounds divided by
/// `shorten`.
pub fn bench(kernel: u32, mode: BenchMode, shorten: u32) -> Vec<u8> {
    let mut elf = BENCH.to_vec();
    let marker = elf.windows(BENCH_MARKER.len()).position(|bytes| bytes == BENCH_MARKER);
    let at = marker.expect("the committed file has the marker") + BENCH_MARKER.len();
    for (place, word) in [kernel, mode as u32, shorten].into_iter().enumerate() {
        elf[at + 4 * place..][..4].copy_from_slice(&word.to_le_bytes());
    }
    elf
}

/// Puts one of them into a machine.
pub fn boot(bytes: &[u8], name: &str, ram_bytes: u64) -> Result<Machine, Failure> {
    let failed = |what: String| Failure::new(format!("{name}: {what}")).fix("build the binary again");
    let elf = Elf::parse(bytes).map_err(|error| failed(error.to_string()))?;
    let options = BootOptions { guest: name.to_owned(), ram_bytes, ..BootOptions::default() };
    Machine::boot(&elf, &options).map_err(|error| failed(error.to_string()))
}
