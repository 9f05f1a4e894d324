//! The long way to memory: translation, protection, misaligned accesses, memory-mapped I/O, and
//! what a store must tell the caches. Everything here is exact by itself; the caches that it fills
//! only make the next access short.
//!
//! A misaligned access to RAM succeeds; where it crosses pages, both are checked before any byte is
//! stored, the lower first, and `xtval` is the first address of the part that failed. A misaligned
//! access to anything else is an access fault. PMP sees each part as one access.
//!
//! Svadu: the bits A and D of an instruction's accesses are set once it is certain that none of them
//! faults in translation and that the instruction asks the world nothing (or has its answer); so a
//! page table never shows that the hart stopped before an instruction. A fetch sets A before its
//! instruction does anything. Setting bits ends no reservation, and is no store to `tohost`.

use super::ask::{Answer, Question};
use super::bus::{Bus, BusRead};
use super::csr::{ADUE, Privilege, status};
use super::hart::Hart;
use super::tables::Maps;
use super::trap::{Cause, Trap};
use crate::base::{GuestPhys, GuestVirt};
use crate::engine::BLOCK_BYTES;
use crate::engine::tlb::{Entry, Kind, PAGE_MASK, Space, slot};
use crate::mem::sv39::{self, Mapping, PTE_VALID, Rights, Update, WalkFault};
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

/// Where (a part of) an access goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The physical address.
    pub at: u64,
    /// Accesses of this kind to all of its page go the same way.
    whole_page: bool,
    update: Option<Update>,
}

/// The parts of an access that touches one or two pages.
enum Span {
    /// Everything on one page.
    One(Place),
    /// The first bytes (so many) end a page at the first place; the rest starts another.
    Two(Place, usize, Place),
}

fn fault(fault: WalkFault, access: Access, at: u64) -> Trap {
    match fault {
        WalkFault::Page => page_fault(access, at),
        WalkFault::Access => access_fault(access, at),
    }
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

    /// Where `bytes` bytes at `va`, all on one page, are, and the entries that say so where tables do.
    /// A pure function of the state.
    fn resolve(
        &self,
        ram: &Ram,
        va: u64,
        bytes: usize,
        access: Access,
    ) -> Result<(Place, Option<Mapping>), WalkFault> {
        let privilege = if access == Access::Fetch { self.privilege } else { self.data_privilege() };
        let machine = privilege == Privilege::Machine;
        let mapping = match self.csrs.translation_root() {
            Some(root) if !machine => {
                let rights = Rights {
                    user: privilege == Privilege::User,
                    sum: self.csrs.mstatus & status::SUM != 0,
                    mxr: self.csrs.mstatus & status::MXR != 0,
                    updates: self.csrs.menvcfg & ADUE != 0,
                };
                Some(sv39::walk(ram, &self.csrs.pmp, root, va, access, rights)?)
            }
            _ => None,
        };
        let at = mapping.map_or(va, |mapping| mapping.at);
        let verdict = self.csrs.pmp.check(at, bytes, access, machine);
        if !verdict.allowed {
            return Err(WalkFault::Access);
        }
        let update = mapping.and_then(|mapping| mapping.update);
        Ok((Place { at, whole_page: verdict.whole_page, update }, mapping))
    }

    /// As [`Hart::resolve`], for a result that may be cached: remembers which pages of tables it
    /// hangs on.
    fn place(&mut self, ram: &mut Ram, va: u64, bytes: usize, access: Access) -> Result<Place, Trap> {
        let (place, mapping) = self.resolve(ram, va, bytes, access).map_err(|f| fault(f, access, va))?;
        if let Some(mapping) = mapping {
            self.long_way.walks += 1;
            for &table in &mapping.tables[..mapping.levels] {
                self.flag(ram, table, PageFlags::TABLE);
            }
            self.tables.note_walk(&mapping, va);
        }
        Ok(place)
    }

    /// Sets the bits that the access to `place` has to set. No cached translation hangs on them: each
    /// was put in with the bits that it needs, and an entry that is a leaf stays one.
    pub(super) fn set_bits(&mut self, ram: &mut Ram, place: Place) {
        let Some(Update { at, bits }) = place.update else { return };
        let entry = ram.read_u64(GuestPhys(at)).expect("the walk has read it");
        let page = ram.page_of(GuestPhys(at)).expect("the walk has read it");
        if ram.flags(page).intersects(PageFlags::CODE) {
            self.engines.forget_bytes(page, (at % PAGE) as usize, 8);
        }
        ram.mark_dirty(page);
        let start = page as usize * PAGE_BYTES + (at % PAGE) as usize;
        ram.bytes_mut()[start..start + 8].copy_from_slice(&(entry | bits).to_le_bytes());
    }

    /// Sets A for the fetch of the instruction at `pc`.
    pub(super) fn set_accessed(&mut self, ram: &mut Ram) -> Result<(), Trap> {
        if self.csrs.menvcfg & ADUE == 0 {
            return Ok(());
        }
        let pc = self.pc;
        let (low, first) = self.fetch_half(ram, pc)?;
        if crate::isa::decode::is_wide(low) {
            let (_, second) = self.fetch_half(ram, pc.wrapping_add(2))?;
            self.set_bits(ram, second);
        }
        self.set_bits(ram, first);
        Ok(())
    }

    /// The physical address that a load from `va` would go to now, for inspection.
    pub fn physical(&self, ram: &Ram, va: GuestVirt) -> Option<GuestPhys> {
        self.resolve(ram, va.get(), 1, Access::Load).ok().map(|(place, _)| GuestPhys(place.at))
    }

    /// The word of the next instruction, for inspection; nothing when its fetch will fault.
    /// The high half is 0 when the low half is an instruction.
    pub fn next_word(&self, ram: &Ram) -> Option<u32> {
        self.fetch_word(ram, self.pc).ok()
    }

    /// From now on stores to `page` must come this way.
    pub(super) fn flag(&mut self, ram: &mut Ram, page: u32, flags: PageFlags) {
        if !ram.flags(page).intersects(flags) {
            ram.set_flags(page, flags);
            self.tlb.drop_writes_to(u64::from(page) * PAGE);
        }
    }

    /// Translates an instruction fetch at `pc` to the page of RAM, for which the engines are prepared; none
    /// when this fetch is not valid for its whole page.
    pub(super) fn fetch_page(&mut self, ram: &mut Ram, pc: u64) -> Result<Option<u32>, Trap> {
        let space = self.fetch_space();
        let entry = self.tlb.space(space)[Kind::Fetch as usize][slot(pc)];
        if entry.tag == pc & PAGE_MASK {
            return Ok(Some(entry.delta as u32));
        }
        let place = self.place(ram, pc, 2, Access::Fetch)?;
        let page = ram.page_of(GuestPhys(place.at)).ok_or(access_fault(Access::Fetch, pc))?;
        if !place.whole_page || place.update.is_some() {
            return Ok(None);
        }
        if !ram.flags(page).intersects(PageFlags::CODE) {
            self.tlb.drop_writes_to(u64::from(page) * PAGE);
        }
        if self.engines.admit(ram, page) {
            self.tlb.flush_fetches();
        }
        self.tlb.put_fetch(space, Entry { tag: pc & PAGE_MASK, delta: page.into() });
        Ok(Some(page))
    }

    /// The instruction word at `pc`; its high half is 0 when the low half is an instruction.
    pub(super) fn fetch_word(&self, ram: &Ram, pc: u64) -> Result<u32, Trap> {
        let (low, _) = self.fetch_half(ram, pc)?;
        if !crate::isa::decode::is_wide(low) {
            return Ok(low.into());
        }
        let (high, _) = self.fetch_half(ram, pc.wrapping_add(2))?;
        Ok(u32::from(low) | u32::from(high) << 16)
    }

    fn fetch_half(&self, ram: &Ram, at: u64) -> Result<(u16, Place), Trap> {
        let (place, _) = self.resolve(ram, at, 2, Access::Fetch).map_err(|f| fault(f, Access::Fetch, at))?;
        let half = ram.read_u16(GuestPhys(place.at)).map_err(|_| access_fault(Access::Fetch, at))?;
        Ok((half, place))
    }

    /// The place of `size` bytes at `va`, when the cache knows them to be on one page of RAM that may be read
    /// (or written, without a cache to invalidate).
    fn cached(&self, va: u64, size: usize, access: Access) -> Option<Place> {
        let kind = if access == Access::Load { Kind::Read } else { Kind::Write };
        let entry = self.tlb.space(self.data_space())[kind as usize][slot(va)];
        let fits = va % PAGE + size as u64 <= PAGE;
        let at = || RAM_BASE.get() + va.wrapping_add(entry.delta);
        (fits && entry.tag == va & PAGE_MASK).then(|| Place { at: at(), whole_page: true, update: None })
    }

    /// Translates `size` bytes at `va`.
    fn span(&mut self, ram: &mut Ram, va: u64, size: usize, access: Access) -> Result<Span, Trap> {
        if let Some(at) = self.cached(va, size, access) {
            return Ok(Span::One(at));
        }
        let in_page = (PAGE - va % PAGE) as usize;
        if in_page >= size {
            return Ok(Span::One(self.place(ram, va, size, access)?));
        }
        let first = self.place(ram, va, in_page, access)?;
        // What lies outside RAM cannot be reached misaligned.
        if ram.page_of(GuestPhys(first.at)).is_none() {
            return Err(access_fault(access, va));
        }
        let next = va.wrapping_add(in_page as u64);
        let second = self.place(ram, next, size - in_page, access)?;
        if ram.page_of(GuestPhys(second.at)).is_none() {
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
            Span::One(place) if ram.page_of(GuestPhys(place.at)).is_some() => {
                self.set_bits(ram, place);
                ram.read(GuestPhys(place.at), &mut bytes[..size]).expect("a page is in RAM or not");
                self.cache_data(ram, va, place, Access::Load);
            }
            Span::One(place) => {
                if !va.is_multiple_of(size as u64) {
                    return Err(access_fault(Access::Load, va).into());
                }
                self.bus_used = true;
                let read = bus.read(GuestPhys(place.at), size as u8, answer);
                if let Ok(BusRead::Ask(question)) = read {
                    return Err(Halt::Ask(question));
                }
                self.set_bits(ram, place);
                return match read {
                    Ok(BusRead::Value(value)) => Ok(value & (u64::MAX >> (64 - 8 * size))),
                    _ => Err(access_fault(Access::Load, va).into()),
                };
            }
            Span::Two(first, len, second) => {
                self.set_bits(ram, first);
                self.set_bits(ram, second);
                let read = ram
                    .read(GuestPhys(first.at), &mut bytes[..len])
                    .and_then(|()| ram.read(GuestPhys(second.at), &mut bytes[len..size]));
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
            Span::One(place) if ram.page_of(GuestPhys(place.at)).is_some() => {
                self.store_at(ram, bus, va, place, bytes);
            }
            Span::One(place) => {
                if !va.is_multiple_of(size as u64) {
                    return Err(access_fault(Access::Store, va).into());
                }
                self.set_bits(ram, place);
                let value = value & (u64::MAX >> (64 - 8 * size));
                self.bus_used = true;
                if bus.write(ram, GuestPhys(place.at), size as u8, value).is_err() {
                    return Err(access_fault(Access::Store, va).into());
                }
            }
            Span::Two(first, len, second) => {
                self.set_bits(ram, first);
                self.set_bits(ram, second);
                self.store_bytes(ram, bus, first.at, &bytes[..len]);
                self.store_bytes(ram, bus, second.at, &bytes[len..]);
            }
        }
        Ok(())
    }

    /// The physical address of an aligned load of `size` bytes that would go to the bus.
    pub(super) fn io_place(&self, ram: &Ram, va: u64, size: usize) -> Option<u64> {
        if !va.is_multiple_of(size as u64) {
            return None;
        }
        let (place, _) = self.resolve(ram, va, size, Access::Load).ok()?;
        ram.page_of(GuestPhys(place.at)).is_none().then_some(place.at)
    }

    /// The place of an aligned atomic access of `size` bytes, which must be RAM.
    pub(super) fn atomic_place(
        &mut self,
        ram: &mut Ram,
        va: u64,
        size: usize,
        access: Access,
    ) -> Result<Place, Trap> {
        if !va.is_multiple_of(size as u64) {
            let cause = if access == Access::Load { Cause::LoadMisaligned } else { Cause::StoreMisaligned };
            return Err(Trap::new(cause, va));
        }
        if let Some(place) = self.cached(va, size, access) {
            return Ok(place);
        }
        let place = self.place(ram, va, size, access)?;
        if ram.page_of(GuestPhys(place.at)).is_none() {
            return Err(access_fault(access, va));
        }
        if access == Access::Load {
            self.set_bits(ram, place);
            self.cache_data(ram, va, place, access);
        }
        Ok(place)
    }

    /// Stores `bytes`, all on one page of RAM, at `place`, where `va` leads.
    pub(super) fn store_at<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        va: u64,
        place: Place,
        bytes: &[u8],
    ) {
        self.set_bits(ram, place);
        self.store_bytes(ram, bus, place.at, bytes);
        self.cache_data(ram, va, place, Access::Store);
    }

    /// May this hart also read the `size` bytes at the physical address `at` that it may write? (PMP can
    /// refuse.)
    pub(super) fn may_read(&self, at: u64, size: usize) -> bool {
        self.csrs.pmp.allows(at, size, Access::Load, self.data_privilege() == Privilege::Machine)
    }

    /// `cbo.inval`, `cbo.clean`, `cbo.flush` of the block that holds `va` (CMO spec 2.5.2, 2.5.3): may be
    /// done wherever a load may, and changes no more than a load does, since no cache ever shows. Faults
    /// are those of a store. A device's block is like any other.
    pub(super) fn manage_block(&mut self, ram: &mut Ram, va: u64) -> Result<(), Trap> {
        let (place, _) = self
            .resolve(ram, va & !(BLOCK_BYTES as u64 - 1), BLOCK_BYTES, Access::Load)
            .map_err(|f| fault(f, Access::Store, va))?;
        self.set_bits(ram, place);
        Ok(())
    }

    /// `cbo.zero` of the block that holds `va`, which must be RAM: a store of all its bytes; faults name
    /// `va` itself.
    pub(super) fn zero_block<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, va: u64) -> Result<(), Trap> {
        let block = va & !(BLOCK_BYTES as u64 - 1);
        let place = match self.cached(block, BLOCK_BYTES, Access::Store) {
            Some(place) => place,
            None => {
                let place = self.place(ram, block, BLOCK_BYTES, Access::Store);
                place.map_err(|trap| Trap { value: va, ..trap })?
            }
        };
        if ram.page_of(GuestPhys(place.at)).is_none() {
            return Err(access_fault(Access::Store, va));
        }
        self.store_at(ram, bus, block, place, &[0; BLOCK_BYTES]);
        Ok(())
    }

    /// Stores to one page of RAM and invalidates every cache that depends on it.
    fn store_bytes<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, at: u64, bytes: &[u8]) {
        let page = ram.page_of(GuestPhys(at)).expect("the caller has looked");
        let flags = ram.flags(page);
        let offset = (at % PAGE) as usize;
        if flags.intersects(PageFlags::TABLE) {
            self.note_table_store(ram, page, at, bytes.len());
        }
        if flags.intersects(PageFlags::CODE) {
            self.engines.forget_bytes(page, offset, bytes.len());
        }
        ram.mark_dirty(page);
        let start = page as usize * PAGE_BYTES + offset;
        ram.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        if flags.intersects(PageFlags::WATCHED) {
            self.note_tohost(ram, bus, at, bytes.len());
        }
    }

    /// A store is about to hit `page`, whose entries have been used: when an entry that it changes
    /// was valid, translations may hang on it. (An invalid entry is never cached.)
    fn note_table_store(&mut self, ram: &mut Ram, page: u32, at: u64, len: usize) {
        self.table_stores += 1;
        if self.table_stores >= TABLE_STORES_MAX {
            return self.forget_tables(ram);
        }
        for entry in (at & !7..at + len as u64).step_by(8) {
            if ram.read_u64(GuestPhys(entry)).is_ok_and(|old| old & PTE_VALID != 0) {
                match self.tables.maps(page, (entry % PAGE / 8) as usize) {
                    Maps::Nothing => {}
                    Maps::Page(va) => self.tlb.drop_translated(va),
                    Maps::More => self.flush_translated(),
                }
            }
        }
    }

    /// Drops everything that came from tables.
    pub(super) fn flush_translated(&mut self) {
        self.tlb.flush_translated();
        self.tables.forget();
    }

    /// Drops all translations and every flag `TABLE`: pages that are no tables any more get their
    /// short stores back.
    fn forget_tables(&mut self, ram: &mut Ram) {
        self.flush_translated();
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

    /// Remembers that the page of `va` is the RAM page of `place` for this kind of access, if no observer
    /// needs to see the next one.
    fn cache_data(&mut self, ram: &Ram, va: u64, place: Place, access: Access) {
        if !place.whole_page {
            return;
        }
        let Some(page) = ram.page_of(GuestPhys(place.at)) else { return };
        let entry =
            Entry { tag: va & PAGE_MASK, delta: (u64::from(page) * PAGE).wrapping_sub(va & PAGE_MASK) };
        let space = self.data_space();
        if access == Access::Load {
            self.tlb.put_read(space, entry);
        } else {
            let seen = PageFlags::CODE.union(PageFlags::TABLE).union(PageFlags::WATCHED);
            if !ram.flags(page).intersects(seen) {
                self.tlb.put_write(space, entry);
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
                self.engines.forget_page(ram, page);
            }
            self.flush_translated();
        }
    }
}

/// After so many stores to pages of tables, see which of them still are.
const TABLE_STORES_MAX: u32 = 4096;
