//! Between the formats, and between a format and the integers.

use super::format::{
    Finite, Format, Value, invalid, nan_result, normalise, round_pack, rounds_away, shift_right_sticky,
    signed, unpack,
};
use super::{Flags, Rounding};

/// An integer that a number converts to.
pub trait Int {
    const MIN: i128;
    const MAX: i128;

    /// The value, which is in range.
    fn from_wide(value: i128) -> Self;
}

impl Int for i32 {
    const MIN: i128 = i32::MIN as i128;
    const MAX: i128 = i32::MAX as i128;

    #[inline]
    fn from_wide(value: i128) -> Self {
        value as i32
    }
}

impl Int for u32 {
    const MIN: i128 = 0;
    const MAX: i128 = u32::MAX as i128;

    #[inline]
    fn from_wide(value: i128) -> Self {
        value as u32
    }
}

impl Int for i64 {
    const MIN: i128 = i64::MIN as i128;
    const MAX: i128 = i64::MAX as i128;

    #[inline]
    fn from_wide(value: i128) -> Self {
        value as i64
    }
}

impl Int for u64 {
    const MIN: i128 = 0;
    const MAX: i128 = u64::MAX as i128;

    #[inline]
    fn from_wide(value: i128) -> Self {
        value as u64
    }
}

/// From one format to another.
pub fn reformat<From: Format, To: Format>(a: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    match unpack::<From>(a) {
        Value::Finite(x) => round_pack::<To>(x, rm, flags),
        x @ Value::Nan { .. } => nan_result::<To>(&[x], flags),
        Value::Zero { negative } => signed::<To>(negative, 0),
        Value::Infinity { negative } => signed::<To>(negative, To::INFINITY),
    }
}

/// The integer part of a magnitude below 2^64, and the fraction scaled so that one half is the top bit.
fn split(x: Finite) -> (u64, u64) {
    match (63 - x.exponent) as u32 {
        0 => (x.significand, 0),
        down @ 1..=63 => (x.significand >> down, x.significand << (64 - down)),
        down => (0, shift_right_sticky(x.significand, down - 64)),
    }
}

/// The nearest number of the format that is an integer, as `rm` says; inexact is raised only if `exact` is.
pub fn to_integral<F: Format>(a: u64, rm: Rounding, exact: bool, flags: &mut Flags) -> u64 {
    match unpack::<F>(a) {
        x @ Value::Nan { .. } => nan_result::<F>(&[x], flags),
        Value::Finite(x) if x.exponent < F::FRACTION_BITS as i32 => {
            let (whole, rest) = split(x);
            let away = rounds_away(rm, x.negative, whole & 1 != 0, rest, 1 << 63);
            if exact && rest != 0 {
                flags.raise(Flags::NX);
            }
            match whole + u64::from(away) {
                0 => signed::<F>(x.negative, 0),
                magnitude => round_pack::<F>(normalise(x.negative, 63, magnitude), rm, flags),
            }
        }
        _ => a,
    }
}

/// The low 32 bits of the number, rounded towards zero, in two's complement of any width; 0 for what is no
/// number. Flags as [`to_int`] raises them (Unprivileged spec, `fcvtmod.w.d`).
pub fn to_word_modular<F: Format>(a: u64, flags: &mut Flags) -> u32 {
    to_int::<F, i32>(a, Rounding::Rtz, flags);
    match unpack::<F>(a) {
        Value::Finite(x) => {
            let magnitude = match x.exponent {
                ..=63 => split(x).0,
                up => x.significand.checked_shl((up - 63) as u32).unwrap_or(0),
            };
            let value = if x.negative { magnitude.wrapping_neg() } else { magnitude };
            value as u32
        }
        _ => 0,
    }
}

/// Rounds to an integer, then checks the range: out of it saturates, raises invalid, and does not
/// raise inexact (F spec, table "Domains of float-to-integer conversions").
pub fn to_int<F: Format, I: Int>(a: u64, rm: Rounding, flags: &mut Flags) -> i128 {
    let saturated = |negative: bool, flags: &mut Flags| {
        invalid::<F>(flags);
        if negative { I::MIN } else { I::MAX }
    };
    match unpack::<F>(a) {
        Value::Zero { .. } => 0,
        Value::Nan { .. } => saturated(false, flags),
        Value::Infinity { negative } => saturated(negative, flags),
        Value::Finite(x) if x.exponent > 63 => saturated(x.negative, flags),
        Value::Finite(x) => {
            let (whole, rest) = split(x);
            let away = rounds_away(rm, x.negative, whole & 1 != 0, rest, 1 << 63);
            let magnitude = i128::from(whole) + i128::from(away);
            let value = if x.negative { -magnitude } else { magnitude };
            if value < I::MIN || value > I::MAX {
                return saturated(x.negative, flags);
            }
            if rest != 0 {
                flags.raise(Flags::NX);
            }
            value
        }
    }
}

/// From an integer whose magnitude fits 64 bits.
pub fn from_int<F: Format>(value: i128, rm: Rounding, flags: &mut Flags) -> u64 {
    match value.unsigned_abs() as u64 {
        0 => 0,
        magnitude => round_pack::<F>(normalise(value < 0, 63, magnitude), rm, flags),
    }
}
