//! The guest's disk requests at the primary: issued to the host, completed by it, delivered to the guest.
//!
//! ```text
//! issued --host has ended it--> waiting --next in order--> delivered, an entry of the log
//!                                  ^
//!                                  a flush waits here, too, until every backup that counts has flushed
//! ```
//!
//! Invariant: what a guest sees flushed is on the disks of every node that counts, and a failure of this
//! node's disk alone is not the guest's while a backup counts: its end stays here, and the node gives up its
//! place ([`GuestDisks::failed`]). An end that is
//! not the next one's belongs to an earlier asking (this node's own, when it was the backup): the later
//! asking ends, too, and that end is taken.

use std::collections::VecDeque;

use super::super::commit::Commit;
use super::super::handover::Left;
use crate::base::Sabotage;
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskOp, DiskRequest, DiskStatus};

/// A request that is under way.
#[derive(Clone, Debug)]
struct UnderWay {
    tag: u64,
    flush: bool,
    write: bool,
}

/// One disk's requests, oldest first.
#[derive(Debug, Default)]
struct GuestDisk {
    under_way: VecDeque<UnderWay>,
    /// Ends of the oldest of them, not yet delivered.
    ended: VecDeque<DiskDone>,
}

/// The requests of all disks.
#[derive(Debug, Default)]
pub(super) struct GuestDisks {
    disks: [GuestDisk; DISKS_MAX],
}

impl GuestDisks {
    /// This has been asked of the host.
    pub fn issued(&mut self, request: &DiskRequest) {
        if let Some(disk) = self.disks.get_mut(usize::from(request.disk)) {
            let flush = request.op == DiskOp::Flush;
            let write = matches!(request.op, DiskOp::Write { .. });
            disk.under_way.push_back(UnderWay { tag: request.tag, flush, write });
        }
    }

    /// The host reports that this request has ended.
    pub fn ended(&mut self, done: DiskDone) {
        if let Some(disk) = self.disks.get_mut(usize::from(done.disk))
            && disk.under_way.get(disk.ended.len()).is_some_and(|next| next.tag == done.tag)
        {
            disk.ended.push_back(done);
        }
    }

    /// A request that the host's disk has failed, and whose end is not delivered.
    pub fn failed(&self) -> Option<(u8, u64)> {
        (0..).zip(&self.disks).find_map(|(number, disk)| {
            let failed = disk.ended.iter().find(|done| done.status == DiskStatus::IoError)?;
            Some((number, failed.tag))
        })
    }

    /// True when there is something to deliver, as far as the replicas that count have flushed.
    pub fn is_ready(&self, commit: &Commit) -> bool {
        (0..).zip(&self.disks).any(|(number, disk)| disk.is_ready(number, commit))
    }

    /// The next completion that may be delivered to the guest.
    pub fn take(&mut self, commit: &Commit) -> Option<DiskDone> {
        let (_, disk) = (0..).zip(&mut self.disks).find(|(number, disk)| disk.is_ready(*number, commit))?;
        disk.under_way.pop_front();
        disk.ended.pop_front()
    }

    /// What is left of the writes and flushes for the backup that this node becomes.
    pub fn into_left(self) -> Vec<Left> {
        let mut left = Vec::new();
        for (disk, requests) in (0..).zip(self.disks) {
            let mut ended = requests.ended.into_iter();
            for UnderWay { tag, flush, write } in requests.under_way {
                match ended.next().map(|done| done.status) {
                    _ if !(flush || write) => {}
                    None => left.push(Left::UnderWay { disk, tag, flush }),
                    Some(DiskStatus::Ok) if flush => left.push(Left::Flushed { disk, tag }),
                    Some(DiskStatus::Ok) => {}
                    Some(DiskStatus::IoError) => left.push(Left::Failed { disk, tag }),
                }
            }
        }
        left
    }
}

impl GuestDisk {
    fn is_ready(&self, number: u8, commit: &Commit) -> bool {
        let guarded = commit.is_guarded() && !Sabotage::FlushAlone.is_on();
        let (Some(next), Some(done)) = (self.under_way.front(), self.ended.front()) else { return false };
        if !guarded {
            return true;
        }
        done.status == DiskStatus::Ok && !(next.flush && commit.flushed_upto(number) < next.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{NodeId, Seq};

    fn request(tag: u64, op: DiskOp) -> DiskRequest {
        DiskRequest { disk: 1, tag, op }
    }

    fn done(tag: u64) -> DiskDone {
        DiskDone { disk: 1, tag, status: DiskStatus::Ok, data: Vec::new() }
    }

    /// A read, a write and a flush under way.
    fn three() -> GuestDisks {
        let mut disks = GuestDisks::default();
        disks.issued(&request(4, DiskOp::Read { sector: 0, bytes: 512 }));
        disks.issued(&request(5, DiskOp::Write { sector: 0, data: vec![0; 512] }));
        disks.issued(&request(6, DiskOp::Flush));
        disks
    }

    /// One backup counts, whose disk 1 is flushed up to request `tag`.
    fn guarded(tag: u64) -> Commit {
        let mut commit = Commit::default();
        commit.add(NodeId(2), Seq(0), [0; DISKS_MAX]);
        commit.flush(NodeId(2), 1, tag);
        commit
    }

    #[test]
    fn a_flush_is_told_only_when_every_disk_that_counts_has_flushed() {
        let mut disks = three();
        let mut commit = guarded(0);
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        assert_eq!(disks.take(&commit).map(|done| done.tag), Some(4));
        assert_eq!(disks.take(&commit).map(|done| done.tag), Some(5));
        assert_eq!((disks.is_ready(&commit), disks.take(&commit)), (false, None));
        commit.flush(NodeId(2), 1, 5);
        commit.flush(NodeId(2), 0, 9);
        assert_eq!(disks.take(&commit), None);
        commit.add(NodeId(3), Seq(0), [0; DISKS_MAX]);
        commit.flush(NodeId(2), 1, 6);
        assert_eq!(disks.take(&commit), None, "one of two has flushed");
        commit.flush(NodeId(3), 1, 6);
        assert_eq!(disks.take(&commit), Some(done(6)));

        let mut disks = three();
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        let all = [(); 3].map(|()| disks.take(&guarded(5)));
        assert_eq!(all, [Some(done(4)), Some(done(5)), None]);
        assert_eq!(disks.take(&Commit::default()), Some(done(6)), "no backup counts");
    }

    #[test]
    fn a_failure_is_the_guests_only_when_no_other_node_has_the_disk() {
        for op in
            [DiskOp::Flush, DiskOp::Read { sector: 0, bytes: 512 }, DiskOp::Write { sector: 0, data: vec![] }]
        {
            let mut disks = GuestDisks::default();
            disks.issued(&request(1, op));
            assert_eq!(disks.failed(), None);
            let failed = DiskDone { status: DiskStatus::IoError, ..done(1) };
            disks.ended(failed.clone());
            let commit = guarded(1);
            assert_eq!((disks.failed(), disks.is_ready(&commit)), (Some((1, 1)), false));
            assert_eq!(disks.take(&commit), None);
            assert_eq!((disks.take(&Commit::default()), disks.failed()), (Some(failed), None));
        }
    }

    #[test]
    fn ends_of_an_earlier_asking_are_passed_over() {
        let mut disks = three();
        // The write and the flush were asked for before the read was, by the backup.
        disks.ended(done(5));
        disks.ended(done(6));
        disks.ended(DiskDone { disk: 200, ..done(4) });
        assert!(!disks.is_ready(&Commit::default()));
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        disks.ended(done(6));
        assert_eq!(
            (4..=7).map(|_| disks.take(&Commit::default()).map(|d| d.tag)).collect::<Vec<_>>(),
            [Some(4), Some(5), Some(6), None]
        );
    }

    #[test]
    fn what_is_left_over_is_what_the_guest_has_not_heard() {
        let mut disks = three();
        disks.issued(&request(7, DiskOp::Flush));
        disks.issued(&request(8, DiskOp::Write { sector: 0, data: vec![0; 512] }));
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        let left = disks.into_left();
        assert!(matches!(
            left[..],
            [
                Left::Flushed { disk: 1, tag: 6 },
                Left::UnderWay { disk: 1, tag: 7, flush: true },
                Left::UnderWay { disk: 1, tag: 8, flush: false },
            ]
        ));
    }
}
