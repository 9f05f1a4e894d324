//! A node among hostile peers, tools and terminals.
//!
//! The bytes are read as a stream from a connection first. Then they are a story, in which a node hears messages whose
//! lengths and checksums are right:
//!
//! ```text
//! offset  size  field
//! 0       1     bits 0..2: primary, backup, seeking, or a primary outside fault tolerance; bits 2, 3: its guest
//! 1       ...   steps: a byte that names one (bits 0..2) and a connection or an outcome (bits 2..8), and what it takes
//! ```
//!
//! The host answers what the node asks of it (disks, arbiter, connections), as the story says; it never lies. Nothing
//! that a peer says makes the node panic, and what it wants done stays within bounds.

use std::collections::VecDeque;

use lockstep::base::{Generation, Icount, NodeId, digest_bytes};
use lockstep::devices::disk::{DiskDone, DiskOp, DiskStatus};
use lockstep::ft::Pace;
use lockstep::ft::disk::{CHUNK_BYTES, DIGESTS_MAX, DiskWorked, Work, Worked};
use lockstep::ft::message::{
    HEADER_BYTES, Header, PREAMBLE_BYTES, check_preamble, decode_body, decode_header,
};
use lockstep::ft::{Bid, Boot, Claim, Command, Event, Halt, Holder, LinkId, Message, Node, Settings, World};
use lockstep::log::decode_frame;

use crate::guest;
use crate::input::{Input, put_part};

/// Steps: a message; time passes; the host answers what it was asked; something else happens.
pub const MESSAGE: u8 = 0;
pub const TIME: u8 = 1;
pub const ANSWER: u8 = 2;
pub const OTHER: u8 = 3;

pub const PRIMARY: u8 = 0;
pub const BACKUP: u8 = 1;
pub const SEEKING: u8 = 2;
const OUTSIDE: u8 = 3;

/// The two nodes of a story that was written down from a pair.
pub const IDS: [NodeId; 2] = [NodeId(1), NodeId(2)];
/// The connection that a backup joins by.
pub const LINK: LinkId = LinkId(1);

/// A unit of time in a story, in nanoseconds.
const UNIT_NS: u64 = 50_000;
/// More than one event or turn leads to.
const COMMANDS_MAX: usize = 4096;
const COMMAND_BYTES_MAX: usize = 32 << 20;
/// Turns in which the node may work at a step.
const TURNS: usize = 4;

pub fn run(data: &[u8]) {
    stream(data);
    let mut input = Input::new(data);
    let mut party = Party::new(input.u8());
    while !input.is_empty() && !party.node.is_halted() {
        let op = input.u8();
        party.step(op, &mut input);
    }
    party.pass(400);
    serde_json::to_string(&party.node.status(party.host.now_ns)).expect("a status is JSON");
}

/// The bytes as a connection's, as far as they are messages.
fn stream(data: &[u8]) {
    if let Some(preamble) = data.first_chunk::<PREAMBLE_BYTES>() {
        drop(check_preamble(preamble));
    }
    let mut rest = data;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let Ok(header) = decode_header(header) else { return };
        let Some((body, after)) = after.split_at_checked(header.len) else { return };
        let Ok(message) = decode_body(header, body) else { return };
        comes_back(&message);
        rest = after;
    }
}

fn comes_back(message: &Message) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a header");
    let header = decode_header(header).expect("our own header");
    assert_eq!(decode_body(header, body).as_ref(), Ok(message));
}

/// The host of a node.
pub struct Host {
    now_ns: u64,
    entropy: u8,
    /// What is said to be on its way on each connection.
    outbox: usize,
}

impl World for Host {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.entropy = self.entropy.wrapping_add(1);
        bytes.fill(self.entropy);
    }

    fn host_id(&mut self) -> u64 {
        1
    }

    fn wall_clock_ns(&mut self) -> u64 {
        1_700_000_000_000_000_000 + self.now_ns
    }

    fn outbox_bytes(&mut self, _: LinkId) -> usize {
        self.outbox
    }

    fn outputs_blocked(&mut self) -> bool {
        false
    }

    fn console_pending(&mut self) -> u64 {
        0
    }
}

/// A node, and what it has asked for.
pub struct Party {
    node: Node,
    host: Host,
    disk: Vec<u8>,
    /// Asked of the host, and not answered yet.
    asked: VecDeque<Command>,
    /// What it sent, for a report of a run.
    pub sent: Vec<(LinkId, Message)>,
    /// What happened to it so far, as this target reads it.
    pub story: Vec<u8>,
    /// The recording.
    pub frames: Vec<Vec<u8>>,
    links: u64,
    rx_seq: u64,
}

impl Party {
    pub fn new(first: u8) -> Self {
        let settings =
            Settings { slice_instructions: 1024, slice_instructions_max: 1024, ..Settings::default() };
        let guest = ["clock", "kv", "diskkv", "clock"][usize::from(first >> 2 & 3)];
        let boot = |generation| Boot { machine: guest::boot(guest), generation, life: 7, limit: Icount::MAX };
        let mut node = match first & 3 {
            PRIMARY => Node::primary(IDS[0], "vm", boot(Generation(1)), settings, 0),
            BACKUP => Node::backup(IDS[1], "vm", LINK, settings, 0),
            SEEKING => {
                let addresses = vec!["192.0.2.1:1".into(), "192.0.2.2:1".into()];
                Node::seeking(IDS[1], "vm", addresses, 1_000_000_000, settings, 0)
            }
            OUTSIDE => Node::primary(IDS[0], "vm", boot(Generation::ZERO), settings, 0),
            _ => unreachable!("two bits"),
        };
        node.listens_at("192.0.2.9:1".into());
        if first & 16 != 0 {
            node.rejoins();
        }
        let host = Host { now_ns: 0, entropy: 0, outbox: 0 };
        let (asked, sent, frames) = Default::default();
        let disk = vec![0; guest::SECTORS as usize * 512];
        let mut party =
            Self { node, host, disk, asked, sent, story: vec![first], frames, links: 9, rx_seq: 0 };
        party.collect();
        party
    }

    fn step(&mut self, op: u8, input: &mut Input<'_>) {
        let rest = op >> 2;
        match op & 3 {
            MESSAGE => {
                let body = input.part();
                let header = Header { len: body.len(), crc: crc32fast::hash(body) };
                if let Ok(message) = decode_body(header, body) {
                    comes_back(&message);
                    self.event(Event::Message { link: LinkId(u64::from(rest) & 7), message });
                }
            }
            TIME => self.pass(input.u16()),
            ANSWER => self.answer(rest),
            _ => self.other(rest, input),
        }
    }

    /// The node hears a message, and the story says so.
    pub fn hear(&mut self, link: LinkId, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.story.push(MESSAGE | (link.0 as u8) << 2);
        put_part(&mut self.story, &bytes[HEADER_BYTES..]);
        self.event(Event::Message { link, message: message.clone() });
    }

    /// So many units of time pass, and the story says so.
    pub fn wait(&mut self, units: u16) {
        self.story.push(TIME);
        self.story.extend(units.to_le_bytes());
        self.pass(units);
    }

    /// The host answers what it was asked first, and the story says so.
    pub fn answered(&mut self) {
        while !self.asked.is_empty() {
            self.story.push(ANSWER);
            self.answer(0);
        }
    }

    fn pass(&mut self, units: u16) {
        self.host.now_ns += u64::from(units) * UNIT_NS;
        for _ in 0..TURNS {
            let pace = self.node.run(&mut self.host);
            self.collect();
            if pace != Pace::Now {
                break;
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.node.step(event, self.host.now_ns);
        self.collect();
    }

    fn collect(&mut self) {
        let commands = self.node.take_commands();
        assert!(commands.len() <= COMMANDS_MAX, "{} commands at once", commands.len());
        let mut bytes = 0;
        for command in commands {
            match command {
                Command::Send { link, message } => {
                    bytes += message.payload_bytes();
                    comes_back(&message);
                    self.sent.push((link, message));
                }
                Command::Append { bytes } => {
                    decode_frame(&bytes).expect("a node records what can be decoded");
                    self.frames.push(bytes);
                }
                Command::Halt(halt) => assert!(!matches!(halt, Halt::GuestEnded(_)) || self.node.is_halted()),
                command @ (Command::Claim { .. }
                | Command::AskHolder
                | Command::Disk(_)
                | Command::DiskWork(_)
                | Command::Dial { .. }
                | Command::LeaveRole { .. }) => self.asked.push_back(command),
                _ => {}
            }
        }
        assert!(bytes <= COMMAND_BYTES_MAX, "{bytes} bytes to send at once");
        // A host asks an arbiter one thing at a time; the rest is bounded by the guest and by what the peer sent.
        assert!(self.asked.len() <= COMMANDS_MAX, "{} things asked of the host", self.asked.len());
    }

    /// The host answers the first thing that it was asked; `how` says how it went.
    fn answer(&mut self, how: u8) {
        let Some(command) = self.asked.pop_front() else { return };
        let other = NodeId(3);
        let event = match command {
            Command::Claim { generation, .. } => {
                let lost = Claim::Lost {
                    to: other,
                    keeps: (how & 2 != 0).then_some(self.node.id()).into_iter().collect(),
                };
                let outcome = match how & 5 {
                    0 => Ok(Claim::Won),
                    1 => Ok(lost),
                    _ => Err(lockstep::ft::ArbiterError::Unreachable("no route".into())),
                };
                Event::Claimed { generation, outcome }
            }
            Command::AskHolder => {
                let node = if how & 1 == 0 { other } else { self.node.id() };
                let generation = self.node.generation().next();
                let bid = Bid { generation, node, keeps: Vec::new(), after: None, wherefrom: String::new() };
                let holder = (how & 4 == 0).then_some(Holder { bid, ended: how & 2 != 0 });
                Event::HolderSeen(Ok(holder))
            }
            Command::Disk(request) => {
                let (mut data, mut status) = (Vec::new(), DiskStatus::Ok);
                match &request.op {
                    _ if how & 1 != 0 => status = DiskStatus::IoError,
                    DiskOp::Read { sector, bytes } => {
                        let at = *sector as usize * 512;
                        data.extend_from_slice(&self.disk[at..at + *bytes as usize]);
                    }
                    DiskOp::Write { sector, data } => {
                        let at = *sector as usize * 512;
                        self.disk[at..at + data.len()].copy_from_slice(data);
                    }
                    DiskOp::Flush => {}
                }
                Event::DiskDone(DiskDone { disk: request.disk, tag: request.tag, status, data })
            }
            Command::DiskWork(job) => {
                let outcome = if how & 1 != 0 { Err("no space".into()) } else { Ok(self.work(job.work)) };
                Event::DiskWorked(DiskWorked { link: job.link, disk: job.disk, outcome })
            }
            Command::Dial { address } => {
                self.links += 1;
                let outcome = if how & 1 != 0 { Err("refused".into()) } else { Ok(LinkId(self.links & 7)) };
                Event::Dialed { address, outcome }
            }
            _ => Event::RoleLeft,
        };
        self.event(event);
    }

    /// Work on the one disk, by whatever number it is asked for; a chunk that it does not have is zeros.
    fn work(&mut self, work: Work) -> Worked {
        let range = |chunk: u32| {
            let at = chunk as usize * CHUNK_BYTES;
            at..at + CHUNK_BYTES
        };
        let chunk_of = |disk: &[u8], chunk| disk.get(range(chunk)).map_or(vec![0; 512], <[u8]>::to_vec);
        match work {
            Work::Open { .. } | Work::Track | Work::Untrack | Work::Sync | Work::Keep | Work::Unkeep => {
                Worked::Done
            }
            Work::Write { chunk, bytes } => {
                if let Some(place) =
                    self.disk.get_mut(range(chunk)).filter(|place| place.len() == bytes.len())
                {
                    place.copy_from_slice(&bytes);
                }
                Worked::Done
            }
            Work::TakeDirty => Worked::Dirty { chunks: Vec::new() },
            Work::Digest { first, count } => {
                assert!(count <= DIGESTS_MAX, "{count} digests are asked for at once");
                let digest = |chunk: u32| digest_bytes(&chunk_of(&self.disk, chunk), 0);
                Worked::Digests { first, digests: (first..first.saturating_add(count)).map(digest).collect() }
            }
            Work::Read { chunk } => Worked::Bytes { chunk, bytes: chunk_of(&self.disk, chunk) },
        }
    }

    /// What comes from neither a peer nor an answer.
    fn other(&mut self, what: u8, input: &mut Input<'_>) {
        let event = match what & 15 {
            0..=2 => Event::LinkClosed { link: LinkId(input.u8().into()), why: "closed".into() },
            3 => Event::ConsoleInput(input.part().to_vec()),
            4 | 5 => {
                self.rx_seq += 1;
                let frame = input.part();
                let frame = frame[..frame.len().min(lockstep::net::ether::FRAME_BYTES_MAX)].to_vec();
                Event::Frame { rx_seq: self.rx_seq, frame }
            }
            6 => Event::ConsoleSize { cols: input.u16(), rows: input.u16() },
            7 => Event::Fenced { current: Generation(input.u8().into()) },
            8 => Event::Switch(lockstep::ft::SwitchState::Up),
            9 => Event::Quit,
            10 => {
                let seen = Ok(NodeId(input.u8().into()));
                Event::ArbiterSeen { generation: self.node.generation(), seen }
            }
            11 => return self.host.outbox = usize::from(input.u16()) << 6,
            _ => return,
        };
        self.event(event);
    }
}
