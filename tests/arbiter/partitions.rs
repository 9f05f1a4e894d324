//! The network between a pair and its arbiter is cut, in every way that matters.
//!
//! | cut | what must be |
//! |---|---|
//! | primary from backup | exactly one goes on, and the clients with it |
//! | the same, and one of the two from the arbiter | that one stops, the other goes on |
//! | the same, and both from the arbiter | no node goes on, none is lost; it resumes when the arbiter is back |
//! | one direction of any of these | as if both were |
//! | only the arbiter | nothing, but that it is said |

use std::time::{Duration, Instant};

use super::relay::Cut;
use super::scene::*;

fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Clients run, the link is cut at the default settings; how long until the first answer to a request
/// that came after.
fn cut_between_the_nodes(kind: Kind, cut: Cut) -> Option<f64> {
    let mut scene = Scene::start(kind, None)?;
    let load = scene.load();
    sleep_ms(300);
    let at = Instant::now();
    scene.link.cut(cut);
    let took = scene.await_answer_ms(&load, at, at + Duration::from_millis(20));
    let stayed = scene.await_one(2);
    assert!(load.verify_all(), "{}", scene.told());
    let gap = load.longest_gap_since(at).map_or(0.0, |(_, gap)| gap.as_secs_f64() * 1e3);
    scene.assert_clean(&load.stop());
    println!(
        "partition: {kind:?}, {cut:?} cut between the nodes: the {} goes on; first answer after {took:.1} ms, \
         longest gap {gap:.1} ms",
        if stayed { "primary" } else { "backup" }
    );
    Some(took)
}

#[test]
fn a_pair_that_is_cut_in_two_goes_on_as_one() {
    for kind in [Kind::File, Kind::Etcd] {
        for cut in [Cut::Both, Cut::Forth, Cut::Back] {
            cut_between_the_nodes(kind, cut);
        }
    }
}

#[test]
fn the_side_that_the_arbiter_is_cut_from_stops() {
    for kind in [Kind::File, Kind::Etcd] {
        for side in [0, 1] {
            let Some(mut scene) = Scene::start(kind, Some(SILENCE_MS)) else { continue };
            assert_eq!(scene.ask("SET colour green"), "OK");
            scene.ways[side].cut();
            scene.link.cut(Cut::Both);
            assert_eq!(scene.ask("GET colour"), "VALUE green");
            let (went_on, stopped) = if side == 0 { (&scene.backup, 0) } else { (&scene.primary, 1) };
            let active = went_on.status().unwrap();
            assert_eq!((active.role.as_str(), active.generation.get()), ("primary", 2), "{}", scene.told());
            // Each side suspects the other by its own clock; the switch may tell this one of generation 2 first.
            let Scene { cluster, primary, backup, .. } = &mut scene;
            let stopped = if stopped == 0 { primary } else { backup };
            let status =
                cluster.await_status(stopped, "suspects its peer", |s| s.phase == "claiming").unwrap();
            assert_eq!(status.generation.get(), 1, "{}", scene.told());
            // When it can ask, it learns that it has lost.
            scene.ways[side].heal();
            assert_eq!(scene.await_one(2), side == 1);
            assert_eq!(scene.ask("INCR n"), "VALUE 1");
        }
    }
}

#[test]
fn without_the_arbiter_no_node_goes_on_and_none_is_lost() {
    for kind in [Kind::File, Kind::Etcd] {
        let Some(mut scene) = Scene::start(kind, Some(SILENCE_MS)) else { continue };
        assert_eq!(scene.ask("SET colour green"), "OK");
        scene.ways.iter().for_each(Way::cut);
        scene.link.cut(Cut::Both);
        scene.await_both_claiming();
        scene.assert_no_node_answers();
        let Scene { cluster, primary, backup, .. } = &mut scene;
        for node in [primary, backup] {
            cluster.await_status(node, "told why", |s| s.arbiter_trouble.is_some()).unwrap();
        }
        // Also the link alone changes nothing: each has let the other go.
        scene.link.heal();
        scene.assert_no_node_answers();
        let phases = [&scene.primary, &scene.backup].map(|node| node.status().unwrap());
        assert!(phases.iter().all(|s| s.phase == "claiming" && s.generation.get() == 1), "{phases:?}");
        assert!(phases.iter().all(|s| s.arbiter_trouble.is_some()), "{phases:?}");
        let at = Instant::now();
        scene.ways.iter().for_each(Way::heal);
        assert_eq!(scene.ask("GET colour"), "VALUE green");
        println!("partition: {kind:?}, all cut: resumed {:?} after the arbiter was back", at.elapsed());
        scene.await_one(2);
        // Told once, not at each of the many tries.
        let tries = (scene.primary.told() + &scene.backup.told()).matches("waiting").count();
        assert!((2..=12).contains(&tries), "{tries}\n{}", scene.told());
    }
}

#[test]
fn one_way_cuts_to_the_arbiter_are_cuts() {
    for cut in [Cut::Forth, Cut::Back] {
        let Some(mut scene) = Scene::start(Kind::Etcd, Some(SILENCE_MS)) else { return };
        assert_eq!(scene.ask("SET colour green"), "OK");
        for way in &scene.ways {
            let Way::Relays(relays) = way else { unreachable!("etcd is reached by relays") };
            relays.iter().for_each(|relay| relay.cut(cut));
        }
        scene.link.cut(Cut::Both);
        scene.await_both_claiming();
        // With only the answers cut, a claim is carried out without an answer: it is not assumed to be won.
        scene.assert_no_node_answers();
        let roles = [&scene.primary, &scene.backup].map(|node| node.status().unwrap().phase);
        assert_eq!(roles, ["claiming", "claiming"], "{}", scene.told());
        scene.ways.iter().for_each(Way::heal);
        assert_eq!(scene.ask("GET colour"), "VALUE green");
        scene.await_one(2);
    }
}

#[test]
fn an_arbiter_that_is_away_while_no_claim_is_due_is_reported_and_costs_nothing() {
    for kind in [Kind::File, Kind::Etcd] {
        let Some(mut scene) = Scene::start(kind, Some(SILENCE_MS)) else { continue };
        let load = scene.load();
        scene.ways.iter().for_each(Way::cut);
        let Scene { cluster, primary, backup, .. } = &mut scene;
        for node in [&mut *primary, &mut *backup] {
            let status = cluster.await_status(node, "told", |s| s.arbiter_trouble.is_some()).unwrap();
            let trouble = status.arbiter_trouble.unwrap_or_default();
            assert!(trouble.contains("a takeover would have to wait"), "{trouble}");
            assert_eq!(status.generation.get(), 1);
        }
        let shown = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
            .args(["status", &primary.address.to_string()])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.lines().any(|l| l.starts_with("arbiter") && l.contains("would have to wait")),
            "{shown}"
        );
        scene.ways.iter().for_each(Way::heal);
        let Scene { cluster, primary, backup, .. } = &mut scene;
        for node in [&mut *primary, &mut *backup] {
            cluster.await_status(node, "well again", |s| s.arbiter_trouble.is_none()).unwrap();
        }
        assert!(primary.status().unwrap().protected, "{}", primary.told());
        scene.assert_clean(&load.stop());
    }
}
