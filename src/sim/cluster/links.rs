//! Connections between nodes.

use super::*;
use crate::ft::clock::TICK_NS;
use crate::ft::message::{decode_body, decode_header};

impl Cluster<'_> {
    /// When a message sent now on `link` arrives, in the order of sending.
    pub(super) fn arrival(&mut self, link: LinkId) -> u64 {
        let (low, high) = self.plan.delay_ns;
        let mut delay_ns = self.prng.between(low, high);
        if self.prng.chance(1, 200) {
            delay_ns += self.prng.below(30 * MS);
        }
        let slot = self.ends.get(&link).map_or(0, |end| end.slot);
        let from = self.now_ns.max(self.partition_until).max(self.slots[slot].mute_until);
        let end = self.ends.get_mut(&link).expect("an open end is known");
        end.arrives_at = end.arrives_at.max(from + delay_ns);
        end.arrives_at
    }

    pub(super) fn send(&mut self, slot: usize, link: LinkId, message: Message) {
        let Some(end) = self.ends.get(&link).filter(|end| end.open) else { return };
        let other = end.other;
        self.check_guest_time(slot, &message);
        let message = over_the_wire(&message);
        let at_ns = self.arrival(link);
        let (slot, epoch) = self.ends.get(&other).map_or((0, 0), |end| (end.slot, end.epoch));
        self.at(at_ns, Happening::Arrive { slot, epoch, event: Event::Message { link: other, message } });
    }

    pub(super) fn close(&mut self, link: LinkId) {
        let Some(end) = self.ends.get_mut(&link).filter(|end| end.open) else { return };
        end.open = false;
        let other = end.other;
        let at_ns = self.arrival(link);
        let Some(end) = self.ends.get(&other) else { return };
        let (slot, epoch) = (end.slot, end.epoch);
        let event = Event::LinkClosed { link: other, why: "the connection was closed".into() };
        self.at(at_ns, Happening::Arrive { slot, epoch, event });
    }

    /// Of what `slot` has sent and has not arrived, only the beginning does: on each connection its own.
    pub(super) fn lose_what_is_under_way(&mut self, slot: usize) {
        let others: Vec<LinkId> = (self.ends.values())
            .filter(|end| end.slot == slot && end.epoch == self.slots[slot].epoch && end.open)
            .map(|end| end.other)
            .collect();
        for other in others {
            let under_way = |happening: &Happening| match happening {
                Happening::Arrive { event: Event::Message { link, .. }, .. } => *link == other,
                _ => false,
            };
            self.lose_a_suffix(under_way);
        }
    }

    pub(super) fn lose_a_suffix(&mut self, under_way: impl Fn(&Happening) -> bool) {
        let happenings = self.queue.iter().filter(|(_, happening)| under_way(happening));
        // What waits for a process that is paused or hangs was sent before what has yet to come.
        let mut keys: Vec<(bool, (u64, u64))> =
            happenings.map(|(key, happening)| (!self.waits_for_process(key.0, happening), *key)).collect();
        keys.sort_unstable();
        let arrive = self.prng.below(keys.len() as u64 + 1) as usize;
        for (_, key) in &keys[arrive..] {
            self.queue.remove(key);
        }
    }

    /// It has arrived at its host, and is taken in when the process there moves again.
    fn waits_for_process(&self, at_ns: u64, happening: &Happening) -> bool {
        let slot = match happening {
            Happening::Arrive { slot, .. } => Some(*slot),
            Happening::FromSwitch { peer, .. } => self.net.slot_of_conn(*peer),
            _ => None,
        };
        let until = slot.map_or(0, |slot| self.slots[slot].held_until());
        until > self.now_ns && at_ns >= until
    }

    /// The guest's time, as its primary reports it, goes on with the cluster's: a takeover costs at most the
    /// time for which the successor did not learn of it.
    fn check_guest_time(&mut self, slot: usize, message: &Message) {
        const PER_TAKEOVER_NS: u64 = 60 * MS;
        let Message::Heartbeat { ticks, .. } = message else { return };
        let node = self.slots[slot].node.as_ref();
        if !node.is_some_and(|node| node.is_primary() && node.generation() == self.newest().0) {
            return;
        }
        let guest_ns = ticks * TICK_NS;
        let drift_ns = self.now_ns / 1000;
        let behind_ns = 5 * MS + drift_ns + self.outcome.takeovers * PER_TAKEOVER_NS + self.disturbed_ns;
        // A guest that goes on from a store has the time of the last entry there.
        let is_behind = guest_ns + behind_ns < self.now_ns && self.outcome.restarts == 0;
        if is_behind || guest_ns > self.now_ns + 5 * MS + drift_ns {
            let (guest_ms, now_ms) = (guest_ns / MS, self.now_ns / MS);
            self.fail(format!(
                "slot {slot}: the guest's clock shows {guest_ms} ms, {now_ms} ms after its boot"
            ));
        }
    }
}

/// The message as its receiver decodes it.
fn over_the_wire(message: &Message) -> Message {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let (header, body) = bytes.split_first_chunk().expect("a message has a header");
    let header = decode_header(header).expect("a node's own message is within the bounds");
    decode_body(header, body).expect("a node's own message decodes")
}
