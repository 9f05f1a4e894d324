//! A machine put aside: what it is made of, where it stands, and every byte that decides its
//! future.
//!
//! | part | holds |
//! |---|---|
//! | `config` | what the machine is made of |
//! | `icount`, `digest` | where it stood, and what it was: checked when it comes back |
//! | `state` | hart and devices ([postcard](https://postcard.jamesmunns.com) of their states) |
//! | `pages` | the pages of RAM that are not zero, ascending, 4096 bytes each |
//!
//! What comes back may come from a rotten file or a hostile peer: all of it is looked at, and a
//! machine comes out only if its digest is the one that was saved.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::{BadConfig, MachineConfig};
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
        let pages = ram.pages_nonzero().map(|page| (page, ram.page(page).into())).collect();
        Saved { config: self.config().clone(), icount: self.icount(), digest, state, pages }
    }

    /// The machine that was saved.
    pub fn restore(saved: Saved) -> Result<Self, RestoreError> {
        let Saved { config, icount, digest, state, pages } = saved;
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
        let mut machine = Self::of_parts(config.clone(), hart, Ram::new(config.ram_bytes), board);
        machine.load_pages(&pages)?;
        let found = machine.digest();
        if found != digest {
            return Err(RestoreError::Digest { saved: digest, found });
        }
        Ok(machine)
    }

    fn load_pages(&mut self, pages: &[(u32, Box<[u8]>)]) -> Result<(), RestoreError> {
        let count = self.ram().pages();
        let mut next = 0;
        for (nth, (page, bytes)) in pages.iter().enumerate() {
            let bad = RestoreError::Page { nth, page: *page, len: bytes.len() };
            if *page < next || *page >= count || bytes.len() != PAGE_BYTES {
                return Err(bad);
            }
            self.ram_mut().load_page(*page, bytes).map_err(|_| bad)?;
            next = page + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
