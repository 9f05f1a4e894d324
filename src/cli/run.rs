//! `lockstep run`: a guest alone, without a backup.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::console::ConsoleArgs;
use super::disk::DiskArgs;
use super::guest::GuestArgs;
use super::profile::ProfileArgs;
use super::{Failure, arg, fork, node};
use crate::base::{Generation, Icount, NodeId};
use crate::ft::{Boot, Node, Settings};
use crate::host::driver::{Driver, Wiring};
use crate::host::os::draw_u64;
use crate::replay::recorder::DIGEST_EVERY_DEFAULT;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// Instead of a new guest: a new life of the one whose past is in this store, from its end, or from a position
    /// (STORE@50M), a time before the end by its clock (STORE@-10m) or a time of day (STORE@2026-11-30T13:45:00Z).
    /// Disks are copies that --disk names; its network is off without --switch.
    #[arg(
        long,
        value_name = "STORE[@POINT]",
        value_parser = fork::from,
        conflicts_with_all = [
            "guest", "kernel", "initrd", "append", "firmware", "memory", "mac", "no_net", "cpu", "no_reboot"
        ]
    )]
    from: Option<fork::Origin>,
    /// Record the run into this directory, for `lockstep replay` and `lockstep log`.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// End the recording before its directory would hold more than this, like 2G; the guest goes on.
    #[arg(long, value_name = "SIZE", requires = "record", value_parser = arg::bytes)]
    record_max: Option<u64>,
    #[command(flatten)]
    console: ConsoleArgs,
    /// Terminals (`lockstep attach`) and tools connect here.
    #[arg(long, value_name = "ADDR", value_parser = arg::address)]
    listen: Option<SocketAddr>,
    /// Record a digest of the state at each multiple of so many instructions, for replays to check;
    /// 0 for none.
    #[arg(long, value_name = "N", default_value_t = DIGEST_EVERY_DEFAULT, value_parser = arg::instructions)]
    digest_every: u64,
    /// Plug the guest into the switch at this address.
    #[arg(long, value_name = "ADDR", value_parser = arg::address)]
    switch: Option<SocketAddr>,
    /// The name under which the switch knows the guest.
    #[arg(long, default_value = "run", value_parser = arg::vm)]
    vm: String,
    #[command(flatten)]
    disks: DiskArgs,
    /// Stop after this many instructions, with status 124.
    #[arg(long, value_name = "N", value_parser = arg::instructions)]
    max_instructions: Option<u64>,
    #[command(flatten)]
    profile: ProfileArgs,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    arg::record(args.record.as_deref())?;
    let id = NodeId(draw_u64());
    let (mut machine, disks) = match &args.from {
        Some(from) => fork::fork(from, &args.disks, &args.vm, id)?,
        None => {
            let disks = args.disks.open(&args.vm, id, None, false)?;
            (args.guest.boot(&args.vm, disks.specs.clone(), disks.board)?, disks)
        }
    };
    let profiling = args.profile.begin(&mut machine)?;
    let listener = args.listen.map(arg::listen).transpose()?;
    let driver = Driver::new(Wiring {
        switch: args.switch,
        record: args.record.clone(),
        // With a guest that runs alone, `--record` is the purpose of the run.
        record_fatal: true,
        record_max: args.record_max,
        record_first: true,
        disks: disks.intend()?,
        console: args.console.open(true)?,
        listener,
        // A guest whose only output is the console is done when it has no reader; one with a network is not.
        ends_with_console: args.switch.is_none(),
        ..Wiring::default()
    })?;
    let limit = args.max_instructions.map_or(Icount::MAX, |count| machine.icount().plus(count));
    let boot = Boot { machine, generation: Generation::ZERO, life: draw_u64(), limit };
    let now_ns = driver.now_ns();
    // The digests of a run that is not recorded are never compared.
    let digest_instructions = if args.record.is_some() { args.digest_every } else { 0 };
    let settings = args.console.settings(Settings { digest_instructions, ..Settings::default() });
    let node = Node::primary(id, &args.vm, boot, settings, now_ns);
    let mut executed = None;
    let lived =
        node::live_then(driver, node, "run", args.record.as_deref(), |node| executed = node.executed());
    // A run that failed was one up to there; its own failure is the one to report.
    let profiled = profiling.map_or(Ok(()), |profiling| profiling.end("run", executed));
    let status = lived?;
    profiled.map(|()| status)
}
