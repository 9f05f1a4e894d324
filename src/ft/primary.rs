//! The primary: it runs the guest live, writes the log, and lets no output go before its time.
//!
//! ```text
//!  None --Join--> Joining --caught up--> Counting --SwitchOver asked--> Counting{switching}
//!   ^               |                       |                                |
//!   |<--link lost---+                       | lost                           | the peer's generation begins
//!   |                                       v                                v
//!   +<-------------claim won----------- Claiming --claim lost--> Halt      Backup
//! ```
//!
//! Promises: while a backup counts (from the entry `Joined` on, until a claim is won) outputs wait
//! in the gate for its acknowledgement; the guest itself waits only when a bound is reached.
//!
//! Reading order: this file (its life and what comes in), `disks` (what the guest asks of them), `peer` (the
//! one other node), `copy` (its disks, while it joins),
//! `running` (a slice of the guest and what is due around it).

mod copy;
mod disks;
mod memory;
mod peer;
mod running;

use std::collections::VecDeque;

use super::clock::GuestClock;
use super::command::{Command, Halt, Plug};
use super::common::Common;
use super::detector::Detector;
use super::event::Event;
use super::gate::OutputGate;
use super::handover::{Boot, Inheritance, Next};
use super::lag::{Brake, LagMeter};
use super::link::LinkId;
use super::message::{Audit, Message};
use super::status::NodeStatus;
use super::world::World;
use crate::base::{Digest, Generation, Icount, NodeId, Sabotage, Seq};
use crate::log::{self, PAYLOAD_BYTES_MAX, Start};
use crate::machine::{Exit, Machine, Output};
use crate::replay::Recorder;
use copy::DiskCopy;
use disks::GuestDisks;
use memory::MemoryCopy;
use peer::{Counting, Peer};
use running::Live;
#[cfg(test)]
pub(crate) use running::tests as scenarios;

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
    peer: Peer,
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
    /// Digests written and not yet confirmed.
    audits: VecDeque<(Icount, Digest)>,
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
        common.commands.push(Command::StartRecording { base, seq_next: Seq(1), generation });
        let ticks = machine.time();
        let mut primary = Self::with(
            Recorder::new(machine, Seq(1)),
            generation,
            life,
            GuestClock::starting(now_ns, ticks),
            OutputGate::open(),
            Peer::None,
            now_ns,
        );
        primary.recorder.digest_every(common.settings.digest_instructions);
        primary.limit = limit;
        common.terminals.machine_stands_at(primary.recorder.machine().console_bytes());
        common.terminals.settle(true, life, &mut common.commands);
        primary.recorder.record(log::Event::Generation { generation, node: common.id, why: Start::Boot });
        primary.activate(common);
        // A machine that starts from a saved state may have left requests under way.
        primary.recorder.take_disk_requests();
        for request in primary.recorder.machine().disk_in_flight() {
            primary.ask_disk(common, request);
        }
        primary
    }

    fn with(
        recorder: Recorder,
        generation: Generation,
        life: u64,
        clock: GuestClock,
        gate: OutputGate,
        peer: Peer,
        now_ns: u64,
    ) -> Self {
        let rx_seq = recorder.machine().rx_seq();
        let icount = recorder.icount();
        Self {
            recorder,
            generation,
            life,
            clock,
            gate,
            peer,
            frames: VecDeque::new(),
            frame_last: rx_seq,
            frames_unsafe: VecDeque::new(),
            frames_safe: rx_seq,
            console: VecDeque::new(),
            disks: GuestDisks::default(),
            outputs: Vec::new(),
            flushed_ns: now_ns,
            audited: (now_ns, icount),
            audits: VecDeque::new(),
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
        let seq = recorder.record(log::Event::Generation { generation, node: common.id, why });
        let settings = &common.settings;
        let (gate, peer) = match from.old_primary {
            None => (OutputGate::open(), Peer::None),
            Some((link, node)) => {
                let acked = Seq(seq.get() - 1);
                let detector = settings.detector(now_ns);
                let lag = LagMeter::starting(recorder.icount());
                let counting = Counting {
                    link,
                    node,
                    detector,
                    lag,
                    acked,
                    since: acked,
                    switching: None,
                    disks_copied: None,
                };
                (OutputGate::guarded(acked), Peer::Counting(counting))
            }
        };
        let ticks = if Sabotage::ClockRestarts.is_on() { 0 } else { ticks.max(recorder.machine().time()) };
        let clock = GuestClock::starting(now_ns, ticks);
        let mut primary = Self::with(recorder, generation, life, clock, gate, peer, now_ns);
        primary.recorder.digest_every(common.settings.digest_instructions);
        primary.ended = ended.map(|exit| (exit, seq));
        primary.console_released = from.console_released;
        primary.activate(common);
        common.terminals.settle(true, life, &mut common.commands);
        for output in from.kept {
            primary.let_go(common, output);
        }
        // What was not kept has left long ago.
        primary.console_released = primary.recorder.machine().console_bytes();
        for request in primary.recorder.reissue(&mut Live { clock, world }) {
            primary.ask_disk(common, request);
        }
        primary.flush(common, now_ns, false);
        if !from.linked {
            primary.lose_peer(common, "it was lost during the switch-over");
        }
        primary
    }

    pub fn generation(&self) -> Generation {
        self.generation
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
        (!matches!(self.peer, Peer::Claiming { .. })).then_some((self.generation, id))
    }

    fn activate(&self, common: &mut Common) {
        let rx_seq = self.recorder.machine().rx_seq();
        common.commands.push(Command::Activate { generation: self.generation, rx_seq });
    }

    pub fn step(&mut self, common: &mut Common, event: Event, now_ns: u64) -> Next {
        match event {
            Event::Message { link, message } => return self.message(common, link, message, now_ns),
            Event::LinkClosed { link, why } => {
                if self.peer_link() == Some(link) {
                    self.lose_peer(common, &why);
                }
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
            // The node has taken it in.
            Event::ConsoleSize { .. }
            | Event::ArbiterSeen { .. }
            | Event::HolderSeen(_)
            | Event::Switch(_)
            | Event::Recording(_)
            | Event::Dialed { .. }
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
        if !matches!(self.peer, Peer::Claiming { .. }) {
            common.tell(format!("the switch serves generation {current}: asking the arbiter"));
            common.commands.push(Command::AskHolder);
        }
    }

    /// The arbiter knows of no newer generation, and yet the switch serves generation `by`: it remembers an
    /// older life, or accepted an unknown node. Alone, this node claims its way past a generation that is
    /// near; with another node, which a claim would cost, it does not. False when nothing was done.
    pub fn outbid(&mut self, common: &mut Common, by: Generation) -> bool {
        let is_near = by.get().saturating_sub(self.generation.get()) <= OUTBID_MAX;
        let outbids = matches!(self.peer, Peer::None) && is_near;
        if outbids {
            self.bid(common, self.generation.next(), common.id);
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
        let from_peer = self.peer_link() == Some(link);
        if from_peer && let Some(detector) = self.detector() {
            detector.heard(now_ns);
        }
        match message {
            Message::Join { vm, node } => self.join(common, link, &vm, node, now_ns),
            Message::SwitchOver => self.ask_switch_over(common, link),
            Message::Ack { received, executed, audited } if from_peer => {
                self.acked(common, received, executed, audited, now_ns);
            }
            Message::Heartbeat { .. } if from_peer => {}
            Message::Flushed { disk, tag } if from_peer => self.disks.peer_flushed(disk, tag),
            Message::MemoryTaken { chunks } if from_peer => {
                let taken = self.memory_copy().map_or(Ok(()), |memory| memory.taken(chunks));
                if let Err(why) = taken {
                    self.lose_peer(common, &why);
                }
            }
            Message::DiskWant { disk, first, chunks } if from_peer => {
                self.copying(common, |common, copy| copy.wanted(common, disk, first, &chunks));
            }
            Message::DiskStored { disk, .. } if from_peer => {
                self.copying(common, |common, copy| copy.stored(common, disk));
            }
            Message::Whereabouts { listen } if from_peer => {
                common.learn(&listen);
                common.terminals.peer_lives_at(&listen, &mut common.commands);
            }
            Message::Known { addresses } if from_peer => common.learn_all(&addresses),
            Message::Log(bytes) if from_peer => return self.generation_of_peer(common, link, bytes, now_ns),
            Message::Diverged(divergence) if from_peer => {
                common.tell(format!("the backup reports a {divergence}"));
                self.lose_peer(common, "it diverged");
            }
            Message::Bye { why } if from_peer => self.lose_peer(common, &why),
            Message::Refuse { why } if from_peer => self.lose_peer(common, &why),
            // Messages of a peer that was already dropped may still arrive; an unknown peer may send anything.
            _ => common.commands.push(Command::Close { link }),
        }
        Next::Stay
    }

    fn quit(&mut self, common: &mut Common, now_ns: u64) -> Next {
        let backup = match &self.peer {
            Peer::Counting(counting) => Some(counting.node),
            Peer::None | Peer::Joining(_) | Peer::Claiming { .. } => None,
        };
        if backup.is_none() && self.generation != Generation::ZERO && self.ended.is_none() {
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
            None => "ending as asked: the guest's life ends with this node".into(),
        });
        self.take_outputs(common);
        self.recorder.record_digest();
        self.flush(common, now_ns, true);
        self.release(common);
        let why = "the operator ended the primary".to_owned();
        match &self.peer {
            Peer::Counting(counting) => common.send(counting.link, Message::Bye { why }),
            Peer::Joining(joining) => {
                common.send(joining.link, Message::Bye { why });
                self.end_life(common);
            }
            Peer::None => self.end_life(common),
            Peer::Claiming { .. } => {}
        }
        Next::Halt(Halt::Quit)
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
        status.watch = self.watched().map(Detector::watch);
        status.transfer_pause_ms = self.pause_ns.map(|ns| ns as f64 / 1e6);
        let lag = match &self.peer {
            Peer::None => {
                status.phase = "alone".into();
                return;
            }
            Peer::Claiming { .. } => {
                status.phase = "claiming".into();
                return;
            }
            Peer::Joining(joining) => {
                status.phase = "transfer".into();
                let rest = joining.encoder.as_ref().map_or((0, 0), |e| (e.chunks_done(), e.chunks_total()));
                let ahead = joining.memory.as_ref().map(MemoryCopy::progress);
                status.transfer = ahead.map(|(sent, total)| (sent + rest.0, total + rest.1));
                status.disk_transfer = joining.copy.as_ref().map(DiskCopy::progress);
                &joining.lag
            }
            Peer::Counting(counting) => {
                status.phase = if counting.switching.is_some() { "switching-over" } else { "guarded" }.into();
                status.protected = counting.acked >= counting.since;
                status.disk_transfer = counting.disks_copied;
                &counting.lag
            }
        };
        status.lag_instructions = lag.instructions();
        status.lag_ms = lag.ns(now_ns) as f64 / 1e6;
    }
}
