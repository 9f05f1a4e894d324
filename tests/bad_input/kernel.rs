//! Kernels, initial RAM disks, command lines and firmware that are none, and a kernel that panics.

use std::fs;

use tempfile::TempDir;

use crate::common::kernel::{DBCN, SRST, call, image};
use crate::support::{guest, path, run};

/// A kernel that says `lines` and then asks the SBI for a reset of this kind and reason.
fn kernel(lines: &str, kind: u32, reason: u32) -> Vec<u8> {
    let mut code: Vec<u32> = lines.bytes().flat_map(|byte| call(DBCN, 2, byte.into(), 0)).collect();
    code.extend(call(SRST, 0, kind, reason));
    image(&code)
}

#[test]
fn files_that_are_no_kernel_are_refused_by_their_names() {
    let dir = TempDir::new().unwrap();
    let good = kernel("x", 0, 0);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let u64_at = |at: usize, value: u64| changed(&|b| b[at..at + 8].copy_from_slice(&value.to_le_bytes()));
    let bzimage = {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes
    };
    // An EFI kernel's table of sections tells how long the file should be.
    let cut_off = {
        let mut bytes = changed(&|b| b[..2].copy_from_slice(b"MZ"));
        bytes[0x3c] = 64;
        bytes[64..68].copy_from_slice(b"PE\0\0");
        bytes.resize(1 << 10, 0);
        (bytes[64 + 6], bytes[64 + 20]) = (1, 0);
        bytes[64 + 24 + 16..64 + 24 + 20].copy_from_slice(&(1u32 << 20).to_le_bytes());
        bytes
    };
    // Linked where no RAM is, as Linux's vmlinux is.
    let vmlinux = {
        let mut bytes = fs::read(guest("hello")).unwrap();
        // The physical address of the second program header, the code's.
        bytes[64 + 56 + 24..64 + 56 + 32].fill(0);
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("empty", vec![], "no instruction"),
        ("vmlinux", vmlinux, "ELF"),
        ("Image.gz", b"\x1f\x8b\x08rest".repeat(100), "gzip"),
        ("Image.xz", b"\xfd7zXZ\0rest".repeat(100), "xz"),
        ("bzImage", bzimage, "x86"),
        ("arm64", changed(&|b| b[0x38..0x3c].copy_from_slice(b"ARM\x64")), "arm64"),
        ("initrd", b"070701".repeat(100), "initial RAM disk"),
        ("zeros", vec![0; 4096], "neither a RISC-V Image"),
        ("big-endian", u64_at(0x18, 1), "big-endian"),
        ("misaligned", u64_at(0x08, 0x1000), "2 MiB"),
        ("huge", u64_at(0x10, 1 << 62), "damaged"),
        ("far", u64_at(0x08, 0xffff_ffff_ffe0_0000), "damaged"),
        ("cut-off", cut_off, "cut off"),
    ];
    for (name, bytes, why) in &cases {
        let file = path(&dir, name);
        fs::write(&file, bytes).unwrap();
        run(&["run", "--kernel", &file]).refuses(&[why, name, "fix:"]).within_mib(60);
        let primary =
            ["primary", "--kernel", &file, "--vm", "k", "--listen", "127.0.0.1:0", "--arbiter", "."];
        run(&primary).refuses(&[why, name, "fix:"]).within_mib(60);
    }
    for file in [path(&dir, "missing"), dir.path().display().to_string(), "/dev/zero".into()] {
        run(&["run", "--kernel", &file]).refuses(&["--kernel", "fix:"]).within_mib(40);
    }
}

#[test]
fn what_a_kernel_is_booted_with_is_looked_at_too() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = path(&dir, name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let image = write("Image", &kernel("booted\n", 0, 0));
    let hello = guest("hello");
    let with = |more: &[&str]| {
        let mut all = vec!["run", "--kernel", &image];
        all.extend(more);
        run(&all)
    };
    let ran = with(&["--memory", "8M", "--initrd", &write("one", b"x")]);
    assert_eq!((ran.code(), ran.out.as_slice()), (Some(0), &b"booted\n"[..]), "{}", ran.said());
    with(&["--memory", "4M"]).refuses(&["4194304", "fix:", "--memory 5M"]);
    with(&["--memory", "8M", "--initrd", &write("large", &vec![1; 8 << 20])])
        .refuses(&["initial RAM disk", "--memory 13M"]);
    with(&["--initrd", &write("empty", b"")]).refuses(&["empty", "fix:"]);
    with(&["--initrd", &path(&dir, "missing")]).refuses(&["missing", "--initrd", "fix:"]);
    with(&["--initrd", dir.path().to_str().unwrap()]).refuses(&["not a file", "fix:"]);
    with(&["--append", &"x".repeat(1024)]).refuses(&["1023", "fix:", "--append"]);
    with(&[&hello]).refuses(&["--kernel"]);
    for (name, bytes, why) in [
        ("no-code", &[0u8; 64][..], "no instruction"),
        ("nothing", b"", "no instruction"),
        ("script", b"#!/bin/sh\n", "a script"),
        ("bad-elf", b"\x7fELF", "firmware"),
        ("x86-elf", &fs::read("/proc/self/exe").unwrap()[..], "firmware"),
        ("kernel", &kernel("x", 0, 0)[..], "a kernel"),
    ] {
        with(&["--firmware", &write(name, bytes)]).refuses(&[why, name, "fix:", "OpenSBI"]);
    }
    let large = write("large-firmware", &[&0x73u32.to_le_bytes()[..], &vec![0; 2 << 20]].concat());
    with(&["--firmware", &large]).refuses(&["over the kernel's place", "fix:"]);
    for flag in ["--initrd", "--append", "--firmware"] {
        // An ELF guest would not look at it.
        run(&["run", &hello, flag, &image]).refuses(&[flag]);
    }
}

#[test]
fn a_kernel_panic_is_told_with_its_last_words_and_where_it_is_in_the_log() {
    let dir = TempDir::new().unwrap();
    let image = path(&dir, "Image");
    let words = "one\nKernel panic - not syncing: \x1b[2Jno way on\n";
    // As a kernel does with `panic=-1 reboot=panic_warm`, and as SBI has a word for it.
    for (kind, reason) in [(2, 0), (0, 1)] {
        fs::write(&image, kernel(words, kind, reason)).unwrap();
        let log = path(&dir, &format!("log-{kind}"));
        let ran = run(&["run", "--kernel", &image, "--memory", "8M", "--record", &log]);
        ran.ends(70, &["kernel panic at ", "| Kernel panic - not syncing", "| one", "lockstep replay"]);
        assert!(!ran.err.contains('\x1b'), "{}", ran.said());
        assert_eq!(ran.out, words.as_bytes());
        let (_, rest) = ran.err.split_once("kernel panic at ").unwrap();
        let at: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let again = run(&["replay", &log]);
        again.ends(70, &[&format!("kernel panic at {at}")]);
        assert_eq!(again.out, ran.out);
        let info = run(&["log", "info", "--json", &log]);
        let told = String::from_utf8_lossy(&info.out).into_owned();
        assert!(told.contains("panic") && told.contains(&at), "{}", info.said());
        let dump = run(&["log", "dump", "--kind", "end", &log]);
        let told = String::from_utf8_lossy(&dump.out).replace(',', "");
        assert!(told.contains("panic") && told.contains(&at), "{}", dump.said());
    }
}
