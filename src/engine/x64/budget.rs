//! How many instructions each block takes from the budget, and which it leaves to others.
//!
//! A block takes what it executes itself, less what every way to it has taken for it before, and more for
//! what follows it: what one of its ways on wants. On the other way more is taken, or the surplus given back.
//! So a block that all ways to it have paid takes nothing. No way on has less than the block there counts on.

use super::loops::Walk;
use super::plan::{BLOCK_MAX, Block, Budget, Plan};

/// What is taken at most for what is executed from a place on: so much is interpreted where the budget ends.
const TAKEN_MAX: i32 = BLOCK_MAX as i32;

impl Plan {
    /// Finds what each block takes.
    pub(super) fn budget(&mut self) {
        let length: Vec<i32> = (0..self.blocks.len()).map(|index| self.insns(index).len() as i32).collect();
        let Walk { order, back } = self.walk();
        let mut before = vec![0; self.blocks.len()];
        let mut rest = before.clone();
        // Nothing is taken before an entry, and on a way back.
        order.iter().for_each(|&block| before[block] = TAKEN_MAX);
        self.entries.iter().for_each(|(_, block)| before[*block] = 0);
        back.iter().for_each(|(_, to)| before[*to] = 0);
        let mut again = true;
        while std::mem::take(&mut again) {
            for &index in &order {
                let most = TAKEN_MAX - length[index];
                rest[index] = self.rest(index, &before).min(most);
                before[index] = before[index].min(length[index] + rest[index]);
            }
            for (block, rest) in self.blocks.iter().zip(&rest) {
                for to in block.ways.into_iter().flatten() {
                    again |= before[to] > *rest;
                    before[to] = before[to].min(*rest);
                }
            }
        }
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let (before, rest) = (before[index], rest[index]);
            block.budget = Budget { before, here: length[index] + rest - before, rest };
        }
    }

    /// What block `index` takes for what follows it: what the way by its jump wants, where several are
    /// likely, as the other can give back what is too much without a jump.
    fn rest(&self, index: usize, before: &[i32]) -> i32 {
        let Block { ways: [jump, next], depth, .. } = self.blocks[index];
        let stays = |to: &usize| self.blocks[*to].depth >= depth;
        let way = jump.filter(stays).or(next.filter(stays)).or(jump).or(next);
        way.map_or(0, |to| before[to])
    }
}
