//! `lockstep log grep`: the entries in whose words or payload a text occurs, and the lines of the guest's
//! console that contain it. A log has only the marks of the guest's output, so a replay regenerates the text.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::console::{Console, Line, Lines};
use super::{Entries, Failure, Halt, head_of_many};
use crate::host::logdir::LogDir;
use crate::inspect::EntryView;
use crate::inspect::filter::Needle;
use crate::log::Entry;

/// Entries read and replayed at once.
const ENTRIES_A_TURN: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for (0x… for bytes), and the directories to look in. The text may also come
    /// last
    #[arg(required = true, num_args = 2.., value_names = ["TEXT", "DIR"])]
    text_and_dirs: Vec<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print only how many entries and lines there are
    #[arg(long, short)]
    count: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<u8, Halt> {
    let (text, dirs) = split(&args.text_and_dirs)?;
    let needle = Needle::new(text);
    let mut found = 0u64;
    for dir in &dirs {
        let log = LogDir::open(dir)?;
        let mut entries = Entries::lenient(&log);
        if !args.json && !args.count {
            head_of_many(out, &dirs, dir)?;
        }
        let mut console = Console::of(&log);
        let mut lines = Lines::default();
        let mut found_in = |hit: Hit<'_>| -> Result<(), Halt> {
            found += 1;
            match (args.count, args.json) {
                (true, _) => {}
                (false, true) => {
                    serde_json::to_writer(&mut *out, &hit.to_json())?;
                    writeln!(out)?;
                }
                (false, false) => writeln!(out, "{}", hit.line())?,
            }
            Ok(())
        };
        loop {
            let batch: Vec<Entry> = entries.by_ref().take(ENTRIES_A_TURN).map(|place| place.entry).collect();
            if batch.is_empty() {
                break;
            }
            let said = console.follow(&batch);
            for entry in &batch {
                if needle.is_in(entry) {
                    found_in(Hit::Entry(entry))?;
                }
                let spoken = said.get(&entry.seq).map(|bytes| lines.push(entry, bytes));
                for line in spoken.unwrap_or_default().iter().filter(|line| needle.is_in_bytes(&line.text)) {
                    found_in(Hit::Line(line))?;
                }
            }
        }
        if let Some(line) = lines.finish().filter(|line| needle.is_in_bytes(&line.text)) {
            found_in(Hit::Line(&line))?;
        }
        entries.finish()?;
    }
    if args.count {
        writeln!(out, "{found}")?;
    }
    Ok(u8::from(found == 0))
}

/// What the text was found in.
enum Hit<'a> {
    Entry(&'a Entry),
    Line(&'a Line),
}

impl Hit<'_> {
    /// The columns of [`EntryView::line`].
    fn line(&self) -> String {
        match self {
            Hit::Entry(entry) => EntryView::of(entry).line(),
            Hit::Line(line) => {
                let (seq, at, text) = (line.seq.get(), line.at.get(), line.text.escape_ascii());
                format!("{seq:>9} {at:>15}  {:<11}  {text}", "console")
            }
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Hit::Entry(entry) => json!(EntryView::of(entry)),
            Hit::Line(line) => {
                let text = String::from_utf8_lossy(&line.text);
                json!({"seq": line.seq, "icount": line.at, "kind": "console", "text": text})
            }
        }
    }
}

/// Which argument is the text: the first, unless only the last is no directory.
fn split(args: &[String]) -> Result<(&str, Vec<PathBuf>), Halt> {
    let is_dir = |arg: &String| PathBuf::from(arg).is_dir();
    let (text, dirs) = match args {
        [dirs @ .., text] if dirs.iter().all(is_dir) && !is_dir(text) => (text, dirs),
        [text, dirs @ ..] => (text, dirs),
        [] => return Err(Failure::new("a text and a directory are needed").into()),
    };
    Ok((text, dirs.iter().map(PathBuf::from).collect()))
}
