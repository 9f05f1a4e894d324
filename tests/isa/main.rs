//! The ISA, shown from outside: test programs of our own in the style of an ISA suite, generated
//! programs compared with QEMU, and the table of corners held to its word.
//!
//! | module | what it does |
//! |---|---|
//! | [`suite`] | `guest-programs/isa/*.elf` on this machine (recorded and replayed) and on QEMU |
//! | [`programs`] | random programs in M-, S- and U-mode: registers, traps and memory as QEMU has them |
//! | [`probes`] | single accesses with tables, PMP and `menvcfg` of their own, as a newer QEMU does them |
//! | [`registers`] | which CSRs exist where, and what each can hold, as QEMU has it |
//! | [`corners`] | every test that `docs/isa-corners.md` names exists |
//!
//! QEMU is Debian's `qemu-system-misc` (`tests/run` installs it). Where it is missing the tests that
//! need it say SKIPPED on stderr and pass; under `CI` they fail.
//!
//! `SEED` and `SEEDS` in the environment choose the random programs.

#[allow(dead_code, reason = "a tool box shared with the hart's own tests")]
#[path = "../../src/cpu/tests/asm.rs"]
mod asm;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod corners;
mod generate;
mod image;
mod machines;
mod probes;
mod programs;
mod registers;
mod suite;
