//! Machines whose memory came ahead of them.

use super::*;
use crate::machine::io::Input;
use crate::machine::testing::{boot, record};

const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");

fn lived() -> Machine {
    let mut machine = boot(KV);
    record(&mut machine, 1, Vec::new(), 1_000_000);
    machine
}

fn all_pages(machine: &Machine) -> Vec<(u32, Box<[u8]>)> {
    machine.ram().pages_nonzero().map(|page| (page, machine.ram().page(page).into())).collect()
}

/// Everything is sent ahead, then `change` happens, then the rest follows.
fn sent_ahead(mut machine: Machine, change: impl Fn(&mut Machine)) -> (Machine, Arriving, Saved) {
    let mut arriving = Arriving::new(machine.ram().size_bytes()).unwrap();
    machine.note_writes();
    arriving.load(&all_pages(&machine)).unwrap();
    (0..).map_while(|index| machine.boot_piece(index)).for_each(|piece| arriving.boot(&piece));
    change(&mut machine);
    let written = machine.take_written();
    let saved = machine.save_after(&written);
    (machine, arriving, saved)
}

#[test]
fn a_machine_comes_to_life_from_memory_sent_ahead_and_what_was_written_since() {
    let (mut machine, arriving, saved) = sent_ahead(lived(), |machine| {
        machine.deliver(Input::NetFrame { rx_seq: 9, frame: vec![0xff; 60] }).unwrap();
        record(machine, 2, Vec::new(), 1_200_000);
    });
    assert!(saved.pages.len() < all_pages(&machine).len(), "{} pages follow", saved.pages.len());
    assert!(saved.boot.is_empty());
    let mut other = arriving.complete(saved).unwrap();
    assert_eq!(other.digest(), machine.digest());
    assert_eq!(other.save(), machine.save());
    let run = |machine: &mut Machine| record(machine, 3, Vec::new(), 1_500_000);
    assert_eq!(run(&mut other), run(&mut machine), "and it is that machine from then on");
}

#[test]
fn a_page_that_became_zeros_is_zeros_there_too() {
    let mut machine = lived();
    let page = machine.ram().pages_nonzero().last().unwrap();
    let (mut machine, arriving, saved) = {
        machine.note_writes();
        sent_ahead(machine, |machine| {
            machine.ram_mut().load_page(page, &[0; PAGE_BYTES]).unwrap();
        })
    };
    assert!(saved.pages.iter().any(|(number, bytes)| *number == page && bytes.iter().all(|&b| b == 0)));
    let mut other = arriving.complete(saved).unwrap();
    assert_eq!(other.digest(), machine.digest());
    assert!(other.save().pages.iter().all(|(number, _)| *number != page));
}

#[test]
fn a_reset_between_memory_and_state_is_not_missed() {
    let (mut machine, arriving, saved) = sent_ahead(lived(), |machine| {
        // What a guest's reset does, with pages of the past still unsent.
        let page = machine.ram().pages_nonzero().last().unwrap();
        machine.ram_mut().load_page(page, &[0; PAGE_BYTES]).unwrap();
        machine.start_over();
    });
    let mut other = arriving.complete(saved).unwrap();
    assert_eq!(other.digest(), machine.digest());
}

#[test]
fn a_page_that_did_not_follow_is_noticed() {
    let (_, arriving, mut saved) = sent_ahead(lived(), |machine| {
        machine.ram_mut().load_page(77, &[7; PAGE_BYTES]).unwrap();
    });
    let missing = saved.pages.pop();
    assert!(missing.is_some());
    assert!(matches!(arriving.complete(saved), Err(RestoreError::Digest { .. })));
}

#[test]
fn liars_are_refused() {
    assert!(Arriving::new(4097).is_err());
    assert!(Arriving::new(u64::MAX / 4096 * 4096).is_err());
    let page = |number, len: usize| (number, vec![1; len].into_boxed_slice());
    for pages in [vec![page(u32::MAX, 4096)], vec![page(1, 4095)], vec![page(2, 4096), page(2, 4096)]] {
        let mut arriving = Arriving::new(4 << 20).unwrap();
        assert!(matches!(arriving.load(&pages), Err(RestoreError::Page { .. })));
    }
    let saved = lived().save();
    let other_size = Arriving::new(saved.config.ram_bytes * 2).unwrap();
    assert!(matches!(other_size.complete(saved.clone()), Err(RestoreError::RamAhead { .. })));
    let mut of_another = Arriving::new(saved.config.ram_bytes).unwrap();
    of_another.load(&[page(5, 4096)]).unwrap();
    assert!(of_another.complete(saved).is_err());
}
