//! Rehearsals: a backup's state is forked and tried out in a sandbox, while the backup follows on.
//!
//! ```text
//! asked --> waits for the machine --> its state is drawn --> live in the sandbox --> answered
//!                 ^                        |
//!                 +-- a checkpoint comes --+      a takeover, an end, the asker's leave: given up, from anywhere
//! ```
//!
//! Promises: one at a time; a rehearsal sends nothing but its answer and changes nothing of the node; a checkpoint and a
//! takeover do not wait for it.

use serde::Serialize;

use super::clock::GuestClock;
use super::command::Command;
use super::common::Common;
use super::disk::{DiskJob, Work, Worked};
use super::drawing::{Drawing, Drawn};
use super::link::LinkId;
use super::message::Message;
use super::sandbox::Tried;
use super::world::World;
use crate::base::{Icount, Sabotage};
use crate::machine::Machine;
use crate::mem::Extent;

/// How long a guest may be tried, in seconds.
pub const SECONDS_MAX: u32 = 60;
/// How often a rehearsal that waits for the machine looks at it.
const LOOK_NS: u64 = 5_000_000;

/// What came of a fork, by the host's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// When the second machine was live.
    pub live_ns: u64,
    /// What its guest did.
    pub tried: Tried,
}

/// The answer to the asker.
#[derive(Serialize)]
struct Answer<'a> {
    /// Where the state was forked.
    forked_at: Icount,
    /// How long the machine stood still for that.
    pause_ms: f64,
    /// From the question until the second machine was live.
    live_after_ms: u64,
    goes_on: bool,
    #[serde(flatten)]
    tried: &'a Tried,
}

#[derive(Debug)]
enum Stage {
    /// For the machine.
    Waiting,
    Drawing {
        drawing: Drawing,
        forked: Forked,
        /// The last piece was given.
        is_drawn: bool,
    },
    Live(Forked),
}

/// Where the state was forked, and for how long the machine stood still for that.
#[derive(Clone, Copy, Debug)]
struct Forked {
    at: Icount,
    pause_ns: u64,
}

#[derive(Debug)]
struct Rehearsal {
    asked_by: LinkId,
    asked_ns: u64,
    seconds: u32,
    stage: Stage,
}

/// The rehearsals of a node.
#[derive(Debug, Default)]
pub(super) struct Rehearsals {
    under_way: Option<Rehearsal>,
    /// Counts the forks: what is heard of an older one is dropped.
    forks: u64,
    /// Disks of which the content at the fork is kept.
    kept: Vec<u8>,
    /// What they were asked for that, also for an earlier rehearsal, and have not answered.
    jobs: usize,
}

impl Rehearsals {
    /// A tool wants a rehearsal of a node that may take over.
    pub fn ask(&mut self, common: &mut Common, asked_by: LinkId, seconds: u32) {
        if self.under_way.is_some() {
            return common.refuse(asked_by, "a rehearsal is under way already; ask again when it has ended");
        }
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return common.refuse(asked_by, format!("a rehearsal takes 1 to {SECONDS_MAX} seconds"));
        }
        let (stage, asked_ns) = (Stage::Waiting, common.now_ns);
        self.under_way = Some(Rehearsal { asked_by, asked_ns, seconds, stage });
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Goes on with the one under way; after a takeover here and now the guest's clock would be `clock`. True when the
    /// machine must not move before more is drawn.
    pub fn draw<W: World>(
        &mut self,
        common: &mut Common,
        machine: &mut Machine,
        clock: GuestClock,
        world: &mut W,
    ) -> bool {
        let (fork, jobs) = (self.forks, self.jobs);
        let Some(Rehearsal { stage, seconds, .. }) = &mut self.under_way else { return false };
        match stage {
            // Its state is being drawn for something else, or it has more to say.
            Stage::Waiting if machine.saving().is_some() || machine.outputs_waiting() => return false,
            Stage::Waiting => {
                let mut drawing = Drawing::default();
                let Ok(pause_ns) = drawing.begin(machine, Extent::Apart, world) else { return false };
                let forked = Forked { at: machine.icount(), pause_ns };
                *stage = Stage::Drawing { drawing, forked, is_drawn: false };
                self.forks += 1;
                for (disk, _) in (0..).zip(&machine.config().disks) {
                    self.kept.push(disk);
                    self.ask_disk(common, disk, Work::Keep);
                }
            }
            Stage::Drawing { drawing, is_drawn, .. } if !*is_drawn => {
                *is_drawn = drawing.draw(machine, world, W::rehearsal_takes, |drawn| {
                    common.commands.push(match drawn {
                        Drawn::Head(head) => Command::Fork { fork, head },
                        Drawn::Piece(piece) => Command::ForkPiece(piece),
                    });
                });
            }
            Stage::Drawing { forked, .. } if jobs == 0 => {
                common.commands.push(Command::Rehearse { fork, clock, seconds: *seconds });
                *stage = Stage::Live(*forked);
            }
            Stage::Drawing { .. } | Stage::Live(_) => return false,
        }
        if machine.save_is_short() && !world.rehearsal_takes() {
            self.give_up(
                common,
                Some(machine),
                "the guest writes faster than this host can copy its state aside",
            );
        }
        machine.save_is_short()
    }

    /// The machine is wanted for a checkpoint: a fork that is being drawn begins again behind that.
    pub fn make_way(&mut self, common: &mut Common, machine: &mut Machine) {
        if Sabotage::RehearsalFirst.is_on() {
            return;
        }
        if let Some(Rehearsal { stage: stage @ Stage::Drawing { is_drawn: false, .. }, .. }) =
            &mut self.under_way
        {
            machine.abandon_save();
            *stage = Stage::Waiting;
            common.commands.push(Command::DropFork);
            self.let_disks_go(common);
        }
    }

    fn ask_disk(&mut self, common: &mut Common, disk: u8, work: Work) {
        common.ask_disk_work(DiskJob { link: LinkId::SANDBOX, disk, work });
        self.jobs += 1;
    }

    fn let_disks_go(&mut self, common: &mut Common) {
        for disk in std::mem::take(&mut self.kept) {
            self.ask_disk(common, disk, Work::Unkeep);
        }
    }

    /// A disk has ended a job for a rehearsal.
    pub fn disk_worked(
        &mut self,
        common: &mut Common,
        machine: Option<&mut Machine>,
        outcome: Result<Worked, String>,
    ) {
        self.jobs = self.jobs.saturating_sub(1);
        if let Err(why) = outcome {
            self.give_up(common, machine, &why);
        }
    }

    /// The guest of fork `fork` was tried, or why it could not be.
    pub fn ended(
        &mut self,
        common: &mut Common,
        machine: Option<&mut Machine>,
        fork: u64,
        outcome: Result<Rehearsed, String>,
    ) {
        let Some(rehearsal) = self.under_way.as_ref().filter(|_| fork == self.forks) else { return };
        match (outcome, &rehearsal.stage) {
            // Of a fork that has made way.
            (_, Stage::Waiting) => {}
            (Ok(Rehearsed { live_ns, tried }), &Stage::Live(Forked { at, pause_ns })) => {
                let answer = Answer {
                    forked_at: at,
                    pause_ms: pause_ns as f64 / 1e6,
                    live_after_ms: live_ns.saturating_sub(rehearsal.asked_ns) / 1_000_000,
                    goes_on: tried.why.is_none(),
                    tried: &tried,
                };
                let json = serde_json::to_string(&answer).expect("an answer serialises");
                common.send(rehearsal.asked_by, Message::Answer { json });
                common.commands.push(Command::Close { link: rehearsal.asked_by });
                let came = tried
                    .why
                    .map_or_else(|| "the guest goes on".to_owned(), |why| format!("it would fail: {why}"));
                common.tell(format!("a takeover at {at} was rehearsed: {came}"));
                self.under_way = None;
                self.let_disks_go(common);
            }
            (Ok(_), Stage::Drawing { .. }) => {}
            // Also while it is being drawn: there may be no memory for it.
            (Err(why), _) => self.give_up(common, machine, &why),
        }
    }

    /// The asker has gone.
    pub fn link_closed(&mut self, common: &mut Common, machine: Option<&mut Machine>, link: LinkId) {
        if self.under_way.as_ref().is_some_and(|rehearsal| rehearsal.asked_by == link) {
            self.give_up(common, machine, "who asked for it has gone");
        }
    }

    /// The one under way comes to nothing.
    pub fn give_up(&mut self, common: &mut Common, machine: Option<&mut Machine>, why: &str) {
        self.let_disks_go(common);
        let Some(rehearsal) = self.under_way.take() else { return };
        // Once it is drawn the machine may be saved for something else.
        if let (Some(machine), Stage::Drawing { is_drawn: false, .. }) = (machine, &rehearsal.stage) {
            machine.abandon_save();
        }
        if !matches!(rehearsal.stage, Stage::Waiting) {
            common.commands.push(Command::DropFork);
        }
        common.refuse(rehearsal.asked_by, format!("no rehearsal: {why}"));
    }

    /// The node's role is over, with its machine, and its disks answer no more.
    pub fn role_is_over(&mut self, common: &mut Common) {
        self.kept.clear();
        self.give_up(common, None, "the node's role is over");
        self.jobs = 0;
    }

    /// When there is more to do.
    pub fn next_look_ns(&self, now_ns: u64) -> u64 {
        match self.under_way.as_ref().map(|rehearsal| &rehearsal.stage) {
            None | Some(Stage::Live(_)) => u64::MAX,
            Some(Stage::Waiting | Stage::Drawing { is_drawn: true, .. }) => now_ns + LOOK_NS,
            Some(Stage::Drawing { drawing, .. }) => drawing.next_look_ns(now_ns),
        }
    }
}

#[cfg(test)]
#[path = "rehearsal_tests.rs"]
pub(crate) mod tests;
