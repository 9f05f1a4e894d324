//! Every check between a name on the command line and a disk that a guest may use.
//!
//! A primary opens its disks before its guest's life begins ([`open_boot`]); a joiner learns what disks
//! there are from its primary ([`open_join`]), and makes the files that are missing. Either way the
//! files are locked for as long as they are open: one writer, or readers.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::identity::{self, Claimant, Identity, Role, Stamp, State, modified_ns};
use super::overlay::{Overlay, OverlayError};
use super::place::{DiskPlace, OverlayPlace};
use super::store::{RawFile, Store};
use crate::base::{Generation, NodeId};
use crate::devices::disk::{DiskSpec, SECTOR_BYTES};
use crate::host::durable;

/// The largest disk: what is kept in memory for it stays within 64 MiB.
pub const DISK_BYTES_MAX: u64 = 2 << 40;
/// Formats that are no raw images, by how they begin.
const NOT_RAW: &[(&[u8], &str)] =
    &[(b"QFI\xfb", "a qcow2 image"), (b"KDMV", "a VMDK image"), (b"vhdxfile", "a VHDX image")];

/// Whether a state transfer may change bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    Allowed,
    /// The file is there to be read.
    ReadOnly,
    /// The file is not known as a copy of this disk: it may only turn out to be one.
    Unknown,
}

/// A file's identity, kept up to date.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    file: File,
    identity: Identity,
    /// It is read-only once it is whole, and needs no identity then.
    read_only: bool,
    /// False until the identity on disk equals this one.
    written: bool,
}

/// A disk that is ready for use.
pub struct OpenDisk {
    pub number: u8,
    /// Names it for people.
    pub path: PathBuf,
    pub store: Box<dyn Store>,
    /// The guest may not write to it.
    pub read_only: bool,
    pub guard: Option<Guard>,
    pub overwrite: Overwrite,
    /// What is worth telling about it.
    pub notes: Vec<String>,
}

/// Opens disk `number` for a guest's life that `claimant` is about to begin. Nothing is changed yet
/// but an overlay that is missing.
pub fn open_boot(place: &DiskPlace, number: u8, claimant: &Claimant) -> Result<OpenDisk, DiskError> {
    let mut notes = Vec::new();
    let mut guard_of = |path: &Path, file: &File, bytes: u64| -> Result<Guard, DiskError> {
        let found = stamp_of(path, file, bytes)?;
        let known = if place.reset { None } else { Identity::read(path)? };
        if known.is_none() && claimant.replica.is_some() && !place.reset {
            return Err(DiskError::NoReplica { path: path.to_owned() });
        }
        if let Some(known) = &known {
            notes.extend(known.check_boot(path, claimant, found)?);
        }
        let ours = known.filter(|known| known.vm == claimant.vm);
        let mut identity =
            ours.unwrap_or_else(|| Identity::new(claimant.vm, NodeId::ZERO, Role::Primary, found));
        (identity.node, identity.state, identity.stamp) = (claimant.node, State::Open, found);
        let file = file.try_clone().map_err(DiskError::io("open", path))?;
        Ok(Guard { path: path.to_owned(), file, identity, read_only: false, written: false })
    };
    let (store, guard, path): (Box<dyn Store>, _, _) = match &place.overlay {
        OverlayPlace::None if place.read_only => {
            let (raw, _) = open_raw(&place.file, false, place.reset)?;
            if Identity::read(&place.file)?.is_some_and(|known| known.role == Role::Behind) && !place.reset {
                return Err(DiskError::Partial { path: place.file.clone() });
            }
            (Box::new(raw), None, &place.file)
        }
        OverlayPlace::None => {
            let (raw, file) = open_raw(&place.file, true, place.reset)?;
            let guard = guard_of(&place.file, &file, raw.bytes())?;
            (Box::new(raw), Some(guard), &place.file)
        }
        OverlayPlace::Temporary => (Box::new(temporary(&place.file)?), None, &place.file),
        OverlayPlace::File(path) => {
            let (overlay, file, _) = open_overlay(&place.file, path)?;
            let guard = guard_of(path, &file, overlay.bytes())?;
            (Box::new(overlay), Some(guard), path)
        }
    };
    let (path, read_only) = (path.clone(), place.read_only);
    Ok(OpenDisk { number, path, store, read_only, guard, overwrite: Overwrite::Allowed, notes })
}

/// Opens, or makes, what is to become `node`'s copy of the disk `number` of the primary of `vm`.
pub fn open_join(
    place: Option<&DiskPlace>,
    number: u8,
    spec: &DiskSpec,
    vm: &str,
    node: NodeId,
) -> Result<OpenDisk, DiskError> {
    let place = place.ok_or(DiskError::NotGiven { number })?;
    if place.read_only && !spec.read_only {
        return Err(DiskError::GivenReadOnly { path: place.file.clone(), number });
    }
    let bytes = spec.sectors.saturating_mul(SECTOR_BYTES);
    if bytes > DISK_BYTES_MAX {
        return Err(DiskError::TooLarge { path: place.file.clone(), bytes, max: DISK_BYTES_MAX });
    }
    let read_only = spec.read_only;
    let guard_of = |path: &Path, file: File, known: Option<Identity>| -> Result<Guard, DiskError> {
        let stamp = stamp_of(path, &file, bytes)?;
        let generation = known.map_or(Generation::ZERO, |known| known.generation);
        let mut identity = Identity::new(vm, node, Role::Behind, stamp);
        identity.generation = generation;
        Ok(Guard { path: path.to_owned(), file, identity, read_only, written: false })
    };
    let known_at = |path: &Path| -> Result<Option<Identity>, DiskError> {
        let known = if place.reset { None } else { Identity::read(path)? };
        known.as_ref().map_or(Ok(()), |known| known.check_join(path, vm))?;
        Ok(known)
    };
    let (store, guard, overwrite, path): (Box<dyn Store>, _, _, _) = match &place.overlay {
        OverlayPlace::None => {
            let path = &place.file;
            let missing = is_missing(path)?;
            if missing {
                make(path, bytes)?;
            }
            let known = if missing { None } else { known_at(path)? };
            let copying = missing || place.reset || known.as_ref().is_some_and(|k| k.role == Role::Behind);
            let (raw, file) = open_raw(path, !read_only || copying, place.reset)?;
            let overwrite = match &known {
                _ if missing || place.reset => Overwrite::Allowed,
                None if !read_only && is_blank(&raw, path)? => Overwrite::Allowed,
                None if !read_only => Overwrite::Unknown,
                Some(_) if !read_only || copying => Overwrite::Allowed,
                _ => Overwrite::ReadOnly,
            };
            let guard = match overwrite {
                Overwrite::ReadOnly => None,
                Overwrite::Allowed | Overwrite::Unknown => Some(guard_of(path, file, known)?),
            };
            (Box::new(raw), guard, overwrite, path)
        }
        OverlayPlace::Temporary => (Box::new(temporary(&place.file)?), None, Overwrite::Allowed, &place.file),
        OverlayPlace::File(path) => {
            let (overlay, file, made) = open_overlay(&place.file, path)?;
            let known = if made { None } else { known_at(path)? };
            let free = made || place.reset || known.is_some();
            let overwrite = if free { Overwrite::Allowed } else { Overwrite::Unknown };
            (Box::new(overlay), Some(guard_of(path, file, known)?), overwrite, path)
        }
    };
    if store.bytes() != bytes {
        let (path, found) = (place.file.clone(), store.bytes());
        return Err(DiskError::OtherSize { path, number, expected: bytes, found });
    }
    Ok(OpenDisk { number, path: path.clone(), store, read_only, guard, overwrite, notes: Vec::new() })
}

impl OpenDisk {
    /// What the guest and a backup learn of it.
    pub fn spec(&self, serial: String) -> DiskSpec {
        DiskSpec { sectors: self.store.bytes() / SECTOR_BYTES, read_only: self.read_only, serial }
    }

    /// Notes durably which node is about to use the disk, before it claims a generation.
    pub fn intend(&mut self) -> Result<(), DiskError> {
        let Some(guard) = &mut self.guard else { return Ok(()) };
        guard.write().map_err(DiskError::io("note the owner of", &guard.path))
    }
}

impl Guard {
    pub fn role(&self) -> Role {
        self.identity.role
    }

    /// Makes sure that the identity on disk is `Behind` before bytes change; cheap after the first time.
    pub fn begin(&mut self) -> io::Result<()> {
        if self.written { Ok(()) } else { self.write() }
    }

    /// From here on the disk is `role`'s of `generation`. False when it needs no guard any more.
    pub fn mark(&mut self, role: Role, generation: Generation) -> io::Result<bool> {
        (self.identity.role, self.identity.generation) = (role, generation);
        if self.read_only && role != Role::Behind {
            identity::remove(&self.path)?;
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    /// The final note: how the disk was left. Everything must have been synced.
    pub fn leave(&mut self, state: State) -> io::Result<()> {
        if !self.written {
            return Ok(());
        }
        self.file.sync_all()?;
        self.identity.state = state;
        self.write()
    }

    /// The content of the disk is not known to be good.
    pub fn distrust(&mut self) {
        self.identity.role = Role::Behind;
    }

    /// Makes a new file's name survive a crash of the host.
    pub fn sync_name(&self) -> io::Result<()> {
        durable::sync_parent(&self.path)
    }

    fn write(&mut self) -> io::Result<()> {
        self.identity.stamp = Stamp::of(&self.file.metadata()?, self.identity.stamp.bytes);
        self.identity.write(&self.path)?;
        self.written = true;
        Ok(())
    }
}

fn stamp_of(path: &Path, file: &File, bytes: u64) -> Result<Stamp, DiskError> {
    Ok(Stamp::of(&file.metadata().map_err(DiskError::io("look at", path))?, bytes))
}

fn is_missing(path: &Path) -> Result<bool, DiskError> {
    match fs::metadata(path) {
        Ok(_) => Ok(false),
        // A dangling link is there, and is not followed to make a file somewhere.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(true),
        Err(error) => Err(DiskError::io("look at", path)(error)),
    }
}

/// Makes an empty disk of that size, all of it a hole.
fn make(path: &Path, bytes: u64) -> Result<(), DiskError> {
    let file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(DiskError::io("make", path))?;
    file.set_len(bytes).map_err(DiskError::io("make", path))
}

/// Whether nothing was ever written to it.
fn is_blank(raw: &RawFile, path: &Path) -> Result<bool, DiskError> {
    Ok(raw.next_data(0).map_err(DiskError::io("read", path))?.is_none())
}

/// Opens and locks a raw image; the second handle is for its identity.
fn open_raw(path: &Path, write: bool, reset: bool) -> Result<(RawFile, File), DiskError> {
    let meta = fs::metadata(path).map_err(|why| match why.kind() {
        ErrorKind::NotFound => DiskError::Missing { path: path.to_owned() },
        _ => DiskError::io("open", path)(why),
    })?;
    check_kind(path, &meta)?;
    let refused = |why| DiskError::ReadOnly { path: path.to_owned(), why };
    if write && meta.permissions().readonly() {
        // Root could write to it all the same; its owner made it read-only on purpose.
        return Err(refused(ErrorKind::PermissionDenied.into()));
    }
    let file = OpenOptions::new().read(true).write(write).open(path).map_err(|why| match why.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if write => refused(why),
        _ => DiskError::io("open", path)(why),
    })?;
    lock(&file, path, write)?;
    let bytes = file.metadata().map_err(DiskError::io("look at", path))?.len();
    match bytes {
        0 => return Err(DiskError::Empty { path: path.to_owned() }),
        _ if bytes > DISK_BYTES_MAX => {
            return Err(DiskError::TooLarge { path: path.to_owned(), bytes, max: DISK_BYTES_MAX });
        }
        _ if bytes % SECTOR_BYTES != 0 => return Err(DiskError::Ragged { path: path.to_owned(), bytes }),
        _ => {}
    }
    let handle = file.try_clone().map_err(DiskError::io("open", path))?;
    let raw = RawFile::new(file, bytes);
    // A guest may write anything to its first sector: only a file that is new to us is looked at.
    if !reset && !identity::path_of(path).exists() {
        refuse_other_formats(&raw, path)?;
    }
    Ok((raw, handle))
}

fn refuse_other_formats(raw: &RawFile, path: &Path) -> Result<(), DiskError> {
    let mut start = [0; SECTOR_BYTES as usize];
    raw.read_at(&mut start, 0).map_err(DiskError::io("read", path))?;
    match NOT_RAW.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, found)) => Err(DiskError::NotRaw { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

fn check_kind(path: &Path, meta: &fs::Metadata) -> Result<(), DiskError> {
    let found = match meta.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        _ => "a device, pipe or socket",
    };
    Err(DiskError::NotAFile { path: path.to_owned(), found })
}

/// Held until the file is closed: also when we are killed.
fn lock(file: &File, path: &Path, write: bool) -> Result<(), DiskError> {
    let locked = if write { file.try_lock() } else { file.try_lock_shared() };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => DiskError::InUse { path: path.to_owned(), writing: !write },
        TryLockError::Error(why) => DiskError::io("lock", path)(why),
    })
}

fn open_base(path: &Path) -> Result<(RawFile, i64), DiskError> {
    let (raw, file) = open_raw(path, false, false)?;
    let meta = file.metadata().map_err(DiskError::io("look at", path))?;
    Ok((raw, modified_ns(&meta)))
}

/// An overlay whose file has no name: it is gone with this process, however that ends.
fn temporary(base: &Path) -> Result<Overlay, DiskError> {
    let (raw, _) = open_base(base)?;
    let dir = match std::env::var_os("TMPDIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        // Larger and more patient than /tmp, which may be in memory.
        _ if Path::new("/var/tmp").is_dir() => PathBuf::from("/var/tmp"),
        _ => std::env::temp_dir(),
    };
    let name = format!("lockstep-overlay-{}-{:016x}", std::process::id(), crate::host::os::draw_u64());
    let path = dir.join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(DiskError::io("make the temporary overlay", &path))?;
    fs::remove_file(&path).map_err(DiskError::io("unlink", &path))?;
    Ok(Overlay::temporary(Box::new(raw), file))
}

/// Opens the overlay `path` over `base`, or makes it; the last value is true if it was made.
fn open_overlay(base: &Path, path: &Path) -> Result<(Overlay, File, bool), DiskError> {
    let (raw, modified) = open_base(base)?;
    if let Ok(meta) = fs::metadata(path) {
        check_kind(path, &meta)?;
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(|why| {
            match why.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    DiskError::ReadOnly { path: path.to_owned(), why }
                }
                _ => DiskError::io("open", path)(why),
            }
        })?;
    lock(&file, path, true)?;
    let handle = file.try_clone().map_err(DiskError::io("open", path))?;
    let made = file.metadata().map_err(DiskError::io("look at", path))?.len() == 0;
    if made {
        let overlay = Overlay::create(Box::new(raw), file, modified).map_err(DiskError::io("make", path))?;
        durable::sync_parent(path).map_err(DiskError::io("make", path))?;
        return Ok((overlay, handle, true));
    }
    let overlay = Overlay::open(Box::new(raw), file, modified).map_err(|error| match error {
        OverlayError::Io(why) => DiskError::io("read", path)(why),
        OverlayError::OtherBase { why } => {
            DiskError::OtherBase { path: path.to_owned(), base: base.to_owned(), why }
        }
        other => DiskError::BadOverlay { path: path.to_owned(), why: other.to_string() },
    })?;
    Ok((overlay, handle, false))
}
