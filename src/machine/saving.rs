//! A machine that is saved while it runs on: what [`Machine::save`] would have answered where the save began,
//! in pieces.
//!
//! [`Machine::begin_save`] encodes hart and devices and begins a copy of RAM ([`crate::mem::ram::copy`]). That takes a
//! fraction of a millisecond, whatever the guest has written. [`Machine::save_next`] then does a bounded piece of
//! the rest each time, between two slices of the guest:
//!
//! ```text
//! begin --> digest of what was written before --> which pages of the boot image RAM holds
//!                                                                                  |
//!           End <-- pages of RAM <-- what follows of the boot image <-- SavedHead <-+
//! ```
//!
//! An increment ([`Extent::Increment`]) has of RAM only what has been written since the save that it builds on, and no boot
//! image: [`Machine::succeed`] puts it on that one's machine.
//!
//! The pieces are plain bytes. To pack them is another thread's work: `snapshot::Packer`.
//!
//! Absent on purpose: when to draw the next piece, and how large it is.

use thiserror::Error;

use super::config::MachineConfig;
use super::vm::Machine;
use crate::base::{Digest, Icount};
use crate::mem::ram::copy::Outline;
use crate::mem::{Extent, Pages};

/// A save of this machine is under way already; it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the machine is being saved already, since {at}")]
pub struct SaveUnderWay {
    /// The position that the save under way is of.
    pub at: Icount,
}

/// What comes before the pieces: all of a [`Saved`](super::Saved) but the boot image and the pages, and how
/// much of these there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedHead {
    /// What the machine is made of.
    pub config: MachineConfig,
    /// The position at which the save began.
    pub icount: Icount,
    /// Of an increment: the position of the save that it builds on.
    pub base: Option<Icount>,
    /// The state's digest there.
    pub digest: Digest,
    /// Hart and devices, encoded.
    pub state: Vec<u8>,
    /// Length of what a reset starts over from, encoded.
    pub boot_bytes: u64,
    /// How many pages the pieces hold.
    pub pages: u32,
}

/// Some of what comes behind the head. First all of the boot image, then the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes of what a reset starts over from, encoded.
    Boot(Vec<u8>),
    /// The next pages.
    Pages(Pages),
}

/// What a call of [`Machine::save_next`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveStep {
    /// It worked on what is not seen.
    Working,
    /// Once, before the first piece.
    Head(Box<SavedHead>),
    /// The next piece.
    Piece(Piece),
    /// There is nothing left, and no save under way.
    End,
}

/// How far a save is.
enum Stage {
    /// The pages that were written before it began are being digested.
    Settling,
    /// So many pages of the boot image have been compared with RAM as it was; of these pages RAM holds some others,
    /// and all encoded they take so many bytes.
    Comparing { pages: usize, bytes: u64 },
    /// The head has gone, and so many pages of the boot image.
    Boot { pages: usize },
    /// The boot image has gone.
    Pages,
}

/// The save under way.
pub(super) struct Saving {
    icount: Icount,
    extent: Extent,
    /// Hart and devices, encoded; empty when the head has gone.
    state: Vec<u8>,
    outline: Option<Outline>,
    /// For each page of the boot image that has been compared: RAM held it.
    in_ram: Vec<bool>,
    stage: Stage,
}

impl Machine {
    /// Begins to save the machine as it is here, which then runs on. Outputs have been taken. Without a
    /// [`save_base`](Self::save_base) an increment is a base.
    ///
    /// Pages that the guest writes before they are drawn are kept, each once. When they take `aside_bytes_max`,
    /// [`Machine::save_is_short`] says so.
    ///
    /// # Errors
    /// A save is under way.
    pub fn begin_save(&mut self, aside_bytes_max: u64, extent: Extent) -> Result<(), SaveUnderWay> {
        if let Some(saving) = &self.saving {
            return Err(SaveUnderWay { at: saving.icount });
        }
        let state = self.state_bytes();
        let extent = match extent {
            Extent::Increment if self.save_base.is_none() => Extent::Base,
            extent => extent,
        };
        self.ram.begin_copy(aside_bytes_max, extent).expect("no copy of RAM but a save's");
        let in_ram = Vec::new();
        let (icount, outline, stage) = (self.icount(), None, Stage::Settling);
        self.saving = Some(Box::new(Saving { icount, extent, state, outline, in_ram, stage }));
        Ok(())
    }

    /// The position of the save that an increment would build on: the last one that came to its end, but for those that
    /// are [`Extent::Apart`].
    pub fn save_base(&self) -> Option<Icount> {
        self.save_base
    }

    /// The position that the save under way is of.
    pub fn saving(&self) -> Option<Icount> {
        self.saving.as_ref().map(|saving| saving.icount)
    }

    /// Does the next piece of the save under way: digests, compares or copies at most `pages_max` (> 0) pages.
    pub fn save_next(&mut self, pages_max: usize) -> SaveStep {
        debug_assert!(pages_max > 0);
        let Some(mut saving) = self.saving.take() else { return SaveStep::End };
        let step = self.save_piece(&mut saving, pages_max);
        if step != SaveStep::End {
            self.saving = Some(saving);
        } else if saving.extent != Extent::Apart {
            self.save_base = Some(saving.icount);
        }
        step
    }

    fn save_piece(&mut self, saving: &mut Saving, pages_max: usize) -> SaveStep {
        let boot_pages = self.boot_image().pages_count();
        let first_bytes = |at: usize| if at == 0 { self.boot_image().encoded_start() } else { Vec::new() };
        match saving.stage {
            Stage::Settling => {
                saving.outline = self.ram.settle_copy(pages_max);
                if saving.outline.is_none() {
                    return SaveStep::Working;
                }
                if saving.extent == Extent::Increment {
                    saving.stage = Stage::Pages;
                    return SaveStep::Head(Box::new(self.head_of(saving, 0)));
                }
                saving.stage = Stage::Comparing { pages: 0, bytes: 0 };
                SaveStep::Working
            }
            Stage::Comparing { pages: at, bytes } => {
                let end = at.saturating_add(pages_max).min(boot_pages);
                let mut encoded = first_bytes(at);
                let is_in_ram = |page, bytes: &[u8]| {
                    saving.in_ram.push(self.ram.copied_page(page) == Some(bytes));
                    saving.in_ram.last() == Some(&true)
                };
                self.boot_image().put_pages(at..end, is_in_ram, &mut encoded);
                let bytes = bytes + encoded.len() as u64;
                if end < boot_pages {
                    saving.stage = Stage::Comparing { pages: end, bytes };
                    return SaveStep::Working;
                }
                saving.stage = Stage::Boot { pages: 0 };
                SaveStep::Head(Box::new(self.head_of(saving, bytes)))
            }
            Stage::Boot { pages: at } => {
                let end = at.saturating_add(pages_max).min(boot_pages);
                let mut encoded = first_bytes(at);
                let mut in_ram = saving.in_ram[at..end].iter();
                self.boot_image().put_pages(at..end, |_, _| in_ram.next() == Some(&true), &mut encoded);
                saving.stage = if end < boot_pages { Stage::Boot { pages: end } } else { Stage::Pages };
                SaveStep::Piece(Piece::Boot(encoded))
            }
            Stage::Pages => match self.ram.draw_copy(pages_max) {
                None => SaveStep::End,
                Some(pages) if pages.numbers.is_empty() => SaveStep::Working,
                Some(pages) => SaveStep::Piece(Piece::Pages(pages)),
            },
        }
    }

    fn head_of(&self, saving: &mut Saving, boot_bytes: u64) -> SavedHead {
        let Outline { digest, pages } = saving.outline.expect("pages are settled before they are compared");
        let state = std::mem::take(&mut saving.state);
        let (config, icount) = (self.config().clone(), saving.icount);
        let base = self.save_base.filter(|_| saving.extent == Extent::Increment);
        SavedHead { digest: self.digest_with(digest, &state), config, icount, base, state, boot_bytes, pages }
    }

    /// True when as many bytes are kept for the save under way as it was given, or more. Pieces should be drawn before
    /// the guest runs on, because whatever it writes is still kept.
    pub fn save_is_short(&self) -> bool {
        self.ram.copy_is_short()
    }

    /// Bytes of pages that are kept for the save under way alone.
    pub fn save_aside_bytes(&self) -> u64 {
        self.ram.copy_aside_bytes()
    }

    /// Gives up the save under way, if there is one, and frees what is kept for it.
    pub fn abandon_save(&mut self) {
        self.saving = None;
        self.ram.end_copy();
    }
}

#[cfg(test)]
#[path = "saving_tests.rs"]
pub(crate) mod tests;
