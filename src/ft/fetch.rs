//! A joiner's side of the copying of disks: its own digests beside the primary's, and the chunks that
//! differ.
//!
//! Promises: no message of the primary makes it write outside its disks, hold more than [`JOBS_MAX`] chunks
//! for each, or report ready before its disks have taken everything.

use std::collections::VecDeque;

use super::common::Common;
use super::disk::{DIGESTS_MAX, DiskJob, DiskWorked, Work, Worked, chunk_bytes, chunk_count, unpack};
use super::link::LinkId;
use super::message::Message;
use crate::base::Digest;
use crate::devices::disk::DiskSpec;
use crate::machine::config::check_disks;

/// Jobs under way, for each disk; an honest primary keeps to fewer.
pub(super) const JOBS_MAX: usize = 64;

/// What was asked of a disk, to know what an answer means.
#[derive(Debug)]
enum Pending {
    Open,
    Compare { first: u32, theirs: Vec<Digest> },
    Write { chunk: u32 },
    Sync,
}

#[derive(Debug)]
struct Fetched {
    spec: DiskSpec,
    chunks: u64,
    pending: VecDeque<Pending>,
}

/// The joiner's disks on their way to be the primary's.
#[derive(Debug)]
pub(super) struct DiskFetch {
    link: LinkId,
    disks: Vec<Fetched>,
    /// The primary has sent everything.
    complete: bool,
    compared: u64,
    stored: u64,
}

impl DiskFetch {
    /// The primary has described its disks: this node's are opened, or made.
    pub fn begin(common: &mut Common, link: LinkId, specs: Vec<DiskSpec>) -> Result<Self, String> {
        check_disks(&specs).map_err(|error| format!("its disks cannot be: {error}"))?;
        let fetched = |spec: DiskSpec| Fetched { chunks: chunk_count(&spec), spec, pending: VecDeque::new() };
        let disks = specs.into_iter().map(fetched).collect();
        let mut fetch = Self { link, disks, complete: false, compared: 0, stored: 0 };
        for disk in 0..fetch.disks.len() {
            let spec = fetch.disks[disk].spec.clone();
            fetch.ask(common, disk as u8, Pending::Open, Work::Open { spec })?;
        }
        Ok(fetch)
    }

    fn disk(&mut self, disk: u8) -> Result<&mut Fetched, String> {
        self.disks
            .get_mut(usize::from(disk))
            .ok_or_else(|| format!("it refers to a disk {disk} that does not exist"))
    }

    fn ask(&mut self, common: &mut Common, disk: u8, pending: Pending, work: Work) -> Result<(), String> {
        let link = self.link;
        let fetched = self.disk(disk)?;
        if fetched.pending.len() >= JOBS_MAX {
            return Err("it sends more chunks at once than this node may hold".into());
        }
        fetched.pending.push_back(pending);
        common.ask_disk_work(DiskJob { link, disk, work });
        Ok(())
    }

    /// The primary's digests of some chunks.
    pub fn digests(
        &mut self,
        common: &mut Common,
        disk: u8,
        first: u32,
        theirs: Vec<Digest>,
    ) -> Result<(), String> {
        let (count, chunks) = (theirs.len() as u64, self.disk(disk)?.chunks);
        if count == 0 || count > u64::from(DIGESTS_MAX) || u64::from(first) + count > chunks {
            return Err(format!("it sent {count} digests from chunk {first} of {chunks} on"));
        }
        self.ask(
            common,
            disk,
            Pending::Compare { first, theirs },
            Work::Digest { first, count: count as u32 },
        )
    }

    /// A chunk of the primary's disk.
    pub fn chunk(&mut self, common: &mut Common, disk: u8, chunk: u32, packed: &[u8]) -> Result<(), String> {
        let len = chunk_bytes(&self.disk(disk)?.spec, chunk);
        let bytes =
            unpack(packed, len).ok_or_else(|| format!("chunk {chunk} of disk {disk} does not unpack"))?;
        self.ask(common, disk, Pending::Write { chunk }, Work::Write { chunk, bytes })
    }

    /// The primary has sent everything.
    pub fn complete(&mut self, common: &mut Common) -> Result<(), String> {
        if self.complete {
            return Err("it reported twice that the disks are complete".into());
        }
        for disk in 0..self.disks.len() {
            self.ask(common, disk as u8, Pending::Sync, Work::Sync)?;
        }
        self.complete = true;
        Ok(())
    }

    /// A job has ended; an error is a reason to end this node.
    pub fn worked(&mut self, common: &mut Common, worked: DiskWorked) -> Result<(), String> {
        let DiskWorked { link, disk, outcome } = worked;
        if link != self.link {
            return Ok(());
        }
        let pending = self.disk(disk)?.pending.pop_front();
        let ours = outcome.map_err(|why| format!("disk {disk}: {why}"))?;
        match (pending, ours) {
            (Some(Pending::Compare { first, theirs }), Worked::Digests { digests, .. }) => {
                self.compared += theirs.len() as u64;
                let differs = |(theirs, ours): (&Digest, &Digest)| theirs != ours;
                let pairs = (first..).zip(theirs.iter().zip(&digests));
                let chunks = pairs.filter(|(_, pair)| differs(*pair)).map(|(chunk, _)| chunk).collect();
                common.send(link, Message::DiskWant { disk, first, chunks });
            }
            (Some(Pending::Write { chunk }), Worked::Done) => {
                self.stored += 1;
                common.send(link, Message::DiskStored { disk, chunk });
            }
            (Some(Pending::Open | Pending::Sync), Worked::Done) => {}
            (pending, worked) => return Err(format!("disk {disk} answered {pending:?} with {worked:?}")),
        }
        Ok(())
    }

    /// True when the disks have everything that the primary sent, for good.
    pub fn is_ready(&self) -> bool {
        self.complete && self.disks.iter().all(|disk| disk.pending.is_empty())
    }

    pub fn specs(&self) -> impl Iterator<Item = &DiskSpec> {
        self.disks.iter().map(|disk| &disk.spec)
    }

    /// Chunks compared, copied, and in all.
    pub fn progress(&self) -> (u64, u64, u64) {
        (self.compared, self.stored, self.disks.iter().map(|disk| disk.chunks).sum())
    }
}
