//! Asking a poll loop to end: from another thread, or by SIGTERM and SIGINT.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::os::look;

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

    /// Waits for at most `patience`; whether it shall end.
    pub fn is_asked_within(&self, patience: Duration) -> bool {
        look(&mut [PollFd::new(self, PollFlags::IN)], patience) > 0
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
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_dropped_stopper_asks() {
        let (stopper, stop) = Stop::pair().unwrap();
        assert!(!stop.is_asked_within(Duration::ZERO));
        stopper.stop();
        assert!(stop.is_asked_within(LONG) && stop.is_asked_within(Duration::ZERO));
    }

    #[test]
    fn sigterm_asks_instead_of_killing() {
        let stop = Stop::on_signals().unwrap();
        assert!(!stop.is_asked_within(Duration::ZERO));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert!(stop.is_asked_within(LONG));
    }
}
