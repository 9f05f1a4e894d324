//! What a node reports and decides in whatever role: its status, the arbiter's answers, terminals.

use super::*;
use crate::ft::arbiter::Bid;
use crate::ft::common::INSIST_NS;
use crate::ft::testing::{Host, boot_kv, boot_wild, shown};
use crate::machine::Exit;

const MS: u64 = 1_000_000;
const LINK: LinkId = LinkId(9);
const TERMINAL: LinkId = LinkId(40);
const NOTHING: [&str; 0] = [];

fn primary() -> Node {
    let mut node =
        Node::primary(NodeId(1), "vm", boot_kv(5, Default::default()), Settings::default(), 3 * MS);
    node.take_commands();
    node
}

fn seeking(addresses: &[&str], wait_ns: u64) -> Node {
    let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
    Node::seeking(NodeId(2), "vm", addresses, wait_ns, Settings::default(), 0)
}

/// What the node says to an event.
fn says(node: &mut Node, event: Event, now_ns: u64) -> Vec<String> {
    node.step(event, now_ns);
    shown(&mut node.take_commands())
}

fn message(link: LinkId, message: Message) -> Event {
    Event::Message { link, message }
}

fn unreachable<T>() -> Result<T, ArbiterError> {
    Err(ArbiterError::Unreachable("no quorum".into()))
}

fn holder(generation: u64, node: u64, keeps: Option<u64>, ended: bool) -> Event {
    let (generation, node, keeps) =
        (Generation(generation), NodeId(node), keeps.map(NodeId).into_iter().collect());
    let bid = Bid { generation, node, keeps, after: None, wherefrom: String::new() };
    Event::HolderSeen(Ok(Some(Holder { bid, ended })))
}

fn well() -> NodeStatus {
    let mut status = primary().status(0);
    (status.protected, status.degraded, status.switch) = (true, false, "up".into());
    status
}

#[test]
fn a_status_that_is_well_has_no_troubles_and_each_trouble_is_named() {
    assert_eq!(well().troubles(), NOTHING);
    let unprotected = NodeStatus { protected: false, phase: "alone".into(), ..well() };
    assert_eq!(unprotected.troubles(), ["not protected (primary, alone)"]);
    let outside = NodeStatus { generation: Generation::ZERO, ..unprotected.clone() };
    assert_eq!(outside.troubles(), NOTHING, "outside fault tolerance");
    let joiner = NodeStatus { role: "backup".into(), ..outside };
    assert_eq!(joiner.troubles(), ["not protected (backup, alone)"]);
    let degraded = NodeStatus { degraded: true, ..well() };
    assert_eq!(degraded.troubles(), ["degraded: backups are missing, 0 count"]);
    assert_eq!(NodeStatus { switch: "none".into(), ..well() }.troubles(), NOTHING);
    let mut status = NodeStatus { switch: "fenced by 3".into(), ..well() };
    status.recording_trouble = Some("no space".into());
    status.arbiter_trouble = Some("no quorum".into());
    assert_eq!(
        status.troubles(),
        ["switch fenced by 3", "the recording has ended: no space", "arbiter: no quorum"]
    );
}

#[test]
fn a_status_shows_what_the_node_was_told_of_itself() {
    let mut node = primary();
    node.version_is("1.2.3");
    node.beats_run("real-time".into());
    let status = node.status(5 * MS);
    assert_eq!(
        (status.vm.as_str(), status.node.as_str(), status.role.as_str()),
        ("vm", "0000000000000001", "primary")
    );
    assert_eq!((status.version.as_str(), status.uptime_s), ("1.2.3", 0.002));
    assert_eq!((status.beats_run.as_deref(), status.recording.as_str()), (Some("real-time"), "none"));
    assert_eq!((status.switch.as_str(), status.peer, status.seeking), ("none", None, None));
    assert_eq!((node.vm(), node.id(), node.heartbeat_ns()), ("vm", NodeId(1), 10 * MS));
    assert_eq!((node.role_name(), node.is_primary(), node.is_halted()), ("primary", true, false));
    assert_eq!(node.disk_standing(), Some(DiskStanding::Primary(Generation(1))));
    assert_eq!(says(&mut node, Event::Recording(Recording::On), 0), NOTHING);
    assert_eq!((node.status(0).recording.as_str(), node.status(0).recording_trouble), ("on", None));
    says(&mut node, Event::Recording(Recording::Ended { why: "no space".into() }), 0);
    let status = node.status(0);
    assert_eq!((status.recording.as_str(), status.recording_trouble.as_deref()), ("ended", Some("no space")));
    says(&mut node, Event::Switch(SwitchState::Down { why: "refused".into() }), 0);
    let status = node.status(0);
    assert_eq!((status.switch.as_str(), status.switch_trouble.as_deref()), ("down", Some("refused")));
    assert_eq!(
        Node::backup(NodeId(2), "vm", LINK, Settings::default(), 3 * MS).status(4 * MS).uptime_s,
        0.001
    );
    let node = seeking(&["h:1"], 0);
    assert_eq!((node.role_name(), node.status(2 * MS).uptime_s, node.icount()), ("backup", 0.002, Icount(0)));
    assert_eq!(node.status(0).seeking.as_deref(), Some("tries 1 addresses in turn"));
}

#[test]
fn a_status_is_asked_for_on_a_connection_of_its_own() {
    let mut node = primary();
    node.step(message(LINK, Message::Status), 4 * MS);
    let commands = node.take_commands();
    let [Command::Send { link: LINK, message: Message::Answer { json } }, Command::Close { link: LINK }] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    let status: NodeStatus = serde_json::from_str(json).expect("our own");
    assert_eq!((status.vm.as_str(), status.uptime_s), ("vm", 0.001));
    // Not on the primary's, which would be closed.
    let mut node = Node::backup(NodeId(2), "vm", LINK, Settings::default(), 0);
    node.take_commands();
    node.step(message(LINK, Message::Status), 0);
    assert!(node.is_halted());
    let said = format!("{:?}", node.take_commands());
    assert!(said.contains("it sent Status out of turn"), "{said}");
}

#[test]
fn a_guest_that_is_cut_off_is_not_protected() {
    let mut node = Node::backup(NodeId(2), "vm", LINK, Settings::default(), 0);
    let mut alone = primary();
    assert!(!alone.status(0).protected && !node.status(0).protected);
    says(&mut alone, Event::Fenced { current: Generation(1) }, 0);
    assert_eq!(alone.status(0).switch, "fenced by 1");
    says(&mut node, Event::Quit, 0);
    assert_eq!((node.role_name(), node.is_halted(), node.disk_standing()), ("halted", true, None));
    assert_eq!((node.status(0).role.as_str(), node.status(0).phase.as_str()), ("halted", "halted"));
}

#[test]
fn the_arbiters_state_is_reported_when_it_changes() {
    let mut node = primary();
    let seen = |seen| Event::ArbiterSeen { generation: Generation(1), seen };
    let waits = "a takeover would have to wait: the arbiter cannot be reached: no quorum";
    assert_eq!(says(&mut node, seen(unreachable()), 0), [format!("tell {waits}")]);
    assert_eq!(node.status(0).arbiter_trouble.as_deref(), Some(waits));
    assert_eq!(says(&mut node, seen(unreachable()), 0), NOTHING);
    let of_another = Event::ArbiterSeen { generation: Generation(2), seen: Ok(NodeId(1)) };
    assert_eq!(says(&mut node, of_another, 0), NOTHING);
    assert_eq!(node.status(0).arbiter_trouble.as_deref(), Some(waits), "it answered for another generation");
    assert_eq!(says(&mut node, seen(Ok(NodeId(1))), 0), ["tell the arbiter answers again"]);
    assert_eq!(node.status(0).arbiter_trouble, None);
    // Fenced past its generation, and not replaced as far as the arbiter knows: it keeps asking.
    says(&mut node, Event::Fenced { current: Generation(2) }, 0);
    assert_eq!(says(&mut node, seen(Ok(NodeId(1))), 0), ["AskHolder"]);
    let halts = says(&mut node, seen(Ok(NodeId(7))), 0);
    assert_eq!(halts, ["Halt(LostClaim { generation: g1, to: n0000000000000007 })"]);
}

#[test]
fn a_primary_is_asked_about_only_under_fault_tolerance() {
    let node = primary();
    assert_eq!(node.generation_and_holder(), Some((Generation(1), NodeId(1))));
    let boot = Boot { generation: Generation::ZERO, ..boot_kv(5, Default::default()) };
    let outside = Node::primary(NodeId(1), "vm", boot, Settings::default(), 0);
    assert_eq!(outside.generation_and_holder(), None);
    assert_eq!(seeking(&["h:1"], 0).generation_and_holder(), None);
}

#[test]
fn a_newer_holder_ends_the_role_unless_it_keeps_this_node() {
    let lost = "Halt(LostClaim { generation: g2, to: n0000000000000007 })";
    assert_eq!(says(&mut primary(), holder(2, 7, None, false), 0), [lost]);
    assert_eq!(says(&mut primary(), holder(2, 7, Some(3), false), 0), [lost]);
    assert_eq!(says(&mut primary(), holder(2, 7, Some(1), false), 0), NOTHING, "a change of places");
    let mut fenced = primary();
    says(&mut fenced, Event::Fenced { current: Generation(2) }, 0);
    assert_eq!(
        says(&mut fenced, holder(2, 7, Some(1), false), 0),
        NOTHING,
        "the switch was faster than the log"
    );
    assert_eq!(says(&mut primary(), holder(2, 1, None, false), 0), NOTHING, "itself");
    assert_eq!(says(&mut primary(), holder(1, 7, None, false), 0), NOTHING, "its own generation");
    assert_eq!(says(&mut primary(), Event::HolderSeen(Ok(None)), 0), NOTHING);
    let said = says(&mut primary(), Event::HolderSeen(unreachable()), 0);
    assert_eq!(
        said,
        ["tell fenced by the switch, and not settled: the arbiter cannot be reached: no quorum"]
    );
}

#[test]
fn a_primary_that_only_the_switch_has_fenced_claims_past_a_near_generation() {
    let fenced = |by| {
        let mut node = primary();
        let said = says(&mut node, Event::Fenced { current: Generation(by) }, 0);
        (node, said)
    };
    let (mut node, said) = fenced(1);
    assert_eq!(said, NOTHING, "its own");
    assert_eq!(says(&mut node, holder(1, 1, None, false), 0), NOTHING);
    let claim = "Claim { generation: g2, keeps: [], after: n0000000000000001 }";
    for by in [2, 17] {
        let (mut node, said) = fenced(by);
        assert_eq!(
            said,
            [format!("tell the switch serves generation {by}: asking the arbiter"), "AskHolder".into()]
        );
        assert_eq!(says(&mut node, holder(1, 1, None, false), 0), [claim]);
        // A claim that is under way decides.
        assert_eq!(says(&mut node, Event::Fenced { current: Generation(by) }, 0), NOTHING);
        assert_eq!(says(&mut node, holder(9, 7, None, false), 0), NOTHING);
    }
    let (mut node, _) = fenced(18);
    let said = says(&mut node, holder(1, 1, None, false), 0);
    assert_eq!(
        said,
        [
            "tell the arbiter has given away no generation after 1, yet the switch serves generation 18: a node that uses \
          another arbiter claims this vm's name there, and the guest is cut off"
        ]
    );
    assert_eq!(says(&mut node, holder(1, 1, None, false), 0), NOTHING, "it is told once");
    // With another node, which a claim would cost, it does not.
    let (mut node, _) = fenced(2);
    says(&mut node, message(LINK, Message::Join { vm: "vm".into(), node: NodeId(2) }), 0);
    let said = says(&mut node, holder(1, 1, None, false), 0);
    assert!(
        said.len() == 1 && said[0].starts_with("tell the arbiter has given away no generation"),
        "{said:?}"
    );
    // Outside fault tolerance nothing is asked.
    let boot = Boot { generation: Generation::ZERO, ..boot_kv(5, Default::default()) };
    let mut outside = Node::primary(NodeId(1), "vm", boot, Settings::default(), 0);
    outside.take_commands();
    assert_eq!(says(&mut outside, Event::Fenced { current: Generation(5) }, 0), NOTHING);
}

#[test]
fn an_operators_request_is_repeated_within_a_minute_or_refused_anew() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    assert!(!common.is_insisted_on(5, "the guest would be lost"));
    assert_eq!(
        shown(&mut common.commands),
        [
            "tell not ended: the guest would be lost. Join it first with `lockstep backup --primary ADDR`, or ask once more \
          within 60 s to end it all the same"
        ]
    );
    assert!(common.is_insisted_on(INSIST_NS + 4, "it"));
    assert_eq!(shown(&mut common.commands), NOTHING);
    common.listen = Some("10.0.0.1:7".into());
    assert!(!common.is_insisted_on(INSIST_NS + 5, "it"));
    assert!(shown(&mut common.commands)[0].contains("`lockstep backup --primary 10.0.0.1:7`"));
}

#[test]
fn a_transfer_is_told_of_in_tenths() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let mut told = |done, chunks| {
        common.tell_tenths(done, chunks, "sent");
        shown(&mut common.commands)
    };
    let tenths: Vec<u32> = (0..=41).filter(|&done| !told(done, 40).is_empty()).collect();
    assert_eq!(tenths, [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]);
    assert_eq!(told(4, 40), ["tell state transfer: 4 of 40 chunks sent"]);
    assert_eq!(told(1, 0), NOTHING);
    assert_eq!(told(1, 1), ["tell state transfer: 1 of 1 chunks sent"]);
}

#[test]
fn addresses_of_other_nodes_are_learnt_and_told() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    common.say_known(LINK);
    common.say_whereabouts(LINK);
    assert_eq!(shown(&mut common.commands), NOTHING, "it knows of none");
    common.listen = Some("10.0.0.1:7".into());
    common.learn("10.0.0.1:7");
    assert_eq!(common.seek.known(), NOTHING, "its own");
    let many: Vec<String> = (1..=20).map(|port| format!("10.0.0.2:{port}")).collect();
    common.learn_all(&many);
    assert_eq!(common.seek.known().len(), crate::ft::seek::TOLD_MAX);
    assert!(common.seek.known().contains(&"10.0.0.2:1".to_owned()), "only so many are taken of one message");
    common.say_whereabouts(LINK);
    assert_eq!(shown(&mut common.commands), ["9 Whereabouts { listen: \"10.0.0.1:7\" }"]);
    common.say_known(LINK);
    assert!(shown(&mut common.commands)[0].starts_with("9 Known"));
}

#[test]
fn a_failed_attempt_is_told_of_when_its_reason_is_new() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let mut told = |why: &str| {
        common.not_found(why.into());
        shown(&mut common.commands)
    };
    assert_eq!(told("busy"), ["tell busy; this node tries again"]);
    assert_eq!(told("busy"), NOTHING);
    assert_eq!(told("gone"), ["tell gone; this node tries again"]);
}

#[test]
fn a_seeker_dials_until_its_time_is_up() {
    let mut node = seeking(&["h:1", "h:2"], 0);
    let mut host = Host::default();
    assert_eq!(node.run(&mut host), Pace::At(u64::MAX));
    assert_eq!(shown(&mut node.take_commands()), ["Dial { address: \"h:1\" }"]);
    assert_eq!(node.run(&mut host), Pace::At(u64::MAX));
    assert_eq!(shown(&mut node.take_commands()), NOTHING, "one at a time");
    assert_eq!(node.status(0).seeking.as_deref(), Some("tries h:1"));
    let dialed = |address: &str| Event::Dialed { address: address.into(), outcome: Err("refused".into()) };
    assert_eq!(says(&mut node, dialed("h:2"), 0), NOTHING, "not the one that it waits for");
    assert_eq!(
        says(&mut node, dialed("h:1"), 0),
        ["tell the primary at h:1 does not answer: refused; this node tries again"]
    );
    // The next in the round at once.
    node.run(&mut host);
    assert_eq!(shown(&mut node.take_commands()), ["Dial { address: \"h:2\" }"]);
    assert_eq!(
        says(&mut node, dialed("h:2"), 0),
        ["Halt(NoPrimary { why: \"the primary at h:2 does not answer: refused\" })"]
    );
    assert!(node.is_halted());
}

#[test]
fn a_seeker_rests_between_rounds_and_a_member_asks_whether_its_guest_has_ended() {
    for member in [false, true] {
        let mut node = seeking(&["h:1"], 1000 * MS);
        if member {
            node.rejoins();
            node.common.seek.is_member_now();
        }
        let mut host = Host::default();
        node.run(&mut host);
        node.take_commands();
        let refused = Event::Dialed { address: "h:1".into(), outcome: Err("refused".into()) };
        let said = says(&mut node, refused, 0);
        assert_eq!(said.len(), 1 + usize::from(member), "{said:?}");
        assert_eq!(said.last().is_some_and(|command| command == "AskHolder"), member);
        let rest_ns = node.common.seek.rest_ns();
        assert!(rest_ns > 0);
        host.now_ns = rest_ns - 1;
        assert_eq!(node.run(&mut host), Pace::At(rest_ns));
        assert_eq!(shown(&mut node.take_commands()), NOTHING);
        host.now_ns = rest_ns;
        node.run(&mut host);
        assert_eq!(shown(&mut node.take_commands()), ["Dial { address: \"h:1\" }"]);
    }
}

#[test]
fn a_seeker_sends_others_on_and_ends_with_its_guest() {
    let mut node = seeking(&["10.0.0.5:1"], 1000 * MS);
    assert_eq!(
        says(&mut node, message(LINK, Message::Join { vm: "vm".into(), node: NodeId(8) }), 0),
        ["9 Later { why: \"this node looks for the primary itself\", known: [\"10.0.0.5:1\"] }", "9 closed"]
    );
    assert_eq!(
        says(&mut node, message(LINK, Message::SwitchOver), 0),
        ["9 Refuse { why: \"this node looks for its primary; ask that\" }", "9 closed"]
    );
    assert_eq!(says(&mut node, message(LINK, Message::DisksComplete), 0), ["9 closed"]);
    assert_eq!(says(&mut node, holder(3, 7, None, false), 0), NOTHING);
    assert_eq!(says(&mut node, Event::HolderSeen(Ok(None)), 0), NOTHING);
    assert_eq!(
        says(&mut node, holder(3, 7, None, true), 0),
        ["Halt(NotJoined { why: \"the guest has ended, in generation 3\", for_good: true })"]
    );
    let mut node = seeking(&["10.0.0.5:1"], 1000 * MS);
    assert_eq!(says(&mut node, Event::Quit, 0), ["Halt(Quit)"]);
}

#[test]
fn a_terminal_is_greeted_shown_the_console_and_told_how_its_guest_went_on() {
    let attach = || message(TERMINAL, Message::Attach { life: 0, from: None, session: 1 });
    let mut node = primary();
    let greeting = says(&mut node, attach(), 0);
    assert!(greeting.len() == 1 && greeting[0].starts_with("40 Attached { vm: \"vm\""), "{greeting:?}");
    assert_eq!(node.status(0).terminals, 1);
    let mut host = Host::default();
    let mut printed = Vec::new();
    for _ in 0..4 {
        node.run(&mut host);
        let data = |command: Command| match command {
            Command::Send { link: TERMINAL, message: Message::ConsoleData { bytes, .. } } => Some(bytes),
            _ => None,
        };
        printed.extend(node.take_commands().into_iter().filter_map(data).flatten());
    }
    let text = String::from_utf8(printed).expect("ASCII");
    assert_eq!(text, "kv: listening on 10.0.2.15:9000\n");
    assert_eq!((node.status(0).console_bytes, node.console_lines(9)), (32, vec![text.trim_end().to_owned()]));
    // It may type and be resized; a second greeting is out of turn.
    assert_eq!(says(&mut node, message(TERMINAL, Message::ConsoleSize { cols: 9, rows: 3 }), 0), NOTHING);
    assert!(node.common.terminals.has_size());
    node.common.terminals.take_size();
    assert_eq!(says(&mut node, Event::ConsoleSize { cols: 9, rows: 3 }, 0), NOTHING);
    assert!(node.common.terminals.has_size());
    assert_eq!(says(&mut node, attach(), 0), ["40 closed"]);
    says(&mut node, attach(), 0);
    says(&mut node, Event::LinkClosed { link: TERMINAL, why: "gone".into() }, 0);
    assert_eq!(node.status(0).terminals, 0);
    // The peer's connection is no terminal.
    says(&mut node, message(LINK, Message::Join { vm: "vm".into(), node: NodeId(2) }), 0);
    says(&mut node, message(LINK, Message::Attach { life: 0, from: None, session: 1 }), 0);
    assert_eq!(node.status(0).terminals, 0);
}

#[test]
fn the_last_message_to_a_terminal_says_where_the_guest_is() {
    let farewell = |halt: Halt, end: bool, generation: u64| {
        let boot = Boot { generation: Generation(generation), ..boot_kv(5, Default::default()) };
        let mut node = Node::primary(NodeId(1), "vm", boot, Settings::default(), 0);
        node.step(message(TERMINAL, Message::Attach { life: 0, from: None, session: 1 }), 0);
        node.take_commands();
        if end {
            node.common.commands.push(Command::EndLife { generation: Generation(1) });
        }
        node.farewell(&halt);
        let said = shown(&mut node.common.commands);
        said[said.len() - 2].clone()
    };
    let bye = |why: &str| format!("40 Bye {{ why: {why:?} }}");
    let end = |status, how: &str| format!("40 ConsoleEnd {{ status: {status}, how: {how:?} }}");
    assert_eq!(
        farewell(Halt::GuestEnded(Exit::Fail(3)), true, 1),
        end(3, &format!("the guest ended with {}", Exit::Fail(3)))
    );
    for halt in [Halt::LimitReached, Halt::Quit] {
        assert_eq!(farewell(halt.clone(), true, 1), end(0, "the operator ended the guest"));
        assert_eq!(farewell(halt.clone(), false, 0), end(0, "the operator ended the guest"));
        assert_eq!(farewell(halt, false, 1), bye("the operator ended this node"));
    }
    let lost = Halt::LostClaim { generation: Generation(2), to: NodeId(7) };
    assert_eq!(farewell(lost, false, 1), bye("another node carries the guest on"));
    for halt in [Halt::NotJoined { why: "x".into(), for_good: true }, Halt::NoPrimary { why: "x".into() }] {
        assert_eq!(farewell(halt, false, 1), bye("this node has not joined"));
    }
    assert_eq!(farewell(Halt::DiskFailed { disk: 0, tag: 1 }, false, 1), bye("this node has lost a disk"));
}

#[test]
fn a_halted_node_stays_where_it_stood() {
    let mut node = primary();
    let mut host = Host { now_ns: 5 * MS, ..Host::default() };
    node.run(&mut host);
    let at = node.icount();
    assert!(at > Icount(0));
    says(&mut node, Event::Quit, 0);
    says(&mut node, Event::Quit, MS);
    assert_eq!((node.icount(), node.generation(), node.is_primary()), (at, Generation(1), false));
    assert_eq!((node.run(&mut host), node.peer_links().next()), (Pace::At(u64::MAX), None));
    assert_eq!(says(&mut node, message(LINK, Message::SwitchOver), 0), NOTHING);
}

#[test]
fn a_backup_whose_arbiter_names_another_holder_is_warned() {
    let mut node = Node::backup(NodeId(2), "vm", LINK, Settings::default(), 0);
    let offer = Message::Offer {
        generation: Generation(4),
        node: NodeId(1),
        seq_next: Seq(1),
        at: Icount(0),
        chunks: 2,
        life: 5,
        ack: Ack::Memory,
    };
    says(&mut node, message(LINK, offer), 0);
    let seen = |node| Event::ArbiterSeen { generation: Generation(4), seen: Ok(NodeId(node)) };
    assert_eq!(says(&mut node, seen(1), 0), NOTHING);
    assert_eq!(
        says(&mut node, seen(7), 0),
        [
            "tell a takeover would be refused: the arbiter says that generation 4 belongs to node 0000000000000007, this \
          node follows 0000000000000001"
        ]
    );
    assert_eq!(
        (node.generation(), node.generation_and_holder()),
        (Generation(4), Some((Generation(4), NodeId(1))))
    );
}

#[test]
fn a_loser_says_goodbye_to_its_peer_and_forgets_its_troubles() {
    let mut node = primary();
    node.rejoins();
    node.common.learn("10.0.0.3:1");
    says(&mut node, message(LINK, Message::Join { vm: "vm".into(), node: NodeId(2) }), 0);
    says(&mut node, message(TERMINAL, Message::Attach { life: 0, from: None, session: 1 }), 0);
    says(&mut node, Event::Fenced { current: Generation(2) }, 0);
    let said = says(&mut node, holder(2, 7, None, false), 0);
    assert_eq!(
        said,
        [
            "9 Bye { why: \"this node has lost its place\" }",
            "9 closed",
            "tell generation 2 belongs to node 0000000000000007, which carries the guest on: this node leaves its role and \
             looks for it, to be its backup",
            "40 Bye { why: \"another node carries the guest on\" }",
            "40 closed",
            "LeaveRole { halt: LostClaim { generation: g2, to: n0000000000000007 } }",
        ]
    );
    let status = node.status(0);
    assert_eq!((status.switch.as_str(), status.generation), ("none", Generation(2)));
    assert_eq!(status.seeking.as_deref(), Some("leaves its last role"));
    assert_eq!(node.run(&mut Host::default()), Pace::At(u64::MAX));
    assert_eq!(says(&mut node, Event::RoleLeft, 0), NOTHING);
    let mut host = Host::default();
    node.run(&mut host);
    assert_eq!(shown(&mut node.take_commands()), ["Dial { address: \"10.0.0.3:1\" }"]);
}

#[test]
fn a_guest_that_can_only_trap_is_warned_of_once() {
    let mut node = Node::primary(NodeId(1), "vm", boot_wild(5), Settings::default(), 0);
    let mut warned = 0;
    for _ in 0..4 {
        node.run(&mut Host::default());
        let said = shown(&mut node.take_commands());
        warned +=
            said.iter().filter(|command| command.starts_with("Warn(\"the guest only traps since")).count();
    }
    assert_eq!(warned, 1);
    let mut well = primary();
    well.run(&mut Host::default());
    assert!(!shown(&mut well.take_commands()).iter().any(|command| command.starts_with("Warn")));
}

#[test]
fn a_node_keeps_what_it_is_told_before_anything_happens() {
    let mut node = primary();
    let config = boot_kv(5, Default::default()).machine.config().clone();
    node.listens_at("10.0.0.1:7".into());
    node.expects(config.clone());
    node.does_not_record();
    assert_eq!((node.common.listen.as_deref(), node.common.records), (Some("10.0.0.1:7"), false));
    assert!(node.common.expects.is_some_and(|expects| *expects == config));
    assert_eq!(Host::default().signs(LINK), None, "messages are all there is");
}

#[test]
fn a_member_that_tries_the_next_address_asks_nothing() {
    let mut node = seeking(&["h:1", "h:2"], 1000 * MS);
    node.rejoins();
    node.common.seek.is_member_now();
    node.run(&mut Host::default());
    node.take_commands();
    let refused = Event::Dialed { address: "h:1".into(), outcome: Err("refused".into()) };
    assert_eq!(says(&mut node, refused, 0).len(), 1);
}

#[test]
fn a_node_that_leaves_knows_the_newest_generation() {
    let joiner = |offered: bool| {
        let mut node = seeking(&["h:1"], 1000 * MS);
        node.common.seek.has_seen(5, Generation(3));
        node.run(&mut Host::default());
        says(&mut node, Event::Dialed { address: "h:1".into(), outcome: Ok(LINK) }, 0);
        if offered {
            let (seq_next, at) = (Seq(1), Icount(0));
            let generation = Generation(4);
            let offer = Message::Offer {
                generation,
                node: NodeId(1),
                seq_next,
                at,
                chunks: 2,
                life: 5,
                ack: Ack::Memory,
            };
            says(&mut node, message(LINK, offer), 0);
        }
        node
    };
    for (offered, generation) in [(false, 3), (true, 4)] {
        let mut node = joiner(offered);
        says(&mut node, Event::LinkClosed { link: LINK, why: "reset".into() }, 0);
        assert_eq!((node.status(0).phase.as_str(), node.generation()), ("seeking", Generation(generation)));
    }
    let mut node = joiner(true);
    node.rejoins();
    node.end(Halt::LostClaim { generation: Generation(5), to: NodeId(7) });
    assert_eq!((node.status(0).phase.as_str(), node.generation()), ("seeking", Generation(5)));
}
