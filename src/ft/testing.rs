//! What tests of nodes have in common: a host that does nothing by itself, and a guest.

use super::node::{Boot, LinkId, World};
use crate::base::{Generation, Icount};
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
        1
    }

    fn wall_clock_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn outbox_bytes(&mut self, _: LinkId) -> usize {
        self.unsent
    }

    fn outputs_blocked(&mut self) -> bool {
        false
    }

    fn console_pending(&mut self) -> u64 {
        0
    }
}

/// The first generation of the key-value guest in its life `life`.
pub fn boot_kv(life: u64, board: BoardModel) -> Boot {
    let options = BootOptions { ram_bytes: 8 << 20, board, ..BootOptions::default() };
    let guest = include_bytes!("../../guest-programs/kv/kv.elf");
    let machine = Machine::boot(&Elf::parse(guest).expect("an ELF"), &options).expect("it boots");
    Boot { machine, generation: Generation(1), life, limit: Icount::MAX }
}
