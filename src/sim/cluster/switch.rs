//! The switch's process, the connections to it, and what every node's process has of them: the real
//! [`Switch`], the real [`Endpoint`], and the bytes that they exchange.

use core::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::ft::{Plug, SwitchState};
use crate::net::endpoint::{Ended, Heard};
use crate::net::fabric::DropWhy;
use crate::net::fence::FenceCounts;
use crate::net::switch::VmStatus;
use crate::net::{
    Attach, CloseWhy, Command as SwitchCommand, Endpoint, Forward, FromSwitch, GatewayConfig, HostAction,
    Mac, PeerId, Proto, ToSwitch, Unframer,
};

const VM: &str = "kv";
/// As in `host::port`: the switch is pinged this often, and is gone if it has been silent for so long.
const PING_NS: u64 = 1000 * MS;
const SILENCE_NS: u64 = 3000 * MS;
const RECONNECT_NS: u64 = 5 * MS;
const REFUSED_NS: u64 = 1000 * MS;
/// A switch notices after this long that a host is gone.
const HOST_GONE_NS: u64 = 3000 * MS;

/// The switch and the connections of its life, and of earlier ones.
pub(super) struct Net {
    /// None while its process is being started again.
    switch: Option<Switch>,
    /// Counts its processes.
    pub life: u64,
    conns: BTreeMap<PeerId, Conn>,
    peers_next: u64,
    tick_at: Option<u64>,
    /// Frames that fences have dropped.
    pub dropped: u64,
    /// Clients are behind the switch's gateway; otherwise on a segment behind its uplink.
    gateway: bool,
    asks_arbiter: bool,
}

/// One connection between a process and the switch.
struct Conn {
    life: u64,
    slot: usize,
    epoch: u64,
    /// The switch has closed it, or knows that it is gone.
    closed: bool,
    /// It is broken: what is sent from then on arrives nowhere.
    cut: bool,
    unframer: Unframer,
    /// What was sent earlier arrives earlier.
    to_switch_at: u64,
    to_port_at: u64,
}

/// A process' port.
pub(super) struct Port {
    pub endpoint: Endpoint,
    peer: Option<PeerId>,
    connecting: bool,
    heard_ns: u64,
}

impl Net {
    /// Whose connection it is.
    pub fn slot_of_conn(&self, peer: PeerId) -> Option<usize> {
        self.conns.get(&peer).map(|conn| conn.slot)
    }

    pub fn new(gateway: bool, asks_arbiter: bool) -> Self {
        let mut net = Self {
            switch: None,
            life: 0,
            conns: BTreeMap::new(),
            peers_next: 1,
            tick_at: None,
            dropped: 0,
            gateway,
            asks_arbiter,
        };
        net.start();
        net
    }

    fn start(&mut self) {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
        let forwards = vec![Forward { proto: Proto::Udp, listen, guest_port: wire::KV_PORT }];
        let config = SwitchConfig { gateway: GatewayConfig::with_forwards(forwards), uplink: !self.gateway };
        let mut switch = Switch::new(config);
        if self.asks_arbiter {
            switch.expect_arbiter();
        }
        self.life += 1;
        self.switch = Some(switch);
    }

    /// What the present switch reports of the one VM here.
    fn vm(&self) -> Option<VmStatus> {
        self.switch.as_ref().and_then(|switch| switch.status().vms.remove(VM))
    }

    /// Frames of the one VM here that the present switch dropped behind its fence, or before it numbered them.
    fn lost(&self) -> u64 {
        let Some(status) = self.switch.as_ref().map(Switch::status) else { return 0 };
        let full = status.vms.get(VM).map_or(0, |vm| vm.inbound.dropped_full);
        let placed =
            status.dropped.iter().filter(|(why, _)| **why != DropWhy::NotOurs).map(|(_, count)| count);
        placed.sum::<u64>() + full
    }

    /// Whether the present switch has given up what waited for the VM, because no node of it was there and the arbiter
    /// named a newer generation: it may be at another switch.
    fn gave_up(&self) -> bool {
        self.vm().is_some_and(|vm| vm.inbound.dropped_ended > 0)
    }

    /// What the present switch has counted at the VM's fence.
    fn counted(&self) -> FenceCounts {
        self.vm().map_or(FenceCounts::default(), |vm| vm.fence)
    }
}

/// Frames that a fence has dropped.
fn dropped(counts: FenceCounts) -> u64 {
    counts.duplicates + counts.stale + counts.leaps
}

impl Cluster<'_> {
    /// Gives the process in `slot` a new port, as `plug` says.
    pub(super) fn plug_in(&mut self, slot: usize, plug: Plug) {
        self.unplug(slot, US);
        let attach = Attach {
            vm: VM.into(),
            life: plug.life,
            mac: Mac(plug.mac),
            generation: plug.generation,
            standby: plug.standby,
            rx_seq_last: plug.rx_seq,
            tx_seq_last: plug.tx_seq,
        };
        let endpoint = Endpoint::new(attach);
        self.slots[slot].port = Some(Port { endpoint, peer: None, connecting: false, heard_ns: 0 });
        self.slots[slot].plugs += 1;
        self.connect_later(slot, US);
    }

    /// The port of the process in `slot` is gone; the switch notices that `after_ns` from now at the earliest.
    pub(super) fn unplug(&mut self, slot: usize, after_ns: u64) {
        let Some(port) = self.slots[slot].port.take() else { return };
        if !port.endpoint.is_up() && !port.endpoint.is_drained() {
            self.chronicle.cut_off(port.endpoint.generation());
        }
        if let Some(peer) = port.peer {
            self.gone_for_switch(peer, after_ns);
        }
    }

    /// The host of the process in `slot` is gone without a word.
    pub(super) fn lose_port(&mut self, slot: usize) {
        self.unplug(slot, HOST_GONE_NS);
    }

    fn connect_later(&mut self, slot: usize, after_ns: u64) {
        let Slot { epoch, plugs, .. } = self.slots[slot];
        let Some(port) = &mut self.slots[slot].port else { return };
        if !std::mem::replace(&mut port.connecting, true) {
            self.later(after_ns, Happening::Connect { slot, epoch, plug: plugs });
        }
    }

    pub(super) fn connect(&mut self, slot: usize, epoch: u64, plug: u64) {
        let (now_ns, at) = (self.now_ns, &mut self.slots[slot]);
        let Some(port) = at.port.as_mut().filter(|_| at.epoch == epoch && at.plugs == plug) else { return };
        if at.paused_until > now_ns {
            let until = at.paused_until;
            return self.at(until, Happening::Connect { slot, epoch, plug });
        }
        port.connecting = false;
        let Some(switch) = &mut self.net.switch else {
            return self.connect_later(slot, RECONNECT_NS);
        };
        let peer = PeerId(self.net.peers_next);
        self.net.peers_next += 1;
        let mut out = Vec::new();
        switch.opened(peer, &mut out);
        (port.peer, port.heard_ns) = (Some(peer), now_ns);
        port.endpoint.connected();
        let life = self.net.life;
        let unframer = Unframer::default();
        let conn =
            Conn { life, slot, epoch, closed: false, cut: false, unframer, to_switch_at: 0, to_port_at: 0 };
        self.net.conns.insert(peer, conn);
        self.later(PING_NS, Happening::PortLook { peer });
        self.flush_port(slot);
        self.after_switch(out);
    }

    /// Does something at the port of the process in `slot`, and sends what comes of it.
    pub(super) fn at_port(&mut self, slot: usize, work: impl FnOnce(&mut Endpoint)) {
        let Some(port) = &mut self.slots[slot].port else { return };
        work(&mut port.endpoint);
        let reconnects = port.peer.is_none() && !port.endpoint.is_fenced();
        if reconnects {
            self.connect_later(slot, RECONNECT_NS);
        }
        self.flush_port(slot);
    }

    fn flush_port(&mut self, slot: usize) {
        let Some(port) = &mut self.slots[slot].port else { return };
        let Some(peer) = port.peer else { return };
        let mut bytes = port.endpoint.output().to_vec();
        port.endpoint.sent(bytes.len());
        if bytes.is_empty() {
            return;
        }
        if self.is_cut(peer) {
            return;
        }
        // A stream keeps no boundaries.
        let cut = self.prng.below(bytes.len() as u64) as usize;
        let rest = if self.prng.chance(1, 8) { bytes.split_off(cut) } else { Vec::new() };
        for bytes in [bytes, rest].into_iter().filter(|bytes| !bytes.is_empty()) {
            let at_ns = self.arrival_at_switch(peer, 0);
            self.at(at_ns, Happening::ToSwitch { peer, bytes });
        }
    }

    fn arrival_at_switch(&mut self, peer: PeerId, after_ns: u64) -> u64 {
        let from = self.now_ns + after_ns + self.prng.between(20, 150) * US;
        let Some(conn) = self.net.conns.get_mut(&peer) else { return from };
        conn.to_switch_at = conn.to_switch_at.max(from);
        conn.to_switch_at
    }

    fn arrival_at_port(&mut self, peer: PeerId) -> u64 {
        let from = self.now_ns + self.prng.between(20, 150) * US;
        let Some(conn) = self.net.conns.get_mut(&peer) else { return from };
        conn.to_port_at = conn.to_port_at.max(from);
        conn.to_port_at
    }

    fn gone_for_switch(&mut self, peer: PeerId, after_ns: u64) {
        let at_ns = self.arrival_at_switch(peer, after_ns);
        self.at(at_ns, Happening::GoneForSwitch { peer });
    }

    fn gone_for_port(&mut self, peer: PeerId) {
        let at_ns = self.arrival_at_port(peer);
        self.at(at_ns, Happening::GoneForPort { peer });
    }

    /// The switch reads what has come on a connection.
    pub(super) fn switch_hears(&mut self, peer: PeerId, bytes: &[u8]) {
        let now_ns = self.now_ns;
        let Some(conn) = self.net.conns.get_mut(&peer).filter(|conn| !conn.closed) else { return };
        if conn.life != self.net.life {
            return;
        }
        conn.unframer.push(bytes);
        let mut out = Vec::new();
        while let Some(conn) = self.net.conns.get_mut(&peer) {
            let message = conn.unframer.next_body().and_then(|body| body.map(ToSwitch::decode).transpose());
            let before = self.net.counted();
            let Some(switch) = &mut self.net.switch else { return };
            match message {
                Ok(None) => break,
                Ok(Some(ToSwitch::Frame { generation, seq, bytes })) => {
                    let frame = bytes.clone();
                    switch.message(now_ns, peer, ToSwitch::Frame { generation, seq, bytes }, &mut out);
                    if self.net.counted().accepted > before.accepted {
                        self.chronicle.accepted(self.net.life, generation, seq, &frame);
                    }
                }
                Ok(Some(message)) => {
                    if let ToSwitch::Received { rx_seq } = message {
                        self.chronicle.confirmed(self.net.life, rx_seq);
                    }
                    switch.message(now_ns, peer, message, &mut out);
                }
                Err(error) => {
                    switch.garbage(peer, &error, &mut out);
                    self.fail(format!("the switch does not understand what a node sends: {error}"));
                    break;
                }
            }
        }
        self.after_switch(out);
    }

    pub(super) fn switch_hears_gone(&mut self, peer: PeerId) {
        let Some(conn) = self.net.conns.get_mut(&peer) else { return };
        if std::mem::replace(&mut conn.closed, true) || conn.life != self.net.life {
            return;
        }
        if let Some(switch) = &mut self.net.switch {
            switch.closed(peer);
            self.after_switch(Vec::new());
        }
    }

    /// A client's datagram for the guest arrives at the switch.
    pub(super) fn switch_takes(&mut self, port: u16, payload: &[u8]) {
        let (now_ns, mac) = (self.now_ns, self.mac);
        let mut out = Vec::new();
        let Some(switch) = &mut self.net.switch else { return };
        if self.net.gateway {
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            switch.datagram(now_ns, 0, client, payload, &mut out);
        } else {
            switch.uplink_frame(now_ns, &wire::to_guest(mac, port, payload));
        }
        self.after_switch(out);
    }

    /// The arbiter's newest generation, as a switch that asks it learns it.
    pub(super) fn switch_looks_at_arbiter(&mut self) {
        let (now_ns, newest) = (self.now_ns, self.newest().0);
        if !self.net.asks_arbiter || self.arbiter_back_at > now_ns {
            return;
        }
        if let Some(switch) = &mut self.net.switch {
            switch.claimed(now_ns, VM, newest);
            self.after_switch(Vec::new());
        }
    }

    pub(super) fn switch_ticks(&mut self) {
        if self.net.tick_at == Some(self.now_ns) {
            self.net.tick_at = None;
            self.after_switch(Vec::new());
        }
    }

    /// Does what the switch wants, passes on the frames that wait in it, and sees to its next tick.
    fn after_switch(&mut self, mut out: Vec<SwitchCommand>) {
        let now_ns = self.now_ns;
        let Some(switch) = &mut self.net.switch else { return };
        switch.tick(now_ns, &mut out);
        for command in out {
            match command {
                SwitchCommand::Send(peer, message) => self.switch_says(peer, &message),
                SwitchCommand::Close(peer, why) => self.switch_closes(peer, why),
                SwitchCommand::Host(HostAction::ToClient { client, bytes, .. }) => {
                    self.datagram(client.port(), bytes, false);
                }
                SwitchCommand::ToUplink(frame) => {
                    if let Some((port, payload)) = wire::from_guest(&frame) {
                        self.datagram(port, payload, false);
                    }
                }
                SwitchCommand::Tell(text) => self.note(|| format!("switch: {text}")),
                SwitchCommand::Host(action) => {
                    self.fail(format!("the guest reaches for the world outside: {action:?}"))
                }
            }
        }
        let life = self.net.life;
        let Some(switch) = &mut self.net.switch else { return };
        let mut frames = Vec::new();
        for peer in switch.peers_with_frames().collect::<Vec<_>>() {
            while let Some((rx_seq, frame)) = switch.next_frame(peer) {
                frames.push((peer, rx_seq, frame.to_vec()));
            }
        }
        let deadline = switch.next_deadline();
        for (peer, rx_seq, bytes) in frames {
            self.chronicle.handed(life, rx_seq, &bytes, now_ns);
            self.switch_says(peer, &FromSwitch::Frame { rx_seq, bytes });
        }
        if let Some(at_ns) = deadline.map(|at_ns| at_ns.max(now_ns + US))
            && self.net.tick_at.is_none_or(|tick_at| tick_at > at_ns)
        {
            self.net.tick_at = Some(at_ns);
            self.at(at_ns, Happening::SwitchTick);
        }
    }

    fn switch_says(&mut self, peer: PeerId, message: &FromSwitch) {
        if let FromSwitch::Refused { why } = message {
            self.note(|| format!("switch: refuses: {why}"));
        }
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        if self.is_cut(peer) {
            return;
        }
        let at_ns = self.arrival_at_port(peer);
        self.at(at_ns, Happening::FromSwitch { peer, bytes });
    }

    /// Neither end may have noticed; a stream has no holes all the same.
    fn is_cut(&self, peer: PeerId) -> bool {
        self.net.conns.get(&peer).is_some_and(|conn| conn.cut)
    }

    fn switch_closes(&mut self, peer: PeerId, why: CloseWhy) {
        let Some(conn) = self.net.conns.get_mut(&peer) else { return };
        conn.closed = true;
        let slot = conn.slot;
        self.note(|| format!("switch: closes the connection of slot {slot}: {why:?}"));
        self.gone_for_port(peer);
    }

    /// The slot whose process has this connection still.
    fn slot_of(&self, peer: PeerId) -> Option<usize> {
        let conn = self.net.conns.get(&peer)?;
        let slot = &self.slots[conn.slot];
        let has = slot.epoch == conn.epoch && slot.port.as_ref().is_some_and(|port| port.peer == Some(peer));
        has.then_some(conn.slot)
    }

    /// The same for the node, which reads the connection itself: a later time while it does nothing.
    fn port_at(&self, peer: PeerId) -> Option<Result<usize, u64>> {
        let slot = self.slot_of(peer)?;
        let until = self.slots[slot].held_until();
        Some(if until > self.now_ns { Err(until) } else { Ok(slot) })
    }

    /// A process reads what has come from the switch.
    pub(super) fn port_hears(&mut self, peer: PeerId, bytes: Vec<u8>) {
        let slot = match self.port_at(peer) {
            None => return,
            Some(Err(until)) => return self.at(until, Happening::FromSwitch { peer, bytes }),
            Some(Ok(slot)) => slot,
        };
        let (now_ns, epoch) = (self.now_ns, self.slots[slot].epoch);
        let Some(port) = &mut self.slots[slot].port else { return };
        port.heard_ns = now_ns;
        let mut events = Vec::new();
        let ended = port.endpoint.receive(&bytes, |heard| {
            events.push(match heard {
                Heard::Attached { .. } => Event::Switch(SwitchState::Up),
                Heard::Frame { rx_seq, frame } => Event::Frame { rx_seq, frame },
                Heard::Fenced { current } => Event::Fenced { current },
                // Nothing here sends so much that the switch does not keep up.
                Heard::Room => return,
            });
        });
        for event in events {
            let again =
                matches!(event, Event::Frame { .. }) && self.prng.chance(self.plan.repeated_permille, 1000);
            if again {
                let event = event.clone();
                self.happen(Happening::Arrive { slot, epoch, event });
            }
            self.happen(Happening::Arrive { slot, epoch, event });
        }
        // Otherwise the process, or this port of its, has ended in the meantime.
        if let (Err(ended), Some(Ok(slot))) = (ended, self.port_at(peer)) {
            self.end_connection(slot, peer, ended);
        }
    }

    pub(super) fn port_hears_gone(&mut self, peer: PeerId) {
        match self.port_at(peer) {
            None => {}
            Some(Err(until)) => self.at(until, Happening::GoneForPort { peer }),
            Some(Ok(slot)) => self.end_connection(slot, peer, Ended::Lost("the switch closed it".into())),
        }
    }

    /// The process in `slot` gives up its connection, and opens another one.
    fn end_connection(&mut self, slot: usize, peer: PeerId, ended: Ended) {
        let epoch = self.slots[slot].epoch;
        let Some(port) = &mut self.slots[slot].port else { return };
        port.endpoint.disconnected();
        port.peer = None;
        self.gone_for_switch(peer, 0);
        self.note(|| format!("{slot}: its connection to the switch has ended: {ended:?}"));
        let (state, after_ns) = match ended {
            Ended::Lost(why) => (SwitchState::Down { why }, RECONNECT_NS),
            Ended::Refused(why) => (SwitchState::Refused { why }, REFUSED_NS),
            // It rests until it activates a newer generation.
            Ended::Fenced => return,
        };
        self.connect_later(slot, after_ns);
        self.happen(Happening::Arrive { slot, epoch, event: Event::Switch(state) });
    }

    /// What the port's thread does each second.
    pub(super) fn port_looks(&mut self, peer: PeerId) {
        let Some(slot) = self.slot_of(peer) else { return };
        let (now_ns, until) = (self.now_ns, self.slots[slot].paused_until);
        if until > now_ns {
            return self.at(until, Happening::PortLook { peer });
        }
        let Some(port) = &mut self.slots[slot].port else { return };
        if port.endpoint.pings_open() > 0 && now_ns - port.heard_ns >= SILENCE_NS {
            return self.end_connection(slot, peer, Ended::Lost("nothing heard".into()));
        }
        port.endpoint.tell_received();
        port.endpoint.ping();
        self.flush_port(slot);
        self.later(PING_NS, Happening::PortLook { peer });
    }

    /// The connection of the process in `slot` to the switch breaks: of what is under way, only a beginning
    /// arrives, and the two sides notice at different times.
    pub(super) fn cut_from_switch(&mut self, slot: Option<usize>) {
        let Some(slot) = slot else { return };
        let Some(peer) = self.slots[slot].port.as_ref().and_then(|port| port.peer) else { return };
        self.lose_to_switch(peer);
        self.lose_a_suffix(
            |happening| matches!(happening, Happening::FromSwitch { peer: to, .. } if *to == peer),
        );
        if let Some(conn) = self.net.conns.get_mut(&peer) {
            conn.cut = true;
        }
        let late_ns = self.prng.below(50 * MS);
        self.gone_for_switch(peer, late_ns);
        self.gone_for_port(peer);
    }

    /// Of what is under way to the switch on that connection, only a beginning arrives.
    fn lose_to_switch(&mut self, peer: PeerId) {
        self.lose_a_suffix(
            |happening| matches!(happening, Happening::ToSwitch { peer: from, .. } if *from == peer),
        );
    }

    /// Of what the process in `slot` has sent to the switch, only a beginning arrives.
    pub(super) fn lose_what_the_switch_is_sent(&mut self, slot: usize) {
        if let Some(peer) = self.slots[slot].port.as_ref().and_then(|port| port.peer) {
            self.lose_to_switch(peer);
        }
    }

    /// The switch's process is killed, and is there again after that time with nothing of what it knew.
    pub(super) fn restart_switch(&mut self, for_ns: u64) {
        if self.net.switch.is_none() {
            return;
        }
        self.settle_switch();
        self.net.switch = None;
        self.net.tick_at = None;
        let peers = self.net.conns.iter().filter(|(_, conn)| conn.life == self.net.life && !conn.closed);
        for peer in peers.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.lose_a_suffix(
                |happening| matches!(happening, Happening::FromSwitch { peer: to, .. } if *to == peer),
            );
            self.gone_for_port(peer);
        }
        self.later(for_ns, Happening::SwitchBack);
    }

    pub(super) fn switch_is_back(&mut self) {
        self.net.start();
        let life = self.net.life;
        self.note(|| format!("switch: its process number {life} begins"));
    }

    /// Writes down what the present switch has come to.
    pub(super) fn settle_switch(&mut self) {
        if self.net.switch.is_none() {
            return;
        }
        let counts = self.net.counted();
        let lost = self.net.lost();
        if lost > 0 {
            self.fail(format!("the switch dropped {lost} frames that it had accepted or had room for"));
        }
        self.net.dropped += dropped(counts);
        if self.net.gave_up() {
            self.chronicle.gave_up(self.net.life);
        }
    }
}
