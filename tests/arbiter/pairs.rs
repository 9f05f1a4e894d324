//! Whole pairs that live by an etcd: takeovers, its accidents at the worst moment, its old backups.

use std::time::{Duration, Instant};

use lockstep::lab::cluster::Process;

use super::scene::*;

/// Kills it; when the signal was sent, and when the process was gone.
fn kill(node: &mut Process) -> (Instant, Instant) {
    let sent = Instant::now();
    node.kill().unwrap();
    (sent, Instant::now())
}

/// `LOCKSTEP_KILLS` sets how many.
#[test]
fn takeovers_by_etcd_lose_nothing() {
    let kills = std::env::var("LOCKSTEP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    for kind in [Kind::File, Kind::Etcd] {
        let Some(mut scene) = Scene::start(kind, None) else { continue };
        let load = scene.load();
        scene.cluster.via.primary = None;
        let mut takeovers = Vec::new();
        for n in 0..kills {
            std::thread::sleep(Duration::from_millis(200));
            let (sent, gone) = kill(&mut scene.primary);
            takeovers.push(scene.await_answer_ms(&load, sent, gone));
            let is_primary = |status: &lockstep::ft::NodeStatus| {
                status.role == "primary" && status.generation.get() == n + 2
            };
            scene.cluster.await_status(&mut scene.backup, "the primary", is_primary).unwrap();
            let next = scene.cluster.backup(&scene.backup).unwrap();
            scene.primary = std::mem::replace(&mut scene.backup, next);
            scene.cluster.await_protected(&mut scene.primary).unwrap();
        }
        assert!(load.verify_all(), "{}", scene.told());
        scene.assert_clean(&load.stop());
        let (median, max) = median_and_max(takeovers);
        println!(
            "takeovers: {kind:?}: {kills}, kill to first answer: median {median:.1} ms, max {max:.1} ms"
        );
        assert!(median < 10_000.0);
    }
}

#[test]
fn a_takeover_while_the_leader_of_etcd_is_paused_waits_for_the_next_leader() {
    let Some(mut scene) = Scene::start(Kind::Etcd, Some(SILENCE_MS)) else { return };
    let load = scene.load();
    let Some(etcd) = &scene.etcd else { unreachable!("it was started with one") };
    let leader = etcd.await_leader();
    etcd.members[leader].pause();
    let (sent, gone) = kill(&mut scene.primary);
    let took = scene.await_answer_ms(&load, sent, gone);
    println!("takeover with etcd's leader paused: {took:.1} ms");
    let status = scene.backup.status().unwrap();
    assert_eq!((status.role.as_str(), status.generation.get()), ("primary", 2), "{}", scene.told());
    let Some(etcd) = &scene.etcd else { unreachable!("it was started with one") };
    etcd.members[leader].resume();
    assert!(load.verify_all(), "{}", scene.told());
    scene.assert_clean(&load.stop());
}

/// As an arbiter says that has gone back and given the present generation away once more.
#[test]
fn a_primary_whose_generation_belongs_to_another_halts_and_its_backup_waits() {
    let Some(mut scene) = Scene::start(Kind::File, None) else { return };
    let record = scene.cluster.arbiter().join("kv/g00000000000000000001");
    std::fs::remove_file(&record).unwrap();
    let other = r#"{"generation":1,"node":77,"keeps":null,"wherefrom":"somewhere else"}"#;
    std::fs::write(&record, other).unwrap();
    assert_eq!(scene.primary.wait(PATIENCE), Some(1), "{}", scene.told());
    assert!(scene.primary.told().contains("generation 1 belongs to node"), "{}", scene.told());
    scene.assert_no_node_answers();
    let status = scene.backup.status().unwrap();
    assert_eq!((status.phase.as_str(), status.generation.get()), ("claiming", 1), "{}", scene.told());
    assert!(
        status.arbiter_trouble.is_some_and(|trouble| trouble.contains("belongs to node")),
        "{}",
        scene.told()
    );
    // What was put in its place is taken away again: nothing was lost by waiting.
    let ours = format!(r#"{{"generation":1,"node":{},"keeps":null,"wherefrom":""}}"#, primary_of(&scene));
    std::fs::write(&record, ours).unwrap();
    assert_eq!(scene.ask("INCR n"), "VALUE 1");
    assert_eq!(scene.backup.status().unwrap().generation.get(), 2);
}

/// The number of the node that the backup follows, from what it tells.
fn primary_of(scene: &Scene) -> u64 {
    let told = scene.backup.told();
    let named = told.split("not to ").nth(1).and_then(|rest| rest.get(..16));
    u64::from_str_radix(named.unwrap_or_else(|| panic!("{told}")), 16).unwrap()
}

#[test]
fn a_takeover_by_an_etcd_that_was_restored_from_an_old_backup_is_refused() {
    let Some(mut scene) = Scene::start(Kind::Etcd, None) else { return };
    let snapshot = scene.dir.path().join("snapshot.db");
    let etcd = scene.etcd.as_mut().expect("it was started with one");
    if etcd.etcdctl(&["snapshot", "save", &snapshot.display().to_string()]).is_none() {
        return;
    }
    // The second generation is decided after the backup was made, and forgotten.
    kill(&mut scene.primary);
    assert_eq!(scene.ask("SET colour green"), "OK");
    scene.cluster.via.primary = None;
    let next = scene.cluster.backup(&scene.backup).unwrap();
    scene.primary = std::mem::replace(&mut scene.backup, next);
    scene.cluster.await_protected(&mut scene.primary).unwrap();
    let etcd = scene.etcd.as_mut().expect("it was started with one");
    let record = etcd.etcdctl(&["get", "--print-value-only", "/lockstep/kv/g00000000000000000002"]);
    assert!(etcd.restore(&snapshot, None));
    // It is known before it does harm.
    let Scene { cluster, primary, backup, .. } = &mut scene;
    for node in [&mut *primary, &mut *backup] {
        let told = |s: &lockstep::ft::NodeStatus| {
            s.arbiter_trouble.as_ref().is_some_and(|trouble| trouble.contains("backup"))
        };
        cluster.await_status(node, "told of the old backup", told).unwrap();
    }
    kill(&mut scene.primary);
    scene.assert_no_node_answers();
    let status = scene.backup.status().unwrap();
    assert_eq!((status.phase.as_str(), status.generation.get()), ("claiming", 2), "{}", scene.told());
    let trouble = status.arbiter_trouble.unwrap_or_default();
    assert!(trouble.contains("backup"), "{trouble}");
    // Nor does a new life begin beside it.
    scene.cluster.via.primary = None;
    let mut another = scene.cluster.primary().unwrap();
    assert_eq!(another.wait(PATIENCE), Some(2), "{}", another.told());
    println!("record: {record:?}\nanother: {}", another.told());
}

/// Each of the two would take a generation of its own: the backup learns of it before, and wins nothing after.
#[test]
fn a_backup_with_another_prefix_than_its_primary_never_goes_on() {
    let Some(mut scene) = Scene::start(Kind::Etcd, None) else { return };
    scene.backup.kill().unwrap();
    let etcd = scene.etcd.as_ref().expect("it was started with one");
    scene.cluster.via.arbiter = Some(format!("etcd:{}", etcd.spelled("/elsewhere")));
    scene.cluster.via.primary = None;
    let away = |status: &lockstep::ft::NodeStatus| !status.protected && status.generation.get() == 2;
    scene.cluster.await_status(&mut scene.primary, "alone", away).unwrap();
    scene.backup = scene.cluster.backup(&scene.primary).unwrap();
    let told = |status: &lockstep::ft::NodeStatus| {
        status.arbiter_trouble.as_ref().is_some_and(|trouble| trouble.contains("prefix"))
    };
    scene.cluster.await_status(&mut scene.backup, "told of the prefix", told).unwrap();
    scene.cluster.await_protected(&mut scene.primary).unwrap();
    kill(&mut scene.primary);
    scene.assert_no_node_answers();
    let status = scene.backup.status().unwrap();
    assert_eq!((status.phase.as_str(), status.generation.get()), ("claiming", 2), "{}", scene.told());
    assert!(status.arbiter_trouble.is_some_and(|trouble| trouble.contains("prefix")), "{}", scene.told());
}
