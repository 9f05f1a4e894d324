//! What `status`, `switchover`, `rehearse` and others share: they ask one node one thing.

use std::net::SocketAddr;
use std::time::Duration;

use super::Failure;
use crate::ft::Message;
use crate::host::driver::plain;
use crate::host::link;

/// What such a command is given.
#[derive(clap::Args)]
pub struct Asking {
    /// The node's --listen address.
    #[arg(value_name = "ADDR", value_parser = super::arg::address)]
    pub node: SocketAddr,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Asking {
    /// Has the node do what `message` wants: its answer, one JSON object as text, or why it will not. A node that gives
    /// neither is a failure, told as "ADDR did not `what`", with `fix`.
    pub fn ask(&self, message: &Message, what: &str, fix: &str) -> Result<Result<String, String>, Failure> {
        self.ask_for(Duration::ZERO, message, what, fix)
    }

    /// The same where the node works for `takes` before it can answer.
    pub fn ask_for(
        &self,
        takes: Duration,
        message: &Message,
        what: &str,
        fix: &str,
    ) -> Result<Result<String, String>, Failure> {
        match link::ask(self.node, message, takes + Duration::from_secs(30)) {
            Ok(Message::Answer { json }) => Ok(Ok(json)),
            Ok(Message::Refuse { why }) => Ok(Err(plain(&why))),
            Ok(_) => Err(Failure::new(format!("{} answered something else", self.node))),
            Err(error) => Err(Failure::new(format!("{} did not {what}: {error}", self.node)).fix(fix)),
        }
    }
}
