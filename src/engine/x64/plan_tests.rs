//! What is unrolled, and what is taken from the budget where.

use super::*;
use crate::engine::x64::{emit::Host, translates};

const HOST: Host = Host { bmi1: true, bmi2: true, lzcnt: true, popcnt: true, fma: true };
/// `addi x5, x5, -1`, and `ret`.
const STEP: u32 = 0xfff2_8293;
const RET: u32 = 0x0000_8067;

/// `beq` or `bne` of register `rs1` and x0.
fn branch(not: bool, rs1: u32, offset: i32) -> u32 {
    let bit = |from: u32, to: u32, count: u32| (offset as u32 >> from & ((1 << count) - 1)) << to;
    0x63 | u32::from(not) << 12 | rs1 << 15 | bit(1, 8, 4) | bit(5, 25, 6) | bit(11, 7, 1) | bit(12, 31, 1)
}

/// The region of `code`, entered at its beginning.
fn plan(code: &[u32]) -> Plan {
    let mut bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(2 * HALFWORDS, 0);
    let code = Code { bytes: &bytes, extensions: Extensions::ALL };
    Planner::new().plan(code, 0, |insn| translates(insn, HOST)).expect("it begins with a region")
}

fn budget(before: i32, here: i32, rest: i32) -> Budget {
    Budget { before, here, rest }
}

fn budgets(plan: &Plan) -> Vec<Budget> {
    plan.blocks.iter().map(|block| block.budget).collect()
}

#[test]
fn a_small_loop_is_unrolled_and_takes_from_the_budget_once_in_eight_rounds() {
    let plan = plan(&[STEP, branch(true, 5, -4), RET]);
    let round = |n| if n == 0 { budget(0, 16, 14) } else { budget(16 - 2 * n, 0, 14 - 2 * n) };
    let mut expected: Vec<Budget> = (0..8).map(round).collect();
    expected.push(budget(0, 1, 0));
    assert_eq!(budgets(&plan), expected);
    for n in 0..8 {
        assert_eq!((plan.blocks[n].at, plan.blocks[n].ways), (0, [Some((n + 1) % 8), Some(8)]), "{n}");
    }
}

#[test]
fn where_both_ways_of_a_branch_meet_nothing_is_taken() {
    let plan = plan(&[STEP, branch(false, 5, 8), STEP, STEP, RET]);
    assert_eq!(budgets(&plan), [budget(0, 4, 2), budget(2, 1, 2), budget(2, 0, 0)]);
}

#[test]
fn a_way_out_of_a_loop_is_not_taken_for() {
    // Too long to be unrolled.
    let mut code = vec![STEP; 17];
    code.extend([branch(false, 6, 12), STEP, branch(true, 5, -76), STEP, RET]);
    let plan = plan(&code);
    assert_eq!(budgets(&plan), [budget(0, 20, 2), budget(2, 0, 0), budget(0, 2, 0)]);
}

#[test]
fn a_loop_is_entered_in_its_middle_and_unrolled_all_the_same() {
    // A jump into it.
    let plan = plan(&[0x0080_006f, STEP, STEP, branch(true, 5, -8), RET]);
    let taken: i32 = plan.blocks.iter().map(|block| block.budget.here).filter(|here| *here > 3).sum();
    let rounds = plan.blocks.iter().filter(|block| block.at == 4).count();
    assert_eq!((rounds, taken), (8, 24));
}

/// Only what comes from outside leads to the block between: in copies it would be code that nothing reaches.
#[test]
fn a_loop_around_a_block_that_is_not_of_it_stays_as_it_is() {
    let jump = 0x0080_006f;
    let plan = plan(&[branch(false, 6, 12), STEP, jump, STEP, branch(true, 5, -12), RET]);
    let at: Vec<u16> = plan.blocks.iter().map(|block| block.at).collect();
    assert_eq!(at, [0, 2, 6, 8, 10]);
}
