//! The real world: clock, threads, sockets, files.
//!
//! Reading order: `durable` (files that a crash leaves whole), [`arbiter`] (a directory or an etcd),
//! [`logdir`] (a recording on disk), [`store`] (a replica's log and checkpoints on disk), [`disk`] (the
//! guests' disks), [`link`] (connections between nodes; `places`: which connections a port admits; `mortal`:
//! they end when the other host is gone), [`switch`] (the network's process), [`port`] (a node's plug into
//! it), [`stop`] (ends poll loops), `terminal` and `keys` (the one we were started from), `console`, `attach`
//! (another node's console, over connections that die), `evidence` (of divergences), `rehearsal` (a fork of a machine, tried),
//! `driver` (events in, commands out, one node),
//! `recording` (what waits for its recording), `mailbox` (how its thread waits), [`os`] (time of day,
//! entropy, how a process ends), `listeners` (whose process listens at an address), `say` (messages to the
//! operator), `failure` (a command's failure and its fix), `remedy` (fixes of the file system's errors).

pub mod arbiter;
pub(crate) mod attach;
pub(crate) mod console;
pub mod disk;
pub(crate) mod driver;
pub(crate) mod durable;
pub(crate) mod evidence;
pub(crate) mod failure;
pub(crate) mod keys;
pub mod link;
pub(crate) mod listeners;
pub mod logdir;
pub(crate) mod mailbox;
pub(crate) mod mortal;
pub(crate) mod node_store;
pub mod os;
mod places;
pub mod port;
mod pulse;
mod recording;
mod rehearsal;
mod remedy;
pub(crate) mod say;
pub mod stop;
pub mod store;
pub mod switch;
pub(crate) mod terminal;
