//! The guest's clock along a log: where it comes to a time.
//!
//! It is a function of the position between two entries, and entries set it (`devices::timebase`). So nothing needs
//! to be replayed to follow it from a state on.

use crate::base::Icount;
use crate::cpu::Answer;
use crate::devices::clint::Clint;
use crate::log::{Entry, Event};
use crate::machine::{Input, RestoreError, clint_of};

/// The guest's clock at one position.
#[derive(Clone, Debug)]
pub struct LogClock {
    clint: Clint,
    at: Icount,
}

impl LogClock {
    /// The clock of a machine that was saved at `at`, of whose hart and devices this is the state
    /// ([`Saved::state`](crate::machine::Saved::state)).
    pub fn of(state: &[u8], at: Icount) -> Result<Self, RestoreError> {
        Ok(Self { clint: clint_of(state)?, at })
    }

    /// What it shows, in ticks.
    pub fn time(&self) -> u64 {
        self.clint.time_at(self.at)
    }

    /// Goes on to the next entry, which comes no earlier than the last, and follows it. Its payload does not matter.
    pub fn pass(&mut self, entry: &Entry) {
        self.at = self.at.max(entry.at);
        let (time, rate) = match &entry.event {
            Event::Input(Input::Answer(Answer::Time(time)) | Input::TimerDue { time }) => (*time, None),
            Event::Input(Input::Clock { time, rate }) => (*time, Some(*rate)),
            _ => return,
        };
        self.clint.set_clock(entry.at, time, rate);
    }

    /// Where, from here up to position `upto`, it first shows `time` or later, if no entry comes before.
    pub fn reaches(&self, time: u64, upto: Icount) -> Option<Icount> {
        let shows = |at: u64| self.clint.time_at(Icount(at)) >= time;
        let (mut from, mut to) = (self.at.get(), upto.get());
        if to < from || !shows(to) {
            return None;
        }
        while from < to {
            let middle = from + (to - from) / 2;
            if shows(middle) {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        Some(Icount(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seq;
    use crate::devices::timebase::RATE_INSTRUCTIONS;

    fn entry(at: u64, input: Input) -> Entry {
        Entry { seq: Seq(1), at: Icount(at), event: Event::Input(input) }
    }

    #[test]
    fn the_clock_follows_entries_and_comes_to_a_time_in_between() {
        let mut clock = LogClock { clint: Clint::default(), at: Icount(100) };
        assert_eq!((clock.time(), clock.reaches(1, Icount(1 << 40))), (0, None), "it stands");
        // Half a tick an instruction.
        clock.pass(&entry(200, Input::Clock { time: 50, rate: (RATE_INSTRUCTIONS / 2) as u16 }));
        assert_eq!(clock.time(), 50);
        assert_eq!(clock.reaches(50, Icount(200)), Some(Icount(200)));
        assert_eq!(clock.reaches(60, Icount(500)), Some(Icount(220)));
        assert_eq!(clock.reaches(60, Icount(219)), None);
        clock.pass(&entry(300, Input::TimerDue { time: 1000 }));
        assert_eq!((clock.time(), clock.reaches(1001, Icount(400))), (1000, Some(Icount(302))));
        // It never goes back.
        clock.pass(&entry(400, Input::Answer(Answer::Time(7))));
        assert_eq!(clock.time(), 1050);
        clock.pass(&Entry { seq: Seq(9), at: Icount(402), event: Event::Horizon });
        assert_eq!(clock.time(), 1051);
    }
}
