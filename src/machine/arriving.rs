//! A machine that comes in parts: pages of its RAM while it still runs elsewhere, each as often as it
//! changes there, then the rest, which defines what all of it must be.
//!
//! What comes may come from a rotten file or a hostile peer: all of it is looked at, and a machine comes
//! out only if its digest is the one that was saved. It holds no more than the RAM that was announced, and
//! what has come of the boot image.

use super::boot::BootImage;
use super::config::{self, BadConfig, Platform};
use super::saved::{RestoreError, Saved};
use super::vm::{Machine, State};
use crate::cpu::Hart;
use crate::devices::clint::Clint;
use crate::devices::timebase::Timebase;
use crate::mem::{PAGE_BYTES, Ram};

/// See the module.
pub struct Arriving {
    ram: Ram,
    /// What a reset starts over from, encoded.
    boot: Vec<u8>,
}

impl Arriving {
    /// A machine's RAM, all zero, and no boot image yet.
    ///
    /// # Errors
    /// No machine has that much RAM ([`BadConfig::RamBytes`]).
    pub fn new(ram_bytes: u64) -> Result<Self, BadConfig> {
        config::check_ram_bytes(ram_bytes)?;
        Ok(Self { ram: Ram::new(ram_bytes), boot: Vec::new() })
    }

    /// Bytes of RAM.
    pub fn ram_bytes(&self) -> u64 {
        self.ram.size_bytes()
    }

    /// How many bytes of the boot image have come.
    pub fn boot_bytes(&self) -> usize {
        self.boot.len()
    }

    /// Takes pages as they are now, in ascending order. Their digests are made at once, so that little is
    /// left to do at the end.
    pub fn load(&mut self, pages: &[(u32, Box<[u8]>)]) -> Result<(), RestoreError> {
        load(&mut self.ram, pages)
    }

    /// Takes the next bytes of the boot image.
    pub fn boot(&mut self, bytes: &[u8]) {
        self.boot.extend_from_slice(bytes);
    }

    /// The machine. In `saved` is what has not come before: pages that were written since, and the boot
    /// image if it has not come.
    pub fn complete(self, saved: Saved) -> Result<Machine, RestoreError> {
        let boot_bytes = self.boot;
        finish(self.ram, saved, |saved, ram| {
            let boot = if saved.boot.is_empty() { &boot_bytes } else { &saved.boot };
            Ok(BootImage::decode(boot, ram, saved.config.boot_digest)?)
        })
    }
}

/// Takes pages as [`Arriving::load`] does.
fn load(ram: &mut Ram, pages: &[(u32, Box<[u8]>)]) -> Result<(), RestoreError> {
    let mut next = 0;
    for (nth, (page, bytes)) in pages.iter().enumerate() {
        let (page, bad) = (*page, RestoreError::Page { nth, page: *page, len: bytes.len() });
        if page < next || page >= ram.pages() || bytes.len() != PAGE_BYTES {
            return Err(bad);
        }
        ram.load_page(page, bytes).map_err(|_| bad)?;
        next = page + 1;
    }
    ram.digest();
    Ok(())
}

impl Machine {
    /// The machine that this one has become, where `saved` is an increment of a save of this one: what has been written
    /// since, and no boot image.
    pub fn succeed(self, saved: Saved) -> Result<Self, RestoreError> {
        if saved.config != *self.config() || !saved.boot.is_empty() {
            return Err(RestoreError::OtherMachine);
        }
        let (ram, boot) = self.into_memory();
        finish(ram, saved, |_, _| Ok(boot))
    }
}

/// Hart and devices, as they were encoded.
fn state_of(bytes: &[u8]) -> Result<State, RestoreError> {
    let (mut state, rest) = postcard::take_from_bytes::<State>(bytes)
        .map_err(|error| RestoreError::Encoding(error.to_string()))?;
    if !rest.is_empty() {
        state.board.clint.timebase = match postcard::take_from_bytes::<Timebase>(rest) {
            Ok((timebase, [])) if timebase != Timebase::default() => timebase,
            _ => return Err(RestoreError::LeftOver { bytes: rest.len() }),
        };
    }
    Ok(state)
}

/// The timer in [`Saved::state`]: what a saved machine's clock shows is known without its memory.
pub fn clint_of(state: &[u8]) -> Result<Clint, RestoreError> {
    Ok(state_of(state)?.board.clint)
}

/// Puts what is `saved` on `ram`; what a reset starts over from comes of `boot`.
fn finish(
    mut ram: Ram,
    mut saved: Saved,
    boot: impl FnOnce(&Saved, &Ram) -> Result<BootImage, RestoreError>,
) -> Result<Machine, RestoreError> {
    let pages = std::mem::take(&mut saved.pages);
    let Saved { config, icount, state, .. } = &saved;
    config.check()?;
    if config.ram_bytes != ram.size_bytes() {
        return Err(RestoreError::RamAhead { ahead: ram.size_bytes(), config: config.ram_bytes });
    }
    let State { hart, board } = state_of(state)?;
    board.check(config.ram_bytes)?;
    if board.net.device.mac() != config.mac {
        return Err(RestoreError::Mac { config: config.mac, device: board.net.device.mac() });
    }
    if board.own_sbi != (config.platform == Platform::OwnSbi) {
        return Err(RestoreError::Sbi);
    }
    let disks = board.disks.len().max(config.disks.len());
    let differs = |disk: &usize| board.disks.get(*disk).map(|d| d.device.spec()) != config.disks.get(*disk);
    if let Some(disk) = (0..disks).find(differs) {
        return Err(RestoreError::Disk { disk });
    }
    let hart = Hart::restore(config.cpu, hart)?;
    if hart.icount() != *icount {
        return Err(RestoreError::Position { saved: *icount, hart: hart.icount() });
    }
    load(&mut ram, &pages)?;
    let boot = boot(&saved, &ram)?;
    let Saved { config, digest, .. } = saved;
    let mut machine = Machine::of_parts(config, hart, ram, board, boot);
    let found = machine.digest();
    if found != digest {
        return Err(RestoreError::Digest { saved: digest, found });
    }
    Ok(machine)
}

#[cfg(test)]
#[path = "arriving_tests.rs"]
mod tests;
