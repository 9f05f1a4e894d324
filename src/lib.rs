//! lockstep: a fault-tolerant RISC-V virtual machine.
//!
//! A guest program runs on a *primary*; everything that a re-execution could
//! not compute for itself is a log entry; a *backup* replays the log at the
//! same instruction counts and stays the same machine to the bit.
//!
//! The modules are floors: each names only floors below it, and siblings
//! ignore each other (`tests/floors` parses the code and fails on an
//! upward one). In reading order, from the ground up:
//!
//! | floor | modules |
//! |---|---|
//! | words | [`base`] |
//! | parts | [`isa`], [`mem`] |
//! | engines | [`engine`] |
//! | hart | [`cpu`] |
//! | devices | [`devices`] |
//! | machine | [`machine`] |
//! | history | [`log`], [`snapshot`] |
//! | replay | [`replay`] |
//! | replication | [`ft`], [`net`] |
//! | reading | [`inspect`] |
//! | the worlds | [`host`] (real clock, threads, sockets, files), [`sim`] (seeded) |
//! | props | [`lab`] (loads, clusters of processes, demo, benchmark) |
//! | the door | [`cli`] |
//!
//! Everything above `host` and `sim` in this table is deterministic: no clock, thread, socket or
//! file is named there.

#![warn(missing_docs)]

pub mod base;
pub mod cpu;
pub mod devices;
pub mod engine;
pub mod ft;
pub mod inspect;
pub mod isa;
pub mod log;
pub mod machine;
pub mod mem;
pub mod net;
pub mod replay;
pub mod snapshot;

pub mod host;
pub mod sim;

pub mod lab;

pub mod cli;
