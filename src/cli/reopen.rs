//! `--store DIR`: a node's log and checkpoints on disk, and a node that goes on from them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Failure;
use super::past::unusable;
use crate::base::NodeId;
use crate::ft::Restart;
use crate::host::node_store::StorePlace;
use crate::host::say::say;
use crate::host::store::{self, Check, CheckpointInfo, Keep, Replica, Store, StoreError};
use crate::machine::Machine;

/// So long a store that is in use is tried again.
const LET_GO_WITHIN: Duration = Duration::from_secs(3);

/// The same for `primary` and `backup`.
#[derive(clap::Args, Clone)]
pub struct StoreArgs {
    /// Keep the log and checkpoints in this directory: after a loss of all nodes the guest goes on from there. It is
    /// made if it is missing; if it holds a store of this vm, this node goes on from that.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Write a checkpoint every so many seconds, if the guest computes at all.
    #[arg(long, value_name = "S", requires = "store", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub checkpoint_every: u64,
    /// Write one after so many instructions, however soon that is, as long as saving takes little of the time. A restart
    /// executes what came after the last checkpoint again: about so much, when the guest is busy.
    #[arg(long, value_name = "N", requires = "store", default_value_t = 4_000_000_000,
          value_parser = clap::value_parser!(u64).range(1_000_000..))]
    pub checkpoint_instructions: u64,
    /// How far back the store goes: limits separated by commas, of time (2h), bytes (10G) and number of checkpoints
    /// (3). The newest checkpoint and the log behind it stay in any case.
    #[arg(long, value_name = "LIMITS", requires = "store", default_value = "10G")]
    keep: Keep,
}

/// Why a store cannot be gone on from.
pub struct Refusal {
    pub failure: Failure,
    /// It is broken, and no other is to be looked for: what it held can only come from another node.
    pub is_damage: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, is_damage: false }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self { is_damage: error.is_damage(), failure: unusable(error) }
    }
}

/// A store that a node goes on from.
pub struct Reopened {
    pub place: StorePlace,
    pub restart: Restart,
}

impl Reopened {
    /// Notes in the store that its node is `id` from here on: before anything is done under that identity, a claim or a
    /// mark beside a disk, so that whenever this process dies, the store knows both for its own.
    pub fn is_known_as(&mut self, id: NodeId) -> Result<(), Failure> {
        let Self { place, restart } = self;
        place.replica.standing.is_known_as(id);
        restart.standing.is_known_as(id);
        place.replica.write(&place.dir).map_err(unusable)
    }
}

impl StoreArgs {
    /// The directory of a store that is there.
    pub fn there(&self) -> Option<&Path> {
        self.store.as_deref().filter(|dir| store::is_there(dir))
    }

    /// Makes the directory of a new store, if one is wanted, and sees that it can be written to: before anything is
    /// claimed or asked for.
    pub fn prepare(&self) -> Result<(), Failure> {
        let Some(dir) = &self.store else { return Ok(()) };
        let cannot = |what: &str, why: std::io::Error| {
            Failure::new(format!("cannot {what} the store {}: {why}", dir.display()))
                .fix("check the path, of which only the last directory is made here, its owner, and the disk's free space")
        };
        match std::fs::create_dir(dir) {
            Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => return Err(cannot("make", why)),
            Ok(()) | Err(_) => {}
        }
        let probe = dir.join("probe");
        let written = std::fs::write(&probe, [0; 4096]).and_then(|()| std::fs::remove_file(&probe));
        written.map_err(|why| cannot("write to", why))
    }

    /// Where a new store is to be, if one is wanted.
    pub fn place(&self) -> Option<StorePlace> {
        let dir = self.store.clone()?;
        Some(StorePlace { dir, settings: self.settings(), replica: Replica::default(), resumed: None })
    }

    fn settings(&self) -> store::Settings {
        store::Settings { keep: self.keep, check: Check::SinceNewest, ..store::Settings::default() }
    }

    /// Opens the store in `dir`. A process that was killed takes a moment to let go of it.
    fn open(&self, dir: &Path) -> Result<Store, StoreError> {
        let until = Instant::now() + LET_GO_WITHIN;
        loop {
            match Store::open(dir, self.settings(), |_| ()) {
                Err(StoreError::InUse { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                opened => return opened,
            }
        }
    }

    /// Opens the store of `vm` in `dir`, and restores its newest checkpoint that can be read.
    pub fn reopen(&self, dir: &Path, vm: &str) -> Result<Reopened, Refusal> {
        let opened = self.open(dir)?;
        let identity = opened.identity().clone();
        if identity.vm != vm {
            return Err(Failure::new(format!(
                "the store {} is of the vm {:?}, not {vm:?}",
                dir.display(),
                identity.vm
            ))
            .fix("give the directory of this vm's store, or another --vm")
            .into());
        }
        let replica = match Replica::read(dir) {
            Ok(Some(replica)) => replica,
            Ok(None) => {
                say!(
                    "lockstep: {} does not say what its node was to its group: others go first",
                    dir.display()
                );
                Replica::default()
            }
            // That permits, and is no part of the log.
            Err(error @ StoreError::BadIdentity { .. }) => {
                say!("lockstep: {error}: it is taken for missing, and others go first");
                Replica::default()
            }
            Err(error) => return Err(error.into()),
        };
        let (info, machine) = newest(&opened)?;
        let frames = opened.frames_after(info.meta.seq)?;
        let restart = Restart {
            machine,
            seq_next: info.meta.seq.next(),
            generation: info.meta.generation,
            life: identity.life,
            ack: replica.ack,
            standing: replica.standing.clone(),
            wait_ns: 0,
        };
        let resumed = Some((opened, frames));
        let place = StorePlace { dir: dir.to_owned(), settings: self.settings(), replica, resumed };
        Ok(Reopened { place, restart })
    }
}

/// The machine of the newest checkpoint that can be read: the log behind an older one is kept, too.
fn newest(store: &Store) -> Result<(CheckpointInfo, Machine), Refusal> {
    let mut first = None;
    for info in store.status().checkpoints.into_iter().rev() {
        let error: Refusal = match store.restore(info.meta.seq) {
            Ok(machine) => return Ok((info, machine)),
            Err(error) => error.into(),
        };
        say!("lockstep: {}", error.failure.what);
        first.get_or_insert(error);
    }
    Err(first.unwrap_or_else(|| Failure::new("the store has no checkpoint").into()))
}
