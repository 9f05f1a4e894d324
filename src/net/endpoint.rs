//! A VM's end of the connection to its switch, as pure state.
//!
//! Frames are kept until the switch has accepted them, and sent again over the next connection; the
//! switch's fence drops what it had already. So a lost connection loses no frame while the switch
//! lives. Over the death of a *switch* a frame arrives at most once: what had been handed to the old
//! one is not repeated to the new.
//!
//! The switch fences a node off in favour of a generation that the arbiter names, perhaps before the node learns that
//! this generation is its own. So a node that is fenced by the generation which it activates comes back once, as a standby
//! that asks to be active: the switch grants that unless another node is active in this generation.
//!
//! The caller (`host::port`, the simulator) owns the connection and the clock: it reports
//! [`Endpoint::connected`] and [`Endpoint::disconnected`], passes what comes to [`Endpoint::receive`] and carries
//! off what is in [`Endpoint::output`]. What is kept, and what waits for the connection, is bounded.

use std::collections::VecDeque;

use serde::Serialize;
use thiserror::Error;

use super::fence;
use super::port::{self, Attach, FRAMES_KEPT_MAX, FromSwitch, ToSwitch, Unframer};
use crate::base::bounds::UNACCEPTED_BYTES_MAX;
use crate::base::{Generation, Sabotage};

/// At most this many bytes of frames are kept.
pub const KEPT_BYTES_MAX: usize = UNACCEPTED_BYTES_MAX;
/// Encoded bytes that may wait for the connection: what is kept and its headers, twice over.
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

/// What the switch has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The switch knows the VM: after each connection, and after [`Endpoint::activate`]. Frames up to
    /// `tx_seq_last` have been accepted, whichever node sent them.
    Attached { generation: Generation, tx_seq_last: u64 },
    /// A frame for the guest: each number once and in order, also over reconnections.
    Frame { rx_seq: u64, frame: Vec<u8> },
    /// After a refused [`Endpoint::send`]: there is room again.
    Room,
    /// Another generation is current: nothing is sent or received any more, unless this node activates that
    /// generation or a newer one.
    Fenced { current: Generation },
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It broke, or what came on it made no sense: another one is to be opened.
    Lost(String),
    /// The switch does not want this VM; asking again helps only once that reason is gone.
    Refused(String),
    /// Another generation is current.
    Fenced,
}

/// What has happened at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointCounts {
    /// Frames taken from the node.
    pub frames_sent: u64,
    /// Frames sent again over another connection.
    pub frames_resent: u64,
    /// Frames from the switch that were new.
    pub frames_received: u64,
    /// Frames from the switch that had come before.
    pub duplicates: u64,
    /// Connections so far.
    pub connections: u64,
    /// Sends refused because too much was kept.
    pub refused_full: u64,
}

/// What of asking to be active the switch has answered on the present connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Nothing,
    Attach,
}

struct Kept {
    seq: u64,
    frame: Box<[u8]>,
}

/// The state of one VM's end, over all its connections to one switch address.
pub struct Endpoint {
    /// What the next connection sends first; generation, standby and `rx_seq_last` move with events.
    attach: Attach,
    connected: bool,
    /// Cuts what comes on the connection into messages.
    unframer: Unframer,
    /// The switch has answered on this connection.
    up: bool,
    out: Vec<u8>,
    out_start: usize,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The last frame that the switch is known to have accepted.
    accepted: u64,
    /// The last frame ever handed to a connection.
    handed: Option<u64>,
    pings: u64,
    sent_since_ping: u64,
    /// What is safe in the log, and how much of that has been reported on this connection.
    received: u64,
    received_told: u64,
    wants_room: bool,
    /// The generation that is current instead of ours: nothing is sent until we activate it, or a newer one.
    fenced: Option<Generation>,
    /// The switch has named our generation as the one that is current instead of ours. Until it has answered our
    /// asking to be active, a connection begins as a standby's.
    asks: Option<Asks>,
    counts: EndpointCounts,
}

impl Endpoint {
    /// An end without a connection, of a VM that introduces itself as `attach`.
    pub fn new(attach: Attach) -> Self {
        Self {
            attach,
            connected: false,
            unframer: Unframer::default(),
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
            asks: None,
            counts: EndpointCounts::default(),
        }
    }

    /// A connection is there: introduces the VM, and repeats what the switch may not have.
    pub fn connected(&mut self) {
        self.connected = true;
        self.unframer = Unframer::default();
        self.counts.connections += 1;
        self.out.clear();
        self.out_start = 0;
        self.pings = 0;
        self.received_told = 0;
        let before_kept = self.kept.front().map(|kept| kept.seq.saturating_sub(1));
        let tx_seq_last = self.handed.or(before_kept).unwrap_or(self.attach.tx_seq_last);
        let standby = self.attach.standby || self.asks.is_some();
        ToSwitch::Attach(Attach { tx_seq_last, standby, ..self.attach.clone() }).encode(&mut self.out);
        if let Some(asks) = &mut self.asks {
            *asks = Asks::Nothing;
            let Attach { generation, rx_seq_last, .. } = self.attach;
            ToSwitch::Activate { generation, rx_seq_last }.encode(&mut self.out);
        }
        if !self.attach.standby {
            self.tell_received();
            self.put_kept();
        }
    }

    /// The connection is gone, and with it what waited to leave on it.
    pub fn disconnected(&mut self) {
        (self.connected, self.up) = (false, false);
        self.out.clear();
        self.out_start = 0;
    }

    /// Takes in what came on the connection, and passes on what the switch says. Err when that ends the
    /// connection; the caller reports [`disconnected`](Self::disconnected).
    pub fn receive(&mut self, bytes: &[u8], mut heard: impl FnMut(Heard)) -> Result<(), Ended> {
        self.unframer.push(bytes);
        loop {
            let message = self.unframer.next_body().and_then(|body| body.map(FromSwitch::decode).transpose());
            let message = message.map_err(|error| Ended::Lost(error.to_string()))?;
            let Some(message) = message else { return Ok(()) };
            self.take_in(message, &mut heard)?;
            if self.take_room() {
                heard(Heard::Room);
            }
        }
    }

    fn take_in(&mut self, message: FromSwitch, heard: &mut impl FnMut(Heard)) -> Result<(), Ended> {
        match message {
            FromSwitch::Attached { generation, tx_seq_last } => {
                self.up = true;
                self.asks = match self.asks {
                    Some(Asks::Nothing) => Some(Asks::Attach),
                    Some(Asks::Attach) | None => None,
                };
                self.accept(tx_seq_last);
                heard(Heard::Attached { generation, tx_seq_last });
            }
            FromSwitch::Frame { rx_seq, bytes } => {
                if self.take_frame(rx_seq) {
                    heard(Heard::Frame { rx_seq, frame: bytes });
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
                    return Err(Ended::Lost(format!(
                        "generation {current} was named in place of an older one"
                    )));
                }
                heard(Heard::Fenced { current });
                return Err(Ended::Fenced);
            }
            FromSwitch::Refused { why } => return Err(Ended::Refused(why)),
            FromSwitch::Status { .. } => {}
        }
        Ok(())
    }

    /// Sends the `seq`-th frame of the guest's life. It is kept until the switch has it; when too
    /// much is kept the frame is refused and [`Heard::Room`] follows.
    pub fn send(&mut self, seq: u64, frame: &[u8]) -> Result<(), SendRefused> {
        if self.is_full() || self.output().len() > OUT_BYTES_MAX {
            self.counts.refused_full += 1;
            self.wants_room = true;
            return Err(if self.up { SendRefused::Full } else { SendRefused::Down });
        }
        self.kept.push_back(Kept { seq, frame: frame.into() });
        self.kept_bytes += frame.len();
        self.counts.frames_sent += 1;
        if self.connected && !self.attach.standby {
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

    /// Everything up to `rx_seq` is safe in the replicated log. The switch learns it with one of the next
    /// messages; true when there is one for it now.
    pub fn received(&mut self, rx_seq: u64) -> bool {
        self.received = self.received.max(rx_seq);
        let due = self.received >= self.received_told.saturating_add(RECEIVED_EVERY);
        if due {
            self.tell_received();
        }
        due
    }

    /// This node is primary from now on, and its log ends with the frame `rx_seq_last`: what comes after
    /// is wanted. Frames may be sent at once, without waiting for the answer.
    pub fn activate(&mut self, generation: Generation, rx_seq_last: u64) {
        let was_standby = std::mem::replace(&mut self.attach.standby, false);
        let fenced = self.fenced.take_if(|current| generation >= *current);
        if was_standby || fenced.is_some() {
            self.attach.rx_seq_last = rx_seq_last;
        }
        self.asks = (fenced == Some(generation)).then_some(Asks::Nothing);
        self.attach.generation = generation;
        self.received = self.received.max(rx_seq_last);
        if self.connected {
            ToSwitch::Activate { generation, rx_seq_last }.encode(&mut self.out);
            self.received_told = self.received;
            if was_standby {
                self.put_kept();
            }
        }
    }

    /// Asks the switch how far it is.
    pub fn ping(&mut self) {
        if self.connected {
            self.sent_since_ping = 0;
            self.pings += 1;
            ToSwitch::Ping.encode(&mut self.out);
        }
    }

    /// Reports to the switch what is safe, if it does not know.
    pub fn tell_received(&mut self) {
        if self.connected && !self.attach.standby && self.received > self.received_told {
            self.received_told = self.received;
            ToSwitch::Received { rx_seq: self.received }.encode(&mut self.out);
        }
    }

    /// What is to leave on the connection, in bytes.
    pub fn output(&self) -> &[u8] {
        &self.out[self.out_start..]
    }

    /// The connection has taken the first `bytes` of [`output`](Self::output).
    pub fn sent(&mut self, bytes: usize) {
        self.out_start = (self.out_start + bytes).min(self.out.len());
        if self.out_start == self.out.len() {
            self.out.clear();
            self.out_start = 0;
        } else if self.out_start > KEPT_BYTES_MAX {
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
    }

    /// The generation under which it sends, or which it follows.
    pub fn generation(&self) -> Generation {
        self.attach.generation
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the switch has answered on the present connection.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Pings that the switch has not answered on this connection.
    pub fn pings_open(&self) -> u64 {
        self.pings
    }

    /// Whether another generation is current.
    pub fn is_fenced(&self) -> bool {
        self.fenced.is_some()
    }

    /// Whether the switch has accepted every frame sent.
    pub fn is_drained(&self) -> bool {
        self.kept.is_empty()
    }

    /// The last frame that the switch is known to have accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// What has happened so far.
    pub fn counts(&self) -> EndpointCounts {
        self.counts
    }

    /// The switch says that generation `current` is the newest. False when we have claimed it or a newer one since: then
    /// the connection is lost, and no more. But our own generation is asked for once.
    fn fence(&mut self, current: Generation) -> bool {
        let ours = self.attach.generation;
        let fenced = ours < current || ours == current && (self.attach.standby || self.asks.is_some());
        self.fenced = fenced.then_some(current);
        self.asks = (ours == current && !fenced).then_some(Asks::Nothing);
        fenced
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= FRAMES_KEPT_MAX || self.kept_bytes >= KEPT_BYTES_MAX
    }

    /// Encodes everything kept; the fence drops what it knows.
    fn put_kept(&mut self) {
        if Sabotage::KeptForgotten.is_on() {
            return;
        }
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

    /// The switch answered a ping. False when it has counted numbers that this guest is far from having
    /// used: another sender used them, and attaching again sets that right.
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
        let room = self.kept.len() <= FRAMES_KEPT_MAX / 2 && self.kept_bytes <= KEPT_BYTES_MAX / 2;
        let tell = self.wants_room && room;
        self.wants_room &= !tell;
        tell
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
