//! Who counts: what followers acknowledge, losing one, and the claim that it takes to go on without it.
//!
//! Invariant: a follower is in the commit rule *before* the entry `Joined` is written, and leaves it only when a claim
//! without it is won; so whatever a backup believes about itself, its primary believed first.

use super::Primary;
use super::follower::{Follower, Joining, Stage};
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::ft::arbiter::{ArbiterError, Claim};
use crate::ft::claim::Claiming;
use crate::ft::command::{Command, Halt};
use crate::ft::common::Common;
use crate::ft::handover::Next;
use crate::ft::link::LinkId;
use crate::ft::message::Audit;
use crate::ft::own_store::Ack;
use crate::log::{self, Start};

impl Primary {
    /// The connections to other nodes that follow, or will.
    pub fn peer_links(&self) -> impl Iterator<Item = LinkId> {
        self.followers.keys().copied()
    }

    pub fn is_peer(&self, link: LinkId) -> bool {
        self.followers.contains_key(&link)
    }

    pub(super) fn counting(&self) -> impl Iterator<Item = &Follower> {
        self.followers.values().filter(|follower| follower.counts())
    }

    /// Gives up the connection to a follower. Only one that counted costs a claim.
    pub(super) fn lose(&mut self, common: &mut Common, link: LinkId, why: &str) {
        let Some(follower) = self.followers.remove(&link) else { return };
        let node = follower.node;
        match follower.stage {
            Stage::Joining(joining) => {
                common.tell(format!("the joining backup {node} is gone: {why}"));
                if let Some(copy) = &joining.copy {
                    copy.end(common);
                }
                if joining.needs_state() {
                    self.recorder.machine_mut().forget_writes();
                }
                common.commands.push(Command::Close { link });
            }
            Stage::Counting { .. } => {
                common.tell(format!("the backup {node} is lost: {why}"));
                common.commands.push(Command::Close { link });
                if let Some(switching) = self.switching.take_if(|switching| switching.to == link)
                    && let Some(asked_by) = switching.asked_by
                {
                    common.refuse(asked_by, "the backup was lost during the switch-over");
                }
                if Sabotage::LostForgotten.is_on() {
                    self.commit.remove(node);
                }
                self.claim_without_the_lost(common);
            }
        }
    }

    /// Claims the next generation with the backups that are left, unless a claim is under way: what that leaves
    /// open is looked at when it is won.
    fn claim_without_the_lost(&mut self, common: &mut Common) {
        if self.claiming.is_none() {
            self.claim(common, self.generation.next(), common.id);
        }
    }

    /// Claims `generation`, which comes after one of node `after`'s.
    pub(super) fn claim(&mut self, common: &mut Common, generation: Generation, after: NodeId) {
        // Another node's generation came between: nobody follows this node there.
        let keeps = match after == common.id {
            true => self.counting().map(|follower| follower.node).collect(),
            false => Vec::new(),
        };
        self.claiming = Some(Claiming::begin(common, generation, keeps, after));
    }

    pub(super) fn claimed(
        &mut self,
        common: &mut Common,
        generation: Generation,
        outcome: Result<Claim, ArbiterError>,
        now_ns: u64,
    ) -> Next {
        let attempt = (generation, outcome);
        let decided = self
            .claiming
            .as_mut()
            .and_then(|claiming| claiming.decided(common, attempt, "waiting, outputs held", now_ns));
        match decided {
            Some(Claim::Won) => {
                let keeps = self.claiming.take().map_or(Vec::new(), |claiming| claiming.keeps);
                self.go_on_with(common, generation, &keeps, now_ns);
                Next::Stay
            }
            // The backup took over as planned, and this node counts: its outputs need our acknowledgement.
            Some(Claim::Lost { to, keeps }) if keeps.contains(&common.id) => {
                self.claim(common, generation.next(), to);
                Next::Stay
            }
            Some(Claim::Lost { to, .. }) => Next::Halt(Halt::LostClaim { generation, to }),
            None => Next::Stay,
        }
    }

    /// The claim of `generation` is won, in which of the backups only `keeps` count.
    fn go_on_with(&mut self, common: &mut Common, generation: Generation, keeps: &[NodeId], now_ns: u64) {
        self.generation = generation;
        common.standing.counts_as(common.id, generation);
        // A planned switch-over is of the generation before.
        if let Some(asked_by) = self.switching.take().and_then(|switching| switching.asked_by) {
            common.refuse(asked_by, "a backup was lost during the switch-over");
        }
        common.tell(match keeps.len() {
            0 => format!("going on alone as generation {generation}"),
            1 => format!("going on as generation {generation}, with one backup"),
            count => format!("going on as generation {generation}, with {count} backups"),
        });
        let node = common.id;
        self.take_outputs(common);
        let seq = self.recorder.record(log::Event::Generation { generation, node, why: Start::Alone });
        common.tail.begin(seq, generation);
        let gone: Vec<NodeId> = self.commit.members().filter(|node| !keeps.contains(node)).collect();
        for node in gone {
            // A primary without any backup needs no entry for each: its generation says that it is alone.
            if !keeps.is_empty() {
                self.recorder.record(log::Event::Left { node });
            }
            self.commit.remove(node);
            // One that is connected, and was not kept, learns of it as of a loss.
            let link = self.counting().find(|follower| follower.node == node).map(|f| f.link);
            if let Some(link) = link {
                self.followers.remove(&link);
                common.put_off(link, "this generation began without this node");
            }
        }
        self.flush(common, now_ns, false);
        self.activate(common);
        self.release(common);
        let all_are_here = self.commit.members().all(|node| self.counting().any(|f| f.node == node));
        if !all_are_here {
            self.claim_without_the_lost(common);
        }
    }

    pub(super) fn acked(
        &mut self,
        common: &mut Common,
        link: LinkId,
        (received, durable, executed): (Seq, Seq, Icount),
        audited: Option<Audit>,
        now_ns: u64,
    ) {
        let is_written = received < self.recorder.seq_next();
        let Some(follower) = self.followers.get_mut(&link) else { return };
        if !is_written {
            self.lose(common, link, "it acknowledged what was never written");
            return;
        }
        if !follower.joining_now().is_none_or(Joining::is_offered) {
            self.lose(common, link, "it acknowledged before it was offered anything");
            return;
        }
        if durable > received {
            self.lose(common, link, "it acknowledged on its disk what it does not have");
            return;
        }
        let counted = match common.ack {
            Ack::Memory => received,
            Ack::Disk => durable,
        };
        follower.acked = Some(counted.max(follower.acked.unwrap_or_default()));
        follower.durable = durable.max(follower.durable);
        follower.executed = executed.max(follower.executed);
        follower.lag.executed(executed);
        match &mut follower.stage {
            Stage::Joining(joining) => _ = joining.restored_ns.get_or_insert(now_ns),
            Stage::Counting { .. } => self.commit.acknowledge(follower.node, counted),
        }
        if let Some(audit) = audited.filter(|audit| follower.agrees(*audit)) {
            self.last_audit = Some(audit);
            self.audits_agreed += 1;
        }
        self.release(common);
    }

    /// A follower's disk is flushed up to the guest's request `tag`.
    pub(super) fn peer_flushed(&mut self, link: LinkId, disk: u8, tag: u64) {
        let Some(follower) = self.followers.get_mut(&link) else { return };
        if let Some(flushed) = follower.flushed.get_mut(usize::from(disk)) {
            *flushed = tag.max(*flushed);
        }
        if follower.counts() {
            self.commit.flush(follower.node, disk, tag);
        }
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
pub(crate) mod tests;
