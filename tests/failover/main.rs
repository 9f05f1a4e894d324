//! Primaries and backups as real processes, real packets, real signals: what is killed, stops or hands
//! over takes nothing with it.
//!
//! Each test has a switch, an arbiter and nodes of its own. Run them one at a time: they measure.

mod arbiter;
mod busy;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod engines;
mod fenced;
mod groups;
mod guest;
mod guest_end;
mod guest_time;
mod kill_command;
mod kills;
mod neighbours;
mod no_net;
mod pauses;
mod recordings;
mod rehearse;
mod rejoin;
mod scene;
mod stores;
mod switchover;
mod transfer;
