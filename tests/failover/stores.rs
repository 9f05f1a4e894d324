//! Nodes that keep their log in stores: all of them are killed, and the guest goes on.

use std::time::{Duration, Instant};

use lockstep::ft::{Ack, NodeStatus};
use lockstep::lab::cluster::Process;

use super::scene::*;
use crate::common::small_disk::SmallDisk;

/// A node is back within this, also on a busy host.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn told(nodes: &[Process]) -> String {
    nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.told())).collect()
}

fn stored(ack: &'static str) -> Scene {
    let mut scene = Scene::kv();
    (scene.cluster.stores, scene.cluster.ack, scene.cluster.rejoins) = (true, Some(ack), true);
    scene
}

/// Waits until the node's store is whole, and has something.
fn await_store(scene: &Scene, node: &mut Process) -> NodeStatus {
    let is_whole = |s: &NodeStatus| s.store.is_some_and(|store| store.durable.get() > 0);
    scene.cluster.await_status(node, "with a store that is whole", is_whole).unwrap()
}

/// A primary and a backup that counts, both with a store.
fn stored_pair(scene: &mut Scene) -> Vec<Process> {
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    await_store(scene, &mut primary);
    await_store(scene, &mut backup);
    vec![primary, backup]
}

/// Waits until one of `nodes` is primary; which.
fn await_primary(nodes: &[Process]) -> usize {
    let until = Instant::now() + BACK_WITHIN;
    loop {
        let is_primary = |node: &Process| node.status().is_ok_and(|status| status.role == "primary");
        if let Some(active) = nodes.iter().position(is_primary) {
            return active;
        }
        assert!(Instant::now() < until, "no primary:\n{}", told(nodes));
        sleep_ms(5);
    }
}

fn await_protected(nodes: &[Process]) -> usize {
    let until = Instant::now() + BACK_WITHIN;
    loop {
        let is_whole = |node: &Process| node.status().is_ok_and(|s| s.role == "primary" && s.protected);
        if let Some(active) = nodes.iter().position(is_whole) {
            return active;
        }
        assert!(Instant::now() < until, "no pair:\n{}", told(nodes));
        sleep_ms(5);
    }
}

#[test]
fn a_primary_alone_that_is_killed_goes_on_from_its_store_and_so_does_one_that_is_suspended() {
    let mut scene = stored("disk");
    let mut node = scene.cluster.primary().unwrap();
    scene.await_alone(&mut node);
    let status = await_store(&scene, &mut node);
    assert_eq!((status.ack, status.store.is_some()), (Ack::Disk, true), "{status:?}");
    for round in 0..3 {
        let set = format!("SET round {round}");
        assert_eq!(scene.ask(&set), "OK", "{}", node.told());
        let before = node.status().unwrap();
        match round {
            1 => {
                terminate(&node);
                assert_eq!(node.wait(PATIENCE), Some(0), "{}", node.told());
                assert!(node.told().contains("suspended at "), "{}", node.told());
            }
            _ => node.kill().unwrap(),
        }
        let gone = Instant::now();
        node = scene.cluster.resumed(&node).unwrap();
        assert_eq!(scene.ask("GET round"), format!("VALUE {round}"), "{}", node.told());
        println!("stores: to the first answer of a restarted guest: {:?}", gone.elapsed());
        let after = node.status().unwrap();
        assert_eq!(after.generation, before.generation.next(), "{}", node.told());
        assert!(after.icount >= before.icount, "{before:?}\n{after:?}");
    }
}

#[test]
fn all_nodes_are_killed_under_load_again_and_again_and_nothing_acknowledged_is_lost() {
    let mut scene = stored("disk");
    let mut nodes = stored_pair(&mut scene);
    let mut prng = seeded("all_nodes_are_killed");
    let load = scene.load(6, 61);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    for round in 0..5 {
        sleep_ms(prng.between(50, 400));
        nodes.iter().for_each(|node| node.kill_now().unwrap());
        nodes.iter_mut().for_each(|node| node.kill().unwrap());
        // Either may go on: both counted.
        let first = prng.below(2) as usize;
        nodes[first] = scene.cluster.resumed(&nodes[first]).unwrap();
        nodes[1 - first] = scene.cluster.restarted(&nodes[1 - first], &addresses[first..=first]).unwrap();
        await_protected(&nodes);
        assert!(load.verify_all(), "round {round}: {}", told(&nodes));
    }
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1]]);
    // Each restart of the second one is a catch-up.
    assert!(!told(&nodes).contains("diverge"), "{}", told(&nodes));
}

#[test]
fn a_node_that_must_hold_less_waits_and_says_for_whom_and_joins_who_goes_on() {
    let mut scene = stored("disk");
    let mut nodes = stored_pair(&mut scene);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    nodes[1].kill().unwrap();
    scene.await_alone(&mut nodes[0]);
    assert_eq!(scene.ask("SET only first"), "OK");
    nodes[0].kill().unwrap();
    // The backup was given up before that was acknowledged.
    nodes[1] = scene.cluster.resumed(&nodes[1]).unwrap();
    let waits = |s: &NodeStatus| s.phase == "seeking";
    scene.cluster.await_status(&mut nodes[1], "waiting for the other", waits).unwrap();
    let until = Instant::now() + PATIENCE;
    while !nodes[1].told().contains("not going on alone") {
        assert!(Instant::now() < until, "{}", nodes[1].told());
        sleep_ms(5);
    }
    assert!(nodes[1].told().contains(&format!("primary at {}", addresses[0])), "{}", nodes[1].told());
    nodes[0] = scene.cluster.resumed(&nodes[0]).unwrap();
    assert_eq!(await_protected(&nodes), 0, "{}", told(&nodes));
    assert_eq!(scene.ask("GET only"), "VALUE first");
    assert!(nodes[1].told().contains("goes on with this node's machine"), "{}", told(&nodes));
}

#[test]
fn a_restarted_backup_catches_up_from_its_own_store() {
    let mut scene = stored("memory");
    let mut nodes = stored_pair(&mut scene);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let load = scene.load(4, 62);
    for round in 0..3 {
        nodes[1].kill().unwrap();
        scene.await_alone(&mut nodes[0]);
        nodes[1] = scene.cluster.restarted(&nodes[1], &addresses[..1]).unwrap();
        await_protected(&nodes);
        let told = nodes[1].told();
        assert!(told.contains("goes on with this node's machine"), "round {round}: {told}");
        assert!(!told.contains("the primary sends its state"), "round {round}: {told}");
        assert!(load.verify_all(), "{told}");
    }
    nodes[0].kill().unwrap();
    assert_eq!(await_primary(&nodes[1..]), 0);
    assert!(load.verify_all(), "{}", told(&nodes));
    assert_clean(&load.stop(), &[&nodes[1]]);
}

#[test]
fn a_backup_without_a_store_does_not_count_where_the_log_counts_on_disk() {
    let mut scene = stored("disk");
    let mut primary = scene.cluster.primary().unwrap();
    scene.await_alone(&mut primary);
    scene.cluster.stores = false;
    let mut backup = scene.cluster.backup(&primary).unwrap();
    assert_eq!(backup.wait(PATIENCE), Some(2), "{}", backup.told());
    assert!(backup.told().contains("give it one with --store"), "{}", backup.told());
}

#[test]
fn a_store_that_cannot_be_made_is_refused_before_anything_is_claimed() {
    let mut scene = stored("disk");
    scene.cluster.stores = false;
    let missing = scene.dir.path().join("not").join("there").display().to_string();
    scene.cluster.arguments = vec!["--store".into(), missing.clone()];
    let mut primary = scene.cluster.primary().unwrap();
    assert_eq!(primary.wait(PATIENCE), Some(2), "{}", primary.told());
    let told = primary.told();
    assert!(told.contains(&format!("cannot make the store {missing}")) && told.contains("fix: "), "{told}");
    scene.cluster.arguments = Vec::new();
    let mut without = scene.cluster.primary().unwrap();
    assert_eq!(without.wait(PATIENCE), Some(2), "{}", without.told());
    assert!(without.told().contains("--ack disk needs a store"), "{}", without.told());
    let mut nothing = scene.cluster.resumed(&without).unwrap();
    assert_eq!(nothing.wait(PATIENCE), Some(2), "{}", nothing.told());
    assert!(nothing.told().contains("no guest"), "{}", nothing.told());
    scene.cluster.stores = true;
    let mut nothing = scene.cluster.resumed(&without).unwrap();
    assert_eq!(nothing.wait(PATIENCE), Some(2), "{}", nothing.told());
    assert!(nothing.told().contains("no guest, and no store to go on from"), "{}", nothing.told());
    // Nothing was claimed: a life begins.
    let mut primary = scene.cluster.primary().unwrap();
    await_store(&scene, &mut primary);
    assert_eq!(primary.status().unwrap().generation.get(), 1);
}

#[test]
fn a_primary_alone_whose_store_is_full_keeps_its_answers_back_until_a_backup_takes_over() {
    let mut scene = stored("disk");
    let Some(small) = SmallDisk::mount(&scene.dir.path().join("small"), 17 << 20) else { return };
    scene.cluster.stores = false;
    scene.cluster.arguments = vec!["--store".into(), small.at.join("store").display().to_string()];
    let mut primary = scene.cluster.primary().unwrap();
    await_store(&scene, &mut primary);
    let load = scene.load(8, 63);
    let until = Instant::now() + BACK_WITHIN;
    while primary.status().unwrap().store_trouble.is_none() {
        assert!(Instant::now() < until, "the store never fills: {}", primary.told());
        sleep_ms(20);
    }
    let status = primary.status().unwrap();
    assert!(status.troubles().iter().any(|trouble| trouble.contains("No space left")), "{status:?}");
    scene.cluster.arguments = vec!["--store".into(), scene.dir.path().join("large").display().to_string()];
    let mut backup = scene.cluster.backup(&primary).unwrap();
    scene.cluster.await_status(&mut backup, "the primary", |status| status.role == "primary").unwrap();
    assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
    assert!(primary.told().contains("its store failed, and the log counts there"), "{}", primary.told());
    assert!(load.verify_all(), "{}\n{}", primary.told(), backup.told());
    assert_clean(&load.stop(), &[&backup]);
}

/// What a node has written, with checkpoints as entries in it, is what the tools for stores read.
#[test]
fn a_nodes_store_is_verified_replayed_and_exported_across_its_checkpoints() {
    let mut scene = stored("disk");
    let mut node = scene.cluster.primary().unwrap();
    await_store(&scene, &mut node);
    for round in 0..3 {
        assert_eq!(scene.ask(&format!("SET round {round}")), "OK");
        let asked = lockstep(&["checkpoint", &node.address.to_string(), "--json"]);
        assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    }
    assert_eq!(scene.ask("SET after all"), "OK");
    let end = node.status().unwrap().icount.get().to_string();
    terminate(&node);
    assert_eq!(node.wait(PATIENCE), Some(0), "{}", node.told());
    let store = scene.cluster.store_of(node.address).display().to_string();
    let listed = lockstep(&["store", "ls", &store, "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["checkpoints"].as_array().map(Vec::len), Some(4), "{listed:#}");
    let verified = lockstep(&["store", "verify", &store]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    // From the boot, across every checkpoint, to the end.
    let out = scene.dir.path().join("out").display().to_string();
    assert_eq!(lockstep(&["store", "export", &store, &out]).status.code(), Some(0));
    for arguments in [&["replay", &store, "--at", &end][..], &["replay", &out, "--until", &end]] {
        let replayed = lockstep(arguments);
        assert_eq!(replayed.status.code(), Some(0), "{arguments:?}: {}", said(&replayed));
    }
    let counted = lockstep(&["log", "stats", &out]);
    assert!(said(&counted).contains("checkpoint"), "{}", said(&counted));
}

/// What is no store of this vm, or not whole, is no place to start from; a backup gets the rest from its primary.
#[test]
fn stores_that_are_no_starting_point_are_refused_or_put_aside() {
    let mut scene = stored("disk");
    let mut nodes = stored_pair(&mut scene);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let asked = lockstep(&["checkpoint", &addresses[0].to_string()]);
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    assert_eq!(scene.ask("SET colour green"), "OK");
    let is_saved = |s: &NodeStatus| s.checkpoint.is_some();
    scene.cluster.await_status(&mut nodes[1], "saved, too", is_saved).unwrap();
    let refuses = |scene: &mut Scene, node: &Process, words: &str| {
        let mut refused = scene.cluster.resumed(node).unwrap();
        assert_eq!(refused.wait(PATIENCE), Some(2), "{}", refused.told());
        assert!(refused.told().contains(words) && refused.told().contains("fix: "), "{}", refused.told());
    };
    refuses(&mut scene, &nodes[0], "is in use by another process");
    nodes.iter_mut().for_each(|node| node.kill().unwrap());
    scene.cluster.vm = "other".into();
    refuses(&mut scene, &nodes[0], "is of the vm \"kv\", not \"other\"");
    scene.cluster.vm = "kv".into();
    // Files of the backup's store, newest last.
    let store = scene.cluster.store_of(addresses[1]);
    let files = |suffix: &str| {
        let names = std::fs::read_dir(&store).unwrap().map(|item| item.unwrap().path());
        let mut names: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
        names.sort();
        names
    };
    let rot = |path: &std::path::Path, at: u64| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at as usize] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    // A checkpoint that lies: the one before it is there, and so is all log behind that.
    let newest = files(".ckpt").pop().unwrap();
    rot(&newest, std::fs::metadata(&newest).unwrap().len() / 2);
    let mut back = scene.cluster.resumed(&nodes[1]).unwrap();
    await_primary(std::slice::from_ref(&back));
    assert_eq!(scene.ask("GET colour"), "VALUE green", "{}", back.told());
    assert!(back.told().contains(&newest.display().to_string()), "{}", back.told());
    back.kill().unwrap();
    // What the node was to its group permits, and is no part of the log: others go first, and nothing is given up.
    rot(&store.join("replica"), 40);
    let mut unsure = scene.cluster.resumed(&back).unwrap();
    let waits = |s: &NodeStatus| s.phase == "seeking";
    scene.cluster.await_status(&mut unsure, "waiting for others", waits).unwrap();
    assert!(unsure.told().contains("it is taken for missing, and others go first"), "{}", unsure.told());
    unsure.kill().unwrap();
    // A segment is missing.
    files(".log").into_iter().for_each(|path| std::fs::remove_file(path).unwrap());
    refuses(&mut scene, &back, &store.display().to_string());
    // The first node holds all that was acknowledged before the second went on; it does not go on alone.
    nodes[0] = scene.cluster.resumed(&nodes[0]).unwrap();
    let until = Instant::now() + PATIENCE;
    while !nodes[0].told().contains("not going on alone") {
        assert!(Instant::now() < until, "{}", nodes[0].told());
        sleep_ms(5);
    }
}

#[test]
fn a_backup_with_a_damaged_store_puts_it_aside_and_gets_all_anew() {
    let mut scene = stored("disk");
    let mut nodes = stored_pair(&mut scene);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    assert_eq!(scene.ask("SET colour green"), "OK");
    nodes[1].kill().unwrap();
    scene.await_alone(&mut nodes[0]);
    let store = scene.cluster.store_of(addresses[1]);
    std::fs::write(store.join("store"), "rot").unwrap();
    nodes[1] = scene.cluster.restarted(&nodes[1], &addresses[..1]).unwrap();
    await_protected(&nodes);
    let told = nodes[1].told();
    assert!(told.contains("it is put aside as") && told.contains("the primary sends its state"), "{told}");
    assert!(store.with_extension("damaged").join("store").exists() && store.join("store").exists(), "{told}");
    await_store(&scene, &mut nodes[1]);
    nodes.iter_mut().for_each(|node| node.kill().unwrap());
    nodes[1] = scene.cluster.resumed(&nodes[1]).unwrap();
    assert_eq!(scene.ask("GET colour"), "VALUE green", "{}", nodes[1].told());
}
