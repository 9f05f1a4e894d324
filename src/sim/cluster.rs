//! The simulated cluster: slots for processes, connections, the switch, the arbiter, and
//! a queue of happenings in virtual time.

mod arbiter;
mod beats;
mod clients;
mod disks;
mod faults;
mod links;
mod processes;
mod rehearsals;
mod stores;
mod switch;

use std::collections::{BTreeMap, BTreeSet};

use super::Outcome;
use super::client::{Client, TIMEOUT_NS};
use super::disk::{self, Answered, Asked, SimDisk};
use super::oracle::{self, Chronicle};
use super::plan::{Fault, Plan};
use super::store::SimStore;
use super::wire;
use crate::base::{Generation, Icount, NodeId, Prng, Sabotage, Seq};
use crate::devices::disk::{DISKS_MAX, DiskOp, DiskRequest, DiskSpec, SECTOR_BYTES};
use crate::ft::DiskStanding;
use crate::ft::NodeStatus;
use crate::ft::Pace;
use crate::ft::arbiter::{ArbiterError, Bid, Claim, Holder};
use crate::ft::beat::{BEAT_BYTES, Beat};
use crate::ft::detector::Signs;
use crate::ft::disk::{DiskJob, Work};
use crate::ft::{Ack, Boot, Command, Event, Halt, LinkId, Message, Node, Restart, Settings, World};
use crate::log::{self, frame::decode_frame};
use crate::machine::{Input, Machine, Output, Piece, Saved, SavedHead};
use crate::net::{PeerId, Switch, SwitchConfig};
use crate::snapshot;
use beats::Heart;
use switch::{Net, Port};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
/// A run that has not ended by then never will.
const VIRTUAL_NS_MAX: u64 = 60_000 * MS;
const HAPPENINGS_MAX: u64 = 3_000_000;
pub(super) const SLOTS: usize = 3;
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
    /// Bytes on a connection to the switch, and from it.
    ToSwitch {
        peer: PeerId,
        bytes: Vec<u8>,
    },
    FromSwitch {
        peer: PeerId,
        bytes: Vec<u8>,
    },
    /// A connection has ended, as the switch and the process notice it.
    GoneForSwitch {
        peer: PeerId,
    },
    GoneForPort {
        peer: PeerId,
    },
    /// The `plug`-th port of the process that lived in `slot` as `epoch` connects.
    Connect {
        slot: usize,
        epoch: u64,
        plug: u64,
    },
    PortLook {
        peer: PeerId,
    },
    SwitchTick,
    SwitchBack,
    ToGuest {
        port: u16,
        payload: Vec<u8>,
    },
    ToClient {
        port: u16,
        payload: Vec<u8>,
    },
    /// A datagram that is sent once, whatever becomes of it.
    AskOnce {
        number: u64,
    },
    /// Each node gets the arbiter's record of the generation that it knows.
    LookAtArbiter,
    Ask {
        client: usize,
    },
    Timer {
        client: usize,
        id: u64,
    },
    /// A disk has done what it was asked first in the `role`-th role that was taken in `slot`.
    DiskEnds {
        slot: usize,
        role: u64,
        disk: usize,
    },
    /// The arbiter's answer to the claim of `node` arrives.
    Decided {
        slot: usize,
        node: NodeId,
        generation: Generation,
        outcome: Result<Claim, ArbiterError>,
    },
    /// The process that lived in `slot` as `epoch` connects to another node, or cannot.
    Dial {
        slot: usize,
        epoch: u64,
        address: String,
    },
    Fault(Fault),
    Start {
        slot: usize,
    },
    /// The checkpoint after entry `seq` is durable in the store with that number.
    Checkpointed {
        slot: usize,
        number: u64,
        seq: Seq,
        generation: Generation,
        state: Box<Saved>,
    },
    /// The store with that number has so many frames synced; none yet once its base is.
    Synced {
        slot: usize,
        number: u64,
        count: usize,
    },
    /// A pause of so long ends.
    Resume {
        slot: usize,
        paused_ns: u64,
    },
    /// The node of the process that lived in `slot` as `epoch` hangs no more.
    Recovers {
        slot: usize,
        epoch: u64,
    },
    /// The heartbeat thread of that process is to send a beat; and one arrives at that end of a connection.
    Beat {
        slot: usize,
        epoch: u64,
    },
    BeatArrives {
        link: LinkId,
        bytes: [u8; BEAT_BYTES],
    },
}

/// A state that is to be tried.
struct Fork {
    number: u64,
    head: SavedHead,
    pieces: Vec<Piece>,
}

/// One process, or the place of one.
struct Slot {
    node: Option<Node>,
    /// Counts the processes that have lived here.
    epoch: u64,
    /// Counts their roles: a process that loses its place takes another.
    roles: u64,
    turn_at: Option<u64>,
    paused_until: u64,
    heart: Heart,
    /// The process is killed before carrying out this many more commands.
    dies_in: Option<(u64, bool)>,
    /// It is lost with its host after it has released this many more frames.
    dies_after_frames: Option<u64>,
    /// Its monotonic clock is this far ahead of the cluster's, and that much faster.
    skew_ns: u64,
    drift_ppm: u64,
    /// How many times longer than elsewhere its work takes.
    slowness: u64,
    /// Its port at the switch, and how many it has had.
    port: Option<Port>,
    plugs: u64,
    /// Messages to other nodes wait until then.
    mute_until: u64,
    /// Ends of disk requests that this process' log has delivered to the guest.
    told: BTreeSet<(u8, u64)>,
    /// Those that this slot's disks have carried out for it.
    done: BTreeSet<(u8, u64)>,
    /// A bit of its node's memory has flipped in this role, and the audit has not found it.
    flipped: bool,
    /// Its node has diverged, and does not count again yet.
    heals: bool,
    /// A request of the guest's has failed in this role.
    disk_failed: bool,
    /// They outlive the processes.
    disks: Vec<SimDisk>,
    store: Option<SimStore>,
    /// The disks hold what the machine in the store takes for done.
    disks_go_with_store: bool,
    /// The checkpoint that is being saved, and its pieces.
    saving: Option<Saving>,
    pieces: Vec<Piece>,
    /// The fork that is being drawn.
    fork: Option<Fork>,
    /// So many frames of the store were given to the process that goes on from it.
    given: usize,
    /// What a disk was asked earlier it does earlier.
    disk_at: [u64; DISKS_MAX],
    /// From then on this process' disks have to have what is acknowledged.
    answerable_from: Option<u64>,
}

/// What a checkpoint is of that is being saved.
struct Saving {
    seq: Seq,
    generation: Generation,
    base: Option<Seq>,
    head: SavedHead,
}

/// A connection's end in `slot`; `other` is the end that the peer holds.
struct End {
    slot: usize,
    epoch: u64,
    /// The role that the process had when the connection came to be.
    role: u64,
    other: LinkId,
    /// Nothing sent here arrives before this.
    arrives_at: u64,
    open: bool,
    /// When the node last took a message in, by its host's clock; and the last beat that came with it.
    heard_ns: u64,
    beat: Option<(u64, Beat)>,
}

pub struct Cluster<'a> {
    plan: Plan,
    prng: Prng,
    now_ns: u64,
    happened: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    tie: u64,
    slots: Vec<Slot>,
    ends: BTreeMap<LinkId, End>,
    links_next: u64,
    stores_begun: u64,
    /// The holder of each generation, and the node that it keeps as its backup.
    claims: BTreeMap<Generation, (NodeId, Vec<NodeId>)>,
    arbiter_back_at: u64,
    /// A bit flips before the next digest that a backup is given.
    flip_due: bool,
    partition_until: u64,
    /// How long faults have kept nodes from hearing each other, in all.
    disturbed_ns: u64,
    net: Net,
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
    signs: BTreeMap<LinkId, Signs>,
    net_accepted: u64,
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

    fn net_accepted(&mut self) -> u64 {
        self.net_accepted
    }

    fn signs(&mut self, link: LinkId) -> Option<Signs> {
        self.signs.get(&link).copied()
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

impl<'a> Cluster<'a> {
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
            store: None,
            disks_go_with_store: true,
            saving: None,
            pieces: Vec::new(),
            fork: None,
            given: 0,
            disk_at: [0; DISKS_MAX],
            answerable_from: None,
            node: None,
            epoch: 0,
            roles: 0,
            turn_at: None,
            paused_until: 0,
            heart: Heart::default(),
            dies_in: None,
            dies_after_frames: None,
            skew_ns: prng.below(1000 * MS),
            drift_ppm: prng.below(200),
            slowness: plan.slow_host.filter(|(slow, _)| *slow == slot).map_or(1, |(_, times)| times),
            port: None,
            plugs: 0,
            mute_until: 0,
            disk_failed: false,
            flipped: false,
            heals: false,
            told: BTreeSet::new(),
            done: BTreeSet::new(),
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
            rejoins: 0,
            total_losses: 0,
            flips: 0,
            divergences: 0,
            healed: 0,
            checkpoints: 0,
            rehearsals: 0,
            restarts: 0,
        };
        let gateway = plan.gateway && specs.is_empty();
        let net = Net::new(gateway, plan.switch_asks_arbiter);
        let mut cluster = Self {
            plan,
            prng,
            now_ns: 0,
            happened: 0,
            queue: BTreeMap::new(),
            tie: 0,
            slots,
            ends: BTreeMap::new(),
            links_next: 1,
            stores_begun: 0,
            claims: BTreeMap::new(),
            arbiter_back_at: 0,
            flip_due: false,
            partition_until: 0,
            disturbed_ns: 0,
            net,
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
        cluster.settle(guest);
        cluster
    }

    /// The first primary, its backup, the clients and the faults.
    fn settle(&mut self, guest: &Saved) {
        let mut machine = Machine::restore(guest.clone()).expect("the guest was saved by this very program");
        self.plan.choose_engine(0, &mut machine);
        let generation = Generation(1);
        let boot = Boot { machine, generation, life: 1, limit: Icount::MAX };
        let id = self.new_id(0);
        self.claims.insert(generation, (id, Vec::new()));
        let now_ns = self.clock_ns(0);
        let mut node = Node::primary(id, "kv", boot, self.settings(0), now_ns);
        self.introduce(0, &mut node);
        self.slots[0].node = Some(node);
        self.start_beats(0);
        self.wake(0);
        self.later(MS, Happening::Start { slot: 1 });
        if self.plan.spare {
            self.later(40 * MS, Happening::Start { slot: 2 });
        }
        for client in 0..self.clients.len() {
            let after = self.prng.between(1, 20) * MS;
            self.later(after, Happening::Ask { client });
        }
        self.later(3 * MS, Happening::AskOnce { number: 1 });
        self.later(200 * MS, Happening::LookAtArbiter);
        for (at_ns, fault) in self.plan.faults.clone() {
            self.later(at_ns, Happening::Fault(fault));
        }
    }

    fn settings(&self, slot: usize) -> Settings {
        let slice_instructions = self.plan.slice_instructions;
        let (slice_instructions_held, replay_instructions) = (slice_instructions / 4, slice_instructions / 2);
        let slice_instructions_max = slice_instructions;
        Settings {
            slice_instructions,
            slice_instructions_held,
            slice_instructions_max,
            replay_instructions,
            backups_max: self.plan.backups,
            engine: self.plan.engine(slot),
            stores: self.plan.stores,
            checkpoint_ns: self.plan.checkpoint_ns,
            checkpoint_instructions: 1,
            digest_instructions: if self.plan.flips() {
                20_000
            } else {
                Settings::default().digest_instructions
            },
            ack: if self.plan.stores { Ack::Disk } else { Ack::Memory },
            ..Settings::default()
        }
    }

    /// What the host in `slot` takes the time to be.
    fn clock_ns(&self, slot: usize) -> u64 {
        let Slot { skew_ns, drift_ppm, .. } = self.slots[slot];
        self.now_ns + skew_ns + self.now_ns / 1_000_000 * drift_ppm
    }

    fn new_id(&mut self, slot: usize) -> NodeId {
        self.slots[slot].epoch += 1;
        self.slots[slot].roles += 1;
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
                let roles: Vec<String> = (0..self.slots.len()).map(|slot| self.describe(slot)).collect();
                self.fail(format!("stuck: clients wait for answers that never come ({})", roles.join("; ")));
                break;
            }
        }
        self.outcome.virtual_ms = self.now_ns / MS;
        self.outcome.acknowledged = self.clients.iter().map(|client| client.done).sum();
        self.outcome.retransmissions = self.clients.iter().map(|client| client.retransmissions).sum();
        self.settle_switch();
        self.outcome.frames_fenced = self.net.dropped;
        if let Some(slot) = self.slots.iter().position(|slot| slot.flipped) {
            self.fail(format!("a bit of the memory in slot {slot} has flipped, and no audit has found it"));
        }
        if self.outcome.failure.is_none() {
            let survivor = self.primary().map(|slot| (slot, self.slots[slot].roles));
            let mut image = std::mem::take(&mut self.image);
            if let Err(why) = oracle::judge(&self.chronicle, survivor, self.due(), &mut image) {
                self.fail(why);
            } else if !image.is_empty() {
                self.compare_disks(&image);
            }
        }
        self.outcome
    }

    /// What the switch handed over before that time is in the survivor's log; none while the survivor is kept from
    /// its work, or has hardly begun it.
    fn due(&self) -> Option<(u64, u64)> {
        const LONG_ENOUGH_NS: u64 = 250 * MS;
        let slot = self.primary()?;
        let before = self.now_ns.checked_sub(LONG_ENOUGH_NS)?;
        let live = self.slots[slot].answerable_from.is_some_and(|from| from < before);
        (live && self.slots[slot].held_until() < before).then_some((self.net.life, before))
    }

    /// Everything is settled and, where there are disks, has been for a while.
    fn is_at_rest(&mut self) -> bool {
        if self.image.is_empty() {
            return self.is_settled();
        }
        if self.rests_until.is_none() && self.is_settled() {
            self.rests_until = Some(self.now_ns + REST_NS);
            for slot in &mut self.slots {
                (slot.dies_in, slot.dies_after_frames) = (None, None);
            }
            self.note(|| "everything is answered".into());
        }
        // A backup that has just come back writes for longer than it replays.
        let disks_rest = self.slots.iter().flat_map(|slot| &slot.disks).all(SimDisk::is_idle);
        self.rests_until.is_some_and(|until| self.now_ns >= until) && self.is_settled() && disks_rest
    }

    /// Every client has its answers, and the holder of the newest generation is primary.
    fn is_settled(&self) -> bool {
        let (newest, owner, _) = self.newest();
        self.plan.faults.last().is_none_or(|(last_ns, _)| self.now_ns > *last_ns)
            && !self.any_flipped()
            && self.clients.iter().all(Client::is_finished)
            && self
                .slots
                .iter()
                .filter_map(|slot| slot.node.as_ref())
                .any(|node| node.is_primary() && node.id() == owner && node.generation() == newest)
    }

    /// The newest generation that was claimed, by whom, and whom it keeps.
    fn newest(&self) -> (Generation, NodeId, Vec<NodeId>) {
        let newest = self.claims.last_key_value();
        newest
            .map_or((Generation::ZERO, NodeId::ZERO, Vec::new()), |(g, (id, keeps))| (*g, *id, keeps.clone()))
    }

    fn describe(&self, slot: usize) -> String {
        self.slots[slot].node.as_ref().map_or("empty".into(), |node| {
            let status = node.status(self.clock_ns(slot));
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
                if self.slots[slot].held_until() > self.now_ns {
                    let until = self.slots[slot].held_until();
                    self.at(until, Happening::Arrive { slot, epoch, event });
                    return;
                }
                let now_ns = self.clock_ns(slot);
                if let Event::Message { link, .. } = &event
                    && let Some(end) = self.ends.get_mut(link)
                {
                    end.heard_ns = now_ns;
                }
                if self.flip_due {
                    self.flip_if_audited(slot, &event);
                }
                if let Some(node) = &mut self.slots[slot].node {
                    node.step(event, now_ns);
                    self.carry_out(slot);
                    self.wake(slot);
                }
            }
            Happening::ToSwitch { peer, bytes } => self.switch_hears(peer, &bytes),
            Happening::FromSwitch { peer, bytes } => self.port_hears(peer, bytes),
            Happening::GoneForSwitch { peer } => self.switch_hears_gone(peer),
            Happening::GoneForPort { peer } => self.port_hears_gone(peer),
            Happening::Connect { slot, epoch, plug } => self.connect(slot, epoch, plug),
            Happening::PortLook { peer } => self.port_looks(peer),
            Happening::SwitchTick => self.switch_ticks(),
            Happening::SwitchBack => self.switch_is_back(),
            Happening::ToGuest { port, payload } => self.switch_takes(port, &payload),
            Happening::ToClient { port, payload } => self.answer(port, &payload),
            Happening::AskOnce { number } => self.ask_once(number),
            Happening::LookAtArbiter => self.look_at_arbiter(),
            Happening::Ask { client } => {
                if let Some(payload) = self.clients[client].ask() {
                    let (port, id) = (self.clients[client].port, self.clients[client].id());
                    self.asked_at.insert(port, self.now_ns);
                    self.datagram(port, payload, true);
                    self.later(TIMEOUT_NS, Happening::Timer { client, id });
                }
            }
            Happening::Timer { client, id } => {
                if let Some((payload, timeout_ns)) = self.clients[client].again(id) {
                    self.datagram(self.clients[client].port, payload, true);
                    self.later(timeout_ns, Happening::Timer { client, id });
                }
            }
            Happening::DiskEnds { slot, role, disk } => self.disk_ends(slot, role, disk),
            Happening::Decided { slot, node, generation, outcome } => {
                if self.slots[slot].node.as_ref().is_some_and(|asked| asked.id() == node) {
                    let epoch = self.slots[slot].epoch;
                    self.happen(Happening::Arrive {
                        slot,
                        epoch,
                        event: Event::Claimed { generation, outcome },
                    });
                }
            }
            Happening::Dial { slot, epoch, address } => self.dial(slot, epoch, address),
            Happening::Fault(_) if self.rests_until.is_some() => {}
            // A primary that dies right now would be followed by a node that cannot go on: nobody could.
            Happening::Fault(fault) if self.any_flipped() => self.later(5 * MS, Happening::Fault(fault)),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Start { slot } => self.start(slot),
            Happening::Synced { slot, number, count } => self.synced(slot, number, count),
            Happening::Checkpointed { slot, number, seq, generation, state } => {
                self.checkpointed(slot, number, (seq, generation), *state);
            }
            Happening::Resume { slot, paused_ns } => self.resume(slot, paused_ns),
            Happening::Recovers { slot, epoch } => {
                if self.slots[slot].epoch == epoch {
                    self.wake(slot);
                }
            }
            Happening::Beat { slot, epoch } => self.beat(slot, epoch),
            Happening::BeatArrives { link, bytes } => self.beat_arrives(link, bytes),
        }
    }

    fn defer_paused(&mut self, slot: usize) -> bool {
        let until = self.slots[slot].held_until();
        if until > self.now_ns {
            self.slots[slot].turn_at = Some(until);
            self.at(until, Happening::Turn { slot });
            return true;
        }
        false
    }
}
