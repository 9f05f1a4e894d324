//! `lockstep disasm`: a guest's instructions as text.
//!
//! The lines are those of `objdump -d`, apart from what [`crate::isa::disasm`] does otherwise; with
//! `--json` one object a line. Exit status 1 means that there is nothing to print. Never loads or
//! runs the guest.

mod code;
#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use serde::Serialize;

use self::code::{Code, Label, Region};
use super::{Failure, arg};
use crate::host::say::say;
use crate::isa::decode::is_wide;
use crate::isa::disasm::{Disassembly, disasm};
use crate::isa::{Extensions, Insn};

/// At most this many notes on a damaged file are printed.
const NOTES_MAX: usize = 20;

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The guest: a linked RV64 ELF file.
    guest: PathBuf,
    /// One JSON object a line: address, word, text, section, symbol, offset, target.
    #[arg(long)]
    json: bool,
    /// Only this symbol.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    symbol: Option<String>,
    /// Only from this address on (decimal, or hexadecimal after 0x).
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    from: Option<u64>,
    /// Only before this address.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: Option<u64>,
}

/// An address as people write it.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .map_err(|_| format!("{text:?} is no address; write for example 0x80000000"))
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let path = args.guest.display();
    let bytes = arg::read_elf(&args.guest, "the guest's ELF file")?;
    let code = Code::parse(&bytes).map_err(|error| {
        Failure::new(format!("{path}: {error}")).fix("name a linked 64-bit RISC-V ELF file")
    })?;
    for note in code.notes.iter().take(NOTES_MAX) {
        say!("lockstep: {path}: {note}");
    }
    if code.notes.len() > NOTES_MAX {
        say!("lockstep: {path}: and {} more of this", code.notes.len() - NOTES_MAX);
    }
    let (from, to) = match &args.symbol {
        None => (args.from.unwrap_or(0), args.to.unwrap_or(u64::MAX)),
        Some(name) => match code.extent(name) {
            Some(extent) => extent,
            None => {
                say!("lockstep: {path}: no executable symbol is named {name:?}");
                return Ok(1);
            }
        },
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let lines = write_code(&code, from, to, args.json, &mut out).and_then(|lines| {
        out.flush()?;
        Ok(lines)
    });
    match lines {
        Ok(0) => {
            say!("lockstep: {path}: no code from {from:#x} to {to:#x}");
            Ok(1)
        }
        Ok(_) => Ok(0),
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Where an address is, relative to a symbol.
struct Place<'a> {
    label: &'a Label<'a>,
    offset: u64,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            0 => write!(f, "<{}>", self.label.name),
            offset => write!(f, "<{}+{offset:#x}>", self.label.name),
        }
    }
}

fn place<'a>(code: &'a Code<'_>, address: u64) -> Option<Place<'a>> {
    let label = code.label_before(address)?;
    Some(Place { label, offset: address - label.address })
}

/// One line of `--json`. Addresses are text, for readers whose numbers have 53 bits.
#[derive(Serialize)]
struct JsonLine {
    address: String,
    /// The encoding as a number, 4 or 8 digits by its length.
    word: String,
    text: String,
    section: String,
    symbol: Option<String>,
    /// From the symbol, in bytes.
    offset: Option<u64>,
    /// Where a direct jump or branch goes.
    target: Option<String>,
    target_symbol: Option<String>,
}

/// Prints the instructions that begin in `from..to` and answers how many they were.
fn write_code(code: &Code<'_>, from: u64, to: u64, json: bool, out: &mut impl Write) -> io::Result<u64> {
    let mut lines = 0;
    for region in &code.regions {
        let mut address = region.address.max(from);
        let mut first = true;
        while let Some(item) = item_at(code, region, address) {
            if address >= to {
                break;
            }
            address += u64::from(item.insn.len);
            if json {
                serde_json::to_writer(&mut *out, &json_line(code, region, &item))?;
                writeln!(out)?;
            } else {
                if first {
                    writeln!(
                        out,
                        "{}Disassembly of section {}:",
                        if lines == 0 { "" } else { "\n" },
                        region.name
                    )?;
                }
                write_line(code, &item, first, out)?;
            }
            first = false;
            lines += 1;
        }
    }
    Ok(lines)
}

/// The instruction at an address of a region. A wide one that the region's end or a label cuts off
/// is the halfword that is there; a last odd byte is no instruction.
fn item_at(code: &Code<'_>, region: &Region<'_>, address: u64) -> Option<Disassembly> {
    let offset = usize::try_from(address - region.address).ok()?;
    let rest = region.bytes.get(offset..)?;
    let half = u16::from_le_bytes(*rest.first_chunk()?);
    if !is_wide(half) {
        return Some(disasm(address, half.into(), Extensions::ALL));
    }
    match rest.first_chunk() {
        Some(&word) if code.labels_at(address + 2).is_empty() => {
            Some(disasm(address, u32::from_le_bytes(word), Extensions::ALL))
        }
        _ => Some(Disassembly { pc: address, word: half.into(), insn: Insn::illegal(2) }),
    }
}

fn write_line(code: &Code<'_>, item: &Disassembly, first: bool, out: &mut impl Write) -> io::Result<()> {
    let labels = code.labels_at(item.pc);
    if !labels.is_empty() || first {
        writeln!(out)?;
    }
    for label in labels {
        writeln!(out, "{:016x} <{}>:", item.pc, label.name)?;
    }
    if labels.is_empty() && first {
        match place(code, item.pc) {
            Some(place) => writeln!(out, "{:016x} {place}:", item.pc)?,
            None => writeln!(out, "{:016x}:", item.pc)?,
        }
    }
    // objdump's columns, so that its output and ours can be compared by line.
    let digits = usize::from(item.insn.len) * 2;
    let pad = if digits == 4 { 16 } else { 10 };
    write!(out, "{:>12x}:\t{:0digits$x}{:pad$}\t", item.pc, item.word, "")?;
    let text = item.to_string();
    let (mnemonic, operands) = text.split_once(' ').unwrap_or((&text, ""));
    let target = item.target().and_then(|target| Some((target, place(code, target)?)));
    match target {
        // The target is the last operand.
        Some((target, place)) => {
            let others = operands.strip_suffix(&format!("{target:#x}")).unwrap_or(operands);
            writeln!(out, "{mnemonic}\t{others}{target:x} {place}")
        }
        None if operands.is_empty() => writeln!(out, "{mnemonic}"),
        None => writeln!(out, "{mnemonic}\t{operands}"),
    }
}

fn json_line(code: &Code<'_>, region: &Region<'_>, item: &Disassembly) -> JsonLine {
    let here = place(code, item.pc);
    let digits = usize::from(item.insn.len) * 2;
    JsonLine {
        address: format!("{:#x}", item.pc),
        word: format!("{:0digits$x}", item.word),
        text: item.to_string(),
        section: region.name.to_string(),
        symbol: here.as_ref().map(|place| place.label.name.to_string()),
        offset: here.as_ref().map(|place| place.offset),
        target: item.target().map(|target| format!("{target:#x}")),
        target_symbol: item.target().and_then(|target| Some(place(code, target)?.to_string())),
    }
}
