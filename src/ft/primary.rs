//! The primary: it runs the guest live, writes the log, and lets no output go before its time.
//!
//! ```text
//!  a follower:  Join --> joining --close enough--> counting --lost--> claim without it --won--> forgotten
//!                           |                         |                     |
//!                           +--lost--> forgotten      | SwitchOver          +--lost--> Halt
//!                                                     v
//!                                      its generation begins: Backup
//! ```
//!
//! Promises: while backups count (from their entry `Joined` on, until a claim without them is won) outputs wait
//! in the gate for the acknowledgements of all of them; the guest itself waits only when a bound is reached.
//!
//! Reading order: this file (its life and what comes in), `disks` (what the guest asks of them), `follower` (another
//! node as the primary sees it), `membership` (who counts), `joining`, with `copy` (a joiner's disks) and `memory`,
//! `switch_over`, `running` (a slice of the guest and what is due around it).

mod check;
mod checkpoints;
mod copy;
mod disks;
mod follower;
mod joining;
mod membership;
mod memory;
mod running;
mod switch_over;

use std::collections::{BTreeMap, VecDeque};

use super::claim::Claiming;
use super::clock::GuestClock;
use super::command::{Command, Halt, Plug};
use super::commit::Commit;
use super::common::Common;
use super::event::Event;
use super::gate::OutputGate;
use super::handover::{Boot, Inheritance, Next};
use super::lag::Brake;
use super::link::LinkId;
use super::message::{Audit, Message};
use super::own_store::Ack;
use super::status::NodeStatus;
use super::world::World;
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::devices::disk::DISKS_MAX;
use crate::log::{self, PAYLOAD_BYTES_MAX, Start};
use crate::machine::{Exit, Machine, Output};
use crate::replay::Recorder;
use copy::DiskCopy;
use disks::GuestDisks;
use follower::{Follower, Joining};
#[cfg(test)]
pub(crate) use membership::tests as members;
pub(super) use running::Live;
#[cfg(test)]
pub(crate) use running::tests as scenarios;
use switch_over::Switching;

/// So many generations at most are claimed one after the other to get past one that only the switch knows of: each
/// is a record at the arbiter for ever.
const OUTBID_MAX: u64 = 16;
/// Console input waiting for the guest, in bytes.
const CONSOLE_WAITING_MAX: usize = 64 * 1024;

pub(super) struct Primary {
    recorder: Recorder,
    generation: Generation,
    life: u64,
    clock: GuestClock,
    gate: OutputGate,
    /// Who counts, connected or not.
    commit: Commit,
    /// The other nodes that are connected, by connection.
    followers: BTreeMap<LinkId, Follower>,
    /// A follower that counted is lost; the node that wins this claim goes on.
    claiming: Option<Claiming>,
    switching: Option<Switching>,
    /// Frames from the switch that wait for the guest.
    frames: VecDeque<(u64, Vec<u8>)>,
    /// The newest frame taken from the switch: re-sent ones are recognised by it.
    frame_last: u64,
    /// Injected frames whose log entries are not acknowledged yet.
    frames_unsafe: VecDeque<(Seq, u64)>,
    frames_safe: u64,
    console: VecDeque<u8>,
    disks: GuestDisks,
    outputs: Vec<(Seq, Output)>,
    flushed_ns: u64,
    /// When and where the last digest was written.
    audited: (u64, Icount),
    last_audit: Option<Audit>,
    audits_agreed: u64,
    brake: Brake,
    resume_ns: u64,
    limit: Icount,
    ended: Option<(Exit, Seq)>,
    console_released: u64,
    /// What the last heartbeat reported of it.
    console_told: u64,
    /// When the state was last asked for, until the guest runs again.
    paused_ns: Option<u64>,
    /// How long the guest stood still for it, then.
    pause_ns: Option<u64>,
    /// When and where the last checkpoint was written, and who waits for the next.
    checkpointed: (u64, Icount),
    checkpoint_asked: Vec<LinkId>,
    log_bytes: u64,
    outputs_released: u64,
    inputs_dropped: u64,
}

impl Primary {
    /// Starts the guest of a machine that has claimed `generation`.
    pub fn boot(common: &mut Common, boot: Boot, now_ns: u64) -> Self {
        let Boot { mut machine, generation, life, limit } = boot;
        common.commands.extend(Plug::of(&machine, life, generation, false).map(Command::PlugIn));
        let base = Box::new(machine.save());
        common.commands.push(Command::StartRecording { base, seq_next: Seq(1), generation, life });
        let ticks = machine.time();
        let mut primary = Self::with(
            Recorder::new(machine, Seq(1)),
            generation,
            life,
            GuestClock::starting(now_ns, ticks),
            now_ns,
        );
        primary.recorder.digest_every(common.settings.digest_instructions);
        primary.limit = limit;
        common.log_begins(Seq(1), generation);
        if common.settings.stores {
            common.store.begins();
        }
        primary.counts_on_disk(common);
        common.terminals.machine_stands_at(primary.recorder.machine().console_bytes());
        common.terminals.settle(true, life, &mut common.commands);
        primary.recorder.record(log::Event::Generation { generation, node: common.id, why: Start::Boot });
        primary.activate(common);
        common.standing.counts_as(common.id, generation);
        // A machine that starts from a saved state may have left requests under way.
        primary.recorder.take_disk_requests();
        for request in primary.recorder.machine().disk_in_flight() {
            primary.ask_disk(common, request);
        }
        primary
    }

    fn with(recorder: Recorder, generation: Generation, life: u64, clock: GuestClock, now_ns: u64) -> Self {
        let rx_seq = recorder.machine().rx_seq();
        let icount = recorder.icount();
        Self {
            recorder,
            generation,
            life,
            clock,
            gate: OutputGate::default(),
            commit: Commit::default(),
            followers: BTreeMap::new(),
            claiming: None,
            switching: None,
            frames: VecDeque::new(),
            frame_last: rx_seq,
            frames_unsafe: VecDeque::new(),
            frames_safe: rx_seq,
            console: VecDeque::new(),
            disks: GuestDisks::default(),
            outputs: Vec::new(),
            flushed_ns: now_ns,
            audited: (now_ns, icount),
            last_audit: None,
            audits_agreed: 0,
            brake: Brake::default(),
            resume_ns: 0,
            limit: Icount::MAX,
            ended: None,
            console_released: 0,
            console_told: 0,
            paused_ns: None,
            pause_ns: None,
            checkpointed: (now_ns, icount),
            checkpoint_asked: Vec::new(),
            log_bytes: 0,
            outputs_released: 0,
            inputs_dropped: 0,
        }
    }

    /// Goes live from a backup's end of the log.
    pub fn go_live<W: World>(common: &mut Common, world: &mut W, from: Inheritance) -> Self {
        let now_ns = world.now_ns();
        let Inheritance { machine, seq_next, generation, life, ticks, .. } = from;
        let ended = machine.halted();
        let mut recorder = Recorder::new(machine, seq_next);
        let why = if from.old_primary.is_some() { Start::SwitchOver } else { Start::Takeover };
        common.takeovers += u64::from(why == Start::Takeover);
        common.tail.begin(seq_next, generation);
        let seq = recorder.record(log::Event::Generation { generation, node: common.id, why });
        let ticks = if Sabotage::ClockRestarts.is_on() { 0 } else { ticks.max(recorder.machine().time()) };
        let clock = GuestClock::starting(now_ns, ticks);
        let at = recorder.icount();
        let mut primary = Self::with(recorder, generation, life, clock, now_ns);
        if let Some((link, node)) = from.old_primary {
            let (acked, detector) = (Seq(seq.get() - 1), common.settings.detector(now_ns));
            primary.commit.add(node, acked, [0; DISKS_MAX]);
            primary.followers.insert(link, Follower::counting(link, node, detector, at, acked));
        }
        primary.recorder.digest_every(common.settings.digest_instructions);
        primary.counts_on_disk(common);
        primary.ended = ended.map(|exit| (exit, seq));
        primary.console_released = from.console_released;
        primary.activate(common);
        common.standing.counts_as(common.id, generation);
        common.terminals.settle(true, life, &mut common.commands);
        // They may have left before, with the log that explains them on the disks of others alone.
        let explained = Seq(seq.get() - 1);
        for output in from.kept {
            match primary.commit.upto() >= explained {
                true => primary.let_go(common, output),
                false => primary.gate.hold(explained, output),
            }
        }
        // What was not kept has left long ago.
        primary.console_released = primary.recorder.machine().console_bytes();
        for request in primary.recorder.reissue(&mut Live { clock, world }) {
            primary.ask_disk(common, request);
        }
        primary.flush(common, now_ns, false);
        if let Some((link, _)) = from.old_primary.filter(|_| !from.linked) {
            primary.lose(common, link, "it was lost during the switch-over");
        }
        primary
    }

    /// Where entries count on disk, this node's own disk is one of those that are waited for.
    fn counts_on_disk(&mut self, common: &Common) {
        if common.ack == Ack::Disk {
            self.commit.own_is(common.counted_here(Seq(self.recorder.seq_next().get() - 1)));
        }
    }

    /// This node's own store has more of the log.
    fn durable(&mut self, common: &mut Common) {
        self.counts_on_disk(common);
        self.release(common);
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// With this node the guest would be lost.
    pub fn is_last(&self) -> bool {
        self.counting().next().is_none() && self.generation != Generation::ZERO && self.ended.is_none()
    }

    pub fn holds_outputs(&self) -> bool {
        !self.gate.is_empty()
    }

    pub fn icount(&self) -> Icount {
        self.recorder.icount()
    }

    pub fn life(&self) -> u64 {
        self.life
    }

    /// The machine that it runs, to look at.
    pub fn machine(&self) -> &Machine {
        self.recorder.machine()
    }

    /// This node's generation, unless it is bidding for the next.
    pub fn generation_and_holder(&self, id: NodeId) -> Option<(Generation, NodeId)> {
        self.claiming.is_none().then_some((self.generation, id))
    }

    /// The switch keeps what comes behind `rx_seq`: what is not committed yet.
    fn activate(&self, common: &mut Common) {
        let upto = if Sabotage::ActivatedAhead.is_on() { Seq::MAX } else { self.commit.upto() };
        let rx_seq = self.frames_safe_at(upto);
        common.commands.push(Command::Activate { generation: self.generation, rx_seq });
    }

    pub fn step(&mut self, common: &mut Common, event: Event, now_ns: u64) -> Next {
        match event {
            Event::Message { link, message } => return self.message(common, link, message, now_ns),
            Event::LinkClosed { link, why } => {
                self.lose(common, link, &why);
            }
            Event::Claimed { generation, outcome } => {
                return self.claimed(common, generation, outcome, now_ns);
            }
            Event::Frame { rx_seq, frame } => self.frame(common, rx_seq, frame),
            Event::ConsoleInput(bytes) => {
                let room = CONSOLE_WAITING_MAX - self.console.len();
                self.inputs_dropped += bytes.len().saturating_sub(room) as u64;
                self.console.extend(bytes.into_iter().take(room));
            }
            Event::DiskDone(done) => self.disks.ended(done),
            Event::DiskWorked(worked) => self.disk_worked(common, worked),
            Event::Durable { .. } => self.durable(common),
            Event::Checkpointed { seq, outcome } => {
                let machine = self.recorder.machine_mut();
                common.with_checkpoints(|checkpoints, common| {
                    checkpoints.ended(common, Some(machine), seq, outcome, now_ns);
                });
            }
            Event::Store(_) => {
                if let Some(why) = common.store_failure() {
                    common.tell(format!(
                        "this node's store has ended, and the log counts there: what the guest outputs waits until a \
                         backup can carry it on ({why})"
                    ));
                }
            }
            // The node has taken it in.
            Event::Stored(_)
            | Event::StoredAll(_)
            | Event::ConsoleSize { .. }
            | Event::ArbiterSeen { .. }
            | Event::HolderSeen(_)
            | Event::Switch(_)
            | Event::Recording(_)
            | Event::Dialed { .. }
            | Event::Rehearsed { .. }
            | Event::RoleLeft => {}
            Event::Fenced { current } => self.fenced(common, current),
            Event::Quit => return self.quit(common, now_ns),
        }
        Next::Stay
    }

    /// The switch takes this node for stale. The arbiter knows.
    fn fenced(&mut self, common: &mut Common, current: Generation) {
        if current <= self.generation || self.generation == Generation::ZERO {
            return;
        }
        // A claim that is under way decides.
        if self.claiming.is_none() {
            common.tell(format!("the switch serves generation {current}: asking the arbiter"));
            common.commands.push(Command::AskHolder);
        }
    }

    /// The arbiter knows of no newer generation, and yet the switch serves generation `by`: it remembers an
    /// older life, or accepted an unknown node. Alone, this node claims its way past a generation that is
    /// near; with another node, which a claim would cost, it does not. False when nothing was done.
    pub fn outbid(&mut self, common: &mut Common, by: Generation) -> bool {
        let is_near = by.get().saturating_sub(self.generation.get()) <= OUTBID_MAX;
        let outbids = self.followers.is_empty() && self.claiming.is_none() && is_near;
        if outbids {
            self.claim(common, self.generation.next(), common.id);
        }
        outbids
    }

    fn frame(&mut self, common: &mut Common, rx_seq: u64, frame: Vec<u8>) {
        if rx_seq <= self.frame_last && !Sabotage::InboundRepeated.is_on() {
            return;
        }
        self.frame_last = rx_seq;
        if self.frames.len() >= common.settings.inputs_waiting_max || frame.len() > PAYLOAD_BYTES_MAX {
            self.inputs_dropped += 1;
            return;
        }
        self.frames.push_back((rx_seq, frame));
    }

    fn message(&mut self, common: &mut Common, link: LinkId, message: Message, now_ns: u64) -> Next {
        let follower = self.followers.get_mut(&link);
        let from_peer = follower.is_some();
        if let Some(follower) = follower {
            follower.detector.heard(now_ns);
        }
        match message {
            Message::Join { vm, node } if !from_peer => self.join(common, link, &vm, node, now_ns),
            Message::Resume { vm, node, life, held, generation } if !from_peer => {
                self.resume(common, link, (&vm, life), node, (held, generation), now_ns);
            }
            Message::SwitchOver if !from_peer => self.ask_switch_over(common, link),
            Message::Ack { received, durable, executed, audited } if from_peer => {
                self.acked(common, link, (received, durable, executed), audited, now_ns);
            }
            Message::Heartbeat { .. } if from_peer => {}
            Message::Flushed { disk, tag } if from_peer => self.peer_flushed(link, disk, tag),
            Message::MemoryTaken { chunks } if from_peer => {
                let joining = self.followers.get_mut(&link).and_then(Follower::joining_mut);
                let memory = joining.and_then(|joining| joining.memory.as_mut());
                if let Err(why) = memory.map_or(Ok(()), |memory| memory.taken(chunks)) {
                    self.lose(common, link, &why);
                }
            }
            Message::DiskWant { disk, first, chunks } if from_peer => {
                self.copying(common, link, |common, copy| copy.wanted(common, disk, first, &chunks));
            }
            Message::DiskStored { disk, .. } if from_peer => {
                self.copying(common, link, |common, copy| copy.stored(common, disk));
            }
            Message::Whereabouts { listen } if from_peer => {
                common.learn(&listen);
                // Whoever is the next primary, the others find it.
                for other in self.followers.keys().filter(|other| **other != link) {
                    common.send(*other, Message::Known { addresses: vec![listen.clone()] });
                }
                if let Some(follower) = self.followers.get_mut(&link) {
                    follower.address = Some(listen.clone());
                }
                common.terminals.peer_lives_at(&listen, &mut common.commands);
            }
            Message::Known { addresses } if from_peer => common.learn_all(&addresses),
            Message::Log(bytes) if from_peer => return self.generation_of_heir(common, link, bytes, now_ns),
            Message::Diverged(divergence) if from_peer => {
                if let Some(Follower { node, .. }) = self.followers.get(&link) {
                    common.divergences.reported(*node, &divergence);
                    common.warn(format!("the backup {node} reports a {divergence}"));
                }
                self.lose(common, link, "it diverged");
            }
            Message::Bye { why } | Message::Refuse { why } if from_peer => self.lose(common, link, &why),
            // Messages of a peer that was already dropped may still arrive; an unknown peer may send anything.
            _ => common.commands.push(Command::Close { link }),
        }
        Next::Stay
    }

    fn quit(&mut self, common: &mut Common, now_ns: u64) -> Next {
        let backup = self.counting().next().map(|follower| follower.node);
        let keeps = common.store.durable().is_some() && self.ended.is_none();
        if self.is_last() && !keeps {
            let lost = format!(
                "no backup counts, and with this node the guest would be lost: its memory, and what it has done since \
                 its start ({} instructions ago) and not written to a disk",
                self.icount()
            );
            if !common.is_insisted_on(now_ns, &lost) {
                return Next::Stay;
            }
        }
        common.tell(match backup {
            Some(node) => format!("ending as asked: the backup {node} carries the guest on"),
            None if keeps => {
                format!(
                    "suspended at {}: `lockstep primary` with this node's --store goes on from there",
                    self.icount()
                )
            }
            None => "ending as asked: the guest's life ends with this node".into(),
        });
        self.take_outputs(common);
        self.recorder.record_digest();
        self.flush(common, now_ns, true);
        self.release(common);
        let why = "the operator ended the primary".to_owned();
        for link in self.followers.keys() {
            common.send(*link, Message::Bye { why: why.clone() });
        }
        // What a claim that is under way decides is not this node's any more.
        if backup.is_none() && self.claiming.is_none() && !keeps {
            self.end_life(common);
        }
        Next::Halt(Halt::Quit)
    }

    /// Leaves the guest to the backups once this node's store has failed, and one of them can carry it on.
    fn leave_if_store_failed(&mut self, common: &mut Common, now_ns: u64) -> Option<Next> {
        let can_go_on = self.claiming.is_none() && self.counting().any(Follower::knows_that_it_counts);
        let why = common.store_failure().filter(|_| can_go_on)?.to_owned();
        self.take_outputs(common);
        self.flush(common, now_ns, true);
        for link in self.followers.keys() {
            common.send(*link, Message::Bye { why: format!("the primary's store failed: {why}") });
        }
        Some(Next::Halt(Halt::StoreFailed { why }))
    }

    fn end_life(&self, common: &mut Common) {
        if self.generation != Generation::ZERO {
            common.commands.push(Command::EndLife { generation: self.generation });
        }
    }

    pub fn fill_status(&self, status: &mut NodeStatus, now_ns: u64) {
        status.log_bytes = self.log_bytes;
        status.log_seq = Seq(self.recorder.seq_next().get() - 1);
        status.gated_outputs = self.gate.len();
        status.gated_bytes = self.gate.bytes_len();
        status.last_audit = self.last_audit;
        status.audits_agreed = self.audits_agreed;
        status.outputs_released = self.outputs_released;
        status.inputs_dropped = self.inputs_dropped;
        status.transfer_pause_ms = self.pause_ns.map(|ns| ns as f64 / 1e6);
        let slowest = |follower: &&Follower| (follower.lag.ns(now_ns), follower.lag.instructions());
        let shown = self.counting().max_by_key(slowest).or_else(|| self.followers.values().next());
        status.watch = shown.map(|follower| follower.detector.watch());
        status.phase = match shown {
            _ if self.claiming.is_some() => "claiming",
            None => "alone",
            Some(_) if self.switching.is_some() => "switching-over",
            Some(follower) if follower.counts() => "guarded",
            Some(_) => "transfer",
        }
        .into();
        status.protected = self.claiming.is_none() && self.counting().any(Follower::knows_that_it_counts);
        if let Some(follower) = shown.filter(|_| self.claiming.is_none()) {
            status.lag_instructions = follower.lag.instructions();
            status.lag_ms = follower.lag.ns(now_ns) as f64 / 1e6;
        }
        let joining = self.followers.values().find_map(Follower::joining_now);
        status.transfer = joining.and_then(Joining::transfer);
        let copied = |joining: &Joining| joining.copy.as_ref().map(DiskCopy::progress);
        status.disk_transfer =
            joining.map_or_else(|| shown.and_then(|follower| follower.disks_copied), copied);
        status.committed = Some(self.commit.upto().min(status.log_seq));
        status.followers = self.followers.values().map(|follower| follower.status(now_ns)).collect();
    }
}
