//! `lockstep switchover`: primary and backup change places on request.

use std::time::Instant;

use super::Failure;
use super::tool::Asking;
use crate::ft::Message;
use crate::host::say::put;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let started = Instant::now();
    let fix = "name the --listen address of the primary; `lockstep status` shows which node it is";
    match args.asking.ask(&Message::SwitchOver, "switch over", fix)? {
        Ok(json) if args.asking.json => put!("{json}")?,
        Ok(_) => put!("switched over in {:.1} ms", started.elapsed().as_secs_f64() * 1e3)?,
        Err(why) => return Err(Failure::new(format!("no switch-over: {why}"))),
    }
    Ok(0)
}
