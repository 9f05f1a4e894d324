//! Guests' files.

use std::fs;

use tempfile::TempDir;

use crate::support::{guest, path, run};

#[test]
fn files_that_are_no_guest_are_refused() {
    let dir = TempDir::new().unwrap();
    let hello = fs::read(guest("hello")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = path(&dir, name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let patched = |name: &str, at: usize, with: &[u8]| {
        let mut bytes = hello.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        write(name, &bytes)
    };
    let cases = [
        (path(&dir, "missing.elf"), "No such file"),
        (dir.path().display().to_string(), "not a file"),
        ("/dev/zero".into(), "not a file"),
        (write("empty.elf", b""), "not a guest"),
        (write("text.elf", b"#!/bin/sh\necho hello\n"), "not a guest"),
        (crate::support::BINARY.into(), "not a guest"),
        (patched("narrow.elf", 4, &[1]), "not a guest"),
        (patched("big-endian.elf", 5, &[2]), "not a guest"),
        (patched("arm.elf", 18, &[183, 0]), "not a guest"),
        (patched("relocatable.elf", 16, &[1, 0]), "not a guest"),
        (patched("headers-far-away.elf", 32, &[0xff; 7]), "not a guest"),
        (patched("many-headers.elf", 56, &[0xff, 0xff]), "not a guest"),
        (patched("entry.elf", 24, &[0xff; 8]), "entry"),
    ];
    for (path, why) in &cases {
        // None is large but our own program, of which the header says enough.
        const BOUND: u64 = 40;
        run(&["run", path]).refuses(&["lockstep:", "fix:", why]).within_mib(BOUND);
        let arguments = ["primary", path, "--vm", "kv", "--listen", "127.0.0.1:0", "--arbiter", "."];
        run(&arguments).refuses(&["lockstep:", "fix:", why]).within_mib(BOUND);
        // What has code can be looked at, even if it could not run.
        let ran = run(&["disasm", path]);
        assert!(matches!(ran.code(), Some(0 | 2)) && !ran.err.contains("panicked"), "{}", ran.said());
        ran.within_mib(BOUND);
    }
    for len in (0..hello.len()).step_by(97) {
        let cut = write("cut.elf", &hello[..len]);
        let ran = run(&["run", &cut, "--max-instructions", "1000000"]);
        // Section headers and symbols are at the end; a guest can do without some of them.
        assert!(matches!(ran.code(), Some(0 | 2 | 124)), "{}", ran.said());
        assert!(!ran.err.contains("panicked"), "{}", ran.said());
    }
}

/// The program headers of a 64-bit ELF: where each starts.
fn load_headers(elf: &[u8]) -> Vec<usize> {
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap()) as usize;
    let (first, count) = (word(32), usize::from(u16::from_le_bytes([elf[56], elf[57]])));
    (0..count).map(|n| first + n * 56).filter(|at| elf[*at..*at + 4] == [1, 0, 0, 0]).collect()
}

#[test]
fn segments_that_lie_are_refused() {
    let dir = TempDir::new().unwrap();
    let good = fs::read(guest("kv")).unwrap();
    let headers = load_headers(&good);
    let (first, last) = (headers[0], *headers.last().unwrap());
    assert!(first != last, "kv has two segments to lay over each other");
    // Offsets within a program header: file offset 8, addresses 16 and 24, file size 32, memory size 40.
    let cases: [(&str, usize, u64); 8] = [
        ("memory-huge", last + 40, 1 << 60),
        ("memory-wraps", last + 40, u64::MAX),
        ("file-huge", last + 32, 1 << 40),
        ("file-wraps", last + 32, u64::MAX - 8),
        ("offset-outside", first + 8, 1 << 40),
        ("offset-wraps", first + 8, u64::MAX - 4),
        ("address-low", last + 24, 0x1000),
        ("address-wraps", last + 24, u64::MAX - 16),
    ];
    for (name, at, value) in cases {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if name.starts_with("file") {
            bytes[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
        }
        let path = path(&dir, name);
        fs::write(&path, bytes).unwrap();
        run(&["run", &path]).refuses(&["lockstep:", name, "fix:"]).within_mib(60);
    }
    let mut overlap = good.clone();
    overlap.copy_within(first + 16..first + 32, last + 16);
    let path = path(&dir, "overlap");
    fs::write(&path, overlap).unwrap();
    run(&["run", &path]).refuses(&["overlap", "fix:"]).within_mib(60);
}

#[test]
fn a_guest_too_large_for_its_memory_is_told_so() {
    let dir = TempDir::new().unwrap();
    let mut bytes = fs::read(guest("kv")).unwrap();
    let last = *load_headers(&bytes).last().unwrap();
    bytes[last + 40..last + 48].copy_from_slice(&(8u64 << 20).to_le_bytes());
    let path = path(&dir, "large");
    fs::write(&path, bytes).unwrap();
    run(&["run", &path, "--memory", "4M"]).refuses(&["--memory 13M"]);
    run(&["run", &path, "--memory", "16M", "--max-instructions", "1000"]).ends(124, &[]);
}

#[test]
fn only_memory_that_would_help_is_asked_for() {
    let dir = TempDir::new().unwrap();
    let good = fs::read(guest("kv")).unwrap();
    let headers = load_headers(&good);
    let last = *headers.last().unwrap();
    for (name, at, why) in [("below", 0x1000u64, "below RAM"), ("beyond", 1 << 40, "link it lower")] {
        let mut bytes = good.clone();
        bytes[last + 24..last + 32].copy_from_slice(&at.to_le_bytes());
        let path = path(&dir, name);
        fs::write(&path, bytes).unwrap();
        let ran = run(&["run", &path]);
        ran.refuses(&[why, "fix:"]);
        assert!(!ran.err.contains("more memory"), "{}", ran.said());
    }
}

#[test]
fn what_the_linker_leaves_below_ram_and_a_stale_section_table_are_said_and_the_guest_runs() {
    let dir = TempDir::new().unwrap();
    let mut bytes = fs::read(guest("hello")).unwrap();
    // A note of the linker's in the place of a header that no loader looks at.
    let count = usize::from(bytes[56]);
    let stack = (0..count).map(|n| 64 + 56 * n).find(|at| bytes[*at..*at + 4] != [1, 0, 0, 0]);
    let note = stack.expect("a header that loads nothing");
    for (field, value) in
        [(0, 1 | 4 << 32), (8, 0), (16, 0x1_0000), (24, 0x1_0000), (32, 0x40), (40, 0x40u64)]
    {
        bytes[note + field..note + field + 8].copy_from_slice(&value.to_le_bytes());
    }
    // Its section table is far behind the end of the file.
    bytes[40..48].copy_from_slice(&(1u64 << 30).to_le_bytes());
    let path = path(&dir, "linked.elf");
    fs::write(&path, bytes).unwrap();
    let ran = run(&["run", &path]);
    let whole = run(&["run", &guest("hello")]);
    assert_eq!((ran.code(), &ran.out), (whole.code(), &whole.out), "{}", ran.said());
    assert!(ran.err.contains("below RAM and is left out"), "{}", ran.said());
    assert!(ran.err.contains("without its symbols"), "{}", ran.said());
}
