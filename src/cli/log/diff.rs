//! `lockstep log diff`: the first entry at which two logs part.
//!
//! Exit code 0: the same to their ends. 1: they part, or one is only the beginning of the other. 2:
//! one of them could not be read, or is rotten before they part.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{Entries, Halt};
use crate::host::logdir::LogDir;
use crate::inspect::diff::{self, Strictness};
use crate::inspect::picture::grouped;
use crate::inspect::{Diff, EntryView, Parting};
use crate::log::{Entry, Lineage};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The one log
    #[arg(value_name = "DIR_A")]
    a: PathBuf,
    /// The other
    #[arg(value_name = "DIR_B")]
    b: PathBuf,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// Compare horizons too, which record only how far a recorder had come
    #[arg(long)]
    horizons: bool,
    /// Compare the identities of nodes and attach sessions too, which each run draws anew
    #[arg(long)]
    ids: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<u8, Halt> {
    let (log_a, log_b) = (LogDir::open(&args.a)?, LogDir::open(&args.b)?);
    let (mut a, mut b) = (Entries::strict(&log_a), Entries::strict(&log_b));
    let entries_a = (&mut a).map(|place| place.entry);
    let entries_b = (&mut b).map(|place| place.entry);
    let found =
        diff::diff(entries_a, entries_b, Strictness { horizons: args.horizons, identities: args.ids });
    let lineage = lineage_difference(a.reader.lineage(), b.reader.lineage());
    // Where both go on, what comes later does not matter.
    if !matches!(found.parting, Some(Parting::Differ { .. })) {
        a.finish()?;
        b.finish()?;
    }
    if args.json {
        serde_json::to_writer(&mut *out, &to_json(&found, lineage.as_deref()))?;
        writeln!(out)?;
    } else {
        print(out, args, &found, lineage.as_deref())?;
    }
    Ok(u8::from(found.parting.is_some() || lineage.is_some()))
}

/// What two logs of one history cannot differ in, and these do.
fn lineage_difference(a: Option<&Lineage>, b: Option<&Lineage>) -> Option<String> {
    let (a, b) = (a?, b?);
    if a.guest_digest != b.guest_digest {
        return Some(format!("the guest's image is {} in A, {} in B", a.guest_digest, b.guest_digest));
    }
    if a.ram_bytes != b.ram_bytes {
        return Some(format!("the guest has {} bytes of RAM in A, {} in B", a.ram_bytes, b.ram_bytes));
    }
    None
}

fn print(out: &mut dyn Write, args: &Args, found: &Diff, lineage: Option<&str>) -> std::io::Result<()> {
    if let Some(difference) = lineage {
        writeln!(out, "{difference}")?;
    }
    let line = |entry: &Entry| EntryView::of(entry).line();
    let common = grouped(found.common);
    let from = found.from.map_or(String::new(), |from| format!(" from entry {from} on"));
    let (a, b) = (args.a.display(), args.b.display());
    match &found.parting {
        None => return writeln!(out, "the same: {common} entries{from}"),
        Some(Parting::Differ { .. }) => {
            writeln!(out, "they part after {common} common entries{from}:")?;
        }
        Some(Parting::AEnds { .. }) => {
            writeln!(out, "A ends after {common} common entries{from}, B goes on:")?;
        }
        Some(Parting::BEnds { .. }) => {
            writeln!(out, "B ends after {common} common entries{from}, A goes on:")?;
        }
    }
    writeln!(out, "  {}", EntryView::heading())?;
    for entry in &found.context {
        writeln!(out, "  {}", line(entry))?;
    }
    match &found.parting {
        Some(Parting::Differ { a, b }) => {
            writeln!(out, "A {}", line(a))?;
            writeln!(out, "B {}", line(b))?;
        }
        Some(Parting::AEnds { b }) => writeln!(out, "B {}", line(b))?,
        Some(Parting::BEnds { a }) => writeln!(out, "A {}", line(a))?,
        None => {}
    }
    writeln!(out, "where A is {a}, B is {b}")
}

fn to_json(found: &Diff, lineage: Option<&str>) -> serde_json::Value {
    let (a, b) = match &found.parting {
        Some(Parting::Differ { a, b }) => (Some(a), Some(b)),
        Some(Parting::AEnds { b }) => (None, Some(b)),
        Some(Parting::BEnds { a }) => (Some(a), None),
        None => (None, None),
    };
    json!({
        "same": found.parting.is_none() && lineage.is_none(),
        "common": found.common,
        "from": found.from,
        "lineage": lineage,
        "context": found.context.iter().map(EntryView::of).collect::<Vec<_>>(),
        "a": a.map(EntryView::of),
        "b": b.map(EntryView::of),
    })
}
