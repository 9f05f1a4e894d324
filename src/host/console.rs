//! The guest's console on our standard streams, without the node ever waiting for a reader.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::keys::{Key, Keys};
use super::say::say;
use super::terminal::RawTerminal;

/// Bytes that wait for a slow reader before the guest has to. Output produced by then is taken on top of it:
/// at most what a gate holds, or a backup keeps.
const BYTES_WAITING_MAX: usize = 128 * 1024;

/// Where a guest's console input comes from.
#[derive(Debug, Default)]
pub enum ConsoleIn {
    /// Nowhere: standard input is left alone.
    #[default]
    Off,
    /// Standard input as it is: a pipe, a file, a terminal that edits lines.
    Stream,
    /// The keys of a terminal that is raw for it.
    Terminal(RawTerminal),
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Nothing more will come.
    finished: bool,
    /// The reader has gone away: what is written is lost.
    gone: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked while holding it left whole chunks behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that waits, once there is something; none when that was all.
    fn take(&self) -> Option<VecDeque<Vec<u8>>> {
        let mut waiting = self.lock();
        while waiting.chunks.is_empty() && !waiting.finished {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        (!waiting.chunks.is_empty()).then(|| std::mem::take(&mut waiting.chunks))
    }

    fn write_all(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        while let Some(chunks) = self.take() {
            for bytes in &chunks {
                out.write_all(bytes)?;
            }
            out.flush()?;
            self.lock().bytes -= chunks.iter().map(Vec::len).sum::<usize>();
        }
        Ok(())
    }
}

/// Standard output as the console's sink.
pub struct ConsoleOut {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl ConsoleOut {
    /// `gone` is called once, by a thread of its own, when standard output turns out to be closed.
    pub fn stdout(gone: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let writer = std::thread::Builder::new().name("console-out".into()).spawn(move || {
            if theirs.write_all().is_err() {
                *theirs.lock() = Waiting { gone: true, ..Waiting::default() };
                gone();
            }
        })?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// True when the guest should wait before it prints more.
    pub fn is_full(&self) -> bool {
        self.shared.lock().bytes > BYTES_WAITING_MAX
    }

    /// Bytes that standard output has yet to take; none once it is closed.
    pub fn pending(&self) -> u64 {
        self.shared.lock().bytes as u64
    }

    /// True once the reader has gone away.
    pub fn is_gone(&self) -> bool {
        self.shared.lock().gone
    }

    /// Puts `bytes` behind what waits. A reader that went away does not stop the guest: then they
    /// are lost.
    pub fn write(&self, bytes: Vec<u8>) {
        let mut waiting = self.shared.lock();
        if !waiting.gone {
            waiting.bytes += bytes.len();
            waiting.chunks.push_back(bytes);
            self.shared.changed.notify_one();
        }
    }

    /// Waits until everything is written.
    pub fn finish(mut self) {
        self.shared.lock().finished = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            say!("lockstep: the console's last bytes are lost");
        }
    }
}

/// Reads the keys typed at the terminal into `sink`, until they end or `sink` answers false.
/// When they have ended, because the terminal is gone, `gone` is called.
pub fn read_keys(
    sink: impl Fn(Key) -> bool + Send + 'static,
    gone: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut keys = Keys::default();
    read_stdin(move |bytes| keys.read(&bytes).into_iter().all(&sink), gone)
}

/// Reads standard input into `sink` until it ends, then calls `ended`; or until `sink` answers false.
pub fn read_stdin(
    mut sink: impl FnMut(Vec<u8>) -> bool + Send + 'static,
    ended: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("console-in".into()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 1024];
        loop {
            match stdin.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return ended(),
                Ok(n) if sink(buffer[..n].to_vec()) => {}
                Ok(_) => return,
            }
        }
    })?;
    Ok(())
}
