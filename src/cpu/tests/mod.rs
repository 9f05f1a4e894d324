//! The hart against the specs, and against itself: cut into pieces, saved and restored, and with
//! caches that must never show.

mod arithmetic;
mod asking;
mod asm;
mod atomics;
mod coherence;
mod control;
mod csrs;
mod float;
mod memory;
mod soup;
mod speed;
mod translation;
mod traps;
mod world;
