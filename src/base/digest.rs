//! Digests of state and bytes: XXH3, 128 bits.
//!
//! A digest guards against *accident* (a divergence, a rotten sector), not against forgery: both ends of
//! every comparison are ours.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A 128-bit hash of a state or a string of bytes; printed as 32 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

/// The digest of `bytes`. `seed` keeps the digests of different kinds of things (or of equal pages
/// at different addresses) apart.
pub fn digest_bytes(bytes: &[u8], seed: u64) -> Digest {
    Digest(xxh3_128_with_seed(bytes, seed))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.to_le_bytes().serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            u128::from_str_radix(&text, 16).map(Digest).map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(d).map(|b| Digest(u128::from_le_bytes(b)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_content_both_count() {
        let a = digest_bytes(b"page", 1);
        assert_ne!(a, digest_bytes(b"page", 2));
        assert_ne!(a, digest_bytes(b"pagf", 1));
        assert_eq!(a, digest_bytes(b"page", 1));
    }

    #[test]
    fn json_and_binary_forms_come_back() {
        let d = digest_bytes(b"x", 0);
        let json = serde_json::to_string(&d).unwrap();
        assert_eq!(json.len(), 34);
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), d);
        let raw = postcard::to_allocvec(&d).unwrap();
        assert_eq!(raw.len(), 16);
        assert_eq!(postcard::from_bytes::<Digest>(&raw).unwrap(), d);
    }
}
