//! What the world answers a node at once, and when a node wants to work again.

use super::detector::Signs;
use super::link::LinkId;

/// What the real or simulated world answers a node.
pub trait World {
    /// The host's monotonic clock.
    fn now_ns(&mut self) -> u64;
    /// Fills `bytes` with the host's randomness.
    fn entropy(&mut self, bytes: &mut [u8]);
    /// The number of the host CPU that the node runs on.
    fn host_id(&mut self) -> u64;
    /// The host's time of day: nanoseconds since 1970 (UTC).
    fn wall_clock_ns(&mut self) -> u64;
    /// Bytes handed to this connection and not yet sent.
    fn outbox_bytes(&mut self, link: LinkId) -> usize;
    /// True while the consumer of the outputs is behind: the guest waits.
    fn outputs_blocked(&mut self) -> bool;
    /// Console bytes released and not yet written: they would die with this process.
    fn console_pending(&mut self) -> u64;
    /// Whether the store takes another piece of a checkpoint.
    fn checkpoint_takes(&mut self) -> bool {
        true
    }
    /// Whether the sandbox takes another piece of a state.
    fn rehearsal_takes(&mut self) -> bool {
        true
    }
    /// The last of the guest's frames that the switch is known to have accepted; all of them without a switch.
    fn net_accepted(&mut self) -> u64 {
        u64::MAX
    }
    /// What is known of the peer at `link` besides its messages; None in a world where messages are all.
    fn signs(&mut self, _link: LinkId) -> Option<Signs> {
        None
    }
}

/// When to call [`Node::run`](super::Node::run) again if no event comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once: there is work.
    Now,
    /// At this host time.
    At(u64),
}
