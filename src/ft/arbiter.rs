//! The arbiter decides which node may go on: an atomic test-and-set on (vm, generation).
//!
//! A generation is claimed at most once, ever. A node that loses a claim leaves its role; a node that
//! cannot reach the arbiter waits. Implementations: a directory and etcd ([`crate::host::arbiter`]), and the
//! simulator's.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::{Generation, NodeId};

/// One node's claim to a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// The generation that is claimed.
    pub generation: Generation,
    /// The claimant.
    pub node: NodeId,
    /// The node that counts as the backup from the generation's first entry on: the old primary, when the
    /// two change places as planned. Nothing leaves the new primary without its acknowledgement, so a node
    /// that loses a claim and is named here may claim the generation after.
    pub keeps: Option<NodeId>,
    /// The holder of the generation before, as the claimant knows it: an arbiter that names another node is
    /// not the one that decided it.
    #[serde(default)]
    pub after: Option<NodeId>,
    /// Where the claimant runs, for people.
    pub wherefrom: String,
}

/// The outcome of a claim that the arbiter decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// The generation is ours (also when a repeated claim finds that it was ours already).
    Won,
    /// Another node has it, and is primary with `keeps` as the backup that counts, if there is one.
    Lost {
        /// The node that has it.
        to: NodeId,
        /// As in [`Bid::keeps`].
        keeps: Option<NodeId>,
    },
}

/// The holder of a vm's newest generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The claim that won it.
    pub bid: Bid,
    /// The guest of this generation has ended in an orderly way: a new life may start.
    pub ended: bool,
}

/// The arbiter gave no decision: wait, and ask again. Never assume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArbiterError {
    /// No connection, no answer in time, or no majority of its servers: the reason, for the operator.
    #[error("the arbiter cannot be reached: {0}")]
    Unreachable(String),
    /// Something answers that cannot be the arbiter, or will not be it for us.
    #[error("the arbiter cannot be used: {0}")]
    Unusable(String),
    /// A record does not decode.
    #[error("the arbiter's record of {vm:?} is damaged: {what}")]
    Damaged {
        /// The vm's name.
        vm: String,
        /// Which record, and what is wrong with it.
        what: String,
    },
    /// The arbiter does not have what it once decided: it is another arbiter, or an older state of the same.
    #[error("the arbiter does not know what was decided for {vm:?}: {what}")]
    Forgetful {
        /// The vm's name.
        vm: String,
        /// What is missing or different.
        what: String,
    },
}

/// An atomic test-and-set, with memory.
pub trait Arbiter: Send {
    /// Claims a generation of `vm`. A claim that the same node repeats is won again.
    fn claim(&mut self, vm: &str, bid: &Bid) -> Result<Claim, ArbiterError>;

    /// The newest claimed generation.
    fn holder(&mut self, vm: &str) -> Result<Option<Holder>, ArbiterError>;

    /// The holder of `generation`, which has been claimed. Changes nothing.
    fn look(&mut self, vm: &str, generation: Generation) -> Result<NodeId, ArbiterError>;

    /// Notes that the guest of `generation` ended in an orderly way.
    fn end(&mut self, vm: &str, generation: Generation, node: NodeId) -> Result<(), ArbiterError>;

    /// The same arbiter for another thread: neither waits for the other.
    fn another(&self) -> Box<dyn Arbiter>;
}
