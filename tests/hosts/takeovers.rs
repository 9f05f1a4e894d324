//! Takeovers between hosts: by one switch and by two, with the guest a station of the segment.

use std::time::Instant;

use rustix::process::Signal;

use super::net::Net;
use super::scene::*;

#[test]
fn a_killed_primary_is_taken_over_by_another_host_and_the_segment_is_told() {
    let Some(net) = Net::of(&["one", "two", "wire", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    let _switch = scene.tap_switch("wire");
    let mut primary = scene.primary("one", "wire");
    let mut backup = scene.backup("two", "one", "wire");
    let load = scene.load("client", 1);
    let mut hosts = ["one", "two"];
    for generation in 1..=4 {
        sleep_ms(200);
        let told = scene.switch_status("wire")["uplink"]["announcements"].as_u64().unwrap();
        let since = Instant::now();
        primary.kill();
        scene.await_primary(hosts[1], generation);
        scene.await_that("the segment gets the announcement", || {
            scene.switch_status("wire")["uplink"]["announcements"].as_u64().unwrap() >= told + 2
        });
        assert!(load.verify_all(), "{}", backup.told());
        println!("killed between hosts: longest gap {:.1} ms", gap_ms(&load, since));
        hosts.reverse();
        primary = backup;
        backup = scene.backup(hosts[1], hosts[0], "wire");
    }
    assert_clean(&load.stop());
}

#[test]
fn a_node_that_loses_its_switch_finds_the_next_one() {
    let Some(net) = Net::of(&["one", "two", "wire", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    let mut switch = scene.tap_switch("wire");
    let mut primary = scene.primary("one", "wire");
    let _backup = scene.backup("two", "one", "wire");
    let load = scene.load("client", 2);
    for _ in 0..3 {
        sleep_ms(100);
        switch.kill();
        sleep_ms(50);
        switch = scene.tap_switch("wire");
        assert!(load.verify_all(), "{}", primary.told());
    }
    // No node has taken that for a crash; and the switch of today serves a takeover as well.
    assert_eq!(scene.status("one").generation.get(), 1);
    scene.await_that("both are attached", || scene.switch_status("wire")["vms"]["kv"]["standbys"] == 1);
    primary.kill();
    scene.await_primary("two", 1);
    assert!(load.verify_all());
    assert_clean(&load.stop());
}

/// Each node has a switch on its own host: no third machine.
#[test]
fn a_guest_moves_between_the_switches_of_two_hosts_and_back() {
    let Some(net) = Net::of(&["one", "two", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    let _switches = [scene.tap_switch("one"), scene.tap_switch("two")];
    let mut primary = scene.primary("one", "one");
    let mut backup = scene.backup("two", "one", "two");
    let load = scene.load("client", 3);
    let mut hosts = ["one", "two"];
    for generation in 1..=4 {
        sleep_ms(300);
        let since = Instant::now();
        primary.kill();
        scene.await_primary(hosts[1], generation);
        assert!(load.verify_all(), "{}", backup.told());
        println!("killed, to the other host's switch: longest gap {:.1} ms", gap_ms(&load, since));
        hosts.reverse();
        primary = backup;
        backup = scene.backup(hosts[1], hosts[0], hosts[1]);
    }
    assert_clean_but_repeated(&load.stop());
}

#[test]
fn a_frozen_primary_cannot_speak_through_its_own_switch_when_it_wakes() {
    let Some(net) = Net::of(&["one", "two", "client"], &[]) else { return };
    let mut scene = Scene::of(net);
    let _switches = [scene.tap_switch("one"), scene.tap_switch("two")];
    let mut primary = scene.primary("one", "one");
    let backup = scene.backup("two", "one", "two");
    let load = scene.load("client", 4);
    sleep_ms(300);
    let since = Instant::now();
    primary.signal(Signal::STOP);
    scene.await_primary("two", 1);
    assert!(load.verify_all(), "{}", backup.told());
    println!("frozen, to the other host's switch: longest gap {:.1} ms", gap_ms(&load, since));
    scene.await_that("the old switch knows", || scene.switch_status("one")["vms"]["kv"]["claimed"] == 2);
    scene.await_that("the old primary is fenced", || {
        scene.switch_status("one")["vms"]["kv"]["active"] == false
    });
    let out = || scene.switch_status("one")["vms"]["kv"]["fence"]["accepted"].as_u64().unwrap();
    let before = out();
    primary.signal(Signal::CONT);
    assert_eq!(primary.wait(), 1, "{}", primary.told());
    assert_eq!(out(), before);
    assert!(load.verify_all());
    assert_clean_but_repeated(&load.stop());
}
