//! The translation cache: which virtual pages lead straight to RAM, for which kind of access.
//!
//! Invisible: an entry exists only while a walk of the tables would give the same answer, and
//! (for stores) while no cache depends on the page's content. Code that changes one of these
//! drops the entries. One set of entries for each way in which the same address can mean something
//! else, so that system calls and `mstatus.SUM` do not empty it.
//!
//! | an entry goes when | |
//! |---|---|
//! | a valid page table entry that was used is written by the hart | its page of U and S, or all of U and S |
//! | a page table that was used is written from outside | all of U and S |
//! | `mstatus.MXR` changes | all of U and S |
//! | a PMP register is written | all |
//! | a page gets a flag (`CODE`, `TABLE`, `WATCHED`) | write entries that lead to it |
//! | RAM starts a new epoch | write entries |
//! | the engines drop all their code | fetch entries |
//!
//! Each of the last few values of `satp` keeps its entries of U and S while another is in force, so that a guest
//! that switches between processes finds them again; "all of U and S" means those of every value.
//!
//! A flush costs what was put in since the last one, not what the cache holds.

use std::cell::OnceCell;

/// Entries of each kind, direct-mapped by the low bits of the page number.
///
/// They reach over 64 MiB. A guest that works on less finds its entries in as few cache lines as it would find them in
/// a smaller cache.
pub const ENTRIES: usize = 16384;
/// The bits of an address that an entry's tag is compared with, besides the alignment bits.
pub const PAGE_MASK: u64 = !0xfff;

/// For loads and stores `delta` is what to add to an address to get its offset in RAM; for fetches
/// it is the number of the page in RAM.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Entry {
    /// The virtual page's address, or [`NONE`].
    pub tag: u64,
    pub delta: u64,
}

/// No address gives this tag: bit 11 is neither a page nor an alignment bit.
const NONE: u64 = 0x800;
const EMPTY: Entry = Entry { tag: NONE, delta: 0 };
/// As [`EMPTY`], in a slot that counts as filled.
const DROPPED: Entry = Entry { tag: NONE | 0x400, delta: 0 };

pub type Entries = [Entry; ENTRIES];

/// Which of `entries` answers for `address`.
#[inline(always)]
pub const fn slot(address: u64) -> usize {
    (address >> 12) as usize & (ENTRIES - 1)
}

/// How the same address is translated: by mode, and for S-mode by `mstatus.SUM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Space {
    User = 0,
    Supervisor = 1,
    SupervisorWithUser = 2,
    Machine = 3,
}

/// For what kind of access an entry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    Read = 0,
    Write = 1,
    Fetch = 2,
}

/// The entries of a [`Space`], by [`Kind`].
pub type ByKind = [Entries; 3];

struct Held {
    /// Made when the space is used for the first time: hardly a machine uses all of them.
    entries: OnceCell<Box<ByKind>>,
    /// By kind: the slots that hold an entry, each once.
    filled: [Vec<u16>; 3],
}

impl Held {
    const fn new() -> Self {
        Self { entries: OnceCell::new(), filled: [Vec::new(), Vec::new(), Vec::new()] }
    }

    fn entries(&self) -> &ByKind {
        self.entries.get_or_init(|| {
            // By way of a vector: the whole is larger than some threads' stacks.
            let Ok(entries) = vec![[EMPTY; ENTRIES]; 3].try_into() else { unreachable!("three of them") };
            entries
        })
    }

    fn put(&mut self, kind: Kind, entry: Entry) {
        self.entries();
        let Some(entries) = self.entries.get_mut() else { return };
        let at = slot(entry.tag);
        let old = std::mem::replace(&mut entries[kind as usize][at], entry);
        if old.tag == NONE {
            self.filled[kind as usize].push(at as u16);
        }
    }

    /// Drops the entry of the virtual page at `page`, if there is one.
    fn drop_page(&mut self, kind: Kind, page: u64) {
        let Some(entries) = self.entries.get_mut() else { return };
        let entry = &mut entries[kind as usize][slot(page)];
        if entry.tag == page {
            *entry = DROPPED;
        }
    }

    fn flush_all(&mut self) {
        for kind in [Kind::Read, Kind::Write, Kind::Fetch] {
            self.flush(kind);
        }
    }

    fn flush(&mut self, kind: Kind) {
        let Some(entries) = self.entries.get_mut() else { return };
        for at in self.filled[kind as usize].drain(..) {
            entries[kind as usize][usize::from(at)] = EMPTY;
        }
    }
}

const _: () = assert!(ENTRIES <= 1 << u16::BITS);

/// The entries of U- and S-mode under a value of `satp` that is not in force.
struct Away {
    satp: u64,
    spaces: [Held; TRANSLATED.len()],
}

const TRANSLATED: [Space; 3] = [Space::User, Space::Supervisor, Space::SupervisorWithUser];
/// Values of `satp` that keep their entries, besides the one in force.
const AWAY_MAX: usize = 3;

pub struct Tlb {
    spaces: [Held; 4],
    /// The last that was in force comes last.
    away: Vec<Away>,
}

impl Tlb {
    pub fn new() -> Self {
        Self { spaces: std::array::from_fn(|_| Held::new()), away: Vec::new() }
    }

    /// `satp` changes from `old` to `new`.
    pub fn switch(&mut self, old: u64, new: u64) {
        let mut next = match self.away.iter().position(|away| away.satp == new) {
            Some(at) => self.away.remove(at),
            None if self.away.len() < AWAY_MAX => {
                Away { satp: new, spaces: std::array::from_fn(|_| Held::new()) }
            }
            None => {
                let mut oldest = self.away.remove(0);
                oldest.spaces.iter_mut().for_each(Held::flush_all);
                oldest
            }
        };
        for (space, held) in TRANSLATED.into_iter().zip(&mut next.spaces) {
            std::mem::swap(&mut self.spaces[space as usize], held);
        }
        next.satp = old;
        self.away.push(next);
    }

    /// Those of U- and S-mode, in force or not.
    fn translated(&mut self) -> impl Iterator<Item = &mut Held> {
        let away = self.away.iter_mut().flat_map(|away| &mut away.spaces);
        self.spaces[..TRANSLATED.len()].iter_mut().chain(away)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Held> {
        self.spaces.iter_mut().chain(self.away.iter_mut().flat_map(|away| &mut away.spaces))
    }

    #[inline(always)]
    pub fn space(&self, space: Space) -> &ByKind {
        self.spaces[space as usize].entries()
    }

    pub fn put_read(&mut self, space: Space, entry: Entry) {
        self.spaces[space as usize].put(Kind::Read, entry);
    }

    pub fn put_write(&mut self, space: Space, entry: Entry) {
        self.spaces[space as usize].put(Kind::Write, entry);
    }

    pub fn put_fetch(&mut self, space: Space, entry: Entry) {
        self.spaces[space as usize].put(Kind::Fetch, entry);
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.all().for_each(Held::flush_all);
    }

    /// Drops what came from tables.
    pub fn flush_translated(&mut self) {
        self.translated().for_each(Held::flush_all);
    }

    /// Drops what came from the table entry of the virtual page at `page`.
    pub fn drop_translated(&mut self, page: u64) {
        for held in self.translated() {
            for kind in [Kind::Read, Kind::Write, Kind::Fetch] {
                held.drop_page(kind, page);
            }
        }
    }

    /// Drops the write entries that lead to `offset` in RAM, where a page begins.
    pub fn drop_writes_to(&mut self, offset: u64) {
        for held in self.all() {
            let Some(entries) = held.entries.get_mut() else { continue };
            for &at in &held.filled[Kind::Write as usize] {
                let entry = &mut entries[Kind::Write as usize][usize::from(at)];
                if entry.tag.wrapping_add(entry.delta) == offset {
                    *entry = DROPPED;
                }
            }
        }
    }

    pub fn flush_writes(&mut self) {
        self.all().for_each(|held| held.flush(Kind::Write));
    }

    pub fn flush_fetches(&mut self) {
        self.all().for_each(|held| held.flush(Kind::Fetch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 0x7000;

    type Dropping = fn(&mut Tlb);

    fn knows(tlb: &Tlb) -> bool {
        tlb.space(Space::User)[Kind::Read as usize][slot(PAGE)].tag == PAGE
    }

    fn with_entry() -> Tlb {
        let mut tlb = Tlb::new();
        for space in TRANSLATED {
            tlb.put_read(space, Entry { tag: PAGE, delta: 0 });
            tlb.put_write(space, Entry { tag: PAGE, delta: 0x2000 });
            tlb.put_fetch(space, Entry { tag: PAGE, delta: 9 });
        }
        tlb
    }

    #[test]
    fn a_value_of_satp_finds_its_entries_again_and_no_others() {
        let mut tlb = with_entry();
        let away = 2..2 + AWAY_MAX as u64;
        let mut last = 1;
        for satp in away.chain([1]) {
            tlb.switch(last, satp);
            assert_eq!(knows(&tlb), satp == 1, "{satp}");
            last = satp;
        }
        // One more value than are kept: the entries are gone, and its place is empty.
        for satp in 2..4 + AWAY_MAX as u64 {
            tlb.switch(last, satp);
            assert!(!knows(&tlb), "{satp}");
            last = satp;
        }
        tlb.switch(last, 1);
        assert!(!knows(&tlb));
    }

    #[test]
    fn what_drops_entries_drops_those_that_are_away_too() {
        let drops: [(Dropping, [bool; 3]); 6] = [
            (|_| (), [true; 3]),
            (Tlb::flush, [false; 3]),
            (Tlb::flush_translated, [false; 3]),
            (|tlb| tlb.drop_translated(PAGE), [false; 3]),
            (|tlb| tlb.drop_writes_to(0x9000), [true, false, true]),
            (Tlb::flush_fetches, [true, true, false]),
        ];
        for (n, (drop, stays)) in drops.into_iter().enumerate() {
            for away in [false, true] {
                let mut tlb = with_entry();
                if away {
                    tlb.switch(1, 2);
                }
                drop(&mut tlb);
                if away {
                    tlb.switch(2, 1);
                }
                for space in TRANSLATED {
                    let found = tlb.space(space).each_ref().map(|entries| entries[slot(PAGE)].tag == PAGE);
                    assert_eq!(found, stays, "{n} {space:?} away: {away}");
                }
            }
        }
        let mut tlb = with_entry();
        tlb.switch(1, 2);
        tlb.flush_writes();
        tlb.switch(2, 1);
        assert!(knows(&tlb) && tlb.space(Space::User)[Kind::Write as usize][slot(PAGE)].tag != PAGE);
    }

    #[test]
    fn an_entry_that_was_dropped_and_put_again_is_flushed() {
        let mut tlb = with_entry();
        tlb.drop_translated(PAGE);
        tlb.drop_translated(PAGE);
        for _ in 0..3 {
            tlb.put_read(Space::User, Entry { tag: PAGE, delta: 0 });
            tlb.drop_translated(PAGE);
        }
        assert_eq!(tlb.spaces[Space::User as usize].filled[Kind::Read as usize].len(), 1);
        tlb.put_read(Space::User, Entry { tag: PAGE, delta: 0 });
        tlb.flush();
        assert!(!knows(&tlb));
    }
}
