//! `lockstep bench`: what lockstep does on this host, in figures, each beside what it should be.
//!
//! A figure that misses its target does not fail the command: hosts differ, and they are often busy.
//! A load that found something lost or done twice does (exit status 1). Progress goes to stderr.

mod engine;
mod sheet;
mod takeovers;
mod traffic;
mod versus;

use std::time::Instant;

use super::Failure;
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
}

pub fn run(args: &Args) -> Result<u8, Failure> {
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
    add(engine::measure(args.quick)?);
    add(versus::measure(&dir.join("versus"), args.quick)?);
    add(traffic::measure(&dir.join("traffic"), args.quick)?);
    let (section, clean) = takeovers::measure(&dir.join("takeovers"), args.quick)?;
    add(section);
    sheet.clean = clean;
    sheet.seconds = begun.elapsed().as_secs_f64().round();
    match args.json {
        true => println!("{}", serde_json::to_string(&sheet.to_json())?),
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
    eprintln!("bench: {line}");
}
