//! The instruction set as data: what a word of RV64GC and its extensions means.
//!
//! Reading order: `insn` (an instruction, decoded), `extensions` (which a hart has or not), `decode` (from 32-bit words),
//! `compressed` (16-bit words, expanded), [`disasm`] (back to text), `float` (IEEE 754 as RISC-V
//! has it).
//!
//! Absent on purpose: registers, memory, traps (those are the hart's, in `cpu`).

pub(crate) mod compressed;
pub(crate) mod decode;
pub mod disasm;
pub(crate) mod extensions;
pub(crate) mod float;
pub(crate) mod insn;

pub use decode::decode;
pub use extensions::Extensions;
pub use insn::{Insn, Op};
