//! The serial port as its drivers see it.

use super::*;

const RBR: u64 = 0;
const THR: u64 = 0;
const IER: u64 = 1;
const IIR: u64 = 2;
const FCR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

#[test]
fn a_polling_sender_finds_the_transmitter_empty_and_its_byte_sent() {
    let mut uart = Uart::default();
    assert_eq!(uart.read(LSR), 0x60);
    assert_eq!(uart.write(THR, b'x'), Some(b'x'));
    assert_eq!(uart.read(LSR), 0x60);
    assert!(!uart.interrupt(), "no interrupt was enabled");
}

#[test]
fn received_bytes_come_in_order_and_end() {
    let mut uart = Uart::default();
    uart.receive(b"ab");
    assert_eq!(uart.read(LSR) & 1, 1);
    assert_eq!((uart.read(RBR), uart.read(RBR)), (b'a', b'b'));
    assert_eq!(uart.read(LSR) & 1, 0);
    assert_eq!(uart.read(RBR), 0);
}

#[test]
fn the_divisor_hides_behind_dlab() {
    let mut uart = Uart::default();
    uart.write(LCR, 0x83);
    assert_eq!(uart.write(0, 0x34), None);
    uart.write(1, 0x12);
    assert_eq!((uart.read(0), uart.read(1)), (0x34, 0x12));
    uart.write(LCR, 0x03);
    assert_eq!(uart.read(IER), 0);
    assert_eq!(uart.read(LCR), 3);
    uart.write(SCR, 0x5a);
    assert_eq!(uart.read(SCR), 0x5a);
}

#[test]
fn receive_interrupt_lasts_until_the_queue_is_empty() {
    let mut uart = Uart::default();
    uart.write(FCR, 0x01);
    uart.write(IER, IER_RX);
    assert_eq!(uart.read(IIR), 0xc1);
    uart.receive(b"12");
    assert!(uart.interrupt());
    assert_eq!(uart.read(IIR), 0xc4);
    assert_eq!(uart.read(IIR), 0xc4, "reading IIR does not clear it");
    uart.read(RBR);
    assert!(uart.interrupt());
    uart.read(RBR);
    assert!(!uart.interrupt());
}

#[test]
fn below_the_trigger_the_cause_is_a_time_out() {
    let mut uart = Uart::default();
    uart.write(FCR, 0x81);
    uart.write(IER, IER_RX);
    uart.receive(&[0; 7]);
    assert_eq!(uart.read(IIR) & 0x0f, IIR_TIMEOUT);
    uart.receive(&[0]);
    assert_eq!(uart.read(IIR) & 0x0f, IIR_RX);
}

#[test]
fn transmit_interrupt_is_raised_by_enabling_and_by_each_byte_and_cleared_by_iir() {
    let mut uart = Uart::default();
    uart.write(IER, IER_THRE);
    assert!(uart.interrupt());
    assert_eq!(uart.read(IIR), IIR_THRE);
    assert!(!uart.interrupt());
    assert_eq!(uart.read(IIR), IIR_NONE);
    uart.write(THR, b'a');
    assert!(uart.interrupt());
    // Linux's probe: off and on again raises it anew.
    uart.read(IIR);
    uart.write(IER, 0);
    uart.write(IER, IER_THRE);
    assert_eq!(uart.read(IIR), IIR_THRE);
}

#[test]
fn a_claimed_transmit_interrupt_is_not_raised_again_unread_but_by_the_next_byte() {
    let mut uart = Uart::default();
    uart.write(IER, IER_THRE | IER_RX);
    uart.claimed();
    assert!(!uart.interrupt(), "the line falls with the claim");
    assert_eq!(uart.cause(), IIR_THRE, "IIR would still say why");
    uart.write(THR, b'a');
    assert!(uart.interrupt(), "an event of its own");
    uart.claimed();
    assert_eq!(uart.read(IIR), IIR_THRE);
    assert_eq!(uart.read(IIR), IIR_NONE);
    // A claim for a received byte leaves the transmit cause to be raised after it.
    uart.write(THR, b'a');
    uart.receive(b"x");
    uart.claimed();
    assert_eq!(uart.read(RBR), b'x');
    assert!(uart.interrupt());
}

#[test]
fn iir_leaves_the_transmit_cause_when_it_reports_a_higher_one() {
    let mut uart = Uart::default();
    uart.write(IER, IER_THRE | IER_RX);
    uart.receive(b"a");
    assert_eq!(uart.read(IIR), IIR_RX);
    uart.read(RBR);
    assert_eq!(uart.read(IIR), IIR_THRE);
}

#[test]
fn overrun_is_bounded_shown_and_cleared_by_reading_lsr() {
    let mut uart = Uart::default();
    uart.write(IER, IER_LINE);
    uart.receive(&[7; RX_BYTES_MAX + 5]);
    assert_eq!(uart.room(), 0);
    assert_eq!(uart.read(IIR), IIR_LINE);
    assert_eq!(uart.read(LSR), 0x63);
    assert_eq!(uart.read(LSR), 0x61);
    assert!(!uart.interrupt());
    assert_eq!((0..1000).filter(|_| uart.read(RBR) == 7).count(), RX_BYTES_MAX);
}

#[test]
fn loop_back_answers_a_probe_and_sends_nothing() {
    let mut uart = Uart::default();
    assert_eq!(uart.read(MSR), 0xb0);
    uart.write(MCR, 0x1a);
    assert_eq!(uart.read(MSR) & 0xf0, 0x90);
    assert_eq!(uart.write(THR, b'q'), None);
    assert_eq!(uart.read(RBR), b'q');
}

#[test]
fn the_fifo_control_clears_what_was_received() {
    let mut uart = Uart::default();
    uart.receive(b"abc");
    uart.write(FCR, 0x01);
    assert_eq!(uart.read(LSR) & 1, 0, "switching the FIFOs on clears them");
    uart.receive(b"abc");
    uart.write(FCR, 0x03);
    assert_eq!(uart.read(LSR) & 1, 0);
    uart.receive(b"abc");
    uart.write(FCR, 0x01);
    assert_eq!(uart.read(LSR) & 1, 1);
}

#[test]
fn a_state_from_outside_is_looked_at() {
    let mut uart = Uart::default();
    uart.receive(&[1; 300]);
    assert_eq!(uart.check(), Ok(()));
    uart.rx.push_back(0);
    assert_eq!(uart.check().unwrap_err().field, "rx length");
    assert_eq!(Uart { ier: 0x10, ..Uart::default() }.check().unwrap_err().field, "ier");
    assert_eq!(Uart { fcr: 0x40, ..Uart::default() }.check().unwrap_err().field, "fcr");
    assert_eq!(Uart { mcr: 0xff, ..Uart::default() }.check().unwrap_err().found, 0xff);
}
