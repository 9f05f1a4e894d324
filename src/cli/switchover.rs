//! `lockstep switchover`: primary and backup change places on request.

use std::time::{Duration, Instant};

use super::Failure;
use crate::ft::Message;
use crate::host::driver::plain;
use crate::host::link;
use crate::host::say::put;

#[derive(clap::Args)]
pub struct Args {
    /// The primary's --listen address.
    #[arg(value_name = "ADDR", value_parser = super::arg::address)]
    node: std::net::SocketAddr,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let started = Instant::now();
    match link::ask(args.node, &Message::SwitchOver, Duration::from_secs(30)) {
        Ok(Message::Answer { json }) if args.json => put!("{json}")?,
        Ok(Message::Answer { .. }) => {
            put!("switched over in {:.1} ms", started.elapsed().as_secs_f64() * 1e3)?;
        }
        Ok(Message::Refuse { why }) => return Err(Failure::new(format!("no switch-over: {}", plain(&why)))),
        Ok(_) => return Err(Failure::new(format!("{} answered something else", args.node))),
        Err(error) => {
            return Err(Failure::new(format!("{} did not switch over: {error}", args.node))
                .fix("name the --listen address of the primary; `lockstep status` shows which node it is"));
        }
    }
    Ok(0)
}
