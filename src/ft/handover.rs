//! What a role hands to the next one when a node changes its role.

use super::command::Halt;
use super::link::LinkId;
use super::own_store::Ack;
use super::standing::Standing;
use crate::base::{Generation, Icount, NodeId, Seq};
use crate::machine::{Machine, Output};

/// What a role's step or run leads to.
pub(super) enum Next {
    Stay,
    Halt(Halt),
    /// A primary becomes its peer's backup.
    Yield(Yield),
    /// A backup has the claim and the whole log: it becomes the primary.
    GoLive,
}

/// The beginning of a guest's life.
pub struct Boot {
    /// At its reset, or wherever it is to start from.
    pub machine: Machine,
    /// Claimed by this node; [`Generation::ZERO`] outside fault tolerance.
    pub generation: Generation,
    /// Names the guest's life to the switch, over all its generations.
    pub life: u64,
    /// Stop here, [`Icount::MAX`] for never.
    pub limit: Icount,
}

/// The machine of a checkpoint in this node's own store, and what the node may do when it has read the log behind.
pub struct Restart {
    /// At the checkpoint.
    pub machine: Machine,
    /// The number of the first entry behind it.
    pub seq_next: Seq,
    /// The generation of the entry before.
    pub generation: Generation,
    /// Names the guest's life.
    pub life: u64,
    /// When an entry counts.
    pub ack: Ack,
    /// What the replica was to its group.
    pub standing: Standing,
    /// How long to look for a node that carries the guest on, before this one does; 0 to do so at once.
    pub wait_ns: u64,
}

/// A primary's order to itself to follow its peer, whose generation has begun with `log`.
pub(super) struct Yield {
    pub link: LinkId,
    pub node: NodeId,
    pub asked_by: Option<LinkId>,
    pub log: Vec<u8>,
    pub now_ns: u64,
}

/// What a backup that goes live hands to the primary it becomes.
pub(super) struct Inheritance {
    pub machine: Machine,
    pub seq_next: Seq,
    pub generation: Generation,
    pub life: u64,
    /// The guest's clock, as near as the backup knows it.
    pub ticks: u64,
    /// Outputs that may not have left; they are sent again at once.
    pub kept: Vec<Output>,
    pub console_released: u64,
    /// The old primary when the two changed places: it counts from the first entry on.
    pub old_primary: Option<(LinkId, NodeId)>,
    /// False when the old primary was lost before its successor won: the successor must claim once more.
    pub linked: bool,
}

/// What a follower knows of the generation that it follows.
pub(super) struct Follows {
    pub machine: Machine,
    pub seq_next: Seq,
    pub generation: Generation,
    pub life: u64,
    /// The guest's clock, as the old primary last had it.
    pub ticks: u64,
    pub console_released: u64,
    /// Requests to its disks whose completion the guest has not seen.
    pub disks: Vec<Left>,
}

/// The state of a request whose completion the guest has not seen, when its node becomes the backup.
pub(super) enum Left {
    UnderWay { disk: u8, tag: u64, flush: bool },
    Flushed { disk: u8, tag: u64 },
    Failed { disk: u8, tag: u64 },
}
