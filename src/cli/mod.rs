//! The command line: one file per subcommand. This file parses, calls, and turns failures into
//! words and exit codes: 0 yes, 1 differs or not found, 2 failed (a guest's own exit status
//! becomes ours).

pub mod disasm;
pub mod failure;

pub use failure::Failure;

use std::process::ExitCode;

/// Parses the arguments, runs the subcommand, and answers with the process's exit code.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
