//! What this host has seen of an etcd, on its own disk: a process that starts knows what an earlier
//! one here knew, and takes no older etcd for the same.
//!
//! ```text
//! DIR/VM-DIGEST.json   one note: which etcd (URLs and prefix, as it was written after --arbiter), its
//!                      cluster id, its revision and term, and who holds the newest generation of the vm
//! ```
//!
//! A note is written aside, fsynced and renamed. It makes a node refuse, never accept: without one
//! (another host, no home directory) an etcd is believed as it is. It only ever lags behind.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Generation, NodeId};
use crate::host::durable;

const NOTE_BYTES_MAX: u64 = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub etcd: String,
    pub vm: String,
    pub cluster: u64,
    pub revision: u64,
    /// 0 in a note of before it was noted.
    #[serde(default)]
    pub term: u64,
    pub generation: Generation,
    pub node: NodeId,
}

/// `$XDG_STATE_HOME/lockstep/etcd`, or under `~/.local/state`; none for a user without a home.
pub fn dir_of_user() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("lockstep/etcd"))
}

/// Where the note on `vm` at `etcd` is.
pub(super) fn path(dir: &Path, etcd: &str, vm: &str) -> PathBuf {
    dir.join(format!("{vm}-{:016x}.json", xxhash_rust::xxh3::xxh3_64(etcd.as_bytes())))
}

/// None if nothing was ever noted; an error if what is there cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Option<Note>> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

/// Durable when this comes back.
pub(super) fn write(path: &Path, note: &Note) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut text = serde_json::to_vec_pretty(note)?;
    text.push(b'\n');
    // Two nodes of one vm may run on one host.
    durable::replace(path, &format!(".{}", std::process::id()), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_damaged_ones_are_no_absent_ones() {
        let dir = tempfile::tempdir().unwrap();
        let at = path(&dir.path().join("not/yet"), "etcd:http://a:2379/p", "kv");
        assert_eq!(read(&at).unwrap(), None);
        let note = Note {
            etcd: "etcd:http://a:2379/p".into(),
            vm: "kv".into(),
            cluster: u64::MAX,
            revision: 7,
            term: 2,
            generation: Generation(3),
            node: NodeId(9),
        };
        write(&at, &note).unwrap();
        write(&at, &note).unwrap();
        assert_eq!(read(&at).unwrap(), Some(note));
        fs::write(&at, "{").unwrap();
        assert!(read(&at).is_err());
        assert_ne!(
            path(dir.path(), "etcd:http://a:2379/q", "kv"),
            path(dir.path(), "etcd:http://a:2379/p", "kv")
        );
    }
}
