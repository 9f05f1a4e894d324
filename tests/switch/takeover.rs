//! The switch over real sockets while VMs die: exactly once in both directions.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{FakeVm, Log, TestSwitch, attach, expect_event, port};
use lockstep::base::Generation;
use lockstep::host::port::PortEvent;
use lockstep::lab::kvclient::{KvConfig, KvLoad};
use lockstep::net::Attach;

fn answer(socket: &UdpSocket) -> (u32, u32) {
    let mut bytes = [0; 64];
    let n = socket.recv(&mut bytes).expect("an answer");
    assert_eq!(n, 8);
    (u32::from_le_bytes(bytes[..4].try_into().unwrap()), u32::from_le_bytes(bytes[4..8].try_into().unwrap()))
}

#[test]
fn a_datagram_goes_there_and_back() {
    let switch = TestSwitch::start();
    let _vm = FakeVm::boot(switch.at, Log::default(), 0);
    let client = switch.client();
    let mut taken = Vec::new();
    for n in 1..=2000u32 {
        let begun = Instant::now();
        client.send(&n.to_le_bytes()).unwrap();
        assert_eq!(answer(&client), (n, n));
        taken.push(begun.elapsed());
    }
    taken.sort();
    println!("there and back: p50 {:?}, p99 {:?}", taken[1000], taken[1980]);
    let report = switch.stop();
    assert_eq!(report.switch.vms["kv"].fence.gaps, 0);
    assert_eq!(report.switch.gateway.datagrams_to_host, 2000);
}

/// Clients that never repeat a request, over takeovers in the middle of the load: each request is
/// answered exactly once, and the guest has heard each exactly once (its own count says so).
#[test]
fn twenty_takeovers_lose_nothing_and_repeat_nothing() {
    let switch = TestSwitch::start();
    let log = Log::default();
    let mut vm = FakeVm::boot(switch.at, log.clone(), 5);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4u32)
        .map(|_| {
            let (client, done) = (switch.client(), Arc::clone(&done));
            std::thread::spawn(move || {
                let (mut sent, mut answers) = (0u32, Vec::new());
                // Some requests are always under way, so that a takeover hits them.
                while !done.load(Ordering::Relaxed) || (answers.len() as u32) < sent {
                    while sent < answers.len() as u32 + 8 && !done.load(Ordering::Relaxed) {
                        sent += 1;
                        client.send(&sent.to_le_bytes()).unwrap();
                    }
                    answers.push(answer(&client));
                }
                client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                assert!(client.recv(&mut [0; 64]).is_err(), "an answer too many");
                answers
            })
        })
        .collect();
    for generation in 2..22 {
        let (standby, events) = port(switch.at, Attach { standby: true, ..attach(generation - 1) });
        expect_event(&events, |event| matches!(event, PortEvent::Attached { .. }));
        std::thread::sleep(Duration::from_millis(20 + generation));
        vm.kill();
        vm = FakeVm::take_over(standby, events, generation, log.clone(), 5);
    }
    done.store(true, Ordering::Relaxed);
    let mut counts = BTreeMap::new();
    let mut total = 0;
    for client in clients {
        let answers = client.join().unwrap();
        let numbers: Vec<u32> = answers.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (1..=answers.len() as u32).collect::<Vec<_>>(), "in order, each once");
        total += answers.len();
        for (count, _) in answers {
            assert_eq!(counts.insert(count, ()), None, "the guest answered {count} twice");
        }
    }
    assert_eq!(counts.len(), total);
    assert_eq!(counts.keys().last().copied(), Some(total as u32), "the guest heard each once");
    drop(vm);
    let report = switch.stop();
    let kv = &report.switch.vms["kv"];
    println!("{total} requests, {:?}, {:?}", kv.fence, kv.inbound);
    assert_eq!((kv.generation, kv.fence.gaps), (21, 0));
    assert!(kv.fence.duplicates > 0 && kv.inbound.resent > 0, "the takeovers hit something");
}

/// The whole of it as a user sees it: a load that knows every answer, and nodes that die.
#[test]
fn a_verifying_load_sees_no_takeover_but_as_a_short_gap() {
    let switch = TestSwitch::start();
    let log = Log::default();
    let mut vm = FakeVm::boot(switch.at, log.clone(), 5);
    let config = KvConfig { pause: Duration::from_micros(300), ..KvConfig::new(switch.service) };
    let load = KvLoad::start(config).unwrap();
    let mut gaps = Vec::new();
    for generation in 2..8 {
        let (standby, events) = port(switch.at, Attach { standby: true, ..attach(generation - 1) });
        expect_event(&events, |event| matches!(event, PortEvent::Attached { .. }));
        std::thread::sleep(Duration::from_millis(60));
        let killed = Instant::now();
        vm.kill();
        vm = FakeVm::take_over(standby, events, generation, log.clone(), 5);
        std::thread::sleep(Duration::from_millis(40));
        let answered = load.first_answer_to_request_after(killed).expect("it goes on");
        let (_, gap) = load.longest_gap_since(killed).unwrap();
        gaps.push((answered - killed, gap));
    }
    assert!(load.verify_all());
    let report = load.stop();
    println!("answered again after, longest gap: {gaps:?}\n{report:?}");
    assert!(report.is_clean(), "{report:?}");
    assert!(report.acked_writes > 1000, "{report:?}");
    drop(vm);
    assert_eq!(switch.stop().switch.vms["kv"].fence.gaps, 0);
}

#[test]
fn a_stale_primary_is_fenced_and_its_late_frames_go_nowhere() {
    let switch = TestSwitch::start();
    let (old, old_events) = port(switch.at, attach(1));
    expect_event(&old_events, |event| matches!(event, PortEvent::Attached { .. }));
    let (new, new_events) = port(switch.at, Attach { standby: true, ..attach(1) });
    expect_event(&new_events, |event| matches!(event, PortEvent::Attached { .. }));
    let _vm = FakeVm::take_over(new, new_events, 2, Log::default(), 0);
    let client = switch.client();
    client.send(&1u32.to_le_bytes()).unwrap();
    assert_eq!(answer(&client), (1, 1));
    // It wakes up, sends what it had to send, and is fenced.
    for seq in 2..10 {
        old.send(seq, b"whatever the old primary would have said").unwrap();
    }
    let event = expect_event(&old_events, |event| matches!(event, PortEvent::Fenced { .. }));
    assert_eq!(event, PortEvent::Fenced { current: Generation(2) });
    // And so is one that attaches anew.
    let (_late, events) = port(switch.at, attach(1));
    let event = expect_event(&events, |event| !matches!(event, PortEvent::Down { .. }));
    assert_eq!(event, PortEvent::Fenced { current: Generation(2) });
    client.send(&2u32.to_le_bytes()).unwrap();
    assert_eq!(answer(&client), (2, 2));
    assert_eq!(switch.stop().switch.vms["kv"].fence.gaps, 0);
}

#[test]
fn a_second_guest_by_the_same_name_is_told_so() {
    let switch = TestSwitch::start();
    let (_first, events) = port(switch.at, attach(1));
    expect_event(&events, |event| matches!(event, PortEvent::Attached { .. }));
    let (_second, events) = port(switch.at, Attach { life: 78, ..attach(1) });
    let event = expect_event(&events, |event| matches!(event, PortEvent::Refused { .. }));
    assert!(matches!(event, PortEvent::Refused { why } if why.contains("another guest")));
}

#[test]
fn a_vm_finds_a_switch_that_was_restarted_and_one_that_comes_late() {
    let switch = TestSwitch::start();
    let at = switch.at;
    let log = Log::default();
    let vm = FakeVm::boot(at, log.clone(), 0);
    let client = switch.client();
    client.send(&1u32.to_le_bytes()).unwrap();
    assert_eq!(answer(&client), (1, 1));
    switch.stop();
    std::thread::sleep(Duration::from_millis(100));
    let switch = TestSwitch::start_at(at);
    let client = switch.client();
    // The new switch has to ask for the guest's address, which it may do before the VM is back.
    let begun = Instant::now();
    client.send(&2u32.to_le_bytes()).unwrap();
    assert_eq!(answer(&client), (2, 2));
    println!("back after {:?}", begun.elapsed());
    assert_eq!(switch.stop().switch.vms["kv"].fence.gaps, 0);
    vm.kill();

    // A VM that is there before its switch.
    let vm = FakeVm::boot(at, Log::default(), 0);
    std::thread::sleep(Duration::from_millis(50));
    let switch = TestSwitch::start_at(at);
    let client = switch.client();
    client.send(&1u32.to_le_bytes()).unwrap();
    assert_eq!(answer(&client), (1, 1));
    drop(vm);
}
