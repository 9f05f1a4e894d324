//! Faults, and which node each hits.

use super::*;

impl Cluster<'_> {
    /// Would the guest survive the end of the process in `victim`? It would if another process holds the
    /// newest generation, or follows it and counts, or has just handed it over and can take it back.
    pub(super) fn is_expendable(&self, victim: usize) -> bool {
        // What was acknowledged is in a store that outlives the process.
        if self.plan.stores
            && !self.any_flipped()
            && self.slots[victim].store.as_ref().is_some_and(|store| store.is_whole)
        {
            return true;
        }
        let (newest, owner, keeps) = self.newest();
        (0..self.slots.len()).filter(|slot| *slot != victim).any(|slot| {
            let Some(node) = &self.slots[slot].node else { return false };
            let status = node.status(self.clock_ns(slot));
            let holds = node.id() == owner;
            let counts = status.role == "backup" && status.protected && status.generation == newest;
            // One whose disk has failed leaves as soon as it knows that it is kept.
            let kept = keeps.contains(&node.id()) && !self.slots[slot].disk_failed;
            !self.slots[slot].flipped
                && self.slots[slot].dies_in.is_none()
                && self.slots[slot].dies_after_frames.is_none()
                && (holds || counts || kept)
        })
    }

    /// The primary: of several primaries (one may be paused, and not know) the newest.
    pub(super) fn primary(&self) -> Option<usize> {
        let generation_of = |slot: &usize| {
            self.slots[*slot].node.as_ref().filter(|node| node.is_primary()).map(Node::generation)
        };
        (0..self.slots.len()).filter(|slot| generation_of(slot).is_some()).max_by_key(generation_of)
    }

    pub(super) fn backup(&self) -> Option<usize> {
        let backup = |slot: &Slot| {
            slot.node.as_ref().is_some_and(|node| !node.is_primary() && node.peer_links().next().is_some())
        };
        self.slots.iter().position(backup)
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::KillPrimary { after_commands, silent } => {
                match self.primary().filter(|slot| self.is_expendable(*slot)) {
                    Some(slot) => self.slots[slot].dies_in = Some((after_commands, silent)),
                    None => self.later(30 * MS, Happening::Fault(fault)),
                }
            }
            Fault::KillAtRelease { after_frames } => {
                match self.primary().filter(|slot| self.is_expendable(*slot)) {
                    Some(slot) => self.slots[slot].dies_after_frames = Some(after_frames),
                    None => self.later(30 * MS, Happening::Fault(fault)),
                }
            }
            Fault::KillBehindPause { for_ns } => {
                let kill = Fault::KillPrimary { after_commands: 0, silent: false };
                self.pause(self.backup(), for_ns);
                self.later(for_ns - MS, Happening::Fault(kill));
            }
            Fault::MutePrimary { for_ns } => self.mute(self.primary(), for_ns),
            Fault::MuteBackup { for_ns } => self.mute(self.backup(), for_ns),
            Fault::KillBackup { after_commands, silent } => {
                if let Some(slot) = self.backup().filter(|slot| self.is_expendable(*slot)) {
                    self.slots[slot].dies_in = Some((after_commands, silent));
                }
            }
            Fault::PausePrimary { for_ns } => {
                self.pause(self.primary(), for_ns);
            }
            Fault::PauseBackup { for_ns } => self.pause(self.backup(), for_ns),
            Fault::Partition { for_ns } => {
                self.outcome.partitions += 1;
                self.disturbed_ns += for_ns;
                self.partition_until = self.partition_until.max(self.now_ns + for_ns);
            }
            Fault::HangPrimary { for_ns } => self.hang(self.primary(), for_ns),
            Fault::HangBackup { for_ns } => self.hang(self.backup(), for_ns),
            Fault::CutPrimaryFromSwitch => self.cut_from_switch(self.primary()),
            Fault::CutBackupFromSwitch => self.cut_from_switch(self.backup()),
            Fault::RestartSwitch { for_ns } => self.restart_switch(for_ns),
            Fault::ArbiterGone { for_ns } => {
                self.arbiter_back_at = self.arbiter_back_at.max(self.now_ns + for_ns);
            }
            Fault::Rehearse => self.ask_rehearsal(),
            Fault::LoseAll { power } => self.lose_all(power),
            Fault::FlipInBackup => self.flip_due = true,
            Fault::SwitchOver => {
                if let Some(slot) = self.primary() {
                    let link = LinkId(self.links_next);
                    self.links_next += 1;
                    let event = Event::Message { link, message: Message::SwitchOver };
                    let epoch = self.slots[slot].epoch;
                    self.later(US, Happening::Arrive { slot, epoch, event });
                }
            }
        }
    }

    pub(super) fn pause(&mut self, slot: Option<usize>, for_ns: u64) {
        // What waits for the end of a pause keeps its order: no pause begins in another.
        let Some(slot) = slot.filter(|slot| self.slots[*slot].held_until() <= self.now_ns) else { return };
        self.outcome.pauses += 1;
        self.disturbed_ns += for_ns;
        self.note(|| format!("{slot}: paused for {} ms", for_ns / MS));
        self.slots[slot].paused_until = self.now_ns + for_ns;
        self.later(for_ns, Happening::Resume { slot, paused_ns: for_ns });
    }

    pub(super) fn any_flipped(&self) -> bool {
        self.slots.iter().any(|slot| slot.flipped)
    }

    /// A bit flips in the memory of the backup in `slot`, if `event` is log with a digest, and nothing else is wrong just
    /// now: whatever comes then, this node cannot come past that entry. (What no audit has seen yet, nobody can notice.)
    pub(super) fn flip_if_audited(&mut self, slot: usize, event: &Event) {
        let Event::Message { message: Message::Log(bytes), .. } = event else { return };
        let Ok((entries, _)) = decode_frame(bytes) else { return };
        let is_plain = |entry: &log::Entry| {
            matches!(entry.event, log::Event::Input(_) | log::Event::Output(_) | log::Event::Horizon)
        };
        let before = entries.iter().take_while(|entry| is_plain(entry)).count();
        if !entries.get(before).is_some_and(|entry| matches!(entry.event, log::Event::Digest(_))) {
            return;
        }
        let Some(status) = self.slots[slot].node.as_ref().map(|node| node.status(self.clock_ns(slot))) else {
            return;
        };
        let is_calm = self.partition_until <= self.now_ns
            && self.slots.iter().all(|slot| slot.mute_until.max(slot.held_until()) <= self.now_ns);
        let follows = status.role == "backup" && status.phase == "following" && status.protected;
        if !follows || status.lag_instructions > 0 || !is_calm || !self.is_expendable(slot) {
            return;
        }
        (self.flip_due, self.slots[slot].flipped) = (false, true);
        self.outcome.flips += 1;
        self.note(|| format!("{slot}: a bit flips"));
        if let Some(node) = &mut self.slots[slot].node {
            node.flip_bit();
        }
    }

    fn mute(&mut self, slot: Option<usize>, for_ns: u64) {
        let Some(slot) = slot else { return };
        self.outcome.partitions += 1;
        self.disturbed_ns += for_ns;
        self.slots[slot].mute_until = self.slots[slot].mute_until.max(self.now_ns + for_ns);
    }
}
