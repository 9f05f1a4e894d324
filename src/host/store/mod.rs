//! The durable log and the checkpoints of one replica, in one directory.
//!
//! ```text
//! store                      whose store it is: JSON, the last file that a creation makes
//! 00000000000000000001.log   segments, each named by the number of its first entry
//! 00000000000000183271.log   ...
//! 00000000000000000000.ckpt  checkpoints, each named by the last entry that its state contains
//! 00000000000000180003.ckpt  ...
//! 00000000000000000877.spare a file for a later segment
//! replica                    what the replica was to its group: JSON
//! diverged                   its node has diverged: nobody goes on from it
//! ```
//!
//! Promises: an entry that was reported durable is there after any crash, with all before it, back to the
//! oldest checkpoint; a torn tail is cut, rot is reported with file and place and never skipped; after one
//! failed write or sync nothing more is written; appending never waits for the disk; memory is bounded.
//!
//! Assumed of the disk: a sector that is written again with the same bytes in its front keeps them, also
//! when the power fails meanwhile.
//!
//! Reading order: `error`, `files` (what is asked of the directory), `identity`, `batch` (what frames are
//! written in), `segment`, `checkpoint`, `survey` (what is there), `restore` (the machine at a
//! checkpoint), `catalog` (what is there now), `writer`, `keep`, `keeper` and `prune` (retention), `frames` (reading
//! back), `handle` (the threads), `reader` (a store that is only looked at), `distrust`.
//!
//! Absent on purpose: replication, and what an entry means.

mod batch;
mod catalog;
mod checkpoint;
mod distrust;
mod error;
pub mod files;
mod frames;
mod handle;
mod identity;
mod keep;
mod keeper;
mod prune;
mod reader;
mod replica;
mod restore;
mod segment;
mod survey;
mod writer;

pub use checkpoint::{CheckpointInfo, CheckpointMeta};
pub use distrust::{distrust, is_distrusted};
pub use error::StoreError;
pub use frames::{Entries, Frames};
pub use handle::{Appended, Settings, Status, Store, StoreEvent, Sync, await_release, is_there};
pub use identity::{Identity, NAME as IDENTITY_NAME};
pub use keep::Keep;
pub use keeper::Pruned;
pub use prune::{PruneReport, prune};
pub use reader::StoreReader;
pub use replica::Replica;
pub use segment::Progress;
pub use survey::{Check, Findings, Survey, Tail, is_begun_in};

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
pub(crate) mod power_tests;
#[cfg(test)]
pub(crate) mod prune_tests;
#[cfg(test)]
mod store_tests;
