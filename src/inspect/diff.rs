//! Where two logs part.
//!
//! Entries are compared by position and event, in order. Horizons are left out unless asked for:
//! they only say how far a recorder had come when it wrote, so two recordings of one history may
//! differ in them. Since leaving them out moves the numbers, numbers are not compared either; they
//! only align two logs of which one starts later (a backup's, from when it joined). Identities (of nodes and attach
//! sessions) are drawn anew for each run; they are not compared unless asked for.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::iter::Peekable;

use crate::base::{NodeId, Seq};
use crate::log::{Entry, Event};

/// How many entries before the parting are kept.
pub const CONTEXT_ENTRIES: usize = 3;

/// What comparing two logs, A and B, came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// How many entries are the same in both, from where both are there.
    pub common: u64,
    /// The number of the first entry that both can have; none if one of the logs has no entries.
    pub from: Option<Seq>,
    /// The last of the common entries, as in A.
    pub context: Vec<Entry>,
    /// None if the logs are the same to their ends.
    pub parting: Option<Parting>,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Both go on, differently.
    Differ {
        /// A's entry.
        a: Entry,
        /// B's entry in the same place.
        b: Entry,
    },
    /// A is the beginning of B, which goes on with this.
    AEnds {
        /// B's first entry past A's end.
        b: Entry,
    },
    /// B is the beginning of A, which goes on with this.
    BEnds {
        /// A's first entry past B's end.
        a: Entry,
    },
}

/// What counts as a difference beyond what the guest could notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness {
    /// How far a recorder had come when it wrote.
    pub horizons: bool,
    /// Node ids and attach sessions.
    pub identities: bool,
}

/// `event` without the identities that each run draws anew.
fn anonymous(event: &Event) -> Cow<'_, Event> {
    match *event {
        Event::Generation { generation, why, .. } => {
            Cow::Owned(Event::Generation { generation, node: NodeId(0), why })
        }
        Event::Joined { .. } => Cow::Owned(Event::Joined { node: NodeId(0) }),
        Event::Left { .. } => Cow::Owned(Event::Left { node: NodeId(0) }),
        Event::SwitchOver { .. } => Cow::Owned(Event::SwitchOver { to: None }),
        Event::Typed { upto, .. } => Cow::Owned(Event::Typed { session: 0, upto }),
        _ => Cow::Borrowed(event),
    }
}

/// Compares two logs.
pub fn diff(a: impl Iterator<Item = Entry>, b: impl Iterator<Item = Entry>, strict: Strictness) -> Diff {
    let counts = |entry: &Entry| strict.horizons || entry.event != Event::Horizon;
    let same = |a: &Event, b: &Event| match strict.identities {
        true => a == b,
        false => anonymous(a) == anonymous(b),
    };
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let from = a.peek().zip(b.peek()).map(|(a, b)| a.seq.max(b.seq));
    skip_to(&mut a, from);
    skip_to(&mut b, from);
    let (mut a, mut b) = (a.filter(counts), b.filter(counts));
    let (mut common, mut context) = (0, VecDeque::new());
    let parting = loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a.at == b.at && same(&a.event, &b.event) => {
                common += 1;
                if context.len() == CONTEXT_ENTRIES {
                    context.pop_front();
                }
                context.push_back(a);
            }
            (Some(a), Some(b)) => break Some(Parting::Differ { a, b }),
            (None, Some(b)) => break Some(Parting::AEnds { b }),
            (Some(a), None) => break Some(Parting::BEnds { a }),
            (None, None) => break None,
        }
    };
    Diff { common, from, context: context.into(), parting }
}

fn skip_to(log: &mut Peekable<impl Iterator<Item = Entry>>, from: Option<Seq>) {
    while log.next_if(|entry| from.is_some_and(|from| entry.seq < from)).is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Generation, Icount};
    use crate::log::Start;
    use crate::machine::Input;

    /// Entries numbered from `first`; 0 stands for a horizon.
    fn log(first: u64, what: &[u8]) -> Vec<Entry> {
        let entry = |(i, &byte): (usize, &u8)| {
            let event = match byte {
                0 => Event::Horizon,
                byte => Event::Input(Input::Console(vec![byte])),
            };
            Entry { seq: Seq(first + i as u64), at: Icount(7), event }
        };
        what.iter().enumerate().map(entry).collect()
    }

    fn compare(a: Vec<Entry>, b: Vec<Entry>) -> Diff {
        diff(a.into_iter(), b.into_iter(), Strictness::default())
    }

    #[test]
    fn equal_logs_do_not_part_whatever_their_horizons() {
        let found = compare(log(1, b"\0abc\0\0"), log(1, b"ab\0c"));
        assert_eq!((found.common, found.parting), (3, None));
        let (a, b) = (log(1, b"\0abc"), log(1, b"abc"));
        let strict =
            diff(a.into_iter(), b.into_iter(), Strictness { horizons: true, ..Strictness::default() });
        assert!(strict.common == 0 && matches!(strict.parting, Some(Parting::Differ { .. })));
        assert_eq!(compare(vec![], vec![]).parting, None);
    }

    #[test]
    fn identities_that_each_run_draws_are_no_difference() {
        let run = |id: u64, upto: u64| -> Vec<Entry> {
            let events = [
                Event::Generation { generation: Generation(1), node: NodeId(id), why: Start::Boot },
                Event::Joined { node: NodeId(id + 1) },
                Event::SwitchOver { to: Some(NodeId(id + 3)) },
                Event::Left { node: NodeId(id + 4) },
                Event::Typed { session: id + 2, upto },
            ];
            let entry = |(i, event)| Entry { seq: Seq(1 + i as u64), at: Icount(7), event };
            events.into_iter().enumerate().map(entry).collect()
        };
        let found = compare(run(1, 5), run(9, 5));
        assert_eq!((found.common, found.parting), (5, None));
        let strict = Strictness { identities: true, ..Strictness::default() };
        assert_eq!(diff(run(1, 5).into_iter(), run(9, 5).into_iter(), strict).common, 0);
        assert_eq!(compare(run(1, 5), run(9, 6)).common, 4, "how much was typed is a difference");
    }

    #[test]
    fn the_first_difference_is_named_with_what_came_before() {
        let (a, b) = (log(1, b"abcdeX"), log(1, b"abcdeYZ"));
        let found = compare(a.clone(), b.clone());
        assert_eq!((found.common, found.from), (5, Some(Seq(1))));
        assert_eq!(found.context, a[2..5]);
        assert_eq!(found.parting, Some(Parting::Differ { a: a[5].clone(), b: b[5].clone() }));
    }

    #[test]
    fn a_beginning_is_told_from_a_difference() {
        let (a, b) = (log(1, b"ab"), log(1, b"abc"));
        assert_eq!(compare(a.clone(), b.clone()).parting, Some(Parting::AEnds { b: b[2].clone() }));
        assert_eq!(compare(b.clone(), a).parting, Some(Parting::BEnds { a: b[2].clone() }));
    }

    #[test]
    fn a_log_that_starts_later_is_compared_from_there() {
        let found = compare(log(1, b"abcdef"), log(4, b"def"));
        assert_eq!((found.common, found.from, found.parting), (3, Some(Seq(4)), None));
    }

    #[test]
    fn a_position_counts_too() {
        let (a, mut b) = (log(1, b"ab"), log(1, b"ab"));
        b[1].at = Icount(8);
        assert_eq!(compare(a, b).common, 1);
    }
}
