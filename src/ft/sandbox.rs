//! A guest that is tried out: a second machine that goes on as after a takeover, while the first one's guest is elsewhere.
//!
//! ```text
//! state --> machine --> live: time, entropy, timers as after a takeover --> for a while --> Tried
//!                          | frames, console bytes: counted, and gone
//!                          | disks: reads from the replica as it was, writes into memory that goes with the machine
//! ```
//!
//! Promises: a sandbox has no output, and it is the only owner of its machine: whatever the guest does in it is gone with
//! it. What it keeps is bounded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::clock::GuestClock;
use super::disk::{REHEARSAL_SECTORS_MAX, overlay};
use super::primary::Live;
use super::settings::Settings;
use super::world::{Pace, World};
use crate::base::{Icount, Seq};
use crate::devices::disk::{DiskDone, DiskOp, DiskRequest, DiskStatus, SECTOR_BYTES};
use crate::log::Event;
use crate::log::frame::decode_frame;
use crate::machine::{Exit, Input, Machine, Output};
use crate::replay::recorder::FRAME_BYTES_SOFT;
use crate::replay::{RecordStop, Recorder};

/// Reads `bytes` bytes of a disk from a sector on: as the disk was where the state was taken, or why that is not known.
pub type ReadDisk<'a> = dyn FnMut(u8, u64, u32) -> Result<Vec<u8>, String> + 'a;

/// What a guest did in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// How long it was live, in milliseconds.
    pub ran_ms: u64,
    /// Positions that it passed.
    pub instructions: u64,
    /// How often a timer of it was due.
    pub timers: u64,
    /// Frames that would have been sent.
    pub frames: u64,
    /// Whether it answered the question that it was asked in a frame; none when it could not be asked.
    pub answered: Option<bool>,
    /// Console bytes that would have been printed.
    pub console_bytes: u64,
    /// Disk requests that it saw complete.
    pub disk_reads: u64,
    /// As above; flushes are not among them.
    pub disk_writes: u64,
    /// Why the guest does not go on; none if it does.
    pub why: Option<String>,
}

/// See the module.
pub struct Sandbox {
    recorder: Recorder,
    clock: GuestClock,
    settings: Settings,
    began_ns: u64,
    from: Icount,
    ended: Option<Exit>,
    outputs: Vec<(Seq, Output)>,
    /// Requests that wait to be carried out, in order.
    asked: Vec<DiskRequest>,
    /// Sectors that the guest has written here.
    written: BTreeMap<(u8, u64), Box<[u8]>>,
    /// Why nothing more is to be learned here.
    failed: Option<String>,
    /// The frame that answers the one that was put to the guest begins like this.
    awaits: Option<Vec<u8>>,
    tried: Tried,
}

impl Sandbox {
    /// Takes `machine` live as a takeover would: its clock goes on from `clock`, and from no time before one that it has
    /// seen; what it has asked for is asked for again.
    pub fn new<W: World>(machine: Machine, clock: GuestClock, settings: Settings, world: &mut W) -> Self {
        let (from, began_ns) = (machine.icount(), world.now_ns());
        let clock = GuestClock::starting(began_ns, clock.ticks(began_ns).max(machine.time()));
        let mut recorder = Recorder::new(machine, Seq(1));
        let asked = recorder.reissue(&mut Live { clock, world });
        let tried = Tried {
            ran_ms: 0,
            instructions: 0,
            timers: 0,
            frames: 0,
            answered: None,
            console_bytes: 0,
            disk_reads: 0,
            disk_writes: 0,
            why: None,
        };
        Self {
            recorder,
            clock,
            settings,
            began_ns,
            from,
            ended: None,
            outputs: Vec::new(),
            asked,
            written: BTreeMap::new(),
            failed: None,
            awaits: None,
            tried,
        }
    }

    /// Puts `frame` to the guest once, as soon as it can receive one: it may answer with one that begins with `answer`.
    /// It may have another address than it is asked for: no answer proves nothing.
    pub fn ask(&mut self, frame: &[u8], answer: &[u8]) {
        let machine = self.recorder.machine();
        if self.awaits.is_some() || !machine.net_ready() {
            return;
        }
        let (rx_seq, frame) = (machine.rx_seq() + 1, frame.to_vec());
        if self.recorder.deliver(Input::NetFrame { rx_seq, frame }).is_ok() {
            (self.awaits, self.tried.answered) = (Some(answer.to_vec()), Some(false));
        }
    }

    /// Whether there is nothing left to wait for.
    pub fn is_over(&self) -> bool {
        self.ended.is_some() || self.failed.is_some() || self.recorder.machine().hart().stuck().is_some()
    }

    /// Runs the guest for a slice; when it wants to run again.
    pub fn run<W: World>(&mut self, world: &mut W, read: &mut ReadDisk<'_>) -> Pace {
        self.serve_disks(read);
        let (recorder, settings) = (&mut self.recorder, &self.settings);
        let slice = settings.slice(recorder.pace(), recorder.machine().clock_rate(), false);
        let limit = recorder.icount().plus(slice);
        let stop = recorder.run(limit, &mut Live { clock: self.clock, world }, &mut self.outputs);
        self.asked.append(&mut recorder.take_disk_requests());
        self.count_outputs();
        self.count_log();
        match stop {
            RecordStop::Slice => Pace::Now,
            RecordStop::Idle if !self.asked.is_empty() => Pace::Now,
            RecordStop::Idle => {
                let deadline = self.recorder.machine().timer_deadline();
                Pace::At(deadline.map_or(u64::MAX, |ticks| self.clock.when(ticks)))
            }
            RecordStop::Halted(exit) => {
                self.ended = Some(exit);
                Pace::At(u64::MAX)
            }
        }
    }

    /// Counts what would have left: it leaves nowhere.
    fn count_outputs(&mut self) {
        for (_, output) in self.outputs.drain(..) {
            match output {
                Output::Net { frame, .. } => {
                    self.tried.frames += 1;
                    if self.awaits.as_ref().is_some_and(|answer| frame.starts_with(answer)) {
                        self.tried.answered = Some(true);
                    }
                }
                Output::Console { bytes, .. } => self.tried.console_bytes += bytes.len() as u64,
            }
        }
    }

    /// Counts what the log would have told of, and drops it.
    fn count_log(&mut self) {
        let Some(frame) = self.recorder.flush(false) else { return };
        let (entries, _) = decode_frame(&frame.bytes).expect("a recorder's frame decodes");
        let is_timer = |event: &Event| matches!(event, Event::Input(Input::TimerDue { .. }));
        self.tried.timers += entries.iter().filter(|entry| is_timer(&entry.event)).count() as u64;
    }

    /// Carries out what the guest has asked of its disks.
    fn serve_disks(&mut self, read: &mut ReadDisk<'_>) {
        for DiskRequest { disk, tag, op } in std::mem::take(&mut self.asked) {
            let data = match op {
                DiskOp::Read { sector, bytes } => match read(disk, sector, bytes) {
                    Ok(data) if data.len() == bytes as usize => self.overlaid(disk, sector, data),
                    Ok(data) => return self.fail(format!("disk {disk} has {} bytes of {bytes}", data.len())),
                    Err(why) => return self.fail(why),
                },
                DiskOp::Write { sector, data } => {
                    let sectors = data.chunks(SECTOR_BYTES as usize);
                    self.written.extend((sector..).map(|n| (disk, n)).zip(sectors.map(Box::from)));
                    if self.written.len() > REHEARSAL_SECTORS_MAX {
                        let mib = (REHEARSAL_SECTORS_MAX as u64 * SECTOR_BYTES) >> 20;
                        return self.fail(format!("the guest writes more than {mib} MiB to its disks"));
                    }
                    self.tried.disk_writes += 1;
                    Vec::new()
                }
                DiskOp::Flush => Vec::new(),
            };
            self.tried.disk_reads += u64::from(!data.is_empty());
            let done = DiskDone { disk, tag, status: DiskStatus::Ok, data };
            if let Err(error) = self.recorder.deliver(Input::DiskDone(done)) {
                return self.fail(format!("the guest cannot be told that disk {disk} is done: {error}"));
            }
            // What was read is in the log that nobody gets; a frame has its bounds all the same.
            if self.recorder.log_bytes_waiting() >= FRAME_BYTES_SOFT {
                self.count_log();
            }
        }
        // The end of one request may begin others.
        self.asked.append(&mut self.recorder.take_disk_requests());
    }

    /// What was read, with what the guest has written since.
    fn overlaid(&self, disk: u8, sector: u64, mut data: Vec<u8>) -> Vec<u8> {
        let sectors = data.len() as u64 / SECTOR_BYTES;
        let written = self.written.range((disk, sector)..(disk, sector + sectors));
        overlay(&mut data, sector, written.map(|((_, at), bytes)| (*at, &**bytes)));
        data
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    /// What came of it, at `now_ns`.
    ///
    /// # Errors
    /// The sandbox has come to a limit of its own, which says nothing of a takeover.
    pub fn tried(self, now_ns: u64) -> Result<Tried, String> {
        let machine = self.recorder.machine();
        let why = match (self.ended, machine.hart().stuck(), self.failed) {
            (Some(exit), ..) => Some(format!("the guest ended at {} with {exit}", machine.icount())),
            (_, Some(stuck), _) => Some(format!("the guest only traps since {}: {}", stuck.at, stuck.cause)),
            (None, None, Some(limit)) => return Err(limit),
            (None, None, None) => None,
        };
        Ok(Tried {
            ran_ms: now_ns.saturating_sub(self.began_ns) / 1_000_000,
            instructions: machine.icount().since(self.from),
            why,
            ..self.tried
        })
    }
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
mod tests;
