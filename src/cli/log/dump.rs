//! `lockstep log dump`: the entries, one a line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Entries, Failure, Halt, head_of_many};
use crate::base::Icount;
use crate::host::logdir::{Follower, LogDir};
use crate::inspect::filter::Needle;
use crate::inspect::{EntryView, Filter, Kind};
use crate::log::{Entry, Event};

/// Names the guest's code at a position: `None` where it has no name, or it cannot be known. Asked
/// in ascending order, so that a replay can come along.
pub type SymbolSource = Box<dyn FnMut(Icount) -> Option<String>>;

/// How often a followed log is looked at again.
const FOLLOW_PERIOD: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directories to read
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Go on with what is still being written, until the guest ends
    #[arg(long, short)]
    follow: bool,
    /// Stop after so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Do not replay alongside to name the guest's function at each entry: faster in a long log
    #[arg(long)]
    no_symbols: bool,
}

/// Which entries are wanted, as options.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only these kinds of entry (time, net-in, console-out, ...); may be repeated
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Only from this position on
    #[arg(long, value_name = "ICOUNT")]
    from: Option<u64>,
    /// Only up to this position
    #[arg(long, value_name = "ICOUNT")]
    to: Option<u64>,
    /// Only entries with this in their words or payload (0x… for bytes)
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl FilterArgs {
    pub(super) fn to_filter(&self) -> Filter {
        Filter {
            kinds: self.kinds.clone(),
            from: self.from.map(Icount),
            to: self.to.map(Icount),
            needle: self.text.as_deref().map(Needle::new),
        }
    }
}

pub(super) fn run(
    args: &Args,
    symbols: &dyn Fn(&Path) -> SymbolSource,
    out: &mut dyn Write,
) -> Result<u8, Halt> {
    if args.follow && args.dirs.len() > 1 {
        return Err(Failure::new("only one log can be followed").fix("name one directory").into());
    }
    for dir in &args.dirs {
        let mut dump = Dump {
            filter: args.filter.to_filter(),
            symbols: (!args.no_symbols).then(|| symbols(dir)),
            json: args.json,
            left: args.limit.unwrap_or(u64::MAX),
            headed: false,
            out,
        };
        if args.follow {
            dump.follow(dir)?;
        } else {
            if !args.json {
                head_of_many(dump.out, &args.dirs, dir)?;
            }
            let mut entries = Entries::lenient(&LogDir::open(dir)?);
            while dump.left > 0
                && let Some(place) = entries.next()
                && !dump.filter.is_past(place.entry.at)
            {
                dump.show(&place.entry)?;
            }
            entries.finish()?;
        }
    }
    Ok(0)
}

struct Dump<'a> {
    filter: Filter,
    symbols: Option<SymbolSource>,
    json: bool,
    left: u64,
    headed: bool,
    out: &'a mut dyn Write,
}

impl Dump<'_> {
    /// Prints `entry` if it is wanted.
    fn show(&mut self, entry: &Entry) -> Result<(), Halt> {
        if !self.filter.takes(entry) {
            return Ok(());
        }
        self.left -= 1;
        let mut view = EntryView::of(entry);
        view.symbol = self.symbols.as_mut().and_then(|symbols| symbols(entry.at));
        if self.json {
            serde_json::to_writer(&mut *self.out, &view)?;
            writeln!(self.out)?;
        } else {
            if !std::mem::replace(&mut self.headed, true) {
                writeln!(self.out, "{}", EntryView::heading())?;
            }
            writeln!(self.out, "{}", view.line())?;
        }
        Ok(())
    }

    /// Prints entries as they are written, until the guest ends or nothing more is wanted.
    fn follow(&mut self, dir: &Path) -> Result<(), Halt> {
        let mut follower = Follower::open(dir)?;
        while self.left > 0 {
            let Some(place) = follower.poll()? else {
                self.out.flush()?;
                thread::sleep(FOLLOW_PERIOD);
                continue;
            };
            if self.filter.is_past(place.entry.at) {
                break;
            }
            self.show(&place.entry)?;
            if matches!(place.entry.event, Event::End(_)) {
                break;
            }
        }
        Ok(())
    }
}
