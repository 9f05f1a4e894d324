//! Walks through the list of sabotages: each must turn something red, and nothing is red without one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::plan::Fault;
use super::{Plan, run};
use crate::base::sabotage::during;
use crate::base::{Icount, Sabotage, Seq};
use crate::cli;
use crate::engine::Engine;
use crate::ft::healing_tests;
use crate::ft::own_store;
use crate::ft::primary::{members, scenarios};
use crate::ft::rehearsal::tests as rehearsal;
use crate::ft::{pair_tests, restart_tests};
use crate::host::disk::worker::tests as worker;
use crate::host::store::{power_tests, prune_tests};
use crate::log::{Entry, Event};
use crate::machine::{Machine, Saved};
use crate::mem::ram::copy::tests::copies_are_of_their_moments;
use crate::replay::Replayer;
use crate::snapshot::pack::tests as pack;

/// What notices that a safeguard is off. Err or a panic is red.
enum Detector {
    /// Some seed of the simulator, of so many: with the guest that has no disk,
    Seeds(u64),
    /// or with the one that has.
    DiskSeeds(u64),
    Scenario(fn() -> Result<(), String>),
}

const fn detector(sabotage: Sabotage) -> Detector {
    match sabotage {
        Sabotage::GateOpen
        | Sabotage::MarkNotAwaited
        | Sabotage::AnyAck
        | Sabotage::LostForgotten
        | Sabotage::OfferedEarly
        | Sabotage::LiveUndrained
        | Sabotage::InboundRepeated
        | Sabotage::InboundConfirmedEarly
        | Sabotage::ClockRestarts
        | Sabotage::ClaimShared
        | Sabotage::FenceOpen
        | Sabotage::KeptForgotten
        | Sabotage::InboundNotResent => Detector::Seeds(300),
        Sabotage::ActivatedAhead => {
            Detector::Scenario(members::the_switch_keeps_what_the_backup_that_is_left_may_not_have)
        }
        Sabotage::DurableUnawaited | Sabotage::RestartUnchecked => Detector::Seeds(300),
        Sabotage::CheckpointEarly => Detector::Seeds(1000),
        Sabotage::CheckpointUnsynced => Detector::DiskSeeds(600),
        Sabotage::DiskAheadOfStore => Detector::Scenario(own_store::tests::a_disk_waits_for_the_log),
        Sabotage::LiveUnlevel | Sabotage::FlushAlone | Sabotage::DirtyForgotten => Detector::DiskSeeds(200),
        Sabotage::ResumeUnchecked => Detector::Scenario(pair_tests::another_history_is_not_resumed),
        Sabotage::ResumedEarly => {
            Detector::Scenario(pair_tests::a_resumed_backup_catches_up_before_it_counts)
        }
        Sabotage::DivergedBids => Detector::Scenario(healing_tests::a_diverged_node_does_not_bid),
        Sabotage::DivergedResumes => Detector::Scenario(healing_tests::a_diverged_node_keeps_nothing),
        Sabotage::DivergedStoreKept => {
            Detector::Scenario(healing_tests::nothing_goes_on_from_what_a_diverged_node_holds)
        }
        Sabotage::DigestUnchecked => Detector::Scenario(a_wrong_digest_is_a_divergence),
        Sabotage::BeatsIgnored => {
            Detector::Scenario(a_short_hang_of_a_primary_whose_beats_arrive_costs_nothing)
        }
        Sabotage::HangUnbounded => Detector::Scenario(a_primary_that_hangs_for_long_is_replaced),
        Sabotage::JoinLagUnlimited => Detector::Scenario(scenarios::a_joiner_far_behind_does_not_count),
        Sabotage::RehearsalFirst => Detector::Scenario(rehearsal::a_checkpoint_does_not_wait_for_a_fork),
        Sabotage::RehearsalKept => Detector::Scenario(pair_tests::a_takeover_ends_a_rehearsal),
        Sabotage::RehearsalReadsOn => Detector::Scenario(worker::a_kept_disk_is_read_as_it_was),
        Sabotage::StoreDurableEarly | Sabotage::StoreNameUnsynced => Detector::Scenario(power_tests::lives),
        Sabotage::StorePrunedBlind => Detector::Scenario(prune_tests::the_only_way_back_stays),
        Sabotage::StoreTailKept => Detector::Scenario(power_tests::a_cut_batch_does_not_come_back),
        Sabotage::LiveUndurable => {
            Detector::Scenario(restart_tests::nothing_goes_live_before_its_log_is_durable)
        }
        Sabotage::SaveChangeMissed => Detector::Scenario(copies_are_of_their_moments),
        Sabotage::StoreBasePruned => Detector::Scenario(prune_tests::what_a_checkpoint_builds_on_stays),
        Sabotage::SaveUnmarked | Sabotage::SaveEpochKept => {
            Detector::Scenario(|| pack::a_save_is_of_where_it_began(Engine::default(), 1..2))
        }
    }
}

fn a_wrong_digest_is_a_divergence() -> Result<(), String> {
    let guest = guest(false);
    let machine = Machine::restore(guest).map_err(|error| error.to_string())?;
    let wrong = crate::base::Digest(1);
    let entry = Entry { seq: Seq(1), at: Icount::ZERO, event: Event::Digest(wrong) };
    let mut replayer = Replayer::new(machine, Seq(1));
    replayer.push(vec![entry]).map_err(|divergence| divergence.to_string())?;
    match replayer.run(1000, &mut Vec::new()) {
        Ok(stop) => Err(format!("a wrong digest went by: {stop:?}")),
        Err(_) => Ok(()),
    }
}

/// How often a guest is taken over whose primary hangs once, and is disturbed by nothing else.
fn takeovers_after_a_hang_of(for_ns: u64) -> Result<u64, String> {
    let quiet = Plan { loss_permille: 0, slow_host: None, beats: true, ..Plan::from_seed(1) };
    let faults = vec![(300_000_000, Fault::HangPrimary { for_ns })];
    let outcome = run(&guest(false), Plan { faults, ..quiet }, None);
    outcome.failure.map_or(Ok(outcome.takeovers), Err)
}

fn a_short_hang_of_a_primary_whose_beats_arrive_costs_nothing() -> Result<(), String> {
    match takeovers_after_a_hang_of(700_000_000)? {
        0 => Ok(()),
        n => Err(format!("{n} takeovers from a primary that lives")),
    }
}

fn a_primary_that_hangs_for_long_is_replaced() -> Result<(), String> {
    match takeovers_after_a_hang_of(20_000_000_000)? {
        1 => Ok(()),
        n => Err(format!("{n} takeovers from a primary that hangs")),
    }
}

fn guest(disk: bool) -> Saved {
    let guest = if disk { cli::sim::disk_guest() } else { cli::sim::guest() };
    guest.unwrap_or_else(|failure| panic!("{failure}"))
}

/// What the detector has to say of a seed; a scenario has one.
fn judge(detector: &Detector, seed: u64) -> Result<(), String> {
    let life = |disk| match run(&guest(disk), Plan::from_seed(seed), None).failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    };
    let all = || match detector {
        Detector::Seeds(_) => life(false),
        Detector::DiskSeeds(_) => life(true),
        Detector::Scenario(scenario) => scenario(),
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|_| Err("a panic".into()))
}

#[test]
fn every_sabotage_turns_something_red() {
    let mut unnoticed = Vec::new();
    for &sabotage in Sabotage::ALL {
        let detector = detector(sabotage);
        let seeds = match detector {
            Detector::Seeds(count) | Detector::DiskSeeds(count) => count,
            Detector::Scenario(_) => 1,
        };
        let red = (0..seeds).find_map(|seed| {
            let failure = during(Some(sabotage), || judge(&detector, seed)).err()?;
            Some((seed, failure))
        });
        match red {
            None => unnoticed.push(sabotage.name()),
            Some((seed, failure)) => {
                println!("{}: seed {seed}: {failure}", sabotage.name());
                let sound = during(None, || judge(&detector, seed));
                assert_eq!(sound, Ok(()), "{}: red without sabotage, too", sabotage.name());
            }
        }
    }
    assert!(unnoticed.is_empty(), "nothing notices {unnoticed:?}");
}

/// Bits flip in backups: each is found by the audit, and the nodes count again.
#[test]
fn a_backup_whose_memory_was_disturbed_is_found_and_counts_again() {
    let (mut flips, mut healed) = (0, 0);
    for (disk, seeds) in [(false, 0..200), (true, 0..60)] {
        let guest = guest(disk);
        for plan in seeds.map(Plan::from_seed).filter(Plan::flips) {
            let seed = plan.seed;
            let outcome = run(&guest, plan, None);
            assert_eq!(outcome.failure, None, "seed {seed}, disk {disk}");
            assert!(outcome.divergences <= outcome.flips, "seed {seed}, disk {disk}: {outcome:?}");
            flips += outcome.flips;
            healed += outcome.healed;
        }
    }
    assert!(flips >= 10 && healed * 2 > flips, "{healed} of {flips} healed");
}

/// The seeds that the list is judged by hold in a build without sabotage.
#[test]
fn seeds_hold_without_sabotage() {
    let failed: Vec<String> = [Detector::Seeds(100), Detector::DiskSeeds(50)]
        .iter()
        .flat_map(|detector| {
            let (Detector::Seeds(count) | Detector::DiskSeeds(count)) = detector else { return Vec::new() };
            let judged = (0..*count).filter_map(|seed| Some((seed, judge(detector, seed).err()?)));
            let disk = if matches!(detector, Detector::DiskSeeds(_)) { " --disk" } else { "" };
            judged.map(|(seed, failure)| format!("lockstep sim{disk} --seed {seed}: {failure}")).collect()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
