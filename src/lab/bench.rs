//! `lockstep bench`: what lockstep does on this host, in figures, each beside what it should be.
//!
//! A figure that misses its target does not fail the command: hosts differ, and they are often busy.
//! A load that found something lost or done twice does (exit status 1). Progress goes to stderr.

mod engine;
mod engines;
mod gateway;
mod linux;
mod log;
mod sheet;
mod store;
mod takeovers;
mod tcp;
mod traffic;
mod versus;

use std::path::Path;
use std::time::Instant;

use crate::host::failure::Failure;
use crate::host::say::{put, say};
use crate::lab::scratch::Scratch;
use sheet::{Section, Sheet};

/// What is measured, and how it is shown.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One JSON object on stdout, at the end.
    pub json: bool,
    /// Fewer and shorter runs.
    pub quick: bool,
    /// Only these parts; all of them when empty.
    pub only: Vec<Part>,
    /// A Debian Linux guest instead of the parts.
    pub linux: bool,
    /// The engines beside QEMU's instead of the parts.
    pub engines: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Engine,
    Gateway,
    Versus,
    Traffic,
    Log,
    Takeovers,
    Tcp,
    Store,
}

impl Plan {
    fn wants(&self, part: Part) -> bool {
        !self.linux && !self.engines && (self.only.is_empty() || self.only.contains(&part))
    }
}

/// Writes the made-up log that the part `log` measures into `dir`, and keeps it.
pub fn write_log(dir: &Path) -> Result<(), Failure> {
    log::write(dir, log::ENTRIES)?;
    Ok(())
}

/// Measures; 1 when a load found something lost or done twice, else 0.
pub fn run(plan: &Plan) -> Result<u8, Failure> {
    let begun = Instant::now();
    let scratch = Scratch::new("lockstep-bench")?;
    scratch.remove_on_signals(130)?;
    let dir = scratch.path();
    tell_load();
    let mut sheet = Sheet::new(plan.quick);
    let mut add = |section: Section| {
        if !plan.json {
            print!("{section}");
        }
        sheet.sections.push(section);
    };
    let mut clean = true;
    let mut kernels = None;
    if plan.engines {
        let measured = engines::measure(&dir.join("engines"), plan.quick)?;
        if !plan.json {
            print!("{}", measured.text);
        }
        add(measured.means);
        kernels = Some(measured.json);
    }
    if plan.linux {
        linux::measure(&dir.join("linux"), plan.quick, &mut add)?;
    }
    if plan.wants(Part::Engine) {
        add(engine::measure(plan.quick)?);
    }
    if plan.wants(Part::Gateway) {
        add(gateway::measure(plan.quick)?);
    }
    if plan.wants(Part::Versus) {
        add(versus::measure(&dir.join("versus"), plan.quick)?);
    }
    if plan.wants(Part::Traffic) {
        add(traffic::measure(&dir.join("traffic"), plan.quick)?);
    }
    if plan.wants(Part::Log) {
        add(log::measure(&dir.join("log"), plan.quick)?);
    }
    if plan.wants(Part::Takeovers) {
        let (section, nothing_lost) = takeovers::measure(&dir.join("takeovers"), plan.quick)?;
        add(section);
        clean &= nothing_lost;
    }
    if plan.wants(Part::Tcp) {
        let (section, nothing_lost) = tcp::measure(&dir.join("tcp"), plan.quick)?;
        add(section);
        clean &= nothing_lost;
    }
    if plan.wants(Part::Store) {
        let (section, nothing_lost) = store::measure(&dir.join("store"), plan.quick)?;
        add(section);
        clean &= nothing_lost;
    }
    sheet.clean = clean;
    sheet.engines = kernels;
    sheet.seconds = begun.elapsed().as_secs_f64().round();
    match plan.json {
        true => put!("{}", serde_json::to_string(&sheet.to_json())?)?,
        false => print!("{}", sheet.last_words()),
    }
    Ok(u8::from(!clean))
}

/// Other processes on the processors spoil the figures; the reader must know.
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
