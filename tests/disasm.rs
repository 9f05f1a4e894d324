//! The disassembler against GNU objdump: its captured output (`data/disasm.txt`), and the tool
//! itself where it is installed.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use lockstep::isa::disasm::Disassembly;
use lockstep::isa::{Extensions, Op, decode};

const CAPTURED: &str = include_str!("data/disasm.txt");
const OBJDUMP: &str = "riscv64-unknown-elf-objdump";

/// For the hart that has everything.
fn disasm(pc: u64, word: u32) -> Disassembly {
    lockstep::isa::disasm::disasm(pc, word, Extensions::ALL)
}

struct Line {
    disassembly: Disassembly,
    text: &'static str,
}

/// The captured lines, each at its address.
fn captured() -> Vec<Line> {
    let mut pc = 0;
    let rows = CAPTURED.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (word, text) = row.split_once(' ').expect("a row is an encoding, a blank and a text");
        let disassembly = disasm(pc, u32::from_str_radix(word, 16).expect("the encoding is hexadecimal"));
        assert_eq!(usize::from(disassembly.insn.len) * 2, word.len(), "{row}");
        pc += u64::from(disassembly.insn.len);
        Line { disassembly, text }
    })
    .collect()
}

/// This objdump's text with the `i` that it drops from an instruction with an immediate.
fn with_immediate_letter(text: &str) -> String {
    const DROPPED: [&str; 23] = [
        "add", "and", "or", "xor", "sll", "srl", "sra", "addw", "sllw", "srlw", "sraw", "csrrw", "csrrs",
        "csrrc", "csrw", "csrs", "csrc", "ror", "rorw", "bclr", "bext", "binv", "bset",
    ];
    let Some((mnemonic, operands)) = text.split_once(' ') else { return text.to_string() };
    let last = operands.rsplit(',').next().unwrap_or(operands);
    if !DROPPED.contains(&mnemonic) || !last.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return text.to_string();
    }
    match mnemonic.strip_suffix('w') {
        Some(stem) if !mnemonic.starts_with("csr") => format!("{stem}iw {operands}"),
        _ => format!("{mnemonic}i {operands}"),
    }
}

#[test]
fn the_text_is_objdumps() {
    for Line { disassembly, text } in captured() {
        assert_eq!(disassembly.to_string(), with_immediate_letter(text), "{:x}", disassembly.word);
    }
}

#[test]
fn every_instruction_is_among_the_captured() {
    let seen: BTreeSet<Op> = captured().iter().map(|line| line.disassembly.insn.op).collect();
    // `FcvtmodWD` is the last of them, `Illegal` the first.
    let missing = Op::FcvtmodWD as usize + 1 - seen.len();
    assert_eq!(missing, 0, "seen: {seen:?}");
}

#[test]
fn the_captured_text_is_what_objdump_still_prints() {
    let mut image = tempfile::NamedTempFile::new().expect("a temporary file");
    for line in captured() {
        let bytes = line.disassembly.word.to_le_bytes();
        image.write_all(&bytes[..usize::from(line.disassembly.insn.len)]).expect("the file takes the bytes");
    }
    let output = Command::new(OBJDUMP)
        .args(["-b", "binary", "-m", "riscv:rv64", "-D", "-z"])
        .arg(image.path())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!(
                "SKIPPED: {OBJDUMP} does not run here ({error}); only its captured output was compared"
            );
            return;
        }
    };
    assert!(output.status.success(), "{OBJDUMP}: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("objdump prints text");
    let texts: Vec<String> = printed
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t').skip(2);
            let mnemonic = columns.next()?;
            let rest: Vec<&str> = columns.collect();
            let text = format!("{mnemonic} {}", rest.join(" "));
            Some(text.split('#').next().unwrap_or(&text).trim().to_string())
        })
        .collect();
    let captured = captured();
    assert_eq!(texts.len(), captured.len());
    for (text, line) in texts.iter().zip(captured) {
        // Raw bytes do not say that they are of an extension.
        let Disassembly { word, insn, .. } = line.disassembly;
        let extended = line.text.starts_with("cbo.") || decode(word, Extensions::NONE) != insn;
        if (text.starts_with(".4byte") || text.starts_with(".2byte")) && extended {
            continue;
        }
        // Newer versions print the `i`.
        let (now, then) = (with_immediate_letter(text), with_immediate_letter(line.text));
        assert_eq!(now, then, "{:x}", line.disassembly.word);
    }
}

#[test]
fn targets_are_addresses_and_wrap() {
    let jump = disasm(0x8000_0000, 0xff9f_f06f);
    assert_eq!((jump.to_string().as_str(), jump.target()), ("j 0x7ffffff8", Some(0x7fff_fff8)));
    assert_eq!(disasm(0, 0xff9f_f06f).target(), Some(u64::MAX - 7));
    assert_eq!(disasm(0, 0x0000_8067).target(), None);
}

#[test]
fn what_the_hart_takes_as_illegal_is_data() {
    assert_eq!(disasm(0, 0x0000_5053).to_string(), ".4byte 0x5053");
    assert_eq!(disasm(0, 0x1234_6101).to_string(), ".2byte 0x6101");
    assert_eq!(disasm(0, 0x0000_0000).to_string(), "unimp");
    let plain = |word| lockstep::isa::disasm::disasm(0, word, Extensions::NONE).to_string();
    assert_eq!(
        (plain(0x20a5_a533).as_str(), disasm(0, 0x20a5_a533).to_string().as_str()),
        (".4byte 0x20a5a533", "sh1add a0,a1,a0")
    );
    assert_eq!(
        (plain(0x9d61).as_str(), disasm(0, 0x9d61).to_string().as_str()),
        (".2byte 0x9d61", "zext.b a0,a0")
    );
}

#[test]
fn the_pause_hint_has_its_name() {
    assert_eq!(disasm(0, 0x0100_000f).to_string(), "pause");
}

#[test]
fn this_machines_own_csr_has_its_name() {
    assert_eq!(disasm(0, 0xcc00_2573).to_string(), "csrr a0,lockstep_hostid");
}
