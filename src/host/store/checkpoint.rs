//! A checkpoint: the state after an entry, as a file.
//!
//! ```text
//! offset  size  field
//! 0       8     magic, "LKSTPCKP"
//! 8       4     format version, 2
//! 12      4     header length in bytes, this table up to the CRC and with it
//! 16      8     number of the last entry that the state contains
//! 24      8     position of the state
//! 32      8     generation after that entry
//! 40      16    digest of the state
//! 56      8     when it was saved, ns since 1970
//! 64      8     id of the store
//! 72      8     number of the last entry of the checkpoint that it builds on; its own if it stands by itself
//! 80      4     CRC-32 (IEEE) of all the bytes before
//! 84      ...   the chunks of a snapshot, one after another
//! end-32  8     "LKSTPEND"
//! end-24  8     length of the chunks in bytes
//! end-16  16    XXH3-128 of all the bytes before
//! ```
//!
//! The snapshot of one that builds on another holds only the pages that have been written since that one, those of zeros
//! too, and nothing of what a reset starts over from.
//!
//! It is written as `.part`, synced, renamed, and the directory is synced: under its own name it is whole.

use std::fmt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::error::StoreError;
use super::files::{Files, StoreFile, read_full, write_full};
use super::identity::{self, Identity};
use super::segment::number_in;
use crate::base::{Digest, Generation, Icount, Seq};
use crate::machine::Saved;
use crate::snapshot::chunk::CHUNK_PREFIX_BYTES;
use crate::snapshot::{Decoder, chunk_len};

const MAGIC: [u8; 8] = *b"LKSTPCKP";
const MAGIC_END: [u8; 8] = *b"LKSTPEND";
const VERSION: u32 = identity::FORMAT;
const HEADER_BYTES: usize = 84;
const TRAILER_BYTES: usize = 32;
/// Written between two syncs, so that a large checkpoint does not fill the page cache and then make the
/// log's next sync wait for all of it.
const SYNC_BYTES: u64 = 8 << 20;

/// The state that a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointMeta {
    /// The last entry that the state contains.
    pub seq: Seq,
    /// Its position.
    pub icount: Icount,
    /// The generation after that entry.
    pub generation: Generation,
    /// Its digest.
    pub digest: Digest,
    /// The checkpoint that it builds on, by that one's last entry; none if it stands by itself.
    pub base: Option<Seq>,
}

/// A checkpoint that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// What it is of.
    pub meta: CheckpointMeta,
    /// When it was saved, in ns since 1970.
    pub saved_ns: u64,
    /// The length of its file.
    pub bytes: u64,
}

/// The name of the checkpoint after entry `seq`.
pub fn name_of(seq: Seq) -> String {
    format!("{:020}.ckpt", seq.get())
}

/// Whether that is the name of a checkpoint.
pub fn is_name(name: &str) -> bool {
    number_in(name, ".ckpt").is_some()
}

/// The same while it is being written.
pub fn part_name_of(seq: Seq) -> String {
    format!("{:020}.ckpt.part", seq.get())
}

fn encode_header(meta: &CheckpointMeta, saved_ns: u64, id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
    out.extend_from_slice(&meta.seq.get().to_le_bytes());
    out.extend_from_slice(&meta.icount.get().to_le_bytes());
    out.extend_from_slice(&meta.generation.get().to_le_bytes());
    out.extend_from_slice(&meta.digest.0.to_le_bytes());
    out.extend_from_slice(&saved_ns.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&meta.base.unwrap_or(meta.seq).get().to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// What a header says.
struct Header {
    meta: CheckpointMeta,
    saved_ns: u64,
    /// Of the store.
    id: u64,
}

/// Why bytes are no header.
enum NoHeader {
    Version(u32),
    Bad { offset: u64, why: String },
}

fn decode_header(bytes: &[u8]) -> Result<Header, NoHeader> {
    let bad = |offset, why| Err(NoHeader::Bad { offset, why });
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        return bad(bytes.len() as u64, "the file ends inside its header".into());
    };
    if bytes[..8] != MAGIC {
        return bad(0, format!("this is no checkpoint: it starts with {:02x?}", &bytes[..8]));
    }
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    match u32_at(8) {
        VERSION => {}
        version => return Err(NoHeader::Version(version)),
    }
    let (found, expected) = (u32_at(HEADER_BYTES - 4), crc32fast::hash(&bytes[..HEADER_BYTES - 4]));
    if found != expected || u32_at(12) != HEADER_BYTES as u32 {
        return bad(0, format!("the header's checksum is {found:08x}, its bytes make {expected:08x}"));
    }
    let digest = Digest(u128::from_le_bytes(bytes[40..56].try_into().expect("sixteen bytes")));
    let (seq, icount, generation) = (Seq(u64_at(16)), Icount(u64_at(24)), Generation(u64_at(32)));
    let base = Some(Seq(u64_at(72))).filter(|base| *base != seq);
    if base.is_some_and(|base| base > seq) {
        return bad(72, "it builds on a later checkpoint".into());
    }
    let meta = CheckpointMeta { seq, icount, generation, digest, base };
    Ok(Header { meta, saved_ns: u64_at(56), id: u64_at(64) })
}

/// Watches the chunks of a checkpoint go by: whether they are the snapshot of the state that it is of.
#[derive(Debug)]
struct Inspector {
    meta: CheckpointMeta,
    ram_bytes: u64,
    chunks: u32,
    /// By the head, once it came.
    chunks_total: u32,
}

impl Inspector {
    const fn new(meta: CheckpointMeta, identity: &Identity) -> Self {
        Self { meta, ram_bytes: identity.ram_bytes, chunks: 0, chunks_total: 0 }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), String> {
        let prefix = *chunk.first_chunk().ok_or("a chunk is cut off")?;
        let need = chunk_len(prefix).map_err(|why| why.to_string())?;
        if need != chunk.len() {
            return Err(format!("a chunk has {} bytes, its length field says {need}", chunk.len()));
        }
        if self.chunks == 0 {
            self.take_head(chunk)?;
        } else if self.chunks == self.chunks_total {
            return Err(format!("a chunk more than the {} that the head says there are", self.chunks_total));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&chunk[..4]);
        hasher.update(&chunk[CHUNK_PREFIX_BYTES..]);
        let (found, expected) =
            (u32::from_le_bytes(chunk[4..8].try_into().expect("four bytes")), hasher.finalize());
        if found != expected {
            return Err(format!("a chunk's checksum is {found:08x}, its bytes make {expected:08x}"));
        }
        self.chunks += 1;
        Ok(())
    }

    fn take_head(&mut self, chunk: &[u8]) -> Result<(), String> {
        let mut decoder = Decoder::new(self.ram_bytes);
        self.chunks_total = decoder.push(chunk).map_err(|why| why.to_string())?.chunks_total;
        let head = decoder.head().ok_or("no head comes first")?;
        let CheckpointMeta { icount, digest, .. } = self.meta;
        if (head.icount, head.digest, head.ram_bytes) != (icount, digest, self.ram_bytes) {
            let found =
                format!("position {}, digest {}, {} bytes of RAM", head.icount, head.digest, head.ram_bytes);
            let expected = format!("position {icount}, digest {digest}, {} bytes", self.ram_bytes);
            return Err(format!("the snapshot is of {found}; the checkpoint of {expected}"));
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        match self.chunks {
            0 => Err("there are no chunks".into()),
            done if done < self.chunks_total => {
                Err(format!("{done} of {} chunks are there", self.chunks_total))
            }
            _ => Ok(()),
        }
    }
}

/// Writes the file under the name `.part` and syncs it, as long as `go_on`; none if that ended.
pub fn write_part(
    files: &dyn Files,
    identity: &Identity,
    meta: CheckpointMeta,
    chunks: impl IntoIterator<Item = Vec<u8>>,
    go_on: impl Fn() -> bool,
) -> Result<Option<CheckpointInfo>, StoreError> {
    let name = part_name_of(meta.seq);
    let path = files.path(&name);
    match files.remove(&name) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &path)(why));
        }
        _ => {}
    }
    let file = files.create(&name).map_err(StoreError::io("create", &path))?;
    let not_a_snapshot = |why| StoreError::NotASnapshot { seq: meta.seq, why };
    let (mut hasher, mut at, mut synced) = (Xxh3::new(), 0, 0);
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        write_full(&*file, bytes, at).map_err(StoreError::io("write to", &path))?;
        at += bytes.len() as u64;
        if at - synced >= SYNC_BYTES {
            file.sync_data().map_err(StoreError::io("sync", &path))?;
            synced = at;
        }
        Ok(())
    };
    let saved_ns = files.now_ns();
    put(&encode_header(&meta, saved_ns, identity.id))?;
    let mut inspector = Inspector::new(meta, identity);
    for chunk in chunks {
        if !go_on() {
            return Ok(None);
        }
        inspector.take(&chunk).map_err(not_a_snapshot)?;
        put(&chunk)?;
    }
    inspector.finish().map_err(not_a_snapshot)?;
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..8].copy_from_slice(&MAGIC_END);
    trailer[8..16].copy_from_slice(&(at - HEADER_BYTES as u64).to_le_bytes());
    hasher.update(&trailer[..16]);
    trailer[16..].copy_from_slice(&hasher.digest128().to_le_bytes());
    write_full(&*file, &trailer, at).map_err(StoreError::io("write to", &path))?;
    file.sync_data().map_err(StoreError::io("sync", &path))?;
    Ok(Some(CheckpointInfo { meta, saved_ns, bytes: at + TRAILER_BYTES as u64 }))
}

/// Gives a file that [`write_part`] made its own name; durable with the next sync of the directory.
pub fn rename(files: &dyn Files, seq: Seq) -> Result<(), StoreError> {
    let part = part_name_of(seq);
    files.rename(&part, &name_of(seq)).map_err(StoreError::io("rename", files.path(&part)))
}

/// Reads the chunks of a checkpoint. The last item is an error if the file is not what was written: who
/// uses the chunks before has to wait for the end.
pub struct Chunks {
    file: Box<dyn StoreFile>,
    path: PathBuf,
    info: CheckpointInfo,
    at: u64,
    hasher: Box<Xxh3>,
    inspector: Inspector,
    trailer: [u8; TRAILER_BYTES],
    ended: bool,
}

impl Chunks {
    /// Opens the checkpoint after entry `seq`; checks its header and that its end is there.
    pub(super) fn open(files: &dyn Files, identity: &Identity, seq: Seq) -> Result<Self, StoreError> {
        let name = name_of(seq);
        let path = files.path(&name);
        let bad = |offset, why: &str| {
            let (path, why) = (path.clone(), why.to_owned());
            Err(StoreError::BadCheckpoint { path, offset, why })
        };
        let file = files.open(&name, false).map_err(StoreError::io("open", &path))?;
        let bytes = file.bytes().map_err(StoreError::io("look at", &path))?;
        let read = |buf: &mut [u8], at| read_full(&*file, buf, at).map_err(StoreError::io("read", &path));
        let mut header = [0; HEADER_BYTES];
        let have = read(&mut header, 0)?;
        let Header { meta, saved_ns, id } = match decode_header(&header[..have]) {
            Ok(header) => header,
            Err(NoHeader::Version(version)) => {
                return Err(StoreError::BadVersion { path, found: version.into() });
            }
            Err(NoHeader::Bad { offset, why }) => return bad(offset, &why),
        };
        if meta.seq != seq {
            return Err(StoreError::Misnamed { path, named: seq, found: meta.seq });
        }
        if id != identity.id {
            let (expected, found) = (format!("{:016x}", identity.id), format!("{id:016x}"));
            return Err(StoreError::Foreign { path, field: "store", expected, found });
        }
        let mut trailer = [0; TRAILER_BYTES];
        let Some(end) = bytes.checked_sub((HEADER_BYTES + TRAILER_BYTES) as u64) else {
            return bad(bytes, "the file ends before its end was written");
        };
        let trailer_at = HEADER_BYTES as u64 + end;
        read(&mut trailer, trailer_at)?;
        let chunks_bytes = u64::from_le_bytes(trailer[8..16].try_into().expect("eight bytes"));
        if trailer[..8] != MAGIC_END || chunks_bytes != end {
            return bad(trailer_at, "here should be its end: the file was cut, or something was added to it");
        }
        let mut hasher = Box::new(Xxh3::new());
        hasher.update(&header);
        Ok(Self {
            file,
            path,
            info: CheckpointInfo { meta, saved_ns, bytes },
            at: HEADER_BYTES as u64,
            hasher,
            inspector: Inspector::new(meta, identity),
            trailer,
            ended: false,
        })
    }

    /// What the checkpoint is of.
    pub const fn info(&self) -> CheckpointInfo {
        self.info
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole state.
    pub fn saved(mut self) -> Result<Saved, StoreError> {
        let mut decoder = Decoder::new(self.inspector.ram_bytes);
        while let Some(chunk) = self.next() {
            decoder.push(&chunk?).map_err(|why| self.bad(why.to_string()))?;
        }
        decoder.finish().map_err(|why| self.bad(why.to_string()))
    }

    /// Reads as far as the state of hart and devices, which comes before all memory.
    pub fn state(mut self) -> Result<Vec<u8>, StoreError> {
        let mut decoder = Decoder::new(self.inspector.ram_bytes);
        while let Some(chunk) = self.next() {
            decoder.push(&chunk?).map_err(|why| self.bad(why.to_string()))?;
            if let Some(state) = decoder.state() {
                return Ok(state.to_vec());
            }
        }
        Err(self.bad("it has no state of hart and devices".into()))
    }

    /// Reads to the end, and says how many bytes each time: the first thing that is wrong.
    pub fn verify(self, mut has_read: impl FnMut(u64)) -> Result<(), StoreError> {
        for chunk in self {
            has_read(chunk?.len() as u64);
        }
        Ok(())
    }

    fn bad(&self, why: String) -> StoreError {
        StoreError::BadCheckpoint { path: self.path.clone(), offset: self.at, why }
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let left = self.info.bytes - TRAILER_BYTES as u64 - self.at;
        if left == 0 {
            self.inspector.finish().map_err(|why| self.bad(why))?;
            self.hasher.update(&self.trailer[..16]);
            let found = u128::from_le_bytes(self.trailer[16..].try_into().expect("sixteen bytes"));
            let expected = self.hasher.digest128();
            if found != expected {
                let (found, expected) = (Digest(found), Digest(expected));
                return Err(self.bad(format!("the file's digest is {found}, its bytes make {expected}")));
            }
            return Ok(None);
        }
        let mut prefix = [0; CHUNK_PREFIX_BYTES];
        self.read(&mut prefix)?;
        let len = chunk_len(prefix).map_err(|why| self.bad(why.to_string()))?;
        if len as u64 > left {
            return Err(self.bad(format!("a chunk of {len} bytes, and {left} are left")));
        }
        let mut chunk = vec![0; len];
        self.read(&mut chunk)?;
        self.inspector.take(&chunk).map_err(|why| self.bad(why))?;
        self.hasher.update(&chunk);
        self.at += len as u64;
        Ok(Some(chunk))
    }

    fn read(&self, buf: &mut [u8]) -> Result<(), StoreError> {
        let have = read_full(&*self.file, buf, self.at).map_err(StoreError::io("read", &self.path))?;
        if have < buf.len() { Err(self.bad("the file ends inside a chunk".into())) } else { Ok(()) }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("path", &self.path).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Iterator for Chunks {
    type Item = Result<Vec<u8>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.chunk().transpose();
        self.ended = !matches!(chunk, Some(Ok(_)));
        chunk
    }
}
