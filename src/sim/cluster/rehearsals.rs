//! Rehearsals: a fork is made of what a node has drawn, and its guest must go on.

use super::*;
use crate::ft::{GuestClock, Rehearsed, Sandbox};

/// Turns that a guest is tried for.
const TURNS: u32 = 40;

impl Cluster<'_> {
    /// A tool asks the backup for a rehearsal.
    pub(super) fn ask_rehearsal(&mut self) {
        let Some(slot) = self.backup() else { return };
        let link = LinkId(self.links_next);
        self.links_next += 1;
        let event = Event::Message { link, message: Message::Rehearse { seconds: 1 } };
        let epoch = self.slots[slot].epoch;
        self.later(US, Happening::Arrive { slot, epoch, event });
    }

    pub(super) fn fork(&mut self, slot: usize, fork: u64, head: SavedHead) {
        self.slots[slot].fork = Some(Fork { number: fork, head, pieces: Vec::new() });
    }

    pub(super) fn fork_piece(&mut self, slot: usize, piece: Piece) {
        if let Some(fork) = &mut self.slots[slot].fork {
            fork.pieces.push(piece);
        }
    }

    pub(super) fn rehearse(&mut self, slot: usize, epoch: u64, fork: u64, clock: GuestClock) {
        let Some(Fork { number, head, pieces }) = self.slots[slot].fork.take() else { return };
        if number != fork {
            return self.fail(format!("slot {slot}: fork {number} goes live as {fork}"));
        }
        let outcome = self.try_out(slot, head, pieces, clock);
        match &outcome {
            // Whatever comes of it then: the audit is to find it.
            _ if self.slots[slot].flipped => {}
            Err(why) => return self.fail(format!("slot {slot}: no fork: {why}")),
            Ok(Rehearsed { tried, .. }) if tried.why.is_some() => {
                return self.fail(format!("slot {slot}: the fork of a good guest fails: {tried:?}"));
            }
            Ok(_) => self.outcome.rehearsals += 1,
        }
        // On a thread of its own, which a busy host leaves little.
        let after = Prng::new(self.plan.seed ^ fork).between(300, 60_000) * US;
        self.later(after, Happening::Arrive { slot, epoch, event: Event::Rehearsed { fork, outcome } });
    }

    fn try_out(
        &mut self,
        slot: usize,
        head: SavedHead,
        pieces: Vec<Piece>,
        clock: GuestClock,
    ) -> Result<Rehearsed, String> {
        let mut decoder = snapshot::Decoder::new(crate::machine::config::RAM_BYTES_MAX);
        for chunk in snapshot::Packer::new(head, pieces.into_iter()) {
            decoder.push(&chunk).map_err(|error| error.to_string())?;
        }
        let saved = decoder.finish().map_err(|error| error.to_string())?;
        let mut machine = Machine::restore(saved).map_err(|error| error.to_string())?;
        self.plan.choose_engine(slot, &mut machine);
        let live_ns = self.clock_ns(slot);
        // What a sandbox draws changes nothing of what is drawn elsewhere.
        let mut prng = Prng::new(self.plan.seed ^ live_ns);
        let (signs, net_accepted) = (BTreeMap::new(), u64::MAX);
        let mut world = Window { now_ns: live_ns, prng: &mut prng, host: slot as u64, signs, net_accepted };
        let mut sandbox = Sandbox::new(machine, clock, self.settings(slot), &mut world);
        let disks = &self.slots[slot].disks;
        let mut read = |disk: u8, sector: u64, bytes: u32| {
            let kept = disks.get(usize::from(disk)).and_then(SimDisk::kept).ok_or("it is not kept")?;
            let from = (sector * SECTOR_BYTES) as usize;
            Ok(kept[from..from + bytes as usize].to_vec())
        };
        for _ in 0..TURNS {
            if let Pace::At(at_ns) = sandbox.run(&mut world, &mut read) {
                world.now_ns = world.now_ns.max(at_ns.min(world.now_ns + MS));
            }
        }
        Ok(Rehearsed { live_ns, tried: sandbox.tried(world.now_ns)? })
    }
}
