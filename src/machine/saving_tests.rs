//! Machines that are saved while they run on. What they hand out is compared chunk by chunk in `snapshot::pack`.

use super::*;
use crate::base::Prng;
use crate::cpu::{Answer, Question};
use crate::engine::Engine;
use crate::machine::config::RAM_BYTES_MIN;
use crate::machine::io::{Input, Stop};
use crate::machine::testing::{boot, record};
use crate::machine::{Arriving, BootOptions, Elf, RestoreError, Saved};
use crate::mem::{Extent, PAGE_BYTES};

const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");
const CHURN: &[u8] = include_bytes!("../../guest-programs/churn/churn.elf");
const PLENTY: u64 = u64::MAX;

/// A machine with a past, and the same each time.
fn lived() -> Machine {
    let mut machine = boot(KV);
    record(&mut machine, 1, frames(3), 1_000_000);
    machine
}

/// Frames for the guest's receive ring.
pub fn frames(seed: u64) -> Vec<Input> {
    let mut prng = Prng::new(seed);
    let mut frame = |_| {
        let mut frame = vec![0; prng.between(60, 1500) as usize];
        prng.fill(&mut frame);
        frame[..6].fill(0xff);
        Input::NetFrame { rx_seq: 0, frame }
    };
    (0..40).map(&mut frame).collect()
}

/// What a save has handed out.
#[derive(Default)]
struct Received {
    head: Option<Box<SavedHead>>,
    boot: Vec<u8>,
    pages: Vec<(u32, Box<[u8]>)>,
}

impl Received {
    /// True at the end.
    fn take(&mut self, machine: &mut Machine, pages_max: usize) -> bool {
        match machine.save_next(pages_max) {
            SaveStep::Working => {}
            SaveStep::Head(head) => assert!(self.head.replace(head).is_none(), "one head"),
            SaveStep::Piece(Piece::Boot(bytes)) => self.boot.extend(bytes),
            SaveStep::Piece(Piece::Pages(pages)) => {
                assert!((1..=pages_max).contains(&pages.numbers.len()));
                self.pages.extend(pages.iter().map(|(page, bytes)| (page, bytes.into())));
            }
            SaveStep::End => return true,
        }
        false
    }

    /// With what is left.
    fn finish(mut self, machine: &mut Machine, pages_max: usize) -> Saved {
        while !self.take(machine, pages_max) {}
        let Self { head, boot, pages } = self;
        let head = head.expect("a head comes before the end");
        assert_eq!((head.boot_bytes, head.pages as usize), (boot.len() as u64, pages.len()));
        let SavedHead { config, icount, digest, state, .. } = *head;
        Saved { config, icount, digest, state, boot, pages }
    }
}

fn finish(machine: &mut Machine, pages_max: usize) -> Saved {
    Received::default().finish(machine, pages_max)
}

#[test]
fn a_machine_that_has_run_on_is_saved_as_it_was() {
    for pages_max in [1, 7, 10_000] {
        let (mut machine, mut twin) = (lived(), lived());
        machine.begin_save(PLENTY, Extent::Apart).unwrap();
        assert_eq!(machine.saving(), Some(twin.icount()));
        let before = machine.icount();
        machine.deliver(Input::Console(b"typed meanwhile".to_vec())).unwrap();
        record(&mut machine, 2, frames(4), 1_500_000);
        assert!(machine.icount() > before && machine.save_aside_bytes() > 0);
        assert_eq!(finish(&mut machine, pages_max), twin.save());
        assert_eq!((machine.saving(), machine.save_aside_bytes()), (None, 0));
        assert_eq!(machine.save_next(1), SaveStep::End);
        // And it is the machine that it would have been.
        twin.deliver(Input::Console(b"typed meanwhile".to_vec())).unwrap();
        record(&mut twin, 2, frames(4), 1_500_000);
        assert_eq!(machine.save(), twin.save());
        assert!(Machine::restore(twin.save()).is_ok());
    }
}

#[test]
fn an_increment_on_the_machine_that_it_builds_on_is_the_machine_that_was_saved() {
    let mut machine = lived();
    assert_eq!(machine.save_base(), None);
    // Without one to build on it is a base.
    machine.begin_save(PLENTY, Extent::Increment).unwrap();
    let (mut saved, mut at) = (finish(&mut machine, 9), machine.icount());
    let whole = saved.pages.len();
    let mut restored = Machine::restore(saved.clone()).unwrap();
    let mut until = 1_000_000;
    for round in 0..12 {
        assert_eq!(machine.save_base(), Some(at));
        until += 50_000;
        record(&mut machine, round, frames(round), until);
        if round == 4 {
            machine.start_over();
        }
        if round % 3 == 1 {
            machine.digest();
        }
        if round % 3 == 2 {
            // Neither counts: one that is apart, and one that is given up.
            machine.begin_save(PLENTY, Extent::Apart).unwrap();
            finish(&mut machine, 1000);
            machine.begin_save(PLENTY, Extent::Increment).unwrap();
            (0..2).for_each(|_| drop(machine.save_next(round as usize)));
            record(&mut machine, round, frames(90), until + 1_000);
            assert!(machine.saving().is_some());
            machine.abandon_save();
        }
        let mut twin = Machine::restore(machine.save()).unwrap();
        machine.begin_save(PLENTY, Extent::Increment).unwrap();
        let mut received = Received::default();
        (0..round).for_each(|_| _ = received.take(&mut machine, 2));
        // What is written now is of the next one.
        record(&mut machine, round, frames(91), until + 2_000);
        let is_of = received.head.as_ref().map(|head| head.base);
        saved = received.finish(&mut machine, 5);
        assert!(is_of.is_none_or(|base| base == Some(at)), "{is_of:?}");
        assert!(saved.boot.is_empty() && (saved.pages.len() < whole || round == 4), "{}", saved.pages.len());
        restored = restored.succeed(saved.clone()).unwrap();
        at = twin.icount();
        assert!(restored.save() == twin.save(), "round {round}");
    }
    // It fits no other machine, and none at another time.
    let mut other = lived();
    let untouched = (0..).find(|page| saved.pages.iter().all(|(saved, _)| saved != page)).unwrap();
    other.ram_mut().load_page(untouched, &[9; PAGE_BYTES]).unwrap();
    assert!(matches!(other.succeed(saved.clone()), Err(RestoreError::Digest { .. })));
    assert!(matches!(churn(RAM_BYTES_MIN * 16).succeed(saved), Err(RestoreError::OtherMachine)));
}

#[test]
fn a_joiner_follows_the_same_writes_and_neither_disturbs_the_other() {
    let (mut machine, mut twin) = (lived(), lived());
    let mut arriving = Arriving::new(machine.ram().size_bytes()).unwrap();
    let now = |machine: &Machine, pages: &mut dyn Iterator<Item = u32>| -> Vec<(u32, Box<[u8]>)> {
        pages.map(|page| (page, machine.ram().page(page).into())).collect()
    };
    machine.note_writes();
    arriving.load(&now(&machine, &mut machine.ram().pages_nonzero())).unwrap();
    record(&mut machine, 2, frames(4), 1_200_000);
    record(&mut twin, 2, frames(4), 1_200_000);
    machine.begin_save(PLENTY, Extent::Apart).unwrap();
    let mut received = Received::default();
    let mut until = 1_200_000;
    for script in 5..9 {
        until += 100_000;
        record(&mut machine, script, frames(script), until);
        let written = machine.take_written();
        arriving.load(&now(&machine, &mut written.into_iter())).unwrap();
        received.take(&mut machine, 3);
    }
    record(&mut machine, 9, frames(9), until + 100_000);
    let written = machine.take_written();
    let after = machine.save_after(&written);
    machine.forget_writes();
    (0..).map_while(|index| machine.boot_piece(index)).for_each(|piece| arriving.boot(&piece));
    assert_eq!(arriving.complete(after).unwrap().digest(), machine.digest());
    assert_eq!(received.finish(&mut machine, 5), twin.save());
}

#[test]
fn a_guest_that_resets_its_machine_meanwhile_does_not_disturb_it() {
    let all_steps = {
        let mut machine = lived();
        machine.begin_save(PLENTY, Extent::Apart).unwrap();
        (0..).find(|_| machine.save_next(1) == SaveStep::End).unwrap()
    };
    assert!(all_steps > 20, "{all_steps}");
    for steps in (0..all_steps).step_by(3) {
        let (mut machine, mut twin) = (lived(), lived());
        machine.begin_save(PLENTY, Extent::Apart).unwrap();
        let mut received = Received::default();
        (0..steps).for_each(|_| assert!(!received.take(&mut machine, 1)));
        record(&mut machine, 2, frames(4), 1_010_000);
        machine.start_over();
        record(&mut machine, 2, frames(4), 1_200_000);
        assert_eq!(received.finish(&mut machine, 4), twin.save(), "{steps} steps");
    }
}

#[test]
fn one_save_at_a_time_and_one_that_is_abandoned_leaves_nothing() {
    let mut machine = lived();
    machine.abandon_save();
    machine.begin_save(PLENTY, Extent::Apart).unwrap();
    let at = machine.icount();
    let mut until = 1_000_000;
    for steps in [0, 1, 2, 3, 10, 60] {
        until += 50_000;
        record(&mut machine, steps, frames(steps), until);
        let refused = machine.begin_save(PLENTY, Extent::Apart);
        assert_eq!(refused, Err(SaveUnderWay { at: machine.saving().unwrap() }));
        (0..steps).for_each(|_| drop(machine.save_next(2)));
        record(&mut machine, steps, frames(steps), until + 50_000);
        machine.abandon_save();
        assert_eq!((machine.saving(), machine.save_aside_bytes()), (None, 0));
        assert_eq!(machine.save_next(1), SaveStep::End);
        record(&mut machine, steps, frames(steps), until + 100_000);
        machine.begin_save(PLENTY, Extent::Apart).unwrap();
        until += 100_000;
    }
    assert!(machine.icount() > at);
    let mut twin = Machine::restore(machine.save()).unwrap();
    machine.abandon_save();
    machine.begin_save(PLENTY, Extent::Apart).unwrap();
    record(&mut machine, 9, frames(9), until + 100_000);
    assert_eq!(finish(&mut machine, 11), twin.save());
}

/// A machine whose guest writes all over 40 MB of memory, none of it zeros.
pub fn churn(ram_bytes: u64) -> Machine {
    let options = BootOptions { ram_bytes, ..BootOptions::default() };
    let mut machine = Machine::boot(&Elf::parse(CHURN).unwrap(), &options).unwrap();
    record(&mut machine, 1, Vec::new(), 100_000);
    let is_zeros = |machine: &Machine, page: &u32| machine.ram().page(*page).iter().all(|byte| *byte == 0);
    let zeros: Vec<u32> = (0..11_000).filter(|page| is_zeros(&machine, page)).collect();
    for page in zeros {
        machine.ram_mut().load_page(page, &[page as u8 | 1; PAGE_BYTES]).unwrap();
    }
    machine
}

#[test]
fn what_is_kept_stays_within_its_limit_where_pieces_are_drawn_while_it_is_short() {
    const LIMIT: u64 = 64 * PAGE_BYTES as u64;
    for engine in [Engine::Translator, Engine::Interpreter] {
        let start = || {
            let mut machine = churn(16 * RAM_BYTES_MIN);
            machine.choose_engine(engine);
            record(&mut machine, 1, Vec::new(), 1_000_000);
            machine
        };
        let (mut machine, mut twin) = (start(), start());
        machine.begin_save(LIMIT, Extent::Apart).unwrap();
        let mut until = 1_000_000;
        let (mut short, mut most) = (0, 0);
        let mut pieces = 0;
        while machine.saving().is_some() {
            // The guest writes faster than is drawn, but for when it is short.
            until += 20_000;
            record(&mut machine, 1, Vec::new(), until);
            most = most.max(machine.save_aside_bytes());
            pieces += u32::from(matches!(machine.save_next(4), SaveStep::Piece(_)));
            while machine.save_is_short() {
                short += 1;
                pieces += u32::from(matches!(machine.save_next(64), SaveStep::Piece(_)));
            }
        }
        assert!(short > 0 && pieces > 0, "{short}, {pieces}");
        assert!(most < LIMIT * 2, "{most} bytes: a slice writes a few pages");
        // Then once more, whole.
        record(&mut twin, 1, Vec::new(), until);
        assert_eq!(machine.digest(), twin.digest());
        machine.begin_save(LIMIT, Extent::Apart).unwrap();
        record(&mut machine, 1, Vec::new(), until + 1_000_000);
        assert_eq!(finish(&mut machine, 100), twin.save());
    }
}

/// How long the guest stands still. Run by hand:
/// `cargo test --release --lib saving::tests::pauses -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn pauses() {
    use std::time::Instant;
    const RAM_BYTES: u64 = 512 << 20;
    let run = |machine: &mut Machine, until: u64| {
        while machine.icount() < Icount(until) && machine.halted().is_none() {
            if let Stop::Ask(Question::Time) = machine.run_until(Icount(until)) {
                machine.deliver(Input::Answer(Answer::Time(until))).unwrap();
            }
            machine.take_outputs();
        }
    };
    for (name, is_written, is_random) in
        [("digested", false, true), ("written, random", true, true), ("written, zeros", true, false)]
    {
        let mut machine = churn(RAM_BYTES);
        let mut prng = Prng::new(1);
        let mut bytes = [0; PAGE_BYTES];
        for page in 11_000..(RAM_BYTES / PAGE_BYTES as u64) as u32 - 1024 {
            if is_random {
                prng.fill(&mut bytes);
            }
            machine.ram_mut().load_page(page, &bytes).unwrap();
        }
        record(&mut machine, 1, Vec::new(), 1_000_000);
        if is_written {
            let pages = machine.ram().pages();
            (0..pages).for_each(|page| machine.ram_mut().mark_dirty(page));
        } else {
            machine.digest();
        }
        let start = Instant::now();
        machine.begin_save(64 << 20, Extent::Apart).unwrap();
        let begin = start.elapsed();
        let (mut until, mut took) = (1_000_000, Vec::new());
        let mut guest = std::time::Duration::ZERO;
        let mut aside = 0;
        let whole = Instant::now();
        loop {
            until += 40_000;
            let start = Instant::now();
            run(&mut machine, until);
            guest += start.elapsed();
            aside = aside.max(machine.save_aside_bytes());
            let start = Instant::now();
            let step = machine.save_next(64);
            took.push(start.elapsed());
            if step == SaveStep::End {
                break;
            }
        }
        let whole = whole.elapsed();
        took.sort_unstable();
        let steps = took.len();
        let [middle, most, longest] = [steps / 2, steps * 99 / 100, steps - 1].map(|at| took[at]);
        println!(
            "{name}: begin {begin:?}; {steps} steps of 64 pages: median {middle:?}, 99 % {most:?}, \
             longest {longest:?}; all {whole:?}, of which the guest {guest:?}; {aside} bytes aside at most"
        );
        let start = Instant::now();
        machine.begin_save(64 << 20, Extent::Apart).unwrap();
        let again = start.elapsed();
        for _ in 0..1000 {
            until += 40_000;
            run(&mut machine, until);
        }
        let aside = machine.save_aside_bytes();
        let start = Instant::now();
        machine.abandon_save();
        println!("  begin again {again:?}; abandoned with {aside} bytes aside in {:?}", start.elapsed());
    }
}
