//! A backup by itself: a state, one message or one look, and exactly what comes of it.

use super::*;
use crate::base::Digest;
use crate::devices::disk::{DiskOp, DiskRequest, DiskSpec, DiskStatus};
use crate::ft::Settings;
use crate::ft::disk::Worked;
use crate::ft::handover::Left;
use crate::ft::testing::{Host, boot_kv, shown};
use crate::machine::{Exit, Output};
use crate::replay::{Answers, Recorder};

const MS: u64 = 1_000_000;
const LINK: LinkId = LinkId(20);
const OTHER: LinkId = LinkId(30);
const US: NodeId = NodeId(2);
const PRIMARY: NodeId = NodeId(1);
/// What the key-value guest prints at its start.
const CONSOLE: u64 = 32;

/// A host without news.
struct Still;

impl Answers for Still {
    fn ticks(&mut self) -> u64 {
        0
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn host_id(&mut self) -> u64 {
        1
    }

    fn wall_clock_ns(&mut self) -> u64 {
        0
    }
}

/// A backup, and what writes the log that it follows.
struct Scene {
    common: Common,
    backup: Backup,
    recorder: Recorder,
    host: Host,
}

impl Scene {
    /// Node 2 joins, and has not heard anything.
    fn joining() -> Self {
        let mut common = Common::new(US, "vm", Settings::default());
        let backup = Backup::join(&mut common, LINK, 0);
        let recorder = Recorder::new(boot_kv(5, Default::default()).machine, Seq(1));
        Self { common, backup, recorder, host: Host::default() }
    }

    /// It has been offered the state in so many chunks, of which this is the first.
    fn offered(chunks: u32) -> Self {
        let mut scene = Self::joining();
        scene.common.commands.clear();
        scene.says(offer(chunks, Seq(1)));
        scene
    }

    /// It has the state, and does not count.
    fn restored() -> Self {
        let mut scene = Self::joining();
        let saved = scene.recorder.machine_mut().save();
        let encoder = snapshot::Encoder::new(saved);
        scene.says(offer(encoder.chunks_total(), Seq(1)));
        for chunk in encoder {
            scene.says(Message::Chunk(chunk));
        }
        assert!(matches!(scene.backup.state, State::Following(_)));
        scene
    }

    /// It has changed places with node 1, whose generation 2 has begun, and counts.
    fn counting() -> Self {
        let common = Common::new(US, "vm", Settings::default());
        let mut scene = Self { common, ..Self::joining() };
        scene.backup = scene.changes_places(Vec::new()).expect("it follows");
        scene.common.commands.clear();
        scene
    }

    fn changes_places(&mut self, disks: Vec<Left>) -> Result<Backup, Halt> {
        let machine = boot_kv(5, Default::default()).machine;
        let why = log::Start::SwitchOver;
        self.recorder.record(log::Event::Generation { generation: Generation(2), node: PRIMARY, why });
        let log = self.recorder.flush(false).expect("one entry").bytes;
        let to = Yield { link: LINK, node: PRIMARY, asked_by: Some(OTHER), log, now_ns: 0 };
        let (generation, seq_next) = (Generation(1), Seq(1));
        let follows =
            Follows { machine, seq_next, generation, life: 5, ticks: 7000, console_released: 0, disks };
        Backup::after_switch_over(&mut self.common, to, follows)
    }

    /// At 0 ns; it stays.
    fn says(&mut self, message: Message) {
        let next = self.says_at(message, 0);
        assert!(matches!(next, Next::Stay));
    }

    fn says_at(&mut self, message: Message, now_ns: u64) -> Next {
        self.backup.step(&mut self.common, Event::Message { link: LINK, message }, now_ns)
    }

    /// What this makes a backup say that goes on.
    fn event(&mut self, event: Event) -> Vec<String> {
        self.common.commands.clear();
        assert!(matches!(self.backup.step(&mut self.common, event, 0), Next::Stay));
        shown(&mut self.common.commands)
    }

    /// What this ends a backup that does not count with, and what it says.
    fn ends(&mut self, event: Event) -> (Halt, Vec<String>) {
        self.common.commands.clear();
        let Next::Halt(halt) = self.backup.step(&mut self.common, event, 0) else { panic!("it goes on") };
        (halt, shown(&mut self.common.commands))
    }

    fn ends_by(&mut self, message: Message) -> (Halt, Vec<String>) {
        self.ends(Event::Message { link: LINK, message })
    }

    /// The log up to position `at`, where the guest is then.
    fn log_to(&mut self, at: u64) -> Vec<u8> {
        let mut outputs = Vec::new();
        while self.recorder.icount() < Icount(at) {
            self.recorder.run(Icount(at), &mut Still, &mut outputs);
        }
        self.recorder.flush(true).expect("it has moved").bytes
    }

    /// A frame with this entry alone.
    fn entry(&mut self, event: log::Event) -> Vec<u8> {
        self.recorder.record(event);
        self.recorder.flush(false).expect("one entry").bytes
    }

    fn run(&mut self, now_ns: u64) -> (Next, Pace) {
        (self.host.now_ns, self.common.now_ns) = (now_ns, now_ns);
        self.common.commands.clear();
        let first = self.backup.run(&mut self.common, &mut self.host);
        if !self.backup.told_last {
            return first;
        }
        assert!(
            matches!(first, (Next::Stay, Pace::Now)),
            "a run that has only acknowledged is followed by another"
        );
        self.backup.run(&mut self.common, &mut self.host)
    }

    /// A turn of a backup that goes on: when it wants the next, and what it said.
    fn turn(&mut self, now_ns: u64) -> (Pace, Vec<String>) {
        let (next, pace) = self.run(now_ns);
        assert!(matches!(next, Next::Stay));
        (pace, shown(&mut self.common.commands))
    }

    fn status(&self) -> NodeStatus {
        use crate::ft::node::Node;
        let mut status = Node::seeking(US, "vm", Vec::new(), 0, Settings::default(), 0).status(0);
        self.backup.fill_status(&mut status);
        status
    }

    /// The silence that is allowed.
    fn silence_ms(&self) -> Option<f64> {
        self.status().watch.map(|watch| watch.silence_ms)
    }
}

fn offer(chunks: u32, seq_next: Seq) -> Message {
    let (generation, node, at) = (Generation(1), PRIMARY, Icount(0));
    Message::Offer { generation, node, seq_next, at, chunks, life: 5, ack: Ack::Memory }
}

fn ack(received: u64, executed: u64) -> String {
    format!("20 Ack {{ received: #{received}, durable: #0, executed: @{executed}, audited: None }}")
}

fn specs() -> Vec<DiskSpec> {
    vec![DiskSpec { sectors: 8, read_only: false, serial: String::new() }]
}

fn closed(why: &str) -> Event {
    Event::LinkClosed { link: LINK, why: why.into() }
}

fn lost(why: &str) -> Halt {
    let why = format!("the primary was lost before this backup counted: {why}");
    Halt::NotJoined { why, for_good: false }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_joiner_introduces_itself_and_waits_for_any_answer_of_three_kinds() {
    let mut scene = Scene::joining();
    assert_eq!(shown(&mut scene.common.commands), ["20 Join { vm: \"vm\", node: n0000000000000002 }"]);
    assert!(!scene.backup.is_taken_on());
    assert_eq!((scene.status().phase.as_str(), scene.silence_ms()), ("joining", Some(3000.0)));
    assert_eq!(scene.backup.disk_standing(), DiskStanding::Behind);
    assert_eq!(scene.backup.icount(), Icount(0));
    scene.says(Message::Memory { ram_bytes: 8 << 20, chunks: 2 });
    assert!(scene.backup.is_taken_on());
    assert_eq!(scene.silence_ms(), Some(10_000.0), "a join takes its time");
    let mut scene = Scene::joining();
    scene.says(Message::Disks { specs: specs() });
    assert!(scene.backup.is_taken_on());
    assert_eq!(scene.status().disk_transfer, Some((0, 0, 1)));
    assert_eq!(scene.ends_by(Message::Disks { specs: specs() }).0, lost("it sent Disks out of turn"));
    let mut scene = Scene::offered(3);
    assert!(scene.backup.is_taken_on());
    assert_eq!((scene.backup.life(), scene.backup.generation()), (5, Generation(1)));
    assert_eq!(scene.backup.generation_and_holder(), Some((Generation(1), PRIMARY)));
    let status = scene.status();
    assert_eq!((status.phase.as_str(), status.transfer), ("transfer", Some((0, 3))));
    assert!(!status.protected && status.disk_transfer.is_none());
    scene.backup.linked = false;
    assert_eq!((scene.status().watch, scene.backup.peer_link()), (None, None));
}

#[test]
fn an_offer_is_taken_when_it_can_be_true() {
    for (chunks, seq_next, why) in [
        (0, Seq(1), "a snapshot of 0 chunks was announced"),
        (CHUNKS_MAX + 1, Seq(1), "a snapshot of 262145 chunks was announced"),
        (1, Seq::ZERO, "log from entry 0 on was announced; entries are numbered from 1"),
    ] {
        assert_eq!(Scene::joining().ends_by(offer(chunks, seq_next)), (lost(why), vec!["20 closed".into()]));
    }
    let mut scene = Scene::joining();
    scene.common.listen = Some("10.0.0.2:7".into());
    scene.common.learn("10.0.0.9:7");
    let message = offer(CHUNKS_MAX, Seq(1));
    assert_eq!(
        scene.event(Event::Message { link: LINK, message }),
        [
            "tell the primary sends its state at 0, 262144 chunks",
            "20 Whereabouts { listen: \"10.0.0.2:7\" }",
            "20 Known { addresses: [\"10.0.0.9:7\"] }",
        ]
    );
    let mut scene = Scene::joining();
    scene.common.seek.has_seen(5, Generation(2));
    let why = "generation 1 is not the newest that this node knows of".into();
    assert_eq!(scene.ends_by(offer(1, Seq(1))), (Halt::NotJoined { why, for_good: false }, vec![]));
}

#[test]
fn memory_that_comes_ahead_is_confirmed_and_counted() {
    let mut scene = Scene::joining();
    assert_eq!(scene.ends_by(Message::MemoryChunk(vec![])).0, lost("it sends memory of no known size"));
    let mut scene = Scene::joining();
    let message = Message::Memory { ram_bytes: 8 << 20, chunks: 2 };
    assert_eq!(
        scene.event(Event::Message { link: LINK, message: message.clone() }),
        ["tell the primary sends its guest's memory, 2 chunks at first"]
    );
    let ram = boot_kv(5, Default::default()).machine;
    for (done, page) in [(1, 0), (2, 1)] {
        let message = Message::MemoryChunk(ahead::pages(ram.ram(), &[page]));
        assert_eq!(
            scene.event(Event::Message { link: LINK, message }),
            [
                format!("20 MemoryTaken {{ chunks: {done} }}"),
                format!("tell state transfer: {done} of 2 chunks received")
            ]
        );
    }
    assert_eq!(scene.ends_by(message).0, lost("it sent Memory out of turn"));
    let (halt, _) = {
        let mut scene = Scene::joining();
        scene.says(Message::Memory { ram_bytes: 8 << 20, chunks: 2 });
        scene.ends_by(Message::MemoryChunk(vec![0xff; 9]))
    };
    assert!(matches!(&halt, Halt::NotJoined { why, .. } if why.contains("the memory sent ahead is damaged")));
}

#[test]
fn a_state_in_chunks_is_told_of_and_restored_when_all_are_here() {
    let mut scene = Scene::joining();
    let saved = scene.recorder.machine_mut().save();
    let digest = saved.digest;
    let mut encoder = snapshot::Encoder::new(saved);
    let total = encoder.chunks_total();
    scene.says(offer(total, Seq(1)));
    let mut said = Vec::new();
    for done in 1..=total {
        let message = Message::Chunk(encoder.next().expect("not all were sent"));
        said = scene.event(Event::Message { link: LINK, message });
        if done < total {
            assert_eq!(scene.status().transfer, Some((done, total)));
        }
    }
    assert_eq!(said[0], format!("tell state transfer: {total} of {total} chunks received"));
    assert!(
        said[1].starts_with("StartRecording { base: ") && said[1].contains("seq_next: #1, generation: g1")
    );
    assert!(said[2].starts_with("PlugIn(Plug { mac: ") && said[2].contains("standby: true"), "{}", said[2]);
    assert_eq!(said[3], format!("tell state restored at 0, digest {digest}"));
    assert_eq!(said.len(), 4);
    let status = scene.status();
    assert_eq!((status.phase.as_str(), status.transfer, status.log_seq), ("following", None, Seq(0)));
    assert!(!status.protected);
    // It says so at once.
    assert_eq!(scene.turn(0), (Pace::At(10 * MS), vec![ack(0, 0)]));
}

#[test]
fn a_node_without_a_recording_keeps_no_base_and_one_with_memory_ahead_tells_no_tenths() {
    let mut scene = Scene::joining();
    scene.common.records = false;
    let saved = scene.recorder.machine_mut().save();
    let encoder = snapshot::Encoder::new(saved);
    scene.says(Message::Memory { ram_bytes: 8 << 20, chunks: 1 });
    scene.says(offer(encoder.chunks_total(), Seq(1)));
    scene.common.commands.clear();
    for chunk in encoder {
        let _ = scene.says_at(Message::Chunk(chunk), 0);
    }
    let said = shown(&mut scene.common.commands);
    assert!(!said.iter().any(|command| command.contains("StartRecording") || command.contains("transfer")));
}

#[test]
fn a_machine_that_was_not_named_is_refused_for_good() {
    let mut scene = Scene::joining();
    let saved = scene.recorder.machine_mut().save();
    let mut config = saved.config.clone();
    config.bootargs = "other".into();
    scene.common.expects = Some(Box::new(config));
    let mut encoder = snapshot::Encoder::new(saved);
    scene.says(offer(encoder.chunks_total(), Seq(1)));
    let last = loop {
        let chunk = encoder.next().expect("the last one ends it");
        if encoder.chunks_done() == encoder.chunks_total() {
            break chunk;
        }
        scene.says(Message::Chunk(chunk));
    };
    let (halt, said) = scene.ends_by(Message::Chunk(last));
    let Halt::NotJoined { why, for_good: true } = halt else { panic!("{halt:?}") };
    assert!(why.starts_with("the primary's machine is not the one that was named here: "), "{why}");
    let refusal = said.iter().position(|command| *command == format!("20 Refuse {{ why: {why:?} }}"));
    assert_eq!((refusal, said.last().map(String::as_str)), (Some(said.len() - 2), Some("20 closed")));
}

#[test]
fn a_state_with_disks_that_were_not_compared_is_not_used() {
    let mut scene = Scene::joining();
    let saved = scene.recorder.machine_mut().save();
    let encoder = snapshot::Encoder::new(saved);
    scene.says(Message::Disks { specs: specs() });
    scene.says(offer(encoder.chunks_total(), Seq(1)));
    for chunk in encoder {
        scene.says(Message::Chunk(chunk));
    }
    assert_eq!(scene.status().phase, "transfer", "the disks are not here");
    let failed = DiskWorked { link: LINK, disk: 0, outcome: Err("gone".into()) };
    let (halt, said) = scene.ends(Event::DiskWorked(failed));
    let Halt::NotJoined { why, for_good: true } = halt else { panic!("{halt:?}") };
    assert!(why.contains("gone"), "{why}");
    assert_eq!(said, [format!("20 Bye {{ why: {why:?} }}")]);
    // Without a transfer nothing comes of it.
    let worked = DiskWorked { link: LINK, disk: 0, outcome: Ok(Worked::Done) };
    assert_eq!(Scene::joining().event(Event::DiskWorked(worked)), NOTHING);
}

#[test]
fn log_that_comes_before_the_state_is_bounded_and_obeyed_after_it() {
    let mut scene = Scene::offered(3);
    let max = 1000 + 2 * size_of::<Vec<u8>>();
    scene.common.settings.backlog_bytes_max = max;
    scene.says(Message::Log(vec![0; 400]));
    scene.says(Message::Log(vec![0; 600]));
    assert_eq!(scene.backup.backlog_bytes, max);
    assert_eq!(scene.ends_by(Message::Log(vec![])).0, lost("more log came than this backup may hold"));

    let mut scene = Scene::joining();
    let saved = scene.recorder.machine_mut().save();
    let encoder = snapshot::Encoder::new(saved);
    scene.says(offer(encoder.chunks_total(), Seq(1)));
    let frame = scene.log_to(1000);
    scene.says(Message::Log(frame.clone()));
    for chunk in encoder {
        scene.says(Message::Chunk(chunk));
    }
    let status = scene.status();
    assert_eq!((status.log_seq, status.log_bytes), (Seq(1), frame.len() as u64));
    assert_eq!(status.lag_instructions, 1000);
    assert_eq!(scene.backup.backlog.len(), 1);
    scene.turn(0);
    assert_eq!((scene.status().lag_instructions, scene.backup.icount()), (0, Icount(1000)));
    assert_eq!((scene.backup.backlog.len(), scene.backup.backlog_bytes), (0, 0));
}

#[test]
fn a_frame_of_log_is_held_as_it_lies_in_memory() {
    let mut scene = Scene::restored();
    let frame = scene.entry(log::Event::SwitchOver { to: None });
    scene.common.settings.backlog_bytes_max = frame.len() + size_of::<Entry>();
    assert_eq!(
        scene.event(Event::Message { link: LINK, message: Message::Log(frame.clone()) }),
        ["append [SwitchOver { to: None }]"]
    );
    assert_eq!(scene.backup.backlog_bytes, scene.common.settings.backlog_bytes_max);
    let more = scene.entry(log::Event::SwitchOver { to: None });
    let held = scene.status().log_seq;
    assert_eq!(scene.ends_by(Message::Log(more)).0, lost("more log came than this backup may hold"));
    // What is refused is nowhere: not in the machine's log, nor in the tail or the store.
    assert_eq!((scene.status().log_seq, scene.backup.check(&scene.common)), (held, Ok(())));
    // An input counts as it was sent and as it is unpacked.
    let mut scene = Scene::restored();
    let input = crate::machine::Input::Console(vec![7; 100]);
    let frame = scene.entry(log::Event::Input(input));
    scene.says(Message::Log(frame.clone()));
    assert_eq!(scene.backup.backlog_bytes, frame.len() + 100 + size_of::<Entry>());
    let mut scene = Scene::restored();
    let mut frame = scene.entry(log::Event::SwitchOver { to: None });
    frame.extend([1, 2, 3]);
    assert_eq!(scene.ends_by(Message::Log(frame)).0, lost("a log frame has 3 bytes too many"));
    let (halt, _) = Scene::restored().ends_by(Message::Log(vec![0xa7, 0, 0, 0]));
    assert!(matches!(&halt, Halt::NotJoined { why, .. } if why.contains("a log frame is damaged")));
}

#[test]
fn a_joiner_counts_once_it_reads_its_own_name_and_is_in_step_once_it_obeys_it() {
    let mut scene = Scene::restored();
    let frame = scene.entry(log::Event::Joined { node: NodeId(3) });
    scene.says(Message::Log(frame));
    scene.turn(0);
    assert!(!scene.backup.counting && !scene.status().protected);
    assert_eq!((scene.silence_ms(), scene.backup.disk_standing()), (Some(10_000.0), DiskStanding::Behind));
    let frame = scene.entry(log::Event::Joined { node: US });
    assert_eq!(
        scene.event(Event::Message { link: LINK, message: Message::Log(frame) }),
        ["append [Joined { node: n0000000000000002 }]", "tell this backup counts"]
    );
    assert!(scene.backup.counting && scene.status().protected);
    assert!(scene.common.seek.was_member());
    assert_eq!((scene.silence_ms(), scene.backup.disk_standing()), (Some(120.0), DiskStanding::Behind));
    scene.turn(0);
    assert_eq!(scene.backup.disk_standing(), DiskStanding::Replica(Generation(1)));
    // A message leaves the detector of a member alone.
    scene.says(Message::Heartbeat { ticks: 0, console_released: 0 });
    assert_eq!(scene.silence_ms(), Some(120.0));
    scene.backup.linked = false;
    assert!(!scene.status().protected);
    // Nor does the first message after a change of places.
    let mut scene = Scene::counting();
    assert!(!scene.backup.is_answered);
    scene.says(Message::Heartbeat { ticks: 0, console_released: 0 });
    assert_eq!(scene.silence_ms(), Some(120.0));
}

#[test]
fn a_backup_keeps_more_outputs_than_a_gate_and_a_port_can_hold() {
    let kept = |count: u64, bytes: usize| {
        let mut scene = Scene::counting();
        (1..=count).for_each(|seq| scene.backup.kept.keep(Output::Net { seq, frame: vec![0; bytes] }));
        scene.backup.kept.drain().len()
    };
    assert_eq!(kept(4096 + 1024, 1), 5120);
    assert_eq!(kept(4096 + 1025, 1), 5120);
    // 1 MiB of the gate, 256 frames of 64 KiB, and 4 MiB of the port.
    assert_eq!(kept(336, 64 << 10), 336);
    assert_eq!(kept(337, 64 << 10), 336);
}

#[test]
fn what_was_typed_is_known_to_a_successor() {
    let mut scene = Scene::counting();
    let frame = scene.entry(log::Event::Typed { session: 7, upto: 3 });
    scene.says(Message::Log(frame));
    scene.turn(0);
    let past = scene.common.terminals.past();
    assert!(matches!(&past, Message::Scrollback { typed, .. } if *typed == [(7, 3)]), "{past:?}");
}

#[test]
fn a_winner_goes_live_only_with_level_disks() {
    let mut scene = Scene::counting();
    scene.turn(0);
    scene.backup.mirror.issue(
        &mut scene.common,
        Seq::ZERO,
        DiskRequest { disk: 0, tag: 1, op: DiskOp::Flush },
    );
    scene.backup.bid(&mut scene.common, false);
    scene.event(Event::Claimed { generation: Generation(3), outcome: Ok(Claim::Won) });
    scene.turn(0);
    scene.event(Event::DiskDone(DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: vec![] }));
    assert!(matches!(scene.run(0), (Next::GoLive, Pace::Now)));
}

#[test]
fn an_acknowledgement_is_due_for_log_for_progress_and_as_a_heartbeat() {
    let mut scene = Scene::counting();
    assert_eq!(scene.turn(1), (Pace::At(10 * MS + 1), vec![ack(1, 0)]));
    assert_eq!(scene.turn(2), (Pace::At(10 * MS + 1), vec![]));
    let frame = scene.log_to(1000);
    scene.says(Message::Log(frame));
    assert_eq!(scene.turn(MS).1, [ack(2, 0)], "received, and not obeyed yet");
    assert_eq!(scene.turn(5 * MS - 1).1, NOTHING);
    assert_eq!(scene.turn(5 * MS).1, [ack(2, 1000)], "it has moved");
    assert_eq!(scene.turn(9 * MS).1, NOTHING, "it has not");
    assert_eq!(scene.turn(15 * MS - 1).1, NOTHING);
    assert_eq!(scene.turn(15 * MS), (Pace::At(25 * MS), vec![ack(2, 1000)]), "a heartbeat");
    scene.backup.linked = false;
    scene.backup.ack_due = true;
    assert_eq!(scene.turn(40 * MS), (Pace::At(u64::MAX), vec![]));
}

#[test]
fn a_joiner_without_a_state_shows_that_it_lives() {
    let mut scene = Scene::offered(3);
    let heartbeat = "20 Heartbeat { ticks: 0, console_released: 0 }".to_owned();
    assert_eq!(scene.turn(10 * MS - 1), (Pace::At(10 * MS), vec![]));
    assert_eq!(scene.turn(10 * MS), (Pace::At(20 * MS), vec![heartbeat]));
    assert!(!scene.backup.ack_due);
    scene.backup.linked = false;
    scene.backup.ack_due = true;
    assert_eq!(scene.turn(40 * MS).1, NOTHING);
}

#[test]
fn an_agreement_is_reported_with_the_next_acknowledgement() {
    let mut scene = Scene::counting();
    scene.turn(0);
    let digest: Digest = scene.recorder.machine_mut().digest();
    scene.recorder.record_digest();
    let frame = scene.recorder.flush(false).expect("a digest").bytes;
    scene.says(Message::Log(frame));
    assert_eq!(scene.turn(0).1, [ack(2, 0)]);
    let status = scene.status();
    assert_eq!(status.audits_agreed, 1);
    assert_eq!(status.last_audit, Some(Audit { icount: Icount(0), digest }));
    let audited = format!(
        "20 Ack {{ received: #2, durable: #0, executed: @0, audited: Some(Audit {{ icount: @0, digest: {digest:?} }}) }}"
    );
    assert_eq!(scene.turn(0).1, [audited]);
    assert_eq!(scene.turn(0).1, NOTHING);
}

#[test]
fn a_replay_that_differs_from_the_log_is_reported_and_ends_the_node() {
    for linked in [true, false] {
        let mut scene = Scene::counting();
        scene.turn(0);
        let frame = scene.entry(log::Event::Digest(Digest(1)));
        scene.says(Message::Log(frame));
        scene.backup.linked = linked;
        let (next, pace) = scene.run(0);
        assert!(matches!((next, pace), (Next::Halt(Halt::Diverged(_)), Pace::Now)));
        let said = shown(&mut scene.common.commands);
        assert_eq!(said.iter().any(|command| command.starts_with("20 Diverged")), linked, "{said:?}");
    }
}

#[test]
fn a_long_log_is_obeyed_in_several_turns() {
    let mut scene = Scene::counting();
    scene.common.settings.replay_instructions = 400;
    let frame = scene.log_to(1000);
    scene.says(Message::Log(frame));
    assert_eq!(scene.turn(0).0, Pace::Now);
    assert_eq!((scene.backup.icount(), scene.status().lag_instructions), (Icount(400), 600));
    assert_eq!(scene.turn(0).0, Pace::Now);
    assert_eq!(scene.turn(0).0, Pace::At(10 * MS));
    assert_eq!(scene.backup.icount(), Icount(1000));
}

#[test]
fn the_successor_of_a_switch_over_claims_once_all_output_has_left() {
    let ready = || {
        let mut scene = Scene::counting();
        let frame = scene.log_to(1600);
        scene.says(Message::Log(frame));
        let frame = scene.entry(log::Event::SwitchOver { to: None });
        scene.says(Message::Log(frame));
        let released = Message::Heartbeat { ticks: 0, console_released: CONSOLE - 1 };
        scene.says(released);
        scene.turn(0);
        scene
    };
    let claim = "Claim { generation: g3, keeps: [n0000000000000001], after: n0000000000000001 }";
    let all = Message::Heartbeat { ticks: 9, console_released: CONSOLE };
    let mut scene = ready();
    assert_eq!(scene.recorder.machine().console_bytes(), CONSOLE);
    assert!(scene.backup.handed_over);
    assert_eq!(scene.turn(1).1, NOTHING);
    assert_eq!(scene.status().phase, "following");
    scene.says(all.clone());
    // An older report takes nothing back.
    scene.says(Message::Heartbeat { ticks: 9, console_released: 3 });
    assert_eq!(scene.turn(2).1, [claim]);
    assert_eq!((scene.status().phase.as_str(), scene.backup.generation_and_holder()), ("claiming", None));
    assert_eq!(scene.turn(3).1, NOTHING, "once");
    for unfit in 0..3 {
        let mut scene = ready();
        scene.says(all.clone());
        match unfit {
            0 => scene.backup.counting = false,
            1 => scene.backup.linked = false,
            _ => scene.backup.handed_over = false,
        }
        assert_eq!(scene.turn(2).1, NOTHING, "{unfit}");
    }
    // A generation in the log has settled an older switch-over.
    let mut scene = ready();
    let why = log::Start::Alone;
    let frame = scene.entry(log::Event::Generation { generation: Generation(3), node: NodeId(8), why });
    scene.says(Message::Log(frame));
    scene.says(all);
    assert_eq!(scene.turn(2).1.len(), 1, "an acknowledgement");
    assert!(!scene.backup.handed_over);
    assert_eq!(scene.backup.generation_and_holder(), Some((Generation(3), NodeId(8))));
}

#[test]
fn an_undecided_claim_is_made_again_as_it_was() {
    for planned in [false, true] {
        let mut scene = Scene::counting();
        scene.turn(0);
        scene.common.commands.clear();
        scene.backup.bid(&mut scene.common, planned);
        let keeps = if planned { "[n0000000000000001]" } else { "[]" };
        let claim = format!("Claim {{ generation: g3, keeps: {keeps}, after: n0000000000000001 }}");
        assert_eq!(shown(&mut scene.common.commands)[..], *std::slice::from_ref(&claim));
        assert_eq!(scene.turn(1), (Pace::At(10 * MS), vec![]));
        let error = ArbiterError::Unreachable("no quorum".into());
        let undecided = |error| Event::Claimed { generation: Generation(3), outcome: Err(error) };
        assert!(matches!(scene.backup.step(&mut scene.common, undecided(error), 2 * MS), Next::Stay));
        assert_eq!(
            shown(&mut scene.common.commands),
            ["tell waiting: the arbiter cannot be reached: no quorum"]
        );
        scene.backup.linked = false;
        assert_eq!(scene.turn(52 * MS - 1), (Pace::At(52 * MS), vec![]));
        assert_eq!(scene.turn(52 * MS), (Pace::At(u64::MAX), vec![claim]));
        // Neither another generation's answer nor a bid that is not made is one.
        let won = |generation| Event::Claimed { generation, outcome: Ok(Claim::Won) };
        assert_eq!(scene.event(won(Generation(4))), NOTHING);
        assert!(!scene.backup.bid.as_ref().is_some_and(|bid| bid.won));
        assert_eq!(scene.event(won(Generation(3))), ["tell the arbiter answers again"]);
        assert!(matches!(scene.run(53 * MS), (Next::GoLive, Pace::Now)));
    }
}

#[test]
fn a_winner_goes_live_at_the_end_of_the_log() {
    let mut scene = Scene::counting();
    scene.common.settings.replay_instructions = 400;
    let frame = scene.log_to(1000);
    scene.says(Message::Log(frame));
    scene.backup.bid(&mut scene.common, false);
    scene.event(Event::Claimed { generation: Generation(3), outcome: Ok(Claim::Won) });
    assert!(matches!(scene.run(0), (Next::Stay, Pace::Now)));
    assert!(matches!(scene.run(0), (Next::Stay, Pace::Now)));
    assert!(matches!(scene.run(0), (Next::GoLive, Pace::Now)));
}

#[test]
fn an_heir_has_the_guests_time_and_what_may_not_have_left() {
    let heir = |planned, linked| {
        let mut scene = Scene::counting();
        let frame = scene.log_to(1600);
        scene.says(Message::Log(frame));
        scene.turn(0);
        let heard = Message::Heartbeat { ticks: 5000, console_released: CONSOLE - 2 };
        assert!(matches!(scene.says_at(heard, 10 * MS), Next::Stay));
        scene.backup.bid(&mut scene.common, planned);
        scene.event(Event::Claimed { generation: Generation(3), outcome: Ok(Claim::Won) });
        scene.backup.linked = linked;
        let Scene { backup, mut common, .. } = scene;
        let inheritance = backup.into_inheritance(&mut common, 11 * MS);
        assert_eq!(shown(&mut common.commands), ["tell going live at 1600 as generation 3"]);
        inheritance
    };
    let Inheritance {
        machine,
        seq_next,
        generation,
        life,
        ticks,
        kept,
        console_released,
        old_primary,
        linked,
    } = heir(false, false);
    assert_eq!(
        (machine.icount(), seq_next.get() > 2, generation, life),
        (Icount(1600), true, Generation(3), 5)
    );
    assert_eq!((ticks, console_released, old_primary, linked), (15_000, CONSOLE - 2, None, false));
    let [Output::Net { seq: 1, .. }, Output::Console { offset, bytes }] = &kept[..] else {
        panic!("{kept:?}")
    };
    assert_eq!((*offset, &bytes[..]), (CONSOLE - 2, &b"0\n"[..]));
    let planned = heir(true, true);
    assert_eq!((planned.old_primary, planned.linked), (Some((LINK, PRIMARY)), true));
}

#[test]
fn a_lost_primary_is_succeeded_only_by_a_backup_that_counts() {
    assert_eq!(Scene::offered(2).ends(closed("reset")), (lost("reset"), vec!["20 closed".to_owned()]));
    let mut scene = Scene::counting();
    assert_eq!(scene.event(Event::LinkClosed { link: OTHER, why: "gone".into() }), NOTHING);
    assert_eq!(
        scene.event(closed("reset")),
        [
            "20 closed",
            "tell the primary is lost: reset",
            "Claim { generation: g3, keeps: [], after: n0000000000000001 }"
        ]
    );
    assert_eq!(scene.event(closed("reset")), NOTHING, "it is lost already");
    // One that bids already goes on with that.
    let mut scene = Scene::counting();
    scene.backup.bid(&mut scene.common, true);
    assert_eq!(scene.event(closed("reset")), ["20 closed", "tell the primary is lost: reset"]);
    // What a lost primary sent before is not taken.
    let said = scene.event(Event::Message { link: LINK, message: Message::Chunk(vec![]) });
    assert_eq!(said, ["20 closed"]);
}

#[test]
fn silence_ends_a_joiner_and_makes_a_member_claim() {
    let mut scene = Scene::joining();
    for second in 1..=3 {
        scene.turn(second * 1000 * MS);
    }
    let (next, pace) = (1..3000)
        .map(|ms| scene.run(3000 * MS + ms * MS))
        .find(|(next, _)| !matches!(next, Next::Stay))
        .expect("it ends");
    assert!(matches!((next, pace), (Next::Halt(Halt::NotJoined { for_good: false, .. }), Pace::Now)));
    assert_eq!(scene.common.suspicions, 1);
    let mut scene = Scene::counting();
    let mut said = Vec::new();
    for ms in 1..=121 {
        assert_eq!(scene.common.suspicions, 0);
        said = scene.turn(ms * MS).1;
    }
    assert_eq!(scene.common.suspicions, 1);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[1], "tell the primary is lost: it has been silent for too long: 121 ms, 120 are allowed");
}

#[test]
fn others_are_sent_on_to_the_primary() {
    let mut scene = Scene::counting();
    let mut says = |message| scene.event(Event::Message { link: OTHER, message });
    assert_eq!(
        says(Message::Join { vm: "vm".into(), node: NodeId(9) }),
        [
            "30 Later { why: \"this node is the backup; its primary is node 0000000000000001\", known: [] }",
            "30 closed"
        ]
    );
    assert_eq!(
        says(Message::SwitchOver),
        ["30 Refuse { why: \"this node is the backup; ask its primary\" }", "30 closed"]
    );
    assert_eq!(
        says(Message::Ack { received: Seq(1), durable: Seq::ZERO, executed: Icount(1), audited: None }),
        ["30 closed"]
    );
}

#[test]
fn messages_out_of_turn_are_named() {
    let messages = [
        (Message::Join { vm: String::new(), node: US }, "Join"),
        (offer(1, Seq(1)), "Offer"),
        (Message::Chunk(vec![]), "Chunk"),
        (Message::Memory { ram_bytes: 1, chunks: 1 }, "Memory"),
        (Message::MemoryChunk(vec![]), "MemoryChunk"),
        (Message::MemoryTaken { chunks: 1 }, "MemoryTaken"),
        (Message::Disks { specs: vec![] }, "Disks"),
        (Message::DisksComplete, "DisksComplete"),
        (Message::Status, "Status"),
        (Message::SwitchOver, "SwitchOver"),
        (Message::Flushed { disk: 0, tag: 1 }, "Flushed"),
        (Message::ConsoleTaken { upto: 1 }, "ConsoleTaken"),
        (Message::Scrollback { offset: 0, bytes: vec![], typed: vec![] }, "Scrollback"),
        (Message::Later { why: String::new(), known: vec![] }, "Later"),
    ];
    for (message, name) in messages {
        let mut scene = Scene::restored();
        assert_eq!(scene.ends_by(message).0, lost(&format!("it sent {name} out of turn")));
    }
    let referred = lost("it refers to disks that it has not named");
    let chunk = Message::DiskChunk { disk: 0, chunk: 0, packed: vec![] };
    assert_eq!(Scene::joining().ends_by(chunk).0, referred);
    assert_eq!(Scene::offered(2).ends_by(Message::DisksComplete).0, referred);
}

#[test]
fn a_refusal_is_for_good_and_a_delay_is_not() {
    let why = "no".to_owned();
    let refused = Halt::NotJoined { why: why.clone(), for_good: true };
    assert_eq!(Scene::counting().ends_by(Message::Refuse { why: why.clone() }).0, refused);
    let mut scene = Scene::joining();
    let later = Message::Later { why: why.clone(), known: vec!["10.0.0.7:1".into()] };
    assert_eq!(scene.ends_by(later).0, Halt::NotJoined { why, for_good: false });
    assert_eq!(scene.common.seek.known(), ["10.0.0.7:1"]);
    let mut scene = Scene::joining();
    scene.says(Message::Known { addresses: vec!["10.0.0.8:1".into()] });
    scene.says(Message::Whereabouts { listen: "10.0.0.9:1".into() });
    assert_eq!(scene.common.seek.known(), ["10.0.0.8:1", "10.0.0.9:1"]);
    assert_eq!(scene.common.terminals.peer(), Some("10.0.0.9:1"));
}

#[test]
fn a_farewell_ends_the_node_with_its_guest_once_the_end_is_obeyed() {
    let bye = || Message::Bye { why: "the guest has ended".into() };
    let mut scene = Scene::counting();
    scene.turn(0);
    let digest = scene.recorder.machine_mut().digest();
    assert_eq!(digest, scene.recorder.machine_mut().digest());
    // Without an end in the log it is a loss.
    assert_eq!(
        scene.event(Event::Message { link: LINK, message: bye() })[1],
        "tell the primary is lost: the guest has ended"
    );
    for obeyed in [false, true] {
        let mut scene = Scene::counting();
        scene.turn(0);
        if obeyed {
            scene.backup.ended = Some(Exit::Fail(3));
        } else {
            let frame = scene.entry(log::Event::End(Exit::Fail(3)));
            scene.says(Message::Log(frame));
        }
        assert_eq!(
            scene.event(Event::Message { link: LINK, message: bye() }).last().map(String::as_str),
            Some("20 closed")
        );
        assert!(scene.backup.farewell && !scene.backup.linked && scene.backup.bid.is_none());
        if obeyed {
            let (next, pace) = scene.run(0);
            assert!(matches!((next, pace), (Next::Halt(Halt::GuestEnded(Exit::Fail(3))), Pace::Now)));
        }
    }
    // The end alone is not a farewell: what the primary holds back may not have left.
    let mut scene = Scene::counting();
    scene.backup.ended = Some(Exit::Pass);
    scene.turn(0);
    // Nor is a farewell an end that is not obeyed.
    scene.backup.ended = None;
    scene.backup.farewell = true;
    scene.turn(0);
}

#[test]
fn a_backups_disk_reports_a_flush_and_its_failure_ends_the_node() {
    let done = |status| Event::DiskDone(DiskDone { disk: 0, tag: 1, status, data: vec![] });
    let asked = |op| {
        let mut scene = Scene::counting();
        scene.backup.mirror.issue(&mut scene.common, Seq::ZERO, DiskRequest { disk: 0, tag: 1, op });
        scene
    };
    assert_eq!(asked(DiskOp::Flush).event(done(DiskStatus::Ok)), ["20 Flushed { disk: 0, tag: 1 }"]);
    let write = DiskOp::Write { sector: 0, data: vec![0; 512] };
    assert_eq!(asked(write.clone()).event(done(DiskStatus::Ok)), NOTHING);
    let failed = Halt::DiskFailed { disk: 0, tag: 1 };
    let (halt, said) = asked(write.clone()).ends(done(DiskStatus::IoError));
    assert_eq!(
        (halt, said),
        (failed.clone(), vec!["20 Bye { why: \"disk 0 of the backup failed request 1\" }".into()])
    );
    let mut alone = asked(DiskOp::Flush);
    alone.backup.linked = false;
    assert_eq!(alone.event(done(DiskStatus::Ok)), NOTHING);
    let mut alone = asked(write);
    alone.backup.linked = false;
    assert_eq!(alone.ends(done(DiskStatus::IoError)), (failed, vec![]));
}

#[test]
fn replay_waits_for_a_disk_that_is_behind_and_wakes_by_its_end() {
    let mut scene = Scene::counting();
    scene.turn(0);
    for tag in 1..=256 {
        let request = DiskRequest { disk: 0, tag, op: DiskOp::Flush };
        scene.backup.mirror.issue(&mut scene.common, Seq::ZERO, request);
    }
    let frame = scene.log_to(1000);
    scene.says(Message::Log(frame));
    assert_eq!(scene.turn(1).0, Pace::At(10 * MS + 1));
    assert_eq!(scene.backup.icount(), Icount(0));
    let done = DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: vec![] };
    scene.event(Event::DiskDone(done));
    scene.turn(2);
    assert_eq!(scene.backup.icount(), Icount(1000));
}

#[test]
fn a_backup_that_is_fenced_asks_the_arbiter_unless_it_claims() {
    let fenced = |generation| Event::Fenced { current: Generation(generation) };
    let mut scene = Scene::counting();
    assert_eq!(scene.event(fenced(2)), NOTHING, "its own");
    assert_eq!(
        scene.event(fenced(3)),
        ["tell the switch serves generation 3: asking the arbiter", "AskHolder"]
    );
    scene.backup.bid(&mut scene.common, false);
    assert_eq!(scene.event(fenced(3)), NOTHING);
}

#[test]
fn a_backup_ends_as_asked_unless_it_is_the_last() {
    let farewell = "20 Bye { why: \"the operator ended the backup\" }".to_owned();
    let others = "tell ending as asked: the primary 0000000000000001 goes on without a backup".to_owned();
    assert_eq!(Scene::counting().ends(Event::Quit), (Halt::Quit, vec![others.clone(), farewell.clone()]));
    for why in ["ended", "joining"] {
        let mut scene = Scene::counting();
        scene.backup.linked = false;
        if why == "ended" {
            scene.backup.ended = Some(Exit::Pass);
        } else {
            scene.backup.counting = false;
        }
        assert_eq!(scene.ends(Event::Quit), (Halt::Quit, vec![others.clone(), farewell.clone()]), "{why}");
    }
    let mut scene = Scene::counting();
    scene.event(closed("reset"));
    let refused = scene.event(Event::Quit);
    assert!(refused.len() == 1 && refused[0].contains("holds the only copy of the guest"), "{refused:?}");
    let last = "tell ending as asked: the guest's life ends with this node".to_owned();
    assert_eq!(scene.ends(Event::Quit), (Halt::Quit, vec![last, farewell]));
}

#[test]
fn an_old_primary_follows_its_successor_and_answers_the_tool() {
    let mut scene = Scene::joining();
    scene.common.commands.clear();
    let backup = scene.changes_places(Vec::new()).expect("it follows");
    let said = shown(&mut scene.common.commands);
    assert!(said[0].starts_with("PlugIn(") && said[0].contains("standby: true"), "{said:?}");
    assert_eq!(
        said[1..],
        [
            "append [Generation { generation: g2, node: n0000000000000001, why: SwitchOver }]",
            "30 Answer { json: \"{\\\"generation\\\":2,\\\"switched_over\\\":true}\" }",
            "30 closed",
            "tell switched over: generation 2 is current, this node follows",
        ]
    );
    assert_eq!(backup.generation_and_holder(), Some((Generation(2), PRIMARY)));
    assert_eq!(backup.disk_standing(), DiskStanding::Replica(Generation(2)));
    assert_eq!((backup.life(), backup.peer_link(), backup.counting), (5, Some(LINK), true));
    assert_eq!((backup.ticks_heard, backup.primary), (Some((7000, 0)), PRIMARY));
    // What its disks had under way ends as the backup's.
    let mut scene = Scene::joining();
    scene.common.commands.clear();
    let left = vec![Left::Flushed { disk: 0, tag: 4 }, Left::UnderWay { disk: 0, tag: 5, flush: true }];
    let mut backup = scene.changes_places(left).expect("it follows");
    assert_eq!(shown(&mut scene.common.commands)[1], "20 Flushed { disk: 0, tag: 4 }");
    let done = DiskDone { disk: 0, tag: 5, status: DiskStatus::Ok, data: vec![] };
    backup.step(&mut scene.common, Event::DiskDone(done), 0);
    assert_eq!(shown(&mut scene.common.commands), ["20 Flushed { disk: 0, tag: 5 }"]);
    let failed = Scene::joining().changes_places(vec![Left::Failed { disk: 0, tag: 4 }]).err();
    assert_eq!(failed, Some(Halt::DiskFailed { disk: 0, tag: 4 }));
}

/// A backup that lost its claim, and keeps its machine.
fn away() -> Scene {
    let mut scene = Scene::counting();
    scene.common.learn("10.0.0.1:7");
    let why = "generation 3 belongs to another node";
    scene.backup.look_for_primary(&mut scene.common, why);
    assert_eq!(
        shown(&mut scene.common.commands),
        [
            "20 Bye { why: \"this node has lost its place\" }",
            "20 closed",
            "tell generation 3 belongs to another node: this node keeps its machine, and looks for the primary to go \
             on with its log"
        ]
    );
    scene
}

/// The same, when it has asked at link 21.
fn asked() -> Scene {
    let mut scene = away();
    let dialed = |outcome| Event::Dialed { address: "10.0.0.1:7".into(), outcome };
    let (pace, said) = scene.turn(4);
    assert_eq!(said, ["Dial { address: \"10.0.0.1:7\" }"]);
    assert_ne!((pace, scene.common.id), (Pace::Now, US), "it has a new identity");
    let id = scene.common.id;
    assert_eq!(scene.event(Event::Dialed { address: "x".into(), outcome: Ok(LinkId(9)) }), NOTHING);
    assert_eq!(
        scene.event(dialed(Ok(LinkId(21)))),
        [format!("21 Resume {{ vm: \"vm\", node: {id:?}, life: 5, held: #1, generation: g2 }}")]
    );
    scene
}

fn answer(message: Message) -> Event {
    Event::Message { link: LinkId(21), message }
}

#[test]
fn a_backup_that_lost_its_place_asks_for_the_log_behind_its_own() {
    let mut scene = asked();
    scene.backup.mirror.take_over(vec![Left::Flushed { disk: 1, tag: 6 }]);
    assert_eq!(scene.backup.generation_and_holder(), None, "it is nobody's yet");
    assert!(!scene.status().protected && scene.backup.disk_standing() == DiskStanding::Behind);
    let resumed = Message::Resumed { generation: Generation(3), node: NodeId(9), ack: Ack::Memory };
    assert_eq!(
        scene.event(answer(resumed)),
        [
            "tell node 0000000000000009 goes on with this node's machine, from entry 1",
            "21 Known { addresses: [\"10.0.0.1:7\"] }",
            "21 Flushed { disk: 1, tag: 6 }",
        ]
    );
    assert_eq!(scene.backup.generation_and_holder(), Some((Generation(3), NodeId(9))));
    let (_, said) = scene.turn(5);
    assert_eq!(said, ["21 Ack { received: #1, durable: #0, executed: @0, audited: None }"]);
}

#[test]
fn a_backup_that_gets_no_log_asks_on_and_one_whose_machine_is_outdated_does_not() {
    for refusal in [
        answer(Message::Later { why: "busy".into(), known: vec!["10.0.0.2:7".into()] }),
        answer(Message::Bye { why: "busy".into() }),
        answer(Message::Heartbeat { ticks: 0, console_released: 0 }),
        Event::LinkClosed { link: LinkId(21), why: "busy".into() },
    ] {
        let mut scene = asked();
        scene.event(refusal.clone());
        assert!(matches!(scene.backup.away, Some(Away::Looking(Looking::Resting { .. }))), "{refusal:?}");
        let (_, said) = scene.turn(1000 * MS);
        assert!(said.iter().any(|command| command.starts_with("Dial")), "{refusal:?}: {said:?}");
    }
    let mut scene = asked();
    let (halt, _) = scene.ends(answer(Message::Anew { why: "too old".into() }));
    assert_eq!(halt, Halt::NotJoined { why: "too old".into(), for_good: false });
    assert!(!scene.backup.can_resume());
    let mut scene = asked();
    let (halt, _) = scene.ends(answer(Message::Refuse { why: "ended".into() }));
    assert_eq!(halt, Halt::NotJoined { why: "ended".into(), for_good: true });
    // A generation that is known to be replaced is not followed.
    let mut scene = asked();
    scene.common.seek.has_seen(5, Generation(4));
    let resumed = Message::Resumed { generation: Generation(3), node: NodeId(9), ack: Ack::Memory };
    scene.event(answer(resumed));
    assert!(scene.backup.is_away());
}
