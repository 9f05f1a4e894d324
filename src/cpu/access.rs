//! The long way to memory: translation, protection, misaligned accesses, memory-mapped I/O, and
//! what a store must tell the caches. Everything here is exact by itself; the caches that it fills
//! only make the next access short.
//!
//! A misaligned access to RAM succeeds; where it crosses pages, both are checked before any byte is
//! stored, the lower first, and `xtval` is the first address of the part that failed. A misaligned
//! access to anything else is an access fault.

use super::ask::{Answer, Question};
use super::bus::{Bus, BusRead};
use super::csr::{Privilege, status};
use super::hart::Hart;
use super::tlb::{Entry, PAGE_MASK, Space, slot};
use super::trap::{Cause, Trap};
use crate::base::{GuestPhys, GuestVirt};
use crate::mem::sv39::{self, Mapping, PTE_VALID, Rights, WalkFault};
use crate::mem::{Access, PAGE_BYTES, PageFlags, RAM_BASE, Ram};

/// Why an instruction did not retire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    Trap(Trap),
    /// A reserved encoding, or not allowed here: `xtval` gets the instruction's bits.
    Illegal,
    Ask(Question),
}

impl From<Trap> for Halt {
    fn from(trap: Trap) -> Self {
        Halt::Trap(trap)
    }
}

const PAGE: u64 = PAGE_BYTES as u64;

/// The parts of an access that touches one or two pages.
enum Span {
    /// Everything on one page, from this physical address.
    One(u64),
    /// The first bytes (so many) end a page at the first address; the rest starts another.
    Two(u64, usize, u64),
}

fn page_fault(access: Access, at: u64) -> Trap {
    let cause = match access {
        Access::Fetch => Cause::FetchPage,
        Access::Load => Cause::LoadPage,
        Access::Store => Cause::StorePage,
    };
    Trap::new(cause, at)
}

fn access_fault(access: Access, at: u64) -> Trap {
    let cause = match access {
        Access::Fetch => Cause::FetchAccess,
        Access::Load => Cause::LoadAccess,
        Access::Store => Cause::StoreAccess,
    };
    Trap::new(cause, at)
}

impl Hart {
    /// The mode whose rights loads and stores have (`mstatus.MPRV`).
    fn data_privilege(&self) -> Privilege {
        if self.privilege == Privilege::Machine && self.csrs.mstatus & status::MPRV != 0 {
            self.csrs.previous_privilege()
        } else {
            self.privilege
        }
    }

    /// The translation space of loads and stores.
    pub(super) fn data_space(&self) -> Space {
        match self.data_privilege() {
            Privilege::User => Space::User,
            Privilege::Supervisor if self.csrs.mstatus & status::SUM != 0 => Space::SupervisorWithUser,
            Privilege::Supervisor => Space::Supervisor,
            Privilege::Machine => Space::Machine,
        }
    }

    /// The translation space of instruction fetches.
    pub(super) fn fetch_space(&self) -> Space {
        match self.privilege {
            Privilege::User => Space::User,
            Privilege::Supervisor => Space::Supervisor,
            Privilege::Machine => Space::Machine,
        }
    }

    /// The physical address that `va` stands for, and the entries that say so where tables do.
    /// A pure function of the state.
    fn resolve(&self, ram: &Ram, va: u64, access: Access) -> Result<(u64, Option<Mapping>), Trap> {
        let privilege = if access == Access::Fetch { self.privilege } else { self.data_privilege() };
        let machine = privilege == Privilege::Machine;
        let mapping = match self.csrs.translation_root() {
            Some(root) if !machine => {
                let rights = Rights {
                    user: privilege == Privilege::User,
                    sum: self.csrs.mstatus & status::SUM != 0,
                    mxr: self.csrs.mstatus & status::MXR != 0,
                };
                let walk = sv39::walk(ram, &self.csrs.pmp, root, va, access, rights);
                Some(walk.map_err(|fault| match fault {
                    WalkFault::Page => page_fault(access, va),
                    WalkFault::Access => access_fault(access, va),
                })?)
            }
            _ => None,
        };
        let at = mapping.map_or(va, |mapping| mapping.at);
        if self.csrs.pmp.allows(at, access, machine) {
            Ok((at, mapping))
        } else {
            Err(access_fault(access, va))
        }
    }

    /// As [`Hart::resolve`], for a result that will be cached: remembers which pages of tables it
    /// hangs on.
    fn translate(&mut self, ram: &mut Ram, va: u64, access: Access) -> Result<u64, Trap> {
        let (at, mapping) = self.resolve(ram, va, access)?;
        if let Some(mapping) = mapping {
            for &table in &mapping.tables[..mapping.levels] {
                self.flag(ram, table, PageFlags::TABLE);
            }
        }
        Ok(at)
    }

    /// The physical address that a load from `va` would go to now, for whoever looks on.
    pub fn physical(&self, ram: &Ram, va: GuestVirt) -> Option<GuestPhys> {
        self.resolve(ram, va.get(), Access::Load).ok().map(|(at, _)| GuestPhys(at))
    }

    /// The word of the next instruction, for whoever looks on; nothing when its fetch will fault.
    /// The high half is 0 when the low half is an instruction.
    pub fn next_word(&self, ram: &Ram) -> Option<u32> {
        self.fetch_word(ram, self.pc).ok()
    }

    /// From now on stores to `page` must come this way.
    pub(super) fn flag(&mut self, ram: &mut Ram, page: u32, flags: PageFlags) {
        if !ram.flags(page).intersects(flags) {
            ram.set_flags(page, flags);
            self.tlb.flush_writes();
        }
    }

    /// Translates an instruction fetch at `pc` to the page of RAM and the index of its slots.
    pub(super) fn fetch_page(&mut self, ram: &mut Ram, pc: u64) -> Result<u64, Trap> {
        let space = self.fetch_space();
        let entry = self.tlb.space(space).fetch[slot(pc)];
        if entry.tag == pc & PAGE_MASK {
            return Ok(entry.delta);
        }
        let at = self.translate(ram, pc, Access::Fetch)?;
        let page = ram.page_of(GuestPhys(at)).ok_or(access_fault(Access::Fetch, pc))?;
        let index = match self.code.find(page) {
            Some(index) => index,
            None => {
                if self.code.insert(ram, page) {
                    self.tlb.flush_fetches();
                }
                self.tlb.flush_writes();
                self.code.find(page).expect("it has just been put in")
            }
        };
        self.tlb.fill(space).fetch[slot(pc)] = Entry { tag: pc & PAGE_MASK, delta: index };
        Ok(index)
    }

    /// The instruction word at `pc`; its high half is 0 when the low half is an instruction.
    pub(super) fn fetch_word(&self, ram: &Ram, pc: u64) -> Result<u32, Trap> {
        let low = self.fetch_half(ram, pc)?;
        if !crate::isa::decode::is_wide(low) {
            return Ok(low.into());
        }
        let high = self.fetch_half(ram, pc.wrapping_add(2))?;
        Ok(u32::from(low) | u32::from(high) << 16)
    }

    fn fetch_half(&self, ram: &Ram, at: u64) -> Result<u16, Trap> {
        let (physical, _) = self.resolve(ram, at, Access::Fetch)?;
        ram.read_u16(GuestPhys(physical)).map_err(|_| access_fault(Access::Fetch, at))
    }

    /// The physical address of `size` bytes at `va`, when the cache knows them to be on one page of
    /// RAM that may be read (or written, without anybody to tell).
    fn cached(&self, va: u64, size: usize, access: Access) -> Option<u64> {
        let space = self.tlb.space(self.data_space());
        let entries = if access == Access::Load { &space.read } else { &space.write };
        let entry = entries[slot(va)];
        let fits = va % PAGE + size as u64 <= PAGE;
        (fits && entry.tag == va & PAGE_MASK).then(|| RAM_BASE.get() + va.wrapping_add(entry.delta))
    }

    /// Translates `size` bytes at `va`.
    fn span(&mut self, ram: &mut Ram, va: u64, size: usize, access: Access) -> Result<Span, Trap> {
        if let Some(at) = self.cached(va, size, access) {
            return Ok(Span::One(at));
        }
        let first = self.translate(ram, va, access)?;
        let in_page = (PAGE - va % PAGE) as usize;
        if in_page >= size {
            return Ok(Span::One(first));
        }
        let next = va.wrapping_add(in_page as u64);
        // What lies outside RAM cannot be reached misaligned.
        if ram.page_of(GuestPhys(first)).is_none() {
            return Err(access_fault(access, va));
        }
        let second = self.translate(ram, next, access)?;
        if ram.page_of(GuestPhys(second)).is_none() {
            return Err(access_fault(access, next));
        }
        Ok(Span::Two(first, in_page, second))
    }

    /// Loads `size` (1, 2, 4, 8) bytes, zero-extended.
    pub(super) fn load<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        va: u64,
        size: usize,
        answer: Option<Answer>,
    ) -> Result<u64, Halt> {
        let mut bytes = [0; 8];
        match self.span(ram, va, size, Access::Load)? {
            Span::One(at) if ram.read(GuestPhys(at), &mut bytes[..size]).is_ok() => {
                self.cache_data(ram, va, at, Access::Load);
            }
            Span::One(at) => {
                if !va.is_multiple_of(size as u64) {
                    return Err(access_fault(Access::Load, va).into());
                }
                self.bus_used = true;
                return match bus.read(GuestPhys(at), size as u8, answer) {
                    Ok(BusRead::Value(value)) => Ok(value & (u64::MAX >> (64 - 8 * size))),
                    Ok(BusRead::Ask(question)) => Err(Halt::Ask(question)),
                    Err(_) => Err(access_fault(Access::Load, va).into()),
                };
            }
            Span::Two(first, len, second) => {
                let read = ram
                    .read(GuestPhys(first), &mut bytes[..len])
                    .and_then(|()| ram.read(GuestPhys(second), &mut bytes[len..size]));
                read.expect("both pages are RAM");
            }
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Stores the low `size` bytes of `value`.
    pub(super) fn store<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        va: u64,
        size: usize,
        value: u64,
    ) -> Result<(), Halt> {
        let bytes = &value.to_le_bytes()[..size];
        match self.span(ram, va, size, Access::Store)? {
            Span::One(at) => match ram.page_of(GuestPhys(at)) {
                Some(_) => {
                    self.store_bytes(ram, bus, at, bytes);
                    self.cache_data(ram, va, at, Access::Store);
                }
                None => {
                    if !va.is_multiple_of(size as u64) {
                        return Err(access_fault(Access::Store, va).into());
                    }
                    let value = value & (u64::MAX >> (64 - 8 * size));
                    self.bus_used = true;
                    if bus.write(ram, GuestPhys(at), size as u8, value).is_err() {
                        return Err(access_fault(Access::Store, va).into());
                    }
                }
            },
            Span::Two(first, len, second) => {
                self.store_bytes(ram, bus, first, &bytes[..len]);
                self.store_bytes(ram, bus, second, &bytes[len..]);
            }
        }
        Ok(())
    }

    /// The physical address of an aligned load of `size` bytes that would go to the bus.
    pub(super) fn io_place(&self, ram: &Ram, va: u64, size: usize) -> Option<u64> {
        let (at, _) = self.resolve(ram, va, Access::Load).ok()?;
        (va.is_multiple_of(size as u64) && ram.page_of(GuestPhys(at)).is_none()).then_some(at)
    }

    /// The physical address of an aligned atomic access of `size` bytes, which must be RAM.
    pub(super) fn atomic_place(
        &mut self,
        ram: &mut Ram,
        va: u64,
        size: usize,
        access: Access,
    ) -> Result<u64, Trap> {
        if !va.is_multiple_of(size as u64) {
            let cause = if access == Access::Load { Cause::LoadMisaligned } else { Cause::StoreMisaligned };
            return Err(Trap::new(cause, va));
        }
        if let Some(at) = self.cached(va, size, access) {
            return Ok(at);
        }
        let at = self.translate(ram, va, access)?;
        if ram.page_of(GuestPhys(at)).is_none() {
            return Err(access_fault(access, va));
        }
        if access == Access::Load {
            self.cache_data(ram, va, at, access);
        }
        Ok(at)
    }

    /// Stores what an atomic instruction has made, at the place of `va`.
    pub(super) fn store_atomic<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        va: u64,
        at: u64,
        bytes: &[u8],
    ) {
        self.store_bytes(ram, bus, at, bytes);
        self.cache_data(ram, va, at, Access::Store);
    }

    /// May this hart also read at the physical address `at` that it may write? (PMP can say no.)
    pub(super) fn may_read(&self, at: u64) -> bool {
        self.csrs.pmp.allows(at, Access::Load, self.data_privilege() == Privilege::Machine)
    }

    /// Stores to one page of RAM and tells everybody who has to know.
    fn store_bytes<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, at: u64, bytes: &[u8]) {
        let page = ram.page_of(GuestPhys(at)).expect("the caller has looked");
        let flags = ram.flags(page);
        let offset = (at % PAGE) as usize;
        if flags.intersects(PageFlags::TABLE) {
            self.note_table_store(ram, at, bytes.len());
        }
        if flags.intersects(PageFlags::CODE) {
            self.code.forget_bytes(page, offset, bytes.len());
        }
        ram.mark_dirty(page);
        let start = page as usize * PAGE_BYTES + offset;
        ram.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        if flags.intersects(PageFlags::WATCHED) {
            self.note_tohost(ram, bus, at, bytes.len());
        }
    }

    /// A store is about to hit a page whose entries have been used: when an entry that it changes
    /// was valid, translations may hang on it. (An invalid entry is never cached.)
    fn note_table_store(&mut self, ram: &mut Ram, at: u64, len: usize) {
        let entries = at & !7..at + len as u64;
        let valid = entries
            .step_by(8)
            .any(|entry| ram.read_u64(GuestPhys(entry)).is_ok_and(|old| old & PTE_VALID != 0));
        self.table_stores += 1;
        if self.table_stores >= TABLE_STORES_MAX {
            self.forget_tables(ram);
        } else if valid {
            self.tlb.flush_translated();
        }
    }

    /// Drops all translations and every flag `TABLE`: pages that are no tables any more get their
    /// short stores back.
    fn forget_tables(&mut self, ram: &mut Ram) {
        self.tlb.flush_translated();
        for page in 0..ram.pages() {
            ram.clear_flags(page, PageFlags::TABLE);
        }
        self.table_stores = 0;
    }

    /// A store has just been made to the page of the watched doubleword.
    fn note_tohost<B: Bus>(&mut self, ram: &Ram, bus: &mut B, at: u64, len: usize) {
        let Some(watched) = self.tohost else { return };
        if at < watched.get() + 8 && watched.get() < at + len as u64 {
            let value = ram.read_u64(watched).expect("the watched doubleword is RAM");
            self.bus_used = true;
            bus.tohost(value);
        }
    }

    /// Remembers that the page of `va` is the RAM page of `at` for this kind of access, if nobody
    /// needs to see the next one.
    fn cache_data(&mut self, ram: &Ram, va: u64, at: u64, access: Access) {
        let Some(page) = ram.page_of(GuestPhys(at)) else { return };
        let entry =
            Entry { tag: va & PAGE_MASK, delta: (u64::from(page) * PAGE).wrapping_sub(va & PAGE_MASK) };
        let space = self.data_space();
        let entries = self.tlb.fill(space);
        if access == Access::Load {
            entries.read[slot(va)] = entry;
        } else {
            let seen = PageFlags::CODE.union(PageFlags::TABLE).union(PageFlags::WATCHED);
            if !ram.flags(page).intersects(seen) {
                entries.write[slot(va)] = entry;
            }
        }
    }

    /// Catches up with what was written to RAM from outside, and with a new epoch of its digest.
    pub(super) fn catch_up(&mut self, ram: &mut Ram) {
        if ram.epoch() != self.ram_epoch {
            self.ram_epoch = ram.epoch();
            self.tlb.flush_writes();
        }
        if ram.is_touched() {
            for page in ram.take_touched() {
                self.code.forget_page(ram, page);
            }
            self.tlb.flush_translated();
        }
    }
}

/// After so many stores to pages of tables, see which of them still are.
const TABLE_STORES_MAX: u32 = 4096;
