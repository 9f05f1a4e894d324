//! `passt` at the other end of a Unix socket: the host's own TCP/IP behind it, without privileges.
//!
//! ```text
//! offset size field
//!      0    4 length n of the frame, big-endian, 1..=65550
//!      4    n the frame
//! ```
//!
//! passt is not trusted: a length out of bounds ends the connection, and what it does not take is bounded.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

use super::{Sent, UplinkError};

/// A 64 KiB IP packet and its header: passt sends no more, whatever the MTU.
const FRAME_BYTES_MAX: usize = 65_550;
const LENGTH_BYTES: usize = 4;
/// Bytes that wait for passt; a frame beyond is dropped.
const OUT_BYTES_MAX: usize = 1 << 20;
/// Read at most this much before the VMs get their turn.
const READ_BYTES_MAX: usize = 256 << 10;

pub struct Passt {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: VecDeque<u8>,
}

impl Passt {
    pub fn connect(socket: &Path) -> Result<Self, UplinkError> {
        let address =
            SocketAddr::from_pathname(socket).map_err(|_| UplinkError::LongPath(socket.to_owned()))?;
        UnixStream::connect_addr(&address)
            .and_then(|stream| stream.set_nonblocking(true).map(|()| Self::over(stream)))
            .map_err(|error| UplinkError::Passt { socket: socket.to_owned(), error })
    }

    fn over(stream: UnixStream) -> Self {
        Self { stream, incoming: Vec::new(), outgoing: VecDeque::new() }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Bytes wait for room in the socket.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub fn hear(&mut self, scratch: &mut [u8], each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut taken = 0;
        while taken < READ_BYTES_MAX {
            match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    taken += n;
                    self.incoming.extend_from_slice(&scratch[..n]);
                    self.cut(each)?;
                    if n < scratch.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands over the whole frames of what has come; a part of one stays.
    fn cut(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut rest = &self.incoming[..];
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_be_bytes(*length) as usize;
            if !(1..=FRAME_BYTES_MAX).contains(&length) {
                let what = format!("a frame of {length} bytes; passt's have 1 to {FRAME_BYTES_MAX}");
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            let Some((frame, next)) = behind.split_at_checked(length) else { break };
            each(frame);
            rest = next;
        }
        let cut = self.incoming.len() - rest.len();
        self.incoming.drain(..cut);
        Ok(())
    }

    pub fn send(&mut self, frame: &[u8]) -> Sent {
        if self.outgoing.len() + LENGTH_BYTES + frame.len() > OUT_BYTES_MAX {
            return Sent::Full;
        }
        self.outgoing.extend((frame.len() as u32).to_be_bytes());
        self.outgoing.extend(frame);
        match self.flush() {
            Ok(()) => Sent::Yes,
            Err(error) => Sent::Lost(error),
        }
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(self.outgoing.as_slices().0) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Passt, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Passt::over(ours), theirs)
    }

    fn hear(passt: &mut Passt) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        passt.hear(&mut [0; 100], &mut |frame| frames.push(frame.to_vec())).map(|()| frames)
    }

    #[test]
    fn frames_are_cut_however_the_bytes_come() {
        let (mut passt, mut theirs) = pair();
        let long = vec![7; 3000];
        let mut bytes = vec![0, 0, 0, 2, 1, 2, 0, 0, 0x0b, 0xb8];
        bytes.extend(&long);
        let mut frames = Vec::new();
        for piece in bytes.chunks(3) {
            theirs.write_all(piece).unwrap();
            frames.extend(hear(&mut passt).unwrap());
        }
        assert_eq!(frames, [vec![1, 2], long]);
        assert!(passt.incoming.is_empty());
    }

    #[test]
    fn a_length_out_of_bounds_ends_the_connection() {
        for length in [0, FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
            let (mut passt, mut theirs) = pair();
            theirs.write_all(&length.to_be_bytes()).unwrap();
            assert_eq!(hear(&mut passt).unwrap_err().kind(), ErrorKind::InvalidData, "{length}");
        }
        let (mut passt, theirs) = pair();
        drop(theirs);
        assert_eq!(hear(&mut passt).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_passt_does_not_take_is_bounded_and_goes_out_whole_and_in_order() {
        let (mut passt, theirs) = pair();
        let (mut sent, mut full) = (0u32, 0);
        for n in 0..4000u32 {
            match passt.send(&[&n.to_be_bytes()[..], &[0; 996]].concat()) {
                Sent::Yes if full == 0 => sent += 1,
                Sent::Yes => panic!("room again although nothing was read"),
                Sent::Full => full += 1,
                Sent::Lost(error) => panic!("{error}"),
            }
        }
        assert!(full > 0 && passt.outgoing.len() <= OUT_BYTES_MAX && passt.is_waiting());
        theirs.set_nonblocking(true).unwrap();
        let mut heard = Passt::over(theirs);
        let mut got = Vec::new();
        while got.len() < sent as usize {
            heard.hear(&mut vec![0; 1 << 16], &mut |frame| got.push(frame[..4].to_vec())).unwrap();
            passt.flush().unwrap();
        }
        assert_eq!(got, (0..sent).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }
}
