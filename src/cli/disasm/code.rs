//! The code of an ELF file: its executable regions and the names of addresses in them.
//!
//! Reads what a file says and believes none of it: a region lies in the file, no two share an
//! address, and together they are no larger than the file. What is damaged but can be done without
//! becomes a note. Absent on purpose: loading; a file that disassembles need not fit a machine.

use std::fmt::{self, Write};

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use thiserror::Error;

type Header = FileHeader64<LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// Why a file has no code to print.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodeError {
    #[error("not an ELF file")]
    NotElf,
    #[error("a damaged ELF file: {0}")]
    Damaged(String),
    #[error("not a 64-bit little-endian ELF file")]
    NotElf64,
    #[error("for machine {0}, not RISC-V (243)")]
    NotRiscv(u16),
    #[error("of ELF type {0}, not an executable (2 or 3): link it first")]
    NotLinked(u16),
    #[error("without executable sections or segments")]
    NoCode,
    #[error("executable regions claim {claimed} bytes of a file of {file}")]
    TooMuch { claimed: u64, file: u64 },
}

/// A run of executable bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<'data> {
    /// The section's name, or `LOAD` for a segment.
    pub name: Name<'data>,
    pub address: u64,
    pub bytes: &'data [u8],
}

impl Region<'_> {
    /// The address after the last byte; a region never wraps.
    pub fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }

    fn contains(&self, address: u64) -> bool {
        (self.address..self.end()).contains(&address)
    }
}

/// A name in the file; shown as text that cannot steer a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'data>(pub &'data [u8]);

impl<'data> Name<'data> {
    /// So much of a longer name is read. Names may share their bytes, so without a bound a small
    /// file could ask for a large effort.
    const BYTES_MAX: usize = 256;

    /// The name at an offset of a string table; empty when it is not there.
    fn read(strings: &'data [u8], offset: u32) -> Self {
        let rest = strings.get(offset as usize..).unwrap_or_default();
        let rest = &rest[..rest.len().min(Self::BYTES_MAX)];
        Self(rest.split(|&byte| byte == 0).next().unwrap_or_default())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        text.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label<'data> {
    pub address: u64,
    /// Functions come first among the labels of an address, then global ones.
    rank: u8,
    pub name: Name<'data>,
    /// Bytes that the symbol covers; 0 when the file does not say.
    pub size: u64,
}

/// The code of a file, by ascending address.
#[derive(Clone, Debug, Default)]
pub struct Code<'data> {
    pub regions: Vec<Region<'data>>,
    pub labels: Vec<Label<'data>>,
    /// What was damaged, and what was done about it.
    pub notes: Vec<String>,
}

type Sections<'data> = SectionTable<'data, Header>;

impl<'data> Code<'data> {
    pub fn parse(data: &'data [u8]) -> Result<Code<'data>, CodeError> {
        if !data.starts_with(&elf::ELFMAG) {
            return Err(CodeError::NotElf);
        }
        if data.get(4..6).is_some_and(|kind| kind != [elf::ELFCLASS64.0, elf::ELFDATA2LSB.0]) {
            return Err(CodeError::NotElf64);
        }
        let header = Header::parse(data).map_err(damaged)?;
        if header.e_machine(ENDIAN) != elf::EM_RISCV {
            return Err(CodeError::NotRiscv(header.e_machine(ENDIAN).0));
        }
        if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(ENDIAN)) {
            return Err(CodeError::NotLinked(header.e_type(ENDIAN).0));
        }
        let mut code = Code::default();
        let sections = header.sections(ENDIAN, data);
        let named = sections.and_then(|sections| {
            code.read_sections(header, &sections, data)?;
            Ok(sections)
        });
        if let Err(error) = &named {
            code.notes.push(format!("the section headers are damaged ({error}): printing segments, unnamed"));
            code.regions.clear();
        }
        if code.regions.is_empty() {
            code.read_segments(header, data).map_err(damaged)?;
        }
        code.settle_regions(data.len() as u64)?;
        if let Err(error) = named.and_then(|sections| code.read_labels(&sections, data)) {
            code.notes.push(format!("no names: {error}"));
        }
        Ok(code)
    }

    fn read_sections(
        &mut self,
        header: &Header,
        sections: &Sections<'data>,
        data: &'data [u8],
    ) -> object::read::Result<()> {
        let names = header.section_strings_index(ENDIAN, data).and_then(|index| sections.section(index));
        let names = names.and_then(|section| section.data(ENDIAN, data)).unwrap_or_default();
        for section in sections.iter() {
            let executable = section.sh_flags(ENDIAN).0 & elf::SHF_EXECINSTR.0 != 0;
            if executable && section.sh_type(ENDIAN) != elf::SHT_NOBITS {
                let name = Name::read(names, section.sh_name(ENDIAN));
                self.add_region(name, section.sh_addr(ENDIAN), section.data(ENDIAN, data)?);
            }
        }
        Ok(())
    }

    fn read_segments(&mut self, header: &Header, data: &'data [u8]) -> object::read::Result<()> {
        for segment in header.program_headers(ENDIAN, data)? {
            let executable = segment.p_flags(ENDIAN).0 & elf::PF_X.0 != 0;
            if !executable || segment.p_type(ENDIAN) != elf::PT_LOAD {
                continue;
            }
            let address = segment.p_vaddr(ENDIAN);
            match segment.data(ENDIAN, data) {
                Ok(bytes) => self.add_region(Name(b"LOAD"), address, bytes),
                Err(()) => {
                    self.notes.push(format!("the segment at {address:#x} is not all in the file: left out"));
                }
            }
        }
        Ok(())
    }

    fn add_region(&mut self, name: Name<'data>, address: u64, bytes: &'data [u8]) {
        if bytes.is_empty() {
            return;
        }
        if address.checked_add(bytes.len() as u64).is_none() {
            self.notes.push(format!("{name} at {address:#x} does not fit the address space: left out"));
            return;
        }
        self.regions.push(Region { name, address, bytes });
    }

    /// Sorts, and holds the file to its word.
    fn settle_regions(&mut self, file: u64) -> Result<(), CodeError> {
        self.regions.sort_by_key(|region| region.address);
        let mut end = 0;
        let notes = &mut self.notes;
        self.regions.retain(|region| {
            let apart = region.address >= end;
            if apart {
                end = region.end();
            } else {
                notes.push(format!("{} at {:#x} overlaps another: left out", region.name, region.address));
            }
            apart
        });
        if self.regions.is_empty() {
            return Err(CodeError::NoCode);
        }
        let claimed = self.regions.iter().map(|region| region.bytes.len() as u64).sum();
        if claimed > file {
            return Err(CodeError::TooMuch { claimed, file });
        }
        Ok(())
    }

    fn read_labels(&mut self, sections: &Sections<'data>, data: &'data [u8]) -> object::read::Result<()> {
        // A stripped file may still have the names that its loader needs.
        let mut symbols = sections.symbols(ENDIAN, data, elf::SHT_SYMTAB)?;
        if symbols.is_empty() {
            symbols = sections.symbols(ENDIAN, data, elf::SHT_DYNSYM)?;
        }
        if symbols.is_empty() {
            return Ok(());
        }
        let names = sections.section(symbols.string_section())?.data(ENDIAN, data)?;
        for symbol in symbols.iter() {
            let (address, kind) = (symbol.st_value(ENDIAN), symbol.st_type());
            let defined = symbol.st_shndx(ENDIAN) != elf::SHN_UNDEF;
            let places = defined && ![elf::STT_SECTION, elf::STT_FILE].contains(&kind);
            if !places || region_of(&self.regions, address).is_none() {
                continue;
            }
            let name = Name::read(names, symbol.st_name(ENDIAN));
            // `$x` and `$d` are the assembler's own marks, `.L…` its labels.
            if name.0.is_empty() || name.0.starts_with(b"$") || name.0.starts_with(b".L") {
                continue;
            }
            let rank = 2 * u8::from(kind != elf::STT_FUNC) + u8::from(symbol.st_bind() == elf::STB_LOCAL);
            self.labels.push(Label { address, rank, name, size: symbol.st_size(ENDIAN) });
        }
        self.labels.sort();
        self.labels.dedup_by(|b, a| (a.address, a.name) == (b.address, b.name));
        Ok(())
    }

    /// The labels of exactly this address, the best first.
    pub fn labels_at(&self, address: u64) -> &[Label<'data>] {
        let start = self.labels.partition_point(|label| label.address < address);
        let end = self.labels.partition_point(|label| label.address <= address);
        &self.labels[start..end]
    }

    /// The label at or before an address in the same region.
    pub fn label_before(&self, address: u64) -> Option<&Label<'data>> {
        let region = region_of(&self.regions, address)?;
        let end = self.labels.partition_point(|label| label.address <= address);
        let nearest = self.labels[..end].last()?.address;
        if nearest < region.address { None } else { self.labels_at(nearest).first() }
    }

    /// The addresses of a symbol: as far as its size says, or else to the next label or the end of
    /// its region.
    pub fn extent(&self, name: &str) -> Option<(u64, u64)> {
        let label = self.labels.iter().find(|label| label.name.0 == name.as_bytes())?;
        let region = region_of(&self.regions, label.address)?;
        let next = self.labels.partition_point(|other| other.address <= label.address);
        let next = self.labels.get(next).map_or(u64::MAX, |label| label.address);
        let end = match label.size {
            0 => next,
            size => label.address.saturating_add(size),
        };
        Some((label.address, end.min(region.end())))
    }
}

fn damaged(error: object::read::Error) -> CodeError {
    CodeError::Damaged(error.to_string())
}

/// The region with an address, of ascending ones that do not overlap.
fn region_of<'a, 'data>(regions: &'a [Region<'data>], address: u64) -> Option<&'a Region<'data>> {
    let after = regions.partition_point(|region| region.address <= address);
    regions[..after].last().filter(|region| region.contains(address))
}
