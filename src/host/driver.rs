//! One node in the real world: events come in through one queue, commands are carried out in order.
//!
//! This thread alone owns the node, runs its guest a slice at a time in between, reads from the node's peers and
//! its switch, and writes, all without waiting. Threads wait for the rest (terminals, tools, arbiter, disks) and
//! put it into one bounded queue. Nothing here decides anything: that is [`crate::ft`]'s.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use thiserror::Error;

use super::console::{self, ConsoleIn, ConsoleOut};
use super::disk::identity::State;
use super::disk::worker::Answer;
use super::disk::{Disks, Rack};
use super::evidence::EvidenceWriter;
use super::keys::{HELP, Key};
use super::link::{self, LinkEvent, LinkNumbers, Links, Reception, Sink};
use super::logdir::{BackgroundWriter, Ended, LogError, LogWriter};
use super::mailbox::{Inbox, Mailbox, mailbox};
use super::node_store::{NodeStore, Report, StorePlace};
use super::os::{fill_entropy, look, wall_clock_ns, wall_clock_text};
use super::port::{Port, PortEvent, SendRefused};
use super::pulse::Pulse;
use super::recording::NodeRecording;
use super::rehearsal::Rehearsal;
use super::say::{self, say};
use super::store::StoreEvent;
use super::terminal;
use crate::base::{Generation, NodeId, Seq};
use crate::ft::Pace;
use crate::ft::arbiter::{Arbiter, ArbiterError};
use crate::ft::detector::Signs;
use crate::ft::{
    Bid, Claim, Command, Event, Evidence, Halt, LinkId, Message, Node, Plug, Recording, StoreState,
    SwitchState, World,
};
use crate::log::Lineage;
use crate::machine::{Output, SavedHead};
use crate::net::{Attach, ether::Mac};
use crate::replay::Divergence;
use crate::snapshot;

/// Events that wait for the node; the threads that bring more wait too.
const EVENTS_WAITING_MAX: usize = 1024;
/// Bytes in messages that wait for the node; a reading thread that brings more waits, too.
const MESSAGE_BYTES_WAITING_MAX: usize = 64 << 20;
/// Events taken before the guest gets its next slice.
const EVENTS_A_TURN: usize = 128;
/// A node whose guest does not rest looks at its sockets this often: a look costs a system call, and a slice of the
/// guest takes some 30 us (a kernel's code: up to 150).
const LOOK_NS: u64 = 60_000;
/// The same while an output waits for the backup's acknowledgement, which takes about as long as this to come. More
/// often costs a busy primary a tenth of its time.
const LOOK_HELD_NS: u64 = 40_000;
/// An unsent rest is tried again this soon.
const RETRY: Duration = Duration::from_micros(500);
/// How often the arbiter is asked whether it still knows what it decided.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an ending node waits for its last messages to leave.
const LINGER: Duration = Duration::from_secs(1);
/// How long an ending node waits for its disks to be synced.
const DISK_LINGER: Duration = Duration::from_secs(30);
/// How long a node that has lost its role waits for its disks before it joins another primary.
const DISK_LEAVE: Duration = Duration::from_secs(3600);
/// Frames of its own store that a node is given before it works again.
const STORED_A_TURN: usize = 64;
/// How often a node is told what its store holds.
const STORE_TOLD_EVERY: Duration = Duration::from_millis(500);
/// Recordings of one process, side by side.
const RECORDINGS_MAX: u32 = 10_000;

/// What a node is connected to.
#[derive(Default)]
pub struct Wiring {
    /// Joiners and tools connect here.
    pub listener: Option<TcpListener>,
    /// The switch to plug the guest into.
    pub switch: Option<SocketAddr>,
    pub arbiter: Option<Box<dyn Arbiter>>,
    /// Where this node runs, for its claims.
    pub wherefrom: String,
    /// Record into this directory.
    pub record: Option<PathBuf>,
    /// A recording that fails ends the node, and not only itself.
    pub record_fatal: bool,
    /// The recording ends before its directory would hold more bytes.
    pub record_max: Option<u64>,
    /// What leaves the guest waits until the recording has all that led to it.
    pub record_first: bool,
    /// Keep the log and checkpoints here.
    pub store: Option<StorePlace>,
    /// What is left of a divergence is kept here; otherwise beside the recording, or in the store's directory.
    pub evidence: Option<PathBuf>,
    pub disks: Disks,
    /// Where the guest's console input comes from.
    pub console: ConsoleIn,
    /// Standard output has no reader any more: the guest ends.
    pub ends_with_console: bool,
    /// Whether messages go to standard error.
    pub narrates: bool,
}

/// The world failed in a way that the node must not survive.
#[derive(Debug, Error)]
pub enum DriverError {
    #[error("the recording failed: {0}")]
    Record(#[from] LogError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

enum HostEvent {
    Node(Event),
    Link(LinkEvent),
    /// Of the `n`-th plug of this process.
    Port(u64, PortEvent),
    /// Of the disks of the `n`-th role of this process.
    Disk(u64, Answer),
    /// The arbiter's answer to a claim of this node.
    Claimed {
        node: NodeId,
        generation: Generation,
        outcome: Result<Claim, ArbiterError>,
    },
    Dialed {
        address: String,
        outcome: std::io::Result<TcpStream>,
    },
    /// Standard output is closed.
    ConsoleGone,
    /// The recording has what was waited for, or has ended.
    Recorded,
    /// Of the `n`-th store of this process.
    Store(u64, Report),
    /// The operator asks at the terminal how the node is.
    AskStatus,
}

enum ArbiterJob {
    Claim(Bid),
    End(Generation, NodeId),
}

/// The connections and clocks of this process, as a node sees them.
struct Here<'a> {
    started: Instant,
    links: &'a Links,
    pulse: &'a Pulse,
    console: &'a ConsoleOut,
    recording: &'a NodeRecording,
    store: &'a NodeStore,
    rehearsal: Option<&'a Rehearsal>,
    port: Option<&'a Port>,
    /// Frames that the port would not take.
    refused: usize,
}

impl World for Here<'_> {
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

    fn outbox_bytes(&mut self, link: LinkId) -> usize {
        self.links.outbox_bytes(link)
    }

    fn outputs_blocked(&mut self) -> bool {
        self.console.is_full() || self.refused > 0 || self.recording.is_full() || self.store.is_full()
    }

    fn console_pending(&mut self) -> u64 {
        self.console.pending()
    }

    fn checkpoint_takes(&mut self) -> bool {
        self.store.takes_piece()
    }

    fn rehearsal_takes(&mut self) -> bool {
        self.rehearsal.is_none_or(Rehearsal::takes_piece)
    }

    fn net_accepted(&mut self) -> u64 {
        self.port.map_or(u64::MAX, Port::accepted)
    }

    fn signs(&mut self, link: LinkId) -> Option<Signs> {
        let link_ns = self.links.arrived_ns(link)?;
        Some(Signs { link_ns, beats: self.pulse.beats(link) })
    }
}

/// The generation under which a guest attaches to the switch. One outside fault tolerance has none: the wall
/// clock makes a later run the newer one.
fn served(generation: Generation) -> Generation {
    if generation != Generation::ZERO {
        return generation;
    }
    Generation(wall_clock_ns() / 1_000_000)
}

/// Text that may be a peer's, safe for a terminal: one line, without control characters, of bounded length.
pub fn plain(text: &str) -> String {
    const CHARS_MAX: usize = 2000;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A node's life, when it is over.
pub struct Lived {
    pub halt: Halt,
    pub node: Node,
    /// Standard output took all that the node has released.
    pub console_shown: bool,
    /// Where its last role was recorded.
    pub record: Option<PathBuf>,
}

/// The queue into a node, and what is connected to it, before the node itself exists.
pub struct Driver {
    started: Instant,
    events: Mailbox<HostEvent>,
    queue: Inbox<HostEvent>,
    /// Bytes in the messages in `queue`.
    message_bytes: Arc<AtomicUsize>,
    links: Links,
    numbers: LinkNumbers,
    wiring: Wiring,
}

impl Driver {
    pub fn new(wiring: Wiring) -> std::io::Result<Self> {
        let (events, queue) = mailbox(EVENTS_WAITING_MAX)?;
        let started = Instant::now();
        Ok(Self {
            started,
            events,
            queue,
            message_bytes: Arc::default(),
            links: Links::new(started),
            numbers: Arc::new(AtomicU64::new(1)),
            wiring,
        })
    }

    /// The clock that the node is to live by.
    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn sink(&self) -> Sink {
        let (events, waiting) = (self.events.clone(), self.message_bytes.clone());
        Arc::new(move |event| {
            if let LinkEvent::Message { message, .. } = &event {
                while waiting.load(Ordering::Relaxed) > MESSAGE_BYTES_WAITING_MAX {
                    std::thread::sleep(RETRY);
                }
                waiting.fetch_add(message.payload_bytes(), Ordering::Relaxed);
            }
            events.send(HostEvent::Link(event)).is_ok()
        })
    }

    /// A function that asks the node to end, for signal handlers.
    pub fn quitter(&self) -> impl Fn() + Send + 'static {
        let events = self.events.clone();
        move || match events.try_send(HostEvent::Node(Event::Quit)) {
            // A full queue means a busy node: the tool will ask again.
            Ok(()) | Err(_) => {}
        }
    }

    /// True when the terminal that we were started from is the guest's.
    pub fn has_terminal(&self) -> bool {
        matches!(self.wiring.console, ConsoleIn::Terminal(_))
    }

    /// A function for when the terminal that was the guest's console is gone. Alone, the guest has lost its
    /// only user and ends; a node of a pair goes on for its other users.
    fn terminal_is_gone(&self) -> impl FnOnce() + Send + 'static {
        let (quit, goes_on) = (self.quitter(), self.wiring.arbiter.is_some());
        move || {
            if goes_on {
                say!("lockstep: the terminal is gone; the guest goes on, see `lockstep attach`");
            } else {
                say!("lockstep: the terminal is gone: the guest is ended");
                quit();
            }
        }
    }

    /// A function that gives the guest its window's size, for signal handlers.
    pub fn resizer(&self) -> impl Fn() + Send + 'static {
        let events = self.events.clone();
        move || {
            if let Some((cols, rows)) = terminal::size() {
                match events.send(HostEvent::Node(Event::ConsoleSize { cols, rows })) {
                    // The node is gone.
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    /// Starts to read the guest's console input.
    fn open_console(&self) -> std::io::Result<()> {
        let events = self.events.clone();
        match &self.wiring.console {
            ConsoleIn::Off => Ok(()),
            ConsoleIn::Stream => console::read_stdin(
                move |bytes| events.send(HostEvent::Node(Event::ConsoleInput(bytes))).is_ok(),
                || (),
            ),
            ConsoleIn::Terminal(_) => {
                say!("lockstep: this terminal is the guest's console; {HELP}");
                // An empty queue has room.
                self.resizer()();
                let gone = self.terminal_is_gone();
                let keys = move |key| {
                    let event = match key {
                        Key::Typed(bytes) => HostEvent::Node(Event::ConsoleInput(bytes)),
                        Key::End => HostEvent::Node(Event::Quit),
                        Key::Status => HostEvent::AskStatus,
                        Key::Help => {
                            say!("\nlockstep: {HELP}");
                            return true;
                        }
                    };
                    events.send(event).is_ok()
                };
                console::read_keys(keys, gone)
            }
        }
    }

    /// Lives the node's life.
    pub fn run(self, mut node: Node) -> Result<Lived, DriverError> {
        let sink = self.sink();
        node.version_is(env!("CARGO_PKG_VERSION"));
        self.open_console()?;
        let Driver { started, events, queue, message_bytes, links, numbers, mut wiring } = self;
        let pulse = Pulse::new(started, Duration::from_nanos(node.heartbeat_ns()))?;
        let arbiter = wiring.arbiter.take();
        let generation = Arc::new(AtomicU64::new(0));
        let looks = arbiter.as_ref().map(|arbiter| {
            spawn_look(arbiter.another(), node.vm().to_owned(), generation.clone(), events.clone())
        });
        let looks = looks.transpose()?;
        let claims = arbiter.map(|arbiter| spawn_arbiter(arbiter, node.vm().to_owned(), events.clone()));
        let (claims, arbiter_thread) = match claims.transpose()? {
            Some((claims, thread)) => (Some(claims), Some(thread)),
            None => (None, None),
        };
        if let Some(listener) = wiring.listener.take() {
            node.listens_at(listener.local_addr()?.to_string());
            let (numbers, sink) = (numbers.clone(), sink.clone());
            link::accept(listener, Reception { numbers, sink, started, beats: pulse.adopter() })?;
        }
        let answers = events.clone();
        let disks = Rack::new(std::mem::take(&mut wiring.disks), node.vm(), node.id(), move |answer| {
            answers.send(HostEvent::Disk(0, answer)).is_ok()
        })?;
        let waker = events.clone();
        let console = ConsoleOut::stdout(move || match waker.try_send(HostEvent::ConsoleGone) {
            // A node with a full queue is awake.
            Ok(()) | Err(_) => {}
        })?;
        let reports = events.clone();
        let report = Arc::new(move |number, report| match reports.send(HostEvent::Store(number, report)) {
            // The node has ended.
            Ok(()) | Err(_) => {}
        });
        let store = NodeStore::new(wiring.store.take(), report);
        let mut running = Running {
            started,
            node,
            events,
            queue,
            message_bytes,
            links,
            numbers,
            pulse,
            port: None,
            socket: None,
            looked_ns: 0,
            held_ns: None,
            plugs: 0,
            roles: 0,
            leaving: None,
            refused: VecDeque::new(),
            console,
            claims,
            looks,
            generation,
            recording: NodeRecording::new(wiring.record_first),
            store,
            rehearsal: None,
            stored_told: Instant::now(),
            wiring,
            disks,
            life_ended: false,
            evidence: EvidenceWriter::default(),
        };
        let mut halt = running.live();
        // It holds the disks.
        running.rehearsal = None;
        if running.wiring.record_first {
            // What it has output last waits for that.
            halt = running.finish_recording(halt);
        }
        running.linger();
        let halt = running.finish_recording(halt);
        running.close_store();
        let left = how_disks_are_left(&halt, running.life_ended);
        let Running {
            node,
            console,
            claims,
            looks,
            mut recording,
            disks,
            leaving,
            queue,
            mut wiring,
            evidence,
            ..
        } = running;
        let record = wiring.record.take();
        drop((claims, looks));
        // Further answers of the disks are not needed.
        drop(queue);
        let until = Instant::now() + DISK_LINGER;
        while leaving.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let left_well = leaving.is_none_or(|thread| thread.is_finished());
        if !disks.finish(left, until.saturating_duration_since(Instant::now())) || !left_well {
            say!("lockstep: the disks are not synced after {} s: not waited for", DISK_LINGER.as_secs());
        }
        evidence.finish(DISK_LINGER);
        let console_shown = !console.is_gone();
        console.finish();
        let record_fatal = wiring.record_fatal;
        // The terminal is restored before any message about the end is printed.
        drop(wiring);
        if let Some(thread) = arbiter_thread {
            let until = Instant::now() + LINGER;
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        // The first failure is the one to report.
        let halt = halt?;
        match recording.close() {
            Err(error) if record_fatal => return Err(error.into()),
            Err(error) => say!("lockstep: the end of the recording may not be on the disk: {error}"),
            Ok(()) => {}
        }
        Ok(Lived { halt, node, console_shown, record })
    }
}

/// `DIR.2`, `DIR.3` and so on after `DIR`: the first that does not exist.
fn next_recording(dir: &Path) -> Option<PathBuf> {
    let name = dir.file_name()?.to_string_lossy().into_owned();
    let (stem, number) = match name.rsplit_once('.') {
        Some((stem, number)) if number.parse::<u32>().is_ok_and(|n| n >= 2) => {
            (stem.to_owned(), number.parse().ok()?)
        }
        _ => (name, 1u32),
    };
    let mut later = (number..number.saturating_add(RECORDINGS_MAX)).skip(1);
    later.find_map(|n| {
        Some(dir.with_file_name(format!("{stem}.{n}"))).filter(|next| LogWriter::check(next).is_ok())
    })
}

/// None when their content is not known to be good.
fn how_disks_are_left(halt: &Result<Halt, DriverError>, life_ended: bool) -> Option<State> {
    match halt {
        Ok(Halt::Diverged(_) | Halt::DiskFailed { .. }) => None,
        Ok(Halt::GuestEnded(_)) => Some(State::Ended),
        _ if life_ended => Some(State::Ended),
        Ok(
            Halt::LimitReached
            | Halt::LostClaim { .. }
            | Halt::NotJoined { .. }
            | Halt::NoPrimary { .. }
            | Halt::StoreFailed { .. }
            | Halt::Quit,
        )
        | Err(_) => Some(State::Closed),
    }
}

type ArbiterThread = (Sender<ArbiterJob>, std::thread::JoinHandle<()>);

/// The arbiter may be slow or hang; it gets a thread of its own.
fn spawn_arbiter(
    mut arbiter: Box<dyn Arbiter>,
    vm: String,
    events: Mailbox<HostEvent>,
) -> std::io::Result<ArbiterThread> {
    // At most one claim and one end are ever under way.
    let (jobs, todo) = channel();
    let thread = std::thread::Builder::new().name("arbiter".into()).spawn(move || {
        while let Ok(job) = todo.recv() {
            match job {
                ArbiterJob::Claim(bid) => {
                    let (node, generation) = (bid.node, bid.generation);
                    let outcome = arbiter.claim(&vm, &bid);
                    if events.send(HostEvent::Claimed { node, generation, outcome }).is_err() {
                        return;
                    }
                }
                ArbiterJob::End(generation, node) => {
                    if let Err(error) = arbiter.end(&vm, generation, node) {
                        say!("lockstep: the end of generation {generation} is not noted: {error}");
                    }
                }
            }
        }
    })?;
    Ok((jobs, thread))
}

/// Asks the arbiter now and then which node holds the generation in `generation`, and on request which node
/// holds the newest one, on a thread of its own: a claim never waits for that. It ends when the returned
/// value is dropped.
fn spawn_look(
    mut arbiter: Box<dyn Arbiter>,
    vm: String,
    generation: Arc<AtomicU64>,
    events: Mailbox<HostEvent>,
) -> std::io::Result<SyncSender<()>> {
    let (ask, asked) = sync_channel(1);
    std::thread::Builder::new().name("arbiter-look".into()).spawn(move || {
        loop {
            let event = match asked.recv_timeout(LOOK_EVERY) {
                Ok(()) => Event::HolderSeen(arbiter.holder(&vm)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let generation = Generation(generation.load(Ordering::Relaxed));
                    if generation == Generation::ZERO {
                        continue;
                    }
                    Event::ArbiterSeen { generation, seen: arbiter.look(&vm, generation) }
                }
            };
            if events.send(HostEvent::Node(event)).is_err() {
                return;
            }
        }
    })?;
    Ok(ask)
}

/// What can be read from, or has ended.
struct Ready {
    links: Vec<LinkId>,
    switch: bool,
}

impl Ready {
    /// Of the sockets of `links`, and of the switch's behind them.
    fn of(links: &[LinkId], sockets: &[PollFd<'_>]) -> Self {
        let is_ready = |socket: &PollFd<'_>| !socket.revents().is_empty();
        let ready = links.iter().zip(sockets).filter(|(_, socket)| is_ready(socket)).map(|(link, _)| *link);
        Self { links: ready.collect(), switch: sockets.get(links.len()).is_some_and(is_ready) }
    }
}

struct Running {
    started: Instant,
    node: Node,
    events: Mailbox<HostEvent>,
    queue: Inbox<HostEvent>,
    message_bytes: Arc<AtomicUsize>,
    links: Links,
    numbers: LinkNumbers,
    pulse: Pulse,
    port: Option<Port>,
    /// The port's present connection.
    socket: Option<Arc<TcpStream>>,
    /// When the sockets were looked at last.
    looked_ns: u64,
    /// Since when outputs of the guest have waited for the backup.
    held_ns: Option<u64>,
    /// Counts the plugs, and the roles that were left: what is heard of an older one is dropped.
    plugs: u64,
    roles: u64,
    /// Syncs and closes the disks of the last role.
    leaving: Option<std::thread::JoinHandle<()>>,
    /// Frames that may leave and that the port had no room for, oldest first.
    refused: VecDeque<(u64, Vec<u8>)>,
    console: ConsoleOut,
    claims: Option<Sender<ArbiterJob>>,
    /// Has the arbiter asked which node holds the newest generation.
    looks: Option<SyncSender<()>>,
    /// The generation that the arbiter is to be asked about now and then; 0 for none.
    generation: Arc<AtomicU64>,
    wiring: Wiring,
    recording: NodeRecording,
    store: NodeStore,
    /// The fork that is being tried.
    rehearsal: Option<Rehearsal>,
    /// When the node was told last what its store holds.
    stored_told: Instant,
    disks: Rack,
    /// The guest's life was ended by this node.
    life_ended: bool,
    evidence: EvidenceWriter,
}

impl Running {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn live(&mut self) -> Result<Halt, DriverError> {
        loop {
            let now_ns = self.now_ns();
            self.pulse.moved(now_ns);
            for _ in 0..EVENTS_A_TURN {
                let Some(event) = self.queue.try_recv() else { break };
                self.take_in(event);
            }
            if now_ns.saturating_sub(self.looked_ns) >= self.look_every_ns(now_ns) {
                self.looked_ns = now_ns;
                self.receive_now();
            }
            if self.wiring.ends_with_console && self.console.is_gone() {
                say!("lockstep: standard output is closed: the guest is ended");
                self.node.step(Event::Quit, self.now_ns());
            }
            if let Some(halt) = self.carry_out()? {
                return Ok(halt);
            }
            let mut here = Here {
                started: self.started,
                links: &self.links,
                pulse: &self.pulse,
                console: &self.console,
                recording: &self.recording,
                store: &self.store,
                rehearsal: self.rehearsal.as_ref(),
                port: self.port.as_ref(),
                refused: self.refused.len(),
            };
            let pace = self.node.run(&mut here);
            let generation = self.node.generation_and_holder().map_or(0, |(generation, _)| generation.get());
            self.generation.store(generation, Ordering::Relaxed);
            // A node that ends leaves the note of its standing as it was: an operator may go on from its store.
            if let Some(halt) = self.carry_out()? {
                return Ok(halt);
            }
            self.feed_stored();
            self.store.note(&self.node);
            self.beat();
            self.pump();
            if let Pace::At(at_ns) = pace
                && !self.recording.is_due()
                && !self.node.takes_stored()
            {
                self.wait(at_ns);
            }
        }
    }

    /// How often a node that does not rest looks at its sockets.
    fn look_every_ns(&mut self, now_ns: u64) -> u64 {
        if !self.node.holds_outputs() {
            self.held_ns = None;
            return LOOK_NS;
        }
        let held_ns = *self.held_ns.get_or_insert(now_ns);
        // No acknowledgement can have come yet.
        if now_ns.saturating_sub(held_ns) < LOOK_HELD_NS { LOOK_NS } else { LOOK_HELD_NS }
    }

    /// Sleeps until `at_ns` or the next event.
    fn wait(&mut self, at_ns: u64) {
        let mut for_ns = at_ns.saturating_sub(self.now_ns());
        if self.links.is_pending() {
            for_ns = for_ns.min(RETRY.as_nanos() as u64);
        }
        // A year means "until something happens".
        let for_ns = for_ns.min(365 * 86_400 * 1_000_000_000);
        let (links, mut sockets) = self.sockets();
        let event = self.queue.wait(&mut sockets, Duration::from_nanos(for_ns));
        let ready = Ready::of(&links, &sockets);
        self.looked_ns = self.now_ns();
        if let Some(event) = event {
            self.take_in(event);
        }
        self.receive(ready);
    }

    /// What this thread reads itself: the peers' links, and their sockets and then the switch's.
    fn sockets(&self) -> (Vec<LinkId>, Vec<PollFd<'_>>) {
        let readable = |stream| PollFd::new(stream, PollFlags::IN);
        let (links, mut sockets): (Vec<LinkId>, Vec<PollFd<'_>>) =
            self.links.sockets().map(|(link, stream)| (link, readable(stream))).unzip();
        sockets.extend(self.socket.as_deref().map(readable));
        (links, sockets)
    }

    /// Takes in what peers and the switch have said while this thread was at work.
    fn receive_now(&mut self) {
        let (links, mut sockets) = self.sockets();
        if sockets.is_empty() {
            return;
        }
        look(&mut sockets, Duration::ZERO);
        let ready = Ready::of(&links, &sockets);
        self.receive(ready);
    }

    fn receive(&mut self, ready: Ready) {
        for link in ready.links {
            self.receive_from(link);
        }
        if ready.switch {
            self.receive_frames();
        }
    }

    fn receive_from(&mut self, link: LinkId) {
        let mut events = Vec::new();
        self.links.receive(link, &mut events);
        for event in events {
            self.link_event(event);
        }
    }

    fn receive_frames(&mut self) {
        let Some(port) = &self.port else { return };
        let mut events = Vec::new();
        if !port.receive(&mut events) {
            self.socket = None;
        }
        let now_ns = self.now_ns();
        for event in events {
            self.port_event(event, now_ns);
        }
    }

    fn take_in(&mut self, event: HostEvent) {
        let now_ns = self.now_ns();
        match event {
            HostEvent::Node(event) => self.node.step(event, now_ns),
            // They only wake: the console and the recording know.
            HostEvent::ConsoleGone | HostEvent::Recorded => {}
            HostEvent::AskStatus => self.say_status(),
            HostEvent::Store(number, report) => match self.store.is_present(number) {
                true => self.store_report(report),
                false => self.store.discard(report),
            },
            HostEvent::Link(event) => {
                if let LinkEvent::Message { message, .. } = &event {
                    self.message_bytes.fetch_sub(message.payload_bytes(), Ordering::Relaxed);
                }
                self.link_event(event);
            }
            // Worth printing also where nothing else is.
            HostEvent::Disk(_, Answer::Tell(text)) => {
                say::unless_blocked(format_args!("lockstep: {}", plain(&text)));
            }
            HostEvent::Disk(role, _) if role != self.roles => {}
            HostEvent::Disk(_, Answer::Done(done)) => self.node.step(Event::DiskDone(done), now_ns),
            HostEvent::Disk(_, Answer::Worked(worked)) => self.node.step(Event::DiskWorked(worked), now_ns),
            HostEvent::Port(plug, event) => {
                if plug == self.plugs && self.port.is_some() {
                    self.port_event(event, now_ns);
                }
            }
            HostEvent::Claimed { node, generation, outcome } => {
                if node == self.node.id() {
                    self.node.step(Event::Claimed { generation, outcome }, now_ns);
                }
            }
            HostEvent::Dialed { address, outcome } => {
                let link = LinkId(self.numbers.fetch_add(1, Ordering::Relaxed));
                let outcome = outcome.map(|stream| self.links.dialed(link, stream, &address));
                let outcome = outcome.map(|()| link).map_err(|error| error.to_string());
                self.node.step(Event::Dialed { address, outcome }, now_ns);
            }
        }
    }

    /// Gives a node that goes on from its store the next of its log.
    fn feed_stored(&mut self) {
        for _ in 0..STORED_A_TURN {
            if !self.node.takes_stored() {
                return;
            }
            let now_ns = self.now_ns();
            let event = match self.store.next_stored() {
                Some(Ok(frame)) => Event::Stored(frame),
                Some(Err(error)) => Event::StoredAll(Err(error.line())),
                None => {
                    self.store_holds(true);
                    Event::StoredAll(Ok(()))
                }
            };
            self.node.step(event, now_ns);
        }
    }

    fn store_report(&mut self, report: Report) {
        match report {
            Report::Opened(opened) => match self.store.opened(*opened) {
                Ok(()) => self.store_holds(true),
                Err(why) => self.store_ended(why),
            },
            Report::Event(StoreEvent::Durable { upto }) => {
                let now_ns = self.now_ns();
                self.node.step(Event::Durable { upto }, now_ns);
                self.store_holds(false);
            }
            Report::Event(StoreEvent::Full { why } | StoreEvent::Failed { why }) => {
                self.store.ends();
                self.store_ended(why);
            }
            Report::Event(StoreEvent::CheckpointSaved { seq, bytes }) => {
                let now_ns = self.now_ns();
                self.node.step(Event::Checkpointed { seq, outcome: Ok(bytes) }, now_ns);
                self.store_holds(true);
            }
            Report::Event(StoreEvent::CheckpointFailed { seq, why }) => {
                let now_ns = self.now_ns();
                self.node.step(Event::Checkpointed { seq, outcome: Err(why) }, now_ns);
            }
            Report::Event(StoreEvent::Pruned(_)) => self.store_holds(true),
            Report::Event(StoreEvent::PruneFailed { why }) => {
                self.tell(&format!("the store keeps more than it should: {why}"));
            }
        }
    }

    /// Tells the node what its store holds: at once, or now and then.
    fn store_holds(&mut self, at_once: bool) {
        if !at_once && self.stored_told.elapsed() < STORE_TOLD_EVERY {
            return;
        }
        self.stored_told = Instant::now();
        if let Some(holds) = self.store.holds() {
            let now_ns = self.now_ns();
            self.node.step(Event::Durable { upto: holds.durable }, now_ns);
            self.node.step(Event::Store(StoreState::On(holds)), now_ns);
        }
    }

    fn store_ended(&mut self, why: String) {
        let line = format!("the store has ended: {why}");
        say::unless_blocked(format_args!("lockstep: {}", plain(&line)));
        let now_ns = self.now_ns();
        self.node.step(Event::Store(StoreState::Ended { why }), now_ns);
    }

    /// Brings what the node has written to its store's disk, before it ends.
    fn close_store(&mut self) {
        if let Err(error) = self.store.close() {
            say!("lockstep: the end of the store may not be on the disk: {}", error.line());
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        let now_ns = self.now_ns();
        match event {
            LinkEvent::Up { link, stream, arrivals, reading } => {
                self.links.add(link, stream, arrivals, reading);
                self.receive_from(link);
            }
            LinkEvent::Message { link, message: Message::Pulse { token } } => self.dial_pulse(link, token),
            LinkEvent::Message { link, message } => {
                let message = self.reachable(link, message);
                self.node.step(Event::Message { link, message }, now_ns);
            }
            LinkEvent::Closed { link, why } => {
                self.links.forget(link);
                self.node.step(Event::LinkClosed { link, why }, now_ns);
            }
        }
    }

    fn port_event(&mut self, event: PortEvent, now_ns: u64) {
        match event {
            PortEvent::Connected { n } => self.socket = self.port.as_ref().and_then(|port| port.socket(n)),
            PortEvent::Frame { rx_seq, frame } => self.node.step(Event::Frame { rx_seq, frame }, now_ns),
            PortEvent::Fenced { current } => self.node.step(Event::Fenced { current }, now_ns),
            PortEvent::Room => self.send_refused(),
            PortEvent::Attached { .. } => {
                self.node.step(Event::Switch(SwitchState::Up), now_ns);
                self.send_refused();
            }
            PortEvent::Down { why } => {
                self.tell(&format!("no switch: {why}"));
                self.node.step(Event::Switch(SwitchState::Down { why }), now_ns);
            }
            PortEvent::Refused { why } => {
                self.tell(&format!("the switch refuses: {why}"));
                self.node.step(Event::Switch(SwitchState::Refused { why }), now_ns);
            }
        }
    }

    /// Exchanges beats with the present peers: a primary asks a joiner for the connection that carries them.
    fn beat(&mut self) {
        self.pulse.retain(|link| self.node.is_peer(link));
        if !self.node.is_primary() {
            // It beats with its primary as soon as it is asked to.
            return;
        }
        let unwatched: Vec<_> = self.node.peer_links().filter(|link| !self.pulse.watches(*link)).collect();
        for link in unwatched {
            match self.pulse.expect(link) {
                Ok(token) => self.send(link, &Message::Pulse { token }),
                Err(error) => self.tell(&format!("no heartbeats to the peer: {error}")),
            }
            self.say_how_beats_run();
        }
    }

    /// A primary asks for the connection that carries beats: at most once for each link, and only its backup.
    fn dial_pulse(&mut self, link: LinkId, token: u64) {
        if !self.node.is_peer(link) || self.pulse.watches(link) {
            return;
        }
        let Some(to) = self.links.dialed_to(link).map(str::to_owned) else { return };
        if let Err(error) = self.pulse.dial(link, to, token) {
            self.tell(&format!("no heartbeats to the peer: {error}"));
        }
        self.say_how_beats_run();
    }

    fn say_how_beats_run(&mut self) {
        if let Some(how) = self.pulse.runs() {
            self.node.beats_run(how.to_owned());
        }
    }

    /// Opens a connection on a thread of its own: an address that does not answer takes seconds.
    fn dial(&mut self, address: String) -> std::io::Result<()> {
        self.disks.node_is(self.node.id());
        let events = self.events.clone();
        std::thread::Builder::new().name("dial".into()).spawn(move || {
            let outcome = link::dial(&address);
            match events.send(HostEvent::Dialed { address, outcome }) {
                // The node has ended meanwhile.
                Ok(()) | Err(_) => {}
            }
        })?;
        Ok(())
    }

    /// What this node holds is not what the log says: nobody goes on from it.
    fn distrust(&mut self, divergence: &Divergence) {
        // The store first: with it, a restart would go on by itself. The disks know after what they were asked before.
        if let Err(why) = self.store.distrust(divergence) {
            let line = format!(
                "this node has diverged, and its store could not be marked ({why}): delete that store before a node is \
                 started with it"
            );
            say::unless_blocked(format_args!("lockstep: {}", plain(&line)));
        }
        self.disks.distrust(self.node.generation());
    }

    fn keep_evidence(&mut self, evidence: Evidence) {
        let Wiring { evidence: named, record, .. } = &self.wiring;
        let dir = named.as_deref().or(record.as_deref()).or(self.store.dir());
        if let Some(dir) = dir.map(Path::to_owned) {
            self.evidence.keep(dir, evidence);
        }
    }

    /// Gives up what belongs to a role that is lost. The process goes on: its listener, terminals and console stay.
    fn leave_role(&mut self, halt: Halt) -> std::io::Result<()> {
        (self.port, self.socket) = (None, None);
        self.refused.clear();
        self.roles += 1;
        self.leave_recording();
        let left = how_disks_are_left(&Ok(halt), self.life_ended);
        self.life_ended = false;
        let (role, answers) = (self.roles, self.events.clone());
        let next = self.disks.empty_again(move |answer| answers.send(HostEvent::Disk(role, answer)).is_ok());
        let disks = std::mem::replace(&mut self.disks, next);
        let events = self.events.clone();
        // A disk takes its time to sync; until it is released it cannot be opened again.
        let leaving = std::thread::Builder::new().name("disks-leave".into()).spawn(move || {
            disks.finish(left, DISK_LEAVE);
            match events.send(HostEvent::Node(Event::RoleLeft)) {
                // The node has ended meanwhile.
                Ok(()) | Err(_) => {}
            }
        })?;
        self.leaving = Some(leaving);
        Ok(())
    }

    /// Ends the recording of a role that is lost. The next role begins another, beside it: a recording has one
    /// history.
    fn leave_recording(&mut self) {
        if let Err(error) = self.recording.close() {
            self.tell(&format!("the recording's end: {error}"));
        }
        let now_ns = self.now_ns();
        self.node.step(Event::Recording(Recording::None), now_ns);
        // Also one that ended before its role did.
        let used = self.wiring.record.as_deref().filter(|dir| LogWriter::check(dir).is_err());
        if let Some(next) = used.and_then(next_recording) {
            self.tell(&format!("what comes next is recorded into {}", next.display()));
            self.wiring.record = Some(next);
        }
    }

    /// A peer that listens at every address of its host is reached at the one that it comes from.
    fn reachable(&self, link: LinkId, message: Message) -> Message {
        if let Message::Whereabouts { listen } = &message
            && let Ok(mut address) = listen.parse::<SocketAddr>()
            && address.ip().is_unspecified()
            && let Some(ip) = self.links.peer_ip(link)
        {
            address.set_ip(ip);
            return Message::Whereabouts { listen: address.to_string() };
        }
        message
    }

    fn say_status(&self) {
        let status = self.node.status(self.now_ns());
        let protected = if status.protected { "protected" } else { "not protected" };
        say!(
            "\nlockstep: {} {} ({}), generation {}, {protected}, at {}, {} console bytes, {} terminals",
            status.role,
            status.vm,
            status.phase,
            status.generation,
            status.icount,
            status.console_bytes,
            status.terminals
        );
    }

    fn send_refused(&mut self) {
        while let Some((seq, frame)) = self.refused.pop_front() {
            if !self.send_frame(seq, frame) {
                return;
            }
        }
    }

    /// Sends a frame, or keeps it for later when the switch does not keep up. Without a switch it is
    /// lost, as on a card without a cable.
    fn send_frame(&mut self, seq: u64, frame: Vec<u8>) -> bool {
        let Some(port) = &self.port else { return true };
        match port.send(seq, &frame) {
            Ok(()) | Err(SendRefused::Down) => true,
            Err(SendRefused::Full) => {
                self.refused.push_front((seq, frame));
                false
            }
        }
    }

    fn pump(&mut self) {
        if self.links.is_pending() {
            self.links.pump();
        }
    }

    fn carry_out(&mut self) -> Result<Option<Halt>, DriverError> {
        loop {
            // Before what a new generation asks of the disks.
            if let Some(standing) = self.node.disk_standing() {
                self.disks.stand(standing);
            }
            let mut commands = self.node.take_commands();
            if commands.is_empty() {
                self.follow_recording()?;
                commands = self.node.take_commands();
            }
            if commands.is_empty() {
                return Ok(None);
            }
            for command in commands {
                let Some(command) = self.recording.hold(command) else { continue };
                if let Some(halt) = self.command(command)? {
                    return Ok(Some(halt));
                }
            }
        }
    }

    fn send(&mut self, link: LinkId, message: &Message) {
        if let Err(why) = self.links.send(link, message) {
            self.links.forget(link);
            let now_ns = self.now_ns();
            self.node.step(Event::LinkClosed { link, why }, now_ns);
        }
    }

    fn command(&mut self, command: Command) -> Result<Option<Halt>, DriverError> {
        match command {
            Command::Send { link, message } => self.send(link, &message),
            Command::Close { link } => self.links.close(link),
            Command::Claim { generation, keeps, after } => {
                if let Err(why) = self.store.is_known_as(self.node.id()) {
                    self.tell(&format!("the store does not know of this claim: {why}"));
                }
                let (node, wherefrom) = (self.node.id(), self.wiring.wherefrom.clone());
                let bid = Bid { generation, node, keeps, after: Some(after), wherefrom };
                self.arbitrate(ArbiterJob::Claim(bid), generation);
            }
            Command::AskHolder => {
                if let Some(looks) = &self.looks {
                    match looks.try_send(()) {
                        // A full channel means that it is about to be asked; a closed one that this node ends.
                        Ok(()) | Err(_) => {}
                    }
                }
            }
            Command::EndLife { generation } => {
                self.life_ended = true;
                let node = self.node.id();
                self.arbitrate(ArbiterJob::End(generation, node), generation);
            }
            Command::StartRecording { base, seq_next, generation, life } => {
                let recorded = self.wiring.record.is_some().then(|| base.clone());
                self.store.begin(self.node.vm(), *base, seq_next, generation, life);
                if let (Some(dir), Some(base)) = (&self.wiring.record, recorded) {
                    let lineage = Lineage::of(self.node.vm(), &base, Seq(seq_next.get() - 1));
                    let (base, waker) = (snapshot::Encoder::new(*base), self.events.clone());
                    let wake = move || match waker.try_send(HostEvent::Recorded) {
                        // A node with a full queue is awake.
                        Ok(()) | Err(_) => {}
                    };
                    let max = self.wiring.record_max;
                    let writer = BackgroundWriter::create(dir, lineage, generation, base, max, wake);
                    self.begin_recording(writer)?;
                }
            }
            Command::Append { bytes } => {
                if let Err(why) = self.store.append(&bytes) {
                    self.store_ended(why);
                }
                self.recording.append(self.node.generation(), bytes);
            }
            Command::SaveCheckpoint { seq, generation, base, head } => {
                if let Err(why) = self.store.save((seq, base), generation, *head) {
                    let now_ns = self.now_ns();
                    self.node.step(Event::Checkpointed { seq, outcome: Err(why) }, now_ns);
                }
            }
            Command::CheckpointPiece(piece) => self.store.piece(piece),
            Command::KeepCheckpoint { .. } => self.store.end_saving(true),
            Command::DropCheckpoint => self.store.end_saving(false),
            Command::Fork { fork, head } => self.fork(fork, *head),
            Command::ForkPiece(piece) => {
                if let Some(rehearsal) = &self.rehearsal {
                    rehearsal.piece(piece);
                }
            }
            Command::Rehearse { clock, seconds, .. } => {
                if let Some(rehearsal) = &self.rehearsal {
                    rehearsal.go_live(clock, seconds);
                }
            }
            Command::DropFork => self.rehearsal = None,
            Command::Release(Output::Console { bytes, .. }) => self.console.write(bytes),
            Command::Release(Output::Net { seq, frame }) => {
                if self.refused.is_empty() {
                    self.send_frame(seq, frame);
                } else {
                    self.refused.push_back((seq, frame));
                }
            }
            Command::Disk(request) => {
                if let Some(done) = self.disks.submit(request) {
                    let now_ns = self.now_ns();
                    self.node.step(Event::DiskDone(done), now_ns);
                }
            }
            Command::DiskWork(job) => {
                if let Some(worked) = self.disks.work(job) {
                    let now_ns = self.now_ns();
                    self.node.step(Event::DiskWorked(worked), now_ns);
                }
            }
            Command::PlugIn(plug) => self.plug_in(plug)?,
            Command::Activate { generation, rx_seq } => {
                if let Some(port) = &self.port {
                    port.activate(served(generation), rx_seq);
                }
            }
            Command::FramesSafe { rx_seq } => {
                if let Some(port) = &self.port {
                    port.received(rx_seq);
                }
            }
            Command::Distrust(divergence) => self.distrust(&divergence),
            Command::KeepEvidence(evidence) => self.keep_evidence(*evidence),
            Command::LeaveRole { halt } => self.leave_role(halt)?,
            Command::Dial { address } => self.dial(address)?,
            Command::Tell(text) => self.tell(&text),
            Command::Warn(text) if self.wiring.narrates => self.tell(&text),
            Command::Warn(text) => say::unless_blocked(format_args!("lockstep: {}", plain(&text))),
            Command::Halt(halt) => return Ok(Some(halt)),
        }
        Ok(None)
    }

    /// Begins to make a second machine, to be tried.
    fn fork(&mut self, fork: u64, head: SavedHead) {
        let events = self.events.clone();
        let report = move |outcome| match events.send(HostEvent::Node(Event::Rehearsed { fork, outcome })) {
            // The node has ended meanwhile.
            Ok(()) | Err(_) => {}
        };
        match Rehearsal::begin(head, self.started, self.disks.kept(), report) {
            Ok(rehearsal) => self.rehearsal = Some(rehearsal),
            Err(error) => {
                let (now_ns, outcome) = (self.now_ns(), Err(format!("no thread for it: {error}")));
                self.node.step(Event::Rehearsed { fork, outcome }, now_ns);
            }
        }
    }

    fn begin_recording(&mut self, begun: Result<BackgroundWriter, LogError>) -> Result<(), DriverError> {
        match begun {
            Ok(writer) => {
                self.recording.begin(writer);
                let now_ns = self.now_ns();
                self.node.step(Event::Recording(Recording::On), now_ns);
                Ok(())
            }
            Err(error) => self.recording_failed(error),
        }
    }

    /// Lets out what need not wait for the recording any longer, and takes notice of its end.
    fn follow_recording(&mut self) -> Result<(), DriverError> {
        // Looked at first: then all that was written before the end is let out.
        let has_ended = self.recording.has_ended();
        self.let_out()?;
        let Some(end) = has_ended.then(|| self.recording.take_end()).flatten() else { return Ok(()) };
        match end {
            Ok(Ended::Full { last, bytes_max }) => self.end_recording(format!(
                "the next frame would take it past --record-max, {bytes_max} bytes; it is whole, and replays up to entry {last}"
            )),
            Ok(Ended::Closed) => {}
            Err(error) => self.recording_failed(error)?,
        }
        // The rest waits for nothing any more.
        self.let_out()
    }

    fn let_out(&mut self) -> Result<(), DriverError> {
        while let Some(command) = self.recording.release() {
            let halt = self.command(command)?;
            debug_assert!(halt.is_none(), "what is held ends no node");
        }
        Ok(())
    }

    /// Waits until the recording has all of the node's life, and lets the rest out: before the node's end is
    /// acted on. The first failure is the one to report.
    fn finish_recording(&mut self, halt: Result<Halt, DriverError>) -> Result<Halt, DriverError> {
        // A recording that has failed never gets what led to the rest.
        let halt = halt?;
        self.recording.await_written();
        self.follow_recording()?;
        Ok(halt)
    }

    /// The guest is worth more than its recording, unless the operator has decided otherwise.
    fn recording_failed(&mut self, error: LogError) -> Result<(), DriverError> {
        if self.wiring.record_fatal {
            return Err(error.into());
        }
        let fix = error.fix().map_or(String::new(), |fix| format!(" (fix: {fix})"));
        self.end_recording(format!("{error}{fix}"));
        Ok(())
    }

    fn end_recording(&mut self, why: String) {
        let line = format!("the recording has ended, the guest goes on: {why}");
        say::unless_blocked(format_args!("lockstep: {}", plain(&line)));
        let now_ns = self.now_ns();
        self.node.step(Event::Recording(Recording::Ended { why }), now_ns);
    }

    fn plug_in(&mut self, plug: Plug) -> std::io::Result<()> {
        let Some(switch) = self.wiring.switch else { return Ok(()) };
        let attach = Attach {
            vm: self.node.vm().to_owned(),
            life: plug.life,
            mac: Mac(plug.mac),
            generation: served(plug.generation),
            standby: plug.standby,
            rx_seq_last: plug.rx_seq,
            tx_seq_last: plug.tx_seq,
        };
        let (events, now_ns) = (self.events.clone(), self.now_ns());
        self.refused.clear();
        let why = "it has not answered yet".to_owned();
        self.node.step(Event::Switch(SwitchState::Down { why }), now_ns);
        self.plugs += 1;
        let plug = self.plugs;
        let deliver = move |event| events.send(HostEvent::Port(plug, event)).is_ok();
        self.socket = None;
        self.port = Some(Port::connect(switch, attach, deliver)?);
        Ok(())
    }

    fn arbitrate(&mut self, job: ArbiterJob, generation: Generation) {
        if let Some(claims) = &self.claims
            && claims.send(job).is_ok()
        {
            return;
        }
        let outcome: Result<Claim, ArbiterError> =
            Err(ArbiterError::Unreachable("this node has no arbiter".into()));
        let now_ns = self.now_ns();
        self.node.step(Event::Claimed { generation, outcome }, now_ns);
    }

    fn tell(&self, text: &str) {
        if self.wiring.narrates {
            let (role, vm) = (self.node.role_name(), self.node.vm());
            say::unless_blocked(format_args!("[{}] {role} {vm}: {}", wall_clock_text(), plain(text)));
        }
    }

    /// Lets the last messages leave before the process does.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let drained = self.port.as_ref().is_none_or(|port| !port.is_up() || port.drain(LINGER));
        if !drained {
            self.tell("the switch did not take the last frames");
        }
        loop {
            self.pump();
            let pending = self.links.is_pending();
            if !pending || Instant::now() >= until {
                return;
            }
            std::thread::sleep(RETRY);
        }
    }
}
