//! stub
use super::Failure;
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    json: bool,
}
pub fn run(args: &Args) -> Result<u8, Failure> {
    Ok(u8::from(args.json))
}
