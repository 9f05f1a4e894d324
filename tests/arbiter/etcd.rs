//! A real etcd of three nodes on this machine, for as long as a test lasts.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::host::arbiter::{Etcd, EtcdArbiter};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::skipped;

/// An election takes a second or two; on a busy machine it may take some more.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One node of an etcd.
pub struct Member {
    name: String,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Member {
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.client).into()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a member that runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An etcd.
pub struct Cluster {
    pub members: Vec<Member>,
    pub dir: TempDir,
}

fn exists(command: &str) -> bool {
    let found = Command::new(command).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok() || {
        skipped(&format!("there is no `{command}` here (Debian: etcd-server, etcd-client)"));
        false
    }
}

/// Two ports that are free now.
fn free_ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [a, b] = listeners.map(|listener| listener.local_addr().unwrap().port());
    (a, b)
}

impl Cluster {
    /// None, said loudly, where there is no etcd.
    pub fn start(count: usize) -> Option<Self> {
        if !exists("etcd") {
            return None;
        }
        let members = (0..count)
            .map(|n| {
                let (client, peer) = free_ports();
                Member { name: format!("m{n}"), client, peer, process: None }
            })
            .collect();
        let mut cluster = Self { members, dir: tempfile::tempdir().unwrap() };
        for n in 0..count {
            cluster.run(n);
        }
        cluster.await_leader();
        Some(cluster)
    }

    fn data(&self, n: usize) -> PathBuf {
        self.dir.path().join(&self.members[n].name)
    }

    fn initial(&self) -> String {
        let named: Vec<_> = self.members.iter().map(|m| format!("{}={}", m.name, m.peer_url())).collect();
        named.join(",")
    }

    /// Starts a member, anew or again.
    pub fn run(&mut self, n: usize) {
        let told = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("{}.err", self.members[n].name)))
            .unwrap();
        let (data, initial, member) = (self.data(n), self.initial(), &mut self.members[n]);
        assert!(member.process.is_none(), "it runs");
        // A test that is killed takes its etcd with it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "etcd", "--name", &member.name, "--data-dir"]).arg(data);
        command.args(["--listen-client-urls", &member.url(), "--advertise-client-urls", &member.url()]);
        command.args(["--listen-peer-urls", &member.peer_url()]);
        command.args(["--initial-advertise-peer-urls", &member.peer_url()]);
        command.args(["--initial-cluster", &initial, "--initial-cluster-state", "new"]);
        command.env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
        command.stdin(Stdio::null()).stdout(told.try_clone().unwrap()).stderr(told);
        member.process = Some(command.spawn().unwrap());
    }

    /// What `--arbiter` is given, without `etcd:`.
    pub fn spelled(&self, prefix: &str) -> String {
        let urls: Vec<_> = self.members.iter().map(Member::url).collect();
        format!("{}{prefix}", urls.join(","))
    }

    pub fn arbiter(&self) -> EtcdArbiter {
        self.arbiter_that_notes(None)
    }

    /// It notes what it has seen under `memory`.
    pub fn arbiter_that_notes(&self, memory: Option<&Path>) -> EtcdArbiter {
        let etcd = Etcd::parse(&self.spelled("/lockstep")).unwrap();
        EtcdArbiter::open(&etcd, memory.map(Path::to_owned)).unwrap()
    }

    /// The number of the member that leads.
    pub fn await_leader(&self) -> usize {
        let until = Instant::now() + READY_WITHIN;
        loop {
            for (n, member) in self.members.iter().enumerate() {
                if member.process.is_some() && leads(&member.url()) {
                    return n;
                }
            }
            assert!(Instant::now() < until, "this etcd elects no leader; see {:?}", self.dir.path());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs etcdctl against the first member that runs; None, said loudly, where there is none.
    pub fn etcdctl(&self, arguments: &[&str]) -> Option<String> {
        if !exists("etcdctl") {
            return None;
        }
        let endpoint = self.members.iter().find(|m| m.process.is_some()).map(Member::url).unwrap_or_default();
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &endpoint])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Some(said)
    }

    /// Ends every member and starts them again from the backup in `snapshot`, as a new etcd with
    /// `token` if there is one, else as if it was the same. False where that cannot be done.
    pub fn restore(&mut self, snapshot: &Path, token: Option<&str>) -> bool {
        for member in &mut self.members {
            member.kill();
        }
        let (initial, snapshot) = (self.initial(), snapshot.display().to_string());
        for n in 0..self.members.len() {
            let data = self.data(n);
            std::fs::remove_dir_all(&data).unwrap();
            let data = data.display().to_string();
            let (name, peer) = (self.members[n].name.clone(), self.members[n].peer_url());
            let mut all = vec!["snapshot", "restore", &snapshot, "--name", &name, "--data-dir", &data];
            all.extend(["--initial-cluster", &initial, "--initial-advertise-peer-urls", &peer]);
            if let Some(token) = token {
                all.extend(["--initial-cluster-token", token]);
            }
            if self.etcdctl(&all).is_none() {
                return false;
            }
        }
        for n in 0..self.members.len() {
            self.run(n);
        }
        self.await_leader();
        true
    }
}

/// Whether the member at `url` says that it leads, and that it can serve.
fn leads(url: &str) -> bool {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(1)))
        .proxy(None)
        .build()
        .new_agent();
    let answer = agent.post(format!("{url}/v3/maintenance/status")).send("{}");
    let Ok(text) = answer.and_then(|mut answer| answer.body_mut().read_to_string()) else { return false };
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
}
