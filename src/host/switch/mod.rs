//! The switch as a process: `net::switch` behind real sockets, in one thread around one `poll`.
//!
//! [`SwitchServer::bind`] takes every port it needs or says which one it could not have;
//! [`SwitchServer::run`] serves until it is stopped. [`query()`] asks a running switch how it is.
//!
//! Nothing here decides anything about frames: bytes are read and cut into messages, commands are
//! carried out. What is decided here is when a connection is not worth keeping: it stalls in the
//! middle of a message, does not say who it is, or does not read.

mod conn;
mod query;
mod server;
mod uplink;
mod watch;

pub use query::{QueryError, query};
pub use server::{BindError, SwitchReport, SwitchServer};
pub use uplink::{TapName, UplinkError, UplinkReport, UplinkSpec};
