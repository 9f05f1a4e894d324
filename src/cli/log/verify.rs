//! `lockstep log verify`: whether a log is whole.
//!
//! Exit code 0: whole. 1: damaged; a torn tail (of which its writer's crash is the ordinary cause,
//! and which may be cut) is distinguished from rot, with every place. 2: could not be read.
//!
//! In `--json` the verdict is `whole`, `torn-tail`, `bad-base` or `rot`, the worst of them.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Halt;
use crate::host::logdir::{BASE_NAME, LogDir, LogError};
use crate::inspect::picture::grouped;
use crate::log::Lineage;
use crate::log::scan::ScanTotals;
use crate::machine::config::RAM_BYTES_MAX;

/// How many damages are listed; further ones are counted.
const LISTED_MAX: usize = 1000;

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
    let mut all_whole = true;
    for dir in &args.dirs {
        let verdict = Verdict::of(&LogDir::open(dir)?)?;
        all_whole &= verdict.word() == "whole";
        if args.json {
            serde_json::to_writer(&mut *out, &verdict.to_json(dir))?;
            writeln!(out)?;
        } else {
            verdict.print(dir, out)?;
        }
    }
    Ok(u8::from(!all_whole))
}

struct Verdict {
    totals: ScanTotals,
    torn_tail: Option<LogError>,
    rot: Vec<LogError>,
    rot_count: usize,
    /// What is wrong with the base.
    base: Option<String>,
}

impl Verdict {
    fn of(log: &LogDir) -> Result<Self, Halt> {
        let (mut torn_tail, mut rot, mut rot_count) = (None, Vec::new(), 0);
        let mut reader = log.read();
        while let Some(error) = reader.skim(|_| {}) {
            match error {
                LogError::Damaged { path, damage } if damage.fault.is_torn_tail() => {
                    torn_tail = Some(LogError::Damaged { path, damage });
                }
                LogError::Damaged { .. } => {
                    rot_count += 1;
                    if rot.len() < LISTED_MAX {
                        rot.push(error);
                    }
                }
                error => return Err(error.into()),
            }
        }
        let base = base_damage(log, reader.lineage());
        Ok(Self { totals: reader.totals(), torn_tail, rot, rot_count, base })
    }

    /// The worst that was found, in a word.
    fn word(&self) -> &'static str {
        match (self.rot_count, &self.base, &self.torn_tail) {
            (1.., _, _) => "rot",
            (0, Some(_), _) => "bad-base",
            (0, None, Some(_)) => "torn-tail",
            (0, None, None) => "whole",
        }
    }

    fn damages(&self) -> Vec<String> {
        let rot = self.rot.iter().map(LogError::to_string);
        let torn = self.torn_tail.iter().map(LogError::to_string);
        rot.chain(torn).chain(self.base.clone()).collect()
    }

    fn print(&self, dir: &std::path::Path, out: &mut dyn Write) -> std::io::Result<()> {
        for damage in self.damages() {
            writeln!(out, "{damage}")?;
        }
        if self.rot_count > self.rot.len() {
            writeln!(out, "... and {} more", self.rot_count - self.rot.len())?;
        }
        let entries = grouped(self.totals.entries);
        let judgement = match self.word() {
            "whole" => format!("whole, {entries} entries"),
            "torn-tail" => format!(
                "torn tail after {entries} whole entries; the writer was cut off there, and the tail can be cut"
            ),
            _ => format!(
                "rot in the middle; {entries} entries can still be read, but the history is not whole"
            ),
        };
        writeln!(out, "{}: {judgement}", dir.display())
    }

    fn to_json(&self, dir: &std::path::Path) -> Value {
        json!({
            "dir": dir,
            "verdict": self.word(),
            "entries": self.totals.entries,
            "frames": self.totals.frames,
            "damages": self.damages(),
            "damages_count": self.rot_count + usize::from(self.torn_tail.is_some()) + usize::from(self.base.is_some()),
        })
    }
}

/// What is wrong with the state that the log starts from.
fn base_damage(log: &LogDir, lineage: Option<&Lineage>) -> Option<String> {
    let base = match log.base(RAM_BYTES_MAX) {
        Ok(base) => base,
        Err(error) => return Some(error.to_string()),
    };
    let lineage = lineage?;
    let path = log.path().join(BASE_NAME);
    let differs = |what: &str, found: String, expected: String| {
        Some(format!("{}: its {what} is {found}, the log's {expected}", path.display()))
    };
    let ram_bytes = base.config.ram_bytes;
    if ram_bytes != lineage.ram_bytes {
        return differs("RAM size", ram_bytes.to_string(), lineage.ram_bytes.to_string());
    }
    let guest = base.config.guest_digest;
    if guest != lineage.guest_digest {
        return differs("guest digest", guest.to_string(), lineage.guest_digest.to_string());
    }
    if base.icount != lineage.base_icount {
        return differs("position", base.icount.to_string(), lineage.base_icount.to_string());
    }
    if base.digest != lineage.base_digest {
        return differs("state digest", base.digest.to_string(), lineage.base_digest.to_string());
    }
    None
}
