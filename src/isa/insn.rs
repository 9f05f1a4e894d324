//! A decoded instruction: what it does and with what, without its encoding.
//!
//! A compressed instruction decodes to the [`Insn`] of its expansion and differs in
//! [`len`](Insn::len) only. Encodings that are reserved are [`Op::Illegal`].

/// What an instruction does. One name for each mnemonic of RV64GC with Zicsr, Zifencei,
/// Zicbom, Zicboz, the privileged instructions, and the [`Extensions`](super::Extensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[rustfmt::skip]
#[allow(missing_docs, reason = "the variants are the instructions' mnemonics")]
pub enum Op {
    /// A reserved or unimplemented encoding.
    Illegal,
    // RV64I
    Lui, Auipc, Jal, Jalr,
    Beq, Bne, Blt, Bge, Bltu, Bgeu,
    Lb, Lh, Lw, Ld, Lbu, Lhu, Lwu,
    Sb, Sh, Sw, Sd,
    Addi, Slti, Sltiu, Xori, Ori, Andi, Slli, Srli, Srai,
    Add, Sub, Sll, Slt, Sltu, Xor, Srl, Sra, Or, And,
    Addiw, Slliw, Srliw, Sraiw,
    Addw, Subw, Sllw, Srlw, Sraw,
    Fence, FenceI, Ecall, Ebreak,
    // Zicsr
    Csrrw, Csrrs, Csrrc, Csrrwi, Csrrsi, Csrrci,
    // Privileged
    Mret, Sret, Wfi, SfenceVma,
    // Zicbom, Zicboz
    CboInval, CboClean, CboFlush, CboZero,
    // M
    Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu,
    Mulw, Divw, Divuw, Remw, Remuw,
    // A
    LrW, ScW, AmoswapW, AmoaddW, AmoxorW, AmoandW, AmoorW, AmominW, AmomaxW, AmominuW, AmomaxuW,
    LrD, ScD, AmoswapD, AmoaddD, AmoxorD, AmoandD, AmoorD, AmominD, AmomaxD, AmominuD, AmomaxuD,
    // Zba
    AddUw, Sh1add, Sh2add, Sh3add, Sh1addUw, Sh2addUw, Sh3addUw, SlliUw,
    // Zbb
    Andn, Orn, Xnor, Clz, Clzw, Ctz, Ctzw, Cpop, Cpopw, Max, Maxu, Min, Minu, SextB, SextH, ZextH,
    Rol, Rolw, Ror, Rori, Roriw, Rorw, OrcB, Rev8,
    // Zbs
    Bclr, Bclri, Bext, Bexti, Binv, Binvi, Bset, Bseti,
    // Zicond
    CzeroEqz, CzeroNez,
    // F (and from here on floating point)
    Flw, Fsw, FmaddS, FmsubS, FnmsubS, FnmaddS,
    FaddS, FsubS, FmulS, FdivS, FsqrtS, FsgnjS, FsgnjnS, FsgnjxS, FminS, FmaxS,
    FcvtWS, FcvtWuS, FcvtLS, FcvtLuS, FmvXW, FeqS, FltS, FleS, FclassS,
    FcvtSW, FcvtSWu, FcvtSL, FcvtSLu, FmvWX,
    // D
    Fld, Fsd, FmaddD, FmsubD, FnmsubD, FnmaddD,
    FaddD, FsubD, FmulD, FdivD, FsqrtD, FsgnjD, FsgnjnD, FsgnjxD, FminD, FmaxD,
    FcvtSD, FcvtDS, FeqD, FltD, FleD, FclassD,
    FcvtWD, FcvtWuD, FcvtLD, FcvtLuD, FmvXD,
    FcvtDW, FcvtDWu, FcvtDL, FcvtDLu, FmvDX,
    // Zfhmin
    Flh, Fsh, FmvXH, FmvHX, FcvtSH, FcvtDH, FcvtHS, FcvtHD,
    // Zfa
    FliS, FminmS, FmaxmS, FroundS, FroundnxS, FleqS, FltqS,
    FliD, FminmD, FmaxmD, FroundD, FroundnxD, FleqD, FltqD, FcvtmodWD,
}

impl Op {
    /// Is it a conditional branch?
    pub const fn is_branch(self) -> bool {
        matches!(self, Self::Beq | Self::Bne | Self::Blt | Self::Bge | Self::Bltu | Self::Bgeu)
    }
}

/// One decoded instruction. Fields that its format does not have are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Insn {
    /// What the instruction does.
    pub op: Op,
    /// Destination register number (integer or floating-point, depending on `op`).
    pub rd: u8,
    /// First source; for `csrr?i` the 5-bit immediate.
    pub rs1: u8,
    /// Second source register number.
    pub rs2: u8,
    /// Third source of the fused multiply-adds.
    pub rs3: u8,
    /// Rounding mode of a floating-point instruction that has one: 0..=4, or 7 (dynamic; `frm`
    /// says). For the A extension: `aq` in bit 1, `rl` in bit 0.
    pub rm: u8,
    /// Bytes of the encoding: 2 or 4.
    pub len: u8,
    /// The immediate, sign-extended. `lui`/`auipc`: the value with its low 12 bits clear.
    /// Branches and jumps: the offset from this instruction, in bytes. Shifts: the amount.
    /// Zicsr: the CSR number. `fli`: which number, by its place in the table. `fence`: `fm`, `pred` and `succ` as encoded (12 bits).
    pub imm: i32,
}

impl Insn {
    /// A reserved encoding of `len` bytes.
    pub const fn illegal(len: u8) -> Self {
        Self { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, rs3: 0, rm: 0, len, imm: 0 }
    }
}
