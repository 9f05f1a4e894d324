//! How far the backup is behind, and how much the primary is slowed for it.

use std::collections::VecDeque;

use crate::base::Icount;

/// Samples of "the primary was here then": one a millisecond, bounded.
const SAMPLE_NS: u64 = 1_000_000;
const SAMPLES_MAX: usize = 4096;

/// Measures lag in time by remembering when the primary passed each position.
#[derive(Debug, Default)]
pub struct LagMeter {
    passed: VecDeque<(Icount, u64)>,
    executed: Icount,
    primary: Icount,
}

impl LagMeter {
    pub fn starting(executed: Icount) -> Self {
        Self { passed: VecDeque::new(), executed, primary: executed }
    }

    /// The primary is at `icount` now.
    pub fn advance(&mut self, icount: Icount, now_ns: u64) {
        self.primary = icount;
        if icount <= self.executed {
            return;
        }
        match self.passed.back() {
            Some((last, _)) if *last >= icount => return,
            Some((_, at)) if now_ns.saturating_sub(*at) < SAMPLE_NS => return,
            _ => {}
        }
        if self.passed.len() == SAMPLES_MAX {
            self.passed.pop_front();
        }
        self.passed.push_back((icount, now_ns));
    }

    /// The backup has executed up to `executed`.
    pub fn executed(&mut self, executed: Icount) {
        self.executed = executed.max(self.executed);
        while self.passed.front().is_some_and(|(icount, _)| *icount <= self.executed) {
            self.passed.pop_front();
        }
    }

    /// Instructions that the backup has yet to execute.
    pub fn instructions(&self) -> u64 {
        self.primary.since(self.executed)
    }

    /// How long ago the primary passed what the backup has yet to execute, in nanoseconds.
    pub fn ns(&self, now_ns: u64) -> u64 {
        self.passed.front().map_or(0, |(_, at)| now_ns.saturating_sub(*at))
    }
}

/// The share of its time that a primary gives up for a backup that lags by `lag_ns`:
/// 0 up to `soft_ns`, then growing in proportion, 1000 (all of it) from `hard_ns` on. In permille.
pub fn brake_permille(lag_ns: u64, soft_ns: u64, hard_ns: u64) -> u64 {
    if lag_ns <= soft_ns {
        return 0;
    }
    if lag_ns >= hard_ns {
        return 1000;
    }
    (lag_ns - soft_ns) * 1000 / (hard_ns - soft_ns)
}

/// The share of its time that a primary gives up for a joiner that has had the state for `since_ns` and is
/// still behind: more the longer it takes, so that it catches up with a guest that never rests, too. In permille.
pub fn join_permille(since_ns: u64) -> u64 {
    const AT_FIRST: u64 = 400;
    const AT_LAST: u64 = 900;
    const STEP_NS: u64 = 2_000_000;
    AT_LAST.min(AT_FIRST + since_ns / STEP_NS)
}

/// A rest shorter than this is not worth going to sleep for: the sleep itself would cost the guest
/// more than it owes.
const REST_NS_MIN: u64 = 1_000_000;
/// After so long a rest the lag is looked at again.
const REST_NS_MAX: u64 = 5_000_000;

/// Makes the rests that a primary takes for its backup's sake: each slice owes a share of its time, and
/// what is owed is rested in one piece.
#[derive(Debug, Default)]
pub struct Brake {
    owed_ns: u64,
}

impl Brake {
    /// The guest has run for `ran_ns` and owes this share of its time: how long to rest now.
    pub fn rest_ns(&mut self, ran_ns: u64, permille: u64) -> u64 {
        match permille {
            0 => self.owed_ns = 0,
            1000.. => self.owed_ns = self.owed_ns.max(REST_NS_MIN),
            _ => self.owed_ns += ran_ns * permille / (1000 - permille),
        }
        if self.owed_ns < REST_NS_MIN {
            return 0;
        }
        let rest_ns = self.owed_ns.min(REST_NS_MAX);
        self.owed_ns -= rest_ns;
        rest_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn lag_is_the_age_of_the_oldest_position_not_executed() {
        let mut lag = LagMeter::starting(Icount(0));
        for ms in 1..=10 {
            lag.advance(Icount(ms * 1000), ms * MS);
        }
        assert_eq!((lag.instructions(), lag.ns(10 * MS)), (10_000, 9 * MS));
        lag.executed(Icount(7500));
        assert_eq!((lag.instructions(), lag.ns(12 * MS)), (2500, 4 * MS));
        lag.executed(Icount(10_000));
        assert_eq!((lag.instructions(), lag.ns(99 * MS)), (0, 0));
    }

    #[test]
    fn an_old_report_takes_no_progress_back() {
        let mut lag = LagMeter::starting(Icount(0));
        lag.advance(Icount(1000), MS);
        lag.executed(Icount(1000));
        lag.executed(Icount(10));
        assert_eq!((lag.instructions(), lag.ns(9 * MS)), (0, 0));
        // Positions that the backup has passed need no sample.
        lag.advance(Icount(900), 2 * MS);
        assert_eq!(lag.ns(9 * MS), 0);
    }

    #[test]
    fn samples_are_bounded_and_the_oldest_goes() {
        let mut lag = LagMeter::starting(Icount(0));
        for n in 1..=SAMPLES_MAX as u64 + 10 {
            lag.advance(Icount(n), n * MS);
        }
        assert_eq!(lag.passed.len(), SAMPLES_MAX);
        assert_eq!(lag.passed.front(), Some(&(Icount(11), 11 * MS)));
        // More often than once a millisecond is not worth one.
        let newest = lag.passed.back().copied();
        lag.advance(Icount(u64::MAX), newest.map_or(0, |(_, at)| at) + MS - 1);
        assert_eq!(lag.passed.back().copied(), newest);
    }

    #[test]
    fn an_idle_primary_has_no_growing_lag() {
        let mut lag = LagMeter::starting(Icount(0));
        lag.advance(Icount(5), MS);
        lag.advance(Icount(5), 3 * MS);
        assert_eq!(lag.passed.len(), 1, "a primary that rests needs no further sample");
        lag.executed(Icount(5));
        lag.advance(Icount(5), 900 * MS);
        assert_eq!(lag.ns(1000 * MS), 0);
    }

    #[test]
    fn a_meter_that_starts_late_owes_nothing() {
        let mut lag = LagMeter::starting(Icount(100));
        assert_eq!(lag.instructions(), 0);
        lag.advance(Icount(100), MS);
        assert_eq!((lag.instructions(), lag.ns(9 * MS)), (0, 0));
        lag.advance(Icount(130), 2 * MS);
        assert_eq!((lag.instructions(), lag.ns(9 * MS)), (30, 7 * MS));
    }

    #[test]
    fn the_brake_grows_from_nothing_to_all() {
        assert_eq!(brake_permille(10, 20, 120), 0);
        assert_eq!(brake_permille(70, 20, 120), 500);
        assert_eq!(brake_permille(500, 20, 120), 1000);
    }

    #[test]
    fn a_joiner_that_replays_no_faster_than_the_guest_runs_catches_up() {
        // A millisecond at a time: behind by a whole second of work, and as fast as the primary unbraked.
        let (mut behind_us, mut took_ms) = (1_000_000, 0);
        while behind_us > 0 {
            behind_us -= join_permille(took_ms * MS) as i64;
            took_ms += 1;
        }
        assert!((1000..2000).contains(&took_ms), "{took_ms} ms");
        let permille = [0, 1, 2, 100, 999, 1000, 5000].map(|ms| join_permille(ms * MS));
        assert_eq!(permille, [400, 400, 401, 450, 899, 900, 900]);
        assert_eq!(join_permille(u64::MAX), 900);
    }

    #[test]
    fn a_guest_that_is_not_braked_owes_nothing_any_more() {
        for (permille, rest) in [(0, 0), (1, REST_NS_MIN)] {
            let mut brake = Brake::default();
            assert_eq!(brake.rest_ns(REST_NS_MIN - 1, 500), 0);
            assert_eq!(brake.rest_ns(0, permille), 0);
            assert_eq!(brake.rest_ns(1, 500), rest, "{permille}");
        }
    }

    #[test]
    fn what_is_owed_is_rested_in_one_piece() {
        let mut brake = Brake::default();
        // Half of the time is owed, in slices far shorter than a rest.
        let (mut ran, mut rested, mut rests) = (0, 0, 0);
        for _ in 0..1000 {
            ran += 30_000;
            let rest = brake.rest_ns(30_000, 500);
            assert!(rest == 0 || rest >= REST_NS_MIN);
            (rested, rests) = (rested + rest, rests + u32::from(rest > 0));
        }
        assert!((ran - REST_NS_MIN..=ran).contains(&rested), "ran {ran}, rested {rested}");
        assert!(rests <= 30, "{rests} rests");
        assert_eq!(brake.rest_ns(30_000, 0), 0, "all is forgiven");
        assert_eq!(brake.rest_ns(30_000, 1000), REST_NS_MIN, "it stands still");
        let long = 4 * REST_NS_MAX;
        let rests = [brake.rest_ns(long, 500), brake.rest_ns(0, 500)];
        assert_eq!(rests, [REST_NS_MAX; 2], "a long debt is paid in parts");
    }
}
