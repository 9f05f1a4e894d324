//! What to translate at once: a region, which is code of one page that is reached from one place by branches
//! and jumps within the page; and which guest registers it keeps in host registers.

use super::asm::{Reg, Xmm};
use crate::engine::interpreter::HALFWORDS;
use crate::isa::{Extensions, Insn, Op, decode};

/// Instructions of a region.
const REGION_MAX: usize = 400;
/// Instructions of a block: what is interpreted at most where a run stops within one.
const BLOCK_MAX: usize = 48;

/// The host registers that guest registers live in.
pub const HOMES: [Reg; 8] = [Reg::Rbx, Reg::Rsi, Reg::Rdi, Reg::R8, Reg::R9, Reg::R10, Reg::R11, Reg::R12];
/// xmm0 and xmm1 are scratch.
const FLOAT_HOMES: u8 = 14;

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a branch or a jump.
    Jump,
    /// It goes on at [`Block::next`], which is another block of the region or, if there was no room, is not.
    Fall,
    /// The instruction at [`Block::next`] is not the translator's.
    Slow,
    /// The instruction at [`Block::next`] cannot be kept: it straddles two pages or is illegal.
    Lost,
}

/// Instructions that are executed one after the other. Positions are halfwords of the page.
#[derive(Debug)]
pub struct Block {
    pub at: u16,
    pub insns: Vec<(u16, Insn)>,
    /// The position after the last instruction.
    pub next: u16,
    pub end: End,
}

#[derive(Debug)]
pub struct Plan {
    /// Ascending by `at`; none is empty.
    pub blocks: Vec<Block>,
    /// Where the region is entered from outside, by position: where it was begun, behind calls, and behind
    /// instructions that are executed elsewhere.
    pub entries: Vec<u16>,
    /// By block: it is reached from the block before it alone, which goes on to it without a jump.
    pub chained: Vec<bool>,
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
fn is_call(insn: &Insn) -> bool {
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
        let mut plan = Plan {
            blocks: self.form_blocks(page, translates),
            entries: Vec::new(),
            chained: Vec::new(),
            homes: [None; 32],
            float_homes: [None; 32],
        };
        for at in self.known.drain(..) {
            self.insns[usize::from(at)] = None;
            self.leads[usize::from(at)] = false;
        }
        entries.sort_unstable();
        entries.dedup();
        entries.retain(|&at| plan.block_at(at).is_some());
        plan.entries = entries;
        plan.find_chains();
        plan.choose_homes();
        plan.entries.contains(&entry).then_some(plan)
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

    fn form_blocks(&mut self, page: Code<'_>, translates: impl Fn(&Insn) -> bool + Copy) -> Vec<Block> {
        let mut starts: Vec<u16> =
            self.known.iter().copied().filter(|&at| self.leads[usize::from(at)]).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.reverse();
        let mut blocks = Vec::new();
        while let Some(start) = starts.pop() {
            let mut insns = Vec::new();
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
                if insns.len() == BLOCK_MAX {
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
            if !insns.is_empty() {
                blocks.push(Block { at: start, insns, next: at, end });
            }
        }
        blocks.sort_by_key(|block| block.at);
        blocks
    }
}

impl Plan {
    /// The index of the block that begins at `at`.
    pub fn block_at(&self, at: u16) -> Option<usize> {
        self.blocks.binary_search_by_key(&at, |block| block.at).ok()
    }

    /// The blocks of the region that block `index` leads to by itself: by its jump, and by going on.
    pub fn successors(&self, index: usize) -> [Option<usize>; 2] {
        let block = &self.blocks[index];
        let next = || self.block_at(block.next);
        match (block.end, block.insns.last()) {
            (End::Slow | End::Lost, _) | (_, None) => [None; 2],
            (End::Jump, Some((_, Insn { op: Op::Jalr, .. }))) => [None; 2],
            (End::Jump, Some((at, insn))) => {
                let target = target(*at, insn).and_then(|at| self.block_at(at));
                [target, if insn.op == Op::Jal { None } else { next() }]
            }
            (End::Fall, _) => [None, next()],
        }
    }

    fn find_chains(&mut self) {
        let mut reached = vec![0u32; self.blocks.len()];
        let mut follows = vec![false; self.blocks.len()];
        for at in &self.entries {
            self.block_at(*at).into_iter().for_each(|block| reached[block] += 1);
        }
        for index in 0..self.blocks.len() {
            let [jump, next] = self.successors(index);
            jump.into_iter().chain(next).for_each(|block| reached[block] += 1);
            if let Some(next) = next {
                follows[next] = next == index + 1;
            }
        }
        self.chained =
            reached.iter().zip(follows).map(|(&reached, follows)| reached == 1 && follows).collect();
    }

    /// The registers that are used most, in loops before all, get homes.
    fn choose_homes(&mut self) {
        // By block: how many loops it is in.
        let mut depth = vec![0u32; self.blocks.len()];
        for (from, block) in self.blocks.iter().enumerate() {
            let Some((at, insn)) = block.insns.last() else { continue };
            if block.end != End::Jump || insn.op == Op::Jalr {
                continue;
            }
            if let Some(to) = target(*at, insn).and_then(|at| self.block_at(at))
                && to <= from
                && !(insn.op == Op::Jal && is_call(insn))
            {
                depth[to..=from].iter_mut().for_each(|depth| *depth += 1);
            }
        }
        let (mut uses, mut float_uses) = ([0u64; 32], [0u64; 32]);
        for (block, depth) in self.blocks.iter().zip(&depth) {
            let weight = 1 << (3 * (*depth).min(5));
            for (_, insn) in &block.insns {
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
