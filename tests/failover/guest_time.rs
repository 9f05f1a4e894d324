//! Guest time, host ids and entropy over takeovers.

use std::collections::BTreeSet;
use std::time::Instant;

use super::guest::{STATUS, metronome};
use super::scene::*;

/// Guest time may be off by this much from the host's after a takeover.
const OFF_MS: f64 = 200.0;

fn guest_ms(scene: &Scene) -> f64 {
    scene.ask("TIME").parse::<u64>().unwrap() as f64 / 1e6
}

#[test]
fn guest_time_never_runs_backwards_over_kills_and_keeps_up_with_the_hosts() {
    let mut prng = seeded("guest_time_never_runs_backwards_over_kills_and_keeps_up_with_the_hosts");
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let mut last = guest_ms(&scene);
    let (began, from) = (Instant::now(), last);
    for round in 0..4 {
        if round % 2 == 0 {
            // Idle: nothing but heartbeats tells the backup what time it is.
            sleep_ms(prng.between(700, 1000));
        } else {
            for _ in 0..200 {
                let now = guest_ms(&scene);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        }
        kill(&mut primary);
        let now = guest_ms(&scene);
        assert!(now >= last, "{now} after {last}");
        let off = (now - from) - began.elapsed().as_secs_f64() * 1e3;
        println!("guest time is off by {off:.1} ms after takeover {}", round + 1);
        assert!(off.abs() < OFF_MS, "{off} ms");
        last = now;
        primary = backup;
        backup = scene.protect(&mut primary);
    }
}

/// Each answer lies between a request's leaving and its answer's coming: it bounds what separates the clocks.
#[test]
fn one_number_separates_the_guests_clock_from_the_hosts_within_a_millisecond() {
    const APART_MS: f64 = 1.0;
    let mut scene = Scene::kv();
    let _pair = scene.cluster.pair().unwrap();
    let clock = Instant::now();
    let host_ms = || clock.elapsed().as_secs_f64() * 1e3;
    let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..300 {
        let sent = host_ms();
        let guest = guest_ms(&scene);
        least = least.max(guest - host_ms());
        most = most.min(guest - sent);
        sleep_ms(5);
    }
    let apart = (least - most).max(0.0) / 2.0;
    println!("the guest's clock strays {apart:.3} ms from the host's");
    assert!(apart <= APART_MS, "{apart} ms");
}

#[test]
fn a_guest_driven_by_its_timer_keeps_its_beat_over_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::of(metronome(dir.path(), 200, 10));
    let began = Instant::now();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let ready = began.elapsed();
    sleep_ms(500);
    kill(&mut primary);
    assert_eq!(backup.wait(PATIENCE), Some(STATUS), "{}", backup.told());
    // 200 beats of 10 ms: the last one is due 2 s after the guest began, which was before `ready`.
    let took = began.elapsed().as_secs_f64() * 1e3;
    println!("2000 ms of beats took {took:.0} ms");
    assert!(took > 2000.0 - OFF_MS && took < 2000.0 + ready.as_secs_f64() * 1e3 + 500.0, "{took} ms");
}

#[test]
fn host_ids_and_entropy_are_answered_over_takeovers() {
    let mut scene = Scene::kv();
    let (mut primary, mut backup) = scene.cluster.pair().unwrap();
    let mut drawn = BTreeSet::new();
    for round in 0..3 {
        for _ in 0..20 {
            scene.ask("CPU").parse::<u64>().unwrap();
            let random = scene.ask("RAND");
            assert_eq!(random.len(), 16, "{random}");
            u64::from_str_radix(&random, 16).unwrap();
            assert!(drawn.insert(random), "the same entropy twice, round {round}");
        }
        kill(&mut primary);
        primary = backup;
        scene.ask("CPU");
        backup = scene.protect(&mut primary);
    }
}
