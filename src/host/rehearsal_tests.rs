use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use super::*;
use crate::machine::{BootOptions, Elf, MachineConfig, SaveStep};
use crate::mem::Extent;

const PATIENCE: Duration = Duration::from_secs(60);

/// The state of a guest that answers questions, in parts.
fn drawn() -> (SavedHead, Vec<Piece>) {
    let guest = Elf::parse(include_bytes!("../../guest-programs/kv/kv.elf")).unwrap();
    let options = BootOptions { ram_bytes: 8 << 20, ..BootOptions::default() };
    let mut machine = Machine::boot(&guest, &options).unwrap();
    machine.begin_save(1 << 20, Extent::Apart).unwrap();
    let (mut head, mut pieces) = (None, Vec::new());
    loop {
        match machine.save_next(64) {
            SaveStep::Working => {}
            SaveStep::Head(found) => head = Some(*found),
            SaveStep::Piece(piece) => pieces.push(piece),
            SaveStep::End => return (head.unwrap(), pieces),
        }
    }
}

/// What comes of a fork of these parts, tried for a second.
fn rehearsed(head: SavedHead, pieces: Vec<Piece>) -> Result<Rehearsed, String> {
    let (report, reported) = channel();
    let report = move |outcome| report.send(outcome).unwrap();
    let rehearsal = Rehearsal::begin(head, Instant::now(), KeptDisks::default(), report).unwrap();
    pieces.into_iter().for_each(|piece| rehearsal.piece(piece));
    rehearsal.go_live(GuestClock::starting(0, 0), 1);
    let outcome = reported.recv_timeout(PATIENCE).unwrap();
    assert!(rehearsal.takes_piece(), "all are taken");
    outcome
}

#[test]
fn a_fork_is_made_checked_and_tried() {
    let (head, pieces) = drawn();
    let Rehearsed { tried, .. } = rehearsed(head.clone(), pieces.clone()).unwrap();
    assert!(tried.instructions > 1000 && tried.why.is_none() && tried.answered == Some(true), "{tried:?}");
    assert!(tried.ran_ms >= 1000, "{tried:?}");
    let other = SavedHead { digest: crate::base::Digest(1), ..head.clone() };
    let why = rehearsed(other, pieces).unwrap_err();
    assert!(why.starts_with("what was forked is no machine: the state's digest is "), "{why}");
    let config = MachineConfig { ram_bytes: 1 << 44, ..head.config.clone() };
    let why = rehearsed(SavedHead { config, ..head }, Vec::new()).unwrap_err();
    assert!(why.contains("of memory to spare; a second machine takes 16777216 MiB"), "{why}");
}

/// Goes with the thread that would report, and notes whether that panics.
struct Reporter {
    sender: Sender<Result<Rehearsed, String>>,
    has_panicked: Arc<AtomicBool>,
}

impl Reporter {
    fn tell(&self, outcome: Result<Rehearsed, String>) {
        self.sender.send(outcome).unwrap();
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.has_panicked.store(std::thread::panicking(), Ordering::Relaxed);
    }
}

#[test]
fn a_fork_that_is_not_wanted_any_more_ends_without_a_word() {
    let (head, pieces) = drawn();
    let (sender, reported) = channel();
    let has_panicked = Arc::new(AtomicBool::new(false));
    let reporter = Reporter { sender, has_panicked: has_panicked.clone() };
    let report = move |outcome| reporter.tell(outcome);
    let rehearsal = Rehearsal::begin(head, Instant::now(), KeptDisks::default(), report).unwrap();
    for piece in pieces {
        rehearsal.piece(piece);
    }
    rehearsal.go_live(GuestClock::starting(0, 0), 60);
    sleep(Duration::from_millis(50));
    drop(rehearsal);
    assert_eq!(reported.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    assert!(!has_panicked.load(Ordering::Relaxed), "the thread has ended by itself");
}
