//! A load for the `counter` guest: TCP connections that pipeline increments and look at every answer.
//!
//! One thread serves all of them. Each connection has a number of its own in the guest, so that each
//! answer is known: one that is lost, repeated or out of order is found at once, and at the end the
//! guest is asked for each number. A connection that breaks is not made again: it is the finding.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::base::Prng;
use crate::host::os::look;

/// A client that waits longer than this for an answer does not wait for a takeover.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Waits of more than this are kept with the moments at which they began and ended.
const LONG: Duration = Duration::from_millis(2);
const LONG_MAX: usize = 1 << 20;
/// The longest answer is a number and a line end.
const LINE_BYTES_MAX: usize = 64;
/// At most this many failures are described.
const WORDS_MAX: usize = 16;

/// What is driven, and how hard.
#[derive(Clone, Debug)]
pub struct CounterConfig {
    /// Where the guest's port is on this host.
    pub at: SocketAddr,
    /// TCP connections at once.
    pub connections: usize,
    /// Requests that each connection sends without waiting for answers.
    pub depth: usize,
    /// A connection that has all its answers rests for up to twice as long.
    pub rest: Duration,
}

impl CounterConfig {
    /// One connection that asks again as soon as it is answered.
    pub fn new(at: SocketAddr) -> Self {
        Self { at, connections: 1, depth: 1, rest: Duration::ZERO }
    }
}

/// What a load has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers that came and were the expected ones.
    pub answers: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// From sending to the last answer of what was sent at once: how often, by microseconds.
    pub latencies_us: BTreeMap<u64, u64>,
    /// The long waits of all connections, from a request, or the answer before, to an answer.
    pub waits: Vec<(Instant, Instant)>,
    /// Connections that broke, and answers that were not the expected ones, in words.
    pub wrong: Vec<String>,
}

impl Report {
    /// Every connection held, and every answer was the expected one.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Over the whole time of the load.
    pub fn answers_per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The latency that half of what was sent did not exceed.
    pub fn median_us(&self) -> f64 {
        let half = self.latencies_us.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        let median = self.latencies_us.iter().find(|(_, count)| {
            seen += **count;
            seen >= half
        });
        median.map_or(0.0, |(us, _)| *us as f64)
    }

    /// The longest wait of any connection among those that had not ended at `blow`, or began soon after.
    pub fn longest_wait_around(&self, blow: Instant) -> Duration {
        let soon = blow + Duration::from_millis(20);
        let around = self.waits.iter().filter(|(from, to)| *from < soon && *to > blow);
        around.map(|(from, to)| *to - *from).max().unwrap_or_default()
    }

    fn is_wrong(&mut self, words: String) {
        if self.wrong.len() < WORDS_MAX {
            self.wrong.push(words);
        }
    }
}

/// A load at work.
pub struct CounterLoad {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<Report>>,
}

impl CounterLoad {
    /// Connects, asks where each number stands, and begins.
    pub fn start(config: CounterConfig) -> io::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let clients = (0..config.connections).map(|n| Client::connect(config.at, n));
        let clients = clients.collect::<io::Result<Vec<_>>>()?;
        let until = Arc::clone(&done);
        let thread = std::thread::Builder::new()
            .name("counter-load".into())
            .spawn(move || Drive { config, clients, report: Report::default() }.run(&until))?;
        Ok(Self { done, thread: Some(thread) })
    }

    /// Waits for the answers that are due, asks for each number once more, and ends.
    pub fn stop(mut self) -> Report {
        self.done.store(true, Ordering::Relaxed);
        let report = self.thread.take().and_then(|thread| thread.join().ok());
        report.unwrap_or_else(|| Report { wrong: vec!["the load itself broke".into()], ..Report::default() })
    }
}

impl Drop for CounterLoad {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// One request and its answer, on a connection that does nothing else meanwhile.
pub fn ask(stream: &mut TcpStream, request: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(&*stream).take(1 << 12).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended instead of an answer"))
        }
    }
}

fn asked_number(stream: &mut TcpStream, n: usize) -> io::Result<u64> {
    let answer = ask(stream, &format!("get load-{n}"))?;
    answer.parse().map_err(|_| io::Error::other(format!("the guest answered {answer:?}, not a number")))
}

struct Client {
    n: usize,
    stream: TcpStream,
    /// The guest's number, by the answers so far.
    heard: u64,
    under_way: usize,
    /// Of an answer, so far.
    line: Vec<u8>,
    sent_at: Instant,
    last: Instant,
    rests_until: Option<Instant>,
    broken: bool,
}

impl Client {
    fn connect(at: SocketAddr, n: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        let heard = asked_number(&mut stream, n)?;
        stream.set_nonblocking(true)?;
        let now = Instant::now();
        Ok(Self {
            n,
            stream,
            heard,
            under_way: 0,
            line: Vec::new(),
            sent_at: now,
            last: now,
            rests_until: None,
            broken: false,
        })
    }

    /// Sends a batch. It is small, and everything before it is answered: a socket takes it whole.
    fn send(&mut self, depth: usize) -> io::Result<()> {
        self.rests_until = None;
        self.sent_at = Instant::now();
        self.last = self.sent_at;
        self.stream.write_all(format!("incr load-{}\n", self.n).repeat(depth).as_bytes())?;
        self.under_way = depth;
        Ok(())
    }

    /// Reads what has come, and looks at each answer.
    fn hear(&mut self, report: &mut Report) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let read = match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the guest ended it")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        for byte in &bytes[..read] {
            if *byte != b'\n' && self.line.len() < LINE_BYTES_MAX {
                self.line.push(*byte);
                continue;
            }
            let expected = self.heard + 1;
            if self.under_way == 0 || self.line != expected.to_string().as_bytes() {
                let found = String::from_utf8_lossy(&self.line).into_owned();
                return Err(io::Error::other(format!(
                    "answer {found:?} where {expected} was due, {} under way",
                    self.under_way
                )));
            }
            self.line.clear();
            self.heard = expected;
            self.under_way -= 1;
            report.answers += 1;
        }
        if now - self.last > LONG && report.waits.len() < LONG_MAX {
            report.waits.push((self.last, now));
        }
        self.last = now;
        Ok(())
    }
}

struct Drive {
    config: CounterConfig,
    clients: Vec<Client>,
    report: Report,
}

impl Drive {
    fn run(mut self, done: &AtomicBool) -> Report {
        let mut prng = Prng::new(self.config.connections as u64);
        let begun = Instant::now();
        loop {
            let ending = done.load(Ordering::Relaxed);
            let now = Instant::now();
            for client in &mut self.clients {
                let idle = client.under_way == 0 && !client.broken;
                if idle && !ending && client.rests_until.is_none_or(|until| until <= now) {
                    let sent = client.send(self.config.depth);
                    keep(client, sent, &mut self.report);
                }
            }
            if ending && self.clients.iter().all(|client| client.under_way == 0 || client.broken) {
                break;
            }
            for index in self.wait() {
                self.hear(index, &mut prng);
            }
            for client in &mut self.clients {
                if client.under_way > 0 && !client.broken && client.last.elapsed() > PATIENCE {
                    let silence = io::Error::new(io::ErrorKind::TimedOut, "no answer comes any more");
                    keep(client, Err(silence), &mut self.report);
                }
            }
        }
        self.report.took = begun.elapsed();
        for client in &mut self.clients {
            let asked = match client.broken {
                true => Ok(client.heard),
                false => client
                    .stream
                    .set_nonblocking(false)
                    .and_then(|()| asked_number(&mut client.stream, client.n)),
            };
            match asked {
                Ok(number) if number == client.heard => {}
                Ok(number) => self
                    .report
                    .is_wrong(format!("number {} is {number} after {} answers", client.n, client.heard)),
                Err(error) => self.report.is_wrong(format!("connection {}: {error}", client.n)),
            }
        }
        self.report
    }

    /// Sleeps until a connection has received something, or a rest is over; returns those with something to
    /// read.
    fn wait(&self) -> Vec<usize> {
        let now = Instant::now();
        let rests = self.clients.iter().filter_map(|client| client.rests_until);
        let rest = rests.min().map_or(LOOK, |until| until.saturating_duration_since(now)).min(LOOK);
        let live: Vec<usize> = (0..self.clients.len()).filter(|n| !self.clients[*n].broken).collect();
        let fd = |n: &usize| PollFd::new(&self.clients[*n].stream, PollFlags::IN);
        let mut fds: Vec<PollFd<'_>> = live.iter().map(fd).collect();
        look(&mut fds, rest);
        let ready = live.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|(n, _)| *n).collect()
    }

    /// Reads what one client has received, and lets it rest when it has all its answers.
    fn hear(&mut self, index: usize, prng: &mut Prng) {
        let client = &mut self.clients[index];
        let busy = client.under_way > 0;
        let heard = client.hear(&mut self.report);
        keep(client, heard, &mut self.report);
        if client.broken || client.under_way > 0 || !busy {
            return;
        }
        let us = client.sent_at.elapsed().as_micros() as u64;
        *self.report.latencies_us.entry(us).or_default() += 1;
        let rest_us = self.config.rest.as_micros() as u64;
        if rest_us > 0 {
            let rest = Duration::from_micros(prng.below(2 * rest_us));
            client.rests_until = Some(Instant::now() + rest);
        }
    }
}

/// Notes what went wrong on a connection.
fn keep(client: &mut Client, result: io::Result<()>, report: &mut Report) {
    if let Err(error) = result {
        client.broken = true;
        report.is_wrong(format!("connection {} after answer {}: {error}", client.n, client.heard));
    }
}
