//! The core-local interruptor of one hart: software interrupt, timer compare values, time.
//!
//! | offset | register |
//! |---|---|
//! | `0x0000` | `msip` (bit 0) |
//! | `0x4000` | `mtimecmp` |
//! | `0xbff8` | `mtime` (read: a question, which the hart answers from `time_at` or stops at; writes are ignored) |
//!
//! Other offsets read 0 and ignore writes, those of harts that do not exist among them. Below `0x4000`
//! registers are 4 bytes wide, from there on 4 or 8; another width is an access fault.
//!
//! The guest's clock is a function of the position ([`Timebase`]) whose anchors come from inputs. Timers
//! compare with `time_known`: the latest time that the guest has read (from `mtime` or the `time` CSR) or
//! that an input has set. So a timer never fires by itself in the middle of a run: it is due where the guest
//! reads a time at or past its compare value, or where an input sets one, and both are the same on every
//! replica.
//! Sstc's `stimecmp` lives here too, beside the time that it is compared with.

use serde::{Deserialize, Serialize};

use super::timebase::Timebase;
use crate::base::Icount;
use crate::cpu::{Answer, BusFault, BusRead, Question};

const MSIP: u64 = 0x0000;
const MTIMECMP: u64 = 0x4000;
const MTIME: u64 = 0xbff8;
/// No register's offset.
const NOTHING: u64 = u64::MAX;

/// Bits of `mip` (Priv. spec 3.1.9).
pub const MIP_MSIP: u64 = 1 << 3;
pub const MIP_STIP: u64 = 1 << 5;
pub const MIP_MTIP: u64 = 1 << 7;

/// The core-local interruptor's state; every value of it is a legal one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clint {
    msip: bool,
    mtimecmp: u64,
    stimecmp: u64,
    time_known: u64,
    /// Encoded by the code that saves the machine, behind everything else: before there were rates it was not
    /// there.
    #[serde(skip)]
    pub timebase: Timebase,
}

impl Default for Clint {
    /// No timer armed, time 0.
    fn default() -> Self {
        Self {
            msip: false,
            mtimecmp: u64::MAX,
            stimecmp: u64::MAX,
            time_known: 0,
            timebase: Timebase::default(),
        }
    }
}

impl Clint {
    pub fn read(&mut self, offset: u64, size: u8, answer: Option<Answer>) -> Result<BusRead, BusFault> {
        let (register, at) = Self::register(offset, size)?;
        let value = match register {
            MSIP => u64::from(self.msip),
            MTIMECMP => self.mtimecmp,
            NOTHING => 0,
            _ => match answer {
                Some(Answer::Time(time)) => {
                    self.learn_time(time);
                    self.time_known
                }
                _ => return Ok(BusRead::Ask(Question::Time)),
            },
        };
        let value = value >> (8 * at);
        Ok(BusRead::Value(if size == 4 { value & 0xffff_ffff } else { value }))
    }

    /// Whether a read there asks for the time.
    pub fn asks(&self, offset: u64, size: u8) -> bool {
        matches!(Self::register(offset, size), Ok((MTIME, _)))
    }

    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> Result<(), BusFault> {
        let (register, at) = Self::register(offset, size)?;
        match register {
            MSIP => self.msip = value & 1 != 0,
            MTIMECMP => {
                let mask = if size == 4 { 0xffff_ffff << (8 * at) } else { u64::MAX };
                self.mtimecmp = self.mtimecmp & !mask | (value << (8 * at)) & mask;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an access of `size` at `offset` meets a register.
    pub fn has_register(offset: u64, size: u8) -> bool {
        matches!(Self::register(offset, size), Ok((register, _)) if register != NOTHING)
    }

    /// The register that covers `offset`, and the byte in it where an access of `size` begins.
    fn register(offset: u64, size: u8) -> Result<(u64, u64), BusFault> {
        match (offset, size) {
            (MSIP, 4) => Ok((MSIP, 0)),
            (MTIMECMP | MTIME, 4 | 8) => Ok((offset, 0)),
            (0x4004 | 0xbffc, 4) => Ok((offset - 4, 4)),
            (..MTIMECMP, 4) | (MTIMECMP.., 4 | 8) if offset.is_multiple_of(size.into()) => Ok((NOTHING, 0)),
            _ => Err(BusFault),
        }
    }

    /// As after power-on, at the same time.
    pub fn restarted(&self) -> Self {
        Self { time_known: self.time_known, timebase: self.timebase.clone(), ..Self::default() }
    }

    /// This time has come. Never goes back.
    pub fn learn_time(&mut self, time: u64) {
        self.time_known = self.time_known.max(time);
    }

    /// The latest time that the guest has read or an input has set, in ticks.
    pub fn time_known(&self) -> u64 {
        self.time_known
    }

    /// The guest's clock at position `at`, in ticks; never before what is known.
    pub fn time_at(&self, at: Icount) -> u64 {
        self.timebase.time_at(at).max(self.time_known)
    }

    /// From position `at` on the clock goes on from `time`, or from where it is if that is later, at `rate` if
    /// one is given; that time has come.
    pub fn set_clock(&mut self, at: Icount, time: u64, rate: Option<u16>) {
        let time = time.max(self.time_at(at));
        self.timebase.anchor(at, time, rate);
        self.learn_time(time);
    }

    /// The clock's rate, in ticks in 65,536 instructions.
    pub fn rate(&self) -> u16 {
        self.timebase.rate()
    }

    pub fn stimecmp(&self) -> u64 {
        self.stimecmp
    }

    pub fn set_stimecmp(&mut self, value: u64) {
        self.stimecmp = value;
    }

    /// The next time at which a timer becomes due: the smallest compare value that is still to
    /// come. `u64::MAX` (the reset value) means "not armed".
    pub fn deadline(&self) -> Option<u64> {
        [self.mtimecmp, self.stimecmp].into_iter().filter(|&at| at > self.time_known && at != u64::MAX).min()
    }

    /// MSIP, STIP and MTIP as bits of `mip`.
    pub fn lines(&self) -> u64 {
        let bit = |on: bool, bit: u64| if on { bit } else { 0 };
        bit(self.msip, MIP_MSIP)
            | bit(self.time_known >= self.stimecmp, MIP_STIP)
            | bit(self.time_known >= self.mtimecmp, MIP_MTIP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(clint: &mut Clint, offset: u64, size: u8) -> u64 {
        match clint.read(offset, size, None) {
            Ok(BusRead::Value(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn software_interrupt_follows_msip() {
        let mut clint = Clint::default();
        assert_eq!(clint.lines(), 0);
        clint.write(MSIP, 4, 0xffff_ffff).unwrap();
        assert_eq!(clint.lines(), MIP_MSIP);
        assert_eq!(value(&mut clint, MSIP, 4), 1);
        clint.write(MSIP, 4, 0).unwrap();
        assert_eq!(clint.lines(), 0);
    }

    #[test]
    fn reading_time_asks_and_the_answer_is_remembered_but_never_goes_back() {
        let mut clint = Clint::default();
        assert_eq!(clint.read(MTIME, 8, None), Ok(BusRead::Ask(Question::Time)));
        assert_eq!(clint.read(MTIME, 8, Some(Answer::Entropy(1))), Ok(BusRead::Ask(Question::Time)));
        let time = 0x5_0000_0007;
        assert_eq!(clint.read(MTIME, 8, Some(Answer::Time(time))), Ok(BusRead::Value(time)));
        assert_eq!(clint.read(MTIME, 8, Some(Answer::Time(3))), Ok(BusRead::Value(time)));
        assert_eq!(clint.read(0xbffc, 4, Some(Answer::Time(0))), Ok(BusRead::Value(5)));
        assert_eq!(clint.read(MTIME, 4, Some(Answer::Time(0))), Ok(BusRead::Value(7)));
        clint.write(MTIME, 8, 0).unwrap();
        assert_eq!(clint.time_known(), time);
    }

    #[test]
    fn timers_are_due_when_the_known_time_reaches_them() {
        let mut clint = Clint::default();
        assert_eq!(clint.deadline(), None);
        clint.write(MTIMECMP, 8, 100).unwrap();
        clint.set_stimecmp(50);
        assert_eq!(clint.deadline(), Some(50));
        clint.learn_time(50);
        assert_eq!((clint.lines(), clint.deadline()), (MIP_STIP, Some(100)));
        clint.learn_time(100);
        assert_eq!((clint.lines(), clint.deadline()), (MIP_STIP | MIP_MTIP, None));
        clint.write(0x4004, 4, 1).unwrap();
        assert_eq!(value(&mut clint, MTIMECMP, 8), 0x1_0000_0064);
        assert_eq!(clint.lines(), MIP_STIP);
        clint.write(MTIMECMP, 4, 0x77).unwrap();
        assert_eq!(value(&mut clint, MTIMECMP, 4), 0x77);
        assert_eq!(value(&mut clint, 0x4004, 4), 1);
    }

    #[test]
    fn registers_of_harts_that_do_not_exist_read_0_and_ignore_writes() {
        let mut clint = Clint::default();
        let fresh = clint.clone();
        for (offset, size) in [
            (4, 4),
            (0x3ffc, 4),
            (0x4008, 8),
            (0x4008, 4),
            (0x400c, 4),
            (0xbff0, 8),
            (0xc000, 4),
            (0xfff8, 8),
        ] {
            assert_eq!(clint.write(offset, size, u64::MAX), Ok(()), "{offset:#x} {size}");
            assert_eq!(value(&mut clint, offset, size), 0, "{offset:#x} {size}");
            assert!(!clint.asks(offset, size));
        }
        assert_eq!(clint, fresh);
    }

    #[test]
    fn other_widths_fault() {
        let mut clint = Clint::default();
        for (offset, size) in [(0, 8), (0, 1), (8, 8), (0x4000, 2), (0x4004, 8), (0x4009, 1), (0xbffc, 8)] {
            assert_eq!(clint.read(offset, size, None), Err(BusFault), "{offset:#x} {size}");
            assert_eq!(clint.write(offset, size, 0), Err(BusFault), "{offset:#x} {size}");
        }
    }
}
