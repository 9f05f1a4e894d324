//! What holds of a primary after every step, whatever came.

use super::Primary;
use super::follower::Follower;
use crate::base::NodeId;
use crate::ft::common::Common;

impl Primary {
    /// The first of its invariants that does not hold, in words.
    pub fn check(&self, common: &Common) -> Result<(), String> {
        let holds = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("a primary: {what}")) };
        let followers = || self.followers.values();
        for follower in self.counting() {
            let acked = self.commit.acked(follower.node);
            holds(acked.is_some(), "a backup that counts is in no commit rule")?;
            holds(
                acked == follower.acked,
                "the commit rule has another acknowledgement than the backup's last",
            )?;
        }
        let is_here = |node| self.counting().any(|follower| follower.node == node);
        let all_here = self.commit.members().all(is_here);
        holds(all_here || self.claiming.is_some(), "a backup that counts is lost, and nothing is claimed")?;
        holds(self.gate.is_empty() || self.commit.waits(), "an output waits for nobody")?;
        if let Some(claiming) = &self.claiming {
            let counts = |node: &NodeId| self.commit.acked(*node).is_some();
            holds(claiming.keeps.iter().all(counts), "a claim keeps a node that does not count")?;
            holds(claiming.generation > self.generation, "a claim is not for a later generation")?;
        }
        if let Some(switching) = self.switching {
            let heir = self.followers.get(&switching.to).is_some_and(Follower::counts);
            holds(heir, "a switch-over is to a node that does not count")?;
        }
        let needs_state = |follower: &&Follower| {
            follower.joining_now().is_some_and(|joining| !joining.resumed && !joining.is_sent())
        };
        holds(followers().filter(needs_state).count() <= 1, "two states are sent at a time")?;
        holds(self.followers.len() <= common.settings.backups_max, "there are more followers than it takes")?;
        for follower in followers() {
            let same = followers().filter(|other| other.node == follower.node).count();
            holds(same == 1, "two followers are one node")?;
            let sent = follower.joining_now().and_then(|joining| joining.sent);
            let is_kept = sent.is_none_or(|sent| sent <= common.tail.last());
            holds(is_kept, "a follower was sent more log than there is")?;
        }
        holds(common.tail.last() < self.recorder.seq_next(), "the tail has entries that were never written")?;
        holds(self.frames_safe <= self.recorder.machine().rx_seq(), "a frame is safe that never came")
    }
}
