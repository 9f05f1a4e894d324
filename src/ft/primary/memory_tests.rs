//! A guest's memory on its way, by hand.

use super::*;
use crate::machine::{Arriving, BootOptions, Elf};
use crate::snapshot::ahead::Ahead;

const KV: &[u8] = include_bytes!("../../../guest-programs/kv/kv.elf");

fn machine() -> Machine {
    let options = BootOptions { ram_bytes: 32 << 20, ..BootOptions::default() };
    Machine::boot(&Elf::parse(KV).expect("an ELF"), &options).expect("it boots")
}

/// Writes `count` pages from `first` on, so that they differ from what they were.
fn write(machine: &mut Machine, first: u32, count: u32, byte: u8) {
    for page in first..first + count {
        machine.ram_mut().load_page(page, &[byte; 4096]).expect("there is so much RAM");
    }
}

fn take(arriving: &mut Arriving, chunk: &[u8]) {
    match ahead::open(chunk, arriving.ram_bytes(), arriving.boot_bytes()).expect("we packed it") {
        Ahead::Pages(pages) => arriving.load(&pages).expect("they are of this machine"),
        Ahead::Boot(bytes) => arriving.boot(&bytes),
    }
}

#[test]
fn what_is_written_meanwhile_is_sent_again_until_little_is_left() {
    let mut machine = machine();
    write(&mut machine, 1000, 4000, 1);
    let mut copy = MemoryCopy::begin(&mut machine);
    let mut arriving = Arriving::new(machine.ram().size_bytes()).unwrap();
    let mut chunks = 0;
    let left = loop {
        // While each chunk is packed the guest writes 10 pages, of 4000.
        write(&mut machine, 1000 + chunks * 10 % 4000, 10, 2 + chunks as u8 % 100);
        match copy.next(&mut machine) {
            Due::Send(chunk) => take(&mut arriving, &chunk),
            Due::Offer(left) => break left,
        }
        chunks += 1;
        assert_eq!(copy.progress().0, chunks);
        copy.taken(chunks).unwrap();
    };
    assert!((1..=3).contains(&copy.rounds()), "{} rounds", copy.rounds());
    assert!((1..=FEW_PAGES).contains(&left.len()), "{} pages left", left.len());
    let saved = machine.save_after(&left);
    let mut other = arriving.complete(saved).unwrap();
    assert_eq!(other.digest(), machine.digest());
}

#[test]
fn a_guest_that_writes_faster_than_we_send_gets_its_backup_all_the_same() {
    let mut machine = machine();
    let mut copy = MemoryCopy::begin(&mut machine);
    let mut chunks = 0;
    let left = loop {
        write(&mut machine, 1000, 3000, 1 + chunks as u8);
        match copy.next(&mut machine) {
            Due::Send(_) => chunks += 1,
            Due::Offer(left) => break left,
        }
    };
    assert_eq!(left.len(), 3000);
    assert!(chunks < 100, "{chunks} chunks");
}

#[test]
fn the_guest_has_its_share_before_the_next_chunk() {
    let mut machine = machine();
    let mut copy = MemoryCopy::begin(&mut machine);
    assert!(!copy.waits());
    copy.packed(100);
    copy.guest_ran(250);
    assert!(copy.waits(), "it has had less than three times as long");
    copy.guest_ran(50);
    assert!(!copy.waits());
    copy.packed(100);
    copy.guest_rests();
    assert!(!copy.waits(), "a guest that has nothing to do needs no time");
}

#[test]
fn no_more_is_under_way_than_keeps_the_joiner_busy() {
    let mut machine = machine();
    write(&mut machine, 1000, 60 * 20, 1);
    let mut copy = MemoryCopy::begin(&mut machine);
    let mut sent = 0;
    while !copy.waits() {
        assert!(matches!(copy.next(&mut machine), Due::Send(_)));
        sent += 1;
    }
    assert_eq!(sent, CHUNKS_UNTAKEN_MAX);
    assert!(copy.taken(sent + 1).is_err(), "no joiner takes what was not sent");
    copy.taken(2).unwrap();
    assert!(!copy.waits());
    assert!(copy.taken(1).is_err(), "nor gives it back");
    // The state comes only when all of it is taken.
    copy.taken(sent).unwrap();
    while copy.progress().0 < copy.progress().1 {
        assert!(matches!(copy.next(&mut machine), Due::Send(_)));
        sent += 1;
        copy.taken(sent - 1).unwrap();
    }
    assert!(copy.waits());
    copy.taken(sent).unwrap();
    assert!(!copy.waits());
    assert!(matches!(copy.next(&mut machine), Due::Offer(_)));
}
