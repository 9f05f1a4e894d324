//! The port's thread: connects, reads, reports, and connects again.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::PortEvent;
use super::state::State;
use crate::host::mortal::make_mortal;
use crate::net::{FromSwitch, Unframer};

/// The switch is pinged this often when nothing else happens.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A switch from which nothing has come for this long, although asked, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A connection attempt is given up after this long.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// The first wait between two attempts; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// The wait after the switch refused us.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// What both threads hold.
pub struct Shared {
    state: Mutex<State>,
    accepted: Condvar,
    waiting: AtomicUsize,
    wake: OwnedFd,
}

impl Shared {
    pub fn new(state: State) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::new(state), accepted: Condvar::new(), waiting: AtomicUsize::new(0), wake })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two of its methods, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread: something is left over for it, or it shall end.
    pub fn wake(&self) {
        // It can only fail when it is about to wake anyway: the counter is at its maximum.
        rustix::io::write(&self.wake, &1u64.to_ne_bytes()).ok();
    }

    /// Waits for the switch to accept something. The state is held whenever `waiting` is looked at or changed.
    pub fn wait<'a>(&self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let state = self.accepted.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        state
    }

    /// The switch may have accepted something. A wake-up without a waiting thread would cost a system call,
    /// too.
    fn tell_waiting(&self) {
        let state = self.lock();
        let waits = self.waiting.load(Ordering::Relaxed) > 0;
        drop(state);
        if waits {
            self.accepted.notify_all();
        }
    }
}

/// How a connection ended.
enum Ended {
    /// The port is closed, or its receiver is gone.
    Stop,
    Lost(String),
    Refused(String),
    /// Another generation is current.
    Fenced,
}

pub struct Link<D> {
    switch: SocketAddr,
    shared: Arc<Shared>,
    deliver: D,
    scratch: Vec<u8>,
}

impl<D: FnMut(PortEvent) -> bool> Link<D> {
    pub fn new(switch: SocketAddr, shared: Arc<Shared>, deliver: D) -> Self {
        Self { switch, shared, deliver, scratch: vec![0; 64 << 10] }
    }

    pub fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        let mut down_told = false;
        let mut refused = String::new();
        loop {
            let (pause, why) = match self.connect() {
                Err(error) => (backoff, error.to_string()),
                Ok(stream) => match self.serve(&stream, &mut down_told, &mut refused) {
                    Ended::Stop => return,
                    Ended::Fenced => {
                        if self.rest() {
                            return;
                        }
                        continue;
                    }
                    Ended::Lost(why) => (BACKOFF_MIN, why),
                    Ended::Refused(why) => {
                        if why != refused && !(self.deliver)(PortEvent::Refused { why: why.clone() }) {
                            return;
                        }
                        refused.clone_from(&why);
                        down_told = true;
                        (REFUSED_PAUSE, why)
                    }
                },
            };
            self.shared.lock().disconnected();
            backoff = (pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
            if !down_told && !(self.deliver)(PortEvent::Down { why }) {
                return;
            }
            down_told = true;
            if self.sleep(pause) {
                return;
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.switch, CONNECT_PATIENCE)?;
        stream.set_nodelay(true)?;
        make_mortal(&stream, SILENCE_MAX)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Waits; true when the port is closed.
    fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.shared.lock().is_stopping() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut fds = [PollFd::new(&self.shared.wake, PollFlags::IN)];
            self.poll(&mut fds, left);
        }
    }

    /// Waits while we are fenced; true when the port is closed.
    fn rest(&self) -> bool {
        loop {
            {
                let state = self.shared.lock();
                if state.is_stopping() || !state.is_fenced() {
                    return state.is_stopping();
                }
            }
            let mut fds = [PollFd::new(&self.shared.wake, PollFlags::IN)];
            self.poll(&mut fds, PING_EVERY);
        }
    }

    /// Polls, and takes in what woke us.
    fn poll(&self, fds: &mut [PollFd<'_>], patience: Duration) {
        let timeout =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        // Whatever `poll` complains about, the sockets tell better when they are used.
        poll(fds, Some(&timeout)).ok();
        // The last of them is always the wake-up.
        if fds.last().is_some_and(|wake| wake.revents().contains(PollFlags::IN)) {
            let mut count = [0; 8];
            rustix::io::read(&self.shared.wake, &mut count).ok();
        }
    }

    /// Lives with one connection until it ends.
    fn serve(&mut self, stream: &TcpStream, down_told: &mut bool, refused: &mut String) -> Ended {
        let own = match stream.try_clone() {
            Ok(own) => Arc::new(own),
            Err(error) => return Ended::Lost(error.to_string()),
        };
        {
            let mut state = self.shared.lock();
            if state.is_stopping() {
                return Ended::Stop;
            }
            state.connected(own);
            state.flush();
        }
        let mut unframer = Unframer::default();
        let mut pinged = Instant::now();
        let mut heard = pinged;
        loop {
            let mut interest = PollFlags::IN;
            {
                let mut state = self.shared.lock();
                if state.is_stopping() {
                    return Ended::Stop;
                }
                if state.flush() {
                    interest |= PollFlags::OUT;
                }
            }
            let patience = PING_EVERY.saturating_sub(pinged.elapsed());
            let mut fds = [PollFd::new(stream, interest), PollFd::new(&self.shared.wake, PollFlags::IN)];
            self.poll(&mut fds, patience);
            if fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                match self.hear(stream, &mut unframer, down_told, refused) {
                    Ok(()) => heard = Instant::now(),
                    Err(ended) => return ended,
                }
            }
            if pinged.elapsed() >= PING_EVERY {
                pinged = Instant::now();
                let mut state = self.shared.lock();
                if state.pings_open() > 0 && heard.elapsed() >= SILENCE_MAX {
                    return Ended::Lost(format!("nothing received for {} s", SILENCE_MAX.as_secs()));
                }
                state.tell_received();
                state.ping();
            }
        }
    }

    /// Reads once and reports what came.
    fn hear(
        &mut self,
        mut stream: &TcpStream,
        unframer: &mut Unframer,
        down_told: &mut bool,
        refused: &mut String,
    ) -> Result<(), Ended> {
        match stream.read(&mut self.scratch) {
            Ok(0) => return Err(Ended::Lost("the switch closed the connection".into())),
            Ok(n) => unframer.push(&self.scratch[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(Ended::Lost(error.to_string())),
        }
        loop {
            let message = unframer.next_body().and_then(|body| body.map(FromSwitch::decode).transpose());
            let message = message.map_err(|error| Ended::Lost(error.to_string()))?;
            let Some(message) = message else { return Ok(()) };
            let event = match message {
                FromSwitch::Attached { generation, tx_seq_last } => {
                    self.shared.lock().attached(tx_seq_last);
                    *down_told = false;
                    refused.clear();
                    Some(PortEvent::Attached { generation, tx_seq_last })
                }
                FromSwitch::Frame { rx_seq, bytes } => {
                    let new = self.shared.lock().take_frame(rx_seq);
                    new.then_some(PortEvent::Frame { rx_seq, frame: bytes })
                }
                FromSwitch::Pong { tx_seq_last } => {
                    if !self.shared.lock().ponged(tx_seq_last) {
                        let why = format!("it has taken frame {tx_seq_last}, which this guest never sent");
                        return Err(Ended::Lost(why));
                    }
                    None
                }
                FromSwitch::Fenced { current } => {
                    if !self.shared.lock().fence(current) {
                        return Err(Ended::Lost(format!(
                            "generation {current} was the current one until ours"
                        )));
                    }
                    if !(self.deliver)(PortEvent::Fenced { current }) {
                        return Err(Ended::Stop);
                    }
                    return Err(Ended::Fenced);
                }
                FromSwitch::Refused { why } => return Err(Ended::Refused(why)),
                FromSwitch::Status { .. } => None,
            };
            let room = self.shared.lock().take_room().then_some(PortEvent::Room);
            self.shared.tell_waiting();
            for event in event.into_iter().chain(room) {
                if !(self.deliver)(event) {
                    return Err(Ended::Stop);
                }
            }
        }
    }
}
