//! A store that is only looked at: nothing in it is changed, not even a torn tail.
//!
//! Promises: no process writes to the store while this is open, and any number may read. What is not asked for
//! need not be whole: reading fails at the first fault that is met.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::catalog::Catalog;
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
    /// Locked, together with other readers, as long as it is open.
    _lock: File,
}

impl StoreReader {
    /// Opens the store in `dir`, whole or not, and looks through it.
    pub fn open(dir: &Path, check: Check) -> Result<Self, StoreError> {
        Self::open_watched(dir, check, |_| {})
    }

    /// The same; `has_read` hears how many bytes were read, whenever there are some more.
    pub fn open_watched(dir: &Path, check: Check, mut has_read: impl FnMut(u64)) -> Result<Self, StoreError> {
        let lock = lock(dir, File::try_lock_shared)?;
        let files: Arc<dyn Files> = Arc::new(HostFiles::new(dir));
        let found = look_through(&*files, check, &mut has_read)?;
        let generation = found.reached.map_or_else(Default::default, |reached| reached.generation);
        let (checkpoints, segments) = (found.checkpoints.clone(), found.segments.clone());
        let catalog = Arc::new(Catalog::of(checkpoints, segments, found.last(), generation));
        Ok(Self { files, catalog, found, _lock: lock })
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

    /// The machine at the checkpoint after entry `seq`.
    pub fn restore(&self, seq: Seq) -> Result<Machine, StoreError> {
        restore(&*self.files, &self.found.identity, &self.found.checkpoints, seq)
    }
}
