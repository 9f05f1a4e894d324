//! Planned changes of places.

use std::time::Duration;

use lockstep::ft::Message;
use lockstep::host::link;
use lockstep::lab::cluster::Process;

use super::scene::*;

fn switch_over(node: &Process) {
    let output = lockstep(&["switchover", &node.address.to_string()]);
    assert!(output.status.success(), "{}\n{}", said(&output), node.told());
}

#[test]
fn ten_switch_overs_lose_nothing_and_both_stay_protected() {
    let mut scene = Scene::kv();
    let (mut a, mut b) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 31);
    for round in 0..10 {
        sleep_ms(60);
        let before = a.status().unwrap();
        assert_eq!(before.role, "primary", "{before:?}");
        switch_over(&a);
        let after = scene.await_primary(&mut b, &before);
        assert_eq!(after.generation, before.generation.next());
        assert!(after.protected, "round {round}: {after:?}");
        let follows = a.status().unwrap();
        assert_eq!((follows.role.as_str(), follows.protected), ("backup", true), "round {round}");
        assert_one_primary([&a, &b]);
        std::mem::swap(&mut a, &mut b);
    }
    assert!(load.verify_all(), "{}\n{}", a.told(), b.told());
    for node in [&a, &b] {
        assert!(!node.told().contains("is lost"), "a fault was counted: {}", node.told());
    }
    // A switch-over leaves a pair like any other.
    scene.await_audit(&mut a);
    let before = a.status().unwrap();
    kill(&mut a);
    scene.await_primary(&mut b, &before);
    assert!(load.verify_all(), "{}", b.told());
    let report = load.stop();
    println!("ten switch-overs and a kill: longest gap {:.1} ms", report.longest_gap_ms);
    assert_clean(&report, &[&a, &b]);
}

#[test]
fn a_switch_over_without_a_backup_is_refused() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    scene.await_alone(&mut primary);
    let output = lockstep(&["switchover", &primary.address.to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("lockstep backup"), "{}", said(&output));
    let backup = scene.protect(&mut primary);
    let output = lockstep(&["switchover", &backup.address.to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("ask its primary"), "{}", said(&output));
    assert_eq!(scene.ask("PING"), "PONG");
}

#[test]
fn a_node_killed_in_a_switch_over_takes_nothing_with_it() {
    let mut prng = seeded("a_node_killed_in_a_switch_over_takes_nothing_with_it");
    let mut scene = Scene::kv();
    let (mut a, mut b) = scene.cluster.pair().unwrap();
    let load = scene.load(6, prng.next_u64());
    // The last rounds kill the new primary soon after it has become that: the old primary is primary again.
    for round in 0..14 {
        sleep_ms(50);
        let address = a.address;
        let asking = std::thread::spawn(move || link::ask(address, &Message::SwitchOver, PATIENCE));
        let successor_is_primary = if round < 8 {
            std::thread::sleep(Duration::from_micros(prng.below(8000)));
            false
        } else {
            while !b.told().contains("going live") {
                std::thread::sleep(Duration::from_micros(50));
            }
            true
        };
        let (mut victim, mut survivor) =
            if round % 2 == 0 && !successor_is_primary { (a, b) } else { (b, a) };
        kill(&mut victim);
        // Its answer depends on how far the switch-over had come.
        println!("round {round}, {}: {:?}", victim.name, asking.join().unwrap().is_ok());
        scene.await_alone(&mut survivor);
        assert!(load.verify_all(), "{}\n{}", victim.told(), survivor.told());
        b = scene.protect(&mut survivor);
        a = survivor;
    }
    assert_clean(&load.stop(), &[&a, &b]);
}
