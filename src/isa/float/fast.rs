//! The host's FPU, where it provably gives what the integers give.
//!
//! The host is asked only to round to nearest-even. Its answer is taken only when its magnitude is
//! above the smallest normal number and finite. From that alone it follows that
//!
//! - no operand was a NaN, none was invalid, and none divided by zero: each of these gives a NaN or
//!   an infinity (an infinite divisor gives zero, which is not taken either);
//! - nothing overflowed, and nothing was tiny, before or after rounding;
//! - so the bits are the only correctly rounded ones, and inexact is the only flag that may be due.
//!
//! Mostly inexact has been raised before, and nothing is left to know. Else it is raised unless the
//! result proves exact by a second computation that is itself exact. Rust specifies `+ - * /`,
//! `sqrt` and `mul_add` as IEEE 754 does, subnormal operands included, for every target named in
//! `HOST_IS_IEEE`; the host's own status word is never read.
//!
//! Everything else goes to [`super::arith`]. The two never differ, so no state shows which ran.

use std::ops::{Add, Div, Mul, Sub};

use super::format::{F32, F64, Format};
use super::{Flags, Rounding, arith};

/// Targets whose compilers evaluate each operation in its own format (x87 does not), subnormals
/// included.
pub const HOST_IS_IEEE: bool =
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));

/// A format that the host's FPU computes with.
pub trait Host: Format {
    type Float: Copy
        + PartialEq
        + Add<Output = Self::Float>
        + Sub<Output = Self::Float>
        + Mul<Output = Self::Float>
        + Div<Output = Self::Float>;

    fn float(bits: Self::Bits) -> Self::Float;
    fn bits(float: Self::Float) -> Self::Bits;
    fn root(a: Self::Float) -> Self::Float;
    /// `a × b + c` rounded once, or `None` when the host has no certain way to it.
    fn fused(a: Self::Float, b: Self::Float, c: Self::Float) -> Option<Self::Float>;
    /// Whether `a × b` is exactly `p`, or `None` when that is not certain.
    fn product_is(a: Self::Float, b: Self::Float, p: Self::Float) -> Option<bool>;
}

impl Host for F32 {
    type Float = f32;

    #[inline]
    fn float(bits: u32) -> f32 {
        f32::from_bits(bits)
    }

    #[inline]
    fn bits(float: f32) -> u32 {
        float.to_bits()
    }

    #[inline]
    fn root(a: f32) -> f32 {
        a.sqrt()
    }

    /// In binary64 the product is exact and the sum is rounded once; to round that again to
    /// binary32 is to round once, unless the binary64 sum lies exactly between two binary32
    /// numbers, where what it was rounded from would decide.
    #[inline]
    fn fused(a: f32, b: f32, c: f32) -> Option<f32> {
        let sum = f64::from(a) * f64::from(b) + f64::from(c);
        let below_last_place = sum.to_bits() & ((1 << 29) - 1);
        (below_last_place != 1 << 28).then_some(sum as f32)
    }

    /// Any product of two binary32 numbers is a binary64 number.
    #[inline]
    fn product_is(a: f32, b: f32, p: f32) -> Option<bool> {
        Some(f64::from(a) * f64::from(b) == f64::from(p))
    }
}

impl Host for F64 {
    type Float = f64;

    #[inline]
    fn float(bits: u64) -> f64 {
        f64::from_bits(bits)
    }

    #[inline]
    fn bits(float: f64) -> u64 {
        float.to_bits()
    }

    #[inline]
    fn root(a: f64) -> f64 {
        a.sqrt()
    }

    #[inline]
    fn fused(a: f64, b: f64, c: f64) -> Option<f64> {
        fused_f64(a, b, c)
    }

    /// `a × b − p` has no bit below 2^-106 of `p`'s first: it is zero only if it is zero.
    #[inline]
    fn product_is(a: f64, b: f64, p: f64) -> Option<bool> {
        if p.abs() < f64::MIN_POSITIVE * (1u64 << 63) as f64 * (1u64 << 63) as f64 {
            return None;
        }
        fused_f64(a, b, -p).map(|rest| rest == 0.0)
    }
}

/// The instruction where there is one; a C library's emulation is not trusted for it.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "calls an instruction that not every processor has")]
fn fused_f64(a: f64, b: f64, c: f64) -> Option<f64> {
    #[target_feature(enable = "fma")]
    fn instruction(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
    // SAFETY: the function needs a processor with FMA, and this one says that it is one.
    std::arch::is_x86_feature_detected!("fma").then(|| unsafe { instruction(a, b, c) })
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fused_f64(a: f64, b: f64, c: f64) -> Option<f64> {
    cfg!(any(target_arch = "aarch64", target_arch = "riscv64")).then(|| a.mul_add(b, c))
}

/// The host's result as a pattern, when it is one that proves itself; `exact` tells whether it was
/// not rounded, or `None` when that is not certain.
#[inline]
fn certain<F: Host>(
    result: F::Float,
    flags: &mut Flags,
    exact: impl FnOnce(F::Float) -> Option<bool>,
) -> Option<F::Bits> {
    let bits = F::bits(result);
    let magnitude = bits.into() & (F::SIGN - 1);
    if magnitude <= F::MIN_NORMAL || magnitude >= F::INFINITY {
        return None;
    }
    if !flags.has(Flags::NX) && !exact(result)? {
        flags.raise(Flags::NX);
    }
    Some(bits)
}

/// Whether `sum`, the rounded sum of `a` and `b`, is their sum: of the two differences below, the
/// one that takes away the larger operand is itself exact (Dekker), and only one is needed.
#[inline]
fn sum_is_exact<F: Host>(a: F::Float, b: F::Float, sum: F::Float) -> bool {
    sum - a == b && sum - b == a
}

#[inline]
pub fn add<F: Host>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    if HOST_IS_IEEE && rm == Rounding::Rne {
        let (x, y) = (F::float(a), F::float(b));
        if let Some(bits) = certain::<F>(x + y, flags, |sum| Some(sum_is_exact::<F>(x, y, sum))) {
            return bits;
        }
    }
    F::narrow(arith::add::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn sub<F: Host>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    add::<F>(a, F::narrow(b.into() ^ F::SIGN), rm, flags)
}

#[inline]
pub fn mul<F: Host>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    if HOST_IS_IEEE && rm == Rounding::Rne {
        let (x, y) = (F::float(a), F::float(b));
        if let Some(bits) = certain::<F>(x * y, flags, |product| F::product_is(x, y, product)) {
            return bits;
        }
    }
    F::narrow(arith::mul::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn div<F: Host>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    if HOST_IS_IEEE && rm == Rounding::Rne {
        let (x, y) = (F::float(a), F::float(b));
        if let Some(bits) = certain::<F>(x / y, flags, |quotient| F::product_is(quotient, y, x)) {
            return bits;
        }
    }
    F::narrow(arith::div::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn sqrt<F: Host>(a: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    if HOST_IS_IEEE && rm == Rounding::Rne {
        let x = F::float(a);
        if let Some(bits) = certain::<F>(F::root(x), flags, |root| F::product_is(root, root, x)) {
            return bits;
        }
    }
    F::narrow(arith::sqrt::<F>(a.into(), rm, flags))
}

/// The host is asked only once inexact has been raised: that a fused sum is exact has no proof as
/// short as the sum.
#[inline]
pub fn fma<F: Host>(a: F::Bits, b: F::Bits, c: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    if HOST_IS_IEEE
        && rm == Rounding::Rne
        && flags.has(Flags::NX)
        && let Some(sum) = F::fused(F::float(a), F::float(b), F::float(c))
        && let Some(bits) = certain::<F>(sum, flags, |_| None)
    {
        return bits;
    }
    F::narrow(arith::fma::<F>(a.into(), b.into(), c.into(), rm, flags))
}
