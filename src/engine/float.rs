//! Floating-point instructions: registers, NaN-boxing, rounding modes and flags around the arithmetic of
//! [`crate::isa::float`].

use super::alu::sext32;
use super::interpreter::Slot;
use super::regs::Regs;
use crate::isa::Op;
use crate::isa::float::format::{F16, F32, F64, Format};
use crate::isa::float::*;

const NAN32: u32 = F32::NAN as u32;
const NAN16: u16 = F16::NAN as u16;
/// The upper half of a register that holds a single.
pub const BOX: u64 = 0xffff_ffff << 32;
const BOX16: u64 = !0xffff;
const SIGN32: u32 = 1 << 31;
const SIGN64: u64 = 1 << 63;

/// The low word of `value`, boxed (Unprivileged spec 21.2).
pub const fn nan_box_low(value: u64) -> u64 {
    value | BOX
}

/// The single in a register: NaN when it is not boxed.
fn unbox(value: u64) -> u32 {
    if value >= BOX { value as u32 } else { NAN32 }
}

/// The half in a register: NaN when it is not boxed.
fn unbox_half(value: u64) -> u16 {
    if value >= BOX16 { value as u16 } else { NAN16 }
}

/// The low halfword of `value`, boxed.
pub const fn nan_box_half(value: u64) -> u64 {
    value | BOX16
}

/// A result, by where it goes.
enum Outcome {
    Half(u16),
    Single(u32),
    Double(u64),
    Int(u64),
}

/// Executes a computational instruction of F, D, Zfhmin or Zfa, given that `FS` is not Off. Nothing, and nothing
/// has changed, when it is illegal; else whether it makes `FS` Dirty.
pub fn compute(regs: &mut Regs, fcsr: &mut u8, slot: Slot) -> Option<bool> {
    compute_from(regs, fcsr, slot, Flags::default())
}

/// The same, given that `FS` is Dirty: true when it is legal.
pub fn compute_dirty(regs: &mut Regs, fcsr: &mut u8, slot: Slot) -> bool {
    // What has been raised before is not looked for.
    let raised = Flags(*fcsr & Flags::NX);
    compute_from(regs, fcsr, slot, raised).is_some()
}

#[inline(never)]
fn compute_from(regs: &mut Regs, fcsr: &mut u8, slot: Slot, mut raised: Flags) -> Option<bool> {
    use Outcome::{Double, Half, Int, Single};
    let flags = &mut raised;
    let raw = |n: u8| regs.f[usize::from(n & 31)];
    let xa = regs.get(slot.rs1);
    let (da, db, dc) = (raw(slot.rs1), raw(slot.rs2), raw(slot.rs3()));
    let (sa, sb, sc) = (unbox(da), unbox(db), unbox(dc));
    // The instruction's rounding mode; none when it is dynamic and `frm` holds none.
    let rm = Rounding::from_bits(if slot.rm() == 7 { *fcsr >> 5 } else { slot.rm() });
    let result = match slot.op {
        Op::FmaddS => Single(fma_f32(sa, sb, sc, rm?, flags)),
        Op::FmsubS => Single(fma_f32(sa, sb, sc ^ SIGN32, rm?, flags)),
        Op::FnmsubS => Single(fma_f32(sa ^ SIGN32, sb, sc, rm?, flags)),
        Op::FnmaddS => Single(fma_f32(sa ^ SIGN32, sb, sc ^ SIGN32, rm?, flags)),
        Op::FaddS => Single(add_f32(sa, sb, rm?, flags)),
        Op::FsubS => Single(sub_f32(sa, sb, rm?, flags)),
        Op::FmulS => Single(mul_f32(sa, sb, rm?, flags)),
        Op::FdivS => Single(div_f32(sa, sb, rm?, flags)),
        Op::FsqrtS => Single(sqrt_f32(sa, rm?, flags)),
        Op::FsgnjS => Single(sa & !SIGN32 | sb & SIGN32),
        Op::FsgnjnS => Single(sa & !SIGN32 | !sb & SIGN32),
        Op::FsgnjxS => Single(sa ^ sb & SIGN32),
        Op::FminS => Single(min_f32(sa, sb, flags)),
        Op::FmaxS => Single(max_f32(sa, sb, flags)),
        Op::FcvtWS => Int(f32_to_i32(sa, rm?, flags) as u64),
        Op::FcvtWuS => Int(sext32(f32_to_u32(sa, rm?, flags))),
        Op::FcvtLS => Int(f32_to_i64(sa, rm?, flags) as u64),
        Op::FcvtLuS => Int(f32_to_u64(sa, rm?, flags)),
        Op::FmvXW => Int(sext32(da as u32)),
        Op::FeqS => Int(eq_f32(sa, sb, flags).into()),
        Op::FltS => Int(lt_f32(sa, sb, flags).into()),
        Op::FleS => Int(le_f32(sa, sb, flags).into()),
        Op::FclassS => Int(classify_f32(sa)),
        Op::FcvtSW => Single(i32_to_f32(xa as i32, rm?, flags)),
        Op::FcvtSWu => Single(u32_to_f32(xa as u32, rm?, flags)),
        Op::FcvtSL => Single(i64_to_f32(xa as i64, rm?, flags)),
        Op::FcvtSLu => Single(u64_to_f32(xa, rm?, flags)),
        Op::FmvWX => Single(xa as u32),
        Op::FmaddD => Double(fma_f64(da, db, dc, rm?, flags)),
        Op::FmsubD => Double(fma_f64(da, db, dc ^ SIGN64, rm?, flags)),
        Op::FnmsubD => Double(fma_f64(da ^ SIGN64, db, dc, rm?, flags)),
        Op::FnmaddD => Double(fma_f64(da ^ SIGN64, db, dc ^ SIGN64, rm?, flags)),
        Op::FaddD => Double(add_f64(da, db, rm?, flags)),
        Op::FsubD => Double(sub_f64(da, db, rm?, flags)),
        Op::FmulD => Double(mul_f64(da, db, rm?, flags)),
        Op::FdivD => Double(div_f64(da, db, rm?, flags)),
        Op::FsqrtD => Double(sqrt_f64(da, rm?, flags)),
        Op::FsgnjD => Double(da & !SIGN64 | db & SIGN64),
        Op::FsgnjnD => Double(da & !SIGN64 | !db & SIGN64),
        Op::FsgnjxD => Double(da ^ db & SIGN64),
        Op::FminD => Double(min_f64(da, db, flags)),
        Op::FmaxD => Double(max_f64(da, db, flags)),
        Op::FcvtSD => Single(f64_to_f32(da, rm?, flags)),
        Op::FcvtDS => {
            rm?;
            Double(f32_to_f64(sa, flags))
        }
        Op::FeqD => Int(eq_f64(da, db, flags).into()),
        Op::FltD => Int(lt_f64(da, db, flags).into()),
        Op::FleD => Int(le_f64(da, db, flags).into()),
        Op::FclassD => Int(classify_f64(da)),
        Op::FcvtWD => Int(f64_to_i32(da, rm?, flags) as u64),
        Op::FcvtWuD => Int(sext32(f64_to_u32(da, rm?, flags))),
        Op::FcvtLD => Int(f64_to_i64(da, rm?, flags) as u64),
        Op::FcvtLuD => Int(f64_to_u64(da, rm?, flags)),
        Op::FmvXD => Int(da),
        Op::FcvtDW => Double(i32_to_f64(xa as i32, rm?, flags)),
        Op::FcvtDWu => Double(u32_to_f64(xa as u32, rm?, flags)),
        Op::FcvtDL => Double(i64_to_f64(xa as i64, rm?, flags)),
        Op::FcvtDLu => Double(u64_to_f64(xa, rm?, flags)),
        Op::FmvDX => Double(xa),
        Op::FmvXH => Int(da as i16 as u64),
        Op::FmvHX => Half(xa as u16),
        Op::FcvtSH => {
            rm?;
            Single(f16_to_f32(unbox_half(da), flags))
        }
        Op::FcvtDH => {
            rm?;
            Double(f16_to_f64(unbox_half(da), flags))
        }
        Op::FcvtHS => Half(f32_to_f16(sa, rm?, flags)),
        Op::FcvtHD => Half(f64_to_f16(da, rm?, flags)),
        Op::FliS => Single(loadable_f32(slot.imm as u8)),
        Op::FminmS => Single(compare::min_or_nan::<F32>(sa.into(), sb.into(), flags) as u32),
        Op::FmaxmS => Single(compare::max_or_nan::<F32>(sa.into(), sb.into(), flags) as u32),
        Op::FroundS => Single(convert::to_integral::<F32>(sa.into(), rm?, false, flags) as u32),
        Op::FroundnxS => Single(convert::to_integral::<F32>(sa.into(), rm?, true, flags) as u32),
        Op::FleqS => Int(compare::le_quiet::<F32>(sa.into(), sb.into(), flags).into()),
        Op::FltqS => Int(compare::lt_quiet::<F32>(sa.into(), sb.into(), flags).into()),
        Op::FliD => Double(loadable_f64(slot.imm as u8)),
        Op::FminmD => Double(compare::min_or_nan::<F64>(da, db, flags)),
        Op::FmaxmD => Double(compare::max_or_nan::<F64>(da, db, flags)),
        Op::FroundD => Double(convert::to_integral::<F64>(da, rm?, false, flags)),
        Op::FroundnxD => Double(convert::to_integral::<F64>(da, rm?, true, flags)),
        Op::FleqD => Int(compare::le_quiet::<F64>(da, db, flags).into()),
        Op::FltqD => Int(compare::lt_quiet::<F64>(da, db, flags).into()),
        Op::FcvtmodWD => Int(sext32(convert::to_word_modular::<F64>(da, flags))),
        // No other instruction computes.
        _ => return None,
    };
    match result {
        Half(value) => regs.f[usize::from(slot.rd & 31)] = nan_box_half(value.into()),
        Single(value) => regs.f[usize::from(slot.rd & 31)] = nan_box_low(value.into()),
        Double(value) => regs.f[usize::from(slot.rd & 31)] = value,
        Int(value) => regs.set(slot.rd, value),
    }
    *fcsr |= raised.0;
    Some(raised.0 != 0 || !matches!(result, Int(_)))
}
