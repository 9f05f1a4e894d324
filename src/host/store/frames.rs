//! Reading the log back: whole frames in order, one batch in memory.

use std::sync::Arc;

use super::catalog::Catalog;
use super::error::StoreError;
use super::files::Files;
use super::identity::Identity;
use super::segment::Walk;
use super::survey::check_generation;
use crate::base::{Icount, Seq};
use crate::log::frame::EntryCursor;
use crate::log::{Entry, Frame, FrameError, Payloads};

/// The frames after an entry. It ends with the last frame that was written when it came there; what it has
/// not yet read is not removed meanwhile. After an error there are no more.
#[derive(Debug)]
pub struct Frames {
    files: Arc<dyn Files>,
    catalog: Arc<Catalog>,
    identity: Identity,
    reader: u64,
    /// The first entry that is wanted.
    next: Seq,
    walk: Option<Walk>,
    /// Bytes of the walk's batch that were handed out.
    done: usize,
    failed: bool,
}

impl Frames {
    pub(super) fn new(
        files: Arc<dyn Files>,
        catalog: Arc<Catalog>,
        identity: Identity,
        after: Seq,
    ) -> Result<Self, StoreError> {
        let entered = catalog.enter_reader(after);
        let reader = entered.map_err(|(first, last)| StoreError::NotHere { after, first, last })?;
        let next = after.next();
        Ok(Self { files, catalog, identity, reader, next, walk: None, done: 0, failed: false })
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if let Some(walk) = &self.walk
                && let Some(rest) = walk.frames().get(self.done..).filter(|rest| !rest.is_empty())
            {
                let frame = Frame::check(rest).expect("the batch was checked");
                self.done += frame.bytes().len();
                if frame.last_seq() >= self.next {
                    self.next = frame.last_seq().next();
                    return Ok(Some(frame.bytes().to_vec()));
                }
                continue;
            }
            if !self.fetch()? {
                return Ok(None);
            }
        }
    }

    /// An error: the last frame, of so many bytes, has an entry that does not decode.
    fn bad(&self, frame_bytes: usize, why: FrameError) -> StoreError {
        let walk = self.walk.as_ref().expect("a frame came from a segment");
        let end = walk.at() - (walk.frames().len() - self.done) as u64;
        let offset = end - frame_bytes as u64;
        StoreError::BadFrame { path: walk.path().clone(), offset, why: why.to_string() }
    }

    /// Reads the next batch; false if there is none yet.
    fn fetch(&mut self) -> Result<bool, StoreError> {
        if self.next > self.catalog.lock().written {
            return Ok(false);
        }
        self.catalog.move_reader(self.reader, self.next);
        let segment = self.catalog.segment_of(self.next).expect("a reader's segment is kept");
        self.done = 0;
        let mut walk = match self.walk.take() {
            Some(walk) if walk.header().first_seq == segment => walk,
            before => {
                let (sum, position) = match &before {
                    Some(walk) => (walk.sum(), walk.progress().position),
                    None => (None, Icount::ZERO),
                };
                let walk = Walk::open(&*self.files, &self.identity, segment, sum, position)?;
                if let Some(before) = before {
                    check_generation(&walk, before.progress())?;
                }
                walk
            }
        };
        if let Err(fault) = walk.step()? {
            return Err(walk.rot(fault, "and it was there when it was written"));
        }
        self.walk = Some(walk);
        Ok(true)
    }

    /// The entries after the one that the frames were asked for after.
    pub fn entries(self, payloads: Payloads) -> Entries {
        Entries {
            after: Seq(self.next.get() - 1),
            frames: self,
            frame: Vec::new(),
            cursor: None,
            payloads,
            failed: false,
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Vec<u8>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.frame().transpose();
        self.failed = matches!(frame, Some(Err(_)));
        frame
    }
}

/// The entries in [`Frames`], one after another. After an error there are no more.
#[derive(Debug)]
pub struct Entries {
    frames: Frames,
    after: Seq,
    frame: Vec<u8>,
    cursor: Option<EntryCursor>,
    payloads: Payloads,
    failed: bool,
}

impl Entries {
    fn entry(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            if let Some(cursor) = self.cursor.as_mut().filter(|cursor| !cursor.is_done()) {
                let entry = cursor.next_in(&self.frame, self.payloads);
                let entry = entry.map_err(|why| self.frames.bad(self.frame.len(), why))?;
                if entry.seq > self.after {
                    return Ok(Some(entry));
                }
                continue;
            }
            let Some(frame) = self.frames.next() else { return Ok(None) };
            self.frame = frame?;
            let checked = Frame::check(&self.frame).expect("the batch was checked");
            self.cursor = Some(checked.cursor());
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.entry().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.catalog.leave_reader(self.reader);
    }
}
