//! What every other floor uses: counts as types, varints, digests, a seeded generator.
//!
//! Reading order: [`count`] (newtypes), [`varint`], [`digest`], [`prng`], [`blob`] (bytes in serde), `bounds`,
//! [`sabotage`] (safeguards that tests switch off).
//! Absent on purpose: anything that knows the machine, the log or the host.

pub mod blob;
pub(crate) mod bounds;
#[cfg(test)]
pub(crate) mod choice;
pub mod count;
pub mod digest;
pub mod prng;
pub mod sabotage;
pub mod varint;

pub use count::{Generation, GuestPhys, GuestVirt, Icount, NodeId, Seq};
pub use digest::{Digest, digest_bytes};
pub use prng::Prng;
pub use sabotage::Sabotage;
