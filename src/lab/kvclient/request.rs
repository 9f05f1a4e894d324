//! One question to a `kv` guest, repeated until it is answered.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It was sent again and again, and nothing came.
    #[error("no answer from {at} within {patience:?}")]
    Unanswered {
        /// The guest's port on this host.
        at: SocketAddr,
        /// How long an answer was waited for.
        patience: Duration,
    },
    /// The host refused something.
    #[error("cannot ask {at}: {error}")]
    Socket {
        /// The guest's port on this host.
        at: SocketAddr,
        /// The error.
        error: io::Error,
    },
}

/// Asks `text` (such as `PING`) and answers with the reply behind the id.
pub fn request(at: SocketAddr, text: &str, patience: Duration) -> Result<String, RequestError> {
    ask(at, text, patience)
        .map_err(|error| RequestError::Socket { at, error })?
        .ok_or(RequestError::Unanswered { at, patience })
}

/// A socket of our own, connected to `at`.
pub(super) fn socket_to(at: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    Ok(socket)
}

/// A number that no client before us has used: the server remembers what it has answered.
pub(super) fn first_id() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes[..4], rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes) + 1)
}

fn ask(at: SocketAddr, text: &str, patience: Duration) -> io::Result<Option<String>> {
    let socket = socket_to(at)?;
    let id = first_id()?;
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(20);
    let mut bytes = [0; 2048];
    loop {
        // A refused port may be open a moment later.
        match socket.send(format!("{id} {text}").as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        let again = Instant::now() + pause;
        loop {
            let left = again.min(deadline).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut bytes) {
                Ok(n) => {
                    let answer = String::from_utf8_lossy(&bytes[..n]);
                    if let Some((answered, answer)) = answer.split_once(' ')
                        && answered.parse() == Ok(id)
                    {
                        return Ok(Some(answer.to_string()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    std::thread::sleep(left.min(Duration::from_millis(5)));
                }
                Err(_) => {}
            }
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
