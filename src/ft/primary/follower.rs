//! One other node, as the primary sees it.
//!
//! ```text
//!  Join --> disks copied --> memory sent --> state offered, log --close enough--> counting
//! ```

use std::collections::{BTreeSet, VecDeque};

use super::copy::DiskCopy;
use super::memory::MemoryCopy;
use crate::base::{Digest, Icount, NodeId, Seq};
use crate::devices::disk::DISKS_MAX;
use crate::ft::detector::Detector;
use crate::ft::lag::LagMeter;
use crate::ft::link::LinkId;
use crate::ft::message::Audit;
use crate::ft::status::FollowerStatus;
use crate::machine::Saved;
use crate::snapshot;

/// A joiner without progress for this long, whatever else it sends, makes way for another.
pub(super) const JOIN_PROGRESS_NS: u64 = 30_000_000_000;
/// So many digests are remembered until it has confirmed them; the oldest go first.
const AUDITS_MAX: usize = 64;
/// A joiner counts once it is no further behind than this.
pub(super) const JOIN_LAG_NS: u64 = 20_000_000;

/// A node that follows, or will.
pub(super) struct Follower {
    pub link: LinkId,
    pub node: NodeId,
    /// Where it listens, as it says.
    pub address: Option<String>,
    pub detector: Detector,
    pub lag: LagMeter,
    /// It holds the log up to here, by its last report: in memory, or on disk where entries count there.
    pub acked: Option<Seq>,
    /// Its store has the log up to here; 0 without one.
    pub durable: Seq,
    /// The position of its machine at its last report.
    pub executed: Icount,
    /// By disk: the last request up to which its disk is flushed.
    pub flushed: [u64; DISKS_MAX],
    pub stage: Stage,
    /// Digests that were written for it and are not confirmed.
    pub audits: VecDeque<(Icount, Digest)>,
    /// What its join took of the disks: chunks compared, copied, in all.
    pub disks_copied: Option<(u64, u64, u64)>,
}

/// What it is good for.
pub(super) enum Stage {
    /// A state transfer is under way, or the joiner catches up. It does not count.
    Joining(Box<Joining>),
    /// It counts.
    Counting {
        /// Once it has acknowledged this entry, it knows that it counts.
        since: Seq,
    },
}

/// What a joiner is sent.
#[derive(Default)]
pub(super) struct Joining {
    /// The disks that are copied, before and beside the state.
    pub copy: Option<DiskCopy>,
    /// The memory that is sent ahead of the state.
    pub memory: Option<MemoryCopy>,
    /// The pages that are to go with the state: it is offered once every output from before it has left, because a node
    /// that starts from the state cannot make them again.
    pub offer_due: Option<BTreeSet<u32>>,
    /// The state, once it is offered; the log goes with it.
    pub encoder: Option<snapshot::Encoder<Saved>>,
    /// The last entry that led to the state which it begins with.
    pub base: Seq,
    /// It has a machine, and is sent only the log that it lacks.
    pub resumed: bool,
    /// Where this primary's machine was then: until it gets there, it is behind by what it missed.
    pub level_at: Icount,
    /// The last entry of that which was sent to it, until it has everything that is written.
    pub sent: Option<Seq>,
    /// When it first reported that it has the state.
    pub restored_ns: Option<u64>,
    /// How far it had come when that last changed, and when that was.
    pub progress: (Progress, u64),
}

/// How far a joiner has come. Heartbeats are no part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    disks: (u64, u64),
    memory_taken: u32,
    state_sent: u32,
    acked: Option<Seq>,
    executed: Icount,
}

impl Follower {
    /// A node that has asked to join.
    pub fn joining(link: LinkId, node: NodeId, detector: Detector, at: Icount, now_ns: u64) -> Self {
        Self {
            link,
            node,
            address: None,
            detector,
            lag: LagMeter::starting(at),
            acked: None,
            durable: Seq::ZERO,
            executed: Icount::ZERO,
            flushed: [0; DISKS_MAX],
            stage: Stage::Joining(Box::new(Joining {
                progress: (Progress::default(), now_ns),
                ..Joining::default()
            })),
            audits: VecDeque::new(),
            disks_copied: None,
        }
    }

    /// A node that counts from the first entry of this primary's generation on, and holds the log before it.
    pub fn counting(link: LinkId, node: NodeId, detector: Detector, at: Icount, acked: Seq) -> Self {
        Self {
            acked: Some(acked),
            stage: Stage::Counting { since: acked },
            ..Self::joining(link, node, detector, at, 0)
        }
    }

    /// What `lockstep status` shows of it.
    pub fn status(&self, now_ns: u64) -> FollowerStatus {
        FollowerStatus {
            node: self.node.to_string(),
            addr: self.address.clone(),
            phase: if self.counts() { "counting" } else { "joining" }.into(),
            acked: self.acked.unwrap_or_default(),
            durable: self.durable,
            executed: self.executed,
            lag_ms: self.lag.ns(now_ns) as f64 / 1e6,
        }
    }

    pub fn counts(&self) -> bool {
        matches!(self.stage, Stage::Counting { .. })
    }

    pub fn joining_now(&self) -> Option<&Joining> {
        match &self.stage {
            Stage::Joining(joining) => Some(joining),
            Stage::Counting { .. } => None,
        }
    }

    pub fn joining_mut(&mut self) -> Option<&mut Joining> {
        match &mut self.stage {
            Stage::Joining(joining) => Some(joining),
            Stage::Counting { .. } => None,
        }
    }

    /// The log goes to it: to a joiner only once it was offered the state that the log goes on from.
    pub fn gets_log(&self) -> bool {
        self.joining_now().is_none_or(|joining| joining.is_offered() && joining.sent.is_none())
    }

    /// A digest was written into its log.
    pub fn awaits_audit(&mut self, icount: Icount, digest: Digest) {
        if self.audits.len() == AUDITS_MAX {
            self.audits.pop_front();
        }
        self.audits.push_back((icount, digest));
    }

    /// Whether what it confirms is the oldest digest at that position that it has not confirmed.
    pub fn agrees(&mut self, audit: Audit) -> bool {
        while self.audits.front().is_some_and(|(icount, _)| *icount < audit.icount) {
            self.audits.pop_front();
        }
        let agrees = self.audits.front() == Some(&(audit.icount, audit.digest));
        if agrees {
            self.audits.pop_front();
        }
        agrees
    }

    /// It knows that it counts.
    pub fn knows_that_it_counts(&self) -> bool {
        matches!(self.stage, Stage::Counting { since } if self.acked.is_some_and(|acked| acked >= since))
    }

    /// True for a joiner that has got nowhere for [`JOIN_PROGRESS_NS`].
    pub fn is_stuck(&mut self, now_ns: u64) -> bool {
        let (acked, executed) = (self.acked, self.executed);
        let Some(joining) = self.joining_mut() else { return false };
        let now = joining.progress_now(acked, executed);
        let (last, since_ns) = &mut joining.progress;
        if *last != now {
            (*last, *since_ns) = (now, now_ns);
        }
        now_ns.saturating_sub(*since_ns) >= JOIN_PROGRESS_NS
    }
}

impl Joining {
    fn progress_now(&self, acked: Option<Seq>, executed: Icount) -> Progress {
        let disks = self.copy.as_ref().map(DiskCopy::progress);
        Progress {
            disks: disks.map_or((0, 0), |(compared, copied, _)| (compared, copied)),
            memory_taken: self.memory.as_ref().map_or(0, MemoryCopy::taken_so_far),
            state_sent: self.encoder.as_ref().map_or(0, snapshot::Encoder::chunks_done),
            acked,
            executed,
        }
    }

    /// It was told where the log goes on.
    pub fn is_offered(&self) -> bool {
        self.resumed || self.encoder.is_some()
    }

    /// Everything that it needs besides the log was sent. Its own report is not trusted.
    pub fn is_sent(&self) -> bool {
        self.resumed && self.sent.is_none()
            || self.encoder.as_ref().is_some_and(|e| e.chunks_done() == e.chunks_total())
                && self.copy.as_ref().is_none_or(DiskCopy::is_complete)
    }

    /// The state is yet to be sent, whole or in part.
    pub fn needs_state(&self) -> bool {
        !self.resumed && self.encoder.as_ref().is_none_or(|e| e.chunks_done() < e.chunks_total())
    }

    /// State transfer, for the status: chunks sent, and of how many.
    pub fn transfer(&self) -> Option<(u32, u32)> {
        let rest = self.encoder.as_ref().map_or((0, 0), |e| (e.chunks_done(), e.chunks_total()));
        self.memory.as_ref().map(MemoryCopy::progress).map(|(sent, total)| (sent + rest.0, total + rest.1))
    }
}
