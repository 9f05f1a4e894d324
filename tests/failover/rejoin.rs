//! Pairs without an operator: a node that loses its place finds it again by itself.

use std::fs;
use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::Process;

use super::scene::*;

/// A pair is to be protected again within this, also on a busy host.
const HEALED_WITHIN: Duration = Duration::from_secs(20);

fn scene() -> Scene {
    let mut scene = Scene::kv();
    scene.cluster.rejoins = true;
    scene
}

fn told(nodes: &[Process]) -> String {
    nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.told())).collect()
}

fn statuses(nodes: &[Process]) -> Vec<Option<NodeStatus>> {
    nodes.iter().map(|node| node.status().ok()).collect()
}

/// Waits until one of `nodes` is primary past `generation`, protected, and another follows it; their indices.
fn await_pair(nodes: &[Process], generation: u64) -> (usize, usize) {
    let until = Instant::now() + HEALED_WITHIN;
    loop {
        let statuses = statuses(nodes);
        let find = |wanted: &dyn Fn(&NodeStatus) -> bool| {
            statuses.iter().position(|status| status.as_ref().is_some_and(wanted))
        };
        let active = find(&|s| s.role == "primary" && s.protected && s.generation.get() > generation);
        let following = find(&|s| s.role == "backup" && s.protected && s.phase == "following");
        if let (Some(active), Some(following)) = (active, following) {
            return (active, following);
        }
        assert!(Instant::now() < until, "no pair: {statuses:#?}\n{}", told(nodes));
        sleep_ms(5);
    }
}

fn await_primary_past(nodes: &[Process], at: usize, generation: u64) {
    let until = Instant::now() + HEALED_WITHIN;
    let is_primary =
        |s: &NodeStatus| s.role == "primary" && s.phase == "alone" && s.generation.get() > generation;
    while !nodes[at].status().is_ok_and(|status| is_primary(&status)) {
        assert!(Instant::now() < until, "{}", told(nodes));
        sleep_ms(2);
    }
}

/// Kills and pauses in turn. A killed process is started again, as a service manager does, with the same words each
/// time; a paused one is only woken.
#[test]
fn nodes_that_are_killed_and_paused_in_turn_become_a_pair_again_by_themselves() {
    let mut scene = scene();
    let (primary, backup) = scene.cluster.pair().unwrap();
    let mut nodes = vec![primary, backup];
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let load = scene.load(6, 31);
    let (mut active, mut following) = (0, 1);
    for round in 0..7 {
        let before = nodes[active].status().unwrap();
        let generation = before.generation.get();
        let pids: Vec<u32> = nodes.iter().map(|node| node.child.id()).collect();
        let hurt = if round % 3 == 2 { following } else { active };
        let was = nodes[hurt].status().unwrap().node;
        let since = Instant::now();
        match round % 3 {
            // The primary stops, is replaced, and wakes.
            0 => {
                nodes[active].stop().unwrap();
                await_primary_past(&nodes, following, generation);
                nodes[active].resume().unwrap();
            }
            // The primary is killed.
            1 => {
                nodes[active].kill().unwrap();
                nodes[active] = scene.cluster.restarted(&nodes[active], &addresses).unwrap();
            }
            // The backup stops, is given up, and wakes.
            _ => {
                nodes[following].stop().unwrap();
                await_primary_past(&nodes, active, generation);
                nodes[following].resume().unwrap();
            }
        }
        (active, following) = await_pair(&nodes, generation);
        println!("round {round}: protected again after {:.0} ms", since.elapsed().as_secs_f64() * 1e3);
        let is = nodes[hurt].status().unwrap().node;
        assert_ne!(is, was, "a node that comes back has another identity: {}", told(&nodes));
        if round % 3 != 1 {
            assert_eq!(pids, nodes.iter().map(|node| node.child.id()).collect::<Vec<_>>());
        }
        assert!(load.verify_all(), "{}", told(&nodes));
    }
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1]]);
    for node in &nodes {
        assert!(!node.told().contains("panicked"), "{}", node.told());
    }
}

#[test]
fn a_joiner_that_asks_the_backup_in_the_instant_of_a_takeover_asks_again() {
    let mut scene = scene();
    let (primary, backup) = scene.cluster.pair().unwrap();
    let load = scene.load(4, 32);
    let mut nodes = vec![primary, backup];
    for _ in 0..3 {
        let before = nodes[0].status().unwrap().generation.get();
        // It is silent, and not dead: its backup stays one for as long as silence is forgiven.
        nodes[0].stop().unwrap();
        let joiner = scene.cluster.backup(&nodes[1]).unwrap();
        nodes.push(joiner);
        assert_eq!(await_pair(&nodes[1..], before), (0, 1), "{}", told(&nodes));
        assert!(nodes[2].told().contains("this node is the backup"), "{}", nodes[2].told());
        assert!(load.verify_all(), "{}", told(&nodes));
        nodes[0].kill().unwrap();
        nodes.remove(0);
    }
    assert_clean(&load.stop(), &[&nodes[0], &nodes[1]]);
}

/// The address that a spare was given is dead by then: it knows the survivor's from the primary that put it off.
#[test]
fn a_spare_goes_where_the_pair_went() {
    let mut scene = scene();
    scene.cluster.backups = Some(1);
    let (mut primary, backup) = scene.cluster.pair().unwrap();
    scene.cluster.arguments = ["--wait", "60"].map(str::to_owned).to_vec();
    let mut spare = scene.cluster.backup(&primary).unwrap();
    let status = scene
        .cluster
        .await_status(&mut spare, "put off", |s| {
            s.seeking.as_ref().is_some_and(|text| text.contains("already"))
        })
        .unwrap();
    assert_eq!((status.role.as_str(), status.phase.as_str(), status.protected), ("backup", "seeking", false));
    let generation = primary.status().unwrap().generation.get();
    primary.kill().unwrap();
    let nodes = [backup, spare];
    assert_eq!(await_pair(&nodes, generation), (0, 1));
}

#[test]
fn a_loser_leaves_its_recording_whole_and_begins_another() {
    let mut scene = scene();
    scene.cluster.record = true;
    let (primary, backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    let nodes = [primary, backup];
    nodes[0].stop().unwrap();
    await_primary_past(&nodes, 1, 1);
    nodes[0].resume().unwrap();
    assert_eq!(await_pair(&nodes, 1), (1, 0));
    assert_eq!(scene.ask("GET colour"), "VALUE green");
    let first = scene.cluster.record_dir(1);
    let second = first.with_file_name("record-1.2");
    assert!(nodes[0].told().contains(&format!("recorded into {}", second.display())), "{}", nodes[0].told());
    for dir in [&first, &second] {
        let verified = lockstep(&["log", "verify", &dir.display().to_string()]);
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
        assert!(fs::read_dir(dir).unwrap().count() >= 2);
    }
}

#[test]
fn a_loser_that_was_told_to_take_part_once_ends_and_says_why() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let before = primary.status().unwrap();
    primary.stop().unwrap();
    scene.await_primary(&mut backup, &before);
    primary.resume().unwrap();
    assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
    assert!(primary.told().contains("halted: generation 2 belongs to node"), "{}", primary.told());
}

/// The guest ends while a loser is away: there is nothing left to join, and the loser says so.
#[test]
fn a_loser_whose_guest_ends_meanwhile_ends_too() {
    let mut scene = scene();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let before = primary.status().unwrap();
    primary.stop().unwrap();
    scene.await_primary(&mut backup, &before);
    // The guest's only node may want to be told twice.
    let ended = (0..20).find_map(|_| {
        terminate(&backup);
        backup.wait(Duration::from_secs(1))
    });
    assert_eq!(ended, Some(0), "{}", backup.told());
    primary.resume().unwrap();
    assert_eq!(primary.wait(HEALED_WITHIN), Some(2), "{}", primary.told());
    assert!(primary.told().contains("the guest has ended, in generation 2"), "{}", primary.told());
}
