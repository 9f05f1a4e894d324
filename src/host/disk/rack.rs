//! All disks of one node: a worker for each, and what the node is to them.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::identity::{Role, State};
use super::open::OpenDisk;
use super::place::DiskPlace;
use super::worker::{Answer, Job, Joiner, work};
use crate::base::{Generation, NodeId};
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskRequest, DiskStatus};
use crate::ft::DiskStanding;
use crate::ft::disk::{DiskJob, DiskWorked};

/// Disks that are open, and names of those that a joiner may have to open.
#[derive(Default)]
pub struct Disks {
    /// A primary's, from disk 0 on.
    pub open: Vec<OpenDisk>,
    /// A joiner's, from disk 0 on.
    pub places: Vec<DiskPlace>,
}

struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// The disks of a living node.
pub struct Rack {
    workers: Vec<Option<Worker>>,
    places: Vec<DiskPlace>,
    vm: String,
    node: NodeId,
    answer: Arc<dyn Fn(Answer) -> bool + Send + Sync>,
    standing: Option<DiskStanding>,
}

impl Rack {
    /// Starts a worker for each open disk; `answer` is called on their threads, and returns false when the
    /// receiver is gone.
    pub fn new(
        disks: Disks,
        vm: &str,
        node: NodeId,
        answer: impl Fn(Answer) -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let mut rack = Self {
            workers: Vec::new(),
            places: disks.places,
            vm: vm.to_owned(),
            node,
            answer: Arc::new(answer),
            standing: None,
        };
        for disk in disks.open {
            let worker = rack.spawn(disk.number, Some(disk))?;
            rack.workers.push(Some(worker));
        }
        Ok(rack)
    }

    /// A rack for what this node joins next: with the same places, and no disk open.
    pub fn empty_again(&self, answer: impl Fn(Answer) -> bool + Send + Sync + 'static) -> Self {
        let mut places = self.places.clone();
        if !self.workers.is_empty() {
            // What `--disk-reset` gives up was given up once: the disks are known as this vm's by now.
            places.iter_mut().for_each(|place| place.reset = false);
        }
        Self {
            workers: Vec::new(),
            places,
            vm: self.vm.clone(),
            node: self.node,
            answer: Arc::new(answer),
            standing: None,
        }
    }

    /// The node goes by this identity when it opens disks from here on.
    pub fn node_is(&mut self, node: NodeId) {
        self.node = node;
    }

    fn spawn(&self, number: u8, disk: Option<OpenDisk>) -> std::io::Result<Worker> {
        // Bounded by the node: so many requests, jobs and bytes at a time.
        let (jobs, todo) = channel();
        let place = self.places.get(usize::from(number)).cloned();
        let joiner = Joiner { place, vm: self.vm.clone(), node: self.node };
        let answer = self.answer.clone();
        let thread = std::thread::Builder::new()
            .name(format!("disk {number}"))
            .spawn(move || work(number, disk, &joiner, &todo, |what| answer(what)))?;
        Ok(Worker { jobs, thread })
    }

    /// The worker of a disk, started at its first use.
    fn worker(&mut self, number: u8) -> std::io::Result<&Worker> {
        let at = usize::from(number);
        if at >= DISKS_MAX {
            return Err(std::io::Error::other("no machine has so many disks"));
        }
        if self.workers.len() <= at {
            self.workers.resize_with(at + 1, || None);
        }
        let worker = match self.workers[at].take() {
            Some(worker) => worker,
            None => self.spawn(number, None)?,
        };
        Ok(self.workers[at].insert(worker))
    }

    fn give(&mut self, number: u8, job: Job) -> Result<(), String> {
        let worker = self.worker(number).map_err(|error| error.to_string())?;
        worker.jobs.send(job).map_err(|_| format!("disk {number} is gone"))
    }

    /// Carries out a guest's request; the answer when that cannot even be tried.
    pub fn submit(&mut self, request: DiskRequest) -> Option<DiskDone> {
        let (disk, tag) = (request.disk, request.tag);
        match self.give(disk, Job::Request(request)) {
            Ok(()) => None,
            Err(_) => Some(DiskDone { disk, tag, status: DiskStatus::IoError, data: Vec::new() }),
        }
    }

    /// Carries out work for a state transfer; the answer when that cannot even be tried.
    pub fn work(&mut self, job: DiskJob) -> Option<DiskWorked> {
        let (link, disk) = (job.link, job.disk);
        let outcome = self.give(disk, Job::Work(job));
        outcome.err().map(|why| DiskWorked { link, disk, outcome: Err(why) })
    }

    /// Reads from the open disks what they held when they were told to keep it.
    pub fn kept(&self) -> KeptDisks {
        KeptDisks(
            self.workers.iter().map(|worker| worker.as_ref().map(|worker| worker.jobs.clone())).collect(),
        )
    }

    /// Tells the disks what they are good for, when that has changed.
    pub fn stand(&mut self, standing: DiskStanding) {
        if self.standing == Some(standing) {
            return;
        }
        self.standing = Some(standing);
        match standing {
            DiskStanding::Primary(generation) => {
                self.tell_all(|| Job::Mark { role: Role::Primary, generation })
            }
            DiskStanding::Replica(generation) => {
                self.tell_all(|| Job::Mark { role: Role::Replica, generation })
            }
            // A disk that a copy is made to knows that itself, and before the first byte.
            DiskStanding::Behind => {}
        }
    }

    /// What the disks hold is not what the guest wrote, as far as this node knows: a life begins with none of them before
    /// they have been compared with another node's.
    pub fn distrust(&mut self, generation: Generation) {
        self.standing = None;
        self.tell_all(|| Job::Mark { role: Role::Behind, generation });
    }

    fn tell_all(&self, job: impl Fn() -> Job) {
        for worker in self.workers.iter().flatten() {
            // A worker that is gone needs no message.
            match worker.jobs.send(job()) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Finishes the outstanding requests, syncs, and notes how the disks were left; None when their content
    /// is not known to be good. False when that took longer than `within`.
    pub fn finish(self, state: Option<State>, within: Duration) -> bool {
        self.tell_all(|| Job::Leave(state));
        let until = Instant::now() + within;
        self.workers.into_iter().flatten().all(|Worker { jobs, thread }| {
            drop(jobs);
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            thread.is_finished()
        })
    }
}

/// The disks of a rack as they were when they were told to keep that, for another thread.
#[derive(Default)]
pub struct KeptDisks(Vec<Option<Sender<Job>>>);

impl KeptDisks {
    /// Reads `bytes` bytes of disk `number` from `sector` on; or why they are not known.
    pub fn read(&self, number: u8, sector: u64, bytes: u32) -> Result<Vec<u8>, String> {
        let gone = || format!("disk {number} is gone");
        let jobs = self.0.get(usize::from(number)).and_then(Option::as_ref).ok_or_else(gone)?;
        let (answer, read) = sync_channel(1);
        jobs.send(Job::ReadKept { sector, bytes, answer }).map_err(|_| gone())?;
        read.recv().map_err(|_| gone())?
    }
}
