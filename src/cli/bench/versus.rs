//! What fault tolerance costs a guest that only computes.
//!
//! `crunch` as a primary alone and as one with a backup, turn by turn; from the status of both come
//! curves of position over time, and over the same stretch of instructions, all of it protected, the
//! two times are compared. Each process needs a processor of its own for that to mean anything.

use std::path::Path;
use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target, median};
use crate::cli::Failure;
use crate::cli::stage::Stage;
use crate::host::guests;

/// Between two looks at the position.
const LOOK: Duration = Duration::from_millis(10);
/// `crunch` is a little longer than this.
const INSTRUCTIONS: u64 = 900_000_000;
const QUICK_INSTRUCTIONS: u64 = 350_000_000;
/// The stretch compared begins here at the earliest: processes have started, caches are warm.
const WARM_INSTRUCTIONS: u64 = 30_000_000;

pub fn measure(dir: &Path, quick: bool) -> Result<Section, Failure> {
    let (pairs, until) = if quick { (3, QUICK_INSTRUCTIONS) } else { (5, INSTRUCTIONS) };
    let (mut ratios, mut rates_alone, mut rates_guarded) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let alone = Curve::of_run(&dir.join(format!("alone-{pair}")), false, until)?;
        let guarded = Curve::of_run(&dir.join(format!("guarded-{pair}")), true, until)?;
        let from = alone.first().max(guarded.first());
        let to = alone.last().min(guarded.last());
        let (Some(time_alone), Some(time_guarded)) = (alone.time(from, to), guarded.time(from, to)) else {
            return Err(Failure::new("crunch ended before its speed could be compared"));
        };
        let instructions = to - from;
        rates_alone.push(instructions / time_alone / 1e6);
        rates_guarded.push(instructions / time_guarded / 1e6);
        ratios.push(time_alone / time_guarded * 100.0);
        progress(&format!(
            "crunch under fault tolerance, pair {} of {pairs}: {:.1} % of its speed alone over {:.0} M instructions",
            pair + 1,
            time_alone / time_guarded * 100.0,
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
    ];
    Ok(Section { title: "Fault tolerance against alone, crunch (medians)", figures })
}

/// (seconds, position), both growing.
struct Curve(Vec<(f64, f64)>);

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
                points.push((seconds, at as f64));
            }
            if at >= until {
                return Ok(Self(points));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn first(&self) -> f64 {
        self.0.first().map_or(0.0, |point| point.1)
    }

    fn last(&self) -> f64 {
        self.0.last().map_or(0.0, |point| point.1)
    }

    /// When `position` was passed, between the two looks around it.
    fn when(&self, position: f64) -> Option<f64> {
        let after = self.0.iter().position(|point| point.1 >= position)?;
        let (b, a) = (self.0[after], self.0[after.saturating_sub(1)]);
        let stretch = b.1 - a.1;
        Some(if stretch > 0.0 { a.0 + (b.0 - a.0) * (position - a.1) / stretch } else { b.0 })
    }

    /// Seconds from one position to another; none if there are none.
    fn time(&self, from: f64, to: f64) -> Option<f64> {
        let time = self.when(to)? - self.when(from)?;
        (time > 0.0).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_between_two_looks_are_interpolated() {
        let curve = Curve(vec![(0.0, 100.0), (1.0, 200.0), (3.0, 300.0)]);
        assert_eq!(curve.when(100.0), Some(0.0));
        assert_eq!(curve.when(150.0), Some(0.5));
        assert_eq!(curve.time(150.0, 250.0), Some(1.5));
        assert_eq!(curve.time(250.0, 400.0), None);
        assert_eq!(curve.time(200.0, 200.0), None);
    }
}
