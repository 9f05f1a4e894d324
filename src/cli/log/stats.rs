//! `lockstep log stats`: counts, bytes and rates by kind of entry, and the timeline as a picture.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Entries, Failure, Halt, head_of_many, printable};
use crate::host::logdir::LogDir;
use crate::inspect::picture::{self, bytes_text, grouped, rate_text};
use crate::inspect::stats::Tally;
use crate::inspect::{Kind, Stats};
use crate::log::scan::ScanTotals;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directories to read
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print one JSON object a directory
    #[arg(long)]
    json: bool,
    /// Write a picture of the timeline to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<u8, Halt> {
    if args.svg.is_some() && args.dirs.len() > 1 {
        return Err(Failure::new("a picture shows one log").fix("name one directory with --svg").into());
    }
    for dir in &args.dirs {
        let log = LogDir::open(dir)?;
        let mut entries = Entries::lenient(&log);
        let mut stats = Stats::default();
        entries.skim(|place| stats.add(place));
        let totals = entries.reader.totals();
        entries.finish()?;
        if args.json {
            serde_json::to_writer(&mut *out, &to_json(&log, &stats, totals))?;
            writeln!(out)?;
        } else {
            head_of_many(out, &args.dirs, dir)?;
            print(out, &log, &stats, totals)?;
        }
        if let Some(path) = &args.svg {
            std::fs::write(path, picture::svg(&stats, &title(&log)))
                .map_err(|why| Failure::new(format!("cannot write {}: {why}", path.display())))?;
        }
    }
    Ok(0)
}

/// What the picture is of.
fn title(log: &LogDir) -> String {
    match log.header() {
        Ok(header) => format!("{}: {}", header.lineage.vm, header.lineage.guest),
        Err(_) => printable(&log.path().to_string_lossy()),
    }
}

/// The bytes of the segments that are not in entries: headers and frames.
fn framing(log: &LogDir, stats: &Stats) -> u64 {
    log.bytes().saturating_sub(stats.total().bytes)
}

fn print(out: &mut dyn Write, log: &LogDir, stats: &Stats, totals: ScanTotals) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<12} {:>12} {:>12} {:>8} {:>12} {:>12} {:>12}",
        "kind", "entries", "bytes", "each", "per M instr", "per second", "bytes/s"
    )?;
    let mut row = |name: &str, tally: Tally| {
        let rate = |rate: Option<f64>| rate.map_or("-".into(), rate_text);
        writeln!(
            out,
            "{:<12} {:>12} {:>12} {:>8} {:>12} {:>12} {:>12}",
            name,
            grouped(tally.count),
            grouped(tally.bytes),
            if tally.count > 0 {
                format!("{:.1}", tally.bytes as f64 / tally.count as f64)
            } else {
                "-".into()
            },
            rate(stats.per_million(tally.count)),
            rate(stats.per_second(tally.count)),
            rate(stats.per_second(tally.bytes)),
        )
    };
    for kind in Kind::ALL.into_iter().filter(|kind| stats.tally(*kind).count > 0) {
        row(kind.name(), stats.tally(kind))?;
    }
    row("framing", Tally { count: totals.frames, bytes: framing(log, stats) })?;
    row("all", Tally { count: stats.total().count, bytes: log.bytes() })?;
    writeln!(out)?;
    let seconds = stats.seconds().map_or("no guest time".into(), |s| format!("{s:.3} s of guest time"));
    writeln!(
        out,
        "{} instructions, {seconds}, {} in {} frames",
        grouped(stats.instructions()),
        bytes_text(log.bytes()),
        grouped(totals.frames)
    )
}

fn to_json(log: &LogDir, stats: &Stats, totals: ScanTotals) -> Value {
    let mut value = stats.to_json();
    value["dir"] = json!(log.path());
    value["bytes"] = json!(log.bytes());
    value["bytes_per_second"] = json!(stats.per_second(log.bytes()));
    value["frames"] = json!(totals.frames);
    value["framing_bytes"] = json!(framing(log, stats));
    value
}
