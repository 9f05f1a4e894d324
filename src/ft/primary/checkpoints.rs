//! When the primary has every replica save its state.

use super::Primary;
use crate::base::Seq;
use crate::ft::common::Common;
use crate::ft::link::LinkId;
use crate::ft::settings::Settings;
use crate::ft::world::World;
use crate::log;

/// A checkpoint that only the instruction count asks for begins no sooner after the last one than this many times what
/// saving that took: a twentieth of the time.
const TOOK_TIMES_MIN: u64 = 20;

/// Tools that wait for one checkpoint, at most.
const ASKED_MAX: usize = 64;

impl Primary {
    /// A tool wants a checkpoint now.
    pub fn ask_checkpoint(&mut self, common: &mut Common, link: LinkId) {
        if common.store.durable().is_none() {
            let why = "this node keeps no store to put a checkpoint into: start it with --store";
            return common.refuse(link, why);
        }
        if self.ended.is_some() {
            return common.refuse(link, "the guest has ended");
        }
        if self.checkpoint_asked.len() >= ASKED_MAX {
            return common.refuse(link, "too many wait for a checkpoint already");
        }
        self.checkpoint_asked.push(link);
    }

    /// Writes the entry of a checkpoint that is due, and goes on with the one under way. True when the guest must not
    /// run before more of that is drawn.
    pub(super) fn checkpoint<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) -> bool {
        if self.checkpoint_is_due(common, now_ns) {
            self.write_checkpoint(common, world, now_ns);
        }
        if !common.checkpoints.is_under_way() {
            return false;
        }
        let console_out = self.console_released.saturating_sub(world.console_pending());
        let machine = self.recorder.machine_mut();
        common.with_checkpoints(|checkpoints, common| checkpoints.draw(common, machine, console_out, world))
    }

    fn checkpoint_is_due(&self, common: &Common, now_ns: u64) -> bool {
        let is_stored = common.store.durable().is_some_and(|durable| durable > Seq::ZERO);
        if !is_stored || common.checkpoints.is_under_way() {
            return false;
        }
        // Behind `SwitchOver` and `End` comes nothing of this generation.
        if self.switching.is_some() || self.ended.is_some() {
            return false;
        }
        let (at_ns, at) = self.checkpointed;
        let (instructions, elapsed_ns) = (self.icount().since(at), now_ns.saturating_sub(at_ns));
        is_worth_it(&common.settings, common.checkpoints.took_ns, instructions, elapsed_ns)
            || !self.checkpoint_asked.is_empty()
    }

    fn write_checkpoint<W: World>(&mut self, common: &mut Common, world: &mut W, now_ns: u64) {
        self.take_outputs(common);
        let seq = self.recorder.record(log::Event::Checkpoint);
        self.flush(common, now_ns, false);
        // What the guest has asked of its disks up to here comes before they are synced.
        self.ask_disks(common);
        self.checkpointed = (now_ns, self.icount());
        let (generation, asked_by) = (self.generation, std::mem::take(&mut self.checkpoint_asked));
        let machine = self.recorder.machine_mut();
        common.with_checkpoints(|checkpoints, common| {
            checkpoints.begin(common, machine, (seq, generation), asked_by, world);
        });
    }
}

/// Whether a checkpoint is worth what it costs, so long and so many instructions after the last one, which took `took_ns`
/// to be saved.
fn is_worth_it(settings: &Settings, took_ns: u64, instructions: u64, elapsed_ns: u64) -> bool {
    let is_late = instructions >= settings.checkpoint_instructions && elapsed_ns >= settings.checkpoint_ns;
    let is_far = instructions >= settings.checkpoint_instructions_max
        && elapsed_ns >= took_ns.saturating_mul(TOOK_TIMES_MIN);
    is_late || is_far
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_after_a_time_or_far_from_the_last_one_unless_these_take_the_time() {
        const S: u64 = 1_000_000_000;
        let settings = Settings {
            checkpoint_ns: 60 * S,
            checkpoint_instructions: 100,
            checkpoint_instructions_max: 1000,
            ..Settings::default()
        };
        let is_worth_it = |took_ns, instructions, elapsed_ns| {
            super::is_worth_it(&settings, took_ns, instructions, elapsed_ns)
        };
        // An idle guest's, one that computes, and a busy one's.
        assert!(!is_worth_it(0, 99, 3600 * S));
        assert!(!is_worth_it(0, 999, 59 * S) && is_worth_it(0, 100, 60 * S));
        assert!(is_worth_it(0, 1000, 1) && is_worth_it(S, 1000, 20 * S));
        // The last one took a second: 5 % of the time.
        assert!(!is_worth_it(S, 1_000_000, 20 * S - 1));
        assert!(is_worth_it(10 * S, 100, 60 * S), "the time was asked for");
    }
}
