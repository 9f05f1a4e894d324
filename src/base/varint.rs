//! LEB128 varints: 7 bits a byte, low group first, the top bit says "more follows".
//!
//! ```text
//! value      bytes
//! 0..=127    0vvvvvvv
//! ..=16383   1vvvvvvv 0vvvvvvv
//! u64::MAX   nine bytes of ff, then 01
//! ```
//!
//! Decoding is strict: at most ten bytes, no bits past the 64th, and no encoding longer than it
//! needs to be (so that equal logs are equal bytes).

use thiserror::Error;

/// Bytes that are no varint of ours. None of them is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VarintError {
    /// The input ends inside the varint; with more bytes it may be one.
    #[error("varint runs past the end of its bytes")]
    Truncated,
    /// The tenth byte is above 1: it has bits past the 64th, or says that an eleventh byte follows.
    #[error("varint does not fit 64 bits")]
    TooLarge,
    /// The last group is zero: a shorter encoding of the same value exists.
    #[error("varint is longer than it needs to be")]
    NotCanonical,
}

/// Appends `value`; 1 to 10 bytes.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint off the front of `bytes`.
#[inline]
pub fn get_u64(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    // Most values that are stored are small.
    match **bytes {
        [a @ 0..0x80, ref rest @ ..] => {
            *bytes = rest;
            Ok(u64::from(a))
        }
        [a @ 0x80..=0xff, b @ 1..0x80, ref rest @ ..] => {
            *bytes = rest;
            Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
        }
        _ => get_long_u64(bytes),
    }
}

/// A varint of any length.
fn get_long_u64(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate() {
        let group = u64::from(byte & 0x7f);
        if i == 9 && byte > 1 {
            return Err(VarintError::TooLarge);
        }
        value |= group << (7 * i);
        if byte & 0x80 == 0 {
            if i > 0 && byte == 0 {
                return Err(VarintError::NotCanonical);
            }
            *bytes = &bytes[i + 1..];
            return Ok(value);
        }
    }
    Err(VarintError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_u64(&mut out, value);
                let mut rest = out.as_slice();
                assert_eq!(get_u64(&mut rest), Ok(value));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn bad_encodings_are_refused_and_take_nothing() {
        let cases: [(&[u8], VarintError); 5] = [
            (&[], VarintError::Truncated),
            (&[0x80], VarintError::Truncated),
            (&[0x80, 0x00], VarintError::NotCanonical),
            (&[0xff; 11], VarintError::TooLarge),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], VarintError::TooLarge),
        ];
        for (bytes, expected) in cases {
            let mut rest = bytes;
            assert_eq!(get_u64(&mut rest), Err(expected), "{bytes:x?}");
            assert_eq!(rest, bytes);
        }
    }
}
