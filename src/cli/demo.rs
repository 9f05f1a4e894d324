//! `lockstep demo`: the arguments of [`crate::lab::demo`].

use super::Failure;
use crate::lab::demo;

#[derive(clap::Args)]
pub struct Args {
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// Show it with Debian Linux and Redis instead of a small guest. The guest is made from Debian's packages
    /// when it is not there yet: 140 MB to fetch, once.
    #[arg(long)]
    linux: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    match args.linux {
        true => demo::linux::run(args.json),
        false => demo::run(args.json),
    }
}
