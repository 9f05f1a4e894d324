//! Small machines that a target restores, replays or puts into a node.

use lockstep::devices::disk::DiskSpec;
use lockstep::lab::guests;
use lockstep::machine::{BootOptions, Elf, Machine};

/// The least RAM that a machine can have: each input gets a machine of its own.
pub const RAM_BYTES: u64 = lockstep::machine::config::RAM_BYTES_MIN;

/// As large as `diskkv` needs.
pub const SECTORS: u64 = 4096;

/// A machine at its reset, running one of the small guests: `kv` (network), `diskkv` (a disk of [`SECTORS`]), or, by
/// any other name, `clock`.
pub fn boot(name: &str) -> Machine {
    let disk = DiskSpec { sectors: SECTORS, read_only: false, serial: "fuzz".into() };
    let (image, disks) = match name {
        "kv" => (guests::KV, vec![]),
        "diskkv" => (guests::DISKKV, vec![disk]),
        _ => (guests::CLOCK, vec![]),
    };
    let options = BootOptions { guest: name.into(), ram_bytes: RAM_BYTES, disks, ..BootOptions::default() };
    let image = Elf::parse(image).expect("the project's own guests are ELF files");
    Machine::boot(&image, &options).expect("the project's own guests fit into the least RAM")
}
