//! TCP connections that end when the other host is gone.
//!
//! When a process ends, its kernel closes its connections. A host that crashes, or whose cable is
//! pulled, closes nothing: without these settings a connection to it hangs for a quarter of an hour, or
//! for ever if nothing is being sent.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;

/// An idle connection is probed this often …
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// … and is dead after so many probes without an answer.
const PROBES: u32 = 4;

/// Lets `stream` end when its other end does not acknowledge anything for about 4 s while idle, or for
/// `unsent_max` while something is waiting to be taken.
pub fn make_mortal(stream: &TcpStream, unsent_max: Duration) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    sockopt::set_tcp_user_timeout(stream, unsent_max.as_millis() as u32)?;
    Ok(())
}
