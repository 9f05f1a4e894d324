//! A small world for whole-machine tests: it answers, keeps time, types, and puts frames on the
//! wire, all from a seed, and writes down what it did, so that it can be done again.

use super::{Elf, Exit, Input, Machine, Output, Request, Stop};
use crate::base::{Digest, Icount, Prng};
use crate::cpu::{Answer, Question};
use crate::machine::BootOptions;
use crate::machine::config::RAM_BYTES_MIN;

/// The inputs for when the guest has nothing to do, one after the other.
pub type Script = Vec<Input>;

/// A run as written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Inputs and the positions at which they were delivered.
    pub inputs: Vec<(Icount, Input)>,
    pub console: Vec<u8>,
    pub frames: Vec<Vec<u8>>,
    pub end: Icount,
    pub exit: Option<Exit>,
    pub digest: Digest,
}

impl Recording {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
    }
}

pub fn boot(file: &[u8]) -> Machine {
    let options = BootOptions { ram_bytes: 4 * RAM_BYTES_MIN, ..BootOptions::default() };
    Machine::boot(&Elf::parse(file).expect("a good image"), &options).expect("it boots")
}

/// Collects outputs and checks their numbering.
struct Ear {
    console_from: u64,
    frames_from: u64,
    console: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

impl Ear {
    fn at(machine: &Machine) -> Self {
        let (console_from, frames_from) = (machine.console_bytes(), machine.tx_seq());
        Self { console_from, frames_from, console: Vec::new(), frames: Vec::new() }
    }

    fn listen(&mut self, machine: &mut Machine) {
        for output in machine.take_outputs() {
            match output {
                Output::Net { seq, frame } => {
                    self.frames.push(frame);
                    assert_eq!(seq, self.frames_from + self.frames.len() as u64);
                }
                Output::Console { offset, bytes } => {
                    assert_eq!(offset, self.console_from + self.console.len() as u64);
                    self.console.extend(bytes);
                }
            }
        }
        assert!(!machine.outputs_waiting());
    }
}

/// Runs the guest in a world made from `seed`, until it ends, waits for more than `script` holds,
/// or has executed `limit` instructions.
pub fn record(machine: &mut Machine, seed: u64, script: Script, limit: u64) -> Recording {
    let mut prng = Prng::new(seed);
    let mut script = script.into_iter();
    let mut ear = Ear::at(machine);
    let mut inputs = Vec::new();
    // The clock runs with the instructions, and skips what the guest sleeps.
    let mut skipped = 0;
    let mut rx_seq = 0;
    loop {
        let slice = machine.icount().plus(prng.between(1, 20_000)).min(Icount(limit));
        let stop = machine.run_until(slice);
        ear.listen(machine);
        let now = machine.icount().get() / 2 + skipped;
        let input = match stop {
            Stop::Halted(_) => break,
            Stop::Reached if machine.icount().get() >= limit => break,
            Stop::Ask(Question::Time) => Input::Answer(Answer::Time(now)),
            Stop::Ask(Question::Entropy) => Input::Answer(Answer::Entropy(prng.next_u64() as u16)),
            Stop::Ask(Question::HostId) => Input::Answer(Answer::HostId(0xabcd)),
            Stop::Ask(Question::WallClock) => Input::Answer(Answer::WallClock(now)),
            Stop::Reached | Stop::Service => {
                if let Some(&Request::Entropy { len }) = machine.requests().first() {
                    let mut bytes = vec![0; len as usize];
                    prng.fill(&mut bytes);
                    Input::Entropy(bytes)
                } else if machine.timer_deadline().is_some_and(|at| at <= now) {
                    Input::TimerDue { time: now }
                } else {
                    continue;
                }
            }
            Stop::Idle => match (script.next(), machine.timer_deadline()) {
                (Some(Input::NetFrame { frame, .. }), _) => {
                    assert!(machine.net_ready());
                    rx_seq += 1;
                    Input::NetFrame { rx_seq, frame }
                }
                (Some(input), _) => input,
                (None, Some(at)) => {
                    skipped += at.saturating_sub(now);
                    Input::TimerDue { time: at }
                }
                (None, None) => break,
            },
        };
        inputs.push((machine.icount(), input.clone()));
        machine.deliver(input).expect("the guest wants it");
    }
    finish(machine, inputs, ear)
}

fn finish(machine: &mut Machine, inputs: Vec<(Icount, Input)>, ear: Ear) -> Recording {
    Recording {
        inputs,
        console: ear.console,
        frames: ear.frames,
        end: machine.icount(),
        exit: machine.halted(),
        digest: machine.digest(),
    }
}

/// Does a recording again, in pieces of random length, with `between` called after each piece.
pub fn replay(
    mut machine: Machine,
    recording: &Recording,
    prng: &mut Prng,
    piece_max: u64,
    mut between: impl FnMut(&mut Prng, Machine) -> Machine,
) -> Recording {
    let mut ear = Ear::at(&machine);
    let goals = recording.inputs.iter().map(|(at, input)| (*at, Some(input)));
    for (goal, input) in goals.chain([(recording.end, None)]) {
        while machine.icount() < goal {
            let until = machine.icount().plus(prng.between(1, piece_max)).min(goal);
            match machine.run_until(until) {
                Stop::Reached | Stop::Service => {}
                Stop::Halted(_) if machine.icount() == goal => {}
                stop => panic!("{stop:?} at {}, on the way to {goal}", machine.icount()),
            }
            ear.listen(&mut machine);
            machine = between(prng, machine);
        }
        if let Some(input) = input {
            machine.deliver(input.clone()).expect("as recorded");
        }
    }
    finish(&mut machine, recording.inputs.clone(), ear)
}
