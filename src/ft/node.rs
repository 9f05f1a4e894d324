//! A node: one machine in one role, driven by events, speaking in commands.
//!
//! The driver (real or simulated) hands every event to [`Node::step`], calls [`Node::run`] in
//! between, and carries out the commands that [`Node::take_commands`] yields *in order*. A crash
//! between any two commands must be survivable; the simulator tries them all.

use super::arbiter::{ArbiterError, Holder};
use super::backup::Backup;
use super::command::{Command, Evidence, Halt};
use super::common::Common;
use super::disk::DiskWorked;
use super::divergences::DIVERGENCES_MAX;
use super::event::{Event, Recording};
use super::handover::{Boot, Next, Restart};
use super::link::LinkId;
use super::message::Message;
use super::own_store::{Ack, StoreState};
use super::primary::Primary;
use super::seek::{Looking, Seek, Seeking};
use super::settings::Settings;
use super::standing::Standing;
use super::status::{CheckpointStatus, DiskStanding, NodeStatus};
use super::switch_state::SwitchState;
use super::world::{Pace, World};
use crate::base::{Generation, Icount, NodeId, Sabotage, Seq};
use crate::machine::{Executed, Machine, MachineConfig};
use crate::replay::Divergence;

/// Log that is kept beside a divergence.
const EVIDENCE_LOG_BYTES_MAX: usize = 1 << 20;

pub(super) enum Role {
    Primary(Box<Primary>),
    Backup(Box<Backup>),
    Seeking(Seeking),
    Halted { generation: Generation, icount: Icount, executed: Option<Executed> },
}

impl Role {
    fn peer_links(&self) -> impl Iterator<Item = LinkId> {
        let (followers, primary) = match self {
            Role::Primary(primary) => (Some(primary.peer_links()), None),
            Role::Backup(backup) => (None, backup.peer_link()),
            Role::Seeking(_) | Role::Halted { .. } => (None, None),
        };
        followers.into_iter().flatten().chain(primary)
    }

    fn backup_machine(&mut self) -> Option<&mut Machine> {
        match self {
            Role::Backup(backup) => backup.machine_mut(),
            Role::Primary(_) | Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }

    fn is_peer(&self, link: LinkId) -> bool {
        match self {
            Role::Primary(primary) => primary.is_peer(link),
            Role::Backup(backup) => backup.peer_link() == Some(link),
            Role::Seeking(_) | Role::Halted { .. } => false,
        }
    }
}

/// A machine in a role.
pub struct Node {
    common: Common,
    role: Role,
}

impl Node {
    /// A primary at the beginning of its guest's life.
    pub fn primary(id: NodeId, vm: &str, boot: Boot, settings: Settings, now_ns: u64) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        let primary = Primary::boot(&mut common, boot, now_ns);
        common.seek.is_member_now();
        Self { common, role: Role::Primary(Box::new(primary)) }
    }

    /// A backup that introduces itself to the primary at the other end of `link`.
    pub fn backup(id: NodeId, vm: &str, link: LinkId, settings: Settings, now_ns: u64) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        let backup = Backup::join(&mut common, link, now_ns);
        Self { common, role: Role::Backup(Box::new(backup)) }
    }

    /// A node that looks for the primary of `vm` at `addresses`, for `wait_ns`, to become its backup.
    pub fn seeking(
        id: NodeId,
        vm: &str,
        addresses: Vec<String>,
        wait_ns: u64,
        settings: Settings,
        now_ns: u64,
    ) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        common.seek = Seek::starting(addresses, wait_ns, now_ns);
        Self { common, role: Role::Seeking(Seeking::Looking(Looking::Resting { until_ns: now_ns })) }
    }

    /// A node that goes on from its own store: it is to be given the log behind the checkpoint as [`Event::Stored`].
    /// It looks for the primary at `addresses`, if there are any, and carries the guest on itself if it may and
    /// nobody else does.
    pub fn restarting(
        id: NodeId,
        vm: &str,
        restart: Restart,
        addresses: Vec<String>,
        settings: Settings,
        now_ns: u64,
    ) -> Self {
        let mut common = Common::new(id, vm, settings);
        common.born_ns = now_ns;
        common.seek = Seek::starting(addresses, restart.wait_ns, now_ns);
        common.seek.is_member_now();
        let backup = Backup::restart(&mut common, restart, now_ns);
        Self { common, role: Role::Backup(Box::new(backup)) }
    }

    /// Whether it is to be given the next frame of its store.
    pub fn takes_stored(&self) -> bool {
        matches!(&self.role, Role::Backup(backup) if backup.takes_stored())
    }

    /// What its store may permit after a loss of all nodes.
    pub fn standing(&self) -> &Standing {
        &self.common.standing
    }

    /// When an entry of this vm's log counts.
    pub fn ack(&self) -> Ack {
        self.common.ack
    }

    /// Where other nodes of this vm listen, as far as this one knows.
    pub fn known(&self) -> Vec<String> {
        self.common.seek.known()
    }

    /// Has this node look for the primary, to become its backup, when it loses its place in the pair without a
    /// fault of its own.
    pub fn rejoins(&mut self) {
        self.common.seek.rejoins = true;
    }

    /// Says where terminals reach this node, before anything happens to it.
    pub fn listens_at(&mut self, address: String) {
        self.common.listen = Some(address);
    }

    /// Notes how the thread that sends and receives beats runs, for the status.
    pub fn beats_run(&mut self, how: String) {
        self.common.beats_run = Some(how);
    }

    /// The connections to other nodes of this vm: of a primary to its followers, of a backup to its primary.
    pub fn peer_links(&self) -> impl Iterator<Item = LinkId> {
        self.role.peer_links()
    }

    /// Whether `link` is one of [`Node::peer_links`].
    pub fn is_peer(&self, link: LinkId) -> bool {
        self.role.is_peer(link)
    }

    fn has_peer(&self) -> bool {
        self.role.peer_links().next().is_some()
    }

    /// How often each side sends something at least.
    pub fn heartbeat_ns(&self) -> u64 {
        self.common.settings.heartbeat_ns
    }

    /// Names the program's version, for the node's status.
    pub fn version_is(&mut self, version: &'static str) {
        self.common.version = version;
    }

    /// This node makes no recording: a backup need not keep a copy of its state for one when its machine is
    /// restored.
    pub fn does_not_record(&mut self) {
        self.common.records = false;
    }

    /// Evidence of a divergence of this node is to be kept.
    pub fn keeps_evidence(&mut self) {
        self.common.keeps_evidence = true;
    }

    /// Has a backup refuse any machine but this one.
    pub fn expects(&mut self, config: MachineConfig) {
        self.common.expects = Some(Box::new(config));
    }

    /// The node's identity.
    pub fn id(&self) -> NodeId {
        self.common.id
    }

    /// The vm's name.
    pub fn vm(&self) -> &str {
        &self.common.vm
    }

    /// Takes an event in. Cheap: the work is done by [`Node::run`].
    pub fn step(&mut self, event: Event, now_ns: u64) {
        self.take_in(event, now_ns);
        debug_assert_eq!(self.check(), Ok(()));
    }

    fn take_in(&mut self, event: Event, now_ns: u64) {
        self.common.now_ns = now_ns;
        if let Event::Message { link, message: Message::Status } = &event
            && !self.role.is_peer(*link)
        {
            let link = *link;
            let json = serde_json::to_string(&self.status(now_ns)).expect("a status serialises");
            self.common.send(link, Message::Answer { json });
            self.common.commands.push(Command::Close { link });
            return;
        }
        if let Event::Message { link, message: Message::Leave } = event
            && !self.role.is_peer(link)
            && !self.common.terminals.is_terminal(link)
        {
            return self.leave(link, now_ns);
        }
        if let Event::Message { link, message: Message::Checkpoint } = event
            && !self.role.is_peer(link)
            && !self.common.terminals.is_terminal(link)
        {
            return match &mut self.role {
                Role::Primary(primary) => primary.ask_checkpoint(&mut self.common, link),
                _ => self.common.refuse(link, "this node is not the primary; ask that"),
            };
        }
        if let Event::Message { link, message: Message::Rehearse { seconds } } = event
            && !self.role.is_peer(link)
            && !self.common.terminals.is_terminal(link)
        {
            return self.rehearse(link, seconds);
        }
        if let Event::Rehearsed { fork, outcome } = event {
            let machine = self.role.backup_machine();
            self.common
                .with_rehearsals(|rehearsals, common| rehearsals.ended(common, machine, fork, outcome));
            return;
        }
        if let Event::DiskWorked(DiskWorked { link: LinkId::SANDBOX, outcome, .. }) = event {
            let machine = self.role.backup_machine();
            self.common
                .with_rehearsals(|rehearsals, common| rehearsals.disk_worked(common, machine, outcome));
            return;
        }
        if let Event::LinkClosed { link, .. } = &event {
            let machine = self.role.backup_machine();
            self.common.with_rehearsals(|rehearsals, common| rehearsals.link_closed(common, machine, *link));
        }
        if let Event::ArbiterSeen { generation, seen } = event {
            self.arbiter_seen(generation, seen);
            return;
        }
        if let Event::HolderSeen(seen) = event {
            self.holder_seen(seen);
            return;
        }
        match &event {
            Event::Switch(state) => {
                self.common.switch = state.clone();
                return;
            }
            Event::Recording(recording) => {
                self.common.recording = recording.clone();
                return;
            }
            Event::Durable { upto } => {
                let Common { store, commands, .. } = &mut self.common;
                store.is_durable(*upto, commands);
            }
            Event::Store(StoreState::Ended { why }) => {
                let Common { store, commands, .. } = &mut self.common;
                store.ends(why.clone(), commands);
            }
            Event::Store(state) => self.common.store.state = state.clone(),
            Event::Fenced { current } => self.common.switch = SwitchState::Fenced { by: *current },
            _ => {}
        }
        if self.terminal_step(&event, now_ns) {
            return;
        }
        let next = match &mut self.role {
            Role::Primary(primary) => primary.step(&mut self.common, event, now_ns),
            Role::Backup(backup) => backup.step(&mut self.common, event, now_ns),
            Role::Seeking(_) => self.seeking_step(event, now_ns),
            Role::Halted { .. } => Next::Stay,
        };
        self.follow(next);
    }

    /// A tool wants the takeover by this node rehearsed.
    fn rehearse(&mut self, link: LinkId, seconds: u32) {
        let common = &mut self.common;
        let hindrance = match &self.role {
            Role::Backup(backup) => backup.not_rehearsed(),
            Role::Primary(_) => Some("this node is the primary, and its guest is live; ask a backup"),
            Role::Seeking(_) | Role::Halted { .. } => Some("this node has no guest at present"),
        };
        match hindrance {
            Some(why) => common.refuse(link, why),
            None => common.with_rehearsals(|rehearsals, common| rehearsals.ask(common, link, seconds)),
        }
    }

    /// Nothing is rehearsed by a node that takes over, or that would not: before its role does anything else.
    fn give_up_rehearsal(&mut self) {
        if !self.common.rehearsals.is_under_way() || Sabotage::RehearsalKept.is_on() {
            return;
        }
        let why = match &self.role {
            Role::Backup(backup) => backup.not_rehearsed(),
            Role::Primary(_) | Role::Seeking(_) | Role::Halted { .. } => {
                Some("this node is no backup any more")
            }
        };
        if let Some(why) = why {
            let machine = self.role.backup_machine();
            self.common.with_rehearsals(|rehearsals, common| rehearsals.give_up(common, machine, why));
        }
    }

    /// A tool wants this node to go.
    fn leave(&mut self, link: LinkId, now_ns: u64) {
        let is_last = match &self.role {
            Role::Primary(primary) => primary.is_last(),
            Role::Backup(backup) => backup.is_last(),
            Role::Seeking(_) | Role::Halted { .. } => false,
        };
        if is_last {
            let why = "no other node has the guest: join one with `lockstep backup` first, or end this one by a \
                       signal";
            return self.common.refuse(link, why);
        }
        let json = serde_json::json!({ "left": true, "generation": self.generation() }).to_string();
        self.common.send(link, Message::Answer { json });
        self.common.commands.push(Command::Close { link });
        self.step(Event::Quit, now_ns);
    }

    /// The generation that this node leads or follows, and whom the arbiter must name for it; none while it
    /// is being settled, or outside fault tolerance.
    pub fn generation_and_holder(&self) -> Option<(Generation, NodeId)> {
        let generation = match &self.role {
            Role::Primary(primary) => primary.generation_and_holder(self.common.id),
            Role::Backup(backup) => backup.generation_and_holder(),
            Role::Seeking(_) | Role::Halted { .. } => None,
        };
        generation.filter(|(generation, _)| *generation != Generation::ZERO)
    }

    /// The arbiter is looked at while nothing depends on it: trouble is known before it does harm.
    fn arbiter_seen(&mut self, generation: Generation, seen: Result<NodeId, ArbiterError>) {
        let Some((_, holder)) = self.generation_and_holder().filter(|(active, _)| *active == generation)
        else {
            return;
        };
        match seen {
            Ok(node) if node == holder => {
                self.common.arbiter_is(None);
                // A node that was fenced, and not replaced as far as the arbiter knew, keeps asking.
                if self.common.switch.fenced_past(generation) {
                    self.common.commands.push(Command::AskHolder);
                }
            }
            // It has gone back, and granted this generation once more: two histories begin here, and the
            // arbiter's record decides.
            Ok(to) if self.is_primary() => self.follow(Next::Halt(Halt::LostClaim { generation, to })),
            Ok(to) => self.common.arbiter_is(Some(format!(
                "a takeover would be refused: the arbiter says that generation {generation} belongs to node {to}, \
                 this node follows {holder}"
            ))),
            Err(error) => self.common.arbiter_is(Some(format!("a takeover would have to wait: {error}"))),
        }
    }

    /// An event for a node that looks for the primary.
    fn seeking_step(&mut self, event: Event, now_ns: u64) -> Next {
        let Role::Seeking(seeking) = &mut self.role else { return Next::Stay };
        match event {
            Event::RoleLeft => {
                let until_ns = now_ns.saturating_add(self.common.seek.rest_ns());
                let until_ns = until_ns.max(self.common.divergences.joins_at_ns);
                *seeking = Seeking::Looking(Looking::Resting { until_ns });
            }
            Event::Dialed { address, outcome } => {
                match seeking {
                    Seeking::Looking(Looking::Dialing { address: wanted }) if *wanted == address => {}
                    _ => return Next::Stay,
                }
                match outcome {
                    Ok(link) => {
                        self.role = Role::Backup(Box::new(Backup::join(&mut self.common, link, now_ns)));
                    }
                    Err(error) => {
                        let why = format!("the primary at {address} does not answer: {error}");
                        let halt = Halt::NoPrimary { why: why.clone() };
                        if !self.common.seek.goes_on_after(&halt, now_ns) {
                            return Next::Halt(halt);
                        }
                        let looking = self.common.look_on(why);
                        self.role = Role::Seeking(Seeking::Looking(looking));
                    }
                }
            }
            Event::Message { link, message } => match message {
                Message::Join { .. } | Message::Resume { .. } => {
                    self.common.put_off(link, "this node looks for the primary itself");
                }
                Message::SwitchOver => self.common.refuse(link, "this node looks for its primary; ask that"),
                _ => self.common.commands.push(Command::Close { link }),
            },
            Event::Quit => return Next::Halt(Halt::Quit),
            _ => {}
        }
        Next::Stay
    }

    /// Tries the next address when it is time.
    fn seeking_run<W: World>(&mut self, world: &mut W) -> Pace {
        let Role::Seeking(seeking) = &mut self.role else { return Pace::Now };
        match seeking {
            Seeking::Looking(looking) => Pace::At(self.common.look(looking, world)),
            Seeking::Leaving => Pace::At(u64::MAX),
        }
    }

    /// Takes note of the newest generation of its guest's life that this node, which ends its role, knows of.
    fn note_newest(&mut self, halt: &Halt) {
        let (life, generation) = match &self.role {
            Role::Primary(primary) => (primary.life(), primary.generation()),
            Role::Backup(backup) => (backup.life(), backup.generation()),
            Role::Seeking(_) | Role::Halted { .. } => return,
        };
        let newest = match halt {
            Halt::LostClaim { generation: lost, .. } => generation.max(*lost),
            _ => generation,
        };
        if newest != Generation::ZERO {
            self.common.seek.has_seen(life, newest);
        }
    }

    /// Leaves a role that is lost, and looks for the primary.
    fn seek(&mut self, halt: Halt) {
        let common = &mut self.common;
        for link in self.role.peer_links() {
            // Who has diverged has said that.
            if !matches!(halt, Halt::Diverged(_)) {
                let why = "this node has lost its place".to_owned();
                common.send(link, Message::Bye { why });
            }
            common.commands.push(Command::Close { link });
        }
        match &halt {
            Halt::LostClaim { generation, to } => common.tell(format!(
                "generation {generation} belongs to node {to}, which carries the guest on: this node leaves its role \
                 and looks for it, to be its backup"
            )),
            Halt::NotJoined { why, .. } | Halt::NoPrimary { why } => common.not_found(format!("not joined: {why}")),
            Halt::Diverged(divergence) => {
                common.warn(divergence.to_string());
                divergence.context.iter().for_each(|line| common.tell(format!("  {line}")));
                common.tell("this node leaves the log, and gets the state anew from the primary");
                common.seek.last = Some(format!("this node has diverged at {}", divergence.machine_at));
                common.seek.was_taken_on(common.divergences.joins_at_ns);
            }
            _ => {}
        }
        if matches!(halt, Halt::LostClaim { .. } | Halt::Diverged(_)) {
            self.farewell(&halt);
            self.common.terminals.leave();
        }
        let left = self.vacate();
        self.hand_in_evidence(left, &halt);
        self.common.role_is_over();
        let common = &mut self.common;
        (common.switch, common.fence_told, common.arbiter_trouble) = (SwitchState::None, false, None);
        common.commands.push(Command::LeaveRole { halt });
        self.role = Role::Seeking(Seeking::Leaving);
    }

    /// The arbiter's answer about the newest generation: this node has lost if another node holds it.
    fn holder_seen(&mut self, seen: Result<Option<Holder>, ArbiterError>) {
        if matches!(self.role, Role::Seeking(_)) {
            if let Ok(Some(Holder { bid, ended: true })) = seen {
                let why = format!("the guest has ended, in generation {}", bid.generation);
                self.follow(Next::Halt(Halt::NotJoined { why, for_good: true }));
            }
            return;
        }
        if let (Role::Backup(backup), Ok(Some(Holder { bid, ended: true }))) = (&self.role, &seen)
            && backup.is_away()
        {
            let why = format!("the guest has ended, in generation {}", bid.generation);
            self.follow(Next::Halt(Halt::NotJoined { why, for_good: true }));
            return;
        }
        if let Role::Backup(backup) = &mut self.role
            && backup.awaits_holder()
        {
            let next = backup.holder_seen(&mut self.common, seen);
            self.follow(next);
            return;
        }
        // A claim that is under way decides.
        let Some((generation, _)) = self.generation_and_holder() else { return };
        match seen {
            Ok(Some(Holder { bid, .. }))
                if bid.generation > generation
                    && bid.node != self.common.id
                    && !bid.keeps.contains(&self.common.id) =>
            {
                self.follow(Next::Halt(Halt::LostClaim { generation: bid.generation, to: bid.node }));
            }
            // A planned change of places: the new primary's log is on its way. Its switch was faster.
            Ok(Some(Holder { bid, .. })) if bid.generation > generation => {}
            Ok(_) => {
                let SwitchState::Fenced { by } = self.common.switch else { return };
                if by <= generation {
                    return;
                }
                if let Role::Primary(primary) = &mut self.role
                    && primary.outbid(&mut self.common, by)
                {
                    return;
                }
                if !self.common.fence_told {
                    self.common.fence_told = true;
                    self.common.tell(format!(
                        "the arbiter has given away no generation after {generation}, yet the switch serves generation \
                         {by}: a node that uses another arbiter claims this vm's name there, and the guest is cut off"
                    ));
                }
            }
            Err(error) => {
                self.common.arbiter_is(Some(format!("fenced by the switch, and not settled: {error}")))
            }
        }
    }

    /// Does what is a terminal's business; false if it is not.
    fn terminal_step(&mut self, event: &Event, now_ns: u64) -> bool {
        let Common { terminals, commands, .. } = &mut self.common;
        match event {
            Event::Message { link, message: Message::Attach { life, from, session } }
                if !terminals.is_terminal(*link) && !self.role.is_peer(*link) =>
            {
                terminals.attach(*link, (*life, *from, *session), now_ns, commands);
            }
            Event::Message { link, message } if terminals.is_terminal(*link) => {
                terminals.message(*link, message.clone(), commands);
            }
            Event::LinkClosed { link, .. } if terminals.is_terminal(*link) => terminals.detach(*link),
            Event::ConsoleSize { cols, rows } => terminals.resize(*cols, *rows),
            _ => return false,
        }
        true
    }

    /// Works for about one slice.
    pub fn run<W: World>(&mut self, world: &mut W) -> Pace {
        self.common.now_ns = world.now_ns();
        self.give_up_rehearsal();
        let pace = self.run_role(world);
        debug_assert_eq!(self.check(), Ok(()));
        let Common { terminals, commands, .. } = &mut self.common;
        let again_ns = terminals.show(world, commands);
        match pace {
            Pace::Now => Pace::Now,
            Pace::At(at_ns) => Pace::At(at_ns.min(again_ns)),
        }
    }

    fn run_role<W: World>(&mut self, world: &mut W) -> Pace {
        let (next, pace) = match &mut self.role {
            Role::Primary(primary) => primary.run(&mut self.common, world),
            Role::Backup(backup) => backup.run(&mut self.common, world),
            Role::Seeking(_) => return self.seeking_run(world),
            Role::Halted { .. } => (Next::Stay, Pace::At(u64::MAX)),
        };
        match next {
            Next::Stay => {
                if let Role::Primary(primary) = &self.role {
                    self.common.watch_for_stuck(primary.machine());
                }
                return pace;
            }
            Next::GoLive => {
                if let Role::Backup(backup) = self.vacate() {
                    let inheritance = backup.into_inheritance(&mut self.common, world.now_ns());
                    let primary = Primary::go_live(&mut self.common, world, inheritance);
                    self.role = Role::Primary(Box::new(primary));
                }
            }
            Next::Halt(_) | Next::Yield(_) => self.follow(next),
        }
        Pace::Now
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Stay => {}
            Next::Halt(halt) => self.end(halt),
            Next::Yield(to) => {
                if let Role::Primary(primary) = self.vacate() {
                    let common = &mut self.common;
                    let backup = primary
                        .into_follower(common, &to)
                        .and_then(|follows| Backup::after_switch_over(common, to, follows));
                    match backup {
                        Ok(backup) => self.role = Role::Backup(Box::new(backup)),
                        Err(halt) => self.end(halt),
                    }
                }
            }
            Next::GoLive => unreachable!("only a run goes live: it needs the host's clock"),
        }
    }

    /// The present role is over: another is looked for, if that is this node's way.
    fn end(&mut self, halt: Halt) {
        let now_ns = self.common.now_ns;
        if matches!(&self.role, Role::Backup(backup) if backup.is_taken_on()) {
            self.common.seek.was_taken_on(now_ns);
        }
        let diverged = matches!(halt, Halt::Diverged(_));
        if diverged && Sabotage::DivergedBids.is_on() {
            return;
        }
        let goes_on = self.may_heal_after(&halt) && self.common.seek.goes_on_after(&halt, now_ns);
        if goes_on {
            self.note_newest(&halt);
        }
        if let (true, Role::Backup(backup)) = (goes_on, &mut self.role)
            && self.common.seek.was_member()
            && backup.can_resume()
            && (!diverged || Sabotage::DivergedResumes.is_on())
        {
            let why = match &halt {
                Halt::LostClaim { generation, to } => format!("generation {generation} belongs to node {to}"),
                Halt::NotJoined { why, .. } => why.clone(),
                _ => "its place is lost".to_owned(),
            };
            backup.look_for_primary(&mut self.common, &why);
        } else if goes_on {
            self.seek(halt);
        } else {
            let left = self.vacate();
            self.hand_in_evidence(left, &halt);
            self.common.role_is_over();
            self.farewell(&halt);
            self.common.commands.push(Command::Halt(halt));
        }
    }

    /// Whether a node that ends with `halt` gets the state anew, if it has diverged: only while another node has the
    /// guest, and not again and again.
    fn may_heal_after(&mut self, halt: &Halt) -> bool {
        let Halt::Diverged(divergence) = halt else { return true };
        let common = &mut self.common;
        // Its store is begun anew with the next state: of what it was to its group nothing is left.
        common.standing = Standing::default();
        common.store.state = StoreState::None;
        if !common.divergences.found(divergence, common.now_ns) {
            common.warn(format!(
                "this node has diverged {DIVERGENCES_MAX} times within an hour, and ends: suspect this host's memory and \
                 processor, and then the translator (`--engine interpreter` does without)"
            ));
            return false;
        }
        let is_replaceable = matches!(&self.role, Role::Backup(backup) if backup.is_replaceable());
        if !is_replaceable {
            common.warn(
                "this node has no primary, and may have the only copy of the guest: it ends, and does not go live. If \
                 another node goes on, join it with `lockstep backup`; otherwise `lockstep store verify` tells whether \
                 this node's store can be gone on from (the guide: When a node reports a divergence)",
            );
        }
        is_replaceable
    }

    /// Hands in what is left of a role that has diverged, if somebody wants it.
    fn hand_in_evidence(&mut self, left: Role, halt: &Halt) {
        let (Halt::Diverged(divergence), Role::Backup(backup)) = (halt, left) else { return };
        let common = &mut self.common;
        if let Some(machine) = backup.into_machine().filter(|_| common.keeps_evidence) {
            let (divergence, log) =
                (Divergence::clone(divergence), common.tail.upto(divergence.seq, EVIDENCE_LOG_BYTES_MAX));
            common.commands.push(Command::KeepEvidence(Box::new(Evidence { divergence, log, machine })));
        }
    }

    /// The last messages to the terminals: whether to look for the guest elsewhere.
    fn farewell(&mut self, halt: &Halt) {
        let ended = self.common.commands.iter().any(|command| matches!(command, Command::EndLife { .. }));
        let alone = ended || self.generation() == Generation::ZERO;
        let last = match halt {
            Halt::GuestEnded(exit) => {
                Message::ConsoleEnd { status: exit.status(), how: format!("the guest ended with {exit}") }
            }
            Halt::LimitReached | Halt::Quit if alone => {
                Message::ConsoleEnd { status: 0, how: "the operator ended the guest".into() }
            }
            Halt::LimitReached | Halt::Quit => Message::Bye { why: "the operator ended this node".into() },
            Halt::LostClaim { .. } => Message::Bye { why: "another node carries the guest on".into() },
            Halt::NotJoined { .. } | Halt::NoPrimary { .. } => {
                Message::Bye { why: "this node has not joined".into() }
            }
            Halt::Diverged(_) => Message::Bye { why: "this node has diverged".into() },
            Halt::DiskFailed { .. } => Message::Bye { why: "this node has lost a disk".into() },
            Halt::StoreFailed { .. } => Message::Bye { why: "this node has lost its store".into() },
        };
        let Common { terminals, commands, .. } = &mut self.common;
        terminals.finish(&last, commands);
    }

    /// Leaves the role behind, halted where it stood.
    fn vacate(&mut self) -> Role {
        let executed = self.machine().map(Machine::executed);
        let halted = Role::Halted { generation: self.generation(), icount: self.icount(), executed };
        std::mem::replace(&mut self.role, halted)
    }

    /// The first invariant of this node that does not hold, in words: a fault of the code, whatever came. The simulator
    /// asks after every step, and a debug build asserts it.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        self.common.store.check()?;
        self.common.checkpoints.check()?;
        match &self.role {
            Role::Primary(primary) => primary.check(&self.common),
            Role::Backup(backup) => backup.check(&self.common),
            Role::Seeking(_) | Role::Halted { .. } => Ok(()),
        }
    }

    /// Flips a bit in the memory of a backup's machine, as a fault of its host would: for the simulator.
    pub(crate) fn flip_bit(&mut self) {
        if let Some(machine) = self.role.backup_machine() {
            machine.flip_bit();
        }
    }

    /// What the node wants done, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.common.commands)
    }

    /// The newest generation that the node knows.
    pub fn generation(&self) -> Generation {
        match &self.role {
            Role::Primary(primary) => primary.generation(),
            Role::Backup(backup) => backup.generation(),
            Role::Seeking(_) => self.common.seek.generation(),
            Role::Halted { generation, .. } => *generation,
        }
    }

    /// The position of its machine; 0 while it has none.
    pub fn icount(&self) -> Icount {
        match &self.role {
            Role::Primary(primary) => primary.icount(),
            Role::Backup(backup) => backup.icount(),
            Role::Seeking(_) => Icount::ZERO,
            Role::Halted { icount, .. } => *icount,
        }
    }

    fn machine(&self) -> Option<&Machine> {
        match &self.role {
            Role::Primary(primary) => Some(primary.machine()),
            Role::Backup(backup) => backup.machine(),
            Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }

    /// How the instructions of its machine were executed; a halted node remembers.
    pub fn executed(&self) -> Option<Executed> {
        match &self.role {
            Role::Halted { executed, .. } => *executed,
            _ => self.machine().map(Machine::executed),
        }
    }

    /// Outputs of its guest wait for the backup's acknowledgement.
    pub fn holds_outputs(&self) -> bool {
        matches!(&self.role, Role::Primary(primary) if primary.holds_outputs())
    }

    /// What the disks of this node are good for; a halted node cannot know.
    pub fn disk_standing(&self) -> Option<DiskStanding> {
        match &self.role {
            Role::Primary(primary) => Some(DiskStanding::Primary(primary.generation())),
            Role::Backup(backup) => Some(backup.disk_standing()),
            Role::Seeking(_) | Role::Halted { .. } => None,
        }
    }

    /// The last lines of the console, as far as they are kept.
    pub fn console_lines(&self, count: usize) -> Vec<String> {
        self.common.terminals.scrollback().last_lines(count)
    }

    /// `primary`, `backup` or `halted`.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            Role::Primary(_) => "primary",
            Role::Backup(_) | Role::Seeking(_) => "backup",
            Role::Halted { .. } => "halted",
        }
    }

    /// Whether it is the primary.
    pub fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary(_))
    }

    /// Whether it has ended.
    pub fn is_halted(&self) -> bool {
        matches!(self.role, Role::Halted { .. })
    }

    /// What `lockstep status` shows.
    pub fn status(&self, now_ns: u64) -> NodeStatus {
        let engine = self.machine().map(Machine::engine);
        let mut status = NodeStatus {
            vm: self.common.vm.clone(),
            node: self.common.id.to_string(),
            role: self.role_name().into(),
            phase: "halted".into(),
            seeking: None,
            generation: self.generation(),
            protected: false,
            icount: self.icount(),
            lag_instructions: 0,
            lag_ms: 0.0,
            log_bytes: 0,
            log_seq: Seq::ZERO,
            gated_outputs: 0,
            gated_bytes: 0,
            last_audit: None,
            audits_agreed: 0,
            transfer: None,
            disk_transfer: None,
            transfer_pause_ms: None,
            outputs_released: 0,
            inputs_dropped: 0,
            arbiter_trouble: self.common.arbiter_trouble.clone(),
            switch: self.common.switch.to_string(),
            switch_trouble: self.common.switch.trouble().map(str::to_owned),
            watch: None,
            suspicions: self.common.suspicions,
            beats_run: self.common.beats_run.clone(),
            peer: self.common.terminals.peer().filter(|_| self.has_peer()).map(str::to_owned),
            version: self.common.version.into(),
            uptime_s: now_ns.saturating_sub(self.common.born_ns) as f64 / 1e9,
            takeovers: self.common.takeovers,
            engine: engine.map(|(engine, _)| engine.to_string()),
            translated: engine.and_then(|(_, fared)| fared).map(|fared| fared.share()),
            recording: match &self.common.recording {
                Recording::None => "none",
                Recording::On => "on",
                Recording::Ended { .. } => "ended",
            }
            .into(),
            recording_trouble: match &self.common.recording {
                Recording::Ended { why } => Some(why.clone()),
                Recording::None | Recording::On => None,
            },
            terminals: self.common.terminals.count(),
            console_bytes: self.common.terminals.scrollback().end(),
            followers: Vec::new(),
            committed: None,
            degraded: false,
            divergences: self.common.divergences.count,
            last_divergence: self.common.divergences.last.clone(),
            ack: self.common.ack,
            store: match &self.common.store.state {
                StoreState::On(holds) => Some(*holds),
                StoreState::None | StoreState::Ended { .. } => None,
            },
            checkpoint: self.common.checkpoints.last.map(|kept| CheckpointStatus {
                icount: kept.at,
                entry: kept.seq,
                age_s: now_ns.saturating_sub(kept.since_ns) as f64 / 1e9,
                pause_us: kept.pause_ns as f64 / 1e3,
            }),
            store_trouble: match &self.common.store.state {
                StoreState::Ended { why } => Some(why.clone()),
                StoreState::None | StoreState::On(_) => None,
            },
        };
        match &self.role {
            Role::Primary(primary) => primary.fill_status(&mut status, now_ns),
            Role::Backup(backup) => {
                backup.fill_status(&mut status);
                status.seeking = backup.is_away().then(|| {
                    let last = self
                        .common
                        .seek
                        .last
                        .as_ref()
                        .map_or(String::new(), |last| format!("; last: {last}"));
                    format!("keeps its machine, and looks for the primary to go on with its log{last}")
                });
            }
            Role::Seeking(seeking) => {
                (status.role, status.phase) = ("backup".into(), "seeking".into());
                status.seeking = Some(self.common.seek.describe(seeking));
            }
            Role::Halted { .. } => {}
        }
        let is_guest_of_ours = self.is_primary() && status.generation != Generation::ZERO;
        status.degraded = is_guest_of_ours && status.counting() < self.common.settings.backups_wanted;
        status.protected &= self.common.switch.serves();
        status
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
