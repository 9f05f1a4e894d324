//! The backup: it holds the log, obeys it, and goes live when the primary is gone and the claim won.
//!
//! ```text
//! Asking --Offer--> Receiving --last chunk--> Following --Joined entry--> Following, counting
//!    |                  |                         |                            |
//!    +------ primary lost: nothing to save -------+                            | primary lost, or
//!                       v                                                      | SwitchOver obeyed
//!                     Halt            claim lost: Halt <---- Claiming <--------+
//!                                                               | claim won *and* log drained
//!                                                               v
//!                                                            Primary
//! ```
//!
//! A backup that has lost its place through no fault of its own keeps its machine and looks for the primary
//! ([`Away`]): if that has the log which this one lacks, it goes on from where it is, and counts again later. Otherwise it
//! leaves its role, and joins anew. So does one whose replay differs from the log, if it still has a primary.
//!
//! Promises: it claims only while it counts; it replays only once its disks hold all that the state
//! takes for done, and does to them what the guest does to its own; it goes live only at the end of every entry it has
//! acknowledged, hence past the mark of every output that may have left.

mod restart;

use core::fmt::Display;
use std::collections::VecDeque;

use super::arbiter::{ArbiterError, Claim, Holder};
use super::claim::Claiming;
use super::clock::{GuestClock, TICK_NS};
use super::command::{Command, Halt, Plug};
use super::common::Common;
use super::detector::Detector;
use super::disk::DiskWorked;
use super::event::Event;
use super::fetch::DiskFetch;
use super::handover::{Follows, Inheritance, Next, Restart, Yield};
use super::kept::KeptOutputs;
use super::link::LinkId;
use super::message::{Audit, Message};
use super::mirror::{Ended, Mirror};
use super::own_store::Ack;
use super::seek::Looking;
use super::standing::Standing;
use super::status::{DiskStanding, NodeStatus};
use super::world::{Pace, World};
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::devices::disk::DiskDone;
use crate::log::{self, Entry, frame::decode_frame};
use crate::machine::config::RAM_BYTES_MAX;
use crate::machine::{Arriving, Exit, Machine};
use crate::replay::{Divergence, Followed, ReplayStop, Replayer};
use crate::snapshot::{
    self,
    ahead::{self, Ahead},
};
use restart::WAIT_FOR_NEWER_NS;

/// A running node that is the primary answers a joiner sooner than this.
const ANSWER_NS: u64 = 3_000_000_000;
/// The most chunks that a snapshot of that much RAM takes.
const CHUNKS_MAX: u32 = 1 << 18;

enum State {
    /// `Join` is sent.
    Asking,
    /// The snapshot is coming in, and log with it.
    Receiving {
        decoder: Box<snapshot::Decoder>,
        chunks: u32,
        chunks_done: u32,
        seq_next: Seq,
        log: VecDeque<Vec<u8>>,
    },
    /// The machine obeys the log.
    Following(Box<Replayer>),
}

/// Without a primary, with a machine in hand.
#[derive(Debug)]
enum Away {
    /// It reads the log behind a checkpoint from its own store.
    Reading,
    /// The arbiter is asked who holds the newest generation: this node may carry the guest on itself. If there is no
    /// answer, it is asked again at this time.
    AskingHolder {
        again_ns: u64,
    },
    Looking(Looking),
    /// The present connection is to a node that was asked for the log.
    Asked,
}

/// A bid for the next generation.
struct Bid {
    claiming: Claiming,
    won: bool,
    /// A planned change of places: the old primary becomes the backup, and counts from the start.
    planned: bool,
}

pub(super) struct Backup {
    link: LinkId,
    /// False once the connection to the primary is gone or given up.
    linked: bool,
    primary: NodeId,
    generation: Generation,
    /// The holder of `generation` at the arbiter: the primary, except for the moment in which this node stops
    /// being primary and has not yet read its successor's generation.
    holder: NodeId,
    life: u64,
    state: State,
    counting: bool,
    /// It counts from this entry on, and its own store does not have that yet: what was acknowledged before is not known
    /// to be there after a crash.
    counts_from: Option<Seq>,
    /// The machine has obeyed the log up to where it counts: its disks have done what went before.
    in_step: bool,
    detector: Detector,
    /// The other side has sent any message at all.
    is_answered: bool,
    bid: Option<Bid>,
    /// It follows no primary, and looks for one that its machine can go on with.
    away: Option<Away>,
    /// It has come from its own store and found no primary: from this time on it may be one itself.
    alone_ns: Option<u64>,
    /// No primary can go on from its machine: it has to join anew.
    outdated: bool,
    /// The primary is stopped at `SwitchOver`, and so is this machine: once all earlier output has left, this
    /// node claims.
    handed_over: bool,
    kept: KeptOutputs,
    /// The guest's memory, as far as it came ahead of the state; and how many chunks have come, of how many.
    arriving: Option<(Box<Arriving>, u32, u32)>,
    /// The disks that are compared and copied, until the machine is restored.
    fetch: Option<DiskFetch>,
    /// This node's own disks, once it does.
    mirror: Mirror,
    /// The guest's clock as the primary last reported it, and when.
    ticks_heard: Option<(u64, u64)>,
    console_released: u64,
    /// Frames received, by last sequence, to know how much log waits.
    backlog: VecDeque<(Seq, usize)>,
    backlog_bytes: usize,
    /// Set when something is to be acknowledged.
    ack_due: bool,
    ack_ns: u64,
    ack_executed: Icount,
    /// The last run has only acknowledged.
    told_last: bool,
    /// Agreed, and not yet reported to the primary.
    audit: Option<Audit>,
    last_audit: Option<Audit>,
    audits_agreed: u64,
    ended: Option<Exit>,
    /// Why the primary's machine is not one for this node.
    unfit: Option<String>,
    /// The primary has reported that the guest's end, and everything before it, is settled.
    farewell: bool,
    /// The tool that asked for the switch-over which made this node a backup.
    answer_to: Option<LinkId>,
    log_bytes: u64,
    followed: Vec<Followed>,
}

impl Backup {
    pub fn join(common: &mut Common, link: LinkId, now_ns: u64) -> Self {
        common.send(link, Message::Join { vm: common.vm.clone(), node: common.id });
        Self::with(common, link, NodeId::ZERO, Generation::ZERO, 0, State::Asking, now_ns)
    }

    /// The old primary after a planned switch-over: its machine stands exactly where the new
    /// generation's log begins.
    pub fn after_switch_over(common: &mut Common, to: Yield, follows: Follows) -> Result<Self, Halt> {
        let Follows { machine, seq_next, .. } = follows;
        let plug = Plug::of(&machine, follows.life, follows.generation, true);
        common.commands.extend(plug.map(Command::PlugIn));
        let state = State::Following(Box::new(Replayer::new(machine, seq_next)));
        let mut backup =
            Self::with(common, to.link, to.node, follows.generation, follows.life, state, to.now_ns);
        common.terminals.settle(false, follows.life, &mut common.commands);
        backup.console_released = follows.console_released;
        backup.ticks_heard = Some((follows.ticks, to.now_ns));
        backup.holder = common.id;
        backup.counting = true;
        backup.in_step = true;
        backup.detector = common.settings.detector(to.now_ns);
        common.standing.counts_as(common.id, follows.generation);
        backup.answer_to = to.asked_by;
        for ended in backup.mirror.take_over(follows.disks) {
            match ended {
                Ended::Quietly => {}
                Ended::Flushed { disk, tag } => common.send(backup.link, Message::Flushed { disk, tag }),
                Ended::Failed { disk, tag } => return Err(Halt::DiskFailed { disk, tag }),
            }
        }
        match backup.log(common, to.log, to.now_ns) {
            Ok(()) => Ok(backup),
            Err(why) => Err(Halt::NotJoined { why, for_good: false }),
        }
    }

    fn with(
        common: &Common,
        link: LinkId,
        primary: NodeId,
        generation: Generation,
        life: u64,
        state: State,
        now_ns: u64,
    ) -> Self {
        let settings = &common.settings;
        Self {
            link,
            linked: true,
            primary,
            generation,
            holder: primary,
            life,
            state,
            counting: false,
            counts_from: None,
            in_step: false,
            detector: settings.detector_with(now_ns, ANSWER_NS),
            is_answered: false,
            bid: None,
            away: None,
            alone_ns: None,
            outdated: false,
            handed_over: false,
            kept: KeptOutputs::of_a_primary_with(settings),
            arriving: None,
            fetch: None,
            mirror: Mirror::default(),
            ticks_heard: None,
            console_released: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            ack_due: false,
            told_last: false,
            ack_ns: now_ns,
            ack_executed: Icount::ZERO,
            audit: None,
            last_audit: None,
            audits_agreed: 0,
            ended: None,
            unfit: None,
            farewell: false,
            answer_to: None,
            log_bytes: 0,
            followed: Vec::new(),
        }
    }

    pub fn peer_link(&self) -> Option<LinkId> {
        self.linked.then_some(self.link)
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn life(&self) -> u64 {
        self.life
    }

    /// True once a primary has begun to send it anything.
    pub fn is_taken_on(&self) -> bool {
        self.generation != Generation::ZERO || self.arriving.is_some() || self.fetch.is_some()
    }

    /// The generation that this node follows, unless it is bidding for the next.
    pub fn generation_and_holder(&self) -> Option<(Generation, NodeId)> {
        (self.bid.is_none() && self.away.is_none()).then_some((self.generation, self.holder))
    }

    pub fn disk_standing(&self) -> DiskStanding {
        if self.in_step { DiskStanding::Replica(self.generation) } else { DiskStanding::Behind }
    }

    pub fn machine_mut(&mut self) -> Option<&mut Machine> {
        match &mut self.state {
            State::Following(replayer) => Some(replayer.machine_mut()),
            State::Asking | State::Receiving { .. } => None,
        }
    }

    /// The machine, once it is here.
    pub fn machine(&self) -> Option<&Machine> {
        match &self.state {
            State::Following(replayer) => Some(replayer.machine()),
            State::Asking | State::Receiving { .. } => None,
        }
    }

    pub fn icount(&self) -> Icount {
        match &self.state {
            State::Following(replayer) => replayer.icount(),
            State::Asking | State::Receiving { .. } => Icount::ZERO,
        }
    }

    // ---- events

    pub fn step(&mut self, common: &mut Common, event: Event, now_ns: u64) -> Next {
        match event {
            Event::Message { link, message }
                if link == self.link && self.linked && matches!(self.away, Some(Away::Asked)) =>
            {
                self.detector.heard(now_ns);
                self.answered(common, message, now_ns)
            }
            Event::Dialed { address, outcome } => {
                self.dialed(common, &address, outcome, now_ns);
                Next::Stay
            }
            Event::Message { link, message } if link == self.link && self.linked => {
                if !self.is_answered && !self.counting {
                    self.detector = common.settings.detector_of_joining(now_ns);
                }
                self.is_answered = true;
                self.detector.heard(now_ns);
                match self.message(common, message, now_ns) {
                    Ok(next) => next,
                    Err(why) => self.lose_primary(common, &why),
                }
            }
            Event::Message { link, message } => {
                self.other_message(common, link, message);
                Next::Stay
            }
            Event::LinkClosed { link, why } if link == self.link && self.linked => {
                self.lose_primary(common, &why)
            }
            Event::LinkClosed { .. } => Next::Stay,
            Event::Claimed { generation, outcome } => self.claimed(common, generation, outcome, now_ns),
            // The switch sends to a backup only after its go-live; the console is the primary's.
            Event::DiskDone(done) => self.disk_done(common, &done),
            Event::DiskWorked(worked) => self.disk_worked(common, worked, now_ns),
            Event::Durable { .. } => {
                self.ack_due |= common.ack == Ack::Disk;
                self.note_standing(common);
                Next::Stay
            }
            Event::Stored(frame) => self.stored(common, frame, now_ns),
            Event::StoredAll(end) => self.stored_all(common, end),
            Event::Checkpointed { seq, outcome } => {
                let machine = self.machine_mut();
                common.with_checkpoints(|checkpoints, common| {
                    checkpoints.ended(common, machine, seq, outcome, now_ns);
                });
                Next::Stay
            }
            Event::Store(_) => self.store_failed(common),
            Event::Frame { .. }
            | Event::ConsoleInput(_)
            | Event::ConsoleSize { .. }
            | Event::ArbiterSeen { .. }
            | Event::HolderSeen(_)
            | Event::Switch(_)
            | Event::RoleLeft
            | Event::Rehearsed { .. }
            | Event::Recording(_) => Next::Stay,
            Event::Fenced { current } => {
                if current > self.generation && self.bid.is_none() && self.away.is_none() {
                    common.tell(format!("the switch serves generation {current}: asking the arbiter"));
                    common.commands.push(Command::AskHolder);
                }
                Next::Stay
            }
            Event::Quit => {
                let last = self.is_last();
                let lost = "the primary is lost, and this node, which is about to go on in its place, holds the only \
                            copy of the guest";
                if last && !common.is_insisted_on(now_ns, lost) {
                    return Next::Stay;
                }
                common.tell(match last {
                    true => "ending as asked: the guest's life ends with this node".to_owned(),
                    false => {
                        format!("ending as asked: the primary {} goes on without a backup", self.primary)
                    }
                });
                let why = "the operator ended the backup".to_owned();
                common.send(self.link, Message::Bye { why });
                Next::Halt(Halt::Quit)
            }
        }
    }

    /// A message of another connection than the primary's.
    fn other_message(&self, common: &mut Common, link: LinkId, message: Message) {
        match message {
            Message::Join { .. } | Message::Resume { .. } => {
                common
                    .put_off(link, format!("this node is the backup; its primary is node {}", self.primary));
            }
            Message::SwitchOver => common.refuse(link, "this node is the backup; ask its primary"),
            _ => common.commands.push(Command::Close { link }),
        }
    }

    /// A message from the primary; an error is a reason to drop it.
    fn message(&mut self, common: &mut Common, message: Message, now_ns: u64) -> Result<Next, String> {
        match (message, &mut self.state) {
            (Message::Offer { generation, node, seq_next, at, chunks, life, ack }, State::Asking) => {
                if let Some(why) = self.cannot_count(common, ack) {
                    return Ok(Next::Halt(Halt::NotJoined { why, for_good: true }));
                }
                common.ack = ack;
                if chunks == 0 || chunks > CHUNKS_MAX {
                    return Err(format!("a snapshot of {chunks} chunks was announced"));
                }
                if seq_next == Seq::ZERO {
                    return Err("log from entry 0 on was announced; entries are numbered from 1".into());
                }
                if common.seek.is_replaced(life, generation) {
                    let why = format!("generation {generation} is not the newest that this node knows of");
                    return Ok(Next::Halt(Halt::NotJoined { why, for_good: false }));
                }
                common.tell(format!("the primary sends its state at {at}, {chunks} chunks"));
                (self.generation, self.primary, self.life) = (generation, node, life);
                self.holder = node;
                common.terminals.settle(false, life, &mut common.commands);
                common.say_whereabouts(self.link);
                common.say_known(self.link);
                let (decoder, log) = (Box::new(snapshot::Decoder::new(RAM_BYTES_MAX)), VecDeque::new());
                self.state = State::Receiving { decoder, chunks, chunks_done: 0, seq_next, log };
            }
            (Message::Scrollback { offset, bytes, typed }, State::Receiving { .. }) => {
                common.terminals.learn(offset, &bytes, typed);
            }
            (Message::Whereabouts { listen }, _) => {
                common.learn(&listen);
                common.terminals.peer_lives_at(&listen, &mut common.commands);
            }
            (Message::Chunk(bytes), State::Receiving { decoder, chunks, chunks_done, .. }) => {
                decoder.push(&bytes).map_err(|error| format!("the snapshot is damaged: {error}"))?;
                *chunks_done += 1;
                if self.arriving.is_none() {
                    common.tell_tenths(*chunks_done, *chunks, "received");
                }
                self.restore_if_ready(common, now_ns)?;
            }
            (Message::Memory { ram_bytes, chunks }, State::Asking) if self.arriving.is_none() => {
                let arriving = Arriving::new(ram_bytes).map_err(|error| error.to_string())?;
                common.tell(format!("the primary sends its guest's memory, {chunks} chunks at first"));
                self.arriving = Some((Box::new(arriving), 0, chunks));
            }
            (Message::MemoryChunk(bytes), State::Asking) => self.memory_chunk(common, &bytes)?,
            (Message::Disks { specs }, State::Asking) if self.fetch.is_none() => {
                let count = specs.len();
                let fetch = DiskFetch::begin(common, self.link, specs)?;
                let (_, _, chunks) = fetch.progress();
                common.tell(format!("comparing {count} disks with the primary's, {chunks} chunks"));
                self.fetch = Some(fetch);
            }
            (Message::DiskDigests { disk, first, digests }, State::Asking | State::Receiving { .. }) => {
                self.fetch()?.digests(common, disk, first, digests)?;
            }
            (Message::DiskChunk { disk, chunk, packed }, State::Asking | State::Receiving { .. }) => {
                self.fetch()?.chunk(common, disk, chunk, &packed)?;
            }
            (Message::DisksComplete, State::Receiving { .. }) => self.fetch()?.complete(common)?,
            (Message::Log(bytes), State::Receiving { log, .. }) => {
                let held_bytes = bytes.len() + size_of::<Vec<u8>>();
                if self.backlog_bytes + held_bytes > common.settings.backlog_bytes_max {
                    return Err("more log came than this backup may hold".into());
                }
                self.backlog_bytes += held_bytes;
                log.push_back(bytes);
            }
            (Message::Log(bytes), State::Following(_)) => self.log(common, bytes, now_ns)?,
            (Message::Heartbeat { ticks, console_released }, _) => {
                self.ticks_heard = Some((ticks, now_ns));
                self.console_released = console_released.max(self.console_released);
                self.kept.console_released(console_released);
            }
            (Message::Refuse { why }, _) => return Ok(Next::Halt(Halt::NotJoined { why, for_good: true })),
            (Message::Later { why, known }, State::Asking) => {
                common.learn_all(&known);
                return Ok(Next::Halt(Halt::NotJoined { why, for_good: false }));
            }
            (Message::Known { addresses }, _) => common.learn_all(&addresses),
            (Message::Bye { why }, _) => {
                if !self.sees_the_end() {
                    return Err(why);
                }
                self.farewell = true;
                self.linked = false;
                common.commands.push(Command::Close { link: self.link });
            }
            (message, _) => return Err(format!("it sent {} out of turn", name(&message))),
        }
        Ok(Next::Stay)
    }

    /// Memory that comes ahead of the state.
    fn memory_chunk(&mut self, common: &mut Common, bytes: &[u8]) -> Result<(), String> {
        let (arriving, done, chunks) = self.arriving.as_mut().ok_or("it sends memory of no known size")?;
        let damaged = |error: &dyn Display| format!("the memory sent ahead is damaged: {error}");
        match ahead::open(bytes, arriving.ram_bytes(), arriving.boot_bytes()).map_err(|e| damaged(&e))? {
            Ahead::Pages(pages) => arriving.load(&pages).map_err(|error| damaged(&error))?,
            Ahead::Boot(bytes) => arriving.boot(&bytes),
        }
        *done = done.saturating_add(1);
        common.send(self.link, Message::MemoryTaken { chunks: *done });
        common.tell_tenths(*done, *chunks, "received");
        Ok(())
    }

    fn fetch(&mut self) -> Result<&mut DiskFetch, String> {
        self.fetch.as_mut().ok_or_else(|| "it refers to disks that it has not named".into())
    }

    /// A disk has done, or has not, what the log made the machine ask of it.
    fn disk_done(&mut self, common: &mut Common, done: &DiskDone) -> Next {
        match self.mirror.ended(done) {
            Ended::Quietly => {}
            Ended::Flushed { disk, tag } if self.linked && self.away.is_none() => {
                common.send(self.link, Message::Flushed { disk, tag });
            }
            Ended::Flushed { .. } => {}
            Ended::Failed { disk, tag } => {
                if self.linked {
                    let why = format!("disk {disk} of the backup failed request {tag}");
                    common.send(self.link, Message::Bye { why });
                }
                return Next::Halt(Halt::DiskFailed { disk, tag });
            }
        }
        Next::Stay
    }

    fn disk_worked(&mut self, common: &mut Common, worked: DiskWorked, now_ns: u64) -> Next {
        let machine = self.machine_mut();
        if common.with_checkpoints(|checkpoints, common| checkpoints.disk_worked(common, machine, &worked)) {
            return Next::Stay;
        }
        let Some(fetch) = &mut self.fetch else { return Next::Stay };
        if let Err(why) = fetch.worked(common, worked) {
            // Nothing is wrong with the primary: it learns why this node goes.
            common.send(self.link, Message::Bye { why: why.clone() });
            return Next::Halt(Halt::NotJoined { why, for_good: true });
        }
        match self.restore_if_ready(common, now_ns) {
            Ok(()) => Next::Stay,
            Err(why) => self.lose_primary(common, &why),
        }
    }

    /// True when the guest's end is in the log, obeyed or still to be.
    fn sees_the_end(&self) -> bool {
        let waiting = match &self.state {
            State::Following(replayer) => replayer.last_entry(),
            State::Asking | State::Receiving { .. } => None,
        };
        self.ended.is_some() || waiting.is_some_and(|entry| matches!(entry.event, log::Event::End(_)))
    }

    fn restore_if_ready(&mut self, common: &mut Common, now_ns: u64) -> Result<(), String> {
        let State::Receiving { chunks, chunks_done, .. } = &self.state else { return Ok(()) };
        if chunks_done == chunks && self.fetch.as_ref().is_none_or(DiskFetch::is_ready) {
            self.restore(common, now_ns)?;
        }
        Ok(())
    }

    /// The whole snapshot is here, and the disks are: restores the machine and takes the log that arrived
    /// meanwhile.
    fn restore(&mut self, common: &mut Common, now_ns: u64) -> Result<(), String> {
        let State::Receiving { decoder, seq_next, log, .. } =
            std::mem::replace(&mut self.state, State::Asking)
        else {
            return Ok(());
        };
        let saved = decoder.finish().map_err(|error| format!("the snapshot is damaged: {error}"))?;
        if let Some(difference) = common.expects.as_ref().and_then(|named| saved.config.difference(named)) {
            let why = format!("the primary's machine is not the one that was named here: {difference}");
            common.send(self.link, Message::Refuse { why: why.clone() });
            self.unfit = Some(why.clone());
            return Err(why);
        }
        let fetched = self.fetch.take();
        if !saved.config.disks.iter().eq(fetched.iter().flat_map(DiskFetch::specs)) {
            return Err("its state has other disks than it named".into());
        }
        let (digest, at) = (saved.digest, saved.icount);
        let unusable = |error: &dyn Display| format!("the snapshot is unusable: {error}");
        let arriving = match self.arriving.take() {
            Some((arriving, ..)) => *arriving,
            None => Arriving::new(saved.config.ram_bytes).map_err(|error| unusable(&error))?,
        };
        let mut machine = arriving.complete(saved).map_err(|error| unusable(&error))?;
        if let Some(engine) = common.settings.engine {
            machine.choose_engine(engine);
        }
        if common.records {
            let base = Box::new(machine.save());
            let generation = self.generation;
            let life = self.life;
            common.commands.push(Command::StartRecording { base, seq_next, generation, life });
        }
        let mark = Seq(seq_next.get() - 1);
        if common.settings.stores {
            common.store.begins();
            // Of what it was before, the new store knows nothing.
            common.standing = Standing::default();
        }
        let plug = Plug::of(&machine, self.life, self.generation, true);
        common.commands.extend(plug.map(Command::PlugIn));
        // Whether these were done before the disks were copied is unknown; they are idempotent.
        self.mirror.reissue(common, mark, &mut machine);
        common.log_begins(seq_next, self.generation);
        common.terminals.machine_stands_at(machine.console_bytes());
        self.state = State::Following(Box::new(Replayer::new(machine, seq_next)));
        self.backlog_bytes = 0;
        self.ack_due = true;
        common.tell(format!("state restored at {at}, digest {digest}"));
        for bytes in log {
            self.log(common, bytes, now_ns)?;
        }
        Ok(())
    }

    /// Takes a log frame into memory: from here on it can be acknowledged.
    fn log(&mut self, common: &mut Common, bytes: Vec<u8>, now_ns: u64) -> Result<(), String> {
        let State::Following(replayer) = &mut self.state else { return Ok(()) };
        let (entries, used) =
            decode_frame(&bytes).map_err(|error| format!("a log frame is damaged: {error}"))?;
        if used != bytes.len() {
            return Err(format!("a log frame has {} bytes too many", bytes.len() - used));
        }
        let joined =
            entries.iter().any(|e| matches!(e.event, log::Event::Joined { node } if node == common.id));
        let unpacked: usize = entries.iter().map(|entry| entry.event.payload().len()).sum();
        let held_bytes = bytes.len() + unpacked + entries.len() * size_of::<Entry>();
        let generations: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry.event {
                log::Event::Generation { generation, node, .. } => Some((entry.seq, generation, node)),
                _ => None,
            })
            .collect();
        // What is refused has left nothing: not in the machine's log either.
        if self.backlog_bytes + held_bytes > common.settings.backlog_bytes_max {
            return Err("more log came than this backup may hold".into());
        }
        let first = entries.first().map_or(replayer.seq_next(), |entry| entry.seq);
        replayer.push(entries).map_err(|divergence| divergence.to_string())?;
        let last = Seq(replayer.seq_next().get() - 1);
        self.backlog.push_back((last, held_bytes));
        self.backlog_bytes += held_bytes;
        self.log_bytes += bytes.len() as u64;
        common.tail.push(first, last, &bytes);
        if !matches!(self.away, Some(Away::Reading)) {
            common.commands.push(Command::Append { bytes });
        }
        self.ack_due = true;
        for (seq, generation, node) in generations {
            common.tail.begin(seq, generation);
            (self.generation, self.holder) = (generation, node);
            if self.counting && self.counts_from.is_none() {
                common.standing.counts_as(common.id, generation);
            }
            if let Some(link) = self.answer_to.take() {
                let json = serde_json::json!({ "switched_over": true, "generation": generation }).to_string();
                common.send(link, Message::Answer { json });
                common.commands.push(Command::Close { link });
                common.tell(format!("switched over: generation {generation} is current, this node follows"));
            }
        }
        if joined && !self.counting && self.away.is_none() {
            self.counting = true;
            self.counts_from = Some(last);
            self.note_standing(common);
            common.seek.is_member_now();
            self.detector = common.settings.detector(now_ns);
            common.tell("this backup counts");
        }
        Ok(())
    }

    /// That it counts permits a restart to go on alone, so its store must have all from before, as far as the entry by which
    /// it counts.
    fn note_standing(&mut self, common: &mut Common) {
        let is_there = |seq: Seq| common.store.durable().is_none_or(|durable| durable >= seq);
        if self.counts_from.take_if(|seq| is_there(*seq)).is_some() {
            common.standing.counts_as(common.id, self.generation);
        }
    }

    /// The primary is lost or can no longer be followed. Only a backup that counts may claim the next
    /// generation.
    fn lose_primary(&mut self, common: &mut Common, why: &str) -> Next {
        self.linked = false;
        common.commands.push(Command::Close { link: self.link });
        if self.away.is_some() {
            self.away = Some(Away::Looking(common.look_on(why.to_owned())));
            return Next::Stay;
        }
        if !self.counting {
            let lost = || format!("the primary was lost before this backup counted: {why}");
            let unfit = self.unfit.take();
            let for_good = unfit.is_some();
            return Next::Halt(Halt::NotJoined { why: unfit.unwrap_or_else(lost), for_good });
        }
        common.tell(format!("the primary is lost: {why}"));
        if self.bid.is_none() {
            self.bid(common, false);
        }
        Next::Stay
    }

    fn bid(&mut self, common: &mut Common, planned: bool) {
        let keeps = if planned { vec![self.primary] } else { Vec::new() };
        let claiming = Claiming::begin(common, self.generation.next(), keeps, self.holder);
        self.bid = Some(Bid { claiming, won: false, planned });
    }

    fn claimed(
        &mut self,
        common: &mut Common,
        generation: Generation,
        outcome: Result<Claim, ArbiterError>,
        now_ns: u64,
    ) -> Next {
        let Some(bid) = &mut self.bid else { return Next::Stay };
        match bid.claiming.decided(common, (generation, outcome), "waiting", now_ns) {
            Some(Claim::Won) => bid.won = true,
            // Its primary went on, with this node as a backup that counts.
            Some(Claim::Lost { to, keeps }) if keeps.contains(&common.id) => {
                self.handed_over = false;
                self.bid = None;
                if !self.linked {
                    let claiming = Claiming::begin(common, generation.next(), Vec::new(), to);
                    self.bid = Some(Bid { claiming, won: false, planned: false });
                }
            }
            Some(Claim::Lost { to, .. }) => return Next::Halt(Halt::LostClaim { generation, to }),
            None => {}
        }
        Next::Stay
    }

    /// The first of its invariants that does not hold, in words.
    pub fn check(&self, common: &Common) -> Result<(), String> {
        let holds = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("a backup: {what}")) };
        self.kept.check()?;
        self.mirror.check()?;
        let replayer = match &self.state {
            State::Following(replayer) => Some(replayer),
            State::Asking | State::Receiving { .. } => None,
        };
        holds(!self.counting || replayer.is_some(), "it counts without a machine")?;
        holds(self.bid.is_none() || self.counting, "it bids without counting")?;
        holds(
            self.away.is_none() || !self.counting && replayer.is_some(),
            "it looks for log without a machine",
        )?;
        holds(self.backlog_bytes <= common.settings.backlog_bytes_max, "it holds more log than it may")?;
        if let Some(replayer) = replayer {
            let last = Seq(replayer.seq_next().get() - 1);
            holds(common.tail.last() == last, "the tail ends elsewhere than what it follows")?;
            let held: usize = self.backlog.iter().map(|(_, bytes)| bytes).sum();
            holds(held == self.backlog_bytes, "the backlog is miscounted")?;
        }
        Ok(())
    }

    // ---- looking for the primary

    /// Another node has the guest, as far as this one knows: nothing is lost with this machine.
    pub fn is_replaceable(&self) -> bool {
        // A node that has come from its own store, and found no primary, follows none.
        if self.away.is_some() { self.primary != NodeId::ZERO } else { self.linked }
    }

    /// Its machine, at the end of its role.
    pub fn into_machine(self) -> Option<Machine> {
        match self.state {
            State::Following(replayer) => Some(replayer.give_up()),
            State::Asking | State::Receiving { .. } => None,
        }
    }

    /// With this node the guest would be lost, as far as it knows.
    pub fn is_last(&self) -> bool {
        self.counting && !self.linked && self.ended.is_none()
    }

    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether its machine may go on with another primary's log, or with the last one's later.
    pub fn can_resume(&self) -> bool {
        let follows = matches!(self.state, State::Following(_));
        follows && self.ended.is_none() && !self.outdated && !self.handed_over && !self.farewell
    }

    /// Gives up its place, keeps its machine, and looks for the primary.
    pub fn look_for_primary(&mut self, common: &mut Common, why: &str) {
        if self.linked {
            common.send(self.link, Message::Bye { why: "this node has lost its place".into() });
            common.commands.push(Command::Close { link: self.link });
        }
        common.tell(format!(
            "{why}: this node keeps its machine, and looks for the primary to go on with its log"
        ));
        (self.linked, self.counting, self.in_step, self.handed_over) = (false, false, false, false);
        (self.bid, self.answer_to) = (None, None);
        self.alone_ns = common.settings.stores.then(|| common.now_ns.saturating_add(WAIT_FOR_NEWER_NS));
        self.away = Some(Away::Looking(Looking::Resting { until_ns: common.now_ns }));
    }

    fn dialed(&mut self, common: &mut Common, address: &str, outcome: Result<LinkId, String>, now_ns: u64) {
        let is_awaited = |away: &Away| matches!(away, Away::Looking(Looking::Dialing { address: wanted }) if wanted == address);
        if !self.away.as_ref().is_some_and(is_awaited) {
            return;
        }
        match outcome {
            Ok(link) => {
                (self.link, self.linked, self.is_answered) = (link, true, false);
                self.detector = common.settings.detector_with(now_ns, ANSWER_NS);
                let held = common.tail.last();
                let generation = common.tail.generation_of(held).unwrap_or(self.generation);
                let (vm, node, life) = (common.vm.clone(), common.id, self.life);
                common.send(link, Message::Resume { vm, node, life, held, generation });
                self.away = Some(Away::Asked);
            }
            Err(error) => {
                self.away =
                    Some(Away::Looking(common.look_on(format!("{address} does not answer: {error}"))));
            }
        }
    }

    /// What the node that was asked for the log says first.
    fn answered(&mut self, common: &mut Common, message: Message, now_ns: u64) -> Next {
        match message {
            Message::Resumed { generation, node, ack } => {
                common.ack = ack;
                if common.seek.is_replaced(self.life, generation) {
                    let why = format!("generation {generation} is not the newest that this node knows of");
                    return self.lose_primary(common, &why);
                }
                self.alone_ns = None;
                let held = common.tail.last();
                common.tell(format!("node {node} goes on with this node's machine, from entry {held}"));
                (self.generation, self.primary, self.holder) = (generation, node, node);
                (self.away, self.is_answered, self.ack_due) = (None, true, true);
                common.seek.last = None;
                self.detector = common.settings.detector_of_joining(now_ns);
                common.say_whereabouts(self.link);
                common.say_known(self.link);
                // What was reported to another primary, or over another connection, this one does not know.
                for (disk, tag) in self.mirror.flushed() {
                    common.send(self.link, Message::Flushed { disk, tag });
                }
                Next::Stay
            }
            Message::Later { why, known } => {
                common.learn_all(&known);
                self.lose_primary(common, &why)
            }
            Message::Known { addresses } => {
                common.learn_all(&addresses);
                Next::Stay
            }
            Message::Anew { why } => {
                self.outdated = true;
                Next::Halt(Halt::NotJoined { why, for_good: false })
            }
            Message::Refuse { why } => Next::Halt(Halt::NotJoined { why, for_good: true }),
            Message::Bye { why } => self.lose_primary(common, &why),
            other => {
                let why = format!("it sent {} instead of an answer", name(&other));
                self.lose_primary(common, &why)
            }
        }
    }

    // ---- running

    pub fn run<W: World>(&mut self, common: &mut Common, world: &mut W) -> (Next, Pace) {
        let now_ns = world.now_ns();
        if let Some(bid) = &mut self.bid {
            bid.claiming.ask_again(common, now_ns);
        }
        self.ask_to_go_on(common, now_ns);
        let look_ns = match &mut self.away {
            Some(Away::Looking(looking)) => {
                common.look(looking, world).min(self.alone_ns.unwrap_or(u64::MAX))
            }
            Some(Away::AskingHolder { again_ns }) => *again_ns,
            Some(Away::Reading | Away::Asked) | None => u64::MAX,
        };
        if self.linked
            && let Some(suspicion) = self.detector.suspects(now_ns, world.signs(self.link))
        {
            common.suspicions += 1;
            let next = self.lose_primary(common, &suspicion.to_string());
            if !matches!(next, Next::Stay) {
                return (next, Pace::Now);
            }
        }
        // Commands are carried out when a run returns, and the primary's outputs wait for the acknowledgement: it
        // leaves before the machine moves. However fast the log comes, every other run moves the machine.
        let told = self.acknowledge(common, now_ns);
        self.told_last = told && !self.told_last;
        if self.told_last {
            return (Next::Stay, Pace::Now);
        }
        if self.draw_checkpoint(common, world) || self.draw_fork(common, world, now_ns) {
            return (Next::Stay, Pace::Now);
        }
        let drained = match self.replay(common, world) {
            Ok(drained) => drained,
            Err(divergence) => {
                // Before anybody counts on this node having left: whenever it dies, nothing goes on from what it holds.
                if !Sabotage::DivergedStoreKept.is_on() {
                    common.commands.push(Command::Distrust(Box::new(divergence.clone())));
                }
                if self.linked {
                    common.send(self.link, Message::Diverged(Box::new(divergence.clone())));
                }
                return (Next::Halt(Halt::Diverged(Box::new(divergence))), Pace::Now);
            }
        };
        let stalled = !drained && self.mirror.is_full();
        if let (true, true, Some(exit)) = (drained, self.farewell, self.ended) {
            return (Next::Halt(Halt::GuestEnded(exit)), Pace::Now);
        }
        let drained = drained || Sabotage::LiveUndrained.is_on();
        let is_level = self.is_level() || Sabotage::LiveUnlevel.is_on();
        let is_durable = Self::is_durable(common) || Sabotage::LiveUndurable.is_on();
        if drained && self.bid.as_ref().is_some_and(|bid| bid.won) && is_level && is_durable {
            return (Next::GoLive, Pace::Now);
        }
        if self.linked && self.away.is_some() && self.detector.heartbeat_due(now_ns) {
            // Who is asked for the log has nothing else to hear.
            self.detector.spoke(now_ns);
        } else if self.linked && self.detector.heartbeat_due(now_ns) {
            self.ack_due = true;
            self.acknowledge(common, now_ns);
        }
        let draw_ns = common.checkpoints.next_look_ns(now_ns).min(common.rehearsals.next_look_ns(now_ns));
        let next_ns = self.next_look_ns().min(look_ns).min(draw_ns);
        let pace = if drained || stalled { Pace::At(next_ns) } else { Pace::Now };
        (Next::Stay, pace)
    }

    /// Goes on with the checkpoint under way; true when the machine must not move before more of it is drawn.
    fn draw_checkpoint<W: World>(&mut self, common: &mut Common, world: &mut W) -> bool {
        if !common.checkpoints.is_under_way() {
            return false;
        }
        let console_out = self.console_released;
        let Some(machine) = self.machine_mut() else { return false };
        common.with_checkpoints(|checkpoints, common| checkpoints.draw(common, machine, console_out, world))
    }

    /// Goes on with the rehearsal under way; true when the machine must not move before more of it is drawn.
    fn draw_fork<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) -> bool {
        if !common.rehearsals.is_under_way() {
            return false;
        }
        let clock = GuestClock::starting(now_ns, self.ticks(now_ns));
        let Some(machine) = self.machine_mut() else { return false };
        common.with_rehearsals(|rehearsals, common| rehearsals.draw(common, machine, clock, world))
    }

    /// Why there is nothing to rehearse.
    pub fn not_rehearsed(&self) -> Option<&'static str> {
        if self.bid.is_some() || self.handed_over {
            return Some("this node is about to take over");
        }
        if self.sees_the_end() {
            return Some("the guest has ended");
        }
        let would_not = "this node would not take over: it does not count yet; see `lockstep status`";
        (!self.counting || !self.in_step || self.away.is_some()).then_some(would_not)
    }

    /// The guest's time, as far as it was heard; 0 if never.
    fn ticks(&self, now_ns: u64) -> u64 {
        let heard = |(ticks, at_ns): (u64, u64)| ticks.saturating_add(now_ns.saturating_sub(at_ns) / TICK_NS);
        self.ticks_heard.map_or(0, heard)
    }

    /// Obeys the log for a while; true when everything received is obeyed.
    fn replay<W: World>(&mut self, common: &mut Common, world: &mut W) -> Result<bool, Divergence> {
        let State::Following(replayer) = &mut self.state else { return Ok(true) };
        if self.mirror.is_full() {
            // The end of a request wakes this node.
            return Ok(false);
        }
        let slice = common.settings.replay_slice(replayer.machine().clock_rate());
        let stop = replayer.run(slice, &mut self.followed)?;
        let done = replayer.done();
        let is_checkpoint = |followed: &Followed| matches!(followed, Followed::Control(entry) if entry.event == log::Event::Checkpoint);
        if self.followed.last().is_some_and(is_checkpoint) && !matches!(self.away, Some(Away::Reading)) {
            let generation = common.tail.generation_of(done).unwrap_or(self.generation);
            let machine = replayer.machine_mut();
            if common.checkpoints.begins(common) {
                common.with_rehearsals(|rehearsals, common| rehearsals.make_way(common, machine));
            }
            common.with_checkpoints(|checkpoints, common| {
                checkpoints.begin(common, machine, (done, generation), Vec::new(), world);
            });
        }
        // What the machine did behind that entry, the next one determines.
        let mark = if stop == ReplayStop::Budget { done.next() } else { done };
        while let Some((_, bytes)) = self.backlog.front().filter(|(last, _)| *last <= done) {
            self.backlog_bytes -= bytes;
            self.backlog.pop_front();
        }
        for followed in self.followed.drain(..) {
            match followed {
                Followed::Said { output, .. } => {
                    common.terminals.heard(&output);
                    self.kept.keep(output);
                }
                Followed::Disk(request) => self.mirror.issue(common, mark, request),
                Followed::Agreed { at, digest } => {
                    self.audit = Some(Audit { icount: at, digest });
                    self.last_audit = self.audit;
                    self.audits_agreed += 1;
                    self.ack_due = true;
                }
                Followed::Control(entry) => match entry.event {
                    log::Event::SwitchOver { to } => {
                        self.handed_over = to.is_none_or(|node| node == common.id);
                    }
                    // An older switch-over in the log led to this generation: it is history.
                    log::Event::Generation { .. } => self.handed_over = false,
                    log::Event::Typed { session, upto } => common.terminals.note_typed(session, upto),
                    log::Event::End(exit) => self.ended = Some(exit),
                    log::Event::Joined { node } if node == common.id => self.in_step = true,
                    _ => {}
                },
            }
        }
        let drained = stop == ReplayStop::Drained;
        let all_left = self.console_released >= replayer.machine().console_bytes();
        if self.handed_over && all_left && self.counting && self.linked && self.bid.is_none() {
            self.bid(common, true);
        }
        Ok(drained)
    }

    /// True when this node's disks have every request that the guest saw complete: only then can they be the
    /// guest's only disks.
    fn is_level(&self) -> bool {
        match &self.state {
            State::Following(replayer) => self.mirror.is_level(replayer.machine()),
            State::Asking | State::Receiving { .. } => true,
        }
    }

    /// Where entries count on disk: this node's own store holds all of its log. When it goes live the switch forgets the
    /// frames in that log, so they must survive this process. A store that has failed is not waited for: nothing counts any
    /// more then.
    fn is_durable(common: &Common) -> bool {
        let last = common.tail.last();
        common.ack != Ack::Disk || common.store.durable().is_none_or(|durable| durable >= last)
    }

    /// Tells the primary what is safe here and how far the machine is, when that is due; whether it was.
    fn acknowledge(&mut self, common: &mut Common, now_ns: u64) -> bool {
        let State::Following(replayer) = &self.state else {
            let due = self.ack_due && self.linked;
            if due {
                self.ack_due = false;
                self.detector.spoke(now_ns);
                common.send(self.link, Message::Heartbeat { ticks: 0, console_released: 0 });
            }
            return due;
        };
        let executed = replayer.icount();
        let moved =
            executed > self.ack_executed && now_ns.saturating_sub(self.ack_ns) >= common.settings.flush_ns;
        if !self.linked || self.away.is_some() || !(self.ack_due || moved) {
            return false;
        }
        self.ack_due = false;
        self.ack_ns = now_ns;
        self.ack_executed = executed;
        self.detector.spoke(now_ns);
        let received = Seq(replayer.seq_next().get() - 1);
        let durable = common.store.durable().unwrap_or_default().min(received);
        common.send(self.link, Message::Ack { received, durable, executed, audited: self.audit.take() });
        true
    }

    fn next_look_ns(&self) -> u64 {
        let watch = if self.linked { self.detector.next_look_ns() } else { u64::MAX };
        self.bid.as_ref().map_or(watch, |bid| watch.min(bid.claiming.next_look_ns()))
    }

    /// What the primary that this backup becomes starts from. Only after the claim is won and the
    /// log is drained.
    pub fn into_inheritance(mut self, common: &mut Common, now_ns: u64) -> Inheritance {
        let ticks = self.ticks(now_ns);
        let bid = self.bid.take().expect("a backup goes live by a bid");
        assert!(bid.won, "a backup goes live only after it has won the claim");
        let State::Following(replayer) = self.state else {
            unreachable!("only a following backup counts, and only one that counts bids")
        };
        let (machine, seq_next) = replayer.into_parts();
        common.tell(format!("going live at {} as generation {}", machine.icount(), bid.claiming.generation));
        Inheritance {
            machine,
            seq_next,
            generation: bid.claiming.generation,
            life: self.life,
            ticks,
            kept: self.kept.drain(),
            console_released: self.console_released,
            old_primary: bid.planned.then_some((self.link, self.primary)),
            linked: self.linked,
        }
    }

    pub fn fill_status(&self, status: &mut NodeStatus) {
        status.protected = self.counting && self.linked;
        status.log_bytes = self.log_bytes;
        status.last_audit = self.last_audit;
        status.audits_agreed = self.audits_agreed;
        status.disk_transfer = self.fetch.as_ref().map(DiskFetch::progress);
        status.watch = self.linked.then(|| self.detector.watch());
        match &self.state {
            State::Asking => status.phase = "joining".into(),
            State::Receiving { chunks, chunks_done, .. } => {
                status.phase = "transfer".into();
                status.transfer = Some((*chunks_done, *chunks));
            }
            State::Following(replayer) => {
                status.phase = match (&self.bid, &self.away) {
                    (Some(_), _) => "claiming",
                    (None, Some(Away::Reading)) => "reading",
                    (None, Some(_)) => "seeking",
                    (None, None) => "following",
                }
                .into();
                status.log_seq = Seq(replayer.seq_next().get() - 1);
                let known = self.backlog_end(replayer);
                status.lag_instructions = known.since(replayer.icount());
            }
        }
    }

    fn backlog_end(&self, replayer: &Replayer) -> Icount {
        replayer.last_entry().map_or(replayer.icount(), |entry| entry.at)
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::Join { .. } => "Join",
        Message::Refuse { .. } => "Refuse",
        Message::Offer { .. } => "Offer",
        Message::Chunk(_) => "Chunk",
        Message::Memory { .. } => "Memory",
        Message::MemoryChunk(_) => "MemoryChunk",
        Message::MemoryTaken { .. } => "MemoryTaken",
        Message::Log(_) => "Log",
        Message::Ack { .. } => "Ack",
        Message::Heartbeat { .. } => "Heartbeat",
        Message::Diverged(_) => "Diverged",
        Message::Bye { .. } => "Bye",
        Message::Status => "Status",
        Message::SwitchOver => "SwitchOver",
        Message::Answer { .. } => "Answer",
        Message::Disks { .. } => "Disks",
        Message::DiskDigests { .. } => "DiskDigests",
        Message::DiskWant { .. } => "DiskWant",
        Message::DiskChunk { .. } => "DiskChunk",
        Message::DiskStored { .. } => "DiskStored",
        Message::DisksComplete => "DisksComplete",
        Message::Flushed { .. } => "Flushed",
        Message::Attach { .. } => "Attach",
        Message::Attached { .. } => "Attached",
        Message::ConsoleData { .. } => "ConsoleData",
        Message::ConsoleInput { .. } => "ConsoleInput",
        Message::ConsoleTaken { .. } => "ConsoleTaken",
        Message::ConsoleSize { .. } => "ConsoleSize",
        Message::ConsoleEnd { .. } => "ConsoleEnd",
        Message::Scrollback { .. } => "Scrollback",
        Message::Whereabouts { .. } => "Whereabouts",
        Message::Later { .. } => "Later",
        Message::Known { .. } => "Known",
        Message::Pulse { .. } => "Pulse",
        Message::Resume { .. } => "Resume",
        Message::Resumed { .. } => "Resumed",
        Message::Anew { .. } => "Anew",
        Message::Leave => "Leave",
        Message::Checkpoint => "Checkpoint",
        Message::Rehearse { .. } => "Rehearse",
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
