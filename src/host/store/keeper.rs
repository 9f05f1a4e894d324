//! Checkpoints and retention: saving the one, and removing what it makes unneeded.
//!
//! Order of a removal: checkpoints first, oldest first; then, when that is durable, the segments which
//! nothing needs any more. A crash in between leaves segments too many, never a checkpoint without its log.

use std::sync::Arc;

use super::catalog::{Catalog, SPARES_MAX};
use super::checkpoint::{self, CheckpointInfo, CheckpointMeta};
use super::error::StoreError;
use super::files::Files;
use super::identity::Identity;
use super::keep::Keep;
use super::segment;
use crate::base::Seq;

/// What a removal came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Checkpoints that went.
    pub checkpoints: usize,
    /// Segments that went, or are kept for later ones.
    pub segments: usize,
}

/// Saves checkpoints and removes old ones.
#[derive(Debug)]
pub struct Keeper {
    files: Arc<dyn Files>,
    catalog: Arc<Catalog>,
    identity: Identity,
    /// After a failed sync of the directory it is not known which checkpoints will be there after a crash:
    /// nothing is removed or added any more, so that each of them has its log.
    broken: bool,
    /// A segment that nothing needs any more becomes a later one.
    recycles: bool,
}

impl Keeper {
    /// The keeper of a store that is open.
    pub fn new(files: Arc<dyn Files>, catalog: Arc<Catalog>, identity: Identity) -> Self {
        Self { files, catalog, identity, broken: false, recycles: true }
    }

    /// The keeper of a store that nobody writes to: what it removes is free again.
    pub fn without_spares(self) -> Self {
        Self { recycles: false, ..self }
    }

    /// Writes a checkpoint's file, as long as `go_on`; none if that ended.
    pub fn write(
        &self,
        meta: CheckpointMeta,
        chunks: impl IntoIterator<Item = Vec<u8>>,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<CheckpointInfo>, StoreError> {
        self.refuse_broken()?;
        if let Some(base) = meta.base
            && !self.catalog.lock().checkpoints.iter().any(|kept| kept.meta.seq == base)
        {
            return Err(StoreError::NoBase { dir: self.files.path(""), seq: meta.seq, base });
        }
        let written = checkpoint::write_part(&*self.files, &self.identity, meta, chunks, go_on);
        if !matches!(written, Ok(Some(_))) {
            self.discard(meta.seq);
        }
        written
    }

    /// Makes a written checkpoint one of the store's. All entries that it contains must be durable.
    pub fn publish(&mut self, info: CheckpointInfo) -> Result<(), StoreError> {
        self.refuse_broken()?;
        let seq = info.meta.seq;
        assert!(self.catalog.lock().durable >= seq, "a checkpoint past the durable log");
        checkpoint::rename(&*self.files, seq)?;
        self.sync_names()?;
        let mut held = self.catalog.lock();
        let at = held.checkpoints.partition_point(|kept| kept.meta.seq < seq);
        match held.checkpoints.get_mut(at).filter(|kept| kept.meta.seq == seq) {
            Some(kept) => *kept = info,
            None => held.checkpoints.insert(at, info),
        }
        Ok(())
    }

    /// Removes a checkpoint that was not published, if that can be done; the next opener does otherwise.
    pub fn discard(&self, seq: Seq) {
        match self.files.remove(&checkpoint::part_name_of(seq)) {
            Ok(()) | Err(_) => {}
        }
    }

    /// Removes what is over. After an error the rest goes with the next call, or the next opener.
    pub fn prune(&mut self, keep: &Keep) -> Result<Pruned, StoreError> {
        self.refuse_broken()?;
        let over: Vec<Seq> = {
            let held = self.catalog.lock();
            let over = keep.surplus(&held.checkpoints, &held.segments, held.hold, self.files.now_ns());
            held.checkpoints[..over].iter().map(|checkpoint| checkpoint.meta.seq).collect()
        };
        for seq in &over {
            self.remove(&checkpoint::name_of(*seq))?;
            // Only now its log is not needed.
            self.catalog.lock().checkpoints.retain(|checkpoint| checkpoint.meta.seq != *seq);
        }
        let unneeded = self.catalog.take_unneeded();
        if !unneeded.is_empty() {
            self.sync_names()?;
        }
        for first in &unneeded {
            let (name, spare) = (segment::name_of(*first), segment::spare_name_of(*first));
            if self.recycles && self.catalog.lock().spares.len() < SPARES_MAX {
                self.files.rename(&name, &spare).map_err(StoreError::io("rename", self.files.path(&name)))?;
                // A crash may bring its old name back, and nothing needs what it was the name of.
                self.catalog.lock().spares.push(spare);
            } else {
                self.remove(&name)?;
            }
        }
        Ok(Pruned { checkpoints: over.len(), segments: unneeded.len() })
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.files.remove(name).map_err(StoreError::io("remove", self.files.path(name)))
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        let dir = self.files.path("");
        self.broken = true;
        self.files.sync_dir().map_err(StoreError::io("sync the directory", &dir))?;
        self.broken = false;
        Ok(())
    }

    fn refuse_broken(&self) -> Result<(), StoreError> {
        if self.broken { Err(StoreError::Broken { dir: self.files.path("") }) } else { Ok(()) }
    }
}
