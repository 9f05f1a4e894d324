//! What happens to a node.

use super::arbiter::{ArbiterError, Claim, Holder};
use super::disk::DiskWorked;
use super::link::LinkId;
use super::message::Message;
use super::own_store::StoreState;
use super::rehearsal::Rehearsed;
use super::switch_state::SwitchState;
use crate::base::{Generation, NodeId, Seq};
use crate::devices::disk::DiskDone;

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection brings a message.
    Message {
        /// The connection.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// A connection is gone, for whatever reason.
    LinkClosed {
        /// The connection.
        link: LinkId,
        /// The reason, for the operator.
        why: String,
    },
    /// The arbiter has decided, or could not.
    Claimed {
        /// The generation that was claimed.
        generation: Generation,
        /// The outcome, or why there is none.
        outcome: Result<Claim, ArbiterError>,
    },
    /// The arbiter's answer to the question which node holds `generation`, the present one.
    ArbiterSeen {
        /// The generation that was asked for.
        generation: Generation,
        /// Its holder, or why that is not known.
        seen: Result<NodeId, ArbiterError>,
    },
    /// A frame for the guest, numbered by the switch.
    Frame {
        /// The switch's number for it.
        rx_seq: u64,
        /// The frame, without FCS.
        frame: Vec<u8>,
    },
    /// The arbiter's answer to [`Command::AskHolder`](super::Command::AskHolder).
    HolderSeen(Result<Option<Holder>, ArbiterError>),
    /// Bytes were typed at this node's own terminal.
    ConsoleInput(Vec<u8>),
    /// The disk request with this number has ended.
    DiskDone(DiskDone),
    /// The oldest job on this disk has ended.
    DiskWorked(DiskWorked),
    /// What came of [`Command::Dial`](super::Command::Dial).
    Dialed {
        /// The address that was dialled.
        address: String,
        /// The connection, or why there is none.
        outcome: Result<LinkId, String>,
    },
    /// After [`Command::LeaveRole`](super::Command::LeaveRole): nothing of the last role holds a disk any more.
    RoleLeft,
    /// The window in which this node's console is shown has another size.
    ConsoleSize {
        /// Characters in a row.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// The connection to the switch is in another state; `Fenced` has an event of its own.
    Switch(SwitchState),
    /// The switch reports that another generation is current.
    Fenced {
        /// That generation.
        current: Generation,
    },
    /// The recording is in another state.
    Recording(Recording),
    /// The store is in another state.
    Store(StoreState),
    /// The store has all entries up to here for good.
    Durable {
        /// The last of them.
        upto: Seq,
    },
    /// The store has saved the state after entry `seq`, or not.
    Checkpointed {
        /// As in [`Command::SaveCheckpoint`](super::Command::SaveCheckpoint).
        seq: Seq,
        /// The length of its file in bytes, or why there is none.
        outcome: Result<u64, String>,
    },
    /// A fork was tried, or could not be.
    Rehearsed {
        /// As in [`Command::Fork`](super::Command::Fork).
        fork: u64,
        /// What came of it, or why nothing did.
        outcome: Result<Rehearsed, String>,
    },
    /// The next frame of this node's own store, for a node that goes on from there.
    Stored(Vec<u8>),
    /// The store has no more; or why the rest of it cannot be read.
    StoredAll(Result<(), String>),
    /// The operator wants this node to end. A node whose guest another node has leaves. One that is alone
    /// with its guest refuses, and reports what would be lost; asked again within a minute it ends its
    /// guest's life.
    Quit,
}

/// What has become of a recording that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// None was asked for, or there is no state to begin it with.
    #[default]
    None,
    /// It goes on.
    On,
    /// It goes no further; the node does.
    Ended {
        /// The reason, for the operator.
        why: String,
    },
}
