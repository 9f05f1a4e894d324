//! What tests of nodes have in common: a host that does nothing by itself, and a guest.

use super::command::Command;
use super::handover::Boot;
use super::link::LinkId;
use super::message::Message;
use super::world::World;
use crate::base::{Generation, Icount};
use crate::devices::disk::DiskSpec;
use crate::log;
use crate::machine::{BoardModel, BootOptions, Elf, Machine};

/// A host whose clock stands until the test moves it.
#[derive(Default)]
pub struct Host {
    /// The monotonic clock, and the time of day.
    pub now_ns: u64,
    /// How often entropy was drawn: the n-th draw is all bytes n.
    pub drawn: u8,
    /// Bytes that each connection has yet to send.
    pub unsent: usize,
    /// The consumer of the outputs is behind.
    pub blocked: bool,
    /// Console bytes released and not yet written.
    pub console_pending: u64,
}

impl World for Host {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.drawn += 1;
        bytes.fill(self.drawn);
    }

    fn host_id(&mut self) -> u64 {
        4
    }

    fn wall_clock_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn outbox_bytes(&mut self, _: LinkId) -> usize {
        self.unsent
    }

    fn outputs_blocked(&mut self) -> bool {
        self.blocked
    }

    fn console_pending(&mut self) -> u64 {
        self.console_pending
    }
}

/// The first generation of the key-value guest in its life `life`.
pub fn boot_kv(life: u64, board: BoardModel) -> Boot {
    boot(include_bytes!("../../guest-programs/kv/kv.elf"), life, board)
}

/// The first generation of a guest that sends back what is typed.
pub fn boot_echo(life: u64) -> Boot {
    boot(include_bytes!("../../guest-programs/echo/echo.elf"), life, BoardModel::default())
}

/// The first generation of a guest that computes for long, without a word.
pub fn boot_crunch(life: u64) -> Boot {
    boot(include_bytes!("../../guest-programs/crunch/crunch.elf"), life, BoardModel::default())
}

/// The first generation of the key-value guest with a journal on a disk.
pub fn boot_diskkv(life: u64) -> Boot {
    let disks = vec![DiskSpec { sectors: 4096, read_only: false, serial: String::new() }];
    let options = BootOptions { ram_bytes: 8 << 20, disks, ..BootOptions::default() };
    boot_with(include_bytes!("../../guest-programs/diskkv/diskkv.elf"), life, &options)
}

/// The first generation of a guest that writes records to its disk, and looks at its start that they are there.
pub fn boot_journal(life: u64) -> Boot {
    let disks = vec![DiskSpec { sectors: 4096, read_only: false, serial: String::new() }];
    let options = BootOptions { ram_bytes: 8 << 20, disks, ..BootOptions::default() };
    boot_with(include_bytes!("../../guest-programs/journal/journal.elf"), life, &options)
}

/// The same without a disk: it ends at once.
pub fn boot_diskless_journal(life: u64) -> Boot {
    boot(include_bytes!("../../guest-programs/journal/journal.elf"), life, BoardModel::default())
}

/// The first generation of a guest that jumps into nowhere, and has no trap vector.
pub fn boot_wild(life: u64) -> Boot {
    boot(include_bytes!("../../guest-programs/wild/wild.elf"), life, BoardModel::default())
}

fn boot(guest: &[u8], life: u64, board: BoardModel) -> Boot {
    boot_with(guest, life, &BootOptions { ram_bytes: 8 << 20, board, ..BootOptions::default() })
}

fn boot_with(guest: &[u8], life: u64, options: &BootOptions) -> Boot {
    let machine = Machine::boot(&Elf::parse(guest).expect("an ELF"), options).expect("it boots");
    Boot { machine, generation: Generation(1), life, limit: Icount::MAX }
}

/// The events of a log frame.
pub fn events(frame: &[u8]) -> Vec<log::Event> {
    let (entries, used) = log::frame::decode_frame(frame).expect("a good frame");
    assert_eq!(used, frame.len());
    entries.into_iter().map(|entry| entry.event).collect()
}

/// Takes `commands`, as text: log as its events, sent or for the recording alone.
pub fn shown(commands: &mut Vec<Command>) -> Vec<String> {
    let mut shown = Vec::new();
    for command in std::mem::take(commands) {
        match command {
            Command::Append { bytes } => shown.push(format!("append {:?}", events(&bytes))),
            Command::Send { link: LinkId(link), message: Message::Log(bytes) } => {
                assert_eq!(
                    shown.pop(),
                    Some(format!("append {:?}", events(&bytes))),
                    "what is sent is recorded"
                );
                shown.push(format!("{link} log {:?}", events(&bytes)));
            }
            Command::Send { link: LinkId(link), message } => shown.push(format!("{link} {message:?}")),
            Command::Close { link: LinkId(link) } => shown.push(format!("{link} closed")),
            Command::Tell(text) => shown.push(format!("tell {text}")),
            other => shown.push(format!("{other:?}")),
        }
    }
    shown
}
