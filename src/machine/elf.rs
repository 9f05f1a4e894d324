//! Guest images: ELF64 executables for RISC-V, from anybody.
//!
//! [`Elf::parse`] looks at everything that can be judged without a machine; what depends on the
//! size of RAM is judged when it is loaded. An image that passes both has, in RAM and without
//! overlaps, every byte it claims to have, and starts in one of its executable segments.
//!
//! Segments go to their *physical* addresses. The entry and `tohost` are virtual addresses of a
//! segment and are carried over to where it is loaded, as for a kernel linked high and loaded low.
//!
//! Absent on purpose: relocation (a position-independent image is refused), dynamic linking, 32
//! bits, the 16-register ISA.

use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionTable, Sym};
use object::{LittleEndian, Pod};
use thiserror::Error;

use super::config::{BadConfig, SYMBOL_NAME_BYTES_MAX, SYMBOLS_MAX, Symbol};
use crate::base::{Digest, GuestPhys, digest_bytes};
use crate::mem::{RAM_BASE, Ram};

type Header = FileHeader64<LittleEndian>;
type SegmentHeader = ProgramHeader64<LittleEndian>;

const LE: LittleEndian = LittleEndian;

/// Why an image cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    #[error("not an ELF file: it begins with {found:02x?}")]
    NotElf { found: Vec<u8> },
    #[error("the file ends within its ELF header: {len} bytes")]
    TooShort { len: usize },
    #[error("ELF class {found}: must be 2 (64 bits)")]
    Class { found: u8 },
    #[error("ELF data encoding {found}: must be 1 (little-endian)")]
    Endian { found: u8 },
    #[error("ELF version {found}: must be 1")]
    Version { found: u32 },
    #[error("machine {found}: must be 243 (RISC-V)")]
    Machine { found: u16 },
    #[error("a position-independent image: link it at a fixed address (-no-pie)")]
    PositionIndependent,
    #[error("ELF type {found}: must be 2 (executable)")]
    Type { found: u16 },
    #[error("made for the 16-register ISA (RV64E)")]
    Embedded,
    #[error("needs a dynamic linker: link it statically")]
    Dynamic,
    #[error("malformed ELF: {0}")]
    Malformed(String),
    #[error("nothing to load")]
    NoSegments,
    #[error("segment {index} claims {filesz} bytes at {offset:#x} of a file of {file_bytes} bytes")]
    SegmentPastEnd { index: usize, offset: u64, filesz: u64, file_bytes: usize },
    #[error("segment {index} has {filesz} bytes in the file but only {memsz} in memory")]
    SegmentSizes { index: usize, filesz: u64, memsz: u64 },
    #[error("segment {index} of {memsz} bytes at {at:#x} runs past the end of the address space")]
    SegmentWraps { index: usize, at: u64, memsz: u64 },
    #[error("segments {first} and {second} overlap at {at}")]
    Overlap { first: usize, second: usize, at: GuestPhys },
    #[error("the entry {entry:#x} is in no executable segment")]
    Entry { entry: u64 },
    #[error("`tohost` at {at:#x} is no doubleword of a segment")]
    Tohost { at: u64 },
    #[error("segment {index} is at {start}..{end}, RAM is at {RAM_BASE}..{ram_end}")]
    OutsideRam { index: usize, start: GuestPhys, end: GuestPhys, ram_end: GuestPhys },
    #[error("no room for the device tree: segment {index} reaches over {at}")]
    NoRoomForDeviceTree { index: usize, at: GuestPhys },
    #[error("device tree: {0}")]
    DeviceTree(String),
    #[error(transparent)]
    Config(#[from] BadConfig),
}

/// A part of the image that is loaded.
#[derive(Clone, Debug)]
struct Segment<'a> {
    /// Its place in the program header table.
    index: usize,
    phys: GuestPhys,
    virt: u64,
    bytes: &'a [u8],
    /// Bytes in memory; those past `bytes` are zero.
    memsz: u64,
    executable: bool,
}

impl Segment<'_> {
    fn end(&self) -> GuestPhys {
        self.phys.plus(self.memsz)
    }

    /// Where virtual address `at` is loaded, if `len` bytes there are of this segment.
    fn place(&self, at: u64, len: u64) -> Option<GuestPhys> {
        let into = at.checked_sub(self.virt)?;
        (into.checked_add(len)? <= self.memsz).then(|| self.phys.plus(into))
    }
}

/// A guest image that has been looked at.
#[derive(Clone, Debug)]
pub struct Elf<'a> {
    digest: Digest,
    /// By physical address.
    segments: Vec<Segment<'a>>,
    entry: GuestPhys,
    tohost: Option<GuestPhys>,
    symbols: Vec<Symbol>,
}

impl<'a> Elf<'a> {
    /// Reads an image's headers and symbols.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let header = header(file)?;
        let segments = segments(header, file)?;
        let entry = header.e_entry.get(LE);
        let place = |at: u64, len: u64| segments.iter().find_map(|s| Some((s, s.place(at, len)?)));
        let entry = match place(entry, 2) {
            Some((segment, at)) if segment.executable && entry & 1 == 0 => at,
            _ => return Err(LoadError::Entry { entry }),
        };
        let (symbols, tohost) = symbols(header, file)?;
        let tohost = match tohost {
            None => None,
            Some(at) => match place(at, 8) {
                Some((_, phys)) if phys.get() & 7 == 0 => Some(phys),
                _ => return Err(LoadError::Tohost { at }),
            },
        };
        Ok(Self { digest: digest_bytes(file, 0), segments, entry, tohost, symbols })
    }

    /// The digest of the whole file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The physical address of the first instruction.
    pub fn entry(&self) -> GuestPhys {
        self.entry
    }

    /// The physical address of `tohost`.
    pub fn tohost(&self) -> Option<GuestPhys> {
        self.tohost
    }

    /// Named addresses, sorted, one name each.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// The bytes that executable segments hold: (virtual address, bytes), by physical address.
    pub fn code(&self) -> impl Iterator<Item = (u64, &'a [u8])> + '_ {
        self.segments.iter().filter(|s| s.executable).map(|s| (s.virt, s.bytes))
    }

    /// Copies the segments to RAM, which is zero.
    pub(super) fn load(&self, ram: &mut Ram) -> Result<(), LoadError> {
        let ram_end = RAM_BASE.plus(ram.size_bytes());
        for segment in &self.segments {
            let (index, start, end) = (segment.index, segment.phys, segment.end());
            let outside = LoadError::OutsideRam { index, start, end, ram_end };
            if start < RAM_BASE || end > ram_end {
                return Err(outside);
            }
            ram.write(start, segment.bytes).map_err(|_| outside)?;
        }
        Ok(())
    }

    /// The first address behind its segments.
    pub(super) fn end(&self) -> GuestPhys {
        self.segments.iter().map(Segment::end).max().unwrap_or(RAM_BASE)
    }

    /// The segment that reaches into `start..end`, if one does.
    pub(super) fn segment_in(&self, start: GuestPhys, end: GuestPhys) -> Option<usize> {
        let reaches = |s: &&Segment<'_>| s.phys < end && start < s.end();
        self.segments.iter().find(reaches).map(|s| s.index)
    }
}

fn malformed(error: object::read::Error) -> LoadError {
    LoadError::Malformed(error.to_string())
}

fn header(file: &[u8]) -> Result<&Header, LoadError> {
    if !file.starts_with(&elf::ELFMAG) {
        return Err(LoadError::NotElf { found: file[..file.len().min(4)].to_vec() });
    }
    let (header, _) = from_prefix::<Header>(file).ok_or(LoadError::TooShort { len: file.len() })?;
    let ident = &header.e_ident;
    if ident.class != elf::ELFCLASS64 {
        return Err(LoadError::Class { found: ident.class.0 });
    }
    if ident.data != elf::ELFDATA2LSB {
        return Err(LoadError::Endian { found: ident.data.0 });
    }
    let version = header.e_version.get(LE);
    if ident.version != elf::EV_CURRENT || version != 1 {
        return Err(LoadError::Version {
            found: if version != 1 { version } else { ident.version.0.into() },
        });
    }
    let machine = header.e_machine(LE);
    if machine != elf::EM_RISCV {
        return Err(LoadError::Machine { found: machine.0 });
    }
    match header.e_type(LE) {
        elf::ET_EXEC => {}
        elf::ET_DYN => return Err(LoadError::PositionIndependent),
        other => return Err(LoadError::Type { found: other.0 }),
    }
    if header.e_flags(LE).0 & elf::EF_RISCV_RVE.0 != 0 {
        return Err(LoadError::Embedded);
    }
    Ok(header)
}

fn from_prefix<T: Pod>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    object::pod::from_bytes(bytes).ok()
}

fn segments<'a>(header: &Header, file: &'a [u8]) -> Result<Vec<Segment<'a>>, LoadError> {
    let table = header.program_headers(LE, file).map_err(malformed)?;
    let mut segments = Vec::new();
    for (index, entry) in table.iter().enumerate() {
        match entry.p_type(LE) {
            elf::PT_INTERP => return Err(LoadError::Dynamic),
            elf::PT_LOAD => segments.extend(segment(index, entry, file)?),
            _ => {}
        }
    }
    if segments.is_empty() {
        return Err(LoadError::NoSegments);
    }
    segments.sort_by_key(|segment| segment.phys);
    for pair in segments.windows(2) {
        if pair[1].phys < pair[0].end() {
            let (first, second) = (pair[0].index, pair[1].index);
            return Err(LoadError::Overlap { first, second, at: pair[1].phys });
        }
    }
    Ok(segments)
}

/// One loadable segment; none when it has no bytes in memory.
fn segment<'a>(
    index: usize,
    entry: &SegmentHeader,
    file: &'a [u8],
) -> Result<Option<Segment<'a>>, LoadError> {
    let (offset, filesz, memsz) = (entry.p_offset(LE), entry.p_filesz(LE), entry.p_memsz(LE));
    let (phys, virt) = (entry.p_paddr(LE), entry.p_vaddr(LE));
    if filesz > memsz {
        return Err(LoadError::SegmentSizes { index, filesz, memsz });
    }
    if memsz == 0 {
        return Ok(None);
    }
    for at in [phys, virt] {
        if at.checked_add(memsz - 1).is_none() || (at == phys && at.checked_add(memsz).is_none()) {
            return Err(LoadError::SegmentWraps { index, at, memsz });
        }
    }
    let end = offset.checked_add(filesz).and_then(|end| usize::try_from(end).ok());
    let bytes = match end {
        _ if filesz == 0 => &[],
        Some(end) if end <= file.len() => &file[offset as usize..end],
        _ => return Err(LoadError::SegmentPastEnd { index, offset, filesz, file_bytes: file.len() }),
    };
    let executable = entry.p_flags(LE).0 & elf::PF_X.0 != 0;
    Ok(Some(Segment { index, phys: GuestPhys(phys), virt, bytes, memsz, executable }))
}

/// The names of functions, objects and labels, and the virtual address of `tohost`.
fn symbols(header: &Header, file: &[u8]) -> Result<(Vec<Symbol>, Option<u64>), LoadError> {
    let sections: SectionTable<'_, Header> = header.sections(LE, file).map_err(malformed)?;
    let table = sections.symbols(LE, file, elf::SHT_SYMTAB).map_err(malformed)?;
    let mut named = Vec::new();
    let mut tohost = None;
    for symbol in table.iter() {
        let rank = match symbol.st_type() {
            elf::STT_FUNC => 0u8,
            elf::STT_OBJECT => 1,
            elf::STT_NOTYPE => 2,
            _ => continue,
        };
        if symbol.st_shndx(LE) == elf::SHN_UNDEF || symbol.st_shndx(LE) == elf::SHN_ABS {
            continue;
        }
        let name = table.symbol_name(LE, symbol).map_err(malformed)?;
        let (addr, size) = (symbol.st_value(LE), symbol.st_size(LE));
        if name == b"tohost" {
            tohost = Some(addr);
        }
        // `$x` and `$d` mark code and data, `.L` is local to the assembler.
        if name.is_empty() || name.starts_with(b"$") || name.starts_with(b".L") {
            continue;
        }
        named.push((addr, rank, size, name));
    }
    // One name for each address: functions before objects before labels, then the larger.
    named.sort_by(|a, b| (a.0, a.1, b.2, a.3).cmp(&(b.0, b.1, a.2, b.3)));
    named.dedup_by_key(|symbol| symbol.0);
    if named.len() > SYMBOLS_MAX {
        named.retain(|symbol| symbol.1 == 0);
        named.truncate(SYMBOLS_MAX);
    }
    let symbols =
        named.into_iter().map(|(addr, _, size, name)| Symbol { addr, size, name: printable(name) }).collect();
    Ok((symbols, tohost))
}

/// A name as text, cut to what is kept.
fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(name).chars() {
        let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if text.len() + c.len_utf8() > SYMBOL_NAME_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
