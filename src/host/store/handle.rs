//! A store that is open: its lock, its two threads, and what the owner asks of them.
//!
//! ```text
//! owner --append--> queue (bounded) --all that waits--> writer: one write, one sync --> Durable
//!       --checkpoint--> keeper: writes aside, waits until the log is durable, renames --> CheckpointSaved
//!                               then removes what is over
//! ```

use std::fmt::{self, Debug, Formatter};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::batch::BATCH_BYTES_MAX;
use super::catalog::Catalog;
use super::checkpoint::{self, CheckpointInfo, CheckpointMeta};
use super::distrust;
use super::error::StoreError;
use super::files::{Files, HostFiles};
use super::frames::Frames;
use super::identity::{self, Identity};
use super::keep::Keep;
use super::keeper::{Keeper, Pruned};
use super::replica;
use super::restore::restore;
use super::survey::{Check, Survey, is_ours, survey};
use super::writer::{self, Writer};
use crate::base::{Generation, Seq};
use crate::host::durable;
use crate::host::remedy::CREATE_DIR;
use crate::log::{FRAME_BYTES_MAX, Frame, FrameError};
use crate::machine::Machine;

/// Between two syncs when nobody waits for them.
const RELAXED_SYNC_AFTER: Duration = Duration::from_secs(1);
/// How many removals may wait behind a checkpoint.
const JOBS_MAX: usize = 4;

/// When what was appended is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// At once; the next sync begins when the last one has ended.
    #[default]
    Always,
    /// Every second, at the end of a segment, for a checkpoint, and at the close.
    Relaxed,
}

/// How a store is written.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Space that is taken for a segment. A frame that does not fit gets a longer one.
    pub segment_bytes: u64,
    /// The most bytes of frames that wait for the disk; at least one of the longest frames.
    pub queue_bytes_max: u64,
    /// When what was appended is made durable.
    pub sync: Sync,
    /// How far back the store goes.
    pub keep: Keep,
    /// How much of it is read when it is opened.
    pub check: Check,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            queue_bytes_max: 64 << 20,
            sync: Sync::default(),
            keep: Keep::default(),
            check: Check::default(),
        }
    }
}

/// What the store reports, from threads of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// All entries up to this one survive a crash of the host.
    Durable {
        /// The last of them.
        upto: Seq,
    },
    /// A checkpoint is one of the store's.
    CheckpointSaved {
        /// The last entry that it contains.
        seq: Seq,
        /// The length of its file.
        bytes: u64,
    },
    /// A checkpoint was not saved; the log goes on.
    CheckpointFailed {
        /// The last entry that it would contain.
        seq: Seq,
        /// Why.
        why: String,
    },
    /// Something was removed because it was over the limits.
    Pruned(Pruned),
    /// Something that is over the limits could not be removed; it is tried again after the next checkpoint.
    PruneFailed {
        /// Why.
        why: String,
    },
    /// The disk has no room: nothing more is written. Reported once.
    Full {
        /// What failed.
        why: String,
    },
    /// A write or sync failed: nothing more is written. Reported once.
    Failed {
        /// What failed.
        why: String,
    },
}

/// Whether a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was; so many bytes wait for the disk now, this frame included.
    Taken {
        /// Bytes of frames.
        waiting: u64,
    },
    /// It was not: too much waits.
    NoRoom {
        /// Bytes of frames.
        waiting: u64,
    },
}

/// What is in a store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The first entry that is there.
    pub first: Seq,
    /// The last entry that was written.
    pub written: Seq,
    /// The last entry that is durable.
    pub durable: Seq,
    /// The generation after the last entry that was written.
    pub generation: Generation,
    /// Oldest first; at least one.
    pub checkpoints: Vec<CheckpointInfo>,
    /// Bytes of files: checkpoints and segments, with what is taken for the last one.
    pub bytes: u64,
    /// Bytes of frames that wait for the disk.
    pub waiting: u64,
}

type OnEvent = Box<dyn FnMut(StoreEvent) + Send>;
type ChunkSource = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// Frames on their way to the writer.
#[derive(Debug, Default)]
struct Queue {
    /// Whole frames, one after another.
    frames: Vec<u8>,
    /// Bytes that the writer has taken and is not done with.
    writing: u64,
    /// The number of the next entry.
    next: Seq,
    sync_wanted: bool,
    closing: bool,
    failed: bool,
}

/// What all threads of a store share.
struct Shared {
    files: Arc<dyn Files>,
    catalog: Arc<Catalog>,
    queue: Mutex<Queue>,
    work: Condvar,
    on_event: Mutex<OnEvent>,
    /// A checkpoint is being written.
    saving: AtomicBool,
    /// The keeper is to come to its end.
    ending: AtomicBool,
}

impl Debug for Shared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("catalog", &self.catalog)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change is a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, event: StoreEvent) {
        (self.on_event.lock().unwrap_or_else(PoisonError::into_inner))(event);
    }

    /// Nothing more is written.
    fn fail(&self, error: &StoreError) {
        let mut queue = self.queue();
        queue.failed = true;
        queue.frames = Vec::new();
        queue.writing = 0;
        drop(queue);
        self.catalog.end();
        let why = error.to_string();
        self.report(if error.is_full() { StoreEvent::Full { why } } else { StoreEvent::Failed { why } });
    }
}

/// What the keeper is to do.
enum Job {
    Checkpoint(CheckpointMeta, ChunkSource),
    Prune(Keep),
}

/// An open store. Dropping it is like [`Store::close`], without the answer.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    found: Survey,
    queue_bytes_max: u64,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
    keeper: Option<(SyncSender<Job>, JoinHandle<()>)>,
    /// Locked as long as it is open.
    _lock: Option<File>,
}

impl Store {
    /// Begins a store in `dir`, which is made if only it is missing. `chunks` are the snapshot of the state
    /// `base`, which is the first checkpoint. What an earlier creation left that was cut off is removed.
    pub fn create(
        dir: &Path,
        identity: &Identity,
        base: CheckpointMeta,
        chunks: impl IntoIterator<Item = Vec<u8>>,
        settings: Settings,
        on_event: impl FnMut(StoreEvent) + Send + 'static,
    ) -> Result<Self, StoreError> {
        match DirBuilder::new().create(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io(CREATE_DIR, dir)(why));
            }
            Ok(()) => durable::sync_parent(dir).map_err(StoreError::io(CREATE_DIR, dir))?,
            Err(_) => {}
        }
        let lock = lock(dir, File::try_lock)?;
        let files: Arc<dyn Files> = Arc::new(HostFiles::new(dir));
        create(&*files, identity, base, chunks, settings.segment_bytes)?;
        Self::start(files, Some(lock), settings, Box::new(on_event))
    }

    /// Begins a store as [`Store::create`] does, in place of one that is there: what that holds is given up.
    pub fn replace(
        dir: &Path,
        identity: &Identity,
        base: CheckpointMeta,
        chunks: impl IntoIterator<Item = Vec<u8>>,
        settings: Settings,
        on_event: impl FnMut(StoreEvent) + Send + 'static,
    ) -> Result<Self, StoreError> {
        if dir.join(identity::NAME).exists() {
            let _lock = lock(dir, File::try_lock)?;
            let files = HostFiles::new(dir);
            // From here on it is a creation that was cut off.
            let path = files.path(identity::NAME);
            files.rename(identity::NAME, identity::NAME_NEW).map_err(StoreError::io("rename", &path))?;
            files.sync_dir().map_err(StoreError::io("sync the directory of", &path))?;
        }
        Self::create(dir, identity, base, chunks, settings, on_event)
    }

    /// From here on its events go to `on_event`.
    pub fn report_to(&self, on_event: impl FnMut(StoreEvent) + Send + 'static) {
        *self.shared.on_event.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(on_event);
    }

    /// Bytes of frames that wait for the disk.
    pub fn waiting(&self) -> u64 {
        let queue = self.shared.queue();
        queue.frames.len() as u64 + queue.writing
    }

    /// Opens the store in `dir`: looks through it, cuts a torn tail, and gets ready to go on.
    pub fn open(
        dir: &Path,
        settings: Settings,
        on_event: impl FnMut(StoreEvent) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let lock = lock(dir, File::try_lock)?;
        if distrust::is_distrusted(dir) {
            return Err(StoreError::Diverged { dir: dir.to_owned() });
        }
        Self::start(Arc::new(HostFiles::new(dir)), Some(lock), settings, Box::new(on_event))
    }

    /// Looks through the store in `dir` and changes nothing.
    pub fn survey(dir: &Path, check: Check) -> Result<Survey, StoreError> {
        let _lock = lock(dir, File::try_lock_shared)?;
        survey(&HostFiles::new(dir), check)
    }

    pub(super) fn start(
        files: Arc<dyn Files>,
        lock: Option<File>,
        settings: Settings,
        on_event: OnEvent,
    ) -> Result<Self, StoreError> {
        let (found, catalog, writer) = resume(&files, settings.check, settings.segment_bytes)?;
        let queue = Queue { next: found.last().next(), ..Queue::default() };
        let shared = Arc::new(Shared {
            files,
            catalog,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            on_event: Mutex::new(on_event),
            saving: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        });
        let (files, catalog) = (Arc::clone(&shared.files), Arc::clone(&shared.catalog));
        let mut keeper = Keeper::new(files, catalog, found.identity.clone());
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let (of_writer, of_keeper) = (Arc::clone(&shared), Arc::clone(&shared));
        let mut store = Self {
            shared,
            queue_bytes_max: settings.queue_bytes_max.max(FRAME_BYTES_MAX as u64),
            writer: None,
            keeper: None,
            _lock: lock,
            found,
        };
        let dir = store.shared.files.path("");
        let keep = settings.keep;
        let spawned = Builder::new().name("store keeper".into()).spawn(move || {
            run_keeper(&of_keeper, &mut keeper, &keep, waiting);
        });
        store.keeper = Some((jobs, spawned.map_err(StoreError::io("start a thread for", &dir))?));
        let spawned = Builder::new()
            .name("store writer".into())
            .spawn(move || run_writer(&of_writer, writer, settings.sync));
        store.writer = Some(spawned.map_err(StoreError::io("start a thread for", &dir))?);
        Ok(store)
    }

    /// What was there when it was opened; all of it is durable.
    pub const fn found(&self) -> &Survey {
        &self.found
    }

    /// Whose it is.
    pub const fn identity(&self) -> &Identity {
        &self.found.identity
    }

    /// What is there now.
    pub fn status(&self) -> Status {
        let waiting = self.waiting();
        let held = self.shared.catalog.lock();
        let log: u64 = held.segments.iter().map(|(_, bytes)| bytes).sum();
        Status {
            first: held.first(),
            written: held.written,
            durable: held.durable,
            generation: held.generation,
            bytes: log + held.checkpoints.iter().map(|checkpoint| checkpoint.bytes).sum::<u64>(),
            checkpoints: held.checkpoints.clone(),
            waiting,
        }
    }

    /// Hands one whole frame, which must follow the last one, to the writer. Never waits for the disk.
    pub fn append(&self, frame: &[u8]) -> Result<Appended, StoreError> {
        let checked = Frame::check(frame).map_err(|why| StoreError::NotAFrame { why })?;
        let bytes = checked.bytes();
        if bytes.len() < frame.len() {
            let (last, len) = (checked.last_seq(), frame.len() - bytes.len());
            return Err(StoreError::NotAFrame { why: FrameError::TrailingBytes { last, len } });
        }
        let mut queue = self.shared.queue();
        if queue.failed {
            return Err(StoreError::Broken { dir: self.shared.files.path("") });
        }
        if checked.first_seq() != queue.next {
            return Err(StoreError::OutOfSequence { expected: queue.next, found: checked.first_seq() });
        }
        let before = queue.frames.len() as u64 + queue.writing;
        let waiting = before + bytes.len() as u64;
        if waiting > self.queue_bytes_max {
            return Ok(Appended::NoRoom { waiting: before });
        }
        queue.frames.extend_from_slice(bytes);
        queue.next = checked.last_seq().next();
        drop(queue);
        self.shared.work.notify_one();
        Ok(Appended::Taken { waiting })
    }

    /// Saves the state `meta`, whose snapshot `chunks` are, while appending goes on. It becomes one of the
    /// store's when the log is durable up to it. [`StoreError::Busy`] while another is being saved.
    pub fn checkpoint(
        &self,
        meta: CheckpointMeta,
        chunks: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> Result<(), StoreError> {
        if self.shared.saving.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Busy { seq: meta.seq });
        }
        let sent = self.send(Job::Checkpoint(meta, Box::new(chunks)));
        if !sent {
            self.shared.saving.store(false, Ordering::Release);
            return Err(StoreError::Busy { seq: meta.seq });
        }
        Ok(())
    }

    /// Removes what is over these limits, once. False when too many removals wait already.
    pub fn prune(&self, keep: Keep) -> bool {
        self.send(Job::Prune(keep))
    }

    /// Keeps the way back to entry `seq`, whatever the limits say, until it is told otherwise.
    pub fn hold(&self, seq: Option<Seq>) {
        self.shared.catalog.lock().hold = seq;
    }

    /// The frames with entries after `after`, up to the last that was written.
    pub fn frames_after(&self, after: Seq) -> Result<Frames, StoreError> {
        let (files, catalog) = (Arc::clone(&self.shared.files), Arc::clone(&self.shared.catalog));
        Frames::new(files, catalog, self.found.identity.clone(), after)
    }

    /// The machine at the checkpoint after entry `seq`.
    pub fn restore(&self, seq: Seq) -> Result<Machine, StoreError> {
        let checkpoints = self.shared.catalog.lock().checkpoints.clone();
        restore(&*self.shared.files, &self.found.identity, &checkpoints, seq)
    }

    /// Writes and syncs everything that waits, and ends. A checkpoint that is not finished is dropped.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn send(&self, job: Job) -> bool {
        let Some((jobs, _)) = &self.keeper else { return false };
        match jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.shared.queue().closing = true;
        self.shared.work.notify_one();
        self.shared.ending.store(true, Ordering::Release);
        let broken = || StoreError::Broken { dir: self.shared.files.path("") };
        // A thread that panicked has said why.
        let closed =
            self.writer.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(|_| Err(broken())));
        self.shared.catalog.end();
        let kept = self.keeper.take().map_or(Ok(()), |(jobs, thread)| {
            drop(jobs);
            thread.join().map_err(|_| broken())
        });
        closed.and(kept)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        match self.end() {
            // A failure was reported as an event.
            Ok(()) | Err(_) => {}
        }
    }
}

/// Removes what is of no use: a removal before was cut off, for example.
pub(super) fn remove_leftovers(files: &dyn Files, found: &Survey) -> Result<(), StoreError> {
    if found.leftovers.is_empty() {
        return Ok(());
    }
    let remove = |name: &String| files.remove(name).map_err(StoreError::io("remove", files.path(name)));
    let sync = || files.sync_dir().map_err(StoreError::io("sync the directory", files.path("")));
    // A checkpoint that is gone now, and comes back with a crash, must find the log that it needs.
    sync()?;
    let (checkpoints, rest): (Vec<_>, Vec<_>) =
        found.leftovers.iter().partition(|name| checkpoint::is_name(name));
    if !checkpoints.is_empty() {
        checkpoints.into_iter().try_for_each(remove)?;
        sync()?;
    }
    rest.into_iter().try_for_each(remove)
}

/// Looks through a store, removes what is of no use, and gets ready to go on.
pub(super) fn resume(
    files: &Arc<dyn Files>,
    check: Check,
    segment_bytes: u64,
) -> Result<(Survey, Arc<Catalog>, Writer), StoreError> {
    let found = survey(&**files, check)?;
    let catalog = Arc::new(Catalog::new(&found));
    remove_leftovers(&**files, &found)?;
    let identity = found.identity.clone();
    let writer =
        Writer::resume(Arc::clone(files), Arc::clone(&catalog), identity, &found.tail, segment_bytes)?;
    catalog.lock().spares = found.spares.clone();
    Ok((found, catalog, writer))
}

/// Whether `dir` holds a store, whole or not.
pub fn is_there(dir: &Path) -> bool {
    dir.join(identity::NAME).exists()
}

/// Makes a store's files. The last one is the identity: until it has its name, there is no store.
pub(super) fn create(
    files: &dyn Files,
    identity: &Identity,
    base: CheckpointMeta,
    chunks: impl IntoIterator<Item = Vec<u8>>,
    segment_bytes: u64,
) -> Result<(), StoreError> {
    let of_base = (identity.base_seq, identity.base_icount, identity.base_digest);
    assert!(of_base == (base.seq, base.icount, base.digest), "the identity is of another base");
    let dir = files.path("");
    let names = files.list().map_err(StoreError::io("read the directory", &dir))?;
    let has = |name: &str| names.iter().any(|(found, _)| found == name);
    let ours = || names.iter().map(|(name, _)| name).filter(|name| is_ours(name));
    let sync = || files.sync_dir().map_err(StoreError::io("sync the directory", &dir));
    let remove = |name: &str| files.remove(name).map_err(StoreError::io("remove", files.path(name)));
    if has(identity::NAME) || (!has(identity::NAME_NEW) && ours().next().is_some()) {
        let found = if has(identity::NAME) { identity::NAME } else { ours().next().map_or("", |name| name) };
        return Err(StoreError::Occupied { dir, found: found.to_owned() });
    }
    // What another store's node was to its group says nothing of this one's.
    for name in [replica::NAME, distrust::NAME] {
        if has(name) {
            remove(name)?;
        }
    }
    if has(identity::NAME_NEW) {
        ours().try_for_each(|name| remove(name))?;
        sync()?;
        remove(identity::NAME_NEW)?;
    }
    let made = make(files, identity, base, chunks, segment_bytes);
    if made.is_err() {
        // On a disk that is full, at least this is free again; otherwise the next creation removes it.
        let names = files.list().unwrap_or_default();
        let ours = names.iter().map(|(name, _)| name.as_str()).filter(|name| is_ours(name));
        match ours.chain([identity::NAME_NEW]).try_for_each(remove) {
            Ok(()) | Err(_) => {}
        }
    }
    made
}

/// Makes a store's files in a directory that has none of them.
fn make(
    files: &dyn Files,
    identity: &Identity,
    base: CheckpointMeta,
    chunks: impl IntoIterator<Item = Vec<u8>>,
    segment_bytes: u64,
) -> Result<(), StoreError> {
    identity.write_new(files)?;
    writer::begin(files, identity, None, base.seq.next(), base.generation, segment_bytes)?;
    if checkpoint::write_part(files, identity, base, chunks, || true)?.is_some() {
        checkpoint::rename(files, base.seq)?;
    }
    files.sync_dir().map_err(StoreError::io("sync the directory", files.path("")))?;
    let renamed = files.rename(identity::NAME_NEW, identity::NAME);
    renamed.map_err(StoreError::io("rename", files.path(identity::NAME_NEW)))?;
    files.sync_dir().map_err(StoreError::io("sync the directory", files.path("")))
}

/// Locks the directory: until the file is closed, also when we are killed.
pub(super) fn lock(dir: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<File, StoreError> {
    let file = File::open(dir).map_err(StoreError::io("open", dir))?;
    match file.metadata().map_err(StoreError::io("look at", dir))?.is_dir() {
        true => {}
        false => return Err(StoreError::io("open", dir)(io::ErrorKind::NotADirectory.into())),
    }
    lock(&file).map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::InUse { dir: dir.to_owned() },
        TryLockError::Error(why) => StoreError::io("lock", dir)(why),
    })?;
    Ok(file)
}

/// Waits until nobody has the store in `dir`, or there is none; for so long at most.
pub fn await_release(dir: &Path, within: Duration) {
    let until = Instant::now() + within;
    while matches!(lock(dir, File::try_lock), Err(StoreError::InUse { .. })) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the store when the writer's thread panics: nobody is to wait for it.
struct EndsIfPanicking<'a>(&'a Shared);

impl Drop for EndsIfPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&StoreError::Broken { dir: self.0.files.path("") });
        }
    }
}

/// The thread that appends.
fn run_writer(shared: &Shared, mut writer: Writer, sync: Sync) -> Result<(), StoreError> {
    let _ends = EndsIfPanicking(shared);
    let ended = write_until_closed(shared, &mut writer, sync);
    if let Err(error) = &ended {
        shared.fail(error);
    }
    shared.catalog.end();
    ended
}

fn write_until_closed(shared: &Shared, writer: &mut Writer, sync: Sync) -> Result<(), StoreError> {
    let mut frames = Vec::new();
    let mut reported = writer.written();
    let mut synced_at = Instant::now();
    loop {
        let (closing, sync_wanted) = {
            let mut queue = shared.queue();
            loop {
                let due = writer.is_dirty().then(|| RELAXED_SYNC_AFTER.saturating_sub(synced_at.elapsed()));
                let is_due = due.is_some_and(|due| due.is_zero());
                if !queue.frames.is_empty() || queue.closing || queue.sync_wanted || is_due {
                    break;
                }
                queue = match due {
                    Some(due) => {
                        shared.work.wait_timeout(queue, due).unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                };
            }
            std::mem::swap(&mut frames, &mut queue.frames);
            queue.writing = frames.len() as u64;
            (queue.closing, std::mem::take(&mut queue.sync_wanted))
        };
        writer.write(&frames)?;
        let is_due = synced_at.elapsed() >= RELAXED_SYNC_AFTER;
        let upto = if closing {
            writer.close()?
        } else if sync == Sync::Always || sync_wanted || is_due {
            synced_at = Instant::now();
            writer.sync()?
        } else {
            shared.catalog.lock().durable
        };
        shared.queue().writing = 0;
        frames.clear();
        frames.shrink_to(BATCH_BYTES_MAX);
        if upto > reported {
            reported = upto;
            shared.report(StoreEvent::Durable { upto });
        }
        if closing {
            return Ok(());
        }
    }
}

/// The thread that saves checkpoints and removes old ones.
fn run_keeper(shared: &Shared, keeper: &mut Keeper, keep: &Keep, jobs: Receiver<Job>) {
    for job in jobs {
        let keep = match job {
            Job::Checkpoint(meta, chunks) => {
                let saved = save(shared, keeper, meta, chunks);
                shared.saving.store(false, Ordering::Release);
                match saved {
                    Ok(Some(CheckpointInfo { bytes, .. })) => {
                        shared.report(StoreEvent::CheckpointSaved { seq: meta.seq, bytes });
                    }
                    Ok(None) => {
                        let why = "the store was closed, or failed, before it was whole".into();
                        shared.report(StoreEvent::CheckpointFailed { seq: meta.seq, why });
                        continue;
                    }
                    Err(error) => {
                        let why = error.to_string();
                        shared.report(StoreEvent::CheckpointFailed { seq: meta.seq, why });
                        continue;
                    }
                }
                *keep
            }
            Job::Prune(keep) => keep,
        };
        match keeper.prune(&keep) {
            Ok(pruned) if pruned == Pruned::default() => {}
            Ok(pruned) => shared.report(StoreEvent::Pruned(pruned)),
            Err(error) => shared.report(StoreEvent::PruneFailed { why: error.to_string() }),
        }
    }
}

/// Saves a checkpoint; none if the store came to its end before.
fn save(
    shared: &Shared,
    keeper: &mut Keeper,
    meta: CheckpointMeta,
    chunks: ChunkSource,
) -> Result<Option<CheckpointInfo>, StoreError> {
    let go_on = || !shared.ending.load(Ordering::Acquire);
    let Some(info) = keeper.write(meta, chunks, go_on)? else { return Ok(None) };
    shared.queue().sync_wanted = true;
    shared.work.notify_one();
    // Under its own name it promises that the log up to it is there.
    if !shared.catalog.wait_durable(meta.seq) {
        keeper.discard(meta.seq);
        return Ok(None);
    }
    keeper.publish(info)?;
    Ok(Some(info))
}
