//! Appending: batches into the last segment, and from one segment to the next.
//!
//! Everything is done when a call returns; the thread that calls is `store`'s. A failed write or sync ends
//! the writer: what reached the disk is then unknown, and trying again could make a hole that looks whole.
//!
//! ```text
//! begin a segment   spare or new file, space taken, header written, synced, renamed, directory synced
//! write             header + frames + zeros where the next header goes, by one write
//! sync              fdatasync: only now the entries count as durable
//! next segment      sync, read the last batch back, begin
//! ```

use std::sync::Arc;

use super::batch::{self, BATCH_BYTES_MAX, BatchHeader, HEADER_BYTES};
use super::catalog::Catalog;
use super::error::StoreError;
use super::files::{Files, StoreFile, read_back, read_full, write_full};
use super::identity::Identity;
use super::segment::{self, Progress};
use super::survey::Tail;
use crate::base::{Generation, Sabotage, Seq};
use crate::log::{Frame, SegmentHeader};

/// Bytes that are copied in one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    first: Seq,
    file: Box<dyn StoreFile>,
    /// Where the next batch goes.
    at: u64,
    durable: u64,
    /// Where the last batch begins, if it is of this segment.
    last_at: Option<u64>,
}

/// Writes a store's log.
#[derive(Debug)]
pub struct Writer {
    files: Arc<dyn Files>,
    catalog: Arc<Catalog>,
    identity: Identity,
    segment_bytes: u64,
    open: Open,
    /// Of the last batch.
    sum: u64,
    progress: Progress,
    broken: bool,
    /// The batch that is being put together.
    out: Vec<u8>,
}

/// Makes a segment out of a spare, or of a new file if there is none; answers with it and its length.
pub(super) fn begin(
    files: &dyn Files,
    identity: &Identity,
    spare: Option<String>,
    first: Seq,
    generation: Generation,
    segment_bytes: u64,
) -> Result<(Box<dyn StoreFile>, u64), StoreError> {
    let (name, file) = match spare {
        Some(name) => {
            let file = files.open(&name, true).map_err(StoreError::io("open", files.path(&name)))?;
            (name, file)
        }
        None => {
            let name = segment::spare_name_of(first);
            let file = files.create(&name).map_err(StoreError::io("create", files.path(&name)))?;
            (name, file)
        }
    };
    let path = files.path(&name);
    file.preallocate(segment_bytes).map_err(StoreError::io("take space for", &path))?;
    let header = SegmentHeader { lineage: identity.lineage(), first_seq: first, generation };
    let mut bytes = header.encode();
    let len = bytes.len();
    bytes.resize(len + HEADER_BYTES, 0);
    write_full(&*file, &bytes, 0).map_err(StoreError::io("write to", &path))?;
    file.sync_data().map_err(StoreError::io("sync", &path))?;
    files.rename(&name, &segment::name_of(first)).map_err(StoreError::io("rename", &path))?;
    if !Sabotage::StoreNameUnsynced.is_on() {
        files.sync_dir().map_err(StoreError::io("sync the directory of", &path))?;
    }
    Ok((file, len as u64))
}

impl Writer {
    /// Goes on where a log ends. What was found there is made durable first, and what is behind it is cut.
    pub fn resume(
        files: Arc<dyn Files>,
        catalog: Arc<Catalog>,
        identity: Identity,
        tail: &Tail,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let name = segment::name_of(tail.segment);
        let path = files.path(&name);
        let file = files.open(&name, true).map_err(StoreError::io("open", &path))?;
        // What was read may be in memory alone, and called clean after a failed sync: it is written again.
        let mut piece = Vec::new();
        let mut at = tail.durable;
        while at < tail.at {
            piece.resize(PIECE_BYTES.min(tail.at - at) as usize, 0);
            read_full(&*file, &mut piece, at).map_err(StoreError::io("read", &path))?;
            write_full(&*file, &piece, at).map_err(StoreError::io("write to", &path))?;
            at += piece.len() as u64;
        }
        // Bytes of cut batches could otherwise follow a batch that is written again as it was.
        if !Sabotage::StoreTailKept.is_on() {
            file.set_len(tail.at).map_err(StoreError::io("cut", &path))?;
        }
        match file.preallocate(segment_bytes).map_err(StoreError::io("take space for", &path)) {
            // It can be read, and removing what is old may make room: only a write would fail.
            Err(why) if why.is_full() => {}
            taken => taken?,
        }
        file.sync_data().map_err(StoreError::io("sync", &path))?;
        // So are the names.
        files.sync_dir().map_err(StoreError::io("sync the directory of", &path))?;
        let open = Open { first: tail.segment, file, at: tail.at, durable: tail.at, last_at: None };
        let (sum, progress) = (tail.sum, tail.progress);
        let out = Vec::new();
        Ok(Self { files, catalog, identity, segment_bytes, open, sum, progress, broken: false, out })
    }

    /// The last entry that was written.
    pub fn written(&self) -> Seq {
        Seq(self.progress.next.get() - 1)
    }

    /// Whether something was written and not synced.
    pub fn is_dirty(&self) -> bool {
        self.open.durable < self.open.at
    }

    /// Writes whole frames that follow the last one, in as few batches as they fit into.
    pub fn write(&mut self, mut frames: &[u8]) -> Result<(), StoreError> {
        self.attempt(|writer| {
            let mut first = writer.progress.next;
            let mut batch = 0;
            while let Some(rest) = frames.get(batch..).filter(|rest| !rest.is_empty()) {
                let frame = Frame::check(rest).map_err(|why| StoreError::NotAFrame { why })?;
                let len = frame.bytes().len();
                if batch > 0 && !writer.has_room(batch + len) {
                    writer.put(first, &frames[..batch])?;
                    (frames, batch, first) = (&frames[batch..], 0, writer.progress.next);
                    continue;
                }
                let is_begun = writer.progress.next > writer.open.first;
                if batch == 0 && is_begun && !writer.has_room(len) {
                    writer.rotate()?;
                }
                let (expected, found) = (writer.progress.next, frame.first_seq());
                writer.progress.follow(&frame).map_err(|why| match expected == found {
                    true => StoreError::BadFrame { path: writer.path(), offset: writer.open.at, why },
                    false => StoreError::OutOfSequence { expected, found },
                })?;
                batch += len;
            }
            if batch > 0 { writer.put(first, &frames[..batch]) } else { Ok(()) }
        })
    }

    /// Makes everything that was written durable; answers with the last entry.
    pub fn sync(&mut self) -> Result<Seq, StoreError> {
        self.attempt(Self::sync_open)?;
        Ok(self.written())
    }

    /// Syncs, and notes that in the log, so that a last batch that rots later is not taken for a torn one.
    pub fn close(&mut self) -> Result<Seq, StoreError> {
        self.attempt(|writer| {
            writer.sync_open()?;
            writer.put(writer.progress.next, &[])?;
            writer.sync_open()
        })?;
        Ok(self.written())
    }

    /// Broken until it has worked: an early return must not leave a writer that goes on.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken { dir: self.files.path("") });
        }
        self.broken = true;
        work(self)?;
        self.broken = false;
        Ok(())
    }

    /// Whether a batch of so many bytes fits, and the zeros behind it.
    fn has_room(&self, frames: usize) -> bool {
        let end = self.open.at + (HEADER_BYTES + frames + HEADER_BYTES) as u64;
        frames <= BATCH_BYTES_MAX && end <= self.segment_bytes
    }

    fn path(&self) -> std::path::PathBuf {
        self.files.path(&segment::name_of(self.open.first))
    }

    /// Writes a batch; without frames it only says what is durable.
    fn put(&mut self, first: Seq, frames: &[u8]) -> Result<(), StoreError> {
        let header = BatchHeader {
            len: frames.len() as u32,
            segment: self.open.first,
            first,
            durable: self.open.durable,
            before: self.sum,
            sum: batch::sum_of(frames, self.sum),
        };
        self.out.clear();
        self.out.extend_from_slice(&header.encode());
        self.out.extend_from_slice(frames);
        let len = self.out.len();
        self.out.resize(len + HEADER_BYTES, 0);
        let written = write_full(&*self.open.file, &self.out, self.open.at);
        written.map_err(StoreError::io("write to", self.path()))?;
        self.open.last_at = Some(self.open.at);
        self.open.at += len as u64;
        if !frames.is_empty() {
            self.sum = header.sum;
        }
        let mut held = self.catalog.lock();
        held.written = self.written();
        held.generation = self.progress.generation;
        Ok(())
    }

    fn sync_open(&mut self) -> Result<(), StoreError> {
        if self.is_dirty() {
            if !Sabotage::StoreDurableEarly.is_on() {
                self.open.file.sync_data().map_err(StoreError::io("sync", self.path()))?;
            }
            self.open.durable = self.open.at;
        }
        self.catalog.set_durable(self.written());
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.sync_open()?;
        self.read_back()?;
        let (first, generation) = (self.progress.next, self.progress.generation);
        let spare = self.catalog.lock().spares.pop();
        let (file, at) = begin(&*self.files, &self.identity, spare, first, generation, self.segment_bytes)?;
        let bytes = file.bytes().map_err(StoreError::io("look at", self.path()))?;
        self.open = Open { first, file, at, durable: at, last_at: None };
        self.catalog.lock().segments.push((first, bytes));
        Ok(())
    }

    /// Reads the last batch of a synced segment from the disk: one that lost it is known now, and not only
    /// when the log is needed.
    fn read_back(&mut self) -> Result<(), StoreError> {
        let Some(offset) = self.open.last_at else { return Ok(()) };
        let mut found = vec![0; (self.open.at - offset) as usize];
        let path = self.path();
        let read = read_back(&*self.open.file, &mut found, offset).map_err(StoreError::io("read", &path))?;
        if found[..read] != self.out[..found.len()] {
            return Err(StoreError::ReadBack { path, offset });
        }
        Ok(())
    }
}
