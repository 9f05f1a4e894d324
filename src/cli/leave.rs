//! `lockstep leave`: a node leaves the guest to the others, and ends.

use super::Failure;
use super::tool::Asking;
use crate::ft::Message;
use crate::host::say::put;

#[derive(clap::Args)]
#[command(
    after_help = "Exit status: 0 it has left, 1 it would take the guest with it and stays, 2 no answer."
)]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let fix = "name the --listen address of a node; `lockstep status` shows whether it is one";
    match args.asking.ask(&Message::Leave, "answer", fix)? {
        Ok(json) if args.asking.json => put!("{json}")?,
        Ok(_) => put!("left: the others carry the guest on")?,
        Err(why) => {
            put!("not left: {why}")?;
            return Ok(1);
        }
    }
    Ok(0)
}
