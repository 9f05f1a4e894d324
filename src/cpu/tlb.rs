//! The translation cache: which virtual pages lead straight to RAM, for which kind of access.
//!
//! Invisible: an entry exists only while a walk of the tables would give the same answer, and
//! (for stores) while no cache depends on the page's content. Code that changes one of these
//! drops the entries. One set of entries for each way in which the same address can mean something
//! else, so that system calls and `mstatus.SUM` do not empty it.
//!
//! | an entry goes when | |
//! |---|---|
//! | a valid page table entry that was used is written, by the hart or from outside | all of U and S |
//! | `satp` or `mstatus.MXR` changes | all of U and S |
//! | a PMP register is written | all |
//! | a page gets a flag (`CODE`, `TABLE`, `WATCHED`), or RAM starts a new epoch | write entries |
//! | the cache of decoded pages drops a page | fetch entries |

/// Entries of each kind, direct-mapped by the low bits of the page number.
pub const ENTRIES: usize = 256;
/// The bits of an address that an entry's tag is compared with, besides the alignment bits.
pub const PAGE_MASK: u64 = !0xfff;

/// For loads and stores `delta` is what to add to an address to get its offset in RAM; for fetches
/// it is the index of the decoded page.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The virtual page's address, or [`NONE`].
    pub tag: u64,
    pub delta: u64,
}

/// No address gives this tag: bit 11 is neither a page nor an alignment bit.
const NONE: u64 = 0x800;
const EMPTY: Entry = Entry { tag: NONE, delta: 0 };

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

pub struct Spaces {
    pub read: Entries,
    pub write: Entries,
    pub fetch: Entries,
}

pub struct Tlb {
    spaces: [Box<Spaces>; 4],
    /// Has anything been put in since the space was emptied?
    used: [bool; 4],
}

impl Tlb {
    pub fn new() -> Self {
        let empty =
            || Box::new(Spaces { read: [EMPTY; ENTRIES], write: [EMPTY; ENTRIES], fetch: [EMPTY; ENTRIES] });
        Self { spaces: [empty(), empty(), empty(), empty()], used: [false; 4] }
    }

    pub fn space(&self, space: Space) -> &Spaces {
        &self.spaces[space as usize]
    }

    /// A space to put an entry into.
    pub fn fill(&mut self, space: Space) -> &mut Spaces {
        self.used[space as usize] = true;
        &mut self.spaces[space as usize]
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

    fn flush_space(&mut self, space: Space) {
        if std::mem::take(&mut self.used[space as usize]) {
            let entries = &mut self.spaces[space as usize];
            entries.read.fill(EMPTY);
            entries.write.fill(EMPTY);
            entries.fetch.fill(EMPTY);
        }
    }

    pub fn flush_writes(&mut self) {
        for (entries, used) in self.spaces.iter_mut().zip(self.used) {
            if used {
                entries.write.fill(EMPTY);
            }
        }
    }

    pub fn flush_fetches(&mut self) {
        for (entries, used) in self.spaces.iter_mut().zip(self.used) {
            if used {
                entries.fetch.fill(EMPTY);
            }
        }
    }
}
