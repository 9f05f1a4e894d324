//! The arithmetic of the M extension and of the `*w` forms, with the edge values that the spec
//! fixes (Unprivileged spec 12.2: division by zero, signed overflow), and of Zbb what the host has not.

#[inline(always)]
pub fn sext32(value: u32) -> u64 {
    value as i32 as u64
}

#[inline(always)]
pub fn mulh(a: u64, b: u64) -> u64 {
    ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64
}

#[inline(always)]
pub fn mulhu(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

#[inline(always)]
pub fn mulhsu(a: u64, b: u64) -> u64 {
    ((i128::from(a as i64) * i128::from(b)) >> 64) as u64
}

#[inline(always)]
pub fn div(a: u64, b: u64) -> u64 {
    if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }
}

#[inline(always)]
pub fn divu(a: u64, b: u64) -> u64 {
    a.checked_div(b).unwrap_or(u64::MAX)
}

#[inline(always)]
pub fn rem(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}

#[inline(always)]
pub fn remu(a: u64, b: u64) -> u64 {
    a.checked_rem(b).unwrap_or(a)
}

#[inline(always)]
pub fn divw(a: u64, b: u64) -> u64 {
    if b as u32 == 0 { u64::MAX } else { (a as i32).wrapping_div(b as i32) as u64 }
}

#[inline(always)]
pub fn divuw(a: u64, b: u64) -> u64 {
    sext32((a as u32).checked_div(b as u32).unwrap_or(u32::MAX))
}

#[inline(always)]
pub fn remw(a: u64, b: u64) -> u64 {
    if b as u32 == 0 { sext32(a as u32) } else { (a as i32).wrapping_rem(b as i32) as u64 }
}

#[inline(always)]
pub fn remuw(a: u64, b: u64) -> u64 {
    sext32((a as u32).checked_rem(b as u32).unwrap_or(a as u32))
}

/// The low word, zero-extended, as the `.uw` forms take it.
#[inline(always)]
pub fn low(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// Each byte that is not 0 becomes 0xff (Unprivileged spec 30.5, `orc.b`).
#[inline(always)]
pub fn orc_b(value: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let set = (((value & LOW) + LOW) | value) & !LOW;
    (set >> 7) * 0xff
}
