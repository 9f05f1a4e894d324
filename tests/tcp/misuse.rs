//! Clients that do what clients do at their worst, and a client beside them that notices nothing.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use lockstep::host::switch::query;
use rustix::net::sockopt::set_socket_linger;

use crate::guest::{COUNT, DEAF, Machine, Node, SOURCE, TestSwitch, hears, lock, until};

fn counts(stream: &mut TcpStream, n: u64) {
    stream.write_all(b"\n").unwrap();
    hears(stream, n);
}

#[test]
fn three_hundred_at_once_and_three_thousand_over_time() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut all: Vec<TcpStream> = (0..300).map(|_| switch.client(COUNT)).collect();
    for n in 1..=3 {
        all.iter_mut().for_each(|stream| counts(stream, n));
    }
    assert_eq!(lock(&machine).open, 300);
    drop(all);
    until("all are gone", || lock(&machine).open == 0);
    for n in 0..3000 {
        let mut stream = switch.client(COUNT);
        counts(&mut stream, 1);
        if n % 3 == 0 {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }
    until("all are gone", || lock(&machine).open == 0);
    let tcp = switch.stop().switch.gateway.tcp;
    assert_eq!((tcp.opened, tcp.open, tcp.refused_full), (3300, 0, 0), "{tcp:?}");
    assert_eq!((tcp.finished, tcp.reset_by_client), (2300, 1000), "{tcp:?}");
}

#[test]
fn clients_that_send_nothing_or_read_nothing_hurt_no_other() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut honest = switch.client(COUNT);
    counts(&mut honest, 1);
    let silent: Vec<TcpStream> = (0..50).map(|_| switch.client(COUNT)).collect();
    // They never read what the guest says in bulk.
    let deaf: Vec<TcpStream> = (0..20).map(|_| switch.client(SOURCE)).collect();
    // And these say more than a guest takes that never reads.
    let loud: Vec<TcpStream> = (0..20).map(|_| switch.client(DEAF)).collect();
    let mut taken = 0;
    for stream in &loud {
        stream.set_nonblocking(true).unwrap();
    }
    for _ in 0..40 {
        for mut stream in &loud {
            match stream.write(&[1; 65536]) {
                Ok(n) => taken += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{} KB were taken from each client that the guest does not hear", taken / loud.len() / 1024);
    for n in 2..300 {
        counts(&mut honest, n);
    }
    let status = query(switch.at).unwrap();
    assert!(status.contains("\"open\":91"), "{status}");
    drop((silent, deaf, loud));
    counts(&mut honest, 300);
    until("they are gone", || lock(&machine).open <= 21);
    assert!(switch.stop().switch.vms["tcp"].inbound.dropped_full == 0);
}

#[test]
fn a_switch_that_has_nothing_to_do_does_nothing() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let _node = Node::boot(switch.at, &machine);
    let mut clients: Vec<TcpStream> = (0..20).map(|_| switch.client(COUNT)).collect();
    clients.iter_mut().for_each(|stream| counts(stream, 1));
    std::thread::sleep(Duration::from_millis(500));
    let frames = |switch: &TestSwitch| {
        let status = query(switch.at).unwrap();
        let (_, rest) = status.split_once("\"segments_to_guest\":").unwrap();
        rest.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = frames(&switch);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(frames(&switch), before, "idle connections say nothing");
}
