//! The switch with an uplink in the gateway's place: a real segment, other switches on it, and word of
//! claims from the arbiter.

use smoltcp::wire::ArpOperation;

use super::*;
use crate::net::ether::{self, Ipv4Address, Station};

const MAC: Mac = Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]);
const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);
const GUEST: Station = Station { mac: MAC, ip: Ipv4Address::new(192, 168, 1, 5) };
const NEAR: Station = Station { mac: HOST, ip: Ipv4Address::new(192, 168, 1, 9) };
const G1: Generation = Generation(1);
const G2: Generation = Generation(2);
const P1: PeerId = PeerId(1);
const P2: PeerId = PeerId(2);

struct Segment {
    switch: Switch,
    now: u64,
}

impl Segment {
    fn new() -> Self {
        let gateway = GatewayConfig::with_forwards(Vec::new());
        Self { switch: Switch::new(SwitchConfig { gateway, uplink: true }), now: 0 }
    }

    fn say(&mut self, peer: PeerId, message: ToSwitch) -> Vec<Command> {
        let mut out = Vec::new();
        if !self.switch.peers.contains_key(&peer) {
            self.switch.opened(peer, &mut out);
        }
        self.switch.message(self.now, peer, message, &mut out);
        out
    }

    fn attach(&mut self, peer: PeerId, generation: Generation, standby: bool, seq: u64) -> Vec<Command> {
        let (rx_seq_last, tx_seq_last) = (seq, seq);
        let vm = "kv".into();
        self.say(
            peer,
            ToSwitch::Attach(Attach { vm, life: 7, mac: MAC, generation, standby, rx_seq_last, tx_seq_last }),
        )
    }

    fn send(&mut self, peer: PeerId, generation: Generation, seq: u64, bytes: Vec<u8>) -> Vec<Command> {
        self.say(peer, ToSwitch::Frame { generation, seq, bytes })
    }

    fn tick_after(&mut self, ns: u64) -> Vec<Command> {
        self.now += ns;
        let mut out = Vec::new();
        self.switch.tick(self.now, &mut out);
        out
    }

    fn frames(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.switch.next_frame(peer).map(|(_, bytes)| bytes.to_vec())).collect()
    }

    fn uplink(&self) -> UplinkCounts {
        self.switch.status().uplink.unwrap()
    }
}

fn hello(to: Mac) -> Vec<u8> {
    ether::udp(NEAR, 9, Station { mac: to, ip: GUEST.ip }, 7, b"hello")
}

/// What the guest says to a neighbour.
fn answer() -> Vec<u8> {
    ether::udp(GUEST, 7, NEAR, 9, b"answer")
}

fn on_the_uplink(out: &[Command]) -> Vec<Vec<u8>> {
    out.iter()
        .filter_map(|command| match command {
            Command::ToUplink(frame) => Some(frame.clone()),
            Command::Send(..) | Command::Close(..) | Command::Host(_) | Command::Tell(_) => None,
        })
        .collect()
}

#[test]
fn frames_pass_both_ways_and_the_gateway_is_silent() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    // The gateway's address has no owner here.
    let question = ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, crate::net::gateway::GATEWAY_IP);
    let out = segment.send(P1, G1, 1, question.clone());
    assert_eq!(on_the_uplink(&out), [question]);
    segment.switch.uplink_frame(0, &hello(MAC));
    assert_eq!(segment.frames(P1), [hello(MAC)]);
    assert_eq!(segment.switch.status().gateway.arp_replies, 0);
}

#[test]
fn what_a_bridge_floods_for_others_stays_out_of_the_guests_log() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    for n in 0..50 {
        segment.switch.uplink_frame(0, &hello(Mac([2, 0, 0, 0, 1, n])));
    }
    assert!(segment.frames(P1).is_empty());
    assert_eq!(segment.switch.status().dropped[&DropWhy::NotOurs], 50);
    let for_all = ether::arp(ArpOperation::Request, NEAR, Mac::BROADCAST, GUEST.ip);
    segment.switch.uplink_frame(0, &for_all);
    assert_eq!(segment.frames(P1), [for_all]);
}

#[test]
fn runts_giants_and_the_guests_own_address_from_outside_are_dropped() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    for frame in [vec![], vec![0xff; 13], vec![0xff; 9000], ether::udp(GUEST, 1, GUEST, 2, b"loop")] {
        segment.switch.uplink_frame(0, &frame);
    }
    assert!(segment.frames(P1).is_empty());
    let dropped = segment.switch.status().dropped;
    assert_eq!((dropped[&DropWhy::Runt], dropped[&DropWhy::Spoofed]), (2, 1));
}

#[test]
fn a_takeover_is_announced_at_once_with_every_address_of_the_guest() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.attach(P2, G1, true, 0);
    segment.send(P1, G1, 1, ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, NEAR.ip));
    segment.tick_after(10 * SECOND_NS);
    segment.switch.closed(P1);
    let out = segment.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    let frames = on_the_uplink(&out);
    let mine = ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, GUEST.ip);
    assert!(frames.len() == 2 && frames[1] == mine, "{out:?}");
    assert!(frames.iter().all(|frame| ether::addresses(frame) == Some((Mac::BROADCAST, MAC))));
    // A few times more, and the switch asks to be woken for it.
    let (mut rounds, mut wakes) = (0, 0);
    while let Some(at) = segment.switch.next_deadline() {
        wakes += 1;
        assert!(wakes < 100, "it never rests");
        rounds += usize::from(!on_the_uplink(&segment.tick_after(at - segment.now)).is_empty());
    }
    assert_eq!(rounds, crate::net::announce::ROUNDS_NS.len());
}

#[test]
fn an_uplink_that_comes_back_is_told_of_every_guest() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.tick_after(10 * SECOND_NS);
    let mut out = Vec::new();
    segment.switch.uplink_opened(segment.now, &mut out);
    assert_eq!(on_the_uplink(&out).len(), 1);
}

#[test]
fn a_standby_learns_the_addresses_from_what_the_guest_says_at_another_switch() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, true, 0);
    segment.switch.uplink_frame(0, &ether::arp(ArpOperation::Reply, GUEST, HOST, NEAR.ip));
    let out = segment.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 40 });
    assert_eq!(on_the_uplink(&out).len(), 2);
}

#[test]
fn nothing_waits_for_a_guest_that_is_active_at_another_switch() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, true, 0);
    segment.switch.uplink_frame(0, &ether::arp(ArpOperation::Request, GUEST, Mac::BROADCAST, NEAR.ip));
    for _ in 0..10 {
        segment.switch.uplink_frame(0, &ether::arp(ArpOperation::Request, NEAR, Mac::BROADCAST, GUEST.ip));
    }
    assert_eq!(segment.uplink().not_here, 11);
    segment.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 40 });
    assert!(segment.frames(P1).is_empty());
    segment.switch.uplink_frame(0, &hello(MAC));
    assert_eq!(segment.frames(P1), [hello(MAC)]);
}

#[test]
fn while_the_primary_is_dead_frames_wait_for_the_standby_of_the_same_switch() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.attach(P2, G1, true, 0);
    segment.switch.closed(P1);
    segment.switch.claimed(0, "kv", G2);
    segment.switch.uplink_frame(0, &hello(MAC));
    segment.tick_after(CLAIM_GRACE_NS);
    segment.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert_eq!(segment.frames(P2), [hello(MAC)]);
}

#[test]
fn a_primary_whose_successor_is_active_at_another_switch_cannot_speak_through_this_one() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    assert_eq!(on_the_uplink(&segment.send(P1, G1, 1, answer())).len(), 1);
    segment.switch.claimed(segment.now, "kv", G2);
    // Muted at once …
    assert_eq!(segment.send(P1, G1, 2, answer()), []);
    assert_eq!(segment.switch.status().vms["kv"].fence.stale, 1);
    // … and told, unless it says in time that the claim was its own.
    let out = segment.tick_after(CLAIM_GRACE_NS);
    assert!(out.contains(&Command::Send(P1, FromSwitch::Fenced { current: G2 })), "{out:?}");
    assert!(out.contains(&Command::Close(P1, CloseWhy::Fenced)), "{out:?}");
    // Connecting again does not help.
    let out = segment.attach(P1, G1, false, 2);
    assert_eq!(out[0], Command::Send(P1, FromSwitch::Fenced { current: G2 }));
    // What its successor says over there is heard here, and answered there.
    segment.switch.uplink_frame(segment.now, &ether::udp(GUEST, 7, NEAR, 9, b"from there"));
    assert!(!segment.switch.status().dropped.contains_key(&DropWhy::Spoofed));
    // It may come here later.
    let out = segment.attach(P2, Generation(3), false, 50);
    assert!(
        out.contains(&Command::Send(P2, FromSwitch::Attached { generation: Generation(3), tx_seq_last: 1 }))
    );
    assert_eq!(on_the_uplink(&segment.send(P2, Generation(3), 51, answer())).len(), 1);
}

#[test]
fn a_primary_whose_successor_is_active_elsewhere_is_not_announced_here() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.tick_after(1);
    segment.switch.claimed(segment.now, "kv", G2);
    // The bridges would send every station's frames to this port, away from the one that answers.
    let mut out = segment.tick_after(CLAIM_GRACE_NS - 1);
    segment.switch.uplink_opened(segment.now, &mut out);
    assert_eq!(on_the_uplink(&out), [] as [Vec<u8>; 0]);
    let due = segment.switch.next_deadline();
    assert!(due.is_some_and(|due| due > segment.now), "{due:?}: it asks for nothing that it may not do");
    // The claim was its own after all: the switch reports that.
    let out = segment.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert_eq!(on_the_uplink(&out).len(), 1);
}

#[test]
fn older_word_of_a_claim_does_not_undo_a_newer_one() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.attach(P2, G1, true, 0);
    segment.switch.claimed(0, "kv", Generation(3));
    segment.switch.claimed(0, "kv", G2);
    // The second generation is as old as the first, from whichever node it comes, and however.
    let out = segment.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert!(out.contains(&Command::Send(P1, FromSwitch::Fenced { current: Generation(3) })), "{out:?}");
    let out = segment.say(P2, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert!(out.contains(&Command::Send(P2, FromSwitch::Fenced { current: Generation(3) })), "{out:?}");
    let out = segment.attach(PeerId(3), G2, false, 0);
    assert_eq!(out[0], Command::Send(PeerId(3), FromSwitch::Fenced { current: Generation(3) }));
    assert_eq!(on_the_uplink(&segment.send(P1, G1, 1, answer())), [] as [Vec<u8>; 0]);
}

#[test]
fn word_of_the_generation_itself_and_of_another_guest_changes_nothing() {
    let mut segment = Segment::new();
    segment.attach(P1, G2, false, 0);
    segment.switch.claimed(0, "kv", G1);
    segment.switch.claimed(0, "kv", G2);
    segment.switch.claimed(0, "other", Generation(3));
    assert_eq!(segment.switch.status().vms["kv"].claimed, None);
    let out = segment.tick_after(2 * CLAIM_GRACE_NS);
    assert!(!out.iter().any(|command| matches!(command, Command::Close(..))), "{out:?}");
    assert_eq!(on_the_uplink(&segment.send(P1, G2, 1, answer())).len(), 1);
}

#[test]
fn a_primary_that_says_again_that_it_is_primary_is_not_believed_over_a_claim() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.switch.claimed(0, "kv", G2);
    let out = segment.say(P1, ToSwitch::Activate { generation: G1, rx_seq_last: 0 });
    assert!(out.contains(&Command::Send(P1, FromSwitch::Fenced { current: G2 })), "{out:?}");
    assert_eq!(on_the_uplink(&segment.send(P1, G1, 1, answer())), [] as [Vec<u8>; 0]);
}

#[test]
fn a_primary_that_claimed_the_generation_itself_goes_on() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.switch.claimed(0, "kv", G2);
    segment.tick_after(CLAIM_GRACE_NS / 2);
    segment.say(P1, ToSwitch::Activate { generation: G2, rx_seq_last: 0 });
    assert_eq!(on_the_uplink(&segment.send(P1, G2, 1, answer())).len(), 1);
    let out = segment.tick_after(CLAIM_GRACE_NS);
    assert!(!out.iter().any(|command| matches!(command, Command::Close(..))), "{out:?}");
    assert_eq!(segment.switch.status().vms["kv"].claimed, None);
}

#[test]
fn another_life_of_the_guest_may_begin_under_a_claim_that_was_heard_before() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 30);
    segment.switch.closed(P1);
    segment.switch.claimed(0, "kv", G2);
    segment.tick_after(CLAIM_GRACE_NS);
    let anew = Attach {
        vm: "kv".into(),
        life: 8,
        mac: MAC,
        generation: G2,
        standby: false,
        rx_seq_last: 0,
        tx_seq_last: 0,
    };
    let out = segment.say(P2, ToSwitch::Attach(anew));
    assert!(
        out.contains(&Command::Send(P2, FromSwitch::Attached { generation: G2, tx_seq_last: 0 })),
        "{out:?}"
    );
}

#[test]
fn a_guest_that_comes_back_from_another_switch_finds_nothing_of_its_earlier_stay() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.switch.uplink_frame(0, &hello(MAC));
    assert_eq!(segment.frames(P1).len(), 1);
    segment.switch.closed(P1);
    // Taken over elsewhere; a backup of that generation comes here before the grace is over.
    segment.switch.claimed(0, "kv", G2);
    segment.attach(P2, G2, true, 40);
    segment.tick_after(CLAIM_GRACE_NS);
    segment
        .switch
        .uplink_frame(segment.now, &ether::arp(ArpOperation::Request, NEAR, Mac::BROADCAST, NEAR.ip));
    segment.say(P2, ToSwitch::Activate { generation: Generation(3), rx_seq_last: 60 });
    assert!(segment.frames(P2).is_empty());
    segment.switch.uplink_frame(segment.now, &hello(MAC));
    assert_eq!(segment.switch.next_frame(P2), Some((61, &hello(MAC)[..])));
}

#[test]
fn a_backup_that_follows_a_generation_of_another_switch_tells_of_it() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.attach(P2, G2, true, 40);
    assert_eq!(segment.send(P1, G1, 1, answer()), []);
    let out = segment.tick_after(CLAIM_GRACE_NS);
    assert!(out.contains(&Command::Send(P1, FromSwitch::Fenced { current: G2 })), "{out:?}");
}

#[test]
fn a_switch_that_meets_the_standby_first_lets_nothing_pass_twice() {
    let mut segment = Segment::new();
    segment.attach(P2, G1, true, 0);
    segment.attach(P1, G1, false, 40);
    assert_eq!(segment.send(P1, G1, 40, answer()), []);
    assert_eq!(on_the_uplink(&segment.send(P1, G1, 41, answer())).len(), 1);
}

#[test]
fn a_guest_that_left_for_good_gives_up_its_port_address() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    segment.switch.closed(P1);
    segment.switch.uplink_frame(0, &hello(MAC));
    segment.tick_after(SECOND_NS);
    segment.tick_after(ABANDONED_NS + SECOND_NS);
    assert_eq!((segment.switch.next_deadline(), segment.switch.status().vms["kv"].waiting), (None, 0));
    segment.switch.uplink_frame(segment.now, &ether::udp(GUEST, 7, NEAR, 9, b"from there"));
    assert!(!segment.switch.status().dropped.contains_key(&DropWhy::Spoofed));
}

#[test]
fn a_station_behind_the_uplink_with_the_guests_address_is_told() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, false, 0);
    let told = |out: &[Command]| out.iter().any(|command| matches!(command, Command::Tell(_)));
    let seen = |segment: &Segment| segment.switch.status().vms["kv"].address_elsewhere.clone();
    // What the guest said last at another switch, before it moved here.
    segment.switch.uplink_frame(segment.now, &answer());
    assert!(!told(&segment.tick_after(1)) && seen(&segment).is_none());
    segment.tick_after(MOVING_NS);
    segment.switch.uplink_frame(segment.now, &answer());
    let out = segment.tick_after(1);
    assert!(told(&out), "{out:?}");
    let seen = seen(&segment).unwrap();
    assert_eq!((seen.seen, &seen.at[..]), (1, "a station behind the uplink"));
    // A guest that moves away speaks there before its generation ends here.
    segment.switch.claimed(segment.now, "kv", G2);
    segment.switch.uplink_frame(segment.now, &answer());
    assert_eq!(segment.switch.status().vms["kv"].address_elsewhere.as_ref().unwrap().seen, 1);
}

#[test]
fn a_guest_that_runs_at_another_switch_is_no_conflict() {
    let mut segment = Segment::new();
    segment.attach(P1, G1, true, 0);
    segment.now = 10 * MOVING_NS;
    segment.switch.uplink_frame(segment.now, &answer());
    assert!(segment.switch.status().vms["kv"].address_elsewhere.is_none());
}
