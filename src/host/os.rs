//! What a process asks of the operating system: time of day, entropy, a wait, and how it ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, Timespec, poll};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::say::say;

/// The host's time of day: nanoseconds since 1970 (UTC); 0 before that.
pub fn wall_clock_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The host's time of day in words, to the millisecond: `2026-11-29T16:08:00.123Z`.
pub fn wall_clock_text() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A time of day in words, to the second: `2026-11-29T16:08:00Z`.
pub fn time_of_day_text(ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(ns.into());
    time.map_or_else(|_| format!("{ns} ns after 1970"), |time| format!("{time:.0}"))
}

/// The time of day, in ns since 1970, that a text in the form of RFC 3339 names.
pub fn time_of_day(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    u64::try_from(time.as_nanosecond()).map_err(|_| "it is before 1970, or too far in the future".into())
}

/// Waits until one of `fds` is ready, for at most `patience`; how many are. None is after a wait that was
/// interrupted: it is only a shorter one.
pub fn look(fds: &mut [PollFd<'_>], patience: Duration) -> usize {
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    poll(fds, Some(&patience)).unwrap_or_else(|_| {
        fds.iter_mut().for_each(PollFd::clear_revents);
        0
    })
}

/// Fills `bytes` from the kernel's generator.
pub fn fill_entropy(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no entropy: {error}"),
        }
    }
}

/// 64 bits from the kernel's generator: identities of nodes, lives and sessions.
pub fn draw_u64() -> u64 {
    let mut bytes = [0; 8];
    fill_entropy(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Names the process that a process of a cluster is not to outlive.
pub const DIES_WITH: &str = "LOCKSTEP_DIES_WITH";

/// In a process of a cluster: asks the kernel to kill it when the thread that started it is gone,
/// so that a demo or test that is killed leaves nothing running. Elsewhere it does nothing.
pub fn die_with_starter() {
    let Ok(starter) = std::env::var(DIES_WITH) else { return };
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    // The starter may have died before the kernel was asked.
    if asked.is_err() || parent.as_deref() != Some(&starter) {
        std::process::exit(2);
    }
}

/// A write past the limit on the size of files shall be an error like any other failed write, not
/// the silent end that its signal is by default.
pub fn survive_file_size_limit() {
    let noted = std::sync::Arc::default();
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noted) {
        say!("lockstep: a recording past the limit on the size of files will end us: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_is_written_to_the_millisecond() {
        let text = wall_clock_text();
        let read: jiff::Timestamp = text.parse().expect("a timestamp");
        assert!(text.len() == "2026-11-29T16:08:00.123Z".len() && text.ends_with('Z'), "{text}");
        let apart = read.as_millisecond().abs_diff((wall_clock_ns() / 1_000_000) as i64);
        assert!(apart < 60_000, "{text} is {apart} ms from now");
    }
}
