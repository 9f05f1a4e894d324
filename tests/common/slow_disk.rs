//! A disk that takes its time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BINARY, skipped};

/// A program in `dir` that is our binary, but each sync of a file takes `ms` longer; its process is ours. None,
/// loudly, where that cannot be done.
pub fn with_slow_syncs(dir: &Path, ms: u64) -> Option<PathBuf> {
    let program = dir.join("with-slow-syncs");
    let syncs = "fsync,fdatasync";
    let script = format!(
        "#!/bin/sh\nexec strace -D -f --seccomp-bpf -qq -o /dev/null -e trace={syncs} \
         -e inject={syncs}:delay_enter={} {BINARY} \"$@\"\n",
        ms * 1000
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    match Command::new(&program).arg("--version").output() {
        Ok(output) if output.status.success() => Some(program),
        _ => {
            skipped("strace is not installed, or may not trace here");
            None
        }
    }
}
