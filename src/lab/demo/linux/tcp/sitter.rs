//! A user at `redis-cli`: one process with one connection, that is typed at now and then, from before the
//! first kill to the end.
//!
//! The program connects again by itself when its connection breaks, and does not report it; but then Redis
//! has another number for it and has forgotten its transaction, and both show. Where there is no `redis-cli`
//! a connection of ours takes its place.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::program::Program;
use super::resp::Connection;
use crate::host::failure::Failure;

const LOOK: Duration = Duration::from_millis(5);
/// Lines that no command has waited for yet; each command has one.
const LINES_MAX: usize = 64;

pub struct Sitter {
    /// What sits there, for people.
    pub name: String,
    hand: Hand,
    lines: Receiver<String>,
}

enum Hand {
    Program { keyboard: ChildStdin, _process: Program },
    Ours(Sender<String>),
}

impl Sitter {
    /// `program` is started if there is such a program, and connects to `redis`.
    pub fn start(program: &str, redis: SocketAddr, patience: Duration) -> Result<Self, Failure> {
        let (to, lines) = bounded(LINES_MAX);
        let (host, port) = (redis.ip().to_string(), redis.port().to_string());
        let mut command = Command::new(program);
        command.args(["-h", &host, "-p", &port]).stdin(Stdio::piped()).stderr(Stdio::null());
        let Some(mut process) = Program::start(command)? else {
            let hand = Hand::Ours(ours(redis, patience, to)?);
            return Ok(Self { name: "a connection of ours".into(), hand, lines });
        };
        let (Some(keyboard), Some(out)) = (process.child.stdin.take(), process.child.stdout.take()) else {
            return Err(Failure::new(format!("{program} has no pipes")));
        };
        std::thread::Builder::new().name("redis-cli".into()).spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { name: program.to_owned(), hand: Hand::Program { keyboard, _process: process }, lines })
    }

    pub fn is_program(&self) -> bool {
        matches!(self.hand, Hand::Program { .. })
    }

    /// Types a command that is answered with one line, and waits for that. `meanwhile` checks that waiting
    /// still makes sense.
    pub fn ask(
        &mut self,
        command: &str,
        patience: Duration,
        mut meanwhile: impl FnMut() -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        // After an error the program says an empty line more.
        while self.lines.try_recv().is_ok() {}
        let ended = |name: &str| Failure::new(format!("{name} has ended and cannot be asked {command:?}"));
        match &mut self.hand {
            Hand::Program { keyboard, .. } => {
                writeln!(keyboard, "{command}")
                    .and_then(|()| keyboard.flush())
                    .map_err(|_| ended(&self.name))?;
            }
            Hand::Ours(commands) => commands.send(command.to_owned()).map_err(|_| ended(&self.name))?,
        }
        let until = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(ended(&self.name)),
                Err(RecvTimeoutError::Timeout) if Instant::now() > until => {
                    return Err(Failure::new(format!("{} does not answer {command:?}", self.name))
                        .fix("is this host very busy? try again when it is not"));
                }
                Err(RecvTimeoutError::Timeout) => meanwhile()?,
            }
        }
    }
}

/// A thread that does for one connection what the program does.
fn ours(redis: SocketAddr, patience: Duration, lines: Sender<String>) -> Result<Sender<String>, Failure> {
    let mut connection = Connection::open(redis, patience)?;
    let (hand, commands) = bounded::<String>(LINES_MAX);
    std::thread::Builder::new().name("sitter".into()).spawn(move || {
        for command in commands {
            let line = match connection.ask(&command) {
                Ok(reply) => reply.to_string(),
                Err(error) => format!("the connection broke: {error}"),
            };
            if lines.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(hand)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn without_the_program_a_connection_of_ours_is_asked() {
        let redis = Fake::start(|n| Some(format!(":{n}\r\n")));
        let mut sitter = Sitter::start("lockstep-no-such-program", redis.address, PATIENCE).unwrap();
        assert!(!sitter.is_program());
        let said = ["CLIENT ID", "MULTI", "INCR visits", "EXEC", "EXEC"]
            .map(|command| sitter.ask(command, PATIENCE, || Ok(())).unwrap());
        assert_eq!(said, ["1", "OK", "QUEUED", "1", "ERR EXEC without MULTI"]);
    }

    #[test]
    fn a_connection_of_ours_that_breaks_says_so_from_then_on() {
        let redis = Fake::start(|_| None);
        let mut sitter = Sitter::start("lockstep-no-such-program", redis.address, PATIENCE).unwrap();
        for command in ["INCR visits", "CLIENT ID"] {
            let said = sitter.ask(command, PATIENCE, || Ok(())).unwrap();
            assert!(said.contains("broke"), "{said}");
        }
    }

    #[test]
    fn a_program_that_ends_is_told() {
        let redis = Fake::start(|n| Some(format!(":{n}\r\n")));
        let mut sitter = Sitter::start("true", redis.address, PATIENCE).unwrap();
        assert!(sitter.is_program());
        let failure = sitter.ask("CLIENT ID", PATIENCE, || Ok(())).unwrap_err();
        assert!(format!("{failure}").contains("ended"), "{failure}");
    }
}
