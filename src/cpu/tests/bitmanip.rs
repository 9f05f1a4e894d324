//! Zba, Zbb, Zbs and Zicond: each instruction in both engines on edge values, for every way in which its registers
//! can coincide, against the pseudo-code of the Unprivileged spec, chapters 11 and 30, done bit by bit.

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Prng;
use crate::cpu::{Cpu, HartStop};
use crate::engine::Engine;

/// What `rd` is for the two sources.
type Meaning = fn(u64, u64) -> u64;

fn edges() -> Vec<u64> {
    let mut edges =
        vec![0, 1, 2, 0x55, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0x0102_0304_0506_0708, 31, 32, 63, 64];
    for shift in [7, 15, 31, 32, 33, 62, 63] {
        edges.extend([1 << shift, (1 << shift) - 1, u64::MAX << shift]);
    }
    edges.extend([u64::MAX, u64::MAX - 1, 0xff00_00ff_0080_0100, 0xdead_beef_8000_0000]);
    let mut prng = Prng::new(11);
    edges.extend((0..4).map(|_| prng.next_u64()));
    edges
}

fn bit(value: u64, n: u64) -> u64 {
    value >> (n % 64) & 1
}

/// The number made of `width` bits, each a function of its place.
fn bits(width: u64, of: impl Fn(u64) -> u64) -> u64 {
    (0..width).map(|n| of(n) << n).sum()
}

fn word(value: u64) -> u64 {
    value as i32 as u64
}

fn uw(value: u64) -> u64 {
    u64::from(value as u32)
}

/// How many of the bits at `places` are 0 before the first that is 1.
fn zeros(value: u64, places: impl Iterator<Item = u64>) -> u64 {
    places.take_while(|&n| bit(value, n) == 0).count() as u64
}

fn ones(value: u64, width: u64) -> u64 {
    (0..width).map(|n| bit(value, n)).sum()
}

fn rotate_right(a: u64, by: u64, width: u64) -> u64 {
    bits(width, |n| bit(a, (n + by) % width))
}

fn rotate_left(a: u64, by: u64, width: u64) -> u64 {
    rotate_right(a, width - by % width, width)
}

fn bytes(value: u64, of: impl Fn(u8) -> u8) -> u64 {
    (0..8).map(|n| u64::from(of((value >> (8 * n)) as u8)) << (8 * n)).sum()
}

/// Name, funct7, funct3, opcode, meaning.
#[rustfmt::skip]
const BY_REGISTER: &[(&str, u32, u32, u32, Meaning)] = &[
    ("add.uw", 0x04, 0, 0x3b, |a, b| uw(a).wrapping_add(b)),
    ("sh1add", 0x10, 2, 0x33, |a, b| a.wrapping_mul(2).wrapping_add(b)),
    ("sh2add", 0x10, 4, 0x33, |a, b| a.wrapping_mul(4).wrapping_add(b)),
    ("sh3add", 0x10, 6, 0x33, |a, b| a.wrapping_mul(8).wrapping_add(b)),
    ("sh1add.uw", 0x10, 2, 0x3b, |a, b| (uw(a) * 2).wrapping_add(b)),
    ("sh2add.uw", 0x10, 4, 0x3b, |a, b| (uw(a) * 4).wrapping_add(b)),
    ("sh3add.uw", 0x10, 6, 0x3b, |a, b| (uw(a) * 8).wrapping_add(b)),
    ("andn", 0x20, 7, 0x33, |a, b| bits(64, |n| bit(a, n) & (1 - bit(b, n)))),
    ("orn", 0x20, 6, 0x33, |a, b| bits(64, |n| bit(a, n) | (1 - bit(b, n)))),
    ("xnor", 0x20, 4, 0x33, |a, b| bits(64, |n| u64::from(bit(a, n) == bit(b, n)))),
    ("min", 0x05, 4, 0x33, |a, b| if (a as i64) < b as i64 { a } else { b }),
    ("minu", 0x05, 5, 0x33, |a, b| if a < b { a } else { b }),
    ("max", 0x05, 6, 0x33, |a, b| if (a as i64) < b as i64 { b } else { a }),
    ("maxu", 0x05, 7, 0x33, |a, b| if a < b { b } else { a }),
    ("rol", 0x30, 1, 0x33, |a, b| rotate_left(a, b % 64, 64)),
    ("ror", 0x30, 5, 0x33, |a, b| rotate_right(a, b % 64, 64)),
    ("rolw", 0x30, 1, 0x3b, |a, b| word(rotate_left(a, b % 32, 32))),
    ("rorw", 0x30, 5, 0x3b, |a, b| word(rotate_right(a, b % 32, 32))),
    ("bclr", 0x24, 1, 0x33, |a, b| bits(64, |n| if n == b % 64 { 0 } else { bit(a, n) })),
    ("bext", 0x24, 5, 0x33, |a, b| bit(a, b % 64)),
    ("binv", 0x34, 1, 0x33, |a, b| bits(64, |n| if n == b % 64 { 1 - bit(a, n) } else { bit(a, n) })),
    ("bset", 0x14, 1, 0x33, |a, b| bits(64, |n| if n == b % 64 { 1 } else { bit(a, n) })),
    ("czero.eqz", 0x07, 5, 0x33, |a, b| if b == 0 { 0 } else { a }),
    ("czero.nez", 0x07, 7, 0x33, |a, b| if b == 0 { a } else { 0 }),
];

/// Name, the immediate without the amount, funct3, opcode, how many amounts, meaning.
const BY_AMOUNT: &[(&str, i32, u32, u32, u64, Meaning)] = &[
    ("slli.uw", 0x080, 1, 0x1b, 64, |a, b| uw(a) << b),
    ("rori", 0x600, 5, 0x13, 64, |a, b| rotate_right(a, b, 64)),
    ("roriw", 0x600, 5, 0x1b, 32, |a, b| word(rotate_right(a, b, 32))),
    ("bclri", 0x480, 1, 0x13, 64, BY_REGISTER[18].4),
    ("bexti", 0x480, 5, 0x13, 64, BY_REGISTER[19].4),
    ("binvi", 0x680, 1, 0x13, 64, BY_REGISTER[20].4),
    ("bseti", 0x280, 1, 0x13, 64, BY_REGISTER[21].4),
];

/// Name, immediate, funct3, opcode, meaning.
const UNARY: &[(&str, i32, u32, u32, Meaning)] = &[
    ("clz", 0x600, 1, 0x13, |a, _| zeros(a, (0..64).rev())),
    ("ctz", 0x601, 1, 0x13, |a, _| zeros(a, 0..64)),
    ("cpop", 0x602, 1, 0x13, |a, _| ones(a, 64)),
    ("sext.b", 0x604, 1, 0x13, |a, _| a as i8 as u64),
    ("sext.h", 0x605, 1, 0x13, |a, _| a as i16 as u64),
    ("clzw", 0x600, 1, 0x1b, |a, _| zeros(a, (0..32).rev())),
    ("ctzw", 0x601, 1, 0x1b, |a, _| zeros(a, 0..32)),
    ("cpopw", 0x602, 1, 0x1b, |a, _| ones(a, 32)),
    ("zext.h", 0x080, 4, 0x3b, |a, _| a & 0xffff),
    ("orc.b", 0x287, 5, 0x13, |a, _| bytes(a, |byte| if byte == 0 { 0 } else { 0xff })),
    ("rev8", 0x6b8, 5, 0x13, |a, _| u64::from_be_bytes(a.to_le_bytes())),
];

/// In the place of the second source: there is an amount instead.
const AMOUNT: u32 = 8;

/// One instruction, alone and as a loop: a translator keeps the registers of the second in host registers.
struct Bench([World; 4]);

impl Bench {
    fn new(insn: u32) -> Self {
        let bench = |engine, code: &[u32]| World::new(code).with(engine);
        let alone = [vec![insn], long_loop(&[])].concat();
        Self(
            [Engine::Interpreter, Engine::Translator]
                .map(|engine| [bench(engine, &alone), bench(engine, &long_loop(&[insn; 3]))])
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .try_into()
                .ok()
                .unwrap(),
        )
    }

    fn check(&mut self, (rd, rs1, rs2): (u32, u32, u32), a: u64, b: u64, meaning: Meaning, name: &str) {
        for (n, world) in self.0.iter_mut().enumerate() {
            world.hart.pc = BASE;
            for x in 5..8 {
                world.set_x(x, 0x7777_8888_9999_aaaa);
            }
            // The first wins where both are the same register.
            for (x, value) in [(rs2, b), (rs1, a)].into_iter().filter(|(x, _)| *x != 0) {
                world.set_x(x as u8, value);
            }
            // Once and a round of nothing, or three times a round, twice.
            let round = ROUND as u64;
            let (times, steps) = if n % 2 == 0 { (1, 1 + round) } else { (6, 2 * round) };
            // An amount is no register.
            let mut sources = [world.x(rs1 as u8), if rs2 == AMOUNT { b } else { world.x(rs2 as u8) }];
            assert_eq!(world.step(steps), HartStop::Reached);
            let mut expected = 0;
            for _ in 0..times {
                expected = meaning(sources[0], sources[1]);
                for (source, value) in [rs1, rs2].into_iter().zip(&mut sources) {
                    if source == rd {
                        *value = expected;
                    }
                }
            }
            assert_eq!(world.x(rd as u8), expected, "{name} x{rd},x{rs1},x{rs2} of {a:#x} and {b:#x}, {n}");
        }
    }
}

impl Drop for Bench {
    /// The translator has not been compared with the interpreter by interpreting.
    fn drop(&mut self) {
        for world in self.0[2..].iter().filter(|_| !std::thread::panicking()) {
            let fared = world.hart.fared();
            assert!(fared.is_none_or(|fared| fared.interpreted == 0), "{fared:?}");
        }
    }
}

#[test]
fn each_does_what_the_spec_says_bit_by_bit() {
    let edges = edges();
    for &(name, f7, f3, opcode, meaning) in BY_REGISTER {
        for (rd, rs1, rs2) in [(7, 5, 6), (5, 5, 6), (6, 5, 6), (7, 5, 5), (5, 5, 5), (7, 0, 6), (7, 5, 0)] {
            let mut bench = Bench::new(r(opcode, f3, f7, rd, rs1, rs2));
            for (n, &a) in edges.iter().enumerate() {
                for &b in edges.iter().skip(n % 3).step_by(3) {
                    bench.check((rd, rs1, rs2), a, b, meaning, name);
                }
            }
        }
    }
    for (rd, rs1) in [(7, 5), (5, 5), (7, 0)] {
        for &(name, imm, f3, opcode, meaning) in UNARY {
            let mut bench = Bench::new(i(opcode, f3, rd, rs1, imm));
            edges.iter().for_each(|&a| bench.check((rd, rs1, 0), a, 0, meaning, name));
        }
        for &(name, imm, f3, opcode, amounts, meaning) in BY_AMOUNT {
            for by in [0, 1, 2, 7, 15, 16, 31, 32, 33, 62, 63].into_iter().filter(|by| *by < amounts) {
                let mut bench = Bench::new(i(opcode, f3, rd, rs1, imm | by as i32));
                edges.iter().step_by(3).for_each(|&a| bench.check((rd, rs1, AMOUNT), a, by, meaning, name));
            }
        }
    }
}

#[test]
fn a_host_without_a_count_instruction_interprets_it() {
    for &(name, imm, f3, opcode, meaning) in UNARY {
        let mut bench = Bench::new(i(opcode, f3, 7, 5, imm));
        let counts = name.starts_with('c');
        bench.0[3].hart.engines.make_basic();
        edges().into_iter().for_each(|a| bench.check((7, 5, 0), a, 0, meaning, name));
        let fared = bench.0[3].hart.fared();
        assert!(fared.is_none_or(|fared| counts == (fared.interpreted > 0)), "{name} {fared:?}");
        bench.0[3] = World::new(&[]);
    }
}

#[test]
fn what_the_spec_gives_as_examples() {
    let unary = |insn: u32, a: u64| {
        let mut world = World::new(&[insn]);
        world.set_x(5, a);
        world.step(1);
        world.x(7)
    };
    // clz, ctz and cpop of 0, and of one bit; orc.b of a string's end; rev8 of a network's order.
    assert_eq!([0x6002_9393, 0x6012_9393, 0x6022_9393].map(|insn| unary(insn, 0)), [64, 64, 0]);
    assert_eq!([0x6002_9393, 0x6012_9393, 0x6022_9393].map(|insn| unary(insn, 1 << 40)), [23, 40, 1]);
    assert_eq!([0x6002_939b, 0x6012_939b, 0x6022_939b].map(|insn| unary(insn, 1 << 40)), [32, 32, 0]);
    assert_eq!(unary(0x2872_d393, 0x6100_6263_0064_6501), 0xff00_ffff_00ff_ffff);
    assert_eq!(unary(0x6b82_d393, 0x0102_0304_0506_0708), 0x0807_0605_0403_0201);
}

#[test]
fn a_plain_hart_takes_them_as_illegal() {
    for cpu in [Cpu::FIRST, "rv64gc".parse().unwrap()] {
        for engine in [Engine::Interpreter, Engine::Translator] {
            for (name, word) in BY_REGISTER
                .iter()
                .map(|&(name, f7, f3, op, _)| (name, r(op, f3, f7, 7, 5, 6)))
                .chain(UNARY.iter().map(|&(name, imm, f3, op, _)| (name, i(op, f3, 7, 5, imm))))
                .chain(BY_AMOUNT.iter().map(|&(name, imm, f3, op, ..)| (name, i(op, f3, 7, 5, imm | 3))))
            {
                // The handler is at BASE + 8.
                let mut world = World::of(cpu, &[NOP, word, jal(0, 0)]).with(engine);
                world.hart.csrs.mtvec = BASE + 8;
                world.step(3);
                let csrs = world.hart.state().csrs;
                assert_eq!((csrs.mcause, csrs.mtval, csrs.mepc), (2, word.into(), BASE + 4), "{cpu} {name}");
            }
        }
    }
}

#[test]
fn what_a_hart_has_survives_restore_and_reset() {
    // sh1add x7, x5, x6
    let word = r(0x33, 2, 0x10, 7, 5, 6);
    for (cpu, product) in [("rv64", 12), ("rv64gc", 0)] {
        let cpu: Cpu = cpu.parse().unwrap();
        let run = |mut world: World| {
            world.hart.csrs.mtvec = BASE + 8;
            world.set_x(5, 4);
            world.set_x(6, 4);
            world.step(3);
            (world.x(7), world.hart.state().csrs.mcause)
        };
        let expected = (product, if product == 0 { 2 } else { 0 });
        let world = World::of(cpu, &[NOP, word, jal(0, 0)]);
        assert_eq!(run(world.reborn()), expected, "{cpu}");
        let mut again = world;
        again.step(2);
        again.hart.reset(BASE, 0, 0);
        assert_eq!(run(again), expected, "{cpu}");
    }
}
