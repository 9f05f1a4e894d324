//! A replayer beside logs that are right, and wrong in one thing.

use super::*;
use crate::base::{Generation, NodeId};
use crate::cpu::Answer;
use crate::devices::disk::{DiskDone, DiskStatus};
use crate::log::Start;
use crate::machine::{Channel, Input};
use crate::replay::testing::{
    LOOP, NOP, PASS, PRINT, READ_HOSTID, READ_SEED, WFI, entries, entry, machine, world,
};
use crate::replay::{RecordStop, Recorder};

const SAID: [u32; 5] = [PRINT[0], PRINT[1], PRINT[2], PRINT[3], LOOP];

fn printed() -> Output {
    Output::Console { offset: 0, bytes: b"A".to_vec() }
}

fn mark() -> Event {
    Event::Output(OutputMark::of(&printed()))
}

fn horizon(seq: u64, at: u64) -> Entry {
    entry(seq, at, Event::Horizon)
}

/// Follows all of it, from the start of `code`.
fn follow(code: &[u32], log: Vec<Entry>) -> Result<(Replayer, Vec<Followed>), Divergence> {
    let mut replayer = Replayer::new(machine(code), Seq(1));
    replayer.push(log)?;
    let mut followed = Vec::new();
    assert_eq!(replayer.run(1 << 20, &mut followed)?, ReplayStop::Drained);
    Ok((replayer, followed))
}

/// The report of the first difference: entry, its position, the machine's, what the log expects, what it found.
fn report(code: &[u32], log: Vec<Entry>) -> (u64, u64, u64, String, String) {
    let Err(d) = follow(code, log) else { panic!("no divergence") };
    (d.seq.get(), d.entry_at.get(), d.machine_at.get(), d.expected, d.found)
}

fn expected(
    seq: u64,
    entry_at: u64,
    machine_at: u64,
    expected: &str,
    found: &str,
) -> (u64, u64, u64, String, String) {
    (seq, entry_at, machine_at, expected.to_owned(), found.to_owned())
}

#[test]
fn a_recording_is_followed_to_the_same_state() {
    let code = [&[READ_SEED, READ_HOSTID][..], &PRINT, &PASS].concat();
    let mut recorder = Recorder::new(machine(&code), Seq(1));
    recorder.digest_every(3);
    let mut outputs = Vec::new();
    while recorder.run(Icount(1000), &mut world(), &mut outputs) == RecordStop::Slice {}
    let log = entries(&mut recorder);
    let last = log.last().cloned().unwrap();
    let (mut replayer, followed) = follow(&code, log.clone()).unwrap();
    let digest = recorder.machine_mut().digest();
    assert_eq!((replayer.icount(), replayer.machine_mut().digest()), (Icount(10), digest));
    assert_eq!((replayer.done(), replayer.seq_next()), (last.seq, last.seq.next()));
    let agreed: Vec<u64> = followed
        .iter()
        .filter_map(|followed| match followed {
            Followed::Agreed { at, .. } => Some(at.get()),
            _ => None,
        })
        .collect();
    assert_eq!(agreed, [3, 6, 9, 10]);
    assert!(followed.contains(&Followed::Agreed { at: Icount(10), digest }));
    let (mark, output) = outputs.pop().unwrap();
    assert!(followed.contains(&Followed::Said { seq: mark, output }));
    assert_eq!(followed.last(), Some(&Followed::Control(last)));
    assert_eq!(replayer.into_parts().1, Seq(log.len() as u64 + 1));
}

#[test]
fn entries_go_on_where_the_last_ones_ended() {
    let mut replayer = Replayer::new(machine(&[LOOP]), Seq(5));
    assert_eq!((replayer.done(), replayer.seq_next(), replayer.last_entry()), (Seq(4), Seq(5), None));
    let wrong = |replayer: &mut Replayer, seq, at| {
        let divergence = replayer.push(vec![horizon(seq, at)]).unwrap_err();
        (divergence.expected, divergence.found)
    };
    let said = |expected: &str, found: &str| (expected.to_owned(), found.to_owned());
    assert_eq!(wrong(&mut replayer, 6, 0), said("entry 5 at 0 or later", "entry 6 at 0"));
    assert_eq!(wrong(&mut replayer, 4, 0), said("entry 5 at 0 or later", "entry 4 at 0"));
    replayer.push(vec![horizon(5, 10), horizon(6, 10)]).unwrap();
    assert_eq!((replayer.seq_next(), replayer.last_entry()), (Seq(7), Some(&horizon(6, 10))));
    assert_eq!(wrong(&mut replayer, 7, 9), said("entry 7 at 10 or later", "entry 7 at 9"));
    replayer.run(1000, &mut Vec::new()).unwrap();
    assert_eq!((replayer.done(), replayer.last_entry()), (Seq(6), None));
    assert_eq!(wrong(&mut replayer, 7, 9), said("entry 7 at 10 or later", "entry 7 at 9"));
    replayer.push(vec![horizon(7, 10)]).unwrap();
}

#[test]
fn a_budget_is_kept_to_the_instruction() {
    let mut replayer = Replayer::new(machine(&[LOOP]), Seq(1));
    replayer.push(vec![horizon(1, 50), horizon(2, 100)]).unwrap();
    let mut at = Vec::new();
    for budget in [0, 30, 20, 1, 48, 1] {
        let stop = replayer.run(budget, &mut Vec::new()).unwrap();
        at.push((stop, replayer.icount().get(), replayer.done().get()));
    }
    let (budget, drained) = (ReplayStop::Budget, ReplayStop::Drained);
    assert_eq!(
        at,
        [
            (budget, 0, 0),
            (budget, 30, 0),
            (budget, 50, 1),
            (budget, 51, 1),
            (budget, 99, 1),
            (drained, 100, 2)
        ]
    );
}

#[test]
#[should_panic(expected = "only at the end of its log")]
fn a_replayer_with_entries_is_not_taken_apart() {
    let mut replayer = Replayer::new(machine(&[LOOP]), Seq(1));
    replayer.push(vec![horizon(1, 50)]).unwrap();
    replayer.into_parts();
}

#[test]
fn an_output_is_what_its_mark_says() {
    let (_, followed) = follow(&SAID, vec![entry(1, 3, mark()), horizon(2, 9)]).unwrap();
    assert_eq!(followed, [Followed::Said { seq: Seq(1), output: printed() }]);
    let said = OutputMark::of(&printed());
    let console = format!("Console output 0 of 1 bytes, digest {:08x}", said.digest);
    for other in [
        OutputMark { seq: 1, ..said },
        OutputMark { len: 2, ..said },
        OutputMark { digest: !said.digest, ..said },
        OutputMark { channel: Channel::Net, ..said },
    ] {
        let log = vec![entry(1, 3, Event::Output(other))];
        let text = format!("{:?}", Event::Output(other));
        assert_eq!(report(&SAID, log), expected(1, 3, 3, &text, &console));
    }
    let text = format!("{:?}", mark());
    assert_eq!(report(&[LOOP], vec![entry(1, 3, mark())]), expected(1, 3, 3, &text, "silence"));
    // Without its mark, at its own position and behind it.
    let unmarked = "an output that nothing marks";
    let agreed = Event::Digest(Digest(5));
    let digest = format!("state digest {}", Digest(5));
    assert_eq!(
        report(&SAID, vec![entry(1, 3, agreed)]),
        expected(1, 3, 3, &digest, &format!("{unmarked}: {console}"))
    );
    let forever = [PRINT[0], PRINT[1], PRINT[2], 0xffdf_f06f];
    let (seq, _, at, _, found) = report(&forever, vec![horizon(1, 1 << 20)]);
    assert!((seq, found.as_str()) == (1, unmarked) && at < 1 << 20, "{found} at {at}");
}

/// Two outputs at one position, of which the log has marked only one.
#[test]
fn an_output_left_over_is_reported_by_what_comes_next() {
    let mut replayer = Replayer::new(machine(&SAID), Seq(1));
    replayer.unclaimed.push_back(printed());
    let found = format!("an output that nothing marks: {}", describe(&printed()));
    replayer.push(vec![horizon(1, 0)]).unwrap();
    let divergence = replayer.run(10, &mut Vec::new()).unwrap_err();
    assert_eq!((divergence.expected.as_str(), &divergence.found), ("Horizon", &found));
    let mut replayer = Replayer::new(machine(&SAID), Seq(1));
    replayer.unclaimed.push_back(printed());
    let divergence = replayer.run_to(Icount(2)).unwrap_err();
    assert_eq!((divergence.machine_at, divergence.found), (Icount(0), found));
}

#[test]
fn a_stop_that_the_log_does_not_explain_is_reported() {
    let cases: [(&[u32], u64, &str); 4] = [
        (&[NOP, READ_SEED, LOOP], 1, "the guest asks for Entropy"),
        (&[NOP, READ_HOSTID, LOOP], 1, "the guest asks for HostId"),
        (&[NOP, WFI, LOOP], 2, "the hart waits for an interrupt"),
        (&PASS, 4, "the guest ended: Pass"),
    ];
    for (code, at, found) in cases {
        let log = vec![horizon(1, 9)];
        assert_eq!(report(code, log), expected(1, 9, at, "instructions up to 9, then Horizon", found));
        assert!(follow(code, vec![horizon(1, at)]).is_ok(), "{found}: it is at that position");
    }
}

#[test]
fn a_digest_an_end_and_an_input_are_checked() {
    let mut digest = None;
    if let Ok((mut replayer, _)) = follow(&[LOOP], vec![horizon(1, 5)]) {
        digest = Some(replayer.machine_mut().digest());
    }
    let digest = digest.unwrap();
    let (_, followed) = follow(&[LOOP], vec![entry(1, 5, Event::Digest(digest))]).unwrap();
    assert_eq!(followed, [Followed::Agreed { at: Icount(5), digest }]);
    let other = Digest(digest.0 ^ 1);
    assert_eq!(
        report(&[LOOP], vec![entry(1, 5, Event::Digest(other))]),
        expected(1, 5, 5, &format!("state digest {other}"), &format!("{digest}"))
    );
    let end = |exit| vec![entry(1, 4, Event::End(exit))];
    let (_, followed) = follow(&PASS, end(Exit::Pass)).unwrap();
    assert_eq!(followed, end(Exit::Pass).into_iter().map(Followed::Control).collect::<Vec<_>>());
    assert_eq!(report(&PASS, end(Exit::Fail(3))), expected(1, 4, 4, "the end, Fail(3)", "Pass"));
    assert_eq!(report(&[LOOP], end(Exit::Pass)), expected(1, 4, 4, "the end, Pass", "a guest that goes on"));
    let answer = Input::Answer(Answer::HostId(7));
    assert!(
        follow(&[READ_HOSTID, LOOP], vec![entry(1, 0, Event::Input(answer.clone())), horizon(2, 9)]).is_ok()
    );
    let (seq, _, at, text, _) = report(&[LOOP], vec![entry(1, 3, Event::Input(answer.clone()))]);
    assert_eq!((seq, at, text), (1, 3, format!("{:?}", Event::Input(answer))));
}

#[test]
fn what_is_not_the_machines_business_is_passed_on() {
    let node = NodeId(1);
    let control = [
        Event::Generation { generation: Generation(2), node, why: Start::Takeover },
        Event::Joined { node },
        Event::Typed { session: 1, upto: 2 },
        Event::Left { node },
        Event::SwitchOver { to: Some(node) },
    ];
    let log: Vec<Entry> = (1..).zip(control).map(|(seq, event)| entry(seq, 5, event)).collect();
    let (_, followed) = follow(&[LOOP], log.clone()).unwrap();
    assert_eq!(followed, log.into_iter().map(Followed::Control).collect::<Vec<_>>());
}

/// Whoever replays on while there is more is stopped by no checkpoint, and whoever saves stands at each.
#[test]
fn a_run_comes_back_behind_each_checkpoint_and_the_log_goes_on() {
    let log = vec![
        entry(1, 5, Event::Checkpoint),
        entry(2, 5, Event::Checkpoint),
        horizon(3, 9),
        entry(4, 9, Event::Checkpoint),
    ];
    let mut replayer = Replayer::new(machine(&[LOOP]), Seq(1));
    replayer.push(log.clone()).unwrap();
    let mut runs = Vec::new();
    loop {
        let mut followed = Vec::new();
        let stop = replayer.run(1000, &mut followed).unwrap();
        runs.push((replayer.done(), replayer.icount(), followed));
        if stop == ReplayStop::Drained {
            break;
        }
    }
    let stands = |at: usize| (log[at].seq, log[at].at, vec![Followed::Control(log[at].clone())]);
    assert_eq!(runs, [stands(0), stands(1), stands(3)]);
}

#[test]
fn a_report_shows_the_hart_and_the_last_entries() {
    let log: Vec<Entry> = (1..=20).map(|n| horizon(n, n)).chain([horizon(21, 30)]).collect();
    let code = [vec![NOP; 20], vec![READ_SEED]].concat();
    let Err(divergence) = follow(&code, log) else { panic!("no divergence") };
    assert_eq!(divergence.context.len(), 5 + CONTEXT_ENTRIES);
    assert_eq!(divergence.context[0], "pc 0x80000050, Machine mode");
    assert!(divergence.context[1].starts_with("x0=0 x1=0 "), "{}", divergence.context[1]);
    assert!(divergence.context[4].starts_with("x24=0 ") && divergence.context[4].ends_with(" x31=0"));
    assert_eq!(
        (divergence.context[5].as_str(), divergence.context[12].as_str()),
        ("13 13 Horizon", "20 20 Horizon")
    );
}

#[test]
fn a_report_has_the_length_of_a_payload_and_not_the_payload() {
    let done = DiskDone { disk: 1, tag: 7, status: DiskStatus::Ok, data: vec![0; 512] };
    for (input, text) in [
        (Input::NetFrame { rx_seq: 3, frame: vec![0; 60] }, "network frame 3 of 60 bytes"),
        (Input::Console(vec![0; 4]), "4 bytes of console input"),
        (Input::Entropy(vec![0; 8]), "8 bytes of entropy"),
        (Input::DiskDone(done), "the end of disk 1's request 7, Ok, 512 bytes"),
        (Input::TimerDue { time: 9 }, "Input(TimerDue { time: 9 })"),
    ] {
        assert_eq!(describe_event(&Event::Input(input)), text);
    }
}

#[test]
fn disk_requests_are_passed_on_and_end_the_run_when_they_carry_much() {
    let write =
        |bytes| DiskRequest { disk: 0, tag: 1, op: DiskOp::Write { sector: 0, data: vec![1; bytes] } };
    let flush = DiskRequest { disk: 0, tag: 2, op: DiskOp::Flush };
    for (bytes, stop, at) in [
        (DISK_BYTES_A_RUN - size_of::<DiskRequest>(), ReplayStop::Drained, 20),
        (DISK_BYTES_A_RUN - size_of::<DiskRequest>() + 1, ReplayStop::Budget, 10),
    ] {
        let mut replayer = Replayer::new(machine(&[LOOP]), Seq(1));
        replayer.push(vec![horizon(1, 10), horizon(2, 20)]).unwrap();
        replayer.disk.extend([write(bytes), flush.clone()]);
        let mut followed = Vec::new();
        assert_eq!(replayer.run(1000, &mut followed), Ok(stop));
        assert_eq!(replayer.icount(), Icount(at));
        assert_eq!(followed, [Followed::Disk(write(bytes)), Followed::Disk(flush.clone())]);
        assert_eq!(replayer.run(1000, &mut Vec::new()), Ok(ReplayStop::Drained));
    }
}
