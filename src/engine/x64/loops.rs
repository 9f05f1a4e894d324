//! Ways through the blocks of a region, and how deep in loops each block is.

use super::plan::{Plan, is_call};
use crate::isa::Op;

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
}
