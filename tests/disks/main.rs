//! Guests with disks, as real processes: what was flushed survives whatever is killed, both copies end
//! up the same, a recording needs no disk, and what cannot be a guest's disk is refused with a reason.
//!
//! The guest is `journal`: it writes numbered records, says each number once it is flushed, and looks
//! at its next start whether they are all there.

mod alone;
mod bad;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod pairs;
mod rejoin;
mod stores;
mod support;
mod teaching;
