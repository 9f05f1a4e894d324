//! A 16550A serial port: what Linux's 8250 driver and bare-metal pollers use of it.
//!
//! Sending takes no time: a byte written to THR is output at once, so the transmitter is always
//! empty. Receiving: bytes wait in a queue of [`RX_BYTES_MAX`] (deeper than a 16550's 16, which no
//! driver can tell) and are read one by one from RBR.
//!
//! | offset | DLAB=0 read | DLAB=0 write | DLAB=1 |
//! |---|---|---|---|
//! | 0 | RBR | THR | DLL |
//! | 1 | IER | IER | DLM |
//! | 2 | IIR | FCR | IIR, FCR |
//! | 3 | LCR | LCR | LCR |
//! | 4 | MCR | MCR | MCR |
//! | 5 | LSR | - | LSR |
//! | 6 | MSR | - | MSR |
//! | 7 | SCR | SCR | SCR |
//!
//! An access of 2, 4 or 8 bytes reaches the register at its address with its low byte.
//!
//! Absent on purpose: baud rate (the divisor is stored, nothing follows), parity and framing
//! errors, breaks, changing modem lines; the character time-out is immediate, since no time
//! passes here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::BadDevice;

/// Bytes received and not yet read; what comes beyond is lost (LSR shows an overrun).
pub const RX_BYTES_MAX: usize = 256;

const IER_RX: u8 = 1 << 0;
const IER_THRE: u8 = 1 << 1;
const IER_LINE: u8 = 1 << 2;
const IER_ALL: u8 = 0x0f;

const IIR_NONE: u8 = 0x01;
const IIR_THRE: u8 = 0x02;
const IIR_RX: u8 = 0x04;
const IIR_LINE: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x0c;
const IIR_FIFOS: u8 = 0xc0;

const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RX: u8 = 1 << 1;
const FCR_STORED: u8 = 0xc9;

const LCR_DLAB: u8 = 1 << 7;

const MCR_LOOP: u8 = 1 << 4;
const MCR_ALL: u8 = 0x1f;

const LSR_READY: u8 = 1 << 0;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_EMPTY: u8 = 0x60;

/// Carrier, data set ready, clear to send.
const MSR_CONNECTED: u8 = 0xb0;

/// The cause "transmitter empty".
///
/// ```text
///          a byte is sent, the interrupt is enabled
///   Idle ------------------------------------------> Raised
///    ^  IIR is read with this cause                    |  the interrupt controller is asked for a
///    +------------------------- Claimed <--------------+  claim while IIR would show this cause
/// ```
///
/// In `Claimed` IIR still shows the cause, but the line has fallen: a driver that handles the interrupt
/// without reading IIR is not interrupted again for the same event (QEMU's `virt` behaves so).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Thre {
    #[default]
    Idle,
    Raised,
    Claimed,
}

/// The serial port's registers and receive queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
    overrun: bool,
    thre: Thre,
    rx: VecDeque<u8>,
}

impl Uart {
    /// Reads the register at `offset` (its low 3 bits count).
    pub fn read(&mut self, offset: u64) -> u8 {
        match offset & 7 {
            0 if self.dlab() => self.divisor[0],
            0 => self.rx.pop_front().unwrap_or(0),
            1 if self.dlab() => self.divisor[1],
            1 => self.ier,
            2 => {
                let cause = self.cause();
                if cause == IIR_THRE {
                    self.thre = Thre::Idle;
                }
                cause | if self.fcr & FCR_ENABLE != 0 { IIR_FIFOS } else { 0 }
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let ready = if self.rx.is_empty() { 0 } else { LSR_READY };
                let overrun = if std::mem::take(&mut self.overrun) { LSR_OVERRUN } else { 0 };
                LSR_EMPTY | ready | overrun
            }
            6 => self.modem_status(),
            _ => self.scr,
        }
    }

    /// Writes the register at `offset`; `Some(byte)` is sent.
    pub fn write(&mut self, offset: u64, value: u8) -> Option<u8> {
        match offset & 7 {
            0 if self.dlab() => self.divisor[0] = value,
            0 => {
                self.thre = Thre::Raised;
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                self.receive(&[value]);
            }
            1 if self.dlab() => self.divisor[1] = value,
            1 => {
                // Enabling the interrupt while the transmitter is empty raises it.
                if value & IER_THRE != 0 && self.ier & IER_THRE == 0 {
                    self.thre = Thre::Raised;
                }
                self.ier = value & IER_ALL;
            }
            2 => {
                if value & FCR_CLEAR_RX != 0 || (value ^ self.fcr) & FCR_ENABLE != 0 {
                    self.rx.clear();
                }
                self.fcr = if value & FCR_ENABLE != 0 { value & FCR_STORED } else { 0 };
            }
            3 => self.lcr = value,
            4 => self.mcr = value & MCR_ALL,
            5 | 6 => {}
            _ => self.scr = value,
        }
        None
    }

    /// How many bytes the receive queue has room for.
    pub fn room(&self) -> usize {
        RX_BYTES_MAX.saturating_sub(self.rx.len())
    }

    /// True while the guest wants an interrupt for what arrives: an operating system has opened the port.
    pub fn is_listened_to(&self) -> bool {
        self.ier & IER_RX != 0
    }

    /// Bytes arrive on the line; those beyond [`Uart::room`] are lost.
    pub fn receive(&mut self, bytes: &[u8]) {
        let fitting = bytes.len().min(self.room());
        self.rx.extend(&bytes[..fitting]);
        self.overrun |= fitting < bytes.len();
    }

    /// The level of the interrupt line.
    pub fn interrupt(&self) -> bool {
        match self.cause() {
            IIR_NONE => false,
            IIR_THRE => self.thre == Thre::Raised,
            _ => true,
        }
    }

    /// The interrupt controller has handed the port's interrupt to the hart.
    pub fn claimed(&mut self) {
        if self.cause() == IIR_THRE {
            self.thre = Thre::Claimed;
        }
    }

    /// Looks at a state that came from outside.
    pub fn check(&self) -> Result<(), BadDevice> {
        let bad = |field, found: u8| Err(BadDevice { device: "uart", field, found: u64::from(found) });
        if self.ier & !IER_ALL != 0 {
            return bad("ier", self.ier);
        }
        if self.fcr & !FCR_STORED != 0 || (self.fcr != 0 && self.fcr & FCR_ENABLE == 0) {
            return bad("fcr", self.fcr);
        }
        if self.mcr & !MCR_ALL != 0 {
            return bad("mcr", self.mcr);
        }
        if self.rx.len() > RX_BYTES_MAX {
            return Err(BadDevice { device: "uart", field: "rx length", found: self.rx.len() as u64 });
        }
        Ok(())
    }

    fn dlab(&self) -> bool {
        self.lcr & LCR_DLAB != 0
    }

    /// The pending interrupt of the highest priority, as IIR shows it.
    fn cause(&self) -> u8 {
        if self.ier & IER_LINE != 0 && self.overrun {
            IIR_LINE
        } else if self.ier & IER_RX != 0 && !self.rx.is_empty() {
            if self.rx.len() >= self.rx_trigger() { IIR_RX } else { IIR_TIMEOUT }
        } else if self.ier & IER_THRE != 0 && self.thre != Thre::Idle {
            IIR_THRE
        } else {
            IIR_NONE
        }
    }

    /// How many waiting bytes FCR asks for before "data" (rather than "time-out") is the cause.
    fn rx_trigger(&self) -> usize {
        match (self.fcr & FCR_ENABLE, self.fcr >> 6) {
            (0, _) | (_, 0) => 1,
            (_, 1) => 4,
            (_, 2) => 8,
            _ => 14,
        }
    }

    /// In loop-back the outputs of MCR show as the inputs of MSR: DTR as DSR, RTS as CTS, OUT1 as
    /// RI, OUT2 as DCD.
    fn modem_status(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        let line = |from: u8, to: u8| ((self.mcr >> from) & 1) << to;
        line(0, 5) | line(1, 4) | line(2, 6) | line(3, 7)
    }
}

#[cfg(test)]
#[path = "uart_tests.rs"]
mod tests;
