//! A node that joins: its disks, the guest's memory, the state, and then the log until it counts.

use std::collections::BTreeSet;

use super::Primary;
use super::copy::{DiskCopy, Due};
use super::follower::{Follower, JOIN_LAG_NS, Joining, Stage};
use super::memory::{self, MemoryCopy};
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::ft::command::Command;
use crate::ft::common::Common;
use crate::ft::disk::DiskWorked;
use crate::ft::lag::LagMeter;
use crate::ft::link::LinkId;
use crate::ft::message::Message;
use crate::ft::world::World;
use crate::log::{self, Behind};
use crate::snapshot;

impl Primary {
    pub(super) fn join(&mut self, common: &mut Common, link: LinkId, vm: &str, node: NodeId, now_ns: u64) {
        if let Some(why) = self.refusal(common, vm) {
            return common.refuse(link, why);
        }
        if let Some(why) = self.has_no_place(common, node) {
            return common.put_off(link, why);
        }
        common.say_known(link);
        let detector = common.settings.detector_of_joining(now_ns);
        let mut follower = Follower::joining(link, node, detector, self.icount(), now_ns);
        let specs = self.recorder.machine().config().disks.clone();
        if !specs.is_empty()
            && let Some(joining) = follower.joining_mut()
        {
            common.tell(format!("backup {node} joins: comparing {} disks with its own", specs.len()));
            joining.copy = Some(DiskCopy::begin(common, link, &specs));
        }
        self.followers.insert(link, follower);
        if specs.is_empty() {
            self.send_memory(common, link);
        }
    }

    /// A node that has the guest's machine asks for the log behind entry `held`, which is of `generation`.
    pub(super) fn resume(
        &mut self,
        common: &mut Common,
        link: LinkId,
        (vm, life): (&str, u64),
        node: NodeId,
        (held, generation): (Seq, Generation),
        now_ns: u64,
    ) {
        if let Some(why) = self.refusal(common, vm) {
            return common.refuse(link, why);
        }
        if let Some(why) = self.has_no_place(common, node) {
            return common.put_off(link, why);
        }
        // Everything that is written is in the tail then.
        self.take_outputs(common);
        self.flush(common, now_ns, false);
        let is_ours = life == self.life && common.tail.generation_of(held) == Some(generation)
            || Sabotage::ResumeUnchecked.is_on();
        if !is_ours || common.tail.behind(held) == Behind::Gone {
            let why = match is_ours {
                true => format!("the log behind entry {held} is not kept any more"),
                false => format!("entry {held} of generation {generation} is not in this node's log"),
            };
            return Self::begins_anew(common, link, why);
        }
        let last = common.tail.last();
        common.tell(format!(
            "backup {node} goes on from entry {held} of {last}: the log behind it, and no state, are sent"
        ));
        common.send(link, Message::Resumed { generation: self.generation, node: common.id, ack: common.ack });
        common.say_whereabouts(link);
        common.say_known(link);
        let detector = common.settings.detector_of_joining(now_ns);
        let at = self.icount();
        let mut follower = Follower::joining(link, node, detector, Icount::ZERO, now_ns);
        follower.lag.advance(at, now_ns);
        if let Some(joining) = follower.joining_mut() {
            (joining.resumed, joining.sent, joining.level_at, joining.base) = (true, Some(held), at, held);
        }
        self.followers.insert(link, follower);
    }

    fn begins_anew(common: &mut Common, link: LinkId, why: String) {
        common.send(link, Message::Anew { why });
        common.commands.push(Command::Close { link });
    }

    /// Sends resumed followers the log that they lack, as far as their connections take it. True while there is more.
    fn catch_up<W: World>(&mut self, common: &mut Common, world: &mut W) -> bool {
        let (mut has_more, mut outrun) = (false, Vec::new());
        for follower in self.followers.values_mut() {
            let link = follower.link;
            let Some(joining) = follower.joining_mut() else { continue };
            let mut room = common.settings.transfer_window_bytes.saturating_sub(world.outbox_bytes(link));
            while let Some(sent) = joining.sent {
                match common.tail.behind(sent) {
                    Behind::Nothing => joining.sent = None,
                    Behind::Frame { .. } if room == 0 => {
                        has_more = true;
                        break;
                    }
                    Behind::Frame { last, bytes } => {
                        joining.sent = Some(last);
                        room = room.saturating_sub(bytes.len());
                        let bytes = bytes.to_vec();
                        common.send(link, Message::Log(bytes));
                    }
                    Behind::Gone => {
                        outrun.push(link);
                        break;
                    }
                }
            }
        }
        for link in outrun {
            let why = "the log that it lacks is not kept any more".to_owned();
            Self::begins_anew(common, link, why.clone());
            self.lose(common, link, &why);
        }
        has_more
    }

    /// Why no node of `vm` can ever join.
    fn refusal(&self, common: &Common, vm: &str) -> Option<String> {
        if vm != common.vm {
            // The peer's reason may be as long as a message: ours must fit into one, too.
            let theirs: String = vm.chars().take(64).collect();
            return Some(format!("this is the vm {:?}, not {theirs:?}", common.vm));
        }
        if self.generation == Generation::ZERO {
            return Some("this machine runs unprotected".into());
        }
        self.ended.is_some().then(|| "the guest has ended".into())
    }

    /// Why `node` cannot join now. None of these lasts for ever.
    fn has_no_place(&self, common: &Common, node: NodeId) -> Option<&'static str> {
        let is_sent = |follower: &Follower| follower.joining_now().is_none_or(Joining::is_sent);
        if self.claiming.is_some() {
            return Some("the last backup's loss is not settled");
        }
        if !self.followers.values().all(is_sent) {
            return Some("another backup is joining");
        }
        if self.followers.len() >= common.settings.backups_max {
            return Some(match common.settings.backups_max {
                1 => "there is a backup already",
                _ => "there are as many backups as this primary takes",
            });
        }
        let is_here = node == common.id || self.followers.values().any(|follower| follower.node == node);
        is_here.then_some("a node of this identity is here already")
    }

    /// The joiner that its state is being sent to.
    fn transferring(&mut self) -> Option<(LinkId, NodeId, &mut Joining)> {
        self.followers.values_mut().find_map(|follower| {
            let (link, node) = (follower.link, follower.node);
            let joining = follower.joining_mut().filter(|joining| !joining.resumed && !joining.is_sent())?;
            Some((link, node, joining))
        })
    }

    /// The sending of the guest's memory to a joiner, if that is under way.
    pub(super) fn memory_copy(&mut self) -> Option<&mut MemoryCopy> {
        let (_, _, joining) = self.transferring()?;
        joining.memory.as_mut().filter(|_| joining.encoder.is_none())
    }

    /// Begins to send the guest's memory, while the guest runs on.
    fn send_memory(&mut self, common: &mut Common, link: LinkId) {
        let at = self.icount();
        let Some(follower) = self.followers.get_mut(&link) else { return };
        let node = follower.node;
        let Some(joining) = follower.joining_mut() else { return };
        let machine = self.recorder.machine_mut();
        let memory = MemoryCopy::begin(machine);
        let (chunks, ram_bytes) = (memory.progress().1, machine.ram().size_bytes());
        common.tell(format!("backup {node} joins: sending the memory, from {at} on"));
        common.send(link, Message::Memory { ram_bytes, chunks });
        joining.memory = Some(memory);
    }

    /// Saves the state and offers it to the joiner, with the pages that it lacks; from here on it gets
    /// the log.
    pub(super) fn offer(&mut self, common: &mut Common, link: LinkId, mut pages: BTreeSet<u32>, now_ns: u64) {
        self.paused_ns.get_or_insert(now_ns);
        self.take_outputs(common);
        self.flush(common, now_ns, false);
        self.release(common);
        // What was asked of the disks up to here comes before what is asked of them next.
        self.ask_disks(common);
        let (at, seq_next) = (self.icount(), self.recorder.seq_next());
        let Some(follower) = self.followers.get_mut(&link) else { return };
        let node = follower.node;
        let machine = self.recorder.machine_mut();
        pages.extend(machine.take_written());
        let saved = machine.save_after(&pages);
        machine.forget_writes();
        let encoder = snapshot::Encoder::new(saved);
        follower.lag = LagMeter::starting(at);
        let Some(joining) = follower.joining_mut() else { return };
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
                ack: common.ack,
            },
        );
        common.send(link, common.terminals.past());
        common.say_whereabouts(link);
        joining.encoder = Some(encoder);
        joining.base = Seq(seq_next.get() - 1);
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
        link: LinkId,
        go_on: impl FnOnce(&mut Common, &mut DiskCopy) -> Result<T, String>,
    ) -> Option<T> {
        let joining = self.followers.get_mut(&link).and_then(Follower::joining_mut)?;
        match go_on(common, joining.copy.as_mut()?) {
            Ok(done) => Some(done),
            Err(why) => {
                common.send(link, Message::Refuse { why: why.clone() });
                self.lose(common, link, &why);
                None
            }
        }
    }

    pub(super) fn disk_worked(&mut self, common: &mut Common, worked: DiskWorked) {
        let machine = self.recorder.machine_mut();
        if common
            .with_checkpoints(|checkpoints, common| checkpoints.disk_worked(common, Some(machine), &worked))
        {
            return;
        }
        // An answer for a joiner that is gone is dropped.
        let link = worked.link;
        if self.copying(common, link, |common, copy| copy.worked(common, worked)) == Some(Due::Offer) {
            self.send_memory(common, link);
        }
    }

    /// Sends the next chunk of the memory or of the snapshot, as far as the connection takes them.
    /// True while there are more.
    pub(super) fn transfer<W: World>(&mut self, common: &mut Common, world: &mut W) -> bool {
        let catches_up = self.catch_up(common, world);
        let Some((link, _, joining)) = self.transferring() else { return catches_up };
        let has_room = world.outbox_bytes(link) < common.settings.transfer_window_bytes;
        if let Some(encoder) = &mut joining.encoder {
            if has_room && let Some(chunk) = encoder.next() {
                common.send(link, Message::Chunk(chunk));
            }
            return encoder.chunks_done() < encoder.chunks_total();
        }
        if joining.offer_due.is_some() {
            self.offer_if_drained(common, link, world.now_ns());
            return true;
        }
        if !has_room || joining.memory.as_ref().is_some_and(MemoryCopy::waits) {
            return catches_up || joining.memory.is_some();
        }
        // A joiner and the recorder are two parts of this primary.
        let Some(mut memory) = joining.memory.take() else { return catches_up };
        let started_ns = world.now_ns();
        let due = memory.next(self.recorder.machine_mut());
        if matches!(due, memory::Due::Send(_)) {
            memory.packed(world.now_ns().saturating_sub(started_ns));
        }
        let ((sent, total), rounds) = (memory.progress(), memory.rounds());
        if let Some(joining) = self.followers.get_mut(&link).and_then(Follower::joining_mut) {
            joining.memory = Some(memory);
        }
        match due {
            memory::Due::Send(chunk) => {
                common.send(link, Message::MemoryChunk(chunk));
                if rounds == 0 {
                    common.tell_tenths(sent, total, "sent");
                }
            }
            memory::Due::Offer(pages) => {
                if let Some(joining) = self.followers.get_mut(&link).and_then(Follower::joining_mut) {
                    joining.offer_due = Some(pages);
                }
                self.paused_ns = Some(started_ns);
                self.offer_if_drained(common, link, started_ns);
            }
        }
        true
    }

    /// Offers the state that is due once no output from before it waits.
    fn offer_if_drained(&mut self, common: &mut Common, link: LinkId, now_ns: u64) {
        self.take_outputs(common);
        // With a store that has failed nothing leaves any more, and the joiner is who can go on.
        let drains = common.store_failure().is_none();
        if !self.gate.is_empty() && drains && !Sabotage::OfferedEarly.is_on() {
            // Those who have to acknowledge them must have the log for it.
            return self.flush(common, now_ns, false);
        }
        let joining = self.followers.get_mut(&link).and_then(Follower::joining_mut);
        if let Some(pages) = joining.and_then(|joining| joining.offer_due.take()) {
            self.offer(common, link, pages, now_ns);
        }
    }

    /// The guest stands still for an offer. While a claim is undecided it does not: that may take long.
    pub(super) fn stands_for_offer(&self) -> bool {
        let due =
            |follower: &Follower| follower.joining_now().is_some_and(|joining| joining.offer_due.is_some());
        self.claiming.is_none() && self.followers.values().any(due)
    }

    /// Makes joiners count that hold and follow the log closely.
    pub(super) fn count_in(&mut self, common: &mut Common, now_ns: u64) {
        // Who counts in the next generation is being settled; behind `SwitchOver` comes nothing of this one.
        if self.claiming.is_some() || self.switching.is_some() || self.ended.is_some() {
            return;
        }
        let is_close = |follower: &&Follower| {
            let is_late = follower.lag.ns(now_ns) > JOIN_LAG_NS && !Sabotage::JoinLagUnlimited.is_on();
            let has_all = |joining: &Joining| {
                let is_level = follower.executed >= joining.level_at || Sabotage::ResumedEarly.is_on();
                joining.is_sent() && is_level && follower.acked >= Some(joining.base)
            };
            !is_late && follower.joining_now().is_some_and(has_all)
        };
        let Some(link) = self.followers.values().find(is_close).map(|follower| follower.link) else { return };
        self.take_outputs(common);
        self.release(common);
        let since = self.recorder.seq_next();
        let Some(follower) = self.followers.get_mut(&link) else { return };
        let node = follower.node;
        self.commit.add(node, follower.acked.unwrap_or_default(), follower.flushed);
        follower.disks_copied =
            follower.joining_now().and_then(|joining| joining.copy.as_ref()).map(DiskCopy::progress);
        follower.detector = common.settings.detector(now_ns);
        follower.stage = Stage::Counting { since };
        common.tell(format!("backup {node} counts: protected from {} on", self.icount()));
        // A backup that reads that it counts must have the guest's time: it may go live without a further message.
        let ticks = self.clock.ticks(now_ns).max(self.recorder.machine().time());
        common.send(link, Message::Heartbeat { ticks, console_released: self.console_told });
        self.recorder.record(log::Event::Joined { node });
        self.flush(common, now_ns, false);
    }
}
