//! Guests of a few instructions, and a host that answers the same each time.

use super::recorder::Answers;
use crate::base::{Icount, Seq};
use crate::devices::disk::DiskSpec;
use crate::log::{Entry, Event, decode_frame};
use crate::machine::config::RAM_BYTES_MIN;
use crate::machine::{BootOptions, Elf, Machine};
use crate::replay::Recorder;

/// `csrrw x7, seed, zero`: asks for entropy.
pub const READ_SEED: u32 = 0x0150_13f3;
/// `csrr x7, lockstep_hostid`.
pub const READ_HOSTID: u32 = 0xcc00_23f3;
/// `csrr x7, time`.
pub const READ_TIME: u32 = 0xc010_23f3;
pub const WFI: u32 = 0x1050_0073;
pub const NOP: u32 = 0x0000_0013;
/// `j .`: runs without an end.
pub const LOOP: u32 = 0x0000_006f;
/// Prints "A": four instructions, the byte goes to the serial port with the third.
pub const PRINT: [u32; 4] = [0x1000_02b7, 0x0410_0313, 0x0062_8023, NOP];
/// Ends the guest with [`Exit::Pass`](crate::machine::Exit::Pass), in the fourth instruction.
pub const PASS: [u32; 4] = [0x0010_0337, 0x0000_5e37, 0x555e_0e1b, 0x01c3_2023];

/// A machine whose first instruction is the first of `code`.
pub fn machine(code: &[u32]) -> Machine {
    let mut file = vec![0; 0x78];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let bytes = 4 * code.len() as u64;
    // An ELF header: 64 bits, little-endian, an executable for RISC-V, with one program header behind it.
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(16, &[2, 0, 243, 0, 1]);
    put(24, &0x8000_0000u64.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1, 0]);
    // The program header: all of the code, to be read and run at the start of RAM.
    put(64, &[1, 0, 0, 0, 5, 0, 0, 0]);
    for (at, value) in [(72, 0x78), (80, 0x8000_0000), (88, 0x8000_0000), (96, bytes), (104, bytes)] {
        put(at, &value.to_le_bytes());
    }
    file.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    let options = BootOptions { ram_bytes: RAM_BYTES_MIN, ..BootOptions::default() };
    Machine::boot(&Elf::parse(&file).expect("an ELF file"), &options).expect("it boots")
}

/// Its clock stands at `ticks`; its entropy counts up.
pub struct World {
    pub ticks: u64,
    pub drawn: u8,
}

impl Answers for World {
    fn ticks(&mut self) -> u64 {
        self.ticks
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.drawn += 1;
            *byte = self.drawn;
        }
    }

    fn host_id(&mut self) -> u64 {
        77
    }

    fn wall_clock_ns(&mut self) -> u64 {
        1_700_000_000_000_000_000
    }
}

pub fn world() -> World {
    World { ticks: 0, drawn: 0 }
}

/// What a recorder has written down since the last flush.
pub fn entries(recorder: &mut Recorder) -> Vec<Entry> {
    recorder.flush(false).map_or(Vec::new(), |frame| decode_frame(&frame.bytes).expect("a good frame").0)
}

pub fn entry(seq: u64, at: u64, event: Event) -> Entry {
    Entry { seq: Seq(seq), at: Icount(at), event }
}

/// The `diskkv` guest, which reads the first sector of its disk before anything else.
pub fn disk_machine() -> Machine {
    let guest = include_bytes!("../../guest-programs/diskkv/diskkv.elf");
    let disks = vec![DiskSpec { sectors: 4096, read_only: false, serial: String::new() }];
    let options = BootOptions { ram_bytes: RAM_BYTES_MIN, disks, ..BootOptions::default() };
    Machine::boot(&Elf::parse(guest).expect("an ELF file"), &options).expect("it boots")
}
