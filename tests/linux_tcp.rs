//! Clients of Redis in a Debian guest, each with a TCP connection through the switch, while its primaries
//! are killed: no connection breaks, and no answer is lost, repeated or out of order.
//!
//! Where Debian's packages are neither cached nor within reach the test says so loudly. More kills than
//! the suite has time for: `LOCKSTEP_KILLS=100 cargo test --release --test linux_tcp -- --nocapture`.

#[allow(dead_code, reason = "a tool box that several test programs share")]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep::cli::demo::linux::guest_words;
use lockstep::host::cluster::{Cluster, Process};

use common::BINARY;
use common::linux::images;

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
