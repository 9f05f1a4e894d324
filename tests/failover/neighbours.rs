//! Several vms at one switch.

use std::time::Instant;

use lockstep::base::Generation;
use lockstep::host::port::PortEvent;
use lockstep::host::switch::query;
use lockstep::lab::port::Listening;
use lockstep::machine::mac_of;
use lockstep::net::ether::{self, Ipv4Address, Station};
use lockstep::net::gateway::GUEST_IP;
use lockstep::net::{Attach, Mac};
use serde_json::Value;
use smoltcp::wire::ArpOperation;

use super::scene::*;

fn switch_status(scene: &Scene) -> Value {
    serde_json::from_str(&query(scene.cluster.switch.address).unwrap()).unwrap()
}

#[test]
fn two_vms_at_one_switch_work_at_once_and_take_over_each_for_itself() {
    let mut scene = Scene::kv();
    let (mut first, mut first_backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    let load = scene.load(2, 5);
    // The same program, hence the same IPv4 address: the switch keeps it with the first, and says so.
    scene.cluster.vm = "other".into();
    let (mut second, mut second_backup) = scene.cluster.pair().unwrap();
    let status = switch_status(&scene);
    for (name, vm) in [("kv", &status["vms"]["kv"]), ("other", &status["vms"]["other"])] {
        assert_eq!((&vm["active"], &vm["standbys"]), (&Value::Bool(true), &Value::from(1)), "{status}");
        assert_eq!(vm["mac"], Mac(mac_of(name)).to_string(), "{status}");
    }
    assert_ne!(status["vms"]["kv"]["mac"], status["vms"]["other"]["mac"]);
    let until = Instant::now() + PATIENCE;
    while !scene.cluster.switch.told().contains("is also used by VM \"other\"") {
        assert!(Instant::now() < until, "{}", scene.cluster.switch.told());
        sleep_ms(5);
    }
    assert_eq!(switch_status(&scene)["vms"]["kv"]["address_elsewhere"]["address"], "IPv4 address 10.0.2.15");

    let (first_before, second_before) = (first.status().unwrap(), second.status().unwrap());
    kill(&mut second);
    kill(&mut first);
    scene.await_primary(&mut first_backup, &first_before);
    scene.await_primary(&mut second_backup, &second_before);
    assert_eq!(scene.ask("GET colour"), "VALUE green");
    assert_clean(&load.stop(), &[&first_backup]);
}

#[test]
fn a_vm_reaches_another_ones_service_over_the_switch_through_a_takeover() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    let me = Station { mac: Mac(mac_of("neighbour")), ip: Ipv4Address::new(10, 0, 2, 16) };
    let kv = Station { mac: Mac(mac_of("kv")), ip: GUEST_IP };
    let attach = Attach {
        vm: "neighbour".into(),
        life: 1,
        mac: me.mac,
        generation: Generation(1),
        standby: false,
        rx_seq_last: 0,
        tx_seq_last: 0,
    };
    let (sender, events) = crossbeam_channel::bounded(1024);
    let port =
        Listening::connect(scene.cluster.switch.address, attach, move |e| sender.send(e).is_ok()).unwrap();
    let mut seq = 0;
    let mut say = |frame: &[u8]| {
        seq += 1;
        port.send(seq, frame).unwrap();
    };
    // Asks until it is answered: a datagram may be lost, and the guest may first ask for our address.
    let mut ask = |request: &str, answer: &str| {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "no answer to {request}");
            say(&ether::udp(me, 4000, kv, 9000, request.as_bytes()));
            let again = Instant::now() + std::time::Duration::from_millis(100);
            while let Ok(event) = events.recv_deadline(again) {
                let PortEvent::Frame { rx_seq, frame } = event else { continue };
                port.received(rx_seq);
                if frame[12..14] == [8, 6] {
                    say(&ether::arp(ArpOperation::Reply, me, kv.mac, kv.ip));
                } else if frame.ends_with(answer.as_bytes()) {
                    return;
                }
            }
        }
    };
    ask("1 GET colour", "1 VALUE green");
    let before = primary.status().unwrap();
    kill(&mut primary);
    scene.await_primary(&mut backup, &before);
    ask("2 GET colour", "2 VALUE green");
}
