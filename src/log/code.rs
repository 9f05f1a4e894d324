//! The bytes of one entry inside a frame.
//!
//! ```text
//! size    field
//! 1       kind
//! varint  position: instructions since the entry before
//! ...     payload, by kind
//!
//! kind  entry                payload
//! 0x01  answer: time         varint  ticks since the time before
//! 0x02  answer: entropy      u16
//! 0x03  answer: host id      varint
//! 0x04  network frame        varint  receive number, past the expected one; varint length; bytes
//! 0x05  console input        varint  length; bytes
//! 0x06  timer due            varint  ticks since the time before
//! 0x07  entropy delivered    varint  length; bytes
//! 0x08  disk request done    u8 disk; varint number, past the expected one; u8 how (0 stored, 1 LZ4, 2 failed);
//!                            stored: varint length; bytes. LZ4: varint length unpacked; varint length; bytes
//! 0x09  console size         u16 columns; u16 rows
//! 0x0a  answer: wall clock   varint  nanoseconds since 1970
//! 0x0b  clock                varint  ticks since the time before; u16 ticks in 65,536 instructions from here on
//! 0x10  output mark: net     varint  frame number, past the expected one; varint length; u32 digest
//! 0x11  output mark: console varint  offset, past the expected one; varint length; u32 digest
//! 0x20  horizon              -
//! 0x21  state digest         16 bytes
//! 0x22  generation           varint  generation; u64 node; u8 why (0 boot, 1 takeover, 2 alone, 3 switch-over)
//! 0x23  joined               u64 node
//! 0x24  switch-over          -
//! 0x25  end: pass            -
//! 0x26  end: fail            varint  the guest's number (32 bits)
//! 0x27  end: reset           -
//! 0x29  end: panic           -
//! 0x2a  typed                u64 session; varint  bytes of it delivered so far
//! 0x2b  left                 u64 node
//! 0x2c  switch-over to       u64 node
//! 0x2d  checkpoint           -
//! ```
//!
//! Integers of a fixed size are little-endian, varints as in [`crate::base::varint`]. What "before"
//! and "expected" mean is in `Running` below: all of it is zero at the start of a frame, so a frame can
//! be read without any other. Differences of times and numbers wrap at 64 bits, so that every value
//! has exactly one encoding and none is unencodable.
//!
//! Absent on purpose: the sequence number (the frame counts) and checksums (the frame has one).

use thiserror::Error;

use super::entry::{Event, OutputMark, Start};
use crate::base::varint::{self, VarintError};
use crate::base::{Digest, Generation, Icount, NodeId};
use crate::cpu::Answer;
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskStatus};
use crate::machine::{Channel, Exit, Input};

/// The most bytes that a network frame, console input or entropy entry can carry.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// The most bytes that a disk entry can carry.
pub const DISK_BYTES_MAX: usize = 128 << 10;

/// More than any encoded entry takes: the largest payload, and its kind and varints.
pub const ENTRY_BYTES_MAX: usize = DISK_BYTES_MAX + 64;

/// Bytes that are no entry, although the frame around them is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The first byte is no kind of entry in this version of the format.
    #[error("no entry is of kind {kind:#04x}")]
    UnknownKind {
        /// That byte.
        kind: u8,
    },
    /// A field goes past the end of the frame, or an entry was asked for past the frame's last.
    #[error("the entry runs past the end of its frame")]
    Truncated,
    /// A number does not decode.
    #[error(transparent)]
    Varint(#[from] VarintError),
    /// A network frame, console input or entropy is longer than any that is written.
    #[error("a payload of {len} bytes is over the bound of {PAYLOAD_BYTES_MAX}")]
    PayloadTooLong {
        /// The length field, in bytes.
        len: u64,
    },
    /// What a disk request has read is longer, packed or unpacked, than any that is written.
    #[error("{len} bytes read from a disk are over the bound of {DISK_BYTES_MAX}")]
    DiskTooLong {
        /// The length field, in bytes.
        len: u64,
    },
    /// The disk's number is not below [`DISKS_MAX`].
    #[error("there is no disk {disk}")]
    UnknownDisk {
        /// That number.
        disk: u8,
    },
    /// The byte that says how the request ended is none of the three.
    #[error("a disk request cannot end in way {how}")]
    UnknownEnd {
        /// That byte.
        how: u8,
    },
    /// LZ4 does not unpack the bytes to the length claimed.
    #[error("what was read from a disk does not unpack")]
    BadPacking,
    /// A varint that stands for 32 bits has more.
    #[error("{value} is too large for its field")]
    TooLarge {
        /// What it decodes to.
        value: u64,
    },
    /// The byte that says why a generation began is no [`Start`].
    #[error("no generation starts for reason {why}")]
    UnknownStart {
        /// That byte.
        why: u8,
    },
    /// The position does not fit 64 bits.
    #[error("the position {at} + {delta} is past the end of counting")]
    PositionOverflow {
        /// The position of the entry before.
        at: Icount,
        /// What the entry adds to it.
        delta: u64,
    },
}

mod kind {
    pub const ANSWER_TIME: u8 = 0x01;
    pub const ANSWER_ENTROPY: u8 = 0x02;
    pub const ANSWER_HOST_ID: u8 = 0x03;
    pub const NET_FRAME: u8 = 0x04;
    pub const CONSOLE: u8 = 0x05;
    pub const TIMER_DUE: u8 = 0x06;
    pub const ENTROPY: u8 = 0x07;
    pub const DISK_DONE: u8 = 0x08;
    pub const CONSOLE_SIZE: u8 = 0x09;
    pub const ANSWER_WALL_CLOCK: u8 = 0x0a;
    pub const CLOCK: u8 = 0x0b;
    pub const OUTPUT_NET: u8 = 0x10;
    pub const OUTPUT_CONSOLE: u8 = 0x11;
    pub const HORIZON: u8 = 0x20;
    pub const DIGEST: u8 = 0x21;
    pub const GENERATION: u8 = 0x22;
    pub const JOINED: u8 = 0x23;
    pub const SWITCH_OVER: u8 = 0x24;
    pub const END_PASS: u8 = 0x25;
    pub const END_FAIL: u8 = 0x26;
    pub const END_RESET: u8 = 0x27;
    pub const END_PANIC: u8 = 0x29;
    pub const TYPED: u8 = 0x2a;
    pub const LEFT: u8 = 0x2b;
    pub const SWITCH_OVER_TO: u8 = 0x2c;
    pub const CHECKPOINT: u8 = 0x2d;
}

mod disk_end {
    pub const STORED: u8 = 0;
    pub const LZ4: u8 = 1;
    pub const FAILED: u8 = 2;
}

/// Whether decoded entries hold the bytes that they carry for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// An entry has its payload, as the machine gets it.
    Kept,
    /// They are skipped, whatever their length, and the entry has none: for readers that only count.
    LeftOut,
}

/// What the entries so far in this frame let the next one leave out. All zero at a frame's start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Running {
    /// Position of the entry before.
    at: u64,
    /// The time that the last answer, timer-due or clock entry carried.
    time: u64,
    /// One past the last network frame received.
    rx_seq: u64,
    /// One past the last network frame sent.
    tx_seq: u64,
    /// One past the last console byte written.
    console: u64,
    /// One past the last request that ended, for each disk.
    disk_tags: [u64; DISKS_MAX],
}

impl Running {
    /// Appends one entry. The caller has checked that `at` is not before the entry before, and that
    /// the payload is within bounds.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>, at: Icount, event: &Event) {
        let delta = at.get() - self.at;
        self.at = at.get();
        let mut head = |kind: u8| {
            out.push(kind);
            varint::put_u64(out, delta);
        };
        match event {
            Event::Input(Input::Answer(Answer::Time(time))) => {
                head(kind::ANSWER_TIME);
                varint::put_u64(out, step(&mut self.time, *time));
            }
            Event::Input(Input::Answer(Answer::Entropy(bits))) => {
                head(kind::ANSWER_ENTROPY);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            Event::Input(Input::Answer(Answer::HostId(id))) => {
                head(kind::ANSWER_HOST_ID);
                varint::put_u64(out, *id);
            }
            Event::Input(Input::Answer(Answer::WallClock(ns))) => {
                head(kind::ANSWER_WALL_CLOCK);
                varint::put_u64(out, *ns);
            }
            Event::Input(Input::NetFrame { rx_seq, frame }) => {
                head(kind::NET_FRAME);
                varint::put_u64(out, step(&mut self.rx_seq, *rx_seq));
                self.rx_seq = self.rx_seq.wrapping_add(1);
                put_bytes(out, frame);
            }
            Event::Input(Input::Console(bytes)) => {
                head(kind::CONSOLE);
                put_bytes(out, bytes);
            }
            Event::Input(Input::TimerDue { time }) => {
                head(kind::TIMER_DUE);
                varint::put_u64(out, step(&mut self.time, *time));
            }
            Event::Input(Input::Clock { time, rate }) => {
                head(kind::CLOCK);
                varint::put_u64(out, step(&mut self.time, *time));
                out.extend_from_slice(&rate.to_le_bytes());
            }
            Event::Input(Input::Entropy(bytes)) => {
                head(kind::ENTROPY);
                put_bytes(out, bytes);
            }
            Event::Input(Input::DiskDone(done)) => {
                head(kind::DISK_DONE);
                self.encode_disk(out, done);
            }
            Event::Input(Input::ConsoleSize { cols, rows }) => {
                head(kind::CONSOLE_SIZE);
                out.extend_from_slice(&cols.to_le_bytes());
                out.extend_from_slice(&rows.to_le_bytes());
            }
            Event::Output(mark) => {
                let (kind, expected, next) = self.mark_context(mark.channel, mark.len);
                let delta = step(expected, mark.seq);
                *expected = expected.wrapping_add(next);
                head(kind);
                varint::put_u64(out, delta);
                varint::put_u64(out, u64::from(mark.len));
                out.extend_from_slice(&mark.digest.to_le_bytes());
            }
            Event::Horizon => head(kind::HORIZON),
            Event::Digest(digest) => {
                head(kind::DIGEST);
                out.extend_from_slice(&digest.0.to_le_bytes());
            }
            Event::Generation { generation, node, why } => {
                head(kind::GENERATION);
                varint::put_u64(out, generation.get());
                out.extend_from_slice(&node.get().to_le_bytes());
                out.push(match why {
                    Start::Boot => 0,
                    Start::Takeover => 1,
                    Start::Alone => 2,
                    Start::SwitchOver => 3,
                });
            }
            Event::Joined { node } => {
                head(kind::JOINED);
                out.extend_from_slice(&node.get().to_le_bytes());
            }
            Event::Typed { session, upto } => {
                head(kind::TYPED);
                out.extend_from_slice(&session.to_le_bytes());
                varint::put_u64(out, *upto);
            }
            Event::Left { node } => {
                head(kind::LEFT);
                out.extend_from_slice(&node.get().to_le_bytes());
            }
            Event::SwitchOver { to: None } => head(kind::SWITCH_OVER),
            Event::SwitchOver { to: Some(node) } => {
                head(kind::SWITCH_OVER_TO);
                out.extend_from_slice(&node.get().to_le_bytes());
            }
            Event::Checkpoint => head(kind::CHECKPOINT),
            Event::End(Exit::Pass) => head(kind::END_PASS),
            Event::End(Exit::Fail(number)) => {
                head(kind::END_FAIL);
                varint::put_u64(out, u64::from(*number));
            }
            Event::End(Exit::Reset) => head(kind::END_RESET),
            Event::End(Exit::Panic) => head(kind::END_PANIC),
        }
    }

    /// Takes one entry off the front of `bytes`.
    #[inline(always)]
    pub(super) fn decode(
        &mut self,
        bytes: &mut &[u8],
        payloads: Payloads,
    ) -> Result<(Icount, Event), EntryError> {
        let [kind] = get_array(bytes)?;
        let delta = varint::get_u64(bytes)?;
        let at =
            self.at.checked_add(delta).ok_or(EntryError::PositionOverflow { at: Icount(self.at), delta })?;
        let event = match kind {
            kind::ANSWER_TIME => {
                Event::Input(Input::Answer(Answer::Time(advance(&mut self.time, varint::get_u64(bytes)?))))
            }
            kind::ANSWER_ENTROPY => {
                Event::Input(Input::Answer(Answer::Entropy(u16::from_le_bytes(get_array(bytes)?))))
            }
            kind::ANSWER_WALL_CLOCK => {
                Event::Input(Input::Answer(Answer::WallClock(varint::get_u64(bytes)?)))
            }
            kind::ANSWER_HOST_ID => Event::Input(Input::Answer(Answer::HostId(varint::get_u64(bytes)?))),
            kind::NET_FRAME => {
                let rx_seq = advance(&mut self.rx_seq, varint::get_u64(bytes)?);
                self.rx_seq = rx_seq.wrapping_add(1);
                Event::Input(Input::NetFrame { rx_seq, frame: get_bytes(bytes, payloads)? })
            }
            kind::CONSOLE => Event::Input(Input::Console(get_bytes(bytes, payloads)?)),
            kind::TIMER_DUE => {
                Event::Input(Input::TimerDue { time: advance(&mut self.time, varint::get_u64(bytes)?) })
            }
            kind::CLOCK => {
                let time = advance(&mut self.time, varint::get_u64(bytes)?);
                Event::Input(Input::Clock { time, rate: u16::from_le_bytes(get_array(bytes)?) })
            }
            kind::ENTROPY => Event::Input(Input::Entropy(get_bytes(bytes, payloads)?)),
            kind::DISK_DONE => {
                let mut done = self.decode_disk(bytes)?;
                if payloads == Payloads::LeftOut {
                    done.data = Vec::new();
                }
                Event::Input(Input::DiskDone(done))
            }
            kind::CONSOLE_SIZE => Event::Input(Input::ConsoleSize {
                cols: u16::from_le_bytes(get_array(bytes)?),
                rows: u16::from_le_bytes(get_array(bytes)?),
            }),
            kind::OUTPUT_NET => Event::Output(self.decode_mark(bytes, Channel::Net)?),
            kind::OUTPUT_CONSOLE => Event::Output(self.decode_mark(bytes, Channel::Console)?),
            kind::HORIZON => Event::Horizon,
            kind::DIGEST => Event::Digest(Digest(u128::from_le_bytes(get_array(bytes)?))),
            kind::GENERATION => {
                let generation = Generation(varint::get_u64(bytes)?);
                let node = NodeId(u64::from_le_bytes(get_array(bytes)?));
                let why = match get_array(bytes)? {
                    [0] => Start::Boot,
                    [1] => Start::Takeover,
                    [2] => Start::Alone,
                    [3] => Start::SwitchOver,
                    [why] => return Err(EntryError::UnknownStart { why }),
                };
                Event::Generation { generation, node, why }
            }
            kind::JOINED => Event::Joined { node: NodeId(u64::from_le_bytes(get_array(bytes)?)) },
            kind::TYPED => {
                let session = u64::from_le_bytes(get_array(bytes)?);
                Event::Typed { session, upto: varint::get_u64(bytes)? }
            }
            kind::LEFT => Event::Left { node: NodeId(u64::from_le_bytes(get_array(bytes)?)) },
            kind::CHECKPOINT => Event::Checkpoint,
            kind::SWITCH_OVER => Event::SwitchOver { to: None },
            kind::SWITCH_OVER_TO => {
                Event::SwitchOver { to: Some(NodeId(u64::from_le_bytes(get_array(bytes)?))) }
            }
            kind::END_PASS => Event::End(Exit::Pass),
            kind::END_FAIL => Event::End(Exit::Fail(get_u32(bytes)?)),
            kind::END_RESET => Event::End(Exit::Reset),
            kind::END_PANIC => Event::End(Exit::Panic),
            kind => return Err(EntryError::UnknownKind { kind }),
        };
        self.at = at;
        Ok((Icount(at), event))
    }

    /// The caller has seen to it that there is such a disk.
    fn encode_disk(&mut self, out: &mut Vec<u8>, done: &DiskDone) {
        let expected = &mut self.disk_tags[usize::from(done.disk)];
        out.push(done.disk);
        varint::put_u64(out, step(expected, done.tag));
        *expected = expected.wrapping_add(1);
        if done.status == DiskStatus::IoError {
            out.push(disk_end::FAILED);
            return;
        }
        let packed = lz4_flex::block::compress(&done.data);
        if packed.len() < done.data.len() {
            out.push(disk_end::LZ4);
            varint::put_u64(out, done.data.len() as u64);
            put_bytes(out, &packed);
        } else {
            out.push(disk_end::STORED);
            put_bytes(out, &done.data);
        }
    }

    fn decode_disk(&mut self, bytes: &mut &[u8]) -> Result<DiskDone, EntryError> {
        let [disk] = get_array(bytes)?;
        let expected = self.disk_tags.get_mut(usize::from(disk)).ok_or(EntryError::UnknownDisk { disk })?;
        let tag = advance(expected, varint::get_u64(bytes)?);
        *expected = tag.wrapping_add(1);
        let [how] = get_array(bytes)?;
        let (status, data) = match how {
            disk_end::FAILED => (DiskStatus::IoError, Vec::new()),
            disk_end::STORED => {
                let len = disk_len(bytes)?;
                (DiskStatus::Ok, take(bytes, len)?.to_vec())
            }
            disk_end::LZ4 => {
                let (len, packed) = (disk_len(bytes)?, disk_len(bytes)?);
                let packed = take(bytes, packed)?;
                let data = lz4_flex::block::decompress(packed, len).map_err(|_| EntryError::BadPacking)?;
                if data.len() != len {
                    return Err(EntryError::BadPacking);
                }
                (DiskStatus::Ok, data)
            }
            how => return Err(EntryError::UnknownEnd { how }),
        };
        Ok(DiskDone { disk, tag, status, data })
    }

    fn decode_mark(&mut self, bytes: &mut &[u8], channel: Channel) -> Result<OutputMark, EntryError> {
        let delta = varint::get_u64(bytes)?;
        let len = get_u32(bytes)?;
        let digest = u32::from_le_bytes(get_array(bytes)?);
        let (_, expected, next) = self.mark_context(channel, len);
        let seq = advance(expected, delta);
        *expected = expected.wrapping_add(next);
        Ok(OutputMark { channel, seq, len, digest })
    }

    /// The kind of a channel's marks, the number expected next on it, and how far a mark of `len`
    /// bytes moves that.
    fn mark_context(&mut self, channel: Channel, len: u32) -> (u8, &mut u64, u64) {
        match channel {
            Channel::Net => (kind::OUTPUT_NET, &mut self.tx_seq, 1),
            Channel::Console => (kind::OUTPUT_CONSOLE, &mut self.console, u64::from(len)),
        }
    }
}

/// True for an event that an entry can carry: its payload is within bounds, its disk one that can be.
pub fn is_encodable(event: &Event) -> bool {
    match event {
        Event::Input(Input::DiskDone(done)) => {
            usize::from(done.disk) < DISKS_MAX && done.data.len() <= DISK_BYTES_MAX
        }
        event => event.payload().len() <= PAYLOAD_BYTES_MAX,
    }
}

/// Moves `running` to `value`; answers by how much it moved.
fn step(running: &mut u64, value: u64) -> u64 {
    value.wrapping_sub(std::mem::replace(running, value))
}

/// Moves `running` on by `delta`; answers where it is now.
fn advance(running: &mut u64, delta: u64) -> u64 {
    *running = running.wrapping_add(delta);
    *running
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn get_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], EntryError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(EntryError::Truncated)?;
    *bytes = rest;
    Ok(*head)
}

fn get_u32(bytes: &mut &[u8]) -> Result<u32, EntryError> {
    let value = varint::get_u64(bytes)?;
    u32::try_from(value).map_err(|_| EntryError::TooLarge { value })
}

fn disk_len(bytes: &mut &[u8]) -> Result<usize, EntryError> {
    let len = varint::get_u64(bytes)?;
    if len > DISK_BYTES_MAX as u64 { Err(EntryError::DiskTooLong { len }) } else { Ok(len as usize) }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], EntryError> {
    let (head, rest) = bytes.split_at_checked(len).ok_or(EntryError::Truncated)?;
    *bytes = rest;
    Ok(head)
}

fn get_bytes(bytes: &mut &[u8], payloads: Payloads) -> Result<Vec<u8>, EntryError> {
    let len = varint::get_u64(bytes)?;
    if len > PAYLOAD_BYTES_MAX as u64 {
        return Err(EntryError::PayloadTooLong { len });
    }
    let (head, rest) = bytes.split_at_checked(len as usize).ok_or(EntryError::Truncated)?;
    *bytes = rest;
    Ok(match payloads {
        Payloads::Kept => head.to_vec(),
        Payloads::LeftOut => Vec::new(),
    })
}
