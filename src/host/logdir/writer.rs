//! Writing a log: the base once, then frames as they come.
//!
//! Promises: frames are written as given, each by one `write` before [`LogWriter::append`] comes
//! back; a segment is synced before the next begins. A failed write or sync ends the writer: what
//! reached the disk is then unknown, and trying again could make a hole that looks whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{BASE_NAME, BASE_PART_NAME, LogError, SEGMENT_BYTES_MAX, segment_name, segments_in};
use crate::base::{Generation, Seq};
use crate::host::remedy::CREATE_DIR;
use crate::log::segment::HEADER_BYTES_MAX;
use crate::log::{Frame, Lineage, SegmentHeader};

/// The one writer of a log's directory.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    lineage: Lineage,
    generation: Generation,
    file: File,
    path: PathBuf,
    segment_bytes: u64,
    segment_bytes_max: u64,
    /// The number that the next frame must start with.
    next: Seq,
    bytes_total: u64,
    base_bytes: u64,
    broken: bool,
}

impl LogWriter {
    /// Begins a log in `dir`, which is created if only it is missing, with the snapshot that
    /// `base` yields in chunks. An occupied directory is refused and left as it is.
    pub fn create(
        dir: &Path,
        lineage: Lineage,
        generation: Generation,
        base: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self, LogError> {
        Self::create_with(dir, lineage, generation, base, SEGMENT_BYTES_MAX)
    }

    /// Whether a log could be begun in `dir`, as far as that can be known without writing anything.
    pub fn check(dir: &Path) -> Result<(), LogError> {
        match std::fs::symlink_metadata(dir) {
            Ok(_) => refuse_occupied(dir),
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(LogError::io(CREATE_DIR, dir)(why)),
            Err(why) => match dir.parent() {
                Some(parent) if parent.as_os_str().is_empty() || parent.is_dir() => Ok(()),
                _ => Err(LogError::io(CREATE_DIR, dir)(why)),
            },
        }
    }

    /// [`LogWriter::create`] with another bound for a segment.
    pub fn create_with(
        dir: &Path,
        lineage: Lineage,
        generation: Generation,
        base: impl IntoIterator<Item = Vec<u8>>,
        segment_bytes_max: u64,
    ) -> Result<Self, LogError> {
        Begun::at(dir)?.write(lineage, generation, base, segment_bytes_max)
    }

    /// Sets the generation of the next frames; the next segment's header will name it.
    pub fn set_generation(&mut self, generation: Generation) {
        self.generation = generation;
    }

    /// The number that the next frame must start with.
    pub const fn next_seq(&self) -> Seq {
        self.next
    }

    /// Bytes in all segments.
    pub const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Whether the directory stays within `bytes_max` when a frame of `frame_bytes` is appended.
    pub const fn has_room(&self, frame_bytes: usize, bytes_max: u64) -> bool {
        let more = frame_bytes as u64 + HEADER_BYTES_MAX as u64;
        self.base_bytes + self.bytes_total + more <= bytes_max
    }

    /// Appends one frame. It has reached the operating system when this comes back (so it survives
    /// our process), not the disk.
    pub fn append(&mut self, frame: &[u8]) -> Result<(), LogError> {
        self.refuse_broken()?;
        let checked =
            Frame::check(frame).map_err(|why| LogError::NotAFrame { path: self.path.clone(), why })?;
        let found = checked.first_seq();
        if found != self.next {
            let (path, expected) = (self.path.clone(), self.next);
            return Err(LogError::OutOfSequence { path, expected, found });
        }
        let next = checked.last_seq().next();
        let bytes = checked.bytes();
        // Broken until it has worked: an early return must not leave a writer that goes on.
        self.broken = true;
        if self.segment_bytes + bytes.len() as u64 > self.segment_bytes_max {
            self.rotate()?;
        }
        if let Err(why) = self.file.write_all(bytes) {
            // What was written of the frame goes, if the file system lets it: the log then ends with a whole one.
            match self.file.set_len(self.segment_bytes) {
                Ok(()) | Err(_) => return Err(LogError::io("write to", &self.path)(why)),
            }
        }
        self.broken = false;
        self.segment_bytes += bytes.len() as u64;
        self.bytes_total += bytes.len() as u64;
        self.next = next;
        Ok(())
    }

    /// Brings everything appended so far to the disk.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.refuse_broken()?;
        self.broken = true;
        self.file.sync_data().map_err(LogError::io("sync", &self.path))?;
        self.broken = false;
        Ok(())
    }

    /// Syncs and ends the log.
    pub fn close(mut self) -> Result<(), LogError> {
        self.sync()
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.file.sync_all().map_err(LogError::io("sync", &self.path))?;
        let (file, path, bytes) = begin_segment(&self.dir, &self.lineage, self.generation, self.next)?;
        (self.file, self.path, self.segment_bytes) = (file, path, bytes);
        self.bytes_total += bytes;
        Ok(())
    }

    fn refuse_broken(&self) -> Result<(), LogError> {
        if self.broken { Err(LogError::Broken { path: self.path.clone() }) } else { Ok(()) }
    }
}

/// A directory that has been taken for a log: nobody else begins one there. It holds an empty
/// `base.snap.part`.
#[derive(Debug)]
pub(super) struct Begun {
    dir: PathBuf,
    part: File,
}

impl Begun {
    /// Takes `dir`, which is created if only it is missing. An occupied directory is refused and left as it is.
    ///
    /// Creating the `.part` file is what decides between two recorders that start at once: one of them finds the
    /// other's.
    pub fn at(dir: &Path) -> Result<Self, LogError> {
        match DirBuilder::new().create(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(LogError::io(CREATE_DIR, dir)(why));
            }
            _ => refuse_occupied(dir)?,
        }
        let part = dir.join(BASE_PART_NAME);
        let file = match create_new(&part) {
            Err(LogError::Io { why, .. }) if why.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LogError::Occupied { dir: dir.to_owned(), found: BASE_PART_NAME.into() });
            }
            created => created?,
        };
        if dir.join(BASE_NAME).symlink_metadata().is_ok() {
            // The other recorder was faster by a whole base; its log is complete without ours.
            std::fs::remove_file(&part).map_err(LogError::io("remove", &part))?;
            return Err(LogError::Occupied { dir: dir.to_owned(), found: BASE_NAME.into() });
        }
        Ok(Self { dir: dir.to_owned(), part: file })
    }

    /// Writes the base, and begins the first segment.
    pub fn write(
        self,
        lineage: Lineage,
        generation: Generation,
        base: impl IntoIterator<Item = Vec<u8>>,
        segment_bytes_max: u64,
    ) -> Result<LogWriter, LogError> {
        let Self { dir, part } = self;
        let base_bytes = write_base(&dir, part, base)?;
        let next = lineage.base_seq.next();
        let (file, path, segment_bytes) = begin_segment(&dir, &lineage, generation, next)?;
        Ok(LogWriter {
            dir,
            lineage,
            generation,
            file,
            path,
            segment_bytes,
            segment_bytes_max,
            next,
            bytes_total: segment_bytes,
            base_bytes,
            broken: false,
        })
    }
}

/// Fails if a log, or part of one, is in `dir`.
fn refuse_occupied(dir: &Path) -> Result<(), LogError> {
    let occupied = |found: String| Err(LogError::Occupied { dir: dir.to_owned(), found });
    for name in [BASE_PART_NAME, BASE_NAME] {
        if dir.join(name).symlink_metadata().is_ok() {
            return occupied(name.into());
        }
    }
    match segments_in(dir)?.first() {
        Some((first, _)) => occupied(segment_name(*first)),
        None => Ok(()),
    }
}

/// Writes `base.snap`, complete or not at all, through `file`, the empty `.part`. Answers with its length.
fn write_base(dir: &Path, mut file: File, base: impl IntoIterator<Item = Vec<u8>>) -> Result<u64, LogError> {
    let (part, path) = (dir.join(BASE_PART_NAME), dir.join(BASE_NAME));
    let mut bytes = 0;
    for chunk in base {
        bytes += chunk.len() as u64;
        file.write_all(&chunk).map_err(LogError::io("write to", &part))?;
    }
    file.sync_all().map_err(LogError::io("sync", &part))?;
    std::fs::rename(&part, &path).map_err(LogError::io("rename", &part))?;
    sync_dir(dir).map(|()| bytes)
}

/// Creates the segment that starts with entry `first` and writes its header.
fn begin_segment(
    dir: &Path,
    lineage: &Lineage,
    generation: Generation,
    first: Seq,
) -> Result<(File, PathBuf, u64), LogError> {
    let path = dir.join(segment_name(first));
    let mut file = create_new(&path)?;
    let header = SegmentHeader { lineage: lineage.clone(), first_seq: first, generation }.encode();
    file.write_all(&header).map_err(LogError::io("write to", &path))?;
    sync_dir(dir)?;
    Ok((file, path, header.len() as u64))
}

fn create_new(path: &Path) -> Result<File, LogError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(LogError::io("create", path))
}

/// Makes the names in `dir` survive a crash of the host.
fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(LogError::io("sync", dir))
}
