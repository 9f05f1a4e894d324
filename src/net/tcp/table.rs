//! All connections: found by their ports, woken by their timers, bounded in number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address, Ipv4Packet, TcpPacket};
use thiserror::Error;

use super::conn::{Conn, End, Flow, Phase, View};
use super::link::{Link, Route};
use super::{ABSENT_NS, CLOCK_RATE, CONNECT_NS, ConnId, KICK_NS, LINGERING_MAX, PORT_FIRST, PORTS};
use crate::net::MILLISECOND_NS;

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenRefused {
    #[error("{max} connections are open, and no more are allowed")]
    Full { max: usize },
    #[error("the address cannot be connected to")]
    Unaddressable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TcpCounts {
    /// Connections that clients opened.
    pub opened: u64,
    /// Connections that the guest opened.
    pub opened_by_guest: u64,
    /// Clients reset at once, because too many connections were open.
    pub refused_full: u64,
    /// Connections that the guest refused.
    pub refused_by_guest: u64,
    /// Connections that ended in both directions, with nothing lost.
    pub finished: u64,
    /// Connections that the guest reset.
    pub reset_by_guest: u64,
    /// Connections that the client reset, or left.
    pub reset_by_client: u64,
    /// Connections given up because the guest did not answer.
    pub unanswered: u64,
    /// Connections whose wait was cut short after a takeover.
    pub kicked: u64,
    pub bytes_to_guest: u64,
    pub bytes_to_clients: u64,
    pub segments_to_guest: u64,
    pub segments_from_guest: u64,
    /// Segments that belong to no connection; the guest gets a reset.
    pub strays: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections over for the client, kept for late segments.
    pub lingering: u64,
}

/// Where the clock of all connections stands.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// Real time, less what was spent standing.
    Runs { behind_ns: u64 },
    /// Stopped since this real time, when no node ran the guest.
    Stands { since: u64, behind_ns: u64 },
}

impl Clock {
    fn at(self, now: u64) -> u64 {
        let (now, behind) = match self {
            Clock::Runs { behind_ns } => (now, behind_ns),
            Clock::Stands { since, behind_ns } => (since, behind_ns),
        };
        now.saturating_sub(behind).saturating_mul(CLOCK_RATE)
    }
}

/// The connections of one guest.
pub struct Tcp {
    iface: Interface,
    no_sockets: SocketSet<'static>,
    ours: Ipv4Address,
    conns: BTreeMap<ConnId, Conn>,
    flows: BTreeMap<Flow, ConnId>,
    /// Never handed out while in use; the longest unused first.
    ports: VecDeque<u16>,
    /// (when by the clock, whose).
    timers: BTreeSet<(u64, ConnId)>,
    /// (until when in real time, whose): clients that the guest has not answered.
    connecting: VecDeque<(u64, ConnId)>,
    /// Those with something to send, in the order in which they get to.
    speakers: VecDeque<ConnId>,
    speaking: BTreeSet<ConnId>,
    /// Those at which the host should look.
    changed: BTreeSet<ConnId>,
    lingering: VecDeque<ConnId>,
    clock: Clock,
    /// The clock has been stopped for too long, and those who waited for it were informed.
    given_up: bool,
    kick_at: Option<(u64, u64)>,
    id_next: u64,
    max: usize,
    counts: TcpCounts,
}

impl Tcp {
    /// Connections come from `ours`; `seed` makes their first sequence numbers hard to guess.
    pub fn new(ours: Ipv4Address, seed: u64, max: usize) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let (mut route, mut frames) =
            (Route { from: Default::default(), to: Default::default(), room: 0 }, vec![]);
        let mut link = Link { packet: None, route: &mut route, frames: &mut frames };
        let mut iface = Interface::new(config, &mut link, Instant::ZERO);
        iface.update_ip_addrs(|addresses| {
            let pushed = addresses.push(IpCidr::new(ours.into(), 24));
            assert!(pushed.is_ok(), "there is room for one address");
        });
        // What may be connected to is decided before a packet comes here.
        iface.set_any_ip(true);
        Self {
            iface,
            no_sockets: SocketSet::new(Vec::new()),
            ours,
            conns: BTreeMap::new(),
            flows: BTreeMap::new(),
            ports: (PORT_FIRST..=PORT_FIRST + (PORTS - 1)).collect(),
            timers: BTreeSet::new(),
            connecting: VecDeque::new(),
            speakers: VecDeque::new(),
            speaking: BTreeSet::new(),
            changed: BTreeSet::new(),
            lingering: VecDeque::new(),
            clock: Clock::Stands { since: 0, behind_ns: 0 },
            given_up: false,
            kick_at: None,
            id_next: 1,
            max: max.clamp(1, usize::from(PORTS) / 2),
            counts: TcpCounts::default(),
        }
    }

    pub fn counts(&self) -> TcpCounts {
        let lingering = self.lingering.len();
        TcpCounts { open: (self.conns.len() - lingering) as u64, lingering: lingering as u64, ..self.counts }
    }

    /// A node runs the guest, or none does: then the clock stops.
    pub fn set_present(&mut self, now: u64, present: bool) {
        self.clock = match (self.clock, present) {
            (Clock::Runs { behind_ns }, false) => Clock::Stands { since: now, behind_ns },
            (Clock::Stands { since, behind_ns }, true) => {
                self.given_up = false;
                Clock::Runs { behind_ns: behind_ns.saturating_add(now.saturating_sub(since)) }
            }
            (same, _) => same,
        };
    }

    /// Another node has taken over the guest: no connection shall wait for a timeout that began before.
    pub fn guest_moved(&mut self, now: u64) {
        self.kick_at = self.any_waits().then_some((now.saturating_add(KICK_NS), now));
    }

    fn any_waits(&self) -> bool {
        self.conns.values().any(Conn::waits_for_guest)
    }

    /// A client wants to talk to the guest's `to`.
    pub fn open(&mut self, now: u64, to: (Ipv4Address, u16)) -> Result<ConnId, OpenRefused> {
        self.check_room()?;
        let port = self.ports.pop_front().expect("there are twice as many ports as connections");
        let flow = Flow { ours: (self.ours, port), guest: to };
        let Some(conn) = Conn::connect(&mut self.iface, flow, now) else {
            self.ports.push_back(port);
            return Err(OpenRefused::Unaddressable);
        };
        self.counts.opened += 1;
        let id = self.admit(conn);
        self.connecting.push_back((now.saturating_add(CONNECT_NS), id));
        self.speak_later(id);
        Ok(id)
    }

    /// The guest opens a connection beyond the segment: `packet` is its first segment. `Some` when the host
    /// shall connect, and report by [`dialed`](Self::dialed); `None` when that segment is to be
    /// handled like any other.
    pub fn guest_opens(&mut self, now: u64, packet: &[u8]) -> Option<ConnId> {
        let flow = flow_of(packet)?;
        if self.flows.contains_key(&flow) || self.check_room().is_err() {
            return None;
        }
        let conn = Conn::listen(flow, now, packet)?;
        self.counts.opened_by_guest += 1;
        let id = self.admit(conn);
        self.connecting.push_back((now.saturating_add(CONNECT_NS), id));
        Some(id)
    }

    /// The host has connected for the guest, or could not: then the guest is refused.
    pub fn dialed(
        &mut self,
        now: u64,
        id: ConnId,
        connected: bool,
        route: &mut Route,
        frames: &mut Vec<Vec<u8>>,
    ) {
        let Some(packet) = self.conns.get_mut(&id).and_then(|conn| conn.dialing.take()) else { return };
        if !connected {
            self.give_up(id, End::Refused);
            self.forget(id);
        }
        self.packet(now, &packet, route, frames);
    }

    fn check_room(&mut self) -> Result<(), OpenRefused> {
        if self.conns.len() - self.lingering.len() >= self.max {
            self.counts.refused_full += 1;
            return Err(OpenRefused::Full { max: self.max });
        }
        Ok(())
    }

    fn admit(&mut self, conn: Conn) -> ConnId {
        let id = ConnId(self.id_next);
        self.id_next += 1;
        self.flows.insert(conn.flow, id);
        self.conns.insert(id, conn);
        id
    }

    /// A packet of TCP from the guest to an address of ours. Its IPv4 header has been checked.
    pub fn packet(&mut self, now: u64, packet: &[u8], route: &mut Route, frames: &mut Vec<Vec<u8>>) {
        let Some(flow) = flow_of(packet) else { return };
        self.counts.segments_from_guest += 1;
        let clock = self.clock.at(now);
        let sent = frames.len();
        match self.flows.get(&flow).copied() {
            Some(id) => {
                // Until the host is connected, a repeated first segment is redundant.
                if let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.dialing.is_none()) {
                    conn.hear(&mut self.iface, now, clock, packet, route, frames);
                    self.changed.insert(id);
                    self.speak_later(id);
                }
            }
            None => {
                self.counts.strays += 1;
                let mut link = Link { packet: Some(packet), route, frames };
                let shown = Instant::from_micros((clock / 1000) as i64);
                self.iface.poll_ingress_single(shown, &mut link, &mut self.no_sockets);
            }
        }
        self.counts.segments_to_guest += (frames.len() - sent) as u64;
    }

    /// Sends what is due, in turn, as far as there is room, and gives up what has waited too long.
    pub fn flush(&mut self, now: u64, route: &mut Route, frames: &mut Vec<Vec<u8>>) {
        let clock = self.clock.at(now);
        if matches!(self.clock, Clock::Runs { .. }) {
            while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= clock) {
                self.timers.remove(&(at, id));
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.timer = None;
                }
                self.speak_later(id);
            }
            self.kick(now, clock);
        }
        let sent = frames.len();
        while let Some(id) = self.speakers.pop_front() {
            let Some(conn) = self.conns.get_mut(&id) else {
                self.speaking.remove(&id);
                continue;
            };
            let before = conn.view().phase;
            if conn.speak(&mut self.iface, clock, route, frames) {
                // It was its turn; the others come before it the next time.
                self.speakers.push_back(id);
                break;
            }
            self.speaking.remove(&id);
            if conn.view().phase != before {
                self.changed.insert(id);
            }
            self.settle(id, clock);
        }
        self.counts.segments_to_guest += (frames.len() - sent) as u64;
    }

    /// Clients that have waited too long are given up, and so is a kick that is no longer needed. Real time,
    /// and whether or not there is a way.
    pub fn expire(&mut self, now: u64) {
        while let Some((_, id)) = self.connecting.front().copied().filter(|(until, _)| *until <= now) {
            self.connecting.pop_front();
            if self.view(id).is_some_and(|view| view.phase == Phase::Connecting) {
                self.give_up(id, End::Silent);
            }
        }
        if self.kick_at.is_some_and(|(at, _)| at <= now) && !self.any_waits() {
            self.kick_at = None;
        }
        if let Clock::Stands { since, .. } = self.clock
            && now.saturating_sub(since) >= ABSENT_NS
            && !self.given_up
        {
            self.given_up = true;
            let open = |conn: &Conn| !matches!(conn.view().phase, Phase::Closed(_));
            let all: Vec<ConnId> = self.conns.iter().filter(|(_, c)| open(c)).map(|(id, _)| *id).collect();
            all.into_iter().for_each(|id| self.give_up(id, End::Silent));
        }
    }

    fn kick(&mut self, now: u64, clock: u64) {
        let Some((_, moved)) = self.kick_at.filter(|(at, _)| *at <= now) else { return };
        self.kick_at = None;
        let waits = |conn: &Conn| conn.heard < moved && conn.waits_for_guest();
        let waiting: Vec<ConnId> = self.conns.iter().filter(|(_, c)| waits(c)).map(|(id, _)| *id).collect();
        for id in waiting {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.kick(&mut self.iface, clock);
                self.counts.kicked += 1;
                self.speak_later(id);
            }
        }
    }

    /// Sets the timer of a connection that has sent everything, or forgets it.
    fn settle(&mut self, id: ConnId, clock: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.is_over() {
            return self.forget(id);
        }
        // Not at once again: what smoltcp wants to do now and did not do has to wait for something.
        let due = conn.due(&mut self.iface, clock).map(|at| at.max(clock + MILLISECOND_NS * CLOCK_RATE));
        if conn.timer != due {
            if let Some(at) = conn.timer {
                self.timers.remove(&(at, id));
            }
            conn.timer = due;
            self.timers.extend(due.map(|at| (at, id)));
        }
    }

    fn forget(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(&id) else { return };
        self.flows.remove(&conn.flow);
        if let Some(at) = conn.timer {
            self.timers.remove(&(at, id));
        }
        self.lingering.retain(|other| *other != id);
        self.changed.remove(&id);
        if conn.flow.ours.0 == self.ours {
            self.ports.push_back(conn.flow.ours.1);
        }
    }

    fn speak_later(&mut self, id: ConnId) {
        if self.speaking.insert(id) {
            self.speakers.push_back(id);
        }
    }

    fn give_up(&mut self, id: ConnId, why: End) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.abort(why);
            self.changed.insert(id);
            self.speak_later(id);
        }
    }

    /// When [`flush`](Self::flush) is due by itself. What waits for room is not: an event makes room.
    pub fn next_timer(&self) -> Option<u64> {
        let Clock::Runs { behind_ns } = self.clock else { return None };
        let timer = self.timers.first().map(|(at, _)| at.div_ceil(CLOCK_RATE).saturating_add(behind_ns));
        timer.into_iter().chain(self.kick_at.map(|(at, _)| at)).min()
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn next_expiry(&self) -> Option<u64> {
        let connecting = self.connecting.front().map(|(until, _)| *until);
        let absent = match self.clock {
            Clock::Stands { since, .. } if !self.given_up && !self.conns.is_empty() => {
                Some(since.saturating_add(ABSENT_NS))
            }
            Clock::Stands { .. } | Clock::Runs { .. } => None,
        };
        connecting.into_iter().chain(absent).min()
    }

    /// Whether [`flush`](Self::flush) has something to do.
    pub fn wants_to_speak(&self, now: u64) -> bool {
        let clock = self.clock.at(now);
        let timed = matches!(self.clock, Clock::Runs { .. })
            && (self.timers.first().is_some_and(|(at, _)| *at <= clock)
                || self.kick_at.is_some_and(|(at, _)| at <= now));
        timed || !self.speakers.is_empty()
    }

    /// No guest has the address: clients that it has not answered need not wait for it.
    pub fn unreachable(&mut self) {
        let connecting = |conn: &Conn| conn.view().phase == Phase::Connecting;
        let ids: Vec<ConnId> = self.conns.iter().filter(|(_, c)| connecting(c)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.give_up(id, End::Silent));
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The connections at which the host has not looked since they changed.
    pub fn take_changed(&mut self, into: &mut Vec<ConnId>) {
        into.extend(std::mem::take(&mut self.changed));
    }

    /// What the host may do with a connection; `None` when it is forgotten.
    pub fn view(&self, id: ConnId) -> Option<View> {
        self.conns.get(&id).map(Conn::view)
    }

    /// Takes bytes from the client; see [`View::room`].
    pub fn fill(&mut self, id: ConnId, read: impl FnMut(&mut [u8]) -> usize) -> usize {
        let taken = self.conns.get_mut(&id).map_or(0, |conn| conn.fill(read));
        if taken > 0 {
            self.counts.bytes_to_guest += taken as u64;
            self.speak_later(id);
        }
        taken
    }

    /// Gives bytes to the client; see [`View::waiting`].
    pub fn drain(&mut self, id: ConnId, write: impl FnMut(&[u8]) -> usize) -> usize {
        let given = self.conns.get_mut(&id).map_or(0, |conn| conn.drain(write));
        if given > 0 {
            self.counts.bytes_to_clients += given as u64;
            // The window has grown.
            self.speak_later(id);
        }
        given
    }

    /// The client sends no more.
    pub fn finish(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.finish();
            self.speak_later(id);
        }
    }

    /// The client reset its connection, or is gone: the guest's is reset, too.
    pub fn abort(&mut self, id: ConnId) {
        self.give_up(id, End::Aborted);
    }

    /// The host has closed the client's stream, and wants no more of this connection. One that is still
    /// open is aborted.
    pub fn release(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.released) else { return };
        if !matches!(conn.view().phase, Phase::Closed(_)) {
            conn.abort(End::Aborted);
        }
        conn.released = true;
        if let Phase::Closed(end) = conn.view().phase {
            let count = match end {
                End::Finished => &mut self.counts.finished,
                End::Refused => &mut self.counts.refused_by_guest,
                End::Reset => &mut self.counts.reset_by_guest,
                End::Silent => &mut self.counts.unanswered,
                End::Aborted => &mut self.counts.reset_by_client,
            };
            *count += 1;
        }
        self.changed.remove(&id);
        self.lingering.push_back(id);
        self.speak_later(id);
        if self.lingering.len() > LINGERING_MAX
            && let Some(oldest) = self.lingering.front().copied()
        {
            self.forget(oldest);
        }
    }
}

fn flow_of(packet: &[u8]) -> Option<Flow> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    Some(Flow {
        ours: (packet.dst_addr(), segment.dst_port()),
        guest: (packet.src_addr(), segment.src_port()),
    })
}
