//! The numbers that replication is tuned by, each with the trade-off it makes.

use serde::{Deserialize, Serialize};

use super::detector::Detector;
use super::own_store::Ack;
use crate::devices::timebase::RATE_INSTRUCTIONS;
use crate::engine::Engine;
use crate::replay::recorder::DIGEST_EVERY_DEFAULT;

/// Durations are nanoseconds of the host's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A peer that has sent nothing for this long is suspected. A shorter setting takes over from a silent
    /// host sooner; a longer one tolerates a busy one. (A killed *process* is noticed at once by its closed
    /// connection, whatever the setting.)
    pub silence_ns: u64,
    /// A peer whose beats arrive and whose node makes no progress is given up after this. A busy host may
    /// keep a node from its processor for a good part of a second; only a fault does for longer.
    pub hang_ns: u64,
    /// Each side sends something at least this often. A fifth of `silence_ns` or less.
    pub heartbeat_ns: u64,
    /// While the guest computes, the log is flushed at least this often, so that the backup knows
    /// how far it may run: the floor of its lag.
    pub flush_ns: u64,
    /// Instructions between two looks at the outside world, at least: the delay that an input waits for a busy
    /// guest. A guest whose clock shows that it runs faster has [`Settings::slice`] of them.
    pub slice_instructions: u64,
    /// The same while an output waits for the backup's acknowledgement: it leaves only between two slices.
    pub slice_instructions_held: u64,
    /// The same, at most.
    pub slice_instructions_max: u64,
    /// Instructions that a backup replays between two looks at the outside world, at least: the delay that an
    /// acknowledgement waits for its machine ([`Settings::replay_slice`]).
    pub replay_instructions: u64,
    /// A digest of the state is written, and compared by every node or replay that follows the log, at each
    /// multiple of so many instructions; 0 for never. More often finds a divergence sooner; each
    /// costs a pass over the pages written since the last.
    pub digest_instructions: u64,
    /// A guest with a backup that computes too little to come by such a position is digested this
    /// often, if it moves at all.
    pub audit_ns: u64,
    /// Past this lag of the backup the primary is slowed, more as the lag grows.
    pub lag_soft_ns: u64,
    /// At this lag the primary pauses its guest until the backup has caught up.
    pub lag_hard_ns: u64,
    /// Outputs waiting for the backup's acknowledgement; the guest waits when they are more.
    pub gate_bytes_max: usize,
    /// The same in number.
    pub gate_outputs_max: usize,
    /// Snapshot bytes handed to a connection before it must have sent some.
    pub transfer_window_bytes: usize,
    /// A claim that the arbiter could not decide is tried again after this long.
    pub claim_retry_ns: u64,
    /// Log received and not yet replayed, as it lies in memory; a backup that holds more gives up.
    pub backlog_bytes_max: usize,
    /// An input frame or keystroke waits for the guest in a queue of at most this many.
    pub inputs_waiting_max: usize,
    /// A recorder without a backup writes its position this often, so that the log of a killed one shows it.
    pub lone_flush_ns: u64,
    /// Console bytes kept for terminals that come late or come back.
    pub scrollback_bytes: usize,
    /// Log that a node keeps for others that missed it, in bytes: a follower whose connection breaks goes on from
    /// there, if it comes back in time, instead of taking the whole state anew.
    pub tail_bytes_max: usize,
    /// Backups that are to count: with fewer a primary reports that it is degraded.
    pub backups_wanted: usize,
    /// While there is a store, a checkpoint is written this often, if the guest computes at all.
    pub checkpoint_ns: u64,
    /// The fewest instructions between two checkpoints that nobody asked for: those of an idle guest are worth little.
    pub checkpoint_instructions: u64,
    /// A checkpoint is written after so many instructions, however soon that is: a restart executes about as many again.
    /// Unless to save them takes too much of the time.
    pub checkpoint_instructions_max: u64,
    /// What executes the guest on this node; none: what the process has chosen. Only the simulator sets it.
    #[serde(skip)]
    pub engine: Option<Engine>,
    /// This node keeps the log in a store.
    pub stores: bool,
    /// When an entry counts, of a vm that begins here.
    pub ack: Ack,
    /// Backups that a primary takes. Each output waits for all of them; more survive more losses.
    pub backups_max: usize,
}

/// Each backup is sent the whole log by the primary itself.
pub const BACKUPS_MAX: usize = 8;
/// Enough for a kernel's boot messages.
const SCROLLBACK_BYTES: usize = 64 << 10;
/// A joiner receives it in one message.
pub const SCROLLBACK_BYTES_MAX: usize = 1 << 20;

const MS: u64 = 1_000_000;

/// During a state transfer either side is busy with it for long stretches, and no backup counts yet: waiting
/// costs nothing.
const JOIN_SILENCE_NS: u64 = 10_000 * MS;

/// So long a slice of a guest takes that is faster than its least slice: 40 us, or 20 while an output waits.
const SLICE_TICKS: u64 = 400;
const SLICE_TICKS_HELD: u64 = 200;
/// A slice sets the guest's clock ahead by at most so much, 0.41 ms, however wrong its rate is.
const SLICE_TICKS_MAX: u64 = 4096;

impl Settings {
    /// Instructions to the next look at the outside world of a guest that is seen to run at `pace`, and whose
    /// clock has the rate `clock`, both in ticks for 65,536 instructions, 0 if not known; `held`:
    /// while an output waits.
    pub fn slice(&self, pace: u16, clock: u16, held: bool) -> u64 {
        match held {
            true => self.paced(pace, clock, SLICE_TICKS_HELD, self.slice_instructions_held),
            false => self.paced(pace, clock, SLICE_TICKS, self.slice_instructions),
        }
    }

    /// The same for a backup that replays.
    pub fn replay_slice(&self, clock: u16) -> u64 {
        self.paced(clock, clock, SLICE_TICKS_HELD, self.replay_instructions)
    }

    fn paced(&self, pace: u16, clock: u16, ticks: u64, least: u64) -> u64 {
        let within = |ticks: u64, rate: u16| (ticks * RATE_INSTRUCTIONS).checked_div(rate.into());
        let paced = within(ticks, pace).unwrap_or(0);
        let ahead = within(SLICE_TICKS_MAX, clock).unwrap_or(u64::MAX);
        paced.min(ahead).min(self.slice_instructions_max).max(least)
    }

    /// What watches a peer that counts, or is counted by.
    pub(super) fn detector(&self, now_ns: u64) -> Detector {
        self.detector_with(now_ns, self.silence_ns)
    }

    /// What watches a peer until then.
    pub(super) fn detector_of_joining(&self, now_ns: u64) -> Detector {
        self.detector_with(now_ns, JOIN_SILENCE_NS)
    }

    /// What watches a peer that is given `silence_ns` for this once.
    pub(super) fn detector_with(&self, now_ns: u64, silence_ns: u64) -> Detector {
        Detector::new(now_ns, silence_ns, self.hang_ns, self.heartbeat_ns)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            silence_ns: 120 * MS,
            hang_ns: 3000 * MS,
            heartbeat_ns: 10 * MS,
            flush_ns: 4 * MS,
            slice_instructions: 8192,
            slice_instructions_held: 4096,
            slice_instructions_max: 65_536,
            replay_instructions: 8192,
            digest_instructions: DIGEST_EVERY_DEFAULT,
            audit_ns: 1000 * MS,
            lag_soft_ns: 20 * MS,
            lag_hard_ns: 80 * MS,
            gate_bytes_max: 1 << 20,
            gate_outputs_max: 512,
            transfer_window_bytes: 1 << 20,
            claim_retry_ns: 50 * MS,
            backlog_bytes_max: 256 << 20,
            inputs_waiting_max: 1024,
            lone_flush_ns: 100 * MS,
            scrollback_bytes: SCROLLBACK_BYTES,
            tail_bytes_max: 32 << 20,
            backups_wanted: 1,
            checkpoint_ns: 60_000 * MS,
            checkpoint_instructions: 200_000_000,
            checkpoint_instructions_max: 4_000_000_000,
            engine: None,
            stores: false,
            ack: Ack::Memory,
            backups_max: BACKUPS_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn a_fast_guest_has_slices_of_some_microseconds_and_none_has_less_than_the_least() {
        let settings = Settings::default();
        let rate_of = |instructions_per_tick: u64| (65_536 / instructions_per_tick) as u16;
        for (pace, clock, free, held) in [
            (0, 0, 8192, 4096),
            (u16::MAX, u16::MAX, 8192, 4096),
            // 200 million instructions a second: 40 us are 8000 instructions.
            (rate_of(20), rate_of(20), 8192, 4096),
            // A thousand million.
            (rate_of(100), rate_of(100), 40_021, 20_010),
            (rate_of(1000), rate_of(1000), 65_536, 65_536),
            // As fast, with a clock that runs as for twenty million: 0.41 ms of it.
            (rate_of(1000), rate_of(2), 8192, 8192),
            (rate_of(1000), 0, 65_536, 65_536),
        ] {
            let got = [settings.slice(pace, clock, false), settings.slice(pace, clock, true)];
            assert_eq!(got, [free, held], "{pace} {clock}");
        }
        assert_eq!(settings.replay_slice(rate_of(100)), 20_010);
        assert_eq!(settings.replay_slice(0), 8192);
    }
}
