//! Whose store a directory is: the file `store`, JSON.
//!
//! It is the last file that a creation makes, and never changes: a directory that has it was whole once.

use serde::{Deserialize, Serialize};

use super::checkpoint::CheckpointMeta;
use super::error::StoreError;
use super::files::{Files, read_full, write_full};
use crate::base::{Digest, Icount, Seq, digest_bytes};
use crate::host::os;
use crate::log::Lineage;
use crate::machine::MachineConfig;

/// The version of the whole directory: identity, segments' batches, checkpoints.
pub const FORMAT: u32 = 2;
/// The file's name.
pub const NAME: &str = "store";
/// The same while the store is being created.
pub const NAME_NEW: &str = "store.new";
/// Nothing of ours is longer.
const BYTES_MAX: u64 = 64 << 10;

/// Whose store it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The vm's name.
    pub vm: String,
    /// Which of the vm's lives is recorded.
    pub life: u64,
    /// The guest's name, for people.
    pub guest: String,
    /// The digest of the guest's image.
    pub guest_digest: Digest,
    /// The machine's RAM size in bytes.
    pub ram_bytes: u64,
    /// Drawn at random when the store is created: tells a store from every other.
    pub id: u64,
    /// The last entry that the first checkpoint contains; 0 at boot.
    pub base_seq: Seq,
    /// The position of the first checkpoint.
    pub base_icount: Icount,
    /// The digest of its state.
    pub base_digest: Digest,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    #[serde(flatten)]
    identity: Identity,
    /// Of the identity as JSON without spaces: guards against rot.
    check: Digest,
}

/// What every version has.
#[derive(Deserialize)]
struct AnyVersion {
    format: u64,
}

impl Identity {
    /// The identity of a new store for a machine of this kind, whose first checkpoint is `base`.
    pub fn new(vm: &str, life: u64, machine: &MachineConfig, base: &CheckpointMeta) -> Self {
        Self {
            vm: vm.to_owned(),
            life,
            guest: machine.guest.clone(),
            guest_digest: machine.guest_digest,
            ram_bytes: machine.ram_bytes,
            id: os::draw_u64(),
            base_seq: base.seq,
            base_icount: base.icount,
            base_digest: base.digest,
        }
    }

    /// What the headers of this store's segments say of their history.
    pub fn lineage(&self) -> Lineage {
        Lineage {
            vm: self.vm.clone(),
            guest: self.guest.clone(),
            guest_digest: self.guest_digest,
            ram_bytes: self.ram_bytes,
            base_seq: self.base_seq,
            base_icount: self.base_icount,
            base_digest: self.base_digest,
        }
    }

    fn check(&self) -> Digest {
        digest_bytes(&serde_json::to_vec(self).expect("an identity serialises"), FORMAT.into())
    }

    /// The bytes of the file, as [`Identity::parse`] takes them.
    pub fn to_text(&self) -> Vec<u8> {
        let content = Content { format: FORMAT, identity: self.clone(), check: self.check() };
        let mut text = serde_json::to_vec_pretty(&content).expect("an identity serialises");
        text.push(b'\n');
        text
    }

    /// The identity that the bytes of such a file tell; otherwise the format that they name, if it is
    /// another one, and why they tell none.
    pub fn parse(text: &[u8]) -> Result<Self, (Option<u64>, String)> {
        let bad = |why: serde_json::Error| (None, why.to_string());
        let AnyVersion { format } = serde_json::from_slice(text).map_err(bad)?;
        if format != u64::from(FORMAT) {
            return Err((Some(format), format!("its format is {format}")));
        }
        let Content { identity, check, .. } = serde_json::from_slice(text).map_err(bad)?;
        let expected = identity.check();
        if check != expected {
            return Err((None, format!("its check is {check}, its content makes {expected}")));
        }
        Ok(identity)
    }

    pub(super) fn read(files: &dyn Files) -> Result<Self, StoreError> {
        let path = files.path(NAME);
        let file = files.open(NAME, false).map_err(StoreError::io("open", &path))?;
        let len = file.bytes().map_err(StoreError::io("look at", &path))?;
        if len > BYTES_MAX {
            return Err(StoreError::BadIdentity { path, why: "it is no file of ours".into() });
        }
        let mut text = vec![0; len as usize];
        let read = read_full(&*file, &mut text, 0).map_err(StoreError::io("read", &path))?;
        Self::parse(&text[..read]).map_err(|(version, why)| match version {
            Some(found) => StoreError::BadVersion { path, found },
            None => StoreError::BadIdentity { path, why },
        })
    }

    /// Writes the file under its name during creation; durable when this comes back.
    pub(super) fn write_new(&self, files: &dyn Files) -> Result<(), StoreError> {
        let path = files.path(NAME_NEW);
        let file = files.create(NAME_NEW).map_err(StoreError::io("create", &path))?;
        write_full(&*file, &self.to_text(), 0).map_err(StoreError::io("write to", &path))?;
        file.sync_data().map_err(StoreError::io("sync", &path))?;
        files.sync_dir().map_err(StoreError::io("sync the directory of", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            vm: "kv".into(),
            life: u64::MAX,
            guest: "gast".into(),
            guest_digest: Digest(u128::MAX - 1),
            ram_bytes: 8 << 20,
            id: 1 << 63,
            base_seq: Seq(7),
            base_icount: Icount(99),
            base_digest: Digest(3),
        }
    }

    #[test]
    fn an_identity_comes_back_and_a_changed_one_is_refused() {
        let text = identity().to_text();
        assert_eq!(Identity::parse(&text), Ok(identity()));
        let changed = String::from_utf8(text.clone()).unwrap().replace("\"kv\"", "\"kw\"");
        assert!(Identity::parse(changed.as_bytes()).unwrap_err().1.contains("check"));
        for len in 0..text.len() - 1 {
            assert!(Identity::parse(&text[..len.min(text.len() - 2)]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn another_version_is_named_whatever_else_it_holds() {
        let other = br#"{"format": 3, "colour": "green"}"#;
        assert_eq!(Identity::parse(other).unwrap_err().0, Some(3));
        assert_eq!(Identity::parse(b"{}").unwrap_err().0, None);
    }
}
