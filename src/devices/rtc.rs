//! Goldfish's real-time clock: the host's wall-clock time, in nanoseconds since 1970 (UTC).
//!
//! | offset | register |
//! |---|---|
//! | `0x00` | time, low half: a read is a question to the world, and latches the high half |
//! | `0x04` | time, high half, as of the last read of the low one |
//! | `0x08`..`0x1c` | alarm and its interrupt: read 0, writes are ignored; so does any other offset |
//!
//! Registers are 4 bytes wide. Setting the clock is ignored: it is the host's.
//!
//! Absent on purpose: alarms. A guest that sleeps for days uses its timer.

use serde::{Deserialize, Serialize};

use crate::cpu::{Answer, BusFault, BusRead, Question};

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;

/// The clock's state; every value of it is a legal one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtc {
    high: u32,
}

impl Rtc {
    pub fn read(&mut self, offset: u64, size: u8, answer: Option<Answer>) -> Result<BusRead, BusFault> {
        if !is_register(offset, size) {
            return Err(BusFault);
        }
        let value = match (offset, answer) {
            (TIME_LOW, Some(Answer::WallClock(ns))) => {
                self.high = (ns >> 32) as u32;
                ns as u32
            }
            (TIME_LOW, _) => return Ok(BusRead::Ask(Question::WallClock)),
            (TIME_HIGH, _) => self.high,
            _ => 0,
        };
        Ok(BusRead::Value(u64::from(value)))
    }

    /// Whether an access of `size` at `offset` meets a register.
    pub fn has_register(offset: u64, size: u8) -> bool {
        is_register(offset, size) && offset <= 0x1c
    }

    /// Whether a read there asks for the time.
    pub fn asks(&self, offset: u64, size: u8) -> bool {
        offset == TIME_LOW && is_register(offset, size)
    }

    pub fn write(&self, offset: u64, size: u8) -> Result<(), BusFault> {
        if is_register(offset, size) { Ok(()) } else { Err(BusFault) }
    }
}

fn is_register(offset: u64, size: u8) -> bool {
    size == 4 && offset.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_of_one_answer() {
        let mut rtc = Rtc::default();
        assert_eq!(rtc.read(TIME_LOW, 4, None), Ok(BusRead::Ask(Question::WallClock)));
        assert_eq!(rtc.read(TIME_LOW, 4, Some(Answer::Time(1))), Ok(BusRead::Ask(Question::WallClock)));
        let answer = Some(Answer::WallClock(0x1234_5678_9abc_def0));
        assert_eq!(rtc.read(TIME_LOW, 4, answer), Ok(BusRead::Value(0x9abc_def0)));
        assert_eq!(rtc.read(TIME_HIGH, 4, None), Ok(BusRead::Value(0x1234_5678)));
        assert!(rtc.asks(TIME_LOW, 4) && !rtc.asks(TIME_HIGH, 4) && !rtc.asks(TIME_LOW, 8));
    }

    #[test]
    fn the_alarm_is_inert_and_nothing_else_is_there() {
        let mut rtc = Rtc::default();
        for offset in (0x08..=0x24).step_by(4) {
            assert_eq!(rtc.write(offset, 4), Ok(()));
            assert_eq!(rtc.read(offset, 4, None), Ok(BusRead::Value(0)));
        }
        for (offset, size) in [(0x00, 8), (0x02, 2), (0x01, 4), (0x04, 1)] {
            assert_eq!(rtc.read(offset, size, None), Err(BusFault));
            assert_eq!(rtc.write(offset, size), Err(BusFault));
        }
    }
}
