//! The cable of a TCP/IP stack in this process: frames in, frames out.
//!
//! It carries whatever plays a guest or a client without being a machine: in measurements and in tests.

use std::collections::VecDeque;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Ethernet header and 1500 bytes.
const FRAME_BYTES: usize = 1514;

/// See the [module](self).
pub struct Wire {
    /// Toward the stack.
    pub inward: VecDeque<Vec<u8>>,
    /// What it has sent.
    pub outward: VecDeque<Vec<u8>>,
    /// With so many frames on its way out it sends no more by itself; it may still answer.
    outward_max: usize,
}

impl Wire {
    /// A wire with nothing on it.
    pub const fn new(outward_max: usize) -> Self {
        Self { inward: VecDeque::new(), outward: VecDeque::new(), outward_max }
    }
}

/// A frame that arrives.
pub struct In(Vec<u8>);

/// Room for one that leaves.
pub struct Out<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = In;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: Instant) -> Option<(In, Out<'_>)> {
        Some((In(self.inward.pop_front()?), Out(&mut self.outward)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        (self.outward.len() < self.outward_max).then_some(Out(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}
