//! Terminals attached to a node: they see the console from any byte that is still known, and type.
//!
//! ```text
//! terminal                                node
//!   Attach{life, from, session}  ------->
//!                                <-------  Attached{primary, start, taken, peer, ..}   again when it changes
//!                                <-------  ConsoleData{offset, bytes} ...
//!   ConsoleInput{seq, bytes}     ------->  (a backup leaves it unread)
//!                                <-------  ConsoleTaken{upto}
//!   ConsoleSize{cols, rows}      ------->
//!                                <-------  Heartbeat, when there is nothing else to send
//!                                <-------  ConsoleEnd{status, how}, the guest has ended; or Bye
//! ```
//!
//! Promises:
//! - A terminal is sent each byte once and in order, numbered by the machine. One that is too slow
//!   for the scroll-back is sent on from where that begins: the numbers show the gap.
//! - The guest never waits for a terminal, and none costs more than [`WINDOW_BYTES`] and
//!   [`TYPED_WAITING_MAX`] bytes.
//! - A primary shows what has left its gate, a backup what its replay outputs. The latter may be early
//!   but never wrong: the next primary has replayed the same log.
//! - What is typed in a session is numbered by the terminal. The log records beside it how much of it
//!   the guest has received ([`crate::log::Event::Typed`]), so a successor knows it to the byte:
//!   the terminal sends the rest again, and no keystroke is lost or comes twice.
//!
//! Absent on purpose: which terminal is connected where (the link's business), and time but as an argument.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest as _, Sha256};

use super::command::Command;
use super::link::LinkId;
use super::message::Message;
use super::scrollback::Scrollback;
use super::world::World;
use crate::base::{NodeId, Seq};
use crate::machine::Output;

/// Terminals at one node.
pub const TERMINALS_MAX: usize = 32;
/// Console bytes handed to a connection before it must have sent some.
pub const WINDOW_BYTES: usize = 64 * 1024;
/// Bytes typed at a terminal and not yet given to the guest. A terminal knows how many are: more is
/// no terminal of ours.
pub const TYPED_WAITING_MAX: usize = 4096;
/// Typing sessions remembered; the one that typed least recently is forgotten first.
pub const SESSIONS_MAX: usize = 64;
/// A terminal receives something at least this often.
pub const HEARTBEAT_NS: u64 = 250_000_000;

/// A connection that has taken nothing for so long, with a full window before it, is cut.
const STALLED_NS: u64 = 30_000_000_000;
const DATA_BYTES: usize = 16 * 1024;
/// The window is looked at again this soon when it is full.
const AGAIN_NS: u64 = 2_000_000;
/// An address is not longer.
const ADDRESS_BYTES_MAX: usize = 256;

struct Terminal {
    session: u64,
    /// The next console byte that it gets.
    next: u64,
    /// Typed and not yet given to the guest.
    typed: VecDeque<u8>,
    /// The number, in its session, of the next byte that it may type.
    typed_end: u64,
    spoken_ns: u64,
    stalled_ns: Option<u64>,
}

/// Bytes `from..upto` of a session, delivered by log entry `entry`.
#[derive(Clone, Copy)]
struct Unsafe {
    entry: Seq,
    session: u64,
    from: u64,
    upto: u64,
}

/// What `Attached` reports of the node.
#[derive(Clone, Debug, Default)]
struct Place {
    vm: String,
    node: NodeId,
    /// As terminals are shown it.
    life: u64,
    primary: bool,
    /// Where the other node listens.
    peer: Option<String>,
}

/// What terminals are shown of the guest's life: enough to distinguish lives on every node, and nothing of
/// the number itself, which is the nodes' proof to their switch. (SHA-256 of a label and the
/// life, the first 8 bytes.)
fn shown(life: u64) -> u64 {
    let digest = Sha256::new().chain_update(b"lockstep life for terminals").chain_update(life.to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = digest.finalize().0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// All terminals of a node, over all its roles, and what they are shown.
pub(super) struct Terminals {
    place: Place,
    scrollback: Scrollback,
    terminals: BTreeMap<LinkId, Terminal>,
    /// By session, how many of its bytes the guest has been given; the latest typist last.
    sessions: Vec<(u64, u64)>,
    /// Given to the guest, and whose log entry is not acknowledged yet.
    unsafe_typed: VecDeque<Unsafe>,
    /// The terminal that is next with its typing.
    turn: LinkId,
    size: Option<(u16, u16)>,
}

impl Terminals {
    pub fn new(vm: &str, node: NodeId, scrollback_bytes: usize) -> Self {
        Self {
            place: Place { vm: vm.to_owned(), node, ..Place::default() },
            scrollback: Scrollback::new(scrollback_bytes),
            terminals: BTreeMap::new(),
            sessions: Vec::new(),
            unsafe_typed: VecDeque::new(),
            turn: LinkId(0),
            size: None,
        }
    }

    /// The node goes by another identity now.
    pub fn node_is(&mut self, node: NodeId) {
        self.place.node = node;
    }

    /// The node has no role any more: what is typed here is dropped.
    pub fn leave(&mut self) {
        self.place.primary = false;
        self.unsafe_typed.clear();
    }

    pub fn count(&self) -> usize {
        self.terminals.len()
    }

    pub fn scrollback(&self) -> &Scrollback {
        &self.scrollback
    }

    // ---- from the node's role

    /// The guest printed this, and it may be shown.
    pub fn heard(&mut self, output: &Output) {
        if let Output::Console { offset, bytes } = output {
            self.scrollback.append(*offset, bytes);
        }
    }

    /// The machine has printed exactly `console_bytes`: what is kept must end there.
    pub fn machine_stands_at(&mut self, console_bytes: u64) {
        if self.scrollback.end() != console_bytes {
            self.scrollback.restart_at(console_bytes);
        }
    }

    /// The node's role or its guest's life has changed: every terminal is informed, and what was typed and
    /// not given to the guest goes to the new primary.
    pub fn settle(&mut self, primary: bool, life: u64, commands: &mut Vec<Command>) {
        (self.place.primary, self.place.life) = (primary, shown(life));
        self.unsafe_typed.clear();
        let links: Vec<LinkId> = self.terminals.keys().copied().collect();
        for link in links {
            let Some(terminal) = self.terminals.get_mut(&link) else { continue };
            terminal.typed.clear();
            terminal.typed_end = given(&self.sessions, terminal.session).unwrap_or_default();
            self.greet(link, commands);
        }
    }

    /// The other node listens at `address`.
    pub fn peer(&self) -> Option<&str> {
        self.place.peer.as_deref()
    }

    pub fn peer_lives_at(&mut self, address: &str, commands: &mut Vec<Command>) {
        if address.len() > ADDRESS_BYTES_MAX || self.place.peer.as_deref() == Some(address) {
            return;
        }
        self.place.peer = Some(address.to_owned());
        let links: Vec<LinkId> = self.terminals.keys().copied().collect();
        links.into_iter().for_each(|link| self.greet(link, commands));
    }

    /// What a joiner is to know of the past.
    pub fn past(&self) -> Message {
        let back = &self.scrollback;
        let bytes = back.read(back.start(), usize::MAX);
        Message::Scrollback { offset: back.start(), bytes, typed: self.sessions.clone() }
    }

    /// The primary's scroll-back and typed counts, sent to a joiner.
    pub fn learn(&mut self, offset: u64, bytes: &[u8], typed: Vec<(u64, u64)>) {
        self.scrollback.restart_at(offset);
        self.scrollback.append(offset, bytes);
        self.sessions = typed;
        self.sessions.truncate(SESSIONS_MAX);
    }

    /// By the log, everything of `session` before `upto` was given to the guest.
    pub fn note_typed(&mut self, session: u64, upto: u64) {
        self.sessions.retain(|(known, _)| *known != session);
        if self.sessions.len() == SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push((session, upto));
    }

    // ---- typing

    pub fn has_typed(&self) -> bool {
        self.terminals.values().any(|terminal| !terminal.typed.is_empty())
    }

    /// At most `room` typed bytes of one session, and how many of it that makes. Sessions take turns.
    pub fn take_typed(&mut self, room: usize) -> Option<(u64, u64, Vec<u8>)> {
        let typing = |(_, terminal): &(&LinkId, &mut Terminal)| !terminal.typed.is_empty();
        let after = self.turn;
        let next =
            self.terminals.range_mut(LinkId(after.0.saturating_add(1))..).find(typing).map(|(link, _)| *link);
        let link = next.or_else(|| self.terminals.iter_mut().find(typing).map(|(link, _)| *link))?;
        self.turn = link;
        let terminal = self.terminals.get_mut(&link)?;
        let bytes: Vec<u8> = terminal.typed.drain(..room.min(terminal.typed.len())).collect();
        let upto = terminal.typed_end - terminal.typed.len() as u64;
        Some((terminal.session, upto, bytes))
    }

    /// What [`Terminals::take_typed`] gave out is in the log as entry `entry`.
    pub fn typed_is_logged(&mut self, entry: Seq, session: u64, upto: u64) {
        let from = given(&self.sessions, session).unwrap_or_default();
        self.note_typed(session, upto);
        self.unsafe_typed.push_back(Unsafe { entry, session, from, upto });
    }

    /// The log up to `acked` will not be lost: the terminals need not keep what is typed in it.
    pub fn log_is_safe(&mut self, acked: Seq, commands: &mut Vec<Command>) {
        while let Some(typed) = self.unsafe_typed.front().copied().filter(|typed| typed.entry <= acked) {
            self.unsafe_typed.pop_front();
            for (link, _) in self.terminals.iter().filter(|(_, t)| t.session == typed.session) {
                let message = Message::ConsoleTaken { upto: typed.upto };
                commands.push(Command::Send { link: *link, message });
            }
        }
    }

    /// How much of a session is in a log that will not be lost.
    fn safe(&self, session: u64) -> u64 {
        let first = self.unsafe_typed.iter().find(|typed| typed.session == session);
        first.map_or_else(|| given(&self.sessions, session).unwrap_or_default(), |typed| typed.from)
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.size = Some((cols, rows));
    }

    pub fn has_size(&self) -> bool {
        self.size.is_some()
    }

    /// The newest size of an attached terminal's window.
    pub fn take_size(&mut self) -> Option<(u16, u16)> {
        self.size.take()
    }

    // ---- from terminals

    pub fn is_terminal(&self, link: LinkId) -> bool {
        self.terminals.contains_key(&link)
    }

    /// A terminal comes. `from` is the next byte that it wants of the guest's life `life`.
    pub fn attach(
        &mut self,
        link: LinkId,
        (life, from, session): (u64, Option<u64>, u64),
        now_ns: u64,
        commands: &mut Vec<Command>,
    ) {
        if self.terminals.len() >= TERMINALS_MAX {
            let why = format!("{TERMINALS_MAX} terminals are attached already");
            commands.push(Command::Send { link, message: Message::Refuse { why } });
            commands.push(Command::Close { link });
            return;
        }
        let known = self.scrollback.start();
        let from = from.filter(|_| life == self.place.life).unwrap_or(known).max(known);
        let terminal = Terminal {
            session,
            next: from,
            typed: VecDeque::new(),
            typed_end: given(&self.sessions, session).unwrap_or_default(),
            spoken_ns: now_ns,
            stalled_ns: None,
        };
        self.terminals.insert(link, terminal);
        self.greet(link, commands);
    }

    fn greet(&self, link: LinkId, commands: &mut Vec<Command>) {
        let Some(terminal) = self.terminals.get(&link) else { return };
        let Place { vm, node, life, primary, peer } = self.place.clone();
        let message = Message::Attached {
            vm,
            node,
            life,
            primary,
            start: terminal.next,
            end: self.scrollback.end(),
            taken: self.safe(terminal.session),
            peer,
        };
        commands.push(Command::Send { link, message });
    }

    /// A message from a terminal.
    pub fn message(&mut self, link: LinkId, message: Message, commands: &mut Vec<Command>) {
        let Some(terminal) = self.terminals.get_mut(&link) else { return };
        match message {
            // The terminal will send it again to the next primary.
            Message::ConsoleInput { .. } if !self.place.primary => return,
            Message::ConsoleInput { seq, bytes } => {
                // Forgotten, or never known: the session goes on where the terminal puts it.
                if terminal.typed.is_empty() && given(&self.sessions, terminal.session).is_none() {
                    terminal.typed_end = terminal.typed_end.max(seq);
                }
                let known = terminal.typed_end.checked_sub(seq).and_then(|known| usize::try_from(known).ok());
                if let Some(known) = known {
                    let new = bytes.get(known..).unwrap_or_default();
                    if terminal.typed.len() + new.len() <= TYPED_WAITING_MAX
                        && let Some(end) = terminal.typed_end.checked_add(new.len() as u64)
                    {
                        terminal.typed.extend(new);
                        terminal.typed_end = end;
                        return;
                    }
                }
            }
            Message::ConsoleSize { cols, rows } => return self.resize(cols, rows),
            Message::Heartbeat { .. } => return,
            _ => {}
        }
        // It skips bytes, sends too much, or is no terminal.
        self.detach(link);
        commands.push(Command::Close { link });
    }

    pub fn detach(&mut self, link: LinkId) {
        self.terminals.remove(&link);
    }

    // ---- showing

    /// Shows every terminal what it has room for; when to call again for what is left.
    pub fn show<W: World>(&mut self, world: &mut W, commands: &mut Vec<Command>) -> u64 {
        if self.terminals.is_empty() {
            return u64::MAX;
        }
        let now_ns = world.now_ns();
        let mut again_ns = u64::MAX;
        let mut stalled = Vec::new();
        for (link, terminal) in &mut self.terminals {
            let mut room = WINDOW_BYTES.saturating_sub(world.outbox_bytes(*link));
            while terminal.next < self.scrollback.end() && room > 0 {
                let (message, len) = next_data(&self.scrollback, terminal);
                commands.push(Command::Send { link: *link, message });
                room = room.saturating_sub(len);
                terminal.spoken_ns = now_ns;
                terminal.stalled_ns = None;
            }
            if terminal.next < self.scrollback.end() {
                let since_ns = *terminal.stalled_ns.get_or_insert(now_ns);
                if now_ns.saturating_sub(since_ns) > STALLED_NS {
                    stalled.push(*link);
                }
                again_ns = again_ns.min(now_ns + AGAIN_NS);
            } else if now_ns.saturating_sub(terminal.spoken_ns) >= HEARTBEAT_NS {
                terminal.spoken_ns = now_ns;
                let message = Message::Heartbeat { ticks: 0, console_released: self.scrollback.end() };
                commands.push(Command::Send { link: *link, message });
            }
            again_ns = again_ns.min(terminal.spoken_ns + HEARTBEAT_NS);
        }
        for link in stalled {
            self.detach(link);
            commands.push(Command::Close { link });
        }
        again_ns
    }

    /// The node ends: everything left is shown, then `last` is sent, and the connections end.
    pub fn finish(&mut self, last: &Message, commands: &mut Vec<Command>) {
        for (link, mut terminal) in std::mem::take(&mut self.terminals) {
            while terminal.next < self.scrollback.end() {
                let (message, _) = next_data(&self.scrollback, &mut terminal);
                commands.push(Command::Send { link, message });
            }
            commands.push(Command::Send { link, message: last.clone() });
            commands.push(Command::Close { link });
        }
    }
}

/// The next bytes for a terminal that has not seen all, and how many.
fn next_data(scrollback: &Scrollback, terminal: &mut Terminal) -> (Message, usize) {
    let offset = terminal.next.max(scrollback.start());
    let bytes = scrollback.read(offset, DATA_BYTES);
    terminal.next = offset + bytes.len() as u64;
    let len = bytes.len();
    (Message::ConsoleData { offset, bytes }, len)
}

fn given(sessions: &[(u64, u64)], session: u64) -> Option<u64> {
    sessions.iter().find(|(known, _)| *known == session).map(|(_, upto)| *upto)
}

#[cfg(test)]
#[path = "terminals_tests.rs"]
mod tests;
