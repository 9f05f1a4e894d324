//! Rings as drivers make them, and as attackers do.

use super::*;
use crate::devices::virtio::net::Net;
use crate::devices::virtio::testing::{
    Driver, INDIRECT, NEEDS_RESET, NEXT, RUNNING, WRITE, avail, buffer, desc, used,
};

const TX: usize = 1;

fn driver() -> Driver<Net> {
    Driver::running(Net::new([0; 6]))
}

/// Notifies the transmit queue, and answers why it broke.
fn fault(driver: &mut Driver<Net>) -> QueueFault {
    driver.notify(TX);
    assert_eq!(driver.get(0x70), RUNNING | NEEDS_RESET, "the guest learns of it");
    assert_eq!(driver.get(0x60) & 2, 2);
    let fault = driver.slot.transport.fault().expect("a fault");
    // And the device keeps still.
    let used = driver.used_index(TX);
    driver.notify(TX);
    assert_eq!(driver.used_index(TX), used);
    fault
}

fn chain(driver: &mut Driver<Net>) -> Chain {
    driver.slot.transport.queue(TX).peek(&driver.ram).expect("a good ring").expect("a chain")
}

#[test]
fn a_chain_is_walked_in_order_and_empty_buffers_are_passed_over() {
    let mut driver = driver();
    driver.describe(desc(TX), 5, buffer(TX, 0), 3, NEXT, 2);
    driver.describe(desc(TX), 2, GuestPhys(0), 0, NEXT, 0);
    driver.describe(desc(TX), 0, buffer(TX, 1), 4, NEXT, 7);
    driver.describe(desc(TX), 7, buffer(TX, 2), 5, WRITE, 0);
    driver.offer(TX, 5);
    driver.ram.write(buffer(TX, 0), b"abc").unwrap();
    driver.ram.write(buffer(TX, 1), b"defg").unwrap();
    let chain = chain(&mut driver);
    assert_eq!((chain.head, chain.readable_bytes(), chain.writable_bytes()), (5, 7, 5));
    let read = |skip, max| chain.read(&driver.ram, skip, max).unwrap();
    assert_eq!(read(0, 100), b"abcdefg");
    assert_eq!(read(2, 3), b"cde");
    assert_eq!(read(4, 100), b"efg");
    assert_eq!(read(7, 100), b"");
    assert_eq!(read(u64::MAX, 100), b"");
    assert_eq!(chain.write(&mut driver.ram, b"1234567"), Ok(5));
    assert_eq!(driver.bytes(buffer(TX, 2), 6), b"12345\0");
}

#[test]
fn an_indirect_table_continues_a_chain() {
    let mut driver = driver();
    let table = buffer(TX, 7);
    driver.describe(desc(TX), 0, buffer(TX, 0), 2, NEXT, 1);
    driver.describe(desc(TX), 1, table, 32, INDIRECT, 0);
    driver.describe(table, 0, buffer(TX, 1), 3, NEXT, 1);
    driver.describe(table, 1, buffer(TX, 2), 4, WRITE, 0);
    driver.offer(TX, 0);
    let chain = chain(&mut driver);
    assert_eq!((chain.readable_bytes(), chain.writable_bytes()), (5, 4));
}

#[test]
fn used_and_available_indexes_wrap() {
    let mut driver = driver();
    for round in 0..70_000u32 {
        driver.offer_buffer(TX, (round % 8) as u16, 64, 0);
        driver.notify(TX);
        driver.out.frames.clear();
    }
    assert_eq!(driver.used_index(TX), 70_000u32 as u16);
    assert_eq!(driver.get(0x70), RUNNING);
}

#[test]
fn a_descriptor_that_names_itself_is_a_loop() {
    let mut driver = driver();
    driver.describe(desc(TX), 3, buffer(TX, 0), 1, NEXT, 3);
    driver.offer(TX, 3);
    assert_eq!(fault(&mut driver), QueueFault::ChainTooLong { head: 3 });
}

#[test]
fn an_indirect_table_that_names_itself_is_a_loop() {
    let mut driver = driver();
    let table = buffer(TX, 7);
    driver.describe(desc(TX), 0, table, 32, INDIRECT, 0);
    driver.describe(table, 0, buffer(TX, 0), 1, NEXT, 1);
    driver.describe(table, 1, buffer(TX, 0), 1, NEXT, 0);
    driver.offer(TX, 0);
    assert_eq!(fault(&mut driver), QueueFault::ChainTooLong { head: 0 });
}

#[test]
fn the_longest_chain_is_walked_and_a_longer_one_is_not() {
    for (entries, good) in [(CHAIN_DESCRIPTORS_MAX, true), (CHAIN_DESCRIPTORS_MAX + 1, false)] {
        let mut driver = driver();
        let table = buffer(TX, 4);
        for i in 0..entries as u16 {
            let flags = if u32::from(i) + 1 < entries { NEXT } else { 0 };
            driver.describe(table, i, buffer(TX, 0), 1, flags, i + 1);
        }
        driver.describe(desc(TX), 0, table, 16 * entries, INDIRECT, 0);
        driver.offer(TX, 0);
        let walked = driver.slot.transport.queue(TX).peek(&driver.ram);
        assert_eq!(walked.is_ok(), good, "{entries}");
    }
}

#[test]
fn descriptors_that_do_not_exist() {
    let mut one = driver();
    one.offer(TX, 8);
    assert_eq!(fault(&mut one), QueueFault::NoSuchDescriptor { index: 8, count: 8 });

    let mut two = driver();
    two.describe(desc(TX), 0, buffer(TX, 0), 64, NEXT, 65_535);
    two.offer(TX, 0);
    assert_eq!(fault(&mut two), QueueFault::NoSuchDescriptor { index: 65_535, count: 8 });

    let mut three = driver();
    three.describe(desc(TX), 0, buffer(TX, 7), 16, INDIRECT, 0);
    three.describe(buffer(TX, 7), 0, buffer(TX, 0), 64, NEXT, 1);
    three.offer(TX, 0);
    assert_eq!(fault(&mut three), QueueFault::NoSuchDescriptor { index: 1, count: 1 });
}

#[test]
fn buffers_outside_ram() {
    let end = RAM_BASE.plus(crate::devices::virtio::testing::RAM_BYTES);
    let places = [
        (GuestPhys(0), 64),
        (GuestPhys(0x1000_0000), 1),
        (GuestPhys(RAM_BASE.get() - 1), 2),
        (GuestPhys(end.get() - 1), 2),
        (end, 1),
        (RAM_BASE, u32::MAX),
        (GuestPhys(u64::MAX), 1),
        (GuestPhys(u64::MAX - 62), 64),
    ];
    for (at, len) in places {
        for flags in [0, WRITE] {
            let mut driver = driver();
            driver.describe(desc(TX), 0, at, len, flags, 0);
            driver.offer(TX, 0);
            assert_eq!(fault(&mut driver), QueueFault::OutsideRam { at, len });
        }
        let mut driver = driver();
        driver.describe(desc(TX), 0, at, 64, INDIRECT, 0);
        driver.offer(TX, 0);
        if at != RAM_BASE {
            assert!(matches!(fault(&mut driver), QueueFault::OutsideRam { .. }), "table at {at}");
        }
    }
}

#[test]
fn indirect_tables_that_cannot_be() {
    for (len, flags) in [(0, INDIRECT), (8, INDIRECT), (17, INDIRECT), (32, INDIRECT | NEXT)] {
        let mut driver = driver();
        driver.describe(desc(TX), 0, buffer(TX, 7), len, flags, 0);
        driver.offer(TX, 0);
        assert_eq!(fault(&mut driver), QueueFault::BadIndirect { len, flags });
    }
    let mut nested = driver();
    nested.describe(desc(TX), 0, buffer(TX, 7), 16, INDIRECT, 0);
    nested.describe(buffer(TX, 7), 0, buffer(TX, 7), 16, INDIRECT, 0);
    nested.offer(TX, 0);
    assert_eq!(fault(&mut nested), QueueFault::BadIndirect { len: 16, flags: INDIRECT });
}

#[test]
fn a_buffer_to_read_after_one_to_write() {
    let mut driver = driver();
    driver.describe(desc(TX), 0, buffer(TX, 0), 64, WRITE | NEXT, 1);
    driver.describe(desc(TX), 1, buffer(TX, 1), 64, 0, 0);
    driver.offer(TX, 0);
    assert_eq!(fault(&mut driver), QueueFault::ReadAfterWrite { head: 0 });
}

#[test]
fn an_available_index_that_jumps() {
    for to in [9, 10, 0x8000, 0xffff] {
        let mut driver = driver();
        driver.ram.write_u16(avail(TX).plus(2), to).unwrap();
        assert_eq!(fault(&mut driver), QueueFault::AvailJump { from: 0, to, size: 8 });
    }
    // Back is a jump too.
    let mut driver = driver();
    driver.offer_buffer(TX, 0, 64, 0);
    driver.notify(TX);
    driver.ram.write_u16(avail(TX).plus(2), 0).unwrap();
    assert_eq!(fault(&mut driver), QueueFault::AvailJump { from: 1, to: 0, size: 8 });
}

#[test]
fn notifies_before_time_and_of_queues_that_do_not_exist_do_nothing() {
    let mut early = Driver::new(Net::new([0; 6]));
    early.notify(TX);
    early.negotiate();
    early.set_up_queue(TX);
    early.offer_buffer(TX, 0, 64, 0);
    early.notify(TX);
    assert!(early.out.is_empty(), "not before DRIVER_OK");

    let mut driver = Driver::running(Net::new([0; 6]));
    driver.offer_buffer(TX, 0, 64, 0);
    for queue in [2, 3, 0xffff, u32::MAX] {
        driver.set(0x50, queue);
    }
    driver.set(0x30, TX as u32);
    driver.set(0x44, 0);
    driver.notify(TX);
    assert!(driver.out.is_empty(), "not while the queue is not ready");
    assert_eq!(driver.get(0x70), RUNNING);
}

#[test]
fn rings_laid_over_each_other_end_all_the_same() {
    // The used index lies on the available index: each chain given back makes another available.
    let mut driver = driver();
    driver.set(0x30, TX as u32);
    driver.set(0x44, 0);
    driver.set(0xa0, avail(TX).get() as u32);
    driver.set(0x44, 1);
    driver.describe(desc(TX), 0, buffer(TX, 0), 64, 0, 0);
    driver.ram.write_u16(avail(TX).plus(2), 8).unwrap();
    driver.notify(TX);
    assert!(driver.out.frames.len() <= 8, "{} frames", driver.out.frames.len());

    // Everything on one spot.
    let mut heap = self::driver();
    heap.set(0x30, TX as u32);
    heap.set(0x44, 0);
    for register in [0x80, 0x90, 0xa0] {
        heap.set(register, used(TX).get() as u32);
    }
    heap.set(0x44, 1);
    heap.ram.write_u16(used(TX).plus(2), 3).unwrap();
    for _ in 0..100 {
        heap.notify(TX);
    }
    assert!(heap.out.frames.len() <= 800);
}

#[test]
fn the_driver_may_decline_interrupts() {
    let mut driver = driver();
    driver.ram.write_u16(avail(TX), 1).unwrap();
    driver.offer_buffer(TX, 0, 64, 0);
    driver.notify(TX);
    assert_eq!((driver.used_index(TX), driver.get(0x60)), (1, 0));
    driver.ram.write_u16(avail(TX), 0).unwrap();
    driver.offer_buffer(TX, 1, 64, 0);
    driver.notify(TX);
    assert_eq!((driver.used_index(TX), driver.get(0x60)), (2, 1));
}
