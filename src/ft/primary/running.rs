//! The primary at work: one slice of the guest, and everything that is due around it.
//!
//! Order within a turn: look after the peer, send the snapshot, run the guest unless something prevents it,
//! mark and hold its outputs, flush the log, release what is acknowledged.

use super::super::claim::Claiming;
use super::super::clock::GuestClock;
use super::super::command::{Command, Halt};
use super::super::common::Common;
use super::super::handover::Next;
use super::super::lag::{brake_permille, join_permille};
use super::super::message::Message;
use super::super::settings::Settings;
use super::super::world::{Pace, World};
use super::Primary;
use super::follower::{Follower, Stage};
use crate::base::{Icount, Sabotage, Seq};
use crate::devices::disk::DiskRequest;
use crate::log;
use crate::machine::{Input, Output};
use crate::replay::recorder::FRAME_BYTES_SOFT;
use crate::replay::{Answers, Frame, RecordStop};

/// A pause too short for the host to sleep through exactly is polled in steps of this.
const POLL_NS: u64 = 1_000_000;

/// By here a guest has set up its console, or never will.
const CONSOLE_UP: Icount = Icount(100_000);

/// Answers a guest's questions from the host, in guest time.
pub(in crate::ft) struct Live<'a, W: World> {
    pub clock: GuestClock,
    pub world: &'a mut W,
}

impl<W: World> Answers for Live<'_, W> {
    fn ticks(&mut self) -> u64 {
        self.clock.ticks(self.world.now_ns())
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.world.entropy(bytes);
    }

    fn host_id(&mut self) -> u64 {
        self.world.host_id()
    }

    fn wall_clock_ns(&mut self) -> u64 {
        self.world.wall_clock_ns()
    }
}

impl Primary {
    pub fn run<W: World>(&mut self, common: &mut Common, world: &mut W) -> (Next, Pace) {
        let now_ns = world.now_ns();
        let stands = self.stands_for_offer();
        if let Some(since_ns) = self.paused_ns.take_if(|_| !stands) {
            self.pause_ns = Some(now_ns.saturating_sub(since_ns));
        }
        self.watch(common, world, now_ns);
        let busy = self.transfer(common, world);
        self.count_in(common, now_ns);
        let is_short = self.checkpoint(common, world, now_ns);
        let mut pace = match self.hindrance(common, world, now_ns) {
            _ if is_short => Pace::At(now_ns + POLL_NS / 4),
            Some(until_ns) => Pace::At(until_ns),
            None => self.run_slice(common, world, now_ns),
        };
        if let Some(next) = self.leave_if_store_failed(common, now_ns) {
            return (next, Pace::Now);
        }
        if let Some(next) = self.finish(common) {
            return (next, Pace::Now);
        }
        if let Pace::At(at) = pace {
            if let Some(memory) = self.memory_copy() {
                memory.guest_rests();
            }
            let mut at = at.min(self.next_look_ns()).min(common.checkpoints.next_look_ns(now_ns));
            if busy {
                at = at.min(now_ns + POLL_NS / 4);
            }
            pace = if at <= now_ns { Pace::Now } else { Pace::At(at) };
        }
        (Next::Stay, pace)
    }

    /// Looks after the followers: silence, heartbeats, claims to be tried again.
    fn watch<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) {
        if let Some(claiming) = &mut self.claiming {
            claiming.ask_again(common, now_ns);
        }
        let mut lost = Vec::new();
        for follower in self.followers.values_mut() {
            let link = follower.link;
            if let Some(suspicion) = follower.detector.suspects(now_ns, world.signs(link)) {
                common.suspicions += 1;
                lost.push((link, suspicion.to_string()));
            } else if follower.is_stuck(now_ns) {
                let why = "it makes no progress".to_owned();
                common.send(link, Message::Bye { why: why.clone() });
                lost.push((link, why));
            }
        }
        for (link, why) in lost {
            self.lose(common, link, &why);
        }
        self.heartbeat(common, world, now_ns);
        self.give_up_place_if_disk_failed(common);
        self.write_switch_over(common, now_ns);
    }

    fn heartbeat<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) {
        // In a switch-over this process lives on, and writes what it has released.
        let standing = self.standing_for_switch_over();
        let pending = if standing { 0 } else { world.console_pending() };
        let console_released = self.console_released.saturating_sub(pending);
        // The successor waits for the report that everything has left.
        let awaited = standing && self.gate.is_empty() && console_released > self.console_told;
        for follower in self.followers.values_mut() {
            if awaited || follower.detector.heartbeat_due(now_ns) {
                follower.detector.spoke(now_ns);
                self.console_told = console_released;
                let ticks = self.clock.ticks(now_ns).max(self.recorder.machine().time());
                common.send(follower.link, Message::Heartbeat { ticks, console_released });
            }
        }
    }

    /// Why the guest must not run now, as the time to look again.
    fn hindrance<W: World>(&self, common: &Common, world: &mut W, now_ns: u64) -> Option<u64> {
        if self.standing_for_switch_over() {
            return Some(u64::MAX);
        }
        let settings = &common.settings;
        let gate_full =
            self.gate.bytes_len() >= settings.gate_bytes_max || self.gate.len() >= settings.gate_outputs_max;
        if gate_full || world.outputs_blocked() {
            return Some(now_ns + POLL_NS);
        }
        if self.stands_for_offer() {
            return Some(now_ns + POLL_NS);
        }
        if self.resume_ns > now_ns {
            return Some(self.resume_ns);
        }
        None
    }

    fn run_slice<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) -> Pace {
        self.inject(common);
        // The end of one request may have begun another.
        self.ask_disks(common);
        let settings = common.settings;
        let slice = settings.slice(self.recorder.pace(), self.machine().clock_rate(), !self.gate.is_empty());
        let limit = self.icount().plus(slice).min(self.limit);
        let stop = self.recorder.run(limit, &mut Live { clock: self.clock, world }, &mut self.outputs);
        self.ask_disks(common);
        let now_ns = self.brake(&settings, now_ns, world.now_ns());
        let said = !self.outputs.is_empty();
        self.hold_outputs();
        let elapsed_ns = now_ns.saturating_sub(self.flushed_ns);
        let quiet = stop != RecordStop::Slice;
        let followed = self.followers.values().any(Follower::gets_log);
        let period_ns = if followed { settings.flush_ns } else { settings.lone_flush_ns };
        if let RecordStop::Halted(exit) = stop
            && self.ended.is_none()
        {
            self.ended = Some((exit, Seq(self.recorder.seq_next().get() - 1)));
        }
        self.note_digest(now_ns);
        let waiting_bytes = self.recorder.log_bytes_waiting();
        // A guest that comes to rest right behind a frame has nothing to report but how far it got: that goes with
        // the next heartbeat.
        let rests_with_entries = quiet && waiting_bytes > 0;
        // Disks wait for the entry behind this stretch.
        let asked = common.store.is_waited_for();
        if said || asked || rests_with_entries || elapsed_ns >= period_ns || waiting_bytes >= FRAME_BYTES_SOFT
        {
            if followed {
                self.audit(&settings, now_ns);
            }
            // An idle guest's last stretch is worth a horizon only if a node follows it.
            self.flush(common, now_ns, followed || asked || elapsed_ns >= period_ns);
        }
        self.release(common);
        match stop {
            RecordStop::Slice => Pace::Now,
            RecordStop::Idle if self.inputs_ready(common) => Pace::Now,
            RecordStop::Idle => {
                let deadline = self.recorder.machine().timer_deadline();
                Pace::At(deadline.map_or(u64::MAX, |ticks| self.clock.when(ticks)))
            }
            RecordStop::Halted(_) => Pace::At(u64::MAX),
        }
    }

    /// Notes where the guest is, and how long it must rest for its backup's sake.
    fn brake(&mut self, settings: &Settings, started_ns: u64, now_ns: u64) -> u64 {
        let icount = self.recorder.icount();
        let ran_ns = now_ns.saturating_sub(started_ns);
        if let Some(memory) = self.memory_copy() {
            memory.guest_ran(ran_ns);
        }
        let mut permille = 0;
        for follower in self.followers.values_mut().filter(|follower| follower.gets_log()) {
            follower.lag.advance(icount, now_ns);
            let lag_ns = follower.lag.ns(now_ns);
            permille = permille.max(match &follower.stage {
                Stage::Joining(joining) => {
                    joining.restored_ns.map_or(0, |since| join_permille(now_ns.saturating_sub(since)))
                }
                Stage::Counting { .. } => brake_permille(lag_ns, settings.lag_soft_ns, settings.lag_hard_ns),
            });
        }
        let rest_ns = self.brake.rest_ns(ran_ns, permille);
        if rest_ns > 0 {
            self.resume_ns = now_ns + rest_ns;
        }
        now_ns
    }

    fn inputs_ready(&self, common: &Common) -> bool {
        let machine = self.recorder.machine();
        (!self.frames.is_empty() && machine.net_ready())
            || self.disks.is_ready(&self.commit)
            || common.terminals.has_size()
            || ((!self.console.is_empty() || common.terminals.has_typed()) && self.console_room() > 0)
    }

    /// How many typed bytes may be delivered now. Setting up a serial port empties it: what comes before
    /// the guest has got that far waits.
    fn console_room(&self) -> usize {
        let machine = self.recorder.machine();
        let board = machine.board();
        let is_up = machine.icount() >= CONSOLE_UP
            || board.uart.is_listened_to()
            || board.console.transport.is_live();
        if is_up { machine.console_ready() } else { 0 }
    }

    /// Delivers what waits and fits.
    fn inject(&mut self, common: &mut Common) {
        while self.recorder.log_bytes_waiting() < FRAME_BYTES_SOFT {
            let Some(done) = self.disks.take(&self.commit) else { break };
            // A guest that has ended takes no more input.
            if self.recorder.deliver(Input::DiskDone(done)).is_err() {
                self.inputs_dropped += 1;
            }
        }
        // What does not fit into this batch of the log comes with the next.
        while self.recorder.machine().net_ready() && self.recorder.log_bytes_waiting() < FRAME_BYTES_SOFT {
            let Some((rx_seq, frame)) = self.frames.pop_front() else { break };
            match self.recorder.deliver(Input::NetFrame { rx_seq, frame }) {
                Ok(seq) => self.frames_unsafe.push_back((seq, rx_seq)),
                Err(_) => self.inputs_dropped += 1,
            }
        }
        let fits = self.console_room().min(self.console.len());
        if fits > 0 {
            let bytes: Vec<u8> = self.console.drain(..fits).collect();
            if self.recorder.deliver(Input::Console(bytes)).is_err() {
                self.inputs_dropped += 1;
            }
        }
        self.inject_typing(common);
    }

    /// Passes on what the guest has asked of its disks.
    pub(super) fn ask_disks(&mut self, common: &mut Common) {
        for request in self.recorder.take_disk_requests() {
            self.ask_disk(common, request);
        }
    }

    pub(super) fn ask_disk(&mut self, common: &mut Common, request: DiskRequest) {
        self.disks.issued(&request);
        common.ask_disk(self.recorder.determined_by(), request);
    }

    /// Delivers what terminals have typed, each piece with an entry that names its session: both are
    /// in one frame, so a successor has both or neither.
    fn inject_typing(&mut self, common: &mut Common) {
        if let Some((cols, rows)) = common.terminals.take_size()
            && self.recorder.machine().board().console.device.size() != (cols, rows)
            && self.recorder.deliver(Input::ConsoleSize { cols, rows }).is_err()
        {
            self.inputs_dropped += 1;
        }
        let room = self.console_room();
        if room > 0
            && let Some((session, upto, bytes)) = common.terminals.take_typed(room)
        {
            match self.recorder.deliver(Input::Console(bytes)) {
                Ok(_) => {
                    let entry = self.recorder.record(log::Event::Typed { session, upto });
                    common.terminals.typed_is_logged(entry, session, upto);
                }
                Err(_) => self.inputs_dropped += 1,
            }
        }
    }

    /// Writes a digest for the backup to compare when the last one is too old.
    fn audit(&mut self, settings: &Settings, now_ns: u64) {
        let (at_ns, icount) = self.audited;
        if self.ended.is_some()
            || now_ns.saturating_sub(at_ns) < settings.audit_ns
            || icount == self.recorder.icount()
        {
            return;
        }
        self.recorder.take_outputs(&mut self.outputs);
        self.hold_outputs();
        self.recorder.record_digest();
        self.note_digest(now_ns);
    }

    /// Notes a digest that was written, for its agreement to come.
    fn note_digest(&mut self, now_ns: u64) {
        let Some((icount, digest)) = self.recorder.digest_last().filter(|(at, _)| *at != self.audited.1)
        else {
            return;
        };
        self.audited = (now_ns, icount);
        for follower in self.followers.values_mut().filter(|follower| follower.gets_log()) {
            follower.awaits_audit(icount, digest);
        }
    }

    pub(super) fn take_outputs(&mut self, common: &mut Common) {
        self.recorder.take_outputs(&mut self.outputs);
        self.hold_outputs();
        self.release(common);
    }

    fn hold_outputs(&mut self) {
        for (mark, output) in self.outputs.drain(..) {
            self.gate.hold(mark, output);
        }
    }

    /// The last inbound frame that is safe with the log up to `upto`.
    pub(super) fn frames_safe_at(&self, upto: Seq) -> u64 {
        let safe = self.frames_unsafe.iter().take_while(|(seq, _)| *seq <= upto).last();
        safe.map_or(self.frames_safe, |(_, rx_seq)| *rx_seq)
    }

    /// Lets go of every output and inbound frame that the committed log explains.
    pub(super) fn release(&mut self, common: &mut Common) {
        let upto = self.commit.upto();
        while let Some(output) = self.gate.release(upto) {
            self.let_go(common, output);
        }
        common.terminals.log_is_safe(upto, &mut common.commands);
        let confirmed = if Sabotage::InboundConfirmedEarly.is_on() { Seq::MAX } else { upto };
        let safe = self.frames_safe_at(confirmed);
        while self.frames_unsafe.front().is_some_and(|(_, rx_seq)| *rx_seq <= safe) {
            self.frames_unsafe.pop_front();
        }
        if safe > self.frames_safe {
            self.frames_safe = safe;
            common.commands.push(Command::FramesSafe { rx_seq: safe });
        }
    }

    pub(super) fn let_go(&mut self, common: &mut Common, output: Output) {
        if let Output::Console { offset, bytes } = &output {
            self.console_released = self.console_released.max(offset + bytes.len() as u64);
        }
        common.terminals.heard(&output);
        self.outputs_released += 1;
        common.commands.push(Command::Release(output));
    }

    pub(super) fn flush(&mut self, common: &mut Common, now_ns: u64, horizon: bool) {
        self.flushed_ns = now_ns;
        let Some(frame) = self.recorder.flush(horizon) else { return };
        self.log_bytes += frame.bytes.len() as u64;
        let Frame { first, last, bytes } = frame;
        common.tail.push(first, last, &bytes);
        let followers = self.followers.values().filter(|follower| follower.gets_log());
        let copies: Vec<_> = followers.map(|follower| (follower.link, bytes.clone())).collect();
        common.commands.push(Command::Append { bytes });
        copies.into_iter().for_each(|(link, bytes)| common.send(link, Message::Log(bytes)));
    }

    fn next_look_ns(&self) -> u64 {
        let looks = self.followers.values().map(|follower| follower.detector.next_look_ns());
        let claim = self.claiming.as_ref().map(Claiming::next_look_ns);
        looks.chain(claim).min().unwrap_or(u64::MAX)
    }

    /// Ends the node once the guest has ended and all its output has left.
    fn finish(&mut self, common: &mut Common) -> Option<Next> {
        let limit_reached = self.icount() >= self.limit && self.ended.is_none();
        if limit_reached {
            let now_ns = self.flushed_ns;
            self.take_outputs(common);
            self.recorder.record_digest();
            self.flush(common, now_ns, true);
            return Some(Next::Halt(Halt::LimitReached));
        }
        let (exit, end) = self.ended?;
        if !self.gate.is_empty() {
            return None;
        }
        if self.claiming.is_some() || self.commit.upto() < end {
            return None;
        }
        for link in self.followers.keys() {
            common.send(*link, Message::Bye { why: "the guest has ended".into() });
        }
        self.end_life(common);
        Some(Next::Halt(Halt::GuestEnded(exit)))
    }
}

#[cfg(test)]
#[path = "running_tests.rs"]
pub(crate) mod tests;
#[cfg(test)]
#[path = "turn_tests.rs"]
mod turn_tests;
