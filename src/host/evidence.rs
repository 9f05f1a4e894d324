//! What is left of replays that have diverged, for people: one directory for each, and the newest of them.
//!
//! ```text
//! divergence-POSITION/divergence.json   position, expected, found, context
//!                     log.frames        frames of the log, the one that could not be obeyed last
//!                     machine.snap      the machine as it stands, a snapshot
//! divergence-POSITION.part/             the same while it is being written
//! ```
//!
//! A thread writes it, so that the node gets the state anew meanwhile. *Absent:* what it means (`lockstep replay --against`).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::durable;
use super::say::say;
use crate::ft::Evidence;
use crate::machine::{Machine, SaveStep};
use crate::mem::Extent;
use crate::snapshot::Packer;

/// The directory's name without the position.
const PREFIX: &str = "divergence-";
/// The report's name.
pub const REPORT_NAME: &str = "divergence.json";
/// The log's.
const LOG_NAME: &str = "log.frames";
/// The machine's.
pub const MACHINE_NAME: &str = "machine.snap";
/// So many are kept in one place; the oldest go first.
const KEPT_MAX: usize = 4;

/// Writes evidence, one at a time.
#[derive(Default)]
pub struct EvidenceWriter {
    thread: Option<JoinHandle<()>>,
}

impl EvidenceWriter {
    /// Writes it into `dir`, on a thread of its own; what became of that is printed.
    pub fn keep(&mut self, dir: PathBuf, evidence: Evidence) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            say!(
                "lockstep: the evidence of this divergence is not kept: that of the last one is being written still"
            );
            return;
        }
        let write = move || match write(&dir, evidence) {
            Ok(path) => say!("lockstep: the evidence of the divergence is in {}", path.display()),
            Err(why) => say!("lockstep: no evidence of the divergence is kept in {}: {why}", dir.display()),
        };
        match Builder::new().name("evidence".into()).spawn(write) {
            Ok(thread) => self.thread = Some(thread),
            Err(why) => say!("lockstep: no evidence of the divergence is kept: {why}"),
        }
    }

    /// Waits for what is being written, for at most so long.
    pub fn finish(self, within: Duration) {
        let until = Instant::now() + within;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Pages that are packed at a time.
const PAGES_A_PIECE: usize = 64;

/// Writes `evidence` into `dir`, which is made if only it is missing, and removes the oldest. Answers with where it is.
fn write(dir: &Path, evidence: Evidence) -> io::Result<PathBuf> {
    let Evidence { divergence, log, mut machine } = evidence;
    let path = dir.join(format!("{PREFIX}{}", divergence.machine_at));
    let part = durable::aside(&path, ".part");
    match fs::create_dir(dir) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        Ok(()) | Err(_) => {}
    }
    remove(&part)?;
    fs::create_dir(&part)?;
    let create = |name: &str| File::create(part.join(name)).map(BufWriter::new);
    let done = |file: BufWriter<File>| file.into_inner().map_err(|error| error.into_error())?.sync_all();
    let mut report = create(REPORT_NAME)?;
    serde_json::to_writer_pretty(&mut report, &divergence)?;
    done(report)?;
    let mut frames = create(LOG_NAME)?;
    frames.write_all(&log)?;
    done(frames)?;
    let mut snapshot = create(MACHINE_NAME)?;
    chunks(&mut machine).try_for_each(|chunk| snapshot.write_all(&chunk))?;
    done(snapshot)?;
    remove(&path)?;
    fs::rename(&part, &path)?;
    durable::sync_parent(&path)?;
    remove_oldest(dir)?;
    Ok(path)
}

/// The snapshot of `machine`, piece by piece: where its node gets another machine there is no memory for a third.
fn chunks(machine: &mut Machine) -> impl Iterator<Item = Vec<u8>> {
    // It was in the middle of a checkpoint, perhaps.
    machine.abandon_save();
    machine.begin_save(u64::MAX, Extent::Apart).expect("no save is under way");
    let head = loop {
        match machine.save_next(PAGES_A_PIECE) {
            SaveStep::Head(head) => break *head,
            SaveStep::Working => {}
            SaveStep::Piece(_) | SaveStep::End => unreachable!("a save begins with its head"),
        }
    };
    let pieces = std::iter::from_fn(|| {
        loop {
            match machine.save_next(PAGES_A_PIECE) {
                SaveStep::Piece(piece) => return Some(piece),
                SaveStep::Working => {}
                SaveStep::Head(_) | SaveStep::End => return None,
            }
        }
    });
    Packer::new(head, pieces)
}

/// Removes a directory, if it is there.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_oldest(dir: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for item in fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name().into_string().unwrap_or_default();
        let position = name.strip_prefix(PREFIX).map(|rest| rest.strip_suffix(".part").unwrap_or(rest));
        if position.is_some_and(|position| position.parse::<u64>().is_ok()) && item.file_type()?.is_dir() {
            kept.push((item.metadata()?.modified()?, item.path()));
        }
    }
    kept.sort();
    let over = kept.len().saturating_sub(KEPT_MAX);
    kept.drain(..over).try_for_each(|(_, oldest)| remove(&oldest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Icount, Seq};
    use crate::ft::Boot;
    use crate::ft::testing::boot_kv;
    use crate::host::logdir::read_snapshot;
    use crate::machine::config::RAM_BYTES_MAX;
    use crate::replay::Divergence;

    fn evidence(at: u64) -> Evidence {
        let Boot { machine, .. } = boot_kv(5, Default::default());
        let divergence = Divergence {
            seq: Seq(7),
            entry_at: Icount(at),
            machine_at: Icount(at),
            expected: "state digest 1".into(),
            found: "2".into(),
            context: vec!["pc 0x80000000".into()],
        };
        Evidence { divergence, log: vec![1, 2, 3], machine }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("evidence");
        // Left by a process that was killed.
        fs::create_dir_all(place.join("divergence-50.part/machine.snap")).unwrap();
        let path = write(&place, evidence(50)).unwrap();
        assert_eq!(names(&place), ["divergence-50"]);
        let report: Divergence = serde_json::from_slice(&fs::read(path.join(REPORT_NAME)).unwrap()).unwrap();
        assert_eq!(report, evidence(50).divergence);
        assert_eq!(fs::read(path.join(LOG_NAME)).unwrap(), [1, 2, 3]);
        let machine = read_snapshot(&path.join(MACHINE_NAME), RAM_BYTES_MAX).unwrap();
        assert_eq!(machine.digest, evidence(50).machine.digest());
        // The same again takes its place.
        assert_eq!(write(&place, evidence(50)).unwrap(), path);
        assert!(write(&dir.path().join("not/there"), evidence(50)).is_err());
    }

    #[test]
    fn the_oldest_go_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["divergence-x", "divergence-", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("divergence-1"), b"a file").unwrap();
        for at in [900, 30, 20, 10, 5, 700] {
            write(dir.path(), evidence(at)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(
            names(dir.path()),
            [
                "divergence-",
                "divergence-1",
                "divergence-10",
                "divergence-20",
                "divergence-5",
                "divergence-700",
                "divergence-x",
                "other"
            ]
        );
    }
}
