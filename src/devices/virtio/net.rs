//! virtio-net (virtio 1.2, 5.1): one pair of queues, whole frames, no offloads.
//!
//! Features: MAC, STATUS (the link is always up). Queue 0 receives, queue 1 transmits; each buffer
//! begins with the 12-byte header, which is zero but for `num_buffers` = 1 on receive and is not
//! looked at on transmit. A driver that has not accepted VERSION_1 has a header of 10 bytes, without
//! `num_buffers` (virtio 1.2, 5.1.6.1).
//!
//! Frames are dropped, and counted, when there is nowhere to put them (no receive buffer, or one
//! too small) or when they are no frames (shorter than an Ethernet header, longer than
//! [`FRAME_BYTES_MAX`]). What is dropped is a function of state, so a replica drops the same.
//!
//! Absent on purpose: mergeable buffers, checksum and segmentation offloads, a control queue.

use serde::{Deserialize, Serialize};

use super::queue::QueueFault;
use super::transport::{Device, Slot, Transport};
use crate::devices::{BadDevice, outbox::Outbox};
use crate::mem::Ram;

/// The shortest frame: an Ethernet header.
pub const FRAME_BYTES_MIN: u64 = 14;
/// The longest frame that is sent: 64 KiB of IP, an Ethernet header.
pub const FRAME_BYTES_MAX: u64 = 65_550;

const RX: usize = 0;
const TX: usize = 1;
const HEADER_BYTES: u64 = 12;
const HEADER_BYTES_LEGACY: u64 = 10;
/// `num_buffers` of a received frame's header.
const HEADER_BUFFERS_AT: usize = 10;

const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_STATUS: u64 = 1 << 16;
const LINK_UP: u16 = 1;

/// The header that the driver puts before a frame and expects before one.
fn header_bytes(transport: &Transport) -> u64 {
    if transport.is_modern() { HEADER_BYTES } else { HEADER_BYTES_LEGACY }
}

/// The network device's own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    mac: [u8; 6],
    /// Frames sent in the guest's life; the last one's number.
    pub tx_frames: u64,
    pub tx_dropped: u64,
    pub rx_frames: u64,
    pub rx_dropped: u64,
}

impl Net {
    pub fn new(mac: [u8; 6]) -> Self {
        Self { mac, tx_frames: 0, tx_dropped: 0, rx_frames: 0, rx_dropped: 0 }
    }

    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn transmit(
        &mut self,
        transport: &mut Transport,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        for _ in 0..transport.queue(TX).size() {
            let Some(chain) = transport.queue(TX).peek(ram)? else { break };
            transport.queue(TX).take();
            let header_bytes = header_bytes(transport);
            let frame_bytes = chain.readable_bytes().saturating_sub(header_bytes);
            if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame_bytes) {
                self.tx_frames += 1;
                let frame = chain.read(ram, header_bytes, FRAME_BYTES_MAX as usize)?;
                out.frames.push((self.tx_frames, frame));
            } else {
                self.tx_dropped += 1;
            }
            transport.give_back(TX, ram, chain.head, 0)?;
        }
        Ok(())
    }

    /// True when the frame found a buffer.
    fn put(&self, transport: &mut Transport, ram: &mut Ram, frame: &[u8]) -> Result<bool, QueueFault> {
        if !transport.is_live() {
            return Ok(false);
        }
        let Some(chain) = transport.queue(RX).peek(ram)? else { return Ok(false) };
        let header_bytes = header_bytes(transport);
        if chain.writable_bytes() < header_bytes + frame.len() as u64 {
            return Ok(false);
        }
        transport.queue(RX).take();
        let mut bytes = vec![0; header_bytes as usize];
        if let Some(buffers) = bytes.get_mut(HEADER_BUFFERS_AT) {
            *buffers = 1;
        }
        bytes.extend_from_slice(frame);
        let written = chain.write(ram, &bytes)?;
        transport.give_back(RX, ram, chain.head, written)?;
        Ok(true)
    }
}

impl Device for Net {
    const NAME: &'static str = "virtio-net";
    const ID: u32 = 1;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        FEATURE_MAC | FEATURE_STATUS
    }

    fn config(&self) -> Vec<u8> {
        [self.mac.as_slice(), &LINK_UP.to_le_bytes()].concat()
    }

    fn notify(
        &mut self,
        transport: &mut Transport,
        queue: usize,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        match queue {
            TX => self.transmit(transport, ram, out),
            // New receive buffers: frames wait outside, not here.
            _ => Ok(()),
        }
    }

    fn reset(&mut self) {}

    fn check(&self) -> Result<(), BadDevice> {
        let counters = [self.tx_frames, self.tx_dropped, self.rx_frames, self.rx_dropped];
        match counters.iter().max() {
            Some(&found) if found > u64::MAX / 2 => {
                Err(BadDevice { device: Self::NAME, field: "counter", found })
            }
            _ => Ok(()),
        }
    }
}

impl Slot<Net> {
    /// A frame arrives: into the next receive buffer, or nowhere.
    pub fn receive(&mut self, ram: &mut Ram, frame: &[u8]) {
        let put = self.device.put(&mut self.transport, ram, frame);
        match put {
            Ok(true) => self.device.rx_frames += 1,
            _ => self.device.rx_dropped += 1,
        }
        self.settle(put.map(|_| ()));
    }

    /// True when a receive buffer is available.
    pub fn is_ready(&self, ram: &Ram) -> bool {
        self.transport.has_waiting(RX, ram)
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
