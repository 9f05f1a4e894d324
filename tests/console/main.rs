//! The console, as people and scripts meet it: on a terminal of one's own, and attached to a guest that
//! moves from host to host.

mod attach;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod scene;
mod scripts;
mod terminal;
