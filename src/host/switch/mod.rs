//! The switch as a process: `net::switch` behind real sockets, in one thread around one `poll`.
//!
//! VMs' connections, datagram ports and signals are in that `poll` themselves; TCP clients, of which there
//! may be a thousand, are in an epoll descriptor within it (`clients`), and so are the guest's flows to
//! the world (`outlets`). Nothing is polled for: the loop sleeps until a descriptor is ready or the
//! earliest deadline of the switch has come.
//!
//! [`SwitchServer::bind`] takes every port it needs or names the one it could not have;
//! [`SwitchServer::run`] serves until it is stopped. [`query()`] asks a running switch how it is.
//!
//! Nothing here decides anything about frames: bytes are read and cut into messages, commands are carried
//! out. What is decided here is when a connection is not worth keeping: it stalls in the middle of a message,
//! does not identify itself, or does not read.

mod clients;
mod conn;
mod outlets;
mod query;
mod server;
mod uplink;
mod watch;

pub use query::{QueryError, query};
pub use server::{BindError, SwitchOptions, SwitchReport, SwitchServer};
pub(crate) use uplink::{TapName, UplinkSpec};
