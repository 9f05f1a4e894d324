//! One disk at work: a thread that carries out what is asked of it, in order, and answers each.
//!
//! ```text
//!  Closed --Open (a joiner's)--> Open --a sync fails--> Open, dead: reads still work
//! ```
//!
//! Promises: one answer to each request and job, in the order in which they came. A flush is answered
//! `Ok` only after a real sync. Once a sync has failed, what reached the disk is not known and the
//! kernel may have dropped it: no later write or flush is ever answered `Ok`.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender};

use super::error::DiskError;
use super::identity::{Role, State};
use super::open::{OpenDisk, Overwrite, open_join};
use super::place::DiskPlace;
use crate::base::{Digest, Generation, NodeId, Sabotage, digest_bytes};
use crate::devices::disk::{DiskDone, DiskOp, DiskRequest, DiskSpec, DiskStatus, SECTOR_BYTES};
use crate::ft::disk::{
    CHUNK_BYTES, DIGESTS_MAX, DiskJob, DiskWorked, REHEARSAL_SECTORS_MAX, Work, Worked, overlay,
};

/// Longer than any device's request.
const REQUEST_BYTES_MAX: u64 = 4 << 20;

/// What a worker is asked to do.
#[derive(Debug)]
pub enum Job {
    Request(DiskRequest),
    Work(DiskJob),
    /// Read what the disk held when [`Work::Keep`] came.
    ReadKept {
        sector: u64,
        bytes: u32,
        answer: SyncSender<Result<Vec<u8>, String>>,
    },
    /// The disk's part in replication has changed.
    Mark {
        role: Role,
        generation: Generation,
    },
    /// The last job: sync, and note how the disk was left; None when its content is not known to be good.
    Leave(Option<State>),
}

/// What a worker answers.
#[derive(Debug)]
pub enum Answer {
    Done(DiskDone),
    Worked(DiskWorked),
    /// For people.
    Tell(String),
}

/// What a joiner's disk is opened with.
#[derive(Clone, Debug)]
pub struct Joiner {
    pub place: Option<DiskPlace>,
    pub vm: String,
    pub node: NodeId,
}

/// Chunks that were written since tracking began.
#[derive(Debug)]
struct DirtyChunks {
    bits: Vec<u64>,
}

impl DirtyChunks {
    fn of(disk_bytes: u64) -> Self {
        let chunks = disk_bytes.div_ceil(CHUNK_BYTES as u64);
        Self { bits: vec![0; chunks.div_ceil(64) as usize] }
    }

    /// Notes the chunks of the bytes `start..end`, which are on the disk.
    fn note(&mut self, start: u64, end: u64) {
        for chunk in start / CHUNK_BYTES as u64..end.div_ceil(CHUNK_BYTES as u64) {
            self.bits[(chunk / 64) as usize] |= 1 << (chunk % 64);
        }
    }

    fn take(&mut self) -> Vec<u32> {
        let mut chunks = Vec::new();
        for (index, word) in self.bits.iter_mut().enumerate() {
            let mut left = std::mem::take(word);
            while left != 0 {
                chunks.push(index as u32 * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        chunks
    }
}

/// What the disk held before it was written to, since [`Work::Keep`]; or why that is not known.
#[derive(Debug, Default)]
struct Kept {
    sectors: BTreeMap<u64, Box<[u8]>>,
    lost: Option<String>,
}

impl Kept {
    /// The bytes from `start` on, whole sectors, are about to be overwritten; `old` is what they are.
    fn keep(&mut self, start: u64, old: io::Result<Vec<u8>>) {
        match old {
            _ if self.lost.is_some() => return,
            Ok(old) => {
                let sectors = (start / SECTOR_BYTES..).zip(old.chunks(SECTOR_BYTES as usize));
                for (sector, bytes) in sectors {
                    self.sectors.entry(sector).or_insert_with(|| bytes.into());
                }
            }
            Err(error) => self.lost = Some(error.to_string()),
        }
        if self.sectors.len() > REHEARSAL_SECTORS_MAX {
            let mib = (REHEARSAL_SECTORS_MAX as u64 * SECTOR_BYTES) >> 20;
            self.lost = Some(format!("the guest has overwritten more than {mib} MiB of it since"));
        }
        if self.lost.is_some() {
            self.sectors.clear();
        }
    }

    /// Undoes in `data`, which the disk holds from `sector` on, what was written since.
    fn restore(&self, sector: u64, data: &mut [u8]) {
        let sectors = data.len() as u64 / SECTOR_BYTES;
        let kept = self.sectors.range(sector..sector.saturating_add(sectors));
        overlay(data, sector, kept.map(|(at, bytes)| (*at, &**bytes)));
    }
}

/// The kinds of failure that are reported once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
}

/// An open disk, and what has become of it.
struct Disk {
    disk: OpenDisk,
    dirty: Option<DirtyChunks>,
    kept: Option<Kept>,
    /// Why nothing written to it is safe any more.
    dead: Option<String>,
    told: Vec<Kind>,
    tell: Vec<String>,
}

/// Works until its jobs' other end is gone.
pub fn work(
    number: u8,
    disk: Option<OpenDisk>,
    joiner: &Joiner,
    jobs: &Receiver<Job>,
    answer: impl Fn(Answer) -> bool,
) {
    let mut disk = disk.map(Disk::new);
    while let Ok(job) = jobs.recv() {
        let answered = match job {
            Job::Request(request) => {
                let done = match &mut disk {
                    Some(disk) => disk.request(request),
                    None => failed(request.disk, request.tag),
                };
                Some(Answer::Done(done))
            }
            Job::Work(DiskJob { link, disk: asked, work }) => {
                let outcome = match work {
                    Work::Open { spec } => open(&mut disk, number, &spec, joiner),
                    work => match &mut disk {
                        Some(disk) => disk.work(work),
                        None => Err(format!("disk {number} is not open")),
                    },
                };
                Some(Answer::Worked(DiskWorked { link, disk: asked, outcome }))
            }
            Job::ReadKept { sector, bytes, answer } => {
                let read = disk.as_mut().map(|disk| disk.read_kept(sector, bytes));
                // Who has asked may be gone.
                answer.try_send(read.unwrap_or_else(|| Err(format!("disk {number} is not open")))).ok();
                None
            }
            Job::Mark { role, generation } => {
                disk.iter_mut().for_each(|disk| disk.mark(role, generation));
                None
            }
            Job::Leave(state) => {
                disk.iter_mut().for_each(|disk| disk.leave(state));
                None
            }
        };
        let told = disk.as_mut().map(|disk| std::mem::take(&mut disk.tell)).unwrap_or_default();
        // A node that no longer reads answers still wants its disks left in order.
        told.into_iter().map(Answer::Tell).chain(answered).all(&answer);
    }
}

fn open(disk: &mut Option<Disk>, number: u8, spec: &DiskSpec, joiner: &Joiner) -> Result<Worked, String> {
    let line = |error: DiskError| error.line();
    if let Some(Disk { disk, .. }) = disk {
        let (expected, found) = (spec.sectors.saturating_mul(SECTOR_BYTES), disk.store.bytes());
        if expected != found {
            return Err(line(DiskError::OtherSize { path: disk.path.clone(), number, expected, found }));
        }
        return Ok(Worked::Done);
    }
    let opened = open_join(joiner.place.as_ref(), number, spec, &joiner.vm, joiner.node).map_err(line)?;
    *disk = Some(Disk::new(opened));
    Ok(Worked::Done)
}

fn failed(disk: u8, tag: u64) -> DiskDone {
    DiskDone { disk, tag, status: DiskStatus::IoError, data: Vec::new() }
}

impl Disk {
    fn new(disk: OpenDisk) -> Self {
        Self { disk, dirty: None, kept: None, dead: None, told: Vec::new(), tell: Vec::new() }
    }

    fn request(&mut self, request: DiskRequest) -> DiskDone {
        let DiskRequest { disk, tag, op } = request;
        let (kind, outcome) = match op {
            DiskOp::Read { sector, bytes } => (Kind::Read, self.read(sector, bytes)),
            DiskOp::Write { sector, data } => (Kind::Write, self.write(sector, &data)),
            DiskOp::Flush => (Kind::Flush, self.flush()),
        };
        match outcome {
            Ok(data) => DiskDone { disk, tag, status: DiskStatus::Ok, data },
            Err(error) => {
                self.tell_failure(kind, &error);
                failed(disk, tag)
            }
        }
    }

    /// A failure of each kind is reported once: a broken disk fails often.
    fn tell_failure(&mut self, kind: Kind, error: &io::Error) {
        if self.told.contains(&kind) {
            return;
        }
        self.told.push(kind);
        let what = match kind {
            Kind::Read => "a read failed",
            Kind::Write => "a write failed",
            Kind::Flush => "a flush failed",
        };
        let (number, path) = (self.disk.number, self.disk.path.display());
        self.tell.push(format!("disk {number} ({path}): {what}: {error}; reported once"));
    }

    /// The first byte and the one after the last, if all of them are on the disk.
    fn range(&self, sector: u64, bytes: u64) -> io::Result<(u64, u64)> {
        let start = sector.checked_mul(SECTOR_BYTES);
        let range = start.and_then(|start| Some((start, start.checked_add(bytes)?)));
        match range {
            Some((start, end)) if end <= self.disk.store.bytes() && bytes <= REQUEST_BYTES_MAX => {
                Ok((start, end))
            }
            _ => Err(io::Error::other(format!("{bytes} bytes at sector {sector} are not on the disk"))),
        }
    }

    fn read(&mut self, sector: u64, bytes: u32) -> io::Result<Vec<u8>> {
        let (start, _) = self.range(sector, u64::from(bytes))?;
        let mut data = vec![0; bytes as usize];
        self.disk.store.read_at(&mut data, start)?;
        Ok(data)
    }

    fn write(&mut self, sector: u64, data: &[u8]) -> io::Result<Vec<u8>> {
        let (start, _) = self.range(sector, data.len() as u64)?;
        if self.disk.read_only {
            return Err(io::Error::other("the disk is read-only"));
        }
        self.refuse_dead()?;
        self.overwrite(start, data)?;
        Ok(Vec::new())
    }

    fn overwrite(&mut self, start: u64, data: &[u8]) -> io::Result<()> {
        if let Some(guard) = &mut self.disk.guard {
            guard.begin()?;
        }
        if let Some(dirty) = &mut self.dirty {
            // Also when it fails: part of it may have been written.
            dirty.note(start, start + data.len() as u64);
        }
        if let Some(kept) = self.kept.as_mut().filter(|_| !Sabotage::RehearsalReadsOn.is_on()) {
            let mut old = vec![0; data.len()];
            let read = self.disk.store.read_at(&mut old, start);
            kept.keep(start, read.map(|()| old));
        }
        self.disk.store.write_at(data, start)
    }

    fn read_kept(&mut self, sector: u64, bytes: u32) -> Result<Vec<u8>, String> {
        let failed = |why: &dyn std::fmt::Display, disk: &OpenDisk| {
            format!("disk {} ({}) as it was: {why}", disk.number, disk.path.display())
        };
        let mut data = self.read(sector, bytes).map_err(|error| failed(&error, &self.disk))?;
        match &self.kept {
            None => return Err(failed(&"it is not kept", &self.disk)),
            Some(Kept { lost: Some(why), .. }) => return Err(failed(why, &self.disk)),
            Some(kept) => kept.restore(sector, &mut data),
        }
        Ok(data)
    }

    fn flush(&mut self) -> io::Result<Vec<u8>> {
        if !self.disk.read_only {
            self.sync()?;
        }
        Ok(Vec::new())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.refuse_dead()?;
        self.disk.store.sync().inspect_err(|error| self.dead = Some(error.to_string()))
    }

    fn refuse_dead(&self) -> io::Result<()> {
        match &self.dead {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!("an earlier sync failed: {why}"))),
        }
    }

    fn work(&mut self, work: Work) -> Result<Worked, String> {
        let (number, path) = (self.disk.number, self.disk.path.display().to_string());
        let failed = |error: io::Error| format!("disk {number} ({path}): {error}");
        match work {
            Work::Open { .. } => return Err("an open disk is not opened again".into()),
            Work::Track => self.dirty = Some(DirtyChunks::of(self.disk.store.bytes())),
            Work::Untrack => self.dirty = None,
            Work::TakeDirty => {
                let chunks = self.dirty.as_mut().map(DirtyChunks::take).ok_or("nothing is tracked")?;
                return Ok(Worked::Dirty { chunks });
            }
            Work::Digest { first, count } => {
                return Ok(Worked::Digests { first, digests: self.digests(first, count).map_err(failed)? });
            }
            Work::Read { chunk } => {
                let (start, end) = self.chunk(chunk).map_err(&failed)?;
                let mut bytes = vec![0; (end - start) as usize];
                self.disk.store.read_at(&mut bytes, start).map_err(failed)?;
                return Ok(Worked::Bytes { chunk, bytes });
            }
            Work::Write { chunk, bytes } => self.copy_in(chunk, &bytes)?,
            Work::Sync => self.settle().map_err(failed)?,
            Work::Keep => self.kept = Some(Kept::default()),
            Work::Unkeep => self.kept = None,
        }
        Ok(Worked::Done)
    }

    /// The bytes of a chunk, as the first and the one after the last.
    fn chunk(&self, chunk: u32) -> io::Result<(u64, u64)> {
        let (bytes, start) = (self.disk.store.bytes(), u64::from(chunk) * CHUNK_BYTES as u64);
        if start >= bytes {
            return Err(io::Error::other(format!("it has no chunk {chunk}")));
        }
        Ok((start, (start + CHUNK_BYTES as u64).min(bytes)))
    }

    fn digests(&self, first: u32, count: u32) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let zeros = digest_bytes(&buffer, 0);
        // The first byte from here on that is not known to be zero.
        let mut data = self.disk.store.next_data(self.chunk(first)?.0)?;
        for chunk in (first..).take(count.min(DIGESTS_MAX) as usize) {
            let (start, end) = self.chunk(chunk)?;
            if data.is_some_and(|data| data < start) {
                data = self.disk.store.next_data(start)?;
            }
            let hole = data.is_none_or(|data| data >= end);
            digests.push(if hole && end - start == CHUNK_BYTES as u64 {
                zeros
            } else {
                let part = &mut buffer[..(end - start) as usize];
                self.disk.store.read_at(part, start)?;
                digest_bytes(part, 0)
            });
        }
        Ok(digests)
    }

    /// Overwrites a chunk with the primary's.
    fn copy_in(&mut self, chunk: u32, bytes: &[u8]) -> Result<(), String> {
        let (number, path) = (self.disk.number, self.disk.path.clone());
        let failed = |error: io::Error| format!("disk {number} ({}): {error}", path.display());
        let (start, end) = self.chunk(chunk).map_err(&failed)?;
        if end - start != bytes.len() as u64 {
            return Err(format!("chunk {chunk} of disk {number} came with {} bytes", bytes.len()));
        }
        match self.disk.overwrite {
            Overwrite::Allowed => {}
            Overwrite::ReadOnly => return Err(DiskError::OtherContent { path, number }.line()),
            Overwrite::Unknown => return Err(DiskError::NotACopy { path, number }.line()),
        }
        self.refuse_dead().map_err(&failed)?;
        self.overwrite(start, bytes).map_err(failed)
    }

    /// Everything copied is durable, and so is the file's name. What was copied to a read-only disk is
    /// the whole of it.
    fn settle(&mut self) -> io::Result<()> {
        if let Some(guard) = &mut self.disk.guard {
            guard.begin()?;
            guard.sync_name()?;
        }
        self.sync()?;
        // What has turned out to be a copy is one.
        if self.disk.overwrite == Overwrite::Unknown {
            self.disk.overwrite = Overwrite::Allowed;
        }
        if self.disk.read_only {
            self.mark(Role::Replica, Generation::ZERO);
            self.disk.overwrite = Overwrite::ReadOnly;
        }
        Ok(())
    }

    /// Notes the disk's new part. A disk that was behind is not called a replica before everything is
    /// durable. A failure leaves the older identity, which claims less.
    fn mark(&mut self, role: Role, generation: Generation) {
        let behind = self.disk.guard.as_ref().is_some_and(|guard| guard.role() == Role::Behind);
        let outcome = if behind && role != Role::Behind { self.sync() } else { self.refuse_dead() };
        let Some(guard) = &mut self.disk.guard else { return };
        match outcome.and_then(|()| guard.mark(role, generation)) {
            Ok(true) => {}
            Ok(false) => self.disk.guard = None,
            Err(error) => {
                let (number, path) = (self.disk.number, self.disk.path.display());
                self.tell.push(format!(
                    "disk {number} ({path}): generation {generation} is not noted beside it: {error}"
                ));
            }
        }
    }

    fn leave(&mut self, state: Option<State>) {
        let synced = self.sync();
        let Some(guard) = &mut self.disk.guard else { return };
        if state.is_none() {
            guard.distrust();
        }
        let left = synced.and_then(|()| guard.leave(state.unwrap_or(State::Closed)));
        if let Err(error) = left {
            let (number, path) = (self.disk.number, self.disk.path.display());
            self.tell.push(format!("disk {number} ({path}): the end is not noted beside it: {error}"));
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
pub(crate) mod tests;
