//! A `lockstep attach` beside a cluster: what the guest's console has shown, when it came, and a hand on
//! its keyboard.
//!
//! Watches a guest over takeovers: the process is the one that a user would start, so what it shows is what
//! a user would see. It ends when this is dropped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::cluster;

const LOOK: Duration = Duration::from_millis(2);

/// Why the console did not show what it was to show.
#[derive(Debug, Error)]
pub enum OnlookerError {
    /// The process could not be asked whether it lives.
    #[error("the console: {0}")]
    Io(#[from] io::Error),
    /// What was waited for has not been shown.
    #[error("the console did not show {what} within {} s; its last lines:{tail}", within.as_secs())]
    Silent {
        /// What that was.
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// The console's last lines.
        tail: String,
    },
    /// The process ended.
    #[error("`lockstep attach` ended; its messages:{told}\n  the console's last lines:{tail}")]
    Ended {
        /// Its messages.
        told: String,
        /// The console's last lines.
        tail: String,
    },
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    /// How many bytes there were in all after each arrival.
    arrivals: Vec<(usize, Instant)>,
}

/// The process, and what it has shown.
pub struct Onlooker {
    child: Child,
    keyboard: Option<ChildStdin>,
    shown: Arc<Mutex<Shown>>,
    told: PathBuf,
}

impl Onlooker {
    /// Attaches to the node at `address`; the messages of `attach` go to a file in `dir`.
    pub fn attach(binary: &Path, dir: &Path, address: &str, patience: Duration) -> io::Result<Self> {
        let told = dir.join("attach.err");
        let patience = patience.as_secs().max(1).to_string();
        let mut child = Command::new(binary)
            .args(["attach", address, "--wait", &patience])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&told)?)
            .spawn()?;
        let shown: Arc<Mutex<Shown>> = Arc::default();
        if let Some(mut out) = child.stdout.take() {
            let shown = shown.clone();
            std::thread::Builder::new().name("onlooker".into()).spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = out.read(&mut bytes) {
                    let mut shown = lock(&shown);
                    shown.bytes.extend_from_slice(&bytes[..count]);
                    let arrival = (shown.bytes.len(), Instant::now());
                    shown.arrivals.push(arrival);
                }
            })?;
        }
        let keyboard = child.stdin.take();
        Ok(Self { child, keyboard, shown, told })
    }

    /// Types.
    pub fn types(&mut self, text: &str) -> io::Result<()> {
        let Some(keyboard) = &mut self.keyboard else { return Err(io::ErrorKind::BrokenPipe.into()) };
        keyboard.write_all(text.as_bytes())?;
        keyboard.flush()
    }

    /// Bytes shown so far.
    pub fn len(&self) -> usize {
        lock(&self.shown).bytes.len()
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was shown from byte `from` on.
    pub fn since(&self, from: usize) -> String {
        let shown = lock(&self.shown);
        String::from_utf8_lossy(shown.bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// The whole lines from byte `from` on, and the byte after them.
    pub fn lines_since(&self, from: usize) -> (String, usize) {
        let shown = lock(&self.shown);
        let rest = shown.bytes.get(from..).unwrap_or_default();
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (String::from_utf8_lossy(&rest[..end]).into_owned(), from + end)
    }

    /// Everything that was shown.
    pub fn text(&self) -> String {
        self.since(0)
    }

    /// The longest silence that touches the time from `at` on, up to the first byte after `until`: its
    /// beginning and its end. Bytes that the killed node had sent already do not end it.
    pub fn silence(&self, at: Instant, until: Instant) -> Option<(Instant, Instant)> {
        let shown = lock(&self.shown);
        let moments = || shown.arrivals.iter().map(|(_, at)| *at);
        let first = moments().rfind(|moment| *moment <= at).unwrap_or(at);
        let last = moments().find(|moment| *moment > until)?;
        let window: Vec<Instant> =
            [first].into_iter().chain(moments().filter(|moment| *moment > at && *moment <= last)).collect();
        window.windows(2).map(|pair| (pair[0], pair[1])).max_by_key(|(from, to)| to.duration_since(*from))
    }

    /// What the process has reported: where it is attached, and bytes that are missing.
    pub fn told(&self) -> String {
        // A file that we made and cannot read counts as empty: a test that looks for something in it fails.
        std::fs::read_to_string(&self.told).unwrap_or_default()
    }

    /// Waits until `found` finds what it looks for in what was shown from byte `from` on; `what` is for the
    /// error. Between two looks `meanwhile` may find a reason to give up.
    // The error type is the caller's, so that a lost node is reported as such.
    pub fn wait<T, E: From<OnlookerError>>(
        &mut self,
        what: &str,
        from: usize,
        within: Duration,
        mut meanwhile: impl FnMut(&Self) -> Result<(), E>,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, E> {
        let until = Instant::now() + within;
        let mut looked_at = usize::MAX;
        loop {
            let ended = self.child.try_wait().map_err(OnlookerError::Io)?.is_some();
            let len = self.len();
            if len != looked_at {
                looked_at = len;
                if let Some(found) = found(&self.since(from)) {
                    return Ok(found);
                }
            }
            meanwhile(self)?;
            if ended {
                return Err(OnlookerError::Ended { told: indented(&self.told()), tail: self.tail() }.into());
            }
            if Instant::now() > until {
                return Err(OnlookerError::Silent { what: what.to_owned(), within, tail: self.tail() }.into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Its exit status once it has ended by itself, within `within`.
    pub fn ends(&mut self, within: Duration) -> Option<i32> {
        self.keyboard = None;
        let until = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The last lines that were shown, each on a line of its own, indented; for errors.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(6).collect();
        indented(&lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        cluster::end(&mut self.child);
    }
}

/// A thread that panicked with the lock had only pushed bytes.
fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each line on a line of its own, with nothing in it that a terminal obeys.
fn indented(text: &str) -> String {
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    text.lines().map(|line| format!("\n    {}", plain(line))).collect()
}
