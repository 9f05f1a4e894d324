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
    assert_eq!(refusal(|f| f[6] = 9), LoadError::Version { found: 9 });
    assert_eq!(refusal(|f| f[VERSION] = 2), LoadError::Version { found: 2 });
    assert_eq!(refusal(|f| put(f, MACHINE, &[62, 0])), LoadError::Machine { found: 62 });
    assert_eq!(refusal(|f| f[TYPE] = 3), LoadError::PositionIndependent);
    assert_eq!(refusal(|f| f[TYPE] = 1), LoadError::Type { found: 1 });
    assert_eq!(refusal(|f| f[FLAGS] = 8), LoadError::Embedded);
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
    for start in [0, 0x7fff_ffff, ram_end.get() - 31, 1 << 62] {
        let (start, end) = (GuestPhys(start), GuestPhys(start + 32));
        assert_eq!(lie(P_PADDR, start.get()), LoadError::OutsideRam { index: 0, start, end, ram_end });
    }
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
fn the_entry_must_be_code() {
    for entry in [0, 0x7fff_fffe, 0x8000_001f, 0x8000_0020, 0x8000_0001, u64::MAX, u64::MAX - 1] {
        assert_eq!(refusal(|f| put64(f, ENTRY, entry)), LoadError::Entry { entry });
    }
    assert_eq!(refusal(|f| f[P_FLAGS] = 6), LoadError::Entry { entry: 0x8000_0000 });
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
