//! A machine that is live: it picks the positions and writes them down.

use super::pacer::{Correction, LOOK_INSTRUCTIONS, Look, Pacer};
use crate::base::{Digest, Icount, Seq};
use crate::cpu::{Answer, Question};
use crate::devices::disk::DiskRequest;
use crate::log::frame::FrameBuilder;
use crate::log::{Entry, Event, OutputMark};
use crate::machine::{Exit, Input, Machine, Output, Request, Stop, Undeliverable};

/// What the live world answers; each answer becomes a log entry.
pub trait Answers {
    /// The host's clock as the guest is to see it, in ticks of 100 ns. May stop or even step back: the
    /// machine never shows the guest a time before one that it has seen.
    fn ticks(&mut self) -> u64;
    /// Fills `bytes` with entropy.
    fn entropy(&mut self, bytes: &mut [u8]);
    /// The id of the host CPU that runs the guest.
    fn host_id(&mut self) -> u64;
    /// The host's time of day: nanoseconds since 1970 (UTC).
    fn wall_clock_ns(&mut self) -> u64;
}

/// Why [`Recorder::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStop {
    /// The limit is reached, or there is something to flush.
    Slice,
    /// The hart waits for an interrupt.
    Idle,
    /// The guest has ended, and its end is in the log.
    Halted(Exit),
}

/// A finished batch of entries, encoded: the same bytes on the wire and on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the first entry in it.
    pub first: Seq,
    /// Number of the last entry in it: once this one is acknowledged, so are all of them.
    pub last: Seq,
    /// The frame's encoding, as [`crate::log::frame`] lays it out.
    pub bytes: Vec<u8>,
}

/// A live machine and the log it writes.
pub struct Recorder {
    machine: Machine,
    /// The number that the next entry gets.
    seq_next: Seq,
    /// Where the last entry stands: a horizon is only worth an entry past it.
    recorded_to: Icount,
    frame: FrameBuilder,
    ended: bool,
    /// A digest is written at each multiple of this; 0 for none.
    digest_every: u64,
    /// The next of these positions.
    digest_due: Icount,
    /// Where the last digest was written, and what it was.
    digest_last: Option<(Icount, Digest)>,
    pacer: Pacer,
}

/// How many instructions lie between two digests of the state by default: some six
/// digests a second of computing, each of which costs a pass over the pages written in between.
pub const DIGEST_EVERY_DEFAULT: u64 = 50_000_000;

/// A run comes back for a flush once this much log is waiting.
pub const FRAME_BYTES_SOFT: usize = 48 * 1024;

impl Recorder {
    /// Takes a machine live; its next entry is number `seq_next`.
    pub fn new(mut machine: Machine, seq_next: Seq) -> Self {
        machine.derive_time_before(Icount::ZERO);
        let recorded_to = machine.icount();
        let ended = machine.halted().is_some();
        Self {
            pacer: Pacer::new(machine.clock_rate()),
            machine,
            seq_next,
            recorded_to,
            frame: FrameBuilder::new(),
            ended,
            digest_every: 0,
            digest_due: Icount::MAX,
            digest_last: None,
        }
    }

    /// From here on a digest is written at exactly each multiple of `instructions`; 0 for none.
    /// So two recordings of one history, made by whichever node, have digests to compare at the same
    /// positions.
    pub fn digest_every(&mut self, instructions: u64) {
        self.digest_every = instructions;
        let next =
            self.icount().get().checked_div(instructions).and_then(|n| (n + 1).checked_mul(instructions));
        self.digest_due = next.map_or(Icount::MAX, Icount);
    }

    /// Where the last digest was written, and what it was.
    pub fn digest_last(&self) -> Option<(Icount, Digest)> {
        self.digest_last
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine for digests and snapshots; the log must be flushed and the outputs taken first.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Gives the machine up, together with the number that the next entry would have had.
    pub fn into_parts(self) -> (Machine, Seq) {
        assert!(self.frame.is_empty(), "entries must be flushed before the recorder is taken apart");
        (self.machine, self.seq_next)
    }

    /// How fast the guest is seen to run: as a rate of its clock ([`Machine::clock_rate`]).
    pub fn pace(&self) -> u16 {
        self.pacer.rate()
    }

    /// The machine's position, which is what the next entry is recorded at.
    pub fn icount(&self) -> Icount {
        self.machine.icount()
    }

    /// The number that the next entry gets.
    pub fn seq_next(&self) -> Seq {
        self.seq_next
    }

    /// The entry that determines everything up to here: the last one, or the horizon that a flush writes next.
    pub fn determined_by(&self) -> Seq {
        let is_behind = self.machine.icount() > self.recorded_to;
        if is_behind { self.seq_next } else { Seq(self.seq_next.get() - 1) }
    }

    /// Writes `event` down at the current position.
    pub fn record(&mut self, event: Event) -> Seq {
        let seq = self.seq_next;
        let at = self.machine.icount();
        self.frame.push(&Entry { seq, at, event });
        self.seq_next = seq.next();
        self.recorded_to = at;
        seq
    }

    /// Delivers `input` here and now, and writes it down.
    pub fn deliver(&mut self, input: Input) -> Result<Seq, Undeliverable> {
        let at = self.machine.icount();
        self.machine.deliver(input.clone())?;
        let seq = self.seq_next;
        self.frame.push(&Entry { seq, at, event: Event::Input(input) });
        self.seq_next = seq.next();
        self.recorded_to = at;
        Ok(seq)
    }

    /// Runs to `limit` at most. Answers questions and requests from `world`, makes due timers due,
    /// and appends each output with the number of its mark to `outputs`. Comes back when disk requests
    /// wait: see [`Recorder::take_disk_requests`].
    pub fn run<A: Answers>(
        &mut self,
        limit: Icount,
        world: &mut A,
        outputs: &mut Vec<(Seq, Output)>,
    ) -> RecordStop {
        let host = world.ticks();
        self.pacer.begins(self.icount(), host);
        self.look(host, false);
        let stop = self.run_to(limit.min(self.digest_due), world, outputs);
        if self.icount() == self.digest_due {
            // Its marks come first: a digest is of a machine that has nothing left to say.
            self.take_outputs(outputs);
            if !self.ended {
                self.record_digest();
            }
            self.digest_every(self.digest_every);
        }
        stop
    }

    fn run_to<A: Answers>(
        &mut self,
        limit: Icount,
        world: &mut A,
        outputs: &mut Vec<(Seq, Output)>,
    ) -> RecordStop {
        loop {
            match self.machine.run_until(limit) {
                Stop::Reached => {
                    self.take_outputs(outputs);
                    return RecordStop::Slice;
                }
                Stop::Ask(question) => {
                    let answer = match question {
                        Question::Time => {
                            self.look(world.ticks(), true);
                            if self.frame.bytes_len() >= FRAME_BYTES_SOFT {
                                self.take_outputs(outputs);
                                return RecordStop::Slice;
                            }
                            continue;
                        }
                        Question::Entropy => {
                            let mut bytes = [0; 2];
                            world.entropy(&mut bytes);
                            Answer::Entropy(u16::from_le_bytes(bytes))
                        }
                        Question::HostId => Answer::HostId(world.host_id()),
                        Question::WallClock => Answer::WallClock(world.wall_clock_ns()),
                    };
                    self.deliver(Input::Answer(answer)).expect("the machine has just asked this question");
                    if self.frame.bytes_len() >= FRAME_BYTES_SOFT {
                        self.take_outputs(outputs);
                        return RecordStop::Slice;
                    }
                }
                Stop::Service => {
                    let said = self.take_outputs(outputs);
                    self.serve(world);
                    // A guest may ask for entropy without end; a disk had better begin now.
                    if said
                        || self.machine.disk_requests_waiting()
                        || self.frame.bytes_len() >= FRAME_BYTES_SOFT
                    {
                        return RecordStop::Slice;
                    }
                }
                Stop::Idle => {
                    self.pacer.rests();
                    self.take_outputs(outputs);
                    return RecordStop::Idle;
                }
                Stop::Halted(exit) => {
                    self.take_outputs(outputs);
                    if !self.ended {
                        self.ended = true;
                        self.record_digest();
                        self.record(Event::End(exit));
                    }
                    return RecordStop::Halted(exit);
                }
            }
        }
    }

    /// Compares the guest's clock with the host's, and writes down what has to change; `reads` when the next
    /// instruction reads the time. Then the guest's own clock answers for the next instructions.
    fn look(&mut self, host: u64, reads: bool) {
        if self.machine.halted().is_some() {
            return;
        }
        let (machine, at) = (&self.machine, self.machine.icount());
        let (guest, rate, deadline) = (machine.time(), machine.clock_rate(), machine.timer_deadline());
        let input = self.pacer.correction(Look { guest, rate, host, deadline, reads }).map(|correction| {
            match correction {
                Correction::TimerDue { time } => Input::TimerDue { time },
                Correction::Read { time } => Input::Answer(Answer::Time(time)),
                Correction::Clock { time, rate } => Input::Clock { time, rate },
            }
        });
        if let Some(input) = input {
            self.deliver(input).expect("a guest that has not ended can take the time that it asks for");
        }
        // A clock that is not read may be behind by any amount: the first read looks.
        self.machine.derive_time_before(if reads { at.plus(LOOK_INSTRUCTIONS) } else { at });
    }

    fn serve<A: Answers>(&mut self, world: &mut A) {
        for request in self.machine.requests() {
            match request {
                Request::Entropy { len } => {
                    let mut bytes = vec![0; len as usize];
                    world.entropy(&mut bytes);
                    self.deliver(Input::Entropy(bytes)).expect("the machine has just asked for entropy");
                }
            }
        }
    }

    /// Repeats the requests to the host that were in flight when the last recorder died. Returns all that is
    /// in flight at the disks: to be issued again, too.
    pub fn reissue<A: Answers>(&mut self, world: &mut A) -> Vec<DiskRequest> {
        self.serve(world);
        self.machine.take_disk_requests();
        self.machine.disk_in_flight()
    }

    /// Takes what the guest has asked of its disks since the last time, in order. The machine does not
    /// run until that is done.
    pub fn take_disk_requests(&mut self) -> Vec<DiskRequest> {
        self.machine.take_disk_requests()
    }

    /// Takes the machine's outputs, and writes a mark for each; true if there was any.
    pub fn take_outputs(&mut self, outputs: &mut Vec<(Seq, Output)>) -> bool {
        if !self.machine.outputs_waiting() {
            return false;
        }
        for output in self.machine.take_outputs() {
            let seq = self.record(Event::Output(OutputMark::of(&output)));
            outputs.push((seq, output));
        }
        true
    }

    /// Writes the digest of the state here, for a replayer to compare; outputs must be taken. Besides the
    /// positions of [`Recorder::digest_every`]: at an end, or when a caller waits for one.
    pub fn record_digest(&mut self) {
        let digest = self.machine.digest();
        self.record(Event::Digest(digest));
        self.digest_last = Some((self.icount(), digest));
    }

    /// Ends the batch: everything recorded since the last, with a horizon when the machine is past
    /// its last entry and `horizon` asks for one.
    pub fn flush(&mut self, horizon: bool) -> Option<Frame> {
        if horizon && self.machine.icount() > self.recorded_to {
            self.record(Event::Horizon);
        }
        let (first, last) = (self.frame.first_seq()?, self.frame.last_seq()?);
        Some(Frame { first, last, bytes: self.frame.finish() })
    }

    /// How long the frame would be if it were flushed now, in bytes; 0 when no entry waits.
    pub fn log_bytes_waiting(&self) -> usize {
        self.frame.bytes_len()
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
