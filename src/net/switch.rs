//! The whole switch as one state: VMs, fences, queues, fabric and gateway.
//!
//! The caller (`host::switch`, the simulator) owns connections and clocks. It reports what came
//! ([`Switch::message`], [`Switch::datagram`], [`Switch::closed`], [`Switch::tick`]) and does the
//! [`Command`]s that come back; while a VM's connection has room it fetches that VM's frames with
//! [`Switch::next_frame`]. So a slow VM costs a bounded queue here and nothing elsewhere.
//!
//! Port 0 leads out: to the gateway, or to an uplink in its place ([`Switch::uplink_frame`],
//! [`Command::ToUplink`]). Behind an uplink is a real segment: a VM that becomes primary here is announced
//! there (`net::announce`), and nothing from there waits for a VM that is active at another switch.
//!
//! A VM keeps its place here when its connection is lost, for its successor. Its attachments:
//!
//! ```text
//!            Attach (standby)          Activate, higher generation
//!   (new) ---------------------> Standby ----------------------> Active
//!     |   Attach                                                    |
//!     +-------------------------------------------------------------+
//!   A second Active of the same life and generation replaces the first (it reconnected); one of a
//!   higher generation fences it. A new life needs a higher generation, and numbers from 1 again.
//! ```
//!
//! A guest's *life* is a number that only its nodes know, and so their proof of being its nodes. A node that
//! names another life, or a generation further ahead than the next, needs the arbiter's confirmation
//! ([`Switch::claimed`]) or must wait until no node is active for the guest ([`LIVE_NS`]); without an arbiter
//! a generation may be at most [`LEAP_MAX`] ahead. A place to which no node has been attached for
//! [`ABANDONED_NS`] is free for another guest, and one without an attached node makes room when all
//! [`VMS_MAX`] are taken.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use serde::Serialize;

use super::announce::{self, Addresses, Rounds};
use super::elsewhere::{Address, Elsewhere, ElsewhereStatus, MOVING_NS, Whence};
use super::ether::{Mac, addresses, claims_ip};
use super::fabric::{DropWhy, Fabric, Fate, GATEWAY_PORT, PortId};
use super::fence::{Fence, FenceCounts, Verdict};
use super::gateway::{DNS_IP, FromGateway, Gateway, GatewayConfig, GatewayCounts, HostAction};
use super::inbound::{Inbound, InboundCounts};
use super::outbound::FlowId;
use super::port::{Attach, FromSwitch, PortError, ToSwitch};
use super::tcp::{ConnId, OpenRefused, Tcp};
use super::{MILLISECOND_NS, SECOND_NS};
use crate::base::Generation;

/// At most this many connections at once.
pub const PEERS_MAX: usize = 256;
/// At most this many VM names are remembered.
pub const VMS_MAX: usize = 128;
/// At most this many standby connections for one VM.
pub const STANDBYS_MAX: usize = 8;
/// Frames for a VM without an attached node are kept this long.
pub const ABANDONED_NS: u64 = 60 * SECOND_NS;

/// A generation above that of the VM's connection has been claimed: the connection has this long to report
/// that the claim was its own. Its frames are dropped until then.
pub const CLAIM_GRACE_NS: u64 = 200 * MILLISECOND_NS;

/// A guest whose node has sent something within this time is live here (a node pings its switch every
/// second): another life, or a leap of generations, does not replace it without the arbiter's confirmation.
pub const LIVE_NS: u64 = 3 * SECOND_NS;

/// Without an arbiter a generation is at most this far ahead of the newest one known: takeovers that this
/// switch did not see.
pub const LEAP_MAX: u64 = 64;

/// Names one connection; chosen by the caller, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// What a switch is made of; it does not change.
#[derive(Clone, Debug)]
pub struct SwitchConfig {
    /// The gateway, which also names the forwards.
    pub gateway: GatewayConfig,
    /// A way out in the place of the gateway, which then neither receives nor sends.
    pub uplink: bool,
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseWhy {
    /// The peer closed it, or the network did.
    Gone,
    /// Not this protocol, or not this version.
    Garbage,
    /// The first message was not `Attach`, or a later one was.
    OutOfTurn,
    /// The attachment was refused.
    Refused,
    /// Another generation is current.
    Fenced,
    /// The same node has connected again.
    Replaced,
    /// Began a message and did not end it in time, or never identified itself.
    Stalled,
    /// Does not read what it is sent.
    SlowReader,
    /// Too many connections, or too many from one address: one that has not identified itself gives way to
    /// newer ones.
    TooMany,
    /// A status was asked and given.
    Answered,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this message to this peer.
    Send(PeerId, FromSwitch),
    /// Close once everything sent before has left.
    Close(PeerId, CloseWhy),
    /// Do this outside the segment, as the gateway wants it.
    Host(HostAction),
    /// Put this frame on the uplink.
    ToUplink(Vec<u8>),
    /// A line for the operator.
    Tell(String),
}

/// Frames at the uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UplinkCounts {
    /// Frames put on the segment.
    pub frames_out: u64,
    /// Frames received from it.
    pub frames_in: u64,
    /// Those of `frames_out` that announced to the segment where a VM is.
    pub announcements: u64,
    /// Frames for a VM that is not primary at this switch.
    pub not_here: u64,
}

/// What is shown on request and at the end.
#[derive(Clone, Debug, Serialize)]
pub struct SwitchStatus {
    /// The VMs, by name.
    pub vms: BTreeMap<String, VmStatus>,
    /// Connections of nodes and tools.
    pub peers: usize,
    /// Connections closed so far, by reason.
    pub closed: BTreeMap<CloseWhy, u64>,
    /// Frames that went nowhere, by reason.
    pub dropped: BTreeMap<DropWhy, u64>,
    /// Frames for VMs without an attached node.
    pub dropped_abandoned: u64,
    /// Ethernet addresses that the switch knows, its VMs' included.
    pub addresses: usize,
    /// What the gateway has done.
    pub gateway: GatewayCounts,
    /// In the gateway's place, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<UplinkCounts>,
}

/// One VM of a [`SwitchStatus`].
#[derive(Clone, Debug, Serialize)]
pub struct VmStatus {
    /// The generation that frames are taken of.
    pub generation: u64,
    /// The guest's Ethernet address.
    pub mac: Mac,
    /// Whether an active node is connected.
    pub active: bool,
    /// Connected nodes that wait to become active.
    pub standbys: usize,
    /// Where a generation above ours has been claimed: that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<u64>,
    /// The last frame accepted from the guest.
    pub tx_seq_last: u64,
    /// The last frame toward the VM that is not kept for it any more: safe in its log, or given up with its nodes.
    pub rx_seq_safe: u64,
    /// Frames toward the VM that are not yet safe in its log.
    pub waiting: usize,
    /// What was accepted and refused of the guest's frames.
    pub fence: FenceCounts,
    /// What became of the frames toward it.
    pub inbound: InboundCounts,
    /// An address of its guest's that another station uses, if that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_elsewhere: Option<ElsewhereStatus>,
}

#[derive(Clone, Copy, Debug)]
struct Standby {
    /// The generation that it followed when it came.
    followed: Generation,
    life: u64,
}

struct Vm {
    name: String,
    life: u64,
    mac: Mac,
    fence: Fence,
    inbound: Inbound,
    active: Option<PeerId>,
    standbys: BTreeMap<PeerId, Standby>,
    /// Since when no node is attached, once a tick has seen it.
    alone_since: Option<u64>,
    /// It is active here, or was and its successor may be about to.
    here: bool,
    /// Some node has been primary here; until then no life is tied to the name.
    had_primary: bool,
    /// When the active connection sent its last message.
    heard: u64,
    /// When any node of this life has.
    node_heard: u64,
    /// The newest generation that the arbiter has named.
    arbiter: Option<Generation>,
    /// The newest generation that is known to be claimed, if it is not the current one here; and when that
    /// was learned.
    claimed: Option<(Generation, u64)>,
    addresses: Addresses,
    rounds: Rounds,
    /// When the present generation began here.
    active_since: u64,
    elsewhere: Elsewhere,
}

impl Vm {
    fn is_alone(&self) -> bool {
        self.active.is_none() && self.standbys.is_empty()
    }

    /// Whether a node is active for the guest now.
    fn is_live(&self, now: u64) -> bool {
        self.active.is_some() && now.saturating_sub(self.heard) < LIVE_NS
    }

    /// Whether the guest has a node here that is active or could become so.
    fn has_node(&self, now: u64) -> bool {
        let any = self.active.is_some() || self.standbys.values().any(|standby| standby.life == self.life);
        any && now.saturating_sub(self.node_heard) < LIVE_NS
    }

    fn is_abandoned(&self, now: u64) -> bool {
        self.is_alone() && self.alone_since.is_some_and(|since| now.saturating_sub(since) >= ABANDONED_NS)
    }

    /// Whether the place goes to a guest of another life, whatever was here before.
    fn is_free(&self, now: u64) -> bool {
        !self.had_primary || self.is_abandoned(now)
    }

    /// Why `generation` of the guest `life` may not begin here, although it is new. With `has_arbiter` a leap
    /// waits for the arbiter's confirmation, without it is bounded.
    fn objection(&self, now: u64, life: u64, generation: Generation, has_arbiter: bool) -> Option<String> {
        let name = &self.name;
        let newest =
            self.claimed.map_or(self.fence.current(), |(claimed, _)| claimed.max(self.fence.current()));
        let newest = self.arbiter.map_or(newest, |word| word.max(newest));
        let ahead = generation.get().saturating_sub(newest.get());
        if generation <= self.fence.current() || self.arbiter.is_some_and(|word| word >= generation) {
            return None;
        }
        let fix = if has_arbiter {
            "the arbiter has not confirmed it yet; it is asked again"
        } else {
            "a switch with --arbiter could ask; without one, stop that node, or restart the switch"
        };
        if ahead > 1 && has_arbiter {
            return Some(format!("generation {generation} of {name:?} comes after {newest} here: {fix}"));
        }
        if ahead > LEAP_MAX {
            return Some(format!("generation {generation} of {name:?} is too far ahead of {newest}: {fix}"));
        }
        if life != self.life && self.has_node(now) {
            return Some(format!("another guest by the name {name:?} is here and lives: {fix}"));
        }
        if self.is_live(now) && ahead > 1 {
            return Some(format!(
                "generation {newest} of {name:?} lives, and {generation} is not the next: {fix}"
            ));
        }
        None
    }

    /// The generation in whose favour this VM's connection is ignored.
    fn overruled_by(&self, generation: Generation) -> Option<Generation> {
        self.claimed.map(|(claimed, _)| claimed).filter(|claimed| *claimed > generation)
    }

    /// Whether the guest may be announced on the segment: there is an active node here, and none known
    /// elsewhere.
    fn may_announce(&self) -> bool {
        self.active.is_some() && self.overruled_by(self.fence.current()).is_none()
    }

    /// Whether a standby here may be the one that has claimed `generation`.
    fn may_return(&self, generation: Generation) -> bool {
        self.standbys.values().any(|standby| standby.life == self.life && standby.followed < generation)
    }

    /// Notes that `generation` has been claimed, if that is news.
    fn suspect(&mut self, now: u64, generation: Generation) {
        if generation > self.fence.current() && self.claimed.is_none_or(|(claimed, _)| generation > claimed) {
            self.claimed = Some((generation, now));
        }
    }

    /// Gives the place to another guest under the same name.
    fn begin_anew(&mut self, life: u64, generation: Generation) {
        self.life = life;
        self.fence = Fence::new(generation, None);
        self.inbound.restart();
        self.claimed = None;
        self.addresses = Addresses::default();
    }

    fn attached(&self) -> FromSwitch {
        FromSwitch::Attached { generation: self.fence.current(), tx_seq_last: self.fence.last() }
    }
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    /// Has not identified itself.
    Fresh,
    /// Speaks for VM number `vm`, for the guest's life `life`.
    Attached { vm: usize, life: u64, mac: Mac },
}

/// The switch.
pub struct Switch {
    /// A VM's port is its index + 1.
    vms: Vec<Vm>,
    by_name: BTreeMap<String, usize>,
    /// Changes with each name that comes or goes.
    names_version: u64,
    has_arbiter: bool,
    peers: BTreeMap<PeerId, Peer>,
    fabric: Fabric,
    gateway: Gateway,
    uplink: Option<UplinkCounts>,
    /// Reused between calls.
    from_gateway: Vec<FromGateway>,
    closed: BTreeMap<CloseWhy, u64>,
    dropped: BTreeMap<DropWhy, u64>,
    dropped_abandoned: u64,
    tick_next: u64,
    /// A guest has been taken over since the gateway was last informed.
    guest_moved: bool,
}

fn port_of(vm: usize) -> PortId {
    PortId(vm as u32 + 1)
}

impl Switch {
    /// A switch without a VM.
    pub fn new(config: SwitchConfig) -> Self {
        let mut fabric = Fabric::default();
        if !config.uplink {
            fabric.move_pin(config.gateway.mac, GATEWAY_PORT);
        }
        Self {
            vms: Vec::new(),
            by_name: BTreeMap::new(),
            names_version: 0,
            has_arbiter: false,
            peers: BTreeMap::new(),
            fabric,
            gateway: Gateway::new(config.gateway),
            uplink: config.uplink.then(UplinkCounts::default),
            from_gateway: Vec::new(),
            closed: BTreeMap::new(),
            dropped: BTreeMap::new(),
            dropped_abandoned: 0,
            tick_next: 0,
            guest_moved: false,
        }
    }

    /// A connection came. If there are too many already, the answer closes it.
    pub fn opened(&mut self, peer: PeerId, out: &mut Vec<Command>) {
        if self.peers.len() >= PEERS_MAX {
            self.count_close(CloseWhy::TooMany);
            out.push(Command::Send(peer, FromSwitch::Refused { why: "too many connections".into() }));
            out.push(Command::Close(peer, CloseWhy::TooMany));
            return;
        }
        self.peers.insert(peer, Peer::Fresh);
    }

    /// Whether the connection has not identified itself.
    pub fn is_fresh(&self, peer: PeerId) -> bool {
        matches!(self.peers.get(&peer), Some(Peer::Fresh))
    }

    /// The connection is gone; the VM's place stays, for its successor.
    pub fn closed(&mut self, peer: PeerId) {
        if self.detach(peer) {
            self.count_close(CloseWhy::Gone);
        }
    }

    /// The world outside has a reason to close the connection.
    pub fn fail(&mut self, peer: PeerId, why: CloseWhy, out: &mut Vec<Command>) {
        if self.detach(peer) {
            self.count_close(why);
            out.push(Command::Close(peer, why));
        }
    }

    /// Bytes came that are no message: answers why, where the peer can understand it, and closes.
    pub fn garbage(&mut self, peer: PeerId, error: &PortError, out: &mut Vec<Command>) {
        if self.peers.contains_key(&peer) {
            out.push(Command::Send(peer, FromSwitch::Refused { why: error.to_string() }));
            self.fail(peer, CloseWhy::Garbage, out);
        }
    }

    /// A message came. What a closed peer still had under way is ignored.
    pub fn message(&mut self, now: u64, peer: PeerId, message: ToSwitch, out: &mut Vec<Command>) {
        let Some(state) = self.peers.get(&peer) else { return };
        if let Peer::Attached { vm, life, .. } = *state {
            let place = &mut self.vms[vm];
            if place.active == Some(peer) {
                place.heard = now;
            }
            if place.life == life {
                place.node_heard = now;
            }
        }
        match (*state, message) {
            (Peer::Fresh, ToSwitch::Attach(attach)) => self.attach(now, peer, attach, out),
            (Peer::Fresh, ToSwitch::Status) => {
                out.push(Command::Send(peer, FromSwitch::Status { json: self.status_json() }));
                self.fail(peer, CloseWhy::Answered, out);
            }
            (Peer::Fresh, _) | (Peer::Attached { .. }, ToSwitch::Attach(_) | ToSwitch::Status) => {
                self.fail(peer, CloseWhy::OutOfTurn, out);
            }
            (Peer::Attached { vm, .. }, ToSwitch::Activate { generation, rx_seq_last }) => {
                let was_active = self.vms[vm].active == Some(peer);
                let current = self.vms[vm].fence.current();
                if !was_active && generation <= current {
                    // A successor has claimed a new generation; this one belongs to another node.
                    self.fence_off(peer, current, out);
                } else if self.activate(now, peer, generation, out) {
                    let inbound = &mut self.vms[vm].inbound;
                    if !was_active {
                        inbound.resume_after(rx_seq_last);
                    }
                    inbound.confirm(rx_seq_last);
                    out.push(Command::Send(peer, self.vms[vm].attached()));
                }
            }
            (Peer::Attached { vm, .. }, ToSwitch::Frame { generation, seq, bytes }) => {
                self.frame_from_vm(now, peer, vm, generation, seq, &bytes, out);
            }
            (Peer::Attached { vm, .. }, ToSwitch::Received { rx_seq }) => {
                if self.vms[vm].active == Some(peer) {
                    self.vms[vm].inbound.confirm(rx_seq);
                }
            }
            (Peer::Attached { vm, .. }, ToSwitch::Ping) => {
                let tx_seq_last = self.vms[vm].fence.last();
                out.push(Command::Send(peer, FromSwitch::Pong { tx_seq_last }));
            }
        }
    }

    /// A frame came in at the uplink.
    pub fn uplink_frame(&mut self, now: u64, frame: &[u8]) {
        let Some(counts) = &mut self.uplink else { return };
        counts.frames_in += 1;
        // The guest's frames at another switch arrive here, too: its successor may come to this one.
        if let Some((_, source)) = addresses(frame) {
            for vm in &mut self.vms {
                if vm.mac == source {
                    vm.addresses.hear(now, frame);
                } else {
                    vm.addresses.hear_other(frame);
                }
            }
        }
        self.place(now, GATEWAY_PORT, frame);
    }

    /// The uplink was lost and is back: the network at its other end may know none of the VMs.
    pub fn uplink_opened(&mut self, now: u64, out: &mut Vec<Command>) {
        for vm in self.vms.iter_mut().filter(|vm| vm.active.is_some()) {
            vm.rounds.begin(now);
        }
        self.announce(now, out);
    }

    /// From now on there is an arbiter: a leap of generations waits for its confirmation.
    pub fn expect_arbiter(&mut self) {
        self.has_arbiter = true;
    }

    /// Changes when [`vm_names`](Self::vm_names) does.
    pub fn names_version(&self) -> u64 {
        self.names_version
    }

    /// The VMs that are known here.
    pub fn vm_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.vms.iter().map(|vm| vm.name.as_str())
    }

    /// By the arbiter, `generation` of the VM `name` has been claimed. Frames of an older one are dropped
    /// from now on, and after [`CLAIM_GRACE_NS`] its node gets `Fenced`.
    pub fn claimed(&mut self, now: u64, name: &str, generation: Generation) {
        let Some(vm) = self.by_name.get(name).map(|vm| &mut self.vms[*vm]) else { return };
        vm.arbiter = vm.arbiter.max(Some(generation));
        vm.suspect(now, generation);
    }

    /// Fences and closes the connections whose generation is over by the arbiter, and which have had time to
    /// object.
    fn depose(&mut self, now: u64, out: &mut Vec<Command>) {
        for vm in 0..self.vms.len() {
            let place = &mut self.vms[vm];
            let Some((generation, since)) = place.claimed else { continue };
            if !place.here || now.saturating_sub(since) < CLAIM_GRACE_NS {
                continue;
            }
            let old = place.active;
            // A standby that was here before may be the one that has claimed: then all stays as it is for it.
            if place.may_return(generation) {
                if old.is_none() {
                    continue;
                }
            } else {
                self.leave(vm);
            }
            if let Some(old) = old {
                self.fence_off(old, generation, out);
            }
        }
    }

    /// The VM is primary elsewhere, or is gone: its address is no longer tied to its port, and nothing
    /// waits for it.
    fn leave(&mut self, vm: usize) {
        let place = &mut self.vms[vm];
        place.here = false;
        place.inbound.forget();
        self.fabric.unpin(port_of(vm));
    }

    /// Says on the uplink where VMs are, as far as it is due.
    fn announce(&mut self, now: u64, out: &mut Vec<Command>) {
        let Some(counts) = &mut self.uplink else { return };
        for vm in self.vms.iter_mut().filter(|vm| vm.may_announce()) {
            if vm.rounds.take(now) {
                let frames = vm.addresses.announcements(now, vm.mac);
                counts.announcements += frames.len() as u64;
                counts.frames_out += frames.len() as u64;
                out.extend(frames.into_iter().map(Command::ToUplink));
            }
        }
    }

    /// A datagram from a host client came to the socket of `forward`.
    pub fn datagram(
        &mut self,
        now: u64,
        forward: usize,
        client: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Command>,
    ) {
        let mut from_gateway = std::mem::take(&mut self.from_gateway);
        self.gateway.datagram(now, forward, client, bytes, &mut from_gateway);
        self.carry(now, from_gateway, out);
    }

    /// A client connected to the TCP port of `forward`.
    pub fn connect(&mut self, now: u64, forward: usize) -> Result<ConnId, OpenRefused> {
        self.gateway.connect(now, forward)
    }

    /// What became of a [`HostAction::Dial`].
    pub fn dialed(&mut self, now: u64, conn: ConnId, connected: bool, out: &mut Vec<Command>) {
        let mut from_gateway = std::mem::take(&mut self.from_gateway);
        self.gateway.dialed(now, conn, connected, &mut from_gateway);
        self.carry(now, from_gateway, out);
    }

    /// An answer came to the socket of one of the guest's flows.
    pub fn flow_datagram(&mut self, now: u64, flow: FlowId, bytes: &[u8], out: &mut Vec<Command>) {
        let mut from_gateway = std::mem::take(&mut self.from_gateway);
        self.gateway.flow_datagram(now, flow, bytes, &mut from_gateway);
        self.carry(now, from_gateway, out);
    }

    /// A [`HostAction::Ping`] could not be sent.
    pub fn ping_failed(&mut self, now: u64, flow: FlowId, bytes: &[u8], out: &mut Vec<Command>) {
        let mut from_gateway = std::mem::take(&mut self.from_gateway);
        self.gateway.ping_failed(now, flow, bytes, &mut from_gateway);
        self.carry(now, from_gateway, out);
    }

    /// The connections of the clients.
    pub fn tcp(&mut self) -> &mut Tcp {
        self.gateway.tcp()
    }

    /// Whether the host has yet to look at a connection that changed.
    pub fn clients_wait(&self) -> bool {
        self.gateway.clients_wait()
    }

    /// Whether a node runs the guest that the gateway serves, and how many frames its queue takes.
    fn way_to_guest(&self) -> (bool, usize) {
        let port = self.gateway.guest_mac().and_then(|mac| self.fabric.pinned_to(mac));
        match port {
            Some(PortId(port)) if port > 0 => {
                let vm = &self.vms[port as usize - 1];
                (vm.active.is_some(), vm.inbound.room())
            }
            // It is somewhere behind a port, or its address is not known yet.
            Some(_) | None => {
                let room = self.vms.iter().map(|vm| vm.inbound.room()).min();
                (self.vms.iter().any(|vm| vm.active.is_some()), room.unwrap_or(0))
            }
        }
    }

    /// Time has passed, or the host has done something with the connections of clients.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Command>) {
        let mut from_gateway = std::mem::take(&mut self.from_gateway);
        self.gateway.tick(now, &mut from_gateway);
        if std::mem::take(&mut self.guest_moved) {
            self.gateway.tcp().guest_moved(now);
        }
        for vm in self.vms.iter_mut().filter(|vm| vm.is_alone()) {
            vm.alone_since.get_or_insert(now);
        }
        let (present, room) = self.way_to_guest();
        self.gateway.flush_tcp(now, present, room, &mut from_gateway);
        self.carry(now, from_gateway, out);
        self.announce(now, out);
        self.depose(now, out);
        for vm in &mut self.vms {
            out.extend(vm.elsewhere.take_message(now, &vm.name).map(Command::Tell));
        }
        if now < self.tick_next {
            return;
        }
        self.tick_next = now.saturating_add(SECOND_NS);
        for vm in 0..self.vms.len() {
            let place = &mut self.vms[vm];
            if !place.is_abandoned(now) {
                continue;
            }
            if self.uplink.is_some() {
                self.leave(vm);
            } else if !place.inbound.is_empty() {
                place.inbound.forget();
            }
        }
    }

    /// When [`tick`](Self::tick) is wanted next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<u64> {
        let abandoned =
            |vm: &Vm| vm.is_alone() && (!vm.inbound.is_empty() || self.uplink.is_some() && vm.here);
        let sweep = self.vms.iter().any(abandoned).then_some(self.tick_next);
        let rounds = self.vms.iter().filter(|vm| vm.may_announce()).filter_map(|vm| vm.rounds.due_at());
        let deposed = self.vms.iter().filter(|vm| vm.here).filter_map(|vm| {
            let (generation, since) = vm.claimed?;
            let waits = vm.active.is_some() || !vm.may_return(generation);
            waits.then_some(since.saturating_add(CLAIM_GRACE_NS))
        });
        self.gateway.next_deadline().into_iter().chain(sweep).chain(rounds).chain(deposed).min()
    }

    /// The connections for which [`next_frame`](Self::next_frame) has something.
    pub fn peers_with_frames(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.vms.iter().filter(|vm| vm.inbound.has_unsent()).filter_map(|vm| vm.active)
    }

    /// The next frame for this connection, with its number; it counts as sent.
    pub fn next_frame(&mut self, peer: PeerId) -> Option<(u64, &[u8])> {
        match self.peers.get(&peer) {
            Some(Peer::Attached { vm, .. }) if self.vms[*vm].active == Some(peer) => {
                self.vms[*vm].inbound.next_to_send()
            }
            Some(Peer::Attached { .. } | Peer::Fresh) | None => None,
        }
    }

    /// What there is to show now.
    pub fn status(&self) -> SwitchStatus {
        let of = |vm: &Vm| VmStatus {
            generation: vm.fence.current().get(),
            mac: vm.mac,
            active: vm.active.is_some(),
            standbys: vm.standbys.len(),
            claimed: vm.claimed.map(|(generation, _)| generation.get()),
            tx_seq_last: vm.fence.last(),
            rx_seq_safe: vm.inbound.safe(),
            waiting: vm.inbound.len(),
            fence: vm.fence.counts(),
            inbound: vm.inbound.counts(),
            address_elsewhere: vm.elsewhere.status(),
        };
        SwitchStatus {
            vms: self.vms.iter().map(|vm| (vm.name.clone(), of(vm))).collect(),
            peers: self.peers.len(),
            closed: self.closed.clone(),
            dropped: self.dropped.clone(),
            dropped_abandoned: self.dropped_abandoned,
            addresses: self.fabric.len(),
            gateway: self.gateway.counts(),
            uplink: self.uplink,
        }
    }

    fn status_json(&self) -> String {
        serde_json::to_string(&self.status()).expect("maps with text keys and numbers are JSON")
    }

    fn attach(&mut self, now: u64, peer: PeerId, attach: Attach, out: &mut Vec<Command>) {
        let vm = match self.place_of(now, &attach) {
            Ok(vm) => vm,
            Err(why) => return self.refuse(peer, why, out),
        };
        self.peers.insert(peer, Peer::Attached { vm, life: attach.life, mac: attach.mac });
        if attach.standby {
            if self.vms[vm].standbys.len() >= STANDBYS_MAX {
                return self.refuse(peer, "too many standbys for this VM".into(), out);
            }
            let (place, generation) = (&mut self.vms[vm], attach.generation);
            if attach.life != place.life && place.had_primary && place.has_node(now) {
                let why = format!("another guest by the name {:?} is here and lives", place.name);
                return self.refuse(peer, why, out);
            }
            place.standbys.insert(peer, Standby { followed: generation, life: attach.life });
            // It comes from a generation that was never seen here: at another switch, then. A node of the same
            // guest knows; the claim of another guest's node is ignored.
            let life = attach.life;
            if life == place.life && place.objection(now, life, generation, self.has_arbiter).is_none() {
                place.suspect(now, generation);
            }
        } else {
            let rises = attach.generation > self.vms[vm].fence.current();
            if !self.activate(now, peer, attach.generation, out) {
                return;
            }
            self.free_addresses();
            self.vms[vm].fence.resume(attach.tx_seq_last, rises);
            // It has taken these frames; which of them are safe it says with `Received`.
            self.vms[vm].inbound.resume_after(attach.rx_seq_last);
        }
        out.push(Command::Send(peer, self.vms[vm].attached()));
    }

    /// The place of the VM that attaches, a new one if need be; or why it cannot have one.
    fn place_of(&mut self, now: u64, attach: &Attach) -> Result<usize, String> {
        let mac = attach.mac;
        if !mac.is_station() {
            return Err(format!("{mac} cannot be a VM's Ethernet address"));
        }
        let known = self.by_name.get(&attach.vm).copied();
        match self.fabric.pinned_to(mac) {
            Some(GATEWAY_PORT) => return Err(format!("the address {mac} belongs to the gateway")),
            Some(PortId(port)) => {
                let holder = &mut self.vms[port as usize - 1];
                if holder.name != attach.vm && !holder.is_alone() {
                    holder.elsewhere.see(Address::Mac(mac), Whence::Vm(attach.vm.clone()));
                    return Err(format!("the address {mac} belongs to VM {:?}", holder.name));
                }
            }
            None => {}
        }
        if let Some(vm) = known {
            return Ok(vm);
        }
        let vm = self.free_place(now).ok_or_else(|| {
            format!("the switch already knows {VMS_MAX} VMs, and all are in use or were a minute ago")
        })?;
        // What a standby's primary has sent is not known: we have yet to meet it.
        let last = (!attach.standby).then_some(attach.tx_seq_last);
        let place = Vm {
            name: attach.vm.clone(),
            life: attach.life,
            mac,
            fence: Fence::new(attach.generation, last),
            inbound: Inbound::default(),
            active: None,
            standbys: BTreeMap::new(),
            alone_since: None,
            here: false,
            had_primary: false,
            heard: now,
            node_heard: now,
            arbiter: None,
            claimed: None,
            addresses: Addresses::default(),
            rounds: Rounds::default(),
            active_since: 0,
            elsewhere: Elsewhere::default(),
        };
        if let Some(old) = self.vms.get_mut(vm) {
            self.by_name.remove(&old.name);
            *old = place;
            self.fabric.clear(port_of(vm));
        } else {
            self.vms.push(place);
        }
        self.by_name.insert(attach.vm.clone(), vm);
        self.names_version += 1;
        Ok(vm)
    }

    /// The number of a place for a VM that is not known: a new one, or one without an attached node. Those
    /// that have sent nothing go first, and of the others the one that has been alone for longest.
    fn free_place(&self, now: u64) -> Option<usize> {
        if self.vms.len() < VMS_MAX {
            return Some(self.vms.len());
        }
        let spoke = |vm: &Vm| vm.fence.counts().accepted > 0;
        let places = self.vms.iter().enumerate();
        let free = places.filter(|(_, vm)| vm.is_alone() && (!spoke(vm) || vm.is_abandoned(now)));
        free.min_by_key(|(_, vm)| (spoke(vm), vm.alone_since.unwrap_or(now))).map(|(place, _)| place)
    }

    /// Makes the attached `peer` its VM's primary under `generation`, and fences the former primary. False
    /// when it may not, and has been refused.
    fn activate(&mut self, now: u64, peer: PeerId, generation: Generation, out: &mut Vec<Command>) -> bool {
        let Some(Peer::Attached { vm, life, mac }) = self.peers.get(&peer).copied() else { return false };
        let place = &mut self.vms[vm];
        if let Some(claimed) = place.overruled_by(generation) {
            self.fence_off(peer, claimed, out);
            return false;
        }
        let before = place.fence.current();
        if life != place.life && place.is_free(now) {
            place.begin_anew(life, generation);
        }
        let another = life != place.life;
        if let Some(why) = place.objection(now, life, generation, self.has_arbiter) {
            self.refuse(peer, why, out);
            return false;
        }
        let allowed =
            if another { place.fence.restart(generation) } else { place.fence.activate(generation) };
        if let Err(current) = allowed {
            if another {
                let name = place.name.clone();
                let why = format!("another guest by the name {name:?} is here, under generation {current}");
                self.refuse(peer, why, out);
            } else {
                self.fence_off(peer, current, out);
            }
            return false;
        }
        if another {
            place.life = life;
            place.inbound.restart();
        }
        place.claimed = None;
        (place.here, place.had_primary) = (true, true);
        (place.heard, place.node_heard, place.active_since) = (now, now, now);
        if (place.mac, place.life) != (mac, life) || another {
            place.addresses = Addresses::default();
        }
        self.guest_moved |= generation > before;
        place.mac = mac;
        place.standbys.remove(&peer);
        let others = place.standbys.iter().filter(|(_, standby)| standby.life != life);
        let others: Vec<PeerId> = others.map(|(peer, _)| *peer).collect();
        let old = place.active.replace(peer).filter(|old| *old != peer);
        self.fabric.move_pin(mac, port_of(vm));
        if place.active == Some(peer) && self.uplink.is_some() {
            place.rounds.begin(now);
            self.announce(now, out);
        }
        for other in others {
            self.refuse(other, "another guest by this name is active now".into(), out);
        }
        if let Some(old) = old {
            if generation > before {
                self.fence_off(old, generation, out);
            } else {
                self.fail(old, CloseWhy::Replaced, out);
            }
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "one message, unpacked")]
    fn frame_from_vm(
        &mut self,
        now: u64,
        peer: PeerId,
        vm: usize,
        generation: Generation,
        seq: u64,
        frame: &[u8],
        out: &mut Vec<Command>,
    ) {
        if self.vms[vm].active != Some(peer) {
            return self.fail(peer, CloseWhy::OutOfTurn, out);
        }
        if self.vms[vm].overruled_by(generation).is_some() {
            return self.vms[vm].fence.refuse();
        }
        match self.vms[vm].fence.accept(generation, seq) {
            Verdict::Accept | Verdict::Gap { .. } => {}
            Verdict::Duplicate => return,
            // If it is the guest's own number, the node attaches again and says so.
            Verdict::Leap { .. } => return self.fail(peer, CloseWhy::OutOfTurn, out),
            Verdict::Stale { current } => return self.fence_off(peer, current, out),
            Verdict::Unannounced { .. } => return self.fail(peer, CloseWhy::OutOfTurn, out),
        }
        if self.is_spoofed(now, vm, frame) {
            *self.dropped.entry(DropWhy::SpoofedIp).or_default() += 1;
            return;
        }
        self.vms[vm].addresses.hear(now, frame);
        if self.uplink.is_some() {
            if self.place(now, port_of(vm), frame)
                && let Some(counts) = &mut self.uplink
            {
                counts.frames_out += 1;
                out.push(Command::ToUplink(frame.to_vec()));
            }
            return;
        }
        if claims_ip(frame, self.gateway.config().ip) || claims_ip(frame, DNS_IP) {
            *self.dropped.entry(DropWhy::SpoofedIp).or_default() += 1;
            return;
        }
        if self.place(now, port_of(vm), frame) {
            let mut from_gateway = std::mem::take(&mut self.from_gateway);
            self.gateway.frame(now, frame, &mut from_gateway);
            self.carry(now, from_gateway, out);
        }
    }

    /// Whether `frame`, from `vm`, names an address as its sender's that another attached VM uses. An address
    /// of one that is not attached may move: then its former owner has it no more.
    fn is_spoofed(&mut self, now: u64, vm: usize, frame: &[u8]) -> bool {
        let Some(sender) = announce::sender(frame) else { return false };
        let users =
            self.vms.iter().enumerate().filter(|(at, place)| *at != vm && place.addresses.has(now, sender));
        let users: Vec<usize> = users.map(|(user, _)| user).collect();
        for user in users {
            let whence = Whence::Vm(self.vms[vm].name.clone());
            let place = &mut self.vms[user];
            if !place.is_alone() {
                place.elsewhere.see(Address::Ip(sender.address()), whence);
                return true;
            }
            place.addresses.hear_other(frame);
        }
        false
    }

    /// Does what the gateway wants, and keeps its list for the next time.
    fn carry(&mut self, now: u64, mut from_gateway: Vec<FromGateway>, out: &mut Vec<Command>) {
        for command in from_gateway.drain(..) {
            match command {
                FromGateway::Frame(frame) => {
                    self.place(now, GATEWAY_PORT, &frame);
                }
                FromGateway::Host(action) => out.push(Command::Host(action)),
            }
        }
        self.from_gateway = from_gateway;
    }

    /// Queues `frame` for the VMs that shall have it; true when the gateway or the uplink shall, too.
    fn place(&mut self, now: u64, from: PortId, frame: &[u8]) -> bool {
        match self.fabric.place(now, from, frame) {
            Fate::Drop(why) => {
                *self.dropped.entry(why).or_default() += 1;
                if why == DropWhy::Spoofed {
                    self.note_stolen_address(now, from, frame);
                }
                false
            }
            Fate::To(GATEWAY_PORT) => true,
            Fate::To(PortId(port)) => {
                self.queue(now, port as usize - 1, frame);
                false
            }
            // Each frame that a guest receives is in its log: a bridge's floods need not be.
            Fate::Flood
                if from == GATEWAY_PORT
                    && self.uplink.is_some()
                    && addresses(frame).is_some_and(|(to, _)| to.is_station()) =>
            {
                *self.dropped.entry(DropWhy::NotOurs).or_default() += 1;
                false
            }
            Fate::Flood => {
                for vm in (0..self.vms.len()).filter(|vm| port_of(*vm) != from) {
                    self.queue(now, vm, frame);
                }
                from != GATEWAY_PORT
            }
        }
    }

    /// A frame came from `from` under an address that is tied to another port. Behind an uplink that is also how
    /// a guest's last frames look that come in after it has moved here, or while it moves away.
    fn note_stolen_address(&mut self, now: u64, from: PortId, frame: &[u8]) {
        let Some((_, source)) = addresses(frame) else { return };
        let Some(PortId(holder @ 1..)) = self.fabric.pinned_to(source) else { return };
        let whence = match from {
            GATEWAY_PORT => Whence::Uplink,
            PortId(port) => Whence::Vm(self.vms[port as usize - 1].name.clone()),
        };
        let holder = &mut self.vms[holder as usize - 1];
        let settled = holder.may_announce() && now.saturating_sub(holder.active_since) >= MOVING_NS;
        if settled || whence != Whence::Uplink {
            holder.elsewhere.see(Address::Mac(source), whence);
        }
    }

    /// Forgets what the gateway knows of guests whose VMs have no node attached: another may have their
    /// addresses.
    fn free_addresses(&mut self) {
        let (fabric, vms) = (&self.fabric, &self.vms);
        self.gateway.keep_guests(|mac| match fabric.pinned_to(mac) {
            Some(PortId(port @ 1..)) => !vms[port as usize - 1].is_alone(),
            // A station inside a guest, or behind it.
            Some(_) | None => true,
        });
    }

    fn queue(&mut self, now: u64, vm: usize, frame: &[u8]) {
        let vm = &mut self.vms[vm];
        if let Some(counts) = &mut self.uplink
            && !vm.here
        {
            counts.not_here += 1;
        } else if vm.is_abandoned(now) {
            self.dropped_abandoned += 1;
        } else {
            // The number is found again when the frame is sent; a full queue has counted it.
            vm.inbound.push(frame.to_vec());
        }
    }

    fn refuse(&mut self, peer: PeerId, why: String, out: &mut Vec<Command>) {
        out.push(Command::Send(peer, FromSwitch::Refused { why }));
        self.fail(peer, CloseWhy::Refused, out);
    }

    fn fence_off(&mut self, peer: PeerId, current: Generation, out: &mut Vec<Command>) {
        out.push(Command::Send(peer, FromSwitch::Fenced { current }));
        self.fail(peer, CloseWhy::Fenced, out);
    }

    /// Forgets the connection; false when there is none.
    fn detach(&mut self, peer: PeerId) -> bool {
        match self.peers.remove(&peer) {
            Some(Peer::Attached { vm, .. }) => {
                let vm = &mut self.vms[vm];
                let held =
                    vm.standbys.remove(&peer).is_some() || vm.active.take_if(|old| *old == peer).is_some();
                // A refused node has not held the place.
                if held {
                    vm.alone_since = None;
                }
                true
            }
            Some(Peer::Fresh) => true,
            None => false,
        }
    }

    fn count_close(&mut self, why: CloseWhy) {
        *self.closed.entry(why).or_default() += 1;
    }
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "uplink_tests.rs"]
mod uplink_tests;
