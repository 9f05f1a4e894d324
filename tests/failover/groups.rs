//! One primary with several backups that count: an output waits for all of them, and any may be the next primary.

use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::Process;

use super::scene::*;

/// A group is whole again within this, also on a busy host.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);

fn told(nodes: &[Process]) -> String {
    nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.told())).collect()
}

/// Waits until one of `nodes` is primary, and `backups` of the others count; which is primary.
fn await_group(nodes: &[Process], backups: usize) -> usize {
    let until = Instant::now() + WHOLE_WITHIN;
    loop {
        let statuses: Vec<_> = nodes.iter().map(|node| node.status().ok()).collect();
        let is_whole = |s: &NodeStatus| s.role == "primary" && s.protected && s.counting() == backups;
        if let Some(active) = statuses.iter().position(|s| s.as_ref().is_some_and(is_whole)) {
            return active;
        }
        assert!(Instant::now() < until, "no group: {statuses:#?}\n{}", told(nodes));
        sleep_ms(2);
    }
}

/// A primary and two backups that count, which come back by themselves when they lose their place.
fn group() -> (Scene, Vec<Process>) {
    let mut scene = Scene::kv();
    scene.cluster.rejoins = true;
    let (primary, backup) = scene.cluster.pair().unwrap();
    let second = scene.cluster.backup(&primary).unwrap();
    let nodes = vec![primary, backup, second];
    assert_eq!(await_group(&nodes, 2), 0);
    (scene, nodes)
}

/// The heir of each kill goes on, and the node that is left joins it by itself; the killed one is started again.
#[test]
fn a_chain_of_kills_among_three_nodes_loses_nothing() {
    let (mut scene, mut nodes) = group();
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let load = scene.load(6, 41);
    let (mut active, mut takeovers, mut guarded) = (0, Vec::new(), Vec::new());
    for _ in 0..6 {
        let before = nodes[active].status().unwrap();
        let (sent, gone) = kill(&mut nodes[active]);
        takeovers.push(await_answer_ms(&load, sent, gone));
        let dead = active;
        active = await_group_without(&nodes, dead, 1);
        guarded.push(sent.elapsed().as_secs_f64() * 1e3);
        let after = nodes[active].status().unwrap();
        assert!(after.generation > before.generation, "{before:?}\n{after:?}");
        nodes[dead] = scene.cluster.restarted(&nodes[dead], &addresses).unwrap();
        active = await_group(&nodes, 2);
        assert!(load.verify_all(), "{}", told(&nodes));
    }
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1], &nodes[2]]);
    for times in [&mut takeovers, &mut guarded] {
        times.sort_by(f64::total_cmp);
    }
    println!(
        "groups: kill to first answer {takeovers:.1?} ms, to the next backup that counts {guarded:.0?} ms"
    );
}

/// [`await_group`] among the nodes but `dead`, which has been killed.
fn await_group_without(nodes: &[Process], dead: usize, backups: usize) -> usize {
    let until = Instant::now() + WHOLE_WITHIN;
    loop {
        for (at, node) in nodes.iter().enumerate().filter(|(at, _)| *at != dead) {
            if node.status().is_ok_and(|s| s.role == "primary" && s.protected && s.counting() == backups) {
                return at;
            }
        }
        assert!(Instant::now() < until, "no group without {dead}:\n{}", told(nodes));
        sleep_ms(2);
    }
}

#[test]
fn a_group_survives_the_loss_of_one_backup_and_then_of_its_primary_without_a_gap_in_between() {
    let (scene, mut nodes) = group();
    let load = scene.load(6, 42);
    nodes[1].kill().unwrap();
    // The other backup counts throughout.
    let is_next = |s: &NodeStatus| s.generation.get() == 2 && s.protected && s.counting() == 1;
    scene.cluster.await_status(&mut nodes[0], "guarded by the backup that is left", is_next).unwrap();
    assert!(!nodes[0].told().contains("going on alone"), "{}", told(&nodes));
    assert!(nodes[0].told().contains("with one backup"), "{}", told(&nodes));
    let (sent, gone) = kill(&mut nodes[0]);
    await_answer_ms(&load, sent, gone);
    let alone = |s: &NodeStatus| s.role == "primary" && s.generation.get() == 3;
    scene.cluster.await_status(&mut nodes[2], "the primary", alone).unwrap();
    assert!(load.verify_all(), "{}", told(&nodes));
    assert_clean(&load.stop(), &[&nodes[2]]);
    assert_eq!(scene.ask("SET colour green"), "OK");
}

#[test]
fn both_backups_may_die_at_once_and_either_may_be_paused_and_come_back() {
    let (scene, mut nodes) = group();
    let load = scene.load(6, 43);
    nodes[2].stop().unwrap();
    let lost = |s: &NodeStatus| s.protected && s.counting() == 1 && s.generation.get() == 2;
    scene.cluster.await_status(&mut nodes[0], "guarded by one", lost).unwrap();
    nodes[2].resume().unwrap();
    assert_eq!(await_group(&nodes, 2), 0);
    assert!(load.verify_all(), "{}", told(&nodes));
    for backup in [1, 2] {
        nodes[backup].kill().unwrap();
    }
    scene.await_alone(&mut nodes[0]);
    assert!(load.verify_all(), "{}", told(&nodes));
    assert_clean(&load.stop(), &[&nodes[0]]);
}

#[test]
fn a_switch_over_in_a_group_is_to_one_backup_and_the_other_follows() {
    let (scene, nodes) = group();
    let load = scene.load(6, 44);
    let mut active = 0;
    for _ in 0..3 {
        let before = nodes[active].status().unwrap().generation;
        let asked = lockstep(&["switchover", &nodes[active].address.to_string()]);
        assert_eq!(asked.status.code(), Some(0), "{}\n{}", said(&asked), told(&nodes));
        let next = await_group(&nodes, 2);
        assert_ne!(next, active, "{}", told(&nodes));
        assert!(nodes[next].status().unwrap().generation > before);
        active = next;
        assert!(load.verify_all(), "{}", told(&nodes));
    }
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1], &nodes[2]]);
}

#[test]
fn a_node_that_is_asked_to_leave_does_unless_the_guest_would_go_with_it() {
    let (scene, mut nodes) = group();
    let load = scene.load(6, 45);
    let leave = |node: &Process| lockstep(&["leave", &node.address.to_string()]);
    // A backup; then the primary, whose backup goes on; then the last, which stays.
    let asked = leave(&nodes[1]);
    assert_eq!(asked.status.code(), Some(0), "{}\n{}", said(&asked), told(&nodes));
    assert_eq!(nodes[1].wait(PATIENCE), Some(0), "{}", told(&nodes));
    assert_eq!(await_group_without(&nodes, 1, 1), 0);
    let asked = leave(&nodes[0]);
    assert_eq!(asked.status.code(), Some(0), "{}\n{}", said(&asked), told(&nodes));
    assert_eq!(nodes[0].wait(PATIENCE), Some(0), "{}", told(&nodes));
    scene.await_alone(&mut nodes[2]);
    let asked = leave(&nodes[2]);
    assert_eq!(asked.status.code(), Some(1), "{}\n{}", said(&asked), told(&nodes));
    assert!(said(&asked).contains("no other node has the guest"), "{}", said(&asked));
    assert!(load.verify_all(), "{}", told(&nodes));
    assert_clean(&load.stop(), &[&nodes[2]]);
}

/// A follower's connection breaks: what it costs is the log of the meantime.
#[test]
fn a_backup_that_loses_its_connection_comes_back_without_a_state_transfer() {
    let (scene, nodes) = group();
    let load = scene.load(6, 46);
    let before = nodes[2].status().unwrap().node;
    nodes[2].stop().unwrap();
    let until = Instant::now() + WHOLE_WITHIN;
    while nodes[0].status().unwrap().counting() > 1 {
        assert!(Instant::now() < until, "{}", told(&nodes));
        sleep_ms(2);
    }
    nodes[2].resume().unwrap();
    assert_eq!(await_group(&nodes, 2), 0);
    assert_ne!(nodes[2].status().unwrap().node, before, "it has another identity");
    let transfers = nodes[2].told().matches("the primary sends its state").count();
    assert_eq!(transfers, 1, "only when it joined: {}", told(&nodes));
    assert!(nodes[0].told().contains("and no state, are sent"), "{}", told(&nodes));
    assert!(load.verify_all(), "{}", told(&nodes));
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1], &nodes[2]]);
}
