//! The command line: one file per subcommand. This file parses, calls, and turns failures into
//! words and exit codes: 0 yes, 1 differs or not found, 2 failed (a guest's own exit status
//! becomes ours).

pub mod arg;
pub(crate) mod attach;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod checkpoint;
pub(crate) mod client;
pub(crate) mod console;
pub(crate) mod demo;
pub(crate) mod disasm;
pub(crate) mod disk;
pub(crate) mod elf;
pub(crate) mod fork;
pub(crate) mod guest;
pub(crate) mod kill;
pub(crate) mod leave;
pub(crate) mod log;
pub(crate) mod node;
pub(crate) mod past;
pub(crate) mod primary;
pub(crate) mod profile;
mod rehearse;
pub(crate) mod reopen;
mod replay;
pub(crate) mod run;
pub mod sim;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod switch;
pub(crate) mod switchover;
pub(crate) mod symbols;
pub(crate) mod tool;

pub use crate::host::failure::Failure;

use std::process::ExitCode;

use crate::engine::Engine;
use crate::host::os;
use crate::host::say::say;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "lockstep",
    version,
    about = "A fault-tolerant RISC-V virtual machine: kill the primary, the backup goes on to the bit.",
    after_help = "Start with `lockstep demo`. Exit status: 0 yes, 1 differs or not found, 2 failed; \
                  a guest's own exit status becomes the command's."
)]
struct Cli {
    /// What executes guests: `translator` (host code; x86-64) or `interpreter`. Which one it is never shows.
    #[arg(
        long,
        global = true,
        value_name = "ENGINE",
        env = "LOCKSTEP_ENGINE",
        default_value_t,
        hide_default_value = false
    )]
    engine: Engine,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch a program outlive its machine: everything on this host, narrated, with a table at the end.
    Demo(demo::Args),
    /// Run a guest alone, and record it if asked.
    Run(run::Args),
    /// Run the network that outlives the machines: switch, gateway, port forwards.
    Switch(switch::Args),
    /// Run a guest as the primary of a fault-tolerant pair.
    Primary(primary::Args),
    /// Join a primary as its backup.
    Backup(backup::Args),
    /// Sit at a guest's console, wherever the guest runs now; from a script, too.
    Attach(attach::Args),
    /// Ask a node how it is.
    Status(status::Args),
    /// Make primary and backup change places, with nothing lost and no fault counted.
    Switchover(switchover::Args),
    /// Try out a takeover by a backup, in a sandbox, while the service runs.
    Rehearse(rehearse::Args),
    /// Have the primary and its backups save the guest's state in their stores now, while the guest runs on.
    Checkpoint(checkpoint::Args),
    /// Have a node leave the guest to the others, and end.
    Leave(leave::Args),
    /// Kill a node of this host with SIGKILL, to see what the others make of it.
    Kill(kill::Args),
    /// Replay a recording, or what a store has: the same output, the same end.
    Replay(replay::Args),
    /// Look into recordings: info, dump, stats, verify, grep, diff.
    Log(log::Args),
    /// Look into a store, check it, make a recording of it, remove what is old.
    Store(store::Args),
    /// Print a guest's instructions.
    Disasm(disasm::Args),
    /// Talk to the `kv` guest, or load it and check every answer.
    Client(client::Args),
    /// Run nodes, network and arbiter in one thread under a seeded clock, and break them.
    Sim(sim::Args),
    /// Measure speed, log, latency and takeover on this host.
    Bench(bench::Args),
}

impl Command {
    /// Whether it executes a guest in this process: only then does it matter which engine the host can have.
    fn executes(&self) -> bool {
        matches!(
            self,
            Command::Run(_)
                | Command::Primary(_)
                | Command::Backup(_)
                | Command::Replay(_)
                | Command::Log(_)
                | Command::Store(_)
                | Command::Sim(_)
                | Command::Bench(_)
        )
    }
}

/// Parses the arguments, runs the subcommand, and answers with the process's exit code.
pub fn main() -> ExitCode {
    os::die_with_starter();
    let cli = Cli::parse();
    os::survive_file_size_limit();
    if cli.command.executes()
        && let Err(why) = cli.engine.is_here()
    {
        say!("lockstep: {why}; the interpreter executes the guest");
    }
    cli.engine.make_default();
    let result = match &cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args),
        Command::Switch(args) => switch::run(args),
        Command::Primary(args) => primary::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Attach(args) => attach::run(args),
        Command::Status(args) => status::run(args),
        Command::Switchover(args) => switchover::run(args),
        Command::Rehearse(args) => rehearse::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Leave(args) => leave::run(args),
        Command::Kill(args) => kill::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Log(args) => log::run(args),
        Command::Store(args) => store::run(args),
        Command::Disasm(args) => disasm::run(args),
        Command::Client(args) => client::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            say!("lockstep: {failure}");
            ExitCode::from(2)
        }
    }
}
