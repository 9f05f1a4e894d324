//! A driver for tests: a slot, RAM, and rings that can be made as wrong as one likes.

use super::queue::SIZE_MAX;
use super::transport::{Device, Slot};
use crate::base::GuestPhys;
use crate::devices::outbox::Outbox;
use crate::mem::{RAM_BASE, Ram};

pub const RAM_BYTES: u64 = 1 << 20;
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// Status bits.
pub const NEEDS_RESET: u32 = 64;
/// Status with ACKNOWLEDGE, DRIVER, FEATURES_OK.
pub const ACCEPTED: u32 = 11;
/// Status with DRIVER_OK too.
pub const RUNNING: u32 = 15;

pub struct Driver<D> {
    pub slot: Slot<D>,
    pub ram: Ram,
    pub out: Outbox,
    /// How many heads have been offered, by queue.
    offered: [u16; 2],
    pub size: u16,
}

impl<D: Device> Driver<D> {
    /// A slot just reset.
    pub fn new(device: D) -> Self {
        let ram = Ram::new(RAM_BYTES);
        Self { slot: Slot::new(device), ram, out: Outbox::default(), offered: [0; 2], size: 8 }
    }

    /// A device set up as its driver would, with queues of 8.
    pub fn running(device: D) -> Self {
        let mut driver = Self::new(device);
        driver.negotiate();
        for queue in 0..D::QUEUES {
            driver.set_up_queue(queue);
        }
        driver.set(0x70, RUNNING);
        assert_eq!(driver.get(0x70), RUNNING);
        driver
    }

    /// The same by a driver that reads and writes only the low half of the features: no VERSION_1.
    pub fn running_legacy(device: D) -> Self {
        let mut driver = Self::new(device);
        driver.set(0x70, 3);
        let offered = driver.get(0x10);
        driver.set(0x20, offered & !(1 << 28));
        driver.set(0x70, ACCEPTED);
        assert_eq!(driver.get(0x70), ACCEPTED);
        for queue in 0..D::QUEUES {
            driver.set_up_queue(queue);
        }
        driver.set(0x70, RUNNING);
        driver
    }

    pub fn negotiate(&mut self) {
        self.offered = [0; 2];
        self.set(0x70, 0);
        self.set(0x70, 3);
        for half in 0..2 {
            self.set(0x14, half);
            self.set(0x24, half);
            let offered = self.get(0x10);
            self.set(0x20, offered);
        }
        self.set(0x70, ACCEPTED);
        assert_eq!(self.get(0x70), ACCEPTED);
    }

    pub fn set_up_queue(&mut self, queue: usize) {
        self.set(0x30, queue as u32);
        assert_eq!(self.get(0x34), u32::from(SIZE_MAX));
        self.set(0x38, u32::from(self.size));
        for (register, at) in [(0x80, desc(queue)), (0x90, avail(queue)), (0xa0, used(queue))] {
            self.set(register, at.get() as u32);
            self.set(register + 4, (at.get() >> 32) as u32);
        }
        self.set(0x44, 1);
    }

    pub fn get(&mut self, offset: u64) -> u32 {
        self.slot.read(offset, 4).expect("a register") as u32
    }

    pub fn set(&mut self, offset: u64, value: u32) {
        self.slot.write(&mut self.ram, &mut self.out, offset, 4, u64::from(value)).expect("a register");
    }

    /// Writes descriptor `index` of the table at `table`.
    pub fn describe(&mut self, table: GuestPhys, index: u16, at: GuestPhys, len: u32, flags: u16, next: u16) {
        let entry = table.plus(16 * u64::from(index));
        self.ram.write_u64(entry, at.get()).unwrap();
        self.ram.write_u32(entry.plus(8), len).unwrap();
        self.ram.write_u16(entry.plus(12), flags).unwrap();
        self.ram.write_u16(entry.plus(14), next).unwrap();
    }

    /// Makes the chain that begins at `head` available.
    pub fn offer(&mut self, queue: usize, head: u16) {
        let entry = u64::from(self.offered[queue] % self.size);
        self.ram.write_u16(avail(queue).plus(4 + 2 * entry), head).unwrap();
        self.offered[queue] = self.offered[queue].wrapping_add(1);
        self.ram.write_u16(avail(queue).plus(2), self.offered[queue]).unwrap();
    }

    /// One buffer, one descriptor: the `index`-th of `queue`, with `len` bytes at [`buffer`].
    pub fn offer_buffer(&mut self, queue: usize, index: u16, len: u32, flags: u16) {
        self.describe(desc(queue), index, buffer(queue, index), len, flags, 0);
        self.offer(queue, index);
    }

    pub fn notify(&mut self, queue: usize) {
        self.set(0x50, queue as u32);
    }

    /// The used ring's index.
    pub fn used_index(&self, queue: usize) -> u16 {
        self.ram.read_u16(used(queue).plus(2)).unwrap()
    }

    /// The used ring's `entry`-th element: head and length.
    pub fn used_element(&self, queue: usize, entry: u16) -> (u32, u32) {
        let at = used(queue).plus(4 + 8 * u64::from(entry % self.size));
        (self.ram.read_u32(at).unwrap(), self.ram.read_u32(at.plus(4)).unwrap())
    }

    pub fn bytes(&self, at: GuestPhys, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read(at, &mut bytes).unwrap();
        bytes
    }
}

pub fn desc(queue: usize) -> GuestPhys {
    RAM_BASE.plus(0x1_0000 * (queue as u64 + 1))
}

pub fn avail(queue: usize) -> GuestPhys {
    desc(queue).plus(0x2000)
}

pub fn used(queue: usize) -> GuestPhys {
    desc(queue).plus(0x3000)
}

/// Room for 2 KiB.
pub fn buffer(queue: usize, index: u16) -> GuestPhys {
    desc(queue).plus(0x4000 + 0x800 * u64::from(index))
}
