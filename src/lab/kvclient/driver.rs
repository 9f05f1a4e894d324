//! The loop behind a load: all clients' sockets around one `poll`.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use rustix::event::{PollFd, PollFlags};

use super::load::{Answered, KvConfig, Order, Tally, lock};
use super::model::{Model, Op};
use super::request::{first_id, socket_to};
use crate::base::Prng;
use crate::host::os::look;

/// Orders are looked for at least this often.
const ORDERS_EVERY: Duration = Duration::from_millis(10);
/// So many answered requests are remembered for each client, to know a late repetition from an
/// answer too many.
const REMEMBERED_MAX: usize = 32;

/// A request under way.
struct Under {
    id: u64,
    what: What,
    bytes: Vec<u8>,
    sent_first: u64,
    sent_last: u64,
    sends: u64,
    repeat_at: u64,
    repeat_after: u64,
}

/// Why something is asked.
enum What {
    Load(Op),
    /// Reading back.
    Verify(Op),
    /// Deleting the key of this name at the end.
    Clean(String),
}

/// A request that has been answered.
struct Done {
    id: u64,
    sends: u64,
    answers: u64,
    answer: String,
}

struct Client {
    index: usize,
    socket: UdpSocket,
    prng: Prng,
    model: Model,
    id_next: u64,
    under: Option<Under>,
    done: VecDeque<Done>,
    /// Asked before anything else.
    queue: VecDeque<What>,
    rests_until: u64,
    /// The server answers no longer: it is not asked to clean up.
    deserted: bool,
}

/// What the load is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Loading,
    /// Only what is queued is still asked.
    Verifying,
    Cleaning,
}

pub struct Driver {
    config: KvConfig,
    tally: Arc<Mutex<Tally>>,
    orders: Receiver<Order>,
    begun: Instant,
    clients: Vec<Client>,
    verifying: Vec<Sender<()>>,
    phase: Phase,
    orders_at: u64,
}

impl Driver {
    pub fn new(
        config: KvConfig,
        tally: Arc<Mutex<Tally>>,
        orders: Receiver<Order>,
        begun: Instant,
    ) -> io::Result<Self> {
        let mut prng = Prng::new(config.seed);
        let id = first_id()?;
        // Other loads on the same server have other names.
        let tag = id & 0xffff;
        let client = |index: usize| -> io::Result<Client> {
            let socket = socket_to(config.server)?;
            socket.set_nonblocking(true)?;
            Ok(Client {
                index,
                socket,
                prng: prng.split(),
                model: Model::new(format!("{tag:04x}.{index}."), config.keys.max(1)),
                id_next: id,
                under: None,
                done: VecDeque::new(),
                queue: VecDeque::new(),
                rests_until: 0,
                deserted: false,
            })
        };
        let clients = (0..config.clients).map(client).collect::<io::Result<_>>()?;
        let phase = Phase::Loading;
        Ok(Self { config, tally, orders, begun, clients, verifying: Vec::new(), phase, orders_at: 0 })
    }

    /// Until stopped, or until there is no controller left.
    pub fn run(mut self) {
        loop {
            let now = self.now();
            if now >= self.orders_at {
                self.orders_at = now + ORDERS_EVERY.as_nanos() as u64;
                if self.obey() {
                    return;
                }
            }
            self.speak(now);
            if self.clients.iter().all(|client| client.under.is_none() && client.queue.is_empty())
                && self.next_phase()
            {
                return;
            }
            self.wait(now);
            let now = self.now();
            self.listen(now);
        }
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// Takes orders; true when the controller is gone.
    fn obey(&mut self) -> bool {
        match self.orders.try_recv() {
            Ok(Order::Verify(done)) => {
                self.read_back();
                self.verifying.push(done);
            }
            Ok(Order::Stop) => {
                self.phase = Phase::Verifying;
                if self.config.read_back {
                    self.read_back();
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return self.phase == Phase::Loading,
        }
        if !self.verifying.is_empty() {
            let reads = |client: &Client| {
                let under = client.under.iter().map(|under| &under.what);
                under.chain(&client.queue).any(|what| matches!(what, What::Verify(_)))
            };
            if !self.clients.iter().any(reads) {
                for done in self.verifying.drain(..) {
                    // The caller may have given up.
                    done.try_send(()).ok();
                }
            }
        }
        false
    }

    fn read_back(&mut self) {
        for client in &mut self.clients {
            let model = &client.model;
            client.queue.extend(model.read_back().into_iter().map(What::Verify));
        }
    }

    /// Everything queued is done: what comes now? True when nothing does.
    fn next_phase(&mut self) -> bool {
        match self.phase {
            Phase::Loading => self.clients.is_empty() && self.orders.is_empty(),
            Phase::Verifying if self.config.read_back => {
                self.phase = Phase::Cleaning;
                for client in self.clients.iter_mut().filter(|client| !client.deserted) {
                    client.queue.extend(client.model.names().into_iter().map(What::Clean));
                }
                false
            }
            Phase::Verifying | Phase::Cleaning => true,
        }
    }

    /// Sends what is due: new requests, and repetitions.
    fn speak(&mut self, now: u64) {
        let (config, phase) = (&self.config, self.phase);
        let mut tally = lock(&self.tally);
        for client in &mut self.clients {
            match &mut client.under {
                Some(under) if now.saturating_sub(under.sent_first) >= config.patience.as_nanos() as u64 => {
                    tally.report.given_up += 1;
                    let text = String::from_utf8_lossy(&under.bytes).into_owned();
                    tally.evidence(|| format!("client {}: \"{text}\" was never answered", client.index));
                    if let What::Load(op) | What::Verify(op) = under.what {
                        client.model.give_up(op);
                    }
                    // What was queued is about keys by names that are given up.
                    client.queue.clear();
                    client.deserted = phase != Phase::Loading;
                    client.under = None;
                }
                Some(under) if now >= under.repeat_at => {
                    under.repeat_after = (under.repeat_after * 2).min(config.repeat_max.as_nanos() as u64);
                    under.repeat_at = now + under.repeat_after;
                    under.sent_last = now;
                    under.sends += 1;
                    tally.report.repeats += 1;
                    send(&client.socket, &under.bytes);
                }
                Some(_) => {}
                None => {
                    if let Some(what) = client.choose(now, phase) {
                        tally.report.requests += 1;
                        client.ask(now, what, config.repeat_first.as_nanos() as u64);
                    }
                }
            }
        }
    }

    /// Sleeps until an answer comes or something is due.
    fn wait(&self, now: u64) {
        let due = |client: &Client| match &client.under {
            Some(under) => under.repeat_at,
            None => client.rests_until,
        };
        let dues =
            self.clients.iter().filter(|client| self.phase == Phase::Loading || client.under.is_some());
        let until = dues.map(due).min().unwrap_or(u64::MAX).min(self.orders_at);
        let left = Duration::from_nanos(until.saturating_sub(now));
        let mut fds: Vec<PollFd<'_>> =
            self.clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)).collect();
        look(&mut fds, left);
    }

    /// Takes every answer that is there.
    fn listen(&mut self, now: u64) {
        let pause = self.config.pause.as_nanos() as u64;
        let mut tally = lock(&self.tally);
        let mut bytes = [0; 2048];
        for client in &mut self.clients {
            // A refused port shows here; the request is repeated anyway.
            while let Ok(n) = client.socket.recv(&mut bytes) {
                client.hear(now, pause, &String::from_utf8_lossy(&bytes[..n]), &mut tally);
            }
        }
    }
}

fn send(socket: &UdpSocket, bytes: &[u8]) {
    // What the kernel does not take now is repeated like anything that is lost.
    socket.send(bytes).ok();
}

impl Client {
    fn choose(&mut self, now: u64, phase: Phase) -> Option<What> {
        if let Some(what) = self.queue.pop_front() {
            return Some(what);
        }
        let may = phase == Phase::Loading && now >= self.rests_until;
        may.then(|| What::Load(self.model.choose(&mut self.prng)))
    }

    fn ask(&mut self, now: u64, what: What, repeat_after: u64) {
        let text = match &what {
            What::Load(op) | What::Verify(op) => self.model.text(*op),
            What::Clean(name) => format!("DEL {name}"),
        };
        let id = self.id_next;
        self.id_next += 1;
        let bytes = format!("{id} {text}").into_bytes();
        send(&self.socket, &bytes);
        let repeat_at = now + repeat_after;
        self.under = Some(Under {
            id,
            what,
            bytes,
            sent_first: now,
            sent_last: now,
            sends: 1,
            repeat_at,
            repeat_after,
        });
    }

    fn hear(&mut self, now: u64, pause: u64, datagram: &str, tally: &mut Tally) {
        let (id, answer) = datagram.split_once(' ').unwrap_or((datagram, ""));
        let id: Option<u64> = id.parse().ok();
        match self.under.take_if(|under| id == Some(under.id)) {
            Some(under) => {
                self.rests_until = now + pause;
                self.judge(now, under, answer, tally);
            }
            None => self.hear_again(id, datagram, answer, tally),
        }
    }

    /// The first answer to the request under way.
    fn judge(&mut self, now: u64, under: Under, answer: &str, tally: &mut Tally) {
        tally.report.answers += 1;
        let Under { id, sent_first, sent_last, sends, .. } = under;
        tally.answered(Answered { sent_first, sent_last, answered: now });
        if answer.starts_with("ERR") {
            tally.report.errors += 1;
        }
        let checked = match under.what {
            What::Load(op) => {
                let checked = self.model.check(op, answer);
                tally.report.acked_writes += u64::from(checked.is_ok() && Model::is_write(op));
                checked
            }
            What::Verify(op) => {
                let checked = self.model.check(op, answer);
                tally.report.verified_keys += u64::from(checked.is_ok());
                checked
            }
            What::Clean(_) => Ok(()),
        };
        if let Err(fault) = checked {
            tally.report.lost += fault.lost;
            tally.report.duplicated += fault.duplicated;
            tally.report.contradictions += 1;
            let text = String::from_utf8_lossy(&under.bytes);
            tally.evidence(|| {
                format!(
                    "client {}: \"{text}\" must be answered \"{}\" and was answered \"{}\"",
                    self.index, fault.expected, fault.found
                )
            });
        }
        if self.done.len() >= REMEMBERED_MAX {
            self.done.pop_front();
        }
        self.done.push_back(Done { id, sends, answers: 1, answer: answer.to_string() });
    }

    /// An answer to something that has been answered: as often as it was sent, and the same.
    fn hear_again(&mut self, id: Option<u64>, datagram: &str, answer: &str, tally: &mut Tally) {
        let index = self.index;
        match self.done.iter_mut().find(|done| Some(done.id) == id) {
            Some(done) => {
                done.answers += 1;
                if done.answers > done.sends {
                    tally.report.answers_too_many += 1;
                    tally.evidence(|| {
                        format!(
                            "client {index}: \"{datagram}\" came {} times, asked {}",
                            done.answers, done.sends
                        )
                    });
                }
                if done.answer != answer {
                    tally.report.contradictions += 1;
                    tally.evidence(|| {
                        format!("client {index}: \"{datagram}\" was \"{}\" before", done.answer)
                    });
                }
            }
            // Older than what is remembered, or given up: nothing can be said.
            None if id.is_some_and(|id| id < self.id_next) => {}
            None => {
                tally.report.contradictions += 1;
                tally.evidence(|| format!("client {index}: \"{datagram}\" answers nothing that was asked"));
            }
        }
    }
}
