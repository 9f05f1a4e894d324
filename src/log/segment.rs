//! The header of a log segment: whose history follows, and from where.
//!
//! ```text
//! offset  size  field
//! 0       8     magic, "LKSTPLOG"
//! 8       4     format version, 4 (3 is read: it has no entries of kinds 0x2b and 0x2c; and 2: nor of kind 0x0b)
//! 12      4     header length in bytes, this table with its CRC
//! 16      8     number of the first entry in this segment, not 0
//! 24      8     current generation where this segment starts
//! 32      8     RAM size in bytes
//! 40      8     number of the last entry that the log's starting state (`base.snap`) contains
//! 48      8     position of that state
//! 56      16    digest of that state
//! 72      16    digest of the guest's image
//! 88      1     length of the vm's name
//! 89      1     length of the guest's name
//! 90      ...   the vm's name, then the guest's name, UTF-8
//! ...     4     CRC-32 (IEEE) of all the bytes before
//! ```
//!
//! Little-endian. Frames ([`super::frame`]) follow the header to the end of the file. A version
//! other than ours is refused before anything behind it is looked at, so every later version keeps
//! the first 12 bytes.

use serde::Serialize;
use thiserror::Error;

use crate::base::{Digest, Generation, Icount, Seq};
use crate::machine::Saved;

/// What a segment's file starts with.
pub const MAGIC: [u8; 8] = *b"LKSTPLOG";
/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 5;
/// The oldest version that is read: it has no "clock" entries, and one for each read of the time.
pub const VERSION_OLDEST: u32 = 2;
/// A header with both names at their longest.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + 2 * NAME_BYTES_MAX + CRC_BYTES;
/// The longest vm or guest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

const FIXED_BYTES: usize = 90;
const CRC_BYTES: usize = 4;

/// The header of a segment, before its frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentHeader {
    /// The history that this segment is a part of.
    pub lineage: Lineage,
    /// Number of the first entry in this segment.
    pub first_seq: Seq,
    /// The generation in which this segment was begun.
    pub generation: Generation,
}

/// The machine whose history a log records, and the state that it starts from; the same in all its segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// The vm's name.
    pub vm: String,
    /// The guest's name, for people; the digest tells guests apart.
    pub guest: String,
    /// The digest of the guest's image.
    pub guest_digest: Digest,
    /// The machine's RAM size in bytes.
    pub ram_bytes: u64,
    /// The last entry that the state which the log starts from contains; 0 at boot. The log's own
    /// first entry is the next one.
    pub base_seq: Seq,
    /// The position of that state.
    pub base_icount: Icount,
    /// The digest of that state.
    pub base_digest: Digest,
}

impl Lineage {
    /// The lineage of a log that starts from the state `base`, which contains the entries up to
    /// `base_seq`.
    pub fn of(vm: &str, base: &Saved, base_seq: Seq) -> Self {
        Self {
            vm: vm.into(),
            guest: base.config.guest.clone(),
            guest_digest: base.config.guest_digest,
            ram_bytes: base.config.ram_bytes,
            base_seq,
            base_icount: base.icount,
            base_digest: base.digest,
        }
    }
}

/// Bytes that are not (or not yet) a segment header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// So far so good, but the bytes end: with `need` bytes it may become a header.
    #[error("a segment header of at least {need} bytes is cut off after {have}")]
    Incomplete {
        /// Bytes that are there.
        have: usize,
        /// Bytes up to the next field that decides; of the whole header once its length is known.
        need: usize,
    },
    /// The file does not start with [`MAGIC`].
    #[error("this is no lockstep log: it starts with {found:02x?}, not \"LKSTPLOG\"")]
    BadMagic {
        /// Its first eight bytes; zeros for those that are not there.
        found: [u8; 8],
    },
    /// Outside of [`VERSION_OLDEST`] to [`VERSION`]; nothing behind the field was looked at.
    #[error("the log has format version {found}, this lockstep reads version {VERSION}")]
    BadVersion {
        /// The version field.
        found: u32,
    },
    /// Shorter than a header without names, or longer than [`HEADER_BYTES_MAX`].
    #[error("a segment header of {len} bytes is out of bounds")]
    BadLength {
        /// The length field, in bytes.
        len: u32,
    },
    /// The header was damaged.
    #[error("the segment header's checksum is {found:08x}, its bytes make {expected:08x}")]
    BadCrc {
        /// The checksum that the bytes make.
        expected: u32,
        /// The checksum field.
        found: u32,
    },
    /// The checksum is right and yet a field holds what is never written.
    #[error("the segment header's {field} makes no sense")]
    BadField {
        /// Which one, in words.
        field: &'static str,
    },
}

impl SegmentHeader {
    /// The header's bytes. Names longer than [`NAME_BYTES_MAX`] are cut at a character.
    pub fn encode(&self) -> Vec<u8> {
        let (vm, guest) = (name(&self.lineage.vm), name(&self.lineage.guest));
        let len = FIXED_BYTES + vm.len() + guest.len() + CRC_BYTES;
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&self.first_seq.get().to_le_bytes());
        out.extend_from_slice(&self.generation.get().to_le_bytes());
        out.extend_from_slice(&self.lineage.ram_bytes.to_le_bytes());
        out.extend_from_slice(&self.lineage.base_seq.get().to_le_bytes());
        out.extend_from_slice(&self.lineage.base_icount.get().to_le_bytes());
        out.extend_from_slice(&self.lineage.base_digest.0.to_le_bytes());
        out.extend_from_slice(&self.lineage.guest_digest.0.to_le_bytes());
        out.push(vm.len() as u8);
        out.push(guest.len() as u8);
        out.extend_from_slice(vm);
        out.extend_from_slice(guest);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes the header at the front of `bytes`; also answers with its length.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        let have = bytes.len();
        let magic_seen = have.min(MAGIC.len());
        if bytes[..magic_seen] != MAGIC[..magic_seen] {
            let mut found = [0; 8];
            found[..magic_seen].copy_from_slice(&bytes[..magic_seen]);
            return Err(HeaderError::BadMagic { found });
        }
        let cut_off = |need| HeaderError::Incomplete { have, need };
        let version = u32_at(bytes, 8).ok_or(cut_off(12))?;
        if !(VERSION_OLDEST..=VERSION).contains(&version) {
            return Err(HeaderError::BadVersion { found: version });
        }
        let len = u32_at(bytes, 12).ok_or(cut_off(16))?;
        if !(FIXED_BYTES + CRC_BYTES..=HEADER_BYTES_MAX).contains(&(len as usize)) {
            return Err(HeaderError::BadLength { len });
        }
        let bytes = bytes.get(..len as usize).ok_or(cut_off(len as usize))?;
        let (body, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
        let found = u32::from_le_bytes(crc.try_into().expect("split off four bytes"));
        let expected = crc32fast::hash(body);
        if found != expected {
            return Err(HeaderError::BadCrc { expected, found });
        }
        Self::decode_body(body).map(|header| (header, bytes.len()))
    }

    /// `body` is at least [`FIXED_BYTES`] long and its checksum is right.
    fn decode_body(body: &[u8]) -> Result<Self, HeaderError> {
        let u64_at = |at: usize| u64::from_le_bytes(array_at(body, at));
        let (vm_len, guest_len) = (usize::from(body[88]), usize::from(body[89]));
        let names = &body[FIXED_BYTES..];
        if names.len() != vm_len + guest_len {
            return Err(HeaderError::BadField { field: "name lengths" });
        }
        let text = |bytes: &[u8], field| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(HeaderError::BadField { field }),
        };
        let first_seq = Seq(u64_at(16));
        if first_seq == Seq::ZERO {
            return Err(HeaderError::BadField { field: "first entry number" });
        }
        Ok(Self {
            lineage: Lineage {
                vm: text(&names[..vm_len], "vm name")?,
                guest: text(&names[vm_len..], "guest name")?,
                guest_digest: Digest(u128::from_le_bytes(array_at(body, 72))),
                ram_bytes: u64_at(32),
                base_seq: Seq(u64_at(40)),
                base_icount: Icount(u64_at(48)),
                base_digest: Digest(u128::from_le_bytes(array_at(body, 56))),
            },
            first_seq,
            generation: Generation(u64_at(24)),
        })
    }
}

/// `text` as far as it fits a name field.
fn name(text: &str) -> &[u8] {
    let end = (0..=text.len().min(NAME_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
    &text.as_bytes()[..end.unwrap_or(0)]
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the fixed part of the header is there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            lineage: Lineage {
                vm: "kv".into(),
                guest: "größe".into(),
                guest_digest: Digest(1 << 100),
                ram_bytes: 128 << 20,
                base_seq: Seq(5),
                base_icount: Icount(77),
                base_digest: Digest(u128::MAX),
            },
            first_seq: Seq(1 << 40),
            generation: Generation(3),
        }
    }

    #[test]
    fn a_header_comes_back_whatever_follows_it() {
        let mut bytes = header().encode();
        let len = bytes.len();
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header(), len)));
        bytes.extend_from_slice(&[0xa7; 100]);
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header(), len)));
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let mut long = header();
        long.lineage.vm = format!("x{}", "é".repeat(200));
        let bytes = long.encode();
        let (read, _) = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!(read.lineage.vm, format!("x{}", "é".repeat(127)));
    }

    #[test]
    fn a_cut_header_is_incomplete_and_a_flipped_bit_is_refused() {
        let bytes = header().encode();
        for len in 0..bytes.len() {
            let error = SegmentHeader::decode(&bytes[..len]).unwrap_err();
            assert!(matches!(error, HeaderError::Incomplete { have, need } if have == len && need > len));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_or_another_file_is_named_as_such() {
        let mut bytes = header().encode();
        bytes[8] = 1;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::BadVersion { found: 1 }));
        let elf = *b"\x7fELF\x02\x01\x01\0";
        assert_eq!(SegmentHeader::decode(&elf), Err(HeaderError::BadMagic { found: elf }));
    }

    #[test]
    fn fields_with_a_right_checksum_are_still_checked() {
        let forge = |change: fn(&mut Vec<u8>)| {
            let mut bytes = header().encode();
            bytes.truncate(bytes.len() - CRC_BYTES);
            change(&mut bytes);
            let crc = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            SegmentHeader::decode(&bytes).unwrap_err()
        };
        assert_eq!(forge(|b| b[88] = 200), HeaderError::BadField { field: "name lengths" });
        assert_eq!(forge(|b| b[90] = 0xff), HeaderError::BadField { field: "vm name" });
        assert_eq!(forge(|b| b[16..24].fill(0)), HeaderError::BadField { field: "first entry number" });
        assert_eq!(forge(|b| b[12] = 0), HeaderError::BadLength { len: 0 });
        let least = (FIXED_BYTES + CRC_BYTES) as u8;
        assert_eq!(forge(|b| b[12] = 93), HeaderError::BadLength { len: u32::from(least) - 1 });
    }
}
