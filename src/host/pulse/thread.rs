//! The thread: every few milliseconds it takes what arrived, sends a beat, and notes how late it was.
//!
//! It never waits for anything but the time, allocates nothing while it beats, and reads no more than
//! [`READ_BYTES_MAX`] of a connection at a time: it may run in real time, and a hostile peer must not be able
//! to keep it busy.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};

use super::{Mark, Shared, priority};
use crate::ft::beat::{BEAT_BYTES, Beat};
use crate::ft::detector::Pauses;
use crate::ft::settings::BACKUPS_MAX;

/// Far more than beats need.
const READ_BYTES_MAX: usize = 64 * BEAT_BYTES;
/// It looks this often for every beat that it sends.
const LOOKS_A_BEAT: u32 = 2;
/// A look that comes later than this was kept from coming; what is less is the timer's.
const LATE_NS_MIN: u64 = 1_000_000;
/// Connections at a time: those of the peers, and for each one that takes its place.
const CONNECTIONS_MAX: usize = 2 * BACKUPS_MAX;

pub enum Order {
    /// A connection for the beats of `mark`'s peer. The side that dialled sends beats once it has received
    /// one: its introduction must be read by itself. `gone` is dropped with the connection.
    Carry {
        mark: Arc<Mark>,
        stream: TcpStream,
        speaks: bool,
        gone: Option<SyncSender<()>>,
    },
    /// Something is given up.
    Look,
    End,
}

struct Connection {
    mark: Arc<Mark>,
    stream: TcpStream,
    speaks: bool,
    /// What has come of the next beat.
    came: [u8; BEAT_BYTES],
    came_bytes: usize,
    /// The unsent rest of the last beat.
    out: [u8; BEAT_BYTES],
    out_sent: usize,
    heard_ns: u64,
    /// Since then, how long the beats were not looked at although they were due.
    absent_ns: u64,
    said_ns: u64,
    /// Held for a thread that waits for the end.
    _gone: Option<SyncSender<()>>,
}

pub struct Beating {
    shared: Arc<Shared>,
    heartbeat_ns: u64,
    look_ns: u64,
    pauses: Pauses,
    connections: Vec<Connection>,
    /// The orders could not be looked at: they are, next time.
    missed: bool,
    scratch: [u8; READ_BYTES_MAX],
}

impl Beating {
    pub fn new(shared: Arc<Shared>, heartbeat: Duration) -> Self {
        let look_ns = (heartbeat / LOOKS_A_BEAT).max(Duration::from_millis(1)).as_nanos() as u64;
        Self {
            shared,
            heartbeat_ns: heartbeat.as_nanos() as u64,
            look_ns,
            pauses: Pauses::default(),
            connections: Vec::with_capacity(CONNECTIONS_MAX),
            missed: false,
            scratch: [0; READ_BYTES_MAX],
        }
    }

    fn live(mut self) {
        loop {
            let planned_ns = self.shared.now_ns() + self.look_ns;
            self.rest();
            let now_ns = self.shared.now_ns();
            let late_ns = now_ns.saturating_sub(planned_ns);
            if !self.connections.is_empty() && late_ns >= LATE_NS_MIN {
                self.pauses.note(late_ns, now_ns);
                self.connections.iter_mut().for_each(|c| c.absent_ns += late_ns);
            }
            if !self.obey(now_ns) {
                return;
            }
            self.beat(now_ns);
        }
    }

    /// Until the next look, or until there are orders; without connections there is nothing to look at.
    fn rest(&self) {
        let look = Timespec { tv_sec: 0, tv_nsec: self.look_ns.min(999_999_999) as i64 };
        let timeout = (self.missed || !self.connections.is_empty()).then_some(&look);
        let mut fds = [PollFd::new(&self.shared.wake, PollFlags::IN)];
        // A wait that was interrupted is only a shorter one.
        if poll(&mut fds, timeout).is_ok_and(|ready| ready > 0) {
            let mut count = [0; 8];
            rustix::io::read(&self.shared.wake, &mut count).ok();
        }
    }

    /// Takes the orders that are there; false when it is to end.
    fn obey(&mut self, now_ns: u64) -> bool {
        let orders = match self.shared.orders.try_lock() {
            Ok(mut orders) => std::mem::take(&mut *orders),
            Err(TryLockError::Poisoned(poisoned)) => std::mem::take(&mut *poisoned.into_inner()),
            // The holder may be waiting for the very processor that this thread is on.
            Err(TryLockError::WouldBlock) => {
                self.missed = true;
                return true;
            }
        };
        self.missed = false;
        self.connections.retain(|connection| !connection.mark.given_up.load(Ordering::Relaxed));
        for order in orders {
            match order {
                Order::Carry { mark, stream, speaks, gone } => {
                    self.connections.retain(|other| !Arc::ptr_eq(&other.mark, &mark));
                    let usable = stream.set_nonblocking(true).is_ok();
                    if usable
                        && self.connections.len() < CONNECTIONS_MAX
                        && !mark.given_up.load(Ordering::Relaxed)
                    {
                        self.connections.push(Connection::new(mark, stream, speaks, gone, now_ns));
                    }
                }
                Order::Look => {}
                Order::End => return false,
            }
        }
        true
    }

    fn beat(&mut self, now_ns: u64) {
        let pause_ns = self.pauses.longest_ns(now_ns);
        let stalled_ns = now_ns.saturating_sub(self.shared.moved_ns.load(Ordering::Relaxed));
        let beat = Beat { stalled_ns, pause_ns };
        let (scratch, heartbeat_ns) = (&mut self.scratch, self.heartbeat_ns);
        self.connections.retain_mut(|connection| {
            let lives =
                connection.hear(scratch, now_ns).and_then(|()| connection.say(beat, heartbeat_ns, now_ns));
            if lives.is_ok() {
                connection.tell(pause_ns, now_ns);
            } else {
                connection.mark.open.store(false, Ordering::Release);
            }
            lives.is_ok()
        });
    }
}

impl Connection {
    fn new(
        mark: Arc<Mark>,
        stream: TcpStream,
        speaks: bool,
        gone: Option<SyncSender<()>>,
        now_ns: u64,
    ) -> Self {
        Self {
            mark,
            stream,
            speaks,
            came: [0; BEAT_BYTES],
            came_bytes: 0,
            out: [0; BEAT_BYTES],
            out_sent: BEAT_BYTES,
            heard_ns: now_ns,
            absent_ns: 0,
            said_ns: 0,
            _gone: gone,
        }
    }

    /// Takes what has come.
    fn hear(&mut self, scratch: &mut [u8], now_ns: u64) -> io::Result<()> {
        let mut bytes = match (&self.stream).read(scratch) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => &scratch[..n],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        while !bytes.is_empty() {
            let n = bytes.len().min(BEAT_BYTES - self.came_bytes);
            let (now, rest) = bytes.split_at(n);
            self.came[self.came_bytes..self.came_bytes + n].copy_from_slice(now);
            self.came_bytes += n;
            bytes = rest;
            if self.came_bytes < BEAT_BYTES {
                continue;
            }
            self.came_bytes = 0;
            let beat = Beat::decode(&self.came).ok_or(ErrorKind::InvalidData)?;
            self.speaks = true;
            (self.heard_ns, self.absent_ns) = (now_ns, 0);
            self.mark.stalled_ns.store(beat.stalled_ns, Ordering::Relaxed);
            self.mark.pause_peer_ns.store(beat.pause_ns, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Says that we are here, when that is due. A peer that takes nothing gets nothing more.
    fn say(&mut self, beat: Beat, heartbeat_ns: u64, now_ns: u64) -> io::Result<()> {
        if !self.speaks {
            return Ok(());
        }
        if self.out_sent == BEAT_BYTES {
            if now_ns.saturating_sub(self.said_ns) < heartbeat_ns {
                return Ok(());
            }
            self.said_ns = now_ns;
            self.out = beat.encode();
            self.out_sent = 0;
        }
        match send(&self.stream, &self.out[self.out_sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => self.out_sent += n,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Publishes what is known.
    fn tell(&self, pause_own_ns: u64, now_ns: u64) {
        let silent_ns = now_ns.saturating_sub(self.heard_ns).saturating_sub(self.absent_ns);
        self.mark.silent_ns.store(silent_ns, Ordering::Relaxed);
        self.mark.looked_ns.store(now_ns, Ordering::Relaxed);
        self.mark.pause_own_ns.store(pause_own_ns, Ordering::Relaxed);
        if self.speaks {
            self.mark.open.store(true, Ordering::Release);
        }
    }
}

/// Starts the thread; how it runs.
pub fn start(beating: Beating) -> io::Result<String> {
    let (tell, told) = sync_channel(1);
    std::thread::Builder::new().name("pulse".into()).spawn(move || {
        // The wait is no longer than for the thread to begin.
        tell.send(priority::raise()).ok();
        beating.live();
    })?;
    told.recv().map_err(io::Error::other)
}
