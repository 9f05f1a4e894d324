//! How much of what a log holds, and when.
//!
//! Everything is counted in one pass and in constant memory, whatever the length of the log.

use serde_json::{Value, json};

use super::kind::Kind;
use super::view::start_text;
use crate::base::{Generation, Icount};
use crate::cpu::Answer;
use crate::log::scan::Place;
use crate::log::{Event, Start};
use crate::machine::Input;

/// Ticks of the guest's clock in a second.
const TICKS_PER_S: f64 = 1e7;
/// How many starts of a generation are kept; further ones are only counted.
pub const GENERATIONS_MAX: usize = 256;

/// Counts over the entries of a log.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    tallies: [Tally; Kind::ALL.len()],
    positions: Option<(Icount, Icount)>,
    times: Option<(u64, u64)>,
    generations: Vec<Began>,
    timeline: Timeline,
}

/// How many entries, and how many bytes of log they take without the framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many entries.
    pub count: u64,
    /// Bytes of log that they take, without the framing.
    pub bytes: u64,
}

/// A generation's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began {
    /// The position of its first entry.
    pub at: Icount,
    /// Its number.
    pub generation: Generation,
    /// What made a node claim it.
    pub why: Start,
}

impl Stats {
    /// Counts an entry. Entries come in the order of the log.
    #[inline]
    pub fn add(&mut self, place: &Place) {
        let entry = &place.entry;
        let kind = Kind::of(&entry.event);
        let tally = &mut self.tallies[kind as usize];
        tally.count += 1;
        tally.bytes += u64::from(place.len);
        let (first, _) = *self.positions.get_or_insert((entry.at, entry.at));
        self.positions = Some((first, entry.at.max(first)));
        self.timeline.add(kind, entry.at.since(first));
        match entry.event {
            Event::Input(
                Input::Answer(Answer::Time(time)) | Input::TimerDue { time } | Input::Clock { time, .. },
            ) => {
                let (first, last) = *self.times.get_or_insert((time, time));
                self.times = Some((first, time.max(last)));
            }
            Event::Generation { generation, why, .. } if self.generations.len() < GENERATIONS_MAX => {
                self.generations.push(Began { at: entry.at, generation, why });
            }
            _ => {}
        }
    }

    /// What the entries of one kind come to.
    pub fn tally(&self, kind: Kind) -> Tally {
        self.tallies[kind as usize]
    }

    /// What the entries of all kinds come to.
    pub fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), |sum, tally| Tally {
            count: sum.count + tally.count,
            bytes: sum.bytes + tally.bytes,
        })
    }

    /// The first and the last entry's position.
    pub const fn positions(&self) -> Option<(Icount, Icount)> {
        self.positions
    }

    /// Instructions from the first entry to the last.
    pub fn instructions(&self) -> u64 {
        self.positions.map_or(0, |(first, last)| last.since(first))
    }

    /// Guest seconds from the first time in the log to the last; none if it does not move.
    pub fn seconds(&self) -> Option<f64> {
        let (first, last) = self.times?;
        (last > first).then(|| (last - first) as f64 / TICKS_PER_S)
    }

    /// `n` per million instructions, if there were any.
    pub fn per_million(&self, n: u64) -> Option<f64> {
        let instructions = self.instructions();
        (instructions > 0).then(|| n as f64 * 1e6 / instructions as f64)
    }

    /// `n` per guest second, if time moved.
    pub fn per_second(&self, n: u64) -> Option<f64> {
        self.seconds().map(|seconds| n as f64 / seconds)
    }

    /// The generations that began, up to [`GENERATIONS_MAX`].
    pub fn generations(&self) -> &[Began] {
        &self.generations
    }

    /// When the entries of each kind were.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The numbers as a JSON object.
    pub fn to_json(&self) -> Value {
        let tally = |tally: Tally| {
            json!({
                "count": tally.count,
                "bytes": tally.bytes,
                "count_per_million_instructions": self.per_million(tally.count),
                "count_per_second": self.per_second(tally.count),
                "bytes_per_second": self.per_second(tally.bytes),
            })
        };
        let kinds: serde_json::Map<_, _> = Kind::ALL
            .into_iter()
            .filter(|kind| self.tally(*kind).count > 0)
            .map(|kind| (kind.name().to_owned(), tally(self.tally(kind))))
            .collect();
        let began = |began: &Began| json!({ "icount": began.at, "generation": began.generation, "why": start_text(began.why) });
        json!({
            "entries": tally(self.total()),
            "kinds": kinds,
            "icount_first": self.positions.map(|(first, _)| first),
            "icount_last": self.positions.map(|(_, last)| last),
            "instructions": self.instructions(),
            "seconds": self.seconds(),
            "generations": self.generations.iter().map(began).collect::<Vec<_>>(),
        })
    }
}

/// Entries by kind over the instructions since the first entry, in bins of equal width. The width
/// doubles whenever the bins no longer reach.
#[derive(Clone, Debug)]
pub struct Timeline {
    counts: Vec<[u64; BINS]>,
    /// A bin spans two to the power of this many instructions.
    bin_bits: u32,
    bins_used: usize,
}

/// How many bins there are: after a doubling, half of them are in use.
pub const BINS: usize = 512;

impl Default for Timeline {
    fn default() -> Self {
        Self { counts: vec![[0; BINS]; Kind::ALL.len()], bin_bits: 0, bins_used: 0 }
    }
}

impl Timeline {
    fn add(&mut self, kind: Kind, since_first: u64) {
        while since_first >> self.bin_bits >= BINS as u64 {
            for bins in &mut self.counts {
                for i in 0..BINS / 2 {
                    bins[i] = bins[2 * i] + bins[2 * i + 1];
                }
                bins[BINS / 2..].fill(0);
            }
            self.bin_bits += 1;
            self.bins_used = self.bins_used.div_ceil(2);
        }
        let bin = (since_first >> self.bin_bits) as usize;
        self.counts[kind as usize][bin] += 1;
        self.bins_used = self.bins_used.max(bin + 1);
    }

    /// Entries of `kind` in each bin from the first entry to the last.
    pub fn counts(&self, kind: Kind) -> &[u64] {
        &self.counts[kind as usize][..self.bins_used]
    }

    /// How many instructions a bin spans.
    pub const fn bin_instructions(&self) -> u64 {
        1 << self.bin_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Prng, Seq};
    use crate::log::Entry;

    fn place(at: u64, event: Event) -> Place {
        Place { entry: Entry { seq: Seq(1), at: Icount(at), event }, offset: 0, len: 4 }
    }

    #[test]
    fn rates_are_over_the_span_of_the_log() {
        let mut stats = Stats::default();
        assert_eq!((stats.per_million(1), stats.per_second(1)), (None, None));
        for i in 0..=10 {
            let time = 5_000_000 * i;
            stats.add(&place(1_000 + 1_000_000 * i, Event::Input(Input::Answer(Answer::Time(time)))));
        }
        stats.add(&place(10_001_000, Event::Horizon));
        assert_eq!(stats.tally(Kind::Time), Tally { count: 11, bytes: 44 });
        assert_eq!(stats.total(), Tally { count: 12, bytes: 48 });
        assert_eq!((stats.instructions(), stats.seconds()), (10_000_000, Some(5.0)));
        assert_eq!((stats.per_million(11), stats.per_second(11)), (Some(1.1), Some(2.2)));
        let json = stats.to_json();
        assert_eq!(json["kinds"]["time"]["count"], 11);
        assert_eq!(json["icount_last"], 10_001_000);
        assert!(json["kinds"].get("timer").is_none());
    }

    #[test]
    fn the_timeline_keeps_every_count_however_far_it_reaches() {
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let (mut timeline, mut at, n) = (Timeline::default(), 0, prng.between(1, 2000));
            for _ in 0..n {
                let bits = prng.below(40);
                at += prng.below(1 << bits);
                timeline.add(Kind::Timer, at);
            }
            let counts = timeline.counts(Kind::Timer);
            assert_eq!(counts.iter().sum::<u64>(), n, "seed {seed}");
            assert_eq!((at / timeline.bin_instructions()) as usize + 1, counts.len());
        }
        let mut timeline = Timeline::default();
        timeline.add(Kind::End, u64::MAX);
        timeline.add(Kind::End, 0);
        assert_eq!(timeline.counts(Kind::End).iter().sum::<u64>(), 2);
    }

    #[test]
    fn generations_are_kept_up_to_a_bound() {
        let mut stats = Stats::default();
        for i in 0..1_000 {
            let (generation, node) = (Generation(i), crate::base::NodeId(1));
            stats.add(&place(i, Event::Generation { generation, node, why: Start::Takeover }));
        }
        assert_eq!(stats.generations().len(), GENERATIONS_MAX);
        assert_eq!(stats.tally(Kind::Generation).count, 1_000);
    }
}
