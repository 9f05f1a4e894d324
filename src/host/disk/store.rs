//! Where a disk's bytes are: the trait, and a raw file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Bytes of a disk. Offsets and lengths are within it: the caller has checked.
pub trait Store: Send {
    fn bytes(&self) -> u64;

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Seen by every later read; survives a crash of the host only after [`Store::sync`].
    fn write_at(&mut self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Everything written is on stable storage when this comes back.
    fn sync(&mut self) -> io::Result<()>;

    /// The first byte at or after `offset` that may be other than zero; none if all of them are zero.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;
}

/// A raw image: byte n of the disk is byte n of the file.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    bytes: u64,
}

impl RawFile {
    pub fn new(file: File, bytes: u64) -> Self {
        Self { file, bytes }
    }
}

/// A file that another process has truncated has lost what the guest saw as durable, and would take writes
/// past its end as if nothing had happened.
pub(super) fn check_whole(file: &File, expected: u64) -> io::Result<()> {
    let found = file.metadata()?.len();
    if found < expected {
        return Err(io::Error::other(format!(
            "something else has cut the file short: it had {expected} bytes, now {found}"
        )));
    }
    Ok(())
}

impl Store for RawFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A file that was cut short under us is an error, not zeros.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        check_whole(&self.file, self.bytes)?;
        self.file.write_all_at(data, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        check_whole(&self.file, self.bytes)?;
        self.file.sync_data()
    }

    /// What is missing at the end of a file that was cut short is no hole.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        check_whole(&self.file, self.bytes)?;
        seek_data(&self.file, offset, self.bytes)
    }
}

/// `SEEK_DATA`, within `bytes`; a file system that does not know it has data everywhere.
pub(super) fn seek_data(file: &File, offset: u64, bytes: u64) -> io::Result<Option<u64>> {
    if offset >= bytes {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(at) => Ok((at < bytes).then_some(at.max(offset))),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL) => Ok(Some(offset)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(bytes: u64) -> RawFile {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        RawFile::new(file, bytes)
    }

    #[test]
    fn what_was_written_is_read_and_holes_are_found() {
        let mut raw = sparse(1 << 20);
        assert_eq!(raw.next_data(0).unwrap(), None);
        raw.write_at(b"abc", 512 << 10).unwrap();
        let at = raw.next_data(0).unwrap().unwrap();
        assert!(at <= 512 << 10, "{at}");
        assert_eq!(raw.next_data((512 << 10) + 1).unwrap(), Some((512 << 10) + 1));
        let mut found = [0; 4];
        raw.read_at(&mut found, 512 << 10).unwrap();
        assert_eq!(&found, b"abc\0");
        raw.sync().unwrap();
        assert_eq!(raw.next_data(1 << 20).unwrap(), None);
    }

    #[test]
    fn a_file_cut_short_under_us_is_an_error() {
        let mut raw = sparse(1 << 20);
        raw.file.set_len(4096).unwrap();
        let error = raw.read_at(&mut [0; 512], 4096).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        for error in [raw.write_at(&[1; 512], 8192), raw.sync(), raw.next_data(8192).map(|_| ())] {
            assert!(error.unwrap_err().to_string().contains("cut the file short"));
        }
        assert_eq!(raw.file.metadata().unwrap().len(), 4096, "no write has made it look whole again");
    }
}
