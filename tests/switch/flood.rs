//! Clients that do nothing but connect.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep::host::port::PortEvent;

use crate::support::{FakeVm, Log, TestSwitch, attach, expect_event, port};

/// Connects as fast as it can, and holds the last few hundred connections.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(at: SocketAddr) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
                std::thread::spawn(move || {
                    let mut held = VecDeque::new();
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(200)) else {
                            continue;
                        };
                        made.fetch_add(1, Ordering::Relaxed);
                        held.push_back(stream);
                        if held.len() > 200 {
                            held.pop_front();
                        }
                    }
                })
            })
            .collect();
        Self { stop, made, threads }
    }

    fn await_connections(&self, n: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.made.load(Ordering::Relaxed) < n {
            assert!(Instant::now() < deadline, "the flood does not get through");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn asked(switch: &TestSwitch, n: u32) {
    let client = switch.client();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (mut answer, deadline) = ([0; 64], Instant::now() + Duration::from_secs(10));
    loop {
        client.send(&n.to_le_bytes()).unwrap();
        if client.recv(&mut answer).is_ok_and(|len| len == 8 && answer[4..8] == n.to_le_bytes()) {
            return;
        }
        assert!(Instant::now() < deadline, "no answer to {n}");
    }
}

#[test]
fn a_flood_of_connections_holds_up_neither_a_takeover_nor_a_newcomer_with_a_name() {
    let switch = TestSwitch::start();
    let log = Log::default();
    let mut vm = FakeVm::boot(switch.at, Log::clone(&log), 0);
    asked(&switch, 1);
    let flood = Flood::start(switch.at);
    // More than the switch has places for, and more than may say nothing at once.
    flood.await_connections(1000);
    for generation in 2..=4u64 {
        let begun = Instant::now();
        let (port, events) =
            port(switch.at, lockstep::net::Attach { standby: true, ..attach(generation - 1) });
        expect_event(&events, |event| matches!(event, PortEvent::Attached { .. }));
        vm.kill();
        vm = FakeVm::take_over(port, events, generation, Log::clone(&log), 0);
        asked(&switch, generation as u32);
        let took = begun.elapsed();
        // Every wait behind the flood would cost seconds: a lost handshake one, a place that is taken five.
        assert!(took < Duration::from_secs(3), "generation {generation} took {took:?}");
    }
    flood.stop();
    vm.kill();
    let report = switch.stop();
    assert!(report.turned_away > 0);
}
