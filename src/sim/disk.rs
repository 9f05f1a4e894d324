//! A slot's disk: what its host sees, and what of it would survive a loss of power.
//!
//! Requests and jobs are carried out one after the other, each after a while. A process that is killed leaves
//! what it had written; a host that goes down keeps what was flushed, and of the rest some sectors.

use std::collections::{BTreeSet, VecDeque};

use crate::base::{Prng, digest_bytes};
use crate::devices::disk::{DiskDone, DiskOp, DiskRequest, DiskSpec, DiskStatus, SECTOR_BYTES};
use crate::ft::disk::{CHUNK_BYTES, DiskJob, DiskWorked, Work, Worked, chunk_bytes};

const SECTOR: usize = SECTOR_BYTES as usize;

/// What a disk is asked.
#[derive(Debug)]
pub enum Asked {
    Guest(DiskRequest),
    Job(DiskJob),
}

/// What it answers.
#[derive(Debug)]
pub enum Answered {
    Guest(DiskDone),
    Job(DiskWorked),
}

/// One disk.
pub struct SimDisk {
    spec: DiskSpec,
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last flush.
    volatile: BTreeSet<usize>,
    /// Chunks written since tracking began.
    noted: Option<BTreeSet<u32>>,
    /// What its host saw when it was told to keep that.
    kept: Option<Vec<u8>>,
    queue: VecDeque<Asked>,
}

impl SimDisk {
    pub fn new(spec: DiskSpec, bytes: Vec<u8>) -> Self {
        let durable = bytes.clone();
        Self {
            spec,
            bytes,
            durable,
            volatile: BTreeSet::new(),
            noted: None,
            kept: None,
            queue: VecDeque::new(),
        }
    }

    /// What its host sees.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it saw when it was told to keep that.
    pub fn kept(&self) -> Option<&[u8]> {
        self.kept.as_deref()
    }

    /// What would be left after a loss of power, at least.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Nothing is asked of it.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts something at the end of the queue.
    pub fn ask(&mut self, asked: Asked) {
        self.queue.push_back(asked);
    }

    /// The process is gone, and with it its outstanding requests.
    pub fn process_died(&mut self) {
        self.queue.clear();
        (self.noted, self.kept) = (None, None);
    }

    /// The host went down: of what was not flushed some sectors are there.
    pub fn power_failed(&mut self, prng: &mut Prng) {
        self.process_died();
        for sector in std::mem::take(&mut self.volatile) {
            if prng.chance(1, 2) {
                self.settle(sector);
            }
        }
        self.bytes.copy_from_slice(&self.durable);
    }

    fn settle(&mut self, sector: usize) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        self.durable[range.clone()].copy_from_slice(&self.bytes[range]);
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.volatile) {
            self.settle(sector);
        }
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.volatile.extend(at / SECTOR..(at + data.len()) / SECTOR);
        if let Some(noted) = &mut self.noted {
            noted.extend((at / CHUNK_BYTES) as u32..=((at + data.len() - 1) / CHUNK_BYTES) as u32);
        }
    }

    /// The sectors that the next request is about; none for a flush or a job.
    pub fn next_sector(&self) -> Option<u64> {
        match self.queue.front() {
            Some(Asked::Guest(DiskRequest {
                op: DiskOp::Read { sector, .. } | DiskOp::Write { sector, .. },
                ..
            })) => Some(*sector),
            _ => None,
        }
    }

    /// The writes and flushes that wait, by tag.
    pub fn changes_waiting(&self) -> impl Iterator<Item = u64> + '_ {
        self.queue.iter().filter_map(|asked| match asked {
            Asked::Guest(DiskRequest { tag, op: DiskOp::Write { .. } | DiskOp::Flush, .. }) => Some(*tag),
            _ => None,
        })
    }

    pub fn next_is_job(&self) -> bool {
        matches!(self.queue.front(), Some(Asked::Job(_)))
    }

    /// Carries out what was asked first; `fails` makes a guest's request fail, without effect.
    pub fn carry_out(&mut self, fails: bool) -> Option<Answered> {
        match self.queue.pop_front()? {
            Asked::Guest(request) => Some(Answered::Guest(self.guest(request, fails))),
            Asked::Job(DiskJob { link, disk, work }) => {
                Some(Answered::Job(DiskWorked { link, disk, outcome: self.job(work) }))
            }
        }
    }

    fn guest(&mut self, request: DiskRequest, fails: bool) -> DiskDone {
        let DiskRequest { disk, tag, op } = request;
        let (mut status, mut data) = (DiskStatus::Ok, Vec::new());
        match op {
            _ if fails => status = DiskStatus::IoError,
            DiskOp::Read { sector, bytes } => {
                let at = sector as usize * SECTOR;
                data = self.bytes[at..at + bytes as usize].to_vec();
            }
            DiskOp::Write { sector, data } => self.write(sector as usize * SECTOR, &data),
            DiskOp::Flush => self.sync(),
        }
        DiskDone { disk, tag, status, data }
    }

    fn job(&mut self, work: Work) -> Result<Worked, String> {
        let at = |chunk: u32| chunk as usize * CHUNK_BYTES;
        let range = |chunk| at(chunk)..at(chunk) + chunk_bytes(&self.spec, chunk);
        Ok(match work {
            Work::Open { spec } if spec != self.spec => return Err("of another size".into()),
            Work::Open { .. } => Worked::Done,
            Work::Track => {
                self.noted = Some(BTreeSet::new());
                Worked::Done
            }
            Work::Untrack => {
                self.noted = None;
                Worked::Done
            }
            Work::TakeDirty => {
                let noted = self.noted.as_mut().ok_or("writes are not noted")?;
                Worked::Dirty { chunks: std::mem::take(noted).into_iter().collect() }
            }
            Work::Digest { first, count } => {
                let digest = |chunk| digest_bytes(&self.bytes[range(chunk)], 0);
                Worked::Digests { first, digests: (first..first + count).map(digest).collect() }
            }
            Work::Read { chunk } => Worked::Bytes { chunk, bytes: self.bytes[range(chunk)].to_vec() },
            Work::Write { chunk, bytes } => {
                self.write(at(chunk), &bytes);
                Worked::Done
            }
            Work::Sync => {
                self.sync();
                Worked::Done
            }
            Work::Keep => {
                self.kept = Some(self.bytes.clone());
                Worked::Done
            }
            Work::Unkeep => {
                self.kept = None;
                Worked::Done
            }
        })
    }
}

/// The records in a `diskkv` guest's journal: each sender's port, and the text that it sent.
pub fn journal(image: &[u8]) -> BTreeSet<(u16, Vec<u8>)> {
    let records = image.chunks_exact(SECTOR).zip(0u64..);
    let is_one = |(sector, number): &(&[u8], u64)| {
        sector[..8] == *b"DISKKV\0\x01" && sector[8..16] == number.to_le_bytes()
    };
    let read = |(sector, _): (&[u8], u64)| {
        let len = usize::from(sector[24]) | usize::from(sector[25]) << 8;
        (u16::from(sector[20]) | u16::from(sector[21]) << 8, sector[32..32 + len.min(SECTOR - 32)].to_vec())
    };
    records.take_while(is_one).map(read).collect()
}
