//! Guest RAM: bytes, what is cached of each page elsewhere, and a digest that is kept up to date.
//!
//! The digest of RAM is the wrapping sum of the digests of its pages, each seeded with its page
//! number; a page of zeros counts 0. It depends on the bytes alone, not on how they came there.
//!
//! Every write must be marked, page by page: [`Ram::write`] does by itself. The hart's own stores
//! go straight to [`Ram::bytes_mut`], but only to pages for which it has called
//! [`Ram::mark_dirty`] since the last [`Ram::epoch`], and which carry no flag.
//!
//! | flag | the hart has | who sets | who clears |
//! |---|---|---|---|
//! | `CODE` | decoded instructions of the page | hart | hart; a write from outside (then the page is in [`Ram::take_touched`]) |
//! | `TABLE` | translations that were read from the page | hart | as `CODE` |
//! | `WATCHED` | to look at each of its own stores there (`tohost`) | hart | hart |
//!
//! None of the flags is state: they only control what to invalidate.
//!
//! Who follows the writes does so for itself: the digest (`dirty`), a joiner's transfer
//! ([`Ram::note_writes`]), a copy of RAM as it was at one moment ([`copy`]) and the next such copy. All of them hear of a write by
//! [`Ram::mark_dirty`], before it happens.

pub mod copy;

use std::collections::BTreeSet;

use thiserror::Error;

use self::copy::Copy as RamCopy;
use super::bytes::Bytes;
use crate::base::{Digest, GuestPhys, Sabotage, digest_bytes};

/// Where RAM starts (as on QEMU's `virt` machine).
pub const RAM_BASE: GuestPhys = GuestPhys(0x8000_0000);
/// A page: the unit of digests, dirtiness and transfer.
pub const PAGE_BYTES: usize = 4096;

/// An access of which at least one byte is not RAM; nothing was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{len} bytes at {at} are not all RAM")]
pub struct OutOfRam {
    /// The address of the access's first byte.
    pub at: GuestPhys,
    /// How many bytes the access asked for.
    pub len: usize,
}

/// A set of page flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageFlags(u8);

impl PageFlags {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// The hart holds decoded instructions of the page.
    pub const CODE: Self = Self(1);
    /// The hart holds translations that it read from the page.
    pub const TABLE: Self = Self(2);
    /// The hart looks at each of its own stores to the page.
    pub const WATCHED: Self = Self(4);
    /// The page's digest is out of date.
    const DIRTY: Self = Self(8);
    /// A copy of RAM is under way, and the page has neither been written since it began nor been drawn.
    const UNCOPIED: Self = Self(16);
    /// The page has been written since the last copy began that others build on.
    const CHANGED: Self = Self(32);
    /// The page was `CHANGED` where that copy began.
    const CHANGED_BEFORE: Self = Self(64);

    /// The flags that are in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when a flag is in both sets.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The guest's memory: `size_bytes` bytes from [`RAM_BASE`], zero at reset.
pub struct Ram {
    bytes: Bytes,
    /// By page number (from 0).
    flags: Vec<PageFlags>,
    /// Each page's part of `sum`, as of its last digest.
    parts: Vec<u128>,
    sum: u128,
    /// How many of `parts` are not 0.
    nonzero: u32,
    /// The pages that carry `DIRTY`, each once, but for those that a copy has taken over to settle.
    dirty: Vec<u32>,
    /// Pages that lost `CODE` or `TABLE` by a write from outside; each at most once, because the
    /// flags are gone with the first.
    touched: Vec<u32>,
    epoch: u64,
    /// While this RAM is being copied: the pages written since they were last asked for, as far as they were
    /// digested since.
    written: Option<BTreeSet<u32>>,
    /// The copy that is under way.
    copy: Option<Box<RamCopy>>,
    /// While a copy is under way that began before RAM was replaced: the RAM that it is of.
    before: Option<Box<Self>>,
}

impl Ram {
    /// `size_bytes` is rounded up to whole pages by the caller (asserted).
    pub fn new(size_bytes: u64) -> Self {
        assert!(size_bytes.is_multiple_of(PAGE_BYTES as u64) && size_bytes > 0);
        let pages = size_bytes / PAGE_BYTES as u64;
        assert!(pages <= u64::from(u32::MAX), "page numbers are 32 bits");
        Self {
            bytes: Bytes::zeroed(usize::try_from(size_bytes).expect("RAM fits the host's address space")),
            flags: vec![PageFlags::NONE; pages as usize],
            parts: vec![0; pages as usize],
            sum: 0,
            nonzero: 0,
            dirty: Vec::new(),
            touched: Vec::new(),
            epoch: 0,
            written: None,
            copy: None,
            before: None,
        }
    }

    /// The size in bytes, whole pages.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many pages there are.
    pub fn pages(&self) -> u32 {
        self.flags.len() as u32
    }

    fn range(&self, at: GuestPhys, len: usize) -> Result<std::ops::Range<usize>, OutOfRam> {
        let start = at.get().checked_sub(RAM_BASE.get()).ok_or(OutOfRam { at, len })?;
        let end = start.checked_add(len as u64).ok_or(OutOfRam { at, len })?;
        if end > self.size_bytes() {
            return Err(OutOfRam { at, len });
        }
        Ok(start as usize..end as usize)
    }

    /// Fills `into` from guest memory.
    pub fn read(&self, at: GuestPhys, into: &mut [u8]) -> Result<(), OutOfRam> {
        let range = self.range(at, into.len())?;
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    /// Writes `bytes` to guest memory (device DMA, loaders): all of them or none.
    pub fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> Result<(), OutOfRam> {
        let range = self.range(at, bytes.len())?;
        if !bytes.is_empty() {
            for page in range.start / PAGE_BYTES..=(range.end - 1) / PAGE_BYTES {
                self.touch(page as u32);
            }
            self.bytes[range].copy_from_slice(bytes);
        }
        Ok(())
    }

    /// A write from outside the hart is about to happen in `page`.
    fn touch(&mut self, page: u32) {
        let cached = PageFlags::CODE.union(PageFlags::TABLE);
        if self.flags(page).intersects(cached) {
            self.clear_flags(page, cached);
            self.touched.push(page);
        }
        self.mark_dirty(page);
    }

    /// Two bytes at `at`. Little-endian; `at` need not be aligned, and may lie across two pages.
    pub fn read_u16(&self, at: GuestPhys) -> Result<u16, OutOfRam> {
        let mut b = [0; 2];
        self.read(at, &mut b).map(|()| u16::from_le_bytes(b))
    }

    /// Four bytes at `at`. Little-endian; `at` need not be aligned, and may lie across two pages.
    pub fn read_u32(&self, at: GuestPhys) -> Result<u32, OutOfRam> {
        let mut b = [0; 4];
        self.read(at, &mut b).map(|()| u32::from_le_bytes(b))
    }

    /// Eight bytes at `at`. Little-endian; `at` need not be aligned, and may lie across two pages.
    pub fn read_u64(&self, at: GuestPhys) -> Result<u64, OutOfRam> {
        let mut b = [0; 8];
        self.read(at, &mut b).map(|()| u64::from_le_bytes(b))
    }

    /// [`Ram::write`] of two bytes, little-endian.
    pub fn write_u16(&mut self, at: GuestPhys, value: u16) -> Result<(), OutOfRam> {
        self.write(at, &value.to_le_bytes())
    }

    /// [`Ram::write`] of four bytes, little-endian.
    pub fn write_u32(&mut self, at: GuestPhys, value: u32) -> Result<(), OutOfRam> {
        self.write(at, &value.to_le_bytes())
    }

    /// [`Ram::write`] of eight bytes, little-endian.
    pub fn write_u64(&mut self, at: GuestPhys, value: u64) -> Result<(), OutOfRam> {
        self.write(at, &value.to_le_bytes())
    }

    /// The number of the page that holds `at`, when that is RAM.
    pub fn page_of(&self, at: GuestPhys) -> Option<u32> {
        let offset = at.get().wrapping_sub(RAM_BASE.get());
        (offset < self.size_bytes()).then_some((offset / PAGE_BYTES as u64) as u32)
    }

    /// The bytes of page `page` (< [`Ram::pages`]).
    pub fn page(&self, page: u32) -> &[u8] {
        let start = page as usize * PAGE_BYTES;
        &self.bytes[start..start + PAGE_BYTES]
    }

    /// The numbers of the pages that hold anything but zeros, ascending.
    pub fn pages_nonzero(&self) -> impl Iterator<Item = u32> + '_ {
        // A page that was never dirty, or that counted 0 when last digested and has not been
        // written since, is zero without a look.
        (0..self.pages()).filter(|&page| {
            if self.flags(page).intersects(PageFlags::DIRTY) {
                !is_zero(self.page(page))
            } else {
                self.parts[page as usize] != 0
            }
        })
    }

    /// Replaces page `page` by `bytes` (exactly [`PAGE_BYTES`]).
    pub fn load_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), OutOfRam> {
        let at = RAM_BASE.plus(u64::from(page) * PAGE_BYTES as u64);
        if bytes.len() != PAGE_BYTES {
            return Err(OutOfRam { at, len: bytes.len() });
        }
        self.write(at, bytes)
    }

    /// All zeros, as at reset.
    pub fn clear(&mut self) {
        let nonzero: Vec<u32> = self.pages_nonzero().collect();
        for page in nonzero {
            self.touch(page);
            let start = page as usize * PAGE_BYTES;
            self.bytes[start..start + PAGE_BYTES].fill(0);
        }
    }

    /// The digest of all of RAM. Costs one pass over the pages written since the last call, and
    /// starts a new [`Ram::epoch`].
    pub fn digest(&mut self) -> Digest {
        self.settle(usize::MAX);
        for page in std::mem::take(&mut self.dirty) {
            self.update_digest(page);
        }
        self.epoch += 1;
        Digest(self.sum)
    }

    /// Counts page `page` as it is now.
    fn update_digest(&mut self, page: u32) {
        self.clear_flags(page, PageFlags::DIRTY);
        let part = part_of(page, self.page(page));
        let old = std::mem::replace(&mut self.parts[page as usize], part);
        self.sum = self.sum.wrapping_sub(old).wrapping_add(part);
        self.nonzero = self.nonzero + u32::from(part != 0) - u32::from(old != 0);
        if let Some(written) = &mut self.written {
            written.insert(page);
        }
    }

    /// From now on it is noted which pages are written. None is, yet.
    pub fn note_writes(&mut self) {
        self.digest();
        self.written = Some(BTreeSet::new());
    }

    /// The pages written since [`Ram::note_writes`] or the last call, ascending; costs what
    /// [`Ram::digest`] does. None if tracking was not requested.
    pub fn take_written(&mut self) -> BTreeSet<u32> {
        self.digest();
        self.written.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Ends what [`Ram::note_writes`] began, and drops what was noted.
    pub fn forget_writes(&mut self) {
        self.written = None;
    }

    /// Becomes `other`, which is of the same size and not being copied; tracking of writes goes on, and so does a
    /// copy of what RAM was.
    pub fn replace(&mut self, mut other: Self) {
        debug_assert_eq!(self.pages(), other.pages());
        if self.written.is_some() {
            let mut written = self.take_written();
            written.extend(self.pages_nonzero().chain(other.pages_nonzero()));
            other.written = Some(written);
        }
        let mut old = std::mem::replace(self, other);
        self.before = old.before.take();
        old.pages_changed()
            .chain(old.pages_nonzero())
            .for_each(|page| self.set_flags(page, PageFlags::CHANGED));
        if old.copy.is_some() {
            old.written = None;
            self.before = Some(Box::new(old));
        }
    }

    /// Changes whenever [`Ram::mark_dirty`] has to be called anew for every page.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Page `page` is about to be written.
    pub fn mark_dirty(&mut self, page: u32) {
        if self.flags(page).intersects(PageFlags::UNCOPIED) {
            self.put_aside(page);
        }
        let flags = &mut self.flags[page as usize];
        let is_first = !flags.intersects(PageFlags::DIRTY);
        if is_first {
            self.dirty.push(page);
        }
        *flags = flags.union(PageFlags::DIRTY);
        if is_first || !Sabotage::SaveChangeMissed.is_on() {
            *flags = flags.union(PageFlags::CHANGED);
        }
    }

    /// The flags of page `page` (< [`Ram::pages`]); among them one of `Ram`'s own.
    pub fn flags(&self, page: u32) -> PageFlags {
        self.flags[page as usize]
    }

    /// Adds `flags` to those of page `page` (< [`Ram::pages`]).
    pub fn set_flags(&mut self, page: u32, flags: PageFlags) {
        let all = &mut self.flags[page as usize];
        *all = all.union(flags);
    }

    /// Takes `flags` from those of page `page` (< [`Ram::pages`]).
    pub fn clear_flags(&mut self, page: u32, flags: PageFlags) {
        let all = &mut self.flags[page as usize];
        *all = all.without(flags);
    }

    /// True when [`Ram::take_touched`] would return pages.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The pages of which something was cached (`CODE`, `TABLE`) and which have since been written
    /// from outside. Their flags are cleared; the owner of a cache must drop what it holds of them.
    pub fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched)
    }

    /// All bytes, from [`RAM_BASE`], to read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, to write under the promise in the head of this file.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// What a page with these bytes counts in the sum.
fn part_of(page: u32, bytes: &[u8]) -> u128 {
    if is_zero(bytes) { 0 } else { digest_bytes(bytes, u64::from(page)).0 }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
#[path = "ram_tests.rs"]
mod tests;
