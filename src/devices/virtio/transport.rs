//! The registers that every virtio-mmio device shares (virtio 1.2, 4.2.2), and the slot that joins
//! them to a device.
//!
//! | offset | register | |
//! |---|---|---|
//! | `0x000` | MagicValue | `virt` |
//! | `0x004` | Version | 2 |
//! | `0x008` | DeviceID | 0 in an empty slot |
//! | `0x00c` | VendorID | `QEMU` |
//! | `0x010`, `0x014` | DeviceFeatures, DeviceFeaturesSel | |
//! | `0x020`, `0x024` | DriverFeatures, DriverFeaturesSel | until FEATURES_OK |
//! | `0x030` | QueueSel | |
//! | `0x034` | QueueNumMax | 0 for a queue that does not exist |
//! | `0x038` | QueueNum | while not ready |
//! | `0x044` | QueueReady | the rings are looked at here |
//! | `0x050` | QueueNotify | |
//! | `0x060`, `0x064` | InterruptStatus, InterruptACK | |
//! | `0x070` | Status | |
//! | `0x080`.. | QueueDesc, QueueDriver (`0x090`), QueueDevice (`0x0a0`), low and high | while not ready |
//! | `0x0b0`..`0x0bc` | shared memory length and base | all ones: there is none |
//! | `0x0fc` | ConfigGeneration | 0 where the configuration is constant |
//! | `0x100`.. | the device's configuration | any width; writes are ignored |
//!
//! Registers below `0x100` are 4 bytes wide; another width is an access fault.
//!
//! A driver that does not accept VERSION_1 gets FEATURES_OK all the same, and the legacy layouts.

use serde::{Deserialize, Serialize};

use super::queue::{Queue, QueueFault, SIZE_MAX};
use crate::base::GuestPhys;
use crate::cpu::BusFault;
use crate::devices::{BadDevice, outbox::Outbox};
use crate::mem::Ram;

/// The bytes of address space of one slot.
pub const SLOT_BYTES: u64 = 0x1000;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
/// As in QEMU, because some drivers look for just this one.
const VENDOR: u32 = u32::from_le_bytes(*b"QEMU");
/// The vendor of boards of the first revision.
const VENDOR_FIRST: u32 = u32::from_le_bytes(*b"lock");

const INDIRECT_DESC: u64 = 1 << 28;
const VERSION_1: u64 = 1 << 32;

const STATUS_DRIVER_OK: u8 = 4;
const STATUS_FEATURES_OK: u8 = 8;
const STATUS_NEEDS_RESET: u8 = 64;
/// What a driver may set: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED.
const STATUS_DRIVERS: u8 = 0x8f;

const INTERRUPT_USED: u8 = 1;
const INTERRUPT_CONFIG: u8 = 2;

/// A kind of virtio device: what the transport has to know of it.
pub trait Device {
    /// Its name in errors.
    const NAME: &'static str;
    /// The virtio device number (virtio 5).
    const ID: u32;
    const QUEUES: usize;

    /// Feature bits offered beyond the transport's own.
    fn features(&self) -> u64;

    /// The configuration space; beyond it all bytes are 0.
    fn config(&self) -> Vec<u8>;

    /// Moves whenever the configuration does.
    fn config_generation(&self) -> u32 {
        0
    }

    /// The driver notifies queue `queue` (which exists) of something available.
    fn notify(
        &mut self,
        transport: &mut Transport,
        queue: usize,
        ram: &mut Ram,
        out: &mut Outbox,
    ) -> Result<(), QueueFault>;

    /// The driver has reset the device, or a ring broke: forget what is under way.
    fn reset(&mut self);

    /// Looks at the device's own state, which came from outside.
    fn check(&self) -> Result<(), BadDevice>;
}

/// The transport's registers and the device's queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    status: u8,
    interrupt: u8,
    driver_features: u64,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    queues: Vec<Queue>,
    /// Why the device needs a reset.
    fault: Option<QueueFault>,
}

impl Transport {
    fn new(queues: usize) -> Self {
        Self {
            status: 0,
            interrupt: 0,
            driver_features: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            queues: vec![Queue::default(); queues],
            fault: None,
        }
    }

    /// True when the driver has set the device up and no ring of it is broken.
    pub fn is_live(&self) -> bool {
        let up = STATUS_DRIVER_OK | STATUS_FEATURES_OK;
        self.status & (up | STATUS_NEEDS_RESET) == up
    }

    /// True when the driver has accepted these features.
    pub fn has_accepted(&self, features: u64) -> bool {
        self.driver_features & features == features
    }

    /// True when the driver has accepted VERSION_1: it keeps to virtio 1. One that has not keeps to the
    /// legacy layouts (virtio 1.2, 5.1.6.1) on the same registers.
    pub fn is_modern(&self) -> bool {
        self.has_accepted(VERSION_1)
    }

    /// One of the device's queues; `index` is below [`Device::QUEUES`].
    pub fn queue(&mut self, index: usize) -> &mut Queue {
        &mut self.queues[index]
    }

    /// See [`Queue::has_waiting`]; false while the device is not live.
    pub fn has_waiting(&self, index: usize, ram: &Ram) -> bool {
        self.is_live() && self.queues[index].has_waiting(ram)
    }

    /// Gives a chain of queue `index` back, and raises the interrupt if the driver wants it.
    pub fn give_back(
        &mut self,
        index: usize,
        ram: &mut Ram,
        head: u16,
        written: u32,
    ) -> Result<(), QueueFault> {
        if self.queues[index].give_back(ram, head, written)? {
            self.interrupt |= INTERRUPT_USED;
        }
        Ok(())
    }

    /// The configuration has changed: a driver that is at work gets an interrupt.
    pub fn config_changed(&mut self) {
        if self.is_live() {
            self.interrupt |= INTERRUPT_CONFIG;
        }
    }

    /// Why the device needs a reset, if it does.
    pub fn fault(&self) -> Option<QueueFault> {
        self.fault
    }

    /// A ring made no sense.
    fn broke(&mut self, fault: QueueFault) {
        self.status |= STATUS_NEEDS_RESET;
        self.fault = Some(fault);
        if self.status & STATUS_DRIVER_OK != 0 {
            self.interrupt |= INTERRUPT_CONFIG;
        }
    }

    fn selected(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_sel as usize)
    }

    /// Sets one half of an address of the selected queue, while it is not ready.
    fn set_address(&mut self, which: fn(&mut Queue) -> &mut GuestPhys, high: bool, value: u32) {
        if let Some(queue) = self.selected().filter(|queue| !queue.ready) {
            let address = which(queue);
            let old = address.get();
            address.0 = if high {
                old & 0xffff_ffff | u64::from(value) << 32
            } else {
                old & !0xffff_ffff | u64::from(value)
            };
        }
    }

    /// `modern_only`: FEATURES_OK takes VERSION_1.
    fn set_status(&mut self, value: u8, offered: u64, modern_only: bool) {
        let mut status = value & STATUS_DRIVERS;
        let modern = self.is_modern() || !modern_only;
        let acceptable = self.driver_features & !offered == 0 && modern;
        if self.status & STATUS_FEATURES_OK == 0 && !acceptable {
            status &= !STATUS_FEATURES_OK;
        }
        self.status = status | self.status & STATUS_NEEDS_RESET;
    }

    fn check(
        &self,
        name: &'static str,
        queues: usize,
        offered: u64,
        ram_bytes: u64,
    ) -> Result<(), BadDevice> {
        let bad = |field, found: u64| Err(BadDevice { device: name, field, found });
        if self.queues.len() != queues {
            return bad("queue count", self.queues.len() as u64);
        }
        if self.status & !(STATUS_DRIVERS | STATUS_NEEDS_RESET) != 0 {
            return bad("status", u64::from(self.status));
        }
        if self.interrupt & !(INTERRUPT_USED | INTERRUPT_CONFIG) != 0 {
            return bad("interrupt status", u64::from(self.interrupt));
        }
        if self.status & STATUS_FEATURES_OK != 0 && self.driver_features & !offered != 0 {
            return bad("driver features", self.driver_features);
        }
        self.queues.iter().try_for_each(|queue| queue.check(name, ram_bytes))
    }
}

/// A slot on the bus with a device in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot<D> {
    pub transport: Transport,
    pub device: D,
    /// On a board of the first revision; from the configuration, not state.
    #[serde(skip)]
    first: bool,
}

impl<D: Device> Slot<D> {
    pub fn new(device: D) -> Self {
        Self { transport: Transport::new(D::QUEUES), device, first: false }
    }

    /// Whether it behaves as on a board of the first revision.
    pub fn set_first(&mut self, first: bool) {
        self.first = first;
    }

    fn offered(&self) -> u64 {
        self.device.features() | VERSION_1 | INDIRECT_DESC
    }

    pub fn read(&mut self, offset: u64, size: u8) -> Result<u64, BusFault> {
        if offset >= 0x100 {
            let config = self.device.config();
            let from = usize::try_from(offset - 0x100).unwrap_or(usize::MAX);
            let byte = |i: usize| from.checked_add(i).and_then(|at| config.get(at)).copied().unwrap_or(0);
            return Ok((0..usize::from(size)).fold(0, |value, i| value | u64::from(byte(i)) << (8 * i)));
        }
        if size != 4 {
            return Err(BusFault);
        }
        let offered = self.offered();
        let transport = &mut self.transport;
        let value = match offset {
            0x000 => MAGIC,
            0x004 => VERSION,
            0x008 => D::ID,
            0x00c => vendor(self.first),
            0x010 => match transport.device_features_sel {
                0 => offered as u32,
                1 => (offered >> 32) as u32,
                _ => 0,
            },
            0x034 => transport.selected().map_or(0, |_| u32::from(SIZE_MAX)),
            0x044 => transport.selected().map_or(0, |queue| u32::from(queue.ready)),
            0x060 => u32::from(transport.interrupt),
            0x070 => u32::from(transport.status),
            0x0b0..=0x0bc => u32::MAX,
            0x0fc => self.device.config_generation(),
            _ => 0,
        };
        Ok(u64::from(value))
    }

    pub fn write(
        &mut self,
        ram: &mut Ram,
        out: &mut Outbox,
        offset: u64,
        size: u8,
        value: u64,
    ) -> Result<(), BusFault> {
        if offset >= 0x100 {
            return Ok(());
        }
        if size != 4 {
            return Err(BusFault);
        }
        let value = value as u32;
        let offered = self.offered();
        let transport = &mut self.transport;
        match offset {
            0x014 => transport.device_features_sel = value,
            0x020 if transport.status & STATUS_FEATURES_OK == 0 => {
                let features = transport.driver_features;
                transport.driver_features = match transport.driver_features_sel {
                    0 => features & !0xffff_ffff | u64::from(value),
                    1 => features & 0xffff_ffff | u64::from(value) << 32,
                    _ => features,
                };
            }
            0x024 => transport.driver_features_sel = value,
            0x030 => transport.queue_sel = value,
            0x038 => {
                if let Some(queue) = transport.selected().filter(|queue| !queue.ready) {
                    queue.size = u16::try_from(value).unwrap_or(0);
                }
            }
            0x044 => self.set_queue_ready(ram.size_bytes(), value),
            0x050 => self.notify(ram, out, value),
            0x064 => transport.interrupt &= !(value as u8),
            0x070 if value == 0 => {
                *transport = Transport::new(D::QUEUES);
                self.device.reset();
            }
            0x070 => transport.set_status(value as u8, offered, self.first),
            0x080 => transport.set_address(|queue| &mut queue.desc, false, value),
            0x084 => transport.set_address(|queue| &mut queue.desc, true, value),
            0x090 => transport.set_address(|queue| &mut queue.avail, false, value),
            0x094 => transport.set_address(|queue| &mut queue.avail, true, value),
            0x0a0 => transport.set_address(|queue| &mut queue.used, false, value),
            0x0a4 => transport.set_address(|queue| &mut queue.used, true, value),
            _ => {}
        }
        Ok(())
    }

    fn set_queue_ready(&mut self, ram_bytes: u64, value: u32) {
        let Some(queue) = self.transport.selected() else { return };
        if value & 1 == 0 {
            queue.ready = false;
        } else if !queue.ready {
            let made = queue.make_ready(ram_bytes);
            self.settle(made);
        }
    }

    fn notify(&mut self, ram: &mut Ram, out: &mut Outbox, queue: u32) {
        let queue = queue as usize;
        if queue < D::QUEUES && self.transport.is_live() {
            let done = self.device.notify(&mut self.transport, queue, ram, out);
            self.settle(done);
        }
    }

    /// Notes how a piece of work on the rings ended.
    pub fn settle(&mut self, done: Result<(), QueueFault>) {
        if let Err(fault) = done {
            self.transport.broke(fault);
            self.device.reset();
        }
    }

    /// The level of the interrupt line.
    pub fn interrupt(&self) -> bool {
        self.transport.interrupt != 0
    }

    /// Looks at a state that came from outside.
    pub fn check(&self, ram_bytes: u64) -> Result<(), BadDevice> {
        self.transport.check(D::NAME, D::QUEUES, self.offered(), ram_bytes)?;
        self.device.check()
    }
}

fn vendor(first: bool) -> u32 {
    if first { VENDOR_FIRST } else { VENDOR }
}

/// Reads a register of a slot with no device in it: "there is a slot, and nothing in it".
pub fn read_empty(offset: u64, size: u8, first: bool) -> Result<u64, BusFault> {
    match (offset, size) {
        (0x000, 4) => Ok(u64::from(MAGIC)),
        (0x004, 4) => Ok(u64::from(VERSION)),
        (0x00c, 4) => Ok(u64::from(vendor(first))),
        (0x100.., _) | (_, 4) => Ok(0),
        _ => Err(BusFault),
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
