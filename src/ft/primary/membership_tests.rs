//! The primary and the one other node: a state, one message, and exactly what comes of it.

use std::collections::BTreeSet;

use super::super::follower::Joining;
use super::super::running::tests::{also_counts, counts, follower, forget_all, guards, machine, running};
use super::super::switch_over::Switching;
use super::*;
use crate::ft::disk::DiskWorked;
use crate::ft::event::Event;
use crate::ft::handover::Boot;
use crate::ft::message::Message;
use crate::ft::node::Node;
use crate::ft::own_store::Ack;
use crate::ft::settings::Settings;
use crate::ft::status::NodeStatus;
use crate::ft::testing::{Host, boot_kv, shown};
use crate::machine::{Exit, Output};

const MS: u64 = 1_000_000;
const PEER: LinkId = LinkId(9);
const TOOL: LinkId = LinkId(30);
const NOTHING: [&str; 0] = [];

/// The key-value guest at rest, alone.
fn alone() -> (Common, Primary, Host) {
    let (mut common, mut primary, mut host) = running();
    for _ in 0..20 {
        primary.run(&mut common, &mut host);
    }
    primary.flush(&mut common, 0, true);
    common.commands.clear();
    (common, primary, host)
}

fn says_at(primary: &mut Primary, common: &mut Common, message: Message, now_ns: u64) -> Vec<String> {
    common.commands.clear();
    let next = primary.step(common, Event::Message { link: PEER, message }, now_ns);
    assert!(matches!(next, Next::Stay));
    shown(&mut common.commands)
}

fn says(primary: &mut Primary, common: &mut Common, message: Message) -> Vec<String> {
    says_at(primary, common, message, 0)
}

fn join() -> Message {
    Message::Join { vm: "vm".into(), node: NodeId(2) }
}

fn ack(received: Seq, executed: Icount) -> Message {
    Message::Ack { received, durable: Seq::ZERO, executed, audited: None }
}

fn status(primary: &Primary, now_ns: u64) -> NodeStatus {
    let mut status = Node::seeking(NodeId(1), "vm", Vec::new(), 0, Default::default(), 0).status(0);
    primary.fill_status(&mut status, now_ns);
    status
}

/// Where the log goes.
fn log_links(primary: &Primary) -> Vec<LinkId> {
    primary.followers.values().filter(|follower| follower.gets_log()).map(|follower| follower.link).collect()
}

fn under_way() -> Claiming {
    Claiming { generation: Generation(2), keeps: Vec::new(), after: NodeId(1), retry_ns: None }
}

fn last(primary: &Primary) -> Seq {
    Seq(primary.recorder.seq_next().get() - 1)
}

fn joining(primary: &mut Primary) -> &mut Joining {
    follower(primary).joining_mut().expect("it joins")
}

/// A joiner that was sent its state and all memory.
fn offered() -> (Common, Primary, Host) {
    let (mut common, mut primary, mut host) = alone();
    says(&mut primary, &mut common, join());
    primary.offer(&mut common, PEER, BTreeSet::new(), 0);
    assert!((0..100).any(|_| !primary.transfer(&mut common, &mut host)), "it has no end");
    common.commands.clear();
    (common, primary, host)
}

#[test]
fn a_join_is_refused_for_good_or_put_off() {
    let refused = |primary: &mut Primary, common: &mut Common, why: &str| {
        let said = says(primary, common, join());
        assert_eq!(said, [format!("9 Refuse {{ why: {why:?} }}"), "9 closed".to_owned()]);
    };
    let (mut common, mut primary, _) = alone();
    let other = Message::Join { vm: "w".repeat(100), node: NodeId(2) };
    let why = format!("this is the vm \"vm\", not {:?}", "w".repeat(64));
    assert_eq!(
        says(&mut primary, &mut common, other),
        [format!("9 Refuse {{ why: {why:?} }}"), "9 closed".to_owned()]
    );
    primary.ended = Some((Exit::Pass, Seq(1)));
    refused(&mut primary, &mut common, "the guest has ended");
    primary.ended = None;
    primary.generation = Generation::ZERO;
    refused(&mut primary, &mut common, "this machine runs unprotected");
    primary.generation = Generation(1);
    let put_off = |primary: &mut Primary, common: &mut Common, why: &str| {
        let said = says(primary, common, join());
        assert_eq!(said, [format!("9 Later {{ why: {why:?}, known: [] }}"), "9 closed".to_owned()]);
    };
    counts(&mut common, &mut primary, LinkId(8));
    put_off(&mut primary, &mut common, "a node of this identity is here already");
    common.settings.backups_max = 1;
    put_off(&mut primary, &mut common, "there is a backup already");
    primary.claim(&mut common, Generation(2), NodeId(1));
    put_off(&mut primary, &mut common, "the last backup's loss is not settled");
    forget_all(&mut primary);
    let other = Event::Message { link: TOOL, message: Message::Join { vm: "vm".into(), node: NodeId(3) } };
    primary.step(&mut common, other, 0);
    put_off(&mut primary, &mut common, "another backup is joining");
}

#[test]
fn a_joiner_is_sent_the_memory_at_once_and_compares_disks_first() {
    let (mut common, mut primary, _) = alone();
    common.learn("10.0.0.7:1");
    let at = primary.icount();
    let said = says(&mut primary, &mut common, join());
    let chunks = primary.memory_copy().expect("it is sent").progress().1;
    assert_eq!(
        said,
        [
            "9 Known { addresses: [\"10.0.0.7:1\"] }".to_owned(),
            format!("tell backup 0000000000000002 joins: sending the memory, from {at} on"),
            format!("9 Memory {{ ram_bytes: 8388608, chunks: {chunks} }}"),
        ]
    );
    let status = status(&primary, 0);
    assert_eq!(
        (status.phase.as_str(), status.transfer, status.protected),
        ("transfer", Some((0, chunks)), false)
    );
    assert_eq!((status.disk_transfer, status.watch.map(|watch| watch.silence_ms)), (None, Some(10_000.0)));
    let mut common = Common::new(NodeId(1), "vm", Default::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    let said = says(&mut primary, &mut common, join());
    assert_eq!(said[0], "tell backup 0000000000000002 joins: comparing 1 disks with its own");
    assert!(said[1].starts_with("9 Disks { specs: ["), "{said:?}");
    assert!(!said.iter().any(|command| command.contains("Memory")), "{said:?}");
    assert_eq!(self::status(&primary, 0).disk_transfer, Some((0, 0, 1)));
}

#[test]
fn memory_goes_as_far_as_the_connection_and_the_joiner_take_it() {
    let (mut common, mut primary, mut host) = alone();
    assert!(!primary.transfer(&mut common, &mut host), "nobody joins");
    says(&mut primary, &mut common, join());
    let total = primary.memory_copy().expect("it is sent").progress().1;
    host.unsent = common.settings.transfer_window_bytes;
    assert!(primary.transfer(&mut common, &mut host));
    assert_eq!(shown(&mut common.commands), NOTHING);
    host.unsent -= 1;
    assert!(primary.transfer(&mut common, &mut host));
    let said = shown(&mut common.commands);
    assert!(said[0].starts_with("9 MemoryChunk("), "{said:?}");
    if total < 20 {
        assert_eq!(said[1], format!("tell state transfer: 1 of {total} chunks sent"));
    }
    assert_eq!(status(&primary, 0).transfer, Some((1, total)));
    let lie = says(&mut primary, &mut common, Message::MemoryTaken { chunks: 2 });
    assert_eq!(
        lie[0],
        "tell the joining backup 0000000000000002 is gone: it took memory that it was not sent"
    );
}

#[test]
fn a_state_is_offered_with_where_the_log_goes_on() {
    let (mut common, mut primary, mut host) = alone();
    common.listen = Some("10.0.0.1:7".into());
    says(&mut primary, &mut common, join());
    let (at, seq_next) = (primary.icount(), primary.recorder.seq_next());
    assert_eq!(log_links(&primary), [], "it has no state that log could go on from");
    common.commands.clear();
    primary.offer(&mut common, PEER, [3, 4].into(), 7 * MS);
    assert_eq!((log_links(&primary), primary.paused_ns), (vec![PEER], Some(7 * MS)));
    let chunks = joining(&mut primary).encoder.as_ref().expect("it is offered").chunks_total();
    let said = shown(&mut common.commands);
    assert_eq!(
        said[0],
        format!("tell backup 0000000000000002 joins: sending the state at {at}, 2 pages, 0 more rounds")
    );
    assert_eq!(
        said[1],
        format!(
            "9 Offer {{ generation: g1, node: n0000000000000001, seq_next: {seq_next:?}, at: {at:?}, chunks: {chunks}, \
             life: 1, ack: Memory }}"
        )
    );
    assert!(said[2].starts_with("9 Scrollback { offset: 0"), "{said:?}");
    assert_eq!(said[3..], ["9 Whereabouts { listen: \"10.0.0.1:7\" }"]);
    let (ahead, all) = status(&primary, 0).transfer.expect("under way");
    host.unsent = common.settings.transfer_window_bytes;
    assert!(primary.transfer(&mut common, &mut host));
    assert_eq!(shown(&mut common.commands), NOTHING, "no room");
    host.unsent = 0;
    for sent in 1..=chunks {
        assert_eq!(primary.transfer(&mut common, &mut host), sent < chunks);
        let said = shown(&mut common.commands);
        assert!(said.len() == 1 && said[0].starts_with("9 Chunk("), "{said:?}");
        assert_eq!(status(&primary, 0).transfer, Some((ahead + sent, all)));
    }
    assert!(!primary.transfer(&mut common, &mut host));
    assert_eq!(shown(&mut common.commands), NOTHING);
    // What the guest does from here on is how far the joiner is behind.
    assert_eq!(follower(&mut primary).lag.instructions(), 0);
    follower(&mut primary).lag.advance(at.plus(5), 0);
    let behind = status(&primary, 2 * MS);
    assert_eq!((behind.lag_instructions, behind.lag_ms), (5, 2.0));
}

#[test]
fn a_joiners_reports_are_kept_and_do_not_go_back() {
    let (mut common, mut primary, _) = offered();
    let end = last(&primary);
    let report = |primary: &mut Primary, common: &mut Common, received, executed, now_ns| {
        assert_eq!(says_at(primary, common, ack(Seq(received), Icount(executed)), now_ns), NOTHING);
        let (acked, executed) = (follower(primary).acked, follower(primary).executed);
        (acked, joining(primary).restored_ns, executed)
    };
    assert_eq!(follower(&mut primary).acked, None);
    let (one, two) = (Seq(1), Seq(2));
    assert!(end >= two);
    assert_eq!(report(&mut primary, &mut common, 2, 50, 4), (Some(two), Some(4), Icount(50)));
    assert_eq!(report(&mut primary, &mut common, 1, 40, 5), (Some(two), Some(4), Icount(50)));
    assert!(one < two && joining(&mut primary).is_sent());
    let lie = says(&mut primary, &mut common, ack(primary_next(end), Icount(0)));
    assert_eq!(
        lie[0],
        "tell the joining backup 0000000000000002 is gone: it acknowledged what was never written"
    );
    let (mut common, mut primary, _) = alone();
    says(&mut primary, &mut common, join());
    let early = says(&mut primary, &mut common, ack(Seq(0), Icount(0)));
    assert_eq!(
        early[0],
        "tell the joining backup 0000000000000002 is gone: it acknowledged before it was offered anything"
    );
}

fn primary_next(last: Seq) -> Seq {
    Seq(last.get() + 1)
}

#[test]
fn a_joiner_counts_when_it_has_everything_and_is_close() {
    let count = |spoil: fn(&mut Primary)| {
        let (mut common, mut primary, _) = offered();
        let end = last(&primary);
        let at = primary.icount();
        says(&mut primary, &mut common, ack(end, at));
        primary.console_told = 12;
        primary.clock = crate::ft::clock::GuestClock::starting(0, 500);
        spoil(&mut primary);
        primary.count_in(&mut common, MS);
        let said = shown(&mut common.commands);
        (said, primary)
    };
    let (said, primary) = count(|_| {});
    let at = primary.icount();
    let ticks = primary.recorder.machine().time().max(10_500);
    assert_eq!(
        said,
        [
            format!("tell backup 0000000000000002 counts: protected from {at} on"),
            format!("9 Heartbeat {{ ticks: {ticks}, console_released: 12 }}"),
            "9 log [Joined { node: n0000000000000002 }]".into(),
        ]
    );
    let Stage::Counting { since } = primary.followers[&PEER].stage else { panic!() };
    assert_eq!((since, primary.commit.upto().get() + 1), (last(&primary), last(&primary).get()));
    let status = status(&primary, 0);
    assert_eq!((status.phase.as_str(), status.protected), ("guarded", false), "it does not know yet");
    assert_eq!((status.disk_transfer, status.log_seq), (None, last(&primary)));
    assert_eq!(status.watch.map(|watch| watch.silence_ms), Some(120.0));
    type Spoil = fn(&mut Primary);
    let spoils: [(&str, Spoil); 5] = [
        ("it has not acknowledged", |primary| follower(primary).acked = None),
        ("it is offered nothing", |primary| joining(primary).encoder = None),
        ("a claim is under way", |primary| primary.claiming = Some(under_way())),
        ("the guest stands at a switch-over", |primary| {
            primary.switching = Some(Switching { to: TOOL, asked_by: None, entry: Some(Seq(1)) });
        }),
        ("the guest has ended", |primary| primary.ended = Some((Exit::Pass, Seq(1)))),
    ];
    for (why, spoil) in spoils {
        assert_eq!(count(spoil).0, NOTHING, "{why}");
    }
}

#[test]
fn a_joiner_is_close_up_to_20_ms() {
    for (behind_ns, counts) in [(20 * MS, true), (20 * MS + 1, false)] {
        let (mut common, mut primary, _) = offered();
        let (end, at) = (last(&primary), primary.icount());
        says(&mut primary, &mut common, ack(end, at));
        follower(&mut primary).lag.advance(at.plus(1), MS);
        primary.count_in(&mut common, MS + behind_ns);
        assert_eq!(guards(&primary), counts, "{behind_ns} ns");
    }
}

#[test]
fn a_backup_knows_that_it_counts_once_it_has_acknowledged_so() {
    let (mut common, mut primary, _) = alone();
    counts(&mut common, &mut primary, PEER);
    primary.recorder.record(log::Event::Joined { node: NodeId(2) });
    let end = last(&primary);
    let backup = follower(&mut primary);
    (backup.stage, backup.disks_copied) = (Stage::Counting { since: end }, Some((1, 2, 3)));
    backup.acked = Some(Seq(1));
    let mut shows = |received: u64| {
        says(&mut primary, &mut common, ack(Seq(received), Icount(7)));
        status(&primary, 0).protected
    };
    assert!(!shows(end.get() - 1));
    assert!(shows(end.get()));
    assert!(shows(end.get() - 1), "an old report takes nothing back");
    assert_eq!(status(&primary, 0).disk_transfer, Some((1, 2, 3)));
    let lie = says(&mut primary, &mut common, ack(primary_next(end), Icount(0)));
    assert_eq!(lie[0], "tell the backup 0000000000000002 is lost: it acknowledged what was never written");
    assert_eq!(says(&mut primary, &mut common, ack(Seq(1), Icount(0))), ["9 closed"], "it is dropped");
}

#[test]
fn an_acknowledgement_lets_outputs_go_up_to_its_mark() {
    let (mut common, mut primary, _) = alone();
    for _ in 0..3 {
        primary.recorder.record(log::Event::Horizon);
    }
    counts(&mut common, &mut primary, PEER);
    let end = last(&primary).get();
    primary.commit = Default::default();
    primary.commit.add(NodeId(2), Seq(end - 3), Default::default());
    for mark in [end - 1, end] {
        primary.gate.hold(Seq(mark), Output::Net { seq: mark, frame: vec![1] });
    }
    let status_now = status(&primary, 0);
    assert_eq!((status_now.gated_outputs, status_now.gated_bytes), (2, primary.gate.bytes_len()));
    assert!(status_now.gated_bytes > 0);
    let outputs = primary.outputs_released;
    assert_eq!(says(&mut primary, &mut common, ack(Seq(end - 2), Icount(0))), NOTHING);
    assert_eq!(says(&mut primary, &mut common, ack(Seq(end - 1), Icount(0))).len(), 1);
    assert_eq!(says(&mut primary, &mut common, ack(Seq(end), Icount(0))).len(), 1);
    assert_eq!(status(&primary, 0).outputs_released, outputs + 2);
}

#[test]
fn a_switch_over_needs_a_backup_that_counts_and_a_guest_that_runs() {
    let asked = |primary: &mut Primary, common: &mut Common| {
        common.commands.clear();
        primary.step(common, Event::Message { link: TOOL, message: Message::SwitchOver }, 0);
        shown(&mut common.commands)
    };
    let none = [
        "30 Refuse { why: \"there is no backup that counts: start one with `lockstep backup`\" }",
        "30 closed",
    ];
    let (mut common, mut primary, _) = alone();
    assert_eq!(asked(&mut primary, &mut common), none);
    says(&mut primary, &mut common, join());
    assert_eq!(asked(&mut primary, &mut common), none);
    primary.claim(&mut common, Generation(2), NodeId(1));
    assert_eq!(asked(&mut primary, &mut common), none);
    counts(&mut common, &mut primary, PEER);
    primary.ended = Some((Exit::Pass, Seq(1)));
    assert_eq!(
        asked(&mut primary, &mut common),
        ["30 Refuse { why: \"a switch-over or the guest's end is under way\" }", "30 closed"]
    );
    primary.ended = None;
    assert_eq!(asked(&mut primary, &mut common), NOTHING);
    assert_eq!(primary.switching, Some(Switching { to: PEER, asked_by: Some(TOOL), entry: None }));
}

#[test]
fn a_lost_peer_costs_a_claim_only_when_it_counted() {
    let closed = |link| Event::LinkClosed { link, why: "reset".into() };
    let event = |primary: &mut Primary, common: &mut Common, link| {
        common.commands.clear();
        assert!(matches!(primary.step(common, closed(link), 0), Next::Stay));
        shown(&mut common.commands)
    };
    let (mut common, mut primary, _) = alone();
    assert_eq!(event(&mut primary, &mut common, PEER), NOTHING);
    says(&mut primary, &mut common, join());
    assert_eq!(event(&mut primary, &mut common, TOOL), NOTHING);
    assert_eq!(
        event(&mut primary, &mut common, PEER),
        ["tell the joining backup 0000000000000002 is gone: reset", "9 closed"]
    );
    assert!(primary.followers.is_empty() && primary.claiming.is_none());
    counts(&mut common, &mut primary, PEER);
    assert_eq!((status(&primary, 0).watch.is_some(), primary.peer_links().collect()), (true, vec![PEER]));
    assert_eq!(
        event(&mut primary, &mut common, PEER),
        [
            "tell the backup 0000000000000002 is lost: reset",
            "9 closed",
            "Claim { generation: g2, keeps: [], after: n0000000000000001 }",
        ]
    );
    assert_eq!((status(&primary, 0).watch, primary.generation_and_holder(NodeId(1))), (None, None));
    primary.lose(&mut common, PEER, "again");
    assert_eq!(primary.claiming.as_ref().map(|claiming| claiming.generation), Some(Generation(2)));
    assert_eq!(status(&primary, 0).phase, "claiming");
    forget_all(&mut primary);
    assert_eq!(primary.generation_and_holder(NodeId(1)), Some((Generation(1), NodeId(1))));
}

#[test]
fn a_joiner_that_leaves_frees_its_disks() {
    let mut common = Common::new(NodeId(1), "vm", Default::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    says(&mut primary, &mut common, join());
    let said = says(&mut primary, &mut common, Message::Bye { why: "no more".into() });
    assert_eq!(said[0], "tell the joining backup 0000000000000002 is gone: no more");
    assert!(said[1].contains("Untrack"), "{said:?}");
    // An answer for it is dropped; a lie of the next is its end.
    let worked = |link| DiskWorked { link, disk: 0, outcome: Err("gone".into()) };
    common.commands.clear();
    primary.disk_worked(&mut common, worked(PEER));
    assert_eq!(shown(&mut common.commands), NOTHING);
    says(&mut primary, &mut common, join());
    primary.disk_worked(&mut common, worked(TOOL));
    assert_eq!(shown(&mut common.commands), NOTHING);
    primary.disk_worked(&mut common, worked(PEER));
    let said = shown(&mut common.commands);
    assert_eq!(said[0], "9 Refuse { why: \"disk 0 of the primary: gone\" }");
    assert!(said[1].starts_with("tell the joining backup"), "{said:?}");
}

const OTHER: LinkId = LinkId(8);

/// Two backups count: node 2 at link 9, and node 3 at link 8.
fn two_count() -> (Common, Primary) {
    let (mut common, mut primary, _) = alone();
    counts(&mut common, &mut primary, PEER);
    also_counts(&mut common, &mut primary, OTHER, NodeId(3));
    (common, primary)
}

fn event(primary: &mut Primary, common: &mut Common, event: Event) -> Vec<String> {
    common.commands.clear();
    assert!(matches!(primary.step(common, event, 0), Next::Stay));
    shown(&mut common.commands)
}

fn closed(link: LinkId) -> Event {
    Event::LinkClosed { link, why: "reset".into() }
}

fn won(generation: u64) -> Event {
    Event::Claimed { generation: Generation(generation), outcome: Ok(Claim::Won) }
}

fn acks(link: LinkId, received: u64) -> Event {
    Event::Message { link, message: ack(Seq(received), Icount(0)) }
}

#[test]
fn an_output_waits_for_every_backup_that_counts() {
    let (mut common, mut primary) = two_count();
    primary.recorder.record(log::Event::Horizon);
    let mark = last(&primary).get();
    primary.gate.hold(Seq(mark), Output::Net { seq: 1, frame: vec![1] });
    assert_eq!(event(&mut primary, &mut common, acks(PEER, mark)), NOTHING);
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark - 1)), NOTHING);
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark)), ["Release(Net { seq: 1, frame: [1] })"]);
    let status = status(&primary, 0);
    let shown: Vec<_> =
        status.followers.iter().map(|f| (f.node.as_str(), f.phase.as_str(), f.acked)).collect();
    let two = ("0000000000000002", "counting", Seq(mark));
    assert_eq!(shown, [("0000000000000003", "counting", Seq(mark)), two]);
    assert_eq!(status.committed, Some(Seq(mark)));
}

#[test]
fn a_primary_with_fewer_backups_than_wanted_is_degraded() {
    for (wanted, degraded) in [(0, false), (1, true), (2, true)] {
        let settings = Settings { backups_wanted: wanted, ..Settings::default() };
        let node = Node::primary(NodeId(1), "vm", boot_kv(5, Default::default()), settings, 0);
        assert_eq!(node.status(0).degraded, degraded, "{wanted} wanted");
    }
}

#[test]
fn a_primary_that_loses_one_of_two_backups_claims_with_the_other_and_stays_guarded() {
    let (mut common, mut primary) = two_count();
    primary.recorder.record(log::Event::Horizon);
    // The switch is to keep what the backup that is left may not have.
    primary.frames_safe = 7;
    let mark = last(&primary).get();
    primary.gate.hold(Seq(mark), Output::Net { seq: 1, frame: vec![1] });
    assert_eq!(
        event(&mut primary, &mut common, closed(PEER)),
        [
            "tell the backup 0000000000000002 is lost: reset",
            "9 closed",
            "Claim { generation: g2, keeps: [n0000000000000003], after: n0000000000000001 }",
        ]
    );
    // An acknowledgement counts, and yet the lost one may be primary without this entry.
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark - 1)), NOTHING);
    assert_eq!(
        event(&mut primary, &mut common, won(2)),
        [
            "tell going on as generation 2, with one backup",
            "8 log [Horizon, Generation { generation: g2, node: n0000000000000001, why: Alone }, Left { node: \
             n0000000000000002 }]",
            "Activate { generation: g2, rx_seq: 7 }",
        ]
    );
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark)).len(), 1, "what it holds may leave");
    assert!(status(&primary, 0).protected);
    // The backup that is left guards what comes next.
    primary.recorder.record(log::Event::Horizon);
    primary.gate.hold(last(&primary), Output::Net { seq: 2, frame: vec![2] });
    primary.release(&mut common);
    assert_eq!(shown(&mut common.commands), NOTHING);
    let mark = last(&primary).get();
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark)).len(), 1);
}

/// Going on with the other of two backups, a primary asks the switch for what that one may not have.
pub(crate) fn the_switch_keeps_what_the_backup_that_is_left_may_not_have() -> Result<(), String> {
    let (mut common, mut primary) = two_count();
    primary.frames_safe = 7;
    let entry = primary.recorder.record(log::Event::Horizon);
    primary.frames_unsafe.push_back((entry, 8));
    event(&mut primary, &mut common, closed(PEER));
    let said = event(&mut primary, &mut common, won(2));
    match said.iter().any(|command| command == "Activate { generation: g2, rx_seq: 7 }") {
        true => Ok(()),
        false => Err(format!("the switch was told: {said:?}")),
    }
}

#[test]
fn a_backup_lost_while_a_claim_is_under_way_is_settled_by_the_next_one() {
    let (mut common, mut primary) = two_count();
    event(&mut primary, &mut common, closed(PEER));
    assert_eq!(
        event(&mut primary, &mut common, closed(OTHER)),
        ["tell the backup 0000000000000003 is lost: reset", "8 closed"],
        "one claim at a time"
    );
    primary.recorder.record(log::Event::Horizon);
    primary.gate.hold(last(&primary), Output::Net { seq: 1, frame: vec![1] });
    let said = event(&mut primary, &mut common, won(2));
    assert_eq!(
        said.last().map(String::as_str),
        Some("Claim { generation: g3, keeps: [], after: n0000000000000001 }"),
        "the lost backup was kept, and may claim the next generation: {said:?}"
    );
    assert!(!said.iter().any(|command| command.starts_with("Release")), "{said:?}");
    let said = event(&mut primary, &mut common, won(3));
    assert_eq!(said[0], "tell going on alone as generation 3");
    assert!(said.iter().any(|command| command.starts_with("Release")), "{said:?}");
    assert_eq!(status(&primary, 0).phase, "alone");
}

/// A backup took over as planned, was lost, and kept this node: the other backup is of a generation before.
#[test]
fn a_backup_that_the_claim_does_not_keep_looks_for_a_place_again() {
    let (mut common, mut primary) = two_count();
    event(&mut primary, &mut common, closed(PEER));
    let lost = Ok(Claim::Lost { to: NodeId(2), keeps: vec![NodeId(1)] });
    let said = event(&mut primary, &mut common, Event::Claimed { generation: Generation(2), outcome: lost });
    assert_eq!(said, ["Claim { generation: g3, keeps: [], after: n0000000000000002 }"]);
    let said = event(&mut primary, &mut common, won(3));
    assert!(
        said.contains(&"8 Later { why: \"this generation began without this node\", known: [] }".to_owned()),
        "{said:?}"
    );
    assert!(primary.followers.is_empty() && !primary.commit.is_guarded());
}

#[test]
fn a_second_backup_joins_while_the_first_counts_and_each_learns_where_the_other_is() {
    let (mut common, mut primary, _) = alone();
    also_counts(&mut common, &mut primary, OTHER, NodeId(3));
    let said = says(&mut primary, &mut common, join());
    assert!(said.iter().any(|command| command.starts_with("9 Memory {")), "{said:?}");
    primary.offer(&mut common, PEER, BTreeSet::new(), 0);
    common.commands.clear();
    // Where one listens, the other is to know.
    let listens = Message::Whereabouts { listen: "10.0.0.7:1".into() };
    let said = says(&mut primary, &mut common, listens);
    assert_eq!(said, ["8 Known { addresses: [\"10.0.0.7:1\"] }"]);
}

/// Where entries count on disk, what is in a backup's memory opens no gate, and makes no joiner count.
#[test]
fn on_disk_a_backup_is_taken_by_what_its_store_has() {
    let (mut common, mut primary) = two_count();
    common.ack = Ack::Disk;
    primary.recorder.record(log::Event::Horizon);
    let mark = last(&primary);
    primary.gate.hold(mark, Output::Net { seq: 1, frame: vec![1] });
    let acks = |link, durable| Event::Message {
        link,
        message: Message::Ack { received: mark, durable, executed: Icount(0), audited: None },
    };
    let before = Seq(mark.get() - 1);
    assert_eq!(event(&mut primary, &mut common, acks(PEER, mark)), NOTHING);
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, before)), NOTHING);
    assert_eq!(event(&mut primary, &mut common, acks(OTHER, mark)).len(), 1);
    let status = status(&primary, 0);
    assert!(status.followers.iter().all(|follower| follower.durable == mark), "{status:?}");
    let lie = Message::Ack { received: before, durable: mark, executed: Icount(0), audited: None };
    let said = event(&mut primary, &mut common, Event::Message { link: PEER, message: lie });
    assert_eq!(
        said[0],
        "tell the backup 0000000000000002 is lost: it acknowledged on its disk what it does not have"
    );
    let (mut common, mut primary, _) = offered();
    common.ack = Ack::Disk;
    let base = joining(&mut primary).base;
    let at = primary.icount();
    let mut stored = |durable| {
        let message = Message::Ack { received: base, durable, executed: at, audited: None };
        says(&mut primary, &mut common, message);
        primary.count_in(&mut common, 0);
        follower(&mut primary).counts()
    };
    assert!(base > Seq::ZERO && !stored(Seq(base.get() - 1)), "its store has no state to go on from");
    assert!(stored(base));
}
