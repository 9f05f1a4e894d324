//! Debian with Redis under fault tolerance: `redis-benchmark` in the guest alone and with a backup, turn
//! by turn in one life of one guest; how far the backup is behind; what it takes to make one.
//!
//! Two processors of one host seldom run two programs as fast as one. So the guest is also measured alone
//! beside a neighbour, another guest that computes without end: what a backup costs beyond that is the price
//! of fault tolerance, and the rest the host's.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::progress;
use super::super::sheet::{Figure, Section, Target, max, median};
use super::super::versus::cpu_seconds;
use super::guest::{Console, PROMPT};
use super::{Images, percent};
use crate::host::failure::Failure;
use crate::lab::stage::Stage;

const RAM: &str = "256M";
/// Between two looks at the lag.
const LOOK: Duration = Duration::from_millis(10);
/// What `bench` in the guest measures, in its order.
const KINDS: [Kind; 4] = [
    Kind {
        named: "SET pipeline 1",
        alone: "redis_set_alone_per_s",
        guarded: "redis_set_ft_per_s",
        ratio: "redis_set_ft_percent",
    },
    Kind {
        named: "GET pipeline 1",
        alone: "redis_get_alone_per_s",
        guarded: "redis_get_ft_per_s",
        ratio: "redis_get_ft_percent",
    },
    Kind {
        named: "SET pipeline 16",
        alone: "redis_set16_alone_per_s",
        guarded: "redis_set16_ft_per_s",
        ratio: "redis_set16_ft_percent",
    },
    Kind {
        named: "GET pipeline 16",
        alone: "redis_get16_alone_per_s",
        guarded: "redis_get16_ft_per_s",
        ratio: "redis_get16_ft_percent",
    },
];

struct Kind {
    named: &'static str,
    alone: &'static str,
    guarded: &'static str,
    ratio: &'static str,
}

/// One run of `bench` in the guest.
struct Run {
    rates: [f64; KINDS.len()],
    seconds: f64,
    /// Of the primary.
    cpu_seconds: f64,
    log_bytes: u64,
    lags_ms: Vec<f64>,
}

pub fn measure(images: &Images, dir: &Path, quick: bool) -> Result<Vec<Section>, Failure> {
    let (rounds, requests) = if quick { (2, 2000) } else { (4, 8000) };
    let [kernel, initrd] = [&images.kernel, &images.initrd_all].map(|path| path.display().to_string());
    let append = format!("{} lockstep.run=redis", images.cmdline);
    let guest = ["--kernel", &kernel, "--initrd", &initrd, "--append", &append].map(str::to_owned);
    let mut stage = Stage::start_with(&dir.join("redis"), &guest, RAM, None)?;
    let mut console = Console::start(["attach", &stage.primary.address.to_string()])?;
    console.await_text(PROMPT)?;
    let neighbour = Neighbour::start(images)?;
    progress("redis runs, and so does its neighbour");
    let (mut alone, mut beside, mut guarded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut transfers, mut pauses) = (Vec::new(), Vec::new());
    let mut idle_rate = 0.0;
    for round in 1..=rounds {
        alone.push(bench(&mut stage, &mut console, requests)?);
        neighbour.resume()?;
        beside.push(bench(&mut stage, &mut console, requests)?);
        neighbour.stop()?;
        transfers.push(stage.protect()?.as_secs_f64());
        pauses.extend(stage.tally()?.status.transfer_pause_ms);
        if round == 1 {
            idle_rate = idle(&mut stage)?;
        }
        guarded.push(bench(&mut stage, &mut console, requests)?);
        stage.lose_backup()?;
        let [a, b] = [&alone, &guarded].map(|runs| runs[round - 1].rates[0]);
        progress(&format!(
            "redis {round} of {rounds}: SET {a:.0}/s alone, {b:.0}/s with a backup, made in {:.2} s",
            transfers[round - 1]
        ));
    }
    drop(console);
    let lags: Vec<f64> = guarded.iter().flat_map(|run| run.lags_ms.iter().copied()).collect();
    let each = |runs: &[Run], of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<_>>();
    let mut figures = Vec::new();
    let (mut ratios, mut ratios_beside) = (Vec::new(), Vec::new());
    for (index, kind) in KINDS.iter().enumerate() {
        let rates = |runs: &[Run]| runs.iter().map(|run| run.rates[index]).collect::<Vec<_>>();
        let (a, b) = (rates(&alone), rates(&guarded));
        ratios.push(percent(&b, &a));
        ratios_beside.push(percent(&b, &rates(&beside)));
        figures.push(Figure::new(kind.alone, kind.named, median(&a), "requests/s"));
        figures.push(Figure::new(kind.guarded, "  with a backup", median(&b), "requests/s"));
        figures.push(Figure::new(kind.ratio, "  of alone", ratios[index], "%"));
    }
    let mean = |all: &[f64]| all.iter().product::<f64>().powf(1.0 / all.len() as f64);
    let cpu = |runs: &[Run]| each(runs, |run| run.cpu_seconds);
    figures.extend([
        Figure::new("redis_ft_percent", "all of them, of alone (geometric mean)", mean(&ratios), "%")
            .target(Target::AtLeast(90.0)),
        Figure::new(
            "redis_ft_of_beside_percent",
            "  of alone beside another guest",
            mean(&ratios_beside),
            "%",
        ),
        Figure::new(
            "redis_ft_cpu_percent",
            "  by the primary's processor time",
            percent(&cpu(&alone), &cpu(&guarded)),
            "%",
        ),
        Figure::new(
            "redis_log_kb_per_s",
            "log under this load",
            median(&each(&guarded, |run| run.log_bytes as f64 / run.seconds / 1e3)),
            "kB/s",
        ),
        Figure::new("redis_lag_median_ms", "the backup's lag: median", median(&lags), "ms"),
        Figure::new("redis_lag_max_ms", "the backup's lag: longest seen", max(&lags), "ms")
            .target(Target::Under(100.0)),
        Figure::new("redis_idle_bytes_per_s", "log of idle Redis", idle_rate, "bytes/s"),
    ]);
    let redis = Section { title: "Debian with Redis, 50 clients in the guest (medians)", figures };
    let figures = vec![
        Figure::new("linux_transfer_s", "start of a backup to protected", median(&transfers), "s")
            .target(Target::Under(2.0)),
        Figure::new("linux_transfer_max_s", "  longest", max(&transfers), "s"),
        Figure::new("linux_pause_ms", "the guest stands still for it", median(&pauses), "ms"),
        Figure::new("linux_pause_max_ms", "  longest", max(&pauses), "ms"),
    ];
    Ok(vec![redis, Section { title: "State transfer of a guest with 256 MB that runs Redis", figures }])
}

/// A guest that computes without end, stopped until it is wanted.
struct Neighbour(Console);

impl Neighbour {
    fn start(images: &Images) -> Result<Self, Failure> {
        let [kernel, initrd] = [&images.kernel, &images.initrd].map(|path| path.display().to_string());
        let append = format!("{} lockstep.exec=\"echo spinning; while :; do :; done\"", images.cmdline);
        let words =
            ["run", "--kernel", &kernel, "--initrd", &initrd, "--append", &append, "--memory", "128M"];
        let mut console = Console::start(words)?;
        console.await_text("spinning\r\n")?;
        let neighbour = Self(console);
        neighbour.stop()?;
        Ok(neighbour)
    }

    fn stop(&self) -> Result<(), Failure> {
        self.0.signal(Signal::STOP)
    }

    fn resume(&self) -> Result<(), Failure> {
        self.0.signal(Signal::CONT)
    }
}

/// Types `bench` and reads its result, while the backup's lag is sampled.
fn bench(stage: &mut Stage, console: &mut Console, requests: u32) -> Result<Run, Failure> {
    // The end of the last run is the beginning of this one's prompt.
    let before = stage.tally()?.status;
    let (begun, cpu_before) = (Instant::now(), cpu_seconds(stage.primary.child.id())?);
    console.send(&format!("bench {requests} 50\n"))?;
    let mut lags_ms = Vec::new();
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| console.await_text(PROMPT));
        while !said.is_finished() {
            std::thread::sleep(LOOK);
            // A busy primary may not answer in time; the next look will tell.
            if let Ok(status) = stage.primary.status() {
                lags_ms.push(status.lag_ms);
            }
        }
        said.join()
    });
    let said = said.map_err(|_| Failure::new("the thread that reads the guest's console panicked"))??.0;
    let mut rates = [0.0; KINDS.len()];
    for (rate, kind) in rates.iter_mut().zip(&KINDS) {
        let figure = said.split(&format!("bench: {}: ", kind.named)).nth(1);
        *rate = figure.and_then(|text| text.split(' ').next()?.parse().ok()).ok_or_else(|| {
            Failure::new(format!("redis-benchmark printed no result for {}: {said}", kind.named))
        })?;
    }
    Ok(Run {
        rates,
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(stage.primary.child.id())? - cpu_before,
        log_bytes: stage.tally()?.status.log_bytes - before.log_bytes,
        lags_ms,
    })
}

/// Bytes of log a second while no client uses Redis.
fn idle(stage: &mut Stage) -> Result<f64, Failure> {
    stage.dwell(Duration::from_millis(500))?;
    let (before, begun) = (stage.tally()?.log_bytes, Instant::now());
    stage.dwell(Duration::from_secs(3))?;
    Ok((stage.tally()?.log_bytes - before) as f64 / begun.elapsed().as_secs_f64())
}
