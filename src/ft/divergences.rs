//! Divergences, of this node and of those that follow it: how many, the last one, and whether the node may join again.
//!
//! A replay that differs from the log once may be a flipped bit in the host's memory; the node gets the state anew. One
//! that differs again and again has a cause that a new state does not remove: the node ends, and says where to look.

use crate::base::NodeId;
use crate::replay::Divergence;

/// So many own divergences within [`WITHIN_NS`] end a node.
pub(super) const DIVERGENCES_MAX: usize = 3;
/// One hour.
const WITHIN_NS: u64 = 3600 * 1_000_000_000;
/// A node that diverges a second time within the hour waits so long before it joins.
const WAIT_NS: u64 = 5_000_000_000;

/// What a node knows of divergences.
#[derive(Debug, Default)]
pub(super) struct Divergences {
    /// Found by this process, or reported to it by those that followed it.
    pub count: u64,
    /// The last of them, for the status.
    pub last: Option<String>,
    /// When its own replay diverged last, the latest last.
    own_ns: Vec<u64>,
    /// It joins no node before.
    pub joins_at_ns: u64,
}

impl Divergences {
    /// A backup has reported one.
    pub fn reported(&mut self, by: NodeId, divergence: &Divergence) {
        self.count += 1;
        self.last = Some(format!("node {by}, at {} (entry {})", divergence.machine_at, divergence.seq));
    }

    /// This node's own replay has diverged: whether it may get the state anew.
    pub fn found(&mut self, divergence: &Divergence, now_ns: u64) -> bool {
        self.count += 1;
        self.last = Some(format!("this node, at {} (entry {})", divergence.machine_at, divergence.seq));
        self.own_ns.retain(|at_ns| now_ns.saturating_sub(*at_ns) < WITHIN_NS);
        self.own_ns.push(now_ns);
        let wait_ns = if self.own_ns.len() > 1 { WAIT_NS } else { 0 };
        self.joins_at_ns = now_ns.saturating_add(wait_ns);
        self.own_ns.len() < DIVERGENCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Icount, Seq};

    const S: u64 = 1_000_000_000;

    fn divergence() -> Divergence {
        let (expected, found) = ("state digest 1".into(), "2".into());
        Divergence {
            seq: Seq(7),
            entry_at: Icount(50),
            machine_at: Icount(50),
            expected,
            found,
            context: vec![],
        }
    }

    #[test]
    fn the_first_costs_no_time_the_next_some_and_the_third_within_an_hour_is_too_many() {
        let mut known = Divergences::default();
        assert!(known.found(&divergence(), S));
        assert_eq!(known.joins_at_ns, S);
        assert!(known.found(&divergence(), 100 * S));
        assert_eq!(known.joins_at_ns, 105 * S);
        assert!(!known.found(&divergence(), 3600 * S));
        let mut known = Divergences::default();
        known.found(&divergence(), S);
        known.found(&divergence(), 100 * S);
        assert!(known.found(&divergence(), 3601 * S), "the first is an hour ago");
        assert_eq!((known.joins_at_ns, known.own_ns.len()), (3606 * S, 2));
    }

    #[test]
    fn what_others_report_is_counted_and_costs_this_node_nothing() {
        let mut known = Divergences::default();
        (0..5).for_each(|_| known.reported(NodeId(9), &divergence()));
        assert_eq!(known.count, 5);
        assert_eq!(known.last.as_deref(), Some(&*format!("node {}, at 50 (entry 7)", NodeId(9))));
        assert!(known.found(&divergence(), S));
        assert_eq!(known.last.as_deref(), Some("this node, at 50 (entry 7)"));
    }
}
