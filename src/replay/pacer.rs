//! When the guest's clock needs a new anchor: what a recorder compares, and how far apart is too far.
//!
//! The guest's clock is a function of the position (`devices::timebase`), so between two anchors it drifts from
//! the host's by as much as the guest runs faster or slower than its rate. The recorder looks at both clocks
//! before each slice, and at a read of the time that is the first of its slice, or [`LOOK_INSTRUCTIONS`] or more
//! behind the last one that looked.
//!
//! | what a look finds | what is logged |
//! |---|---|
//! | a timer's time has come, by the later of both clocks | "timer due" at that time |
//! | at a read: the guest is [`BEHIND_TICKS_MAX`] behind | the read's answer, with a new rate if the present one is off |
//! | at a read: the clock stands, and the host has caught up | the clock goes on |
//! | the guest is [`AHEAD_TICKS_MAX`] ahead | half the rate, until it has fallen behind again |
//! | the guest is [`STOP_TICKS`] ahead | the clock stands |
//!
//! A guest that does not read the time and arms no timer may be behind by any amount: it cannot know, and
//! nothing is logged for it. None of this decides what the guest sees but through the entries: a replayer has
//! no pacer.

use crate::base::Icount;
use crate::devices::timebase::RATE_INSTRUCTIONS;

/// Instructions after a look for which a read of the time costs no other.
pub const LOOK_INSTRUCTIONS: u64 = 256;
/// 0.5 ms: a guest that reads the time may be this far behind the host.
pub const BEHIND_TICKS_MAX: u64 = 5_000;
/// 0.25 ms: from here on a guest that runs faster than its rate gets a lower one.
pub const AHEAD_TICKS_MAX: u64 = 2_500;
/// 0.5 ms: this far ahead the guest's clock stands. A slice takes 40 us or 8192 instructions, which with [`RATE_MAX`]
/// are 0.41 ms, so it is never 1 ms ahead.
pub const STOP_TICKS: u64 = 5_000;
/// Half a tick an instruction: twenty million instructions a second. A slower guest falls behind in between.
pub const RATE_MAX: u64 = RATE_INSTRUCTIONS / 2;
/// Two hundred million instructions a second, until something is measured.
const RATE_FIRST: u64 = RATE_INSTRUCTIONS / 20;
/// Fewer instructions are too few to measure a guest's speed.
const SAMPLE_INSTRUCTIONS_MIN: u64 = 2048;
/// The pace is kept in this fraction of a tick.
const FRACTION: u64 = 256;

/// What the log has to record about the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Timers up to this time are due.
    TimerDue {
        /// The later of both clocks, in ticks: the guest's clock goes on from there at its present rate.
        time: u64,
    },
    /// The read that the guest is at shows this time; the rate is good.
    Read {
        /// The later of both clocks, in ticks.
        time: u64,
    },
    /// The guest's clock goes on from this time at this rate.
    Clock {
        /// The later of both clocks, in ticks.
        time: u64,
        /// Ticks in `RATE_INSTRUCTIONS` instructions; at 0 the clock stands.
        rate: u16,
    },
}

/// Both clocks, and what the guest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The guest's clock here, in ticks.
    pub guest: u64,
    /// The rate of the guest's clock: ticks in `RATE_INSTRUCTIONS` instructions, 0 while it stands.
    pub rate: u16,
    /// The host's clock, as the guest is to see it, in ticks.
    pub host: u64,
    /// When the next timer is due.
    pub deadline: Option<u64>,
    /// The next instruction reads the time.
    pub reads: bool,
}

/// The guest's measured pace.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Ticks in [`RATE_INSTRUCTIONS`] instructions, times [`FRACTION`].
    pace: u64,
    /// Where and when the guest began to run without a rest.
    since: Option<(Icount, u64)>,
}

impl Pacer {
    /// For a guest whose clock has this rate; 0 if it never had one.
    pub fn new(rate: u16) -> Self {
        let rate = if rate == 0 { RATE_FIRST } else { rate.into() };
        Self { pace: rate * FRACTION, since: None }
    }

    /// The guest runs on from `at`, at this time of the host's clock.
    pub fn begins(&mut self, at: Icount, host: u64) {
        if let Some((from, since)) = self.since {
            let instructions = at.since(from);
            if instructions < SAMPLE_INSTRUCTIONS_MIN {
                return;
            }
            let ticks = host.saturating_sub(since).min(u64::from(u32::MAX));
            let pace =
                u128::from(ticks * FRACTION) * u128::from(RATE_INSTRUCTIONS) / u128::from(instructions);
            // What others took of the processor in between is no pace of the guest.
            let pace = (pace as u64).clamp(self.pace / 2, self.pace * 2);
            let pace = (7 * self.pace + pace) / 8;
            self.pace = pace.clamp(FRACTION, RATE_MAX * FRACTION);
        }
        self.since = Some((at, host));
    }

    /// The guest is idle: the time until it runs again is not part of its pace.
    pub fn rests(&mut self) {
        self.since = None;
    }

    /// The rate of a clock that falls behind by little: setting it on costs an entry only where the guest looks.
    pub fn rate(&self) -> u16 {
        let pace = self.pace / FRACTION;
        (pace - pace / 16).clamp(1, RATE_MAX) as u16
    }

    /// What there is to log after a look at both clocks, if anything.
    pub fn correction(&self, look: Look) -> Option<Correction> {
        let Look { guest, rate, host, deadline, reads } = look;
        let (time, good) = (guest.max(host), self.rate());
        if deadline.is_some_and(|deadline| time >= deadline) {
            return Some(Correction::TimerDue { time });
        }
        let ahead = guest.saturating_sub(host);
        if ahead > STOP_TICKS && rate > 0 {
            return Some(Correction::Clock { time, rate: 0 });
        }
        if ahead > AHEAD_TICKS_MAX && rate > good - good / 4 {
            return Some(Correction::Clock { time, rate: good / 2 });
        }
        if reads && (host.saturating_sub(guest) > BEHIND_TICKS_MAX || rate == 0 && host >= guest) {
            let is_good = rate.abs_diff(good) <= good / 8;
            return Some(if is_good {
                Correction::Read { time }
            } else {
                Correction::Clock { time, rate: good }
            });
        }
        None
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
