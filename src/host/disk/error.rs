//! What can be wrong with a disk before a guest uses it, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::identity::Identity;
use crate::base::{Generation, NodeId};

/// A file that cannot be this guest's disk. [`DiskError::fix`] names the remedy.
#[derive(Debug, Error)]
pub enum DiskError {
    #[error("cannot {what} {}: {why}", path.display())]
    Io { what: &'static str, path: PathBuf, why: io::Error },
    #[error("the disk {} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("the disk {} is {found}, not a file", path.display())]
    NotAFile { path: PathBuf, found: &'static str },
    #[error("the disk {} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("the disk {} has {bytes} bytes: not a whole number of 512-byte sectors", path.display())]
    Ragged { path: PathBuf, bytes: u64 },
    #[error("the disk {} is {found}, not a raw one", path.display())]
    NotRaw { path: PathBuf, found: &'static str },
    #[error("the disk {} has {bytes} bytes; {max} are the most", path.display())]
    TooLarge { path: PathBuf, bytes: u64, max: u64 },
    #[error("the disk {} is read-only here, and the guest is to write to it: {why}", path.display())]
    ReadOnly { path: PathBuf, why: io::Error },
    #[error("the disk {} is in use already{}", path.display(),
            if *.writing { ": something writes to it" } else { "" })]
    InUse { path: PathBuf, writing: bool },
    #[error("{} is no overlay: {why}", path.display())]
    BadOverlay { path: PathBuf, why: String },
    #[error("the overlay {} was made over another base: {why}", path.display())]
    OtherBase { path: PathBuf, base: PathBuf, why: String },
    #[error("{} does not say whose disk it is: {why}", path.display())]
    BadIdentity { path: PathBuf, why: String },
    #[error(
        "the disk {} is the vm {:?}'s, whose life has not ended: it was last written by node {} in generation {}",
        path.display(), identity.vm, identity.node, identity.generation
    )]
    OtherVm { path: PathBuf, identity: Box<Identity> },
    #[error("the disk {} holds only part of a copy: a state transfer to it was cut off", path.display())]
    Partial { path: PathBuf },
    #[error(
        "the disk {} is older than the vm {vm:?}'s last generation: it is of generation {}, and node {last_node} \
         went on as generation {last} ({wherefrom})",
        path.display(), found
    )]
    Older {
        path: PathBuf,
        vm: String,
        found: Generation,
        last: Generation,
        last_node: NodeId,
        wherefrom: String,
    },
    #[error("the disk {} was last used by node {node}, which is not the one that wrote this store", path.display())]
    OtherReplica { path: PathBuf, node: NodeId },
    #[error("the disk {} is not known to be the one of the node that wrote this store", path.display())]
    NoReplica { path: PathBuf },
    #[error("the disk {} has been replaced or changed since the vm {vm:?} last used it: {why}", path.display())]
    Replaced { path: PathBuf, vm: String, why: String },
    #[error(
        "the primary's disk {number} has {expected} bytes; {} has {found}",
        path.display()
    )]
    OtherSize { path: PathBuf, number: u8, expected: u64, found: u64 },
    #[error("the primary has a disk {number}, this node has no --disk for it")]
    NotGiven { number: u8 },
    #[error("the primary writes to its disk {number}; {} is given as read-only here", path.display())]
    GivenReadOnly { path: PathBuf, number: u8 },
    #[error("{} is not known to be a copy of the primary's disk {number}, and differs from it", path.display())]
    NotACopy { path: PathBuf, number: u8 },
    #[error("{} is to be only read, and differs from the primary's disk {number}", path.display())]
    OtherContent { path: PathBuf, number: u8 },
}

impl DiskError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Io { what, path: path.to_owned(), why }
    }

    /// What the user can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Io { why, .. } => match why.kind() {
                io::ErrorKind::PermissionDenied => "give this user access to it, or name another file".into(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space, or put the disk elsewhere".into()
                }
                io::ErrorKind::NotFound => "check the path; only the last directory's file is made here".into(),
                _ => "check the path and the file system that it is on".into(),
            },
            Self::Missing { path } => {
                format!("check the path, or make an empty disk: truncate -s 1G {}", path.display())
            }
            Self::NotAFile { .. } => "name a raw image file".into(),
            Self::Empty { path } => format!("give it a size: truncate -s 1G {}", path.display()),
            Self::Ragged { path, bytes } => {
                let whole = bytes.next_multiple_of(512);
                format!(
                    "only raw images are disks (convert others with `qemu-img convert -O raw`); if it is one, \
                     fill its last sector: truncate -s {whole} {}",
                    path.display()
                )
            }
            Self::NotRaw { path, .. } => {
                format!("convert it: qemu-img convert -O raw {} NEW.img", path.display())
            }
            Self::TooLarge { .. } => "name a smaller image".into(),
            Self::ReadOnly { path, .. } => {
                let path = path.display();
                format!("make it writable, or write beside it with --disk {path},overlay, or give it as {path},ro")
            }
            Self::InUse { .. } => {
                "give each running guest, and each node of a pair, a disk file of its own (or share a base with \
                 ,overlay or ,ro)"
                    .into()
            }
            Self::BadOverlay { path, .. } => {
                format!("name another overlay; if {} is not needed, remove it", path.display())
            }
            Self::OtherBase { path, base, .. } => format!(
                "bring back the base that it was made over; or remove {} to begin anew over {}",
                path.display(),
                base.display()
            ),
            Self::BadIdentity { path, .. } => {
                format!("remove {} or give --disk-reset, if the disk beside it is as you want it", path.display())
            }
            Self::OtherVm { .. } => {
                "name another disk; or give --disk-reset, if what it holds is to be this vm's now".into()
            }
            Self::Partial { .. } => "start from the other node's disk, and let this one join with `lockstep backup`; \
                 or give --disk-reset to use it although it is incomplete"
                .into(),
            Self::Older { .. } => "start from that node's disk, and let this one join with `lockstep backup`; or give \
                 --disk-reset to go back to it, and lose what was written since"
                .into(),
            Self::OtherReplica { .. } | Self::NoReplica { .. } => {
                "name the disk that this node had when it wrote the store; or put the store aside, and let the node join \
                 anew with `lockstep backup`"
                    .into()
            }
            Self::Replaced { .. } => {
                "bring back the disk that it was; or give --disk-reset to take it as it is now".into()
            }
            Self::OtherSize { path, expected, found, .. } if found < expected => format!(
                "remove {} so that it is made and copied, or name a disk of the same size",
                path.display()
            ),
            Self::OtherSize { .. } => "name the vm's disk, or a file that does not exist yet".into(),
            Self::NotGiven { .. } => "give the backup as many --disk options as the primary has; a file that does not \
                 exist is made and copied"
                .into(),
            Self::GivenReadOnly { .. } => "leave `,ro` out on the backup".into(),
            Self::OtherContent { path, .. } => format!(
                "bring the primary's file here; or remove {}: a file that does not exist is made and copied",
                path.display()
            ),
            Self::NotACopy { path, .. } => format!(
                "name a file that does not exist: it is made and copied; or give --disk-reset to overwrite {}",
                path.display()
            ),
        }
    }

    /// The error and its fix on one line, for a peer or a log.
    pub fn line(&self) -> String {
        format!("{self}; fix: {}", self.fix())
    }
}
