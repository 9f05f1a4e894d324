//! A client that counts: one TCP connection, opened once, on which every answer is checked until it is
//! stopped.
//!
//! Each round asks for a few increments of one key, and whom Redis takes this connection for. The next answer
//! can only be the next number: a lower one is an increment that Redis has forgotten, a higher one an
//! increment that happened twice. A connection that breaks is not made anew.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::resp::{Connection, Reply, RespError};
use crate::host::failure::Failure;

/// Increments under way at once.
const DEPTH: u64 = 4;
/// Between two rounds. A small host has other things to do; a kill still meets a round under way or is
/// followed by one at once.
const REST: Duration = Duration::from_millis(10);
const COMPLAINTS_MAX: usize = 5;
/// How long an answer too many is waited for at the end.
const LATE: Duration = Duration::from_millis(200);

/// What the answers so far have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub asked: u64,
    pub answered: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// The connection ended before it was stopped.
    pub broken: bool,
    /// What must not be, in words.
    pub complaints: Vec<String>,
}

impl Count {
    pub fn unanswered(&self) -> u64 {
        self.asked - self.answered
    }

    fn complain(&mut self, words: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(words);
        }
    }

    /// `expected` is the next number, and becomes the one after this answer's.
    pub fn hear(&mut self, expected: &mut i64, reply: &Reply) {
        self.answered += 1;
        let Reply::Number(number) = *reply else {
            self.lost += 1;
            self.complain(format!("an increment was answered with {reply:?}"));
            return;
        };
        if number != *expected {
            self.differ(*expected, number, "was answered, where the next was");
        }
        *expected = number.saturating_add(1);
    }

    /// Counts a number that is not the `expected` one.
    pub fn differ(&mut self, expected: i64, number: i64, how: &str) {
        let between = expected.abs_diff(number);
        let side = if number > expected { &mut self.duplicated } else { &mut self.lost };
        *side = side.saturating_add(between);
        self.complain(format!("{number} {how} {expected}"));
    }
}

#[derive(Default)]
struct Shared {
    count: Count,
    /// The longest wait since the last look, and the one that has not ended.
    longest: Duration,
    waits_since: Option<Instant>,
}

pub struct Counter {
    pub local: SocketAddr,
    /// What Redis calls the connection: a number that no later connection gets.
    pub client_id: i64,
    key: String,
    shared: Arc<Mutex<Shared>>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Counter {
    /// Connects and begins to count in `key`, under the name `name`.
    pub fn start(redis: SocketAddr, key: &str, name: &str, patience: Duration) -> Result<Self, Failure> {
        let mut connection = Connection::open(redis, patience)?;
        let named = connection.ask(&format!("CLIENT SETNAME {name}"))?;
        let Reply::Number(client_id) = connection.ask("CLIENT ID")? else {
            return Err(Failure::new(format!("Redis does not number its clients ({named})")));
        };
        let (shared, done, local) = (<Arc<Mutex<Shared>>>::default(), Arc::default(), connection.local);
        let mut round = Round::new(connection, key, client_id, name);
        let (told, until): (_, Arc<AtomicBool>) = (Arc::clone(&shared), Arc::clone(&done));
        let thread = std::thread::Builder::new().name("counter".into()).spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if let Err(error) = round.once(&told) {
                    return lock(&told).breaks(&error);
                }
                std::thread::sleep(REST);
            }
            match round.connection.hears_more(LATE) {
                Ok(false) => {}
                Ok(true) => {
                    let count = &mut lock(&told).count;
                    count.duplicated += 1;
                    count.complain("more was answered than was asked".into());
                }
                Err(error) => lock(&told).breaks(&error),
            }
        })?;
        Ok(Self { local, client_id, key: key.to_owned(), shared, done, thread })
    }

    pub fn count(&self) -> Count {
        lock(&self.shared).count.clone()
    }

    /// The longest wait for an answer since this was last asked. One that has not ended counts as far as
    /// it has come, and in full the next time.
    pub fn longest_wait(&self) -> Duration {
        let mut shared = lock(&self.shared);
        let waits = shared.waits_since.map_or(Duration::ZERO, |since| since.elapsed());
        std::mem::take(&mut shared.longest).max(waits)
    }

    /// Stops once everything is answered, and asks another connection how far Redis has counted.
    pub fn stop(self, redis: SocketAddr, patience: Duration) -> Result<Count, Failure> {
        self.done.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            return Err(Failure::new("the client that counts has failed"));
        }
        let mut count = lock(&self.shared).count.clone();
        let stored = number_in(redis, &self.key, patience)?;
        // What was asked and not answered may have happened or not.
        let answered = count.answered as i64;
        if !(answered..=count.asked as i64).contains(&stored) {
            count.differ(answered, stored, "is where Redis has come to, and has answered");
        }
        Ok(count)
    }
}

/// The number in `key`, asked over a connection of its own.
pub fn number_in(redis: SocketAddr, key: &str, patience: Duration) -> Result<i64, RespError> {
    match Connection::open(redis, patience)?.ask(&format!("GET {key}"))? {
        Reply::Nil => Ok(0),
        reply => {
            let text = reply.to_string();
            text.parse().map_err(|_| RespError::Unintelligible { line: text })
        }
    }
}

/// What is asked again and again, and the answers that it must get.
struct Round {
    connection: Connection,
    commands: Vec<String>,
    expected: i64,
    identity: [Reply; 2],
}

impl Round {
    fn new(connection: Connection, key: &str, client_id: i64, name: &str) -> Self {
        let mut commands = vec![format!("INCR {key}"); DEPTH as usize];
        commands.extend(["CLIENT ID", "CLIENT GETNAME"].map(str::to_owned));
        let identity = [Reply::Number(client_id), Reply::Text(name.to_owned())];
        Self { connection, commands, expected: 1, identity }
    }

    fn once(&mut self, told: &Mutex<Shared>) -> Result<(), RespError> {
        let asked = Instant::now();
        {
            let mut shared = lock(told);
            shared.count.asked += DEPTH;
            shared.waits_since = Some(asked);
        }
        self.connection.send(&self.commands.iter().map(String::as_str).collect::<Vec<_>>())?;
        for _ in 0..DEPTH {
            let reply = self.connection.receive()?;
            lock(told).count.hear(&mut self.expected, &reply);
        }
        let identity = [self.connection.receive()?, self.connection.receive()?];
        let mut shared = lock(told);
        if identity != self.identity {
            let words =
                format!("Redis took the connection for {:?}, and now for {identity:?}", self.identity);
            shared.count.complain(words);
        }
        shared.longest = shared.longest.max(asked.elapsed());
        shared.waits_since = None;
        Ok(())
    }
}

impl Shared {
    fn breaks(&mut self, error: &RespError) {
        self.count.broken = true;
        self.waits_since = None;
        self.count.complain(format!("a TCP connection broke: {error}"));
    }
}

/// A thread that panicked with the lock had only counted.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a client finds that counts at a server that does `wrong` at its 21st increment.
    fn counts_at(wrong: fn(&mut i64) -> Option<String>) -> Count {
        let redis = Fake::start(move |n| if *n == 21 { wrong(n) } else { Some(format!(":{n}\r\n")) });
        let counter = Counter::start(redis.address, "count", "me", PATIENCE).unwrap();
        let until = Instant::now() + PATIENCE;
        while counter.count().answered < 40 && !counter.count().broken {
            assert!(Instant::now() < until, "{:?}", counter.count());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(counter.longest_wait() > Duration::ZERO);
        counter.stop(redis.address, PATIENCE).unwrap()
    }

    #[test]
    fn a_server_that_does_each_thing_once_has_no_complaints() {
        let count = counts_at(|n| Some(format!(":{n}\r\n")));
        assert!(count.answered >= 40 && count.unanswered() == 0, "{count:?}");
        assert_eq!((count.lost, count.duplicated, count.broken), (0, 0, false));
        assert_eq!(count.complaints, Vec::<String>::new());
    }

    #[test]
    fn what_is_forgotten_or_done_twice_is_counted() {
        let forgotten = counts_at(|n| {
            *n -= 5;
            Some(format!(":{n}\r\n"))
        });
        assert!(forgotten.lost >= 5 && !forgotten.complaints.is_empty(), "{forgotten:?}");
        let twice = counts_at(|n| {
            *n += 1;
            Some(format!(":{n}\r\n"))
        });
        assert!(twice.duplicated >= 1 && twice.lost == 0, "{twice:?}");
    }

    #[test]
    fn an_answer_that_is_repeated_or_an_error_is_counted() {
        let repeated = counts_at(|n| Some(format!(":{n}\r\n:{n}\r\n")));
        assert!(repeated.lost + repeated.duplicated >= 1, "{repeated:?}");
        let error = counts_at(|_| Some("-LOADING\r\n".into()));
        assert!(error.lost >= 1 && error.complaints[0].contains("LOADING"), "{error:?}");
    }

    #[test]
    fn a_connection_that_breaks_is_told_and_not_made_anew() {
        let count = counts_at(|_| None);
        assert!(count.broken && count.unanswered() > 0, "{count:?}");
        assert!(count.complaints[0].contains("broke"), "{count:?}");
    }

    #[test]
    fn another_connection_in_its_place_is_noticed() {
        let redis = Fake::start(|n| Some(format!(":{n}\r\n")));
        let mut connection = Connection::open(redis.address, PATIENCE).unwrap();
        connection.ask("CLIENT SETNAME me").unwrap();
        let told = Mutex::default();
        Round::new(connection, "count", 999, "me").once(&told).unwrap();
        let complaints = &lock(&told).count.complaints;
        assert!(complaints.len() == 1 && complaints[0].contains("999"), "{complaints:?}");
    }
}
