//! `lockstep backup`: joins a primary, follows it, and takes over when it is gone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Failure, arg, node};
use crate::base::NodeId;
use crate::ft::{LinkId, Node};
use crate::host::driver::{Driver, Wiring, draw_u64};

#[derive(clap::Args)]
pub struct Args {
    /// The name of the virtual machine to join.
    #[arg(long, value_parser = arg::vm)]
    vm: String,
    /// The primary's --listen address.
    #[arg(long, value_name = "ADDR")]
    primary: String,
    /// After a takeover, backups and tools connect here; tools may before.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The switch that the guest is plugged into.
    #[arg(long, value_name = "ADDR")]
    switch: Option<SocketAddr>,
    /// The directory that decides who goes on; the same as the primary's.
    #[arg(long, value_name = "DIR")]
    arbiter: PathBuf,
    /// Record into this directory.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How long to wait for a primary that does not answer yet, in seconds.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
    #[command(flatten)]
    timing: super::node::Timing,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    arg::record(args.record.as_deref())?;
    let listener = arg::listen(args.listen)?;
    let arbiter = arg::arbiter(&args.arbiter)?;
    let id = NodeId(draw_u64());
    let mut driver = Driver::new(Wiring {
        listener: Some(listener),
        switch: args.switch,
        arbiter: Some(Box::new(arbiter)),
        wherefrom: format!("backup at {}, process {}", args.listen, std::process::id()),
        record: args.record.clone(),
        console_input: false,
        ends_with_console: false,
        narrator: Some(format!("backup {}", args.vm)),
    });
    let link = connect(&mut driver, args)?;
    let node = Node::backup(id, &args.vm, link, args.timing.settings(), driver.now_ns());
    node::live(driver, node, "backup", args.record.as_deref())
}

fn connect(driver: &mut Driver, args: &Args) -> Result<LinkId, Failure> {
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        match driver.connect(&args.primary) {
            Ok(link) => return Ok(link),
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => {
                return Err(Failure::new(format!(
                    "the primary at {} does not answer: {error}",
                    args.primary
                ))
                .fix("start it with `lockstep primary`, and give its --listen address as --primary"));
            }
        }
    }
}
