//! Where everything is: the memory map and interrupt numbers of QEMU's `virt` machine.

use crate::base::GuestPhys;

/// A window of the physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub base: GuestPhys,
    /// Bytes.
    pub size: u64,
}

impl Region {
    const fn new(base: u64, size: u64) -> Self {
        Self { base: GuestPhys(base), size }
    }

    /// How far `at` is into this region, if it is in it.
    pub const fn offset(self, at: GuestPhys) -> Option<u64> {
        let offset = at.get().wrapping_sub(self.base.get());
        if offset < self.size { Some(offset) } else { None }
    }
}

pub const FINISHER: Region = Region::new(0x10_0000, 0x1000);
pub const RTC: Region = Region::new(0x10_1000, 0x1000);
pub const CLINT: Region = Region::new(0x200_0000, 0x1_0000);
pub const PLIC: Region = Region::new(0xc00_0000, 0x60_0000);
pub const UART: Region = Region::new(0x1000_0000, 0x100);
/// All virtio-mmio slots, one after the other.
pub const VIRTIO: Region = Region::new(0x1000_1000, 0x1000 * VIRTIO_SLOTS);

pub const VIRTIO_SLOTS: u64 = 8;
/// Which slot holds what; the others are empty.
pub const NET_SLOT: u64 = 0;
pub const RNG_SLOT: u64 = 1;
pub const CONSOLE_SLOT: u64 = 2;
/// The first of [`DISKS_MAX`](crate::devices::disk::DISKS_MAX) slots for disks.
pub const DISK_SLOT_FIRST: u64 = 3;

/// PLIC source of the serial port.
pub const UART_IRQ: u32 = 10;

/// PLIC source of the real-time clock, which never raises it.
pub const RTC_IRQ: u32 = 11;

/// PLIC source of a virtio slot.
pub const fn virtio_irq(slot: u64) -> u32 {
    1 + slot as u32
}

/// Ticks of `mtime` and the `time` CSR in a second.
pub const TIMEBASE_HZ: u32 = 10_000_000;
