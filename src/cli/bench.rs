//! `lockstep bench`: what lockstep does on this host, in figures, each beside what it should be.
//!
//! A figure that misses its target does not fail the command: hosts differ, and they are often busy.
//! A load that found something lost or done twice does (exit status 1). Progress goes to stderr.

mod engine;
mod gateway;
mod linux;
mod log;
mod sheet;
mod takeovers;
mod tcp;
mod traffic;
mod versus;

use std::path::PathBuf;
use std::time::Instant;

use super::{Failure, arg};
use crate::host::say::{put, say};
use crate::host::scratch::Scratch;
use sheet::{Section, Sheet};

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
    /// Only write the made-up log that the part `log` measures into this directory, and keep it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "quick", "only", "linux"])]
    write_log: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Engine,
    Gateway,
    Versus,
    Traffic,
    Log,
    Takeovers,
    Tcp,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        !self.linux && (self.only.is_empty() || self.only.contains(&part))
    }
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    if let Some(dir) = &args.write_log {
        arg::record(Some(dir))?;
        log::write(dir, log::ENTRIES)?;
        return Ok(0);
    }
    let begun = Instant::now();
    let scratch = Scratch::new("lockstep-bench")?;
    scratch.remove_on_signals(130)?;
    let dir = scratch.path();
    tell_load();
    let mut sheet = Sheet::new(args.quick);
    let mut add = |section: Section| {
        if !args.json {
            print!("{section}");
        }
        sheet.sections.push(section);
    };
    let mut clean = true;
    if args.linux {
        linux::measure(&dir.join("linux"), args.quick, &mut add)?;
    }
    if args.wants(Part::Engine) {
        add(engine::measure(args.quick)?);
    }
    if args.wants(Part::Gateway) {
        add(gateway::measure(args.quick)?);
    }
    if args.wants(Part::Versus) {
        add(versus::measure(&dir.join("versus"), args.quick)?);
    }
    if args.wants(Part::Traffic) {
        add(traffic::measure(&dir.join("traffic"), args.quick)?);
    }
    if args.wants(Part::Log) {
        add(log::measure(&dir.join("log"), args.quick)?);
    }
    if args.wants(Part::Takeovers) {
        let (section, nothing_lost) = takeovers::measure(&dir.join("takeovers"), args.quick)?;
        add(section);
        clean &= nothing_lost;
    }
    if args.wants(Part::Tcp) {
        let (section, nothing_lost) = tcp::measure(&dir.join("tcp"), args.quick)?;
        add(section);
        clean &= nothing_lost;
    }
    sheet.clean = clean;
    sheet.seconds = begun.elapsed().as_secs_f64().round();
    match args.json {
        true => put!("{}", serde_json::to_string(&sheet.to_json())?)?,
        false => print!("{}", sheet.last_words()),
    }
    Ok(u8::from(!clean))
}

/// Others that use the processors spoil the figures; whoever reads them must know.
fn tell_load() {
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load: Option<f64> = load.and_then(|text| text.split(' ').next()?.parse().ok());
    if let Some(load) = load.filter(|load| *load > 0.5) {
        progress(&format!("this host is busy (load {load}): the figures will be worse than it can do"));
    }
}

/// A line of progress.
fn progress(line: &str) {
    say!("bench: {line}");
}
