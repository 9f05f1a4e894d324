//! A split virtqueue (virtio 1.2, 2.7) whose other end is not trusted.
//!
//! ```text
//! descriptor table, 16 bytes each       available ring            used ring
//!  0  8  address                         0  2  flags               0  2  flags
//!  8  4  length                          2  2  index               2  2  index
//! 12  2  flags: NEXT, WRITE, INDIRECT    4  2n heads               4  8n {head u32, length u32}
//! 14  2  next
//! ```
//!
//! What a driver can do here, and what comes of it:
//!
//! | the driver | the queue |
//! |---|---|
//! | makes the size no power of two, misaligns a ring or puts it outside RAM | never becomes ready: [`QueueFault::BadRing`] |
//! | moves the available index by more than the size | [`QueueFault::AvailJump`] |
//! | names a descriptor that does not exist | [`QueueFault::NoSuchDescriptor`] |
//! | links a chain into a loop, or makes it longer than [`CHAIN_DESCRIPTORS_MAX`] | [`QueueFault::ChainTooLong`] |
//! | points a buffer or an indirect table outside RAM | [`QueueFault::OutsideRam`] |
//! | nests indirect tables, continues after one, or gives one an odd length | [`QueueFault::BadIndirect`] |
//! | puts a buffer to read after one to write | [`QueueFault::ReadAfterWrite`] |
//! | leaves out what its device needs (the device says so) | [`QueueFault::BadRequest`] |
//! | gives a buffer of no bytes | it is passed over |
//! | lays the rings over each other or over buffers | bounded: at most `size` chains for one notify |

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::GuestPhys;
use crate::devices::BadDevice;
use crate::mem::{OutOfRam, RAM_BASE, Ram};

/// The largest queue that a driver may ask for.
pub const SIZE_MAX: u16 = 256;
/// The longest chain of descriptors, indirect ones counted.
pub const CHAIN_DESCRIPTORS_MAX: u32 = 256;

const DESC_NEXT: u16 = 1;
const DESC_WRITE: u16 = 2;
const DESC_INDIRECT: u16 = 4;
const DESC_BYTES: u64 = 16;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// Why a ring makes no sense: the driver's mistake, kept as evidence in the device's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum QueueFault {
    #[error("a ring of size {size} with parts at {desc}, {avail} and {used} cannot be")]
    BadRing { size: u16, desc: GuestPhys, avail: GuestPhys, used: GuestPhys },
    #[error("the available index went from {from} to {to} in a ring of {size}")]
    AvailJump { from: u16, to: u16, size: u16 },
    #[error("descriptor {index} of {count} does not exist")]
    NoSuchDescriptor { index: u32, count: u32 },
    #[error("the chain from descriptor {head} does not end")]
    ChainTooLong { head: u16 },
    #[error("{len} bytes at {at} are not all RAM")]
    OutsideRam { at: GuestPhys, len: u32 },
    #[error("an indirect descriptor of {len} bytes with flags {flags:#x} cannot be")]
    BadIndirect { len: u32, flags: u16 },
    #[error("the chain from descriptor {head} has a buffer to read after one to write")]
    ReadAfterWrite { head: u16 },
    #[error("the request at descriptor {head} has no whole header, or no room for its status")]
    BadRequest { head: u16 },
}

impl From<OutOfRam> for QueueFault {
    fn from(out: OutOfRam) -> Self {
        QueueFault::OutsideRam { at: out.at, len: out.len as u32 }
    }
}

/// A piece of guest memory, all of it RAM when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub at: GuestPhys,
    /// Bytes, never 0.
    pub len: u32,
}

/// A chain of descriptors that the driver has made available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first descriptor; names the chain in the used ring.
    pub head: u16,
    /// Buffers for the device to read, in order.
    pub readable: Vec<Span>,
    /// Buffers for the device to write, in order.
    pub writable: Vec<Span>,
}

impl Chain {
    /// Bytes that the device may read.
    pub fn readable_bytes(&self) -> u64 {
        self.readable.iter().map(|span| u64::from(span.len)).sum()
    }

    /// Bytes that the device may write.
    pub fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|span| u64::from(span.len)).sum()
    }

    /// The readable bytes from the `skip`-th on, at most `max` of them.
    pub fn read(&self, ram: &Ram, skip: u64, max: usize) -> Result<Vec<u8>, QueueFault> {
        let len = usize::try_from(self.readable_bytes().saturating_sub(skip)).unwrap_or(max).min(max);
        let mut bytes = vec![0; len];
        let (mut skip, mut filled) = (skip, 0);
        for span in &self.readable {
            let skipped = skip.min(u64::from(span.len));
            skip -= skipped;
            let here = (u64::from(span.len) - skipped).min((len - filled) as u64) as usize;
            ram.read(span.at.plus(skipped), &mut bytes[filled..filled + here])?;
            filled += here;
        }
        Ok(bytes)
    }

    /// Fills the writable buffers with `bytes` as far as they go; how many were written.
    pub fn write(&self, ram: &mut Ram, bytes: &[u8]) -> Result<u32, QueueFault> {
        let mut rest = bytes;
        for span in &self.writable {
            let (here, later) = rest.split_at(rest.len().min(span.len as usize));
            if here.is_empty() {
                break;
            }
            ram.write(span.at, here)?;
            rest = later;
        }
        Ok((bytes.len() - rest.len()) as u32)
    }
}

/// One virtqueue: where its rings are, and how far the device has got in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub(super) size: u16,
    pub(super) ready: bool,
    pub(super) desc: GuestPhys,
    pub(super) avail: GuestPhys,
    pub(super) used: GuestPhys,
    next_avail: u16,
    next_used: u16,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            size: SIZE_MAX,
            ready: false,
            desc: GuestPhys(0),
            avail: GuestPhys(0),
            used: GuestPhys(0),
            next_avail: 0,
            next_used: 0,
        }
    }
}

impl Queue {
    /// The largest number of chains that one notify can bring.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// The driver has set up the rings.
    pub(super) fn make_ready(&mut self, ram_bytes: u64) -> Result<(), QueueFault> {
        if !self.rings_are_good(ram_bytes) {
            return Err(QueueFault::BadRing {
                size: self.size,
                desc: self.desc,
                avail: self.avail,
                used: self.used,
            });
        }
        self.ready = true;
        self.next_avail = 0;
        self.next_used = 0;
        Ok(())
    }

    fn rings_are_good(&self, ram_bytes: u64) -> bool {
        let size = u64::from(self.size);
        let part = |at: GuestPhys, align: u64, len: u64| {
            at.get().is_multiple_of(align) && is_ram(ram_bytes, at, len)
        };
        self.size.is_power_of_two()
            && self.size <= SIZE_MAX
            && part(self.desc, 16, DESC_BYTES * size)
            && part(self.avail, 2, 6 + 2 * size)
            && part(self.used, 4, 6 + 8 * size)
    }

    /// True when the driver has made a chain available (or has broken the ring, which is found out
    /// by looking).
    pub fn has_waiting(&self, ram: &Ram) -> bool {
        self.ready && ram.read_u16(self.avail.plus(2)).is_ok_and(|index| index != self.next_avail)
    }

    /// The next available chain, which stays available until [`Queue::take`].
    pub fn peek(&self, ram: &Ram) -> Result<Option<Chain>, QueueFault> {
        if !self.ready {
            return Ok(None);
        }
        let index = ram.read_u16(self.avail.plus(2))?;
        let waiting = index.wrapping_sub(self.next_avail);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(QueueFault::AvailJump { from: self.next_avail, to: index, size: self.size });
        }
        let entry = u64::from(self.next_avail & (self.size - 1));
        let head = ram.read_u16(self.avail.plus(4 + 2 * entry))?;
        self.walk(ram, head).map(Some)
    }

    /// The chain that [`Queue::peek`] showed is the device's now.
    pub fn take(&mut self) {
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    /// Gives a chain back with `written` bytes in its writable buffers. True when the driver wants
    /// an interrupt for it.
    pub fn give_back(&mut self, ram: &mut Ram, head: u16, written: u32) -> Result<bool, QueueFault> {
        let entry = u64::from(self.next_used & (self.size - 1));
        let at = self.used.plus(4 + 8 * entry);
        ram.write_u32(at, u32::from(head))?;
        ram.write_u32(at.plus(4), written)?;
        self.next_used = self.next_used.wrapping_add(1);
        ram.write_u16(self.used.plus(2), self.next_used)?;
        Ok(ram.read_u16(self.avail)? & AVAIL_NO_INTERRUPT == 0)
    }

    fn walk(&self, ram: &Ram, head: u16) -> Result<Chain, QueueFault> {
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let (mut table, mut count, mut indirect) = (self.desc, u32::from(self.size), false);
        let mut index = u32::from(head);
        for _ in 0..=CHAIN_DESCRIPTORS_MAX {
            if index >= count {
                return Err(QueueFault::NoSuchDescriptor { index, count });
            }
            let mut raw = [0; DESC_BYTES as usize];
            ram.read(table.plus(DESC_BYTES * u64::from(index)), &mut raw)?;
            let at = GuestPhys(u64::from_le_bytes(field(&raw, 0)));
            let len = u32::from_le_bytes(field(&raw, 8));
            let flags = u16::from_le_bytes(field(&raw, 12));
            let next = u16::from_le_bytes(field(&raw, 14));
            if flags & DESC_INDIRECT != 0 {
                if indirect
                    || flags & DESC_NEXT != 0
                    || len == 0
                    || !u64::from(len).is_multiple_of(DESC_BYTES)
                {
                    return Err(QueueFault::BadIndirect { len, flags });
                }
                (table, count, indirect, index) = (at, len / DESC_BYTES as u32, true, 0);
                continue;
            }
            if !is_ram(ram.size_bytes(), at, u64::from(len)) && len != 0 {
                return Err(QueueFault::OutsideRam { at, len });
            }
            let span = (len != 0).then_some(Span { at, len });
            if flags & DESC_WRITE != 0 {
                chain.writable.extend(span);
            } else if chain.writable.is_empty() {
                chain.readable.extend(span);
            } else {
                return Err(QueueFault::ReadAfterWrite { head });
            }
            if flags & DESC_NEXT == 0 {
                return Ok(chain);
            }
            index = u32::from(next);
        }
        Err(QueueFault::ChainTooLong { head })
    }

    /// Looks at a state that came from outside.
    pub(super) fn check(&self, device: &'static str, ram_bytes: u64) -> Result<(), BadDevice> {
        if self.ready && !self.rings_are_good(ram_bytes) {
            return Err(BadDevice { device, field: "ring", found: self.desc.get() });
        }
        Ok(())
    }
}

pub(super) fn is_ram(ram_bytes: u64, at: GuestPhys, len: u64) -> bool {
    at.get()
        .checked_sub(RAM_BASE.get())
        .and_then(|start| start.checked_add(len))
        .is_some_and(|end| end <= ram_bytes)
}

fn field<const N: usize>(raw: &[u8; DESC_BYTES as usize], at: usize) -> [u8; N] {
    std::array::from_fn(|i| raw[at + i])
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
