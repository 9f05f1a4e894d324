//! Copy on write: a base that is never written, and a file with the blocks written since.
//!
//! ```text
//! offset  size  field
//! 0       8     magic, "LKSTPOVL"
//! 8       4     format version, 1
//! 12      4     bytes of a block, 4096
//! 16      8     bytes of the disk, and of the base
//! 24      16    digest of the base
//! 40      8     when the base was last modified, ns since 1970, signed: the digest is not taken again
//!               while this and the size are the same
//! 48      8     offset of the map, 4096
//! 56      8     offset of block 0: the map's end, rounded up to a block
//! 64      4028  zero
//! 4092    4     CRC-32 of the bytes before
//! 4096    ...   map: bit n % 8 of byte n / 8 is set when block n is here, else it is the base's
//! ...     ...   block n at (offset of block 0) + n * 4096; a hole where it is not here
//! ```
//!
//! Promise: a bit of the map reaches the file only after its block has reached stable storage. So a crash
//! loses writes that were not flushed, never what the base holds. Each bit is valid by itself: a map that was
//! written in part is consistent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use byteorder::{ByteOrder, LittleEndian};
use thiserror::Error;

use super::store::{Store, check_whole, seek_data};
use crate::base::{Digest, digest_bytes};

const MAGIC: &[u8; 8] = b"LKSTPOVL";
const VERSION: u32 = 1;
const BLOCK_BYTES: u64 = 4096;
const HEADER_BYTES: u64 = 4096;
const MAP_PAGE_BYTES: usize = 4096;
/// Bytes digested at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// What the base was when the overlay was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseStamp {
    pub bytes: u64,
    pub modified_ns: i64,
    pub digest: Digest,
}

/// Why a file is not an overlay over this base.
#[derive(Debug, Error)]
pub enum OverlayError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is {found} bytes long, an overlay of this disk has at least {expected}")]
    Short { found: u64, expected: u64 },
    #[error("it does not begin with {:?}", String::from_utf8_lossy(MAGIC))]
    NotOurs,
    #[error("its format version is {found}, this is version {VERSION}")]
    Version { found: u32 },
    #[error("the checksum of its header is {found:08x}, {expected:08x} was written")]
    Checksum { expected: u32, found: u32 },
    #[error("its header says {what}")]
    Header { what: String },
    #[error("its map names a block {block} beyond the disk's {blocks}")]
    Map { block: u64, blocks: u64 },
    /// The base is not what it was.
    #[error("{why}")]
    OtherBase { why: String },
}

/// A base, and what was written since.
pub struct Overlay {
    base: Box<dyn Store>,
    file: File,
    /// Nothing of it is to survive this process.
    temporary: bool,
    bytes: u64,
    map: Vec<u8>,
    /// Pages of the map that differ from the file's.
    map_dirty: BTreeSet<usize>,
    data_offset: u64,
    /// The file is at least this long, unless another process truncates it.
    reach: u64,
}

fn blocks_of(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES)
}

/// Where block 0 is.
fn data_offset(bytes: u64) -> u64 {
    (HEADER_BYTES + blocks_of(bytes).div_ceil(8)).next_multiple_of(BLOCK_BYTES)
}

/// The digest of everything on `store`; zeros cost nothing where they are holes.
pub fn image_digest(store: &dyn Store) -> io::Result<Digest> {
    let bytes = store.bytes();
    let mut digest = digest_bytes(&bytes.to_le_bytes(), 0);
    let mut buffer = vec![0; CHUNK_BYTES as usize];
    let mut at = 0;
    while let Some(data) = store.next_data(at)? {
        let start = data / CHUNK_BYTES * CHUNK_BYTES;
        let len = CHUNK_BYTES.min(bytes - start) as usize;
        store.read_at(&mut buffer[..len], start)?;
        if buffer[..len].iter().any(|byte| *byte != 0) {
            let mut words = [0; 40];
            words[..16].copy_from_slice(&digest.0.to_le_bytes());
            words[16..24].copy_from_slice(&start.to_le_bytes());
            words[24..].copy_from_slice(&digest_bytes(&buffer[..len], 0).0.to_le_bytes());
            digest = digest_bytes(&words, 0);
        }
        at = start + len as u64;
    }
    Ok(digest)
}

impl Overlay {
    /// An overlay that is gone with this process; `file` is empty and has no name.
    pub fn temporary(base: Box<dyn Store>, file: File) -> Self {
        Self::with(base, file, true)
    }

    fn with(base: Box<dyn Store>, file: File, temporary: bool) -> Self {
        let bytes = base.bytes();
        let map = vec![0; blocks_of(bytes).div_ceil(8) as usize];
        let data_offset = data_offset(bytes);
        Self { base, file, temporary, bytes, map, map_dirty: BTreeSet::new(), data_offset, reach: 0 }
    }

    /// Makes the empty `file` an overlay over `base`.
    pub fn create(base: Box<dyn Store>, file: File, modified_ns: i64) -> io::Result<Self> {
        let stamp = BaseStamp { bytes: base.bytes(), modified_ns, digest: image_digest(&*base)? };
        let mut overlay = Self::with(base, file, false);
        overlay.write_header(&stamp)?;
        overlay.file.set_len(overlay.data_offset)?;
        overlay.reach = overlay.data_offset;
        overlay.file.sync_all()?;
        Ok(overlay)
    }

    /// Opens `file`, which must have been made over this very base.
    pub fn open(base: Box<dyn Store>, file: File, modified_ns: i64) -> Result<Self, OverlayError> {
        let found = file.metadata()?.len();
        if found < HEADER_BYTES {
            return Err(OverlayError::Short { found, expected: HEADER_BYTES });
        }
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0)?;
        let stamp = decode_header(&header)?;
        check_base(&*base, &stamp, modified_ns)?;
        let mut overlay = Self::with(base, file, false);
        if found < overlay.data_offset {
            return Err(OverlayError::Short { found, expected: overlay.data_offset });
        }
        overlay.file.read_exact_at(&mut overlay.map, HEADER_BYTES)?;
        overlay.check_map(found)?;
        overlay.reach = found;
        if stamp.modified_ns != modified_ns {
            overlay.write_header(&BaseStamp { modified_ns, ..stamp })?;
        }
        Ok(overlay)
    }

    fn write_header(&mut self, stamp: &BaseStamp) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES as usize];
        header[..8].copy_from_slice(MAGIC);
        LittleEndian::write_u32(&mut header[8..], VERSION);
        LittleEndian::write_u32(&mut header[12..], BLOCK_BYTES as u32);
        LittleEndian::write_u64(&mut header[16..], stamp.bytes);
        header[24..40].copy_from_slice(&stamp.digest.0.to_le_bytes());
        LittleEndian::write_i64(&mut header[40..], stamp.modified_ns);
        LittleEndian::write_u64(&mut header[48..], HEADER_BYTES);
        LittleEndian::write_u64(&mut header[56..], self.data_offset);
        let crc = crc32fast::hash(&header[..4092]);
        LittleEndian::write_u32(&mut header[4092..], crc);
        self.file.write_all_at(&header, 0)
    }

    /// Every block that the map names is within the disk and within the file.
    fn check_map(&self, file_bytes: u64) -> Result<(), OverlayError> {
        let blocks = blocks_of(self.bytes);
        let Some((index, byte)) = self.map.iter().enumerate().rfind(|(_, byte)| **byte != 0) else {
            return Ok(());
        };
        let last = index as u64 * 8 + u64::from(7 - byte.leading_zeros() as u8);
        if last >= blocks {
            return Err(OverlayError::Map { block: last, blocks });
        }
        let expected = self.data_offset + (last + 1) * BLOCK_BYTES;
        if file_bytes < expected {
            return Err(OverlayError::Short { found: file_bytes, expected });
        }
        Ok(())
    }

    fn has(&self, block: u64) -> bool {
        self.map[(block / 8) as usize] & (1 << (block % 8)) != 0
    }

    fn set(&mut self, block: u64) {
        if !self.has(block) {
            let byte = (block / 8) as usize;
            self.map[byte] |= 1 << (block % 8);
            self.map_dirty.insert(byte / MAP_PAGE_BYTES);
        }
    }

    /// The bytes of a block before it is first written, padded with zeros past the disk's end.
    fn copy_up(&self, block: u64, into: &mut [u8]) -> io::Result<()> {
        let start = block * BLOCK_BYTES;
        let len = BLOCK_BYTES.min(self.bytes - start) as usize;
        self.base.read_at(&mut into[..len], start)
    }
}

fn decode_header(header: &[u8; HEADER_BYTES as usize]) -> Result<BaseStamp, OverlayError> {
    if &header[..8] != MAGIC {
        return Err(OverlayError::NotOurs);
    }
    match LittleEndian::read_u32(&header[8..]) {
        VERSION => {}
        found => return Err(OverlayError::Version { found }),
    }
    let (expected, found) = (LittleEndian::read_u32(&header[4092..]), crc32fast::hash(&header[..4092]));
    if expected != found {
        return Err(OverlayError::Checksum { expected, found });
    }
    let bytes = LittleEndian::read_u64(&header[16..]);
    let fields = [
        ("blocks of", u64::from(LittleEndian::read_u32(&header[12..])), BLOCK_BYTES),
        ("a map at", LittleEndian::read_u64(&header[48..]), HEADER_BYTES),
        ("block 0 at", LittleEndian::read_u64(&header[56..]), data_offset(bytes)),
    ];
    for (name, found, expected) in fields {
        if found != expected {
            return Err(OverlayError::Header { what: format!("{name} {found}, not {expected}") });
        }
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&header[24..40]);
    let modified_ns = LittleEndian::read_i64(&header[40..]);
    Ok(BaseStamp { bytes, modified_ns, digest: Digest(u128::from_le_bytes(digest)) })
}

fn check_base(base: &dyn Store, stamp: &BaseStamp, modified_ns: i64) -> Result<(), OverlayError> {
    let bytes = base.bytes();
    if bytes != stamp.bytes {
        let why = format!("that one had {} bytes, this one has {bytes}", stamp.bytes);
        return Err(OverlayError::OtherBase { why });
    }
    if modified_ns != stamp.modified_ns {
        let found = image_digest(base)?;
        if found != stamp.digest {
            let why = format!("that one had the digest {}, this one has {found}", stamp.digest);
            return Err(OverlayError::OtherBase { why });
        }
    }
    Ok(())
}

impl Store for Overlay {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let here = self.has(at / BLOCK_BYTES);
            // As far as it comes from the same place.
            let mut end = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
            let wanted = offset + buf.len() as u64;
            while end < wanted && self.has(end / BLOCK_BYTES) == here {
                end += BLOCK_BYTES;
            }
            let part = &mut buf[done..(end.min(wanted) - offset) as usize];
            done += part.len();
            if here {
                self.file.read_exact_at(part, self.data_offset + at)?;
            } else {
                self.base.read_at(part, at)?;
            }
        }
        Ok(())
    }

    fn write_at(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        check_whole(&self.file, self.reach)?;
        let end = offset + data.len() as u64;
        let (first, last) = (offset / BLOCK_BYTES, (end - 1) / BLOCK_BYTES);
        let (head, tail) = (offset % BLOCK_BYTES, end % BLOCK_BYTES);
        let whole = (head == 0 || self.has(first)) && (tail == 0 || self.has(last));
        if whole {
            self.file.write_all_at(data, self.data_offset + offset)?;
            self.reach = self.reach.max(self.data_offset + end);
        } else {
            // Blocks are whole in the file, also where the disk ends within one.
            let mut blocks = vec![0; ((last - first + 1) * BLOCK_BYTES) as usize];
            let edges = if first == last { vec![first] } else { vec![first, last] };
            for block in edges {
                let at = ((block - first) * BLOCK_BYTES) as usize;
                let into = &mut blocks[at..at + BLOCK_BYTES as usize];
                if self.has(block) {
                    self.file.read_exact_at(into, self.data_offset + block * BLOCK_BYTES)?;
                } else {
                    self.copy_up(block, into)?;
                }
            }
            blocks[head as usize..head as usize + data.len()].copy_from_slice(data);
            self.file.write_all_at(&blocks, self.data_offset + first * BLOCK_BYTES)?;
            self.reach = self.reach.max(self.data_offset + (last + 1) * BLOCK_BYTES);
        }
        for block in first..=last {
            self.set(block);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.temporary {
            return Ok(());
        }
        check_whole(&self.file, self.reach)?;
        self.file.sync_data()?;
        if self.map_dirty.is_empty() {
            return Ok(());
        }
        for page in &self.map_dirty {
            let start = page * MAP_PAGE_BYTES;
            let end = (start + MAP_PAGE_BYTES).min(self.map.len());
            self.file.write_all_at(&self.map[start..end], HEADER_BYTES + start as u64)?;
        }
        self.file.sync_data()?;
        self.map_dirty.clear();
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let base = self.base.next_data(offset)?;
        let limit = base.unwrap_or(self.bytes);
        let mut at = offset;
        while at < limit {
            // The overlay's file knows where it has nothing, far faster than the map.
            let Some(data) = seek_data(&self.file, self.data_offset + at, self.data_offset + limit)? else {
                break;
            };
            at = data - self.data_offset;
            if self.has(at / BLOCK_BYTES) {
                return Ok(Some(at));
            }
            at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
        }
        Ok(base)
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::RawFile;
    use super::*;
    use crate::base::Prng;

    fn raw(bytes: &[u8]) -> Box<dyn Store> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Box::new(RawFile::new(file, bytes.len() as u64))
    }

    fn all(store: &dyn Store) -> Vec<u8> {
        let mut bytes = vec![0; store.bytes() as usize];
        store.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// A base of 100 blocks and a half, and the file of an empty overlay.
    fn base_bytes() -> Vec<u8> {
        let mut bytes = vec![0; 100 * 4096 + 2048];
        Prng::new(3).fill(&mut bytes);
        bytes[40_000..90_000].fill(0);
        bytes
    }

    #[test]
    fn an_overlay_reads_as_a_plain_file_that_was_written_alike_and_its_base_stays() {
        let base = base_bytes();
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::create(raw(&base), file.try_clone().unwrap(), 7).unwrap();
        let (mut model, mut prng) = (base.clone(), Prng::new(1));
        for round in 0..400 {
            let start = prng.below(base.len() as u64 / 512) * 512;
            let room = base.len() as u64 - start;
            let len = ((prng.below(40) + 1) * 512).min(room) as usize;
            let mut data = vec![0; len];
            prng.fill(&mut data);
            overlay.write_at(&data, start).unwrap();
            model[start as usize..start as usize + len].copy_from_slice(&data);
            if round % 37 == 0 {
                overlay.sync().unwrap();
                let again = Overlay::open(raw(&base), file.try_clone().unwrap(), 7).unwrap();
                assert!(all(&again) == model, "round {round}");
            }
            let mut part = vec![0; len];
            overlay.read_at(&mut part, start).unwrap();
            assert!(part == data);
        }
        assert!(all(&overlay) == model);
        assert!(all(&*overlay.base) == base);
    }

    #[test]
    fn writes_that_were_not_flushed_leave_the_base_to_be_seen() {
        let base = base_bytes();
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::create(raw(&base), file.try_clone().unwrap(), 7).unwrap();
        overlay.write_at(&[1; 4096], 0).unwrap();
        overlay.sync().unwrap();
        overlay.write_at(&[2; 4096], 8192).unwrap();
        drop(overlay);
        let again = all(&Overlay::open(raw(&base), file, 7).unwrap());
        assert_eq!(again[..4096], [1; 4096]);
        assert_eq!(again[4096..], base[4096..]);
    }

    #[test]
    fn data_is_found_in_the_base_and_in_the_overlay() {
        let mut base = vec![0; 4 << 20];
        base[3 << 20] = 1;
        let holes = tempfile::tempfile().unwrap();
        holes.set_len(4 << 20).unwrap();
        holes.write_all_at(&[1], 3 << 20).unwrap();
        let store = Box::new(RawFile::new(holes, 4 << 20));
        let mut overlay = Overlay::create(store, tempfile::tempfile().unwrap(), 0).unwrap();
        overlay.write_at(&[5; 512], (1 << 20) + 512).unwrap();
        let first = overlay.next_data(0).unwrap().unwrap();
        assert!(((1 << 20) - 65536..=(1 << 20) + 512).contains(&first), "{first}");
        let second = overlay.next_data((1 << 20) + 4096).unwrap().unwrap();
        assert!(second > (2 << 20) && second <= 3 << 20, "{second}");
        base[(1 << 20) + 512..(1 << 20) + 1024].fill(5);
        assert_eq!(image_digest(&overlay).unwrap(), image_digest(&*raw(&base)).unwrap());
    }

    #[test]
    fn another_base_is_refused_and_a_copy_of_the_base_is_not() {
        let base = base_bytes();
        let file = tempfile::tempfile().unwrap();
        drop(Overlay::create(raw(&base), file.try_clone().unwrap(), 7).unwrap());
        let open = |base: &[u8], modified| Overlay::open(raw(base), file.try_clone().unwrap(), modified);
        let mut other = base.clone();
        other[99] ^= 1;
        assert!(matches!(open(&other, 8), Err(OverlayError::OtherBase { .. })));
        assert!(matches!(open(&base[..4096], 7), Err(OverlayError::OtherBase { .. })));
        assert!(open(&base, 8).is_ok());
    }

    #[test]
    fn an_overlay_cut_short_under_us_is_an_error_and_not_the_base_again() {
        let base = base_bytes();
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::create(raw(&base), file.try_clone().unwrap(), 7).unwrap();
        overlay.write_at(&[7; 4096], 8192).unwrap();
        overlay.write_at(&[8; 512], 100 * 512).unwrap();
        overlay.sync().unwrap();
        file.set_len(overlay.data_offset).unwrap();
        assert!(overlay.read_at(&mut [0; 512], 8192).is_err());
        for error in [overlay.write_at(&[1; 512], 0), overlay.sync()] {
            assert!(error.unwrap_err().to_string().contains("cut the file short"));
        }
    }

    #[test]
    fn damaged_overlays_are_told_and_never_panic() {
        let base = base_bytes();
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::create(raw(&base), file.try_clone().unwrap(), 7).unwrap();
        overlay.write_at(&[1; 512], base.len() as u64 - 512).unwrap();
        overlay.sync().unwrap();
        drop(overlay);
        let mut good = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut good, 0).unwrap();
        let open = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            Overlay::open(raw(&base), file, 7).map(|_| ())
        };
        assert!(open(&good).is_ok());
        assert!(matches!(open(b""), Err(OverlayError::Short { .. })));
        for cut in [100, 4096, 8191, good.len() - 1] {
            assert!(matches!(open(&good[..cut]), Err(OverlayError::Short { .. })), "{cut}");
        }
        for at in [0, 8, 13, 17, 30, 44, 50, 60, 2000, 4093] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(open(&bad).is_err(), "{at}");
        }
        let mut beyond = good.clone();
        beyond[4096 + 12] |= 0x80;
        assert!(matches!(open(&beyond), Err(OverlayError::Map { block: 103, blocks: 101 })));
    }
}
