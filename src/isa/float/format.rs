//! The formats, and the way in and out of them: [`unpack`] to an exact value, [`round_pack`]
//! back with one rounding.
//!
//! Patterns travel as `u64` (a binary32 in the low half), so that all formats share one code.

use super::{Flags, Rounding};

/// A binary interchange format of IEEE 754. The constants below `EXPONENT_BITS` follow from the
/// first two.
pub trait Format {
    /// The pattern as the guest's registers hold it.
    type Bits: Copy + Into<u64>;

    const FRACTION_BITS: u32;
    const EXPONENT_BITS: u32;

    const SIGN: u64 = 1 << (Self::FRACTION_BITS + Self::EXPONENT_BITS);
    const INFINITY: u64 = ((1 << Self::EXPONENT_BITS) - 1) << Self::FRACTION_BITS;
    const MAX_FINITE: u64 = Self::INFINITY - 1;
    const MIN_NORMAL: u64 = 1 << Self::FRACTION_BITS;
    /// The leading fraction bit of a NaN.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The canonical NaN, the only one an operation returns.
    const NAN: u64 = Self::INFINITY | Self::QUIET;
    const EXPONENT_BIAS: i32 = (1 << (Self::EXPONENT_BITS - 1)) - 1;
    /// The exponent of the smallest normal number.
    const EXPONENT_MIN: i32 = 1 - Self::EXPONENT_BIAS;
    const EXPONENT_MAX: i32 = Self::EXPONENT_BIAS;
    /// How many bits of a [`Finite`] significand lie below the format's last place.
    const EXTRA_BITS: u32 = 63 - Self::FRACTION_BITS;

    /// The low bits as a pattern.
    fn narrow(bits: u64) -> Self::Bits;
}

/// binary16.
pub struct F16;

impl Format for F16 {
    type Bits = u16;
    const FRACTION_BITS: u32 = 10;
    const EXPONENT_BITS: u32 = 5;

    #[inline]
    fn narrow(bits: u64) -> u16 {
        bits as u16
    }
}

/// binary32.
pub struct F32;

impl Format for F32 {
    type Bits = u32;
    const FRACTION_BITS: u32 = 23;
    const EXPONENT_BITS: u32 = 8;

    #[inline]
    fn narrow(bits: u64) -> u32 {
        bits as u32
    }
}

/// binary64.
pub struct F64;

impl Format for F64 {
    type Bits = u64;
    const FRACTION_BITS: u32 = 52;
    const EXPONENT_BITS: u32 = 11;

    #[inline]
    fn narrow(bits: u64) -> u64 {
        bits
    }
}

/// A finite non-zero number: `significand × 2^(exponent − 63)`, the significand's top bit set.
///
/// Before rounding, bit 0 of the significand may be *sticky*: set when anything non-zero lies
/// below. All formats leave at least eleven bits below the last place, so a sticky bit 0 decides a
/// rounding exactly as the bits it stands for would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finite {
    pub negative: bool,
    pub exponent: i32,
    pub significand: u64,
}

/// What a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Zero { negative: bool },
    Finite(Finite),
    Infinity { negative: bool },
    Nan { signalling: bool },
}

impl Value {
    /// Whether reading this operand raises invalid.
    pub fn is_signalling(self) -> bool {
        matches!(self, Value::Nan { signalling: true })
    }
}

#[inline]
pub fn unpack<F: Format>(bits: u64) -> Value {
    let negative = bits & F::SIGN != 0;
    let magnitude = bits & (F::SIGN - 1);
    let fraction = magnitude & (F::MIN_NORMAL - 1);
    let biased = (magnitude >> F::FRACTION_BITS) as i32;
    if magnitude >= F::INFINITY {
        if fraction == 0 {
            Value::Infinity { negative }
        } else {
            Value::Nan { signalling: fraction & F::QUIET == 0 }
        }
    } else if biased != 0 {
        let significand = (fraction | F::MIN_NORMAL) << F::EXTRA_BITS;
        Value::Finite(Finite { negative, exponent: biased - F::EXPONENT_BIAS, significand })
    } else if fraction != 0 {
        let up = fraction.leading_zeros();
        let exponent = F::EXPONENT_MIN - (up - F::EXTRA_BITS) as i32;
        Value::Finite(Finite { negative, exponent, significand: fraction << up })
    } else {
        Value::Zero { negative }
    }
}

#[inline]
pub fn signed<F: Format>(negative: bool, magnitude: u64) -> u64 {
    if negative { magnitude | F::SIGN } else { magnitude }
}

#[inline]
pub fn is_nan<F: Format>(bits: u64) -> bool {
    bits & (F::SIGN - 1) > F::INFINITY
}

/// The canonical NaN of an invalid operation.
pub fn invalid<F: Format>(flags: &mut Flags) -> u64 {
    flags.raise(Flags::NV);
    F::NAN
}

/// The result of an operation with a NaN among its operands.
pub fn nan_result<F: Format>(operands: &[Value], flags: &mut Flags) -> u64 {
    if operands.iter().any(|operand| operand.is_signalling()) {
        flags.raise(Flags::NV);
    }
    F::NAN
}

/// Whether a magnitude rounds away from zero, given whether what is kept is odd, and what is cut
/// off (`rest`) with the value that is exactly half a unit of the last place kept.
#[inline]
pub fn rounds_away(rm: Rounding, negative: bool, odd: bool, rest: u64, half: u64) -> bool {
    match rm {
        Rounding::Rne => rest > half || (rest == half && odd),
        Rounding::Rtz => false,
        Rounding::Rdn => negative && rest != 0,
        Rounding::Rup => !negative && rest != 0,
        Rounding::Rmm => rest >= half,
    }
}

/// `value >> by`, bit 0 sticky.
#[inline]
pub fn shift_right_sticky(value: u64, by: u32) -> u64 {
    if by >= 64 { u64::from(value != 0) } else { (value >> by) | u64::from(value & ((1 << by) - 1) != 0) }
}

/// `value >> by`, bit 0 sticky.
#[inline]
pub fn shift_right_sticky_wide(value: u128, by: u32) -> u128 {
    if by >= 128 { u128::from(value != 0) } else { (value >> by) | u128::from(value & ((1 << by) - 1) != 0) }
}

/// The number with any non-zero significand, made [`Finite`]: `significand × 2^(exponent − 63)`.
#[inline]
pub fn normalise(negative: bool, exponent: i32, significand: u64) -> Finite {
    let up = significand.leading_zeros();
    Finite { negative, exponent: exponent - up as i32, significand: significand << up }
}

/// The same from a double-width significand, `significand × 2^(exponent − 127)`, the low half
/// becoming sticky.
#[inline]
pub fn normalise_wide(negative: bool, exponent: i32, significand: u128) -> Finite {
    let up = significand.leading_zeros();
    let wide = significand << up;
    let significand = (wide >> 64) as u64 | u64::from(wide as u64 != 0);
    Finite { negative, exponent: exponent - up as i32, significand }
}

/// Rounds to the format and raises inexact, underflow and overflow as due.
#[inline]
pub fn round_pack<F: Format>(value: Finite, rm: Rounding, flags: &mut Flags) -> u64 {
    let Finite { negative, exponent, significand } = value;
    let half = 1u64 << (F::EXTRA_BITS - 1);
    let rest_mask = (1u64 << F::EXTRA_BITS) - 1;
    let split = |significand: u64| {
        let (kept, rest) = (significand >> F::EXTRA_BITS, significand & rest_mask);
        let away = rounds_away(rm, negative, kept & 1 != 0, rest, half);
        (kept + u64::from(away), rest != 0)
    };
    if exponent < F::EXPONENT_MIN {
        // Tiny, unless rounding with an unbounded exponent carries up to the smallest normal.
        let tiny = exponent < F::EXPONENT_MIN - 1 || split(significand).0 < 2 * F::MIN_NORMAL;
        let by = (F::EXPONENT_MIN - exponent) as u32;
        let (magnitude, inexact) = split(shift_right_sticky(significand, by));
        if inexact {
            flags.raise(if tiny { Flags::NX | Flags::UF } else { Flags::NX });
        }
        // A carry out of the fraction makes the smallest normal number by itself.
        return signed::<F>(negative, magnitude);
    }
    let (kept, inexact) = split(significand);
    if inexact {
        flags.raise(Flags::NX);
    }
    // `kept` has the hidden bit, which adds one to the exponent field; so does a carry.
    if exponent <= F::EXPONENT_MAX {
        let biased = (exponent - F::EXPONENT_MIN) as u64;
        let magnitude = (biased << F::FRACTION_BITS) + kept;
        if magnitude < F::INFINITY {
            return signed::<F>(negative, magnitude);
        }
    }
    flags.raise(Flags::OF | Flags::NX);
    let to_infinity = match rm {
        Rounding::Rne | Rounding::Rmm => true,
        Rounding::Rtz => false,
        Rounding::Rdn => negative,
        Rounding::Rup => !negative,
    };
    signed::<F>(negative, if to_infinity { F::INFINITY } else { F::MAX_FINITE })
}
