//! How long clients wait when the primary is killed, or falls silent, at a random moment.

use std::path::Path;
use std::time::Duration;

use super::progress;
use super::sheet::{Figure, Section, Target, max, median};
use crate::base::Prng;
use crate::host::failure::Failure;
use crate::host::os::draw_u64;
use crate::lab::guests;
use crate::lab::stage::{Blow, Stage, ms};

const CLIENTS: usize = 8;
/// Each client rests this long between an answer and its next request.
const REST: Duration = Duration::from_millis(1);
/// A blow falls at a moment between these after the guest is protected.
const CALM_MS: (u64, u64) = (100, 300);

/// Times in ms.
#[derive(Default)]
struct Times {
    answered: Vec<f64>,
    gaps: Vec<f64>,
}

/// The figures, and whether the verifying client is content.
pub fn measure(dir: &Path, quick: bool) -> Result<(Section, bool), Failure> {
    let (kills, stops) = if quick { (5, 3) } else { (10, 5) };
    let mut prng = Prng::new(draw_u64());
    let mut stage = Stage::start(dir, guests::KV, false, None)?;
    stage.protect()?;
    let load = stage.load(|kv| (kv.clients, kv.pause) = (CLIENTS, REST))?;
    let (mut killed, mut stopped) = (Times::default(), Times::default());
    for round in 0..kills + stops {
        let blow = if round < kills { Blow::Kill } else { Blow::Stop };
        stage.dwell(Duration::from_millis(prng.between(CALM_MS.0, CALM_MS.1)))?;
        let (takeover, mut old) = stage.strike(blow, &load)?;
        let (name, times) = match blow {
            Blow::Kill => ("SIGKILL", &mut killed),
            Blow::Stop => ("SIGSTOP", &mut stopped),
        };
        times.answered.push(ms(takeover.answered));
        times.gaps.push(ms(takeover.gap));
        progress(&format!(
            "{name} {} of {}: first answer after {:.1} ms, gap {:.1} ms",
            times.answered.len(),
            if blow == Blow::Kill { kills } else { stops },
            ms(takeover.answered),
            ms(takeover.gap)
        ));
        if blow == Blow::Stop {
            old.resume()?;
            if old.wait(Duration::from_secs(5)) != Some(1) {
                let words =
                    format!("{} was resumed and did not halt; its last lines:{}", old.name, old.tail());
                return Err(Failure::new(words));
            }
        }
        drop(old);
        stage.protect()?;
    }
    let report = load.stop();
    for words in &report.evidence {
        progress(words);
    }
    let clean = report.is_clean();
    let wrong = report.lost + report.duplicated + report.contradictions + report.answers_too_many;
    let ms = "ms";
    let figures = vec![
        Figure::new(
            "kill_takeover_median_ms",
            "SIGKILL to first answer: median",
            median(&killed.answered),
            ms,
        )
        .target(Target::Under(20.0)),
        Figure::new("kill_takeover_max_ms", "SIGKILL to first answer: longest", max(&killed.answered), ms),
        Figure::new("kill_gap_max_ms", "longest gap around a SIGKILL", max(&killed.gaps), ms),
        Figure::new(
            "stop_takeover_median_ms",
            "SIGSTOP to first answer: median",
            median(&stopped.answered),
            ms,
        )
        .target(Target::Under(250.0)),
        Figure::new("stop_takeover_max_ms", "SIGSTOP to first answer: longest", max(&stopped.answered), ms),
        Figure::new("stop_gap_max_ms", "longest gap around a SIGSTOP", max(&stopped.gaps), ms),
        Figure::new("writes_acknowledged", "writes acknowledged meanwhile", report.acked_writes as f64, ""),
        Figure::new("lost_or_twice", "lost, done twice or contradicted", wrong as f64, "")
            .target(Target::Zero),
    ];
    Ok((Section { title: "Takeovers under load, at random moments", figures }, clean))
}
