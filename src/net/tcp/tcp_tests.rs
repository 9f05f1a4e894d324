//! Our end against a guest that is a second stack of the same kind, over a wire that loses, delays and
//! reorders by a seed; then against one that is hostile.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetFrame, HardwareAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Packet, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};

use super::link::Link;
use super::*;
use crate::base::Prng;
use crate::net::ether::{self, Mac, Station};

const OURS: Station = Station { mac: Mac([2, 0, 0, 0, 0, 2]), ip: Ipv4Address::new(10, 0, 2, 2) };
const GUEST: Station = Station { mac: Mac([2, 0, 0, 0, 0, 15]), ip: Ipv4Address::new(10, 0, 2, 15) };
const PORT: u16 = 80;

/// What the wire does to a frame.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// One frame in so many is lost; 0 for none.
    loss: u64,
    /// Frames take this long, and up to as much again.
    delay_ns: u64,
    reorder: bool,
}

/// Guest and gateway, and the time that both live in.
struct World {
    now: u64,
    tcp: Tcp,
    iface: Interface,
    sockets: SocketSet<'static>,
    /// (arrives at, for the guest, frame), in the order of sending.
    wire: VecDeque<(u64, bool, Vec<u8>)>,
    prng: Prng,
    weather: Weather,
    /// No node runs the guest: it does not move, and frames for it wait.
    absent: bool,
}

fn route(room: usize) -> Route {
    Route { from: OURS.mac, to: GUEST.mac, room }
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut tcp = Tcp::new(OURS.ip, seed, CONNECTIONS_MAX);
        tcp.set_present(0, true);
        let (mut frames, mut to) = (vec![], Route { from: GUEST.mac, to: OURS.mac, room: 1 });
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed ^ 1;
        let mut link = Link { packet: None, route: &mut to, frames: &mut frames };
        let mut iface = Interface::new(config, &mut link, Instant::ZERO);
        iface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(GUEST.ip.into(), 24)).unwrap());
        Self {
            now: 0,
            tcp,
            iface,
            sockets: SocketSet::new(vec![]),
            wire: VecDeque::new(),
            prng: Prng::new(seed),
            weather,
            absent: false,
        }
    }

    fn listen(&mut self, buffer: usize) -> SocketHandle {
        let ring = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(ring(), ring());
        socket.listen(PORT).unwrap();
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    fn guest(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn open(&mut self) -> ConnId {
        self.tcp.open(self.now, (GUEST.ip, PORT)).unwrap()
    }

    fn post(&mut self, for_guest: bool, frames: Vec<Vec<u8>>) {
        for frame in frames {
            if self.weather.loss > 0 && self.prng.chance(1, self.weather.loss) {
                continue;
            }
            let late = if self.weather.reorder { self.prng.below(self.weather.delay_ns + 1) } else { 0 };
            self.wire.push_back((self.now + self.weather.delay_ns + late, for_guest, frame));
        }
    }

    /// One step of 100 µs: frames arrive, both stacks move.
    fn step(&mut self) {
        self.now += 100_000;
        self.tcp.set_present(self.now, !self.absent);
        let mut waiting = VecDeque::new();
        let mut sent = (vec![], vec![]);
        let clock = Instant::from_micros((self.now / 1000) as i64);
        while let Some((at, for_guest, frame)) = self.wire.pop_front() {
            if at > self.now || (for_guest && self.absent) {
                waiting.push_back((at, for_guest, frame));
            } else if for_guest {
                let mut to = Route { from: GUEST.mac, to: OURS.mac, room: 100 };
                let mut link = Link { packet: Some(&frame[14..]), route: &mut to, frames: &mut sent.1 };
                self.iface.poll_ingress_single(clock, &mut link, &mut self.sockets);
            } else {
                self.tcp.packet(self.now, &frame[14..], &mut route(1), &mut sent.0);
            }
        }
        self.wire = waiting;
        self.tcp.expire(self.now);
        self.tcp.flush(self.now, &mut route(64), &mut sent.0);
        if !self.absent {
            let mut to = Route { from: GUEST.mac, to: OURS.mac, room: 100 };
            let mut link = Link { packet: None, route: &mut to, frames: &mut sent.1 };
            self.iface.poll_egress(clock, &mut link, &mut self.sockets);
        }
        self.post(true, sent.0);
        self.post(false, sent.1);
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms * 10 {
            self.step();
        }
    }

    /// Until it holds; at most a minute.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) -> u64 {
        let begun = self.now;
        while !holds(self) {
            assert!(self.now - begun < 60 * SECOND_NS, "{what}");
            self.step();
        }
        self.now - begun
    }

    fn phase(&self, id: ConnId) -> Option<Phase> {
        self.tcp.view(id).map(|view| view.phase)
    }

    fn connected(&mut self) -> (ConnId, SocketHandle) {
        let handle = self.listen(TO_GUEST_BYTES);
        let id = self.open();
        self.until("it opens for both", |world| {
            world.phase(id) == Some(Phase::Open) && world.guest(handle).state() == State::Established
        });
        (id, handle)
    }

    fn say(&mut self, id: ConnId, mut bytes: &[u8]) -> usize {
        self.tcp.fill(id, |room| {
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            n
        })
    }

    fn hear(&mut self, id: ConnId, at_most: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        self.tcp.drain(id, |bytes| {
            let n = bytes.len().min(at_most - heard.len());
            heard.extend(&bytes[..n]);
            n
        });
        heard
    }
}

/// Both directions at once, each byte checked, with an end in each.
fn transfer(seed: u64, weather: Weather, bytes: usize) -> World {
    let mut world = World::new(seed, weather);
    let (id, handle) = world.connected();
    let mut pattern = vec![0; bytes];
    Prng::new(seed).fill(&mut pattern);
    let (mut said, mut heard, mut echoed) = (0, Vec::new(), 0);
    let mut pending = VecDeque::new();
    let mut finished = false;
    while !(heard.len() == bytes && world.tcp.view(id).is_some_and(|view| view.guest_finished)) {
        assert!(world.now < 600 * SECOND_NS, "seed {seed}: {} of {bytes} after 10 minutes", heard.len());
        let chunk = world.prng.between(1, 5000) as usize;
        said += world.say(id, &pattern[said..(said + chunk).min(bytes)]);
        if said == bytes && !finished {
            world.tcp.finish(id);
            finished = true;
        }
        world.step();
        // The guest echoes.
        let guest = world.sockets.get_mut::<Socket>(handle);
        if guest.can_recv() {
            guest.recv(|bytes| (bytes.len(), pending.extend(bytes.iter().copied()))).unwrap();
        }
        let out: Vec<u8> = pending.iter().copied().collect();
        if guest.can_send() && !out.is_empty() {
            let sent = guest.send_slice(&out).unwrap();
            pending.drain(..sent);
            echoed += sent;
        }
        if echoed == bytes && guest.state() == State::CloseWait {
            guest.close();
        }
        heard.extend(world.hear(id, chunk));
        assert!(pattern.starts_with(&heard[heard.len().saturating_sub(chunk)..]) || heard.len() > chunk);
    }
    assert!(heard == pattern, "seed {seed}: what came back is what was said");
    world.tcp.release(id);
    world.until("it is forgotten", |world| world.phase(id).is_none());
    world
}

#[test]
fn bytes_go_both_ways_and_both_directions_end() {
    let world = transfer(1, Weather::default(), 3_000_000);
    let counts = world.tcp.counts();
    assert_eq!((counts.finished, counts.open, counts.lingering), (1, 0, 0));
    assert_eq!((counts.bytes_to_guest, counts.bytes_to_clients), (3_000_000, 3_000_000));
}

#[test]
fn loss_and_reordering_change_nothing_but_the_time() {
    for seed in 0..12 {
        let weather =
            Weather { loss: [0, 20, 50][seed as usize % 3], delay_ns: 300_000, reorder: seed % 2 == 0 };
        let world = transfer(seed, weather, 300_000);
        assert_eq!(world.tcp.counts().finished, 1, "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_conversation() {
    let weather = Weather { loss: 30, delay_ns: 200_000, reorder: true };
    let (one, other) = (transfer(7, weather, 100_000), transfer(7, weather, 100_000));
    assert_eq!((one.now, one.tcp.counts()), (other.now, other.tcp.counts()));
}

#[test]
fn a_guest_that_does_not_read_holds_its_client_back_and_nothing_is_lost() {
    let mut world = World::new(3, Weather::default());
    let handle = world.listen(1000);
    let id = world.open();
    world.until("it opens", |world| world.phase(id) == Some(Phase::Open));
    let mut said = 0;
    for _ in 0..100 {
        said += world.say(id, &[7; 10_000]);
        world.run(10);
    }
    assert_eq!(said, TO_GUEST_BYTES + 1000, "one window beyond what the guest has");
    assert_eq!(world.tcp.view(id).unwrap().room, 0);
    // It reads after a long time: everything comes.
    world.run(5000);
    let mut read = 0;
    let begun = world.now;
    while read < said {
        world.step();
        let guest = world.guest(handle);
        if guest.can_recv() {
            read += guest.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
        }
        assert!(world.now - begun < 10 * SECOND_NS, "{read} of {said}");
    }
    assert_eq!(world.phase(id), Some(Phase::Open));
}

#[test]
fn a_client_that_does_not_read_closes_the_guests_window() {
    let mut world = World::new(4, Weather::default());
    let (id, handle) = world.connected();
    let mut sent = 0;
    for _ in 0..300 {
        if world.guest(handle).can_send() {
            sent += world.guest(handle).send_slice(&[9; 10_000]).unwrap();
        }
        world.run(2);
    }
    assert_eq!(world.tcp.view(id).unwrap().waiting, TO_CLIENT_BYTES);
    assert_eq!(sent, TO_CLIENT_BYTES + TO_GUEST_BYTES, "the rest waits in the guest");
    let mut heard = 0;
    world.until("all of it is heard", |world| {
        heard += world.hear(id, 3000).len();
        heard == sent
    });
}

#[test]
fn each_direction_ends_by_itself() {
    let mut world = World::new(5, Weather::default());
    let (id, handle) = world.connected();
    world.say(id, b"the last words");
    world.tcp.finish(id);
    world.until("the guest hears the end", |world| world.guest(handle).state() == State::CloseWait);
    assert_eq!(world.guest(handle).recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"the last words");
    // A guest that goes on talking is heard.
    for _ in 0..20 {
        world.guest(handle).send_slice(&[1; 1000]).unwrap();
        world.run(500);
    }
    assert_eq!(world.hear(id, 100_000).len(), 20_000);
    assert!(!world.tcp.view(id).unwrap().guest_finished);
    world.guest(handle).close();
    world.until("we hear the end", |world| world.tcp.view(id).unwrap().guest_finished);
    assert_eq!(world.phase(id), Some(Phase::Closed(End::Finished)));
}

#[test]
fn the_guest_may_end_first_and_its_client_go_on() {
    let mut world = World::new(6, Weather::default());
    let (id, handle) = world.connected();
    world.guest(handle).send_slice(b"bye").unwrap();
    world.guest(handle).close();
    world.until("we hear the end", |world| world.tcp.view(id).unwrap().guest_finished);
    assert_eq!(world.tcp.view(id).unwrap().waiting, 3, "what came before the end waits for the client");
    assert_eq!(world.phase(id), Some(Phase::Open));
    world.say(id, b"one more thing");
    world.run(10);
    assert_eq!(world.guest(handle).recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"one more thing");
    world.tcp.finish(id);
    world.until("it is over", |world| world.phase(id) == Some(Phase::Closed(End::Finished)));
    assert_eq!(world.hear(id, 10), b"bye");
    world.tcp.release(id);
    world.until("it is forgotten", |world| world.phase(id).is_none());
}

#[test]
fn what_a_slow_client_has_not_read_outlives_the_end_of_the_connection() {
    let mut world = World::new(8, Weather::default());
    let (id, handle) = world.connected();
    world.tcp.finish(id);
    world.until("the guest hears", |world| world.guest(handle).state() == State::CloseWait);
    world.guest(handle).send_slice(&[5; 5000]).unwrap();
    world.guest(handle).close();
    world.run(60_000);
    assert_eq!(world.phase(id), Some(Phase::Closed(End::Finished)));
    assert_eq!(world.hear(id, 10_000).len(), 5000);
}

#[test]
fn a_closed_port_refuses_at_once() {
    let mut world = World::new(9, Weather::default());
    let id = world.open();
    let took = world.until("it is refused", |world| world.phase(id) == Some(Phase::Closed(End::Refused)));
    assert!(took < 10 * MILLISECOND_NS);
    world.tcp.release(id);
    world.run(1);
    assert_eq!(world.phase(id), None);
    assert_eq!(world.tcp.counts().refused_by_guest, 1);
}

#[test]
fn resets_go_both_ways() {
    let mut world = World::new(10, Weather::default());
    let (id, handle) = world.connected();
    world.guest(handle).abort();
    world.until("the reset comes", |world| world.phase(id) == Some(Phase::Closed(End::Reset)));
    world.tcp.release(id);
    let (id, handle) = world.connected();
    world.say(id, &[1; 3000]);
    world.tcp.abort(id);
    world.tcp.release(id);
    world.until("the guest hears", |world| world.guest(handle).state() == State::Closed);
    world.run(1);
    let counts = world.tcp.counts();
    assert_eq!((counts.reset_by_guest, counts.reset_by_client, counts.open), (1, 1, 0));
    assert_eq!(world.phase(id), None);
}

#[test]
fn a_guest_that_never_answers_is_given_up_in_bounded_time() {
    let mut world = World::new(11, Weather { loss: 1, ..Weather::default() });
    let id = world.open();
    let took = world.until("given up", |world| world.phase(id) == Some(Phase::Closed(End::Silent)));
    assert!((CONNECT_NS..CONNECT_NS + SECOND_NS).contains(&took));
}

#[test]
fn a_guest_that_stops_acknowledging_holds_a_bounded_amount_and_is_given_up() {
    let mut world = World::new(31, Weather::default());
    let ((talking, _), (idle, _)) = (world.connected(), world.connected());
    world.weather.loss = 1;
    let (begun, mut taken) = (world.now, 0);
    while [talking, idle].iter().any(|id| world.phase(*id) == Some(Phase::Open)) {
        assert!(world.now - begun < 2 * SILENT_NS, "{:?} {:?}", world.phase(talking), world.phase(idle));
        taken += world.say(talking, &[7; 65536]);
        world.now += 100 * MILLISECOND_NS;
        world.step();
    }
    for id in [talking, idle] {
        assert_eq!(world.phase(id), Some(Phase::Closed(End::Silent)));
        world.tcp.release(id);
        world.run(1);
    }
    assert_eq!(taken, TO_GUEST_BYTES, "no more than was promised is taken from the client");
    assert_eq!(world.tcp.counts().unanswered, 2);
}

#[test]
fn while_no_node_runs_the_guest_nothing_is_repeated_and_nothing_given_up() {
    let mut world = World::new(12, Weather::default());
    let (id, handle) = world.connected();
    world.say(id, b"asked before");
    world.absent = true;
    world.run(10);
    let sent = world.tcp.counts().segments_to_guest;
    world.run(20_000);
    assert_eq!(world.tcp.counts().segments_to_guest, sent, "the clock stands");
    world.absent = false;
    world.run(5);
    assert_eq!(world.guest(handle).recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"asked before");
    // For ever is too long, though.
    world.absent = true;
    world.run(59_000);
    assert_eq!(world.phase(id), Some(Phase::Open));
    world.until("given up", |world| world.phase(id) == Some(Phase::Closed(End::Silent)));
}

#[test]
fn what_a_takeover_lost_after_all_is_repeated_at_once_and_not_after_a_backed_off_timeout() {
    let mut world = World::new(13, Weather::default());
    let (id, handle) = world.connected();
    // A wire that loses everything for a while lets the timeout grow.
    world.weather.loss = 1;
    world.say(id, b"lost");
    world.run(7000);
    let before = world.tcp.counts().segments_to_guest;
    world.weather.loss = 0;
    world.tcp.guest_moved(world.now);
    let took = world.until("it comes", |world| world.guest(handle).can_recv());
    assert!(took <= KICK_NS + MILLISECOND_NS, "{took} ns");
    assert!(world.tcp.counts().segments_to_guest - before <= 2);
    assert_eq!(world.tcp.counts().kicked, 1);
    // One that was answered since is left alone.
    world.run(1000);
    world.tcp.guest_moved(world.now);
    world.run(100);
    assert_eq!(world.tcp.counts().kicked, 1);
}

#[test]
fn a_kick_ends_with_the_last_connection_that_needs_it() {
    let mut world = World::new(1, Weather::default());
    world.tcp.guest_moved(world.now);
    assert_eq!(world.tcp.next_timer(), None);
    let id = world.open();
    world.tcp.guest_moved(world.now);
    assert_eq!(world.tcp.next_timer(), Some(world.now + KICK_NS));
    // Its client leaves, and no way to the guest is known.
    world.tcp.release(id);
    world.tcp.expire(world.now + KICK_NS);
    assert_eq!(world.tcp.next_timer(), None);
}

#[test]
fn thousands_over_time_use_hundreds_of_places() {
    let mut world = World::new(14, Weather::default());
    for n in 0..3000u32 {
        let (id, handle) = world.connected();
        // Whichever side ends first, nothing is left behind.
        if n % 2 == 0 {
            world.tcp.finish(id);
            world.guest(handle).close();
        } else {
            world.guest(handle).close();
            world.run(1);
            world.tcp.finish(id);
        }
        world.until("it ends", |world| world.phase(id) == Some(Phase::Closed(End::Finished)));
        world.tcp.release(id);
        world.sockets.remove(handle);
    }
    let counts = world.tcp.counts();
    assert_eq!((counts.opened, counts.finished, counts.open), (3000, 3000, 0));
    assert!(counts.lingering <= LINGERING_MAX as u64, "{counts:?}");
    world.run(15_000);
    assert_eq!(world.tcp.counts().lingering, 0);
}

#[test]
fn beyond_the_limit_clients_are_refused_and_the_open_ones_go_on() {
    let mut tcp = Tcp::new(OURS.ip, 1, 3);
    let ids: Vec<_> = (0..3).map(|_| tcp.open(0, (GUEST.ip, PORT)).unwrap()).collect();
    assert_eq!(tcp.open(0, (GUEST.ip, PORT)), Err(OpenRefused::Full { max: 3 }));
    tcp.abort(ids[1]);
    tcp.release(ids[1]);
    assert!(tcp.open(0, (GUEST.ip, PORT)).is_ok(), "one that is over makes room");
    assert_eq!(tcp.counts().refused_full, 1);
}

#[test]
fn a_full_way_to_the_guest_stops_sending_and_every_connection_gets_its_turn() {
    let mut world = World::new(15, Weather::default());
    let pairs: Vec<_> = (0..8).map(|_| world.connected()).collect();
    for (id, _) in &pairs {
        world.say(*id, &[3; 20_000]);
    }
    let mut frames = vec![];
    world.tcp.flush(world.now, &mut route(10), &mut frames);
    assert_eq!(frames.len(), 10);
    world.tcp.flush(world.now, &mut route(0), &mut frames);
    assert_eq!(frames.len(), 10);
    world.post(true, frames);
    for (_, handle) in pairs {
        let mut read = 0;
        world.until("each gets through", |world| {
            let guest = world.guest(handle);
            if guest.can_recv() {
                read += guest.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
            }
            read == 20_000
        });
    }
}

/// A segment as a hostile guest would make it, with right checksums.
fn segment(repr: &TcpRepr) -> Vec<u8> {
    let to = OURS;
    ether::ipv4(GUEST, to, IpProtocol::Tcp, repr.buffer_len(), |bytes| {
        repr.emit(
            &mut TcpPacket::new_unchecked(bytes),
            &GUEST.ip.into(),
            &to.ip.into(),
            &smoltcp::phy::ChecksumCapabilities::default(),
        );
    })
}

#[test]
fn a_guest_that_says_anything_at_all_breaks_nothing_but_its_own_connections() {
    for seed in 0..400 {
        let mut world = World::new(seed, Weather::default());
        let (id, handle) = world.connected();
        world.say(id, &[1; 3000]);
        // Overheard: where the numbers are.
        let mut frames = vec![];
        world.tcp.flush(world.now, &mut route(8), &mut frames);
        let Some(overheard) = frames.first() else { panic!("it speaks") };
        let frame = EthernetFrame::new_checked(&overheard[..]).unwrap();
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        let heard = TcpPacket::new_checked(packet.payload()).unwrap();
        let (port, seq, ack) = (heard.src_port(), heard.seq_number(), heard.ack_number());
        let mut prng = Prng::new(seed);
        let data = vec![0xa5; 1400];
        for _ in 0..60 {
            let near = |prng: &mut Prng, base: TcpSeqNumber| match prng.below(4) {
                0 => base,
                1 => base + prng.below(5000) as usize,
                2 => TcpSeqNumber(base.0.wrapping_sub(prng.below(5000) as i32)),
                _ => TcpSeqNumber(prng.next_u64() as i32),
            };
            let control =
                [TcpControl::None, TcpControl::Psh, TcpControl::Fin, TcpControl::Syn, TcpControl::Rst]
                    [prng.below(5) as usize];
            let repr = TcpRepr {
                src_port: PORT,
                dst_port: port,
                control,
                seq_number: near(&mut prng, ack),
                ack_number: prng.chance(9, 10).then(|| near(&mut prng, seq)),
                window_len: prng.next_u64() as u16,
                window_scale: prng.chance(1, 4).then(|| prng.below(15) as u8),
                max_seg_size: prng.chance(1, 4).then(|| prng.next_u64() as u16),
                sack_permitted: prng.chance(1, 4),
                sack_ranges: [
                    prng.chance(1, 4).then(|| (prng.next_u64() as u32, prng.next_u64() as u32)),
                    None,
                    None,
                ],
                timestamp: None,
                payload: &data[..prng.below(1400) as usize],
            };
            let bytes = segment(&repr);
            world.tcp.packet(world.now, &bytes[14..], &mut route(1), &mut frames);
            world.step();
            world.hear(id, 1000);
        }
        for _ in 0..100 {
            let mut bytes = vec![0; prng.below(100) as usize];
            prng.fill(&mut bytes);
            world.tcp.packet(world.now, &bytes, &mut route(1), &mut frames);
        }
        // It still serves others.
        world.sockets.remove(handle);
        world.wire.clear();
        let (second, handle) = world.connected();
        world.say(second, b"hello");
        world.until("others are served", |world| world.guest(handle).can_recv());
    }
}
