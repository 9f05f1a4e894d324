//! Switch, primary, backup and verifying loads, for `demo` and `bench`: what they do to them, and
//! what it took.
//!
//! Promise: a process that ends unasked is named, with its last lines, at once; no wait is without an end.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::ft::{Message, NodeStatus};
use crate::host::failure::Failure;
use crate::host::link;
use crate::lab::cluster::{Cluster, Process};
use crate::lab::counterload::{CounterConfig, CounterLoad, ask};
use crate::lab::kvclient::{KvConfig, KvLoad};

/// No single thing takes longer than this on a host that is fit for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same for a guest with an operating system, whose state is large.
const PATIENCE_LARGE: Duration = Duration::from_secs(90);
/// A killed process is noticed at once; a host that is busy with two machines at full speed and whatever else
/// it does must not look like a dead one.
const SILENCE_LARGE_MS: u64 = 3000;
/// Between two looks at a node.
const LOOK: Duration = Duration::from_millis(5);

/// One pair and the switch. Dropped, the nodes end before the switch does.
pub struct Stage {
    pub primary: Process,
    pub backup: Option<Process>,
    pub cluster: Cluster,
    /// Digests that agreed, and bytes of log, in generations that are over.
    audits_before: u64,
    log_bytes_before: u64,
}

/// A primary lost, and what its clients saw.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    /// From the signal to the first answer to a request that was sent after it.
    pub answered: Duration,
    /// The longest time without any answer around it.
    pub gap: Duration,
}

/// A primary that has been taken away.
pub struct Struck {
    /// When the signal was sent.
    pub at: Instant,
    /// When it had taken effect.
    pub gone: Instant,
    pub old: Process,
}

/// How the primary is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL: its connections close with it.
    Kill,
    /// SIGSTOP: only its silence shows.
    Stop,
}

/// Counts over all generations so far.
#[derive(Clone, Debug)]
pub struct Tally {
    pub audits: u64,
    pub log_bytes: u64,
    pub status: NodeStatus,
}

/// Prints or keeps lines that processes print.
pub type Narrate = fn(&str, &str);

impl Stage {
    /// A switch, and a primary that runs `guest`.
    pub fn start(dir: &Path, guest: &[u8], record: bool, narrate: Option<Narrate>) -> Result<Self, Failure> {
        let mut cluster = Self::cluster(dir, guest, narrate)?;
        cluster.record = record;
        Self::with(cluster)
    }

    /// The same for loads that leave other processes no processor: a process that is only slow is not taken
    /// for dead.
    pub fn start_patient(dir: &Path, guest: &[u8]) -> Result<Self, Failure> {
        let mut cluster = Self::cluster(dir, guest, None)?;
        cluster.silence_ms = Some(SILENCE_LARGE_MS);
        Self::with(cluster)
    }

    fn cluster(dir: &Path, guest: &[u8], narrate: Option<Narrate>) -> Result<Cluster, Failure> {
        std::fs::create_dir_all(dir)?;
        let elf = dir.join("guest.elf");
        std::fs::write(&elf, guest)?;
        Ok(Cluster::start(&std::env::current_exe()?, dir, &elf, "128M", narrate)?)
    }

    /// A switch, and a primary of the guest that the words `guest` name to it.
    pub fn start_with(
        dir: &Path,
        guest: &[String],
        memory: &str,
        narrate: Option<Narrate>,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let mut cluster = Cluster::start(&std::env::current_exe()?, dir, Path::new(""), memory, narrate)?;
        cluster.guest_words = guest.to_vec();
        cluster.vm = "linux".into();
        cluster.patience = PATIENCE_LARGE;
        cluster.silence_ms = Some(SILENCE_LARGE_MS);
        Self::with(cluster)
    }

    fn with(mut cluster: Cluster) -> Result<Self, Failure> {
        let mut primary = cluster.primary()?;
        cluster.await_status(&mut primary, "running", |status| status.role == "primary")?;
        Ok(Self { cluster, primary, backup: None, audits_before: 0, log_bytes_before: 0 })
    }

    /// Starts a load on the guest once it answers.
    pub fn load(&mut self, config: impl FnOnce(&mut KvConfig)) -> Result<KvLoad, Failure> {
        crate::lab::kvclient::request(self.cluster.service, "PING", PATIENCE)
            .map_err(|error| self.explain(Failure::new(error)))?;
        let mut kv = KvConfig::new(self.cluster.service);
        config(&mut kv);
        Ok(KvLoad::start(kv)?)
    }

    /// Starts connections to the `counter` guest once it answers: before it listens they are refused.
    pub fn count(&mut self, config: impl FnOnce(&mut CounterConfig)) -> Result<CounterLoad, Failure> {
        let at = self.cluster.counter;
        let until = Instant::now() + PATIENCE;
        while let Err(error) = TcpStream::connect(at).and_then(|mut stream| ask(&mut stream, "stat")) {
            if Instant::now() > until {
                return Err(self.explain(Failure::new(format!("the guest does not answer: {error}"))));
            }
            self.dwell(LOOK)?;
        }
        let mut counter = CounterConfig::new(at);
        config(&mut counter);
        Ok(CounterLoad::start(counter)?)
    }

    /// Starts a backup; how long it took until the guest was protected.
    pub fn protect(&mut self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.backup = Some(self.cluster.backup(&self.primary)?);
        self.await_primary("protected", |status| status.protected)?;
        Ok(begun.elapsed())
    }

    /// Waits until the primary's status is as `wanted`.
    pub fn await_primary(
        &mut self,
        what: &str,
        wanted: impl Fn(&NodeStatus) -> bool,
    ) -> Result<NodeStatus, Failure> {
        let until = Instant::now() + self.cluster.patience;
        loop {
            self.check_alive()?;
            // A node that does not answer now is asked again.
            if let Ok(status) = self.primary.status()
                && status.role == "primary"
                && wanted(&status)
            {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(self.late(what));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets time pass, and checks that every process lives.
    pub fn dwell(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.check_alive()?;
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Takes the primary away under `load`; its backup becomes the primary. The old one is handed
    /// back: dead after [`Blow::Kill`], stopped after [`Blow::Stop`].
    pub fn strike(&mut self, blow: Blow, load: &KvLoad) -> Result<(Takeover, Process), Failure> {
        let Struck { at: struck, gone, old } = self.take_away(blow)?;
        let answered = loop {
            self.check_alive()?;
            if let Some(at) = load.first_answer_to_request_after(gone) {
                break at.duration_since(struck);
            }
            if gone.elapsed() > PATIENCE {
                return Err(self.late("answering"));
            }
            std::thread::sleep(LOOK / 5);
        };
        let gap = load.longest_gap_since(struck).map_or(answered, |(_, gap)| gap);
        self.await_primary("live", |_| true)?;
        Ok((Takeover { answered, gap }, old))
    }

    /// Takes the primary away; its backup is the primary from here on, or about to be.
    pub fn take_away(&mut self, blow: Blow) -> Result<Struck, Failure> {
        let tally = self.tally()?;
        let Some(successor) = self.backup.take() else {
            return Err(Failure::new("there is no backup that could take over"));
        };
        let at = Instant::now();
        match blow {
            Blow::Kill => self.primary.kill()?,
            Blow::Stop => self.primary.stop()?,
        }
        let gone = Instant::now();
        (self.audits_before, self.log_bytes_before) = (tally.audits, tally.log_bytes);
        let old = std::mem::replace(&mut self.primary, successor);
        Ok(Struck { at, gone, old })
    }

    /// Kills the backup; the primary goes on alone.
    pub fn lose_backup(&mut self) -> Result<(), Failure> {
        self.backup = None;
        self.await_primary("alone", |status| status.phase == "alone")?;
        Ok(())
    }

    /// Where the backup records, if the cluster records.
    pub fn record_of_backup(&self) -> Result<PathBuf, Failure> {
        let number = self.backup.as_ref().and_then(|backup| backup.name.rsplit('-').next()?.parse().ok());
        number.map(|number| self.cluster.record_dir(number)).ok_or_else(|| Failure::new("there is no backup"))
    }

    /// Makes the two change places; how long it took, from the request to the new primary's generation.
    pub fn switch_over(&mut self) -> Result<Duration, Failure> {
        let tally = self.tally()?;
        let begun = Instant::now();
        let took = match link::ask(self.primary.address, &Message::SwitchOver, PATIENCE) {
            Ok(Message::Answer { .. }) => begun.elapsed(),
            Ok(Message::Refuse { why }) => {
                return Err(self.explain(Failure::new(format!("no switch-over: {why}"))));
            }
            Ok(_) => return Err(Failure::new("the primary answered a switch-over with something else")),
            Err(error) => return Err(self.explain(Failure::new(format!("no switch-over: {error}")))),
        };
        let Some(backup) = &mut self.backup else {
            return Err(Failure::new("a switch-over without a backup was answered"));
        };
        std::mem::swap(&mut self.primary, backup);
        (self.audits_before, self.log_bytes_before) = (tally.audits, tally.log_bytes);
        self.await_primary("live", |status| status.protected)?;
        Ok(took)
    }

    /// What all generations together have come to, and how the primary is now.
    pub fn tally(&mut self) -> Result<Tally, Failure> {
        let status = self.await_primary("answering", |_| true)?;
        Ok(Tally {
            audits: self.audits_before + status.audits_agreed,
            log_bytes: self.log_bytes_before + status.log_bytes,
            status,
        })
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        [&mut self.cluster.switch, &mut self.primary].into_iter().chain(self.backup.as_mut())
    }

    /// Fails if a process has ended that was not asked to.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        for process in self.processes() {
            if let Some(status) = process.child.try_wait()? {
                let (name, tail) = (&process.name, process.tail());
                return Err(Failure::new(format!("{name} ended early ({status}); its last lines:{tail}")));
            }
        }
        Ok(())
    }

    fn late(&mut self, what: &str) -> Failure {
        let (name, tail) = (&self.primary.name, self.primary.tail());
        let words = format!(
            "{name} was not {what} within {} s; its last lines:{tail}",
            self.cluster.patience.as_secs()
        );
        Failure::new(words).fix("is this host very busy? try again when it is not")
    }

    /// An early end explains a failure better than the failure itself.
    fn explain(&mut self, failure: Failure) -> Failure {
        self.check_alive().err().unwrap_or(failure)
    }
}

/// Milliseconds, as they are shown.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
