//! Asking a poll loop to end: from another thread, or by SIGTERM and SIGINT.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// The end that a poll loop watches: readable, and from then on for ever, once it shall end.
#[derive(Debug)]
pub struct Stop(UnixStream);

/// The end that asks. Dropping it asks, too.
#[derive(Debug)]
pub struct Stopper(#[expect(dead_code, reason = "held open; closing it is the message")] UnixStream);

impl Stop {
    /// A pair for one loop.
    pub fn pair() -> io::Result<(Stopper, Stop)> {
        let (asking, watching) = UnixStream::pair()?;
        Ok((Stopper(asking), Stop(watching)))
    }

    /// Ends with the process's SIGTERM or SIGINT, which from now on no longer kill it.
    pub fn on_signals() -> io::Result<Stop> {
        let (asking, watching) = UnixStream::pair()?;
        pipe::register(SIGTERM, asking.try_clone()?)?;
        pipe::register(SIGINT, asking)?;
        Ok(Stop(watching))
    }
}

impl Stopper {
    /// Asks the loop to end.
    pub fn stop(self) {}
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_asked(stop: &Stop, patience_s: i64) -> bool {
        let mut fds = [PollFd::new(stop, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: patience_s, tv_nsec: 0 })).unwrap() > 0
    }

    #[test]
    fn a_dropped_stopper_asks() {
        let (stopper, stop) = Stop::pair().unwrap();
        assert!(!is_asked(&stop, 0));
        stopper.stop();
        assert!(is_asked(&stop, 10) && is_asked(&stop, 0));
    }

    #[test]
    fn sigterm_asks_instead_of_killing() {
        let stop = Stop::on_signals().unwrap();
        assert!(!is_asked(&stop, 0));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert!(is_asked(&stop, 10));
    }
}
