//! Stores: written beside the processes, and what begins again from them.

use super::*;

impl Cluster<'_> {
    /// The node in `slot` begins a store with this state, in place of what was there.
    pub(super) fn begin_store(
        &mut self,
        slot: usize,
        base: &Saved,
        first: Seq,
        generation: Generation,
        life: u64,
    ) {
        if !self.plan.stores {
            return;
        }
        let by = (slot, self.slots[slot].roles);
        self.stores_begun += 1;
        let number = self.stores_begun;
        self.slots[slot].store = Some(SimStore::new(number, by, base.clone(), first, generation, life));
        // A joiner's are being copied; they are synced before it counts.
        self.slots[slot].disks_go_with_store = first == Seq(1);
        let after = self.prng.between(300, 15_000) * US;
        self.later(after, Happening::Synced { slot, number, count: 0 });
    }

    pub(super) fn append_to_store(&mut self, slot: usize, frame: Vec<u8>) {
        let Some(store) = &mut self.slots[slot].store else { return };
        let (number, count) = (store.number, store.append(frame));
        let after = if self.prng.chance(1, 30) { 40 * MS } else { self.prng.between(100, 4000) * US };
        self.later(after, Happening::Synced { slot, number, count });
    }

    /// The disk of `slot` has synced what its store was given up to there.
    pub(super) fn synced(&mut self, slot: usize, number: u64, count: usize) {
        let Slot { store, epoch, .. } = &mut self.slots[slot];
        let Some(store) = store.as_mut().filter(|store| store.number == number) else { return };
        // What comes before the base has no place yet.
        if count > 0 && !store.is_whole {
            self.later(MS, Happening::Synced { slot, number, count });
            return;
        }
        store.is_whole = true;
        // A process that died took the rest with it.
        let Some(upto) = store.synced(count) else { return };
        let epoch = *epoch;
        self.later(US, Happening::Arrive { slot, epoch, event: Event::Durable { upto } });
    }

    /// A claim under an identity that the store does not know would not be recognised after a restart.
    pub(super) fn is_known(&mut self, slot: usize) {
        let Slot { store, node, .. } = &mut self.slots[slot];
        if let (Some(store), Some(node)) = (store, node) {
            store.standing.is_known_as(node.id());
        }
    }

    /// Notes what the node is to its group, sooner or later.
    pub(super) fn note_standing(&mut self, slot: usize) {
        let is_noted = self.plan.stores && self.prng.chance(1, 3);
        let Slot { store, node, disks_go_with_store, .. } = &mut self.slots[slot];
        let (Some(store), Some(node)) = (store, node) else { return };
        if !matches!(node.disk_standing(), None | Some(DiskStanding::Behind)) {
            *disks_go_with_store = true;
        }
        if is_noted {
            store.standing = node.standing().clone();
        }
    }

    pub(super) fn store_process_died(&mut self, slot: usize) {
        let Slot { store, disks_go_with_store, .. } = &mut self.slots[slot];
        let is_usable = *disks_go_with_store || self.image.is_empty();
        if let Some(store) = store.take_if(|store| !store.is_whole || !is_usable) {
            self.note(|| format!("{slot}: its store at {} is none", store.last()));
        } else if let Some(store) = &mut self.slots[slot].store {
            self.stores_begun += 1;
            store.process_died(self.stores_begun, &mut self.prng);
        }
    }

    /// What a new process in `slot` goes on from.
    pub(super) fn restart(&mut self, slot: usize, id: NodeId) -> Option<Restart> {
        // A seed without stores draws what it always did.
        self.slots[slot].store.as_ref()?;
        let wait_ns = if self.prng.chance(1, 2) { 0 } else { self.prng.between(1, 300) * MS };
        let (who, now_ns) = ((slot, self.slots[slot].roles), self.clock_ns(slot));
        let store = self.slots[slot].store.as_mut()?;
        store.standing.is_known_as(id);
        store.opened();
        self.outcome.restarts += 1;
        let mut machine = Machine::restore(store.base.clone()).expect("it was saved by this very program");
        self.plan.choose_engine(slot, &mut machine);
        let restart = Restart {
            machine,
            seq_next: store.first,
            generation: store.generation,
            life: store.life,
            ack: Ack::Disk,
            standing: store.standing.clone(),
            wait_ns,
        };
        let (last, by) = (store.last(), std::mem::replace(&mut store.by, who));
        self.slots[slot].given = 0;
        self.chronicle.begin(who, Some(by), last.next());
        self.note(|| format!("{slot}: begins again from its store, up to {last}, at {now_ns}"));
        let epoch = self.slots[slot].epoch;
        self.later(US, Happening::Arrive { slot, epoch, event: Event::Durable { upto: last } });
        Some(restart)
    }

    /// Gives the node in `slot` the next of its store.
    pub(super) fn give_stored(&mut self, slot: usize, spent_ns: u64) {
        const A_TURN: usize = 8;
        let now_ns = self.clock_ns(slot);
        for _ in 0..A_TURN {
            let Slot { store, node, given, .. } = &mut self.slots[slot];
            let Some(node) = node.as_mut().filter(|node| node.takes_stored()) else { break };
            let next = store.as_ref().and_then(|store| store.frame(*given));
            *given += 1;
            match next {
                Some(frame) => node.step(Event::Stored(frame.clone()), now_ns),
                None => node.step(Event::StoredAll(Ok(())), now_ns),
            }
        }
        self.carry_out(slot);
        self.turn_by(slot, self.now_ns + spent_ns);
    }

    /// Every process ends at once, `power` with its host. What is under way is lost.
    pub(super) fn lose_all(&mut self, power: bool) {
        let is_survivable = |slot: &Slot| slot.store.as_ref().is_some_and(|store| store.is_whole);
        // The first store has to be whole: before that, the guest's life has not begun.
        let holder = self.primary().is_some_and(|slot| is_survivable(&self.slots[slot]));
        if !holder {
            return self.later(30 * MS, Happening::Fault(Fault::LoseAll { power }));
        }
        self.outcome.total_losses += 1;
        self.note(|| format!("all processes are lost{}", if power { ", with their hosts" } else { "" }));
        for slot in 0..self.slots.len() {
            if self.slots[slot].node.is_none() {
                continue;
            }
            match power {
                true => {
                    self.lose_what_is_under_way(slot);
                    self.lose_host(slot);
                }
                false => self.end_process(slot),
            }
        }
    }

    /// A node begins to save its state.
    pub(super) fn save_checkpoint(&mut self, slot: usize, saving: Saving) {
        (self.slots[slot].saving, self.slots[slot].pieces) = (Some(saving), Vec::new());
    }

    /// All of it is there; it becomes the store's once it is synced, and the log up to it is.
    pub(super) fn keep_checkpoint(&mut self, slot: usize, seq: Seq) {
        let pieces = std::mem::take(&mut self.slots[slot].pieces);
        let Some(saving) = self.slots[slot].saving.take() else { return };
        let Saving { seq: saved, generation, base, head } = saving;
        let Some(store) = &self.slots[slot].store else { return };
        if saved != seq {
            return self.fail(format!("slot {slot}: a checkpoint after {saved} is kept as one after {seq}"));
        }
        let mut decoder = snapshot::Decoder::new(crate::machine::config::RAM_BYTES_MAX);
        let chunks = snapshot::Packer::new(head, pieces.into_iter());
        let decoded = chunks.into_iter().try_for_each(|chunk| decoder.push(&chunk).map(|_| ()));
        let number = store.number;
        if base.is_some_and(|base| base.next() != store.first) {
            let first = store.first;
            return self.fail(format!(
                "slot {slot}: a checkpoint builds on {base:?}, the store's is before {first}"
            ));
        }
        let whole = |state: Saved| match base {
            None => Ok(state),
            // The next one may build on this one.
            Some(_) => Machine::restore(store.base.clone())
                .and_then(|machine| machine.succeed(state))
                .map(|mut machine| machine.save())
                .map_err(|error| error.to_string()),
        };
        let state = decoded.and_then(|()| decoder.finish()).map_err(|error| error.to_string());
        match state.and_then(whole) {
            Ok(state) => {
                let after = self.prng.between(300, 20_000) * US;
                let state = Box::new(state);
                self.later(after, Happening::Checkpointed { slot, number, seq, generation, state });
            }
            Err(error) => self.fail(format!("slot {slot}: a checkpoint is no snapshot: {error}")),
        }
    }

    pub(super) fn checkpointed(
        &mut self,
        slot: usize,
        number: u64,
        (seq, generation): (Seq, Generation),
        state: Saved,
    ) {
        let epoch = self.slots[slot].epoch;
        let Some(store) = self.slots[slot].store.as_mut().filter(|store| store.number == number) else {
            return;
        };
        if store.durable_upto() < seq {
            let state = Box::new(state);
            return self.later(MS, Happening::Checkpointed { slot, number, seq, generation, state });
        }
        store.starts_from(state, seq, generation);
        self.outcome.checkpoints += 1;
        self.later(US, Happening::Arrive { slot, epoch, event: Event::Checkpointed { seq, outcome: Ok(1) } });
    }
}
