//! Reading a log while it is being written.
//!
//! Reads with `read`, not through maps: a file that is being written may change its length at any
//! time, and then a read is short where a map would kill us. Keeps at most two frames' worth of
//! bytes. Where a plain reader sees a torn tail, a follower waits for more; any other damage ends
//! it (a plain reader goes on).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{LogError, refuse_store, segment_name, segments_in};
use crate::base::{Icount, Seq};
use crate::log::scan::{Place, Scan, ScanTotals};
use crate::log::segment::HEADER_BYTES_MAX;
use crate::log::{Damage, FRAME_BYTES_MAX, Fault, HeaderError, SegmentHeader};

/// Follows the log in a directory, from its first entry on.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    open: Option<OpenSegment>,
    /// The number and position to go on from; the number is unknown before the first segment.
    expected: Option<Seq>,
    position: Icount,
    /// How much was read of the segments before the open one.
    totals: ScanTotals,
}

/// A segment that is being followed.
#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    file: File,
    /// Bytes that were read and are not done with.
    window: Vec<u8>,
    /// Where the window starts in the file.
    window_at: u64,
    /// None until the header has been read.
    scan: Option<Scan>,
}

impl Follower {
    /// Follows the log in `dir`, which must exist; its first segment need not.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        refuse_store(dir)?;
        segments_in(dir)?;
        let (position, totals) = (Icount::ZERO, ScanTotals::default());
        Ok(Self { dir: dir.to_owned(), open: None, expected: None, position, totals })
    }

    /// How much has been read.
    pub fn totals(&self) -> ScanTotals {
        let open = self.open.as_ref().and_then(|open| open.scan.as_ref());
        self.totals.plus(open.map(Scan::totals).unwrap_or_default())
    }

    /// The next entry, or none if it has not been written yet: ask again later.
    pub fn poll(&mut self) -> Result<Option<Place>, LogError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(place) = open.next(self.expected, self.position)? {
                return Ok(Some(place));
            }
            if open.fill()? {
                continue;
            }
            // A segment is complete before the next one is created. So look for that, then once
            // more for the rest of this one.
            let Some((expected, position)) = open.place_after() else { return Ok(None) };
            let later = segments_in(&self.dir)?
                .into_iter()
                .find(|(first, path)| *first >= expected && *path != open.path);
            let Some((found, path)) = later else { return Ok(None) };
            if open.fill()? {
                continue;
            }
            open.refuse_rest()?;
            if found != expected {
                let damage = Damage { offset: 0, fault: Fault::OutOfSequence { expected, found } };
                return Err(LogError::Damaged { path, damage });
            }
            self.totals = self.totals();
            (self.expected, self.position, self.open) = (Some(expected), position, None);
        }
    }

    /// Opens the segment to go on with, if it is there.
    fn open_next(&mut self) -> Result<bool, LogError> {
        let path = match self.expected {
            Some(expected) => Some(self.dir.join(segment_name(expected))),
            None => segments_in(&self.dir)?.into_iter().next().map(|(_, path)| path),
        };
        let Some(path) = path else { return Ok(false) };
        match File::open(&path) {
            Ok(file) => {
                let window = Vec::new();
                self.open = Some(OpenSegment { path, file, window, window_at: 0, scan: None });
                Ok(true)
            }
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(false),
            Err(why) => Err(LogError::io("open", &path)(why)),
        }
    }
}

impl OpenSegment {
    fn next(&mut self, expected: Option<Seq>, position: Icount) -> Result<Option<Place>, LogError> {
        let (path, window_at) = (&self.path, self.window_at);
        let damaged = |mut damage: Damage| {
            damage.offset += window_at;
            LogError::Damaged { path: path.clone(), damage }
        };
        let window = self.window.as_slice();
        let scan = match &mut self.scan {
            Some(scan) => scan,
            None => {
                let (header, at) = match SegmentHeader::decode(window) {
                    Ok(decoded) => decoded,
                    Err(HeaderError::Incomplete { .. }) => return Ok(None),
                    Err(why) => return Err(damaged(Damage { offset: 0, fault: Fault::BadHeader { why } })),
                };
                let (expected, position) = match expected {
                    Some(expected) => (expected, position),
                    None => (header.lineage.base_seq.next(), header.lineage.base_icount),
                };
                if header.first_seq != expected {
                    let fault = Fault::OutOfSequence { expected, found: header.first_seq };
                    return Err(damaged(Damage { offset: 0, fault }));
                }
                self.scan.insert(Scan::new(at, Some(expected), position, true))
            }
        };
        match scan.next_growing(window) {
            Some(Ok(mut place)) => {
                place.offset += window_at;
                Ok(Some(place))
            }
            Some(Err(damage)) => Err(damaged(damage)),
            None => Ok(None),
        }
    }

    /// Reads more into the window; false if there is nothing further now.
    fn fill(&mut self) -> Result<bool, LogError> {
        if let Some(scan) = &mut self.scan
            && scan.is_between_frames()
        {
            let done = scan.offset();
            scan.rebase(done);
            self.window.drain(..done);
            self.window_at += done as u64;
        }
        let mut chunk = vec![0; if self.scan.is_some() { FRAME_BYTES_MAX } else { HEADER_BYTES_MAX }];
        loop {
            match self.file.read(&mut chunk) {
                Ok(n) => {
                    self.window.extend_from_slice(&chunk[..n]);
                    return Ok(n > 0);
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(LogError::io("read", &self.path)(why)),
            }
        }
    }

    /// The number and position that the next segment goes on from, once entries can be counted.
    fn place_after(&self) -> Option<(Seq, Icount)> {
        let scan = self.scan.as_ref()?;
        Some((scan.expected()?, scan.position()))
    }

    /// Fails if bytes are left that became no frame before the next segment was begun.
    fn refuse_rest(&self) -> Result<(), LogError> {
        let window = self.window.as_slice();
        let Err(why) = crate::log::Frame::check(window) else { return Ok(()) };
        if window.is_empty() {
            return Ok(());
        }
        let fault = Fault::Rot { bytes: window.len() as u64, why, expected: None, resumes: None };
        let damage = Damage { offset: self.window_at, fault };
        Err(LogError::Damaged { path: self.path.clone(), damage })
    }
}
