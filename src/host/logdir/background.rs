//! Writing a log on a thread of its own: who appends does not wait for a disk.
//!
//! ```text
//! append --> frames that wait --> the thread: base, segments, syncs --> the directory
//!                                     |
//! written, has_ended, `wake`  <-------+
//! ```
//!
//! Promises: the directory gets the bytes of [`LogWriter`], in its order, so a crash leaves what that leaves.
//! The base is encoded while the thread writes it. [`written`](BackgroundWriter::written) counts the frames that
//! the operating system has: these survive our process. What waits is bounded: from [`WAITING_BYTES_SOFT`] on the
//! log says that it is [full](BackgroundWriter::is_full), and its guest should wait; at [`WAITING_BYTES_MAX`]
//! whoever appends waits. The first failure, or a bound on the directory's size, ends the writing: what is
//! appended later is dropped, and [`close`](BackgroundWriter::close) reports it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::writer::Begun;
use super::{LogError, LogWriter, SEGMENT_BYTES_MAX};
use crate::base::{Generation, Seq};
use crate::log::Lineage;

/// Bytes of frames that wait before the guest should: some seconds of a busy guest's log.
pub const WAITING_BYTES_SOFT: usize = 16 << 20;
/// Bytes of frames that wait before the appending thread does: there is room for what comes from elsewhere while
/// the guest waits, and for what a backup is sent.
pub const WAITING_BYTES_MAX: usize = 64 << 20;

/// How the writing of a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was appended is on the disk.
    Closed,
    /// The next frame would have taken the directory past its bound; all up to this entry is on the disk.
    Full {
        /// The last entry.
        last: Seq,
        /// The bound, in bytes.
        bytes_max: u64,
    },
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<(Generation, Vec<u8>)>,
    /// Nothing more will be appended.
    closing: bool,
    /// The thread sleeps until something changes.
    idle: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Bytes of the frames that wait.
    bytes: AtomicUsize,
    /// There is something for the thread to do.
    work: Condvar,
    /// The thread has taken a frame, written one, or ended.
    progress: Condvar,
    /// Frames that the operating system has.
    written: AtomicU64,
    /// `wake` is to be called once so many are written; 0 for never.
    awaited: AtomicU64,
    /// The thread writes nothing more.
    ended: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked while holding it left whole frames behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next frame, once there is one; none when that was all.
    fn next(&self) -> Option<(Generation, Vec<u8>)> {
        let mut waiting = self.lock();
        while waiting.frames.is_empty() {
            if waiting.closing {
                return None;
            }
            waiting.idle = true;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        let next = waiting.frames.pop_front();
        self.bytes.fetch_sub(next.as_ref().map_or(0, |(_, bytes)| bytes.len()), Ordering::SeqCst);
        next
    }

    /// Waits on the appending side while `holds`, at most until the thread has ended.
    fn wait_while(&self, holds: impl Fn() -> bool) {
        let goes_on = || holds() && !self.ended.load(Ordering::SeqCst);
        if !goes_on() {
            return;
        }
        let mut waiting = self.lock();
        while goes_on() {
            waiting = self.progress.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes an appending side that waits. Under the lock: between its look and its sleep there is no gap.
    fn progressed(&self) {
        let _waiting = self.lock();
        self.progress.notify_all();
    }
}

/// Ends the log for whoever appends, however the thread ends.
struct AtEnd<W: Fn()> {
    shared: Arc<Shared>,
    wake: W,
}

impl<W: Fn()> Drop for AtEnd<W> {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.progressed();
        (self.wake)();
    }
}

/// The one writer of a log's directory, and the thread that does the writing.
pub struct BackgroundWriter {
    dir: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Ended, LogError>>>,
    appended: u64,
}

impl BackgroundWriter {
    /// Begins a log in `dir` as [`LogWriter::create`] does, and leaves the rest to a thread: an occupied directory is
    /// refused here, a base that cannot be written is a failure later. The writing ends before the directory would
    /// hold more than `bytes_max`. `wake` is called on the thread when what [`awaits`](Self::awaits) asked for is
    /// written, and when the thread has ended.
    ///
    /// # Errors
    /// The directory cannot be made or is occupied, or there is no thread.
    pub fn create(
        dir: &Path,
        lineage: Lineage,
        generation: Generation,
        base: impl IntoIterator<Item = Vec<u8>> + Send + 'static,
        bytes_max: Option<u64>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, LogError> {
        Self::create_with(dir, lineage, generation, base, bytes_max, SEGMENT_BYTES_MAX, wake)
    }

    /// [`create`](Self::create) with another bound for a segment.
    pub(super) fn create_with(
        dir: &Path,
        lineage: Lineage,
        generation: Generation,
        base: impl IntoIterator<Item = Vec<u8>> + Send + 'static,
        bytes_max: Option<u64>,
        segment_bytes_max: u64,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, LogError> {
        let begun = Begun::at(dir)?;
        let shared = Arc::new(Shared::default());
        let at_end = AtEnd { shared: shared.clone(), wake };
        let thread = std::thread::Builder::new().name("record".into()).spawn(move || {
            let writer = begun.write(lineage, generation, base, segment_bytes_max)?;
            write_all(writer, bytes_max, &at_end.shared, &at_end.wake)
        });
        let thread = thread.map_err(LogError::io("start a thread to write", dir))?;
        Ok(Self { dir: dir.to_owned(), shared, thread: Some(thread), appended: 0 })
    }

    /// Puts a frame behind those that wait, and waits itself only while they are [`WAITING_BYTES_MAX`] or more.
    pub fn append(&mut self, generation: Generation, frame: Vec<u8>) {
        self.shared.wait_while(|| self.shared.bytes.load(Ordering::SeqCst) >= WAITING_BYTES_MAX);
        self.appended += 1;
        if self.has_ended() {
            return;
        }
        let mut waiting = self.shared.lock();
        self.shared.bytes.fetch_add(frame.len(), Ordering::SeqCst);
        waiting.frames.push_back((generation, frame));
        if std::mem::take(&mut waiting.idle) {
            self.shared.work.notify_one();
        }
    }

    /// Frames that were appended.
    pub const fn appended(&self) -> u64 {
        self.appended
    }

    /// How many of them have reached the operating system.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// Has `wake` called when `frames` are written. False if they are already, or never will be.
    pub fn awaits(&self, frames: u64) -> bool {
        self.shared.awaited.store(frames, Ordering::SeqCst);
        self.written() < frames && !self.has_ended()
    }

    /// Waits until all that was appended is written, or the writing has ended.
    pub fn await_written(&self) {
        self.shared.wait_while(|| self.written() < self.appended);
    }

    /// True when the guest should wait before it makes more.
    pub fn is_full(&self) -> bool {
        self.shared.bytes.load(Ordering::SeqCst) >= WAITING_BYTES_SOFT && !self.has_ended()
    }

    /// True once nothing more is written: [`close`](Self::close) says why, without waiting.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Writes and syncs what waits, and ends the log.
    ///
    /// # Errors
    /// The first failure of the thread.
    pub fn close(mut self) -> Result<Ended, LogError> {
        self.end()
    }

    fn end(&mut self) -> Result<Ended, LogError> {
        let mut waiting = self.shared.lock();
        waiting.closing = true;
        self.shared.work.notify_one();
        drop(waiting);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            // It has panicked, and said so.
            Some(Err(_)) | None => Err(LogError::Broken { path: self.dir.clone() }),
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Who does not close it does not want to know.
            self.end().ok();
        }
    }
}

/// Writes the frames as they come, and ends the log.
fn write_all(
    mut writer: LogWriter,
    bytes_max: Option<u64>,
    shared: &Shared,
    wake: &impl Fn(),
) -> Result<Ended, LogError> {
    while let Some((generation, frame)) = shared.next() {
        if let Some(bytes_max) = bytes_max.filter(|max| !writer.has_room(frame.len(), *max)) {
            let last = Seq(writer.next_seq().get() - 1);
            return writer.close().map(|()| Ended::Full { last, bytes_max });
        }
        writer.set_generation(generation);
        writer.append(&frame)?;
        let written = shared.written.fetch_add(1, Ordering::SeqCst) + 1;
        // An appending side that waits has looked at `written` under the lock.
        shared.progressed();
        let awaited = shared.awaited.load(Ordering::SeqCst);
        if (1..=written).contains(&awaited) {
            // Another number may have taken its place; then `wake` is called once too often.
            shared.awaited.compare_exchange(awaited, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
            wake();
        }
    }
    writer.close().map(|()| Ended::Closed)
}
