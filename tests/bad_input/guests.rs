//! Guests that misbehave.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{guest, lockstep, peak_kib, run, until, watch};

#[test]
fn guests_end_with_their_own_status() {
    for (name, status) in [("tohost_pass", 0), ("tohost_fail", 7), ("exit_code", 42), ("ring_attack", 0)] {
        run(&["run", &guest(name), "--memory", "16M"]).ends(status, &[]).within_mib(60);
    }
}

#[test]
fn a_jump_into_nowhere_is_a_trap_and_the_limit_holds() {
    run(&["run", &guest("wild"), "--memory", "4M", "--max-instructions", "1000000"])
        .ends(124, &["stopped at 1000000", "--max-instructions"])
        .within_mib(40);
}

#[test]
fn a_guest_that_only_traps_is_told_so_once_with_pc_and_cause() {
    let dir = tempfile::tempdir().unwrap();
    let image = crate::support::path(&dir, "Image");
    // An instruction that is none, and no trap handler: stvec is 0.
    std::fs::write(&image, crate::common::kernel::image(&[u32::MAX])).unwrap();
    let ran = run(&["run", "--kernel", &image, "--memory", "8M", "--max-instructions", "1000000"]);
    ran.ends(124, &["the guest only traps since 2: ", "at 0x0,", "instruction access fault"]);
    assert_eq!(ran.err.matches("only traps").count(), 1, "{}", ran.said());
}

#[test]
fn endless_printing_ends_when_its_reader_is_gone() {
    let mut child = lockstep(&["run", &guest("loop_print"), "--memory", "4M"]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut line = [0; 100];
    out.read_exact(&mut line).unwrap();
    drop(out);
    watch(child, "run loop_print | head -1".into()).ends(0, &["standard output"]).within_mib(60);
}

#[test]
fn endless_printing_to_a_reader_that_sleeps_waits_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let record = crate::support::path(&dir, "log");
    let mut child =
        lockstep(&["run", &guest("loop_print"), "--memory", "4M", "--record", &record]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let early = peak_kib(child.id()).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let later = peak_kib(child.id()).unwrap();
    assert!(later < early + 4096 && later < 60 << 10, "{early} then {later} KiB");
    // It goes on as soon as a reader comes, with nothing left out.
    let mut out = child.stdout.take().unwrap();
    let mut bytes = vec![0; 2 << 20];
    out.read_exact(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("loop_print: line ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(numbers.len() > 20_000 && numbers.is_sorted_by(|a, b| a + 1 == *b), "{}", &text[..200]);
    drop(out);
    until("ended", Duration::from_secs(5), || child.try_wait().unwrap().is_some());
    run(&["log", "verify", &record]).ends(0, &[]);
}

#[test]
fn a_limit_holds_without_a_reader() {
    let mut command =
        lockstep(&["run", &guest("loop_print"), "--memory", "4M", "--max-instructions", "3000000"]);
    command.stdout(Stdio::null());
    crate::support::finish(command).ends(124, &[]).within_mib(60);
}

/// A guest in machine code: at 0x8000_0000 the instructions, a page on a table of device registers
/// and values, then a descriptor, then an available ring.
fn entropy_glutton() -> Vec<u8> {
    const BASE: u64 = 0x8000_0000;
    let (t0, t1, t2, t3, t4, t5, t6) = (5u32, 6u32, 7u32, 28u32, 29u32, 30u32, 31u32);
    let addi = |d: u32, s: u32, n: i32| ((n as u32) & 0xfff) << 20 | s << 15 | d << 7 | 0x13;
    let auipc = |d: u32, n: u32| n << 12 | d << 7 | 0x17;
    let lw = |d: u32, s: u32, n: u32| n << 20 | s << 15 | 2 << 12 | d << 7 | 0x03;
    let store = |width: u32, v: u32, s: u32, n: u32| {
        (n >> 5) << 25 | v << 20 | s << 15 | width << 12 | (n & 31) << 7 | 0x23
    };
    let jump_back = |words: u32| {
        let n = (words * 4).wrapping_neg();
        ((n >> 20) & 1) << 31
            | ((n >> 1) & 0x3ff) << 21
            | ((n >> 11) & 1) << 20
            | ((n >> 12) & 0xff) << 12
            | 0x6f
    };
    // blt t2, zero, +20: past the loop.
    let blt_past = 10 << 8 | 4 << 12 | t2 << 15 | 0x63;
    let code = [
        0x1000_2000 | t0 << 7 | 0x37, // lui t0, 0x10002: the entropy device
        auipc(t1, 1),
        addi(t1, t1, -4),
        lw(t2, t1, 0),
        lw(t3, t1, 4),
        blt_past,
        t2 << 20 | t0 << 15 | t4 << 7 | 0x33, // add t4, t0, t2
        store(2, t3, t4, 0),
        addi(t1, t1, 8),
        jump_back(6),
        auipc(t5, 3),
        addi(t5, t5, 2 - 40),
        addi(t6, 0, 0),
        addi(t6, t6, 256),
        store(1, t6, t5, 0),
        store(2, 0, t0, 0x50),
        jump_back(3),
    ];
    let registers: [(i32, u32); 15] = [
        (0x70, 3),
        (0x24, 1),
        (0x20, 1),
        (0x70, 11),
        (0x30, 0),
        (0x38, 256),
        (0x80, BASE as u32 + 0x2000),
        (0x84, 0),
        (0x90, BASE as u32 + 0x3000),
        (0x94, 0),
        (0xa0, BASE as u32 + 0x4000),
        (0xa4, 0),
        (0x44, 1),
        (0x70, 15),
        (-1, 0),
    ];
    let mut image = vec![0; 0x4000];
    for (n, word) in code.iter().enumerate() {
        image[n * 4..n * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    for (n, (register, value)) in registers.iter().enumerate() {
        let at = 0x1000 + n * 8;
        image[at..at + 4].copy_from_slice(&register.to_le_bytes());
        image[at + 4..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    // The one descriptor: 256 bytes to write.
    image[0x2000..0x2008].copy_from_slice(&(BASE + 0x10_0000).to_le_bytes());
    image[0x2008..0x2010].copy_from_slice(&[0, 1, 0, 0, 2, 0, 0, 0]);
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    for word in [BASE, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [120, BASE, BASE, image.len() as u64, image.len() as u64, 8] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(image);
    elf
}

#[test]
fn a_guest_that_asks_for_entropy_without_end_gets_it_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (elf, log) = (crate::support::path(&dir, "glutton.elf"), crate::support::path(&dir, "log"));
    std::fs::write(&elf, entropy_glutton()).unwrap();
    run(&["run", &elf, "--memory", "4M", "--record", &log, "--max-instructions", "2000"])
        .ends(124, &[])
        .within_mib(60);
    let recorded = std::fs::metadata(&crate::support::segments(log.as_ref())[0]).unwrap().len();
    assert!(recorded > 20 << 20, "only {recorded} bytes: is it a glutton?");
    run(&["log", "verify", &log]).ends(0, &[]);
    run(&["replay", &log]).ends(0, &["digests checked"]).within_mib(60);
}
