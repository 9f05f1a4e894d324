//! Physical memory protection (Priv. spec 3.7): sixteen entries with a granularity of a page.
//!
//! The granularity (G = 10, 4 KiB) makes the answer the same for a whole page, so that the hart's
//! translation caches can hold it. Therefore NA4 cannot be chosen, and the low bits of an address
//! register read as the spec says for that G. Smepmp (`mseccfg.MML` and the like) is absent.

use serde::{Deserialize, Serialize};

use super::Access;

/// Entries.
pub const PMP_ENTRIES: usize = 16;

const R: u8 = 1;
const W: u8 = 2;
const X: u8 = 4;
const A_SHIFT: u32 = 3;
const LOCKED: u8 = 0x80;
const OFF: u8 = 0;
const TOR: u8 = 1;
const NA4: u8 = 2;
const NAPOT: u8 = 3;

/// `pmpaddr` holds bits 55..2 of an address.
const ADDR_MASK: u64 = (1 << 54) - 1;
/// Bits of `pmpaddr` below the granularity in the modes OFF and TOR.
const GRAIN: u64 = (1 << 10) - 1;

/// The registers `pmpcfg0..15` (as bytes) and `pmpaddr0..15`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pmp {
    cfg: [u8; PMP_ENTRIES],
    addr: [u64; PMP_ENTRIES],
}

const fn mode(cfg: u8) -> u8 {
    cfg >> A_SHIFT & 3
}

impl Pmp {
    /// Eight configuration bytes from entry `first`, as `pmpcfg0` and `pmpcfg2` show them.
    pub fn config(&self, first: usize) -> u64 {
        (0..8).fold(0, |value, i| value | u64::from(self.cfg[first + i]) << (8 * i))
    }

    /// Writes eight configuration bytes. A locked entry keeps its own; a byte that asks for NA4 or
    /// for W without R (both not to be had here) leaves its field A, or R, W and X, as they were.
    pub fn set_config(&mut self, first: usize, value: u64) {
        for (cfg, byte) in self.cfg[first..first + 8].iter_mut().zip(value.to_le_bytes()) {
            if *cfg & LOCKED == 0 {
                *cfg = legal_config(*cfg, byte);
            }
        }
    }

    pub fn address(&self, entry: usize) -> u64 {
        let addr = self.addr[entry];
        // Priv. spec 3.7.1: bits G-2..0 read as ones for NAPOT, bits G-1..0 as zeros otherwise.
        if mode(self.cfg[entry]) == NAPOT { addr | GRAIN >> 1 } else { addr & !GRAIN }
    }

    /// Writes an address register; nothing happens when the entry is locked, or when it is the
    /// bottom of a locked TOR entry.
    pub fn set_address(&mut self, entry: usize, value: u64) {
        let next_holds = self.cfg.get(entry + 1).is_some_and(|cfg| cfg & LOCKED != 0 && mode(*cfg) == TOR);
        if self.cfg[entry] & LOCKED == 0 && !next_holds {
            self.addr[entry] = value & ADDR_MASK;
        }
    }

    /// May `access` touch the page that holds physical address `at`? `machine`: from M-mode, which
    /// only locked entries bind.
    pub fn allows(&self, at: u64, access: Access, machine: bool) -> bool {
        let wanted = match access {
            Access::Fetch => X,
            Access::Load => R,
            Access::Store => W,
        };
        let at = at >> 2;
        for (entry, &cfg) in self.cfg.iter().enumerate() {
            let hit = match mode(cfg) {
                TOR => {
                    let bottom = if entry == 0 { 0 } else { self.addr[entry - 1] & !GRAIN };
                    bottom <= at && at < self.addr[entry] & !GRAIN
                }
                NAPOT => {
                    let addr = self.addr[entry] | GRAIN >> 1;
                    // The trailing ones and the zero above them do not take part.
                    let free = addr ^ addr.wrapping_add(1);
                    (at ^ addr) & !free == 0
                }
                _ => false,
            };
            if hit {
                return cfg & wanted != 0 || (machine && cfg & LOCKED == 0);
            }
        }
        machine
    }

    /// False when the registers hold what no write can have put there.
    pub fn is_legal(&self) -> bool {
        self.cfg.iter().all(|&cfg| legal_config(0, cfg) == cfg)
            && self.addr.iter().all(|a| a & !ADDR_MASK == 0)
    }
}

fn legal_config(old: u8, new: u8) -> u8 {
    let rwx = if new & (R | W) == W { old } else { new } & (R | W | X);
    let a = if mode(new) == NA4 { mode(old) } else { mode(new) };
    debug_assert!(matches!(a, OFF | TOR | NAPOT));
    (new & LOCKED) | a << A_SHIFT | rwx
}

#[cfg(test)]
#[path = "pmp_tests.rs"]
mod tests;
