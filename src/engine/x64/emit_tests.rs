//! What a region may do, read off its code by a disassembler (iced-x86): where it jumps, what memory it names, which
//! registers it writes. The code is made from pages of random instructions, most of which compute or move data.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};

use super::super::asm::{Mem, Reg};
use super::super::layout::{BIAS, READ, RESERVATION, WRITE, cell};
use super::super::plan::{BLOCK_MAX, Budget, Code, Planner};
use super::super::{routines::routines, translates};
use super::*;
use crate::base::Prng;
use crate::engine::regs::Regs;
use crate::isa::{Extensions, Op, decode};
use crate::mem::PAGE_BYTES;

const BASE: u32 = 0x10_0000;
const ENTRIES: u64 = 0x1234_5678_9abc;
const FULL: Host = Host { bmi1: true, bmi2: true, lzcnt: true, popcnt: true, fma: true };
const BASIC: Host = Host { bmi1: false, bmi2: false, lzcnt: false, popcnt: false, fma: false };

/// A page of instructions that mean something.
fn page(prng: &mut Prng) -> Vec<u8> {
    // Loads, stores, atomics, branches and jumps; and what computes with either kind of register.
    const OPCODES: [u32; 24] = [
        0x03, 0x03, 0x23, 0x23, 0x07, 0x27, 0x2f, 0x63, 0x63, 0x6f, 0x67, 0x37, 0x17, 0x13, 0x13, 0x1b, 0x33,
        0x33, 0x3b, 0x53, 0x53, 0x43, 0x4f, 0x0f,
    ];
    let mut bytes = Vec::new();
    while bytes.len() < PAGE_BYTES {
        let random = prng.next_u64();
        let word = if prng.chance(1, 3) {
            random as u32 & 0xffff
        } else {
            let opcode = OPCODES[prng.below(OPCODES.len() as u64) as usize];
            // Few registers, so that several go by the same one; and near places.
            let near = if opcode == 0x6f { 0x007f_ffff } else { u32::MAX };
            (random as u32 & !0x7f | opcode) & near & !(0x18 << 15)
        };
        let insn = decode(word, Extensions::ALL);
        if insn.op != Op::Illegal && (insn.len == 2) == (word & 3 != 3) {
            bytes.extend_from_slice(&word.to_le_bytes()[..insn.len.into()]);
        }
    }
    bytes.truncate(PAGE_BYTES);
    bytes
}

fn is(register: Register, reg: Reg) -> bool {
    register.full_register().number() == reg as usize && register.is_gpr()
}

/// What memory `used` names, if a region may name it.
fn judge_memory(instruction: &Instruction, used: &iced_x86::UsedMemory) -> Result<(), &'static str> {
    let disp = used.displacement() as i64;
    let bytes = used.memory_size().size() as i64;
    let reads = matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
    let within = |from: i64, to: i64| disp >= from && disp + bytes <= to;
    let (base, index) = (used.base(), used.index());
    let at = |reg| is(base, reg) && index == Register::None;
    let indexed = |a, b: &[Reg]| is(base, a) && used.scale() == 1 && b.iter().any(|&b| is(index, b));
    if instruction.mnemonic() == Mnemonic::Lea {
        return Ok(());
    }
    if at(Reg::Rbp) {
        let from = -i64::from(BIAS);
        return within(from, from + size_of::<Regs>() as i64).then_some(()).ok_or("beyond the registers");
    }
    if at(Reg::Rsp) {
        let Mem { disp: windows, .. } = cell::window(0);
        let from = if reads { 0 } else { windows.into() };
        return within(from, cell::BYTES.into()).then_some(()).ok_or("not a cell, or not one to write");
    }
    if indexed(Reg::R14, &[Reg::Rcx]) {
        let known = [READ, READ + 8, WRITE, WRITE + 8].map(i64::from).contains(&disp);
        return (known && reads && bytes == 8).then_some(()).ok_or("not an entry of the translation cache");
    }
    if indexed(Reg::R13, &[Reg::Rax, Reg::Rdx]) {
        return (-2048..2048).contains(&disp).then_some(()).ok_or("far from what was looked up");
    }
    if indexed(Reg::Rcx, &[Reg::Rdx]) {
        // Its index is compared with the bytes of a page.
        return (reads && bytes == 4 && disp == 0).then_some(()).ok_or("not an entry point");
    }
    if at(Reg::Rcx) {
        let entry = reads && bytes == 4 && disp % 4 == 0 && within(0, 4 * HALFWORDS as i64);
        let reservation = bytes == 8 && disp == i64::from(RESERVATION);
        return (entry || reservation).then_some(()).ok_or("neither an entry point nor the reservation");
    }
    Err("memory that no region needs")
}

/// Asserts that `region` does what a region may.
fn judge(region: &Region, shared: Shared) -> usize {
    let mut decoder = Decoder::with_ip(64, &region.code, u64::from(BASE), DecoderOptions::NONE);
    let instructions: Vec<Instruction> = decoder.iter().collect();
    let starts: Vec<u64> = instructions.iter().map(Instruction::ip).collect();
    let begins = |at: u64| starts.binary_search(&at).is_ok();
    let mut factory = InstructionInfoFactory::new();
    let mut last = Instruction::default();
    for instruction in &instructions {
        let fail = |what: &str| panic!("{what}: {instruction} at {:#x}", instruction.ip() - u64::from(BASE));
        if instruction.is_invalid() {
            fail("no instruction");
        }
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let to = instruction.near_branch_target();
                let out = [shared.leave, shared.dispatch].map(u64::from).contains(&to);
                if !begins(to) && !out {
                    fail("a jump to nowhere");
                }
            }
            FlowControl::IndirectBranch => {
                let adds_code = last.mnemonic() == Mnemonic::Add
                    && is(last.op0_register(), Reg::Rcx)
                    && is(last.memory_base(), Reg::Rsp)
                    && last.memory_displacement64() == cell::CODE.disp as u64;
                if !(adds_code && is(instruction.op0_register(), Reg::Rcx)) {
                    fail("a jump to what is no entry point");
                }
            }
            _ => fail("a way out that no region needs"),
        }
        let info = factory.info(instruction);
        for used in info.used_memory() {
            judge_memory(instruction, used).unwrap_or_else(fail);
        }
        for used in info.used_registers() {
            let written = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            let register = used.register();
            if written && [Reg::Rsp, Reg::Rbp, Reg::R13, Reg::R14].iter().any(|&kept| is(register, kept)) {
                fail("writes a register that regions keep");
            }
            let counts = matches!(instruction.mnemonic(), Mnemonic::Add | Mnemonic::Sub)
                && instruction.op_count() == 2
                && instruction.try_immediate(1).is_ok();
            if written && is(register, Reg::R15) && !counts {
                fail("writes the budget");
            }
        }
        last = *instruction;
    }
    // It does not run out at its end.
    assert!(matches!(last.flow_control(), FlowControl::UnconditionalBranch), "{last}");
    assert_eq!(last.next_ip(), u64::from(BASE) + region.code.len() as u64);
    for (at, entry) in &region.entries {
        assert!(begins(u64::from(BASE + entry)), "the entry of halfword {at} is within an instruction");
    }
    instructions.len()
}

/// Asserts that no way through `plan` executes more than has been taken from the budget, or gives back more.
fn judge_budget(plan: &Plan) {
    for (index, block) in plan.blocks.iter().enumerate() {
        let Budget { before, here, rest } = block.budget;
        let length = plan.insns(index).len() as i32;
        assert!(before >= 0 && here >= 0 && rest >= 0 && before + here == length + rest, "{block:?}");
        assert!(before + here <= BLOCK_MAX as i32 && !(plan.is_entered(index) && before > 0), "{block:?}");
        for to in block.ways.into_iter().flatten() {
            assert!(rest >= plan.blocks[to].budget.before, "{block:?} to {:?}", plan.blocks[to]);
        }
    }
}

#[test]
fn regions_jump_and_reach_only_where_they_may() {
    let first = std::env::var("LOCKSTEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    let shared = routines().shared;
    let place = Place { shared, base: BASE, entries: ENTRIES };
    let mut planner = Planner::new();
    let (mut regions, mut instructions) = (0, 0);
    for seed in first..first + 60 {
        let mut prng = Prng::new(seed);
        let bytes = page(&mut prng);
        let host = if seed % 4 == 0 { BASIC } else { FULL };
        for entry in (0..HALFWORDS as u16).step_by(37) {
            let code = Code { bytes: &bytes, extensions: Extensions::ALL };
            if let Some(plan) = planner.plan(code, entry, |insn| translates(insn, host)) {
                judge_budget(&plan);
                instructions += judge(&emit(&plan, host, &place), shared);
                regions += 1;
            }
        }
    }
    assert!(regions > 1000 && instructions > 100_000, "{regions} regions of {instructions} instructions");
}
