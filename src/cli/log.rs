//! `lockstep log`: reads the directories that `--record` writes. Nothing here writes to one.
//!
//! Exit codes: 0 whole, found, the same; 1 damaged, not found, different; 2 could not be done. A
//! damaged log is read as far as it can be, and the damage reported on stderr; only `verify` shows it in its
//! exit code. When the reader of the output closes it, that is no error.

mod console;
mod diff;
mod dump;
mod follow;
mod grep;
mod info;
mod stats;
mod verify;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use super::symbols::{self, Naming, PlaceSource};
use crate::host::logdir::{LogDir, LogError, LogReader};
use crate::host::say::say;
use crate::log::scan::Place;

/// Look into recorded logs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a log is of, where it starts and how it ends
    Info(info::Args),
    /// Its entries, one a line
    Dump(dump::Args),
    /// Counts, bytes and rates by kind of entry, and the timeline as a picture
    Stats(stats::Args),
    /// Whether it is whole; distinguishes a torn tail from rot in the middle
    Verify(verify::Args),
    /// The entries, and the lines of the guest's console, in which a text occurs
    Grep(grep::Args),
    /// The first entry at which two logs part
    Diff(diff::Args),
}

/// How to find out where the guest was, in a log and by which names.
type Places<'a> = &'a dyn Fn(&Path, &Naming) -> PlaceSource;

/// Runs the subcommand; places in the guest come from replaying a log alongside.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match run_into(args, &symbols::alongside, &mut out)
        .and_then(|code| out.flush().map(|()| code).map_err(Halt::from))
    {
        Ok(code) => Ok(code),
        Err(Halt::ReaderGone) => Ok(0),
        Err(Halt::Failed(failure)) => Err(failure),
    }
}

fn run_into(args: &Args, places: Places<'_>, out: &mut dyn Write) -> Result<u8, Halt> {
    match &args.command {
        Command::Info(args) => info::run(args, out),
        Command::Dump(args) => dump::run(args, places, out),
        Command::Stats(args) => stats::run(args, places, out),
        Command::Verify(args) => verify::run(args, out),
        Command::Grep(args) => grep::run(args, out),
        Command::Diff(args) => diff::run(args, out),
    }
}

/// Why a subcommand came to an early end.
enum Halt {
    /// The output has no reader any more.
    ReaderGone,
    Failed(Failure),
}

impl From<io::Error> for Halt {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            ErrorKind::BrokenPipe => Halt::ReaderGone,
            _ => Halt::Failed(Failure::new(format!("cannot write the output: {why}"))),
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Halt::Failed(failure)
    }
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        let failure = Failure::new(&error);
        Halt::Failed(match error.fix() {
            Some(fix) => failure.fix(fix),
            None => failure,
        })
    }
}

impl From<serde_json::Error> for Halt {
    fn from(why: serde_json::Error) -> Self {
        Halt::from(io::Error::from(why))
    }
}

/// At most this many damages are reported one by one; `log verify` lists more.
const DAMAGES_TOLD_MAX: u64 = 100;

/// A log's entries, with damage reported on stderr as it is met.
struct Entries {
    reader: LogReader,
    /// How many damages were met.
    damages: u64,
    /// Stop at the first damage that is not a torn tail.
    strict: bool,
    /// What could not be read at all, to be asked for at the end.
    error: Option<LogError>,
}

impl Entries {
    /// All that can be read.
    fn lenient(log: &LogDir) -> Self {
        Self { reader: log.read(), damages: 0, strict: false, error: None }
    }

    /// What can be read before the first rot.
    fn strict(log: &LogDir) -> Self {
        Self { reader: log.read(), damages: 0, strict: true, error: None }
    }

    /// Hands every entry to `each`, without its payload.
    fn skim(&mut self, mut each: impl FnMut(&Place)) {
        while self.error.is_none()
            && let Some(error) = self.reader.skim(&mut each)
        {
            self.told(error);
        }
    }

    /// Tells of damage; keeps what is more than that.
    fn told(&mut self, error: LogError) {
        match error {
            LogError::Damaged { path, damage } if !self.strict || damage.fault.is_torn_tail() => {
                self.damages += 1;
                if self.damages <= DAMAGES_TOLD_MAX {
                    say!("lockstep: {}, {damage}", path.display());
                } else if self.damages == DAMAGES_TOLD_MAX + 1 {
                    say!("lockstep: ... and more damage, see `lockstep log verify`");
                }
            }
            error => self.error = Some(error),
        }
    }

    /// After the last entry: whether the files could be read.
    fn finish(self) -> Result<u64, Halt> {
        self.error.map_or(Ok(self.damages), |error| Err(error.into()))
    }
}

impl Iterator for Entries {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        while self.error.is_none() {
            match self.reader.next()? {
                Ok(place) => return Some(place),
                Err(error) => self.told(error),
            }
        }
        None
    }
}

/// Prints a heading before each of several directories.
fn head_of_many(out: &mut dyn Write, dirs: &[PathBuf], dir: &Path) -> io::Result<()> {
    if dirs.len() > 1 {
        writeln!(out, "{}:", dir.display())?;
    }
    Ok(())
}

/// Text from a file, safe to print.
fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests;
