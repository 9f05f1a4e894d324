//! What the hart needs of the machine around it: memory-mapped I/O, interrupt lines, time.

use super::ask::{Answer, Question};
use crate::base::{GuestPhys, Icount};
use crate::mem::Ram;

/// Nothing answers at this physical address, or not at this width: the guest gets an access fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusFault;

/// The result of a memory-mapped read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusRead {
    Value(u64),
    /// The register's value is not the machine's to know. The hart stops with this question before
    /// the instruction, and calls [`Bus::read`] again with the answer.
    Ask(Question),
}

/// What an environment call from S-mode comes back with, when the machine itself answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    pub a0: u64,
    pub a1: u64,
    /// The supervisor software interrupt becomes pending.
    pub software_interrupt: bool,
    /// The hart waits as after `wfi`.
    pub wait: bool,
}

/// The machine as the hart sees it beyond RAM.
///
/// Every effect is a function of the arguments and of the bus's own state: no clock, no host.
pub trait Bus {
    /// Reads `size` (1, 2, 4 or 8) bytes at `at`, which is not RAM and is aligned to `size`.
    /// Side effects (a UART's receive buffer, a PLIC claim) happen only when a value is returned.
    fn read(&mut self, at: GuestPhys, size: u8, answer: Option<Answer>) -> Result<BusRead, BusFault>;

    /// The question that [`Bus::read`] there would ask, if it would; changes nothing.
    fn asks(&self, at: GuestPhys, size: u8) -> Option<Question>;

    /// Writes the low `size` bytes of `value` at `at`, which is not RAM and is aligned to `size`.
    /// A device that moves data does so now, in `ram`, between two instructions.
    fn write(&mut self, ram: &mut Ram, at: GuestPhys, size: u8, value: u64) -> Result<(), BusFault>;

    /// A store has just been made to the watched address (HTIF `tohost`); `value` is the whole
    /// aligned doubleword after it.
    fn tohost(&mut self, value: u64);

    /// An environment call from S-mode with a0 to a7 as given, if the machine is its own firmware;
    /// none when the call is a trap like any other.
    fn environment_call(&mut self, ram: &mut Ram, arguments: [u64; 8]) -> Option<Returned>;

    /// The interrupt lines as bits of `mip`: MSIP (3), STIP (5), MTIP (7), SEIP (9), MEIP (11).
    /// The hart asks after each `read`, `write`, `set_stimecmp` and `learn_time`, and after inputs have been
    /// delivered.
    fn lines(&self) -> u64;

    /// True when a device wants the machine to stop after this instruction (output to take, a
    /// request to serve, power-off). Reading it clears nothing.
    fn wants_stop(&self) -> bool;

    /// The guest's time (ticks) at position `at`, which is not before the last one asked for: a function
    /// of the position and of the bus's state.
    fn time_at(&self, at: Icount) -> u64;

    /// The `time` CSR has been read: the machine now knows that this time has come, and timers
    /// that compare with it follow.
    fn learn_time(&mut self, time: u64);

    /// `stimecmp` (Sstc) lives beside `mtimecmp`, with the time that both are compared to.
    fn stimecmp(&self) -> u64;
    fn set_stimecmp(&mut self, value: u64);
}
