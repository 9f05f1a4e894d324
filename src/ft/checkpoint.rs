//! Checkpoints: at the log's entry `Checkpoint` every replica with a store saves the same state, while its machine runs
//! on.
//!
//! ```text
//! entry --> drawing pieces --> last piece given, disks synced, what left before is where it is to be --> kept
//!               |                                                                                    |
//!               +------------ role or store lost --> dropped                       the store: saved, or not
//! ```
//!
//! Most are increments: of RAM they have what has been written since the checkpoint before, which has to be the newest in
//! the store. Every so many, and once they are as large together as what they build on, one stands by itself again.
//!
//! Promises: the machine stands still only where the save begins and while more waits than may; what a checkpoint takes
//! for done on the disks survives a loss of the host; a node that goes on from a checkpoint need not repeat anything
//! from before it: a checkpoint is kept only once the switch has accepted the frames and the console has shown the bytes
//! from before.

use super::command::Command;
use super::common::Common;
use super::disk::{DiskJob, DiskWorked, Work};
use super::drawing::{Drawing, Drawn};
use super::link::LinkId;
use super::message::Message;
use super::world::World;
use crate::base::{Generation, Icount, Sabotage, Seq};
use crate::machine::Machine;
use crate::mem::Extent;

/// So many increments follow each other before a checkpoint stands by itself.
const INCREMENTS_MAX: u32 = 15;

/// How often it is looked whether what was before has left.
const LOOK_NS: u64 = 5_000_000;

/// A checkpoint under way.
#[derive(Debug)]
struct Saving {
    seq: Seq,
    at: Icount,
    generation: Generation,
    /// The checkpoint that it builds on.
    base: Option<Seq>,
    /// The last frame, and the console's end, from before.
    net_before: u64,
    console_before: u64,
    /// The last piece was given.
    is_drawn: bool,
    /// The store was told to keep it.
    is_kept: bool,
    asked_by: Vec<LinkId>,
    begun_ns: u64,
    /// How long the machine stood still to begin it.
    pause_ns: u64,
}

/// A checkpoint that the store has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub seq: Seq,
    pub at: Icount,
    pub since_ns: u64,
    pub pause_ns: u64,
}

/// The newest checkpoint in the store, with those that it builds on.
#[derive(Clone, Copy, Debug)]
struct Chain {
    seq: Seq,
    at: Icount,
    /// Bytes of the one that stands by itself.
    base_bytes: u64,
    /// How many build on it, and their bytes.
    increments: u32,
    bytes: u64,
}

/// The checkpoints of a node.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    saving: Option<Saving>,
    /// The last one that the store has.
    pub last: Option<Kept>,
    /// How long it took to save the last one, from its entry on.
    pub took_ns: u64,
    chain: Option<Chain>,
    /// Disks that have been asked to sync, also for a checkpoint that came to nothing, and have not answered.
    syncs: usize,
    drawing: Drawing,
}

impl Checkpoints {
    /// Whether a checkpoint would be saved now: there is a store, and no other is being saved.
    pub fn begins(&self, common: &Common) -> bool {
        common.store.durable().is_some() && self.saving.is_none()
    }

    /// Begins to save `machine`, which stands at entry `seq`; not while another save is under way.
    pub fn begin<W: World>(
        &mut self,
        common: &mut Common,
        machine: &mut Machine,
        (seq, generation): (Seq, Generation),
        asked_by: Vec<LinkId>,
        world: &mut W,
    ) {
        let is_free = self.begins(common);
        let base = self.base_for(machine);
        let extent = if base.is_some() { Extent::Increment } else { Extent::Base };
        let begun_ns = world.now_ns();
        let begun = is_free.then(|| self.drawing.begin(machine, extent, world));
        let Some(Ok(pause_ns)) = begun else {
            asked_by
                .into_iter()
                .for_each(|link| common.refuse(link, "no checkpoint: another is being saved"));
            return;
        };
        let disks = (0..).zip(&machine.config().disks).filter(|(_, spec)| !spec.read_only);
        for (disk, _) in disks.filter(|_| !Sabotage::CheckpointUnsynced.is_on()) {
            common.ask_disk_work(DiskJob { link: LinkId::NONE, disk, work: Work::Sync });
            self.syncs += 1;
        }
        self.saving = Some(Saving {
            seq,
            at: machine.icount(),
            generation,
            base,
            net_before: machine.tx_seq(),
            console_before: machine.console_bytes(),
            is_drawn: false,
            is_kept: false,
            asked_by,
            begun_ns,
            pause_ns,
        });
    }

    /// The checkpoint that the next one of `machine` builds on, unless it is to stand by itself.
    fn base_for(&self, machine: &Machine) -> Option<Seq> {
        let chain = self.chain.as_ref()?;
        let builds = chain.increments < INCREMENTS_MAX && chain.bytes <= chain.base_bytes;
        // What the machine takes for its last save may have failed in the store.
        (builds && machine.save_base() == Some(chain.at)).then_some(chain.seq)
    }

    pub fn is_under_way(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether there is something to draw.
    pub fn is_drawing(&self) -> bool {
        self.saving.as_ref().is_some_and(|saving| !saving.is_drawn)
    }

    /// Draws what is due; `console_out` bytes of the console are known to have left the primary. True when the machine must not run before more is drawn.
    pub fn draw<W: World>(
        &mut self,
        common: &mut Common,
        machine: &mut Machine,
        console_out: u64,
        world: &mut W,
    ) -> bool {
        if let Some(saving) = self.saving.as_mut().filter(|saving| !saving.is_drawn) {
            let (seq, generation, base) = (saving.seq, saving.generation, saving.base);
            saving.is_drawn = self.drawing.draw(machine, world, W::checkpoint_takes, |drawn| {
                common.commands.push(match drawn {
                    Drawn::Head(head) if head.base.is_some() != base.is_some() => {
                        unreachable!("a save is an increment exactly if it was begun as one")
                    }
                    Drawn::Head(head) => Command::SaveCheckpoint { seq, generation, base, head },
                    Drawn::Piece(piece) => Command::CheckpointPiece(piece),
                });
            });
        }
        self.keep_if_due(common, console_out, world);
        self.is_drawing() && machine.save_is_short()
    }

    /// Has the store keep it once nothing from before is needed any more.
    fn keep_if_due<W: World>(&mut self, common: &mut Common, console_out: u64, world: &mut W) {
        let Some(saving) = &mut self.saving else { return };
        if saving.is_kept || !saving.is_drawn || self.syncs > 0 {
            return;
        }
        let is_out = world.net_accepted() >= saving.net_before && console_out >= saving.console_before;
        if is_out || Sabotage::CheckpointEarly.is_on() {
            saving.is_kept = true;
            common.commands.push(Command::KeepCheckpoint { seq: saving.seq });
        }
    }

    /// A disk has ended a job for the checkpoint; whether it was one.
    pub fn disk_worked(
        &mut self,
        common: &mut Common,
        machine: Option<&mut Machine>,
        worked: &DiskWorked,
    ) -> bool {
        if worked.link != LinkId::NONE {
            return false;
        }
        self.syncs = self.syncs.saturating_sub(1);
        if let Err(why) = &worked.outcome {
            self.give_up(common, machine, &format!("a disk is not synced: {why}"));
        }
        true
    }

    /// The store has the checkpoint after entry `seq`, or not.
    pub fn ended(
        &mut self,
        common: &mut Common,
        machine: Option<&mut Machine>,
        seq: Seq,
        outcome: Result<u64, String>,
        now_ns: u64,
    ) {
        if self.saving.as_ref().is_none_or(|saving| saving.seq != seq) {
            return;
        }
        match outcome {
            Ok(bytes) => {
                let Some(saving) = self.saving.take() else { return };
                let Saving { seq, at, pause_ns, asked_by, base, begun_ns, .. } = saving;
                self.took_ns = now_ns.saturating_sub(begun_ns);
                self.chain = Some(match self.chain.filter(|_| base.is_some()) {
                    Some(Chain { base_bytes, increments, bytes: before, .. }) => {
                        Chain { seq, at, base_bytes, increments: increments + 1, bytes: before + bytes }
                    }
                    None => Chain { seq, at, base_bytes: bytes, increments: 0, bytes: 0 },
                });
                self.last = Some(Kept { seq, at, since_ns: now_ns, pause_ns });
                let json = serde_json::json!({ "checkpoint": at, "entry": seq, "bytes": bytes });
                for link in asked_by {
                    common.send(link, Message::Answer { json: json.to_string() });
                    common.commands.push(Command::Close { link });
                }
            }
            Err(why) => {
                self.chain = None;
                self.give_up(common, machine, &why);
            }
        }
    }

    /// The checkpoint under way comes to nothing.
    pub fn give_up(&mut self, common: &mut Common, machine: Option<&mut Machine>, why: &str) {
        let Some(saving) = self.saving.take() else { return };
        // Once it is drawn the machine may be saved for something else.
        if let Some(machine) = machine.filter(|_| !saving.is_drawn) {
            machine.abandon_save();
        }
        common.commands.push(Command::DropCheckpoint);
        common.tell(format!("no checkpoint at {}: {why}", saving.at));
        for link in saving.asked_by {
            common.refuse(link, format!("no checkpoint: {why}"));
        }
    }

    /// The node's role is over, and its disks answer no more.
    pub fn role_is_over(&mut self, common: &mut Common) {
        self.give_up(common, None, "the node's role is over");
        self.chain = None;
        self.syncs = 0;
    }

    /// The first of its invariants that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        let chained = self.chain.map_or(0, |chain| chain.increments);
        if chained > INCREMENTS_MAX {
            return Err(format!("checkpoints: {chained} build on one"));
        }
        match &self.saving {
            Some(saving) if saving.is_kept && !saving.is_drawn => {
                Err(format!("checkpoints: the one after {} is kept before it is drawn", saving.seq))
            }
            Some(saving) if saving.base.is_some_and(|base| base > saving.seq) => {
                Err(format!("checkpoints: the one after {} builds on a later one", saving.seq))
            }
            _ => Ok(()),
        }
    }

    /// When there is more to draw.
    pub fn next_look_ns(&self, now_ns: u64) -> u64 {
        match &self.saving {
            None => u64::MAX,
            Some(saving) if saving.is_drawn && saving.is_kept => u64::MAX,
            Some(saving) if saving.is_drawn => now_ns + LOOK_NS,
            Some(_) => self.drawing.next_look_ns(now_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::ft::Settings;
    use crate::ft::disk::Worked;
    use crate::ft::testing::{Host, boot_diskkv, shown};

    const TOOL: LinkId = LinkId(30);

    struct Scene {
        common: Common,
        machine: Machine,
        checkpoints: Checkpoints,
        host: Host,
    }

    impl Scene {
        /// A machine with one disk, whose node has a store.
        fn new() -> Self {
            let mut common = Common::new(NodeId(1), "vm", Settings::default());
            common.store.begins();
            let checkpoints = Checkpoints::default();
            Self { common, machine: boot_diskkv(5).machine, checkpoints, host: Host::default() }
        }

        fn begin(&mut self, seq: u64) -> Vec<String> {
            let at = (Seq(seq), Generation(1));
            self.checkpoints.begin(&mut self.common, &mut self.machine, at, vec![TOOL], &mut self.host);
            shown(&mut self.common.commands)
        }

        /// Draws it all; what is wanted of the store in the end.
        fn drawn(&mut self) -> Vec<String> {
            while self.checkpoints.is_drawing() {
                self.host.now_ns = self.checkpoints.next_look_ns(self.host.now_ns);
                self.checkpoints.draw(&mut self.common, &mut self.machine, 0, &mut self.host);
            }
            let mut said = shown(&mut self.common.commands);
            said.retain(|command| !command.starts_with("CheckpointPiece"));
            said
        }

        fn synced(&mut self, outcome: Result<Worked, String>) -> Vec<String> {
            let worked = DiskWorked { link: LinkId::NONE, disk: 0, outcome };
            assert!(self.checkpoints.disk_worked(&mut self.common, Some(&mut self.machine), &worked));
            self.checkpoints.draw(&mut self.common, &mut self.machine, 0, &mut self.host);
            shown(&mut self.common.commands)
        }
    }

    #[test]
    fn a_checkpoint_is_kept_once_it_is_drawn_and_its_own_sync_has_ended() {
        let mut scene = Scene::new();
        assert_eq!(scene.begin(3).len(), 1, "its disk is synced");
        let said = scene.drawn();
        assert!(
            said.len() == 1 && said[0].starts_with("SaveCheckpoint { seq: #3, generation: g1, base: None"),
            "{said:?}"
        );
        assert_eq!(scene.synced(Ok(Worked::Done)), ["KeepCheckpoint { seq: #3 }"]);
        let ended = |scene: &mut Scene, seq, outcome| {
            let Scene { common, machine, checkpoints, .. } = scene;
            checkpoints.ended(common, Some(machine), Seq(seq), outcome, 7);
            shown(&mut common.commands)
        };
        assert!(ended(&mut scene, 2, Ok(9)).is_empty(), "of another");
        let said = ended(&mut scene, 3, Ok(9));
        assert!(said[0].starts_with("30 Answer") && said[0].contains("\\\"entry\\\":3"), "{said:?}");
        assert_eq!((said.len(), said[1].as_str()), (2, "30 closed"));
        assert!(!scene.checkpoints.is_under_way() && scene.machine.saving().is_none());
    }

    #[test]
    fn a_checkpoint_builds_on_the_one_before_until_these_are_many_large_or_not_in_the_store() {
        let mut scene = Scene::new();
        // The base that each is of, if it has one; the store answers.
        let mut next = |seq: u64, outcome: Result<u64, &str>| {
            scene.begin(seq);
            let said = scene.drawn().remove(0);
            scene.synced(Ok(Worked::Done));
            let Scene { common, machine, checkpoints, .. } = &mut scene;
            let outcome = outcome.map_err(str::to_owned);
            checkpoints.ended(common, Some(machine), Seq(seq), outcome, 7);
            common.commands.clear();
            let of = said.split_once("base: ").expect("it says so").1;
            of.strip_prefix("Some(#").map_or(0, |rest| rest.split(')').next().unwrap().parse().unwrap())
        };
        assert_eq!(next(10, Ok(1000)), 0, "nothing is in the store");
        assert_eq!([next(11, Ok(400)), next(12, Ok(600)), next(13, Ok(1))], [10, 11, 12]);
        assert_eq!(next(14, Ok(1 << 30)), 0, "they have 1001 bytes, and their base 1000");
        assert_eq!([next(15, Ok(1)), next(16, Err("no room"))], [14, 15]);
        assert_eq!(next(17, Ok(1 << 30)), 0, "the last one is not in the store");
        for seq in 18..18 + u64::from(INCREMENTS_MAX) {
            assert_eq!(next(seq, Ok(1)), seq - 1);
        }
        assert_eq!(next(50, Ok(1)), 0, "these are many");
        assert_eq!(next(51, Ok(1)), 50);
    }

    #[test]
    fn a_sync_of_a_checkpoint_that_came_to_nothing_is_none_of_the_next_ones() {
        let mut scene = Scene::new();
        scene.begin(3);
        scene.checkpoints.give_up(&mut scene.common, Some(&mut scene.machine), "the store is busy");
        let said = shown(&mut scene.common.commands);
        assert_eq!(said[..2], ["DropCheckpoint", "tell no checkpoint at 0: the store is busy"]);
        assert!(said[2].starts_with("30 Refuse"), "{said:?}");
        assert_eq!(scene.begin(4).len(), 1, "its disk is synced, too");
        scene.drawn();
        assert!(scene.synced(Ok(Worked::Done)).is_empty(), "that was the first one's");
        assert_eq!(scene.synced(Ok(Worked::Done)), ["KeepCheckpoint { seq: #4 }"]);
    }

    #[test]
    fn a_disk_that_is_not_synced_makes_no_checkpoint_and_one_at_a_time_is_made() {
        let mut scene = Scene::new();
        scene.begin(3);
        let said = scene.begin(4);
        assert!(said[0].contains("another is being saved"), "{said:?}");
        let said = scene.synced(Err("no".into()));
        assert!(said.contains(&"tell no checkpoint at 0: a disk is not synced: no".to_owned()), "{said:?}");
        assert!(scene.machine.saving().is_none());
        scene.common.store = Default::default();
        let said = scene.begin(5);
        assert!(said[0].starts_with("30 Refuse"), "without a store: {said:?}");
    }
}
