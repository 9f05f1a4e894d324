//! The `counter` guest's TCP against another stack, over a wire that loses, repeats and swaps frames.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, HardwareAddress, IpCidr, Ipv4Address, Ipv4Packet, TcpControl, TcpPacket,
    TcpRepr,
};

use super::*;
use crate::base::Prng;
use crate::cpu::{Answer, Question};
use crate::net::wire::Wire;

const COUNTER: &[u8] = include_bytes!("../../guest-programs/counter/counter.elf");
const GUEST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const PORT: u16 = 9000;
const TICKS_PER_MS: u64 = 10_000;

/// A connection of the other stack, and what it has heard.
struct Client {
    handle: SocketHandle,
    to_send: Vec<u8>,
    heard: Vec<u8>,
    /// Ends its side when everything is sent; else when the guest has ended its own.
    ends: bool,
}

struct World {
    prng: Prng,
    /// Of a hundred frames, so many are lost; as many come twice, and as many change places.
    harm: u64,
    machine: Machine,
    iface: Interface,
    sockets: SocketSet<'static>,
    clients: Vec<Client>,
    wire: Wire,
    now_ms: u64,
    rx_seq: u64,
    frames: u64,
}

impl World {
    fn new(seed: u64, harm: u64) -> Self {
        println!("seed {seed}");
        let options = BootOptions { ram_bytes: 16 << 20, ..BootOptions::default() };
        let machine = Machine::boot(&Elf::parse(COUNTER).expect("a good image"), &options).expect("it boots");
        let mut wire = Wire::new(usize::MAX);
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2])));
        let mut iface = Interface::new(config, &mut wire, Clock::ZERO);
        iface.update_ip_addrs(|ips| ips.push(IpCidr::new(HOST.into(), 24)).expect("there is room for one"));
        let sockets = SocketSet::new(Vec::new());
        Self {
            prng: Prng::new(seed),
            harm,
            machine,
            iface,
            sockets,
            clients: Vec::new(),
            wire,
            now_ms: 0,
            rx_seq: 0,
            frames: 0,
        }
    }

    fn client(&mut self, text: &str, ends: bool) {
        let ring = |bytes| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(ring(3000), ring(5000));
        let local = 20_000 + self.sockets.iter().count() as u16;
        socket.connect(self.iface.context(), (GUEST, PORT), local).expect("it can be connected");
        let handle = self.sockets.add(socket);
        self.clients.push(Client { handle, to_send: text.into(), heard: Vec::new(), ends });
    }

    /// What becomes of frames on their way.
    fn harm(&mut self, frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for frame in frames {
            self.frames += 1;
            if self.prng.chance(self.harm, 100) {
                continue;
            }
            if self.prng.chance(self.harm, 100) {
                out.push(frame.clone());
            }
            out.push(frame);
            if out.len() > 1 && self.prng.chance(self.harm, 100) {
                let last = out.len() - 1;
                out.swap(last - 1, last);
            }
        }
        out
    }

    /// Lets the guest run until it sleeps; what it said.
    fn guest(&mut self, mut frames: VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        let now = self.now_ms * TICKS_PER_MS;
        let mut said = Vec::new();
        for _ in 0..100_000 {
            let stop = self.machine.run_until(self.machine.icount().plus(1_000_000));
            said.extend(self.machine.take_outputs().into_iter().filter_map(|output| match output {
                Output::Net { frame, .. } => Some(frame),
                Output::Console { .. } => None,
            }));
            let input = match stop {
                Stop::Ask(Question::Time) => Input::Answer(Answer::Time(now)),
                Stop::Ask(Question::Entropy) => Input::Answer(Answer::Entropy(0x1234)),
                Stop::Reached | Stop::Service | Stop::Idle => {
                    if self.machine.net_ready()
                        && let Some(frame) = frames.pop_front()
                    {
                        self.rx_seq += 1;
                        Input::NetFrame { rx_seq: self.rx_seq, frame }
                    } else if self.machine.timer_deadline().is_some_and(|at| at <= now) {
                        Input::TimerDue { time: now }
                    } else if stop == Stop::Idle {
                        return said;
                    } else {
                        continue;
                    }
                }
                stop => panic!("{stop:?}"),
            };
            self.machine.deliver(input).expect("the guest wants it");
        }
        panic!("the guest never sleeps");
    }

    /// Lets a millisecond pass for the guest and all clients.
    fn turn(&mut self) {
        self.now_ms += 1;
        let clock = Clock::from_millis(self.now_ms as i64);
        self.iface.poll(clock, &mut self.wire, &mut self.sockets);
        for client in &mut self.clients {
            let socket = self.sockets.get_mut::<Socket<'_>>(client.handle);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), client.heard.extend_from_slice(bytes))).expect("it can");
            }
            if socket.may_send() && !client.to_send.is_empty() {
                let sent = socket.send_slice(&client.to_send).expect("it can");
                client.to_send.drain(..sent);
            }
            let ends = client.ends || socket.state() == State::CloseWait;
            if socket.may_send() && client.to_send.is_empty() && ends {
                client.ends = false;
                socket.close();
            }
        }
        self.iface.poll(clock, &mut self.wire, &mut self.sockets);
        let frames = self.wire.outward.drain(..).collect();
        let frames = self.harm(frames).into();
        let said = self.guest(frames);
        self.wire.inward = self.harm(said).into();
    }

    /// Lives until all connections are over, as the other stack sees it.
    fn live(&mut self) {
        while self.clients.iter().any(|client| {
            let state = self.sockets.get::<Socket<'_>>(client.handle).state();
            !matches!(state, State::Closed | State::TimeWait)
        }) {
            self.turn();
            assert!(self.now_ms < 600_000, "ten minutes are enough");
        }
    }

    /// The guest's answer to one request on a connection of its own.
    fn ask(&mut self, text: &str) -> String {
        self.client(text, true);
        self.live();
        String::from_utf8(self.clients.last().expect("it was just made").heard.clone()).expect("ASCII")
    }
}

fn bulk(bytes: usize) -> String {
    let mut text: String = (0..bytes.div_ceil(8)).map(|n| format!("{n:07x}\n")).collect();
    text.truncate(bytes);
    text
}

#[test]
fn a_bad_wire_shows_in_no_answer() {
    for (seed, harm) in [(1, 0), (2, 1), (3, 10), (4, 10), (5, 20)] {
        let mut world = World::new(seed, harm);
        for n in 0..20 {
            let text = format!("incr c{n}\n").repeat(60) + "bulk 20001\n" + &format!("get c{n}\necho on\n");
            world.client(&text, n % 2 == 0);
            if n % 2 == 1 {
                world.clients[n].to_send.extend(b"quit\n");
            }
        }
        world.live();
        for (n, client) in world.clients.iter().enumerate() {
            let counts: String = (1..=60).map(|count| format!("{count}\n")).collect();
            let end = if n % 2 == 0 { "" } else { "bye\n" };
            let expected = format!("{counts}{}60\non\n{end}", bulk(20_001));
            assert!(expected.as_bytes() == client.heard, "connection {n}: {} bytes", client.heard.len());
        }
        // The side that closes first stays in TIME-WAIT, and repeats a lost last segment.
        for _ in 0..20_000 {
            world.turn();
        }
        let stat = world.ask("stat\n");
        println!("harm {harm} %: {} frames in {} ms; {stat}", world.frames, world.now_ms);
        assert!(stat.starts_with("open=1 opened=21 "), "{stat}");
        assert_eq!(stat.contains(" timeouts=0 "), harm == 0, "{stat}");
    }
}

#[test]
fn a_client_that_does_not_read_stops_only_itself() {
    let mut world = World::new(6, 0);
    world.client("bulk 100000\n", true);
    let silent = world.clients.pop().expect("it was just made");
    for _ in 0..40_000 {
        world.turn();
    }
    let stat = world.ask("stat\n");
    assert!(stat.starts_with("open=2 opened=2 refused=0 reset=0 "), "it is still there: {stat}");
    world.clients.push(silent);
    world.live();
    assert!(bulk(100_000).as_bytes() == world.clients[1].heard, "{}", world.clients[1].heard.len());
}

/// A forged segment.
fn segment(repr: TcpRepr<'_>) -> Vec<u8> {
    use smoltcp::wire::{EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Repr};
    let payload_len = repr.buffer_len();
    let (src_addr, dst_addr) = (HOST, GUEST);
    let ip = Ipv4Repr { src_addr, dst_addr, next_header: IpProtocol::Tcp, payload_len, hop_limit: 64 };
    let mut frame = vec![0; 34 + payload_len];
    EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 0, 2]),
        dst_addr: EthernetAddress(crate::machine::config::MAC_DEFAULT),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut frame));
    let good = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &good);
    repr.emit(&mut TcpPacket::new_unchecked(&mut frame[34..]), &HOST.into(), &GUEST.into(), &good);
    frame
}

fn made_up(src_port: u16, dst_port: u16, control: TcpControl, ack: Option<i32>) -> TcpRepr<'static> {
    use smoltcp::wire::TcpSeqNumber;
    TcpRepr {
        src_port,
        dst_port,
        control,
        seq_number: TcpSeqNumber(1000),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 4000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    }
}

/// Control and numbers of what the guest says to a port of ours.
fn heard(frames: &[Vec<u8>], port: u16) -> Vec<(TcpControl, i32, Option<i32>)> {
    let parse = |frame: &Vec<u8>| {
        let ip = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
        let packet = TcpPacket::new_checked(ip.payload()).ok()?;
        let good = ChecksumCapabilities::default();
        let repr = TcpRepr::parse(&packet, &GUEST.into(), &HOST.into(), &good).ok()?;
        let of_port = repr.dst_port == port;
        of_port.then_some((repr.control, repr.seq_number.0, repr.ack_number.map(|ack| ack.0)))
    };
    frames.iter().filter_map(parse).collect()
}

#[test]
fn what_is_unknown_is_reset_and_a_full_table_refuses_no_client_for_good() {
    let mut world = World::new(7, 0);
    let mut tell = |repr| world.guest([segment(repr)].into());
    let said = tell(made_up(7, PORT + 1, TcpControl::Syn, None));
    assert_eq!(heard(&said, 7), [(TcpControl::Rst, 0, Some(1001))], "no server listens there");
    let said = tell(made_up(8, PORT, TcpControl::None, Some(77)));
    assert_eq!(heard(&said, 8), [(TcpControl::Rst, 77, None)], "no such connection");
    let said = tell(made_up(9, PORT, TcpControl::Rst, Some(77)));
    assert_eq!(heard(&said, 9), [], "a reset is not answered");
    // A client opens connections and never goes on.
    let mut taken = 0;
    for port in 1000..1600 {
        let said = tell(made_up(port, PORT, TcpControl::Syn, None));
        taken += usize::from(matches!(heard(&said, port)[..], [(TcpControl::Syn, _, Some(1001))]));
    }
    assert_eq!(taken, 512);
    for _ in 0..40_000 {
        world.turn();
    }
    assert_eq!(world.ask("incr here\n"), "1\n", "they are given up after a while");
}

#[test]
fn segments_that_make_no_sense_do_no_harm() {
    let mut world = World::new(8, 0);
    world.client(&"incr fine\n".repeat(2000), true);
    for _ in 0..20 {
        world.turn();
    }
    for round in 0..3000 {
        let mut repr = made_up(20_000, PORT, TcpControl::None, None);
        repr.control = [TcpControl::None, TcpControl::Syn, TcpControl::Fin, TcpControl::Rst]
            [world.prng.below(4) as usize];
        repr.seq_number.0 = world.prng.next_u64() as i32;
        repr.ack_number = Some(smoltcp::wire::TcpSeqNumber(world.prng.next_u64() as i32));
        repr.payload = &b"incr evil\nincr evil\n"[..world.prng.below(20) as usize];
        if world.prng.chance(1, 2) {
            repr.src_port = world.prng.next_u64() as u16 | 1;
        }
        let mut frame = segment(repr);
        if world.prng.chance(1, 3) {
            let at = world.prng.below(frame.len() as u64) as usize;
            frame[at] = world.prng.next_u64() as u8;
        }
        world.guest([frame].into());
        if round % 10 == 0 {
            world.turn();
        }
    }
    world.live();
    let counts: String = (1..=2000).map(|count| format!("{count}\n")).collect();
    assert!(counts.as_bytes() == world.clients[0].heard, "{} bytes", world.clients[0].heard.len());
}
