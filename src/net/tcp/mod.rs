//! TCP between host clients and the guest's own stack, terminated in the switch.
//!
//! A client's connection ends here, and another one goes on from here to the guest. The guest's end of
//! that second connection lives in the replicated machine; ours lives in the switch, which does not die
//! with a node. So a takeover breaks neither.
//!
//! Each connection is one `smoltcp` socket (`conn`); `table` finds it by addresses and ports, keeps
//! its timers and its limits; `link` makes frames of packets. What passes between the two halves is
//! bytes: the host [`fill`](Tcp::fill)s what a client sent and [`drain`](Tcp::drain)s what the guest sent,
//! straight between socket and ring, and reads [`View`] for what may be done.
//!
//! **What is promised.** Bytes taken from a client stay here until the guest has acknowledged them, and
//! no more than [`TO_GUEST_BYTES`] are taken beyond that. The guest is offered a window no larger than what
//! is free of [`TO_CLIENT_BYTES`]: a client that does not read stops its guest's connection, and no other.
//!
//! **Time.** `now` is real; the clock that a connection is shown differs in three ways.
//! It runs [`CLOCK_RATE`] times as fast, because smoltcp's shortest retransmission timeout is a second and
//! ours shall be that of Linux, 200 ms. It stops while no node runs the guest, so that a takeover is no
//! reason to back off, to probe, or to give up. And it jumps to the next timeout when a connection is kicked
//! after a takeover. What is counted in real time: how long a client waits for the guest to answer its first
//! segment, and how long connections wait for a node to run the guest.
//!
//! Absent on purpose: sockets of the host, IPv6 inside the segment, urgent data, and any queue but the
//! two rings of each connection.

mod conn;
mod link;
mod table;

pub use conn::{End, Phase};
pub use link::Route;
pub use table::{OpenRefused, Tcp, TcpCounts};

use super::{MILLISECOND_NS, SECOND_NS};

/// At most this much that a client sent waits for the guest's acknowledgement, for each connection.
pub const TO_GUEST_BYTES: usize = 128 << 10;
/// At most this much that the guest sent waits for its client to read, for each connection.
pub const TO_CLIENT_BYTES: usize = 128 << 10;
/// At most this many connections at once, unless configured; with both rings full they take 256 MB.
pub const CONNECTIONS_MAX: usize = 1024;
/// Connections over for the client, which stay for late segments of the guest; the oldest goes first.
pub const LINGERING_MAX: usize = 256;
/// Ports of ours toward the guest, handed out in turn: the longest unused first.
pub const PORT_FIRST: u16 = 16384;
pub const PORTS: u16 = 49152;

/// How much faster than `now` the clock of smoltcp runs.
pub const CLOCK_RATE: u64 = 5;
/// A client whose connection the guest has not answered after this long is reset.
pub const CONNECT_NS: u64 = 10 * SECOND_NS;
/// When no node runs the guest for this long its connections are given up.
pub const ABSENT_NS: u64 = 60 * SECOND_NS;
/// A connection on which the guest has sent nothing for this long is probed.
pub const KEEP_ALIVE_NS: u64 = 60 * SECOND_NS;
/// A guest that answers nothing for this long is gone.
pub const SILENT_NS: u64 = 180 * SECOND_NS;
/// An acknowledgement waits this long for something to travel with: each frame costs the guest an
/// interrupt and the log an entry.
pub const ACK_DELAY_NS: u64 = 10 * MILLISECOND_NS;
/// After a takeover a connection that waits for the guest and has received nothing from it for this long is
/// kicked: what was under way comes by itself, and sooner.
pub const KICK_NS: u64 = 10 * MILLISECOND_NS;

/// Names one connection; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
