//! The hart: its registers, and the loop that runs it to an exact position.
//!
//! Promises:
//! - [`Hart::run_until`] stops at exactly the position asked for, before a question, or where a
//!   device or an empty wait says so; cut anywhere, the pieces give the state of the whole.
//! - The state ([`Hart::state`]) is a function of the state at any earlier position and of the
//!   inputs since. Translation, decoding and every other cache never show in it.
//! - No interrupt that is pending and enabled is ever left waiting: it is taken as soon as it is
//!   both, at the end of the instruction or of the delivery that made it so. So the state at a
//!   position does not depend on how the hart came to stop there.
//!
//! Absent on purpose: devices, time and randomness. They are behind [`Bus`], and what even the bus
//! cannot know is a [`Question`].
//!
//! The reservation of `lr` (Unprivileged spec 13.2), defined once and for all:
//!
//! | event | the reservation |
//! |---|---|
//! | `lr.w`, `lr.d` at a physical address | becomes the aligned doubleword that holds it |
//! | `sc` to the same doubleword, of any width | succeeds, and is gone |
//! | `sc` elsewhere | fails, and is gone |
//! | a trap is taken (exception or interrupt); `mret`, `sret` | is gone |
//! | stores and AMOs of this hart, also to the doubleword | stays |
//! | device writes, also to the doubleword | stays |

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::access::Halt;
use super::ask::{Answer, Question};
use super::bus::Bus;
use super::csr::{ADUE, BadHartState, Csrs, Privilege, status};
use super::model::Cpu;
use super::tables::Tables;
use super::trap::{self, Cause, Trap};
use crate::base::{GuestPhys, Icount};
use crate::engine::interpreter::Slot;
use crate::engine::regs::Regs;
use crate::engine::tlb::{Kind, Tlb};
use crate::engine::{Engine, Engines, Fared, Leave, Left, Work};
use crate::isa::{Insn, Op, decode};
use crate::mem::{PageFlags, Ram};

/// No life is that long: at a thousand million instructions a second, 292 years.
const ICOUNT_MAX: u64 = u64::MAX / 2;

/// Why [`Hart::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HartStop {
    /// The position asked for.
    Reached,
    /// The next instruction asks; [`Hart::answer`] executes it.
    Ask(Question),
    /// [`Bus::wants_stop`].
    Bus,
    /// `wfi`, and no interrupt is pending that is enabled in `mie`.
    Idle,
}

/// The next instruction does not ask what has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("at {at} the guest asks {asked:?}, not {answered:?}")]
pub struct NotAsking {
    /// The position of the next instruction.
    pub at: Icount,
    /// What the next instruction asks, if anything.
    pub asked: Option<Question>,
    /// The question that the answer is for.
    pub answered: Question,
}

/// Everything architectural of a hart, and nothing cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HartState {
    /// The position: instructions retired plus exceptions taken since the guest's first instruction.
    pub icount: Icount,
    /// Exceptions taken: the instructions of `icount` that did not retire.
    pub exceptions: u64,
    /// The address of the next instruction.
    pub pc: u64,
    /// The mode that the next instruction executes in.
    pub privilege: Privilege,
    /// x0..x31; x0 is 0.
    pub x: [u64; 32],
    /// f0..f31; single precision is NaN-boxed.
    pub f: [u64; 32],
    /// The control and status registers that are state; the others are constant or derived from these and the
    /// machine.
    pub csrs: Csrs,
    /// The physical address of the doubleword that `lr` has reserved.
    pub reservation: Option<u64>,
    /// In `wfi`.
    pub waiting: bool,
}

/// A guest that can only trap: the first instruction of its trap handler raises an exception that this
/// handler is to handle. Unless an interrupt or a device changes something, it goes on so for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Where that was first so.
    pub at: Icount,
    /// Of the handler.
    pub pc: u64,
    /// Of the exception that repeats.
    pub cause: Cause,
}

/// What no engine executed. No state: it depends on what the caches hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LongWay {
    /// Instructions, and exceptions, that took the long way.
    pub instructions: u64,
    /// Walks of page tables for accesses that the translation cache did not know.
    pub walks: u64,
}

pub struct Hart {
    pub(super) regs: Regs,
    pub(super) pc: u64,
    pub(super) icount: Icount,
    pub(super) exceptions: u64,
    pub(super) privilege: Privilege,
    pub(super) csrs: Csrs,
    pub(super) reservation: Option<u64>,
    pub(super) waiting: bool,

    // What follows is no state: configuration, copies of the bus's, and caches.
    /// The first time that the first instruction of a trap handler trapped into that handler.
    pub(super) stuck: Option<Stuck>,
    pub(super) cpu: Cpu,
    /// A read of the time before this position takes it from the bus; one at or past it asks.
    pub(super) derive_time_before: Icount,
    /// The watched doubleword, in RAM.
    pub(super) tohost: Option<GuestPhys>,
    /// The interrupt lines as last seen.
    pub(super) lines: u64,
    /// Interrupts may have to be taken: something that decides it has changed.
    pub(super) unsettled: bool,
    /// The bus has been used by the instruction just executed.
    pub(super) bus_used: bool,
    pub(super) tlb: Tlb,
    /// What the entries of `tlb` hang on.
    pub(super) tables: Tables,
    pub(super) engines: Engines,
    /// The epoch of RAM's digest that the write entries belong to.
    pub(super) ram_epoch: u64,
    /// Stores to pages of tables since their flags were last reviewed.
    pub(super) table_stores: u32,
    pub(super) long_way: LongWay,
}

impl Hart {
    /// A hart as after reset, at address 0.
    pub fn new(cpu: Cpu) -> Self {
        Self {
            cpu,
            regs: Regs::new(),
            pc: 0,
            icount: Icount::ZERO,
            exceptions: 0,
            privilege: Privilege::Machine,
            csrs: Csrs::at_reset(cpu),
            reservation: None,
            waiting: false,
            stuck: None,
            derive_time_before: Icount::ZERO,
            tohost: None,
            lines: 0,
            unsettled: true,
            bus_used: false,
            tlb: Tlb::new(),
            tables: Tables::new(),
            engines: Engines::new(cpu.extensions()),
            ram_epoch: u64::MAX,
            table_stores: 0,
            long_way: LongWay::default(),
        }
    }

    /// Resets the hart: M-mode at `pc`, everything else 0 but a0 and a1. What is watched stays so.
    pub fn reset(&mut self, pc: u64, a0: u64, a1: u64) {
        let Self { tohost, derive_time_before, long_way, .. } = *self;
        let mut engines = std::mem::replace(&mut self.engines, Engines::new(self.cpu.extensions()));
        engines.start_over();
        *self = Self { tohost, derive_time_before, long_way, engines, pc: pc & !1, ..Self::new(self.cpu) };
        self.regs.set(10, a0);
        self.regs.set(11, a1);
    }

    /// Starts the hart over in its own history: as [`Hart::reset`], but positions count on. Starts in
    /// S-mode when the machine is its own firmware: everything delegated and enabled for a kernel.
    pub fn restart(&mut self, mode: Privilege, pc: u64, a1: u64, a2: u64) {
        let (icount, exceptions) = (self.icount, self.exceptions);
        self.reset(pc, 0, a1);
        (self.icount, self.exceptions) = (icount, exceptions);
        self.regs.set(12, a2);
        if mode == Privilege::Supervisor {
            self.privilege = mode;
            self.csrs.hand_over(self.cpu);
        }
    }

    /// Executes with `engine` from now on, as far as the host can have it; which one it is never shows.
    pub fn choose_engine(&mut self, ram: &mut Ram, engine: Engine) {
        self.tlb.flush_fetches();
        self.engines.choose(ram, engine);
    }

    /// The engine that executes.
    pub fn engine(&self) -> Engine {
        self.engines.chosen()
    }

    /// How the translator fared, if it runs.
    pub fn fared(&self) -> Option<Fared> {
        self.engines.fared()
    }

    /// What no engine executed, since this hart was made or restored.
    pub fn long_way(&self) -> LongWay {
        self.long_way
    }

    pub fn icount(&self) -> Icount {
        self.icount
    }

    /// The address of the next instruction.
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// Integer register `n` (0..=31; others read 0).
    pub fn x(&self, n: u8) -> u64 {
        if n < 32 { self.regs.get(n) } else { 0 }
    }

    /// Where traps lead, of S-mode and of M-mode.
    pub fn trap_handlers(&self) -> [u64; 2] {
        [self.csrs.stvec, self.csrs.mtvec].map(|vector| vector & !3)
    }

    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// In `wfi`, with nothing to wake it?
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Watches the aligned doubleword at `at`, if that is RAM: each store of this hart that touches it is
    /// reported to [`Bus::tohost`].
    pub fn set_tohost(&mut self, at: Option<GuestPhys>) {
        self.tohost = at.map(|at| GuestPhys(at.get() & !7));
    }

    /// A read of the time before position `end` is answered with [`Bus::time_at`] and does not end the run;
    /// one at or past it asks, as every read does of a new hart. No state: where a recorder looks at its
    /// clock, and whether one does, never shows in what the guest reads.
    pub fn derive_time_before(&mut self, end: Icount) {
        self.derive_time_before = end;
    }

    pub fn state(&self) -> HartState {
        HartState {
            icount: self.icount,
            exceptions: self.exceptions,
            pc: self.pc,
            privilege: self.privilege,
            x: self.regs.all(),
            f: self.regs.f,
            csrs: self.csrs.clone(),
            reservation: self.reservation,
            waiting: self.waiting,
        }
    }

    /// A hart `cpu` in this state. [`Hart::set_tohost`] is the caller's to repeat.
    pub fn restore(cpu: Cpu, mut state: HartState) -> Result<Self, BadHartState> {
        let bad = |register, value| Err(BadHartState { register, value });
        if state.x[0] != 0 {
            return bad("x0", state.x[0]);
        }
        if state.pc & 1 != 0 {
            return bad("pc", state.pc);
        }
        if state.icount.get() > ICOUNT_MAX {
            return bad("icount", state.icount.get());
        }
        if state.exceptions > state.icount.get() {
            return bad("exceptions", state.exceptions);
        }
        if let Some(at) = state.reservation
            && at & 7 != 0
        {
            return bad("reservation", at);
        }
        state.csrs.adopt(cpu);
        state.csrs.check(cpu)?;
        let mut regs = Regs::new();
        regs.load(&state.x);
        regs.f = state.f;
        Ok(Self {
            regs,
            pc: state.pc,
            icount: state.icount,
            exceptions: state.exceptions,
            privilege: state.privilege,
            csrs: state.csrs,
            reservation: state.reservation,
            waiting: state.waiting,
            ..Self::new(cpu)
        })
    }

    /// Instructions retired: what `minstret` counts from.
    pub(super) fn retired(&self) -> u64 {
        self.icount.get() - self.exceptions
    }

    /// Takes the interrupt lines anew, after inputs were delivered to devices, and the interrupt
    /// that they may raise. Idempotent; [`Hart::run_until`] begins with it.
    pub fn refresh_lines<B: Bus>(&mut self, bus: &B) {
        let lines = bus.lines();
        if lines != self.lines {
            self.lines = lines;
            self.unsettled = true;
        }
        self.settle();
    }

    /// Takes the interrupt that is pending and enabled, if there is one.
    fn settle(&mut self) {
        if !std::mem::take(&mut self.unsettled) {
            return;
        }
        let pending = self.csrs.mip_read(self.lines) & self.csrs.mie;
        if pending == 0 {
            return;
        }
        self.waiting = false;
        if let Some(code) = trap::interrupt_to_take(&self.csrs, self.privilege, pending) {
            let entry = trap::enter_interrupt(&mut self.csrs, self.privilege, self.pc, code);
            self.resume_at(entry);
        }
    }

    /// Whether the guest has got to where it can only trap, since this hart was made, reset or restored. A
    /// view for people: it decides nothing.
    pub fn stuck(&self) -> Option<Stuck> {
        self.stuck
    }

    /// Goes on in a handler, or where a handler returns to.
    pub(super) fn resume_at(&mut self, entry: trap::Entry) {
        self.reservation = None;
        self.privilege = entry.privilege;
        self.pc = entry.pc;
        self.unsettled = true;
    }

    /// The instruction at `pc` raised `trap`.
    fn take_exception(&mut self, trap: Trap) {
        let entry = trap::enter_exception(&mut self.csrs, self.privilege, self.pc, trap);
        if entry.pc == self.pc && entry.privilege == self.privilege {
            let stuck = Stuck { at: self.icount, pc: self.pc, cause: trap.cause };
            self.stuck.get_or_insert(stuck);
        }
        self.resume_at(entry);
        self.exceptions = self.exceptions.wrapping_add(1);
        self.icount = self.icount.next();
        self.long_way.instructions += 1;
    }

    /// Runs until the hart is at `until`, or stops earlier for another reason; one that holds at
    /// `until` itself is not looked for. Stops at once when already there or past.
    pub fn run_until<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, until: Icount) -> HartStop {
        self.begin(ram, bus);
        loop {
            if self.icount >= until {
                return HartStop::Reached;
            }
            if self.waiting {
                return HartStop::Idle;
            }
            if let Some(stop) = self.advance(ram, bus, until.since(self.icount)) {
                return stop;
            }
        }
    }

    fn begin<B: Bus>(&mut self, ram: &mut Ram, bus: &B) {
        if let Some(at) = self.tohost
            && let Some(page) = ram.page_of(at)
        {
            self.flag(ram, page, PageFlags::WATCHED);
        }
        self.catch_up(ram);
        self.refresh_lines(bus);
    }

    /// Executes the next instruction, which asks, with `answer`. An error, and nothing has changed,
    /// when it does not ask that: also when an input delivered at this position has raised an
    /// interrupt, so that the next instruction is the handler's.
    pub fn answer<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, answer: Answer) -> Result<(), NotAsking> {
        self.begin(ram, bus);
        let next = if self.waiting { None } else { self.next_slot(ram) };
        let asked = next.and_then(|slot| self.question(ram, bus, slot));
        match next {
            Some(slot) if asked == Some(answer.question()) => {
                self.set_accessed(ram).expect("it has just been fetched");
                // Whether the bus wants a stop now is for the caller to look at.
                self.execute_one(ram, bus, slot, Some(answer));
                Ok(())
            }
            _ => Err(NotAsking { at: self.icount, asked, answered: answer.question() }),
        }
    }

    /// What `word` is to this hart.
    fn decode(&self, word: u32) -> Insn {
        decode(word, self.cpu.extensions())
    }

    /// The instruction at `pc`; nothing when its fetch will fault.
    fn next_slot(&self, ram: &Ram) -> Option<Slot> {
        self.fetch_word(ram, self.pc).ok().map(|word| Slot::from(self.decode(word)))
    }

    /// Runs at most `count` (> 0) instructions, usually fewer, and none when the next one asks.
    fn advance<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, count: u64) -> Option<HartStop> {
        let page = match self.fetch_page(ram, self.pc) {
            Ok(Some(page)) => page,
            Ok(None) => return self.advance_uncached(ram, bus),
            Err(trap) => {
                self.take_exception(trap);
                self.settle();
                return None;
            }
        };
        if !self.engines.is_ready(ram, page, self.pc) {
            return self.advance_uncached(ram, bus);
        }
        let pc = self.pc;
        match self.run_straight(ram, count, |engines, work| engines.run(work, page, pc, count)) {
            Leave::Slow(slot) => self.execute_one(ram, bus, slot, None),
            Leave::Spent | Leave::Lost => None,
        }
    }

    /// The next instruction cannot be cached: it straddles two pages, is illegal, is on a page that PMP
    /// cuts, or its fetch has to set A.
    #[cold]
    fn advance_uncached<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B) -> Option<HartStop> {
        let mut word = self.fetch_word(ram, self.pc);
        if self.csrs.menvcfg & ADUE != 0 {
            // Where a question stops the hart, nothing of the instruction has happened yet.
            if let Some(question) = self.next_slot(ram).and_then(|slot| self.question(ram, bus, slot)) {
                return Some(HartStop::Ask(question));
            }
            word = word.and_then(|word| self.set_accessed(ram).map(|()| word));
        }
        let slot = match word.map(|word| (word, self.decode(word))) {
            Ok((word, insn)) if insn.op == Op::Illegal => Err(Trap::new(Cause::Illegal, word.into())),
            Ok((_, insn)) => Ok(Slot::from(insn)),
            Err(trap) => Err(trap),
        };
        let pc = self.pc;
        match slot {
            Ok(slot) => match self.run_straight(ram, 1, |engines, work| engines.run_one(work, slot, pc)) {
                Leave::Slow(slot) => self.execute_one(ram, bus, slot, None),
                Leave::Spent => {
                    self.long_way.instructions += 1;
                    None
                }
                Leave::Lost => None,
            },
            Err(trap) => {
                self.take_exception(trap);
                self.settle();
                None
            }
        }
    }

    /// Lets an engine `run` up to `count` instructions from `pc`.
    fn run_straight(
        &mut self,
        ram: &mut Ram,
        count: u64,
        run: impl FnOnce(&mut Engines, &mut Work<'_>) -> Left,
    ) -> Leave {
        let (data, fetch) = (self.data_space(), self.fetch_space());
        let zero = self.require_block_operation(Op::CboZero).is_ok();
        let mut work = Work {
            regs: &mut self.regs,
            fcsr: &mut self.csrs.fcsr,
            reservation: &mut self.reservation,
            float: self.csrs.mstatus & status::FS == status::FS,
            zero,
            data: self.tlb.space(data),
            fetch: &self.tlb.space(fetch)[Kind::Fetch as usize],
            ram: ram.bytes_mut(),
        };
        let left = run(&mut self.engines, &mut work);
        self.pc = left.pc;
        self.icount = self.icount.plus(count - left.count);
        left.why
    }

    /// Executes the instruction at `pc`, which is `slot`, the long way.
    fn execute_one<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        slot: Slot,
        answer: Option<Answer>,
    ) -> Option<HartStop> {
        match self.execute(ram, bus, slot, answer) {
            Ok(next) => {
                self.pc = next;
                self.icount = self.icount.next();
                self.long_way.instructions += 1;
            }
            Err(Halt::Ask(Question::Time)) if self.icount < self.derive_time_before => {
                self.bus_used = false;
                let time = Answer::Time(bus.time_at(self.icount));
                return self.execute_one(ram, bus, slot, Some(time));
            }
            Err(Halt::Ask(question)) => {
                self.bus_used = false;
                return Some(HartStop::Ask(question));
            }
            Err(Halt::Trap(trap)) => self.take_exception(trap),
            Err(Halt::Illegal) => {
                let bits = self.fetch_word(ram, self.pc).expect("it has just been fetched");
                self.take_exception(Trap::new(Cause::Illegal, bits.into()));
            }
        }
        if std::mem::take(&mut self.bus_used) {
            self.catch_up(ram);
            self.refresh_lines(bus);
            return bus.wants_stop().then_some(HartStop::Bus);
        }
        self.settle();
        None
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
