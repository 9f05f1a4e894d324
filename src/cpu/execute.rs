//! The long way to execute one instruction: whatever an engine leaves over.

use super::access::Halt;
use super::ask::{Answer, Question};
use super::bus::Bus;
use super::csr::{CBCFE, CBIE, CBZE, Privilege, status};
use super::hart::Hart;
use super::trap::{Cause, Trap, irq, leave_machine, leave_supervisor};
use crate::base::GuestPhys;
use crate::engine::alu::sext32;
use crate::engine::interpreter::Slot;
use crate::isa::Op;
use crate::mem::{Access, Ram};

/// A load: how many bytes, and what becomes of them.
struct Load {
    size: usize,
    finish: fn(u64) -> u64,
    /// Into a floating-point register.
    float: bool,
}

impl Load {
    fn of(op: Op) -> Option<Self> {
        let int = |size, finish| Some(Self { size, finish, float: false });
        let float = |size, finish| Some(Self { size, finish, float: true });
        match op {
            Op::Lb => int(1, |v| v as i8 as u64),
            Op::Lh => int(2, |v| v as i16 as u64),
            Op::Lw => int(4, |v| v as i32 as u64),
            Op::Ld | Op::Lbu | Op::Lhu | Op::Lwu => {
                let size = match op {
                    Op::Lbu => 1,
                    Op::Lhu => 2,
                    Op::Lwu => 4,
                    _ => 8,
                };
                int(size, |v| v)
            }
            Op::Flh => float(2, crate::engine::float::nan_box_half),
            Op::Flw => float(4, crate::engine::float::nan_box_low),
            Op::Fld => float(8, |v| v),
            _ => None,
        }
    }
}

impl Hart {
    /// Executes `slot`, the instruction at `pc`, and returns the address of the next one.
    pub(super) fn execute<B: Bus>(
        &mut self,
        ram: &mut Ram,
        bus: &mut B,
        slot: Slot,
        answer: Option<Answer>,
    ) -> Result<u64, Halt> {
        let next = self.pc.wrapping_add(2 * u64::from(slot.len));
        match slot.op {
            Op::Lb | Op::Lh | Op::Lw | Op::Ld | Op::Lbu | Op::Lhu | Op::Lwu | Op::Flh | Op::Flw | Op::Fld => {
                let load = Load::of(slot.op).ok_or(Halt::Illegal)?;
                self.require_float(load.float)?;
                let value = self.load(ram, bus, self.address(slot), load.size, answer)?;
                let value = (load.finish)(value);
                if load.float { self.set_f(slot.rd, value) } else { self.regs.set(slot.rd, value) }
            }
            Op::Sb => self.store_x(ram, bus, slot, 1)?,
            Op::Sh => self.store_x(ram, bus, slot, 2)?,
            Op::Sw => self.store_x(ram, bus, slot, 4)?,
            Op::Sd => self.store_x(ram, bus, slot, 8)?,
            Op::Fsh | Op::Fsw | Op::Fsd => {
                self.require_float(true)?;
                let size = match slot.op {
                    Op::Fsh => 2,
                    Op::Fsw => 4,
                    _ => 8,
                };
                let value = self.regs.f[usize::from(slot.rs2)];
                self.store(ram, bus, self.address(slot), size, value)?;
            }
            Op::LrW | Op::LrD => self.load_reserved(ram, slot)?,
            Op::ScW | Op::ScD => self.store_conditional(ram, bus, slot)?,
            Op::AmoswapW
            | Op::AmoaddW
            | Op::AmoxorW
            | Op::AmoandW
            | Op::AmoorW
            | Op::AmominW
            | Op::AmomaxW
            | Op::AmominuW
            | Op::AmomaxuW => self.amo(ram, bus, slot, 4)?,
            Op::AmoswapD
            | Op::AmoaddD
            | Op::AmoxorD
            | Op::AmoandD
            | Op::AmoorD
            | Op::AmominD
            | Op::AmomaxD
            | Op::AmominuD
            | Op::AmomaxuD => self.amo(ram, bus, slot, 8)?,
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci => {
                self.execute_csr(bus, slot, answer)?;
            }
            Op::Ecall => {
                if self.privilege == Privilege::Supervisor && self.is_answered(ram, bus) {
                    return Ok(next);
                }
                let cause = match self.privilege {
                    Privilege::User => Cause::CallFromUser,
                    Privilege::Supervisor => Cause::CallFromSupervisor,
                    Privilege::Machine => Cause::CallFromMachine,
                };
                return Err(Trap::new(cause, 0).into());
            }
            Op::Ebreak => return Err(Trap::new(Cause::Breakpoint, self.pc).into()),
            Op::Mret => {
                self.require(self.privilege == Privilege::Machine)?;
                let entry = leave_machine(&mut self.csrs);
                let pc = entry.pc;
                self.resume_at(entry);
                return Ok(pc);
            }
            Op::Sret => {
                self.require_supervisor(status::TSR)?;
                let entry = leave_supervisor(&mut self.csrs);
                let pc = entry.pc;
                self.resume_at(entry);
                return Ok(pc);
            }
            Op::Wfi => {
                self.require_supervisor(status::TW)?;
                self.waiting = true;
                self.unsettled = true;
            }
            Op::CboInval | Op::CboClean | Op::CboFlush => {
                self.require_block_operation(slot.op)?;
                self.manage_block(ram, self.regs.get(slot.rs1))?;
            }
            Op::CboZero => {
                self.require_block_operation(slot.op)?;
                self.zero_block(ram, bus, self.regs.get(slot.rs1))?;
            }
            // Translation is coherent by itself.
            Op::SfenceVma => self.require_supervisor(status::TVM)?,
            _ => self.execute_float(slot)?,
        }
        Ok(next)
    }

    /// True when the machine itself has answered an environment call from S-mode.
    fn is_answered<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B) -> bool {
        let arguments = std::array::from_fn(|i| self.regs.get(10 + i as u8));
        let Some(returned) = bus.environment_call(ram, arguments) else { return false };
        self.bus_used = true;
        self.regs.set(10, returned.a0);
        self.regs.set(11, returned.a1);
        if returned.software_interrupt {
            self.csrs.mip |= irq::SSI;
        }
        self.waiting = returned.wait;
        self.unsettled = true;
        true
    }

    /// What the instruction `slot` at `pc` would ask of the host now.
    pub(super) fn question<B: Bus>(&self, ram: &Ram, bus: &B, slot: Slot) -> Option<Question> {
        match slot.op {
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci => {
                self.csr_question(slot)
            }
            op => {
                let load = Load::of(op)?;
                self.require_float(load.float).ok()?;
                let at = self.io_place(ram, self.address(slot), load.size)?;
                bus.asks(GuestPhys(at), load.size as u8)
            }
        }
    }

    fn address(&self, slot: Slot) -> u64 {
        self.regs.get(slot.rs1).wrapping_add(slot.imm as i64 as u64)
    }

    fn require(&self, allowed: bool) -> Result<(), Halt> {
        if allowed { Ok(()) } else { Err(Halt::Illegal) }
    }

    /// M-mode may, S-mode only while `trapped` (a bit of `mstatus`) is clear, U-mode never.
    fn require_supervisor(&self, trapped: u64) -> Result<(), Halt> {
        self.require(match self.privilege {
            Privilege::Machine => true,
            Privilege::Supervisor => self.csrs.mstatus & trapped == 0,
            Privilege::User => false,
        })
    }

    /// The hart has the cache-block operation `op`, and `xenvcfg` lets the current mode use it (CMO spec 2.4).
    pub(super) fn require_block_operation(&self, op: Op) -> Result<(), Halt> {
        let (here, field) = match op {
            Op::CboInval => (self.cpu.zicbom, CBIE),
            Op::CboZero => (self.cpu.zicboz, CBZE),
            _ => (self.cpu.zicbom, CBCFE),
        };
        let enabled = match self.privilege {
            Privilege::Machine => true,
            Privilege::Supervisor => self.csrs.menvcfg & field != 0,
            Privilege::User => self.csrs.menvcfg & field != 0 && self.csrs.senvcfg & field != 0,
        };
        self.require(here && enabled)
    }

    /// The floating-point unit is on, if it is `needed`.
    pub(super) fn require_float(&self, needed: bool) -> Result<(), Halt> {
        self.require(!needed || self.csrs.mstatus & status::FS != 0)
    }

    fn store_x<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, slot: Slot, size: usize) -> Result<(), Halt> {
        self.store(ram, bus, self.address(slot), size, self.regs.get(slot.rs2))
    }

    fn load_reserved(&mut self, ram: &mut Ram, slot: Slot) -> Result<(), Halt> {
        let size = if slot.op == Op::LrW { 4 } else { 8 };
        let at = self.atomic_place(ram, self.regs.get(slot.rs1), size, Access::Load)?.at;
        let value = read_sized(ram, at, size);
        self.reservation = Some(at & !7);
        self.regs.set(slot.rd, value);
        Ok(())
    }

    fn store_conditional<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, slot: Slot) -> Result<(), Halt> {
        let size = if slot.op == Op::ScW { 4 } else { 8 };
        let va = self.regs.get(slot.rs1);
        let place = self.atomic_place(ram, va, size, Access::Store)?;
        let held = self.reservation.take() == Some(place.at & !7);
        if held {
            let bytes = self.regs.get(slot.rs2).to_le_bytes();
            self.store_at(ram, bus, va, place, &bytes[..size]);
        }
        self.regs.set(slot.rd, u64::from(!held));
        Ok(())
    }

    fn amo<B: Bus>(&mut self, ram: &mut Ram, bus: &mut B, slot: Slot, size: usize) -> Result<(), Halt> {
        let va = self.regs.get(slot.rs1);
        let place = self.atomic_place(ram, va, size, Access::Store)?;
        if !self.may_read(place.at, size) {
            return Err(Trap::new(Cause::StoreAccess, va).into());
        }
        self.set_bits(ram, place);
        let old = read_sized(ram, place.at, size);
        // The 32-bit forms work on sign-extended operands; the order of two of them is the same
        // unsigned as signed-extended to 64 bits and compared unsigned.
        let source = self.regs.get(slot.rs2);
        let operand = if size == 4 { sext32(source as u32) } else { source };
        let new = match slot.op {
            Op::AmoswapW | Op::AmoswapD => operand,
            Op::AmoaddW | Op::AmoaddD => old.wrapping_add(operand),
            Op::AmoxorW | Op::AmoxorD => old ^ operand,
            Op::AmoandW | Op::AmoandD => old & operand,
            Op::AmoorW | Op::AmoorD => old | operand,
            Op::AmominW | Op::AmominD => (old as i64).min(operand as i64) as u64,
            Op::AmomaxW | Op::AmomaxD => (old as i64).max(operand as i64) as u64,
            Op::AmominuW | Op::AmominuD => old.min(operand),
            Op::AmomaxuW | Op::AmomaxuD => old.max(operand),
            _ => return Err(Halt::Illegal),
        };
        self.store_at(ram, bus, va, place, &new.to_le_bytes()[..size]);
        self.regs.set(slot.rd, old);
        Ok(())
    }
}

/// Four bytes, sign-extended, or eight, that are known to be RAM.
fn read_sized(ram: &Ram, at: u64, size: usize) -> u64 {
    let value = if size == 4 { ram.read_u32(GuestPhys(at)).map(sext32) } else { ram.read_u64(GuestPhys(at)) };
    value.expect("the caller has looked")
}
