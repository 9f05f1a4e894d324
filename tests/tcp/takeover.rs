//! Fifty connections over takeovers: none is broken, and no answer lost, repeated or out of order.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::guest::{COUNT, Machine, Node, TestSwitch};

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
