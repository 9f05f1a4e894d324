//! What a client sees of the guest's TCP: as if the guest were the host.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lockstep::host::switch::SwitchOptions;
use lockstep::lab::cluster::free_tcp;
use rustix::net::sockopt::set_socket_linger;
use smoltcp::socket::tcp::State;

use crate::guest::{BULK, CLOSED, COUNT, EARLY, Machine, Node, RUDE, SINK, SOURCE, TestSwitch, lock, until};

#[test]
fn lines_are_answered_and_both_ends_end() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut stream = switch.client(COUNT);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut taken = Vec::new();
    for n in 1..=1000 {
        let begun = Instant::now();
        stream.write_all(b"x\n").unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{n}\n"));
        taken.push(begun.elapsed());
    }
    taken.sort();
    println!("there and back: p50 {:?}, p99 {:?}", taken[500], taken[990]);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
    drop((stream, reader));
    until("the guest is rid of it", || lock(&machine).open == 0);
    let tcp = switch.stop().switch.gateway.tcp;
    assert_eq!((tcp.opened, tcp.finished, tcp.open), (1, 1, 0), "{tcp:?}");
}

#[test]
fn bulk_goes_both_ways_without_loss() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let begun = Instant::now();
    let mut heard = Vec::new();
    switch.client(SOURCE).read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), BULK);
    let taken = begun.elapsed().as_secs_f64();
    println!("out of the guest: {:.2} Gbit/s", BULK as f64 * 8.0 / taken / 1e9);
    let mut stream = switch.client(SINK);
    let begun = Instant::now();
    stream.write_all(&heard).unwrap();
    // Half-closed: the guest still answers.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, BULK.to_string());
    println!("into the guest: {:.2} Gbit/s", BULK as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9);
    assert_eq!(switch.stop().switch.vms["tcp"].inbound.dropped_full, 0);
}

#[test]
fn a_guest_that_ends_first_still_hears_its_client() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut stream = switch.client(EARLY);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"bye");
    stream.write_all(&[1; 100_000]).unwrap();
    drop(stream);
    until("the guest has read it", || lock(&machine).sunk == [100_000]);
}

#[test]
fn a_refused_connection_is_reset_at_once() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let begun = Instant::now();
    let error = switch.client(CLOSED).read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(switch.stop().switch.gateway.tcp.refused_by_guest, 1);
}

#[test]
fn resets_go_both_ways() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut stream = switch.client(RUDE);
    stream.write_all(b"hello").unwrap();
    assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut stream = switch.client(COUNT);
    stream.write_all(b"\n").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    assert_eq!(lock(&machine).open, 1);
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
    until("the guest hears of it", || lock(&machine).open == 0);
    let tcp = switch.stop().switch.gateway.tcp;
    assert_eq!((tcp.reset_by_guest, tcp.reset_by_client), (1, 1), "{tcp:?}");
}

#[test]
fn the_guest_reaches_what_it_may_and_is_told_what_it_may_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = free_tcp().unwrap().port();
    let outbound = [port, closed].map(|port| format!("127.0.0.0/8:{port}").parse().unwrap()).to_vec();
    let (switch, machine) =
        (TestSwitch::with(SwitchOptions { outbound, ..SwitchOptions::default() }), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let to = |port: u16| (smoltcp::wire::IpAddress::v4(127, 0, 0, 1), port).into();
    let handle = lock(&machine).connect(to(port), 40_000);
    let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
    until("it is open", || lock(&machine).outbound(handle).state() == State::Established);
    lock(&machine).outbound(handle).send_slice(b"from inside").unwrap();
    let mut heard = [0; 11];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"from inside");
    stream.write_all(b"from outside").unwrap();
    until("it is heard", || lock(&machine).outbound(handle).recv_queue() == 12);
    drop(stream);
    until("its end is heard", || lock(&machine).outbound(handle).state() == State::CloseWait);
    lock(&machine).outbound(handle).close();
    // A port without a server, and one that is not allowed: both are refused at once.
    for (n, port) in [closed, port - 1].into_iter().enumerate() {
        let handle = lock(&machine).connect(to(port), 40_001 + n as u16);
        until("it is refused", || lock(&machine).outbound(handle).state() == State::Closed);
    }
    let gateway = switch.stop().switch.gateway;
    assert_eq!((gateway.tcp.opened_by_guest, gateway.outbound.refused), (2, 1), "{gateway:?}");
}
