//! What can go wrong between lockstep and a store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::identity::FORMAT;
use crate::base::{Generation, Seq};
use crate::host::remedy::fix_of_io;
use crate::log::{FrameError, HeaderError};
use crate::machine::RestoreError;

/// What is wrong with a store, or keeps it from being written. [`StoreError::fix`] names the remedy.
#[derive(Debug, Error)]
pub enum StoreError {
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
    /// A store is to be created where one is already, or part of one.
    #[error("{} already holds a store, or part of one ({found})", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// The name of a file of that store.
        found: String,
    },
    /// Another process has the store.
    #[error("the store {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory has no file of a store.
    #[error("{} holds no store", dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is a recording's.
    #[error("{} holds a recording, not a store", dir.display())]
    Recording {
        /// The directory.
        dir: PathBuf,
    },
    /// Its creator was cut off before anything was recorded.
    #[error("the creation of the store {} was cut off; nothing was recorded in it", dir.display())]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },
    /// Segments or checkpoints, and nothing that says whose they are.
    #[error("the store {} is not whole: it has {found}, and no file \"store\"", dir.display())]
    NoIdentity {
        /// The directory.
        dir: PathBuf,
        /// The name of a file that is there.
        found: String,
    },
    /// Its node has diverged.
    #[error("the node of the store {} has diverged: no process goes on from it", dir.display())]
    Diverged {
        /// The directory.
        dir: PathBuf,
    },
    /// The identity cannot be read.
    #[error("{} does not say whose store this is: {why}", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store was written by another version of lockstep.
    #[error("{} has format {found}, this lockstep reads format {FORMAT}", path.display())]
    BadVersion {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        found: u64,
    },
    /// There is no state to start from.
    #[error("the store {} is not whole: it has no checkpoint", dir.display())]
    NoCheckpoint {
        /// The directory.
        dir: PathBuf,
    },
    /// A checkpoint builds on one that is not there.
    #[error(
        "the store {} is not whole: its checkpoint after entry {seq} builds on one after entry {base}, which is missing",
        dir.display()
    )]
    NoBase {
        /// The directory.
        dir: PathBuf,
        /// The last entry of the checkpoint.
        seq: Seq,
        /// Of the one that it builds on.
        base: Seq,
    },
    /// A checkpoint's bytes are what was written, and no machine's.
    #[error("{}: {why}", path.display())]
    NotAMachine {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Box<RestoreError>,
    },
    /// A checkpoint's bytes are not what was written.
    #[error("{}, at byte {offset}: {why}", path.display())]
    BadCheckpoint {
        /// The file.
        path: PathBuf,
        /// Bytes into it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A segment's header does not decode.
    #[error("{}: {why}", path.display())]
    BadSegment {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        why: HeaderError,
    },
    /// The file's name says another number than its header.
    #[error("{} is named for entry {named}, but its header says {found}", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The number in the name.
        named: Seq,
        /// The number in the header.
        found: Seq,
    },
    /// A segment or checkpoint of another store is in this one.
    #[error("{} is of another store: its {field} is {found}, expected {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// This store's value.
        expected: String,
        /// The file's value.
        found: String,
    },
    /// A segment's header names a generation that was not the current one where it starts.
    #[error("{} was begun in generation {found}, but the log before it ends in {expected}", path.display())]
    OtherGeneration {
        /// The segment.
        path: PathBuf,
        /// The generation by the entries before.
        expected: Generation,
        /// The generation by the header.
        found: Generation,
    },
    /// Entries are not there: a file is missing, or the log was cut between two batches.
    #[error("the store {} is not whole: entries {from} to {upto} are missing", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The first that is missing.
        from: Seq,
        /// The last that is missing.
        upto: Seq,
    },
    /// Bad bytes where durable entries were.
    #[error("{}, at byte {offset}: rot, entry {expected} was here ({why})", path.display())]
    Rot {
        /// The segment.
        path: PathBuf,
        /// Bytes into it.
        offset: u64,
        /// The number of the entry that was due.
        expected: Seq,
        /// What is there instead, and how it is known not to be a torn tail.
        why: String,
    },
    /// A whole batch whose frames are none. Its writer was at fault, not the disk.
    #[error("{}, at byte {offset}: {why}", path.display())]
    BadFrame {
        /// The segment.
        path: PathBuf,
        /// Bytes into it.
        offset: u64,
        /// What is wrong with the frame, or its place in the log.
        why: String,
    },
    /// A segment's last batch was read back, and is not what was written.
    #[error("{}, at byte {offset}: the disk returns other bytes than were synced", path.display())]
    ReadBack {
        /// The segment.
        path: PathBuf,
        /// Bytes into it.
        offset: u64,
    },
    /// Entries are asked for that are no longer, or not yet, in the store.
    #[error("entries after {after} are asked for; the store has those from {first} to {last}")]
    NotHere {
        /// The number asked for.
        after: Seq,
        /// The first entry that is there.
        first: Seq,
        /// The last entry that is there.
        last: Seq,
    },
    /// A checkpoint is asked for that the store does not have.
    #[error("the store has no checkpoint after entry {seq}")]
    NoSuchCheckpoint {
        /// The number asked for.
        seq: Seq,
    },
    /// What is to be removed is needed, whatever the limit: nothing was removed.
    #[error(
        "the limit of {limit} bytes would remove the only way back: the newest checkpoint of {}, what it builds \
         on, and the log after that have {bytes}",
        dir.display()
    )]
    OnlyWayBack {
        /// The directory.
        dir: PathBuf,
        /// The limit.
        limit: u64,
        /// Bytes of the newest checkpoint, those that it builds on, and the segments after them.
        bytes: u64,
    },
    /// What would be left is not whole: nothing was removed.
    #[error("nothing is removed, because what would be left is not whole: {why}")]
    LeftUnsound {
        /// What is wrong with it.
        why: Box<StoreError>,
    },
    /// The caller made a mistake; nothing was written.
    #[error("what should be appended is no frame: {why}")]
    NotAFrame {
        /// What is wrong with the bytes.
        why: FrameError,
    },
    /// The caller made a mistake; nothing was written.
    #[error("a frame from entry {found} is appended, expected {expected}")]
    OutOfSequence {
        /// The number of the next entry.
        expected: Seq,
        /// The number of the frame's first entry.
        found: Seq,
    },
    /// The chunks are not the snapshot that they were announced as; no checkpoint was saved.
    #[error("the checkpoint after entry {seq} is not saved: {why}")]
    NotASnapshot {
        /// The checkpoint's last entry.
        seq: Seq,
        /// What is wrong with the chunks.
        why: String,
    },
    /// A checkpoint is being written already; this one is not taken.
    #[error("the checkpoint after entry {seq} is not taken: another is being written")]
    Busy {
        /// The checkpoint's last entry.
        seq: Seq,
    },
    /// An earlier write or sync failed; what is on disk is not known, so nothing more is written.
    #[error("the store {} can no longer be written after an earlier failure", dir.display())]
    Broken {
        /// The directory.
        dir: PathBuf,
    },
}

impl StoreError {
    pub(in crate::host) fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Io { what, path: path.as_ref().to_owned(), why }
    }

    /// The error and what to do about it, in one line.
    pub fn line(&self) -> String {
        self.fix().map_or_else(|| self.to_string(), |fix| format!("{self}; fix: {fix}"))
    }

    /// Whether the files are not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Unfinished { .. }
            | StoreError::NoIdentity { .. }
            | StoreError::BadIdentity { .. }
            | StoreError::NoCheckpoint { .. }
            | StoreError::NoBase { .. }
            | StoreError::NotAMachine { .. }
            | StoreError::BadCheckpoint { .. }
            | StoreError::BadSegment { .. }
            | StoreError::Misnamed { .. }
            | StoreError::Foreign { .. }
            | StoreError::OtherGeneration { .. }
            | StoreError::Missing { .. }
            | StoreError::Rot { .. }
            | StoreError::BadFrame { .. }
            | StoreError::ReadBack { .. } => true,
            StoreError::Io { .. }
            | StoreError::Occupied { .. }
            | StoreError::InUse { .. }
            | StoreError::NoStore { .. }
            | StoreError::Diverged { .. }
            | StoreError::BadVersion { .. }
            | StoreError::NotHere { .. }
            | StoreError::NoSuchCheckpoint { .. }
            | StoreError::NotAFrame { .. }
            | StoreError::OutOfSequence { .. }
            | StoreError::NotASnapshot { .. }
            | StoreError::Busy { .. }
            | StoreError::Recording { .. }
            | StoreError::OnlyWayBack { .. }
            | StoreError::LeftUnsound { .. }
            | StoreError::Broken { .. } => false,
        }
    }

    /// Whether what failed was a write for which the disk, a quota or a limit has no room.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let StoreError::Io { why, .. } = self else { return false };
        matches!(why.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// What the user can do about it, if we know.
    pub fn fix(&self) -> Option<String> {
        let copy =
            "copy it again as a whole, from a process that has ended, or join with a new store".to_owned();
        let rot = "keep the store as it is, and restore it from a copy or join with a new one".to_owned();
        match self {
            StoreError::Io { what, why, .. } => {
                fix_of_io(what, why, "free some space, keep less (`--keep`)", "put the store elsewhere")
            }
            StoreError::Occupied { dir, .. } => Some(format!(
                "go on from it, choose another directory, or remove {} if it is no longer needed",
                dir.display()
            )),
            StoreError::InUse { .. } => Some("end that process first, or choose another directory".into()),
            StoreError::Recording { .. } => {
                Some("`lockstep log` looks into a recording, and `lockstep replay` replays it".into())
            }
            StoreError::OnlyWayBack { bytes, .. } => {
                Some(format!("keep at least that: --keep {}M", bytes.div_ceil(1 << 20)))
            }
            StoreError::LeftUnsound { .. } => Some(
                "see `lockstep store verify DIR` for all that is wrong; what is older may be the only way back"
                    .into(),
            ),
            StoreError::NoStore { .. } => Some("check the path, or start with a guest or as a backup".into()),
            StoreError::Diverged { dir } => Some(format!(
                "join a running node with `lockstep backup`: it sends the state anew. If no node is left, run `lockstep \
                 store verify {0}`; if all of it replays, remove {0}/diverged and start again",
                dir.display()
            )),
            StoreError::Unfinished { .. } => Some("create the store again in the same directory".into()),
            StoreError::BadVersion { .. } => Some("open it with the lockstep that wrote it".into()),
            StoreError::BadSegment { why: HeaderError::BadVersion { .. }, .. } => {
                Some("open it with the lockstep that wrote it".into())
            }
            StoreError::NoIdentity { .. }
            | StoreError::NoCheckpoint { .. }
            | StoreError::NoBase { .. }
            | StoreError::Misnamed { .. }
            | StoreError::Foreign { .. }
            | StoreError::OtherGeneration { .. }
            | StoreError::Missing { .. } => Some(copy),
            StoreError::BadIdentity { .. }
            | StoreError::NotAMachine { .. }
            | StoreError::BadCheckpoint { .. }
            | StoreError::BadSegment { .. }
            | StoreError::Rot { .. }
            | StoreError::BadFrame { .. } => Some(rot),
            StoreError::ReadBack { .. } => Some("replace the disk, and join with a new store".into()),
            StoreError::NotHere { .. } => Some("start from a checkpoint that is kept".into()),
            StoreError::NoSuchCheckpoint { .. } => Some("choose one of those that are kept".into()),
            StoreError::Broken { .. } => Some("mend what failed, and open the store again".into()),
            StoreError::NotAFrame { .. }
            | StoreError::OutOfSequence { .. }
            | StoreError::NotASnapshot { .. }
            | StoreError::Busy { .. } => None,
        }
    }
}
