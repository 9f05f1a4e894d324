//! A real etcd of three nodes on this machine, for as long as a test lasts.
//!
//! A cluster is handed out once every member answers and knows the leader. A test that pauses or kills one member
//! counts on the other two, and one that has ended by itself would show only as a majority that is missing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::host::arbiter::{Etcd, EtcdArbiter};
use lockstep::lab::cluster::free_tcp;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use crate::common::skipped;

/// An election takes a second or two; on a busy machine it may take some more.
const READY_WITHIN: Duration = Duration::from_secs(60);
const START_TRIES: u32 = 4;
/// What an etcd says whose port is another process's, and ends.
const TAKEN: &str = "address already in use";
/// Lines of each member's log in a failure.
const LINES_TOLD: usize = 40;

/// One node of an etcd.
pub struct Member {
    name: String,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

/// What a member says of itself.
#[derive(Debug)]
struct Stands {
    member: String,
    /// The member that leads.
    leader: String,
    #[expect(dead_code, reason = "for who reads a failure")]
    term: String,
}

impl Stands {
    fn leads(&self) -> bool {
        self.leader == self.member
    }
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

    /// Where it stands; none if it does not say, or knows no leader.
    fn stands(&self) -> Option<Stands> {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(1)))
            .proxy(None)
            .build()
            .new_agent();
        let answer = agent.post(format!("{}/v3/maintenance/status", self.url())).send("{}");
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string()).ok()?;
        let status: serde_json::Value = serde_json::from_str(&text).ok()?;
        let told = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Stands {
            member: told(&status["header"]["member_id"])?,
            leader: told(&status["leader"])?,
            term: told(&status["raftTerm"])?,
        })
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a member that runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// It was started, not killed, and has ended all the same.
    fn has_ended(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(process)), how).unwrap().is_some()
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

/// For each of `count` members a port for clients and one for its peers that are free now.
fn free_ports(count: usize) -> Vec<(u16, u16)> {
    let port = || free_tcp().unwrap().port();
    (0..count).map(|_| (port(), port())).collect()
}

impl Cluster {
    /// None, said loudly, where there is no etcd.
    pub fn start(count: usize) -> Option<Self> {
        Self::start_at(|| free_ports(count))
    }

    /// As [`start`](Self::start), with ports that `choose` has chosen. It chooses again where one of them turns out
    /// to be taken: all members name all ports.
    pub fn start_at(mut choose: impl FnMut() -> Vec<(u16, u16)>) -> Option<Self> {
        if !exists("etcd") {
            return None;
        }
        for _ in 1..START_TRIES {
            match Self::try_start(choose()) {
                Err(why) if why.contains(TAKEN) => println!("etcd starts again: {TAKEN}"),
                started => return Some(started.unwrap_or_else(|why| panic!("{why}"))),
            }
        }
        Some(Self::try_start(choose()).unwrap_or_else(|why| panic!("{why}")))
    }

    fn try_start(ports: Vec<(u16, u16)>) -> Result<Self, String> {
        let member = |(n, (client, peer))| Member { name: format!("m{n}"), client, peer, process: None };
        let members: Vec<_> = ports.into_iter().enumerate().map(member).collect();
        let mut cluster = Self { members, dir: tempfile::tempdir().unwrap() };
        for n in 0..cluster.members.len() {
            cluster.run(n);
        }
        cluster.await_all()?;
        Ok(cluster)
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
        let told = File::options().create(true).append(true).open(self.log(n)).unwrap();
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
        // On a slow disk a member that syncs answers too late to lead or to vote. Here only processes die, and what
        // they have written stays. An etcd without this switch (of before 3.4) says so and goes on.
        command.env("ETCD_UNSAFE_NO_FSYNC", "true");
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
                if member.process.is_some() && member.stands().is_some_and(|stands| stands.leads()) {
                    return n;
                }
            }
            self.check_late("elects no leader", until).unwrap_or_else(|why| panic!("{why}"));
        }
    }

    /// Waits until every member runs and knows the same leader.
    fn await_all(&self) -> Result<(), String> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let leaders: Option<Vec<String>> =
                self.members.iter().map(|member| member.stands().map(|stands| stands.leader)).collect();
            if leaders.is_some_and(|leaders| leaders.windows(2).all(|two| two[0] == two[1])) {
                return Ok(());
            }
            self.check_late("has members that do not answer", until)?;
        }
    }

    /// Err, with all that the members say, if it is too late or one of them has ended by itself; else a short wait.
    fn check_late(&self, what: &str, until: Instant) -> Result<(), String> {
        if let Some(ended) = self.members.iter().find(|member| member.has_ended()) {
            return Err(format!("{} of this etcd has ended\n{}", ended.name, self.told()));
        }
        if Instant::now() >= until {
            return Err(format!("this etcd {what}\n{}", self.told()));
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    fn log(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("{}.err", self.members[n].name))
    }

    /// Where each member stands now, and the end of its log.
    pub fn told(&self) -> String {
        let told = self.members.iter().enumerate().map(|(n, member)| {
            let stands = match member.stands() {
                _ if member.process.is_none() => "was killed".into(),
                _ if member.has_ended() => "has ended by itself".into(),
                None => "does not answer".into(),
                Some(stands) => format!("{stands:?}"),
            };
            let log = std::fs::read(self.log(n)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n");
            format!("--- etcd's {} ({}): {stands}\n{last}\n", member.name, member.url())
        });
        told.collect()
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
        self.await_all().unwrap_or_else(|why| panic!("{why}"));
        true
    }
}

/// Without that a test would go on with two members, and wait for a majority once it pauses one of them.
#[test]
fn an_etcd_with_a_port_that_another_process_has_starts_with_others() {
    for taken in 0..2 {
        let holder = std::net::TcpListener::bind(free_tcp().unwrap()).unwrap();
        let held = holder.local_addr().unwrap().port();
        let mut tries = 0;
        let cluster = Cluster::start_at(|| {
            tries += 1;
            let mut ports = free_ports(3);
            match (tries, taken) {
                (1, 0) => ports[1].0 = held,
                (1, _) => ports[1].1 = held,
                _ => {}
            }
            ports
        });
        let Some(cluster) = cluster else { return };
        assert_eq!(tries, 2);
        let leader = cluster.await_leader();
        cluster.members[leader].pause();
        let left = cluster.members.iter().enumerate().filter(|(n, _)| *n != leader);
        assert!(left.clone().all(|(_, member)| member.stands().is_some()), "{}", cluster.told());
        assert!(left.clone().all(|(_, member)| member.client != held && member.peer != held));
    }
}
