//! Messages for people on standard error: a line that cannot be written is lost, and nothing else with it.
//!
//! Promise: neither a closed pipe, a terminal that was hung up nor a full file makes the process panic, as
//! `eprintln!` would; and the node's thread never waits for a terminal that was stopped with Ctrl-S or a
//! reader that sleeps: [`unless_blocked`] drops its line then. A node must neither die nor fall silent
//! towards its peer because its messages have no reader.

use std::fmt;
use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Writes a line on standard error, as `eprintln!` does, but ignores failures.
macro_rules! say {
    ($($words:tt)*) => { $crate::host::say::line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Puts a line of the result on standard output, as `println!` does. A reader that has seen enough
/// (`| head`) is no failure.
macro_rules! put {
    ($($words:tt)*) => { $crate::host::say::result(format_args!($($words)*)) };
}
pub(crate) use put;

/// Writes a line to standard output.
pub fn result(words: fmt::Arguments<'_>) -> io::Result<()> {
    match io::stdout().write_all(format!("{words}\n").as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a line to standard error; waits for a slow reader.
pub fn line(words: fmt::Arguments<'_>) {
    // One write, so that lines of several processes do not mix.
    let text = format!("{words}\n");
    match io::stderr().write_all(text.as_bytes()) {
        // The failure cannot be reported: this is the channel for reports.
        Ok(()) | Err(_) => {}
    }
}

/// The same, but a line that standard error does not take at once is dropped.
pub fn unless_blocked(words: fmt::Arguments<'_>) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0) {
        line(words);
    }
}
