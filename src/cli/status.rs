//! `lockstep status`: how a node is.

use std::time::Duration;

use super::Failure;
use crate::ft::{Message, NodeStatus};
use crate::host::driver::plain;
use crate::host::link;
use crate::host::say::put;

#[derive(clap::Args)]
pub struct Args {
    /// A node's --listen address.
    #[arg(value_name = "ADDR")]
    node: std::net::SocketAddr,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let status = fetch(args.node)?;
    if args.json {
        put!("{}", serde_json::to_string(&status)?)?;
        return Ok(0);
    }
    let audit = status.last_audit.as_ref().map_or("none yet".to_owned(), |audit| {
        format!("digests agreed {} times, last at {}: {}", status.audits_agreed, audit.icount, audit.digest)
    });
    let transfer = status.transfer.map_or(String::new(), |(done, of)| format!(", {done} of {of} chunks"));
    let disks = status.disk_transfer.map_or(String::new(), |(compared, copied, of)| {
        format!(", disks: {compared} of {of} chunks compared, {copied} copied")
    });
    put!("vm          {} (node {})", status.vm, status.node)?;
    put!(
        "role        {} ({}{transfer}{disks}), generation {}",
        status.role,
        status.phase,
        status.generation
    )?;
    put!("protected   {}", if status.protected { "yes" } else { "no: a fault now ends the guest's life" })?;
    put!("position    {} (log entry {})", status.icount, status.log_seq)?;
    put!("lag         {:.1} ms, {} instructions", status.lag_ms, status.lag_instructions)?;
    put!("log         {} bytes", status.log_bytes)?;
    put!("gate        {} outputs, {} bytes waiting", status.gated_outputs, status.gated_bytes)?;
    put!("audit       {audit}")?;
    put!("arbiter     {}", plain(status.arbiter_trouble.as_deref().unwrap_or("answers")))?;
    if let Some(ms) = status.transfer_pause_ms {
        put!("pause       {ms:.0} ms while the last backup's copy of the state was made")?;
    }
    Ok(0)
}

/// Asks the node at `address`.
pub fn fetch(address: std::net::SocketAddr) -> Result<NodeStatus, Failure> {
    let failed = |what: String| {
        Failure::new(format!("{address} gives no status: {what}"))
            .fix("name the --listen address of a `lockstep primary` or `lockstep backup` that runs")
    };
    match link::ask(address, &Message::Status, Duration::from_secs(5)) {
        Ok(Message::Answer { json }) => {
            serde_json::from_str(&json).map_err(|error| failed(error.to_string()))
        }
        Ok(_) => Err(failed("it answered something else".into())),
        Err(error) => Err(failed(error.to_string())),
    }
}
