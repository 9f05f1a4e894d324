//! An external program, if it is installed. It ends when this is dropped.

use std::io;
use std::process::{Child, Command, Stdio};

use crate::host::failure::Failure;
use crate::lab::cluster;

pub struct Program {
    pub child: Child,
}

impl Program {
    /// Starts `command` with a pipe for its output; nothing if there is no such program.
    pub fn start(mut command: Command) -> Result<Option<Self>, Failure> {
        match command.stdout(Stdio::piped()).spawn() {
            Ok(child) => Ok(Some(Self { child })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(format!("{}: {error}", command.get_program().display()))),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        cluster::end(&mut self.child);
    }
}
