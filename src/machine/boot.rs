//! What a machine starts from, at its first reset and at every later one: the bytes that are put into
//! zeroed RAM, and where and how the hart begins.
//!
//! A guest that resets its machine starts over from here, on every replica at the same position, so
//! this is kept with the machine and travels with it. [`MachineConfig`](super::MachineConfig) holds
//! its digest.
//!
//! Encoded, it is a [`Start`] in postcard and then, per page in ascending order:
//!
//! ```text
//! varint  pages skipped since the page before
//! 1       0: the bytes follow; 1: as in the RAM that it is saved beside
//! 4096    the bytes, if they follow
//! ```

use core::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::{Digest, digest_bytes, varint};
use crate::cpu::Privilege;
use crate::mem::{Bytes, PAGE_BYTES, Ram};

/// Where and how the hart begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub pc: u64,
    /// The device tree.
    pub a1: u64,
    /// For a firmware: the address of the description of what to start next. Else 0.
    pub a2: u64,
    /// M-mode for bare-metal programs and firmware; S-mode for a kernel on the machine's own SBI.
    pub mode: Privilege,
}

/// Bytes that are no boot image, or not the one that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadBoot {
    #[error("its beginning does not decode: {0}")]
    Start(String),
    #[error("a hart does not start in {0:?}")]
    Mode(Privilege),
    #[error("page {page} is cut off, out of order or beyond RAM")]
    Page { page: u64 },
    #[error("its digest is {found}, expected {expected}")]
    Digest { expected: Digest, found: Digest },
}

/// See the [module](self).
pub struct BootImage {
    start: Start,
    /// The pages that are not zero, ascending.
    numbers: Vec<u32>,
    /// Theirs, one after another.
    bytes: Bytes,
}

/// Pages in a piece: it fits into a chunk of a snapshot, and is a tenth of a millisecond's work.
const PIECE_PAGES: usize = 56;

const FOLLOWS: u8 = 0;
const AS_IN_RAM: u8 = 1;

impl BootImage {
    /// The RAM of a machine that is about to start so.
    pub(super) fn of(start: Start, ram: &Ram) -> Self {
        let numbers: Vec<u32> = ram.pages_nonzero().collect();
        Self::of_pages(start, numbers.iter().map(|page| (*page, ram.page(*page))))
    }

    fn of_pages<'a>(start: Start, pages: impl ExactSizeIterator<Item = (u32, &'a [u8])>) -> Self {
        // Nothing is mapped for nothing.
        let mut bytes = Bytes::zeroed(pages.len().max(1) * PAGE_BYTES);
        let numbers = bytes.chunks_exact_mut(PAGE_BYTES).zip(pages).map(|(into, (page, from))| {
            into.copy_from_slice(from);
            page
        });
        Self { start, numbers: numbers.collect(), bytes }
    }

    /// Page number and bytes of each page that is not zero, ascending.
    fn pages(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.numbers.iter().copied().zip(self.bytes.chunks_exact(PAGE_BYTES))
    }

    pub fn start(&self) -> Start {
        self.start
    }

    /// RAM as it is at reset.
    pub(super) fn ram(&self, size_bytes: u64) -> Ram {
        let mut ram = Ram::new(size_bytes);
        for (page, bytes) in self.pages() {
            ram.load_page(page, bytes).expect("the pages of an image are within its machine's RAM");
        }
        ram
    }

    /// Of everything that it consists of.
    pub fn digest(&self) -> Digest {
        let start = postcard::to_allocvec(&self.start).expect("plain data always encodes");
        let head = digest_bytes(&start, 0);
        let next = |digest: Digest, (page, bytes): (u32, &[u8])| {
            let bytes = digest_bytes(bytes, u64::from(page));
            digest_bytes(&[digest.0.to_le_bytes(), bytes.0.to_le_bytes()].concat(), 0)
        };
        self.pages().fold(head, next)
    }

    /// Its bytes; pages that `ram` holds too are only named.
    pub(super) fn encode(&self, ram: &Ram) -> Vec<u8> {
        let mut out = self.encoded_start();
        self.put_pages(0..self.numbers.len(), |page, bytes| ram.page(page) == bytes, &mut out);
        out
    }

    /// What its bytes begin with.
    pub(super) fn encoded_start(&self) -> Vec<u8> {
        postcard::to_allocvec(&self.start).expect("plain data always encodes")
    }

    /// How many pages it has.
    pub(super) fn pages_count(&self) -> usize {
        self.numbers.len()
    }

    /// Appends the bytes of some of its pages, counted from 0; one that `is_in_ram` is only named.
    pub(super) fn put_pages(
        &self,
        which: Range<usize>,
        mut is_in_ram: impl FnMut(u32, &[u8]) -> bool,
        out: &mut Vec<u8>,
    ) {
        let mut next = which.start.checked_sub(1).map_or(0, |before| self.numbers[before] + 1);
        for (page, bytes) in self.pages().skip(which.start).take(which.len()) {
            varint::put_u64(out, u64::from(page - next));
            next = page + 1;
            if is_in_ram(page, bytes) {
                out.push(AS_IN_RAM);
            } else {
                out.push(FOLLOWS);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Into how many pieces its bytes are cut when they are sent by themselves.
    pub(super) fn pieces(&self) -> u32 {
        self.numbers.len().div_ceil(PIECE_PAGES).max(1) as u32
    }

    /// The `index`-th piece of its bytes, with no page only named.
    pub(super) fn piece(&self, index: u32) -> Option<Vec<u8>> {
        if index >= self.pieces() {
            return None;
        }
        let first = index as usize * PIECE_PAGES;
        let which = first..(first + PIECE_PAGES).min(self.numbers.len());
        let mut out = match index {
            0 => self.encoded_start(),
            _ => Vec::new(),
        };
        out.reserve(which.len() * (PAGE_BYTES + 8));
        self.put_pages(which, |_, _| false, &mut out);
        Some(out)
    }

    /// What [`BootImage::encode`] wrote beside `ram`, from an untrusted sender; its digest must be `expected`.
    pub(super) fn decode(bytes: &[u8], ram: &Ram, expected: Digest) -> Result<Self, BadBoot> {
        let (start, mut rest) =
            postcard::take_from_bytes::<Start>(bytes).map_err(|error| BadBoot::Start(error.to_string()))?;
        if start.mode == Privilege::User {
            return Err(BadBoot::Mode(start.mode));
        }
        let mut pages = Vec::new();
        let mut next: u64 = 0;
        while !rest.is_empty() {
            let gap = varint::get_u64(&mut rest).map_err(|_| BadBoot::Page { page: next })?;
            let page = next.saturating_add(gap);
            let bad = BadBoot::Page { page };
            let Some((&how, after)) = rest.split_first() else { return Err(bad) };
            if page >= u64::from(ram.pages()) {
                return Err(bad);
            }
            let number = page as u32;
            let (content, after) = match how {
                AS_IN_RAM => (ram.page(number), after),
                FOLLOWS if after.len() >= PAGE_BYTES => after.split_at(PAGE_BYTES),
                _ => return Err(bad),
            };
            pages.push((number, content));
            rest = after;
            next = page + 1;
        }
        let image = Self::of_pages(start, pages.into_iter());
        match image.digest() {
            found if found == expected => Ok(image),
            found => Err(BadBoot::Digest { expected, found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::GuestPhys;
    use crate::mem::RAM_BASE;

    impl PartialEq for BootImage {
        fn eq(&self, other: &Self) -> bool {
            self.digest() == other.digest()
        }
    }

    impl std::fmt::Debug for BootImage {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:?} {:?}", self.start, self.numbers)
        }
    }

    const RAM_BYTES: u64 = 16 * PAGE_BYTES as u64;

    fn image() -> (BootImage, Ram) {
        let mut ram = Ram::new(RAM_BYTES);
        for page in [0, 1, 7, 15] {
            let at = GuestPhys(RAM_BASE.get() + page * PAGE_BYTES as u64 + 8);
            ram.write(at, &[page as u8 + 1; 32]).unwrap();
        }
        let start = Start { pc: 0x8000_0000, a1: 0x8000_f000, a2: 0, mode: Privilege::Supervisor };
        (BootImage::of(start, &ram), ram)
    }

    #[test]
    fn an_image_comes_back_beside_whatever_ram_it_was_saved_with() {
        let (image, mut ram) = image();
        let whole = image.encode(&Ram::new(RAM_BYTES));
        let beside = image.encode(&ram);
        assert!(beside.len() < 64, "only named: {}", beside.len());
        assert!(whole.len() > 4 * PAGE_BYTES);
        assert_eq!(BootImage::decode(&beside, &ram, image.digest()), Ok(self::image().0));
        assert_eq!(BootImage::decode(&whole, &ram, image.digest()), Ok(self::image().0));
        ram.write(RAM_BASE, &[9]).unwrap();
        let mixed = image.encode(&ram);
        assert_eq!(BootImage::decode(&mixed, &ram, image.digest()), Ok(self::image().0));
        assert_eq!(image.ram(RAM_BYTES).digest(), self::image().1.digest());
    }

    #[test]
    fn pieces_make_the_whole() {
        let mut ram = Ram::new(200 * PAGE_BYTES as u64);
        for page in (0..200).filter(|page| page % 7 != 0) {
            ram.load_page(page, &[page as u8 | 1; PAGE_BYTES]).unwrap();
        }
        let start = image().0.start();
        let image = BootImage::of(start, &ram);
        let pieces: Vec<Vec<u8>> = (0..).map_while(|index| image.piece(index)).collect();
        assert_eq!(pieces.len(), image.pieces() as usize);
        assert!(pieces.len() > 2);
        assert_eq!(pieces.concat(), image.encode(&Ram::new(ram.size_bytes())));
        let nothing = BootImage::of(start, &Ram::new(RAM_BYTES));
        assert_eq!((nothing.pieces(), nothing.piece(1)), (1, None));
        assert_eq!(nothing.piece(0), Some(nothing.encode(&ram)));
    }

    #[test]
    fn what_is_not_the_image_is_refused() {
        let (image, ram) = image();
        let bytes = image.encode(&Ram::new(RAM_BYTES));
        let decode = |bytes: &[u8]| BootImage::decode(bytes, &ram, image.digest());
        for len in [0, 1, 10, bytes.len() - 1, bytes.len() - PAGE_BYTES] {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut rotten = bytes.clone();
        *rotten.last_mut().unwrap() ^= 1;
        assert!(matches!(decode(&rotten), Err(BadBoot::Digest { .. })));
        let mut beyond = bytes;
        beyond.extend([0x7f, AS_IN_RAM]);
        assert_eq!(decode(&beyond), Err(BadBoot::Page { page: 16 + 0x7f }));
    }
}
