//! The bytes of the guests' disks: files, overlays, and a thread for each disk.
//!
//! Reading order: `place` (what `--disk` names), `error`, `store` (a raw file), `overlay` (a
//! base that stays as it is, and what was written since), [`identity`] (whose disk a file is, and how
//! new), `open` (all the checks before a guest may use a file), `worker` (carries requests out in
//! order), `rack` (all disks of one node).
//!
//! Promises: requests of one disk are carried out one after another, in the order in which they came;
//! a flush is answered only after `fdatasync`; after one failed sync nothing is ever called durable
//! again. No file is written by two processes of ours at once, and none that is not known to be this
//! vm's is overwritten by a join.
//!
//! Absent on purpose: what a request means to a guest or to replication.

pub(crate) mod error;
pub mod identity;
pub(crate) mod open;
pub(crate) mod overlay;
pub(crate) mod place;
pub(crate) mod rack;
pub(crate) mod store;
pub(crate) mod worker;

pub(crate) use error::DiskError;
pub use identity::Claimant;
pub(crate) use place::{DiskPlace, OverlayPlace};
pub(crate) use rack::{Disks, KeptDisks, Rack};
