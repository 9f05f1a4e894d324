//! A guest's console over connections that die: `lockstep attach`.
//!
//! One thread owns the [`Session`] and at most one connection. It goes where the guest is: it starts
//! with the addresses that it was given, learns each node's peer from its greeting, leaves a backup for
//! its primary where that can be reached, and looks around again when a connection ends or falls
//! silent. What was shown and what was typed is the session's business, so nothing is lost or doubled.
//!
//! Everything that a node sends is bounded and, except for the console itself, made plain before it is shown.

pub mod session;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use super::driver::plain;
use super::keys::{HELP, Key};
use super::link::{LinkEvent, Links, dial};
use super::os::draw_u64;
use super::say::say;
use super::terminal;
use crate::ft::{LinkId, Message};
use session::{Greeting, News, Session};

/// A node that sends nothing for this long is taken for lost. It sends something four times a second.
const SILENCE: Duration = Duration::from_millis(1500);
/// A backup is left for its primary at most this often; less often while that does not answer.
const HOP_PAUSE: Duration = Duration::from_millis(250);
const HOP_PAUSE_MAX: Duration = Duration::from_secs(8);
/// Between two rounds through all addresses.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(20);
/// Typed bytes that wait for the guest; the keyboard waits when they are more.
const TYPED_BYTES_MAX: usize = 64 * 1024;
/// Addresses learned from nodes, beyond those given.
const LEARNED_MAX: usize = 8;
const EVENTS_MAX: usize = 64;

/// What is wanted of a terminal.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Nodes to ask, in this order.
    pub addresses: Vec<String>,
    /// Show no earlier output.
    pub live_only: bool,
    /// Typed at once.
    pub send: Vec<u8>,
    /// Leave when the guest prints this (after `send` is taken).
    pub until: Option<Vec<u8>>,
    /// Leave after that long.
    pub timeout: Option<Duration>,
    /// Give up when no node has answered for that long.
    pub patience: Duration,
    /// Tell the guest of the window's size.
    pub sized: bool,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    GuestEnded {
        status: u8,
        how: String,
    },
    /// `until` was printed.
    Found,
    TimedOut,
    /// The user has left, or the reader is gone.
    Left,
    /// No node answers.
    Lost {
        why: String,
    },
}

enum Event {
    Link(LinkEvent),
    Resized,
    Quit,
}

/// Where keys and signals are put in.
#[derive(Clone)]
pub struct Inlet {
    events: Sender<Event>,
    keys: Sender<Key>,
}

impl Inlet {
    /// False once the receiver is gone. Waits while the guest takes nothing.
    pub fn key(&self, key: Key) -> bool {
        self.keys.send(key).is_ok()
    }

    pub fn quit(&self) {
        self.put(Event::Quit);
    }

    pub fn resized(&self) {
        self.put(Event::Resized);
    }

    fn put(&self, event: Event) {
        match self.events.send(event) {
            // The receiver is gone.
            Ok(()) | Err(_) => {}
        }
    }
}

/// The connection to a node.
struct Seat {
    link: LinkId,
    address: String,
    heard: Instant,
    greeted: bool,
    /// Where a backup's primary is to be found.
    primary_at: Option<String>,
    /// The user was informed that typing waits.
    told_waiting: bool,
}

/// A terminal on its way to wherever the guest is.
pub struct Attachment {
    wanted: Wanted,
    session: Session,
    links: Links,
    links_made: u64,
    seat: Option<Seat>,
    learned: Vec<String>,
    /// Where to look next, as a place in the list of all addresses.
    round: usize,
    next_try: Instant,
    next_hop: Instant,
    hop_pause: Duration,
    /// The place and role last reported.
    told_at: (String, bool),
    /// Since when there has been no node that greets.
    lost_since: Instant,
    why: String,
    finder: Option<Finder>,
    inlet: Inlet,
    events: Receiver<Event>,
    keys: Receiver<Key>,
}

impl Attachment {
    pub fn new(wanted: Wanted) -> Self {
        let (events_in, events) = bounded(EVENTS_MAX);
        let (keys_in, keys) = bounded(EVENTS_MAX);
        let mut session = Session::new(draw_u64(), wanted.live_only);
        session.type_in(&wanted.send);
        let now = Instant::now();
        Self {
            finder: wanted.until.clone().map(Finder::new),
            session,
            wanted,
            links: Links::new(Instant::now()),
            links_made: 0,
            seat: None,
            learned: Vec::new(),
            round: 0,
            next_try: now,
            next_hop: now,
            hop_pause: HOP_PAUSE,
            told_at: (String::new(), false),
            lost_since: now,
            why: "no node was asked".into(),
            inlet: Inlet { events: events_in, keys: keys_in },
            events,
            keys,
        }
    }

    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// Shows the console on standard output until something ends it.
    pub fn run(mut self) -> Outcome {
        let until = self.wanted.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(outcome) = self.turn() {
                return outcome;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Outcome::TimedOut;
            }
        }
    }

    /// One thing that happens, or nothing for a while.
    fn turn(&mut self) -> Option<Outcome> {
        let now = Instant::now();
        if self.seat.is_none() && now >= self.next_try {
            if now.duration_since(self.lost_since) > self.wanted.patience {
                return Some(Outcome::Lost { why: self.why.clone() });
            }
            self.look_around();
        }
        let full = self.session.waiting() >= TYPED_BYTES_MAX;
        let keys = if full { never() } else { self.keys.clone() };
        let outcome = select! {
            recv(self.events) -> event => match event {
                Ok(Event::Link(event)) => self.link_event(event),
                Ok(Event::Resized) => {
                    self.say_size();
                    None
                }
                Ok(Event::Quit) | Err(_) => Some(Outcome::Left),
            },
            recv(keys) -> key => key.ok().and_then(|key| self.key(key)),
            default(TICK) => None,
        };
        if outcome.is_some() {
            return outcome;
        }
        while let Some(message) = self.session.next_input() {
            self.say(&message);
        }
        self.links.pump();
        if self.seat.as_ref().is_some_and(|seat| seat.heard.elapsed() > SILENCE) {
            self.leave("it has been silent for too long");
        }
        self.hop();
        None
    }

    // ---- connections

    /// The addresses in the order in which they are worth asking: the one learned last is where a
    /// guest goes that loses its node.
    fn addresses(&self) -> Vec<String> {
        let given = self.wanted.addresses.iter().filter(|address| !self.learned.contains(address));
        self.learned.iter().rev().chain(given).cloned().collect()
    }

    fn look_around(&mut self) {
        let addresses = self.addresses();
        let Some(address) = addresses.get(self.round) else {
            self.round = 0;
            self.next_try = Instant::now() + ROUND_PAUSE;
            return;
        };
        self.round += 1;
        self.go_to(address.clone());
    }

    fn go_to(&mut self, address: String) {
        self.links_made += 1;
        let link = LinkId(self.links_made);
        let inlet = self.inlet.events.clone();
        let sink = Arc::new(move |event| inlet.send(Event::Link(event)).is_ok());
        match dial(&address).and_then(|stream| self.links.dialed_with_thread(link, stream, &address, sink)) {
            Ok(()) => {
                let heard = Instant::now();
                self.seat = Some(Seat {
                    link,
                    address,
                    heard,
                    greeted: false,
                    primary_at: None,
                    told_waiting: false,
                });
                let hello = self.session.hello();
                self.say(&hello);
            }
            Err(error) => self.why = format!("{address}: {error}"),
        }
    }

    /// Gives the connection up; the next look around finds another.
    fn leave(&mut self, why: &str) {
        let Some(seat) = self.seat.take() else { return };
        self.links.forget(seat.link);
        self.why = format!("{}: {}", seat.address, plain(why));
        if seat.greeted {
            tell(&format!("{} is gone ({}); looking for the guest", seat.address, plain(why)));
            self.lost_since = Instant::now();
            (self.round, self.next_try) = (0, Instant::now());
        }
    }

    fn say(&mut self, message: &Message) {
        let Some(seat) = &self.seat else { return };
        if let Err(why) = self.links.send(seat.link, message) {
            self.leave(&why);
        }
    }

    fn say_size(&mut self) {
        if self.wanted.sized
            && self.session.is_primary()
            && let Some((cols, rows)) = terminal::size()
        {
            self.say(&Message::ConsoleSize { cols, rows });
        }
    }

    fn link_event(&mut self, event: LinkEvent) -> Option<Outcome> {
        let ours = |link: LinkId| self.seat.as_ref().is_some_and(|seat| seat.link == link);
        match event {
            LinkEvent::Message { link, message } if ours(link) => {
                let outcome = self.message(message);
                // However long showing it took: the node has just sent something.
                if let Some(seat) = &mut self.seat {
                    seat.heard = Instant::now();
                }
                outcome
            }
            LinkEvent::Closed { link, why } if ours(link) => {
                self.leave(&why);
                None
            }
            // Of a connection that we have left.
            LinkEvent::Up { .. } | LinkEvent::Message { .. } | LinkEvent::Closed { .. } => None,
        }
    }

    fn message(&mut self, message: Message) -> Option<Outcome> {
        match message {
            Message::Attached { vm, life, primary, start, end, taken, peer, .. } => {
                self.greeted(&Greeting { vm, life, primary, start, end, taken, peer });
                None
            }
            Message::ConsoleData { offset, bytes } => {
                let news = self.session.data(offset, &bytes);
                self.show(news)
            }
            Message::ConsoleTaken { upto } => {
                self.session.taken(upto);
                None
            }
            Message::ConsoleEnd { status, how } => Some(Outcome::GuestEnded { status, how: plain(&how) }),
            Message::Heartbeat { .. } => None,
            Message::Bye { why } | Message::Refuse { why } => {
                self.leave(&why);
                None
            }
            _ => {
                self.leave("it does not answer as a node answers a terminal");
                None
            }
        }
    }

    fn greeted(&mut self, greeting: &Greeting) {
        let news = match self.session.greeted(greeting) {
            Ok(news) => news,
            Err(other) => return self.leave(&other.to_string()),
        };
        let Some(seat) = &mut self.seat else { return };
        seat.greeted = true;
        seat.primary_at = greeting.peer.clone().filter(|_| !greeting.primary);
        self.lost_since = Instant::now();
        let here = (seat.address.clone(), greeting.primary);
        if self.told_at != here {
            let role = if greeting.primary { "primary" } else { "backup, read-only" };
            tell(&format!("attached to {} at {} ({role})", plain(&greeting.vm), seat.address));
            self.told_at = here;
        }
        // Of a greeting only words come.
        let showed = self.show(news);
        debug_assert!(showed.is_none());
        if let Some(peer) = &greeting.peer {
            self.learn(peer);
        }
        if greeting.primary {
            self.hop_pause = HOP_PAUSE;
            self.say_size();
        }
    }

    /// Only addresses are remembered, and only a few.
    fn learn(&mut self, address: &str) {
        if !is_address(address) {
            return;
        }
        self.learned.retain(|known| known != address);
        if self.learned.len() == LEARNED_MAX {
            self.learned.remove(0);
        }
        self.learned.push(address.to_owned());
    }

    /// Tries the primary's place; where no node answers, the backup's is the next to be tried.
    fn hop(&mut self) {
        let now = Instant::now();
        let Some(seat) = &mut self.seat else { return };
        if now < self.next_hop || seat.primary_at.is_none() {
            return;
        }
        self.next_hop = now + self.hop_pause;
        self.hop_pause = (self.hop_pause * 2).min(HOP_PAUSE_MAX);
        let Some(address) = seat.primary_at.take().filter(|address| is_address(address)) else { return };
        let (link, here) = (seat.link, seat.address.clone());
        self.links.forget(link);
        self.seat = None;
        self.learn(&here);
        (self.round, self.next_try) = (0, now);
        self.go_to(address);
    }

    // ---- the person

    /// Shows what has come; an answer when that is the end.
    fn show(&mut self, news: Vec<News>) -> Option<Outcome> {
        for news in news {
            match news {
                News::Tell(text) => tell(&text),
                News::Show(bytes) => {
                    let mut out = io::stdout().lock();
                    if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                        return Some(Outcome::Left);
                    }
                    // An answer can only come after the question.
                    let armed = self.wanted.send.is_empty() || self.session.waiting() == 0;
                    if armed && self.finder.as_mut().is_some_and(|finder| finder.finds(&bytes)) {
                        return Some(Outcome::Found);
                    }
                }
            }
        }
        None
    }

    fn key(&mut self, key: Key) -> Option<Outcome> {
        match key {
            Key::Typed(bytes) => {
                self.session.type_in(&bytes);
                if let Some(seat) = &mut self.seat
                    && seat.greeted
                    && !self.session.is_primary()
                    && !std::mem::replace(&mut seat.told_waiting, true)
                {
                    tell("this node is the backup: what you type waits for a primary");
                }
            }
            Key::End => return Some(Outcome::Left),
            Key::Help => tell(HELP),
            Key::Status => self.say_status(),
        }
        None
    }

    fn say_status(&self) {
        let place = match &self.seat {
            Some(seat) if self.session.is_primary() => format!("at the primary {}", seat.address),
            Some(seat) => format!("at {}, which is not a primary", seat.address),
            None => "nowhere; looking for the guest".into(),
        };
        tell(&format!(
            "{place}; console byte {}, {} missed, {} typed bytes wait",
            self.session.next(),
            self.session.missed(),
            self.session.waiting()
        ));
    }
}

/// What a node names is connected to only if it is an address: it is not looked up.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok()
}

fn tell(text: &str) {
    say!("lockstep attach: {text}");
}

/// Looks for a text in a stream, however that is cut.
struct Finder {
    text: Vec<u8>,
    tail: Vec<u8>,
}

impl Finder {
    fn new(text: Vec<u8>) -> Self {
        Self { text, tail: Vec::new() }
    }

    fn finds(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend(bytes);
        let found = self.text.is_empty() || self.tail.windows(self.text.len()).any(|w| w == self.text);
        let keep = self.text.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        for cut in 0..=20 {
            let mut finder = Finder::new(b"login:".to_vec());
            let stream = b"Debian lologin: \xff etc.";
            let (head, tail) = stream.split_at(cut);
            let found = [finder.finds(head), finder.finds(tail)];
            assert_eq!(found.iter().filter(|found| **found).count(), 1, "{cut}");
        }
        let mut finder = Finder::new(b"ab".to_vec());
        assert!(!finder.finds(b"a") && !finder.finds(b"") && finder.finds(b"b"));
    }
}
