//! The log: what the machine could not compute for itself, and what it said, with positions.
//!
//! Reading order: [`entry`] (what an entry means).

pub mod entry;

pub use entry::{Entry, Event, OutputMark, Start};
