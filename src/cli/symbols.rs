//! Where the guest was: a replay that runs alongside a reader of a log.
//!
//! Promises: as long as the log can be replayed, the place for a position is that of the instruction
//! there. Where it cannot (a rotten log, another machine's base, a divergence) the places stop, which
//! is reported once if they were asked for, and nothing else does. Nothing is opened or replayed before the
//! first place is asked for.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Failure, replay};
use crate::base::Icount;
use crate::cpu::Privilege;
use crate::host::logdir::{Follower, LogDir};
use crate::host::say::say;
use crate::inspect::SymbolTable;
use crate::inspect::symbols::mode_name;
use crate::log::Entry;
use crate::replay::{ReplayStop, Replayer};

/// Entries handed to the replayer at once.
const ENTRIES_A_TURN: usize = 1024;
/// Instructions replayed at a stretch.
const BUDGET: u64 = 1 << 30;
/// A kernel with all its debugging information is shorter.
const SYMBOL_FILE_BYTES_MAX: u64 = 2 << 30;

/// Names the guest's code at a position: `None` where it cannot be known. Asked in ascending order, so
/// that a replay can come along.
pub type PlaceSource = Box<dyn FnMut(Icount) -> Option<Whereabouts>>;

/// Which places are wanted.
#[derive(Clone, Debug)]
pub enum Naming {
    /// By the names that the guest's own image brought; none if it brought none.
    Own,
    /// All of them, by the names that the guest's own image brought.
    All,
    /// All of them, by these names.
    Table(Rc<SymbolTable>),
}

/// Where the guest was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    pub pc: u64,
    pub mode: Privilege,
    /// The function, and how far into it; none where nothing has a name.
    pub symbol: Option<(String, u64)>,
}

impl Whereabouts {
    /// In a word: `start_kernel+0x10`, or the mode and the address, as in `user+0x10264`.
    pub fn text(&self) -> String {
        match &self.symbol {
            Some((name, 0)) => name.escape_debug().to_string(),
            Some((name, into)) => format!("{}+{into:#x}", name.escape_debug()),
            None => format!("{}+{:#x}", mode_name(self.mode), self.pc),
        }
    }

    /// The function, or the mode where nothing has a name.
    pub fn function(&self) -> String {
        match &self.symbol {
            Some((name, _)) => name.escape_debug().to_string(),
            None => format!("({})", mode_name(self.mode)),
        }
    }
}

/// Reads a file of symbols.
pub fn read_table(path: &Path) -> Result<SymbolTable, Failure> {
    const FIX: &str = "name an ELF file with symbols, a System.map, or a copy of /proc/kallsyms";
    let failed = |why: &dyn std::fmt::Display| Failure::new(format!("{}: {why}", path.display())).fix(FIX);
    let meta = std::fs::metadata(path).map_err(|why| failed(&why))?;
    if !meta.is_file() && !path.starts_with("/proc") {
        return Err(failed(&"not a file"));
    }
    if meta.len() > SYMBOL_FILE_BYTES_MAX {
        return Err(failed(&format!("{} bytes are too many for symbols", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|why| failed(&why))?;
    SymbolTable::parse(&bytes).map_err(|why| failed(&why))
}

/// Names positions in the log in `dir`, also while it is being written. They must be asked for in
/// ascending order, each once the log has an entry there.
pub fn alongside(dir: &Path, naming: &Naming) -> PlaceSource {
    let mut state = State::Unopened(dir.to_owned(), naming.clone());
    Box::new(move |at| state.place(at))
}

enum State {
    Unopened(PathBuf, Naming),
    Open(Box<Companion>),
    /// No more places: the log cannot be replayed from here on, or its guest has no names.
    Ended,
}

impl State {
    fn place(&mut self, at: Icount) -> Option<Whereabouts> {
        if let State::Unopened(dir, naming) = self {
            *self = match Companion::open(dir, naming) {
                Ok(Some(companion)) => State::Open(Box::new(companion)),
                Ok(None) => State::Ended,
                Err(failure) => {
                    tell(naming, at, &failure.what);
                    State::Ended
                }
            };
        }
        let State::Open(companion) = self else { return None };
        match companion.go_to(at) {
            Ok(()) => Some(companion.place()),
            Err(Stopped(why)) => {
                tell(&companion.naming, at, &why);
                *self = State::Ended;
                None
            }
        }
    }
}

/// Reports why there are no places, if they were asked for.
fn tell(naming: &Naming, at: Icount, why: &str) {
    match naming {
        Naming::Own => {}
        Naming::All | Naming::Table(_) => {
            say!("lockstep: from position {at} on it is not known where the guest was: {why}");
        }
    }
}

/// Why the replay cannot go on; `lockstep replay` shows more.
struct Stopped(String);

struct Companion {
    replayer: Replayer,
    entries: Follower,
    /// Read, and not reached yet.
    next: Option<Entry>,
    naming: Naming,
    table: Rc<SymbolTable>,
}

impl Companion {
    /// None if there is nothing to name places by, and they were not asked for.
    fn open(dir: &Path, naming: &Naming) -> Result<Option<Self>, Failure> {
        let log = LogDir::open(dir).map_err(Failure::new)?;
        let lineage = log.header().map_err(Failure::new)?.lineage;
        let machine = replay::base(&log, &lineage)?;
        let table = match naming {
            Naming::Table(table) => Rc::clone(table),
            Naming::Own | Naming::All => Rc::new(SymbolTable::of_guest(machine.config())),
        };
        if matches!(naming, Naming::Own) && table.is_empty() {
            return Ok(None);
        }
        let replayer = Replayer::new(machine, lineage.base_seq.next());
        let entries = Follower::open(dir).map_err(Failure::new)?;
        Ok(Some(Self { replayer, entries, next: None, naming: naming.clone(), table }))
    }

    /// Replays up to `at`, before what happens there.
    fn go_to(&mut self, at: Icount) -> Result<(), Stopped> {
        let mut batch = Vec::new();
        loop {
            if self.next.is_none() {
                let read = self.entries.poll().map_err(|error| Stopped(error.to_string()))?;
                self.next = read.map(|place| place.entry);
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
        self.replayer.run_to(at).map_err(|divergence| Stopped(divergence.to_string()))
    }

    fn obey(&mut self, batch: Vec<Entry>) -> Result<(), Stopped> {
        let diverged = |divergence: crate::replay::Divergence| Stopped(divergence.to_string());
        self.replayer.push(batch).map_err(diverged)?;
        let mut followed = Vec::new();
        while self.replayer.run(BUDGET, &mut followed).map_err(diverged)? == ReplayStop::Budget {}
        Ok(())
    }

    fn place(&self) -> Whereabouts {
        let hart = self.replayer.machine().hart();
        let symbol = self.table.find(hart.pc()).map(|(name, into)| (name.to_owned(), into));
        Whereabouts { pc: hart.pc(), mode: hart.privilege(), symbol }
    }
}
