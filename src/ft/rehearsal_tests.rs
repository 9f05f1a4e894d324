use super::*;
use crate::base::{Generation, NodeId, Seq};
use crate::ft::Settings;
use crate::ft::testing::{Host, boot_diskkv, shown};

const TOOL: LinkId = LinkId(30);
const KEEP: &str = "DiskWork(DiskJob { link: LinkId(18446744073709551614), disk: 0, work: Keep })";
const UNKEEP: &str = "DiskWork(DiskJob { link: LinkId(18446744073709551614), disk: 0, work: Unkeep })";
const CLOCK: GuestClock = GuestClock::starting(3, 4);

struct Scene {
    common: Common,
    machine: Machine,
    rehearsals: Rehearsals,
    host: Host,
}

impl Scene {
    /// A machine with one disk, whose node has a store.
    fn new() -> Self {
        let mut common = Common::new(NodeId(2), "vm", Settings::default());
        common.store.begins();
        let rehearsals = Rehearsals::default();
        Self { common, machine: boot_diskkv(5).machine, rehearsals, host: Host::default() }
    }

    fn ask(&mut self, link: LinkId, seconds: u32) -> Vec<String> {
        self.rehearsals.ask(&mut self.common, link, seconds);
        shown(&mut self.common.commands)
    }

    /// One more turn.
    fn draw(&mut self) -> Vec<String> {
        self.host.now_ns += 1_000_000;
        self.rehearsals.draw(&mut self.common, &mut self.machine, CLOCK, &mut self.host);
        shown(&mut self.common.commands)
    }

    /// All of it is drawn; the beginning of each command but the pieces.
    fn drawn(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.machine.saving().is_some() {
            said.extend(self.draw());
        }
        said.retain(|command| !command.starts_with("ForkPiece"));
        said.iter_mut().for_each(|command| command.truncate(40));
        said
    }

    fn disk(&mut self, outcome: Result<Worked, String>) -> Vec<String> {
        self.rehearsals.disk_worked(&mut self.common, Some(&mut self.machine), outcome);
        shown(&mut self.common.commands)
    }

    fn ended(&mut self, fork: u64, outcome: Result<Rehearsed, String>) -> Vec<String> {
        self.rehearsals.ended(&mut self.common, Some(&mut self.machine), fork, outcome);
        shown(&mut self.common.commands)
    }

    /// A rehearsal whose fork is live.
    fn live() -> Self {
        let mut scene = Self::new();
        scene.ask(TOOL, 2);
        scene.draw();
        scene.drawn();
        scene.disk(Ok(Worked::Done));
        let said = scene.draw();
        assert_eq!(
            said,
            ["Rehearse { fork: 1, clock: GuestClock { base_ns: 3, base_ticks: 4 }, seconds: 2 }"]
        );
        scene
    }
}

fn tried(why: Option<&str>) -> Tried {
    Tried {
        ran_ms: 2000,
        instructions: 900,
        timers: 3,
        frames: 1,
        answered: Some(true),
        console_bytes: 8,
        disk_reads: 5,
        disk_writes: 6,
        why: why.map(str::to_owned),
    }
}

#[test]
fn a_state_is_forked_once_its_disk_is_kept_tried_and_the_asker_is_told() {
    let mut scene = Scene::new();
    scene.common.now_ns = 5_000_000;
    assert!(scene.ask(TOOL, 2).is_empty());
    assert_eq!(scene.draw(), [KEEP]);
    assert_eq!(scene.machine.saving(), Some(scene.machine.icount()));
    assert_eq!(scene.drawn(), ["Fork { fork: 1, head: SavedHead { config"]);
    assert!(scene.draw().is_empty(), "the disk is not kept yet");
    assert!(scene.disk(Ok(Worked::Done)).is_empty());
    assert_eq!(scene.draw().len(), 1, "it goes live");
    assert!(scene.draw().is_empty() && scene.rehearsals.next_look_ns(7) == u64::MAX);
    let outcome = |why| Ok(Rehearsed { live_ns: 88_000_000, tried: tried(why) });
    assert!(scene.ended(0, outcome(None)).is_empty(), "of another fork");
    let said = scene.ended(1, outcome(None));
    let answer = "{\\\"forked_at\\\":0,\\\"pause_ms\\\":0.0,\\\"live_after_ms\\\":83,\\\"goes_on\\\":true,\\\"ran_ms\\\":2000,\
                  \\\"instructions\\\":900,\\\"timers\\\":3,\\\"frames\\\":1,\\\"answered\\\":true,\\\"console_bytes\\\":8,\
                  \\\"disk_reads\\\":5,\\\"disk_writes\\\":6,\\\"why\\\":null}";
    assert_eq!(
        said,
        [
            format!("30 Answer {{ json: \"{answer}\" }}"),
            "30 closed".to_owned(),
            "tell a takeover at 0 was rehearsed: the guest goes on".to_owned(),
            UNKEEP.to_owned(),
        ]
    );
    assert!(!scene.rehearsals.is_under_way());
}

#[test]
fn a_guest_that_does_not_go_on_is_an_answer_and_a_fork_that_is_none_is_a_refusal() {
    let mut scene = Scene::live();
    let said = scene.ended(1, Ok(Rehearsed { live_ns: 0, tried: tried(Some("the guest only traps")) }));
    assert!(said[0].contains("\\\"goes_on\\\":false") && said[0].contains("only traps"), "{said:?}");
    assert_eq!(said[2], "tell a takeover at 0 was rehearsed: it would fail: the guest only traps");
    let said = Scene::live().ended(1, Err("it is no machine".into()));
    let refusal = "30 Refuse { why: \"no rehearsal: it is no machine\" }";
    assert_eq!(said, [UNKEEP, "DropFork", refusal, "30 closed"]);
    // There may be no memory for it: that is known as soon as its head is there.
    let mut scene = Scene::new();
    scene.ask(TOOL, 2);
    scene.draw();
    assert!(scene.machine.saving().is_some());
    assert_eq!(scene.ended(1, Err("it is no machine".into())), [UNKEEP, "DropFork", refusal, "30 closed"]);
    assert!(scene.machine.saving().is_none() && !scene.rehearsals.is_under_way());
}

#[test]
fn one_at_a_time_is_rehearsed_for_a_bounded_time() {
    let mut scene = Scene::new();
    for seconds in [0, 61] {
        let said = scene.ask(TOOL, seconds);
        assert_eq!(said, ["30 Refuse { why: \"a rehearsal takes 1 to 60 seconds\" }", "30 closed"]);
    }
    assert!(scene.ask(TOOL, 60).is_empty());
    let said = scene.ask(LinkId(31), 1);
    assert!(said[0].starts_with("31 Refuse { why: \"a rehearsal is under way already"), "{said:?}");
}

#[test]
fn a_rehearsal_that_is_not_wanted_or_has_no_disk_leaves_nothing() {
    let refused = |why: &str| {
        vec![
            UNKEEP.to_owned(),
            "DropFork".to_owned(),
            format!("30 Refuse {{ why: \"no rehearsal: {why}\" }}"),
            "30 closed".to_owned(),
        ]
    };
    let mut scene = Scene::new();
    scene.ask(TOOL, 2);
    scene.draw();
    scene.rehearsals.link_closed(&mut scene.common, Some(&mut scene.machine), LinkId(31));
    assert!(scene.rehearsals.is_under_way());
    scene.rehearsals.link_closed(&mut scene.common, Some(&mut scene.machine), TOOL);
    assert_eq!(shown(&mut scene.common.commands), refused("who asked for it has gone"));
    assert!(scene.machine.saving().is_none());
    // What the disk answers for that one is not an answer for the next.
    scene.ask(TOOL, 2);
    scene.draw();
    scene.drawn();
    for _ in 0..2 {
        scene.disk(Ok(Worked::Done));
        assert!(scene.draw().is_empty());
    }
    assert_eq!(scene.disk(Err("it is gone".into())), refused("it is gone"));
    let mut scene = Scene::live();
    scene.rehearsals.role_is_over(&mut scene.common);
    assert_eq!(shown(&mut scene.common.commands), refused("the node's role is over")[1..]);
}

/// A checkpoint is of its own position: it cannot wait for anybody.
pub(crate) fn a_checkpoint_does_not_wait_for_a_fork() -> Result<(), String> {
    let mut scene = Scene::new();
    scene.ask(TOOL, 2);
    scene.draw();
    let Scene { common, machine, rehearsals, host } = &mut scene;
    common.commands.clear();
    rehearsals.make_way(common, machine);
    common.with_checkpoints(|checkpoints, common| {
        checkpoints.begin(common, machine, (Seq(3), Generation(1)), Vec::new(), host);
    });
    if !common.checkpoints.is_under_way() {
        return Err("no checkpoint was begun".into());
    }
    let said = shown(&mut common.commands);
    assert_eq!(said[..2], ["DropFork", UNKEEP]);
    assert!(scene.draw().is_empty(), "the machine is being saved");
    scene.machine.abandon_save();
    assert_eq!(scene.draw(), [KEEP]);
    for _ in 0..3 {
        scene.disk(Ok(Worked::Done));
    }
    assert_eq!(scene.drawn(), ["Fork { fork: 2, head: SavedHead { config"]);
    assert!(scene.ended(1, Err("late".into())).is_empty(), "of the first fork");
    Ok(())
}

#[test]
fn a_fork_makes_way_for_a_checkpoint_and_begins_again_behind_it() {
    assert_eq!(a_checkpoint_does_not_wait_for_a_fork(), Ok(()));
}

#[test]
fn who_gives_up_what_is_drawn_leaves_the_machine_to_who_saves_it() {
    let mut scene = Scene::new();
    scene.ask(TOOL, 2);
    scene.draw();
    scene.drawn();
    let Scene { common, machine, rehearsals, host } = &mut scene;
    // The fork waits for its disk.
    rehearsals.make_way(common, machine);
    common.with_checkpoints(|checkpoints, common| {
        checkpoints.begin(common, machine, (Seq(3), Generation(1)), Vec::new(), host);
    });
    rehearsals.give_up(common, Some(machine), "not wanted");
    assert!(machine.saving().is_some() && common.checkpoints.is_drawing(), "the checkpoint's");
    while common.checkpoints.is_drawing() {
        host.now_ns += 1_000_000;
        common.with_checkpoints(|checkpoints, common| checkpoints.draw(common, machine, 0, host));
    }
    scene.ask(TOOL, 2);
    scene.draw();
    let Scene { common, machine, .. } = &mut scene;
    common.with_checkpoints(|checkpoints, common| {
        checkpoints.give_up(common, Some(machine), "the disk is full")
    });
    assert!(machine.saving().is_some() && scene.rehearsals.is_under_way(), "the fork's");
}
