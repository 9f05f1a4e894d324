//! Signs of life: beats to each peer and from it, by a thread that does nothing else.
//!
//! The node's thread runs a guest and may wait for a processor for a good part of a second on a busy host. So
//! beats have a thread of their own, with real-time priority where the host permits it ([`priority`]), and a
//! connection of their own, past which no log and no state transfer can get into their way. The thread notes when
//! beats come and how long it was itself kept from looking; [`crate::ft::detector`] judges.
//!
//! A beat carries how long the sender's node has not moved: a thread that beats beside a hung node hides nothing.
//!
//! ```text
//! primary                                         backup
//!   Pulse{token}   -- on the link of messages -->          the token is drawn for this link
//!                  <-- a new connection ---------  Pulse{token}, where the link was dialled to
//!   beat, beat ... ----------------------------->
//!                  <-----------------------------  beat, beat ...   from the first one heard on
//! ```
//!
//! A connection that breaks is dialled again. A process that does not know the token is not taken for the
//! peer. Incoming bytes are read in turns, and few at a time: a peer that floods counts as alive.

mod priority;
mod thread;

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::link::dial;
use super::os::draw_u64;
use crate::ft::detector::Beats;
use crate::ft::{LinkId, Message};
use thread::{Beating, Order};

/// A connection that broke, or was never made, is dialled again after this long.
const DIAL_AGAIN: Duration = Duration::from_millis(200);

/// What the thread has found out about one peer. Each field is whole by itself, and a mixture of two moments is
/// no worse than either.
#[derive(Default)]
struct Mark {
    /// Beats have come, and their connection is open.
    open: AtomicBool,
    /// The result is no longer wanted.
    given_up: AtomicBool,
    silent_ns: AtomicU64,
    looked_ns: AtomicU64,
    pause_own_ns: AtomicU64,
    pause_peer_ns: AtomicU64,
    stalled_ns: AtomicU64,
}

/// What the node's thread and the beating one hold.
struct Shared {
    started: Instant,
    /// When the node last moved.
    moved_ns: AtomicU64,
    /// The heartbeat thread never waits for this: it takes what is there when the lock is free.
    orders: Mutex<Vec<Order>>,
    wake: OwnedFd,
    /// The connections that are expected, by their tokens.
    expected: Mutex<Vec<Expected>>,
}

struct Expected {
    token: u64,
    mark: Arc<Mark>,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // It can only fail when it is about to wake anyway: the counter is at its maximum.
        rustix::io::write(&self.wake, &1u64.to_ne_bytes()).ok();
    }
}

/// Hands accepted connections to the pulse they are meant for.
#[derive(Clone)]
pub struct Adopter(Arc<Shared>);

impl Adopter {
    /// Takes a connection that began with `token`, if that is expected.
    pub fn adopt(&self, token: u64, stream: TcpStream) {
        let expected = self.0.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = expected.iter().find(|expected| expected.token == token).map(|e| Arc::clone(&e.mark));
        drop(expected);
        if let Some(mark) = mark {
            self.0.order(Order::Carry { mark, stream, speaks: true, gone: None });
        }
    }
}

struct Watched {
    link: LinkId,
    mark: Arc<Mark>,
}

/// The node's end.
pub struct Pulse {
    shared: Arc<Shared>,
    heartbeat: Duration,
    watched: Vec<Watched>,
    /// How the thread runs, once there is one.
    runs: Option<String>,
}

impl Pulse {
    /// Beats every `heartbeat`, in a time that began at `started`.
    pub fn new(started: Instant, heartbeat: Duration) -> io::Result<Self> {
        let shared = Shared {
            started,
            moved_ns: AtomicU64::new(0),
            orders: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            expected: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), heartbeat, watched: Vec::new(), runs: None })
    }

    pub fn adopter(&self) -> Adopter {
        Adopter(Arc::clone(&self.shared))
    }

    /// The node is at work, or has none.
    pub fn moved(&self, now_ns: u64) {
        self.shared.moved_ns.store(now_ns, Ordering::Relaxed);
    }

    /// The peer at `link` is to beat over a connection that begins with the token which this returns.
    pub fn expect(&mut self, link: LinkId) -> io::Result<u64> {
        let mark = self.watch(link)?;
        let token = draw_u64();
        let expected = Expected { token, mark };
        self.shared.expected.lock().unwrap_or_else(PoisonError::into_inner).push(expected);
        Ok(token)
    }

    /// Beats to the peer at `link` over a connection to where that leads.
    pub fn dial(&mut self, link: LinkId, to: String, token: u64) -> io::Result<()> {
        let mark = self.watch(link)?;
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("pulse-dial".into()).spawn(move || {
            while !mark.given_up.load(Ordering::Relaxed) {
                // Whether it works is seen by the beats.
                if let Ok(stream) = open(&to, token) {
                    let (gone, is_gone) = sync_channel(0);
                    let mark = Arc::clone(&mark);
                    shared.order(Order::Carry { mark, stream, speaks: false, gone: Some(gone) });
                    while is_gone.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {}
                }
                std::thread::sleep(DIAL_AGAIN);
            }
        })?;
        Ok(())
    }

    fn watch(&mut self, link: LinkId) -> io::Result<Arc<Mark>> {
        self.forget(link);
        if self.runs.is_none() {
            self.runs = Some(thread::start(Beating::new(Arc::clone(&self.shared), self.heartbeat))?);
        }
        let mark = Arc::<Mark>::default();
        self.watched.push(Watched { link, mark: Arc::clone(&mark) });
        Ok(mark)
    }

    /// The node at `link` is no peer any more.
    pub fn forget(&mut self, link: LinkId) {
        self.retain(|watched| watched != link);
    }

    /// Of the peers only those at links that `is_one` names are peers any more.
    pub fn retain(&mut self, is_one: impl Fn(LinkId) -> bool) {
        let mut gone = Vec::new();
        self.watched.retain(|watched| {
            let stays = is_one(watched.link);
            if !stays {
                watched.mark.given_up.store(true, Ordering::Relaxed);
                gone.push(Arc::clone(&watched.mark));
            }
            stays
        });
        if !gone.is_empty() {
            let mut expected = self.shared.expected.lock().unwrap_or_else(PoisonError::into_inner);
            expected.retain(|expected| !gone.iter().any(|mark| Arc::ptr_eq(mark, &expected.mark)));
            drop(expected);
            self.shared.order(Order::Look);
        }
    }

    /// Whether beats of the peer at `link` arrive or are awaited.
    pub fn watches(&self, link: LinkId) -> bool {
        self.watched.iter().any(|watched| watched.link == link)
    }

    /// What is known of the peer at `link`; none while its beats do not come.
    pub fn beats(&self, link: LinkId) -> Option<Beats> {
        let mark = &self.watched.iter().find(|watched| watched.link == link)?.mark;
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        mark.open.load(Ordering::Acquire).then(|| Beats {
            silent_ns: get(&mark.silent_ns),
            looked_ns: get(&mark.looked_ns),
            pause_own_ns: get(&mark.pause_own_ns),
            pause_peer_ns: get(&mark.pause_peer_ns),
            stalled_ns: get(&mark.stalled_ns),
        })
    }

    /// How the thread runs; none while there is no need for it.
    pub fn runs(&self) -> Option<&str> {
        self.runs.as_deref()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.retain(|_| false);
        if self.runs.is_some() {
            self.shared.order(Order::End);
        }
    }
}

fn open(to: &str, token: u64) -> io::Result<TcpStream> {
    let mut stream = dial(to)?;
    let mut bytes = Vec::new();
    Message::Pulse { token }.encode(&mut bytes);
    io::Write::write_all(&mut stream, &bytes)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
