//! The switch as a process would run it: real loopback sockets, fake VMs, real clients.

mod flood;
mod peers;
mod support;
mod takeover;
