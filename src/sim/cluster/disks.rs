//! The disks of the slots, and what they must hold.

use super::*;

impl Cluster<'_> {
    pub(super) fn ask_disk(&mut self, slot: usize, disk: usize, asked: Asked) {
        let now_ns = self.now_ns;
        let (low, high) = match &asked {
            Asked::Guest(DiskRequest { op: DiskOp::Flush, .. })
            | Asked::Job(DiskJob { work: Work::Sync, .. }) => (50, 3000),
            _ => (10, 200),
        };
        let mut takes_ns = self.prng.between(low, high) * US;
        if self.prng.chance(1, 300) {
            takes_ns += self.prng.below(40 * MS);
        }
        let (role, at) = (self.slots[slot].roles, &mut self.slots[slot]);
        at.disk_at[disk] = at.disk_at[disk].max(now_ns) + takes_ns;
        let at_ns = at.disk_at[disk];
        at.disks[disk].ask(asked);
        self.at(at_ns, Happening::DiskEnds { slot, role, disk });
    }

    pub(super) fn disk_ends(&mut self, slot: usize, role: u64, disk: usize) {
        if self.slots[slot].roles != role {
            return;
        }
        if self.slots[slot].paused_until > self.now_ns {
            let until = self.slots[slot].paused_until;
            self.at(until, Happening::DiskEnds { slot, role, disk });
            return;
        }
        let fails = self.disk_fails(slot, disk);
        let answered = self.slots[slot].disks[disk].carry_out(fails);
        let event = match answered {
            Some(Answered::Guest(done)) => {
                self.slots[slot].done.insert((done.disk, done.tag));
                Event::DiskDone(done)
            }
            Some(Answered::Job(worked)) => Event::DiskWorked(worked),
            None => return,
        };
        let epoch = self.slots[slot].epoch;
        self.later(US, Happening::Arrive { slot, epoch, event });
    }

    /// Whether a request fails. A primary's guest asks again; a backup halts, and must not be the last. Scratch
    /// is not written again at the end, so it does not fail.
    pub(super) fn disk_fails(&mut self, slot: usize, disk: usize) -> bool {
        const SCRATCH_SECTOR: u64 = 2048;
        let disk = &self.slots[slot].disks[disk];
        if self.plan.disk_fails_permille == 0
            || disk.next_is_job()
            || disk.next_sector().is_some_and(|sector| sector >= SCRATCH_SECTOR)
            || self.rests_until.is_some()
        {
            return false;
        }
        let fails = self.prng.chance(self.plan.disk_fails_permille, 1000);
        let primary = self.slots[slot].node.as_ref().is_some_and(Node::is_primary);
        let fails = fails && (primary || self.is_expendable(slot));
        if fails {
            self.slots[slot].disk_failed = true;
            self.note(|| format!("{slot}: a disk request fails"));
        }
        fails
    }

    /// Every node that has to have what was acknowledged has it, and a loss of power would not change that.
    pub(super) fn check_disks(&mut self) {
        let newest = self.newest().0;
        for slot in 0..self.slots.len() {
            let Some(node) = &self.slots[slot].node else { continue };
            let status = node.status(self.clock_ns(slot));
            let Some(from) = self.slots[slot].answerable_from else { continue };
            let is_primary = node.is_primary() && node.generation() == newest;
            let counts = status.role == "backup" && status.protected && status.generation == newest;
            if !is_primary && !counts {
                continue;
            }
            self.outcome.disks_checked += 1;
            let journal = disk::journal(self.slots[slot].disks[0].durable());
            let missing = |(asked_at, port, text): &&(u64, u16, Vec<u8>)| {
                (is_primary || *asked_at > from) && !journal.contains(&(*port, text.clone()))
            };
            if let Some((_, port, text)) = self.kept.iter().find(missing) {
                let (text, role) = (String::from_utf8_lossy(text), status.role);
                let why = format!(
                    "client {port}: {text:?} was acknowledged, the {role} in slot {slot} may forget it"
                );
                self.fail(why);
                return;
            }
        }
    }

    /// At the end: the disks are that of the machine that never failed.
    pub(super) fn compare_disks(&mut self, image: &[u8]) {
        self.check_disks();
        let Some(survivor) = self.primary() else { return };
        let status = |slot: usize| {
            let node = self.slots[slot].node.as_ref()?;
            Some(node.status(self.clock_ns(slot)))
        };
        let newest = self.newest().0;
        let follows = |s: &NodeStatus| s.role == "backup" && s.protected && s.generation == newest;
        let level = status(survivor).is_some_and(|status| status.protected && status.lag_instructions == 0);
        let equal_to: Vec<usize> = (0..self.slots.len())
            .filter(|slot| *slot == survivor || level && status(*slot).is_some_and(|s| follows(&s)))
            .collect();
        for slot in equal_to {
            self.outcome.disks_compared += 1;
            let bytes = self.slots[slot].disks[0].bytes();
            let differs = |(ours, one): (&[u8], &[u8])| ours != one;
            let sector = bytes.chunks(512).zip(image.chunks(512)).position(differs);
            if let Some(sector) = sector {
                self.fail(format!("slot {slot}: sector {sector} is not what one machine would have written"));
            }
        }
    }

    /// A node that goes live has done to its disks every request that the guest saw complete.
    pub(super) fn check_level(&mut self, slot: usize) {
        let Slot { told, done, .. } = &self.slots[slot];
        // What was asked for twice need not have been done twice.
        let is_owed = |disk, tag| told.contains(&(disk, tag)) && !done.contains(&(disk, tag));
        let open = |(disk, sim): (u8, &SimDisk)| sim.changes_waiting().find(|tag| is_owed(disk, *tag));
        let behind = (0..).zip(&self.slots[slot].disks).find_map(open);
        if let Some(tag) = behind {
            self.fail(format!(
                "slot {slot} goes live before its disk has done request {tag}, which the guest saw done"
            ));
        }
    }
}
