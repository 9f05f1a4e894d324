//! Who called whom, as far as a stopped guest proves it.
//!
//! The guest's compilers keep no frame pointers, so a frame is found the way a debugger does without tables: the
//! instructions from the function's first one on tell how far the stack pointer was moved, and where the return
//! address and the caller's frame pointer were put. A function that has put its return address nowhere has it
//! in `ra`.
//!
//! Whatever was found is a return address only if the instruction before it is a call. One that names another
//! function as its target has called that one, which went on with a jump (a tail call): it is in between then. But
//! where one of the places that could hold the address leads to a call of this very function, that is the one. A
//! handler of traps has no caller: what is in `ra` there is the business of what was interrupted.
//!
//! Everything here may be the hostile guest's: each step needs a name, moves up the stack by a bounded amount, and
//! there are at most [`DEPTH_MAX`].

use super::symbols::SymbolTable;
use crate::isa::decode::is_wide;
use crate::isa::{Extensions, Insn, Op, decode};

/// Callers of one place.
pub const DEPTH_MAX: usize = 64;
/// Further up than this is no frame.
const FRAME_BYTES_MAX: u64 = 1 << 20;
/// A frame is made in the first bytes of a function.
const PROLOGUE_BYTES: usize = 96;

const RA: u8 = 1;
const SP: u8 = 2;
const FP: u8 = 8;

/// Where a guest stands.
#[derive(Clone, Copy, Debug)]
pub struct Stand {
    /// The address of the next instruction.
    pub pc: u64,
    /// x1
    pub ra: u64,
    /// x2
    pub sp: u64,
    /// x8
    pub fp: u64,
    /// The handlers of traps.
    pub handlers: [u64; 2],
}

/// Reads the guest's memory at a virtual address without changing anything; false if it cannot all be read.
pub type Memory<'a> = &'a dyn Fn(u64, &mut [u8]) -> bool;

/// Calls `found` with each caller's symbol (its number in `table`), the innermost first.
pub fn callers(table: &SymbolTable, stand: Stand, memory: Memory<'_>, mut found: impl FnMut(usize)) {
    let Stand { pc, ra, mut sp, mut fp, handlers } = stand;
    let Some(mut function) = table.place(pc) else { return };
    let (mut place, mut ra) = (pc, Some(ra));
    let handlers = handlers.map(|handler| table.place(handler));
    let mut left = DEPTH_MAX;
    while left > 0 && !handlers.contains(&Some(function)) {
        let frame = Frame::of(table.start(function), place, memory);
        let base = if frame.has_pointer { fp } else { sp.wrapping_add(frame.bytes) };
        let is_sane = base >= sp && base - sp <= FRAME_BYTES_MAX && base.is_multiple_of(8);
        let load = |below: u64| read_u64(memory, base.wrapping_sub(below));
        let kept = frame.ra_below.filter(|_| is_sane && base > sp).and_then(load);
        let kept = kept.and_then(|to| Call::before(to, table, memory));
        // Only what runs now has its return address still in the register; where it has called another since, that
        // call's is there.
        let held = ra.take().and_then(|to| Call::before(to, table, memory));
        let held = held.filter(|call| call.caller != function);
        let of_this = |call: &Call| call.called.is_none_or(|called| called == function);
        let kept = kept.filter(|kept| of_this(kept) || !held.as_ref().is_some_and(of_this));
        let Some(call) = kept.or(held) else { return };
        for symbol in call.called.filter(|called| *called != function).into_iter().chain([call.caller]) {
            if left > 0 {
                found(symbol);
                left -= 1;
            }
        }
        // One that keeps its return address and has it in the register again is about to return: its frame is gone.
        if kept.is_some() || frame.ra_below.is_none() {
            if !is_sane {
                return;
            }
            fp = frame.fp_below.and_then(load).unwrap_or(fp);
            sp = base;
        }
        (function, place) = (call.caller, call.at);
    }
}

/// A call, in functions that have names.
#[derive(Clone, Copy)]
struct Call {
    at: u64,
    caller: usize,
    /// None where that cannot be told from the instruction.
    called: Option<usize>,
}

impl Call {
    /// The call that returns to `to`.
    fn before(to: u64, table: &SymbolTable, memory: Memory<'_>) -> Option<Self> {
        let (at, target) = call_before(to, memory)?;
        let called = match target {
            Some(target) => Some(table.place(target)?),
            None => None,
        };
        Some(Self { at, caller: table.place(at)?, called })
    }
}

/// The call that returns to `to`, and its target, if the instruction names it.
fn call_before(to: u64, memory: Memory<'_>) -> Option<(u64, Option<u64>)> {
    let far = |insn: Insn, at: u64| at.wrapping_add(insn.imm as i64 as u64);
    let wide = |at: u64| {
        let mut word = [0; 4];
        (memory(at, &mut word) && is_wide(u16::from_le_bytes([word[0], word[1]])))
            .then(|| decode(u32::from_le_bytes(word), Extensions::ALL))
    };
    if !to.is_multiple_of(2) {
        return None;
    }
    let at = to.wrapping_sub(4);
    match wide(at) {
        Some(insn) if insn.op == Op::Jal && insn.rd == RA => return Some((at, Some(far(insn, at)))),
        Some(insn) if insn.op == Op::Jalr && insn.rd == RA => {
            let before = to.wrapping_sub(8);
            let upper = wide(before).filter(|upper| upper.op == Op::Auipc && upper.rd == insn.rs1);
            return Some((at, upper.map(|upper| far(insn, far(upper, before)))));
        }
        _ => {}
    }
    let (at, mut half) = (to.wrapping_sub(2), [0; 2]);
    let is_read = memory(at, &mut half) && !is_wide(u16::from_le_bytes(half));
    let insn = is_read.then(|| decode(u16::from_le_bytes(half).into(), Extensions::ALL))?;
    (insn.op == Op::Jalr && insn.rd == RA).then_some((at, None))
}

fn read_u64(memory: Memory<'_>, at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (at.is_multiple_of(8) && memory(at, &mut bytes)).then(|| u64::from_le_bytes(bytes))
}

/// What a function has done to its stack before a place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Frame {
    /// By how much the stack pointer was lowered.
    bytes: u64,
    /// The frame pointer is where the stack pointer was at the beginning.
    has_pointer: bool,
    /// Where the return address is: so many bytes below the frame's upper end.
    ra_below: Option<u64>,
    /// The same for the caller's frame pointer.
    fp_below: Option<u64>,
}

impl Frame {
    /// Reads the function at `start` up to `place`. Branches before the frame is made are taken not to be taken.
    fn of(start: u64, place: u64, memory: Memory<'_>) -> Self {
        let mut code = [0; PROLOGUE_BYTES];
        let len = (place - start).min(PROLOGUE_BYTES as u64) as usize;
        if len == 0 || !memory(start, &mut code[..len]) {
            return Self::default();
        }
        let (mut frame, mut at) = (Self::default(), 0);
        while at + 2 <= len {
            let half = u16::from_le_bytes([code[at], code[at + 1]]);
            if is_wide(half) && at + 4 > len {
                break;
            }
            let high = if is_wide(half) { u16::from_le_bytes([code[at + 2], code[at + 3]]) } else { 0 };
            let insn = decode(u32::from(half) | u32::from(high) << 16, Extensions::ALL);
            if !frame.take(insn) {
                break;
            }
            at += usize::from(insn.len);
        }
        frame
    }

    fn is_made(&self) -> bool {
        self.bytes > 0
    }

    /// Takes the next instruction; false when it ends the part that makes the frame.
    fn take(&mut self, insn: Insn) -> bool {
        let by = insn.imm as i64 as u64;
        match insn.op {
            Op::Addi if insn.rd == SP && insn.rs1 == SP && insn.imm < 0 => {
                self.bytes += by.wrapping_neg();
                true
            }
            Op::Addi if insn.rd == FP && insn.rs1 == SP && self.is_made() => {
                self.has_pointer = by == self.bytes;
                true
            }
            Op::Sd if insn.rs1 == SP && insn.imm >= 0 && by < self.bytes => {
                let below = Some(self.bytes - by);
                match insn.rs2 {
                    RA => self.ra_below = self.ra_below.or(below),
                    FP => self.fp_below = self.fp_below.or(below),
                    _ => {}
                }
                true
            }
            op if op.is_branch() => !self.is_made(),
            Op::Jal | Op::Jalr | Op::Ecall | Op::Ebreak | Op::Mret | Op::Sret => false,
            // The stack pointer, or the frame pointer that leads to it, is something else from here on.
            _ => insn.rd != SP && !(insn.rd == FP && self.has_pointer),
        }
    }
}

#[cfg(test)]
#[path = "callers_tests.rs"]
mod tests;
