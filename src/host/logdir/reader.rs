//! Reading a log: its segments through memory maps, one at a time, entries in order.
//!
//! Promises: nothing is written; memory stays constant however long the log is; every damage is reported with
//! its file and byte, and reading goes on behind it as far as that makes sense. A caller that needs a whole
//! log stops at the first damage.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::map::Mapped;
use super::{BASE_NAME, BASE_PART_NAME, LogError, refuse_store, segments_in};
use crate::base::{Icount, Seq};
use crate::log::scan::{self, Place, Scan, ScanTotals};
use crate::log::{Damage, Entry, Fault, HeaderError, Lineage, SegmentHeader};
use crate::machine::Saved;
use crate::snapshot::chunk::CHUNK_PREFIX_BYTES;
use crate::snapshot::{Decoder, SnapshotError, chunk_len};

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first entry, going by the file's name.
    pub first: Seq,
    /// Where the file is.
    pub path: PathBuf,
    /// Its size when the directory was listed.
    pub bytes: u64,
}

/// A directory that holds a log.
#[derive(Clone, Debug)]
pub struct LogDir {
    dir: PathBuf,
    segments: Vec<Segment>,
}

impl LogDir {
    /// Lists the log in `dir`. That it is whole is not looked at yet.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        refuse_store(dir)?;
        let mut segments = Vec::new();
        for (first, path) in segments_in(dir)? {
            let bytes = std::fs::metadata(&path).map_err(LogError::io("look at", &path))?.len();
            segments.push(Segment { first, path, bytes });
        }
        if segments.is_empty() && dir.join(BASE_NAME).symlink_metadata().is_err() {
            let dir = dir.to_owned();
            let begun = dir.join(BASE_PART_NAME).symlink_metadata().is_ok();
            return Err(if begun { LogError::Unbegun { dir } } else { LogError::NoLog { dir } });
        }
        Ok(Self { dir: dir.to_owned(), segments })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The header of the first segment that has a readable one.
    pub fn header(&self) -> Result<SegmentHeader, LogError> {
        let mut first_error = None;
        for segment in &self.segments {
            let map = Mapped::open(&segment.path).map_err(LogError::io("map", &segment.path))?;
            match SegmentHeader::decode(&map) {
                Ok((header, _)) => return Ok(header),
                Err(why) => {
                    let error = LogError::BadHeader { path: segment.path.clone(), why };
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(LogError::NoLog { dir: self.dir.clone() }))
    }

    /// The last entry, as far as the log can be read; damage does not matter to it.
    pub fn last_entry(&self) -> Result<Option<Entry>, LogError> {
        for segment in self.segments.iter().rev() {
            let map = Mapped::open(&segment.path).map_err(LogError::io("map", &segment.path))?;
            let frames_at = SegmentHeader::decode(&map).map_or(0, |(_, len)| len);
            if let Some(last) = scan::last_entry(&map, frames_at) {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    /// Reads `base.snap`, the state that the log starts from, of at most `ram_bytes_max` of RAM.
    pub fn base(&self, ram_bytes_max: u64) -> Result<Saved, LogError> {
        read_snapshot(&self.dir.join(BASE_NAME), ram_bytes_max)
    }

    /// Reads all entries from the first segment on.
    pub fn read(&self) -> LogReader {
        LogReader::new(self.segments.iter().cloned().collect())
    }
}

/// The machine in a file of snapshot chunks.
pub fn read_snapshot(path: &Path, ram_bytes_max: u64) -> Result<Saved, LogError> {
    let bad = |why| LogError::BadBase { path: path.to_owned(), why };
    let mut file = File::open(path).map_err(LogError::io("open", path))?;
    let mut decoder = Decoder::new(ram_bytes_max);
    let mut chunk = Vec::new();
    loop {
        let mut prefix = [0; CHUNK_PREFIX_BYTES];
        if read_full(&mut file, &mut prefix[..1], path)? == 0 {
            return decoder.finish().map_err(bad);
        }
        if read_full(&mut file, &mut prefix[1..], path)? < CHUNK_PREFIX_BYTES - 1 {
            return Err(bad(SnapshotError::CutOff));
        }
        chunk.clear();
        chunk.extend_from_slice(&prefix);
        chunk.resize(chunk_len(prefix).map_err(bad)?, 0);
        let rest = &mut chunk[CHUNK_PREFIX_BYTES..];
        if read_full(&mut file, rest, path)? < rest.len() {
            return Err(bad(SnapshotError::CutOff));
        }
        decoder.push(&chunk).map_err(bad)?;
    }
}

/// Fills `into` as far as the file goes; answers how far.
fn read_full(file: &mut File, into: &mut [u8], path: &Path) -> Result<usize, LogError> {
    let mut done = 0;
    while done < into.len() {
        match file.read(&mut into[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(LogError::io("read", path)(why)),
        }
    }
    Ok(done)
}

/// Walks over the entries of a log. Yields entries, and errors of which the ones that are
/// [`LogError::Damaged`] do not end it.
#[derive(Debug)]
pub struct LogReader {
    waiting: VecDeque<Segment>,
    open: Option<(Segment, Mapped, Scan)>,
    /// The lineage in the first segment; the others must agree.
    lineage: Option<Lineage>,
    expected: Option<Seq>,
    position: Icount,
    /// Damage of a segment's header, beyond the first one, waiting to be reported.
    pending: VecDeque<LogError>,
    totals: ScanTotals,
}

impl LogReader {
    fn new(waiting: VecDeque<Segment>) -> Self {
        Self {
            waiting,
            open: None,
            lineage: None,
            expected: None,
            position: Icount::ZERO,
            pending: VecDeque::new(),
            totals: ScanTotals::default(),
        }
    }

    /// The log's own description, once its first segment has been opened.
    pub const fn lineage(&self) -> Option<&Lineage> {
        self.lineage.as_ref()
    }

    /// How much has been read.
    pub fn totals(&self) -> ScanTotals {
        self.totals.plus(self.open.as_ref().map(|(_, _, scan)| scan.totals()).unwrap_or_default())
    }

    /// The file that is being read.
    pub fn segment(&self) -> Option<&Segment> {
        self.open.as_ref().map(|(segment, _, _)| segment)
    }

    /// Opens the next segment: damage of its header, or none.
    fn open_next(&mut self, segment: Segment) -> Result<(), LogError> {
        let map = Mapped::open(&segment.path).map_err(LogError::io("map", &segment.path))?;
        let last_segment = self.waiting.is_empty();
        let damaged =
            |fault| LogError::Damaged { path: segment.path.clone(), damage: Damage { offset: 0, fault } };
        let (header, at) = match SegmentHeader::decode(&map) {
            Ok(decoded) => decoded,
            Err(why) if last_segment && matches!(why, HeaderError::Incomplete { .. }) => {
                return Err(damaged(Fault::TornHeader { bytes: map.len() as u64, why }));
            }
            Err(why) => {
                let readable = !matches!(why, HeaderError::BadVersion { .. });
                let error = damaged(Fault::BadHeader { why });
                if readable {
                    // Its frames may be good all the same: they are searched for.
                    let scan = Scan::new(0, Some(segment.first), self.position, last_segment);
                    self.open = Some((segment, map, scan));
                } else {
                    self.expected = None;
                }
                return Err(error);
            }
        };
        if header.first_seq != segment.first {
            let fault = Fault::Misnamed { named: segment.first, found: header.first_seq };
            self.pending.push_back(damaged(fault));
        }
        match &self.lineage {
            Some(first) => {
                if let Some(fault) = other_lineage(first, &header.lineage) {
                    self.pending.push_back(damaged(fault));
                }
            }
            None => {
                self.expected = Some(header.lineage.base_seq.next());
                self.position = header.lineage.base_icount;
                self.lineage = Some(header.lineage);
            }
        }
        if let Some(expected) = self.expected
            && expected != header.first_seq
        {
            let fault = Fault::OutOfSequence { expected, found: header.first_seq };
            self.pending.push_back(damaged(fault));
        }
        let scan = Scan::new(at, Some(header.first_seq), self.position, last_segment);
        self.open = Some((segment, map, scan));
        Ok(())
    }
}

impl LogReader {
    /// Hands every entry to `each`, without its payload, up to the next error, which does not end
    /// it if it is damage; none at the end. Much faster than taking the entries one by one.
    pub fn skim(&mut self, mut each: impl FnMut(&Place)) -> Option<LogError> {
        loop {
            if let Some(error) = self.pending.pop_front() {
                return Some(error);
            }
            if let Some((segment, map, scan)) = &mut self.open {
                match scan.skim_in(map, &mut each) {
                    Some(Ok(())) => continue,
                    Some(Err(damage)) => {
                        return Some(LogError::Damaged { path: segment.path.clone(), damage });
                    }
                    None => {}
                }
            }
            if let Err(error) = self.turn_over()? {
                return Some(error);
            }
        }
    }

    /// Goes on to the next segment, if there is one.
    fn turn_over(&mut self) -> Option<Result<(), LogError>> {
        if let Some((_, _, scan)) = self.open.take() {
            self.expected = scan.expected();
            self.position = scan.position();
            self.totals = self.totals.plus(scan.totals());
        }
        let segment = self.waiting.pop_front()?;
        Some(self.open_next(segment))
    }
}

impl Iterator for LogReader {
    type Item = Result<Place, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.pending.pop_front() {
                return Some(Err(error));
            }
            if let Some((segment, map, scan)) = &mut self.open {
                match scan.next_in(map) {
                    Some(Ok(place)) => return Some(Ok(place)),
                    Some(Err(damage)) => {
                        return Some(Err(LogError::Damaged { path: segment.path.clone(), damage }));
                    }
                    None => {}
                }
            }
            if let Err(error) = self.turn_over()? {
                return Some(Err(error));
            }
        }
    }
}

/// How `found` differs from the first segment's lineage.
fn other_lineage(first: &Lineage, found: &Lineage) -> Option<Fault> {
    let fields = [
        ("vm", first.vm.clone(), found.vm.clone()),
        ("guest", first.guest.clone(), found.guest.clone()),
        ("guest digest", first.guest_digest.to_string(), found.guest_digest.to_string()),
        ("RAM size", first.ram_bytes.to_string(), found.ram_bytes.to_string()),
        ("base entry", first.base_seq.to_string(), found.base_seq.to_string()),
        ("base position", first.base_icount.to_string(), found.base_icount.to_string()),
        ("base digest", first.base_digest.to_string(), found.base_digest.to_string()),
    ];
    fields
        .into_iter()
        .find(|(_, expected, found)| expected != found)
        .map(|(field, expected, found)| Fault::OtherLineage { field, expected, found })
}
