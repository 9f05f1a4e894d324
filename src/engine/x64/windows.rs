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
}

/// What is known of a window before all its accesses are.
struct Candidate {
    members: Vec<usize>,
    low: i32,
    high: i32,
    /// Of the widest so far.
    bytes: u8,
    imm: i32,
    writes: bool,
}

/// The windows of a chain.
#[derive(Default)]
pub struct Windows {
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

impl Candidate {
    fn new(at: usize, insn: &Insn, bytes: u8) -> Self {
        let (low, high) = (insn.imm, insn.imm);
        Self { members: vec![at], low, high, bytes, imm: insn.imm, writes: is_store(insn.op) }
    }

    /// Takes the access in, if it fits.
    fn take(&mut self, at: usize, insn: &Insn, bytes: u8) -> bool {
        let (low, high) = (self.low.min(insn.imm), self.high.max(insn.imm));
        // Aligned for the wider one is aligned for the other.
        let narrower = i32::from(bytes.min(self.bytes));
        if high - low > REACH_MAX || (insn.imm - self.imm) % narrower != 0 {
            return false;
        }
        if bytes > self.bytes {
            (self.bytes, self.imm) = (bytes, insn.imm);
        }
        (self.low, self.high) = (low, high);
        self.writes |= is_store(insn.op);
        self.members.push(at);
        true
    }
}

impl Windows {
    /// The windows of the chain that has these instructions.
    pub fn of<'a>(chain: impl Iterator<Item = &'a Insn>) -> Self {
        let mut found = Self::default();
        let mut open: [Option<Candidate>; 32] = [const { None }; 32];
        for (at, insn) in chain.enumerate() {
            found.of.push(None);
            if is_access(insn.op) {
                let (bytes, _) = size(insn.op);
                let slot = &mut open[usize::from(insn.rs1 & 31)];
                if !slot.as_mut().is_some_and(|candidate| candidate.take(at, insn, bytes)) {
                    let full = slot.replace(Candidate::new(at, insn, bytes));
                    found.close(insn.rs1, full);
                }
            }
            if let Some(rd) = operands(insn).x[0]
                && !Planted::WindowStale.is_on()
            {
                let full = open[usize::from(rd & 31)].take();
                found.close(rd, full);
            }
        }
        for (base, candidate) in (0..).zip(open) {
            found.close(base, candidate);
        }
        found.choose_cells();
        found
    }

    fn close(&mut self, base: u8, candidate: Option<Candidate>) {
        let Some(Candidate { members, low, high, bytes, imm, writes }) = candidate else { return };
        let [first, .., last] = members[..] else { return };
        // The last place of the widest's alignment that is not behind the highest.
        let high = high - (high - imm).rem_euclid(bytes.into());
        let number = self.windows.len() as u16;
        members.iter().for_each(|&at| self.of[at] = Some(number));
        let alignment = u64::from(bytes) - 1;
        self.windows.push(Window { base, writes, low, high, alignment, cell: 0, first, last });
    }

    /// Gives each window a cell for the time from its first to its last access; one that gets none is dissolved.
    fn choose_cells(&mut self) {
        let mut order: Vec<usize> = (0..self.windows.len()).collect();
        order.sort_unstable_by_key(|&number| self.windows[number].first);
        let mut until = [None; WINDOWS as usize];
        for number in order {
            let Window { first, last, .. } = self.windows[number];
            match until.iter().position(|until| until.is_none_or(|until| until < first)) {
                Some(cell) => {
                    until[cell] = Some(last);
                    self.windows[number].cell = cell as u8;
                }
                None => {
                    let members = self.of[first..=last].iter_mut();
                    members.filter(|of| **of == Some(number as u16)).for_each(|of| *of = None);
                }
            }
        }
    }
}
