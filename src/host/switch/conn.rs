//! One VM's connection at the switch: bytes in, bytes out, and how long it has been stuck.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::host::mortal::make_mortal;
use crate::net::{FromSwitch, PortError, SECOND_NS, ToSwitch, Unframer, port};

/// A message must end, and a new connection identify itself, within this time.
pub const STALL_NS: u64 = 5 * SECOND_NS;
/// After the last message the other side gets this long to take it.
pub const LINGER_NS: u64 = SECOND_NS;
/// A VM that takes nothing for this long is gone; what waits for it is kept for its successor.
const UNSENT_MAX: Duration = Duration::from_secs(5);
/// Frames are fetched for a VM while fewer bytes than this wait for its socket. More would only
/// move the queue to where it is not bounded per guest.
pub const OUT_BYTES_WANTED: usize = 256 << 10;
/// More than this waits only for a peer that asks and does not read the answers.
pub const OUT_BYTES_MAX: usize = 1 << 20;
/// Read at most this much from one connection before the others get their turn.
const READ_BYTES_MAX: usize = 256 << 10;

/// What became of reading.
#[derive(Debug)]
pub enum Heard {
    /// All there is for now.
    Enough,
    /// The other side is gone.
    Gone,
    /// What came is not the protocol.
    Garbage(PortError),
}

#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    /// From where it comes.
    pub address: IpAddr,
    unframer: Unframer,
    out: Vec<u8>,
    out_start: usize,
    /// Since when a message has been incomplete; at first, since when it has not identified itself.
    stuck_since: Option<u64>,
    /// When a connection that has been sent its last message is dropped.
    linger_until: Option<u64>,
}

impl Conn {
    pub fn new(stream: TcpStream, address: IpAddr, now: u64) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        make_mortal(&stream, UNSENT_MAX)?;
        Ok(Self {
            stream,
            address,
            unframer: Unframer::default(),
            out: Vec::new(),
            out_start: 0,
            stuck_since: Some(now),
            linger_until: None,
        })
    }

    /// Reads what is there and hands over each whole message.
    pub fn hear(&mut self, now: u64, scratch: &mut [u8], mut each: impl FnMut(ToSwitch)) -> Heard {
        let mut taken = 0;
        while taken < READ_BYTES_MAX {
            let n = match self.stream.read(scratch) {
                Ok(0) => return Heard::Gone,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Heard::Gone,
            };
            taken += n;
            if self.linger_until.is_some() {
                continue;
            }
            self.unframer.push(&scratch[..n]);
            let mut whole = false;
            loop {
                match self.unframer.next_body().and_then(|body| body.map(ToSwitch::decode).transpose()) {
                    Ok(Some(message)) => each(message),
                    Ok(None) => break,
                    Err(error) => return Heard::Garbage(error),
                }
                whole = true;
            }
            if whole {
                self.stuck_since = None;
            }
            if self.unframer.is_partial() {
                self.stuck_since.get_or_insert(now);
            }
            if n < scratch.len() {
                break;
            }
        }
        Heard::Enough
    }

    pub fn push(&mut self, message: &FromSwitch) {
        message.encode(&mut self.out);
    }

    pub fn push_frame(&mut self, rx_seq: u64, frame: &[u8]) {
        port::put_frame_to_vm(&mut self.out, rx_seq, frame);
    }

    /// Bytes that wait for the socket.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.out_start
    }

    pub fn wants_frames(&self) -> bool {
        self.linger_until.is_none() && self.waiting() < OUT_BYTES_WANTED
    }

    /// Writes what the socket takes. An error means that the other side is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.waiting() > 0 {
            match self.stream.write(&self.out[self.out_start..]) {
                Ok(n) => self.out_start += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.waiting() == 0 {
            self.out.clear();
            self.out_start = 0;
            if self.linger_until.is_some() {
                // Closing with unread bytes would reset the connection and take the last word with
                // it: say that nothing follows, and read on until the other side goes.
                return self.stream.shutdown(Shutdown::Write);
            }
        } else if self.out_start > OUT_BYTES_WANTED {
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
        Ok(())
    }

    /// Nothing further is sent after what waits now.
    pub fn finish(&mut self, now: u64) {
        self.linger_until.get_or_insert(now.saturating_add(LINGER_NS));
    }

    pub fn is_finished(&self) -> bool {
        self.linger_until.is_some()
    }

    /// When [`is_stuck`](Self::is_stuck) could become true by nothing happening.
    pub fn deadline(&self) -> Option<u64> {
        self.linger_until.or(self.stuck_since.map(|since| since.saturating_add(STALL_NS)))
    }

    pub fn is_stuck(&self, now: u64) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
