//! A machine put aside: what it is made of, where it stands, and every byte that decides its
//! future.
//!
//! | part | holds |
//! |---|---|
//! | `config` | what the machine is made of |
//! | `icount`, `digest` | where it stood, and what it was: checked when it comes back |
//! | `state` | hart and devices ([postcard](https://postcard.jamesmunns.com) of their states) |
//! | `boot` | what a reset starts over from ([`boot`](super::boot)) |
//! | `pages` | the pages of RAM that are not zero, ascending, 4096 bytes each |
//!
//! What comes back may come from a rotten file or a hostile peer: all of it is looked at, and a
//! machine comes out only if its digest is the one that was saved.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::boot::{BadBoot, BootImage};
use super::config::{BadConfig, MachineConfig, Platform};
use super::vm::{Machine, State};
use crate::base::{Digest, Icount};
use crate::cpu::{BadHartState, Hart};
use crate::devices::BadDevice;
use crate::mem::{PAGE_BYTES, Ram};

/// A machine put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub config: MachineConfig,
    pub icount: Icount,
    pub digest: Digest,
    /// Hart and devices, encoded.
    pub state: Vec<u8>,
    /// What a reset starts over from, encoded beside `pages`.
    pub boot: Vec<u8>,
    /// Page number and bytes of each page that is not zero, ascending.
    pub pages: Vec<(u32, Box<[u8]>)>,
}

/// Why what was saved is no machine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("the state of hart and devices does not decode: {0}")]
    Encoding(String),
    #[error("{bytes} bytes are left over behind the state of hart and devices")]
    LeftOver { bytes: usize },
    #[error(transparent)]
    Hart(#[from] BadHartState),
    #[error(transparent)]
    Device(#[from] BadDevice),
    #[error("what the guest was booted from: {0}")]
    Boot(#[from] BadBoot),
    #[error("the devices and the configuration disagree on whose SBI it is")]
    Sbi,
    #[error("the network device has address {device:02x?}, the configuration says {config:02x?}")]
    Mac { config: [u8; 6], device: [u8; 6] },
    #[error("disk {disk} of the state is not the one of the configuration")]
    Disk { disk: usize },
    #[error("page {page} of {len} bytes, the {nth}. of its kind: out of order, beyond RAM or not whole")]
    Page { nth: usize, page: u32, len: usize },
    #[error("saved at {saved}, but the hart stands at {hart}")]
    Position { saved: Icount, hart: Icount },
    #[error("the state's digest is {found}, saved was {saved}")]
    Digest { saved: Digest, found: Digest },
}

impl Machine {
    /// Puts the machine aside; it can go on. Outputs have been taken.
    pub fn save(&mut self) -> Saved {
        let state = self.state_bytes();
        let digest = self.digest_of(&state);
        let ram = self.ram();
        let boot = self.boot_image().encode(ram);
        let pages = ram.pages_nonzero().map(|page| (page, ram.page(page).into())).collect();
        Saved { config: self.config().clone(), icount: self.icount(), digest, state, boot, pages }
    }

    /// The machine that was saved.
    pub fn restore(saved: Saved) -> Result<Self, RestoreError> {
        let Saved { config, icount, digest, state, boot, pages } = saved;
        config.check()?;
        let (State { hart, board }, rest) = postcard::take_from_bytes::<State>(&state)
            .map_err(|error| RestoreError::Encoding(error.to_string()))?;
        if !rest.is_empty() {
            return Err(RestoreError::LeftOver { bytes: rest.len() });
        }
        board.check(config.ram_bytes)?;
        if board.net.device.mac() != config.mac {
            return Err(RestoreError::Mac { config: config.mac, device: board.net.device.mac() });
        }
        if board.own_sbi != (config.platform == Platform::OwnSbi) {
            return Err(RestoreError::Sbi);
        }
        let disks = board.disks.len().max(config.disks.len());
        let differs =
            |disk: &usize| board.disks.get(*disk).map(|d| d.device.spec()) != config.disks.get(*disk);
        if let Some(disk) = (0..disks).find(differs) {
            return Err(RestoreError::Disk { disk });
        }
        let hart = Hart::restore(hart)?;
        if hart.icount() != icount {
            return Err(RestoreError::Position { saved: icount, hart: hart.icount() });
        }
        let mut ram = Ram::new(config.ram_bytes);
        load_pages(&mut ram, &pages)?;
        let boot = BootImage::decode(&boot, &ram, config.boot_digest)?;
        let mut machine = Self::of_parts(config, hart, ram, board, boot);
        let found = machine.digest();
        if found != digest {
            return Err(RestoreError::Digest { saved: digest, found });
        }
        Ok(machine)
    }
}

fn load_pages(ram: &mut Ram, pages: &[(u32, Box<[u8]>)]) -> Result<(), RestoreError> {
    let count = ram.pages();
    let mut next = 0;
    for (nth, (page, bytes)) in pages.iter().enumerate() {
        let bad = RestoreError::Page { nth, page: *page, len: bytes.len() };
        if *page < next || *page >= count || bytes.len() != PAGE_BYTES {
            return Err(bad);
        }
        ram.load_page(*page, bytes).map_err(|_| bad)?;
        next = page + 1;
    }
    Ok(())
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
