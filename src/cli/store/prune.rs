//! `lockstep store prune`: removes the oldest checkpoints, and the log before those that stay.

use std::path::PathBuf;

use serde_json::json;

use super::s;
use crate::cli::Failure;
use crate::cli::past::unusable;
use crate::host::say::put;
use crate::host::store::{self, Keep, Pruned};
use crate::inspect::picture::bytes_text;

#[derive(clap::Args)]
pub struct Args {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// How much to keep: a time (2h), bytes (10G), a number of checkpoints (3), or several of these with commas
    #[arg(long, value_name = "2h|10G|3")]
    keep: Keep,
    /// One JSON object: dir, checkpoints and segments (how many were removed), bytes_freed, needed (checkpoints over the
    /// limits that stay because newer ones build on them)
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let report = store::prune(&args.dir, &args.keep).map_err(unusable)?;
    let Pruned { checkpoints, segments } = report.pruned;
    let dir = args.dir.display();
    let needed = report.needed;
    if args.json {
        put!(
            "{}",
            json!({
                "dir": args.dir,
                "checkpoints": checkpoints,
                "segments": segments,
                "bytes_freed": report.bytes_freed,
                "needed": needed,
            })
        )?;
        return Ok(0);
    }
    match checkpoints {
        0 if needed == 0 => put!("{dir}: nothing is over the limit")?,
        0 => {}
        _ => put!(
            "{dir}: {checkpoints} checkpoint{} and {segments} segment{} removed, {} free again",
            s(checkpoints),
            s(segments),
            bytes_text(report.bytes_freed)
        )?,
    }
    if needed > 0 {
        put!("{dir}: {needed} checkpoint{} over the limit stay: newer ones build on them", s(needed))?;
    }
    Ok(0)
}
