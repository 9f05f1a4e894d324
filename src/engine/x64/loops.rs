//! Loops of a region: how deep each block is in them, and small ones unrolled, so that several rounds are
//! counted at once.
//!
//! A loop that is unrolled stands several times in a row, each time leading to the next and the last one to
//! the first. It can be left from each, but what leads into it from elsewhere leads to the first.

use super::plan::{Plan, REGION_MAX, is_call};
use crate::isa::Op;

/// Instructions that a loop which is unrolled has at most.
const LOOP_MAX: usize = 16;
/// What it has at most once it is unrolled, and how often it stands there at most.
const UNROLLED_MAX: usize = 32;
const ROUNDS_MAX: usize = 8;

/// Blocks from `first` to `last`, which leads to `first`.
#[derive(Clone, Copy, Debug)]
struct Loop {
    first: usize,
    last: usize,
    /// How often it will stand there.
    rounds: usize,
}

impl Loop {
    fn blocks(self) -> usize {
        self.last + 1 - self.first
    }
}

/// How a walk through the blocks from the entries met them.
pub struct Walk {
    /// Blocks, each behind those that it leads to, ways back aside.
    pub order: Vec<usize>,
    /// Ways back, from and to: to a block that the walk had not left yet. Every circle has one.
    pub back: Vec<(usize, usize)>,
}

impl Plan {
    /// Walks through all blocks from the entries.
    pub(super) fn walk(&self) -> Walk {
        #[derive(Clone, Copy, PartialEq)]
        enum Met {
            Not,
            Entered,
            Left,
        }
        let mut met = vec![Met::Not; self.blocks.len()];
        let mut walk = Walk { order: Vec::with_capacity(self.blocks.len()), back: Vec::new() };
        let mut path = Vec::new();
        for &(_, entry) in &self.entries {
            if met[entry] != Met::Not {
                continue;
            }
            met[entry] = Met::Entered;
            path.push((entry, 0));
            while let Some((block, done)) = path.last_mut() {
                let (from, way) = (*block, *done);
                *done += 1;
                match self.blocks[from].ways.get(way) {
                    Some(&Some(to)) => match met[to] {
                        Met::Not => {
                            met[to] = Met::Entered;
                            path.push((to, 0));
                        }
                        Met::Entered => walk.back.push((from, to)),
                        Met::Left => {}
                    },
                    Some(None) => {}
                    None => {
                        met[from] = Met::Left;
                        walk.order.push(from);
                        path.pop();
                    }
                }
            }
        }
        walk
    }

    /// Where block `index` leads back to by its jump, if that is no call.
    fn back_to(&self, index: usize) -> Option<usize> {
        let to = self.blocks[index].ways[0].filter(|&to| to <= index)?;
        (!self.ends_with_call(index)).then_some(to)
    }

    fn ends_with_call(&self, index: usize) -> bool {
        let (_, insn) = self.last(index);
        insn.op == Op::Jal && is_call(&insn)
    }

    /// Finds how many loops each block is in: those of one first block are one loop.
    pub(super) fn find_loops(&mut self) {
        let Walk { order, mut back } = self.walk();
        back.retain(|(from, _)| !self.ends_with_call(*from));
        back.sort_unstable_by_key(|(_, to)| *to);
        for ways in back.chunk_by(|a, b| a.1 == b.1) {
            let first = ways[0].1;
            let mut within = vec![false; self.blocks.len()];
            ways.iter().for_each(|(from, _)| within[*from] = true);
            let mut again = true;
            while std::mem::take(&mut again) {
                for &block in order.iter().filter(|block| **block != first) {
                    let ways = self.blocks[block].ways;
                    let leads = ways.into_iter().flatten().any(|to| to != first && within[to]);
                    again |= leads && !std::mem::replace(&mut within[block], true);
                }
            }
            within[first] = true;
            let within = self.blocks.iter_mut().zip(within).filter(|(_, within)| *within);
            within.for_each(|(block, _)| block.depth += 1);
        }
    }

    /// Unrolls small loops that have no other within them.
    pub(super) fn unroll(&mut self) {
        let loops = self.loops_to_unroll();
        if loops.is_empty() {
            return;
        }
        let old = std::mem::take(&mut self.blocks);
        // By old block: where it stands now.
        let mut places = Vec::with_capacity(old.len());
        let mut moved = 0;
        let mut following = loops.iter().peekable();
        for index in 0..old.len() {
            places.push(index + moved);
            if let Some(found) = following.next_if(|found| found.last == index) {
                moved += (found.rounds - 1) * found.blocks();
            }
        }
        let mut put = |index: usize, round: usize, within: Option<&Loop>| {
            let mut block = old[index].clone();
            block.ways = block.ways.map(|way| {
                let to = way?;
                let Some(found) = within.filter(|found| (found.first..=found.last).contains(&to)) else {
                    return Some(places[to]);
                };
                let round = if to == found.first { (round + 1) % found.rounds } else { round };
                Some(places[to] + round * found.blocks())
            });
            self.blocks.push(block);
        };
        let mut following = loops.iter().peekable();
        let mut index = 0;
        while index < old.len() {
            match following.next_if(|found| found.first == index) {
                Some(found) => {
                    for round in 0..found.rounds {
                        (found.first..=found.last).for_each(|index| put(index, round, Some(found)));
                    }
                    index = found.last + 1;
                }
                None => {
                    put(index, 0, None);
                    index += 1;
                }
            }
        }
        self.entries.iter_mut().for_each(|(_, block)| *block = places[*block]);
    }

    fn loops_to_unroll(&self) -> Vec<Loop> {
        let mut found: Vec<Loop> = Vec::new();
        let mut added = 0;
        for last in 0..self.blocks.len() {
            let Some(first) = self.back_to(last) else { continue };
            if found.last().is_some_and(|found| first <= found.last) {
                continue;
            }
            let length = self.insns_of(first..last + 1).take(LOOP_MAX + 1).count();
            if length > LOOP_MAX || !self.is_simple(first, last) {
                continue;
            }
            let rounds = (UNROLLED_MAX / length).min(ROUNDS_MAX);
            added += (rounds - 1) * length;
            if added > REGION_MAX {
                break;
            }
            found.push(Loop { first, last, rounds });
        }
        found
    }

    /// Do blocks `first..=last` lead back among themselves by no other way than from `last` to `first`, and does
    /// `first` lead to all of them? A block between them that is reached from elsewhere alone would be dead in each copy.
    fn is_simple(&self, first: usize, last: usize) -> bool {
        let mut reached = vec![false; last + 1 - first];
        reached[0] = true;
        for from in first..=last {
            for to in self.blocks[from].ways.into_iter().flatten() {
                match to {
                    _ if !(first..=last).contains(&to) || (from, to) == (last, first) => {}
                    _ if to <= from => return false,
                    _ => reached[to - first] |= reached[from - first],
                }
            }
        }
        reached.into_iter().all(|reached| reached)
    }
}
