//! Fifty connections over takeovers: none is broken, and no answer lost, repeated or out of order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::guest::{COUNT, Machine, Node, SOURCE, TestSwitch, hears, lock, until};

const CLIENTS: usize = 50;
const KILLS: u64 = 25;

#[test]
fn fifty_connections_outlive_twenty_five_kills() {
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let mut node = Node::boot(switch.at, &machine);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut stream, done) = (switch.client(COUNT), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut sent, mut heard) = (0u64, 0u64);
                let (mut last, mut gap) = (Instant::now(), Duration::ZERO);
                while !done.load(Ordering::Relaxed) || heard < sent {
                    while sent < heard + 8 && !done.load(Ordering::Relaxed) {
                        stream.write_all(b"incr\n").unwrap();
                        sent += 1;
                    }
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    heard += 1;
                    assert_eq!(line, format!("{heard}\n"), "in order, each once");
                    gap = gap.max(last.elapsed());
                    last = Instant::now();
                }
                (heard, gap)
            })
        })
        .collect();
    for generation in 2..2 + KILLS {
        let standby = Node::standby(switch.at, generation - 1);
        std::thread::sleep(Duration::from_millis(40 + generation));
        node.kill();
        // As long as it takes to notice.
        std::thread::sleep(Duration::from_millis(5));
        node = Node::take_over(standby, generation, &machine);
    }
    std::thread::sleep(Duration::from_millis(100));
    done.store(true, Ordering::Relaxed);
    let (mut total, mut gaps) = (0, Vec::new());
    for client in clients {
        let (heard, gap) = client.join().expect("no connection breaks");
        total += heard;
        gaps.push(gap);
    }
    gaps.sort();
    println!(
        "{total} answers over {KILLS} kills; longest gap of a client: median {:?}, max {:?}",
        gaps[CLIENTS / 2],
        gaps[CLIENTS - 1]
    );
    drop(node);
    let report = switch.stop();
    let (vm, tcp) = (&report.switch.vms["tcp"], report.switch.gateway.tcp);
    println!("{:?} {:?} {tcp:?}", vm.fence, vm.inbound);
    assert_eq!((vm.generation, vm.fence.gaps), (1 + KILLS, 0));
    assert!(vm.inbound.resent > 0 && vm.fence.duplicates > 0, "the kills hit something");
    assert_eq!((tcp.opened, tcp.reset_by_guest, tcp.unanswered), (CLIENTS as u64, 0, 0), "{tcp:?}");
    assert!(total > 2000, "{total}");
}

/// Some go while no node runs the guest, in the middle of what they send or receive, and some come.
#[test]
fn clients_that_reset_in_the_middle_of_a_takeover_disturb_no_other() {
    const TAKEOVERS: u64 = 5;
    let (switch, machine) = (TestSwitch::start(), Machine::shared());
    let mut node = Node::boot(switch.at, &machine);
    let mut honest: Vec<TcpStream> = (0..10).map(|_| switch.client(COUNT)).collect();
    for generation in 2..2 + TAKEOVERS {
        let standby = Node::standby(switch.at, generation - 1);
        let mut asking: Vec<TcpStream> = (0..10).map(|_| switch.client(COUNT)).collect();
        let hearing: Vec<TcpStream> = (0..3).map(|_| switch.client(SOURCE)).collect();
        for stream in asking.iter_mut().chain(&mut honest) {
            stream.write_all(b"incr\n").unwrap();
        }
        node.kill();
        // What is on its way to a guest that no node runs is given up with its connection.
        for stream in asking.iter_mut() {
            stream.write_all(&[b'x'; 20_000]).unwrap();
        }
        for stream in asking.iter().chain(&hearing) {
            set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
        }
        drop((asking, hearing));
        let mut late: Vec<TcpStream> = (0..5).map(|_| switch.client(COUNT)).collect();
        for stream in late.iter_mut() {
            stream.write_all(b"incr\n").unwrap();
        }
        let gone = switch.client(COUNT);
        set_socket_linger(&gone, Some(Duration::ZERO)).unwrap();
        drop(gone);
        std::thread::sleep(Duration::from_millis(20));
        node = Node::take_over(standby, generation, &machine);
        honest.iter_mut().for_each(|stream| hears(stream, generation - 1));
        late.iter_mut().for_each(|stream| hears(stream, 1));
        drop(late);
        until("the guest sees which connections are gone", || lock(&machine).open == honest.len());
    }
    drop(node);
    let tcp = switch.stop().switch.gateway.tcp;
    println!("{tcp:?}");
    assert_eq!((tcp.open, tcp.reset_by_guest, tcp.unanswered), (honest.len() as u64, 0, 0), "{tcp:?}");
    assert!(tcp.reset_by_client >= 13 * TAKEOVERS, "{tcp:?}");
}
