//! The last act: a client connected by TCP stays connected while its server's machine is killed.

use std::path::Path;
use std::time::Duration;

use super::narrate::{child_says, say};
use super::table::Outcome;
use super::{ALONE, REST, names};
use crate::host::failure::Failure;
use crate::inspect::picture::grouped;
use crate::lab::guests;
use crate::lab::stage::{Blow, Stage, ms};

pub fn act(dir: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
    say("and over TCP: a switch and a pair with a guest that speaks it, and one connection that counts");
    let mut stage = Stage::start(dir, guests::COUNTER, false, Some(child_says))?;
    stage.protect()?;
    let load = stage.count(|counter| (counter.connections, counter.rest) = (1, REST))?;
    stage.dwell(ALONE)?;
    let (name, _) = names(&stage);
    say(&format!("SIGKILL to {name}, the primary"));
    let struck = stage.take_away(Blow::Kill)?;
    stage.await_primary("live", |_| true)?;
    stage.dwell(ALONE)?;
    let report = load.stop();
    let waited = report.waits.iter().filter(|(_, to)| *to > struck.at).map(|(from, to)| *to - *from);
    let waited = waited.max().unwrap_or(Duration::ZERO);
    (outcome.tcp_answers, outcome.tcp_wait_ms) = (report.answers, ms(waited));
    outcome.ok &= report.is_clean() && report.answers > 0;
    say(&match report.wrong.first() {
        None => format!(
            "the same connection counted to {}, each number once and in order; it waited {:.1} ms at most",
            grouped(report.answers),
            ms(waited)
        ),
        Some(words) => format!("the connection did NOT live on: {words}"),
    });
    outcome.evidence.extend(report.wrong);
    Ok(())
}
