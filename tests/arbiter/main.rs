//! Both arbiters, asked the same questions; then etcd with its nodes killed, paused, restored from an
//! old backup, and things in its place that are no etcd; then whole pairs that live by an arbiter.
//!
//! The tests start a real etcd of three nodes. Without the `etcd` command (Debian: `etcd-server`) what
//! needs it says SKIPPED, and why. Run them one at a time: they measure.

#[allow(dead_code, reason = "a tool box that several test programs share")]
#[path = "../common/mod.rs"]
mod common;
mod etcd;
mod fake;
mod faults;
mod pairs;
mod partitions;
mod relay;
mod restored;
mod scene;
mod suite;
mod switches;
