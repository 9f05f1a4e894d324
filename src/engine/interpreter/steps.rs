//! What instructions do, one function each for the short and the long encoding.

use super::code::HALFWORDS;
use super::{Core, Exit, FLOAT_OFF, NO_JUMP, Slot};
use crate::engine::BLOCK_BYTES;
use crate::engine::alu::{
    div, divu, divuw, divw, low, mulh, mulhsu, mulhu, orc_b, rem, remu, remuw, remw, sext32,
};
use crate::engine::float::{compute_dirty, nan_box_half, nan_box_low};
use crate::engine::regs::Regs;
use crate::engine::tlb::{Kind, PAGE_MASK, slot};
use crate::isa::Op;
use crate::isa::float::Flags;
use crate::isa::float::fast::{HOST_IS_IEEE, Host};
use crate::isa::float::format::{F32, F64, Format};
use crate::mem::PAGE_BYTES;

/// Executes the instruction of a slot, then those of the slots behind it, while there are any. The number is how many
/// instructions are left when the run that it is in has been executed to its end.
pub type Step = for<'a> fn(&mut Regs, &mut Core<'a>, &Slot, &'a [Slot], i64) -> Exit;

/// An instruction that does not jump.
trait Plain {
    /// Executes it, or nothing of it, when it needs more than the interpreter has. `behind` is how many slots there
    /// are behind it.
    fn execute(x: &mut Regs, core: &mut Core<'_>, s: &Slot, behind: usize) -> bool;
}

/// When a branch is taken.
trait Condition {
    fn holds(a: u64, b: u64) -> bool;
}

impl Core<'_> {
    /// The place of the slot that has so many `behind` it.
    #[inline(always)]
    fn at(&self, behind: usize) -> usize {
        self.given.len().wrapping_sub(behind + 1)
    }

    /// The address of the instruction.
    #[inline(always)]
    fn pc(&self, behind: usize) -> u64 {
        self.page.wrapping_add(2 * self.at(behind) as u64)
    }
}

/// The instruction at `at` of the run is not executed.
#[cold]
#[inline(never)]
fn off(core: &mut Core<'_>, at: usize, left: i64) -> Exit {
    core.at = at;
    core.left = left + core.slots.runs.get(at).map_or(0, |&run| run.into());
    Exit::Off
}

#[cold]
#[inline(never)]
fn leave_slow(core: &mut Core<'_>, behind: usize, left: i64) -> Exit {
    off(core, core.at(behind), left);
    Exit::Slow
}

/// No instruction is known here, unless it is on the next page.
pub fn nothing<'a>(x: &mut Regs, core: &mut Core<'a>, _: &Slot, tail: &'a [Slot], left: i64) -> Exit {
    let at = core.at(tail.len());
    if at >= HALFWORDS {
        return jumped(x, core, at, left);
    }
    (core.at, core.left) = (at, left);
    Exit::Lost
}

/// It needs more than the interpreter has.
fn slow<'a>(_: &mut Regs, core: &mut Core<'a>, _: &Slot, tail: &'a [Slot], left: i64) -> Exit {
    leave_slow(core, tail.len(), left)
}

/// The last of a run that does not jump by itself.
#[cold]
pub fn last<'a>(x: &mut Regs, core: &mut Core<'a>, s: &Slot, tail: &'a [Slot], left: i64) -> Exit {
    core.given = &core.given[..=core.at(tail.len())];
    let exit = step_of(s.op, s.len, s.rm())(x, core, s, &[], left - NO_JUMP);
    core.left += NO_JUMP;
    if exit != Exit::Off {
        return exit;
    }
    // What follows is another run.
    let (at, run) = (core.at, core.slots.runs.get(core.at).map_or(0, |&run| i64::from(run)));
    core.given = &core.slots.slots;
    core.left -= run;
    if core.left >= run { enter(x, core, at, core.left) } else { exit }
}

/// On to the next instruction, `LEN` halfwords further.
#[inline(always)]
fn next<'a, const LEN: usize>(x: &mut Regs, core: &mut Core<'a>, tail: &'a [Slot], left: i64) -> Exit {
    match tail.split_at_checked(LEN - 1) {
        Some((_, [s, tail @ ..])) => (s.step)(x, core, s, tail, left),
        _ => off(core, core.at(tail.len()) + LEN, left),
    }
}

/// On to the instruction at `at`, the first of its run; to the end of the page, too.
#[inline(always)]
fn enter<'a>(x: &mut Regs, core: &mut Core<'a>, at: usize, left: i64) -> Exit {
    let given = core.given;
    if at < given.len()
        && let Some(&run) = core.slots.runs.get(at)
        && left >= i64::from(run)
    {
        let s = &given[at];
        return (s.step)(x, core, s, &given[at + 1..], left - i64::from(run));
    }
    jumped(x, core, at, left)
}

#[cold]
#[inline(never)]
fn jumped<'a>(x: &mut Regs, core: &mut Core<'a>, at: usize, left: i64) -> Exit {
    if at >= HALFWORDS {
        return leap(x, core, core.page.wrapping_add_signed(2 * at as i64), left);
    }
    (core.at, core.left) = (at, left);
    Exit::Jumped
}

/// On to another page.
#[inline(never)]
fn leap<'a>(x: &mut Regs, core: &mut Core<'a>, target: u64, left: i64) -> Exit {
    let at = (target & !PAGE_MASK) as usize / 2;
    core.page = target & PAGE_MASK;
    let entry = &core.fetch[slot(target)];
    if entry.tag == core.page
        && let Some(slots) = core.code.slots(entry.delta)
    {
        core.slots = slots;
        core.given = &slots.slots;
        return enter(x, core, at, left);
    }
    (core.at, core.left) = (at, left);
    Exit::Lost
}

fn plain<'a, P: Plain, const LEN: usize>(
    x: &mut Regs,
    core: &mut Core<'a>,
    s: &Slot,
    tail: &'a [Slot],
    left: i64,
) -> Exit {
    if !P::execute(x, core, s, tail.len()) {
        return leave_slow(core, tail.len(), left);
    }
    next::<LEN>(x, core, tail, left)
}

fn branch<'a, C: Condition, const LEN: usize>(
    x: &mut Regs,
    core: &mut Core<'a>,
    s: &Slot,
    tail: &'a [Slot],
    left: i64,
) -> Exit {
    if C::holds(x.get(s.rs1), x.get(s.rs2)) {
        // The rest of this run is not executed.
        let target = core.at(tail.len()).wrapping_add_signed(s.imm.into());
        enter(x, core, target, left + i64::from(s.aux))
    } else {
        next::<LEN>(x, core, tail, left)
    }
}

fn jal<'a, const LEN: usize>(
    x: &mut Regs,
    core: &mut Core<'a>,
    s: &Slot,
    tail: &'a [Slot],
    left: i64,
) -> Exit {
    x.set(s.rd, core.pc(tail.len()).wrapping_add(2 * LEN as u64));
    enter(x, core, core.at(tail.len()).wrapping_add_signed(s.wide() as isize), left)
}

fn jalr<'a, const LEN: usize>(
    x: &mut Regs,
    core: &mut Core<'a>,
    s: &Slot,
    tail: &'a [Slot],
    left: i64,
) -> Exit {
    let target = x.get(s.rs1).wrapping_add(s.imm as i64 as u64) & !1;
    x.set(s.rd, core.pc(tail.len()).wrapping_add(2 * LEN as u64));
    if target & PAGE_MASK == core.page {
        enter(x, core, (target & !PAGE_MASK) as usize / 2, left)
    } else {
        leap(x, core, target, left)
    }
}

/// Instructions that compute `rd` from `rs1`, `rs2` and the immediate.
macro_rules! values {
    ($($op:ident($a:ident, $b:ident, $imm:ident) $value:expr;)*) => {
        $(
            struct $op;
            impl Plain for $op {
                #[inline(always)]
                fn execute(x: &mut Regs, _: &mut Core<'_>, s: &Slot, _: usize) -> bool {
                    let ($a, $b, $imm) = (x.get(s.rs1), x.get(s.rs2), s.imm as i64 as u64);
                    x.set(s.rd, $value);
                    true
                }
            }
        )*
        fn value_step(op: Op, len: u8) -> Option<Step> {
            Some(match op {
                $(Op::$op => plain_of::<$op>(len),)*
                _ => return None,
            })
        }
    };
}

values! {
    Addi(a, _b, imm) a.wrapping_add(imm);
    Slti(a, _b, imm) u64::from((a as i64) < imm as i64);
    Sltiu(a, _b, imm) u64::from(a < imm);
    Xori(a, _b, imm) a ^ imm;
    Ori(a, _b, imm) a | imm;
    Andi(a, _b, imm) a & imm;
    Slli(a, _b, imm) a << (imm & 63);
    Srli(a, _b, imm) a >> (imm & 63);
    Srai(a, _b, imm) (a as i64 >> (imm & 63)) as u64;
    Add(a, b, _imm) a.wrapping_add(b);
    Sub(a, b, _imm) a.wrapping_sub(b);
    Sll(a, b, _imm) a << (b & 63);
    Slt(a, b, _imm) u64::from((a as i64) < b as i64);
    Sltu(a, b, _imm) u64::from(a < b);
    Xor(a, b, _imm) a ^ b;
    Srl(a, b, _imm) a >> (b & 63);
    Sra(a, b, _imm) (a as i64 >> (b & 63)) as u64;
    Or(a, b, _imm) a | b;
    And(a, b, _imm) a & b;
    Addiw(a, _b, imm) sext32((a as u32).wrapping_add(imm as u32));
    Slliw(a, _b, imm) sext32((a as u32) << (imm & 31));
    Srliw(a, _b, imm) sext32(a as u32 >> (imm & 31));
    Sraiw(a, _b, imm) (a as i32 >> (imm & 31)) as u64;
    Addw(a, b, _imm) sext32((a as u32).wrapping_add(b as u32));
    Subw(a, b, _imm) sext32((a as u32).wrapping_sub(b as u32));
    Sllw(a, b, _imm) sext32((a as u32) << (b & 31));
    Srlw(a, b, _imm) sext32(a as u32 >> (b & 31));
    Sraw(a, b, _imm) (a as i32 >> (b & 31)) as u64;
    Mul(a, b, _imm) a.wrapping_mul(b);
    Mulh(a, b, _imm) mulh(a, b);
    Mulhsu(a, b, _imm) mulhsu(a, b);
    Mulhu(a, b, _imm) mulhu(a, b);
    Div(a, b, _imm) div(a, b);
    Divu(a, b, _imm) divu(a, b);
    Rem(a, b, _imm) rem(a, b);
    Remu(a, b, _imm) remu(a, b);
    Mulw(a, b, _imm) sext32((a as u32).wrapping_mul(b as u32));
    Divw(a, b, _imm) divw(a, b);
    Divuw(a, b, _imm) divuw(a, b);
    Remw(a, b, _imm) remw(a, b);
    Remuw(a, b, _imm) remuw(a, b);
    AddUw(a, b, _imm) low(a).wrapping_add(b);
    Sh1add(a, b, _imm) (a << 1).wrapping_add(b);
    Sh2add(a, b, _imm) (a << 2).wrapping_add(b);
    Sh3add(a, b, _imm) (a << 3).wrapping_add(b);
    Sh1addUw(a, b, _imm) (low(a) << 1).wrapping_add(b);
    Sh2addUw(a, b, _imm) (low(a) << 2).wrapping_add(b);
    Sh3addUw(a, b, _imm) (low(a) << 3).wrapping_add(b);
    SlliUw(a, _b, imm) low(a) << (imm & 63);
    Andn(a, b, _imm) a & !b;
    Orn(a, b, _imm) a | !b;
    Xnor(a, b, _imm) !(a ^ b);
    Clz(a, _b, _imm) a.leading_zeros().into();
    Clzw(a, _b, _imm) (a as u32).leading_zeros().into();
    Ctz(a, _b, _imm) a.trailing_zeros().into();
    Ctzw(a, _b, _imm) (a as u32).trailing_zeros().into();
    Cpop(a, _b, _imm) a.count_ones().into();
    Cpopw(a, _b, _imm) (a as u32).count_ones().into();
    Max(a, b, _imm) (a as i64).max(b as i64) as u64;
    Maxu(a, b, _imm) a.max(b);
    Min(a, b, _imm) (a as i64).min(b as i64) as u64;
    Minu(a, b, _imm) a.min(b);
    SextB(a, _b, _imm) a as i8 as u64;
    SextH(a, _b, _imm) a as i16 as u64;
    ZextH(a, _b, _imm) (a as u16).into();
    Rol(a, b, _imm) a.rotate_left(b as u32 & 63);
    Rolw(a, b, _imm) sext32((a as u32).rotate_left(b as u32 & 31));
    Ror(a, b, _imm) a.rotate_right(b as u32 & 63);
    Rori(a, _b, imm) a.rotate_right(imm as u32 & 63);
    Roriw(a, _b, imm) sext32((a as u32).rotate_right(imm as u32 & 31));
    Rorw(a, b, _imm) sext32((a as u32).rotate_right(b as u32 & 31));
    OrcB(a, _b, _imm) orc_b(a);
    Rev8(a, _b, _imm) a.swap_bytes();
    Bclr(a, b, _imm) a & !(1 << (b & 63));
    Bclri(a, _b, imm) a & !(1 << (imm & 63));
    Bext(a, b, _imm) a >> (b & 63) & 1;
    Bexti(a, _b, imm) a >> (imm & 63) & 1;
    Binv(a, b, _imm) a ^ 1 << (b & 63);
    Binvi(a, _b, imm) a ^ 1 << (imm & 63);
    Bset(a, b, _imm) a | 1 << (b & 63);
    Bseti(a, _b, imm) a | 1 << (imm & 63);
    CzeroEqz(a, b, _imm) if b == 0 { 0 } else { a };
    CzeroNez(a, b, _imm) if b == 0 { a } else { 0 };
}

struct Lui;
impl Plain for Lui {
    #[inline(always)]
    fn execute(x: &mut Regs, _: &mut Core<'_>, s: &Slot, _: usize) -> bool {
        x.set(s.rd, s.wide() as u64);
        true
    }
}

struct Auipc;
impl Plain for Auipc {
    #[inline(always)]
    fn execute(x: &mut Regs, core: &mut Core<'_>, s: &Slot, behind: usize) -> bool {
        x.set(s.rd, core.pc(behind).wrapping_add_signed(s.wide().into()));
        true
    }
}

struct Nop;
impl Plain for Nop {
    #[inline(always)]
    fn execute(_: &mut Regs, _: &mut Core<'_>, _: &Slot, _: usize) -> bool {
        true
    }
}

impl Core<'_> {
    /// The bytes of an access, aligned or not, on a page that the cache knows.
    #[cold]
    #[inline(never)]
    fn known<const BYTES: usize>(&mut self, kind: Kind, address: u64) -> Option<&mut [u8; BYTES]> {
        let entry = &self.data[kind as usize][slot(address)];
        if address & PAGE_MASK != entry.tag || (address & !PAGE_MASK) as usize + BYTES > PAGE_BYTES {
            return None;
        }
        self.ram.get_mut(address.wrapping_add(entry.delta) as usize..)?.first_chunk_mut()
    }
}

/// The bytes of an access of `$bytes` bytes, if the cache knows its page: found at once, if it is aligned.
macro_rules! bytes {
    ($x:ident, $core:ident, $s:ident, $kind:ident, $bytes:ident) => {{
        let address = $x.get($s.rs1).wrapping_add($s.imm as i64 as u64);
        let entry = &$core.data[Kind::$kind as usize][slot(address)];
        let bytes = if address & (PAGE_MASK | ($bytes as u64 - 1)) == entry.tag {
            let place = address.wrapping_add(entry.delta) as usize;
            $core.ram.as_chunks_mut::<$bytes>().0.get_mut(place / $bytes)
        } else {
            $core.known(Kind::$kind, address)
        };
        let Some(bytes) = bytes else { return false };
        bytes
    }};
}

macro_rules! fetch {
    ($x:ident, $core:ident, $s:ident, $unsigned:ty) => {{
        const BYTES: usize = size_of::<$unsigned>();
        <$unsigned>::from_le_bytes(*bytes!($x, $core, $s, Read, BYTES))
    }};
}

/// Loads, and what becomes of what they have fetched.
macro_rules! loads {
    ($($op:ident($x:ident, $s:ident, $value:ident: $unsigned:ty, $float:literal) $done:expr;)*) => {
        $(
            struct $op;
            impl Plain for $op {
                #[inline(always)]
                fn execute($x: &mut Regs, core: &mut Core<'_>, $s: &Slot, _: usize) -> bool {
                    if $float && core.float & FLOAT_OFF != 0 {
                        return false;
                    }
                    let $value = fetch!($x, core, $s, $unsigned);
                    $done;
                    true
                }
            }
        )*
    };
}

loads! {
    Lb(x, s, value: u8, false) x.set(s.rd, value as i8 as u64);
    Lh(x, s, value: u16, false) x.set(s.rd, value as i16 as u64);
    Lw(x, s, value: u32, false) x.set(s.rd, sext32(value));
    Ld(x, s, value: u64, false) x.set(s.rd, value);
    Lbu(x, s, value: u8, false) x.set(s.rd, value.into());
    Lhu(x, s, value: u16, false) x.set(s.rd, value.into());
    Lwu(x, s, value: u32, false) x.set(s.rd, value.into());
    Flh(x, s, value: u16, true) x.f[usize::from(s.rd & 31)] = nan_box_half(value.into());
    Flw(x, s, value: u32, true) x.f[usize::from(s.rd & 31)] = nan_box_low(value.into());
    Fld(x, s, value: u64, true) x.f[usize::from(s.rd & 31)] = value;
}

macro_rules! stores {
    ($($op:ident($x:ident, $s:ident, $unsigned:ty, $float:literal) $value:expr;)*) => {
        $(
            struct $op;
            impl Plain for $op {
                #[inline(always)]
                fn execute($x: &mut Regs, core: &mut Core<'_>, $s: &Slot, _: usize) -> bool {
                    const BYTES: usize = size_of::<$unsigned>();
                    if $float && core.float & FLOAT_OFF != 0 {
                        return false;
                    }
                    *bytes!($x, core, $s, Write, BYTES) = ($value as $unsigned).to_le_bytes();
                    true
                }
            }
        )*
    };
}

stores! {
    Sb(x, s, u8, false) x.get(s.rs2);
    Sh(x, s, u16, false) x.get(s.rs2);
    Sw(x, s, u32, false) x.get(s.rs2);
    Sd(x, s, u64, false) x.get(s.rs2);
    Fsh(x, s, u16, true) x.f[usize::from(s.rs2 & 31)];
    Fsw(x, s, u32, true) x.f[usize::from(s.rs2 & 31)];
    Fsd(x, s, u64, true) x.f[usize::from(s.rs2 & 31)];
}

struct CboZero;
impl Plain for CboZero {
    #[inline(always)]
    fn execute(x: &mut Regs, core: &mut Core<'_>, s: &Slot, _: usize) -> bool {
        if !core.zero {
            return false;
        }
        let Some(block) = core.known(Kind::Write, x.get(s.rs1) & !(BLOCK_BYTES as u64 - 1)) else {
            return false;
        };
        *block = [0u8; BLOCK_BYTES];
        true
    }
}

macro_rules! conditions {
    ($($op:ident($a:ident, $b:ident) $holds:expr;)*) => {
        $(
            struct $op;
            impl Condition for $op {
                #[inline(always)]
                fn holds($a: u64, $b: u64) -> bool {
                    $holds
                }
            }
        )*
    };
}

conditions! {
    Beq(a, b) a == b;
    Bne(a, b) a != b;
    Blt(a, b) (a as i64) < b as i64;
    Bge(a, b) a as i64 >= b as i64;
    Bltu(a, b) a < b;
    Bgeu(a, b) a >= b;
}

/// Floating point, by [`compute_dirty`].
struct Float;
impl Plain for Float {
    #[inline(always)]
    fn execute(x: &mut Regs, core: &mut Core<'_>, s: &Slot, _: usize) -> bool {
        compute(x, core, s)
    }
}

#[inline(never)]
fn compute(x: &mut Regs, core: &mut Core<'_>, s: &Slot) -> bool {
    let mut fcsr = core.float as u8;
    let done = core.float & FLOAT_OFF == 0 && compute_dirty(x, &mut fcsr, *s);
    core.float |= u16::from(fcsr);
    done
}

/// In [`Core::float`]: floating point is on, `frm` is to nearest-even, and a result has been inexact. Then the host's
/// result is the guest's, and nothing else is to be known of it, if it is certain as [`crate::isa::float::fast`] says.
const CERTAIN: (u16, u16) = (FLOAT_OFF | 0xe0 | Flags::NX as u16, Flags::NX as u16);
/// Floating point is on.
const ON: (u16, u16) = (FLOAT_OFF, 0);

const SIGN: u64 = F64::SIGN;

#[inline(always)]
fn double(x: &Regs, n: u8) -> f64 {
    f64::from_bits(x.f[usize::from(n & 31)])
}

/// The single in a register, if it is boxed.
#[inline(always)]
fn single(x: &Regs, n: u8) -> Option<f32> {
    let bits = x.f[usize::from(n & 31)];
    (bits >= nan_box_low(0)).then_some(f32::from_bits(bits as u32))
}

/// What is larger than the least normal number, and finite.
#[inline(always)]
fn certain_double(value: f64) -> Option<u64> {
    let magnitude = value.to_bits() & !SIGN;
    (magnitude > F64::MIN_NORMAL && magnitude < F64::INFINITY).then_some(value.to_bits())
}

#[inline(always)]
fn certain_single(value: f32) -> Option<u64> {
    let magnitude = u64::from(value.to_bits()) & !F32::SIGN;
    (magnitude > F32::MIN_NORMAL && magnitude < F32::INFINITY).then_some(nan_box_low(value.to_bits().into()))
}

#[inline(always)]
fn bits(x: &Regs, n: u8) -> u64 {
    x.f[usize::from(n & 31)]
}

#[inline(always)]
fn put_float(x: &mut Regs, rd: u8, value: u64) {
    x.f[usize::from(rd & 31)] = value;
}

/// Floating point, where the host's certainly gives the same; else by [`compute_dirty`]. What is computed goes by
/// `$put` to the register `rd`, floating-point or integer.
macro_rules! floats {
    ($($op:ident, $state:expr, $put:path, ($x:ident, $s:ident) $value:expr;)*) => {
        $(
            struct $op;
            impl Plain for $op {
                #[inline(always)]
                fn execute($x: &mut Regs, core: &mut Core<'_>, $s: &Slot, _: usize) -> bool {
                    #[inline(always)]
                    fn value($x: &Regs, $s: &Slot) -> Option<u64> {
                        $value
                    }
                    if HOST_IS_IEEE
                        && core.float & $state.0 == $state.1
                        && let Some(value) = value($x, $s)
                    {
                        $put($x, $s.rd, value);
                        return true;
                    }
                    compute($x, core, $s)
                }
            }
        )*
    };
}

floats! {
    FaddD, CERTAIN, put_float, (x, s) certain_double(double(x, s.rs1) + double(x, s.rs2));
    FsubD, CERTAIN, put_float, (x, s) certain_double(double(x, s.rs1) - double(x, s.rs2));
    FmulD, CERTAIN, put_float, (x, s) certain_double(double(x, s.rs1) * double(x, s.rs2));
    FdivD, CERTAIN, put_float, (x, s) certain_double(double(x, s.rs1) / double(x, s.rs2));
    FsqrtD, CERTAIN, put_float, (x, s) certain_double(double(x, s.rs1).sqrt());
    FmaddD, CERTAIN, put_float, (x, s)
        certain_double(F64::fused(double(x, s.rs1), double(x, s.rs2), double(x, s.rs3()))?);
    FmsubD, CERTAIN, put_float, (x, s)
        certain_double(F64::fused(double(x, s.rs1), double(x, s.rs2), -double(x, s.rs3()))?);
    FnmsubD, CERTAIN, put_float, (x, s)
        certain_double(F64::fused(-double(x, s.rs1), double(x, s.rs2), double(x, s.rs3()))?);
    FnmaddD, CERTAIN, put_float, (x, s)
        certain_double(F64::fused(-double(x, s.rs1), double(x, s.rs2), -double(x, s.rs3()))?);
    FaddS, CERTAIN, put_float, (x, s) certain_single(single(x, s.rs1)? + single(x, s.rs2)?);
    FsubS, CERTAIN, put_float, (x, s) certain_single(single(x, s.rs1)? - single(x, s.rs2)?);
    FmulS, CERTAIN, put_float, (x, s) certain_single(single(x, s.rs1)? * single(x, s.rs2)?);
    FdivS, CERTAIN, put_float, (x, s) certain_single(single(x, s.rs1)? / single(x, s.rs2)?);
    FsqrtS, CERTAIN, put_float, (x, s) certain_single(single(x, s.rs1)?.sqrt());
    FmaddS, CERTAIN, put_float, (x, s)
        certain_single(F32::fused(single(x, s.rs1)?, single(x, s.rs2)?, single(x, s.rs3())?)?);
    FmsubS, CERTAIN, put_float, (x, s)
        certain_single(F32::fused(single(x, s.rs1)?, single(x, s.rs2)?, -single(x, s.rs3())?)?);
    FnmsubS, CERTAIN, put_float, (x, s)
        certain_single(F32::fused(-single(x, s.rs1)?, single(x, s.rs2)?, single(x, s.rs3())?)?);
    FnmaddS, CERTAIN, put_float, (x, s)
        certain_single(F32::fused(-single(x, s.rs1)?, single(x, s.rs2)?, -single(x, s.rs3())?)?);
    FcvtSD, CERTAIN, put_float, (x, s) certain_single(double(x, s.rs1) as f32);
    FsgnjD, ON, put_float, (x, s) Some(bits(x, s.rs1) & !SIGN | bits(x, s.rs2) & SIGN);
    FsgnjnD, ON, put_float, (x, s) Some(bits(x, s.rs1) & !SIGN | !bits(x, s.rs2) & SIGN);
    FsgnjxD, ON, put_float, (x, s) Some(bits(x, s.rs1) ^ bits(x, s.rs2) & SIGN);
    FmvDX, ON, put_float, (x, s) Some(x.get(s.rs1));
    FmvWX, ON, put_float, (x, s) Some(nan_box_low(x.get(s.rs1) & 0xffff_ffff));
    // Whatever the rounding mode, there is nothing to round.
    FcvtDW, ON, put_float, (x, s) Some(f64::from(x.get(s.rs1) as i32).to_bits());
    FcvtDWu, ON, put_float, (x, s) Some(f64::from(x.get(s.rs1) as u32).to_bits());
    FcvtDS, ON, put_float, (x, s)
        single(x, s.rs1).filter(|value| !value.is_nan()).map(|value| f64::from(value).to_bits());
    FmvXD, ON, Regs::set, (x, s) Some(bits(x, s.rs1));
    FmvXW, ON, Regs::set, (x, s) Some(sext32(bits(x, s.rs1) as u32));
    FeqD, ON, Regs::set, (x, s) ordered(double(x, s.rs1), double(x, s.rs2)).map(|(a, b)| (a == b).into());
    FltD, ON, Regs::set, (x, s) ordered(double(x, s.rs1), double(x, s.rs2)).map(|(a, b)| (a < b).into());
    FleD, ON, Regs::set, (x, s) ordered(double(x, s.rs1), double(x, s.rs2)).map(|(a, b)| (a <= b).into());
    FeqS, ON, Regs::set, (x, s)
        ordered(single(x, s.rs1)?.into(), single(x, s.rs2)?.into()).map(|(a, b)| (a == b).into());
    FltS, ON, Regs::set, (x, s)
        ordered(single(x, s.rs1)?.into(), single(x, s.rs2)?.into()).map(|(a, b)| (a < b).into());
    FleS, ON, Regs::set, (x, s)
        ordered(single(x, s.rs1)?.into(), single(x, s.rs2)?.into()).map(|(a, b)| (a <= b).into());
}

/// Both, if none is a NaN.
#[inline(always)]
fn ordered(a: f64, b: f64) -> Option<(f64, f64)> {
    (!a.is_nan() && !b.is_nan()).then_some((a, b))
}

/// Steps for floating point with rounding mode `rm`, where the host may be asked.
fn float_step(op: Op, len: u8, rm: u8) -> Option<Step> {
    const DYNAMIC: u8 = 7;
    const RESERVED: u8 = 5;
    macro_rules! steps {
        ($($op:ident)*) => {
            match op {
                $(Op::$op => Some(plain_of::<$op>(len)),)*
                _ => None,
            }
        };
    }
    let rounded = || {
        steps!(FaddD FsubD FmulD FdivD FsqrtD FmaddD FmsubD FnmsubD FnmaddD
               FaddS FsubS FmulS FdivS FsqrtS FmaddS FmsubS FnmsubS FnmaddS FcvtSD)
    };
    let exact = || steps!(FcvtDW FcvtDWu FcvtDS);
    steps!(FsgnjD FsgnjnD FsgnjxD FmvDX FmvWX FmvXD FmvXW FeqD FltD FleD FeqS FltS FleS)
        .or_else(|| if rm == DYNAMIC { rounded() } else { None })
        .or_else(|| if rm < RESERVED { exact() } else { None })
}

fn plain_of<P: Plain>(len: u8) -> Step {
    if len == 1 { plain::<P, 1> } else { plain::<P, 2> }
}

fn branch_of<C: Condition>(len: u8) -> Step {
    if len == 1 { branch::<C, 1> } else { branch::<C, 2> }
}

/// What executes `op`, of `len` halfwords and with rounding mode `rm`.
pub fn step_of(op: Op, len: u8, rm: u8) -> Step {
    match op {
        Op::Illegal => nothing,
        Op::Lui => plain_of::<Lui>(len),
        Op::Auipc => plain_of::<Auipc>(len),
        Op::Jal => {
            if len == 1 {
                jal::<1>
            } else {
                jal::<2>
            }
        }
        Op::Jalr => {
            if len == 1 {
                jalr::<1>
            } else {
                jalr::<2>
            }
        }
        Op::Beq => branch_of::<Beq>(len),
        Op::Bne => branch_of::<Bne>(len),
        Op::Blt => branch_of::<Blt>(len),
        Op::Bge => branch_of::<Bge>(len),
        Op::Bltu => branch_of::<Bltu>(len),
        Op::Bgeu => branch_of::<Bgeu>(len),
        Op::Lb => plain_of::<Lb>(len),
        Op::Lh => plain_of::<Lh>(len),
        Op::Lw => plain_of::<Lw>(len),
        Op::Ld => plain_of::<Ld>(len),
        Op::Lbu => plain_of::<Lbu>(len),
        Op::Lhu => plain_of::<Lhu>(len),
        Op::Lwu => plain_of::<Lwu>(len),
        Op::Sb => plain_of::<Sb>(len),
        Op::Sh => plain_of::<Sh>(len),
        Op::Sw => plain_of::<Sw>(len),
        Op::Sd => plain_of::<Sd>(len),
        Op::Flh => plain_of::<Flh>(len),
        Op::Flw => plain_of::<Flw>(len),
        Op::Fld => plain_of::<Fld>(len),
        Op::Fsh => plain_of::<Fsh>(len),
        Op::Fsw => plain_of::<Fsw>(len),
        Op::Fsd => plain_of::<Fsd>(len),
        Op::Fence | Op::FenceI => plain_of::<Nop>(len),
        Op::CboZero => plain_of::<CboZero>(len),
        op if op > Op::Flw => float_step(op, len, rm).unwrap_or(plain_of::<Float>(len)),
        op => value_step(op, len).unwrap_or(slow),
    }
}
