//! The translator: guest code becomes x86-64 host code, a region at a time, once it has run a few times.
//!
//! Reading order: `layout` (which registers and cells mean what), `plan` (what is translated at once) with `loops` and
//! `budget` (how instructions are counted), `windows` (which accesses are looked up together), `emit` with
//! `memory`, `bits` and `fp` (an instruction becomes host instructions), `routines` (in, out, from region to region),
//! `asm`, `exec` (the memory, and all `unsafe`). Here: what is translated where, and the loop around it.
//!
//! Regions know nothing of each other: what leads out of one goes by way of the fetch entries and the entry
//! points of the page that they name. So nothing is ever patched, and a page is forgotten by clearing its entry
//! points. Its code stays in the cache until the cache is full; then everything is forgotten.

mod asm;
mod bits;
mod budget;
mod emit;
mod exec;
#[cfg(test)]
pub mod forbidden;
mod fp;
mod layout;
mod loops;
mod memory;
mod plan;
mod routines;
mod windows;

use emit::{Host, Place, emit};
use exec::CodeMemory;
use layout::Why;
use plan::{Code, End, Planner};
use routines::{Routines, routines};

use super::interpreter::{self, CodeCache, HALFWORDS, Slot};
use super::planted::Planted;
use super::tlb::{PAGE_MASK, slot};
use super::{Fared, Leave, Left, Work, in_page};
use crate::isa::{Extensions, Insn, Op};
use crate::mem::PAGE_BYTES;

/// Bytes of translated code kept at once.
const CODE_BYTES: usize = 64 << 20;
/// So often a jump leads to a place before it is translated.
const HEAT_ENOUGH: u8 = 8;
/// As often the hart comes back from an instruction that went the long way to a place inside of what is translated.
const HEAT_INSIDE: u8 = 64;
/// The place cannot be translated.
const COLD_FOREVER: u8 = u8::MAX;
/// After so many times in which its code was written over, a page is interpreted until everything is forgotten.
const REWRITES_MAX: u8 = 64;

/// What is translated of a page.
struct Page {
    /// By halfword: where it is entered, from the beginning of the cache, or 0.
    entries: [u32; HALFWORDS],
    /// By halfword: how often the way led there while it was not translated.
    heat: [u8; HALFWORDS],
    /// Bit by halfword: an instruction of a translated region that is not its block's first.
    inside: [u64; HALFWORDS / 64],
    /// Bit by 64 bytes: a region was made from some of them.
    covered: u64,
    rewrites: u8,
}

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self {
            entries: [0; HALFWORDS],
            heat: [0; HALFWORDS],
            inside: [0; HALFWORDS / 64],
            covered: 0,
            rewrites: 0,
        })
    }

    fn forget(&mut self) {
        let rewrites = self.rewrites.saturating_add(1);
        *self = Self { rewrites, ..*Self::new() };
    }

    fn is_inside(&self, at: usize) -> bool {
        self.inside[at / 64] & 1 << (at % 64) != 0
    }

    fn cover(&mut self, first: usize, last: usize) {
        let far = usize::from(Planted::GranuleOffByOne.is_on());
        for granule in first / 64..=last / 64 {
            self.covered |= 1 << ((granule + far) % 64);
        }
    }

    /// Is any of bytes `first..=last` translated?
    fn is_covered(&self, first: usize, last: usize) -> bool {
        (first / 64..=last / 64).any(|granule| self.covered & 1 << granule != 0)
    }
}

pub struct Translator {
    memory: CodeMemory,
    routines: Routines,
    used: usize,
    host: Host,
    pages: Vec<Option<Box<Page>>>,
    /// By page of RAM: the address of its entry points, or 0. What translated code sees of `pages`.
    tables: Vec<u64>,
    planner: Planner,
    fared: Fared,
    heat_enough: u8,
    heat_inside: u8,
}

fn translates(insn: &Insn, host: Host) -> bool {
    use Op::*;
    match insn.op {
        Illegal | Ecall | Ebreak | Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci | Mret | Sret | Wfi
        | SfenceVma | CboInval | CboClean | CboFlush | CboZero => false,
        op if bits::is_bits(op) => bits::translates(op, host),
        op if op >= Flw => fp::translates(insn, host),
        _ => true,
    }
}

/// What translated code leaves before, and the interpreter does when it can: misaligned accesses, `cbo.zero`, what
/// the host lacks, some of floating point.
fn may_be_short(op: Op) -> bool {
    use Op::*;
    matches!(op, Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Sb | Sh | Sw | Sd | CboZero)
        || bits::is_bits(op)
        || op >= Flw
}

impl Translator {
    /// An error where the host does not let a process make code.
    pub fn new() -> std::io::Result<Self> {
        Self::of_bytes(CODE_BYTES)
    }

    /// With so many bytes of translated code kept at once.
    pub fn of_bytes(bytes: usize) -> std::io::Result<Self> {
        let mut memory = CodeMemory::new(bytes)?;
        let routines = routines();
        memory.put(0, &routines.code);
        Ok(Self {
            used: routines.code.len(),
            memory,
            routines,
            host: Host {
                bmi1: std::arch::is_x86_feature_detected!("bmi1"),
                lzcnt: std::arch::is_x86_feature_detected!("lzcnt"),
                popcnt: std::arch::is_x86_feature_detected!("popcnt"),
                bmi2: std::arch::is_x86_feature_detected!("bmi2"),
                fma: std::arch::is_x86_feature_detected!("fma"),
            },
            pages: Vec::new(),
            tables: Vec::new(),
            planner: Planner::new(),
            fared: Fared::default(),
            heat_enough: HEAT_ENOUGH,
            heat_inside: HEAT_INSIDE,
        })
    }

    #[cfg(test)]
    pub fn make_eager(&mut self) {
        (self.heat_enough, self.heat_inside) = (1, 1);
    }

    #[cfg(test)]
    pub fn make_basic(&mut self) {
        self.host = Host { bmi1: false, bmi2: false, lzcnt: false, popcnt: false, fma: false };
    }

    pub fn fared(&self) -> Fared {
        self.fared
    }

    /// Runs at most `count` instructions from `pc`, which is on RAM page `page`.
    pub fn run(&mut self, work: &mut Work<'_>, code: &CodeCache, page: u32, pc: u64, count: u64) -> Left {
        let (mut page, mut left) = (page, Left { why: Leave::Spent, pc, count });
        let pages = work.ram.len() / PAGE_BYTES;
        if self.tables.len() < pages {
            self.tables.resize(pages, 0);
            self.pages.resize_with(pages, || None);
        }
        let mut jumped = false;
        let rounding = fp::mxcsr_of(*work.fcsr >> 5).filter(|_| work.float);
        while left.count > 0 {
            let at = in_page(left.pc);
            let entry = self.entry(work, code.extensions(), page, at, jumped);
            if let Some(entry) = entry {
                let before = left.count;
                let places = (self.routines.trampoline, entry);
                let why = self.memory.call(places, work, &self.tables, rounding, &mut left);
                self.fared.translated += before - left.count;
                if left.count == 0 {
                    break;
                }
                let Some(next) = find_page(work, left.pc) else {
                    return Left { why: Leave::Lost, ..left };
                };
                page = next;
                jumped = why == Why::Lost;
                match why {
                    Why::Spent => return self.interpret::<false>(work, code, page, left),
                    Why::Slow => {
                        // What has run was decoded, unless that was forgotten since.
                        let slot =
                            code.slots(page.into()).map_or(Slot::NONE, |slots| slots[in_page(left.pc)]);
                        if !may_be_short(slot.op) {
                            left.why = if slot == Slot::NONE { Leave::Lost } else { Leave::Slow(slot) };
                            return left;
                        }
                        let others = left.count - 1;
                        left = self.interpret::<false>(work, code, page, Left { count: 1, ..left });
                        let done = left.count == 0;
                        left.count += others;
                        if !done {
                            return left;
                        }
                    }
                    Why::Lost => continue,
                }
            } else {
                let before = left.count;
                left = self.interpret::<true>(work, code, page, left);
                if left.why != Leave::Lost || left.count == before {
                    return left;
                }
                jumped = true;
            }
            match find_page(work, left.pc) {
                Some(next) => page = next,
                None => return Left { why: Leave::Lost, ..left },
            }
        }
        Left { why: Leave::Spent, ..left }
    }

    fn interpret<const BLOCK: bool>(
        &mut self,
        work: &mut Work<'_>,
        code: &CodeCache,
        page: u32,
        from: Left,
    ) -> Left {
        let Some(slots) = code.slots(page.into()) else { return Left { why: Leave::Lost, ..from } };
        let left = interpreter::run::<BLOCK>(work, code, slots, from.pc, from.count);
        self.fared.interpreted += from.count - left.count;
        left
    }

    /// Where halfword `at` of RAM page `page` is entered; translates it if it has got hot, which it gets faster when
    /// a jump has led there.
    fn entry(
        &mut self,
        work: &Work<'_>,
        extensions: Extensions,
        page: u32,
        at: usize,
        jumped: bool,
    ) -> Option<u32> {
        let known = self.pages[page as usize].get_or_insert_with(Page::new);
        match known.entries[at] {
            0 => {}
            entry => return Some(entry),
        }
        let enough = if known.is_inside(at) && !jumped { self.heat_inside } else { self.heat_enough };
        let heat = &mut known.heat[at];
        if *heat == COLD_FOREVER || known.rewrites >= REWRITES_MAX {
            return None;
        }
        *heat += 1;
        if *heat < enough {
            return None;
        }
        *heat = COLD_FOREVER;
        self.translate(work, extensions, page, at)
    }

    #[cold]
    fn translate(&mut self, work: &Work<'_>, extensions: Extensions, page: u32, at: usize) -> Option<u32> {
        let start = page as usize * PAGE_BYTES;
        let bytes = work.ram.get(start..start + PAGE_BYTES)?;
        let code = Code { bytes, extensions };
        let host = self.host;
        let plan = self.planner.plan(code, at as u16, |insn| translates(insn, host))?;
        let known = self.pages[page as usize].get_or_insert_with(Page::new);
        let place = Place {
            shared: self.routines.shared,
            base: self.used as u32,
            entries: known.entries.as_ptr() as u64,
        };
        let region = emit(&plan, host, &place);
        if self.used + region.code.len() > self.memory.len() {
            self.fared.full += 1;
            self.forget_all();
            return None;
        }
        self.memory.put(self.used, &region.code);
        let base = self.used as u32;
        self.used += region.code.len();
        self.fared.regions += 1;
        let known = self.pages[page as usize].get_or_insert_with(Page::new);
        for (at, offset) in region.entries {
            let entry = &mut known.entries[usize::from(at)];
            if *entry == 0 {
                *entry = base + offset;
            }
        }
        for (index, block) in plan.blocks.iter().enumerate() {
            for (at, insn) in plan.insns(index) {
                let first = 2 * usize::from(*at);
                known.cover(first, first + usize::from(insn.len) - 1);
                if *at != block.at {
                    known.inside[usize::from(*at) / 64] |= 1 << (at % 64);
                }
            }
            // What ended the block for what it is: it may become something else.
            let end = 2 * usize::from(block.next);
            if matches!(block.end, End::Slow | End::Lost)
                && end < PAGE_BYTES
                && !Planted::EndUncovered.is_on()
            {
                known.cover(end, (end + 3).min(PAGE_BYTES - 1));
            }
        }
        self.tables[page as usize] = known.entries.as_ptr() as u64;
        Some(known.entries[at]).filter(|&entry| entry != 0)
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        if let Some(Some(known)) = self.pages.get_mut(page as usize)
            && known.is_covered(offset, offset + len - 1)
            && !Planted::CodeStale.is_on()
        {
            known.forget();
            self.fared.rewritten += 1;
        }
    }

    pub fn forget_page(&mut self, page: u32) {
        self.forget_bytes(page, 0, PAGE_BYTES);
    }

    pub fn forget_all(&mut self) {
        self.used = self.routines.code.len();
        self.tables.fill(0);
        self.pages.iter_mut().for_each(|page| *page = None);
    }
}

/// The RAM page that `pc` is on, if the fetch entries know it.
fn find_page(work: &Work<'_>, pc: u64) -> Option<u32> {
    let entry = work.fetch[slot(pc)];
    (entry.tag == pc & PAGE_MASK).then_some(entry.delta as u32)
}
