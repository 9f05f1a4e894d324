//! A switch in a thread, and fake VMs behind it: a guest that is a pure function of what it receives,
//! run by a "primary" that may say only what a shared "replicated log" could say, too.

use std::collections::{BTreeMap, VecDeque};

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use lockstep::base::{Generation, Prng};
use lockstep::host::port::PortEvent;
use lockstep::host::stop::{Stop, Stopper};
use lockstep::host::switch::{SwitchReport, SwitchServer};
use lockstep::lab::port::Listening;
use lockstep::net::ether::{self, Station};
use lockstep::net::gateway::{GATEWAY_IP, GATEWAY_MAC, GUEST_IP};
use lockstep::net::{Attach, Mac};
use smoltcp::wire::ArpOperation;

pub const MAC: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]);
const GUEST: Station = Station { mac: MAC, ip: GUEST_IP };
const GATEWAY: Station = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };
pub const GUEST_PORT: u16 = 7;

/// A running switch.
pub struct TestSwitch {
    pub at: SocketAddr,
    pub service: SocketAddr,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<SwitchReport>>,
}

impl TestSwitch {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(at: SocketAddr) -> Self {
        let forward = format!("udp:127.0.0.1:0={GUEST_PORT}").parse().unwrap();
        let mut server = SwitchServer::bind(at, vec![forward]).unwrap();
        let (at, service) = (server.local_addr().unwrap(), server.forward_addr(0).unwrap());
        let (stopper, stop) = Stop::pair().unwrap();
        let thread = std::thread::spawn(move || server.run(&stop).unwrap());
        Self { at, service, stopper: Some(stopper), thread: Some(thread) }
    }

    pub fn stop(mut self) -> SwitchReport {
        drop(self.stopper.take());
        self.thread.take().unwrap().join().unwrap()
    }

    /// A client of the guest's service.
    pub fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.service).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }
}

/// The guest: answers each datagram with its own count of datagrams and the same bytes; or, when
/// there is more than a number in it, as a `kv` that knows nothing but `PING`, `SET`, `GET`, `INCR` and `DEL`.
#[derive(Default)]
pub struct Guest {
    tx_seq: u64,
    count: u32,
    keys: BTreeMap<String, String>,
    /// What was answered to a request (client's port, id), so that none is done twice.
    answers: BTreeMap<(u16, String), String>,
}

impl Guest {
    /// The frames that it sends when it boots.
    pub fn boot(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.say(ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, GUEST_IP))
    }

    /// The frames that it sends when it receives `frame`.
    pub fn hear(&mut self, frame: &[u8]) -> Vec<(u64, Vec<u8>)> {
        if frame[12..14] == [8, 6] {
            return self.say(ether::arp(ArpOperation::Reply, GUEST, GATEWAY_MAC, GATEWAY_IP));
        }
        self.count += 1;
        let port = u16::from_be_bytes([frame[34], frame[35]]);
        let text = std::str::from_utf8(&frame[42..]).ok().filter(|text| text.len() > 4);
        let answer = match text.and_then(|text| text.split_once(' ')) {
            Some((id, text)) => self.kv(port, id, text).into_bytes(),
            None => [&self.count.to_le_bytes()[..], &frame[42..]].concat(),
        };
        self.say(ether::udp(GUEST, GUEST_PORT, GATEWAY, port, &answer))
    }

    fn kv(&mut self, port: u16, id: &str, text: &str) -> String {
        let request = (port, id.to_string());
        if let Some(answer) = self.answers.get(&request) {
            return format!("{id} {answer}");
        }
        let keys = &mut self.keys;
        let words: Vec<&str> = text.splitn(3, ' ').collect();
        let answer = match words[..] {
            ["PING"] => "PONG".into(),
            ["SET", key, value] => {
                keys.insert(key.into(), value.into());
                "OK".into()
            }
            ["GET", key] => keys.get(key).map_or("NONE".into(), |value| format!("VALUE {value}")),
            ["INCR", key] => {
                let count = keys.get(key).map_or(0, |value| value.parse::<u64>().unwrap()) + 1;
                keys.insert(key.into(), count.to_string());
                format!("VALUE {count}")
            }
            ["DEL", key] => if keys.remove(key).is_some() { "OK" } else { "NONE" }.to_string(),
            _ => "ERR unknown".into(),
        };
        self.answers.insert(request, answer.clone());
        format!("{id} {answer}")
    }

    fn say(&mut self, frame: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
        self.tx_seq += 1;
        vec![(self.tx_seq, frame)]
    }
}

/// What backup and primary both have: the frames that the guest has heard.
pub type Log = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

pub fn attach(generation: u64) -> Attach {
    Attach {
        vm: "kv".into(),
        life: 77,
        mac: MAC,
        generation: Generation(generation),
        standby: false,
        rx_seq_last: 0,
        tx_seq_last: 0,
    }
}

/// A port whose events come through a channel.
pub fn port(at: SocketAddr, attach: Attach) -> (Listening, Receiver<PortEvent>) {
    let (sender, events) = bounded(1024);
    (Listening::connect(at, attach, move |event| sender.send(event).is_ok()).unwrap(), events)
}

pub fn expect_event(events: &Receiver<PortEvent>, mut wanted: impl FnMut(&PortEvent) -> bool) -> PortEvent {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let event = events.recv_deadline(deadline).expect("the event comes");
        if wanted(&event) {
            return event;
        }
    }
}

/// A primary, in a thread, until it is killed (or fenced).
pub struct FakeVm {
    kill: Option<crossbeam_channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeVm {
    /// Boots the guest under generation 1.
    pub fn boot(at: SocketAddr, log: Log, lag: u64) -> Self {
        let (port, events) = port(at, attach(1));
        let mut guest = Guest::default();
        for (seq, frame) in guest.boot() {
            port.send(seq, &frame).unwrap();
        }
        Self::run(port, events, guest, log, lag)
    }

    /// Takes over: replays the log, and says again whatever may not have left.
    pub fn take_over(
        port: Listening,
        events: Receiver<PortEvent>,
        generation: u64,
        log: Log,
        lag: u64,
    ) -> Self {
        let mut guest = Guest::default();
        let mut outputs = guest.boot();
        let mut rx_seq_last = 0;
        for (rx_seq, frame) in log.lock().unwrap().iter() {
            outputs.extend(guest.hear(frame));
            rx_seq_last = *rx_seq;
        }
        port.activate(Generation(generation), rx_seq_last);
        let keep = outputs.len().saturating_sub(1000);
        for (seq, frame) in &outputs[keep..] {
            port.send(*seq, frame).unwrap();
        }
        Self::run(port, events, guest, log, lag)
    }

    /// Each frame heard is replicated `lag` frames late (or when nothing else comes); only then
    /// leave the answers to it.
    fn run(port: Listening, events: Receiver<PortEvent>, mut guest: Guest, log: Log, lag: u64) -> Self {
        let (kill, killed) = bounded::<()>(0);
        let thread = std::thread::spawn(move || {
            let mut held = VecDeque::new();
            let mut prng = Prng::new(lag);
            loop {
                crossbeam_channel::select_biased! {
                    recv(killed) -> _ => return,
                    recv(events) -> event => match event {
                        Ok(PortEvent::Frame { rx_seq, frame }) => {
                            let outputs = guest.hear(&frame);
                            held.push_back((rx_seq, frame, outputs));
                        }
                        Ok(PortEvent::Fenced { .. }) | Err(_) => return,
                        Ok(_) => {}
                    },
                    default(Duration::from_micros(if held.is_empty() { 100_000 } else { 200 })) => {}
                }
                let keep = if events.is_empty() { 0 } else { prng.between(0, lag) as usize };
                while held.len() > keep {
                    let (rx_seq, frame, outputs) = held.pop_front().unwrap();
                    log.lock().unwrap().push((rx_seq, frame));
                    port.received(rx_seq);
                    // Killed between replicating and sending: the successor must say it.
                    if lag > 0 && killed.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
                        return;
                    }
                    for (seq, frame) in outputs {
                        port.send(seq, &frame).unwrap();
                    }
                }
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

impl Drop for FakeVm {
    fn drop(&mut self) {
        self.die();
    }
}
