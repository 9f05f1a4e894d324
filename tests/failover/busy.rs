//! A busy host: processes of other users that spin, fault memory in and sync files, and a pair at default settings.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::Process;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tempfile::TempDir;

use super::scene::*;

/// A third of each kind.
const NEIGHBOURS: usize = 48;
/// How long they are there, in the ordinary suite.
const SECONDS: u64 = 20;
/// Names another time, in seconds: `LOCKSTEP_BUSY_SECONDS=120` is the whole measurement.
const SECONDS_ASKED: &str = "LOCKSTEP_BUSY_SECONDS";
/// A takeover needs no operator when the guest is protected again within this.
const UNPROTECTED_MAX: Duration = Duration::from_secs(2);

/// Sessions of their own, hence groups of their own to a scheduler that is fair to sessions.
struct Neighbours {
    children: Vec<Child>,
    _dir: TempDir,
}

impl Neighbours {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let children = (0..NEIGHBOURS).map(|n| neighbour(n, dir.path())).collect();
        Self { children, _dir: dir }
    }

    fn all_run(&mut self) -> bool {
        self.children.iter_mut().all(|child| child.try_wait().unwrap().is_none())
    }
}

/// It ends with its parent process, and so does what it has started after its next step.
fn neighbour(n: usize, dir: &Path) -> Child {
    let work = match n % 3 {
        0 => "while :; do :; done".to_owned(),
        // What it reads is in its memory before any of it is written.
        1 => "while :; do head -c 96M /dev/zero | tail -c 96M >/dev/null; done".to_owned(),
        _ => format!(
            "while :; do dd if=/dev/zero of={}/{n} bs=1M count=16 conv=fsync status=none; done",
            dir.display()
        ),
    };
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "setsid", "sh", "-c", &work]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that is gone already needs no more.
            kill_process_group(Pid::from_child(child), Signal::KILL).ok();
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// What was seen of a pair.
#[derive(Debug, Default)]
struct Seen {
    looks: u32,
    unanswered: u32,
    unprotected: u32,
    longest_unprotected: Duration,
    since: Option<Instant>,
    generation: u64,
}

impl Seen {
    /// One of both is the primary and has a backup that counts.
    fn look(&mut self, nodes: [&Process; 2]) {
        let answers: Vec<NodeStatus> = nodes.iter().filter_map(|node| node.status().ok()).collect();
        self.looks += 1;
        if answers.len() < 2 {
            self.unanswered += 1;
            return;
        }
        let newest = answers.iter().map(|status| status.generation.get()).max().unwrap_or_default();
        self.generation = self.generation.max(newest);
        if answers.iter().any(|status| status.role == "primary" && status.protected) {
            self.since = None;
            return;
        }
        self.unprotected += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        self.longest_unprotected = self.longest_unprotected.max(since.elapsed());
    }
}

/// A pair of its own switch and arbiter, and what was seen of it.
struct Watched {
    scene: Scene,
    primary: Process,
    backup: Process,
    seen: Seen,
}

impl Watched {
    fn start() -> Self {
        let mut scene = Scene::kv();
        scene.cluster.patience = Duration::from_secs(60);
        let (primary, backup) = scene.cluster.pair().unwrap();
        Self { scene, primary, backup, seen: Seen::default() }
    }

    fn told(&self) -> String {
        format!("{:?}\n{}\n{}", self.seen, self.primary.told(), self.backup.told())
    }

    fn is_pair(&self) -> bool {
        let roles = [&self.primary, &self.backup]
            .map(|node| node.status().map(|status| (status.role, status.protected)));
        let role =
            |wanted: &str| roles.iter().flatten().any(|(role, protected)| role == wanted && *protected);
        role("primary") && role("backup")
    }
}

#[test]
fn pairs_keep_their_protection_on_a_host_that_is_busy_with_others() {
    let seconds = std::env::var(SECONDS_ASKED).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let mut pairs = [Watched::start(), Watched::start()];
    let mut neighbours = Neighbours::start();
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        sleep_ms(100);
        for Watched { primary, backup, seen, .. } in &mut pairs {
            seen.look([primary, backup]);
        }
    }
    assert!(neighbours.all_run(), "the host was not busy");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let watches = pairs.each_ref().map(|pair| pair.primary.status().ok().and_then(|status| status.watch));
    drop(neighbours);
    for (pair, watch) in pairs.iter().zip(watches) {
        let (seen, takeovers) = (&pair.seen, pair.seen.generation.saturating_sub(1));
        println!("{seconds} s at load {}: {seen:?}, {takeovers} takeovers, {watch:?}", load.trim());
    }
    for pair in &mut pairs {
        let seen = &pair.seen;
        assert!(seen.longest_unprotected <= UNPROTECTED_MAX, "{}", pair.told());
        assert!(seen.unanswered * 2 < seen.looks, "{}", pair.told());
        // No person had to come: the processes that were started are the pair still.
        let until = Instant::now() + PATIENCE;
        while !pair.is_pair() {
            assert!(Instant::now() < until, "{}", pair.told());
            sleep_ms(20);
        }
        assert!(pair.primary.wait(Duration::ZERO).is_none() && pair.backup.wait(Duration::ZERO).is_none());
        assert_eq!(pair.scene.ask("SET colour green"), "OK");
    }
}
