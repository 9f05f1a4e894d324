//! `lockstep leave`: a node leaves the guest to the others, and ends.

use std::time::Duration;

use super::Failure;
use crate::ft::Message;
use crate::host::driver::plain;
use crate::host::link;
use crate::host::say::put;

#[derive(clap::Args)]
#[command(
    after_help = "Exit status: 0 it has left, 1 it would take the guest with it and stays, 2 no answer."
)]
pub struct Args {
    /// The node's --listen address.
    #[arg(value_name = "ADDR", value_parser = super::arg::address)]
    node: std::net::SocketAddr,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    match link::ask(args.node, &Message::Leave, Duration::from_secs(30)) {
        Ok(Message::Answer { json }) if args.json => put!("{json}")?,
        Ok(Message::Answer { .. }) => put!("left: the others carry the guest on")?,
        Ok(Message::Refuse { why }) => {
            put!("not left: {}", plain(&why))?;
            return Ok(1);
        }
        Ok(_) => return Err(Failure::new(format!("{} answered something else", args.node))),
        Err(error) => {
            return Err(Failure::new(format!("{} did not answer: {error}", args.node))
                .fix("name the --listen address of a node; `lockstep status` shows whether it is one"));
        }
    }
    Ok(0)
}
