//! A thousand seeded lives, and proof that the oracle can go red.

use lockstep::cli;
use lockstep::sim::{self, Plan, Sabotage};

fn seeds() -> u64 {
    std::env::var("LOCKSTEP_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}

#[test]
fn a_thousand_seeds_hold() {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    let mut failures = Vec::new();
    let (mut acknowledged, mut crashes, mut takeovers) = (0, 0, 0);
    let (mut turns, mut virtual_ms) = (0, 0);
    for seed in 0..seeds() {
        let outcome = sim::run(&guest, Plan::from_seed(seed), None);
        acknowledged += outcome.acknowledged;
        crashes += outcome.crashes;
        takeovers += outcome.takeovers;
        turns += outcome.turns;
        virtual_ms += outcome.virtual_ms;
        if let Some(failure) = outcome.failure {
            failures.push(format!("seed {seed}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{} seeds failed:\n{}", failures.len(), failures.join("\n"));
    // The seeds must have meant something.
    assert!(crashes >= seeds() / 2, "only {crashes} crashes");
    assert!(takeovers >= seeds() / 2, "only {takeovers} reigns after the first");
    // Heartbeats, a few turns a request, and otherwise sleep.
    assert!(turns < virtual_ms * 3, "{turns} turns in {virtual_ms} virtual ms: somebody spins");
    assert!(acknowledged >= seeds() * 15, "only {acknowledged} answers");
}

/// In these the backup took over from a primary that was about to hand over: the loser must learn from
/// the claim itself whether it still counts.
#[test]
fn a_takeover_is_not_taken_for_a_planned_switch_over() {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    for seed in [23_608, 24_895, 26_064, 30_848] {
        let outcome = sim::run(&guest, Plan::from_seed(seed), None);
        assert_eq!(outcome.failure, None, "seed {seed}");
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

/// With a safeguard switched off, some seed must fail.
fn goes_red_without(sabotage: Sabotage) {
    let guest = cli::sim::guest().unwrap_or_else(|failure| panic!("{failure}"));
    let red = (0..400).find(|seed| {
        let plan = Plan { sabotage: Some(sabotage), ..Plan::from_seed(*seed) };
        sim::run(&guest, plan, None).failure.is_some()
    });
    assert!(red.is_some(), "400 seeds without the {sabotage:?} and nobody noticed");
}

#[test]
fn without_the_gate_acknowledged_writes_are_lost() {
    goes_red_without(Sabotage::Gate);
}

#[test]
fn without_the_claim_two_reign() {
    goes_red_without(Sabotage::Claim);
}

#[test]
fn without_the_fence_frames_come_twice() {
    goes_red_without(Sabotage::Fence);
}

#[test]
fn what_a_disk_was_told_to_keep_is_kept_whatever_dies() {
    let guest = cli::sim::disk_guest().unwrap_or_else(|failure| panic!("{failure}"));
    let count = seeds().div_ceil(3);
    let mut failures = Vec::new();
    let (mut crashes, mut takeovers, mut checked, mut compared) = (0, 0, 0, 0);
    for seed in 0..count {
        let outcome = sim::run(&guest, Plan::from_seed(seed), None);
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

/// The same with a guest that has a disk.
fn disks_go_red_without(sabotage: Sabotage) {
    let guest = cli::sim::disk_guest().unwrap_or_else(|failure| panic!("{failure}"));
    let red = (0..200).find(|seed| {
        let plan = Plan { sabotage: Some(sabotage), ..Plan::from_seed(*seed) };
        sim::run(&guest, plan, None).failure.is_some()
    });
    assert!(red.is_some(), "200 seeds with the {sabotage:?} sabotaged and nobody noticed");
}

#[test]
fn a_flush_that_does_not_wait_for_the_backup_is_found_out() {
    disks_go_red_without(Sabotage::Flush);
}

#[test]
fn chunks_written_while_a_joiner_copies_are_missed_when_nobody_notes_them() {
    disks_go_red_without(Sabotage::Dirty);
}
