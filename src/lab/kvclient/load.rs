//! The handle of a running load, and what it reports.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use super::driver::Driver;
use super::histogram::Histogram;

/// What is driven, and how patiently.
#[derive(Clone, Debug)]
pub struct KvConfig {
    /// Where the guest's port is on this host.
    pub server: SocketAddr,
    /// Logical clients, each with one request under way.
    pub clients: usize,
    /// Counters, and as many registers, for each client.
    pub keys: usize,
    /// A request is repeated after this long, then after twice as long, …
    pub repeat_first: Duration,
    /// … but never later than this.
    pub repeat_max: Duration,
    /// A request is given up after this long.
    pub patience: Duration,
    /// Each client waits this long between an answer and its next request.
    pub pause: Duration,
    /// Decides the mix of requests.
    pub seed: u64,
    /// After [`KvLoad::stop`], read every key back, then delete them all.
    pub read_back: bool,
}

impl KvConfig {
    /// Eight clients with two counters and two registers each, without pauses.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            clients: 8,
            keys: 2,
            repeat_first: Duration::from_millis(5),
            repeat_max: Duration::from_millis(50),
            patience: Duration::from_secs(10),
            pause: Duration::ZERO,
            seed: 1,
            read_back: true,
        }
    }
}

/// One answered request; times are nanoseconds since the load's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// When it was sent.
    pub sent_first: u64,
    /// When it was last repeated; the same as `sent_first` when it was not.
    pub sent_last: u64,
    /// When its answer came.
    pub answered: u64,
}

/// What a load has found so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Logical clients.
    pub clients: usize,
    /// From the load's start to its end, or until now.
    pub seconds: f64,
    /// Requests begun; a repeated one counts once.
    pub requests: u64,
    /// Requests answered.
    pub answers: u64,
    /// Writes among them.
    pub acked_writes: u64,
    /// Effects of acknowledged writes that were later missing.
    pub lost: u64,
    /// Effects that happened more than once.
    pub duplicated: u64,
    /// Answers that cannot be, those counted above included.
    pub contradictions: u64,
    /// Answers beyond one for each time that a request was sent.
    pub answers_too_many: u64,
    /// Requests answered with `ERR`.
    pub errors: u64,
    /// Requests sent again.
    pub repeats: u64,
    /// Requests that were never answered.
    pub given_up: u64,
    /// Keys read back and found right after the end.
    pub verified_keys: u64,
    /// Microseconds from sending to the answer: the median.
    pub p50_us: u64,
    /// The 99th percentile of these.
    pub p99_us: u64,
    /// The longest of these.
    pub max_us: u64,
    /// The longest time without any answer between the first answer and the last.
    pub longest_gap_ms: f64,
    /// Over the whole time of the load.
    pub answers_per_second: f64,
    /// The first few contradictions in words.
    pub evidence: Vec<String>,
}

impl Report {
    /// Nothing lost, nothing twice, nothing strange, nothing unanswered.
    pub fn is_clean(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.contradictions == 0
            && self.answers_too_many == 0
            && self.errors == 0
            && self.given_up == 0
    }
}

/// At most so many answers are remembered with their times, the latest.
const ANSWERS_MAX: usize = 1 << 20;
/// At most this many contradictions are described.
const EVIDENCE_MAX: usize = 16;

/// What the driver fills in.
#[derive(Default)]
pub(super) struct Tally {
    pub report: Report,
    pub latency: Histogram,
    answers: Vec<Answered>,
    answers_start: usize,
    last_answer: Option<u64>,
    gap: u64,
}

impl Tally {
    pub fn answered(&mut self, answered: Answered) {
        self.latency.add((answered.answered - answered.sent_first) / 1000);
        if let Some(last) = self.last_answer.replace(answered.answered) {
            self.gap = self.gap.max(answered.answered - last);
        }
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push(answered);
        } else {
            self.answers[self.answers_start] = answered;
            self.answers_start = (self.answers_start + 1) % ANSWERS_MAX;
        }
    }

    /// The answers from `since` on, in order.
    fn answers_since(&self, since: u64) -> Vec<Answered> {
        let (late, early) = self.answers.split_at(self.answers_start);
        let from = |part: &[Answered]| part.partition_point(|answer| answer.answered < since);
        [&early[from(early)..], &late[from(late)..]].concat()
    }

    pub fn evidence(&mut self, words: impl FnOnce() -> String) {
        if self.report.evidence.len() < EVIDENCE_MAX {
            self.report.evidence.push(words());
        }
    }

    fn report(&self, elapsed: Duration) -> Report {
        Report {
            seconds: elapsed.as_secs_f64(),
            p50_us: self.latency.percentile(50.0),
            p99_us: self.latency.percentile(99.0),
            max_us: self.latency.max(),
            longest_gap_ms: self.gap as f64 / 1e6,
            answers_per_second: self.report.answers as f64 / elapsed.as_secs_f64().max(1e-9),
            ..self.report.clone()
        }
    }
}

/// What the driver is asked.
pub(super) enum Order {
    /// Read every key back now; answer when that is done.
    Verify(Sender<()>),
    /// Finish what is under way, read back and end.
    Stop,
}

/// A running load. Dropping it stops it without waiting.
pub struct KvLoad {
    tally: Arc<Mutex<Tally>>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    begun: Instant,
    patience: Duration,
}

impl KvLoad {
    /// Opens the clients' sockets and begins.
    pub fn start(config: KvConfig) -> io::Result<KvLoad> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        lock(&tally).report.clients = config.clients;
        let (orders, receiver): (_, Receiver<Order>) = bounded(4);
        let begun = Instant::now();
        let patience = config.patience;
        let driver = Driver::new(config, Arc::clone(&tally), receiver, begun)?;
        let thread = std::thread::Builder::new().name("kv-load".into()).spawn(move || driver.run())?;
        Ok(KvLoad { tally, orders, thread: Some(thread), begun, patience })
    }

    /// The report so far.
    pub fn snapshot(&self) -> Report {
        lock(&self.tally).report(self.begun.elapsed())
    }

    /// The answers that came at or after `since`, in order; at most the last million.
    pub fn answers_since(&self, since: Instant) -> Vec<Answered> {
        lock(&self.tally).answers_since(self.ns(since))
    }

    /// The moment of the first answer to a request that was sent (or sent again) at or after
    /// `since`: a process that was dead at `since` has not given it.
    pub fn first_answer_to_request_after(&self, since: Instant) -> Option<Instant> {
        let from = self.ns(since);
        let answers = lock(&self.tally).answers_since(from);
        answers.iter().find(|answer| answer.sent_last >= from).map(|answer| self.instant(answer.answered))
    }

    /// The longest time without any answer that ended at or after `since`: its end, and its length.
    pub fn longest_gap_since(&self, since: Instant) -> Option<(Instant, Duration)> {
        let answers = lock(&self.tally).answers_since(self.ns(since));
        let begin = self.ns(since);
        let mut last = begin;
        let mut longest: Option<(u64, u64)> = None;
        for answer in &answers {
            let gap = answer.answered - last;
            last = answer.answered;
            if longest.is_none_or(|(_, length)| gap > length) {
                longest = Some((answer.answered, gap));
            }
        }
        longest.map(|(end, length)| (self.instant(end), Duration::from_nanos(length)))
    }

    /// Reads every key back while the load goes on; false when that took longer than a request may.
    pub fn verify_all(&self) -> bool {
        let (done, wait) = bounded(1);
        self.orders.send(Order::Verify(done)).is_ok()
            && wait.recv_timeout(self.patience + Duration::from_secs(1)).is_ok()
    }

    /// Lets what is under way finish, reads everything back, and reports.
    pub fn stop(mut self) -> Report {
        // The driver may have ended by itself only by a panic, which `join` shows.
        self.orders.send(Order::Stop).ok();
        let elapsed = self.begun.elapsed();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            let mut tally = lock(&self.tally);
            tally.report.contradictions += 1;
            tally.evidence(|| "the client itself has failed".into());
        }
        lock(&self.tally).report(elapsed)
    }

    fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_nanos() as u64
    }

    fn instant(&self, ns: u64) -> Instant {
        self.begun + Duration::from_nanos(ns)
    }
}

/// A tally is whole after each of its methods, also when another thread has panicked.
pub(super) fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
