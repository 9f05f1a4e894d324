//! Reading the frames of a segment from its bytes: entries in order, and kinds of damage distinguished.
//!
//! A crash of the writer can only leave a *torn tail*: bytes after the last whole frame of the last
//! segment. It may be cut. Everything else that is wrong is *rot*: bad bytes with good frames (or
//! another segment) behind them, missing or repeated entries. It may not be cut, since what follows
//! it did happen.
//!
//! ```text
//! at a frame's start       is the frame whole?
//!   yes                    its number must be the expected one  -> else OutOfSequence, and go on
//!   no, a good frame later                                      -> Rot, go on there
//!   no, none later         last segment: TornTail, the end; otherwise Rot, the end
//! ```
//!
//! After damage a scan goes on where the log makes sense again, so that inspection shows what is
//! left; a reader that needs a whole log stops at the first. A scan holds places, not bytes: they are handed
//! in with each call.

use serde::Serialize;
use thiserror::Error;

use super::code::Payloads;
use super::entry::Entry;
use super::frame::{EntryCursor, Frame, FrameError, frame_len};
use super::segment::HeaderError;
use crate::base::{Icount, Seq};

/// How many bytes a search for the next good frame may checksum in one scan. Honest rot needs a few
/// frames' worth; bytes made to look like frame after frame could need the square of their length.
const SEARCH_BYTES_MAX: usize = 256 << 20;

/// One entry and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entry; without its payload if it was skimmed.
    pub entry: Entry,
    /// Where the entry's bytes start in the segment.
    pub offset: u64,
    /// How many bytes it takes there.
    pub len: u32,
}

/// Something wrong in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset}: {fault}")]
pub struct Damage {
    /// Bytes into the segment's file.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

/// The kinds of damage. A torn tail may be cut; every other kind may not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The writer stopped in the middle: nothing whole comes after.
    #[error("torn tail: {bytes} bytes can be cut ({why})")]
    TornTail {
        /// From the damage to the end of the file.
        bytes: u64,
        /// Why no frame starts there.
        why: FrameError,
    },
    /// The writer stopped in the middle of the header of a new last segment.
    #[error("torn tail: the segment was just begun, its {bytes} bytes can be cut ({why})")]
    TornHeader {
        /// The length of the file.
        bytes: u64,
        /// What is missing of the header.
        why: HeaderError,
    },
    /// Bad bytes, and more of the log after them.
    #[error("rot: {bytes} bytes make no sense ({why}); {}", resumes_text(*expected, *resumes))]
    Rot {
        /// From the damage to where the log goes on, or to the end of the file.
        bytes: u64,
        /// Why no frame starts there.
        why: FrameError,
        /// The number of the entry that was due; none if that was not known.
        expected: Option<Seq>,
        /// The first entry of the next good frame; none if there is none in this segment, or the search was given up.
        resumes: Option<Seq>,
    },
    /// A whole frame with an entry that is none.
    #[error("rot: {why}")]
    BadEntry {
        /// Which entry, and what is wrong with it. The rest of its frame cannot be read.
        why: FrameError,
    },
    /// A whole frame with entries other than those due: some are missing, or come again.
    #[error("{}", sequence_text(*expected, *found))]
    OutOfSequence {
        /// The number of the entry that was due.
        expected: Seq,
        /// The number of the frame's first entry.
        found: Seq,
    },
    /// An entry of a whole frame has a lower position than the one before. It is left out, and the others are read.
    #[error("rot: entry {seq} goes back from position {before} to {at}")]
    PositionBack {
        /// The entry.
        seq: Seq,
        /// The position of the entry before.
        before: Icount,
        /// The entry's own.
        at: Icount,
    },
    /// The header is wrong, and not because its writer stopped in the middle of a new segment.
    #[error("the segment's header cannot be read: {why}")]
    BadHeader {
        /// What is wrong with it.
        why: HeaderError,
    },
    /// The file's name says another first entry than its header.
    #[error("the segment is named for entry {named}, but its header says {found}")]
    Misnamed {
        /// The first entry by the name.
        named: Seq,
        /// The first entry by the header.
        found: Seq,
    },
    /// Segments of two histories are in one directory.
    #[error("the segment is of another log: its {field} is {found}, the first segment's {expected}")]
    OtherLineage {
        /// The field of [`Lineage`](super::Lineage) in which they differ.
        field: &'static str,
        /// The first segment's value.
        expected: String,
        /// This segment's value.
        found: String,
    },
}

impl Fault {
    /// True for what a crash of the writer can leave: it may be cut.
    pub const fn is_torn_tail(&self) -> bool {
        matches!(self, Fault::TornTail { .. } | Fault::TornHeader { .. })
    }
}

/// How much a scan has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScanTotals {
    /// Frames whose checksum was right.
    pub frames: u64,
    /// Entries that were handed out.
    pub entries: u64,
}

/// The last entry of a segment whose frames begin at byte `at` of `bytes`, found by a walk over the
/// frames alone. Damage is passed over.
pub fn last_entry(bytes: &[u8], at: usize) -> Option<Entry> {
    let mut scan = Scan::new(at, None, Icount::ZERO, true);
    let mut last = None;
    while let Some(found) = scan.enter_frame(bytes) {
        last = found.ok().or(last);
        // Which numbers there are does not matter here.
        scan.expected = None;
    }
    let (start, end, _) = last?;
    let frame = Frame::check(bytes.get(start..end)?).ok()?;
    frame.entries().filter_map(Result::ok).last()
}

/// A frame that entries are being taken from: its start and end, and how far they are taken.
type Open = (usize, usize, EntryCursor);

impl ScanTotals {
    /// Both totals as one, for a log of several segments.
    pub const fn plus(self, more: Self) -> Self {
        Self { frames: self.frames + more.frames, entries: self.entries + more.entries }
    }
}

/// A walk over the frames of one segment.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Where the next frame starts.
    at: usize,
    /// The frame that entries are being taken from.
    open: Option<Open>,
    expected: Option<Seq>,
    position: Icount,
    last_segment: bool,
    search_bytes_left: usize,
    totals: ScanTotals,
}

/// What a search for a good frame came to.
enum Search {
    Found(usize, Seq),
    Nothing,
    GaveUp,
}

impl Scan {
    /// A scan that starts at byte `at`. `expected` is the number of the entry that should come
    /// first, `position` the last entry's before it. Only a `last_segment` can have a torn tail.
    pub fn new(at: usize, expected: Option<Seq>, position: Icount, last_segment: bool) -> Self {
        let search_bytes_left = SEARCH_BYTES_MAX;
        let totals = ScanTotals::default();
        Self { at, open: None, expected, position, last_segment, search_bytes_left, totals }
    }

    /// The number that the next entry should have; none after entries that could not be counted.
    pub const fn expected(&self) -> Option<Seq> {
        self.expected
    }

    /// Position of the last entry.
    pub const fn position(&self) -> Icount {
        self.position
    }

    /// Where the last whole frame ends.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// What the scan has read so far.
    pub const fn totals(&self) -> ScanTotals {
        self.totals
    }

    /// The next entry or damage in `bytes`, which are the whole segment; none at its end.
    pub fn next_in(&mut self, bytes: &[u8]) -> Option<Result<Place, Damage>> {
        match self.open.take() {
            Some(open) => Some(self.next_of(bytes, open)),
            None => self.next_frame(bytes),
        }
    }

    /// Like [`Scan::next_in`], for a segment that is still being written: none also when the
    /// bytes end inside a frame, to be called again with more.
    pub fn next_growing(&mut self, bytes: &[u8]) -> Option<Result<Place, Damage>> {
        let rest = bytes.get(self.at..).unwrap_or_default();
        if self.open.is_none() && Frame::check(rest).is_err_and(|why| why.is_incomplete()) {
            return None;
        }
        self.next_in(bytes)
    }

    /// Makes offsets count from `by` bytes further on: the front of the bytes was dropped.
    /// `by` is at most [`Scan::offset`], and no frame is being read.
    pub fn rebase(&mut self, by: usize) {
        assert!(self.open.is_none() && by <= self.at, "only bytes that are done with are dropped");
        self.at -= by;
    }

    /// True between two frames.
    pub const fn is_between_frames(&self) -> bool {
        self.open.is_none()
    }

    /// Hands every entry of the next frame to `each`, without its payload; none at the end. Faster than
    /// [`Scan::next_in`] by far, and it finds the same damage.
    pub fn skim_in(&mut self, bytes: &[u8], each: &mut impl FnMut(&Place)) -> Option<Result<(), Damage>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.enter_frame(bytes)? {
                Ok(open) => open,
                Err(damage) => return Some(Err(damage)),
            },
        };
        while !open.2.is_done() {
            match self.next_entry(bytes, &mut open, Payloads::LeftOut) {
                Ok(place) => each(&place),
                Err(damage) => {
                    self.keep_open(open, &damage);
                    return Some(Err(damage));
                }
            }
        }
        Some(Ok(()))
    }

    fn next_frame(&mut self, bytes: &[u8]) -> Option<Result<Place, Damage>> {
        match self.enter_frame(bytes)? {
            Ok(open) => Some(self.next_of(bytes, open)),
            Err(damage) => Some(Err(damage)),
        }
    }

    /// Checks the frame that comes next; none at the end.
    fn enter_frame(&mut self, bytes: &[u8]) -> Option<Result<Open, Damage>> {
        let start = self.at;
        let rest = bytes.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        let frame = match Frame::check(rest) {
            Ok(frame) => frame,
            Err(why) => return Some(Err(self.pass_over(bytes, start, why))),
        };
        self.at = start + frame.bytes().len();
        self.totals.frames += 1;
        let (found, open) = (frame.first_seq(), (start, self.at, frame.cursor()));
        match self.expected {
            Some(expected) if expected != found => {
                self.open = Some(open);
                self.expected = Some(found);
                let fault = Fault::OutOfSequence { expected, found };
                Some(Err(Damage { offset: start as u64, fault }))
            }
            _ => Some(Ok(open)),
        }
    }

    /// The next entry of an open frame.
    fn next_of(&mut self, bytes: &[u8], mut open: Open) -> Result<Place, Damage> {
        let found = self.next_entry(bytes, &mut open, Payloads::Kept);
        match &found {
            Ok(_) if open.2.is_done() => {}
            Ok(_) => self.open = Some(open),
            Err(damage) => self.keep_open(open, damage),
        }
        found
    }

    /// After damage in a frame: its other entries are read if it is known where they are.
    fn keep_open(&mut self, open: Open, damage: &Damage) {
        let legible = !matches!(damage.fault, Fault::BadEntry { .. });
        self.open = (legible && !open.2.is_done()).then_some(open);
    }

    #[inline(always)]
    fn next_entry(&mut self, bytes: &[u8], open: &mut Open, payloads: Payloads) -> Result<Place, Damage> {
        let (start, end, cursor) = open;
        let offset = *start + cursor.offset();
        let damage = |fault| Damage { offset: offset as u64, fault };
        let frame = bytes.get(*start..*end).unwrap_or_default();
        let entry = match cursor.next_in(frame, payloads) {
            Ok(entry) => entry,
            Err(why) => {
                // How many entries are lost with the rest of this frame cannot be known.
                self.expected = None;
                return Err(damage(Fault::BadEntry { why }));
            }
        };
        let len = (*start + cursor.offset() - offset) as u32;
        self.expected = Some(cursor.seq());
        let before = std::mem::replace(&mut self.position, entry.at);
        if entry.at < before {
            return Err(damage(Fault::PositionBack { seq: entry.seq, before, at: entry.at }));
        }
        self.totals.entries += 1;
        Ok(Place { entry, offset: offset as u64, len })
    }

    /// Moves past the bad bytes at `start`: to the next good frame, or to the end.
    fn pass_over(&mut self, bytes: &[u8], start: usize, why: FrameError) -> Damage {
        let (at, resumes) = match self.search(bytes, start + 1) {
            Search::Found(at, seq) => (at, Some(seq)),
            Search::Nothing if self.last_segment => {
                self.at = bytes.len();
                let fault = Fault::TornTail { bytes: (bytes.len() - start) as u64, why };
                return Damage { offset: start as u64, fault };
            }
            Search::Nothing | Search::GaveUp => (bytes.len(), None),
        };
        self.at = at;
        let expected = self.expected;
        // The jump in numbers is part of this damage, not a second one.
        self.expected = resumes.or(expected);
        let fault = Fault::Rot { bytes: (at - start) as u64, why, expected, resumes };
        Damage { offset: start as u64, fault }
    }

    /// Looks for a whole frame of this log at or after `from`.
    fn search(&mut self, bytes: &[u8], from: usize) -> Search {
        for at in from..bytes.len() {
            let rest = &bytes[at..];
            let Ok(len) = frame_len(rest) else { continue };
            if len > rest.len() {
                continue;
            }
            let Some(left) = self.search_bytes_left.checked_sub(len) else { return Search::GaveUp };
            self.search_bytes_left = left;
            if let Ok(frame) = Frame::check(rest)
                && self.expected.is_none_or(|expected| frame.first_seq() >= expected)
            {
                return Search::Found(at, frame.first_seq());
            }
        }
        Search::Nothing
    }
}

fn resumes_text(expected: Option<Seq>, resumes: Option<Seq>) -> String {
    match (expected, resumes) {
        (Some(lost), Some(next)) if next > lost => format!("{}, then the log goes on", lost_text(lost, next)),
        (_, Some(next)) => format!("the log goes on with entry {next}"),
        (_, None) => "nothing after them in this segment does".into(),
    }
}

/// Says that the entries from `from` to before `next` are missing.
fn lost_text(from: Seq, next: Seq) -> String {
    match Seq(next.get().saturating_sub(1)) {
        last if last == from => format!("entry {from} is missing"),
        last => format!("entries {from} to {last} are missing"),
    }
}

fn sequence_text(expected: Seq, found: Seq) -> String {
    match found > expected {
        true => format!("rot: {}", lost_text(expected, found)),
        false => format!("rot: entry {found} comes again, expected entry {expected}"),
    }
}

#[cfg(test)]
mod tests;
