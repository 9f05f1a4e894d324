//! Names for connections.

use serde::{Deserialize, Serialize};

/// Names a connection, for as long as the node lives. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId(pub u64);

impl LinkId {
    /// No connection has this number.
    pub const NONE: Self = Self(u64::MAX);
    /// No connection: what is asked of a disk for a rehearsal.
    pub const SANDBOX: Self = Self(u64::MAX - 1);
}
