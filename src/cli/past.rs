//! A point in a store's past: how it is named, where it is, and the machine there.
//!
//! | name | point |
//! |---|---|
//! | `50M` | that position, before what happens there (a checkpoint saved there is taken as it is) |
//! | `-10m` | ten minutes before the log's end, by the guest's clock |
//! | `2026-11-30T13:45:00Z` | that time of day: a checkpoint's time of saving, and from there the guest's clock |
//! | none | the log's end |

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Failure, arg};
use crate::base::{Icount, Seq};
use crate::host::os::{time_of_day, time_of_day_text};
use crate::host::say::say;
use crate::host::store::{Check, CheckpointInfo, StoreError, StoreReader};
use crate::inspect::LogClock;
use crate::inspect::picture::grouped;
use crate::log::{Entry, Payloads};
use crate::machine::Machine;
use crate::replay::{Divergence, Followed, ReplayStop, Replayer};

/// Ticks of the guest's clock in a second.
const TICKS_PER_S: u64 = 10_000_000;
const NS_PER_TICK: u64 = 100;
/// Entries handed to the replayer at once.
const ENTRIES_A_TURN: usize = 1024;
/// Instructions replayed between two looks at the clock.
const BUDGET: u64 = 1 << 26;
/// Between two words about work that takes long.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A point, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Position(Icount),
    /// That position, from a checkpoint before this entry.
    BeforeEntry(Seq, Icount),
    /// Ticks before the end of the log.
    BeforeEnd(u64),
    /// Nanoseconds since 1970.
    TimeOfDay(u64),
}

impl When {
    /// That position.
    pub fn position(at: Icount) -> Self {
        Self { text: at.to_string(), kind: Kind::Position(at) }
    }

    /// Position `at`, before what entry `seq` does there.
    pub fn before_entry(seq: Seq, at: Icount) -> Self {
        Self { text: at.to_string(), kind: Kind::BeforeEntry(seq, at) }
    }
}

/// `50M`, `-10m` or `2026-11-30T13:45:00Z`.
pub fn when(text: &str) -> Result<When, String> {
    let kind = if let Some(span) = text.strip_prefix('-') {
        Kind::BeforeEnd(ticks(span)?)
    } else if text.contains(':') {
        let time = time_of_day(text).map_err(|why| format!("{text:?} is no time of day: {why}"))?;
        Kind::TimeOfDay(time)
    } else if text.ends_with('m') {
        return Err(format!("{text:?} is a position or a time? write 10M for the one, -10m for the other"));
    } else {
        let position = arg::instructions(text).map_err(|_| {
            format!(
                "{text:?} is no point; write a position like 50M, a time before the end like -10m, or a time of day \
                 like 2026-11-30T13:45:00Z"
            )
        })?;
        Kind::Position(Icount(position))
    };
    Ok(When { text: text.to_owned(), kind })
}

/// `90s`, `10m`, `2h`, `7d`, in ticks.
fn ticks(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no time; write for example -90s, -10m or -2h");
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds * TICKS_PER_S).ok_or_else(wrong)
}

/// A span of the guest's time in words: `2h 5m`, `3m 20s`, `12.3s`.
fn span_text(ticks: u64) -> String {
    let seconds = ticks / TICKS_PER_S;
    match seconds {
        0..60 => format!("{:.1}s", ticks as f64 / TICKS_PER_S as f64),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A store, and the command on whose behalf it is read.
pub struct Past<'a> {
    pub dir: &'a Path,
    pub store: StoreReader,
    pub command: &'static str,
}

/// Where a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The newest checkpoint from which it can be reached.
    pub from: CheckpointInfo,
    /// The position; none for the end of the log.
    pub at: Option<Icount>,
}

/// A store that cannot be used as it is asked to.
pub fn unusable(error: StoreError) -> Failure {
    match error.fix() {
        Some(fix) => Failure::new(error).fix(fix),
        None => Failure::new(error),
    }
}

impl<'a> Past<'a> {
    /// Opens the store in `dir` for `command`. What is older than the newest checkpoint is checked when it is read.
    pub fn open(dir: &'a Path, command: &'static str) -> Result<Self, Failure> {
        let store = StoreReader::open_whole(dir, Check::SinceNewest).map_err(unusable)?;
        Ok(Self { dir, store, command })
    }

    fn checkpoints(&self) -> &[CheckpointInfo] {
        &self.store.found().checkpoints
    }

    fn newest(&self) -> CheckpointInfo {
        *self.checkpoints().last().expect("a whole store has a checkpoint")
    }

    /// The log's last position.
    pub fn end(&self) -> Icount {
        self.store.found().end()
    }

    /// Finds the point, or the end of the log.
    pub fn locate(&self, when: Option<&When>) -> Result<Point, Failure> {
        let Some(When { text, kind }) = when else { return Ok(Point { from: self.newest(), at: None }) };
        match *kind {
            Kind::Position(at) => {
                let (first, last) = (self.checkpoints()[0].meta.icount, self.end());
                if !(first..=last).contains(&at) {
                    let kept = format!("which keeps positions {first} to {last}");
                    return Err(self.not_kept(&format!("position {at}"), &kept));
                }
                let index = self.checkpoints().partition_point(|kept| kept.meta.icount <= at) - 1;
                Ok(Point { from: self.checkpoints()[index], at: Some(at) })
            }
            Kind::BeforeEntry(seq, at) => {
                let before = self.checkpoints().iter().rfind(|kept| kept.meta.seq < seq);
                let Some(from) = before.filter(|_| seq <= self.store.found().last().next()) else {
                    let (first, last) = (self.checkpoints()[0].meta.seq.next(), self.store.found().last());
                    return Err(self.not_kept(
                        &format!("entry {seq}"),
                        &format!("which keeps entries {first} to {last}"),
                    ));
                };
                Ok(Point { from: *from, at: Some(at) })
            }
            Kind::BeforeEnd(ticks) => {
                let end = self.end_time()?;
                let oldest = self.time_of(self.checkpoints()[0])?;
                let Some(time) = end.checked_sub(ticks).filter(|time| *time >= oldest) else {
                    let kept =
                        format!("which keeps {} of the guest's time", span_text(end - oldest.min(end)));
                    return Err(self.not_kept(&format!("the point {text} from its end"), &kept));
                };
                self.at_time(self.newest_by(time)?, time)
            }
            Kind::TimeOfDay(ns) => self.at_time_of_day(text, ns),
        }
    }

    /// The point at a time of day.
    fn at_time_of_day(&self, text: &str, ns: u64) -> Result<Point, Failure> {
        let saved = |index: usize| self.checkpoints()[index].saved_ns;
        let newest = self.newest();
        let end_ns = || -> Result<u64, Failure> {
            let ticks = self.end_time()?.saturating_sub(self.time_of(newest)?);
            Ok(newest.saved_ns.saturating_add(ticks.saturating_mul(NS_PER_TICK)))
        };
        let not_kept = |end_ns| {
            let (first, last) = (time_of_day_text(saved(0)), time_of_day_text(end_ns));
            self.not_kept(text, &format!("which keeps about {first} to {last}"))
        };
        let Some(index) = self.checkpoints().partition_point(|kept| kept.saved_ns <= ns).checked_sub(1)
        else {
            return Err(not_kept(end_ns()?));
        };
        let time = self
            .time_of(self.checkpoints()[index])?
            .saturating_add(ns.saturating_sub(saved(index)) / NS_PER_TICK);
        // The guest's clock stood while no node ran it: its next checkpoint is not passed.
        let time = match self.checkpoints().get(index + 1) {
            Some(next) => time.min(self.time_of(*next)?),
            None if ns > end_ns()? => return Err(not_kept(end_ns()?)),
            None => time,
        };
        self.at_time(index, time)
    }

    fn not_kept(&self, what: &str, kept: &str) -> Failure {
        let dir = self.dir.display();
        Failure::new(format!("{what} is not in the store {dir}, {kept}"))
            .fix(format!("name a point in between; `lockstep store ls {dir}` lists the checkpoints"))
    }

    /// The guest's clock where a checkpoint was saved.
    fn clock_of(&self, checkpoint: CheckpointInfo) -> Result<LogClock, Failure> {
        let meta = checkpoint.meta;
        let state = self.store.state(meta.seq).map_err(unusable)?;
        LogClock::of(&state, meta.icount)
            .map_err(|why| Failure::new(format!("the checkpoint after entry {}: {why}", meta.seq)))
    }

    /// What it shows at a checkpoint.
    fn time_of(&self, checkpoint: CheckpointInfo) -> Result<u64, Failure> {
        Ok(self.clock_of(checkpoint)?.time())
    }

    /// The guest's clock at the log's end.
    fn end_time(&self) -> Result<u64, Failure> {
        let newest = self.newest();
        let mut clock = self.clock_of(newest)?;
        let frames = self.store.frames_after(newest.meta.seq).map_err(unusable)?;
        for entry in frames.entries(Payloads::LeftOut) {
            clock.pass(&entry.map_err(unusable)?);
        }
        Ok(clock.time())
    }

    /// The newest checkpoint at which the guest's clock is not past `time`; that of the oldest is not.
    fn newest_by(&self, time: u64) -> Result<usize, Failure> {
        let (mut is, mut is_not) = (0, self.checkpoints().len());
        while is_not - is > 1 {
            let middle = is + (is_not - is) / 2;
            match self.time_of(self.checkpoints()[middle])? <= time {
                true => is = middle,
                false => is_not = middle,
            }
        }
        Ok(is)
    }

    /// Where the guest's clock comes to `time` after the checkpoint; at the latest, at the log's end.
    fn at_time(&self, index: usize, time: u64) -> Result<Point, Failure> {
        let from = self.checkpoints()[index];
        let mut clock = self.clock_of(from)?;
        if clock.time() >= time {
            return Ok(Point { from, at: Some(from.meta.icount) });
        }
        let frames = self.store.frames_after(from.meta.seq).map_err(unusable)?;
        for entry in frames.entries(Payloads::LeftOut) {
            let entry = entry.map_err(unusable)?;
            if let Some(at) = clock.reaches(time, entry.at) {
                return Ok(Point { from, at: Some(at) });
            }
            clock.pass(&entry);
            if clock.time() >= time {
                return Ok(Point { from, at: Some(entry.at) });
            }
        }
        Ok(Point { from, at: None })
    }

    /// The machine at a checkpoint.
    pub fn restore(&self, checkpoint: CheckpointInfo) -> Result<Machine, Failure> {
        restore(&self.store, checkpoint).map_err(|why| {
            Failure::new(why)
                .fix("`lockstep store verify` tells which checkpoints are good; `store export --from` starts at one")
        })
    }

    /// Replays from `machine`, which stands at the checkpoint of `point`, to the point.
    pub fn advance(&self, machine: Machine, point: Point) -> Result<Machine, Failure> {
        let frames = self.store.frames_after(point.from.meta.seq).map_err(unusable)?;
        let is_before = |entry: &Entry| point.at.is_none_or(|at| entry.at < at);
        let entries = frames.entries(Payloads::Kept);
        let entries = entries.take_while(|entry| entry.as_ref().map_or(true, is_before));
        let mut replayer = Replayer::new(machine, point.from.meta.seq.next());
        let (mut progress, goal) = (Progress::begin(), point.at.unwrap_or_else(|| self.end()));
        let has_run = |_: &[Followed], icount| progress.tell(self.command, icount, goal);
        follow(&mut replayer, entries, point.at, has_run).map_err(|why| match why {
            Unfollowed::Unread(error) => unusable(error),
            Unfollowed::Diverged(divergence) => Failure::new(divergence)
                .fix("`lockstep store verify` replays all of the store, and tells what is wrong"),
        })?;
        Ok(replayer.into_parts().0)
    }

    /// Tells where a replay starts.
    pub fn tell_start(&self, point: &Point) {
        let Point { from, .. } = point;
        let (seq, at) = (from.meta.seq, from.meta.icount);
        say!("lockstep {}: from the checkpoint after entry {seq}, at {at}", self.command);
    }
}

/// Why a log is not followed any further.
pub enum Unfollowed<E> {
    Unread(E),
    Diverged(Divergence),
}

/// Replays `entries`, and runs on to `until` if they end before; `has_run` is told now and then what came of that, and how
/// far the machine is.
pub fn follow<E>(
    replayer: &mut Replayer,
    mut entries: impl Iterator<Item = Result<Entry, E>>,
    until: Option<Icount>,
    mut has_run: impl FnMut(&[Followed], Icount),
) -> Result<(), Unfollowed<E>> {
    let mut followed = Vec::new();
    loop {
        let batch: Result<Vec<Entry>, _> = entries.by_ref().take(ENTRIES_A_TURN).collect();
        let batch = batch.map_err(Unfollowed::Unread)?;
        let is_last = batch.len() < ENTRIES_A_TURN;
        replayer.push(batch).map_err(Unfollowed::Diverged)?;
        loop {
            let stop = replayer.run(BUDGET, &mut followed).map_err(Unfollowed::Diverged)?;
            has_run(&followed, replayer.icount());
            followed.clear();
            if stop == ReplayStop::Drained {
                break;
            }
        }
        if is_last {
            break;
        }
    }
    while let Some(at) = until.filter(|at| replayer.icount() < *at) {
        replayer.run_to(at.min(replayer.icount().plus(BUDGET))).map_err(Unfollowed::Diverged)?;
        has_run(&[], replayer.icount());
    }
    Ok(())
}

/// The machine at a checkpoint; otherwise what is wrong with it, with its file. That the state is the one which the
/// checkpoint's header names, the store and the machine have checked then.
pub fn restore(store: &StoreReader, checkpoint: CheckpointInfo) -> Result<Machine, String> {
    store.restore(checkpoint.meta.seq).map_err(|error| error.to_string())
}

/// Words about work that takes long, on standard error.
pub struct Progress {
    told: Instant,
}

impl Progress {
    pub fn begin() -> Self {
        Self { told: Instant::now() }
    }

    /// Tells how far a replay is, once in a while.
    pub fn tell(&mut self, command: &str, at: Icount, goal: Icount) {
        self.tell_if_due(command, || {
            format!("replayed to position {} of {}", grouped(at.get()), grouped(goal.get()))
        });
    }

    /// Tells how far something is, once in a while.
    pub fn tell_if_due(&mut self, command: &str, words: impl FnOnce() -> String) {
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            say!("lockstep {command}: {}", words());
        }
    }
}

/// The number of a checkpoint's last entry.
pub fn seq(text: &str) -> Result<Seq, String> {
    let number = text
        .parse()
        .map_err(|_| format!("{text:?} is no entry's number, as `lockstep store ls` shows it"))?;
    Ok(Seq(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_people_write_them() {
        let kind = |text: &str| when(text).map(|when| when.kind);
        assert_eq!(kind("50M"), Ok(Kind::Position(Icount(50_000_000))));
        assert_eq!(kind("0"), Ok(Kind::Position(Icount(0))));
        assert_eq!(kind("-90s"), Ok(Kind::BeforeEnd(900_000_000)));
        assert_eq!(kind("-2h"), Ok(Kind::BeforeEnd(7200 * TICKS_PER_S)));
        assert_eq!(kind("1970-01-01T00:00:01Z"), Ok(Kind::TimeOfDay(1_000_000_000)));
        assert_eq!(kind("1970-01-01T01:00:01.5+01:00"), Ok(Kind::TimeOfDay(1_500_000_000)));
        for bad in
            ["", "-", "-5", "-5x", "10m", "yesterday", "12:30", "1969-12-31T23:59:59Z", "-99999999999999d"]
        {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_of_time_are_told_in_two_units() {
        let text = |seconds: u64| span_text(seconds * TICKS_PER_S);
        assert_eq!([text(5), text(200), text(7500), text(100_000)], ["5.0s", "3m 20s", "2h 5m", "1d 3h"]);
    }
}
