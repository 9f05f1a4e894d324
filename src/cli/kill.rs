//! `lockstep kill`: SIGKILL to one node of this host, named by where it listens.

use std::net::SocketAddr;
use std::time::Duration;

use super::Failure;
use crate::host::listeners::{NodeProcess, OwnerError};
use crate::host::say::put;

/// The kernel takes a process away within milliseconds, unless a disk holds it.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Ends the process at once, as a crash of its host would: its peer gets no message, nothing is saved.
#[derive(clap::Args)]
pub struct Args {
    /// The node's --listen address, on this host: 127.0.0.1:7100.
    #[arg(value_name = "ADDR", value_parser = super::arg::address)]
    node: SocketAddr,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let node = NodeProcess::listening_at(args.node).map_err(explain)?;
    node.kill(GONE_WITHIN).map_err(explain)?;
    if args.json {
        put!("{}", serde_json::json!({ "killed": node.pid, "started_as": node.started_as }))?;
    } else {
        put!("killed process {}, started as `lockstep {}`", node.pid, node.started_as)?;
    }
    Ok(0)
}

fn explain(error: OwnerError) -> Failure {
    let fix = match &error {
        OwnerError::NotLoopback { .. } => {
            "only processes of this host can be killed: run it there, with the node's address on 127.0.0.1"
        }
        OwnerError::NoListener { .. } => "name the --listen address of a node that runs on this host",
        OwnerError::Hidden { .. } => "run it as that user, or with sudo, and in the same container",
        OwnerError::NotANode { .. } => {
            "name the --listen address of a `lockstep primary`, `backup` or `run`: nothing else is killed"
        }
        OwnerError::Refused { .. } => "run it as the user whose process it is, or with sudo",
        OwnerError::Stays { .. } => {
            "the kernel waits for something of its own, such as a disk: look at it with ps"
        }
        OwnerError::Proc(_) | OwnerError::Io(_) => return Failure::new(error),
    };
    Failure::new(error).fix(fix)
}
