//! Decoding of 32-bit words (Unprivileged spec ch. 35, "RV32/64G Instruction Set Listings").
//!
//! Total: every word decodes, the reserved ones to [`Op::Illegal`]. As the spec asks, the reserved
//! fields of `fence` and `fence.i` are ignored. A static rounding mode of 5 or 6 is reserved
//! wherever a rounding mode is encoded, also where the result is always exact.

use super::compressed;
use super::extensions::Extensions;
use super::insn::{Insn, Op};

/// True when the first halfword begins a 32-bit (or longer) encoding.
pub const fn is_wide(half: u16) -> bool {
    half & 3 == 3
}

/// Decodes the instruction at the start of `word` for a hart with `extensions`. When its low two bits are not
/// both set only the low halfword counts, and [`Insn::len`] is 2.
pub fn decode(word: u32, extensions: Extensions) -> Insn {
    let half = word as u16;
    let (insn, encoding) = if is_wide(half) {
        (decode_wide(word), Extensions::NONE)
    } else {
        (compressed::expand(half), compressed::needs(half))
    };
    if extensions.contains(encoding | insn.op.needs()) { insn } else { Insn::illegal(insn.len) }
}

fn rd(w: u32) -> u8 {
    (w >> 7 & 31) as u8
}

fn rs1(w: u32) -> u8 {
    (w >> 15 & 31) as u8
}

fn rs2(w: u32) -> u8 {
    (w >> 20 & 31) as u8
}

fn funct3(w: u32) -> u32 {
    w >> 12 & 7
}

fn funct7(w: u32) -> u32 {
    w >> 25
}

fn imm_i(w: u32) -> i32 {
    w as i32 >> 20
}

fn imm_s(w: u32) -> i32 {
    (w as i32 >> 25 << 5) | (w >> 7 & 31) as i32
}

fn imm_b(w: u32) -> i32 {
    (w as i32 >> 31 << 12) | (w << 4 & 0x800) as i32 | (w >> 20 & 0x7e0) as i32 | (w >> 7 & 0x1e) as i32
}

fn imm_u(w: u32) -> i32 {
    (w & 0xffff_f000) as i32
}

fn imm_j(w: u32) -> i32 {
    (w as i32 >> 31 << 20) | (w & 0xf_f000) as i32 | (w >> 9 & 0x800) as i32 | (w >> 20 & 0x7fe) as i32
}

const ILLEGAL: Insn = Insn::illegal(4);

fn r_type(op: Op, w: u32) -> Insn {
    Insn { op, rd: rd(w), rs1: rs1(w), rs2: rs2(w), ..ILLEGAL }
}

fn i_type(op: Op, w: u32) -> Insn {
    Insn { op, rd: rd(w), rs1: rs1(w), imm: imm_i(w), ..ILLEGAL }
}

fn s_type(op: Op, w: u32) -> Insn {
    Insn { op, rs1: rs1(w), rs2: rs2(w), imm: imm_s(w), ..ILLEGAL }
}

fn decode_wide(w: u32) -> Insn {
    match w >> 2 & 31 {
        0b00000 => load(w),
        0b00001 => load_fp(w),
        0b00011 => misc_mem(w),
        0b00100 => op_imm(w),
        0b00101 => Insn { op: Op::Auipc, rd: rd(w), imm: imm_u(w), ..ILLEGAL },
        0b00110 => op_imm_32(w),
        0b01000 => store(w),
        0b01001 => store_fp(w),
        0b01011 => amo(w),
        0b01100 => op(w),
        0b01101 => Insn { op: Op::Lui, rd: rd(w), imm: imm_u(w), ..ILLEGAL },
        0b01110 => op_32(w),
        0b10000 => fused(w, Op::FmaddS, Op::FmaddD),
        0b10001 => fused(w, Op::FmsubS, Op::FmsubD),
        0b10010 => fused(w, Op::FnmsubS, Op::FnmsubD),
        0b10011 => fused(w, Op::FnmaddS, Op::FnmaddD),
        0b10100 => op_fp(w),
        0b11000 => branch(w),
        0b11001 if funct3(w) == 0 => i_type(Op::Jalr, w),
        0b11011 => Insn { op: Op::Jal, rd: rd(w), imm: imm_j(w), ..ILLEGAL },
        0b11100 => system(w),
        _ => ILLEGAL,
    }
}

fn load(w: u32) -> Insn {
    let op = match funct3(w) {
        0 => Op::Lb,
        1 => Op::Lh,
        2 => Op::Lw,
        3 => Op::Ld,
        4 => Op::Lbu,
        5 => Op::Lhu,
        6 => Op::Lwu,
        _ => return ILLEGAL,
    };
    i_type(op, w)
}

fn load_fp(w: u32) -> Insn {
    match funct3(w) {
        1 => i_type(Op::Flh, w),
        2 => i_type(Op::Flw, w),
        3 => i_type(Op::Fld, w),
        _ => ILLEGAL,
    }
}

fn store(w: u32) -> Insn {
    let op = match funct3(w) {
        0 => Op::Sb,
        1 => Op::Sh,
        2 => Op::Sw,
        3 => Op::Sd,
        _ => return ILLEGAL,
    };
    s_type(op, w)
}

fn store_fp(w: u32) -> Insn {
    match funct3(w) {
        1 => s_type(Op::Fsh, w),
        2 => s_type(Op::Fsw, w),
        3 => s_type(Op::Fsd, w),
        _ => ILLEGAL,
    }
}

fn misc_mem(w: u32) -> Insn {
    match funct3(w) {
        0 => Insn { op: Op::Fence, imm: (w >> 20) as i32, ..ILLEGAL },
        1 => Insn { op: Op::FenceI, ..ILLEGAL },
        2 if rd(w) == 0 => cache_block(w),
        _ => ILLEGAL,
    }
}

fn cache_block(w: u32) -> Insn {
    let op = match w >> 20 {
        0 => Op::CboInval,
        1 => Op::CboClean,
        2 => Op::CboFlush,
        4 => Op::CboZero,
        _ => return ILLEGAL,
    };
    Insn { op, rs1: rs1(w), ..ILLEGAL }
}

/// One source only: the field of `rs2`, or of the immediate, is part of the operation's code.
fn unary(op: Op, w: u32) -> Insn {
    Insn { op, rd: rd(w), rs1: rs1(w), ..ILLEGAL }
}

fn op_imm(w: u32) -> Insn {
    let shift = |op| Insn { op, rd: rd(w), rs1: rs1(w), imm: (w >> 20 & 63) as i32, ..ILLEGAL };
    match (funct3(w), w >> 26) {
        (0, _) => i_type(Op::Addi, w),
        (1, 0) => shift(Op::Slli),
        (2, _) => i_type(Op::Slti, w),
        (3, _) => i_type(Op::Sltiu, w),
        (4, _) => i_type(Op::Xori, w),
        (5, 0) => shift(Op::Srli),
        (5, 0b010000) => shift(Op::Srai),
        (1, 0b001010) => shift(Op::Bseti),
        (1, 0b010010) => shift(Op::Bclri),
        (1, 0b011010) => shift(Op::Binvi),
        (5, 0b010010) => shift(Op::Bexti),
        (1, 0b011000) => match w >> 20 & 63 {
            0 => unary(Op::Clz, w),
            1 => unary(Op::Ctz, w),
            2 => unary(Op::Cpop, w),
            4 => unary(Op::SextB, w),
            5 => unary(Op::SextH, w),
            _ => ILLEGAL,
        },
        (5, 0b011000) => shift(Op::Rori),
        (5, _) if w >> 20 == 0x287 => unary(Op::OrcB, w),
        (5, _) if w >> 20 == 0x6b8 => unary(Op::Rev8, w),
        (6, _) => i_type(Op::Ori, w),
        (7, _) => i_type(Op::Andi, w),
        _ => ILLEGAL,
    }
}

fn op_imm_32(w: u32) -> Insn {
    let shift = |op| Insn { op, rd: rd(w), rs1: rs1(w), imm: (w >> 20 & 31) as i32, ..ILLEGAL };
    match (funct3(w), funct7(w)) {
        (0, _) => i_type(Op::Addiw, w),
        (1, 0) => shift(Op::Slliw),
        (5, 0) => shift(Op::Srliw),
        (5, 0x20) => shift(Op::Sraiw),
        (1, 0x30) => match rs2(w) {
            0 => unary(Op::Clzw, w),
            1 => unary(Op::Ctzw, w),
            2 => unary(Op::Cpopw, w),
            _ => ILLEGAL,
        },
        (1, 4 | 5) => Insn { imm: (w >> 20 & 63) as i32, ..unary(Op::SlliUw, w) },
        (5, 0x30) => shift(Op::Roriw),
        _ => ILLEGAL,
    }
}

fn op(w: u32) -> Insn {
    let op = match (funct7(w), funct3(w)) {
        (0, 0) => Op::Add,
        (0, 1) => Op::Sll,
        (0, 2) => Op::Slt,
        (0, 3) => Op::Sltu,
        (0, 4) => Op::Xor,
        (0, 5) => Op::Srl,
        (0, 6) => Op::Or,
        (0, 7) => Op::And,
        (0x20, 0) => Op::Sub,
        (0x20, 5) => Op::Sra,
        (1, 0) => Op::Mul,
        (1, 1) => Op::Mulh,
        (1, 2) => Op::Mulhsu,
        (1, 3) => Op::Mulhu,
        (1, 4) => Op::Div,
        (1, 5) => Op::Divu,
        (1, 6) => Op::Rem,
        (1, 7) => Op::Remu,
        (0x10, 2) => Op::Sh1add,
        (0x10, 4) => Op::Sh2add,
        (0x10, 6) => Op::Sh3add,
        (0x20, 7) => Op::Andn,
        (0x20, 6) => Op::Orn,
        (0x20, 4) => Op::Xnor,
        (5, 4) => Op::Min,
        (5, 5) => Op::Minu,
        (5, 6) => Op::Max,
        (5, 7) => Op::Maxu,
        (0x30, 1) => Op::Rol,
        (0x30, 5) => Op::Ror,
        (0x24, 1) => Op::Bclr,
        (0x24, 5) => Op::Bext,
        (0x34, 1) => Op::Binv,
        (0x14, 1) => Op::Bset,
        (7, 5) => Op::CzeroEqz,
        (7, 7) => Op::CzeroNez,
        _ => return ILLEGAL,
    };
    r_type(op, w)
}

fn op_32(w: u32) -> Insn {
    let op = match (funct7(w), funct3(w)) {
        (0, 0) => Op::Addw,
        (0, 1) => Op::Sllw,
        (0, 5) => Op::Srlw,
        (0x20, 0) => Op::Subw,
        (0x20, 5) => Op::Sraw,
        (1, 0) => Op::Mulw,
        (1, 4) => Op::Divw,
        (1, 5) => Op::Divuw,
        (1, 6) => Op::Remw,
        (1, 7) => Op::Remuw,
        (4, 0) => Op::AddUw,
        (4, 4) if rs2(w) == 0 => Op::ZextH,
        (0x10, 2) => Op::Sh1addUw,
        (0x10, 4) => Op::Sh2addUw,
        (0x10, 6) => Op::Sh3addUw,
        (0x30, 1) => Op::Rolw,
        (0x30, 5) => Op::Rorw,
        _ => return ILLEGAL,
    };
    r_type(op, w)
}

fn branch(w: u32) -> Insn {
    let op = match funct3(w) {
        0 => Op::Beq,
        1 => Op::Bne,
        4 => Op::Blt,
        5 => Op::Bge,
        6 => Op::Bltu,
        7 => Op::Bgeu,
        _ => return ILLEGAL,
    };
    Insn { op, rs1: rs1(w), rs2: rs2(w), imm: imm_b(w), ..ILLEGAL }
}

fn amo(w: u32) -> Insn {
    let (word, double) = match w >> 27 {
        0b00010 if rs2(w) == 0 => (Op::LrW, Op::LrD),
        0b00011 => (Op::ScW, Op::ScD),
        0b00001 => (Op::AmoswapW, Op::AmoswapD),
        0b00000 => (Op::AmoaddW, Op::AmoaddD),
        0b00100 => (Op::AmoxorW, Op::AmoxorD),
        0b01100 => (Op::AmoandW, Op::AmoandD),
        0b01000 => (Op::AmoorW, Op::AmoorD),
        0b10000 => (Op::AmominW, Op::AmominD),
        0b10100 => (Op::AmomaxW, Op::AmomaxD),
        0b11000 => (Op::AmominuW, Op::AmominuD),
        0b11100 => (Op::AmomaxuW, Op::AmomaxuD),
        _ => return ILLEGAL,
    };
    let op = match funct3(w) {
        2 => word,
        3 => double,
        _ => return ILLEGAL,
    };
    Insn { rm: (w >> 25 & 3) as u8, ..r_type(op, w) }
}

fn system(w: u32) -> Insn {
    let csr = |op| Insn { op, rd: rd(w), rs1: rs1(w), imm: (w >> 20) as i32, ..ILLEGAL };
    match funct3(w) {
        0 => match w {
            0x0000_0073 => Insn { op: Op::Ecall, ..ILLEGAL },
            0x0010_0073 => Insn { op: Op::Ebreak, ..ILLEGAL },
            0x1020_0073 => Insn { op: Op::Sret, ..ILLEGAL },
            0x1050_0073 => Insn { op: Op::Wfi, ..ILLEGAL },
            0x3020_0073 => Insn { op: Op::Mret, ..ILLEGAL },
            _ if funct7(w) == 0b000_1001 && rd(w) == 0 => r_type(Op::SfenceVma, w),
            _ => ILLEGAL,
        },
        1 => csr(Op::Csrrw),
        2 => csr(Op::Csrrs),
        3 => csr(Op::Csrrc),
        5 => csr(Op::Csrrwi),
        6 => csr(Op::Csrrsi),
        7 => csr(Op::Csrrci),
        _ => ILLEGAL,
    }
}

/// An instruction with a rounding mode in `funct3`; 5 and 6 are reserved.
fn rounded(insn: Insn, w: u32) -> Insn {
    match funct3(w) {
        5 | 6 => ILLEGAL,
        rm => Insn { rm: rm as u8, ..insn },
    }
}

fn fused(w: u32, single: Op, double: Op) -> Insn {
    let op = match w >> 25 & 3 {
        0 => single,
        1 => double,
        _ => return ILLEGAL,
    };
    rounded(Insn { rs3: (w >> 27) as u8, ..r_type(op, w) }, w)
}

fn op_fp(w: u32) -> Insn {
    let unary = |op| unary(op, w);
    let constant = |op| Insn { op, rd: rd(w), imm: rs1(w).into(), ..ILLEGAL };
    match (funct7(w), rs2(w), funct3(w)) {
        (0x00, _, _) => rounded(r_type(Op::FaddS, w), w),
        (0x01, _, _) => rounded(r_type(Op::FaddD, w), w),
        (0x04, _, _) => rounded(r_type(Op::FsubS, w), w),
        (0x05, _, _) => rounded(r_type(Op::FsubD, w), w),
        (0x08, _, _) => rounded(r_type(Op::FmulS, w), w),
        (0x09, _, _) => rounded(r_type(Op::FmulD, w), w),
        (0x0c, _, _) => rounded(r_type(Op::FdivS, w), w),
        (0x0d, _, _) => rounded(r_type(Op::FdivD, w), w),
        (0x2c, 0, _) => rounded(unary(Op::FsqrtS), w),
        (0x2d, 0, _) => rounded(unary(Op::FsqrtD), w),
        (0x10, _, 0) => r_type(Op::FsgnjS, w),
        (0x10, _, 1) => r_type(Op::FsgnjnS, w),
        (0x10, _, 2) => r_type(Op::FsgnjxS, w),
        (0x11, _, 0) => r_type(Op::FsgnjD, w),
        (0x11, _, 1) => r_type(Op::FsgnjnD, w),
        (0x11, _, 2) => r_type(Op::FsgnjxD, w),
        (0x14, _, 0) => r_type(Op::FminS, w),
        (0x14, _, 1) => r_type(Op::FmaxS, w),
        (0x15, _, 0) => r_type(Op::FminD, w),
        (0x15, _, 1) => r_type(Op::FmaxD, w),
        (0x14, _, 2) => r_type(Op::FminmS, w),
        (0x14, _, 3) => r_type(Op::FmaxmS, w),
        (0x15, _, 2) => r_type(Op::FminmD, w),
        (0x15, _, 3) => r_type(Op::FmaxmD, w),
        (0x20, 2, _) => rounded(unary(Op::FcvtSH), w),
        (0x20, 4, _) => rounded(unary(Op::FroundS), w),
        (0x20, 5, _) => rounded(unary(Op::FroundnxS), w),
        (0x21, 2, _) => rounded(unary(Op::FcvtDH), w),
        (0x21, 4, _) => rounded(unary(Op::FroundD), w),
        (0x21, 5, _) => rounded(unary(Op::FroundnxD), w),
        (0x22, 0, _) => rounded(unary(Op::FcvtHS), w),
        (0x22, 1, _) => rounded(unary(Op::FcvtHD), w),
        (0x20, 1, _) => rounded(unary(Op::FcvtSD), w),
        (0x21, 0, _) => rounded(unary(Op::FcvtDS), w),
        (0x50, _, 2) => r_type(Op::FeqS, w),
        (0x50, _, 1) => r_type(Op::FltS, w),
        (0x50, _, 0) => r_type(Op::FleS, w),
        (0x50, _, 4) => r_type(Op::FleqS, w),
        (0x50, _, 5) => r_type(Op::FltqS, w),
        (0x51, _, 4) => r_type(Op::FleqD, w),
        (0x51, _, 5) => r_type(Op::FltqD, w),
        (0x51, _, 2) => r_type(Op::FeqD, w),
        (0x51, _, 1) => r_type(Op::FltD, w),
        (0x51, _, 0) => r_type(Op::FleD, w),
        (0x60, 0, _) => rounded(unary(Op::FcvtWS), w),
        (0x60, 1, _) => rounded(unary(Op::FcvtWuS), w),
        (0x60, 2, _) => rounded(unary(Op::FcvtLS), w),
        (0x60, 3, _) => rounded(unary(Op::FcvtLuS), w),
        (0x61, 0, _) => rounded(unary(Op::FcvtWD), w),
        (0x61, 1, _) => rounded(unary(Op::FcvtWuD), w),
        (0x61, 2, _) => rounded(unary(Op::FcvtLD), w),
        (0x61, 3, _) => rounded(unary(Op::FcvtLuD), w),
        // Towards zero, and no other mode.
        (0x61, 8, 1) => unary(Op::FcvtmodWD),
        (0x68, 0, _) => rounded(unary(Op::FcvtSW), w),
        (0x68, 1, _) => rounded(unary(Op::FcvtSWu), w),
        (0x68, 2, _) => rounded(unary(Op::FcvtSL), w),
        (0x68, 3, _) => rounded(unary(Op::FcvtSLu), w),
        (0x69, 0, _) => rounded(unary(Op::FcvtDW), w),
        (0x69, 1, _) => rounded(unary(Op::FcvtDWu), w),
        (0x69, 2, _) => rounded(unary(Op::FcvtDL), w),
        (0x69, 3, _) => rounded(unary(Op::FcvtDLu), w),
        (0x70, 0, 0) => unary(Op::FmvXW),
        (0x70, 0, 1) => unary(Op::FclassS),
        (0x71, 0, 0) => unary(Op::FmvXD),
        (0x71, 0, 1) => unary(Op::FclassD),
        (0x72, 0, 0) => unary(Op::FmvXH),
        (0x78, 1, 0) => constant(Op::FliS),
        (0x79, 1, 0) => constant(Op::FliD),
        (0x7a, 0, 0) => unary(Op::FmvHX),
        (0x78, 0, 0) => unary(Op::FmvWX),
        (0x79, 0, 0) => unary(Op::FmvDX),
        _ => ILLEGAL,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
