//! The city that the nodes live in: slots for processes, connections, the switch, the arbiter, and
//! a queue of happenings in virtual time.

use std::collections::BTreeMap;

use super::Outcome;
use super::client::Client;
use super::disk::{self, Answered, Asked, SimDisk};
use super::oracle::{self, Chronicle};
use super::plan::{Fault, Plan, Sabotage};
use super::wire;
use crate::base::{Generation, Icount, NodeId, Prng, Seq};
use crate::devices::disk::{DISKS_MAX, DiskOp, DiskRequest, DiskSpec, SECTOR_BYTES};
use crate::ft::arbiter::{ArbiterError, Claim};
use crate::ft::disk::{DiskJob, Work, Worked};
use crate::ft::node::Pace;
use crate::ft::{Boot, Command, Event, Halt, LinkId, Message, Node, Settings, World};
use crate::log::{self, frame::decode_frame};
use crate::machine::{Machine, Output, Saved};
use crate::net::fence::{Fence, Verdict};
use crate::net::inbound::{BYTES_MAX, FRAMES_MAX, Inbound};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
/// A run that has not ended by then never will.
const VIRTUAL_NS_MAX: u64 = 60_000 * MS;
const HAPPENINGS_MAX: u64 = 3_000_000;
const SLOTS: usize = 3;
/// After the last answer, for disks to come to rest.
const REST_NS: u64 = 300 * MS;
/// A guest instruction's share of virtual time.
const INSTRUCTION_NS: u64 = 5;

enum Happening {
    Turn {
        slot: usize,
    },
    /// Something for the process that lived in `slot` as `epoch`.
    Arrive {
        slot: usize,
        epoch: u64,
        event: Event,
    },
    /// Something from that process for the switch.
    ToSwitch {
        from: (usize, u64),
        what: ToSwitch,
    },
    ToGuest {
        port: u16,
        payload: Vec<u8>,
    },
    ToClient {
        port: u16,
        payload: Vec<u8>,
    },
    Ask {
        client: usize,
    },
    Timer {
        client: usize,
        id: u64,
    },
    /// A disk of the process that lived in `slot` as `epoch` has done what it was asked first.
    DiskEnds {
        slot: usize,
        epoch: u64,
        disk: usize,
    },
    Fault(Fault),
    Start {
        slot: usize,
    },
    Resume {
        slot: usize,
    },
}

enum ToSwitch {
    Activate { generation: Generation, rx_seq: u64 },
    Frame { generation: Generation, seq: u64, frame: Vec<u8> },
    Safe { rx_seq: u64 },
}

/// One process, or the place of one.
struct Slot {
    node: Option<Node>,
    /// Counts the processes that have lived here.
    epoch: u64,
    turn_at: Option<u64>,
    paused_until: u64,
    /// The process dies before carrying out this many more commands.
    dies_in: Option<(u64, bool)>,
    /// Its monotonic clock is this far ahead of the city's.
    skew_ns: u64,
    /// As the switch will see it: set by `Activate`.
    generation: Generation,
    /// What was said to the switch earlier arrives earlier.
    to_switch_at: u64,
    /// They outlive the processes.
    disks: Vec<SimDisk>,
    /// What a disk was asked earlier it does earlier.
    disk_at: [u64; DISKS_MAX],
    /// From then on this process' disks have to have what is acknowledged.
    answerable_from: Option<u64>,
}

/// A connection's end in `slot`; `other` is the end that the peer holds.
struct End {
    slot: usize,
    epoch: u64,
    other: LinkId,
    /// Nothing said here arrives before this.
    arrives_at: u64,
    open: bool,
}

struct Switch {
    fence: Fence,
    inbound: Inbound,
    /// The process that the guest speaks through.
    active: Option<(usize, u64)>,
    /// What was sent to the active process earlier arrives earlier.
    arrives_at: u64,
    fenced: u64,
}

pub struct City<'a> {
    plan: Plan,
    prng: Prng,
    now_ns: u64,
    happened: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    tie: u64,
    slots: Vec<Slot>,
    ends: BTreeMap<LinkId, End>,
    links_next: u64,
    /// Who claimed each generation, and whom the claimant keeps as its backup.
    claims: BTreeMap<Generation, (NodeId, Option<NodeId>)>,
    arbiter_back_at: u64,
    partition_until: u64,
    switch: Switch,
    clients: Vec<Client>,
    mac: [u8; 6],
    /// The first disk as the guest found it.
    image: Vec<u8>,
    /// When it was asked, by whom and what: acknowledged changes.
    kept: Vec<(u64, u16, Vec<u8>)>,
    asked_at: BTreeMap<u16, u64>,
    /// Everything is answered; the disks come to rest.
    rests_until: Option<u64>,
    chronicle: Chronicle,
    outcome: Outcome,
    trace: Option<&'a mut dyn FnMut(String)>,
}

/// What a node may ask while it runs.
struct Window<'a> {
    now_ns: u64,
    prng: &'a mut Prng,
    host: u64,
}

impl World for Window<'_> {
    fn now_ns(&mut self) -> u64 {
        self.now_ns += 50;
        self.now_ns
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.prng.fill(bytes);
    }

    fn host_id(&mut self) -> u64 {
        self.host
    }

    fn wall_clock_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn outbox_bytes(&mut self, _link: LinkId) -> usize {
        0
    }

    fn outputs_blocked(&mut self) -> bool {
        false
    }

    fn console_pending(&mut self) -> u64 {
        0
    }
}

/// The guest's disk before it first looks at it: no journal, and something in the rest that a copy must not lose.
fn first_image(specs: &[DiskSpec], seed: u64) -> Vec<u8> {
    const SCRATCH_BYTE: usize = 2048 * SECTOR_BYTES as usize;
    let mut image = vec![0; specs.first().map_or(0, |spec| (spec.sectors * SECTOR_BYTES) as usize)];
    if let Some(scratch) = image.get_mut(SCRATCH_BYTE..) {
        Prng::new(seed).fill(scratch);
    }
    image
}

impl<'a> City<'a> {
    pub fn new(guest: &Saved, plan: Plan, trace: Option<&'a mut dyn FnMut(String)>) -> Self {
        let mut prng = Prng::new(plan.seed);
        let specs = &guest.config.disks;
        let image = first_image(specs, plan.seed);
        // The first primary has the guest's disk; the others have empty ones.
        let disks = |slot: usize| {
            let empty = |spec: &DiskSpec| vec![0; (spec.sectors * SECTOR_BYTES) as usize];
            let bytes = |spec| if slot == 0 { image.clone() } else { empty(spec) };
            specs.iter().map(|spec| SimDisk::new(spec.clone(), bytes(spec))).collect()
        };
        let slots = (0..SLOTS).map(|slot| Slot {
            disks: disks(slot),
            disk_at: [0; DISKS_MAX],
            answerable_from: None,
            node: None,
            epoch: 0,
            turn_at: None,
            paused_until: 0,
            dies_in: None,
            skew_ns: prng.below(1000 * MS),
            generation: Generation::ZERO,
            to_switch_at: 0,
        });
        let slots = slots.collect();
        let clients = (0..plan.clients)
            .map(|i| Client::new(5000 + i as u16, plan.requests_each, prng.split()))
            .collect();
        let outcome = Outcome {
            seed: plan.seed,
            failure: None,
            virtual_ms: 0,
            acknowledged: 0,
            takeovers: 0,
            crashes: 0,
            pauses: 0,
            partitions: 0,
            retransmissions: 0,
            frames_fenced: 0,
            disks_checked: 0,
            disks_compared: 0,
            turns: 0,
        };
        let switch = Switch {
            fence: Fence::new(Generation::ZERO, Some(0)),
            inbound: Inbound::new(FRAMES_MAX, BYTES_MAX),
            active: None,
            arrives_at: 0,
            fenced: 0,
        };
        let mut city = Self {
            plan,
            prng,
            now_ns: 0,
            happened: 0,
            queue: BTreeMap::new(),
            tie: 0,
            slots,
            ends: BTreeMap::new(),
            links_next: 1,
            claims: BTreeMap::new(),
            arbiter_back_at: 0,
            partition_until: 0,
            switch,
            clients,
            mac: guest.config.mac,
            image,
            kept: Vec::new(),
            asked_at: BTreeMap::new(),
            rests_until: None,
            chronicle: Chronicle::starting(guest.clone()),
            outcome,
            trace,
        };
        city.settle(guest);
        city
    }

    /// The first primary, its backup, the clients and the faults.
    fn settle(&mut self, guest: &Saved) {
        let machine = Machine::restore(guest.clone()).expect("the guest was saved by this very program");
        let generation = Generation(1);
        let boot = Boot { machine, generation, life: 1, limit: Icount::MAX };
        let id = self.new_id(0);
        self.claims.insert(generation, (id, None));
        let now_ns = self.slots[0].skew_ns;
        let node = Node::primary(id, "kv", boot, Settings::default(), now_ns);
        self.slots[0].node = Some(node);
        self.wake(0);
        self.later(MS, Happening::Start { slot: 1 });
        for client in 0..self.clients.len() {
            let after = self.prng.between(1, 20) * MS;
            self.later(after, Happening::Ask { client });
        }
        for (at_ns, fault) in self.plan.faults.clone() {
            self.later(at_ns, Happening::Fault(fault));
        }
    }

    fn new_id(&mut self, slot: usize) -> NodeId {
        self.slots[slot].epoch += 1;
        NodeId((slot as u64 + 1) * 1000 + self.slots[slot].epoch)
    }

    fn later(&mut self, after_ns: u64, happening: Happening) {
        self.at(self.now_ns + after_ns, happening);
    }

    fn at(&mut self, at_ns: u64, happening: Happening) {
        self.tie += 1;
        self.queue.insert((at_ns.max(self.now_ns), self.tie), happening);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(format!("{:10.3} ms  {}", self.now_ns as f64 / 1e6, text()));
        }
    }

    fn fail(&mut self, why: String) {
        self.note(|| format!("FAILED: {why}"));
        self.outcome.failure.get_or_insert(why);
    }

    /// Lives until every client has its answers, something fails, or time is up.
    pub fn live(mut self) -> Outcome {
        while let Some(((at_ns, _), happening)) = self.queue.pop_first() {
            self.now_ns = at_ns;
            self.happened += 1;
            self.happen(happening);
            if self.outcome.failure.is_some() || self.is_at_rest() {
                break;
            }
            if self.now_ns > VIRTUAL_NS_MAX || self.happened > HAPPENINGS_MAX {
                let roles: Vec<String> = self.slots.iter().map(|slot| self.describe(slot)).collect();
                self.fail(format!("stuck: clients wait for answers that never come ({})", roles.join("; ")));
                break;
            }
        }
        self.outcome.virtual_ms = self.now_ns / MS;
        self.outcome.acknowledged = self.clients.iter().map(|client| client.done).sum();
        self.outcome.retransmissions = self.clients.iter().map(|client| client.retransmissions).sum();
        self.outcome.frames_fenced = self.switch.fenced;
        if self.outcome.failure.is_none() {
            let survivor = self.primary().map(|slot| (slot, self.slots[slot].epoch));
            let mut image = std::mem::take(&mut self.image);
            if let Err(why) = oracle::judge(&self.chronicle, survivor, &mut image) {
                self.fail(why);
            } else if !image.is_empty() {
                self.compare_disks(&image);
            }
        }
        self.outcome
    }

    /// Everything is settled and, where there are disks, has been for a while.
    fn is_at_rest(&mut self) -> bool {
        if self.image.is_empty() {
            return self.is_settled();
        }
        if self.rests_until.is_none() && self.is_settled() {
            self.rests_until = Some(self.now_ns + REST_NS);
            self.slots.iter_mut().for_each(|slot| slot.dies_in = None);
            self.note(|| "everything is answered".into());
        }
        self.rests_until.is_some_and(|until| self.now_ns >= until) && self.is_settled()
    }

    /// Every client has its answers, and whoever holds the newest generation reigns.
    fn is_settled(&self) -> bool {
        let (newest, owner, _) = self.newest();
        self.clients.iter().all(Client::is_finished)
            && self
                .slots
                .iter()
                .filter_map(|slot| slot.node.as_ref())
                .any(|node| node.is_primary() && node.id() == owner && node.generation() == newest)
    }

    /// The newest generation that was claimed, by whom, and whom it keeps.
    fn newest(&self) -> (Generation, NodeId, Option<NodeId>) {
        let newest = self.claims.last_key_value();
        newest.map_or((Generation::ZERO, NodeId::ZERO, None), |(g, (id, keeps))| (*g, *id, *keeps))
    }

    fn describe(&self, slot: &Slot) -> String {
        slot.node.as_ref().map_or("empty".into(), |node| {
            let status = node.status(self.now_ns + slot.skew_ns);
            format!("{} {} g{} at {}", status.role, status.phase, status.generation, status.icount)
        })
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn { slot } => {
                if self.slots[slot].turn_at == Some(self.now_ns) && !self.defer_paused(slot) {
                    self.slots[slot].turn_at = None;
                    self.turn(slot);
                }
            }
            Happening::Arrive { slot, epoch, event } => {
                if self.slots[slot].epoch != epoch {
                    return;
                }
                if self.slots[slot].paused_until > self.now_ns {
                    let until = self.slots[slot].paused_until;
                    self.at(until, Happening::Arrive { slot, epoch, event });
                    return;
                }
                let now_ns = self.now_ns + self.slots[slot].skew_ns;
                if let Some(node) = &mut self.slots[slot].node {
                    node.step(event, now_ns);
                    self.carry_out(slot);
                    self.wake(slot);
                }
            }
            Happening::ToSwitch { from, what } => self.switch_takes(from, what),
            Happening::ToGuest { port, payload } => {
                let frame = wire::to_guest(self.mac, port, &payload);
                if self.switch.inbound.push(frame).is_some() {
                    self.switch_sends();
                }
            }
            Happening::ToClient { port, payload } => self.answer(port, &payload),
            Happening::Ask { client } => {
                if let Some(payload) = self.clients[client].ask() {
                    let (port, id) = (self.clients[client].port, self.clients[client].id());
                    self.asked_at.insert(port, self.now_ns);
                    self.datagram(port, payload, true);
                    self.later(5 * MS, Happening::Timer { client, id });
                }
            }
            Happening::Timer { client, id } => {
                if let Some((payload, timeout_ns)) = self.clients[client].again(id) {
                    self.datagram(self.clients[client].port, payload, true);
                    self.later(timeout_ns, Happening::Timer { client, id });
                }
            }
            Happening::DiskEnds { slot, epoch, disk } => self.disk_ends(slot, epoch, disk),
            Happening::Fault(_) if self.rests_until.is_some() => {}
            Happening::Fault(fault) => self.fault(fault),
            Happening::Start { slot } => self.start_backup(slot),
            Happening::Resume { slot } => self.wake(slot),
        }
    }

    fn defer_paused(&mut self, slot: usize) -> bool {
        let until = self.slots[slot].paused_until;
        if until > self.now_ns {
            self.slots[slot].turn_at = Some(until);
            self.at(until, Happening::Turn { slot });
            return true;
        }
        false
    }

    // ---- processes

    /// Gives the process in `slot` its turn as soon as it is nobody else's.
    fn wake(&mut self, slot: usize) {
        self.turn_by(slot, self.now_ns + US);
    }

    fn turn_by(&mut self, slot: usize, at_ns: u64) {
        if self.slots[slot].turn_at.is_none_or(|at| at > at_ns) {
            self.slots[slot].turn_at = Some(at_ns);
            self.at(at_ns, Happening::Turn { slot });
        }
    }

    fn turn(&mut self, slot: usize) {
        let skew_ns = self.slots[slot].skew_ns;
        let Some(node) = &mut self.slots[slot].node else { return };
        self.outcome.turns += 1;
        let before = node.icount();
        let mut window =
            Window { now_ns: self.now_ns + skew_ns, prng: &mut self.prng, host: slot as u64 + 1 };
        let pace = node.run(&mut window);
        let spent_ns = US + node.icount().since(before) * INSTRUCTION_NS;
        self.carry_out(slot);
        match pace {
            Pace::Now => self.turn_by(slot, self.now_ns + spent_ns),
            Pace::At(at_ns) => {
                self.turn_by(slot, at_ns.saturating_sub(skew_ns).max(self.now_ns + spent_ns));
            }
        }
    }

    fn carry_out(&mut self, slot: usize) {
        let epoch = self.slots[slot].epoch;
        let commands = self.slots[slot].node.as_mut().map_or(Vec::new(), Node::take_commands);
        for command in commands {
            match self.slots[slot].dies_in {
                // What was expendable when the fault was planned may be all that is left by now.
                Some((0, _)) if !self.is_expendable(slot) => self.slots[slot].dies_in = None,
                Some((0, silent)) => {
                    self.crash(slot, silent, &command);
                    return;
                }
                Some((left, silent)) => self.slots[slot].dies_in = Some((left - 1, silent)),
                None => {}
            }
            self.command(slot, epoch, command);
            if self.slots[slot].epoch != epoch || self.slots[slot].node.is_none() {
                return;
            }
        }
    }

    fn command(&mut self, slot: usize, epoch: u64, command: Command) {
        match command {
            Command::Send { link, message } => self.send(slot, link, message),
            Command::Close { link } => self.close(link),
            Command::Claim { generation, keeps, after } => {
                self.claim(slot, epoch, generation, keeps, after);
            }
            // The seeded switch fences only those whose claim is lost.
            Command::EndLife { .. } | Command::AskHolder => {}
            Command::StartRecording { base, seq_next, generation } => {
                self.note(|| format!("{slot}: has the state at {} (g{generation})", base.icount));
                let from = (self.slots.iter())
                    .enumerate()
                    .find(|(other, s)| *other != slot && s.node.as_ref().is_some_and(Node::is_primary))
                    .map(|(other, s)| (other, s.epoch));
                self.chronicle.begin((slot, epoch), from, seq_next);
            }
            Command::Append { bytes } => {
                let (entries, _) = decode_frame(&bytes).expect("a node appends what it can decode");
                let id = self.slots[slot].node.as_ref().map(Node::id);
                let counts = |entry: &log::Entry| match entry.event {
                    log::Event::Joined { node } => Some(node) == id,
                    _ => false,
                };
                if entries.iter().any(counts) {
                    self.slots[slot].answerable_from = Some(self.now_ns);
                }
                self.chronicle.append((slot, epoch), entries);
            }
            Command::Release(Output::Net { seq, frame }) => {
                let generation = self.slots[slot].generation;
                self.say_to_switch(slot, epoch, ToSwitch::Frame { generation, seq, frame });
            }
            Command::Release(Output::Console { .. }) => {}
            Command::Disk(request) => self.ask_disk(slot, usize::from(request.disk), Asked::Guest(request)),
            Command::DiskWork(job) => self.ask_disk(slot, usize::from(job.disk), Asked::Job(job)),
            Command::PlugIn(_) => {}
            Command::Activate { generation, rx_seq } => {
                if generation > Generation(1) {
                    self.outcome.takeovers += 1;
                }
                self.slots[slot].generation = generation;
                self.slots[slot].answerable_from = Some(self.now_ns);
                self.note(|| format!("{slot}: reigns as g{generation}, frames past {rx_seq}"));
                self.say_to_switch(slot, epoch, ToSwitch::Activate { generation, rx_seq });
            }
            Command::FramesSafe { rx_seq } => self.say_to_switch(slot, epoch, ToSwitch::Safe { rx_seq }),
            Command::Dial { .. } | Command::LeaveRole { .. } => {
                self.fail(format!(
                    "slot {slot} looks for a primary by itself: this world restarts whoever halts"
                ));
            }
            Command::Tell(text) | Command::Warn(text) => self.note(|| format!("{slot}: {text}")),
            Command::Halt(halt) => self.halted(slot, halt),
        }
    }

    fn halted(&mut self, slot: usize, halt: Halt) {
        self.note(|| format!("{slot}: halts: {halt:?}"));
        match halt {
            Halt::LostClaim { .. }
            | Halt::NotJoined { .. }
            | Halt::NoPrimary { .. }
            | Halt::DiskFailed { .. } => {
                self.empty(slot);
                let after = self.prng.between(5, 60) * MS;
                self.later(after, Happening::Start { slot });
            }
            Halt::Diverged(divergence) => self.fail(format!("slot {slot}: {divergence}")),
            Halt::GuestEnded(_) | Halt::LimitReached | Halt::Quit => {
                self.fail(format!("slot {slot} ended although nobody asked: {halt:?}"));
            }
        }
    }

    /// The process is gone; its connections end for their other ends.
    fn empty(&mut self, slot: usize) {
        self.slots[slot].node = None;
        self.slots[slot].epoch += 1;
        self.slots[slot].dies_in = None;
        self.slots[slot].paused_until = 0;
        self.slots[slot].generation = Generation::ZERO;
        self.slots[slot].answerable_from = None;
        self.slots[slot].disks.iter_mut().for_each(SimDisk::process_died);
        let links: Vec<LinkId> =
            self.ends.iter().filter(|(_, end)| end.slot == slot && end.open).map(|(link, _)| *link).collect();
        for link in links {
            self.close(link);
        }
    }

    fn crash(&mut self, slot: usize, silent: bool, before: &Command) {
        let text = format!("{before:?}");
        self.note(|| format!("{slot}: dies before {:.60}", text));
        self.outcome.crashes += 1;
        if silent {
            // The host is gone: nobody hears a thing, and what was under way may be lost.
            for end in self.ends.values_mut().filter(|end| end.slot == slot) {
                end.open = false;
            }
            for disk in &mut self.slots[slot].disks {
                disk.power_failed(&mut self.prng);
            }
        }
        self.empty(slot);
        let after = self.prng.between(5, 80) * MS;
        self.later(after, Happening::Start { slot });
    }

    /// A new process in `slot` joins whoever is primary and alone, or tries again later.
    fn start_backup(&mut self, slot: usize) {
        if self.slots[slot].node.is_some() {
            return;
        }
        let Some(primary) = self.primary().filter(|_| self.partition_until <= self.now_ns) else {
            self.later(20 * MS, Happening::Start { slot });
            return;
        };
        let id = self.new_id(slot);
        let (ours, theirs) = (LinkId(self.links_next), LinkId(self.links_next + 1));
        self.links_next += 2;
        let end = |slot: usize, epoch, other| End { slot, epoch, other, arrives_at: 0, open: true };
        self.ends.insert(ours, end(slot, self.slots[slot].epoch, theirs));
        self.ends.insert(theirs, end(primary, self.slots[primary].epoch, ours));
        let now_ns = self.now_ns + self.slots[slot].skew_ns;
        self.note(|| format!("{slot}: joins {primary}"));
        self.slots[slot].node = Some(Node::backup(id, "kv", ours, Settings::default(), now_ns));
        self.carry_out(slot);
        self.wake(slot);
    }

    // ---- disks

    fn ask_disk(&mut self, slot: usize, disk: usize, asked: Asked) {
        let now_ns = self.now_ns;
        // A backup would take such a word for a broken peer's.
        if self.plan.sabotage == Some(Sabotage::Flush)
            && self.slots[slot].node.as_ref().is_some_and(Node::is_primary)
            && let Asked::Guest(DiskRequest { disk, tag, op: DiskOp::Flush }) = &asked
        {
            self.forge_flushed(slot, *disk, *tag);
        }
        let (low, high) = match &asked {
            Asked::Guest(DiskRequest { op: DiskOp::Flush, .. })
            | Asked::Job(DiskJob { work: Work::Sync, .. }) => (50, 3000),
            _ => (10, 200),
        };
        let mut takes_ns = self.prng.between(low, high) * US;
        if self.prng.chance(1, 300) {
            takes_ns += self.prng.below(40 * MS);
        }
        let (epoch, at) = (self.slots[slot].epoch, &mut self.slots[slot]);
        at.disk_at[disk] = at.disk_at[disk].max(now_ns) + takes_ns;
        let at_ns = at.disk_at[disk];
        at.disks[disk].ask(asked);
        self.at(at_ns, Happening::DiskEnds { slot, epoch, disk });
    }

    /// The primary hears of a flush that was not.
    fn forge_flushed(&mut self, slot: usize, disk: u8, tag: u64) {
        let epoch = self.slots[slot].epoch;
        let links: Vec<LinkId> = self
            .ends
            .iter()
            .filter(|(_, end)| (end.slot, end.epoch) == (slot, epoch) && end.open)
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            let event = Event::Message { link, message: Message::Flushed { disk, tag } };
            self.later(US, Happening::Arrive { slot, epoch, event });
        }
    }

    fn disk_ends(&mut self, slot: usize, epoch: u64, disk: usize) {
        if self.slots[slot].epoch != epoch {
            return;
        }
        if self.slots[slot].paused_until > self.now_ns {
            let until = self.slots[slot].paused_until;
            self.at(until, Happening::DiskEnds { slot, epoch, disk });
            return;
        }
        let fails = self.disk_fails(slot, disk);
        let mut answered = self.slots[slot].disks[disk].carry_out(fails);
        if self.plan.sabotage == Some(Sabotage::Dirty)
            && let Some(Answered::Job(worked)) = &mut answered
            && let Ok(Worked::Dirty { chunks }) = &mut worked.outcome
        {
            chunks.clear();
        }
        let event = match answered {
            Some(Answered::Guest(done)) => Event::DiskDone(done),
            Some(Answered::Job(worked)) => Event::DiskWorked(worked),
            None => return,
        };
        self.later(US, Happening::Arrive { slot, epoch, event });
    }

    /// Whether a request fails. A primary's guest asks again; a backup halts, and must not be the last. Scratch
    /// is not written again at the end, so it does not fail.
    fn disk_fails(&mut self, slot: usize, disk: usize) -> bool {
        const SCRATCH_SECTOR: u64 = 2048;
        let disk = &self.slots[slot].disks[disk];
        if self.plan.disk_fails_permille == 0
            || disk.next_is_job()
            || disk.next_sector().is_some_and(|sector| sector >= SCRATCH_SECTOR)
            || self.rests_until.is_some()
        {
            return false;
        }
        let fails = self.prng.chance(self.plan.disk_fails_permille, 1000);
        let primary = self.slots[slot].node.as_ref().is_some_and(Node::is_primary);
        let fails = fails && (primary || self.is_expendable(slot));
        if fails {
            self.note(|| format!("{slot}: a disk request fails"));
        }
        fails
    }

    /// Whoever has to have what was acknowledged has it, and a loss of power would not change that.
    fn check_disks(&mut self) {
        let newest = self.newest().0;
        for slot in 0..self.slots.len() {
            let Some(node) = &self.slots[slot].node else { continue };
            let status = node.status(self.now_ns + self.slots[slot].skew_ns);
            let Some(from) = self.slots[slot].answerable_from else { continue };
            let reigns = node.is_primary() && node.generation() == newest;
            let counts = status.role == "backup" && status.protected && status.generation == newest;
            if !reigns && !counts {
                continue;
            }
            self.outcome.disks_checked += 1;
            let journal = disk::journal(self.slots[slot].disks[0].durable());
            let missing = |(asked_at, port, text): &&(u64, u16, Vec<u8>)| {
                (reigns || *asked_at > from) && !journal.contains(&(*port, text.clone()))
            };
            if let Some((_, port, text)) = self.kept.iter().find(missing) {
                let (text, role) = (String::from_utf8_lossy(text), status.role);
                let why = format!(
                    "client {port}: {text:?} was acknowledged, the {role} in slot {slot} may forget it"
                );
                self.fail(why);
                return;
            }
        }
    }

    /// At the end: the disks are that of the machine that never failed.
    fn compare_disks(&mut self, image: &[u8]) {
        self.check_disks();
        let Some(survivor) = self.primary() else { return };
        let status = |slot: usize| {
            let node = self.slots[slot].node.as_ref()?;
            Some(node.status(self.now_ns + self.slots[slot].skew_ns))
        };
        let level = status(survivor).is_some_and(|status| status.protected && status.lag_instructions == 0);
        let equal_to: Vec<usize> = (0..self.slots.len())
            .filter(|slot| {
                *slot == survivor || level && status(*slot).is_some_and(|s| s.role == "backup" && s.protected)
            })
            .collect();
        for slot in equal_to {
            self.outcome.disks_compared += 1;
            let bytes = self.slots[slot].disks[0].bytes();
            let differs = |(ours, one): (&[u8], &[u8])| ours != one;
            let sector = bytes.chunks(512).zip(image.chunks(512)).position(differs);
            if let Some(sector) = sector {
                self.fail(format!("slot {slot}: sector {sector} is not what one machine would have written"));
            }
        }
    }

    // ---- connections

    /// When something said now on `link` arrives, in the order in which it was said.
    fn arrival(&mut self, link: LinkId) -> u64 {
        let (low, high) = self.plan.delay_ns;
        let mut delay_ns = self.prng.between(low, high);
        if self.prng.chance(1, 200) {
            delay_ns += self.prng.below(30 * MS);
        }
        let from = self.now_ns.max(self.partition_until);
        let end = self.ends.get_mut(&link).expect("an open end is known");
        end.arrives_at = end.arrives_at.max(from + delay_ns);
        end.arrives_at
    }

    fn send(&mut self, slot: usize, link: LinkId, message: Message) {
        let Some(end) = self.ends.get(&link).filter(|end| end.open) else { return };
        let other = end.other;
        if self.plan.sabotage == Some(Sabotage::Gate)
            && let Message::Log(bytes) = &message
        {
            let (entries, _) = decode_frame(bytes).expect("a node sends what it can decode");
            let received = entries.last().map_or(Seq::ZERO, |entry| entry.seq);
            let ack = Message::Ack { received, executed: Icount::ZERO, audited: None };
            let epoch = self.slots[slot].epoch;
            let event = Event::Message { link, message: ack };
            self.later(US, Happening::Arrive { slot, epoch, event });
        }
        let at_ns = self.arrival(link);
        let (slot, epoch) = self.ends.get(&other).map_or((0, 0), |end| (end.slot, end.epoch));
        self.at(at_ns, Happening::Arrive { slot, epoch, event: Event::Message { link: other, message } });
    }

    fn close(&mut self, link: LinkId) {
        let Some(end) = self.ends.get_mut(&link).filter(|end| end.open) else { return };
        end.open = false;
        let other = end.other;
        let at_ns = self.arrival(link);
        let Some(end) = self.ends.get(&other) else { return };
        let (slot, epoch) = (end.slot, end.epoch);
        let event = Event::LinkClosed { link: other, why: "the connection was closed".into() };
        self.at(at_ns, Happening::Arrive { slot, epoch, event });
    }

    fn claim(
        &mut self,
        slot: usize,
        epoch: u64,
        generation: Generation,
        keeps: Option<NodeId>,
        after: NodeId,
    ) {
        // Whoever bids knows who holds the generation before.
        match self.claims.get(&Generation(generation.get() - 1)) {
            Some(&(before, _)) if before != after && self.plan.sabotage != Some(Sabotage::Claim) => {
                self.fail(format!("g{generation} is claimed after {after}'s reign, which was {before}'s"));
            }
            Some(_) | None => {}
        }
        let node = self.slots[slot].node.as_ref().map_or(NodeId::ZERO, Node::id);
        let outcome = if self.arbiter_back_at > self.now_ns {
            Err(ArbiterError::Unreachable("the city's arbiter is away".into()))
        } else if self.plan.sabotage == Some(Sabotage::Claim) {
            self.claims.insert(generation, (node, keeps));
            Ok(Claim::Won)
        } else {
            match *self.claims.entry(generation).or_insert((node, keeps)) {
                (to, _) if to == node => Ok(Claim::Won),
                (to, keeps) => Ok(Claim::Lost { to, keeps }),
            }
        };
        self.note(|| format!("{slot}: claims g{generation}: {outcome:?}"));
        let after = self.prng.between(100, 5000) * US;
        self.later(after, Happening::Arrive { slot, epoch, event: Event::Claimed { generation, outcome } });
    }

    // ---- the switch

    fn say_to_switch(&mut self, slot: usize, epoch: u64, what: ToSwitch) {
        let delay_ns = self.prng.between(20, 150) * US;
        let at_ns = self.slots[slot].to_switch_at.max(self.now_ns + delay_ns);
        self.slots[slot].to_switch_at = at_ns;
        self.at(at_ns, Happening::ToSwitch { from: (slot, epoch), what });
    }

    fn switch_takes(&mut self, from: (usize, u64), what: ToSwitch) {
        match what {
            ToSwitch::Activate { generation, rx_seq } => {
                if self.switch.fence.activate(generation).is_ok() {
                    self.switch.active = Some(from);
                    self.note(|| format!("switch: g{generation} of slot {} reigns", from.0));
                    self.switch.inbound.resume_after(rx_seq);
                    self.switch_sends();
                }
            }
            ToSwitch::Frame { generation, seq, frame } => {
                let verdict = self.switch.fence.accept(generation, seq);
                let open = self.plan.sabotage == Some(Sabotage::Fence);
                match verdict {
                    Verdict::Accept | Verdict::Gap { .. } => {}
                    Verdict::Duplicate
                    | Verdict::Leap { .. }
                    | Verdict::Stale { .. }
                    | Verdict::Unannounced { .. }
                        if open => {}
                    Verdict::Duplicate
                    | Verdict::Leap { .. }
                    | Verdict::Stale { .. }
                    | Verdict::Unannounced { .. } => {
                        self.switch.fenced += 1;
                        return;
                    }
                }
                self.chronicle.accepted(seq, &frame);
                if let Some((port, payload)) = wire::from_guest(&frame) {
                    self.datagram(port, payload, false);
                }
            }
            ToSwitch::Safe { rx_seq } => {
                if self.switch.active == Some(from) {
                    self.switch.inbound.confirm(rx_seq);
                }
            }
        }
    }

    /// The switch passes what waits to whoever reigns, in order.
    fn switch_sends(&mut self) {
        let Some((slot, epoch)) = self.switch.active else { return };
        while let Some((rx_seq, frame)) = self.switch.inbound.next_to_send() {
            let event = Event::Frame { rx_seq, frame: frame.to_vec() };
            let delay_ns = self.prng.between(20, 150) * US;
            let at_ns = self.switch.arrives_at.max(self.now_ns + delay_ns);
            self.switch.arrives_at = at_ns;
            self.at(at_ns, Happening::Arrive { slot, epoch, event });
        }
    }

    fn datagram(&mut self, port: u16, payload: Vec<u8>, to_guest: bool) {
        let mut copies = 1;
        if self.prng.chance(self.plan.loss_permille, 1000) {
            copies = 0;
        } else if self.prng.chance(self.plan.double_permille, 1000) {
            copies = 2;
        }
        for _ in 0..copies {
            let after = self.prng.between(20, 400) * US;
            let payload = payload.clone();
            let happening = match to_guest {
                true => Happening::ToGuest { port, payload },
                false => Happening::ToClient { port, payload },
            };
            self.later(after, happening);
        }
    }

    fn answer(&mut self, port: u16, payload: &[u8]) {
        let Some(client) = self.clients.iter().position(|client| client.port == port) else { return };
        let change = self.clients[client].change().map(<[u8]>::to_vec);
        match self.clients[client].answer(payload) {
            Ok(true) => {
                if let Some(text) = change.filter(|_| !self.image.is_empty()) {
                    let asked_at = self.asked_at.get(&port).copied().unwrap_or(self.now_ns);
                    self.kept.push((asked_at, port, text));
                    self.check_disks();
                }
                let after = self.clients[client].think_ns();
                self.later(after, Happening::Ask { client });
            }
            Ok(false) => {}
            Err(why) => self.fail(why),
        }
    }

    // ---- faults

    /// Would the guest live on without the process in `victim`? It would if somebody else holds the
    /// newest generation, or follows it and counts, or has just handed it over and can take it back.
    fn is_expendable(&self, victim: usize) -> bool {
        let (newest, owner, keeps) = self.newest();
        (0..self.slots.len()).filter(|slot| *slot != victim).any(|slot| {
            let Some(node) = &self.slots[slot].node else { return false };
            let status = node.status(self.now_ns + self.slots[slot].skew_ns);
            let holds = node.id() == owner;
            let counts = status.role == "backup" && status.protected && status.generation == newest;
            let kept = keeps == Some(node.id());
            self.slots[slot].dies_in.is_none() && (holds || counts || kept)
        })
    }

    /// Whoever reigns: of several primaries (one may be paused, and not know) the newest.
    fn primary(&self) -> Option<usize> {
        let reign = |slot: &usize| {
            self.slots[*slot].node.as_ref().filter(|node| node.is_primary()).map(Node::generation)
        };
        (0..self.slots.len()).filter(|slot| reign(slot).is_some()).max_by_key(reign)
    }

    fn backup(&self) -> Option<usize> {
        let backup =
            |slot: &Slot| slot.node.as_ref().is_some_and(|node| !node.is_primary() && !node.is_halted());
        self.slots.iter().position(backup)
    }

    fn fault(&mut self, fault: Fault) {
        self.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::KillPrimary { after_commands, silent } => {
                match self.primary().filter(|slot| self.is_expendable(*slot)) {
                    Some(slot) => self.slots[slot].dies_in = Some((after_commands, silent)),
                    None => self.later(30 * MS, Happening::Fault(fault)),
                }
            }
            Fault::KillBackup { after_commands, silent } => {
                if let Some(slot) = self.backup().filter(|slot| self.is_expendable(*slot)) {
                    self.slots[slot].dies_in = Some((after_commands, silent));
                }
            }
            Fault::PausePrimary { for_ns } => {
                self.pause(self.primary(), for_ns);
            }
            Fault::PauseBackup { for_ns } => self.pause(self.backup(), for_ns),
            Fault::Partition { for_ns } => {
                self.outcome.partitions += 1;
                self.partition_until = self.partition_until.max(self.now_ns + for_ns);
            }
            Fault::ArbiterGone { for_ns } => {
                self.arbiter_back_at = self.arbiter_back_at.max(self.now_ns + for_ns);
            }
            Fault::SwitchOver => {
                if let Some(slot) = self.primary() {
                    let link = LinkId(self.links_next);
                    self.links_next += 1;
                    let event = Event::Message { link, message: Message::SwitchOver };
                    let epoch = self.slots[slot].epoch;
                    self.later(US, Happening::Arrive { slot, epoch, event });
                }
            }
        }
    }

    fn pause(&mut self, slot: Option<usize>, for_ns: u64) {
        let Some(slot) = slot else { return };
        self.outcome.pauses += 1;
        self.note(|| format!("{slot}: paused for {} ms", for_ns / MS));
        self.slots[slot].paused_until = self.now_ns + for_ns;
        self.later(for_ns, Happening::Resume { slot });
    }
}
