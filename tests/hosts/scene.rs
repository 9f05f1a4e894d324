//! A pair on hosts: who runs where, a load from a client's host, and a few questions.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::ft::{Message, NodeStatus};
use lockstep::host::link;
use lockstep::host::switch::query;
use lockstep::lab::kvclient::{KvConfig, KvLoad, Report};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::net::Net;

pub const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");
/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The guest's service, as the guest is a station of the segment.
pub const SERVICE: &str = "10.0.2.15:9000";
/// Where nodes and switches listen, each on its own host.
const NODE_PORT: u16 = 7100;
const SWITCH_PORT: u16 = 7000;

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// A process on a host.
pub struct Process {
    pub host: String,
    pub child: Child,
    told: PathBuf,
}

impl Process {
    pub fn start(mut command: Command, host: &str, told: &Path) -> Self {
        let out = File::create(told).unwrap();
        // An end of input would end some of them.
        command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out);
        // Whatever becomes of this test, it leaves nothing running.
        command.env("LOCKSTEP_DIES_WITH", std::process::id().to_string());
        Self { host: host.into(), child: command.spawn().unwrap(), told: told.to_owned() }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    pub fn told(&self) -> String {
        fs::read_to_string(&self.told).unwrap()
    }

    /// Its exit status, once it ends.
    pub fn wait(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "{} does not end: {}", self.host, self.told());
            sleep_ms(5);
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// Hosts, a directory that all of them can reach, and what runs there.
pub struct Scene {
    pub net: Net,
    pub dir: TempDir,
    started: u32,
    /// What every node gets on top.
    pub arguments: Vec<String>,
    /// The guest's file and what it is started with.
    pub guest: Vec<String>,
}

impl Scene {
    pub fn of(net: Net) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("arbiter")).unwrap();
        let kv = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/kv/kv.elf");
        let guest = vec![kv.display().to_string(), "--memory".into(), "4M".into()];
        Self { net, dir, started: 0, arguments: Vec::new(), guest }
    }

    /// The host's way to the arbiter, which can be cut.
    pub fn arbiter(&self, host: &str) -> PathBuf {
        let way = self.dir.path().join(format!("arbiter-of-{host}"));
        if !way.is_symlink() {
            symlink(self.dir.path().join("arbiter"), &way).unwrap();
        }
        way
    }

    pub fn cut_arbiter(&self, host: &str) {
        fs::remove_file(self.arbiter(host)).unwrap();
    }

    /// Our binary on a host.
    pub fn start(&mut self, host: &str, arguments: &[String]) -> Process {
        self.started += 1;
        let mut command = self.net.command(host, BINARY);
        command.args(arguments);
        let told = self.dir.path().join(format!("{}-{host}-{}", self.started, arguments[0]));
        Process::start(command, host, &told)
    }

    /// A switch whose uplink is the TAP device `tap0` in its host's bridge.
    pub fn switch(&mut self, host: &str, more: &[&str]) -> Process {
        let listen = self.net.at(host, SWITCH_PORT).to_string();
        let mut arguments: Vec<String> = ["switch", "--listen", &listen].map(str::to_owned).into();
        arguments.extend(more.iter().map(|word| word.to_string()));
        let mut process = self.start(host, &arguments);
        self.await_that("a switch listens", || {
            assert!(process.is_running(), "{}", process.told());
            self.try_switch_status(host).is_some()
        });
        process
    }

    pub fn tap_switch(&mut self, host: &str) -> Process {
        if !self.net.command(host, "ip").args(["link", "show", "tap0"]).output().unwrap().status.success() {
            self.net.add_tap(host, "tap0");
        }
        let arbiter = self.arbiter(host).display().to_string();
        self.switch(host, &["--tap", "tap0", "--arbiter", &arbiter])
    }

    fn node(&mut self, host: &str, role: &[String], switch: &str) -> Process {
        let arbiter = self.arbiter(host).display().to_string();
        let switch = self.net.at(switch, SWITCH_PORT).to_string();
        let listen = format!("0.0.0.0:{NODE_PORT}");
        let mut arguments = role.to_vec();
        let wiring = ["--vm", "kv", "--listen", &listen, "--switch", &switch, "--arbiter", &arbiter]
            .map(str::to_owned);
        arguments.extend(wiring);
        // A node that loses ends here, for the test to see.
        arguments.push("--once".to_owned());
        arguments.extend(self.arguments.clone());
        let mut process = self.start(host, &arguments);
        self.await_that("a node answers", || {
            assert!(process.is_running(), "{}", process.told());
            self.try_status(host).is_some()
        });
        process
    }

    pub fn primary(&mut self, host: &str, switch: &str) -> Process {
        let mut role = vec!["primary".to_owned()];
        role.extend(self.guest.clone());
        self.node(host, &role, switch)
    }

    /// A backup of the primary on host `primary`, once it counts.
    pub fn backup(&mut self, host: &str, primary: &str, switch: &str) -> Process {
        let address = self.net.address(primary);
        self.backup_at(host, &address, primary, switch)
    }

    /// The same by another address of the primary's host.
    pub fn backup_at(&mut self, host: &str, address: &str, primary: &str, switch: &str) -> Process {
        let primary_at = format!("{address}:{NODE_PORT}");
        let role = ["backup", "--primary", &primary_at].map(str::to_owned);
        let process = self.node(host, &role, switch);
        self.await_that("the backup counts", || self.status(primary).protected);
        process
    }

    pub fn try_status(&self, host: &str) -> Option<NodeStatus> {
        let at = self.net.at(host, NODE_PORT);
        let answer = self.net.inside(host, || link::ask(at, &Message::Status, Duration::from_secs(2)));
        match answer {
            Ok(Message::Answer { json }) => serde_json::from_str(&json).ok(),
            Ok(_) | Err(_) => None,
        }
    }

    pub fn status(&self, host: &str) -> NodeStatus {
        self.try_status(host).unwrap()
    }

    fn try_switch_status(&self, host: &str) -> Option<serde_json::Value> {
        let at = self.net.at(host, SWITCH_PORT);
        let json = self.net.inside(host, || query(at)).ok()?;
        serde_json::from_str(&json).ok()
    }

    pub fn switch_status(&self, host: &str) -> serde_json::Value {
        self.try_switch_status(host).unwrap()
    }

    pub fn await_that(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < until, "not within {} s: {what}", PATIENCE.as_secs());
            sleep_ms(5);
        }
    }

    /// Waits until the node on `host` is primary under a generation past `generation`.
    pub fn await_primary(&self, host: &str, past: u64) -> NodeStatus {
        self.await_that(&format!("{host} is primary past generation {past}"), || {
            self.try_status(host).is_some_and(|s| s.role == "primary" && s.generation.get() > past)
        });
        self.status(host)
    }

    /// Clients of the kv guest, on a host.
    pub fn load(&self, host: &str, seed: u64) -> KvLoad {
        self.load_at(host, SERVICE.parse().unwrap(), seed)
    }

    pub fn load_at(&self, host: &str, service: SocketAddr, seed: u64) -> KvLoad {
        let patience = Duration::from_secs(20);
        let config = KvConfig { clients: 6, seed, patience, ..KvConfig::new(service) };
        let load = self.net.inside(host, || KvLoad::start(config).unwrap());
        assert!(load.verify_all());
        load
    }
}

/// The longest time that clients had no answer since `since`, in milliseconds.
pub fn gap_ms(load: &KvLoad, since: Instant) -> f64 {
    load.longest_gap_since(since).map_or(f64::INFINITY, |(_, gap)| gap.as_secs_f64() * 1e3)
}

/// Nothing lost, nothing done twice; a frame may have come twice, as where the sink that remembered it is
/// not the one that gets it again. (TCP takes that as any repetition.)
pub fn assert_clean_but_repeated(report: &Report) {
    assert_clean(&Report { answers_too_many: 0, ..report.clone() });
}

/// Nothing lost, nothing twice.
pub fn assert_clean(report: &Report) {
    assert!(report.is_clean() && report.acked_writes > 0 && report.verified_keys > 0, "{report:#?}");
}
