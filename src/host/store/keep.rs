//! How far back a store goes: limits on its checkpoints, and which of them are over.

use std::str::FromStr;
use std::time::Duration;

use super::checkpoint::CheckpointInfo;
use crate::base::{Sabotage, Seq};

/// Limits; the oldest checkpoint goes while one of them is exceeded, and the log before the oldest that
/// is left. The newest checkpoint and all of the log after it stay in any case. A checkpoint stays while one that stays
/// builds on it, so more may be left than the limits say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The most checkpoints.
    pub count: Option<usize>,
    /// The most bytes, of checkpoints and log together.
    pub bytes: Option<u64>,
    /// How far back in time it is enough to go: a checkpoint goes when the one after it is as old as this.
    pub age: Option<Duration>,
}

impl FromStr for Keep {
    type Err = String;

    /// Limits separated by commas, one of each kind: a time (`90s`, `30m`, `2h`, `7d`), bytes (`512K`,
    /// `100M`, `10G`, `1T`), a number of checkpoints.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut keep = Self::default();
        for word in text.split(',').map(str::trim) {
            let digits = word.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = word.split_at(digits);
            let wrong = || format!("{word:?} is no limit; use a time (2h), bytes (10G) or a number (3)");
            let number = number.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
            let times = |n: u64| number.checked_mul(n).ok_or_else(wrong);
            let before = match unit {
                "" => {
                    keep.count.replace(usize::try_from(number).map_err(|_| wrong())?).map(|_| "checkpoints")
                }
                "s" => keep.age.replace(Duration::from_secs(number)).map(|_| "time"),
                "m" => keep.age.replace(Duration::from_secs(times(60)?)).map(|_| "time"),
                "h" => keep.age.replace(Duration::from_secs(times(3600)?)).map(|_| "time"),
                "d" => keep.age.replace(Duration::from_secs(times(86_400)?)).map(|_| "time"),
                "K" => keep.bytes.replace(times(1 << 10)?).map(|_| "bytes"),
                "M" => keep.bytes.replace(times(1 << 20)?).map(|_| "bytes"),
                "G" => keep.bytes.replace(times(1 << 30)?).map(|_| "bytes"),
                "T" => keep.bytes.replace(times(1 << 40)?).map(|_| "bytes"),
                _ => return Err(wrong()),
            };
            if let Some(kind) = before {
                return Err(format!("{text:?} has two limits of {kind}; give one"));
            }
        }
        Ok(keep)
    }
}

impl Keep {
    /// How many checkpoints, oldest first, to remove: those [`over`](Self::over) the limits, less the last ones on which a
    /// checkpoint that stays builds.
    pub(super) fn surplus(
        &self,
        checkpoints: &[CheckpointInfo],
        segments: &[(Seq, u64)],
        hold: Option<Seq>,
        now_ns: u64,
    ) -> usize {
        let stands =
            |drop: &usize| checkpoints[*drop].meta.base.is_none() || Sabotage::StoreBasePruned.is_on();
        (1..=self.over(checkpoints, segments, hold, now_ns)).rev().find(stands).unwrap_or(0)
    }

    /// How many of the checkpoints, oldest first, are over the limits. `segments` are the first entry and the length
    /// of each, in order; the way back to entry `hold` is kept, too.
    pub(super) fn over(
        &self,
        checkpoints: &[CheckpointInfo],
        segments: &[(Seq, u64)],
        hold: Option<Seq>,
        now_ns: u64,
    ) -> usize {
        let fits = |drop: usize| {
            let kept = &checkpoints[drop..];
            let Some(oldest) = kept.first() else { return true };
            let log: u64 =
                segments[needed_from(segments, oldest.meta.seq)..].iter().map(|(_, bytes)| bytes).sum();
            let bytes = log + kept.iter().map(|checkpoint| checkpoint.bytes).sum::<u64>();
            let is_old = |checkpoint: &CheckpointInfo, age: Duration| {
                u128::from(now_ns.saturating_sub(checkpoint.saved_ns)) >= age.as_nanos()
            };
            self.count.is_none_or(|max| kept.len() <= max)
                && self.bytes.is_none_or(|max| bytes <= max)
                && self.age.is_none_or(|age| kept.get(1).is_none_or(|second| !is_old(second, age)))
        };
        let stay = |drop: usize| hold.is_none_or(|hold| checkpoints[drop].meta.seq <= hold);
        let most = (1..checkpoints.len()).take_while(|drop| stay(*drop)).last().unwrap_or(0);
        (0..most).find(|drop| fits(*drop)).unwrap_or(most)
    }
}

/// The index of the first segment that is needed to go on after entry `seq`: the last that starts no later
/// than the entry behind it; the first one if none does.
pub(super) fn needed_from(segments: &[(Seq, u64)], seq: Seq) -> usize {
    segments.partition_point(|(first, _)| *first <= seq.next()).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::CheckpointMeta;
    use super::*;
    use crate::base::{Digest, Generation, Icount};

    const HOUR_NS: u64 = 3_600_000_000_000;

    /// A checkpoint of 100 bytes every hour, after every 10 entries; a segment of 50 bytes for each 5.
    fn store(count: u64) -> (Vec<CheckpointInfo>, Vec<(Seq, u64)>) {
        let checkpoint = |n| CheckpointInfo {
            meta: CheckpointMeta {
                seq: Seq(n * 10),
                icount: Icount(n),
                generation: Generation(1),
                digest: Digest(0),
                base: None,
            },
            saved_ns: n * HOUR_NS,
            bytes: 100,
        };
        ((0..count).map(checkpoint).collect(), (0..count * 2).map(|n| (Seq(1 + n * 5), 50)).collect())
    }

    fn surplus(keep: &str, now_h: u64, hold: Option<Seq>) -> usize {
        let (checkpoints, segments) = store(10);
        keep.parse::<Keep>().unwrap().surplus(&checkpoints, &segments, hold, now_h * HOUR_NS)
    }

    #[test]
    fn limits_are_read_in_any_combination() {
        let keep: Keep = "2h,10G,3".parse().unwrap();
        assert_eq!(keep.age, Some(Duration::from_secs(7200)));
        assert_eq!((keep.bytes, keep.count), (Some(10 << 30), Some(3)));
        assert_eq!("30m".parse::<Keep>().unwrap().age, Some(Duration::from_secs(1800)));
        assert_eq!("30M".parse::<Keep>().unwrap().bytes, Some(30 << 20));
        for wrong in ["", "0", "0h", "h", "2x", "2h,", "1,2", "5s,1d", "-3", "99999999999T", "3|2h"] {
            assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_oldest_go_while_a_limit_is_exceeded() {
        assert_eq!(surplus("10", 9, None), 0);
        assert_eq!(surplus("3", 9, None), 7);
        // A checkpoint and its log are 200 bytes.
        assert_eq!(surplus("1K", 9, None), 5);
        // Two hours back from hour 9 is hour 7, which has a checkpoint; from 9.x it takes the one before.
        assert_eq!(surplus("2h", 9, None), 7);
        assert_eq!(surplus("150m", 9, None), 6);
        assert_eq!(surplus("2h,9", 9, None), 7);
        assert_eq!(surplus("5h,2", 9, None), 8);
        let (checkpoints, segments) = store(10);
        assert_eq!(Keep::default().surplus(&checkpoints, &segments, None, u64::MAX), 0);
    }

    #[test]
    fn the_only_way_back_stays_and_what_is_held() {
        assert_eq!(surplus("1s", 1000, None), 9);
        assert_eq!(surplus("1K,1", 1000, Some(Seq(42))), 4);
        assert_eq!(surplus("1", 1000, Some(Seq(0))), 0);
        assert_eq!(Keep { count: Some(1), ..Keep::default() }.surplus(&[], &[], None, 0), 0);
    }

    #[test]
    fn what_a_checkpoint_that_stays_builds_on_stays_too() {
        let (mut checkpoints, segments) = store(10);
        // Those of 0, 4 and 8 stand by themselves.
        for at in [1, 2, 3, 5, 6, 7, 9] {
            checkpoints[at].meta.base = Some(checkpoints[at - 1].meta.seq);
        }
        let over = |count: usize| {
            Keep { count: Some(count), ..Keep::default() }.surplus(&checkpoints, &segments, None, 0)
        };
        let all: Vec<usize> = (1..=10).map(over).collect();
        assert_eq!(all, [8, 8, 4, 4, 4, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn the_log_is_needed_from_the_segment_that_the_next_entry_is_in() {
        let segments = [(Seq(1), 1), (Seq(6), 1), (Seq(11), 1)];
        for (seq, from) in [(0, 0), (4, 0), (5, 1), (9, 1), (10, 2), (500, 2)] {
            assert_eq!(needed_from(&segments, Seq(seq)), from, "{seq}");
        }
    }
}
