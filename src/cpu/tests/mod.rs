//! The hart against the specs, and against itself: cut into pieces, saved and restored, and with
//! caches that must never show.

mod arithmetic;
mod asking;
mod asm;
mod atomics;
mod bitmanip;
mod blocks;
mod coherence;
mod control;
mod csrs;
mod fine_pmp;
mod float;
mod memory;
mod soup;
mod speed;
mod svadu;
mod translation;
mod traps;
mod world;
mod zfa;
