//! What `run`, `primary` and `backup` share: a node's life on this terminal.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::console::ConsoleArgs;
use super::reopen::StoreArgs;
use super::{Failure, arg};
use crate::ft::settings::BACKUPS_MAX;
use crate::ft::{Arbiter, Halt, Node, Settings};
use crate::host::arbiter::Place;
use crate::host::disk::Disks;
use crate::host::driver::{Driver, DriverError, Lived, Wiring, plain};
use crate::host::node_store::StorePlace;
use crate::host::say::say;
use crate::host::terminal;
use crate::machine::Exit;
use crate::replay::recorder::DIGEST_EVERY_DEFAULT;

/// Where a node of a fault-tolerant pair lives; the same for `primary` and `backup`.
#[derive(clap::Args)]
pub struct Site {
    /// The name of the virtual machine, the same for its primary and its backups.
    #[arg(long, value_parser = arg::vm)]
    pub vm: String,
    /// Tools connect here, and backups while this node is the primary.
    #[arg(long, value_name = "ADDR", value_parser = arg::address)]
    pub listen: SocketAddr,
    /// The switch that the guest is plugged into.
    #[arg(long, value_name = "ADDR", value_parser = arg::address)]
    pub switch: Option<SocketAddr>,
    /// The arbiter that decides which node goes on, the same for both: a directory that both reach, or an
    /// etcd as etcd:http://A,http://B,http://C/prefix.
    #[arg(long, value_name = "DIR|etcd:URLS/PREFIX", value_parser = Place::parse)]
    pub arbiter: Place,
    /// Record into this directory.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// End the recording before its directory would hold more than this, like 2G; the node goes on.
    #[arg(long, value_name = "SIZE", requires = "record", value_parser = arg::bytes)]
    record_max: Option<u64>,
    /// End this node when its recording fails, as on a full disk. Otherwise only the recording ends, `status`
    /// shows it, and the guest goes on.
    #[arg(long, requires = "record")]
    record_fatal: bool,
    /// A peer silent for this many milliseconds is suspected. Shorter takes over a frozen host
    /// sooner; longer forgives a busy one. A killed process is noticed at once in any case.
    #[arg(long, default_value_t = Settings::default().silence_ns / 1_000_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(20..=60_000))]
    silence_ms: u64,
    /// Backups that this node takes while it is the primary. An output waits for all of them; the guest survives
    /// the loss of as many hosts. A node too many stays a spare: it looks for a place until there is one.
    #[arg(long, default_value_t = Settings::default().backups_max as u64, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=BACKUPS_MAX as u64))]
    backups: u64,
    /// Backups that are to count: while there are fewer, `status` of the primary says that it is degraded, and exits
    /// with 1.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=BACKUPS_MAX as u64))]
    wanted: u64,
    /// End when this node loses its place in the pair, or its replay diverges from the log. Without this it looks for the primary then, and joins it
    /// as its backup under a new identity, for as long as that takes.
    #[arg(long)]
    pub once: bool,
    /// Keep evidence of a divergence of this node (report, log, machine) in this directory; the last four stay. Without
    /// this it goes into the recording's directory, or else the store's.
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Compare a digest of the state at each multiple of so many instructions; 0 for none but those
    /// of a guest that computes little, once a second.
    #[arg(long, value_name = "N", default_value_t = DIGEST_EVERY_DEFAULT, value_parser = arg::instructions)]
    digest_every: u64,
}

impl Site {
    pub fn settings(&self) -> Settings {
        let silence_ns = self.silence_ms * 1_000_000;
        let settings = Settings::default();
        let heartbeat_ns = settings.heartbeat_ns.min(silence_ns / 5);
        let digest_instructions = self.digest_every;
        let backups_max = self.backups as usize;
        self.console.settings(Settings {
            silence_ns,
            heartbeat_ns,
            digest_instructions,
            backups_max,
            backups_wanted: self.wanted as usize,
            checkpoint_ns: self.store.checkpoint_every.saturating_mul(1_000_000_000),
            checkpoint_instructions_max: self.store.checkpoint_instructions,
            stores: self.store.store.is_some(),
            ..settings
        })
    }

    /// Opens what the site names, before anything is claimed or asked for.
    pub fn open(&self) -> Result<(TcpListener, Box<dyn Arbiter>), Failure> {
        arg::record(self.record.as_deref())?;
        Ok((arg::listen(self.listen)?, arg::arbiter(&self.arbiter)?))
    }

    /// A recording begins with the state that a life or a role begins with; a store has that already.
    pub fn records_no_restart(&self) -> Result<(), Failure> {
        match self.record {
            None => Ok(()),
            Some(_) => Err(Failure::new("a node that goes on from a store does not record beside it")
                .fix("leave out --record: `lockstep store export` makes a recording of a store")),
        }
    }

    /// Says what the node keeps of what it does, and whether it goes on when it has lost its place.
    pub fn instruct(&self, node: &mut Node) {
        if !self.once {
            node.rejoins();
        }
        if self.record.is_none() && self.store.store.is_none() {
            node.does_not_record();
        }
        if self.evidence.is_some() || self.record.is_some() || self.store.store.is_some() {
            node.keeps_evidence();
        }
    }

    /// What people find in the arbiter's record of a claim.
    pub fn wherefrom(&self, role: &str) -> String {
        format!("{role} at {}, process {}", self.listen, std::process::id())
    }

    pub fn wiring(
        &self,
        role: &str,
        listener: TcpListener,
        arbiter: Box<dyn Arbiter>,
        disks: Disks,
        store: Option<StorePlace>,
    ) -> Result<Wiring, Failure> {
        Ok(Wiring {
            listener: Some(listener),
            switch: self.switch,
            arbiter: Some(arbiter),
            wherefrom: self.wherefrom(role),
            record: self.record.clone(),
            record_fatal: self.record_fatal,
            record_max: self.record_max,
            record_first: false,
            disks,
            store,
            evidence: self.evidence.clone(),
            console: self.console.open(false)?,
            ends_with_console: false,
            narrates: true,
        })
    }
}

/// Our status when the limit that the operator set stopped the guest: as `timeout` has it.
pub const STATUS_LIMIT: u8 = 124;

/// Runs the node, then reports how it ended; the result is the process's exit status.
/// A first SIGINT or SIGTERM asks the node to end.
pub fn live(driver: Driver, node: Node, name: &str, record: Option<&Path>) -> Result<u8, Failure> {
    live_then(driver, node, name, record, |_| ())
}

/// The same; when the node's life is over, `then` sees it.
pub fn live_then(
    driver: Driver,
    node: Node,
    name: &str,
    record: Option<&Path>,
    then: impl FnOnce(&Node),
) -> Result<u8, Failure> {
    let resize = driver.has_terminal().then(|| driver.resizer());
    let hangup = if name == "run" { Hangup::Ends } else { Hangup::GoesOn };
    obey_signals(driver.quitter(), resize, hangup)?;
    let lived = driver.run(node).map_err(|error| match error {
        DriverError::Record(error) => {
            let failure = Failure::of_recording(error);
            Failure { what: format!("{name} stopped: {}", failure.what), ..failure }
        }
        DriverError::Io(error) => Failure::new(format!("{name} stopped: {error}")),
    })?;
    then(&lived.node);
    Ok(report(&lived, name, lived.record.as_deref().or(record)))
}

/// What a hang-up of the controlling terminal (SIGHUP) means. A user who started the process with `nohup` has
/// decided already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The same as SIGTERM.
    Ends,
    /// Nothing: a node of a pair is there for others.
    GoesOn,
}

/// Whether SIGHUP was ignored when we were started.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// The first SIGINT or SIGTERM calls `quit`, and so does the second at a node of a pair, which may have
/// refused the first; the next one ends the process. SIGHUP does what `hangup` asks for. With `resize` the
/// terminal is ours: SIGWINCH calls `resize`, and the terminal is given back for as long as SIGTSTP stops us.
pub fn obey_signals(
    quit: impl Fn() + Send + 'static,
    resize: Option<impl Fn() + Send + 'static>,
    hangup: Hangup,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot handle signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    if !hangup_is_ignored() {
        signals.add_signal(SIGHUP).map_err(failed)?;
    }
    if resize.is_some() {
        for signal in [SIGWINCH, SIGTSTP, SIGCONT] {
            signals.add_signal(signal).map_err(failed)?;
        }
    }
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut asked = 0;
            // A node of a pair may refuse to end, and is asked once more.
            let asks = if hangup == Hangup::GoesOn { 2 } else { 1 };
            for signal in signals.forever() {
                match signal {
                    SIGWINCH => resize.iter().for_each(|resize| resize()),
                    SIGTSTP => {
                        terminal::restore();
                        if let Err(error) = emulate_default_handler(SIGTSTP) {
                            say!("lockstep: this process cannot be stopped: {error}");
                        }
                    }
                    SIGCONT => {
                        if let Err(error) = terminal::reenter() {
                            say!("lockstep: the terminal stays as it is: {error}");
                        }
                        resize.iter().for_each(|resize| resize());
                    }
                    SIGHUP if hangup == Hangup::GoesOn => {
                        say!("lockstep: the terminal is gone (SIGHUP); this node goes on");
                    }
                    // A shell that ends and the terminal itself each send one.
                    SIGHUP if asked > 0 => {}
                    _ if asked >= asks => {
                        terminal::restore();
                        std::process::exit(128 + signal);
                    }
                    _ => {
                        asked += 1;
                        if signal == SIGHUP {
                            say!("lockstep: the terminal is gone (SIGHUP): the run ends");
                        }
                        quit();
                    }
                }
            }
        })
        .map_err(failed)?;
    Ok(())
}

/// Lines of the console that are printed when a guest ended badly and no terminal has shown them here.
const LAST_LINES: usize = 20;

/// The guest's last output, safe for a terminal.
fn tell_last_lines(node: &Node) {
    let lines = node.console_lines(LAST_LINES);
    if !lines.is_empty() {
        say!("  its last lines on the console:");
    }
    for line in lines {
        say!("  | {}", plain(&line));
    }
}

/// Reports how a node ended; returns the status for it.
fn report(lived: &Lived, name: &str, record: Option<&Path>) -> u8 {
    let Lived { halt, node, console_shown, .. } = lived;
    let at = node.icount();
    match halt {
        Halt::GuestEnded(exit) => {
            if exit.status() != 0 {
                say!("lockstep {name}: the guest ended with {exit} at {at}");
                // A node of a pair has its output in some file, if anywhere; a panic's words are looked for.
                if name != "run" || !console_shown || *exit == Exit::Panic {
                    tell_last_lines(node);
                }
                if let Some(dir) = record {
                    say!("  `lockstep replay {}` goes there again", dir.display());
                }
            }
            exit.status()
        }
        Halt::LimitReached => {
            say!("lockstep {name}: stopped at {at} by --max-instructions; the guest had not ended");
            STATUS_LIMIT
        }
        Halt::LostClaim { generation, to } => {
            say!(
                "lockstep {name}: halted: generation {generation} belongs to node {to}, which carries the guest on"
            );
            1
        }
        Halt::NotJoined { why, .. } => {
            say!("lockstep {name}: not joined: {}", plain(why));
            2
        }
        Halt::NoPrimary { why } => {
            say!("lockstep {name}: {}", plain(why));
            say!("  fix: start it with `lockstep primary`, and give its --listen address as --primary");
            2
        }
        Halt::Diverged(divergence) => {
            say!("lockstep {name}: {divergence}");
            for line in &divergence.context {
                say!("  {line}");
            }
            1
        }
        Halt::DiskFailed { disk, tag } => {
            say!(
                "lockstep {name}: disk {disk} of this node failed request {tag}: this node has left, and the other \
                 one carries the guest on with its own disk"
            );
            1
        }
        Halt::StoreFailed { why } => {
            say!("lockstep {name}: its store failed, and the log counts there: {}", plain(why));
            say!("  another node carries the guest on; fix the disk, and join again with `lockstep backup`");
            1
        }
        Halt::Quit => 0,
    }
}
