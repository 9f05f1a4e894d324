//! Which lockstep process of this host listens at an address, and ending it for certain.
//!
//! The kernel's tables decide (`/proc/net/tcp`, `/proc/PID/fd`), not what answers at the address: a stopped
//! node answers nothing, and a program that is no node could name any process. The process is held by a descriptor
//! (`pidfd`) before it is looked at, so a number that the kernel gives to another process meanwhile is not hit.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

/// The subcommands whose processes are nodes.
const NODES: [&str; 3] = ["primary", "backup", "run"];

#[derive(Debug, Error)]
pub enum OwnerError {
    #[error("{at} is not an address of this host alone (127.0.0.0/8 or ::1)")]
    NotLoopback { at: SocketAddr },
    #[error("no process listens at {at}")]
    NoListener { at: SocketAddr },
    #[error(
        "the process that listens at {at} is not to be seen from here: it is another user's, or in another container"
    )]
    Hidden { at: SocketAddr },
    #[error("process {pid}, which listens at {at}, is no node of lockstep: it is `{command}`")]
    NotANode { at: SocketAddr, pid: i32, command: String },
    #[error("process {pid} may not be ended by this user: {error}")]
    Refused { pid: i32, error: io::Error },
    #[error("process {pid} is not gone after {} s", within.as_secs())]
    Stays { pid: i32, within: Duration },
    #[error("/proc cannot be read: {0}")]
    Proc(#[from] ProcError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A node's process, held so that its number cannot come to mean another.
#[derive(Debug)]
pub struct NodeProcess {
    pub pid: i32,
    /// `primary`, `backup` or `run`, as the process was started.
    pub started_as: String,
    handle: OwnedFd,
}

impl NodeProcess {
    /// The node that listens at `at`, an address of the loopback interface.
    pub fn listening_at(at: SocketAddr) -> Result<Self, OwnerError> {
        if !at.ip().to_canonical().is_loopback() {
            return Err(OwnerError::NotLoopback { at });
        }
        let sockets = sockets_at(at)?;
        if sockets.is_empty() {
            return Err(OwnerError::NoListener { at });
        }
        for process in procfs::process::all_processes()? {
            // Processes come and go, and other users' descriptors are theirs.
            let Ok(process) = process else { continue };
            if !holds(&process, &sockets) {
                continue;
            }
            let pid = process.pid();
            let handle = Pid::from_raw(pid).ok_or(OwnerError::NoListener { at })?;
            let handle = pidfd_open(handle, PidfdFlags::empty()).map_err(io::Error::from)?;
            // The handle is of the process that has the number now: only this look counts.
            if !holds(&Process::new(pid)?, &sockets) {
                return Err(OwnerError::NoListener { at });
            }
            return match node_command(&process) {
                Ok(started_as) => Ok(Self { pid, started_as, handle }),
                Err(command) => Err(OwnerError::NotANode { at, pid, command }),
            };
        }
        Err(OwnerError::Hidden { at })
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub fn kill(&self, within: Duration) -> Result<(), OwnerError> {
        let pid = self.pid;
        pidfd_send_signal(&self.handle, Signal::KILL)
            .map_err(|error| OwnerError::Refused { pid, error: error.into() })?;
        let timeout = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: i64::from(within.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => Err(OwnerError::Stays { pid, within }),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// The inodes of the sockets at which a connection to `at` may arrive.
fn sockets_at(at: SocketAddr) -> Result<Vec<u64>, OwnerError> {
    // A host without IPv6 has no table for it.
    let tcp6 = procfs::net::tcp6().unwrap_or_default();
    let all: Vec<TcpNetEntry> = procfs::net::tcp()?.into_iter().chain(tcp6).collect();
    let listening = |exact: bool| -> Vec<u64> {
        let here = |entry: &&TcpNetEntry| {
            let ip = entry.local_address.ip().to_canonical();
            let fits = if exact { ip == at.ip().to_canonical() } else { ip.is_unspecified() };
            entry.state == TcpState::Listen && entry.local_address.port() == at.port() && fits
        };
        all.iter().filter(here).map(|entry| entry.inode).collect()
    };
    // A listener at the very address comes before one at all addresses.
    let exact = listening(true);
    Ok(if exact.is_empty() { listening(false) } else { exact })
}

fn holds(process: &Process, sockets: &[u64]) -> bool {
    let Ok(descriptors) = process.fd() else { return false };
    descriptors
        .flatten()
        .any(|descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
}

/// The subcommand that the process was started with; for anything but a node, its command line.
fn node_command(process: &Process) -> Result<String, String> {
    let words = process.cmdline().unwrap_or_default();
    let command = || words.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
    let executable = process.exe().map_err(|_| command())?;
    // A binary that was built anew while the process runs.
    let name = executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ours = name.strip_suffix(" (deleted)").unwrap_or(&name) == "lockstep"
        || std::env::current_exe().is_ok_and(|own| own == executable);
    match words.get(1) {
        Some(subcommand) if ours && NODES.contains(&subcommand.as_str()) => Ok(subcommand.clone()),
        _ => Err(command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_of_this_test_is_found_and_is_no_node() {
        for at in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let port = listener.local_addr().unwrap().port();
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            match NodeProcess::listening_at(at).unwrap_err() {
                OwnerError::NotANode { pid, .. } => assert_eq!(pid, std::process::id() as i32),
                other => panic!("{other}"),
            }
            drop(listener);
            assert!(matches!(NodeProcess::listening_at(at).unwrap_err(), OwnerError::NoListener { .. }));
        }
    }

    #[test]
    fn other_hosts_are_not_reached() {
        for at in ["192.0.2.1:7100", "0.0.0.0:7100", "[2001:db8::1]:7100", "[::ffff:192.0.2.1]:7100"] {
            let refused = NodeProcess::listening_at(at.parse().unwrap()).unwrap_err();
            assert!(matches!(refused, OwnerError::NotLoopback { .. }), "{refused}");
        }
    }
}
