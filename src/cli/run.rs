//! `lockstep run`: a guest alone, without a backup.

use std::path::PathBuf;

use super::guest::GuestArgs;
use super::{Failure, arg, node};
use crate::base::{Generation, Icount, NodeId};
use crate::ft::{Boot, Node, Settings};
use crate::host::driver::{Driver, Wiring, draw_u64};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// Record the run into this directory, for `lockstep replay` and `lockstep log`.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// `-` makes standard input the guest's console; its output goes to standard output in any case.
    #[arg(long, value_name = "-", value_parser = ["-"])]
    console: Option<String>,
    /// Plug the guest into the switch at this address.
    #[arg(long, value_name = "ADDR")]
    switch: Option<std::net::SocketAddr>,
    /// The name under which the switch knows the guest.
    #[arg(long, default_value = "run", value_parser = arg::vm)]
    vm: String,
    /// Stop after this many instructions, with status 124.
    #[arg(long, value_name = "N")]
    max_instructions: Option<u64>,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    arg::record(args.record.as_deref())?;
    let machine = args.guest.boot()?;
    let driver = Driver::new(Wiring {
        switch: args.switch,
        record: args.record.clone(),
        console_input: args.console.is_some(),
        // A guest whose one voice is the console is done when nobody listens; one with a network is not.
        ends_with_console: args.switch.is_none(),
        ..Wiring::default()
    });
    let limit = args.max_instructions.map_or(Icount::MAX, Icount);
    let boot = Boot { machine, generation: Generation::ZERO, life: draw_u64(), limit };
    let (id, now_ns) = (NodeId(draw_u64()), driver.now_ns());
    let node = Node::primary(id, &args.vm, boot, Settings::default(), now_ns);
    node::live(driver, node, "run", args.record.as_deref())
}
