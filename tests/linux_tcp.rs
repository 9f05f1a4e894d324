//! Clients of Redis in a Debian guest, each with a TCP connection through the switch, while its primaries
//! are killed: no connection breaks, and no answer is lost, repeated or out of order.
//!
//! And what `demo --linux` shows of that: Redis's own programs stay connected, and the demo reports one that does not.
//!
//! Where Debian's packages are neither cached nor within reach the test says so loudly. More kills than
//! the suite has time for: `LOCKSTEP_KILLS=100 cargo test --release --test linux_tcp -- --nocapture`.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep::lab::cluster::{Cluster, Process};
use lockstep::lab::demo::linux::guest_words;
use serde_json::{Value, json};

use common::linux::images;
use common::{BINARY, skipped};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const CLIENTS: usize = 50;
/// Requests that each client has under way.
const DEPTH: u64 = 4;
const KILLS: usize = 4;

fn connect(redis: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(redis).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks until Redis answers: before it listens, connections are refused.
fn await_redis(redis: SocketAddr) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut stream = connect(redis);
        let mut answer = String::new();
        let asked =
            stream.write_all(b"PING\r\n").and_then(|()| BufReader::new(stream).read_line(&mut answer));
        if asked.is_ok() && answer == "+PONG\r\n" {
            return;
        }
        assert!(Instant::now() < until, "Redis does not answer: {asked:?} {answer:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Increments a key of its own until told to stop; how many answers came, and the longest wait for one.
fn count(redis: SocketAddr, n: usize, done: &AtomicBool) -> (u64, Duration) {
    let mut stream = connect(redis);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut asked, mut heard, mut gap) = (0, 0, Duration::ZERO);
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) || heard < asked {
        if heard == asked {
            // A guest that has only this to do still has time to let a backup catch up.
            std::thread::sleep(Duration::from_millis(100));
            last = Instant::now();
            stream.write_all(format!("INCR key-{n}\r\n").repeat(DEPTH as usize).as_bytes()).unwrap();
            asked += DEPTH;
        }
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        heard += 1;
        assert_eq!(line, format!(":{heard}\r\n"), "each answer once, and in order");
        gap = gap.max(last.elapsed());
        last = Instant::now();
    }
    (heard, gap)
}

fn protect(cluster: &mut Cluster, primary: &mut Process) -> Process {
    let backup = cluster.backup(primary).unwrap();
    cluster.await_protected(primary).unwrap();
    backup
}

#[test]
fn fifty_clients_of_redis_notice_no_takeover() {
    let Some(images) = images("no TCP to a Linux guest over takeovers") else { return };
    let kills =
        std::env::var("LOCKSTEP_KILLS").map_or(KILLS, |text| text.parse().expect("a number of kills"));
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Path::new(BINARY), dir.path(), Path::new(""), "256M", None).unwrap();
    cluster.guest_words = guest_words(&images);
    cluster.vm = "linux".into();
    cluster.patience = PATIENCE;
    // A killed process is noticed at once; a host as busy as a test's must not look like a dead one.
    cluster.silence_ms = Some(10_000);
    let mut primary = cluster.primary().unwrap();
    await_redis(cluster.redis);
    let mut backup = protect(&mut cluster, &mut primary);

    let (redis, done) = (cluster.redis, Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || count(redis, n, &done))
        })
        .collect();
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_millis(500));
        let generation = primary.status().unwrap().generation;
        let struck = Instant::now();
        primary.kill().unwrap();
        cluster
            .await_status(&mut backup, "the primary", |now| {
                now.role == "primary" && now.generation > generation
            })
            .unwrap();
        println!("kill {kill}: taken over after at most {:.0} ms", struck.elapsed().as_secs_f64() * 1e3);
        primary = backup;
        backup = protect(&mut cluster, &mut primary);
    }
    std::thread::sleep(Duration::from_millis(500));
    done.store(true, Ordering::Relaxed);
    let (mut total, mut gaps) = (0, Vec::new());
    for client in clients {
        let (heard, gap) = client.join().expect("no connection breaks");
        total += heard;
        gaps.push(gap);
    }
    gaps.sort();
    println!(
        "{total} answers to {CLIENTS} connections over {kills} kills; longest wait for one: median {:?}, max {:?}",
        gaps[CLIENTS / 2],
        gaps[CLIENTS - 1]
    );
    assert!(total > CLIENTS as u64 * DEPTH, "{total}");
    drop((primary, backup));
}

/// Runs the demo, shows each line that it tells to `hear`, and returns its exit status, its outcome, and all lines.
fn demo(path: &OsStr, mut hear: impl FnMut(&str)) -> (Option<i32>, Value, String) {
    let mut command = Command::new(BINARY);
    command.args(["demo", "--linux", "--json"]).env("PATH", path).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        hear(&line);
        told += &line;
        told.push('\n');
    }
    let output = child.wait_with_output().unwrap();
    let outcome = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (output.status.code(), outcome, told)
}

/// The word after `before` in `line`.
fn word_after<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    rest.split([' ', '`', ';', ',']).next()
}

#[test]
fn the_demo_shows_redis_cli_connected_and_redis_benchmark_at_work_through_kills() {
    if images("no demo of TCP to a Linux guest").is_none() {
        return;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |program| std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    let mut programs = json!(["redis-cli", "redis-benchmark"]);
    if !installed("redis-cli") || !installed("redis-benchmark") {
        skipped("no redis-cli and redis-benchmark here (redis-tools): ours only");
        programs = json!(["a connection of ours", "a load of ours"]);
    }
    let (status, outcome, told) = demo(&path, |_| {});
    let tcp = &outcome["tcp"];
    println!("{tcp:#}");
    assert_eq!((status, &outcome["ok"]), (Some(0), &json!(true)), "{outcome:#}\n{told}");
    assert!(told.contains("join in with `redis-cli -p "), "{told}");
    for figure in ["broken", "lost", "duplicated", "unanswered"] {
        assert_eq!(tcp[figure], 0, "{figure}: {tcp:#}\n{told}");
    }
    assert_eq!(tcp["connections"], 52, "one that counts, one at a prompt, and the benchmark's: {tcp:#}");
    assert_eq!(tcp["transactions"], json!(["1", "2"]), "MULTI before each kill, EXEC after it: {tcp:#}");
    let waits = tcp["longest_wait_ms"].as_array().unwrap();
    assert!(waits.len() == 2 && waits.iter().all(|wait| wait.as_f64() > Some(0.0)), "{tcp:#}");
    let benchmark = &tcp["benchmark"];
    assert_eq!(json!([tcp["sitter"], benchmark["program"]]), programs);
    assert_eq!(benchmark["exit_status"], 0);
    assert_eq!(benchmark["counted"], benchmark["requests"], "each increment once: {tcp:#}");
    assert!(tcp["answers"].as_u64() > benchmark["requests"].as_u64(), "{tcp:#}");
}

/// Everything that is on the path, but what Redis brings.
fn path_without_redis() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for from in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let Ok(entries) = std::fs::read_dir(&from) else { continue };
        for entry in entries.flatten() {
            let to = dir.path().join(entry.file_name());
            if !entry.file_name().to_string_lossy().starts_with("redis-") && !to.is_symlink() {
                std::os::unix::fs::symlink(entry.path(), to).unwrap();
            }
        }
    }
    dir
}

#[test]
fn a_connection_that_breaks_fails_the_demo_which_needs_no_redis_tools() {
    if images("no demo of TCP to a Linux guest").is_none() {
        return;
    }
    let path = path_without_redis();
    let (mut redis, mut client) = (None, None);
    let (status, outcome, told) = demo(path.path().as_os_str(), |line| {
        if let Some(port) = word_after(line, "redis-cli -p ") {
            redis = Some(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())));
        }
        if let Some(id) = word_after(line, "Redis calls it client ") {
            client = Some(id.to_owned());
        }
        // The test ends the connection of the client that counts, as a takeover must not.
        if line.contains("SIGKILL to primary-1") {
            let (redis, client) = (redis.expect("told before"), client.as_ref().expect("told before"));
            let mut stream = connect(redis);
            stream.write_all(format!("CLIENT KILL ID {client}\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            assert_eq!(answer, ":1\r\n", "one client is no more");
        }
    });
    assert_eq!((status, &outcome["ok"]), (Some(1), &json!(false)), "{outcome:#}\n{told}");
    let tcp = &outcome["tcp"];
    assert_eq!(tcp["broken"], 1, "{tcp:#}");
    let evidence = outcome["evidence"].to_string();
    assert!(evidence.contains("a TCP connection broke"), "{evidence}");
    assert!(told.contains("has LOST its connection"), "{told}");
    assert!(told.contains("apt-get install redis-tools"), "{told}");
    assert_eq!(tcp["benchmark"]["program"], "a load of ours");
    assert_eq!(tcp["benchmark"]["counted"], tcp["benchmark"]["requests"], "{tcp:#}");
}
