//! Many connections that pipeline increments of one key: `redis-benchmark`, or where it is not installed a
//! load of ours.
//!
//! `redis-benchmark` ends with an error at the first connection that breaks and at the first answer that is
//! one. It sends exactly as many increments as requested, so that the key shows afterwards whether each
//! happened once.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::counter::number_in;
use super::program::Program;
use super::resp::{Connection, Reply, RespError};
use crate::host::failure::Failure;
use crate::lab::stage::ms;

pub const CONNECTIONS: u64 = 50;
/// Increments under way on each.
const DEPTH: u64 = 4;
/// One turn of all connections; a run is a multiple of it.
pub const TURN: u64 = CONNECTIONS * DEPTH;
const LOOK: Duration = Duration::from_millis(2);
/// As much of the program's output as an error needs.
const TOLD_MAX: u64 = 64 * 1024;
const COMPLAINTS_MAX: usize = 3;

/// A run under way.
pub struct Run {
    redis: SocketAddr,
    key: String,
    requests: u64,
    patience: Duration,
    begun: Instant,
    kind: Kind,
}

enum Kind {
    Program { name: String, process: Program, out: JoinHandle<String>, err: JoinHandle<String> },
    Ours { heard: Arc<AtomicU64>, connections: Vec<JoinHandle<Result<Finding, RespError>>> },
}

/// What one connection of ours has found.
#[derive(Clone, Copy, Default)]
struct Finding {
    longest: Duration,
    /// Answers that are not higher than the one before.
    wrong: u64,
}

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ended {
    pub program: String,
    pub connections: u64,
    pub requests: u64,
    /// By how much the key has grown.
    pub counted: i64,
    pub exit_status: Option<i32>,
    pub requests_per_s: f64,
    /// The longest that any request waited, if the program prints it.
    pub longest_wait_ms: Option<f64>,
    #[serde(skip)]
    pub complaints: Vec<String>,
}

impl Run {
    /// Starts `requests` increments, a multiple of [`TURN`], of `key`, which has not been set yet; `program`
    /// does it if there is such a program.
    pub fn start(
        program: &str,
        redis: SocketAddr,
        key: &str,
        requests: u64,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let [host, port] = [redis.ip().to_string(), redis.port().to_string()];
        let [number, connections, depth] = [requests, CONNECTIONS, DEPTH].map(|number| number.to_string());
        let mut command = Command::new(program);
        command.args(["-h", &host, "-p", &port, "-n", &number, "-c", &connections, "-P", &depth]);
        command.args(["--csv", "INCR", key]).stdin(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let kind = match Program::start(command)? {
            Some(mut process) => {
                let (out, err) = (gather(process.child.stdout.take())?, gather(process.child.stderr.take())?);
                Kind::Program { name: program.to_owned(), process, out, err }
            }
            None => ours(redis, key, requests, patience)?,
        };
        Ok(Self { redis, key: key.to_owned(), requests, patience, begun, kind })
    }

    pub fn is_over(&mut self) -> Result<bool, Failure> {
        match &mut self.kind {
            Kind::Program { process, .. } => Ok(process.child.try_wait()?.is_some()),
            Kind::Ours { connections, .. } => Ok(connections.iter().all(JoinHandle::is_finished)),
        }
    }

    /// Increments that have happened so far.
    pub fn progress(&self) -> Result<u64, Failure> {
        match &self.kind {
            Kind::Program { .. } => {
                let counted = number_in(self.redis, &self.key, self.patience)?;
                Ok(u64::try_from(counted).unwrap_or(0))
            }
            Kind::Ours { heard, .. } => Ok(heard.load(Ordering::Relaxed)),
        }
    }

    /// Waits until it is over, and reads its result; `meanwhile` checks that the processes still run.
    pub fn finish(mut self, mut meanwhile: impl FnMut() -> Result<(), Failure>) -> Result<Ended, Failure> {
        let until = Instant::now() + self.patience;
        while !self.is_over()? {
            meanwhile()?;
            if Instant::now() > until {
                return Err(Failure::new(format!("{} increments have not ended", self.requests))
                    .fix("is this host very busy? try again when it is not"));
            }
            std::thread::sleep(LOOK);
        }
        let took = self.begun.elapsed();
        let mut ended = Ended { connections: CONNECTIONS, requests: self.requests, ..Ended::default() };
        match self.kind {
            Kind::Program { name, mut process, out, err } => {
                ended.program = name;
                // An end by a signal has no status, and is no success.
                ended.exit_status = process.child.wait()?.code();
                ended.read(&out.join().unwrap_or_default(), &err.join().unwrap_or_default());
            }
            Kind::Ours { connections, .. } => {
                ended.program = "a load of ours".into();
                ended.requests_per_s = (self.requests as f64 / took.as_secs_f64()).round();
                ended.hear(connections);
            }
        }
        ended.counted = number_in(self.redis, &self.key, self.patience)?;
        Ok(ended)
    }
}

impl Ended {
    /// Reads the program's output: a table of one line under its headings.
    fn read(&mut self, out: &str, err: &str) {
        let cells = |line: &str| -> Vec<String> {
            line.split(',').map(|cell| cell.trim_matches(['"', ' ', '\r']).to_owned()).collect()
        };
        let table: Vec<Vec<String>> = out.lines().map(cells).collect();
        let column = |name: &str| -> Option<f64> {
            let at = table.first()?.iter().position(|heading| heading == name)?;
            table.get(1)?.get(at)?.parse().ok()
        };
        self.longest_wait_ms = column("max_latency_ms");
        // Older versions have no headings.
        let bare = || table.first()?.get(1)?.parse().ok();
        match column("rps").or_else(bare) {
            Some(rate) => self.requests_per_s = rate.round(),
            None => self.complaints.push(format!("{} told no result: {out:?}", self.program)),
        }
        let errors = out.lines().chain(err.lines()).filter(|line| line.to_lowercase().contains("error"));
        self.complaints.extend(errors.take(COMPLAINTS_MAX).map(|line| format!("{}: {line}", self.program)));
        if self.exit_status != Some(0) {
            let status = self.exit_status.map_or("a signal".into(), |status| format!("status {status}"));
            self.complaints.push(format!("{} ended with {status}", self.program));
        }
    }

    fn hear(&mut self, connections: Vec<JoinHandle<Result<Finding, RespError>>>) {
        let mut longest = Duration::ZERO;
        let mut complaints: Vec<String> = Vec::new();
        for connection in connections {
            match connection.join() {
                Ok(Ok(finding)) => {
                    longest = longest.max(finding.longest);
                    if finding.wrong > 0 {
                        complaints
                            .push(format!("{} answers were not higher than the one before", finding.wrong));
                    }
                }
                Ok(Err(error)) => complaints.push(format!("a TCP connection broke: {error}")),
                Err(_) => complaints.push("a client has failed".into()),
            }
        }
        self.longest_wait_ms = Some(ms(longest));
        self.exit_status = Some(i32::from(!complaints.is_empty()));
        complaints.truncate(COMPLAINTS_MAX);
        self.complaints = complaints;
    }
}

/// Reads a pipe to its end.
fn gather(pipe: Option<impl Read + Send + 'static>) -> io::Result<JoinHandle<String>> {
    std::thread::Builder::new().name("redis-benchmark".into()).spawn(move || {
        let (mut bytes, Some(mut pipe)) = (Vec::new(), pipe) else { return String::new() };
        // What was read before an error is all that there is; the rest must flow all the same.
        let whole = pipe.by_ref().take(TOLD_MAX).read_to_end(&mut bytes);
        if whole.is_ok() && io::copy(&mut pipe, &mut io::sink()).is_err() {
            bytes.extend_from_slice(b"...");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Starts our connections; each stops with its share of the increments, or at its first error.
fn ours(redis: SocketAddr, key: &str, requests: u64, patience: Duration) -> io::Result<Kind> {
    let heard = Arc::new(AtomicU64::new(0));
    let share = requests / CONNECTIONS;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (heard, command) = (Arc::clone(&heard), format!("INCR {key}"));
        let client = move || {
            let mut connection = Connection::open(redis, patience)?;
            let (mut finding, mut last) = (Finding::default(), 0);
            for _ in 0..share / DEPTH {
                let asked = Instant::now();
                connection.send(&[command.as_str(); DEPTH as usize])?;
                for _ in 0..DEPTH {
                    match connection.receive()? {
                        Reply::Number(number) if number > last => last = number,
                        _ => finding.wrong += 1,
                    }
                    heard.fetch_add(1, Ordering::Relaxed);
                }
                finding.longest = finding.longest.max(asked.elapsed());
            }
            Ok(finding)
        };
        connections.push(std::thread::Builder::new().name("load".into()).spawn(client)?);
    }
    Ok(Kind::Ours { heard, connections })
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn run_at(redis: &Fake, program: &str) -> Ended {
        let run = Run::start(program, redis.address, "key", 3 * TURN, PATIENCE).unwrap();
        run.finish(|| Ok(())).unwrap()
    }

    fn honest() -> Fake {
        Fake::start(|n| Some(format!(":{n}\r\n")))
    }

    #[test]
    fn without_the_program_ours_does_each_increment_once() {
        let ended = run_at(&honest(), "lockstep-no-such-program");
        assert_eq!((ended.requests, ended.counted, ended.exit_status), (3 * TURN, 3 * TURN as i64, Some(0)));
        assert!(ended.complaints.is_empty() && ended.longest_wait_ms > Some(0.0), "{ended:?}");
    }

    #[test]
    fn ours_tells_a_connection_that_breaks_and_an_answer_that_is_wrong() {
        let breaks =
            run_at(&Fake::start(|n| (*n != 300).then(|| format!(":{n}\r\n"))), "lockstep-no-such-program");
        assert_eq!(breaks.exit_status, Some(1));
        assert!(breaks.complaints[0].contains("broke"), "{breaks:?}");
        let errs = run_at(&Fake::start(|_| Some("-ERR\r\n".into())), "lockstep-no-such-program");
        assert_eq!(errs.exit_status, Some(1));
        assert!(errs.complaints[0].contains("not higher"), "{errs:?}");
    }

    #[test]
    fn a_program_that_fails_or_tells_nothing_is_no_success() {
        let failed = run_at(&honest(), "false");
        assert_eq!((failed.exit_status, failed.counted), (Some(1), 0));
        assert!(failed.complaints.iter().any(|words| words.contains("status 1")), "{failed:?}");
        let silent = run_at(&honest(), "true");
        assert_eq!(silent.exit_status, Some(0));
        assert!(silent.complaints.iter().any(|words| words.contains("no result")), "{silent:?}");
    }

    #[test]
    fn the_programs_table_is_read() {
        let mut ended = Ended { exit_status: Some(0), ..Ended::default() };
        ended.read(
            "\"test\",\"rps\",\"avg_latency_ms\",\"max_latency_ms\"\n\"INCR key\",\"2010.05\",\"98.3\",\"370.4\"\n",
            "",
        );
        assert_eq!((ended.requests_per_s, ended.longest_wait_ms), (2010.0, Some(370.4)));
        assert!(ended.complaints.is_empty());
        ended.read("\"INCR key\",\"1999.50\"\n", "");
        assert_eq!((ended.requests_per_s, ended.longest_wait_ms), (2000.0, None));
        assert!(ended.complaints.is_empty(), "an older version has no headings: {ended:?}");
        ended.read("\"INCR key\",\"2010.05\"\n", "Error: Server closed the connection\n");
        assert!(ended.complaints.iter().any(|words| words.contains("closed the connection")), "{ended:?}");
    }
}
