//! A store that is only looked at: nothing in it is changed, not even a torn tail.
//!
//! Promises: no process writes to the store while this is open, and any number may read, but for a
//! [glance](StoreReader::glance). What is not asked for need not be whole: reading fails at the first fault that is met.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::catalog::Catalog;
use super::checkpoint::Chunks;
use super::error::StoreError;
use super::files::{Files, HostFiles};
use super::frames::Frames;
use super::handle::lock;
use super::restore::restore;
use super::survey::{Check, Findings, look_through};
use crate::base::Seq;
use crate::machine::Machine;

/// A store that is open for reading.
#[derive(Debug)]
pub struct StoreReader {
    files: Arc<dyn Files>,
    catalog: Arc<Catalog>,
    found: Findings,
    /// Locked, together with other readers, as long as it is open; none if a process has the store.
    lock: Option<File>,
}

/// Files of a store in use come and go: so often it is looked at again before what is missing is believed.
const GLANCES_MAX: usize = 5;

impl StoreReader {
    /// Opens the store in `dir`, whole or not, and looks through it.
    pub fn open(dir: &Path, check: Check) -> Result<Self, StoreError> {
        Self::open_watched(dir, check, |_| {})
    }

    /// The same; `has_read` hears how many bytes were read, whenever there are some more.
    pub fn open_watched(dir: &Path, check: Check, mut has_read: impl FnMut(u64)) -> Result<Self, StoreError> {
        let lock = lock(dir, File::try_lock_shared)?;
        Self::look(dir, Some(lock), check, &mut has_read)
    }

    /// The same, but a store that a process has is looked at, too: it goes on changing, and what is found is not of one
    /// moment.
    pub fn glance(dir: &Path, check: Check) -> Result<Self, StoreError> {
        match lock(dir, File::try_lock_shared) {
            Ok(lock) => return Self::look(dir, Some(lock), check, &mut |_| {}),
            Err(StoreError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
        let is_whole = |found: &Result<Self, _>| found.as_ref().is_ok_and(|it| it.found.faults.is_empty());
        let mut found = Self::look(dir, None, check, &mut |_| {});
        for _ in 1..GLANCES_MAX {
            if is_whole(&found) {
                break;
            }
            found = Self::look(dir, None, check, &mut |_| {});
        }
        found
    }

    /// Whether a process has it.
    pub const fn is_in_use(&self) -> bool {
        self.lock.is_none()
    }

    fn look(
        dir: &Path,
        lock: Option<File>,
        check: Check,
        has_read: &mut dyn FnMut(u64),
    ) -> Result<Self, StoreError> {
        let files: Arc<dyn Files> = Arc::new(HostFiles::new(dir));
        let found = look_through(&*files, check, has_read)?;
        let generation = found.reached.map_or_else(Default::default, |reached| reached.generation);
        let (checkpoints, segments) = (found.checkpoints.clone(), found.segments.clone());
        let catalog = Arc::new(Catalog::of(checkpoints, segments, found.last(), generation));
        Ok(Self { files, catalog, found, lock })
    }

    /// The same of a store in which nothing is wrong, as far as `check` goes.
    pub fn open_whole(dir: &Path, check: Check) -> Result<Self, StoreError> {
        let mut store = Self::open(dir, check)?;
        match store.found.faults.is_empty() {
            true => Ok(store),
            false => Err(store.found.faults.swap_remove(0)),
        }
    }

    /// What is there, and what is wrong with it.
    pub const fn found(&self) -> &Findings {
        &self.found
    }

    /// The frames with entries after `after`, to the end of the log.
    pub fn frames_after(&self, after: Seq) -> Result<Frames, StoreError> {
        let (files, catalog) = (Arc::clone(&self.files), Arc::clone(&self.catalog));
        Frames::new(files, catalog, self.found.identity.clone(), after)
    }

    /// The state of hart and devices at the checkpoint after entry `seq`.
    pub fn state(&self, seq: Seq) -> Result<Vec<u8>, StoreError> {
        match self.found.checkpoints.iter().any(|kept| kept.meta.seq == seq) {
            true => Chunks::open(&*self.files, &self.found.identity, seq)?.state(),
            false => Err(StoreError::NoSuchCheckpoint { seq }),
        }
    }

    /// The machine at the checkpoint after entry `seq`.
    pub fn restore(&self, seq: Seq) -> Result<Machine, StoreError> {
        restore(&*self.files, &self.found.identity, &self.found.checkpoints, seq)
    }
}
