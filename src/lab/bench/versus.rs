//! What fault tolerance costs a guest that only computes.
//!
//! `crunch` as a primary alone and as one with a backup, turn by turn; from the status of both come
//! curves of position over time, and over the same stretch of instructions, all of it protected, the
//! two times are compared. Each process needs a processor of its own for that to mean anything. The
//! processor time that the primary took for the stretch is compared, too: it leaves out what others
//! on this host took, but also what the primary spent waiting for its backup.

use std::path::Path;
use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::host::failure::Failure;
use crate::lab::guests;
use crate::lab::stage::Stage;

/// Between two looks at the position.
const LOOK: Duration = Duration::from_millis(100);
/// `crunch` is a little longer than this.
const INSTRUCTIONS: u64 = 900_000_000;
const QUICK_INSTRUCTIONS: u64 = 350_000_000;
/// The stretch compared begins here at the earliest: processes have started, caches are warm.
const WARM_INSTRUCTIONS: u64 = 30_000_000;

pub fn measure(dir: &Path, quick: bool) -> Result<Section, Failure> {
    let (pairs, until) = if quick { (3, QUICK_INSTRUCTIONS) } else { (5, INSTRUCTIONS) };
    let (mut ratios, mut work) = (Vec::new(), Vec::new());
    let (mut rates_alone, mut rates_guarded) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let alone = Curve::of_run(&dir.join(format!("alone-{pair}")), false, until)?;
        let guarded = Curve::of_run(&dir.join(format!("guarded-{pair}")), true, until)?;
        let from = alone.first().max(guarded.first());
        let to = alone.last().min(guarded.last());
        let (Some(alone), Some(guarded)) = (alone.took(from, to), guarded.took(from, to)) else {
            return Err(Failure::new("crunch ended before its speed could be compared"));
        };
        let instructions = to - from;
        rates_alone.push(instructions / alone.seconds / 1e6);
        rates_guarded.push(instructions / guarded.seconds / 1e6);
        let ratio = alone.seconds / guarded.seconds * 100.0;
        ratios.push(ratio);
        work.push(alone.cpu_seconds / guarded.cpu_seconds * 100.0);
        progress(&format!(
            "crunch under fault tolerance, pair {} of {pairs}: {ratio:.1} % of its speed alone over {:.0} M instructions",
            pair + 1,
            instructions / 1e6
        ));
    }
    let figures = vec![
        Figure::new(
            "ft_alone_minstr_per_s",
            "primary without backup",
            median(&rates_alone),
            "M instructions/s",
        ),
        Figure::new(
            "ft_guarded_minstr_per_s",
            "primary with backup",
            median(&rates_guarded),
            "M instructions/s",
        ),
        Figure::new("ft_ratio_percent", "with backup, of alone", median(&ratios), "%")
            .target(Target::AtLeast(95.0)),
        Figure::new("ft_ratio_cpu_percent", "the same by the primary's processor time", median(&work), "%"),
    ];
    Ok(Section { title: "Fault tolerance against alone, crunch (medians)", figures })
}

/// What a stretch of instructions took.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Took {
    seconds: f64,
    cpu_seconds: f64,
}

/// A look at a primary.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: f64,
    seconds: f64,
    /// Of all its threads.
    cpu_seconds: f64,
}

/// Looks at one primary, later and further on each time.
struct Curve(Vec<Point>);

impl Curve {
    /// Runs `crunch` up to `until`; with a backup, only what is protected is on the curve.
    fn of_run(dir: &Path, guarded: bool, until: u64) -> Result<Self, Failure> {
        let mut stage = Stage::start(dir, guests::CRUNCH, false, None)?;
        if guarded {
            stage.protect()?;
        }
        let mut points = Vec::new();
        let begun = Instant::now();
        loop {
            let asked = begun.elapsed();
            let status = stage.await_primary("answering", |status| status.protected == guarded)?;
            let seconds = (asked + begun.elapsed()).as_secs_f64() / 2.0;
            let at = status.icount.get();
            if at >= WARM_INSTRUCTIONS {
                let cpu_seconds = cpu_seconds(stage.primary.child.id())?;
                points.push(Point { at: at as f64, seconds, cpu_seconds });
            }
            if at >= until {
                return Ok(Self(points));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn first(&self) -> f64 {
        self.0.first().map_or(0.0, |point| point.at)
    }

    fn last(&self) -> f64 {
        self.0.last().map_or(0.0, |point| point.at)
    }

    /// When position `at` was passed, between the two looks around it.
    fn passed(&self, at: f64) -> Option<Took> {
        let after = self.0.iter().position(|point| point.at >= at)?;
        let (b, a) = (self.0[after], self.0[after.saturating_sub(1)]);
        let share = if b.at > a.at { (at - a.at) / (b.at - a.at) } else { 1.0 };
        let between = |a: f64, b: f64| a + (b - a) * share;
        Some(Took {
            seconds: between(a.seconds, b.seconds),
            cpu_seconds: between(a.cpu_seconds, b.cpu_seconds),
        })
    }

    /// What it took from one position to another; none if there are none.
    fn took(&self, from: f64, to: f64) -> Option<Took> {
        let (end, begin) = (self.passed(to)?, self.passed(from)?);
        let seconds = end.seconds - begin.seconds;
        let cpu_seconds = end.cpu_seconds - begin.cpu_seconds;
        (seconds > 0.0 && cpu_seconds > 0.0).then_some(Took { seconds, cpu_seconds })
    }
}

/// The processor time that all threads of a process have had (`schedstat`: nanoseconds first).
pub(super) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let mut ns = 0u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while we look.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            ns += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_between_two_looks_are_interpolated() {
        let point = |at, seconds| Point { at, seconds, cpu_seconds: seconds / 2.0 };
        let curve = Curve(vec![point(100.0, 0.0), point(200.0, 1.0), point(300.0, 3.0)]);
        let took = |seconds| Some(Took { seconds, cpu_seconds: seconds / 2.0 });
        assert_eq!(curve.passed(100.0), took(0.0));
        assert_eq!(curve.passed(150.0), took(0.5));
        assert_eq!(curve.took(150.0, 250.0), took(1.5));
        assert_eq!(curve.took(250.0, 400.0), None);
        assert_eq!(curve.took(200.0, 200.0), None);
    }
}
