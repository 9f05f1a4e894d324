//! Processes, pseudo-terminals, and the chatter guest's numbered lines.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep::lab::cluster::{Cluster, Process, free_tcp};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

pub use crate::common::{BINARY, guest, hear, peak_kib, seeded, sleep_ms};

/// Longer than anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep_ms(5);
    }
}

/// Its exit status, once it ends.
#[track_caller]
pub fn wait(child: &mut Child) -> std::process::ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "process {} does not end", child.id());
        sleep_ms(2);
    }
}

pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A switch, an arbiter and room for nodes that run the chatter guest.
pub struct Scene {
    pub cluster: Cluster,
    pub dir: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chatter = guest("chatter");
        let cluster = Cluster::start(Path::new(BINARY), dir.path(), Path::new(&chatter), "4M", None).unwrap();
        Self { cluster, dir }
    }

    pub fn attach(&self, name: &str, arguments: &[&str]) -> Attached {
        Attached::start(&self.dir, name, arguments)
    }

    /// A new backup that counts.
    pub fn protect(&mut self, primary: &mut Process) -> Process {
        let backup = self.cluster.backup(primary).unwrap();
        self.cluster.await_protected(primary).unwrap();
        backup
    }

    pub fn await_primary(&self, node: &mut Process) {
        self.cluster.await_status(node, "the primary", |status| status.role == "primary").unwrap();
    }
}

/// A `lockstep attach` without a terminal.
pub struct Attached {
    pub child: Child,
    stdin: Option<ChildStdin>,
    out: PathBuf,
    err: PathBuf,
}

impl Attached {
    pub fn start(dir: &TempDir, name: &str, arguments: &[&str]) -> Self {
        let [out, err] = ["out", "err"].map(|kind| dir.path().join(format!("attach-{name}.{kind}")));
        let mut child = Command::new(BINARY)
            .arg("attach")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin, out, err }
    }

    pub fn types(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub fn shown(&self) -> String {
        String::from_utf8(std::fs::read(&self.out).unwrap()).unwrap()
    }

    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    #[track_caller]
    pub fn await_shown(&self, text: &str) {
        until(&format!("shown: {text:?}; told: {}", self.told()), || self.shown().contains(text));
    }

    #[track_caller]
    pub fn await_told(&self, text: &str) {
        until(&format!("told: {text:?}; told so far: {}", self.told()), || self.told().contains(text));
    }

    #[track_caller]
    pub fn ends(&mut self) -> Option<i32> {
        self.stdin = None;
        wait(&mut self.child).code()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// What chatter said, taken apart: its numbered lines must go on from the first without a gap, and
/// so must the lines that it heard, which come back.
#[track_caller]
pub fn take_apart(shown: &str) -> Vec<String> {
    let mut next = None;
    let mut heard = Vec::new();
    let whole = &shown[..shown.rfind('\n').map_or(0, |end| end + 1)];
    for line in whole.lines() {
        if let Some(number) = line.strip_prefix("line ") {
            assert_eq!(number.len(), 8, "torn: {line:?}");
            let number: u64 = number.parse().unwrap_or_else(|_| panic!("torn: {line:?}"));
            assert_eq!(number, *next.get_or_insert(number), "the numbers go on");
            next = Some(number + 1);
        } else if let Some(rest) = line.strip_prefix("heard ") {
            let (number, text) = rest.split_once(' ').unwrap_or_else(|| panic!("torn: {line:?}"));
            assert_eq!(number.parse::<usize>().unwrap(), heard.len(), "{line:?}");
            heard.push(text.to_owned());
        } else {
            assert!(line.starts_with("chatter: ") || line.starts_with("size "), "torn: {line:?}");
        }
    }
    heard
}

/// A pseudo-terminal with a process that has it as its own.
pub struct Terminal {
    pub child: Child,
    pub master: Option<File>,
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    pub before: Termios,
}

impl Terminal {
    /// Starts our binary as the leader of a session on a new terminal of 80 by 25.
    pub fn start(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        tcsetwinsize(&master, Winsize { ws_col: 80, ws_row: 25, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let open = || OwnedFd::from(File::options().read(true).write(true).open(&name).unwrap());
        let line = open();
        let before = tcgetattr(&line).unwrap();
        // It makes itself a session's leader, takes the terminal, and becomes our binary.
        let child = Command::new("setsid")
            .args(["--ctty", BINARY])
            .args(arguments)
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, into) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reading.read(&mut buffer) {
                into.lock().unwrap().extend(&buffer[..n]);
            }
        });
        Self { child, master: Some(master), line, shown, before }
    }

    pub fn types(&self, keys: &[u8]) {
        self.master.as_ref().unwrap().write_all(keys).unwrap();
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    #[track_caller]
    pub fn await_shown(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < end, "{text:?} is not shown: {}", self.shown());
            sleep_ms(5);
        }
    }

    pub fn settings(&self) -> Termios {
        tcgetattr(&self.line).unwrap()
    }

    pub fn is_raw(&self) -> bool {
        use rustix::termios::LocalModes;
        !self.settings().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    #[track_caller]
    pub fn await_raw(&self, raw: bool) {
        until(&format!("raw: {raw}; shown: {}", self.shown()), || self.is_raw() == raw);
    }

    /// It ended with `status`, and the terminal is what it was.
    #[track_caller]
    pub fn ends_as_it_began(&mut self, status: i32) {
        assert_eq!(wait(&mut self.child).code(), Some(status), "{}", self.shown());
        let (after, before) = (self.settings(), &self.before);
        assert_eq!(
            (after.input_modes, after.output_modes, after.local_modes, after.control_modes),
            (before.input_modes, before.output_modes, before.local_modes, before.control_modes)
        );
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        let size = Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.as_ref().unwrap(), size).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// `lockstep run` of the chatter guest that terminals can attach to.
pub struct Run {
    pub child: Child,
    pub address: SocketAddr,
}

impl Run {
    pub fn start(arguments: &[&str]) -> Self {
        let address = free_tcp().unwrap();
        let chatter = guest("chatter");
        let child = Command::new(BINARY)
            .args(["run", &chatter, "--memory", "4M", "--listen", &address.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let run = Self { child, address };
        until("listening", || std::net::TcpStream::connect(run.address).is_ok());
        run
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}
