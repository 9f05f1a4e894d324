//! What an instruction may ask of the host: the only synchronous non-determinism.
//!
//! An engine that meets such an instruction stops *before* it with the [`Question`]; the host (or
//! the log) supplies the [`Answer`], and the instruction then retires with it.

use serde::{Deserialize, Serialize};

/// A question whose answer the machine cannot compute for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The `time` CSR or the CLINT's `mtime`, past the position up to which the machine computes the
    /// time by itself (`Hart::derive_time_before`).
    Time,
    /// The `seed` CSR (Zkr).
    Entropy,
    /// The `lockstep_hostid` CSR (0xcc0, custom read-only): the id of the host CPU.
    HostId,
    /// The real-time clock: the host's time of day.
    WallClock,
}

/// The answer to a [`Question`], of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Ticks of the 10 MHz time base since the guest's reset; never less than an earlier one.
    Time(u64),
    /// Sixteen bits of entropy.
    Entropy(u16),
    /// The host CPU's id.
    HostId(u64),
    /// Nanoseconds since 1970 (UTC).
    WallClock(u64),
}

impl Answer {
    /// The question that this answers.
    pub const fn question(self) -> Question {
        match self {
            Answer::Time(_) => Question::Time,
            Answer::Entropy(_) => Question::Entropy,
            Answer::HostId(_) => Question::HostId,
            Answer::WallClock(_) => Question::WallClock,
        }
    }
}
