//! The cache of decoded instructions: for each page of RAM that has run, one slot a halfword.
//!
//! Invisible: a slot is filled from the bytes of the page and emptied when they are written, by the
//! hart ([`CodeCache::forget_bytes`]) or from outside ([`CodeCache::forget_page`]); a page that has
//! slots carries the flag `CODE` in RAM, so no store to it goes unnoticed ([`Engines`](super::super::Engines)).
//! An instruction that straddles two pages is never cached. Bounded: at [`PAGES_MAX`] pages all are dropped.

use std::fmt;
use std::ops::Index;

use super::steps::{Step, nothing, step_of};
use crate::engine::regs::sink;
use crate::isa::{Extensions, Insn, Op, decode};
use crate::mem::{PAGE_BYTES, Ram};

/// Decoded pages kept at once; each takes 34 KiB.
pub const PAGES_MAX: usize = 2048;
/// Halfwords of a page.
pub const HALFWORDS: usize = PAGE_BYTES / 2;
/// How many instructions are decoded ahead.
const AHEAD_MAX: usize = 64;
/// The longest run.
const RUN_MAX: u8 = 200;

/// A decoded instruction, as small as the engine can use it.
///
/// `rd` is already [`sink`]ed where it names an integer register. Offsets of branches and jumps
/// count halfwords. `lui`, `auipc` and `jal` have a [`wide`](Slot::wide) immediate.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Slot {
    pub op: Op,
    pub rd: u8,
    pub rs1: u8,
    pub rs2: u8,
    pub imm: i16,
    /// Halfwords of the encoding: 1 or 2.
    pub len: u8,
    /// Bits 7..3: `rs3`; bits 2..0: `rm`. Of a branch: how many instructions are behind it in its run.
    pub aux: u8,
    /// What executes it.
    pub(super) step: Step,
}

impl PartialEq for Slot {
    /// Is it the same instruction? Where it is decides what executes it.
    fn eq(&self, other: &Self) -> bool {
        let all = |slot: &Self| (slot.op, slot.rd, slot.rs1, slot.rs2, slot.imm, slot.len, slot.aux);
        all(self) == all(other)
    }
}

impl Eq for Slot {}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, rd, rs1, rs2, imm, len, aux, step: _ } = self;
        write!(f, "{op:?} {rd} {rs1} {rs2} {imm} ({len}, {aux:#x})")
    }
}

impl Slot {
    /// Nothing is known of this halfword. (An instruction that is illegal is never cached.)
    pub const NONE: Self =
        Self { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, len: 0, aux: 0, step: nothing };

    pub const fn is_none(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    pub const fn wide(self) -> i32 {
        let [low, high] = self.imm.to_le_bytes();
        i32::from_le_bytes([self.rs1, self.rs2, low, high])
    }

    pub const fn rs3(self) -> u8 {
        self.aux >> 3
    }

    pub const fn rm(self) -> u8 {
        self.aux & 7
    }

    /// The CSR that a Zicsr instruction names.
    pub const fn csr(self) -> u16 {
        self.imm as u16
    }
}

impl From<Insn> for Slot {
    fn from(insn: Insn) -> Self {
        let mut slot = Self {
            op: insn.op,
            rd: if writes_float(insn.op) { insn.rd } else { sink(insn.rd) },
            rs1: insn.rs1,
            rs2: insn.rs2,
            imm: insn.imm as i16,
            len: insn.len / 2,
            aux: insn.rs3 << 3 | insn.rm,
            step: step_of(insn.op, insn.len / 2, insn.rm),
        };
        let wide = match insn.op {
            Op::Lui | Op::Auipc => insn.imm,
            Op::Jal => insn.imm / 2,
            op if op.is_branch() => {
                slot.imm = (insn.imm / 2) as i16;
                return slot;
            }
            _ => return slot,
        };
        let [a, b, c, d] = wide.to_le_bytes();
        Self { rs1: a, rs2: b, imm: i16::from_le_bytes([c, d]), ..slot }
    }
}

/// Does `rd` name a floating-point register?
fn writes_float(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        Flw | FmaddS
            | FmsubS
            | FnmsubS
            | FnmaddS
            | FaddS
            | FsubS
            | FmulS
            | FdivS
            | FsqrtS
            | FsgnjS
            | FsgnjnS
            | FsgnjxS
            | FminS
            | FmaxS
            | FcvtSW
            | FcvtSWu
            | FcvtSL
            | FcvtSLu
            | FmvWX
            | Fld
            | FmaddD
            | FmsubD
            | FnmsubD
            | FnmaddD
            | FaddD
            | FsubD
            | FmulD
            | FdivD
            | FsqrtD
            | FsgnjD
            | FsgnjnD
            | FsgnjxD
            | FminD
            | FmaxD
            | FcvtSD
            | FcvtDS
            | FcvtDW
            | FcvtDWu
            | FcvtDL
            | FcvtDLu
            | FmvDX
            | Flh
            | FmvHX
            | FcvtSH
            | FcvtDH
            | FcvtHS
            | FcvtHD
            | FliS
            | FminmS
            | FmaxmS
            | FroundS
            | FroundnxS
            | FliD
            | FminmD
            | FmaxmD
            | FroundD
            | FroundnxD
    )
}

/// Does the instruction after this one usually not follow?
fn ends_run(op: Op) -> bool {
    matches!(op, Op::Jal | Op::Jalr | Op::Mret | Op::Sret)
}

/// The slots of one page, and two past its end, always empty, for an instruction that ends there.
///
/// Instructions that execute one after the other as long as no branch is taken are a *run*. The last of a run
/// does not lead on: it jumps, or its step is [`last`](super::steps::last). So whoever enters a run knows how many
/// instructions it can execute at most, and they need not be counted one by one.
pub struct Slots {
    pub slots: [Slot; HALFWORDS + 2],
    /// How many instructions are left in the run, with that of the slot; 0 where none is decoded.
    pub runs: [u8; HALFWORDS + 2],
}

impl Slots {
    pub const NONE: Self = Self { slots: [Slot::NONE; HALFWORDS + 2], runs: [0; HALFWORDS + 2] };

    /// Makes `slot` the only one of its run.
    pub fn put_alone(&mut self, at: usize, slot: Slot) {
        self.slots[at] = Slot { step: super::steps::last, ..slot };
        self.runs[at] = 1;
    }

    pub fn clear(&mut self, at: usize) {
        self.slots[at] = Slot::NONE;
        self.runs[at] = 0;
    }

    /// Does the instruction at `at` lead on to a slot?
    fn leads_on(&self, at: usize) -> bool {
        self.runs[at] > 1
    }

    /// Decoded instructions from `first` on, the last of which is at `last`, are (the beginning of) a run.
    fn join(&mut self, first: usize, last: usize) {
        let mut ats = [0u16; AHEAD_MAX];
        let mut count = 0;
        let mut at = first;
        while at < last {
            ats[count] = at as u16;
            count += 1;
            at += usize::from(self.slots[at].len);
        }
        let next = last + usize::from(self.slots[last].len);
        let mut run = match self.runs[next] {
            0 => None,
            run if usize::from(run) + count + 1 > usize::from(RUN_MAX) => None,
            run if !ends_run(self.slots[last].op) => Some(run),
            _ => None,
        };
        let mut of = |slots: &mut Self, at: usize| {
            let this = &mut slots.slots[at];
            match run {
                Some(_) => {}
                None if ends_run(this.op) => {}
                None => this.step = super::steps::last,
            }
            if this.op.is_branch() {
                this.aux = run.unwrap_or(0);
            }
            let length = run.unwrap_or(0) + 1;
            slots.runs[at] = length;
            run = Some(length);
        };
        of(self, last);
        for &at in ats[..count].iter().rev() {
            of(self, at.into());
        }
    }
}

impl Index<usize> for Slots {
    type Output = Slot;

    fn index(&self, at: usize) -> &Slot {
        &self.slots[at]
    }
}

pub struct CodeCache {
    /// What the code is decoded for.
    extensions: Extensions,
    /// By page of RAM.
    pages: Vec<Option<Box<Slots>>>,
    /// The pages of RAM that have slots.
    held: Vec<u32>,
}

impl CodeCache {
    pub fn new(extensions: Extensions) -> Self {
        Self { extensions, pages: Vec::new(), held: Vec::new() }
    }

    /// What the code is decoded for.
    pub fn extensions(&self) -> Extensions {
        self.extensions
    }

    /// The slots of RAM page `page`, when there are any.
    #[inline(always)]
    pub fn slots(&self, page: u64) -> Option<&Slots> {
        self.pages.get(page as usize)?.as_deref()
    }

    fn slots_mut(&mut self, page: u32) -> Option<&mut Slots> {
        self.pages.get_mut(page as usize)?.as_deref_mut()
    }

    /// True when RAM page `page`, which has no slots, gets (empty) ones; false when there is no room.
    pub fn insert(&mut self, ram: &Ram, page: u32) -> bool {
        if self.held.len() >= PAGES_MAX {
            return false;
        }
        self.pages.resize_with(ram.pages() as usize, || None);
        self.pages[page as usize] = Some(Box::new(Slots::NONE));
        self.held.push(page);
        true
    }

    /// Drops everything, and calls `dropped` with each page that had slots.
    pub fn forget_all(&mut self, dropped: impl FnMut(u32)) {
        for &page in &self.held {
            self.pages[page as usize] = None;
        }
        self.held.drain(..).for_each(dropped);
    }

    /// Empties the slots of RAM page `page`, which keeps its place.
    pub fn forget_page(&mut self, page: u32) {
        if let Some(slots) = self.slots_mut(page) {
            *slots = Slots::NONE;
        }
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        let Some(slots) = self.slots_mut(page) else { return };
        let (first, last) = (offset / 2, (offset + len - 1) / 2);
        (first..=last).for_each(|at| slots.clear(at));
        let mut at = first;
        if at > 0 && slots[at - 1].len == 2 {
            at -= 1;
            slots.clear(at);
        }
        // What leads here knows how many instructions follow.
        while at > 0 && (slots.leads_on(at - 1) || at > 1 && slots.leads_on(at - 2)) {
            at -= 1;
            slots.clear(at);
        }
    }

    /// Decodes from halfword `position` of RAM page `page`, which has slots, until a jump, an illegal
    /// instruction, the page's end or what is decoded already.
    pub fn decode_run(&mut self, ram: &Ram, page: u32, position: usize) {
        let extensions = self.extensions;
        let Some(slots) = self.slots_mut(page) else { return };
        let bytes = ram.page(page);
        let (mut next, mut last) = (position, None);
        for _ in 0..AHEAD_MAX {
            // The last halfword of a page is good for a short instruction only.
            let insn = match bytes[2 * next..] {
                [a, b, c, d, ..] => decode(u32::from_le_bytes([a, b, c, d]), extensions),
                [a, b] => decode(u32::from(u16::from_le_bytes([a, b])), extensions),
                _ => break,
            };
            let at_end = 2 * next + usize::from(insn.len) > PAGE_BYTES;
            if insn.op == Op::Illegal || at_end || !slots[next].is_none() {
                break;
            }
            slots.slots[next] = insn.into();
            last = Some(next);
            next += usize::from(insn.len / 2);
            if ends_run(insn.op) {
                break;
            }
        }
        if let Some(last) = last {
            slots.join(position, last);
        }
    }
}
