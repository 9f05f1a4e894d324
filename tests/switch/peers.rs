//! The switch over real sockets among peers that misbehave: they are closed and counted, and the VM
//! that behaves does not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{FakeVm, Log, TestSwitch, attach};
use lockstep::base::Prng;
use lockstep::host::switch::{BindError, SwitchServer, query};
use lockstep::net::ether::{self, Station};
use lockstep::net::fabric::{DropWhy, LEARNED_PER_PORT_MAX};
use lockstep::net::gateway::{GATEWAY_IP, GATEWAY_MAC, GUEST_IP};
use lockstep::net::{Attach, CloseWhy, FromSwitch, Mac, ToSwitch};
use smoltcp::wire::ArpOperation;

fn peer(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads until the switch closes; everything it said. A reset counts as closed.
fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let (mut said, mut scratch) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return said,
            Ok(n) => said.extend(&scratch[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("not closed: {error}"),
        }
    }
}

fn hello(attach: Attach) -> Vec<u8> {
    let mut bytes = Vec::new();
    ToSwitch::Attach(attach).encode(&mut bytes);
    bytes
}

fn echoes(switch: &TestSwitch, n: u32) {
    let client = switch.client();
    client.send(&n.to_le_bytes()).unwrap();
    let mut bytes = [0; 64];
    assert_eq!(client.recv(&mut bytes).unwrap(), 8);
    assert_eq!(bytes[4..8], n.to_le_bytes());
}

#[test]
fn garbage_lengths_and_versions_are_closed_with_a_reason() {
    let switch = TestSwitch::start();
    let _vm = FakeVm::boot(switch.at, Log::default(), 0);
    let mut newer = hello(attach(9));
    newer[9] = 200;
    let cases: [(&[u8], &str); 4] = [
        (&u32::MAX.to_le_bytes(), "4294967295 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes; at most"),
        (&newer, "version 200"),
        (&[5, 0, 0, 0, 99, 0, 0, 0, 0], "unknown kind 99"),
    ];
    for (bytes, reason) in cases {
        let mut stream = peer(switch.at);
        stream.write_all(bytes).unwrap();
        let said = until_closed(stream);
        let FromSwitch::Refused { why } = FromSwitch::decode(&said[4..]).unwrap() else { panic!("{said:?}") };
        assert!(why.contains(reason), "{why}");
    }
    for seed in 0..50 {
        let mut prng = Prng::new(seed);
        let mut bytes = vec![0; prng.between(1, 5000) as usize];
        prng.fill(&mut bytes);
        let mut stream = peer(switch.at);
        // It may be closed before all of it is written.
        stream.write_all(&bytes).ok();
        drop(stream);
    }
    // What comes before an attach, and a second one.
    for messages in [vec![ToSwitch::Ping], vec![ToSwitch::Attach(Attach { standby: true, ..attach(1) }); 2]] {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        let mut stream = peer(switch.at);
        stream.write_all(&bytes).unwrap();
        until_closed(stream);
    }
    echoes(&switch, 5);
    let closed = switch.stop().switch.closed;
    assert!(closed[&CloseWhy::Garbage] >= 4, "{closed:?}");
    assert_eq!(closed[&CloseWhy::OutOfTurn], 2);
}

#[test]
fn peers_that_stall_are_closed_and_those_that_attached_may_be_silent() {
    let switch = TestSwitch::start();
    let _vm = FakeVm::boot(switch.at, Log::default(), 0);
    let silent = peer(switch.at);
    let mut partial = peer(switch.at);
    partial.write_all(&hello(attach(1))[..20]).unwrap();
    let mut standby = peer(switch.at);
    standby.write_all(&hello(Attach { standby: true, ..attach(1) })).unwrap();
    let mut stalling = peer(switch.at);
    stalling.write_all(&hello(Attach { standby: true, ..attach(1) })).unwrap();
    stalling.write_all(&[200, 0]).unwrap();
    let begun = Instant::now();
    for stream in [silent, partial, stalling] {
        until_closed(stream);
    }
    assert!(begun.elapsed() > Duration::from_secs(3) && begun.elapsed() < Duration::from_secs(9));
    echoes(&switch, 5);
    let mut bytes = Vec::new();
    ToSwitch::Ping.encode(&mut bytes);
    standby.write_all(&bytes).unwrap();
    // `Attached` and `Pong` have come.
    let mut said = [0; 21 + 13];
    standby.read_exact(&mut said).unwrap();
    assert_eq!(switch.stop().switch.closed[&CloseWhy::Stalled], 3);
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_closed() {
    let switch = TestSwitch::start();
    let _vm = FakeVm::boot(switch.at, Log::default(), 0);
    let mut stream = peer(switch.at);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&hello(Attach { standby: true, ..attach(1) })).unwrap();
    let mut pings = Vec::new();
    (0..10_000).for_each(|_| ToSwitch::Ping.encode(&mut pings));
    let begun = Instant::now();
    while stream.write_all(&pings).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never closed");
    }
    echoes(&switch, 5);
    assert_eq!(switch.stop().switch.closed[&CloseWhy::SlowReader], 1);
}

#[test]
fn a_vm_that_does_not_read_keeps_a_bounded_queue_and_a_flood_is_dropped() {
    let switch = TestSwitch::start();
    let mut deaf = peer(switch.at);
    deaf.write_all(&hello(attach(1))).unwrap();
    let announce = lockstep::net::ether::arp(
        smoltcp::wire::ArpOperation::Request,
        lockstep::net::ether::Station { mac: attach(1).mac, ip: lockstep::net::gateway::GUEST_IP },
        lockstep::net::Mac::BROADCAST,
        lockstep::net::gateway::GUEST_IP,
    );
    let mut bytes = Vec::new();
    ToSwitch::Frame { generation: attach(1).generation, seq: 1, bytes: announce }.encode(&mut bytes);
    deaf.write_all(&bytes).unwrap();
    let client = switch.client();
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..20_000 {
        client.send(&[0; 1400]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    let status: serde_json::Value = serde_json::from_str(&query(switch.at).unwrap()).unwrap();
    let kv = &status["vms"]["kv"];
    assert_eq!(kv["waiting"], lockstep::net::inbound::FRAMES_MAX);
    assert!(kv["inbound"]["dropped_full"].as_u64().unwrap() > 1000, "{kv}");
    // A successor that does read gets what is kept, and new requests are answered.
    drop(deaf);
    let log = Log::default();
    let (port, events) = crate::support::port(switch.at, Attach { standby: true, ..attach(1) });
    let vm = FakeVm::take_over(port, events, 2, log.clone(), 0);
    std::thread::sleep(Duration::from_millis(200));
    echoes(&switch, 5);
    drop(vm);
    assert_eq!(log.lock().unwrap().len(), lockstep::net::inbound::FRAMES_MAX + 1);
}

/// What a broken guest sends, addressed to the gateway or to no station: runts, giants, the addresses
/// of the gateway and of another guest, many made-up ones, packets that are none, names asked for and doors
/// knocked at.
fn mad_frame(prng: &mut Prng, mac: Mac) -> Vec<u8> {
    let us = Station { mac, ip: "10.0.2.16".parse().unwrap() };
    let gateway = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };
    let mut payload = vec![0; prng.between(1, 1400) as usize];
    prng.fill(&mut payload);
    let port = prng.below(65536) as u16;
    let honest = ether::udp(us, port, gateway, port, &payload);
    let from = |mac: Mac| [&honest[..6], &mac.0, &honest[12..]].concat();
    match prng.below(9) {
        0 => honest[..prng.below(14) as usize].to_vec(),
        1 => vec![0x55; prng.between(1515, 60_000) as usize],
        2 => from(GATEWAY_MAC),
        3 => from(attach(1).mac),
        4 => from(Mac([2, 9, 0, prng.below(256) as u8, prng.below(256) as u8, 1])),
        5 => ether::arp(ArpOperation::Request, Station { ip: GATEWAY_IP, ..us }, GATEWAY_MAC, GUEST_IP),
        6 => [&honest[..14], &payload].concat(),
        7 => ether::udp(us, port, Station { ip: "10.0.2.3".parse().unwrap(), ..gateway }, 53, &payload),
        _ => honest,
    }
}

#[test]
fn a_guest_that_floods_and_spoofs_keeps_no_other_from_its_clients() {
    let switch = TestSwitch::start();
    let _vm = FakeVm::boot(switch.at, Log::default(), 0);
    echoes(&switch, 1);
    let done = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut stream = peer(switch.at);
            let mac = Mac([2, 0, 0, 0, 0, 66]);
            let attach = Attach { vm: "mad".into(), life: 3, mac, ..attach(1) };
            let generation = attach.generation;
            stream.write_all(&hello(attach)).unwrap();
            // It reads; the messages mean nothing to it.
            let mut told = stream.try_clone().unwrap();
            scope.spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
            let (mut prng, mut seq) = (Prng::new(1), 0);
            while !done.load(Ordering::Relaxed) || seq < 5_000 {
                let mut bytes = Vec::new();
                for _ in 0..50 {
                    seq += 1;
                    ToSwitch::Frame { generation, seq, bytes: mad_frame(&mut prng, mac) }.encode(&mut bytes);
                }
                stream.write_all(&bytes).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            seq
        });
        for n in 2..40 {
            echoes(&switch, n);
        }
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    echoes(&switch, 40);
    let gone = Instant::now() + Duration::from_secs(60);
    // Its end is heard after all that it said.
    loop {
        let status: serde_json::Value = serde_json::from_str(&query(switch.at).unwrap()).unwrap();
        if status["vms"]["mad"]["active"] == false {
            break;
        }
        assert!(Instant::now() < gone, "{status}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let report = switch.stop().switch;
    println!("{sent} frames: {:?} {:?}", report.dropped, report.gateway);
    for why in [DropWhy::Runt, DropWhy::Oversize, DropWhy::Spoofed, DropWhy::SpoofedIp] {
        assert!(report.dropped[&why] > 50, "{:?}", report.dropped);
    }
    assert_eq!(report.vms["mad"].fence.accepted, sent);
    assert!(report.addresses <= LEARNED_PER_PORT_MAX + 3, "{}", report.addresses);
    assert_eq!(report.vms["kv"].inbound.dropped_full, 0);
}

#[test]
fn a_switch_says_which_port_it_could_not_have() {
    let switch = TestSwitch::start();
    let error = SwitchServer::bind(switch.at, vec![]).err().unwrap();
    assert!(matches!(error, BindError::Listen { at, .. } if at == switch.at));
    let forward = format!("udp:{}=7", switch.service).parse().unwrap();
    let error = SwitchServer::bind("127.0.0.1:0".parse().unwrap(), vec![forward]).err().unwrap();
    assert!(error.to_string().contains(&switch.service.to_string()), "{error}");
}
