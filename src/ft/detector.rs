//! Suspicion: when a peer that is still connected is given up.
//!
//! A closed connection is reported by the connection itself. The detector judges a peer that is connected and
//! silent, or whose beats arrive while its node makes no progress. Suspicion alone decides nothing: it makes
//! a node *claim*. A wrong one costs a takeover, so silence is judged by what the host knows about it:
//!
//! ```text
//! silence    neither a beat nor anything else from the peer, in time in which the judge looked for it
//! allowed    the setting, and twice the longest late pause of either side, at most eight times the setting
//! hang       the peer's beats go on, and its node has sent nothing for `hang_ns`, or reports that it
//!            has not moved for that long
//! ```
//!
//! Beats come from a thread that does nothing else ([`Beats`]), on a connection of their own; the driver
//! carries them, and what they show comes in as [`Signs`]. Where there are none (a peer whose
//! beats have not begun), messages alone are judged.
//!
//! Promises: on hosts without pauses of more than [`PAUSE_NS_MIN`] the setting is exact; no report of a peer
//! about itself extends its silence past [`ALLOWED_TIMES_MAX`] settings, nor a hang past `hang_ns`.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Sabotage;

/// Shorter pauses are the ordinary jitter of a host.
pub const PAUSE_NS_MIN: u64 = 10 * MS;
/// Longer ones do not predict the next.
const PAUSE_NS_MAX: u64 = 1000 * MS;
/// A pause counts half as much after each of these.
const PAUSE_FADES_NS: u64 = 10_000 * MS;
/// Whatever was seen, at most this many times the setting of silence is allowed.
pub const ALLOWED_TIMES_MAX: u64 = 8;
/// A deadline that has passed while beats were not being read is checked again after this.
const AGAIN_NS: u64 = MS;

const MS: u64 = 1_000_000;

/// The longest pause of late: how long something that wanted to run did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    longest_ns: u64,
    at_ns: u64,
}

impl Pauses {
    pub fn note(&mut self, pause_ns: u64, now_ns: u64) {
        let pause_ns = pause_ns.min(PAUSE_NS_MAX);
        if pause_ns >= PAUSE_NS_MIN && pause_ns >= self.longest_ns(now_ns) {
            *self = Self { longest_ns: pause_ns, at_ns: now_ns };
        }
    }

    /// The longest one, fading; 0 when there was none of note.
    pub fn longest_ns(&self, now_ns: u64) -> u64 {
        let halvings = now_ns.saturating_sub(self.at_ns) / PAUSE_FADES_NS;
        let faded = self.longest_ns.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
        if faded < PAUSE_NS_MIN { 0 } else { faded }
    }
}

/// What a thread that only listens for a peer's beats knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beats {
    /// How long none had come when it last looked, without the time in which it was not scheduled.
    pub silent_ns: u64,
    /// When it last looked.
    pub looked_ns: u64,
    /// Its own longest late pause.
    pub pause_own_ns: u64,
    /// The peer's longest late pause, as the peer reports it.
    pub pause_peer_ns: u64,
    /// How long the peer's node had not moved, as the peer reports it.
    pub stalled_ns: u64,
}

/// What the host knows of a peer, besides its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// When bytes last came on the connection that carries messages.
    pub link_ns: u64,
    /// None while no beats come: not yet, or not any more.
    pub beats: Option<Beats>,
}

/// Why a peer is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    Silent { for_ns: u64, allowed_ns: u64 },
    Hung { for_ns: u64 },
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspicion::Silent { for_ns, allowed_ns } => {
                let (silent, allowed) = (for_ns / MS, allowed_ns / MS);
                write!(f, "it has been silent for too long: {silent} ms, {allowed} are allowed")
            }
            Suspicion::Hung { for_ns } => {
                write!(f, "its process is alive, but its node has not moved for {} ms", for_ns / MS)
            }
        }
    }
}

/// How a peer is watched, for `lockstep status`; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Silence allowed as it was set, and now.
    pub silence_ms: f64,
    pub allowed_ms: f64,
    /// A peer whose beats arrive but whose node does not move is given up after this.
    pub hang_ms: f64,
    /// The peer's beats arrive.
    pub beats: bool,
    /// The longest late pause of the threads that send and receive beats, here and there.
    pub pause_here_ms: f64,
    pub pause_there_ms: f64,
    /// How long the peer's node had not moved when its last beat left.
    pub stalled_ms: f64,
}

/// Watches one peer and our own silence toward it.
#[derive(Clone, Debug)]
pub struct Detector {
    silence_ns: u64,
    hang_ns: u64,
    heartbeat_ns: u64,
    /// Nothing before this is the peer's silence.
    since_ns: u64,
    /// When a message was last taken in.
    heard_ns: u64,
    spoke_ns: u64,
    looked_ns: u64,
    signs: Option<Signs>,
}

impl Detector {
    /// A `hang_ns` below `silence_ns` is raised to it.
    pub fn new(now_ns: u64, silence_ns: u64, hang_ns: u64, heartbeat_ns: u64) -> Self {
        Self {
            silence_ns,
            hang_ns: hang_ns.max(silence_ns),
            heartbeat_ns,
            since_ns: now_ns,
            heard_ns: now_ns,
            spoke_ns: now_ns,
            looked_ns: now_ns,
            signs: None,
        }
    }

    /// A message of the peer's was taken in.
    pub fn heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
    }

    /// This node sent a message.
    pub fn spoke(&mut self, now_ns: u64) {
        self.spoke_ns = now_ns;
    }

    /// True when a heartbeat is due.
    pub fn heartbeat_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.spoke_ns) >= self.heartbeat_ns
    }

    /// Judges the peer by what is known now. A gap in our *own* looking is not the peer's silence: after
    /// one, messages that wait for us get a fresh chance to be taken in.
    pub fn suspects(&mut self, now_ns: u64, signs: Option<Signs>) -> Option<Suspicion> {
        let away_ns = now_ns.saturating_sub(self.looked_ns);
        self.looked_ns = now_ns;
        self.signs = signs;
        let patience_ns = if self.beats().is_some() { self.hang_ns } else { self.silence_ns };
        if away_ns > patience_ns / 2 {
            self.since_ns = now_ns;
        }
        let silent_ns = self.silent_ns(now_ns);
        let allowed_ns = self.allowed_ns();
        if silent_ns > allowed_ns {
            return Some(Suspicion::Silent { for_ns: silent_ns, allowed_ns });
        }
        let beats = self.beats()?;
        let link_silent_ns = now_ns.saturating_sub(self.link_heard_ns());
        let hung_ns = link_silent_ns.max(beats.stalled_ns);
        (hung_ns > self.hang_ns && !Sabotage::HangUnbounded.is_on())
            .then_some(Suspicion::Hung { for_ns: hung_ns })
    }

    /// When to look again, at the latest.
    pub fn next_look_ns(&self) -> u64 {
        let beat_ns = self.spoke_ns + self.heartbeat_ns;
        let left_ns = self.allowed_ns().saturating_sub(self.silent_ns(self.looked_ns));
        beat_ns.min(self.looked_ns + left_ns.max(AGAIN_NS) + 1)
    }

    /// How much silence is allowed now.
    fn allowed_ns(&self) -> u64 {
        let pause_ns = self.beats().map_or(0, |beats| beats.pause_own_ns.max(beats.pause_peer_ns));
        self.silence_ns + pause_ns.saturating_mul(2).min(self.silence_ns * (ALLOWED_TIMES_MAX - 1))
    }

    fn silent_ns(&self, now_ns: u64) -> u64 {
        match self.beats() {
            Some(beats) => {
                let link_ns = self.signs.map_or(0, |signs| signs.link_ns);
                beats.silent_ns.min(beats.looked_ns.saturating_sub(link_ns))
            }
            None => now_ns.saturating_sub(self.link_heard_ns()),
        }
    }

    /// When a message of the peer last arrived, or began to be expected.
    fn link_heard_ns(&self) -> u64 {
        let link_ns = self.signs.map_or(0, |signs| signs.link_ns);
        link_ns.max(self.heard_ns).max(self.since_ns)
    }

    fn beats(&self) -> Option<Beats> {
        if Sabotage::BeatsIgnored.is_on() {
            return None;
        }
        self.signs.and_then(|signs| signs.beats)
    }

    pub fn watch(&self) -> Watch {
        let ms = |ns: u64| ns as f64 / 1e6;
        let beats = self.beats().unwrap_or_default();
        Watch {
            silence_ms: ms(self.silence_ns),
            allowed_ms: ms(self.allowed_ns()),
            hang_ms: ms(self.hang_ns),
            beats: self.beats().is_some(),
            pause_here_ms: ms(beats.pause_own_ns),
            pause_there_ms: ms(beats.pause_peer_ns),
            stalled_ms: ms(beats.stalled_ns),
        }
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
