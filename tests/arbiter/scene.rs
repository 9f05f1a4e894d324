//! A pair whose every connection can be cut: to each other and to the arbiter, of either kind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::{Cluster, Process};
use lockstep::lab::kvclient::{KvConfig, KvLoad, Report, request};
use tempfile::TempDir;

use super::etcd;
use super::relay::{Cut, Relay};

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");
/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Suspicion by silence takes this long where a test is not about it: a busy machine is not to be taken for a cut.
pub const SILENCE_MS: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Etcd,
}

/// One node's way to the arbiter.
pub enum Way {
    /// The name by which it knows the directory.
    Name { name: PathBuf, dir: PathBuf },
    /// A relay before each member.
    Relays(Vec<Relay>),
}

impl Way {
    pub fn cut(&self) {
        match self {
            Way::Name { name, .. } => fs::remove_file(name).unwrap(),
            Way::Relays(relays) => relays.iter().for_each(|relay| relay.cut(Cut::Both)),
        }
    }

    pub fn heal(&self) {
        match self {
            Way::Name { name, dir } => symlink(dir, name).unwrap(),
            Way::Relays(relays) => relays.iter().for_each(Relay::heal),
        }
    }
}

/// Fields are dropped in order: the nodes before what they live by.
pub struct Scene {
    pub primary: Process,
    pub backup: Process,
    pub cluster: Cluster,
    /// Between the nodes; the backup connects.
    pub link: Relay,
    /// The primary's way to the arbiter, and the backup's.
    pub ways: [Way; 2],
    pub etcd: Option<etcd::Cluster>,
    pub dir: TempDir,
}

impl Scene {
    /// A protected pair; None, said loudly, where there is no etcd. `silence_ms` is the pair's.
    pub fn start(kind: Kind, silence_ms: Option<u64>) -> Option<Self> {
        let etcd = match kind {
            Kind::File => None,
            Kind::Etcd => Some(etcd::Cluster::start(3)?),
        };
        let dir = tempfile::tempdir().unwrap();
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/kv/kv.elf");
        let mut cluster = Cluster::start(Path::new(BINARY), dir.path(), &guest, "4M", None).unwrap();
        cluster.silence_ms = silence_ms;
        cluster.patience = PATIENCE;
        let ways = ["one", "other"].map(|whose| match &etcd {
            None => {
                let way = Way::Name { name: dir.path().join(whose), dir: cluster.arbiter() };
                way.heal();
                way
            }
            Some(etcd) => Way::Relays(etcd.members.iter().map(|m| Relay::to(m.address())).collect()),
        });
        let spelled = |way: &Way| match way {
            Way::Name { name, .. } => name.display().to_string(),
            Way::Relays(relays) => {
                let urls: Vec<_> = relays.iter().map(|relay| format!("http://{}", relay.address)).collect();
                format!("etcd:{}/lockstep", urls.join(","))
            }
        };
        cluster.via.arbiter = Some(spelled(&ways[0]));
        let mut primary = cluster.primary().unwrap();
        cluster.await_status(&mut primary, "running", |_| true).unwrap();
        let link = Relay::to(primary.address);
        cluster.via.arbiter = Some(spelled(&ways[1]));
        cluster.via.primary = Some(link.address);
        let backup = cluster.backup(&primary).unwrap();
        cluster.await_protected(&mut primary).unwrap();
        Some(Self { primary, backup, cluster, link, ways, etcd, dir })
    }

    pub fn ask(&self, text: &str) -> String {
        request(self.cluster.service, text, PATIENCE)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.told()))
    }

    /// No node answers, for longer than a takeover takes.
    #[track_caller]
    pub fn assert_no_node_answers(&self) {
        let answer = request(self.cluster.service, "INCR silent", Duration::from_millis(700));
        assert!(answer.is_err(), "{answer:?}\n{}", self.told());
    }

    pub fn load(&self) -> KvLoad {
        let config = KvConfig { clients: 6, patience: PATIENCE, ..KvConfig::new(self.cluster.service) };
        KvLoad::start(config).unwrap()
    }

    /// All that is known of why this did not go as it should: the nodes, and the arbiter.
    pub fn told(&self) -> String {
        let mut told = String::new();
        for (which, node) in [("primary", &self.primary), ("backup", &self.backup)] {
            let status = match node.status() {
                Ok(status) => format!("{status:?}"),
                Err(error) => format!("no status: {error}"),
            };
            told += &format!("--- the {which}: {status}\n{}", node.told());
        }
        told += &self.etcd.as_ref().map(etcd::Cluster::told).unwrap_or_default();
        told
    }

    /// From `sent` to the first answer to a request that was sent after `since`, in milliseconds.
    #[track_caller]
    pub fn await_answer_ms(&self, load: &KvLoad, sent: Instant, since: Instant) -> f64 {
        let until = since + PATIENCE;
        loop {
            if let Some(answered) = load.first_answer_to_request_after(since) {
                return (answered - sent).as_secs_f64() * 1e3;
            }
            assert!(Instant::now() < until, "no answer any more\n{}", self.told());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until both nodes wait for the arbiter.
    pub fn await_both_claiming(&mut self) {
        let claiming = |status: &NodeStatus| status.phase == "claiming";
        self.cluster.await_status(&mut self.primary, "claiming", claiming).unwrap();
        self.cluster.await_status(&mut self.backup, "claiming", claiming).unwrap();
    }

    /// Waits until one node has halted as the loser of the claim, and sees that the other is primary: true
    /// if that is the old primary.
    pub fn await_one(&mut self, generation: u64) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = [&mut self.primary, &mut self.backup].map(|node| node.wait(Duration::ZERO));
            let winner = match ended {
                [None, None] if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                [Some(1), None] => &self.backup,
                [None, Some(1)] => &self.primary,
                _ => panic!("{ended:?}\n{}", self.told()),
            };
            let loser = if ended[0].is_some() { &self.primary } else { &self.backup };
            assert!(loser.told().contains("belongs to node"), "{}", self.told());
            let status = winner.status().unwrap_or_else(|error| panic!("{error}\n{}", self.told()));
            assert_eq!(
                (status.role.as_str(), status.generation.get()),
                ("primary", generation),
                "{}",
                self.told()
            );
            return ended[0].is_none();
        }
    }

    #[track_caller]
    pub fn assert_clean(&self, report: &Report) {
        assert!(report.is_clean(), "{report:#?}\n{}", self.told());
        assert!(report.acked_writes > 0 && report.verified_keys > 0, "{report:#?}\n{}", self.told());
    }
}

/// The median of `values`, and the largest.
pub fn median_and_max(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}
