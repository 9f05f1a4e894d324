//! The supervisor binary interface, answered by the machine itself (RISC-V SBI 2.0).
//!
//! | extension | functions |
//! |---|---|
//! | Base `0x10` | all seven |
//! | TIME | `set_timer`: the same compare value as `stimecmp` |
//! | IPI | `send_ipi` to the one hart: its supervisor software interrupt |
//! | RFENCE | `remote_fence_i`, `remote_sfence_vma`, `.._asid`: translation and fetch are coherent, so they are done |
//! | HSM | `hart_get_status`; `hart_start` (already started), `hart_stop` (the last one may not), `hart_suspend` retentive: as `wfi` |
//! | SRST | shutdown, cold and warm reboot |
//! | DBCN | `console_write`, `console_write_byte`; `console_read` has nothing to read |
//!
//! Everything else is "not supported". A call retires as one instruction.
//!
//! Absent on purpose: the legacy extensions, and state: what a call changes is the hart's or a device's.

use super::board::Board;
use super::io::Exit;
use crate::base::GuestPhys;
use crate::cpu::Returned;
use crate::mem::Ram;

/// Extensions by their numbers.
mod extension {
    pub const BASE: u64 = 0x10;
    pub const TIME: u64 = 0x5449_4d45;
    pub const IPI: u64 = 0x73_5049;
    pub const RFENCE: u64 = 0x5246_4e43;
    pub const HSM: u64 = 0x48_534d;
    pub const SRST: u64 = 0x5352_5354;
    pub const DBCN: u64 = 0x4442_434e;

    pub const ALL: [u64; 7] = [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN];
}

const FAILED: i64 = -1;
const NOT_SUPPORTED: i64 = -2;
const INVALID_PARAM: i64 = -3;
const INVALID_ADDRESS: i64 = -5;
const ALREADY_AVAILABLE: i64 = -6;

/// Version 2.0.
const SPEC_VERSION: u64 = 2 << 24;
/// Not an allocated number: "lock".
const IMPLEMENTATION_ID: u64 = crate::cpu::csr::ARCH_ID;
const IMPLEMENTATION_VERSION: u64 = 1;

/// The most bytes that one `console_write` takes; the caller comes again for the rest.
const CONSOLE_WRITE_BYTES_MAX: u64 = 512;

/// Answers an environment call from S-mode: a0 to a7.
pub(super) fn call(board: &mut Board, ram: &Ram, a: [u64; 8]) -> Returned {
    let (function, number) = (a[6], a[7]);
    match number {
        extension::BASE => base(function, a[0]),
        extension::TIME if function == 0 => {
            board.clint.set_stimecmp(a[0]);
            done(0)
        }
        extension::IPI if function == 0 => match names_the_hart(a[0], a[1]) {
            Some(true) => Returned { software_interrupt: true, ..done(0) },
            Some(false) => done(0),
            None => error(INVALID_PARAM),
        },
        extension::RFENCE if function <= 2 => match names_the_hart(a[0], a[1]) {
            Some(_) => done(0),
            None => error(INVALID_PARAM),
        },
        extension::HSM => hart(function, a[0]),
        extension::SRST if function == 0 => reset(board, a[0] as u32, a[1] as u32),
        extension::DBCN => console(board, ram, function, a),
        _ => error(NOT_SUPPORTED),
    }
}

fn done(value: u64) -> Returned {
    Returned { a0: 0, a1: value, software_interrupt: false, wait: false }
}

fn error(code: i64) -> Returned {
    Returned { a0: code as u64, ..done(0) }
}

fn base(function: u64, argument: u64) -> Returned {
    use crate::cpu::csr::{ARCH_ID, IMPLEMENTATION_ID as MACHINE_IMPLEMENTATION_ID, VENDOR_ID};
    done(match function {
        0 => SPEC_VERSION,
        1 => IMPLEMENTATION_ID,
        2 => IMPLEMENTATION_VERSION,
        3 => u64::from(extension::ALL.contains(&argument)),
        4 => VENDOR_ID,
        5 => ARCH_ID,
        6 => MACHINE_IMPLEMENTATION_ID,
        _ => return error(NOT_SUPPORTED),
    })
}

/// Whether hart 0 is in a hart mask; none when it names a hart that is not there.
fn names_the_hart(mask: u64, base: u64) -> Option<bool> {
    match (mask, base) {
        (_, u64::MAX) => Some(true),
        (0, _) => Some(false),
        (1, 0) => Some(true),
        _ => None,
    }
}

fn hart(function: u64, argument: u64) -> Returned {
    const START: u64 = 0;
    const STOP: u64 = 1;
    const STATUS: u64 = 2;
    const SUSPEND: u64 = 3;
    const RETENTIVE: u64 = 0;
    match function {
        START if argument == 0 => error(ALREADY_AVAILABLE),
        STOP => error(FAILED),
        STATUS if argument == 0 => done(0),
        START | STATUS => error(INVALID_PARAM),
        SUSPEND if argument & 0xffff_ffff == RETENTIVE => Returned { wait: true, ..done(0) },
        _ => error(NOT_SUPPORTED),
    }
}

fn reset(board: &mut Board, kind: u32, reason: u32) -> Returned {
    const SHUTDOWN: u32 = 0;
    const COLD: u32 = 1;
    const WARM: u32 = 2;
    const NO_REASON: u32 = 0;
    const SYSTEM_FAILURE: u32 = 1;
    let exit = match (kind, reason) {
        (SHUTDOWN | COLD | WARM, SYSTEM_FAILURE) => Exit::Panic,
        (SHUTDOWN, NO_REASON) => Exit::Pass,
        (COLD, NO_REASON) => Exit::Reset,
        // Linux gives no reason when it panics; `reboot=panic_warm` makes it tell by the kind.
        (WARM, NO_REASON) => Exit::Panic,
        _ => return error(INVALID_PARAM),
    };
    board.end(exit);
    done(0)
}

fn console(board: &mut Board, ram: &Ram, function: u64, a: [u64; 8]) -> Returned {
    const WRITE: u64 = 0;
    const READ: u64 = 1;
    const WRITE_BYTE: u64 = 2;
    match function {
        WRITE => {
            let mut bytes = vec![0; a[0].min(CONSOLE_WRITE_BYTES_MAX) as usize];
            if a[2] != 0 || ram.read(GuestPhys(a[1]), &mut bytes).is_err() {
                return error(if bytes.is_empty() { 0 } else { INVALID_ADDRESS });
            }
            board.say(&bytes);
            done(bytes.len() as u64)
        }
        READ => done(0),
        WRITE_BYTE => {
            board.say(&[a[0] as u8]);
            done(0)
        }
        _ => error(NOT_SUPPORTED),
    }
}
