//! Floating point as the interpreter computes it, against the soft implementation: results and `fflags`, whether
//! inexact has been raised before or not, in every rounding mode, on directed operands.

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Prng;
use crate::engine::Engine;
use crate::engine::float::compute;
use crate::engine::interpreter::Slot;
use crate::engine::regs::Regs;
use crate::isa::{Extensions, decode};

const FS: u64 = 0x6000;
const NX: u8 = 1;
const BOX: u64 = 0xffff_ffff << 32;

/// Magnitudes of doubles at which something changes.
const DOUBLES: [u64; 20] = [
    0,
    0x3ff0_0000_0000_0000, // 1
    0x3ff0_0000_0000_0001,
    0x3fef_ffff_ffff_ffff,
    0x3ff8_0000_0000_0000,
    0x3fd5_5555_5555_5555, // 1/3
    0x3ca0_0000_0000_0000, // 2^-53
    1,                     // subnormals
    0x0008_0000_0000_0000,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000, // the smallest normal
    0x0010_0000_0000_0001,
    0x1ff0_0000_0000_0001, // whose square is near the smallest
    0x5fe0_0000_0000_0001, // and near the largest
    0x7fef_ffff_ffff_ffff, // the largest
    0x7ff0_0000_0000_0000, // infinity
    0x7ff8_0000_0000_0000, // NaNs
    0x7ff0_0000_0000_0001,
    0x47ef_ffff_e000_0000, // the largest single
    0x3810_0000_0000_0000, // the smallest normal single
];

/// The same for singles.
const SINGLES: [u64; 18] = [
    0,
    0x3f80_0000,
    0x3f80_0001,
    0x3f7f_ffff,
    0x3fc0_0000,
    0x3eaa_aaab,
    0x3380_0000, // 2^-24
    1,
    0x0040_0000,
    0x007f_ffff,
    0x0080_0000,
    0x0080_0001,
    0x2000_0001,
    0x5f80_0001,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7fc0_0000,
    0x7f80_0001,
];

struct Bench {
    world: World,
    insn: u32,
}

impl Bench {
    fn new(insn: u32) -> Self {
        let mut world = World::new(&[insn]).with(Engine::Interpreter);
        world.hart.csrs.mstatus = FS;
        Self { world, insn }
    }

    fn check(&mut self, f: [u64; 3], x5: u64, fcsr: u8) {
        let hart = &mut self.world.hart;
        let mut expected = Regs::new();
        for regs in [&mut expected, &mut hart.regs] {
            regs.f[1..5].copy_from_slice(&[f[0], f[1], f[2], 0x1234]);
            regs.set(5, x5);
            regs.set(6, 0x4321);
        }
        (hart.pc, hart.csrs.fcsr) = (BASE, fcsr);
        let mut flags = fcsr;
        let (before, insn) = (hart.exceptions, decode(self.insn, Extensions::ALL));
        let legal = compute(&mut expected, &mut flags, Slot::from(insn)).is_some();
        self.world.step(1);
        let hart = &self.world.hart;
        let found = (hart.exceptions == before, hart.csrs.fcsr, &hart.regs.f[1..5], hart.x(6));
        let wanted = (legal, flags, &expected.f[1..5], expected.get(6));
        assert_eq!(found, wanted, "{insn:?} of {f:x?}, {x5:x}, fcsr {fcsr:x}");
    }
}

fn fused(opcode: u32, rm: u32, format: u32) -> u32 {
    opcode | 4 << 7 | rm << 12 | 1 << 15 | 2 << 20 | format << 25 | 3 << 27
}

/// The states of `fcsr` to begin with: inexact raised or not, in each mode and in one that is none.
fn states() -> impl Iterator<Item = u8> {
    (0..6).flat_map(|frm| [0, NX, 0x1e, 0x1f].map(|flags| frm << 5 | flags))
}

/// Edges with both signs, and `more` numbers that are not special and may be inexact with each other.
fn operands(format: u32, more: usize) -> Vec<u64> {
    let mut prng = Prng::new(9);
    let both = |bits: u64, sign: u64| [bits, bits | sign];
    match format {
        0 => {
            let any = (0..more).map(|_| prng.next_u64() & 0x807f_ffff | (127 - 8 + prng.below(16)) << 23);
            let edges = SINGLES.iter().flat_map(|&bits| both(bits, 1 << 31));
            // One is not boxed.
            edges.chain(any).map(|bits| bits | BOX).chain([0x3f80_0000]).collect()
        }
        _ => {
            let any = (0..more).map(|_| prng.next_u64() & !(2047 << 52) | (1023 - 30 + prng.below(60)) << 52);
            DOUBLES.iter().flat_map(|&bits| both(bits, 1 << 63)).chain(any).collect()
        }
    }
}

#[test]
fn what_the_host_computes_is_what_the_integers_give() {
    for format in [0, 1] {
        let operands = operands(format, 12);
        let mut insns = Vec::new();
        for rm in [7, 0, 1] {
            insns.extend([0, 4, 8, 0xc].map(|f7| fp(f7 + format, rm, 4, 1, 2)));
            insns.push(fp(0x2c + format, rm, 4, 1, 0)); // fsqrt
            insns.push(fp(0x20 + format, rm, 4, 1, 1 - format)); // to the other format
        }
        for f3 in 0..3 {
            insns.push(fp(0x10 + format, f3, 4, 1, 2)); // sign injection
            insns.push(fp(0x50 + format, f3, 6, 1, 2)); // comparisons
        }
        insns.push(fp(0x70 + format, 0, 6, 1, 0)); // the bits
        for insn in insns {
            let mut bench = Bench::new(insn);
            let unary = matches!(insn >> 25 & !1, 0x2c | 0x20 | 0x70);
            for fcsr in states() {
                for &a in &operands {
                    let seconds = if unary { &operands[..1] } else { &operands[..] };
                    seconds.iter().for_each(|&b| bench.check([a, b, 0], 0, fcsr));
                }
            }
        }
        for (n, opcode) in [0x43, 0x47, 0x4b, 0x4f].into_iter().enumerate() {
            let mut bench = Bench::new(fused(opcode, 7, format));
            let triples = operands.iter().flat_map(|&a| operands.iter().map(move |&b| (a, b)));
            let triples = triples.flat_map(|(a, b)| operands.iter().map(move |&c| [a, b, c]));
            for (turn, f) in triples.enumerate().skip(n).step_by(7) {
                bench.check(f, 0, [NX, 0, 0x1f, 1 << 5 | NX, 3 << 5 | NX][turn / 7 % 5]);
            }
        }
    }
}

/// In binary64 these sums lie just beside, and rounded to binary64 exactly, between two singles.
#[test]
fn a_fused_sum_of_singles_is_rounded_once() {
    let mut bench = Bench::new(fused(0x43, 7, 0));
    let mut prng = Prng::new(3);
    for _ in 0..20_000 {
        // The product has 48 bits; the addend is a tie's distance away, or nearly.
        let a = prng.next_u64() & 0x7f_ffff | 127 << 23;
        let b = 1 << 22 >> prng.below(23) | 127 << 23;
        let c = prng.next_u64() & 0x8000_0007 | (127 - 60 + prng.below(70)) << 23;
        bench.check([a | BOX, b | BOX, c | BOX], 0, NX);
    }
    // 1 + 2^-24 and a little: up, not to even.
    let little = u64::from(2f32.powi(-90).to_bits());
    bench.check([0x3f80_0001 | BOX, 0x3f00_0000 | BOX, little | BOX], 0, NX);
    bench.check([0x3f80_0000 | BOX, 0x3f80_0000 | BOX, 0x3380_0000 | BOX], 0, NX);
    let tie = |sign: u64| [0x4b80_0001 | BOX, 0x3f00_0000 | BOX, little | sign << 31 | BOX];
    [0, 1].into_iter().for_each(|sign| bench.check(tie(sign), 0, NX));
}

#[test]
fn integers_become_floats_and_bits_move() {
    let integers =
        [0, 1, u64::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 1 << 63, 0x7ff8 << 48];
    let mut insns = vec![fp(0x78, 0, 4, 5, 0), fp(0x79, 0, 4, 5, 0)];
    for rm in [0, 1, 4, 5, 7] {
        insns.extend((0..4).flat_map(|kind| [0x68, 0x69].map(|f7| fp(f7, rm, 4, 5, kind))));
    }
    for insn in insns {
        let mut bench = Bench::new(insn);
        for fcsr in states() {
            integers.iter().for_each(|&x5| bench.check([0; 3], x5, fcsr));
        }
    }
}

#[test]
fn without_floating_point_nothing_of_it_is_executed() {
    let fld = 0x07 | 4 << 7 | 3 << 12 | 5 << 15;
    let fsd = 0x27 | 3 << 12 | 5 << 15 | 4 << 20;
    for insn in
        [fp(1, 7, 4, 1, 2), fp(0x69, 0, 4, 5, 0), fp(0x51, 2, 6, 1, 2), fp(0x71, 0, 6, 1, 0), fld, fsd]
    {
        let mut bench = Bench::new(insn);
        // Dirty at first, so that everything is known and cached.
        bench.world.set_x(5, BASE + 0x1000);
        bench.world.hart.csrs.fcsr = NX;
        bench.world.step(1);
        assert_eq!(bench.world.hart.exceptions, 0);
        bench.world.hart.pc = BASE;
        bench.world.hart.csrs.mstatus = 0;
        bench.world.hart.regs.f[4] = 0x1234;
        bench.world.step(1);
        let hart = &bench.world.hart;
        assert_eq!((hart.exceptions, hart.csrs.mcause, hart.regs.f[4]), (1, 2, 0x1234), "{insn:x}");
    }
}
