//! Machines that are saved while they run on, beside twins that stand still for it.

use super::*;
use crate::base::{Icount, Prng};
use crate::engine::Engine;
use crate::machine::saving::tests as saving;
use crate::machine::testing::{Recording, boot, record, replay};
use crate::machine::{Machine, SaveStep, Saved};
use crate::mem::Extent;
use crate::snapshot::{Decoder, Encoder};

const KV: &[u8] = include_bytes!("../../guest-programs/kv/kv.elf");

fn kv() -> Machine {
    boot(KV)
}

fn churn() -> Machine {
    saving::churn(64 << 20)
}

/// A save while the guest runs on.
struct UnderWay {
    at: Icount,
    head: Option<SavedHead>,
    pieces: Vec<Piece>,
}

impl UnderWay {
    fn begin(machine: &mut Machine) -> Self {
        machine.begin_save(u64::MAX, Extent::Apart).expect("no other is under way");
        Self { at: machine.icount(), head: None, pieces: Vec::new() }
    }

    /// True at its end.
    fn go_on(&mut self, machine: &mut Machine, pages_max: usize) -> bool {
        match machine.save_next(pages_max) {
            SaveStep::Working => {}
            SaveStep::Head(head) => self.head = Some(*head),
            SaveStep::Piece(piece) => self.pieces.push(piece),
            SaveStep::End => return true,
        }
        false
    }

    fn chunks(self) -> (Icount, Vec<Vec<u8>>) {
        let packer = Packer::new(self.head.expect("it has ended"), self.pieces.into_iter());
        (self.at, packer.collect())
    }
}

/// Does the recording again and saves on the way, again and again, while the guest runs on and others ask for
/// digests and written pages. Where the saves began, and their chunks.
fn saved_on_the_way(mut machine: Machine, recording: &Recording, seed: u64) -> Vec<(Icount, Vec<Vec<u8>>)> {
    let (mut under_way, mut all) = (None, Vec::new());
    let mut choices = Prng::new(!seed);
    machine.note_writes();
    let pages_max = choices.between(4, 300);
    let replayed = replay(machine, recording, &mut Prng::new(seed), 20_000, |_, mut machine| {
        match choices.below(16) {
            0 => drop(machine.digest()),
            1 => drop(machine.take_written()),
            2 if choices.chance(1, 8) => {
                machine.abandon_save();
                under_way = None;
            }
            _ => {}
        }
        match &mut under_way {
            None if choices.chance(1, 6) => under_way = Some(UnderWay::begin(&mut machine)),
            None => {}
            Some(save) => {
                let mut steps = choices.below(6);
                while steps > 0 && !save.go_on(&mut machine, choices.between(1, pages_max) as usize) {
                    steps -= 1;
                }
                if machine.saving().is_none() {
                    all.extend(under_way.take().map(UnderWay::chunks));
                }
            }
        }
        machine
    });
    assert_eq!(replayed.digest, recording.digest, "saving shows in nothing");
    all
}

/// What [`Encoder`] makes of a machine that stands still at each of those positions.
fn saved_at(machine: Machine, recording: &Recording, seed: u64, positions: &[Icount]) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    replay(machine, recording, &mut Prng::new(seed), 20_000, |_, mut machine| {
        // Several calls can be at one position, with an input between them that comes to nothing else.
        if positions.get(all.len()) == Some(&machine.icount()) {
            all.push(Encoder::new(machine.save()).collect());
        }
        machine
    });
    all
}

type Boot = fn() -> Machine;

/// Under that engine.
pub fn a_save_is_of_where_it_began(engine: Engine, seeds: std::ops::Range<u64>) -> Result<(), String> {
    let guests: [(Boot, u64, usize); 2] = [(kv, 1_500_000, 3), (churn, 4_000_000, 1)];
    for (guest, limit, least) in guests {
        for seed in seeds.clone() {
            let boot = || {
                let mut machine = guest();
                machine.choose_engine(engine);
                machine
            };
            let recording = record(&mut boot(), seed, saving::frames(seed), limit);
            let saved = saved_on_the_way(boot(), &recording, seed);
            let positions: Vec<Icount> = saved.iter().map(|(at, _)| *at).collect();
            let expected = saved_at(boot(), &recording, seed, &positions);
            if saved.len() < least || expected.len() != saved.len() {
                return Err(format!("seed {seed}: {} saves, {} twins", saved.len(), expected.len()));
            }
            for ((at, chunks), expected) in saved.iter().zip(&expected) {
                if chunks != expected {
                    let differs = chunks.iter().zip(expected).position(|(found, expected)| found != expected);
                    let (found, expected) = (chunks.len(), expected.len());
                    let what = format!("first {differs:?} of {found} chunks, expected {expected}");
                    return Err(format!("seed {seed}, {engine}: the save at {at} differs: {what}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn chunks_of_a_save_are_those_of_a_twin_that_stood_still() {
    for engine in [Engine::Translator, Engine::Interpreter] {
        assert_eq!(a_save_is_of_where_it_began(engine, 1..4), Ok(()));
    }
}

fn whole(machine: &mut Machine, pages_max: usize) -> UnderWay {
    let mut save = UnderWay::begin(machine);
    while !save.go_on(machine, pages_max) {}
    save
}

#[test]
fn a_machine_comes_back_from_what_was_packed_on_another_thread() {
    let mut machine = kv();
    record(&mut machine, 1, saving::frames(1), 400_000);
    let UnderWay { head, pieces, .. } = whole(&mut machine, 64);
    let packer = Packer::new(head.unwrap(), pieces.into_iter());
    let total = packer.chunks_total();
    let chunks: Vec<Vec<u8>> = std::thread::spawn(move || packer.collect()).join().unwrap();
    assert_eq!(chunks.len(), total as usize);
    let mut decoder = Decoder::new(machine.config().ram_bytes);
    for chunk in &chunks {
        decoder.push(chunk).unwrap();
    }
    let saved: Saved = decoder.finish().unwrap();
    assert_eq!(Machine::restore(saved).unwrap().digest(), machine.digest());
}

#[test]
fn an_abandoned_save_has_fewer_chunks_than_its_head_says() {
    let mut machine = kv();
    record(&mut machine, 1, saving::frames(1), 400_000);
    let UnderWay { head, mut pieces, .. } = whole(&mut machine, 8);
    let head = head.unwrap();
    while pieces.pop().is_some() {
        let mut packer = Packer::new(head.clone(), pieces.clone().into_iter());
        let chunks = packer.by_ref().count() as u32;
        assert!(chunks < packer.chunks_total());
        assert_eq!((packer.next(), packer.chunks_done()), (None, chunks));
    }
}
