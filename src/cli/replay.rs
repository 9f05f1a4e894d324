//! `lockstep replay`: a recording, or a part of what a store has, run again: the same output, the same end, or a
//! divergence.

mod against;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::past::{self, Past, When};
use super::profile::ProfileArgs;
use super::{Failure, arg};
use crate::base::{Icount, Seq};
use crate::host::logdir::{BASE_NAME, BASE_PART_NAME, LogDir, LogError};
use crate::host::say::say;
use crate::host::store::{self, StoreReader};
use crate::isa;
use crate::log::{Entry, Event, Fault, Lineage, Payloads};
use crate::machine::config::RAM_BYTES_MAX;
use crate::machine::{BootOptions, Executed, Exit, Machine, Output};
use crate::replay::{Detours, Divergence, Followed, NotRestored, ReplayStop, Replayer};

#[derive(clap::Args)]
pub struct Args {
    /// The directory that `--record` filled; or a store, of which the log since its newest checkpoint is replayed.
    #[arg(value_name = "DIR|STORE")]
    dir: PathBuf,
    /// Of a store: replay from the newest checkpoint before this point, and stop there. A position like 50M, the
    /// guest's time before the log's end like -10m, or a time of day like 2026-11-30T13:45:00Z.
    #[arg(
        long,
        value_name = "POSITION|-TIME|TIME",
        value_parser = past::when,
        allow_hyphen_values = true,
        conflicts_with = "until"
    )]
    at: Option<When>,
    /// Stop at this position, before what happens there.
    #[arg(long, value_name = "ICOUNT")]
    until: Option<u64>,
    /// Replay up to where a node diverged, whose evidence this directory has (divergence-POSITION), and tell who was wrong
    /// and where the two machines differ: the exit status is 1 if they do.
    #[arg(
        long,
        value_name = "EVIDENCE",
        conflicts_with_all = ["at", "until", "trace", "chunks", "save_restore", "profile"]
    )]
    against: Option<PathBuf>,
    /// Print every instruction and every entry on standard error.
    #[arg(long)]
    trace: bool,
    /// Cut the run into random chunks, which must not show: every digest is checked all the same.
    #[arg(long, value_name = "SEED")]
    chunks: Option<u64>,
    /// Save and restore the machine at random positions, which must not show either.
    #[arg(long, value_name = "SEED")]
    save_restore: Option<u64>,
    /// Check that the recording was made of this guest.
    #[arg(long, value_name = "GUEST.elf")]
    guest: Option<PathBuf>,
    /// Check that the recording was made with this much memory.
    #[arg(long, value_parser = arg::memory)]
    memory: Option<u64>,
    #[command(flatten)]
    profile: ProfileArgs,
}

/// Entries handed to the replayer at once.
const ENTRIES_A_TURN: usize = 1024;
/// Instructions between two looks at the output.
const BUDGET: u64 = 1 << 22;

/// What is replayed.
struct History {
    /// A recording or a store: for messages.
    what: &'static str,
    machine: Machine,
    /// The last entry that the machine's state contains.
    done: Seq,
    entries: Box<dyn Iterator<Item = Result<Entry, Unread>>>,
    /// The last entry's position.
    end: Icount,
    until: Icount,
    /// What set `until`.
    limit: &'static str,
    /// It stays locked as long as it is read.
    store: Option<StoreReader>,
}

/// Why there are no more entries.
enum Unread {
    /// Its writer was cut off: what comes before is whole.
    Torn(String),
    Failed(Failure),
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    if let Some(dir) = &args.against {
        let evidence = against::Evidence::read(dir)?;
        let there = When::before_entry(evidence.divergence.seq, evidence.divergence.machine_at);
        return against::compare(open(args, Some(&there))?, evidence);
    }
    let until = args.until.map(|until| When::position(Icount(until)));
    let history = open(args, args.at.as_ref().or(until.as_ref()))?;
    let History { what, mut machine, done, entries, end, until, limit, store: _locked } = history;
    let detours = detours(args, machine.icount(), end.min(until));
    let profiling = args.profile.begin(&mut machine)?;
    let mut session = Session {
        replayer: Replayer::new(machine, done.next()),
        what,
        done,
        end,
        until,
        limit,
        trace: args.trace,
        out: io::BufWriter::new(io::stdout().lock()),
        closed: false,
        seq_last: done,
        checked: 0,
        ended: None,
        followed: Vec::new(),
        detours,
        executed: None,
    };
    let result = session.play(entries);
    let flushed = session.out.flush();
    let ended = session.ended;
    let status = match result {
        Ok(torn) => {
            if let Some(torn) = torn {
                say!("lockstep replay: {torn}; replayed up to it");
            }
            session.say_end();
            // The reader that closed our standard output has seen enough.
            match flushed {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                Ok(()) | Err(_) => Ok(ended.map_or(0, Exit::status)),
            }
        }
        Err(Stopped::Diverged(divergence)) => {
            say!("lockstep replay: {divergence}");
            for line in &divergence.context {
                say!("  {line}");
            }
            Ok(1)
        }
        Err(Stopped::Failed(failure)) => Err(failure),
    };
    let now = session.replayer.machine().executed();
    let executed = session.executed.map_or(now, |before| before.and(now));
    // A replay that failed was one up to there; its own failure is the one to report.
    let profiled = profiling.map_or(Ok(()), |profiling| profiling.end("replay", Some(executed)));
    let status = status?;
    profiled.map(|()| status)
}

/// Whether `dir` is a store, or what is left of one.
fn is_store(dir: &Path) -> bool {
    let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
    store::is_begun_in(dir) && !has(BASE_NAME) && !has(BASE_PART_NAME)
}

fn of_recording(args: &Args) -> Result<History, Failure> {
    let log = LogDir::open(&args.dir).map_err(unreadable)?;
    if args.at.is_some() {
        let what = format!(
            "--at is for a store; {} is a recording, and starts at its beginning",
            args.dir.display()
        );
        return Err(Failure::new(what).fix("stop a recording's replay with --until POSITION"));
    }
    let lineage = log.header().map_err(unreadable)?.lineage;
    check_guest(args, &lineage)?;
    let entries = log.read().map(|place| match place {
        Ok(place) => Ok(place.entry),
        Err(LogError::Damaged { damage, .. })
            if matches!(damage.fault, Fault::TornTail { .. } | Fault::TornHeader { .. }) =>
        {
            Err(Unread::Torn(damage.to_string()))
        }
        Err(error) => Err(Unread::Failed(unreadable(error))),
    });
    Ok(History {
        what: "recording",
        machine: base(&log, &lineage)?,
        done: lineage.base_seq,
        entries: Box::new(entries),
        end: log.last_entry().map_err(unreadable)?.map_or(lineage.base_icount, |entry| entry.at),
        until: args.until.map_or(Icount::MAX, Icount),
        limit: "--until",
        store: None,
    })
}

/// What is replayed, up to the point `to`.
fn open(args: &Args, to: Option<&When>) -> Result<History, Failure> {
    if is_store(&args.dir) { of_store(args, to) } else { of_recording(args) }
}

fn of_store(args: &Args, to: Option<&When>) -> Result<History, Failure> {
    let past = Past::open(&args.dir, "replay")?;
    check_guest(args, &past.store.found().identity.lineage())?;
    let point = past.locate(to)?;
    let machine = past.restore(point.from)?;
    past.tell_start(&point);
    let done = point.from.meta.seq;
    let frames = past.store.frames_after(done).map_err(past::unusable)?;
    let entries = frames.entries(Payloads::Kept).map(|entry| match entry {
        Ok(entry) => Ok(entry),
        Err(error) => Err(Unread::Failed(past::unusable(error))),
    });
    let end = past.end();
    Ok(History {
        what: "log",
        machine,
        done,
        entries: Box::new(entries),
        end,
        until: point.at.unwrap_or(Icount::MAX),
        limit: if args.at.is_some() { "--at" } else { "--until" },
        store: Some(past.store),
    })
}

/// The detours that the user asked for, between two positions.
fn detours(args: &Args, from: Icount, to: Icount) -> Detours {
    let mut detours = Detours::default();
    if let Some(seed) = args.chunks {
        detours.cut(seed);
    }
    if let Some(seed) = args.save_restore {
        detours.restore_between(seed, from, to);
    }
    detours
}

fn unreadable(error: LogError) -> Failure {
    let fix = error.fix().unwrap_or_else(|| "`lockstep log verify` tells what is left of it".into());
    Failure::new(error).fix(fix)
}

/// Refuses a recording that is not of the guest or memory that the user named.
fn check_guest(args: &Args, lineage: &Lineage) -> Result<(), Failure> {
    if let Some(memory) = args.memory.filter(|memory| *memory != lineage.ram_bytes) {
        return Err(Failure::new(format!(
            "the recording was made with {} bytes of memory, not {memory}",
            lineage.ram_bytes
        ))
        .fix("leave --memory out: a recording knows its own"));
    }
    let Some(guest) = &args.guest else { return Ok(()) };
    let machine = arg::boot(guest, BootOptions { ram_bytes: lineage.ram_bytes, ..BootOptions::default() })?;
    if machine.config().guest_digest != lineage.guest_digest {
        return Err(Failure::new(format!(
            "the recording is of the guest {:?} with digest {}; {} has digest {}",
            lineage.guest,
            lineage.guest_digest,
            guest.display(),
            machine.config().guest_digest
        ))
        .fix("leave --guest out: a recording holds the state that it starts from"));
    }
    Ok(())
}

/// The machine that the recording starts from, checked against the log's description of it.
pub fn base(log: &LogDir, lineage: &Lineage) -> Result<Machine, Failure> {
    let saved = log.base(RAM_BYTES_MAX).map_err(unreadable)?;
    let unusable = |what: String| {
        Failure::new(format!("{}: {what}", log.path().display()))
            .fix("the base and the log must be of one recording: do not mix their files")
    };
    let mut machine = Machine::restore(saved).map_err(|error| unusable(error.to_string()))?;
    let found = machine.digest();
    if found != lineage.base_digest || machine.icount() != lineage.base_icount {
        return Err(unusable(format!(
            "the log starts from a state at {} with digest {}; base.snap holds one at {} with digest {found}",
            lineage.base_icount,
            lineage.base_digest,
            machine.icount()
        )));
    }
    Ok(machine)
}

enum Stopped {
    Diverged(Box<Divergence>),
    Failed(Failure),
}

impl From<NotRestored> for Stopped {
    fn from(error: NotRestored) -> Self {
        Stopped::Failed(
            Failure::new(error).fix("this is a bug of lockstep, and not of the recording: report it"),
        )
    }
}

impl From<Divergence> for Stopped {
    fn from(divergence: Divergence) -> Self {
        Stopped::Diverged(Box::new(divergence))
    }
}

struct Session<'a> {
    replayer: Replayer,
    /// What is replayed: for messages.
    what: &'static str,
    /// The last entry before.
    done: Seq,
    /// The last position that is known to have been recorded.
    end: Icount,
    until: Icount,
    /// What set `until`.
    limit: &'static str,
    trace: bool,
    out: io::BufWriter<io::StdoutLock<'a>>,
    closed: bool,
    seq_last: Seq,
    checked: u64,
    ended: Option<Exit>,
    followed: Vec<Followed>,
    detours: Detours,
    /// By the machines that were saved and restored since.
    executed: Option<Executed>,
}

impl Session<'_> {
    /// Replays up to the end or `until`; the answer is a torn tail, if there is one.
    fn play(
        &mut self,
        entries: impl Iterator<Item = Result<Entry, Unread>>,
    ) -> Result<Option<String>, Stopped> {
        let mut torn = None;
        let mut batch: Vec<Entry> = Vec::new();
        let mut beyond = false;
        for entry in entries {
            match entry {
                Ok(entry) if entry.at >= self.until => {
                    beyond = true;
                    break;
                }
                Ok(entry) => batch.push(entry),
                Err(Unread::Torn(damage)) => torn = Some(damage),
                Err(Unread::Failed(failure)) => {
                    self.feed(std::mem::take(&mut batch))?;
                    self.print_rest();
                    return Err(Stopped::Failed(failure));
                }
            }
            if batch.len() == ENTRIES_A_TURN {
                self.feed(std::mem::take(&mut batch))?;
            }
        }
        self.feed(batch)?;
        if beyond || (self.until <= self.end && torn.is_none()) {
            self.run_on()?;
        }
        self.print_rest();
        // What came after the last entry was not recorded.
        let end = self.replayer.icount();
        if self.until != Icount::MAX && end < self.until && self.ended.is_none() {
            let what = format!("the {} ends at {end}, before {} {}", self.what, self.limit, self.until);
            return Err(Stopped::Failed(
                Failure::new(what).fix(format!("name an earlier position, or leave {} out", self.limit)),
            ));
        }
        Ok(torn)
    }

    fn feed(&mut self, entries: Vec<Entry>) -> Result<(), Stopped> {
        if let Some(last) = entries.last() {
            self.seq_last = last.seq;
        }
        if self.trace {
            for entry in entries {
                self.trace_to(entry.at)?;
                say!("{:>12}  entry {} {:?}", entry.at.get(), entry.seq, entry.event);
                self.obey(vec![entry])?;
            }
            return Ok(());
        }
        self.obey(entries)
    }

    fn obey(&mut self, entries: Vec<Entry>) -> Result<(), Stopped> {
        self.replayer.push(entries)?;
        loop {
            let budget = self.detours.budget(self.replayer.icount(), BUDGET);
            let stop = self.replayer.run(budget, &mut self.followed);
            for followed in self.followed.drain(..) {
                match followed {
                    Followed::Said { output, .. } => print(&mut self.out, &mut self.closed, &output),
                    // A replay has no disk of its own.
                    Followed::Disk(_) => {}
                    Followed::Agreed { .. } => self.checked += 1,
                    Followed::Control(Entry { event: Event::End(exit), .. }) => self.ended = Some(exit),
                    Followed::Control(_) => {}
                }
            }
            let stop = stop?;
            let (executed, restores) = (self.replayer.machine().executed(), self.detours.taken().1);
            self.detours.take(&mut self.replayer)?;
            if self.detours.taken().1 > restores {
                self.executed = Some(self.executed.map_or(executed, |before| before.and(executed)));
            }
            if stop == ReplayStop::Drained {
                return Ok(());
            }
        }
    }

    /// Runs one instruction at a time, and prints each.
    fn trace_to(&mut self, at: Icount) -> Result<(), Stopped> {
        while self.replayer.icount() < at {
            let machine = self.replayer.machine();
            let extensions = machine.config().cpu.extensions();
            let (position, pc) = (machine.icount(), machine.hart().pc());
            match machine.hart().next_word(machine.ram()) {
                Some(word) => {
                    say!("{:>12}  {pc:016x}  {}", position.get(), isa::disasm::disasm(pc, word, extensions))
                }
                None => say!("{:>12}  {pc:016x}  (no instruction can be fetched here)", position.get()),
            }
            self.replayer.run_to(position.next())?;
        }
        Ok(())
    }

    /// From the last entry on to `until`.
    fn run_on(&mut self) -> Result<(), Stopped> {
        if self.trace { self.trace_to(self.until) } else { Ok(self.replayer.run_to(self.until)?) }
    }

    /// Output of the guest for which there was no mark yet.
    fn print_rest(&mut self) {
        if self.replayer.machine().outputs_waiting() {
            for output in self.replayer.machine_mut().take_outputs() {
                print(&mut self.out, &mut self.closed, &output);
            }
        }
    }

    fn say_end(&mut self) {
        let end = match (self.ended, self.until) {
            (Some(exit), _) => format!("the guest ended with {exit}"),
            (None, Icount::MAX) => format!("the {} stops here; the guest had not ended", self.what),
            (None, _) => format!("stopped by {}", self.limit),
        };
        let at = self.replayer.icount();
        let digest = self.replayer.machine_mut().digest();
        say!(
            "lockstep replay: {end} at {at}; {} entries replayed, digests checked {}, state digest {digest}",
            self.seq_last.since(self.done),
            self.checked
        );
        match self.detours.taken() {
            (0, 0) => {}
            (chunks, restores) => {
                say!(
                    "lockstep replay: in {chunks} chunks, saved and restored {restores} times: no difference"
                )
            }
        }
    }
}

/// Prints console output, until standard output is closed: the replay goes on to its verdict.
fn print(out: &mut impl Write, closed: &mut bool, output: &Output) {
    if let Output::Console { bytes, .. } = output {
        *closed = *closed || out.write_all(bytes).is_err();
    }
}
