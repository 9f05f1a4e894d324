//! The seeded other world: nodes, network, arbiter, switch and clients in one thread.
//!
//! The same [`Node`](crate::ft::Node) code as in the real world, the same [`Switch`](crate::net::Switch) and the
//! same `net::Endpoint` of each node at it, a real guest (`kv`) on real machines; only clock, sockets
//! and files are replaced by a queue of happenings in virtual time, all drawn from one seed. A crash may come before any
//! command: every append, send, acknowledgement and claim. With a host, what it had sent last is lost. Connections to
//! the switch break, and its process is killed and starts again. A node that loses its place looks for another by
//! itself, or is replaced by a new process.
//!
//! Reading order: [`plan`] (what goes wrong, by seed), [`wire`] (the client's packets), [`client`], [`disk`],
//! [`city`] (slots, links, switch, arbiter, time), [`oracle`] (what must hold), [`run`].

pub mod city;
pub mod client;
pub mod disk;
pub mod oracle;
pub mod plan;
pub mod wire;

#[cfg(test)]
mod sabotage_tests;

use serde::Serialize;

pub use plan::Plan;

/// How one seed ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub seed: u64,
    /// None: everything held. Otherwise what did not, first thing first.
    pub failure: Option<String>,
    pub virtual_ms: u64,
    pub acknowledged: u64,
    pub takeovers: u64,
    pub crashes: u64,
    pub pauses: u64,
    pub partitions: u64,
    pub retransmissions: u64,
    pub frames_fenced: u64,
    /// How often a disk was held against what was acknowledged, and against one that never failed.
    pub disks_checked: u64,
    pub disks_compared: u64,
    /// How often a node was run: an idle one must sleep.
    pub turns: u64,
    /// How often a process that had lost its place looked for another by itself.
    pub rejoins: u64,
}

/// Runs one seed. `guest` is the `kv` guest's machine, freshly booted; or `diskkv`'s, which has a disk.
pub fn run(guest: &crate::machine::Saved, plan: Plan, trace: Option<&mut dyn FnMut(String)>) -> Outcome {
    city::City::new(guest, plan, trace).live()
}
