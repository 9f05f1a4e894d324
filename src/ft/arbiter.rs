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
    /// The nodes that count as backups from the generation's first entry on: the old primary, when two nodes
    /// change places as planned; the backups that are left, when a primary has lost one of several. Nothing leaves
    /// the claimant without their acknowledgements, so a node that loses a claim and is named here may claim the
    /// generation after. In JSON a number where there is one, null for none, else a list.
    #[serde(default, with = "kept")]
    pub keeps: Vec<NodeId>,
    /// The holder of the generation before, as the claimant knows it: an arbiter that names another node is
    /// not the one that decided it.
    #[serde(default)]
    pub after: Option<NodeId>,
    /// Where the claimant runs, for people.
    pub wherefrom: String,
}

/// More backups than any primary has.
pub const KEEPS_MAX: usize = 16;

/// [`Bid::keeps`] as records have it.
mod kept {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{KEEPS_MAX, NodeId};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Kept {
        None,
        One(NodeId),
        More(Vec<NodeId>),
    }

    pub fn serialize<S: Serializer>(keeps: &[NodeId], to: S) -> Result<S::Ok, S::Error> {
        match keeps {
            [] => Kept::None,
            [one] => Kept::One(*one),
            more => Kept::More(more.to_vec()),
        }
        .serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<NodeId>, D::Error> {
        match Kept::deserialize(from)? {
            Kept::None => Ok(Vec::new()),
            Kept::One(one) => Ok(vec![one]),
            Kept::More(more) if more.len() <= KEEPS_MAX => Ok(more),
            Kept::More(more) => {
                Err(D::Error::custom(format_args!("{} nodes are kept; {KEEPS_MAX} are the most", more.len())))
            }
        }
    }
}

/// The outcome of a claim that the arbiter decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// The generation is ours (also when a repeated claim finds that it was ours already).
    Won,
    /// Another node has it, and is primary with `keeps` as the backups that count.
    Lost {
        /// The node that has it.
        to: NodeId,
        /// As in [`Bid::keeps`].
        keeps: Vec<NodeId>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_pair_reads_as_it_always_did_and_one_of_a_group_has_a_list() {
        let bid = |keeps: &[u64]| Bid {
            generation: Generation(2),
            node: NodeId(7),
            keeps: keeps.iter().copied().map(NodeId).collect(),
            after: None,
            wherefrom: "here".into(),
        };
        for (keeps, text) in [(&[][..], "null"), (&[9], "9"), (&[9, 8], "[9,8]")] {
            let json =
                format!(r#"{{"generation":2,"node":7,"keeps":{text},"after":null,"wherefrom":"here"}}"#);
            assert_eq!(serde_json::to_string(&bid(keeps)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Bid>(&json).unwrap(), bid(keeps));
        }
        let many = format!(r#"{{"generation":2,"node":7,"keeps":{:?},"wherefrom":""}}"#, [1; KEEPS_MAX + 1]);
        assert!(serde_json::from_str::<Bid>(&many).unwrap_err().to_string().contains("the most"));
    }
}
