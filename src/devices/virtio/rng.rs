//! virtio-rng (virtio 1.2, 5.4): entropy that the machine has to ask the host for.
//!
//! ```text
//!            buffer available                     entropy delivered
//!   quiet --------------------> asked {len} ------------------------> quiet (or asked again)
//!     ^                             |
//!     +-------- reset, fault -------+
//! ```
//!
//! The buffer stays in the available ring until the entropy is there, so that nothing but `asked`
//! has to be remembered.

use serde::{Deserialize, Serialize};

use super::queue::QueueFault;
use super::transport::{Device, Slot, Transport};
use crate::devices::{BadDevice, outbox::Outbox};
use crate::mem::Ram;

/// The most bytes that are asked of the host at once; a longer buffer is filled as far as that.
pub const REQUEST_BYTES_MAX: u32 = 256;

const REQUESTS: usize = 0;

/// The entropy device's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    /// How many bytes the host has been asked for and has not given yet.
    asked: Option<u32>,
}

impl Rng {
    /// The outstanding request, in bytes.
    pub fn asked(&self) -> Option<u32> {
        self.asked
    }

    /// Asks for the next available buffer, if nothing is asked for yet.
    fn ask(&mut self, transport: &mut Transport, ram: &mut Ram, out: &mut Outbox) -> Result<(), QueueFault> {
        for _ in 0..transport.queue(REQUESTS).size() {
            if self.asked.is_some() {
                break;
            }
            let Some(chain) = transport.queue(REQUESTS).peek(ram)? else { break };
            let room = chain.writable_bytes().min(u64::from(REQUEST_BYTES_MAX)) as u32;
            if room > 0 {
                self.asked = Some(room);
                out.request = true;
            } else {
                transport.queue(REQUESTS).take();
                transport.give_back(REQUESTS, ram, chain.head, 0)?;
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        transport: &mut Transport,
        ram: &mut Ram,
        out: &mut Outbox,
        bytes: &[u8],
    ) -> Result<(), QueueFault> {
        // The driver may have changed its mind about the buffer since.
        if let Some(chain) = transport.queue(REQUESTS).peek(ram)? {
            transport.queue(REQUESTS).take();
            let written = chain.write(ram, bytes)?;
            transport.give_back(REQUESTS, ram, chain.head, written)?;
        }
        self.ask(transport, ram, out)
    }
}

impl Device for Rng {
    const NAME: &'static str = "virtio-rng";
    const ID: u32 = 4;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn notify(
        &mut self,
        transport: &mut Transport,
        _queue: usize,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        self.ask(transport, ram, out)
    }

    fn reset(&mut self) {
        self.asked = None;
    }

    fn check(&self) -> Result<(), BadDevice> {
        match self.asked {
            Some(len) if len == 0 || len > REQUEST_BYTES_MAX => {
                Err(BadDevice { device: Self::NAME, field: "request", found: u64::from(len) })
            }
            _ => Ok(()),
        }
    }
}

impl Slot<Rng> {
    /// Entropy arrives. False, and nothing changes, unless exactly that many bytes are asked for.
    pub fn complete(&mut self, ram: &mut Ram, out: &mut Outbox, bytes: &[u8]) -> bool {
        if self.device.asked.map(|len| len as usize) != Some(bytes.len()) {
            return false;
        }
        self.device.asked = None;
        if self.transport.is_live() {
            let done = self.device.fill(&mut self.transport, ram, out, bytes);
            self.settle(done);
        }
        true
    }
}

#[cfg(test)]
#[path = "rng_tests.rs"]
mod tests;
