//! Add, multiply, divide, square root and fused multiply-add in integers: special operands by
//! table, then one exact (or sticky) significand, then one rounding.

use super::format::{
    Finite, Format, Value, invalid, nan_result, normalise, normalise_wide, round_pack, shift_right_sticky,
    shift_right_sticky_wide, signed, unpack,
};
use super::{Flags, Rounding};

/// The sum of two zeros, and the exact zero difference of two equal numbers when the signs differ
/// (IEEE 754-2019 6.3).
fn zero_sum<F: Format>(a_negative: bool, b_negative: bool, rm: Rounding) -> u64 {
    signed::<F>(if a_negative == b_negative { a_negative } else { rm == Rounding::Rdn }, 0)
}

#[inline(never)]
pub fn add<F: Format>(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Value::Finite(x), Value::Finite(y)) => add_finite::<F>(x, y, rm, flags),
        (x @ Value::Nan { .. }, y) | (x, y @ Value::Nan { .. }) => nan_result::<F>(&[x, y], flags),
        (Value::Infinity { negative: x }, Value::Infinity { negative: y }) if x != y => invalid::<F>(flags),
        (Value::Infinity { .. }, _) => a,
        (_, Value::Infinity { .. }) => b,
        (Value::Zero { negative: x }, Value::Zero { negative: y }) => zero_sum::<F>(x, y, rm),
        (Value::Zero { .. }, Value::Finite(_)) => b,
        (Value::Finite(_), Value::Zero { .. }) => a,
    }
}

/// `a - b`: what the fast path, which subtracts by adding the negation, must come to.
#[cfg(test)]
pub fn sub<F: Format>(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    add::<F>(a, b ^ F::SIGN, rm, flags)
}

fn add_finite<F: Format>(a: Finite, b: Finite, rm: Rounding, flags: &mut Flags) -> u64 {
    let (large, small) =
        if (a.exponent, a.significand) >= (b.exponent, b.significand) { (a, b) } else { (b, a) };
    // One place down for the carry: bit 0 of an operand is always clear. A distance that loses bits
    // to the sticky one is so large that the difference loses at most one leading bit.
    let high = large.significand >> 1;
    let low = shift_right_sticky(small.significand >> 1, (large.exponent - small.exponent) as u32);
    let sum = if large.negative == small.negative { high + low } else { high - low };
    if sum == 0 {
        return zero_sum::<F>(large.negative, small.negative, rm);
    }
    round_pack::<F>(normalise(large.negative, large.exponent + 1, sum), rm, flags)
}

#[inline(never)]
pub fn mul<F: Format>(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    let negative = (a ^ b) & F::SIGN != 0;
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Value::Finite(x), Value::Finite(y)) => {
            let product = u128::from(x.significand) * u128::from(y.significand);
            let exact = normalise_wide(negative, x.exponent + y.exponent + 1, product);
            round_pack::<F>(exact, rm, flags)
        }
        (x @ Value::Nan { .. }, y) | (x, y @ Value::Nan { .. }) => nan_result::<F>(&[x, y], flags),
        (Value::Infinity { .. }, Value::Zero { .. }) | (Value::Zero { .. }, Value::Infinity { .. }) => {
            invalid::<F>(flags)
        }
        (Value::Infinity { .. }, _) | (_, Value::Infinity { .. }) => signed::<F>(negative, F::INFINITY),
        (Value::Zero { .. }, _) | (_, Value::Zero { .. }) => signed::<F>(negative, 0),
    }
}

#[inline(never)]
pub fn div<F: Format>(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    let negative = (a ^ b) & F::SIGN != 0;
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Value::Finite(x), Value::Finite(y)) => {
            // The quotient of two significands is in (1/2, 2): 63 or 64 bits of it.
            let (dividend, divisor) = (u128::from(x.significand) << 63, u128::from(y.significand));
            let quotient = dividend / divisor;
            let sticky = u64::from(quotient * divisor != dividend);
            let exponent = x.exponent - y.exponent;
            let exact = normalise(negative, exponent, quotient as u64);
            let exact = Finite { significand: exact.significand | sticky, ..exact };
            round_pack::<F>(exact, rm, flags)
        }
        (x @ Value::Nan { .. }, y) | (x, y @ Value::Nan { .. }) => nan_result::<F>(&[x, y], flags),
        (Value::Infinity { .. }, Value::Infinity { .. }) | (Value::Zero { .. }, Value::Zero { .. }) => {
            invalid::<F>(flags)
        }
        (Value::Infinity { .. }, _) => signed::<F>(negative, F::INFINITY),
        (_, Value::Infinity { .. }) | (Value::Zero { .. }, _) => signed::<F>(negative, 0),
        (Value::Finite(_), Value::Zero { .. }) => {
            flags.raise(Flags::DZ);
            signed::<F>(negative, F::INFINITY)
        }
    }
}

#[inline(never)]
pub fn sqrt<F: Format>(a: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    match unpack::<F>(a) {
        Value::Finite(x) if !x.negative => {
            // An even exponent halves; the radicand is scaled so that its root has 64 bits.
            let odd = x.exponent & 1;
            let radicand = u128::from(x.significand) << (63 + odd);
            let root = radicand.isqrt();
            let sticky = u64::from(root * root != radicand);
            let exponent = (x.exponent - odd) / 2;
            round_pack::<F>(
                Finite { negative: false, exponent, significand: root as u64 | sticky },
                rm,
                flags,
            )
        }
        x @ Value::Nan { .. } => nan_result::<F>(&[x], flags),
        Value::Zero { .. } | Value::Infinity { negative: false } => a,
        Value::Finite(_) | Value::Infinity { negative: true } => invalid::<F>(flags),
    }
}

#[inline(never)]
pub fn fma<F: Format>(a: u64, b: u64, c: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    let negative = (a ^ b) & F::SIGN != 0;
    let (x, y, z) = (unpack::<F>(a), unpack::<F>(b), unpack::<F>(c));
    match (x, y, z) {
        (Value::Finite(x), Value::Finite(y), Value::Finite(z)) => fma_finite::<F>(x, y, z, rm, flags),
        // Invalid whatever the addend is (F spec, "Single-Precision Computational Instructions").
        (Value::Infinity { .. }, Value::Zero { .. }, _) | (Value::Zero { .. }, Value::Infinity { .. }, _) => {
            invalid::<F>(flags)
        }
        (Value::Nan { .. }, _, _) | (_, Value::Nan { .. }, _) | (_, _, Value::Nan { .. }) => {
            nan_result::<F>(&[x, y, z], flags)
        }
        (Value::Infinity { .. }, _, Value::Infinity { negative: addend })
        | (_, Value::Infinity { .. }, Value::Infinity { negative: addend })
            if addend != negative =>
        {
            invalid::<F>(flags)
        }
        (Value::Infinity { .. }, _, _) | (_, Value::Infinity { .. }, _) => signed::<F>(negative, F::INFINITY),
        (_, _, Value::Infinity { .. }) => c,
        (Value::Zero { .. }, _, Value::Zero { negative: addend })
        | (_, Value::Zero { .. }, Value::Zero { negative: addend }) => zero_sum::<F>(negative, addend, rm),
        (Value::Zero { .. }, _, Value::Finite(_)) | (_, Value::Zero { .. }, Value::Finite(_)) => c,
        (Value::Finite(_), Value::Finite(_), Value::Zero { .. }) => mul::<F>(a, b, rm, flags),
    }
}

fn fma_finite<F: Format>(x: Finite, y: Finite, z: Finite, rm: Rounding, flags: &mut Flags) -> u64 {
    // Both terms as `significand × 2^(exponent − 126)` with bit 126 leading: room for the carry
    // above, and at least twenty clear bits below a product of two 53-bit significands.
    let product = u128::from(x.significand) * u128::from(y.significand);
    let up = product.leading_zeros();
    let product_term =
        (x.negative != y.negative, x.exponent + y.exponent + 1 - up as i32, product << up >> 1);
    let addend_term = (z.negative, z.exponent, u128::from(z.significand) << 63);
    let (large, small) = if (product_term.1, product_term.2) >= (addend_term.1, addend_term.2) {
        (product_term, addend_term)
    } else {
        (addend_term, product_term)
    };
    let low = shift_right_sticky_wide(small.2, (large.1 - small.1) as u32);
    let sum = if large.0 == small.0 { large.2 + low } else { large.2 - low };
    if sum == 0 {
        return zero_sum::<F>(large.0, small.0, rm);
    }
    round_pack::<F>(normalise_wide(large.0, large.1 + 1, sum), rm, flags)
}
