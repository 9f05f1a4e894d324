//! Zba, Zbb, Zbs and Zicond as host code.

use super::asm::{Alu, Bit, Cond, Reg, Rm, Rotate, Shift, Width};
use super::emit::{Emitter, Host, Source};
use crate::isa::{Insn, Op};

use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// Is `op` one of them?
pub fn is_bits(op: Op) -> bool {
    (Op::AddUw..=Op::CzeroNez).contains(&op)
}

/// Does the translator have this one of them on `host`?
pub fn translates(op: Op, host: Host) -> bool {
    match op {
        Op::Clz | Op::Clzw => host.lzcnt,
        Op::Ctz | Op::Ctzw => host.bmi1,
        Op::Cpop | Op::Cpopw => host.popcnt,
        _ => true,
    }
}

impl Emitter<'_> {
    /// `rd` is not x0.
    pub(super) fn bits(&mut self, insn: &Insn) {
        let Insn { op, rd, rs1, rs2, imm, .. } = *insn;
        let amount = imm as u8;
        match op {
            Op::AddUw => {
                self.copy(W32, Rax, rs1);
                self.alu_with(Alu::Add, W64, Rax, rs2);
                self.put(rd, Rax);
            }
            Op::Sh1add => self.shift_add(insn, W64, 1),
            Op::Sh2add => self.shift_add(insn, W64, 2),
            Op::Sh3add => self.shift_add(insn, W64, 3),
            Op::Sh1addUw => self.shift_add(insn, W32, 1),
            Op::Sh2addUw => self.shift_add(insn, W32, 2),
            Op::Sh3addUw => self.shift_add(insn, W32, 3),
            Op::SlliUw => {
                self.copy(W32, Rax, rs1);
                self.asm.shift_imm(Shift::Left, W64, Rax, amount);
                self.put(rd, Rax);
            }
            Op::Andn | Op::Orn => {
                self.copy(W64, Rcx, rs2);
                self.asm.not(W64, Rcx);
                self.alu_with(if op == Op::Andn { Alu::And } else { Alu::Or }, W64, Rcx, rs1);
                self.put(rd, Rcx);
            }
            Op::Xnor => {
                self.copy(W64, Rax, rs1);
                self.alu_with(Alu::Xor, W64, Rax, rs2);
                self.asm.not(W64, Rax);
                self.put(rd, Rax);
            }
            Op::Clz | Op::Clzw | Op::Ctz | Op::Ctzw | Op::Cpop | Op::Cpopw => self.count(insn),
            // Where both are the same either will do.
            Op::Max => self.choose(insn, Cond::Less),
            Op::Maxu => self.choose(insn, Cond::Below),
            Op::Min => self.choose(insn, Cond::NotLess),
            Op::Minu => self.choose(insn, Cond::NotBelow),
            Op::SextB => self.extend(insn, 1, true),
            Op::SextH => self.extend(insn, 2, true),
            Op::ZextH => self.extend(insn, 2, false),
            Op::Rol => self.rotate(insn, Rotate::Left, W64),
            Op::Rolw => self.rotate(insn, Rotate::Left, W32),
            Op::Ror => self.rotate(insn, Rotate::Right, W64),
            Op::Rorw => self.rotate(insn, Rotate::Right, W32),
            Op::Rori | Op::Roriw => {
                let width = if op == Op::Rori { W64 } else { W32 };
                self.copy(width, Rax, rs1);
                self.asm.rotate_imm(Rotate::Right, width, Rax, amount);
                self.put_word(rd, width);
            }
            Op::OrcB => self.or_combine(insn),
            Op::Rev8 => {
                self.copy(W64, Rax, rs1);
                self.asm.swap_bytes(Rax);
                self.put(rd, Rax);
            }
            Op::Bclr => self.bit(insn, Bit::Clear),
            Op::Binv => self.bit(insn, Bit::Invert),
            Op::Bset => self.bit(insn, Bit::Set),
            Op::Bclri => self.bit_imm(insn, Bit::Clear),
            Op::Binvi => self.bit_imm(insn, Bit::Invert),
            Op::Bseti => self.bit_imm(insn, Bit::Set),
            Op::Bext => {
                self.copy(W64, Rax, rs1);
                let by = self.get(rs2, Rcx);
                self.asm.bit(Bit::Test, Rax, by);
                // The bit is in the carry.
                self.asm.set(Cond::Below, Rax);
                self.asm.load_narrow(1, false, Rax, Rax.into());
                self.put(rd, Rax);
            }
            Op::Bexti => {
                self.copy(W64, Rax, rs1);
                self.asm.shift_imm(Shift::Right, W64, Rax, amount);
                self.asm.alu_imm(Alu::And, W64, Rax, 1);
                self.put(rd, Rax);
            }
            Op::CzeroEqz => self.zero_if(insn, Cond::Equal),
            _ => self.zero_if(insn, Cond::NotEqual),
        }
    }

    /// rax, or its sign-extended low word, becomes guest register `rd`.
    fn put_word(&mut self, rd: u8, width: Width) {
        if width == W32 {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        self.put(rd, Rax);
    }

    /// rs1, of this width, shifted to the left, plus rs2.
    fn shift_add(&mut self, insn: &Insn, width: Width, by: u8) {
        let index = if width == W32 {
            self.copy(W32, Rax, insn.rs1);
            Rax
        } else {
            self.get(insn.rs1, Rax)
        };
        let base = self.get(insn.rs2, Rcx);
        let to = self.home_or(insn.rd, Rax);
        self.asm.lea_scaled(to, base, index, by);
        self.put(insn.rd, to);
    }

    /// Where rs1 is; x0 is put into rax.
    fn operand(&mut self, insn: &Insn) -> Rm {
        match self.source(insn.rs1) {
            Source::Zero => {
                self.asm.mov_imm(Rax, 0);
                Rax.into()
            }
            Source::Reg(home) => home.into(),
            Source::Mem(mem) => mem.into(),
        }
    }

    fn count(&mut self, insn: &Insn) {
        let from = self.operand(insn);
        let to = self.home_or(insn.rd, Rax);
        let width = if matches!(insn.op, Op::Clzw | Op::Ctzw | Op::Cpopw) { W32 } else { W64 };
        match insn.op {
            Op::Clz | Op::Clzw => self.asm.leading_zeros(width, to, from),
            Op::Ctz | Op::Ctzw => self.asm.trailing_zeros(width, to, from),
            _ => self.asm.count_ones(width, to, from),
        }
        self.put(insn.rd, to);
    }

    fn extend(&mut self, insn: &Insn, bytes: u8, signed: bool) {
        let from = self.operand(insn);
        let to = self.home_or(insn.rd, Rax);
        self.asm.load_narrow(bytes, signed, to, from);
        self.put(insn.rd, to);
    }

    /// rs2 if rs1 compares so with it, else rs1.
    fn choose(&mut self, insn: &Insn, cond: Cond) {
        self.copy(W64, Rax, insn.rs1);
        let other = self.get(insn.rs2, Rcx);
        self.asm.alu(Alu::Cmp, W64, Rax, other);
        self.asm.mov_if(cond, Rax, other);
        self.put(insn.rd, Rax);
    }

    fn rotate(&mut self, insn: &Insn, op: Rotate, width: Width) {
        self.copy(W64, Rcx, insn.rs2);
        self.copy(width, Rax, insn.rs1);
        self.asm.rotate_cl(op, width, Rax);
        self.put_word(insn.rd, width);
    }

    fn or_combine(&mut self, insn: &Insn) {
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        self.copy(W64, Rax, insn.rs1);
        self.asm.mov_imm(Rcx, LOW);
        self.asm.mov(W64, Rdx, Rax);
        self.asm.alu(Alu::And, W64, Rdx, Rcx);
        self.asm.alu(Alu::Add, W64, Rdx, Rcx);
        self.asm.alu(Alu::Or, W64, Rdx, Rax);
        self.asm.not(W64, Rcx);
        self.asm.alu(Alu::And, W64, Rdx, Rcx);
        // Now the high bit of each byte that is not 0; it spreads over its byte.
        self.asm.mov(W64, Rcx, Rdx);
        self.asm.mov(W64, Rax, Rdx);
        self.asm.shift_imm(Shift::Right, W64, Rax, 7);
        self.asm.alu(Alu::Sub, W64, Rcx, Rax);
        self.asm.alu(Alu::Or, W64, Rcx, Rdx);
        self.put(insn.rd, Rcx);
    }

    fn bit(&mut self, insn: &Insn, op: Bit) {
        self.copy(W64, Rax, insn.rs1);
        let by = self.get(insn.rs2, Rcx);
        self.asm.bit(op, Rax, by);
        self.put(insn.rd, Rax);
    }

    fn bit_imm(&mut self, insn: &Insn, op: Bit) {
        let to = self.home_or(insn.rd, Rax);
        self.copy(W64, to, insn.rs1);
        self.asm.bit_imm(op, to, insn.imm as u8);
        self.put(insn.rd, to);
    }

    /// 0 if rs2 compares so with 0, else rs1.
    fn zero_if(&mut self, insn: &Insn, cond: Cond) {
        self.copy(W64, Rax, insn.rs1);
        let by = self.get(insn.rs2, Rcx);
        self.asm.mov_imm(Rdx, 0);
        self.asm.test(W64, by, by);
        self.asm.mov_if(cond, Rax, Rdx);
        self.put(insn.rd, Rax);
    }
}
