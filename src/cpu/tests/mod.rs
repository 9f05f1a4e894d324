//! The hart against the specs, and against itself: cut into pieces, saved and restored, and with
//! caches that must never show.

mod asm;
mod speed;
mod world;
