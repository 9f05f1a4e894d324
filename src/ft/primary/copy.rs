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

use super::super::common::Common;
use super::super::disk::{
    CHUNK_BYTES, DIGESTS_MAX, DiskJob, DiskWorked, Work, Worked, chunk_bytes, chunk_count, pack,
};
use super::super::link::LinkId;
use super::super::message::Message;
use crate::base::Sabotage;
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
    /// This many disks have not yet reported which chunks were written.
    Asking {
        unanswered: usize,
    },
    /// The state stands; what was written before it is asked for and copied.
    Last {
        unanswered: usize,
    },
    Complete,
}

/// What the owner of the machine has to do next.
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
    /// Chunks written since they were last copied, as far as the disks have reported them.
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
        common.ask_disk_work(DiskJob { link: self.link, disk, work });
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

    /// Everything was sent, and the joiner was informed of it.
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
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
                let kept = chunks.into_iter().filter(|_| !Sabotage::DirtyForgotten.is_on());
                self.dirty.extend(kept.map(|chunk| (disk, chunk)));
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
            copied.batches.pop_front().ok_or("it wants chunks whose digests it did not get")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, NodeId};
    use crate::ft::Settings;
    use crate::ft::command::Command;
    use crate::ft::fetch::DiskFetch;

    /// A primary's disk and a joiner's, by what is in each chunk, and both ends of the copying between.
    struct Pair {
        common: Common,
        copy: DiskCopy,
        fetch: Option<DiskFetch>,
        theirs: Vec<u8>,
        ours: Vec<u8>,
        noted: Option<BTreeSet<u32>>,
        opened: bool,
        reads: usize,
    }

    const LINK: LinkId = LinkId(5);

    fn specs(chunks: usize) -> Vec<DiskSpec> {
        vec![DiskSpec { sectors: chunks as u64 * 128, read_only: false, serial: String::new() }]
    }

    impl Pair {
        fn new(theirs: Vec<u8>, ours: Vec<u8>) -> Self {
            let settings = Settings::default();
            let mut common = Common::new(NodeId(1), "vm", settings);
            let copy = DiskCopy::begin(&mut common, LINK, &specs(theirs.len()));
            Self { common, copy, fetch: None, theirs, ours, noted: None, opened: false, reads: 0 }
        }

        fn write(&mut self, chunk: u32, byte: u8) {
            self.theirs[chunk as usize] = byte;
            if let Some(noted) = &mut self.noted {
                noted.insert(chunk);
            }
        }

        /// What a disk answers. Jobs of the joiner are recognised by their kind.
        fn job(&mut self, work: Work, joiner: bool) -> Worked {
            let digest = |byte: u8| Digest(u128::from(byte));
            match work {
                Work::Track => self.noted = Some(BTreeSet::new()),
                Work::Untrack => self.noted = None,
                Work::TakeDirty => {
                    let noted = self.noted.as_mut().expect("tracked");
                    return Worked::Dirty { chunks: std::mem::take(noted).into_iter().collect() };
                }
                Work::Digest { first, count } => {
                    let bytes = if joiner { &self.ours } else { &self.theirs };
                    let range = first as usize..(first + count) as usize;
                    return Worked::Digests {
                        first,
                        digests: bytes[range].iter().map(|b| digest(*b)).collect(),
                    };
                }
                Work::Read { chunk } => {
                    self.reads += 1;
                    return Worked::Bytes { chunk, bytes: vec![self.theirs[chunk as usize]; CHUNK_BYTES] };
                }
                Work::Write { chunk, bytes } => self.ours[chunk as usize] = bytes[0],
                Work::Open { .. } => self.opened = true,
                Work::Sync | Work::Keep | Work::Unkeep => {}
            }
            Worked::Done
        }

        /// Carries out every command, and passes every message on, until an offer is due or nothing is left.
        fn go_on(&mut self) -> Due {
            loop {
                let commands = std::mem::take(&mut self.common.commands);
                if commands.is_empty() {
                    return Due::Nothing;
                }
                let mut due = Due::Nothing;
                for command in commands {
                    match command {
                        Command::DiskWork(DiskJob { link, disk, work }) => {
                            let worked = DiskWorked { link, disk, outcome: Ok(self.job(work, false)) };
                            if self.copy.worked(&mut self.common, worked).unwrap() == Due::Offer {
                                due = Due::Offer;
                            }
                        }
                        Command::Send { message, .. } => self.joiner_takes(message),
                        other => panic!("{other:?}"),
                    }
                }
                if due == Due::Offer {
                    return due;
                }
            }
        }

        /// The joiner takes a message, its disk does the work, and its answers go back.
        fn joiner_takes(&mut self, message: Message) {
            let settings = Settings::default();
            let mut common = Common::new(NodeId(2), "vm", settings);
            let mut fetch = self.fetch.take();
            match message {
                Message::Disks { specs } => fetch = Some(DiskFetch::begin(&mut common, LINK, specs).unwrap()),
                Message::DiskDigests { disk, first, digests } => {
                    fetch.as_mut().unwrap().digests(&mut common, disk, first, digests).unwrap();
                }
                Message::DiskChunk { disk, chunk, packed } => {
                    fetch.as_mut().unwrap().chunk(&mut common, disk, chunk, &packed).unwrap();
                }
                Message::DisksComplete => fetch.as_mut().unwrap().complete(&mut common).unwrap(),
                other => panic!("{other:?}"),
            }
            let mut joiner = fetch.unwrap();
            while !common.commands.is_empty() {
                for command in std::mem::take(&mut common.commands) {
                    match command {
                        Command::DiskWork(DiskJob { link, disk, work }) => {
                            let worked = DiskWorked { link, disk, outcome: Ok(self.job(work, true)) };
                            joiner.worked(&mut common, worked).unwrap();
                        }
                        Command::Send { message: Message::DiskWant { disk, first, chunks }, .. } => {
                            self.copy.wanted(&mut self.common, disk, first, &chunks).unwrap();
                        }
                        Command::Send { message: Message::DiskStored { disk, .. }, .. } => {
                            self.copy.stored(&mut self.common, disk).unwrap();
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            self.fetch = Some(joiner);
        }

        fn is_ready(&self) -> bool {
            self.fetch.as_ref().is_some_and(DiskFetch::is_ready)
        }
    }

    #[test]
    fn only_what_differs_is_copied() {
        let theirs: Vec<u8> = (0..200).map(|i| i as u8).collect();
        let mut ours = theirs.clone();
        ours[3] = 99;
        ours[130] = 98;
        let mut pair = Pair::new(theirs, ours);
        assert_eq!(pair.go_on(), Due::Offer);
        assert_eq!((pair.reads, pair.copy.progress(), pair.is_ready()), (2, (200, 2, 200), false));
        assert_eq!((pair.copy.rounds(), pair.copy.is_complete()), (0, false));
        pair.copy.end(&mut pair.common);
        assert!(
            matches!(
                &pair.common.commands[..],
                [Command::DiskWork(DiskJob { disk: 0, work: Work::Untrack, .. })]
            ),
            "a joiner that is lost here costs no more tracking"
        );
        pair.common.commands.clear();
        pair.copy.offered(&mut pair.common);
        assert_eq!(pair.go_on(), Due::Nothing);
        assert!(pair.copy.is_complete());
        pair.copy.end(&mut pair.common);
        assert!(pair.common.commands.is_empty(), "it has ended by itself");
        assert!(pair.opened && pair.is_ready() && pair.noted.is_none());
        assert_eq!(pair.ours, pair.theirs);
        assert_eq!(pair.fetch.as_ref().map(DiskFetch::progress), Some((200, 2, 200)));
    }

    #[test]
    fn what_is_written_meanwhile_is_copied_again_before_and_after_the_offer() {
        let mut pair = Pair::new(vec![1; 500], vec![0; 500]);
        let mut rounds = 0;
        // Each write comes while the copying is under way: the disk notes it.
        pair.noted = Some(BTreeSet::new());
        (0..100).for_each(|chunk| pair.write(chunk, 2));
        let commands = std::mem::take(&mut pair.common.commands);
        pair.common.commands = commands.into_iter().filter(|command| !is_track(command)).collect();
        while pair.go_on() != Due::Offer {
            rounds += 1;
            assert!(rounds < 20, "it never ends");
        }
        assert_eq!((pair.copy.rounds(), pair.reads), (1, 600));
        (400..410).for_each(|chunk| pair.write(chunk, 3));
        pair.copy.offered(&mut pair.common);
        pair.go_on();
        assert!(pair.is_ready());
        assert_eq!((pair.reads, pair.ours == pair.theirs), (610, true));
    }

    fn is_track(command: &Command) -> bool {
        matches!(command, Command::DiskWork(DiskJob { work: Work::Track, .. }))
    }

    #[test]
    fn a_joiner_that_lies_is_told_so() {
        let mut pair = Pair::new(vec![1; 100], vec![0; 100]);
        let common = &mut pair.common;
        assert!(pair.copy.wanted(common, 1, 0, &[0]).is_err(), "no such disk");
        assert!(pair.copy.wanted(common, 0, 1, &[1]).is_err(), "no such batch");
        assert!(pair.copy.wanted(common, 0, 64, &[64, 100]).is_err(), "past the end");
        assert!(pair.copy.wanted(common, 0, 0, &[]).is_err(), "of nothing that is under way");
        assert!(pair.copy.stored(common, 0).is_err(), "never sent");
        let failed = DiskWorked { link: LINK, disk: 0, outcome: Err("gone".into()) };
        assert!(pair.copy.worked(common, failed).unwrap_err().contains("gone"));
    }

    #[test]
    fn a_primary_that_lies_is_told_so() {
        let settings = Settings::default();
        let mut common = Common::new(NodeId(2), "vm", settings);
        assert!(DiskFetch::begin(&mut common, LINK, vec![specs(1)[0].clone(); 5]).is_err());
        let mut fetch = DiskFetch::begin(&mut common, LINK, specs(70)).unwrap();
        assert!(fetch.digests(&mut common, 1, 0, vec![Digest(0)]).is_err());
        assert!(fetch.digests(&mut common, 0, 0, vec![]).is_err());
        assert!(fetch.digests(&mut common, 0, 0, vec![Digest(0); 65]).is_err());
        assert!(fetch.digests(&mut common, 0, 60, vec![Digest(0); 11]).is_err());
        assert!(fetch.digests(&mut common, 0, u32::MAX, vec![Digest(0)]).is_err());
        assert!(fetch.chunk(&mut common, 0, 70, &[]).is_err());
        assert!(fetch.chunk(&mut common, 0, 0, &[0xff; 9]).is_err());
        let held =
            (0..1000).take_while(|_| fetch.chunk(&mut common, 0, 0, &[7; CHUNK_BYTES]).is_ok()).count();
        assert!(held < crate::ft::fetch::JOBS_MAX, "{held} chunks are held");
        assert!(!fetch.is_ready());
        let odd = DiskWorked { link: LINK, disk: 0, outcome: Ok(Worked::Dirty { chunks: vec![] }) };
        assert!(fetch.worked(&mut common, odd).is_err());
        let stale = DiskWorked { link: LinkId(9), disk: 0, outcome: Err("old".into()) };
        assert_eq!(fetch.worked(&mut common, stale), Ok(()));
    }
}
