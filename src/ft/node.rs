//! A node: one machine in one role, driven by events, speaking in commands.
//!
//! The driver (real or simulated) hands every event to [`Node::step`], calls [`Node::run`] in
//! between, and carries out the commands that [`Node::take_commands`] yields *in order*. A crash
//! between any two commands must be survivable; the simulator tries them all.

use serde::{Deserialize, Serialize};

use super::arbiter::{ArbiterError, Claim, Holder};
use super::backup::Backup;
use super::detector::{Signs, Watch};
use super::disk::{DiskJob, DiskWorked};
use super::message::{Audit, Message};
use super::primary::{Primary, Yield};
use super::seek::{Seek, Seeking};
use super::settings::{SCROLLBACK_BYTES_MAX, Settings};
use super::switch_state::SwitchState;
use super::terminals::Terminals;
use crate::base::{Generation, Icount, NodeId, Seq};
use crate::cpu::Stuck;
use crate::devices::disk::{DiskDone, DiskRequest};
use crate::machine::{Executed, Exit, Machine, MachineConfig, Output, Saved};
use crate::replay::Divergence;

/// Names a connection, for as long as the node lives. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId(pub u64);

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
    /// The arbiter's answer to [`Command::AskHolder`].
    HolderSeen(Result<Option<Holder>, ArbiterError>),
    /// Bytes were typed at this node's own terminal.
    ConsoleInput(Vec<u8>),
    /// The disk request with this number has ended.
    DiskDone(DiskDone),
    /// The oldest job on this disk has ended.
    DiskWorked(DiskWorked),
    /// What came of [`Command::Dial`].
    Dialed {
        /// The address that was dialled.
        address: String,
        /// The connection, or why there is none.
        outcome: Result<LinkId, String>,
    },
    /// After [`Command::LeaveRole`]: nothing of the last role holds a disk any more.
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
    /// The operator wants this node to end. A node whose guest another node has leaves. One that is alone
    /// with its guest refuses, and reports what would be lost; asked again within [`INSIST_NS`] it ends its
    /// guest's life.
    Quit,
}

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
    /// as the backup that counts; the outcome comes back as [`Event::Claimed`].
    Claim {
        /// The generation.
        generation: Generation,
        /// As in [`Bid::keeps`](super::arbiter::Bid::keeps).
        keeps: Option<NodeId>,
        /// As in [`Bid::after`](super::arbiter::Bid::after).
        after: NodeId,
    },
    /// Asks the arbiter which node holds the newest generation; the answer comes back as
    /// [`Event::HolderSeen`].
    AskHolder,
    /// Tells the arbiter that the guest of this generation has ended.
    EndLife {
        /// That generation.
        generation: Generation,
    },
    /// A recording, if there is one, starts from this state.
    StartRecording {
        /// The state.
        base: Box<Saved>,
        /// The number of the first entry that follows.
        seq_next: Seq,
        /// The generation that it is of.
        generation: Generation,
    },
    /// The next frame of the log, for the recording if there is one.
    Append {
        /// The frame as it is stored and sent.
        bytes: Vec<u8>,
    },
    /// The output may leave.
    Release(Output),
    /// The guest wants this of a disk; its end comes back as [`Event::DiskDone`], in order.
    Disk(DiskRequest),
    /// A state transfer wants this of a disk, after everything asked of it before; answered by
    /// [`Event::DiskWorked`], in order.
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
    /// switch port, recording and disks are to be left as for that halt. [`Event::RoleLeft`] follows once the
    /// disks are released.
    LeaveRole {
        /// The reason.
        halt: Halt,
    },
    /// A connection to `address` is wanted, for the node's present identity; [`Event::Dialed`] follows.
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

/// A second request to end a node that refused the first counts as one within this time.
pub const INSIST_NS: u64 = 60_000_000_000;

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
    /// The operator asked.
    Quit,
}

/// What the real or simulated world answers a node.
pub trait World {
    /// The host's monotonic clock.
    fn now_ns(&mut self) -> u64;
    /// Fills `bytes` with the host's randomness.
    fn entropy(&mut self, bytes: &mut [u8]);
    /// The number of the host CPU that the node runs on.
    fn host_id(&mut self) -> u64;
    /// The host's time of day: nanoseconds since 1970 (UTC).
    fn wall_clock_ns(&mut self) -> u64;
    /// Bytes handed to this connection and not yet sent.
    fn outbox_bytes(&mut self, link: LinkId) -> usize;
    /// True while the consumer of the outputs is behind: the guest waits.
    fn outputs_blocked(&mut self) -> bool;
    /// Console bytes released and not yet written: they would die with this process.
    fn console_pending(&mut self) -> u64;
    /// What is known of the peer at `link` besides its messages; None in a world where messages are all.
    fn signs(&mut self, _link: LinkId) -> Option<Signs> {
        None
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

/// When to call [`Node::run`] again if no event comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once: there is work.
    Now,
    /// At this host time.
    At(u64),
}

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
    /// `none`, `up`, `down`, `refused`, or `fenced by N`: see [`SwitchState`].
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
}

impl NodeStatus {
    /// What an operator should know of; empty when all is well. A guest outside fault tolerance is well
    /// without a backup.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let outside = self.role == "primary" && self.generation == Generation::ZERO;
        if !self.protected && !outside {
            troubles.push(format!("not protected ({}, {})", self.role, self.phase));
        }
        if !matches!(self.switch.as_str(), "none" | "up") {
            troubles.push(format!("switch {}", self.switch));
        }
        if let Some(trouble) = &self.recording_trouble {
            troubles.push(format!("the recording has ended: {trouble}"));
        }
        if let Some(trouble) = &self.arbiter_trouble {
            troubles.push(format!("arbiter: {trouble}"));
        }
        troubles
    }
}

pub(super) enum Role {
    Primary(Box<Primary>),
    Backup(Box<Backup>),
    Seeking(Seeking),
    Halted { generation: Generation, icount: Icount, executed: Option<Executed> },
}

impl Role {
    fn peer_link(&self) -> Option<LinkId> {
        match self {
            Role::Primary(primary) => primary.peer_link(),
            Role::Backup(backup) => backup.peer_link(),
            Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }
}

/// What both roles need and neither owns.
pub(super) struct Common {
    pub id: NodeId,
    pub vm: String,
    pub settings: Settings,
    pub commands: Vec<Command>,
    pub terminals: Terminals,
    /// Where this node listens, for its peer to report to terminals.
    pub listen: Option<String>,
    /// Why the arbiter decides nothing, as last reported.
    pub arbiter_trouble: Option<String>,
    pub switch: SwitchState,
    /// Reported: the switch's fence does not come from the arbiter.
    pub fence_told: bool,
    /// Peers that were suspected.
    pub suspicions: u64,
    /// How beats are sent and received here, for the status.
    pub beats_run: Option<String>,
    /// When this node began.
    pub born_ns: u64,
    /// Of the program, for its status.
    pub version: &'static str,
    pub takeovers: u64,
    pub recording: Recording,
    /// When the operator was last refused to end this node.
    quit_refused_ns: Option<u64>,
    /// Whether a recording wants the log, and the state that it begins with.
    pub records: bool,
    /// The machine that a joiner is configured to expect.
    pub expects: Option<Box<MachineConfig>>,
    pub seek: Seek,
    /// The time of the event or turn that is being worked on.
    now_ns: u64,
    /// Reported: the guest can only trap.
    pub stuck_told: bool,
}

impl Common {
    pub fn new(id: NodeId, vm: &str, settings: Settings) -> Self {
        let scrollback_bytes = settings.scrollback_bytes.clamp(1, SCROLLBACK_BYTES_MAX);
        let terminals = Terminals::new(vm, id, scrollback_bytes);
        Self {
            id,
            vm: vm.to_owned(),
            settings,
            commands: Vec::new(),
            terminals,
            listen: None,
            arbiter_trouble: None,
            switch: SwitchState::None,
            fence_told: false,
            suspicions: 0,
            beats_run: None,
            born_ns: 0,
            version: "",
            takeovers: 0,
            recording: Recording::None,
            quit_refused_ns: None,
            records: true,
            expects: None,
            seek: Seek::default(),
            now_ns: 0,
            stuck_told: false,
        }
    }

    /// Tells once if the guest has got to where it can only trap.
    fn watch_for_stuck(&mut self, machine: &Machine) {
        let Some(Stuck { at, pc, cause }) = machine.hart().stuck().filter(|_| !self.stuck_told) else {
            return;
        };
        self.stuck_told = true;
        self.commands.push(Command::Warn(format!(
            "the guest only traps since {at}: its trap handler is at {pc:#x}, and the first instruction there \
             raises: {cause}"
        )));
    }

    /// Another node is reported to listen at `address`.
    pub fn learn(&mut self, address: &str) {
        self.seek.learn(address, self.listen.as_deref());
    }

    pub fn learn_all(&mut self, addresses: &[String]) {
        addresses.iter().take(super::seek::TOLD_MAX).for_each(|address| self.learn(address));
    }

    /// Tells the peer where it may find other nodes.
    pub fn say_known(&mut self, link: LinkId) {
        let addresses = self.seek.known();
        if !addresses.is_empty() {
            self.send(link, Message::Known { addresses });
        }
    }

    /// Tells a joiner to ask again, or elsewhere.
    pub fn put_off(&mut self, link: LinkId, why: impl Into<String>) {
        let known = self.seek.known();
        self.send(link, Message::Later { why: why.into(), known });
        self.commands.push(Command::Close { link });
    }

    /// Whether this request to end the node repeats one that was refused a short time ago; if not, reports
    /// `lost`, what its end would destroy.
    pub fn is_insisted_on(&mut self, now_ns: u64, lost: &str) -> bool {
        if self.quit_refused_ns.is_some_and(|at| now_ns.saturating_sub(at) < INSIST_NS) {
            return true;
        }
        self.quit_refused_ns = Some(now_ns);
        let at = self.listen.as_deref().unwrap_or("ADDR");
        self.tell(format!(
            "not ended: {lost}. Join it first with `lockstep backup --primary {at}`, or ask once more within {} s to end \
             it all the same",
            INSIST_NS / 1_000_000_000
        ));
        false
    }

    /// Tells the peer where terminals reach this node.
    pub fn say_whereabouts(&mut self, link: LinkId) {
        if let Some(listen) = self.listen.clone() {
            self.send(link, Message::Whereabouts { listen });
        }
    }

    /// Tells how far a state transfer is whenever the `done`-th of so many chunks completes another tenth.
    pub fn tell_tenths(&mut self, done: u32, chunks: u32, what: &str) {
        let tenths = |done: u32| u64::from(done) * 10 / u64::from(chunks.max(1));
        if (1..=chunks).contains(&done) && tenths(done - 1) < tenths(done) {
            self.tell(format!("state transfer: {done} of {chunks} chunks {what}"));
        }
    }

    pub fn send(&mut self, link: LinkId, message: Message) {
        self.commands.push(Command::Send { link, message });
    }

    pub fn tell(&mut self, text: impl Into<String>) {
        self.commands.push(Command::Tell(text.into()));
    }

    /// Notes how the arbiter is. It is asked over and over: only a change is reported.
    pub fn arbiter_is(&mut self, trouble: Option<String>) {
        if self.arbiter_trouble != trouble {
            self.tell(trouble.as_deref().unwrap_or("the arbiter answers again"));
            self.arbiter_trouble = trouble;
        }
    }

    /// An attempt to join has failed and another follows. Attempts are frequent: only a new reason is
    /// reported.
    pub fn not_found(&mut self, why: String) {
        if self.seek.last.as_ref() != Some(&why) {
            self.tell(format!("{why}; this node tries again"));
            self.seek.last = Some(why);
        }
    }

    /// Says no on a connection that asked for something, and ends it.
    pub fn refuse(&mut self, link: LinkId, why: impl Into<String>) {
        self.send(link, Message::Refuse { why: why.into() });
        self.commands.push(Command::Close { link });
    }
}

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

/// A machine in a role.
pub struct Node {
    common: Common,
    role: Role,
}

impl Node {
    /// A primary at the beginning of its guest's life.
    pub fn primary(id: NodeId, vm: &str, boot: Boot, settings: Settings, now_ns: u64) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        let primary = Primary::boot(&mut common, boot, now_ns);
        common.seek.is_member_now();
        Self { common, role: Role::Primary(Box::new(primary)) }
    }

    /// A backup that introduces itself to the primary at the other end of `link`.
    pub fn backup(id: NodeId, vm: &str, link: LinkId, settings: Settings, now_ns: u64) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        let backup = Backup::join(&mut common, link, now_ns);
        Self { common, role: Role::Backup(Box::new(backup)) }
    }

    /// A node that looks for the primary of `vm` at `addresses`, for `wait_ns`, to become its backup.
    pub fn seeking(
        id: NodeId,
        vm: &str,
        addresses: Vec<String>,
        wait_ns: u64,
        settings: Settings,
        now_ns: u64,
    ) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        common.seek = Seek::starting(addresses, wait_ns, now_ns);
        Self { common, role: Role::Seeking(Seeking::Resting { until_ns: now_ns }) }
    }

    /// Has this node look for the primary, to become its backup, when it loses its place in the pair without a
    /// fault of its own.
    pub fn rejoins(&mut self) {
        self.common.seek.rejoins = true;
    }

    /// Says where terminals reach this node, before anything happens to it.
    pub fn listens_at(&mut self, address: String) {
        self.common.listen = Some(address);
    }

    /// Notes how the thread that sends and receives beats runs, for the status.
    pub fn beats_run(&mut self, how: String) {
        self.common.beats_run = Some(how);
    }

    /// The connection to the peer, joining or counting.
    pub fn peer_link(&self) -> Option<LinkId> {
        self.role.peer_link()
    }

    /// How often each side sends something at least.
    pub fn heartbeat_ns(&self) -> u64 {
        self.common.settings.heartbeat_ns
    }

    /// Names the program's version, for the node's status.
    pub fn version_is(&mut self, version: &'static str) {
        self.common.version = version;
    }

    /// This node makes no recording: a backup need not keep a copy of its state for one when its machine is
    /// restored.
    pub fn does_not_record(&mut self) {
        self.common.records = false;
    }

    /// Has a backup refuse any machine but this one.
    pub fn expects(&mut self, config: MachineConfig) {
        self.common.expects = Some(Box::new(config));
    }

    /// The node's identity.
    pub fn id(&self) -> NodeId {
        self.common.id
    }

    /// The vm's name.
    pub fn vm(&self) -> &str {
        &self.common.vm
    }

    /// Takes an event in. Cheap: the work is done by [`Node::run`].
    pub fn step(&mut self, event: Event, now_ns: u64) {
        self.common.now_ns = now_ns;
        if let Event::Message { link, message: Message::Status } = &event
            && self.role.peer_link() != Some(*link)
        {
            let link = *link;
            let json = serde_json::to_string(&self.status(now_ns)).expect("a status serialises");
            self.common.send(link, Message::Answer { json });
            self.common.commands.push(Command::Close { link });
            return;
        }
        if let Event::ArbiterSeen { generation, seen } = event {
            self.arbiter_seen(generation, seen);
            return;
        }
        if let Event::HolderSeen(seen) = event {
            self.holder_seen(seen);
            return;
        }
        match &event {
            Event::Switch(state) => {
                self.common.switch = state.clone();
                return;
            }
            Event::Recording(recording) => {
                self.common.recording = recording.clone();
                return;
            }
            Event::Fenced { current } => self.common.switch = SwitchState::Fenced { by: *current },
            _ => {}
        }
        if self.terminal_step(&event, now_ns) {
            return;
        }
        let next = match &mut self.role {
            Role::Primary(primary) => primary.step(&mut self.common, event, now_ns),
            Role::Backup(backup) => backup.step(&mut self.common, event, now_ns),
            Role::Seeking(_) => self.seeking_step(event, now_ns),
            Role::Halted { .. } => Next::Stay,
        };
        self.follow(next);
    }

    /// The generation that this node leads or follows, and whom the arbiter must name for it; none while it
    /// is being settled, or outside fault tolerance.
    pub fn generation_and_holder(&self) -> Option<(Generation, NodeId)> {
        let generation = match &self.role {
            Role::Primary(primary) => primary.generation_and_holder(self.common.id),
            Role::Backup(backup) => backup.generation_and_holder(),
            Role::Seeking(_) | Role::Halted { .. } => None,
        };
        generation.filter(|(generation, _)| *generation != Generation::ZERO)
    }

    /// The arbiter is looked at while nothing depends on it: trouble is known before it does harm.
    fn arbiter_seen(&mut self, generation: Generation, seen: Result<NodeId, ArbiterError>) {
        let Some((_, holder)) = self.generation_and_holder().filter(|(active, _)| *active == generation)
        else {
            return;
        };
        match seen {
            Ok(node) if node == holder => {
                self.common.arbiter_is(None);
                // A node that was fenced, and not replaced as far as the arbiter knew, keeps asking.
                if self.common.switch.fenced_past(generation) {
                    self.common.commands.push(Command::AskHolder);
                }
            }
            // It has gone back, and granted this generation once more: two histories begin here, and the
            // arbiter's record decides.
            Ok(to) if self.is_primary() => self.follow(Next::Halt(Halt::LostClaim { generation, to })),
            Ok(to) => self.common.arbiter_is(Some(format!(
                "a takeover would be refused: the arbiter says that generation {generation} belongs to node {to}, \
                 this node follows {holder}"
            ))),
            Err(error) => self.common.arbiter_is(Some(format!("a takeover would have to wait: {error}"))),
        }
    }

    /// An event for a node that looks for the primary.
    fn seeking_step(&mut self, event: Event, now_ns: u64) -> Next {
        let Role::Seeking(seeking) = &mut self.role else { return Next::Stay };
        match event {
            Event::RoleLeft => {
                let until_ns = now_ns.saturating_add(self.common.seek.rest_ns());
                *seeking = Seeking::Resting { until_ns };
            }
            Event::Dialed { address, outcome } => {
                match seeking {
                    Seeking::Dialing { address: wanted } if *wanted == address => {}
                    _ => return Next::Stay,
                }
                match outcome {
                    Ok(link) => {
                        self.role = Role::Backup(Box::new(Backup::join(&mut self.common, link, now_ns)));
                    }
                    Err(error) => {
                        let why = format!("the primary at {address} does not answer: {error}");
                        let halt = Halt::NoPrimary { why: why.clone() };
                        if !self.common.seek.goes_on_after(&halt, now_ns) {
                            return Next::Halt(halt);
                        }
                        self.common.not_found(why);
                        let rest_ns = self.common.seek.rest_ns();
                        if rest_ns > 0 && self.common.seek.was_member() {
                            // It may be that no other node is left, because there is nothing left to join.
                            self.common.commands.push(Command::AskHolder);
                        }
                        let until_ns = now_ns.saturating_add(rest_ns);
                        self.role = Role::Seeking(Seeking::Resting { until_ns });
                    }
                }
            }
            Event::Message { link, message } => match message {
                Message::Join { .. } => self.common.put_off(link, "this node looks for the primary itself"),
                Message::SwitchOver => self.common.refuse(link, "this node looks for its primary; ask that"),
                _ => self.common.commands.push(Command::Close { link }),
            },
            Event::Quit => return Next::Halt(Halt::Quit),
            _ => {}
        }
        Next::Stay
    }

    /// Tries the next address when it is time.
    fn seeking_run<W: World>(&mut self, world: &mut W) -> Pace {
        let Role::Seeking(seeking) = &mut self.role else { return Pace::Now };
        match seeking {
            Seeking::Resting { until_ns } if *until_ns <= self.common.now_ns => {
                let Some(address) = self.common.seek.next() else { return Pace::At(u64::MAX) };
                // What the arbiter and the logs know of this node under its last identity stays true of that one.
                let mut bytes = [0; 8];
                world.entropy(&mut bytes);
                self.common.id = NodeId(u64::from_le_bytes(bytes));
                self.common.terminals.node_is(self.common.id);
                *seeking = Seeking::Dialing { address: address.clone() };
                self.common.commands.push(Command::Dial { address });
                Pace::At(u64::MAX)
            }
            Seeking::Resting { until_ns } => Pace::At(*until_ns),
            Seeking::Leaving | Seeking::Dialing { .. } => Pace::At(u64::MAX),
        }
    }

    /// Leaves a role that is lost, and looks for the primary.
    fn seek(&mut self, halt: Halt) {
        let common = &mut self.common;
        match &self.role {
            Role::Primary(primary) => common.seek.has_seen(primary.life(), primary.generation()),
            Role::Backup(backup) if backup.generation() != Generation::ZERO => {
                common.seek.has_seen(backup.life(), backup.generation());
            }
            Role::Backup(_) | Role::Seeking(_) | Role::Halted { .. } => {}
        }
        let newest = match (&halt, &self.role) {
            (Halt::LostClaim { generation, .. }, Role::Primary(primary)) => {
                Some((primary.life(), *generation))
            }
            (Halt::LostClaim { generation, .. }, Role::Backup(backup)) => Some((backup.life(), *generation)),
            _ => None,
        };
        if let Some((life, generation)) = newest {
            common.seek.has_seen(life, generation);
        }
        if let Some(link) = self.role.peer_link() {
            let why = "this node has lost its place".to_owned();
            common.send(link, Message::Bye { why });
            common.commands.push(Command::Close { link });
        }
        match &halt {
            Halt::LostClaim { generation, to } => common.tell(format!(
                "generation {generation} belongs to node {to}, which carries the guest on: this node leaves its role \
                 and looks for it, to be its backup"
            )),
            Halt::NotJoined { why, .. } | Halt::NoPrimary { why } => common.not_found(format!("not joined: {why}")),
            _ => {}
        }
        if matches!(halt, Halt::LostClaim { .. }) {
            self.farewell(&halt);
            self.common.terminals.leave();
        }
        self.vacate();
        let common = &mut self.common;
        (common.switch, common.fence_told, common.arbiter_trouble) = (SwitchState::None, false, None);
        common.commands.push(Command::LeaveRole { halt });
        self.role = Role::Seeking(Seeking::Leaving);
    }

    /// The arbiter's answer about the newest generation: this node has lost if another node holds it.
    fn holder_seen(&mut self, seen: Result<Option<Holder>, ArbiterError>) {
        if matches!(self.role, Role::Seeking(_)) {
            if let Ok(Some(Holder { bid, ended: true })) = seen {
                let why = format!("the guest has ended, in generation {}", bid.generation);
                self.follow(Next::Halt(Halt::NotJoined { why, for_good: true }));
            }
            return;
        }
        // A claim that is under way decides.
        let Some((generation, _)) = self.generation_and_holder() else { return };
        match seen {
            Ok(Some(Holder { bid, .. }))
                if bid.generation > generation
                    && bid.node != self.common.id
                    // A planned change of places: the new primary's log is on its way.
                    && bid.keeps != Some(self.common.id) =>
            {
                self.follow(Next::Halt(Halt::LostClaim { generation: bid.generation, to: bid.node }));
            }
            Ok(_) => {
                let SwitchState::Fenced { by } = self.common.switch else { return };
                if by <= generation {
                    return;
                }
                if let Role::Primary(primary) = &mut self.role
                    && primary.outbid(&mut self.common, by)
                {
                    return;
                }
                if !self.common.fence_told {
                    self.common.fence_told = true;
                    self.common.tell(format!(
                        "the arbiter has given away no generation after {generation}, yet the switch serves generation \
                         {by}: a node that uses another arbiter claims this vm's name there, and the guest is cut off"
                    ));
                }
            }
            Err(error) => {
                self.common.arbiter_is(Some(format!("fenced by the switch, and not settled: {error}")))
            }
        }
    }

    /// Does what is a terminal's business; false if it is not.
    fn terminal_step(&mut self, event: &Event, now_ns: u64) -> bool {
        let Common { terminals, commands, .. } = &mut self.common;
        match event {
            Event::Message { link, message: Message::Attach { life, from, session } }
                if !terminals.is_terminal(*link) && self.role.peer_link() != Some(*link) =>
            {
                terminals.attach(*link, (*life, *from, *session), now_ns, commands);
            }
            Event::Message { link, message } if terminals.is_terminal(*link) => {
                terminals.message(*link, message.clone(), commands);
            }
            Event::LinkClosed { link, .. } if terminals.is_terminal(*link) => terminals.detach(*link),
            Event::ConsoleSize { cols, rows } => terminals.resize(*cols, *rows),
            _ => return false,
        }
        true
    }

    /// Works for about one slice.
    pub fn run<W: World>(&mut self, world: &mut W) -> Pace {
        self.common.now_ns = world.now_ns();
        let pace = self.run_role(world);
        let Common { terminals, commands, .. } = &mut self.common;
        let again_ns = terminals.show(world, commands);
        match pace {
            Pace::Now => Pace::Now,
            Pace::At(at_ns) => Pace::At(at_ns.min(again_ns)),
        }
    }

    fn run_role<W: World>(&mut self, world: &mut W) -> Pace {
        let (next, pace) = match &mut self.role {
            Role::Primary(primary) => primary.run(&mut self.common, world),
            Role::Backup(backup) => backup.run(&mut self.common, world),
            Role::Seeking(_) => return self.seeking_run(world),
            Role::Halted { .. } => (Next::Stay, Pace::At(u64::MAX)),
        };
        match next {
            Next::Stay => {
                if let Role::Primary(primary) = &self.role {
                    self.common.watch_for_stuck(primary.machine());
                }
                return pace;
            }
            Next::GoLive => {
                if let Role::Backup(backup) = self.vacate() {
                    let inheritance = backup.into_inheritance(&mut self.common, world.now_ns());
                    let primary = Primary::go_live(&mut self.common, world, inheritance);
                    self.role = Role::Primary(Box::new(primary));
                }
            }
            Next::Halt(_) | Next::Yield(_) => self.follow(next),
        }
        Pace::Now
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Stay => {}
            Next::Halt(halt) => self.end(halt),
            Next::Yield(to) => {
                if let Role::Primary(primary) = self.vacate() {
                    match primary.into_backup(&mut self.common, to) {
                        Ok(backup) => self.role = Role::Backup(Box::new(backup)),
                        Err(halt) => self.end(halt),
                    }
                }
            }
            Next::GoLive => unreachable!("only a run goes live: it needs the host's clock"),
        }
    }

    /// The present role is over: another is looked for, if that is this node's way.
    fn end(&mut self, halt: Halt) {
        let now_ns = self.common.now_ns;
        if matches!(&self.role, Role::Backup(backup) if backup.is_taken_on()) {
            self.common.seek.was_taken_on(now_ns);
        }
        if self.common.seek.goes_on_after(&halt, now_ns) {
            self.seek(halt);
        } else {
            self.vacate();
            self.farewell(&halt);
            self.common.commands.push(Command::Halt(halt));
        }
    }

    /// The last messages to the terminals: whether to look for the guest elsewhere.
    fn farewell(&mut self, halt: &Halt) {
        let ended = self.common.commands.iter().any(|command| matches!(command, Command::EndLife { .. }));
        let alone = ended || self.generation() == Generation::ZERO;
        let last = match halt {
            Halt::GuestEnded(exit) => {
                Message::ConsoleEnd { status: exit.status(), how: format!("the guest ended with {exit}") }
            }
            Halt::LimitReached | Halt::Quit if alone => {
                Message::ConsoleEnd { status: 0, how: "the operator ended the guest".into() }
            }
            Halt::LimitReached | Halt::Quit => Message::Bye { why: "the operator ended this node".into() },
            Halt::LostClaim { .. } => Message::Bye { why: "another node carries the guest on".into() },
            Halt::NotJoined { .. } | Halt::NoPrimary { .. } => {
                Message::Bye { why: "this node has not joined".into() }
            }
            Halt::Diverged(_) => Message::Bye { why: "this node has diverged".into() },
            Halt::DiskFailed { .. } => Message::Bye { why: "this node has lost a disk".into() },
        };
        let Common { terminals, commands, .. } = &mut self.common;
        terminals.finish(&last, commands);
    }

    /// Leaves the role behind, halted where it stood.
    fn vacate(&mut self) -> Role {
        let executed = self.machine().map(Machine::executed);
        let halted = Role::Halted { generation: self.generation(), icount: self.icount(), executed };
        std::mem::replace(&mut self.role, halted)
    }

    /// What the node wants done, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.common.commands)
    }

    /// The newest generation that the node knows.
    pub fn generation(&self) -> Generation {
        match &self.role {
            Role::Primary(primary) => primary.generation(),
            Role::Backup(backup) => backup.generation(),
            Role::Seeking(_) => self.common.seek.generation(),
            Role::Halted { generation, .. } => *generation,
        }
    }

    /// The position of its machine; 0 while it has none.
    pub fn icount(&self) -> Icount {
        match &self.role {
            Role::Primary(primary) => primary.icount(),
            Role::Backup(backup) => backup.icount(),
            Role::Seeking(_) => Icount::ZERO,
            Role::Halted { icount, .. } => *icount,
        }
    }

    fn machine(&self) -> Option<&Machine> {
        match &self.role {
            Role::Primary(primary) => Some(primary.machine()),
            Role::Backup(backup) => backup.machine(),
            Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }

    /// How the instructions of its machine were executed; a halted node remembers.
    pub fn executed(&self) -> Option<Executed> {
        match &self.role {
            Role::Halted { executed, .. } => *executed,
            _ => self.machine().map(Machine::executed),
        }
    }

    /// Outputs of its guest wait for the backup's acknowledgement.
    pub fn holds_outputs(&self) -> bool {
        matches!(&self.role, Role::Primary(primary) if primary.holds_outputs())
    }

    /// What the disks of this node are good for; a halted node cannot know.
    pub fn disk_standing(&self) -> Option<DiskStanding> {
        match &self.role {
            Role::Primary(primary) => Some(DiskStanding::Primary(primary.generation())),
            Role::Backup(backup) => Some(backup.disk_standing()),
            Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }

    /// The last lines of the console, as far as they are kept.
    pub fn console_lines(&self, count: usize) -> Vec<String> {
        self.common.terminals.scrollback().last_lines(count)
    }

    /// `primary`, `backup` or `halted`.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            Role::Primary(_) => "primary",
            Role::Backup(_) | Role::Seeking(_) => "backup",
            Role::Halted { .. } => "halted",
        }
    }

    /// Whether it is the primary.
    pub fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary(_))
    }

    /// Whether it has ended.
    pub fn is_halted(&self) -> bool {
        matches!(self.role, Role::Halted { .. })
    }

    /// What `lockstep status` shows.
    pub fn status(&self, now_ns: u64) -> NodeStatus {
        let engine = self.machine().map(Machine::engine);
        let mut status = NodeStatus {
            vm: self.common.vm.clone(),
            node: self.common.id.to_string(),
            role: self.role_name().into(),
            phase: "halted".into(),
            seeking: None,
            generation: self.generation(),
            protected: false,
            icount: self.icount(),
            lag_instructions: 0,
            lag_ms: 0.0,
            log_bytes: 0,
            log_seq: Seq::ZERO,
            gated_outputs: 0,
            gated_bytes: 0,
            last_audit: None,
            audits_agreed: 0,
            transfer: None,
            disk_transfer: None,
            transfer_pause_ms: None,
            outputs_released: 0,
            inputs_dropped: 0,
            arbiter_trouble: self.common.arbiter_trouble.clone(),
            switch: self.common.switch.to_string(),
            switch_trouble: self.common.switch.trouble().map(str::to_owned),
            watch: None,
            suspicions: self.common.suspicions,
            beats_run: self.common.beats_run.clone(),
            peer: self.role.peer_link().and(self.common.terminals.peer().map(str::to_owned)),
            version: self.common.version.into(),
            uptime_s: now_ns.saturating_sub(self.common.born_ns) as f64 / 1e9,
            takeovers: self.common.takeovers,
            engine: engine.map(|(engine, _)| engine.to_string()),
            translated: engine.and_then(|(_, fared)| fared).map(|fared| fared.share()),
            recording: match &self.common.recording {
                Recording::None => "none",
                Recording::On => "on",
                Recording::Ended { .. } => "ended",
            }
            .into(),
            recording_trouble: match &self.common.recording {
                Recording::Ended { why } => Some(why.clone()),
                Recording::None | Recording::On => None,
            },
            terminals: self.common.terminals.count(),
            console_bytes: self.common.terminals.scrollback().end(),
        };
        match &self.role {
            Role::Primary(primary) => primary.fill_status(&mut status, now_ns),
            Role::Backup(backup) => backup.fill_status(&mut status),
            Role::Seeking(seeking) => {
                (status.role, status.phase) = ("backup".into(), "seeking".into());
                status.seeking = Some(self.common.seek.describe(seeking));
            }
            Role::Halted { .. } => {}
        }
        status.protected &= self.common.switch.serves();
        status
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
