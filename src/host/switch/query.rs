//! Asks a running switch for its status.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

use crate::net::{FromSwitch, PortError, ToSwitch, Unframer};

/// A switch that does not answer within this time is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no status of a switch.
#[derive(Debug, Error)]
pub enum QueryError {
    /// No connection could be made, or it broke.
    #[error("no switch answers at {at}: {error}")]
    Unreachable {
        /// The address that was asked.
        at: SocketAddr,
        /// The kernel's error.
        error: io::Error,
    },
    /// The answer is not in the switch's protocol, or of another version.
    #[error("what answers at {at} is not a switch: {error}")]
    NotASwitch {
        /// The address that was asked.
        at: SocketAddr,
        /// What is wrong with it.
        error: PortError,
    },
    /// The switch does not answer this program.
    #[error("the switch at {at} refused: {why}")]
    Refused {
        /// The address that was asked.
        at: SocketAddr,
        /// Its reason.
        why: String,
    },
    /// The answer is a message, but no status.
    #[error("the switch at {at} answered something else")]
    Unexpected {
        /// The address that was asked.
        at: SocketAddr,
    },
}

/// The status of the switch at `at`, as JSON.
pub fn query(at: SocketAddr) -> Result<String, QueryError> {
    let unreachable = |error| QueryError::Unreachable { at, error };
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let mut request = Vec::new();
    ToSwitch::Status.encode(&mut request);
    stream.write_all(&request).map_err(unreachable)?;
    let (mut unframer, mut scratch) = (Unframer::default(), vec![0; 64 << 10]);
    loop {
        let body = unframer.next_body().and_then(|body| body.map(FromSwitch::decode).transpose());
        match body.map_err(|error| QueryError::NotASwitch { at, error })? {
            Some(FromSwitch::Status { json }) => return Ok(json),
            Some(FromSwitch::Refused { why }) => return Err(QueryError::Refused { at, why }),
            Some(_) => return Err(QueryError::Unexpected { at }),
            None => {}
        }
        match stream.read(&mut scratch) {
            Ok(0) => return Err(unreachable(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => unframer.push(&scratch[..n]),
            // A wait with a time-out is cut short also by SIGSTOP and SIGCONT.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreachable(error)),
        }
    }
}
