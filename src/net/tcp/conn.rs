//! One connection: our end of it toward the guest, and what its client may learn.
//!
//! ```text
//!   Connecting --the guest answers--> Open --both directions ended--> Closed(Finished)
//!       |                              |
//!       | it refuses, or is silent     | a reset by either side, or silence
//!       +--> Closed(Refused | Silent)  +--> Closed(Reset | Silent | Aborted)
//! ```
//!
//! A connection that is closed and [`released`](Conn::released) by the host is forgotten once its last
//! segment has left; one that finished stays a while in smoltcp's TIME-WAIT.

use smoltcp::iface::{Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint, Ipv4Address};

use super::link::{Link, Route};
use super::{ACK_DELAY_NS, CLOCK_RATE, KEEP_ALIVE_NS, SILENT_NS, TO_CLIENT_BYTES, TO_GUEST_BYTES};

/// Our end and the guest's, as packets name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub ours: (Ipv4Address, u16),
    pub guest: (Ipv4Address, u16),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both directions ended, and everything arrived.
    Finished,
    /// The guest answered the first segment with a reset.
    Refused,
    /// The guest reset it.
    Reset,
    /// The guest did not answer.
    Silent,
    /// The host gave it up.
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The guest has not answered yet.
    Connecting,
    Open,
    Closed(End),
}

/// What the host may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub phase: Phase,
    /// Bytes that may be taken from the client.
    pub room: usize,
    /// Bytes that wait for the client.
    pub waiting: usize,
    /// The guest sends nothing after those.
    pub guest_finished: bool,
}

pub(super) struct Conn {
    pub flow: Flow,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// How far this connection's clock was pushed forward, in the clock's nanoseconds.
    skew_ns: u64,
    /// The clock when it was last shown.
    clock_seen_ns: u64,
    end: Option<End>,
    connected: bool,
    guest_finished: bool,
    /// The client's stream is gone: it has neither reader nor writer.
    pub released: bool,
    /// When the guest last answered, in real time.
    pub heard: u64,
    /// The guest's first segment, while the host connects to where it wants to go.
    pub dialing: Option<Vec<u8>>,
    /// The timer that is set for it in the table.
    pub timer: Option<u64>,
}

fn clock(ns: u64) -> Instant {
    Instant::from_micros((ns / 1000).min(i64::MAX as u64) as i64)
}

fn clock_duration(real_ns: u64) -> Duration {
    Duration::from_micros(real_ns / 1000 * CLOCK_RATE)
}

impl Conn {
    fn new(flow: Flow, now: u64) -> Self {
        let ring = |bytes: usize| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(ring(TO_CLIENT_BYTES), ring(TO_GUEST_BYTES));
        // The writer has decided already when to send; segments are made of what waits.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(clock_duration(ACK_DELAY_NS)));
        socket.set_keep_alive(Some(clock_duration(KEEP_ALIVE_NS)));
        socket.set_timeout(Some(clock_duration(SILENT_NS)));
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(socket);
        Self {
            flow,
            sockets,
            handle,
            skew_ns: 0,
            clock_seen_ns: 0,
            end: None,
            connected: false,
            guest_finished: false,
            released: false,
            heard: now,
            dialing: None,
            timer: None,
        }
    }

    /// A connection that we open; `None` if the addresses cannot be connected.
    pub fn connect(iface: &mut Interface, flow: Flow, now: u64) -> Option<Self> {
        let mut conn = Self::new(flow, now);
        let remote = IpEndpoint::new(flow.guest.0.into(), flow.guest.1);
        let local = IpListenEndpoint { addr: Some(flow.ours.0.into()), port: flow.ours.1 };
        conn.socket_mut().connect(iface.context(), remote, local).ok()?;
        Some(conn)
    }

    /// A connection that the guest opens by `packet`, which is answered once the host has one, too.
    pub fn listen(flow: Flow, now: u64, packet: &[u8]) -> Option<Self> {
        let mut conn = Self { dialing: Some(packet.to_vec()), ..Self::new(flow, now) };
        let local = IpListenEndpoint { addr: Some(flow.ours.0.into()), port: flow.ours.1 };
        conn.socket_mut().listen(local).ok()?;
        Some(conn)
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// The clock of this connection, where the table's shows `clock_ns`.
    fn show(&mut self, clock_ns: u64) -> Instant {
        let mut shown = clock_ns.saturating_add(self.skew_ns).max(self.clock_seen_ns);
        // At the end of TIME-WAIT smoltcp would throw away what the client has not read yet.
        if self.socket().state() == State::TimeWait && self.socket().recv_queue() > 0 && !self.released {
            shown = self.clock_seen_ns;
        }
        self.clock_seen_ns = shown;
        clock(shown)
    }

    /// A packet from the guest that belongs here.
    pub fn hear(
        &mut self,
        iface: &mut Interface,
        now: u64,
        clock_ns: u64,
        packet: &[u8],
        route: &mut Route,
        frames: &mut Vec<Vec<u8>>,
    ) {
        self.heard = now;
        let before = self.socket().state();
        let shown = self.show(clock_ns);
        let mut link = Link { packet: Some(packet), route, frames };
        iface.poll_ingress_single(shown, &mut link, &mut self.sockets);
        self.follow(before, End::Reset);
    }

    /// Sends what is due, as far as there is room. True when it is out of room with more to send.
    pub fn speak(
        &mut self,
        iface: &mut Interface,
        clock_ns: u64,
        route: &mut Route,
        frames: &mut Vec<Vec<u8>>,
    ) -> bool {
        let shown = self.show(clock_ns);
        loop {
            let before = self.socket().state();
            let (sent, full) = (frames.len(), route.room == 0);
            let mut link = Link { packet: None, route: &mut *route, frames: &mut *frames };
            iface.poll_egress(shown, &mut link, &mut self.sockets);
            self.follow(before, End::Silent);
            if frames.len() == sent {
                let due = iface.poll_at(shown, &self.sockets).is_some_and(|at| at <= shown);
                return full && due;
            }
        }
    }

    /// When [`speak`](Self::speak) is due by itself, by the table's clock.
    pub fn due(&mut self, iface: &mut Interface, clock_ns: u64) -> Option<u64> {
        let shown = self.show(clock_ns);
        let at = iface.poll_at(shown, &self.sockets)?;
        let ahead_us = at.total_micros().saturating_sub(shown.total_micros()).max(0) as u64;
        Some(clock_ns.saturating_add(ahead_us.saturating_mul(1000)))
    }

    /// Whether the guest owes an acknowledgement.
    pub fn waits_for_guest(&self) -> bool {
        let state = self.socket().state();
        let control = matches!(
            state,
            State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck
        );
        control || (state != State::Closed && self.socket().send_queue() > 0)
    }

    /// Lets the next timeout be now: what is unacknowledged is sent again.
    pub fn kick(&mut self, iface: &mut Interface, clock_ns: u64) {
        if let Some(due) = self.due(iface, clock_ns) {
            self.skew_ns = self.skew_ns.saturating_add(due.saturating_sub(clock_ns));
        }
    }

    pub fn view(&self) -> View {
        let socket = self.socket();
        let phase = match (self.end, socket.state()) {
            (Some(end), _) => Phase::Closed(end),
            (None, State::TimeWait) => Phase::Closed(End::Finished),
            (None, _) if self.connected => Phase::Open,
            (None, _) => Phase::Connecting,
        };
        View {
            phase,
            room: if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 },
            waiting: socket.recv_queue(),
            guest_finished: self.guest_finished,
        }
    }

    /// Takes bytes from the client: `read` gets free room and returns how much of it was filled. It is called
    /// at most twice, the second time for what lies behind the end of the ring.
    pub fn fill(&mut self, mut read: impl FnMut(&mut [u8]) -> usize) -> usize {
        let mut total = 0;
        for _ in 0..2 {
            let (mut offered, mut taken) = (0, 0);
            let sent = self.socket_mut().send(|room| {
                offered = room.len();
                if !room.is_empty() {
                    taken = read(room).min(offered);
                }
                (taken, ())
            });
            total += taken;
            if sent.is_err() || offered == 0 || taken < offered {
                break;
            }
        }
        total
    }

    /// Gives bytes to the client: `write` gets what waits and returns how much of it went.
    pub fn drain(&mut self, mut write: impl FnMut(&[u8]) -> usize) -> usize {
        let mut total = 0;
        for _ in 0..2 {
            let (mut offered, mut taken) = (0, 0);
            let given = self.socket_mut().recv(|bytes| {
                offered = bytes.len();
                if !bytes.is_empty() {
                    taken = write(bytes).min(offered);
                }
                (taken, ())
            });
            total += taken;
            if given.is_err() || offered == 0 || taken < offered {
                break;
            }
        }
        total
    }

    /// The client sends no more: the guest gets a FIN after what waits.
    pub fn finish(&mut self) {
        self.socket_mut().close();
    }

    /// The connection is given up: the guest gets a reset.
    pub fn abort(&mut self, why: End) {
        if self.socket().state() == State::TimeWait {
            return;
        }
        self.end.get_or_insert(why);
        self.socket_mut().abort();
    }

    /// Nothing more will come of it, for the client or the guest.
    pub fn is_over(&self) -> bool {
        self.released && self.socket().state() == State::Closed && self.socket().remote_endpoint().is_none()
    }

    /// Notes what a change of smoltcp's state means; `why` is how it was closed, if not in the way of
    /// things.
    fn follow(&mut self, before: State, why: End) {
        let (state, unsent) = (self.socket().state(), self.socket().send_queue());
        if state == before {
            return;
        }
        match state {
            State::Established | State::FinWait1 | State::FinWait2 => self.connected = true,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => {
                self.connected = true;
                self.guest_finished = true;
            }
            State::Closed => {
                let end = match before {
                    State::TimeWait => End::Finished,
                    State::LastAck if unsent == 0 => End::Finished,
                    State::SynSent if why == End::Reset => End::Refused,
                    _ => why,
                };
                self.end.get_or_insert(end);
            }
            // A connection of the guest's that it takes back before it was open.
            State::Listen => {
                self.end.get_or_insert(End::Reset);
                self.socket_mut().abort();
            }
            State::SynSent | State::SynReceived => {}
        }
    }
}
