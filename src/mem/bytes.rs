//! Large memory for a guest's bytes: zeros at first, and in huge pages where the host has them.
//!
//! A guest's RAM in pages of 4 KiB takes a host a tenth of a second to give back when the process is
//! killed, and only then are its connections closed: the backup would learn of the crash that much later.
//! In huge pages it takes a millisecond, and the guest runs with fewer misses.
//!
//! An anonymous mapping is memory and nothing else; no file is named here, nor anywhere below the line.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// So many bytes, each 0 until it is written.
pub struct Bytes(MmapMut);

impl Bytes {
    /// As with any allocation, a host that has not that much ends the process.
    pub fn zeroed(len: usize) -> Self {
        let map = MmapMut::map_anon(len).unwrap_or_else(|why| panic!("no memory of {len} bytes: {why}"));
        // A host without huge pages refuses, and serves as well with small ones.
        #[cfg(target_os = "linux")]
        map.advise(memmap2::Advice::HugePage).ok();
        Self(map)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
