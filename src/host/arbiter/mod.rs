//! The arbiters of the real world, and how people name them.
//!
//! [`mod@file`]: a directory. [`etcd`]: a cluster. Both keep one record for each generation, which is made
//! once and never changed; both decide nothing unless they hold the record of the generation before.
//! `tests/arbiter` puts the same questions to both.

use std::fmt;
use std::path::PathBuf;

use crate::base::Generation;
use crate::ft::{Arbiter, ArbiterError, Bid};

pub mod etcd;
pub mod file;

pub use etcd::{Etcd, EtcdArbiter};
pub use file::FileArbiter;

/// Where an arbiter is, as it is written after `--arbiter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory that all nodes of the vm see.
    Dir(PathBuf),
    /// A prefix in a cluster of etcd servers.
    Etcd(Etcd),
}

impl Place {
    /// `etcd:http://A,http://B/prefix`, `file:DIR` or just a directory.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("name a directory, or etcd:http://A,http://B,http://C/prefix".into());
        }
        match text.strip_prefix("etcd:") {
            Some(etcd) => Ok(Place::Etcd(Etcd::parse(etcd)?)),
            None => Ok(Place::Dir(PathBuf::from(text.strip_prefix("file:").unwrap_or(text)))),
        }
    }

    /// Makes sure that it answers.
    pub fn open(&self) -> Result<Box<dyn Arbiter>, ArbiterError> {
        Ok(match self {
            Place::Dir(dir) => Box::new(FileArbiter::open(dir)?),
            Place::Etcd(etcd) => Box::new(EtcdArbiter::open(etcd, etcd::dir_of_user())?),
        })
    }

    /// What the operator does about `error`.
    pub fn advice(&self, error: &ArbiterError) -> String {
        match (self, error) {
            (_, ArbiterError::Forgetful { .. }) => {
                "give both nodes the same --arbiter; if it was restored from an old backup, no node may use it \
                 before it knows the newest generation again (the guide's page on arbiters says how)"
                    .into()
            }
            (_, ArbiterError::Damaged { .. }) => {
                "restore the record from a backup, or give the vm another name: a record is never guessed".into()
            }
            (Place::Dir(_), _) => {
                "--arbiter names an existing directory, writable by and the same for both nodes".into()
            }
            (Place::Etcd(_), ArbiterError::Unreachable(_)) => {
                "--arbiter names etcd's client URLs; a majority of its nodes must run, and this host reach one".into()
            }
            (Place::Etcd(_), ArbiterError::Unusable(_)) => {
                "--arbiter names the client URLs (usually port 2379) of an etcd 3.4 or newer, without users".into()
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Dir(dir) => write!(f, "{}", dir.display()),
            Place::Etcd(etcd) => etcd.fmt(f),
        }
    }
}

/// What a generation's record is called.
fn name(generation: Generation) -> String {
    format!("g{:020}", generation.get())
}

/// The generation whose record is called `name`.
fn generation_of(name: &str) -> Option<Generation> {
    let digits = name.strip_prefix('g').filter(|digits| digits.len() == 20)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Generation)
}

/// A record is one claim as JSON, of the generation that it is called after.
fn decode_record(vm: &str, at: &str, generation: Generation, bytes: &[u8]) -> Result<Bid, ArbiterError> {
    let damaged = |what: String| ArbiterError::Damaged { vm: vm.to_owned(), what: format!("{at}: {what}") };
    let bid: Bid = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if bid.generation != generation {
        return Err(damaged(format!("it is of generation {}", bid.generation)));
    }
    Ok(bid)
}

/// Whether the record of the generation before `bid`'s is what its claimant knows.
fn check_predecessor(vm: &str, bid: &Bid, before: &Bid) -> Result<(), ArbiterError> {
    match bid.after {
        Some(after) if after != before.node => Err(ArbiterError::Forgetful {
            vm: vm.to_owned(),
            what: format!(
                "generation {} belongs to node {} there, not to {after}",
                before.generation, before.node
            ),
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        assert_eq!(Place::parse("some/dir"), Ok(Place::Dir("some/dir".into())));
        assert_eq!(Place::parse("file:etcd:x"), Ok(Place::Dir("etcd:x".into())));
        let etcd = Place::parse("etcd:http://10.0.0.1:2379,http://b,http://[::1]:99/lockstep/").unwrap();
        assert_eq!(etcd.to_string(), "etcd:http://10.0.0.1:2379,http://b:2379,http://[::1]:99/lockstep");
        assert_eq!(Place::parse(&etcd.to_string()), Ok(etcd));
    }

    #[test]
    fn a_place_that_cannot_be_meant_is_refused_with_what_to_write() {
        for (bad, says) in [
            ("", "directory"),
            ("etcd:", "http://"),
            ("etcd:10.0.0.1:2379/p", "http://"),
            ("etcd:https://a/p", "https"),
            ("etcd:http://a", "prefix"),
            ("etcd:http://a/", "prefix"),
            ("etcd:http://a/p,http://b/p", "last"),
            ("etcd:http://a,,http://b/p", "http://"),
            ("etcd:http:///p", "host"),
            ("etcd:http://a:0/p", "port"),
            ("etcd:http://a:99999/p", "port"),
            ("etcd:http://a:/p", "port"),
            ("etcd:http://::1/p", "["),
            ("etcd:http://user:pw@a/p", "user"),
            ("etcd:http://a/p q", "prefix"),
            ("etcd:http://a/p?q", "prefix"),
            ("etcd:http://a b/p", "host"),
        ] {
            let error = Place::parse(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
        let many = format!("etcd:{}http://z/p", "http://a,".repeat(99));
        assert!(Place::parse(&many).is_err());
    }
}
