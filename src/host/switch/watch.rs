//! Word of claims, for a switch that is not the only one.
//!
//! Where primary and backup have a switch each, a takeover happens at the other switch, and this one would
//! still pass the old primary's frames. So a thread asks the arbiter every [`LOOK_EVERY`] for the newest
//! generation of each VM that is known here, and reports what is new.
//!
//! An arbiter that does not answer changes nothing: the primary here stays the primary. A primary that has
//! lost finds that out by itself (no backup acknowledges its outputs); this is a second safeguard.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};

use crate::base::Generation;
use crate::ft::{Arbiter, ArbiterError};
use crate::host::say::say;

/// Between two looks: the longest that a primary which has lost can still send what it had left to send.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// News that wait for the switch; it takes them at once.
const NEWS_MAX: usize = 256;

type Names = Mutex<Vec<String>>;

/// The switch's end. Dropping it ends the thread.
pub struct Watch {
    names: Arc<Names>,
    news: Receiver<(String, Generation)>,
    wake: Arc<OwnedFd>,
}

impl Watch {
    pub fn start(arbiter: Box<dyn Arbiter>) -> io::Result<Self> {
        let (tell, news) = bounded(NEWS_MAX);
        let names = Arc::new(Names::default());
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (asked, bell) = (Arc::downgrade(&names), Arc::clone(&wake));
        std::thread::Builder::new().name("claims".into()).spawn(move || {
            look(arbiter, &asked, &tell, &bell, |error| say!("switch: claims are not seen: {error}"))
        })?;
        Ok(Self { names, news, wake })
    }

    /// Which VMs to ask for.
    pub fn ask_for<'a>(&self, names: impl Iterator<Item = &'a str>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names.map(str::to_owned).collect();
    }

    /// Readable when there is news.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// What is new: a VM's name, and the newest generation that was claimed.
    pub fn take(&self) -> Vec<(String, Generation)> {
        let mut count = [0; 8];
        // Nothing to read is as good.
        rustix::io::read(&self.wake, &mut count).ok();
        self.news.try_iter().collect()
    }
}

fn look(
    mut arbiter: Box<dyn Arbiter>,
    names: &Weak<Names>,
    tell: &Sender<(String, Generation)>,
    bell: &OwnedFd,
    complain: impl Fn(&ArbiterError),
) {
    let mut told: BTreeMap<String, Generation> = BTreeMap::new();
    // VMs whose trouble was reported, until they are well again.
    let mut troubled: BTreeSet<String> = BTreeSet::new();
    while let Some(names) = names.upgrade() {
        let asked = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(names);
        told.retain(|name, _| asked.contains(name));
        troubled.retain(|name| asked.contains(name));
        for name in asked {
            match arbiter.holder(&name) {
                Ok(None) => {
                    troubled.remove(&name);
                }
                Ok(Some(holder)) => {
                    troubled.remove(&name);
                    let generation = holder.bid.generation;
                    if told.insert(name.clone(), generation).is_none_or(|before| generation > before) {
                        // A full queue is emptied soon; what has not been reported is reported at the next look.
                        if tell.try_send((name.clone(), generation)).is_err() {
                            told.remove(&name);
                        }
                        // It can only fail when it is about to wake anyway: the counter is at its maximum.
                        rustix::io::write(bell, &1u64.to_ne_bytes()).ok();
                    }
                }
                Err(error) => {
                    if troubled.insert(name) {
                        complain(&error);
                    }
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::ft::Bid;
    use crate::host::arbiter::FileArbiter;

    fn await_news(watch: &Watch) -> Vec<(String, Generation)> {
        for _ in 0..1000 {
            let news = watch.take();
            if !news.is_empty() {
                return news;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no news");
    }

    #[test]
    fn claims_are_heard_of_once_each_and_an_arbiter_that_is_away_is_borne() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("arbiter");
        std::fs::create_dir(&root).unwrap();
        let mut arbiter = FileArbiter::open(&root).unwrap();
        let mut claim = |generation| {
            let (generation, node) = (Generation(generation), NodeId(1));
            let after = (generation > Generation(1)).then_some(node);
            let bid = Bid { generation, node, keeps: Vec::new(), after, wherefrom: String::new() };
            arbiter.claim("kv", &bid).unwrap();
        };
        let watch = Watch::start(Box::new(FileArbiter::open(&root).unwrap())).unwrap();
        watch.ask_for(["kv", "other"].into_iter());
        claim(1);
        assert_eq!(await_news(&watch), [("kv".to_owned(), Generation(1))]);
        std::fs::rename(&root, dir.path().join("away")).unwrap();
        std::thread::sleep(3 * LOOK_EVERY);
        std::fs::rename(dir.path().join("away"), &root).unwrap();
        claim(2);
        assert_eq!(await_news(&watch), [("kv".to_owned(), Generation(2))]);
        std::thread::sleep(3 * LOOK_EVERY);
        assert_eq!(watch.take(), []);
    }

    #[test]
    fn a_trouble_with_one_vm_is_told_once_also_where_others_are_well() {
        let dir = tempfile::tempdir().unwrap();
        let mut arbiter = FileArbiter::open(dir.path()).unwrap();
        let (generation, node) = (Generation(1), NodeId(1));
        let bid = Bid { generation, node, keeps: Vec::new(), after: None, wherefrom: String::new() };
        arbiter.claim("well", &bid).unwrap();
        std::fs::create_dir(dir.path().join("bad")).unwrap();
        std::fs::write(dir.path().join("bad/g00000000000000000001"), "damaged").unwrap();
        let names = Arc::new(Names::new(vec!["bad".into(), "well".into()]));
        let (tell, news) = bounded(NEWS_MAX);
        let (complain, complaints) = bounded(NEWS_MAX);
        let (asked, bell) = (Arc::downgrade(&names), eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let thread = std::thread::spawn(move || {
            look(Box::new(arbiter), &asked, &tell, &bell, |error| complain.send(error.clone()).unwrap());
        });
        assert_eq!(news.recv().unwrap(), ("well".to_owned(), generation));
        std::thread::sleep(4 * LOOK_EVERY);
        drop(names);
        thread.join().unwrap();
        assert_eq!(complaints.try_iter().count(), 1);
    }
}
