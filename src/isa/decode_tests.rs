//! Each encoding against what the GNU assembler makes of its text.

use super::*;
use crate::base::Prng;
use crate::isa::{Extensions, Insn, Op};

#[test]
fn every_instruction_decodes_to_its_fields() {
    for &(word, text, op, [rd, rs1, rs2, rs3, rm], imm) in ASSEMBLED {
        let expected = Insn { op, rd, rs1, rs2, rs3, rm, len: 4, imm };
        assert_eq!(decode(word, Extensions::ALL), expected, "{word:08x} {text}");
    }
}

#[test]
fn a_hart_without_an_extension_takes_its_instructions_as_illegal() {
    let all = [
        Extensions::ZBA,
        Extensions::ZBB,
        Extensions::ZBS,
        Extensions::ZICOND,
        Extensions::ZFHMIN,
        Extensions::ZFA,
    ];
    let mut seen = [0; 6];
    for &(word, text, op, ..) in ASSEMBLED {
        let needs = op.needs();
        if needs == Extensions::NONE {
            assert_eq!(decode(word, Extensions::NONE), decode(word, Extensions::ALL), "{text}");
            continue;
        }
        let others = all.into_iter().filter(|&e| e != needs).fold(Extensions::NONE, |set, e| set | e);
        assert_eq!(decode(word, others), Insn::illegal(4), "{text}");
        assert_eq!(decode(word, needs).op, op, "{text}");
        seen[all.iter().position(|&e| e == needs).unwrap()] += 1;
    }
    assert!(seen.iter().all(|&seen| seen >= 2), "{seen:?}");
}

#[test]
fn any_word_decodes_and_its_fields_stay_in_range() {
    let seed = 0x15a;
    let mut prng = Prng::new(seed);
    for _ in 0..2_000_000 {
        let word = prng.next_u64() as u32;
        let insn = decode(word, Extensions::ALL);
        assert!(insn.rd < 32 && insn.rs1 < 32 && insn.rs2 < 32 && insn.rs3 < 32, "seed {seed} {word:08x}");
        assert!(insn.rm < 8 && matches!(insn.len, 2 | 4), "seed {seed} {word:08x}");
    }
}

#[test]
fn reserved_words_are_illegal() {
    for word in [
        0xffff_ffff, // all ones
        0x0000_007f, // longer than 32 bits
        0x0000_7003, // load, width 7
        0x0000_4023, // store, width 4
        0x0400_1013, // slli by 64
        0x0200_101b, // slliw by 32
        0x0000_2063, // branch, funct3 2
        0x0000_1067, // jalr, funct3 1
        0x0000_4007, // flq
        0x1010_202f, // lr.w with rs2
        0x3030_0073, // mret with another rs2
        0x0000_4073, // system, funct3 4
        0x1200_00f3, // sfence.vma with rd
        0x0000_5053, // fadd.s, rounding mode 5
        0x0000_6053, // fadd.s, rounding mode 6
        0x0400_0053, // fadd.h
        0x5820_0053, // fsqrt.s with rs2
        0x6030_1013, // between cpop and sext.b
        0x6030_101b, // behind cpopw
        0x2860_5013, // beside orc.b (gorci)
        0x6b00_5013, // beside rev8
        0x0810_403b, // zext.h with rs2 (packw)
        0x0800_4033, // zext.h as RV32 has it (pack)
        0x0a00_1033, // clmul (Zbc)
        0x0e00_4033, // between czero.eqz and czero.nez
        0x6200_101b, // roriw's bit 5, to the left
        0x6200_501b, // roriw by 32
        0x4420_0053, // fcvt.h.h
        0x4060_0053, // behind froundnx.s
        0x4040_5053, // fround.s, rounding mode 5
        0xc280_0053, // fcvtmod.w.d with a mode that is not rtz
        0xc080_1053, // fcvtmod.w.s
        0xf020_0053, // behind fli.s
        0xf010_1053, // fli.s, funct3 1
        0xe210_0053, // fmvh.x.d, of RV32
        0xe420_0053, // behind fmv.x.h
        0x2800_4053, // behind fmaxm.s
        0xa000_6053, // behind fltq.s
        0x0400_0043, // fmadd.h
    ] {
        assert_eq!(decode(word, Extensions::ALL).op, Op::Illegal, "{word:08x}");
    }
}

/// Word, text, operation, [rd, rs1, rs2, rs3, rm], immediate.
#[rustfmt::skip]
const ASSEMBLED: &[(u32, &str, Op, [u8; 5], i32)] = &[
    (0x01848a33, "add x20,x9,x24", Op::Add, [20, 9, 24, 0, 0], 0),
    (0x417d0633, "sub x12,x26,x23", Op::Sub, [12, 26, 23, 0, 0], 0),
    (0x018d9fb3, "sll x31,x27,x24", Op::Sll, [31, 27, 24, 0, 0], 0),
    (0x011f2ab3, "slt x21,x30,x17", Op::Slt, [21, 30, 17, 0, 0], 0),
    (0x00fdb0b3, "sltu x1,x27,x15", Op::Sltu, [1, 27, 15, 0, 0], 0),
    (0x008fccb3, "xor x25,x31,x8", Op::Xor, [25, 31, 8, 0, 0], 0),
    (0x01d15ab3, "srl x21,x2,x29", Op::Srl, [21, 2, 29, 0, 0], 0),
    (0x40c25333, "sra x6,x4,x12", Op::Sra, [6, 4, 12, 0, 0], 0),
    (0x008e6833, "or x16,x28,x8", Op::Or, [16, 28, 8, 0, 0], 0),
    (0x004976b3, "and x13,x18,x4", Op::And, [13, 18, 4, 0, 0], 0),
    (0x001409bb, "addw x19,x8,x1", Op::Addw, [19, 8, 1, 0, 0], 0),
    (0x40e38c3b, "subw x24,x7,x14", Op::Subw, [24, 7, 14, 0, 0], 0),
    (0x01e314bb, "sllw x9,x6,x30", Op::Sllw, [9, 6, 30, 0, 0], 0),
    (0x00dcde3b, "srlw x28,x25,x13", Op::Srlw, [28, 25, 13, 0, 0], 0),
    (0x41acd33b, "sraw x6,x25,x26", Op::Sraw, [6, 25, 26, 0, 0], 0),
    (0x034281b3, "mul x3,x5,x20", Op::Mul, [3, 5, 20, 0, 0], 0),
    (0x02579a33, "mulh x20,x15,x5", Op::Mulh, [20, 15, 5, 0, 0], 0),
    (0x03c0a2b3, "mulhsu x5,x1,x28", Op::Mulhsu, [5, 1, 28, 0, 0], 0),
    (0x0393b0b3, "mulhu x1,x7,x25", Op::Mulhu, [1, 7, 25, 0, 0], 0),
    (0x026fc3b3, "div x7,x31,x6", Op::Div, [7, 31, 6, 0, 0], 0),
    (0x02a35e33, "divu x28,x6,x10", Op::Divu, [28, 6, 10, 0, 0], 0),
    (0x027fe5b3, "rem x11,x31,x7", Op::Rem, [11, 31, 7, 0, 0], 0),
    (0x036ef933, "remu x18,x29,x22", Op::Remu, [18, 29, 22, 0, 0], 0),
    (0x02638abb, "mulw x21,x7,x6", Op::Mulw, [21, 7, 6, 0, 0], 0),
    (0x037fcfbb, "divw x31,x31,x23", Op::Divw, [31, 31, 23, 0, 0], 0),
    (0x03ffd3bb, "divuw x7,x31,x31", Op::Divuw, [7, 31, 31, 0, 0], 0),
    (0x02a6eebb, "remw x29,x13,x10", Op::Remw, [29, 13, 10, 0, 0], 0),
    (0x02e670bb, "remuw x1,x12,x14", Op::Remuw, [1, 12, 14, 0, 0], 0),
    (0x800f0313, "addi x6,x30,-2048", Op::Addi, [6, 30, 0, 0, 0], -2048),
    (0x7ff48293, "addi x5,x9,2047", Op::Addi, [5, 9, 0, 0, 0], 2047),
    (0xffd58193, "addi x3,x11,-3", Op::Addi, [3, 11, 0, 0, 0], -3),
    (0x800da513, "slti x10,x27,-2048", Op::Slti, [10, 27, 0, 0, 0], -2048),
    (0x7ff9aa13, "slti x20,x19,2047", Op::Slti, [20, 19, 0, 0, 0], 2047),
    (0xffda2093, "slti x1,x20,-3", Op::Slti, [1, 20, 0, 0, 0], -3),
    (0x800bbb13, "sltiu x22,x23,-2048", Op::Sltiu, [22, 23, 0, 0, 0], -2048),
    (0x7ff1b593, "sltiu x11,x3,2047", Op::Sltiu, [11, 3, 0, 0, 0], 2047),
    (0xffd63513, "sltiu x10,x12,-3", Op::Sltiu, [10, 12, 0, 0, 0], -3),
    (0x80054d93, "xori x27,x10,-2048", Op::Xori, [27, 10, 0, 0, 0], -2048),
    (0x7ffbc813, "xori x16,x23,2047", Op::Xori, [16, 23, 0, 0, 0], 2047),
    (0xffd34593, "xori x11,x6,-3", Op::Xori, [11, 6, 0, 0, 0], -3),
    (0x80086813, "ori x16,x16,-2048", Op::Ori, [16, 16, 0, 0, 0], -2048),
    (0x7ff36b93, "ori x23,x6,2047", Op::Ori, [23, 6, 0, 0, 0], 2047),
    (0xffd4e113, "ori x2,x9,-3", Op::Ori, [2, 9, 0, 0, 0], -3),
    (0x8000ff93, "andi x31,x1,-2048", Op::Andi, [31, 1, 0, 0, 0], -2048),
    (0x7ffc7f93, "andi x31,x24,2047", Op::Andi, [31, 24, 0, 0, 0], 2047),
    (0xffde7613, "andi x12,x28,-3", Op::Andi, [12, 28, 0, 0, 0], -3),
    (0x8000869b, "addiw x13,x1,-2048", Op::Addiw, [13, 1, 0, 0, 0], -2048),
    (0x7ffd091b, "addiw x18,x26,2047", Op::Addiw, [18, 26, 0, 0, 0], 2047),
    (0xffd6071b, "addiw x14,x12,-3", Op::Addiw, [14, 12, 0, 0, 0], -3),
    (0x00199693, "slli x13,x19,1", Op::Slli, [13, 19, 0, 0, 0], 1),
    (0x02109d93, "slli x27,x1,33", Op::Slli, [27, 1, 0, 0, 0], 33),
    (0x03f11793, "slli x15,x2,63", Op::Slli, [15, 2, 0, 0, 0], 63),
    (0x00135b93, "srli x23,x6,1", Op::Srli, [23, 6, 0, 0, 0], 1),
    (0x021fda13, "srli x20,x31,33", Op::Srli, [20, 31, 0, 0, 0], 33),
    (0x03f3df93, "srli x31,x7,63", Op::Srli, [31, 7, 0, 0, 0], 63),
    (0x401cd213, "srai x4,x25,1", Op::Srai, [4, 25, 0, 0, 0], 1),
    (0x421f5413, "srai x8,x30,33", Op::Srai, [8, 30, 0, 0, 0], 33),
    (0x43ffdd93, "srai x27,x31,63", Op::Srai, [27, 31, 0, 0, 0], 63),
    (0x0016179b, "slliw x15,x12,1", Op::Slliw, [15, 12, 0, 0, 0], 1),
    (0x01f6189b, "slliw x17,x12,31", Op::Slliw, [17, 12, 0, 0, 0], 31),
    (0x0018de9b, "srliw x29,x17,1", Op::Srliw, [29, 17, 0, 0, 0], 1),
    (0x01fcd49b, "srliw x9,x25,31", Op::Srliw, [9, 25, 0, 0, 0], 31),
    (0x4012579b, "sraiw x15,x4,1", Op::Sraiw, [15, 4, 0, 0, 0], 1),
    (0x41fc599b, "sraiw x19,x24,31", Op::Sraiw, [19, 24, 0, 0, 0], 31),
    (0x800d0c83, "lb x25,-2048(x26)", Op::Lb, [25, 26, 0, 0, 0], -2048),
    (0x7ffe0603, "lb x12,2047(x28)", Op::Lb, [12, 28, 0, 0, 0], 2047),
    (0x80011503, "lh x10,-2048(x2)", Op::Lh, [10, 2, 0, 0, 0], -2048),
    (0x7fff9703, "lh x14,2047(x31)", Op::Lh, [14, 31, 0, 0, 0], 2047),
    (0x8003a183, "lw x3,-2048(x7)", Op::Lw, [3, 7, 0, 0, 0], -2048),
    (0x7ff8a583, "lw x11,2047(x17)", Op::Lw, [11, 17, 0, 0, 0], 2047),
    (0x80063a03, "ld x20,-2048(x12)", Op::Ld, [20, 12, 0, 0, 0], -2048),
    (0x7ff2bf03, "ld x30,2047(x5)", Op::Ld, [30, 5, 0, 0, 0], 2047),
    (0x8004c583, "lbu x11,-2048(x9)", Op::Lbu, [11, 9, 0, 0, 0], -2048),
    (0x7ffbcf03, "lbu x30,2047(x23)", Op::Lbu, [30, 23, 0, 0, 0], 2047),
    (0x8001d903, "lhu x18,-2048(x3)", Op::Lhu, [18, 3, 0, 0, 0], -2048),
    (0x7ffb5503, "lhu x10,2047(x22)", Op::Lhu, [10, 22, 0, 0, 0], 2047),
    (0x80056583, "lwu x11,-2048(x10)", Op::Lwu, [11, 10, 0, 0, 0], -2048),
    (0x7ffd6303, "lwu x6,2047(x26)", Op::Lwu, [6, 26, 0, 0, 0], 2047),
    (0x800aa187, "flw f3,-2048(x21)", Op::Flw, [3, 21, 0, 0, 0], -2048),
    (0x7ffc2287, "flw f5,2047(x24)", Op::Flw, [5, 24, 0, 0, 0], 2047),
    (0x80053b87, "fld f23,-2048(x10)", Op::Fld, [23, 10, 0, 0, 0], -2048),
    (0x7ff33807, "fld f16,2047(x6)", Op::Fld, [16, 6, 0, 0, 0], 2047),
    (0x81810023, "sb x24,-2048(x2)", Op::Sb, [0, 2, 24, 0, 0], -2048),
    (0x7e3a0fa3, "sb x3,2047(x20)", Op::Sb, [0, 20, 3, 0, 0], 2047),
    (0xab2f0523, "sb x18,-1366(x30)", Op::Sb, [0, 30, 18, 0, 0], -1366),
    (0x54d10aa3, "sb x13,1365(x2)", Op::Sb, [0, 2, 13, 0, 0], 1365),
    (0x808c1023, "sh x8,-2048(x24)", Op::Sh, [0, 24, 8, 0, 0], -2048),
    (0x7f461fa3, "sh x20,2047(x12)", Op::Sh, [0, 12, 20, 0, 0], 2047),
    (0xabb49523, "sh x27,-1366(x9)", Op::Sh, [0, 9, 27, 0, 0], -1366),
    (0x54fa9aa3, "sh x15,1365(x21)", Op::Sh, [0, 21, 15, 0, 0], 1365),
    (0x80e2a023, "sw x14,-2048(x5)", Op::Sw, [0, 5, 14, 0, 0], -2048),
    (0x7e2f2fa3, "sw x2,2047(x30)", Op::Sw, [0, 30, 2, 0, 0], 2047),
    (0xab512523, "sw x21,-1366(x2)", Op::Sw, [0, 2, 21, 0, 0], -1366),
    (0x55a82aa3, "sw x26,1365(x16)", Op::Sw, [0, 16, 26, 0, 0], 1365),
    (0x80bdb023, "sd x11,-2048(x27)", Op::Sd, [0, 27, 11, 0, 0], -2048),
    (0x7e72bfa3, "sd x7,2047(x5)", Op::Sd, [0, 5, 7, 0, 0], 2047),
    (0xab89b523, "sd x24,-1366(x19)", Op::Sd, [0, 19, 24, 0, 0], -1366),
    (0x55f2baa3, "sd x31,1365(x5)", Op::Sd, [0, 5, 31, 0, 0], 1365),
    (0x815ea027, "fsw f21,-2048(x29)", Op::Fsw, [0, 29, 21, 0, 0], -2048),
    (0x7fa72fa7, "fsw f26,2047(x14)", Op::Fsw, [0, 14, 26, 0, 0], 2047),
    (0xaa432527, "fsw f4,-1366(x6)", Op::Fsw, [0, 6, 4, 0, 0], -1366),
    (0x54e62aa7, "fsw f14,1365(x12)", Op::Fsw, [0, 12, 14, 0, 0], 1365),
    (0x80513027, "fsd f5,-2048(x2)", Op::Fsd, [0, 2, 5, 0, 0], -2048),
    (0x7fc73fa7, "fsd f28,2047(x14)", Op::Fsd, [0, 14, 28, 0, 0], 2047),
    (0xaaa2b527, "fsd f10,-1366(x5)", Op::Fsd, [0, 5, 10, 0, 0], -1366),
    (0x54ff3aa7, "fsd f15,1365(x30)", Op::Fsd, [0, 30, 15, 0, 0], 1365),
    (0x81ca0063, "beq x20,x28,.+-4096", Op::Beq, [0, 20, 28, 0, 0], -4096),
    (0x7f130fe3, "beq x6,x17,.+4094", Op::Beq, [0, 6, 17, 0, 0], 4094),
    (0xabf785e3, "beq x15,x31,.+-1366", Op::Beq, [0, 15, 31, 0, 0], -1366),
    (0x2b7805e3, "beq x16,x23,.+2730", Op::Beq, [0, 16, 23, 0, 0], 2730),
    (0x80bc1063, "bne x24,x11,.+-4096", Op::Bne, [0, 24, 11, 0, 0], -4096),
    (0x7e981fe3, "bne x16,x9,.+4094", Op::Bne, [0, 16, 9, 0, 0], 4094),
    (0xab0515e3, "bne x10,x16,.+-1366", Op::Bne, [0, 10, 16, 0, 0], -1366),
    (0x2bd695e3, "bne x13,x29,.+2730", Op::Bne, [0, 13, 29, 0, 0], 2730),
    (0x8042c063, "blt x5,x4,.+-4096", Op::Blt, [0, 5, 4, 0, 0], -4096),
    (0x7fb6cfe3, "blt x13,x27,.+4094", Op::Blt, [0, 13, 27, 0, 0], 4094),
    (0xabf945e3, "blt x18,x31,.+-1366", Op::Blt, [0, 18, 31, 0, 0], -1366),
    (0x2b5345e3, "blt x6,x21,.+2730", Op::Blt, [0, 6, 21, 0, 0], 2730),
    (0x810f5063, "bge x30,x16,.+-4096", Op::Bge, [0, 30, 16, 0, 0], -4096),
    (0x7ebe5fe3, "bge x28,x11,.+4094", Op::Bge, [0, 28, 11, 0, 0], 4094),
    (0xaa3355e3, "bge x6,x3,.+-1366", Op::Bge, [0, 6, 3, 0, 0], -1366),
    (0x2a9855e3, "bge x16,x9,.+2730", Op::Bge, [0, 16, 9, 0, 0], 2730),
    (0x81a8e063, "bltu x17,x26,.+-4096", Op::Bltu, [0, 17, 26, 0, 0], -4096),
    (0x7fc96fe3, "bltu x18,x28,.+4094", Op::Bltu, [0, 18, 28, 0, 0], 4094),
    (0xaac8e5e3, "bltu x17,x12,.+-1366", Op::Bltu, [0, 17, 12, 0, 0], -1366),
    (0x2ba1e5e3, "bltu x3,x26,.+2730", Op::Bltu, [0, 3, 26, 0, 0], 2730),
    (0x819d7063, "bgeu x26,x25,.+-4096", Op::Bgeu, [0, 26, 25, 0, 0], -4096),
    (0x7f767fe3, "bgeu x12,x23,.+4094", Op::Bgeu, [0, 12, 23, 0, 0], 4094),
    (0xab69f5e3, "bgeu x19,x22,.+-1366", Op::Bgeu, [0, 19, 22, 0, 0], -1366),
    (0x2b9175e3, "bgeu x2,x25,.+2730", Op::Bgeu, [0, 2, 25, 0, 0], 2730),
    (0x800000ef, "jal x1,.+-1048576", Op::Jal, [1, 0, 0, 0, 0], -1048576),
    (0x7ffff0ef, "jal x1,.+1048574", Op::Jal, [1, 0, 0, 0, 0], 1048574),
    (0xd56550ef, "jal x1,.+-699050", Op::Jal, [1, 0, 0, 0, 0], -699050),
    (0x2abaa0ef, "jal x1,.+699050", Op::Jal, [1, 0, 0, 0, 0], 699050),
    (0xff9302e7, "jalr x5,-7(x6)", Op::Jalr, [5, 6, 0, 0, 0], -7),
    (0x800003b7, "lui x7,0x80000", Op::Lui, [7, 0, 0, 0, 0], -2147483648),
    (0x12345437, "lui x8,0x12345", Op::Lui, [8, 0, 0, 0, 0], 305418240),
    (0x80000397, "auipc x7,0x80000", Op::Auipc, [7, 0, 0, 0, 0], -2147483648),
    (0x12345417, "auipc x8,0x12345", Op::Auipc, [8, 0, 0, 0, 0], 305418240),
    (0x0310000f, "fence rw,w", Op::Fence, [0, 0, 0, 0, 0], 49),
    (0x8330000f, "fence.tso", Op::Fence, [0, 0, 0, 0, 0], 2099),
    (0x0000100f, "fence.i", Op::FenceI, [0, 0, 0, 0, 0], 0),
    (0x00000073, "ecall", Op::Ecall, [0, 0, 0, 0, 0], 0),
    (0x00100073, "ebreak", Op::Ebreak, [0, 0, 0, 0, 0], 0),
    (0x30200073, "mret", Op::Mret, [0, 0, 0, 0, 0], 0),
    (0x10200073, "sret", Op::Sret, [0, 0, 0, 0, 0], 0),
    (0x10500073, "wfi", Op::Wfi, [0, 0, 0, 0, 0], 0),
    (0x12418073, "sfence.vma x3,x4", Op::SfenceVma, [0, 3, 4, 0, 0], 0),
    (0xcc061573, "csrrw x10,0xcc0,x12", Op::Csrrw, [10, 12, 0, 0, 0], 3264),
    (0xcc0ba973, "csrrs x18,0xcc0,x23", Op::Csrrs, [18, 23, 0, 0, 0], 3264),
    (0xcc04bb73, "csrrc x22,0xcc0,x9", Op::Csrrc, [22, 9, 0, 0, 0], 3264),
    (0x30585df3, "csrrwi x27,0x305,16", Op::Csrrwi, [27, 16, 0, 0, 0], 773),
    (0x305ce4f3, "csrrsi x9,0x305,25", Op::Csrrsi, [9, 25, 0, 0, 0], 773),
    (0x305bfbf3, "csrrci x23,0x305,23", Op::Csrrci, [23, 23, 0, 0, 0], 773),
    (0x140221af, "lr.w.aq x3,(x4)", Op::LrW, [3, 4, 0, 0, 2], 0),
    (0x19ffa52f, "sc.w x10,x31,(x31)", Op::ScW, [10, 31, 31, 0, 0], 0),
    (0x0a6aa5af, "amoswap.w.rl x11,x6,(x21)", Op::AmoswapW, [11, 21, 6, 0, 1], 0),
    (0x041e29af, "amoadd.w.aq x19,x1,(x28)", Op::AmoaddW, [19, 28, 1, 0, 2], 0),
    (0x2799282f, "amoxor.w.aqrl x16,x25,(x18)", Op::AmoxorW, [16, 18, 25, 0, 3], 0),
    (0x6165a4af, "amoand.w x9,x22,(x11)", Op::AmoandW, [9, 11, 22, 0, 0], 0),
    (0x42a7a4af, "amoor.w.rl x9,x10,(x15)", Op::AmoorW, [9, 15, 10, 0, 1], 0),
    (0x8558adaf, "amomin.w.aq x27,x21,(x17)", Op::AmominW, [27, 17, 21, 0, 2], 0),
    (0xa6cd2b2f, "amomax.w.aqrl x22,x12,(x26)", Op::AmomaxW, [22, 26, 12, 0, 3], 0),
    (0xc154a62f, "amominu.w x12,x21,(x9)", Op::AmominuW, [12, 9, 21, 0, 0], 0),
    (0xe3fc262f, "amomaxu.w.rl x12,x31,(x24)", Op::AmomaxuW, [12, 24, 31, 0, 1], 0),
    (0x140231af, "lr.d.aq x3,(x4)", Op::LrD, [3, 4, 0, 0, 2], 0),
    (0x18c73daf, "sc.d x27,x12,(x14)", Op::ScD, [27, 14, 12, 0, 0], 0),
    (0x0a6dbf2f, "amoswap.d.rl x30,x6,(x27)", Op::AmoswapD, [30, 27, 6, 0, 1], 0),
    (0x057e3e2f, "amoadd.d.aq x28,x23,(x28)", Op::AmoaddD, [28, 28, 23, 0, 2], 0),
    (0x27f637af, "amoxor.d.aqrl x15,x31,(x12)", Op::AmoxorD, [15, 12, 31, 0, 3], 0),
    (0x6058b5af, "amoand.d x11,x5,(x17)", Op::AmoandD, [11, 17, 5, 0, 0], 0),
    (0x427338af, "amoor.d.rl x17,x7,(x6)", Op::AmoorD, [17, 6, 7, 0, 1], 0),
    (0x85e63daf, "amomin.d.aq x27,x30,(x12)", Op::AmominD, [27, 12, 30, 0, 2], 0),
    (0xa6a83e2f, "amomax.d.aqrl x28,x10,(x16)", Op::AmomaxD, [28, 16, 10, 0, 3], 0),
    (0xc181bbaf, "amominu.d x23,x24,(x3)", Op::AmominuD, [23, 3, 24, 0, 0], 0),
    (0xe2ec3b2f, "amomaxu.d.rl x22,x14,(x24)", Op::AmomaxuD, [22, 24, 14, 0, 1], 0),
    (0xf19a0343, "fmadd.s f6,f20,f25,f30,rne", Op::FmaddS, [6, 20, 25, 30, 0], 0),
    (0xf16899c7, "fmsub.s f19,f17,f22,f30,rtz", Op::FmsubS, [19, 17, 22, 30, 1], 0),
    (0x9145274b, "fnmsub.s f14,f10,f20,f18,rdn", Op::FnmsubS, [14, 10, 20, 18, 2], 0),
    (0x495e3ccf, "fnmadd.s f25,f28,f21,f9,rup", Op::FnmaddS, [25, 28, 21, 9, 3], 0),
    (0x0070cc53, "fadd.s f24,f1,f7,rmm", Op::FaddS, [24, 1, 7, 0, 4], 0),
    (0x08f9f353, "fsub.s f6,f19,f15,dyn", Op::FsubS, [6, 19, 15, 0, 7], 0),
    (0x106a8a53, "fmul.s f20,f21,f6,rne", Op::FmulS, [20, 21, 6, 0, 0], 0),
    (0x196c9453, "fdiv.s f8,f25,f22,rtz", Op::FdivS, [8, 25, 22, 0, 1], 0),
    (0x580ab353, "fsqrt.s f6,f21,rup", Op::FsqrtS, [6, 21, 0, 0, 3], 0),
    (0x21010bd3, "fsgnj.s f23,f2,f16", Op::FsgnjS, [23, 2, 16, 0, 0], 0),
    (0x20231453, "fsgnjn.s f8,f6,f2", Op::FsgnjnS, [8, 6, 2, 0, 0], 0),
    (0x2042aed3, "fsgnjx.s f29,f5,f4", Op::FsgnjxS, [29, 5, 4, 0, 0], 0),
    (0x286f85d3, "fmin.s f11,f31,f6", Op::FminS, [11, 31, 6, 0, 0], 0),
    (0x29239853, "fmax.s f16,f7,f18", Op::FmaxS, [16, 7, 18, 0, 0], 0),
    (0xa0f72153, "feq.s x2,f14,f15", Op::FeqS, [2, 14, 15, 0, 0], 0),
    (0xa1669653, "flt.s x12,f13,f22", Op::FltS, [12, 13, 22, 0, 0], 0),
    (0xa1318a53, "fle.s x20,f3,f19", Op::FleS, [20, 3, 19, 0, 0], 0),
    (0xe00413d3, "fclass.s x7,f8", Op::FclassS, [7, 8, 0, 0, 0], 0),
    (0xc00e9bd3, "fcvt.w.s x23,f29,rtz", Op::FcvtWS, [23, 29, 0, 0, 1], 0),
    (0xd000a653, "fcvt.s.w f12,x1,rdn", Op::FcvtSW, [12, 1, 0, 0, 2], 0),
    (0xc0169653, "fcvt.wu.s x12,f13,rtz", Op::FcvtWuS, [12, 13, 0, 0, 1], 0),
    (0xd014afd3, "fcvt.s.wu f31,x9,rdn", Op::FcvtSWu, [31, 9, 0, 0, 2], 0),
    (0xc0271e53, "fcvt.l.s x28,f14,rtz", Op::FcvtLS, [28, 14, 0, 0, 1], 0),
    (0xd0222e53, "fcvt.s.l f28,x4,rdn", Op::FcvtSL, [28, 4, 0, 0, 2], 0),
    (0xc03d9bd3, "fcvt.lu.s x23,f27,rtz", Op::FcvtLuS, [23, 27, 0, 0, 1], 0),
    (0xd0362953, "fcvt.s.lu f18,x12,rdn", Op::FcvtSLu, [18, 12, 0, 0, 2], 0),
    (0xa3210fc3, "fmadd.d f31,f2,f18,f20,rne", Op::FmaddD, [31, 2, 18, 20, 0], 0),
    (0x92a21547, "fmsub.d f10,f4,f10,f18,rtz", Op::FmsubD, [10, 4, 10, 18, 1], 0),
    (0x9bf5a8cb, "fnmsub.d f17,f11,f31,f19,rdn", Op::FnmsubD, [17, 11, 31, 19, 2], 0),
    (0xdacfb54f, "fnmadd.d f10,f31,f12,f27,rup", Op::FnmaddD, [10, 31, 12, 27, 3], 0),
    (0x02e742d3, "fadd.d f5,f14,f14,rmm", Op::FaddD, [5, 14, 14, 0, 4], 0),
    (0x0b59fdd3, "fsub.d f27,f19,f21,dyn", Op::FsubD, [27, 19, 21, 0, 7], 0),
    (0x12f60953, "fmul.d f18,f12,f15,rne", Op::FmulD, [18, 12, 15, 0, 0], 0),
    (0x1b4312d3, "fdiv.d f5,f6,f20,rtz", Op::FdivD, [5, 6, 20, 0, 1], 0),
    (0x5a09b6d3, "fsqrt.d f13,f19,rup", Op::FsqrtD, [13, 19, 0, 0, 3], 0),
    (0x227f8853, "fsgnj.d f16,f31,f7", Op::FsgnjD, [16, 31, 7, 0, 0], 0),
    (0x23429fd3, "fsgnjn.d f31,f5,f20", Op::FsgnjnD, [31, 5, 20, 0, 0], 0),
    (0x23b621d3, "fsgnjx.d f3,f12,f27", Op::FsgnjxD, [3, 12, 27, 0, 0], 0),
    (0x2a1b0ed3, "fmin.d f29,f22,f1", Op::FminD, [29, 22, 1, 0, 0], 0),
    (0x2ab216d3, "fmax.d f13,f4,f11", Op::FmaxD, [13, 4, 11, 0, 0], 0),
    (0xa34f29d3, "feq.d x19,f30,f20", Op::FeqD, [19, 30, 20, 0, 0], 0),
    (0xa2b29953, "flt.d x18,f5,f11", Op::FltD, [18, 5, 11, 0, 0], 0),
    (0xa3de8ad3, "fle.d x21,f29,f29", Op::FleD, [21, 29, 29, 0, 0], 0),
    (0xe20699d3, "fclass.d x19,f13", Op::FclassD, [19, 13, 0, 0, 0], 0),
    (0xc2071753, "fcvt.w.d x14,f14,rtz", Op::FcvtWD, [14, 14, 0, 0, 1], 0),
    (0xd2080453, "fcvt.d.w f8,x16", Op::FcvtDW, [8, 16, 0, 0, 0], 0),
    (0xc2181553, "fcvt.wu.d x10,f16,rtz", Op::FcvtWuD, [10, 16, 0, 0, 1], 0),
    (0xd2168bd3, "fcvt.d.wu f23,x13", Op::FcvtDWu, [23, 13, 0, 0, 0], 0),
    (0xc22f96d3, "fcvt.l.d x13,f31,rtz", Op::FcvtLD, [13, 31, 0, 0, 1], 0),
    (0xd22f2e53, "fcvt.d.l f28,x30,rdn", Op::FcvtDL, [28, 30, 0, 0, 2], 0),
    (0xc23a1353, "fcvt.lu.d x6,f20,rtz", Op::FcvtLuD, [6, 20, 0, 0, 1], 0),
    (0xd234aa53, "fcvt.d.lu f20,x9,rdn", Op::FcvtDLu, [20, 9, 0, 0, 2], 0),
    (0x401241d3, "fcvt.s.d f3,f4,rmm", Op::FcvtSD, [3, 4, 0, 0, 4], 0),
    (0x420302d3, "fcvt.d.s f5,f6", Op::FcvtDS, [5, 6, 0, 0, 0], 0),
    (0xe00201d3, "fmv.x.w x3,f4", Op::FmvXW, [3, 4, 0, 0, 0], 0),
    (0xf00201d3, "fmv.w.x f3,x4", Op::FmvWX, [3, 4, 0, 0, 0], 0),
    (0xe20201d3, "fmv.x.d x3,f4", Op::FmvXD, [3, 4, 0, 0, 0], 0),
    (0xf20201d3, "fmv.d.x f3,x4", Op::FmvDX, [3, 4, 0, 0, 0], 0),
    (0x092e07bb, "add.uw x15,x28,x18", Op::AddUw, [15, 28, 18, 0, 0], 0),
    (0x219f2e33, "sh1add x28,x30,x25", Op::Sh1add, [28, 30, 25, 0, 0], 0),
    (0x2117c7b3, "sh2add x15,x15,x17", Op::Sh2add, [15, 15, 17, 0, 0], 0),
    (0x2079ee33, "sh3add x28,x19,x7", Op::Sh3add, [28, 19, 7, 0, 0], 0),
    (0x211d233b, "sh1add.uw x6,x26,x17", Op::Sh1addUw, [6, 26, 17, 0, 0], 0),
    (0x214ac83b, "sh2add.uw x16,x21,x20", Op::Sh2addUw, [16, 21, 20, 0, 0], 0),
    (0x20436d3b, "sh3add.uw x26,x6,x4", Op::Sh3addUw, [26, 6, 4, 0, 0], 0),
    (0x405577b3, "andn x15,x10,x5", Op::Andn, [15, 10, 5, 0, 0], 0),
    (0x41a961b3, "orn x3,x18,x26", Op::Orn, [3, 18, 26, 0, 0], 0),
    (0x415bceb3, "xnor x29,x23,x21", Op::Xnor, [29, 23, 21, 0, 0], 0),
    (0x0ada6133, "max x2,x20,x13", Op::Max, [2, 20, 13, 0, 0], 0),
    (0x0b57ffb3, "maxu x31,x15,x21", Op::Maxu, [31, 15, 21, 0, 0], 0),
    (0x0b5a4c33, "min x24,x20,x21", Op::Min, [24, 20, 21, 0, 0], 0),
    (0x0a1a5333, "minu x6,x20,x1", Op::Minu, [6, 20, 1, 0, 0], 0),
    (0x60389db3, "rol x27,x17,x3", Op::Rol, [27, 17, 3, 0, 0], 0),
    (0x6071113b, "rolw x2,x2,x7", Op::Rolw, [2, 2, 7, 0, 0], 0),
    (0x61445eb3, "ror x29,x8,x20", Op::Ror, [29, 8, 20, 0, 0], 0),
    (0x60fcd0bb, "rorw x1,x25,x15", Op::Rorw, [1, 25, 15, 0, 0], 0),
    (0x493795b3, "bclr x11,x15,x19", Op::Bclr, [11, 15, 19, 0, 0], 0),
    (0x4913ddb3, "bext x27,x7,x17", Op::Bext, [27, 7, 17, 0, 0], 0),
    (0x68aa9433, "binv x8,x21,x10", Op::Binv, [8, 21, 10, 0, 0], 0),
    (0x29609833, "bset x16,x1,x22", Op::Bset, [16, 1, 22, 0, 0], 0),
    (0x0f57d1b3, "czero.eqz x3,x15,x21", Op::CzeroEqz, [3, 15, 21, 0, 0], 0),
    (0x0f2774b3, "czero.nez x9,x14,x18", Op::CzeroNez, [9, 14, 18, 0, 0], 0),
    (0x600d9f13, "clz x30,x27", Op::Clz, [30, 27, 0, 0, 0], 0),
    (0x600b919b, "clzw x3,x23", Op::Clzw, [3, 23, 0, 0, 0], 0),
    (0x60159493, "ctz x9,x11", Op::Ctz, [9, 11, 0, 0, 0], 0),
    (0x60141c9b, "ctzw x25,x8", Op::Ctzw, [25, 8, 0, 0, 0], 0),
    (0x60251893, "cpop x17,x10", Op::Cpop, [17, 10, 0, 0, 0], 0),
    (0x6021909b, "cpopw x1,x3", Op::Cpopw, [1, 3, 0, 0, 0], 0),
    (0x604c9993, "sext.b x19,x25", Op::SextB, [19, 25, 0, 0, 0], 0),
    (0x60569213, "sext.h x4,x13", Op::SextH, [4, 13, 0, 0, 0], 0),
    (0x080e423b, "zext.h x4,x28", Op::ZextH, [4, 28, 0, 0, 0], 0),
    (0x2876d513, "orc.b x10,x13", Op::OrcB, [10, 13, 0, 0, 0], 0),
    (0x6b8fd193, "rev8 x3,x31", Op::Rev8, [3, 31, 0, 0, 0], 0),
    (0x081e109b, "slli.uw x1,x28,1", Op::SlliUw, [1, 28, 0, 0, 0], 1),
    (0x0bf09b1b, "slli.uw x22,x1,63", Op::SlliUw, [22, 1, 0, 0, 0], 63),
    (0x0a13939b, "slli.uw x7,x7,33", Op::SlliUw, [7, 7, 0, 0, 0], 33),
    (0x601f5f13, "rori x30,x30,1", Op::Rori, [30, 30, 0, 0, 0], 1),
    (0x63f85113, "rori x2,x16,63", Op::Rori, [2, 16, 0, 0, 0], 63),
    (0x621bd693, "rori x13,x23,33", Op::Rori, [13, 23, 0, 0, 0], 33),
    (0x6017569b, "roriw x13,x14,1", Op::Roriw, [13, 14, 0, 0, 0], 1),
    (0x61f9d19b, "roriw x3,x19,31", Op::Roriw, [3, 19, 0, 0, 0], 31),
    (0x6113da9b, "roriw x21,x7,17", Op::Roriw, [21, 7, 0, 0, 0], 17),
    (0x481b1c93, "bclri x25,x22,1", Op::Bclri, [25, 22, 0, 0, 0], 1),
    (0x4bf59493, "bclri x9,x11,63", Op::Bclri, [9, 11, 0, 0, 0], 63),
    (0x4a151193, "bclri x3,x10,33", Op::Bclri, [3, 10, 0, 0, 0], 33),
    (0x4810d593, "bexti x11,x1,1", Op::Bexti, [11, 1, 0, 0, 0], 1),
    (0x4bf75f93, "bexti x31,x14,63", Op::Bexti, [31, 14, 0, 0, 0], 63),
    (0x4a1f5c93, "bexti x25,x30,33", Op::Bexti, [25, 30, 0, 0, 0], 33),
    (0x68129213, "binvi x4,x5,1", Op::Binvi, [4, 5, 0, 0, 0], 1),
    (0x6bfb9413, "binvi x8,x23,63", Op::Binvi, [8, 23, 0, 0, 0], 63),
    (0x6a109213, "binvi x4,x1,33", Op::Binvi, [4, 1, 0, 0, 0], 33),
    (0x28179113, "bseti x2,x15,1", Op::Bseti, [2, 15, 0, 0, 0], 1),
    (0x2bf81d13, "bseti x26,x16,63", Op::Bseti, [26, 16, 0, 0, 0], 63),
    (0x2a1b1313, "bseti x6,x22,33", Op::Bseti, [6, 22, 0, 0, 0], 33),
    (0x080302bb, "add.uw x5,x6,x0", Op::AddUw, [5, 6, 0, 0, 0], 0),
    (0x800b1807, "flh f16,-2048(x22)", Op::Flh, [16, 22, 0, 0, 0], -2048),
    (0x801e9027, "fsh f1,-2048(x29)", Op::Fsh, [0, 29, 1, 0, 0], -2048),
    (0x7ff19787, "flh f15,2047(x3)", Op::Flh, [15, 3, 0, 0, 0], 2047),
    (0x7ea39fa7, "fsh f10,2047(x7)", Op::Fsh, [0, 7, 10, 0, 0], 2047),
    (0xe40f0bd3, "fmv.x.h x23,f30", Op::FmvXH, [23, 30, 0, 0, 0], 0),
    (0xf40c07d3, "fmv.h.x f15,x24", Op::FmvHX, [15, 24, 0, 0, 0], 0),
    (0x40278353, "fcvt.s.h f6,f15", Op::FcvtSH, [6, 15, 0, 0, 0], 0),
    (0x42268053, "fcvt.d.h f0,f13", Op::FcvtDH, [0, 13, 0, 0, 0], 0),
    (0x44088d53, "fcvt.h.s f26,f17,rne", Op::FcvtHS, [26, 17, 0, 0, 0], 0),
    (0x440c75d3, "fcvt.h.s f11,f24,dyn", Op::FcvtHS, [11, 24, 0, 0, 7], 0),
    (0x44121553, "fcvt.h.d f10,f4,rtz", Op::FcvtHD, [10, 4, 0, 0, 1], 0),
    (0x441e7453, "fcvt.h.d f8,f28,dyn", Op::FcvtHD, [8, 28, 0, 0, 7], 0),
    (0x40442453, "fround.s f8,f8,rdn", Op::FroundS, [8, 8, 0, 0, 2], 0),
    (0x40407053, "fround.s f0,f0,dyn", Op::FroundS, [0, 0, 0, 0, 7], 0),
    (0x4246b6d3, "fround.d f13,f13,rup", Op::FroundD, [13, 13, 0, 0, 3], 0),
    (0x42457553, "fround.d f10,f10,dyn", Op::FroundD, [10, 10, 0, 0, 7], 0),
    (0x405a4953, "froundnx.s f18,f20,rmm", Op::FroundnxS, [18, 20, 0, 0, 4], 0),
    (0x4056f653, "froundnx.s f12,f13,dyn", Op::FroundnxS, [12, 13, 0, 0, 7], 0),
    (0x425605d3, "froundnx.d f11,f12,rne", Op::FroundnxD, [11, 12, 0, 0, 0], 0),
    (0x4259fc53, "froundnx.d f24,f19,dyn", Op::FroundnxD, [24, 19, 0, 0, 7], 0),
    (0x29aba0d3, "fminm.s f1,f23,f26", Op::FminmS, [1, 23, 26, 0, 0], 0),
    (0x2904b553, "fmaxm.s f10,f9,f16", Op::FmaxmS, [10, 9, 16, 0, 0], 0),
    (0x2b3aa253, "fminm.d f4,f21,f19", Op::FminmD, [4, 21, 19, 0, 0], 0),
    (0x2a4ab053, "fmaxm.d f0,f21,f4", Op::FmaxmD, [0, 21, 4, 0, 0], 0),
    (0xa13b49d3, "fleq.s x19,f22,f19", Op::FleqS, [19, 22, 19, 0, 0], 0),
    (0xa0ba5f53, "fltq.s x30,f20,f11", Op::FltqS, [30, 20, 11, 0, 0], 0),
    (0xa2bf4f53, "fleq.d x30,f30,f11", Op::FleqD, [30, 30, 11, 0, 0], 0),
    (0xa21851d3, "fltq.d x3,f16,f1", Op::FltqD, [3, 16, 1, 0, 0], 0),
    (0xc28c9b53, "fcvtmod.w.d x22,f25,rtz", Op::FcvtmodWD, [22, 25, 0, 0, 0], 0),
    (0xf01000d3, "fli.s f1,-1.0", Op::FliS, [1, 0, 0, 0, 0], 0),
    (0xf2108d53, "fli.d f26,min", Op::FliD, [26, 0, 0, 0, 0], 1),
    (0xf0110bd3, "fli.s f23,1.52587890625e-05", Op::FliS, [23, 0, 0, 0, 0], 2),
    (0xf2118c53, "fli.d f24,3.0517578125e-05", Op::FliD, [24, 0, 0, 0, 0], 3),
    (0xf0120053, "fli.s f0,0.00390625", Op::FliS, [0, 0, 0, 0, 0], 4),
    (0xf2128e53, "fli.d f28,0.0078125", Op::FliD, [28, 0, 0, 0, 0], 5),
    (0xf0130153, "fli.s f2,0.0625", Op::FliS, [2, 0, 0, 0, 0], 6),
    (0xf21385d3, "fli.d f11,0.125", Op::FliD, [11, 0, 0, 0, 0], 7),
    (0xf0140653, "fli.s f12,0.25", Op::FliS, [12, 0, 0, 0, 0], 8),
    (0xf21483d3, "fli.d f7,0.3125", Op::FliD, [7, 0, 0, 0, 0], 9),
    (0xf01507d3, "fli.s f15,0.375", Op::FliS, [15, 0, 0, 0, 0], 10),
    (0xf2158ed3, "fli.d f29,0.4375", Op::FliD, [29, 0, 0, 0, 0], 11),
    (0xf0160b53, "fli.s f22,0.5", Op::FliS, [22, 0, 0, 0, 0], 12),
    (0xf2168b53, "fli.d f22,0.625", Op::FliD, [22, 0, 0, 0, 0], 13),
    (0xf0170853, "fli.s f16,0.75", Op::FliS, [16, 0, 0, 0, 0], 14),
    (0xf2178ed3, "fli.d f29,0.875", Op::FliD, [29, 0, 0, 0, 0], 15),
    (0xf0180353, "fli.s f6,1.0", Op::FliS, [6, 0, 0, 0, 0], 16),
    (0xf2188bd3, "fli.d f23,1.25", Op::FliD, [23, 0, 0, 0, 0], 17),
    (0xf0190953, "fli.s f18,1.5", Op::FliS, [18, 0, 0, 0, 0], 18),
    (0xf2198153, "fli.d f2,1.75", Op::FliD, [2, 0, 0, 0, 0], 19),
    (0xf01a0dd3, "fli.s f27,2.0", Op::FliS, [27, 0, 0, 0, 0], 20),
    (0xf21a82d3, "fli.d f5,2.5", Op::FliD, [5, 0, 0, 0, 0], 21),
    (0xf01b06d3, "fli.s f13,3.0", Op::FliS, [13, 0, 0, 0, 0], 22),
    (0xf21b8ad3, "fli.d f21,4.0", Op::FliD, [21, 0, 0, 0, 0], 23),
    (0xf01c0bd3, "fli.s f23,8.0", Op::FliS, [23, 0, 0, 0, 0], 24),
    (0xf21c84d3, "fli.d f9,16.0", Op::FliD, [9, 0, 0, 0, 0], 25),
    (0xf01d0ad3, "fli.s f21,128.0", Op::FliS, [21, 0, 0, 0, 0], 26),
    (0xf21d88d3, "fli.d f17,256.0", Op::FliD, [17, 0, 0, 0, 0], 27),
    (0xf01e02d3, "fli.s f5,32768.0", Op::FliS, [5, 0, 0, 0, 0], 28),
    (0xf21e89d3, "fli.d f19,65536.0", Op::FliD, [19, 0, 0, 0, 0], 29),
    (0xf01f0a53, "fli.s f20,inf", Op::FliS, [20, 0, 0, 0, 0], 30),
    (0xf21f89d3, "fli.d f19,nan", Op::FliD, [19, 0, 0, 0, 0], 31),
];
