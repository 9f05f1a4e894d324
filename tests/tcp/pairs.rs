//! Fifty connections to a guest that speaks TCP itself, while the processes that run it are killed and
//! stopped: none breaks, and no answer is lost, repeated or out of order.
//!
//! `LOCKSTEP_KILLS=100` sets how many are killed; what clients waited is printed.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep::base::Prng;
use lockstep::host::os::draw_u64;
use lockstep::lab::cluster::{Cluster, Process};
use lockstep::lab::counterload::{CounterConfig, CounterLoad, ask};

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 50;
const KILLS: usize = 100;
const STOPS: usize = 4;

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/counter/counter.elf")
}

fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
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

    /// Takes the primary away by `blow` at a random moment, waits for its successor, and protects that; when
    /// the blow fell, and the process that it hit.
    fn strike(&mut self, blow: impl FnOnce(&mut Process)) -> (Instant, Process) {
        sleep_ms(self.prng.between(20, 120));
        let before = self.primary.status().unwrap();
        let struck = Instant::now();
        blow(&mut self.primary);
        let is_primary = self.cluster.await_status(&mut self.backup, "the primary", |now| {
            now.role == "primary" && now.generation > before.generation
        });
        is_primary.unwrap();
        let next = self.cluster.backup(&self.backup).unwrap();
        let old = std::mem::replace(&mut self.primary, std::mem::replace(&mut self.backup, next));
        self.cluster.await_protected(&mut self.primary).unwrap();
        (struck, old)
    }

    fn load(&self) -> CounterLoad {
        let rest = Duration::from_millis(20);
        let config = CounterConfig { at: self.cluster.counter, connections: CONNECTIONS, depth: 8, rest };
        CounterLoad::start(config).unwrap()
    }

    /// Ends the load and prints what clients waited around the `blows`.
    fn sum_up(&mut self, load: CounterLoad, what: &str, blows: &[Instant]) {
        sleep_ms(100);
        let report = load.stop();
        assert!(report.is_clean(), "{:#?}\n{}", report.wrong, self.primary.told());
        let gaps = blows.iter().map(|blow| report.longest_wait_around(*blow).as_secs_f64() * 1e3);
        let mut gaps: Vec<f64> = gaps.collect();
        gaps.sort_by(f64::total_cmp);
        let (median, max) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        let stat = ask(&mut TcpStream::connect(self.cluster.counter).unwrap(), "stat").unwrap();
        println!(
            "{what}: {}, answers: {} on {CONNECTIONS} connections; lost, twice, out of order, broken: 0",
            blows.len(),
            report.answers
        );
        println!("{what}: longest wait of a client: median {median:.1} ms, max {max:.1} ms");
        println!("{what}: the guest counts {stat}");
        assert!(report.answers > (CONNECTIONS * blows.len()) as u64, "{}", report.answers);
        assert!(stat.contains(&format!(" opened={} refused=0 reset=0 ", CONNECTIONS + 1)), "{stat}");
        // Not a measurement: a client that waited this long was forgotten by a component.
        assert!(max < 10_000.0, "{gaps:?}");
    }
}

#[test]
fn fifty_clients_of_a_real_guest_notice_no_kill() {
    let kills = std::env::var("LOCKSTEP_KILLS").map_or(KILLS, |n| n.parse().expect("a number of kills"));
    let mut scene = Scene::start();
    let load = scene.load();
    let begun = Instant::now();
    let blows: Vec<_> = (0..kills).map(|_| scene.strike(|primary| primary.kill().unwrap()).0).collect();
    println!("kills: {:.1} s", begun.elapsed().as_secs_f64());
    scene.sum_up(load, "kills", &blows);
}

#[test]
fn fifty_clients_of_a_real_guest_notice_no_stop() {
    let mut scene = Scene::start();
    let load = scene.load();
    let mut blows = Vec::new();
    for _ in 0..STOPS {
        let (struck, mut old) = scene.strike(|primary| primary.stop().unwrap());
        blows.push(struck);
        old.resume().unwrap();
        assert_eq!(old.wait(PATIENCE), Some(1), "it learns that it is not primary: {}", old.told());
    }
    scene.sum_up(load, "stops", &blows);
}
