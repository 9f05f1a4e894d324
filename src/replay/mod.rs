//! Recording and replaying a machine: one picks the positions, the other obeys them.
//!
//! Reading order: [`recorder`], [`pacer`] (the guest's clock beside the host's), [`replayer`], [`divergence`], [`detours`] (ways that must not show).
//!
//! Promise: a [`Replayer`] that is given every entry a [`Recorder`] wrote is the same machine to
//! the bit at every entry, has the same outputs, and reports the first place where it is not.
//! Absent on purpose: where entries are kept or sent, and when an output may leave.

pub mod detours;
pub mod divergence;
pub mod pacer;
pub mod recorder;
pub mod replayer;
#[cfg(test)]
mod testing;

pub use detours::{Detours, NotRestored};
pub use divergence::Divergence;
pub use recorder::{Answers, Frame, RecordStop, Recorder};
pub use replayer::{Followed, ReplayStop, Replayer};
