//! Removing what is over from a store that no process has.
//!
//! Promises: what would be left is looked through first, and nothing is removed unless it is whole; a limit that
//! the newest checkpoint and the log after it exceed by themselves removes nothing either.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::catalog::Catalog;
use super::error::StoreError;
use super::files::{Files, HostFiles};
use super::handle::{lock, remove_leftovers};
use super::keep::{Keep, needed_from};
use super::keeper::{Keeper, Pruned};
use super::restore;
use super::survey::{Check, Survey, survey};
use crate::base::Sabotage;

/// What a removal came to, and what is there now.
#[derive(Debug)]
pub struct PruneReport {
    /// What went.
    pub pruned: Pruned,
    /// What there was before.
    pub before: Survey,
    /// How many bytes the files had that went.
    pub bytes_freed: u64,
    /// Checkpoints over the limits that stay, because newer ones build on them.
    pub needed: usize,
}

/// Removes from the store in `dir` what is over the limits, and is not needed to go back to a checkpoint that stays.
pub fn prune(dir: &Path, keep: &Keep) -> Result<PruneReport, StoreError> {
    let _lock = lock(dir, File::try_lock)?;
    let files: Arc<dyn Files> = Arc::new(HostFiles::new(dir));
    prune_in(files, keep)
}

pub(super) fn prune_in(files: Arc<dyn Files>, keep: &Keep) -> Result<PruneReport, StoreError> {
    let before = survey(&*files, Check::SinceNewest)?;
    let (checkpoints, segments) = (&before.checkpoints, &before.segments);
    let newest = checkpoints.last().expect("a store has a checkpoint");
    let way_back = restore::chain(&*files, checkpoints, newest.meta.seq)?;
    let log = segments[needed_from(segments, way_back[0].meta.seq)..].iter().map(|(_, bytes)| bytes);
    let bytes = way_back.iter().map(|needed| needed.bytes).sum::<u64>() + log.sum::<u64>();
    if let Some(limit) = keep.bytes.filter(|limit| bytes > *limit) {
        return Err(StoreError::OnlyWayBack { dir: files.path(""), limit, bytes });
    }
    let sizes = files.list().map_err(StoreError::io("read the directory", files.path("")))?;
    let is_left_over = |(name, _): &&(String, u64)| before.leftovers.contains(name);
    let freed: u64 = sizes.iter().filter(is_left_over).map(|(_, bytes)| bytes).sum();
    remove_leftovers(&*files, &before)?;
    let now_ns = files.now_ns();
    let over = keep.surplus(checkpoints, segments, None, now_ns);
    let needed = keep.over(checkpoints, segments, None, now_ns).saturating_sub(over);
    let Some(stays) = checkpoints.get(over).filter(|_| over > 0) else {
        return Ok(PruneReport { pruned: Pruned::default(), before, bytes_freed: freed, needed });
    };
    if !Sabotage::StorePrunedBlind.is_on() {
        survey(&*files, Check::Since(stays.meta.seq))
            .map_err(|why| StoreError::LeftUnsound { why: Box::new(why) })?;
    }
    let log = segments[..needed_from(segments, stays.meta.seq)].iter().map(|(_, bytes)| bytes);
    let bytes_freed =
        freed + log.sum::<u64>() + checkpoints[..over].iter().map(|went| went.bytes).sum::<u64>();
    let catalog = Arc::new(Catalog::new(&before));
    let mut keeper = Keeper::new(files, catalog, before.identity.clone()).without_spares();
    // These, whatever the time is now.
    let pruned = keeper.prune(&Keep { count: Some(checkpoints.len() - over), ..Keep::default() })?;
    Ok(PruneReport { pruned, before, bytes_freed, needed })
}
