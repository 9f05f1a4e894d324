//! The real world under the pure floors: clocks, threads, sockets and files.
//!
//! [`switch`] is the switch process and [`port`] a VM's connection to it; [`kvclient`] drives the
//! `kv` guest and checks every answer; [`stop`] ends poll loops.

pub mod kvclient;
pub mod port;
pub mod stop;
pub mod switch;
