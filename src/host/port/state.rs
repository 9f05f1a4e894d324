//! What the two threads at a port share: the VM's end, its socket, and what has been reported of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PortEvent;
use crate::net::Attach;
use crate::net::endpoint::{Ended, Endpoint, Heard};

pub struct State {
    pub endpoint: Endpoint,
    stream: Option<Arc<TcpStream>>,
    /// When something came on it last.
    heard: Instant,
    /// Why it ended, until the port's thread has seen it.
    ended: Option<Ended>,
    stopping: bool,
    /// That there is no connection was reported since there was one; and why the switch refused.
    down_told: bool,
    refused: String,
}

impl From<Heard> for PortEvent {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Attached { generation, tx_seq_last } => Self::Attached { generation, tx_seq_last },
            Heard::Frame { rx_seq, frame } => Self::Frame { rx_seq, frame },
            Heard::Room => Self::Room,
            Heard::Fenced { current } => Self::Fenced { current },
        }
    }
}

impl State {
    pub fn new(attach: Attach) -> Self {
        Self {
            endpoint: Endpoint::new(attach),
            stream: None,
            heard: Instant::now(),
            ended: None,
            stopping: false,
            down_told: false,
            refused: String::new(),
        }
    }

    /// The `n`-th connection, if it is that one.
    pub fn socket(&self, n: u64) -> Option<Arc<TcpStream>> {
        self.stream.clone().filter(|_| self.endpoint.counts().connections == n)
    }

    pub fn any_socket(&self) -> Option<Arc<TcpStream>> {
        self.stream.clone()
    }

    /// How long nothing has come.
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// A connection is there.
    pub fn open(&mut self, stream: Arc<TcpStream>) {
        self.stream = Some(stream);
        (self.heard, self.ended) = (Instant::now(), None);
        self.endpoint.connected();
    }

    /// Ends the present connection.
    pub fn close(&mut self, how: Ended) {
        self.cut();
        self.ended = Some(how);
    }

    fn cut(&mut self) {
        // Other holders of the stream see its end.
        if let Some(stream) = self.stream.take() {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.endpoint.disconnected();
    }

    /// How the connection ended, if it has.
    pub fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Reads once into `scratch`, and reports what came. Err when that ends the connection.
    pub fn read(&mut self, scratch: &mut [u8], events: &mut Vec<PortEvent>) -> Result<(), Ended> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        let bytes = match (&*stream).read(scratch) {
            Ok(0) => return Err(Ended::Lost("the switch closed the connection".into())),
            Ok(n) => &scratch[..n],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(Ended::Lost(error.to_string())),
        };
        self.heard = Instant::now();
        let (down_told, refused) = (&mut self.down_told, &mut self.refused);
        self.endpoint.receive(bytes, |heard| {
            if let Heard::Attached { .. } = heard {
                *down_told = false;
                refused.clear();
            }
            events.push(heard.into());
        })
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub fn stop(&mut self) {
        self.stopping = true;
        self.cut();
    }

    /// That there is no connection is to be told; false when it was, since the last one.
    pub fn tell_down(&mut self) -> bool {
        !std::mem::replace(&mut self.down_told, true)
    }

    /// That the switch refuses is to be told; false when it was, for this reason.
    pub fn tell_refused(&mut self, why: &str) -> bool {
        self.down_told = true;
        let news = self.refused != why;
        self.refused = why.to_owned();
        news
    }

    /// Writes what the socket takes; true when something is left over. What goes wrong here the
    /// reading thread will find out.
    pub fn flush(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        while !self.endpoint.output().is_empty() {
            match (&**stream).write(self.endpoint.output()) {
                Ok(n) => self.endpoint.sent(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        !self.endpoint.output().is_empty()
    }
}
