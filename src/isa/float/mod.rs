//! Floating point as RISC-V defines it (unprivileged spec, chapters "F" 2.2 and "D" 2.2): binary32
//! and binary64, and of binary16 the conversions, on bit patterns, to the bit on every host.
//!
//! Promises: results and accrued flags are functions of the arguments alone. A NaN result is always
//! the canonical NaN; tininess is detected after rounding; all five rounding modes are exact.
//!
//! Everything is computed with integers ([`mod@format`] unpacks and rounds, [`arith`], [`compare`] and
//! [`convert`] do the work, once for both formats). [`fast`] hands an operation to the host's FPU
//! where that provably gives the same bits and flags; it is never visible in a result.
//!
//! Absent on purpose: registers, NaN boxing and `fcsr` (the hart's business), and sign-injection
//! (a bit operation). `fmsub`, `fnmsub` and `fnmadd` are [`fma_f32`]/[`fma_f64`] with the signs of
//! `a` and `c` flipped by the caller: a NaN operand's sign never shows.

pub mod arith;
pub mod compare;
pub mod convert;
pub mod fast;
pub mod format;

use convert::Int;
use format::{F16, F32, F64, Format};

/// The accrued exception flags, as the five bits of `fflags`. Operations only ever set bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Inexact: the result was rounded.
    pub const NX: u8 = 1;
    /// Underflow: the result was inexact and, rounded as if the exponent had no minimum, below the
    /// smallest normal number.
    pub const UF: u8 = 2;
    /// Overflow: the rounded result is beyond the largest finite number.
    pub const OF: u8 = 4;
    /// Division of a finite non-zero number by zero.
    pub const DZ: u8 = 8;
    /// Invalid operation.
    pub const NV: u8 = 16;

    #[inline]
    pub fn raise(&mut self, bits: u8) {
        self.0 |= bits;
    }

    /// Whether all of `bits` are set.
    #[inline]
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// A rounding mode, in the order of its encoding in `frm` and in an instruction's `rm` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, ties to even.
    Rne,
    /// Towards zero.
    Rtz,
    /// Down, towards minus infinity.
    Rdn,
    /// Up, towards plus infinity.
    Rup,
    /// To the nearest, ties away from zero.
    Rmm,
}

impl Rounding {
    #[cfg(test)]
    pub const ALL: [Rounding; 5] =
        [Rounding::Rne, Rounding::Rtz, Rounding::Rdn, Rounding::Rup, Rounding::Rmm];

    /// The mode that `frm` value 0..=4 names; 5, 6 are reserved and 7 (`dyn`) is not a mode.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Rounding> {
        match bits {
            0 => Some(Rounding::Rne),
            1 => Some(Rounding::Rtz),
            2 => Some(Rounding::Rdn),
            3 => Some(Rounding::Rup),
            4 => Some(Rounding::Rmm),
            _ => None,
        }
    }
}

/// `a + b` in binary32.
#[inline]
pub fn add_f32(a: u32, b: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::add::<F32>(a, b, rm, flags)
}

/// `a - b` in binary32.
#[inline]
pub fn sub_f32(a: u32, b: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::sub::<F32>(a, b, rm, flags)
}

/// `a × b` in binary32.
#[inline]
pub fn mul_f32(a: u32, b: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::mul::<F32>(a, b, rm, flags)
}

/// `a ÷ b` in binary32.
#[inline]
pub fn div_f32(a: u32, b: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::div::<F32>(a, b, rm, flags)
}

/// The square root of `a` in binary32.
#[inline]
pub fn sqrt_f32(a: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::sqrt::<F32>(a, rm, flags)
}

/// `a × b + c` in binary32, rounded once. `∞ × 0 + NaN` is invalid even when the NaN is quiet.
#[inline]
pub fn fma_f32(a: u32, b: u32, c: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    fast::fma::<F32>(a, b, c, rm, flags)
}

/// The lesser of two binary32 numbers (IEEE 754-2019 `minimumNumber`): −0 < +0, a NaN loses to a number.
#[inline]
pub fn min_f32(a: u32, b: u32, flags: &mut Flags) -> u32 {
    F32::narrow(compare::min::<F32>(a.into(), b.into(), flags))
}

/// The greater of two binary32 numbers (IEEE 754-2019 `maximumNumber`): −0 < +0, a NaN loses to a number.
#[inline]
pub fn max_f32(a: u32, b: u32, flags: &mut Flags) -> u32 {
    F32::narrow(compare::max::<F32>(a.into(), b.into(), flags))
}

/// `a = b` in binary32: quiet, only a signalling NaN is invalid.
#[inline]
pub fn eq_f32(a: u32, b: u32, flags: &mut Flags) -> bool {
    compare::eq::<F32>(a.into(), b.into(), flags)
}

/// `a < b` in binary32: signalling, any NaN is invalid.
#[inline]
pub fn lt_f32(a: u32, b: u32, flags: &mut Flags) -> bool {
    compare::lt::<F32>(a.into(), b.into(), flags)
}

/// `a ≤ b` in binary32: signalling, any NaN is invalid.
#[inline]
pub fn le_f32(a: u32, b: u32, flags: &mut Flags) -> bool {
    compare::le::<F32>(a.into(), b.into(), flags)
}

/// The result of `fclass.s`: one bit of ten.
#[inline]
pub fn classify_f32(a: u32) -> u64 {
    compare::classify::<F32>(a.into())
}

/// binary32 to binary64: exact; a signalling NaN is invalid.
#[inline]
pub fn f32_to_f64(a: u32, flags: &mut Flags) -> u64 {
    convert::reformat::<F32, F64>(a.into(), Rounding::Rne, flags)
}

/// binary32 to `i32`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f32_to_i32(a: u32, rm: Rounding, flags: &mut Flags) -> i32 {
    i32::from_wide(convert::to_int::<F32, i32>(a.into(), rm, flags))
}

/// binary32 to `u32`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f32_to_u32(a: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    u32::from_wide(convert::to_int::<F32, u32>(a.into(), rm, flags))
}

/// binary32 to `i64`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f32_to_i64(a: u32, rm: Rounding, flags: &mut Flags) -> i64 {
    i64::from_wide(convert::to_int::<F32, i64>(a.into(), rm, flags))
}

/// binary32 to `u64`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f32_to_u64(a: u32, rm: Rounding, flags: &mut Flags) -> u64 {
    u64::from_wide(convert::to_int::<F32, u64>(a.into(), rm, flags))
}

/// `i32` to binary32.
#[inline]
pub fn i32_to_f32(v: i32, rm: Rounding, flags: &mut Flags) -> u32 {
    F32::narrow(convert::from_int::<F32>(v.into(), rm, flags))
}

/// `u32` to binary32.
#[inline]
pub fn u32_to_f32(v: u32, rm: Rounding, flags: &mut Flags) -> u32 {
    F32::narrow(convert::from_int::<F32>(v.into(), rm, flags))
}

/// `i64` to binary32.
#[inline]
pub fn i64_to_f32(v: i64, rm: Rounding, flags: &mut Flags) -> u32 {
    F32::narrow(convert::from_int::<F32>(v.into(), rm, flags))
}

/// `u64` to binary32.
#[inline]
pub fn u64_to_f32(v: u64, rm: Rounding, flags: &mut Flags) -> u32 {
    F32::narrow(convert::from_int::<F32>(v.into(), rm, flags))
}

/// `a + b` in binary64.
#[inline]
pub fn add_f64(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::add::<F64>(a, b, rm, flags)
}

/// `a - b` in binary64.
#[inline]
pub fn sub_f64(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::sub::<F64>(a, b, rm, flags)
}

/// `a × b` in binary64.
#[inline]
pub fn mul_f64(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::mul::<F64>(a, b, rm, flags)
}

/// `a ÷ b` in binary64.
#[inline]
pub fn div_f64(a: u64, b: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::div::<F64>(a, b, rm, flags)
}

/// The square root of `a` in binary64.
#[inline]
pub fn sqrt_f64(a: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::sqrt::<F64>(a, rm, flags)
}

/// `a × b + c` in binary64, rounded once. `∞ × 0 + NaN` is invalid even when the NaN is quiet.
#[inline]
pub fn fma_f64(a: u64, b: u64, c: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    fast::fma::<F64>(a, b, c, rm, flags)
}

/// The lesser of two binary64 numbers (IEEE 754-2019 `minimumNumber`): −0 < +0, a NaN loses to a number.
#[inline]
pub fn min_f64(a: u64, b: u64, flags: &mut Flags) -> u64 {
    compare::min::<F64>(a, b, flags)
}

/// The greater of two binary64 numbers (IEEE 754-2019 `maximumNumber`): −0 < +0, a NaN loses to a number.
#[inline]
pub fn max_f64(a: u64, b: u64, flags: &mut Flags) -> u64 {
    compare::max::<F64>(a, b, flags)
}

/// `a = b` in binary64: quiet, only a signalling NaN is invalid.
#[inline]
pub fn eq_f64(a: u64, b: u64, flags: &mut Flags) -> bool {
    compare::eq::<F64>(a, b, flags)
}

/// `a < b` in binary64: signalling, any NaN is invalid.
#[inline]
pub fn lt_f64(a: u64, b: u64, flags: &mut Flags) -> bool {
    compare::lt::<F64>(a, b, flags)
}

/// `a ≤ b` in binary64: signalling, any NaN is invalid.
#[inline]
pub fn le_f64(a: u64, b: u64, flags: &mut Flags) -> bool {
    compare::le::<F64>(a, b, flags)
}

/// The result of `fclass.d`: one bit of ten.
#[inline]
pub fn classify_f64(a: u64) -> u64 {
    compare::classify::<F64>(a)
}

/// binary64 to binary32.
#[inline]
pub fn f64_to_f32(a: u64, rm: Rounding, flags: &mut Flags) -> u32 {
    F32::narrow(convert::reformat::<F64, F32>(a, rm, flags))
}

/// binary64 to `i32`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f64_to_i32(a: u64, rm: Rounding, flags: &mut Flags) -> i32 {
    i32::from_wide(convert::to_int::<F64, i32>(a, rm, flags))
}

/// binary64 to `u32`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f64_to_u32(a: u64, rm: Rounding, flags: &mut Flags) -> u32 {
    u32::from_wide(convert::to_int::<F64, u32>(a, rm, flags))
}

/// binary64 to `i64`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f64_to_i64(a: u64, rm: Rounding, flags: &mut Flags) -> i64 {
    i64::from_wide(convert::to_int::<F64, i64>(a, rm, flags))
}

/// binary64 to `u64`: out of range saturates and is invalid, NaN gives the maximum.
#[inline]
pub fn f64_to_u64(a: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    u64::from_wide(convert::to_int::<F64, u64>(a, rm, flags))
}

/// `i32` to binary64.
#[inline]
pub fn i32_to_f64(v: i32, rm: Rounding, flags: &mut Flags) -> u64 {
    convert::from_int::<F64>(v.into(), rm, flags)
}

/// `u32` to binary64.
#[inline]
pub fn u32_to_f64(v: u32, rm: Rounding, flags: &mut Flags) -> u64 {
    convert::from_int::<F64>(v.into(), rm, flags)
}

/// `i64` to binary64.
#[inline]
pub fn i64_to_f64(v: i64, rm: Rounding, flags: &mut Flags) -> u64 {
    convert::from_int::<F64>(v.into(), rm, flags)
}

/// `u64` to binary64.
#[inline]
pub fn u64_to_f64(v: u64, rm: Rounding, flags: &mut Flags) -> u64 {
    convert::from_int::<F64>(v.into(), rm, flags)
}

#[cfg(test)]
mod tests;

/// binary16 in binary32, where it fits.
pub fn f16_to_f32(a: u16, flags: &mut Flags) -> u32 {
    F32::narrow(convert::reformat::<F16, F32>(a.into(), Rounding::Rne, flags))
}

/// binary16 in binary64, where it fits.
pub fn f16_to_f64(a: u16, flags: &mut Flags) -> u64 {
    convert::reformat::<F16, F64>(a.into(), Rounding::Rne, flags)
}

/// binary32 in binary16.
pub fn f32_to_f16(a: u32, rm: Rounding, flags: &mut Flags) -> u16 {
    F16::narrow(convert::reformat::<F32, F16>(a.into(), rm, flags))
}

/// binary64 in binary16.
pub fn f64_to_f16(a: u64, rm: Rounding, flags: &mut Flags) -> u16 {
    F16::narrow(convert::reformat::<F64, F16>(a, rm, flags))
}

/// The numbers of `fli`, in the order of their encoding, as binary64; the second is the least normal number of
/// the format (Unprivileged spec, table "Immediate values loaded by the FLI instruction").
const LOADABLE: [f64; 32] = [
    -1.0,
    f64::MIN_POSITIVE,
    1.0 / 65536.0,
    1.0 / 32768.0,
    1.0 / 256.0,
    1.0 / 128.0,
    0.0625,
    0.125,
    0.25,
    0.3125,
    0.375,
    0.4375,
    0.5,
    0.625,
    0.75,
    0.875,
    1.0,
    1.25,
    1.5,
    1.75,
    2.0,
    2.5,
    3.0,
    4.0,
    8.0,
    16.0,
    128.0,
    256.0,
    32768.0,
    65536.0,
    f64::INFINITY,
    f64::NAN,
];

/// What `fli.d` loads for `index`.
pub fn loadable_f64(index: u8) -> u64 {
    match index & 31 {
        31 => F64::NAN,
        n => LOADABLE[usize::from(n)].to_bits(),
    }
}

/// What `fli.s` loads for `index`.
pub fn loadable_f32(index: u8) -> u32 {
    match index & 31 {
        1 => F32::MIN_NORMAL as u32,
        n => f64_to_f32(loadable_f64(n), Rounding::Rne, &mut Flags::default()),
    }
}
