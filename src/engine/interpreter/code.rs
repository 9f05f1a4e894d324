//! The cache of decoded instructions: for each page of RAM that has run, one slot a halfword.
//!
//! Invisible: a slot is filled from the bytes of the page and emptied when they are written, by the
//! hart ([`CodeCache::forget_bytes`]) or from outside ([`CodeCache::forget_page`]); a page that has
//! slots carries the flag `CODE` in RAM, so no store to it goes unnoticed ([`Engines`](super::super::Engines)).
//! An instruction that straddles two pages is never cached. Bounded: at [`PAGES_MAX`] pages all are dropped.

use crate::engine::regs::sink;
use crate::isa::{Extensions, Insn, Op, decode};
use crate::mem::{PAGE_BYTES, Ram};

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
pub type Slots = [Slot; HALFWORDS + 2];

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
        self.pages[page as usize] = Some(Box::new([Slot::NONE; HALFWORDS + 2]));
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
            *slots = [Slot::NONE; HALFWORDS + 2];
        }
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        let Some(slots) = self.slots_mut(page) else { return };
        let (first, last) = (offset / 2, (offset + len - 1) / 2);
        slots[first..=last].fill(Slot::NONE);
        if first > 0 && slots[first - 1].len == 2 {
            slots[first - 1] = Slot::NONE;
        }
    }

    /// Decodes from halfword `position` of RAM page `page`, which has slots, until a jump, an illegal
    /// instruction, the page's end or what is decoded already.
    pub fn decode_run(&mut self, ram: &Ram, page: u32, position: usize) {
        let extensions = self.extensions;
        let Some(slots) = self.slots_mut(page) else { return };
        let bytes = ram.page(page);
        let mut position = position;
        for _ in 0..RUN_MAX {
            let Some(&[a, b, c, d]) = bytes[2 * position..].first_chunk() else {
                // The last halfword: good for a short instruction only.
                if let Some(&[a, b]) = bytes[2 * position..].first_chunk() {
                    let insn = decode(u32::from(u16::from_le_bytes([a, b])), extensions);
                    if insn.len == 2 && insn.op != Op::Illegal {
                        slots[position] = insn.into();
                    }
                }
                return;
            };
            let insn = decode(u32::from_le_bytes([a, b, c, d]), extensions);
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
