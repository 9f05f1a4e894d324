//! `lockstep log grep`: the entries in whose words or payload a text occurs.

use std::io::Write;
use std::path::PathBuf;

use super::{Entries, Failure, Halt, head_of_many};
use crate::host::logdir::LogDir;
use crate::inspect::EntryView;
use crate::inspect::filter::Needle;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for (0x… for bytes), and the directories to look in. The text may also come
    /// last
    #[arg(required = true, num_args = 2.., value_names = ["TEXT", "DIR"])]
    text_and_dirs: Vec<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print only how many entries there are
    #[arg(long, short)]
    count: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<u8, Halt> {
    let (text, dirs) = split(&args.text_and_dirs)?;
    let needle = Needle::new(text);
    let mut found = 0u64;
    for dir in &dirs {
        let mut entries = Entries::lenient(&LogDir::open(dir)?);
        if !args.json && !args.count {
            head_of_many(out, &dirs, dir)?;
        }
        for place in &mut entries {
            if !needle.is_in(&place.entry) {
                continue;
            }
            found += 1;
            let view = EntryView::of(&place.entry);
            if args.count {
                continue;
            }
            if args.json {
                serde_json::to_writer(&mut *out, &view)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", view.line())?;
            }
        }
        entries.finish()?;
    }
    if args.count {
        writeln!(out, "{found}")?;
    }
    Ok(u8::from(found == 0))
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
