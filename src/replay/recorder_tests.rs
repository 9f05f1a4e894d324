//! A recorder's entries, for guests of a few instructions.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::{Generation, NodeId};
use crate::cpu::Hart;
use crate::devices::disk::{DiskDone, DiskOp, DiskStatus};
use crate::log::{Start, decode_frame};
use crate::machine::config::RAM_BYTES_MIN;
use crate::machine::{BootOptions, Elf};
use crate::mem::Ram;
use crate::replay::testing::{
    LOOP, NOP, PASS, PRINT, READ_HOSTID, READ_SEED, READ_TIME, WFI, disk_machine, entries, entry, machine,
    world,
};
use crate::replay::{Followed, ReplayStop, Replayer};

fn recorder(code: &[u32]) -> Recorder {
    Recorder::new(machine(code), Seq(1))
}

/// An event that is on record without being delivered.
fn generation() -> Event {
    Event::Generation { generation: Generation(1), node: NodeId(1), why: Start::Boot }
}

fn run(recorder: &mut Recorder, limit: u64) -> RecordStop {
    recorder.run(Icount(limit), &mut world(), &mut Vec::new())
}

/// As much log as makes a run come back.
fn fill(recorder: &mut Recorder) {
    recorder.record(Event::Input(Input::Console(vec![0; FRAME_BYTES_SOFT])));
    assert!(recorder.log_bytes_waiting() >= FRAME_BYTES_SOFT);
}

#[test]
fn answers_are_entries_at_the_questions_position() {
    let mut recorder = recorder(&[READ_SEED, READ_HOSTID, NOP, LOOP]);
    assert_eq!(run(&mut recorder, 5), RecordStop::Slice);
    assert_eq!((recorder.icount(), recorder.seq_next()), (Icount(5), Seq(3)));
    assert_eq!(
        entries(&mut recorder),
        [
            entry(1, 0, Event::Input(Input::Answer(Answer::Entropy(0x0201)))),
            entry(2, 1, Event::Input(Input::Answer(Answer::HostId(77)))),
        ]
    );
}

#[test]
fn a_frame_is_numbered_by_its_entries_and_ends_with_a_horizon_past_the_last() {
    let mut recorder = recorder(&[LOOP]);
    assert_eq!((recorder.flush(true), recorder.log_bytes_waiting()), (None, 0));
    assert_eq!((recorder.record(generation()), recorder.record(generation())), (Seq(1), Seq(2)));
    assert!(recorder.log_bytes_waiting() > 0);
    let frame = recorder.flush(true).unwrap();
    assert_eq!((frame.first, frame.last), (Seq(1), Seq(2)), "the machine has not moved: no horizon");
    assert_eq!(decode_frame(&frame.bytes).unwrap().0, [entry(1, 0, generation()), entry(2, 0, generation())]);
    run(&mut recorder, 9);
    assert_eq!(recorder.flush(false), None);
    let frame = recorder.flush(true).unwrap();
    assert_eq!((frame.first, frame.last), (Seq(3), Seq(3)));
    assert_eq!(decode_frame(&frame.bytes).unwrap().0, [entry(3, 9, Event::Horizon)]);
    assert_eq!((recorder.flush(true), recorder.log_bytes_waiting()), (None, 0), "that is in the log");
    assert_eq!(recorder.into_parts().1, Seq(4));
}

#[test]
fn an_input_on_record_moves_the_horizon_too_and_one_that_is_refused_is_not_on_record() {
    let mut recorder = recorder(&[LOOP]);
    run(&mut recorder, 9);
    assert!(recorder.deliver(Input::Entropy(vec![1])).is_err(), "no device wants any");
    assert_eq!((recorder.seq_next(), recorder.log_bytes_waiting()), (Seq(1), 0));
    assert_eq!(recorder.deliver(Input::Console(vec![1])), Ok(Seq(1)));
    let frame = recorder.flush(true).unwrap();
    assert_eq!(decode_frame(&frame.bytes).unwrap().0, [entry(1, 9, Event::Input(Input::Console(vec![1])))]);
}

#[test]
#[should_panic(expected = "entries must be flushed")]
fn a_recorder_with_entries_is_not_taken_apart() {
    let mut recorder = recorder(&[LOOP]);
    recorder.record(generation());
    recorder.into_parts();
}

#[test]
fn an_output_has_a_mark_where_the_run_ends() {
    let mut recorder = recorder(&[PRINT[0], PRINT[1], PRINT[2], PRINT[2], PRINT[2], LOOP]);
    let mut outputs = Vec::new();
    let printed = |offset, bytes: &[u8]| Output::Console { offset, bytes: bytes.to_vec() };
    assert_eq!(recorder.run(Icount(3), &mut world(), &mut outputs), RecordStop::Slice);
    assert_eq!(outputs, [(Seq(1), printed(0, b"A"))]);
    assert!(!recorder.take_outputs(&mut outputs));
    assert_eq!(recorder.run(Icount(9), &mut world(), &mut outputs), RecordStop::Slice);
    assert_eq!(outputs[1..], [(Seq(2), printed(1, b"AA"))]);
    assert_eq!(
        entries(&mut recorder),
        [
            entry(1, 3, Event::Output(OutputMark::of(&printed(0, b"A")))),
            entry(2, 9, Event::Output(OutputMark::of(&printed(1, b"AA")))),
        ]
    );
    // Without a limit in between, once enough of it waits.
    let forever = [PRINT[0], PRINT[1], PRINT[2], 0xffdf_f06f];
    let mut recorder = self::recorder(&forever);
    assert_eq!(recorder.run(Icount(1 << 20), &mut world(), &mut outputs), RecordStop::Slice);
    assert!(recorder.icount() < Icount(1 << 20) && outputs.len() == 3, "{}", recorder.icount());
}

#[test]
fn a_guest_that_waits_is_idle_and_its_last_output_is_taken() {
    let mut recorder = recorder(&[PRINT[0], PRINT[1], PRINT[2], WFI, LOOP]);
    let mut outputs = Vec::new();
    assert_eq!(recorder.run(Icount(100), &mut world(), &mut outputs), RecordStop::Idle);
    assert_eq!((recorder.icount(), outputs.len()), (Icount(4), 1));
}

#[test]
fn the_end_is_written_once_behind_a_digest() {
    let mut recorder = recorder(&PASS);
    assert_eq!(run(&mut recorder, 100), RecordStop::Halted(Exit::Pass));
    assert_eq!(run(&mut recorder, 100), RecordStop::Halted(Exit::Pass));
    let (at, digest) = recorder.digest_last().expect("a digest at the end");
    assert_eq!((at, digest), (Icount(4), recorder.machine_mut().digest()));
    assert_eq!(
        entries(&mut recorder),
        [entry(1, 4, Event::Digest(digest)), entry(2, 4, Event::End(Exit::Pass))]
    );
    // One that goes on from a machine which has ended has nothing to add.
    let (machine, seq) = recorder.into_parts();
    let mut recorder = Recorder::new(machine, seq);
    assert_eq!(run(&mut recorder, 100), RecordStop::Halted(Exit::Pass));
    assert_eq!(recorder.flush(true), None);
}

#[test]
fn an_end_at_a_digests_position_has_one_digest() {
    let mut recorder = recorder(&PASS);
    recorder.digest_every(4);
    while run(&mut recorder, 100) == RecordStop::Slice {}
    let entries = entries(&mut recorder);
    let digests = entries.iter().filter(|entry| matches!(entry.event, Event::Digest(_))).count();
    assert_eq!((digests, entries.last().map(|entry| &entry.event)), (1, Some(&Event::End(Exit::Pass))));
}

#[test]
fn digests_stand_at_the_multiples_and_nowhere_else() {
    let mut recorder = recorder(&[LOOP]);
    assert_eq!(recorder.digest_last(), None);
    run(&mut recorder, 3);
    recorder.digest_every(10);
    let mut ends = Vec::new();
    for limit in [9, 25, 25, 30, 31] {
        run(&mut recorder, limit);
        ends.push(recorder.icount().get());
    }
    assert_eq!(ends, [9, 10, 20, 30, 31]);
    let at: Vec<u64> = entries(&mut recorder).iter().map(|entry| entry.at.get()).collect();
    assert_eq!(at, [10, 20, 30]);
    assert_eq!(recorder.digest_last().map(|(at, _)| at), Some(Icount(30)));
    // Set anew at a multiple, the next one is due; at 0 none is.
    run(&mut recorder, 40);
    recorder.digest_every(20);
    run(&mut recorder, 100);
    assert_eq!(recorder.icount(), Icount(60));
    recorder.digest_every(0);
    run(&mut recorder, 200);
    assert_eq!(
        (recorder.icount(), recorder.digest_last().map(|(at, _)| at)),
        (Icount(200), Some(Icount(60)))
    );
}

#[test]
fn a_run_comes_back_when_much_log_waits() {
    for (code, asked) in [(READ_SEED, 1), (READ_HOSTID, 1), (READ_TIME, 0)] {
        let mut recorder = recorder(&[code, NOP, NOP, LOOP]);
        fill(&mut recorder);
        assert_eq!(run(&mut recorder, 100), RecordStop::Slice);
        assert!(recorder.icount().get() <= asked, "{code:#x}: {}", recorder.icount());
    }
    // With a little less than that it goes on.
    for code in [READ_SEED, READ_HOSTID, READ_TIME] {
        let mut recorder = recorder(&[code, NOP, NOP, LOOP]);
        recorder.record(Event::Input(Input::Console(vec![0; FRAME_BYTES_SOFT - 200])));
        run(&mut recorder, 100);
        assert_eq!(recorder.icount(), Icount(100), "{code:#x}");
    }
}

#[test]
fn a_read_of_the_time_is_on_record_only_where_the_clocks_differ() {
    let mut recorder = recorder(&[READ_TIME, NOP, READ_TIME, LOOP]);
    let mut world = world();
    recorder.run(Icount(2), &mut world, &mut Vec::new());
    entries(&mut recorder);
    world.ticks = 1_000_000;
    recorder.run(Icount(10), &mut world, &mut Vec::new());
    let entries = entries(&mut recorder);
    assert!(
        matches!(
            entries[..],
            [Entry { at: Icount(2), event: Event::Input(Input::Answer(Answer::Time(1_000_000))), .. }]
        ),
        "{entries:?}"
    );
    assert_eq!(recorder.machine().hart().x(7), 1_000_000);
}

#[test]
fn a_run_comes_back_for_the_disk_and_asks_again_what_is_in_flight() {
    let mut recorder = Recorder::new(disk_machine(), Seq(1));
    assert_eq!(run(&mut recorder, 1 << 24), RecordStop::Slice);
    let read = DiskRequest { disk: 0, tag: 1, op: DiskOp::Read { sector: 0, bytes: 512 } };
    assert_eq!(recorder.take_disk_requests(), std::slice::from_ref(&read));
    assert_eq!(recorder.take_disk_requests(), []);
    assert_eq!(recorder.reissue(&mut world()), [read]);
    let done = DiskDone { disk: 0, tag: 1, status: DiskStatus::Ok, data: vec![0; 512] };
    recorder.deliver(Input::DiskDone(done)).expect("the disk awaits it");
    let mut outputs = Vec::new();
    while recorder.run(Icount(1 << 24), &mut world(), &mut outputs) == RecordStop::Slice {}
    recorder.record_digest();
    let log = entries(&mut recorder);

    // A replayer does without the disk: what was read is in the log.
    let mut replayer = Replayer::new(disk_machine(), Seq(1));
    replayer.push(log).unwrap();
    let mut followed = Vec::new();
    assert_eq!(replayer.run(1 << 24, &mut followed), Ok(ReplayStop::Drained));
    assert!(!followed.iter().any(|followed| matches!(followed, Followed::Disk(_))), "reads are not reported");
    let said = followed.iter().filter(|followed| matches!(followed, Followed::Said { .. })).count();
    assert!(said == outputs.len() && said > 0, "{said} of {}", outputs.len());
}

/// What an observer has been shown: positions, and where the hart stood.
type Looks = Arc<Mutex<Vec<(u64, u64)>>>;

fn identity(every: Option<u64>) -> (Machine, Looks) {
    let guest = include_bytes!("../../guest-programs/identity/identity.elf");
    let options = BootOptions { ram_bytes: RAM_BYTES_MIN, ..BootOptions::default() };
    let mut machine = Machine::boot(&Elf::parse(guest).expect("an ELF file"), &options).expect("it boots");
    let looks = Looks::default();
    if let Some(every) = every.and_then(NonZeroU64::new) {
        let seen = looks.clone();
        let look = move |hart: &Hart, _: &Ram| seen.lock().unwrap().push((hart.icount().get(), hart.pc()));
        machine.observe(every, Box::new(look));
    }
    (machine, looks)
}

/// The log's bytes, and what was seen.
fn observed(every: Option<u64>) -> (Vec<u8>, Vec<(u64, u64)>) {
    let (machine, looks) = identity(every);
    let mut recorder = Recorder::new(machine, Seq(1));
    recorder.digest_every(5_000);
    let (mut world, mut log) = (world(), Vec::new());
    loop {
        world.ticks += 40;
        let limit = recorder.icount().plus(777);
        let stop = recorder.run(limit, &mut world, &mut Vec::new());
        log.extend(recorder.flush(true).map(|frame| frame.bytes).unwrap_or_default());
        if matches!(stop, RecordStop::Halted(_)) {
            let looks = looks.lock().unwrap().clone();
            return (log, looks);
        }
        assert!(recorder.icount() < Icount(10_000_000), "it ends");
    }
}

#[test]
fn an_observer_leaves_no_trace_and_sees_the_same_in_a_replay() {
    let (log, none) = observed(None);
    assert!(none.is_empty());
    for every in [1, 97, 5_000] {
        let (same, looks) = observed(Some(every));
        assert!(same == log, "observed every {every}: another log");
        let positions: Vec<u64> = looks.iter().map(|(at, _)| *at).collect();
        let expected: Vec<u64> = (1..=positions.len() as u64).map(|n| n * every).collect();
        assert_eq!(positions, expected, "each multiple once");

        let (machine, again) = identity(Some(every));
        let mut replayer = Replayer::new(machine, Seq(1));
        let mut bytes = log.as_slice();
        while !bytes.is_empty() {
            let (entries, taken) = decode_frame(bytes).expect("a good frame");
            replayer.push(entries).unwrap();
            bytes = &bytes[taken..];
        }
        while replayer.run(1_001, &mut Vec::new()).unwrap() == ReplayStop::Budget {}
        assert_eq!(*again.lock().unwrap(), looks);
        assert_eq!(looks.len() as u64, replayer.icount().get() / every, "up to the end");
    }
}
