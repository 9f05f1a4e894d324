//! Expansion of the 16-bit encodings of RV64C and Zcb (Unprivileged spec ch. 27 and 28) to their full instructions.
//!
//! Hints expand to the instruction they are encoded as, which then changes nothing.

use super::extensions::Extensions;
use super::insn::{Insn, Op};

const ILLEGAL: Insn = Insn::illegal(2);

/// Bits `high..=low` of `c`, moved to start at bit `to`.
fn bits(c: u16, high: u32, low: u32, to: u32) -> u32 {
    (u32::from(c) >> low & ((1 << (high - low + 1)) - 1)) << to
}

fn sign_extend(value: u32, width: u32) -> i32 {
    (value << (32 - width)) as i32 >> (32 - width)
}

/// The register in bits 11..7.
fn reg_full(c: u16) -> u8 {
    bits(c, 11, 7, 0) as u8
}

/// The register in bits 6..2.
fn reg_low(c: u16) -> u8 {
    bits(c, 6, 2, 0) as u8
}

/// x8..x15 in bits 9..7.
fn reg_high_short(c: u16) -> u8 {
    8 + bits(c, 9, 7, 0) as u8
}

/// x8..x15 in bits 4..2.
fn reg_low_short(c: u16) -> u8 {
    8 + bits(c, 4, 2, 0) as u8
}

fn imm6(c: u16) -> i32 {
    sign_extend(bits(c, 12, 12, 5) | bits(c, 6, 2, 0), 6)
}

fn shamt(c: u16) -> i32 {
    (bits(c, 12, 12, 5) | bits(c, 6, 2, 0)) as i32
}

fn offset_word(c: u16) -> i32 {
    (bits(c, 12, 10, 3) | bits(c, 6, 6, 2) | bits(c, 5, 5, 6)) as i32
}

fn offset_double(c: u16) -> i32 {
    (bits(c, 12, 10, 3) | bits(c, 6, 5, 6)) as i32
}

fn offset_jump(c: u16) -> i32 {
    let offset = bits(c, 12, 12, 11)
        | bits(c, 11, 11, 4)
        | bits(c, 10, 9, 8)
        | bits(c, 8, 8, 10)
        | bits(c, 7, 7, 6)
        | bits(c, 6, 6, 7)
        | bits(c, 5, 3, 1)
        | bits(c, 2, 2, 5);
    sign_extend(offset, 12)
}

fn offset_branch(c: u16) -> i32 {
    let offset =
        bits(c, 12, 12, 8) | bits(c, 11, 10, 3) | bits(c, 6, 5, 6) | bits(c, 4, 3, 1) | bits(c, 2, 2, 5);
    sign_extend(offset, 9)
}

fn i_type(op: Op, rd: u8, rs1: u8, imm: i32) -> Insn {
    Insn { op, rd, rs1, imm, ..ILLEGAL }
}

fn s_type(op: Op, rs1: u8, rs2: u8, imm: i32) -> Insn {
    Insn { op, rs1, rs2, imm, ..ILLEGAL }
}

fn r_type(op: Op, rd: u8, rs1: u8, rs2: u8) -> Insn {
    Insn { op, rd, rs1, rs2, ..ILLEGAL }
}

/// What a hart must have for the 16-bit encoding `c`, beside what its expansion needs.
pub fn needs(c: u16) -> Extensions {
    let accesses = c & 0xe003 == 0x8000;
    let arithmetic = c & 0xfc43 == 0x9c41;
    if accesses || arithmetic { Extensions::ZCB } else { Extensions::NONE }
}

/// Expands the 16-bit encoding `c`; a halfword that begins a longer one is illegal here.
pub fn expand(c: u16) -> Insn {
    match c & 3 {
        0 => quadrant_0(c),
        1 => quadrant_1(c),
        2 => quadrant_2(c),
        _ => ILLEGAL,
    }
}

fn quadrant_0(c: u16) -> Insn {
    let (base, data) = (reg_high_short(c), reg_low_short(c));
    match c >> 13 {
        0 => {
            let imm = bits(c, 12, 11, 4) | bits(c, 10, 7, 6) | bits(c, 6, 6, 2) | bits(c, 5, 5, 3);
            if imm == 0 { ILLEGAL } else { i_type(Op::Addi, data, 2, imm as i32) }
        }
        1 => i_type(Op::Fld, data, base, offset_double(c)),
        2 => i_type(Op::Lw, data, base, offset_word(c)),
        3 => i_type(Op::Ld, data, base, offset_double(c)),
        4 => narrow_access(c, base, data),
        5 => s_type(Op::Fsd, base, data, offset_double(c)),
        6 => s_type(Op::Sw, base, data, offset_word(c)),
        7 => s_type(Op::Sd, base, data, offset_double(c)),
        _ => ILLEGAL,
    }
}

/// Of Zcb: a byte or a halfword.
fn narrow_access(c: u16, base: u8, data: u8) -> Insn {
    let byte = (bits(c, 6, 6, 0) | bits(c, 5, 5, 1)) as i32;
    let half = bits(c, 5, 5, 1) as i32;
    match (c >> 10 & 7, c >> 6 & 1) {
        (0, _) => i_type(Op::Lbu, data, base, byte),
        (1, 0) => i_type(Op::Lhu, data, base, half),
        (1, _) => i_type(Op::Lh, data, base, half),
        (2, _) => s_type(Op::Sb, base, data, byte),
        (3, 0) => s_type(Op::Sh, base, data, half),
        _ => ILLEGAL,
    }
}

fn quadrant_1(c: u16) -> Insn {
    let rd = reg_full(c);
    let short = reg_high_short(c);
    match c >> 13 {
        0 => i_type(Op::Addi, rd, rd, imm6(c)),
        1 if rd == 0 => ILLEGAL,
        1 => i_type(Op::Addiw, rd, rd, imm6(c)),
        2 => i_type(Op::Addi, rd, 0, imm6(c)),
        3 if shamt(c) == 0 => ILLEGAL,
        3 if rd == 2 => {
            let imm = bits(c, 12, 12, 9)
                | bits(c, 6, 6, 4)
                | bits(c, 5, 5, 6)
                | bits(c, 4, 3, 7)
                | bits(c, 2, 2, 5);
            i_type(Op::Addi, 2, 2, sign_extend(imm, 10))
        }
        3 => Insn { op: Op::Lui, rd, imm: imm6(c) << 12, ..ILLEGAL },
        4 => arithmetic(c),
        5 => Insn { op: Op::Jal, imm: offset_jump(c), ..ILLEGAL },
        6 => s_type(Op::Beq, short, 0, offset_branch(c)),
        _ => s_type(Op::Bne, short, 0, offset_branch(c)),
    }
}

fn arithmetic(c: u16) -> Insn {
    let rd = reg_high_short(c);
    let both = |op| r_type(op, rd, rd, reg_low_short(c));
    match (c >> 10 & 3, c >> 12 & 1, c >> 5 & 3) {
        (0, _, _) => i_type(Op::Srli, rd, rd, shamt(c)),
        (1, _, _) => i_type(Op::Srai, rd, rd, shamt(c)),
        (2, _, _) => i_type(Op::Andi, rd, rd, imm6(c)),
        (3, 0, 0) => both(Op::Sub),
        (3, 0, 1) => both(Op::Xor),
        (3, 0, 2) => both(Op::Or),
        (3, 0, 3) => both(Op::And),
        (3, 1, 0) => both(Op::Subw),
        (3, 1, 1) => both(Op::Addw),
        (3, 1, 2) => both(Op::Mul),
        (3, 1, 3) => match c >> 2 & 7 {
            0 => i_type(Op::Andi, rd, rd, 0xff),
            1 => i_type(Op::SextB, rd, rd, 0),
            2 => i_type(Op::ZextH, rd, rd, 0),
            3 => i_type(Op::SextH, rd, rd, 0),
            4 => r_type(Op::AddUw, rd, rd, 0),
            5 => i_type(Op::Xori, rd, rd, -1),
            _ => ILLEGAL,
        },
        _ => ILLEGAL,
    }
}

fn quadrant_2(c: u16) -> Insn {
    let (rd, rs2) = (reg_full(c), reg_low(c));
    let load_double = (bits(c, 12, 12, 5) | bits(c, 6, 5, 3) | bits(c, 4, 2, 6)) as i32;
    let load_word = (bits(c, 12, 12, 5) | bits(c, 6, 4, 2) | bits(c, 3, 2, 6)) as i32;
    let store_double = (bits(c, 12, 10, 3) | bits(c, 9, 7, 6)) as i32;
    let store_word = (bits(c, 12, 9, 2) | bits(c, 8, 7, 6)) as i32;
    match (c >> 13, c >> 12 & 1) {
        (0, _) => i_type(Op::Slli, rd, rd, shamt(c)),
        (1, _) => i_type(Op::Fld, rd, 2, load_double),
        (2, _) if rd != 0 => i_type(Op::Lw, rd, 2, load_word),
        (3, _) if rd != 0 => i_type(Op::Ld, rd, 2, load_double),
        (4, 0) if rs2 != 0 => r_type(Op::Add, rd, 0, rs2),
        (4, 0) if rd != 0 => i_type(Op::Jalr, 0, rd, 0),
        (4, 1) if rs2 != 0 => r_type(Op::Add, rd, rd, rs2),
        (4, 1) if rd != 0 => i_type(Op::Jalr, 1, rd, 0),
        (4, 1) => Insn { op: Op::Ebreak, ..ILLEGAL },
        (5, _) => s_type(Op::Fsd, 2, rs2, store_double),
        (6, _) => s_type(Op::Sw, 2, rs2, store_word),
        (7, _) => s_type(Op::Sd, 2, rs2, store_double),
        _ => ILLEGAL,
    }
}

#[cfg(test)]
#[path = "compressed_tests.rs"]
mod tests;
