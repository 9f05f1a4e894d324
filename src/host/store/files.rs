//! What a store asks of its directory: a trait, so that tests can lose, tear, reorder and fail writes.
//!
//! Names are relative to the store's directory. What [`StoreFile::sync_data`] has returned for survives a
//! crash of the host; so do, after [`Files::sync_dir`], the names made, changed and removed before it.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

use crate::host::os;

/// The files of one directory.
pub trait Files: Debug + Send + Sync {
    /// The path of a name, for messages; of the directory itself if it is empty.
    fn path(&self, name: &str) -> PathBuf;

    /// All names, with the length of each file.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Opens a file for reading, and for writing if `write`.
    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StoreFile>>;

    /// Makes a file that must not be there yet, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Box<dyn StoreFile>>;

    /// Gives a file another name; what had that name before is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names survive a crash of the host.
    fn sync_dir(&self) -> io::Result<()>;

    /// The time of day, in ns since 1970.
    fn now_ns(&self) -> u64;
}

/// An open file.
pub trait StoreFile: Debug + Send {
    /// Its length in bytes.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads at `offset`; how many bytes, 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads as [`StoreFile::read_at`] does, from the disk if it can be had around the page cache.
    fn read_back_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; how many bytes, which may be fewer than asked for.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Takes space for `bytes` bytes, and makes the file at least as long.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file, or fills it up with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// What was written, and the length, survive a crash of the host.
    fn sync_data(&self) -> io::Result<()>;
}

/// Fills `buf` from `offset`, as far as the file goes; how many bytes that are.
pub fn read_full(file: &dyn StoreFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(buf, |rest, done| file.read_at(rest, offset + done))
}

/// [`read_full`] by [`StoreFile::read_back_at`].
pub fn read_back(file: &dyn StoreFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(buf, |rest, done| file.read_back_at(rest, offset + done))
}

fn fill(buf: &mut [u8], mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match read(&mut buf[done..], done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`: a short write is completed, or fails.
pub fn write_full(file: &dyn StoreFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// A directory of the host.
#[derive(Debug)]
pub struct HostFiles {
    dir: PathBuf,
}

impl HostFiles {
    /// The files in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
}

impl Files for HostFiles {
    fn path(&self, name: &str) -> PathBuf {
        // Joined with nothing, a slash would be added.
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for item in fs::read_dir(&self.dir)? {
            let item = item?;
            let meta = match item.metadata() {
                // A file that is not the store's (evidence, say) was removed since `read_dir`; or one of a store in use.
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            // Ours are all in ASCII.
            if let Ok(name) = item.file_name().into_string() {
                found.push((name, meta.len()));
            }
        }
        Ok(found)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StoreFile>> {
        Ok(Box::new(HostFile(OpenOptions::new().read(true).write(write).open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoreFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(HostFile(options.read(true).write(true).create_new(true).open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn now_ns(&self) -> u64 {
        os::wall_clock_ns()
    }
}

#[derive(Debug)]
struct HostFile(File);

impl StoreFile for HostFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn read_back_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Only advice: a page that stays in the cache is compared all the same.
        match rustix::fs::fadvise(&self.0, offset, None, Advice::DontNeed) {
            Ok(()) | Err(_) => self.0.read_at(buf, offset),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.bytes()? < bytes => self.0.set_len(bytes),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
