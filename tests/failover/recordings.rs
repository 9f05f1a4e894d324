//! What the nodes of a pair have recorded: whole, replayable, and of one history.

use serde_json::Value;

use super::scene::*;
use crate::common::slow_disk::with_slow_syncs;

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = lockstep(arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    (output.status.code(), value)
}

#[test]
fn recordings_of_both_sides_replay_and_agree_up_to_the_kill() {
    let mut prng = seeded("recordings_of_both_sides_replay_and_agree_up_to_the_kill");
    let mut scene = Scene::kv();
    scene.cluster.record = true;
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(4, prng.next_u64());
    for _ in 0..2 {
        scene.await_audit(&mut primary);
        sleep_ms(prng.between(50, 300));
        let before = primary.status().unwrap();
        kill(&mut primary);
        scene.await_primary(&mut backup, &before);
        primary = backup;
        backup = scene.protect(&mut primary);
    }
    scene.await_audit(&mut primary);
    // A planned change of places is one history too.
    let before = primary.status().unwrap();
    assert!(lockstep(&["switchover", &primary.address.to_string()]).status.success());
    scene.await_primary(&mut backup, &before);
    sleep_ms(50);
    assert_clean(&load.stop(), &[&primary, &backup]);
    terminate(&primary);
    assert_eq!(primary.wait(PATIENCE), Some(0));
    scene.await_alone(&mut backup);
    terminate_for_good(&backup);
    assert_eq!(backup.wait(PATIENCE), Some(0));

    let dirs: Vec<String> =
        (1..=4).map(|n| scene.cluster.record_dir(n).to_str().unwrap().to_owned()).collect();
    for dir in &dirs {
        let (code, verdict) = json(&["log", "verify", dir, "--json"]);
        let verdict = verdict["verdict"].as_str().unwrap();
        assert!(verdict == "whole" && code == Some(0) || verdict == "torn-tail", "{dir}: {verdict}");
        let replayed = lockstep(&["replay", dir]);
        assert_eq!(replayed.status.code(), Some(0), "{dir}: {}", said(&replayed));
        let words = said(&replayed);
        assert!(words.contains("digests checked") && !words.contains("digests checked 0,"), "{dir}: {words}");
    }
    for pair in dirs.windows(2) {
        let (_, diff) = json(&["log", "diff", &pair[0], &pair[1], "--json"]);
        assert!(diff["common"].as_u64().unwrap() > 100 && diff["lineage"].is_null(), "{diff}");
        // The killed one may have written what it has sent to no other node; its successor goes on with its
        // own generation in that place.
        if !diff["a"].is_null() && !diff["b"].is_null() {
            assert_eq!(diff["b"]["kind"], "generation", "{diff}");
            assert_eq!(diff["b"]["data"]["why"], "takeover", "{diff}");
        }
    }
}

/// Beginning a recording takes three syncs here, longer than a node may hang; and each second of a disk that
/// stands still would be one of silence.
#[test]
fn nodes_whose_disks_take_seconds_to_sync_stay_a_pair() {
    const SYNC_MS: u64 = 2000;
    let dir = tempfile::tempdir().unwrap();
    let Some(slow) = with_slow_syncs(dir.path(), SYNC_MS) else { return };
    let mut scene = Scene::kv_of(&slow);
    scene.cluster.record = true;
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(2, 1);
    // The backup's recording begins meanwhile.
    sleep_ms(4 * SYNC_MS);
    for node in [&mut primary, &mut backup] {
        let status = node.status().unwrap();
        assert_eq!((status.suspicions, status.recording.as_str()), (0, "on"), "{status:?}\n{}", node.told());
    }
    let before = primary.status().unwrap();
    assert!(before.protected, "{before:?}\n{}", primary.told());
    kill(&mut primary);
    scene.await_primary(&mut backup, &before);
    assert_clean(&load.stop(), &[&primary, &backup]);
    terminate_for_good(&backup);
    assert_eq!(backup.wait(PATIENCE), Some(0), "{}", backup.told());
    let replayed = lockstep(&["replay", scene.cluster.record_dir(2).to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}
