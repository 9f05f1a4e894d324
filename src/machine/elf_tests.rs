//! Images, good ones and lies.

use super::*;
use crate::base::Prng;
use crate::machine::config::RAM_BYTES_MIN;
use crate::machine::{BootOptions, Machine};

const HELLO: &[u8] = include_bytes!("../../guest-programs/hello/hello.elf");
const TOHOST_PASS: &[u8] = include_bytes!("../../guest-programs/tohost_pass/tohost_pass.elf");

/// Where fields of the ELF header and of the first program header are.
const CLASS: usize = 4;
const DATA: usize = 5;
const TYPE: usize = 16;
const MACHINE: usize = 18;
const VERSION: usize = 20;
const ENTRY: usize = 24;
const FLAGS: usize = 48;
const PHNUM: usize = 56;
const SHOFF: usize = 40;
const SEGMENT: usize = 64;
const P_FLAGS: usize = SEGMENT + 4;
const P_OFFSET: usize = SEGMENT + 8;
const P_VADDR: usize = SEGMENT + 16;
const P_PADDR: usize = SEGMENT + 24;
const P_FILESZ: usize = SEGMENT + 32;
const P_MEMSZ: usize = SEGMENT + 40;

/// The smallest image: two segments of 16 bytes of code, no sections.
fn image() -> Vec<u8> {
    let mut file = vec![0; 0x200];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(&mut file, TYPE, &2u16.to_le_bytes());
    put(&mut file, MACHINE, &243u16.to_le_bytes());
    put(&mut file, VERSION, &1u32.to_le_bytes());
    put(&mut file, ENTRY, &0x8000_0000u64.to_le_bytes());
    put(&mut file, 32, &(SEGMENT as u64).to_le_bytes());
    put(&mut file, 52, &64u16.to_le_bytes());
    put(&mut file, 54, &56u16.to_le_bytes());
    put(&mut file, PHNUM, &2u16.to_le_bytes());
    for (nth, at) in [(0, 0x8000_0000u64), (1, 0x8000_1000)] {
        let base = SEGMENT + 56 * nth;
        put(&mut file, base, &1u32.to_le_bytes());
        put(&mut file, base + 4, &5u32.to_le_bytes());
        put(&mut file, base + 8, &0x100u64.to_le_bytes());
        put(&mut file, base + 16, &at.to_le_bytes());
        put(&mut file, base + 24, &at.to_le_bytes());
        put(&mut file, base + 32, &16u64.to_le_bytes());
        put(&mut file, base + 40, &32u64.to_le_bytes());
    }
    file
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put64(file: &mut [u8], at: usize, value: u64) {
    put(file, at, &value.to_le_bytes());
}

fn small() -> BootOptions {
    BootOptions { ram_bytes: RAM_BYTES_MIN, ..BootOptions::default() }
}

/// Parses and boots.
fn boot(file: &[u8]) -> Result<Machine, LoadError> {
    Machine::boot(&Elf::parse(file)?, &small())
}

fn refusal(change: impl Fn(&mut Vec<u8>)) -> LoadError {
    let mut file = image();
    change(&mut file);
    boot(&file).err().expect("a lie is refused")
}

#[test]
fn segments_land_where_they_say_and_the_rest_is_zero() {
    let mut file = image();
    file[0x100..0x110].fill(0xaa);
    let machine = boot(&file).unwrap();
    assert_eq!(machine.hart().pc(), 0x8000_0000);
    let mut bytes = [0; 33];
    machine.ram().read(GuestPhys(0x8000_1000), &mut bytes).unwrap();
    assert_eq!(bytes[..16], [0xaa; 16]);
    assert_eq!(bytes[16..], [0; 17]);
}

#[test]
fn a_kernel_linked_high_starts_where_it_is_loaded() {
    let mut file = image();
    put64(&mut file, P_VADDR, 0xffff_ffff_8000_0000);
    put64(&mut file, ENTRY, 0xffff_ffff_8000_0004);
    let elf = Elf::parse(&file).unwrap();
    assert_eq!(elf.entry(), GuestPhys(0x8000_0004));
    let code: Vec<u64> = elf.code().map(|(at, _)| at).collect();
    assert_eq!(code, [0xffff_ffff_8000_0000, 0x8000_1000]);
}

#[test]
fn files_of_another_kind_are_named() {
    assert_eq!(Elf::parse(b"").unwrap_err(), LoadError::NotElf { found: vec![] });
    assert_eq!(Elf::parse(b"#!/bin/sh").unwrap_err(), LoadError::NotElf { found: b"#!/b".to_vec() });
    assert_eq!(Elf::parse(&image()[..63]).unwrap_err(), LoadError::TooShort { len: 63 });
    assert_eq!(refusal(|f| f[CLASS] = 1), LoadError::Class { found: 1 });
    assert_eq!(refusal(|f| f[DATA] = 2), LoadError::Endian { found: 2 });
    assert_eq!(refusal(|f| put(f, MACHINE, &[62, 0])), LoadError::Machine { found: 62 });
    assert_eq!(refusal(|f| f[TYPE] = 1), LoadError::Type { found: 1 });
    assert_eq!(refusal(|f| f[SEGMENT] = 3), LoadError::Dynamic);
    assert_eq!(refusal(|f| f[PHNUM] = 0), LoadError::NoSegments);
}

#[test]
fn lies_about_sizes_and_places_are_told_with_evidence() {
    let lie = |at: usize, value: u64| refusal(|f| put64(f, at, value));
    assert_eq!(
        lie(P_OFFSET, 0x1f1),
        LoadError::SegmentPastEnd { index: 0, offset: 0x1f1, filesz: 16, file_bytes: 0x200 }
    );
    assert_eq!(
        lie(P_OFFSET, u64::MAX),
        LoadError::SegmentPastEnd { index: 0, offset: u64::MAX, filesz: 16, file_bytes: 0x200 }
    );
    assert_eq!(lie(P_FILESZ, 33), LoadError::SegmentSizes { index: 0, filesz: 33, memsz: 32 });
    assert_eq!(
        lie(P_MEMSZ, u64::MAX),
        LoadError::SegmentWraps { index: 0, at: 0x8000_0000, memsz: u64::MAX }
    );
    assert_eq!(
        lie(P_PADDR, u64::MAX - 30),
        LoadError::SegmentWraps { index: 0, at: u64::MAX - 30, memsz: 32 }
    );
    let overlap = |index, at| LoadError::Overlap { first: 1 - index, second: index, at: GuestPhys(at) };
    assert_eq!(lie(P_PADDR, 0x8000_0fff), overlap(1, 0x8000_1000));
    assert_eq!(lie(P_PADDR, 0x8000_101f), overlap(0, 0x8000_101f));
    assert_eq!(lie(P_MEMSZ, 0x1001), overlap(1, 0x8000_1000));

    let ram_end = RAM_BASE.plus(RAM_BYTES_MIN);
    for start in [ram_end.get() - 30, 1 << 62] {
        let (start, end) = (GuestPhys(start), GuestPhys(start + 32));
        assert_eq!(lie(P_PADDR, start.get()), LoadError::OutsideRam { index: 0, start, end, ram_end });
    }
    let (start, end) = (GuestPhys(0x1000), GuestPhys(0x1020));
    assert_eq!(lie(P_PADDR, 0x1000), LoadError::BelowRam { index: 0, start, end });
    // Only the second half of the entry's segment is in RAM.
    assert_eq!(lie(P_PADDR, 0x7fff_fff0), LoadError::Entry { entry: 0x8000_0000 });
}

#[test]
fn a_segment_of_4_gib_of_zeros_costs_nothing_but_a_refusal() {
    let error = refusal(|f| {
        put64(f, P_PADDR, 0x9000_0000);
        put64(f, P_MEMSZ, 1 << 60);
    });
    assert!(matches!(error, LoadError::OutsideRam { index: 0, .. }), "{error}");
}

#[test]
fn the_entry_must_be_in_a_segment() {
    for entry in [0, 0x7fff_fffe, 0x8000_001f, 0x8000_0020, 0x8000_0001, u64::MAX, u64::MAX - 1] {
        assert_eq!(refusal(|f| put64(f, ENTRY, entry)), LoadError::Entry { entry });
    }
    // An even virtual address may be loaded at an odd physical one.
    for (vaddr, paddr) in [(0x8000_0000, 0x8000_0101), (0x7fff_ffff, 0x8000_0100)] {
        let moved = |f: &mut Vec<u8>| {
            put64(f, P_VADDR, vaddr);
            put64(f, P_PADDR, paddr);
        };
        assert_eq!(refusal(moved), LoadError::Entry { entry: 0x8000_0000 }, "{vaddr:#x} at {paddr:#x}");
    }
}

/// Ends the machine with status 7 at the test finisher, if t3 is 7 << 16 | 0x3333.
const FINISH: [u32; 2] = [0x0010_0337, 0x01c3_2023];
/// The same, with t3 set first.
const STATUS_7: [u32; 4] = [0x0007_3e37, 0x333e_0e1b, FINISH[0], FINISH[1]];

/// Puts a program where both segments of the smallest image have their bytes.
fn program(code: &[u32]) -> Vec<u8> {
    let mut file = image();
    for (at, word) in code.iter().enumerate() {
        put(&mut file, 0x100 + 4 * at, &word.to_le_bytes());
    }
    for segment in 0..2 {
        put64(&mut file, P_FILESZ + 56 * segment, 4 * code.len() as u64);
    }
    file
}

/// Runs it, and answers how it ended.
fn status(file: &[u8]) -> Option<u8> {
    let mut machine = boot(file).unwrap_or_else(|error| panic!("{error}"));
    machine.run_until(crate::base::Icount(1000));
    machine.halted().map(|exit| exit.status())
}

#[test]
fn what_no_instruction_can_meet_is_not_judged() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change); 10] = [
        ("as it is", |_| {}),
        ("no rights", |f| (f[P_FLAGS], f[P_FLAGS + 56]) = (0, 0)),
        ("data that is run", |f| f[P_FLAGS] = 6),
        ("a section table behind the file's end", |f| {
            put64(f, SHOFF, 1 << 20);
            put(f, 58, &[64, 0, 20, 0]);
        }),
        ("the 16-register ISA", |f| f[FLAGS] = 8),
        ("a version", |f| (f[6], f[VERSION]) = (9, 2)),
        ("an interpreter that nothing needs", |f| f[SEGMENT + 56] = 3),
        ("linked high, loaded low", |f| {
            put64(f, P_VADDR, 0xffff_ffff_8000_0000);
            put64(f, ENTRY, 0xffff_ffff_8000_0000);
        }),
        ("notes below RAM", |f| {
            f[P_FLAGS + 56] = 4;
            put64(f, P_VADDR + 56, 0x1_0120);
            put64(f, P_PADDR + 56, 0x1_0120);
        }),
        ("headers of no rights below RAM", |f| {
            f[P_FLAGS + 56] = 0;
            put64(f, P_VADDR + 56, 0x7fff_f000);
            put64(f, P_PADDR + 56, 0x7fff_f000);
        }),
    ];
    for (name, change) in cases {
        let mut file = program(&STATUS_7);
        change(&mut file);
        assert_eq!(status(&file), Some(7), "{name}");
    }
}

#[test]
fn headers_before_the_code_in_one_segment_are_cut_off_at_the_start_of_ram() {
    // Linked with -Ttext=0x80000000: the file from its start on, the code at 0x100.
    let below = |flags: u8, offset: u64| {
        let mut file = program(&STATUS_7);
        put(&mut file, PHNUM, &[1, 0]);
        file[P_FLAGS] = flags;
        let at = 0x8000_0000 - 0x100 + offset;
        for (field, value) in [
            (P_OFFSET, offset),
            (P_VADDR, at),
            (P_PADDR, at),
            (P_FILESZ, 0x110 - offset),
            (P_MEMSZ, 0x110 - offset),
        ] {
            put64(&mut file, field, value);
        }
        file
    };
    for (flags, offset) in [(5, 0), (5, 0x78), (7, 0), (0, 0x78)] {
        let file = below(flags, offset);
        let elf = Elf::parse(&file).unwrap();
        let start = GuestPhys(0x7fff_ff00 + offset);
        assert_eq!(elf.left_out(), [LeftOut { index: 0, start, end: RAM_BASE }]);
        assert_eq!(status(&file), Some(7), "flags {flags} offset {offset:#x}");
    }
    let (start, end) = (GuestPhys(0x7fff_ff78), GuestPhys(0x8000_0010));
    let written = Elf::parse(&below(7, 0x78)).unwrap_err();
    assert_eq!(written, LoadError::BelowRam { index: 0, start, end }, "the guest could write to it");
}

/// `program` as a position-independent image linked at `at`, whose second segment is the dynamic section:
/// one relocation, of `kind`, that makes the doubleword at 0x60 of the first the address of its 0x10.
fn movable(at: u64, kind: u64, code: &[u32]) -> Vec<u8> {
    let mut file = program(code);
    file[TYPE] = 3;
    put64(&mut file, ENTRY, at);
    for (field, value) in
        [(P_VADDR, at), (P_PADDR, at), (P_FILESZ, 0x100), (P_MEMSZ, 0x100), (P_VADDR + 56, at + 0x80)]
    {
        put64(&mut file, field, value);
    }
    put(&mut file, SEGMENT + 56, &[2, 0, 0, 0]);
    for (field, value) in [(P_OFFSET + 56, 0x180), (P_FILESZ + 56, 48), (P_MEMSZ + 56, 48)] {
        put64(&mut file, field, value);
    }
    let (tags, table) = ([7, at + 0xc0, 8, 24, 0, 0], [at + 0x60, kind, at + 0x10]);
    for (nth, word) in tags.into_iter().enumerate() {
        put64(&mut file, 0x180 + 8 * nth, word);
    }
    for (nth, word) in table.into_iter().enumerate() {
        put64(&mut file, 0x1c0 + 8 * nth, word);
    }
    file
}

#[test]
fn a_position_independent_image_is_moved_into_ram_and_relocated() {
    // Jumps to what the doubleword at 0x60 says: ld t0, 0x60(pc); jr t0.
    let code = [&[0x0000_0297, 0x0602_b283, 0x0002_8067, 0][..], &STATUS_7].concat();
    for at in [0, 0x1_0000, 0x8000_0000, 0x8001_0000] {
        let file = movable(at, 3, &code);
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.entry(), if at < RAM_BASE.get() { RAM_BASE } else { GuestPhys(at) });
        assert_eq!(status(&file), Some(7), "linked at {at:#x}");
    }
    // Another kind of relocation, and one that is in no segment.
    let error = Elf::parse(&movable(0, 5, &code)).unwrap_err();
    assert_eq!(error, LoadError::Relocation { kind: 5, at: 0x8000_0060 });
    let mut outside = movable(0, 3, &code);
    put64(&mut outside, 0x1c0, 0xfc);
    let error = Elf::parse(&outside).unwrap_err();
    assert_eq!(error, LoadError::Relocation { kind: 3, at: 0x8000_00fc });
    for (field, value) in [(0x188, 0xf0), (0x188, u64::MAX), (0x198, 1 << 60), (0x198, u64::MAX)] {
        let mut lie = movable(0, 3, &code);
        put64(&mut lie, field, value);
        assert!(matches!(Elf::parse(&lie), Err(LoadError::Malformed(_))), "{field:#x} {value:#x}");
    }
}

#[test]
fn a_relocation_by_the_address_of_a_symbol_is_applied_if_the_file_defines_it() {
    const SYMTAB: usize = 0x1a0;
    const ADDEND: usize = 0x1d0;
    const SYMBOL_1: usize = 0x1d8;
    let code = [&[0x0000_0297, 0x0602_b283, 0x0002_8067, 0][..], &STATUS_7].concat();
    // The symbol table, of two symbols, is at 0xc0; the first is never defined. The second is at 0x8.
    let by_symbol = |at: u64, number: u64, section: u64, value: u64, addend: u64| {
        let mut file = movable(at, number << 32 | 2, &code);
        // Its tags: RELA, RELASZ, SYMTAB; the section ends with the segment's 48 bytes.
        put64(&mut file, SYMTAB, 6);
        put64(&mut file, SYMTAB + 8, at + 0xc0);
        put64(&mut file, ADDEND, addend);
        put64(&mut file, SYMBOL_1, section << 48);
        put64(&mut file, SYMBOL_1 + 8, value);
        file
    };
    for at in [0, 0x1_0000, 0x8000_0000] {
        assert_eq!(status(&by_symbol(at, 1, 1, at + 0x8, 8)), Some(7), "linked at {at:#x}");
    }
    let absolute = by_symbol(0, 1, 0xfff1, 0x8000_0008, 8);
    assert_eq!(status(&absolute), Some(7));
    for (number, section) in [(1, 0), (1, 0xff00), (1, 0xfff2), (50, 1), (u64::from(u32::MAX), 1)] {
        let error = Elf::parse(&by_symbol(0, number, section, 8, 8)).unwrap_err();
        assert_eq!(error, LoadError::Relocation { kind: 2, at: 0x8000_0060 }, "{number} {section}");
    }
    let mut resolved_by_code = by_symbol(0, 1, 1, 8, 8);
    put64(&mut resolved_by_code, SYMBOL_1, 1 << 48 | 10 << 32);
    assert!(matches!(Elf::parse(&resolved_by_code), Err(LoadError::Relocation { kind: 2, .. })));
    let mut without_table = by_symbol(0, 1, 1, 8, 8);
    put64(&mut without_table, SYMTAB, 0);
    assert!(matches!(Elf::parse(&without_table), Err(LoadError::Relocation { kind: 2, .. })));
}

#[test]
fn the_device_tree_needs_room() {
    // The device tree of 4 MiB of RAM is at 2 MiB.
    let error = refusal(|f| put64(f, P_MEMSZ + 56, 0x20_0000));
    assert_eq!(error, LoadError::NoRoomForDeviceTree { index: 1, at: RAM_BASE.plus(0x20_0000) });
}

#[test]
fn options_that_cannot_be_are_told() {
    let file = image();
    let elf = Elf::parse(&file).unwrap();
    let refused = |options: BootOptions| Machine::boot(&elf, &options).err().expect("refused");
    for ram_bytes in [0, RAM_BYTES_MIN - 1, RAM_BYTES_MIN + 1, u64::MAX] {
        let error = refused(BootOptions { ram_bytes, ..small() });
        assert_eq!(error, LoadError::Config(BadConfig::RamBytes { bytes: ram_bytes }));
    }
    let error = refused(BootOptions { bootargs: "a\0b".into(), ..small() });
    assert!(matches!(error, LoadError::DeviceTree(_)), "{error}");
}

#[test]
fn symbols_are_sorted_and_named_once() {
    let elf = Elf::parse(HELLO).unwrap();
    let addresses: Vec<u64> = elf.symbols().iter().map(|s| s.addr).collect();
    assert!(addresses.is_sorted_by(|a, b| a < b));
    let main = elf.symbols().iter().find(|s| s.name == "main").expect("hello has a main");
    assert!(main.size > 0);
    assert!(elf.symbols().iter().all(|s| !s.name.starts_with('$')));
    assert_eq!(elf.tohost(), None);
}

#[test]
fn tohost_is_found_by_its_name() {
    let tohost = Elf::parse(TOHOST_PASS).unwrap().tohost().expect("a tohost");
    assert!(tohost >= RAM_BASE && tohost.get().is_multiple_of(8));
}

/// Every mutant either boots or is refused; none panics.
fn survive(file: &[u8]) {
    if let Ok(mut machine) = boot(file) {
        machine.run_until(crate::base::Icount(100));
    }
}

#[test]
fn no_truncation_panics() {
    for len in 0..HELLO.len() {
        if let Ok(elf) = Elf::parse(&HELLO[..len]) {
            assert!(elf.digest() != digest_bytes(HELLO, 0));
        }
    }
    for len in 0..image().len() {
        survive(&image()[..len]);
    }
}

#[test]
fn no_flipped_bit_of_a_header_panics() {
    let shoff = u64::from_le_bytes(HELLO[SHOFF..SHOFF + 8].try_into().unwrap()) as usize;
    let program_headers = SEGMENT + 56 * usize::from(HELLO[PHNUM]);
    for at in (0..program_headers).chain(shoff..HELLO.len()) {
        let mut file = HELLO.to_vec();
        for value in [0, 0xff, HELLO[at] ^ 1, HELLO[at] ^ 0x80, HELLO[at].wrapping_add(1)] {
            file[at] = value;
            survive(&file);
        }
    }
}

#[test]
fn no_random_damage_panics() {
    let seed = 0x1e1f;
    let mut prng = Prng::new(seed);
    for round in 0..2000 {
        let mut file = TOHOST_PASS.to_vec();
        for _ in 0..prng.between(1, 8) {
            let at = prng.below(file.len() as u64) as usize;
            file[at] = prng.next_u64() as u8;
        }
        println!("seed {seed:#x} round {round}");
        survive(&file);
    }
}
