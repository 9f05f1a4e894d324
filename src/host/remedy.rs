//! What the user can do about an error of the file system, whichever files it is about.

use std::io;

/// What was attempted when a directory could not be made, in words that go after "cannot".
pub const CREATE_DIR: &str = "create the directory";

/// What the user can do about a file system's error in doing `what`, if we know: `room` is how to make some, and
/// `elsewhere` what else there is to do.
pub fn fix_of_io(what: &str, why: &io::Error, room: &str, elsewhere: &str) -> Option<String> {
    use io::ErrorKind::*;
    Some(match why.kind() {
        NotFound if what == CREATE_DIR => {
            "create the directory that it should be in; only the last one is made here".into()
        }
        NotFound => "check the path".into(),
        PermissionDenied | ReadOnlyFilesystem => "choose a directory that you may write to".into(),
        StorageFull | QuotaExceeded => format!("{room}, or {elsewhere}"),
        FileTooLarge => format!("raise the limit on the size of files (`ulimit -f`), or {elsewhere}"),
        NotADirectory => "name a directory, not a file".into(),
        _ => return None,
    })
}
