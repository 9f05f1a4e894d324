//! Disassembly: a word at an address as the text that GNU objdump prints for it.
//!
//! Follows `objdump -d` of binutils 2.40 with its default options: ABI register names and the
//! common pseudo-instructions (`li`, `mv`, `ret`, `beqz`, `csrr`, …), and no `c.` before a compressed
//! instruction. One blank separates the mnemonic from its operands, where objdump has a tab; a
//! target is an address, as objdump prints it when there are no symbols. On purpose different:
//!
//! - it prints what [`decode`](crate::isa::decode()) says, so it and the hart agree on what is legal: a
//!   word that a hart with those extensions takes as illegal is data here (`.4byte 0x…`), also where objdump
//!   knows more extensions, and an encoding whose reserved fields the hart ignores
//!   is the instruction, not data;
//! - an instruction with an immediate keeps its `i` (`addi`, which that objdump shortens to `add`);
//! - of a compressed hint only the expansion is shown, and `pause` has its name;
//! - the comment that objdump derives from a preceding `lui` or `auipc` is left out: the text is a
//!   function of one word and its address.
//!
//! Reading order: `spelling` (mnemonic and operands of each instruction), `alias` (the
//! pseudo-instructions), [`csr`] (names of CSRs).

mod alias;
pub mod csr;
mod spelling;

use std::fmt;

use super::decode;
use super::extensions::Extensions;
use super::float::loadable_f64;
use super::insn::{Insn, Op};

/// An instruction at its address; its text is its `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disassembly {
    /// The address; branch and jump targets are computed from it.
    pub pc: u64,
    /// The encoding; the high half is 0 when it is 16 bits long.
    pub word: u32,
    /// What the word decodes to.
    pub insn: Insn,
}

/// Disassembles the instruction at the start of `word` as a hart with `extensions` takes it. When its low two
/// bits are not both set, only the low halfword counts.
pub fn disasm(pc: u64, word: u32, extensions: Extensions) -> Disassembly {
    let insn = decode(word, extensions);
    let word = if insn.len == 2 { word & 0xffff } else { word };
    Disassembly { pc, word, insn }
}

impl Disassembly {
    /// Where a branch or direct jump goes, the last operand of the text.
    pub fn target(&self) -> Option<u64> {
        let Insn { op, imm, .. } = self.insn;
        (op == Op::Jal || op.is_branch()).then(|| self.pc.wrapping_add_signed(imm.into()))
    }
}

/// The ABI name of an integer register.
pub fn register_name(number: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
        "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    ];
    NAMES[usize::from(number & 31)]
}

/// The ABI name of a floating-point register.
pub fn float_register_name(number: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3",
        "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11",
        "ft8", "ft9", "ft10", "ft11",
    ];
    NAMES[usize::from(number & 31)]
}

impl fmt::Display for Disassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mnemonic, operands) = alias::alias(self).unwrap_or_else(|| spelling::spelling(self.insn.op));
        f.write_str(mnemonic)?;
        if operands.contains('q') {
            f.write_str(["", ".rl", ".aq", ".aqrl"][usize::from(self.insn.rm & 3)])?;
        }
        let mut separator = " ";
        for operand in operands.chars() {
            match operand {
                ',' => separator = ",",
                'q' => {}
                _ => {
                    f.write_str(separator)?;
                    separator = "";
                    self.write_operand(operand, f)?;
                }
            }
        }
        Ok(())
    }
}

impl Disassembly {
    /// Writes one operand of a template; the letters are explained in [`spelling`].
    fn write_operand(&self, operand: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let insn = &self.insn;
        match operand {
            'd' => f.write_str(register_name(insn.rd)),
            's' => f.write_str(register_name(insn.rs1)),
            't' => f.write_str(register_name(insn.rs2)),
            'D' => f.write_str(float_register_name(insn.rd)),
            'S' => f.write_str(float_register_name(insn.rs1)),
            'T' => f.write_str(float_register_name(insn.rs2)),
            'R' => f.write_str(float_register_name(insn.rs3)),
            'i' => write!(f, "{}", insn.imm),
            'o' => write!(f, "{}({})", insn.imm, register_name(insn.rs1)),
            '(' => write!(f, "({})", register_name(insn.rs1)),
            'h' => write!(f, "{:#x}", insn.imm),
            'u' => write!(f, "{:#x}", insn.imm as u32 >> 12),
            'a' => write!(f, "{:#x}", self.target().unwrap_or(self.pc)),
            'E' => csr::write_name(insn.imm as u16, f),
            'Z' => write!(f, "{}", insn.rs1),
            'm' => write_rounding(insn.rm, 7, f),
            'M' => write_rounding(insn.rm, 0, f),
            'z' => f.write_str(",rtz"),
            'F' => write_loadable(insn.imm as u8, f),
            'P' => write_fence_set(insn.imm as u32 >> 4 & 15, f),
            'Q' => write_fence_set(insn.imm as u32 & 15, f),
            'w' => write!(f, "{:#x}", self.word),
            _ => unreachable!("no template has the letter {operand}"),
        }
    }
}

/// Writes the rounding mode unless it is the one that goes without saying.
fn write_rounding(mode: u8, usual: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const NAMES: [&str; 8] = ["rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown", "dyn"];
    if mode == usual { Ok(()) } else { write!(f, ",{}", NAMES[usize::from(mode & 7)]) }
}

/// Writes the number that `fli` loads for `index`.
fn write_loadable(index: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match index & 31 {
        1 => f.write_str("min"),
        30 => f.write_str("inf"),
        31 => f.write_str("nan"),
        // A shorter spelling is not exact enough, or not what the assembler reads.
        2 => f.write_str("1.52587890625e-05"),
        3 => f.write_str("3.0517578125e-05"),
        n => write!(f, "{:?}", f64::from_bits(loadable_f64(n))),
    }
}

fn write_fence_set(set: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if set == 0 {
        return f.write_str("unknown");
    }
    for (bit, letter) in [(8, "i"), (4, "o"), (2, "r"), (1, "w")] {
        if set & bit != 0 {
            f.write_str(letter)?;
        }
    }
    Ok(())
}
