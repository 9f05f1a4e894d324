//! The heartbeat threads of the processes. Beats have a connection of their own, and come also from a process whose
//! node hangs; not from one that is paused.

use super::*;
use crate::ft::beat::{BEAT_BYTES, Beat};
use crate::ft::detector::{Beats, Pauses, Signs};

const BEAT_NS: u64 = 10 * MS;

/// What a process' heartbeat thread knows.
#[derive(Default)]
pub(super) struct Heart {
    /// Its own pauses.
    pauses: Pauses,
    /// Since when it is scheduled.
    resumed_ns: u64,
    /// While the node hangs: since when, and until when.
    hung_ns: (u64, u64),
}

impl Slot {
    /// Until when the node does nothing: its process is paused, or it hangs.
    pub(super) fn held_until(&self) -> u64 {
        self.paused_until.max(self.heart.hung_ns.1)
    }
}

impl Cluster<'_> {
    /// The heartbeat thread of the process in `slot` starts.
    pub(super) fn start_beats(&mut self, slot: usize) {
        self.slots[slot].heart = Heart { resumed_ns: self.now_ns, ..Heart::default() };
        if self.plan.beats {
            let epoch = self.slots[slot].epoch;
            self.later(BEAT_NS, Happening::Beat { slot, epoch });
        }
    }

    pub(super) fn beat(&mut self, slot: usize, epoch: u64) {
        let (now_ns, at) = (self.now_ns, &self.slots[slot]);
        if at.epoch != epoch {
            return;
        }
        if at.paused_until > now_ns {
            let until = at.paused_until;
            return self.at(until, Happening::Beat { slot, epoch });
        }
        self.later(BEAT_NS, Happening::Beat { slot, epoch });
        let at = &self.slots[slot];
        let (since, until) = at.heart.hung_ns;
        let stalled_ns = if until > now_ns { now_ns - since } else { 0 };
        let beat = Beat { stalled_ns, pause_ns: at.heart.pauses.longest_ns(now_ns) };
        let ours = at.node.iter().flat_map(Node::peer_links);
        let ends = ours.filter_map(|link| self.ends.get(&link)).filter(|end| end.open);
        let others: Vec<LinkId> = ends.map(|end| end.other).collect();
        let from = now_ns.max(self.partition_until).max(at.mute_until);
        let (low, high) = self.plan.delay_ns;
        for link in others {
            let at_ns = from + self.prng.between(low, high);
            self.at(at_ns, Happening::BeatArrives { link, bytes: beat.encode() });
        }
    }

    pub(super) fn beat_arrives(&mut self, link: LinkId, bytes: [u8; BEAT_BYTES]) {
        let Some(end) = self.ends.get_mut(&link) else { return };
        let at = &self.slots[end.slot];
        if at.epoch != end.epoch {
            return;
        }
        if at.paused_until > self.now_ns {
            let until = at.paused_until;
            return self.at(until, Happening::BeatArrives { link, bytes });
        }
        end.beat = Beat::decode(&bytes).map(|beat| (self.now_ns, beat));
    }

    /// What the process in `slot` knows of its peers besides messages.
    pub(super) fn signs(&self, slot: usize) -> BTreeMap<LinkId, Signs> {
        let links = self.slots[slot].node.iter().flat_map(Node::peer_links);
        links.filter_map(|link| Some((link, self.signs_of(slot, link)?))).collect()
    }

    fn signs_of(&self, slot: usize, link: LinkId) -> Option<Signs> {
        let (now_ns, at) = (self.now_ns, &self.slots[slot]);
        let end = self.ends.get(&link)?;
        let beats = end.beat.map(|(at_ns, beat)| Beats {
            silent_ns: now_ns - at_ns.max(at.heart.resumed_ns),
            looked_ns: self.clock_ns(slot),
            pause_own_ns: at.heart.pauses.longest_ns(now_ns),
            pause_peer_ns: beat.pause_ns,
            stalled_ns: beat.stalled_ns,
        });
        Some(Signs { link_ns: end.heard_ns, beats })
    }

    /// The process in `slot` is scheduled again after a pause.
    pub(super) fn resume(&mut self, slot: usize, paused_ns: u64) {
        let now_ns = self.now_ns;
        let heart = &mut self.slots[slot].heart;
        heart.pauses.note(paused_ns, now_ns);
        heart.resumed_ns = now_ns;
        self.wake(slot);
    }

    /// The node in `slot` hangs; its process' other threads go on.
    pub(super) fn hang(&mut self, slot: Option<usize>, for_ns: u64) {
        let Some(slot) = slot.filter(|slot| self.slots[*slot].held_until() <= self.now_ns) else { return };
        self.disturbed_ns += for_ns;
        self.note(|| format!("{slot}: hangs for {} ms", for_ns / MS));
        self.slots[slot].heart.hung_ns = (self.now_ns, self.now_ns + for_ns);
        let epoch = self.slots[slot].epoch;
        self.later(for_ns, Happening::Recovers { slot, epoch });
    }
}
