//! Reading histories: entries described in words, counts of what there is, where two logs differ.
//!
//! Reading order: [`kind`] (entries by kind), [`packet`] (network frames in words), [`view`] (an
//! entry in words and as JSON), [`filter`], [`stats`] and [`picture`] (counts, and the timeline
//! as SVG), [`clock`] (the guest's clock along a log), [`groups`] (entries by what the guest was about), [`symbols`] (names for places in a
//! guest), [`callers`]
//! and [`profile`] (where a guest's time goes), [`diff`].
//!
//! Everything here is a function of entries, or of what a machine shows. Absent on purpose: files, terminals, and any change to
//! what is inspected.

pub mod callers;
pub mod clock;
pub mod diff;
pub mod filter;
pub mod groups;
pub mod kind;
pub mod packet;
pub mod picture;
pub mod profile;
pub mod stats;
pub mod symbols;
pub mod view;

pub use clock::LogClock;
pub use diff::{Diff, Parting};
pub use filter::Filter;
pub use groups::Groups;
pub use kind::{Group, Kind};
pub use profile::Profile;
pub use stats::Stats;
pub use symbols::SymbolTable;
pub use view::EntryView;
