//! Whose disk a file is, and how new: a small JSON file beside every file that a guest writes to.
//!
//! ```text
//!              first use                         life begins, claims won
//!   (no file) ----------> Behind (a joiner) --Sync, counts--> Replica ---+
//!       |                    ^                                  |        | goes live
//!       |                    | joins again                      v        v
//!       +-----------------> Primary <------------------------- Primary (generation g)
//! ```
//!
//! Promise: a file whose identity has the role `Primary` or `Replica` holds every flush that the guest saw
//! complete in the generation named there, as long as no later generation began; `Behind` is durable before
//! the first byte is overwritten, and removed only after everything is durable. The arbiter knows which node
//! was primary last: [`Identity::check_boot`] compares.
//!
//! The file is written aside, synced, renamed, and the directory is synced.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use crate::base::{Generation, NodeId};
use crate::ft::Holder;
use crate::host::durable;

const FORMAT: u32 = 1;
/// Nothing of ours is longer.
const BYTES_MAX: u64 = 64 << 10;

/// What the file beside is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The primary writes to it.
    Primary,
    /// A backup that counts applies the same writes.
    Replica,
    /// A copy of the primary's disk is being made here: it is not whole.
    Behind,
}

/// How the last process that used it left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is in use, or its user was killed.
    Open,
    /// Its user went in an orderly way; the guest may live on elsewhere.
    Closed,
    /// The guest's life has ended with it.
    Ended,
}

/// What the file looked like when its user left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Of the disk; an overlay's file grows.
    pub bytes: u64,
    /// The file's inode number.
    pub inode: u64,
    /// When it was last modified, ns since 1970.
    pub modified_ns: i64,
}

impl Stamp {
    /// The stamp of a file with this metadata, which holds a disk of `bytes` bytes.
    pub fn of(meta: &Metadata, bytes: u64) -> Self {
        Self { bytes, inode: meta.ino(), modified_ns: modified_ns(meta) }
    }
}

/// When a file was last modified, in ns since 1970.
pub fn modified_ns(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Whose a disk's file is and how new: kept in a file of its own beside it, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    format: u32,
    /// The vm's name.
    pub vm: String,
    /// The last generation that it is known to be up to date with; 0 outside fault tolerance.
    pub generation: Generation,
    /// The process that uses or used it: the node of the arbiter's record.
    pub node: NodeId,
    /// What the file is good for.
    pub role: Role,
    /// How its last user left it.
    pub state: State,
    /// What the file looked like then.
    pub stamp: Stamp,
}

/// The node that wants to use a disk, and what the arbiter knows of its vm.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The vm's name.
    pub vm: &'a str,
    /// The node.
    pub node: NodeId,
    /// The vm's last generation; none outside fault tolerance, or for its first life.
    pub last: Option<&'a Holder>,
    /// The identities of the replica whose store the machine comes from; none for a life that begins.
    pub replica: Option<&'a [NodeId]>,
    /// False for `lockstep run`: no other node has a copy, and no arbiter knows of it.
    pub fault_tolerant: bool,
}

/// Where the identity of `disk` is kept.
pub fn path_of(disk: &Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".lockstep");
    PathBuf::from(name)
}

impl Identity {
    /// The identity of a file that `node` begins to use now: generation 0, in use.
    pub fn new(vm: &str, node: NodeId, role: Role, stamp: Stamp) -> Self {
        let (generation, state) = (Generation::ZERO, State::Open);
        Self { format: FORMAT, vm: vm.to_owned(), generation, node, role, state, stamp }
    }

    /// The identity of `disk`; none if it has none.
    pub fn read(disk: &Path) -> Result<Option<Self>, DiskError> {
        let path = path_of(disk);
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::io("read", &path)(error)),
        };
        let bad = |why: String| DiskError::BadIdentity { path: path.clone(), why };
        if !meta.is_file() || meta.len() > BYTES_MAX {
            return Err(bad("it is no file of ours".into()));
        }
        let text = fs::read(&path).map_err(DiskError::io("read", &path))?;
        Self::parse(&text).map(Some).map_err(bad)
    }

    /// The identity that the bytes of such a file tell; otherwise why they tell none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let identity: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if identity.format != FORMAT {
            return Err(format!("its format is {}, this is {FORMAT}", identity.format));
        }
        Ok(identity)
    }

    /// The bytes of the file, as [`Identity::parse`] takes them.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("an identity serialises");
        text.push(b'\n');
        text
    }

    /// Durable when this comes back.
    pub fn write(&self, disk: &Path) -> io::Result<()> {
        durable::replace(&path_of(disk), ".new", &self.to_text())
    }

    /// Whether the file, which looks like `found` now, is what `claimant` may begin a life with.
    /// A text is worth telling; it is no obstacle.
    pub fn check_boot(
        &self,
        disk: &Path,
        claimant: &Claimant,
        found: Stamp,
    ) -> Result<Option<String>, DiskError> {
        let path = disk.to_owned();
        let ours = self.vm == claimant.vm;
        let replicated = self.generation != Generation::ZERO;
        // A disk outside fault tolerance, or of a life that has ended, is free.
        if !ours && (!replicated || self.state == State::Ended) && self.role != Role::Behind {
            return Ok(None);
        }
        if !ours {
            return Err(DiskError::OtherVm { path, identity: Box::new(self.clone()) });
        }
        if self.role == Role::Behind {
            return Err(DiskError::Partial { path });
        }
        if claimant.replica.is_some_and(|nodes| !nodes.contains(&self.node)) {
            return Err(DiskError::OtherReplica { path, node: self.node });
        }
        if let Some(last) = claimant.last.filter(|_| claimant.fault_tolerant)
            && !self.saw(last)
        {
            return Err(DiskError::Older {
                path,
                vm: self.vm.clone(),
                found: self.generation,
                last: last.bid.generation,
                last_node: last.bid.node,
                wherefrom: last.bid.wherefrom.clone(),
            });
        }
        match self.replaced(found) {
            Some(why) if claimant.fault_tolerant => {
                Err(DiskError::Replaced { path, vm: self.vm.clone(), why })
            }
            Some(why) => Ok(Some(format!(
                "{} has been replaced or changed since it was last used: {why}",
                disk.display()
            ))),
            None => Ok(None),
        }
    }

    /// Whether a joiner of `vm` may overwrite what differs.
    pub fn check_join(&self, disk: &Path, vm: &str) -> Result<(), DiskError> {
        if self.vm == vm {
            return Ok(());
        }
        Err(DiskError::OtherVm { path: disk.to_owned(), identity: Box::new(self.clone()) })
    }

    /// Whether it holds everything that the guest saw flushed in the generation of `last`.
    fn saw(&self, last: &Holder) -> bool {
        let bid = &last.bid;
        // The primary wrote here; so did the backups that counted from the generation's first entry.
        let by_node = self.node == bid.node || bid.keeps.contains(&self.node);
        // Generation 0 is from outside fault tolerance: nothing of the vm is in it, or lost with it.
        by_node || self.generation == bid.generation || self.generation == Generation::ZERO
    }

    /// Why the file cannot be the one that was left, if so.
    fn replaced(&self, found: Stamp) -> Option<String> {
        let left = self.stamp;
        if left.bytes != found.bytes {
            return Some(format!("it had {} bytes, now it has {}", left.bytes, found.bytes));
        }
        match self.state {
            // Killed: its last modification was not recorded.
            State::Open if left.inode != found.inode => Some("it is another file of the same name".into()),
            State::Closed | State::Ended if left.modified_ns != found.modified_ns => {
                Some("it has been modified".into())
            }
            State::Open | State::Closed | State::Ended => None,
        }
    }
}

/// Removes the identity of `disk`, if it has one.
pub fn remove(disk: &Path) -> io::Result<()> {
    let path = path_of(disk);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => durable::sync_parent(&path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ft::Bid;

    const STAMP: Stamp = Stamp { bytes: 4096, inode: 5, modified_ns: 6 };

    fn identity(generation: u64, node: u64, role: Role, state: State) -> Identity {
        let mut identity = Identity::new("db", NodeId(node), role, STAMP);
        (identity.generation, identity.state) = (Generation(generation), state);
        identity
    }

    fn holder(generation: u64, node: u64, keeps: Option<u64>) -> Holder {
        let bid = Bid {
            generation: Generation(generation),
            node: NodeId(node),
            keeps: keeps.map(NodeId).into_iter().collect(),
            after: None,
            wherefrom: "backup at 10.0.0.2".into(),
        };
        Holder { bid, ended: false }
    }

    fn check(identity: &Identity, last: Option<&Holder>, found: Stamp) -> Result<Option<String>, DiskError> {
        let claimant = Claimant { vm: "db", node: NodeId(9), last, replica: None, fault_tolerant: true };
        identity.check_boot(Path::new("d.img"), &claimant, found)
    }

    #[test]
    fn a_disk_that_did_not_see_the_last_generation_is_refused() {
        let old = identity(1, 1, Role::Replica, State::Open);
        assert!(check(&old, Some(&holder(1, 2, None)), STAMP).is_ok());
        let refused = check(&old, Some(&holder(2, 2, None)), STAMP).unwrap_err();
        assert!(matches!(refused, DiskError::Older { last: Generation(2), .. }), "{refused}");
        assert!(refused.line().contains("--disk-reset"), "{}", refused.line());
        // The winner of generation 2 may have died before it could note that.
        assert!(check(&old, Some(&holder(2, 1, None)), STAMP).is_ok());
        assert!(check(&old, Some(&holder(2, 2, Some(1))), STAMP).is_ok());
        // Also an ended life's disk is old when another life came after it.
        let ended = identity(1, 1, Role::Primary, State::Ended);
        assert!(matches!(check(&ended, Some(&holder(2, 2, None)), STAMP), Err(DiskError::Older { .. })));
    }

    #[test]
    fn a_copy_that_was_cut_off_is_not_booted() {
        let partial = identity(1, 1, Role::Behind, State::Open);
        assert!(matches!(check(&partial, Some(&holder(1, 1, None)), STAMP), Err(DiskError::Partial { .. })));
        assert!(partial.check_join(Path::new("d.img"), "db").is_ok());
    }

    #[test]
    fn a_replaced_file_is_recognised_by_what_it_was_left_as() {
        let shorter = Stamp { bytes: 512, ..STAMP };
        let other_file = Stamp { inode: 77, ..STAMP };
        let touched = Stamp { modified_ns: 7, ..STAMP };
        let last = holder(1, 1, None);
        let killed = identity(1, 1, Role::Primary, State::Open);
        let closed = identity(1, 1, Role::Primary, State::Closed);
        for (identity, found) in [(&killed, shorter), (&killed, other_file), (&closed, touched)] {
            let refused = check(identity, Some(&last), found).unwrap_err();
            assert!(matches!(refused, DiskError::Replaced { .. }), "{refused}");
        }
        assert!(check(&killed, Some(&last), touched).is_ok());
        // Moved to another host with its times and identity.
        assert!(check(&closed, Some(&last), other_file).is_ok());
        let run = Claimant { vm: "db", node: NodeId(9), last: None, replica: None, fault_tolerant: false };
        let told = killed.check_boot(Path::new("d.img"), &run, other_file).unwrap();
        assert!(told.unwrap().contains("replaced"));
    }

    #[test]
    fn another_vms_living_disk_is_neither_booted_nor_overwritten() {
        let theirs = identity(3, 1, Role::Primary, State::Open);
        let claimant =
            Claimant { vm: "web", node: NodeId(9), last: None, replica: None, fault_tolerant: false };
        let disk = Path::new("d.img");
        assert!(matches!(theirs.check_boot(disk, &claimant, STAMP), Err(DiskError::OtherVm { .. })));
        assert!(matches!(theirs.check_join(disk, "web"), Err(DiskError::OtherVm { .. })));
        let ended = identity(3, 1, Role::Primary, State::Ended);
        assert!(ended.check_boot(disk, &claimant, STAMP).is_ok());
        let run = identity(0, 1, Role::Primary, State::Open);
        assert!(run.check_boot(disk, &claimant, STAMP).is_ok());
    }

    #[test]
    fn identities_come_back_and_damaged_ones_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("d.img");
        assert_eq!(Identity::read(&disk).unwrap(), None);
        let identity = identity(3, 1, Role::Replica, State::Closed);
        identity.write(&disk).unwrap();
        assert_eq!(Identity::read(&disk).unwrap(), Some(identity));
        for bad in ["", "{", "null", "{\"format\":1}", &"x".repeat(70_000)] {
            fs::write(path_of(&disk), bad).unwrap();
            let error = Identity::read(&disk).unwrap_err();
            assert!(matches!(error, DiskError::BadIdentity { .. }), "{bad}: {error}");
        }
        remove(&disk).unwrap();
        remove(&disk).unwrap();
        assert_eq!(Identity::read(&disk).unwrap(), None);
    }
}
