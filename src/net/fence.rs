//! The fence in front of the network: which of a VM's frames may pass.
//!
//! Owns two numbers per VM: the generation that reigns and the last frame accepted. It promises that
//! no frame passes twice and that none of an older generation passes once a newer one is active, so
//! frames of two generations never interleave behind it.
//!
//! Frame numbers are those of the guest's life: they go on over a takeover, because the successor is
//! the same machine to the bit and says the same frames under the same numbers.

use serde::Serialize;

use crate::base::Generation;

/// What the fence says to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one; it passes.
    Accept,
    /// It passes, but numbers from `expected` on are missing: the sender lost them.
    Gap { expected: u64 },
    /// It has passed before, perhaps from an earlier generation; it is dropped.
    Duplicate,
    /// Its sender no longer reigns.
    Stale { current: Generation },
    /// Its sender never announced that it reigns.
    Unannounced { current: Generation },
}

/// What has happened at the fence so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FenceCounts {
    pub accepted: u64,
    pub duplicates: u64,
    pub stale: u64,
    pub gaps: u64,
}

/// One VM's fence.
#[derive(Clone, Debug)]
pub struct Fence {
    current: Generation,
    /// `None`: not known, because this switch is younger than the guest. The first frame passes,
    /// whatever its number.
    last: Option<u64>,
    counts: FenceCounts,
}

impl Fence {
    /// A fence at which `generation` reigns and `last` was the last frame accepted.
    pub fn new(generation: Generation, last: Option<u64>) -> Self {
        Self { current: generation, last, counts: FenceCounts::default() }
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

    /// Lets `generation` reign from here on. An older one is refused with the one that reigns; the
    /// present one may be announced again.
    pub fn activate(&mut self, generation: Generation) -> Result<(), Generation> {
        if generation < self.current {
            return Err(self.current);
        }
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
        Ok(())
    }

    /// Whoever reigned before this switch was there says that `last` was its last frame.
    pub fn know(&mut self, last: u64) {
        self.last.get_or_insert(last);
    }

    /// Notes a frame whose sender does not reign, by word from elsewhere.
    pub fn refuse(&mut self) {
        self.counts.stale += 1;
    }

    /// Judges the frame `seq` of `generation`, and remembers it if it passes.
    pub fn accept(&mut self, generation: Generation, seq: u64) -> Verdict {
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
            Some(last) => last.saturating_add(1),
            None => seq,
        };
        self.last = Some(seq);
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
            let (mut last, mut reign) = (0u64, 1);
            for _ in 0..500 {
                let generation = Generation(prng.between(1, 4));
                if prng.chance(1, 20) && fence.activate(generation).is_ok() {
                    assert!(generation.get() >= reign, "seed {seed}");
                    reign = generation.get();
                }
                let seq = prng.between(last.saturating_sub(3), last + 3);
                if let Verdict::Accept | Verdict::Gap { .. } = fence.accept(generation, seq) {
                    assert!(seq > last && generation.get() == reign, "seed {seed}");
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
