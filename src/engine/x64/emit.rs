//! From a [`Plan`] to host code.
//!
//! Blocks begin by taking from the budget what the plan says; where one leaves early, or goes where less has
//! been taken for, a stub outside of the common path gives back what was not executed. A region leaves with
//! every guest register in memory.

use super::asm::{Alu, Asm, Cond, Label, Mem, Reg, Rm, Shift, Width, Xmm};
use super::bits;
use super::fp;
use super::layout::{self, BUDGET, Why, cell};
use super::plan::{Block, End, Plan, operands};
use super::windows::Windows;
use crate::engine::interpreter::HALFWORDS;
use crate::engine::planted::Planted;
use crate::engine::tlb::PAGE_MASK;
use crate::isa::{Insn, Op};

use Reg::{Rax, Rcx, Rdx};
use Width::{W32, W64};

/// Where the shared routines are, from the beginning of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared {
    /// Leaves with the pc in rax and [`Why`] in ecx.
    pub leave: u32,
    /// Goes on at the guest address in rax, if that is translated.
    pub dispatch: u32,
}

/// What the host has beyond the first x86-64.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub bmi1: bool,
    pub bmi2: bool,
    pub lzcnt: bool,
    pub popcnt: bool,
    pub fma: bool,
}

/// A translated region.
pub struct Region {
    pub code: Vec<u8>,
    /// Positions and where they are entered, from the beginning of `code`.
    pub entries: Vec<(u16, u32)>,
}

/// A way out of a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Leaves; the halfword of the next instruction is in rax.
    Leave(Why),
    /// Goes on at the address in rax.
    Dispatch,
    /// Goes on at this halfword of the page.
    Here(u16),
}

/// Guest registers, a bit for each: integer ones and floating-point ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    x: u32,
    f: u32,
}

impl Written {
    fn add(&mut self, insn: &Insn) {
        let named = operands(insn);
        self.x |= named.x[0].map_or(0, |rd| 1 << (rd & 31));
        self.f |= named.f[0].map_or(0, |rd| 1 << (rd & 31));
    }

    /// Adds those of `other`; were there any more?
    fn merge(&mut self, other: Self) -> bool {
        let old = *self;
        (self.x, self.f) = (self.x | other.x, self.f | other.f);
        *self != old
    }
}

/// By block: what may have been written since the region was entered.
fn written_before(plan: &Plan) -> Vec<Written> {
    let mut writes = vec![Written::default(); plan.blocks.len()];
    for (index, writes) in writes.iter_mut().enumerate() {
        plan.insns(index).iter().for_each(|(_, insn)| writes.add(insn));
    }
    let mut before = vec![Written::default(); plan.blocks.len()];
    let mut again = true;
    while std::mem::take(&mut again) {
        for (index, block) in plan.blocks.iter().enumerate() {
            let mut after = before[index];
            after.merge(writes[index]);
            for next in block.ways.into_iter().flatten() {
                again |= before[next].merge(after);
            }
        }
    }
    before
}

/// Where a block leaves the common path.
struct Stub {
    label: Label,
    why: Why,
    /// Instructions that were taken from the budget and not executed.
    refund: i32,
    /// The position of the next instruction.
    at: u16,
    written: Written,
    pending: fp::Pending,
}

/// Where a block goes on.
#[derive(Clone, Copy)]
struct Way {
    /// The block of the region.
    block: Option<usize>,
    /// Its position, or one beyond the page.
    halfword: i64,
}

/// A value or where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Zero,
    Reg(Reg),
    Mem(Mem),
}

pub(super) struct Emitter<'a> {
    pub(super) asm: Asm,
    pub(super) plan: &'a Plan,
    pub(super) host: Host,
    blocks: Vec<Label>,
    stubs: Vec<Stub>,
    /// The ways out that are used; each makes canonical what is pending, and stores the registers that may
    /// have been written.
    tails: Vec<(Tail, fp::Pending, Written, Label)>,
    /// By block: what may have been written since the region was entered, where the block begins.
    written_before: Vec<Written>,
    /// The same where the instruction under way begins.
    written: Written,
    /// The block under way; what has been taken for it and what follows it; and how much of that is behind.
    block: usize,
    taken: i32,
    done: i32,
    at: u16,
    /// Ways from block to block that give back: how much, and where to.
    refunds: Vec<(Label, i32, usize)>,
    /// What is known of the floating-point registers.
    pub(super) float: fp::State,
    /// By block: the same where it begins, unless the region begins with it.
    pub(super) flow: Vec<fp::State>,
    pub(super) fixups: Vec<fp::Fixup>,
    /// By block: the same block where nothing is known, for the way from outside.
    entered: Vec<Option<Label>>,
    /// Of the chain under way: its windows, and the number of the instruction under way.
    pub(super) windows: Windows,
    step: usize,
    /// The chain under way is the plain copy of one.
    plain: bool,
    /// Its first block.
    chain: usize,
    /// It is the way from outside.
    outside: bool,
    /// The block that is emitted next.
    next: Option<usize>,
    plains: Vec<Plain>,
    /// Of the plain copy under way: where it is entered, the last one first.
    wanted: Vec<(usize, Label)>,
}

/// Where a chain goes on in its plain copy.
struct Plain {
    label: Label,
    /// The first block of the chain.
    chain: usize,
    step: usize,
    float: fp::State,
    /// Of the way from outside.
    outside: bool,
}

/// Where a region will stand.
pub struct Place {
    pub shared: Shared,
    /// Bytes from the beginning of the cache.
    pub base: u32,
    /// The address of its page's entry points.
    pub entries: u64,
}

/// Translates `plan` for `place`.
pub fn emit(plan: &Plan, host: Host, place: &Place) -> Region {
    // Who has FMA has AVX.
    let mut asm = Asm::with_vex(host.fma);
    let blocks = plan.blocks.iter().map(|_| asm.label()).collect();
    let mut e = Emitter {
        asm,
        plan,
        host,
        blocks,
        stubs: Vec::new(),
        tails: Vec::new(),
        written_before: written_before(plan),
        written: Written::default(),
        block: 0,
        taken: 0,
        done: 0,
        at: 0,
        refunds: Vec::new(),
        float: fp::State::default(),
        flow: fp::flow(plan, host),
        fixups: Vec::new(),
        entered: vec![None; plan.blocks.len()],
        windows: Windows::default(),
        step: 0,
        plain: false,
        chain: 0,
        outside: false,
        next: None,
        plains: Vec::new(),
        wanted: Vec::new(),
    };
    let mut chain = 0;
    while chain < plan.blocks.len() {
        chain = e.chain(chain);
    }
    for &(_, index) in &plan.entries {
        if e.is_entered_apart(index) {
            e.block_from_outside(index);
        }
    }
    e.plain_copies();
    e.cold();
    let entries = e.entries();
    e.tails(place);
    Region { code: e.asm.finish(), entries }
}

impl Emitter<'_> {
    /// The number of the first block behind the chain that begins with block `first`.
    fn end_of_chain(&self, first: usize) -> usize {
        let goes_on = |&next: &usize| {
            self.plan.blocks.get(next).is_some_and(|block| block.chained) && !self.is_entered_apart(next - 1)
        };
        (first + 1..).find(|next| !goes_on(next)).unwrap_or(first + 1)
    }

    /// The blocks from `first` as far as they are a chain; the number of the block behind it.
    fn chain(&mut self, first: usize) -> usize {
        let end = self.end_of_chain(first);
        self.windows.find(self.plan.insns_of(first..end));
        (self.chain, self.step) = (first, 0);
        for index in first..end {
            self.next = Some(index + 1);
            let label = self.blocks[index];
            self.asm.bind(label);
            self.whole(index, self.flow[index]);
        }
        end
    }

    /// Is the way from outside to block `index` a copy of its own?
    fn is_entered_apart(&self, index: usize) -> bool {
        let known = self.flow[index] != fp::State::default() && !Planted::EntryUnchecked.is_on();
        known && self.plan.is_entered(index)
    }

    /// Block `index` once more, where nothing is known.
    fn block_from_outside(&mut self, index: usize) {
        self.windows.find(self.plan.insns_of(index..index + 1));
        (self.chain, self.step, self.outside, self.next) = (index, 0, true, None);
        let label = self.asm.label();
        self.asm.bind(label);
        self.entered[index] = Some(label);
        self.whole(index, fp::State::default());
        self.outside = false;
    }

    /// The window of the instruction under way, and whether it is the first to use it.
    pub(super) fn window(&self) -> Option<(usize, bool)> {
        if self.plain {
            return None;
        }
        let number = usize::from(self.windows.of[self.step]?);
        Some((number, self.windows.windows[number].first == self.step))
    }

    /// The instruction under way in the plain copy of this chain.
    pub(super) fn plain_from_here(&mut self) -> Label {
        let label = self.asm.label();
        let Self { chain, step, float, outside, .. } = *self;
        self.plains.push(Plain { label, chain, step, float, outside });
        label
    }

    /// The plain copies of chains, each from the first instruction that is wanted of it.
    fn plain_copies(&mut self) {
        self.plain = true;
        let plains = std::mem::take(&mut self.plains);
        for wanted in plains.chunk_by(|a, b| (a.chain, a.outside) == (b.chain, b.outside)) {
            let Plain { chain, step, float, outside, .. } = wanted[0];
            self.wanted = wanted.iter().map(|plain| (plain.step, plain.label)).rev().collect();
            let end = if outside { chain + 1 } else { self.end_of_chain(chain) };
            self.step = 0;
            for index in chain..end {
                let length = self.plan.insns(index).len();
                if self.step + length <= step {
                    self.step += length;
                    continue;
                }
                self.next = (index + 1 < end).then_some(index + 1);
                if self.step <= step {
                    // Its common path has counted the block.
                    self.rest(index, step - self.step, float);
                } else {
                    self.whole(index, self.flow[index]);
                }
            }
        }
    }

    /// Block `index`, where `known` is.
    fn whole(&mut self, index: usize, known: fp::State) {
        self.begin(index, known);
        let here = self.plan.blocks[index].budget.here;
        if here > 0 {
            let here = here + i32::from(Planted::ChargeOffByOne.is_on());
            self.asm.alu_imm(Alu::Sub, W64, BUDGET, here);
            let spent = self.stub(Why::Spent);
            self.asm.jcc(Cond::Below, spent);
        }
        self.insns(index, 0);
    }

    /// Block `index` without its first `skip` instructions, behind which `known` is.
    fn rest(&mut self, index: usize, skip: usize, known: fp::State) {
        self.begin(index, known);
        self.done = if Planted::PlainRefundsAll.is_on() { 0 } else { skip as i32 };
        self.step += skip;
        self.plan.insns(index)[..skip].iter().for_each(|(_, insn)| self.written.add(insn));
        self.insns(index, skip);
    }

    fn begin(&mut self, index: usize, known: fp::State) {
        let Block { at, budget, .. } = self.plan.blocks[index];
        (self.block, self.at, self.done) = (index, at, 0);
        self.taken = budget.before + budget.here;
        self.written = self.written_before[index];
        self.float = known;
    }

    /// The instructions of block `index` from number `first` on, and where it goes from there.
    fn insns(&mut self, index: usize, first: usize) {
        let plan = self.plan;
        for &(at, insn) in &plan.insns(index)[first..] {
            self.at = at;
            while let Some((_, label)) = self.wanted.pop_if(|(step, _)| *step == self.step) {
                self.asm.bind(label);
            }
            match insn.op {
                Op::Jal => self.jal(&insn),
                Op::Jalr => self.jalr(&insn),
                op if op.is_branch() => self.branch(&insn),
                _ => self.insn(&insn),
            }
            self.written.add(&insn);
            self.done += 1;
            self.step += 1;
        }
        let Block { next, end, ways, .. } = plan.blocks[index];
        self.at = next;
        match end {
            End::Jump => {}
            End::Fall => self.go_on(Way { block: ways[1], halfword: next.into() }),
            End::Slow => self.go_cold(Why::Slow),
            End::Lost => self.go_cold(Why::Lost),
        }
    }

    /// What has been taken for more than is executed on the way from the block under way to `to`.
    fn surplus(&self, to: Option<usize>) -> i32 {
        let before = to.map_or(0, |to| self.plan.blocks[to].budget.before);
        let surplus = self.plan.blocks[self.block].budget.rest - before;
        debug_assert!(surplus >= 0);
        match surplus {
            _ if Planted::SurplusKept.is_on() => 0,
            1.. if Planted::SurplusOffByOne.is_on() => surplus - 1,
            _ => surplus,
        }
    }

    fn give_back(&mut self, instructions: i32) {
        if instructions != 0 {
            self.asm.alu_imm(Alu::Add, W64, BUDGET, instructions);
        }
    }

    /// On to where `way` leads, which may be the block that is emitted next.
    fn go_on(&mut self, way: Way) {
        self.give_back(self.surplus(way.block));
        match way.block {
            Some(block) => {
                self.settle_for(block);
                if way.block != self.next {
                    let label = self.blocks[block];
                    self.asm.jmp(label);
                }
            }
            None => self.go_out(way.halfword),
        }
    }

    /// Where block `to` is entered from the block under way by a branch.
    fn label_of(&mut self, to: usize) -> Label {
        let surplus = self.surplus(Some(to));
        if surplus == 0 {
            return self.blocks[to];
        }
        let label = self.asm.label();
        self.refunds.push((label, surplus, to));
        label
    }

    /// To an address outside of the region: `halfword` of this page, or beyond it.
    fn go_out(&mut self, halfword: i64) {
        let known = self.float;
        self.settle_all();
        // For what goes another way.
        self.float = known;
        if let Ok(at @ ..HALFWORDS) = usize::try_from(halfword) {
            return self.leave_by(Tail::Here(at as u16), fp::Pending::default());
        }
        self.asm.mov(W64, Rax, cell::PAGE);
        if halfword != 0 {
            self.asm.alu_imm(Alu::Add, W64, Rax, (2 * halfword) as i32);
        }
        self.leave_by(Tail::Dispatch, fp::Pending::default());
    }

    fn go_cold(&mut self, why: Why) {
        let label = self.stub(why);
        self.asm.jmp(label);
    }

    /// By the way out `tail` with what has been written by now, once what is `pending` is settled.
    fn leave_by(&mut self, tail: Tail, pending: fp::Pending) {
        let written = if Planted::WrittenForgotten.is_on() { Written::default() } else { self.written };
        let wanted = (tail, pending, written);
        let label = match self.tails.iter().rev().find(|known| (known.0, known.1, known.2) == wanted) {
            Some(known) => known.3,
            None => {
                let label = self.asm.label();
                self.tails.push((tail, pending, written, label));
                label
            }
        };
        self.asm.jmp(label);
    }

    /// Leaves before the instruction under way.
    pub(super) fn stub(&mut self, why: Why) -> Label {
        let budget = self.plan.blocks[self.block].budget;
        let kept = match why {
            Why::Spent if Planted::BeforeKept.is_on() => budget.before,
            Why::Slow if Planted::RestKept.is_on() => budget.rest,
            _ => 0,
        };
        let label = self.asm.label();
        self.stubs.push(Stub {
            label,
            why,
            refund: self.taken - kept - self.done,
            at: self.at,
            written: self.written,
            pending: self.float.pending,
        });
        label
    }

    fn cold(&mut self) {
        self.fix_floats();
        for (label, surplus, to) in std::mem::take(&mut self.refunds) {
            self.asm.bind(label);
            self.give_back(surplus);
            let label = self.blocks[to];
            self.asm.jmp(label);
        }
        for Stub { label, why, refund, at, written, pending } in std::mem::take(&mut self.stubs) {
            self.asm.bind(label);
            let refund = match refund {
                _ if Planted::RefundForgotten.is_on() && why == Why::Slow => 0,
                1.. if Planted::RefundOffByOne.is_on() && why == Why::Slow => refund - 1,
                _ => refund,
            };
            self.give_back(refund);
            self.asm.mov_imm(Rax, 2 * u64::from(at));
            self.written = written;
            self.leave_by(Tail::Leave(why), pending);
        }
    }

    fn entries(&mut self) -> Vec<(u16, u32)> {
        let mut entries = Vec::new();
        for &(at, block) in &self.plan.entries {
            entries.push((at, self.asm.len() as u32));
            for n in 0..32u8 {
                if let Some(home) = self.plan.homes[usize::from(n)]
                    && !(Planted::RegisterNotLoaded.is_on() && home == Reg::R9)
                {
                    self.asm.mov(W64, home, layout::x(n));
                }
                if let Some(home) = self.plan.float_homes[usize::from(n)] {
                    self.asm.load_double(home, layout::f(n));
                }
            }
            let label = self.entered[block].unwrap_or(self.blocks[block]);
            self.asm.jmp(label);
        }
        entries
    }

    fn store_written(&mut self, written: Written) {
        let mut left = written.x | written.f;
        while left != 0 {
            let n = left.trailing_zeros() as u8;
            left &= left - 1;
            if let Some(home) = self.plan.homes[usize::from(n)]
                && written.x & 1 << n != 0
                && !(Planted::RegisterNotStored.is_on() && home == Reg::R8)
            {
                self.asm.store(W64, layout::x(n), home);
            }
            if let Some(home) = self.plan.float_homes[usize::from(n)]
                && written.f & 1 << n != 0
                && !(Planted::FloatNotStored.is_on() && home == Xmm(5))
            {
                self.asm.store_double(layout::f(n), home);
            }
        }
    }

    fn tails(&mut self, place: &Place) {
        let outside = |to: u32| i64::from(to) - i64::from(place.base);
        for (tail, pending, written, label) in std::mem::take(&mut self.tails) {
            self.asm.bind(label);
            self.settle_cold(pending);
            self.store_written(written);
            match tail {
                Tail::Leave(why) => {
                    self.asm.alu(Alu::Add, W64, Rax, cell::PAGE);
                    self.asm.mov_imm(Rcx, why as u64);
                    self.asm.jmp_outside(outside(place.shared.leave));
                }
                Tail::Dispatch => {
                    let (lost, elsewhere) = (self.asm.label(), self.asm.label());
                    self.asm.mov(W64, Rdx, Rax);
                    self.asm.alu(Alu::Sub, W64, Rdx, cell::PAGE);
                    self.asm.alu_imm(Alu::Cmp, W64, Rdx, !PAGE_MASK as i32);
                    self.asm.jcc(Cond::Above, elsewhere);
                    // Four bytes for each halfword.
                    self.asm.alu(Alu::Add, W64, Rdx, Rdx);
                    self.asm.mov_imm(Rcx, place.entries);
                    self.go_to_entry(Mem::indexed(Rcx, Rdx, 0), lost);
                    self.asm.bind(lost);
                    self.asm.mov_imm(Rcx, Why::Lost as u64);
                    self.asm.jmp_outside(outside(place.shared.leave));
                    self.asm.bind(elsewhere);
                    self.asm.jmp_outside(outside(place.shared.dispatch));
                }
                Tail::Here(at) => {
                    let lost = self.asm.label();
                    self.asm.mov_imm(Rcx, place.entries);
                    self.go_to_entry(Mem::at(Rcx, 4 * i32::from(at)), lost);
                    self.asm.bind(lost);
                    self.asm.mov(W64, Rax, cell::PAGE);
                    self.asm.alu_imm(Alu::Add, W64, Rax, 2 * i32::from(at));
                    self.asm.mov_imm(Rcx, Why::Lost as u64);
                    self.asm.jmp_outside(outside(place.shared.leave));
                }
            }
        }
    }

    /// On to the entry point at `entry`, or to `lost` where there is none.
    fn go_to_entry(&mut self, entry: Mem, lost: Label) {
        self.asm.mov(W32, Rcx, entry);
        self.asm.test(W32, Rcx, Rcx);
        self.asm.jcc(Cond::Equal, lost);
        self.asm.alu(Alu::Add, W64, Rcx, cell::CODE);
        self.asm.jmp_reg(Rcx);
    }

    // ---- registers

    pub(super) fn source(&self, n: u8) -> Source {
        match self.plan.homes[usize::from(n & 31)] {
            _ if n == 0 => Source::Zero,
            Some(home) => Source::Reg(home),
            None => Source::Mem(layout::x(n)),
        }
    }

    /// Guest register `n`, in `scratch` unless it has a home.
    pub(super) fn get(&mut self, n: u8, scratch: Reg) -> Reg {
        match self.source(n) {
            Source::Reg(home) => return home,
            Source::Zero => self.asm.mov_imm(scratch, 0),
            Source::Mem(mem) => self.asm.mov(W64, scratch, mem),
        }
        scratch
    }

    /// Copies guest register `n` to `to`.
    pub(super) fn copy(&mut self, width: Width, to: Reg, n: u8) {
        match self.source(n) {
            Source::Zero => self.asm.mov_imm(to, 0),
            Source::Reg(home) => self.asm.mov(width, to, home),
            Source::Mem(mem) => self.asm.mov(width, to, mem),
        }
    }

    /// Where the result for guest register `n` is computed: its home, or `scratch`.
    pub(super) fn home_or(&self, n: u8, scratch: Reg) -> Reg {
        self.plan.homes[usize::from(n & 31)].unwrap_or(scratch)
    }

    /// `value` becomes guest register `n`.
    pub(super) fn put(&mut self, n: u8, value: Reg) {
        match self.plan.homes[usize::from(n & 31)] {
            _ if n == 0 => {}
            Some(home) => self.asm.mov(W64, home, value),
            None => self.asm.store(W64, layout::x(n), value),
        }
    }

    fn put_imm(&mut self, n: u8, value: u64) {
        let to = self.home_or(n, Rax);
        self.asm.mov_imm(to, value);
        self.put(n, to);
    }

    /// `to` = `to` op guest register `n`.
    pub(super) fn alu_with(&mut self, op: Alu, width: Width, to: Reg, n: u8) {
        match self.source(n) {
            Source::Zero if op == Alu::And => self.asm.mov_imm(to, 0),
            Source::Zero if op == Alu::Cmp => self.asm.alu_imm(op, width, to, 0),
            Source::Zero => {}
            Source::Reg(home) => self.asm.alu(op, width, to, home),
            Source::Mem(mem) => self.asm.alu(op, width, to, mem),
        }
    }

    // ---- jumps

    /// The address of halfword `at` of this page, into rax or `rd`'s home.
    fn address(&mut self, to: Reg, offset: i64) {
        self.asm.mov(W64, to, cell::PAGE);
        // A `jal` or `auipc` reaches 2 GiB; what does not fit 32 bits is added in two steps.
        match i32::try_from(offset) {
            Ok(0) => {}
            Ok(offset) => self.asm.alu_imm(Alu::Add, W64, to, offset),
            Err(_) => {
                self.asm.alu_imm(Alu::Add, W64, to, i32::MAX);
                self.asm.alu_imm(Alu::Add, W64, to, (offset - i64::from(i32::MAX)) as i32);
            }
        }
    }

    fn link(&mut self, insn: &Insn) {
        self.written.add(insn);
        if insn.rd != 0 {
            let to = self.home_or(insn.rd, Rdx);
            self.address(to, 2 * i64::from(self.at) + i64::from(insn.len));
            self.put(insn.rd, to);
        }
    }

    fn jal(&mut self, insn: &Insn) {
        self.link(insn);
        let [block, _] = self.plan.blocks[self.block].ways;
        self.go_on(Way { block, halfword: i64::from(self.at) + i64::from(insn.imm / 2) });
    }

    fn jalr(&mut self, insn: &Insn) {
        self.settle_all();
        if Planted::LinkFirst.is_on() {
            self.link(insn);
        }
        self.copy(W64, Rax, insn.rs1);
        if insn.imm != 0 {
            self.asm.alu_imm(Alu::Add, W64, Rax, insn.imm);
        }
        let mask = if Planted::JumpOverAligned.is_on() { -4 } else { -2 };
        self.asm.alu_imm(Alu::And, W64, Rax, mask);
        if !Planted::LinkFirst.is_on() {
            self.link(insn);
        }
        self.leave_by(Tail::Dispatch, fp::Pending::default());
    }

    fn branch(&mut self, insn: &Insn) {
        let cond = match insn.op {
            Op::Beq => Cond::Equal,
            Op::Bne => Cond::NotEqual,
            Op::Blt if Planted::BranchUnsigned.is_on() => Cond::Below,
            Op::Bge if Planted::BranchUnsigned.is_on() => Cond::NotBelow,
            Op::Blt => Cond::Less,
            Op::Bge => Cond::NotLess,
            Op::Bltu => Cond::Below,
            _ => Cond::NotBelow,
        };
        let [jump, next] = self.plan.blocks[self.block].ways;
        let jump = Way { block: jump, halfword: i64::from(self.at) + i64::from(insn.imm / 2) };
        let next = Way { block: next, halfword: i64::from(self.at) + i64::from(insn.len / 2) };
        // What is emitted next is gone on to without a jump.
        let (cond, away, on) = match jump.block {
            Some(_) if jump.block == self.next => (cond.not(), next, jump),
            _ => (cond, jump, next),
        };
        if let Some(block) = away.block {
            self.settle_for(block);
        }
        let a = self.get(insn.rs1, Rax);
        self.compare(a, insn.rs2);
        match away.block {
            Some(block) => {
                let label = self.label_of(block);
                self.asm.jcc(cond, label);
            }
            None if Planted::FarBranchIgnored.is_on() => {}
            None => {
                let past = self.asm.label();
                self.asm.jcc(cond.not(), past);
                self.give_back(self.surplus(None));
                self.go_out(away.halfword);
                self.asm.bind(past);
            }
        }
        self.go_on(on);
    }

    /// The flags of `a` against guest register `n`.
    fn compare(&mut self, a: Reg, n: u8) {
        match self.source(n) {
            Source::Zero => self.asm.test(W64, a, a),
            _ => self.alu_with(Alu::Cmp, W64, a, n),
        }
    }

    // ---- computation

    fn insn(&mut self, insn: &Insn) {
        match insn.op {
            Op::Fence | Op::FenceI => {}
            Op::Lb | Op::Lh | Op::Lw | Op::Ld | Op::Lbu | Op::Lhu | Op::Lwu => self.load(insn),
            Op::Sb | Op::Sh | Op::Sw | Op::Sd => self.store(insn),
            op if (Op::LrW..=Op::AmomaxuD).contains(&op) => self.atomic(insn),
            op if op >= Op::Flw => self.float(insn),
            // What follows changes nothing but rd.
            _ if insn.rd == 0 => {}
            _ => self.compute(insn),
        }
    }

    fn compute(&mut self, insn: &Insn) {
        match insn.op {
            Op::Lui => self.put_imm(insn.rd, insn.imm as i64 as u64),
            Op::Auipc => {
                let to = self.home_or(insn.rd, Rax);
                let at = if Planted::AuipcOfPage.is_on() { 0 } else { self.at };
                self.address(to, 2 * i64::from(at) + i64::from(insn.imm));
                self.put(insn.rd, to);
            }
            Op::Addi => self.add_imm(insn),
            Op::Slti => self.set_if(insn, Cond::Less, None),
            Op::Sltiu => self.set_if(insn, Cond::Below, None),
            Op::Slt => self.set_if(insn, Cond::Less, Some(insn.rs2)),
            Op::Sltu => self.set_if(insn, Cond::Below, Some(insn.rs2)),
            Op::Xori if insn.imm == -1 => {
                let to = self.home_or(insn.rd, Rax);
                self.copy(W64, to, insn.rs1);
                self.asm.not(W64, to);
                self.put(insn.rd, to);
            }
            Op::Xori => self.alu_rd_imm(insn, Alu::Xor),
            Op::Ori => self.alu_rd_imm(insn, Alu::Or),
            Op::Andi => self.alu_rd_imm(insn, Alu::And),
            Op::Slli => self.shift_by_imm(insn, Shift::Left, W64),
            Op::Srli => self.shift_by_imm(insn, Shift::Right, W64),
            Op::Srai => self.shift_by_imm(insn, Shift::Arithmetic, W64),
            Op::Slliw => self.shift_by_imm(insn, Shift::Left, W32),
            Op::Srliw => self.shift_by_imm(insn, Shift::Right, W32),
            Op::Sraiw => self.shift_by_imm(insn, Shift::Arithmetic, W32),
            Op::Addiw => {
                let to = self.home_or(insn.rd, Rax);
                if insn.imm == 0 {
                    match self.source(insn.rs1) {
                        Source::Zero => self.asm.mov_imm(to, 0),
                        Source::Reg(home) => self.asm.load_narrow(4, true, to, home.into()),
                        Source::Mem(mem) => self.asm.load_narrow(4, true, to, mem.into()),
                    }
                } else {
                    self.copy(W32, Rax, insn.rs1);
                    self.asm.alu_imm(Alu::Add, W32, Rax, insn.imm);
                    self.asm.load_narrow(4, true, to, Rax.into());
                }
                self.put(insn.rd, to);
            }
            Op::Add => self.alu_rd(insn, Alu::Add, true),
            Op::Sub => self.alu_rd(insn, Alu::Sub, false),
            Op::Xor => self.alu_rd(insn, Alu::Xor, true),
            Op::Or => self.alu_rd(insn, Alu::Or, true),
            Op::And => self.alu_rd(insn, Alu::And, true),
            Op::Addw => self.alu_word(insn, Alu::Add),
            Op::Subw => self.alu_word(insn, Alu::Sub),
            Op::Sll => self.shift_by_reg(insn, Shift::Left, W64),
            Op::Srl => self.shift_by_reg(insn, Shift::Right, W64),
            Op::Sra => self.shift_by_reg(insn, Shift::Arithmetic, W64),
            Op::Sllw => self.shift_by_reg(insn, Shift::Left, W32),
            Op::Srlw => self.shift_by_reg(insn, Shift::Right, W32),
            Op::Sraw if Planted::ShiftTooWide.is_on() => self.shift_by_reg(insn, Shift::Arithmetic, W64),
            Op::Sraw => self.shift_by_reg(insn, Shift::Arithmetic, W32),
            Op::Mul | Op::Mulw => self.multiply(insn),
            Op::Mulh | Op::Mulhu => {
                self.copy(W64, Rax, insn.rs1);
                let by = self.get(insn.rs2, Rcx);
                if insn.op == Op::Mulh {
                    self.asm.imul_wide(by)
                } else {
                    self.asm.mul_wide(by)
                }
                self.put(insn.rd, Rdx);
            }
            Op::Mulhsu => {
                // The high half of the unsigned product, less b where a is negative.
                self.copy(W64, Rax, insn.rs1);
                let by = self.get(insn.rs2, Rcx);
                self.asm.mul_wide(by);
                self.copy(W64, Rax, insn.rs1);
                self.asm.shift_imm(Shift::Arithmetic, W64, Rax, 63);
                if Planted::MulhsuUnsigned.is_on() {
                    self.asm.mov_imm(Rax, 0);
                }
                self.asm.alu(Alu::And, W64, Rax, by);
                self.asm.alu(Alu::Sub, W64, Rdx, Rax);
                self.put(insn.rd, Rdx);
            }
            op if bits::is_bits(op) => self.bits(insn),
            _ => self.divide(insn),
        }
    }

    fn add_imm(&mut self, insn: &Insn) {
        let (rd, imm) = (insn.rd, insn.imm);
        match self.source(insn.rs1) {
            Source::Zero => self.put_imm(rd, imm as i64 as u64),
            from => {
                let to = self.home_or(rd, Rax);
                match from {
                    Source::Reg(home) if home != to && imm != 0 => self.asm.lea(to, Mem::at(home, imm)),
                    _ => {
                        self.copy(W64, to, insn.rs1);
                        if imm != 0 {
                            self.asm.alu_imm(Alu::Add, W64, to, imm);
                        }
                    }
                }
                self.put(rd, to);
            }
        }
    }

    fn alu_rd_imm(&mut self, insn: &Insn, op: Alu) {
        let to = self.home_or(insn.rd, Rax);
        if op == Alu::And && insn.imm == 255 {
            let from = self.get(insn.rs1, Rax);
            self.asm.load_narrow(1, false, to, from.into());
        } else {
            self.copy(W64, to, insn.rs1);
            self.asm.alu_imm(op, W64, to, insn.imm);
        }
        self.put(insn.rd, to);
    }

    fn alu_rd(&mut self, insn: &Insn, op: Alu, commutes: bool) {
        let (a, b) = (insn.rs1, insn.rs2);
        let to = self.home_or(insn.rd, Rax);
        let (a, b) = if commutes && self.source(b) == Source::Reg(to) { (b, a) } else { (a, b) };
        if let (Alu::Add, Source::Reg(x), Source::Reg(y)) = (op, self.source(a), self.source(b))
            && x != to
        {
            self.asm.lea(to, Mem::indexed(x, y, 0));
        } else if self.source(b) == Source::Reg(to) && a != b {
            self.copy(W64, Rax, a);
            self.alu_with(op, W64, Rax, b);
            return self.put(insn.rd, Rax);
        } else {
            self.copy(W64, to, a);
            self.alu_with(op, W64, to, b);
        }
        self.put(insn.rd, to);
    }

    fn alu_word(&mut self, insn: &Insn, op: Alu) {
        self.copy(W32, Rax, insn.rs1);
        self.alu_with(op, W32, Rax, insn.rs2);
        let to = self.home_or(insn.rd, Rax);
        self.asm.load_narrow(4, !Planted::WordNotExtended.is_on(), to, Rax.into());
        self.put(insn.rd, to);
    }

    fn set_if(&mut self, insn: &Insn, cond: Cond, rs2: Option<u8>) {
        let a = self.get(insn.rs1, Rax);
        match rs2 {
            Some(n) => self.alu_with(Alu::Cmp, W64, a, n),
            None => self.asm.alu_imm(Alu::Cmp, W64, a, insn.imm),
        }
        self.asm.set(cond, Rax);
        let to = self.home_or(insn.rd, Rax);
        self.asm.load_narrow(1, false, to, Rax.into());
        self.put(insn.rd, to);
    }

    fn shift_by_imm(&mut self, insn: &Insn, op: Shift, width: Width) {
        let to = self.home_or(insn.rd, Rax);
        self.copy(width, to, insn.rs1);
        self.asm.shift_imm(op, width, to, insn.imm as u8);
        if width == W32 {
            self.asm.load_narrow(4, true, to, to.into());
        }
        self.put(insn.rd, to);
    }

    fn shift_by_reg(&mut self, insn: &Insn, op: Shift, width: Width) {
        let to = self.home_or(insn.rd, Rax);
        if self.host.bmi2 {
            let by = self.get(insn.rs2, Rcx);
            let from: Rm = match self.source(insn.rs1) {
                Source::Zero => {
                    self.asm.mov_imm(Rax, 0);
                    Rax.into()
                }
                Source::Reg(home) => home.into(),
                Source::Mem(mem) => mem.into(),
            };
            self.asm.shift_by(op, width, to, from, by);
        } else {
            self.copy(W64, Rcx, insn.rs2);
            self.copy(W64, Rax, insn.rs1);
            self.asm.shift_cl(op, width, Rax);
            self.asm.mov(W64, to, Rax);
        }
        if width == W32 {
            self.asm.load_narrow(4, true, to, to.into());
        }
        self.put(insn.rd, to);
    }

    fn multiply(&mut self, insn: &Insn) {
        let width = if insn.op == Op::Mul { W64 } else { W32 };
        let to = self.home_or(insn.rd, Rax);
        self.copy(width, Rax, insn.rs1);
        match self.source(insn.rs2) {
            Source::Zero => self.asm.mov_imm(Rax, 0),
            Source::Reg(home) => self.asm.imul(width, Rax, home),
            Source::Mem(mem) => self.asm.imul(width, Rax, mem),
        }
        match width {
            W64 => self.asm.mov(W64, to, Rax),
            W32 => self.asm.load_narrow(4, true, to, Rax.into()),
        }
        self.put(insn.rd, to);
    }

    /// Division, with the edges that the spec fixes (Unprivileged spec 12.2): by zero, and of the least
    /// number by -1.
    fn divide(&mut self, insn: &Insn) {
        let (width, signed, quotient) = match insn.op {
            Op::Div => (W64, true, true),
            Op::Divu => (W64, false, true),
            Op::Rem => (W64, true, false),
            Op::Remu => (W64, false, false),
            Op::Divw => (W32, true, true),
            Op::Divuw => (W32, false, true),
            Op::Remw => (W32, true, false),
            _ => (W32, false, false),
        };
        let (by_zero, by_minus_one, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.copy(W64, Rcx, insn.rs2);
        self.copy(W64, Rax, insn.rs1);
        self.asm.test(width, Rcx, Rcx);
        self.asm.jcc(Cond::Equal, by_zero);
        if signed {
            self.asm.alu_imm(Alu::Cmp, width, Rcx, -1);
            self.asm.jcc(Cond::Equal, by_minus_one);
            self.asm.sign_rdx(width);
            self.asm.idiv(width, Rcx);
        } else {
            self.asm.mov_imm(Rdx, 0);
            self.asm.div(width, Rcx);
        }
        if !quotient {
            self.asm.mov(width, Rax, Rdx);
        }
        self.asm.jmp(done);
        if signed {
            self.asm.bind(by_minus_one);
            if quotient {
                self.asm.neg(width, Rax)
            } else if !Planted::RemainderByMinusOne.is_on() {
                self.asm.mov_imm(Rax, 0)
            }
            self.asm.jmp(done);
        }
        self.asm.bind(by_zero);
        if quotient {
            self.asm.mov_imm(Rax, if Planted::QuotientByZero.is_on() { 0 } else { u64::MAX });
        }
        self.asm.bind(done);
        if width == W32 {
            self.asm.load_narrow(4, true, Rax, Rax.into());
        }
        self.put(insn.rd, Rax);
    }
}

#[cfg(test)]
#[path = "emit_tests.rs"]
mod tests;
