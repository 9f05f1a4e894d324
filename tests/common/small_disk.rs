//! A file system with little room.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::skipped;

/// It is there while this lives.
pub struct SmallDisk {
    pub at: PathBuf,
}

impl SmallDisk {
    /// None, loudly, where this test may not mount.
    pub fn mount(at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { at: at.to_owned() }),
            _ => {
                skipped("a small tmpfs cannot be mounted here (it takes root)");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.at).output().unwrap();
    }
}
