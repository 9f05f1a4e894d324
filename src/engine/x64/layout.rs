//! Where translated code finds things: the registers it never changes, and the cells of its frame.
//!
//! | register | holds |
//! |---|---|
//! | rbp | the guest's registers ([`BIAS`] bytes in) |
//! | r13 | RAM |
//! | r14 | the translation cache of loads and stores ([`ByKind`]) |
//! | r15 | how many instructions may still be executed |
//! | rax, rcx, rdx, xmm0, xmm1 | nothing for long |
//! | the others | guest registers, chosen by region ([`HOMES`](super::plan::HOMES)) |

use std::mem::offset_of;

use super::asm::{Mem, Reg};
use crate::engine::regs::Regs;
use crate::engine::tlb::{ByKind, Entries, Entry, Kind};

pub const REGS: Reg = Reg::Rbp;
pub const RAM: Reg = Reg::R13;
pub const DATA: Reg = Reg::R14;
pub const BUDGET: Reg = Reg::R15;

/// With this bias every integer register is within a displacement of one byte.
pub const BIAS: i32 = 128;

/// Integer register `n` in memory.
pub fn x(n: u8) -> Mem {
    Mem::at(REGS, 8 * i32::from(n) - BIAS)
}

/// Floating-point register `n` in memory.
pub fn f(n: u8) -> Mem {
    Mem::at(REGS, offset_of!(Regs, f) as i32 + 8 * i32::from(n) - BIAS)
}

/// `Entry` is found by `shr 8` and a mask: sixteen bytes for each page of 4096.
pub const ENTRY_SHIFT: u8 = 8;
const _: () =
    assert!(size_of::<Entry>() == 16 && offset_of!(Entry, tag) == 0 && offset_of!(Entry, delta) == 8);

pub const READ: i32 = (Kind::Read as usize * size_of::<Entries>()) as i32;
pub const WRITE: i32 = (Kind::Write as usize * size_of::<Entries>()) as i32;
const _: () = assert!(size_of::<ByKind>() == 3 * size_of::<Entries>());

/// What a run of translated code takes and gives back.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Frame {
    /// The address of the guest's registers, [`BIAS`] bytes in.
    pub regs: u64,
    /// The address of the [`ByKind`] of loads and stores.
    pub data: u64,
    /// The address of the fetch entries.
    pub fetch: u64,
    /// The address of RAM's first byte.
    pub ram: u64,
    /// The address of a table that has, by page of RAM, the address of its entry points or 0.
    pub pages: u64,
    /// The address of the code.
    pub code: u64,
    /// The virtual address of the page that runs.
    pub page: u64,
    /// In and out: the instructions that may be executed.
    pub count: u64,
    /// Out: the address of the next instruction.
    pub pc: u64,
    /// 1 when floating-point instructions may run: `mstatus.FS` is Dirty, and the host has the rounding mode.
    pub float: u32,
    /// In and out: the guest's MXCSR.
    pub mxcsr: u32,
    /// The host's.
    pub host_mxcsr: u32,
    /// In and out: the physical address of the doubleword that `lr` has reserved, or [`NO_RESERVATION`].
    pub reservation: u64,
}

pub const RESERVATION: i32 = offset_of!(Frame, reservation) as i32;
/// No aligned doubleword has this address.
pub const NO_RESERVATION: u64 = u64::MAX;

/// Cells on the host's stack while translated code runs.
pub mod cell {
    use super::{Mem, Reg};

    /// The virtual address of the page that runs.
    pub const PAGE: Mem = Mem::at(Reg::Rsp, 0);
    pub const FETCH: Mem = Mem::at(Reg::Rsp, 8);
    pub const PAGES: Mem = Mem::at(Reg::Rsp, 16);
    pub const CODE: Mem = Mem::at(Reg::Rsp, 24);
    pub const FRAME: Mem = Mem::at(Reg::Rsp, 32);
    pub const FLOAT: Mem = Mem::at(Reg::Rsp, 40);
    /// How many windows are open at once.
    pub const WINDOWS: u8 = 8;
    /// Bytes of all cells: eight more than a multiple of sixteen.
    pub const BYTES: i32 = 56 + 8 * WINDOWS as i32;

    /// Where the base register of an open window points to in RAM.
    pub fn window(number: u8) -> Mem {
        Mem::at(Reg::Rsp, 48 + 8 * i32::from(number))
    }
}

/// Why translated code came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Why {
    /// What may be executed is less than the next block.
    Spent = 0,
    /// The instruction at `pc` is not the translator's, or cannot go the short way now.
    Slow = 1,
    /// Nothing is translated at `pc`.
    Lost = 2,
}
