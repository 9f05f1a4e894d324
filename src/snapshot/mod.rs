//! A saved machine as bytes: in chunks, compressed, the same on disk and on the wire.
//!
//! Reading order: [`chunk`] (the bytes), [`encode`] and [`decode`] (a machine to chunks and back).
//!
//! Absent on purpose: how to save or restore a machine ([`crate::machine`]), and files and sockets.

pub mod chunk;
pub mod decode;
pub mod encode;

pub use chunk::{CHUNK_BYTES_MAX, chunk_len};
pub use decode::{Decoder, Progress, SnapshotError};
pub use encode::Encoder;

use crate::base::{Digest, Icount};

/// A saved machine as the codec sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    pub ram_bytes: u64,
    pub icount: Icount,
    /// Of the state at `icount`; checked by whoever restores it.
    pub digest: Digest,
    /// The machine's configuration, encoded.
    pub config: Vec<u8>,
    /// Registers and devices, encoded.
    pub state: Vec<u8>,
    /// Number and bytes of each page that is not all zero, ascending.
    pub pages: Vec<(u32, Box<[u8]>)>,
}
