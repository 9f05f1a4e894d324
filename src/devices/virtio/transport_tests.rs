//! The registers that all virtio devices share.

use super::*;
use crate::devices::virtio::net::Net;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::testing::{ACCEPTED, Driver, NEEDS_RESET, RUNNING, desc};

fn net() -> Driver<Net> {
    Driver::new(Net::new([0x52, 0x54, 0, 0x4c, 0x53, 1]))
}

#[test]
fn the_slot_tells_what_it_is() {
    let mut driver = net();
    assert_eq!(driver.get(0), 0x7472_6976);
    assert_eq!((driver.get(4), driver.get(8)), (2, 1));
    assert_eq!(driver.get(0xfc), 0);
    assert_eq!(driver.get(0xb0), u32::MAX, "no shared memory");
    assert_eq!(Driver::new(Rng::default()).get(8), 4);
}

#[test]
fn the_configuration_is_read_at_any_width_and_ends_in_zeros() {
    let mut driver = net();
    let read = |driver: &mut Driver<Net>, at: u64, size: u8| driver.slot.read(0x100 + at, size).unwrap();
    let mac: Vec<u64> = (0..6).map(|i| read(&mut driver, i, 1)).collect();
    assert_eq!(mac, [0x52, 0x54, 0, 0x4c, 0x53, 1]);
    assert_eq!(read(&mut driver, 6, 2), 1, "the link is up");
    assert_eq!(read(&mut driver, 0, 8), 0x0001_0153_4c00_5452);
    assert_eq!(read(&mut driver, 8, 8), 0);
    assert_eq!(read(&mut driver, 0xef8, 8), 0);
    driver.set(0x100, 77);
    assert_eq!(read(&mut driver, 0, 1), 0x52);
}

#[test]
fn registers_are_four_bytes_wide() {
    let mut driver = net();
    for size in [1, 2, 8] {
        assert_eq!(driver.slot.read(0, size), Err(BusFault));
        assert_eq!(driver.slot.write(&mut driver.ram, &mut driver.out, 0x70, size, 1), Err(BusFault));
    }
}

#[test]
fn features_are_accepted_only_when_they_were_offered() {
    let mut driver = net();
    driver.slot.set_first(true);
    driver.set(0x70, 3);
    driver.set(0x70, ACCEPTED);
    assert_eq!(driver.get(0x70), 3, "VERSION_1 is missing, which the first revision insists on");
    driver.slot.set_first(false);
    driver.set(0x20, 1 << 3);
    driver.set(0x70, ACCEPTED);
    assert_eq!(driver.get(0x70), 3, "not offered, for a legacy driver either");
    driver.set(0x24, 1);
    driver.set(0x20, 1);
    driver.set(0x24, 0);
    driver.set(0x20, 1 << 3);
    driver.set(0x70, ACCEPTED);
    assert_eq!(driver.get(0x70), 3, "a feature that is not offered");
    driver.set(0x20, 1 << 5);
    driver.set(0x70, ACCEPTED);
    assert_eq!(driver.get(0x70), ACCEPTED);
    driver.set(0x20, u32::MAX);
    assert_eq!(driver.slot.transport.driver_features, 1 << 32 | 1 << 5, "fixed by FEATURES_OK");
    driver.set(0x14, 2);
    assert_eq!(driver.get(0x10), 0);
}

#[test]
fn a_queue_is_set_up_while_not_ready_and_fixed_after() {
    let mut driver = net();
    driver.negotiate();
    driver.set_up_queue(0);
    assert_eq!(driver.get(0x44), 1);
    driver.set(0x80, 0x1234);
    driver.set(0x38, 4);
    assert_eq!(driver.slot.transport.queues[0].desc, desc(0));
    assert_eq!(driver.slot.transport.queues[0].size, 8);
    driver.set(0x44, 0);
    assert_eq!(driver.get(0x44), 0);
    driver.set(0x30, 2);
    assert_eq!((driver.get(0x34), driver.get(0x44)), (0, 0), "there is no third queue");
    driver.set(0x44, 1);
    driver.set(0x30, u32::MAX);
    driver.set(0x38, 8);
    assert_eq!(driver.get(0x70), ACCEPTED);
}

#[test]
fn a_ring_that_cannot_be_breaks_the_device() {
    let bad_sizes = [0, 3, 12, 255, 512, 65_535, 65_536, u32::MAX];
    for size in bad_sizes {
        let mut driver = net();
        driver.negotiate();
        driver.set(0x38, size);
        driver.set(0x80, desc(0).get() as u32);
        driver.set(0x90, desc(0).get() as u32);
        driver.set(0xa0, desc(0).get() as u32);
        driver.set(0x44, 1);
        assert_eq!(driver.get(0x44), 0, "size {size}");
        assert_ne!(driver.get(0x70) & NEEDS_RESET, 0, "size {size}");
    }
    // Misaligned, below RAM, over the end of RAM, over the end of all addresses.
    let places: [(u64, u64); 6] = [
        (0x80, 0x8001_0008),
        (0x90, 0x8001_0001),
        (0xa0, 0x8001_0002),
        (0x80, 0x1000_0000),
        (0xa0, 0x800f_fffc),
        (0x90, 0xffff_ffff_ffff_fffe),
    ];
    for (register, at) in places {
        let mut driver = net();
        driver.negotiate();
        driver.set_up_queue(0);
        driver.set(0x44, 0);
        driver.set(register, at as u32);
        driver.set(register + 4, (at >> 32) as u32);
        driver.set(0x44, 1);
        assert_eq!(driver.get(0x44), 0, "{register:#x} at {at:#x}");
        assert!(matches!(driver.slot.transport.fault(), Some(QueueFault::BadRing { .. })));
    }
}

#[test]
fn a_broken_running_device_says_so_by_interrupt_until_it_is_reset() {
    let mut driver = Driver::running(Net::new([0; 6]));
    driver.set(0x30, 0);
    driver.set(0x44, 0);
    driver.set(0x38, 3);
    driver.set(0x44, 1);
    assert_eq!(driver.get(0x70), RUNNING | NEEDS_RESET);
    assert_eq!(driver.get(0x60), 2);
    assert!(driver.slot.interrupt());
    driver.set(0x64, 2);
    assert!(!driver.slot.interrupt());
    driver.set(0x70, RUNNING);
    assert_eq!(driver.get(0x70), RUNNING | NEEDS_RESET, "only a reset clears it");
    assert!(!driver.slot.transport.is_live());
    driver.set(0x70, 0);
    assert_eq!(driver.slot, Slot::new(Net::new([0; 6])));
}

#[test]
fn an_empty_slot_has_device_0() {
    assert_eq!(read_empty(0, 4, false), Ok(0x7472_6976));
    assert_eq!(read_empty(8, 4, false), Ok(0));
    assert_eq!(read_empty(0x70, 4, false), Ok(0));
    assert_eq!(read_empty(0x100, 1, false), Ok(0));
    assert_eq!(read_empty(8, 1, false), Err(BusFault));
}

#[test]
fn a_state_from_outside_is_looked_at() {
    let ram_bytes = crate::devices::virtio::testing::RAM_BYTES;
    let good = Driver::running(Net::new([0; 6])).slot;
    assert_eq!(good.check(ram_bytes), Ok(()));
    let bad = |change: fn(&mut Slot<Net>)| {
        let mut slot = good.clone();
        change(&mut slot);
        slot.check(ram_bytes).unwrap_err().field
    };
    assert_eq!(bad(|s| s.transport.queues.truncate(1)), "queue count");
    assert_eq!(bad(|s| s.transport.queues.push(Queue::default())), "queue count");
    assert_eq!(bad(|s| s.transport.status = 0x10), "status");
    assert_eq!(bad(|s| s.transport.interrupt = 4), "interrupt status");
    assert_eq!(bad(|s| s.transport.driver_features = 8), "driver features");
    assert_eq!(bad(|s| s.transport.queues[0].size = 0), "ring");
    assert_eq!(bad(|s| s.transport.queues[1].used = GuestPhys(0)), "ring");
    assert_eq!(bad(|s| s.device.rx_dropped = u64::MAX), "counter");
    assert_eq!(good.check(0x1_0000).unwrap_err().field, "ring", "RAM is smaller here");
}
