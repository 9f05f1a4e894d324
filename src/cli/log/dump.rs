//! `lockstep log dump`: the entries, one a line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::follow::Following;
use super::symbols::{self, Naming, PlaceSource};
use super::{Entries, Failure, Halt, Places, head_of_many};
use crate::base::Icount;
use crate::host::logdir::LogDir;
use crate::inspect::filter::Needle;
use crate::inspect::{EntryView, Filter, Kind};
use crate::log::Entry;

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
    /// Go on with what is still being written, until the guest ends or Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Stop after so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Do not replay alongside to name the guest's function at each entry: faster in a long log
    #[arg(long, conflicts_with_all = ["symbols", "place"])]
    no_symbols: bool,
    #[command(flatten)]
    naming: NamingArgs,
}

/// By which names places in the guest go, as options.
#[derive(Debug, clap::Args)]
pub(super) struct NamingArgs {
    /// Name the guest's functions by this file: an ELF file, a System.map, or a copy of /proc/kallsyms
    #[arg(long, value_name = "FILE")]
    symbols: Option<PathBuf>,
    /// Say where the guest was even where nothing has a name: by mode and address
    #[arg(long = "where", id = "place")]
    place: bool,
}

impl NamingArgs {
    pub(super) fn to_naming(&self) -> Result<Naming, Failure> {
        Ok(match (&self.symbols, self.place) {
            (Some(path), _) => Naming::Table(Rc::new(symbols::read_table(path)?)),
            (None, true) => Naming::All,
            (None, false) => Naming::Own,
        })
    }
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

pub(super) fn run(args: &Args, places: Places<'_>, out: &mut dyn Write) -> Result<u8, Halt> {
    if args.follow && args.dirs.len() > 1 {
        return Err(Failure::new("only one log can be followed").fix("name one directory").into());
    }
    let naming = args.naming.to_naming()?;
    for dir in &args.dirs {
        let mut dump = Dump {
            filter: args.filter.to_filter(),
            places: (!args.no_symbols).then(|| places(dir, &naming)),
            // Unasked, an address without a name is only noise.
            named_only: matches!(naming, Naming::Own),
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
    places: Option<PlaceSource>,
    named_only: bool,
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
        let place = self.places.as_mut().and_then(|places| places(entry.at));
        let told = place.filter(|place| !self.named_only || place.symbol.is_some());
        view.symbol = told.map(|place| place.text());
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

    /// Prints entries as they are written, until the guest ends, nothing more is wanted, or Ctrl-C.
    fn follow(&mut self, dir: &Path) -> Result<(), Halt> {
        let mut following = Following::open(dir)?;
        while self.left > 0 {
            match following.next()? {
                Some(place) if self.filter.is_past(place.entry.at) => break,
                Some(place) => self.show(&place.entry)?,
                None => {
                    self.out.flush()?;
                    if following.is_over() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
