//! Frames on their way into a VM, kept until the VM's log has them.
//!
//! Each frame gets the next number (`rx_seq`, from 1) of the guest's life. The active VM sends
//! `Received` once a frame is safe in the replicated log; until then the frame stays here. When a
//! successor takes over it names the last number in *its* log, and everything after that is sent
//! again: what the failed primary had received but not replicated is not lost, and what the successor
//! already has is not sent twice.
//!
//! Bounded in frames and in bytes; when it is full the newest frame is dropped and counted, as by
//! any network.

use std::collections::VecDeque;

use serde::Serialize;

use super::ether::FRAME_BYTES_MAX;
use crate::base::Sabotage;

/// At most this many frames wait for one VM: some 30 ms of a flood, or a second of a busy service.
pub const FRAMES_MAX: usize = 1024;

/// At most this many bytes wait for one VM.
pub const BYTES_MAX: usize = 4 << 20;

/// What has become of one VM's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InboundCounts {
    /// Frames numbered.
    pub queued: u64,
    /// Frames handed out again, because their first receiver is gone.
    pub resent: u64,
    /// Frames that the VM has confirmed to be safe in its log.
    pub confirmed: u64,
    /// Frames refused a number because too many wait.
    pub dropped_full: u64,
    /// Frames thrown away because their guest ended.
    pub dropped_ended: u64,
}

/// One VM's queue.
///
/// ```text
///     first                 unsent                first + ring.len()
///       | sent, unconfirmed   | not yet sent        | next number
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    ring: VecDeque<Vec<u8>>,
    /// The number of the ring's front.
    first: u64,
    /// The number of the next frame to hand out.
    unsent: u64,
    /// The highest number ever handed out.
    sent: u64,
    bytes: usize,
    /// No VM has yet reported its last number: ours may still be shifted.
    floating: bool,
    frames_max: usize,
    bytes_max: usize,
    counts: InboundCounts,
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new(FRAMES_MAX, BYTES_MAX)
    }
}

impl Inbound {
    pub fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            first: 1,
            unsent: 1,
            sent: 0,
            bytes: 0,
            floating: true,
            frames_max,
            bytes_max,
            counts: InboundCounts::default(),
        }
    }

    pub fn counts(&self) -> InboundCounts {
        self.counts
    }

    /// The last frame that the VM has reported safe in its log, or that went with an earlier switch or guest.
    pub fn safe(&self) -> u64 {
        self.first - 1
    }

    /// Frames waiting, sent or not.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// How many frames of the largest size a sender that can wait may add. It leaves half of the queue to
    /// those that cannot.
    pub fn room(&self) -> usize {
        let bytes = (self.bytes_max / 2).saturating_sub(self.bytes) / FRAME_BYTES_MAX;
        (self.frames_max / 2).saturating_sub(self.ring.len()).min(bytes)
    }

    /// Gives `frame` the next number and keeps it; `None` when it was dropped for want of room.
    pub fn push(&mut self, frame: Vec<u8>) -> Option<u64> {
        if self.ring.len() >= self.frames_max || self.bytes + frame.len() > self.bytes_max {
            self.counts.dropped_full += 1;
            return None;
        }
        let rx_seq = self.first + self.ring.len() as u64;
        self.bytes += frame.len();
        self.ring.push_back(frame);
        self.counts.queued += 1;
        Some(rx_seq)
    }

    pub fn has_unsent(&self) -> bool {
        self.unsent < self.first + self.ring.len() as u64
    }

    /// Hands out the next frame to send; it stays here until it is confirmed.
    pub fn next_to_send(&mut self) -> Option<(u64, &[u8])> {
        let frame = self.ring.get((self.unsent - self.first) as usize)?;
        let rx_seq = self.unsent;
        self.unsent += 1;
        if rx_seq <= self.sent {
            self.counts.resent += 1;
        } else {
            self.sent = rx_seq;
        }
        Some((rx_seq, frame))
    }

    /// Everything up to `rx_seq` is safe in the log; only what has been sent can be confirmed.
    pub fn confirm(&mut self, rx_seq: u64) {
        let end = rx_seq.min(self.unsent - 1).saturating_add(1);
        while self.first < end {
            if let Some(frame) = self.ring.pop_front() {
                self.bytes -= frame.len();
            }
            self.first += 1;
            self.counts.confirmed += 1;
        }
    }

    /// A VM that has everything up to `rx_seq_last` goes on: what comes after is sent (again).
    /// Nothing is confirmed by this.
    ///
    /// If this switch has never sent anything to this guest (it is younger than the guest), or the
    /// VM already has more than was ever sent from here, our numbers are shifted to go on from the
    /// VM's. A number that was handed out is not used for another frame: the VM may have that one in a queue of its own.
    pub fn resume_after(&mut self, rx_seq_last: u64) {
        // Numbers are added to: a forged one near the maximum is cut, so that no sum overflows.
        let next = rx_seq_last.min(u64::MAX / 2) + 1;
        if self.floating || next > self.sent + 1 {
            self.first = next.max(self.sent + 1);
            self.sent = self.first - 1;
            self.floating = false;
        }
        if !Sabotage::InboundNotResent.is_on() {
            self.unsent = next;
        }
        self.unsent = self.unsent.max(self.first);
    }

    /// Another guest begins: numbers start at 1, and what waited for the old one is dropped.
    pub fn restart(&mut self) {
        self.counts.dropped_ended += self.ring.len() as u64;
        *self = Self { counts: self.counts, floating: false, ..Self::new(self.frames_max, self.bytes_max) };
    }

    /// Drops what waits, because no successor is expected; the numbering goes on.
    pub fn forget(&mut self) {
        let end = self.first + self.ring.len() as u64;
        self.counts.dropped_ended += self.ring.len() as u64;
        self.ring.clear();
        self.bytes = 0;
        // The dropped numbers were perhaps never sent: a guest that comes back goes on from its own.
        self.floating = true;
        self.first = end;
        self.unsent = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    fn frame(n: u64) -> Vec<u8> {
        n.to_le_bytes().to_vec()
    }

    fn drain(inbound: &mut Inbound) -> Vec<u64> {
        std::iter::from_fn(|| inbound.next_to_send().map(|(rx_seq, _)| rx_seq)).collect()
    }

    #[test]
    fn a_successor_gets_exactly_what_its_log_does_not_have() {
        let mut inbound = Inbound::default();
        inbound.resume_after(0);
        for n in 1..=5 {
            assert_eq!(inbound.push(frame(n)), Some(n));
        }
        assert_eq!(drain(&mut inbound), [1, 2, 3, 4, 5]);
        inbound.confirm(2);
        assert_eq!(inbound.len(), 3);
        // The primary crashes; 3 reached the backup's log without a confirmation to the switch.
        inbound.resume_after(3);
        assert_eq!(drain(&mut inbound), [4, 5]);
        assert_eq!(inbound.counts().resent, 2);
    }

    #[test]
    fn reconnecting_confirms_nothing() {
        let mut inbound = Inbound::default();
        inbound.resume_after(0);
        inbound.push(frame(1));
        assert_eq!(drain(&mut inbound), [1]);
        inbound.resume_after(1);
        assert!(drain(&mut inbound).is_empty());
        inbound.resume_after(0);
        assert_eq!(drain(&mut inbound), [1]);
    }

    #[test]
    fn full_drops_the_newest_in_frames_and_in_bytes() {
        let mut inbound = Inbound::new(2, 100);
        assert!(inbound.push(vec![0; 60]).is_some());
        assert!(inbound.push(vec![0; 60]).is_none());
        assert!(inbound.push(vec![0; 40]).is_some());
        assert!(inbound.push(vec![]).is_none());
        assert_eq!(inbound.counts().dropped_full, 2);
        inbound.resume_after(0);
        assert_eq!(drain(&mut inbound), [1, 2]);
        inbound.confirm(1);
        assert_eq!(inbound.push(vec![0; 60]), Some(3));
    }

    #[test]
    fn a_sender_that_can_wait_leaves_half_of_the_room() {
        const BYTES: usize = FRAME_BYTES_MAX;
        // Frames are the narrower bound.
        let mut inbound = Inbound::new(10, 1000 * BYTES);
        let mut rooms = vec![inbound.room()];
        for _ in 0..6 {
            inbound.push(frame(0));
            rooms.push(inbound.room());
        }
        assert_eq!(rooms, [5, 4, 3, 2, 1, 0, 0]);
        // Bytes are.
        let mut inbound = Inbound::new(100, 10 * BYTES);
        let mut rooms = vec![inbound.room()];
        for bytes in [BYTES, 1, BYTES - 1, 3 * BYTES, BYTES] {
            inbound.push(vec![0; bytes]);
            rooms.push(inbound.room());
        }
        assert_eq!(rooms, [5, 4, 3, 3, 0, 0]);
    }

    #[test]
    fn what_waits_and_what_is_unsent_are_two_things() {
        let mut inbound = Inbound::default();
        inbound.resume_after(6);
        let state = |inbound: &Inbound| (inbound.len(), inbound.is_empty(), inbound.has_unsent());
        assert_eq!(state(&inbound), (0, true, false));
        inbound.push(frame(7));
        inbound.push(frame(8));
        assert_eq!(state(&inbound), (2, false, true));
        inbound.next_to_send();
        assert_eq!(state(&inbound), (2, false, true));
        inbound.next_to_send();
        assert_eq!(state(&inbound), (2, false, false));
        inbound.confirm(8);
        assert_eq!(state(&inbound), (0, true, false));
        let expected = InboundCounts { queued: 2, confirmed: 2, ..InboundCounts::default() };
        assert_eq!(inbound.counts(), expected);
    }

    #[test]
    fn only_what_was_sent_can_be_confirmed() {
        let mut inbound = Inbound::default();
        inbound.resume_after(0);
        inbound.push(frame(1));
        inbound.push(frame(2));
        inbound.next_to_send();
        inbound.confirm(u64::MAX);
        assert_eq!(drain(&mut inbound), [2]);
    }

    #[test]
    fn a_young_switch_goes_on_from_the_number_of_the_guest() {
        let mut inbound = Inbound::default();
        inbound.push(frame(1));
        inbound.push(frame(2));
        inbound.resume_after(1);
        assert_eq!(drain(&mut inbound), [2, 3]);
        assert_eq!(inbound.push(frame(3)), Some(4));
    }

    #[test]
    fn a_guest_that_comes_back_after_being_forgotten_goes_on_from_its_own_number() {
        let mut inbound = Inbound::default();
        inbound.resume_after(0);
        inbound.push(frame(1));
        inbound.push(frame(2));
        inbound.next_to_send();
        inbound.forget();
        assert!(inbound.is_empty());
        inbound.resume_after(1);
        inbound.push(frame(3));
        assert_eq!(drain(&mut inbound), [2]);
    }

    #[test]
    fn a_number_that_was_handed_out_is_not_used_again_for_a_guest_that_was_forgotten() {
        let mut inbound = Inbound::default();
        inbound.resume_after(0);
        for n in 1..=3 {
            inbound.push(frame(n));
        }
        inbound.next_to_send();
        inbound.next_to_send();
        inbound.forget();
        // The guest has frame 2 in a queue and not in its log.
        inbound.resume_after(1);
        assert_eq!(inbound.push(frame(4)), Some(3));
        assert_eq!(drain(&mut inbound), [3]);
    }

    #[test]
    fn another_guest_starts_at_one() {
        let mut inbound = Inbound::default();
        inbound.resume_after(10);
        inbound.push(frame(1));
        inbound.restart();
        assert_eq!(inbound.push(frame(2)), Some(1));
        assert_eq!(inbound.counts().dropped_ended, 1);
        inbound.resume_after(0);
        assert_eq!(drain(&mut inbound), [1]);
    }

    #[test]
    fn wild_numbers_do_no_harm() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let mut inbound = Inbound::new(8, 1 << 20);
            for _ in 0..200 {
                let wild = if prng.chance(1, 8) { prng.next_u64() } else { prng.below(20) };
                match prng.below(6) {
                    0 | 1 => drop(inbound.push(frame(0))),
                    2 => drop(inbound.next_to_send().map(|(n, _)| n)),
                    3 => inbound.confirm(wild),
                    4 => inbound.resume_after(wild),
                    _ => inbound.forget(),
                }
                assert!(inbound.len() <= 8, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_number_from_the_very_end_leaves_room_to_count_on() {
        for forged in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1] {
            let mut inbound = Inbound::default();
            inbound.resume_after(forged);
            let first = inbound.push(frame(1)).unwrap();
            assert_eq!(first, u64::MAX / 2 + 1, "{forged}");
            inbound.push(frame(2));
            assert_eq!(drain(&mut inbound), [first, first + 1]);
            inbound.confirm(u64::MAX);
            assert!(inbound.is_empty());
            // The guest itself comes back, and gets what comes next.
            inbound.resume_after(5);
            assert_eq!(inbound.push(frame(3)), Some(first + 2));
            assert_eq!(drain(&mut inbound), [first + 2]);
        }
    }

    /// Random kills: the frames that end in the surviving log are each one once and in order.
    #[test]
    fn over_random_takeovers_nothing_is_lost_and_nothing_comes_twice() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let mut inbound = Inbound::default();
            inbound.resume_after(0);
            let mut pushed = 0;
            // What the replicated log holds, and what only the primary has.
            let (mut log, mut primary_only) = (Vec::new(), VecDeque::new());
            for _ in 0..300 {
                match prng.below(5) {
                    0 | 1 if inbound.len() < 1000 => {
                        pushed += 1;
                        assert!(inbound.push(frame(pushed)).is_some());
                    }
                    2 => {
                        if let Some((rx_seq, bytes)) = inbound.next_to_send() {
                            primary_only.push_back((rx_seq, bytes.to_vec()));
                        }
                    }
                    3 => log.extend(primary_only.pop_front()),
                    _ if prng.chance(1, 10) => {
                        primary_only.clear();
                        let last = log.last().map_or(0, |(rx_seq, _)| *rx_seq);
                        inbound.resume_after(last);
                        inbound.confirm(last);
                    }
                    _ => {
                        let safe = log.last().map_or(0, |(rx_seq, _)| *rx_seq);
                        inbound.confirm(prng.between(0, safe));
                    }
                }
            }
            log.extend(primary_only);
            while let Some((rx_seq, bytes)) = inbound.next_to_send() {
                log.push((rx_seq, bytes.to_vec()));
            }
            let expected: Vec<_> = (1..=pushed).map(|n| (n, frame(n))).collect();
            assert_eq!(log, expected, "seed {seed}");
        }
    }

    #[test]
    fn a_guest_that_starts_over_keeps_its_numbers_once_they_are_confirmed() {
        let mut inbound = Inbound::default();
        inbound.resume_after(9);
        inbound.restart();
        inbound.push(frame(1));
        assert_eq!(drain(&mut inbound), [1]);
        inbound.confirm(1);
        inbound.push(frame(2));
        inbound.resume_after(0);
        assert_eq!(drain(&mut inbound), [2]);
    }

    #[test]
    fn what_was_dropped_or_confirmed_takes_no_room() {
        let mut inbound = Inbound::new(10, 100);
        inbound.resume_after(0);
        for _ in 0..3 {
            inbound.push(vec![0; 40]);
            inbound.push(vec![0; 40]);
            inbound.forget();
        }
        assert_eq!(inbound.counts().dropped_ended, 6);
        inbound.resume_after(6);
        assert!(inbound.push(vec![0; 60]).is_some() && inbound.push(vec![0; 40]).is_some());
        assert_eq!(drain(&mut inbound), [7, 8]);
        inbound.confirm(7);
        assert!(inbound.push(vec![0; 61]).is_none() && inbound.push(vec![0; 60]).is_some());
        drain(&mut inbound);
        inbound.confirm(9);
        assert!(inbound.push(vec![0; 100]).is_some());
    }
}
