//! A machine that follows: it obeys the positions that the log names, and checks every claim.

use std::collections::VecDeque;

use super::divergence::Divergence;
use crate::base::{Digest, Icount, Sabotage, Seq};
use crate::devices::disk::{DiskOp, DiskRequest};
use crate::log::{Entry, Event, OutputMark};
use crate::machine::{Exit, Machine, Output, Stop};

/// Why [`Replayer::run`] came back without a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStop {
    /// There is more to replay: the instruction budget is used up, or something is to be done before.
    Budget,
    /// Every entry given so far has been obeyed.
    Drained,
}

/// The effects of the replayed entries for the replayer's caller, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// An output of the machine, as the mark `seq` requires.
    Said {
        /// The mark's entry.
        seq: Seq,
        /// The output as the machine made it again; the log has only its length and digest.
        output: Output,
    },
    /// The machine wrote to a disk, or flushed one: a caller that has a disk of its own does the same. Reads
    /// are not reported; what they read is in the log.
    Disk(DiskRequest),
    /// The state's digest is the recorder's.
    Agreed {
        /// The position of the digest's entry.
        at: Icount,
        /// The state's digest there, computed here.
        digest: Digest,
    },
    /// An entry that is not the machine's business: generations, joins, switch-overs, the end.
    Control(Entry),
}

/// A run comes back once the disk requests reported by it carry this much.
const DISK_BYTES_A_RUN: usize = 1 << 20;

/// How many entries a divergence report looks back.
const CONTEXT_ENTRIES: usize = 8;

/// A machine that follows a log.
pub struct Replayer {
    machine: Machine,
    queue: VecDeque<Entry>,
    /// The number that the next entry given must have.
    seq_next: Seq,
    /// Outputs taken at this position and not yet claimed by a mark.
    unclaimed: VecDeque<Output>,
    /// Writes and flushes that have not been reported.
    disk: Vec<DiskRequest>,
    recent: VecDeque<Entry>,
    done: Seq,
}

impl Replayer {
    /// Follows from `machine`'s state on; the first entry to come is number `seq_next`.
    pub fn new(machine: Machine, seq_next: Seq) -> Self {
        Self {
            machine,
            queue: VecDeque::new(),
            seq_next,
            unclaimed: VecDeque::new(),
            disk: Vec::new(),
            recent: VecDeque::new(),
            done: Seq(seq_next.get().saturating_sub(1)),
        }
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine for digests and snapshots, or to be exchanged for one in the same state. Anything else that changes
    /// its state makes the replay diverge.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The machine's position: at or before that of the next entry to obey.
    pub fn icount(&self) -> Icount {
        self.machine.icount()
    }

    /// The number that the next entry to be given must have.
    pub fn seq_next(&self) -> Seq {
        self.seq_next
    }

    /// The last entry obeyed.
    pub fn done(&self) -> Seq {
        self.done
    }

    /// The last entry that waits to be obeyed.
    pub fn last_entry(&self) -> Option<&Entry> {
        self.queue.back()
    }

    /// Takes entries to follow. They must go on where the last ones ended: a hole would be a
    /// silent divergence.
    pub fn push(&mut self, entries: Vec<Entry>) -> Result<(), Divergence> {
        for entry in entries {
            let floor = self.queue.back().map_or(self.machine.icount(), |last| last.at);
            if entry.seq != self.seq_next || entry.at < floor {
                let expected = format!("entry {} at {floor} or later", self.seq_next);
                let found = format!("entry {} at {}", entry.seq, entry.at);
                return Err(self.diverged(&entry, expected, found));
            }
            self.seq_next = entry.seq.next();
            self.queue.push_back(entry);
        }
        Ok(())
    }

    /// Obeys entries until `budget` instructions are spent or there are none left; what they meant
    /// is appended to `followed`. Comes back behind an [`Event::Checkpoint`], which is the last of `followed` then: the
    /// machine is in the state to save. After a divergence the replayer must not be run again.
    pub fn run(&mut self, budget: u64, followed: &mut Vec<Followed>) -> Result<ReplayStop, Divergence> {
        let limit = self.machine.icount().plus(budget);
        let mut disk_bytes = 0;
        while let Some(at) = self.queue.front().map(|entry| entry.at) {
            if disk_bytes > DISK_BYTES_A_RUN {
                return Ok(ReplayStop::Budget);
            }
            if self.machine.icount() < at {
                let ran = self.run_to(at.min(limit));
                disk_bytes += self.tell_disk(followed);
                ran?;
                if self.machine.icount() < at {
                    return Ok(ReplayStop::Budget);
                }
            }
            let entry = self.queue.pop_front().expect("the queue has a front");
            self.obey(&entry, followed)?;
            disk_bytes += self.tell_disk(followed);
            self.done = entry.seq;
            if self.recent.len() == CONTEXT_ENTRIES {
                self.recent.pop_front();
            }
            let is_checkpoint = entry.event == Event::Checkpoint;
            self.recent.push_back(entry);
            if is_checkpoint && !self.queue.is_empty() {
                return Ok(ReplayStop::Budget);
            }
        }
        Ok(ReplayStop::Drained)
    }

    /// Runs to exactly `at`, past which no entry given so far may lie behind; every stop on the way
    /// is one that the log does not explain.
    pub fn run_to(&mut self, at: Icount) -> Result<(), Divergence> {
        // Whatever there is to say about the time is in the log.
        self.machine.derive_time_before(Icount::MAX);
        loop {
            let before = self.machine.icount();
            if let Some(output) = self.unclaimed.front() {
                return Err(self.unexplained(format!("an output that nothing marks: {}", describe(output))));
            }
            match self.machine.run_until(at) {
                Stop::Service if self.take_disk_requests() => {}
                Stop::Reached => return Ok(()),
                _ if self.machine.icount() == at => return Ok(()),
                Stop::Service if self.machine.icount() > before => {}
                // A request that the entries at this position have answered already.
                Stop::Service if !self.machine.outputs_waiting() => {}
                Stop::Service => return Err(self.unexplained("an output that nothing marks".into())),
                Stop::Ask(question) => {
                    return Err(self.unexplained(format!("the guest asks for {question:?}")));
                }
                Stop::Idle => return Err(self.unexplained("the hart waits for an interrupt".into())),
                Stop::Halted(exit) => return Err(self.unexplained(format!("the guest ended: {exit:?}"))),
            }
        }
    }

    /// Takes what the machine asks of its disks; true if that was anything.
    fn take_disk_requests(&mut self) -> bool {
        let requests = self.machine.take_disk_requests();
        let any = !requests.is_empty();
        self.disk.extend(requests.into_iter().filter(|request| !matches!(request.op, DiskOp::Read { .. })));
        any
    }

    /// Passes on what was taken; answers with the bytes that it carries.
    fn tell_disk(&mut self, followed: &mut Vec<Followed>) -> usize {
        let bytes = |request: &DiskRequest| match &request.op {
            DiskOp::Write { data, .. } => data.len(),
            DiskOp::Read { .. } | DiskOp::Flush => size_of::<DiskRequest>(),
        };
        let sum = self.disk.iter().map(bytes).sum();
        followed.extend(self.disk.drain(..).map(Followed::Disk));
        sum
    }

    fn obey(&mut self, entry: &Entry, followed: &mut Vec<Followed>) -> Result<(), Divergence> {
        if !matches!(entry.event, Event::Output(_))
            && let Some(output) = self.unclaimed.front()
        {
            let found = format!("an output that nothing marks: {}", describe(output));
            return Err(self.diverged(entry, describe_event(&entry.event), found));
        }
        match &entry.event {
            Event::Input(input) => {
                if let Err(error) = self.machine.deliver(input.clone()) {
                    return Err(self.diverged(entry, describe_event(&entry.event), error.to_string()));
                }
                // The end of one request may begin others, whose own ends may come next.
                self.take_disk_requests();
            }
            Event::Output(mark) => {
                if self.unclaimed.is_empty() {
                    self.unclaimed.extend(self.machine.take_outputs());
                }
                let Some(output) = self.unclaimed.pop_front() else {
                    return Err(self.diverged(entry, describe_event(&entry.event), "silence".into()));
                };
                if OutputMark::of(&output) != *mark {
                    return Err(self.diverged(entry, describe_event(&entry.event), describe(&output)));
                }
                followed.push(Followed::Said { seq: entry.seq, output });
            }
            Event::Horizon => {}
            Event::Digest(expected) => {
                if let Some(output) = self.machine.take_outputs().first() {
                    let found = format!("an output that nothing marks: {}", describe(output));
                    return Err(self.diverged(entry, format!("state digest {expected}"), found));
                }
                let found = self.machine.digest();
                if found != *expected && !Sabotage::DigestUnchecked.is_on() {
                    return Err(self.diverged(entry, format!("state digest {expected}"), format!("{found}")));
                }
                followed.push(Followed::Agreed { at: entry.at, digest: found });
            }
            Event::End(expected) => {
                // The end shows only when the machine is asked to move; it must not.
                let found = self.machine.halted();
                if found != Some(*expected) {
                    let found = found.map_or("a guest that goes on".into(), |exit: Exit| format!("{exit:?}"));
                    return Err(self.diverged(entry, format!("the end, {expected:?}"), found));
                }
                followed.push(Followed::Control(entry.clone()));
            }
            Event::Checkpoint
            | Event::Generation { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Typed { .. }
            | Event::SwitchOver { .. } => {
                followed.push(Followed::Control(entry.clone()));
            }
        }
        Ok(())
    }

    /// Gives the machine up where it stands, whatever there is still to obey.
    pub fn give_up(self) -> Machine {
        self.machine
    }

    /// Gives the machine up at the end of everything it was given, with the next entry's number.
    pub fn into_parts(self) -> (Machine, Seq) {
        assert!(self.queue.is_empty(), "a replayer is taken apart only at the end of its log");
        (self.machine, self.seq_next)
    }

    fn unexplained(&self, found: String) -> Divergence {
        let entry = self.queue.front().cloned().unwrap_or(Entry {
            seq: self.seq_next,
            at: self.machine.icount(),
            event: Event::Horizon,
        });
        let expected = format!("instructions up to {}, then {}", entry.at, describe_event(&entry.event));
        self.diverged(&entry, expected, found)
    }

    fn diverged(&self, entry: &Entry, expected: String, found: String) -> Divergence {
        let mut context = summary(&self.machine);
        context
            .extend(self.recent.iter().map(|e| format!("{} {} {}", e.seq, e.at, describe_event(&e.event))));
        Divergence {
            seq: entry.seq,
            entry_at: entry.at,
            machine_at: self.machine.icount(),
            expected,
            found,
            context,
        }
    }
}

/// The hart as it stands, in a few lines.
fn summary(machine: &Machine) -> Vec<String> {
    let (hart, config) = (machine.hart(), machine.config());
    let place =
        config.symbol_at(hart.pc()).map_or(String::new(), |(s, into)| format!(" ({}+{into:#x})", s.name));
    let mut lines = vec![format!("pc {:#x}{place}, {:?} mode", hart.pc(), hart.privilege())];
    for first in (0..32).step_by(8) {
        let registers: Vec<String> = (first..first + 8).map(|n| format!("x{n}={:x}", hart.x(n))).collect();
        lines.push(registers.join(" "));
    }
    lines
}

/// A short text: payloads by length only, so that a report stays readable and bounded.
fn describe_event(event: &Event) -> String {
    use crate::machine::Input;
    match event {
        Event::Input(Input::NetFrame { rx_seq, frame }) => {
            format!("network frame {rx_seq} of {} bytes", frame.len())
        }
        Event::Input(Input::Console(bytes)) => format!("{} bytes of console input", bytes.len()),
        Event::Input(Input::Entropy(bytes)) => format!("{} bytes of entropy", bytes.len()),
        Event::Input(Input::DiskDone(done)) => {
            let (disk, tag, status, len) = (done.disk, done.tag, done.status, done.data.len());
            format!("the end of disk {disk}'s request {tag}, {status:?}, {len} bytes")
        }
        other => format!("{other:?}"),
    }
}

fn describe(output: &Output) -> String {
    let mark = OutputMark::of(output);
    format!("{:?} output {} of {} bytes, digest {:08x}", mark.channel, mark.seq, mark.len, mark.digest)
}

#[cfg(test)]
#[path = "replayer_tests.rs"]
mod tests;
