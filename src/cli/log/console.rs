//! The text of a guest's console: a log has only its marks, so a replay comes along with the entries.

use std::collections::BTreeMap;

use crate::base::{Icount, Seq};
use crate::cli::replay;
use crate::host::logdir::LogDir;
use crate::host::say::say;
use crate::log::Entry;
use crate::machine::Output;
use crate::replay::{Divergence, Followed, ReplayStop, Replayer};

/// Instructions replayed at a stretch.
const BUDGET: u64 = 1 << 30;
/// A longer line is taken for several.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The text that the console's marks of one log represent.
pub(super) struct Console {
    /// None where the log cannot be replayed (any more): then it has no text.
    replayer: Option<Replayer>,
}

impl Console {
    /// A replay from the log's base. A log without a usable base has no text, and a line on stderr gives the
    /// reason.
    pub(super) fn of(log: &LogDir) -> Self {
        let replayer = log.header().map_err(|error| error.to_string()).and_then(|header| {
            let machine = replay::base(log, &header.lineage).map_err(|failure| failure.what)?;
            Ok(Replayer::new(machine, header.lineage.base_seq.next()))
        });
        let tell_why = |why: &String| {
            let path = log.path().display().to_string();
            // Most errors name the file themselves.
            tell("", &if why.contains(&path) { why.clone() } else { format!("{path}: {why}") });
        };
        Self { replayer: replayer.inspect_err(tell_why).ok() }
    }

    /// The text of each console mark among `entries`, which follow those given before.
    pub(super) fn follow(&mut self, entries: &[Entry]) -> BTreeMap<Seq, Vec<u8>> {
        let mut said = BTreeMap::new();
        let Some(replayer) = &mut self.replayer else { return said };
        let mut followed = Vec::new();
        if let Err(divergence) = obey(replayer, entries, &mut followed) {
            tell(&format!(" from entry {} on", replayer.done().next()), &divergence.to_string());
            self.replayer = None;
        }
        for followed in followed {
            if let Followed::Said { seq, output: Output::Console { bytes, .. } } = followed {
                said.insert(seq, bytes);
            }
        }
        said
    }
}

fn obey(replayer: &mut Replayer, entries: &[Entry], into: &mut Vec<Followed>) -> Result<(), Divergence> {
    replayer.push(entries.to_vec())?;
    while replayer.run(BUDGET, into)? == ReplayStop::Budget {}
    Ok(())
}

fn tell(place: &str, why: &str) {
    say!("lockstep: the guest's console text is not searched{place}, the log cannot be replayed: {why}");
}

/// A line of the console, and the mark with which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub seq: Seq,
    pub at: Icount,
    pub text: Vec<u8>,
}

/// Puts console bytes together to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Option<Line>,
}

impl Lines {
    /// Takes the bytes of one mark; answers with the lines that they complete, without their ends.
    pub(super) fn push(&mut self, entry: &Entry, bytes: &[u8]) -> Vec<Line> {
        let mut done = Vec::new();
        for &byte in bytes {
            let begun = Line { seq: entry.seq, at: entry.at, text: Vec::new() };
            let line = self.open.get_or_insert(begun);
            match byte {
                b'\n' => done.extend(self.open.take()),
                b'\r' => {}
                _ => line.text.push(byte),
            }
            if self.open.as_ref().is_some_and(|line| line.text.len() >= LINE_BYTES_MAX) {
                done.extend(self.open.take());
            }
        }
        done
    }

    /// The last line, which had no end.
    pub(super) fn finish(self) -> Option<Line> {
        self.open.filter(|line| !line.text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Event;

    fn entry(n: u64) -> Entry {
        Entry { seq: Seq(n), at: Icount(10 * n), event: Event::Horizon }
    }

    fn line(n: u64, text: &str) -> Line {
        Line { seq: Seq(n), at: Icount(10 * n), text: text.into() }
    }

    #[test]
    fn lines_are_put_together_over_marks() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(&entry(1), b"check"), []);
        assert_eq!(
            lines.push(&entry(2), b"sum 1\r\n\r\nx\ny"),
            [line(1, "checksum 1"), line(2, ""), line(2, "x")]
        );
        assert_eq!(lines.finish(), Some(line(2, "y")));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut lines = Lines::default();
        let done = lines.push(&entry(1), &vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].text.len(), LINE_BYTES_MAX);
        assert_eq!(lines.finish(), Some(line(1, "x")));
    }
}
