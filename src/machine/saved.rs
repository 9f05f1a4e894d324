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
//! How it comes back to life: [`arriving`](super::arriving).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::arriving::Arriving;
use super::boot::BadBoot;
use super::config::{BadConfig, MachineConfig};
use super::vm::Machine;
use crate::base::{Digest, Icount};
use crate::cpu::BadHartState;
use crate::devices::BadDevice;

/// A machine put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// What the machine is made of.
    pub config: MachineConfig,
    /// The position at which it was put aside.
    pub icount: Icount,
    /// The state's digest there; a restored machine must have the same.
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
    /// No machine can have this configuration.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The bytes of [`Saved::state`] are damaged, or of another version of this program.
    #[error("the state of hart and devices does not decode: {0}")]
    Encoding(String),
    /// [`Saved::state`] is longer than a state.
    #[error("{bytes} bytes are left over behind the state of hart and devices")]
    LeftOver {
        /// How much longer.
        bytes: usize,
    },
    /// No hart can be in this state.
    #[error(transparent)]
    Hart(#[from] BadHartState),
    /// No device can be in this state.
    #[error(transparent)]
    Device(#[from] BadDevice),
    /// [`Saved::boot`] is nothing that a reset could start over from.
    #[error("what the guest was booted from: {0}")]
    Boot(#[from] BadBoot),
    /// The devices have the state of an SBI and the configuration no [`OwnSbi`](super::Platform::OwnSbi), or
    /// the other way round.
    #[error("the devices and the configuration disagree on whose SBI it is")]
    Sbi,
    /// RAM was received for a machine of another size.
    #[error("{ahead} bytes of RAM were announced, the configuration has {config}")]
    RamAhead {
        /// Bytes of RAM that was received.
        ahead: u64,
        /// Bytes of RAM by the configuration.
        config: u64,
    },
    /// The network device has another address than it was made with.
    #[error("the network device has address {device:02x?}, the configuration says {config:02x?}")]
    Mac {
        /// The configuration's address.
        config: [u8; 6],
        /// The device's.
        device: [u8; 6],
    },
    /// A disk's device has another capacity, serial or mode than the disk.
    #[error("disk {disk} of the state is not the one of the configuration")]
    Disk {
        /// The disk's number, from 0.
        disk: usize,
    },
    /// A page cannot be loaded.
    #[error("page {page} of {len} bytes, the {nth}. of its kind: out of order, beyond RAM or not whole")]
    Page {
        /// Which in order of arrival, from 0.
        nth: usize,
        /// The page's number, counted from the start of RAM.
        page: u32,
        /// Bytes that came for it.
        len: usize,
    },
    /// The hart's state is of another position.
    #[error("saved at {saved}, but the hart is at {hart}")]
    Position {
        /// [`Saved::icount`].
        saved: Icount,
        /// The hart's.
        hart: Icount,
    },
    /// An increment is of a machine that is made of other things.
    #[error("it is of another machine than the one that it builds on")]
    OtherMachine,
    /// The restored machine is not the one that was saved: what was saved is damaged, or was changed.
    #[error("the state's digest is {found}, saved was {saved}")]
    Digest {
        /// [`Saved::digest`].
        saved: Digest,
        /// The restored machine's.
        found: Digest,
    },
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

    /// Puts aside what [`Machine::take_written`] and others say must follow what was sent ahead: the
    /// machine as [`save`](Self::save) does, but of RAM just `pages`, and not what it was booted from.
    pub fn save_after(&mut self, pages: &BTreeSet<u32>) -> Saved {
        let state = self.state_bytes();
        let digest = self.digest_of(&state);
        let ram = self.ram();
        let pages = pages.iter().map(|page| (*page, ram.page(*page).into())).collect();
        Saved { config: self.config().clone(), icount: self.icount(), digest, state, boot: Vec::new(), pages }
    }

    /// The machine that was saved.
    pub fn restore(saved: Saved) -> Result<Self, RestoreError> {
        Arriving::new(saved.config.ram_bytes)?.complete(saved)
    }
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
