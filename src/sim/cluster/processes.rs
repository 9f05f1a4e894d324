//! Processes: their turns, their commands, their ends.

use super::*;

impl Cluster<'_> {
    /// Schedules the process in `slot` for its next free turn.
    pub(super) fn wake(&mut self, slot: usize) {
        self.turn_by(slot, self.now_ns + US);
    }

    pub(super) fn turn_by(&mut self, slot: usize, at_ns: u64) {
        if self.slots[slot].turn_at.is_none_or(|at| at > at_ns) {
            self.slots[slot].turn_at = Some(at_ns);
            self.at(at_ns, Happening::Turn { slot });
        }
    }

    pub(super) fn turn(&mut self, slot: usize) {
        let clock_ns = self.clock_ns(slot);
        let ahead_ns = clock_ns - self.now_ns;
        let slowness = self.slots[slot].slowness;
        let signs = self.signs(slot);
        let net_accepted = self.slots[slot].port.as_ref().map_or(u64::MAX, |port| port.endpoint.accepted());
        let Some(node) = &mut self.slots[slot].node else { return };
        self.outcome.turns += 1;
        let before = node.icount();
        let mut window =
            Window { now_ns: clock_ns, prng: &mut self.prng, host: slot as u64 + 1, signs, net_accepted };
        let pace = node.run(&mut window);
        let takes_stored = node.takes_stored();
        let spent_ns = (US + node.icount().since(before) * INSTRUCTION_NS) * slowness;
        self.carry_out(slot);
        if takes_stored {
            return self.give_stored(slot, spent_ns);
        }
        match pace {
            Pace::Now => self.turn_by(slot, self.now_ns + spent_ns),
            Pace::At(at_ns) => {
                self.turn_by(slot, at_ns.saturating_sub(ahead_ns).max(self.now_ns + spent_ns));
            }
        }
    }

    pub(super) fn carry_out(&mut self, slot: usize) {
        if let Some(Err(broken)) = self.slots[slot].node.as_ref().map(Node::check) {
            return self.fail(format!("slot {slot}: {broken}"));
        }
        let epoch = self.slots[slot].epoch;
        let commands = self.slots[slot].node.as_mut().map_or(Vec::new(), Node::take_commands);
        self.note_standing(slot);
        for command in commands {
            match self.slots[slot].dies_in {
                // What was expendable when the fault was planned may be all that is left by now.
                Some((0, _)) if !self.is_expendable(slot) => self.slots[slot].dies_in = None,
                Some((0, silent)) => {
                    self.crash(slot, silent, &command);
                    return;
                }
                Some((left, silent)) => self.slots[slot].dies_in = Some((left - 1, silent)),
                None => {}
            }
            let lets_go = matches!(command, Command::Release(Output::Net { .. }));
            self.command(slot, epoch, command);
            if self.slots[slot].epoch != epoch || self.slots[slot].node.is_none() {
                return;
            }
            if lets_go && self.dies_after_release(slot) {
                return;
            }
        }
    }

    /// Counts a released frame; true when the host crashes with it.
    fn dies_after_release(&mut self, slot: usize) -> bool {
        match self.slots[slot].dies_after_frames {
            Some(0) if self.is_expendable(slot) => {
                self.note(|| format!("{slot}: crashes with its host after it released a frame"));
                self.lose_what_is_under_way(slot);
                self.lose_host(slot);
                true
            }
            Some(left) => {
                self.slots[slot].dies_after_frames = left.checked_sub(1);
                false
            }
            None => false,
        }
    }

    pub(super) fn command(&mut self, slot: usize, epoch: u64, command: Command) {
        match command {
            Command::Send { link, message } => self.send(slot, link, message),
            Command::Close { link } => self.close(link),
            Command::Claim { generation, keeps, after } => {
                self.is_known(slot);
                self.claim(slot, generation, keeps, after);
            }
            Command::EndLife { .. } => {}
            Command::AskHolder => self.answer_holder(slot),
            Command::StartRecording { base, seq_next, generation, life } => {
                self.note(|| format!("{slot}: has the state at {} (g{generation})", base.icount));
                let ours = self.slots[slot].node.as_ref().and_then(|node| node.peer_links().next());
                let theirs =
                    ours.and_then(|link| self.ends.get(&link)).and_then(|end| self.ends.get(&end.other));
                let from = theirs.map(|end| (end.slot, end.role));
                self.chronicle.begin((slot, self.slots[slot].roles), from, seq_next);
                self.begin_store(slot, &base, seq_next, generation, life);
            }
            Command::Append { bytes } => {
                let (entries, _) = decode_frame(&bytes).expect("a node appends what it can decode");
                let id = self.slots[slot].node.as_ref().map(Node::id);
                let counts = |entry: &log::Entry| match entry.event {
                    log::Event::Joined { node } => Some(node) == id,
                    _ => false,
                };
                if entries.iter().any(counts) {
                    self.outcome.healed += u64::from(std::mem::take(&mut self.slots[slot].heals));
                    self.slots[slot].answerable_from = Some(self.now_ns);
                }
                for entry in &entries {
                    if let log::Event::Input(Input::DiskDone(done)) = &entry.event {
                        self.slots[slot].told.insert((done.disk, done.tag));
                    }
                }
                self.chronicle.append((slot, self.slots[slot].roles), entries);
                self.append_to_store(slot, bytes);
            }
            Command::SaveCheckpoint { seq, generation, base, head } => {
                self.save_checkpoint(slot, Saving { seq, generation, base, head: *head });
            }
            Command::CheckpointPiece(piece) => self.slots[slot].pieces.push(piece),
            Command::KeepCheckpoint { seq } => self.keep_checkpoint(slot, seq),
            Command::DropCheckpoint => self.slots[slot].saving = None,
            Command::Fork { fork, head } => self.fork(slot, fork, *head),
            Command::ForkPiece(piece) => self.fork_piece(slot, piece),
            Command::Rehearse { fork, clock, .. } => self.rehearse(slot, epoch, fork, clock),
            Command::DropFork => self.slots[slot].fork = None,
            Command::Release(Output::Net { seq, frame }) => {
                let mut refused = Ok(());
                self.at_port(slot, |end| refused = end.send(seq, &frame));
                if let Err(why) = refused {
                    self.fail(format!("slot {slot}: frame {seq} is not taken: {why}"));
                }
            }
            Command::Release(Output::Console { .. }) => {}
            Command::Disk(request) => self.ask_disk(slot, usize::from(request.disk), Asked::Guest(request)),
            Command::DiskWork(job) => self.ask_disk(slot, usize::from(job.disk), Asked::Job(job)),
            Command::PlugIn(plug) => self.plug_in(slot, plug),
            Command::Activate { generation, rx_seq } => {
                if self.slots[slot].flipped {
                    self.fail(format!("slot {slot} goes live with a bit flipped, which its log shows"));
                }
                if generation > Generation(1) {
                    self.outcome.takeovers += 1;
                    self.check_level(slot);
                }
                self.slots[slot].answerable_from = Some(self.now_ns);
                self.note(|| format!("{slot}: goes live as g{generation}, frames past {rx_seq}"));
                self.at_port(slot, |end| end.activate(generation, rx_seq));
            }
            Command::FramesSafe { rx_seq } => self.at_port(slot, |end| {
                end.received(rx_seq);
            }),
            Command::Distrust(_) => {
                self.outcome.divergences += 1;
                self.slots[slot].store = None;
            }
            Command::KeepEvidence(_) => {}
            Command::LeaveRole { halt } => self.leave_role(slot, epoch, &halt),
            Command::Dial { address } => {
                let after = self.prng.between(100, 3000) * US;
                self.later(after, Happening::Dial { slot, epoch, address });
            }
            Command::Tell(text) | Command::Warn(text) => self.note(|| format!("{slot}: {text}")),
            Command::Halt(halt) => self.halted(slot, halt),
        }
    }

    pub(super) fn halted(&mut self, slot: usize, halt: Halt) {
        self.note(|| format!("{slot}: halts: {halt:?}"));
        match halt {
            Halt::LostClaim { .. }
            | Halt::NotJoined { .. }
            | Halt::NoPrimary { .. }
            | Halt::StoreFailed { .. }
            | Halt::DiskFailed { .. } => {
                self.empty(slot);
                let after = self.prng.between(5, 60) * MS;
                self.later(after, Happening::Start { slot });
            }
            Halt::Diverged(_) if self.slots[slot].flipped => {
                self.empty(slot);
                self.slots[slot].heals = true;
                let after = self.prng.between(5, 60) * MS;
                self.later(after, Happening::Start { slot });
            }
            Halt::Diverged(divergence) => self.fail(format!("slot {slot}: {divergence}")),
            Halt::GuestEnded(_) | Halt::LimitReached | Halt::Quit => {
                self.fail(format!("slot {slot} ended without a request: {halt:?}"));
            }
        }
    }

    /// The process is gone; its connections end for their other ends.
    pub(super) fn empty(&mut self, slot: usize) {
        self.unplug(slot, US);
        self.slots[slot].node = None;
        self.slots[slot].epoch += 1;
        self.slots[slot].dies_in = None;
        self.slots[slot].dies_after_frames = None;
        self.slots[slot].mute_until = 0;
        self.slots[slot].paused_until = 0;
        self.slots[slot].heart = Heart::default();
        (self.slots[slot].saving, self.slots[slot].fork) = (None, None);
        self.store_process_died(slot);
        self.end_role(slot);
        let links: Vec<LinkId> =
            self.ends.iter().filter(|(_, end)| end.slot == slot && end.open).map(|(link, _)| *link).collect();
        for link in links {
            self.close(link);
        }
    }

    /// Nothing that belongs to the present role in `slot` is heard of any more.
    fn end_role(&mut self, slot: usize) {
        let at = &mut self.slots[slot];
        at.roles += 1;
        at.disk_failed = false;
        at.flipped = false;
        at.told.clear();
        at.done.clear();
        at.answerable_from = None;
        at.disks.iter_mut().for_each(SimDisk::process_died);
    }

    /// A process that has lost its place goes on without it.
    fn leave_role(&mut self, slot: usize, epoch: u64, halt: &Halt) {
        self.note(|| format!("{slot}: leaves its role: {halt:?}"));
        match halt {
            Halt::Diverged(_) if self.slots[slot].flipped => self.slots[slot].heals = true,
            Halt::Diverged(divergence) => self.fail(format!("slot {slot}: {divergence}")),
            _ => {}
        }
        self.outcome.rejoins += 1;
        self.unplug(slot, US);
        self.end_role(slot);
        let after = self.prng.between(1, 30) * MS;
        self.later(after, Happening::Arrive { slot, epoch, event: Event::RoleLeft });
    }

    pub(super) fn crash(&mut self, slot: usize, silent: bool, before: &Command) {
        let text = format!("{before:?}");
        self.note(|| format!("{slot}: killed before {:.60}", text));
        if silent {
            self.lose_what_the_switch_is_sent(slot);
            self.lose_what_is_under_way(slot);
            self.lose_host(slot);
            return;
        }
        // What the process had not yet handed to the kernel is lost with it.
        if self.prng.chance(1, 2) {
            self.lose_what_is_under_way(slot);
        }
        self.end_process(slot);
    }

    /// The host is gone: its connections end without a word, and disks lose what was not flushed.
    pub(super) fn lose_host(&mut self, slot: usize) {
        self.lose_port(slot);
        for end in self.ends.values_mut().filter(|end| end.slot == slot) {
            end.open = false;
        }
        for disk in &mut self.slots[slot].disks {
            disk.power_failed(&mut self.prng);
        }
        self.end_process(slot);
    }

    pub(super) fn end_process(&mut self, slot: usize) {
        self.outcome.crashes += 1;
        self.empty(slot);
        let after = self.prng.between(5, 80) * MS;
        self.later(after, Happening::Start { slot });
    }

    /// A new process in `slot` looks for the primary.
    pub(super) fn start(&mut self, slot: usize) {
        const WAIT_NS: u64 = 2000 * MS;
        if self.slots[slot].node.is_some() {
            return;
        }
        let id = self.new_id(slot);
        let now_ns = self.clock_ns(slot);
        let addresses = (0..SLOTS).filter(|other| *other != slot).map(address).collect();
        let mut node = match self.restart(slot, id) {
            Some(restart) => Node::restarting(id, "kv", restart, addresses, self.settings(slot), now_ns),
            None => Node::seeking(id, "kv", addresses, WAIT_NS, self.settings(slot), now_ns),
        };
        self.introduce(slot, &mut node);
        self.slots[slot].node = Some(node);
        self.start_beats(slot);
        self.wake(slot);
    }

    /// What a node's process says of itself before anything happens to the node.
    pub(super) fn introduce(&self, slot: usize, node: &mut Node) {
        node.listens_at(address(slot));
        if self.plan.rejoins {
            node.rejoins();
        }
    }

    /// Connects the process in `slot` to the one that listens at `address`, if there is one and it can be reached.
    pub(super) fn dial(&mut self, slot: usize, epoch: u64, address: String) {
        if self.slots[slot].epoch != epoch {
            return;
        }
        let to = (0..SLOTS).find(|other| self::address(*other) == address && *other != slot);
        let outcome = match to.filter(|to| self.slots[*to].node.is_some()) {
            Some(to) if self.partition_until <= self.now_ns => {
                self.note(|| format!("{slot}: connects to {to}"));
                Ok(self.link(slot, to))
            }
            Some(_) => Err("there is no way there".into()),
            None => Err("connection refused".into()),
        };
        self.happen(Happening::Arrive { slot, epoch, event: Event::Dialed { address, outcome } });
    }

    /// A connection of two processes; its end in the first.
    fn link(&mut self, from: usize, to: usize) -> LinkId {
        let (ours, theirs) = (LinkId(self.links_next), LinkId(self.links_next + 1));
        self.links_next += 2;
        for (slot, this, other) in [(from, ours, theirs), (to, theirs, ours)] {
            let Slot { epoch, roles, .. } = self.slots[slot];
            self.ends.insert(
                this,
                End { slot, epoch, role: roles, other, arrives_at: 0, open: true, heard_ns: 0, beat: None },
            );
        }
        ours
    }
}

/// Where the process in `slot` listens.
fn address(slot: usize) -> String {
    format!("10.0.0.{}:7", slot + 1)
}
