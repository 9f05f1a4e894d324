//! Hosts of their own: primary, backup, switches and clients in network namespaces, with cables that can
//! be pulled and packets that can be dropped.
//!
//! Needs root, `ip` and `nft`; where they are missing every test says SKIPPED. Run them one at a time:
//! they measure, and what they measure is printed.

mod cuts;
mod net;
mod passt;
mod redis;
mod scene;
mod takeovers;
mod wires;
