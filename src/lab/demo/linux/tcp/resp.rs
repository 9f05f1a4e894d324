//! Redis's protocol as a client speaks it: commands out, replies in, over one TCP connection.
//!
//! Promise: whatever the other end sends costs bounded memory and is a reply or an error; a connection that
//! broke stays broken. Absent on purpose: what a command means, and connecting again.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

/// Nothing that the demo asks for is longer.
const LINE_MAX: u64 = 512;
const BULK_MAX: i64 = 64 * 1024;
const LIST_MAX: i64 = 64;

#[derive(Debug, Error)]
pub enum RespError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("this is no reply of Redis: {line:?}")]
    Unintelligible { line: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(String),
    Error(String),
    Number(i64),
    Text(String),
    Nil,
    List(Vec<Self>),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) | Self::Error(text) | Self::Text(text) => write!(f, "{text}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Nil => Ok(()),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "{}", items.join(" "))
            }
        }
    }
}

pub struct Connection {
    reader: BufReader<TcpStream>,
    pub local: SocketAddr,
}

impl Connection {
    /// `patience` is for each reply.
    pub fn open(redis: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(redis)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { local: stream.local_addr()?, reader: BufReader::new(stream) })
    }

    pub fn send(&mut self, commands: &[&str]) -> Result<(), RespError> {
        let bytes: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
        Ok(self.reader.get_mut().write_all(bytes.as_bytes())?)
    }

    pub fn ask(&mut self, command: &str) -> Result<Reply, RespError> {
        self.send(&[command])?;
        self.receive()
    }

    pub fn receive(&mut self) -> Result<Reply, RespError> {
        let line = self.line()?;
        if let Some(rest) = line.strip_prefix('*') {
            let count = length(rest, LIST_MAX).ok_or(RespError::Unintelligible { line })?;
            let Some(count) = count else { return Ok(Reply::Nil) };
            // Lists in lists are nothing that we ask for.
            let items = (0..count).map(|_| {
                let line = self.line()?;
                self.item(line)
            });
            return Ok(Reply::List(items.collect::<Result<_, _>>()?));
        }
        self.item(line)
    }

    fn item(&mut self, line: String) -> Result<Reply, RespError> {
        let (kind, rest) = line.split_at(line.chars().next().map_or(0, char::len_utf8));
        let reply = match kind {
            "+" => Some(Reply::Status(rest.to_owned())),
            "-" => Some(Reply::Error(rest.to_owned())),
            ":" => rest.parse().ok().map(Reply::Number),
            "_" => Some(Reply::Nil),
            "$" => match length(rest, BULK_MAX) {
                Some(Some(count)) => Some(Reply::Text(self.bulk(count)?)),
                Some(None) => Some(Reply::Nil),
                None => None,
            },
            _ => None,
        };
        reply.ok_or(RespError::Unintelligible { line })
    }

    fn line(&mut self) -> Result<String, RespError> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None if bytes.len() as u64 == LINE_MAX => Err(RespError::Unintelligible { line: text }),
            None => Err(RespError::Closed),
        }
    }

    fn bulk(&mut self, count: usize) -> Result<String, RespError> {
        let mut bytes = vec![0; count + 2];
        self.reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RespError::Closed,
            _ => RespError::Io(error),
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.strip_suffix("\r\n") {
            Some(text) => Ok(text.to_owned()),
            None => Err(RespError::Unintelligible { line: text }),
        }
    }

    /// Whether unrequested bytes have come, or come `within` this time.
    pub fn hears_more(&mut self, within: Duration) -> Result<bool, RespError> {
        if !self.reader.buffer().is_empty() {
            return Ok(true);
        }
        self.reader.get_mut().set_read_timeout(Some(within))?;
        match self.reader.get_mut().peek(&mut [0]) {
            Ok(0) => Err(RespError::Closed),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A length up to `max`; -1 is that of nothing.
fn length(text: &str, max: i64) -> Option<Option<usize>> {
    match text.parse().ok()? {
        -1 => Some(None),
        count if (0..=max).contains(&count) => Some(usize::try_from(count).ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A connection to a server that sends `bytes` and closes it.
    fn told(bytes: &[u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::open(listener.local_addr().unwrap(), Duration::from_secs(20)).unwrap();
        listener.accept().unwrap().0.write_all(bytes).unwrap();
        connection
    }

    #[test]
    fn each_kind_of_reply_is_read() {
        let mut connection =
            told(b"+OK\r\n:-7\r\n$5\r\na\r\nbc\r\n$-1\r\n*2\r\n:1\r\n$1\r\nx\r\n*-1\r\n-ERR no\r\n");
        let text = |text: &str| Reply::Text(text.to_owned());
        for wanted in [
            Reply::Status("OK".into()),
            Reply::Number(-7),
            text("a\r\nbc"),
            Reply::Nil,
            Reply::List(vec![Reply::Number(1), text("x")]),
            Reply::Nil,
            Reply::Error("ERR no".into()),
        ] {
            assert_eq!(connection.receive().unwrap(), wanted);
        }
        assert!(matches!(connection.receive(), Err(RespError::Closed)));
    }

    #[test]
    fn what_is_no_reply_is_an_error_and_costs_little() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"\xff\xfe\r\n",
            b":12x\r\n",
            b"$99999999999\r\n",
            b"*1000000\r\n",
            b"$-2\r\n",
            b"$1\r\nabc",
            b"*1\r\n*1\r\n:1\r\n",
            &[b'+'; 5000],
        ] {
            let error = told(bytes).receive().unwrap_err();
            assert!(matches!(error, RespError::Unintelligible { .. }), "{bytes:?}: {error}");
        }
        for bytes in [&b""[..], b"+OK", b"$5\r\nab"] {
            assert!(matches!(told(bytes).receive(), Err(RespError::Closed)), "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_too_many_is_heard() {
        let mut connection = told(b":1\r\n:1\r\n");
        connection.receive().unwrap();
        assert!(connection.hears_more(Duration::from_secs(20)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut quiet = Connection::open(listener.local_addr().unwrap(), Duration::from_secs(20)).unwrap();
        let _server = listener.accept().unwrap();
        assert!(!quiet.hears_more(Duration::from_millis(20)).unwrap());
    }
}
