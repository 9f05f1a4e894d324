//! The interpreter: decoded instructions, each with the function that executes it ([`steps`]).
//!
//! It defines what computation, branches and jumps do. Whatever else turns up (a slot not decoded,
//! a page not cached, an access over two pages or to a device, CSRs, atomics, system instructions) is
//! left to the caller *before* anything of it has happened, so that leaving is always exact.
//!
//! A step ends by calling that of the next instruction, which compilers make a jump; each has a jump of its own, so
//! the host predicts them well. Nothing relies on it: steps return after [`FUEL`] instructions, so the stack is bounded anyway.

use super::tlb::{ByKind, Entries, PAGE_MASK};
use super::{Leave, Left, Work};

mod code;
mod steps;

#[cfg(test)]
pub use code::PAGES_MAX;
pub use code::{CodeCache, HALFWORDS, Slot, Slots};

/// Steps return after so many instructions, or after one run.
const FUEL: i64 = 512;
/// Taken off what is left, it makes every jump return.
const NO_JUMP: i64 = 1 << 60;
/// In [`Core::float`]: what there is in `fcsr`, and that floating point is off.
const FLOAT_OFF: u16 = 1 << 8;

/// What steps work on besides registers, slots, and the place among them.
struct Core<'a> {
    /// `fcsr`, or [`FLOAT_OFF`] too.
    float: u16,
    /// `cbo.zero` may be executed.
    zero: bool,
    data: &'a ByKind,
    fetch: &'a Entries,
    ram: &'a mut [u8],
    code: &'a CodeCache,
    /// The page that is executed: its virtual address and its slots.
    page: u64,
    slots: &'a Slots,
    /// As many of them as may be executed.
    given: &'a [Slot],
    /// Where the steps returned, in halfwords from `page`, and how many instructions were left.
    at: usize,
    left: i64,
}

/// Why the steps returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// They went past the end of the slots that they were given.
    Off,
    /// They would jump there, but enough has been executed.
    Jumped,
    /// The instruction needs more than the interpreter has.
    Slow,
    /// There is no slot that is known.
    Lost,
}

/// Runs up to `count` instructions from `pc`, whose page's slots are `slots`; with `BLOCK`, not past a jump or a
/// taken branch, after which the loop is [`Leave::Lost`].
#[inline(never)]
pub fn run<const BLOCK: bool>(
    work: &mut Work<'_>,
    code: &CodeCache,
    slots: &Slots,
    pc: u64,
    count: u64,
) -> Left {
    let mut core = Core {
        float: u16::from(*work.fcsr) | if work.float { 0 } else { FLOAT_OFF },
        zero: work.zero,
        data: work.data,
        fetch: work.fetch,
        ram: work.ram,
        code,
        page: pc & PAGE_MASK,
        slots,
        given: &[],
        at: (pc & !PAGE_MASK) as usize / 2,
        left: 0,
    };
    let mut left = count;
    let why = loop {
        if left == 0 {
            break Leave::Spent;
        }
        let (slots, at) = (core.slots, core.at);
        let (Some(slot), Some(&run)) = (slots.slots.get(at), slots.runs.get(at)) else { break Leave::Lost };
        let run = i64::from(run);
        // Where a run is not to be executed to its end, the slots end earlier.
        let (end, fuel) = if left >= run as u64 {
            (slots.slots.len(), FUEL.min(i64::try_from(left).unwrap_or(FUEL)).max(run))
        } else {
            ((0..left).fold(at, |at, _| at + usize::from(slots[at].len)), left as i64)
        };
        let fuel = if BLOCK { -NO_JUMP } else { fuel };
        core.given = &slots.slots[..end];
        left = left.wrapping_sub_signed(fuel);
        let exit = (slot.step)(work.regs, &mut core, slot, &slots.slots[at + 1..end], fuel - run);
        left = left.wrapping_add_signed(core.left);
        match exit {
            Exit::Off => {}
            Exit::Jumped if !BLOCK => {}
            Exit::Jumped | Exit::Lost => break Leave::Lost,
            Exit::Slow => break Leave::Slow(core.slots[core.at]),
        }
    };
    *work.fcsr = core.float as u8;
    Left { why, pc: core.page.wrapping_add(2 * core.at as u64), count: left }
}
