//! What a primary tells its guest, and when.

use super::super::follower::JOIN_PROGRESS_NS;
use super::*;
use crate::base::{Generation, Icount, NodeId};
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskOp, DiskSpec, DiskStatus};
use crate::ft::Boot;
use crate::ft::arbiter::Claim;
use crate::ft::event::Event;
use crate::ft::link::LinkId;
use crate::ft::testing::{Host, boot_kv, events, shown};
use crate::machine::{BoardModel, BootOptions, Kernel, KernelBoot, Machine};

/// A machine with one disk, about to run a kernel that is nothing but a header.
pub(in super::super) fn machine() -> Machine {
    let mut image = vec![0; 0x1000];
    image[0x08..0x10].copy_from_slice(&(2u64 << 20).to_le_bytes());
    image[0x10..0x18].copy_from_slice(&0x1000u64.to_le_bytes());
    image[0x30..0x38].copy_from_slice(b"RISCV\0\0\0");
    let kernel = Kernel::parse(&image).expect("a good image");
    let disks = vec![DiskSpec { sectors: 8, read_only: false, serial: String::new() }];
    let options = BootOptions { ram_bytes: 8 << 20, disks, ..BootOptions::default() };
    Machine::boot_kernel(&KernelBoot { kernel: Some(kernel), initrd: None, firmware: None }, &options)
        .expect("it boots")
}

/// A primary of the key-value guest, alone.
pub(in super::super) fn running() -> (Common, Primary, Host) {
    running_on(BoardModel::default())
}

fn running_on(board: BoardModel) -> (Common, Primary, Host) {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let primary = Primary::boot(&mut common, boot_kv(1, board), 0);
    (common, primary, Host::default())
}

#[test]
fn a_machine_without_a_network_device_is_not_plugged_in() {
    let plugs = |common: &Common| common.commands.iter().filter(|c| matches!(c, Command::PlugIn(_))).count();
    assert_eq!(plugs(&running().0), 1);
    assert_eq!(plugs(&running_on(BoardModel::default().without_net()).0), 0);
}

#[test]
fn a_joiner_that_was_not_sent_everything_does_not_count_whatever_it_says() {
    const LINK: LinkId = LinkId(9);
    let (mut common, mut primary, mut host) = running();
    let say = |primary: &mut Primary, common: &mut Common, message| {
        primary.step(common, Event::Message { link: LINK, message }, 1);
    };
    say(&mut primary, &mut common, Message::Join { vm: "vm".into(), node: NodeId(2) });
    let mut offered = None;
    for turn in 0..10_000 {
        host.now_ns += 100_000;
        primary.run(&mut common, &mut host);
        let taken: Vec<Message> = std::mem::take(&mut common.commands)
            .into_iter()
            .filter_map(|command| match command {
                Command::Send { message, .. } => Some(message),
                _ => None,
            })
            .collect();
        for message in taken {
            match message {
                Message::MemoryChunk(_) => {
                    let chunks = primary.memory_copy().expect("it is being sent").progress().0;
                    say(&mut primary, &mut common, Message::MemoryTaken { chunks });
                }
                Message::Offer { seq_next, .. } => {
                    let received = Seq(seq_next.get() - 1);
                    let ack =
                        Message::Ack { received, durable: Seq::ZERO, executed: Icount::MAX, audited: None };
                    say(&mut primary, &mut common, ack);
                    (offered, host.unsent) = (Some(turn), usize::MAX);
                }
                _ => {}
            }
        }
        match offered {
            Some(at) if turn < at + 100 => assert!(!guards(&primary), "turn {turn}"),
            Some(_) => host.unsent = 0,
            None => {}
        }
        if guards(&primary) {
            return;
        }
    }
    panic!("it never counted");
}

#[test]
fn a_flush_waits_while_the_primary_is_unknown() {
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    primary.ask_disk(&mut common, DiskRequest { disk: 0, tag: 1, op: DiskOp::Flush });
    let done = DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: Vec::new() };
    // The backup that counted is lost before it has flushed.
    counts(&mut common, &mut primary, LinkId(9));
    primary.lose(&mut common, LinkId(9), "reset");
    primary.step(&mut common, Event::DiskDone(done), 1);
    assert!(!primary.inputs_ready(&common), "the lost backup may be primary, and has not flushed");
    primary.step(&mut common, Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) }, 2);
    assert!(primary.inputs_ready(&common), "this node's disk is the only one that counts");
}

/// Everything else that a joiner may say is no progress.
#[test]
fn a_joiner_that_only_says_that_it_lives_makes_way_for_another() {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut common = Common::new(NodeId(1), "vm", Settings::default());
    let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
    let mut primary = Primary::boot(&mut common, boot, 0);
    let mut host = Host::default();
    let join = |primary: &mut Primary, common: &mut Common, link, node, now_ns| {
        let message = Message::Join { vm: "vm".into(), node: NodeId(node) };
        common.commands.clear();
        primary.step(common, Event::Message { link, message }, now_ns);
        primary.is_peer(link)
    };
    assert!(join(&mut primary, &mut common, LinkId(9), 2, 0));
    // The disk's comparison is what it does not answer.
    for second in 1..=60 {
        host.now_ns = second * SECOND_NS;
        let message = Message::Heartbeat { ticks: 0, console_released: 0 };
        primary.step(&mut common, Event::Message { link: LinkId(9), message }, host.now_ns);
        primary.run(&mut common, &mut host);
        let holds = primary.is_peer(LinkId(9));
        assert_eq!(holds, host.now_ns < JOIN_PROGRESS_NS, "after {second} s");
        if !holds {
            break;
        }
        assert!(!join(&mut primary, &mut common, LinkId(10), 3, host.now_ns), "the place is taken");
        assert!(matches!(
            &common.commands[..],
            [
                Command::Send { link: LinkId(10), message: Message::Later { .. } },
                Command::Close { link: LinkId(10) }
            ]
        ));
    }
    assert!(join(&mut primary, &mut common, LinkId(11), 4, host.now_ns));
}

/// Follows a join up to the offer, acknowledges it without having executed anything, and lets the joiner lag.
pub(crate) fn a_joiner_far_behind_does_not_count() -> Result<(), String> {
    const LINK: LinkId = LinkId(9);
    let (mut common, mut primary, mut host) = running();
    let say = |primary: &mut Primary, common: &mut Common, message, now_ns| {
        primary.step(common, Event::Message { link: LINK, message }, now_ns);
    };
    say(&mut primary, &mut common, Message::Join { vm: "vm".into(), node: NodeId(2) }, 0);
    let mut received = None;
    for _ in 0..10_000 {
        host.now_ns += 100_000;
        primary.run(&mut common, &mut host);
        for command in std::mem::take(&mut common.commands) {
            match command {
                Command::Send { message: Message::MemoryChunk(_), .. } => {
                    let chunks = primary.memory_copy().expect("it is being sent").progress().0;
                    say(&mut primary, &mut common, Message::MemoryTaken { chunks }, host.now_ns);
                }
                Command::Send { message: Message::Offer { seq_next, .. }, .. } => {
                    received = Some(Seq(seq_next.get() - 1));
                }
                _ => {}
            }
        }
        let Some(joining) = follower(&mut primary).joining_mut() else {
            return Err("it counts unacknowledged".into());
        };
        if joining.is_sent() {
            break;
        }
    }
    let received = received.ok_or("nothing was offered")?;
    follower(&mut primary).lag.advance(Icount(u64::MAX - 1), host.now_ns);
    host.now_ns += 21_000_000;
    let behind = Message::Ack { received, durable: Seq::ZERO, executed: Icount(1), audited: None };
    say(&mut primary, &mut common, behind, host.now_ns);
    primary.count_in(&mut common, host.now_ns);
    if guards(&primary) {
        return Err("a joiner that is 21 ms behind counts".into());
    }
    let level = Message::Ack { received, durable: Seq::ZERO, executed: Icount(u64::MAX - 1), audited: None };
    say(&mut primary, &mut common, level, host.now_ns);
    primary.count_in(&mut common, host.now_ns);
    match guards(&primary) {
        true => Ok(()),
        false => Err("a joiner that has caught up does not count".into()),
    }
}

#[test]
fn a_joiner_counts_once_it_is_close() {
    assert_eq!(a_joiner_far_behind_does_not_count(), Ok(()));
}

#[test]
fn only_the_winners_own_word_makes_the_loser_of_a_claim_count_on() {
    const US: NodeId = NodeId(1);
    const SUCCESSOR: NodeId = NodeId(2);
    let begin = || {
        let mut common = Common::new(US, "vm", Settings::default());
        let boot = Boot { machine: machine(), generation: Generation(1), life: 1, limit: Icount::MAX };
        let mut primary = Primary::boot(&mut common, boot, 0);
        primary.claim(&mut common, Generation(2), US);
        common.commands.clear();
        (common, primary)
    };
    for keeps in [vec![], vec![NodeId(3)]] {
        let (mut common, mut primary) = begin();
        let outcome = Ok(Claim::Lost { to: SUCCESSOR, keeps: keeps.clone() });
        let next = primary.step(&mut common, Event::Claimed { generation: Generation(2), outcome }, 1);
        assert!(
            matches!(next, Next::Halt(Halt::LostClaim { generation: Generation(2), to: SUCCESSOR })),
            "{keeps:?}"
        );
    }
    let (mut common, mut primary) = begin();
    let outcome = Ok(Claim::Lost { to: SUCCESSOR, keeps: vec![NodeId(3), US] });
    let next = primary.step(&mut common, Event::Claimed { generation: Generation(2), outcome }, 1);
    assert!(matches!(next, Next::Stay));
    assert_eq!(
        shown(&mut common.commands),
        ["Claim { generation: g3, keeps: [], after: n0000000000000002 }"]
    );
}

/// Asks the guest for its hardware address (RFC 826), and so for a frame.
pub(super) fn arp_request() -> Vec<u8> {
    let host = [0x52, 0x54, 0, 0x4c, 0x53, 0xff];
    let mut frame = vec![0xff; 6];
    frame.extend(host);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(host);
    frame.extend([10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
    frame
}

/// Node 2 at `link` counts, and has acknowledged and obeyed all log. It may not yet know that it counts.
pub(in super::super) fn counts(common: &mut Common, primary: &mut Primary, link: LinkId) {
    also_counts(common, primary, link, NodeId(2));
}

/// The same of node `node`.
pub(in super::super) fn also_counts(common: &mut Common, primary: &mut Primary, link: LinkId, node: NodeId) {
    primary.flush(common, 0, true);
    let acked = Seq(primary.recorder.seq_next().get() - 1);
    primary.commit.add(node, acked, [0; DISKS_MAX]);
    let detector = common.settings.detector(0);
    let mut follower = Follower::counting(link, node, detector, primary.icount(), acked);
    follower.stage = Stage::Counting { since: Seq(1) };
    primary.followers.insert(link, follower);
    (primary.claiming, primary.switching) = (None, None);
    common.commands.clear();
}

/// The only follower, joining or counting.
pub(in super::super) fn follower(primary: &mut Primary) -> &mut Follower {
    assert_eq!(primary.followers.len(), 1);
    primary.followers.values_mut().next().expect("there is one")
}

/// Whether a follower counts.
pub(in super::super) fn guards(primary: &Primary) -> bool {
    primary.counting().next().is_some()
}

/// There is no other node any more, and nothing to settle.
pub(in super::super) fn forget_all(primary: &mut Primary) {
    primary.followers.clear();
    primary.commit = Default::default();
    (primary.claiming, primary.switching) = (None, None);
}

/// What goes to the backup in one turn: the events of each frame.
fn frames_in_a_turn(primary: &mut Primary, common: &mut Common, host: &mut Host) -> Vec<Vec<log::Event>> {
    primary.run(common, host);
    let sent = std::mem::take(&mut common.commands);
    let frames = sent.into_iter().filter_map(|command| match command {
        Command::Send { message: Message::Log(bytes), .. } => Some(bytes),
        _ => None,
    });
    frames.map(|bytes| events(&bytes)).collect()
}

#[test]
fn a_guest_that_comes_to_rest_behind_an_answer_reports_it_with_the_next_heartbeat() {
    const LINK: LinkId = LinkId(9);
    let (mut common, mut primary, mut host) = running();
    let settings = common.settings;
    // It sets its devices up and rests.
    for _ in 0..100 {
        primary.run(&mut common, &mut host);
    }
    counts(&mut common, &mut primary, LINK);
    primary.step(&mut common, Event::Frame { rx_seq: 1, frame: arp_request() }, 0);
    let mut frames = Vec::new();
    for _ in 0..20 {
        frames.extend(frames_in_a_turn(&mut primary, &mut common, &mut host));
    }
    let has_mark = |frame: &Vec<log::Event>| frame.iter().any(|event| matches!(event, log::Event::Output(_)));
    assert_eq!(frames.iter().filter(|frame| has_mark(frame)).count(), 1, "{frames:?}");
    assert!(frames.last().is_some_and(has_mark), "no frame of its own for the rest: {frames:?}");
    host.now_ns = settings.heartbeat_ns;
    let frames = frames_in_a_turn(&mut primary, &mut common, &mut host);
    assert_eq!(frames, [vec![log::Event::Horizon]]);
    assert!(frames_in_a_turn(&mut primary, &mut common, &mut host).is_empty());
}
