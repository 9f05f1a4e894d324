//! Names for places in a guest, from outside it: an ELF file with symbols, a kernel's `System.map`, or
//! the text of `/proc/kallsyms`.
//!
//! ```text
//! ffffffff80001234 T start_kernel
//! ffffffff02000000 t virtio_net_probe  [virtio_net]
//! ```
//!
//! Addresses are the guest's virtual ones. The number of symbols is bounded by the file's length alone.
//! Absent on purpose: files, and where the guest is (the replay knows).

use thiserror::Error;

use crate::cpu::Privilege;
use crate::machine::{LoadError, MachineConfig, symbols_of};

/// A symbol without a size reaches to the next one, but no further than this.
const REACH_MAX: u64 = 1 << 20;
/// Longer names are cut.
const NAME_BYTES_MAX: usize = 256;

/// A file that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSymbols {
    /// The file starts as an ELF file does, and is not one whose symbols can be read.
    #[error("the ELF file's symbols cannot be read: {0}")]
    Elf(#[from] LoadError),
    /// A line of a text file is neither empty nor a symbol.
    #[error("line {line} is no symbol (expected an address in hex, a letter, a name): {text:?}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The beginning of the line; what is not UTF-8 in it is replaced.
        text: String,
    },
    /// A text file names places, all of them at address 0: `/proc/kallsyms` read without the right to.
    #[error("all its addresses are 0, as the kernel shows them to an ordinary user")]
    Hidden,
    /// The file can be read and has no symbol that is a place.
    #[error("it names no place")]
    Empty,
}

/// Names by address.
#[derive(Clone, Debug, Default)]
pub struct SymbolTable {
    /// Sorted by address, one each.
    symbols: Vec<Symbol>,
    /// All names, one after another.
    names: String,
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    addr: u64,
    /// How many bytes from `addr` on are its.
    reach: u64,
    name_at: usize,
    name_len: usize,
}

impl SymbolTable {
    /// Reads a file of any of the three kinds.
    pub fn parse(file: &[u8]) -> Result<Self, BadSymbols> {
        let table = match file.starts_with(b"\x7fELF") {
            true => Self::of(symbols_of(file)?.iter().map(|s| (s.addr, s.size, s.name.as_bytes()))),
            false => Self::parse_text(file)?,
        };
        if table.symbols.is_empty() { Err(BadSymbols::Empty) } else { Ok(table) }
    }

    /// The names that a guest's own image brought.
    pub fn of_guest(config: &MachineConfig) -> Self {
        Self::of(config.symbols.iter().map(|s| (s.addr, s.size, s.name.as_bytes())))
    }

    fn parse_text(file: &[u8]) -> Result<Self, BadSymbols> {
        let mut found = Vec::new();
        let mut hidden = false;
        for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let Some((addr, letter, name)) = text_symbol(line) else {
                let text = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
                return Err(BadSymbols::Line { line: number + 1, text });
            };
            // Absolute ones are numbers, not places; `$x` and `.L` are the assembler's own.
            if letter.eq_ignore_ascii_case(&b'a') || name.starts_with(b"$") || name.starts_with(b".L") {
                continue;
            }
            hidden |= addr == 0;
            if addr != 0 {
                // The linker's marks between sections (`__noinstr_text_start`) name no function.
                found.push((addr, (name.starts_with(b"__"), rank(letter)), name));
            }
        }
        if found.is_empty() && hidden {
            return Err(BadSymbols::Hidden);
        }
        found.sort();
        found.dedup_by_key(|symbol| symbol.0);
        Ok(Self::of(found.into_iter().map(|(addr, _, name)| (addr, 0, name))))
    }

    /// Of (address, size or 0, name), sorted by address, one each.
    fn of<'a>(found: impl Iterator<Item = (u64, u64, &'a [u8])>) -> Self {
        let mut table = Self::default();
        for (addr, size, name) in found {
            if let Some(before) = table.symbols.last_mut() {
                before.reach = before.reach.min(addr - before.addr);
            }
            let name_at = table.names.len();
            for c in String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]).chars() {
                table.names.push(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
            }
            let name_len = table.names.len() - name_at;
            let reach = if size == 0 { REACH_MAX } else { size };
            table.symbols.push(Symbol { addr, reach, name_at, name_len });
        }
        table
    }

    /// True when no address has a name.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// How many addresses have a name.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// The name that `addr` belongs to, and how far into it `addr` is.
    pub fn find(&self, addr: u64) -> Option<(&str, u64)> {
        let place = self.place(addr)?;
        Some((self.name(place), addr - self.start(place)))
    }

    /// The number of the symbol that `addr` belongs to, below [`SymbolTable::len`].
    pub(super) fn place(&self, addr: u64) -> Option<usize> {
        let place = self.symbols.partition_point(|symbol| symbol.addr <= addr).checked_sub(1)?;
        let symbol = self.symbols[place];
        (addr - symbol.addr < symbol.reach).then_some(place)
    }

    /// Where symbol `place` begins.
    pub(super) fn start(&self, place: usize) -> u64 {
        self.symbols[place].addr
    }

    /// The name of symbol `place`.
    pub(super) fn name(&self, place: usize) -> &str {
        let symbol = self.symbols[place];
        &self.names[symbol.name_at..symbol.name_at + symbol.name_len]
    }
}

/// Address, letter and name of a line; a module's name behind it does not matter.
fn text_symbol(line: &[u8]) -> Option<(u64, u8, &[u8])> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let addr = std::str::from_utf8(words.next()?).ok()?;
    let is_hex = addr.len() <= 16 && addr.bytes().all(|digit| digit.is_ascii_hexdigit());
    let addr = is_hex.then(|| u64::from_str_radix(addr, 16).ok())??;
    match (words.next()?, words.next()?) {
        ([letter], name) if letter.is_ascii_alphabetic() || *letter == b'?' => Some((addr, *letter, name)),
        _ => None,
    }
}

/// The mode, in a word.
pub const fn mode_name(mode: Privilege) -> &'static str {
    match mode {
        Privilege::User => "user",
        Privilege::Supervisor => "supervisor",
        Privilege::Machine => "machine",
    }
}

/// Which of several names at one address is the better one: code before data, global before local.
fn rank(letter: u8) -> u8 {
    match letter {
        b'T' => 0,
        b't' => 1,
        b'W' | b'w' | b'V' | b'v' => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
0000000000000000 A irq_stack_size
ffffffff80000000 T _start
ffffffff80000000 t .Llocal
ffffffff80001000 t early
ffffffff80001000 T __init_text_begin
ffffffff80001000 T start_kernel
ffffffff80002000 D jiffies
ffffffff02001000 t virtio_net_probe\t[virtio_net]
";

    #[test]
    fn a_system_map_names_places_in_the_upper_half() {
        let table = SymbolTable::parse(MAP.as_bytes()).unwrap();
        assert_eq!(table.len(), 4);
        assert_eq!(table.find(0xffff_ffff_8000_0000), Some(("_start", 0)));
        assert_eq!(table.find(0xffff_ffff_8000_1010), Some(("start_kernel", 0x10)), "the global one of two");
        assert_eq!(table.find(0xffff_ffff_8000_2008), Some(("jiffies", 8)));
        assert_eq!(table.find(0xffff_ffff_0200_1004), Some(("virtio_net_probe", 4)));
        assert_eq!(table.find(0x1_0000), None, "the user's");
        assert_eq!(table.find(0xffff_ffff_f000_0000), None, "the last symbol does not reach everywhere");
        assert_eq!(table.find(u64::MAX), None);
    }

    #[test]
    fn more_symbols_than_an_image_may_bring_are_fine_here() {
        let text: String = (0..200_000).map(|n| format!("{:x} T f{n}\n", 0x8000_0000u64 + 16 * n)).collect();
        let table = SymbolTable::parse(text.as_bytes()).unwrap();
        assert_eq!(table.len(), 200_000);
        assert_eq!(table.find(0x8000_0000 + 16 * 199_999 + 2), Some(("f199999", 2)));
    }

    #[test]
    fn what_names_nothing_is_told() {
        assert_eq!(SymbolTable::parse(b"").unwrap_err(), BadSymbols::Empty);
        assert_eq!(SymbolTable::parse(b"0 A n\n").unwrap_err(), BadSymbols::Empty);
        assert_eq!(SymbolTable::parse(b"0000 T a\n0000 t b\n").unwrap_err(), BadSymbols::Hidden);
        assert!(matches!(SymbolTable::parse(b"\x7fELFnonsense").unwrap_err(), BadSymbols::Elf(_)));
        for bad in ["hello", "1234 T", "1234 TT name", "12345678123456781 T n", "+1 T n", "\u{0}\u{1} ? x"] {
            let text = format!("10 T fine\n\n{bad}\n");
            let error = SymbolTable::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, BadSymbols::Line { line: 3, .. }), "{bad:?}: {error}");
        }
    }

    #[test]
    fn names_are_bounded_and_harmless() {
        let text = format!("10 T {}\n20 T a\u{1b}[31m\n", "x".repeat(1000));
        let table = SymbolTable::parse(text.as_bytes()).unwrap();
        assert_eq!(table.find(0x10).unwrap().0.len(), NAME_BYTES_MAX);
        assert!(!table.find(0x20).unwrap().0.contains('\u{1b}'));
    }
}
