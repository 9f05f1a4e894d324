//! The Linux guest that `guest-programs/linux/build` makes from Debian's packages, made where it is missing.
//!
//! The script and the guest's own files are part of this binary, so that it needs no checkout and never
//! runs the script of another version. They are laid out in a directory of their own beside the images for
//! as long as the script runs; nothing stays that could go stale. The images stay, where a checkout's script
//! has them too, and are taken from there in a moment the next time.
//!
//! Absent on purpose: any knowledge of Debian; the script has all of it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use thiserror::Error;

use super::scratch::Scratch;

/// Path, bytes, and whether it is a program.
type Part = (&'static str, &'static [u8], bool);

macro_rules! parts {
    ($($path:literal $program:literal)*) => {
        [$(($path, include_bytes!(concat!("../../guest-programs/linux/", $path)) as &[u8], $program)),*]
    };
}

/// All that the script reads.
const PARTS: [Part; 18] = parts! {
    "build" true
    "guest/init" true
    "guest/etc/group" false
    "guest/etc/hosts" false
    "guest/etc/inittab" false
    "guest/etc/passwd" false
    "guest/etc/profile" false
    "guest/etc/udhcpc/default.script" true
    "guest/usr/bin/bench" true
    "guest/usr/bin/lockstep-load" true
    "guest/usr/bin/lockstep-watch" true
    "guest/usr/lib/lockstep/console" true
    "guest/usr/lib/lockstep/rc" true
    "guest/usr/lib/lockstep/start-nginx" true
    "guest/usr/lib/lockstep/start-redis" true
    "guest/usr/lib/lockstep/start-watch" true
    "guest/usr/lib/lockstep/stop" true
    "guest/usr/lib/lockstep/words.sh" false
};
/// The script's exit status when there are no packages.
const NO_PACKAGES: i32 = 3;
/// Lines of the script that go into an error.
const LAST_LINES: usize = 12;

/// A kernel, RAM disks and a disk, as files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Images {
    /// The kernel, as a RISC-V `Image`.
    pub kernel: PathBuf,
    /// The RAM disk that goes on from a disk.
    pub initrd: PathBuf,
    /// The RAM disk with everything in it.
    pub initrd_all: PathBuf,
    /// The disk.
    pub root: PathBuf,
    /// The kernel's symbols.
    pub symbols: PathBuf,
    /// The kernel's command line.
    pub cmdline: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_version: String,
}

/// Why there is no Linux guest.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// No environment variable names a directory for the images.
    #[error("neither LOCKSTEP_GUESTS nor HOME says where a Linux guest's images are to be")]
    Nowhere,
    /// The host refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// The error.
        error: io::Error,
    },
    /// The script could not be started.
    #[error("python3, which makes the Linux guest from Debian's packages, cannot be started: {0}")]
    NoPython(io::Error),
    /// The script has no packages to make the guest of: they are not cached, and no mirror answers.
    #[error("Debian's packages are not here and cannot be fetched:{said}")]
    NoPackages {
        /// Its last lines.
        said: String,
    },
    /// The script failed in another way.
    #[error("the Linux guest cannot be made ({status}):{said}")]
    Failed {
        /// Its exit status, in words.
        status: String,
        /// Its last lines.
        said: String,
    },
    /// The script printed something else than the list of images.
    #[error("the script that makes the Linux guest answers with what is no list of images: {0}")]
    Answer(serde_json::Error),
}

impl ImagesError {
    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Nowhere => "set LOCKSTEP_GUESTS to a directory with 500 MB of room",
            Self::Io { .. } | Self::Answer(_) => {
                "set LOCKSTEP_GUESTS to a directory that can be written and has 500 MB of room"
            }
            Self::NoPython(_) => {
                "install it: on Debian and Ubuntu `apt-get install python3 apt dpkg e2fsprogs debian-archive-keyring`"
            }
            Self::NoPackages { .. } => {
                "140 MB come from Debian's mirror once: connect to the network, or name a mirror that is in \
                 reach in LOCKSTEP_DEBIAN_MIRROR; or copy the cache of a host that has them and name it in \
                 LOCKSTEP_GUESTS. `lockstep demo` without --linux needs no network"
            }
            Self::Failed { .. } => {
                "it needs Python 3, apt, dpkg, e2fsprogs, debian-archive-keyring, and 500 MB of room in \
                 LOCKSTEP_GUESTS or ~/.cache/lockstep/linux"
            }
        }
    }
}

/// Where the images are.
pub fn images_dir() -> Result<PathBuf, ImagesError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LOCKSTEP_GUESTS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("lockstep/linux")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/lockstep/linux")))
        .ok_or(ImagesError::Nowhere)
}

/// The images, made first if they are not there. `say` gets the progress meanwhile, a line at a time.
pub fn images(say: impl FnMut(&str)) -> Result<Images, ImagesError> {
    make_in(&images_dir()?, "python3", say)
}

fn make_in(dir: &Path, python: &str, mut say: impl FnMut(&str)) -> Result<Images, ImagesError> {
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |error| ImagesError::Io { what, error }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let scratch = Scratch::within(dir, ".build").map_err(failed(dir))?;
    lay_out(scratch.path()).map_err(failed(scratch.path()))?;
    let mut child = Command::new(python)
        .arg(scratch.path().join("build"))
        .arg("--json")
        .arg("--out")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ImagesError::NoPython)?;
    let mut last: Vec<String> = Vec::new();
    if let Some(told) = child.stderr.take() {
        for line in BufReader::new(told).lines() {
            let line = line.map_err(failed(scratch.path()))?;
            let line = line.strip_prefix("linux: ").unwrap_or(&line).trim().to_owned();
            say(&line);
            if last.len() == LAST_LINES {
                last.remove(0);
            }
            last.push(line);
        }
    }
    // The answer is less than a pipe holds, and comes last.
    let mut answer = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut answer).map_err(failed(scratch.path()))?;
    }
    let status = child.wait().map_err(failed(scratch.path()))?;
    let said = last.iter().map(|line| format!("\n    {line}")).collect();
    match status.code() {
        Some(0) => serde_json::from_str(&answer).map_err(ImagesError::Answer),
        Some(NO_PACKAGES) => Err(ImagesError::NoPackages { said }),
        _ => Err(ImagesError::Failed { status: status.to_string(), said }),
    }
}

/// Writes the script and what it reads.
fn lay_out(dir: &Path) -> io::Result<()> {
    for (path, bytes, program) in &PARTS {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        let mode = if *program { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_under(dir: &Path) -> Vec<(PathBuf, bool, Vec<u8>)> {
        let mut found = Vec::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(next) = dirs.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let program = path.metadata().unwrap().permissions().mode() & 0o100 != 0;
                    let bytes = fs::read(&path).unwrap();
                    found.push((path.strip_prefix(dir).unwrap().to_owned(), program, bytes));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_binary_carries_what_the_checkout_has() {
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path()).unwrap();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-programs/linux");
        let mut theirs = files_under(&checkout);
        theirs.retain(|(path, _, _)| path != Path::new("README.md") && !path.starts_with("__pycache__"));
        let names = |files: &[(PathBuf, bool, Vec<u8>)]| {
            files.iter().map(|(path, program, _)| (path.clone(), *program)).collect::<Vec<_>>()
        };
        let ours = files_under(dir.path());
        assert_eq!(names(&ours), names(&theirs));
        assert!(ours == theirs, "the same bytes");
    }

    #[test]
    fn who_has_no_python_is_told_what_to_install() {
        let dir = tempfile::tempdir().unwrap();
        let error = make_in(dir.path(), "/nonexistent/python3", |_| ()).unwrap_err();
        assert!(matches!(error, ImagesError::NoPython(_)), "{error}");
        assert!(error.fix().contains("apt-get install python3"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing stays");
    }

    #[test]
    fn a_script_that_fails_is_quoted_and_one_without_packages_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("python");
        for (status, packages) in [(3, false), (2, true)] {
            let script = format!("#!/bin/sh\necho 'linux: no way' >&2\nexit {status}\n");
            fs::write(&fake, script).unwrap();
            fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
            let mut heard = Vec::new();
            let error =
                make_in(&dir.path().join("out"), fake.to_str().unwrap(), |line| heard.push(line.to_owned()))
                    .unwrap_err();
            assert_eq!(heard, ["no way"]);
            assert_eq!(matches!(error, ImagesError::NoPackages { .. }), !packages, "{error}");
            assert!(error.to_string().contains("no way"));
        }
    }
}
