//! A directory for one run of a tool: made under the system's temporary directory, removed at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::os::draw_u64;
use crate::host::stop::Stop;

/// Removed, with what is in it, when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory whose name begins with `name`.
    pub fn new(name: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), name)
    }

    /// The same, in a directory of one's choice.
    pub fn within(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(format!("{name}-{:016x}", draw_u64()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// From now on SIGINT and SIGTERM remove the directory and end the process with `status`.
    pub fn remove_on_signals(&self, status: i32) -> io::Result<()> {
        let stop = Stop::on_signals()?;
        let path = self.0.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            while !stop.is_asked_within(Duration::from_secs(3600)) {}
            remove(&path);
            std::process::exit(status);
        })?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// A process may still be writing there: tried a few times, and a rest is left to the system.
fn remove(path: &Path) {
    for _ in 0..10 {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(()) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_with_what_was_in_it() {
        let scratch = Scratch::new("lockstep-test").unwrap();
        let path = scratch.path().to_owned();
        fs::create_dir(path.join("sub")).unwrap();
        fs::write(path.join("sub/file"), b"x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
