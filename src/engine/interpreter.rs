//! The interpreter: a loop over decoded slots.
//!
//! It defines what computation, branches and jumps do. Whatever else turns up (a slot not decoded,
//! a page not cached, a misaligned or memory-mapped access, CSRs, atomics, system instructions) is
//! left to the caller *before* anything of it has happened, so that leaving is always exact.

use super::alu::{div, divu, divuw, divw, low, mulh, mulhsu, mulhu, orc_b, rem, remu, remuw, remw, sext32};
use super::float::{compute, nan_box_half, nan_box_low};
use super::tlb::{Kind, PAGE_MASK, slot};
use super::{BLOCK_BYTES, Leave, Left, Work};
use crate::isa::Op;
use crate::mem::PAGE_BYTES;

mod code;

#[cfg(test)]
pub use code::PAGES_MAX;
pub use code::{CodeCache, HALFWORDS, Slot, Slots};

/// Makes the step over a short instruction a branch instead of an addition: the host then predicts
/// where the next slot is, and need not wait for this one to be read. Worth a sixth of the speed.
#[cold]
#[inline(always)]
fn short() {}

/// What few accesses are.
#[cold]
#[inline(always)]
fn misaligned() {}

/// Runs up to `count` instructions from `pc`, whose page's slots are `slots`; with `BLOCK`, not past a jump or a
/// taken branch, after which the loop is [`Leave::Lost`].
#[inline(never)]
pub fn run<const BLOCK: bool>(
    work: &mut Work<'_>,
    code: &CodeCache,
    slots: &Slots,
    pc: u64,
    count: u64,
) -> Left {
    let Work { regs: x, fcsr, float, zero, data, fetch, ram, .. } = work;
    let (read, write) = (&data[Kind::Read as usize], &data[Kind::Write as usize]);
    let (float, zero) = (*float, *zero);
    let mut slots = slots;
    let mut page = pc & PAGE_MASK;
    // In halfwords from `page`.
    let mut at = (pc & !PAGE_MASK) as usize / 2;
    let mut left = count;

    macro_rules! leave {
        ($why:ident $($slot:tt)?) => {
            return Left { why: Leave::$why $($slot)?, pc: page.wrapping_add(2 * at as u64), count: left }
        };
    }
    // On to the next instruction.
    macro_rules! next {
        ($s:ident) => {{
            if $s.len == 1 {
                short();
                at += 1;
            } else {
                at += 2;
            }
            left -= 1;
        }};
    }
    // On to `$target`, wherever that is.
    macro_rules! jump {
        ($target:expr) => {{
            let target: u64 = $target;
            left -= 1;
            at = (target & !PAGE_MASK) as usize / 2;
            if target & PAGE_MASK != page {
                page = target & PAGE_MASK;
                let entry = &fetch[slot(page)];
                if entry.tag != page {
                    leave!(Lost)
                }
                let Some(next) = code.slots(entry.delta) else { leave!(Lost) };
                slots = next;
            }
            if BLOCK {
                leave!(Lost)
            }
        }};
    }
    macro_rules! branch {
        ($s:ident, $taken:expr) => {{
            if $taken {
                let target = at.wrapping_add_signed(isize::from($s.imm));
                if target < HALFWORDS {
                    left -= 1;
                    at = target;
                    if BLOCK {
                        leave!(Lost)
                    }
                } else {
                    jump!(page.wrapping_add_signed(2 * (target as i64)))
                }
            } else {
                next!($s)
            }
        }};
    }
    macro_rules! set {
        ($s:ident, $value:expr) => {{
            let value: u64 = $value;
            x.set($s.rd, value);
            next!($s)
        }};
    }
    macro_rules! a {
        ($s:ident) => {
            x.get($s.rs1)
        };
    }
    macro_rules! b {
        ($s:ident) => {
            x.get($s.rs2)
        };
    }
    macro_rules! imm {
        ($s:ident) => {
            $s.imm as i64 as u64
        };
    }
    // The place in RAM of an access that the cache knows, within one page.
    macro_rules! place {
        ($s:ident, $entries:ident, $bytes:expr) => {{
            let address = x.get($s.rs1).wrapping_add(imm!($s));
            let entry = &$entries[slot(address)];
            if address & (PAGE_MASK | ($bytes - 1)) != entry.tag {
                misaligned();
                if address & PAGE_MASK != entry.tag || (address & !PAGE_MASK) + $bytes > PAGE_BYTES as u64 {
                    leave!(Slow(*$s))
                }
            }
            address.wrapping_add(entry.delta) as usize
        }};
    }
    macro_rules! fetch {
        ($s:ident, $unsigned:ty) => {{
            const BYTES: usize = size_of::<$unsigned>();
            let place = place!($s, read, BYTES as u64);
            let Some(bytes) = ram.get(place..).and_then(|bytes| bytes.first_chunk::<BYTES>()) else {
                leave!(Slow(*$s))
            };
            <$unsigned>::from_le_bytes(*bytes)
        }};
    }
    macro_rules! load {
        ($s:ident, $unsigned:ty, $extend:ty) => {
            set!($s, fetch!($s, $unsigned) as $extend as u64)
        };
    }
    macro_rules! store {
        ($s:ident, $unsigned:ty, $value:expr) => {{
            const BYTES: usize = size_of::<$unsigned>();
            let place = place!($s, write, BYTES as u64);
            let Some(bytes) = ram.get_mut(place..).and_then(|bytes| bytes.first_chunk_mut::<BYTES>()) else {
                leave!(Slow(*$s))
            };
            *bytes = ($value as $unsigned).to_le_bytes();
            next!($s)
        }};
    }

    while left > 0 {
        let Some(s) = slots.get(at) else { leave!(Lost) };
        match s.op {
            Op::Lui => set!(s, s.wide() as u64),
            Op::Auipc => set!(s, page.wrapping_add(2 * at as u64).wrapping_add_signed(s.wide().into())),
            Op::Jal => {
                x.set(s.rd, page.wrapping_add(2 * (at as u64 + u64::from(s.len))));
                let target = at.wrapping_add_signed(s.wide() as isize);
                if target < HALFWORDS {
                    left -= 1;
                    at = target;
                    if BLOCK {
                        leave!(Lost)
                    }
                } else {
                    jump!(page.wrapping_add_signed(2 * (target as i64)))
                }
            }
            Op::Jalr => {
                let target = a!(s).wrapping_add(imm!(s)) & !1;
                x.set(s.rd, page.wrapping_add(2 * (at as u64 + u64::from(s.len))));
                jump!(target)
            }
            Op::Beq => branch!(s, a!(s) == b!(s)),
            Op::Bne => branch!(s, a!(s) != b!(s)),
            Op::Blt => branch!(s, (a!(s) as i64) < b!(s) as i64),
            Op::Bge => branch!(s, a!(s) as i64 >= b!(s) as i64),
            Op::Bltu => branch!(s, a!(s) < b!(s)),
            Op::Bgeu => branch!(s, a!(s) >= b!(s)),
            Op::Lb => load!(s, u8, i8),
            Op::Lh => load!(s, u16, i16),
            Op::Lw => load!(s, u32, i32),
            Op::Ld => load!(s, u64, i64),
            Op::Lbu => load!(s, u8, u8),
            Op::Lhu => load!(s, u16, u16),
            Op::Lwu => load!(s, u32, u32),
            Op::Sb => store!(s, u8, b!(s)),
            Op::Sh => store!(s, u16, b!(s)),
            Op::Sw => store!(s, u32, b!(s)),
            Op::Sd => store!(s, u64, b!(s)),
            Op::Addi => set!(s, a!(s).wrapping_add(imm!(s))),
            Op::Slti => set!(s, u64::from((a!(s) as i64) < i64::from(s.imm))),
            Op::Sltiu => set!(s, u64::from(a!(s) < imm!(s))),
            Op::Xori => set!(s, a!(s) ^ imm!(s)),
            Op::Ori => set!(s, a!(s) | imm!(s)),
            Op::Andi => set!(s, a!(s) & imm!(s)),
            Op::Slli => set!(s, a!(s) << (s.imm & 63)),
            Op::Srli => set!(s, a!(s) >> (s.imm & 63)),
            Op::Srai => set!(s, (a!(s) as i64 >> (s.imm & 63)) as u64),
            Op::Add => set!(s, a!(s).wrapping_add(b!(s))),
            Op::Sub => set!(s, a!(s).wrapping_sub(b!(s))),
            Op::Sll => set!(s, a!(s) << (b!(s) & 63)),
            Op::Slt => set!(s, u64::from((a!(s) as i64) < b!(s) as i64)),
            Op::Sltu => set!(s, u64::from(a!(s) < b!(s))),
            Op::Xor => set!(s, a!(s) ^ b!(s)),
            Op::Srl => set!(s, a!(s) >> (b!(s) & 63)),
            Op::Sra => set!(s, (a!(s) as i64 >> (b!(s) & 63)) as u64),
            Op::Or => set!(s, a!(s) | b!(s)),
            Op::And => set!(s, a!(s) & b!(s)),
            Op::Addiw => set!(s, sext32((a!(s) as u32).wrapping_add(imm!(s) as u32))),
            Op::Slliw => set!(s, sext32((a!(s) as u32) << (s.imm & 31))),
            Op::Srliw => set!(s, sext32(a!(s) as u32 >> (s.imm & 31))),
            Op::Sraiw => set!(s, (a!(s) as i32 >> (s.imm & 31)) as u64),
            Op::Addw => set!(s, sext32((a!(s) as u32).wrapping_add(b!(s) as u32))),
            Op::Subw => set!(s, sext32((a!(s) as u32).wrapping_sub(b!(s) as u32))),
            Op::Sllw => set!(s, sext32((a!(s) as u32) << (b!(s) & 31))),
            Op::Srlw => set!(s, sext32(a!(s) as u32 >> (b!(s) & 31))),
            Op::Sraw => set!(s, (a!(s) as i32 >> (b!(s) & 31)) as u64),
            Op::Mul => set!(s, a!(s).wrapping_mul(b!(s))),
            Op::Mulh => set!(s, mulh(a!(s), b!(s))),
            Op::Mulhsu => set!(s, mulhsu(a!(s), b!(s))),
            Op::Mulhu => set!(s, mulhu(a!(s), b!(s))),
            Op::Div => set!(s, div(a!(s), b!(s))),
            Op::Divu => set!(s, divu(a!(s), b!(s))),
            Op::Rem => set!(s, rem(a!(s), b!(s))),
            Op::Remu => set!(s, remu(a!(s), b!(s))),
            Op::Mulw => set!(s, sext32((a!(s) as u32).wrapping_mul(b!(s) as u32))),
            Op::Divw => set!(s, divw(a!(s), b!(s))),
            Op::Divuw => set!(s, divuw(a!(s), b!(s))),
            Op::Remw => set!(s, remw(a!(s), b!(s))),
            Op::Remuw => set!(s, remuw(a!(s), b!(s))),
            Op::AddUw => set!(s, low(a!(s)).wrapping_add(b!(s))),
            Op::Sh1add => set!(s, (a!(s) << 1).wrapping_add(b!(s))),
            Op::Sh2add => set!(s, (a!(s) << 2).wrapping_add(b!(s))),
            Op::Sh3add => set!(s, (a!(s) << 3).wrapping_add(b!(s))),
            Op::Sh1addUw => set!(s, (low(a!(s)) << 1).wrapping_add(b!(s))),
            Op::Sh2addUw => set!(s, (low(a!(s)) << 2).wrapping_add(b!(s))),
            Op::Sh3addUw => set!(s, (low(a!(s)) << 3).wrapping_add(b!(s))),
            Op::SlliUw => set!(s, low(a!(s)) << (s.imm & 63)),
            Op::Andn => set!(s, a!(s) & !b!(s)),
            Op::Orn => set!(s, a!(s) | !b!(s)),
            Op::Xnor => set!(s, !(a!(s) ^ b!(s))),
            Op::Clz => set!(s, a!(s).leading_zeros().into()),
            Op::Clzw => set!(s, (a!(s) as u32).leading_zeros().into()),
            Op::Ctz => set!(s, a!(s).trailing_zeros().into()),
            Op::Ctzw => set!(s, (a!(s) as u32).trailing_zeros().into()),
            Op::Cpop => set!(s, a!(s).count_ones().into()),
            Op::Cpopw => set!(s, (a!(s) as u32).count_ones().into()),
            Op::Max => set!(s, (a!(s) as i64).max(b!(s) as i64) as u64),
            Op::Maxu => set!(s, a!(s).max(b!(s))),
            Op::Min => set!(s, (a!(s) as i64).min(b!(s) as i64) as u64),
            Op::Minu => set!(s, a!(s).min(b!(s))),
            Op::SextB => set!(s, a!(s) as i8 as u64),
            Op::SextH => set!(s, a!(s) as i16 as u64),
            Op::ZextH => set!(s, (a!(s) as u16).into()),
            Op::Rol => set!(s, a!(s).rotate_left(b!(s) as u32 & 63)),
            Op::Rolw => set!(s, sext32((a!(s) as u32).rotate_left(b!(s) as u32 & 31))),
            Op::Ror => set!(s, a!(s).rotate_right(b!(s) as u32 & 63)),
            Op::Rori => set!(s, a!(s).rotate_right(s.imm as u32 & 63)),
            Op::Roriw => set!(s, sext32((a!(s) as u32).rotate_right(s.imm as u32 & 31))),
            Op::Rorw => set!(s, sext32((a!(s) as u32).rotate_right(b!(s) as u32 & 31))),
            Op::OrcB => set!(s, orc_b(a!(s))),
            Op::Rev8 => set!(s, a!(s).swap_bytes()),
            Op::Bclr => set!(s, a!(s) & !(1 << (b!(s) & 63))),
            Op::Bclri => set!(s, a!(s) & !(1 << (s.imm & 63))),
            Op::Bext => set!(s, a!(s) >> (b!(s) & 63) & 1),
            Op::Bexti => set!(s, a!(s) >> (s.imm & 63) & 1),
            Op::Binv => set!(s, a!(s) ^ 1 << (b!(s) & 63)),
            Op::Binvi => set!(s, a!(s) ^ 1 << (s.imm & 63)),
            Op::Bset => set!(s, a!(s) | 1 << (b!(s) & 63)),
            Op::Bseti => set!(s, a!(s) | 1 << (s.imm & 63)),
            Op::CzeroEqz => set!(s, if b!(s) == 0 { 0 } else { a!(s) }),
            Op::CzeroNez => set!(s, if b!(s) == 0 { a!(s) } else { 0 }),
            Op::Fence | Op::FenceI => next!(s),
            Op::CboZero if zero => {
                let address = x.get(s.rs1) & !(BLOCK_BYTES as u64 - 1);
                let entry = &write[slot(address)];
                if address & PAGE_MASK != entry.tag {
                    leave!(Slow(*s))
                }
                let place = address.wrapping_add(entry.delta) as usize;
                let Some(block) = ram.get_mut(place..).and_then(|bytes| bytes.first_chunk_mut()) else {
                    leave!(Slow(*s))
                };
                *block = [0u8; BLOCK_BYTES];
                next!(s)
            }
            Op::Illegal => leave!(Lost),
            Op::Flw if float => {
                x.f[usize::from(s.rd & 31)] = nan_box_low(fetch!(s, u32).into());
                next!(s)
            }
            Op::Fld if float => {
                x.f[usize::from(s.rd & 31)] = fetch!(s, u64);
                next!(s)
            }
            Op::Flh if float => {
                x.f[usize::from(s.rd & 31)] = nan_box_half(fetch!(s, u16).into());
                next!(s)
            }
            Op::Fsh if float => store!(s, u16, x.f[usize::from(s.rs2 & 31)]),
            Op::Fsw if float => store!(s, u32, x.f[usize::from(s.rs2 & 31)]),
            Op::Fsd if float => store!(s, u64, x.f[usize::from(s.rs2 & 31)]),
            op if float && op > Op::Flw && compute(x, fcsr, *s).is_some() => next!(s),
            _ => leave!(Slow(*s)),
        }
    }
    leave!(Spent)
}
