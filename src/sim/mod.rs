//! The simulator: nodes, network, arbiter, switch and clients in one thread.
//!
//! The same [`Node`](crate::ft::Node) code as in the real world, the same [`Switch`](crate::net::Switch) and the
//! same `net::Endpoint` of each node at it, a real guest (`kv`) on real machines; only clock, sockets
//! and files are replaced by a queue of happenings in virtual time, all drawn from one seed. A crash may come before any
//! command: every append, send, acknowledgement and claim. With a host, what it had sent last is lost. Connections to
//! the switch break, and its process is killed and starts again. A node that loses its place looks for another by
//! itself, or is replaced by a new process.
//!
//! Reading order: `plan` (what goes wrong, by seed), `wire` (the client's packets), `client`, `disk`, `store`,
//! `cluster` (slots, links, switch, arbiter, time), `oracle` (what must hold), [`run`].

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod oracle;
pub(crate) mod plan;
pub(crate) mod store;
pub(crate) mod wire;

#[cfg(test)]
mod sabotage_tests;

use serde::Serialize;

pub use plan::Plan;

/// How one seed ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// None: everything held. Otherwise what did not, first thing first.
    pub failure: Option<String>,
    /// Virtual time at the run's end.
    pub virtual_ms: u64,
    /// Answers that the clients got and checked.
    pub acknowledged: u64,
    /// Generations after the first.
    pub takeovers: u64,
    /// Processes that were killed, or ended because they lost their place.
    pub crashes: u64,
    /// Processes paused for a while.
    pub pauses: u64,
    /// How often nodes could not reach each other, in one direction or both.
    pub partitions: u64,
    /// Requests that clients sent again.
    pub retransmissions: u64,
    /// Frames that the switch's fence dropped: of an older generation, or already seen.
    pub frames_fenced: u64,
    /// How often a disk was compared with what was acknowledged.
    pub disks_checked: u64,
    /// How often it was compared with one that never failed.
    pub disks_compared: u64,
    /// How often a node was run: an idle one must sleep.
    pub turns: u64,
    /// How often all processes were lost at once, and began again from their stores.
    pub total_losses: u64,
    /// Bits that flipped in the memory of a backup.
    pub flips: u64,
    /// Replays that differed from the log.
    pub divergences: u64,
    /// How often a node that had diverged counted again.
    pub healed: u64,
    /// Checkpoints that stores had whole.
    pub checkpoints: u64,
    /// Forks of a backup that went on.
    pub rehearsals: u64,
    /// How often a process went on from its store.
    pub restarts: u64,
    /// How often a process that had lost its place looked for another by itself.
    pub rejoins: u64,
}

/// Runs one seed. `guest` is the `kv` guest's machine, freshly booted; or `diskkv`'s, which has a disk.
pub fn run(guest: &crate::machine::Saved, plan: Plan, trace: Option<&mut dyn FnMut(String)>) -> Outcome {
    cluster::Cluster::new(guest, plan, trace).live()
}
