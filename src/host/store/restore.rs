//! The machine at a checkpoint: that of the checkpoint which stands by itself, and what each one that builds on it adds.
//!
//! Promises: it is the machine which every one of these checkpoints names by its digest; what is read is bounded by the
//! checkpoints that the store has.

use super::checkpoint::{CheckpointInfo, Chunks};
use super::error::StoreError;
use super::files::Files;
use super::identity::Identity;
use crate::base::Seq;
use crate::machine::Machine;

/// The checkpoints that are needed for the one after entry `seq`, which is the last; the first stands by itself.
pub(super) fn chain(
    files: &dyn Files,
    checkpoints: &[CheckpointInfo],
    seq: Seq,
) -> Result<Vec<CheckpointInfo>, StoreError> {
    let find = |seq| checkpoints.iter().find(|kept| kept.meta.seq == seq);
    let mut last = find(seq).ok_or(StoreError::NoSuchCheckpoint { seq })?;
    let mut chain = vec![*last];
    while let Some(base) = last.meta.base {
        let seq = last.meta.seq;
        let no_base = || StoreError::NoBase { dir: files.path(""), seq, base };
        last = find(base).filter(|kept| kept.meta.seq < seq).ok_or_else(no_base)?;
        chain.push(*last);
    }
    chain.reverse();
    Ok(chain)
}

/// The machine at the checkpoint after entry `seq`.
pub(super) fn restore(
    files: &dyn Files,
    identity: &Identity,
    checkpoints: &[CheckpointInfo],
    seq: Seq,
) -> Result<Machine, StoreError> {
    let mut machine: Option<Machine> = None;
    for info in chain(files, checkpoints, seq)? {
        let chunks = Chunks::open(files, identity, info.meta.seq)?;
        let path = chunks.path().to_owned();
        let saved = chunks.saved()?;
        let next = match machine {
            None => Machine::restore(saved),
            Some(machine) => machine.succeed(saved),
        };
        machine = Some(next.map_err(|why| StoreError::NotAMachine { path, why: Box::new(why) })?);
    }
    Ok(machine.expect("a chain has a first checkpoint"))
}
