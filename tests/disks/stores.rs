//! Nodes with disks and stores: all of them are killed, and guest and disks go on together.

use std::path::{Path, PathBuf};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::Process;

use crate::support::{Scene, last_flushed, make_image, records_on, seeded, sleep_ms, until};

/// A primary and a backup that counts, both with a store that is whole; which disk is whose.
fn stored_pair(scene: &mut Scene) -> ([Process; 2], [PathBuf; 2]) {
    (scene.cluster.stores, scene.cluster.ack, scene.cluster.rejoins) = (true, Some("disk"), true);
    let disks = [scene.path("p.img"), scene.path("b.img")];
    make_image(&disks[0], 4 << 20, 0);
    let mut primary = scene.primary(&disks[0], &[]);
    let mut backup = scene.protect(&mut primary, &disks[1], &[]);
    for node in [&mut primary, &mut backup] {
        let is_whole = |s: &NodeStatus| s.store.is_some_and(|store| store.durable.get() > 0);
        scene.cluster.await_status(node, "with a store that is whole", is_whole).unwrap();
    }
    ([primary, backup], disks)
}

/// Starts `node` again, from its store, with that disk.
fn resumed(scene: &mut Scene, node: &Process, disk: &Path) -> Process {
    scene.cluster.arguments = vec!["--disk".into(), disk.display().to_string()];
    scene.cluster.resumed(node).unwrap()
}

#[test]
fn all_are_killed_again_and_again_and_every_flush_that_was_seen_is_there() {
    let mut prng = seeded("all_are_killed_again_and_again_and_every_flush_that_was_seen_is_there");
    let mut scene = Scene::new();
    let (mut nodes, disks) = stored_pair(&mut scene);
    let mut said = 0;
    for round in 0..4 {
        sleep_ms(prng.between(100, 600));
        nodes.iter().for_each(|node| node.kill_now().unwrap());
        nodes.iter_mut().for_each(|node| node.kill().unwrap());
        let flushed = nodes.iter().map(|node| last_flushed(&scene.console(node))).max().unwrap();
        said = said.max(flushed);
        let first = prng.below(2) as usize;
        nodes[first] = resumed(&mut scene, &nodes[first], &disks[first]);
        let until_live = scene.await_primary(&mut nodes[first]);
        assert!(until_live.generation.get() >= 2, "round {round}: {until_live:?}");
        nodes[1 - first] = resumed(&mut scene, &nodes[1 - first], &disks[1 - first]);
        scene.cluster.await_protected(&mut nodes[first]).unwrap();
        scene.await_flushed(&nodes[first], said);
    }
    nodes.iter_mut().for_each(|node| node.kill().unwrap());
    for disk in &disks {
        assert!(records_on(disk) >= said && said > 0, "{}", disk.display());
    }
}

#[test]
fn a_checkpoint_goes_with_the_disk_and_another_nodes_disk_is_refused() {
    let mut scene = Scene::new();
    let (mut nodes, disks) = stored_pair(&mut scene);
    scene.await_flushed(&nodes[0], 20);
    let asked = crate::support::lockstep(&["checkpoint", &nodes[0].address.to_string()]);
    asked.ends(0, &["checkpoint at "]);
    let at = nodes[0].status().unwrap().checkpoint.unwrap().icount;
    until("saved at the backup, too", || {
        nodes[1].status().is_ok_and(|status| status.checkpoint.is_some_and(|kept| kept.icount == at))
    });
    nodes.iter_mut().for_each(|node| node.kill().unwrap());
    let said = last_flushed(&scene.console(&nodes[0]));
    let other = resumed(&mut scene, &nodes[0], &disks[1]);
    scene
        .end_of(other)
        .refuses(&["which is not the one that wrote this store", "name the disk that this node had"]);
    let copy = scene.path("copy.img");
    std::fs::copy(&disks[0], &copy).unwrap();
    let unknown = resumed(&mut scene, &nodes[0], &copy);
    scene.end_of(unknown).refuses(&["is not known to be the one of the node that wrote this store"]);
    scene.cluster.arguments = Vec::new();
    let without = scene.cluster.resumed(&nodes[0]).unwrap();
    scene.end_of(without).refuses(&["the guest in the store has 1 disks", "named here are 0"]);
    nodes[0] = resumed(&mut scene, &nodes[0], &disks[0]);
    scene.await_primary(&mut nodes[0]);
    assert!(nodes[0].told().contains(&format!("going on from a checkpoint at {at}")), "{}", nodes[0].told());
    scene.await_flushed(&nodes[0], said);
}
