//! A saved machine as bytes: in chunks, compressed, the same on disk and on the wire.
//!
//! Reading order: [`chunk`] (the bytes), [`encode`] and [`decode`] (a [`Saved`](crate::machine::Saved) to chunks and back),
//! [`pack`] (the same chunks of a machine that is saved while it runs on), [`ahead`] (what goes before one while the
//! guest runs on).
//!
//! Absent on purpose: how to save or restore a machine ([`crate::machine`]), and files and sockets.

pub mod ahead;
pub mod chunk;
pub mod decode;
pub mod encode;
pub mod pack;

pub use chunk::{CHUNK_BYTES_MAX, chunk_len};
pub use decode::{Decoder, Progress, SnapshotError};
pub use encode::Encoder;
pub use pack::Packer;
