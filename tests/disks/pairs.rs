//! A pair, each with a copy of its own: killed at any moment, no flushed record is lost.

use std::fs;
use std::path::Path;

use crate::support::{
    Scene, beside, found, last_flushed, lockstep, make_image, order, records_on, seeded, sleep_ms, until,
};

/// Waits until a backup's disk is known to hold what the guest saw flushed.
#[track_caller]
fn await_replica(disk: &Path) {
    until("known to be in step", || {
        fs::read_to_string(beside(disk)).is_ok_and(|text| text.contains("\"role\": \"replica\""))
    });
}

#[test]
fn a_killed_primarys_flushed_records_are_on_the_backups_disk() {
    let mut prng = seeded("a_killed_primarys_flushed_records_are_on_the_backups_disk");
    let mut scene = Scene::new();
    let mut disk = scene.path("0.img");
    make_image(&disk, 4 << 20, 0);
    let mut primary = scene.primary(&disk, &[]);
    for takeover in 1..=4 {
        let next = scene.path(&format!("{takeover}.img"));
        let mut backup = scene.protect(&mut primary, &next, &[]);
        sleep_ms(prng.below(500));
        primary.kill().unwrap();
        let said = last_flushed(&scene.console(&primary));
        scene.await_primary(&mut backup);
        let before = last_flushed(&scene.console(&backup));
        scene.await_flushed(&backup, before.max(said));
        (primary, disk) = (backup, next);
    }
    primary.kill().unwrap();
    let said = last_flushed(&scene.console(&primary));
    assert!(records_on(&disk) >= said && said > 0);
}

#[test]
fn a_backup_goes_on_with_its_own_disk_after_a_rehearsal() {
    let mut scene = Scene::new();
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 4 << 20, 0);
    let mut primary = scene.primary(&p, &[]);
    let mut backup = scene.protect(&mut primary, &b, &[]);
    let rehearsed = lockstep(&["rehearse", &backup.address.to_string(), "--for", "1"]);
    rehearsed.ends(0, &["writes", "the guest goes on"]);
    assert!(!rehearsed.out.contains(" 0 writes"), "{}", rehearsed.out);
    // The backup has gone on with its own disk meanwhile, and goes on alone.
    primary.kill().unwrap();
    let said = last_flushed(&scene.console(&primary));
    scene.await_primary(&mut backup);
    let before = last_flushed(&scene.console(&backup));
    scene.await_flushed(&backup, before.max(said));
    backup.kill().unwrap();
    assert!(records_on(&b) >= said && said > 0);
}

#[test]
fn both_disks_are_equal_when_the_guest_ends() {
    let mut scene = Scene::new();
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 4 << 20, 1500);
    let mut primary = scene.primary(&p, &[]);
    let backup = scene.protect(&mut primary, &b, &[]);
    let status = primary.status().unwrap();
    assert!(status.audits_agreed < u64::MAX, "{status:?}");
    scene.end_of(primary).ends(0, &["done 1500"]);
    scene.end_of(backup).ends(0, &[]);
    assert!(fs::read(&p).unwrap() == fs::read(&b).unwrap());
    for disk in [&p, &b] {
        let identity = fs::read_to_string(beside(disk)).unwrap();
        assert!(identity.contains("\"state\": \"ended\""), "{identity}");
    }
}

#[test]
fn after_both_are_killed_either_disk_holds_every_flush_that_was_seen() {
    let mut prng = seeded("after_both_are_killed_either_disk_holds_every_flush_that_was_seen");
    let mut scene = Scene::new();
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 4 << 20, 0);
    let mut flushed = 0;
    for round in 0..4 {
        let more: &[&str] = if round == 0 { &[] } else { &["--fresh"] };
        // The node that starts makes the other join: the copies change places.
        let (first, second) = if round % 2 == 0 { (&p, &b) } else { (&b, &p) };
        let mut primary = scene.primary(first, more);
        until("looked back", || found(&scene.console(&primary)).is_some());
        let found = found(&scene.console(&primary)).unwrap();
        assert!(found >= flushed, "round {round}: {found} found, {flushed} were flushed");
        let mut backup = scene.protect(&mut primary, second, &[]);
        await_replica(second);
        sleep_ms(prng.below(400));
        let (one, other) =
            if prng.chance(1, 2) { (&mut primary, &mut backup) } else { (&mut backup, &mut primary) };
        one.kill_now().unwrap();
        other.kill_now().unwrap();
        one.kill().unwrap();
        other.kill().unwrap();
        flushed = last_flushed(&scene.console(&primary)).max(last_flushed(&scene.console(&backup)));
        for disk in [&p, &b] {
            let found = records_on(disk);
            assert!(found >= flushed, "round {round}: {found} on {}, {flushed} were flushed", disk.display());
        }
    }
    assert!(flushed > 0);
}

#[test]
fn a_disk_that_missed_the_last_generation_is_refused() {
    let mut scene = Scene::new();
    let (p, b) = (scene.path("p.img"), scene.path("b.img"));
    make_image(&p, 4 << 20, 0);
    let mut primary = scene.primary(&p, &[]);
    let mut backup = scene.protect(&mut primary, &b, &[]);
    await_replica(&b);
    backup.kill().unwrap();
    scene.cluster.await_status(&mut primary, "alone", |status| status.phase == "alone").unwrap();
    let before = last_flushed(&scene.console(&primary));
    scene.await_flushed(&primary, before + 5);
    primary.kill().unwrap();
    let flushed = last_flushed(&scene.console(&primary));
    scene.primary_ends(&b, &[]).refuses(&["alive as far as the arbiter knows", "--fresh"]);
    scene.primary_ends(&b, &["--fresh"]).refuses(&["older than", "--disk-reset", "b.img"]);
    // Replaced by the older copy, under the name of the newer one.
    let kept = fs::read(&p).unwrap();
    fs::rename(&p, scene.path("kept.img")).unwrap();
    fs::copy(&b, &p).unwrap();
    scene.primary_ends(&p, &["--fresh"]).refuses(&["replaced", "--disk-reset"]);
    fs::remove_file(&p).unwrap();
    fs::rename(scene.path("kept.img"), &p).unwrap();
    assert!(fs::read(&p).unwrap() == kept);
    let again = scene.primary(&p, &["--fresh"]);
    until("looked back", || found(&scene.console(&again)).is_some());
    assert!(found(&scene.console(&again)).unwrap() >= flushed);
    drop(again);
    // With the option the guest may go back.
    order(&b, 1);
    scene.primary_ends(&b, &["--fresh", "--disk-reset"]).ends(0, &["done"]);
}
