//! What a node wants done, and how it ends.

use super::clock::GuestClock;
use super::disk::DiskJob;
use super::link::LinkId;
use super::message::Message;
use crate::base::{Generation, NodeId, Seq};
use crate::devices::disk::DiskRequest;
use crate::machine::{Exit, Machine, Output, Piece, Saved, SavedHead};
use crate::replay::Divergence;

/// What a node wants done.
#[derive(Debug)]
pub enum Command {
    /// Sends a message on a connection; on one that is gone it does nothing.
    Send {
        /// The connection.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Ends a connection once what was sent on it has gone out.
    Close {
        /// The connection.
        link: LinkId,
    },
    /// Asks the arbiter for `generation`, which comes after one of node `after`'s, to be primary with `keeps`
    /// as the backups that count; the outcome comes back as [`Event::Claimed`](super::Event::Claimed).
    Claim {
        /// The generation.
        generation: Generation,
        /// As in [`Bid::keeps`](super::arbiter::Bid::keeps).
        keeps: Vec<NodeId>,
        /// As in [`Bid::after`](super::arbiter::Bid::after).
        after: NodeId,
    },
    /// Asks the arbiter which node holds the newest generation; the answer comes back as
    /// [`Event::HolderSeen`](super::Event::HolderSeen).
    AskHolder,
    /// Tells the arbiter that the guest of this generation has ended.
    EndLife {
        /// That generation.
        generation: Generation,
    },
    /// A recording, if there is one, starts from this state, and so does a store that has no other.
    StartRecording {
        /// The state.
        base: Box<Saved>,
        /// The number of the first entry that follows.
        seq_next: Seq,
        /// The generation that it is of.
        generation: Generation,
        /// The number of the guest's life.
        life: u64,
    },
    /// The next frame of the log, for the recording and the store, if there are any.
    Append {
        /// The frame as it is stored and sent.
        bytes: Vec<u8>,
    },
    /// The store begins to save the state after entry `seq`; pieces follow.
    SaveCheckpoint {
        /// The last entry that the state contains.
        seq: Seq,
        /// The generation after it.
        generation: Generation,
        /// The checkpoint that it builds on.
        base: Option<Seq>,
        /// The state but its memory.
        head: Box<SavedHead>,
    },
    /// The next piece of that.
    CheckpointPiece(Piece),
    /// That was all of it, and nothing from before it is needed any more; [`Event::Checkpointed`](super::Event::Checkpointed)
    /// follows.
    KeepCheckpoint {
        /// As in `SaveCheckpoint`.
        seq: Seq,
    },
    /// The state that is being saved is not wanted any more.
    DropCheckpoint,
    /// A second machine is to be made of this state, to be tried; pieces follow.
    Fork {
        /// Its number: counted by the node.
        fork: u64,
        /// The state but its memory.
        head: Box<SavedHead>,
    },
    /// The next piece of that.
    ForkPiece(Piece),
    /// That was all of it: the machine goes live in a sandbox. [`Event::Rehearsed`](super::Event::Rehearsed) follows.
    Rehearse {
        /// As in `Fork`.
        fork: u64,
        /// The guest's clock.
        clock: GuestClock,
        /// How long the guest is tried.
        seconds: u32,
    },
    /// The fork is not wanted any more.
    DropFork,
    /// The output may leave.
    Release(Output),
    /// The guest wants this of a disk; its end comes back as [`Event::DiskDone`](super::Event::DiskDone), in order.
    Disk(DiskRequest),
    /// A state transfer wants this of a disk, after everything asked of it before; answered by
    /// [`Event::DiskWorked`](super::Event::DiskWorked), in order.
    DiskWork(DiskJob),
    /// The guest is to be plugged into the switch, if there is one; anew if it was.
    PlugIn(Plug),
    /// From here on this node sends to the switch as `generation`; frames past `rx_seq` are wanted.
    Activate {
        /// The generation that the node has claimed.
        generation: Generation,
        /// The last inbound frame in the log.
        rx_seq: u64,
    },
    /// The switch need not keep inbound frames up to here.
    FramesSafe {
        /// The last of them.
        rx_seq: u64,
    },
    /// The node has lost its role, for the reason in `halt`, and looks for the primary from here on: its
    /// switch port, recording and disks are to be left as for that halt. [`Event::RoleLeft`](super::Event::RoleLeft) follows once the
    /// disks are released.
    LeaveRole {
        /// The reason.
        halt: Halt,
    },
    /// What this node has derived from the log is not what the log says. Its store must never be gone on from, nor its
    /// disks be used without a look at what they should hold: that is to survive a crash before anything that follows.
    Distrust(Box<Divergence>),
    /// What is left of a replay that has diverged, for people.
    KeepEvidence(Box<Evidence>),
    /// A connection to `address` is wanted, for the node's present identity; [`Event::Dialed`](super::Event::Dialed) follows.
    Dial {
        /// Where a node of this vm may listen.
        address: String,
    },
    /// For people: a line on what has just happened.
    Tell(String),
    /// The same, about the guest itself: printed also where messages about the node are not.
    Warn(String),
    /// The node has ended; nothing follows.
    Halt(Halt),
}

/// What is left of a replay that has diverged.
pub struct Evidence {
    /// Where, and what was expected and found.
    pub divergence: Divergence,
    /// Frames of the log, one behind the other: the one that could not be obeyed is the last, as far as it is kept.
    pub log: Vec<u8>,
    /// As it stands.
    pub machine: Machine,
}

impl core::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Evidence {{ {}, {} bytes of log }}", self.divergence, self.log.len())
    }
}

/// How a node introduces its guest to the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The guest's Ethernet address.
    pub mac: [u8; 6],
    /// The number of its life.
    pub life: u64,
    /// The generation that the node sends under, or follows.
    pub generation: Generation,
    /// A backup neither receives nor sends frames until it activates.
    pub standby: bool,
    /// The last frame that the machine has received.
    pub rx_seq: u64,
    /// The last frame that the machine has sent.
    pub tx_seq: u64,
}

impl Plug {
    /// How the node of `machine` introduces it; `None` for a machine without a network device, which the switch
    /// need not know.
    pub(super) fn of(machine: &Machine, life: u64, generation: Generation, standby: bool) -> Option<Self> {
        let config = machine.config();
        let (mac, rx_seq, tx_seq) = (config.mac, machine.rx_seq(), machine.tx_seq());
        config.board.has_net().then_some(Self { mac, life, generation, standby, rx_seq, tx_seq })
    }
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The guest ended: powered off, reset or failed.
    GuestEnded(Exit),
    /// The instruction limit that the operator set is reached.
    LimitReached,
    /// Another node is the primary.
    LostClaim {
        /// The generation that this node has not won.
        generation: Generation,
        /// The node that has it.
        to: NodeId,
    },
    /// The primary would not have us, or the transfer failed: nothing of value is lost. `for_good` when asking
    /// again would not help.
    NotJoined {
        /// The reason, for the operator.
        why: String,
        /// Asking again would not help.
        for_good: bool,
    },
    /// No node answered where a primary should be.
    NoPrimary {
        /// The reason, for the operator.
        why: String,
    },
    /// This backup's replay differs from the log.
    Diverged(Box<Divergence>),
    /// A backup's own disk did not do what the guest's did.
    DiskFailed {
        /// The disk's number, from 0.
        disk: u8,
        /// The number of the request that failed.
        tag: u64,
    },
    /// The store failed, on which the log of this vm counts; another node carries the guest on.
    StoreFailed {
        /// The reason, for the operator.
        why: String,
    },
    /// The operator asked. With a store the guest can go on from there.
    Quit,
}
