//! Clients on this host, whose TCP connections to Redis are to outlive every primary.
//!
//! Three kinds, all connected before what they are to live through: one of ours that counts without a pause and
//! checks every answer ([`counter`]); a `redis-cli` that is in the middle of a transaction when the
//! primary is killed ([`sitter`]); and `redis-benchmark`, which ends with an error as soon as one of its connections
//! does ([`benchmark`]). What they have found is the verdict ([`Tcp`]). Where Redis's own programs are not
//! installed, connections of ours ([`resp`]) take their places.

mod benchmark;
mod counter;
#[cfg(test)]
mod fake;
mod program;
mod resp;
mod sitter;
mod verdict;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::host::failure::Failure;
use crate::inspect::picture::grouped;
use crate::lab::demo::narrate::say;
use crate::lab::stage::ms;
use benchmark::{Run, TURN};
use counter::Counter;
use sitter::Sitter;
pub use verdict::Tcp;

const CLI: &str = "redis-cli";
const BENCHMARK: &str = "redis-benchmark";
const COUNT: &str = "demo:count";
const VISITS: &str = "demo:visits";
/// What Redis is to call our connection.
const NAME: &str = "demo";
const LOOK: Duration = Duration::from_millis(20);
/// How long the benchmark should take that runs through a kill: some time before it, and some after.
const RUN: Duration = Duration::from_secs(4);
/// The run that finds out how many requests take so long.
const CALM_TURNS: u64 = 10;
/// How often a run may be over before the primary could be killed; each is longer than the one before.
const RUNS_MAX: u32 = 4;
const LONGER: u64 = 4;

/// Checks all other processes while a client is waited for.
type Alive<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;

pub struct Clients {
    redis: SocketAddr,
    counter: Counter,
    sitter: Sitter,
    run: Option<Run>,
    outcome: Tcp,
}

impl Clients {
    /// Connects those that stay until the end.
    pub fn connect(redis: SocketAddr, alive: Alive<'_>) -> Result<Self, Failure> {
        let until = Instant::now() + PATIENCE;
        let counter = loop {
            match Counter::start(redis, COUNT, NAME, PATIENCE) {
                Ok(counter) => break counter,
                Err(failure) if Instant::now() > until => return Err(failure),
                Err(_) => alive()?,
            }
            std::thread::sleep(LOOK);
        };
        say(&format!(
            "Redis answers on this host, too, until the end: join in with `redis-cli -p {}`",
            redis.port()
        ));
        let outcome = Tcp {
            connections: 2,
            local_port: counter.local.port(),
            client_id: counter.client_id,
            ..Tcp::default()
        };
        say(&format!(
            "a client of ours has connected from port {}, counts in Redis and checks each answer; Redis calls \
             it client {}",
            outcome.local_port, outcome.client_id
        ));
        let sitter = Sitter::start(CLI, redis, PATIENCE)?;
        if !sitter.is_program() {
            say(&format!(
                "{CLI} and {BENCHMARK} are not here (Debian and Ubuntu: apt-get install redis-tools): \
                 clients of ours take their places"
            ));
        }
        let mut clients = Self { redis, counter, sitter, run: None, outcome };
        let id = clients.ask("CLIENT ID", alive)?;
        say(&format!("{} has connected, and stays: client {id}", clients.sitter.name));
        clients.outcome.sitter.clone_from(&clients.sitter.name);
        clients.outcome.sitter_id = id;
        Ok(clients)
    }

    fn ask(&mut self, command: &str, alive: Alive<'_>) -> Result<String, Failure> {
        self.sitter.ask(command, PATIENCE, alive)
    }

    /// Begins what a broken connection would undo.
    pub fn begin_transaction(&mut self, alive: Alive<'_>) -> Result<(), Failure> {
        let begun = self.ask("MULTI", alive)?;
        let incr = format!("INCR {VISITS}");
        let queued = self.ask(&incr, alive)?;
        say(&format!("{} begins a transaction: MULTI: {begun}, {incr}: {queued}", self.sitter.name));
        Ok(())
    }

    /// Starts a run of the benchmark, and returns in the midst of it.
    pub fn begin_benchmark(&mut self, alive: Alive<'_>) -> Result<(), Failure> {
        let calm = Run::start(BENCHMARK, self.redis, "demo:calm", CALM_TURNS * TURN, PATIENCE)?;
        let calm = calm.finish(&mut *alive)?;
        say(&format!(
            "{}, {} connections, without a kill: {} requests/s, longest wait {}",
            calm.program,
            calm.connections,
            grouped(calm.requests_per_s as u64),
            verdict::wait(calm.longest_wait_ms)
        ));
        let turns = (calm.requests_per_s * RUN.as_secs_f64()) as u64 / TURN;
        let mut requests = turns.max(CALM_TURNS) * TURN;
        self.outcome.calm = Some(calm);
        for attempt in 1..=RUNS_MAX {
            let key = format!("demo:benchmark-{attempt}");
            let mut run = Run::start(BENCHMARK, self.redis, &key, requests, PATIENCE)?;
            loop {
                let progress = run.progress()?;
                if run.is_over()? || progress > requests / 2 {
                    break;
                }
                if progress > requests / 8 {
                    say(&format!(
                        "the benchmark, once more: {} of {} requests so far",
                        grouped(progress),
                        grouped(requests)
                    ));
                    self.run = Some(run);
                    return Ok(());
                }
                alive()?;
                std::thread::sleep(LOOK);
            }
            // Whatever it has come to is judged like the one that counts.
            self.outcome.early.push(run.finish(&mut *alive)?);
            requests *= LONGER;
        }
        Err(Failure::new("the benchmark is over before the primary can be killed")
            .fix("is this host very busy? try again when it is not"))
    }

    /// The longest wait of the client that counts is that over the kill from here on.
    pub fn kill_comes(&mut self) {
        let calm = ms(self.counter.longest_wait());
        self.outcome.longest_wait_else_ms = self.outcome.longest_wait_else_ms.max(calm);
        self.outcome.answers_before = self.counter.count().answered;
    }

    /// The primary is dead: every client that still runs now runs through the kill.
    pub fn kill_came(&mut self) -> Result<(), Failure> {
        if let Some(run) = &mut self.run
            && run.is_over()?
        {
            self.outcome.evidence.push("the benchmark was over before the kill".into());
        }
        Ok(())
    }

    /// Ends the transaction, after the kill.
    pub fn end_transaction(&mut self, alive: Alive<'_>) -> Result<(), Failure> {
        let answer = self.ask("EXEC", alive)?;
        let id = self.ask("CLIENT ID", alive)?;
        let still = if id == self.outcome.sitter_id { "still" } else { "NOT the same any more, but" };
        say(&format!("{} ends its transaction: EXEC: {answer}; it is {still} client {id}", self.sitter.name));
        self.outcome.end_transaction(answer, &id);
        Ok(())
    }

    /// Waits for the benchmark, if there is one, and reports how the kill was for the clients.
    pub fn kill_was(&mut self, alive: Alive<'_>) -> Result<(), Failure> {
        if let Some(run) = self.run.take() {
            let ended = run.finish(alive)?;
            say(&format!(
                "{} has run through the kill: exit status {}, {} requests/s, longest wait {}; {} asked, {} counted",
                ended.program,
                ended.exit_status.map_or("none".into(), |status| status.to_string()),
                grouped(ended.requests_per_s as u64),
                verdict::wait(ended.longest_wait_ms),
                grouped(ended.requests),
                ended.counted
            ));
            self.outcome.benchmark = Some(ended);
        }
        let (count, longest) = (self.counter.count(), ms(self.counter.longest_wait()));
        let how = if count.broken { "has LOST its connection" } else { "counts on over the same connection" };
        say(&format!(
            "our client {how}, from port {}: {} answers, lost {}, duplicated {}; longest wait over the kill \
             {longest:.0} ms",
            self.counter.local.port(),
            grouped(count.answered),
            count.lost,
            count.duplicated
        ));
        self.outcome.kill_was(longest, count.answered);
        Ok(())
    }

    /// Stops all clients, and adds up.
    pub fn conclude(self) -> Result<Tcp, Failure> {
        let mut outcome = self.outcome;
        let longest = ms(self.counter.longest_wait());
        outcome.longest_wait_else_ms = outcome.longest_wait_else_ms.max(longest);
        outcome.conclude(&self.counter.stop(self.redis, PATIENCE)?);
        Ok(outcome)
    }
}
