//! Everything that a user, a file, a peer, a disk or a guest can do wrong, against the real binary:
//! a clear error or a guest trap, bounded memory, no panic, nothing lost.

mod cli;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod disk;
mod elf;
mod guests;
mod kernel;
mod logs;
mod pairs;
mod peers;
mod start;
mod support;
mod talk;
