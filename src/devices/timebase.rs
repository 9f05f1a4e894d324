//! The guest's clock as a function of the position: from an anchor it goes on at a rate.
//!
//! ```text
//! time(position) = time of the anchor + (position - position of the anchor) * rate / 65,536
//! ```
//!
//! A machine whose clock was never given a rate knows only the times that inputs have set, as every machine
//! did before there were rates: its clock is not part of its state.
//!
//! The machine computes it by itself, so a guest may read the time as often as it likes and nothing needs to
//! be logged. Anchors come from the log: the recorder compares this clock with the host's and sets a new
//! anchor when they are too far apart (`replay::pacer`). A new anchor never takes the clock back.

use serde::{Deserialize, Serialize};

use crate::base::Icount;

/// `rate` is ticks in this many instructions.
pub const RATE_INSTRUCTIONS: u64 = 1 << 16;

/// An anchor and a rate; every value is a legal one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timebase {
    /// Ticks at the anchor.
    time: u64,
    at: Icount,
    /// Ticks in [`RATE_INSTRUCTIONS`] instructions.
    rate: u16,
}

impl Timebase {
    /// The clock at position `at`; the anchor's time before the anchor.
    pub fn time_at(&self, at: Icount) -> u64 {
        let instructions = at.get().saturating_sub(self.at.get());
        let ticks = u128::from(instructions) * u128::from(self.rate) / u128::from(RATE_INSTRUCTIONS);
        self.time.saturating_add(ticks as u64)
    }

    /// From position `at` on the clock goes on from `time`, or from where it is if that is later; at `rate` if
    /// one is given. A clock that stands needs no anchor.
    pub fn anchor(&mut self, at: Icount, time: u64, rate: Option<u16>) {
        if rate.is_none() && self.rate == 0 {
            return;
        }
        *self = Self { time: self.time_at(at).max(time), at, rate: rate.unwrap_or(self.rate) };
    }

    /// Ticks in [`RATE_INSTRUCTIONS`] instructions.
    pub fn rate(&self) -> u16 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_the_position_from_the_anchor_on() {
        let mut base = Timebase::default();
        assert_eq!(base.time_at(Icount(1 << 40)), 0, "a new clock stands");
        base.anchor(Icount(1000), 500, Some(3277));
        assert_eq!(base.time_at(Icount(0)), 500);
        assert_eq!(base.time_at(Icount(1000)), 500);
        assert_eq!(base.time_at(Icount(1019)), 500);
        assert_eq!(base.time_at(Icount(1020)), 501);
        assert_eq!(base.time_at(Icount(1000 + 65_536)), 500 + 3277);
        assert_eq!(
            base.time_at(Icount(u64::MAX / 2)),
            500 + (((u128::from(u64::MAX / 2) - 1000) * 3277) >> 16) as u64
        );
    }

    #[test]
    fn an_anchor_never_takes_it_back_and_keeps_the_rate_unless_given_one() {
        let mut base = Timebase::default();
        base.anchor(Icount(0), 0, Some(u16::MAX));
        let before = base.time_at(Icount(100));
        base.anchor(Icount(100), 3, None);
        assert_eq!((base.time_at(Icount(100)), base.rate()), (before, u16::MAX));
        base.anchor(Icount(100), before + 1, Some(0));
        assert_eq!(base.time_at(Icount(u64::MAX)), before + 1);
        base.anchor(Icount(150), before + 9, None);
        assert_eq!(base.time_at(Icount(150)), before + 1, "who knows the time keeps it, see `Clint`");
        base.anchor(Icount(200), u64::MAX, Some(9));
        assert_eq!(base.time_at(Icount(u64::MAX)), u64::MAX);
    }
}
