//! Loads, stores and atomics: the address is looked up in the translation cache; what is not there, or is misaligned,
//! leaves before the instruction.

use super::asm::{Alu, Asm, Cond, Mem, Reg, Shift, Width};
use super::emit::{Emitter, Source};
use super::layout::{self, DATA, ENTRY_SHIFT, RAM, READ, WRITE, Why, cell};
use super::windows::Window;
use crate::engine::float::BOX;
use crate::engine::planted::Planted;
use crate::engine::tlb::{ENTRIES, PAGE_MASK};
use crate::isa::{Insn, Op};
use crate::mem::RAM_BASE;

use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// The bits of an entry's offset within its kind.
const SLOT_MASK: i32 = (ENTRIES as i32 - 1) << 4;

/// How many bytes a load or store moves, and whether a load extends the sign.
pub fn size(op: Op) -> (u8, bool) {
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
    asm.alu_imm(Alu::And, W32, Rcx, SLOT_MASK);
}

impl Emitter<'_> {
    /// The place in RAM of the access `insn`, from r13: what it adds is in rax. Clobbers rax, rcx and rdx.
    fn place(&mut self, insn: &Insn, bytes: u8, entries: i32) -> Mem {
        if let Some(place) = self.place_in_window(insn) {
            return place;
        }
        let entries = if Planted::StoreByReadEntry.is_on() { READ } else { entries };
        self.look_up(insn, bytes);
        self.must_be_in(entries);
        self.asm.alu(Alu::Add, W64, Rax, Mem::indexed(DATA, Rcx, entries + 8));
        Mem::indexed(RAM, Rax, 0)
    }

    /// The place in RAM of the access `insn` by way of its window, if it has one.
    fn place_in_window(&mut self, insn: &Insn) -> Option<Mem> {
        let (number, opens) = self.window()?;
        let Window { base, writes, low, high, alignment, cell, .. } = self.windows.windows[number];
        if opens {
            let plain = self.plain_from_here();
            let high = if Planted::WindowCut.is_on() { low } else { high };
            let alignment = if Planted::WindowMisaligned.is_on() { 0 } else { alignment };
            let base = self.get(base, Rax);
            self.asm.lea(Rcx, Mem::at(base, low));
            self.asm.shift_imm(Shift::Right, W32, Rcx, ENTRY_SHIFT);
            self.asm.alu_imm(Alu::And, W32, Rcx, SLOT_MASK);
            self.asm.lea(Rdx, Mem::at(base, high));
            self.asm.alu_imm(Alu::And, W64, Rdx, (PAGE_MASK | alignment) as i32);
            // What may be written may be read (Priv. spec 3.7.1, 4.3.1).
            let entries = if writes && !Planted::WindowByReadEntry.is_on() { WRITE } else { READ };
            self.asm.alu(Alu::Cmp, W64, Rdx, Mem::indexed(DATA, Rcx, entries));
            self.asm.jcc(Cond::NotEqual, plain);
            if base == Rax {
                self.asm.alu(Alu::Add, W64, Rax, Mem::indexed(DATA, Rcx, entries + 8));
            } else {
                self.asm.mov(W64, Rax, Mem::indexed(DATA, Rcx, entries + 8));
                self.asm.alu(Alu::Add, W64, Rax, base);
            }
            self.asm.store(W64, cell::window(cell), Rax);
        } else {
            self.asm.mov(W64, Rax, cell::window(cell));
        }
        Some(Mem::indexed(RAM, Rax, insn.imm))
    }

    /// The address of the access into rax, its entry's offset into rcx, and what the tag must be into rdx.
    fn look_up(&mut self, insn: &Insn, bytes: u8) {
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
        let alignment = if Planted::AlignmentUnchecked.is_on() { 0 } else { u64::from(bytes) - 1 };
        let mask = (PAGE_MASK | alignment) as i32;
        self.asm.alu_imm(Alu::And, W64, Rdx, mask);
    }

    fn must_be_in(&mut self, entries: i32) {
        self.asm.alu(Alu::Cmp, W64, Rdx, Mem::indexed(DATA, Rcx, entries));
        let slow = self.stub(Why::Slow);
        self.asm.jcc(Cond::NotEqual, slow);
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
            self.asm.mov_imm(Rcx, if Planted::NotBoxed.is_on() { 0 } else { BOX });
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

    /// An atomic that reads and writes: both must be allowed.
    pub(super) fn atomic(&mut self, insn: &Insn) {
        let (width, bytes) = if insn.op >= Op::LrD { (W64, 8) } else { (W32, 4) };
        if matches!(insn.op, Op::LrW | Op::LrD) {
            return self.load_reserved(insn, width, bytes);
        }
        self.look_up(insn, bytes);
        if !matches!(insn.op, Op::ScW | Op::ScD) {
            self.must_be_in(READ);
        }
        self.must_be_in(WRITE);
        self.asm.alu(Alu::Add, W64, Rax, Mem::indexed(DATA, Rcx, WRITE + 8));
        if matches!(insn.op, Op::ScW | Op::ScD) {
            return self.store_conditional(insn, width);
        }
        let place = Mem::indexed(RAM, Rax, 0);
        // rdx: what was there; rcx: what will be. The 32-bit forms compare sign-extended values, whose order is
        // that of the words, signed and unsigned.
        self.read_extended(width, Rdx, place);
        self.copy(W64, Rcx, insn.rs2);
        if width == W32 {
            self.asm.load_narrow(4, true, Rcx, Rcx.into());
        }
        let keep = match insn.op {
            Op::AmominW | Op::AmominD => Some(Cond::Less),
            Op::AmomaxW | Op::AmomaxD => Some(Cond::NotLess),
            Op::AmominuW | Op::AmominuD => Some(Cond::Below),
            Op::AmomaxuW | Op::AmomaxuD => Some(Cond::NotBelow),
            _ => None,
        };
        let combine = match insn.op {
            Op::AmoaddW | Op::AmoaddD => Some(Alu::Add),
            Op::AmoxorW | Op::AmoxorD => Some(Alu::Xor),
            Op::AmoandW | Op::AmoandD => Some(Alu::And),
            Op::AmoorW | Op::AmoorD => Some(Alu::Or),
            _ => None,
        };
        if let Some(keep) = keep {
            self.asm.alu(Alu::Cmp, W64, Rdx, Rcx);
            self.asm.cmov(keep, W64, Rcx, Rdx);
        }
        if let Some(combine) = combine {
            self.asm.alu(combine, W64, Rcx, Rdx);
        }
        self.asm.store(width, place, Rcx);
        self.put(insn.rd, Rdx);
    }

    fn read_extended(&mut self, width: Width, to: Reg, place: Mem) {
        match width {
            W64 => self.asm.mov(W64, to, place),
            W32 => self.asm.load_narrow(4, true, to, place.into()),
        }
    }

    /// The reservation that the place rax bytes into RAM has, into rax, which must not be needed any more.
    fn reserved(&mut self) {
        self.asm.mov_imm(Rcx, RAM_BASE.get());
        self.asm.alu(Alu::Add, W64, Rax, Rcx);
        self.asm.alu_imm(Alu::And, W64, Rax, -8);
    }

    fn load_reserved(&mut self, insn: &Insn, width: Width, bytes: u8) {
        let place = self.place(insn, bytes, READ);
        self.read_extended(width, Rdx, place);
        self.put(insn.rd, Rdx);
        self.reserved();
        self.asm.mov(W64, Rcx, cell::FRAME);
        self.asm.store(W64, Mem::at(Rcx, layout::RESERVATION), Rax);
    }

    /// The place is rax bytes into RAM.
    fn store_conditional(&mut self, insn: &Insn, width: Width) {
        let (lost, done) = (self.asm.label(), self.asm.label());
        self.asm.mov(W64, Rdx, Rax);
        self.reserved();
        self.asm.mov(W64, Rcx, cell::FRAME);
        let reservation = Mem::at(Rcx, layout::RESERVATION);
        self.asm.alu(Alu::Cmp, W64, Rax, reservation);
        self.asm.store_imm(W64, reservation, layout::NO_RESERVATION as i32);
        self.asm.jcc(Cond::NotEqual, lost);
        let value = self.get(insn.rs2, Rax);
        self.asm.store(width, Mem::indexed(RAM, Rdx, 0), value);
        self.asm.mov_imm(Rax, 0);
        self.asm.jmp(done);
        self.asm.bind(lost);
        self.asm.mov_imm(Rax, 1);
        self.asm.bind(done);
        self.put(insn.rd, Rax);
    }
}
