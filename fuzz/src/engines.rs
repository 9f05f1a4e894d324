//! Code that both engines execute, side by side: they must not differ in anything.
//!
//! ```text
//! offset  size  field
//! 0       4     lengths of the pieces in which it is executed, in turn: 1 + 13 times each
//! 4       ...   code for 0x8000_1000, at most three pages; behind it are zeros, which are illegal
//! ```
//!
//! Each trap, and a return by `ra`, leads to the beginning of the code again, so that it gets hot. s0 is the address of
//! the middle of a page of zeros, s1 that of a page's end.

use lockstep::base::Icount;
use lockstep::engine::Engine;
use lockstep::machine::{BootOptions, Elf, Machine, Stop};

use crate::guest::RAM_BYTES;

const BASE: u64 = 0x8000_0000;
const CODE_MAX: usize = 3 << 12;
/// What is executed of an input.
const COUNT: u64 = 20_000;

/// At [`BASE`]: switches floating point on, leads traps to its fourth instruction, and goes to the code from there.
const PROLOGUE: [u32; 13] = [
    0x0000_0297, // auipc t0, 0
    0x0142_8293, // addi  t0, t0, 20
    0x3052_9073, // csrw  mtvec, t0
    0x0000_6337, // lui   t1, 6
    0x3003_2073, // csrs  mstatus, t1
    0x0000_0097, // auipc ra, 0
    0x8000_8437, // lui   s0, 0x80008
    0x0204_1413, // slli  s0, s0, 32
    0x0204_5413, // srli  s0, s0, 32
    0x7ff4_0493, // addi  s1, s0, 2047
    0x7f94_8493, // addi  s1, s1, 2041
    0x7f84_0413, // addi  s0, s0, 2040
    0x7d10_006f, // j     0x80001000
];

/// An ELF file with one segment, which begins at [`BASE`].
fn image(code: &[u8]) -> Vec<u8> {
    let mut memory: Vec<u8> = PROLOGUE.iter().flat_map(|word| word.to_le_bytes()).collect();
    memory.resize(0x1000, 0);
    memory.extend_from_slice(code);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // An executable for RISC-V, with doubles in registers and compressed instructions.
    file.extend([2u16, 243].map(u16::to_le_bytes).concat());
    file.extend(1u32.to_le_bytes());
    file.extend([BASE, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(5u32.to_le_bytes());
    file.extend([64u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([1u32, 7].map(u32::to_le_bytes).concat());
    let len = memory.len() as u64;
    file.extend([120, BASE, BASE, len, len, 0x1000].map(u64::to_le_bytes).concat());
    file.extend(memory);
    file
}

/// Runs to `until`, whatever the machine stops for on the way.
fn run_until(machine: &mut Machine, until: Icount) -> Stop {
    loop {
        let stop = machine.run_until(until);
        if stop != Stop::Service {
            return stop;
        }
        machine.take_outputs();
        machine.take_disk_requests();
    }
}

pub fn run(data: &[u8]) {
    let Some((lengths, code)) = data.split_first_chunk::<4>() else { return };
    let image = image(&code[..code.len().min(CODE_MAX)]);
    let elf = Elf::parse(&image).expect("the image is an ELF file");
    let options = BootOptions { ram_bytes: RAM_BYTES, ..BootOptions::default() };
    let [mut translated, mut interpreted] = [Engine::Translator, Engine::Interpreter].map(|engine| {
        let mut machine = Machine::boot(&elf, &options).expect("the image fits into the least RAM");
        machine.choose_engine(engine);
        machine
    });
    let mut until = Icount(0);
    for length in lengths.iter().cycle() {
        until = until.plus(1 + 13 * u64::from(*length));
        let stops = [&mut translated, &mut interpreted].map(|machine| run_until(machine, until));
        assert_eq!(stops[0], stops[1]);
        assert_eq!(translated.icount(), interpreted.icount());
        assert_eq!(translated.digest(), interpreted.digest(), "at {}", interpreted.icount());
        if stops[0] != Stop::Reached || until.get() > COUNT {
            return;
        }
    }
}

/// A seed: pieces of these lengths, and this code.
pub fn input(lengths: [u8; 4], code: &[u32]) -> Vec<u8> {
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    [&lengths[..], &code].concat()
}
