//! The primary and the one other node: joining, counting, changing places, losing it.
//!
//! Invariant: the gate is shut *before* the entry `Joined` is written, and opens for good only when a
//! claim is won; so whatever a backup believes about itself, its primary believed first.

use std::collections::BTreeSet;

use super::super::arbiter::{ArbiterError, Claim};
use super::super::command::{Command, Halt};
use super::super::common::Common;
use super::super::detector::Detector;
use super::super::disk::DiskWorked;
use super::super::handover::{Follows, Next, Yield};
use super::super::lag::LagMeter;
use super::super::link::LinkId;
use super::super::message::{Audit, Message};
use super::super::world::World;
use super::Primary;
use super::copy::{DiskCopy, Due};
use super::memory::{self, MemoryCopy};
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::log::{self, Start};
use crate::machine::Saved;
use crate::snapshot;

/// A joiner without progress for this long, whatever else it sends, makes way for another.
pub(super) const JOIN_PROGRESS_NS: u64 = 30_000_000_000;
/// A joiner counts once it is no further behind than this.
const JOIN_LAG_NS: u64 = 20_000_000;

/// The one other node, as the primary sees it.
#[expect(clippy::large_enum_variant, reason = "a primary has one, and lives in a box")]
pub(super) enum Peer {
    /// No peer: outputs leave at once.
    None,
    /// A state transfer is under way, or the joiner catches up. It does not count.
    Joining(Box<Joining>),
    /// The backup counts.
    Counting(Counting),
    /// The backup is lost; the node that wins `generation` goes on. Outputs stay in the gate.
    Claiming { generation: Generation, after: NodeId, asked: bool, retry_ns: u64 },
}

pub(super) struct Joining {
    pub link: LinkId,
    pub node: NodeId,
    pub detector: Detector,
    /// The disks that are copied, before and beside the state.
    pub copy: Option<DiskCopy>,
    /// The memory that is sent ahead of the state.
    pub memory: Option<MemoryCopy>,
    /// The state, once it is offered; the log goes with it.
    pub encoder: Option<snapshot::Encoder<Saved>>,
    pub lag: LagMeter,
    pub acked: Option<Seq>,
    /// When it first reported that it has the state.
    pub restored_ns: Option<u64>,
    /// The position of its machine at its last report.
    pub executed: Icount,
    /// How far it had come when that last changed, and when that was.
    pub progress: (Progress, u64),
}

/// How far a joiner has come. Heartbeats are no part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    disks: (u64, u64),
    memory_taken: u32,
    state_sent: u32,
    acked: Option<Seq>,
    executed: Icount,
}

impl Joining {
    fn progress_now(&self) -> Progress {
        let disks = self.copy.as_ref().map(DiskCopy::progress);
        Progress {
            disks: disks.map_or((0, 0), |(compared, copied, _)| (compared, copied)),
            memory_taken: self.memory.as_ref().map_or(0, MemoryCopy::taken_so_far),
            state_sent: self.encoder.as_ref().map_or(0, snapshot::Encoder::chunks_done),
            acked: self.acked,
            executed: self.executed,
        }
    }

    /// True when it has got nowhere for [`JOIN_PROGRESS_NS`].
    pub fn is_stuck(&mut self, now_ns: u64) -> bool {
        let now = self.progress_now();
        let (last, since_ns) = &mut self.progress;
        if *last != now {
            (*last, *since_ns) = (now, now_ns);
        }
        now_ns.saturating_sub(*since_ns) >= JOIN_PROGRESS_NS
    }
}

pub(super) struct Counting {
    pub link: LinkId,
    pub node: NodeId,
    pub detector: Detector,
    pub lag: LagMeter,
    pub acked: Seq,
    /// Once it has acknowledged this entry, it knows that it counts.
    pub since: Seq,
    pub switching: Option<Switching>,
    /// What its join took of the disks: chunks compared, copied, in all.
    pub disks_copied: Option<(u64, u64, u64)>,
}

/// A planned switch-over under way: the guest is stopped at the entry `SwitchOver`.
#[derive(Clone, Copy)]
pub(super) struct Switching {
    /// The tool that asked for it; none when this node gives up its place by itself.
    pub asked_by: Option<LinkId>,
    /// The entry, once it is written.
    pub entry: Option<Seq>,
}

impl Primary {
    pub fn peer_link(&self) -> Option<LinkId> {
        match &self.peer {
            Peer::Joining(joining) => Some(joining.link),
            Peer::Counting(counting) => Some(counting.link),
            Peer::None | Peer::Claiming { .. } => None,
        }
    }

    /// Where the log goes: to a joiner only once it was offered the state that the log goes on from.
    pub(super) fn log_link(&self) -> Option<LinkId> {
        match &self.peer {
            Peer::Joining(joining) if joining.encoder.is_none() => None,
            _ => self.peer_link(),
        }
    }

    pub(super) fn detector(&mut self) -> Option<&mut Detector> {
        match &mut self.peer {
            Peer::Joining(joining) => Some(&mut joining.detector),
            Peer::Counting(counting) => Some(&mut counting.detector),
            Peer::None | Peer::Claiming { .. } => None,
        }
    }

    pub(super) fn watched(&self) -> Option<&Detector> {
        match &self.peer {
            Peer::Joining(joining) => Some(&joining.detector),
            Peer::Counting(counting) => Some(&counting.detector),
            Peer::None | Peer::Claiming { .. } => None,
        }
    }

    /// Gives up the connection to the peer. Only a backup that counted costs a claim.
    pub(super) fn lose_peer(&mut self, common: &mut Common, why: &str) {
        self.disks.forget_peer();
        match std::mem::replace(&mut self.peer, Peer::None) {
            Peer::None => {}
            Peer::Joining(joining) => {
                common.tell(format!("the joining backup {} is gone: {why}", joining.node));
                if let Some(copy) = &joining.copy {
                    copy.end(common);
                }
                self.recorder.machine_mut().forget_writes();
                common.commands.push(Command::Close { link: joining.link });
            }
            Peer::Counting(counting) => {
                common.tell(format!("the backup {} is lost: {why}", counting.node));
                common.commands.push(Command::Close { link: counting.link });
                if let Some(asked_by) = counting.switching.and_then(|switching| switching.asked_by) {
                    let why = "the backup was lost during the switch-over";
                    common.refuse(asked_by, why);
                }
                self.bid(common, self.generation.next(), common.id);
            }
            claiming @ Peer::Claiming { .. } => self.peer = claiming,
        }
    }

    /// Bids for `generation`, which comes after one of node `after`'s.
    pub(super) fn bid(&mut self, common: &mut Common, generation: Generation, after: NodeId) {
        common.commands.push(Command::Claim { generation, keeps: None, after });
        self.peer = Peer::Claiming { generation, after, asked: true, retry_ns: 0 };
    }

    pub(super) fn claimed(
        &mut self,
        common: &mut Common,
        generation: Generation,
        outcome: Result<Claim, ArbiterError>,
        now_ns: u64,
    ) -> Next {
        let Peer::Claiming { generation: wanted, asked, retry_ns, .. } = &mut self.peer else {
            return Next::Stay;
        };
        if *wanted != generation {
            return Next::Stay;
        }
        if outcome.is_ok() {
            common.arbiter_is(None);
        }
        match outcome {
            Ok(Claim::Won) => {
                self.peer = Peer::None;
                self.generation = generation;
                common.tell(format!("going on alone as generation {generation}"));
                let node = common.id;
                self.take_outputs(common);
                self.recorder.record(log::Event::Generation { generation, node, why: Start::Alone });
                self.flush(common, now_ns, false);
                self.activate(common);
                self.gate.unguard();
                self.release(common);
                Next::Stay
            }
            // The backup took over as planned, and this node counts: its outputs need our acknowledgement.
            Ok(Claim::Lost { to, keeps }) if keeps == Some(common.id) => {
                self.bid(common, generation.next(), to);
                Next::Stay
            }
            Ok(Claim::Lost { to, .. }) => Next::Halt(Halt::LostClaim { generation, to }),
            Err(error) => {
                common.arbiter_is(Some(format!("waiting, outputs held: {error}")));
                *asked = false;
                *retry_ns = now_ns + common.settings.claim_retry_ns;
                Next::Stay
            }
        }
    }

    pub(super) fn join(&mut self, common: &mut Common, link: LinkId, vm: &str, node: NodeId, now_ns: u64) {
        let refusal = match &self.peer {
            _ if vm != common.vm => {
                // The peer's reason may be as long as a message: ours must fit into one, too.
                let theirs: String = vm.chars().take(64).collect();
                Some(format!("this is the vm {:?}, not {theirs:?}", common.vm))
            }
            _ if self.generation == Generation::ZERO => Some("this machine runs unprotected".into()),
            _ if self.ended.is_some() => Some("the guest has ended".into()),
            _ => None,
        };
        if let Some(why) = refusal {
            common.refuse(link, why);
            return;
        }
        // None of these lasts for ever.
        let busy = match &self.peer {
            Peer::Joining(_) => Some("another backup is joining"),
            Peer::Counting(_) => Some("there is a backup already"),
            Peer::Claiming { .. } => Some("the last backup's loss is not settled"),
            Peer::None => None,
        };
        if let Some(why) = busy {
            common.put_off(link, why);
            return;
        }
        common.say_known(link);
        self.disks.forget_peer();
        let specs = self.recorder.machine().config().disks.clone();
        let at = self.icount();
        let copy = (!specs.is_empty()).then(|| {
            common.tell(format!("backup {node} joins: comparing {} disks with its own", specs.len()));
            DiskCopy::begin(common, link, &specs)
        });
        let waits = copy.is_some();
        self.peer = Peer::Joining(Box::new(Joining {
            link,
            node,
            detector: common.settings.detector_of_joining(now_ns),
            copy,
            memory: None,
            encoder: None,
            lag: LagMeter::starting(at),
            acked: None,
            restored_ns: None,
            executed: Icount::ZERO,
            progress: (Progress::default(), now_ns),
        }));
        if !waits {
            self.send_memory(common);
        }
    }

    /// The sending of the guest's memory to a joiner, if that is under way.
    pub(super) fn memory_copy(&mut self) -> Option<&mut MemoryCopy> {
        match &mut self.peer {
            Peer::Joining(joining) if joining.encoder.is_none() => joining.memory.as_mut(),
            _ => None,
        }
    }

    /// Begins to send the guest's memory, while the guest runs on.
    fn send_memory(&mut self, common: &mut Common) {
        let at = self.icount();
        let Peer::Joining(joining) = &mut self.peer else { return };
        let machine = self.recorder.machine_mut();
        let memory = MemoryCopy::begin(machine);
        let (chunks, ram_bytes) = (memory.progress().1, machine.ram().size_bytes());
        common.tell(format!("backup {} joins: sending the memory, from {at} on", joining.node));
        common.send(joining.link, Message::Memory { ram_bytes, chunks });
        joining.memory = Some(memory);
    }

    /// Saves the state and offers it to the joiner, with the pages that it lacks; from here on it gets
    /// the log.
    pub(super) fn offer(&mut self, common: &mut Common, mut pages: BTreeSet<u32>, now_ns: u64) {
        self.paused_ns = Some(now_ns);
        self.take_outputs(common);
        self.flush(common, now_ns, false);
        self.release(common);
        // What was asked of the disks up to here comes before what is asked of them next.
        self.ask_disks(common);
        let (at, seq_next) = (self.icount(), self.recorder.seq_next());
        let Peer::Joining(joining) = &mut self.peer else { return };
        let machine = self.recorder.machine_mut();
        pages.extend(machine.take_written());
        let saved = machine.save_after(&pages);
        machine.forget_writes();
        let encoder = snapshot::Encoder::new(saved);
        let (link, node) = (joining.link, joining.node);
        let rounds = joining.memory.as_ref().map_or(0, MemoryCopy::rounds);
        let left = pages.len();
        common.tell(format!(
            "backup {node} joins: sending the state at {at}, {left} pages, {rounds} more rounds"
        ));
        common.send(
            link,
            Message::Offer {
                generation: self.generation,
                node: common.id,
                seq_next,
                at,
                chunks: encoder.chunks_total(),
                life: self.life,
            },
        );
        common.send(link, common.terminals.past());
        common.say_whereabouts(link);
        joining.encoder = Some(encoder);
        joining.lag = LagMeter::starting(at);
        if let Some(copy) = &mut joining.copy {
            let ((_, copied, chunks), rounds) = (copy.progress(), copy.rounds());
            common.tell(format!("disks: {copied} of {chunks} chunks copied, {rounds} more rounds"));
            copy.offered(common);
        }
    }

    /// Goes on with the copying of disks to a joiner; an error is a reason to drop it.
    pub(super) fn copying<T>(
        &mut self,
        common: &mut Common,
        go_on: impl FnOnce(&mut Common, &mut DiskCopy) -> Result<T, String>,
    ) -> Option<T> {
        let Peer::Joining(joining) = &mut self.peer else { return None };
        let link = joining.link;
        match go_on(common, joining.copy.as_mut()?) {
            Ok(done) => Some(done),
            Err(why) => {
                common.send(link, Message::Refuse { why: why.clone() });
                self.lose_peer(common, &why);
                None
            }
        }
    }

    pub(super) fn disk_worked(&mut self, common: &mut Common, worked: DiskWorked) {
        // An answer for a joiner that is gone is dropped.
        if self.peer_link() == Some(worked.link)
            && self.copying(common, |common, copy| copy.worked(common, worked)) == Some(Due::Offer)
        {
            self.send_memory(common);
        }
    }

    /// Sends the next chunk of the memory or of the snapshot, as far as the connection takes them.
    /// True while there are more.
    pub(super) fn transfer<W: World>(&mut self, common: &mut Common, world: &mut W) -> bool {
        let Peer::Joining(joining) = &mut self.peer else { return false };
        let has_room = world.outbox_bytes(joining.link) < common.settings.transfer_window_bytes;
        if let Some(encoder) = &mut joining.encoder {
            if has_room && let Some(chunk) = encoder.next() {
                common.send(joining.link, Message::Chunk(chunk));
            }
            return encoder.chunks_done() < encoder.chunks_total();
        }
        let Some(memory) = &mut joining.memory else { return false };
        if !has_room || memory.waits() {
            return true;
        }
        let started_ns = world.now_ns();
        match memory.next(self.recorder.machine_mut()) {
            memory::Due::Send(chunk) => {
                common.send(joining.link, Message::MemoryChunk(chunk));
                memory.packed(world.now_ns().saturating_sub(started_ns));
                let (sent, total) = memory.progress();
                if memory.rounds() == 0 {
                    common.tell_tenths(sent, total, "sent");
                }
            }
            memory::Due::Offer(pages) => self.offer(common, pages, started_ns),
        }
        true
    }

    /// Makes a joiner count once it holds and follows the log closely.
    pub(super) fn count_in(&mut self, common: &mut Common, now_ns: u64) {
        let Peer::Joining(joining) = &self.peer else { return };
        let Some(acked) = joining.acked else { return };
        // Its report is not trusted: a joiner that has not been sent everything does not have it.
        let is_sent = joining.encoder.as_ref().is_some_and(|e| e.chunks_done() == e.chunks_total())
            && joining.copy.as_ref().is_none_or(DiskCopy::is_complete);
        if !is_sent {
            return;
        }
        let is_late = joining.lag.ns(now_ns) > JOIN_LAG_NS && !Sabotage::JoinLagUnlimited.is_on();
        if is_late || self.ended.is_some() {
            return;
        }
        let (link, node) = (joining.link, joining.node);
        self.take_outputs(common);
        self.release(common);
        self.gate.guard(acked);
        let Peer::Joining(joining) = std::mem::replace(&mut self.peer, Peer::None) else { return };
        let settings = &common.settings;
        self.peer = Peer::Counting(Counting {
            link,
            node,
            detector: settings.detector(now_ns),
            lag: joining.lag,
            acked,
            since: self.recorder.seq_next(),
            switching: None,
            disks_copied: joining.copy.as_ref().map(DiskCopy::progress),
        });
        common.tell(format!("backup {node} counts: protected from {} on", self.icount()));
        // A backup that reads that it counts must have the guest's time: it may go live without a further message.
        let ticks = self.clock.ticks(now_ns).max(self.recorder.machine().time());
        common.send(link, Message::Heartbeat { ticks, console_released: self.console_told });
        self.recorder.record(log::Event::Joined { node });
        self.flush(common, now_ns, false);
    }

    pub(super) fn acked(
        &mut self,
        common: &mut Common,
        received: Seq,
        executed: Icount,
        audited: Option<Audit>,
        now_ns: u64,
    ) {
        if received >= self.recorder.seq_next() {
            self.lose_peer(common, "it acknowledged what was never written");
            return;
        }
        match &mut self.peer {
            Peer::Joining(joining) if joining.encoder.is_none() => {
                self.lose_peer(common, "it acknowledged before it was offered anything");
                return;
            }
            Peer::Joining(joining) => {
                joining.acked = Some(received.max(joining.acked.unwrap_or_default()));
                joining.restored_ns.get_or_insert(now_ns);
                joining.lag.executed(executed);
                joining.executed = executed.max(joining.executed);
            }
            Peer::Counting(counting) => {
                counting.acked = received.max(counting.acked);
                counting.lag.executed(executed);
                self.gate.acknowledge(received);
            }
            Peer::None | Peer::Claiming { .. } => return,
        }
        if let Some(audit) = audited {
            while self.audits.front().is_some_and(|(icount, _)| *icount < audit.icount) {
                self.audits.pop_front();
            }
            if self.audits.front() == Some(&(audit.icount, audit.digest)) {
                self.audits.pop_front();
                self.last_audit = Some(audit);
                self.audits_agreed += 1;
            }
        }
        self.release(common);
    }

    pub(super) fn ask_switch_over(&mut self, common: &mut Common, link: LinkId) {
        match &mut self.peer {
            Peer::Counting(counting) if counting.switching.is_none() && self.ended.is_none() => {
                counting.switching = Some(Switching { asked_by: Some(link), entry: None });
            }
            Peer::Counting(_) => common.refuse(link, "a switch-over or the guest's end is under way"),
            Peer::None | Peer::Joining(_) | Peer::Claiming { .. } => {
                common.refuse(link, "there is no backup that counts: start one with `lockstep backup`");
            }
        }
    }

    /// Hands the guest to the backup when this node's disk has failed: the backup has a disk of its own, which
    /// does the request anew. A node that gives up its place so leaves ([`Primary::into_follower`]), and does not
    /// come back by itself: two failing disks do not hand the guest to and fro.
    pub(super) fn give_up_place_if_disk_failed(&mut self, common: &mut Common) {
        let Some((disk, tag)) = self.disks.failed() else { return };
        if let Peer::Counting(counting) = &mut self.peer
            && counting.switching.is_none()
            && self.ended.is_none()
        {
            counting.switching = Some(Switching { asked_by: None, entry: None });
            common.tell(format!(
                "disk {disk} of this node failed request {tag}: the backup {} goes on with its own, and this node leaves",
                counting.node
            ));
        }
    }

    pub(super) fn write_switch_over(&mut self, common: &mut Common, now_ns: u64) {
        self.take_outputs(common);
        self.recorder.record_digest();
        let seq = self.recorder.record(log::Event::SwitchOver);
        self.flush(common, now_ns, false);
        if let Peer::Counting(Counting { switching: Some(switching), .. }) = &mut self.peer {
            switching.entry = Some(seq);
        }
    }

    pub(super) fn standing_for_switch_over(&self) -> bool {
        matches!(
            &self.peer,
            Peer::Counting(Counting { switching: Some(Switching { entry: Some(_), .. }), .. })
        )
    }

    /// The peer sends log: it has taken over as planned, and this node follows from where it stands.
    pub(super) fn generation_of_peer(
        &mut self,
        common: &mut Common,
        link: LinkId,
        bytes: Vec<u8>,
        now_ns: u64,
    ) -> Next {
        let Peer::Counting(counting) = &self.peer else { return Next::Stay };
        let Some(Switching { asked_by, entry: Some(_) }) = counting.switching else {
            self.lose_peer(common, "it sent log out of turn");
            return Next::Stay;
        };
        if !self.gate.is_empty() {
            self.lose_peer(common, "it took over before it had acknowledged everything");
            return Next::Stay;
        }
        Next::Yield(Yield { link, node: counting.node, asked_by, log: bytes, now_ns })
    }

    /// Stops being the primary: the machine is stopped at `SwitchOver`, and follows from there.
    pub fn into_follower(self, common: &mut Common, to: &Yield) -> Result<Follows, Halt> {
        if let Some((disk, tag)) = self.disks.failed() {
            let why = format!("disk {disk} of the old primary failed request {tag}");
            common.send(to.link, Message::Bye { why });
            if let Some(link) = to.asked_by {
                common.refuse(link, "switched over, but the old primary left: its disk has failed");
            }
            return Err(Halt::DiskFailed { disk, tag });
        }
        let (mut machine, seq_next) = self.recorder.into_parts();
        let requests = machine.take_disk_requests();
        debug_assert!(requests.is_empty(), "a stopped guest issues no requests");
        let ticks = self.clock.ticks(to.now_ns).max(machine.time());
        Ok(Follows {
            machine,
            seq_next,
            generation: self.generation,
            life: self.life,
            ticks,
            console_released: self.console_released,
            disks: self.disks.into_left(),
        })
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
