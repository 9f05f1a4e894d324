//! The cache of decoded instructions: for each page of RAM that has run, one slot a halfword.
//!
//! Invisible: a slot is filled from the bytes of the page and emptied when they are written, by the
//! hart ([`CodeCache::forget_bytes`]) or from outside ([`CodeCache::forget_page`]); a page that has
//! slots carries the flag `CODE` in RAM, so no store to it goes unnoticed. An instruction that
//! straddles two pages is never cached. Bounded: at [`PAGES_MAX`] pages all are dropped.

use super::regs::sink;
use crate::isa::{Insn, Op, decode};
use crate::mem::{PAGE_BYTES, PageFlags, Ram};

/// Decoded pages kept at once; each takes 16 KiB.
pub const PAGES_MAX: usize = 2048;
/// Halfwords of a page.
pub const HALFWORDS: usize = PAGE_BYTES / 2;
/// How many instructions are decoded ahead.
const RUN_MAX: usize = 32;

/// A decoded instruction, as small as the engine can use it.
///
/// `rd` is already [`sink`]ed where it names an integer register. Offsets of branches and jumps
/// count halfwords. `lui`, `auipc` and `jal` have a [`wide`](Slot::wide) immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    pub op: Op,
    pub rd: u8,
    pub rs1: u8,
    pub rs2: u8,
    pub imm: i16,
    /// Halfwords of the encoding: 1 or 2.
    pub len: u8,
    /// Bits 7..3: `rs3`; bits 2..0: `rm`.
    pub aux: u8,
}

impl Slot {
    /// Nothing is known of this halfword. (An instruction that is illegal is never cached.)
    pub const NONE: Self = Self { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, len: 0, aux: 0 };

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
        };
        let wide = match insn.op {
            Op::Lui | Op::Auipc => insn.imm,
            Op::Jal => insn.imm / 2,
            Op::Beq | Op::Bne | Op::Blt | Op::Bge | Op::Bltu | Op::Bgeu => {
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
    )
}

/// Does the instruction after this one usually not follow?
fn ends_run(op: Op) -> bool {
    matches!(op, Op::Jal | Op::Jalr | Op::Mret | Op::Sret)
}

/// The slots of one page, and two past its end, always empty, for an instruction that ends there.
pub type Slots = [Slot; HALFWORDS + 2];

pub struct CodePage {
    /// Its number in RAM.
    page: u32,
    pub slots: Slots,
}

pub struct CodeCache {
    pages: Vec<Box<CodePage>>,
    /// By page of RAM: 1 + the index in `pages`, or 0.
    index: Vec<u32>,
}

impl CodeCache {
    pub fn new() -> Self {
        Self { pages: Vec::new(), index: Vec::new() }
    }

    /// The slots of the page at `index`, which is there (asserted).
    #[inline(always)]
    pub fn slots(&self, index: u64) -> &Slots {
        &self.pages[index as usize].slots
    }

    /// The index of RAM page `page`'s slots, when there are any.
    pub fn find(&self, page: u32) -> Option<u64> {
        self.index.get(page as usize)?.checked_sub(1).map(u64::from)
    }

    /// Makes (empty) slots for RAM page `page` and flags it. True when all others had to go first.
    pub fn insert(&mut self, ram: &mut Ram, page: u32) -> bool {
        let full = self.pages.len() >= PAGES_MAX;
        if full {
            self.forget_all(ram);
        }
        self.index.resize(ram.pages() as usize, 0);
        self.pages.push(Box::new(CodePage { page, slots: [Slot::NONE; HALFWORDS + 2] }));
        self.index[page as usize] = self.pages.len() as u32;
        ram.set_flags(page, PageFlags::CODE);
        full
    }

    pub fn forget_all(&mut self, ram: &mut Ram) {
        for page in self.pages.drain(..) {
            ram.clear_flags(page.page, PageFlags::CODE);
            self.index[page.page as usize] = 0;
        }
    }

    /// Empties the slots of RAM page `page`, which keeps its place and gets its flag back.
    pub fn forget_page(&mut self, ram: &mut Ram, page: u32) {
        if let Some(index) = self.find(page) {
            self.pages[index as usize].slots = [Slot::NONE; HALFWORDS + 2];
            ram.set_flags(page, PageFlags::CODE);
        }
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        let Some(index) = self.find(page) else { return };
        let slots = &mut self.pages[index as usize].slots;
        let (first, last) = (offset / 2, (offset + len - 1) / 2);
        slots[first..=last].fill(Slot::NONE);
        if first > 0 && slots[first - 1].len == 2 {
            slots[first - 1] = Slot::NONE;
        }
    }

    /// Decodes from halfword `position` of the page at `index` until a jump, an illegal
    /// instruction, the page's end or what is decoded already.
    pub fn decode_run(&mut self, ram: &Ram, index: u64, position: usize) {
        let CodePage { page, slots } = &mut *self.pages[index as usize];
        let bytes = ram.page(*page);
        let mut position = position;
        for _ in 0..RUN_MAX {
            let Some(&[a, b, c, d]) = bytes[2 * position..].first_chunk() else {
                // The last halfword: good for a short instruction only.
                if let Some(&[a, b]) = bytes[2 * position..].first_chunk() {
                    let insn = decode(u32::from(u16::from_le_bytes([a, b])));
                    if insn.len == 2 && insn.op != Op::Illegal {
                        slots[position] = insn.into();
                    }
                }
                return;
            };
            let insn = decode(u32::from_le_bytes([a, b, c, d]));
            if insn.op == Op::Illegal || slots[position] != Slot::NONE {
                return;
            }
            slots[position] = insn.into();
            position += usize::from(insn.len / 2);
            if ends_run(insn.op) || position >= HALFWORDS {
                return;
            }
        }
    }
}
