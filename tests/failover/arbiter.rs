//! An arbiter that cannot be reached: no node goes on alone, and no output leaves, until it is back.

use std::fs;
use std::time::Duration;

use lockstep::lab::kvclient::request;

use super::scene::*;

/// The arbiter's directory goes away for a while.
fn away(scene: &Scene) -> impl Fn() + use<> {
    let here = scene.cluster.arbiter();
    let there = here.with_extension("away");
    fs::rename(&here, &there).unwrap();
    move || fs::rename(&there, &here).unwrap()
}

#[test]
fn a_backup_without_the_arbiter_waits_and_goes_on_when_it_is_back() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    let before = primary.status().unwrap();
    let back = away(&scene);
    kill(&mut primary);
    let claiming = |s: &lockstep::ft::NodeStatus| s.role == "backup" && s.phase == "claiming";
    scene.cluster.await_status(&mut backup, "claiming", claiming).unwrap();
    let silent = request(scene.cluster.service, "GET colour", Duration::from_millis(500));
    assert!(silent.is_err(), "{silent:?}: no node may have answered\n{}", backup.told());
    assert!(claiming(&backup.status().unwrap()), "{}", backup.told());
    assert!(!scene.cluster.arbiter().exists(), "an arbiter that is away must not be made anew");
    back();
    scene.await_primary(&mut backup, &before);
    assert_eq!(scene.ask("GET colour"), "VALUE green");
}

#[test]
fn a_primary_without_the_arbiter_and_without_its_backup_holds_its_answers() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let before = primary.status().unwrap();
    let back = away(&scene);
    kill(&mut backup);
    scene.cluster.await_status(&mut primary, "claiming", |s| s.phase == "claiming").unwrap();
    let silent = request(scene.cluster.service, "INCR held", Duration::from_millis(500));
    assert!(silent.is_err(), "{silent:?}: no node may have answered\n{}", primary.told());
    let held = primary.status().unwrap();
    assert!(held.gated_outputs > 0 && !held.protected, "{held:?}");
    back();
    let after = scene.await_primary(&mut primary, &before);
    assert_eq!(after.generation, before.generation.next());
    assert_eq!(scene.ask("GET held"), "VALUE 1");
}

/// A mount point without its mount looks like an arbiter that has never heard of this vm.
#[test]
fn an_empty_directory_in_the_arbiters_place_decides_nothing() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let before = primary.status().unwrap();
    let back = away(&scene);
    fs::create_dir(scene.cluster.arbiter()).unwrap();
    kill(&mut primary);
    sleep_ms(400);
    let status = backup.status().unwrap();
    assert_eq!((status.role.as_str(), status.phase.as_str()), ("backup", "claiming"), "{}", backup.told());
    fs::remove_dir_all(scene.cluster.arbiter()).unwrap();
    back();
    scene.await_primary(&mut backup, &before);
    assert_eq!(scene.ask("PING"), "PONG");
}
