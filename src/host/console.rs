//! The guest's console on our standard streams, without the node ever waiting for a reader.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Chunks (of about 1 KiB) that wait for a slow reader before the guest has to.
const CHUNKS_WAITING_MAX: usize = 256;

/// Standard output as the console's sink.
pub struct ConsoleOut {
    chunks: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    gone: Arc<AtomicBool>,
    /// Bytes taken and not yet written, or given up.
    pending: Arc<AtomicU64>,
}

impl ConsoleOut {
    pub fn stdout() -> io::Result<Self> {
        let (chunks, waiting) = bounded(CHUNKS_WAITING_MAX);
        let gone = Arc::new(AtomicBool::new(false));
        let pending = Arc::new(AtomicU64::new(0));
        let (flag, left) = (gone.clone(), pending.clone());
        let writer = std::thread::Builder::new().name("console-out".into()).spawn(move || {
            if write_all(&waiting, &left).is_err() {
                flag.store(true, Ordering::Relaxed);
                // Keep taking: a reader that went away must not stop the guest.
                while waiting.recv().is_ok() {}
            }
        })?;
        Ok(Self { chunks: Some(chunks), writer: Some(writer), gone, pending })
    }

    /// True when the guest should wait before it says more.
    pub fn is_full(&self) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.len() * 2 > CHUNKS_WAITING_MAX)
    }

    /// True once standard output is closed; what is written then is lost.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Bytes that standard output has yet to take; none once it is closed.
    pub fn pending(&self) -> u64 {
        if self.is_gone() { 0 } else { self.pending.load(Ordering::Relaxed) }
    }

    pub fn write(&self, bytes: Vec<u8>) {
        let Some(chunks) = &self.chunks else { return };
        self.pending.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match chunks.try_send(bytes) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            // Only when the guest said more in one slice than half the queue: wait this once.
            Err(TrySendError::Full(bytes)) => {
                if chunks.send(bytes).is_err() {
                    self.gone.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits until everything is written.
    pub fn finish(mut self) {
        self.chunks = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
}

fn write_all(waiting: &Receiver<Vec<u8>>, pending: &AtomicU64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Ok(bytes) = waiting.recv() {
        let mut written = bytes.len();
        out.write_all(&bytes)?;
        while let Ok(more) = waiting.try_recv() {
            written += more.len();
            out.write_all(&more)?;
        }
        out.flush()?;
        pending.fetch_sub(written as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads standard input into `sink` until it ends or `sink` answers false.
pub fn read_stdin(sink: impl Fn(Vec<u8>) -> bool + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("console-in".into()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 1024];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(n) if sink(buffer[..n].to_vec()) => {}
                Ok(_) => return,
            }
        }
    })?;
    Ok(())
}
