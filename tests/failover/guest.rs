//! A guest made here, word by word: a metronome. Its beats come by timer interrupt, each says one
//! letter, and the last one ends the guest with status 42.

use std::path::{Path, PathBuf};

pub const STATUS: i32 = 42;
const BASE: u64 = 0x8000_0000;

/// Writes the image into `dir`: `beats` of them (below 2048), one every `period_ms` (1 to 200).
pub fn metronome(dir: &Path, beats: u32, period_ms: u32) -> PathBuf {
    let path = dir.join("metronome.elf");
    std::fs::write(&path, elf(&code(beats, period_ms * 10_000))).unwrap();
    path
}

/// What `beats` beats say.
pub fn letters(beats: u32) -> String {
    (0..beats).map(|beat| char::from(b'a' + (beat % 26) as u8)).collect()
}

const ZERO: u32 = 0;
const T0: u32 = 5;
const T1: u32 = 6;
const CMP: u32 = 8;
const TIME: u32 = 9;
const UART: u32 = 18;
const BEATS: u32 = 19;
const BEAT: u32 = 20;
const PERIOD: u32 = 21;

fn code(beats: u32, period: u32) -> Vec<u32> {
    let trap = 20 * 4;
    let code = vec![
        lui(CMP, 0x2004),
        lui(TIME, 0x200c),
        addi(TIME, TIME, -8),
        lui(UART, 0x10000),
        addi(BEATS, ZERO, beats as i32),
        lui(PERIOD, (period + 0x800) >> 12),
        addi(PERIOD, PERIOD, (period << 20) as i32 >> 20),
        addi(BEAT, ZERO, 0),
        auipc(T0, 0),
        addi(T0, T0, trap - 8 * 4),
        csrrw(0x305, T0),
        ld(T0, TIME),
        add(T0, T0, PERIOD),
        sd(T0, CMP),
        addi(T0, ZERO, 0x80),
        csrrw(0x304, T0),
        csrrsi(0x300, 8),
        0x1050_0073, // wfi
        jal(-4),
        addi(ZERO, ZERO, 0),
        // trap:
        addi(T1, ZERO, 26),
        remu(T1, BEAT, T1),
        addi(T1, T1, 'a' as i32),
        sb(T1, UART),
        addi(BEAT, BEAT, 1),
        bne(BEAT, BEATS, 6 * 4),
        lui(T0, 0x100),
        lui(T1, (STATUS as u32) << 4 | 0x3),
        addi(T1, T1, 0x333),
        sw(T1, T0),
        jal(0),
        // the next beat:
        ld(T0, CMP),
        add(T0, T0, PERIOD),
        sd(T0, CMP),
        0x3020_0073, // mret
    ];
    assert!(beats < 2048 && (1..=2_000_000).contains(&period));
    code
}

fn lui(rd: u32, upper: u32) -> u32 {
    upper << 12 | rd << 7 | 0x37
}

fn auipc(rd: u32, upper: u32) -> u32 {
    upper << 12 | rd << 7 | 0x17
}

fn addi(rd: u32, rs: u32, value: i32) -> u32 {
    (value as u32) << 20 | rs << 15 | rd << 7 | 0x13
}

fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    rs2 << 20 | rs1 << 15 | rd << 7 | 0x33
}

fn remu(rd: u32, rs1: u32, rs2: u32) -> u32 {
    1 << 25 | rs2 << 20 | rs1 << 15 | 7 << 12 | rd << 7 | 0x33
}

fn ld(rd: u32, at: u32) -> u32 {
    at << 15 | 3 << 12 | rd << 7 | 0x03
}

fn sd(rs: u32, at: u32) -> u32 {
    rs << 20 | at << 15 | 3 << 12 | 0x23
}

fn sw(rs: u32, at: u32) -> u32 {
    rs << 20 | at << 15 | 2 << 12 | 0x23
}

fn sb(rs: u32, at: u32) -> u32 {
    rs << 20 | at << 15 | 0x23
}

/// Forward only.
fn bne(rs1: u32, rs2: u32, by: u32) -> u32 {
    rs2 << 20 | rs1 << 15 | 1 << 12 | (by & 0x1e) << 7 | 0x63
}

/// To itself, or a little back.
fn jal(by: i32) -> u32 {
    let by = by as u32;
    (by >> 20 & 1) << 31 | (by >> 1 & 0x3ff) << 21 | (by >> 11 & 1) << 20 | (by >> 12 & 0xff) << 12 | 0x6f
}

fn csrrw(csr: u32, rs: u32) -> u32 {
    csr << 20 | rs << 15 | 1 << 12 | 0x73
}

fn csrrsi(csr: u32, bits: u32) -> u32 {
    csr << 20 | bits << 15 | 6 << 12 | 0x73
}

/// The smallest image around `code`: one segment, no sections.
fn elf(code: &[u32]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let double = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // executable
    half(&mut file, 243); // RISC-V
    word(&mut file, 1);
    double(&mut file, BASE);
    double(&mut file, 64); // program headers
    double(&mut file, 0);
    word(&mut file, 0);
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut file, value);
    }
    word(&mut file, 1); // load
    word(&mut file, 5); // read, execute
    for value in [120, BASE, BASE, code.len() as u64 * 4, code.len() as u64 * 4, 4] {
        double(&mut file, value);
    }
    code.iter().for_each(|insn| word(&mut file, *insn));
    file
}
