//! Straight code: random programs that compute, with loops, branches and calls over every instruction that the
//! translator has, all registers in use, and values at the edges. Both engines run them side by side and are compared
//! in everything after pieces of random length, so in the middle of blocks.
//!
//! The traps that there are (an instruction that is illegal in this mode, an interrupt at a random position) lead to
//! a handler that goes on behind the instruction.

use super::asm::*;
use super::coherence;
use super::float_engines::floats_agree;
use super::translation::{LEAF, Tables};
use super::world::{BASE, LINES, World};
use crate::base::{GuestPhys, Prng};
use crate::cpu::HartStop;
use crate::engine::planted::{Planted, during};
use crate::engine::{Engine, Fared, forbid_code};
use crate::isa::{Extensions, Op, decode};

const HANDLER: u64 = BASE + 0x1000;
const SAVED: u64 = BASE + 0x2000;
/// Four pages: one for functions, then the main part.
const CODE: u64 = BASE + 0x4000;
const MAIN: u64 = CODE + 0x1000;
const CODE_PAGES: u64 = 4;
const DATA: u64 = BASE + 0x1_0000;
const DATA_PAGES: u64 = 4;
/// Under Sv39: the code at two addresses, and the pages of data in the opposite order.
const TWINS: [u64; 2] = [0x4000_0000, 0x5000_0000];
const DATA_MAPPED: u64 = 0x6000_0000;

/// Registers that hold the addresses of the middles of pages of data.
const POINTERS: [u32; 2] = [8, 9];
const COUNTERS: [u32; 3] = [18, 19, 20];
const RA: u32 = 1;

const EDGES: [u64; 24] = [
    0,
    1,
    2,
    u64::MAX,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_7fff_ffff,
    i64::MAX as u64,
    1 << 63,
    (1 << 63) + 1,
    0x5555_5555_5555_5555,
    0x3ff0_0000_0000_0000,
    0xffff_ffff_3f80_0000,
    0x7ff8_0000_0000_0001,
    0x7ff0_0000_0000_0001,
    0xfff0_0000_0000_0000,
];

fn edge(prng: &mut Prng) -> u64 {
    match prng.below(4) {
        0 => prng.next_u64(),
        // A double near 1.
        1 => prng.next_u64() & 0x800f_ffff_ffff_ffff | (1000 + prng.below(50)) << 52,
        _ => EDGES[prng.below(EDGES.len() as u64) as usize],
    }
}

/// Code as halfwords.
struct Text {
    at: u64,
    halves: Vec<u16>,
}

impl Text {
    fn here(&self) -> u64 {
        self.at + 2 * self.halves.len() as u64
    }

    fn put(&mut self, word: u32) -> u64 {
        let at = self.here();
        self.halves.extend([word as u16, (word >> 16) as u16]);
        at
    }

    fn put_all(&mut self, words: impl IntoIterator<Item = u32>) {
        for word in words {
            self.put(word);
        }
    }

    fn patch(&mut self, at: u64, word: u32) {
        let n = (at - self.at) as usize / 2;
        self.halves[n] = word as u16;
        self.halves[n + 1] = (word >> 16) as u16;
    }

    fn li(&mut self, rd: u32, value: u64) {
        let mut c = Code::default();
        c.li(rd, value);
        self.put_all(c.0);
    }
}

struct Writer<'a> {
    prng: &'a mut Prng,
    text: Text,
    /// Bit by register that is not to be written.
    kept: u32,
    functions: Vec<u64>,
    /// Where data is for a load or store.
    data: u64,
}

impl Writer<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        self.prng.below(bound.into()) as u32
    }

    fn rd(&mut self) -> u32 {
        loop {
            let rd = self.below(32);
            if self.kept & 1 << rd == 0 {
                return rd;
            }
        }
    }

    /// An instruction that computes.
    fn computation(&mut self) -> u32 {
        loop {
            let rd = self.rd();
            let (mut rs1, mut rs2, any) = (self.below(32), self.below(32), self.below(32));
            match self.below(6) {
                0 => rs1 = rd,
                1 => rs2 = rd,
                2 => rs2 = rs1,
                _ => {}
            }
            let f3 = self.below(8);
            let imm = self.below(4096) as i32 - 2048;
            let word = match self.below(20) {
                0..=7 => {
                    let f7 = [0, 0, 0x20, 1, 1, 0x10, 0x05, 0x30, 0x14, 0x24, 0x34, 0x07, 0x04];
                    let f7 = f7[self.below(13) as usize];
                    let opcode = if self.below(3) == 0 { 0x3b } else { 0x33 };
                    r(opcode, f3, f7, rd, rs1, rs2)
                }
                8..=11 => i(if self.below(3) == 0 { 0x1b } else { 0x13 }, f3, rd, rs1, imm),
                12 => lui(rd, self.prng.next_u64() as u32 & 0xf_ffff),
                13 => auipc(rd, self.prng.next_u64() as u32 & 0xf_ffff),
                14 => {
                    // Often with its destination for a source.
                    let rd = [any, any, rs1, rs2, f3][self.below(5) as usize];
                    let double = self.below(3).min(1);
                    let rm = if self.below(8) == 0 { 0 } else { 7 };
                    let fused = 0x43 | self.below(4) << 2 | rd << 7 | rm << 12;
                    fused | rs1 << 15 | rs2 << 20 | double << 25 | f3 << 27
                }
                _ => {
                    let known = [
                        1, 5, 9, 13, 1, 5, 9, 13, 0x11, 0x11, 0x15, 0x2d, 0x51, 0x51, 0x61, 0x61, 0x69, 0x69,
                        0x71, 0x79, 0x20, 0x21, 0, 4, 8, 12, 0, 4, 8, 12, 0x10, 0x14, 0x2c, 0x50, 0x60, 0x68,
                        0x70, 0x78,
                    ];
                    let f7 = known[self.below(known.len() as u32) as usize];
                    let to_int = matches!(f7 & 0x7c, 0x50 | 0x60 | 0x70);
                    let rs2 = match f7 & 0x7c {
                        0x20 => [0, 1, 0, 1, 4, 5][self.below(6) as usize],
                        0x60..=0x7c => self.below(4),
                        _ => rs2,
                    };
                    let rm = if self.below(4) == 0 { f3 } else { 7 };
                    let rm = if matches!(f7 & 0x7c, 0x10 | 0x14 | 0x50 | 0x70 | 0x78) { f3 } else { rm };
                    fp(f7, rm, if to_int { rd } else { any }, rs1, if f7 & 0x7c == 0x2c { 0 } else { rs2 })
                }
            };
            if decode(word, Extensions::ALL).op != Op::Illegal {
                return word;
            }
        }
    }

    /// A compressed instruction that computes.
    fn compressed(&mut self) -> u16 {
        loop {
            let half = self.prng.next_u64() as u16;
            let insn = decode(half.into(), Extensions::ALL);
            let fits = insn.len == 2
                && matches!(
                    insn.op,
                    Op::Addi
                        | Op::Addiw
                        | Op::Add
                        | Op::Sub
                        | Op::Xor
                        | Op::Or
                        | Op::And
                        | Op::Addw
                        | Op::Subw
                        | Op::Slli
                        | Op::Srli
                        | Op::Srai
                        | Op::Andi
                        | Op::Lui
                );
            if half & 3 != 3 && fits && self.kept & 1 << insn.rd == 0 {
                return half;
            }
        }
    }

    fn access(&mut self) {
        let mut pointer = POINTERS[self.below(2) as usize];
        let imm = self.below(4096) as i32 - 2048;
        let imm = if self.below(6) == 0 { imm } else { imm & !7 };
        match self.below(10) {
            // Another page.
            0 => self.point(pointer),
            // To the edge of a page, which some accesses cross.
            1 => {
                let at = self.data + self.prng.between(1, DATA_PAGES - 1) * 0x1000;
                pointer = self.rd().max(2);
                while self.kept & 1 << pointer != 0 {
                    pointer = self.rd().max(2);
                }
                self.text.li(pointer, at);
                let imm = self.below(24) as i32 - 12;
                return if self.below(2) == 0 {
                    self.move_data(pointer, imm)
                } else {
                    self.burst(pointer, imm)
                };
            }
            2..=3 => return self.burst(pointer, imm / 2),
            _ => {}
        }
        self.move_data(pointer, imm);
    }

    /// Several accesses by one register near each other, and what comes between; one of them may write the register.
    fn burst(&mut self, pointer: u32, imm: i32) {
        let by = [1, 4, 8, 8, 8, 64][self.below(6) as usize];
        for _ in 0..self.below(5) + 2 {
            let away = by * (self.below(8) as i32 - 3);
            self.move_data(pointer, imm + away);
            match self.below(6) {
                0 => {
                    let word = self.computation();
                    self.text.put(word);
                }
                1 => {
                    let (f3, a, b_) = (self.condition(), self.below(32), self.below(32));
                    self.text.put_all([b(f3, a, b_, 8), NOP]);
                }
                2 if self.below(4) == 0 => {
                    self.text.put_all([addi(pointer, pointer, 0x7f8), addi(pointer, pointer, -0x7f0)])
                }
                _ => {}
            }
        }
    }

    fn move_data(&mut self, pointer: u32, imm: i32) {
        let (rd, any, f3) = (self.rd(), self.below(32), self.below(7));
        let word = match self.below(12) {
            0..=3 => load(f3, rd, pointer, imm),
            4..=7 => s(0x23, f3 & 3, pointer, any, imm),
            8 => i(0x07, 2 + (f3 & 1), any, pointer, imm),
            9 => s(0x27, 2 + (f3 & 1), pointer, any, imm),
            _ => {
                let f5 = [3, 1, 0, 4, 12, 8, 16, 20, 24, 28, 2][self.below(11) as usize];
                let width = 2 + (f3 & 1);
                let rs2 = if f5 == 2 { 0 } else { any };
                amo(f5, width, rd, pointer, rs2)
            }
        };
        self.text.put(word);
    }

    /// The middle of a page into a pointer.
    fn point(&mut self, pointer: u32) {
        let at = self.data + self.prng.below(DATA_PAGES) * 0x1000 + 0x800;
        self.text.li(pointer, at);
    }

    fn condition(&mut self) -> u32 {
        [0, 1, 4, 5, 6, 7][self.below(6) as usize]
    }

    fn item(&mut self, depth: usize) {
        match self.below(40) {
            0..=4 => self.access(),
            5..=7 => {
                for _ in 0..self.below(3) + 1 {
                    let half = self.compressed();
                    self.text.halves.push(half);
                }
            }
            8..=10 => {
                // Forward, over a few.
                let (f3, a, b_) = (self.condition(), self.below(32), self.below(32));
                let at = self.text.put(NOP);
                for _ in 0..self.below(4) {
                    self.item(3);
                }
                let offset = (self.text.here() - at) as i32;
                self.text.patch(at, b(f3, a, b_, offset));
            }
            11..=12 if depth < 3 => {
                let counter = COUNTERS[depth];
                let times = self.below(if depth == 0 { 12 } else { 4 }) as i32 + 1;
                let old = self.kept;
                self.text.put(addi(counter, 0, times));
                self.kept |= 1 << counter;
                let start = self.text.here();
                for _ in 0..self.below(12) + 1 {
                    self.item(depth + 1);
                }
                self.text.put(addi(counter, counter, -1));
                let back = start as i64 - self.text.here() as i64;
                if back > -4000 {
                    self.text.put(bne(counter, 0, back as i32));
                }
                self.kept = old;
            }
            13..=14 if !self.functions.is_empty() => self.call(),
            15 => {
                let (rd, n) = (self.rd(), self.below(8));
                let frm = if self.below(8) == 0 { n } else { n & 3 };
                let word = match self.below(8) {
                    0..=2 => csrr(rd, 1),
                    3 => csrrwi(0, 1, n),
                    4..=5 => csrrwi(0, 2, frm),
                    6 => csrr(rd, 0xb02),
                    _ => csrr(rd, 3),
                };
                self.text.put(word);
            }
            16..=18 => {
                let (rd, value) = (self.rd(), edge(self.prng));
                self.text.li(rd, value);
            }
            _ => {
                let word = self.computation();
                self.text.put(word);
            }
        }
    }

    fn call(&mut self) {
        let which = self.below(self.functions.len() as u32);
        let to = self.functions[which as usize];
        if self.below(2) == 0 {
            let offset = to as i64 - self.text.here() as i64;
            self.text.put(jal(RA, offset as i32));
        } else {
            // By the link register itself, or by another.
            let through = if self.below(2) == 0 { RA } else { 5 };
            let offset = to as i64 - self.text.here() as i64;
            let low = (offset as i32) << 20 >> 20;
            self.text.put(auipc(through, ((offset as i32).wrapping_sub(low) as u32 >> 12) & 0xf_ffff));
            self.text.put(jalr(RA, through, low | 1));
        }
    }

    /// A loop that writes over one of its own instructions.
    fn write_over(&mut self) {
        let (counter, old) = (COUNTERS[0], self.kept);
        self.text.put(addi(counter, 0, 2));
        self.kept |= 1 << counter;
        let word = self.computation();
        let target = self.text.put(word);
        for _ in 0..self.below(3) + 1 {
            for _ in 0..self.below(6) {
                self.item(3);
            }
            let new = self.computation();
            let offset = target as i64 - self.text.here() as i64;
            let low = (offset as i32) << 20 >> 20;
            self.text.put(auipc(6, ((offset as i32).wrapping_sub(low) as u32 >> 12) & 0xf_ffff));
            self.text.li(7, new.into());
            self.text.put(sw(7, 6, low));
        }
        self.text.put(addi(counter, counter, -1));
        let back = target as i64 - self.text.here() as i64;
        self.text.put(bne(counter, 0, back as i32));
        self.kept = old;
    }
}

/// A program: what stands at [`CODE`], which it leads in a circle.
fn program(prng: &mut Prng, mapped: bool) -> Vec<u16> {
    let data = if mapped { DATA_MAPPED } else { DATA };
    let kept = POINTERS.iter().fold(0, |kept, n| kept | 1 << n);
    let text = Text { at: CODE, halves: Vec::new() };
    let mut w = Writer { prng, text, kept, functions: Vec::new(), data };
    // The loops of a function use the same counters as those around its calls.
    let counters = COUNTERS.iter().fold(0, |kept, n| kept | 1 << n);
    w.kept = kept | counters | 1 << RA;
    let mut functions = Vec::new();
    for _ in 0..6 {
        functions.push(w.text.here());
        for _ in 0..w.below(16) + 1 {
            w.item(3);
        }
        let odd = w.below(2) as i32;
        w.text.put(jalr(0, RA, odd));
    }
    assert!(w.text.here() < MAIN);
    w.text.halves.resize(0x800, 0);
    w.kept = kept;
    w.functions = functions;
    let start = w.text.here();
    for pointer in POINTERS {
        w.point(pointer);
    }
    let end = CODE + (CODE_PAGES - 1) * 0x1000;
    let mut n = 0;
    while w.text.here() < end {
        if n % 256 == 20 {
            w.write_over();
        }
        w.item(0);
        n += 1;
    }
    assert!(w.text.here() < CODE + CODE_PAGES * 0x1000 - 64, "{:x}", w.text.here());
    // Round again; mapped, at the other address.
    if mapped {
        let back = w.text.put(auipc(7, 0));
        let twin = TWINS[0] ^ TWINS[1];
        w.text.put(lui(6, (twin >> 12) as u32));
        w.text.put(xor(7, 7, 6));
        let offset = start as i64 - back as i64;
        w.text.li(6, offset as u64);
        w.text.put(add(7, 7, 6));
        w.text.put(jalr(0, 7, 0));
    } else {
        let offset = start as i64 - w.text.here() as i64;
        w.text.put(jal(0, offset as i32));
    }
    w.text.halves
}

/// Goes on behind the instruction that trapped; after an interrupt, at the same one.
fn handler() -> Vec<u32> {
    let save = [csrrw(31, 0x340, 31), sd(30, 31, 0), csrr(30, 0x342)];
    let skip = [b(4, 30, 0, 20), csrr(30, 0x341), addi(30, 30, 4), csrw(0x341, 30), jal(0, 12)];
    let quiet = [lui(30, (LINES >> 12) as u32), sd(0, 30, 0)];
    let restore = [ld(30, 31, 0), csrrw(31, 0x340, 31), MRET];
    [&save[..], &skip, &quiet, &restore].concat()
}

fn world(seed: u64) -> World {
    let mut prng = Prng::new(seed ^ 0x57a1);
    let mapped = seed.is_multiple_of(2);
    let mut world = World::new(&[]);
    let halves = program(&mut prng, mapped);
    for (n, half) in halves.iter().enumerate() {
        world.ram.write(GuestPhys(CODE + 2 * n as u64), &half.to_le_bytes()).unwrap();
    }
    world.put(HANDLER, &handler());
    for at in (0..DATA_PAGES * 0x1000).step_by(8) {
        world.put_u64(DATA + at, edge(&mut prng));
    }
    let csrs = &mut world.hart.csrs;
    (csrs.mtvec, csrs.mscratch, csrs.mie) = (HANDLER, SAVED, 0x888);
    csrs.mstatus = 0x6008;
    csrs.fcsr = (prng.below(4) as u8) << 5;
    for n in 1..32 {
        world.hart.regs.set(n, edge(&mut prng));
    }
    for n in 0..32 {
        world.hart.regs.f[n] = edge(&mut prng);
    }
    world.hart.pc = MAIN;
    if mapped {
        let mut tables = Tables::new();
        for page in 0..CODE_PAGES {
            for twin in TWINS {
                tables.map(&mut world, twin + page * 0x1000, CODE + page * 0x1000, LEAF);
            }
        }
        for page in 0..DATA_PAGES {
            let to = DATA + (DATA_PAGES - 1 - page) * 0x1000;
            tables.map(&mut world, DATA_MAPPED + page * 0x1000, to, LEAF);
        }
        tables.enter(&mut world, 1, TWINS[0] + 0x1000);
    }
    world
}

/// The longest pieces, in turn at random.
const SHORT: [u64; 4] = [3, 60, 300, 3000];
const LONG: [u64; 4] = [1000, 3000, 6000, 20_000];

/// Both engines run the program of `seed`; where they differ first, if they do.
fn agree(seed: u64, pieces: u64, lengths: [u64; 4]) -> Result<Fared, String> {
    let mut prng = Prng::new(seed);
    let mut translated = world(seed).with(Engine::Translator);
    let mut interpreted = world(seed).with(Engine::Interpreter);
    for _ in 0..pieces {
        let longest = lengths[prng.below(4) as usize];
        let length = prng.between(1, longest);
        let lines = if prng.chance(1, 4) { [8, 1 << 7, 1 << 11][prng.below(3) as usize] } else { 0 };
        for world in [&mut translated, &mut interpreted] {
            if lines != 0 {
                world.bus.lines = lines;
                world.hart.refresh_lines(&world.bus);
            }
            let stop = world.step(length);
            if stop != HartStop::Reached {
                return Err(format!("seed {seed}: {stop:?}"));
            }
        }
        if translated.picture() != interpreted.picture() {
            let (a, b) = (translated.hart.state(), interpreted.hart.state());
            return Err(format!("seed {seed}, within {length} before {:?}:\n{a:x?}\n{b:x?}", b.icount));
        }
    }
    Ok(translated.hart.fared().unwrap_or_default())
}

#[test]
fn straight_code_agrees() {
    let first = std::env::var("LOCKSTEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 40 {
        agree(seed, 150, SHORT).unwrap_or_else(|difference| panic!("{difference}"));
    }
    let mut sum = Fared::default();
    for seed in first + 40..first + 60 {
        let fared = agree(seed, 30, LONG).unwrap_or_else(|difference| panic!("{difference}"));
        sum.translated += fared.translated;
        sum.interpreted += fared.interpreted;
        sum.rewritten += fared.rewritten;
    }
    // Behind an instruction that leaves (misaligned, a NaN) it is interpreted up to the next jump.
    assert!(sum.share() > 0.4 && sum.translated > 800_000 && sum.rewritten > 100, "{sum:?}");
}

#[test]
fn a_cache_that_is_thrown_over_without_end_never_shows() {
    // Of 12 KiB some regions do not fit at all.
    for bytes in [12 << 10, 64 << 10] {
        let (mut full, mut translated) = (0, 0);
        for seed in 1..=6 {
            let mut small = world(seed).with(Engine::Translator);
            small.hart.engines.keep_at_most(bytes);
            let mut interpreted = world(seed).with(Engine::Interpreter);
            for piece in [1000, 1, 30_000, 17, 9000] {
                small.step(piece);
                interpreted.step(piece);
                assert!(small.picture() == interpreted.picture(), "seed {seed}, {bytes} bytes");
            }
            let fared = small.hart.fared().expect("the translator runs");
            full += fared.full;
            translated += fared.translated;
        }
        assert!(full > 20 && translated > 10_000, "{bytes} bytes: {full} times, {translated} instructions");
    }
}

#[test]
fn where_the_host_forbids_memory_for_code_the_interpreter_serves() {
    let mut expected = world(1).with(Engine::Interpreter);
    expected.step(5000);
    forbid_code(true);
    let mut refused = world(1).with(Engine::Translator);
    let told = Engine::Translator.is_here();
    refused.step(5000);
    forbid_code(false);
    assert!(told.is_err_and(|why| why.to_string().contains("lets no process make code")));
    assert_eq!((refused.hart.engine(), refused.hart.fared()), (Engine::Interpreter, None));
    assert!(refused.picture() == expected.picture());
    assert_eq!(Engine::Translator.is_here(), Ok(()));
}

/// What finds the bug that is planted, if something does.
fn found() -> Option<String> {
    for test in [
        coherence::the_instruction_that_ended_translated_code_may_become_another,
        coherence::a_single_instruction_that_has_run_can_be_changed,
    ] {
        if std::panic::catch_unwind(test).is_err() {
            return Some("a test of coherence fails".into());
        }
    }
    for seed in 1..=60 {
        if let Err(difference) = agree(seed, 150, SHORT) {
            return Some(difference);
        }
    }
    floats_agree(7, 20, false).err()
}

#[test]
fn every_planted_bug_is_found() {
    // Some are found by tests of coherence, which run under the engine that this process is to use.
    if world(1).hart.engine() == Engine::Interpreter {
        return eprintln!("SKIPPED: the translator's bugs are found where it runs");
    }
    let mut missed = Vec::new();
    for &bug in Planted::ALL {
        let start = std::time::Instant::now();
        let found = std::panic::catch_unwind(|| during(bug, found)).unwrap_or(Some("a panic".into()));
        match found {
            Some(found) => eprintln!("{bug:?} {:?}: {}", start.elapsed(), &found[..found.len().min(90)]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
