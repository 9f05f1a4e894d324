//! `mstatus.FS` around floating-point instructions: it becomes Dirty when an instruction writes a
//! floating-point register or raises a flag (also one that is set already), or writes `fcsr`; never otherwise.

use super::access::Halt;
use super::csr::status;
use super::hart::Hart;
use crate::engine::float::compute;
use crate::engine::interpreter::Slot;

impl Hart {
    pub(super) fn set_f(&mut self, rd: u8, value: u64) {
        self.regs.f[usize::from(rd)] = value;
        self.csrs.mstatus |= status::FS;
    }

    /// Executes a computational instruction of F or D.
    pub(super) fn execute_float(&mut self, slot: Slot) -> Result<(), Halt> {
        self.require_float(true)?;
        let dirty = compute(&mut self.regs, &mut self.csrs.fcsr, slot).ok_or(Halt::Illegal)?;
        if dirty {
            self.csrs.mstatus |= status::FS;
        }
        Ok(())
    }
}
