//! Whole guests on whole machines.

use super::*;
use crate::base::Prng;
use crate::cpu::Question;
use crate::machine::testing::{Recording, boot, record, replay};

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!("../../guest-programs/", $name, "/", $name, ".elf")).as_slice()
    };
}

const LIMIT: u64 = 20_000_000;

fn run(file: &[u8], script: Vec<Input>) -> Recording {
    record(&mut boot(file), 1, script, LIMIT)
}

#[test]
fn hello_prints_and_passes() {
    let run = run(guest!("hello"), Vec::new());
    assert_eq!(run.text(), "hello from a machine that may outlive its host\n");
    assert_eq!(run.exit, Some(Exit::Pass));
}

#[test]
fn guests_end_as_they_say() {
    for (file, exit) in [
        (guest!("exit_code"), Exit::Fail(42)),
        (guest!("tohost_pass"), Exit::Pass),
        (guest!("tohost_fail"), Exit::Fail(7)),
    ] {
        assert_eq!(run(file, Vec::new()).exit, Some(exit));
    }
}

#[test]
fn once_ended_always_ended() {
    let mut machine = boot(guest!("exit_code"));
    let stop = machine.run_until(Icount(1000));
    assert_eq!(stop, Stop::Halted(Exit::Fail(42)));
    let (end, digest) = (machine.icount(), machine.digest());
    assert_eq!(machine.run_until(Icount::MAX), stop);
    let late = machine.deliver(Input::Console(b"too late".to_vec()));
    assert_eq!(late, Err(Undeliverable::Halted { at: end, exit: Exit::Fail(42) }));
    assert_eq!((machine.icount(), machine.digest()), (end, digest));
}

#[test]
fn the_machine_starts_at_the_entry_with_the_device_tree_in_a1() {
    let machine = boot(guest!("hello"));
    let elf = Elf::parse(guest!("hello")).unwrap();
    assert_eq!(machine.hart().pc(), elf.entry().get());
    assert_eq!(machine.hart().x(10), 0);
    let tree = machine.hart().x(11);
    assert_eq!(tree % (2 << 20), 0);
    let mut magic = [0; 4];
    machine.ram().read(GuestPhys(tree), &mut magic).unwrap();
    assert_eq!(magic, [0xd0, 0x0d, 0xfe, 0xed]);
    assert_eq!(machine.config().guest_digest, elf.digest());
}

#[test]
fn a_guest_that_prints_without_end_is_stopped_to_be_heard() {
    let mut machine = boot(guest!("loop_print"));
    for _ in 0..3 {
        assert_eq!(machine.run_until(Icount::MAX), Stop::Service);
        let at = machine.icount();
        assert_eq!(machine.run_until(Icount::MAX), Stop::Service, "no outputs have been taken yet");
        assert_eq!(machine.icount(), at);
        let outputs = machine.take_outputs();
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].payload().len(), 1024);
    }
}

#[test]
fn a_guest_lost_in_nowhere_still_stops_when_told() {
    let mut machine = boot(guest!("wild"));
    assert_eq!(machine.run_until(Icount(100_000)), Stop::Reached);
    assert_eq!(machine.icount(), Icount(100_000));
}

#[test]
fn questions_stop_the_machine_until_they_are_answered() {
    let mut machine = boot(guest!("identity"));
    assert_eq!(machine.run_until(Icount(LIMIT)), Stop::Ask(Question::HostId));
    let at = machine.icount();
    assert_eq!(machine.run_until(Icount(LIMIT)), Stop::Ask(Question::HostId), "and again");
    let digest = machine.digest();
    let wrong = machine.deliver(Input::Answer(Answer::Time(5)));
    assert!(matches!(wrong, Err(Undeliverable::NotAsking(_))), "{wrong:?}");
    let unasked = machine.deliver(Input::Entropy(vec![1, 2]));
    assert_eq!(unasked, Err(Undeliverable::Entropy { at, given: 2, wanted: None }));
    assert_eq!((machine.icount(), machine.digest()), (at, digest), "nothing has changed");
    machine.deliver(Input::Answer(Answer::HostId(77))).unwrap();
    assert_eq!(machine.icount(), at.next());

    let heard = record(&mut machine, 3, Vec::new(), LIMIT).text();
    assert!(heard.starts_with("identity: host 77\nidentity: entropy "), "{heard}");
    assert!(heard.contains("identity: host 43981\n"), "{heard}");
}

#[test]
fn time_never_runs_backwards_whatever_the_answers() {
    let mut machine = boot(guest!("clock"));
    let mut prng = Prng::new(9);
    let exit = loop {
        match machine.run_until(Icount(LIMIT)) {
            Stop::Ask(Question::Time) => {
                machine.deliver(Input::Answer(Answer::Time(prng.below(1 << 40)))).unwrap();
            }
            Stop::Service => {}
            stop => break stop,
        }
        machine.take_outputs();
    };
    assert_eq!(exit, Stop::Halted(Exit::Pass));
}

#[test]
fn echo_sleeps_until_it_is_typed_at_and_echoes() {
    let mut machine = boot(guest!("echo"));
    assert_eq!(machine.console_ready(), 256);
    let script = vec![
        Input::Console(b"hello\r".to_vec()),
        Input::Console(b"wor".to_vec()),
        Input::Console(b"ld\nquit\n".to_vec()),
    ];
    let run = record(&mut machine, 5, script, LIMIT);
    let expected =
        "echo: type; a line that starts with quit, or ^D, ends it\nhello\r\nworld\nquit\necho: 17 bytes\n";
    assert_eq!(run.text(), expected);
    assert_eq!(run.exit, Some(Exit::Pass));
}

#[test]
fn an_idle_guest_stands_still() {
    let mut machine = boot(guest!("echo"));
    let run = record(&mut machine, 5, Vec::new(), LIMIT);
    assert_eq!(run.exit, None);
    for until in [run.end, run.end.next(), Icount::MAX] {
        let stop = machine.run_until(until);
        assert!(stop == Stop::Idle || (stop == Stop::Reached && until == run.end), "{stop:?}");
        assert_eq!((machine.icount(), machine.digest()), (run.end, run.digest));
    }
}

#[test]
fn ticker_is_hit_by_every_timer_interrupt() {
    let run = run(guest!("ticker"), Vec::new());
    assert_eq!(run.exit, Some(Exit::Pass), "{}", run.text());
    let due = run.inputs.iter().filter(|(_, input)| matches!(input, Input::TimerDue { .. })).count();
    assert!(due >= 200, "{due} timers");
    let other = record(&mut boot(guest!("ticker")), 2, Vec::new(), LIMIT);
    assert_ne!(run.text(), other.text(), "other positions, another checksum");
}

/// Runs a guest once and then again in pieces: all of it must be equal.
fn same_in_pieces(file: &[u8], script: Vec<Input>, pieces: &[u64]) {
    let first = run(file, script);
    for (seed, &piece_max) in pieces.iter().enumerate() {
        let mut prng = Prng::new(seed as u64);
        let again = replay(boot(file), &first, &mut prng, piece_max, |_, machine| machine);
        assert_eq!(again, first, "pieces up to {piece_max}");
    }
}

#[test]
fn whole_equals_pieces() {
    same_in_pieces(guest!("hello"), Vec::new(), &[1, 7]);
    same_in_pieces(guest!("identity"), Vec::new(), &[1, 100]);
    same_in_pieces(guest!("ticker"), Vec::new(), &[97, 5_000, u64::MAX / 4]);
    let typed = vec![Input::Console(b"some text\rand more\r\x04".to_vec())];
    same_in_pieces(guest!("echo"), typed, &[1, 13]);
}

#[test]
fn a_replay_with_one_input_moved_by_one_instruction_differs() {
    let first = run(guest!("ticker"), Vec::new());
    let mut moved = first.clone();
    let (at, _) =
        moved.inputs.iter_mut().find(|(_, input)| matches!(input, Input::TimerDue { .. })).expect("a timer");
    *at = at.next();
    let mut prng = Prng::new(0);
    let digest_of = |machine: Machine, moved: &Recording, prng: &mut Prng| {
        replay(machine, moved, prng, u64::MAX / 4, |_, machine| machine).text()
    };
    assert_ne!(digest_of(boot(guest!("ticker")), &moved, &mut prng), first.text());
}

/// The guest has modes, page tables and traps.
#[test]
fn every_instruction_is_executed_in_one_way() {
    for engine in [Engine::Interpreter, Engine::Translator] {
        let mut machine = boot(guest!("modes"));
        machine.choose_engine(engine);
        record(&mut machine, 3, Vec::new(), LIMIT);
        let executed = machine.executed();
        assert_eq!(executed.instructions, machine.icount().get());
        let translated = executed.translator.unwrap_or_default().translated;
        let long_way = executed.long_way;
        assert_eq!(translated + executed.interpreted() + long_way.instructions, executed.instructions);
        assert!(long_way.instructions > 2_000 && long_way.walks > 10, "{executed:?}");
        assert_eq!(translated > 0, executed.translator.is_some(), "{executed:?}");
        let twice = executed.and(executed);
        assert_eq!(twice.instructions, 2 * executed.instructions);
        assert_eq!(twice.interpreted(), 2 * executed.interpreted());
        assert_eq!(twice.long_way.walks, 2 * long_way.walks);
    }
}
