//! `lockstep store prune`: removes the oldest checkpoints, and the log before those that stay.

use std::path::PathBuf;

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
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let report = store::prune(&args.dir, &args.keep).map_err(unusable)?;
    let Pruned { checkpoints, segments } = report.pruned;
    let dir = args.dir.display();
    match checkpoints {
        0 => put!("{dir}: nothing is over the limit")?,
        _ => put!(
            "{dir}: {checkpoints} checkpoint{} and {segments} segment{} removed, {} free again",
            s(checkpoints),
            s(segments),
            bytes_text(report.bytes_freed)
        )?,
    }
    Ok(0)
}
