//! Floating point as the translator computes it, against the soft implementation: results, `fflags` and traps, in
//! every rounding mode, on directed operands in all combinations and on random ones; singles that are not boxed
//! among them.

use std::collections::BTreeMap;

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Prng;
use crate::engine::Engine;
use crate::engine::float::compute;
use crate::engine::interpreter::Slot;
use crate::engine::regs::Regs;
use crate::isa::{Extensions, decode};

const FS: u64 = 0x6000;

/// Doubles at which something changes.
const DOUBLES: [u64; 40] = [
    0,
    1 << 63,
    0x3ff0_0000_0000_0000, // 1
    0xbff0_0000_0000_0000,
    0x3ff0_0000_0000_0001,
    0x3fef_ffff_ffff_ffff,
    0x3fe0_0000_0000_0000, // 0.5
    0xbfe0_0000_0000_0000,
    0x3ff8_0000_0000_0000, // 1.5
    0x4004_0000_0000_0000, // 2.5
    0xc004_0000_0000_0000,
    0x3ca0_0000_0000_0000, // 2^-53
    0x3ca0_0000_0000_0001,
    0xbca0_0000_0000_0000,
    0x0000_0000_0000_0001, // subnormals
    0x8000_0000_0000_0001,
    0x0008_0000_0000_0000,
    0x000f_ffff_ffff_ffff,
    0x800f_ffff_ffff_ffff,
    0x0010_0000_0000_0000, // the smallest normal
    0x8010_0000_0000_0001,
    0x0020_0000_0000_0000,
    0x1ff0_0000_0000_0001, // whose square is near the smallest
    0x5fe0_0000_0000_0001, // and near the largest
    0x7fef_ffff_ffff_ffff, // the largest
    0xffef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000, // infinities
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000, // quiet NaNs
    0xfff8_0000_dead_beef,
    0x7ff0_0000_0000_0001, // signaling ones
    0xfff7_ffff_ffff_ffff,
    0x41df_ffff_ffc0_0000, // 2^31 - 1
    0x41df_ffff_ffe0_0000, // 2^31 - 0.5
    0xc1e0_0000_0000_0000, // -2^31
    0xc1e0_0000_0010_0000, // -2^31 - 0.5
    0x43df_ffff_ffff_ffff, // the last below 2^63
    0x43e0_0000_0000_0000, // 2^63
    0xc3e0_0000_0000_0000, // -2^63
    0xc3e0_0000_0000_0001,
];

/// What registers hold where singles are wanted: the same for singles, and some that are not boxed.
fn singles() -> Vec<u64> {
    const SINGLES: [u32; 34] = [
        0,
        1 << 31,
        0x3f80_0000, // 1
        0xbf80_0000,
        0x3f80_0001,
        0x3f7f_ffff,
        0x3f00_0000, // 0.5
        0xbf00_0000,
        0x3fc0_0000, // 1.5
        0x4020_0000, // 2.5
        0xc020_0000,
        0x3380_0000, // 2^-24
        0x3380_0001,
        0x0000_0001, // subnormals
        0x8000_0001,
        0x0040_0000,
        0x807f_ffff,
        0x0080_0000, // the smallest normal
        0x8080_0001,
        0x1fc0_0001, // whose square is near the smallest
        0x5f7f_ffff, // and near the largest; and the last below 2^64
        0x7f7f_ffff, // the largest
        0xff7f_ffff,
        0x7f80_0000, // infinities
        0xff80_0000,
        0x7fc0_0000, // quiet NaNs
        0xffc0_beef,
        0x7f80_0001, // signaling ones
        0xffbf_ffff,
        0x4eff_ffff, // the last below 2^31
        0x4f00_0000, // 2^31
        0xcf00_0001,
        0x4f7f_ffff, // the last below 2^32
        0x5f00_0000, // 2^63
    ];
    let boxed = SINGLES.iter().map(|&single| 0xffff_ffff << 32 | u64::from(single));
    boxed.chain([0x3f80_0000, 0xffff_fffe_3f80_0000, 0x7ff8_0000_0000_0000, 0xfff8_0000_ffff_ffff]).collect()
}

const INTEGERS: [u64; 16] = [
    0,
    1,
    u64::MAX,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_ffff_8000_0000,
    i64::MAX as u64,
    1 << 63,
    (1 << 53) - 1,
    (1 << 53) + 1,
    (1 << 54) + 2,
    (1 << 54) + 6,
    0x7fff_ffff_ffff_fdff,
    0x7fff_ffff_ffff_fe00,
    0x8000_0000_0000_0401,
];

/// `rd` from f1, f2 and f3; `double` is 0 or 1, `rm` what the instruction says of rounding.
fn fused(opcode: u32, double: u32, rd: u32, rm: u32) -> u32 {
    opcode | rd << 7 | rm << 12 | 1 << 15 | 2 << 20 | double << 25 | 3 << 27
}

/// f4 or x6 from f1 and f2: instructions on one or two doubles (`double` is 1) or singles (0).
fn on_pairs(double: u32) -> Vec<u32> {
    let convert = |rm, rd| fp(0x21 ^ double, rm, rd, 1, double);
    let fp = |f7: u32, rm, rd, rs1, rs2| fp(f7 & !1 | double, rm, rd, rs1, rs2);
    let mut insns = Vec::new();
    for rm in [7, 0, 1, 2, 3, 4] {
        // fadd, fsub, fmul, fdiv; and with both operands, or the destination, the same.
        for f7 in [1, 5, 9, 13] {
            insns.extend([fp(f7, rm, 4, 1, 2)]);
        }
        insns.push(fp(0x2d, rm, 4, 1, 0)); // fsqrt
        for kind in 0..4 {
            insns.push(fp(0x61, rm, 6, 1, kind)); // to integers
        }
    }
    for f7 in [1, 5, 9, 13] {
        insns.extend([fp(f7, 7, 1, 1, 2), fp(f7, 7, 2, 1, 2), fp(f7, 7, 4, 1, 1)]);
    }
    for f3 in 0..3 {
        insns.push(fp(0x11, f3, 4, 1, 2)); // sign injection
        insns.push(fp(0x11, f3, 4, 1, 1));
        insns.push(fp(0x51, f3, 6, 1, 2)); // comparisons
        insns.push(fp(0x51, f3, 0, 1, 2));
    }
    for f3 in 0..4 {
        insns.push(fp(0x15, f3, 4, 1, 2)); // fmin, fmax, fminm, fmaxm
        insns.push(fp(0x15, f3, 1, 1, 2));
        insns.push(fp(0x15, f3, 2, 1, 2));
    }
    insns.extend([fp(0x51, 4, 6, 1, 2), fp(0x51, 5, 6, 1, 2)]); // fleq, fltq
    for rm in [7, 0, 1, 2, 3, 4] {
        insns.extend([convert(rm, 4), convert(rm, 1)]); // to the other precision
        insns.extend([fp(0x21, rm, 4, 1, 4), fp(0x21, rm, 4, 1, 5)]); // fround, froundnx
    }
    insns.extend([fp(0x71, 0, 6, 1, 0), fp(0x71, 1, 6, 1, 0)]); // a move, fclass
    insns
}

/// Instructions on an integer.
fn on_integers() -> Vec<u32> {
    let mut insns = vec![fp(0x79, 0, 4, 5, 0), fp(0x78, 0, 4, 5, 0), fp(0x79, 0, 4, 0, 0)];
    for rm in [7, 0, 1, 2, 3, 4] {
        insns.extend((0..4).map(|kind| fp(0x69, rm, 4, 5, kind)));
        insns.extend((0..4).map(|kind| fp(0x68, rm, 4, 5, kind)));
    }
    // fli
    insns.extend((0..32).flat_map(|n| [fp(0x78, 0, 4, n, 1), fp(0x79, 0, 4, n, 1)]));
    insns
}

/// Executes one instruction, again and again.
struct Bench {
    world: World,
    insn: u32,
    /// In the modes that the host has: how many were legal, and how many of them translated code executed.
    legal: u64,
    translated: u64,
}

impl Bench {
    fn new(insn: u32, basic: bool) -> Self {
        let mut world = World::new(&long_loop(&[insn])).with(Engine::Translator);
        if basic {
            world.hart.engines.make_basic();
        }
        world.hart.csrs.mstatus = FS;
        Self { world, insn, legal: 0, translated: 0 }
    }

    /// What differs from the soft implementation, if anything.
    fn check(&mut self, f: [u64; 3], x5: u64, fcsr: u8) -> Result<(), String> {
        let hart = &mut self.world.hart;
        let mut expected = Regs::new();
        expected.f[1..4].copy_from_slice(&f);
        (expected.f[4], hart.regs.f[4]) = (0x1234, 0x1234);
        hart.regs.f[1..4].copy_from_slice(&f);
        for (n, value) in [(5, x5), (6, 0x4321)] {
            expected.set(n, value);
            hart.regs.set(n, value);
        }
        (hart.pc, hart.csrs.fcsr) = (BASE, fcsr);
        let (before, mut flags) = (hart.exceptions, fcsr);
        let legal =
            compute(&mut expected, &mut flags, Slot::from(decode(self.insn, Extensions::ALL))).is_some();
        let translated = |world: &World| world.hart.fared().unwrap_or_default().translated;
        let old = translated(&self.world);
        self.world.step(if legal { ROUND as u64 } else { 1 });
        if legal && fcsr >> 5 < 4 {
            self.legal += 1;
            self.translated += u64::from(translated(&self.world) - old == ROUND as u64);
        }
        let hart = &self.world.hart;
        let found = (hart.exceptions == before, hart.csrs.fcsr, &hart.regs.f[1..5], hart.x(5), hart.x(6));
        let wanted = (legal, flags, &expected.f[1..5], expected.get(5), expected.get(6));
        if found == wanted {
            return Ok(());
        }
        let insn = decode(self.insn, Extensions::ALL);
        Err(format!("{insn:?} of {f:x?}, {x5:x}, fcsr {fcsr:x}: {found:x?}, not {wanted:x?}"))
    }
}

/// A double that tends to meet others: of any bits, near 1, near an edge, or with few bits.
fn random_double(prng: &mut Prng) -> u64 {
    let any = prng.next_u64();
    match prng.below(5) {
        0 => any,
        1 => any & 0x800f_ffff_ffff_ffff | (1023 - 30 + prng.below(60)) << 52,
        2 => DOUBLES[prng.below(DOUBLES.len() as u64) as usize] ^ any >> 60 & 3,
        3 => any & 0x800f_f000_0000_0000 | (1023 - 3 + prng.below(60)) << 52,
        // The product of two of these is near the smallest.
        _ => any & 0x800f_ffff_ffff_ffff | (512 - 3 + prng.below(6)) << 52,
    }
}

/// The same for a single, sometimes not boxed.
fn random_single(prng: &mut Prng) -> u64 {
    let any = prng.next_u64() as u32;
    let single = match prng.below(5) {
        0 => any,
        1 => any & 0x807f_ffff | (127 - 30 + prng.below(60) as u32) << 23,
        2 => singles()[prng.below(34) as usize] as u32 ^ any >> 28 & 3,
        3 => any & 0x807f_0000 | (127 - 3 + prng.below(60) as u32) << 23,
        _ => any & 0x807f_ffff | (64 - 3 + prng.below(6) as u32) << 23,
    };
    let upper = if prng.chance(1, 32) { prng.next_u64() } else { u64::MAX };
    upper << 32 | u64::from(single)
}

/// All of it; `thin` takes every so manieth of the directed pairs, `basic` a host that has none of the newer
/// instructions. By instruction: how many were legal in the modes that the host has, and how many of those
/// translated code executed.
pub fn floats_agree(thin: usize, random: u64, basic: bool) -> Result<Shares, String> {
    let mut prng = Prng::new(5);
    let mut sum = Shares::new();
    let mut turn = 0u8;
    // Flags from before stay.
    let mut old_flags = move || {
        turn = turn.wrapping_add(7);
        if turn & 3 == 0 { turn >> 2 & 31 } else { 0 }
    };
    for double in [0, 1] {
        let directed = if double == 1 { DOUBLES.to_vec() } else { singles() };
        let random_one = if double == 1 { random_double } else { random_single };
        let pairs: Vec<(u64, u64)> =
            directed.iter().flat_map(|&a| directed.iter().map(move |&b| (a, b))).collect();
        for insn in on_pairs(double) {
            let mut bench = Bench::new(insn, basic);
            for frm in 0..8u8 {
                for &(a, b) in pairs.iter().skip(usize::from(frm) % thin).step_by(thin) {
                    bench.check([a, b, 0], 0, frm << 5 | old_flags())?;
                }
                for _ in 0..random {
                    let f = [random_one(&mut prng), random_one(&mut prng), 0];
                    bench.check(f, 0, frm << 5 | old_flags())?;
                }
            }
            add(&mut sum, &bench);
        }
        let opcodes = [0x43, 0x47, 0x4b, 0x4f];
        let ways = [(4, 7), (4, 0), (4, 2), (1, 7), (2, 7), (3, 7)];
        for insn in opcodes.iter().flat_map(|&opcode| ways.map(|(rd, rm)| fused(opcode, double, rd, rm))) {
            let mut bench = Bench::new(insn, basic);
            for frm in 0..8u8 {
                // One of so many of all triples, others for each mode and destination.
                let triples = pairs.iter().flat_map(|&(a, b)| directed.iter().map(move |&c| [a, b, c]));
                let first = 2 * usize::from(frm) + insn as usize / 16 % 2 + (insn as usize >> 7) % 8;
                for f in triples.skip(first).step_by(37 * thin) {
                    bench.check(f, 0, frm << 5 | old_flags())?;
                }
                for _ in 0..2 * random {
                    let f = [random_one(&mut prng), random_one(&mut prng), random_one(&mut prng)];
                    bench.check(f, 0, frm << 5 | old_flags())?;
                }
                // What the host does not call invalid.
                let (infinity, nan) = match double {
                    1 => (0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000),
                    _ => (0xffff_ffff_7f80_0000, 0xffff_ffff_7fc0_0000),
                };
                let zero = if double == 1 { 0 } else { 0xffff_ffff << 32 };
                for f in [[infinity, zero, nan], [zero, infinity, nan]] {
                    bench.check(f, 0, frm << 5)?;
                }
                // The third cancels the product, or nearly.
                for _ in 0..random {
                    let (a, b) = (random_one(&mut prng), random_one(&mut prng));
                    let product = match double {
                        1 => (f64::from_bits(a) * f64::from_bits(b)).to_bits() ^ 1 << 63,
                        _ => {
                            let product = f32::from_bits(a as u32) * f32::from_bits(b as u32);
                            u64::MAX << 32 | u64::from(product.to_bits() ^ 1 << 31)
                        }
                    };
                    bench.check([a, b, product ^ prng.below(3)], 0, frm << 5 | old_flags())?;
                }
            }
            add(&mut sum, &bench);
        }
    }
    for insn in on_integers() {
        let mut bench = Bench::new(insn, basic);
        for frm in 0..8u8 {
            for x in INTEGERS {
                bench.check([0; 3], x, frm << 5 | old_flags())?;
            }
            for _ in 0..random {
                let x = prng.next_u64() >> prng.below(64);
                bench.check([0; 3], x, frm << 5 | old_flags())?;
            }
        }
        add(&mut sum, &bench);
    }
    Ok(sum)
}

type Shares = BTreeMap<String, (u64, u64)>;

fn add(sum: &mut Shares, bench: &Bench) {
    let insn = decode(bench.insn, Extensions::ALL);
    let rounding = if insn.rm == 7 { " dyn" } else { "" };
    let share = sum.entry(format!("{:?}{rounding}", insn.op)).or_default();
    *share = (share.0 + bench.legal, share.1 + bench.translated);
}

#[test]
fn so_it_does_without_avx() {
    let shares = floats_agree(5, 40, true).unwrap_or_else(|difference| panic!("{difference}"));
    for name in ["FaddS dyn", "FsqrtD dyn", "FminS", "FsgnjnD", "FcvtSD dyn", "FcvtSL dyn", "FcvtLuD dyn"] {
        let (legal, translated) = shares[name];
        assert!(3 * translated > legal, "{name}: {translated} of {legal}");
    }
    // What needs FMA or AVX.
    for name in ["FmaddD dyn", "FroundS dyn"] {
        assert_eq!(shares[name].1, 0, "{name}");
    }
}

#[test]
fn the_translator_computes_what_the_soft_implementation_does() {
    let shares = floats_agree(1, 200, false).unwrap_or_else(|difference| panic!("{difference}"));
    // The translator has these. A share is left over to NaNs, to what is not boxed and to integers out of range, which
    // leave.
    let fused = ["Fmadd", "Fmsub", "Fnmsub", "Fnmadd"];
    let pairs = ["Fadd", "Fsub", "Fmul", "Fdiv", "Fsqrt"];
    let others = ["Fsgnj", "Fsgnjn", "Fsgnjx", "Feq", "Flt", "Fle", "Fltq", "Fleq", "Fli"];
    let with_nans = ["Fmin", "Fmax", "Fminm", "Fmaxm", "Fclass"];
    let rounded = ["Fround", "Froundnx"];
    let from_ints = ["W", "Wu", "L", "Lu"];
    let has_fma = std::arch::is_x86_feature_detected!("fma");
    for (letter, most, some) in [("S", 0.8, 0.55), ("D", 0.99, 0.7)] {
        let other = if letter == "S" { "D" } else { "S" };
        let named = |names: &[&str], end: &'static str, least: f64| -> Vec<(String, f64)> {
            names.iter().map(|name| (format!("{name}{letter}{end}"), least)).collect()
        };
        let mut wanted = named(&pairs, " dyn", most);
        wanted.extend(named(&others, "", most));
        wanted.extend(named(&with_nans, "", some));
        wanted.push((format!("Fcvt{other}{letter} dyn"), most));
        wanted.extend(from_ints.map(|from| (format!("Fcvt{letter}{from} dyn"), 0.99)));
        wanted.extend(
            [("W", 0.55), ("L", 0.65), ("Wu", 0.4), ("Lu", 0.4)]
                .map(|(to, least)| (format!("Fcvt{to}{letter} dyn"), least)),
        );
        if has_fma {
            wanted.extend(named(&fused, " dyn", some));
            wanted.extend(named(&rounded, " dyn", most));
            wanted.extend(named(&rounded, "", 0.7));
            // One mode in five is RMM.
            wanted.extend(["W", "L", "Wu", "Lu"].map(|to| (format!("Fcvt{to}{letter}"), 0.3)));
        }
        wanted.extend(["L", "Lu"].map(|from| (format!("Fcvt{letter}{from}"), 0.2)));
        wanted.extend(["FmvXD", "FmvDX", "FmvXW", "FmvWX"].map(|name| (name.into(), 0.99)));
        for (name, least) in wanted {
            let (legal, translated) = shares[&name];
            let share = translated as f64 / legal as f64;
            assert!(share > least, "{name}: {share}");
        }
    }
}
