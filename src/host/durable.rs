//! Small files that a crash of the host leaves whole: the new bytes, or the old.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts `bytes` at `path`: written aside, to the same name with `suffix` behind it, synced and renamed.
/// Durable when this comes back. A concurrent caller needs another suffix.
pub fn replace(path: &Path, suffix: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path, suffix);
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_parent(path)
}

/// The path beside `path` that [`replace`] writes to.
pub fn aside(path: &Path, suffix: &str) -> PathBuf {
    [path.as_os_str(), suffix.as_ref()].into_iter().collect::<OsString>().into()
}

/// Makes the names in the directory of `path` survive a crash of the host.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        for text in ["first, and the longer one", "second"] {
            replace(&path, ".new", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("not/there"), ".new", b"x").is_err());
    }
}
