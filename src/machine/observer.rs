//! Looks at a guest that runs, at each multiple of so many instructions. A look changes nothing, and that there is
//! one never shows: no state, digest, stop or log has anything of it.

use std::num::NonZeroU64;

use crate::base::Icount;
use crate::cpu::{Hart, LongWay};
use crate::engine::{Engine, Fared};
use crate::mem::Ram;

/// Is shown the hart, about to execute the instruction at a position, and RAM.
pub type Look = Box<dyn FnMut(&Hart, &Ram) + Send>;

/// Looks at each multiple of `every`.
pub struct Observer {
    every: NonZeroU64,
    due: Icount,
    look: Look,
}

impl Observer {
    /// The first look is after `from`.
    pub(super) fn new(from: Icount, every: NonZeroU64, look: Look) -> Self {
        Self { every, due: next_multiple(from, every), look }
    }

    /// Where the next look is.
    pub(super) fn due(&self) -> Icount {
        self.due
    }

    /// Looks, if the hart has come to where a look is due.
    pub(super) fn passes(&mut self, hart: &Hart, ram: &Ram) {
        if hart.icount() >= self.due {
            (self.look)(hart, ram);
            self.due = next_multiple(hart.icount(), self.every);
        }
    }
}

fn next_multiple(after: Icount, every: NonZeroU64) -> Icount {
    (after.get() / every + 1).checked_mul(every.get()).map_or(Icount::MAX, Icount)
}

/// How a machine's instructions were executed, since it was booted or restored. No state: other engines and caches
/// give other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What executes the guest.
    pub engine: Engine,
    /// Positions that were passed.
    pub instructions: u64,
    /// How the translator fared, if it has run.
    pub translator: Option<Fared>,
    /// What no engine executed.
    pub long_way: LongWay,
}

impl Executed {
    /// Instructions executed by the interpreter, on the translator's behalf or alone.
    pub fn interpreted(&self) -> u64 {
        self.translator.map_or_else(
            || self.instructions.saturating_sub(self.long_way.instructions),
            |fared| fared.interpreted,
        )
    }

    /// This and what `next`, which goes on from there, has executed.
    pub fn and(self, next: Self) -> Self {
        let (one, other) = (self.translator, next.translator);
        let translator = one.or(other).is_some().then(|| {
            let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
            Fared {
                regions: one.regions + other.regions,
                translated: one.translated + other.translated,
                interpreted: one.interpreted + other.interpreted,
                rewritten: one.rewritten + other.rewritten,
                full: one.full + other.full,
            }
        });
        Self {
            engine: next.engine,
            instructions: self.instructions + next.instructions,
            translator,
            long_way: LongWay {
                instructions: self.long_way.instructions + next.long_way.instructions,
                walks: self.long_way.walks + next.long_way.walks,
            },
        }
    }
}
