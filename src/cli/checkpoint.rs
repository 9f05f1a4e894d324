//! `lockstep checkpoint`: the guest's state is saved in the stores now.

use super::Failure;
use super::tool::Asking;
use crate::ft::Message;
use crate::host::say::put;

#[derive(clap::Args)]
#[command(after_help = "Exit status: 0 the primary's store has it, 1 it has not, 2 no answer.")]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let fix = "name the --listen address of the primary; `lockstep status` shows whether it is one";
    match args.asking.ask(&Message::Checkpoint, "answer", fix)? {
        Ok(json) if args.asking.json => put!("{json}")?,
        Ok(json) => {
            let answer: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
            put!("checkpoint at {}, {} bytes", answer["checkpoint"], answer["bytes"])?;
        }
        Err(why) => {
            put!("{why}")?;
            return Ok(1);
        }
    }
    Ok(0)
}
