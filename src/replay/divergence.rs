//! The report of a replay that is not the recording.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::{Icount, Seq};

/// Where a replay first differed from its log, what the log expects, and what the machine did.
///
/// It is a report, not a repair: the replica that finds one stops, and keeps the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error(
    "divergence at position {machine_at} (entry {seq} at {entry_at}): expected {expected}, found {found}"
)]
pub struct Divergence {
    /// The entry that could not be obeyed.
    pub seq: Seq,
    /// The position that the entry names.
    pub entry_at: Icount,
    /// The position at which the machine stood.
    pub machine_at: Icount,
    /// What the log calls for at the entry, in words. Payloads are left out but for their length, so
    /// that the text is bounded.
    pub expected: String,
    /// What the machine did instead, in words of the same kind.
    pub found: String,
    /// The hart at that point, and the last entries before it, oldest first, as text.
    pub context: Vec<String>,
}
