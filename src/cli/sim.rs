//! `lockstep sim`: many seeded lives of a pair, with a crash possible before any command.

use std::time::Instant;

use super::Failure;
use crate::devices::disk::DiskSpec;
use crate::host::say::{put, say};
use crate::lab::guests;
use crate::machine::{BootOptions, Elf, Machine, Saved};
use crate::sim::{self, Outcome, Plan};

/// What `lockstep sim` takes.
#[derive(clap::Args)]
pub struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    first: u64,
    /// Run just this seed, and print everything that happens.
    #[arg(long)]
    seed: Option<u64>,
    /// With a guest that has a disk (`diskkv`).
    #[arg(long)]
    disk: bool,
    /// One JSON object a seed.
    #[arg(long)]
    json: bool,
}

/// The guest's memory in the simulator: `kv` needs less than 1 MiB.
const RAM_BYTES: u64 = 4 << 20;

/// Its disk: a journal, room to scribble, and a last chunk that is not whole.
const DISK_SECTORS: u64 = 5001;

/// The `kv` guest, freshly booted.
pub fn guest() -> Result<Saved, Failure> {
    Ok(guests::boot(guests::KV, "kv.elf", RAM_BYTES)?.save())
}

/// The `diskkv` guest with its disk, freshly booted.
pub fn disk_guest() -> Result<Saved, Failure> {
    let disks = vec![DiskSpec { sectors: DISK_SECTORS, read_only: false, serial: "sim".into() }];
    let options =
        BootOptions { guest: "diskkv.elf".into(), ram_bytes: RAM_BYTES, disks, ..BootOptions::default() };
    let elf = Elf::parse(guests::DISKKV).map_err(|error| Failure::new(error.to_string()))?;
    let mut machine = Machine::boot(&elf, &options).map_err(|error| Failure::new(error.to_string()))?;
    Ok(machine.save())
}

/// Runs the seeds and prints what came out: 1 when an oracle failed in any of them.
///
/// # Errors
/// Standard output cannot be written, or a guest that comes along does not boot.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let guest = if args.disk { disk_guest()? } else { guest()? };
    if let Some(seed) = args.seed {
        let mut tell = |line: String| say!("{line}");
        let outcome = sim::run(&guest, Plan::from_seed(seed), Some(&mut tell));
        print(&outcome, true, args)?;
        return Ok(u8::from(outcome.failure.is_some()));
    }
    let started = Instant::now();
    let mut total = [0u64; 13];
    let mut failed = 0;
    for seed in args.first..args.first.saturating_add(args.seeds) {
        let outcome = sim::run(&guest, Plan::from_seed(seed), None);
        failed += u64::from(outcome.failure.is_some());
        print(&outcome, outcome.failure.is_some(), args)?;
        let counts = [
            outcome.acknowledged,
            outcome.crashes,
            outcome.takeovers,
            outcome.pauses,
            outcome.partitions,
            outcome.frames_fenced,
            outcome.rejoins,
            outcome.total_losses,
            outcome.restarts,
            outcome.checkpoints,
            outcome.divergences,
            outcome.healed,
            outcome.rehearsals,
        ];
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let [
        acknowledged,
        crashes,
        takeovers,
        pauses,
        partitions,
        fenced,
        rejoins,
        losses,
        restarts,
        checkpoints,
        divergences,
        healed,
        rehearsals,
    ] = total;
    say!(
        "{} seeds in {:.1} s: {failed} failed; {acknowledged} answers checked, {crashes} crashes, {pauses} pauses, \
         {partitions} partitions, {takeovers} generations after the first, {fenced} frames fenced, {rejoins} rejoins, \
         {losses} losses of all nodes, {restarts} restarts from stores, {checkpoints} checkpoints, \
         {divergences} divergences, {healed} healed, {rehearsals} rehearsals",
        args.seeds,
        started.elapsed().as_secs_f64()
    );
    Ok(u8::from(failed > 0))
}

fn print(outcome: &Outcome, wanted: bool, args: &Args) -> Result<(), Failure> {
    if args.json {
        put!("{}", serde_json::to_string(outcome)?)?;
    } else if let Some(failure) = &outcome.failure {
        put!("seed {}: FAILED: {failure}", outcome.seed)?;
        let disk = if args.disk { " --disk" } else { "" };
        put!("  again, with every step printed: lockstep sim{disk} --seed {}", outcome.seed)?;
    } else if wanted {
        put!("seed {}: {} answers in {} virtual ms", outcome.seed, outcome.acknowledged, outcome.virtual_ms)?;
    }
    Ok(())
}
