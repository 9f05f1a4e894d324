//! Reading one segment: its header, then batch after batch, each checked as a whole.
//!
//! A segment is prepared under another name and renamed when its header is durable, so a header is never
//! torn. Where its batches end is known by the name of the segment behind it; of the last one it is found
//! out by [`Walk::behind`].

use std::path::PathBuf;

use super::batch::{self, BatchFault, BatchHeader, HEADER_BYTES};
use super::error::StoreError;
use super::files::{Files, StoreFile, read_full};
use super::identity::Identity;
use crate::base::{Generation, Icount, Seq};
use crate::log::segment::HEADER_BYTES_MAX;
use crate::log::{Event, Frame, Payloads, SegmentHeader};

/// Bytes that a search looks at in one piece.
const SEARCH_BYTES: usize = 1 << 20;

/// The name of the segment that starts with entry `first`.
pub fn name_of(first: Seq) -> String {
    format!("{:020}.log", first.get())
}

/// The name of a file that is, or was, prepared to be the segment from entry `first`.
pub fn spare_name_of(first: Seq) -> String {
    format!("{:020}.spare", first.get())
}

/// The number in a name of twenty digits and `suffix`.
pub fn number_in(name: &str, suffix: &str) -> Option<Seq> {
    let digits = name.strip_suffix(suffix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok().map(Seq))?
}

/// How far the entries of a log have been followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number that the next entry must have.
    pub next: Seq,
    /// The generation after the last entry.
    pub generation: Generation,
    /// The last entry's position.
    pub position: Icount,
}

impl Progress {
    /// Checks a frame, and that it is the next; follows its entries.
    pub fn follow(&mut self, frame: &Frame) -> Result<(), String> {
        if frame.first_seq() != self.next {
            return Err(format!("a frame from entry {}, expected {}", frame.first_seq(), self.next));
        }
        let mut cursor = frame.cursor();
        while !cursor.is_done() {
            let entry = cursor.next_in(frame.bytes(), Payloads::LeftOut).map_err(|why| why.to_string())?;
            if entry.at < self.position {
                let (seq, at, before) = (entry.seq, entry.at, self.position);
                return Err(format!("entry {seq} goes back from position {before} to {at}"));
            }
            self.position = entry.at;
            if let Event::Generation { generation, .. } = entry.event {
                self.generation = generation;
            }
        }
        self.next = frame.last_seq().next();
        Ok(())
    }
}

/// What lies behind the last good batch of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// A later batch that was written when this place was durable: its offset, and its first entry.
    pub proof: Option<(u64, Seq)>,
    /// Bytes up to the end of what is recognised as this segment's; 0 if nothing is.
    pub bytes: u64,
}

/// A walk over the batches of a segment.
#[derive(Debug)]
pub struct Walk {
    file: Box<dyn StoreFile>,
    path: PathBuf,
    header: SegmentHeader,
    file_bytes: u64,
    at: u64,
    durable: u64,
    sum: Option<u64>,
    progress: Progress,
    frames: Vec<u8>,
    /// The last batch has no frames.
    closed: bool,
}

impl Walk {
    /// Opens the segment from entry `first` and checks its header. `sum` is that of the batch before it, if
    /// it is known; `position` the last entry's before it.
    pub fn open(
        files: &dyn Files,
        identity: &Identity,
        first: Seq,
        sum: Option<u64>,
        position: Icount,
    ) -> Result<Self, StoreError> {
        let name = name_of(first);
        let path = files.path(&name);
        let file = files.open(&name, false).map_err(StoreError::io("open", &path))?;
        let file_bytes = file.bytes().map_err(StoreError::io("look at", &path))?;
        let mut bytes = [0; HEADER_BYTES_MAX];
        let read = read_full(&*file, &mut bytes, 0).map_err(StoreError::io("read", &path))?;
        let (header, len) = SegmentHeader::decode(&bytes[..read])
            .map_err(|why| StoreError::BadSegment { path: path.clone(), why })?;
        if header.first_seq != first {
            return Err(StoreError::Misnamed { path, named: first, found: header.first_seq });
        }
        if let Some((field, expected, found)) = other_history(identity, &header) {
            return Err(StoreError::Foreign { path, field, expected, found });
        }
        let progress = Progress { next: first, generation: header.generation, position };
        let at = len as u64;
        // Until there is proof of more, only what was synced before the file got its name.
        Ok(Self {
            file,
            path,
            header,
            file_bytes,
            at,
            durable: at,
            sum,
            progress,
            frames: Vec::new(),
            closed: false,
        })
    }

    /// The segment's header.
    pub const fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The file.
    pub const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Where the next batch begins, in bytes into the file.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Bytes of the segment that are known to have been durable.
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// The sum of the last batch, if there was one or that of the segment before is known.
    pub const fn sum(&self) -> Option<u64> {
        self.sum
    }

    /// Whether the last batch is one without frames, which a close writes.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// How far the entries are followed.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// The frames of the batch that [`Walk::step`] came to.
    pub fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// Goes on to the next batch that has frames, and checks all of it; otherwise why there is none.
    pub fn step(&mut self) -> Result<Result<(), BatchFault>, StoreError> {
        loop {
            match self.batch()? {
                Ok(header) if header.len == 0 => {}
                Ok(_) => return self.follow().map(Ok),
                Err(fault) => return Ok(Err(fault)),
            }
        }
    }

    /// Reads the batch at `at` and moves past it.
    fn batch(&mut self) -> Result<Result<BatchHeader, BatchFault>, StoreError> {
        let mut bytes = [0; HEADER_BYTES];
        let read = self.read(&mut bytes, self.at)?;
        let header = match BatchHeader::decode(&bytes[..read], self.header.first_seq) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        // A sound header of this segment at this place was written here: it is no torn one.
        let other_entries = (header.first != self.progress.next).then(|| format!("entry {}", header.first));
        let other_past = self
            .sum
            .filter(|sum| *sum != header.before)
            .map(|sum| format!("a batch behind one of sum {:016x}, which is {sum:016x}", header.before));
        if let Some(why) = other_entries.or(other_past) {
            let (path, offset, expected) = (self.path.clone(), self.at, self.progress.next);
            return Err(StoreError::Rot { path, offset, expected, why: format!("here is {why}") });
        }
        let mut frames = std::mem::take(&mut self.frames);
        frames.resize(header.len as usize, 0);
        let have = self.read(&mut frames, self.at + HEADER_BYTES as u64)?;
        self.frames = frames;
        if have < self.frames.len() {
            return Ok(Err(BatchFault::CutOff { have: have as u64, need: header.len.into() }));
        }
        let expected = batch::sum_of(&self.frames, header.before);
        if expected != header.sum {
            return Ok(Err(BatchFault::BadSum { expected, found: header.sum }));
        }
        self.at += HEADER_BYTES as u64 + u64::from(header.len);
        self.durable = self.durable.max(header.durable.min(self.at));
        self.closed = header.len == 0;
        if !self.closed {
            self.sum = Some(header.sum);
        }
        Ok(Ok(header))
    }

    /// Follows the frames of a batch whose sum is right.
    fn follow(&mut self) -> Result<(), StoreError> {
        let mut rest = self.frames.as_slice();
        while !rest.is_empty() {
            let frame = Frame::check(rest).map_err(|why| why.to_string());
            let followed = frame.and_then(|frame| {
                self.progress.follow(&frame)?;
                Ok(frame.bytes().len())
            });
            match followed {
                Ok(len) => rest = &rest[len..],
                Err(why) => {
                    let offset = self.at - rest.len() as u64;
                    return Err(StoreError::BadFrame { path: self.path.clone(), offset, why });
                }
            }
        }
        Ok(())
    }

    /// Looks at everything behind the last good batch.
    pub fn behind(&self) -> Result<Behind, StoreError> {
        let (mut found, mut end) = (None, self.at);
        let mut piece = vec![0; SEARCH_BYTES];
        let mut from = self.at;
        while from < self.file_bytes && found.is_none() {
            let read = self.read(&mut piece, from)?;
            for begin in batch_marks(&piece[..read]) {
                let offset = from + begin as u64;
                let Ok(header) = BatchHeader::decode(&piece[begin..read], self.header.first_seq) else {
                    continue;
                };
                end = end.max((offset + HEADER_BYTES as u64 + u64::from(header.len)).min(self.file_bytes));
                if offset > self.at && header.durable > self.at {
                    found = Some((offset, header.first));
                    break;
                }
            }
            if read < piece.len() {
                break;
            }
            // A header may lie across two pieces.
            from += (read - (HEADER_BYTES - 1)) as u64;
        }
        Ok(Behind { proof: found, bytes: end - self.at })
    }

    /// An error: bad bytes at the walk's place, and `because` of this they are no torn tail.
    pub fn rot(&self, fault: BatchFault, because: &str) -> StoreError {
        let (path, offset, expected) = (self.path.clone(), self.at, self.progress.next);
        StoreError::Rot { path, offset, expected, why: format!("here is {fault}; {because}") }
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<usize, StoreError> {
        read_full(&*self.file, buf, offset).map_err(StoreError::io("read", &self.path))
    }
}

/// Where in `bytes` a batch's mark is.
fn batch_marks(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.windows(batch::MARK.len()).enumerate().filter(|(_, at)| *at == batch::MARK).map(|(at, _)| at)
}

/// How the header's history differs from the store's.
fn other_history(identity: &Identity, header: &SegmentHeader) -> Option<(&'static str, String, String)> {
    let (ours, theirs) = (identity.lineage(), &header.lineage);
    let fields = [
        ("vm", ours.vm, theirs.vm.clone()),
        ("guest", ours.guest, theirs.guest.clone()),
        ("guest digest", ours.guest_digest.to_string(), theirs.guest_digest.to_string()),
        ("RAM size", ours.ram_bytes.to_string(), theirs.ram_bytes.to_string()),
        ("base entry", ours.base_seq.to_string(), theirs.base_seq.to_string()),
        ("base position", ours.base_icount.to_string(), theirs.base_icount.to_string()),
        ("base digest", ours.base_digest.to_string(), theirs.base_digest.to_string()),
    ];
    fields.into_iter().find(|(_, expected, found)| expected != found)
}
