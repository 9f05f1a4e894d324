//! A copy of RAM as it is at one moment, made while RAM is written on.
//!
//! [`Ram::begin_copy`] marks every page as not copied and copies none. From then on the first write to such a
//! page puts its bytes aside; what has not been written is read where it is, when it is drawn. So the copy
//! costs little where it begins, and then a bounded piece at a time:
//!
//! ```text
//! begin --settle_copy--> digest and count known --draw_copy--> all pages drawn, nothing left behind
//!    |                          |
//!    +--------------------------+--end_copy--> nothing left behind
//! ```
//!
//! The digest is not known where the copy begins, because pages may have been written since the last
//! [`Ram::digest`]: [`Ram::settle_copy`] digests them, as they were, a few at a time. It does so for RAM's own
//! digest too, so no page is digested twice that is not written twice.
//!
//! | page | `UNCOPIED` | in `aside` | its bytes as they were |
//! |---|---|---|---|
//! | not written since, not drawn | yes | no | in RAM |
//! | written since, not drawn | no | if they were not zero | in `aside`, or zero |
//! | drawn | no | no | the owner's |
//!
//! A page that is `UNCOPIED` is `DIRTY` only while it waits in `unsettled`, and no write entry leads to it: the
//! copy began a new [`Ram::epoch`], and each write since was marked. So `DIRTY` may be cleared without another.
//!
//! A copy may be an increment: only the pages that have been written since the copy began that it builds on, those of
//! zeros too ([`Extent`]). A copy that is given up was none, for the next one.
//!
//! When a guest resets its machine, RAM is replaced as a whole. The RAM of before is then kept until its copy ends.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{PAGE_BYTES, PageFlags, Ram, is_zero, part_of};
use crate::base::{Digest, Sabotage};

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// The most pages that one call of [`Ram::draw_copy`] looks at, pages of zeros included.
const PASSED_MAX: u32 = 16_384;

/// A copy of this RAM is under way already; it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a copy of RAM is under way already")]
pub struct CopyUnderWay;

/// What a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every page that is not all zeros. For later copies it does not count.
    Apart,
    /// The same, and the next increment builds on this one.
    Base,
    /// The pages written since the last copy began that was a `Base` or an `Increment`. The next one builds on this one.
    Increment,
}

/// Pages of a copy, ascending; none of them all zeros, but in an increment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Their numbers.
    pub numbers: Vec<u32>,
    /// Their bytes, [`PAGE_BYTES`] each, one after another.
    pub bytes: Vec<u8>,
}

impl Pages {
    /// Number and bytes of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.numbers.iter().copied().zip(self.bytes.chunks_exact(PAGE_BYTES))
    }
}

/// What a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The digest of all of RAM, as [`Ram::digest`] computes it.
    pub digest: Digest,
    /// How many pages it has.
    pub pages: u32,
}

/// See the module.
pub(super) struct Copy {
    /// Pages whose digests were out of date where the copy began, and still are.
    unsettled: Vec<u32>,
    /// RAM's `sum` and `nonzero` as they were, but for `unsettled`.
    sum: u128,
    nonzero: u32,
    aside: BTreeMap<u32, Box<[u8]>>,
    /// From this page on none has been drawn.
    next: u32,
    /// How many pages have been drawn.
    drawn: u32,
    aside_bytes_max: u64,
    extent: Extent,
    /// How many pages an increment has.
    changed: u32,
}

impl Copy {
    /// How many pages there are to draw.
    const fn pages(&self) -> u32 {
        match self.extent {
            Extent::Apart | Extent::Base => self.nonzero,
            Extent::Increment => self.changed,
        }
    }
}

impl Ram {
    /// Begins a copy of RAM as it is now. It is to put aside no more than about `aside_bytes_max` bytes:
    /// see [`Ram::copy_is_short`]. Starts a new [`Ram::epoch`].
    ///
    /// # Errors
    /// One is under way.
    pub fn begin_copy(&mut self, aside_bytes_max: u64, extent: Extent) -> Result<(), CopyUnderWay> {
        if self.is_copying() {
            return Err(CopyUnderWay);
        }
        const BOTH: PageFlags = PageFlags::CHANGED.union(PageFlags::CHANGED_BEFORE);
        let mut changed = 0;
        for flags in &mut self.flags {
            let is_changed = flags.intersects(PageFlags::CHANGED);
            changed += u32::from(is_changed);
            if extent != Extent::Increment || is_changed {
                *flags = flags.union(PageFlags::UNCOPIED);
            }
            if extent != Extent::Apart {
                let before = if is_changed { PageFlags::CHANGED_BEFORE } else { PageFlags::NONE };
                *flags = flags.without(BOTH).union(before);
            }
        }
        if !Sabotage::SaveEpochKept.is_on() {
            self.epoch += 1;
        }
        self.copy = Some(Box::new(Copy {
            unsettled: std::mem::take(&mut self.dirty),
            sum: self.sum,
            nonzero: self.nonzero,
            aside: BTreeMap::new(),
            next: 0,
            drawn: 0,
            aside_bytes_max,
            extent,
            changed,
        }));
        Ok(())
    }

    /// True while a copy is under way.
    pub fn is_copying(&self) -> bool {
        self.copy.is_some() || self.before.is_some()
    }

    /// Digests at most `pages_max` of the pages that were written before the copy began and not digested
    /// since. None while there are more, or when no copy is under way.
    pub fn settle_copy(&mut self, pages_max: usize) -> Option<Outline> {
        let ram = self.copied_mut();
        ram.settle(pages_max);
        let copy = ram.copy.as_ref().filter(|copy| copy.unsettled.is_empty())?;
        Some(Outline { digest: Digest(copy.sum), pages: copy.pages() })
    }

    /// The pages that have been written since the last copy began which others build on.
    pub(super) fn pages_changed(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.pages()).filter(|page| self.flags(*page).intersects(PageFlags::CHANGED))
    }

    /// The bytes of page `page` as they were where the copy began, if it has not been drawn; none if they were
    /// all zeros and the page has been written since. Not of an increment.
    pub fn copied_page(&self, page: u32) -> Option<&[u8]> {
        let ram = self.before.as_deref().unwrap_or(self);
        if ram.flags(page).intersects(PageFlags::UNCOPIED) {
            return Some(ram.page(page));
        }
        ram.copy.as_ref().and_then(|copy| copy.aside.get(&page)).map(|bytes| &**bytes)
    }

    /// The next pages, at most `pages_max` and maybe none, once [`Ram::settle_copy`] has come to its end. None when
    /// all have been drawn; then the copy has ended.
    pub fn draw_copy(&mut self, pages_max: usize) -> Option<Pages> {
        let drawn = self.copied_mut().draw(pages_max);
        if drawn.is_none() {
            self.before = None;
        }
        drawn
    }

    /// Bytes that are kept for the copy alone.
    pub fn copy_aside_bytes(&self) -> u64 {
        let ram = self.before.as_deref().unwrap_or(self);
        let pages = ram.copy.as_ref().map_or(0, |copy| match self.before {
            // At most: some of the unsettled ones may be zeros.
            Some(_) => (copy.nonzero as usize + copy.unsettled.len()).saturating_sub(copy.drawn as usize),
            None => copy.aside.len(),
        });
        (pages * PAGE_BYTES) as u64
    }

    /// True when as much has been put aside as the copy was given, or more: pages have to be drawn before RAM is
    /// written on, because whatever is written is still put aside.
    pub fn copy_is_short(&self) -> bool {
        let ram = self.before.as_deref().unwrap_or(self);
        ram.copy.as_ref().is_some_and(|copy| self.copy_aside_bytes() >= copy.aside_bytes_max)
    }

    /// Ends the copy, if one is under way, and frees what was put aside.
    pub fn end_copy(&mut self) {
        if let Some(before) = self.before.take() {
            let is_counted = before.copy.as_ref().is_some_and(|copy| copy.extent != Extent::Apart);
            for page in before.pages_changed_before().filter(|_| is_counted) {
                self.set_flags(page, PageFlags::CHANGED);
            }
        }
        let Some(copy) = self.copy.take() else { return };
        if copy.extent != Extent::Apart {
            let pages: Vec<u32> = self.pages_changed_before().collect();
            pages.into_iter().for_each(|page| self.set_flags(page, PageFlags::CHANGED));
        }
        // Those that have been written since are among the dirty ones again.
        let flags = &self.flags;
        let is_untouched = |page: &u32| flags[*page as usize].intersects(PageFlags::UNCOPIED);
        self.dirty.extend(copy.unsettled.into_iter().filter(is_untouched));
        for flags in &mut self.flags[copy.next as usize..] {
            *flags = flags.without(PageFlags::UNCOPIED);
        }
    }

    fn pages_changed_before(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.pages()).filter(|page| self.flags(*page).intersects(PageFlags::CHANGED_BEFORE))
    }

    /// The RAM that is being copied, if one is.
    fn copied_mut(&mut self) -> &mut Self {
        match self.before {
            Some(ref mut before) => before,
            None => self,
        }
    }

    /// Page `page`, which is `UNCOPIED`, is about to be written.
    #[cold]
    pub(super) fn put_aside(&mut self, page: u32) {
        if Sabotage::SaveUnmarked.is_on() {
            return;
        }
        self.clear_flags(page, PageFlags::UNCOPIED);
        let Some(mut copy) = self.copy.take() else { return };
        let is_unsettled = self.flags(page).intersects(PageFlags::DIRTY);
        let bytes = self.page(page);
        let is_zeros = if is_unsettled { is_zero(bytes) } else { self.parts[page as usize] == 0 };
        if !is_zeros {
            copy.aside.insert(page, bytes.into());
        }
        if is_unsettled {
            self.dirty.push(page);
        }
        self.copy = Some(copy);
    }

    /// Digests at most `pages_max` of the copy's unsettled pages.
    pub(super) fn settle(&mut self, pages_max: usize) {
        let Some(mut copy) = self.copy.take() else { return };
        let rest = copy.unsettled.len().saturating_sub(pages_max);
        for page in copy.unsettled.drain(rest..) {
            let old = self.parts[page as usize];
            let part = if self.flags(page).intersects(PageFlags::UNCOPIED) {
                self.update_digest(page);
                self.parts[page as usize]
            } else {
                copy.aside.get(&page).map_or(0, |bytes| part_of(page, bytes))
            };
            copy.sum = copy.sum.wrapping_sub(old).wrapping_add(part);
            copy.nonzero = copy.nonzero + u32::from(part != 0) - u32::from(old != 0);
        }
        self.copy = Some(copy);
    }

    fn draw(&mut self, pages_max: usize) -> Option<Pages> {
        let mut copy = self.copy.take()?;
        debug_assert!(copy.unsettled.is_empty(), "pages are drawn once the outline is known");
        if copy.next == self.pages() {
            return None;
        }
        let is_increment = copy.extent == Extent::Increment;
        let left = copy.pages().saturating_sub(copy.drawn).min(PASSED_MAX);
        let room = pages_max.min(left as usize);
        let mut pages =
            Pages { numbers: Vec::with_capacity(room), bytes: Vec::with_capacity(room * PAGE_BYTES) };
        let end = self.pages().min(copy.next.saturating_add(PASSED_MAX));
        while copy.next < end && pages.numbers.len() < pages_max {
            let page = copy.next;
            copy.next += 1;
            let aside;
            let bytes = if self.flags(page).intersects(PageFlags::UNCOPIED) {
                self.clear_flags(page, PageFlags::UNCOPIED);
                (is_increment || self.parts[page as usize] != 0).then(|| self.page(page))
            } else {
                aside = copy.aside.remove(&page);
                let is_of_it = is_increment && self.flags(page).intersects(PageFlags::CHANGED_BEFORE);
                aside.as_deref().or(is_of_it.then_some(&ZEROS[..]))
            };
            if let Some(bytes) = bytes {
                pages.numbers.push(page);
                pages.bytes.extend_from_slice(bytes);
            }
        }
        copy.drawn += pages.numbers.len() as u32;
        self.copy = Some(copy);
        Some(pages)
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
pub(crate) mod tests;
