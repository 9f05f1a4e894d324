//! A node that loses its place: one event at a time, and exactly what it wants done.

use super::arbiter::{Bid, Holder};
use super::command::{Command, Halt};
use super::event::Event;
use super::link::LinkId;
use super::message::Message;
use super::node::Node;
use super::testing::{Host, boot_kv};
use super::world::Pace;
use super::{Settings, SwitchState};
use crate::base::{Generation, NodeId};
use crate::machine::BoardModel;

const PEER: LinkId = LinkId(9);
const OTHER: NodeId = NodeId(77);

/// The `n`-th identity that the host draws.
fn drawn(n: u8) -> NodeId {
    NodeId(u64::from_le_bytes([n; 8]))
}

/// A primary that is alone.
fn alone() -> Node {
    let boot = boot_kv(5, BoardModel::default());
    let mut node = Node::primary(NodeId(1), "vm", boot, Settings::default(), 0);
    node.take_commands();
    node
}

/// A primary with a joiner that listens at 10.0.0.2:7.
fn primary(rejoins: bool) -> Node {
    let mut node = alone();
    if rejoins {
        node.rejoins();
    }
    let join = Message::Join { vm: "vm".into(), node: NodeId(2) };
    node.step(Event::Message { link: PEER, message: join }, 0);
    let listens = Message::Whereabouts { listen: "10.0.0.2:7".into() };
    node.step(Event::Message { link: PEER, message: listens }, 0);
    node.take_commands();
    node
}

fn is_another_nodes(generation: u64) -> Event {
    Event::ArbiterSeen { generation: Generation(generation), seen: Ok(OTHER) }
}

fn lost() -> Halt {
    Halt::LostClaim { generation: Generation(1), to: OTHER }
}

/// A node that has lost its place, and whose disks are released.
fn seeking() -> (Node, Host) {
    let mut node = primary(true);
    node.step(is_another_nodes(1), 0);
    node.step(Event::RoleLeft, 0);
    node.take_commands();
    (node, Host::default())
}

#[test]
fn a_loser_leaves_its_role_before_it_asks_for_another() {
    let mut node = primary(true);
    let mut host = Host::default();
    node.step(is_another_nodes(1), 0);
    let commands = node.take_commands();
    assert!(
        matches!(
            &commands[..],
            [
                Command::Send { link: PEER, message: Message::Bye { .. } },
                Command::Close { link: PEER },
                Command::Tell(_),
                Command::LeaveRole { halt },
            ] if *halt == lost()
        ),
        "{commands:?}"
    );
    // Its disks are still locked: nothing happens until they are not, whatever the time.
    host.now_ns = 1_000_000_000_000;
    assert_eq!(node.run(&mut host), Pace::At(u64::MAX));
    assert!(
        node.take_commands().is_empty()
            && node.disk_standing().is_none()
            && node.generation_and_holder().is_none()
    );
    let status = node.status(0);
    assert_eq!((status.role.as_str(), status.phase.as_str(), status.protected), ("backup", "seeking", false));
    node.step(Event::RoleLeft, host.now_ns);
    node.run(&mut host);
    let commands = node.take_commands();
    assert!(matches!(&commands[..], [Command::Dial { address }] if address == "10.0.0.2:7"), "{commands:?}");
    assert_eq!(node.id(), drawn(1), "another node asks than the one that lost");
    node.step(Event::Dialed { address: "10.0.0.2:7".into(), outcome: Ok(LinkId(20)) }, host.now_ns);
    let commands = node.take_commands();
    assert!(
        matches!(
            &commands[..],
            [Command::Send { link: LinkId(20), message: Message::Join { vm, node } }] if vm == "vm" && *node == drawn(1)
        ),
        "{commands:?}"
    );
}

#[test]
fn a_loser_that_is_told_to_take_part_once_halts() {
    let mut node = primary(false);
    node.step(is_another_nodes(1), 0);
    let commands = node.take_commands();
    assert!(matches!(&commands[..], [Command::Halt(halt)] if *halt == lost()), "{commands:?}");
}

#[test]
fn a_joiner_that_is_put_off_asks_where_it_was_sent() {
    let (mut node, mut host) = seeking();
    node.run(&mut host);
    node.step(Event::Dialed { address: "10.0.0.2:7".into(), outcome: Ok(LinkId(20)) }, 0);
    node.take_commands();
    let known = vec!["10.0.0.3:7".to_owned(), "evil.example:80".to_owned()];
    let later = Message::Later { why: "this node is the backup".into(), known };
    node.step(Event::Message { link: LinkId(20), message: later }, 0);
    let commands = node.take_commands();
    assert!(
        matches!(
            &commands[..],
            [
                Command::Send { link: LinkId(20), message: Message::Bye { .. } },
                Command::Close { link: LinkId(20) },
                Command::Tell(_),
                Command::LeaveRole { halt: Halt::NotJoined { for_good: false, .. } },
            ]
        ),
        "{commands:?}"
    );
    node.step(Event::RoleLeft, 0);
    node.run(&mut host);
    let mut dialled = node.take_commands();
    // One of the two that it knows, then the other.
    for attempt in 0..2 {
        let Some(Command::Dial { address }) = dialled.pop() else { panic!("{dialled:?}") };
        assert!(["10.0.0.2:7", "10.0.0.3:7"].contains(&address.as_str()), "{address}");
        node.step(Event::Dialed { address, outcome: Err("refused".into()) }, host.now_ns);
        node.take_commands();
        host.now_ns += 1_000_000_000;
        node.run(&mut host);
        dialled = node.take_commands();
        assert_eq!(node.id(), drawn(attempt + 3));
    }
}

#[test]
fn a_seeker_is_no_primary_and_ends_when_it_is_told_to() {
    let (mut node, _) = seeking();
    let join = Message::Join { vm: "vm".into(), node: NodeId(3) };
    node.step(Event::Message { link: LinkId(30), message: join }, 0);
    let commands = node.take_commands();
    assert!(
        matches!(
            &commands[..],
            [
                Command::Send { link: LinkId(30), message: Message::Later { known, .. } },
                Command::Close { link: LinkId(30) },
            ] if *known == ["10.0.0.2:7"]
        ),
        "{commands:?}"
    );
    node.step(Event::Quit, 0);
    let commands = node.take_commands();
    assert!(matches!(&commands[..], [Command::Halt(Halt::Quit)]), "{commands:?}");
}

fn holder(generation: u64, node: NodeId, keeps: Option<NodeId>, ended: bool) -> Event {
    let (generation, keeps) = (Generation(generation), keeps.into_iter().collect());
    let bid = Bid { generation, node, keeps, after: None, wherefrom: String::new() };
    Event::HolderSeen(Ok(Some(Holder { bid, ended })))
}

#[test]
fn a_seeker_whose_guest_has_ended_ends() {
    let (mut node, _) = seeking();
    node.step(holder(2, OTHER, None, false), 0);
    assert!(node.take_commands().is_empty());
    node.step(holder(2, OTHER, None, true), 0);
    let commands = node.take_commands();
    assert!(
        matches!(&commands[..], [Command::Halt(Halt::NotJoined { why, for_good: true })] if why.contains("has ended")),
        "{commands:?}"
    );
}

#[test]
fn a_fenced_primary_with_a_joiner_asks_the_arbiter_and_obeys_it() {
    let mut node = primary(true);
    node.step(Event::Switch(SwitchState::Up), 0);
    node.step(Event::Fenced { current: Generation(1) }, 0);
    assert!(node.take_commands().is_empty(), "that is its own");
    node.step(Event::Fenced { current: Generation(3) }, 0);
    let commands = node.take_commands();
    assert!(matches!(&commands[..], [Command::Tell(_), Command::AskHolder]), "{commands:?}");
    assert_eq!(node.status(0).switch, "fenced by 3");
    // Still its own: it reports that once, stays, and goes on asking.
    for told in [1, 0] {
        node.step(holder(1, NodeId(1), None, false), 0);
        assert_eq!(node.take_commands().len(), told);
    }
    node.step(Event::ArbiterSeen { generation: Generation(1), seen: Ok(NodeId(1)) }, 0);
    assert!(matches!(&node.take_commands()[..], [Command::AskHolder]));
    // A change of places that this node is to be the backup in is no loss.
    node.step(holder(2, OTHER, Some(NodeId(1)), false), 0);
    assert!(node.is_primary() && node.take_commands().is_empty());
    node.step(holder(3, OTHER, None, false), 0);
    let expected = Halt::LostClaim { generation: Generation(3), to: OTHER };
    assert!(matches!(node.take_commands().last(), Some(Command::LeaveRole { halt }) if *halt == expected));
}

/// Each claim is a record at the arbiter for ever: an unconfirmed generation must not make this node write many.
#[test]
fn a_fenced_primary_that_is_alone_outbids_what_is_near_and_nothing_else() {
    for (by, bids) in [(2, true), (17, true), (18, false), (u64::MAX, false)] {
        let mut node = alone();
        node.step(Event::Fenced { current: Generation(by) }, 0);
        let commands = node.take_commands();
        assert!(matches!(&commands[..], [Command::Tell(_), Command::AskHolder]), "{by}: {commands:?}");
        node.step(holder(1, NodeId(1), None, false), 0);
        let commands = node.take_commands();
        let expected = match &commands[..] {
            [Command::Claim { generation: Generation(2), keeps, after: NodeId(1) }] => keeps.is_empty(),
            [Command::Tell(text)] if text.contains("uses another arbiter") => false,
            other => panic!("{by}: {other:?}"),
        };
        assert_eq!(expected, bids, "{by}");
    }
}
