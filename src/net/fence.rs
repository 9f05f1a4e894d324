//! The fence in front of the network: which of a VM's frames may pass.
//!
//! Owns two numbers per VM: the current generation and the last frame accepted. It promises that
//! no frame passes twice and that none of an older generation passes once a newer one is active, so
//! frames of two generations never interleave behind it.
//!
//! Frame numbers are those of the guest's life: they go on over a takeover, because the successor is
//! the same machine to the bit and sends the same frames under the same numbers.
//!
//! A number far ahead would make every later frame of the guest a duplicate, so it is refused: a sender
//! that has lost more frames than it keeps attaches again and reports its last number ([`Fence::resume`]),
//! and the same report brings back a fence that was led ahead.

use serde::Serialize;

use super::port::FRAMES_KEPT_MAX;
use crate::base::{Generation, Sabotage};

/// At most this many numbers may be missing between two frames of one generation: a node keeps that many frames
/// for its switch and sends them again, so it cannot have lost more without knowing.
pub const GAP_MAX: u64 = FRAMES_KEPT_MAX as u64;

/// The fence's decision about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one; it passes.
    Accept,
    /// It passes, but numbers from `expected` on are missing: the sender lost them.
    Gap { expected: u64 },
    /// More than [`GAP_MAX`] numbers from `expected` on are missing; it is dropped, and changes nothing.
    Leap { expected: u64 },
    /// It has passed before, perhaps from an earlier generation; it is dropped.
    Duplicate,
    /// Its sender is no longer primary.
    Stale { current: Generation },
    /// Its sender never announced that it is primary.
    Unannounced { current: Generation },
}

/// What has happened at the fence so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FenceCounts {
    pub accepted: u64,
    pub duplicates: u64,
    pub stale: u64,
    pub gaps: u64,
    /// Frames dropped because their number was too far ahead.
    pub leaps: u64,
}

/// One VM's fence.
#[derive(Clone, Debug)]
pub struct Fence {
    current: Generation,
    /// `None`: not known, because this switch is younger than the guest. The first frame passes,
    /// whatever its number.
    last: Option<u64>,
    /// A generation has begun and nothing has passed in it: its first frame may have any number that is new,
    /// because the guest may have sent through another switch meanwhile.
    fresh: bool,
    counts: FenceCounts,
}

impl Fence {
    /// A fence whose current generation is `generation`, and where `last` was the last frame accepted.
    pub fn new(generation: Generation, last: Option<u64>) -> Self {
        Self { current: generation, last, fresh: false, counts: FenceCounts::default() }
    }

    pub fn current(&self) -> Generation {
        self.current
    }

    /// The number of the last frame accepted; 0 when there is none or it is not known.
    pub fn last(&self) -> u64 {
        self.last.unwrap_or(0)
    }

    pub fn counts(&self) -> FenceCounts {
        self.counts
    }

    /// Makes `generation` the current one. An older one is refused with the current one; the
    /// present one may be announced again.
    pub fn activate(&mut self, generation: Generation) -> Result<(), Generation> {
        if generation < self.current {
            return Err(self.current);
        }
        self.fresh |= generation > self.current;
        self.current = generation;
        Ok(())
    }

    /// A guest by the same name has been started anew: it numbers its frames from 1 again.
    /// Only a higher generation than the present one may do that.
    pub fn restart(&mut self, generation: Generation) -> Result<(), Generation> {
        if generation <= self.current {
            return Err(self.current);
        }
        self.current = generation;
        self.last = Some(0);
        self.fresh = false;
        Ok(())
    }

    /// The primary has connected, and reports `said` as its guest's last frame. `rises` is true when its
    /// generation begins with that connection.
    ///
    /// A fence that knows no number takes it, and so does one that is more than [`GAP_MAX`] behind: what
    /// is missing was lost. A fence more than that *ahead* of a generation's own report was led there by
    /// numbers which the guest never used. (A node whose generation begins may know of fewer frames than its
    /// predecessor sent.) In between the fence knows better.
    pub fn resume(&mut self, said: u64, rises: bool) {
        match self.last {
            None => self.last = Some(said),
            Some(last) if said > last.saturating_add(GAP_MAX) => self.last = Some(said),
            Some(last) if !rises && last > said.saturating_add(GAP_MAX) => self.last = Some(said),
            Some(_) => {}
        }
    }

    /// Notes a frame whose sender is not primary, as learned from elsewhere.
    pub fn refuse(&mut self) {
        self.counts.stale += 1;
    }

    /// Judges the frame `seq` of `generation`, and remembers it if it passes.
    pub fn accept(&mut self, generation: Generation, seq: u64) -> Verdict {
        if Sabotage::FenceOpen.is_on() {
            self.counts.accepted += 1;
            return Verdict::Accept;
        }
        if generation < self.current {
            self.counts.stale += 1;
            return Verdict::Stale { current: self.current };
        }
        if generation > self.current {
            return Verdict::Unannounced { current: self.current };
        }
        let expected = match self.last {
            Some(last) if seq <= last => {
                self.counts.duplicates += 1;
                return Verdict::Duplicate;
            }
            Some(last) if !self.fresh && seq - last > GAP_MAX => {
                self.counts.leaps += 1;
                return Verdict::Leap { expected: last + 1 };
            }
            Some(last) => last + 1,
            None => seq,
        };
        self.last = Some(seq);
        self.fresh = false;
        self.counts.accepted += 1;
        if seq == expected {
            Verdict::Accept
        } else {
            self.counts.gaps += 1;
            Verdict::Gap { expected }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    const G1: Generation = Generation(1);
    const G2: Generation = Generation(2);

    #[test]
    fn a_successor_repeats_what_has_passed_and_it_is_dropped() {
        let mut fence = Fence::new(G1, Some(0));
        assert_eq!(fence.accept(G1, 1), Verdict::Accept);
        assert_eq!(fence.accept(G1, 2), Verdict::Accept);
        fence.activate(G2).unwrap();
        assert_eq!(fence.accept(G2, 2), Verdict::Duplicate);
        assert_eq!(fence.accept(G2, 3), Verdict::Accept);
        assert_eq!(fence.last(), 3);
    }

    #[test]
    fn an_older_generation_is_refused_even_with_a_new_number() {
        let mut fence = Fence::new(G2, Some(5));
        assert_eq!(fence.accept(G1, 6), Verdict::Stale { current: G2 });
        assert_eq!(fence.activate(G1), Err(G2));
        assert_eq!(fence.last(), 5);
    }

    #[test]
    fn a_generation_must_be_announced_before_it_speaks() {
        let mut fence = Fence::new(G1, Some(0));
        assert_eq!(fence.accept(G2, 1), Verdict::Unannounced { current: G1 });
        assert_eq!(fence.accept(G1, 1), Verdict::Accept);
    }

    #[test]
    fn a_gap_passes_and_is_counted_and_what_was_missing_does_not_come_later() {
        let mut fence = Fence::new(G1, Some(0));
        assert_eq!(fence.accept(G1, 4), Verdict::Gap { expected: 1 });
        assert_eq!(fence.accept(G1, 2), Verdict::Duplicate);
        assert_eq!(fence.counts().gaps, 1);
    }

    #[test]
    fn a_number_beyond_what_a_port_keeps_changes_nothing() {
        let mut fence = Fence::new(G1, Some(5));
        assert_eq!(fence.accept(G1, u64::MAX), Verdict::Leap { expected: 6 });
        assert_eq!(fence.accept(G1, 5 + GAP_MAX + 1), Verdict::Leap { expected: 6 });
        assert_eq!(fence.accept(G1, 6), Verdict::Accept);
        assert_eq!(fence.accept(G1, 6 + GAP_MAX), Verdict::Gap { expected: 7 });
        assert_eq!((fence.last(), fence.counts().leaps), (6 + GAP_MAX, 2));
    }

    #[test]
    fn the_first_frame_of_a_generation_may_be_far_ahead_and_only_that_one() {
        let mut fence = Fence::new(G1, Some(5));
        fence.activate(G1).unwrap();
        assert_eq!(fence.accept(G1, 1_000_000), Verdict::Leap { expected: 6 }, "no new generation");
        fence.activate(G2).unwrap();
        assert_eq!(fence.accept(G2, 4), Verdict::Duplicate);
        assert_eq!(fence.accept(G2, 1_000_000), Verdict::Gap { expected: 6 });
        assert_eq!(fence.accept(G2, u64::MAX), Verdict::Leap { expected: 1_000_001 });
        fence.restart(Generation(3)).unwrap();
        assert_eq!(fence.accept(Generation(3), u64::MAX), Verdict::Leap { expected: 1 });
    }

    #[test]
    fn what_a_reconnecting_node_says_does_not_override_what_the_fence_has_seen() {
        let mut fence = Fence::new(G1, None);
        fence.resume(90, false);
        assert_eq!(fence.last(), 90);
        for said in [0, 89, 91, 90 + GAP_MAX] {
            fence.resume(said, false);
            assert_eq!(fence.last(), 90, "{said}");
        }
        assert_eq!(fence.accept(G1, 90), Verdict::Duplicate);
    }

    #[test]
    fn a_node_that_lost_more_than_it_keeps_says_so_and_goes_on() {
        let mut fence = Fence::new(G1, Some(5));
        fence.resume(6 + GAP_MAX, false);
        assert_eq!(fence.accept(G1, 7 + GAP_MAX), Verdict::Accept);
    }

    #[test]
    fn a_fence_that_was_led_ahead_comes_back_for_the_generation_but_not_for_a_new_one() {
        let mut fence = Fence::new(G1, Some(5));
        fence.resume(u64::MAX - 1, false);
        assert_eq!(fence.accept(G1, 6), Verdict::Duplicate);
        fence.resume(6, true);
        assert_eq!(fence.last(), u64::MAX - 1, "a successor may know of fewer frames than were sent");
        fence.resume(6, false);
        assert_eq!(fence.accept(G1, 7), Verdict::Accept);
    }

    #[test]
    fn a_report_within_the_gap_changes_nothing_on_either_side() {
        let mut fence = Fence::new(G1, Some(5 + GAP_MAX));
        for (said, last) in [
            (5, 5 + GAP_MAX),
            (5 + 2 * GAP_MAX, 5 + GAP_MAX),
            (6 + 2 * GAP_MAX, 6 + 2 * GAP_MAX),
            (5 + GAP_MAX, 5 + GAP_MAX),
        ] {
            fence.resume(said, false);
            assert_eq!(fence.last(), last, "{said}");
        }
    }

    #[test]
    fn every_decision_is_counted() {
        let mut fence = Fence::new(G2, Some(0));
        for seq in [1, 2, 5, 8, 8, 8, u64::MAX, u64::MAX] {
            fence.accept(G2, seq);
        }
        fence.accept(G1, 9);
        fence.refuse();
        fence.refuse();
        fence.accept(Generation(3), 9);
        assert_eq!(fence.counts(), FenceCounts { accepted: 4, duplicates: 2, stale: 3, gaps: 2, leaps: 2 });
        assert_eq!((fence.current(), fence.last()), (G2, 8));
        fence.activate(Generation(3)).unwrap();
        assert_eq!(fence.current(), Generation(3));
    }

    #[test]
    fn a_switch_younger_than_the_guest_takes_the_first_number_as_it_comes() {
        let mut fence = Fence::new(G1, None);
        assert_eq!(fence.last(), 0);
        assert_eq!(fence.accept(G1, 700), Verdict::Accept);
        assert_eq!(fence.accept(G1, 700), Verdict::Duplicate);
    }

    #[test]
    fn a_new_life_needs_a_higher_generation_and_counts_from_one() {
        let mut fence = Fence::new(G1, Some(9));
        assert_eq!(fence.restart(G1), Err(G1));
        fence.restart(G2).unwrap();
        assert_eq!(fence.accept(G2, 1), Verdict::Accept);
    }

    #[test]
    fn what_passes_is_strictly_rising_whatever_comes() {
        for seed in 0..50 {
            let mut prng = Prng::new(seed);
            let mut fence = Fence::new(G1, Some(0));
            let (mut last, mut newest) = (0u64, 1);
            for _ in 0..500 {
                let generation = Generation(prng.between(1, 4));
                if prng.chance(1, 20) && fence.activate(generation).is_ok() {
                    assert!(generation.get() >= newest, "seed {seed}");
                    newest = generation.get();
                }
                let seq = prng.between(last.saturating_sub(3), last + 3);
                if let Verdict::Accept | Verdict::Gap { .. } = fence.accept(generation, seq) {
                    assert!(seq > last && generation.get() == newest, "seed {seed}");
                    last = seq;
                }
            }
        }
    }

    #[test]
    fn numbers_at_the_very_end_do_not_overflow() {
        let mut fence = Fence::new(G1, Some(u64::MAX - 1));
        assert_eq!(fence.accept(G1, u64::MAX), Verdict::Accept);
        assert_eq!(fence.accept(G1, u64::MAX), Verdict::Duplicate);
    }
}
