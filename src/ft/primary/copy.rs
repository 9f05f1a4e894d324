//! A joiner's disks, before its state: compared chunk by chunk with the primary's while the guest runs,
//! and what differs is copied.
//!
//! ```text
//! Comparing --all compared and copied--> Asking which were written since --few, or often enough--> Last
//!     ^                                        |                                                     |
//!     +------------- many: copy these ---------+      state and log follow; written up to the state: |
//!                                                     copied once more                               v
//!                                                                                                 Complete
//! ```
//!
//! Why that is enough: a chunk is read after everything that was written before, so the joiner has every
//! chunk as it was at the state's position or later; what was written after that position it writes
//! again itself, as it obeys the log from there on, before it counts. What was under way at that position
//! is in the state, and is asked for again.
//!
//! Absent on purpose: where the joiner's own digests come from (`ft::fetch`).

use std::collections::{BTreeSet, VecDeque};

use super::super::disk::{
    CHUNK_BYTES, DIGESTS_MAX, DiskJob, DiskWorked, Work, Worked, chunk_bytes, chunk_count, pack,
};
use super::super::message::Message;
use super::super::node::{Command, Common, LinkId};
use crate::devices::disk::DiskSpec;

/// Batches of digests under way, for each disk.
const BATCHES_MAX: usize = 4;
/// Chunks read and not yet stored by the joiner, for each disk.
const CHUNKS_MAX: usize = 32;
/// With so few chunks left to copy the joiner gets the state.
const FEW_CHUNKS: usize = 64;
/// After so many rounds it gets it in any case: this guest writes as fast as we copy.
const ROUNDS_MAX: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Comparing,
    /// So many disks have not said yet which chunks were written.
    Asking {
        unanswered: usize,
    },
    /// The state stands; what was written before it is asked for and copied.
    Last {
        unanswered: usize,
    },
    Complete,
}

/// What has to be done next by whoever has the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// The disks are close: save the state, offer it, and call [`DiskCopy::offered`].
    Offer,
}

#[derive(Debug)]
struct Copied {
    spec: DiskSpec,
    chunks: u32,
    /// One past the last chunk whose digest is asked for.
    asked: u32,
    /// Batches that the joiner has not answered: first chunk and how many.
    batches: VecDeque<(u32, u32)>,
    to_send: BTreeSet<u32>,
    /// Asked of the host and not come.
    reading: usize,
    /// Sent, and not stored by the joiner.
    unstored: usize,
}

impl Copied {
    fn is_level(&self) -> bool {
        self.asked == self.chunks && self.batches.is_empty() && self.to_send.is_empty() && self.reading == 0
    }
}

/// The copying of all disks to one joiner.
#[derive(Debug)]
pub(super) struct DiskCopy {
    link: LinkId,
    disks: Vec<Copied>,
    stage: Stage,
    rounds: u32,
    /// Chunks written since they were last copied, as the disks have said so far.
    dirty: Vec<(u8, u32)>,
    compared: u64,
    copied: u64,
}

impl DiskCopy {
    /// Tells the joiner what disks there are, and begins.
    pub fn begin(common: &mut Common, link: LinkId, specs: &[DiskSpec]) -> Self {
        common.send(link, Message::Disks { specs: specs.to_vec() });
        let copied = |spec: &DiskSpec| Copied {
            spec: spec.clone(),
            chunks: u32::try_from(chunk_count(spec)).unwrap_or(u32::MAX),
            asked: 0,
            batches: VecDeque::new(),
            to_send: BTreeSet::new(),
            reading: 0,
            unstored: 0,
        };
        let mut copy = Self {
            link,
            disks: specs.iter().map(copied).collect(),
            stage: Stage::Comparing,
            rounds: 0,
            dirty: Vec::new(),
            compared: 0,
            copied: 0,
        };
        copy.all(common, || Work::Track);
        copy.advance(common);
        copy
    }

    fn job(&self, common: &mut Common, disk: u8, work: Work) {
        common.commands.push(Command::DiskWork(DiskJob { link: self.link, disk, work }));
    }

    fn all(&self, common: &mut Common, work: impl Fn() -> Work) {
        for (disk, _) in (0..).zip(&self.disks) {
            self.job(common, disk, work());
        }
    }

    /// The joiner is gone, or has everything.
    pub fn end(&self, common: &mut Common) {
        if self.stage != Stage::Complete {
            self.all(common, || Work::Untrack);
        }
    }

    /// Chunks compared, copied, and in all.
    pub fn progress(&self) -> (u64, u64, u64) {
        (self.compared, self.copied, self.disks.iter().map(|disk| u64::from(disk.chunks)).sum())
    }

    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Asks for what there is room for; finds out when a stage is over.
    fn advance(&mut self, common: &mut Common) {
        for index in 0..self.disks.len() {
            let disk = index as u8;
            while let Some(work) = self.disks[index].next_work() {
                self.job(common, disk, work);
            }
        }
        let level = self.disks.iter().all(Copied::is_level);
        match self.stage {
            Stage::Comparing if level && self.disks.iter().all(|disk| disk.unstored == 0) => {
                self.stage = Stage::Asking { unanswered: self.disks.len() };
                self.all(common, || Work::TakeDirty);
            }
            Stage::Last { unanswered: 0 } if level => {
                self.stage = Stage::Complete;
                self.all(common, || Work::Untrack);
                common.send(self.link, Message::DisksComplete);
            }
            _ => {}
        }
    }

    /// The state is saved and offered: what was written up to it is all that is missing.
    pub fn offered(&mut self, common: &mut Common) {
        self.stage = Stage::Last { unanswered: self.disks.len() };
        self.send_dirty();
        self.all(common, || Work::TakeDirty);
        self.advance(common);
    }

    fn send_dirty(&mut self) {
        for (disk, chunk) in self.dirty.drain(..) {
            self.disks[usize::from(disk)].to_send.insert(chunk);
        }
    }

    /// A job of this copying has ended; an error is a reason to drop the joiner.
    pub fn worked(&mut self, common: &mut Common, worked: DiskWorked) -> Result<Due, String> {
        let DiskWorked { disk, outcome, .. } = worked;
        let index = usize::from(disk);
        if index >= self.disks.len() {
            return Ok(Due::Nothing);
        }
        match outcome.map_err(|why| format!("disk {disk} of the primary: {why}"))? {
            Worked::Done => {}
            Worked::Digests { first, digests } => {
                common.send(self.link, Message::DiskDigests { disk, first, digests });
            }
            Worked::Bytes { chunk, bytes } => {
                let copied = &mut self.disks[index];
                copied.reading = copied.reading.saturating_sub(1);
                copied.unstored += 1;
                common.send(self.link, Message::DiskChunk { disk, chunk, packed: pack(&bytes) });
            }
            Worked::Dirty { chunks } => {
                self.dirty.extend(chunks.into_iter().map(|chunk| (disk, chunk)));
                match &mut self.stage {
                    Stage::Asking { unanswered } => {
                        *unanswered = unanswered.saturating_sub(1);
                        if *unanswered == 0 {
                            if self.dirty.len() <= FEW_CHUNKS || self.rounds >= ROUNDS_MAX {
                                return Ok(Due::Offer);
                            }
                            self.rounds += 1;
                            self.send_dirty();
                            self.stage = Stage::Comparing;
                        }
                    }
                    Stage::Last { unanswered } => {
                        *unanswered = unanswered.saturating_sub(1);
                        self.send_dirty();
                    }
                    Stage::Comparing | Stage::Complete => {}
                }
            }
        }
        self.advance(common);
        Ok(Due::Nothing)
    }

    /// The joiner names the chunks of a batch that it has not, or not so.
    pub fn wanted(
        &mut self,
        common: &mut Common,
        disk: u8,
        first: u32,
        chunks: &[u32],
    ) -> Result<(), String> {
        let copied =
            self.disks.get_mut(usize::from(disk)).ok_or("it wants chunks of a disk that is not there")?;
        let (begins, count) =
            copied.batches.pop_front().ok_or("it wants chunks that it was told nothing of")?;
        let in_batch = |chunk: &u32| (begins..begins + count).contains(chunk);
        if begins != first || chunks.len() > count as usize || !chunks.iter().all(in_batch) {
            return Err("it wants chunks of another batch".into());
        }
        copied.to_send.extend(chunks);
        self.compared += u64::from(count);
        self.advance(common);
        Ok(())
    }

    /// The joiner's disk has taken a chunk.
    pub fn stored(&mut self, common: &mut Common, disk: u8) -> Result<(), String> {
        let copied = self.disks.get_mut(usize::from(disk)).filter(|copied| copied.unstored > 0);
        copied.ok_or("it stored a chunk that it was not sent")?.unstored -= 1;
        self.copied += 1;
        self.advance(common);
        Ok(())
    }
}

impl Copied {
    fn next_work(&mut self) -> Option<Work> {
        if self.reading + self.unstored < CHUNKS_MAX
            && let Some(chunk) = self.to_send.pop_first()
        {
            debug_assert!(chunk_bytes(&self.spec, chunk) <= CHUNK_BYTES);
            self.reading += 1;
            return Some(Work::Read { chunk });
        }
        if self.batches.len() < BATCHES_MAX && self.asked < self.chunks {
            let (first, count) = (self.asked, DIGESTS_MAX.min(self.chunks - self.asked));
            self.asked += count;
            self.batches.push_back((first, count));
            return Some(Work::Digest { first, count });
        }
        None
    }
}
