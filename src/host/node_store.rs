//! A node's store: created beside the running node, told of every frame, and of what the node is to its group.
//!
//! ```text
//! base --a thread--> Store --Opened--> the node's thread appends what waited, and each frame from then on
//! standing --another thread--> the file `replica`
//! ```
//!
//! Promises: the node's thread waits for no disk, but before a claim under an identity that is not noted yet, and after a
//! divergence, until the store is marked; what waits
//! for a store is bounded ([`is_full`](NodeStore::is_full): the guest should wait); nothing of an earlier store is taken for
//! the present one's.
//! *Absent:* what a failure means for the node (`ft`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::store::{
    self, Appended, CheckpointMeta, Frames, Identity, Replica, Settings, Store, StoreError, StoreEvent,
};
use crate::base::{Generation, NodeId, Seq};
use crate::ft::{Node, StoreHolds};
use crate::machine::{Piece, Saved, SavedHead};
use crate::replay::Divergence;
use crate::snapshot::{self, Packer};

/// Bytes of frames that wait for a store before the guest should.
const WAITING_BYTES_SOFT: u64 = 16 << 20;
/// Bytes of frames that wait for a store that is being created, at most.
const CREATING_BYTES_MAX: u64 = 256 << 20;

/// So long a store is waited for that another thread of this process still has.
const RELEASED_WITHIN: Duration = Duration::from_secs(60);

/// Pieces of a checkpoint that wait to be packed before no more are drawn.
const PIECES_WAITING_MAX: usize = 256;

/// What a store's threads report to the node's.
pub enum Report {
    /// It is created.
    Opened(Box<Result<Store, StoreError>>),
    /// It has something to say.
    Event(StoreEvent),
}

/// Takes what the `n`-th store of this process reports.
pub type Reporter = Arc<dyn Fn(u64, Report) + Send + Sync>;

/// Where a node's store is, and what is in it if there is one already.
pub struct StorePlace {
    pub dir: PathBuf,
    pub settings: Settings,
    /// What the replica was to its group, as the store says.
    pub replica: Replica,
    /// A store to go on with, and the log behind the checkpoint that the node starts from.
    pub resumed: Option<(Store, Frames)>,
}

enum State {
    /// There is no state to begin it with yet, or it has failed.
    Idle,
    /// A thread creates it.
    Creating {
        waiting: VecDeque<Vec<u8>>,
        bytes: u64,
    },
    Open(Box<Store>),
}

/// A checkpoint on its way into the store.
struct Saving {
    pieces: Sender<Piece>,
    keep: Sender<()>,
    /// How many pieces wait.
    waiting: Arc<AtomicUsize>,
}

/// The pieces of a checkpoint, as they come.
struct Pieces {
    pieces: Receiver<Piece>,
    waiting: Arc<AtomicUsize>,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let piece = self.pieces.recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(piece)
    }
}

/// The chunks of a checkpoint: the last one only once the node wants it kept, so that it is none before.
struct Chunks {
    packer: Packer<Pieces>,
    keep: Receiver<()>,
}

impl Iterator for Chunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let chunk = self.packer.next()?;
        if self.packer.chunks_done() == self.packer.chunks_total() {
            self.keep.recv().ok()?;
        }
        Some(chunk)
    }
}

/// Something to note, and where to say what came of it, if somebody waits.
type Note = (Replica, Option<SyncSender<Result<(), String>>>);

/// The one writer of the file `replica`, on a thread of its own: notes are written in the order in which they were made.
struct Notes {
    todo: SyncSender<Note>,
    thread: Option<JoinHandle<()>>,
    /// The last that was made.
    made: Replica,
    /// The last that is on the disk.
    written: Arc<Mutex<Replica>>,
}

impl Notes {
    /// The file in `dir` holds `replica`, or is missing.
    fn begin(dir: PathBuf, replica: Replica) -> Self {
        let (todo, notes) = sync_channel::<Note>(1);
        let written = Arc::new(Mutex::new(replica.clone()));
        let on_disk = written.clone();
        let write = move || {
            for (replica, asked) in notes {
                let noted = replica.write(&dir).map_err(|error| error.line());
                if noted.is_ok() {
                    *lock(&on_disk) = replica;
                }
                // It permits, and never obliges: a note that is missing costs the permission.
                asked.map(|asked| asked.send(noted));
            }
        };
        // Without the thread nothing is noted, and whoever waits is told.
        let thread = Builder::new().name("store-notes".into()).spawn(write).ok();
        Self { todo, thread, made: replica, written }
    }

    /// Notes what the node is to its group, if that has changed; if a note is being written still, the next time.
    fn note(&mut self, node: &Node) {
        if (&self.made.standing, self.made.ack) == (node.standing(), node.ack()) {
            return;
        }
        let replica = Replica { standing: node.standing().clone(), ack: node.ack(), known: node.known() };
        match self.todo.try_send((replica.clone(), None)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => self.made = replica,
            Err(TrySendError::Full(_)) => {}
        }
    }

    /// Waits until the node's store knows it as `id`.
    fn is_known_as(&mut self, id: NodeId) -> Result<(), String> {
        if lock(&self.written).standing.nodes.contains(&id) {
            return Ok(());
        }
        self.made.standing.is_known_as(id);
        let ((asked, answer), gone) = (sync_channel(1), || "the thread that notes is gone".to_owned());
        self.todo.send((self.made.clone(), Some(asked))).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    /// Writes what waits, and ends.
    fn end(self) {
        drop(self.todo);
        // A thread that panicked has said why.
        self.thread.map(JoinHandle::join);
    }
}

fn lock(replica: &Mutex<Replica>) -> MutexGuard<'_, Replica> {
    // Every change is a whole one.
    replica.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store of a node, if it has one.
pub(super) struct NodeStore {
    place: Option<(PathBuf, Settings)>,
    state: State,
    frames: Option<Frames>,
    saving: Option<Saving>,
    report: Reporter,
    /// Counts the stores of this process.
    number: u64,
    /// Of a store that is open.
    notes: Option<Notes>,
    /// The node has diverged since the store began.
    distrusted: Option<Box<Divergence>>,
}

impl NodeStore {
    pub fn new(place: Option<StorePlace>, report: Reporter) -> Self {
        let none = Self {
            place: None,
            state: State::Idle,
            frames: None,
            saving: None,
            report,
            number: 0,
            notes: None,
            distrusted: None,
        };
        let Some(StorePlace { dir, settings, replica, resumed }) = place else { return none };
        let Some((store, frames)) = resumed else { return Self { place: Some((dir, settings)), ..none } };
        store.report_to(hears(&none.report, 0));
        let (state, notes) = (State::Open(Box::new(store)), Notes::begin(dir.clone(), replica));
        Self { place: Some((dir, settings)), state, frames: Some(frames), notes: Some(notes), ..none }
    }

    /// Begins a store with this state, in place of what is there, if this node has one.
    pub fn begin(&mut self, vm: &str, base: Saved, seq_next: Seq, generation: Generation, life: u64) {
        let Some((dir, settings)) = self.place.clone() else { return };
        self.number += 1;
        (self.frames, self.saving, self.distrusted) = (None, None, None);
        let creating = State::Creating { waiting: VecDeque::new(), bytes: 0 };
        let last = std::mem::replace(&mut self.state, creating);
        let meta = CheckpointMeta {
            seq: Seq(seq_next.get() - 1),
            icount: base.icount,
            generation,
            digest: base.digest,
            base: None,
        };
        let identity = Identity::new(vm, life, &base.config, &meta);
        let (number, report, notes) = (self.number, self.report.clone(), self.notes.take());
        let is_first = number == 1;
        let create = move || {
            // What waits to be noted is of the store before.
            if let Some(notes) = notes {
                notes.end();
            }
            if let State::Open(store) = last {
                // What it could not write is of no use any more.
                store.close().ok();
            }
            if !is_first {
                // A thread that creates or ends the one before may still have it.
                store::await_release(&dir, RELEASED_WITHIN);
            }
            let chunks = snapshot::Encoder::new(base);
            let events = hears(&report, number);
            report(
                number,
                Report::Opened(Box::new(Store::replace(&dir, &identity, meta, chunks, settings, events))),
            );
        };
        // Without a thread nobody reports, and the guest waits: the next event is its end.
        if let Err(why) = Builder::new().name("store-create".into()).spawn(create) {
            let error = StoreError::io("start a thread for", "the store")(why);
            (self.report)(self.number, Report::Opened(Box::new(Err(error))));
        }
    }

    /// This node has diverged: nobody goes on from what it has stored so far, whenever this process dies. The store stays
    /// as it is until the next one begins.
    pub fn distrust(&mut self, divergence: &Divergence) -> Result<(), String> {
        let Some((dir, _)) = &self.place else { return Ok(()) };
        self.distrusted = Some(Box::new(divergence.clone()));
        self.saving = None;
        store::distrust(dir, divergence).map_err(|error| error.line())
    }

    /// Where it is, if this node has one.
    pub fn dir(&self) -> Option<&Path> {
        self.place.as_ref().map(|(dir, _)| dir.as_path())
    }

    /// Whether a report of store `number` is of the present one.
    pub fn is_present(&self, number: u64) -> bool {
        number == self.number
    }

    /// A report of an earlier store: what it opened is closed, on a thread, because that waits for a disk.
    pub fn discard(&self, report: Report) {
        match Builder::new().name("store-end".into()).spawn(move || drop(report)) {
            Ok(_) | Err(_) => {}
        }
    }

    /// The present store is created: it gets what waited.
    pub fn opened(&mut self, opened: Result<Store, StoreError>) -> Result<(), String> {
        let State::Creating { waiting, .. } = std::mem::replace(&mut self.state, State::Idle) else {
            return Ok(());
        };
        let store = opened.map_err(|error| error.line())?;
        self.state = State::Open(Box::new(store));
        if let (Some(divergence), Some((dir, _))) = (&self.distrusted, &self.place) {
            store::distrust(dir, divergence).map_err(|error| error.line())?;
        }
        self.notes = self.place.as_ref().map(|(dir, _)| Notes::begin(dir.clone(), Replica::default()));
        waiting.iter().try_for_each(|frame| self.append(frame))
    }

    /// Appends a frame to the store, if there is one.
    pub fn append(&mut self, frame: &[u8]) -> Result<(), String> {
        let why = match &mut self.state {
            State::Idle => return Ok(()),
            State::Creating { waiting, bytes } if *bytes < CREATING_BYTES_MAX => {
                *bytes += frame.len() as u64;
                waiting.push_back(frame.to_vec());
                return Ok(());
            }
            State::Creating { .. } => "too much log waits for it to be created".to_owned(),
            State::Open(store) => match store.append(frame) {
                Ok(Appended::Taken { .. }) => return Ok(()),
                Ok(Appended::NoRoom { waiting }) => format!("{waiting} bytes of log wait for its disk"),
                Err(error) => error.line(),
            },
        };
        self.ends();
        Err(why)
    }

    /// Begins to save the checkpoint after entry `seq`, which builds on `base`, while pieces of it come.
    pub fn save(
        &mut self,
        (seq, base): (Seq, Option<Seq>),
        generation: Generation,
        head: SavedHead,
    ) -> Result<(), String> {
        let State::Open(store) = &self.state else { return Err("there is no store yet".into()) };
        let meta = CheckpointMeta { seq, icount: head.icount, generation, digest: head.digest, base };
        let ((pieces, coming), (keep, kept)) = (channel(), channel());
        let waiting = Arc::new(AtomicUsize::new(0));
        let coming = Pieces { pieces: coming, waiting: waiting.clone() };
        let chunks = Chunks { packer: Packer::new(head, coming), keep: kept };
        store.checkpoint(meta, chunks).map_err(|error| error.line())?;
        self.saving = Some(Saving { pieces, keep, waiting });
        Ok(())
    }

    /// Whether another piece had better be drawn.
    pub fn takes_piece(&self) -> bool {
        let waiting = self.saving.as_ref().map_or(0, |saving| saving.waiting.load(Ordering::Relaxed));
        waiting < PIECES_WAITING_MAX
    }

    /// The next piece of the checkpoint that is being saved.
    pub fn piece(&mut self, piece: Piece) {
        if let Some(saving) = &self.saving {
            saving.waiting.fetch_add(1, Ordering::Relaxed);
            // A saver that is gone has reported why.
            saving.pieces.send(piece).ok();
        }
    }

    /// The checkpoint that is being saved is whole, and to be kept; or not wanted any more.
    pub fn end_saving(&mut self, is_kept: bool) {
        if let Some(saving) = self.saving.take()
            && is_kept
        {
            saving.keep.send(()).ok();
        }
    }

    /// True when the guest should wait before it makes more.
    pub fn is_full(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Creating { bytes, .. } => *bytes >= WAITING_BYTES_SOFT,
            State::Open(store) => store.waiting() >= WAITING_BYTES_SOFT,
        }
    }

    /// The next frame for a node that goes on from here; none at the end.
    pub fn next_stored(&mut self) -> Option<Result<Vec<u8>, StoreError>> {
        let next = self.frames.as_mut().and_then(Iterator::next);
        if next.is_none() {
            self.frames = None;
        }
        next
    }

    /// What it holds now, once it is open, and while that is worth anything.
    pub fn holds(&self) -> Option<StoreHolds> {
        let State::Open(store) = &self.state else { return None };
        if self.distrusted.is_some() {
            return None;
        }
        let status = store.status();
        let oldest = status.checkpoints.first().map_or(status.first, |oldest| oldest.meta.seq.next());
        Some(StoreHolds { bytes: status.bytes, oldest, durable: status.durable })
    }

    /// It has failed: nothing more is appended.
    pub fn ends(&mut self) {
        (self.saving, self.notes) = (None, None);
        if let State::Open(store) = std::mem::replace(&mut self.state, State::Idle) {
            // Its threads may hang in the disk for long.
            match Builder::new().name("store-end".into()).spawn(move || drop(store)) {
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Has it noted what the node is to its group, when that has changed.
    pub fn note(&mut self, node: &Node) {
        if let Some(notes) = &mut self.notes {
            notes.note(node);
        }
    }

    /// Makes sure that the store knows the node as `id` before that claims a generation.
    pub fn is_known_as(&mut self, id: NodeId) -> Result<(), String> {
        self.notes.as_mut().map_or(Ok(()), |notes| notes.is_known_as(id))
    }

    /// Brings everything to the disk and ends.
    pub fn close(&mut self) -> Result<(), StoreError> {
        self.saving = None;
        if let Some(notes) = self.notes.take() {
            notes.end();
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Open(store) => store.close(),
            State::Idle | State::Creating { .. } => Ok(()),
        }
    }
}

fn hears(report: &Reporter, number: u64) -> impl FnMut(StoreEvent) + Send + 'static {
    let report = report.clone();
    move |event| report(number, Report::Event(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ft::{Ack, Settings, Standing};

    fn node(id: u64) -> Node {
        Node::seeking(NodeId(id), "vm", Vec::new(), 0, Settings { ack: Ack::Disk, ..Settings::default() }, 0)
    }

    fn on_disk(dir: &tempfile::TempDir) -> Option<Replica> {
        Replica::read(dir.path()).unwrap()
    }

    #[test]
    fn a_claim_waits_until_its_identity_is_noted_and_later_notes_do_not_take_that_back() {
        let dir = tempfile::tempdir().unwrap();
        let standing = Standing { nodes: vec![NodeId(1)], counts: Some(Generation(2)) };
        let before = Replica { standing, ..Replica::default() };
        let mut notes = Notes::begin(dir.path().to_owned(), before.clone());
        notes.is_known_as(NodeId(1)).unwrap();
        assert_eq!(on_disk(&dir), None, "it is known already");
        notes.is_known_as(NodeId(7)).unwrap();
        let nodes = vec![NodeId(1), NodeId(7)];
        let known = Standing { nodes, ..before.standing };
        assert_eq!(on_disk(&dir).map(|replica| replica.standing), Some(known));
        // A node with nothing to its name yet, whose log counts on disk.
        notes.note(&node(3));
        notes.end();
        let last = on_disk(&dir).unwrap();
        assert_eq!((last.standing, last.ack), (Standing::default(), Ack::Disk));
    }

    #[test]
    fn a_node_that_diverges_while_its_store_is_created_leaves_none_to_go_on_from() {
        for late in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (reports, reported) = channel();
            let report: Reporter =
                Arc::new(move |number, report| reports.send((number, report)).unwrap_or(()));
            let place = StorePlace {
                dir: dir.path().to_owned(),
                settings: store::Settings::default(),
                replica: Replica::default(),
                resumed: None,
            };
            let mut of_node = NodeStore::new(Some(place), report);
            let mut machine = crate::ft::testing::boot_kv(5, Default::default()).machine;
            let divergence = Divergence {
                seq: Seq(7),
                entry_at: machine.icount(),
                machine_at: machine.icount(),
                expected: String::new(),
                found: String::new(),
                context: Vec::new(),
            };
            for round in 1..=2 {
                of_node.begin("vm", machine.save(), Seq(1), Generation(1), 5);
                if !late {
                    of_node.distrust(&divergence).unwrap();
                }
                loop {
                    if let (number, Report::Opened(opened)) = reported.recv().unwrap() {
                        assert_eq!(number, round);
                        of_node.opened(*opened).unwrap();
                        break;
                    }
                }
                if late {
                    assert!(!store::is_distrusted(dir.path()), "the next one begins anew");
                    assert!(of_node.holds().is_some());
                    of_node.distrust(&divergence).unwrap();
                }
                assert!(store::is_distrusted(dir.path()), "{late}, {round}");
                assert_eq!(of_node.holds(), None);
            }
            of_node.close().unwrap();
            assert!(store::is_distrusted(dir.path()));
        }
    }

    #[test]
    fn a_claim_whose_identity_cannot_be_noted_is_told_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut notes = Notes::begin(dir.path().join("gone"), Replica::default());
        for _ in 0..2 {
            let why = notes.is_known_as(NodeId(7)).unwrap_err();
            assert!(why.contains("replica") && why.contains("No such file"), "{why}");
        }
    }
}
