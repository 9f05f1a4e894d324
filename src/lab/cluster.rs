//! A whole pair on this machine: switch, primary and backups as processes of their own.
//!
//! What the demo shows, the bench measures and the tests torture; every process is the `lockstep`
//! binary with the arguments that a user would type. Dropping a [`Cluster`] kills what is left,
//! and the kernel kills it when the process that started it ends in any other way.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use crate::ft::{Message, NodeStatus};
use crate::host::link::{self, LinkError};
use crate::host::os::{DIES_WITH, draw_u64};

/// Why a cluster is not as it was to be.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The host refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// The error.
        error: io::Error,
    },
    /// A process did not get ready in time.
    #[error("{what} within {} s{tail}", within.as_secs())]
    Late {
        /// What did not happen.
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// The process's last lines, as [`Process::tail`] has them.
        tail: String,
    },
    /// A process ended while it was waited for.
    #[error("{name} ended early with {status}{tail}")]
    Ended {
        /// Its name.
        name: String,
        /// Its exit status, in words.
        status: String,
        /// Its last lines, as [`Process::tail`] has them.
        tail: String,
    },
}

/// One process of the cluster.
pub struct Process {
    /// Its name in messages and of its files: `switch`, or its role and a number.
    pub name: String,
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    stderr: PathBuf,
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// SIGKILL; returns once the kernel has taken it away.
    pub fn kill(&mut self) -> io::Result<()> {
        kill_process(self.pid(), Signal::KILL)?;
        self.child.wait().map(|_| ())
    }

    /// Sends SIGKILL and does not wait for the process to be gone.
    pub fn kill_now(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::KILL)?)
    }

    /// SIGSTOP.
    pub fn stop(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::STOP)?)
    }

    /// SIGCONT.
    pub fn resume(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    /// What it has printed on standard error so far.
    pub fn told(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Its exit status once it ends, within `within`.
    pub fn wait(&mut self, within: Duration) -> Option<i32> {
        let until = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status.code().unwrap_or(-1)),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Its answer to `lockstep status`.
    ///
    /// # Errors
    /// It does not answer within two seconds, or with something else.
    pub fn status(&self) -> Result<NodeStatus, LinkError> {
        match link::ask(self.address, &Message::Status, Duration::from_secs(2))? {
            Message::Answer { json } => {
                serde_json::from_str(&json).map_err(|error| LinkError::Io(io::Error::other(error)))
            }
            _ => Err(LinkError::Closed),
        }
    }

    /// Err when it has ended.
    fn check_lives(&mut self) -> Result<(), ClusterError> {
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        let (name, tail) = (self.name.clone(), self.tail());
        Err(ClusterError::Ended { name, status: status.to_string(), tail })
    }

    /// The last lines of it, each on a line of its own, indented; for errors.
    pub fn tail(&self) -> String {
        let told = self.told();
        let lines: Vec<&str> = told.lines().rev().take(4).collect();
        lines.into_iter().rev().map(|line| format!("\n    {line}")).collect()
    }
}

/// Kills a process and waits for it. One that is already gone is as good as killed.
pub fn end(child: &mut Child) {
    if child.kill().is_ok() {
        while let Err(error) = child.wait() {
            if error.kind() != io::ErrorKind::Interrupted {
                break;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Other ways than the straight ones, through a relay for example.
#[derive(Clone, Debug, Default)]
pub struct Via {
    /// As it is written after `--arbiter`.
    pub arbiter: Option<String>,
    /// A node's way to the switch.
    pub switch: Option<SocketAddr>,
    /// A backup's way to its primary.
    pub primary: Option<SocketAddr>,
}

/// Everything one pair needs, in a directory of its own.
pub struct Cluster {
    binary: PathBuf,
    dir: PathBuf,
    guest: PathBuf,
    memory: String,
    /// Name the guest to a primary instead of the ELF file: a kernel and its options, for example.
    pub guest_words: Vec<String>,
    /// What the virtual machine is called.
    pub vm: String,
    /// How long a node may take to be as it is waited for.
    pub patience: Duration,
    /// Record every node's log under the directory.
    pub record: bool,
    /// `--silence-ms` of every node that is started; none leaves it at the default.
    pub silence_ms: Option<u64>,
    /// `--backups` of every node that is started; none leaves it at the default.
    pub backups: Option<usize>,
    /// Every node keeps its log in a store, of which each address has its own.
    pub stores: bool,
    /// `--ack` of a primary that is started; none leaves it at the default.
    pub ack: Option<&'static str>,
    /// A node that loses its place rejoins, as nodes do by default; here they end.
    pub rejoins: bool,
    /// A node connects to the switch; false for a guest without a network (`--no-net`).
    pub attaches: bool,
    /// How the next node that is started reaches the others, where that is not straight.
    pub via: Via,
    /// What every node that is started gets on top: disks, for example.
    pub arguments: Vec<String>,
    /// The switch, which all nodes use.
    pub switch: Process,
    /// The guest's UDP port 9000 on this host.
    pub service: SocketAddr,
    /// The guest's TCP port 6379 on this host.
    pub redis: SocketAddr,
    /// The guest's TCP port 9000 on this host.
    pub counter: SocketAddr,
    /// Called with each line that a process prints, if set before the process starts.
    narrate: Option<fn(&str, &str)>,
    started: u32,
}

const READY_WITHIN: Duration = Duration::from_secs(20);
const START_TRIES: u32 = 4;

impl Cluster {
    /// Starts a switch for `guest` and gets ready to start nodes; `dir` must exist and be empty.
    pub fn start(
        binary: &Path,
        dir: &Path,
        guest: &Path,
        memory: &str,
        narrate: Option<fn(&str, &str)>,
    ) -> Result<Self, ClusterError> {
        // A port that was free may be another's when the switch opens it.
        for _ in 1..START_TRIES {
            match Self::start_at_free_ports(binary, dir, guest, memory, narrate) {
                Err(ClusterError::Ended { tail, .. }) if tail.contains("Address already in use") => {}
                started => return started,
            }
        }
        Self::start_at_free_ports(binary, dir, guest, memory, narrate)
    }

    fn start_at_free_ports(
        binary: &Path,
        dir: &Path,
        guest: &Path,
        memory: &str,
        narrate: Option<fn(&str, &str)>,
    ) -> Result<Self, ClusterError> {
        fs::create_dir_all(dir.join("arbiter")).map_err(io_at("cannot make the arbiter's directory"))?;
        let address = free_tcp()?;
        let service = free_udp()?;
        let listen = address.to_string();
        let (redis, counter) = (free_tcp()?, free_tcp()?);
        let forwards =
            [format!("udp:{service}=9000"), format!("tcp:{redis}=6379"), format!("tcp:{counter}=9000")];
        let mut words = vec!["switch", "--listen", &listen];
        words.extend(forwards.iter().flat_map(|forward| ["--forward", forward]));
        let switch = spawn(binary, dir, "switch", address, &words, narrate)?;
        let mut cluster = Self {
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            guest: guest.to_owned(),
            memory: memory.to_owned(),
            guest_words: Vec::new(),
            vm: "kv".into(),
            patience: READY_WITHIN,
            record: false,
            silence_ms: None,
            backups: None,
            stores: false,
            ack: None,
            rejoins: false,
            attaches: true,
            via: Via::default(),
            arguments: Vec::new(),
            switch,
            service,
            redis,
            counter,
            narrate,
            started: 0,
        };
        let until = Instant::now() + READY_WITHIN;
        while std::net::TcpStream::connect(address).is_err() {
            cluster.switch.check_lives()?;
            if Instant::now() > until {
                let what = "the switch did not listen".to_owned();
                return Err(ClusterError::Late { what, within: READY_WITHIN, tail: cluster.switch.tail() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(cluster)
    }

    /// The arbiter's directory.
    pub fn arbiter(&self) -> PathBuf {
        self.dir.join("arbiter")
    }

    /// Where the `n`-th started node records.
    pub fn record_dir(&self, n: u32) -> PathBuf {
        self.dir.join(format!("record-{n}"))
    }

    /// Starts a primary. It may not answer yet; see [`await_status`](Self::await_status).
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn primary(&mut self) -> Result<Process, ClusterError> {
        let memory = self.memory.clone();
        let guest = match self.guest_words.is_empty() {
            true => vec![self.guest.display().to_string()],
            false => self.guest_words.clone(),
        };
        let mut words = vec!["primary", "--memory", &memory];
        words.extend(guest.iter().map(String::as_str));
        if let Some(ack) = self.ack {
            words.extend(["--ack", ack]);
        }
        self.node("primary", &words)
    }

    /// A node in the place of `gone`, listening where that did, that goes on from its store: no guest is named.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn resumed(&mut self, gone: &Process) -> Result<Process, ClusterError> {
        self.node_at("primary", gone.address, &["primary"])
    }

    /// The store of the node that listens at `address`.
    pub fn store_of(&self, address: SocketAddr) -> PathBuf {
        self.dir.join(format!("store-{}", address.port()))
    }

    /// Starts a backup of `primary`. It may not have joined yet; see
    /// [`await_protected`](Self::await_protected).
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn backup(&mut self, primary: &Process) -> Result<Process, ClusterError> {
        let primary = self.via.primary.unwrap_or(primary.address).to_string();
        self.node("backup", &["backup", "--primary", &primary])
    }

    /// A backup in the place of `gone`, listening where that did, that looks for its primary at `others`: what a
    /// service manager starts again and again.
    pub fn restarted(&mut self, gone: &Process, others: &[SocketAddr]) -> Result<Process, ClusterError> {
        let others: Vec<String> = others.iter().map(SocketAddr::to_string).collect();
        self.node_at("backup", gone.address, &["backup", "--primary", &others.join(",")])
    }

    fn node(&mut self, role: &str, arguments: &[&str]) -> Result<Process, ClusterError> {
        self.node_at(role, free_tcp()?, arguments)
    }

    fn node_at(
        &mut self,
        role: &str,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Process, ClusterError> {
        self.started += 1;
        let name = format!("{role}-{}", self.started);
        let (listen, switch) =
            (address.to_string(), self.via.switch.unwrap_or(self.switch.address).to_string());
        let arbiter = self.via.arbiter.clone().unwrap_or_else(|| self.arbiter().display().to_string());
        let record = self.record_dir(self.started).display().to_string();
        let silence = self.silence_ms.map(|ms| ms.to_string());
        let backups = self.backups.map(|count| count.to_string());
        let vm = self.vm.clone();
        let store = self.store_of(address).display().to_string();
        let mut all = arguments.to_vec();
        all.extend(["--vm", &vm, "--listen", &listen, "--arbiter", &arbiter]);
        if self.attaches {
            all.extend(["--switch", &switch]);
        }
        if self.record {
            all.extend(["--record", &record]);
        }
        if self.stores {
            all.extend(["--store", &store]);
        }
        if !self.rejoins {
            all.push("--once");
        }
        if let Some(silence) = &silence {
            all.extend(["--silence-ms", silence]);
        }
        if let Some(backups) = &backups {
            all.extend(["--backups", backups]);
        }
        all.extend(self.arguments.iter().map(String::as_str));
        spawn(&self.binary, &self.dir, &name, address, &all, self.narrate)
    }

    /// Waits until `node`'s status is as `wanted`.
    pub fn await_status(
        &self,
        node: &mut Process,
        what: &str,
        wanted: impl Fn(&NodeStatus) -> bool,
    ) -> Result<NodeStatus, ClusterError> {
        let until = Instant::now() + self.patience;
        loop {
            if let Ok(status) = node.status()
                && wanted(&status)
            {
                return Ok(status);
            }
            node.check_lives()?;
            if Instant::now() > until {
                let what = format!("{} was not {what}", node.name);
                return Err(ClusterError::Late { what, within: self.patience, tail: node.tail() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A primary and a backup that counts.
    pub fn pair(&mut self) -> Result<(Process, Process), ClusterError> {
        let mut primary = self.primary()?;
        self.await_status(&mut primary, "running", |_| true)?;
        let backup = self.backup(&primary)?;
        self.await_protected(&mut primary)?;
        Ok((primary, backup))
    }

    /// Waits until `primary` says that its backup counts.
    ///
    /// # Errors
    /// It ended, or has not said so within [`patience`](Self::patience).
    pub fn await_protected(&self, primary: &mut Process) -> Result<NodeStatus, ClusterError> {
        self.await_status(primary, "protected", |status| status.role == "primary" && status.protected)
    }
}

fn io_at(what: &str) -> impl Fn(io::Error) -> ClusterError + '_ {
    move |error| ClusterError::Io { what: what.to_owned(), error }
}

/// Below these Linux takes no port of its own accord (`net.ipv4.ip_local_port_range`): an outgoing connection of
/// another process does not get one of them between our look and its use.
const PORTS: std::ops::Range<u64> = 10_000..32_768;

/// A port of this host that is free now, as far as `bind` can tell.
fn free_port<T>(bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<SocketAddr> {
    const TRIES: u32 = 100;
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let port = PORTS.start + draw_u64() % (PORTS.end - PORTS.start);
        let address = SocketAddr::from(([127, 0, 0, 1], port as u16));
        match bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

/// A TCP port of this host that is free now.
pub fn free_tcp() -> Result<SocketAddr, ClusterError> {
    free_port(TcpListener::bind).map_err(io_at("no free TCP port"))
}

/// A UDP port of this host that is free now.
pub fn free_udp() -> Result<SocketAddr, ClusterError> {
    free_port(UdpSocket::bind).map_err(io_at("no free UDP port"))
}

fn spawn(
    binary: &Path,
    dir: &Path,
    name: &str,
    address: SocketAddr,
    arguments: &[&str],
    narrate: Option<fn(&str, &str)>,
) -> Result<Process, ClusterError> {
    let failed = io_at(name);
    let stderr = dir.join(format!("{name}.err"));
    let stdout = File::create(dir.join(format!("{name}.out"))).map_err(&failed)?;
    let told = File::create(&stderr).map_err(&failed)?;
    let mut command = Command::new(binary);
    command.args(arguments).stdin(Stdio::null()).stdout(stdout);
    // What a node notes on its host, it notes here.
    command.env("XDG_STATE_HOME", std::path::absolute(dir.join("state")).map_err(&failed)?);
    // A group of its own: a Ctrl-C at the terminal is for us, and we end what we have started.
    command.env(DIES_WITH, std::process::id().to_string()).process_group(0);
    let child = match narrate {
        None => command.stderr(told).spawn().map_err(&failed)?,
        Some(narrate) => {
            let mut child = command.stderr(Stdio::piped()).spawn().map_err(&failed)?;
            if let Some(lines) = child.stderr.take() {
                let name = name.to_owned();
                std::thread::spawn(move || narrate_lines(lines, told, &name, narrate));
            }
            child
        }
    };
    Ok(Process { name: name.to_owned(), child, address, stderr })
}

fn narrate_lines(lines: impl io::Read, mut told: File, name: &str, narrate: fn(&str, &str)) {
    for line in BufReader::new(lines).lines() {
        let Ok(line) = line else { return };
        narrate(name, &line);
        if io::Write::write_all(&mut told, format!("{line}\n").as_bytes()).is_err() {
            return;
        }
    }
}
