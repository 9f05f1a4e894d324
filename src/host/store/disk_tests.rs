//! A simulated disk: keeps apart what is synced and what is not, and loses, tears and reorders the latter
//! when its power fails. It can also fail, write short, be full, lie, and hang.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::files::{Files, StoreFile};
use crate::base::Prng;

/// Bytes that a power loss leaves all old or all new.
const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Debug)]
enum Naming {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    names_unsynced: Vec<Naming>,
    /// Counts the operations that change something.
    operations: u64,
    fails_at: Option<u64>,
    is_off: bool,
    /// Handles of an earlier one are dead.
    epoch: u64,
    fails: Option<(Operation, ErrorKind)>,
    lies: bool,
    hangs: bool,
    writes_short: Option<Prng>,
    syncs: u64,
}

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Write,
    Sync,
    Space,
    Cut,
    Rename,
    Remove,
}

/// A part of an unsynced write, at a power loss.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The write's number among the unsynced ones of its file.
    pub write: usize,
    /// Where the piece is, in the file.
    pub offset: u64,
}

impl State {
    fn operation(&mut self, operation: Option<Operation>) -> io::Result<()> {
        self.operations += 1;
        if self.fails_at.is_some_and(|at| self.operations >= at) {
            self.is_off = true;
        }
        self.check()?;
        match self.fails {
            Some((fails, kind)) if Some(fails) == operation => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn begin_again(&mut self) {
        (self.is_off, self.fails_at, self.fails) = (false, None, None);
        self.epoch += 1;
    }

    fn check(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the end")) } else { Ok(()) }
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let end = *offset as usize + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset as usize..end].copy_from_slice(bytes);
        }
        Change::Len(len) => content.resize(*len as usize, 0),
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Made(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Naming::Renamed(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Naming::Removed(name) => {
            names.remove(name);
        }
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    /// From now on, the `n`-th operation that changes something is not done, and none after it.
    pub fn end_at(&self, n: u64) {
        let mut state = self.state();
        state.fails_at = Some(state.operations + n);
    }

    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Every such operation fails.
    pub fn fail(&self, operation: Operation, kind: ErrorKind) {
        self.state().fails = Some((operation, kind));
    }

    /// No operation fails any more.
    pub fn succeed(&self) {
        self.state().fails = None;
    }

    /// Syncs do nothing.
    pub fn lie(&self) {
        self.state().lies = true;
    }

    pub fn write_short(&self, seed: u64) {
        self.state().writes_short = Some(Prng::new(seed));
    }

    /// Syncs do not come back until this is called with false.
    pub fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.1.notify_all();
    }

    /// Power fails, if it has not, and comes back: what was not synced is there in part.
    pub fn lose_power(&self, prng: &mut Prng) {
        // Nothing, everything, or something of what was not synced.
        let permille = [0, 1000, 500, 900, 100][prng.below(5) as usize];
        let names_permille = [0, 1000, 500][prng.below(3) as usize];
        let mut more = prng.split();
        self.lose(SECTOR_BYTES, |_| prng.chance(permille, 1000), || more.chance(names_permille, 1000));
    }

    /// Power fails and comes back; of unsynced writes those pieces of `sector` bytes are there that `keep`
    /// picks, and of unsynced names those that `keep_name` picks.
    pub fn lose(
        &self,
        sector: u64,
        mut keep: impl FnMut(Piece) -> bool,
        mut keep_name: impl FnMut() -> bool,
    ) {
        let mut state = self.state();
        let state = &mut *state;
        for inode in &mut state.inodes {
            for (write, change) in std::mem::take(&mut inode.unsynced).iter().enumerate() {
                let Change::Write(offset, bytes) = change else {
                    if keep(Piece { write, offset: 0 }) {
                        apply(&mut inode.durable, change);
                    }
                    continue;
                };
                let (mut at, end) = (*offset, offset + bytes.len() as u64);
                while at < end {
                    let next = ((at / sector + 1) * sector).min(end);
                    if keep(Piece { write, offset: at }) {
                        let piece = &bytes[(at - offset) as usize..(next - offset) as usize];
                        apply(&mut inode.durable, &Change::Write(at, piece.to_vec()));
                    }
                    at = next;
                }
            }
            inode.current = inode.durable.clone();
        }
        for naming in std::mem::take(&mut state.names_unsynced) {
            if keep_name() {
                rename(&mut state.names_durable, &naming);
            }
        }
        state.names = state.names_durable.clone();
        state.begin_again();
    }

    /// The process was killed and is started again: the operating system still has all that was written.
    pub fn restart(&self) {
        self.state().begin_again();
    }

    /// The bytes of a file as they are, and as they are known to be on the disk.
    pub fn content(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let state = self.state();
        let inode = &state.inodes[state.names[name]];
        (inode.current.clone(), inode.durable.clone())
    }

    /// Puts other bytes in a file, made if it is not there, past everything.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let inode = match state.names.get(name) {
            Some(inode) => *inode,
            None => {
                state.inodes.push(Inode::default());
                state.inodes.len() - 1
            }
        };
        state.names.insert(name.to_owned(), inode);
        state.names_durable.insert(name.to_owned(), inode);
        state.inodes[inode] = Inode { current: bytes.clone(), durable: bytes, unsynced: Vec::new() };
    }

    /// Another disk with the same files, all of them synced.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        for name in self.names() {
            copy.put(&name, self.content(&name).0);
        }
        copy
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

impl Files for Disk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("disk").join(name)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        state.check()?;
        Ok(state
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), state.inodes[*inode].current.len() as u64))
            .collect())
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StoreFile>> {
        let state = self.state();
        state.check()?;
        let (inode, epoch) = (state.inode(name)?, state.epoch);
        Ok(Box::new(DiskFile { disk: self.clone(), inode, epoch, write }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoreFile>> {
        let mut state = self.state();
        state.operation(None)?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.inodes.push(Inode::default());
        let (inode, epoch) = (state.inodes.len() - 1, state.epoch);
        state.names.insert(name.to_owned(), inode);
        state.names_unsynced.push(Naming::Made(name.to_owned(), inode));
        Ok(Box::new(DiskFile { disk: self.clone(), inode, epoch, write: true }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Some(Operation::Rename))?;
        state.inode(from)?;
        let naming = Naming::Renamed(from.to_owned(), to.to_owned());
        rename(&mut state.names, &naming);
        state.names_unsynced.push(naming);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Some(Operation::Remove))?;
        state.inode(name)?;
        let naming = Naming::Removed(name.to_owned());
        rename(&mut state.names, &naming);
        state.names_unsynced.push(naming);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Some(Operation::Sync))?;
        if !state.lies {
            state.names_durable = state.names.clone();
            state.names_unsynced.clear();
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.state().operations * 1_000_000_000
    }
}

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    inode: usize,
    epoch: u64,
    write: bool,
}

impl DiskFile {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.check()?;
        if state.epoch == self.epoch {
            Ok(state)
        } else {
            Err(io::Error::other("opened by an earlier process"))
        }
    }

    fn change(&self, operation: Operation, change: Change) -> io::Result<()> {
        assert!(self.write, "a write to a file that is open for reading");
        let mut state = self.alive()?;
        state.operation(Some(operation))?;
        let inode = &mut state.inodes[self.inode];
        apply(&mut inode.current, &change);
        inode.unsynced.push(change);
        Ok(())
    }
}

fn read(content: &[u8], buf: &mut [u8], offset: u64) -> usize {
    let rest = content.get(offset as usize..).unwrap_or_default();
    let len = rest.len().min(buf.len());
    buf[..len].copy_from_slice(&rest[..len]);
    len
}

impl StoreFile for DiskFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.alive()?.inodes[self.inode].current.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(read(&self.alive()?.inodes[self.inode].current, buf, offset))
    }

    fn read_back_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.alive()?;
        let inode = &state.inodes[self.inode];
        Ok(read(if state.lies { &inode.durable } else { &inode.current }, buf, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let len = match &mut self.disk.state().writes_short {
            Some(prng) => prng.between(1, bytes.len() as u64) as usize,
            None => bytes.len(),
        };
        self.change(Operation::Write, Change::Write(offset, bytes[..len].to_vec()))?;
        Ok(len)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let has = self.bytes()?;
        self.change(Operation::Space, Change::Len(has.max(bytes)))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(Operation::Cut, Change::Len(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        while state.hangs {
            state = self.disk.0.1.wait(state).unwrap();
        }
        state.syncs += 1;
        let done = state.operation(Some(Operation::Sync));
        if state.lies || state.is_off {
            return done;
        }
        let inode = &mut state.inodes[self.inode];
        let unsynced = std::mem::take(&mut inode.unsynced);
        // Linux calls pages clean that it could not write: a later sync succeeds without them.
        if done.is_ok() {
            unsynced.iter().for_each(|change| apply(&mut inode.durable, change));
        }
        done
    }
}
