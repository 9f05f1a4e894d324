//! Machines put aside and taken up again, also from forged states.

use super::*;
use crate::base::Prng;
use crate::machine::Platform;
use crate::machine::io::Input;
use crate::machine::testing::{boot, record};
use crate::mem::PAGE_BYTES;

const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");
const ECHO: &[u8] = include_bytes!("../../guest-programs/echo/echo.elf");

/// A machine with rings set up, input waiting, and a past.
fn lived() -> Machine {
    let mut machine = boot(KV);
    record(&mut machine, 1, Vec::new(), 1_000_000);
    machine.deliver(Input::Console(b"typed ahead".to_vec())).unwrap();
    machine.deliver(Input::TimerDue { time: 12_345 }).unwrap();
    machine.deliver(Input::NetFrame { rx_seq: 9, frame: vec![0xff; 60] }).unwrap();
    machine
}

#[test]
fn save_restore_save_is_the_same() {
    let mut machine = lived();
    let saved = machine.save();
    assert_eq!(machine.save(), saved, "saving changes nothing");
    assert_eq!(machine.digest(), saved.digest);
    let mut restored = Machine::restore(saved.clone()).unwrap();
    assert_eq!(restored.digest(), saved.digest);
    assert_eq!(restored.save(), saved);
    assert_eq!(restored.rx_seq(), 9);
    assert_eq!(restored.tx_seq(), machine.tx_seq());
    assert_eq!(restored.time(), 12_345);
    assert_eq!(restored.console_bytes(), machine.console_bytes());
    assert_eq!(restored.config(), machine.config());
}

#[test]
fn only_pages_with_something_in_them_are_saved() {
    let saved = lived().save();
    assert!(saved.pages.len() < 200, "{} pages", saved.pages.len());
    assert!(saved.pages.is_sorted_by(|a, b| a.0 < b.0));
    assert!(saved.pages.iter().all(|(_, bytes)| bytes.iter().any(|&b| b != 0)));
}

#[test]
fn every_part_of_the_state_is_in_the_digest() {
    let before = lived().digest();
    let change = |input: Input| {
        let mut machine = lived();
        machine.deliver(input).unwrap();
        machine.digest()
    };
    assert_ne!(change(Input::Console(vec![0])), before);
    assert_ne!(change(Input::TimerDue { time: 12_346 }), before);
    assert_ne!(change(Input::NetFrame { rx_seq: 10, frame: vec![1] }), before);
    let mut saved = lived().save();
    saved.pages.last_mut().unwrap().1[17] ^= 1;
    assert!(Machine::restore(saved).is_err());
}

#[test]
fn ram_of_another_size_is_another_machine() {
    let mut saved = lived().save();
    saved.config.ram_bytes *= 2;
    assert!(matches!(Machine::restore(saved), Err(RestoreError::Digest { .. })));
}

fn refusal(change: impl Fn(&mut Saved)) -> RestoreError {
    let mut saved = lived().save();
    change(&mut saved);
    Machine::restore(saved).err().expect("a lie is refused")
}

#[test]
fn lies_are_told_with_evidence() {
    assert!(matches!(refusal(|s| s.config.ram_bytes = 1 << 60), RestoreError::Config(_)));
    assert!(matches!(refusal(|s| s.config.ram_bytes = 0), RestoreError::Config(_)));
    assert!(matches!(refusal(|s| s.config.mac = [9; 6]), RestoreError::Mac { .. }));
    assert!(matches!(refusal(|s| s.state.clear()), RestoreError::Encoding(_)));
    assert_eq!(refusal(|s| s.state.push(0)), RestoreError::LeftOver { bytes: 1 });
    assert!(matches!(refusal(|s| s.icount = s.icount.next()), RestoreError::Position { .. }));
    assert!(matches!(refusal(|s| s.digest.0 ^= 1), RestoreError::Digest { .. }));
    assert!(matches!(refusal(|s| s.pages.clear()), RestoreError::Boot(_)));
    assert!(matches!(refusal(|s| s.boot[0] ^= 4), RestoreError::Boot(_)));
    assert_eq!(refusal(|s| s.config.platform = Platform::OwnSbi), RestoreError::Sbi);
    let page = |change: fn(&mut Saved)| assert!(matches!(refusal(change), RestoreError::Page { .. }));
    page(|s| s.pages.swap(0, 1));
    page(|s| s.pages[1].0 = s.pages[0].0);
    page(|s| s.pages.last_mut().unwrap().0 = u32::MAX);
    page(|s| s.pages[0].1 = vec![1; PAGE_BYTES - 1].into());
}

#[test]
fn no_damaged_state_panics_then_or_later() {
    let good = lived().save();
    let seed = 0x5a7e;
    let mut prng = Prng::new(seed);
    let mut alive = 0;
    for round in 0..3_000 {
        let mut saved = good.clone();
        for _ in 0..prng.between(1, 3) {
            let at = prng.below(saved.state.len() as u64) as usize;
            saved.state[at] = if prng.chance(1, 2) { prng.next_u64() as u8 } else { 0xff };
        }
        if prng.chance(1, 10) {
            saved.state.truncate(prng.below(saved.state.len() as u64) as usize);
        }
        println!("seed {seed:#x} round {round}");
        // A forger computes the digest, too.
        for _ in 0..2 {
            match Machine::restore(saved.clone()) {
                Ok(mut machine) => {
                    alive += 1;
                    live_on(&mut machine);
                    break;
                }
                Err(RestoreError::Digest { found, .. }) => saved.digest = found,
                Err(_) => break,
            }
        }
    }
    println!("{alive} came alive");
    assert!(alive > 100);
}

/// Whatever this machine is, it can be used.
fn live_on(machine: &mut Machine) {
    for rx_seq in 1..4 {
        for input in [
            Input::NetFrame { rx_seq, frame: vec![0x42; 100] },
            Input::Console(vec![b'x'; 300]),
            Input::Entropy(vec![1; 32]),
            Input::TimerDue { time: u64::MAX / 2 },
        ] {
            if let Err(error) = machine.deliver(input) {
                assert!(!error.to_string().is_empty());
            }
        }
        machine.run_until(machine.icount().plus(300));
        machine.take_outputs();
    }
}

#[test]
fn a_sleeping_guest_wakes_after_a_restore() {
    let mut machine = boot(ECHO);
    record(&mut machine, 1, Vec::new(), 1_000_000);
    let mut restored = Machine::restore(machine.save()).unwrap();
    let script = vec![Input::Console(b"x\x04".to_vec())];
    let heard = record(&mut restored, 1, script.clone(), 1_000_000);
    assert_eq!(heard, record(&mut machine, 1, script, 1_000_000));
    assert!(heard.text().ends_with("xecho: 2 bytes\n"), "{}", heard.text());
}
