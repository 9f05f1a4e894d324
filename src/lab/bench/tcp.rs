//! TCP through the switch, to a guest that speaks it: what fault tolerance adds to a request, what is left
//! of the throughput, how long clients wait when the primary is taken away, what an idle switch costs.
//!
//! In one life of one guest alone and with a backup take turns, and what is reported is the median over the
//! turns of what a turn's two halves differ by. Client, switch, primary and backup each need a processor
//! for throughputs to mean much; the processor time that the primary takes for an answer leaves out what
//! others take. Blows fall on another pair, with the default settings.

use std::path::Path;
use std::time::{Duration, Instant};

use super::progress;
use super::sheet::{Figure, Section, Target, max, median};
use super::versus::cpu_seconds;
use crate::base::Prng;
use crate::host::failure::Failure;
use crate::host::os::draw_u64;
use crate::lab::counterload::{CounterConfig, Report};
use crate::lab::guests;
use crate::lab::stage::{Blow, Stage, ms};

const CONNECTIONS: usize = 50;
/// Requests that a connection sends at once where throughput is measured, as `redis-benchmark -P 16` does.
const DEPTH: usize = 16;
/// A connection rests up to twice as long between answers and requests while primaries are taken away.
const REST: Duration = Duration::from_millis(20);
/// A blow falls at a moment between these after the guest is protected.
const CALM_MS: (u64, u64) = (50, 200);
const OLD_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// One turn of a load.
#[derive(Clone, Copy, Debug)]
struct Turn {
    request_us: f64,
    answers_per_second: f64,
    /// Processor time of the primary for an answer of these.
    cpu_us: f64,
}

/// The figures, and whether every answer was right.
pub fn measure(dir: &Path, quick: bool) -> Result<(Section, bool), Failure> {
    let mut wrong = Vec::new();
    let mut stage = Stage::start_patient(&dir.join("turns"), guests::COUNTER)?;
    let (turns, long) = if quick { (3, 400) } else { (5, 1000) };
    let (mut alone, mut guarded) = (Vec::new(), Vec::new());
    for turn in 1..=turns {
        alone.push(take_turn(&mut stage, Duration::from_millis(long), &mut wrong)?);
        stage.protect()?;
        guarded.push(take_turn(&mut stage, Duration::from_millis(long), &mut wrong)?);
        stage.lose_backup()?;
        let (a, b) = (alone[turn - 1], guarded[turn - 1]);
        progress(&format!(
            "tcp {turn} of {turns}: a request {:.0} us alone, {:.0} us with a backup; {CONNECTIONS} connections \
             {:.0}/s and {:.0}/s, for {:.2} us and {:.2} us of the primary each",
            a.request_us, b.request_us, a.answers_per_second, b.answers_per_second, a.cpu_us, b.cpu_us
        ));
    }
    drop(stage);
    let mut stage = Stage::start(&dir.join("blows"), guests::COUNTER, false, None)?;
    stage.protect()?;
    let idle = idle(&mut stage, Duration::from_secs(if quick { 2 } else { 5 }))?;
    let (kills, stops) = if quick { (10, 3) } else { (40, 6) };
    let killed = strike(&mut stage, Blow::Kill, kills, &mut wrong)?;
    let stopped = strike(&mut stage, Blow::Stop, stops, &mut wrong)?;
    for words in &wrong {
        progress(words);
    }
    let of = |turns: &[Turn], what: fn(&Turn) -> f64| median(&turns.iter().map(what).collect::<Vec<_>>());
    let both = || alone.iter().zip(&guarded);
    let added: Vec<f64> = both().map(|(a, b)| b.request_us - a.request_us).collect();
    let kept: Vec<f64> = both().map(|(a, b)| b.answers_per_second / a.answers_per_second * 100.0).collect();
    let work: Vec<f64> = both().map(|(a, b)| a.cpu_us / b.cpu_us * 100.0).collect();
    let figures = vec![
        Figure::new(
            "tcp_request_alone_us",
            "a request, alone: p50",
            of(&alone, |turn| turn.request_us),
            "us",
        ),
        Figure::new("tcp_request_ft_us", "  with a backup", of(&guarded, |turn| turn.request_us), "us"),
        Figure::new("tcp_request_added_us", "  added", median(&added), "us").target(Target::Under(150.0)),
        Figure::new(
            "tcp_50_alone_per_s",
            "50 connections, alone",
            of(&alone, |turn| turn.answers_per_second),
            "answers/s",
        ),
        Figure::new(
            "tcp_50_ft_per_s",
            "  with a backup",
            of(&guarded, |turn| turn.answers_per_second),
            "answers/s",
        ),
        Figure::new("tcp_50_ft_percent", "  of alone", median(&kept), "%").target(Target::AtLeast(85.0)),
        Figure::new(
            "tcp_50_ft_cpu_percent",
            "  the same by the primary's processor time",
            median(&work),
            "%",
        ),
        Figure::new("tcp_kill_gap_median_ms", "longest wait over a SIGKILL: median", median(&killed), "ms")
            .target(Target::Under(50.0)),
        Figure::new("tcp_kill_gap_max_ms", "  longest", max(&killed), "ms").target(Target::Under(300.0)),
        Figure::new("tcp_stop_gap_median_ms", "longest wait over a SIGSTOP: median", median(&stopped), "ms"),
        Figure::new("tcp_stop_gap_max_ms", "  longest", max(&stopped), "ms").target(Target::Under(500.0)),
        Figure::new("tcp_wrong", "broken, lost, twice or out of order", wrong.len() as f64, "")
            .target(Target::Zero),
        Figure::new("switch_idle_percent", "idle switch: processor time", idle, "% of one")
            .target(Target::Under(1.0)),
    ];
    Ok((Section { title: "TCP to counter, through the switch", figures }, wrong.is_empty()))
}

fn drive(
    stage: &mut Stage,
    config: impl FnOnce(&mut CounterConfig),
    work: impl FnOnce(&mut Stage) -> Result<(), Failure>,
    wrong: &mut Vec<String>,
) -> Result<Report, Failure> {
    let load = stage.count(config)?;
    work(stage)?;
    let report = load.stop();
    wrong.extend(report.wrong.iter().cloned());
    Ok(report)
}

fn take_turn(stage: &mut Stage, long: Duration, wrong: &mut Vec<String>) -> Result<Turn, Failure> {
    let one = drive(stage, |_| (), |stage| stage.dwell(long), wrong)?;
    let mut cpu = cpu_seconds(stage.primary.child.id())?;
    let many = drive(
        stage,
        |config| (config.connections, config.depth) = (CONNECTIONS, DEPTH),
        |stage| stage.dwell(long),
        wrong,
    )?;
    cpu = cpu_seconds(stage.primary.child.id())? - cpu;
    Ok(Turn {
        request_us: one.median_us(),
        answers_per_second: many.answers_per_second(),
        cpu_us: cpu * 1e6 / many.answers.max(1) as f64,
    })
}

/// How much of a processor the switch takes while no client sends anything, in percent.
fn idle(stage: &mut Stage, time: Duration) -> Result<f64, Failure> {
    stage.dwell(Duration::from_millis(500))?;
    let pid = stage.cluster.switch.child.id();
    let (before, begun) = (cpu_seconds(pid)?, Instant::now());
    stage.dwell(time)?;
    let percent = (cpu_seconds(pid)? - before) / begun.elapsed().as_secs_f64() * 100.0;
    progress(&format!("an idle switch takes {percent:.3} % of a processor"));
    Ok(percent)
}

/// Takes the primary away again and again; the longest wait of any connection each time, in ms.
fn strike(stage: &mut Stage, blow: Blow, times: usize, wrong: &mut Vec<String>) -> Result<Vec<f64>, Failure> {
    let mut prng = Prng::new(draw_u64());
    let mut blows = Vec::new();
    let work = |stage: &mut Stage| {
        for _ in 0..times {
            stage.dwell(Duration::from_millis(prng.between(CALM_MS.0, CALM_MS.1)))?;
            let mut struck = stage.take_away(blow)?;
            blows.push(struck.at);
            stage.await_primary("live", |_| true)?;
            if blow == Blow::Stop {
                struck.old.resume()?;
                if struck.old.wait(OLD_ENDS_WITHIN) != Some(1) {
                    let (name, tail) = (&struck.old.name, struck.old.tail());
                    return Err(Failure::new(format!(
                        "{name} was resumed and did not halt; its last lines:{tail}"
                    )));
                }
            }
            stage.protect()?;
        }
        stage.dwell(Duration::from_millis(100))
    };
    let report = drive(
        stage,
        |config| (config.connections, config.depth, config.rest) = (CONNECTIONS, DEPTH, REST),
        work,
        wrong,
    )?;
    let gaps: Vec<f64> = blows.iter().map(|blow| ms(report.longest_wait_around(*blow))).collect();
    progress(&format!(
        "tcp, {} of {blow:?}: longest wait median {:.1} ms, max {:.1} ms over {} answers",
        blows.len(),
        median(&gaps),
        max(&gaps),
        report.answers
    ));
    Ok(gaps)
}
