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
//! | `satp` or `mstatus.MXR` changes | all of U and S |
//! | a PMP register is written | all |
//! | a page gets a flag (`CODE`, `TABLE`, `WATCHED`) | write entries that lead to it |
//! | RAM starts a new epoch | write entries |
//! | the engines drop all their code | fetch entries |
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

    fn flush(&mut self, kind: Kind) {
        let Some(entries) = self.entries.get_mut() else { return };
        for at in self.filled[kind as usize].drain(..) {
            entries[kind as usize][usize::from(at)] = EMPTY;
        }
    }
}

const _: () = assert!(ENTRIES <= 1 << u16::BITS);

pub struct Tlb {
    spaces: [Held; 4],
}

impl Tlb {
    pub const fn new() -> Self {
        Self { spaces: [Held::new(), Held::new(), Held::new(), Held::new()] }
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
        self.flush_translated();
        self.flush_space(Space::Machine);
    }

    /// Drops what came from tables.
    pub fn flush_translated(&mut self) {
        for space in [Space::User, Space::Supervisor, Space::SupervisorWithUser] {
            self.flush_space(space);
        }
    }

    /// Drops what came from the table entry of the virtual page at `page`.
    pub fn drop_translated(&mut self, page: u64) {
        for space in [Space::User, Space::Supervisor, Space::SupervisorWithUser] {
            for kind in [Kind::Read, Kind::Write, Kind::Fetch] {
                self.spaces[space as usize].drop_page(kind, page);
            }
        }
    }

    /// Drops the write entries that lead to `offset` in RAM, where a page begins.
    pub fn drop_writes_to(&mut self, offset: u64) {
        for held in &mut self.spaces {
            let Some(entries) = held.entries.get_mut() else { continue };
            for &at in &held.filled[Kind::Write as usize] {
                let entry = &mut entries[Kind::Write as usize][usize::from(at)];
                if entry.tag.wrapping_add(entry.delta) == offset {
                    *entry = DROPPED;
                }
            }
        }
    }

    fn flush_space(&mut self, space: Space) {
        for kind in [Kind::Read, Kind::Write, Kind::Fetch] {
            self.spaces[space as usize].flush(kind);
        }
    }

    pub fn flush_writes(&mut self) {
        self.spaces.iter_mut().for_each(|held| held.flush(Kind::Write));
    }

    pub fn flush_fetches(&mut self) {
        self.spaces.iter_mut().for_each(|held| held.flush(Kind::Fetch));
    }
}
