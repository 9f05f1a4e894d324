//! `lockstep demo`: a program outlives its machine, twice, and then changes machines on purpose; and a
//! TCP connection outlives one, too.
//!
//! The narration goes to stderr, the outcome to stdout. Exit status 0 only if the client found
//! nothing lost, nothing done twice and nothing contradicted, and the digests of both machines agreed
//! under every primary.

pub mod linux;
mod narrate;
mod table;
mod tcp;

use std::time::{Duration, Instant};

use crate::host::failure::Failure;
use crate::host::say::put;
use crate::inspect::picture::grouped;
use crate::lab::guests;
use crate::lab::kvclient::KvLoad;
use crate::lab::scratch::Scratch;
use crate::lab::stage::{Blow, Stage, Takeover, ms};
use narrate::{child_says, say};
use table::{Outcome, short};

const CLIENTS: usize = 8;
/// Each client rests this long between an answer and its next request: a steady load that leaves a
/// small host's processors some room.
const REST: Duration = Duration::from_millis(1);
/// How long the load runs before something happens to it.
const CALM: Duration = Duration::from_millis(2000);
/// How long the guest is left without a backup.
const ALONE: Duration = Duration::from_millis(700);

/// Shows it with the small guests; 0 only if nothing was lost, doubled or contradicted. `json` prints one JSON object
/// instead of the table.
pub(crate) fn run(json: bool) -> Result<u8, Failure> {
    narrate::begin();
    let scratch = Scratch::new("lockstep-demo")?;
    scratch.remove_on_signals(130)?;
    let outcome = story(&scratch)?;
    if json {
        put!("{}", serde_json::to_string(&outcome)?)?;
    } else {
        put!("\n{outcome}")?;
    }
    Ok(u8::from(!outcome.ok))
}

fn story(scratch: &Scratch) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    say(
        "starting a switch, and a primary that runs the kv guest: a key-value server without an operating system",
    );
    let mut stage = Stage::start(scratch.path(), guests::KV, false, Some(child_says))?;
    say("starting a backup: it receives the machine's state, then follows its log");
    join(&mut stage, &mut outcome)?;

    say(&format!("{CLIENTS} clients write, read and check every answer"));
    let load = stage.load(|kv| (kv.clients, kv.pause) = (CLIENTS, REST))?;
    under_load(&mut stage, &load, CALM)?;

    for again in [false, true] {
        let (name, backup) = names(&stage);
        say(&format!("SIGKILL to {name}, the primary{}", if again { ", once more" } else { "" }));
        let (takeover, _dead) = stage.strike(Blow::Kill, &load)?;
        outcome.add_takeover(takeover);
        tell_takeover(&backup, takeover);
        under_load(&mut stage, &load, ALONE)?;
        say("starting a new backup, while the clients go on");
        join(&mut stage, &mut outcome)?;
        under_load(&mut stage, &load, CALM)?;
    }

    let (old, new) = names(&stage);
    say(&format!("planned switch-over: {old} and {new} change places"));
    let asked = Instant::now();
    let took = stage.switch_over()?;
    stage.dwell(Duration::from_millis(300))?;
    let gap = load.longest_gap_since(asked).map_or(Duration::ZERO, |(_, gap)| gap);
    (outcome.switchover_ms, outcome.switchover_gap_ms) = (ms(took), ms(gap));
    say(&format!(
        "{new} is the primary, {old} its backup, after {:.1} ms; the clients waited {:.1} ms at most",
        ms(took),
        ms(gap)
    ));
    under_load(&mut stage, &load, CALM)?;

    say("stopping the load, reading every key back");
    let report = load.stop();
    let tally = stage.tally()?;
    drop(stage);
    outcome.conclude(&report, &tally);
    tcp::act(&scratch.path().join("tcp"), &mut outcome)?;
    outcome.seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    Ok(outcome)
}

/// Lets the load run for a while and, with a backup, until the digests of both machines have agreed.
fn under_load(stage: &mut Stage, load: &KvLoad, time: Duration) -> Result<(), Failure> {
    stage.dwell(time)?;
    let report = load.snapshot();
    let mut line =
        format!("{} answers, {} acknowledged writes", grouped(report.answers), grouped(report.acked_writes));
    if stage.backup.is_some() {
        let status = stage.await_primary("audited", |status| status.audits_agreed > 0)?;
        if let Some(audit) = status.last_audit {
            let (digest, at) = (short(audit.digest), grouped(audit.icount.get()));
            line += &format!("; both machines had digest {digest} at instruction {at}");
        }
    }
    say(&line);
    Ok(())
}

fn join(stage: &mut Stage, outcome: &mut Outcome) -> Result<(), Failure> {
    let took = stage.protect()?;
    outcome.join_ms.push(ms(took));
    say(&format!("protected, {:.0} ms after the backup's start", ms(took)));
    Ok(())
}

/// The primary's name and the backup's.
fn names(stage: &Stage) -> (String, String) {
    let backup = stage.backup.as_ref().map_or("none", |backup| &backup.name);
    (stage.primary.name.clone(), backup.to_owned())
}

fn tell_takeover(successor: &str, takeover: Takeover) {
    say(&format!(
        "{successor} goes on: first answer {:.1} ms after the kill; the clients waited {:.1} ms at most",
        ms(takeover.answered),
        ms(takeover.gap)
    ));
}
