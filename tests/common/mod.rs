//! What several test programs say in the same words; each takes it in as `mod common`.

pub mod kernel;
pub mod linux;
pub mod networked;
pub mod slow_disk;
pub mod small_disk;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use lockstep::base::Prng;
use lockstep::ft::Message;
use lockstep::ft::message::{self, HEADER_BYTES};
use lockstep::host::logdir::LogDir;
use lockstep::host::os::draw_u64;
use lockstep::log::Event;

pub const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");

/// Says that something is not tested here, and why.
pub fn skipped(why: &str) {
    // Not eprintln: the test harness would keep that to itself.
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("stderr is open");
}

/// Whether there is such a command.
pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(program).exists())
}

/// The path of a committed guest program.
pub fn guest(name: &str) -> String {
    format!("{}/guest-programs/{name}/{name}.elf", env!("CARGO_MANIFEST_DIR"))
}

/// Runs our binary to its end, with nothing to read.
pub fn lockstep(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("lockstep runs")
}

/// How a command ended, and all that it said.
pub fn said(run: &Output) -> String {
    let [out, err] = [&run.stdout, &run.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n{out}{err}", run.status)
}

/// The positions of the digests in a log.
pub fn digests(log: &Path) -> Vec<u64> {
    let entries = LogDir::open(log).expect("a recording").read().map(|place| place.expect("whole").entry);
    entries.filter(|entry| matches!(entry.event, Event::Digest(_))).map(|entry| entry.at.get()).collect()
}

/// The seed of a test: `LOCKSTEP_SEED`, or a new one; printed, so that a failure can be repeated.
pub fn seeded(test: &str) -> Prng {
    let seed = std::env::var("LOCKSTEP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| draw_u64() >> 32);
    println!("{test}: LOCKSTEP_SEED={seed}");
    Prng::new(seed)
}

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// A node's next message; none when it has closed the connection.
pub fn hear(stream: &mut TcpStream) -> Option<Message> {
    loop {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).ok()?;
        let header = message::decode_header(&header).unwrap();
        let mut body = vec![0; header.len];
        stream.read_exact(&mut body).ok()?;
        match message::decode_body(header, &body).unwrap() {
            // No heartbeats are sent here: the connection itself has to do.
            Message::Pulse { .. } => {}
            message => return Some(message),
        }
    }
}

/// The most memory that a process has had so far, in KiB; none once it is gone.
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
