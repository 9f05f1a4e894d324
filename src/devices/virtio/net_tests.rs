//! The network device between its driver and the wire.

use super::*;
use crate::devices::virtio::testing::{Driver, NEXT, RUNNING, WRITE, buffer, desc};
use crate::mem::RAM_BASE;

fn driver() -> Driver<Net> {
    Driver::running(Net::new([2, 0, 0, 0, 0, 9]))
}

fn send(driver: &mut Driver<Net>, index: u16, frame: &[u8]) {
    driver.ram.write(buffer(TX, index).plus(HEADER_BYTES), frame).unwrap();
    driver.offer_buffer(TX, index, HEADER_BYTES as u32 + frame.len() as u32, 0);
}

#[test]
fn frames_are_sent_at_the_notify_numbered_and_without_their_header() {
    let mut driver = driver();
    send(&mut driver, 0, b"first frame...");
    send(&mut driver, 1, b"second frame....");
    assert!(driver.out.is_empty());
    driver.notify(TX);
    let expected = [(1, b"first frame...".to_vec()), (2, b"second frame....".to_vec())];
    assert_eq!(driver.out.frames, expected);
    assert_eq!((driver.used_index(TX), driver.used_element(TX, 1)), (2, (1, 0)));
    assert!(driver.slot.interrupt());
    driver.notify(TX);
    assert_eq!(driver.out.frames.len(), 2);
}

#[test]
fn a_driver_without_version_1_has_a_header_of_10_bytes() {
    let mut driver = Driver::running_legacy(Net::new([2, 0, 0, 0, 0, 9]));
    driver.ram.write(buffer(TX, 0), b"hhhhhhhhhhfirst frame...").unwrap();
    driver.offer_buffer(TX, 0, 24, 0);
    driver.notify(TX);
    assert_eq!(driver.out.frames, [(1, b"first frame...".to_vec())]);
    driver.offer_buffer(RX, 0, 24, WRITE);
    driver.ram.write(buffer(RX, 0), &[0xff; 24]).unwrap();
    driver.slot.receive(&mut driver.ram, b"second frame..");
    assert_eq!(driver.bytes(buffer(RX, 0), 24), b"\0\0\0\0\0\0\0\0\0\0second frame..");
    assert_eq!(driver.used_element(RX, 0), (0, 24));
}

#[test]
fn a_frame_in_pieces_is_one_frame() {
    let mut driver = driver();
    driver.describe(desc(TX), 0, buffer(TX, 0), 5, NEXT, 1);
    driver.describe(desc(TX), 1, buffer(TX, 1), 10, NEXT, 2);
    driver.describe(desc(TX), 2, buffer(TX, 2), 20, 0, 0);
    driver.ram.write(buffer(TX, 1), b"hhhhhhhABC").unwrap();
    driver.ram.write(buffer(TX, 2), b"defghijklmnopqrstuvw").unwrap();
    driver.offer(TX, 0);
    driver.notify(TX);
    assert_eq!(driver.out.frames, [(1, b"ABCdefghijklmnopqrstuvw".to_vec())]);
}

#[test]
fn what_is_no_frame_is_dropped_counted_and_given_back() {
    let mut driver = driver();
    // Nothing; no header; a header and too little; the least frame.
    for (index, len) in [0, 11, 12 + 13, 12 + 14].into_iter().enumerate() {
        driver.offer_buffer(TX, index as u16, len, 0);
    }
    // Twice 64 KiB.
    driver.describe(desc(TX), 4, RAM_BASE, 65_536, NEXT, 5);
    driver.describe(desc(TX), 5, RAM_BASE, 65_536, 0, 0);
    driver.offer(TX, 4);
    driver.notify(TX);
    assert_eq!(driver.slot.device.tx_dropped, 4);
    assert_eq!(driver.out.frames.len(), 1);
    assert_eq!(driver.used_index(TX), 5);
    assert_eq!(driver.get(0x70), RUNNING);
}

#[test]
fn a_received_frame_lands_behind_a_header_and_raises_the_interrupt() {
    let mut driver = driver();
    driver.offer_buffer(RX, 3, 1600, WRITE);
    assert!(driver.slot.is_ready(&driver.ram));
    driver.slot.receive(&mut driver.ram, b"hello from the wire");
    assert_eq!(driver.used_element(RX, 0), (3, 12 + 19));
    assert_eq!(driver.bytes(buffer(RX, 3), 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(driver.bytes(buffer(RX, 3).plus(12), 19), b"hello from the wire");
    assert!(driver.slot.interrupt());
    assert!(!driver.slot.is_ready(&driver.ram));
    assert_eq!((driver.slot.device.rx_frames, driver.slot.device.rx_dropped), (1, 0));
}

#[test]
fn a_frame_without_a_buffer_is_dropped_and_a_small_buffer_is_kept() {
    let mut driver = driver();
    driver.slot.receive(&mut driver.ram, b"no buffer");
    driver.offer_buffer(RX, 0, 12 + 20, WRITE);
    driver.slot.receive(&mut driver.ram, &[1; 21]);
    assert_eq!(driver.slot.device.rx_dropped, 2);
    assert_eq!(driver.used_index(RX), 0);
    driver.slot.receive(&mut driver.ram, &[1; 20]);
    assert_eq!((driver.slot.device.rx_frames, driver.used_index(RX)), (1, 1));
}

#[test]
fn before_the_driver_is_up_frames_are_dropped() {
    let mut driver = Driver::new(Net::new([0; 6]));
    driver.slot.receive(&mut driver.ram, &[0; 60]);
    assert_eq!(driver.slot.device.rx_dropped, 1);
    assert!(!driver.slot.is_ready(&driver.ram));
}

#[test]
fn a_reset_keeps_the_numbers_of_frames() {
    let mut driver = driver();
    send(&mut driver, 0, b"before the reset");
    driver.notify(TX);
    let mut again = Driver::new(driver.slot.device.clone());
    again.slot = driver.slot;
    again.set(0x70, 0);
    assert_eq!(again.slot.device.tx_frames, 1);
}

#[test]
fn a_broken_receive_ring_breaks_the_device_and_loses_the_frame() {
    let mut driver = driver();
    driver.describe(desc(RX), 0, buffer(RX, 0), 64, WRITE | NEXT, 0);
    driver.offer(RX, 0);
    driver.slot.receive(&mut driver.ram, &[0; 60]);
    assert_eq!(driver.slot.device.rx_dropped, 1);
    assert_eq!(driver.slot.transport.fault(), Some(QueueFault::ChainTooLong { head: 0 }));
}
