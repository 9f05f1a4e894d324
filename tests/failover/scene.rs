//! What every test here needs: a cluster in a directory of its own, a load, and a few questions.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::{Cluster, Process};
use lockstep::lab::kvclient::{KvConfig, KvLoad, Report, request};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use crate::common::{BINARY, guest, lockstep, said, seeded, sleep_ms};

/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A switch, an arbiter, and a place for nodes.
pub struct Scene {
    pub cluster: Cluster,
    pub dir: TempDir,
}

impl Scene {
    pub fn of(guest: impl AsRef<Path>) -> Self {
        Self::with(Path::new(BINARY), guest.as_ref())
    }

    /// Its processes are of `binary`.
    fn with(binary: &Path, guest: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(binary, dir.path(), guest, "4M", None).unwrap();
        Self { cluster, dir }
    }

    pub fn kv() -> Self {
        Self::of(guest("kv"))
    }

    pub fn kv_of(binary: &Path) -> Self {
        Self::with(binary, guest("kv").as_ref())
    }

    /// One answer of the kv guest.
    pub fn ask(&self, text: &str) -> String {
        request(self.cluster.service, text, PATIENCE).unwrap()
    }

    pub fn load(&self, clients: usize, seed: u64) -> KvLoad {
        KvLoad::start(KvConfig { clients, seed, ..KvConfig::new(self.cluster.service) }).unwrap()
    }

    /// Waits until `node` is the primary of a generation past `generation`.
    pub fn await_primary(&self, node: &mut Process, past: &NodeStatus) -> NodeStatus {
        let generation = past.generation;
        self.cluster
            .await_status(node, "the primary", |s| s.role == "primary" && s.generation > generation)
            .unwrap()
    }

    pub fn await_alone(&self, node: &mut Process) -> NodeStatus {
        self.cluster
            .await_status(node, "alone", |status| status.role == "primary" && status.phase == "alone")
            .unwrap()
    }

    /// Waits until primary and backup have compared a digest.
    pub fn await_audit(&self, primary: &mut Process) -> NodeStatus {
        self.cluster.await_status(primary, "audited", |status| status.last_audit.is_some()).unwrap()
    }

    /// A new backup that counts.
    pub fn protect(&mut self, primary: &mut Process) -> Process {
        let backup = self.cluster.backup(primary).unwrap();
        self.cluster.await_protected(primary).unwrap();
        backup
    }

    /// What `node` has written to its standard output.
    pub fn console(&self, node: &Process) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{}.out", node.name))).unwrap()
    }
}

/// SIGTERM.
pub fn terminate(node: &Process) {
    kill_process(Pid::from_child(&node.child), Signal::TERM).unwrap();
}

/// SIGTERM to a node that is alone with its guest: it says what would be lost and goes on; then once more.
pub fn terminate_for_good(node: &Process) {
    terminate(node);
    let until = Instant::now() + PATIENCE;
    while !node.told().contains("not ended: ") {
        assert!(Instant::now() < until, "{}", node.told());
        sleep_ms(2);
    }
    terminate(node);
}

/// Kills it; when the signal was sent, and when the process was gone.
pub fn kill(node: &mut Process) -> (Instant, Instant) {
    let sent = Instant::now();
    node.kill().unwrap();
    (sent, Instant::now())
}

/// From `sent` to the first answer to a request that was sent after `gone`, in milliseconds.
pub fn await_answer_ms(load: &KvLoad, sent: Instant, gone: Instant) -> f64 {
    let until = gone + PATIENCE;
    loop {
        if let Some(answered) = load.first_answer_to_request_after(gone) {
            return (answered - sent).as_secs_f64() * 1e3;
        }
        assert!(Instant::now() < until, "no answer since the primary is gone");
        sleep_ms(2);
    }
}

/// One is primary, the other follows it, in the same generation.
pub fn assert_one_primary(nodes: [&Process; 2]) {
    let statuses = nodes.map(|node| node.status().unwrap());
    let active = statuses.iter().filter(|status| status.role == "primary").count();
    let following = statuses.iter().filter(|status| status.role == "backup").count();
    assert_eq!((active, following), (1, 1), "{statuses:?}");
    assert_eq!(statuses[0].generation, statuses[1].generation, "{statuses:?}");
}

/// Nothing lost, nothing twice, everything read back.
pub fn assert_clean(report: &Report, nodes: &[&Process]) {
    let told: String = nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.told())).collect();
    assert!(report.is_clean(), "{report:#?}\n{told}");
    assert!(report.acked_writes > 0 && report.verified_keys > 0, "{report:#?}\n{told}");
}
