//! What crosses the machine's wall: inputs in, outputs and requests out, and why a run stopped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cpu::{Answer, Question};
use crate::devices::disk::DiskDone;

/// Something delivered to the machine from outside, between two instructions, at a position that
/// the recorder picked and the replayer obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The instruction at this position asked; it retires with this answer.
    Answer(Answer),
    /// An Ethernet frame for the guest (without FCS). `rx_seq` is the number that the switch gave
    /// it; the machine remembers the last one, so that a successor knows where to go on.
    NetFrame {
        /// The switch's number for it.
        rx_seq: u64,
        /// From the destination address to the end of the payload.
        frame: Vec<u8>,
    },
    /// Bytes typed at the console.
    Console(Vec<u8>),
    /// The window that shows the console has this size now, in characters.
    ConsoleSize {
        /// Characters in a row.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Time has come to `time` (ticks, 10 MHz): timers at or before it are due. The clock goes on from
    /// there at its present rate.
    TimerDue {
        /// The guest's clock, in ticks.
        time: u64,
    },
    /// The guest's clock goes on from `time` at `rate` (ticks in 65,536 instructions), from this position on.
    /// It never goes back: it stays where it is when that is later.
    Clock {
        /// The guest's clock, in ticks.
        time: u64,
        /// Ticks in 65,536 instructions.
        rate: u16,
    },
    /// Entropy for the guest's outstanding virtio-rng request.
    Entropy(Vec<u8>),
    /// The end of the disk request that must end next on its disk.
    DiskDone(DiskDone),
}

/// A stream of outputs with a numbering of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// Network frames; numbered from 1, one each.
    Net,
    /// Console bytes; numbered by byte, the first byte of the guest's life is 0.
    Console,
}

/// An output of the machine. Replay regenerates it; the output rule decides when it may leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The `seq`-th Ethernet frame that the guest sent.
    Net {
        /// Frames sent since the guest's start, with this one.
        seq: u64,
        /// The frame, without FCS.
        frame: Vec<u8>,
    },
    /// Console bytes; the first is the `offset`-th of the guest's life.
    Console {
        /// Bytes printed before.
        offset: u64,
        /// The bytes; never none.
        bytes: Vec<u8>,
    },
}

impl Output {
    /// The stream that it is part of.
    pub const fn channel(&self) -> Channel {
        match self {
            Output::Net { .. } => Channel::Net,
            Output::Console { .. } => Channel::Console,
        }
    }

    /// Frame number or byte offset.
    pub const fn seq(&self) -> u64 {
        match self {
            Output::Net { seq, .. } => *seq,
            Output::Console { offset, .. } => *offset,
        }
    }

    /// The frame, or the console bytes.
    pub fn payload(&self) -> &[u8] {
        match self {
            Output::Net { frame, .. } => frame,
            Output::Console { bytes, .. } => bytes,
        }
    }
}

/// Something that a device asks of the host; part of the machine's state until an [`Input`]
/// completes it, so a successor can ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The virtio-rng device wants this many bytes: answer with [`Input::Entropy`].
    Entropy {
        /// Bytes wanted.
        len: u32,
    },
}

/// Why [`run_until`](super::Machine::run_until) came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The position asked for has been reached.
    Reached,
    /// The next instruction asks; deliver [`Input::Answer`] to go on.
    Ask(Question),
    /// Outputs or disk requests are waiting to be taken, or a device has a new request.
    Service,
    /// The hart waits for an interrupt (WFI) and none is pending: only an input can go on.
    Idle,
    /// The guest has ended; the machine will not move again.
    Halted(Exit),
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// Power-off through the test finisher with "pass", or a `tohost` of 1.
    Pass,
    /// "Fail" with the guest's own number.
    Fail(u32),
    /// The guest asked for a reset, and the machine is one that ends there.
    Reset,
    /// The guest's kernel gave up: it asked for a shutdown or reset because of a failure.
    Panic,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Pass => write!(f, "pass"),
            Exit::Fail(code) => write!(f, "failure {code}"),
            Exit::Reset => write!(f, "a reset"),
            Exit::Panic => write!(f, "a kernel panic"),
        }
    }
}

/// The status with which our process ends when the guest's kernel panicked: EX_SOFTWARE of sysexits.h.
pub const STATUS_PANIC: u8 = 70;

impl Exit {
    /// The status with which our process ends: 0 for a pass, never 0 for a failure.
    pub const fn status(self) -> u8 {
        match self {
            Exit::Pass | Exit::Reset => 0,
            Exit::Panic => STATUS_PANIC,
            Exit::Fail(code) => match code as u8 {
                0 => 1,
                low => low,
            },
        }
    }
}
