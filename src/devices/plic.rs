//! The platform-level interrupt controller: [`SOURCES`] − 1 level-triggered sources, two contexts
//! (hart 0 in M-mode and in S-mode). PLIC specification 1.0.0.
//!
//! | offset | register |
//! |---|---|
//! | `0x000000 + 4 n` | priority of source n (0 = never, ..7) |
//! | `0x001000` | pending bits (read only) |
//! | `0x002000 + 0x80 c` | enable bits of context c |
//! | `0x200000 + 0x1000 c` | threshold of context c |
//! | `0x200004 + 0x1000 c` | claim (read), complete (write) |
//!
//! Each source has a gateway. Per source, as [`Plic`] holds it:
//!
//! ```text
//!              level high                    claim                     complete
//!   idle ------------------> pending ------------------> claimed ------------------> idle
//!                                                                  (and pending at once if the
//!                                                                   level is still high)
//! ```
//!
//! A pending request stays when the level falls before it is claimed (spec 1.3, level-triggered).
//! Accesses are 4 bytes wide. Other offsets inside the window read 0 and ignore writes.
//! Absent on purpose: edge-triggered sources, further harts.

use serde::{Deserialize, Serialize};

use super::BadDevice;
use crate::cpu::BusFault;

/// Sources, counting the reserved source 0.
pub const SOURCES: u32 = 32;
/// Contexts: 0 is M-mode (MEIP), 1 is S-mode (SEIP).
pub const CONTEXTS: usize = 2;
/// The highest priority and threshold.
pub const PRIORITY_MAX: u8 = 7;

/// Bits of `mip` (Priv. spec 3.1.9).
pub const MIP_SEIP: u64 = 1 << 9;
pub const MIP_MEIP: u64 = 1 << 11;

const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

/// Priorities, enables, thresholds, and where each source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plic {
    priority: [u8; SOURCES as usize],
    /// The devices' lines.
    level: u32,
    pending: u32,
    claimed: u32,
    enable: [u32; CONTEXTS],
    threshold: [u8; CONTEXTS],
}

enum Register {
    Priority(usize),
    Pending,
    Enable(usize),
    Threshold(usize),
    Claim(usize),
    Nothing,
}

impl Plic {
    pub fn read(&mut self, offset: u64, size: u8) -> Result<u32, BusFault> {
        Ok(match register(offset, size)? {
            Register::Priority(source) => u32::from(self.priority[source]),
            Register::Pending => self.pending,
            Register::Enable(context) => self.enable[context],
            Register::Threshold(context) => u32::from(self.threshold[context]),
            Register::Claim(context) => self.claim(context),
            Register::Nothing => 0,
        })
    }

    pub fn write(&mut self, offset: u64, size: u8, value: u32) -> Result<(), BusFault> {
        match register(offset, size)? {
            // WARL: three bits of priority are kept.
            Register::Priority(source) => self.priority[source] = value as u8 & PRIORITY_MAX,
            Register::Enable(context) => self.enable[context] = value & !1,
            Register::Threshold(context) => self.threshold[context] = value as u8 & PRIORITY_MAX,
            Register::Claim(context) => self.complete(context, value),
            Register::Pending | Register::Nothing => {}
        }
        Ok(())
    }

    /// The devices' interrupt lines are now at these levels (bit n = source n).
    pub fn set_levels(&mut self, levels: u32) {
        self.level = levels & !1;
        self.pending |= self.level & !self.claimed;
    }

    /// Whether a context has claimed `source` and not completed it.
    pub fn is_claimed(&self, source: u32) -> bool {
        self.claimed & (1 << source) != 0
    }

    /// MEIP and SEIP as bits of `mip`.
    pub fn lines(&self) -> u64 {
        let line = |context: usize, bit: u64| {
            let best = self.best(context).map_or(0, |source| self.priority[source]);
            if best > self.threshold[context] { bit } else { 0 }
        };
        line(0, MIP_MEIP) | line(1, MIP_SEIP)
    }

    /// Looks at a state that came from outside.
    pub fn check(&self) -> Result<(), BadDevice> {
        let bad = |field, found: u32| Err(BadDevice { device: "plic", field, found: u64::from(found) });
        if let Some(&priority) = self.priority.iter().find(|&&p| p > PRIORITY_MAX) {
            return bad("priority", u32::from(priority));
        }
        if self.priority[0] != 0 {
            return bad("priority of source 0", u32::from(self.priority[0]));
        }
        if let Some(&threshold) = self.threshold.iter().find(|&&t| t > PRIORITY_MAX) {
            return bad("threshold", u32::from(threshold));
        }
        if (self.enable[0] | self.enable[1] | self.level | self.pending | self.claimed) & 1 != 0 {
            return bad("source 0", 1);
        }
        if self.pending & self.claimed != 0 {
            return bad("pending and claimed", self.pending & self.claimed);
        }
        Ok(())
    }

    /// The pending, enabled source of the highest priority above 0; the lowest number among equals.
    fn best(&self, context: usize) -> Option<usize> {
        let mut waiting = self.pending & self.enable[context];
        let mut best = None;
        let mut best_priority = 0;
        while waiting != 0 {
            let source = waiting.trailing_zeros() as usize;
            waiting &= waiting - 1;
            if self.priority[source] > best_priority {
                best_priority = self.priority[source];
                best = Some(source);
            }
        }
        best
    }

    /// A claim is not bounded by the threshold (spec 7).
    fn claim(&mut self, context: usize) -> u32 {
        let Some(source) = self.best(context) else { return 0 };
        self.pending &= !(1 << source);
        self.claimed |= 1 << source;
        source as u32
    }

    /// Ignored when the source is not enabled for the context (spec 9).
    fn complete(&mut self, context: usize, source: u32) {
        if source < SOURCES && self.enable[context] & (1 << source) != 0 {
            self.claimed &= !(1 << source);
            self.set_levels(self.level);
        }
    }
}

fn register(offset: u64, size: u8) -> Result<Register, BusFault> {
    if size != 4 {
        return Err(BusFault);
    }
    let context = |from: u64, stride: u64| {
        let index = (offset - from) / stride;
        (index < CONTEXTS as u64).then_some((index as usize, (offset - from) % stride))
    };
    Ok(match offset {
        4..PENDING if offset < 4 * u64::from(SOURCES) => Register::Priority((offset / 4) as usize),
        PENDING => Register::Pending,
        ENABLE..CONTEXT => match context(ENABLE, ENABLE_STRIDE) {
            Some((context, 0)) => Register::Enable(context),
            _ => Register::Nothing,
        },
        CONTEXT.. => match context(CONTEXT, CONTEXT_STRIDE) {
            Some((context, 0)) => Register::Threshold(context),
            Some((context, 4)) => Register::Claim(context),
            _ => Register::Nothing,
        },
        _ => Register::Nothing,
    })
}

#[cfg(test)]
#[path = "plic_tests.rs"]
mod tests;
