//! Nodes that should not be there, consoles that are not read, and kills at any moment.

use std::process::Stdio;
use std::time::Duration;

use lockstep::base::{Generation, Prng};
use lockstep::ft::{Message, NodeStatus};
use lockstep::host::link;
use tempfile::TempDir;

use crate::support::{clean, cluster, free_port, guest, load, lockstep, path, run, until};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_node_too_many_is_refused_and_the_pair_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir);
    cluster.backups = Some(1);
    let (mut primary, mut backup) = cluster.pair().unwrap();
    let load = load(&cluster, 1);
    let (arbiter, kv) = (cluster.arbiter().display().to_string(), guest("kv"));
    let another_backup = |vm: &str, of: &str| {
        let (listen, wait) = (["--listen", "127.0.0.1:0"], ["--wait", "0"]);
        run(&[&["backup", "--vm", vm, "--primary", of, "--arbiter", &arbiter][..], &listen, &wait].concat())
    };
    let (first, second) = (primary.address.to_string(), backup.address.to_string());
    for _ in 0..3 {
        another_backup("kv", &first).refuses(&["not joined", "there is a backup already"]);
        another_backup("kv", &second).refuses(&["not joined", "is the backup"]);
        another_backup("other", &first).refuses(&["not joined", "this is the vm \"kv\", not \"other\""]);
    }
    // The switch is no primary.
    another_backup("kv", &cluster.switch.address.to_string()).refuses(&["not joined"]);
    let another_primary = ["primary", &kv, "--vm", "kv", "--listen", "127.0.0.1:0", "--arbiter", &arbiter];
    run(&another_primary).refuses(&["alive", "generation 1", "fix:", "--fresh", "lockstep backup"]);
    let status = cluster.await_protected(&mut primary).unwrap();
    assert_eq!(status.generation, Generation(1), "{}", primary.told());
    assert!(backup.child.try_wait().unwrap().is_none(), "{}", backup.told());
    clean(load);
}

#[test]
fn a_backup_without_a_primary_waits_and_then_says_what_is_missing() {
    let dir = TempDir::new().unwrap();
    let (arbiter, closed) = (path(&dir, ""), free_port());
    let words = [
        "backup",
        "--vm",
        "kv",
        "--primary",
        &closed,
        "--listen",
        "127.0.0.1:0",
        "--arbiter",
        &arbiter,
        "--wait",
        "1",
    ];
    let begun = std::time::Instant::now();
    run(&words).refuses(&[&closed, "does not answer", "fix:", "lockstep primary"]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    run(&[
        "backup",
        "--vm",
        "kv",
        "--primary",
        "nowhere",
        "--listen",
        "127.0.0.1:0",
        "--arbiter",
        &arbiter,
        "--wait",
        "0",
    ])
    .refuses(&["nowhere", "fix:"]);
}

fn ask(address: &str) -> Option<NodeStatus> {
    match link::ask(address.parse().unwrap(), &Message::Status, Duration::from_secs(2)) {
        Ok(Message::Answer { json }) => serde_json::from_str(&json).ok(),
        _ => None,
    }
}

#[test]
fn an_unread_console_costs_neither_protection_nor_takeover() {
    let dir = TempDir::new().unwrap();
    let (arbiter, loud) = (path(&dir, ""), guest("loop_print"));
    let (first, second) = (free_port(), free_port());
    let spawn = |words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["--vm", "loud", "--arbiter", &arbiter, "--silence-ms", "3000"]);
        // The pipe is kept and never read.
        let mut command = lockstep(&all);
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let mut primary = spawn(&["primary", &loud, "--memory", "4M", "--listen", &first]);
    until("full", PATIENCE, || ask(&first).is_some_and(|status| status.icount.get() > 100_000));
    let mut backup = spawn(&["backup", "--primary", &first, "--listen", &second]);
    until("protected", PATIENCE, || ask(&first).is_some_and(|status| status.protected));
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        let status = ask(&first).expect("a blocked console does not block the node");
        assert!(status.protected && status.generation == Generation(1), "{status:?}");
    }
    primary.kill().unwrap();
    primary.wait().unwrap();
    until("taken over", PATIENCE, || ask(&second).is_some_and(|status| status.role == "primary"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ask(&second).expect("the successor answers").role, "primary");
    assert!(crate::support::peak_kib(backup.id()).unwrap() < 120 << 10);
    backup.kill().unwrap();
    backup.wait().unwrap();
}

/// A recording of a killed node: whole but for a torn tail, and its replay agrees.
#[track_caller]
fn replays(log: &str) {
    let verified = run(&["log", "verify", "--json", log]);
    let verdict = String::from_utf8_lossy(&verified.out).into_owned();
    assert!(verdict.contains("\"whole\"") || verdict.contains("\"torn-tail\""), "{}", verified.said());
    run(&["replay", log]).ends(0, &["digests checked"]);
}

#[test]
fn recordings_of_nodes_killed_at_any_moment_replay() {
    for seed in 0..4 {
        eprintln!("seed {seed}");
        let mut prng = Prng::new(seed);
        let dir = TempDir::new().unwrap();
        let mut cluster = cluster(&dir);
        cluster.record = true;
        let (mut primary, mut backup) = cluster.pair().unwrap();
        let load = load(&cluster, seed);
        std::thread::sleep(Duration::from_micros(prng.between(1_000, 400_000)));
        primary.kill().unwrap();
        std::thread::sleep(Duration::from_micros(prng.between(0, 300_000)));
        if seed % 2 == 0 {
            // The successor, too, in the middle of its generation or before it.
            backup.kill().unwrap();
            drop(load);
        } else {
            cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
            clean(load);
            backup.kill().unwrap();
        }
        for node in 1..=2 {
            replays(&cluster.record_dir(node).display().to_string());
        }
    }
}
