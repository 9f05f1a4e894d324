//! Entries grouped by what the guest was about.
//!
//! The caller names each entry's group; entries in a row with one name are a *run*. [`Activity`] names them
//! by the log alone: the last input from outside, and everything that the guest asked and output until the
//! next one.
//!
//! In constant memory, whatever the length of the log: past [`GROUPS_MAX`] names the rest is one group.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::{Group, Kind};
use crate::base::Icount;
use crate::log::Entry;

/// How many groups there can be.
pub const GROUPS_MAX: usize = 65_536;
/// The group of those that come after.
const REST: &str = "(the rest)";

/// What one group comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupTally {
    /// Stretches of entries in a row.
    pub runs: u64,
    /// How many entries.
    pub entries: u64,
    /// Bytes of log without the framing.
    pub bytes: u64,
    /// From each entry to the next.
    pub instructions: u64,
}

impl GroupTally {
    /// What both groups come to as one.
    pub const fn plus(self, more: Self) -> Self {
        Self {
            runs: self.runs + more.runs,
            entries: self.entries + more.entries,
            bytes: self.bytes + more.bytes,
            instructions: self.instructions + more.instructions,
        }
    }
}

/// Tallies by group.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    tallies: Vec<(String, GroupTally)>,
    /// Where in `tallies` a name is.
    by_name: BTreeMap<String, usize>,
    /// Where the last entry's group is, and the entry's position.
    last: Option<(usize, Icount)>,
}

impl Groups {
    /// Counts an entry of `len` bytes at `at` to the group `name`.
    pub fn add(&mut self, name: &str, at: Icount, len: u32) {
        let mut continues = false;
        if let Some((last, last_at)) = self.last {
            let (last_name, tally) = &mut self.tallies[last];
            tally.instructions += at.since(last_at);
            continues = last_name == name;
        }
        let index = match self.last {
            Some((last, _)) if continues => last,
            _ => self.index_of(name),
        };
        continues = self.last.is_some_and(|(last, _)| last == index);
        self.last = Some((index, at));
        let (_, tally) = &mut self.tallies[index];
        tally.runs += u64::from(!continues);
        tally.entries += 1;
        tally.bytes += u64::from(len);
    }

    fn index_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        if self.tallies.len() >= GROUPS_MAX && name != REST {
            return self.index_of(REST);
        }
        let index = self.tallies.len();
        self.tallies.push((name.to_owned(), GroupTally::default()));
        self.by_name.insert(name.to_owned(), index);
        index
    }

    /// The groups, those with the most entries first.
    pub fn ranked(&self) -> Vec<(&str, GroupTally)> {
        let mut ranked: Vec<_> = self.tallies.iter().map(|(name, tally)| (name.as_str(), *tally)).collect();
        ranked.sort_by_key(|(name, tally)| (std::cmp::Reverse(tally.entries), *name));
        ranked
    }
}

/// Names entries by the last input from outside; made for the entries of one log in order.
#[derive(Clone, Copy, Debug)]
pub struct Activity(&'static str);

/// Before the first input from outside.
const START: &str = "start";
/// The entries that are the recorder's own, and no doing of the guest.
const RECORDER: &str = "(recorder)";

impl Default for Activity {
    fn default() -> Self {
        Self(START)
    }
}

impl Activity {
    /// What the guest is about at `entry`, the next one of the log.
    pub fn of(&mut self, entry: &Entry) -> &'static str {
        let kind = Kind::of(&entry.event);
        if kind.group() == Group::Control {
            return RECORDER;
        }
        self.0 = kind.begins().unwrap_or(self.0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seq;
    use crate::cpu::Answer;
    use crate::log::Event;
    use crate::machine::Input;

    #[test]
    fn what_follows_from_an_input_belongs_to_it() {
        let time = Event::Input(Input::Answer(Answer::Time(1)));
        let frame = Event::Input(Input::NetFrame { rx_seq: 1, frame: vec![] });
        let timer = Event::Input(Input::TimerDue { time: 2 });
        let events = [&time, &frame, &time, &Event::Horizon, &time, &timer, &time];
        let (mut activity, mut groups) = (Activity::default(), Groups::default());
        for (i, event) in events.into_iter().enumerate() {
            let entry = Entry { seq: Seq(1), at: Icount(100 * i as u64), event: event.clone() };
            groups.add(activity.of(&entry), entry.at, 4);
        }
        let tally =
            |runs, entries, instructions| GroupTally { runs, entries, bytes: 4 * entries, instructions };
        assert_eq!(
            groups.ranked(),
            vec![
                ("network", tally(2, 3, 300)),
                ("timer", tally(1, 2, 100)),
                ("(recorder)", tally(1, 1, 100)),
                ("start", tally(1, 1, 100)),
            ]
        );
    }

    #[test]
    fn names_without_end_share_a_group() {
        let mut groups = Groups::default();
        for n in 0..GROUPS_MAX + 1000 {
            groups.add(&n.to_string(), Icount(n as u64), 1);
        }
        let ranked = groups.ranked();
        assert_eq!((ranked.len(), ranked[0].0, ranked[0].1.entries), (GROUPS_MAX + 1, REST, 1000));
    }
}
