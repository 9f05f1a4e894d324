//! Functions of a few instructions, in the middle of which a guest stands.

use super::*;
use crate::base::Prng;

const BYTES: usize = 0x12_0000;
const STACK: u64 = 0x8000;

const NOP: u32 = 0x13;
const RET: u32 = 0x8067;

fn addi(rd: u8, rs1: u8, imm: i32) -> u32 {
    (imm as u32) << 20 | u32::from(rs1) << 15 | u32::from(rd) << 7 | 0x13
}

/// `sd rs2, imm(sp)`
fn sd(rs2: u8, imm: u32) -> u32 {
    imm >> 5 << 25 | u32::from(rs2) << 20 | 2 << 15 | 3 << 12 | (imm & 31) << 7 | 0x23
}

/// `jal ra, by`, less than 1 KiB up or down.
fn call(by: i32) -> u32 {
    let by = by as u32;
    by >> 20 << 31 | (by >> 1 & 0x3ff) << 21 | (by >> 11 & 1) << 20 | (by >> 12 & 0xff) << 12 | 0xef
}

struct Guest {
    bytes: Vec<u8>,
    table: SymbolTable,
}

impl Guest {
    /// `outer` calls `middle`, which calls `leaf`; `pointed` has a frame pointer and an `alloca`, and calls itself.
    fn new() -> Self {
        let names = "1000 T outer\n1100 T middle\n1200 T leaf\n1280 T other\n1300 T pointed\n1400 T far\n1500 T end\n1700 T handler\n";
        let mut guest =
            Self { bytes: vec![0; BYTES], table: SymbolTable::parse(names.as_bytes()).expect("symbols") };
        guest.code(0x1000, &[addi(SP, SP, -32), sd(RA, 24), call(0xf8), NOP]);
        let middle = [addi(SP, SP, -16), sd(RA, 8), sd(FP, 0), call(0xf4)];
        guest.code(0x1100, &[&middle[..], &[addi(RA, 0, 0), addi(SP, SP, 16), RET]].concat());
        guest.code(0x1200, &[NOP, RET]);
        let pointed = [addi(SP, SP, -32), sd(RA, 24), sd(FP, 16), addi(FP, SP, 32), 0x40a1_0133];
        guest.code(0x1300, &[&pointed[..], &[call(-0x14), NOP]].concat());
        guest
    }

    fn code(&mut self, at: u64, words: &[u32]) {
        for (index, word) in words.iter().enumerate() {
            self.bytes[at as usize + 4 * index..][..4].copy_from_slice(&word.to_le_bytes());
        }
    }

    fn put(&mut self, at: u64, value: u64) {
        self.bytes[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    fn callers(&self, stand: Stand) -> Vec<&str> {
        let memory = |at: u64, into: &mut [u8]| {
            let bytes =
                usize::try_from(at).ok().and_then(|at| self.bytes.get(at..at.checked_add(into.len())?));
            bytes.is_some_and(|bytes| {
                into.copy_from_slice(bytes);
                true
            })
        };
        let mut names = Vec::new();
        callers(&self.table, stand, &memory, |symbol| names.push(self.table.name(symbol)));
        names
    }

    fn at(&self, pc: u64, ra: u64, sp: u64) -> Vec<&str> {
        self.callers(Stand { pc, ra, sp, fp: 0, handlers: [0, 0x1700] })
    }
}

/// Where `middle`'s call of `leaf` returns to, and `outer`'s of `middle`.
const IN_MIDDLE: u64 = 0x1110;
const IN_OUTER: u64 = 0x100c;

#[test]
fn callers_are_found_wherever_a_function_is_left_to_stand() {
    let mut guest = Guest::new();
    guest.put(STACK + 8, IN_OUTER);
    assert_eq!(guest.at(0x1200, IN_MIDDLE, STACK), ["middle", "outer"], "at its beginning");
    assert_eq!(guest.at(0x1204, IN_MIDDLE, STACK), ["middle", "outer"], "at its end");
    assert_eq!(guest.at(0x110c, IN_OUTER, STACK), ["outer"], "with the frame made");
    assert_eq!(guest.at(IN_MIDDLE, IN_MIDDLE, STACK), ["outer"], "with another call's return address in ra");
    guest.put(STACK + 8, 0);
    assert_eq!(guest.at(0x1100, IN_OUTER, STACK + 16), ["outer"], "before the frame is made");
    assert_eq!(guest.at(0x1104, IN_OUTER, STACK), ["outer"], "with the return address not put there yet");
    assert_eq!(guest.at(0x1118, IN_OUTER, STACK + 16), ["outer"], "with the frame gone");
}

#[test]
fn a_frame_pointer_leads_past_a_stack_of_unknown_size() {
    let mut guest = Guest::new();
    // Two frames of `pointed`, the inner one entered by the outer one's call.
    for (top, ra, fp) in [(STACK + 0x100, 0x1318, STACK + 0x200), (STACK + 0x200, 0, 0)] {
        guest.put(top - 8, ra);
        guest.put(top - 16, fp);
    }
    let stand = Stand { pc: 0x1318, ra: 0x1318, sp: STACK, fp: STACK + 0x100, handlers: [0; 2] };
    assert_eq!(guest.callers(stand), ["pointed"]);
    for fp in [0, STACK - 8, STACK, STACK + 0x101, STACK + FRAME_BYTES_MAX + 8, u64::MAX, u64::MAX - 7] {
        let below = fp.saturating_sub(8) & !7;
        if below + 8 <= BYTES as u64 {
            guest.put(below, 0x1318);
        }
        assert_eq!(guest.callers(Stand { fp, ..stand }), [""; 0], "{fp:#x}");
    }
}

#[test]
fn what_is_not_a_call_of_the_function_makes_no_caller() {
    let guest = Guest::new();
    assert_eq!(guest.at(0x1700, IN_MIDDLE, STACK), [""; 0], "what a trap has interrupted");
    assert_eq!(guest.at(0x1200, 0x1204, STACK), [""; 0], "no call stands before");
    assert_eq!(guest.at(0x1200, IN_MIDDLE + 1, STACK), [""; 0], "odd");
    assert_eq!(guest.at(0x1200, u64::MAX - 1, STACK), [""; 0], "not memory");
    assert_eq!(guest.at(0x1200, 0, STACK), [""; 0], "before all memory");
    assert_eq!(guest.at(0x800, IN_MIDDLE, STACK), [""; 0], "without a name");
    assert_eq!(guest.at(0x1108, 0x1108, STACK), [""; 0], "its own");
}

#[test]
fn calls_name_their_target_or_are_believed() {
    let mut guest = Guest::new();
    // auipc ra, 0; jalr ra, -0x200(ra): `leaf`, from 0x1400. Then c.jalr a5.
    guest.code(0x1400, &[0x97, 0xe000_80e7, 0x9782]);
    assert_eq!(guest.at(0x1200, 0x1408, STACK), ["far"]);
    assert_eq!(guest.at(0x1280, 0x1408, STACK), ["leaf", "far"], "`leaf` went on with a jump");
    assert_eq!(guest.at(0x1200, 0x140a, STACK), ["far"], "through a register");
    assert_eq!(guest.at(0x1280, 0x140a, STACK), ["far"], "through a register");
}

#[test]
fn a_stack_of_nothing_but_calls_ends_somewhere() {
    let mut guest = Guest::new();
    // `end` calls itself, and each word of the stack says so.
    guest.code(0x1500, &[addi(SP, SP, -16), sd(RA, 8), call(-8), NOP]);
    for at in (STACK..BYTES as u64).step_by(8) {
        guest.put(at, 0x150c);
    }
    assert_eq!(guest.at(0x150c, 0, STACK), ["end"; DEPTH_MAX]);
    assert_eq!(guest.at(0x150c, 0, BYTES as u64 - 48), ["end"; 3], "up to where memory ends");
    assert_eq!(guest.at(0x150c, 0, STACK + 4), [""; 0], "misaligned");
    for sp in [u64::MAX, u64::MAX - 7, u64::MAX - 15, 0] {
        assert_eq!(guest.at(0x150c, 0, sp), [""; 0], "{sp:#x}");
    }
}

/// A frame of `middle` that is gone, and below it one that looks the same.
#[test]
fn a_call_of_this_very_function_is_the_one() {
    let mut guest = Guest::new();
    // In the frame above is `outer`'s return address; the register has the call of `middle`.
    guest.put(STACK + 8, 0x1318);
    assert_eq!(guest.at(0x1118, IN_OUTER, STACK), ["outer"]);
    assert_eq!(guest.at(0x1118, 0, STACK), ["pointed", "pointed"], "where nothing else is known");
    // A tail call of a function with a frame, which has called another since.
    guest.put(STACK + 8, 0x1604);
    guest.code(0x1600, &[call(-0x400), NOP]);
    assert_eq!(guest.at(IN_MIDDLE, IN_MIDDLE, STACK), ["leaf", "end"]);
    // Two callers in each step are no more than may be, either.
    for at in (STACK..BYTES as u64).step_by(8) {
        guest.put(at, IN_MIDDLE);
    }
    assert_eq!(guest.at(IN_MIDDLE, 0, STACK).len(), DEPTH_MAX);
}

/// Whatever code, stack and registers hold.
#[test]
fn no_guest_makes_the_walk_long() {
    let mut prng = Prng::new(17);
    let mut guest = Guest::new();
    let mut most = 0;
    for round in 0..20_000 {
        if round % 100 == 0 {
            guest = Guest::new();
            // Words that are likely to mean something: code, and places in it and in the stack.
            for at in (0..0x1_0000).step_by(8) {
                let value = match prng.below(4) {
                    0 => 0x1000 + 2 * prng.below(0x400),
                    1 => STACK + prng.below(0x8000),
                    2 => prng.next_u64(),
                    _ => u64::from(call(-(prng.below(0x200) as i32 & !1))) | u64::from(sd(RA, 8)) << 32,
                };
                if !(0x1000..0x1400).contains(&at) || prng.below(4) == 0 {
                    guest.put(at, value);
                }
            }
        }
        let mut place = || match prng.below(4) {
            0 => 0x1000 + 2 * prng.below(0x400),
            1 => STACK + 8 * prng.below(0x1000),
            2 => u64::MAX - prng.below(64),
            _ => IN_MIDDLE,
        };
        let stand = Stand { pc: place(), ra: place(), sp: place(), fp: place(), handlers: [0; 2] };
        most = most.max(guest.callers(stand).len());
    }
    assert!((1..=DEPTH_MAX).contains(&most), "{most}");
}
