//! Serde for long strings of bytes: all at once, where a `Vec<u8>` of its own goes byte by byte.
//!
//! For use as `#[serde(with = "blob")]`. In postcard the encoding is the same as without; only text
//! formats could tell the difference, and no blob goes into one.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// Writes all bytes as one serde byte string.
///
/// # Errors
/// Those of `to`.
pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

/// Reads a byte string, borrowed or owned.
///
/// # Errors
/// Those of `from`; in postcard a length that runs past the end of the input. The format bounds the length, not
/// this function.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    from.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Plain(Vec<u8>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct AtOnce(#[serde(with = "super")] Vec<u8>);

    #[test]
    fn a_blob_is_encoded_as_its_bytes_one_by_one_are() {
        for len in [0, 1, 127, 128, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let one_by_one = postcard::to_allocvec(&Plain(bytes.clone())).unwrap();
            assert_eq!(postcard::to_allocvec(&AtOnce(bytes.clone())).unwrap(), one_by_one);
            assert_eq!(postcard::from_bytes::<AtOnce>(&one_by_one).unwrap(), AtOnce(bytes));
            if len > 0 {
                let cut = &one_by_one[..one_by_one.len() - 1];
                assert!(postcard::from_bytes::<AtOnce>(cut).is_err(), "{len} bytes, cut off");
            }
        }
    }
}
