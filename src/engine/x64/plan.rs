//! What to translate at once: a region, which is code of one page that is reached from one place by branches
//! and jumps within the page; and which guest registers it keeps in host registers.

use std::ops::Range;

use super::asm::{Reg, Xmm};
use crate::engine::interpreter::HALFWORDS;
use crate::isa::{Extensions, Insn, Op, decode};

/// Instructions of a region.
pub const REGION_MAX: usize = 400;
/// Instructions of a block: what is interpreted at most where a run stops within one.
pub const BLOCK_MAX: usize = 48;

/// The host registers that guest registers live in.
pub const HOMES: [Reg; 8] = [Reg::Rbx, Reg::Rsi, Reg::Rdi, Reg::R8, Reg::R9, Reg::R10, Reg::R11, Reg::R12];
/// xmm0 and xmm1 are scratch.
const FLOAT_HOMES: u8 = 14;

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a branch or a jump.
    Jump,
    /// It goes on at [`Block::next`].
    Fall,
    /// The instruction at [`Block::next`] is not the translator's.
    Slow,
    /// The instruction at [`Block::next`] cannot be kept: it straddles two pages or is illegal.
    Lost,
}

/// Instructions that are executed one after the other. Positions are halfwords of the page.
#[derive(Clone, Debug)]
pub struct Block {
    pub at: u16,
    /// Which of the plan's instructions.
    insns: Range<usize>,
    /// The position after the last instruction.
    pub next: u16,
    pub end: End,
    /// The blocks of the region that it leads to by itself: by its jump, and by going on.
    pub ways: [Option<usize>; 2],
    /// How many loops it is in.
    pub depth: u32,
    /// It is reached from the block before it alone.
    pub chained: bool,
    pub budget: Budget,
}

/// What a block takes from the budget, in instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// For it and what follows it: what every way to it has taken already.
    pub before: i32,
    /// The same where it begins.
    pub here: i32,
    /// What of all this is for what follows it.
    pub rest: i32,
}

#[derive(Debug)]
pub struct Plan {
    insns: Vec<(u16, Insn)>,
    /// As they are emitted; none is empty. Ascending by position, but behind the last block of a loop there
    /// may be copies of the whole loop.
    pub blocks: Vec<Block>,
    /// Where the region is entered from outside: where it was begun, behind calls, and behind instructions
    /// that are executed elsewhere. By position, with the block, ascending.
    pub entries: Vec<(u16, usize)>,
    /// By guest register: its home.
    pub homes: [Option<Reg>; 32],
    pub float_homes: [Option<Xmm>; 32],
}

/// What an instruction is to the planner.
enum Kind {
    Plain,
    Branch,
    Jal,
    Jalr,
    Slow,
}

fn kind(insn: &Insn, translates: impl Fn(&Insn) -> bool) -> Kind {
    match insn.op {
        op if op.is_branch() => Kind::Branch,
        Op::Jal => Kind::Jal,
        Op::Jalr => Kind::Jalr,
        _ if translates(insn) => Kind::Plain,
        _ => Kind::Slow,
    }
}

/// The code of a page.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    pub bytes: &'a [u8],
    /// What it is decoded for.
    pub extensions: Extensions,
}

/// The instruction at halfword `at` of `page`; none if it straddles two pages or is illegal.
fn insn_at(page: Code<'_>, at: usize) -> Option<Insn> {
    let bytes = page.bytes.get(2 * at..)?;
    let low = u16::from_le_bytes(*bytes.first_chunk::<2>()?);
    let insn = match bytes.first_chunk::<4>() {
        Some(word) => decode(u32::from_le_bytes(*word), page.extensions),
        None if crate::isa::decode::is_wide(low) => return None,
        None => decode(low.into(), page.extensions),
    };
    (insn.op != Op::Illegal).then_some(insn)
}

/// The position that a branch or `jal` at `at` leads to, when that is on this page.
pub fn target(at: u16, insn: &Insn) -> Option<u16> {
    let target = i64::from(at) + i64::from(insn.imm / 2);
    (0..HALFWORDS as i64).contains(&target).then_some(target as u16)
}

/// Does this jump leave a return address, so that its callee will probably come back behind it?
pub fn is_call(insn: &Insn) -> bool {
    matches!(insn.rd, 1 | 5)
}

/// Makes plans; keeps its memory from one to the next.
pub struct Planner {
    /// By position: the instruction there, when the plan has it.
    insns: Vec<Option<Insn>>,
    /// By position: a block begins there.
    leads: Vec<bool>,
    /// The positions of which `insns` or `leads` has anything.
    known: Vec<u16>,
}

impl Planner {
    pub fn new() -> Self {
        // Two past the end, never used, for an instruction that ends there.
        Self { insns: vec![None; HALFWORDS + 2], leads: vec![false; HALFWORDS + 2], known: Vec::new() }
    }

    /// The region of `page` that begins at halfword `entry`. None when its first instruction is not the
    /// translator's.
    pub fn plan(
        &mut self,
        page: Code<'_>,
        entry: u16,
        translates: impl Fn(&Insn) -> bool + Copy,
    ) -> Option<Plan> {
        let mut entries = self.discover(page, entry, translates);
        let mut plan = self.form_blocks(page, translates);
        for at in self.known.drain(..) {
            self.insns[usize::from(at)] = None;
            self.leads[usize::from(at)] = false;
        }
        entries.sort_unstable();
        entries.dedup();
        let entered = entries.into_iter().filter_map(|at| Some((at, plan.block_at(at)?)));
        plan.entries = entered.collect();
        plan.find_ways();
        plan.find_loops();
        plan.choose_homes();
        plan.unroll();
        plan.find_chains();
        plan.budget();
        plan.entries.iter().any(|(at, _)| *at == entry).then_some(plan)
    }

    fn lead(&mut self, at: u16) {
        self.leads[usize::from(at)] = true;
        self.known.push(at);
    }

    /// Follows the code from `entry`, as far as a region reaches. The positions where it is entered.
    fn discover(
        &mut self,
        page: Code<'_>,
        entry: u16,
        translates: impl Fn(&Insn) -> bool + Copy,
    ) -> Vec<u16> {
        let mut entries = vec![entry];
        let mut total = 0;
        // Behind instructions that are executed elsewhere: when nothing nearer is left.
        let mut later = Vec::new();
        let mut work = vec![entry];
        while let Some(start) = work.pop().or_else(|| later.pop()) {
            let mut at = start;
            self.lead(at);
            while total < REGION_MAX && usize::from(at) < HALFWORDS {
                if self.insns[usize::from(at)].is_some() {
                    self.lead(at);
                    break;
                }
                let Some(insn) = insn_at(page, at.into()) else { break };
                let next = at + u16::from(insn.len / 2);
                let inside = usize::from(next) < HALFWORDS;
                let kind = kind(&insn, translates);
                if matches!(kind, Kind::Slow) {
                    if inside && !matches!(insn.op, Op::Mret | Op::Sret) {
                        entries.push(next);
                        later.push(next);
                    }
                    break;
                }
                self.insns[usize::from(at)] = Some(insn);
                self.known.push(at);
                total += 1;
                match kind {
                    Kind::Plain => at = next,
                    Kind::Branch => {
                        work.extend(target(at, &insn));
                        self.lead(next);
                        at = next;
                    }
                    Kind::Jal | Kind::Jalr | Kind::Slow => {
                        if inside && is_call(&insn) {
                            entries.push(next);
                            work.push(next);
                        }
                        if matches!(kind, Kind::Jal) {
                            work.extend(target(at, &insn));
                        }
                        break;
                    }
                }
            }
        }
        entries
    }

    fn form_blocks(&mut self, page: Code<'_>, translates: impl Fn(&Insn) -> bool + Copy) -> Plan {
        let mut starts: Vec<u16> =
            self.known.iter().copied().filter(|&at| self.leads[usize::from(at)]).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.reverse();
        let (mut blocks, mut insns) = (Vec::new(), Vec::new());
        while let Some(start) = starts.pop() {
            let first = insns.len();
            let mut at = start;
            let end = loop {
                if at != start && self.leads[usize::from(at)] {
                    break End::Fall;
                }
                let Some(insn) = self.insns[usize::from(at)] else {
                    if usize::from(at) == HALFWORDS {
                        break End::Fall;
                    }
                    break match insn_at(page, at.into()) {
                        Some(insn) if matches!(kind(&insn, translates), Kind::Slow) => End::Slow,
                        // There was no room for it.
                        Some(_) => End::Fall,
                        None => End::Lost,
                    };
                };
                if insns.len() - first == BLOCK_MAX {
                    self.lead(at);
                    starts.push(at);
                    break End::Fall;
                }
                insns.push((at, insn));
                at += u16::from(insn.len / 2);
                if !matches!(kind(&insn, translates), Kind::Plain) {
                    break End::Jump;
                }
            };
            if insns.len() > first {
                let insns = first..insns.len();
                let (ways, budget) = ([None; 2], Budget::default());
                blocks.push(Block {
                    at: start,
                    insns,
                    next: at,
                    end,
                    ways,
                    depth: 0,
                    chained: false,
                    budget,
                });
            }
        }
        blocks.sort_by_key(|block: &Block| block.at);
        Plan { insns, blocks, entries: Vec::new(), homes: [None; 32], float_homes: [None; 32] }
    }
}

impl Plan {
    /// The instructions of block `index`, and where they are.
    pub fn insns(&self, index: usize) -> &[(u16, Insn)] {
        &self.insns[self.blocks[index].insns.clone()]
    }

    /// Those of blocks `chain`, one block after the other.
    pub fn insns_of(&self, chain: Range<usize>) -> impl Iterator<Item = &Insn> {
        chain.flat_map(|index| self.insns(index)).map(|(_, insn)| insn)
    }

    /// Is block `index` entered from outside?
    pub fn is_entered(&self, index: usize) -> bool {
        self.entries.iter().any(|(_, block)| *block == index)
    }

    /// The index of the block that begins at `at`, while there are no copies.
    fn block_at(&self, at: u16) -> Option<usize> {
        self.blocks.binary_search_by_key(&at, |block| block.at).ok()
    }

    pub fn last(&self, index: usize) -> (u16, Insn) {
        self.insns[self.blocks[index].insns.end - 1]
    }

    fn find_ways(&mut self) {
        for index in 0..self.blocks.len() {
            let Block { next, end, .. } = self.blocks[index];
            let (at, insn) = self.last(index);
            let jump = || target(at, &insn).and_then(|at| self.block_at(at));
            let next = || self.block_at(next);
            self.blocks[index].ways = match end {
                End::Slow | End::Lost => [None; 2],
                End::Fall => [None, next()],
                End::Jump if insn.op == Op::Jalr => [None; 2],
                End::Jump if insn.op == Op::Jal => [jump(), None],
                End::Jump => [jump(), next()],
            };
        }
    }

    fn find_chains(&mut self) {
        let mut reached = vec![0u32; self.blocks.len()];
        self.entries.iter().for_each(|(_, block)| reached[*block] += 1);
        let ways = self.blocks.iter().flat_map(|block| block.ways);
        ways.flatten().for_each(|block| reached[block] += 1);
        for (index, reached) in reached.into_iter().enumerate().skip(1) {
            let follows = self.blocks[index - 1].ways.contains(&Some(index));
            self.blocks[index].chained = follows && reached == 1;
        }
    }

    /// The registers that are used most, in loops before all, get homes.
    fn choose_homes(&mut self) {
        let (mut uses, mut float_uses) = ([0u64; 32], [0u64; 32]);
        for (index, block) in self.blocks.iter().enumerate() {
            let weight = 1 << (3 * block.depth.min(5));
            for (_, insn) in self.insns(index) {
                let named = operands(insn);
                for n in named.x.into_iter().flatten() {
                    uses[usize::from(n)] += weight;
                }
                for n in named.f.into_iter().flatten() {
                    float_uses[usize::from(n)] += weight;
                }
            }
        }
        uses[0] = 0;
        for (n, home) in best(&uses, HOMES.len()).into_iter().zip(HOMES) {
            self.homes[n] = Some(home);
        }
        for (n, home) in best(&float_uses, FLOAT_HOMES.into()).into_iter().zip(2..) {
            self.float_homes[n] = Some(Xmm(home));
        }
    }
}

/// The `count` registers used most, of those used more than once.
fn best(uses: &[u64; 32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..32).filter(|&n| uses[n] > 1).collect();
    order.sort_by_key(|&n| (std::cmp::Reverse(uses[n]), n));
    order.truncate(count);
    order
}

/// The registers that an instruction names: the destination first, then the sources.
pub struct Operands {
    pub x: [Option<u8>; 3],
    pub f: [Option<u8>; 4],
}

pub fn operands(insn: &Insn) -> Operands {
    use Op::*;
    let none = Operands { x: [None; 3], f: [None; 4] };
    let (rd, a, b, c) = (Some(insn.rd), Some(insn.rs1), Some(insn.rs2), Some(insn.rs3));
    match insn.op {
        Lui | Auipc | Jal => Operands { x: [rd, None, None], ..none },
        Jalr | Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu | Addi | Slti | Sltiu | Xori | Ori | Andi | Slli
        | Srli | Srai | Addiw | Slliw | Srliw | Sraiw => Operands { x: [rd, a, None], ..none },
        Sb | Sh | Sw | Sd => Operands { x: [None, a, b], ..none },
        op if op.is_branch() => Operands { x: [None, a, b], ..none },
        Fence | FenceI => none,
        LrW | LrD => Operands { x: [rd, a, None], ..none },
        Flw | Fld => Operands { x: [None, a, None], f: [rd, None, None, None] },
        Fsw | Fsd => Operands { x: [None, a, None], f: [None, b, None, None] },
        FeqD | FltD | FleD | FeqS | FltS | FleS | FleqS | FltqS | FleqD | FltqD => {
            Operands { x: [rd, None, None], f: [None, a, b, None] }
        }
        FmvXD | FmvXW | FcvtWD | FcvtLD | FcvtWuD | FcvtLuD | FcvtWS | FcvtLS | FcvtWuS | FcvtLuS
        | FclassS | FclassD => Operands { x: [rd, None, None], f: [None, a, None, None] },
        FmvDX | FmvWX | FcvtDW | FcvtDWu | FcvtDL | FcvtDLu | FcvtSW | FcvtSWu | FcvtSL | FcvtSLu => {
            Operands { x: [None, a, None], f: [rd, None, None, None] }
        }
        FliS | FliD => Operands { x: [None; 3], f: [rd, None, None, None] },
        FsqrtD | FsqrtS | FcvtSD | FcvtDS | FroundS | FroundnxS | FroundD | FroundnxD => {
            Operands { x: [None; 3], f: [rd, a, None, None] }
        }
        FmaddD | FmsubD | FnmsubD | FnmaddD | FmaddS | FmsubS | FnmsubS | FnmaddS => {
            Operands { x: [None; 3], f: [rd, a, b, c] }
        }
        FaddD | FsubD | FmulD | FdivD | FsgnjD | FsgnjnD | FsgnjxD | FminD | FmaxD | FminmD | FmaxmD
        | FaddS | FsubS | FmulS | FdivS | FsgnjS | FsgnjnS | FsgnjxS | FminS | FmaxS | FminmS | FmaxmS => {
            Operands { x: [None; 3], f: [rd, a, b, None] }
        }
        _ => Operands { x: [rd, a, b], ..none },
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
