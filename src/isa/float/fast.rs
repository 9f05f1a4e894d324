//! The host's FPU, where it provably gives what the integers give.

use super::format::Format;
use super::{Flags, Rounding, arith};

#[inline]
pub fn add<F: Format>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::add::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn sub<F: Format>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::sub::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn mul<F: Format>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::mul::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn div<F: Format>(a: F::Bits, b: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::div::<F>(a.into(), b.into(), rm, flags))
}

#[inline]
pub fn sqrt<F: Format>(a: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::sqrt::<F>(a.into(), rm, flags))
}

#[inline]
pub fn fma<F: Format>(a: F::Bits, b: F::Bits, c: F::Bits, rm: Rounding, flags: &mut Flags) -> F::Bits {
    F::narrow(arith::fma::<F>(a.into(), b.into(), c.into(), rm, flags))
}
