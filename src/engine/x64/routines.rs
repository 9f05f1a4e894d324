//! The code that all regions share: in, out, and from one region to another.

use std::mem::offset_of;

use super::asm::{Alu, Asm, Cond, Mem, Reg, Shift, Width};
use super::emit::Shared;
use super::layout::{BUDGET, DATA, Frame, RAM, REGS, Why, cell};
use super::memory::find_entry;
use crate::engine::tlb::PAGE_MASK;

use Reg::{R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rdi, Rdx, Rsi, Rsp};
use Width::{W32, W64};

/// The shared routines, which stand at the beginning of the cache.
pub struct Routines {
    pub code: Vec<u8>,
    pub shared: Shared,
    /// The function that `exec` calls: rdi the frame, rsi where to go on.
    pub trampoline: u32,
}

const KEPT: [Reg; 6] = [Rbx, Rbp, R12, R13, R14, R15];

fn frame(base: Reg, offset: usize) -> Mem {
    Mem::at(base, offset as i32)
}

pub fn routines() -> Routines {
    let mut asm = Asm::new();
    let trampoline = asm.len() as u32;
    for reg in KEPT {
        asm.push(reg);
    }
    asm.alu_imm(Alu::Sub, W64, Rsp, cell::BYTES);
    asm.store(W64, cell::FRAME, Rdi);
    let cells = [
        (cell::PAGE, offset_of!(Frame, page)),
        (cell::FETCH, offset_of!(Frame, fetch)),
        (cell::PAGES, offset_of!(Frame, pages)),
        (cell::CODE, offset_of!(Frame, code)),
    ];
    for (to, from) in cells {
        asm.mov(W64, Rax, frame(Rdi, from));
        asm.store(W64, to, Rax);
    }
    asm.mov(W32, Rax, frame(Rdi, offset_of!(Frame, float)));
    asm.store(W32, cell::FLOAT, Rax);
    let no_float = asm.label();
    asm.test(W32, Rax, Rax);
    asm.jcc(Cond::Equal, no_float);
    asm.store_mxcsr(frame(Rdi, offset_of!(Frame, host_mxcsr)));
    asm.load_mxcsr(frame(Rdi, offset_of!(Frame, mxcsr)));
    asm.bind(no_float);
    asm.mov(W64, REGS, frame(Rdi, offset_of!(Frame, regs)));
    asm.mov(W64, RAM, frame(Rdi, offset_of!(Frame, ram)));
    asm.mov(W64, DATA, frame(Rdi, offset_of!(Frame, data)));
    asm.mov(W64, BUDGET, frame(Rdi, offset_of!(Frame, count)));
    asm.jmp_reg(Rsi);

    // rax: the pc; ecx: why.
    let leave_label = asm.label();
    asm.bind(leave_label);
    let leave = asm.len() as u32;
    asm.mov(W64, Rdx, cell::FRAME);
    asm.store(W64, frame(Rdx, offset_of!(Frame, pc)), Rax);
    asm.store(W64, frame(Rdx, offset_of!(Frame, count)), BUDGET);
    let no_float = asm.label();
    asm.alu_imm(Alu::Cmp, W32, cell::FLOAT, 0);
    asm.jcc(Cond::Equal, no_float);
    asm.store_mxcsr(frame(Rdx, offset_of!(Frame, mxcsr)));
    asm.load_mxcsr(frame(Rdx, offset_of!(Frame, host_mxcsr)));
    asm.bind(no_float);
    asm.mov(W32, Rax, Rcx);
    asm.alu_imm(Alu::Add, W64, Rsp, cell::BYTES);
    for reg in KEPT.into_iter().rev() {
        asm.pop(reg);
    }
    asm.ret();

    // rax: the address to go on at. Every guest register is in memory.
    let dispatch = asm.len() as u32;
    let lost = asm.label();
    find_entry(&mut asm);
    asm.alu(Alu::Add, W64, Rcx, cell::FETCH);
    asm.mov(W64, Rdx, Rax);
    asm.alu_imm(Alu::And, W64, Rdx, PAGE_MASK as i32);
    asm.alu(Alu::Cmp, W64, Rdx, Mem::at(Rcx, 0));
    asm.jcc(Cond::NotEqual, lost);
    asm.mov(W64, Rsi, Mem::at(Rcx, 8));
    asm.shift_imm(Shift::Left, W64, Rsi, 3);
    asm.alu(Alu::Add, W64, Rsi, cell::PAGES);
    asm.mov(W64, Rsi, Mem::at(Rsi, 0));
    asm.test(W64, Rsi, Rsi);
    asm.jcc(Cond::Equal, lost);
    // Four bytes for each halfword of the page.
    asm.mov(W32, Rcx, Rax);
    asm.alu_imm(Alu::And, W32, Rcx, !PAGE_MASK as i32);
    asm.alu(Alu::Add, W64, Rcx, Rcx);
    asm.mov(W32, Rcx, Mem::indexed(Rsi, Rcx, 0));
    asm.test(W32, Rcx, Rcx);
    asm.jcc(Cond::Equal, lost);
    asm.store(W64, cell::PAGE, Rdx);
    asm.alu(Alu::Add, W64, Rcx, cell::CODE);
    asm.jmp_reg(Rcx);
    asm.bind(lost);
    asm.mov_imm(Rcx, Why::Lost as u64);
    asm.jmp(leave_label);

    Routines { code: asm.finish(), shared: Shared { leave, dispatch }, trampoline }
}
