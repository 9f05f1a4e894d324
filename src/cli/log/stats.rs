//! `lockstep log stats`: counts, bytes and rates by kind of entry or by what the guest was about, and
//! the timeline as a picture.
//!
//! By kind and by activity the log alone is enough, in one pass that leaves payloads unread. By function and
//! by mode the log is replayed alongside, which takes as long as a replay.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::dump::NamingArgs;
use super::follow::Following;
use super::symbols::{Naming, PlaceSource};
use super::{Entries, Failure, Halt, Places, head_of_many, printable};
use crate::host::logdir::LogDir;
use crate::inspect::groups::{Activity, GroupTally};
use crate::inspect::picture::{self, bytes_text, grouped, rate_text};
use crate::inspect::stats::Tally;
use crate::inspect::symbols::mode_name;
use crate::inspect::{Groups, Kind, Stats};
use crate::log::scan::{Place, ScanTotals};

/// How often a followed log's state is printed.
const FOLLOW_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directories to read
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print one JSON object a directory
    #[arg(long)]
    json: bool,
    /// Group entries by what the guest was doing (activity: the last input from outside) or by where it was
    /// (function, mode: replays alongside)
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// How many groups to list; the others are one line
    #[arg(long, value_name = "N", default_value_t = 40)]
    top: usize,
    #[command(flatten)]
    naming: NamingArgs,
    /// Go on with what is still being written, with a line a second, until the guest ends or Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Write a picture of the timeline to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Kind,
    Activity,
    Function,
    Mode,
}

pub(super) fn run(args: &Args, places: Places<'_>, out: &mut dyn Write) -> Result<u8, Halt> {
    if args.svg.is_some() && args.dirs.len() > 1 {
        return Err(Failure::new("a picture shows one log").fix("name one directory with --svg").into());
    }
    if args.follow && args.dirs.len() > 1 {
        return Err(Failure::new("only one log can be followed").fix("name one directory").into());
    }
    let naming = match args.naming.to_naming()? {
        Naming::Own => Naming::All,
        naming => naming,
    };
    for dir in &args.dirs {
        let mut count = Count {
            stats: Stats::default(),
            groups: Groups::default(),
            grouping: match args.by {
                None | Some(By::Kind) => Grouping::None,
                Some(By::Activity) => Grouping::Activity(Activity::default()),
                Some(By::Function) => Grouping::Function(places(dir, &naming)),
                Some(By::Mode) => Grouping::Mode(places(dir, &naming)),
            },
            totals: ScanTotals::default(),
        };
        if args.follow {
            count.follow(dir, args, out)?;
        } else {
            let mut entries = Entries::lenient(&LogDir::open(dir)?);
            entries.skim(|place| count.add(place));
            count.totals = entries.reader.totals();
            entries.finish()?;
        }
        // A followed log has grown.
        let log = LogDir::open(dir)?;
        if args.json {
            serde_json::to_writer(&mut *out, &count.to_json(&log, args))?;
            writeln!(out)?;
        } else {
            head_of_many(out, &args.dirs, dir)?;
            count.print(out, &log, args)?;
        }
        if let Some(path) = &args.svg {
            std::fs::write(path, picture::svg(&count.stats, &title(&log)))
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

/// How the group of an entry is found.
enum Grouping {
    None,
    Activity(Activity),
    Function(PlaceSource),
    Mode(PlaceSource),
}

/// All that is counted over one log.
struct Count {
    stats: Stats,
    groups: Groups,
    grouping: Grouping,
    totals: ScanTotals,
}

impl Count {
    fn add(&mut self, place: &Place) {
        self.stats.add(place);
        let (entry, at) = (&place.entry, place.entry.at);
        match &mut self.grouping {
            Grouping::None => {}
            Grouping::Activity(activity) => self.groups.add(activity.of(entry), at, place.len),
            Grouping::Function(places) => match places(at) {
                Some(place_then) => self.groups.add(&place_then.function(), at, place.len),
                None => self.groups.add("(not known)", at, place.len),
            },
            Grouping::Mode(places) => {
                let mode = places(at).map_or("(not known)", |place| mode_name(place.mode));
                self.groups.add(mode, at, place.len);
            }
        }
    }

    /// Counts a log as it is written, with a line or an object each period.
    fn follow(&mut self, dir: &Path, args: &Args, out: &mut dyn Write) -> Result<(), Halt> {
        let mut following = Following::open(dir)?;
        let (mut told, mut before) = (Instant::now(), Tally::default());
        loop {
            // Where many entries wait, the clock is looked at now and then only.
            for _ in 0..1024 {
                match following.next()? {
                    Some(place) => self.add(&place),
                    None if following.is_over() => {
                        self.totals = following.totals();
                        return Ok(());
                    }
                    None => break,
                }
            }
            let (passed, total) = (told.elapsed(), self.stats.total());
            if passed < FOLLOW_PERIOD || total == before {
                continue;
            }
            self.totals = following.totals();
            if args.json {
                serde_json::to_writer(&mut *out, &self.to_json(&LogDir::open(dir)?, args))?;
                writeln!(out)?;
            } else {
                self.print_line(out, before, passed.as_secs_f64())?;
            }
            out.flush()?;
            (told, before) = (Instant::now(), total);
        }
    }

    fn print_line(&self, out: &mut dyn Write, before: Tally, seconds: f64) -> std::io::Result<()> {
        let total = self.stats.total();
        let last = self.stats.positions().map_or(0, |(_, last)| last.get());
        writeln!(
            out,
            "{} entries, {}, position {}; {} entries/s, {}/s",
            grouped(total.count),
            bytes_text(total.bytes),
            grouped(last),
            rate_text((total.count - before.count) as f64 / seconds),
            bytes_text(((total.bytes - before.bytes) as f64 / seconds) as u64),
        )
    }

    /// The bytes of the segments that are not in entries: headers and frames.
    fn framing(&self, log: &LogDir) -> u64 {
        log.bytes().saturating_sub(self.stats.total().bytes)
    }

    fn print(&self, out: &mut dyn Write, log: &LogDir, args: &Args) -> std::io::Result<()> {
        match self.grouping {
            Grouping::None => self.print_kinds(out, log)?,
            _ => self.print_groups(out, args.top)?,
        }
        writeln!(out)?;
        let seconds =
            self.stats.seconds().map_or("no guest time".into(), |s| format!("{s:.3} s of guest time"));
        writeln!(
            out,
            "{} instructions, {seconds}, {} in {} frames",
            grouped(self.stats.instructions()),
            bytes_text(log.bytes()),
            grouped(self.totals.frames)
        )
    }

    fn print_kinds(&self, out: &mut dyn Write, log: &LogDir) -> std::io::Result<()> {
        let stats = &self.stats;
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
                each(tally.bytes, tally.count),
                rate(stats.per_million(tally.count)),
                rate(stats.per_second(tally.count)),
                rate(stats.per_second(tally.bytes)),
            )
        };
        for kind in Kind::ALL.into_iter().filter(|kind| stats.tally(*kind).count > 0) {
            row(kind.name(), stats.tally(kind))?;
        }
        row("framing", Tally { count: self.totals.frames, bytes: self.framing(log) })?;
        row("all", Tally { count: stats.total().count, bytes: log.bytes() })
    }

    fn print_groups(&self, out: &mut dyn Write, top: usize) -> std::io::Result<()> {
        writeln!(
            out,
            "{:<32} {:>12} {:>12} {:>12} {:>8} {:>16} {:>7}",
            "group", "times", "entries", "bytes", "each", "instructions", "share"
        )?;
        let all = self.stats.instructions().max(1) as f64;
        let mut row = |name: &str, tally: GroupTally| {
            writeln!(
                out,
                "{:<32} {:>12} {:>12} {:>12} {:>8} {:>16} {:>6.1}%",
                name,
                grouped(tally.runs),
                grouped(tally.entries),
                grouped(tally.bytes),
                each(tally.bytes, tally.entries),
                grouped(tally.instructions),
                100.0 * tally.instructions as f64 / all,
            )
        };
        let ranked = self.groups.ranked();
        let (listed, others) = ranked.split_at(top.min(ranked.len()));
        for (name, tally) in listed {
            row(name, *tally)?;
        }
        if !others.is_empty() {
            let sum = others.iter().fold(GroupTally::default(), |sum, (_, tally)| sum.plus(*tally));
            row(&format!("{} others", grouped(others.len() as u64)), sum)?;
        }
        Ok(())
    }

    fn to_json(&self, log: &LogDir, args: &Args) -> Value {
        let mut value = self.stats.to_json();
        value["dir"] = json!(log.path());
        value["bytes"] = json!(log.bytes());
        value["bytes_per_second"] = json!(self.stats.per_second(log.bytes()));
        value["frames"] = json!(self.totals.frames);
        value["framing_bytes"] = json!(self.framing(log));
        if !matches!(self.grouping, Grouping::None) {
            let ranked = self.groups.ranked();
            let listed = ranked.iter().take(args.top);
            value["groups"] = listed
                .map(|(name, tally)| {
                    let mut group = json!(tally);
                    group["name"] = json!(name);
                    group
                })
                .collect();
            value["groups_count"] = json!(ranked.len());
        }
        value
    }
}

/// Bytes for each of `count`.
fn each(bytes: u64, count: u64) -> String {
    if count > 0 { format!("{:.1}", bytes as f64 / count as f64) } else { "-".into() }
}
