//! Guest RAM.

use thiserror::Error;

use crate::base::GuestPhys;

/// Where RAM starts (as on QEMU's `virt` machine).
pub const RAM_BASE: GuestPhys = GuestPhys(0x8000_0000);
/// A page: the unit of digests, dirtiness and transfer.
pub const PAGE_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{len} bytes at {at} are not all RAM")]
pub struct OutOfRam {
    pub at: GuestPhys,
    pub len: usize,
}

/// The guest's memory: `size_bytes` bytes from [`RAM_BASE`], zero at reset.
pub struct Ram {
    bytes: Vec<u8>,
}

impl Ram {
    /// `size_bytes` is rounded up to whole pages by the caller (asserted).
    pub fn new(size_bytes: u64) -> Self {
        assert!(size_bytes % PAGE_BYTES as u64 == 0 && size_bytes > 0);
        Self { bytes: vec![0; usize::try_from(size_bytes).expect("RAM fits the host's address space")] }
    }

    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn range(&self, at: GuestPhys, len: usize) -> Result<std::ops::Range<usize>, OutOfRam> {
        let start = at.get().checked_sub(RAM_BASE.get()).ok_or(OutOfRam { at, len })?;
        let end = start.checked_add(len as u64).ok_or(OutOfRam { at, len })?;
        if end > self.size_bytes() {
            return Err(OutOfRam { at, len });
        }
        Ok(start as usize..end as usize)
    }

    /// Fills `into` from guest memory.
    pub fn read(&self, at: GuestPhys, into: &mut [u8]) -> Result<(), OutOfRam> {
        let range = self.range(at, into.len())?;
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    /// Writes `bytes` to guest memory (device DMA, loaders): all of them or none.
    pub fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> Result<(), OutOfRam> {
        let range = self.range(at, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    pub fn read_u16(&self, at: GuestPhys) -> Result<u16, OutOfRam> {
        let mut b = [0; 2];
        self.read(at, &mut b).map(|()| u16::from_le_bytes(b))
    }

    pub fn read_u32(&self, at: GuestPhys) -> Result<u32, OutOfRam> {
        let mut b = [0; 4];
        self.read(at, &mut b).map(|()| u32::from_le_bytes(b))
    }

    pub fn read_u64(&self, at: GuestPhys) -> Result<u64, OutOfRam> {
        let mut b = [0; 8];
        self.read(at, &mut b).map(|()| u64::from_le_bytes(b))
    }

    pub fn write_u16(&mut self, at: GuestPhys, value: u16) -> Result<(), OutOfRam> {
        self.write(at, &value.to_le_bytes())
    }

    pub fn write_u32(&mut self, at: GuestPhys, value: u32) -> Result<(), OutOfRam> {
        self.write(at, &value.to_le_bytes())
    }
}
