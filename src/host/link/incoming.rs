//! The bytes that come on a connection, cut into messages as if an enemy had written them.

use std::io;

use super::{FIRST_MESSAGE_BYTES_MAX, LinkError};
use crate::ft::Message;
use crate::ft::message::{HEADER_BYTES, PREAMBLE_BYTES, check_preamble, decode_body, decode_header};

/// Bytes taken from a socket at once.
pub const READ_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The opener's preamble comes first.
    Preamble,
    /// Then a short message, which tells what the connection is for.
    First,
    Open,
}

/// What has come on one connection and is not taken yet: at most one message and what one read brings.
pub struct Incoming {
    stage: Stage,
    /// A message that was taken and put back.
    again: Option<Message>,
    bytes: Vec<u8>,
    start: usize,
    scratch: Box<[u8]>,
}

impl Incoming {
    fn new(stage: Stage) -> Self {
        let scratch = vec![0; READ_BYTES].into_boxed_slice();
        Self { stage, again: None, bytes: Vec::new(), start: 0, scratch }
    }

    /// Of a connection that was accepted.
    pub fn accepted() -> Self {
        Self::new(Stage::Preamble)
    }

    /// Of a connection that was dialled: the other side answers without a preamble.
    pub fn dialed() -> Self {
        Self::new(Stage::Open)
    }

    /// Takes what one call of `read` brings; the number of bytes. [`LinkError::Closed`] when that is 0.
    pub fn receive(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Result<usize, LinkError> {
        let count = read(&mut self.scratch)?;
        if count == 0 {
            return Err(LinkError::Closed);
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(&self.scratch[..count]);
        Ok(count)
    }

    /// The next message comes first once more.
    pub fn put_back(&mut self, message: Message) {
        self.again = Some(message);
    }

    /// The next whole message. After an error the connection is lost.
    pub fn next(&mut self) -> Result<Option<Message>, LinkError> {
        if let Some(message) = self.again.take() {
            return Ok(Some(message));
        }
        if self.stage == Stage::Preamble {
            let Some(preamble) = self.bytes[self.start..].first_chunk::<PREAMBLE_BYTES>() else {
                return Ok(None);
            };
            check_preamble(preamble)?;
            self.start += PREAMBLE_BYTES;
            self.stage = Stage::First;
        }
        let Some((header, rest)) = self.bytes[self.start..].split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = decode_header(header)?;
        if self.stage == Stage::First && header.len > FIRST_MESSAGE_BYTES_MAX {
            return Err(LinkError::LongFirst { len: header.len });
        }
        let Some(body) = rest.get(..header.len) else { return Ok(None) };
        let message = decode_body(header, body)?;
        self.start += HEADER_BYTES + header.len;
        self.stage = Stage::Open;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Generation, NodeId};
    use crate::ft::message::preamble;

    fn bytes_of(messages: &[Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        bytes
    }

    fn put(incoming: &mut Incoming, bytes: &[u8]) {
        let count = incoming.receive(|into| {
            into[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        });
        assert_eq!(count.unwrap(), bytes.len());
    }

    #[test]
    fn messages_come_whole_however_the_bytes_are_cut() {
        let said = [
            Message::Join { vm: "kv".into(), node: NodeId(7) },
            Message::Log(vec![3; 70]),
            Message::SwitchOver,
            Message::Offer {
                generation: Generation(2),
                node: NodeId(1),
                seq_next: crate::base::Seq(9),
                at: crate::base::Icount(5),
                chunks: 1,
                life: 4,
                ack: crate::ft::Ack::Disk,
            },
        ];
        let mut bytes = preamble().to_vec();
        bytes.extend(bytes_of(&said));
        for cut in [1, 2, 7, 50, bytes.len()] {
            let (mut incoming, mut heard) = (Incoming::accepted(), Vec::new());
            for piece in bytes.chunks(cut) {
                put(&mut incoming, piece);
                while let Some(message) = incoming.next().unwrap() {
                    heard.push(message);
                }
            }
            assert_eq!(heard, said, "in pieces of {cut}");
        }
    }

    #[test]
    fn a_message_that_is_put_back_comes_before_what_follows_it() {
        let mut incoming = Incoming::dialed();
        put(&mut incoming, &bytes_of(&[Message::Status, Message::SwitchOver]));
        let first = incoming.next().unwrap().unwrap();
        incoming.put_back(first);
        assert_eq!(incoming.next().unwrap(), Some(Message::Status));
        assert_eq!(incoming.next().unwrap(), Some(Message::SwitchOver));
        assert_eq!(incoming.next().unwrap(), None);
    }

    #[test]
    fn only_the_first_message_of_an_accepted_connection_has_to_be_short() {
        let long = bytes_of(&[Message::Log(vec![1; FIRST_MESSAGE_BYTES_MAX])]);
        let mut accepted = Incoming::accepted();
        put(&mut accepted, &preamble());
        put(&mut accepted, &long[..HEADER_BYTES]);
        assert!(matches!(accepted.next(), Err(LinkError::LongFirst { .. })), "before its body came");
        let mut dialed = Incoming::dialed();
        put(&mut dialed, &long);
        assert!(matches!(dialed.next(), Ok(Some(Message::Log(_)))));
    }

    #[test]
    fn nonsense_and_an_end_are_errors() {
        let mut incoming = Incoming::accepted();
        put(&mut incoming, &[b'x'; PREAMBLE_BYTES]);
        assert!(matches!(incoming.next(), Err(LinkError::Message(_))));
        let mut incoming = Incoming::dialed();
        put(&mut incoming, &[0xff; HEADER_BYTES]);
        assert!(matches!(incoming.next(), Err(LinkError::Message(_))));
        let mut rotten = bytes_of(&[Message::Log(vec![3; 70])]);
        *rotten.last_mut().unwrap() ^= 1;
        let mut incoming = Incoming::dialed();
        put(&mut incoming, &rotten);
        assert!(matches!(incoming.next(), Err(LinkError::Message(_))));
        assert!(matches!(incoming.receive(|_| Ok(0)), Err(LinkError::Closed)));
    }
}
