//! A `lockstep` process whose standard output is a guest's console.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::versus::cpu_seconds;
use super::Took;
use crate::host::failure::Failure;

/// What the guest's shell asks with.
pub const PROMPT: &str = "lockstep:~# ";
/// A boot on a host that is fit for it takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(1);

pub struct Console {
    child: Child,
    begun: Instant,
    said: Arc<Mutex<Vec<u8>>>,
    /// What was looked for is found only behind this.
    seen: usize,
}

impl Console {
    /// Starts `lockstep` with these words.
    pub fn start<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(mut out) = child.stdout.take() {
            let said = said.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = out.read(&mut bytes) {
                    said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..n]);
                }
            });
        }
        Ok(Self { child, begun, said, seen: 0 })
    }

    fn text(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said[self.seen.min(said.len())..]).into_owned()
    }

    /// Waits for `text`, behind what was waited for before; returns all output up to it, and the processor
    /// time since the process started.
    pub fn await_text(&mut self, text: &str) -> Result<(String, Took), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait()?;
            let said = self.text();
            if let Some(at) = said.find(text) {
                let seconds = self.begun.elapsed().as_secs_f64();
                self.seen += at + text.len();
                return Ok((said[..at].to_owned(), Took { seconds, cpu_seconds: cpu_seconds(self.id())? }));
            }
            if ended.is_some() || Instant::now() > until {
                let tail: Vec<&str> = said.lines().rev().take(5).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(Failure::new(format!(
                    "the guest has not printed {text:?}; its last lines:\n    {}",
                    tail.join("\n    ")
                )));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Types, where the process passes its standard input on.
    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        use std::io::Write;
        if let Some(stdin) = &mut self.child.stdin {
            stdin.write_all(text.as_bytes())?;
            stdin.flush()?;
        }
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Ends the process in an orderly way.
    pub fn end(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Already gone is as good as killed; what is left of it is the kernel's.
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("bench: a process that was killed cannot be waited for");
        }
    }
}

/// Runs `lockstep` with these words to its end.
pub fn run_to_end<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Took, Failure> {
    let (begun, before) = (Instant::now(), children_cpu_seconds()?);
    let status = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let seconds = begun.elapsed().as_secs_f64();
    if !status.success() {
        return Err(Failure::new(format!("a replay of a whole recording ended with {status}")));
    }
    Ok(Took { seconds, cpu_seconds: children_cpu_seconds()? - before })
}

/// The processor time of all processes that were started here and waited for (`proc(5)`: fields 16 and
/// 17 of `stat`, in hundredths of a second).
pub fn children_cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is a name in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(16) + ticks(17)) / 100.0)
}

/// Bytes of the log in a recording.
pub fn log_bytes(record: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(record)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ext| ext == "log") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
