//! The host as the guest sees it: 10.0.2.2, in user mode, with nothing to install.
//!
//! Answers ARP and ping, carries datagrams between forwarded host ports and the guest, and terminates
//! its clients' TCP (`super::tcp`). It lives in the switch and so survives every takeover: the guest's
//! clients keep their ports and connections here, and what is known about the guest stays known.
//!
//! The host's own services on 127.0.0.1 are the gateway's to the guest, where `outbound` allows them, and
//! names are asked at 10.0.2.3, by UDP and TCP.
//!
//! It trusts nothing the guest sends: lengths, checksums and addresses are verified, and whatever
//! does not fit is counted and dropped. Absent on purpose: IPv6 inside the segment.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DHCP_SERVER_PORT, EthernetFrame, EthernetProtocol,
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket, UdpPacket,
};

use super::dhcp::{Answer, Dhcp};
use super::ether::{self, DATAGRAM_BYTES_MAX, Ipv4Address, Mac, Station, UDP_PAYLOAD_BYTES_MAX};
use super::forward::Forward;
use super::fragments::{self, Heard, Reassembly};
use super::nat::{Client, Nat};
use super::outbound::{Ends, FlowId, Flows, Outbound, OutboundCounts, PING_PORT};
use super::tcp::{self, ConnId, OpenRefused, Route, Tcp, TcpCounts};
use super::{MILLISECOND_NS, SECOND_NS};

/// The gateway's Ethernet address.
pub const GATEWAY_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x4c, 0x53, 0xff]);
/// The gateway's IPv4 address, in 10.0.2.0/24 as with QEMU's user network.
pub const GATEWAY_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Where guests ask for names; answered with the gateway's Ethernet address.
pub const DNS_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);
/// The guest's IPv4 address by convention.
pub const GUEST_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);

/// Datagrams that wait until the guest's Ethernet address is known; more are dropped.
pub const WAITING_MAX: usize = 64;
/// Between the first two ARP requests for the same address; then twice as long each time …
pub const ARP_RETRY_NS: u64 = 100 * MILLISECOND_NS;
/// … up to this: clients of a guest that is not there do not fill the segment with requests.
const ARP_RETRY_NS_MAX: u64 = 800 * MILLISECOND_NS;
/// Requests without an answer (2.3 s of them) after which the waiting datagrams are given up.
pub const ARP_TRIES_MAX: u32 = 5;
/// An address not confirmed for this long is asked for again while it is still used (RFC 4861 uses 30 s for
/// the same purpose).
pub const NEIGHBOR_STALE_NS: u64 = 30 * SECOND_NS;
/// An address not confirmed for this long is no longer used.
pub const NEIGHBOR_DEAD_NS: u64 = 40 * SECOND_NS;

/// A gateway's ARP request for a guest with address `mac`, and how the guest's answer begins.
pub fn arp_of_guest(mac: Mac) -> (Vec<u8>, Vec<u8>) {
    let gateway = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };
    let guest = Station { mac, ip: GUEST_IP };
    let request = ether::arp(ArpOperation::Request, gateway, Mac::BROADCAST, GUEST_IP);
    (request, ether::arp(ArpOperation::Reply, guest, GATEWAY_MAC, GATEWAY_IP))
}

/// What a gateway is made of; it does not change.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The gateway's Ethernet address.
    pub mac: Mac,
    /// The gateway's IPv4 address.
    pub ip: Ipv4Address,
    /// Where forwarded datagrams go.
    pub guest_ip: Ipv4Address,
    /// The host's ports that lead to the guest; elsewhere a forward is named by its index here.
    pub forwards: Vec<Forward>,
    /// Makes sequence numbers hard to guess; any number in tests.
    pub seed: u64,
    /// At most this many TCP connections at once.
    pub connections_max: usize,
    /// What the guest may reach beyond the segment.
    pub outbound: Vec<Outbound>,
    /// The resolvers for DNS queries; none when empty.
    pub resolvers: Vec<SocketAddr>,
}

impl GatewayConfig {
    /// The conventional addresses with these forwards.
    pub fn with_forwards(forwards: Vec<Forward>) -> Self {
        Self {
            mac: GATEWAY_MAC,
            ip: GATEWAY_IP,
            guest_ip: GUEST_IP,
            forwards,
            seed: 0,
            connections_max: tcp::CONNECTIONS_MAX,
            outbound: Vec::new(),
            resolvers: Vec::new(),
        }
    }
}

/// What the gateway wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromGateway {
    /// Put this frame on the segment.
    Frame(Vec<u8>),
    /// Outside the segment.
    Host(HostAction),
}

/// What the host does for the guests of a segment. The switch passes it on, as its gateway wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Send this datagram from the host socket of `forward` to `client`.
    ToClient {
        /// Index in [`GatewayConfig::forwards`].
        forward: usize,
        /// Where the datagram goes.
        client: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Connect to `to`, and report the outcome by [`Switch::dialed`](super::Switch::dialed).
    Dial {
        /// The guest's connection.
        conn: ConnId,
        /// The address that the guest has asked for.
        to: SocketAddr,
    },
    /// Send this datagram of the guest's to `to`, from a socket of this flow's own.
    Out {
        /// The flow.
        flow: FlowId,
        /// Where the datagram goes.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Send this ICMP echo request to `to`, from a socket of this flow's own; or report by
    /// [`Switch::ping_failed`](super::Switch::ping_failed) that it could not be sent. The identifier is the
    /// socket's business.
    Ping {
        /// The flow.
        flow: FlowId,
        /// Where the request goes.
        to: IpAddr,
        /// The ICMP message, from its type on.
        bytes: Vec<u8>,
    },
    /// The flow's socket is no longer needed.
    EndFlow {
        /// The flow.
        flow: FlowId,
    },
}

/// What a gateway has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GatewayCounts {
    /// Client datagrams that were sent to the guest.
    pub datagrams_to_guest: u64,
    /// Datagrams of the guest that were sent to clients.
    pub datagrams_to_host: u64,
    /// ARP requests of the guest that were answered.
    pub arp_replies: u64,
    /// ARP requests for the guest's address, repeated ones included.
    pub arp_requests: u64,
    /// Pings of the gateway itself that were answered.
    pub ping_replies: u64,
    /// Client datagrams longer than a datagram can be toward the guest.
    pub dropped_oversize: u64,
    /// Client datagrams that came while too many waited for the guest's address.
    pub dropped_waiting_full: u64,
    /// Client datagrams given up because the guest never answered ARP.
    pub dropped_unresolved: u64,
    /// Guest packets that contradict their headers: length, checksum, version.
    pub dropped_malformed: u64,
    /// Packets from the guest that came in fragments.
    pub reassembled: u64,
    /// Fragments from the guest that contradict each other or are malformed.
    pub dropped_fragments: u64,
    /// Packets in fragments that were not whole in time, or made room for others.
    pub dropped_unfinished: u64,
    /// Guest packets to an address or port that does not exist.
    pub dropped_no_route: u64,
    /// Guest packets of a protocol that the gateway does not speak (IPv6, IGMP, …).
    pub ignored: u64,
    /// Clients that lost their port to newer ones.
    pub clients_evicted: u64,
    /// UDP clients that hold a port now.
    pub clients: u64,
    /// Packets with the guest's address from another station than the guest.
    pub dropped_impostor: u64,
    /// DHCP messages that were answered.
    pub dhcp_answers: u64,
    /// Guests that got no address, because all are given away.
    pub dhcp_exhausted: u64,
    /// Of the guest's UDP and ping flows to the outside.
    pub outbound: OutboundCounts,
    /// Of the TCP connections of both directions.
    pub tcp: TcpCounts,
}

/// What is known about the guest's Ethernet address.
///
/// ```text
///   Unknown --datagram--> Asking --ARP from the guest--> Known
///      ^                    | no answer to any request     | not confirmed for NEIGHBOR_DEAD_NS
///      +--------------------+------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbor {
    Unknown,
    /// `tries` requests are out; the next is due at `next`. Datagrams wait.
    Asking {
        tries: u32,
        next: u64,
    },
    /// Confirmed at `heard`; asked again at `asked` when that was long ago.
    Known {
        mac: Mac,
        heard: u64,
        asked: u64,
    },
}

struct Waiting {
    from_port: u16,
    guest_port: u16,
    bytes: Vec<u8>,
}

/// The gateway. Every call appends what is to be done to `out`.
pub struct Gateway {
    config: GatewayConfig,
    nat: Nat,
    neighbor: Neighbor,
    waiting: VecDeque<Waiting>,
    counts: GatewayCounts,
    tcp: Tcp,
    fragments: Reassembly,
    /// The number of the next packet that leaves in fragments.
    ident_next: u16,
    dhcp: Dhcp,
    flows: Flows,
    ended_flows: Vec<FlowId>,
    resolver_next: usize,
    /// Resolvers by flow, for as long as the flow lives.
    resolver_of: BTreeMap<FlowId, SocketAddr>,
    /// Reused between calls.
    frames: Vec<Vec<u8>>,
}

impl Gateway {
    /// A gateway that knows no guest and no client.
    pub fn new(config: GatewayConfig) -> Self {
        Self {
            tcp: Tcp::new(config.ip, config.seed, config.connections_max),
            frames: Vec::new(),
            fragments: Reassembly::default(),
            ident_next: config.seed as u16,
            dhcp: Dhcp::default(),
            flows: Flows::default(),
            ended_flows: Vec::new(),
            resolver_next: 0,
            resolver_of: BTreeMap::new(),
            config,
            nat: Nat::default(),
            neighbor: Neighbor::Unknown,
            waiting: VecDeque::new(),
            counts: GatewayCounts::default(),
        }
    }

    /// What it was made of.
    pub fn config(&self) -> &GatewayConfig {
        &self.config
    }

    /// What it has done so far.
    pub fn counts(&self) -> GatewayCounts {
        let clients = self.nat.len() as u64;
        GatewayCounts {
            clients,
            clients_evicted: self.nat.evicted(),
            tcp: self.tcp.counts(),
            dropped_unfinished: self.fragments.given_up,
            outbound: self.flows.counts(),
            ..self.counts
        }
    }

    /// Whether `ip` is one of the gateway's own addresses.
    fn is_ours(&self, ip: Ipv4Address) -> bool {
        ip == self.config.ip || (ip == DNS_IP && !self.config.resolvers.is_empty())
    }

    fn allows(&self, to: Ipv4Address, port: u16) -> bool {
        let network = |ip: Ipv4Address| ip.to_bits() >> 8;
        // Never the segment itself, whatever the rules allow.
        network(to) != network(self.config.ip)
            && self.config.outbound.iter().any(|rule| rule.allows(to, port))
    }

    fn station(&self) -> Station {
        Station { mac: self.config.mac, ip: self.config.ip }
    }

    /// A datagram from `client` came to the host socket of `forward`.
    pub fn datagram(
        &mut self,
        now: u64,
        forward: usize,
        client: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        let Some(guest_port) = self.config.forwards.get(forward).map(|f| f.guest_port) else {
            self.counts.dropped_no_route += 1;
            return;
        };
        if bytes.len() > DATAGRAM_BYTES_MAX {
            self.counts.dropped_oversize += 1;
            return;
        }
        let from_port = self.nat.port_of(now, Client { forward, address: client });
        if let Some(mac) = self.guest_address(now, out) {
            self.send_datagram(mac, from_port, guest_port, bytes, out);
        } else if self.waiting.len() >= WAITING_MAX {
            self.counts.dropped_waiting_full += 1;
        } else {
            self.waiting.push_back(Waiting { from_port, guest_port, bytes: bytes.to_vec() });
        }
    }

    /// Where to send what is for the guest; asks when that is not known, or was long ago.
    fn guest_address(&mut self, now: u64, out: &mut Vec<FromGateway>) -> Option<Mac> {
        match self.neighbor {
            Neighbor::Known { mac, heard, asked } if now.saturating_sub(heard) < NEIGHBOR_DEAD_NS => {
                if now.saturating_sub(heard) >= NEIGHBOR_STALE_NS && now.saturating_sub(asked) >= SECOND_NS {
                    self.neighbor = Neighbor::Known { mac, heard, asked: now };
                    self.ask(mac, out);
                }
                Some(mac)
            }
            Neighbor::Known { .. } | Neighbor::Unknown => {
                self.neighbor = Neighbor::Asking { tries: 1, next: now.saturating_add(ARP_RETRY_NS) };
                self.ask(Mac::BROADCAST, out);
                None
            }
            Neighbor::Asking { .. } => None,
        }
    }

    /// The guest's Ethernet address, if it is known.
    pub fn guest_mac(&self) -> Option<Mac> {
        match self.neighbor {
            Neighbor::Known { mac, .. } => Some(mac),
            Neighbor::Unknown | Neighbor::Asking { .. } => None,
        }
    }

    /// Forgets the guests for whose Ethernet addresses `stays` is false: their IPv4 addresses are free.
    pub fn keep_guests(&mut self, stays: impl Fn(Mac) -> bool) {
        if self.guest_mac().is_some_and(|mac| !stays(mac)) {
            self.neighbor = Neighbor::Unknown;
        }
        self.dhcp.keep_leases(stays);
    }

    /// A client connected to the TCP port of `forward`.
    pub fn connect(&mut self, now: u64, forward: usize) -> Result<ConnId, OpenRefused> {
        let forward = self.config.forwards.get(forward).ok_or(OpenRefused::Unaddressable)?;
        self.tcp.open(now, (self.config.guest_ip, forward.guest_port))
    }

    /// The TCP connections: the caller moves their bytes.
    pub fn tcp(&mut self) -> &mut Tcp {
        &mut self.tcp
    }

    /// True when connections have changed that the caller has not looked at.
    pub fn clients_wait(&self) -> bool {
        self.tcp.has_changed()
    }

    /// Sends what TCP has to send: at most `room` frames, and none while the guest's address is unknown.
    /// `present` is true while a node runs the guest.
    pub fn flush_tcp(&mut self, now: u64, present: bool, room: usize, out: &mut Vec<FromGateway>) {
        self.tcp.set_present(now, present);
        self.tcp.expire(now);
        if !self.tcp.wants_to_speak(now) {
            return;
        }
        let Some(to) = self.guest_address(now, out) else { return };
        let mut route = Route { from: self.config.mac, to, room };
        self.tcp.flush(now, &mut route, &mut self.frames);
        out.extend(self.frames.drain(..).map(FromGateway::Frame));
    }

    fn send_datagram(
        &mut self,
        mac: Mac,
        from_port: u16,
        guest_port: u16,
        bytes: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        let guest = Station { mac, ip: self.config.guest_ip };
        self.counts.datagrams_to_guest += 1;
        self.send_udp((self.station(), from_port), (guest, guest_port), bytes, out);
    }

    /// A datagram to a guest, in fragments when it is longer than a frame.
    fn send_udp(
        &mut self,
        (from, from_port): (Station, u16),
        (to, to_port): (Station, u16),
        bytes: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        if bytes.len() <= UDP_PAYLOAD_BYTES_MAX {
            return out.push(FromGateway::Frame(ether::udp(from, from_port, to, to_port, bytes)));
        }
        let ident = self.next_ident();
        let frames = fragments::udp((from, from_port), (to, to_port), ident, bytes);
        out.extend(frames.into_iter().map(FromGateway::Frame));
    }

    fn send_icmp(&mut self, from: Station, to: Station, message: &Icmpv4Repr, out: &mut Vec<FromGateway>) {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
        self.send_packet(from, to, IpProtocol::Icmp, &bytes, out);
    }

    fn send_packet(
        &mut self,
        from: Station,
        to: Station,
        protocol: IpProtocol,
        payload: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        let ident = self.next_ident();
        let frames = fragments::frames(from, to, protocol, ident, payload);
        out.extend(frames.into_iter().map(FromGateway::Frame));
    }

    fn next_ident(&mut self) -> u16 {
        let ident = self.ident_next;
        self.ident_next = ident.wrapping_add(1);
        ident
    }

    fn ask(&mut self, to: Mac, out: &mut Vec<FromGateway>) {
        self.counts.arp_requests += 1;
        out.push(FromGateway::Frame(ether::arp(
            ArpOperation::Request,
            self.station(),
            to,
            self.config.guest_ip,
        )));
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_deadline(&self) -> Option<u64> {
        let own = match self.neighbor {
            // Until the guest's address is known, TCP cannot do what it is due to do.
            Neighbor::Asking { next, .. } => Some(next),
            Neighbor::Unknown | Neighbor::Known { .. } => self.tcp.next_timer(),
        };
        own.into_iter().chain(self.tcp.next_expiry()).min()
    }

    /// Asks again for an address that has not been answered.
    pub fn tick(&mut self, now: u64, out: &mut Vec<FromGateway>) {
        let Neighbor::Asking { tries, next } = self.neighbor else { return };
        if now < next {
            return;
        }
        if tries >= ARP_TRIES_MAX {
            self.neighbor = Neighbor::Unknown;
            self.counts.dropped_unresolved += self.waiting.len() as u64;
            self.waiting.clear();
            self.tcp.unreachable();
            return;
        }
        let pause = (ARP_RETRY_NS << tries).min(ARP_RETRY_NS_MAX);
        self.neighbor = Neighbor::Asking { tries: tries + 1, next: now.saturating_add(pause) };
        self.ask(Mac::BROADCAST, out);
    }

    /// A frame came from the segment, for the gateway or for every station.
    pub fn frame(&mut self, now: u64, bytes: &[u8], out: &mut Vec<FromGateway>) {
        let Ok(frame) = EthernetFrame::new_checked(bytes) else {
            self.counts.dropped_malformed += 1;
            return;
        };
        let source = Mac(frame.src_addr().0);
        match frame.ethertype() {
            EthernetProtocol::Arp => self.hear_arp(now, source, frame.payload(), out),
            EthernetProtocol::Ipv4 => self.hear_ipv4(now, source, frame.payload(), out),
            EthernetProtocol::Ipv6 | EthernetProtocol::Unknown(_) => self.counts.ignored += 1,
        }
    }

    fn hear_arp(&mut self, now: u64, source: Mac, payload: &[u8], out: &mut Vec<FromGateway>) {
        let repr = ArpPacket::new_checked(payload).and_then(|packet| ArpRepr::parse(&packet));
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = repr
        else {
            self.counts.dropped_malformed += 1;
            return;
        };
        if source_hardware_addr.0 != source.0 || !source.is_station() {
            self.counts.dropped_malformed += 1;
            return;
        }
        if source_protocol_addr == self.config.guest_ip {
            self.learn(now, source, out);
        }
        if operation == ArpOperation::Request && self.is_ours(target_protocol_addr) {
            self.counts.arp_replies += 1;
            let ours = Station { ip: target_protocol_addr, ..self.station() };
            let reply = ether::arp(ArpOperation::Reply, ours, source, source_protocol_addr);
            out.push(FromGateway::Frame(reply));
        }
    }

    /// The guest's address is known: what waited for it can go.
    fn learn(&mut self, now: u64, mac: Mac, out: &mut Vec<FromGateway>) {
        self.neighbor = Neighbor::Known { mac, heard: now, asked: now };
        while let Some(waiting) = self.waiting.pop_front() {
            self.send_datagram(mac, waiting.from_port, waiting.guest_port, &waiting.bytes, out);
        }
    }

    fn hear_ipv4(&mut self, now: u64, source: Mac, payload: &[u8], out: &mut Vec<FromGateway>) {
        let packet = match Ipv4Packet::new_checked(payload) {
            Ok(packet) if packet.version() == 4 && packet.verify_checksum() => packet,
            Ok(_) | Err(_) => {
                self.counts.dropped_malformed += 1;
                return;
            }
        };
        // A packet from where the guest is known to be shows that it is still there.
        if let Neighbor::Known { mac, heard, .. } = &mut self.neighbor
            && *mac == source
            && packet.src_addr() == self.config.guest_ip
        {
            *heard = now;
        }
        if packet.more_frags() || packet.frag_offset() != 0 {
            match self.fragments.hear(now, &packet) {
                Heard::Whole(whole) => {
                    self.counts.reassembled += 1;
                    self.hear_whole(now, source, &whole, out);
                }
                Heard::Waits => {}
                Heard::Bad => self.counts.dropped_fragments += 1,
            }
            return;
        }
        self.hear_whole(now, source, payload, out);
    }

    /// A packet that is no fragment, and whose header has been checked.
    fn hear_whole(&mut self, now: u64, source: Mac, payload: &[u8], out: &mut Vec<FromGateway>) {
        let Ok(packet) = Ipv4Packet::new_checked(payload) else { return };
        match packet.next_header() {
            IpProtocol::Udp => self.hear_udp(now, source, &packet, out),
            IpProtocol::Tcp => self.hear_tcp(now, source, &packet, payload, out),
            IpProtocol::Icmp if self.is_ours(packet.dst_addr()) => self.hear_icmp(source, &packet, out),
            IpProtocol::Icmp => self.hear_ping(now, source, &packet, out),
            _ if packet.dst_addr() == self.config.ip => self.counts.ignored += 1,
            _ => self.counts.dropped_no_route += 1,
        }
    }

    /// Answers `packet` with ICMP "administratively prohibited".
    fn prohibit(&mut self, source: Mac, packet: &Ipv4Packet<&[u8]>, out: &mut Vec<FromGateway>) {
        self.flows.counts.refused += 1;
        let Ok(header) = Ipv4Repr::parse(packet, &ChecksumCapabilities::default()) else { return };
        let to = Station { mac: source, ip: packet.src_addr() };
        self.send_unreachable(Icmpv4DstUnreachable::CommProhibited, to, header, packet.payload(), out);
    }

    /// Tells `to` that its packet, `quoted` behind `header`, did not get there.
    fn send_unreachable(
        &mut self,
        reason: Icmpv4DstUnreachable,
        to: Station,
        header: Ipv4Repr,
        quoted: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        // RFC 792: the header and the first 8 bytes of what followed it.
        let told = Icmpv4Repr::DstUnreachable { reason, header, data: &quoted[..quoted.len().min(8)] };
        self.send_icmp(self.station(), to, &told, out);
    }

    /// A packet of ICMP to somewhere beyond the segment: a ping is carried there, as far as it may go.
    fn hear_ping(&mut self, now: u64, source: Mac, packet: &Ipv4Packet<&[u8]>, out: &mut Vec<FromGateway>) {
        let network = |ip: Ipv4Address| ip.to_bits() >> 8;
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        if network(from) != network(self.config.ip)
            || network(to) == network(self.config.ip)
            || to.is_broadcast()
            || to.is_multicast()
        {
            self.counts.dropped_no_route += 1;
            return;
        }
        let icmp = Icmpv4Packet::new_checked(packet.payload())
            .and_then(|icmp| Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()));
        let ident = match icmp {
            Ok(Icmpv4Repr::EchoRequest { ident, .. }) => ident,
            Ok(_) => {
                self.counts.ignored += 1;
                return;
            }
            Err(_) => {
                self.counts.dropped_malformed += 1;
                return;
            }
        };
        if !self.config.outbound.iter().any(|rule| rule.allows_ping(to)) {
            return self.prohibit(source, packet, out);
        }
        let ends = Ends { mac: source, guest: (from, ident), remote: (to, PING_PORT) };
        let flow = self.flow_of(now, ends, false, out);
        self.flows.counts.datagrams_out += 1;
        out.push(FromGateway::Host(HostAction::Ping {
            flow,
            to: to.into(),
            bytes: packet.payload().to_vec(),
        }));
    }

    /// The host could not send a [`HostAction::Ping`] with these bytes: the guest gets an ICMP error.
    pub fn ping_failed(&mut self, now: u64, flow: FlowId, bytes: &[u8], out: &mut Vec<FromGateway>) {
        let Some(ends) = self.flows.answered(now, flow) else { return };
        self.flows.counts.pings_unsent += 1;
        let header = Ipv4Repr {
            src_addr: ends.guest.0,
            dst_addr: ends.remote.0,
            next_header: IpProtocol::Icmp,
            payload_len: bytes.len(),
            hop_limit: 64,
        };
        let to = Station { mac: ends.mac, ip: ends.guest.0 };
        self.send_unreachable(Icmpv4DstUnreachable::HostUnreachable, to, header, bytes, out);
    }

    /// The flow of what the guest sends; those that make room for it end.
    fn flow_of(&mut self, now: u64, ends: Ends, asks: bool, out: &mut Vec<FromGateway>) -> FlowId {
        let flow = self.flows.of(now, ends, asks, &mut self.ended_flows);
        for flow in self.ended_flows.drain(..) {
            self.resolver_of.remove(&flow);
            out.push(FromGateway::Host(HostAction::EndFlow { flow }));
        }
        flow
    }

    /// Whether a packet from `source` may use the address it names.
    fn is_guest(&mut self, source: Mac, ip: Ipv4Address) -> bool {
        if ip != self.config.guest_ip {
            self.counts.dropped_no_route += 1;
            return false;
        }
        if self.guest_mac().is_some_and(|mac| mac != source) {
            self.counts.dropped_impostor += 1;
            return false;
        }
        true
    }

    fn hear_icmp(&mut self, source: Mac, packet: &Ipv4Packet<&[u8]>, out: &mut Vec<FromGateway>) {
        let checksums = ChecksumCapabilities::default();
        let icmp =
            Icmpv4Packet::new_checked(packet.payload()).and_then(|icmp| Icmpv4Repr::parse(&icmp, &checksums));
        match icmp {
            Ok(Icmpv4Repr::EchoRequest { ident, seq_no, data }) => {
                self.counts.ping_replies += 1;
                let reply = Icmpv4Repr::EchoReply { ident, seq_no, data };
                let to = Station { mac: source, ip: packet.src_addr() };
                let ours = Station { ip: packet.dst_addr(), ..self.station() };
                self.send_icmp(ours, to, &reply, out);
            }
            Ok(_) => self.counts.ignored += 1,
            Err(_) => self.counts.dropped_malformed += 1,
        }
    }

    fn hear_tcp(
        &mut self,
        now: u64,
        source: Mac,
        packet: &Ipv4Packet<&[u8]>,
        bytes: &[u8],
        out: &mut Vec<FromGateway>,
    ) {
        if !self.is_guest(source, packet.src_addr()) {
            return;
        }
        let mut route = Route { from: self.config.mac, to: source, room: 1 };
        let (to, ports) = (packet.dst_addr(), TcpPacket::new_checked(packet.payload()));
        let Ok(segment) = ports else {
            self.counts.dropped_malformed += 1;
            return;
        };
        let port = segment.dst_port();
        if segment.syn() && !segment.ack() {
            match self.leads_to(to, port) {
                None => self.flows.counts.refused += u64::from(!self.is_ours(to)),
                Some(_) if self.guest_address(now, out).is_none() => {
                    // It could not be answered: it sends this again, and is known by then.
                    return;
                }
                Some(leads_to) => {
                    if let Some(conn) = self.tcp.guest_opens(now, bytes) {
                        // The next connection for names asks the next resolver: this one may not answer.
                        self.resolver_next += usize::from(to == DNS_IP);
                        out.push(FromGateway::Host(HostAction::Dial { conn, to: leads_to }));
                        return;
                    }
                }
            }
        }
        self.tcp.packet(now, bytes, &mut route, &mut self.frames);
        out.extend(self.frames.drain(..).map(FromGateway::Frame));
    }

    /// Where the host connects for the guest when the guest names `to` and `port`, if it may go there: the
    /// resolvers are behind 10.0.2.3, and the host's own services behind the gateway's address.
    fn leads_to(&self, to: Ipv4Address, port: u16) -> Option<SocketAddr> {
        if to == DNS_IP && self.is_ours(to) {
            let resolvers = &self.config.resolvers;
            return (port == 53).then(|| resolvers[self.resolver_next % resolvers.len()]);
        }
        let host = if to == self.config.ip { Ipv4Address::LOCALHOST } else { to };
        self.allows(host, port).then(|| SocketAddr::new(host.into(), port))
    }

    /// What became of a [`HostAction::Dial`].
    pub fn dialed(&mut self, now: u64, conn: ConnId, connected: bool, out: &mut Vec<FromGateway>) {
        let Some(to) = self.guest_mac() else { return };
        let mut route = Route { from: self.config.mac, to, room: 1 };
        self.tcp.dialed(now, conn, connected, &mut route, &mut self.frames);
        out.extend(self.frames.drain(..).map(FromGateway::Frame));
    }

    /// An answer came to the socket of `flow`.
    pub fn flow_datagram(&mut self, now: u64, flow: FlowId, bytes: &[u8], out: &mut Vec<FromGateway>) {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            self.flows.counts.dropped_oversize += 1;
            return;
        }
        let Some(ends) = self.flows.answered(now, flow) else { return };
        self.flows.counts.datagrams_in += 1;
        let from = Station { mac: self.config.mac, ip: ends.remote.0 };
        let to = Station { mac: ends.mac, ip: ends.guest.0 };
        if ends.remote.1 != PING_PORT {
            return self.send_udp((from, ends.remote.1), (to, ends.guest.1), bytes, out);
        }
        let icmp = Icmpv4Packet::new_checked(bytes)
            .and_then(|icmp| Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::ignored()));
        if let Ok(Icmpv4Repr::EchoReply { seq_no, data, .. }) = icmp {
            self.send_icmp(from, to, &Icmpv4Repr::EchoReply { ident: ends.guest.1, seq_no, data }, out);
        }
    }

    /// A datagram of the guest's to somewhere beyond the segment, or to the resolvers.
    fn hear_outbound(
        &mut self,
        now: u64,
        source: Mac,
        packet: &Ipv4Packet<&[u8]>,
        datagram: &UdpPacket<&[u8]>,
        out: &mut Vec<FromGateway>,
    ) {
        let (remote, port) = (packet.dst_addr(), datagram.dst_port());
        let asks = remote == DNS_IP && port == 53 && self.is_ours(remote);
        let Some(to) = self.leads_to(remote, port).filter(|_| port != PING_PORT) else {
            return self.prohibit(source, packet, out);
        };
        let guest = (packet.src_addr(), datagram.src_port());
        let ends = Ends { mac: source, guest, remote: (remote, port) };
        let flow = self.flow_of(now, ends, asks, out);
        let to = if asks {
            let (next, resolvers) = (&mut self.resolver_next, &self.config.resolvers);
            *self.resolver_of.entry(flow).or_insert_with(|| {
                *next = (*next + 1) % resolvers.len().max(1);
                resolvers[*next]
            })
        } else {
            to
        };
        self.flows.counts.datagrams_out += 1;
        out.push(FromGateway::Host(HostAction::Out { flow, to, bytes: datagram.payload().to_vec() }));
    }

    fn hear_dhcp(&mut self, source: Mac, datagram: &UdpPacket<&[u8]>, out: &mut Vec<FromGateway>) {
        let dns = (!self.config.resolvers.is_empty()).then_some(DNS_IP);
        // A guest that was never given its address has it all the same.
        if let Some(holder) = self.guest_mac() {
            self.dhcp.note_holder(holder, self.config.guest_ip);
        }
        match self.dhcp.answer(self.station(), self.config.guest_ip, dns, source, datagram.payload()) {
            Answer::Frame(frame) => {
                self.counts.dhcp_answers += 1;
                out.push(FromGateway::Frame(frame));
            }
            Answer::Nothing => self.counts.ignored += 1,
            Answer::Exhausted => self.counts.dhcp_exhausted += 1,
            Answer::Malformed => self.counts.dropped_malformed += 1,
        }
    }

    fn hear_udp(&mut self, now: u64, source: Mac, packet: &Ipv4Packet<&[u8]>, out: &mut Vec<FromGateway>) {
        let datagram = match UdpPacket::new_checked(packet.payload()) {
            Ok(datagram)
                if datagram.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()) =>
            {
                datagram
            }
            Ok(_) | Err(_) => {
                self.counts.dropped_malformed += 1;
                return;
            }
        };
        let to = packet.dst_addr();
        if datagram.dst_port() == DHCP_SERVER_PORT && (to == Ipv4Address::BROADCAST || to == self.config.ip) {
            return self.hear_dhcp(source, &datagram, out);
        }
        let network = |ip: Ipv4Address| ip.to_bits() >> 8;
        if to != self.config.ip
            && !to.is_broadcast()
            && !to.is_multicast()
            && network(to) != network(self.config.ip)
            || to == DNS_IP && self.is_ours(to)
        {
            if network(packet.src_addr()) == network(self.config.ip) {
                return self.hear_outbound(now, source, packet, &datagram, out);
            }
            self.counts.dropped_no_route += 1;
            return;
        }
        if to != self.config.ip {
            self.counts.dropped_no_route += 1;
            return;
        }
        let client = self.nat.client_of(now, datagram.dst_port()).filter(|client| {
            let service = self.config.forwards.get(client.forward).map(|f| f.guest_port);
            packet.src_addr() == self.config.guest_ip && service == Some(datagram.src_port())
        });
        let Some(client) = client else {
            let near = network(packet.src_addr()) == network(self.config.ip);
            if near && self.leads_to(to, datagram.dst_port()).is_some() {
                return self.hear_outbound(now, source, packet, &datagram, out);
            }
            self.counts.dropped_no_route += 1;
            return;
        };
        self.counts.datagrams_to_host += 1;
        out.push(FromGateway::Host(HostAction::ToClient {
            forward: client.forward,
            client: client.address,
            bytes: datagram.payload().to_vec(),
        }));
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
