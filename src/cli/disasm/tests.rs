//! A small ELF file, whole and damaged in every way.

use super::code::CodeError;
use super::*;
use crate::base::Prng;

const BASE: u64 = 0x8000_0000;
const TEXT_AT: u64 = 0x80;
const ENTRY_BYTES: u64 = 64;

/// `_start: jal helper; j .` and `helper: ret`, then a byte that is no instruction.
const TEXT: [u8; 9] = [0xef, 0x00, 0x60, 0x00, 0x01, 0xa0, 0x82, 0x80, 0xff];
const STRINGS: &[u8] = b"\0_start\0helper\0.text\0.symtab\0.strtab\0";

fn put(bytes: &mut Vec<u8>, fields: &[(u64, usize)]) {
    for (value, len) in fields {
        bytes.extend_from_slice(&value.to_le_bytes()[..*len]);
    }
}

/// File: header, program header, text, symbols, strings, section headers.
fn image() -> Vec<u8> {
    let symbols_at = TEXT_AT + 16;
    let strings_at = symbols_at + 3 * 24;
    let sections_at = strings_at + STRINGS.len().next_multiple_of(8) as u64;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    bytes.resize(16, 0);
    put(&mut bytes, &[(2, 2), (243, 2), (1, 4), (BASE, 8), (64, 8), (sections_at, 8), (5, 4)]);
    put(&mut bytes, &[(64, 2), (56, 2), (1, 2), (ENTRY_BYTES, 2), (4, 2), (3, 2)]);
    let text_len = TEXT.len() as u64;
    put(
        &mut bytes,
        &[(1, 4), (5, 4), (TEXT_AT, 8), (BASE, 8), (BASE, 8), (text_len, 8), (text_len, 8), (8, 8)],
    );
    bytes.resize(TEXT_AT as usize, 0);
    bytes.extend_from_slice(&TEXT);
    bytes.resize(symbols_at as usize, 0);
    put(&mut bytes, &[(0, 8), (0, 8), (0, 8)]);
    for (name, value, size) in [(1, BASE, 6), (8, BASE + 6, 0)] {
        // Global functions of section 1.
        put(&mut bytes, &[(name, 4), (0x12, 1), (0, 1), (1, 2), (value, 8), (size, 8)]);
    }
    bytes.extend_from_slice(STRINGS);
    bytes.resize(sections_at as usize, 0);
    put(&mut bytes, &[(0, 8); 8]);
    let section = |name, kind, flags, address, at, len, link, entry| {
        [
            (name, 4),
            (kind, 4),
            (flags, 8),
            (address, 8),
            (at, 8),
            (len, 8),
            (link, 4),
            (1, 4),
            (1, 8),
            (entry, 8),
        ]
    };
    put(&mut bytes, &section(15, 1, 6, BASE, TEXT_AT, text_len, 0, 0));
    put(&mut bytes, &section(21, 2, 0, 0, symbols_at, 3 * 24, 3, 24));
    put(&mut bytes, &section(29, 3, 0, 0, strings_at, STRINGS.len() as u64, 0, 0));
    bytes
}

fn print(image: &[u8], from: u64, to: u64, json: bool) -> Result<String, CodeError> {
    let code = Code::parse(image)?;
    let mut out = Vec::new();
    write_code(&code, from, to, json, &mut out).expect("memory takes all");
    Ok(String::from_utf8(out).expect("the text is UTF-8"))
}

#[test]
fn code_is_printed_with_its_names() {
    let expected = "Disassembly of section .text:\n\
                    \n0000000080000000 <_start>:\n    80000000:\t006000ef          \tjal\t80000006 <helper>\n    \
                    80000004:\ta001                \tj\t80000004 <_start+0x4>\n\
                    \n0000000080000006 <helper>:\n    80000006:\t8082                \tret\n";
    assert_eq!(print(&image(), 0, u64::MAX, false), Ok(expected.to_string()));
}

#[test]
fn json_has_one_object_a_line() {
    let text = print(&image(), 0, u64::MAX, true).expect("the file is whole");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["text"], "jal 0x80000006");
    assert_eq!(lines[0]["target_symbol"], "<helper>");
    assert_eq!(lines[1]["word"], "a001");
    assert_eq!((&lines[1]["symbol"], &lines[1]["offset"]), (&"_start".into(), &4.into()));
}

#[test]
fn a_symbol_ends_where_it_says_or_where_its_section_does() {
    let image = image();
    let code = Code::parse(&image).expect("the file is whole");
    assert_eq!(code.extent("_start"), Some((BASE, BASE + 6)));
    assert_eq!(code.extent("helper"), Some((BASE + 6, BASE + 9)));
    assert_eq!(code.extent("nothing"), None);
}

#[test]
fn a_range_prints_only_what_begins_in_it() {
    let text = print(&image(), BASE + 4, BASE + 6, false).expect("the file is whole");
    assert_eq!(
        text,
        "Disassembly of section .text:\n\
         \n0000000080000004 <_start+0x4>:\n    80000004:\ta001                \tj\t80000004 <_start+0x4>\n"
    );
    assert_eq!(print(&image(), 0, BASE, false), Ok(String::new()));
}

#[test]
fn without_sections_the_segments_are_printed() {
    let mut image = image();
    image[40..48].copy_from_slice(&0u64.to_le_bytes());
    let text = print(&image, 0, u64::MAX, false).expect("the segment is whole");
    assert!(text.starts_with("Disassembly of section LOAD:\n\n0000000080000000:\n"), "{text}");
    image[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    let code = Code::parse(&image).expect("the segment is whole");
    assert_eq!((code.regions.len(), code.notes.len()), (1, 2), "{:?}", code.notes);
}

#[test]
fn another_kind_of_file_is_named() {
    let with = |at: usize, value: u8| {
        let mut image = image();
        image[at] = value;
        Code::parse(&image).map(|_| ())
    };
    assert_eq!(with(0, 0), Err(CodeError::NotElf));
    assert_eq!(with(4, 1), Err(CodeError::NotElf64));
    assert_eq!(with(5, 2), Err(CodeError::NotElf64));
    assert_eq!(with(18, 62), Err(CodeError::NotRiscv(62)));
    assert_eq!(with(16, 1), Err(CodeError::NotLinked(1)));
    assert_eq!(Code::parse(b"").map(|_| ()), Err(CodeError::NotElf));
    assert!(matches!(Code::parse(b"\x7fELF\x02\x01\x01").map(|_| ()), Err(CodeError::Damaged(_))));
}

#[test]
fn names_cannot_steer_a_terminal() {
    let mut image = image();
    let at = image.windows(6).position(|bytes| bytes == b"helper").expect("the name is there");
    image[at..at + 2].copy_from_slice(b"\x1b[");
    let text = print(&image, 0, u64::MAX, false).expect("the file is whole");
    assert!(text.contains("<?[lper>") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_label_inside_a_wide_instruction_begins_anew() {
    let mut image = image();
    let at = image.windows(8).position(|bytes| bytes == (BASE + 6).to_le_bytes()).expect("helper's address");
    image[at..at + 8].copy_from_slice(&(BASE + 2).to_le_bytes());
    let text = print(&image, 0, u64::MAX, false).expect("the file is whole");
    assert!(
        text.contains("80000000:\t00ef                \t.2byte\t0xef\n\n0000000080000002 <helper>:"),
        "{text}"
    );
}

#[test]
fn damaged_files_are_an_error_or_print_no_more_than_they_hold() {
    let whole = image();
    let seed = 0xbad_0e1f;
    println!("seed {seed:#x}");
    let prng = &mut Prng::new(seed);
    let mut printed = 0;
    for _ in 0..20_000 {
        let mut image = whole.clone();
        for _ in 0..prng.between(1, 4) {
            let at = prng.below(image.len() as u64) as usize;
            image[at] = match prng.below(3) {
                0 => image[at] ^ (1 << prng.below(8)),
                1 => 0xff,
                _ => prng.next_u64() as u8,
            };
        }
        if prng.chance(1, 4) {
            image.truncate(prng.below(image.len() as u64) as usize);
        }
        if let Ok(text) = print(&image, 0, u64::MAX, prng.chance(1, 2)) {
            printed += 1;
            assert!(text.lines().count() <= image.len() * 3, "seed {seed:#x}");
        }
    }
    assert!(printed > 1000, "only {printed} files were printed");
}
