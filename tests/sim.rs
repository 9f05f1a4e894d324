//! Thousands of seeded lives. That the oracle can go red is `sim::sabotage_tests`' to show.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lockstep::cli;
use lockstep::machine::Saved;
use lockstep::sim::{self, Outcome, Plan};

fn seeds() -> u64 {
    std::env::var("LOCKSTEP_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
}

/// The lives of the first `count` seeds, on every processor.
fn lives(guest: &Saved, count: u64) -> Vec<(u64, Outcome)> {
    let (next, lived) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let live = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= count {
            return;
        }
        let outcome = sim::run(guest, Plan::from_seed(seed), None);
        lived.lock().unwrap().push((seed, outcome));
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(live)));
    lived.into_inner().unwrap()
}

#[test]
fn thousands_of_seeds_hold() {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    let mut failures = Vec::new();
    let (mut acknowledged, mut crashes, mut takeovers) = (0, 0, 0);
    let (mut turns, mut virtual_ms, mut rejoins) = (0, 0, 0);
    for (seed, outcome) in lives(&guest, seeds()) {
        acknowledged += outcome.acknowledged;
        crashes += outcome.crashes;
        takeovers += outcome.takeovers;
        turns += outcome.turns;
        rejoins += outcome.rejoins;
        virtual_ms += outcome.virtual_ms;
        if let Some(failure) = outcome.failure {
            failures.push(format!("seed {seed}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} seeds failed:\n{}", failures.len(), failures.join("\n"));
    // The seeds must have meant something.
    assert!(crashes >= seeds() / 2, "only {crashes} crashes");
    assert!(takeovers >= seeds() / 2, "only {takeovers} generations after the first");
    assert!(rejoins >= seeds() / 10, "only {rejoins} nodes looked for a new place");
    // Heartbeats, a few turns a request, and otherwise sleep.
    assert!(turns < virtual_ms * 3, "{turns} turns in {virtual_ms} virtual ms: a node spins");
    assert!(acknowledged >= seeds() * 15, "only {acknowledged} answers");
}

/// 20154: a node went live with log that its own store did not have. 101356: a store said that its node counted before it had
/// the entry by which it does.
#[test]
fn seeds_that_failed_once_hold() {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    for seed in [20154, 101_356] {
        assert_eq!(sim::run(&guest, Plan::from_seed(seed), None).failure, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    for seed in [3, 17, 99] {
        let mut traces = [Vec::new(), Vec::new()];
        for trace in &mut traces {
            sim::run(&guest, Plan::from_seed(seed), Some(&mut |line| trace.push(line)));
        }
        assert!(traces[0].len() > 10, "seed {seed} tells nothing");
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

#[test]
fn what_a_disk_was_told_to_keep_is_kept_whatever_dies() {
    let guest = cli::sim::disk_guest().unwrap_or_else(|failure| panic!("{failure}"));
    let count = seeds().div_ceil(3);
    let mut failures = Vec::new();
    let (mut crashes, mut takeovers, mut checked, mut compared) = (0, 0, 0, 0);
    for (seed, outcome) in lives(&guest, count) {
        crashes += outcome.crashes;
        takeovers += outcome.takeovers;
        checked += outcome.disks_checked;
        compared += outcome.disks_compared;
        if let Some(failure) = outcome.failure {
            failures.push(format!("seed {seed}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} seeds failed:\n{}", failures.len(), failures.join("\n"));
    assert!(crashes >= count / 2 && takeovers >= count / 2, "{crashes} crashes, {takeovers} takeovers");
    // Two disks at most answers; at the end the survivor's, and nearly always its backup's.
    assert!(checked >= count * 20, "only {checked} looks at a disk");
    assert!(compared >= count * 3 / 2, "only {compared} disks were compared");
}
