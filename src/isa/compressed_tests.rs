//! Each expansion against an encoding worked out by the GNU assembler.

use super::*;
use crate::isa::{Extensions, Insn, Op, decode};

fn insn(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Insn {
    Insn { op, rd, rs1, rs2, imm, ..Insn::illegal(2) }
}

#[test]
fn every_halfword_expands_without_panic() {
    let (mut legal, mut zcb) = (0, 0);
    for c in 0..=u16::MAX {
        if c & 3 != 3 {
            let insn = decode(u32::from(c) | 0xdead_0000, Extensions::ALL);
            assert_eq!(insn, expand(c), "{c:04x}");
            assert_eq!(insn.len, 2);
            legal += u32::from(insn.op != Op::Illegal);
            let without = Extensions::ZBA | Extensions::ZBB | Extensions::ZBS | Extensions::ZICOND;
            let plain = decode(c.into(), Extensions::NONE);
            assert_eq!(plain, decode(c.into(), without), "{c:04x}");
            if plain != insn {
                assert_eq!(plain, Insn::illegal(2), "{c:04x}");
                zcb += 1;
            }
        }
    }
    assert_eq!((legal, zcb), (LEGAL_HALFWORDS, ZCB_HALFWORDS));
}

/// Legal halfwords, counted from the tables of the spec:
/// quadrant 0: six full groups of 2^11, `c.addi4spn` less its 8 zero immediates, and of Zcb `c.lbu`, `c.sb` (2^8
/// each), `c.lhu`, `c.lh`, `c.sh` (2^7 each);
/// quadrant 1: seven full groups of 2^11 (`c.addi` … `c.bnez`; less 64 `c.addiw x0`, less
/// 32 `c.lui`/`c.addi16sp` with a zero immediate) and the arithmetic group, less 2 of the 8
/// of Zcb with one register;
/// quadrant 2: eight groups less 64 `c.lwsp x0`, 64 `c.ldsp x0` and `c.jr x0`.
const LEGAL_HALFWORDS: u32 = (6 * 2048 + 2048 - 8 + 2 * 256 + 3 * 128)
    + (7 * 2048 - 64 - 32 + 2048 - 2 * 8)
    + (8 * 2048 - 64 - 64 - 1);
/// Those of Zcb among them.
const ZCB_HALFWORDS: u32 = 2 * 256 + 3 * 128 + 64 + 6 * 8;

#[test]
fn zero_and_the_reserved_forms_are_illegal() {
    for c in [
        0x0000, // all zeros
        0x0004, // c.addi4spn with no immediate
        0x9000, // quadrant 0, group 4, behind c.sh
        0x8c40, // c.sh's neighbour
        0x2001, // c.addiw x0
        0x6001, // c.lui x0, 0
        0x6101, // c.addi16sp 0
        0x6181, // c.lui x3, 0
        0x9c79, // arithmetic, reserved
        0x9c7d, // arithmetic, reserved
        0x4002, // c.lwsp x0
        0x6002, // c.ldsp x0
        0x8002, // c.jr x0
    ] {
        assert_eq!(expand(c).op, Op::Illegal, "{c:04x}");
    }
}

#[test]
fn every_form_expands_to_its_fields() {
    for &(half, text, op, [rd, rs1, rs2], imm) in ASSEMBLED {
        assert_eq!(expand(half), insn(op, rd, rs1, rs2, imm), "{half:04x} {text}");
    }
}

/// Halfword, text, operation, [rd, rs1, rs2], immediate.
#[rustfmt::skip]
const ASSEMBLED: &[(u16, &str, Op, [u8; 3], i32)] = &[
    (0x1fe4, "c.addi4spn x9,sp,1020", Op::Addi, [9, 2, 0], 1020),
    (0x0048, "c.addi4spn x10,sp,4", Op::Addi, [10, 2, 0], 4),
    (0x1528, "c.addi4spn x10,sp,680", Op::Addi, [10, 2, 0], 680),
    (0x3ff0, "c.fld f12,248(x15)", Op::Fld, [12, 15, 0], 248),
    (0x2b30, "c.fld f12,80(x14)", Op::Fld, [12, 14, 0], 80),
    (0x36c0, "c.fld f8,168(x13)", Op::Fld, [8, 13, 0], 168),
    (0x5ff0, "c.lw x12,124(x15)", Op::Lw, [12, 15, 0], 124),
    (0x5510, "c.lw x12,40(x10)", Op::Lw, [12, 10, 0], 40),
    (0x487c, "c.lw x15,84(x8)", Op::Lw, [15, 8, 0], 84),
    (0x7fe4, "c.ld x9,248(x15)", Op::Ld, [9, 15, 0], 248),
    (0x6a2c, "c.ld x11,80(x12)", Op::Ld, [11, 12, 0], 80),
    (0x7540, "c.ld x8,168(x10)", Op::Ld, [8, 10, 0], 168),
    (0xbc78, "c.fsd f14,248(x8)", Op::Fsd, [0, 8, 14], 248),
    (0xaa3c, "c.fsd f15,80(x12)", Op::Fsd, [0, 12, 15], 80),
    (0xb7cc, "c.fsd f11,168(x15)", Op::Fsd, [0, 15, 11], 168),
    (0xdde0, "c.sw x8,124(x11)", Op::Sw, [0, 11, 8], 124),
    (0xd61c, "c.sw x15,40(x12)", Op::Sw, [0, 12, 15], 40),
    (0xca68, "c.sw x10,84(x12)", Op::Sw, [0, 12, 10], 84),
    (0xfff0, "c.sd x12,248(x15)", Op::Sd, [0, 15, 12], 248),
    (0xe8bc, "c.sd x15,80(x9)", Op::Sd, [0, 9, 15], 80),
    (0xf540, "c.sd x8,168(x10)", Op::Sd, [0, 10, 8], 168),
    (0x0001, "c.nop", Op::Addi, [0, 0, 0], 0),
    (0x1281, "c.addi x5,-32", Op::Addi, [5, 5, 0], -32),
    (0x0fd5, "c.addi x31,21", Op::Addi, [31, 31, 0], 21),
    (0x3281, "c.addiw x5,-32", Op::Addiw, [5, 5, 0], -32),
    (0x2301, "c.addiw x6,0", Op::Addiw, [6, 6, 0], 0),
    (0x53d5, "c.li x7,-11", Op::Addi, [7, 0, 0], -11),
    (0x43fd, "c.li x7,31", Op::Addi, [7, 0, 0], 31),
    (0x7101, "c.addi16sp sp,-512", Op::Addi, [2, 2, 0], -512),
    (0x617d, "c.addi16sp sp,496", Op::Addi, [2, 2, 0], 496),
    (0x610d, "c.addi16sp sp,160", Op::Addi, [2, 2, 0], 160),
    (0x7171, "c.addi16sp sp,-176", Op::Addi, [2, 2, 0], -176),
    (0x7181, "c.lui x3,0xfffe0", Op::Lui, [3, 0, 0], -131072),
    (0x6255, "c.lui x4,0x15", Op::Lui, [4, 0, 0], 86016),
    (0x907d, "c.srli x8,63", Op::Srli, [8, 8, 0], 63),
    (0x80d5, "c.srli x9,21", Op::Srli, [9, 9, 0], 21),
    (0x9505, "c.srai x10,33", Op::Srai, [10, 10, 0], 33),
    (0x9981, "c.andi x11,-32", Op::Andi, [11, 11, 0], -32),
    (0x89d5, "c.andi x11,21", Op::Andi, [11, 11, 0], 21),
    (0x8e11, "c.sub x12,x12", Op::Sub, [12, 12, 12], 0),
    (0x8eb1, "c.xor x13,x12", Op::Xor, [13, 13, 12], 0),
    (0x8c5d, "c.or x8,x15", Op::Or, [8, 8, 15], 0),
    (0x8ef5, "c.and x13,x13", Op::And, [13, 13, 13], 0),
    (0x9d01, "c.subw x10,x8", Op::Subw, [10, 10, 8], 0),
    (0x9c31, "c.addw x8,x12", Op::Addw, [8, 8, 12], 0),
    (0xb001, "c.j .+-2048", Op::Jal, [0, 0, 0], -2048),
    (0xaffd, "c.j .+2046", Op::Jal, [0, 0, 0], 2046),
    (0xb46d, "c.j .+-1366", Op::Jal, [0, 0, 0], -1366),
    (0xab91, "c.j .+1364", Op::Jal, [0, 0, 0], 1364),
    (0xd201, "c.beqz x12,.+-256", Op::Beq, [0, 12, 0], -256),
    (0xf281, "c.bnez x13,.+-256", Op::Bne, [0, 13, 0], -256),
    (0xce7d, "c.beqz x12,.+254", Op::Beq, [0, 12, 0], 254),
    (0xeefd, "c.bnez x13,.+254", Op::Bne, [0, 13, 0], 254),
    (0xd64d, "c.beqz x12,.+-86", Op::Beq, [0, 12, 0], -86),
    (0xf6cd, "c.bnez x13,.+-86", Op::Bne, [0, 13, 0], -86),
    (0xca31, "c.beqz x12,.+84", Op::Beq, [0, 12, 0], 84),
    (0xeab1, "c.bnez x13,.+84", Op::Bne, [0, 13, 0], 84),
    (0x1a7e, "c.slli x20,63", Op::Slli, [20, 20, 0], 63),
    (0x0ad6, "c.slli x21,21", Op::Slli, [21, 21, 0], 21),
    (0x397e, "c.fldsp f18,504(sp)", Op::Fld, [18, 2, 0], 504),
    (0x37aa, "c.fldsp f15,168(sp)", Op::Fld, [15, 2, 0], 168),
    (0x2b56, "c.fldsp f22,336(sp)", Op::Fld, [22, 2, 0], 336),
    (0x5f7e, "c.lwsp x30,252(sp)", Op::Lw, [30, 2, 0], 252),
    (0x4256, "c.lwsp x4,84(sp)", Op::Lw, [4, 2, 0], 84),
    (0x5eaa, "c.lwsp x29,168(sp)", Op::Lw, [29, 2, 0], 168),
    (0x7b7e, "c.ldsp x22,504(sp)", Op::Ld, [22, 2, 0], 504),
    (0x792a, "c.ldsp x18,168(sp)", Op::Ld, [18, 2, 0], 168),
    (0x63d6, "c.ldsp x7,336(sp)", Op::Ld, [7, 2, 0], 336),
    (0xbf86, "c.fsdsp f1,504(sp)", Op::Fsd, [0, 2, 1], 504),
    (0xb53a, "c.fsdsp f14,168(sp)", Op::Fsd, [0, 2, 14], 168),
    (0xaae6, "c.fsdsp f25,336(sp)", Op::Fsd, [0, 2, 25], 336),
    (0xdfea, "c.swsp x26,252(sp)", Op::Sw, [0, 2, 26], 252),
    (0xcaba, "c.swsp x14,84(sp)", Op::Sw, [0, 2, 14], 84),
    (0xd552, "c.swsp x20,168(sp)", Op::Sw, [0, 2, 20], 168),
    (0xffce, "c.sdsp x19,504(sp)", Op::Sd, [0, 2, 19], 504),
    (0xf55e, "c.sdsp x23,168(sp)", Op::Sd, [0, 2, 23], 168),
    (0xeade, "c.sdsp x23,336(sp)", Op::Sd, [0, 2, 23], 336),
    (0x8f02, "c.jr x30", Op::Jalr, [0, 30, 0], 0),
    (0x9e82, "c.jalr x29", Op::Jalr, [1, 29, 0], 0),
    (0x8192, "c.mv x3,x4", Op::Add, [3, 0, 4], 0),
    (0x929a, "c.add x5,x6", Op::Add, [5, 5, 6], 0),
    (0x9002, "c.ebreak", Op::Ebreak, [0, 0, 0], 0),
    (0x83e0, "c.lbu x8,3(x15)", Op::Lbu, [8, 15, 0], 3),
    (0x80c8, "c.lbu x10,1(x9)", Op::Lbu, [10, 9, 0], 1),
    (0x832c, "c.lbu x11,2(x14)", Op::Lbu, [11, 14, 0], 2),
    (0x8410, "c.lhu x12,0(x8)", Op::Lhu, [12, 8, 0], 0),
    (0x85b4, "c.lhu x13,2(x11)", Op::Lhu, [13, 11, 0], 2),
    (0x8558, "c.lh x14,0(x10)", Op::Lh, [14, 10, 0], 0),
    (0x867c, "c.lh x15,2(x12)", Op::Lh, [15, 12, 0], 2),
    (0x8ae4, "c.sb x9,3(x13)", Op::Sb, [0, 13, 9], 3),
    (0x8bc8, "c.sb x10,1(x15)", Op::Sb, [0, 15, 10], 1),
    (0x8820, "c.sb x8,2(x8)", Op::Sb, [0, 8, 8], 2),
    (0x8c8c, "c.sh x11,0(x9)", Op::Sh, [0, 9, 11], 0),
    (0x8d38, "c.sh x14,2(x10)", Op::Sh, [0, 10, 14], 2),
    (0x9c61, "c.zext.b x8", Op::Andi, [8, 8, 0], 255),
    (0x9ce5, "c.sext.b x9", Op::SextB, [9, 9, 0], 0),
    (0x9d69, "c.zext.h x10", Op::ZextH, [10, 10, 0], 0),
    (0x9ded, "c.sext.h x11", Op::SextH, [11, 11, 0], 0),
    (0x9e71, "c.zext.w x12", Op::AddUw, [12, 12, 0], 0),
    (0x9ef5, "c.not x13", Op::Xori, [13, 13, 0], -1),
    (0x9f5d, "c.mul x14,x15", Op::Mul, [14, 14, 15], 0),
    (0x9fc1, "c.mul x15,x8", Op::Mul, [15, 15, 8], 0),
];
