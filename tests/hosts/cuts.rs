//! Failure by network: partitions, cuts one way, an arbiter out of reach, a pulled cable.

use std::time::Instant;

use super::net::Net;
use super::scene::*;

/// One switch, a pair and a client, each on its own host.
fn four_hosts() -> Option<(Scene, Process)> {
    let mut scene = Scene::of(Net::of(&["one", "two", "wire", "client"], &[])?);
    let switch = scene.tap_switch("wire");
    Some((scene, switch))
}

/// Waits until one of the two has gone on alone; the names of who goes on, and of who does not.
fn await_winner(scene: &Scene, past: u64) -> (&'static str, &'static str) {
    let is_primary = |host| {
        scene
            .try_status(host)
            .is_some_and(|s| s.role == "primary" && s.generation.get() > past && s.phase != "claiming")
    };
    let mut winner = None;
    scene.await_that("one goes on", || {
        winner = [("one", "two"), ("two", "one")].into_iter().find(|(host, _)| is_primary(*host));
        winner.is_some()
    });
    winner.unwrap()
}

/// The node that did not win ends, and says why.
fn assert_halted(node: &mut Process) {
    assert_eq!(node.wait(), 1, "{}", node.told());
    assert!(node.told().contains("belongs to node"), "{}", node.told());
}

#[test]
fn in_a_partition_exactly_one_goes_on_and_its_clients_with_it() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let mut nodes = [scene.primary("one", "wire"), scene.backup("two", "one", "wire")];
    let load = scene.load("client", 1);
    for past in 1..=3 {
        sleep_ms(200);
        let since = Instant::now();
        scene.net.cut_inbound("one", "two");
        scene.net.cut_inbound("two", "one");
        let (winner, loser) = await_winner(&scene, past);
        let at = usize::from(loser == "two");
        assert_halted(&mut nodes[at]);
        assert!(load.verify_all());
        println!("a partition: {winner} goes on, longest gap {:.1} ms", gap_ms(&load, since));
        assert_eq!(scene.status(winner).generation.get(), past + 1);
        scene.net.heal("one");
        scene.net.heal("two");
        nodes[at] = scene.backup(loser, winner, "wire");
    }
    assert_clean(&load.stop());
}

#[test]
fn a_cut_in_one_direction_leaves_one_that_goes_on() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let mut nodes = [scene.primary("one", "wire"), scene.backup("two", "one", "wire")];
    let load = scene.load("client", 2);
    for (cut, (past, other)) in [("one", (1, "two")), ("two", (2, "one"))] {
        sleep_ms(200);
        let since = Instant::now();
        scene.net.cut_inbound(cut, other);
        let (winner, loser) = await_winner(&scene, past);
        let at = usize::from(loser == "two");
        assert_halted(&mut nodes[at]);
        assert!(load.verify_all());
        println!(
            "{cut} receives nothing from {other}: {winner} goes on, longest gap {:.1} ms",
            gap_ms(&load, since)
        );
        scene.net.heal(cut);
        nodes[at] = scene.backup(loser, winner, "wire");
    }
    assert_clean(&load.stop());
}

#[test]
fn in_a_partition_the_side_that_does_not_reach_the_arbiter_stops() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let mut nodes = [scene.primary("one", "wire"), scene.backup("two", "one", "wire")];
    let load = scene.load("client", 3);
    for (past, cut, other) in [(1, "one", "two"), (2, "two", "one")] {
        sleep_ms(200);
        let since = Instant::now();
        scene.cut_arbiter(cut);
        scene.net.cut_inbound("one", "two");
        scene.net.cut_inbound("two", "one");
        assert_eq!(await_winner(&scene, past), (other, cut));
        assert!(load.verify_all());
        println!("{cut} has no arbiter: {other} goes on, longest gap {:.1} ms", gap_ms(&load, since));
        // It waits, and sends nothing for the guest; with the arbiter back it learns that it has lost.
        let at = usize::from(cut == "two");
        assert!(nodes[at].is_running(), "{}", nodes[at].told());
        assert_eq!(scene.status(cut).phase, "claiming");
        scene.arbiter(cut);
        assert_halted(&mut nodes[at]);
        scene.net.heal("one");
        scene.net.heal("two");
        nodes[at] = scene.backup(cut, other, "wire");
    }
    assert_clean(&load.stop());
}

#[test]
fn without_an_arbiter_no_node_goes_on_and_none_is_lost() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let mut nodes = [scene.primary("one", "wire"), scene.backup("two", "one", "wire")];
    let load = scene.load("client", 4);
    sleep_ms(200);
    scene.cut_arbiter("one");
    scene.cut_arbiter("two");
    scene.net.cut_inbound("one", "two");
    scene.net.cut_inbound("two", "one");
    for host in ["one", "two"] {
        scene.await_that("both wait", || scene.status(host).phase == "claiming");
    }
    sleep_ms(100);
    let silent = Instant::now();
    sleep_ms(1000);
    assert!(load.answers_since(silent).is_empty(), "outputs left although no claim could be decided");
    assert!(nodes.iter_mut().all(Process::is_running));
    scene.arbiter("one");
    scene.arbiter("two");
    let (winner, loser) = await_winner(&scene, 1);
    assert_halted(&mut nodes[usize::from(loser == "two")]);
    assert!(load.verify_all());
    println!("the arbiter is back: {winner} goes on");
    assert_clean(&load.stop());
}

#[test]
fn a_pulled_cable_of_the_primary_is_taken_over() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let mut primary = scene.primary("one", "wire");
    let backup = scene.backup("two", "one", "wire");
    let load = scene.load("client", 5);
    sleep_ms(300);
    let since = Instant::now();
    // Its arbiter was at the other end of that cable.
    scene.cut_arbiter("one");
    scene.net.unplug("one");
    scene.await_primary("two", 1);
    assert!(load.verify_all(), "{}", backup.told());
    println!("a pulled cable: longest gap {:.1} ms", gap_ms(&load, since));
    assert_eq!(scene.status("one").phase, "claiming");
    // The switch does not wait for a host that is gone.
    scene.await_that("the dead connection ends", || scene.switch_status("wire")["peers"] == 2);
    scene.net.plug("one");
    scene.arbiter("one");
    assert_halted(&mut primary);
    assert!(load.verify_all());
    assert_clean(&load.stop());
}

#[test]
fn a_node_that_is_cut_off_from_its_switch_for_a_while_comes_back() {
    let Some((mut scene, _switch)) = four_hosts() else { return };
    let _nodes = [scene.primary("one", "wire"), scene.backup("two", "one", "wire")];
    let load = scene.load("client", 6);
    sleep_ms(200);
    let since = Instant::now();
    scene.net.cut_inbound("one", "wire");
    scene.net.cut_inbound("wire", "one");
    sleep_ms(6000);
    scene.net.heal("one");
    scene.net.heal("wire");
    assert!(load.verify_all());
    println!("6 s without the switch: longest gap {:.1} ms", gap_ms(&load, since));
    assert_eq!((scene.status("one").generation.get(), scene.status("one").protected), (1, true));
    assert_clean(&load.stop());
}
