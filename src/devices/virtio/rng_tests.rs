//! The entropy device: what it asks, and what comes of the answer.

use super::*;
use crate::devices::virtio::testing::{Driver, RUNNING, WRITE, avail, buffer};

fn driver() -> Driver<Rng> {
    Driver::running(Rng::default())
}

fn complete(driver: &mut Driver<Rng>, bytes: &[u8]) -> bool {
    driver.slot.complete(&mut driver.ram, &mut driver.out, bytes)
}

#[test]
fn a_buffer_asks_and_the_answer_fills_it() {
    let mut driver = driver();
    driver.offer_buffer(0, 2, 40, WRITE);
    driver.notify(0);
    assert!(std::mem::take(&mut driver.out.request));
    assert_eq!(driver.slot.device.asked(), Some(40));
    assert_eq!(driver.used_index(0), 0);
    driver.notify(0);
    assert!(!driver.out.request, "asked once");
    assert!(complete(&mut driver, &[0xa5; 40]));
    assert_eq!(driver.used_element(0, 0), (2, 40));
    assert_eq!(driver.bytes(buffer(0, 2), 41), [[0xa5; 40].as_slice(), &[0]].concat());
    assert!(driver.slot.interrupt());
    assert_eq!(driver.slot.device.asked(), None);
}

#[test]
fn requests_are_made_one_after_the_other_and_are_bounded() {
    let mut driver = driver();
    driver.offer_buffer(0, 0, 2000, WRITE);
    driver.offer_buffer(0, 1, 1, WRITE);
    driver.notify(0);
    assert_eq!(driver.slot.device.asked(), Some(REQUEST_BYTES_MAX));
    assert!(complete(&mut driver, &[1; REQUEST_BYTES_MAX as usize]));
    assert_eq!(driver.used_element(0, 0), (0, REQUEST_BYTES_MAX));
    assert_eq!(driver.slot.device.asked(), Some(1));
    assert!(complete(&mut driver, &[2]));
    assert_eq!(driver.used_index(0), 2);
}

#[test]
fn an_answer_that_was_not_asked_for_changes_nothing() {
    let mut driver = driver();
    assert!(!complete(&mut driver, &[1; 8]));
    driver.offer_buffer(0, 0, 8, WRITE);
    driver.notify(0);
    let before = driver.slot.clone();
    assert!(!complete(&mut driver, &[1; 7]));
    assert!(!complete(&mut driver, &[1; 9]));
    assert!(!complete(&mut driver, &[]));
    assert_eq!(driver.slot, before);
}

#[test]
fn buffers_without_room_come_back_empty() {
    let mut driver = driver();
    driver.offer_buffer(0, 0, 0, WRITE);
    driver.offer_buffer(0, 1, 8, 0);
    driver.offer_buffer(0, 2, 8, WRITE);
    driver.notify(0);
    assert_eq!((driver.used_index(0), driver.used_element(0, 1)), (2, (1, 0)));
    assert_eq!(driver.slot.device.asked(), Some(8));
}

#[test]
fn a_reset_takes_the_request_back() {
    let mut driver = driver();
    driver.offer_buffer(0, 0, 8, WRITE);
    driver.notify(0);
    driver.set(0x70, 0);
    assert_eq!(driver.slot.device.asked(), None);
    assert!(!complete(&mut driver, &[1; 8]));
}

#[test]
fn a_driver_that_takes_the_buffer_away_meanwhile_gets_nothing() {
    let mut driver = driver();
    driver.offer_buffer(0, 0, 8, WRITE);
    driver.notify(0);
    driver.ram.write_u16(avail(0).plus(2), 0).unwrap();
    assert!(complete(&mut driver, &[1; 8]));
    assert_eq!((driver.used_index(0), driver.get(0x70)), (0, RUNNING));
    assert_eq!(driver.bytes(buffer(0, 0), 8), [0; 8]);

    // A smaller buffer takes what fits; a broken ring breaks the device and takes the request back.
    let mut driver = self::driver();
    driver.offer_buffer(0, 0, 8, WRITE);
    driver.notify(0);
    driver.describe(crate::devices::virtio::testing::desc(0), 0, buffer(0, 0), 3, WRITE, 0);
    assert!(complete(&mut driver, &[1; 8]));
    assert_eq!(driver.used_element(0, 0), (0, 3));
    driver.offer_buffer(0, 0, 8, WRITE);
    driver.notify(0);
    driver.ram.write_u16(avail(0).plus(2), 99).unwrap();
    assert!(complete(&mut driver, &[1; 8]));
    assert!(driver.slot.transport.fault().is_some());
    assert_eq!(driver.slot.device.asked(), None);
}

#[test]
fn a_state_from_outside_is_looked_at() {
    assert_eq!(Rng { asked: Some(256) }.check(), Ok(()));
    assert_eq!(Rng { asked: Some(0) }.check().unwrap_err().found, 0);
    assert_eq!(Rng { asked: Some(257) }.check().unwrap_err().field, "request");
}
