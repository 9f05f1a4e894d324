//! `lockstep replay --against EVIDENCE`: a replay up to where a node diverged, and how its machine differs from this one.
//!
//! Exit status: 0 the same, 1 different.

use std::path::Path;

use super::{History, Stopped, Unread};
use crate::base::{Digest, Icount, Seq};
use crate::cli::Failure;
use crate::cli::past::{self, Progress, Unfollowed};
use crate::host::evidence::{MACHINE_NAME, REPORT_NAME};
use crate::host::logdir::read_snapshot;
use crate::host::say::put;
use crate::log::{Entry, Event};
use crate::machine::Machine;
use crate::machine::config::RAM_BYTES_MAX;
use crate::mem::RAM_BASE;
use crate::replay::{Divergence, Followed, Replayer};

/// A report is shorter.
const REPORT_BYTES_MAX: u64 = 4 << 20;

/// What a node that has diverged has left.
pub(super) struct Evidence {
    pub divergence: Divergence,
    pub machine: Machine,
}

impl Evidence {
    /// What is kept in `dir`.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        const FIX: &str = "name a directory divergence-POSITION that a node has written";
        let (report, snapshot) = (dir.join(REPORT_NAME), dir.join(MACHINE_NAME));
        let bad = |path: &Path, why: String| {
            Failure::new(format!("{} is no evidence: {why}", path.display())).fix(FIX)
        };
        let io = |why: std::io::Error| bad(&report, why.to_string());
        if report.metadata().map_err(io)?.len() > REPORT_BYTES_MAX {
            return Err(bad(&report, "it is too long".into()));
        }
        let text = std::fs::read(&report).map_err(io)?;
        let divergence = serde_json::from_slice(&text).map_err(|why| bad(&report, why.to_string()))?;
        let saved = read_snapshot(&snapshot, RAM_BYTES_MAX).map_err(|why| bad(&snapshot, why.to_string()))?;
        let machine = Machine::restore(saved).map_err(|why| bad(&snapshot, why.to_string()))?;
        Ok(Self { divergence, machine })
    }
}

/// Replays `history` to where the evidence is from, and compares.
pub(super) fn compare(history: History, evidence: Evidence) -> Result<u8, Failure> {
    let Evidence { divergence, machine: mut theirs } = evidence;
    let (seq, at) = (divergence.seq, divergence.machine_at);
    let History { what, machine, done, entries, store: _locked, .. } = history;
    if let Some(difference) = machine.config().difference(theirs.config()) {
        let what = format!("the {what} and the evidence are of two machines: {difference}");
        return Err(Failure::new(what).fix("name a store or recording of the same vm's same life"));
    }
    let (mut ours, entry) = match advance(machine, done, entries, (seq, at)) {
        Ok(there) => there,
        Err(Stopped::Failed(failure)) => return Err(failure),
        Err(Stopped::Diverged(here)) => {
            put!("this replay differs from the {what} earlier: {here}")?;
            return Ok(1);
        }
    };
    let (here, there) = (ours.digest(), theirs.digest());
    put!("at {at}, before entry {seq}: state digest {here} here, {there} at the node that diverged")?;
    put!("{}", verdict(what, (here, there), entry.map(|entry| entry.event)))?;
    for line in differences(&ours, &theirs) {
        put!("  {line}")?;
    }
    Ok(u8::from(here != there))
}

/// The machine at position `at` before entry `seq`, and that entry.
fn advance(
    machine: Machine,
    done: Seq,
    mut entries: impl Iterator<Item = Result<Entry, Unread>>,
    (seq, at): (Seq, Icount),
) -> Result<(Machine, Option<Entry>), Stopped> {
    let mut replayer = Replayer::new(machine, done.next());
    let mut next = None;
    let before = std::iter::from_fn(|| match entries.next()? {
        Ok(entry) if entry.seq >= seq => {
            next = Some(entry);
            None
        }
        Err(Unread::Torn(_)) => None,
        read => Some(read),
    });
    let mut progress = Progress::begin();
    let has_run = |_: &[Followed], icount| progress.tell("replay", icount, at);
    past::follow(&mut replayer, before, None, has_run).map_err(|why| match why {
        Unfollowed::Unread(Unread::Failed(failure)) => Stopped::Failed(failure),
        Unfollowed::Unread(Unread::Torn(_)) => unreachable!("a torn tail ends the entries"),
        Unfollowed::Diverged(divergence) => divergence.into(),
    })?;
    if replayer.seq_next() != seq || replayer.icount() > at {
        let what = format!(
            "the node diverged at {at}, before entry {seq}: what is replayed goes from entry {} to {}, at {}",
            done.next(),
            replayer.done(),
            replayer.icount()
        );
        return Err(Stopped::Failed(Failure::new(what).fix(
            "name a store or recording that has the log up to there: the primary's, or what another backup has kept",
        )));
    }
    if replayer.icount() < at {
        replayer.run_to(at)?;
    }
    Ok((replayer.give_up(), next))
}

/// Who was wrong.
fn verdict(what: &str, (here, there): (Digest, Digest), entry: Option<Event>) -> String {
    let log = match entry {
        Some(Event::Digest(log)) => Some(log),
        _ => None,
    };
    match (here == there, log.map(|log| log == here)) {
        (true, Some(false)) => format!(
            "this replay agrees with that node, and not with the {what}: whoever wrote the log was wrong"
        ),
        (false, Some(true)) => format!("this replay agrees with the {what}: that node was wrong"),
        (true, Some(true)) => {
            "all three agree: this log has another digest than the one that was sent".into()
        }
        (false, Some(false)) => format!("this replay agrees with neither that node nor the {what}"),
        (true, None) => "this replay comes to the same state as that node".into(),
        (false, None) => "this replay comes to another state than that node".into(),
    }
}

/// Where two machines of one configuration differ, in a few lines.
fn differences(ours: &Machine, theirs: &Machine) -> Vec<String> {
    let mut lines = Vec::new();
    let (here, there) = (ours.hart(), theirs.hart());
    if here.pc() != there.pc() {
        lines.push(format!("pc: {:#x} here, {:#x} there", here.pc(), there.pc()));
    }
    let registers = (0..32).filter(|n| here.x(*n) != there.x(*n));
    lines.extend(registers.map(|n| format!("x{n}: {:#x} here, {:#x} there", here.x(n), there.x(n))));
    let (here, there) = (ours.ram(), theirs.ram());
    let differ: Vec<u32> =
        (0..here.pages().min(there.pages())).filter(|page| here.page(*page) != there.page(*page)).collect();
    let Some(first) = differ.first() else {
        lines.push("memory: the same".into());
        return lines;
    };
    let pages = here.page(*first).iter().zip(there.page(*first));
    let bytes: Vec<(usize, u8, u8)> =
        pages.enumerate().filter(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, *a, *b)).collect();
    lines.push(format!("memory: pages that differ: {}, the first is page {first}", differ.len()));
    if let Some((at, a, b)) = bytes.first() {
        let address = RAM_BASE.get() + (here.page(*first).len() * *first as usize + at) as u64;
        let (count, bits) = (bytes.len(), (a ^ b).count_ones());
        lines.push(format!(
            "  {count} of its bytes, the first at {address:#x}: {a:#04x} here, {b:#04x} there (bits: {bits})"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ft::testing::boot_kv;

    fn machine() -> Machine {
        boot_kv(5, Default::default()).machine
    }

    #[test]
    fn a_flipped_bit_is_found_by_page_and_address() {
        let mut theirs = machine();
        assert_eq!(differences(&machine(), &theirs), ["memory: the same"]);
        theirs.flip_bit();
        let last = theirs.ram().pages() - 1;
        let at = RAM_BASE.get() + theirs.ram().size_bytes() - 1;
        let lines = differences(&machine(), &theirs);
        assert_eq!(lines[0], format!("memory: pages that differ: 1, the first is page {last}"));
        assert!(lines[1].starts_with(&format!("  1 of its bytes, the first at {at:#x}: ")), "{lines:?}");
        assert!(lines[1].ends_with("(bits: 1)"), "{lines:?}");
    }

    #[test]
    fn who_was_wrong_is_told_by_a_third_execution() {
        let digest = |n| Some(Event::Digest(Digest(n)));
        for (here, there, log, says) in [
            (1, 2, digest(1), "that node was wrong"),
            (2, 2, digest(1), "whoever wrote the log was wrong"),
            (3, 2, digest(1), "agrees with neither"),
            (1, 1, digest(1), "all three agree"),
            (1, 2, Some(Event::Horizon), "another state"),
            (2, 2, None, "the same state"),
        ] {
            let said = verdict("log", (Digest(here), Digest(there)), log);
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_replay_stops_before_the_entry_and_one_that_does_not_come_there_is_refused() {
        let entry = |seq, at| Ok(Entry { seq: Seq(seq), at: Icount(at), event: Event::Horizon });
        let log = || [entry(1, 10), entry(2, 20), entry(3, 30)].into_iter();
        let at = |seq, at| advance(machine(), Seq::ZERO, log(), (Seq(seq), Icount(at)));
        let (there, next) = at(3, 25).unwrap_or_else(|_| panic!("it comes there"));
        assert_eq!((there.icount(), next.map(|entry| entry.seq)), (Icount(25), Some(Seq(3))));
        let (there, next) = at(4, 30).unwrap_or_else(|_| panic!("it comes there"));
        assert_eq!((there.icount(), next), (Icount(30), None));
        for (seq, position) in [(5, 30), (3, 15)] {
            assert!(matches!(at(seq, position), Err(Stopped::Failed(_))), "{seq}, {position}");
        }
    }
}
