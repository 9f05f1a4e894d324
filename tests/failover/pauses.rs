//! Frozen hosts: SIGSTOP, taken over, and harmless when they wake.

use super::scene::*;

#[test]
fn a_stopped_primary_is_taken_over_and_harmless_when_it_wakes() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 21);
    for _ in 0..3 {
        sleep_ms(150);
        let before = primary.status().unwrap();
        let sent = std::time::Instant::now();
        primary.stop().unwrap();
        let ms = await_answer_ms(&load, sent, std::time::Instant::now());
        println!("a stopped primary is taken over in {ms:.0} ms");
        assert!(ms < 2000.0, "{ms} ms");
        scene.await_primary(&mut backup, &before);
        sleep_ms(100);
        primary.resume().unwrap();
        assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
        assert!(primary.told().contains("belongs to node"), "{}", primary.told());
        assert!(load.verify_all(), "{}", backup.told());
        primary = backup;
        backup = scene.protect(&mut primary);
        assert_one_primary([&primary, &backup]);
    }
    scene.await_audit(&mut primary);
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn a_primary_that_wakes_before_its_successor_is_primary_does_no_harm() {
    let mut prng = seeded("a_primary_that_wakes_before_its_successor_is_primary_does_no_harm");
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, prng.next_u64());
    for _ in 0..6 {
        // Around the time at which silence is suspected: sometimes the one goes on, sometimes the other.
        primary.stop().unwrap();
        sleep_ms(prng.between(90, 160));
        primary.resume().unwrap();
        assert!(load.verify_all(), "{}\n{}", primary.told(), backup.told());
        sleep_ms(50);
        let active = |node: &lockstep::lab::cluster::Process| {
            node.status().is_ok_and(|status| status.role == "primary" && status.phase != "claiming")
        };
        match (active(&primary), active(&backup)) {
            (true, false) => {}
            (false, true) => {
                assert_eq!(primary.wait(PATIENCE), Some(1), "{}", primary.told());
                std::mem::swap(&mut primary, &mut backup);
            }
            both => panic!("{both:?} are primary\n{}\n{}", primary.told(), backup.told()),
        }
        if !primary.status().unwrap().protected {
            backup = scene.protect(&mut primary);
        }
    }
    assert_clean(&load.stop(), &[&primary, &backup]);
}

#[test]
fn a_stopped_backup_is_given_up_and_halts_when_it_wakes() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let load = scene.load(6, 22);
    sleep_ms(100);
    let before = primary.status().unwrap();
    let sent = std::time::Instant::now();
    backup.stop().unwrap();
    let after = scene.await_primary(&mut primary, &before);
    assert_eq!(after.phase, "alone");
    println!("a stopped backup: {:.0} ms to the next answer", await_answer_ms(&load, sent, sent));
    backup.resume().unwrap();
    assert_eq!(backup.wait(PATIENCE), Some(1), "{}", backup.told());
    assert!(backup.told().contains("belongs to node"), "{}", backup.told());
    let another = scene.protect(&mut primary);
    assert_one_primary([&primary, &another]);
    assert_clean(&load.stop(), &[&primary, &another]);
}
