//! Two switches that learn of claims from an etcd: a primary that has lost cannot send through its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::base::{Generation, NodeId};
use lockstep::ft::{Arbiter, Bid, Claim};
use lockstep::host::switch::query;
use lockstep::lab::cluster::{Cluster, free_tcp};

use super::etcd;
use super::scene::PATIENCE;

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");

/// A switch process with nothing but a place to attach at, and the arbiter.
struct Switch {
    child: Child,
    at: SocketAddr,
}

impl Switch {
    fn start(dir: &Path, name: &str, arbiter: &str) -> Self {
        let at = free_tcp().unwrap();
        let told = File::create(dir.join(name)).unwrap();
        let child = Command::new(BINARY)
            .args(["switch", "--listen", &at.to_string(), "--arbiter", arbiter])
            .env("LOCKSTEP_DIES_WITH", std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(told)
            .spawn()
            .unwrap();
        let switch = Self { child, at };
        await_that("the switch listens", || query(at).is_ok());
        switch
    }

    /// What it tells about the VM.
    fn vm(&self) -> serde_json::Value {
        let status: serde_json::Value = serde_json::from_str(&query(self.at).unwrap()).unwrap();
        status["vms"]["kv"].clone()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A pair on two switches that both ask an etcd.
struct Scene {
    primary: lockstep::lab::cluster::Process,
    cluster: Cluster,
    switches: [Switch; 2],
    etcd: etcd::Cluster,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Option<Self> {
        let etcd = etcd::Cluster::start(3)?;
        let dir = tempfile::tempdir().unwrap();
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/kv/kv.elf");
        let mut cluster = Cluster::start(Path::new(BINARY), dir.path(), &guest, "4M", None).unwrap();
        let arbiter = format!("etcd:{}", etcd.spelled("/lockstep"));
        let switches = ["one", "other"].map(|name| Switch::start(dir.path(), name, &arbiter));
        cluster.via.arbiter = Some(arbiter);
        cluster.via.switch = Some(switches[0].at);
        let mut primary = cluster.primary().unwrap();
        cluster.await_status(&mut primary, "running", |_| true).unwrap();
        cluster.via.switch = Some(switches[1].at);
        await_that("the guest is at the first switch", || switches[0].vm()["active"] == true);
        Some(Self { primary, cluster, switches, etcd, _dir: dir })
    }
}

#[test]
fn a_frozen_primary_whose_successor_claimed_in_etcd_is_not_heard_when_it_wakes() {
    let Some(Scene { mut primary, mut cluster, switches, etcd: _etcd, _dir }) = Scene::start() else {
        return;
    };
    let mut backup = cluster.backup(&primary).unwrap();
    cluster.await_protected(&mut primary).unwrap();
    primary.stop().unwrap();
    cluster.await_status(&mut backup, "the primary", |now| now.role == "primary").unwrap();
    // The first switch sees nothing of that but the record in etcd.
    await_that("the first switch learns of the claim", || switches[0].vm()["claimed"] == 2);
    await_that("it parts from the old primary", || switches[0].vm()["active"] == false);
    await_that("the guest is at the other", || {
        let vm = switches[1].vm();
        vm["active"] == true && vm["generation"] == 2
    });
    assert_eq!(switches[1].vm()["claimed"], serde_json::Value::Null, "its own claim is no other's");
    let accepted = switches[0].vm()["fence"]["accepted"].clone();
    primary.resume().unwrap();
    assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
    assert_eq!(switches[0].vm()["fence"]["accepted"], accepted);
    assert_eq!(switches[0].vm()["active"], false);
}

/// The primary is alive and does not know; its switch does, and tells it.
#[test]
fn a_primary_that_does_not_know_of_a_claim_in_etcd_is_told_by_its_switch() {
    let Some(Scene { mut primary, cluster: _cluster, switches, etcd, _dir }) = Scene::start() else { return };
    let mut arbiter = etcd.arbiter();
    let last = arbiter.holder("kv").unwrap().unwrap().bid;
    let bid = Bid {
        generation: Generation(2),
        node: NodeId(77),
        keeps: Vec::new(),
        after: Some(last.node),
        wherefrom: "elsewhere".into(),
    };
    assert_eq!(arbiter.claim("kv", &bid), Ok(Claim::Won));
    assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
    assert_eq!(switches[0].vm()["claimed"], 2);
    assert_eq!(switches[0].vm()["active"], false);
}
