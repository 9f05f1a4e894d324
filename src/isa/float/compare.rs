//! Order, minimum and maximum, and classes. Nothing here rounds.

use super::Flags;
use super::format::{Format, Value, is_nan, unpack};

/// The pattern as an integer in the order of the numbers, −0 just below +0.
#[inline]
fn order_key<F: Format>(bits: u64) -> i64 {
    let magnitude = (bits & (F::SIGN - 1)) as i64;
    if bits & F::SIGN != 0 { !magnitude } else { magnitude }
}

#[inline]
fn both_zero<F: Format>(a: u64, b: u64) -> bool {
    (a | b) & (F::SIGN - 1) == 0
}

#[inline]
fn raise_if_signalling<F: Format>(a: u64, b: u64, flags: &mut Flags) {
    if unpack::<F>(a).is_signalling() || unpack::<F>(b).is_signalling() {
        flags.raise(Flags::NV);
    }
}

#[inline]
pub fn eq<F: Format>(a: u64, b: u64, flags: &mut Flags) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        raise_if_signalling::<F>(a, b, flags);
        return false;
    }
    a == b || both_zero::<F>(a, b)
}

#[inline]
pub fn lt<F: Format>(a: u64, b: u64, flags: &mut Flags) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        flags.raise(Flags::NV);
        return false;
    }
    order_key::<F>(a) < order_key::<F>(b) && !both_zero::<F>(a, b)
}

#[inline]
pub fn le<F: Format>(a: u64, b: u64, flags: &mut Flags) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        flags.raise(Flags::NV);
        return false;
    }
    order_key::<F>(a) <= order_key::<F>(b) || both_zero::<F>(a, b)
}

/// `a < b`, quiet: only a signalling NaN is invalid.
#[inline]
pub fn lt_quiet<F: Format>(a: u64, b: u64, flags: &mut Flags) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        raise_if_signalling::<F>(a, b, flags);
        return false;
    }
    lt::<F>(a, b, flags)
}

/// `a <= b`, quiet: only a signalling NaN is invalid.
#[inline]
pub fn le_quiet<F: Format>(a: u64, b: u64, flags: &mut Flags) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        raise_if_signalling::<F>(a, b, flags);
        return false;
    }
    le::<F>(a, b, flags)
}

/// As [`min`], but NaN if there is one (IEEE 754-2019 `minimum`).
#[inline]
pub fn min_or_nan<F: Format>(a: u64, b: u64, flags: &mut Flags) -> u64 {
    let least = min::<F>(a, b, flags);
    if is_nan::<F>(a) || is_nan::<F>(b) { F::NAN } else { least }
}

/// As [`max`], but NaN if there is one (IEEE 754-2019 `maximum`).
#[inline]
pub fn max_or_nan<F: Format>(a: u64, b: u64, flags: &mut Flags) -> u64 {
    let greatest = max::<F>(a, b, flags);
    if is_nan::<F>(a) || is_nan::<F>(b) { F::NAN } else { greatest }
}

#[inline]
pub fn min<F: Format>(a: u64, b: u64, flags: &mut Flags) -> u64 {
    pick::<F>(a, b, order_key::<F>(a) < order_key::<F>(b), flags)
}

#[inline]
pub fn max<F: Format>(a: u64, b: u64, flags: &mut Flags) -> u64 {
    pick::<F>(a, b, order_key::<F>(a) > order_key::<F>(b), flags)
}

#[inline]
fn pick<F: Format>(a: u64, b: u64, a_wins: bool, flags: &mut Flags) -> u64 {
    let (a_nan, b_nan) = (is_nan::<F>(a), is_nan::<F>(b));
    if a_nan || b_nan {
        raise_if_signalling::<F>(a, b, flags);
    }
    match (a_nan, b_nan) {
        (true, true) => F::NAN,
        (true, false) => b,
        (false, true) => a,
        (false, false) => {
            if a_wins {
                a
            } else {
                b
            }
        }
    }
}

/// The bit of `fclass` (F spec, table "Format of result of FCLASS instruction").
pub fn classify<F: Format>(bits: u64) -> u64 {
    let subnormal = bits & F::INFINITY == 0;
    let bit = match unpack::<F>(bits) {
        Value::Infinity { negative: true } => 0,
        Value::Finite(x) if x.negative && !subnormal => 1,
        Value::Finite(x) if x.negative => 2,
        Value::Zero { negative: true } => 3,
        Value::Zero { negative: false } => 4,
        Value::Finite(_) if subnormal => 5,
        Value::Finite(_) => 6,
        Value::Infinity { negative: false } => 7,
        Value::Nan { signalling: true } => 8,
        Value::Nan { signalling: false } => 9,
    };
    1 << bit
}
