//! The disk device: requests good and bad, completions, bounds, and states from outside.

use super::*;
use crate::base::Prng;
use crate::devices::virtio::testing::{
    Driver, NEEDS_RESET, NEXT, RAM_BYTES, RUNNING, WRITE, avail, desc, used,
};
use crate::mem::RAM_BASE;

const SECTORS: u64 = 1000;

fn spec() -> DiskSpec {
    DiskSpec { sectors: SECTORS, read_only: false, serial: "disk-a".into() }
}

fn driver() -> Driver<Blk> {
    Driver::running(Blk::new(1, spec()))
}

/// Where the tests keep headers, data and status bytes; clear of the rings.
fn room(index: u64) -> GuestPhys {
    RAM_BASE.plus(0x4_0000 + 0x1_0000 * index)
}

fn put_header(driver: &mut Driver<Blk>, at: GuestPhys, kind: u32, sector: u64) {
    driver.ram.write_u32(at, kind).unwrap();
    driver.ram.write_u32(at.plus(4), 0).unwrap();
    driver.ram.write_u64(at.plus(8), sector).unwrap();
}

/// Offers header, one data buffer (none if `len` is 0) and status as descriptors from `head` on.
fn offer(driver: &mut Driver<Blk>, head: u16, kind: u32, sector: u64, len: u32) {
    let at = room(u64::from(head));
    put_header(driver, at, kind, sector);
    let data = if kind == TYPE_OUT { NEXT } else { NEXT | WRITE };
    driver.describe(desc(0), head, at, 16, NEXT, head + 1);
    driver.describe(desc(0), head + 1, at.plus(0x100), len, data, head + 2);
    driver.describe(desc(0), head + 2, at.plus(0xffff), 1, WRITE, 0);
    driver.ram.write(at.plus(0xffff), &[0xee]).unwrap();
    driver.offer(0, head);
}

fn status(driver: &Driver<Blk>, head: u16) -> u8 {
    driver.bytes(room(u64::from(head)).plus(0xffff), 1)[0]
}

fn asked(driver: &mut Driver<Blk>) -> Vec<DiskRequest> {
    std::mem::take(&mut driver.out.disk)
}

fn done(tag: u64, data: &[u8]) -> DiskDone {
    DiskDone { disk: 1, tag, status: DiskStatus::Ok, data: data.to_vec() }
}

fn complete(driver: &mut Driver<Blk>, done: &DiskDone) -> bool {
    driver.slot.complete(&mut driver.ram, &mut driver.out, done)
}

#[test]
fn a_read_asks_and_memory_changes_only_when_it_is_done() {
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_IN, 7, 1024);
    driver.notify(0);
    assert_eq!(
        asked(&mut driver),
        [DiskRequest { disk: 1, tag: 1, op: DiskOp::Read { sector: 7, bytes: 1024 } }]
    );
    assert_eq!((driver.used_index(0), status(&driver, 0)), (0, 0xee));
    assert!(complete(&mut driver, &done(1, &[0x5a; 1024])));
    assert_eq!(driver.used_element(0, 0), (0, 1025));
    assert_eq!(driver.bytes(room(0).plus(0x100), 1025), [[0x5a; 1024].as_slice(), &[0]].concat());
    assert_eq!(status(&driver, 0), STATUS_OK);
    assert!(driver.slot.interrupt());
    assert_eq!(driver.slot.device.tag_awaited(), None);
}

#[test]
fn a_writes_bytes_are_those_at_the_notify() {
    let mut driver = driver();
    driver.ram.write(room(0).plus(0x100), &[7; 512]).unwrap();
    offer(&mut driver, 0, TYPE_OUT, SECTORS - 1, 512);
    driver.notify(0);
    driver.ram.write(room(0).plus(0x100), &[8; 512]).unwrap();
    let op = DiskOp::Write { sector: SECTORS - 1, data: vec![7; 512] };
    assert_eq!(asked(&mut driver), [DiskRequest { disk: 1, tag: 1, op: op.clone() }]);
    assert_eq!(driver.slot.device.in_flight().map(|request| request.op).collect::<Vec<_>>(), [op]);
    assert!(complete(&mut driver, &done(1, &[])));
    assert_eq!((driver.used_element(0, 0), status(&driver, 0)), ((0, 1), STATUS_OK));
}

#[test]
fn completions_come_in_order_and_bring_what_they_must() {
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_IN, 0, 512);
    offer(&mut driver, 3, TYPE_FLUSH, 0, 0);
    driver.notify(0);
    let before = driver.slot.clone();
    let failed = DiskDone { status: DiskStatus::IoError, ..done(1, &[1; 512]) };
    for wrong in
        [done(2, &[]), done(1, &[]), done(1, &[0; 511]), DiskDone { disk: 0, ..done(1, &[1; 512]) }, failed]
    {
        assert!(!complete(&mut driver, &wrong), "{wrong:?}");
    }
    assert_eq!(driver.slot, before);
    let failed = DiskDone { status: DiskStatus::IoError, ..done(1, &[]) };
    assert!(complete(&mut driver, &failed));
    assert_eq!((status(&driver, 0), driver.used_element(0, 0)), (STATUS_IOERR, (0, 0)));
    assert!(complete(&mut driver, &done(2, &[])));
    assert_eq!((status(&driver, 3), driver.used_element(0, 1)), (STATUS_OK, (3, 1)));
    assert!(!complete(&mut driver, &done(2, &[])), "twice");
}

#[test]
fn what_cannot_be_done_fails_at_once_without_a_request_to_the_host() {
    let outside = [
        (TYPE_IN, SECTORS, 512),
        (TYPE_IN, SECTORS - 1, 1024),
        (TYPE_IN, u64::MAX, 512),
        (TYPE_IN, u64::MAX - 1, 1024),
        (TYPE_OUT, u64::MAX, 512),
        (TYPE_OUT, 0, 100),
        (TYPE_IN, 0, 513),
    ];
    for (kind, sector, len) in outside {
        let mut driver = driver();
        offer(&mut driver, 0, kind, sector, len);
        driver.notify(0);
        assert_eq!((driver.used_index(0), status(&driver, 0)), (1, STATUS_IOERR), "{kind} {sector} {len}");
        assert_eq!(asked(&mut driver), []);
    }
    for kind in [2, 3, 5, 11, 13, 14, u32::MAX] {
        let mut driver = driver();
        offer(&mut driver, 0, kind, 0, 512);
        driver.notify(0);
        assert_eq!((driver.used_index(0), status(&driver, 0)), (1, STATUS_UNSUPP), "{kind}");
    }
    for (kind, sector) in [(TYPE_IN, SECTORS), (TYPE_OUT, 0)] {
        let mut driver = driver();
        offer(&mut driver, 0, kind, sector, 0);
        driver.notify(0);
        assert_eq!(
            (driver.used_element(0, 0), status(&driver, 0)),
            ((0, 1), STATUS_OK),
            "nothing is easily done"
        );
    }
    let mut driver = Driver::running(Blk::new(1, DiskSpec { read_only: true, ..spec() }));
    offer(&mut driver, 0, TYPE_OUT, 0, 512);
    offer(&mut driver, 3, TYPE_IN, 0, 512);
    driver.notify(0);
    assert_eq!((status(&driver, 0), asked(&mut driver).len()), (STATUS_IOERR, 1));
}

#[test]
fn a_request_longer_than_the_bound_fails() {
    let mut driver = driver();
    put_header(&mut driver, room(0), TYPE_IN, 0);
    driver.describe(desc(0), 0, room(0), 16, NEXT, 1);
    driver.describe(desc(0), 1, RAM_BASE, REQUEST_BYTES_MAX + 512, NEXT | WRITE, 2);
    driver.describe(desc(0), 2, room(1), 1, WRITE, 0);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!((driver.bytes(room(1), 1)[0], asked(&mut driver).len()), (STATUS_IOERR, 0));
    driver.describe(desc(0), 1, RAM_BASE, REQUEST_BYTES_MAX, NEXT | WRITE, 2);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(asked(&mut driver)[0].op, DiskOp::Read { sector: 0, bytes: REQUEST_BYTES_MAX });
}

#[test]
fn header_data_and_status_may_be_split_anyhow() {
    let mut driver = driver();
    put_header(&mut driver, room(0), TYPE_OUT, 3);
    driver.ram.write(room(0).plus(16), &[1; 300]).unwrap();
    driver.ram.write(room(1), &[2; 212]).unwrap();
    // Header and data share descriptors, with cuts in odd places and an empty buffer between.
    driver.describe(desc(0), 0, room(0), 5, NEXT, 1);
    driver.describe(desc(0), 1, room(0).plus(5), 11 + 300, NEXT, 2);
    driver.describe(desc(0), 2, room(2), 0, NEXT, 3);
    driver.describe(desc(0), 3, room(1), 212, NEXT, 4);
    driver.describe(desc(0), 4, room(3), 1, WRITE, 0);
    driver.offer(0, 0);
    driver.notify(0);
    let data = [[1; 300].as_slice(), &[2; 212]].concat();
    assert_eq!(asked(&mut driver)[0].op, DiskOp::Write { sector: 3, data });
    assert!(complete(&mut driver, &done(1, &[])));

    // A read whose status is the last byte of its last data buffer.
    put_header(&mut driver, room(0), TYPE_IN, 3);
    driver.describe(desc(0), 0, room(0), 16, NEXT, 1);
    driver.describe(desc(0), 1, room(1), 200, NEXT | WRITE, 2);
    driver.describe(desc(0), 2, room(2), 313, WRITE, 0);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(asked(&mut driver)[0].op, DiskOp::Read { sector: 3, bytes: 512 });
    let data: Vec<u8> = (0..512).map(|i| i as u8).collect();
    assert!(complete(&mut driver, &done(2, &data)));
    assert_eq!(driver.bytes(room(1), 200), data[..200]);
    assert_eq!(driver.bytes(room(2), 314), [&data[200..], &[STATUS_OK, 0]].concat());
    assert_eq!(driver.used_element(0, 1), (0, 513));
}

#[test]
fn a_request_without_header_or_status_breaks_the_device() {
    // One descriptor, or two: length and flags.
    let bad: [&[(u32, u16)]; 5] =
        [&[(16, 0)], &[(16, WRITE)], &[(15, NEXT), (1, WRITE)], &[(16, NEXT), (0, WRITE)], &[(0, 0)]];
    for (index, bad) in bad.iter().enumerate() {
        let mut driver = driver();
        for (descriptor, (len, flags)) in (0..).zip(*bad) {
            driver.describe(desc(0), descriptor, room(u64::from(descriptor)), *len, *flags, descriptor + 1);
        }
        driver.offer(0, 0);
        driver.notify(0);
        assert_eq!(driver.slot.transport.fault(), Some(QueueFault::BadRequest { head: 0 }), "{index}");
        assert_eq!(driver.get(0x70), RUNNING | NEEDS_RESET);
    }
}

#[test]
fn identify_answers_the_serial_within_the_device() {
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_GET_ID, 0, 20);
    offer(&mut driver, 3, TYPE_GET_ID, 0, 4);
    driver.notify(0);
    assert_eq!(driver.bytes(room(0).plus(0x100), 20), *b"disk-a\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(driver.bytes(room(3).plus(0x100), 5), *b"disk\0");
    assert_eq!((driver.used_element(0, 0), driver.used_element(0, 1)), ((0, 21), (3, 5)));
    assert_eq!((status(&driver, 0), asked(&mut driver)), (STATUS_OK, vec![]));
}

#[test]
fn a_ring_is_left_unread_while_too_much_is_under_way() {
    let mut driver = driver();
    for _ in 0..100 {
        offer(&mut driver, 0, TYPE_FLUSH, 0, 0);
        driver.notify(0);
        assert!(
            driver.slot.transport.fault().is_none() || driver.slot.device.flights.len() == FLIGHTS_MAX - 1
        );
        if driver.slot.device.flights.len() == FLIGHTS_MAX - 1 {
            break;
        }
    }
    let first = asked(&mut driver);
    assert_eq!(first.len(), FLIGHTS_MAX - 1);
    offer(&mut driver, 0, TYPE_FLUSH, 0, 0);
    driver.notify(0);
    assert_eq!(asked(&mut driver), [], "no room");
    assert!(complete(&mut driver, &done(1, &[])));
    assert_eq!(asked(&mut driver).len(), 1, "a completion makes room");

    // By bytes: 4 MiB hold 32 of the longest writes.
    let mut driver = self::driver();
    put_header(&mut driver, room(0), TYPE_OUT, 0);
    driver.describe(desc(0), 0, room(0), 16, NEXT, 1);
    driver.describe(desc(0), 1, RAM_BASE, REQUEST_BYTES_MAX, NEXT, 2);
    driver.describe(desc(0), 2, room(1), 1, WRITE, 0);
    for _ in 0..40 {
        if driver.slot.device.flights.len() == FLIGHT_BYTES_MAX / REQUEST_BYTES_MAX as usize {
            break;
        }
        driver.offer(0, 0);
        driver.notify(0);
    }
    assert_eq!(asked(&mut driver).len(), 32);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(asked(&mut driver), []);
}

#[test]
fn a_driver_without_flush_gets_writes_that_are_flushed() {
    let mut driver = Driver::new(Blk::new(1, spec()));
    driver.set(0x70, 3);
    driver.set(0x24, 1);
    driver.set(0x20, 1);
    driver.set(0x70, 11);
    driver.set_up_queue(0);
    driver.set(0x70, RUNNING);
    for failing in 0..3 {
        let tag = 1 + 2 * failing;
        offer(&mut driver, 0, TYPE_OUT, 0, 512);
        driver.notify(0);
        let ops: Vec<_> = asked(&mut driver).into_iter().map(|request| request.op).collect();
        assert_eq!(ops, [DiskOp::Write { sector: 0, data: vec![0; 512] }, DiskOp::Flush]);
        let end = |tag, fails| DiskDone {
            status: if fails { DiskStatus::IoError } else { DiskStatus::Ok },
            ..done(tag, &[])
        };
        assert!(complete(&mut driver, &end(tag, failing == 1)));
        assert_eq!((driver.used_index(0), driver.slot.check_requests(RAM_BYTES)), (failing as u16, Ok(())));
        assert!(complete(&mut driver, &end(tag + 1, failing == 2)));
        assert_eq!(driver.used_index(0), failing as u16 + 1);
        assert_eq!(status(&driver, 0), if failing > 0 { STATUS_IOERR } else { STATUS_OK });
    }
}

#[test]
fn after_a_reset_or_a_fault_what_is_under_way_ends_unheard() {
    for fault in [false, true] {
        let mut driver = driver();
        offer(&mut driver, 0, TYPE_IN, 0, 512);
        driver.notify(0);
        if fault {
            driver.ram.write_u16(avail(0).plus(2), 99).unwrap();
            driver.notify(0);
            assert!(driver.slot.transport.fault().is_some());
        } else {
            driver.set(0x70, 0);
        }
        let flying = driver.slot.device.in_flight().count();
        assert_eq!(
            (flying, driver.slot.device.tag_awaited()),
            (1, Some(1)),
            "the disk is still at work on it"
        );
        assert_eq!(driver.slot.check_requests(RAM_BYTES), Ok(()));
        assert!(complete(&mut driver, &done(1, &[9; 512])));
        assert_eq!((driver.used_index(0), driver.bytes(room(0).plus(0x100), 1)), (0, vec![0]));
    }
    // The numbers go on, so that an old end is never taken for a new one's.
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_FLUSH, 0, 0);
    driver.notify(0);
    driver.negotiate();
    driver.set_up_queue(0);
    driver.set(0x70, RUNNING);
    driver.ram.write_u16(avail(0).plus(2), 0).unwrap();
    driver.ram.write_u16(used(0).plus(2), 0).unwrap();
    offer(&mut driver, 0, TYPE_FLUSH, 0, 0);
    driver.notify(0);
    assert_eq!(driver.slot.device.in_flight().map(|request| request.tag).collect::<Vec<_>>(), [1, 2]);
    assert!(complete(&mut driver, &done(1, &[])) && driver.used_index(0) == 0);
    assert!(complete(&mut driver, &done(2, &[])) && driver.used_index(0) == 1);
}

#[test]
fn a_queue_taken_away_meanwhile_hears_nothing() {
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_IN, 0, 512);
    driver.notify(0);
    driver.set(0x44, 0);
    driver.set(0x38, 0);
    assert!(complete(&mut driver, &done(1, &[9; 512])));
    assert_eq!((status(&driver, 0), driver.slot.transport.fault()), (0xee, None));
}

#[test]
fn the_configuration_names_size_and_limits() {
    let mut driver = driver();
    assert_eq!(driver.get(0x100), SECTORS as u32);
    assert_eq!((driver.get(0x108), driver.get(0x10c), driver.get(0x114)), (4096, 30, 512));
    assert_eq!(driver.get(0x008), 2);
}

#[test]
fn any_ring_contents_are_survived() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let mut driver = driver();
        for _ in 0..20 {
            for index in 0..driver.size {
                let at = match prng.below(8) {
                    0 => GuestPhys(prng.next_u64()),
                    1 => GuestPhys(u64::MAX - prng.below(64)),
                    _ => RAM_BASE.plus(prng.below(RAM_BYTES + 64)),
                };
                let len = [0, 1, 15, 16, 17, 512, 513, 1024, u32::MAX, prng.next_u64() as u32]
                    [prng.below(10) as usize];
                let (flags, next) = (prng.below(8) as u16, prng.below(10) as u16);
                driver.describe(desc(0), index, at, len, flags, next);
            }
            for index in 0..6 {
                put_header(&mut driver, room(index), prng.below(10) as u32, prng.below(SECTORS + 5));
            }
            let head = prng.below(9) as u16;
            driver.offer(0, head);
            driver.notify(0);
            assert_eq!(driver.slot.check_requests(RAM_BYTES), Ok(()), "seed {seed}");
            for request in asked(&mut driver) {
                let data = match request.op {
                    DiskOp::Read { bytes, .. } => vec![1; bytes as usize],
                    DiskOp::Write { .. } | DiskOp::Flush => Vec::new(),
                };
                assert!(complete(&mut driver, &done(request.tag, &data)), "seed {seed}");
            }
            if driver.slot.transport.fault().is_some() {
                break;
            }
        }
    }
}

#[test]
fn a_state_from_outside_is_looked_at() {
    let mut driver = driver();
    offer(&mut driver, 0, TYPE_IN, 0, 512);
    offer(&mut driver, 3, TYPE_OUT, 0, 512);
    driver.notify(0);
    let good = driver.slot;
    assert_eq!(good.check_requests(RAM_BYTES), Ok(()));
    let refused = |change: &dyn Fn(&mut Blk)| {
        let mut slot = good.clone();
        change(&mut slot.device);
        slot.check_requests(RAM_BYTES).unwrap_err().field
    };
    let reply = |blk: &mut Blk, change: &dyn Fn(&mut Reply)| match &mut blk.flights[0].waiter {
        Waiter::Driver(reply) => change(reply),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&|blk| blk.tag_last = 0), "tag");
    assert_eq!(refused(&|blk| blk.tag_last = u64::MAX), "tag");
    assert_eq!(refused(&|blk| blk.flights[1].tag = 7), "tag");
    assert_eq!(refused(&|blk| blk.spec.read_only = true), "write");
    assert_eq!(refused(&|blk| blk.flights[0].op = DiskOp::Read { sector: SECTORS, bytes: 512 }), "request");
    assert_eq!(refused(&|blk| blk.flights[0].op = DiskOp::Read { sector: 0, bytes: 0 }), "request");
    assert_eq!(refused(&|blk| blk.flights[0].op = DiskOp::Read { sector: 0, bytes: 1024 }), "buffer length");
    assert_eq!(refused(&|blk| reply(blk, &|reply| reply.status = GuestPhys(0))), "status address");
    assert_eq!(refused(&|blk| reply(blk, &|reply| reply.data[0].at = GuestPhys(u64::MAX))), "buffer");
    assert_eq!(refused(&|blk| blk.flights[1].waiter = Waiter::Flush), "waiter");
    assert_eq!(refused(&|blk| blk.front_fails = true), "failure");
    assert_eq!(
        refused(&|blk| blk.flights =
            (1..=65).map(|tag| Flight { tag, op: DiskOp::Flush, waiter: Waiter::Gone }).collect()),
        "requests under way"
    );
}
