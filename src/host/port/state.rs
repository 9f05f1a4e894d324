//! What the two threads at a port share: its connection, what is kept, and what waits for the socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::{PortCounts, PortEvent};
use crate::base::Generation;
use crate::net::{Attach, FromSwitch, ToSwitch, Unframer, fence, port};

/// At most this many frames are kept for a switch that has not accepted them.
pub const KEPT_FRAMES_MAX: usize = port::FRAMES_KEPT_MAX;
/// At most this many bytes of frames are kept.
pub const KEPT_BYTES_MAX: usize = 4 << 20;
/// Encoded bytes that may wait for the socket: what is kept and its headers, twice over.
const OUT_BYTES_MAX: usize = 2 * KEPT_BYTES_MAX;
/// After this many frames the switch is asked how far it is, so that what is kept stays small.
const PING_EVERY: u64 = 64;
/// After this many received frames the switch gets `Received` without waiting for another message.
const RECEIVED_EVERY: u64 = 32;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendRefused {
    /// Too much is kept although the switch is connected: hold the outputs until there is room.
    #[error("the switch does not keep up")]
    Full,
    /// Too much is kept and no switch is there: as for a card without a cable, the node may wait or
    /// drop.
    #[error("the switch is not connected")]
    Down,
}

struct Kept {
    seq: u64,
    frame: Box<[u8]>,
}

pub struct State {
    /// What the next connection sends first; generation, standby and `rx_seq_last` move with events.
    attach: Attach,
    stream: Option<Arc<TcpStream>>,
    /// Cuts what comes on it into messages.
    unframer: Unframer,
    /// When something came on it last.
    heard: Instant,
    /// Why it ended, until the port's thread has seen it.
    ended: Option<Ended>,
    /// The switch has answered on this connection.
    up: bool,
    out: Vec<u8>,
    out_start: usize,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The last frame that the switch is known to have accepted.
    accepted: u64,
    /// The last frame ever handed to a socket.
    handed: Option<u64>,
    pings: u64,
    sent_since_ping: u64,
    /// What is safe in the log, and how much of that has been reported on this connection.
    received: u64,
    received_told: u64,
    wants_room: bool,
    /// The generation that is current instead of ours: nothing is sent until we activate a newer one.
    fenced: Option<Generation>,
    stopping: bool,
    /// That there is no connection was reported since there was one; and why the switch refused.
    down_told: bool,
    refused: String,
    counts: PortCounts,
}

/// How a connection ended.
#[derive(Debug)]
pub enum Ended {
    Lost(String),
    Refused(String),
    /// Another generation is current.
    Fenced,
}

impl State {
    pub fn new(attach: Attach) -> Self {
        Self {
            attach,
            stream: None,
            unframer: Unframer::default(),
            heard: Instant::now(),
            ended: None,
            up: false,
            out: Vec::new(),
            out_start: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            accepted: 0,
            handed: None,
            pings: 0,
            sent_since_ping: 0,
            received: 0,
            received_told: 0,
            wants_room: false,
            fenced: None,
            stopping: false,
            down_told: false,
            refused: String::new(),
            counts: PortCounts::default(),
        }
    }

    /// The `n`-th connection, if it is that one.
    pub fn socket(&self, n: u64) -> Option<Arc<TcpStream>> {
        self.stream.clone().filter(|_| self.counts.connections == n)
    }

    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub fn any_socket(&self) -> Option<Arc<TcpStream>> {
        self.stream.clone()
    }

    /// How long nothing has come.
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Ends the present connection.
    pub fn end(&mut self, how: Ended) {
        self.disconnected();
        self.ended = Some(how);
    }

    /// How the connection ended, if it has.
    pub fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Reads once into `scratch`, and reports what came. Err when that ends the connection.
    pub fn receive(&mut self, scratch: &mut [u8], events: &mut Vec<PortEvent>) -> Result<(), Ended> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        match (&*stream).read(scratch) {
            Ok(0) => return Err(Ended::Lost("the switch closed the connection".into())),
            Ok(n) => self.unframer.push(&scratch[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(Ended::Lost(error.to_string())),
        }
        self.heard = Instant::now();
        loop {
            let message = self.unframer.next_body().and_then(|body| body.map(FromSwitch::decode).transpose());
            let message = message.map_err(|error| Ended::Lost(error.to_string()))?;
            let Some(message) = message else { return Ok(()) };
            self.take_in(message, events)?;
            if self.take_room() {
                events.push(PortEvent::Room);
            }
        }
    }

    fn take_in(&mut self, message: FromSwitch, events: &mut Vec<PortEvent>) -> Result<(), Ended> {
        match message {
            FromSwitch::Attached { generation, tx_seq_last } => {
                self.attached(tx_seq_last);
                events.push(PortEvent::Attached { generation, tx_seq_last });
            }
            FromSwitch::Frame { rx_seq, bytes } => {
                if self.take_frame(rx_seq) {
                    events.push(PortEvent::Frame { rx_seq, frame: bytes });
                }
            }
            FromSwitch::Pong { tx_seq_last } => {
                if !self.ponged(tx_seq_last) {
                    let why = format!("it has taken frame {tx_seq_last}, which this guest never sent");
                    return Err(Ended::Lost(why));
                }
            }
            FromSwitch::Fenced { current } => {
                if !self.fence(current) {
                    return Err(Ended::Lost(format!("generation {current} was the current one until ours")));
                }
                events.push(PortEvent::Fenced { current });
                return Err(Ended::Fenced);
            }
            FromSwitch::Refused { why } => return Err(Ended::Refused(why)),
            FromSwitch::Status { .. } => {}
        }
        Ok(())
    }

    pub fn counts(&self) -> PortCounts {
        self.counts
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub fn stop(&mut self) {
        self.stopping = true;
        self.disconnected();
    }

    /// The switch says that generation `current` is the newest. False when we have claimed a newer one since: then the
    /// connection is lost, and no more.
    fn fence(&mut self, current: Generation) -> bool {
        let fenced = self.attach.generation <= current;
        if fenced {
            self.fenced = Some(current);
        }
        fenced
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced.is_some()
    }

    pub fn is_drained(&self) -> bool {
        self.kept.is_empty()
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= KEPT_FRAMES_MAX || self.kept_bytes >= KEPT_BYTES_MAX
    }

    pub fn send(&mut self, seq: u64, frame: &[u8]) -> Result<(), SendRefused> {
        if self.is_full() || self.waiting() > OUT_BYTES_MAX {
            self.counts.refused_full += 1;
            self.wants_room = true;
            return Err(if self.up { SendRefused::Full } else { SendRefused::Down });
        }
        self.kept.push_back(Kept { seq, frame: frame.into() });
        self.kept_bytes += frame.len();
        self.counts.frames_sent += 1;
        if self.stream.is_some() && !self.attach.standby {
            self.tell_received();
            port::put_frame_to_switch(&mut self.out, self.attach.generation, seq, frame);
            self.handed = Some(seq);
            self.sent_since_ping += 1;
            if self.sent_since_ping >= PING_EVERY {
                self.ping();
            }
        }
        Ok(())
    }

    /// True when it is time to report to the switch.
    pub fn received(&mut self, rx_seq: u64) -> bool {
        self.received = self.received.max(rx_seq);
        let due = self.received >= self.received_told.saturating_add(RECEIVED_EVERY);
        if due {
            self.tell_received();
        }
        due
    }

    pub fn activate(&mut self, generation: Generation, rx_seq_last: u64) {
        let was_standby = std::mem::replace(&mut self.attach.standby, false);
        let returns = self.fenced.take_if(|current| generation > *current).is_some();
        if was_standby || returns {
            self.attach.rx_seq_last = rx_seq_last;
        }
        self.attach.generation = generation;
        self.received = self.received.max(rx_seq_last);
        if self.stream.is_some() {
            ToSwitch::Activate { generation, rx_seq_last }.encode(&mut self.out);
            self.received_told = self.received;
            if was_standby {
                self.put_kept();
            }
        }
    }

    /// Asks the switch how far it is.
    pub fn ping(&mut self) {
        if self.stream.is_some() {
            self.sent_since_ping = 0;
            self.pings += 1;
            ToSwitch::Ping.encode(&mut self.out);
        }
    }

    /// Pings that the switch has not answered on this connection.
    pub fn pings_open(&self) -> u64 {
        self.pings
    }

    /// Tells the switch what is safe, if it does not know.
    pub fn tell_received(&mut self) {
        if self.stream.is_some() && !self.attach.standby && self.received > self.received_told {
            self.received_told = self.received;
            ToSwitch::Received { rx_seq: self.received }.encode(&mut self.out);
        }
    }

    /// A connection is there: introduces us, and repeats what the switch may not have.
    pub fn connected(&mut self, stream: Arc<TcpStream>) {
        self.stream = Some(stream);
        (self.unframer, self.heard, self.ended) = (Unframer::default(), Instant::now(), None);
        self.counts.connections += 1;
        self.out.clear();
        self.out_start = 0;
        self.pings = 0;
        self.received_told = 0;
        let before_kept = self.kept.front().map(|kept| kept.seq.saturating_sub(1));
        let tx_seq_last = self.handed.or(before_kept).unwrap_or(self.attach.tx_seq_last);
        ToSwitch::Attach(Attach { tx_seq_last, ..self.attach.clone() }).encode(&mut self.out);
        if !self.attach.standby {
            self.tell_received();
            self.put_kept();
        }
    }

    /// Encodes everything kept; the fence drops what it knows.
    fn put_kept(&mut self) {
        for kept in &self.kept {
            port::put_frame_to_switch(&mut self.out, self.attach.generation, kept.seq, &kept.frame);
            if self.handed.is_some_and(|handed| kept.seq <= handed) {
                self.counts.frames_resent += 1;
            } else {
                self.handed = Some(kept.seq);
            }
        }
        if !self.kept.is_empty() {
            self.ping();
        }
    }

    pub fn disconnected(&mut self) {
        // Other holders of the stream see its end.
        if let Some(stream) = self.stream.take() {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.up = false;
        self.out.clear();
        self.out_start = 0;
    }

    /// The switch answered `Attached`.
    fn attached(&mut self, tx_seq_last: u64) {
        (self.up, self.down_told) = (true, false);
        self.refused.clear();
        self.accept(tx_seq_last);
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

    /// The switch answered a ping. False when it has counted numbers that this guest is far from having
    /// used: somebody else used them, and attaching again sets that right.
    fn ponged(&mut self, tx_seq_last: u64) -> bool {
        self.pings = self.pings.saturating_sub(1);
        let plausible = self.handed.is_none_or(|handed| tx_seq_last <= handed.saturating_add(fence::GAP_MAX));
        if plausible {
            self.accept(tx_seq_last);
        }
        plausible
    }

    fn accept(&mut self, tx_seq_last: u64) {
        self.accepted = self.accepted.max(tx_seq_last);
        while self.kept.front().is_some_and(|kept| kept.seq <= tx_seq_last) {
            if let Some(kept) = self.kept.pop_front() {
                self.kept_bytes -= kept.frame.len();
            }
        }
    }

    /// A frame came; false when it came before.
    fn take_frame(&mut self, rx_seq: u64) -> bool {
        let new = rx_seq > self.attach.rx_seq_last;
        if new {
            self.attach.rx_seq_last = rx_seq;
            self.counts.frames_received += 1;
        } else {
            self.counts.duplicates += 1;
        }
        new
    }

    /// True once after a refused send, when there is room for a good part again.
    fn take_room(&mut self) -> bool {
        let room = self.kept.len() <= KEPT_FRAMES_MAX / 2 && self.kept_bytes <= KEPT_BYTES_MAX / 2;
        let tell = self.wants_room && room;
        self.wants_room &= !tell;
        tell
    }

    pub fn waiting(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// Writes what the socket takes; true when something is left over. What goes wrong here the
    /// reading thread will find out.
    pub fn flush(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        while self.waiting() > 0 {
            match (&**stream).write(&self.out[self.out_start..]) {
                Ok(n) => self.out_start += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break,
            }
        }
        if self.waiting() == 0 {
            self.out.clear();
            self.out_start = 0;
        } else if self.out_start > KEPT_BYTES_MAX {
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
        self.waiting() > 0
    }
}
