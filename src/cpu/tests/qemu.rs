//! The same random programs on QEMU: an independent reading of the specs. Ignored: needs
//! `qemu-system-riscv64` (Debian's `qemu-system-misc`), and a second and a half for each seed. Run
//! it with `cargo test --lib agrees_with_qemu -- --ignored --nocapture`; `SEED` and `SEEDS` choose.
//!
//! A program is 32,768 words: arithmetic, floating point with all rounding modes and awkward
//! values, memory through 512 pages of random rights, atomics, compressed code, reserved and random
//! words. A handler in M-mode logs cause, value, position and status of each exception and goes on
//! behind it. In the end the registers are stored, and all of RAM is compared.
//!
//! Left out, because the two may differ and both be right: jumps of random words, A and D bits
//! (QEMU's hardware sets them), CSRs other than `fcsr`. Forgiven, for the same reason: `mtval` of
//! `ebreak`, and the low bits of `mtval` of a misaligned access fault. Forgiven, because QEMU 7.2 is
//! wrong there: a page or access fault of an AMO reported as one of a load.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::asm::*;
use super::world::{BASE, World};
use crate::base::{GuestPhys, Prng};
use crate::isa::{Op, decode};

const HANDLER: u64 = BASE + 0x1000;
const FINISH: u64 = BASE + 0x2000;
const REGISTERS: u64 = BASE + 0x6000;
const TABLES: u64 = BASE + 0x8000;
/// One page that everybody stores to.
const DATA: u64 = BASE + 0xd000;
const CODE: u64 = BASE + 0x1_0000;
const CODE_WORDS: usize = 0x8000;
const LOG: u64 = BASE + 0x10_0000;
/// Virtual: 512 pages that are all `DATA`, with random rights.
const WINDOW: u64 = 0x4000_0000;
/// Nothing is there on either machine.
const NOWHERE: u64 = 0x9_0000_0000;

/// Sets up mode, tables, rights and registers, and starts at `CODE`.
fn boot(prng: &mut Prng, mode: u64) -> Vec<u32> {
    let mut c = Code::default();
    let sum_mxr = prng.next_u64() & 3 << 18;
    for (csr, value) in [
        (0x305, HANDLER),
        (0x340, LOG),
        (0x3b0, u64::MAX),
        (0x3a0, 0x1f),
        (0x341, CODE),
        (0x306, 0),
        (0x106, 0),
        (0x180, if mode == 3 { 0 } else { 8 << 60 | TABLES >> 12 }),
        (0x300, 0x2000 | mode << 11 | sum_mxr),
    ] {
        c.li(5, value);
        c.put(csrw(csr, 5));
    }
    for n in 1..32 {
        c.li(n, prng.next_u64());
    }
    c.put(csrw(3, 0));
    for n in 0..32 {
        c.put(fp(0x79, 0, n, n, 0));
    }
    c.put(MRET);
    c.0
}

/// Logs an exception (x30, cause, value, epc, status, x29; 48 bytes) without a trace in the
/// registers, and goes on behind it; behind the program, to `FINISH`.
fn handler() -> Vec<u32> {
    let mut c = Code::default();
    c.put(csrrw(31, 0x340, 31));
    c.put(sd(30, 31, 0));
    c.put(sd(29, 31, 40));
    for (csr, at) in [(0x342, 8), (0x343, 16), (0x300, 32), (0x341, 24)] {
        c.put(csrr(30, csr));
        c.put(sd(30, 31, at));
    }
    // Two or four bytes on.
    c.put(load(5, 29, 30, 0));
    c.put(andi(29, 29, 3));
    c.put(i(0x13, 3, 29, 29, 3)); // sltiu
    c.put(slli(29, 29, 1));
    c.put(addi(30, 30, 4));
    c.put(r(0x33, 0, 0x20, 30, 30, 29)); // sub
    c.put(csrw(0x341, 30));
    c.li(29, CODE + 4 * CODE_WORDS as u64);
    c.put(bltu(30, 29, 20));
    restore(&mut c);
    let to_finish = (FINISH - HANDLER) as i32 - c.here();
    c.put(jal(0, to_finish));
    restore(&mut c);
    c.put(csrrw(31, 0x340, 31));
    c.put(MRET);
    c.0
}

/// The borrowed registers back, and the log on by one entry.
fn restore(c: &mut Code) {
    c.put(ld(30, 31, 0));
    c.put(ld(29, 31, 40));
    c.put(addi(31, 31, 48));
}

/// Stores all registers and stays there.
fn finish() -> Vec<u32> {
    let mut c = Code::default();
    c.put(csrrw(31, 0x340, 31));
    c.put(csrw(0x340, 30));
    c.li(30, REGISTERS);
    for n in 1..30 {
        c.put(sd(n, 30, 8 * n as i32));
    }
    c.put(csrr(29, 0x340));
    c.put(sd(29, 30, 240));
    c.put(sd(31, 30, 248));
    for n in 0..32 {
        c.put(s(0x27, 3, 30, n, 256 + 8 * n as i32)); // fsd
    }
    c.put(csrr(29, 3));
    c.put(sd(29, 30, 512));
    c.put(jal(0, 0));
    c.0
}

/// RAM where it is, in one gigapage; the window; two misaligned superpages behind it.
fn tables(world: &mut World, prng: &mut Prng, mode: u64) {
    let leaf = 0xcf | if mode == 0 { 0x10 } else { 0 };
    world.put_u64(TABLES + 16, BASE >> 2 | leaf);
    world.put_u64(TABLES + 8, (TABLES + 0x1000) >> 2 | 1);
    world.put_u64(TABLES + 0x1000, (TABLES + 0x2000) >> 2 | 1);
    world.put_u64(TABLES + 0x1008, BASE >> 2 | leaf);
    world.put_u64(TABLES + 0x1010, (BASE + 0x1000) >> 2 | leaf);
    for page in 0..512 {
        let mut entry = DATA >> 2 | prng.next_u64() & 0x33f | 0xc1;
        if prng.chance(1, 2) {
            entry |= 6;
        } else if prng.chance(1, 8) {
            entry |= prng.next_u64() << 54;
        }
        world.put_u64(TABLES + 0x2000 + 8 * page, entry);
    }
}

/// A number that is awkward for somebody.
fn awkward(prng: &mut Prng) -> u64 {
    let any = prng.next_u64();
    match prng.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 63,
        3 => i64::MAX as u64,
        4 => 1 << 31,
        5 => 0xffff_ffff_8000_0000,
        6 => 0xffff_ffff << 32 | u64::from((any as u32 as f32 / 1e3).to_bits()),
        7 => (any as i64 as f64 / 1e9).to_bits(),
        8 => any & 0x800f_ffff_ffff_ffff,
        9 => any & 1 << 63 | 0x7ff0_0000_0000_0000,
        10 => any % 70,
        _ => any,
    }
}

fn constant(words: &mut Vec<u32>, rd: u32, value: u64) {
    let mut c = Code::default();
    c.li(rd, value);
    words.extend(c.0);
}

fn register(prng: &mut Prng) -> u32 {
    prng.below(32) as u32
}

/// An access through a pointer into the data, the window, or where nothing is.
fn access(prng: &mut Prng, mode: u64, words: &mut Vec<u32>) {
    let pointer = prng.between(5, 15) as u32;
    let base = if mode != 3 && prng.chance(3, 4) {
        match prng.below(8) {
            0 => WINDOW + 0x20_0000 + DATA - BASE,
            1 => WINDOW + 0x40_0000 + prng.below(4096),
            2 => 1 << 39 | prng.below(1 << 40),
            _ => WINDOW + prng.below(512) * 4096,
        }
    } else if prng.chance(1, 20) {
        NOWHERE
    } else {
        DATA
    };
    let page_end = if prng.chance(1, 16) { 0x700 } else { 0 };
    let at = base + 0x800 + prng.below(0x100) + page_end;
    let offset = prng.below(64) as i32 - 32;
    let data = register(prng);
    let width = prng.between(2, 3) as u32;
    match prng.below(5) {
        0 => {
            constant(words, pointer, at);
            words.push(load(prng.below(7) as u32, data, pointer, offset));
        }
        1 => {
            constant(words, pointer, at);
            words.push(s(0x23, prng.below(4) as u32, pointer, data, offset));
        }
        2 => {
            constant(words, pointer, at);
            words.push(if prng.chance(1, 2) {
                i(0x07, width, data, pointer, 8)
            } else {
                s(0x27, width, pointer, data, 8)
            });
        }
        3 => {
            // A failing `sc` may fault or not: only pairs that succeed.
            constant(words, pointer, DATA + 0x808);
            words.push(amo(2, width, prng.between(16, 28) as u32, pointer, 0));
            words.push(amo(3, width, register(prng), pointer, data));
        }
        _ => {
            constant(words, pointer, at & !7);
            let operation = [1, 0, 4, 12, 8, 16, 20, 24, 28][prng.below(9) as usize];
            words.push(amo(operation, width, register(prng), pointer, data));
        }
    }
}

fn float(prng: &mut Prng) -> u32 {
    if prng.chance(1, 5) {
        let opcode = [0x43, 0x47, 0x4b, 0x4f][prng.below(4) as usize];
        return opcode | prng.next_u64() as u32 & 0xfdff_ff80;
    }
    let operations = [
        0x00, 0x01, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x0d, 0x2c, 0x2d, 0x10, 0x11, 0x14, 0x15, 0x20, 0x21, 0x50,
        0x51, 0x60, 0x61, 0x68, 0x69, 0x70, 0x71,
    ];
    let f7 = operations[prng.below(24) as usize];
    let rs2 = match f7 {
        0x2c | 0x2d | 0x70 | 0x71 => 0,
        0x20 | 0x21 | 0x60..=0x69 => prng.below(4) as u32,
        _ => register(prng),
    };
    fp(f7, prng.below(8) as u32, register(prng), register(prng), rs2)
}

/// Would this lead somewhere else, or use a register as an address?
fn is_wild(op: Op) -> bool {
    op >= Op::Jal && op <= Op::Sd
        || op >= Op::LrW && op <= Op::AmomaxuD
        || op >= Op::Csrrw && op <= Op::Wfi
        || matches!(op, Op::Flw | Op::Fsw | Op::Fld | Op::Fsd)
}

/// A random halfword that is a compressed instruction, or a reserved one.
fn compressed(prng: &mut Prng) -> u32 {
    loop {
        let half = u32::from(prng.next_u64() as u16);
        // Reserved for new extensions, some of which QEMU has.
        let taken = half & 0xe003 == 0x8000;
        if half & 3 != 3 && half != 0 && !taken && !is_wild(decode(half).op) {
            return half;
        }
    }
}

fn put_instruction(prng: &mut Prng, mode: u64, words: &mut Vec<u32>) {
    match prng.below(20) {
        0..=2 => {
            let f7 = [0, 0x20, 1, 0, 1][prng.below(5) as usize];
            let opcode = [0x33, 0x3b][prng.below(2) as usize];
            let f3 = prng.below(8) as u32;
            words.push(r(opcode, f3, f7, register(prng), register(prng), register(prng)));
        }
        3..=4 => {
            let opcode = [0x13, 0x1b][prng.below(2) as usize];
            let imm = prng.below(4096) as i32 - 2048;
            words.push(i(opcode, prng.below(8) as u32, register(prng), register(prng), imm));
        }
        5 => constant(words, prng.between(1, 31) as u32, awkward(prng)),
        6 => {
            constant(words, 5, awkward(prng));
            words.push(fp([0x79, 0x78][prng.below(2) as usize], 0, register(prng), 5, 0));
        }
        7..=11 => words.push(float(prng)),
        12 => {
            let csr = prng.between(1, 3) as i32;
            let f3 = [1, 2, 3, 5, 6, 7][prng.below(6) as usize];
            words.push(i(0x73, f3, register(prng), register(prng), csr));
        }
        13..=15 => access(prng, mode, words),
        16 => {
            let f3 = [0, 1, 4, 5, 6, 7][prng.below(6) as usize];
            words.push(b(f3, register(prng), register(prng), 8));
            words.push(addi(prng.between(1, 31) as u32, register(prng), 1));
        }
        17 => words.push(compressed(prng) | compressed(prng) << 16),
        18 => loop {
            let word = prng.next_u64() as u32 | 3;
            if word & 0x1f != 0x1f && !is_wild(decode(word).op) {
                words.push(word);
                break;
            }
        },
        _ => match prng.below(4) {
            0 => words.push(auipc(register(prng), prng.next_u64() as u32 & 0xf_ffff)),
            1 => words.push(lui(register(prng), prng.next_u64() as u32 & 0xf_ffff)),
            2 => words.push([ECALL, EBREAK, SFENCE, 0x100f][prng.below(4) as usize]),
            _ => words.extend([jal(prng.below(2) as u32, 8), 0]),
        },
    }
}

fn program(seed: u64, mode: u64) -> World {
    let mut prng = Prng::new(seed);
    let mut world = World::new(&boot(&mut prng, mode));
    world.put(HANDLER, &handler());
    world.put(FINISH, &finish());
    tables(&mut world, &mut prng, mode);
    let mut words = Vec::new();
    while words.len() < CODE_WORDS - 16 {
        put_instruction(&mut prng, mode, &mut words);
    }
    words.resize(CODE_WORDS + 8, NOP);
    words.extend([ECALL; 8]);
    world.put(CODE, &words);
    world
}

/// RAM after QEMU has run the program.
fn on_qemu(image: &[u8], directory: &Path) -> Vec<u8> {
    let (program, result) = (directory.join("program"), directory.join("result"));
    std::fs::write(&program, image).unwrap();
    let mut qemu = Command::new("qemu-system-riscv64")
        .args(["-machine", "virt", "-m", "128M", "-bios", "none", "-nographic", "-serial", "none"])
        .args(["-cpu", "rv64,h=off,zba=off,zbb=off,zbc=off,zbs=off", "-monitor", "stdio"])
        .args(["-device", &format!("loader,file={},addr={BASE:#x}", program.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("qemu-system-riscv64 is installed");
    std::thread::sleep(Duration::from_millis(1200));
    let mut monitor = qemu.stdin.take().unwrap();
    let save = format!("pmemsave {BASE:#x} {:#x} \"{}\"\nquit\n", image.len(), result.display());
    std::io::Write::write_all(&mut monitor, save.as_bytes()).unwrap();
    drop(monitor);
    assert!(qemu.wait().unwrap().success());
    std::fs::read(result).unwrap()
}

/// The `n`-th entry of the log: x30, cause, value, epc, status, x29.
fn entry(ram: &[u8], n: usize) -> [u64; 6] {
    let at = (LOG - BASE) as usize + 48 * n;
    std::array::from_fn(|k| u64::from_le_bytes(ram[at + 8 * k..at + 8 * k + 8].try_into().unwrap()))
}

/// The differences in a log entry that the head of this file forgives.
fn is_forgiven(ours: [u64; 6], theirs: [u64; 6], op: Op) -> bool {
    let [x30, cause, value, rest @ ..] = ours;
    let [their_x30, their_cause, their_value, their_rest @ ..] = theirs;
    let amo = op >= Op::LrW && op <= Op::AmomaxuD && cause == their_cause + 2 && value == their_value;
    let ebreak = cause == 3 && their_cause == 3 && their_value == 0;
    let low_bits = matches!(cause, 5 | 7) && cause == their_cause && value.wrapping_sub(their_value) < 8;
    x30 == their_x30 && rest == their_rest && (amo || ebreak || low_bits)
}

#[test]
#[ignore = "needs qemu-system-riscv64"]
fn agrees_with_qemu() {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |s| s.parse::<u64>().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let first = number("SEED", 1);
    for seed in first..first + number("SEEDS", 6) {
        let mode = [3, 0, 1][(seed % 3) as usize];
        let mut world = program(seed, mode);
        let mut theirs = on_qemu(world.ram.bytes(), directory.path());
        while !(FINISH..FINISH + 0x1000).contains(&world.hart.pc()) {
            assert!(world.hart.icount().get() < 1_000_000, "seed {seed}: at {:x}", world.hart.pc());
            world.step(1);
        }
        world.step(100);
        let ours = world.ram.bytes();
        let traps = (0..).take_while(|&n| entry(ours, n)[3] != 0).count();
        for n in 0..traps {
            let (our_entry, their_entry) = (entry(ours, n), entry(&theirs, n));
            let word = world.ram.read_u32(GuestPhys(our_entry[3])).unwrap();
            if our_entry != their_entry && is_forgiven(our_entry, their_entry, decode(word).op) {
                let at = (LOG - BASE) as usize + 48 * n;
                theirs[at..at + 48].copy_from_slice(&ours[at..at + 48]);
            } else {
                assert_eq!(our_entry, their_entry, "seed {seed}, trap {n}, {:?}", decode(word));
            }
        }
        let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        assert_eq!(differs.map(|at| format!("{:x}", BASE + at as u64)), None, "seed {seed}");
        println!("seed {seed}, mode {mode}: {} and {traps} exceptions alike", world.hart.icount());
    }
}
