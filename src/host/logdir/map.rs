//! A file mapped into memory, read-only. The only `unsafe` of the log's files.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file as long as it was when it was mapped.
#[derive(Debug)]
pub struct Mapped(Option<Mmap>);

impl Mapped {
    /// Maps `path`; an empty file maps to no bytes.
    #[expect(unsafe_code, reason = "maps a file")]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if metadata.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the map is private to us and read-only. Two things can happen to the file while it
        // is mapped. It can grow: a segment has one writer, which only appends, and the map keeps
        // its length. Or another process cuts or overwrites it: cutting ends this process with SIGBUS
        // at the next read past the new end, and overwriting gives other bytes from one read to the
        // next, which decoders that bounds-check every read (all of ours, they are safe code) turn
        // into errors. Neither lets a read leave the map.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(Some(map)))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
