//! The port's thread: connects, keeps the connection alive, and connects again.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::PortEvent;
use super::state::State;
use crate::host::mortal::make_mortal;
use crate::host::os::look;
use crate::net::endpoint::Ended;

/// Bytes taken from the socket at once.
const READ_BYTES: usize = 64 << 10;
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
    /// What one read brings. The reader locks it, before the state.
    scratch: Mutex<Box<[u8]>>,
    wake: OwnedFd,
}

impl Shared {
    pub fn new(state: State) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let scratch = Mutex::new(vec![0; READ_BYTES].into_boxed_slice());
        Ok(Self { state: Mutex::new(state), scratch, wake })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two of its methods, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread: something is left over for it, the connection has ended, or it shall end.
    pub fn wake(&self) {
        // It can only fail when it is about to wake anyway: the counter is at its maximum.
        rustix::io::write(&self.wake, &1u64.to_ne_bytes()).ok();
    }

    /// Reads once, and puts what came behind `events`; false when the connection has ended.
    pub fn receive(&self, events: &mut Vec<PortEvent>) -> bool {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        if !state.endpoint.is_connected() {
            // The port's thread has ended it already.
            return false;
        }
        let Err(how) = state.read(&mut scratch, events) else { return true };
        state.close(how);
        drop(state);
        self.wake();
        false
    }
}

/// How the thread's time with a connection ended.
enum Over {
    /// The port is closed, or the receiver of events is gone.
    Stop,
    Ended(Ended),
}

pub struct Link<D> {
    switch: SocketAddr,
    shared: Arc<Shared>,
    deliver: D,
}

impl<D: FnMut(PortEvent) -> bool> Link<D> {
    pub fn new(switch: SocketAddr, shared: Arc<Shared>, deliver: D) -> Self {
        Self { switch, shared, deliver }
    }

    pub fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let (pause, why) = match self.connect() {
                Err(error) => (backoff, error.to_string()),
                Ok(stream) => match self.serve(stream) {
                    Over::Stop => return,
                    Over::Ended(Ended::Fenced) => {
                        if self.rest() {
                            return;
                        }
                        continue;
                    }
                    Over::Ended(Ended::Lost(why)) => (BACKOFF_MIN, why),
                    Over::Ended(Ended::Refused(why)) => {
                        let news = self.shared.lock().tell_refused(&why);
                        if news && !(self.deliver)(PortEvent::Refused { why: why.clone() }) {
                            return;
                        }
                        (REFUSED_PAUSE, why)
                    }
                },
            };
            backoff = (pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
            let news = self.shared.lock().tell_down();
            if news && !(self.deliver)(PortEvent::Down { why }) {
                return;
            }
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
                if state.is_stopping() || !state.endpoint.is_fenced() {
                    return state.is_stopping();
                }
            }
            let mut fds = [PollFd::new(&self.shared.wake, PollFlags::IN)];
            self.poll(&mut fds, PING_EVERY);
        }
    }

    /// Polls, and takes in what woke us.
    fn poll(&self, fds: &mut [PollFd<'_>], patience: Duration) {
        look(fds, patience);
        // The last of them is always the wake-up.
        if fds.last().is_some_and(|wake| wake.revents().contains(PollFlags::IN)) {
            let mut count = [0; 8];
            rustix::io::read(&self.shared.wake, &mut count).ok();
        }
    }

    /// Has one connection until it ends. The node reads from it.
    fn serve(&mut self, stream: TcpStream) -> Over {
        let stream = Arc::new(stream);
        let n = {
            let mut state = self.shared.lock();
            if state.is_stopping() {
                return Over::Stop;
            }
            state.open(stream.clone());
            state.flush();
            state.endpoint.counts().connections
        };
        if !(self.deliver)(PortEvent::Connected { n }) {
            return Over::Stop;
        }
        let mut pinged = Instant::now();
        loop {
            let left_over = {
                let mut state = self.shared.lock();
                if state.is_stopping() {
                    return Over::Stop;
                }
                if let Some(how) = state.take_ended() {
                    return Over::Ended(how);
                }
                state.flush()
            };
            let patience = PING_EVERY.saturating_sub(pinged.elapsed());
            let wake = PollFd::new(&self.shared.wake, PollFlags::IN);
            if left_over {
                self.poll(&mut [PollFd::new(&stream, PollFlags::OUT), wake], patience);
            } else {
                self.poll(&mut [wake], patience);
            }
            if pinged.elapsed() >= PING_EVERY {
                pinged = Instant::now();
                let mut state = self.shared.lock();
                if state.endpoint.pings_open() > 0 && state.silence() >= SILENCE_MAX {
                    state.close(Ended::Lost(format!("nothing heard for {} s", SILENCE_MAX.as_secs())));
                    continue;
                }
                state.endpoint.tell_received();
                state.endpoint.ping();
            }
        }
    }
}
