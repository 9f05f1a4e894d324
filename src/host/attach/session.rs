//! What a terminal knows, over all the connections that it has had: pure, so that it can be tested.
//!
//! Promises: each console byte is shown once and in order, and a gap is reported; each typed byte is sent
//! until a node has acknowledged that it is delivered for good, and is numbered, so that it counts once.

use std::collections::VecDeque;

use thiserror::Error;

use crate::ft::Message;
use crate::host::driver::plain;

/// Typed bytes that a node is sent before it has reported its position: less than it has room for.
const WINDOW: u64 = 2048;
const INPUT_BYTES: usize = 1024;

/// What a node sends in `Attached`.
#[derive(Clone, Debug)]
pub struct Greeting {
    pub vm: String,
    pub life: u64,
    pub primary: bool,
    pub start: u64,
    pub end: u64,
    pub taken: u64,
    pub peer: Option<String>,
}

/// For the person at the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Show(Vec<u8>),
    Tell(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this is the vm {found:?}, not {ours:?}")]
pub struct OtherVm {
    ours: String,
    found: String,
}

/// A terminal's session with one guest.
#[derive(Debug)]
pub struct Session {
    id: u64,
    vm: Option<String>,
    life: u64,
    /// The next byte to show; none before the first greeting.
    next: Option<u64>,
    /// Show nothing from before the first greeting.
    live_only: bool,
    missed: u64,
    /// Typed, from byte `taken` of the session on.
    typed: VecDeque<u8>,
    taken: u64,
    /// Said on this connection up to here.
    said: u64,
    /// The node at the other end lets us type.
    primary: bool,
}

impl Session {
    pub fn new(id: u64, live_only: bool) -> Self {
        Self {
            id,
            vm: None,
            life: 0,
            next: None,
            live_only,
            missed: 0,
            typed: VecDeque::new(),
            taken: 0,
            said: 0,
            primary: false,
        }
    }

    /// The first words on a new connection.
    pub fn hello(&mut self) -> Message {
        self.primary = false;
        self.said = self.taken;
        Message::Attach { life: self.life, from: self.next, session: self.id }
    }

    pub fn is_primary(&self) -> bool {
        self.primary
    }

    /// The next byte to come.
    pub fn next(&self) -> u64 {
        self.next.unwrap_or_default()
    }

    /// Bytes that were gone when we asked for them.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Typed, and not known to be the guest's.
    pub fn waiting(&self) -> usize {
        self.typed.len()
    }

    pub fn greeted(&mut self, greeting: &Greeting) -> Result<Vec<News>, OtherVm> {
        let mut news = Vec::new();
        if let Some(ours) = self.vm.as_ref().filter(|ours| **ours != greeting.vm) {
            return Err(OtherVm { ours: ours.clone(), found: plain(&greeting.vm) });
        }
        if self.vm.is_some() && self.life != greeting.life {
            news.push(News::Tell("the guest has begun a new life; its console starts anew".into()));
            self.next = None;
        }
        let first = self.next.is_none();
        self.vm = Some(greeting.vm.clone());
        self.life = greeting.life;
        if first {
            let from = if self.live_only { greeting.end.max(greeting.start) } else { greeting.start };
            self.next = Some(from);
        }
        self.primary = greeting.primary;
        if greeting.primary {
            self.taken(greeting.taken);
            self.said = self.taken;
        }
        Ok(news)
    }

    /// Console bytes have come, the first of them the `offset`-th.
    pub fn data(&mut self, offset: u64, bytes: &[u8]) -> Vec<News> {
        let next = self.next.unwrap_or(offset);
        let mut news = Vec::new();
        if offset > next {
            let missing = offset - next;
            self.missed += missing;
            news.push(News::Tell(format!("{missing} bytes are missing here: no node had kept them")));
        }
        let known = usize::try_from(next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let new = bytes.get(known..).unwrap_or_default();
        self.next = Some(next.max(offset).saturating_add(new.len() as u64));
        if !new.is_empty() {
            news.push(News::Show(new.to_vec()));
        }
        news
    }

    pub fn type_in(&mut self, bytes: &[u8]) {
        self.typed.extend(bytes);
    }

    /// Everything typed before byte `upto` is the guest's.
    pub fn taken(&mut self, upto: u64) {
        let end = self.taken + self.typed.len() as u64;
        let upto = upto.clamp(self.taken, end);
        self.typed.drain(..(upto - self.taken) as usize);
        self.taken = upto;
        self.said = self.said.max(upto);
    }

    /// The next typed bytes to send, as long as the node is known to have room.
    pub fn next_input(&mut self) -> Option<Message> {
        let ahead = self.said - self.taken;
        if !self.primary || ahead >= WINDOW {
            return None;
        }
        let room = INPUT_BYTES.min((WINDOW - ahead) as usize);
        let bytes: Vec<u8> = self.typed.iter().skip(ahead as usize).take(room).copied().collect();
        if bytes.is_empty() {
            return None;
        }
        let seq = self.said;
        self.said += bytes.len() as u64;
        Some(Message::ConsoleInput { seq, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(primary: bool, start: u64, taken: u64) -> Greeting {
        let end = start + 10;
        Greeting { vm: "kv".into(), life: 1, primary, start, end, taken, peer: None }
    }

    fn show(text: &[u8]) -> News {
        News::Show(text.to_vec())
    }

    #[test]
    fn bytes_are_shown_once_and_holes_are_told() {
        let mut session = Session::new(1, false);
        assert_eq!(session.greeted(&greeting(true, 100, 0)).unwrap(), []);
        assert_eq!(session.data(100, b"abc"), [show(b"abc")]);
        assert_eq!(session.data(101, b"bcde"), [show(b"de")]);
        assert_eq!(session.data(90, b"x"), []);
        assert_eq!(session.hello(), Message::Attach { life: 1, from: Some(105), session: 1 });
        session.greeted(&greeting(false, 107, 0)).unwrap();
        let news = session.data(107, b"h");
        assert!(
            matches!(&news[..], [News::Tell(told), News::Show(_)] if told.starts_with("2 bytes")),
            "{news:?}"
        );
        assert_eq!((session.missed(), session.next()), (2, 108));
        session.data(u64::MAX, b"at the end of numbers");
    }

    #[test]
    fn who_asks_for_nothing_old_gets_nothing_old() {
        let mut session = Session::new(1, true);
        session.greeted(&greeting(true, 100, 0)).unwrap();
        assert_eq!(session.data(100, b"0123456789new"), [show(b"new")]);
    }

    #[test]
    fn typing_is_said_again_from_where_it_was_taken() {
        let mut session = Session::new(1, false);
        session.type_in(b"hello world");
        assert_eq!(session.next_input(), None, "no node to send to");
        session.greeted(&greeting(true, 0, 0)).unwrap();
        let said = |seq, text: &[u8]| Some(Message::ConsoleInput { seq, bytes: text.to_vec() });
        assert_eq!(session.next_input(), said(0, b"hello world"));
        assert_eq!(session.next_input(), None);
        session.taken(5);
        session.hello();
        session.greeted(&greeting(false, 0, 0)).unwrap();
        assert_eq!((session.next_input(), session.waiting()), (None, 6));
        session.greeted(&greeting(true, 0, 8)).unwrap();
        assert_eq!(session.next_input(), said(8, b"rld"));
        // What no node can know is not believed.
        session.taken(u64::MAX);
        session.taken(0);
        session.type_in(b"!");
        assert_eq!(session.next_input(), said(11, b"!"));
    }

    #[test]
    fn no_more_is_said_than_a_node_has_room_for() {
        let mut session = Session::new(1, false);
        session.type_in(&[b'x'; 10_000]);
        session.greeted(&greeting(true, 0, 0)).unwrap();
        let mut said = 0;
        while let Some(Message::ConsoleInput { bytes, .. }) = session.next_input() {
            said += bytes.len() as u64;
        }
        assert_eq!(said, WINDOW);
        session.taken(1000);
        assert!(matches!(session.next_input(), Some(Message::ConsoleInput { seq: WINDOW, .. })));
    }

    #[test]
    fn another_vm_is_refused_and_another_life_starts_anew() {
        let mut session = Session::new(1, false);
        session.greeted(&greeting(true, 100, 0)).unwrap();
        let other = Greeting { vm: "db\x1b".into(), ..greeting(true, 0, 0) };
        assert!(!session.greeted(&other).unwrap_err().to_string().contains('\x1b'));
        let news = session.greeted(&Greeting { life: 2, ..greeting(true, 0, 0) }).unwrap();
        assert!(matches!(&news[..], [News::Tell(_)]));
        assert_eq!(session.data(0, b"boot"), [show(b"boot")]);
    }
}
