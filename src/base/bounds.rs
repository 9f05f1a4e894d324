//! Numbers that two rooms must agree on, which know nothing of each other.

/// Frames of the guest that a node may have released and the switch not yet accepted: the node's port keeps as many, and a
/// backup at least as many more of the last ones, in case it has to send them in its primary's place.
pub const UNACCEPTED_FRAMES_MAX: usize = 4096;
/// The same in bytes of frames.
pub const UNACCEPTED_BYTES_MAX: usize = 4 << 20;
