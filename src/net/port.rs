//! The messages between a VM and its switch over one TCP connection.
//!
//! Every message is a length and that many bytes; all numbers are little-endian.
//!
//! ```text
//! offset size field
//!      0    4 length n of what follows, 1..=131072
//!      4    1 kind
//!      5  n-1 fields
//!
//! VM to switch
//! kind 1 Attach      "LKSW", version u16, flags u8 (bit 0: standby), mac 6,
//!                    life u64, generation u64, rx_seq_last u64, tx_seq_last u64,
//!                    vm: length u8 (1..=64), that many of A-Z a-z 0-9 . _ -
//! kind 2 Activate    generation u64, rx_seq_last u64
//! kind 3 Frame       generation u64, seq u64, the frame
//! kind 4 Received    rx_seq u64
//! kind 5 Ping
//! kind 6 Status      "LKSW", version u16
//!
//! switch to VM
//! kind 129 Attached  generation u64, tx_seq_last u64
//! kind 130 Refused   why: UTF-8
//! kind 131 Frame     rx_seq u64, the frame
//! kind 132 Fenced    generation u64
//! kind 133 Pong      tx_seq_last u64
//! kind 134 Status    JSON, UTF-8
//! ```
//!
//! The first message is `Attach` or `Status`: both carry magic and version at the same place, so
//! that a peer of another version, or one that connected by mistake, gets a refusal it can read. `Attached`
//! answers `Attach` and
//! `Activate`. The switch closes after `Refused`, `Fenced` and `Status`.

use thiserror::Error;

use super::ether::Mac;
use crate::base::Generation;
use crate::base::bounds::UNACCEPTED_FRAMES_MAX;

/// The bytes that the first message of a connection carries, whatever its version.
pub const MAGIC: [u8; 4] = *b"LKSW";

/// Moves with any change of the table above.
pub const VERSION: u16 = 1;

/// No message is longer than this, its length field excluded.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;

/// At most this many frames a node keeps for a switch that has not accepted them.
pub const FRAMES_KEPT_MAX: usize = UNACCEPTED_FRAMES_MAX;

/// A VM's name is no longer than this.
pub const NAME_BYTES_MAX: usize = 64;

const FLAG_STANDBY: u8 = 1;

/// How a VM's node introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The VM's name, for which [`is_vm_name`] is true.
    pub vm: String,
    /// Names the guest's life, from its boot on and over takeovers: drawn at random at the boot.
    pub life: u64,
    /// The guest's Ethernet address.
    pub mac: Mac,
    /// The generation under which the node sends; for a standby, the one it follows.
    pub generation: Generation,
    /// A standby receives nothing until it activates.
    pub standby: bool,
    /// The last frame that this node has from the switch (a standby's is looked at when it activates).
    pub rx_seq_last: u64,
    /// The last frame that this node has sent: a switch younger than the guest goes on from there.
    pub tx_seq_last: u64,
}

/// From a VM's node to the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSwitch {
    /// The first message of a connection of a VM's node.
    Attach(Attach),
    /// This node is primary from now on; its log ends with the frame `rx_seq_last`.
    Activate {
        /// The generation that it has claimed.
        generation: Generation,
        /// The last of the switch's frames in its log.
        rx_seq_last: u64,
    },
    /// The `seq`-th frame of the guest's life.
    Frame {
        /// The generation that the node sends under.
        generation: Generation,
        /// The frame's number.
        seq: u64,
        /// The frame, without FCS.
        bytes: Vec<u8>,
    },
    /// Every frame up to `rx_seq` is safe in the replicated log.
    Received {
        /// The last of them.
        rx_seq: u64,
    },
    /// The node is there. It wants a [`FromSwitch::Pong`].
    Ping,
    /// Not a VM: a tool asks for the status.
    Status,
}

/// From the switch to a VM's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromSwitch {
    /// The attachment stands. The current generation is `generation`, and frames up to `tx_seq_last` have been accepted.
    Attached {
        /// The generation that the switch takes frames of.
        generation: Generation,
        /// The last frame accepted.
        tx_seq_last: u64,
    },
    /// The switch does not take this node, or does not understand it.
    Refused {
        /// The reason, for people.
        why: String,
    },
    /// A frame for the guest. The switch keeps it until the node confirms it.
    Frame {
        /// The switch's number for it: one more than that of the frame before.
        rx_seq: u64,
        /// The frame, without FCS.
        bytes: Vec<u8>,
    },
    /// generation `current` has begun: this node has lost, and all its frames are dropped.
    Fenced {
        /// The generation that the switch takes frames of now.
        current: Generation,
    },
    /// Answers a ping; frames up to `tx_seq_last` have been accepted.
    Pong {
        /// The last frame accepted.
        tx_seq_last: u64,
    },
    /// Answers [`ToSwitch::Status`].
    Status {
        /// The status; its fields are those of [`SwitchStatus`](super::switch::SwitchStatus), and of the
        /// process around it.
        json: String,
    },
}

/// What a peer sent is not this protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortError {
    /// The length field is over [`MESSAGE_BYTES_MAX`].
    #[error("a message of {length} bytes; at most {MESSAGE_BYTES_MAX} are allowed")]
    TooLong {
        /// The length field.
        length: u32,
    },
    /// The length field is 0: not even a kind follows.
    #[error("a message of 0 bytes")]
    Empty,
    /// No message of this direction has this kind.
    #[error("a message of unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A field goes past the end of the message.
    #[error("a message of kind {kind} ends too early")]
    Truncated {
        /// The message's kind.
        kind: u8,
    },
    /// The message is longer than its fields.
    #[error("a message of kind {kind} has {extra} bytes too many")]
    Trailing {
        /// The message's kind.
        kind: u8,
        /// Bytes behind the last field.
        extra: usize,
    },
    /// The first message does not carry [`MAGIC`].
    #[error("the peer does not speak this protocol (it began with {found:02x?})")]
    BadMagic {
        /// What is there instead.
        found: [u8; 4],
    },
    /// The first message is of another version than [`VERSION`].
    #[error("the peer speaks version {found}; this is version {VERSION}")]
    BadVersion {
        /// That version.
        found: u16,
    },
    /// The VM's name is empty, too long or has other characters.
    #[error("a bad VM name: it has 1 to {NAME_BYTES_MAX} of the letters A-Z a-z 0-9 . _ -")]
    BadName,
    /// A flag is set that this version does not know.
    #[error("unknown flags {flags:#04x}")]
    BadFlags {
        /// All flags.
        flags: u8,
    },
    /// A reason or a status is not UTF-8.
    #[error("a text that is not UTF-8")]
    BadText,
}

/// Whether `name` can be a VM's.
pub fn is_vm_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// Writes a message: `body` appends kind and fields. Bodies are ours and below the maximum, except
/// those that carry a frame or a text, which are cut there.
fn put(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.push(kind);
    body(out);
    out.truncate(start + 4 + MESSAGE_BYTES_MAX);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends a [`FromSwitch::Frame`] without owning the frame.
pub fn put_frame_to_vm(out: &mut Vec<u8>, rx_seq: u64, frame: &[u8]) {
    put(out, 131, |out| {
        out.extend(rx_seq.to_le_bytes());
        out.extend(frame);
    });
}

/// Appends a [`ToSwitch::Frame`] without owning the frame.
pub fn put_frame_to_switch(out: &mut Vec<u8>, generation: Generation, seq: u64, frame: &[u8]) {
    put(out, 3, |out| {
        out.extend(generation.get().to_le_bytes());
        out.extend(seq.to_le_bytes());
        out.extend(frame);
    });
}

impl ToSwitch {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let hello = |out: &mut Vec<u8>| {
            out.extend(MAGIC);
            out.extend(VERSION.to_le_bytes());
        };
        match self {
            ToSwitch::Attach(attach) => put(out, 1, |out| {
                hello(out);
                out.push(if attach.standby { FLAG_STANDBY } else { 0 });
                out.extend(attach.mac.0);
                out.extend(attach.life.to_le_bytes());
                out.extend(attach.generation.get().to_le_bytes());
                out.extend(attach.rx_seq_last.to_le_bytes());
                out.extend(attach.tx_seq_last.to_le_bytes());
                // A name that is too long is refused by the other side; it is not ours to cut.
                out.push(attach.vm.len().min(255) as u8);
                out.extend(attach.vm.bytes().take(255));
            }),
            ToSwitch::Activate { generation, rx_seq_last } => put(out, 2, |out| {
                out.extend(generation.get().to_le_bytes());
                out.extend(rx_seq_last.to_le_bytes());
            }),
            ToSwitch::Frame { generation, seq, bytes } => put_frame_to_switch(out, *generation, *seq, bytes),
            ToSwitch::Received { rx_seq } => put(out, 4, |out| out.extend(rx_seq.to_le_bytes())),
            ToSwitch::Ping => put(out, 5, |_| {}),
            ToSwitch::Status => put(out, 6, hello),
        }
    }

    /// Decodes a message's kind and fields.
    pub fn decode(body: &[u8]) -> Result<Self, PortError> {
        let mut fields = Fields::of(body)?;
        let message = match fields.kind {
            1 => {
                fields.hello()?;
                let flags = fields.u8()?;
                if flags & !FLAG_STANDBY != 0 {
                    return Err(PortError::BadFlags { flags });
                }
                let mac = Mac(fields.array()?);
                let life = fields.u64()?;
                let generation = Generation(fields.u64()?);
                let rx_seq_last = fields.u64()?;
                let tx_seq_last = fields.u64()?;
                let length = fields.u8()?;
                let name = fields.take(length.into())?;
                let vm = std::str::from_utf8(name).ok().filter(|name| is_vm_name(name));
                ToSwitch::Attach(Attach {
                    vm: vm.ok_or(PortError::BadName)?.to_string(),
                    life,
                    mac,
                    generation,
                    standby: flags & FLAG_STANDBY != 0,
                    rx_seq_last,
                    tx_seq_last,
                })
            }
            2 => ToSwitch::Activate { generation: Generation(fields.u64()?), rx_seq_last: fields.u64()? },
            3 => ToSwitch::Frame {
                generation: Generation(fields.u64()?),
                seq: fields.u64()?,
                bytes: fields.rest().to_vec(),
            },
            4 => ToSwitch::Received { rx_seq: fields.u64()? },
            5 => ToSwitch::Ping,
            6 => {
                fields.hello()?;
                ToSwitch::Status
            }
            kind => return Err(PortError::UnknownKind { kind }),
        };
        fields.end(message)
    }
}

impl FromSwitch {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            FromSwitch::Attached { generation, tx_seq_last } => put(out, 129, |out| {
                out.extend(generation.get().to_le_bytes());
                out.extend(tx_seq_last.to_le_bytes());
            }),
            FromSwitch::Refused { why } => put(out, 130, |out| out.extend(why.bytes())),
            FromSwitch::Frame { rx_seq, bytes } => put_frame_to_vm(out, *rx_seq, bytes),
            FromSwitch::Fenced { current } => put(out, 132, |out| out.extend(current.get().to_le_bytes())),
            FromSwitch::Pong { tx_seq_last } => put(out, 133, |out| out.extend(tx_seq_last.to_le_bytes())),
            FromSwitch::Status { json } => put(out, 134, |out| out.extend(json.bytes())),
        }
    }

    /// Decodes a message's kind and fields.
    pub fn decode(body: &[u8]) -> Result<Self, PortError> {
        let mut fields = Fields::of(body)?;
        let message = match fields.kind {
            129 => FromSwitch::Attached { generation: Generation(fields.u64()?), tx_seq_last: fields.u64()? },
            130 => FromSwitch::Refused { why: fields.text()? },
            131 => FromSwitch::Frame { rx_seq: fields.u64()?, bytes: fields.rest().to_vec() },
            132 => FromSwitch::Fenced { current: Generation(fields.u64()?) },
            133 => FromSwitch::Pong { tx_seq_last: fields.u64()? },
            134 => FromSwitch::Status { json: fields.text()? },
            kind => return Err(PortError::UnknownKind { kind }),
        };
        fields.end(message)
    }
}

/// What is left of a message's fields.
struct Fields<'a> {
    kind: u8,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(body: &'a [u8]) -> Result<Self, PortError> {
        let (&kind, bytes) = body.split_first().ok_or(PortError::Empty)?;
        Ok(Self { kind, bytes })
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], PortError> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(PortError::Truncated { kind: self.kind })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PortError> {
        let (taken, rest) =
            self.bytes.split_first_chunk::<N>().ok_or(PortError::Truncated { kind: self.kind })?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, PortError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, PortError> {
        self.array().map(u64::from_le_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    fn text(&mut self) -> Result<String, PortError> {
        String::from_utf8(self.rest().to_vec()).map_err(|_| PortError::BadText)
    }

    fn hello(&mut self) -> Result<(), PortError> {
        let found = self.array()?;
        if found != MAGIC {
            return Err(PortError::BadMagic { found });
        }
        let found = u16::from_le_bytes(self.array()?);
        if found != VERSION { Err(PortError::BadVersion { found }) } else { Ok(()) }
    }

    fn end<M>(self, message: M) -> Result<M, PortError> {
        match self.bytes.len() {
            0 => Ok(message),
            extra => Err(PortError::Trailing { kind: self.kind, extra }),
        }
    }
}

/// Cuts a byte stream into message bodies. Holds at most one incomplete message beyond what was
/// pushed last.
#[derive(Clone, Debug, Default)]
pub struct Unframer {
    bytes: Vec<u8>,
    start: usize,
}

impl Unframer {
    /// Takes over what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete body, if there is one. After an error the stream is lost.
    pub fn next_body(&mut self) -> Result<Option<&[u8]>, PortError> {
        let Some((length, rest)) = self.bytes[self.start..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return Err(PortError::Empty);
        }
        if length as usize > MESSAGE_BYTES_MAX {
            return Err(PortError::TooLong { length });
        }
        match rest.get(..length as usize) {
            Some(body) => {
                self.start += 4 + body.len();
                Ok(Some(body))
            }
            None => Ok(None),
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_partial(&self) -> bool {
        self.start < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    fn attach() -> Attach {
        Attach {
            vm: "kv-1.a_B".into(),
            life: 0x1122_3344_5566_7788,
            mac: Mac([0x52, 0x54, 0, 0x4c, 0x53, 1]),
            generation: Generation(3),
            standby: true,
            rx_seq_last: 17,
            tx_seq_last: u64::MAX,
        }
    }

    fn to_switch() -> Vec<ToSwitch> {
        vec![
            ToSwitch::Attach(attach()),
            ToSwitch::Activate { generation: Generation(4), rx_seq_last: 9 },
            ToSwitch::Frame { generation: Generation(4), seq: 10, bytes: b"frame".to_vec() },
            ToSwitch::Received { rx_seq: 11 },
            ToSwitch::Ping,
            ToSwitch::Status,
        ]
    }

    fn from_switch() -> Vec<FromSwitch> {
        vec![
            FromSwitch::Attached { generation: Generation(1), tx_seq_last: 2 },
            FromSwitch::Refused { why: "because".into() },
            FromSwitch::Frame { rx_seq: 3, bytes: b"frame".to_vec() },
            FromSwitch::Fenced { current: Generation(4) },
            FromSwitch::Pong { tx_seq_last: 5 },
            FromSwitch::Status { json: "{}".into() },
        ]
    }

    #[test]
    fn every_message_comes_back_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        to_switch().iter().for_each(|m| m.encode(&mut stream));
        for cut in 1..20 {
            let (mut unframer, mut found) = (Unframer::default(), Vec::new());
            for piece in stream.chunks(cut) {
                unframer.push(piece);
                while let Some(body) = unframer.next_body().unwrap() {
                    found.push(ToSwitch::decode(body).unwrap());
                }
            }
            assert_eq!(found, to_switch());
            assert!(!unframer.is_partial());
        }
        for message in from_switch() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(FromSwitch::decode(&bytes[4..]), Ok(message));
        }
    }

    #[test]
    fn the_bytes_of_every_message_are_those_of_this_version() {
        let mut bytes = Vec::new();
        to_switch().iter().for_each(|message| message.encode(&mut bytes));
        from_switch().iter().for_each(|message| message.encode(&mut bytes));
        let digest = crate::base::digest_bytes(&bytes, 0);
        assert_eq!(
            (VERSION, digest.to_string().as_str()),
            (1, "6536c848706bf0cd96d482c3e166ee29"),
            "a message is encoded otherwise than in the last version: VERSION has to move"
        );
    }

    #[test]
    fn the_bytes_of_an_attach_are_those_of_the_table() {
        let mut bytes = Vec::new();
        ToSwitch::Attach(attach()).encode(&mut bytes);
        let expected = [
            &55u32.to_le_bytes()[..],
            &[1],
            b"LKSW",
            &[1, 0, 1, 0x52, 0x54, 0, 0x4c, 0x53, 1],
            &0x1122_3344_5566_7788u64.to_le_bytes(),
            &3u64.to_le_bytes(),
            &17u64.to_le_bytes(),
            &[0xff; 8],
            &[8],
            b"kv-1.a_B",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn another_version_and_another_protocol_are_named() {
        let mut bytes = Vec::new();
        ToSwitch::Attach(attach()).encode(&mut bytes);
        let mut newer = bytes.clone();
        newer[9] = 2;
        newer.push(0);
        assert_eq!(ToSwitch::decode(&newer[4..]), Err(PortError::BadVersion { found: 2 }));
        bytes[5] = b'X';
        assert!(matches!(ToSwitch::decode(&bytes[4..]), Err(PortError::BadMagic { .. })));
    }

    #[test]
    fn lengths_of_zero_and_of_four_gigabytes_are_refused_before_anything_is_kept() {
        let mut unframer = Unframer::default();
        unframer.push(&u32::MAX.to_le_bytes());
        assert_eq!(unframer.next_body(), Err(PortError::TooLong { length: u32::MAX }));
        let mut unframer = Unframer::default();
        unframer.push(&[0; 4]);
        assert_eq!(unframer.next_body(), Err(PortError::Empty));
    }

    #[test]
    fn names_that_could_be_anything_else_are_refused() {
        for name in ["", "a b", "../x", "ä", "x\n", &"x".repeat(65)] {
            let mut bytes = Vec::new();
            ToSwitch::Attach(Attach { vm: name.into(), ..attach() }).encode(&mut bytes);
            assert_eq!(ToSwitch::decode(&bytes[4..]), Err(PortError::BadName), "{name}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_an_error() {
        let mut bodies = Vec::new();
        for message in to_switch() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            bodies.push(bytes.split_off(4));
        }
        for body in bodies.iter().filter(|body| body[0] != 3) {
            for n in 0..body.len() {
                assert!(ToSwitch::decode(&body[..n]).is_err());
            }
            assert!(ToSwitch::decode(&[&body[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error_or_a_message_and_never_a_panic() {
        for seed in 0..5000 {
            let mut prng = Prng::new(seed);
            let mut bytes = vec![0; prng.below(80) as usize];
            prng.fill(&mut bytes);
            if let Some(kind) = bytes.first_mut() {
                *kind = [*kind % 8, 128 + *kind % 8][(seed % 2) as usize];
            }
            drop(ToSwitch::decode(&bytes));
            drop(FromSwitch::decode(&bytes));
        }
    }
}
