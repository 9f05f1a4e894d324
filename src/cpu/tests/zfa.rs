//! Zfhmin and Zfa: boxing of halves, what the instructions add to the arithmetic, flags and `mstatus.FS`.

use super::asm::*;
use super::float::Fpu;
use super::world::{BASE, World};
use crate::cpu::Cpu;
use crate::engine::Engine;

const BOX16: u64 = 0xffff_ffff_ffff_0000;
const BOX32: u64 = 0xffff_ffff_0000_0000;
const NAN16: u64 = BOX16 | 0x7e00;
const NAN32: u64 = BOX32 | 0x7fc0_0000;
const NAN64: u64 = 0x7ff8_0000_0000_0000;
const SIGNALLING64: u64 = 0x7ff0_0000_0000_0001;
const INVALID: u8 = 16;
const INEXACT: u8 = 1;

fn flh(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x07, 1, rd, rs1, imm)
}

fn fsh(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x27, 1, rs1, rs2, imm)
}

fn bits(number: f64) -> u64 {
    number.to_bits()
}

fn single(number: f32) -> u64 {
    BOX32 | u64::from(number.to_bits())
}

#[test]
fn halves_are_boxed_and_unboxed_sources_are_nan() {
    let mut fpu = Fpu::new();
    // fcvt.s.h and fcvt.d.h of 1.5, and of a half that lacks one bit of its box.
    assert_eq!(fpu.run(fp(0x20, 0, 4, 1, 2), [BOX16 | 0x3e00, 0, 0], 0).0, single(1.5));
    assert_eq!(fpu.run(fp(0x21, 0, 4, 1, 2), [BOX16 | 0x3e00, 0, 0], 0).0, bits(1.5));
    assert_eq!(fpu.run(fp(0x20, 0, 4, 1, 2), [(BOX16 | 0x3e00) - (1 << 16), 0, 0], 0).0, NAN32);
    assert_eq!((fpu.flags(), fpu.run(fp(0x21, 0, 4, 1, 2), [0x3e00, 0, 0], 0).0), (0, NAN64));
    // A signalling half.
    assert_eq!(fpu.run(fp(0x20, 0, 4, 1, 2), [BOX16 | 0x7c01, 0, 0], 0).0, NAN32);
    assert_eq!(fpu.flags(), INVALID);
    // fcvt.h.s unboxes a single, fcvt.h.d does not; 65520 is halfway to beyond the largest half.
    assert_eq!(fpu.run(fp(0x22, 0, 4, 1, 0), [single(1.5) & !BOX32, 0, 0], 0).0, NAN16);
    assert_eq!(fpu.run(fp(0x22, 0, 4, 1, 1), [bits(65520.0), 0, 0], 0).0, BOX16 | 0x7c00);
    assert_eq!(fpu.flags(), 4 | INEXACT);
    assert_eq!(fpu.run(fp(0x22, 1, 4, 1, 1), [bits(65520.0), 0, 0], 0).0, BOX16 | 0x7bff);
    // Moves take the low half as it is, sign-extended.
    assert_eq!(fpu.run(fp(0x72, 0, 6, 1, 0), [0x1234_0000_0000_8001, 0, 0], 0).1, 0xffff_ffff_ffff_8001);
    assert!(!fpu.is_dirty());
    assert_eq!(fpu.run(fp(0x7a, 0, 4, 5, 0), [0; 3], 0x1234_5678_9abc_8001).0, BOX16 | 0x8001);
    assert!(fpu.is_dirty());
}

#[test]
fn halves_are_loaded_and_stored_aligned_and_not() {
    // FS is Clean at first, so that the long way has its turn, too; then Dirty. The last is across pages.
    for engine in [Engine::Interpreter, Engine::Translator] {
        for (fs, at) in
            [(0x4000, 0x1000), (0x6000, 0x1000), (0x6000, 0x1001), (0x4000, 0x1fff), (0x6000, 0x1fff)]
        {
            let mut world =
                World::new(&[flh(1, 5, 0), fsh(1, 5, 0x40), fsh(2, 5, 0x44), jal(0, 0)]).with(engine);
            world.hart.csrs.mstatus = fs;
            world.set_x(5, BASE + at);
            world.hart.regs.f[2] = 0x1111_2222_3333_4444;
            world.ram.write(crate::base::GuestPhys(BASE + at), &[0x34, 0x92, 0x77]).unwrap();
            world.step(4);
            assert_eq!(world.hart.regs.f[1], BOX16 | 0x9234, "{engine} {fs:#x} {at:#x}");
            assert_eq!(world.hart.csrs.mstatus & 0x6000, 0x6000);
            let mut stored = [0; 8];
            world.ram.read(crate::base::GuestPhys(BASE + at + 0x40), &mut stored).unwrap();
            assert_eq!(stored, [0x34, 0x92, 0, 0, 0x44, 0x44, 0, 0], "{engine} {fs:#x} {at:#x}");
        }
    }
}

#[test]
fn constants_are_those_of_the_table() {
    let mut fpu = Fpu::new();
    let table = [
        "-1.0",
        "min",
        "1.52587890625e-05",
        "3.0517578125e-05",
        "0.00390625",
        "0.0078125",
        "0.0625",
        "0.125",
        "0.25",
        "0.3125",
        "0.375",
        "0.4375",
        "0.5",
        "0.625",
        "0.75",
        "0.875",
        "1.0",
        "1.25",
        "1.5",
        "1.75",
        "2.0",
        "2.5",
        "3.0",
        "4.0",
        "8.0",
        "16.0",
        "128.0",
        "256.0",
        "32768.0",
        "65536.0",
        "inf",
        "nan",
    ];
    for (n, text) in (0..).zip(table) {
        let (s, d) = match text {
            "min" => (single(f32::MIN_POSITIVE), bits(f64::MIN_POSITIVE)),
            "nan" => (NAN32, NAN64),
            _ => (single(text.parse().unwrap()), bits(text.parse().unwrap())),
        };
        assert_eq!(fpu.run(fp(0x78, 0, 4, n, 1), [0; 3], 0).0, s, "fli.s {text}");
        assert_eq!(fpu.run(fp(0x79, 0, 4, n, 1), [0; 3], 0).0, d, "fli.d {text}");
        assert!(fpu.is_dirty() && fpu.flags() == 0);
    }
}

#[test]
fn minimum_and_maximum_are_nan_if_an_operand_is() {
    let mut fpu = Fpu::new();
    let (min, max) = (fp(0x15, 2, 4, 1, 2), fp(0x15, 3, 4, 1, 2));
    let (zero, minus) = (bits(0.0), bits(-0.0));
    assert_eq!(fpu.run(min, [zero, minus, 0], 0).0, minus);
    assert_eq!(fpu.run(max, [minus, zero, 0], 0).0, zero);
    assert_eq!(fpu.run(min, [bits(2.0), bits(-3.0), 0], 0).0, bits(-3.0));
    for insn in [min, max] {
        for operands in [[bits(1.0), NAN64 | 1 << 63, 0], [NAN64 | 5, bits(1.0), 0]] {
            assert_eq!((fpu.run(insn, operands, 0).0, fpu.flags()), (NAN64, 0));
        }
        assert_eq!((fpu.run(insn, [SIGNALLING64, bits(1.0), 0], 0).0, fpu.flags()), (NAN64, INVALID));
    }
    // In single precision what is not boxed is NaN.
    assert_eq!(fpu.run(fp(0x14, 3, 4, 1, 2), [single(1.0), 0, 0], 0).0, NAN32);
    assert_eq!(fpu.run(fp(0x14, 2, 4, 1, 2), [single(1.0), single(-2.0), 0], 0).0, single(-2.0));
}

#[test]
fn quiet_comparisons_are_invalid_for_signalling_nans_only() {
    let mut fpu = Fpu::new();
    for (f3, equal, less) in [(4, 1, 1), (5, 0, 1)] {
        let (d, s) = (fp(0x51, f3, 6, 1, 2), fp(0x50, f3, 6, 1, 2));
        assert_eq!(fpu.run(d, [bits(1.0), bits(1.0), 0], 0).1, equal);
        assert_eq!(fpu.run(d, [bits(-1.0), bits(1.0), 0], 0).1, less);
        assert_eq!(fpu.run(d, [bits(0.0), bits(-0.0), 0], 0).1, equal);
        assert_eq!(fpu.run(s, [single(-1.0), single(1.0), 0], 0).1, less);
        assert_eq!((fpu.run(d, [NAN64, bits(1.0), 0], 0).1, fpu.flags(), fpu.is_dirty()), (0, 0, false));
        assert_eq!((fpu.run(d, [bits(1.0), SIGNALLING64, 0], 0).1, fpu.flags()), (0, INVALID));
        assert!(fpu.is_dirty());
    }
}

#[test]
fn rounding_keeps_the_sign_and_is_inexact_only_if_asked() {
    let mut fpu = Fpu::new();
    for (number, rm, expected) in
        [(2.5, 0, 2.0), (2.5, 4, 3.0), (-0.4, 0, -0.0), (-0.4, 2, -1.0), (1e300, 3, 1e300)]
    {
        assert_eq!(fpu.run(fp(0x21, rm, 4, 1, 4), [bits(number), 0, 0], 0).0, bits(expected));
        assert_eq!(fpu.flags(), 0);
        assert_eq!(fpu.run(fp(0x21, rm, 4, 1, 5), [bits(number), 0, 0], 0).0, bits(expected));
        assert_eq!(fpu.flags(), if number == expected { 0 } else { INEXACT });
    }
    assert_eq!(fpu.run(fp(0x20, 1, 4, 1, 4), [single(-7.9), 0, 0], 0).0, single(-7.0));
    assert_eq!(fpu.run(fp(0x21, 0, 4, 1, 4), [SIGNALLING64, 0, 0], 0).0, NAN64);
    assert_eq!(fpu.flags(), INVALID);
}

#[test]
fn the_modular_conversion_wraps() {
    let mut fpu = Fpu::new();
    let fcvtmod = fp(0x61, 1, 6, 1, 8);
    for (number, expected, flags) in [
        (1.0, 1, 0),
        (-1.9, u64::MAX, INEXACT),
        (4_294_967_297.0, 1, INVALID),
        (2_147_483_648.0, 0xffff_ffff_8000_0000, INVALID),
        (-4_294_967_298.5, 0xffff_ffff_ffff_fffe, INVALID),
        (9_007_199_254_740_992.0 * 8192.0, 0, INVALID),
        (9_223_372_036_854_775_808.0 + 6144.0, 0x1800, INVALID),
        (f64::INFINITY, 0, INVALID),
        (f64::NAN, 0, INVALID),
    ] {
        assert_eq!(fpu.run(fcvtmod, [bits(number), 0, 0], 0).1, expected, "{number}");
        assert_eq!((fpu.flags(), fpu.is_dirty()), (flags, flags != 0), "{number}");
    }
}

#[test]
fn they_are_illegal_while_floating_point_is_off_and_on_a_plain_hart() {
    let words = [
        flh(1, 5, 0),
        fsh(1, 5, 0),
        fp(0x72, 0, 6, 1, 0),
        fp(0x78, 0, 4, 3, 1),
        fp(0x61, 1, 6, 1, 8),
        fp(0x21, 7, 4, 1, 4),
    ];
    for (cpu, fs) in [("rv64", 0), ("rv64gc", 0x6000)] {
        let cpu: Cpu = cpu.parse().unwrap();
        for word in words {
            let mut world = World::of(cpu, &[NOP, word, jal(0, 0)]);
            world.hart.csrs.mtvec = BASE + 8;
            world.hart.csrs.mstatus = fs;
            world.set_x(5, BASE + 0x1000);
            world.step(3);
            let csrs = world.hart.state().csrs;
            assert_eq!((csrs.mcause, csrs.mtval, csrs.mepc), (2, word.into(), BASE + 4), "{cpu} {word:08x}");
        }
    }
    // A rounding mode that is none.
    let mut world = World::new(&[fp(0x21, 7, 4, 1, 4)]);
    world.hart.csrs.mstatus = 0x6000;
    world.hart.csrs.fcsr = 5 << 5;
    world.step(1);
    assert_eq!(world.hart.state().csrs.mcause, 2);
}
