//! What all roles of a node need and none owns.

use super::checkpoint::Checkpoints;
use super::command::Command;
use super::disk::DiskJob;
use super::divergences::Divergences;
use super::event::Recording;
use super::link::LinkId;
use super::message::Message;
use super::own_store::{Ack, OwnStore, StoreState};
use super::rehearsal::Rehearsals;
use super::seek::{Looking, Seek};
use super::settings::{SCROLLBACK_BYTES_MAX, Settings};
use super::standing::Standing;
use super::switch_state::SwitchState;
use super::terminals::Terminals;
use super::world::World;
use crate::base::{Generation, NodeId, Sabotage, Seq};
use crate::cpu::Stuck;
use crate::devices::disk::DiskRequest;
use crate::log::Tail;
use crate::machine::{Machine, MachineConfig};

/// A second request to end a node that refused the first counts as one within this time.
pub const INSIST_NS: u64 = 60_000_000_000;

/// What both roles need and neither owns.
pub(super) struct Common {
    pub id: NodeId,
    pub vm: String,
    pub settings: Settings,
    pub commands: Vec<Command>,
    pub terminals: Terminals,
    /// The end of the log as this node has it.
    pub tail: Tail,
    /// Where this node listens, for its peer to report to terminals.
    pub listen: Option<String>,
    /// Why the arbiter decides nothing, as last reported.
    pub arbiter_trouble: Option<String>,
    pub switch: SwitchState,
    /// Reported: the switch's fence does not come from the arbiter.
    pub fence_told: bool,
    /// Peers that were suspected.
    pub suspicions: u64,
    /// How beats are sent and received here, for the status.
    pub beats_run: Option<String>,
    /// When this node began.
    pub born_ns: u64,
    /// Of the program, for its status.
    pub version: &'static str,
    pub takeovers: u64,
    pub recording: Recording,
    pub store: OwnStore,
    /// When an entry of this vm's log counts.
    pub ack: Ack,
    pub checkpoints: Checkpoints,
    pub rehearsals: Rehearsals,
    /// What this node's store may permit after a loss of all nodes.
    pub standing: Standing,
    pub divergences: Divergences,
    /// What is left of a replay that diverges is wanted.
    pub keeps_evidence: bool,
    /// When the operator was last refused to end this node.
    quit_refused_ns: Option<u64>,
    /// Whether a recording or a store wants the log, and the state that it begins with.
    pub records: bool,
    /// The machine that a joiner is configured to expect.
    pub expects: Option<Box<MachineConfig>>,
    pub seek: Seek,
    /// The time of the event or turn that is being worked on.
    pub now_ns: u64,
    /// Reported: the guest can only trap.
    pub stuck_told: bool,
}

impl Common {
    pub fn new(id: NodeId, vm: &str, settings: Settings) -> Self {
        let scrollback_bytes = settings.scrollback_bytes.clamp(1, SCROLLBACK_BYTES_MAX);
        let terminals = Terminals::new(vm, id, scrollback_bytes);
        Self {
            id,
            vm: vm.to_owned(),
            settings,
            commands: Vec::new(),
            terminals,
            tail: Tail::starting(Seq(1), Generation::ZERO, 0),
            listen: None,
            arbiter_trouble: None,
            switch: SwitchState::None,
            fence_told: false,
            suspicions: 0,
            beats_run: None,
            born_ns: 0,
            version: "",
            takeovers: 0,
            recording: Recording::None,
            store: OwnStore::default(),
            ack: settings.ack,
            checkpoints: Checkpoints::default(),
            rehearsals: Rehearsals::default(),
            standing: Standing::default(),
            divergences: Divergences::default(),
            keeps_evidence: false,
            quit_refused_ns: None,
            records: true,
            expects: None,
            seek: Seek::default(),
            now_ns: 0,
            stuck_told: false,
        }
    }

    /// Tells once if the guest has got to where it can only trap.
    pub fn watch_for_stuck(&mut self, machine: &Machine) {
        let Some(Stuck { at, pc, cause }) = machine.hart().stuck().filter(|_| !self.stuck_told) else {
            return;
        };
        self.stuck_told = true;
        self.commands.push(Command::Warn(format!(
            "the guest only traps since {at}: its trap handler is at {pc:#x}, and the first instruction there \
             raises: {cause}"
        )));
    }

    /// Takes a new identity: what the arbiter and the logs know of this node under its last one stays true of that.
    fn is_new<W: World>(&mut self, world: &mut W) {
        let mut bytes = [0; 8];
        world.entropy(&mut bytes);
        self.id = NodeId(u64::from_le_bytes(bytes));
        self.terminals.node_is(self.id);
    }

    /// Tries the next address when it is time; when to look again.
    pub fn look<W: World>(&mut self, looking: &mut Looking, world: &mut W) -> u64 {
        match looking {
            Looking::Resting { until_ns } if *until_ns <= self.now_ns => {
                let Some(address) = self.seek.next() else { return u64::MAX };
                self.is_new(world);
                self.commands.push(Command::Dial { address: address.clone() });
                *looking = Looking::Dialing { address };
                u64::MAX
            }
            Looking::Resting { until_ns } => *until_ns,
            Looking::Dialing { .. } => u64::MAX,
        }
    }

    /// An attempt has failed, for the reason in `why`: what comes next.
    pub fn look_on(&mut self, why: String) -> Looking {
        self.not_found(why);
        let rest_ns = self.seek.rest_ns();
        if rest_ns > 0 && self.seek.was_member() {
            // It may be that no other node is left, because there is nothing left to follow.
            self.commands.push(Command::AskHolder);
        }
        Looking::Resting { until_ns: self.now_ns.saturating_add(rest_ns) }
    }

    /// Another node is reported to listen at `address`.
    pub fn learn(&mut self, address: &str) {
        self.seek.learn(address, self.listen.as_deref());
    }

    pub fn learn_all(&mut self, addresses: &[String]) {
        addresses.iter().take(super::seek::TOLD_MAX).for_each(|address| self.learn(address));
    }

    /// The last entry that may count on this node: of those up to `last`, which it holds.
    pub fn counted_here(&self, last: Seq) -> Seq {
        match self.ack {
            Ack::Memory => last,
            Ack::Disk if Sabotage::DurableUnawaited.is_on() => last,
            Ack::Disk => self.store.durable().unwrap_or_default().min(last),
        }
    }

    /// Works on the checkpoints, which need the rest.
    pub fn with_checkpoints<T>(&mut self, work: impl FnOnce(&mut Checkpoints, &mut Self) -> T) -> T {
        let mut checkpoints = std::mem::take(&mut self.checkpoints);
        let done = work(&mut checkpoints, self);
        self.checkpoints = checkpoints;
        done
    }

    /// Works on the rehearsals, which need the rest.
    pub fn with_rehearsals<T>(&mut self, work: impl FnOnce(&mut Rehearsals, &mut Self) -> T) -> T {
        let mut rehearsals = std::mem::take(&mut self.rehearsals);
        let done = work(&mut rehearsals, self);
        self.rehearsals = rehearsals;
        done
    }

    /// What was under way of a role that is over is not wanted any more.
    pub fn role_is_over(&mut self) {
        self.store.forget();
        self.with_checkpoints(Checkpoints::role_is_over);
        self.with_rehearsals(Rehearsals::role_is_over);
    }

    /// Why nothing can count on this node: entries count on disk, and its store has ended.
    pub fn store_failure(&self) -> Option<&str> {
        match &self.store.state {
            StoreState::Ended { why } if self.ack == Ack::Disk => Some(why),
            _ => None,
        }
    }

    /// Asks a disk of this node once entry `mark`, which determines the request, is durable here.
    pub fn ask_disk(&mut self, mark: Seq, request: DiskRequest) {
        self.store.ask(mark, Command::Disk(request), &mut self.commands);
    }

    /// Asks a disk of this node for part of a state transfer, a checkpoint or a rehearsal, after everything asked of it before.
    pub fn ask_disk_work(&mut self, job: DiskJob) {
        self.store.ask(Seq::ZERO, Command::DiskWork(job), &mut self.commands);
    }

    /// This node has a machine, and its log goes on with entry `next`, of `generation`.
    pub fn log_begins(&mut self, next: Seq, generation: Generation) {
        // Outside fault tolerance nobody asks.
        let bytes_max = if generation == Generation::ZERO { 0 } else { self.settings.tail_bytes_max };
        self.tail = Tail::starting(next, generation, bytes_max);
    }

    /// Tells the peer where it may find other nodes.
    pub fn say_known(&mut self, link: LinkId) {
        let addresses = self.seek.known();
        if !addresses.is_empty() {
            self.send(link, Message::Known { addresses });
        }
    }

    /// Tells a joiner to ask again, or elsewhere.
    pub fn put_off(&mut self, link: LinkId, why: impl Into<String>) {
        let known = self.seek.known();
        self.send(link, Message::Later { why: why.into(), known });
        self.commands.push(Command::Close { link });
    }

    /// Whether this request to end the node repeats one that was refused a short time ago; if not, reports
    /// `lost`, what its end would destroy.
    pub fn is_insisted_on(&mut self, now_ns: u64, lost: &str) -> bool {
        if self.quit_refused_ns.is_some_and(|at| now_ns.saturating_sub(at) < INSIST_NS) {
            return true;
        }
        self.quit_refused_ns = Some(now_ns);
        let at = self.listen.as_deref().unwrap_or("ADDR");
        self.tell(format!(
            "not ended: {lost}. Join it first with `lockstep backup --primary {at}`, or ask once more within {} s to end \
             it all the same",
            INSIST_NS / 1_000_000_000
        ));
        false
    }

    /// Tells the peer where terminals reach this node.
    pub fn say_whereabouts(&mut self, link: LinkId) {
        if let Some(listen) = self.listen.clone() {
            self.send(link, Message::Whereabouts { listen });
        }
    }

    /// Tells how far a state transfer is whenever the `done`-th of so many chunks completes another tenth.
    pub fn tell_tenths(&mut self, done: u32, chunks: u32, what: &str) {
        let tenths = |done: u32| u64::from(done) * 10 / u64::from(chunks.max(1));
        if (1..=chunks).contains(&done) && tenths(done - 1) < tenths(done) {
            self.tell(format!("state transfer: {done} of {chunks} chunks {what}"));
        }
    }

    pub fn send(&mut self, link: LinkId, message: Message) {
        self.commands.push(Command::Send { link, message });
    }

    pub fn tell(&mut self, text: impl Into<String>) {
        self.commands.push(Command::Tell(text.into()));
    }

    /// For people, also where messages about the node are not printed.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.commands.push(Command::Warn(text.into()));
    }

    /// Notes how the arbiter is. It is asked over and over: only a change is reported.
    pub fn arbiter_is(&mut self, trouble: Option<String>) {
        if self.arbiter_trouble != trouble {
            self.tell(trouble.as_deref().unwrap_or("the arbiter answers again"));
            self.arbiter_trouble = trouble;
        }
    }

    /// An attempt to join has failed and another follows. Attempts are frequent: only a new reason is
    /// reported.
    pub fn not_found(&mut self, why: String) {
        if self.seek.last.as_ref() != Some(&why) {
            self.tell(format!("{why}; this node tries again"));
            self.seek.last = Some(why);
        }
    }

    /// Says no on a connection that asked for something, and ends it.
    pub fn refuse(&mut self, link: LinkId, why: impl Into<String>) {
        self.send(link, Message::Refuse { why: why.into() });
        self.commands.push(Command::Close { link });
    }
}
