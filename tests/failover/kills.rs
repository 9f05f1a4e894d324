//! Kills: of primaries again and again, of backups, by SIGKILL and by SIGTERM.

use std::time::Duration;

use lockstep::lab::kvclient::{KvConfig, KvLoad};

use super::scene::*;

/// Kills under one load before the next one, with other clients, begins.
const KILLS_A_LOAD: usize = 5;

/// `LOCKSTEP_KILLS` sets how many; `tests/kill-100` reads what is printed.
#[test]
fn twenty_kills_lose_nothing() {
    let kills = std::env::var("LOCKSTEP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let mut prng = seeded("twenty_kills_lose_nothing");
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let (mut takeovers, mut gaps) = (Vec::new(), Vec::new());
    let (mut acked, mut audits, mut done) = (0, 0, 0);
    while done < kills {
        let load = KvLoad::start(KvConfig {
            clients: prng.between(4, 8) as usize,
            pause: Duration::from_micros(prng.below(3) * prng.below(1000)),
            seed: prng.next_u64(),
            ..KvConfig::new(scene.cluster.service)
        })
        .unwrap();
        for _ in 0..KILLS_A_LOAD.min(kills - done) {
            if prng.chance(1, 3) {
                scene.await_audit(&mut primary);
                audits += 1;
            }
            sleep_ms(prng.between(10, 500));
            assert_one_primary([&primary, &backup]);
            let before = primary.status().unwrap();
            let (sent, gone) = kill(&mut primary);
            takeovers.push(await_answer_ms(&load, sent, gone));
            let after = scene.await_primary(&mut backup, &before);
            assert!(after.icount >= before.icount, "{before:?}\n{after:?}");
            assert_eq!(after.generation, before.generation.next());
            primary = backup;
            backup = scene.protect(&mut primary);
            assert!(load.verify_all(), "{}", primary.told());
            let (_, gap) = load.longest_gap_since(sent).unwrap();
            gaps.push(gap.as_secs_f64() * 1e3);
            done += 1;
        }
        let report = load.stop();
        assert_clean(&report, &[&primary, &backup]);
        acked += report.acked_writes;
    }
    scene.await_audit(&mut primary);
    audits += 1;
    takeovers.sort_by(f64::total_cmp);
    gaps.sort_by(f64::total_cmp);
    let (median, max) = (takeovers[takeovers.len() / 2], takeovers[takeovers.len() - 1]);
    println!("kills: {done}, acknowledged writes: {acked}, lost: 0, duplicated: 0, contradictions: 0");
    println!("kills: lives whose digests were seen to agree: {audits}");
    println!("kills: takeover (kill to first answer) median {median:.1} ms, max {max:.1} ms");
    println!("kills: longest gap without an answer {:.1} ms", gaps[gaps.len() - 1]);
    // The closed connection shows the crash; waiting out the silence would take longer than this.
    assert!(median < 100.0, "{takeovers:?}");
}

#[test]
fn a_primary_killed_right_after_a_join_is_taken_over() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    scene.await_alone(&mut primary);
    let load = scene.load(6, 11);
    for _ in 0..5 {
        let mut backup = scene.protect(&mut primary);
        let before = primary.status().unwrap();
        kill(&mut primary);
        scene.await_primary(&mut backup, &before);
        primary = backup;
        assert!(load.verify_all(), "{}", primary.told());
    }
    assert_clean(&load.stop(), &[&primary]);
}

#[test]
fn a_killed_backup_holds_nothing_up_and_another_may_join() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 12);
    for _ in 0..3 {
        sleep_ms(100);
        let before = primary.status().unwrap();
        let (sent, gone) = kill(&mut backup);
        println!("a killed backup: {:.1} ms to the next answer", await_answer_ms(&load, sent, gone));
        let after = scene.await_primary(&mut primary, &before);
        assert_eq!((after.phase.as_str(), after.protected), ("alone", false));
        backup = scene.protect(&mut primary);
        assert_one_primary([&primary, &backup]);
        assert!(load.verify_all(), "{}", primary.told());
    }
    scene.await_audit(&mut primary);
    // The third backup is worth as much as the first.
    let before = primary.status().unwrap();
    kill(&mut primary);
    scene.await_primary(&mut backup, &before);
    assert!(load.verify_all(), "{}", backup.told());
    assert_clean(&load.stop(), &[&backup]);
}

#[test]
fn a_protected_primary_asked_to_end_is_taken_over_at_once() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 13);
    sleep_ms(200);
    let before = primary.status().unwrap();
    let sent = std::time::Instant::now();
    terminate(&primary);
    assert_eq!(primary.wait(PATIENCE), Some(0), "{}", primary.told());
    assert!(primary.told().contains("carries the guest on"), "{}", primary.told());
    println!("SIGTERM: {:.1} ms to the next answer", await_answer_ms(&load, sent, std::time::Instant::now()));
    scene.await_primary(&mut backup, &before);
    assert!(load.verify_all(), "{}", backup.told());
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn an_unprotected_primary_asked_to_end_ends_the_life_and_another_may_begin() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    // The first time it says what would be lost, and how to keep it.
    terminate(&primary);
    let until = std::time::Instant::now() + PATIENCE;
    while !primary.told().contains("not ended: ") {
        assert!(std::time::Instant::now() < until, "{}", primary.told());
        sleep_ms(2);
    }
    let told = primary.told();
    for words in ["would be lost", "ask once more", &format!("lockstep backup --primary {}", primary.address)]
    {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert_eq!(scene.ask("GET colour"), "VALUE green");
    terminate(&primary);
    assert_eq!(primary.wait(PATIENCE), Some(0), "{}", primary.told());
    assert!(primary.told().contains("the guest's life ends"), "{}", primary.told());
    let mut next = scene.cluster.primary().unwrap();
    scene.await_alone(&mut next);
    assert_eq!(scene.ask("GET colour"), "NONE");
    // A kill has not ended the guest's life: no node may begin another by accident.
    kill(&mut next);
    let mut refused = scene.cluster.primary().unwrap();
    assert_eq!(refused.wait(PATIENCE), Some(2), "{}", refused.told());
    assert!(refused.told().contains("--fresh"), "{}", refused.told());
}

#[test]
fn a_primary_that_refused_to_end_is_protected_and_ended_without_loss() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    assert_eq!(scene.ask("SET colour green"), "OK");
    terminate(&primary);
    let mut backup = scene.protect(&mut primary);
    let before = primary.status().unwrap();
    terminate(&primary);
    assert_eq!(primary.wait(PATIENCE), Some(0), "{}", primary.told());
    let now = scene.await_primary(&mut backup, &before);
    assert_eq!((now.takeovers, now.suspicions, now.peer), (1, 0, None));
    assert_eq!(scene.ask("GET colour"), "VALUE green");
}

#[test]
fn status_tells_the_peer_the_version_and_the_age_of_both_nodes() {
    let mut scene = Scene::kv();
    let (mut primary, backup) = scene.cluster.pair().unwrap();
    let other = backup.address.to_string();
    let status = scene
        .cluster
        .await_status(&mut primary, "told of its peer", |status| status.peer.as_deref() == Some(&other))
        .unwrap();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((status.takeovers, &status.recording[..], &status.recording_trouble), (0, "none", &None));
    assert!(status.uptime_s > 0.0 && status.uptime_s < 600.0, "{status:?}");
    assert_eq!(backup.status().unwrap().peer, Some(primary.address.to_string()));
    let words = said(&lockstep(&["status", &primary.address.to_string()]));
    for word in [&format!("peer        {other}"), "0 takeovers, 0 suspicions", env!("CARGO_PKG_VERSION")] {
        assert!(words.contains(word), "no {word:?} in {words}");
    }
}
