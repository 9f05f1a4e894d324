//! `lockstep store`: what a node has kept of its guest's past.
//!
//! Only `prune` changes a store, and `export` writes elsewhere. Every command but `ls` refuses a store that a process has.
//! Exit codes: 0 whole, done; 1 damaged (`verify`); 2 could not be done. `ls` shows a damaged store as far as it can
//! be read, and reports the damage on stderr.

mod export;
mod ls;
mod prune;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;

/// Look into stores, check them, and remove what is old.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Whose store it is, what it has, and how it was left
    Ls(ls::Args),
    /// Whether it is whole: reads everything, and replays from each checkpoint to the next
    Verify(verify::Args),
    /// Make a recording of it that starts at a checkpoint, for `replay` and `log`
    Export(export::Args),
    /// Remove the oldest checkpoints, and the log before those that stay
    Prune(prune::Args),
}

/// What those that only look are given.
#[derive(clap::Args)]
struct Looking {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    match &args.command {
        Command::Ls(args) => ls::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Export(args) => export::run(args),
        Command::Prune(args) => prune::run(args),
    }
}

/// An `s` for all counts but one.
pub(super) fn s(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
