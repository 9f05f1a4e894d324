//! A primary and a backup, beside each other: one message at a time, no time but what the test gives.

use super::arbiter::Claim;
use super::command::{Command, Halt};
use super::event::Event;
use super::link::LinkId;
use super::node::Node;
use super::testing::{Host, boot_crunch, boot_kv};
use super::{Boot, Message, Pace, Settings};
use crate::base::{Generation, Icount, NodeId, Seq};
use crate::log::PAYLOAD_BYTES_MAX;
use crate::machine::{BoardModel, Output};

const MS: u64 = 1_000_000;
/// Each end's name for the connection between them.
const AT_PRIMARY: LinkId = LinkId(9);
pub(super) const AT_BACKUP: LinkId = LinkId(20);

pub(super) struct Pair {
    pub host: Host,
    pub primary: Node,
    pub backup: Node,
    /// What has left each of them.
    pub released: [Vec<Output>; 2],
    /// Every other command of each.
    pub others: [Vec<Command>; 2],
    /// Messages of the backup are lost.
    pub deaf: bool,
    /// The connection between them, as the primary and as the backup name it.
    pub links: [LinkId; 2],
}

impl Pair {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        Self::of(boot_kv(5, BoardModel::default()), settings)
    }

    pub fn of(boot: Boot, settings: Settings) -> Self {
        let primary = Node::primary(NodeId(1), "vm", boot, settings, 0);
        let backup = Node::backup(NodeId(2), "vm", AT_BACKUP, settings, 0);
        let (released, others) = Default::default();
        Self {
            host: Host::default(),
            primary,
            backup,
            released,
            others,
            deaf: false,
            links: [AT_PRIMARY, AT_BACKUP],
        }
    }

    /// Carries out the commands of both until there are none.
    pub fn carry(&mut self) {
        loop {
            let [a, b] = [self.primary.take_commands(), self.backup.take_commands()];
            let [at_primary, at_backup] = self.links;
            if a.is_empty() && b.is_empty() {
                return;
            }
            for (from, commands) in [a, b].into_iter().enumerate() {
                for command in commands {
                    match command {
                        Command::Send { link, message } if from == 0 && link == at_primary => {
                            let event = Event::Message { link: at_backup, message };
                            self.backup.step(event, self.host.now_ns);
                        }
                        Command::Send { link, message } if from == 1 && link == at_backup => {
                            if !self.deaf {
                                let event = Event::Message { link: at_primary, message };
                                self.primary.step(event, self.host.now_ns);
                            }
                        }
                        Command::Release(output) => self.released[from].push(output),
                        other => self.others[from].push(other),
                    }
                }
            }
        }
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms * 2 {
            assert_eq!((self.primary.check(), self.backup.check()), (Ok(()), Ok(())));
            self.host.now_ns += MS / 2;
            self.primary.run(&mut self.host);
            self.carry();
            self.backup.run(&mut self.host);
            self.carry();
        }
    }

    /// Until the backup counts.
    pub fn guarded() -> Self {
        Self::new().until_guarded()
    }

    pub fn until_guarded(self) -> Self {
        let mut pair = self;
        pair.carry();
        for _ in 0..1000 {
            pair.run(1);
            if pair.primary.status(pair.host.now_ns).protected {
                pair.run(20);
                return pair;
            }
        }
        panic!("it never counts: {:?}", pair.primary.status(pair.host.now_ns));
    }

    /// An ARP question for 10.0.2.15, which the guest answers.
    pub fn ask(&mut self, rx_seq: u64) {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 2, 2]);
        frame.extend([0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
        frame.resize(60, 0);
        self.primary.step(Event::Frame { rx_seq, frame }, self.host.now_ns);
    }

    pub fn told(&self, node: usize, text: &str) -> bool {
        self.others[node].iter().any(|command| matches!(command, Command::Tell(said) if said.contains(text)))
    }

    pub fn claims(&self, node: usize) -> Vec<(u64, Vec<NodeId>, NodeId)> {
        let claim = |command: &Command| match command {
            Command::Claim { generation, keeps, after } => Some((generation.get(), keeps.clone(), *after)),
            _ => None,
        };
        self.others[node].iter().filter_map(claim).collect()
    }

    pub fn backup_says(&mut self, message: Message) {
        self.backup.step(Event::Message { link: AT_BACKUP, message }, self.host.now_ns);
        self.carry();
    }
}

#[test]
fn a_frame_is_acknowledged_before_the_machine_obeys_it_and_a_stream_of_them_does_not_stop_the_machine() {
    let mut pair = Pair::guarded();
    let (mut at, mut acked) = (pair.backup.icount(), Seq(0));
    for rx_seq in 1..=6 {
        pair.ask(rx_seq);
        pair.primary.run(&mut pair.host);
        for command in pair.primary.take_commands() {
            if let Command::Send { link: AT_PRIMARY, message } = command {
                pair.backup.step(Event::Message { link: AT_BACKUP, message }, pair.host.now_ns);
            }
        }
        pair.backup.run(&mut pair.host);
        let commands = pair.backup.take_commands();
        let [
            Command::Append { .. },
            Command::Send { message: Message::Ack { received, durable: Seq::ZERO, executed, .. }, .. },
        ] = &commands[..]
        else {
            panic!("one frame with question and answer, and one acknowledgement: {commands:?}");
        };
        assert!(*received > acked && *executed == at, "{received} after {acked}, {executed} at {at}");
        let only_acknowledged = pair.backup.icount() == at;
        assert_eq!(only_acknowledged, rx_seq % 2 == 1, "frame {rx_seq}");
        (at, acked) = (pair.backup.icount(), *received);
    }
}

#[test]
fn while_an_output_is_held_the_guest_runs_in_short_slices() {
    let settings =
        Settings { slice_instructions_held: 10, slice_instructions_max: 10, ..Settings::default() };
    let mut pair = Pair::with(settings).until_guarded();
    pair.ask(1);
    assert!(!pair.primary.holds_outputs());
    pair.primary.run(&mut pair.host);
    assert!(pair.primary.holds_outputs(), "its answer");
    let at = pair.primary.icount();
    pair.ask(2);
    pair.primary.run(&mut pair.host);
    assert_eq!(pair.primary.icount(), at.plus(10));
    pair.carry();
    pair.backup.run(&mut pair.host);
    pair.carry();
    assert!(!pair.primary.holds_outputs());
    pair.primary.run(&mut pair.host);
    assert!(pair.primary.icount() > at.plus(20), "{} from {at}", pair.primary.icount());
}

#[test]
fn a_backup_that_counts_has_the_primarys_log_and_its_position() {
    let pair = Pair::guarded();
    let now = pair.host.now_ns;
    let (primary, backup) = (pair.primary.status(now), pair.backup.status(now));
    assert_eq!((primary.role.as_str(), primary.phase.as_str()), ("primary", "guarded"));
    assert_eq!((backup.role.as_str(), backup.phase.as_str()), ("backup", "following"));
    assert_eq!((backup.generation, pair.backup.generation()), (Generation(1), Generation(1)));
    assert_eq!(primary.log_seq, backup.log_seq);
    assert_eq!(pair.primary.icount(), pair.backup.icount());
    assert!(pair.backup.icount() > Icount(0));
    assert!(backup.log_bytes > 0 && backup.log_bytes <= primary.log_bytes);
    let appended: usize = pair.others[1]
        .iter()
        .map(|command| if let Command::Append { bytes } = command { bytes.len() } else { 0 })
        .sum();
    assert_eq!(backup.log_bytes, appended as u64, "all of it goes to the backup's recording");
    assert!(pair.told(1, "this backup counts") && primary.protected && backup.protected);
    assert_eq!(pair.backup.generation_and_holder(), Some((Generation(1), NodeId(1))));
    assert_eq!(
        [&pair.backup, &pair.primary].map(|node| node.peer_links().collect::<Vec<_>>()),
        [[AT_BACKUP], [AT_PRIMARY]]
    );
    assert_eq!(backup.lag_instructions, 0);
    assert_eq!(primary.gated_outputs, 0);
}

#[test]
fn a_lost_primary_is_succeeded_with_what_it_may_not_have_sent() {
    let mut pair = Pair::guarded();
    let before = pair.released[0].len();
    pair.ask(1);
    pair.run(20);
    let (sent, at) = (pair.released[0].split_off(before), pair.primary.icount());
    assert_eq!(sent.len(), 1, "the guest has answered");
    let why = "reset by peer".to_owned();
    pair.backup.step(Event::LinkClosed { link: AT_BACKUP, why }, pair.host.now_ns);
    let mut host = Host { now_ns: pair.host.now_ns, ..Host::default() };
    pair.backup.run(&mut host);
    pair.carry();
    assert_eq!(pair.claims(1), [(2, vec![], NodeId(1))]);
    assert!(!pair.backup.is_primary() && pair.backup.peer_links().next().is_none());
    assert_eq!(pair.backup.status(host.now_ns).phase, "claiming");
    // What it may not claim again until the arbiter has answered.
    pair.backup.run(&mut host);
    pair.carry();
    assert_eq!(pair.claims(1).len(), 1);
    let error = super::ArbiterError::Unreachable("no quorum".into());
    pair.backup.step(Event::Claimed { generation: Generation(2), outcome: Err(error) }, host.now_ns);
    for (ms, claims) in [(0, 1), (49, 1), (50, 2)] {
        pair.backup.run(&mut Host { now_ns: host.now_ns + ms * MS, ..Host::default() });
        pair.carry();
        assert_eq!(pair.claims(1).len(), claims, "{ms} ms later");
    }
    assert!(pair.backup.status(host.now_ns).arbiter_trouble.is_some_and(|why| why.contains("no quorum")));
    // An answer about another generation is none.
    pair.backup.step(Event::Claimed { generation: Generation(3), outcome: Ok(Claim::Won) }, host.now_ns);
    pair.backup.run(&mut host);
    assert!(!pair.backup.is_primary());
    pair.backup.step(Event::Claimed { generation: Generation(2), outcome: Ok(Claim::Won) }, host.now_ns);
    pair.backup.run(&mut host);
    pair.carry();
    assert!(pair.backup.is_primary() && pair.backup.icount() >= at);
    let status = pair.backup.status(host.now_ns);
    assert_eq!((status.generation, status.phase.as_str(), status.takeovers), (Generation(2), "alone", 1));
    assert_eq!(status.arbiter_trouble, None);
    assert_eq!(pair.released[1], sent, "every frame is sent again, under its number");
    let activated =
        |command: &Command| matches!(command, Command::Activate { generation: Generation(2), rx_seq: 1 });
    assert!(pair.others[1].iter().any(activated), "the switch goes on behind the log's last frame");
}

#[test]
fn a_backup_that_loses_the_claim_ends_its_role() {
    let mut pair = Pair::guarded();
    pair.backup.step(Event::LinkClosed { link: AT_BACKUP, why: "gone".into() }, pair.host.now_ns);
    pair.backup.run(&mut pair.host);
    pair.carry();
    let outcome = Ok(Claim::Lost { to: NodeId(1), keeps: Vec::new() });
    pair.backup.step(Event::Claimed { generation: Generation(2), outcome }, pair.host.now_ns);
    pair.carry();
    let lost = Halt::LostClaim { generation: Generation(2), to: NodeId(1) };
    assert!(pair.others[1].iter().any(|command| matches!(command, Command::Halt(halt) if *halt == lost)));
}

#[test]
fn silence_is_suspected_only_by_those_it_is_set_for() {
    let mut pair = Pair::guarded();
    let mut host = Host { now_ns: pair.host.now_ns, ..Host::default() };
    for _ in 0..119 {
        host.now_ns += MS;
        pair.backup.run(&mut host);
    }
    assert_eq!(pair.backup.status(host.now_ns).suspicions, 0);
    for _ in 0..5 {
        host.now_ns += MS;
        pair.backup.run(&mut host);
    }
    assert_eq!(pair.backup.status(host.now_ns).suspicions, 1);
    pair.deaf = true;
    pair.carry();
    assert_eq!(pair.claims(1), [(2, vec![], NodeId(1))]);
    assert!(pair.told(1, "silent for too long"));
}

#[test]
fn the_output_rule_holds_while_acknowledgements_are_lost() {
    let mut pair = Pair::guarded();
    pair.deaf = true;
    let before = pair.released[0].len();
    pair.ask(1);
    pair.run(20);
    let status = pair.primary.status(pair.host.now_ns);
    assert_eq!((pair.released[0].len(), status.gated_outputs), (before, 1));
    assert!(status.gated_bytes >= 42, "{}", status.gated_bytes);
    let safe = |pair: &Pair| {
        pair.others[0].iter().any(|command| matches!(command, Command::FramesSafe { rx_seq: 1 }))
    };
    assert!(!safe(&pair), "the switch keeps it as well");
    pair.deaf = false;
    pair.run(20);
    let status = pair.primary.status(pair.host.now_ns);
    assert_eq!((pair.released[0].len(), status.gated_outputs, status.gated_bytes), (before + 1, 0, 0));
    assert!(safe(&pair) && status.outputs_released == before as u64 + 1);
}

#[test]
fn what_a_backup_does_not_expect_ends_the_connection() {
    let damaged = Message::Log(vec![0xa7, 0, 0, 0]);
    let offer = Message::Memory { ram_bytes: 8 << 20, chunks: 1 };
    for message in [damaged, Message::MemoryChunk(vec![1]), offer, Message::Bye { why: "ends".into() }] {
        let mut pair = Pair::guarded();
        pair.backup_says(message.clone());
        pair.backup.run(&mut pair.host);
        pair.carry();
        let ended = pair.others[1].iter().any(|command| {
            matches!(command, Command::Close { link: AT_BACKUP } | Command::Claim { .. } | Command::Halt(_))
        });
        assert!(ended, "{message:?}");
    }
}

fn from_anyone() -> Vec<Message> {
    let divergence = crate::replay::Divergence {
        seq: Seq(1),
        entry_at: Icount(1),
        machine_at: Icount(1),
        expected: String::new(),
        found: String::new(),
        context: Vec::new(),
    };
    vec![
        Message::Ack { received: Seq::MAX, durable: Seq::ZERO, executed: Icount::MAX, audited: None },
        Message::Heartbeat { ticks: 0, console_released: 0 },
        Message::Flushed { disk: 0, tag: 1 },
        Message::MemoryTaken { chunks: 0 },
        Message::DiskWant { disk: 0, first: 0, chunks: Vec::new() },
        Message::DiskStored { disk: 0, chunk: 0 },
        Message::Whereabouts { listen: "10.0.0.9:7".into() },
        Message::Known { addresses: vec!["10.0.0.8:7".into()] },
        Message::Log(Vec::new()),
        Message::Diverged(Box::new(divergence)),
        Message::Bye { why: "no more".into() },
        Message::Refuse { why: "no more".into() },
    ]
}

#[test]
fn a_primary_closes_the_connection_of_a_process_that_is_no_node() {
    let unknown = LinkId(77);
    for message in from_anyone() {
        let mut pair = Pair::guarded();
        pair.primary.step(Event::Message { link: unknown, message: message.clone() }, pair.host.now_ns);
        let commands = pair.primary.take_commands();
        assert!(
            matches!(&commands[..], [Command::Close { link }] if *link == unknown),
            "{message:?}: {commands:?}"
        );
        let status = pair.primary.status(pair.host.now_ns);
        assert!(status.protected && status.peer.is_none(), "{message:?}");
    }
}

#[test]
fn a_primary_takes_what_its_backup_may_say_and_leaves_one_that_ends() {
    for message in from_anyone() {
        let mut pair = Pair::guarded();
        pair.primary.step(Event::Message { link: AT_PRIMARY, message: message.clone() }, pair.host.now_ns);
        let commands = pair.primary.take_commands();
        let closed = commands.iter().any(|command| matches!(command, Command::Close { link: AT_PRIMARY }));
        // An acknowledgement of what was never written is a lie, an empty frame is damaged.
        let ends = matches!(
            message,
            Message::Ack { .. }
                | Message::Diverged(_)
                | Message::Bye { .. }
                | Message::Refuse { .. }
                | Message::Log(_)
        );
        let claims = commands.iter().any(|command| matches!(command, Command::Claim { .. }));
        assert_eq!((closed, claims), (ends, ends), "{message:?}: {commands:?}");
    }
}

#[test]
fn a_node_that_is_alone_is_ended_only_by_the_second_request() {
    let mut pair = Pair::new();
    pair.primary.take_commands();
    pair.primary.step(Event::Quit, MS);
    let commands = pair.primary.take_commands();
    assert!(matches!(&commands[..], [Command::Tell(text)] if text.contains("would be lost")), "{commands:?}");
    pair.primary.step(Event::Quit, 2 * MS);
    let commands = pair.primary.take_commands();
    let ends = |command: &Command| matches!(command, Command::EndLife { generation: Generation(1) });
    assert!(commands.iter().any(ends), "{commands:?}");
    assert!(matches!(commands.last(), Some(Command::Halt(Halt::Quit))) && pair.primary.is_halted());
    // With a backup that counts nothing is lost.
    let mut pair = Pair::guarded();
    pair.primary.step(Event::Quit, pair.host.now_ns);
    pair.carry();
    let halts = |command: &Command| matches!(command, Command::Halt(Halt::Quit));
    assert!(pair.others[0].iter().any(halts) && !pair.others[0].iter().any(ends));
    assert!(!pair.backup.is_halted());
}

#[test]
fn inputs_beyond_the_bound_are_dropped_and_counted() {
    let mut pair = Pair::new();
    let max = Settings::default().inputs_waiting_max as u64;
    let dropped = |pair: &Pair| pair.primary.status(0).inputs_dropped;
    for rx_seq in 1..=max + 3 {
        pair.primary.step(Event::Frame { rx_seq, frame: vec![0; 60] }, 0);
    }
    assert_eq!(dropped(&pair), 3);
    pair.primary.step(Event::Frame { rx_seq: 1, frame: vec![0; 60] }, 0);
    assert_eq!(dropped(&pair), 3, "a repeated one is no loss");
    let mut pair = Pair::new();
    for (rx_seq, bytes, lost) in [(1, PAYLOAD_BYTES_MAX, 0), (2, PAYLOAD_BYTES_MAX + 1, 1)] {
        pair.primary.step(Event::Frame { rx_seq, frame: vec![0; bytes] }, 0);
        assert_eq!(dropped(&pair), lost, "{bytes} bytes");
    }
}

/// Both ends lose the connection, and the primary wins the claim.
fn broken(mut pair: Pair) -> Pair {
    pair.backup.rejoins();
    let known = Message::Known { addresses: vec!["10.0.0.1:7".into()] };
    let now_ns = pair.host.now_ns;
    pair.backup.step(Event::Message { link: AT_BACKUP, message: known }, now_ns);
    let why = "the cable was pulled".to_owned();
    pair.primary.step(Event::LinkClosed { link: AT_PRIMARY, why: why.clone() }, now_ns);
    pair.backup.step(Event::LinkClosed { link: AT_BACKUP, why }, now_ns);
    pair.carry();
    let generation = Generation(2);
    pair.primary.step(Event::Claimed { generation, outcome: Ok(Claim::Won) }, now_ns);
    let lost = Ok(Claim::Lost { to: NodeId(1), keeps: Vec::new() });
    pair.backup.step(Event::Claimed { generation, outcome: lost }, now_ns);
    pair.others = Default::default();
    pair.run(5);
    pair
}

/// The backup reaches the primary again, over a new connection.
fn reconnects(pair: &mut Pair) {
    let dials = |command: &Command| matches!(command, Command::Dial { address } if address == "10.0.0.1:7");
    assert!(pair.others[1].iter().any(dials), "{:?}", pair.others[1]);
    pair.links = [LinkId(50), LinkId(60)];
    let event = Event::Dialed { address: "10.0.0.1:7".into(), outcome: Ok(LinkId(60)) };
    pair.backup.step(event, pair.host.now_ns);
    pair.carry();
}

/// A backup that is sent what it missed, by a guest that never rests, does not count before it has executed that.
pub(crate) fn a_resumed_backup_catches_up_before_it_counts() -> Result<(), String> {
    let mut pair = broken(Pair::of(boot_crunch(5), Settings::default()).until_guarded());
    pair.run(30);
    let missed = pair.primary.icount();
    assert!(pair.backup.icount() < missed);
    reconnects(&mut pair);
    for _ in 0..2000 {
        if pair.backup.icount() >= missed {
            return Ok(());
        }
        let status = pair.primary.status(pair.host.now_ns);
        if status.followers.iter().any(|follower| follower.phase == "counting") {
            return Err(format!("it counts at {}, before {missed}", pair.backup.icount()));
        }
        pair.run(1);
    }
    Err("it never catches up".into())
}

#[test]
fn a_backup_that_missed_log_does_not_count_before_it_has_executed_it() {
    assert_eq!(a_resumed_backup_catches_up_before_it_counts(), Ok(()));
}

#[test]
fn a_backup_whose_connection_breaks_is_sent_the_log_that_it_lacks_and_counts_again() {
    let mut pair = broken(Pair::guarded());
    let status = pair.backup.status(pair.host.now_ns);
    assert_eq!((status.phase.as_str(), status.protected), ("seeking", false));
    let before = pair.backup.icount();
    // The guest goes on meanwhile.
    pair.ask(1);
    pair.run(30);
    assert!(pair.primary.icount() > before && pair.backup.icount() == before);
    reconnects(&mut pair);
    pair.run(60);
    let [primary, backup] = [&pair.primary, &pair.backup].map(|node| node.status(pair.host.now_ns));
    assert!(primary.protected && backup.protected, "{primary:?} {backup:?}");
    assert_eq!((backup.phase.as_str(), backup.generation), ("following", Generation(2)));
    assert_eq!((primary.transfer, backup.transfer), (None, None));
    assert!(pair.told(0, "and no state, are sent"));
    assert!(!pair.told(1, "the primary sends its state"));
    assert!(pair.backup.icount() > before);
    // It is as good as any backup: the primary's end is its beginning.
    let why = "killed".to_owned();
    pair.backup.step(Event::LinkClosed { link: LinkId(60), why }, pair.host.now_ns);
    pair.carry();
    assert_eq!(pair.claims(1).last().map(|claim| claim.0), Some(3));
    pair.backup.step(Event::Claimed { generation: Generation(3), outcome: Ok(Claim::Won) }, pair.host.now_ns);
    pair.run(5);
    assert!(pair.backup.is_primary());
}

/// A node that waits for an answer rests.
#[test]
fn a_backup_that_waits_to_be_sent_log_has_nothing_to_do() {
    let mut pair = broken(Pair::guarded());
    pair.links = [LinkId(50), LinkId(60)];
    pair.deaf = true;
    let event = Event::Dialed { address: "10.0.0.1:7".into(), outcome: Ok(LinkId(60)) };
    pair.backup.step(event, pair.host.now_ns);
    for _ in 0..50 {
        pair.host.now_ns += 10 * MS;
        let now_ns = pair.host.now_ns;
        let looks: Vec<_> = (0..3).map(|_| pair.backup.run(&mut pair.host)).collect();
        assert!(matches!(looks[2], Pace::At(at) if at > now_ns), "{looks:?}");
    }
}

#[test]
fn a_backup_that_lacks_more_than_is_kept_leaves_its_role_and_joins_anew() {
    let settings = Settings { tail_bytes_max: 64, ..Settings::default() };
    let mut pair = broken(Pair::with(settings).until_guarded());
    for rx_seq in 1..=5 {
        pair.ask(rx_seq);
        pair.run(30);
    }
    reconnects(&mut pair);
    pair.run(5);
    assert!(pair.told(1, "is not kept any more"), "{:?}", pair.others[1]);
    assert!(pair.others[1].iter().any(|command| matches!(command, Command::LeaveRole { .. })));
}

/// Asks for log with another history than the primary's: other entries of the same number, more of them, another life.
pub(crate) fn another_history_is_not_resumed() -> Result<(), String> {
    let mut pair = broken(Pair::guarded());
    let held = pair.backup.status(0).log_seq;
    for (life, held, generation) in [(5, held, 7), (5, Seq(held.get() + 1000), 1), (6, held, 1)] {
        let (vm, generation) = ("vm".to_owned(), Generation(generation));
        let message = Message::Resume { vm, node: NodeId(9), life, held, generation };
        pair.primary.step(Event::Message { link: LinkId(51), message }, pair.host.now_ns);
        let commands = pair.primary.take_commands();
        let anew = |command: &Command| matches!(command, Command::Send { message: Message::Anew { .. }, .. });
        if !commands.iter().any(anew) {
            return Err(format!("life {life}, entry {held} of generation {generation}: {commands:?}"));
        }
        let closes = |command: &Command| matches!(command, Command::Close { link: LinkId(51) });
        assert!(commands.iter().any(closes), "{commands:?}");
    }
    Ok(())
}

#[test]
fn a_backup_that_holds_what_the_primary_has_not_joins_anew() {
    assert_eq!(another_history_is_not_resumed(), Ok(()));
}

/// A successor has nothing else in mind.
pub(crate) fn a_takeover_ends_a_rehearsal() -> Result<(), String> {
    const TOOL: LinkId = LinkId(40);
    let mut pair = Pair::guarded();
    let ask = Event::Message { link: TOOL, message: Message::Rehearse { seconds: 1 } };
    pair.backup.step(ask, pair.host.now_ns);
    pair.run(400);
    let is_live = |command: &Command| matches!(command, Command::Rehearse { fork: 1, .. });
    assert!(pair.others[1].iter().any(is_live), "it is under way");
    pair.others[1].clear();
    let closed = Event::LinkClosed { link: AT_BACKUP, why: "it broke".into() };
    pair.backup.step(closed, pair.host.now_ns);
    pair.backup.run(&mut pair.host);
    pair.carry();
    assert_eq!(pair.claims(1).len(), 1, "it takes over");
    let said = |wanted: &str| pair.others[1].iter().any(|command| format!("{command:?}").contains(wanted));
    match said("DropFork") && said("no rehearsal: this node is about to take over") {
        true => Ok(()),
        false => Err(format!("the rehearsal goes on: {:?}", pair.others[1])),
    }
}

#[test]
fn a_backup_that_takes_over_gives_up_its_rehearsal() {
    assert_eq!(a_takeover_ends_a_rehearsal(), Ok(()));
}

#[test]
fn only_a_backup_that_would_take_over_is_rehearsed() {
    let ask = |node: &mut Node| {
        let ask = Event::Message { link: LinkId(40), message: Message::Rehearse { seconds: 1 } };
        node.step(ask, 0);
        super::testing::shown(&mut node.take_commands())
    };
    let refused = |why: &str| vec![format!("40 Refuse {{ why: {why:?} }}"), "40 closed".to_owned()];
    let mut pair = Pair::new();
    pair.carry();
    let not_yet = "this node would not take over: it does not count yet; see `lockstep status`";
    assert_eq!(ask(&mut pair.backup), refused(not_yet));
    let mut pair = pair.until_guarded();
    assert_eq!(
        ask(&mut pair.primary),
        refused("this node is the primary, and its guest is live; ask a backup")
    );
    assert!(ask(&mut pair.backup).is_empty());
    pair.run(400);
    let number = |seq: u64| move |output: &&Output| matches!(output, Output::Net { seq: n, .. } if *n == seq);
    // The service goes on, and nothing of the fork is in it.
    pair.ask(1);
    pair.run(40);
    assert_eq!(pair.released[0].iter().filter(number(2)).count(), 1, "the answer");
    assert!(pair.released[1].is_empty(), "a backup sends nothing");
    assert_eq!(pair.primary.icount(), pair.backup.icount());
}
