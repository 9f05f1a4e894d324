//! What a node tells of itself: `lockstep status`.

use serde::{Deserialize, Serialize};

use super::detector::Watch;
use super::message::Audit;
use super::own_store::{Ack, StoreHolds};
use crate::base::{Generation, Icount, Seq};

/// One object for `lockstep status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The vm's name.
    pub vm: String,
    /// The node's identity.
    pub node: String,
    /// `primary`, `backup` or `halted`.
    pub role: String,
    /// Where in the role: `alone`, `transfer`, `guarded`, `claiming`, `switching-over`, `joining`, `following`, or
    /// `seeking`, while a node without a machine looks for the primary.
    pub phase: String,
    /// What a seeking node is about.
    pub seeking: Option<String>,
    /// The newest generation that the node knows.
    pub generation: Generation,
    /// True once a backup counts for the output rule, and knows it; false while the switch refuses or fences
    /// this node, whose guest is then cut off.
    pub protected: bool,
    /// The position of its machine.
    pub icount: Icount,
    /// How far the backup's machine is behind the primary's log; 0 without a backup.
    pub lag_instructions: u64,
    /// The same in milliseconds.
    pub lag_ms: f64,
    /// Log written (primary) or received (backup) by this process.
    pub log_bytes: u64,
    /// The last entry written or received.
    pub log_seq: Seq,
    /// Outputs that wait for the backup's acknowledgement.
    pub gated_outputs: usize,
    /// Their bytes.
    pub gated_bytes: usize,
    /// The last position at which both sides' digests agreed.
    pub last_audit: Option<Audit>,
    /// Positions at which both sides' digests agreed while this process had this role.
    pub audits_agreed: u64,
    /// State transfer: chunks sent or received, of how many.
    pub transfer: Option<(u32, u32)>,
    /// State transfer of disks, under way or the last one's: chunks compared, copied, in all.
    pub disk_transfer: Option<(u64, u64, u64)>,
    /// How long the guest stood still while its state was saved for the last joiner, in milliseconds.
    pub transfer_pause_ms: Option<f64>,
    /// Outputs that have left.
    pub outputs_released: u64,
    /// Frames and typed bytes that came while too many waited.
    pub inputs_dropped: u64,
    /// Why a takeover would have to wait for the arbiter, or does; none while it answers well.
    pub arbiter_trouble: Option<String>,
    /// `none`, `up`, `down`, `refused`, or `fenced by N`: see [`SwitchState`](super::SwitchState).
    pub switch: String,
    /// Why the switch is down or refuses.
    pub switch_trouble: Option<String>,
    /// How the peer is watched; none while there is no peer.
    pub watch: Option<Watch>,
    /// Peers that this process has suspected.
    pub suspicions: u64,
    /// The scheduling that the host permits the thread that sends and receives beats; none without that
    /// thread.
    pub beats_run: Option<String>,
    /// Where the other node listens, while there is one.
    #[serde(default)]
    pub peer: Option<String>,
    /// Of the program.
    #[serde(default)]
    pub version: String,
    /// Since this node began, in seconds.
    #[serde(default)]
    pub uptime_s: f64,
    /// Guests that this node has taken over from a primary that was lost.
    #[serde(default)]
    pub takeovers: u64,
    /// What executes the guest: `translator` or `interpreter`; none while there is no machine here.
    #[serde(default)]
    pub engine: Option<String>,
    /// The part of its instructions that translated code has executed, 0 to 1, once the translator has run.
    #[serde(default)]
    pub translated: Option<f64>,
    /// `none`, `on`, or `ended`.
    #[serde(default)]
    pub recording: String,
    /// Why the recording has ended.
    #[serde(default)]
    pub recording_trouble: Option<String>,
    /// Terminals that are attached.
    pub terminals: usize,
    /// Console bytes of the guest's life that have left (primary) or been replayed (backup).
    pub console_bytes: u64,
    /// The other nodes that follow this primary.
    #[serde(default)]
    pub followers: Vec<FollowerStatus>,
    /// The last entry that every backup which counts holds; none at a backup, which is not told.
    #[serde(default)]
    pub committed: Option<Seq>,
    /// Fewer backups count than this primary is to have ([`Settings::backups_wanted`](super::Settings::backups_wanted)).
    #[serde(default)]
    pub degraded: bool,
    /// Replays that have differed from the log: this node's, and those which nodes that followed it reported.
    #[serde(default)]
    pub divergences: u64,
    /// The last of them: whose it was, and where.
    #[serde(default)]
    pub last_divergence: Option<String>,
    /// When an entry counts: in the `memory` of those who count, or on their `disk`.
    #[serde(default)]
    pub ack: Ack,
    /// What this node's store holds, while it goes on.
    #[serde(default)]
    pub store: Option<StoreHolds>,
    /// The last checkpoint that it has.
    #[serde(default)]
    pub checkpoint: Option<CheckpointStatus>,
    /// Why it does not.
    #[serde(default)]
    pub store_trouble: Option<String>,
}

/// A checkpoint in a node's store.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// The position of its state.
    pub icount: Icount,
    /// The log's entry there.
    pub entry: Seq,
    /// Since it was whole, in seconds.
    pub age_s: f64,
    /// How long the machine stood still where it began, in microseconds.
    #[serde(default)]
    pub pause_us: f64,
}

/// One node that follows a primary, as the primary sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowerStatus {
    /// Its identity.
    pub node: String,
    /// Where it listens, once it has said so.
    pub addr: Option<String>,
    /// `joining`, or `counting`.
    pub phase: String,
    /// The last entry that it holds: in memory, or on disk where entries count there.
    pub acked: Seq,
    /// The last entry in its store; 0 without one.
    #[serde(default)]
    pub durable: Seq,
    /// The position of its machine.
    pub executed: Icount,
    /// How far its machine is behind the primary's, in milliseconds.
    pub lag_ms: f64,
}

impl NodeStatus {
    /// How many backups count.
    pub fn counting(&self) -> usize {
        self.followers.iter().filter(|follower| follower.phase == "counting").count()
    }

    /// What an operator should know of; empty when all is well. A guest outside fault tolerance is well
    /// without a backup.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let outside = self.role == "primary" && self.generation == Generation::ZERO;
        if !self.protected && !outside {
            troubles.push(format!("not protected ({}, {})", self.role, self.phase));
        }
        if self.degraded && self.protected {
            troubles.push(format!("degraded: backups are missing, {} count", self.counting()));
        }
        if !matches!(self.switch.as_str(), "none" | "up") {
            troubles.push(format!("switch {}", self.switch));
        }
        if let Some(trouble) = &self.recording_trouble {
            troubles.push(format!("the recording has ended: {trouble}"));
        }
        if let Some(trouble) = &self.store_trouble {
            troubles.push(format!("the store has ended: {trouble}"));
        }
        if let Some(trouble) = &self.arbiter_trouble {
            troubles.push(format!("arbiter: {trouble}"));
        }
        troubles
    }
}

/// What a node's disks are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskStanding {
    /// They are the guest's, in this generation.
    Primary(Generation),
    /// Each flush that the guest sees complete in this generation is on them.
    Replica(Generation),
    /// They may lack what a guest has flushed.
    Behind,
}
