//! What shows and measures the product: guests, loads that check every answer, clusters of real processes, the demo
//! and the benchmark. Nothing of the service needs it.
//!
//! Reading order: [`guests`] (the guest programs that come along), [`linux`] (Debian's images), `scratch` (a directory
//! for one run), [`kvclient`] (a load that checks every answer, over UDP), [`counterload`] (the same over TCP),
//! [`port`] (a connection to the switch for tests that play a node), [`cluster`] (a whole pair as processes), [`onlooker`] (a terminal at its console), `stage` (what is done to a pair,
//! and what it took), [`demo`], `bench`.

pub(crate) mod bench;
pub mod cluster;
pub mod counterload;
pub mod demo;
pub mod guests;
pub mod kvclient;
pub mod linux;
pub mod onlooker;
pub mod port;
pub(crate) mod scratch;
pub(crate) mod stage;
