//! The pseudo-instructions that objdump prefers to the instructions behind them.

use super::Disassembly;
use crate::isa::insn::{Insn, Op};

const ZERO: u8 = 0;
const RA: u8 = 1;

/// The mnemonic and operand template of a pseudo-instruction, when the instruction has one.
pub fn alias(disassembly: &Disassembly) -> Option<(&'static str, &'static str)> {
    let insn = &disassembly.insn;
    let Insn { rd, rs1, rs2, imm, len, .. } = *insn;
    let found = match insn.op {
        Op::Illegal if len == 2 && disassembly.word == 0 => ("unimp", ""),
        Op::Illegal if len == 2 => (".2byte", "w"),
        Op::Illegal => (".4byte", "w"),

        Op::Addi if rd == ZERO && rs1 == ZERO && (imm == 0 || len == 2) => ("nop", ""),
        Op::Addi if rs1 == ZERO => ("li", "d,i"),
        Op::Addi if imm == 0 && len == 4 => ("mv", "d,s"),
        Op::Add if rs1 == ZERO && len == 2 => ("mv", "d,t"),
        Op::Addiw if imm == 0 => ("sext.w", "d,s"),
        Op::Andi if imm == 255 => ("zext.b", "d,s"),
        Op::Xori if imm == -1 => ("not", "d,s"),
        Op::Sub if rs1 == ZERO => ("neg", "d,t"),
        Op::Subw if rs1 == ZERO => ("negw", "d,t"),
        Op::Sltiu if imm == 1 => ("seqz", "d,s"),
        Op::AddUw if rs2 == ZERO => ("zext.w", "d,s"),
        Op::Sltu if rs1 == ZERO => ("snez", "d,t"),
        Op::Slt if rs2 == ZERO => ("sltz", "d,s"),
        Op::Slt if rs1 == ZERO => ("sgtz", "d,t"),

        Op::Jal if rd == ZERO => ("j", "a"),
        Op::Jal if rd == RA => ("jal", "a"),
        Op::Jalr if rd == ZERO && rs1 == RA && imm == 0 => ("ret", ""),
        Op::Jalr if rd == ZERO && imm == 0 => ("jr", "s"),
        Op::Jalr if rd == ZERO => ("jr", "o"),
        Op::Jalr if rd == RA && imm == 0 => ("jalr", "s"),
        Op::Jalr if rd == RA => ("jalr", "o"),
        Op::Jalr if imm == 0 => ("jalr", "d,s"),
        Op::Beq if rs2 == ZERO => ("beqz", "s,a"),
        Op::Bne if rs2 == ZERO => ("bnez", "s,a"),
        Op::Bge if rs1 == ZERO => ("blez", "t,a"),
        Op::Bge if rs2 == ZERO => ("bgez", "s,a"),
        Op::Blt if rs2 == ZERO => ("bltz", "s,a"),
        Op::Blt if rs1 == ZERO => ("bgtz", "t,a"),

        Op::Fence if imm == 0x0ff => ("fence", ""),
        Op::Fence if imm == 0x833 => ("fence.tso", ""),
        Op::Fence if imm == 0x010 => ("pause", ""),
        Op::SfenceVma if rs1 == ZERO && rs2 == ZERO => ("sfence.vma", ""),
        Op::SfenceVma if rs2 == ZERO => ("sfence.vma", "s"),

        Op::FsgnjS if rs1 == rs2 => ("fmv.s", "D,S"),
        Op::FsgnjnS if rs1 == rs2 => ("fneg.s", "D,S"),
        Op::FsgnjxS if rs1 == rs2 => ("fabs.s", "D,S"),
        Op::FsgnjD if rs1 == rs2 => ("fmv.d", "D,S"),
        Op::FsgnjnD if rs1 == rs2 => ("fneg.d", "D,S"),
        Op::FsgnjxD if rs1 == rs2 => ("fabs.d", "D,S"),

        Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci => return csr_alias(insn),
        _ => return None,
    };
    Some(found)
}

fn csr_alias(insn: &Insn) -> Option<(&'static str, &'static str)> {
    const FFLAGS: i32 = 0x001;
    const FRM: i32 = 0x002;
    const FCSR: i32 = 0x003;
    const CYCLE: i32 = 0xc00;
    const TIME: i32 = 0xc01;
    const INSTRET: i32 = 0xc02;
    let Insn { op, rd, rs1, imm: csr, .. } = *insn;
    let found = match (op, csr) {
        (Op::Csrrw, CYCLE) if rd == ZERO && rs1 == ZERO => ("unimp", ""),
        (Op::Csrrs, CYCLE) if rs1 == ZERO => ("rdcycle", "d"),
        (Op::Csrrs, TIME) if rs1 == ZERO => ("rdtime", "d"),
        (Op::Csrrs, INSTRET) if rs1 == ZERO => ("rdinstret", "d"),
        (Op::Csrrs, FFLAGS) if rs1 == ZERO => ("frflags", "d"),
        (Op::Csrrs, FRM) if rs1 == ZERO => ("frrm", "d"),
        (Op::Csrrs, FCSR) if rs1 == ZERO => ("frcsr", "d"),
        (Op::Csrrw, FFLAGS) if rd == ZERO => ("fsflags", "s"),
        (Op::Csrrw, FFLAGS) => ("fsflags", "d,s"),
        (Op::Csrrw, FRM) if rd == ZERO => ("fsrm", "s"),
        (Op::Csrrw, FRM) => ("fsrm", "d,s"),
        (Op::Csrrw, FCSR) if rd == ZERO => ("fscsr", "s"),
        (Op::Csrrw, FCSR) => ("fscsr", "d,s"),
        (Op::Csrrwi, FFLAGS) => ("fsflagsi", "d,Z"),
        (Op::Csrrwi, FRM) if rd == ZERO => ("fsrmi", "Z"),
        (Op::Csrrwi, FRM) => ("fsrmi", "d,Z"),
        (Op::Csrrs, _) if rs1 == ZERO => ("csrr", "d,E"),
        (Op::Csrrw, _) if rd == ZERO => ("csrw", "E,s"),
        (Op::Csrrs, _) if rd == ZERO => ("csrs", "E,s"),
        (Op::Csrrc, _) if rd == ZERO => ("csrc", "E,s"),
        (Op::Csrrwi, _) if rd == ZERO => ("csrwi", "E,Z"),
        (Op::Csrrsi, _) if rd == ZERO => ("csrsi", "E,Z"),
        (Op::Csrrci, _) if rd == ZERO => ("csrci", "E,Z"),
        _ => return None,
    };
    Some(found)
}
