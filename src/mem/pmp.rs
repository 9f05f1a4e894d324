//! Physical memory protection (Priv. spec 3.7): sixteen entries with a granularity of four bytes.
//!
//! [`Pmp::check`] also says whether the answer is the same for the whole page, so that the hart's
//! translation caches can hold it; almost always it is. An entry that an access touches must hold
//! all of its bytes, or the access fails, in M-mode too (Priv. spec 3.7.1.3).
//!
//! The first revision of the hart had a granularity of 4 KiB (G = 10): [`Pmp::use_page_grain`].
//! Smepmp (`mseccfg.MML` and the like) is absent.

use serde::{Deserialize, Serialize};

use super::Access;

/// Entries.
pub const PMP_ENTRIES: usize = 16;

const R: u8 = 1;
const W: u8 = 2;
const X: u8 = 4;
const A_SHIFT: u32 = 3;
const LOCKED: u8 = 0x80;
const TOR: u8 = 1;
const NA4: u8 = 2;
const NAPOT: u8 = 3;

/// `pmpaddr` holds bits 55..2 of an address.
const ADDR_MASK: u64 = (1 << 54) - 1;
/// Bits of `pmpaddr` below a granularity of a page in the modes OFF and TOR.
const PAGE_GRAIN: u64 = (1 << 10) - 1;

/// The registers `pmpcfg0..15` (as bytes) and `pmpaddr0..15`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pmp {
    cfg: [u8; PMP_ENTRIES],
    addr: [u64; PMP_ENTRIES],
    /// Bits of `pmpaddr` below the granularity in the modes OFF and TOR. Not state: the hart's model defines
    /// it.
    #[serde(skip)]
    grain: u64,
}

/// The answer to an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// False: an access fault of the kind that the access names.
    pub allowed: bool,
    /// The same holds for every access of this kind to this page.
    pub whole_page: bool,
}

const fn mode(cfg: u8) -> u8 {
    cfg >> A_SHIFT & 3
}

impl Pmp {
    /// From now on the granularity is a page.
    pub fn use_page_grain(&mut self) {
        self.grain = PAGE_GRAIN;
    }

    /// Eight configuration bytes from entry `first`, as `pmpcfg0` and `pmpcfg2` show them.
    pub fn config(&self, first: usize) -> u64 {
        (0..8).fold(0, |value, i| value | u64::from(self.cfg[first + i]) << (8 * i))
    }

    /// Writes eight configuration bytes. A locked entry keeps its own; a byte that asks for W
    /// without R leaves R, W and X as they were, and one that asks for NA4 where the granularity is a
    /// page leaves its field A.
    pub fn set_config(&mut self, first: usize, value: u64) {
        let grain = self.grain;
        for (cfg, byte) in self.cfg[first..first + 8].iter_mut().zip(value.to_le_bytes()) {
            if *cfg & LOCKED == 0 {
                *cfg = legal_config(*cfg, byte, grain);
            }
        }
    }

    /// What `pmpaddr` of `entry` (< [`PMP_ENTRIES`]) reads: bits 55..2 of an address, as the granularity shows them.
    pub fn address(&self, entry: usize) -> u64 {
        let addr = self.addr[entry];
        // Priv. spec 3.7.1: bits G-2..0 read as ones for NAPOT, bits G-1..0 as zeros otherwise.
        if mode(self.cfg[entry]) == NAPOT { addr | self.grain >> 1 } else { addr & !self.grain }
    }

    /// Writes an address register; nothing happens when the entry is locked, or when it is the
    /// bottom of a locked TOR entry.
    pub fn set_address(&mut self, entry: usize, value: u64) {
        let next_holds = self.cfg.get(entry + 1).is_some_and(|cfg| cfg & LOCKED != 0 && mode(*cfg) == TOR);
        if self.cfg[entry] & LOCKED == 0 && !next_holds {
            self.addr[entry] = value & ADDR_MASK;
        }
    }

    /// The first and the last byte of an entry that is on and holds any.
    fn range(&self, entry: usize) -> Option<(u64, u64)> {
        let addr = self.addr[entry];
        match mode(self.cfg[entry]) {
            TOR => {
                let bottom = if entry == 0 { 0 } else { self.addr[entry - 1] & !self.grain };
                let top = addr & !self.grain;
                (bottom < top).then(|| (bottom << 2, (top << 2) - 1))
            }
            NA4 => Some((addr << 2, addr << 2 | 3)),
            NAPOT => {
                let addr = addr | self.grain >> 1;
                // The trailing ones and the zero above them do not take part.
                let free = addr ^ (addr + 1);
                Some(((addr & !free) << 2, (addr | free) << 2 | 3))
            }
            _ => None,
        }
    }

    /// May `access` touch the `bytes` (> 0) bytes at physical address `at`, which are all on one page?
    /// `machine`: from M-mode, which only locked entries bind.
    pub fn check(&self, at: u64, bytes: usize, access: Access, machine: bool) -> Verdict {
        let wanted = match access {
            Access::Fetch => X,
            Access::Load => R,
            Access::Store => W,
        };
        debug_assert!(at % 0x1000 + bytes as u64 <= 0x1000);
        let last = at + (bytes as u64 - 1);
        let (page, page_last) = (at & !0xfff, at | 0xfff);
        let mut whole_page = true;
        for (entry, &cfg) in self.cfg.iter().enumerate() {
            let Some((from, to)) = self.range(entry) else { continue };
            if to < page || from > page_last {
                continue;
            }
            whole_page &= from <= page && page_last <= to;
            if from <= last && at <= to {
                let all = from <= at && last <= to;
                let allowed = all && (cfg & wanted != 0 || (machine && cfg & LOCKED == 0));
                return Verdict { allowed, whole_page };
            }
        }
        Verdict { allowed: machine, whole_page }
    }

    /// [`Pmp::check`] for a caller that caches nothing.
    pub fn allows(&self, at: u64, bytes: usize, access: Access, machine: bool) -> bool {
        self.check(at, bytes, access, machine).allowed
    }

    /// False when the registers hold what no write can have put there.
    pub fn is_legal(&self) -> bool {
        self.cfg.iter().all(|&cfg| legal_config(0, cfg, self.grain) == cfg)
            && self.addr.iter().all(|a| a & !ADDR_MASK == 0)
    }
}

fn legal_config(old: u8, new: u8, grain: u64) -> u8 {
    let rwx = if new & (R | W) == W { old } else { new } & (R | W | X);
    let a = if mode(new) == NA4 && grain != 0 { mode(old) } else { mode(new) };
    (new & LOCKED) | a << A_SHIFT | rwx
}

#[cfg(test)]
#[path = "pmp_tests.rs"]
mod tests;
