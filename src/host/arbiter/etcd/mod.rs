//! The `etcd` arbiter: one key for each generation, made by a transaction, never changed or removed.
//!
//! ```text
//! PREFIX/VM/g00000000000000000001         who claimed generation 1: one JSON object
//! PREFIX/VM/g00000000000000000001.ended   the guest of generation 1 ended in an orderly way
//! ```
//!
//! A claim of generation N reads the keys of N and N-1, then asks for one transaction: *if* N-1 is
//! still the very record that was read and N does not exist, put N; *else* read both. etcd applies it
//! on a majority before it answers. Nothing here has a lease: a record outlives every process, and no node
//! becomes primary by the passing of time.
//!
//! An attempt whose outcome is unknown (the answer timed out, the connection broke) is never taken
//! for won or lost. The same claim is asked again, and reads first: a record that an earlier attempt
//! has made names this node, and is the answer. Since a record is made at most once and only of
//! that name, an attempt which is still under way can add nothing else, whenever it arrives.
//!
//! Every read is linearizable. An etcd that has gone back (restored from a backup) is noticed by what
//! this process knows, and this host has noted (`memory`): the cluster's id, the highest revision and
//! term seen, the newest generation, and who holds the one before. It then decides nothing.
//! *Absent:* TLS, users, leases, watches.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::{check_predecessor, decode_record, generation_of, name};
use crate::base::{Generation, NodeId};
use crate::ft::{Arbiter, ArbiterError, Bid, Claim, Holder};
use crate::host::say::say;

mod client;
mod memory;
mod wire;

pub use memory::dir_of_user;

use client::Client;
use memory::Note;
use wire::{KeyValue, RangeAnswer, TxnAnswer, base64, range};

/// More nodes than any etcd has.
const ENDPOINTS_MAX: usize = 16;
const PREFIX_BYTES_MAX: usize = 256;
const PORT: u16 = 2379;

/// Which etcd, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// `http://HOST:PORT`.
    endpoints: Vec<String>,
    /// With a slash before it and none after it.
    prefix: String,
}

impl Etcd {
    /// `http://A,http://B:PORT,http://C/prefix`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "write for example etcd:http://10.0.0.1:2379,http://10.0.0.2:2379/lockstep";
        let mut endpoints = Vec::new();
        let mut prefix = None;
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > ENDPOINTS_MAX {
            return Err(format!("{} etcd nodes are named; {ENDPOINTS_MAX} are the most", parts.len()));
        }
        for (n, part) in parts.iter().enumerate() {
            if part.starts_with("https://") {
                return Err("etcd is spoken to by http only; for https, run a tunnel on this host".into());
            }
            let rest = part
                .strip_prefix("http://")
                .ok_or_else(|| format!("each etcd node begins with http://, {part:?} does not; {EXAMPLE}"))?;
            let (authority, path) = match rest.find('/') {
                Some(at) => (&rest[..at], Some(&rest[at..])),
                None => (rest, None),
            };
            if path.is_some() && n + 1 < parts.len() {
                return Err(format!("one prefix, after the last etcd node; {EXAMPLE}"));
            }
            endpoints.push(endpoint(authority)?);
            prefix = path;
        }
        let prefix = prefix.unwrap_or_default().trim_end_matches('/');
        if prefix.is_empty() {
            return Err(format!("a prefix comes after the last etcd node; {EXAMPLE}"));
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(fine) {
            return Err(format!(
                "the prefix {prefix:?} is not up to {PREFIX_BYTES_MAX} letters, digits, '/', '-', '_' or '.'"
            ));
        }
        Ok(Self { endpoints, prefix: prefix.to_owned() })
    }
}

/// `HOST`, `HOST:PORT` or `[V6]:PORT` as a URL with a port.
fn endpoint(authority: &str) -> Result<String, String> {
    if authority.contains('@') {
        return Err("an etcd with users is not spoken to: open the prefix to all users there".into());
    }
    let (host, port) = match (authority.starts_with('['), authority.rfind(':')) {
        (true, _) if authority.ends_with(']') => (authority, None),
        (_, Some(at)) => (&authority[..at], Some(&authority[at + 1..])),
        (_, None) => (authority, None),
    };
    let port = match port {
        None => PORT,
        Some(digits) => match digits.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(format!("{digits:?} is no port of an etcd node")),
        },
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match v6 {
        Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => {}
        Some(v6) => return Err(format!("{v6:?} is no IPv6 address of a host")),
        None if host.contains(':') => return Err(format!("write an IPv6 address in brackets: [{host}]")),
        None if host.is_empty() || host.len() > 253 || !host.chars().all(fine) => {
            return Err(format!("{host:?} is no host's name or address"));
        }
        None => {}
    }
    Ok(format!("http://{host}:{port}"))
}

impl fmt::Display for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd:{}{}", self.endpoints.join(","), self.prefix)
    }
}

/// How far the cluster was when a question was asked: no answer may be of an earlier time.
#[derive(Clone, Copy, Debug)]
struct Floor {
    revision: u64,
    term: u64,
}

/// What this process knows of the cluster: enough to notice one that has gone back.
#[derive(Debug, Default)]
struct Known {
    cluster: Option<u64>,
    revision: u64,
    /// Of its elections the newest. One that was restored begins to count anew, whatever its revision is.
    term: u64,
    /// The holder of the newest generation of the vm that this process belongs to.
    newest: Option<(Generation, NodeId)>,
    /// The vm whose note has been read, and the note as it stands on the disk.
    read: Option<(String, Option<Note>)>,
    /// Once seen at a lower revision it may climb past the one we know: it is not trusted again.
    went_back: Option<String>,
}

/// The arbiter in an etcd, for one vm.
#[derive(Clone, Debug)]
pub struct EtcdArbiter {
    etcd: Arc<Etcd>,
    client: Client,
    known: Arc<Mutex<Known>>,
    memory: Option<Arc<Path>>,
}

impl EtcdArbiter {
    /// The etcd must answer; the error lists what each of its nodes did. What is seen of it is noted in
    /// `memory`.
    pub fn open(etcd: &Etcd, memory: Option<PathBuf>) -> Result<Self, ArbiterError> {
        let arbiter = Self {
            etcd: Arc::new(etcd.clone()),
            client: Client::new(etcd.endpoints.clone()),
            known: Arc::default(),
            memory: memory.map(Into::into),
        };
        let probe = json!({ "key": base64(&etcd.prefix), "keys_only": true });
        arbiter.client.post::<RangeAnswer>("/v3/kv/range", &probe)?;
        Ok(arbiter)
    }

    fn key(&self, vm: &str, generation: Generation) -> String {
        format!("{}/{vm}/{}", self.etcd.prefix, name(generation))
    }

    fn range(&self, vm: &str, request: &serde_json::Value) -> Result<RangeAnswer, ArbiterError> {
        let floor = self.floor(vm)?;
        let answer: RangeAnswer = self.client.post("/v3/kv/range", request)?;
        self.trust(vm, floor, &answer.header)?;
        Ok(answer)
    }

    fn txn(&self, vm: &str, request: &serde_json::Value) -> Result<TxnAnswer, ArbiterError> {
        let floor = self.floor(vm)?;
        let answer: TxnAnswer = self.client.post("/v3/kv/txn", request)?;
        self.trust(vm, floor, &answer.header)?;
        Ok(answer)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing that holds this can panic halfway; if it did, what is known is still known.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_path(&self, vm: &str) -> Option<PathBuf> {
        self.memory.as_deref().map(|dir| memory::path(dir, &self.etcd.to_string(), vm))
    }

    /// No answer to a question that is asked from now on may be of an earlier time than this.
    fn floor(&self, vm: &str) -> Result<Floor, ArbiterError> {
        let mut known = self.known();
        if known.read.as_ref().is_none_or(|(read, _)| read != vm) {
            let note = match self.note_path(vm) {
                None => None,
                Some(path) => memory::read(&path).map_err(|error| ArbiterError::Damaged {
                    vm: vm.to_owned(),
                    what: format!(
                        "this host's note of it, {}: {error}; without the note etcd is believed",
                        path.display()
                    ),
                })?,
            };
            if let Some(note) = &note {
                known.cluster = known.cluster.or(Some(note.cluster));
                known.revision = known.revision.max(note.revision);
                known.term = known.term.max(note.term);
            }
            known.newest = note.as_ref().map(|note| (note.generation, note.node));
            known.read = Some((vm.to_owned(), note));
        }
        Ok(Floor { revision: known.revision, term: known.term })
    }

    /// `generation` is held: from here on an etcd that denies it has gone back.
    fn learn(&self, vm: &str, generation: Generation, node: NodeId) -> Result<(), ArbiterError> {
        let mut known = self.known();
        match known.newest {
            Some((newest, holder)) if newest == generation && holder != node => {
                Err(ArbiterError::Forgetful {
                    vm: vm.to_owned(),
                    what: format!(
                        "it says that generation {generation} belongs to node {node}, and has said {holder}{}",
                        self.on_purpose(vm)
                    ),
                })
            }
            Some((newest, _)) if newest >= generation => Ok(()),
            Some(_) | None => {
                known.newest = Some((generation, node));
                Ok(())
            }
        }
    }

    /// The holder of the newest generation that was known before a request is sent: another thread may learn
    /// of a newer one meanwhile.
    fn newest_known(&self, vm: &str) -> Result<Option<(Generation, NodeId)>, ArbiterError> {
        self.floor(vm)?;
        Ok(self.known().newest)
    }

    /// Whether `newest` can be the newest generation that the etcd knows.
    fn check_newest(
        &self,
        vm: &str,
        known: Option<(Generation, NodeId)>,
        newest: Generation,
    ) -> Result<(), ArbiterError> {
        match known {
            Some((known, node)) if known > newest => Err(ArbiterError::Forgetful {
                vm: vm.to_owned(),
                what: format!(
                    "its newest generation is {newest}, and it has given generation {known} to node {node}: it was restored \
                     from an older backup{}",
                    self.on_purpose(vm)
                ),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// What undoes a note, for an operator who has rebuilt the etcd on purpose.
    fn on_purpose(&self, vm: &str) -> String {
        match self.note_path(vm).filter(|path| path.exists()) {
            None => String::new(),
            Some(path) => {
                format!(" (noted in {}; remove that if it was made anew on purpose)", path.display())
            }
        }
    }

    /// Brings the note on this host's disk up to date.
    fn note(&self, vm: &str) {
        let Some(path) = self.note_path(vm) else { return };
        let mut known = self.known();
        let (Some(cluster), Some((generation, node))) = (known.cluster, known.newest) else { return };
        let note = Note {
            etcd: self.etcd.to_string(),
            vm: vm.to_owned(),
            cluster,
            revision: known.revision,
            term: known.term,
            generation,
            node,
        };
        // The revision alone moves with every client's writes.
        let same = |old: &Note| {
            (old.cluster, old.term, old.generation, old.node) == (cluster, note.term, generation, node)
        };
        if known.read.as_ref().is_some_and(|(_, written)| written.as_ref().is_some_and(same)) {
            return;
        }
        // Tried once: a host that cannot keep a note is warned, and served.
        known.read = Some((vm.to_owned(), Some(note.clone())));
        drop(known);
        if let Err(error) = memory::write(&path, &note) {
            say!("lockstep: what etcd has decided cannot be noted in {}: {error}", path.display());
        }
    }

    /// Whether the answer comes from the etcd that we know, in a state no older than we know.
    fn trust(&self, vm: &str, floor: Floor, header: &wire::Header) -> Result<(), ArbiterError> {
        let forgetful = |what: String| Err(ArbiterError::Forgetful { vm: vm.to_owned(), what });
        let mut known = self.known();
        let cluster = *known.cluster.get_or_insert(header.cluster_id);
        if cluster != header.cluster_id {
            return forgetful(format!(
                "another etcd cluster answers ({:x}) than has decided before ({cluster:x}); it was made anew or restored \
                 from a backup{}",
                header.cluster_id,
                self.on_purpose(vm)
            ));
        }
        if header.revision < floor.revision && known.went_back.is_none() {
            let what = format!(
                "etcd is at revision {}, and was at {} before: it was restored from an older backup{}",
                header.revision,
                floor.revision,
                self.on_purpose(vm)
            );
            known.went_back = Some(what);
        }
        if let Some(what) = &known.went_back {
            return forgetful(what.clone());
        }
        // Not for ever: a member that has just been sent all of the others' state has the term right only
        // after the next write.
        if (1..floor.term).contains(&header.raft_term) {
            return forgetful(format!(
                "etcd is in term {}, and was in {} before: it was restored from a backup{}",
                header.raft_term,
                floor.term,
                self.on_purpose(vm)
            ));
        }
        known.revision = known.revision.max(header.revision);
        known.term = known.term.max(header.raft_term);
        Ok(())
    }

    fn record(&self, vm: &str, generation: Generation, kv: &KeyValue) -> Result<Bid, ArbiterError> {
        decode_record(vm, &self.key(vm, generation), generation, &kv.value)
    }

    /// The etcd lacks a record that must be there.
    fn lacks(&self, vm: &str, generation: Generation) -> ArbiterError {
        let newest = match self.newest(vm) {
            Ok(Some((newest, ..))) => format!("its newest is {newest}"),
            Ok(None) => format!("it knows no generation of this vm under {}", self.etcd.prefix),
            Err(error) => return error,
        };
        let what = format!(
            "it has no record of generation {generation}, {newest}; it was restored from an older backup, or the prefix \
             is another than the other node's"
        );
        ArbiterError::Forgetful { vm: vm.to_owned(), what }
    }

    /// The newest generation with its record, and whether it has ended.
    fn newest(&self, vm: &str) -> Result<Option<(Generation, KeyValue, bool)>, ArbiterError> {
        let dir = format!("{}/{vm}/", self.etcd.prefix);
        // At most its record and the note of its end.
        let request = json!({
            "key": base64(format!("{dir}g")), "range_end": base64(format!("{dir}h")),
            "sort_target": "KEY", "sort_order": "DESCEND", "limit": "2",
        });
        let mut ended = None;
        for kv in self.range(vm, &request)?.kvs {
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            let called = key.strip_prefix(&dir).unwrap_or_default();
            if let Some(generation) = called.strip_suffix(".ended").and_then(generation_of) {
                ended = ended.max(Some(generation));
            } else if let Some(generation) = generation_of(called) {
                let ended = ended == Some(generation);
                return Ok(Some((generation, kv, ended)));
            }
        }
        match ended {
            None => Ok(None),
            Some(generation) => Err(ArbiterError::Damaged {
                vm: vm.to_owned(),
                what: format!("generation {generation} has ended, and was never claimed"),
            }),
        }
    }
}

/// The first key-value pair that the `n`-th question of a transaction has found.
fn found(answer: &TxnAnswer, n: usize) -> Option<&KeyValue> {
    answer.responses.get(n)?.response_range.as_ref()?.kvs.first()
}

impl Arbiter for EtcdArbiter {
    fn claim(&mut self, vm: &str, bid: &Bid) -> Result<Claim, ArbiterError> {
        let generation = bid.generation;
        let before = Generation(generation.get().saturating_sub(1));
        let (key, key_before) = (self.key(vm, generation), self.key(vm, before));
        let reads = json!([range(&key_before), range(&key)]);
        let decided = |answer: &TxnAnswer| -> Result<Option<Claim>, ArbiterError> {
            let Some(kv) = found(answer, 1) else { return Ok(None) };
            let holder = self.record(vm, generation, kv)?;
            self.learn(vm, generation, holder.node)?;
            // Ours from an earlier attempt whose answer we never saw?
            if holder.node == bid.node {
                return Ok(Some(Claim::Won));
            }
            Ok(Some(Claim::Lost { to: holder.node, keeps: holder.keeps }))
        };

        let known = self.newest_known(vm)?;
        let seen = self.txn(vm, &json!({ "success": reads }))?;
        let mut compare = vec![json!({
            "key": base64(&key), "target": "CREATE", "result": "EQUAL", "create_revision": "0",
        })];
        if generation > Generation(1) {
            let kv = found(&seen, 0).ok_or_else(|| self.lacks(vm, before))?;
            check_predecessor(vm, bid, &self.record(vm, before, kv)?)?;
            compare.push(json!({
                "key": base64(&key_before), "target": "MOD", "result": "EQUAL",
                "mod_revision": kv.mod_revision.to_string(),
            }));
        }
        if let Some(claim) = decided(&seen)? {
            return Ok(claim);
        }
        // It is not held: then no newer one is.
        self.check_newest(vm, known, before)?;

        let value = serde_json::to_vec(bid).expect("a claim serialises");
        let put = json!({ "request_put": { "key": base64(&key), "value": base64(value) } });
        let answer = self.txn(vm, &json!({ "compare": compare, "success": [put], "failure": reads }))?;
        if answer.succeeded {
            self.learn(vm, generation, bid.node)?;
            return Ok(Claim::Won);
        }
        match decided(&answer)? {
            Some(claim) => Ok(claim),
            // Neither claimed nor free: the record before it has changed under our eyes.
            None => Err(self.lacks(vm, before)),
        }
    }

    fn holder(&mut self, vm: &str) -> Result<Option<Holder>, ArbiterError> {
        let known = self.newest_known(vm)?;
        let Some((generation, kv, ended)) = self.newest(vm)? else {
            self.check_newest(vm, known, Generation::ZERO)?;
            return Ok(None);
        };
        let bid = self.record(vm, generation, &kv)?;
        self.check_newest(vm, known, generation)?;
        self.learn(vm, generation, bid.node)?;
        self.note(vm);
        Ok(Some(Holder { bid, ended }))
    }

    fn look(&mut self, vm: &str, generation: Generation) -> Result<NodeId, ArbiterError> {
        let answer = self.range(vm, &json!({ "key": base64(self.key(vm, generation)) }))?;
        let kv = answer.kvs.first().ok_or_else(|| self.lacks(vm, generation))?;
        let node = self.record(vm, generation, kv)?.node;
        // What differs from what is known is for the primary to judge.
        if self.learn(vm, generation, node).is_ok() {
            self.note(vm);
        }
        Ok(node)
    }

    fn end(&mut self, vm: &str, generation: Generation, _node: NodeId) -> Result<(), ArbiterError> {
        let key = self.key(vm, generation);
        let note = base64(format!("{key}.ended"));
        let answer = self.txn(
            vm,
            &json!({
                "compare": [
                    { "key": base64(&key), "target": "CREATE", "result": "GREATER", "create_revision": "0" },
                    { "key": note, "target": "CREATE", "result": "EQUAL", "create_revision": "0" },
                ],
                "success": [{ "request_put": { "key": note, "value": base64("ended") } }],
                "failure": [range(&key)],
            }),
        )?;
        // It may be noted already, by an attempt whose answer was lost.
        if answer.succeeded || found(&answer, 0).is_some() {
            return Ok(());
        }
        Err(self.lacks(vm, generation))
    }

    fn another(&self) -> Box<dyn Arbiter> {
        Box::new(self.clone())
    }
}
