//! Engines: what executes the instructions that need nothing but registers, code, and pages that the
//! translation cache knows (floating-point ones only while `mstatus.FS` is Dirty). Most of a guest's life is
//! spent here.
//!
//! An engine leaves *before* an instruction that needs more, so leaving is always exact; what is left over
//! executes the one long way, in [`cpu`](crate::cpu). What an engine keeps of the guest's code never shows:
//! [`Engines`] hears of every write to a page of which anything is kept.

pub(crate) mod alu;
pub(crate) mod float;
pub(crate) mod interpreter;
pub(crate) mod regs;
pub(crate) mod tlb;

use crate::mem::{PageFlags, Ram};
use interpreter::{CodeCache, HALFWORDS, Slot};
use regs::Regs;
use tlb::{Entries, PAGE_MASK, Spaces};

/// What an engine works on.
pub struct Work<'a> {
    pub regs: &'a mut Regs,
    pub fcsr: &'a mut u8,
    /// `mstatus.FS` is Dirty: floating point is on, and no use of it changes that.
    pub float: bool,
    /// Where loads and stores go.
    pub data: &'a Spaces,
    /// Where jumps go.
    pub fetch: &'a Entries,
    /// All of RAM, under the promise of [`Ram::bytes_mut`]: what a write entry leads to has been marked.
    pub ram: &'a mut [u8],
}

/// Why an engine left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// All the instructions asked for have retired.
    Spent,
    /// The instruction at `pc` needs more than an engine has.
    Slow(Slot),
    /// `pc` is on a page that the fetch entries do not know, or on a slot that is not decoded.
    Lost,
}

/// Where an engine left: the next instruction, and how many of those asked for are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub why: Leave,
    pub pc: u64,
    pub count: u64,
}

/// The engines of a hart, and the code that they keep.
pub struct Engines {
    code: CodeCache,
}

impl Engines {
    pub fn new() -> Self {
        Self { code: CodeCache::new() }
    }

    /// Prepares for code on RAM page `page`, which gets the flag `CODE`. True when all that was kept of other
    /// pages had to go first, so that no fetch entry may stay.
    pub fn admit(&mut self, ram: &mut Ram, page: u32) -> bool {
        let mut full = false;
        if self.code.slots(page.into()).is_none() && !self.code.insert(ram, page) {
            self.forget_all(ram);
            full = true;
            self.code.insert(ram, page);
        }
        ram.set_flags(page, PageFlags::CODE);
        full
    }

    /// Can the instruction at `pc`, on the admitted RAM page `page`, be run here? Not one that straddles two
    /// pages or is illegal.
    pub fn is_ready(&mut self, ram: &Ram, page: u32, pc: u64) -> bool {
        let at = in_page(pc);
        let decoded = |code: &CodeCache| code.slots(page.into()).is_some_and(|slots| slots[at] != Slot::NONE);
        if !decoded(&self.code) {
            self.code.decode_run(ram, page, at);
        }
        decoded(&self.code)
    }

    /// Runs at most `count` instructions from `pc`, which is ready on RAM page `page`.
    pub fn run(&mut self, work: &mut Work<'_>, page: u32, pc: u64, count: u64) -> Left {
        match self.code.slots(page.into()) {
            Some(slots) => interpreter::run(work, &self.code, slots, pc, count),
            None => Left { why: Leave::Lost, pc, count },
        }
    }

    /// Runs the instruction at `pc`, which is `slot`, without keeping anything.
    pub fn run_one(&mut self, work: &mut Work<'_>, slot: Slot, pc: u64) -> Left {
        // Alone on a page of its own, at its place.
        let mut alone = [Slot::NONE; HALFWORDS + 2];
        alone[in_page(pc)] = slot;
        interpreter::run(work, &self.code, &alone, pc, 1)
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written by the hart.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        self.code.forget_bytes(page, offset, len);
    }

    /// RAM page `page` has been written from outside, and has lost its flag, which it gets back.
    pub fn forget_page(&mut self, ram: &mut Ram, page: u32) {
        if self.code.slots(page.into()).is_some() {
            self.code.forget_page(page);
            ram.set_flags(page, PageFlags::CODE);
        }
    }

    /// Drops everything; no fetch entry may stay.
    pub fn forget_all(&mut self, ram: &mut Ram) {
        self.code.forget_all(|page| ram.clear_flags(page, PageFlags::CODE));
    }
}

/// Which halfword of its page `pc` is.
fn in_page(pc: u64) -> usize {
    (pc & !PAGE_MASK) as usize / 2
}
