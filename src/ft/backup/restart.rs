//! A backup that comes from its own store: the log behind a checkpoint, and then a primary, or the place of one.
//!
//! ```text
//! Reading --no more--> Looking --found--> Asked: it follows, and lacks only the newest log
//!                        |  ^
//!            nobody there|  | others may hold more
//!                        v  |
//!                    AskingHolder --it may--> Claiming
//! ```

use super::*;

/// Log of its own store that a node reads ahead of its machine.
const STORED_BYTES_AHEAD: usize = 8 << 20;
/// An arbiter that has not answered is asked again.
const HOLDER_AGAIN_NS: u64 = 5_000_000_000;
/// A node that must not go on alone looks so long for another before it asks again whether it may.
pub(super) const WAIT_FOR_NEWER_NS: u64 = 30_000_000_000;

impl Backup {
    /// A node that goes on from a checkpoint in its own store: the log behind it comes as [`Event::Stored`].
    pub fn restart(common: &mut Common, restart: Restart, now_ns: u64) -> Self {
        let Restart { mut machine, seq_next, generation, life, .. } = restart;
        (common.ack, common.standing) = (restart.ack, restart.standing);
        common.store.begins();
        common.log_begins(seq_next, generation);
        common.terminals.machine_stands_at(machine.console_bytes());
        common.terminals.settle(false, life, &mut common.commands);
        let plug = Plug::of(&machine, life, generation, true);
        common.commands.extend(plug.map(Command::PlugIn));
        common.tell(format!("going on from a checkpoint at {}: reading the log behind it", machine.icount()));
        let link = LinkId::NONE;
        let mut mirror = Mirror::default();
        mirror.reissue(common, Seq(seq_next.get() - 1), &mut machine);
        let console_released = machine.console_bytes();
        let state = State::Following(Box::new(Replayer::new(machine, seq_next)));
        let mut backup = Self::with(common, link, NodeId::ZERO, generation, life, state, now_ns);
        (backup.linked, backup.mirror, backup.console_released) = (false, mirror, console_released);
        backup.away = Some(Away::Reading);
        backup.alone_ns = Some(now_ns.saturating_add(restart.wait_ns));
        backup
    }

    /// Whether it is to be given the next frame of its store.
    pub fn takes_stored(&self) -> bool {
        matches!(self.away, Some(Away::Reading)) && self.backlog_bytes < STORED_BYTES_AHEAD
    }

    /// A frame of its own store, or the reason why there is none.
    pub(super) fn stored(&mut self, common: &mut Common, frame: Vec<u8>, now_ns: u64) -> Next {
        if !matches!(self.away, Some(Away::Reading)) {
            return Next::Stay;
        }
        match self.log(common, frame, now_ns) {
            Ok(()) => Next::Stay,
            Err(why) => self.cannot_be_read(&why),
        }
    }

    /// Its own store has no more: it looks for a primary, or asks whether it may be that.
    pub(super) fn stored_all(&mut self, common: &mut Common, end: Result<(), String>) -> Next {
        if !matches!(self.away, Some(Away::Reading)) {
            return Next::Stay;
        }
        if let Err(why) = end {
            return self.cannot_be_read(&why);
        }
        let last = common.tail.last();
        common.tell(format!("the store's log ends with entry {last}, of generation {}", self.generation));
        self.away = Some(Away::Looking(Looking::Resting { until_ns: common.now_ns }));
        Next::Stay
    }

    /// The rest of the log is there and cannot be had: what is before it is no end to go on from.
    fn cannot_be_read(&mut self, why: &str) -> Next {
        let why = format!("the log in this node's store does not go on from its checkpoint: {why}");
        self.outdated = true;
        Next::Halt(Halt::NotJoined { why, for_good: false })
    }

    /// Asks the arbiter whether this node may carry the guest on, once it has looked long enough for another.
    pub(super) fn ask_to_go_on(&mut self, common: &mut Common, now_ns: u64) {
        let is_due = match &self.away {
            Some(Away::Looking(Looking::Resting { .. })) => self.alone_ns.is_some_and(|at| at <= now_ns),
            Some(Away::AskingHolder { again_ns }) => *again_ns <= now_ns,
            _ => false,
        };
        if is_due {
            self.alone_ns = None;
            common.commands.push(Command::AskHolder);
            let again_ns = now_ns.saturating_add(HOLDER_AGAIN_NS);
            self.away = Some(Away::AskingHolder { again_ns });
        }
    }

    pub fn awaits_holder(&self) -> bool {
        matches!(self.away, Some(Away::AskingHolder { .. }))
    }

    /// The arbiter's newest record: this node carries the guest on if nothing acknowledged can be missing here.
    pub fn holder_seen(&mut self, common: &mut Common, seen: Result<Option<Holder>, ArbiterError>) -> Next {
        let bid = match seen {
            Ok(Some(Holder { bid, .. })) => bid,
            Ok(None) => {
                let why = format!(
                    "the arbiter knows nothing of the vm {:?}, whose log this node's store has up to generation {}: it is \
                     another arbiter, or has lost its records; give the one that the vm had",
                    common.vm, self.generation
                );
                return Next::Halt(Halt::NotJoined { why, for_good: true });
            }
            Err(error) => {
                common.arbiter_is(Some(format!("not going on from the store: {error}")));
                let again_ns = common.now_ns.saturating_add(common.settings.claim_retry_ns);
                self.away = Some(Away::AskingHolder { again_ns });
                return Next::Stay;
            }
        };
        if bid.generation < self.generation {
            common.arbiter_is(Some(format!(
                "not going on from the store: its log has generation {}, and the arbiter knows of none after {}: it has \
                 gone back, or is another",
                self.generation, bid.generation
            )));
            let again_ns = common.now_ns.saturating_add(HOLDER_AGAIN_NS);
            self.away = Some(Away::AskingHolder { again_ns });
            return Next::Stay;
        }
        common.arbiter_is(None);
        if !common.standing.may_go_on_after(&bid) {
            let kept: Vec<String> = bid.keeps.iter().map(NodeId::to_string).collect();
            let or_kept = if kept.is_empty() { String::new() } else { format!(", or {}", kept.join(", ")) };
            common.tell(format!(
                "not going on alone: what was acknowledged in generation {} may be missing here, where the log ends in \
                     generation {}; waiting for node {}{or_kept} ({}), or for one that counted there",
                bid.generation, self.generation, bid.node, bid.wherefrom
            ));
            // "primary at ADDR, process N": where the holder ran.
            if let Some(address) = bid.wherefrom.split(" at ").nth(1).and_then(|rest| rest.split(',').next())
            {
                common.learn(address);
            }
            // Whoever it is may have gone on by then.
            self.alone_ns = Some(common.now_ns.saturating_add(WAIT_FOR_NEWER_NS));
            self.away = Some(Away::Looking(Looking::Resting { until_ns: common.now_ns }));
            return Next::Stay;
        }
        let last = common.tail.last();
        common.tell(match common.ack {
            Ack::Disk => format!("going on from entry {last}: nothing that was acknowledged is missing"),
            Ack::Memory => format!(
                "going on from entry {last}: what was acknowledged later, in the memory of nodes that are lost, is \
                     missing (the log counts in memory: --ack disk excludes that)"
            ),
        });
        (self.away, self.counting) = (None, true);
        // Whenever this process dies, its store knows the claim for its own.
        common.standing.is_known_as(common.id);
        let claiming = Claiming::begin(common, bid.generation.next(), Vec::new(), bid.node);
        self.bid = Some(Bid { claiming, won: false, planned: false });
        Next::Stay
    }

    /// This node's store has failed. Where the log counts on it, the node is none of those who count any more.
    pub(super) fn store_failed(&mut self, common: &mut Common) -> Next {
        let Some(why) = common.store_failure().map(str::to_owned) else { return Next::Stay };
        if self.linked {
            common.send(self.link, Message::Bye { why: format!("the backup's store failed: {why}") });
        }
        Next::Halt(Halt::StoreFailed { why })
    }

    /// Why this node cannot be one of those who count, if entries count as `ack` says.
    pub(super) fn cannot_count(&self, common: &Common, ack: Ack) -> Option<String> {
        (ack == Ack::Disk && !common.settings.stores).then(|| {
            "the log of this vm counts on disk (--ack disk), and this backup has no store: give it one with --store"
                .to_owned()
        })
    }
}
