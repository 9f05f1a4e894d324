//! A backup's own disks: what replay writes and flushes is done there, too.
//!
//! Promises: a failure here is never ignored (a replica whose disk differs is none); the requests that wait
//! for the disk are bounded, and replay waits instead; a flush is reported to the primary.

use std::collections::VecDeque;

use super::common::Common;
use super::handover::Left;
use crate::base::Seq;
use crate::devices::disk::{DISKS_MAX, DiskDone, DiskOp, DiskRequest, DiskStatus};
use crate::machine::Machine;

/// With so many requests or bytes under way replay waits for the disk.
const REQUESTS_MAX: usize = 256;
const BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
struct UnderWay {
    tag: u64,
    flush: bool,
    bytes: usize,
}

/// What the end of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing to report.
    Quietly,
    /// Everything up to this request survives a crash of this host.
    Flushed { disk: u8, tag: u64 },
    /// This disk is no replica any more.
    Failed { disk: u8, tag: u64 },
}

/// The writes and flushes that this node's disks are at work on.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    disks: [VecDeque<UnderWay>; DISKS_MAX],
    requests: usize,
    bytes: usize,
    /// By disk: the last flush that has ended; everything before it is flushed, too.
    flushed: [u64; DISKS_MAX],
}

impl Mirror {
    /// Asks for it here, as the guest does there; entry `mark` determines it.
    pub fn issue(&mut self, common: &mut Common, mark: Seq, request: DiskRequest) {
        let bytes = match &request.op {
            DiskOp::Read { .. } => return,
            DiskOp::Write { data, .. } => data.len(),
            DiskOp::Flush => 0,
        };
        self.under_way(request.disk, request.tag, request.op == DiskOp::Flush, bytes);
        common.ask_disk(mark, request);
    }

    /// Asks for everything that was under way at the machine's position, to which the log up to `mark` led.
    pub fn reissue(&mut self, common: &mut Common, mark: Seq, machine: &mut Machine) {
        machine.take_disk_requests();
        for request in machine.disk_in_flight() {
            self.issue(common, mark, request);
        }
    }

    /// The first of its invariants that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        let under_way = || self.disks.iter().flatten();
        let counted = (under_way().count(), under_way().map(|request| request.bytes).sum());
        if counted != (self.requests, self.bytes) {
            let (requests, bytes) = (self.requests, self.bytes);
            return Err(format!("mirror: {requests} requests of {bytes} bytes are {counted:?}"));
        }
        Ok(())
    }

    fn under_way(&mut self, disk: u8, tag: u64, flush: bool, bytes: usize) {
        if let Some(disk) = self.disks.get_mut(usize::from(disk)) {
            disk.push_back(UnderWay { tag, flush, bytes });
            self.requests += 1;
            self.bytes += bytes;
        }
    }

    /// Takes over what a primary that steps down has asked for; answers with what has ended already.
    pub fn take_over(&mut self, left: Vec<Left>) -> Vec<Ended> {
        let mut ended = Vec::new();
        for left in left {
            match left {
                Left::UnderWay { disk, tag, flush } => self.under_way(disk, tag, flush, 0),
                Left::Flushed { disk, tag } => {
                    if let Some(flushed) = self.flushed.get_mut(usize::from(disk)) {
                        *flushed = tag.max(*flushed);
                    }
                    ended.push(Ended::Flushed { disk, tag });
                }
                Left::Failed { disk, tag } => ended.push(Ended::Failed { disk, tag }),
            }
        }
        ended
    }

    /// The host reports that this request has ended.
    pub fn ended(&mut self, done: &DiskDone) -> Ended {
        let (disk, tag) = (done.disk, done.tag);
        let Some(queue) = self.disks.get_mut(usize::from(disk)) else { return Ended::Quietly };
        // A read that this node asked for while it was the primary is nothing to us.
        if queue.front().is_none_or(|oldest| oldest.tag != tag) {
            return Ended::Quietly;
        }
        let Some(oldest) = queue.pop_front() else { return Ended::Quietly };
        self.requests -= 1;
        self.bytes -= oldest.bytes;
        match done.status {
            DiskStatus::IoError => Ended::Failed { disk, tag },
            DiskStatus::Ok if oldest.flush => {
                self.flushed[usize::from(disk)] = tag;
                Ended::Flushed { disk, tag }
            }
            DiskStatus::Ok => Ended::Quietly,
        }
    }

    /// By disk on which there was one: the last flush that has ended.
    pub fn flushed(&self) -> impl Iterator<Item = (u8, u64)> {
        (0..).zip(self.flushed).filter(|(_, tag)| *tag != 0)
    }

    /// True when replay had better wait for the disks.
    pub fn is_full(&self) -> bool {
        self.requests >= REQUESTS_MAX || self.bytes >= BYTES_MAX
    }

    /// True when these disks have every request that the guest saw complete.
    pub fn is_level(&self, machine: &Machine) -> bool {
        let level = |(disk, queue): (u8, &VecDeque<UnderWay>)| {
            queue.front().is_none_or(|oldest| machine.disk_awaited(disk).is_some_and(|tag| oldest.tag >= tag))
        };
        (0..).zip(&self.disks).all(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Icount, NodeId};
    use crate::devices::disk::DiskSpec;
    use crate::ft::Settings;
    use crate::machine::{BootOptions, Elf, Stop};

    fn common() -> Common {
        Common::new(NodeId(1), "vm", Settings::default())
    }

    fn done(tag: u64, status: DiskStatus) -> DiskDone {
        DiskDone { disk: 2, tag, status, data: Vec::new() }
    }

    fn issue(mirror: &mut Mirror, common: &mut Common, tag: u64, op: DiskOp) {
        mirror.issue(common, Seq::ZERO, DiskRequest { disk: 2, tag, op });
    }

    #[test]
    fn flushes_are_told_reads_are_not_asked_and_failures_are_final() {
        let (mut mirror, mut common) = (Mirror::default(), common());
        issue(&mut mirror, &mut common, 1, DiskOp::Read { sector: 0, bytes: 512 });
        issue(&mut mirror, &mut common, 2, DiskOp::Write { sector: 0, data: vec![1; 512] });
        issue(&mut mirror, &mut common, 3, DiskOp::Flush);
        issue(&mut mirror, &mut common, 4, DiskOp::Write { sector: 0, data: vec![1; 512] });
        assert_eq!(common.commands.len(), 3);
        assert_eq!(mirror.ended(&done(1, DiskStatus::IoError)), Ended::Quietly, "of another time");
        assert_eq!(mirror.ended(&done(2, DiskStatus::Ok)), Ended::Quietly);
        assert_eq!(mirror.ended(&done(3, DiskStatus::Ok)), Ended::Flushed { disk: 2, tag: 3 });
        assert_eq!(mirror.ended(&done(4, DiskStatus::IoError)), Ended::Failed { disk: 2, tag: 4 });
        assert_eq!((mirror.requests, mirror.bytes), (0, 0));
        assert_eq!(mirror.ended(&DiskDone { disk: 9, ..done(5, DiskStatus::Ok) }), Ended::Quietly);
    }

    #[test]
    fn replay_waits_for_a_disk_that_is_behind() {
        let (mut mirror, mut common) = (Mirror::default(), common());
        let long = |tag| (tag, DiskOp::Write { sector: 0, data: vec![1; 128 << 10] });
        let mut tag = 0;
        while !mirror.is_full() {
            tag += 1;
            let (tag, op) = long(tag);
            issue(&mut mirror, &mut common, tag, op);
        }
        assert_eq!(tag, 128);
        assert_eq!(mirror.ended(&done(1, DiskStatus::Ok)), Ended::Quietly);
        assert!(!mirror.is_full());
    }

    #[test]
    fn what_a_primary_left_under_way_ends_here() {
        let mut mirror = Mirror::default();
        let left = vec![
            Left::Flushed { disk: 2, tag: 5 },
            Left::UnderWay { disk: 2, tag: 6, flush: false },
            Left::UnderWay { disk: 2, tag: 7, flush: true },
        ];
        assert_eq!(mirror.take_over(left), [Ended::Flushed { disk: 2, tag: 5 }]);
        assert_eq!(mirror.ended(&done(6, DiskStatus::Ok)), Ended::Quietly);
        assert_eq!(mirror.ended(&done(7, DiskStatus::Ok)), Ended::Flushed { disk: 2, tag: 7 });
        let failed = mirror.take_over(vec![Left::Failed { disk: 0, tag: 1 }]);
        assert_eq!(failed, [Ended::Failed { disk: 0, tag: 1 }]);
    }

    /// A machine that awaits the end of its first request, a read.
    fn reading() -> Machine {
        let guest = include_bytes!("../../guest-programs/diskkv/diskkv.elf");
        let disks = vec![DiskSpec { sectors: 4096, read_only: false, serial: String::new() }];
        let options = BootOptions { ram_bytes: 4 << 20, disks, ..BootOptions::default() };
        let mut machine = Machine::boot(&Elf::parse(guest).expect("an ELF"), &options).expect("it boots");
        while !machine.disk_requests_waiting() {
            assert_eq!(machine.run_until(Icount(1 << 24)), Stop::Service);
        }
        machine
    }

    #[test]
    fn disks_are_level_when_they_have_what_the_guest_saw_complete() {
        let mut machine = reading();
        assert_eq!((machine.disk_awaited(0), machine.disk_awaited(1)), (Some(1), None));
        for (disk, tag, level) in [(0, 2, true), (0, 1, true), (0, 0, false), (1, 9, false)] {
            let mut mirror = Mirror::default();
            assert!(mirror.is_level(&machine));
            mirror.under_way(disk, tag, false, 0);
            assert_eq!(mirror.is_level(&machine), level, "request {tag} of disk {disk}");
        }
        // A read that is under way is asked of the primary's disk alone.
        let (mut mirror, mut common) = (Mirror::default(), common());
        mirror.reissue(&mut common, Seq::ZERO, &mut machine);
        assert!(common.commands.is_empty() && !machine.disk_requests_waiting());
    }
}
