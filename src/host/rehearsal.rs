//! A fork of a backup's machine, made and tried on a thread of its own.
//!
//! ```text
//! head, pieces --> second machine, its digest checked --> live in ft's sandbox --> report
//! ```
//!
//! Promises: the node's thread waits for none of it; the thread yields the processor to everything else, and ends at once
//! when its fork is not wanted any more; nothing that the guest says leaves it.
//! *Absent:* when to fork, and what the outcome means (`ft`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use procfs::{Current, Meminfo};
use rustix::process::setpriority_process;

use super::disk::KeptDisks;
use super::os::{fill_entropy, wall_clock_ns};
use crate::devices::disk::SECTOR_BYTES;
use crate::ft::disk::REHEARSAL_SECTORS_MAX;
use crate::ft::{GuestClock, LinkId, Pace, Rehearsed, Sandbox, Settings, World};
use crate::machine::{Arriving, Machine, Piece, Saved, SavedHead};
use crate::net::ether::Mac;
use crate::net::gateway::arp_of_guest;

/// Pieces that wait for the second machine before no more are drawn.
const PIECES_WAITING_MAX: usize = 32;
/// The least of all priorities.
const NICE: i32 = 19;
/// How often a thread that has nothing to do looks whether it is wanted.
const LOOK: Duration = Duration::from_millis(2);
/// Memory that the host keeps besides.
const MEMORY_LEFT_BYTES: u64 = 64 << 20;

enum Part {
    Piece(Piece),
    /// That was all: the guest is live for so long.
    Live {
        clock: GuestClock,
        seconds: u32,
    },
}

/// A fork on its way; dropped, it is not wanted any more.
pub struct Rehearsal {
    parts: Sender<Part>,
    /// How many pieces wait.
    waiting: Arc<AtomicUsize>,
    is_wanted: Arc<AtomicBool>,
}

impl Rehearsal {
    /// Begins to make a machine of the state that begins with `head`. `report` is told what came of it, unless that is not
    /// wanted any more; `started` is the clock that the node lives by.
    pub fn begin(
        head: SavedHead,
        started: Instant,
        disks: KeptDisks,
        report: impl FnOnce(Result<Rehearsed, String>) + Send + 'static,
    ) -> io::Result<Self> {
        let (parts, coming) = channel();
        let (waiting, is_wanted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let mut stage = Stage {
            outside: Outside { started },
            coming,
            waiting: waiting.clone(),
            is_wanted: is_wanted.clone(),
            disks,
        };
        Builder::new().name("rehearsal".into()).spawn(move || {
            // For Linux, process 0 is the calling thread. Where it is not permitted, the thread is like the others.
            setpriority_process(None, NICE).ok();
            // Whoever asked is told, also if this thread has a bug.
            let outcome = catch_unwind(AssertUnwindSafe(|| stage.rehearse(head)));
            let outcome = outcome.unwrap_or_else(|_| Err("the thread of the rehearsal failed".into()));
            if let Some(outcome) = outcome.transpose() {
                report(outcome);
            }
        })?;
        Ok(Self { parts, waiting, is_wanted })
    }

    /// Whether another piece had better be drawn.
    pub fn takes_piece(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < PIECES_WAITING_MAX
    }

    /// The next piece of the state.
    pub fn piece(&self, piece: Piece) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A thread that is gone has reported why.
        self.parts.send(Part::Piece(piece)).ok();
    }

    /// That was all of it: the guest goes live, for so many seconds.
    pub fn go_live(&self, clock: GuestClock, seconds: u32) {
        self.parts.send(Part::Live { clock, seconds }).ok();
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

/// What the second guest is answered; nothing else of this host is to be seen from there.
struct Outside {
    started: Instant,
}

impl World for Outside {
    fn now_ns(&mut self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        fill_entropy(bytes);
    }

    fn host_id(&mut self) -> u64 {
        rustix::thread::sched_getcpu() as u64
    }

    fn wall_clock_ns(&mut self) -> u64 {
        wall_clock_ns()
    }

    fn outbox_bytes(&mut self, _: LinkId) -> usize {
        0
    }

    fn outputs_blocked(&mut self) -> bool {
        false
    }

    fn console_pending(&mut self) -> u64 {
        0
    }
}

/// The thread.
struct Stage {
    outside: Outside,
    coming: Receiver<Part>,
    waiting: Arc<AtomicUsize>,
    is_wanted: Arc<AtomicBool>,
    disks: KeptDisks,
}

impl Stage {
    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Makes the machine and tries it; none when that is not wanted any more.
    fn rehearse(&mut self, head: SavedHead) -> Result<Option<Rehearsed>, String> {
        check_memory(&head)?;
        let SavedHead { config, icount, digest, state, .. } = head;
        let mac = Mac(config.mac);
        let mut arriving = Arriving::new(config.ram_bytes).map_err(|error| error.to_string())?;
        let (clock, seconds) = loop {
            let Ok(part) = self.coming.recv() else { return Ok(None) };
            match part {
                Part::Live { clock, seconds } => break (clock, seconds),
                _ if !self.is_wanted() => return Ok(None),
                Part::Piece(piece) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    match piece {
                        Piece::Boot(bytes) => arriving.boot(&bytes),
                        Piece::Pages(pages) => {
                            let pages: Vec<_> =
                                pages.iter().map(|(page, bytes)| (page, bytes.into())).collect();
                            arriving.load(&pages).map_err(|error| error.to_string())?;
                        }
                    }
                }
            }
        };
        let saved = Saved { config, icount, digest, state, boot: Vec::new(), pages: Vec::new() };
        let machine =
            arriving.complete(saved).map_err(|error| format!("what was forked is no machine: {error}"))?;
        self.try_out(machine, mac, clock, seconds)
    }

    fn try_out(
        &mut self,
        machine: Machine,
        mac: Mac,
        clock: GuestClock,
        seconds: u32,
    ) -> Result<Option<Rehearsed>, String> {
        let (question, answer) = arp_of_guest(mac);
        let mut sandbox = Sandbox::new(machine, clock, Settings::default(), &mut self.outside);
        let live_ns = self.outside.now_ns();
        let until_ns = live_ns.saturating_add(u64::from(seconds) * 1_000_000_000);
        loop {
            let now_ns = self.outside.now_ns();
            if !self.is_wanted() {
                return Ok(None);
            }
            if now_ns >= until_ns || sandbox.is_over() {
                return Ok(Some(Rehearsed { live_ns, tried: sandbox.tried(now_ns)? }));
            }
            sandbox.ask(&question, &answer);
            let disks = &self.disks;
            let mut read = |disk, sector, bytes| disks.read(disk, sector, bytes);
            if let Pace::At(at_ns) = sandbox.run(&mut self.outside, &mut read) {
                let rest_ns = at_ns.min(until_ns).saturating_sub(self.outside.now_ns());
                sleep(Duration::from_nanos(rest_ns).min(LOOK));
            }
        }
    }
}

/// A second machine must not have the host end the first one.
fn check_memory(head: &SavedHead) -> Result<(), String> {
    // It may write all of its memory, and the host keeps what is written to disks, in the sandbox and outside.
    let overlays = match head.config.disks.len() as u64 {
        0 => 0,
        disks => (1 + disks) * REHEARSAL_SECTORS_MAX as u64 * SECTOR_BYTES,
    };
    let needs = head.config.ram_bytes + head.boot_bytes + overlays;
    let Some(has) = Meminfo::current().ok().and_then(|info| info.mem_available) else { return Ok(()) };
    if needs.saturating_add(MEMORY_LEFT_BYTES) <= has {
        return Ok(());
    }
    let (needs, has, left) = (needs >> 20, has >> 20, MEMORY_LEFT_BYTES >> 20);
    Err(format!(
        "this host has {has} MiB of memory to spare; a second machine takes {needs} MiB, and {left} MiB are to be left"
    ))
}

#[cfg(test)]
#[path = "rehearsal_tests.rs"]
mod tests;
