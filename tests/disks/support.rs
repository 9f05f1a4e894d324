//! Images, runs of the binary, and pairs of nodes with disks of their own.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use lockstep::ft::NodeStatus;
use lockstep::lab::cluster::{Cluster, Process};
use tempfile::TempDir;

use crate::common::{self, guest};
pub use crate::common::{BINARY, seeded, sleep_ms};

/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn journal() -> String {
    guest("journal")
}

/// An empty disk that orders `records` of the guest; 0 for no end.
pub fn make_image(path: &Path, bytes: u64, records: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    order(path, records);
}

/// What the guest is to write in its next life.
pub fn order(path: &Path, records: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&records.to_le_bytes(), 512).unwrap();
}

pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It ended with `code` and no panic, and said each of `words` on either stream.
    #[track_caller]
    pub fn ends(&self, code: i32, words: &[&str]) -> &Self {
        assert!(!self.err.contains("panicked"), "{self:?}");
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no {word:?} in {self:?}");
        }
        self
    }

    #[track_caller]
    pub fn refuses(&self, words: &[&str]) {
        self.ends(2, words);
        assert!(self.err.contains("fix: "), "{self:?}");
        assert!(self.out.is_empty(), "the guest had not begun: {self:?}");
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.out.len().saturating_sub(400);
        write!(f, "{:?}\n...{}\n{}", self.code, self.out.get(end..).unwrap_or(&self.out), self.err)
    }
}

pub fn lockstep(arguments: &[&str]) -> Said {
    Said::of(&common::lockstep(arguments))
}

/// The guest alone, with these disks.
pub fn run(disks: &[&str], more: &[&str]) -> Said {
    let guest = journal();
    let mut all = vec!["run", &guest, "--memory", "4M"];
    disks.iter().for_each(|disk| all.extend(["--disk", disk]));
    all.extend(more);
    lockstep(&all)
}

/// The last number that the guest said was flushed; 0 for none. A last line may be cut off.
pub fn last_flushed(console: &str) -> u64 {
    let whole = console.rfind('\n').map_or("", |end| &console[..end]);
    let numbers = whole.lines().filter_map(|line| line.strip_prefix("flushed ")?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// What the guest found at its start.
pub fn found(console: &str) -> Option<u64> {
    console.lines().find_map(|line| line.strip_prefix("found ")?.parse().ok())
}

/// The last record that the image holds, as its guest finds it; every record is checked by the guest.
#[track_caller]
pub fn records_on(image: &Path) -> u64 {
    let copy = image.with_extension("looked-at");
    fs::copy(image, &copy).unwrap();
    order(&copy, 1);
    let said = run(&[copy.to_str().unwrap()], &[]);
    said.ends(0, &["found"]);
    fs::remove_file(&copy).unwrap();
    fs::remove_file(beside(&copy)).unwrap();
    found(&said.out).unwrap()
}

/// Where the identity of an image is.
pub fn beside(image: &Path) -> PathBuf {
    PathBuf::from(format!("{}.lockstep", image.display()))
}

/// Waits until `done`.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not {what} within {PATIENCE:?}");
        sleep_ms(2);
    }
}

/// A switch, an arbiter, and a place for nodes and their disks.
pub struct Scene {
    pub cluster: Cluster,
    pub dir: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let guest = journal();
        let mut cluster =
            Cluster::start(Path::new(BINARY), dir.path(), Path::new(&guest), "4M", None).unwrap();
        // A busy host shall not look like a lost peer.
        cluster.silence_ms = Some(3000);
        Self { cluster, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn primary(&mut self, disk: &Path, more: &[&str]) -> Process {
        let disk = disk.display().to_string();
        self.cluster.arguments = ["--disk", &disk].iter().chain(more).map(ToString::to_string).collect();
        let mut node = self.cluster.primary().unwrap();
        self.cluster.await_status(&mut node, "running", |_| true).unwrap();
        node
    }

    /// A primary that is refused, or ends soon.
    pub fn primary_ends(&mut self, disk: &Path, more: &[&str]) -> Said {
        let disk = disk.display().to_string();
        self.cluster.arguments = ["--disk", &disk].iter().chain(more).map(ToString::to_string).collect();
        let node = self.cluster.primary().unwrap();
        self.end_of(node)
    }

    pub fn backup(&mut self, primary: &Process, disk: &Path, more: &[&str]) -> Process {
        let disk = disk.display().to_string();
        self.cluster.arguments = ["--disk", &disk].iter().chain(more).map(ToString::to_string).collect();
        self.cluster.backup(primary).unwrap()
    }

    /// A backup that counts.
    pub fn protect(&mut self, primary: &mut Process, disk: &Path, more: &[&str]) -> Process {
        let backup = self.backup(primary, disk, more);
        if let Err(error) = self.cluster.await_protected(primary) {
            panic!("{error}\n{}", backup.told());
        }
        backup
    }

    pub fn end_of(&self, mut node: Process) -> Said {
        let code = node.wait(PATIENCE);
        Said { code, out: self.console(&node), err: node.told() }
    }

    /// What `node` has written to its standard output.
    pub fn console(&self, node: &Process) -> String {
        let bytes = fs::read(self.path(&format!("{}.out", node.name))).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the guest of `node` has said that more than `past` is flushed.
    #[track_caller]
    pub fn await_flushed(&self, node: &Process, past: u64) {
        until("flushed further", || last_flushed(&self.console(node)) > past);
    }

    pub fn await_primary(&self, node: &mut Process) -> NodeStatus {
        self.cluster.await_status(node, "the primary", |status| status.role == "primary").unwrap()
    }
}
