//! Operands that find mistakes: every kind of number and its neighbours, and random ones drawn so
//! that results fall where rounding, cancellation and underflow are decided.

use crate::base::Prng;
use crate::isa::float::format::Format;

/// Numbers of every kind, both signs.
pub fn structured<F: Format>() -> Vec<u64> {
    let one = (F::EXPONENT_BIAS as u64) << F::FRACTION_BITS;
    let power = |exponent: i32| ((exponent + F::EXPONENT_BIAS) as u64) << F::FRACTION_BITS;
    let precision = F::FRACTION_BITS as i32;
    let positive = [
        0,
        1,
        2,
        3,
        F::MIN_NORMAL / 2,
        F::MIN_NORMAL - 1,
        F::MIN_NORMAL,
        F::MIN_NORMAL + 1,
        2 * F::MIN_NORMAL - 1,
        2 * F::MIN_NORMAL,
        power(-precision - 1),
        power(-1) - 1,
        power(-1),
        power(-1) + 1,
        one - 1,
        one,
        one + 1,
        one | F::QUIET,
        (one | F::QUIET) + 1,
        2 * F::MIN_NORMAL + one - 1,
        power(1) | F::QUIET,
        power(precision) - 1,
        power(precision) + 1,
        power(precision + 1),
        power(31) - 1,
        power(31),
        power(32) - 1,
        power(32),
        power(63) - 1,
        power(63),
        power(64) - 1,
        power(64),
        power(F::EXPONENT_MAX),
        F::MAX_FINITE - 1,
        F::MAX_FINITE,
        F::INFINITY,
        F::INFINITY + 1,
        F::NAN - 1,
        F::NAN,
        F::SIGN - 1,
    ];
    positive.iter().flat_map(|&bits| [bits, bits | F::SIGN]).collect()
}

pub fn with_exponent<F: Format>(prng: &mut Prng, exponent: i32) -> u64 {
    let biased = (exponent + F::EXPONENT_BIAS).clamp(0, 2 * F::EXPONENT_BIAS) as u64;
    let sign = if prng.chance(1, 2) { F::SIGN } else { 0 };
    sign | (biased << F::FRACTION_BITS) | fraction::<F>(prng)
}

/// Few bits, runs of bits, or all random.
fn fraction<F: Format>(prng: &mut Prng) -> u64 {
    let mask = F::MIN_NORMAL - 1;
    let place = prng.below(u64::from(F::FRACTION_BITS));
    match prng.below(5) {
        0 => 1 << place,
        1 => mask >> place,
        2 => mask & (mask << place),
        3 => prng.below(4),
        _ => prng.next_u64() & mask,
    }
}

fn exponent<F: Format>(bits: u64) -> i32 {
    ((bits & F::INFINITY) >> F::FRACTION_BITS) as i32 - F::EXPONENT_BIAS
}

/// One operand.
pub fn any<F: Format>(prng: &mut Prng, structured: &[u64]) -> u64 {
    match prng.below(8) {
        0 => structured[prng.below(structured.len() as u64) as usize],
        1 => prng.next_u64() & (F::SIGN | (F::SIGN - 1)),
        2 => prng.next_u64() & (F::SIGN | (F::MIN_NORMAL - 1)) & prng.next_u64(),
        3 => {
            let near_zero = prng.between(0, 70) as i32 - 2;
            with_exponent::<F>(prng, near_zero)
        }
        _ => {
            let exponent = prng.below(2 * F::EXPONENT_BIAS as u64) as i32 - F::EXPONENT_BIAS;
            with_exponent::<F>(prng, exponent)
        }
    }
}

/// Two operands, mostly such that their sum cancels or is rounded, or that their product or
/// quotient is near the smallest normal number or the largest.
pub fn pair<F: Format>(prng: &mut Prng, structured: &[u64]) -> (u64, u64) {
    let a = any::<F>(prng, structured);
    let nudge = prng.below(7) as i32 - 3;
    let b = match prng.below(8) {
        0 => with_exponent::<F>(prng, F::EXPONENT_MIN - exponent::<F>(a) + nudge),
        1 => with_exponent::<F>(prng, exponent::<F>(a) - F::EXPONENT_MIN + nudge),
        2 => with_exponent::<F>(prng, F::EXPONENT_MAX - exponent::<F>(a) + nudge),
        3 => with_exponent::<F>(prng, exponent::<F>(a) + nudge),
        4 => {
            let far = prng.below(140) as i32 - 70;
            with_exponent::<F>(prng, exponent::<F>(a) + far)
        }
        5 => a ^ F::SIGN ^ prng.below(4),
        _ => any::<F>(prng, structured),
    };
    if prng.chance(1, 2) { (a, b) } else { (b, a) }
}

/// Three operands of a fused multiply-add, the addend mostly within reach of the product.
pub fn triple<F: Format>(prng: &mut Prng, structured: &[u64]) -> (u64, u64, u64) {
    let (a, b) = pair::<F>(prng, structured);
    let product = exponent::<F>(a) + exponent::<F>(b);
    let c = match prng.below(4) {
        0 => {
            let nudge = prng.below(5) as i32 - 2;
            with_exponent::<F>(prng, product + nudge)
        }
        1 | 2 => {
            let far = prng.below(300) as i32 - 150;
            with_exponent::<F>(prng, product + far)
        }
        _ => any::<F>(prng, structured),
    };
    (a, b, c)
}
