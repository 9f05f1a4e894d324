//! Guest images: ELF64 executables for RISC-V, from untrusted files.
//!
//! The loader judges only what an instruction can meet: the bytes of the segments, where they go,
//! and where execution starts. [`Elf::parse`] checks what needs no machine; what depends on the
//! size of RAM is checked when the image is loaded. An image that passes both has, in RAM and
//! without overlaps, every byte that its code can reach, and starts in one of its segments.
//!
//! | in the file | here |
//! |---|---|
//! | rights of a segment | not judged: nothing enforces them. They tell code from data for a listing |
//! | the linker's headers and notes below RAM (`-Ttext=0x80000000`) | left out, see [`LeftOut`] |
//! | a segment below RAM that the guest could run or write | refused |
//! | section headers and symbols | only names; a damaged table gives none, see [`Elf::unnamed`] |
//! | `e_version`, the flag of the 16-register ISA, an interpreter that nothing needs | not judged |
//!
//! Segments go to their *physical* addresses. The entry and `tohost` are virtual addresses of a
//! segment and are carried over to where it is loaded, as for a kernel linked high and loaded low.
//!
//! A position-independent image (`ET_DYN`) stays where it was linked if that is RAM; one linked lower
//! is moved to the start of RAM. Its relocations are applied that are relative or name a symbol of its own (as in
//! OpenSBI from 1.3 on); any other is refused.
//!
//! Absent on purpose: dynamic linking, 32 bits.

use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionTable, Sym};
use object::{LittleEndian, Pod};
use thiserror::Error;

use super::config::{BadConfig, SYMBOL_NAME_BYTES_MAX, SYMBOLS_MAX, Symbol};
use crate::base::{Digest, GuestPhys, digest_bytes};
use crate::mem::{PAGE_BYTES, RAM_BASE, Ram};

type Header = FileHeader64<LittleEndian>;
type SegmentHeader = ProgramHeader64<LittleEndian>;

const LE: LittleEndian = LittleEndian;
const PAGE: u64 = PAGE_BYTES as u64;

/// Why an image cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The file does not begin with the ELF magic number.
    #[error("not an ELF file: it begins with {found:02x?}")]
    NotElf {
        /// Its first bytes, at most four.
        found: Vec<u8>,
    },
    /// The header is cut off.
    #[error("the file ends within its ELF header: {len} bytes")]
    TooShort {
        /// Bytes of the file.
        len: usize,
    },
    /// Not for 64-bit machines.
    #[error("ELF class {found}: must be 2 (64 bits)")]
    Class {
        /// `EI_CLASS`.
        found: u8,
    },
    /// Not little-endian.
    #[error("ELF data encoding {found}: must be 1 (little-endian)")]
    Endian {
        /// `EI_DATA`.
        found: u8,
    },
    /// Not for RISC-V.
    #[error("machine {found}: must be 243 (RISC-V)")]
    Machine {
        /// `e_machine`.
        found: u16,
    },
    /// An object file, a core dump or something else that cannot be run.
    #[error("ELF type {found}: must be 2 (executable) or 3 (position-independent)")]
    Type {
        /// `e_type`.
        found: u16,
    },
    /// A position-independent image wants more than an address added, or that of a symbol which it does not define.
    #[error(
        "a relocation of kind {kind} at {at:#x}: only those are applied that are relative, or the address of a \
         symbol that the file defines"
    )]
    Relocation {
        /// The relocation's type (RISC-V ELF psABI).
        kind: u32,
        /// The virtual address that it is for.
        at: u64,
    },
    /// It has a `PT_INTERP` segment, and cannot run without that interpreter.
    #[error("needs a dynamic linker: link it statically")]
    Dynamic,
    /// A table of the file is cut off or makes no sense.
    #[error("malformed ELF: {0}")]
    Malformed(String),
    /// No `PT_LOAD` segment has bytes in memory.
    #[error("nothing to load")]
    NoSegments,
    /// A segment's bytes are not all in the file.
    #[error("segment {index} claims {filesz} bytes at {offset:#x} of a file of {file_bytes} bytes")]
    SegmentPastEnd {
        /// The segment's place in the program header table.
        index: usize,
        /// `p_offset`.
        offset: u64,
        /// `p_filesz`.
        filesz: u64,
        /// Bytes of the file.
        file_bytes: usize,
    },
    /// A segment is smaller in memory than in the file.
    #[error("segment {index} has {filesz} bytes in the file but only {memsz} in memory")]
    SegmentSizes {
        /// The segment's place in the program header table.
        index: usize,
        /// `p_filesz`.
        filesz: u64,
        /// `p_memsz`.
        memsz: u64,
    },
    /// A segment ends past the last address that 64 bits can name.
    #[error("segment {index} of {memsz} bytes at {at:#x} runs past the end of the address space")]
    SegmentWraps {
        /// The segment's place in the program header table.
        index: usize,
        /// Its first address.
        at: u64,
        /// `p_memsz`.
        memsz: u64,
    },
    /// Two segments are to be loaded to one place.
    #[error("segments {first} and {second} overlap at {at}")]
    Overlap {
        /// One segment's place in the program header table.
        first: usize,
        /// The other's.
        second: usize,
        /// The first address that both have.
        at: GuestPhys,
    },
    /// A segment with code or data is where no RAM is: linked for another machine, or without a load address.
    #[error("segment {index} is at {start}..{end}, below RAM, which begins at {RAM_BASE}")]
    BelowRam {
        /// The segment's place in the program header table.
        index: usize,
        /// Its first physical address.
        start: GuestPhys,
        /// The one behind its last.
        end: GuestPhys,
    },
    /// The guest would start where nothing is.
    #[error("the entry {entry:#x} is in no segment that is loaded, or odd")]
    Entry {
        /// `e_entry`.
        entry: u64,
    },
    /// A segment does not fit the machine's RAM: it needs more, or was linked for another machine.
    #[error("segment {index} is at {start}..{end}, RAM is at {RAM_BASE}..{ram_end}")]
    OutsideRam {
        /// The segment's place in the program header table.
        index: usize,
        /// Its first physical address.
        start: GuestPhys,
        /// The one behind its last.
        end: GuestPhys,
        /// The address behind the last of RAM.
        ram_end: GuestPhys,
    },
    /// The device tree's place at the end of RAM is taken.
    #[error("no room for the device tree: segment {index} reaches over {at}")]
    NoRoomForDeviceTree {
        /// The segment that takes it, by its place in the program header table.
        index: usize,
        /// Where the device tree would begin.
        at: GuestPhys,
    },
    /// The device tree could not be made.
    #[error("device tree: {0}")]
    DeviceTree(String),
    /// No machine can have the options that it is booted with.
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

/// A part of the image below RAM that is not loaded: headers and notes, which no guest can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The segment's place in the program header table.
    pub index: usize,
    /// Its first physical address.
    pub start: GuestPhys,
    /// The address behind the last one that is left out.
    pub end: GuestPhys,
}

impl Segment<'_> {
    fn end(&self) -> GuestPhys {
        self.phys.plus(self.memsz)
    }

    /// Moves it up by `bias` bytes.
    fn shift(&mut self, bias: u64) -> Result<(), LoadError> {
        let (index, memsz, at) = (self.index, self.memsz, self.phys.get());
        let wraps = || LoadError::SegmentWraps { index, at, memsz };
        let moved = |at: u64| at.checked_add(bias).filter(|at| at.checked_add(memsz).is_some());
        if bias != 0 {
            self.phys = GuestPhys(moved(at).ok_or_else(wraps)?);
            self.virt = moved(self.virt).ok_or_else(wraps)?;
        }
        Ok(())
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
    left_out: Vec<LeftOut>,
    /// Doublewords to write once the segments are in RAM.
    relocations: Vec<(GuestPhys, u64)>,
    entry: GuestPhys,
    tohost: Option<GuestPhys>,
    symbols: Vec<Symbol>,
    unnamed: Option<String>,
}

impl<'a> Elf<'a> {
    /// Reads an image's headers and symbols.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let header = header(file)?;
        let Loadable { segments, left_out, bias, relocations, interpreted } = loadable(header, file)?;
        let entry = header.e_entry.get(LE);
        let place = |at: u64, len: u64| {
            let at = at.wrapping_add(bias);
            // Of two segments with this address the code is meant.
            let found =
                |code: bool| segments.iter().filter(|s| s.executable || !code).find_map(|s| s.place(at, len));
            found(true).or_else(|| found(false))
        };
        let entry = match place(entry, 2) {
            Some(at) if (entry | at.get()) & 1 == 0 => at,
            _ if interpreted => return Err(LoadError::Dynamic),
            _ => return Err(LoadError::Entry { entry }),
        };
        let (mut symbols, tohost, unnamed) = match symbols(header, file) {
            Ok((symbols, tohost)) => (symbols, tohost, None),
            Err(error) => (Vec::new(), None, Some(error.to_string())),
        };
        for symbol in &mut symbols {
            symbol.addr = symbol.addr.wrapping_add(bias);
        }
        symbols.sort_by_key(|symbol| symbol.addr);
        let tohost = tohost.and_then(|at| place(at, 8)).filter(|phys| phys.get() & 7 == 0);
        let digest = digest_bytes(file, 0);
        Ok(Self { digest, segments, left_out, relocations, entry, tohost, symbols, unnamed })
    }

    /// What lies below RAM and is not loaded.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Why the image has no symbols although it has a table of them.
    pub fn unnamed(&self) -> Option<&str> {
        self.unnamed.as_deref()
    }

    /// The digest of the whole file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The physical address of the first instruction.
    pub fn entry(&self) -> GuestPhys {
        self.entry
    }

    /// The physical address of `tohost`, if that is an aligned doubleword of a segment.
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
        for &(at, value) in &self.relocations {
            // Its place is in a segment, and all of those are in RAM.
            ram.write(at, &value.to_le_bytes())
                .map_err(|_| LoadError::Relocation { kind: elf::R_RISCV_RELATIVE.0, at: at.get() })?;
        }
        Ok(())
    }

    /// The first address of its segments.
    pub(super) fn start(&self) -> GuestPhys {
        self.segments.first().map_or(RAM_BASE, |segment| segment.phys)
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

/// The symbols of any RISC-V ELF file, also one that is no guest (a kernel with its debugging
/// information), however many: to name places in a guest from outside.
pub fn symbols_of(file: &[u8]) -> Result<Vec<Symbol>, LoadError> {
    let mut named = named(identify(file)?, file)?;
    named.dedup_by_key(|symbol| symbol.addr);
    Ok(named.into_iter().map(Named::into_symbol).collect())
}

fn header(file: &[u8]) -> Result<&Header, LoadError> {
    let header = identify(file)?;
    match header.e_type(LE) {
        elf::ET_EXEC | elf::ET_DYN => Ok(header),
        other => Err(LoadError::Type { found: other.0 }),
    }
}

/// The header of a 64-bit RISC-V ELF file of any type.
fn identify(file: &[u8]) -> Result<&Header, LoadError> {
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
    let machine = header.e_machine(LE);
    if machine != elf::EM_RISCV {
        return Err(LoadError::Machine { found: machine.0 });
    }
    Ok(header)
}

fn from_prefix<T: Pod>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    object::pod::from_bytes(bytes).ok()
}

/// What of an image goes to RAM.
struct Loadable<'a> {
    /// By physical address.
    segments: Vec<Segment<'a>>,
    left_out: Vec<LeftOut>,
    /// What is added to the addresses that the image was linked for.
    bias: u64,
    relocations: Vec<(GuestPhys, u64)>,
    /// It names a dynamic linker.
    interpreted: bool,
}

fn loadable<'a>(header: &Header, file: &'a [u8]) -> Result<Loadable<'a>, LoadError> {
    let table = header.program_headers(LE, file).map_err(malformed)?;
    let movable = header.e_type(LE) == elf::ET_DYN;
    let interpreted = table.iter().any(|entry| entry.p_type(LE) == elf::PT_INTERP);
    // An image for a dynamic linker that could not run here anyhow is called what it is.
    let judged = |error: LoadError| if interpreted { LoadError::Dynamic } else { error };
    if movable && interpreted {
        return Err(LoadError::Dynamic);
    }
    let mut segments = Vec::new();
    for (index, entry) in table.iter().enumerate().filter(|(_, entry)| entry.p_type(LE) == elf::PT_LOAD) {
        segments.extend(segment(index, entry, file)?);
    }
    let lowest = segments.iter().map(|(segment, _)| segment.phys).min().ok_or(LoadError::NoSegments);
    let bias = match lowest.map_err(judged)? {
        lowest if movable && lowest < RAM_BASE => RAM_BASE.get() - lowest.get() / PAGE * PAGE,
        _ => 0,
    };
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for (mut segment, entry) in segments {
        segment.shift(bias)?;
        let (above, below) = cut(segment, entry).map_err(judged)?;
        kept.extend(above);
        left_out.extend(below);
    }
    if let (true, Some(&LeftOut { index, start, end })) = (kept.is_empty(), left_out.first()) {
        return Err(judged(LoadError::BelowRam { index, start, end }));
    }
    kept.sort_by_key(|segment| segment.phys);
    for pair in kept.windows(2) {
        if pair[1].phys < pair[0].end() {
            let (first, second) = (pair[0].index, pair[1].index);
            return Err(LoadError::Overlap { first, second, at: pair[1].phys });
        }
    }
    let dynamic = table.iter().find(|entry| movable && entry.p_type(LE) == elf::PT_DYNAMIC);
    let relocations = match dynamic {
        Some(dynamic) => relocations(dynamic, file, &kept, bias)?,
        None => Vec::new(),
    };
    Ok(Loadable { segments: kept, left_out, bias, relocations, interpreted })
}

/// What of a segment is loaded, and what below RAM is not.
fn cut<'a>(
    segment: Segment<'a>,
    entry: &SegmentHeader,
) -> Result<(Option<Segment<'a>>, Option<LeftOut>), LoadError> {
    let (index, start, end) = (segment.index, segment.phys, segment.end());
    if start >= RAM_BASE {
        return Ok((Some(segment), None));
    }
    let flags = entry.p_flags(LE).0;
    let headers = entry.p_offset(LE) == 0;
    let (run, written) = (flags & elf::PF_X.0 != 0, flags & elf::PF_W.0 != 0);
    if end <= RAM_BASE {
        let met = run || written;
        let below = LeftOut { index, start, end };
        return if met { Err(LoadError::BelowRam { index, start, end }) } else { Ok((None, Some(below))) };
    }
    if written && !headers {
        return Err(LoadError::BelowRam { index, start, end });
    }
    let below = RAM_BASE.get() - start.get();
    let from = usize::try_from(below).unwrap_or(usize::MAX).min(segment.bytes.len());
    let above = Segment {
        phys: RAM_BASE,
        virt: segment.virt.wrapping_add(below),
        bytes: &segment.bytes[from..],
        memsz: segment.memsz - below,
        ..segment
    };
    Ok((Some(above), Some(LeftOut { index, start, end: RAM_BASE })))
}

/// The doublewords that the dynamic section of a position-independent image wants relocated.
fn relocations(
    dynamic: &SegmentHeader,
    file: &[u8],
    segments: &[Segment<'_>],
    bias: u64,
) -> Result<Vec<(GuestPhys, u64)>, LoadError> {
    const RELA_BYTES: usize = 24;
    const SYMBOL_BYTES: u64 = 24;
    const DT_NULL: u64 = 0;
    const DT_RELA: u64 = 7;
    const DT_RELASZ: u64 = 8;
    const DT_SYMTAB: u64 = 6;
    let cut_off = || LoadError::Malformed("its relocations are not in a segment".into());
    let words = |bytes: &[u8]| -> Vec<u64> {
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    };
    let section = dynamic.data(LE, file).map_err(|()| cut_off())?;
    let (mut table, mut bytes, mut symbols) = (None, 0, None);
    for tag in words(section).as_chunks::<2>().0 {
        match *tag {
            [DT_NULL, _] => break,
            [DT_RELA, at] => table = Some(at.wrapping_add(bias)),
            [DT_RELASZ, size] => bytes = size,
            [DT_SYMTAB, at] => symbols = Some(at.wrapping_add(bias)),
            _ => {}
        }
    }
    let Some(table) = table.filter(|_| bytes > 0) else { return Ok(Vec::new()) };
    let in_segments = |at: u64, bytes: u64| {
        segments.iter().find_map(|segment| {
            let from = usize::try_from(at.checked_sub(segment.virt)?).ok()?;
            let end = from.checked_add(usize::try_from(bytes).ok()?)?;
            segment.bytes.get(from..end)
        })
    };
    let found = in_segments(table, bytes);
    // Where the symbol of that number is, if the file defines it.
    let address = |number: u64| {
        let at = symbols?.checked_add(number * SYMBOL_BYTES)?;
        let [head, value, _] = words(in_segments(at, SYMBOL_BYTES)?)[..] else { return None };
        let (kind, section) = ((head >> 32) as u8 & 15, elf::SymbolSection((head >> 48) as u16));
        match section {
            // Only the guest's own code could say what such a symbol's address is.
            _ if kind == elf::STT_GNU_IFUNC.0 => None,
            elf::SHN_ABS => Some(value),
            elf::SHN_UNDEF => None,
            section if section.0 >= elf::SHN_LORESERVE => None,
            _ => Some(value.wrapping_add(bias)),
        }
    };
    let mut relocations = Vec::new();
    for entry in found.ok_or_else(cut_off)?.as_chunks::<RELA_BYTES>().0 {
        let [at, info, addend] = words(entry)[..] else { continue };
        let at = at.wrapping_add(bias);
        let kind = info as u32;
        match elf::RelocationType(kind) {
            elf::R_RISCV_NONE => {}
            elf::R_RISCV_RELATIVE | elf::R_RISCV_64 => {
                let base = if kind == elf::R_RISCV_64.0 { address(info >> 32) } else { Some(bias) };
                let place = segments.iter().find_map(|segment| segment.place(at, 8));
                let (Some(base), Some(place)) = (base, place) else {
                    return Err(LoadError::Relocation { kind, at });
                };
                relocations.push((place, addend.wrapping_add(base)));
            }
            _ => return Err(LoadError::Relocation { kind, at }),
        }
    }
    Ok(relocations)
}

/// One loadable segment; none when it has no bytes in memory.
fn segment<'a>(
    index: usize,
    entry: &'a SegmentHeader,
    file: &'a [u8],
) -> Result<Option<(Segment<'a>, &'a SegmentHeader)>, LoadError> {
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
    // Flags of 0 say nothing: such a segment may be code.
    let flags = entry.p_flags(LE).0;
    let executable = flags == 0 || flags & elf::PF_X.0 != 0;
    let segment = Segment { index, phys: GuestPhys(phys), virt, bytes, memsz, executable };
    Ok(Some((segment, entry)))
}

/// The names of functions, objects and labels, as many as are kept, and the virtual address of
/// `tohost`.
fn symbols(header: &Header, file: &[u8]) -> Result<(Vec<Symbol>, Option<u64>), LoadError> {
    let mut named = named(header, file)?;
    let tohost = named.iter().find(|symbol| symbol.name == b"tohost").map(|symbol| symbol.addr);
    named.dedup_by_key(|symbol| symbol.addr);
    if named.len() > SYMBOLS_MAX {
        named.retain(|symbol| symbol.rank == 0);
        named.truncate(SYMBOLS_MAX);
    }
    Ok((named.into_iter().map(Named::into_symbol).collect(), tohost))
}

struct Named<'a> {
    addr: u64,
    /// Functions before objects before labels.
    rank: u8,
    size: u64,
    name: &'a [u8],
}

impl Named<'_> {
    fn into_symbol(self) -> Symbol {
        Symbol { addr: self.addr, size: self.size, name: printable(self.name) }
    }
}

/// The symbols that name an address, sorted: of several at one address, the best comes first.
fn named<'a>(header: &Header, file: &'a [u8]) -> Result<Vec<Named<'a>>, LoadError> {
    let sections: SectionTable<'_, Header> = header.sections(LE, file).map_err(malformed)?;
    let table = sections.symbols(LE, file, elf::SHT_SYMTAB).map_err(malformed)?;
    let mut named = Vec::new();
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
        // `$x` and `$d` mark code and data, `.L` is local to the assembler.
        if name.is_empty() || name.starts_with(b"$") || name.starts_with(b".L") {
            continue;
        }
        named.push(Named { addr, rank, size, name });
    }
    // Then the larger.
    named.sort_by(|a, b| (a.addr, a.rank, b.size, a.name).cmp(&(b.addr, b.rank, a.size, b.name)));
    Ok(named)
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
