//! `lockstep log info`: what a log is of, where it starts and how it ends.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{Entries, Halt, head_of_many, printable};
use crate::base::Icount;
use crate::cli::store::s;
use crate::host::logdir::LogDir;
use crate::inspect::kind::Kind;
use crate::inspect::picture::{bytes_text, grouped};
use crate::inspect::view::{self, EntryView};
use crate::inspect::{Stats, stats::Began};
use crate::log::{Entry, SegmentHeader};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directories to read
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print one JSON object a directory
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<u8, Halt> {
    for dir in &args.dirs {
        let log = LogDir::open(dir)?;
        let header = if log.segments().is_empty() { None } else { log.header().ok() };
        let mut entries = Entries::lenient(&log);
        let mut stats = Stats::default();
        entries.skim(|place| stats.add(place));
        let found = Found { log: &log, header, stats, last: log.last_entry()?, damages: entries.finish()? };
        if args.json {
            serde_json::to_writer(&mut *out, &found.to_json())?;
            writeln!(out)?;
        } else {
            head_of_many(out, &args.dirs, dir)?;
            found.print(out)?;
        }
    }
    Ok(0)
}

struct Found<'a> {
    log: &'a LogDir,
    header: Option<SegmentHeader>,
    stats: Stats,
    last: Option<Entry>,
    damages: u64,
}

impl Found<'_> {
    /// How the log ends, in words.
    fn ending(&self) -> String {
        match &self.last {
            Some(entry) if Kind::of(&entry.event) == Kind::End => view::text(&entry.event),
            Some(_) => "the guest had not ended".into(),
            None => "nothing was recorded".into(),
        }
    }

    fn last_position(&self) -> Option<Icount> {
        self.stats.positions().map(|(_, last)| last)
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match &self.header {
            Some(SegmentHeader { lineage, .. }) => {
                writeln!(out, "vm            {}", printable(&lineage.vm))?;
                writeln!(out, "guest         {}", printable(&lineage.guest))?;
                writeln!(out, "guest digest  {}", lineage.guest_digest)?;
                writeln!(out, "RAM           {} MiB", lineage.ram_bytes >> 20)?;
                let (seq, at, digest) = (lineage.base_seq, lineage.base_icount, lineage.base_digest);
                writeln!(out, "starts        after entry {seq} at position {at}, state {digest}")?;
            }
            None => writeln!(out, "header        none that can be read")?,
        }
        let count = self.log.segments().len();
        writeln!(out, "size          {} in {count} segment{}", bytes_text(self.log.bytes()), s(count))?;
        writeln!(out, "entries       {}", grouped(self.stats.total().count))?;
        if let Some(last) = self.last_position() {
            writeln!(out, "reaches       position {}", grouped(last.get()))?;
        }
        if let Some(seconds) = self.stats.seconds() {
            writeln!(out, "guest time    {seconds:.3} s")?;
        }
        for Began { at, generation, why } in self.stats.generations() {
            let (at, why) = (grouped(at.get()), view::start_text(*why));
            writeln!(out, "generation    {generation} from position {at}: {why}")?;
        }
        writeln!(out, "ending        {}", self.ending())?;
        if self.damages > 0 {
            writeln!(out, "damage        {} (see `lockstep log verify`)", self.damages)?;
        }
        Ok(())
    }

    fn to_json(&self) -> serde_json::Value {
        let began = |generation: &Began| {
            let Began { at, generation, why } = generation;
            json!({ "icount": at, "generation": generation, "why": view::start_text(*why) })
        };
        json!({
            "dir": self.log.path(),
            "header": self.header,
            "bytes": self.log.bytes(),
            "segments": self.log.segments().len(),
            "entries": self.stats.total().count,
            "icount_last": self.last_position(),
            "seconds": self.stats.seconds(),
            "generations": self.stats.generations().iter().map(began).collect::<Vec<_>>(),
            "last": self.last.as_ref().map(EntryView::of),
            "ending": self.ending(),
            "damages": self.damages,
        })
    }
}
