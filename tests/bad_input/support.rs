//! Running the real binary, with its words, its status and its memory looked at.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lockstep::lab::cluster::{Cluster, free_tcp};
use lockstep::lab::kvclient::{KvConfig, KvLoad, Report};
use tempfile::TempDir;

pub use crate::common::{BINARY, guest, peak_kib};

const PATIENCE: Duration = Duration::from_secs(40);

pub fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

/// A command that has ended.
pub struct Ran {
    pub words: String,
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
    /// The most memory that it was seen to have, in KiB.
    pub peak_kib: u64,
}

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn said(&self) -> String {
        let out: String = String::from_utf8_lossy(&self.out).chars().take(2000).collect();
        let err: String = self.err.chars().take(4000).collect();
        format!("{} -> {}\n{out}\n{err}", self.words, self.status)
    }

    /// It ended with `code`, without a panic or a signal, and said each of `words` on stderr.
    #[track_caller]
    pub fn ends(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status.signal(), None, "{}", self.said());
        assert!(!self.err.contains("panicked"), "{}", self.said());
        assert_eq!(self.code(), Some(code), "{}", self.said());
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.said());
        }
        self
    }

    /// It failed as a command does that could not do what was asked.
    #[track_caller]
    pub fn refuses(&self, words: &[&str]) -> &Self {
        self.ends(2, words)
    }

    #[track_caller]
    pub fn within_mib(&self, mib: u64) -> &Self {
        assert!(self.peak_kib <= mib << 10, "{} KiB: {}", self.peak_kib, self.said());
        self
    }
}

pub fn lockstep(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end; it must come.
#[track_caller]
pub fn finish(mut command: Command) -> Ran {
    let words = format!("{command:?}");
    let child = command.spawn().unwrap();
    watch(child, words)
}

#[track_caller]
pub fn run(arguments: &[&str]) -> Ran {
    finish(lockstep(arguments))
}

/// Waits for `child`, and reads what it says meanwhile.
#[track_caller]
pub fn watch(mut child: Child, words: String) -> Ran {
    let out = child.stdout.take().map(drain);
    let err = child.stderr.take().map(drain);
    let (mut peak, until) = (0, Instant::now() + PATIENCE);
    let status = loop {
        peak = peak_kib(child.id()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{words} does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let read =
        |thread: Option<std::thread::JoinHandle<Vec<u8>>>| thread.map_or(vec![], |t| t.join().unwrap());
    let (out, err) = (read(out), String::from_utf8_lossy(&read(err)).into_owned());
    Ran { words, status, out, err, peak_kib: peak }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Only the beginning is looked at, but all of it is taken.
        let kept = from
            .by_ref()
            .take(8 << 20)
            .read_to_end(&mut bytes)
            .and_then(|_| io::copy(&mut from, &mut io::sink()));
        kept.unwrap();
        bytes
    })
}

/// Records `name` into `dir`, to its end.
#[track_caller]
pub fn record(name: &str, dir: &Path) -> Ran {
    let ran = run(&["run", &guest(name), "--memory", "4M", "--record", dir.to_str().unwrap()]);
    assert!(!ran.err.contains("panicked"), "{}", ran.said());
    ran
}

/// The segments of a recording, in order.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    found.sort();
    found
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A switch for the kv guest, to start nodes on.
pub fn cluster(dir: &TempDir) -> Cluster {
    let mut cluster =
        Cluster::start(Path::new(BINARY), dir.path(), Path::new(&guest("kv")), "16M", None).unwrap();
    // A busy host shall not look like a lost peer where we count generations.
    cluster.silence_ms = Some(3000);
    cluster
}

pub fn load(cluster: &Cluster, seed: u64) -> KvLoad {
    KvLoad::start(KvConfig {
        clients: 4,
        seed,
        pause: Duration::from_micros(500),
        ..KvConfig::new(cluster.service)
    })
    .unwrap()
}

/// Ends a load; nothing may be lost, duplicated or contradicted.
#[track_caller]
pub fn clean(load: KvLoad) -> Report {
    let report = load.stop();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.answers > 0, "{report:?}");
    report
}

/// A port of this host that is free now.
pub fn free_port() -> String {
    free_tcp().unwrap().to_string()
}

/// Waits until `done`, at most for `patience`.
#[track_caller]
pub fn until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < end, "not {what} within {patience:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
