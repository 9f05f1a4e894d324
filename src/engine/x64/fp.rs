//! Floating-point arithmetic on the host's SSE unit, where that gives the same bits and flags.
//!
//! - The guest's dynamic rounding mode is in MXCSR while translated code runs. An instruction that names rounding to
//!   nearest leaves unless that is the mode. Conversions to integers have the other static modes, too, by the host's
//!   instruction that rounds to an integer as it is told; what else names one, and RMM, which the host lacks,
//!   is not translated.
//! - Flags gather in MXCSR and are taken from there at the end of a run. Both detect tininess after rounding
//!   (Unprivileged spec 20.2; Intel 64 manual volume 1, 4.9.1.5).
//! - A NaN result becomes the canonical one, but not before it shows ([`Pending`]). A NaN from a fused
//!   multiply-add leaves before the instruction: the two differ on infinity times zero plus a quiet NaN.
//! - A conversion whose result is the host's "integer indefinite" leaves before the instruction.
//! - A single is in the low half of its register, and the upper half is all ones: scalar instructions of the
//!   host keep that of their first source. A source that is not boxed leaves before the instruction.

use std::mem::offset_of;

use super::asm::{
    Alu, Bit, Cond, Fma, FmaForm, Label, Logic, Mem, Precision, Reg, Shift, Sse, Width, Xmm, XmmRm,
};
use super::emit::{Emitter, Host};
use super::layout::{self, Frame, Why, cell};
use super::plan::{Plan, operands};
use crate::engine::float::{BOX, nan_box_low};
use crate::engine::planted::Planted;
use crate::isa::float::format::{F32, F64, Format};
use crate::isa::float::{loadable_f32, loadable_f64};
use crate::isa::{Insn, Op};

use Precision::{Double, Single};
use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// The `rm` of an instruction that rounds as `frm` says, of one that rounds to nearest, and of one that rounds
/// towards zero.
const DYNAMIC: u8 = 7;
const NEAREST: u8 = 0;
const TO_ZERO: u8 = 1;

/// Where MXCSR says how to round; 0 is to nearest.
const MXCSR_ROUNDING: i32 = 0x6000;

/// The canonical NaN, as it stands in a register.
const fn canonical_nan(precision: Precision) -> u64 {
    match precision {
        Single => nan_box_low(F32::NAN),
        Double => F64::NAN,
    }
}

const A: Xmm = Xmm(0);
const B: Xmm = Xmm(1);

/// Does the translator have this floating-point instruction?
pub fn translates(insn: &Insn, host: Host) -> bool {
    use Op::*;
    let rounds_as_host = insn.rm == DYNAMIC || insn.rm == NEAREST;
    match insn.op {
        Flw | Fld | Fsw | Fsd | FsgnjD | FsgnjnD | FsgnjxD | FeqD | FltD | FleD | FmvXD | FmvDX | FmvXW
        | FmvWX | FsgnjS | FsgnjnS | FsgnjxS | FeqS | FltS | FleS | FminS | FmaxS | FminD | FmaxD
        | FminmS | FmaxmS | FminmD | FmaxmD | FleqS | FltqS | FleqD | FltqD | FliS | FliD | FclassS
        | FclassD => true,
        // Exact, whatever the mode; but a reserved one is illegal.
        FcvtDW | FcvtDWu | FcvtDS => insn.rm <= 4 || insn.rm == DYNAMIC,
        FaddD | FsubD | FmulD | FdivD | FsqrtD | FcvtSD | FaddS | FsubS | FmulS | FdivS | FsqrtS => {
            rounds_as_host
        }
        FcvtDL | FcvtDLu | FcvtSW | FcvtSWu | FcvtSL | FcvtSLu => host_rounding(insn.rm).is_some(),
        FmaddD | FmsubD | FnmsubD | FnmaddD | FmaddS | FmsubS | FnmsubS | FnmaddS => {
            rounds_as_host && host.fma
        }
        FcvtWD | FcvtLD | FcvtWuD | FcvtLuD | FcvtWS | FcvtLS | FcvtWuS | FcvtLuS => {
            rounds_as_host || insn.rm == TO_ZERO || host_rounding(insn.rm).is_some() && host.fma
        }
        FroundS | FroundnxS | FroundD | FroundnxD => host_rounding(insn.rm).is_some() && host.fma,
        _ => false,
    }
}

/// The host's number for the rounding mode `rm`, which is not dynamic; none where it has no such mode.
fn host_mode(rm: u8) -> Option<u8> {
    match rm {
        0 => Some(0),
        1 => Some(3),
        2 => Some(1),
        3 => Some(2),
        _ => None,
    }
}

/// What vroundsd's immediate says to round as `rm` says.
fn host_rounding(rm: u8) -> Option<u8> {
    if rm == DYNAMIC { Some(4) } else { host_mode(rm) }
}

/// The homes that may hold a NaN as the host computed it, bit by guest register. It computes on with such a
/// quiet NaN as with the canonical one: the results are NaNs again, and the same flags are raised. It must have
/// become canonical where its bits matter, and where a region is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    single: u32,
    double: u32,
}

/// What is known of the floating-point registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Floating point may run.
    checked: bool,
    /// MXCSR says to round to nearest.
    nearest: bool,
    /// Bit by register: its upper half is all ones.
    boxed: u32,
    /// None where a block begins.
    pub pending: Pending,
}

impl State {
    /// A value of `precision`, which is not a NaN of the host's, has become register `n`.
    fn write(&mut self, precision: Precision, n: u8) {
        let bit = 1 << n;
        self.pending.single &= !bit;
        self.pending.double &= !bit;
        match precision {
            Single => self.boxed |= bit,
            Double => self.boxed &= !bit,
        }
    }

    /// The same, if it may be a NaN of the host's.
    fn compute(&mut self, precision: Precision, n: u8) {
        self.write(precision, n);
        match precision {
            Single => self.pending.single |= 1 << n,
            Double => self.pending.double |= 1 << n,
        }
    }

    /// What is known behind `insn`, which was executed where this was. Without what is pending.
    fn follow(&mut self, insn: &Insn, host: Host) {
        if insn.op < Op::Flw {
            return;
        }
        let [rd, sources @ ..] = operands(insn).f;
        self.checked = true;
        self.nearest |= needs_nearest(insn, host);
        if takes_singles(insn.op) {
            self.boxed = sources.into_iter().flatten().fold(self.boxed, |boxed, n| boxed | 1 << n);
        }
        let is_boxed = match insn.op {
            Op::FsgnjD if insn.rs1 == insn.rs2 => self.boxed & 1 << insn.rs1 != 0,
            op => gives_single(op),
        };
        if let Some(rd) = rd {
            self.write(if is_boxed { Single } else { Double }, rd);
        }
    }

    /// Does what is known here include `other`?
    fn includes(self, other: Self) -> bool {
        self.checked >= other.checked && self.nearest >= other.nearest && other.boxed & !self.boxed == 0
    }

    /// What is known where both this and `other` lead. Whether that is less than this.
    fn meet(&mut self, other: Self) -> bool {
        let before = *self;
        self.checked &= other.checked;
        self.nearest &= other.nearest;
        self.boxed &= other.boxed;
        *self != before
    }
}

/// By block of `plan`: what is known where it begins, whichever way within the region leads there.
pub fn flow(plan: &Plan, host: Host) -> Vec<State> {
    let mut found: Vec<Option<State>> = vec![None; plan.blocks.len()];
    // From outside nothing is known.
    let mut work: Vec<_> = plan.entries.iter().map(|(_, block)| (*block, State::default())).collect();
    if plan.insns_of(0..plan.blocks.len()).all(|insn| insn.op < Op::Flw) {
        work.clear();
    }
    while let Some((index, mut state)) = work.pop() {
        plan.insns(index).iter().for_each(|(_, insn)| state.follow(insn, host));
        state.pending = Pending::default();
        for next in plan.blocks[index].ways.into_iter().flatten() {
            let is_new = found[next].is_none();
            let known = found[next].get_or_insert(state);
            if known.meet(state) || is_new {
                work.push((next, *known));
            }
        }
    }
    found.into_iter().map(Option::unwrap_or_default).collect()
}

/// What is done out of the common path, which then goes on at `back`.
pub enum Fixup {
    /// Of one or two values at least one is a NaN.
    Nan { label: Label, back: Label, precision: Precision, values: [Option<Xmm>; 2] },
    /// `a` and `b` are equal, perhaps zeros of both signs, or unordered.
    Equal { label: Label, back: Label, unordered: Label, op: Logic, to: Xmm, a: Xmm, b: Xmm },
    /// `from` is 2^63 or more.
    Large { label: Label, back: Label, precision: Precision, to: Xmm, from: Reg },
    /// `home` becomes what it was, which is in xmm0, before it is left at `leave`.
    Restore { label: Label, home: Xmm, leave: Label },
}

impl Emitter<'_> {
    pub(super) fn float_home(&self, n: u8) -> Option<Xmm> {
        self.plan.float_homes[usize::from(n & 31)]
    }

    fn float_source(&self, n: u8) -> XmmRm {
        self.float_home(n).map_or(XmmRm::Mem(layout::f(n)), XmmRm::Xmm)
    }

    /// What is in register `n`, in `scratch` unless it has a home.
    fn get_float(&mut self, n: u8, scratch: Xmm) -> Xmm {
        match self.float_source(n) {
            XmmRm::Xmm(home) => home,
            XmmRm::Mem(mem) => {
                self.asm.load_double(scratch, mem);
                scratch
            }
        }
    }

    /// Where the result for register `n` is computed. Without AVX the first source of an operation is its
    /// destination, and must not be another's home.
    fn float_result(&self, n: u8) -> Xmm {
        self.float_home(n).filter(|_| self.host.fma).unwrap_or(A)
    }

    fn put_float(&mut self, n: u8, value: Xmm) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.mov_float(home, value),
            XmmRm::Mem(mem) => self.asm.store_double(mem, value),
        }
    }

    /// The bits of register `n` into `to`.
    pub(super) fn float_bits(&mut self, to: Reg, n: u8) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.bits_of_float(to, home),
            XmmRm::Mem(mem) => self.asm.mov(W64, to, mem),
        }
    }

    pub(super) fn put_float_bits(&mut self, n: u8, value: Reg) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.float_from_bits(home, value),
            XmmRm::Mem(mem) => self.asm.store(W64, mem, value),
        }
    }

    // ---- NaNs

    /// `value`, a NaN, becomes the canonical one. Clobbers rdx.
    fn put_nan(&mut self, precision: Precision, value: Xmm) {
        self.asm.mov_imm(Rdx, canonical_nan(precision));
        self.asm.float_from_bits(value, Rdx);
    }

    /// Of one or two values those that are NaNs become canonical. Clobbers rdx and the flags.
    fn settle_values(&mut self, precision: Precision, values: [Option<Xmm>; 2]) {
        let [Some(a), b] = values else { return };
        if Planted::NanKept.is_on() {
            return;
        }
        let (label, back) = (self.asm.label(), self.asm.label());
        // Unordered, if either is a NaN.
        self.asm.compare_float(precision, true, a, XmmRm::Xmm(b.unwrap_or(a)));
        self.asm.jcc(Cond::Parity, label);
        self.asm.bind(back);
        self.fixups.push(Fixup::Nan { label, back, precision, values });
    }

    /// Register `n` holds no NaN of the host's any more. One other is looked at for nothing.
    fn settle(&mut self, n: u8) {
        let Pending { single, double } = self.float.pending;
        for (precision, set) in [(Single, single), (Double, double)] {
            if set & 1 << n != 0 {
                let others = set & !(1 << n);
                let other = (others != 0).then_some(others.trailing_zeros() as u8);
                let values = [Some(n), other].map(|n| n.and_then(|n| self.float_home(n)));
                let left = others & others.wrapping_sub(1);
                match precision {
                    Single => self.float.pending.single = left,
                    Double => self.float.pending.double = left,
                }
                self.settle_values(precision, values);
            }
        }
    }

    /// No register holds a NaN of the host's any more.
    pub(super) fn settle_all(&mut self) {
        if self.float.pending == Pending::default() {
            return;
        }
        let Pending { single, double } = std::mem::take(&mut self.float.pending);
        for (precision, set) in [(Single, single), (Double, double)] {
            let mut homes = (0..32).filter(|n| set & 1 << n != 0).filter_map(|n| self.float_home(n));
            let homes: Vec<_> =
                std::iter::from_fn(|| homes.next().map(|home| [Some(home), homes.next()])).collect();
            for values in homes {
                self.settle_values(precision, values);
            }
        }
    }

    /// Block `index` may begin.
    pub(super) fn settle_for(&mut self, index: usize) {
        debug_assert!(self.float.includes(self.flow[index]));
        if Planted::NanCarried.is_on() {
            self.float.pending = Pending::default();
        }
        self.settle_all();
    }

    /// The same out of the common path. Clobbers rdx and the flags.
    pub(super) fn settle_cold(&mut self, pending: Pending) {
        if pending == Pending::default() || Planted::NanLeft.is_on() {
            return;
        }
        for (precision, set) in [(Single, pending.single), (Double, pending.double)] {
            for n in (0..32).filter(|n| set & 1 << n != 0) {
                if let Some(home) = self.float_home(n) {
                    self.settle_here(precision, home);
                }
            }
        }
    }

    fn settle_here(&mut self, precision: Precision, value: Xmm) {
        let good = self.asm.label();
        self.asm.compare_float(precision, true, value, XmmRm::Xmm(value));
        self.asm.jcc(Cond::NotParity, good);
        self.put_nan(precision, value);
        self.asm.bind(good);
    }

    /// What is done out of the common path.
    pub(super) fn fix_floats(&mut self) {
        for fixup in std::mem::take(&mut self.fixups) {
            match fixup {
                Fixup::Nan { label, back, precision, values: [a, b] } => {
                    self.asm.bind(label);
                    match (a, b) {
                        (Some(a), None) => self.put_nan(precision, a),
                        (Some(a), Some(_)) if Planted::SecondNanKept.is_on() => {
                            self.settle_here(precision, a)
                        }
                        _ => {
                            [a, b].into_iter().flatten().for_each(|value| self.settle_here(precision, value))
                        }
                    }
                    self.asm.jmp(back);
                }
                Fixup::Equal { label, back, unordered, op, to, a, b } => {
                    self.asm.bind(label);
                    self.asm.jcc(Cond::Parity, unordered);
                    self.asm.logic_float(op, to, a, b);
                    self.asm.jmp(back);
                }
                Fixup::Large { label, back, precision, to, from } => {
                    self.asm.bind(label);
                    // Half of it, and its last bit where it still decides how to round; then twice that.
                    self.asm.mov(W64, Rcx, from);
                    self.asm.mov(W32, Rdx, from);
                    self.asm.shift_imm(Shift::Right, W64, Rcx, 1);
                    self.asm.alu_imm(Alu::And, W32, Rdx, 1);
                    self.asm.alu(Alu::Or, W64, Rcx, Rdx);
                    self.asm.float_from_int(precision, W64, to, A, Rcx);
                    self.asm.arith_float(Sse::Add, precision, to, to, XmmRm::Xmm(to));
                    self.asm.jmp(back);
                }
                Fixup::Restore { label, home, leave } => {
                    self.asm.bind(label);
                    if !Planted::FusedNotRestored.is_on() {
                        self.asm.mov_float(home, A);
                    }
                    self.asm.jmp(leave);
                }
            }
        }
    }

    // ---- sources and results

    /// Registers `sources` are to be computed with.
    fn prepare(&mut self, precision: Precision, sources: &[u8]) {
        for &n in sources {
            let Pending { single, double } = self.float.pending;
            let others = if precision == Single { double } else { single };
            if others & 1 << n != 0 {
                self.settle(n);
            }
            if precision == Single && self.float.boxed & 1 << n == 0 && !Planted::UnboxedTaken.is_on() {
                self.must_be_boxed(n);
            }
        }
    }

    /// Leaves unless register `n` holds a single.
    fn must_be_boxed(&mut self, n: u8) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => {
                self.asm.bits_of_float(Rax, home);
                self.asm.shift_imm(Shift::Arithmetic, W64, Rax, 32);
                self.asm.alu_imm(Alu::Cmp, W32, Rax, -1);
            }
            XmmRm::Mem(mem) => self.asm.alu_imm(Alu::Cmp, W32, Mem { disp: mem.disp + 4, ..mem }, -1),
        }
        let slow = self.stub(Why::Slow);
        self.asm.jcc(Cond::NotEqual, slow);
        self.float.boxed |= 1 << n;
    }

    /// `value`, which may be a NaN of the host's, becomes register `rd`.
    fn computed(&mut self, precision: Precision, rd: u8, value: Xmm) {
        match self.float_home(rd) {
            Some(_) => {
                self.put_float(rd, value);
                self.float.compute(precision, rd);
            }
            None => {
                self.settle_values(precision, [Some(value), None]);
                self.put_float(rd, value);
                self.float.write(precision, rd);
            }
        }
    }

    /// `value`, which is canonical if it is a NaN, becomes register `rd`.
    fn written(&mut self, precision: Precision, rd: u8, value: Xmm) {
        self.put_float(rd, value);
        self.float.write(precision, rd);
    }

    /// Leaves unless floating point may run; and unless it rounds to nearest, where the instruction says that.
    fn may_run(&mut self, insn: &Insn) {
        if !std::mem::replace(&mut self.float.checked, true) && !Planted::FloatUnchecked.is_on() {
            self.asm.alu_imm(Alu::Cmp, W32, cell::FLOAT, 0);
            let slow = self.stub(Why::Slow);
            self.asm.jcc(Cond::Equal, slow);
        }
        if needs_nearest(insn, self.host)
            && !std::mem::replace(&mut self.float.nearest, true)
            && !Planted::NearestUnchecked.is_on()
        {
            self.asm.mov(W64, Rcx, cell::FRAME);
            self.asm.mov(W32, Rax, Mem::at(Rcx, offset_of!(Frame, mxcsr) as i32));
            self.asm.alu_imm(Alu::And, W32, Rax, MXCSR_ROUNDING);
            let slow = self.stub(Why::Slow);
            self.asm.jcc(Cond::NotEqual, slow);
        }
    }

    pub(super) fn float(&mut self, insn: &Insn) {
        let mut expected = self.float;
        self.emit_float(insn);
        expected.follow(insn, self.host);
        debug_assert!(self.float.includes(expected) && expected.includes(self.float), "{insn:?}");
    }

    fn emit_float(&mut self, insn: &Insn) {
        use Op::*;
        self.may_run(insn);
        match insn.op {
            Flw | Fld => {
                self.load_float(insn);
                self.float.write(if insn.op == Flw { Single } else { Double }, insn.rd);
            }
            Fsw | Fsd => {
                self.settle(insn.rs2);
                self.store_float(insn);
            }
            FaddS => self.arithmetic(insn, Single, Sse::Add),
            FsubS => self.arithmetic(insn, Single, Sse::Sub),
            FmulS => self.arithmetic(insn, Single, Sse::Mul),
            FdivS => self.arithmetic(insn, Single, Sse::Div),
            FsqrtS => self.root(insn, Single),
            FaddD => self.arithmetic(insn, Double, Sse::Add),
            FsubD => self.arithmetic(insn, Double, Sse::Sub),
            FmulD => self.arithmetic(insn, Double, Sse::Mul),
            FdivD => self.arithmetic(insn, Double, Sse::Div),
            FsqrtD => self.root(insn, Double),
            FmaddS => self.fused(insn, Single, Fma::Madd),
            FmsubS => self.fused(insn, Single, Fma::Msub),
            // -(a * b) + c, and -(a * b) - c: the host's names go by the sign of the product, too, but its
            // second one is called after the subtraction.
            FnmsubS => self.fused(insn, Single, Fma::Nmadd),
            FnmaddS => self.fused(insn, Single, Fma::Nmsub),
            FmaddD => self.fused(insn, Double, Fma::Madd),
            FmsubD => self.fused(insn, Double, Fma::Msub),
            FnmsubD => self.fused(insn, Double, Fma::Nmadd),
            FnmaddD => self.fused(insn, Double, Fma::Nmsub),
            FsgnjS | FsgnjnS | FsgnjxS => self.sign(insn, Single),
            FsgnjD | FsgnjnD | FsgnjxD => self.sign(insn, Double),
            FminS | FminmS => self.lesser(insn, Single, Sse::Min),
            FmaxS | FmaxmS => self.lesser(insn, Single, Sse::Max),
            FminD | FminmD => self.lesser(insn, Double, Sse::Min),
            FmaxD | FmaxmD => self.lesser(insn, Double, Sse::Max),
            FeqS => self.equal(insn, Single),
            FeqD => self.equal(insn, Double),
            FltS | FltqS => self.ordered(insn, Single, Cond::Above),
            FleS | FleqS => self.ordered(insn, Single, Cond::NotBelow),
            FltD | FltqD => self.ordered(insn, Double, Cond::Above),
            FleD | FleqD => self.ordered(insn, Double, Cond::NotBelow),
            FclassS => self.classify(insn, Single),
            FclassD => self.classify(insn, Double),
            FmvXD => {
                self.settle(insn.rs1);
                self.float_bits(Rax, insn.rs1);
                self.put(insn.rd, Rax);
            }
            FmvXW => {
                self.settle(insn.rs1);
                self.float_bits(Rax, insn.rs1);
                self.asm.load_narrow(4, true, Rax, Rax.into());
                self.put(insn.rd, Rax);
            }
            // A register that is cleared costs nothing.
            FmvDX if insn.rs1 == 0 => {
                self.asm.logic_float(Logic::Xor, A, A, A);
                self.written(Double, insn.rd, A);
            }
            FmvDX => {
                let from = self.get(insn.rs1, Rax);
                self.put_float_bits(insn.rd, from);
                self.float.write(Double, insn.rd);
            }
            FmvWX => {
                self.copy(W32, Rax, insn.rs1);
                self.asm.mov_imm(Rcx, BOX);
                self.asm.alu(Alu::Or, W64, Rax, Rcx);
                self.put_float_bits(insn.rd, Rax);
                self.float.write(Single, insn.rd);
            }
            FliS => self.constant(insn, Single, nan_box_low(loadable_f32(insn.imm as u8).into())),
            FliD => self.constant(insn, Double, loadable_f64(insn.imm as u8)),
            FcvtSD => {
                self.prepare(Double, &[insn.rs1]);
                let from = self.get_float(insn.rs1, B);
                self.ones(A);
                let to = self.float_result(insn.rd);
                self.asm.convert_float(Double, to, A, XmmRm::Xmm(from));
                self.computed(Single, insn.rd, to);
            }
            FcvtDS => {
                self.prepare(Single, &[insn.rs1]);
                let from = self.get_float(insn.rs1, A);
                let to = self.float_result(insn.rd);
                self.asm.convert_float(Single, to, from, XmmRm::Xmm(from));
                self.computed(Double, insn.rd, to);
            }
            FroundS | FroundnxS => self.round(insn, Single, insn.op == FroundnxS),
            FroundD | FroundnxD => self.round(insn, Double, insn.op == FroundnxD),
            FcvtSW | FcvtSWu | FcvtSL | FcvtSLu => self.int_to_float(insn, Single),
            FcvtDW | FcvtDWu | FcvtDL | FcvtDLu => self.int_to_float(insn, Double),
            FcvtWS => self.float_to_int(insn, Single, W32),
            FcvtLS => self.float_to_int(insn, Single, W64),
            FcvtWD => self.float_to_int(insn, Double, W32),
            FcvtLD => self.float_to_int(insn, Double, W64),
            // The greatest that is not too large.
            FcvtWuS => self.float_to_unsigned(insn, Single, 0x4f7f_ffff),
            FcvtLuS => self.float_to_unsigned(insn, Single, 0x5eff_ffff),
            FcvtWuD => self.float_to_unsigned(insn, Double, 0x41ef_ffff_ffe0_0000),
            _ => self.float_to_unsigned(insn, Double, 0x43df_ffff_ffff_ffff),
        }
    }

    /// The bit in al becomes guest register `rd`.
    fn put_bool(&mut self, rd: u8) {
        self.asm.load_narrow(1, false, Rax, Rax.into());
        self.put(rd, Rax);
    }

    /// What boxes a single that becomes the low half of `to`.
    fn ones(&mut self, to: Xmm) {
        if Planted::ConversionNotBoxed.is_on() {
            return self.asm.logic_float(Logic::Xor, to, to, to);
        }
        self.asm.ones(to);
    }

    fn arithmetic(&mut self, insn: &Insn, precision: Precision, op: Sse) {
        self.prepare(precision, &[insn.rs1, insn.rs2]);
        let a = self.get_float(insn.rs1, A);
        let b = self.float_source(insn.rs2);
        let to = self.float_result(insn.rd);
        self.asm.arith_float(op, precision, to, a, b);
        self.computed(precision, insn.rd, to);
    }

    fn root(&mut self, insn: &Insn, precision: Precision) {
        self.prepare(precision, &[insn.rs1]);
        let from = self.get_float(insn.rs1, A);
        let to = self.float_result(insn.rd);
        self.asm.arith_float(Sse::Sqrt, precision, to, from, XmmRm::Xmm(from));
        self.computed(precision, insn.rd, to);
    }

    fn round(&mut self, insn: &Insn, precision: Precision, inexact: bool) {
        self.prepare(precision, &[insn.rs1]);
        let from = self.get_float(insn.rs1, A);
        let to = self.float_result(insn.rd);
        let quiet = if inexact { 0 } else { 8 };
        self.asm.round_float(precision, to, from, host_rounding(insn.rm).unwrap_or(4) | quiet);
        self.computed(precision, insn.rd, to);
    }

    fn fused(&mut self, insn: &Insn, precision: Precision, op: Fma) {
        let (rd, rs1, rs2, rs3) = (insn.rd, insn.rs1, insn.rs2, insn.rs3);
        self.prepare(precision, &[rs1, rs2, rs3]);
        // Where the destination is a source, it is computed in place; what it was is kept until it proves good.
        let in_place = self.float_home(rd).filter(|_| [rs1, rs2, rs3].contains(&rd));
        let (to, form, b, c) = match in_place {
            Some(home) if rd == rs3 => (home, FmaForm::Form231, rs1, rs2),
            Some(home) if rd == rs1 => (home, FmaForm::Form213, rs2, rs3),
            Some(home) => (home, FmaForm::Form213, rs1, rs3),
            None => (A, FmaForm::Form213, rs2, rs3),
        };
        let kept = self.get_float(if in_place.is_some() { rd } else { rs1 }, A);
        self.asm.mov_float(A, kept);
        let b = self.get_float(b, B);
        let c = self.float_source(c);
        self.asm.fma_float(op, form, precision, to, b, c);
        let mut slow = self.stub(Why::Slow);
        if let Some(home) = in_place {
            let label = self.asm.label();
            self.fixups.push(Fixup::Restore { label, home, leave: slow });
            slow = label;
        }
        if !Planted::FusedNanKept.is_on() {
            self.asm.compare_float(precision, true, to, XmmRm::Xmm(to));
            self.asm.jcc(Cond::Parity, slow);
        }
        self.written(precision, rd, to);
    }

    /// fmin and fmax. A NaN leaves before the instruction.
    fn lesser(&mut self, insn: &Insn, precision: Precision, op: Sse) {
        self.prepare(precision, &[insn.rs1, insn.rs2]);
        let a = self.get_float(insn.rs1, A);
        let b = self.get_float(insn.rs2, B);
        let to = self.float_result(insn.rd);
        // The host takes the second of two zeros, whatever their signs, and calls quiet NaNs invalid.
        let (label, back) = (self.asm.label(), self.asm.label());
        self.asm.compare_float(precision, true, a, XmmRm::Xmm(b));
        if !Planted::ZerosAlike.is_on() {
            self.asm.jcc(Cond::Equal, label);
        }
        self.asm.arith_float(op, precision, to, a, XmmRm::Xmm(b));
        self.asm.bind(back);
        let unordered = self.stub(Why::Slow);
        let op = if op == Sse::Min { Logic::Or } else { Logic::And };
        self.fixups.push(Fixup::Equal { label, back, unordered, op, to, a, b });
        self.written(precision, insn.rd, to);
    }

    fn equal(&mut self, insn: &Insn, precision: Precision) {
        self.prepare(precision, &[insn.rs1, insn.rs2]);
        let a = self.get_float(insn.rs1, A);
        let b = self.float_source(insn.rs2);
        self.asm.compare_float(precision, true, a, b);
        self.asm.set(Cond::NotParity, Rax);
        self.asm.set(Cond::Equal, Rcx);
        self.asm.alu(Alu::And, W32, Rax, Rcx);
        self.put_bool(insn.rd);
    }

    /// `cond` of rs2 against rs1. Unordered sets the carry, so "above" is false for it.
    fn ordered(&mut self, insn: &Insn, precision: Precision, cond: Cond) {
        self.prepare(precision, &[insn.rs1, insn.rs2]);
        let b = self.get_float(insn.rs2, A);
        let a = self.float_source(insn.rs1);
        let quiet = matches!(insn.op, Op::FltqS | Op::FleqS | Op::FltqD | Op::FleqD);
        self.asm.compare_float(precision, quiet || Planted::ComparisonQuiet.is_on(), b, a);
        self.asm.set(cond, Rax);
        self.put_bool(insn.rd);
    }

    /// fclass. A NaN leaves before the instruction.
    fn classify(&mut self, insn: &Insn, precision: Precision) {
        self.prepare(precision, &[insn.rs1]);
        let (width, infinity, least) = match precision {
            Single => (W32, F32::INFINITY << 1, F32::MIN_NORMAL << 1),
            Double => (W64, F64::INFINITY << 1, F64::MIN_NORMAL << 1),
        };
        let (found, positive) = (self.asm.label(), self.asm.label());
        // Without the sign, which is in the carry: how many places from the infinity of its sign is its class?
        self.float_bits(Rdx, insn.rs1);
        self.asm.alu(Alu::Add, width, Rdx, Rdx);
        self.asm.mov_imm(Rcx, infinity);
        self.asm.alu(Alu::Cmp, width, Rdx, Rcx);
        let slow = self.stub(Why::Slow);
        self.asm.jcc(Cond::Above, slow);
        self.asm.mov_imm(Rax, 0);
        self.asm.jcc(Cond::Equal, found);
        self.asm.mov_imm(Rax, 1);
        self.asm.mov_imm(Rcx, least);
        self.asm.alu(Alu::Cmp, width, Rdx, Rcx);
        self.asm.jcc(Cond::NotBelow, found);
        self.asm.mov_imm(Rax, 2);
        self.asm.test(width, Rdx, Rdx);
        self.asm.jcc(Cond::NotEqual, found);
        self.asm.mov_imm(Rax, 3);
        self.asm.bind(found);
        self.float_bits(Rcx, insn.rs1);
        self.asm.test(width, Rcx, Rcx);
        self.asm.mov(W32, Rcx, Rax);
        self.asm.mov_imm(Rax, 0);
        self.asm.jcc(Cond::Less, positive);
        self.asm.alu_imm(Alu::Xor, W32, Rcx, 7);
        self.asm.bind(positive);
        self.asm.bit(Bit::Set, Rax, Rcx);
        self.put(insn.rd, Rax);
    }

    fn constant(&mut self, insn: &Insn, precision: Precision, bits: u64) {
        self.asm.mov_imm(Rax, bits);
        self.put_float_bits(insn.rd, Rax);
        self.float.write(precision, insn.rd);
    }

    fn sign(&mut self, insn: &Insn, precision: Precision) {
        let (rd, rs1, rs2) = (insn.rd, insn.rs1, insn.rs2);
        let same = rs1 == rs2;
        self.prepare(precision, &[rs1, rs2]);
        self.settle(rs1);
        self.settle(rs2);
        if same && matches!(insn.op, Op::FsgnjS | Op::FsgnjD) {
            let from = self.get_float(rs1, A);
            let boxed = self.float.boxed >> rs1 & 1;
            self.written(precision, rd, from);
            self.float.boxed |= boxed << rd;
            return;
        }
        match (self.float_home(rs1), self.float_home(rs2)) {
            (Some(a), Some(b)) if self.host.fma => {
                let to = self.float_result(rd);
                // xmm0: the sign alone.
                self.asm.ones(A);
                self.asm.shift_float(true, A, A, 63);
                if precision == Single {
                    self.asm.shift_float(false, A, A, 32);
                }
                match (insn.op, same) {
                    (Op::FsgnjnS | Op::FsgnjnD, true) => self.asm.logic_float(Logic::Xor, to, a, A),
                    (Op::FsgnjxS | Op::FsgnjxD, true) => self.asm.logic_float(Logic::AndNot, to, A, a),
                    (Op::FsgnjxS | Op::FsgnjxD, false) => {
                        self.asm.logic_float(Logic::And, B, b, A);
                        self.asm.logic_float(Logic::Xor, to, a, B);
                    }
                    (op, _) => {
                        let negated = matches!(op, Op::FsgnjnS | Op::FsgnjnD);
                        let logic = if negated { Logic::AndNot } else { Logic::And };
                        self.asm.logic_float(logic, B, b, A);
                        self.asm.logic_float(Logic::AndNot, A, A, a);
                        self.asm.logic_float(Logic::Or, to, A, B);
                    }
                }
                self.written(precision, rd, to);
            }
            _ => {
                let top = if precision == Single { 31 } else { 63 };
                self.float_bits(Rax, rs1);
                self.float_bits(Rcx, rs2);
                if !matches!(insn.op, Op::FsgnjxS | Op::FsgnjxD) {
                    self.asm.bit_imm(Bit::Clear, Rax, top);
                }
                if matches!(insn.op, Op::FsgnjnS | Op::FsgnjnD) {
                    self.asm.not(W64, Rcx);
                }
                match precision {
                    Single => self.asm.alu_imm(Alu::And, W32, Rcx, i32::MIN),
                    Double => {
                        self.asm.shift_imm(Shift::Right, W64, Rcx, 63);
                        self.asm.shift_imm(Shift::Left, W64, Rcx, 63);
                    }
                }
                self.asm.alu(Alu::Xor, W64, Rax, Rcx);
                self.put_float_bits(rd, Rax);
                self.float.write(precision, rd);
            }
        }
    }

    fn int_to_float(&mut self, insn: &Insn, precision: Precision) {
        // The rest of the destination comes from xmm0: not to wait for what it was.
        match precision {
            Single => self.ones(A),
            Double => self.asm.logic_float(Logic::Xor, A, A, A),
        }
        let to = self.float_result(insn.rd);
        if matches!(insn.rm, 1..=3) && !matches!(insn.op, Op::FcvtDW | Op::FcvtDWu) {
            self.exact_int(insn, precision);
            self.asm.float_from_int(precision, W64, to, A, Rax);
            return self.written(precision, insn.rd, to);
        }
        match insn.op {
            Op::FcvtDWu | Op::FcvtSWu => {
                self.copy(W32, Rax, insn.rs1);
                self.asm.float_from_int(precision, W64, to, A, Rax);
            }
            Op::FcvtDLu | Op::FcvtSLu => {
                let from = self.get(insn.rs1, Rax);
                let (label, back) = (self.asm.label(), self.asm.label());
                self.asm.test(W64, from, from);
                if !Planted::UnsignedTakenForSigned.is_on() {
                    self.asm.jcc(Cond::Less, label);
                }
                self.asm.float_from_int(precision, W64, to, A, from);
                self.asm.bind(back);
                self.fixups.push(Fixup::Large { label, back, precision, to, from });
            }
            op => {
                let width = if matches!(op, Op::FcvtDW | Op::FcvtSW) { W32 } else { W64 };
                let from = self.get(insn.rs1, Rax);
                self.asm.float_from_int(precision, width, to, A, from);
            }
        }
        self.written(precision, insn.rd, to);
    }

    /// The integer in rs1, into rax. Leaves unless it becomes a number of `precision` without rounding.
    fn exact_int(&mut self, insn: &Insn, precision: Precision) {
        let digits = if precision == Single { 24 } else { 53 };
        let narrow = matches!(insn.op, Op::FcvtSW | Op::FcvtSWu);
        self.copy(if narrow { W32 } else { W64 }, Rax, insn.rs1);
        if insn.op == Op::FcvtSW {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        if matches!(insn.op, Op::FcvtSWu | Op::FcvtSLu | Op::FcvtDLu) {
            self.asm.mov(W64, Rcx, Rax);
            self.asm.shift_imm(Shift::Right, W64, Rcx, digits);
        } else {
            self.asm.mov_imm(Rcx, 1 << digits);
            self.asm.alu(Alu::Add, W64, Rcx, Rax);
            self.asm.shift_imm(Shift::Right, W64, Rcx, digits + 1);
        }
        let slow = self.stub(Why::Slow);
        if !Planted::ExactUnchecked.is_on() {
            self.asm.jcc(Cond::NotEqual, slow);
        }
    }

    /// An integer of what is in `from`, rounded as the instruction says, into rax. `exact`: what it raises is not
    /// inexact.
    fn int_from(&mut self, insn: &Insn, precision: Precision, width: Width, from: Xmm, exact: bool) {
        match (insn.rm, host_rounding(insn.rm)) {
            (DYNAMIC | TO_ZERO, _) | (_, None) => {
                self.asm.int_from_float(precision, insn.rm == TO_ZERO, width, Rax, from);
            }
            _ if !self.host.fma => self.asm.int_from_float(precision, false, width, Rax, from),
            (_, Some(how)) => {
                self.asm.round_float(precision, B, from, how | if exact { 8 } else { 0 });
                self.asm.int_from_float(precision, true, width, Rax, B);
            }
        }
    }

    fn float_to_int(&mut self, insn: &Insn, precision: Precision, width: Width) {
        self.prepare(precision, &[insn.rs1]);
        let from = self.get_float(insn.rs1, A);
        self.int_from(insn, precision, width, from, true);
        // The indefinite integer is the least one: the only one that is its own negative, but for 0.
        self.asm.mov_imm(Rdx, if width == W32 { 1 << 31 } else { 1 << 63 });
        self.asm.alu(Alu::Cmp, width, Rax, Rdx);
        let slow = self.stub(Why::Slow);
        if !Planted::IndefiniteKept.is_on() {
            self.asm.jcc(Cond::Equal, slow);
        }
        // Inexact only now, as what is out of range is invalid and not that, too.
        if let (NEAREST | 2 | 3, Some(how)) = (insn.rm, host_rounding(insn.rm))
            && self.host.fma
            && !Planted::InexactLost.is_on()
        {
            self.asm.round_float(precision, B, from, how);
        }
        if width == W32 {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        self.put(insn.rd, Rax);
    }

    /// To a signed integer of 64 bits, which has every result of what is not negative and at most `greatest`. The
    /// rest leaves before anything is computed: the host might call inexact what is invalid.
    fn float_to_unsigned(&mut self, insn: &Insn, precision: Precision, greatest: u64) {
        self.prepare(precision, &[insn.rs1]);
        self.float_bits(Rax, insn.rs1);
        self.asm.mov_imm(Rcx, greatest);
        self.asm.alu(Alu::Cmp, if precision == Single { W32 } else { W64 }, Rax, Rcx);
        let slow = self.stub(Why::Slow);
        if !Planted::RangeUnchecked.is_on() {
            self.asm.jcc(Cond::Above, slow);
        }
        let from = self.get_float(insn.rs1, A);
        self.int_from(insn, precision, W64, from, false);
        if matches!(insn.op, Op::FcvtWuS | Op::FcvtWuD) {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        self.put(insn.rd, Rax);
    }
}

/// Are the sources singles, which must be boxed?
fn takes_singles(op: Op) -> bool {
    use Op::*;
    let (f, zfa) = (FmaddS..=FclassS, FminmS..=FltqS);
    op == FcvtDS || (f.contains(&op) && op != FmvXW) || zfa.contains(&op)
}

/// Is the result a single?
fn gives_single(op: Op) -> bool {
    use Op::*;
    let (f, zfa) = (FmaddS..=FmaxS, FliS..=FroundnxS);
    matches!(op, Flw | FcvtSD | FcvtSW | FcvtSWu | FcvtSL | FcvtSLu | FmvWX)
        || f.contains(&op)
        || zfa.contains(&op)
}

/// Does the instruction say "to nearest", and is it done by an instruction of the host's that rounds as MXCSR says?
fn needs_nearest(insn: &Insn, host: Host) -> bool {
    use Op::*;
    let is_exempt = match insn.op {
        FcvtWD | FcvtLD | FcvtWuD | FcvtLuD | FcvtWS | FcvtLS | FcvtWuS | FcvtLuS => host.fma,
        FaddD | FsubD | FmulD | FdivD | FsqrtD | FmaddD | FmsubD | FnmsubD | FnmaddD => false,
        FaddS | FsubS | FmulS | FdivS | FsqrtS | FmaddS | FmsubS | FnmsubS | FnmaddS => false,
        FcvtSD | FcvtDL | FcvtDLu | FcvtSW | FcvtSWu | FcvtSL | FcvtSLu => false,
        _ => true,
    };
    insn.rm == NEAREST && !is_exempt
}

/// The flags of MXCSR as `fflags` (Unprivileged spec 20.2).
pub fn flags_of(mxcsr: u32) -> u8 {
    if Planted::FlagsLost.is_on() {
        return 0;
    }
    let bit = |from: u32, to: u8| u8::from(mxcsr & 1 << from != 0) << to;
    // Invalid, divide by zero, overflow, underflow, inexact; the host's denormal flag means nothing here.
    bit(0, 4) | bit(2, 3) | bit(3, 2) | bit(4, 1) | bit(5, 0)
}

/// The MXCSR with which the guest computes under `frm`: all exceptions masked, no flag set. None for RMM and for
/// what is no mode.
pub fn mxcsr_of(frm: u8) -> Option<u32> {
    let rounding = host_mode(frm)?;
    let rounding = if Planted::RoundingIgnored.is_on() { 0 } else { u32::from(rounding) };
    Some(0x1f80 | rounding << 13)
}
