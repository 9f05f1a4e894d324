//! A node that goes on from its own store, and one that writes it: a state, one event, the exact commands.

use super::arbiter::{ArbiterError, Bid, Claim, Holder};
use super::event::Event;
use super::handover::{Boot, Restart};
use super::link::LinkId;
use super::message::Message;
use super::own_store::{Ack, StoreHolds, StoreState};
use super::settings::Settings;
use super::standing::Standing;
use super::testing::{Host, boot_kv, shown};
use super::world::Pace;
use super::{Command, Halt, Node};
use crate::base::{Generation, NodeId, Seq};

const MS: u64 = 1_000_000;
const NOTHING: [&str; 0] = [];

/// What a primary with a store has written until its guest rests: its frames.
fn written() -> Vec<Vec<u8>> {
    let mut node = primary(Ack::Memory);
    let mut host = Host { now_ns: MS, ..Host::default() };
    let mut frames = Vec::new();
    for _ in 0..50 {
        node.run(&mut host);
        host.now_ns += MS;
        let append = |command| if let Command::Append { bytes } = command { Some(bytes) } else { None };
        frames.extend(node.take_commands().into_iter().filter_map(append));
    }
    assert!(!frames.is_empty());
    frames
}

fn primary(ack: Ack) -> Node {
    let settings = Settings { stores: true, ack, ..Settings::default() };
    Node::primary(NodeId(1), "vm", boot_kv(5, Default::default()), settings, 0)
}

fn holder(generation: u64, node: u64, keeps: &[u64]) -> Event {
    let bid = Bid {
        generation: Generation(generation),
        node: NodeId(node),
        keeps: keeps.iter().copied().map(NodeId).collect(),
        after: None,
        wherefrom: "primary at 10.0.0.9:7, process 1".into(),
    };
    Event::HolderSeen(Ok(Some(Holder { bid, ended: false })))
}

struct Scene {
    node: Node,
    host: Host,
}

impl Scene {
    /// Node 7, whose store is known as node 1's of generation 1, with the log of [`written`] behind a checkpoint at its
    /// boot. It looks for another for `wait_ns`.
    fn restarting(ack: Ack, wait_ns: u64, addresses: &[&str]) -> Self {
        let Boot { machine, generation, life, .. } = boot_kv(5, Default::default());
        let standing = Standing { nodes: vec![NodeId(1)], counts: Some(Generation(1)) };
        let restart = Restart { machine, seq_next: Seq(1), generation, life, ack, standing, wait_ns };
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        let settings = Settings { stores: true, ..Settings::default() };
        let mut node = Node::restarting(NodeId(7), "vm", restart, addresses, settings, 0);
        node.rejoins();
        let mut scene = Self { node, host: Host::default() };
        let said = scene.said();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("PlugIn(Plug { "), "{said:?}");
        assert_eq!(said[1], "tell going on from a checkpoint at 0: reading the log behind it");
        scene
    }

    /// The same, having read and obeyed it all.
    fn read(ack: Ack, wait_ns: u64, addresses: &[&str]) -> Self {
        let mut scene = Self::restarting(ack, wait_ns, addresses);
        for frame in written() {
            assert!(scene.node.takes_stored());
            assert_eq!(
                scene.event(Event::Stored(frame)),
                NOTHING,
                "what is in the store is not appended to it"
            );
        }
        scene.node.step(Event::StoredAll(Ok(())), scene.host.now_ns);
        assert!(!scene.node.takes_stored());
        let said = scene.said();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("tell the store's log ends with entry "), "{said:?}");
        scene
    }

    fn said(&mut self) -> Vec<String> {
        shown(&mut self.node.take_commands())
    }

    fn event(&mut self, event: Event) -> Vec<String> {
        self.node.step(event, self.host.now_ns);
        self.said()
    }

    /// Runs until it rests, for some milliseconds.
    fn turns(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..200 {
            let pace = self.node.run(&mut self.host);
            said.extend(self.said());
            if !matches!(pace, Pace::Now) {
                break;
            }
        }
        said
    }
}

#[test]
fn whoever_may_goes_on_with_a_claim_and_goes_live_at_the_end_of_its_log() {
    let mut scene = Scene::read(Ack::Disk, 0, &[]);
    assert_eq!(scene.turns(), ["AskHolder"]);
    let last = scene.node.status(0).log_seq;
    assert_eq!(
        scene.event(holder(1, 1, &[])),
        [
            &format!("tell going on from entry {last}: nothing that was acknowledged is missing"),
            "Claim { generation: g2, keeps: [], after: n0000000000000001 }"
        ]
    );
    assert!(!scene.node.is_primary());
    scene.event(Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) });
    // Frames that came in by this log are forgotten by the switch then: it has to be durable first.
    scene.turns();
    scene.event(Event::Durable { upto: Seq(last.get() - 1) });
    scene.turns();
    assert!(!scene.node.is_primary());
    scene.event(Event::Durable { upto: last });
    let said = scene.turns();
    assert!(said.iter().any(|line| line.starts_with("tell going live at ")), "{said:#?}");
    assert!(scene.node.is_primary() && scene.node.generation() == Generation(2));
    assert_eq!(scene.node.standing().counts, Some(Generation(2)));
    assert_eq!(scene.node.ack(), Ack::Disk);
    // What had left the guest leaves again.
    assert!(said.iter().any(|line| line.starts_with("Release(Console")), "{said:#?}");
}

pub fn nothing_goes_live_before_its_log_is_durable() -> Result<(), String> {
    let mut scene = Scene::read(Ack::Disk, 0, &[]);
    scene.turns();
    scene.event(holder(1, 1, &[]));
    scene.event(Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) });
    scene.turns();
    match scene.node.is_primary() {
        true => Err("it is live, and nothing of its log is durable".into()),
        false => Ok(()),
    }
}

/// What was acknowledged may stand behind the place that cannot be read.
#[test]
fn a_store_that_cannot_be_read_to_its_end_goes_on_by_no_claim() {
    for addresses in [&[][..], &["10.0.0.1:7"]] {
        let mut scene = Scene::restarting(Ack::Disk, 0, addresses);
        for frame in written().into_iter().take(1) {
            scene.event(Event::Stored(frame));
        }
        let said = scene.event(Event::StoredAll(Err("rot at byte 9".into())));
        let leaves = |line: &String| line.contains("does not go on from its checkpoint: rot at byte 9");
        assert!(said.iter().any(leaves), "{said:?}");
        assert_eq!(scene.node.is_halted(), addresses.is_empty(), "{said:?}");
        let said = scene.turns();
        assert!(!said.iter().any(|line| line.starts_with("AskHolder")), "{said:?}");
        // With somebody to ask it joins anew.
        let left = scene.event(Event::RoleLeft);
        let said = [left, scene.turns()].concat();
        let dials = said.iter().any(|line| line.starts_with("Dial"));
        assert_eq!(dials, !addresses.is_empty(), "{said:?}");
    }
}

#[test]
fn an_arbiter_that_has_gone_back_permits_nothing() {
    let mut scene = Scene::read(Ack::Disk, 0, &[]);
    scene.turns();
    let said = scene.event(holder(0, 1, &[1]));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("its log has generation 1, and the arbiter knows of none after 0"), "{said:?}");
    assert_eq!(scene.turns(), NOTHING);
    scene.host.now_ns += 6000 * MS;
    assert_eq!(scene.turns(), ["AskHolder"]);
}

#[test]
fn in_memory_mode_it_says_what_may_be_missing() {
    let mut scene = Scene::read(Ack::Memory, 0, &[]);
    scene.turns();
    let said = scene.event(holder(1, 1, &[]));
    assert!(said[0].contains("is missing (the log counts in memory: --ack disk excludes that)"), "{said:?}");
}

#[test]
fn whoever_may_lack_something_waits_for_the_one_who_does_not_and_looks_where_that_ran() {
    let mut scene = Scene::read(Ack::Disk, 0, &[]);
    scene.turns();
    assert_eq!(
        scene.event(holder(2, 9, &[8])),
        [
            "tell not going on alone: what was acknowledged in generation 2 may be missing here, where the log ends in \
          generation 1; waiting for node 0000000000000009, or 0000000000000008 (primary at 10.0.0.9:7, process 1), or \
          for one that counted there"
        ]
    );
    assert_eq!(scene.turns(), ["Dial { address: \"10.0.0.9:7\" }"]);
    // Much later it asks again: that node may be back, or this one be all there is.
    let refused = Event::Dialed { address: "10.0.0.9:7".into(), outcome: Err("refused".into()) };
    scene.event(refused);
    scene.host.now_ns += 31_000 * MS;
    assert_eq!(scene.turns(), ["AskHolder"]);
    assert!(
        scene
            .event(holder(3, 9, &[7]))
            .contains(&"Claim { generation: g4, keeps: [], after: n0000000000000009 }".to_owned())
            || scene.node.id() != NodeId(7)
    );
}

#[test]
fn it_looks_for_a_primary_first_and_asks_for_the_log_that_it_lacks() {
    let mut scene = Scene::read(Ack::Disk, 100 * MS, &["10.0.0.1:7"]);
    assert_eq!(scene.turns(), ["Dial { address: \"10.0.0.1:7\" }"]);
    let dialed = Event::Dialed { address: "10.0.0.1:7".into(), outcome: Ok(LinkId(21)) };
    let (id, held) = (scene.node.id(), scene.node.status(0).log_seq);
    assert_eq!(
        scene.event(dialed),
        [format!("21 Resume {{ vm: \"vm\", node: {id:?}, life: 5, held: {held:?}, generation: g1 }}")]
    );
    let resumed = Message::Resumed { generation: Generation(2), node: NodeId(9), ack: Ack::Disk };
    let said = scene.event(Event::Message { link: LinkId(21), message: resumed });
    assert!(said[0].contains("goes on with this node's machine"), "{said:?}");
    // It acknowledges what is durable, and nothing is.
    let said = scene.turns();
    assert!(said.iter().any(|line| line.contains("durable: #0, executed")), "{said:?}");
    scene.event(Event::Durable { upto: held });
    let said = scene.turns();
    assert!(said.iter().any(|line| line.contains(&format!("durable: {held:?}, executed"))), "{said:?}");
}

#[test]
fn an_arbiter_that_is_silent_is_asked_again_and_one_that_knows_nothing_is_another() {
    let mut scene = Scene::read(Ack::Disk, 0, &[]);
    scene.turns();
    let silent = Event::HolderSeen(Err(ArbiterError::Unreachable("no route".into())));
    assert_eq!(
        scene.event(silent),
        ["tell not going on from the store: the arbiter cannot be reached: no route"]
    );
    assert_eq!(scene.turns(), NOTHING);
    scene.host.now_ns += 50 * MS;
    assert_eq!(scene.turns(), ["AskHolder"]);
    let said = scene.event(Event::HolderSeen(Ok(None)));
    let halts =
        said.iter().any(|line| line.starts_with("Halt(NotJoined") && line.contains("another arbiter"));
    assert!(halts, "{said:?}");
}

#[test]
fn a_primary_in_disk_mode_lets_go_what_is_durable_in_its_own_store() {
    let mut node = primary(Ack::Disk);
    let mut host = Host { now_ns: MS, ..Host::default() };
    let mut last = Seq::ZERO;
    for _ in 0..50 {
        node.run(&mut host);
        host.now_ns += MS;
        let said = shown(&mut node.take_commands());
        assert!(!said.iter().any(|line| line.starts_with("Release(")), "{said:?}");
        last = node.status(host.now_ns).log_seq;
    }
    let status = node.status(host.now_ns);
    assert!(status.gated_outputs > 0 && status.committed == Some(Seq::ZERO), "{status:?}");
    node.step(Event::Durable { upto: last }, host.now_ns);
    let said = shown(&mut node.take_commands());
    assert!(said.iter().any(|line| line.starts_with("Release(Console")), "{said:?}");
    let status = node.status(host.now_ns);
    assert_eq!((status.gated_outputs, status.committed), (0, Some(last)));
}

#[test]
fn a_primary_alone_in_disk_mode_whose_store_fails_keeps_everything_back_and_says_so() {
    let mut node = primary(Ack::Disk);
    let holds = StoreHolds { bytes: 9, oldest: Seq(1), durable: Seq(2) };
    node.step(Event::Store(StoreState::On(holds)), 0);
    assert_eq!(node.status(0).store, Some(holds));
    node.step(Event::Store(StoreState::Ended { why: "no space left".into() }), 0);
    let status = node.status(0);
    assert_eq!((status.store, status.store_trouble.as_deref()), (None, Some("no space left")));
    assert!(status.troubles().iter().any(|trouble| trouble == "the store has ended: no space left"));
    node.step(Event::Durable { upto: Seq(99) }, 0);
    assert_eq!(node.status(0).committed, Some(Seq::ZERO), "a store that has ended has nothing more");
    assert!(!node.is_halted());
}

#[test]
fn a_primary_alone_with_a_store_is_suspended_by_the_first_signal_and_its_life_goes_on() {
    for (stores, halts) in [(true, true), (false, false)] {
        let settings = Settings { stores, ..Settings::default() };
        let mut node = Node::primary(NodeId(1), "vm", boot_kv(5, Default::default()), settings, 0);
        node.take_commands();
        node.step(Event::Quit, 0);
        let commands = node.take_commands();
        let ends = commands.iter().any(|command| matches!(command, Command::EndLife { .. }));
        let is_halted = commands.iter().any(|command| matches!(command, Command::Halt(Halt::Quit)));
        assert_eq!((ends, is_halted), (false, halts), "{commands:?}");
    }
}
