//! The extensions that a hart may have beyond RV64GC, and the instructions that need them.
//!
//! Their encodings are reserved in RV64GC, so a hart without an extension takes them as illegal.

use std::ops::BitOr;

use super::insn::Op;

/// A set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions(u8);

impl Extensions {
    /// RV64GC as it is.
    pub const NONE: Self = Self(0);
    /// Address generation (Unprivileged spec 30.4.1).
    pub const ZBA: Self = Self(1);
    /// Basic bit manipulation (Unprivileged spec 30.4.2).
    pub const ZBB: Self = Self(1 << 1);
    /// Single bits (Unprivileged spec 30.4.4).
    pub const ZBS: Self = Self(1 << 2);
    /// Conditional zeroing (Unprivileged spec ch. 11).
    pub const ZICOND: Self = Self(1 << 3);
    /// More 16-bit encodings (Unprivileged spec 28.5); some of them are of instructions of Zba and Zbb.
    pub const ZCB: Self = Self(1 << 4);
    /// Half precision in memory and conversions (Unprivileged spec 26.2).
    pub const ZFHMIN: Self = Self(1 << 5);
    /// More floating-point instructions (Unprivileged spec 29).
    pub const ZFA: Self = Self(1 << 6);
    /// All that this program knows.
    pub const ALL: Self = Self((1 << 7) - 1);

    /// Are all of `other` in this set?
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Extensions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Op {
    /// What a hart must have to execute this instruction, whatever its encoding.
    #[must_use]
    pub fn needs(self) -> Extensions {
        match self {
            op if (Op::AddUw..=Op::SlliUw).contains(&op) => Extensions::ZBA,
            op if (Op::Andn..=Op::Rev8).contains(&op) => Extensions::ZBB,
            op if (Op::Bclr..=Op::Bseti).contains(&op) => Extensions::ZBS,
            Op::CzeroEqz | Op::CzeroNez => Extensions::ZICOND,
            op if (Op::Flh..=Op::FcvtHD).contains(&op) => Extensions::ZFHMIN,
            op if (Op::FliS..=Op::FcvtmodWD).contains(&op) => Extensions::ZFA,
            _ => Extensions::NONE,
        }
    }
}
