//! State transfer, cut off.

use lockstep::ft::Message;
use lockstep::host::link;

use super::scene::*;

#[test]
fn joiners_killed_in_their_transfer_cost_the_primary_nothing() {
    let mut prng = seeded("joiners_killed_in_their_transfer_cost_the_primary_nothing");
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    scene.await_alone(&mut primary);
    let load = scene.load(6, prng.next_u64());
    let mut phases = Vec::new();
    for _ in 0..8 {
        let mut joiner = scene.cluster.backup(&primary).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(prng.between(1000, 25_000)));
        kill(&mut joiner);
        phases.push(primary.status().unwrap().phase);
        scene.await_alone(&mut primary);
    }
    println!("joiners were killed while the primary was {phases:?}");
    let backup = scene.protect(&mut primary);
    assert!(load.verify_all(), "{}", primary.told());
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn a_joiner_that_never_takes_its_state_holds_nothing_up() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    let before = scene.await_alone(&mut primary);
    let load = scene.load(6, 41);
    let mut stream = link::dial(&primary.address.to_string()).unwrap();
    let mut join = Vec::new();
    Message::Join { vm: "kv".into(), node: lockstep::base::NodeId(7) }.encode(&mut join);
    std::io::Write::write_all(&mut stream, &join).unwrap();
    let status = scene.cluster.await_status(&mut primary, "in transfer", |s| s.phase == "transfer").unwrap();
    assert!(!status.protected);
    assert!(load.verify_all(), "{}", primary.told());
    // While one joins, another is refused.
    let mut second = scene.cluster.backup(&primary).unwrap();
    assert_eq!(second.wait(PATIENCE), Some(2), "{}", second.told());
    drop(stream);
    let after = scene.await_alone(&mut primary);
    assert_eq!(before.generation, after.generation, "a joiner does not count: no claim");
    let backup = scene.protect(&mut primary);
    assert_clean(&load.stop(), &[&primary, &backup]);
}

/// Whatever the moment: if the primary was protected, its backup goes on; if not, the backup says so
/// and ends.
#[test]
fn a_primary_killed_during_a_join_is_taken_over_exactly_if_it_was_protected() {
    let mut prng = seeded("a_primary_killed_during_a_join_is_taken_over_exactly_if_it_was_protected");
    let mut outcomes = Vec::new();
    for _ in 0..8 {
        let mut scene = Scene::kv();
        let mut primary = scene.cluster.primary().unwrap();
        scene.await_alone(&mut primary);
        let count = scene.ask("INCR count");
        assert_eq!(count, "VALUE 1");
        let mut backup = scene.cluster.backup(&primary).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(prng.between(1000, 25_000)));
        let protected = primary.status().unwrap().protected;
        kill(&mut primary);
        let counts = loop {
            if backup.status().is_ok_and(|status| status.role == "primary") {
                break true;
            }
            if let Some(status) = backup.wait(std::time::Duration::from_millis(1)) {
                assert_eq!(status, 2, "{}", backup.told());
                break false;
            }
        };
        assert!(counts || !protected, "protected, and yet lost: {}\n{}", primary.told(), backup.told());
        if counts {
            assert_eq!(scene.ask("GET count"), "VALUE 1");
        }
        outcomes.push(counts);
    }
    println!("taken over: {outcomes:?}");
}

#[test]
fn a_backup_that_is_told_what_to_expect_joins_nothing_else() {
    let mut scene = Scene::kv();
    let mut primary = scene.cluster.primary().unwrap();
    scene.cluster.await_status(&mut primary, "running", |_| true).unwrap();
    let (kv, echo) = (guest("kv"), guest("echo"));
    for (words, why) in [
        (vec![kv.as_str(), "--memory", "8M"], "it has 4 MiB of memory, not 8 MiB"),
        (vec![echo.as_str(), "--memory", "4M"], "it was booted from other files"),
        (vec![kv.as_str(), "--memory", "4M", "--no-reboot"], "it does not end when the guest resets it"),
    ] {
        scene.cluster.arguments = words.into_iter().map(str::to_owned).collect();
        let mut backup = scene.cluster.backup(&primary).unwrap();
        assert_eq!(backup.wait(PATIENCE), Some(2), "{}", backup.told());
        let told = backup.told();
        assert!(told.contains("not joined") && told.contains(why), "{told}");
        scene.await_alone(&mut primary);
    }
    scene.cluster.arguments = [&kv, "--memory", "4M"].map(str::to_owned).to_vec();
    let _backup = scene.protect(&mut primary);
    assert_eq!(scene.ask("PING"), "PONG");
}
