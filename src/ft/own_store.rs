//! This node's own store of the log, as the protocol sees it: how far it is durable, and what waits for that.
//!
//! ```text
//! the guest asks a disk, the entry that determines it is written --durable here--> the disk is asked
//! ```
//!
//! After a loss of all memory the machine is what the stored log makes of it. A disk must not be ahead of that: what
//! was written there by a history that is lost would be found by a guest that never wrote it. So with a store a request
//! waits until the log that determines it is durable on this node. Jobs of a state transfer, a checkpoint or a rehearsal keep their place in the
//! order.
//!
//! Promises: order is kept; without a store, or once it has failed, nothing waits here; what waits is bounded by what a
//! guest may have under way.

use std::collections::VecDeque;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::base::{Sabotage, Seq};

/// When an entry of the log counts: on every replica that counts, the primary included. It is the vm's: a backup takes it
/// from its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// Once it is in the memory of those who count: the loss of all of them at once loses what was acknowledged last.
    #[default]
    Memory,
    /// Once it is in their stores, synced.
    Disk,
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Ack::Memory),
            "disk" => Ok(Ack::Disk),
            _ => Err(format!("{text:?} is neither memory nor disk")),
        }
    }
}

/// What has become of a store that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// None was asked for, or there is no state to begin it with.
    #[default]
    None,
    /// It goes on.
    On(StoreHolds),
    /// It goes no further.
    Ended {
        /// The reason, for the operator.
        why: String,
    },
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHolds {
    /// Bytes of its files.
    pub bytes: u64,
    /// The oldest entry from which on it can go.
    pub oldest: Seq,
    /// The last entry that is durable.
    pub durable: Seq,
}

/// What of the node's disks waits for the log, and the log's state on this node.
#[derive(Debug, Default)]
pub(crate) struct OwnStore {
    pub state: StoreState,
    /// All entries up to this one survive a loss of this host's memory; none without a store.
    durable: Option<Seq>,
    /// A request or job, and the entry that has to be durable before.
    waiting: VecDeque<(Seq, Command)>,
}

impl OwnStore {
    /// A store begins; nothing is durable until it reports that.
    pub fn begins(&mut self) {
        self.durable = Some(Seq::ZERO);
    }

    /// The last entry that is durable here; none without a store.
    pub fn durable(&self) -> Option<Seq> {
        self.durable
    }

    /// The store has all entries up to `upto`. A report of less is of an earlier store.
    pub fn is_durable(&mut self, upto: Seq, commands: &mut Vec<Command>) {
        let Some(durable) = &mut self.durable else { return };
        *durable = upto.max(*durable);
        if let StoreState::On(holds) = &mut self.state {
            holds.durable = upto.max(holds.durable);
        }
        self.let_go(commands);
    }

    /// It goes no further: what waits would wait for ever.
    pub fn ends(&mut self, why: String, commands: &mut Vec<Command>) {
        self.state = StoreState::Ended { why };
        self.durable = None;
        self.let_go(commands);
    }

    /// Passes on what this node's disk is asked for, once entry `mark` is durable.
    pub fn ask(&mut self, mark: Seq, command: Command, commands: &mut Vec<Command>) {
        self.waiting.push_back((mark, command));
        self.let_go(commands);
    }

    /// Nothing that was asked for is wanted any more.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Whether anything waits.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The first of its invariants that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        match (self.durable, self.waiting.front().map(|(mark, _)| *mark)) {
            (None, Some(mark)) => Err(format!("own store: a disk waits for {mark}, and there is no store")),
            (Some(durable), Some(mark)) if mark <= durable => {
                Err(format!("own store: a disk waits for {mark}, which is durable"))
            }
            _ => Ok(()),
        }
    }

    fn let_go(&mut self, commands: &mut Vec<Command>) {
        let upto = if Sabotage::DiskAheadOfStore.is_on() { None } else { self.durable };
        let is_free = |mark: &Seq| upto.is_none_or(|upto| *mark <= upto);
        while self.waiting.front().is_some_and(|(mark, _)| is_free(mark)) {
            commands.extend(self.waiting.pop_front().map(|(_, command)| command));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::devices::disk::{DiskOp, DiskRequest};

    fn flush(tag: u64) -> Command {
        Command::Disk(DiskRequest { disk: 0, tag, op: DiskOp::Flush })
    }

    fn tags(commands: &mut Vec<Command>) -> Vec<u64> {
        let tag = |command| if let Command::Disk(request) = command { request.tag } else { 0 };
        commands.drain(..).map(tag).collect()
    }

    /// What it asks of the disk while the log is durable up to entry 3, 4, 6, and after it has ended.
    pub fn a_disk_waits_for_the_log() -> Result<(), String> {
        let (mut store, mut commands) = (OwnStore::default(), Vec::new());
        store.begins();
        store.is_durable(Seq(3), &mut commands);
        for (mark, tag) in [(3, 2), (5, 3), (0, 4), (7, 5)] {
            store.ask(Seq(mark), flush(tag), &mut commands);
        }
        let mut asked = vec![tags(&mut commands)];
        for upto in [4, 6] {
            store.is_durable(Seq(upto), &mut commands);
            asked.push(tags(&mut commands));
        }
        store.ends("the disk is full".into(), &mut commands);
        asked.push(tags(&mut commands));
        match asked == [vec![2], vec![], vec![3, 4], vec![5]] {
            true => Ok(()),
            false => Err(format!("the disk was asked for {asked:?}")),
        }
    }

    #[test]
    fn a_disk_is_asked_once_the_log_before_is_durable_and_in_order() {
        assert_eq!(a_disk_waits_for_the_log(), Ok(()));
        let (mut store, mut commands) = (OwnStore::default(), Vec::new());
        store.ask(Seq(9), flush(1), &mut commands);
        assert_eq!((tags(&mut commands), store.durable()), (vec![1], None), "there is no store");
        store.begins();
        store.is_durable(Seq(6), &mut commands);
        store.is_durable(Seq(5), &mut commands);
        assert_eq!(store.durable(), Some(Seq(6)), "what is durable stays so");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_never_asked() {
        let (mut store, mut commands) = (OwnStore::default(), Vec::new());
        store.begins();
        store.ask(Seq(4), flush(1), &mut commands);
        store.forget();
        store.is_durable(Seq(9), &mut commands);
        assert!(commands.is_empty() && !store.is_waited_for());
    }
}
