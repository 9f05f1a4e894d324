//! Reading histories: what an entry says in words, how much of what there is, where two logs part.
//!
//! Reading order: [`kind`] (entries by kind), [`packet`] (network frames in words), [`view`] (an
//! entry in words and as JSON), [`filter`], [`stats`] and [`picture`] (counts, and the timeline
//! as SVG), [`diff`].
//!
//! Everything here is a function of entries. Absent on purpose: files, terminals, and any change to
//! what is inspected.

pub mod diff;
pub mod filter;
pub mod kind;
pub mod packet;
pub mod picture;
pub mod stats;
pub mod view;

pub use diff::{Diff, Parting};
pub use filter::Filter;
pub use kind::{Group, Kind};
pub use stats::Stats;
pub use view::EntryView;
