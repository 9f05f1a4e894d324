//! Hosts of their own: primary, backup, switches and clients in network namespaces, with cables that can
//! be pulled and packets that can be dropped.
//!
//! Needs root, `ip` and `nft`; where they are missing every test says SKIPPED. Run them one at a time:
//! they measure, and what they measure is printed.

mod bad;
#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod net;
mod passt;
mod redis;
mod scene;
mod takeovers;
mod wires;
