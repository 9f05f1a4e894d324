//! A guest's frames into the gateway, beside clients, answers from outside, and time.
//!
//! Steps follow each other to the end: a byte that names one, and what it takes. Frames come as they are, or
//! [mended](crate::mend::frame): then they are for the gateway, their checksums hold, and a TCP segment answers the
//! last one that the gateway sent.

use std::net::SocketAddr;

use lockstep::net::ether::FRAME_BYTES_MAX;
use lockstep::net::outbound::FLOWS_MAX;
use lockstep::net::{ConnId, FlowId, FromGateway, Gateway, GatewayConfig, HostAction, MILLISECOND_NS};
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

use crate::input::Input;
use crate::mend;

pub const FRAME: u8 = 0;
pub const MENDED: u8 = 1;
pub const TIME: u8 = 2;
pub const CONNECT: u8 = 3;
pub const DATAGRAM: u8 = 4;
pub const DIALED: u8 = 5;
pub const ANSWER: u8 = 6;
pub const UNSENT: u8 = 7;
pub const CLIENT: u8 = 8;
pub const FORGET: u8 = 9;
const STEPS: u8 = 10;

/// TCP connections at one time.
const CONNECTIONS_MAX: usize = 4;
/// More frames and requests than one step can lead to: a datagram in fragments, for each that waited.
const OUT_MAX: usize = 64 * 48;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let forwards = ["udp:127.0.0.1:1=7", "tcp:127.0.0.1:1=7"].map(|text| text.parse().expect("a forward"));
    let mut config = GatewayConfig::with_forwards(forwards.into());
    config.connections_max = CONNECTIONS_MAX;
    config.outbound =
        vec!["127.0.0.0/8:80".parse().expect("a rule"), "192.0.2.0/24".parse().expect("a rule")];
    config.resolvers = vec![SocketAddr::from(([192, 0, 2, 53], 53)), SocketAddr::from(([192, 0, 2, 54], 53))];
    let mut world = World { gateway: Gateway::new(config), now: 1, ..World::new() };
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.flush();
    let counts = world.gateway.counts();
    assert!(counts.tcp.open <= CONNECTIONS_MAX as u64, "{} connections", counts.tcp.open);
    assert!(counts.outbound.flows <= FLOWS_MAX as u64, "{} flows", counts.outbound.flows);
    serde_json::to_string(&counts).expect("counts are JSON");
}

struct World {
    gateway: Gateway,
    now: u64,
    /// Connections, oldest first, and those that wait for [`Gateway::dialed`].
    conns: Vec<ConnId>,
    dialing: Vec<ConnId>,
    flows: Vec<FlowId>,
    ping: Option<(FlowId, Vec<u8>)>,
    /// What a guest would answer to.
    segment: Option<mend::Segment>,
}

impl World {
    fn new() -> Self {
        let gateway = Gateway::new(GatewayConfig::with_forwards(Vec::new()));
        Self { gateway, now: 0, conns: vec![], dialing: vec![], flows: vec![], ping: None, segment: None }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let (gateway, now, mut out) = (&mut self.gateway, self.now, Vec::new());
        match op % STEPS {
            FRAME => gateway.frame(now, input.part(), &mut out),
            MENDED => {
                let frame = mend::frame_for_gateway(input.part(), self.segment.as_ref());
                gateway.frame(now, &frame, &mut out);
            }
            TIME => {
                self.now += u64::from(input.u16()) * MILLISECOND_NS / 4;
                gateway.tick(self.now, &mut out);
                gateway.next_deadline();
            }
            CONNECT => self.conns.extend(gateway.connect(now, 1)),
            DATAGRAM => {
                let client = SocketAddr::from(([127, 0, 0, 1], input.u8().into()));
                gateway.datagram(now, 0, client, input.part(), &mut out);
            }
            DIALED => {
                if let Some(conn) = self.dialing.pop() {
                    gateway.dialed(now, conn, input.u8() & 1 == 0, &mut out);
                }
            }
            ANSWER => {
                let (nth, bytes) = (input.u8(), input.part());
                if let Some(flow) = self.flows.iter().rev().nth(nth.into()) {
                    gateway.flow_datagram(now, *flow, bytes, &mut out);
                }
            }
            UNSENT => {
                if let Some((flow, bytes)) = self.ping.take() {
                    gateway.ping_failed(now, flow, &bytes, &mut out);
                }
            }
            CLIENT => {
                let (what, bytes) = (input.u8(), input.part());
                self.client(what, bytes);
            }
            _ => gateway.keep_guests(|_| false),
        }
        self.carry(out);
        self.flush();
    }

    /// What a client, or the host for it, does with one of the connections.
    fn client(&mut self, what: u8, mut bytes: &[u8]) {
        let Some(conn) = self.conns.get(usize::from(what >> 3)).copied() else { return };
        let tcp = self.gateway.tcp();
        let Some(view) = tcp.view(conn) else { return };
        match what & 7 {
            0 | 1 => {
                let taken = tcp.fill(conn, |room| {
                    let len = bytes.len().min(room.len());
                    room[..len].copy_from_slice(&bytes[..len]);
                    bytes = &bytes[len..];
                    len
                });
                assert!(taken <= view.room, "more is taken from a client than there is room for");
            }
            2 | 3 => {
                let given = tcp.drain(conn, <[u8]>::len);
                assert_eq!(given, view.waiting, "all that waits for a client is given to it");
            }
            4 => tcp.finish(conn),
            5 => tcp.abort(conn),
            6 => tcp.release(conn),
            _ => {
                let mut changed = Vec::new();
                tcp.take_changed(&mut changed);
            }
        }
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.gateway.flush_tcp(self.now, true, 32, &mut out);
        self.carry(out);
    }

    fn carry(&mut self, out: Vec<FromGateway>) {
        assert!(out.len() <= OUT_MAX, "{} things come of one step", out.len());
        for one in out {
            match one {
                FromGateway::Frame(frame) => {
                    check(&frame);
                    self.segment = mend::Segment::of(&frame).or(self.segment.take());
                }
                FromGateway::Host(HostAction::Dial { conn, .. }) => {
                    self.dialing.push(conn);
                    self.conns.push(conn);
                }
                FromGateway::Host(HostAction::Out { flow, .. }) => self.flows.push(flow),
                FromGateway::Host(HostAction::Ping { flow, bytes, .. }) => {
                    self.flows.push(flow);
                    self.ping = Some((flow, bytes));
                }
                FromGateway::Host(HostAction::ToClient { .. } | HostAction::EndFlow { .. }) => {}
            }
        }
    }
}

/// What the gateway says is well-formed: a frame in its bounds, with checksums that hold.
fn check(bytes: &[u8]) {
    assert!(bytes.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", bytes.len());
    let frame = EthernetFrame::new_checked(bytes).expect("a frame");
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).expect("a packet");
    assert!(packet.verify_checksum());
    if packet.more_frags() || packet.frag_offset() != 0 {
        return;
    }
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Tcp => {
            assert!(TcpPacket::new_checked(packet.payload()).expect("a segment").verify_checksum(&from, &to));
        }
        IpProtocol::Udp => {
            assert!(
                UdpPacket::new_checked(packet.payload()).expect("a datagram").verify_checksum(&from, &to)
            );
        }
        _ => {}
    }
}
