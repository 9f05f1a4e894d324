//! How far the log is committed: safe on every replica that counts, the primary included where entries count on disk.
//!
//! Everything that may not be undone asks here: outputs, confirmations to the switch and to terminals, and the ends of
//! flushes.
//!
//! Invariant: a replica that counts stays in the rule until the arbiter has granted a generation without it,
//! whether or not it is connected: until then it may become the primary with the log that it acknowledged, and no
//! more. So what is committed never goes back.

use std::collections::BTreeMap;

use crate::base::{NodeId, Sabotage, Seq};
use crate::devices::disk::DISKS_MAX;

/// What is known of one replica that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// It holds the log up to here.
    acked: Seq,
    /// By disk: the last request of the guest up to which its disk is flushed.
    flushed: [u64; DISKS_MAX],
}

/// The replicas that count besides the primary itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    members: BTreeMap<NodeId, Member>,
    /// What is durable on the primary itself, where that is asked for.
    own: Option<Seq>,
}

impl Commit {
    /// Entries count on disk, and the primary's own has them up to `durable`.
    pub fn own_is(&mut self, durable: Seq) {
        self.own = Some(durable.max(self.own.unwrap_or_default()));
    }

    /// Whether anybody is waited for.
    pub fn waits(&self) -> bool {
        self.is_guarded() || self.own.is_some()
    }

    /// From here on `node` counts; it holds the log up to `acked`.
    pub fn add(&mut self, node: NodeId, acked: Seq, flushed: [u64; DISKS_MAX]) {
        self.members.insert(node, Member { acked, flushed });
    }

    /// `node` no longer counts, by the arbiter's decision.
    pub fn remove(&mut self, node: NodeId) {
        self.members.remove(&node);
    }

    /// `node` holds the log up to `seq`. An acknowledgement never takes an earlier one back.
    pub fn acknowledge(&mut self, node: NodeId, seq: Seq) {
        if let Some(member) = self.members.get_mut(&node) {
            member.acked = seq.max(member.acked);
        }
    }

    /// The disk of `node` is flushed up to the guest's request `tag`.
    pub fn flush(&mut self, node: NodeId, disk: u8, tag: u64) {
        let member = self.members.get_mut(&node);
        if let Some(flushed) = member.and_then(|member| member.flushed.get_mut(usize::from(disk))) {
            *flushed = tag.max(*flushed);
        }
    }

    /// Whether any replica counts.
    pub fn is_guarded(&self) -> bool {
        !self.members.is_empty()
    }

    /// The replicas that count, connected or not.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        self.members.keys().copied()
    }

    /// The last entry that every replica that counts holds; [`Seq::MAX`] while nobody is waited for.
    pub fn upto(&self) -> Seq {
        let acked = self.members.values().map(|member| member.acked).chain(self.own);
        let upto = if Sabotage::AnyAck.is_on() { acked.max() } else { acked.min() };
        upto.unwrap_or(Seq::MAX)
    }

    /// What `node` has acknowledged, if it counts.
    pub fn acked(&self, node: NodeId) -> Option<Seq> {
        self.members.get(&node).map(|member| member.acked)
    }

    /// The last request up to which `disk` is flushed on every replica that counts; [`u64::MAX`] while none counts.
    pub fn flushed_upto(&self, disk: u8) -> u64 {
        let of = |member: &Member| member.flushed.get(usize::from(disk)).copied().unwrap_or(0);
        self.members.values().map(of).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; DISKS_MAX] = [0; DISKS_MAX];

    #[test]
    fn committed_is_what_the_slowest_member_holds_and_everything_without_one() {
        let mut commit = Commit::default();
        assert_eq!((commit.upto(), commit.flushed_upto(0), commit.is_guarded()), (Seq::MAX, u64::MAX, false));
        commit.add(NodeId(1), Seq(5), NONE);
        commit.add(NodeId(2), Seq(3), NONE);
        assert_eq!((commit.upto(), commit.is_guarded()), (Seq(3), true));
        for (node, seq, upto) in [(1, 9, 3), (2, 7, 7), (2, 4, 7), (3, 1, 7), (2, 10, 9)] {
            commit.acknowledge(NodeId(node), Seq(seq));
            assert_eq!(commit.upto(), Seq(upto), "node {node} acknowledged {seq}");
        }
        assert_eq!(commit.members().collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
        commit.remove(NodeId(1));
        assert_eq!(commit.upto(), Seq(10));
        commit.remove(NodeId(2));
        assert_eq!(commit.upto(), Seq::MAX);
    }

    #[test]
    fn on_disk_the_primary_itself_is_one_of_those_who_hold_the_log() {
        let mut commit = Commit::default();
        assert!(!commit.waits());
        commit.own_is(Seq(4));
        assert_eq!((commit.upto(), commit.waits(), commit.is_guarded()), (Seq(4), true, false));
        commit.add(NodeId(1), Seq(9), NONE);
        assert_eq!(commit.upto(), Seq(4));
        commit.own_is(Seq(12));
        commit.own_is(Seq(11));
        assert_eq!(commit.upto(), Seq(9));
        commit.remove(NodeId(1));
        assert_eq!(commit.upto(), Seq(12), "what is durable stays so");
    }

    #[test]
    fn a_flush_counts_once_every_member_has_it() {
        let mut commit = Commit::default();
        let mut flushed = NONE;
        flushed[1] = 4;
        commit.add(NodeId(1), Seq(1), flushed);
        commit.add(NodeId(2), Seq(1), NONE);
        for (node, disk, tag, upto) in [(2, 1, 3, 3), (2, 1, 9, 4), (1, 1, 2, 4), (1, 1, 9, 9), (7, 1, 1, 9)]
        {
            commit.flush(NodeId(node), disk, tag);
            assert_eq!(commit.flushed_upto(disk), upto, "node {node}, {tag}");
        }
        commit.flush(NodeId(1), DISKS_MAX as u8, 9);
        assert_eq!((commit.flushed_upto(0), commit.flushed_upto(DISKS_MAX as u8)), (0, 0));
    }
}
