//! The messages of lockstep processes over a connection.
//!
//! A connection starts with a preamble from the side that opened it, then both sides send messages:
//!
//! ```text
//! preamble   0  8  "LKSTPEER"
//!            8  2  protocol version, little-endian
//! message    0  4  length of the body in bytes, little-endian, 1..=MESSAGE_BYTES_MAX
//!            4  4  CRC-32 (IEEE) of the body
//!            8  n  body: a Message in postcard encoding
//! ```
//!
//! Everything here is parsed as if an enemy wrote it: lengths are bounded before anything is
//! allocated, and a body that does not decode to exactly its length is an error.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::own_store::Ack;
use crate::base::{Digest, Generation, Icount, NodeId, Seq, blob};
use crate::devices::disk::DiskSpec;
use crate::replay::Divergence;

/// What a connection between nodes begins with.
pub const PREAMBLE_MAGIC: &[u8; 8] = b"LKSTPEER";
/// Moves with every change of a message's meaning or encoding.
pub const PROTOCOL_VERSION: u16 = 7;
/// Bytes of the preamble: the magic and the protocol version.
pub const PREAMBLE_BYTES: usize = 10;
/// Bytes of a message's header: length and checksum.
pub const HEADER_BYTES: usize = 8;
/// A log frame or snapshot chunk with room to spare.
pub const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// What nodes, terminals and tools send each other. The order of the variants is part of the encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A would-be backup of `vm` introduces itself; the first message of its connection.
    Join {
        /// The vm's name.
        vm: String,
        /// The joiner's identity, which is new for each process and each role.
        node: NodeId,
    },
    /// The primary refuses for good; the connection ends.
    Refuse {
        /// The reason, for the operator.
        why: String,
    },
    /// The primary accepts: `chunks` snapshot chunks follow, and log from `seq_next` on.
    Offer {
        /// The present generation.
        generation: Generation,
        /// The primary.
        node: NodeId,
        /// The first log entry that is sent.
        seq_next: Seq,
        /// The position of the snapshot.
        at: Icount,
        /// How many chunks the snapshot has.
        chunks: u32,
        /// The number of the guest's life, by which the switch knows its nodes.
        life: u64,
        /// When an entry counts.
        ack: Ack,
    },
    /// The next chunk of the snapshot.
    Chunk(#[serde(with = "blob")] Vec<u8>),
    /// One log frame, exactly as it is stored.
    Log(#[serde(with = "blob")] Vec<u8>),
    /// The backup holds the log up to `received` in memory and has obeyed it up to `executed`.
    Ack {
        /// The last entry in memory.
        received: Seq,
        /// The last entry in its store, synced; 0 without a store.
        durable: Seq,
        /// The position of the backup's machine.
        executed: Icount,
        /// The last position at which the digests agreed.
        audited: Option<Audit>,
    },
    /// The sender is alive. From the primary: its guest's time, and how much of the console has
    /// left it.
    Heartbeat {
        /// The guest's time, in ticks of 100 ns; 0 to a terminal.
        ticks: u64,
        /// Console bytes that have left the primary, of all that the guest has printed.
        console_released: u64,
    },
    /// The backup's replay is not the recording; it stops.
    Diverged(Box<Divergence>),
    /// The sender ends in an orderly way.
    Bye {
        /// The reason, for the operator.
        why: String,
    },
    /// A tool asks for the node's status; answered by `Answer` with one JSON object.
    Status,
    /// A tool asks for a planned switch-over; answered by `Answer` or `Refuse`.
    SwitchOver,
    /// The answer to a tool.
    Answer {
        /// One JSON object, as text.
        json: String,
    },
    /// A terminal comes: see `terminals`. It wants the console of the life `life` from byte
    /// `from` on, if that is still known, else from where it is; it types as `session`.
    Attach {
        /// The life that the terminal has seen; 0 for none.
        life: u64,
        /// The first byte that it lacks.
        from: Option<u64>,
        /// Its session's number, drawn at random.
        session: u64,
    },
    /// The node's first message to a terminal, sent again when one of these changes: what comes next
    /// begins at `start`, the console is at `end`, `taken` bytes of the session are the guest's for
    /// good, and the other node listens at `peer`.
    Attached {
        /// The vm's name.
        vm: String,
        /// The node that the terminal is connected to.
        node: NodeId,
        /// The number of the guest's life.
        life: u64,
        /// Whether this node is the primary.
        primary: bool,
        /// Number of the next console byte that is sent.
        start: u64,
        /// Console bytes printed so far.
        end: u64,
        /// Bytes of the session that the guest has for good.
        taken: u64,
        /// Where the other node listens.
        peer: Option<String>,
    },
    /// Console bytes; the first is the `offset`-th of the guest's life.
    ConsoleData {
        /// Number of the first byte.
        offset: u64,
        /// The bytes.
        #[serde(with = "blob")]
        bytes: Vec<u8>,
    },
    /// Typed at a terminal; the first byte is the `seq`-th of its session.
    ConsoleInput {
        /// Number of the first byte in its session.
        seq: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The guest has been given everything typed before byte `upto`, whichever node is primary.
    ConsoleTaken {
        /// Number of the first byte that it may lack.
        upto: u64,
    },
    /// The terminal's window has this size.
    ConsoleSize {
        /// Characters in a row.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// The guest has ended, with this status: the last message to a terminal.
    ConsoleEnd {
        /// The exit status, as of `lockstep run`.
        status: u8,
        /// The end in words.
        how: String,
    },
    /// The primary sends a joiner the console's state before the snapshot: its last bytes, and how much of
    /// each session was typed.
    Scrollback {
        /// Number of the first byte.
        offset: u64,
        /// The bytes.
        #[serde(with = "blob")]
        bytes: Vec<u8>,
        /// Each session, and how many of its bytes the guest has.
        typed: Vec<(u64, u64)>,
    },
    /// Terminals and tools reach the sender here.
    Whereabouts {
        /// The address, as `--listen` names it.
        listen: String,
    },
    /// The primary accepts a joiner of a machine with disks: they are compared and copied first.
    Disks {
        /// The disks' shapes, by number.
        specs: Vec<DiskSpec>,
    },
    /// The primary's digests of chunks from `first` on.
    DiskDigests {
        /// The disk's number, from 0.
        disk: u8,
        /// The first chunk.
        first: u32,
        /// The digests of it and of those after it.
        digests: Vec<Digest>,
    },
    /// The joiner's answer to the digests from `first` on: these chunks of its own differ.
    DiskWant {
        /// The disk's number, from 0.
        disk: u8,
        /// The first chunk of the digests.
        first: u32,
        /// Numbers of the chunks that differ.
        chunks: Vec<u32>,
    },
    /// A chunk as the primary has it; packed as [`disk::pack`](super::disk::pack) does.
    DiskChunk {
        /// The disk's number, from 0.
        disk: u8,
        /// The chunk's number.
        chunk: u32,
        /// Its content.
        #[serde(with = "blob")]
        packed: Vec<u8>,
    },
    /// The joiner's disk has taken the chunk.
    DiskStored {
        /// The disk's number, from 0.
        disk: u8,
        /// The chunk's number.
        chunk: u32,
    },
    /// With this the joiner's disks are at least as new as the state that was offered.
    DisksComplete,
    /// The backup's disk is flushed up to the guest's request `tag`.
    Flushed {
        /// The disk's number, from 0.
        disk: u8,
        /// The number of the flush among the disk's requests.
        tag: u64,
    },
    /// Ahead of the state the joiner gets the guest's memory, `chunks` at first, while the guest runs on.
    Memory {
        /// Bytes of RAM.
        ram_bytes: u64,
        /// How many chunks the first pass has.
        chunks: u32,
    },
    /// The next of it, as [`snapshot::ahead`](crate::snapshot::ahead) makes them.
    MemoryChunk(#[serde(with = "blob")] Vec<u8>),
    /// The joiner has put so many chunks of memory, in all, where they belong.
    MemoryTaken {
        /// Chunks so far.
        chunks: u32,
    },
    /// The answer to a `Join` that may be asked again: not now, or not here. Other nodes of this vm listen at
    /// `known`. The connection ends.
    Later {
        /// The reason, for the operator.
        why: String,
        /// Addresses.
        known: Vec<String>,
    },
    /// Where other nodes of this vm listen, as far as the sender knows.
    Known {
        /// Addresses.
        addresses: Vec<String>,
    },
    /// From a primary to its peer: another connection to where this one leads, which begins with this very message,
    /// is to carry beats (`ft::beat`). The message as the first of a connection does that.
    Pulse {
        /// A random number, by which the two connections are matched.
        token: u64,
    },
    /// A node of `vm` that followed another primary, or this one over a connection that broke, has the guest's machine
    /// and asks for the log that it lacks; the first message of its connection.
    Resume {
        /// The vm's name.
        vm: String,
        /// The node's identity, which is new for each such request.
        node: NodeId,
        /// The guest's life that its machine is of.
        life: u64,
        /// The last entry that it holds.
        held: Seq,
        /// The generation of that entry.
        generation: Generation,
    },
    /// The primary has all the log behind that entry: it follows.
    Resumed {
        /// The present generation.
        generation: Generation,
        /// The primary.
        node: NodeId,
        /// When an entry counts.
        ack: Ack,
    },
    /// The primary cannot go on from what the node holds: it may `Join`. The connection ends.
    Anew {
        /// The reason, for the operator.
        why: String,
    },
    /// A tool wants this node to leave the guest to the others and end; answered by `Answer`, or by `Refuse` where the
    /// guest would be lost.
    Leave,
    /// A tool wants a checkpoint now; answered by `Answer` once this node's store has it, or by `Refuse`.
    Checkpoint,
    /// A tool wants a backup's state tried for so many seconds; answered by `Answer`, or by `Refuse`.
    Rehearse {
        /// How long the guest is live in the sandbox.
        seconds: u32,
    },
}

/// A position at which the digests of both sides agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The position.
    pub icount: Icount,
    /// The digest of the state there.
    pub digest: Digest,
}

/// What a peer sent is not this protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The connection does not begin with [`PREAMBLE_MAGIC`].
    #[error("the peer does not speak lockstep's protocol (it began with {found:02x?})")]
    NotOurs {
        /// What it begins with.
        found: Vec<u8>,
    },
    /// The peer is of another version.
    #[error("the peer speaks protocol version {found}, this is version {PROTOCOL_VERSION}")]
    Version {
        /// That version.
        found: u16,
    },
    /// The length field is out of bounds.
    #[error("a message of {len} bytes was announced; 1 to {MESSAGE_BYTES_MAX} are allowed")]
    Length {
        /// The length field.
        len: u64,
    },
    /// The body was damaged, or its header.
    #[error("a message's checksum is {found:08x}, {expected:08x} was announced")]
    Checksum {
        /// The checksum field.
        expected: u32,
        /// The checksum of the body.
        found: u32,
    },
    /// The body is no message, although its checksum is right: why not.
    #[error("a message does not decode: {0}")]
    Body(String),
}

/// What the opener of a connection sends first.
pub fn preamble() -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    bytes[..8].copy_from_slice(PREAMBLE_MAGIC);
    bytes[8..].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    bytes
}

/// Checks what a connection begins with.
///
/// # Errors
/// It is another protocol ([`MessageError::NotOurs`]) or version ([`MessageError::Version`]).
pub fn check_preamble(bytes: &[u8; PREAMBLE_BYTES]) -> Result<(), MessageError> {
    if &bytes[..8] != PREAMBLE_MAGIC {
        return Err(MessageError::NotOurs { found: bytes[..8].to_vec() });
    }
    match u16::from_le_bytes([bytes[8], bytes[9]]) {
        PROTOCOL_VERSION => Ok(()),
        found => Err(MessageError::Version { found }),
    }
}

/// A message's announced body: its length in bytes, and its CRC-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body; 1 to [`MESSAGE_BYTES_MAX`].
    pub len: usize,
    /// CRC-32 (IEEE) of the body.
    pub crc: u32,
}

/// Reads a message's header.
///
/// # Errors
/// The length is out of bounds: nothing of that length is to be allocated.
pub fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, MessageError> {
    let [a, b, c, d, e, f, g, h] = *bytes;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len == 0 || len > MESSAGE_BYTES_MAX {
        return Err(MessageError::Length { len: len as u64 });
    }
    Ok(Header { len, crc: u32::from_le_bytes([e, f, g, h]) })
}

/// Reads the message of `body`, which `header` announced.
///
/// # Errors
/// The checksum differs, or the bytes do not decode to exactly one message.
pub fn decode_body(header: Header, body: &[u8]) -> Result<Message, MessageError> {
    let found = crc32fast::hash(body);
    if found != header.crc {
        return Err(MessageError::Checksum { expected: header.crc, found });
    }
    match postcard::take_from_bytes::<Message>(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(MessageError::Body(format!("{} bytes are left over", rest.len()))),
        Err(error) => Err(MessageError::Body(error.to_string())),
    }
}

impl Message {
    /// The bytes of what it carries, if that can be much.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Message::Chunk(bytes)
            | Message::MemoryChunk(bytes)
            | Message::Log(bytes)
            | Message::ConsoleData { bytes, .. }
            | Message::ConsoleInput { bytes, .. } => bytes.len(),
            Message::Scrollback { bytes, typed, .. } => bytes.len() + typed.len() * size_of::<(u64, u64)>(),
            Message::Attached { vm, peer, .. } => vm.len() + peer.as_ref().map_or(0, String::len),
            Message::DiskChunk { packed, .. } => packed.len(),
            Message::DiskDigests { digests, .. } => digests.len() * size_of::<Digest>(),
            Message::DiskWant { chunks, .. } => chunks.len() * size_of::<u32>(),
            Message::Disks { specs } => {
                specs.iter().map(|spec| spec.serial.len() + size_of::<DiskSpec>()).sum()
            }
            Message::Join { vm: text, .. }
            | Message::Refuse { why: text }
            | Message::Bye { why: text }
            | Message::Answer { json: text }
            | Message::ConsoleEnd { how: text, .. }
            | Message::Whereabouts { listen: text }
            | Message::Resume { vm: text, .. }
            | Message::Anew { why: text } => text.len(),
            Message::Later { why, known } => why.len() + strings_bytes(known),
            Message::Known { addresses } => strings_bytes(addresses),
            Message::Diverged(divergence) => {
                let context: usize =
                    divergence.context.iter().map(|line| line.len() + size_of::<String>()).sum();
                divergence.expected.len() + divergence.found.len() + context
            }
            Message::Offer { .. }
            | Message::Resumed { .. }
            | Message::Ack { .. }
            | Message::Heartbeat { .. }
            | Message::Status
            | Message::Attach { .. }
            | Message::ConsoleTaken { .. }
            | Message::ConsoleSize { .. }
            | Message::SwitchOver
            | Message::Leave
            | Message::Checkpoint
            | Message::Rehearse { .. }
            | Message::DiskStored { .. }
            | Message::DisksComplete
            | Message::Flushed { .. }
            | Message::Memory { .. }
            | Message::MemoryTaken { .. }
            | Message::Pulse { .. } => 0,
        }
    }

    /// Appends the message, header and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let body = std::mem::take(out);
        *out = postcard::to_extend(self, body).expect("a message serialises into memory");
        let len = out.len() - start - HEADER_BYTES;
        assert!(len <= MESSAGE_BYTES_MAX, "our own messages stay within the bound: {len} bytes");
        let crc = crc32fast::hash(&out[start + HEADER_BYTES..]);
        out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
        out[start + 4..start + HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    }
}

fn strings_bytes(strings: &[String]) -> usize {
    strings.iter().map(|string| string.len() + size_of::<String>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    fn decode(bytes: &[u8]) -> Result<Message, MessageError> {
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        let header = decode_header(&header)?;
        if header.len != bytes.len() - HEADER_BYTES {
            return Err(MessageError::Length { len: header.len as u64 });
        }
        decode_body(header, &bytes[HEADER_BYTES..])
    }

    fn samples() -> Vec<Message> {
        vec![
            Message::Join { vm: "kv".into(), node: NodeId(7) },
            Message::Log(vec![1, 2, 3]),
            Message::Ack {
                received: Seq(9),
                durable: Seq(8),
                executed: Icount(1 << 40),
                audited: Some(Audit { icount: Icount(5), digest: Digest(1 << 100) }),
            },
            Message::Heartbeat { ticks: 1, console_released: 2 },
            Message::Bye { why: "done".into() },
            Message::Status,
            Message::Disks { specs: vec![DiskSpec { sectors: 9, read_only: true, serial: "a".into() }] },
            Message::DiskDigests { disk: 1, first: 64, digests: vec![Digest(1 << 100), Digest(3)] },
            Message::DiskWant { disk: 1, first: 64, chunks: vec![65] },
            Message::DiskChunk { disk: 1, chunk: 65, packed: vec![1, 2, 3] },
            Message::DisksComplete,
            Message::Flushed { disk: 3, tag: u64::MAX },
            Message::Memory { ram_bytes: 64 << 20, chunks: 3 },
            Message::MemoryChunk(vec![1, 2]),
            Message::MemoryTaken { chunks: u32::MAX },
            Message::Pulse { token: u64::MAX },
            Message::Resume {
                vm: "kv".into(),
                node: NodeId(7),
                life: 3,
                held: Seq(9),
                generation: Generation(2),
            },
            Message::Resumed { generation: Generation(3), node: NodeId(8), ack: Ack::Disk },
            Message::Anew { why: "too old".into() },
            Message::Leave,
            Message::Checkpoint,
            Message::Rehearse { seconds: 2 },
            Message::Refuse { why: "no".into() },
            Message::Offer {
                generation: Generation(1),
                node: NodeId(2),
                seq_next: Seq(3),
                at: Icount(4),
                chunks: 5,
                life: 6,
                ack: Ack::Memory,
            },
            Message::Chunk(vec![4, 5]),
            Message::Diverged(Box::new(Divergence {
                seq: Seq(1),
                entry_at: Icount(2),
                machine_at: Icount(3),
                expected: "a".into(),
                found: "b".into(),
                context: vec!["c".into()],
            })),
            Message::SwitchOver,
            Message::Answer { json: "{}".into() },
            Message::Attached {
                vm: "kv".into(),
                node: NodeId(1),
                life: 2,
                primary: true,
                start: 3,
                end: 4,
                taken: 5,
                peer: Some("10.0.0.1:7".into()),
            },
            Message::ConsoleInput { seq: 1, bytes: vec![2] },
            Message::ConsoleTaken { upto: 3 },
            Message::ConsoleSize { cols: 80, rows: 25 },
            Message::ConsoleEnd { status: 1, how: "fail".into() },
            Message::Whereabouts { listen: "10.0.0.1:7".into() },
            Message::DiskStored { disk: 1, chunk: 2 },
            Message::Attach { life: 1, from: Some(u64::MAX), session: 3 },
            Message::ConsoleData { offset: 300, bytes: b"login: ".to_vec() },
            Message::Scrollback { offset: 1, bytes: vec![2, 3], typed: vec![(u64::MAX, 4)] },
            Message::Later { why: "not now".into(), known: vec!["10.0.0.1:7".into(), String::new()] },
            Message::Known { addresses: vec!["[::1]:7".into()] },
        ]
    }

    /// How many kinds of messages there are.
    const MESSAGES: usize = 40;

    /// Nodes of two versions that speak the same protocol version must understand each other.
    #[test]
    fn the_bytes_of_every_message_are_those_of_this_protocol_version() {
        let mut bytes = Vec::new();
        let mut kinds = std::collections::BTreeSet::new();
        for message in samples() {
            let from = bytes.len();
            message.encode(&mut bytes);
            kinds.insert(bytes[from + HEADER_BYTES]);
        }
        assert_eq!(kinds.len(), MESSAGES, "a message has no sample: {kinds:?}");
        let digest = crate::base::digest_bytes(&bytes, 0);
        assert_eq!(
            (PROTOCOL_VERSION, digest.to_string().as_str()),
            (7, "9d429690b4d3bbf027f4687a03242f73"),
            "a message is encoded otherwise than in the last version: PROTOCOL_VERSION has to move"
        );
    }

    #[test]
    fn messages_come_back() {
        for message in samples() {
            let mut bytes = b"before".to_vec();
            message.encode(&mut bytes);
            assert_eq!(decode(&bytes[6..]), Ok(message));
        }
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_message() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&bytes).is_err(), "bit {bit} of {message:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn garbage_with_a_good_checksum_does_not_panic() {
        let mut prng = Prng::new(11);
        for _ in 0..20_000 {
            let mut body = vec![0; prng.between(1, 64) as usize];
            prng.fill(&mut body);
            body[0] %= MESSAGES as u8;
            let header = Header { len: body.len(), crc: crc32fast::hash(&body) };
            if let Ok(message) = decode_body(header, &body) {
                let mut again = Vec::new();
                message.encode(&mut again);
                assert_eq!(decode(&again), Ok(message));
            }
        }
    }

    #[test]
    fn another_version_and_another_protocol_are_told_apart() {
        let mut bytes = preamble();
        assert_eq!(check_preamble(&bytes), Ok(()));
        bytes[8] += 1;
        assert_eq!(check_preamble(&bytes), Err(MessageError::Version { found: PROTOCOL_VERSION + 1 }));
        assert!(matches!(check_preamble(b"GET / HTTP"), Err(MessageError::NotOurs { .. })));
        assert_eq!(decode_header(&[0xff; 8]), Err(MessageError::Length { len: u64::from(u32::MAX) }));
    }

    #[test]
    fn a_message_is_as_long_as_its_header_may_say_and_no_longer() {
        let header = |len: usize| {
            let mut bytes = [0xab; HEADER_BYTES];
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            decode_header(&bytes)
        };
        let good = |len| Ok(Header { len, crc: 0xabab_abab });
        assert_eq!((header(1), header(MESSAGE_BYTES_MAX)), (good(1), good(MESSAGE_BYTES_MAX)));
        for len in [0, MESSAGE_BYTES_MAX + 1] {
            assert_eq!(header(len), Err(MessageError::Length { len: len as u64 }));
        }
    }

    /// The queue of a host is bounded by these.
    #[test]
    fn what_a_message_carries_is_counted() {
        let string = size_of::<String>();
        let spec = |serial: &str| DiskSpec { sectors: 9, read_only: true, serial: serial.into() };
        let divergence = Divergence {
            seq: Seq(1),
            entry_at: Icount(2),
            machine_at: Icount(2),
            expected: "12345".into(),
            found: "1234567".into(),
            context: vec!["123".into(), "1".into()],
        };
        let attached = |peer: Option<String>| Message::Attached {
            vm: "kv".into(),
            node: NodeId(1),
            life: 1,
            primary: true,
            start: 0,
            end: 0,
            taken: 0,
            peer,
        };
        for (message, bytes) in [
            (Message::Log(vec![0; 30]), 30),
            (Message::ConsoleData { offset: 300, bytes: vec![0; 5] }, 5),
            (Message::Scrollback { offset: 1, bytes: vec![0; 5], typed: vec![(7, 7); 3] }, 5 + 3 * 16),
            (attached(None), 2),
            (attached(Some("10.0.0.1:7".into())), 2 + 10),
            (Message::DiskChunk { disk: 1, chunk: 65, packed: vec![0; 9] }, 9),
            (Message::DiskDigests { disk: 1, first: 64, digests: vec![Digest(3); 5] }, 5 * 16),
            (Message::DiskWant { disk: 1, first: 64, chunks: vec![65; 3] }, 3 * 4),
            (Message::Disks { specs: vec![spec("abc"), spec("")] }, 3 + 2 * size_of::<DiskSpec>()),
            (Message::Bye { why: "done".into() }, 4),
            (Message::Later { why: "not now".into(), known: vec!["10.0.0.1:7".into()] }, 7 + 10 + string),
            (Message::Known { addresses: vec!["[::1]:7".into(), String::new()] }, 7 + 2 * string),
            (Message::Diverged(Box::new(divergence)), 5 + 7 + 3 + 1 + 2 * string),
            (Message::Status, 0),
        ] {
            assert_eq!(message.payload_bytes(), bytes, "{message:?}");
        }
    }
}
