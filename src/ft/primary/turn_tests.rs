//! A primary's turn: a state, one event or one look, and exactly what comes of it.

use super::tests::{arp_request, counts, follower, forget_all, machine, running};
use super::*;
use crate::base::{Digest, Generation, NodeId};
use crate::devices::disk::{DiskDone, DiskOp, DiskStatus};
use crate::ft::arbiter::Claim;
use crate::ft::detector::Detector;
use crate::ft::event::Event;
use crate::ft::handover::Boot;
use crate::ft::link::LinkId;
use crate::ft::message::Audit;
use crate::ft::node::Node;
use crate::ft::status::NodeStatus;
use crate::ft::testing::{Host, boot_crunch, boot_diskkv, boot_echo, shown};
use crate::machine::Exit;

const MS: u64 = 1_000_000;
const PEER: LinkId = LinkId(9);
const TOOL: LinkId = LinkId(30);
const NEVER: Pace = Pace::At(u64::MAX);

fn step(primary: &mut Primary, common: &mut Common, event: Event) {
    assert!(matches!(primary.step(common, event, 0), Next::Stay));
}

fn say(primary: &mut Primary, common: &mut Common, link: LinkId, message: Message) {
    step(primary, common, Event::Message { link, message });
}

fn turn(primary: &mut Primary, common: &mut Common, host: &mut Host) -> Pace {
    let (next, pace) = primary.run(common, host);
    assert!(matches!(next, Next::Stay));
    pace
}

fn comes_to_rest(primary: &mut Primary, common: &mut Common, host: &mut Host) {
    assert!((0..100).any(|_| turn(primary, common, host) == NEVER), "it does not rest");
}

/// The key-value guest at rest, without a peer.
fn resting() -> (Common, Primary, Host) {
    let (mut common, mut primary, mut host) = running();
    comes_to_rest(&mut primary, &mut common, &mut host);
    primary.flush(&mut common, 0, true);
    common.commands.clear();
    (common, primary, host)
}

/// The same with a backup that counts.
fn guarded() -> (Common, Primary, Host) {
    let (mut common, mut primary, host) = resting();
    counts(&mut common, &mut primary, PEER);
    (common, primary, host)
}

fn status(primary: &Primary, now_ns: u64) -> NodeStatus {
    let mut status = Node::seeking(NodeId(1), "vm", Vec::new(), 0, Settings::default(), 0).status(0);
    primary.fill_status(&mut status, now_ns);
    status
}

/// The last entry that is written.
fn last(primary: &Primary) -> Seq {
    Seq(primary.recorder.seq_next().get() - 1)
}

fn acks(primary: &mut Primary, common: &mut Common, received: Seq) {
    let message = Message::Ack { received, durable: Seq::ZERO, executed: primary.icount(), audited: None };
    say(primary, common, PEER, message);
}

fn phase(primary: &Primary) -> String {
    status(primary, 0).phase
}

#[test]
fn a_guest_at_rest_is_looked_at_when_something_is_due() {
    let (mut common, mut primary, mut host) = resting();
    assert_eq!(turn(&mut primary, &mut common, &mut host), NEVER);
    counts(&mut common, &mut primary, PEER);
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(10 * MS), "a heartbeat");
    primary.lose(&mut common, PEER, "reset");
    assert_eq!(turn(&mut primary, &mut common, &mut host), NEVER, "the arbiter's answer is an event");
    let retries = |primary: &mut Primary, retry_ns| {
        primary.claiming.as_mut().expect("it is under way").retry_ns = retry_ns;
    };
    retries(&mut primary, Some(7));
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(7));
    host.blocked = true;
    assert_eq!(
        turn(&mut primary, &mut common, &mut host),
        Pace::At(7),
        "before the next look at the outputs"
    );
    retries(&mut primary, None);
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(MS));
}

#[test]
fn what_a_joiner_waits_for_is_looked_at_four_times_a_millisecond() {
    let (mut common, mut primary, mut host) = resting();
    host.unsent = usize::MAX;
    say(&mut primary, &mut common, PEER, Message::Join { vm: "vm".into(), node: NodeId(2) });
    host.now_ns = 3 * MS;
    primary.memory_copy().expect("it begins at once").packed(1 << 40);
    assert!(primary.memory_copy().is_some_and(|memory| memory.waits()));
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(3 * MS + 250_000));
    assert!(
        primary.memory_copy().is_some_and(|memory| !memory.waits()),
        "the guest rests: it wants no share"
    );
    host.unsent = 0;
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(3 * MS + 250_000));
    assert_eq!(primary.memory_copy().map(|memory| memory.progress().0), Some(1), "chunks sent");
}

#[test]
fn the_pause_for_a_joiners_state_lasts_until_the_guest_runs_again() {
    let (mut common, mut primary, mut host) = resting();
    primary.paused_ns = Some(5 * MS);
    host.now_ns = 12 * MS;
    turn(&mut primary, &mut common, &mut host);
    assert_eq!((primary.paused_ns, primary.pause_ns), (None, Some(7 * MS)));
    host.now_ns = 20 * MS;
    turn(&mut primary, &mut common, &mut host);
    assert_eq!(primary.pause_ns, Some(7 * MS));
}

#[test]
fn an_undecided_claim_is_made_again_when_it_is_time() {
    let (mut common, mut primary, mut host) = guarded();
    primary.lose(&mut common, PEER, "reset");
    let error = crate::ft::ArbiterError::Unreachable("no quorum".into());
    let event = Event::Claimed { generation: Generation(2), outcome: Err(error) };
    assert!(matches!(primary.step(&mut common, event, 5 * MS), Next::Stay));
    let claim = "Claim { generation: g2, keeps: [], after: n0000000000000001 }";
    assert_eq!(
        shown(&mut common.commands),
        [
            "tell the backup 0000000000000002 is lost: reset",
            "9 closed",
            claim,
            "tell waiting, outputs held: the arbiter cannot be reached: no quorum"
        ]
    );
    host.now_ns = 55 * MS - 1;
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(55 * MS));
    assert!(common.commands.is_empty());
    host.now_ns = 55 * MS;
    assert_eq!(turn(&mut primary, &mut common, &mut host), NEVER);
    assert_eq!(shown(&mut common.commands), [claim]);
    host.now_ns = 999 * MS;
    turn(&mut primary, &mut common, &mut host);
    assert!(common.commands.is_empty(), "one question is under way");
}

#[test]
fn a_silent_backup_costs_a_claim_and_counts_as_a_suspicion() {
    let (mut common, mut primary, mut host) = guarded();
    let mut said = Vec::new();
    for _ in 0..13 {
        assert_eq!(common.suspicions, 0);
        host.now_ns += 10 * MS;
        turn(&mut primary, &mut common, &mut host);
        said = shown(&mut common.commands);
    }
    assert_eq!(common.suspicions, 1);
    assert_eq!(
        said,
        [
            "tell the backup 0000000000000002 is lost: it has been silent for too long: 130 ms, 120 are allowed",
            "9 closed",
            "Claim { generation: g2, keeps: [], after: n0000000000000001 }",
        ]
    );
    assert_eq!(phase(&primary), "claiming");
}

#[test]
fn a_joiner_that_gets_nowhere_is_told_so() {
    let (mut common, mut primary, mut host) = resting();
    host.unsent = usize::MAX;
    say(&mut primary, &mut common, PEER, Message::Join { vm: "vm".into(), node: NodeId(2) });
    for second in 1..30 {
        host.now_ns = second * 1000 * MS;
        let alive = Message::Heartbeat { ticks: 0, console_released: 0 };
        primary.step(&mut common, Event::Message { link: PEER, message: alive }, host.now_ns);
        turn(&mut primary, &mut common, &mut host);
    }
    common.commands.clear();
    host.now_ns = 30_000 * MS;
    turn(&mut primary, &mut common, &mut host);
    assert_eq!(
        shown(&mut common.commands),
        [
            "9 Bye { why: \"it makes no progress\" }",
            "tell the joining backup 0000000000000002 is gone: it makes no progress",
            "9 closed",
        ]
    );
    assert_eq!((common.suspicions, phase(&primary).as_str()), (0, "alone"));
}

#[test]
fn a_heartbeat_reports_the_guests_time_and_the_console_that_is_written() {
    let (mut common, mut primary, mut host) = guarded();
    primary.clock = GuestClock::starting(0, 0);
    primary.console_released = 100;
    host.console_pending = 30;
    let mut beat = |primary: &mut Primary, now_ns| {
        primary.heartbeat(&mut common, &mut host, now_ns);
        shown(&mut common.commands)
    };
    assert_eq!(beat(&mut primary, 10 * MS - 1), [""; 0]);
    assert_eq!(beat(&mut primary, 10 * MS), ["9 Heartbeat { ticks: 100000, console_released: 70 }"]);
    assert_eq!(primary.console_told, 70);
    assert_eq!(beat(&mut primary, 20 * MS - 1), [""; 0]);
    // The guest has seen a later time than the host's clock shows.
    let rate = primary.recorder.machine().clock_rate();
    primary.recorder.deliver(Input::Clock { time: 123_456, rate }).expect("it has not ended");
    let seen = primary.recorder.machine().time();
    primary.clock = GuestClock::starting(u64::MAX, 0);
    assert_eq!(
        beat(&mut primary, 20 * MS),
        [format!("9 Heartbeat {{ ticks: {seen}, console_released: 70 }}")]
    );
    assert!(seen > 0);
}

#[test]
fn a_successor_hears_at_once_that_all_output_has_left() {
    let (mut common, mut primary, mut host) = guarded();
    host.console_pending = 30;
    say(&mut primary, &mut common, TOOL, Message::SwitchOver);
    turn(&mut primary, &mut common, &mut host);
    assert!(primary.standing_for_switch_over());
    primary.clock = GuestClock::starting(0, 0);
    common.commands.clear();
    primary.console_released = 200;
    let mut beat = |primary: &mut Primary| {
        primary.heartbeat(&mut common, &mut host, MS);
        shown(&mut common.commands)
    };
    primary.gate.hold(Seq::MAX, Output::Console { offset: 200, bytes: vec![7] });
    assert_eq!(beat(&mut primary), [""; 0], "not all of it");
    primary.gate.release(Seq::MAX).expect("what was held");
    let ticks = primary.recorder.machine().time().max(10_000);
    let told = format!("9 Heartbeat {{ ticks: {ticks}, console_released: 200 }}");
    assert_eq!(beat(&mut primary), [told], "what is not written yet will be, by this process");
    assert_eq!(beat(&mut primary), [""; 0], "once");
}

#[test]
fn a_guest_rests_while_a_bound_is_reached() {
    let (mut common, mut primary, mut host) = guarded();
    let look = |primary: &Primary, common: &Common, host: &mut Host| primary.hindrance(common, host, 3 * MS);
    assert_eq!(look(&primary, &common, &mut host), None);
    primary.gate.hold(Seq::MAX, Output::Net { seq: 9, frame: vec![0; 60] });
    let bytes = primary.gate.bytes_len();
    let later = Some(4 * MS);
    for (outputs_max, bytes_max, until) in
        [(2, bytes + 1, None), (1, bytes + 1, later), (2, bytes, later), (0, 0, later)]
    {
        (common.settings.gate_outputs_max, common.settings.gate_bytes_max) = (outputs_max, bytes_max);
        assert_eq!(look(&primary, &common, &mut host), until, "{outputs_max} outputs, {bytes_max} bytes");
    }
    common.settings = Settings::default();
    host.blocked = true;
    assert_eq!(look(&primary, &common, &mut host), later);
    host.blocked = false;
    for (resume_ns, until) in [(3 * MS, None), (3 * MS + 1, Some(3 * MS + 1))] {
        primary.resume_ns = resume_ns;
        assert_eq!(look(&primary, &common, &mut host), until);
    }
}

#[test]
fn a_guest_that_lags_its_backup_behind_is_slowed() {
    let settings = Settings::default();
    let (_, mut primary, _) = guarded();
    let at = primary.icount();
    let mut lagging = |behind_ns: u64| {
        let backup = follower(&mut primary);
        backup.lag = crate::ft::lag::LagMeter::starting(Icount(0));
        backup.lag.advance(at, 1000 * MS - behind_ns);
        (primary.brake, primary.resume_ns) = Default::default();
        assert_eq!(primary.brake(&settings, 998 * MS, 1000 * MS), 1000 * MS);
        primary.resume_ns
    };
    // By 50 of 20 to 80 ms it gives up half its time: as long as it ran.
    assert_eq!(lagging(50 * MS), 1002 * MS);
    assert_eq!(lagging(20 * MS), 0, "none of it");
    assert_eq!(lagging(80 * MS), 1001 * MS, "all of it, and the lag is looked at soon");
    // A look at the lag comes with the position that the guest has reached.
    let (_, mut primary, _) = guarded();
    follower(&mut primary).lag = crate::ft::lag::LagMeter::starting(Icount(0));
    primary.brake(&settings, 0, 7 * MS);
    let lag = &follower(&mut primary).lag;
    assert_eq!((lag.instructions(), lag.ns(9 * MS)), (at.get(), 2 * MS));
}

#[test]
fn a_joiner_slows_the_guest_once_it_has_the_state_and_by_more_with_time() {
    let (mut common, mut primary, _) = resting();
    say(&mut primary, &mut common, PEER, Message::Join { vm: "vm".into(), node: NodeId(2) });
    let settings = common.settings;
    let owes = |primary: &mut Primary, ran_ns: u64| {
        (primary.brake, primary.resume_ns) = Default::default();
        primary.brake(&settings, 1000 * MS - ran_ns, 1000 * MS);
        primary.resume_ns.saturating_sub(1000 * MS)
    };
    primary.memory_copy().expect("it begins at once").packed(2 * MS);
    assert_eq!(owes(&mut primary, 5 * MS), 0, "it was offered nothing yet");
    assert!(primary.memory_copy().is_some_and(|memory| memory.waits()), "the guest has had 5 ms of 6");
    assert_eq!(owes(&mut primary, MS), 0);
    assert!(primary.memory_copy().is_some_and(|memory| !memory.waits()));
    follower(&mut primary).lag = crate::ft::lag::LagMeter::starting(Icount(0));
    owes(&mut primary, 0);
    assert_eq!(follower(&mut primary).lag.instructions(), 0, "it is not behind before it is offered a state");
    primary.offer(&mut common, PEER, Default::default(), 0);
    assert_eq!(owes(&mut primary, 3 * MS), 0, "it has not reported that it has the state");
    for (since_ns, rest_ns) in [(1000 * MS, 2 * MS), (600 * MS, 4 * MS + MS / 2)] {
        follower(&mut primary).joining_mut().expect("it joins").restored_ns = Some(since_ns);
        // 400 in 1000 at first, 600 after 400 ms.
        assert_eq!(owes(&mut primary, 3 * MS), rest_ns);
    }
    assert_eq!(follower(&mut primary).lag.instructions(), 0);
}

#[test]
fn typed_bytes_wait_until_the_guest_listens_and_fit_into_its_console() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let mut primary = Primary::boot(&mut common, boot_echo(1), 0);
    let mut host = Host::default();
    step(&mut primary, &mut common, Event::ConsoleInput(b"ab".to_vec()));
    assert_eq!((primary.console_room(), primary.inputs_ready(&common)), (0, false));
    for _ in 0..100 {
        if primary.recorder.machine().board().uart.is_listened_to() {
            break;
        }
        assert_eq!(primary.console.len(), 2, "not before");
        turn(&mut primary, &mut common, &mut host);
    }
    inputs(&mut common);
    comes_to_rest(&mut primary, &mut common, &mut host);
    let entries = inputs(&mut common);
    assert_eq!(entries, ["Input(Console([97, 98]))"]);
    assert_eq!(primary.console.len(), 0);
    let room = primary.console_room();
    assert_eq!(room, primary.recorder.machine().console_ready());
    assert!(room > 2 && !primary.inputs_ready(&common), "nothing waits");
    // More than fits: what fits is delivered, the rest stays.
    step(&mut primary, &mut common, Event::ConsoleInput(vec![b'x'; room + 5]));
    assert!(primary.inputs_ready(&common));
    common.commands.clear();
    primary.inject(&mut common);
    assert_eq!((primary.console.len(), primary.console_room()), (5, 0));
    assert!(!primary.inputs_ready(&common), "no room");
}

/// The inputs in the log that is written.
fn inputs(common: &mut Common) -> Vec<String> {
    let mut found = Vec::new();
    for command in std::mem::take(&mut common.commands) {
        if let Command::Append { bytes } = command {
            for event in crate::ft::testing::events(&bytes) {
                if let log::Event::Input(
                    Input::Console(_) | Input::ConsoleSize { .. } | Input::NetFrame { .. },
                )
                | log::Event::Typed { .. } = &event
                {
                    found.push(format!("{event:?}"));
                }
            }
        }
    }
    found
}

#[test]
fn what_a_terminal_types_is_logged_with_its_session_and_confirmed_once_it_is_safe() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let mut primary = Primary::boot(&mut common, boot_echo(1), 0);
    let mut host = Host::default();
    comes_to_rest(&mut primary, &mut common, &mut host);
    counts(&mut common, &mut primary, PEER);
    let types = |common: &mut Common, seq, bytes: &[u8]| {
        let Common { terminals, commands, .. } = common;
        terminals.message(TOOL, Message::ConsoleInput { seq, bytes: bytes.to_vec() }, commands);
    };
    let Common { terminals, commands, .. } = &mut common;
    terminals.attach(TOOL, (0, None, 77), 0, commands);
    assert!(!primary.inputs_ready(&common));
    types(&mut common, 0, b"hi");
    assert!(primary.inputs_ready(&common));
    common.commands.clear();
    primary.inject_typing(&mut common);
    let typed = last(&primary);
    assert!(!primary.inputs_ready(&common));
    primary.flush(&mut common, 0, false);
    primary.release(&mut common);
    assert_eq!(
        shown(&mut common.commands),
        ["9 log [Input(Console([104, 105])), Typed { session: 77, upto: 2 }]"]
    );
    acks(&mut primary, &mut common, Seq(typed.get() - 1));
    assert_eq!(shown(&mut common.commands), [""; 0]);
    acks(&mut primary, &mut common, typed);
    assert_eq!(shown(&mut common.commands), ["30 ConsoleTaken { upto: 2 }"]);
    // No more than fits.
    let room = primary.console_room();
    types(&mut common, 2, &vec![b'y'; room + 1]);
    primary.inject_typing(&mut common);
    primary.flush(&mut common, 0, false);
    let log = shown(&mut common.commands);
    assert!(log[0].ends_with(&format!("Typed {{ session: 77, upto: {} }}]", 2 + room)), "{log:?}");
    assert!(common.terminals.has_typed());
    primary.inject_typing(&mut common);
    assert!(primary.recorder.flush(false).is_none(), "there is no room");
}

#[test]
fn a_window_is_logged_when_its_size_is_another() {
    let (mut common, mut primary, _) = guarded();
    let mut sized = |cols, rows| {
        common.terminals.resize(cols, rows);
        assert!(primary.inputs_ready(&common));
        primary.inject(&mut common);
        assert!(!primary.inputs_ready(&common));
        primary.flush(&mut common, 0, false);
        shown(&mut common.commands)
    };
    let log = |cols, rows| format!("9 log [Input(ConsoleSize {{ cols: {cols}, rows: {rows} }})]");
    assert_eq!(sized(100, 40), [log(100, 40)]);
    assert_eq!(sized(100, 40), [""; 0]);
    assert_eq!(sized(101, 40), [log(101, 40)]);
    assert_eq!(sized(101, 41), [log(101, 41)]);
}

#[test]
fn a_guest_that_has_ended_takes_no_input_and_each_is_counted() {
    let (mut common, mut primary, mut host) = resting();
    step(&mut primary, &mut common, Event::Frame { rx_seq: 1, frame: request("1 HALT") });
    for _ in 0..100 {
        if primary.ended.is_none() {
            primary.run(&mut common, &mut host);
        }
    }
    assert_eq!(primary.ended.map(|(exit, _)| exit), Some(Exit::Pass));
    primary.disks.issued(&DiskRequest { disk: 0, tag: 1, op: DiskOp::Flush });
    primary.disks.ended(DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: vec![] });
    primary.inject(&mut common);
    assert_eq!(primary.inputs_dropped, 1);
    common.terminals.resize(99, 9);
    primary.inject(&mut common);
    assert_eq!(primary.inputs_dropped, 2);
}

/// `text` as a datagram to the guest's port 9000.
fn request(text: &str) -> Vec<u8> {
    use crate::machine::BootOptions;
    use crate::net::ether::{self, Mac, Station};
    let guest = Station { mac: Mac(BootOptions::default().mac), ip: [10, 0, 2, 15].into() };
    let client = Station { mac: Mac([2, 0, 0, 0, 0, 1]), ip: [10, 0, 2, 2].into() };
    ether::udp(client, 5000, guest, 9000, text.as_bytes())
}

#[test]
fn digests_for_the_backup_are_as_far_apart_as_they_are_set() {
    let (mut common, mut primary, _) = guarded();
    let settings = common.settings;
    let at = primary.icount();
    let mut audits = |primary: &mut Primary, last: (u64, Icount), now_ns| {
        primary.audited = last;
        follower(primary).audits.clear();
        primary.audit(&settings, now_ns);
        primary.flush(&mut common, 0, false);
        let logged = shown(&mut common.commands).iter().any(|command| command.contains("Digest"));
        assert_eq!(follower(primary).audits.len(), usize::from(logged));
        (logged, primary.audited)
    };
    let before = Icount(at.get() - 1);
    assert_eq!(audits(&mut primary, (5, before), 1000 * MS + 4), (false, (5, before)));
    assert_eq!(audits(&mut primary, (5, before), 1000 * MS + 5), (true, (1000 * MS + 5, at)));
    assert_eq!(audits(&mut primary, (5, at), 9000 * MS), (false, (5, at)), "it has not moved");
    primary.ended = Some((Exit::Pass, Seq(1)));
    assert_eq!(audits(&mut primary, (5, before), 9000 * MS), (false, (5, before)));
}

#[test]
fn a_digest_waits_for_its_agreement_while_a_node_follows() {
    let (_, mut primary, _) = guarded();
    let digest = primary.recorder.machine_mut().digest();
    let at = primary.icount();
    primary.recorder.record_digest();
    primary.audited = (0, Icount(1));
    follower(&mut primary).audits = (0..64).map(|n| (Icount(n), Digest(0))).collect();
    primary.note_digest(3);
    assert_eq!(primary.audited, (3, at));
    assert_eq!(
        (follower(&mut primary).audits.len(), follower(&mut primary).audits[0].0),
        (64, Icount(1)),
        "bounded"
    );
    assert_eq!(follower(&mut primary).audits.back(), Some(&(at, digest)));
    primary.note_digest(4);
    assert_eq!((primary.audited, follower(&mut primary).audits.len()), ((3, at), 64), "it is noted once");
    follower(&mut primary).audits = (0..63).map(|n| (Icount(n), Digest(0))).collect();
    primary.audited = (0, Icount(1));
    primary.note_digest(3);
    assert_eq!((follower(&mut primary).audits.len(), follower(&mut primary).audits[0].0), (64, Icount(0)));
    // Without a follower none comes.
    forget_all(&mut primary);
    primary.audited = (0, Icount(1));
    primary.note_digest(5);
    assert_eq!(primary.audited, (5, at));
}

#[test]
fn an_agreement_settles_its_digest_and_older_ones() {
    let (mut common, mut primary, _) = guarded();
    follower(&mut primary).audits = (1..=4).map(|n| (Icount(n * 10), Digest(n.into()))).collect();
    let received = last(&primary);
    let mut agrees = |icount, digest| {
        let audited = Some(Audit { icount: Icount(icount), digest: Digest(digest) });
        let message = Message::Ack { received, durable: Seq::ZERO, executed: Icount(0), audited };
        say(&mut primary, &mut common, PEER, message);
        let left: Vec<u64> = follower(&mut primary).audits.iter().map(|(icount, _)| icount.get()).collect();
        (left, primary.audits_agreed, primary.last_audit.map(|audit| audit.icount.get()))
    };
    assert_eq!(agrees(20, 2), (vec![30, 40], 1, Some(20)));
    assert_eq!(agrees(30, 9), (vec![30, 40], 1, Some(20)), "it is another digest");
    assert_eq!(agrees(35, 3), (vec![40], 1, Some(20)), "none was written there");
    assert_eq!(agrees(40, 4), (vec![], 2, Some(40)));
}

#[test]
fn inbound_frames_are_safe_as_far_as_their_entries_are_acknowledged() {
    let (mut common, mut primary, _) = guarded();
    primary.frames_unsafe = [(Seq(5), 1), (Seq(6), 2), (Seq(8), 3)].into();
    primary.commit = Default::default();
    primary.commit.add(NodeId(2), Seq(6), Default::default());
    primary.release(&mut common);
    assert_eq!(shown(&mut common.commands), ["FramesSafe { rx_seq: 2 }"]);
    primary.release(&mut common);
    assert_eq!(shown(&mut common.commands), [""; 0], "once");
    primary.lose(&mut common, PEER, "reset");
    common.commands.clear();
    primary.release(&mut common);
    assert_eq!(shown(&mut common.commands), [""; 0], "a claim decides");
    forget_all(&mut primary);
    primary.release(&mut common);
    assert_eq!(shown(&mut common.commands), ["FramesSafe { rx_seq: 3 }"]);
    assert!(primary.frames_unsafe.is_empty());
}

#[test]
fn what_has_left_is_counted() {
    let (mut common, mut primary, _) = resting();
    let (outputs, console) = (primary.outputs_released, primary.console_released);
    primary.let_go(&mut common, Output::Console { offset: console + 10, bytes: vec![b'a'; 5] });
    assert_eq!((primary.outputs_released, primary.console_released), (outputs + 1, console + 15));
    primary.let_go(&mut common, Output::Console { offset: 0, bytes: vec![b'a'; 5] });
    assert_eq!((primary.outputs_released, primary.console_released), (outputs + 2, console + 15));
    let released = shown(&mut common.commands);
    assert_eq!(released.len(), 2);
    assert!(released.iter().all(|command| command.starts_with("Release(Console")), "{released:?}");
}

#[test]
fn a_frame_of_log_is_recorded_and_sent_to_a_node_that_follows() {
    let (mut common, mut primary, _) = guarded();
    let before = primary.log_bytes;
    primary.recorder.record(log::Event::Horizon);
    primary.flush(&mut common, 7, false);
    assert_eq!(primary.flushed_ns, 7);
    let [Command::Append { bytes }, Command::Send { .. }] = &common.commands[..] else { panic!() };
    assert_eq!(primary.log_bytes, before + bytes.len() as u64);
    assert_eq!(shown(&mut common.commands), ["9 log [Horizon]"]);
    primary.flush(&mut common, 8, false);
    assert_eq!((primary.flushed_ns, common.commands.len()), (8, 0));
    forget_all(&mut primary);
    primary.recorder.record(log::Event::Horizon);
    primary.flush(&mut common, 9, false);
    assert_eq!(shown(&mut common.commands), ["append [Horizon]"]);
}

#[test]
fn a_lone_guest_reports_where_it_is_ten_times_a_second_and_a_followed_one_every_4_ms() {
    let (mut common, mut primary, mut host) = resting();
    // It computes without an entry: a position past the last one.
    let mut written = |primary: &mut Primary, common: &mut Common, now_ns| {
        primary.frames.push_back((primary.frame_last + 1, arp_request()));
        primary.frame_last += 1;
        common.commands.clear();
        host.now_ns = now_ns;
        turn(primary, common, &mut host);
        common.commands.iter().filter(|command| matches!(command, Command::Append { .. })).count()
    };
    // An answer is an output, which is flushed at once.
    assert_eq!(written(&mut primary, &mut common, MS), 1);
    common.commands.clear();
    primary.flush(&mut common, 10 * MS, true);
    let quiet = |primary: &mut Primary, common: &mut Common, now_ns: u64| {
        let mut host = Host { now_ns, ..Host::default() };
        turn(primary, common, &mut host);
        (primary.flushed_ns, shown(&mut common.commands).len())
    };
    quiet(&mut primary, &mut common, 10 * MS);
    assert_eq!(quiet(&mut primary, &mut common, 110 * MS - 1).0, 10 * MS);
    assert_eq!(quiet(&mut primary, &mut common, 110 * MS).0, 110 * MS);
    counts(&mut common, &mut primary, PEER);
    primary.flushed_ns = 110 * MS;
    follower(&mut primary).detector = Detector::new(110 * MS, 1000 * MS, 1000 * MS, 1000 * MS);
    assert_eq!(quiet(&mut primary, &mut common, 114 * MS - 1).0, 110 * MS);
    assert_eq!(quiet(&mut primary, &mut common, 114 * MS).0, 114 * MS);
}

#[test]
fn a_guest_is_stopped_at_its_limit_with_a_digest() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let mut boot = crate::ft::testing::boot_kv(1, Default::default());
    boot.limit = Icount(1000);
    let mut primary = Primary::boot(&mut common, boot, 0);
    let mut host = Host::default();
    common.commands.clear();
    let (next, pace) = primary.run(&mut common, &mut host);
    assert!(matches!((next, pace), (Next::Halt(Halt::LimitReached), Pace::Now)));
    assert_eq!(primary.icount(), Icount(1000));
    let log = shown(&mut common.commands);
    assert!(log.last().is_some_and(|frame| frame.contains("Digest(")), "{log:?}");
    assert!(!log.iter().any(|command| command.contains("EndLife")), "its life goes on elsewhere");
}

#[test]
fn an_ended_guest_ends_the_node_once_everything_before_has_left_and_is_safe() {
    let (mut common, mut primary, _) = guarded();
    let end = last(&primary);
    primary.ended = Some((Exit::Fail(3), end));
    let mut finishes = |primary: &mut Primary| match primary.finish(&mut common) {
        None => vec!["stays".to_owned()],
        Some(Next::Halt(halt)) => {
            shown(&mut common.commands).into_iter().chain([format!("{halt:?}")]).collect()
        }
        Some(_) => panic!(),
    };
    let all = ["9 Bye { why: \"the guest has ended\" }", "EndLife { generation: g1 }", "GuestEnded(Fail(3))"];
    let acked = |primary: &mut Primary, acked| {
        primary.commit = Default::default();
        primary.commit.add(NodeId(2), acked, Default::default());
    };
    acked(&mut primary, Seq(end.get() - 1));
    assert_eq!(finishes(&mut primary), ["stays"]);
    acked(&mut primary, end);
    primary.gate.hold(Seq::MAX, Output::Console { offset: 0, bytes: vec![7] });
    assert_eq!(finishes(&mut primary), ["stays"]);
    primary.gate.release(Seq::MAX).expect("what was held");
    primary.limit = Icount(0);
    assert_eq!(finishes(&mut primary), all);
    forget_all(&mut primary);
    assert_eq!(finishes(&mut primary), all[1..]);
    let keeps = Vec::new();
    primary.claiming = Some(Claiming { generation: Generation(2), keeps, after: NodeId(1), retry_ns: None });
    assert_eq!(finishes(&mut primary), ["stays"], "a claim decides");
}

#[test]
fn a_flush_waits_for_the_backups_disk_while_one_counts_or_may() {
    let (mut common, mut primary, _) = resting();
    assert!(!primary.commit.is_guarded());
    say(&mut primary, &mut common, PEER, Message::Join { vm: "vm".into(), node: NodeId(2) });
    assert!(!primary.commit.is_guarded());
    counts(&mut common, &mut primary, PEER);
    assert!(primary.commit.is_guarded());
    primary.lose(&mut common, PEER, "reset");
    assert!(primary.commit.is_guarded());
}

/// A machine with a disk, whose first request has failed while a backup counts.
fn with_a_failed_disk() -> (Common, Primary, Host) {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    counts(&mut common, &mut primary, PEER);
    primary.ask_disk(&mut common, DiskRequest { disk: 0, tag: 1, op: DiskOp::Flush });
    assert_eq!(shown(&mut common.commands), ["Disk(DiskRequest { disk: 0, tag: 1, op: Flush })"]);
    let done = DiskDone { disk: 0, tag: 1, status: DiskStatus::IoError, data: Vec::new() };
    step(&mut primary, &mut common, Event::DiskDone(done));
    (common, primary, Host::default())
}

#[test]
fn a_node_whose_disk_fails_hands_the_guest_to_its_backup_and_leaves() {
    let (mut common, mut primary, mut host) = with_a_failed_disk();
    assert!(!primary.inputs_ready(&common), "the failure is not the guest's");
    let at = primary.icount();
    turn(&mut primary, &mut common, &mut host);
    let said = shown(&mut common.commands);
    assert_eq!(
        said[0],
        "tell disk 0 of this node failed request 1: the backup 0000000000000002 goes on with its own, and this \
         node leaves"
    );
    assert!(
        said[1].starts_with("9 log [") && said[1].ends_with("SwitchOver { to: Some(n0000000000000002) }]"),
        "{said:?}"
    );
    assert_eq!((said.len(), primary.icount(), phase(&primary).as_str()), (2, at, "switching-over"));
    turn(&mut primary, &mut common, &mut host);
    assert_eq!((shown(&mut common.commands).len(), primary.icount()), (0, at), "said once, and it stands");
    let entry = last(&primary);
    acks(&mut primary, &mut common, entry);
    // The successor's log has begun: this node does not follow it.
    let event = Event::Message { link: PEER, message: Message::Log(vec![1, 2, 3]) };
    let Next::Yield(to) = primary.step(&mut common, event, 5) else { panic!() };
    assert_eq!(
        (to.link, to.node, to.asked_by, &to.log[..], to.now_ns),
        (PEER, NodeId(2), None, &[1, 2, 3][..], 5)
    );
    common.commands.clear();
    let halt = primary.into_follower(&mut common, &to).err();
    assert_eq!(halt, Some(Halt::DiskFailed { disk: 0, tag: 1 }));
    assert_eq!(
        shown(&mut common.commands),
        ["9 Bye { why: \"disk 0 of the old primary failed request 1\" }"]
    );
}

#[test]
fn a_disk_that_fails_changes_nothing_when_no_backup_can_take_over() {
    let (mut common, mut primary, _) = with_a_failed_disk();
    primary.ended = Some((Exit::Pass, Seq(1)));
    primary.give_up_place_if_disk_failed(&mut common);
    primary.ended = None;
    forget_all(&mut primary);
    primary.give_up_place_if_disk_failed(&mut common);
    assert_eq!(shown(&mut common.commands), [""; 0]);
    assert!(primary.inputs_ready(&common), "alone, the guest sees it");
    // A tool's switch-over is under way: it is not asked for a second time.
    let (mut common, mut primary, _) = with_a_failed_disk();
    say(&mut primary, &mut common, TOOL, Message::SwitchOver);
    primary.give_up_place_if_disk_failed(&mut common);
    assert_eq!(shown(&mut common.commands), [""; 0]);
    let switching = primary.switching.expect("it is under way");
    assert_eq!((switching.asked_by, switching.entry), (Some(TOOL), None));
}

#[test]
fn a_switch_over_stops_the_guest_at_its_entry_until_the_successor_begins() {
    let (mut common, mut primary, mut host) = guarded();
    say(&mut primary, &mut common, TOOL, Message::SwitchOver);
    assert_eq!(shown(&mut common.commands), [""; 0]);
    assert_eq!(phase(&primary), "switching-over");
    assert!(!primary.standing_for_switch_over());
    let digest = primary.recorder.machine_mut().digest();
    assert_eq!(turn(&mut primary, &mut common, &mut host), Pace::At(10 * MS));
    assert!(primary.standing_for_switch_over());
    assert_eq!(
        shown(&mut common.commands),
        [format!("9 log [Digest({digest:?}), SwitchOver {{ to: Some(n0000000000000002) }}]")]
    );
    // What comes for the guest from here on waits for the successor.
    primary.console_told = primary.console_released;
    let at = primary.icount();
    step(&mut primary, &mut common, Event::Frame { rx_seq: 1, frame: arp_request() });
    turn(&mut primary, &mut common, &mut host);
    assert_eq!((primary.icount(), primary.frames.len(), shown(&mut common.commands).len()), (at, 1, 0));
    let second = LinkId(31);
    say(&mut primary, &mut common, second, Message::SwitchOver);
    assert_eq!(
        shown(&mut common.commands),
        ["31 Refuse { why: \"a switch-over or the guest's end is under way\" }", "31 closed"]
    );
    // The backup's log before it has acknowledged the last output is a mistake.
    primary.gate.hold(last(&primary), Output::Console { offset: 0, bytes: vec![7] });
    say(&mut primary, &mut common, PEER, Message::Log(vec![1]));
    assert_eq!(
        shown(&mut common.commands),
        [
            "tell the backup 0000000000000002 is lost: it took over before it had acknowledged everything",
            "9 closed",
            "30 Refuse { why: \"the backup was lost during the switch-over\" }",
            "30 closed",
            "Claim { generation: g2, keeps: [], after: n0000000000000001 }",
        ]
    );
}

#[test]
fn log_from_a_backup_that_was_not_asked_to_take_over_ends_its_place() {
    for asked in [false, true] {
        let (mut common, mut primary, _) = guarded();
        if asked {
            // The entry is not written yet.
            say(&mut primary, &mut common, TOOL, Message::SwitchOver);
        }
        say(&mut primary, &mut common, PEER, Message::Log(vec![1]));
        let said = shown(&mut common.commands);
        assert_eq!(said[0], "tell the backup 0000000000000002 is lost: it sent log out of turn");
        assert_eq!(phase(&primary), "claiming");
    }
    let (mut common, mut primary, _) = resting();
    say(&mut primary, &mut common, PEER, Message::Join { vm: "vm".into(), node: NodeId(2) });
    common.commands.clear();
    say(&mut primary, &mut common, PEER, Message::Log(vec![1]));
    let said = shown(&mut common.commands);
    assert_eq!(said[0], "tell the joining backup 0000000000000002 is gone: it sent log out of turn");
    assert_eq!(phase(&primary), "alone");
}

#[test]
fn the_old_primary_of_a_switch_over_whose_disk_fails_tells_the_tool() {
    let (mut common, mut primary, mut host) = with_a_failed_disk();
    say(&mut primary, &mut common, TOOL, Message::SwitchOver);
    turn(&mut primary, &mut common, &mut host);
    common.commands.clear();
    let to = crate::ft::handover::Yield {
        link: PEER,
        node: NodeId(2),
        asked_by: Some(TOOL),
        log: Vec::new(),
        now_ns: 0,
    };
    assert!(primary.into_follower(&mut common, &to).is_err());
    assert_eq!(
        shown(&mut common.commands)[1..],
        ["30 Refuse { why: \"switched over, but the old primary left: its disk has failed\" }", "30 closed"]
    );
}

#[test]
fn a_won_claim_lets_go_of_everything() {
    let (mut common, mut primary, _) = guarded();
    primary.gate.hold(Seq::MAX, Output::Console { offset: 0, bytes: vec![7] });
    primary.lose(&mut common, PEER, "reset");
    common.commands.clear();
    // An answer about another generation is none.
    let won = |generation| Event::Claimed { generation, outcome: Ok(Claim::Won) };
    step(&mut primary, &mut common, won(Generation(3)));
    assert_eq!((shown(&mut common.commands).len(), phase(&primary).as_str()), (0, "claiming"));
    step(&mut primary, &mut common, won(Generation(2)));
    assert_eq!(
        shown(&mut common.commands),
        [
            "tell going on alone as generation 2",
            "append [Generation { generation: g2, node: n0000000000000001, why: Alone }]",
            "Activate { generation: g2, rx_seq: 0 }",
            "Release(Console { offset: 0, bytes: [7] })",
        ]
    );
    assert_eq!((primary.generation(), phase(&primary).as_str()), (Generation(2), "alone"));
    step(&mut primary, &mut common, won(Generation(2)));
    assert_eq!(shown(&mut common.commands), [""; 0]);
}

#[test]
fn a_guests_questions_are_answered_by_the_host_and_its_time_by_the_guests_clock() {
    let mut world = Host { now_ns: 2500, ..Host::default() };
    let mut live = Live { clock: GuestClock::starting(500, 700), world: &mut world };
    let mut bytes = [0; 3];
    live.entropy(&mut bytes);
    assert_eq!((live.ticks(), bytes, live.wall_clock_ns()), (720, [1; 3], 2500));
    assert_eq!(live.host_id(), 4);
}

/// A primary of this guest, alone.
fn of(boot: Boot) -> (Common, Primary, Host) {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let primary = Primary::boot(&mut common, boot, 0);
    (common, primary, Host::default())
}

#[test]
fn entries_of_a_guest_at_rest_go_at_once_and_those_of_one_that_computes_with_its_position() {
    let (mut common, mut primary, mut host) = guarded();
    common.terminals.resize(90, 30);
    turn(&mut primary, &mut common, &mut host);
    assert_eq!(shown(&mut common.commands), ["9 log [Input(ConsoleSize { cols: 90, rows: 30 })]"]);
    let (mut common, mut primary, mut host) = of(boot_crunch(1));
    turn(&mut primary, &mut common, &mut host);
    primary.flush(&mut common, 0, true);
    common.commands.clear();
    common.terminals.resize(90, 30);
    host.now_ns = 100 * MS - 1;
    turn(&mut primary, &mut common, &mut host);
    assert_eq!(shown(&mut common.commands), [""; 0], "it computes, and the time is not up");
    host.now_ns = 100 * MS;
    turn(&mut primary, &mut common, &mut host);
    let log = shown(&mut common.commands);
    assert!(log.len() == 1 && log[0].starts_with("append [") && log[0].ends_with("Horizon]"), "{log:?}");
}

#[test]
fn a_batch_of_log_takes_no_more_inputs_than_it_has_room_for() {
    let filled = |waiting: usize| {
        let (common, mut primary, _) = guarded();
        for len in [FRAME_BYTES_SOFT / 2, 0] {
            let event =
                |len| log::Event::Input(Input::Console((0..len).map(|n| (n * 7 + n / 256) as u8).collect()));
            if len > 0 {
                primary.recorder.record(event(len));
            } else {
                // What the second entry costs besides its bytes is the same as of the first.
                let cost = primary.recorder.log_bytes_waiting() - FRAME_BYTES_SOFT / 2;
                let rest = waiting - primary.recorder.log_bytes_waiting();
                for spare in 0..=2 * cost {
                    let (_, mut probe, _) = guarded();
                    probe.recorder.record(event(FRAME_BYTES_SOFT / 2));
                    probe.recorder.record(event(rest - spare));
                    if probe.recorder.log_bytes_waiting() == waiting {
                        primary.recorder.record(event(rest - spare));
                        break;
                    }
                }
            }
        }
        assert_eq!(primary.recorder.log_bytes_waiting(), waiting);
        (common, primary)
    };
    for (waiting, left) in [(FRAME_BYTES_SOFT, 1), (FRAME_BYTES_SOFT - 1, 0)] {
        let (mut common, mut primary) = filled(waiting);
        primary.frames.push_back((1, arp_request()));
        primary.inject(&mut common);
        assert_eq!(primary.frames.len(), left);
        let (mut common, mut primary) = filled(waiting);
        primary.disks.issued(&DiskRequest { disk: 0, tag: 1, op: DiskOp::Write { sector: 0, data: vec![] } });
        primary.disks.ended(DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: vec![] });
        primary.inject(&mut common);
        assert_eq!(primary.disks.is_ready(&primary.commit), left == 1);
    }
    // A guest that has no room for a frame is given none.
    let (mut common, mut primary, _) = running();
    assert!(!primary.recorder.machine().net_ready());
    primary.frames.push_back((1, arp_request()));
    primary.inject(&mut common);
    assert_eq!((primary.frames.len(), primary.inputs_dropped), (1, 0));
}

#[test]
fn what_two_terminals_type_takes_two_turns_without_a_rest() {
    let (mut common, mut primary, mut host) = of(boot_echo(1));
    comes_to_rest(&mut primary, &mut common, &mut host);
    for (link, session) in [(TOOL, 77), (LinkId(31), 78)] {
        let Common { terminals, commands, .. } = &mut common;
        terminals.attach(link, (0, None, session), 0, commands);
        terminals.message(link, Message::ConsoleInput { seq: 0, bytes: b"a".to_vec() }, commands);
    }
    let paces: Vec<Pace> = (0..8).map(|_| turn(&mut primary, &mut common, &mut host)).collect();
    let rests = paces.iter().position(|pace| *pace == NEVER);
    assert!(rests.is_some_and(|rests| rests > 0) && !common.terminals.has_typed(), "{paces:?}");
}

#[test]
fn each_input_for_a_guest_that_has_ended_is_counted() {
    let (mut common, mut primary, mut host) = of(boot_echo(1));
    comes_to_rest(&mut primary, &mut common, &mut host);
    step(&mut primary, &mut common, Event::ConsoleInput(b"quit\n".to_vec()));
    for _ in 0..100 {
        primary.run(&mut common, &mut host);
    }
    assert_eq!(primary.ended, Some((Exit::Pass, last(&primary))));
    primary.inputs_dropped = 5;
    assert!(primary.console_room() > 0);
    step(&mut primary, &mut common, Event::ConsoleInput(b"a".to_vec()));
    primary.inject(&mut common);
    assert_eq!(primary.inputs_dropped, 6);
    let Common { terminals, commands, .. } = &mut common;
    terminals.attach(TOOL, (0, None, 77), 0, commands);
    terminals.message(TOOL, Message::ConsoleInput { seq: 0, bytes: b"a".to_vec() }, commands);
    primary.inject_typing(&mut common);
    assert_eq!(primary.inputs_dropped, 7);
}

#[test]
fn what_a_guest_asks_of_its_disk_is_passed_on() {
    let (mut common, mut primary, mut host) = of(boot_diskkv(1));
    for _ in 0..100 {
        turn(&mut primary, &mut common, &mut host);
    }
    let asked = shown(&mut common.commands);
    assert!(asked.iter().any(|command| command.starts_with("Disk(DiskRequest { disk: 0, tag: 1, op: Read")));
}
