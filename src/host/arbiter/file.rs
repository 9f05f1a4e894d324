//! The `file` arbiter: a directory that both nodes can reach.
//!
//! ```text
//! DIR/VM/g00000000000000000001         who claimed generation 1: one JSON line
//! DIR/VM/g00000000000000000001.ended   the guest of generation 1 ended in an orderly way
//! DIR/VM/.NODE.new                     a claim being written; a crash may leave it; it is never read
//! ```
//!
//! A claim is written beside its place, fsynced, then *linked* to its name, which fails if the name
//! exists: the test-and-set. The directory is fsynced before the claim counts as won, so it
//! survives this host. A name is never removed or reused.
//!
//! A directory that does not hold the generation before the claimed one, by the node that holds it,
//! is not the arbiter that both nodes know, but a mount point without its mount, a new one in its
//! place or an old copy of it: it decides nothing. For the same reason `DIR` itself is never made here.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{check_predecessor, decode_record, generation_of, name};
use crate::base::{Generation, NodeId};
use crate::ft::{Arbiter, ArbiterError, Bid, Claim, Holder};
use crate::host::durable::sync_parent;

/// Ours have some two hundred bytes.
const RECORD_BYTES_MAX: u64 = 64 << 10;
/// Tells apart the probes of one process.
static PROBES: AtomicU64 = AtomicU64::new(0);

/// The arbiter in a directory.
#[derive(Clone, Debug)]
pub struct FileArbiter {
    dir: PathBuf,
}

impl FileArbiter {
    /// The directory must exist and take a file; the error names the remedy.
    pub fn open(dir: &Path) -> Result<Self, ArbiterError> {
        let arbiter = Self { dir: dir.to_owned() };
        let probe =
            dir.join(format!(".probe.{}.{}", std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed)));
        let tried =
            File::create(&probe).and_then(|file| file.sync_all()).and_then(|()| fs::remove_file(&probe));
        tried.map_err(|error| unreachable_at(dir, &error))?;
        Ok(arbiter)
    }

    fn vm_dir(&self, vm: &str) -> PathBuf {
        self.dir.join(vm)
    }

    /// Makes sure that this is the arbiter which gave out the generation before the bid's.
    fn know_predecessor(&self, vm: &str, dir: &Path, bid: &Bid) -> Result<(), ArbiterError> {
        if bid.generation > Generation(1) {
            let before = self.read(vm, dir, Generation(bid.generation.get() - 1))?;
            return check_predecessor(vm, bid, &before);
        }
        match fs::create_dir(dir).and_then(|()| sync_parent(dir)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unreachable_at(dir, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The record of a generation that has been claimed.
    fn read(&self, vm: &str, dir: &Path, generation: Generation) -> Result<Bid, ArbiterError> {
        let path = dir.join(name(generation));
        let mut bytes = Vec::new();
        // A record that is no longer than ours may be is a file of ours.
        let read = File::open(&path).and_then(|file| file.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir.is_dir() => {
                return Err(ArbiterError::Forgetful {
                    vm: vm.to_owned(),
                    what: format!(
                        "{} is not there; it is another directory, an older copy, or not mounted",
                        path.display()
                    ),
                });
            }
            Err(error) => return Err(unreachable_at(&path, &error)),
        }
        decode_record(vm, &path.display().to_string(), generation, &bytes)
    }
}

fn unreachable_at(path: &Path, error: &io::Error) -> ArbiterError {
    ArbiterError::Unreachable(format!("{}: {error}", path.display()))
}

/// Writes `bytes` at `temporary`, then links it to `path`; false if `path` exists.
fn link_new(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = match fs::hard_link(temporary, path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    fs::remove_file(temporary)?;
    sync_parent(path)?;
    Ok(linked)
}

impl Arbiter for FileArbiter {
    fn claim(&mut self, vm: &str, bid: &Bid) -> Result<Claim, ArbiterError> {
        let dir = self.vm_dir(vm);
        self.know_predecessor(vm, &dir, bid)?;
        let path = dir.join(name(bid.generation));
        let mut line = serde_json::to_vec(bid).expect("a claim serialises");
        line.push(b'\n');
        let temporary = dir.join(format!(".{}.new", bid.node));
        if link_new(&temporary, &path, &line).map_err(|error| unreachable_at(&path, &error))? {
            return Ok(Claim::Won);
        }
        let holder = self.read(vm, &dir, bid.generation)?;
        // Ours from an earlier try whose answer we never saw?
        if holder.node == bid.node {
            return Ok(Claim::Won);
        }
        Ok(Claim::Lost { to: holder.node, keeps: holder.keeps })
    }

    fn holder(&mut self, vm: &str) -> Result<Option<Holder>, ArbiterError> {
        let dir = self.vm_dir(vm);
        let listing = match fs::read_dir(&dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir.is_dir() => return Ok(None),
            Err(error) => return Err(unreachable_at(&dir, &error)),
        };
        let mut newest = None;
        for entry in listing {
            let entry = entry.map_err(|error| unreachable_at(&dir, &error))?;
            newest = newest.max(entry.file_name().to_str().and_then(generation_of));
        }
        let Some(generation) = newest else { return Ok(None) };
        let bid = self.read(vm, &dir, generation)?;
        let ended = dir.join(name(generation)).with_extension("ended").exists();
        Ok(Some(Holder { bid, ended }))
    }

    fn look(&mut self, vm: &str, generation: Generation) -> Result<NodeId, ArbiterError> {
        self.read(vm, &self.vm_dir(vm), generation).map(|bid| bid.node)
    }

    fn end(&mut self, vm: &str, generation: Generation, node: NodeId) -> Result<(), ArbiterError> {
        let dir = self.vm_dir(vm);
        let path = dir.join(name(generation)).with_extension("ended");
        let temporary = dir.join(format!(".{node}.new"));
        link_new(&temporary, &path, b"ended\n").map(|_| ()).map_err(|error| unreachable_at(&path, &error))
    }

    fn another(&self) -> Box<dyn Arbiter> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(generation: u64, node: u64) -> Bid {
        Bid {
            generation: Generation(generation),
            node: NodeId(node),
            keeps: Vec::new(),
            after: None,
            wherefrom: "here".into(),
        }
    }

    #[test]
    fn a_generation_is_claimed_once_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = FileArbiter::open(dir.path()).unwrap();
        let mut b = FileArbiter::open(dir.path()).unwrap();
        assert_eq!(a.holder("kv"), Ok(None));
        assert_eq!(a.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        assert_eq!(b.claim("kv", &bid(1, 2)), Ok(Claim::Lost { to: NodeId(1), keeps: Vec::new() }));
        assert_eq!(a.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        let planned = Bid { keeps: vec![NodeId(1)], ..bid(2, 2) };
        assert_eq!(b.claim("kv", &planned), Ok(Claim::Won));
        assert_eq!(a.claim("kv", &bid(2, 1)), Ok(Claim::Lost { to: NodeId(2), keeps: vec![NodeId(1)] }));
        assert_eq!(b.claim("other", &bid(1, 2)), Ok(Claim::Won));
        let holder = a.holder("kv").unwrap().unwrap();
        assert_eq!((holder.bid, holder.ended), (planned, false));
        b.end("kv", Generation(2), NodeId(2)).unwrap();
        assert!(a.holder("kv").unwrap().unwrap().ended);
    }

    #[test]
    fn of_many_claimants_at_once_exactly_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        for generation in 1..=20 {
            let won: usize = std::thread::scope(|scope| {
                let claims: Vec<_> = (0..8)
                    .map(|node| {
                        let dir = dir.path();
                        scope.spawn(move || {
                            let mut arbiter = FileArbiter::open(dir).unwrap();
                            arbiter.claim("kv", &bid(generation, node)).unwrap()
                        })
                    })
                    .collect();
                claims.into_iter().map(|c| (c.join().unwrap() == Claim::Won) as usize).sum()
            });
            assert_eq!(won, 1);
        }
    }

    #[test]
    fn an_unreachable_arbiter_decides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        assert!(matches!(FileArbiter::open(&gone), Err(ArbiterError::Unreachable(_))));
        let mut arbiter = FileArbiter { dir: dir.path().join("file") };
        fs::write(&arbiter.dir, b"").unwrap();
        let claim = arbiter.claim("kv", &bid(1, 1));
        assert!(matches!(claim, Err(ArbiterError::Unreachable(_))));
    }

    #[test]
    fn a_directory_without_the_generation_before_decides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("arbiter");
        fs::create_dir(&root).unwrap();
        let mut arbiter = FileArbiter::open(&root).unwrap();
        assert_eq!(arbiter.claim("kv", &bid(1, 1)), Ok(Claim::Won));
        fs::rename(&root, dir.path().join("away")).unwrap();
        let claim = |arbiter: &mut FileArbiter| arbiter.claim("kv", &bid(2, 2));
        assert!(matches!(claim(&mut arbiter), Err(ArbiterError::Unreachable(_))));
        assert!(!root.exists());
        fs::create_dir(&root).unwrap();
        assert!(matches!(claim(&mut arbiter), Err(ArbiterError::Forgetful { .. })));
        fs::remove_dir(&root).unwrap();
        fs::rename(dir.path().join("away"), &root).unwrap();
        assert_eq!(claim(&mut arbiter), Ok(Claim::Won));
    }

    #[test]
    fn a_damaged_record_is_not_an_absent_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut arbiter = FileArbiter::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("kv")).unwrap();
        fs::write(dir.path().join("kv").join(name(Generation(1))), b"").unwrap();
        assert!(matches!(arbiter.claim("kv", &bid(1, 1)), Err(ArbiterError::Damaged { .. })));
        assert!(matches!(arbiter.holder("kv"), Err(ArbiterError::Damaged { .. })));
    }
}
