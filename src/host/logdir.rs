//! A log as a directory.
//!
//! ```text
//! base.snap                  the state that the log starts from (a snapshot)
//! 00000000000000000001.log   segments, each named by the number of its first entry
//! 00000000000000183271.log   ...
//! ```
//!
//! What a crash can leave, in the order of writing ([`LogWriter`]):
//!
//! | on disk | what happened | what to do |
//! |---|---|---|
//! | `base.snap.part` | crash while the base was written | nothing can be replayed: remove the directory |
//! | `base.snap`, no segment | crash before the first segment | an empty log |
//! | last segment with part of its header | crash at its start | a torn tail: may be removed |
//! | last segment ends in part of a frame | crash while writing | a torn tail: may be cut |
//! | anything else that is wrong | not a crash of ours | rot: reported with its place |
//!
//! A segment is synced before the next one is begun, so only the last can be torn. A recording is
//! never added to by another process, and never overwritten: an occupied directory is refused.
//!
//! Reading order: `writer`, `background`, `reader`, `follow`; `map` holds the one `unsafe`.

mod background;
mod follow;
mod map;
mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::remedy::fix_of_io;
use super::store::IDENTITY_NAME;
use crate::base::Seq;
use crate::log::{Damage, FrameError, HeaderError};
use crate::snapshot::SnapshotError;

pub use background::{BackgroundWriter, Ended, WAITING_BYTES_MAX, WAITING_BYTES_SOFT};
pub use follow::Follower;
pub use reader::{LogDir, LogReader, Segment, read_snapshot};
pub use writer::LogWriter;

/// The file that holds the state which the log starts from.
pub const BASE_NAME: &str = "base.snap";
/// The same while it is being written.
pub const BASE_PART_NAME: &str = "base.snap.part";
/// A segment is closed before it would grow past this.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// What can go wrong between lockstep and a log's files. [`LogError::fix`] names the remedy.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file system reported an error.
    #[error("cannot {what} {}: {why}", path.display())]
    Io {
        /// What was attempted, in words that go after "cannot".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error.
        why: io::Error,
    },
    /// A recording is to begin in a directory that holds one.
    #[error("{} already holds a log ({found})", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// The name of a file of that recording.
        found: String,
    },
    /// The directory has an incomplete base and nothing else.
    #[error("{} holds the beginning of a recording: the state that it starts from is not complete", dir.display())]
    Unbegun {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory has neither a base nor a segment.
    #[error("{} holds no log", dir.display())]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is a store's.
    #[error("{} is a store, not a recording", dir.display())]
    Store {
        /// The directory.
        dir: PathBuf,
    },
    /// A segment's header does not decode.
    #[error("{}: {why}", path.display())]
    BadHeader {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        why: HeaderError,
    },
    /// The state that the log starts from does not decode.
    #[error("{}: {why}", path.display())]
    BadBase {
        /// The snapshot's file.
        path: PathBuf,
        /// What is wrong with it.
        why: SnapshotError,
    },
    /// A segment has a torn tail or rot.
    #[error("{}, {damage}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where, and what.
        damage: Damage,
    },
    /// The caller made a mistake; nothing was written.
    #[error("what should be appended to {} is no frame: {why}", path.display())]
    NotAFrame {
        /// The segment.
        path: PathBuf,
        /// What is wrong with the bytes.
        why: FrameError,
    },
    /// The caller made a mistake; nothing was written.
    #[error("a frame from entry {found} is appended to {}, expected {expected}", path.display())]
    OutOfSequence {
        /// The segment.
        path: PathBuf,
        /// The number of the next entry.
        expected: Seq,
        /// The number of the frame's first entry.
        found: Seq,
    },
    /// An earlier write or sync failed; what is on disk is not known, so nothing more is written.
    #[error("{} can no longer be written after an earlier failure", path.display())]
    Broken {
        /// The segment.
        path: PathBuf,
    },
}

impl LogError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Io { what, path: path.to_owned(), why }
    }

    /// What the user can do about it, if we know.
    pub fn fix(&self) -> Option<String> {
        match self {
            LogError::Io { what, why, .. } => {
                fix_of_io(what, why, "free some space", "record elsewhere")
            }
            LogError::Occupied { dir, .. } => Some(format!(
                "choose another directory, or remove {} if it is no longer needed",
                dir.display()
            )),
            LogError::Unbegun { .. } => Some(
                "if its recorder still runs, wait a moment; if not, it was cut off, and nothing of it can be replayed"
                    .into(),
            ),
            LogError::NoLog { .. } => Some("record one with `lockstep run GUEST.elf --record DIR`".into()),
            LogError::Store { dir } => Some(format!(
                "`lockstep store export {0} OUT` makes a recording of it; `lockstep store ls {0}` shows what it has",
                dir.display()
            )),
            LogError::BadHeader { why: HeaderError::BadVersion { .. }, .. }
            | LogError::BadBase { why: SnapshotError::BadVersion { .. }, .. } => {
                Some("read it with the lockstep that wrote it".into())
            }
            LogError::Damaged { damage, .. } if damage.fault.is_torn_tail() => {
                Some("its writer was cut off in the middle; what comes before is whole".into())
            }
            LogError::Damaged { .. } | LogError::BadHeader { .. } | LogError::BadBase { .. } => Some(
                "see `lockstep log verify DIR` for all of the damage; restore the file from a copy".into(),
            ),
            LogError::NotAFrame { .. } | LogError::OutOfSequence { .. } | LogError::Broken { .. } => None,
        }
    }
}

/// Fails if `dir` is a store's: that has segments, too, and they hold more than frames.
fn refuse_store(dir: &Path) -> Result<(), LogError> {
    if dir.join(IDENTITY_NAME).is_file() && dir.join(BASE_NAME).symlink_metadata().is_err() {
        return Err(LogError::Store { dir: dir.to_owned() });
    }
    Ok(())
}

/// The name of the segment that starts with entry `first`.
pub fn segment_name(first: Seq) -> String {
    format!("{:020}.log", first.get())
}

/// The entry that a segment of this name starts with; none if it is no segment's name.
fn segment_first(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok().map(Seq))?
}

/// The segments in `dir` in order. A missing directory is an error, an empty one is not.
fn segments_in(dir: &Path) -> Result<Vec<(Seq, PathBuf)>, LogError> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).map_err(LogError::io("read the directory", dir))? {
        let item = item.map_err(LogError::io("read the directory", dir))?;
        if let Some(first) = item.file_name().to_str().and_then(segment_first) {
            found.push((first, item.path()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod background_tests;
#[cfg(test)]
mod tests;
