//! What the replica of a store was to the group: the file `replica`, JSON.
//!
//! Who holds a store may go on from it after a loss of all nodes only if nothing acknowledged can be missing. The
//! arbiter knows who won the newest generation and whom that kept; this file says which of these the store's replica was.
//! It permits, and never obliges: a file that is missing or older costs the permission.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::base::{Digest, digest_bytes};
use crate::ft::{Ack, Standing};
use crate::host::durable;

/// The file's name.
pub const NAME: &str = "replica";
const FORMAT: u32 = 1;
/// Nothing of ours is longer.
const BYTES_MAX: u64 = 64 << 10;

/// What a replica was to its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Under which identities it was a member, and in which generation it counts.
    pub standing: Standing,
    /// When an entry of the vm's log counts.
    pub ack: Ack,
    /// Where other nodes of the vm listen, as far as it knew.
    pub known: Vec<String>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    #[serde(flatten)]
    replica: Replica,
    /// Of the replica as JSON without spaces: guards against rot.
    check: Digest,
}

impl Replica {
    fn check(&self) -> Digest {
        digest_bytes(&serde_json::to_vec(self).expect("a replica serialises"), FORMAT.into())
    }

    /// The bytes of the file, as [`Replica::parse`] takes them.
    pub fn to_text(&self) -> Vec<u8> {
        let content = Content { format: FORMAT, replica: self.clone(), check: self.check() };
        let mut text = serde_json::to_vec_pretty(&content).expect("a replica serialises");
        text.push(b'\n');
        text
    }

    /// What the bytes of such a file tell; otherwise why they tell nothing.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let Content { format, replica, check } =
            serde_json::from_slice(text).map_err(|why| why.to_string())?;
        if format != FORMAT {
            return Err(format!("its format is {format}, this is {FORMAT}"));
        }
        let expected = replica.check();
        match check == expected {
            true => Ok(replica),
            false => Err(format!("its check is {check}, its content makes {expected}")),
        }
    }

    /// What the store in `dir` says; none without the file.
    ///
    /// # Errors
    /// The file cannot be read, or is none of ours.
    pub fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(NAME);
        let text = match std::fs::metadata(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.is_file() && meta.len() <= BYTES_MAX => {
                std::fs::read(&path).map_err(StoreError::io("read", &path))?
            }
            Ok(_) => {
                return Err(StoreError::BadIdentity { path, why: "it is no file of ours".into() });
            }
            Err(why) => return Err(StoreError::io("read", &path)(why)),
        };
        Self::parse(&text).map(Some).map_err(|why| StoreError::BadIdentity { path, why })
    }

    /// Durable when this comes back.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(NAME);
        durable::replace(&path, ".new", &self.to_text()).map_err(StoreError::io("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Generation, NodeId};

    fn replica() -> Replica {
        let standing = Standing { nodes: vec![NodeId(7), NodeId(u64::MAX)], counts: Some(Generation(3)) };
        Replica { standing, ack: Ack::Disk, known: vec!["10.0.0.1:7".into()] }
    }

    #[test]
    fn it_comes_back_from_its_directory_and_nothing_else_is_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Replica::read(dir.path()).unwrap(), None);
        replica().write(dir.path()).unwrap();
        assert_eq!(Replica::read(dir.path()).unwrap(), Some(replica()));
        let text = String::from_utf8(replica().to_text()).unwrap();
        for (from, to, says) in
            [("\"format\": 1", "\"format\": 2", "format is 2"), ("disk", "memory", "its check is")]
        {
            let why = Replica::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        for len in 0..text.len() - 2 {
            assert!(Replica::parse(&text.as_bytes()[..len]).is_err(), "{len} bytes");
        }
        std::fs::write(dir.path().join(NAME), "nothing").unwrap();
        assert!(matches!(Replica::read(dir.path()), Err(StoreError::BadIdentity { .. })));
    }
}
