//! The virtio console.

use super::*;
use crate::devices::virtio::testing::{Driver, NEXT, RUNNING, WRITE, buffer, desc};
use crate::mem::RAM_BASE;

fn driver() -> Driver<Console> {
    Driver::running(Console::default())
}

#[test]
fn what_the_guest_sends_is_output_in_order() {
    let mut driver = driver();
    driver.ram.write(buffer(TX, 0), b"hello, ").unwrap();
    driver.ram.write(buffer(TX, 1), b"world").unwrap();
    driver.offer_buffer(TX, 0, 7, 0);
    driver.offer_buffer(TX, 1, 5, 0);
    driver.notify(TX);
    assert_eq!(driver.out.console, b"hello, world");
    assert_eq!(driver.used_index(TX), 2);
    assert!(driver.slot.interrupt());
}

#[test]
fn what_is_typed_fills_the_buffers_and_the_rest_waits() {
    let mut driver = driver();
    driver.offer_buffer(RX, 0, 4, WRITE);
    driver.slot.receive(&mut driver.ram, b"abcdef");
    assert_eq!(driver.used_element(RX, 0), (0, 4));
    assert_eq!(driver.bytes(buffer(RX, 0), 4), b"abcd");
    assert_eq!(driver.slot.room(), RX_BYTES_MAX - 2);
    driver.offer_buffer(RX, 1, 100, WRITE);
    driver.notify(RX);
    assert_eq!(driver.used_element(RX, 1), (1, 2));
    assert_eq!(driver.bytes(buffer(RX, 1), 2), b"ef");
    assert_eq!(driver.slot.room(), RX_BYTES_MAX);
}

#[test]
fn typing_without_end_is_bounded() {
    let mut driver = driver();
    for _ in 0..100 {
        driver.slot.receive(&mut driver.ram, &[b'x'; 100]);
    }
    assert_eq!(driver.slot.room(), 0);
    assert_eq!(driver.slot.check(crate::devices::virtio::testing::RAM_BYTES), Ok(()));
}

#[test]
fn a_new_size_is_told_by_interrupt_and_an_old_one_is_not() {
    let mut driver = driver();
    let size = |driver: &mut Driver<Console>| [0x100, 0x102].map(|at| driver.slot.read(at, 2).unwrap());
    assert_eq!((size(&mut driver), driver.get(0xfc)), ([0, 0], 0));
    driver.slot.resize(132, 50);
    assert_eq!((size(&mut driver), driver.get(0xfc)), ([132, 50], 1));
    assert_eq!((driver.get(0x60), driver.slot.interrupt()), (2, true));
    driver.set(0x64, 2);
    driver.slot.resize(132, 50);
    assert_eq!((driver.slot.interrupt(), driver.get(0xfc)), (false, 1));
    // The window stays as it is when the driver starts again.
    driver.set(0x70, 0);
    driver.slot.resize(80, 24);
    assert_eq!((driver.slot.interrupt(), size(&mut driver)), (false, [80, 24]));
}

#[test]
fn an_enormous_chain_is_cut() {
    let mut driver = driver();
    driver.describe(desc(TX), 0, RAM_BASE, 600_000, NEXT, 1);
    driver.describe(desc(TX), 1, RAM_BASE, 600_000, 0, 0);
    driver.offer(TX, 0);
    driver.notify(TX);
    assert_eq!(driver.out.console.len(), SEND_BYTES_MAX);
    assert_eq!((driver.used_index(TX), driver.get(0x70)), (1, RUNNING));
}
