//! Everything that a user, a file, a peer, a disk or a guest can do wrong, against the real binary:
//! a clear error or a guest trap, bounded memory, no panic, nothing lost.

mod cli;
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
