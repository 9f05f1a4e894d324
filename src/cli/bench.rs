//! `lockstep bench`: the arguments of [`crate::lab::bench`].

use std::path::PathBuf;

use super::{Failure, arg};
use crate::lab::bench::{self, Part, Plan};

#[derive(clap::Args)]
pub struct Args {
    /// One JSON object on stdout, at the end.
    #[arg(long)]
    json: bool,
    /// Half a minute instead of two: fewer and shorter runs.
    #[arg(long)]
    quick: bool,
    /// Measure only these parts; may be repeated.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure a Debian Linux guest instead: recorded, replayed, and with Redis under fault tolerance. Its
    /// images are made from Debian's packages where they are missing.
    #[arg(long, conflicts_with = "only")]
    linux: bool,
    /// Measure the engines instead, beside QEMU's (`qemu-system-riscv64`, with and without -icount), on a dozen
    /// kernels in M-mode and under Sv39: some six minutes of processor time, with --quick one or two.
    #[arg(long, conflicts_with_all = ["only", "linux"])]
    engines: bool,
    /// Measure only what it costs to keep the log on disk, and how soon a guest is back after all nodes were killed: the
    /// same as --only store.
    #[arg(long, conflicts_with_all = ["only", "linux", "engines"])]
    store: bool,
    /// Only write the made-up log that the part `log` measures into this directory, and keep it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "quick", "only", "linux", "engines", "store"])]
    write_log: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    if let Some(dir) = &args.write_log {
        arg::record(Some(dir))?;
        bench::write_log(dir)?;
        return Ok(0);
    }
    let Args { json, quick, linux, engines, store, .. } = *args;
    let only = if store { vec![Part::Store] } else { args.only.clone() };
    bench::run(&Plan { json, quick, only, linux, engines })
}
