//! Exceptions and interrupts as values, and the way in and out of their handlers
//! (Priv. spec 3.1.6, 3.1.8, 3.1.9, 10.1).
//!
//! The order among exceptions of one instruction is the order in which the engine meets them:
//! fetch (page, then access fault, of the first and then of the second halfword), illegal
//! instruction, misaligned AMO, page fault, access fault.

use std::fmt;

use super::csr::{Csrs, Privilege, status};

/// A synchronous exception; its number is the code in `xcause`, and what it is shown as is its name in
/// Priv. spec 3.1.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    FetchAccess = 1,
    Illegal = 2,
    Breakpoint = 3,
    LoadMisaligned = 4,
    LoadAccess = 5,
    StoreMisaligned = 6,
    StoreAccess = 7,
    CallFromUser = 8,
    CallFromSupervisor = 9,
    CallFromMachine = 11,
    FetchPage = 12,
    LoadPage = 13,
    StorePage = 15,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::FetchAccess => "instruction access fault",
            Cause::Illegal => "illegal instruction",
            Cause::Breakpoint => "breakpoint",
            Cause::LoadMisaligned => "load address misaligned",
            Cause::LoadAccess => "load access fault",
            Cause::StoreMisaligned => "store/AMO address misaligned",
            Cause::StoreAccess => "store/AMO access fault",
            Cause::CallFromUser => "environment call from U-mode",
            Cause::CallFromSupervisor => "environment call from S-mode",
            Cause::CallFromMachine => "environment call from M-mode",
            Cause::FetchPage => "instruction page fault",
            Cause::LoadPage => "load page fault",
            Cause::StorePage => "store/AMO page fault",
        })
    }
}

/// An exception with the value for `xtval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    pub cause: Cause,
    pub value: u64,
}

impl Trap {
    pub const fn new(cause: Cause, value: u64) -> Self {
        Self { cause, value }
    }
}

/// Interrupt bits of `mip` and `mie`.
pub mod irq {
    pub const SSI: u64 = 1 << 1;
    pub const MSI: u64 = 1 << 3;
    pub const STI: u64 = 1 << 5;
    pub const MTI: u64 = 1 << 7;
    pub const SEI: u64 = 1 << 9;
    pub const MEI: u64 = 1 << 11;

    /// Codes in order of priority (Priv. spec 3.1.9).
    pub const PRIORITY: [u8; 6] = [11, 3, 7, 9, 1, 5];
}

const INTERRUPT: u64 = 1 << 63;

/// The interrupt to take now, by its code, given what is pending and enabled in `mie`.
pub fn interrupt_to_take(csrs: &Csrs, privilege: Privilege, pending: u64) -> Option<u8> {
    let machine = pending & !csrs.mideleg;
    let supervisor = pending & csrs.mideleg;
    let machine_on = privilege < Privilege::Machine || csrs.mstatus & status::MIE != 0;
    let supervisor_on = privilege < Privilege::Supervisor
        || (privilege == Privilege::Supervisor && csrs.mstatus & status::SIE != 0);
    let taken = if machine_on && machine != 0 {
        machine
    } else if supervisor_on {
        supervisor
    } else {
        0
    };
    irq::PRIORITY.into_iter().find(|code| taken >> code & 1 != 0)
}

/// Where a trap leads.
pub struct Entry {
    pub privilege: Privilege,
    pub pc: u64,
}

/// Enters the handler of exception `trap` raised at `pc`.
pub fn enter_exception(csrs: &mut Csrs, privilege: Privilege, pc: u64, trap: Trap) -> Entry {
    let code = trap.cause as u8;
    enter(csrs, privilege, pc, code, csrs.medeleg, 0, trap.value)
}

/// Enters the handler of interrupt `code`; `pc` is the next instruction.
pub fn enter_interrupt(csrs: &mut Csrs, privilege: Privilege, pc: u64, code: u8) -> Entry {
    enter(csrs, privilege, pc, code, csrs.mideleg, INTERRUPT, 0)
}

fn enter(
    csrs: &mut Csrs,
    privilege: Privilege,
    pc: u64,
    code: u8,
    delegated: u64,
    kind: u64,
    value: u64,
) -> Entry {
    let cause = kind | u64::from(code);
    let mstatus = csrs.mstatus;
    if privilege != Privilege::Machine && delegated >> code & 1 != 0 {
        (csrs.scause, csrs.sepc, csrs.stval) = (cause, pc, value);
        let kept = mstatus & !(status::SPP | status::SPIE | status::SIE);
        let spp = if privilege == Privilege::Supervisor { status::SPP } else { 0 };
        let spie = if mstatus & status::SIE != 0 { status::SPIE } else { 0 };
        csrs.mstatus = kept | spp | spie;
        Entry { privilege: Privilege::Supervisor, pc: handler(csrs.stvec, kind, code) }
    } else {
        (csrs.mcause, csrs.mepc, csrs.mtval) = (cause, pc, value);
        let kept = mstatus & !(status::MPP | status::MPIE | status::MIE);
        let mpie = if mstatus & status::MIE != 0 { status::MPIE } else { 0 };
        csrs.mstatus = kept | (privilege as u64) << status::MPP_SHIFT | mpie;
        Entry { privilege: Privilege::Machine, pc: handler(csrs.mtvec, kind, code) }
    }
}

fn handler(tvec: u64, kind: u64, code: u8) -> u64 {
    let base = tvec & !3;
    if tvec & 1 != 0 && kind == INTERRUPT { base.wrapping_add(4 * u64::from(code)) } else { base }
}

/// `mret`: back to where, and in which mode.
pub fn leave_machine(csrs: &mut Csrs) -> Entry {
    let mstatus = csrs.mstatus;
    let privilege = csrs.previous_privilege();
    let mut next = mstatus & !(status::MPP | status::MPIE | status::MIE) | status::MPIE;
    if mstatus & status::MPIE != 0 {
        next |= status::MIE;
    }
    if privilege != Privilege::Machine {
        next &= !status::MPRV;
    }
    csrs.mstatus = next;
    Entry { privilege, pc: csrs.mepc }
}

/// `sret`: back to where, and in which mode.
pub fn leave_supervisor(csrs: &mut Csrs) -> Entry {
    let mstatus = csrs.mstatus;
    let privilege = if mstatus & status::SPP != 0 { Privilege::Supervisor } else { Privilege::User };
    let mut next = mstatus & !(status::SPP | status::SPIE | status::SIE | status::MPRV) | status::SPIE;
    if mstatus & status::SPIE != 0 {
        next |= status::SIE;
    }
    csrs.mstatus = next;
    Entry { privilege, pc: csrs.sepc }
}
