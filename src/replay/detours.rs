//! Ways to the same state that must not show: the run cut into chunks, the machine put aside and
//! brought back.
//!
//! Everything that a replay checks (marks, answers, state digests) is checked on the way, so a replay
//! that takes detours and does not diverge has shown that they leave no trace. One seed decides all.
//!
//! Absent on purpose: the log. The caller asks how far to run, and reports when it has.

use std::collections::VecDeque;

use thiserror::Error;

use super::replayer::Replayer;
use crate::base::{Icount, Prng};
use crate::machine::config::RAM_BYTES_MAX;
use crate::machine::{Machine, RestoreError};
use crate::snapshot::{Decoder, Encoder, SnapshotError};

/// How often a replay is put aside and brought back: each costs a pass over all of RAM.
pub const RESTORES: usize = 16;

/// The longest chunk, as a power of two. Lengths are drawn by their order of magnitude, so that most
/// chunks are far shorter and some are a single instruction.
const CHUNK_BITS_MAX: u64 = 20;

/// A machine that could not be put aside and brought back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotRestored {
    /// The decoder refused what the encoder had written: one of the two is wrong.
    #[error("at {at} a snapshot could not be read back: {why}")]
    Snapshot {
        /// The machine's position when it was saved.
        at: Icount,
        /// What the decoder found.
        why: SnapshotError,
    },
    /// The snapshot came back whole, but is not a state that the machine takes, or not the one that was saved.
    #[error("at {at} the machine could not be restored: {why}")]
    Machine {
        /// The machine's position when it was saved.
        at: Icount,
        /// What the machine found.
        why: RestoreError,
    },
}

/// The detours of one replay; by default there are none.
#[derive(Debug, Default)]
pub struct Detours {
    chunks: Option<Prng>,
    /// Where to put the machine aside, ascending.
    restores: VecDeque<Icount>,
    chunks_run: u64,
    restores_done: u64,
}

impl Detours {
    /// From now on the run is cut into random chunks.
    pub fn cut(&mut self, seed: u64) {
        self.chunks = Some(Prng::new(seed));
    }

    /// The machine shall be saved and restored at random positions after `from`, up to `to`.
    pub fn restore_between(&mut self, seed: u64, from: Icount, to: Icount) {
        let mut prng = Prng::new(seed);
        let span = to.get().saturating_sub(from.get());
        let mut at: Vec<_> = (0..RESTORES).map(|_| from.plus(prng.below(span) + 1)).collect();
        at.sort();
        self.restores = at.into();
    }

    /// How many instructions to run at once from `at`: `most`, or less.
    pub fn budget(&mut self, at: Icount, most: u64) -> u64 {
        let chunk = self.chunks.as_mut().map(|prng| {
            self.chunks_run += 1;
            let bits = prng.below(CHUNK_BITS_MAX + 1);
            prng.between(1, 1 << bits)
        });
        let restore = self.restores.front().map(|next| next.get().saturating_sub(at.get()).max(1));
        most.min(chunk.unwrap_or(u64::MAX)).min(restore.unwrap_or(u64::MAX))
    }

    /// Takes what is due where `replayer` stands.
    pub fn take(&mut self, replayer: &mut Replayer) -> Result<(), NotRestored> {
        let at = replayer.icount();
        // What it has said is not its state, and would be lost: the next stop will do.
        if replayer.machine().outputs_waiting() || self.restores.front().is_none_or(|next| *next > at) {
            return Ok(());
        }
        self.restores.retain(|next| *next > at);
        *replayer.machine_mut() = put_aside(replayer.machine_mut())?;
        self.restores_done += 1;
        Ok(())
    }

    /// Chunks that the run was cut into, and how often the machine was brought back.
    pub const fn taken(&self) -> (u64, u64) {
        (self.chunks_run, self.restores_done)
    }
}

/// `machine`, through the bytes of a snapshot and back.
fn put_aside(machine: &mut Machine) -> Result<Machine, NotRestored> {
    let at = machine.icount();
    let bad = |why| NotRestored::Snapshot { at, why };
    let mut decoder = Decoder::new(RAM_BYTES_MAX);
    for chunk in Encoder::new(machine.save()) {
        decoder.push(&chunk).map_err(bad)?;
    }
    let mut restored =
        Machine::restore(decoder.finish().map_err(bad)?).map_err(|why| NotRestored::Machine { at, why })?;
    restored.take_observer(machine);
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::base::Seq;
    use crate::cpu::Hart;
    use crate::log::Event;
    use crate::mem::Ram;
    use crate::replay::testing::{LOOP, PRINT, entry, machine};

    #[test]
    fn without_detours_the_run_is_whole() {
        let mut detours = Detours::default();
        assert_eq!(detours.budget(Icount(5), 1 << 22), 1 << 22);
        assert_eq!(detours.taken(), (0, 0));
    }

    #[test]
    fn chunks_are_of_every_size_and_fixed_by_the_seed() {
        let lengths = |seed| {
            let mut detours = Detours::default();
            detours.cut(seed);
            (0..1000).map(|_| detours.budget(Icount::ZERO, 1 << 22)).collect::<Vec<_>>()
        };
        assert_eq!(lengths(1), lengths(1));
        assert_ne!(lengths(1), lengths(2));
        let (least, most) = (*lengths(1).iter().min().unwrap(), *lengths(1).iter().max().unwrap());
        assert!(least == 1 && most > 1 << 19, "{least} to {most}");
    }

    #[test]
    fn the_run_stops_where_the_machine_is_to_be_put_aside() {
        let mut detours = Detours::default();
        detours.restore_between(3, Icount(100), Icount(1_000_000));
        let first = detours.restores[0];
        assert!(detours.restores.len() == RESTORES && first > Icount(100));
        assert!(detours.restores.iter().all(|at| *at <= Icount(1_000_000)));
        assert_eq!(detours.budget(Icount(100), u64::MAX), first.since(Icount(100)));
        assert_eq!(detours.budget(first, 10), 1, "never nothing: that would not end");
        detours.restore_between(3, Icount(7), Icount(7));
        assert_eq!(detours.restores[0], Icount(8), "a log that does not move has nowhere else");
    }

    #[test]
    fn a_machine_is_put_aside_once_where_it_is_due_and_not_with_outputs_waiting() {
        let horizon = |seq, at| entry(seq, at, Event::Horizon);
        let mut replayer = Replayer::new(machine(&[LOOP]), Seq(1));
        replayer.push(vec![horizon(1, 1000)]).unwrap();
        let mut detours = Detours { restores: [10, 20, 20, 30].map(Icount).into(), ..Detours::default() };
        let mut seen = Vec::new();
        for budget in [9, 1, 0, 15, 100] {
            replayer.run(budget, &mut Vec::new()).unwrap();
            let digest = replayer.machine_mut().digest();
            detours.take(&mut replayer).unwrap();
            assert_eq!(replayer.machine_mut().digest(), digest);
            seen.push((replayer.icount().get(), detours.taken().1, detours.restores.len()));
        }
        assert_eq!(seen, [(9, 0, 4), (10, 1, 3), (10, 1, 3), (25, 2, 1), (125, 3, 0)]);
        // What the guest has printed would be lost.
        let mut replayer = Replayer::new(machine(&[PRINT[0], PRINT[1], PRINT[2], LOOP]), Seq(1));
        replayer.push(vec![horizon(1, 1000)]).unwrap();
        replayer.run(3, &mut Vec::new()).unwrap();
        let mut detours = Detours { restores: [Icount(1)].into(), ..Detours::default() };
        detours.take(&mut replayer).unwrap();
        assert_eq!(detours.taken(), (0, 0));
        replayer.machine_mut().take_outputs();
        detours.take(&mut replayer).unwrap();
        assert_eq!(detours.taken(), (0, 1));
    }

    #[test]
    fn an_observer_goes_on_looking_after_a_restore() {
        let mut machine = machine(&[LOOP]);
        let looks = Arc::new(Mutex::new(Vec::new()));
        let seen = looks.clone();
        let look = move |hart: &Hart, _: &Ram| seen.lock().unwrap().push(hart.icount().get());
        machine.observe(NonZeroU64::new(4).unwrap(), Box::new(look));
        let mut replayer = Replayer::new(machine, Seq(1));
        replayer.push(vec![entry(1, 1000, Event::Horizon)]).unwrap();
        let mut detours = Detours { restores: [6, 8].map(Icount).into(), ..Detours::default() };
        for budget in [6, 2, 5] {
            replayer.run(budget, &mut Vec::new()).unwrap();
            detours.take(&mut replayer).unwrap();
        }
        assert_eq!(detours.taken(), (0, 2));
        assert_eq!(*looks.lock().unwrap(), [4, 8, 12]);
        assert_eq!(replayer.machine().executed().instructions, 5, "since the last restore");
    }

    #[test]
    fn every_chunk_is_counted() {
        let mut detours = Detours::default();
        detours.cut(1);
        for _ in 0..3 {
            assert!(detours.budget(Icount(0), 10) <= 10);
        }
        assert_eq!(detours.taken(), (3, 0));
    }
}
