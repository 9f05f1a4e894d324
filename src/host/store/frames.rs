//! Reading the log back: whole frames in order, one batch in memory.

use std::sync::Arc;

use super::catalog::Catalog;
use super::error::StoreError;
use super::files::Files;
use super::identity::Identity;
use super::segment::Walk;
use super::survey::check_generation;
use crate::base::{Icount, Seq};
use crate::log::Frame;

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

impl Drop for Frames {
    fn drop(&mut self) {
        self.catalog.leave_reader(self.reader);
    }
}
