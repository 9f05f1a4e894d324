//! Random programs on this machine and on QEMU: an independent reading of the specs.
//!
//! Compared: every trap (cause, value, address, status, all registers and `fcsr` at that point), in
//! each mode's handler by itself, and all of RAM in the end.
//!
//! Forgiven, because both may be right: `mtval` of `ebreak` (0 or the address), and the low bits of
//! the value of a misaligned access fault. Forgiven, because QEMU 7.2 is wrong there: a page or
//! access fault of an AMO reported as one of a load (which it looks for first), and bits A and D
//! that it sets for an access which then faults: the load of an AMO, and whatever PMP stops.

use std::time::Instant;

use lockstep::base::{GuestVirt, Prng};
use lockstep::isa::{Extensions, Op, decode};

use crate::generate;
use crate::image::{BASE, COMPARED_BYTES, ENTRY_BYTES, Entry, Image, LOG_M, LOG_S, Mode, WINDOW_TABLE};
use crate::machines::{LIKE_QEMU, LIKE_QEMU_EXTENDED, on_lockstep, on_qemu, qemu_extensions, qemu_is_here};

/// Words of a program.
const WORDS: usize = 20_000;
/// Programs, unless `SEEDS` says otherwise: four of each mode.
const SEEDS: u64 = 12;

/// Everything may be delegated (`ebreak` is) but `ecall`.
fn delegated(prng: &mut Prng) -> u64 {
    let delegated = prng.next_u64() & 0xb0fe | 1 << 3;
    // What QEMU mistakes for one another goes to the same place.
    let faults = FAULTS.into_iter().fold(0, |set, cause| set | 1 << cause);
    if delegated & 1 << 5 != 0 { delegated | faults } else { delegated & !faults }
}

/// Of loads and stores: access and page faults.
const FAULTS: [u64; 4] = [5, 7, 13, 15];

/// One log of both machines, entry by entry; how many there are.
fn compare(ours: &[u8], theirs: &[u8], log: u64, mode: Mode, seed: u64) -> usize {
    let mut behind = mode.sees(crate::image::CODE);
    for n in 0.. {
        let (our, their) = (Entry::read(ours, log, n), Entry::read(theirs, log, n));
        let (Some(our), Some(their)) = (our, their) else {
            let how = |entry: Option<Entry>| entry.map_or("none".into(), |e| e.to_string());
            assert!(our.is_none() && their.is_none(), "seed {seed}, trap {n}:\n{}\n{}", how(our), how(their));
            return n;
        };
        if our != their && !is_forgiven(our, their, instruction(ours, our.epc)) {
            panic!(
                "seed {seed}, {mode:?}, trap {n} of the log at {log:#x}, after {behind:#x}:\n{}",
                our.difference(&their)
            );
        }
        behind = our.epc;
    }
    unreachable!("the loop ends by itself")
}

/// What is at `at`, which all modes see at the same low bits.
fn instruction(ram: &[u8], at: u64) -> Op {
    let at = (at & 0x3fff_ffff) as usize;
    let word = ram.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    decode(word, Extensions::ALL).op
}

/// The differences that the head of this file forgives.
fn is_forgiven(our: Entry, their: Entry, op: Op) -> bool {
    let amo = op >= Op::LrW
        && op <= Op::AmomaxuD
        && FAULTS.contains(&our.cause)
        && FAULTS.contains(&their.cause)
        && our.value == their.value;
    let ebreak = our.cause == 3 && their.value == 0;
    let low_bits = matches!(our.cause, 5 | 7) && our.value.wrapping_sub(their.value) < 8;
    let forgiven = Entry {
        cause: if amo { our.cause } else { their.cause },
        value: if ebreak || low_bits { our.value } else { their.value },
        ..their
    };
    our == forgiven
}

/// An entry of the window in which QEMU has set bits for an access that then faults: A for the load of an AMO,
/// where no mode may write; with `fine` PMP any, for an access that PMP stops.
fn is_set_by_a_fault(at: usize, our: u64, their: u64, fine: bool) -> bool {
    const A: u64 = 0x40;
    const D: u64 = 0x80;
    const W: u64 = 4;
    let bits = if fine { A | D } else { A };
    WINDOW_TABLE.contains(&(BASE + at as u64)) && (fine || our & W == 0) && our | their & bits == their
}

#[test]
fn random_programs_do_on_qemu_what_they_do_here() {
    if !qemu_is_here("random programs are not compared with QEMU") {
        return;
    }
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |s| s.parse::<u64>().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let first = number("SEED", 1);
    for seed in first..first + number("SEEDS", SEEDS) {
        let start = Instant::now();
        let mode = [Mode::Machine, Mode::User, Mode::Supervisor][(seed % 3) as usize];
        let mut prng = Prng::new(seed);
        let delegated = delegated(&mut prng);
        // Each mode with PMP as a whole and in pieces, and with extensions and without.
        let fine = seed / 3 % 2 == 1;
        let (cpu, ours, theirs, properties) = if seed / 6 % 2 == 1 {
            (LIKE_QEMU, Extensions::NONE, Extensions::NONE, String::new())
        } else {
            let (theirs, properties) = qemu_extensions();
            (LIKE_QEMU_EXTENDED, Extensions::ALL, theirs, properties)
        };
        let words = generate::program(&mut prng, mode, ours, theirs, WORDS);
        let image = Image::new(&mut prng, mode, delegated, fine, &words);
        let ours = on_lockstep(&image.0, cpu);
        let theirs = on_qemu(&image.0, &properties, directory.path());
        let machine = compare(&ours, &theirs, LOG_M, mode, seed);
        let supervisor = compare(&ours, &theirs, LOG_S, mode, seed);
        assert!(machine > 500, "seed {seed}: the log is empty");
        assert!(mode == Mode::Machine || supervisor > 0, "seed {seed}: nothing went to S-mode");
        // The logs have been compared; the rest is to be the same.
        let rest = |log: u64, entries: usize| (log - BASE) as usize + entries * ENTRY_BYTES;
        for (from, to) in [
            (0, rest(LOG_M, 0)),
            (rest(LOG_M, machine), rest(LOG_S, 0)),
            (rest(LOG_S, supervisor), COMPARED_BYTES),
        ] {
            let differs = |&at: &usize| {
                let word = |ram: &[u8]| u64::from_le_bytes(ram[at..at + 8].try_into().unwrap());
                let (our, their) = (word(&ours), word(&theirs));
                our != their && !is_set_by_a_fault(at, our, their, fine)
            };
            if let Some(at) = (from..to).step_by(8).find(differs) {
                let word = |ram: &[u8]| u64::from_le_bytes(ram[at..at + 8].try_into().unwrap());
                let (at, our, their) = (GuestVirt(BASE + at as u64), word(&ours), word(&theirs));
                panic!("seed {seed}: RAM at {at}: here {our:016x}, QEMU {their:016x}");
            }
        }
        println!(
            "seed {seed}, {mode:?}: {machine} + {supervisor} traps alike, {} ms",
            start.elapsed().as_millis()
        );
    }
}
