//! Which loads and stores are looked up together: those of a chain of blocks that go by one value of one register
//! and reach over a short stretch, its *window*. The first of them looks the whole window up; where that fails (it
//! reaches over two pages, say) the rest of the chain is executed by a plain copy of its code, in which each
//! looks up its own address.

use super::layout::cell::WINDOWS;
use super::memory::size;
use super::plan::operands;
use crate::engine::planted::Planted;
use crate::isa::{Insn, Op};

/// Bytes that a window may reach over: the fewer, the more rarely does it reach over two pages.
const REACH_MAX: i32 = 512;

/// What several accesses have in common.
#[derive(Debug)]
pub struct Window {
    /// The register by which all of them go.
    pub base: u8,
    /// One of them is a store.
    pub writes: bool,
    /// What the one at the lowest address adds to the register.
    pub low: i32,
    /// An address of this much more than the register is as aligned as each of them wants its own, and is on the
    /// page of the last byte.
    pub high: i32,
    /// The bits of that address which must be zero.
    pub alignment: u64,
    /// The cell that keeps where the register points to in RAM.
    pub cell: u8,
    /// Instructions by their number in the chain.
    pub first: usize,
    last: usize,
    /// What the widest adds to the register.
    widest: i32,
}

/// The windows of a chain.
#[derive(Default)]
pub struct Windows {
    /// Ascending by their first access.
    pub windows: Vec<Window>,
    /// By instruction of the chain: its window.
    pub of: Vec<Option<u16>>,
}

/// Is it a load or a store that can share a look-up?
fn is_access(op: Op) -> bool {
    use Op::*;
    matches!(op, Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Sb | Sh | Sw | Sd | Flw | Fld | Fsw | Fsd)
}

pub fn is_store(op: Op) -> bool {
    matches!(op, Op::Sb | Op::Sh | Op::Sw | Op::Sd | Op::Fsw | Op::Fsd)
}

impl Window {
    /// That of access number `at` alone.
    fn new(at: usize, insn: &Insn, bytes: u8) -> Self {
        let (imm, alignment) = (insn.imm, u64::from(bytes) - 1);
        let (base, writes, cell) = (insn.rs1, is_store(insn.op), 0);
        Self { base, writes, low: imm, high: imm, alignment, cell, first: at, last: at, widest: imm }
    }

    /// Takes the access in, if it fits.
    fn take(&mut self, at: usize, insn: &Insn, bytes: u8) -> bool {
        let (low, high) = (self.low.min(insn.imm), self.high.max(insn.imm));
        let alignment = u64::from(bytes) - 1;
        // Aligned for the wider one is aligned for the other.
        let narrower = alignment.min(self.alignment) as i32;
        if high - low > REACH_MAX || (insn.imm - self.widest) & narrower != 0 {
            return false;
        }
        if alignment > self.alignment {
            (self.alignment, self.widest) = (alignment, insn.imm);
        }
        (self.low, self.high, self.last) = (low, high, at);
        self.writes |= is_store(insn.op);
        true
    }

    /// The last place of the widest's alignment that is not behind the highest.
    fn align(&mut self) {
        self.high -= (self.high - self.widest) & self.alignment as i32;
    }
}

impl Windows {
    /// Becomes the windows of the chain that has these instructions.
    pub fn find<'a>(&mut self, chain: impl Iterator<Item = &'a Insn>) {
        self.windows.clear();
        self.of.clear();
        // By register: the window that takes further accesses.
        let mut open = [None::<u16>; 32];
        for (at, insn) in chain.enumerate() {
            let mut number = None;
            if is_access(insn.op) {
                let (bytes, _) = size(insn.op);
                let slot = &mut open[usize::from(insn.rs1 & 31)];
                let taken = slot.filter(|&open| self.windows[usize::from(open)].take(at, insn, bytes));
                number = Some(taken.unwrap_or(self.windows.len() as u16));
                if taken.is_none() {
                    self.windows.push(Window::new(at, insn, bytes));
                }
                *slot = number;
            }
            self.of.push(number);
            if let Some(rd) = operands(insn).x[0]
                && !Planted::WindowStale.is_on()
            {
                open[usize::from(rd & 31)] = None;
            }
        }
        self.choose_cells();
    }

    /// Gives each window of several accesses a cell for the time from the first to the last; others are dissolved.
    fn choose_cells(&mut self) {
        let mut until = [None; WINDOWS as usize];
        for (number, window) in (0..).zip(&mut self.windows) {
            let Window { first, last, .. } = *window;
            let free = until.iter().position(|until| until.is_none_or(|until| until < first));
            match free.filter(|_| first < last) {
                Some(cell) => {
                    until[cell] = Some(last);
                    window.cell = cell as u8;
                    window.align();
                }
                None => {
                    let members = self.of[first..=last].iter_mut();
                    members.filter(|of| **of == Some(number)).for_each(|of| *of = None);
                }
            }
        }
    }
}
