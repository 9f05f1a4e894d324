//! Which host port leads to which guest port: `tcp:HOST:PORT=GUESTPORT`, `udp:HOST:PORT=GUESTPORT`.

use core::net::SocketAddr;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    Tcp,
    Udp,
}

/// One forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub proto: Proto,
    /// Where the host listens; `[::1]:9000` for IPv6.
    pub listen: SocketAddr,
    /// The port of the guest's service at its own address.
    pub guest_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    #[error("forward \"{0}\" has no \"=GUESTPORT\" at its end; it is written tcp:127.0.0.1:8080=80")]
    NoGuestPort(String),
    #[error("forward \"{0}\" does not begin with tcp: or udp:; it is written tcp:127.0.0.1:8080=80")]
    NoProto(String),
    #[error("forward \"{whole}\": \"{part}\" is not an address and port like 127.0.0.1:9000 or [::1]:9000")]
    BadListen { whole: String, part: String },
    #[error("forward \"{whole}\": \"{part}\" is not a port from 1 to 65535")]
    BadGuestPort { whole: String, part: String },
}

impl FromStr for Forward {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        let whole = || text.to_string();
        let (proto, rest) = match text.split_once(':') {
            Some(("tcp", rest)) => (Proto::Tcp, rest),
            Some(("udp", rest)) => (Proto::Udp, rest),
            Some(_) | None => return Err(ForwardError::NoProto(whole())),
        };
        let (listen, port) = rest.split_once('=').ok_or_else(|| ForwardError::NoGuestPort(whole()))?;
        let listen = listen
            .parse()
            .map_err(|_| ForwardError::BadListen { whole: whole(), part: listen.to_string() })?;
        let guest_port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| ForwardError::BadGuestPort { whole: whole(), part: port.to_string() })?;
        Ok(Forward { proto, listen, guest_port })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.proto, self.listen, self.guest_port)
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_parse_and_print() {
        for text in ["udp:127.0.0.1:9000=9000", "udp:[::1]:53=5353", "tcp:[::1]:8080=80"] {
            assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_forwards_say_what_is_wrong() {
        let error = |text: &str| text.parse::<Forward>().unwrap_err();
        assert!(matches!(error(""), ForwardError::NoProto(_)));
        assert!(matches!(error("sctp:127.0.0.1:80=80"), ForwardError::NoProto(_)));
        assert!(matches!(error("udp:127.0.0.1:80"), ForwardError::NoGuestPort(_)));
        for text in ["udp:=80", "udp:localhost:80=80", "udp:127.0.0.1:70000=80", "udp:::1:80=80"] {
            assert!(matches!(error(text), ForwardError::BadListen { .. }), "{text}");
        }
        for text in ["udp:127.0.0.1:80=", "udp:127.0.0.1:80=0", "udp:127.0.0.1:80=65536"] {
            assert!(matches!(error(text), ForwardError::BadGuestPort { .. }), "{text}");
        }
    }
}
