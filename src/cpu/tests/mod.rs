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
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod float_engines;
mod float_host;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod hostile;
mod memory;
mod runs;
mod soup;
mod speed;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod straight;
mod svadu;
mod translation;
mod traps;
mod world;
mod zfa;
