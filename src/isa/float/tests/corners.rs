//! Square roots against their definition, and what the spec says of NaNs, zeros and order.

use super::operands::{any, structured};
use crate::base::Prng;
use crate::isa::float::format::{F32, F64, Finite, Format, Value, unpack};
use crate::isa::float::*;

fn finite<F: Format>(bits: u64) -> Option<Finite> {
    match unpack::<F>(bits) {
        Value::Finite(x) => Some(x),
        Value::Zero { .. } | Value::Infinity { .. } | Value::Nan { .. } => None,
    }
}

/// The order of `root²` and `radicand`, both positive, computed without rounding.
fn compare_square(root: Finite, radicand: Finite) -> std::cmp::Ordering {
    // 53 significant bits each, so the square has 106 and the shift is small.
    let (r, a) = (u128::from(root.significand >> 11), u128::from(radicand.significand >> 11));
    let up = radicand.exponent - 2 * root.exponent + 52;
    (r * r).cmp(&(a << up))
}

fn check_sqrt<F: Format>(a: u64) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let Some(radicand) = finite::<F>(a).filter(|x| !x.negative) else { return };
    let root = |rm| {
        let mut flags = Flags::default();
        let bits = arith::sqrt::<F>(a, rm, &mut flags);
        (bits, flags.0)
    };
    let (down, flags) = root(Rounding::Rdn);
    let below = finite::<F>(down).expect("a root of a positive number is one");
    let above = finite::<F>(down + 1).expect("roots are far from infinity");
    match compare_square(below, radicand) {
        Equal => {
            assert_eq!(flags, 0, "{a:#x}");
            assert!(Rounding::ALL.iter().all(|&rm| root(rm) == (down, 0)), "{a:#x}");
        }
        Less => {
            assert_eq!(compare_square(above, radicand), Greater, "{a:#x}");
            assert_eq!(flags, Flags::NX, "{a:#x}");
            assert_eq!(root(Rounding::Rtz), (down, Flags::NX), "{a:#x}");
            assert_eq!(root(Rounding::Rup), (down + 1, Flags::NX), "{a:#x}");
            // No root lies half way between two numbers.
            assert_eq!(root(Rounding::Rmm), root(Rounding::Rne), "{a:#x}");
        }
        Greater => panic!("the root of {a:#x} was rounded up"),
    }
}

#[test]
fn square_roots_are_rounded_as_defined() {
    println!("seed 9");
    let prng = &mut Prng::new(9);
    let (singles, doubles) = (structured::<F32>(), structured::<F64>());
    for i in 0..100_000usize {
        let single = singles.get(i).copied().unwrap_or_else(|| any::<F32>(prng, &singles));
        let double = doubles.get(i).copied().unwrap_or_else(|| any::<F64>(prng, &doubles));
        check_sqrt::<F32>(single);
        check_sqrt::<F64>(double);
        // Next to a square of few bits, where the root is nearly exact.
        let square = ((prng.next_u64() >> 38) as f64).powi(2).to_bits();
        check_sqrt::<F64>(square ^ prng.below(4));
        // To nearest-even, against the host.
        let (single, double) = (f32::from_bits(single as u32), f64::from_bits(double));
        let mut flags = Flags::default();
        let got = arith::sqrt::<F64>(double.to_bits(), Rounding::Rne, &mut flags);
        let want = double.sqrt().to_bits();
        // In integers: which NaN a host's operation gives is not specified, not even by `is_nan`.
        assert_eq!(got, if want << 1 > F64::INFINITY << 1 { F64::NAN } else { want });
        let got = arith::sqrt::<F32>(single.to_bits().into(), Rounding::Rne, &mut flags);
        let want = u64::from(single.sqrt().to_bits());
        assert_eq!(got, if want << 33 > F32::INFINITY << 33 { F32::NAN } else { want });
    }
}

#[test]
fn square_roots_of_negative_numbers_are_invalid_but_not_of_minus_zero() {
    let root = |a: f64| {
        let mut flags = Flags::default();
        (sqrt_f64(a.to_bits(), Rounding::Rne, &mut flags), flags.0)
    };
    assert_eq!(root(-0.0), ((-0f64).to_bits(), 0));
    assert_eq!(root(-1.0), (F64::NAN, Flags::NV));
    assert_eq!(root(f64::NEG_INFINITY), (F64::NAN, Flags::NV));
    assert_eq!(root(f64::INFINITY), (f64::INFINITY.to_bits(), 0));
    assert_eq!(sqrt_f32(0xff80_0001, Rounding::Rne, &mut Flags::default()), 0x7fc0_0000);
}

#[test]
fn an_infinity_times_zero_is_invalid_whatever_is_added() {
    for (a, b) in [(0x7f80_0000, 0), (0x8000_0000, 0x7f80_0000)] {
        for c in [0x7fc1_2345, 0x3f80_0000, 0xff80_0000] {
            let mut flags = Flags::default();
            assert_eq!(fma_f32(a, b, c, Rounding::Rne, &mut flags), 0x7fc0_0000);
            assert_eq!(flags.0, Flags::NV);
        }
    }
}

const QUIET: u32 = 0x7fc0_0001;
const SIGNALLING: u32 = 0x7f80_0001;
const ONE: u32 = 0x3f80_0000;

#[test]
fn minimum_and_maximum_prefer_numbers_and_order_the_zeros() {
    let minus_zero = 0x8000_0000;
    let cases = [
        (minus_zero, 0, minus_zero, 0, 0),
        (0, minus_zero, minus_zero, 0, 0),
        (ONE, QUIET, ONE, ONE, 0),
        (QUIET, ONE, ONE, ONE, 0),
        (SIGNALLING, ONE, ONE, ONE, Flags::NV),
        (ONE, SIGNALLING, ONE, ONE, Flags::NV),
        (QUIET, QUIET, 0x7fc0_0000, 0x7fc0_0000, 0),
        (QUIET, SIGNALLING, 0x7fc0_0000, 0x7fc0_0000, Flags::NV),
        (0xff80_0000, ONE, 0xff80_0000, ONE, 0),
        (0xbf80_0000, 0xc000_0000, 0xc000_0000, 0xbf80_0000, 0),
    ];
    for (a, b, least, greatest, due) in cases {
        let (mut least_flags, mut greatest_flags) = (Flags::default(), Flags::default());
        assert_eq!(min_f32(a, b, &mut least_flags), least, "min {a:#x} {b:#x}");
        assert_eq!(max_f32(a, b, &mut greatest_flags), greatest, "max {a:#x} {b:#x}");
        assert_eq!((least_flags.0, greatest_flags.0), (due, due), "{a:#x} {b:#x}");
    }
}

#[test]
fn equality_is_quiet_and_order_is_signalling() {
    let flags_of = |compare: fn(u32, u32, &mut Flags) -> bool, a, b| {
        let mut flags = Flags::default();
        assert!(!compare(a, b, &mut flags));
        flags.0
    };
    assert_eq!(flags_of(eq_f32, QUIET, ONE), 0);
    assert_eq!(flags_of(eq_f32, ONE, SIGNALLING), Flags::NV);
    assert_eq!(flags_of(lt_f32, QUIET, ONE), Flags::NV);
    assert_eq!(flags_of(le_f32, ONE, QUIET), Flags::NV);
}

#[test]
fn comparisons_agree_with_the_host() {
    println!("seed 10");
    let prng = &mut Prng::new(10);
    let structured = structured::<F64>();
    let check = |a: u64, b: u64| {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let mut flags = Flags::default();
        assert_eq!(eq_f64(a, b, &mut flags), x == y, "{a:#x} = {b:#x}");
        assert_eq!(lt_f64(a, b, &mut flags), x < y, "{a:#x} < {b:#x}");
        assert_eq!(le_f64(a, b, &mut flags), x <= y, "{a:#x} ≤ {b:#x}");
    };
    for &a in &structured {
        structured.iter().for_each(|&b| check(a, b));
    }
    for _ in 0..50_000 {
        check(any::<F64>(prng, &structured), any::<F64>(prng, &structured));
    }
}

#[test]
fn each_class_has_its_bit() {
    let classes = [
        (0xff80_0000, 0),
        (0xbf80_0000, 1),
        (0x8000_0001, 2),
        (0x8000_0000, 3),
        (0x0000_0000, 4),
        (0x007f_ffff, 5),
        (0x0080_0000, 6),
        (0x7f80_0000, 7),
        (0xffbf_ffff, 8),
        (0xffc0_0000, 9),
    ];
    for (bits, class) in classes {
        assert_eq!(classify_f32(bits), 1 << class, "{bits:#x}");
    }
    assert_eq!(classify_f64(0xffef_ffff_ffff_ffff), 1 << 1);
    assert_eq!(classify_f64(0x0008_0000_0000_0000), 1 << 5);
}

#[test]
fn tininess_is_seen_after_rounding() {
    // (1 − 2^-24) × 2^-126 rounds to 24 bits exactly as it is when the exponent is unbounded, so it
    // is tiny, though the number delivered is the smallest normal one.
    let mut flags = Flags::default();
    let almost_one = 0x3f7f_ffff;
    assert_eq!(mul_f32(almost_one, 0x0080_0000, Rounding::Rne, &mut flags), 0x0080_0000);
    assert_eq!(flags.0, Flags::NX | Flags::UF);
    // (1 − 2^-48) × 2^-126 rounds up to 2^-126 in 24 bits: not tiny.
    let mut flags = Flags::default();
    let (below, above) = (0x3f7f_fffe, 0x0080_0001);
    assert_eq!(mul_f32(below, above, Rounding::Rup, &mut flags), 0x0080_0000);
    assert_eq!(flags.0, Flags::NX);
}

#[test]
fn conversions_saturate() {
    let mut flags = Flags::default();
    assert_eq!(f64_to_i32(f64::NAN.to_bits(), Rounding::Rne, &mut flags), i32::MAX);
    assert_eq!(f64_to_u64((-1f64).to_bits(), Rounding::Rne, &mut flags), 0);
    assert_eq!(f32_to_i64(f32::NEG_INFINITY.to_bits(), Rounding::Rne, &mut flags), i64::MIN);
    assert_eq!(flags.0, Flags::NV);
    let mut flags = Flags::default();
    assert_eq!(f32_to_u32((-0.5f32).to_bits(), Rounding::Rne, &mut flags), 0);
    assert_eq!(flags.0, Flags::NX);
    assert_eq!(f64_to_i32((-2147483648.5f64).to_bits(), Rounding::Rtz, &mut flags), i32::MIN);
    assert_eq!(flags.0, Flags::NX);
}
