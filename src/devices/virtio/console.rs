//! virtio-console (virtio 1.2, 5.3): one port, and its size. Queue 0 receives, queue 1 transmits.
//!
//! What is typed waits in a bounded queue until the driver has a buffer for it. What the guest
//! sends is console output at once; of one buffer chain at most [`SEND_BYTES_MAX`] bytes are, and
//! the rest is lost (no driver sends so much at once; the bound keeps a hostile one harmless).
//!
//! The size is that of the window the console is shown in, 0 by 0 while it is unknown; a new one
//! raises the configuration interrupt. It is the window's, not the driver's: a reset leaves it.
//!
//! Absent on purpose: several ports, emergency write.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::queue::QueueFault;
use super::transport::{Device, Slot, Transport};
use crate::devices::{BadDevice, outbox::Outbox};
use crate::mem::Ram;

/// Bytes typed and not yet taken by the driver; what comes beyond is lost.
pub const RX_BYTES_MAX: usize = 256;
/// The most bytes of one chain that are sent.
pub const SEND_BYTES_MAX: usize = 65_536;

const RX: usize = 0;
const TX: usize = 1;
/// `cols` and `rows` are valid.
const FEATURE_SIZE: u64 = 1 << 0;
/// `cols`, `rows`, `max_nr_ports`, `emerg_wr`: the last two are not offered.
const CONFIG_BYTES: usize = 12;

/// The console device's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    typed: VecDeque<u8>,
    cols: u16,
    rows: u16,
    /// Moves with every new size, so that a driver that read half of the old one reads again.
    size_generation: u32,
}

impl Console {
    /// As after power-on, in the same window.
    pub fn restarted(&self) -> Self {
        let Self { cols, rows, size_generation, .. } = *self;
        Self { typed: VecDeque::new(), cols, rows, size_generation }
    }

    /// Columns and rows of the window, as last set.
    pub fn size(&self) -> (u16, u16) {
        (self.cols, self.rows)
    }

    fn transmit(transport: &mut Transport, ram: &mut Ram, out: &mut Outbox) -> Result<(), QueueFault> {
        for _ in 0..transport.queue(TX).size() {
            let Some(chain) = transport.queue(TX).peek(ram)? else { break };
            transport.queue(TX).take();
            out.console.extend(chain.read(ram, 0, SEND_BYTES_MAX)?);
            transport.give_back(TX, ram, chain.head, 0)?;
        }
        Ok(())
    }

    /// Moves what was typed into the driver's buffers, as far as there are any.
    fn fill(&mut self, transport: &mut Transport, ram: &mut Ram) -> Result<(), QueueFault> {
        for _ in 0..transport.queue(RX).size() {
            if self.typed.is_empty() {
                break;
            }
            let Some(chain) = transport.queue(RX).peek(ram)? else { break };
            transport.queue(RX).take();
            let written = chain.write(ram, self.typed.make_contiguous())?;
            self.typed.drain(..written as usize);
            transport.give_back(RX, ram, chain.head, written)?;
        }
        Ok(())
    }
}

impl Device for Console {
    const NAME: &'static str = "virtio-console";
    const ID: u32 = 3;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        FEATURE_SIZE
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; CONFIG_BYTES];
        config[..2].copy_from_slice(&self.cols.to_le_bytes());
        config[2..4].copy_from_slice(&self.rows.to_le_bytes());
        config
    }

    fn config_generation(&self) -> u32 {
        self.size_generation
    }

    fn notify(
        &mut self,
        transport: &mut Transport,
        queue: usize,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault> {
        match queue {
            TX => Self::transmit(transport, ram, out),
            _ => self.fill(transport, ram),
        }
    }

    fn reset(&mut self) {}

    fn check(&self) -> Result<(), BadDevice> {
        match self.typed.len() {
            len if len > RX_BYTES_MAX => {
                Err(BadDevice { device: Self::NAME, field: "typed length", found: len as u64 })
            }
            _ => Ok(()),
        }
    }
}

impl Slot<Console> {
    /// The window has another size now.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        let device = &mut self.device;
        if (device.cols, device.rows) != (cols, rows) {
            (device.cols, device.rows) = (cols, rows);
            device.size_generation = device.size_generation.wrapping_add(1);
            self.transport.config_changed();
        }
    }

    /// How many typed bytes there is room for.
    pub fn room(&self) -> usize {
        RX_BYTES_MAX.saturating_sub(self.device.typed.len())
    }

    /// Bytes are typed; those beyond [`Slot::room`] are lost.
    pub fn receive(&mut self, ram: &mut Ram, bytes: &[u8]) {
        let fitting = bytes.len().min(self.room());
        self.device.typed.extend(&bytes[..fitting]);
        if self.transport.is_live() {
            let done = self.device.fill(&mut self.transport, ram);
            self.settle(done);
        }
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
