//! A node's messages have no reader any more, or its terminal is gone: the guest is not to notice.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{BINARY, free_port, guest, lockstep, run, until};

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    child: Child,
    at: String,
}

impl Node {
    /// A primary of a guest that goes on for ever, with its standard error as a pipe.
    fn primary(dir: &TempDir) -> Self {
        Self::talking_to(dir, Stdio::piped())
    }

    fn talking_to(dir: &TempDir, stderr: Stdio) -> Self {
        let at = free_port();
        let arbiter = dir.path().display().to_string();
        let guest = guest("chatter");
        let mut command = lockstep(&["primary", &guest, "--memory", "4M", "--vm", "talk"]);
        command.args(["--listen", &at, "--arbiter", &arbiter]).stdout(Stdio::null()).stderr(stderr);
        let node = Self { child: command.spawn().unwrap(), at };
        until("running", PATIENCE, || node.role().contains("primary"));
        node
    }

    fn role(&self) -> String {
        String::from_utf8_lossy(&run(&["status", "--json", &self.at]).out).into_owned()
    }

    fn backup(&self, dir: &TempDir) -> Child {
        Command::new(BINARY)
            .args(["backup", "--vm", "talk", "--primary", &self.at, "--listen", "127.0.0.1:0", "--arbiter"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end in an orderly way.
    fn ends_well(mut self) {
        self.signal(Signal::TERM);
        // Alone with its guest it refuses once, heard or not; a signal that comes too early is lost.
        std::thread::sleep(Duration::from_millis(100));
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::TERM);
        }
        until("ended", PATIENCE, || self.child.try_wait().unwrap().is_some());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_node_whose_standard_error_is_closed_goes_on_and_takes_a_backup() {
    let dir = TempDir::new().unwrap();
    let mut node = Node::primary(&dir);
    drop(node.child.stderr.take());
    let mut backup = node.backup(&dir);
    until("protected", PATIENCE, || node.role().contains("\"protected\":true"));
    backup.kill().unwrap();
    backup.wait().unwrap();
    until("alone", PATIENCE, || node.role().contains("alone"));
    node.ends_well();
}

#[test]
fn a_node_whose_standard_error_is_not_read_does_not_wait_for_a_reader() {
    let dir = TempDir::new().unwrap();
    // As full as a pipe is whose reader sleeps.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 64 << 10]).unwrap();
    let node = Node::talking_to(&dir, writer.into());
    for _ in 0..3 {
        let mut backup = node.backup(&dir);
        until("protected", PATIENCE, || node.role().contains("\"protected\":true"));
        backup.kill().unwrap();
        backup.wait().unwrap();
        until("alone", PATIENCE, || node.role().contains("alone"));
    }
    node.ends_well();
    drop(reader);
}

#[test]
fn a_hung_up_terminal_ends_no_primary_and_an_orderly_run() {
    let dir = TempDir::new().unwrap();
    let mut node = Node::primary(&dir);
    node.signal(Signal::HUP);
    node.signal(Signal::HUP);
    until("still there", PATIENCE, || node.role().contains("primary"));
    let mut err = node.child.stderr.take().unwrap();
    node.ends_well();
    let mut told = String::new();
    err.read_to_string(&mut told).unwrap();
    assert!(told.contains("the terminal is gone (SIGHUP); this node goes on"), "{told}");

    let log = dir.path().join("log").display().to_string();
    let mut command = lockstep(&["run", &guest("chatter"), "--memory", "4M", "--record", &log]);
    let mut alone = command.stdout(Stdio::null()).spawn().unwrap();
    until("recording", PATIENCE, || std::fs::read_dir(&log).is_ok_and(|dir| dir.count() > 0));
    until("ended", PATIENCE, || {
        kill_process(Pid::from_child(&alone), Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        alone.try_wait().unwrap().is_some()
    });
    assert_eq!(alone.wait().unwrap().code(), Some(0), "an orderly end, not by a signal");
    let mut told = String::new();
    alone.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("the terminal is gone"), "{told}");
    run(&["replay", &log]).ends(0, &[]);
}
