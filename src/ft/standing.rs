//! Who may go on after all nodes of a group were lost.
//!
//! Everything acknowledged is held by each replica that counted in the newest generation. The arbiter knows who won that
//! generation, and whom it kept; a replica knows whether it counted there. Anybody else may lack what was acknowledged,
//! and waits.
//!
//! Why that is enough: a replica that counts leaves the commit rule only by a later generation; so while the arbiter
//! knows of none, nothing was committed that it does not hold.

use serde::{Deserialize, Serialize};

use super::arbiter::Bid;
use crate::base::{Generation, NodeId, Sabotage};

/// Identities that are remembered; the oldest go first.
const NODES_MAX: usize = 32;

/// What a replica was to its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The identities under which it was a member, the latest last.
    pub nodes: Vec<NodeId>,
    /// The generation in which it counts, or that it leads.
    pub counts: Option<Generation>,
}

impl Standing {
    /// It counts as `node` in `generation`.
    pub fn counts_as(&mut self, node: NodeId, generation: Generation) {
        self.is_known_as(node);
        self.counts = Some(generation);
    }

    /// It is about to be a member as `node`.
    pub fn is_known_as(&mut self, node: NodeId) {
        if !self.nodes.contains(&node) {
            if self.nodes.len() >= NODES_MAX {
                self.nodes.remove(0);
            }
            self.nodes.push(node);
        }
    }

    /// Whether it holds everything acknowledged up to the end of the generation of `newest`, the arbiter's newest
    /// record.
    pub fn may_go_on_after(&self, newest: &Bid) -> bool {
        let won = self.nodes.contains(&newest.node);
        let kept = newest.keeps.iter().any(|node| self.nodes.contains(node));
        won || kept || self.counts == Some(newest.generation) || Sabotage::RestartUnchecked.is_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(generation: u64, node: u64, keeps: &[u64]) -> Bid {
        Bid {
            generation: Generation(generation),
            node: NodeId(node),
            keeps: keeps.iter().copied().map(NodeId).collect(),
            after: None,
            wherefrom: String::new(),
        }
    }

    #[test]
    fn who_won_was_kept_or_counted_in_the_newest_generation_goes_on() {
        let mut standing = Standing::default();
        standing.counts_as(NodeId(1), Generation(3));
        standing.is_known_as(NodeId(2));
        standing.is_known_as(NodeId(1));
        assert_eq!(standing.nodes, [NodeId(1), NodeId(2)]);
        for (bid, may) in [
            (bid(3, 9, &[]), true),
            (bid(4, 9, &[]), false),
            (bid(2, 9, &[]), false),
            (bid(4, 1, &[]), true),
            (bid(4, 2, &[]), true),
            (bid(4, 9, &[8, 2]), true),
            (bid(4, 9, &[8]), false),
        ] {
            assert_eq!(standing.may_go_on_after(&bid), may, "{bid:?}");
        }
        assert!(!Standing::default().may_go_on_after(&bid(1, 1, &[])));
    }

    #[test]
    fn few_identities_are_remembered() {
        let mut standing = Standing::default();
        (0..100).for_each(|node| standing.is_known_as(NodeId(node)));
        assert_eq!((standing.nodes.len(), standing.nodes[0]), (NODES_MAX, NodeId(68)));
    }
}
