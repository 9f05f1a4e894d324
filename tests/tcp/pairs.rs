//! Fifty connections to a guest that speaks TCP itself, while the processes that run it are killed and
//! stopped: none breaks, and no answer is lost, repeated or out of order.
//!
//! `LOCKSTEP_KILLS=100` sets how many are killed; what clients waited is printed.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep::base::Prng;
use lockstep::host::cluster::{Cluster, Process};
use lockstep::host::driver::draw_u64;

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENTS: usize = 50;
const KILLS: usize = 25;
const STOPS: usize = 4;
/// Requests that a client sends without waiting for answers.
const DEPTH: u64 = 8;
/// A client rests up to twice as long between such batches.
const REST_MS: u64 = 20;
/// A wait that is longer than this is remembered.
const LONG: Duration = Duration::from_millis(2);

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/counter/counter.elf")
}

fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// A connection to the guest that asks a line and reads a line.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the connection takes requests");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the connection brings an answer");
        line
    }

    fn ask(&mut self, text: &str) -> String {
        self.send(&format!("{text}\n"));
        self.line()
    }
}

/// What one client saw.
struct Seen {
    heard: u64,
    /// From a request, or the answer before, to an answer: those that took long.
    waits: Vec<(Instant, Instant)>,
}

/// Increments a number of its own until told to stop, and looks at each answer.
fn count(at: SocketAddr, n: usize, done: &AtomicBool) -> Seen {
    let mut client = Client::connect(at);
    let mut prng = Prng::new(n as u64);
    let mut seen = Seen { heard: 0, waits: Vec::new() };
    while !done.load(Ordering::Relaxed) {
        let mut last = Instant::now();
        client.send(&format!("incr key-{n}\n").repeat(DEPTH as usize));
        for _ in 0..DEPTH {
            let line = client.line();
            seen.heard += 1;
            assert_eq!(line, format!("{}\n", seen.heard), "each answer once, and in order");
            let now = Instant::now();
            if now - last > LONG {
                seen.waits.push((last, now));
            }
            last = now;
        }
        sleep_ms(prng.below(2 * REST_MS));
    }
    assert_eq!(client.ask(&format!("get key-{n}")), format!("{}\n", seen.heard), "nothing came twice");
    seen
}

/// Fifty clients at work.
struct Load {
    done: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    fn start(at: SocketAddr) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let client = |n| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || count(at, n, &done))
        };
        Self { clients: (0..CLIENTS).map(client).collect(), done }
    }

    /// Ends the load; every client has found everything right.
    fn stop(self) -> Vec<Seen> {
        self.done.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no connection breaks")).collect()
    }
}

/// The longest wait of any client that had not ended when a blow fell, for each blow, in order of length.
fn gaps_ms(seen: &[Seen], blows: &[Instant]) -> Vec<f64> {
    let around = |blow: &Instant| {
        let waits = seen.iter().flat_map(|seen| &seen.waits);
        let hit = waits.filter(|(from, to)| from < &(*blow + Duration::from_millis(20)) && to > blow);
        hit.map(|(from, to)| (*to - *from).as_secs_f64() * 1e3).fold(0.0, f64::max)
    };
    let mut gaps: Vec<f64> = blows.iter().map(around).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
}

struct Scene {
    cluster: Cluster,
    primary: Process,
    backup: Process,
    prng: Prng,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(Path::new(BINARY), dir.path(), &guest(), "16M", None).unwrap();
        cluster.patience = PATIENCE;
        let (primary, backup) = cluster.pair().unwrap();
        let seed = draw_u64() >> 32;
        println!("LOCKSTEP_SEED={seed}");
        Self { cluster, primary, backup, prng: Prng::new(seed), _dir: dir }
    }

    /// Takes the primary away by `blow` at a random moment, waits for its heir, and protects that; when
    /// the blow fell, and the process that it hit.
    fn strike(&mut self, blow: impl FnOnce(&mut Process)) -> (Instant, Process) {
        sleep_ms(self.prng.between(20, 120));
        let before = self.primary.status().unwrap();
        let struck = Instant::now();
        blow(&mut self.primary);
        let reigns = self.cluster.await_status(&mut self.backup, "the primary", |now| {
            now.role == "primary" && now.generation > before.generation
        });
        reigns.unwrap();
        let heir = self.cluster.backup(&self.backup).unwrap();
        let old = std::mem::replace(&mut self.primary, std::mem::replace(&mut self.backup, heir));
        self.cluster.await_protected(&mut self.primary).unwrap();
        (struck, old)
    }

    /// Ends the load and prints what clients waited around the `blows`.
    fn sum_up(&mut self, load: Load, what: &str, blows: &[Instant]) {
        sleep_ms(100);
        let seen = load.stop();
        let heard: u64 = seen.iter().map(|seen| seen.heard).sum();
        let gaps = gaps_ms(&seen, blows);
        let stat = Client::connect(self.cluster.counter).ask("stat");
        println!(
            "{what}: {}, answers: {heard} to {CLIENTS} connections, none lost, twice or out of order",
            blows.len()
        );
        println!(
            "{what}: the longest wait of a client: median {:.1} ms, max {:.1} ms",
            gaps[gaps.len() / 2],
            gaps[gaps.len() - 1]
        );
        println!("{what}: the guest counts {}", stat.trim_end());
        assert!(heard > CLIENTS as u64 * DEPTH * blows.len() as u64 / 10, "{heard}");
        assert!(stat.contains(&format!(" opened={} refused=0 reset=0 ", CLIENTS + 1)), "{stat}");
        // Not a measurement: a client that waited this long was forgotten by somebody.
        assert!(gaps[gaps.len() - 1] < 10_000.0, "{gaps:?}");
    }
}

#[test]
fn fifty_clients_of_a_real_guest_notice_no_kill() {
    let kills = std::env::var("LOCKSTEP_KILLS").map_or(KILLS, |n| n.parse().expect("a number of kills"));
    let mut scene = Scene::start();
    let load = Load::start(scene.cluster.counter);
    let begun = Instant::now();
    let blows: Vec<_> = (0..kills).map(|_| scene.strike(|primary| primary.kill().unwrap()).0).collect();
    println!("kills: {:.1} s", begun.elapsed().as_secs_f64());
    scene.sum_up(load, "kills", &blows);
}

#[test]
fn fifty_clients_of_a_real_guest_notice_no_stop() {
    let mut scene = Scene::start();
    let load = Load::start(scene.cluster.counter);
    let mut blows = Vec::new();
    for _ in 0..STOPS {
        let (struck, mut old) = scene.strike(|primary| primary.stop().unwrap());
        blows.push(struck);
        old.resume().unwrap();
        assert_eq!(old.wait(PATIENCE), Some(1), "it learns that it does not reign: {}", old.told());
    }
    scene.sum_up(load, "stops", &blows);
}
