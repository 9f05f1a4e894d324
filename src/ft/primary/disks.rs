//! The guest's disk requests at the primary: issued to the host, completed by it, delivered to the guest.
//!
//! ```text
//! issued --host has ended it--> waiting --next in order--> delivered, an entry of the log
//!                                  ^
//!                                  a flush waits here, too, until the backup that counts has flushed
//! ```
//!
//! Invariant: what a guest sees flushed while a backup counts is on both nodes' disks, and a failure of this
//! node's disk alone is not the guest's while a backup counts: its end stays here, and the node gives up its
//! place ([`GuestDisks::failed`]). An end that is
//! not the next one's belongs to an earlier asking (this node's own, when it was the backup): the later
//! asking ends, too, and that end is taken.

use std::collections::VecDeque;

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
    /// The backup's disk is flushed up to this request.
    peer_flushed: u64,
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

    /// The backup reports that its disk is flushed up to this request.
    pub fn peer_flushed(&mut self, disk: u8, tag: u64) {
        if let Some(disk) = self.disks.get_mut(usize::from(disk)) {
            disk.peer_flushed = tag.max(disk.peer_flushed);
        }
    }

    /// There is another backup, or none: what the last one has flushed no longer counts.
    pub fn forget_peer(&mut self) {
        for disk in &mut self.disks {
            disk.peer_flushed = 0;
        }
    }

    /// A request that the host's disk has failed, and whose end is not delivered.
    pub fn failed(&self) -> Option<(u8, u64)> {
        (0..).zip(&self.disks).find_map(|(number, disk)| {
            let failed = disk.ended.iter().find(|done| done.status == DiskStatus::IoError)?;
            Some((number, failed.tag))
        })
    }

    /// True when there is something to deliver; `guarded` while a backup counts.
    pub fn is_ready(&self, guarded: bool) -> bool {
        self.disks.iter().any(|disk| disk.is_ready(guarded))
    }

    /// The next completion that may be delivered to the guest.
    pub fn take(&mut self, guarded: bool) -> Option<DiskDone> {
        let disk = self.disks.iter_mut().find(|disk| disk.is_ready(guarded))?;
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
    fn is_ready(&self, guarded: bool) -> bool {
        let guarded = guarded && !Sabotage::FlushAlone.is_on();
        let (Some(next), Some(done)) = (self.under_way.front(), self.ended.front()) else { return false };
        if !guarded {
            return true;
        }
        done.status == DiskStatus::Ok && !(next.flush && self.peer_flushed < next.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_flush_is_told_only_when_both_disks_have_flushed() {
        let mut disks = three();
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        assert_eq!(disks.take(true).map(|done| done.tag), Some(4));
        assert_eq!(disks.take(true).map(|done| done.tag), Some(5));
        assert_eq!((disks.is_ready(true), disks.take(true)), (false, None));
        disks.peer_flushed(1, 5);
        disks.peer_flushed(0, 9);
        assert_eq!(disks.take(true), None);
        disks.peer_flushed(1, 6);
        assert_eq!(disks.take(true), Some(done(6)));

        // The backup may be first, gone, or replaced by another that has flushed nothing.
        let mut disks = three();
        disks.peer_flushed(1, 6);
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        disks.forget_peer();
        assert_eq!(
            (disks.take(true), disks.take(true), disks.take(true)),
            (Some(done(4)), Some(done(5)), None)
        );
        assert_eq!(disks.take(false), Some(done(6)), "no backup counts");
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
            disks.peer_flushed(1, 1);
            assert_eq!((disks.failed(), disks.is_ready(true), disks.take(true)), (Some((1, 1)), false, None));
            assert_eq!((disks.take(false), disks.failed()), (Some(failed), None));
        }
    }

    #[test]
    fn ends_of_an_earlier_asking_are_passed_over() {
        let mut disks = three();
        // The write and the flush were asked for before the read was, by the backup.
        disks.ended(done(5));
        disks.ended(done(6));
        disks.ended(DiskDone { disk: 200, ..done(4) });
        assert!(!disks.is_ready(false));
        (4..=6).for_each(|tag| disks.ended(done(tag)));
        disks.ended(done(6));
        assert_eq!(
            (4..=7).map(|_| disks.take(false).map(|d| d.tag)).collect::<Vec<_>>(),
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
