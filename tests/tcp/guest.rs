//! A guest that speaks TCP, and the nodes that run it.
//!
//! [`Machine`] is what a pair replicates: the guest's whole TCP state, the number of the last frame it
//! heard, and the frames that it said. A [`Node`] runs it until it is killed; a frame is replicated once
//! the machine has it, and what the machine said may not have left when its node is killed: the successor
//! sends it again. What reached a node and not the machine is lost with the node.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use lockstep::base::{Generation, Prng};
use lockstep::host::port::PortEvent;
use lockstep::host::stop::{Stop, Stopper};
use lockstep::host::switch::{SwitchOptions, SwitchReport, SwitchServer};
use lockstep::lab::port::Listening;
use lockstep::net::wire::Wire;
use lockstep::net::{Attach, Mac};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpCidr, IpEndpoint,
    IpProtocol, Ipv4Packet, TcpPacket,
};

pub const MAC: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]);
/// Answers each line with the number of lines on this connection.
pub const COUNT: u16 = 80;
/// Never reads.
pub const DEAF: u16 = 81;
/// Says `BULK` bytes, then ends.
pub const SOURCE: u16 = 82;
/// Reads to the end, then says how many bytes there were, and ends.
pub const SINK: u16 = 83;
/// Resets every connection at its first byte.
pub const RUDE: u16 = 84;
/// Says `bye` and ends at once, but reads on and then tells in [`Machine::sunk`] how much it read.
pub const EARLY: u16 = 85;
/// No server listens.
pub const CLOSED: u16 = 99;
pub const BULK: usize = 40 << 20;

const RING: usize = 64 << 10;
/// Sockets that listen at once for each port; one that is taken is replaced before the next frame is
/// heard, so a client is never refused for want of one: a kernel's backlog is longer than any test here.
const BACKLOG: usize = 4;

#[derive(Default)]
struct Served {
    lines: u64,
    bytes: usize,
    said: usize,
    pending: Vec<u8>,
}

pub struct Machine {
    iface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    served: BTreeMap<SocketHandle, (u16, Served)>,
    started: Instant,
    rx_seq_last: u64,
    tx_seq: u64,
    /// What it said, the newest last; enough of it that a successor can say again what may not have left.
    said: VecDeque<(u64, Vec<u8>)>,
    pub sunk: Vec<usize>,
    /// Sockets in use now.
    pub open: usize,
}

pub type Shared = Arc<Mutex<Machine>>;

impl Machine {
    pub fn shared() -> Shared {
        let mut wire = Wire::new(256);
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC.0)));
        let mut iface = Interface::new(config, &mut wire, Clock::ZERO);
        iface.update_ip_addrs(|ips| ips.push(IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24)).unwrap());
        iface.routes_mut().add_default_ipv4_route("10.0.2.2".parse().unwrap()).unwrap();
        let mut machine = Machine {
            iface,
            wire,
            sockets: SocketSet::new(vec![]),
            served: BTreeMap::new(),
            started: Instant::now(),
            rx_seq_last: 0,
            tx_seq: 0,
            said: VecDeque::new(),
            sunk: Vec::new(),
            open: 0,
        };
        machine.keep_listening();
        Arc::new(Mutex::new(machine))
    }

    fn socket() -> Socket<'static> {
        let ring = || SocketBuffer::new(vec![0; RING]);
        let mut socket = Socket::new(ring(), ring());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket
    }

    fn keep_listening(&mut self) {
        for port in [COUNT, DEAF, SOURCE, SINK, RUDE, EARLY] {
            let listening = self.served.iter().filter(|(handle, (at, _))| {
                *at == port && self.sockets.get::<Socket>(**handle).state() == State::Listen
            });
            for _ in listening.count()..BACKLOG {
                let mut socket = Self::socket();
                socket.listen(port).unwrap();
                let handle = self.sockets.add(socket);
                self.served.insert(handle, (port, Served::default()));
            }
        }
    }

    /// Connects from inside the guest; the socket is [`Machine::outbound`]'s.
    pub fn connect(&mut self, to: IpEndpoint, port: u16) -> SocketHandle {
        let mut socket = Self::socket();
        socket.connect(self.iface.context(), to, port).unwrap();
        self.sockets.add(socket)
    }

    pub fn outbound(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Hears frames, lets the services work, and notes what is said: returned with its numbers.
    fn step(&mut self, frames: &mut Vec<(u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
        let now = Clock::from_micros(self.started.elapsed().as_micros() as i64);
        for (rx_seq, frame) in frames.drain(..) {
            self.rx_seq_last = rx_seq;
            let opens = opens(&frame);
            self.wire.inward.push_back(frame);
            if opens {
                self.iface.poll(now, &mut self.wire, &mut self.sockets);
                self.keep_listening();
            }
        }
        self.iface.poll(now, &mut self.wire, &mut self.sockets);
        self.serve();
        self.iface.poll(now, &mut self.wire, &mut self.sockets);
        let mut fresh = Vec::new();
        for frame in self.wire.outward.drain(..) {
            self.tx_seq += 1;
            fresh.push((self.tx_seq, frame));
        }
        self.said.extend(fresh.iter().cloned());
        while self.said.len() > 2000 {
            self.said.pop_front();
        }
        fresh
    }

    fn serve(&mut self) {
        let mut over = Vec::new();
        for (handle, (port, served)) in &mut self.served {
            let socket = self.sockets.get_mut::<Socket>(*handle);
            match socket.state() {
                State::Listen | State::SynReceived => continue,
                // What came with the client's end is read below, and first.
                State::TimeWait if socket.can_recv() => {}
                State::Closed | State::TimeWait => {
                    over.push(*handle);
                    continue;
                }
                _ => {}
            }
            let ended = !socket.may_recv();
            if *port != DEAF && socket.can_recv() {
                socket
                    .recv(|bytes| {
                        served.bytes += bytes.len();
                        for _ in bytes.iter().filter(|byte| **byte == b'\n') {
                            served.lines += 1;
                            if *port == COUNT {
                                served.pending.extend(format!("{}\n", served.lines).bytes());
                            }
                        }
                        (bytes.len(), ())
                    })
                    .unwrap();
            }
            match *port {
                RUDE if served.bytes > 0 => socket.abort(),
                SOURCE => {
                    while socket.can_send() && served.said < BULK {
                        let n = socket
                            .send(|room| {
                                let n = room.len().min(BULK - served.said);
                                room[..n].fill(served.said as u8);
                                (n, n)
                            })
                            .unwrap();
                        served.said += n;
                    }
                    if served.said == BULK {
                        socket.close();
                    }
                }
                SINK if ended && socket.may_send() => {
                    let text = served.bytes.to_string();
                    socket.send_slice(text.as_bytes()).unwrap();
                    socket.close();
                }
                EARLY if served.said == 0 && socket.can_send() => {
                    served.said = socket.send_slice(b"bye").unwrap();
                    socket.close();
                }
                COUNT => {
                    if socket.can_send() {
                        let sent = socket.send_slice(&served.pending).unwrap();
                        served.pending.drain(..sent);
                    }
                    if ended && served.pending.is_empty() {
                        socket.close();
                    }
                }
                _ => {}
            }
        }
        for handle in over {
            let (port, served) = self.served.remove(&handle).unwrap();
            if port == EARLY {
                self.sunk.push(served.bytes);
            }
            self.sockets.remove(handle);
        }
        self.keep_listening();
        let listens = |handle| self.sockets.get::<Socket>(handle).state() == State::Listen;
        self.open = self.served.keys().filter(|handle| !listens(**handle)).count();
    }
}

/// Whether a frame is the first of a connection.
fn opens(frame: &[u8]) -> bool {
    let packet =
        EthernetFrame::new_checked(frame).ok().filter(|frame| frame.ethertype() == EthernetProtocol::Ipv4);
    let packet = packet.as_ref().and_then(|frame| Ipv4Packet::new_checked(frame.payload()).ok());
    let packet = packet.filter(|packet| packet.next_header() == IpProtocol::Tcp);
    let segment = packet.as_ref().and_then(|packet| TcpPacket::new_checked(packet.payload()).ok());
    segment.is_some_and(|segment| segment.syn() && !segment.ack())
}

pub fn attach(generation: u64) -> Attach {
    Attach {
        vm: "tcp".into(),
        life: 5,
        mac: MAC,
        generation: Generation(generation),
        standby: false,
        rx_seq_last: 0,
        tx_seq_last: 0,
    }
}

/// A node in a thread.
pub struct Node {
    kill: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn boot(at: SocketAddr, machine: &Shared) -> Self {
        let (sender, events) = bounded(4096);
        let port = Listening::connect(at, attach(1), move |event| sender.send(event).is_ok()).unwrap();
        Self::run(port, events, Arc::clone(machine))
    }

    /// A standby, which hears nothing until it takes over.
    pub fn standby(at: SocketAddr, generation: u64) -> (Listening, Receiver<PortEvent>) {
        let (sender, events) = bounded(4096);
        let attach = Attach { standby: true, ..attach(generation) };
        let port = Listening::connect(at, attach, move |event| sender.send(event).is_ok()).unwrap();
        (port, events)
    }

    pub fn take_over(
        (port, events): (Listening, Receiver<PortEvent>),
        generation: u64,
        machine: &Shared,
    ) -> Self {
        let (rx_seq_last, said) = {
            let machine = lock(machine);
            (machine.rx_seq_last, machine.said.iter().cloned().collect::<Vec<_>>())
        };
        port.activate(Generation(generation), rx_seq_last);
        send(&port, &said);
        Self::run(port, events, Arc::clone(machine))
    }

    fn run(port: Listening, events: Receiver<PortEvent>, machine: Shared) -> Self {
        let (kill, killed) = bounded::<()>(0);
        let thread = std::thread::spawn(move || {
            let mut prng = Prng::new(7);
            let mut frames = Vec::new();
            loop {
                let first = events.recv_timeout(Duration::from_millis(1));
                for event in first.into_iter().chain(events.try_iter().take(256)) {
                    match event {
                        PortEvent::Frame { rx_seq, frame } => frames.push((rx_seq, frame)),
                        PortEvent::Fenced { .. } => return,
                        _ => {}
                    }
                }
                let dead = || killed.try_recv() == Err(TryRecvError::Disconnected);
                // Killed with frames that it has received and the machine has not.
                if dead() {
                    return;
                }
                let last = frames.last().map(|(rx_seq, _)| *rx_seq);
                let fresh = lock(&machine).step(&mut frames);
                if let Some(last) = last {
                    port.received(last);
                }
                // Killed with frames that the machine has sent and the switch has not received.
                if dead() && prng.chance(1, 2) {
                    return;
                }
                send(&port, &fresh);
            }
        });
        Self { kill: Some(kill), thread: Some(thread) }
    }

    /// Ends at once: nothing more leaves, and its connection is closed.
    pub fn kill(mut self) {
        self.die();
    }

    fn die(&mut self) {
        drop(self.kill.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.die();
    }
}

fn send(port: &Listening, frames: &[(u64, Vec<u8>)]) {
    for (seq, frame) in frames {
        // When too much is kept the output waits, as in a node.
        while port.send(*seq, frame).is_err() {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

pub fn lock(machine: &Shared) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap()
}

/// A running switch with a port for each service.
pub struct TestSwitch {
    pub at: SocketAddr,
    addresses: BTreeMap<u16, SocketAddr>,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<SwitchReport>>,
}

impl TestSwitch {
    pub fn start() -> Self {
        Self::with(SwitchOptions::default())
    }

    pub fn with(options: SwitchOptions) -> Self {
        let ports = [COUNT, DEAF, SOURCE, SINK, RUDE, EARLY, CLOSED];
        let forwards = ports.map(|port| format!("tcp:127.0.0.1:0={port}").parse().unwrap()).to_vec();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut server = SwitchServer::open(listen, SwitchOptions { forwards, ..options }).unwrap();
        let addresses =
            ports.iter().enumerate().map(|(n, port)| (*port, server.forward_addr(n).unwrap())).collect();
        let at = server.local_addr().unwrap();
        let (stopper, stop) = Stop::pair().unwrap();
        let thread = std::thread::spawn(move || server.run(&stop).unwrap());
        Self { at, addresses, stopper: Some(stopper), thread: Some(thread) }
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        self.addresses[&port]
    }

    /// A client of the guest's `port`.
    pub fn client(&self, port: u16) -> TcpStream {
        let stream = TcpStream::connect(self.address(port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub fn stop(mut self) -> SwitchReport {
        drop(self.stopper.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The next answer of [`COUNT`] is `n`.
#[track_caller]
pub fn hears(mut stream: impl Read, n: u64) {
    let expected = format!("{n}\n");
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected.as_bytes());
}

/// Waits until something holds that another thread makes true.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
