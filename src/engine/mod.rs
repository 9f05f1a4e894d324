//! Engines: what executes the instructions that need nothing but registers, code, and pages that the
//! translation cache knows (floating-point ones only while `mstatus.FS` is Dirty). Most of a guest's life is
//! spent here.
//!
//! An engine leaves *before* an instruction that needs more, so leaving is always exact; what is left over
//! executes the one long way, in [`cpu`](crate::cpu). What an engine keeps of the guest's code never shows:
//! `Engines` hears of every write to a page of which anything is kept.

pub(crate) mod alu;
pub(crate) mod float;
pub(crate) mod interpreter;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod planted;
pub(crate) mod regs;
pub(crate) mod tlb;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x64;

/// Where there is none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod x64 {
    use super::interpreter::CodeCache;
    use super::{Fared, Left, Work};

    pub enum Translator {}

    impl Translator {
        #[cfg(test)]
        pub fn make_eager(&mut self) {
            match *self {}
        }

        #[cfg(test)]
        pub fn make_basic(&mut self) {
            match *self {}
        }

        pub fn fared(&self) -> Fared {
            match *self {}
        }

        pub fn run(&mut self, _: &mut Work<'_>, _: &CodeCache, _: u32, _: u64, _: u64) -> Left {
            match *self {}
        }

        pub fn forget_bytes(&mut self, _: u32, _: usize, _: usize) {
            match *self {}
        }

        pub fn forget_page(&mut self, _: u32) {
            match *self {}
        }

        pub fn forget_all(&mut self) {
            match *self {}
        }
    }
}

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use thiserror::Error;

use crate::isa::Extensions;
use crate::mem::{PageFlags, Ram};
use interpreter::{CodeCache, Slot, Slots};
use regs::Regs;
use tlb::{ByKind, Entries, PAGE_MASK};
use x64::Translator;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
pub(crate) use x64::forbidden::set as forbid_code;

/// A cache block, as Zicbom and Zicboz see it.
pub(crate) const BLOCK_BYTES: usize = 64;

/// What an engine works on.
pub(crate) struct Work<'a> {
    pub regs: &'a mut Regs,
    pub fcsr: &'a mut u8,
    /// The physical address of the doubleword that `lr` has reserved.
    pub reservation: &'a mut Option<u64>,
    /// `mstatus.FS` is Dirty: floating point is on, and no use of it changes that.
    pub float: bool,
    /// `cbo.zero` is enabled here.
    pub zero: bool,
    /// Where loads and stores go.
    pub data: &'a ByKind,
    /// Where jumps go.
    pub fetch: &'a Entries,
    /// All of RAM, under the promise of [`Ram::bytes_mut`]: what a write entry leads to has been marked.
    pub ram: &'a mut [u8],
}

/// Why an engine left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// All the instructions asked for have retired.
    Spent,
    /// The instruction at `pc` needs more than an engine has.
    Slow(Slot),
    /// `pc` is on a page that the fetch entries do not know, or on a slot that is not decoded.
    Lost,
}

/// Where an engine left: the next instruction, and how many of those asked for are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub why: Leave,
    pub pc: u64,
    pub count: u64,
}

/// What executes the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The loop over decoded instructions: on every host, and the measure of the other.
    #[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), default)]
    Interpreter,
    /// Translation to host code: on x86-64 under Linux.
    #[cfg_attr(all(target_arch = "x86_64", target_os = "linux"), default)]
    Translator,
}

/// The engine of harts that are made from now on, as its number. No part of any machine: a process chooses once.
static DEFAULT: AtomicU8 = AtomicU8::new(Engine::Translator as u8);

impl Engine {
    /// Harts made from now on execute with this engine, as far as the host can have it.
    pub fn make_default(self) {
        DEFAULT.store(self as u8, Ordering::Relaxed);
    }

    fn of_new_harts() -> Self {
        // The unit tests run under either.
        #[cfg(test)]
        if std::env::var_os("LOCKSTEP_ENGINE").is_some_and(|engine| engine == "interpreter") {
            return Engine::Interpreter;
        }
        if DEFAULT.load(Ordering::Relaxed) == Engine::Translator as u8 {
            Engine::Translator
        } else {
            Engine::Interpreter
        }
    }

    /// Whether this host can have this engine.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn is_here(self) -> Result<(), NoTranslator> {
        match self {
            Engine::Interpreter => Ok(()),
            Engine::Translator => translator().map(drop),
        }
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "interpreter" => Ok(Engine::Interpreter),
            "translator" => Ok(Engine::Translator),
            _ => Err("the engines are `translator` and `interpreter`".into()),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Interpreter => "interpreter",
            Engine::Translator => "translator",
        })
    }
}

/// The host cannot have the translator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoTranslator {
    /// It is for x86-64 under Linux.
    #[error("the translator makes code for x86-64 under Linux only")]
    Host,
    /// The host does not let a process make code (seccomp, SELinux), or has no memory for it.
    #[error("this host lets no process make code: {0}")]
    Forbidden(String),
}

/// How the translator fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fared {
    /// Regions translated.
    pub regions: u64,
    /// Instructions executed by translated code.
    pub translated: u64,
    /// Instructions executed by the interpreter on the translator's behalf.
    pub interpreted: u64,
    /// Pages forgotten because their code was written over.
    pub rewritten: u64,
    /// Times that the cache was full.
    pub full: u64,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn translator() -> Result<Box<Translator>, NoTranslator> {
    match Translator::new() {
        Ok(translator) => Ok(Box::new(translator)),
        Err(why) => Err(NoTranslator::Forbidden(why.to_string())),
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn translator() -> Result<Box<Translator>, NoTranslator> {
    Err(NoTranslator::Host)
}

/// The engines of a hart, and the code that they keep.
pub(crate) struct Engines {
    code: CodeCache,
    /// Empty: where an instruction is put that is not kept.
    alone: Box<Slots>,
    chosen: Engine,
    /// Made when the translator runs for the first time.
    translator: Option<Box<Translator>>,
}

impl Fared {
    /// The part of all instructions that translated code has executed, of those that came to the translator: 0 to 1.
    pub fn share(&self) -> f64 {
        self.translated as f64 / (self.translated + self.interpreted).max(1) as f64
    }
}

impl Engines {
    /// The engines of a hart with `extensions`.
    pub fn new(extensions: Extensions) -> Self {
        Self {
            code: CodeCache::new(extensions),
            alone: Box::new(Slots::NONE),
            chosen: Engine::of_new_harts(),
            translator: None,
        }
    }

    /// Executes with `engine` from now on, as far as the host can have it. What was kept is dropped, so no fetch
    /// entry may stay.
    pub fn choose(&mut self, ram: &mut Ram, engine: Engine) {
        self.forget_all(ram);
        self.chosen = engine;
        self.translator = None;
    }

    /// The engine that executes.
    pub fn chosen(&self) -> Engine {
        self.chosen
    }

    /// For tests: the translator keeps no more than so many bytes of code.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    pub fn keep_at_most(&mut self, bytes: usize) {
        self.translator = Translator::of_bytes(bytes).ok().map(Box::new);
        self.make_eager();
    }

    /// For tests: a jump to a place translates it at once.
    #[cfg(test)]
    pub fn make_eager(&mut self) {
        self.make_chosen();
        if let Some(translator) = &mut self.translator {
            translator.make_eager();
        }
    }

    /// For tests: the translator translates as for the first x86-64 host.
    #[cfg(test)]
    pub fn make_basic(&mut self) {
        self.make_chosen();
        if let Some(translator) = &mut self.translator {
            translator.make_basic();
        }
    }

    /// Makes the translator, if it is chosen and not there. Where the host cannot have it the interpreter is chosen.
    #[inline(always)]
    fn make_chosen(&mut self) {
        if self.translator.is_none() && self.chosen == Engine::Translator {
            match translator() {
                Ok(translator) => self.translator = Some(translator),
                Err(_) => self.chosen = Engine::Interpreter,
            }
        }
    }

    /// How the translator fared, if it runs.
    pub fn fared(&self) -> Option<Fared> {
        self.translator.as_ref().map(|translator| translator.fared())
    }

    /// Prepares for code on RAM page `page`, which gets the flag `CODE`. True when all that was kept of other
    /// pages had to go first, so that no fetch entry may stay.
    pub fn admit(&mut self, ram: &mut Ram, page: u32) -> bool {
        let mut full = false;
        if self.code.slots(page.into()).is_none() && !self.code.insert(ram, page) {
            self.forget_all(ram);
            full = true;
            self.code.insert(ram, page);
        }
        ram.set_flags(page, PageFlags::CODE);
        full
    }

    /// Can the instruction at `pc`, on the admitted RAM page `page`, be run here? Not one that straddles two
    /// pages or is illegal.
    pub fn is_ready(&mut self, ram: &Ram, page: u32, pc: u64) -> bool {
        let at = in_page(pc);
        let decoded = |code: &CodeCache| code.slots(page.into()).is_some_and(|slots| !slots[at].is_none());
        if !decoded(&self.code) {
            self.code.decode_run(ram, page, at);
        }
        decoded(&self.code)
    }

    /// Runs at most `count` instructions from `pc`, which is ready on RAM page `page`.
    pub fn run(&mut self, work: &mut Work<'_>, page: u32, pc: u64, count: u64) -> Left {
        self.make_chosen();
        if let Some(translator) = &mut self.translator {
            return translator.run(work, &self.code, page, pc, count);
        }
        match self.code.slots(page.into()) {
            Some(slots) => interpreter::run::<false>(work, &self.code, slots, pc, count),
            None => Left { why: Leave::Lost, pc, count },
        }
    }

    /// Runs the instruction at `pc`, which is `slot`, without keeping anything.
    pub fn run_one(&mut self, work: &mut Work<'_>, slot: Slot, pc: u64) -> Left {
        // Alone on a page of its own, at its place.
        let at = in_page(pc);
        self.alone.put_alone(at, slot);
        let left = interpreter::run::<false>(work, &self.code, &self.alone, pc, 1);
        self.alone.clear(at);
        left
    }

    /// `len` (> 0) bytes at `offset` in RAM page `page` are written by the hart.
    pub fn forget_bytes(&mut self, page: u32, offset: usize, len: usize) {
        self.code.forget_bytes(page, offset, len);
        if let Some(translator) = &mut self.translator {
            translator.forget_bytes(page, offset, len);
        }
    }

    /// RAM page `page` has been written from outside, and has lost its flag, which it gets back.
    pub fn forget_page(&mut self, ram: &mut Ram, page: u32) {
        if self.code.slots(page.into()).is_some() {
            self.code.forget_page(page);
            if let Some(translator) = &mut self.translator {
                translator.forget_page(page);
            }
            ram.set_flags(page, PageFlags::CODE);
        }
    }

    /// Drops everything, when nothing of the hart's caches and no flag of RAM is relied on any more.
    pub fn start_over(&mut self) {
        self.drop_all(|_| ());
    }

    /// Drops everything; no fetch entry may stay.
    pub fn forget_all(&mut self, ram: &mut Ram) {
        self.drop_all(|page| ram.clear_flags(page, PageFlags::CODE));
    }

    fn drop_all(&mut self, dropped: impl FnMut(u32)) {
        if let Some(translator) = &mut self.translator {
            translator.forget_all();
        }
        self.code.forget_all(dropped);
    }
}

/// Which halfword of its page `pc` is.
fn in_page(pc: u64) -> usize {
    (pc & !PAGE_MASK) as usize / 2
}
