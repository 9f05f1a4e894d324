//! Loads and stores: the address is looked up in the translation cache; what is not there, or is misaligned,
//! leaves before the instruction.

use super::asm::{Alu, Asm, Cond, Mem, Reg, Shift, Width};
use super::emit::{Emitter, Source};
use super::layout::{DATA, ENTRY_SHIFT, RAM, READ, WRITE, Why};
use crate::engine::tlb::{ENTRIES, PAGE_MASK};
use crate::isa::{Insn, Op};

use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// How many bytes a load or store moves, and whether a load extends the sign.
fn size(op: Op) -> (u8, bool) {
    match op {
        Op::Lb => (1, true),
        Op::Lh => (2, true),
        Op::Lw => (4, true),
        Op::Lbu | Op::Sb => (1, false),
        Op::Lhu | Op::Sh => (2, false),
        Op::Lwu | Op::Sw | Op::Flw | Op::Fsw => (4, false),
        _ => (8, false),
    }
}

/// The offset within the entries of the one that answers for the address in rax, into rcx.
pub fn find_entry(asm: &mut Asm) {
    asm.mov(W32, Rcx, Rax);
    asm.shift_imm(Shift::Right, W32, Rcx, ENTRY_SHIFT);
    asm.alu_imm(Alu::And, W32, Rcx, (ENTRIES as i32 - 1) << 4);
}

impl Emitter<'_> {
    /// The place in RAM of the access `insn`, from r13. Clobbers rax, rcx and rdx.
    pub(super) fn place(&mut self, insn: &Insn, bytes: u8, entries: i32) -> Mem {
        match self.source(insn.rs1) {
            Source::Reg(home) if insn.imm != 0 => self.asm.lea(Rax, Mem::at(home, insn.imm)),
            _ => {
                self.copy(W64, Rax, insn.rs1);
                if insn.imm != 0 {
                    self.asm.alu_imm(Alu::Add, W64, Rax, insn.imm);
                }
            }
        }
        find_entry(&mut self.asm);
        self.asm.mov(W64, Rdx, Rax);
        let mask = (PAGE_MASK | (u64::from(bytes) - 1)) as i32;
        self.asm.alu_imm(Alu::And, W64, Rdx, mask);
        self.asm.alu(Alu::Cmp, W64, Rdx, Mem::indexed(DATA, Rcx, entries));
        let slow = self.stub(Why::Slow);
        self.asm.jcc(Cond::NotEqual, slow);
        self.asm.alu(Alu::Add, W64, Rax, Mem::indexed(DATA, Rcx, entries + 8));
        Mem::indexed(RAM, Rax, 0)
    }

    pub(super) fn load(&mut self, insn: &Insn) {
        let (bytes, signed) = size(insn.op);
        let place = self.place(insn, bytes, READ);
        if insn.rd == 0 {
            return;
        }
        let to = self.home_or(insn.rd, Rax);
        match bytes {
            8 => self.asm.mov(W64, to, place),
            _ => self.asm.load_narrow(bytes, signed, to, place.into()),
        }
        self.put(insn.rd, to);
    }

    pub(super) fn store(&mut self, insn: &Insn) {
        let (bytes, _) = size(insn.op);
        let place = self.place(insn, bytes, WRITE);
        self.store_value(insn, bytes, place);
    }

    fn store_value(&mut self, insn: &Insn, bytes: u8, place: Mem) {
        match (bytes, self.source(insn.rs2)) {
            (8, Source::Zero) => self.asm.store_imm(W64, place, 0),
            (4, Source::Zero) => self.asm.store_imm(W32, place, 0),
            _ => {
                let value = self.get(insn.rs2, Rdx);
                match bytes {
                    8 => self.asm.store(W64, place, value),
                    4 => self.asm.store(W32, place, value),
                    _ => self.asm.store_narrow(bytes, place, value),
                }
            }
        }
    }

    pub(super) fn load_float(&mut self, insn: &Insn) {
        let (bytes, _) = size(insn.op);
        let place = self.place(insn, bytes, READ);
        if bytes == 8 {
            match self.float_home(insn.rd) {
                Some(home) => self.asm.load_double(home, place),
                None => {
                    self.asm.mov(W64, Rax, place);
                    self.put_float_bits(insn.rd, Rax);
                }
            }
        } else {
            // NaN-boxed.
            self.asm.mov(W32, Rax, place);
            self.asm.mov_imm(Rcx, 0xffff_ffff << 32);
            self.asm.alu(Alu::Or, W64, Rax, Rcx);
            self.put_float_bits(insn.rd, Rax);
        }
    }

    pub(super) fn store_float(&mut self, insn: &Insn) {
        let (bytes, _) = size(insn.op);
        let place = self.place(insn, bytes, WRITE);
        match (bytes, self.float_home(insn.rs2)) {
            (8, Some(home)) => self.asm.store_double(place, home),
            _ => {
                self.float_bits(Rdx, insn.rs2);
                self.asm.store(if bytes == 8 { W64 } else { W32 }, place, Rdx);
            }
        }
    }
}
