//! Double-precision arithmetic on the host's SSE unit, where that gives the same bits and flags.
//!
//! - The guest's dynamic rounding mode is in MXCSR while translated code runs; what names another mode, or
//!   RMM, which the host lacks, is not translated.
//! - Flags gather in MXCSR and are taken from there at the end of a run. Both detect tininess after rounding
//!   (Unprivileged spec 20.2; Intel 64 manual volume 1, 4.9.1.5).
//! - A NaN result becomes the canonical one. A NaN from a fused multiply-add leaves before the instruction:
//!   the two differ on infinity times zero plus a quiet NaN.
//! - A conversion whose result is the host's "integer indefinite" leaves before the instruction.

use super::asm::{Alu, Cond, Fma, Reg, Shift, Sse, Width, Xmm, XmmRm};
use super::emit::{Emitter, Host};
use super::layout::{self, Why, cell};
use crate::engine::planted::Planted;
use crate::isa::{Insn, Op};

use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// The `rm` of an instruction that rounds as `frm` says, and of one that rounds towards zero.
const DYNAMIC: u8 = 7;
const TO_ZERO: u8 = 1;

const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

const A: Xmm = Xmm(0);
const B: Xmm = Xmm(1);

/// Does the translator have this floating-point instruction?
pub fn translates(insn: &Insn, host: Host) -> bool {
    use Op::*;
    match insn.op {
        Flw | Fld | Fsw | Fsd | FsgnjD | FsgnjnD | FsgnjxD | FeqD | FltD | FleD | FmvXD | FmvDX | FmvXW
        | FmvWX => true,
        // Exact, whatever the mode; but a reserved one is illegal.
        FcvtDW | FcvtDWu => insn.rm <= 4 || insn.rm == DYNAMIC,
        FaddD | FsubD | FmulD | FdivD | FsqrtD | FcvtDL => insn.rm == DYNAMIC,
        FmaddD | FmsubD | FnmsubD | FnmaddD => insn.rm == DYNAMIC && host.fma,
        FcvtWD | FcvtLD => insn.rm == DYNAMIC || insn.rm == TO_ZERO,
        _ => false,
    }
}

impl Emitter<'_> {
    pub(super) fn float_home(&self, n: u8) -> Option<Xmm> {
        self.plan.float_homes[usize::from(n & 31)]
    }

    fn float_source(&self, n: u8) -> XmmRm {
        self.float_home(n).map_or(XmmRm::Mem(layout::f(n)), XmmRm::Xmm)
    }

    /// The double in register `n`, in `scratch` unless it has a home.
    fn get_float(&mut self, n: u8, scratch: Xmm) -> Xmm {
        match self.float_source(n) {
            XmmRm::Xmm(home) => home,
            XmmRm::Mem(mem) => {
                self.asm.load_double(scratch, mem);
                scratch
            }
        }
    }

    fn copy_float(&mut self, to: Xmm, n: u8) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.mov_double(to, home),
            XmmRm::Mem(mem) => self.asm.load_double(to, mem),
        }
    }

    fn put_float(&mut self, n: u8, value: Xmm) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.mov_double(home, value),
            XmmRm::Mem(mem) => self.asm.store_double(mem, value),
        }
    }

    /// The bits of register `n` into `to`.
    pub(super) fn float_bits(&mut self, to: Reg, n: u8) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.bits_of_double(to, home),
            XmmRm::Mem(mem) => self.asm.mov(W64, to, mem),
        }
    }

    pub(super) fn put_float_bits(&mut self, n: u8, value: Reg) {
        match self.float_source(n) {
            XmmRm::Xmm(home) => self.asm.double_from_bits(home, value),
            XmmRm::Mem(mem) => self.asm.store(W64, mem, value),
        }
    }

    pub(super) fn float(&mut self, insn: &Insn) {
        if !std::mem::replace(&mut self.float_checked, true) && !Planted::FloatUnchecked.is_on() {
            self.asm.alu_imm(Alu::Cmp, W32, cell::FLOAT, 0);
            let slow = self.stub(Why::Slow);
            self.asm.jcc(Cond::Equal, slow);
        }
        match insn.op {
            Op::Flw | Op::Fld => self.load_float(insn),
            Op::Fsw | Op::Fsd => self.store_float(insn),
            Op::FaddD => self.arithmetic(insn, Sse::Add),
            Op::FsubD => self.arithmetic(insn, Sse::Sub),
            Op::FmulD => self.arithmetic(insn, Sse::Mul),
            Op::FdivD => self.arithmetic(insn, Sse::Div),
            Op::FsqrtD => {
                let from = self.float_source(insn.rs1);
                self.asm.arith_double(Sse::Sqrt, A, from);
                self.canonical(insn.rd);
            }
            Op::FmaddD => self.fused(insn, Fma::Madd),
            Op::FmsubD => self.fused(insn, Fma::Msub),
            // -(a * b) + c, and -(a * b) - c: the host's names go by the sign of the product, too, but its
            // second one is called after the subtraction.
            Op::FnmsubD => self.fused(insn, Fma::Nmadd),
            Op::FnmaddD => self.fused(insn, Fma::Nmsub),
            Op::FsgnjD | Op::FsgnjnD | Op::FsgnjxD => self.sign(insn),
            Op::FeqD => {
                let a = self.get_float(insn.rs1, A);
                let b = self.float_source(insn.rs2);
                self.asm.compare_double(true, a, b);
                self.asm.set(Cond::NotParity, Rax);
                self.asm.set(Cond::Equal, Rcx);
                self.asm.alu(Alu::And, W32, Rax, Rcx);
                self.put_bool(insn.rd);
            }
            Op::FltD | Op::FleD => {
                // Unordered sets the carry, so "above" is false for it.
                let b = self.get_float(insn.rs2, A);
                let a = self.float_source(insn.rs1);
                self.asm.compare_double(Planted::ComparisonQuiet.is_on(), b, a);
                self.asm.set(if insn.op == Op::FltD { Cond::Above } else { Cond::NotBelow }, Rax);
                self.put_bool(insn.rd);
            }
            Op::FmvXD => {
                self.float_bits(Rax, insn.rs1);
                self.put(insn.rd, Rax);
            }
            Op::FmvXW => {
                self.float_bits(Rax, insn.rs1);
                self.asm.load_narrow(4, true, Rax, Rax.into());
                self.put(insn.rd, Rax);
            }
            Op::FmvDX => {
                let from = self.get(insn.rs1, Rax);
                self.put_float_bits(insn.rd, from);
            }
            Op::FmvWX => {
                self.copy(W32, Rax, insn.rs1);
                self.asm.mov_imm(Rcx, 0xffff_ffff << 32);
                self.asm.alu(Alu::Or, W64, Rax, Rcx);
                self.put_float_bits(insn.rd, Rax);
            }
            Op::FcvtDW | Op::FcvtDWu | Op::FcvtDL => self.int_to_double(insn),
            _ => self.double_to_int(insn),
        }
    }

    /// The bit in al becomes guest register `rd`.
    fn put_bool(&mut self, rd: u8) {
        self.asm.load_narrow(1, false, Rax, Rax.into());
        self.put(rd, Rax);
    }

    /// xmm0, or the canonical NaN if it is one, becomes register `rd`.
    fn canonical(&mut self, rd: u8) {
        if Planted::NanKept.is_on() {
            return self.put_float(rd, A);
        }
        let good = self.asm.label();
        self.asm.compare_double(true, A, XmmRm::Xmm(A));
        self.asm.jcc(Cond::NotParity, good);
        self.asm.mov_imm(Rax, CANONICAL_NAN);
        self.asm.double_from_bits(A, Rax);
        self.asm.bind(good);
        self.put_float(rd, A);
    }

    fn arithmetic(&mut self, insn: &Insn, op: Sse) {
        self.copy_float(A, insn.rs1);
        let b = self.float_source(insn.rs2);
        self.asm.arith_double(op, A, b);
        self.canonical(insn.rd);
    }

    fn fused(&mut self, insn: &Insn, op: Fma) {
        self.copy_float(A, insn.rs1);
        let b = self.get_float(insn.rs2, B);
        let c = self.float_source(insn.rs3);
        self.asm.fma_double(op, A, b, c);
        self.asm.compare_double(true, A, XmmRm::Xmm(A));
        let slow = self.stub(Why::Slow);
        if !Planted::FusedNanKept.is_on() {
            self.asm.jcc(Cond::Parity, slow);
        }
        self.put_float(insn.rd, A);
    }

    fn sign(&mut self, insn: &Insn) {
        if insn.op == Op::FsgnjD && insn.rs1 == insn.rs2 {
            self.copy_float(A, insn.rs1);
            return self.put_float(insn.rd, A);
        }
        self.float_bits(Rax, insn.rs1);
        self.float_bits(Rcx, insn.rs2);
        match insn.op {
            Op::FsgnjxD => {}
            _ => {
                // Without the sign of rs1.
                self.asm.shift_imm(Shift::Left, W64, Rax, 1);
                self.asm.shift_imm(Shift::Right, W64, Rax, 1);
            }
        }
        if insn.op == Op::FsgnjnD {
            self.asm.not(W64, Rcx);
        }
        self.asm.shift_imm(Shift::Right, W64, Rcx, 63);
        self.asm.shift_imm(Shift::Left, W64, Rcx, 63);
        self.asm.alu(Alu::Xor, W64, Rax, Rcx);
        self.put_float_bits(insn.rd, Rax);
    }

    fn int_to_double(&mut self, insn: &Insn) {
        // The upper half of the destination is merged in: not to wait for what it was.
        self.asm.xor_double(A, A);
        match insn.op {
            Op::FcvtDWu => {
                self.copy(W32, Rax, insn.rs1);
                self.asm.double_from_int(W64, A, Rax);
            }
            op => {
                let width = if op == Op::FcvtDW { W32 } else { W64 };
                let from = self.get(insn.rs1, Rax);
                self.asm.double_from_int(width, A, from);
            }
        }
        self.put_float(insn.rd, A);
    }

    fn double_to_int(&mut self, insn: &Insn) {
        let width = if insn.op == Op::FcvtWD { W32 } else { W64 };
        let from = self.get_float(insn.rs1, A);
        self.asm.int_from_double(insn.rm == TO_ZERO, width, Rax, from);
        // The indefinite integer is the least one: the only one that is its own negative, but for 0.
        self.asm.mov_imm(Rdx, if width == W32 { 1 << 31 } else { 1 << 63 });
        self.asm.alu(Alu::Cmp, width, Rax, Rdx);
        let slow = self.stub(Why::Slow);
        if !Planted::IndefiniteKept.is_on() {
            self.asm.jcc(Cond::Equal, slow);
        }
        if width == W32 {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        self.put(insn.rd, Rax);
    }
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
    let rounding = match frm {
        0 => 0,
        1..=3 if Planted::RoundingIgnored.is_on() => 0,
        1 => 3,
        2 => 1,
        3 => 2,
        _ => return None,
    };
    Some(0x1f80 | rounding << 13)
}
