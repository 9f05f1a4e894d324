//! Safeguards that a test can switch off, to prove that the suite notices.
//!
//! Each entry names one weakening. Its safeguard asks `Sabotage::Name.is_on()` in one condition, which is
//! a constant `false` outside of this library's own tests. `sim::sabotage_tests` walks through the list:
//! a build without sabotage must hold, and each entry must turn its detector red; an entry without a
//! detector does not compile.
//!
//! `LOCKSTEP_SABOTAGE=name cargo test --lib` runs the unit tests with that safeguard off.
//!
//! To add one: an entry here, the condition at the safeguard, an arm in `sim::sabotage_tests`.

macro_rules! sabotages {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A safeguard to switch off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage {
            $($(#[$doc])* $variant,)*
        }

        impl Sabotage {
            /// The whole list, in the order of its declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As `LOCKSTEP_SABOTAGE` spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

sabotages! {
    /// The gate releases every output at once.
    GateOpen = "gate-open",
    /// The gate releases an output once the log up to some entries *before* its mark is acknowledged.
    MarkNotAwaited = "mark-not-awaited",
    /// The log counts as committed once any of several backups holds it.
    AnyAck = "any-ack",
    /// A backup that is lost leaves the commit rule at once, and not when a claim without it is won.
    LostForgotten = "lost-forgotten",
    /// A machine goes on with another primary's log although the two logs part before.
    ResumeUnchecked = "resume-unchecked",
    /// A primary that goes on with a backup reports to the switch as safe what that backup may not have.
    ActivatedAhead = "activated-ahead",
    /// A backup that was sent the log which it missed counts before it has executed that.
    ResumedEarly = "resumed-early",
    /// A node asks its disk before the log that led to the request is durable in its store.
    DiskAheadOfStore = "disk-ahead-of-store",
    /// An entry counts on disk once it is in memory.
    DurableUnawaited = "durable-unawaited",
    /// A checkpoint is kept before the disks have what it takes for done.
    CheckpointUnsynced = "checkpoint-unsynced",
    /// A checkpoint is kept while outputs from before it have not arrived.
    CheckpointEarly = "checkpoint-early",
    /// A fork that is being drawn for a rehearsal keeps a checkpoint from being made.
    RehearsalFirst = "rehearsal-first",
    /// A rehearsal goes on in a node that takes over.
    RehearsalKept = "rehearsal-kept",
    /// A sandbox reads from a disk what its node has written since.
    RehearsalReadsOn = "rehearsal-reads-on",
    /// A store goes on whoever holds the newest generation.
    RestartUnchecked = "restart-unchecked",
    /// A joiner is offered a state while outputs from before it wait: if it has to go on, nobody sends them.
    OfferedEarly = "offered-early",
    /// The replayer takes any state digest for the recorder's.
    DigestUnchecked = "digest-unchecked",
    /// A backup whose replay differs from the log keeps its role, and bids when the primary is lost.
    DivergedBids = "diverged-bids",
    /// A backup whose replay differs from the log keeps its machine, and goes on with it where a primary has the log.
    DivergedResumes = "diverged-resumes",
    /// The store of a node that has diverged is one to go on from.
    DivergedStoreKept = "diverged-store-kept",
    /// A backup goes live before it has replayed all that it acknowledged.
    LiveUndrained = "live-undrained",
    /// A backup goes live before its disks have done every request that the guest saw complete.
    LiveUnlevel = "live-unlevel",
    /// The primary takes an inbound frame that it has already.
    InboundRepeated = "inbound-repeated",
    /// The primary reports to the switch that a frame is safe before its entry is acknowledged.
    InboundConfirmedEarly = "inbound-confirmed-early",
    /// The guest's clock starts anew at a takeover.
    ClockRestarts = "clock-restarts",
    /// A joiner counts however far it is behind.
    JoinLagUnlimited = "join-lag-unlimited",
    /// The arbiter grants every claim.
    ClaimShared = "claim-shared",
    /// The switch takes frames of any generation and number.
    FenceOpen = "fence-open",
    /// The guest sees a flush complete before the backup's disk has flushed.
    FlushAlone = "flush-alone",
    /// What a guest writes while a joiner copies its disks is not noted.
    DirtyForgotten = "dirty-forgotten",
    /// A port does not send again what the switch has not accepted.
    KeptForgotten = "kept-forgotten",
    /// The switch does not hand to a successor what its predecessor was handed and did not confirm.
    InboundNotResent = "inbound-not-resent",
    /// A peer is judged by its messages alone, whatever beats come from it.
    BeatsIgnored = "beats-ignored",
    /// A peer whose beats arrive is never given up, however long its node hangs.
    HangUnbounded = "hang-unbounded",
    /// A store reports entries as durable before they are synced.
    StoreDurableEarly = "store-durable-early",
    /// A store goes on writing in front of the bytes of a torn tail.
    StoreTailKept = "store-tail-kept",
    /// A store writes to a segment whose name a crash of the host may still take away.
    StoreNameUnsynced = "store-name-unsynced",
    /// The first write to a page while a machine is being saved does not put the page aside.
    SaveUnmarked = "save-unmarked",
    /// Where a save begins, the hart goes on writing to the pages that it may write without a mark.
    SaveEpochKept = "save-epoch-kept",
    /// In disk mode a node goes live with log that its own store does not have yet.
    LiveUndurable = "live-undurable",
    /// A page that is written while it waits to be digested for a save is missing in the next increment.
    SaveChangeMissed = "save-change-missed",
    /// A store's old checkpoints are removed although newer ones build on them.
    StoreBasePruned = "store-base-pruned",
    /// A store's old checkpoints are removed without a look at what is left.
    StorePrunedBlind = "store-pruned-blind",
}

impl Sabotage {
    /// Whether the safeguard is off: never, but in this library's own tests.
    #[cfg(not(test))]
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether the safeguard is off, for this thread: by `LOCKSTEP_SABOTAGE`, or within [`during`].
    #[cfg(test)]
    pub fn is_on(self) -> bool {
        choice::chosen() == Some(self)
    }
}

#[cfg(test)]
pub use choice::during;

#[cfg(test)]
mod choice {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static CHOSEN: Cell<Option<Sabotage>> = Cell::new(from_environment());
    }

    fn from_environment() -> Option<Sabotage> {
        let name = std::env::var("LOCKSTEP_SABOTAGE").ok()?;
        let known = Sabotage::ALL.iter().copied().find(|sabotage| sabotage.name() == name);
        Some(known.unwrap_or_else(|| panic!("LOCKSTEP_SABOTAGE={name}: there is no such sabotage")))
    }

    pub fn chosen() -> Option<Sabotage> {
        CHOSEN.get()
    }

    /// Calls `work` on this thread with that safeguard off, or with all of them on.
    pub fn during<T>(sabotage: Option<Sabotage>, work: impl FnOnce() -> T) -> T {
        crate::base::choice::during(&CHOSEN, sabotage, work)
    }
}
