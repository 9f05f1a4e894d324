//! Random instructions of RV64GC and of extensions: arithmetic, floating point with all rounding modes and awkward
//! values, memory through pages of random rights, aligned and not, atomics, compressed code, jumps,
//! loops, reserved and random words.
//!
//! Left out, because the two machines may differ and both be right: jumps of random words, an `sc`
//! that fails (it may fault or not), CSRs other than `fcsr` (they have their own test).
//!
//! Page-table entries lack A and D at random, and both machines set them. No access ends one such page and
//! goes on in another: when that one faults, QEMU has set A of the first, and this machine nothing.

use lockstep::base::Prng;
use lockstep::isa::{Extensions, Insn, Op, decode};

use crate::asm::*;
use crate::image::{BASE, DATA, Mode, NOWHERE, WINDOW};

/// Instructions between two looks at the registers.
const BLOCK: u64 = 12;

/// A program of about `words` words for `mode`, without instructions that only one of the machines has: such as
/// need something that is in `ours` and not in `theirs`.
pub fn program(prng: &mut Prng, mode: Mode, ours: Extensions, theirs: Extensions, words: usize) -> Vec<u32> {
    let mut program = Program { prng, mode, ours, theirs, words: Vec::new() };
    while program.words.len() < words {
        program.instruction();
        if program.prng.chance(1, BLOCK) {
            program.words.push(ECALL);
        }
    }
    // So that the last one has something behind it to skip.
    program.words.extend([NOP; 8]);
    program.words
}

struct Program<'a> {
    prng: &'a mut Prng,
    mode: Mode,
    ours: Extensions,
    theirs: Extensions,
    words: Vec<u32>,
}

impl Program<'_> {
    fn instruction(&mut self) {
        match self.prng.below(22) {
            0..=2 => {
                let extended = [0x04, 0x05, 0x07, 0x10, 0x14, 0x20, 0x24, 0x30, 0x34];
                let f7 = if self.prng.chance(1, 2) {
                    self.pick(&extended)
                } else {
                    self.pick(&[0, 0x20, 1, 0, 1])
                };
                let opcode = self.pick(&[0x33, 0x3b]);
                let f3 = self.prng.below(8) as u32;
                let rs2 = if f7 == 4 && f3 == 4 { 0 } else { self.register() };
                let word = r(opcode, f3, f7, self.register(), self.register(), rs2);
                self.put_common(word);
            }
            3..=4 => {
                let opcode = self.pick(&[0x13, 0x1b]);
                let imm = self.prng.below(4096) as i32 - 2048;
                let f3 = self.prng.below(8) as u32;
                let imm = match f3 {
                    1 | 5 if self.prng.chance(1, 2) => {
                        let amount = self.prng.below(64) as u32;
                        (self.pick(&[0x080, 0x280, 0x480, 0x600, 0x680]) | amount) as i32
                    }
                    1 if self.prng.chance(1, 2) => self.pick(&[0x600, 0x601, 0x602, 0x604, 0x605]) as i32,
                    5 if self.prng.chance(1, 2) => self.pick(&[0x287, 0x6b8]) as i32,
                    _ => imm,
                };
                let word = i(opcode, f3, self.register(), self.register(), imm);
                self.put_common(word);
            }
            5 => {
                let rd = self.prng.between(1, 31) as u32;
                self.awkward(rd);
            }
            6 => {
                self.awkward(5);
                let move_to = self.pick(&[0x79, 0x78]);
                let word = fp(move_to, 0, self.register(), 5, 0);
                self.words.push(word);
            }
            7..=11 => self.float(),
            12 => {
                let csr = self.prng.between(1, 3) as i32;
                let f3 = self.pick(&[1, 2, 3, 5, 6, 7]);
                let word = i(0x73, f3, self.register(), self.register(), csr);
                self.words.push(word);
            }
            13..=15 => self.access(),
            16 => self.compressed_access(),
            17 => {
                let word = self.compressed() | self.compressed() << 16;
                self.words.push(word);
            }
            18 => self.jump(),
            19 => self.repeat(),
            20 => loop {
                let word = self.prng.next_u64() as u32 | 3;
                if word & 0x1f != 0x1f && !is_wild(decode(word, self.ours).op) && self.is_common(word) {
                    self.words.push(word);
                    break;
                }
            },
            _ => {
                let upper = self.prng.next_u64() as u32 & 0xf_ffff;
                let rd = self.register();
                let word = match self.prng.below(3) {
                    0 => auipc(rd, upper),
                    1 => lui(rd, upper),
                    _ => {
                        self.pick(&[ECALL, EBREAK, SFENCE, 0x100f, 0x0ff0_000f, 0x0010_000f, MRET | 1 << 31])
                    }
                };
                self.words.push(word);
            }
        }
    }

    /// Do the machines agree on what `word` is?
    fn is_common(&self, word: u32) -> bool {
        decode(word, self.ours) == decode(word, self.theirs)
    }

    fn put_common(&mut self, word: u32) {
        if self.is_common(word) {
            self.words.push(word);
        }
    }

    fn pick(&mut self, of: &[u32]) -> u32 {
        of[self.prng.below(of.len() as u64) as usize]
    }

    fn register(&mut self) -> u32 {
        self.prng.below(32) as u32
    }

    fn constant(&mut self, rd: u32, value: u64) {
        let mut c = Code::default();
        c.li(rd, value);
        self.words.extend(c.0);
    }

    /// A number at an edge of some instruction.
    fn awkward(&mut self, rd: u32) {
        let any = self.prng.next_u64();
        let value = match self.prng.below(12) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << 63,
            3 => i64::MAX as u64,
            4 => 1 << 31,
            5 => 0xffff_ffff_8000_0000,
            6 => 0xffff_ffff << 32 | u64::from((any as u32 as f32 / 1e3).to_bits()),
            7 => (any as i64 as f64 / 1e9).to_bits(),
            8 => any & 0x800f_ffff_ffff_ffff,
            9 => any & 1 << 63 | 0x7ff0_0000_0000_0000,
            10 => any % 70,
            _ => any,
        };
        self.constant(rd, value);
    }

    /// An access through a pointer into the data, the window, or where nothing is.
    fn access(&mut self) {
        let pointer = self.prng.between(5, 15) as u32;
        let base = if self.mode != Mode::Machine && self.prng.chance(3, 4) {
            match self.prng.below(8) {
                0 => WINDOW + 0x20_0000 + DATA - BASE,
                1 => WINDOW + 0x40_0000 + self.prng.below(4096),
                2 => 1 << 39 | self.prng.below(1 << 40),
                _ => WINDOW + self.prng.below(512) * 4096,
            }
        } else if self.prng.chance(1, 20) {
            NOWHERE
        } else {
            self.mode.sees(DATA)
        };
        let crosses = base == self.mode.sees(DATA) && self.prng.chance(1, 16);
        let page_end = if crosses { 0x700 } else { 0 };
        let at = base + 0x800 + self.prng.below(0x100) + page_end;
        let offset = self.prng.below(64) as i32 - 32;
        let data = self.register();
        let width = self.prng.between(2, 3) as u32;
        match self.prng.below(5) {
            0 => {
                self.constant(pointer, at);
                let word = load(self.prng.below(7) as u32, data, pointer, offset);
                self.words.push(word);
            }
            1 => {
                self.constant(pointer, at);
                let word = s(0x23, self.prng.below(4) as u32, pointer, data, offset);
                self.words.push(word);
            }
            2 => {
                self.constant(pointer, at);
                let width = if self.prng.chance(1, 4) { 1 } else { width };
                let load = self.prng.chance(1, 2);
                self.put_common(if load {
                    i(0x07, width, data, pointer, 8)
                } else {
                    s(0x27, width, pointer, data, 8)
                });
            }
            3 => {
                self.constant(pointer, self.mode.sees(DATA) + 0x808);
                let loaded = self.prng.between(16, 28) as u32;
                self.words.push(amo(2, width, loaded, pointer, 0));
                let word = amo(3, width, self.register(), pointer, data);
                self.words.push(word);
            }
            _ => {
                self.constant(pointer, at & !7);
                let operation = self.pick(&[1, 0, 4, 12, 8, 16, 20, 24, 28]);
                let word = amo(operation, width, self.register(), pointer, data);
                self.words.push(word);
            }
        }
    }

    /// Two compressed loads or stores, by x8 or by the stack pointer.
    fn compressed_access(&mut self) {
        let at = self.mode.sees(DATA) + 0x800 + self.prng.below(16);
        self.constant(8, at);
        self.constant(2, at);
        let first = loop {
            let half = self.compressed_access_by_pointer();
            // The second needs its pointer.
            if !matches!(decode(half, self.ours), Insn { op: Op::Lw | Op::Ld, rd: 2 | 8, .. }) {
                break half;
            }
        };
        let second = self.compressed_access_by_pointer();
        self.words.push(first | second << 16);
    }

    fn compressed_access_by_pointer(&mut self) -> u32 {
        loop {
            let half = u32::from(self.prng.next_u64() as u16);
            let insn = decode(half, self.ours);
            let access = (Op::Lb..=Op::Sd).contains(&insn.op) || matches!(insn.op, Op::Fld | Op::Fsd);
            if half & 3 != 3 && access && self.is_common(half) && matches!(insn.rs1, 2 | 8) {
                return half;
            }
        }
    }

    fn float(&mut self) {
        if self.prng.chance(1, 5) {
            let opcode = self.pick(&[0x43, 0x47, 0x4b, 0x4f]);
            let word = opcode | self.prng.next_u64() as u32 & 0xfdff_ff80;
            self.words.push(word);
            return;
        }
        let f7 = self.pick(&[
            0x00, 0x01, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x0d, 0x2c, 0x2d, 0x10, 0x11, 0x14, 0x15, 0x20, 0x21,
            0x50, 0x51, 0x60, 0x61, 0x68, 0x69, 0x70, 0x71, 0x20, 0x21, 0x22, 0x61, 0x72, 0x78, 0x79, 0x7a,
        ]);
        let rs2 = match f7 {
            0x2c | 0x2d | 0x70 | 0x71 => 0,
            0x20 | 0x21 => self.prng.below(6) as u32,
            0x61 => self.pick(&[0, 1, 2, 3, 8]),
            0x22 | 0x60..=0x69 => self.prng.below(4) as u32,
            0x72..=0x7a => self.prng.below(2) as u32,
            _ => self.register(),
        };
        let f3 = if f7 >= 0x70 { 0 } else { self.prng.below(8) as u32 };
        let word = fp(f7, f3, self.register(), self.register(), rs2);
        self.put_common(word);
    }

    /// A random halfword that is a compressed instruction, or a reserved one.
    fn compressed(&mut self) -> u32 {
        loop {
            let half = u32::from(self.prng.next_u64() as u16);
            let common = self.is_common(half);
            if half & 3 != 3 && half != 0 && common && !is_wild(decode(half, self.ours).op) {
                return half;
            }
        }
    }

    /// Over one word, by each instruction that can; or to where nothing can be fetched, and back by
    /// the handler, through x1.
    fn jump(&mut self) {
        let skipped = self.prng.next_u64() as u32;
        match self.prng.below(7) {
            0 => {
                let link = self.register();
                self.words.extend([jal(link, 8), skipped]);
            }
            1 => {
                let f3 = self.pick(&[0, 1, 4, 5, 6, 7]);
                let branch = b(f3, self.register(), self.register(), 8);
                let harmless = addi(self.prng.between(1, 31) as u32, self.register(), 1);
                self.words.extend([branch, harmless]);
            }
            2 => {
                // jalr with an odd offset: bit 0 is dropped.
                let (by, link) = (self.prng.between(1, 31) as u32, self.register());
                let offset = 12 + self.prng.below(2) as i32;
                self.words.extend([auipc(by, 0), jalr(link, by, offset), skipped]);
            }
            3 => {
                // c.j +6, or c.beqz, c.bnez of a register; a halfword is skipped or runs.
                let short = self.prng.below(8) as u16;
                let half = self.pick(&[0xa019, 0xc019, 0xe019]) as u16;
                let half = if half == 0xa019 { half } else { half | short << 7 };
                // c.addi x9, 1
                self.words.extend([u32::from(half) | 0x0485 << 16, 0x0485 | 0x0001 << 16]);
            }
            4 => {
                // c.jr or c.jalr by a register that is not x0.
                let by = self.prng.between(1, 31) as u32;
                let half = self.pick(&[0x8002, 0x9002]) | by << 7;
                self.words.extend([auipc(by, 0), addi(by, by, 12), half]);
            }
            _ => {
                let to = match self.mode {
                    Mode::Machine => NOWHERE + self.prng.below(1 << 20),
                    _ => match self.prng.below(3) {
                        0 => NOWHERE + self.prng.below(1 << 20),
                        1 => WINDOW + 0x40_0000 + self.prng.below(1 << 20),
                        // Not canonical.
                        _ => (self.prng.next_u64() | 1 << 62) & !(1 << 63),
                    },
                };
                self.constant(5, to);
                let offset = self.prng.below(64) as i32;
                self.words.push(jalr(1, 5, offset));
            }
        }
    }

    /// A few words of arithmetic, a few times over.
    fn repeat(&mut self) {
        let (times, length) = (self.prng.between(2, 9), self.prng.between(1, 4) as i32);
        self.constant(31, times);
        for _ in 0..length {
            let opcode = self.pick(&[0x33, 0x3b]);
            let (f3, f7) = (self.pick(&[0, 4, 5, 6]), self.pick(&[0, 1]));
            let rd = self.prng.between(1, 30) as u32;
            // (3b has no 4 or 6 with 0: an illegal one in a loop is as good as any.)
            let word = r(opcode, f3, f7, rd, self.register(), self.register());
            self.words.push(word);
        }
        self.words.extend([addi(31, 31, -1), bne(31, 0, -4 * (length + 1))]);
    }
}

/// Would this lead somewhere else, or use a register as an address?
fn is_wild(op: Op) -> bool {
    op >= Op::Jal && op <= Op::Sd
        || op >= Op::LrW && op <= Op::AmomaxuD
        || op >= Op::Csrrw && op <= Op::Wfi
        || matches!(op, Op::Flw | Op::Fsw | Op::Fld | Op::Fsd | Op::Flh | Op::Fsh)
}
