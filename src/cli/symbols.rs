//! Where the guest was: a replay that comes along with whoever reads a log.
//!
//! Promises: as long as the log can be replayed, the name for a position is that of the instruction
//! there. Where it cannot (a rotten log, another machine's base, a divergence) the names stop, and
//! nothing else does. Nothing is opened or replayed before the first name is asked for.

use std::path::{Path, PathBuf};

use super::log::SymbolSource;
use super::{Failure, replay};
use crate::base::Icount;
use crate::host::logdir::{Follower, LogDir, LogError};
use crate::log::Entry;
use crate::replay::{Divergence, ReplayStop, Replayer};

/// Entries handed to the replayer at once.
const ENTRIES_A_TURN: usize = 1024;
/// Instructions replayed at a stretch.
const BUDGET: u64 = 1 << 30;

/// Names positions in the log in `dir`, also while it is being written. They must be asked for in
/// ascending order, each once the log has an entry there.
pub fn alongside(dir: &Path) -> SymbolSource {
    let mut state = State::Unopened(dir.to_owned());
    Box::new(move |at| state.name(at))
}

enum State {
    Unopened(PathBuf),
    Open(Box<Companion>),
    /// No more names: the log cannot be replayed from here on, or its guest has none.
    Ended,
}

impl State {
    fn name(&mut self, at: Icount) -> Option<String> {
        if let State::Unopened(dir) = self {
            *self = match Companion::open(dir) {
                Ok(companion) if !companion.replayer.machine().config().symbols.is_empty() => {
                    State::Open(Box::new(companion))
                }
                Ok(_) | Err(_) => State::Ended,
            };
        }
        let State::Open(companion) = self else { return None };
        match companion.go_to(at) {
            Ok(()) => companion.name(),
            Err(Stopped) => {
                *self = State::Ended;
                None
            }
        }
    }
}

/// The replay cannot go on; `lockstep replay` says why.
struct Stopped;

impl From<LogError> for Stopped {
    fn from(_: LogError) -> Self {
        Stopped
    }
}

impl From<Divergence> for Stopped {
    fn from(_: Divergence) -> Self {
        Stopped
    }
}

struct Companion {
    replayer: Replayer,
    entries: Follower,
    /// Read, and not reached yet.
    next: Option<Entry>,
}

impl Companion {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let log = LogDir::open(dir).map_err(Failure::new)?;
        let lineage = log.header().map_err(Failure::new)?.lineage;
        let machine = replay::base(&log, &lineage)?;
        let replayer = Replayer::new(machine, lineage.base_seq.next());
        Ok(Self { replayer, entries: Follower::open(dir).map_err(Failure::new)?, next: None })
    }

    /// Replays up to `at`, before what happens there.
    fn go_to(&mut self, at: Icount) -> Result<(), Stopped> {
        let mut batch = Vec::new();
        loop {
            if self.next.is_none() {
                self.next = self.entries.poll()?.map(|place| place.entry);
            }
            match self.next.take_if(|entry| entry.at < at) {
                Some(entry) => batch.push(entry),
                None => break,
            }
            if batch.len() == ENTRIES_A_TURN {
                self.obey(std::mem::take(&mut batch))?;
            }
        }
        self.obey(batch)?;
        Ok(self.replayer.run_to(at)?)
    }

    fn obey(&mut self, batch: Vec<Entry>) -> Result<(), Stopped> {
        self.replayer.push(batch)?;
        let mut followed = Vec::new();
        while self.replayer.run(BUDGET, &mut followed)? == ReplayStop::Budget {}
        Ok(())
    }

    fn name(&self) -> Option<String> {
        let machine = self.replayer.machine();
        let (symbol, into) = machine.config().symbol_at(machine.hart().pc())?;
        let name = symbol.name.escape_debug();
        Some(if into == 0 { name.to_string() } else { format!("{name}+{into:#x}") })
    }
}
