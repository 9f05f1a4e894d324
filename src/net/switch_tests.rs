//! The switch between fake VMs and clients: takeovers, fences, and peers that misbehave.

use smoltcp::wire::ArpOperation;

use super::*;
use crate::base::Prng;
use crate::net::ether::{self, Station};
use crate::net::gateway::{GATEWAY_IP, GATEWAY_MAC, GUEST_IP};

const MAC: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]);
const GUEST: Station = Station { mac: MAC, ip: GUEST_IP };
const GATEWAY: Station = Station { mac: GATEWAY_MAC, ip: GATEWAY_IP };
const G1: Generation = Generation(1);
const G2: Generation = Generation(2);
const P1: PeerId = PeerId(1);
const P2: PeerId = PeerId(2);
const P3: PeerId = PeerId(3);

fn attach(generation: Generation) -> Attach {
    let vm = "kv".to_string();
    Attach { vm, life: 7, mac: MAC, generation, standby: false, rx_seq_last: 0, tx_seq_last: 0 }
}

fn standby(generation: Generation) -> Attach {
    Attach { standby: true, ..attach(generation) }
}

fn client(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n))
}

struct World {
    switch: Switch,
    now: u64,
}

impl World {
    fn new() -> Self {
        let gateway = GatewayConfig::with_forwards(vec!["udp:127.0.0.1:9000=7".parse().unwrap()]);
        Self { switch: Switch::new(SwitchConfig { gateway, uplink: false }), now: 0 }
    }

    fn say(&mut self, peer: PeerId, message: ToSwitch) -> Vec<Command> {
        let mut out = Vec::new();
        if !self.switch.peers.contains_key(&peer) {
            self.switch.opened(peer, &mut out);
        }
        self.switch.message(self.now, peer, message, &mut out);
        out
    }

    fn attach(&mut self, peer: PeerId, attach: Attach) -> Vec<Command> {
        self.say(peer, ToSwitch::Attach(attach))
    }

    fn send(&mut self, peer: PeerId, generation: Generation, seq: u64, bytes: Vec<u8>) -> Vec<Command> {
        self.say(peer, ToSwitch::Frame { generation, seq, bytes })
    }

    fn client(&mut self, n: u16, bytes: &[u8]) {
        let mut out = Vec::new();
        self.switch.datagram(self.now, 0, client(n), bytes, &mut out);
        assert_eq!(out, []);
    }

    fn frames(&mut self, peer: PeerId) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| self.switch.next_frame(peer).map(|(n, bytes)| (n, bytes.to_vec()))).collect()
    }
}

fn announce() -> Vec<u8> {
    ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, GUEST_IP)
}

fn attached(peer: PeerId, generation: Generation, tx_seq_last: u64) -> Vec<Command> {
    vec![Command::Send(peer, FromSwitch::Attached { generation, tx_seq_last })]
}

fn fenced(peer: PeerId, current: Generation) -> [Command; 2] {
    [Command::Send(peer, FromSwitch::Fenced { current }), Command::Close(peer, CloseWhy::Fenced)]
}

/// (port of the client as the guest sees it, payload) of a frame for the guest.
fn request(frame: &[u8]) -> (u16, &[u8]) {
    (u16::from_be_bytes([frame[34], frame[35]]), &frame[42..])
}

#[test]
fn a_request_reaches_the_guest_and_its_answer_the_client() {
    let mut world = World::new();
    assert_eq!(world.attach(P1, attach(G1)), attached(P1, G1, 0));
    world.send(P1, G1, 1, announce());
    world.client(5555, b"1 PING");
    assert_eq!(world.switch.peers_with_frames().collect::<Vec<_>>(), [P1]);
    let frames = world.frames(P1);
    let (port, payload) = request(&frames[0].1);
    assert_eq!((frames[0].0, payload), (1, &b"1 PING"[..]));
    let out = world.send(P1, G1, 2, ether::udp(GUEST, 7, GATEWAY, port, b"1 PONG"));
    assert_eq!(
        out,
        [Command::Host(HostAction::ToClient { forward: 0, client: client(5555), bytes: b"1 PONG".to_vec() })]
    );
}

#[test]
fn a_takeover_loses_nothing_and_repeats_nothing() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.attach(P2, standby(G1));
    world.send(P1, G1, 1, announce());
    for n in 1..=3 {
        world.client(n, b"x");
    }
    let to_primary = world.frames(P1);
    assert_eq!(to_primary.len(), 3);
    assert_eq!(world.frames(P2), [], "a standby receives nothing");
    world.say(P1, ToSwitch::Received { rx_seq: 1 });
    // 2 is in the backup's log, too, when the primary crashes; 3 is not.
    world.switch.closed(P1);
    world.client(4, b"x");
    let out = world.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 2 });
    assert_eq!(out, attached(P2, G2, 1));
    let to_successor = world.frames(P2);
    assert_eq!(to_successor.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(to_successor[0], to_primary[2]);
    // Its first frames are those the primary may have sent already.
    assert_eq!(world.send(P2, G2, 1, announce()), []);
    let (port, _) = request(&to_primary[0].1);
    let answer = ether::udp(GUEST, 7, GATEWAY, port, b"y");
    assert_eq!(world.send(P2, G2, 2, answer.clone()).len(), 1);
    assert_eq!(world.send(P2, G2, 2, answer), []);
}

#[test]
fn a_primary_that_wakes_up_after_it_lost_is_fenced() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.attach(P2, standby(G1));
    world.send(P1, G1, 1, announce());
    let out = world.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert_eq!(out[..2], fenced(P1, G2));
    assert_eq!(out[2..], attached(P2, G2, 1));
    assert_eq!(world.frames(P1), []);
    assert_eq!(world.send(P1, G1, 2, announce()).len(), 1, "a closed peer has to identify itself again");
    // It connects anew under its old generation.
    assert_eq!(world.attach(P3, attach(G1)), fenced(P3, G2));
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 1);
    assert!(world.switch.status().vms["kv"].active);
}

#[test]
fn a_node_that_reconnects_replaces_itself_and_goes_on() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.client(1, b"x");
    assert_eq!(world.frames(P1).len(), 1);
    let out = world.attach(P2, Attach { rx_seq_last: 0, tx_seq_last: 1, ..attach(G1) });
    assert_eq!(out[0], Command::Close(P1, CloseWhy::Replaced));
    assert_eq!(out[1..], attached(P2, G1, 1));
    assert_eq!(world.frames(P2).len(), 1, "what it did not get it gets again");
    let out = world.attach(P3, Attach { rx_seq_last: 1, tx_seq_last: 1, ..attach(G1) });
    assert_eq!(out[1..], attached(P3, G1, 1));
    assert_eq!(world.frames(P3), []);
    assert_eq!(world.switch.status().vms["kv"].waiting, 1, "not yet confirmed");
}

#[test]
fn a_primary_that_goes_on_alone_is_not_sent_anything_twice() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.client(1, b"x");
    world.client(1, b"y");
    assert_eq!(world.frames(P1).len(), 2);
    let out = world.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 1 });
    assert_eq!(out, attached(P1, G2, 1));
    assert_eq!(world.frames(P1), []);
    assert_eq!(world.switch.status().vms["kv"].waiting, 1);
}

#[test]
fn a_successor_whose_standby_connection_was_lost_attaches_as_the_next_generation() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.client(1, b"x");
    world.client(1, b"y");
    world.frames(P1);
    let out = world.attach(P2, Attach { rx_seq_last: 1, ..attach(G2) });
    assert_eq!(out[..2], fenced(P1, G2));
    world.say(P2, ToSwitch::Received { rx_seq: 1 });
    assert_eq!(world.frames(P2).len(), 1);
    assert_eq!(world.switch.status().vms["kv"].waiting, 1);
}

#[test]
fn frames_that_a_primary_has_taken_and_not_logged_outlive_it_also_when_it_attaches_as_the_next_generation() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    for n in 1..=3 {
        world.client(n, b"x");
    }
    assert_eq!(world.frames(P1).len(), 3);
    // It goes on alone as generation 2 while its connection is down, with two frames yet to be logged.
    world.attach(P2, Attach { rx_seq_last: 3, tx_seq_last: 1, ..attach(G2) });
    world.say(P2, ToSwitch::Received { rx_seq: 1 });
    assert_eq!(world.frames(P2), [], "it has them all");
    assert_eq!(world.switch.status().vms["kv"].waiting, 2);
    // A backup joins, and the primary crashes before it logs them.
    world.attach(P3, standby(G2));
    let generation = Generation(3);
    world.say(P3, ToSwitch::Activate { generation, rx_seq_last: 1 });
    assert_eq!(world.frames(P3).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn another_guest_by_the_same_name_needs_a_higher_generation() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.client(1, b"x");
    for generation in [G1, Generation(0)] {
        let out = world.attach(P2, Attach { life: 8, ..attach(generation) });
        let Command::Send(_, FromSwitch::Refused { why }) = &out[0] else { panic!("{out:?}") };
        assert!(why.contains("another guest"), "{why}");
        assert_eq!(out[1], Command::Close(P2, CloseWhy::Refused));
    }
    // The higher generation does not help while the first guest lives; a node that has gone silent does not.
    let out = world.attach(P2, Attach { life: 8, ..attach(G2) });
    assert_refused(&out, "is here and lives");
    world.now += LIVE_NS;
    let out = world.attach(P2, Attach { life: 8, ..attach(G2) });
    assert_eq!(out[..2], fenced(P1, G2));
    assert_eq!(out[2..], attached(P2, G2, 0));
    assert_eq!(world.frames(P2), []);
    assert_eq!(world.send(P2, G2, 1, announce()), []);
    world.client(1, b"z");
    assert_eq!(world.frames(P2)[0].0, 1);
}

#[test]
fn a_young_switch_takes_over_the_numbers_of_an_old_guest() {
    let mut world = World::new();
    let out = world.attach(P1, Attach { rx_seq_last: 70, tx_seq_last: 90, ..attach(Generation(5)) });
    assert_eq!(out, attached(P1, Generation(5), 90));
    world.send(P1, Generation(5), 91, announce());
    world.client(1, b"x");
    assert_eq!(world.frames(P1)[0].0, 71);
    assert_eq!(world.switch.status().vms["kv"].fence.gaps, 0);

    // A standby that comes first does not decide what its primary has sent.
    let mut world = World::new();
    let out = world.attach(P2, Attach { tx_seq_last: 95, rx_seq_last: 80, ..standby(Generation(5)) });
    assert_eq!(out, attached(P2, Generation(5), 0));
    world.attach(P1, Attach { rx_seq_last: 70, tx_seq_last: 90, ..attach(Generation(5)) });
    world.send(P1, Generation(5), 91, announce());
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 91);
    assert_eq!(world.attach(P3, attach(Generation(4))), fenced(P3, Generation(5)));
}

#[test]
fn who_is_not_primary_does_not_speak() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.attach(P2, standby(G1));
    let out = world.send(P2, G1, 1, announce());
    assert_eq!(out, [Command::Close(P2, CloseWhy::OutOfTurn)]);
    let out = world.send(P1, G2, 1, announce());
    assert_eq!(out, [Command::Close(P1, CloseWhy::OutOfTurn)], "not announced");
    let out = world.say(P3, ToSwitch::Ping);
    assert_eq!(out, [Command::Close(P3, CloseWhy::OutOfTurn)], "not attached");
}

#[test]
fn a_standby_does_not_take_over_without_a_new_generation() {
    let mut world = World::new();
    world.attach(P1, attach(G2));
    world.attach(P2, standby(G2));
    let out = world.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert_eq!(out, fenced(P2, G2));
    assert_eq!(world.send(P1, G2, 1, announce()), []);
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 1);
}

#[test]
fn two_vms_talk_to_each_other_and_not_under_each_others_address() {
    let mut world = World::new();
    let mac = Mac([2, 0, 0, 0, 0, 2]);
    let other = Station { mac, ip: ether::Ipv4Address::new(10, 0, 2, 16) };
    world.attach(P1, attach(G1));
    let out = world.attach(P2, Attach { vm: "b".into(), ..attach(G1) });
    assert!(matches!(&out[0], Command::Send(P2, FromSwitch::Refused { why }) if why.contains("\"kv\"")));
    world.attach(P2, Attach { vm: "b".into(), mac, ..attach(G1) });
    let hello = ether::udp(GUEST, 1, other, 2, b"hello");
    world.send(P1, G1, 1, hello.clone());
    assert_eq!(world.frames(P2), [(1, hello)]);
    world.send(P2, G1, 1, ether::udp(Station { mac: MAC, ..other }, 1, GUEST, 2, b"spoof"));
    world.send(P2, G1, 2, ether::udp(Station { mac: GATEWAY_MAC, ..other }, 1, GUEST, 2, b"spoof"));
    world.send(P2, G1, 3, ether::udp(Station { ip: GATEWAY_IP, ..other }, 1, GUEST, 2, b"spoof"));
    world.send(P2, G1, 4, vec![1, 2, 3]);
    assert_eq!(world.frames(P1), []);
    let dropped = world.switch.status().dropped;
    let expected = [(DropWhy::Runt, 1), (DropWhy::Spoofed, 2), (DropWhy::SpoofedIp, 1)];
    assert_eq!(dropped.into_iter().collect::<Vec<_>>(), expected);

    let out = world.attach(P3, Attach { vm: "c".into(), mac: GATEWAY_MAC, ..attach(G1) });
    assert!(matches!(&out[0], Command::Send(P3, FromSwitch::Refused { why }) if why.contains("gateway")));
    // An address is free again when its VM is gone.
    world.switch.closed(P1);
    assert_eq!(world.attach(P3, Attach { vm: "c".into(), ..attach(G1) }), attached(P3, G1, 0));
}

#[test]
fn frames_for_a_vm_without_a_node_are_dropped() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.switch.closed(P1);
    world.client(1, b"x");
    assert_eq!(world.switch.status().vms["kv"].waiting, 1);
    let mut out = Vec::new();
    while world.switch.next_deadline().is_some() && world.now < 2 * ABANDONED_NS {
        world.now += SECOND_NS / 2;
        world.switch.tick(world.now, &mut out);
    }
    assert!(world.now >= ABANDONED_NS && world.now <= ABANDONED_NS + 2 * SECOND_NS);
    assert_eq!(world.switch.status().vms["kv"].waiting, 0);
    world.client(1, b"x");
    // The address is stale by now and asked for; nothing of it is kept.
    assert_eq!(world.switch.status().vms["kv"].waiting, 0);
    world.attach(P2, Attach { rx_seq_last: 0, tx_seq_last: 1, ..attach(G1) });
    world.send(P2, G1, 2, announce());
    assert_eq!(world.frames(P2)[0].0, 1);
}

#[test]
fn connections_names_and_standbys_are_bounded() {
    let mut world = World::new();
    for n in 0..VMS_MAX as u64 + 1 {
        let out = world.attach(PeerId(n), nth(n));
        assert_eq!(matches!(out[0], Command::Send(_, FromSwitch::Attached { .. })), n < VMS_MAX as u64);
    }
    let mut world = World::new();
    for n in 0..=STANDBYS_MAX as u64 {
        let out = world.attach(PeerId(n), standby(G1));
        assert_eq!(matches!(out[0], Command::Send(_, FromSwitch::Attached { .. })), n < STANDBYS_MAX as u64);
    }
    let mut out = Vec::new();
    for n in 1000..2000 {
        world.switch.opened(PeerId(n), &mut out);
    }
    assert_eq!(world.switch.peers.len(), PEERS_MAX);
    assert!(world.switch.status_json().len() < 100_000);
}

/// The `n`-th of many VMs.
fn nth(n: u64) -> Attach {
    Attach { vm: format!("vm{n}"), mac: Mac([2, 0, 0, 0, (n >> 8) as u8, n as u8]), ..attach(G1) }
}

fn assert_refused(out: &[Command], because: &str) {
    let Command::Send(_, FromSwitch::Refused { why }) = &out[0] else { panic!("{out:?}") };
    assert!(why.contains(because), "{why}");
}

fn is_attached(out: &[Command]) -> bool {
    out.iter().any(|command| matches!(command, Command::Send(_, FromSwitch::Attached { .. })))
}

#[test]
fn names_without_a_node_make_room_for_new_ones() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.switch.closed(P1);
    let version = world.switch.names_version();
    for n in 100..100 + 3 * VMS_MAX as u64 {
        let out = world.attach(PeerId(n), nth(n));
        assert!(is_attached(&out), "{n}: {out:?}");
        world.switch.closed(PeerId(n));
    }
    assert_eq!(world.switch.vms.len(), VMS_MAX);
    assert_eq!(world.switch.vm_names().collect::<std::collections::BTreeSet<_>>().len(), VMS_MAX);
    assert_ne!(world.switch.names_version(), version);
    // The guest that has spoken is remembered meanwhile, and its fence with it.
    let out = world.attach(P2, Attach { tx_seq_last: 1, ..attach(Generation(0)) });
    assert_eq!(out, fenced(P2, G1));
    // What the former holders of a place have taught is forgotten with them.
    assert!(world.switch.status().addresses <= VMS_MAX + 1);
}

#[test]
fn guests_that_have_spoken_make_room_after_a_minute_without_a_node() {
    let mut world = World::new();
    let mut out = Vec::new();
    for n in 0..VMS_MAX as u64 {
        world.attach(PeerId(n), nth(n));
        world.send(PeerId(n), G1, 1, vec![0; 64]);
        world.switch.closed(PeerId(n));
    }
    world.switch.tick(world.now, &mut out);
    assert_refused(&world.attach(PeerId(1000), nth(1000)), "128 VMs");
    world.now += ABANDONED_NS;
    world.switch.tick(world.now, &mut out);
    assert!(is_attached(&world.attach(PeerId(1001), nth(1001))));
}

#[test]
fn a_frame_numbered_at_the_very_end_does_not_mute_the_guest() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.attach(P2, Attach { tx_seq_last: 1, ..attach(G1) });
    let out = world.send(P2, G1, u64::MAX, announce());
    assert_eq!(out, [Command::Close(P2, CloseWhy::OutOfTurn)]);
    assert_eq!(world.attach(P3, Attach { tx_seq_last: 1, ..attach(G1) }), attached(P3, G1, 1));
    world.send(P3, G1, 2, announce());
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 2);

    // Nor does one that says before that it has sent as many.
    let forger = PeerId(4);
    world.attach(forger, Attach { tx_seq_last: u64::MAX - 1, ..attach(G1) });
    world.send(forger, G1, u64::MAX, announce());
    let guest = PeerId(5);
    assert_eq!(world.attach(guest, Attach { tx_seq_last: 2, ..attach(G1) })[1..], attached(guest, G1, 2));
    world.send(guest, G1, 3, announce());
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 3);
}

#[test]
fn a_leap_of_generations_does_not_mute_a_guest_that_lives() {
    let end = Generation(u64::MAX);
    for life in [7, 8] {
        let mut world = World::new();
        world.attach(P1, attach(G1));
        world.send(P1, G1, 1, announce());
        for generation in [Generation(3), Generation(LEAP_MAX), end] {
            assert_refused(&world.attach(P2, Attach { life, ..attach(generation) }), "\"kv\"");
        }
        // A standby's word counts for as much.
        let out = world.attach(P3, Attach { life, ..standby(end) });
        assert_eq!(is_attached(&out), life == 7);
        world.now += CLAIM_GRACE_NS;
        let mut out = Vec::new();
        world.switch.tick(world.now, &mut out);
        assert_eq!(out, []);
        if life == 7 {
            assert_refused(
                &world.say(P3, ToSwitch::Activate { generation: end, rx_seq_last: 0 }),
                "far ahead",
            );
        }
        assert_eq!(world.send(P1, G1, 2, announce()), []);
        assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 2);
        let out = world.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
        assert_eq!(out, attached(P1, G2, 2));
    }
}

#[test]
fn without_an_arbiter_a_leap_is_bounded_and_takeovers_that_were_not_seen_here_are_none() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.switch.closed(P1);
    assert_refused(&world.attach(P2, attach(Generation(2 + LEAP_MAX))), "far ahead");
    assert!(is_attached(&world.attach(P2, attach(Generation(1 + LEAP_MAX)))));
}

#[test]
fn with_an_arbiter_a_leap_and_another_guest_wait_for_its_word() {
    let mut world = World::new();
    world.switch.expect_arbiter();
    world.attach(P1, attach(G1));
    world.switch.claimed(0, "kv", G1);
    let leap = Generation(1000);
    assert_refused(&world.attach(P2, attach(leap)), "arbiter");
    assert_refused(&world.attach(P2, Attach { life: 8, ..attach(G2) }), "arbiter");
    world.switch.claimed(0, "kv", G2);
    let out = world.attach(P2, Attach { life: 8, ..attach(G2) });
    assert_eq!(out[..2], fenced(P1, G2));
    world.switch.claimed(0, "kv", leap);
    assert!(is_attached(&world.attach(P3, Attach { life: 8, ..attach(leap) })));
    // The next one needs no confirmation: a takeover does not wait.
    let out = world.attach(P1, Attach { life: 8, ..attach(leap.next()) });
    assert_eq!(out[..2], fenced(P3, leap.next()));
}

#[test]
fn a_node_that_takes_a_name_before_its_guest_comes_does_not_keep_it() {
    let mut world = World::new();
    // As a standby: there has been no primary under the name.
    let squatter = Attach { life: 666, tx_seq_last: 9000, ..standby(Generation(u64::MAX)) };
    assert!(is_attached(&world.attach(P1, squatter)));
    let out = world.attach(P2, attach(G1));
    assert_refused(&out, "is active now");
    assert_eq!(out[2..], attached(P2, G1, 0));
    assert_refused(&world.attach(P1, Attach { life: 666, ..standby(G1) }), "lives");
    // As a node that was primary and is gone: for a minute.
    let mut world = World::new();
    world.attach(P1, Attach { life: 666, ..attach(Generation(u64::MAX)) });
    world.send(P1, Generation(u64::MAX), 1, announce());
    world.switch.closed(P1);
    let mut out = Vec::new();
    world.switch.tick(world.now, &mut out);
    assert_refused(&world.attach(P2, attach(G1)), "another guest");
    world.now += ABANDONED_NS;
    assert_eq!(world.attach(P2, attach(G1)), attached(P2, G1, 0));
    world.send(P2, G1, 1, announce());
    assert_eq!(world.switch.status().vms["kv"].tx_seq_last, 1);
}

#[test]
fn another_guest_cannot_have_an_attached_ones_address() {
    let thief = Station { mac: Mac([2, 0, 0, 0, 0, 2]), ip: GUEST_IP };
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.attach(P2, Attach { vm: "b".into(), mac: thief.mac, ..attach(G1) });
    world.send(P1, G1, 1, announce());
    world.frames(P2);
    world.send(P2, G1, 1, ether::arp(ArpOperation::Request, thief, Mac::BROADCAST, GUEST_IP));
    world.send(P2, G1, 2, ether::arp(ArpOperation::Reply, thief, GATEWAY_MAC, GATEWAY_IP));
    world.send(P2, G1, 3, ether::udp(thief, 7, GATEWAY, 9, b"from me"));
    assert_eq!(world.switch.status().dropped[&DropWhy::SpoofedIp], 3);
    world.client(1, b"secret");
    assert_eq!((world.frames(P1).len(), world.frames(P2)), (1, vec![]));
    // While a successor is about to come, too.
    world.attach(P3, standby(G1));
    world.switch.closed(P1);
    world.send(P2, G1, 4, ether::arp(ArpOperation::Request, thief, Mac::BROADCAST, GUEST_IP));
    assert_eq!(world.switch.status().dropped[&DropWhy::SpoofedIp], 4);
    // Once no node holds the first, the address is free.
    world.switch.closed(P3);
    world.send(P2, G1, 5, ether::arp(ArpOperation::Request, thief, Mac::BROADCAST, GUEST_IP));
    world.client(1, b"mine now");
    assert_eq!(request(&world.frames(P2)[0].1).1, b"mine now");
    // And then the first cannot have it back from its present holder.
    world.attach(P1, Attach { tx_seq_last: 1, ..attach(G2) });
    world.send(P1, G2, 2, announce());
    assert_eq!(world.switch.status().dropped[&DropWhy::SpoofedIp], 5);
}

#[test]
fn a_status_is_json_and_then_the_connection_is_closed() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    let out = world.say(P2, ToSwitch::Status);
    let Command::Send(P2, FromSwitch::Status { json }) = &out[0] else { panic!("{out:?}") };
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["vms"]["kv"]["generation"], 1);
    assert_eq!(out[1], Command::Close(P2, CloseWhy::Answered));
}

/// A guest that numbers what it receives and answers each request once, on nodes that crash at any
/// moment: the clients get every answer exactly once, and the guest every request.
#[test]
fn over_random_takeovers_every_request_is_answered_exactly_once() {
    for seed in 0..100 {
        let mut prng = Prng::new(seed);
        let mut world = World::new();
        let mut peer = 1;
        let mut generation = G1;
        // The guest, as far as the replicated log has it, and as far as the primary has run it.
        // Every frame sent is regenerated from the log, so a guest is its log.
        let (mut replicated, mut primary) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        let mut released = 0usize;
        let mut answers = Vec::new();
        let tx = |n: usize, log: &[Vec<u8>]| {
            let (port, payload) = request(&log[n]);
            ether::udp(GUEST, 7, GATEWAY, port, payload)
        };
        world.attach(PeerId(peer), attach(G1));
        world.send(PeerId(peer), G1, 1, announce());
        let mut asked = 0u32;
        for _ in 0..600 {
            match prng.below(6) {
                0 | 1 => {
                    asked += 1;
                    world.client((asked % 50) as u16 + 1, &asked.to_le_bytes());
                }
                2 => {
                    if let Some((n, frame)) = world.switch.next_frame(PeerId(peer)) {
                        assert_eq!(n, primary.len() as u64 + 1, "seed {seed}");
                        primary.push(frame.to_vec());
                    }
                }
                3 => {
                    if replicated.len() < primary.len() {
                        replicated.push(primary[replicated.len()].clone());
                    }
                    let rx_seq = prng.between(0, replicated.len() as u64);
                    world.say(PeerId(peer), ToSwitch::Received { rx_seq });
                }
                // The output rule: an answer leaves once its request is in the backup's log.
                4 if released < replicated.len() => {
                    let frame = tx(released, &replicated);
                    answers.extend(world.send(PeerId(peer), generation, released as u64 + 2, frame));
                    released += 1;
                }
                _ if prng.chance(1, 15) => {
                    peer += 1;
                    generation = generation.next();
                    world.attach(PeerId(peer), standby(generation));
                    if prng.chance(1, 2) {
                        world.switch.closed(PeerId(peer - 1));
                    }
                    let rx_seq_last = replicated.len() as u64;
                    world.say(PeerId(peer), ToSwitch::Activate { generation, rx_seq_last });
                    primary.clone_from(&replicated);
                    // The successor knows only roughly what has left, and repeats.
                    released = prng.between(0, released as u64) as usize;
                }
                _ => {}
            }
        }
        while let Some((_, frame)) = world.switch.next_frame(PeerId(peer)) {
            primary.push(frame.to_vec());
        }
        for n in released..primary.len() {
            answers.extend(world.send(PeerId(peer), generation, n as u64 + 2, tx(n, &primary)));
        }
        let numbers: Vec<u32> = answers
            .iter()
            .map(|command| match command {
                Command::Host(HostAction::ToClient { bytes, .. }) => {
                    u32::from_le_bytes(bytes[..].try_into().unwrap())
                }
                other => panic!("seed {seed}: {other:?}"),
            })
            .collect();
        assert_eq!(numbers, (1..=asked).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(world.switch.status().vms["kv"].fence.gaps, 0, "seed {seed}");
    }
}

#[test]
fn whatever_peers_say_the_switch_stays_sane() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let mut world = World::new();
        for _ in 0..200 {
            let peer = PeerId(prng.below(6));
            let number = if prng.chance(1, 5) { prng.next_u64() } else { prng.below(5) };
            let generation = Generation(prng.below(5));
            let message = match prng.below(8) {
                0..=2 => ToSwitch::Attach(Attach {
                    vm: ["a", "b", "c"][prng.below(3) as usize].into(),
                    life: prng.below(2),
                    mac: Mac([2, 0, 0, 0, 0, prng.below(4) as u8]),
                    standby: prng.chance(1, 2),
                    rx_seq_last: number,
                    tx_seq_last: number,
                    generation,
                }),
                3 => ToSwitch::Activate { generation, rx_seq_last: number },
                4 => ToSwitch::Received { rx_seq: number },
                5 => ToSwitch::Ping,
                _ => {
                    let mut bytes = announce();
                    bytes[11] = prng.below(4) as u8;
                    ToSwitch::Frame { generation, seq: number, bytes }
                }
            };
            world.say(peer, message);
            world.client(1, b"x");
            let peers: Vec<PeerId> = world.switch.peers_with_frames().collect();
            for peer in peers {
                assert!(!world.frames(peer).is_empty(), "seed {seed}");
            }
            for vm in &world.switch.vms {
                assert!(vm.active.is_none_or(|peer| world.switch.peers.contains_key(&peer)), "seed {seed}");
                assert!(vm.active.is_none_or(|peer| !vm.standbys.contains_key(&peer)), "seed {seed}");
            }
        }
    }
}

const OTHER_MAC: Mac = Mac([0x52, 0, 0, 0, 0, 2]);

/// Another VM's attachment, with this address.
fn other(mac: Mac) -> Attach {
    Attach { vm: "other".into(), life: 9, mac, ..attach(G1) }
}

fn told(world: &mut World) -> Vec<String> {
    let mut out = Vec::new();
    world.switch.tick(world.now, &mut out);
    out.into_iter()
        .filter_map(|command| match command {
            Command::Tell(text) => Some(text),
            _ => None,
        })
        .collect()
}

#[test]
fn a_second_vm_with_the_same_ethernet_address_is_told_and_not_heard() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    let refused = world.attach(P2, other(MAC));
    assert!(matches!(&refused[0], Command::Send(P2, FromSwitch::Refused { why }) if why.contains("\"kv\"")));
    let words = told(&mut world).join("\n");
    assert!(words.contains("VM \"kv\"") && words.contains("VM \"other\""), "{words}");
    // Under an address of its own it speaks, but not with the first one's.
    world.attach(P3, other(OTHER_MAC));
    assert_eq!(world.send(P3, G1, 1, announce()), []);
    let seen = world.switch.status().vms["kv"].address_elsewhere.clone().unwrap();
    assert_eq!((seen.seen, seen.address), (2, format!("Ethernet address {MAC}")));
    assert!(world.switch.status().vms["other"].address_elsewhere.is_none());
}

#[test]
fn the_guest_that_clients_reach_keeps_its_ip_while_a_node_is_attached_for_it() {
    let mut world = World::new();
    world.attach(P1, attach(G1));
    world.send(P1, G1, 1, announce());
    world.attach(P2, other(OTHER_MAC));
    let thief =
        ether::arp(ArpOperation::Request, Station { mac: OTHER_MAC, ip: GUEST_IP }, Mac::BROADCAST, GUEST_IP);
    assert_eq!(world.send(P2, G1, 1, thief.clone()), []);
    assert_eq!(world.frames(P1), [], "the holder is not told by a frame");
    world.client(5555, b"1 PING");
    assert_eq!((world.frames(P1).len(), world.frames(P2).len()), (1, 0));
    let words = told(&mut world).join("\n");
    assert!(words.contains("IPv4 address 10.0.2.15 of VM \"kv\"") && words.contains("\"other\""), "{words}");
    // No node is attached for the first one any more: the address is free.
    world.switch.closed(P1);
    world.send(P2, G1, 2, thief);
    world.client(5555, b"2 PING");
    assert_eq!(world.frames(P2).len(), 1);
}
