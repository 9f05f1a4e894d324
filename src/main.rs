//! The `lockstep` binary: parse, call, exit. All of it lives in [`lockstep::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lockstep::cli::main()
}
