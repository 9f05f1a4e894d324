//! Access to the CSRs: rights, what a read asks of the host, the effects of a write.

use super::access::Halt;
use super::ask::{Answer, Question};
use super::bus::Bus;
use super::csr::{
    ARCH_ID, Csrs, IMPLEMENTATION_ID, MISA, Privilege, SSEED, STCE, TINFO_NONE, USEED, VENDOR_ID, number,
    status,
};
use super::hart::Hart;
use super::trap::irq;
use crate::engine::interpreter::Slot;
use crate::isa::Op;

/// `seed.OPST` = ES16: sixteen bits of entropy are in the low half.
const SEED_ES16: u64 = 2 << 30;

/// What a Zicsr instruction does to the register.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Write(u64),
    Set(u64),
    Clear(u64),
}

impl Change {
    fn of(slot: Slot, source: u64) -> Self {
        match slot.op {
            Op::Csrrw | Op::Csrrwi => Change::Write(source),
            // Set and clear write only when the source is not x0, or the immediate not 0.
            _ if slot.rs1 == 0 => Change::Nothing,
            Op::Csrrs | Op::Csrrsi => Change::Set(source),
            _ => Change::Clear(source),
        }
    }

    /// The new value of a register that holds `old`.
    fn apply(self, old: u64) -> Option<u64> {
        match self {
            Change::Nothing => None,
            Change::Write(value) => Some(value),
            Change::Set(bits) => Some(old | bits),
            Change::Clear(bits) => Some(old & !bits),
        }
    }

    const fn writes(self) -> bool {
        !matches!(self, Change::Nothing)
    }
}

impl Hart {
    /// Executes a `csr*` instruction; the caller moves `pc`.
    pub(super) fn execute_csr<B: Bus>(
        &mut self,
        bus: &mut B,
        slot: Slot,
        answer: Option<Answer>,
    ) -> Result<(), Halt> {
        let immediate = matches!(slot.op, Op::Csrrwi | Op::Csrrsi | Op::Csrrci);
        let source = if immediate { slot.rs1.into() } else { self.regs.get(slot.rs1) };
        let change = Change::of(slot, source);
        let number = slot.csr();
        if !self.may_access(number, change.writes()) {
            return Err(Halt::Illegal);
        }
        let old = match (asked(number), answer) {
            (None, _) => self.read_csr(bus, number),
            (Some(Question::Time), Some(Answer::Time(time))) => {
                self.bus_used = true;
                bus.learn_time(time);
                time
            }
            (Some(Question::Entropy), Some(Answer::Entropy(bits))) => SEED_ES16 | u64::from(bits),
            (Some(Question::HostId), Some(Answer::HostId(id))) => id,
            (Some(question), _) => return Err(Halt::Ask(question)),
        };
        // The bits of `mip` that come over lines read as they are but do not take part in a
        // read-modify-write (Priv. spec 3.1.9).
        let held = if number == number::MIP { self.csrs.mip } else { old };
        if let Some(new) = change.apply(held) {
            self.write_csr(bus, number, new);
        }
        self.regs.set(slot.rd, old);
        Ok(())
    }

    /// What the Zicsr instruction `slot` would ask now.
    pub(super) fn csr_question(&self, slot: Slot) -> Option<Question> {
        let writes = Change::of(slot, 0).writes();
        asked(slot.csr()).filter(|_| self.may_access(slot.csr(), writes))
    }

    /// Is `number` a register that the current mode may read (and write, when `writes`)?
    fn may_access(&self, number: u16, writes: bool) -> bool {
        let lowest = number >> 8 & 3;
        let read_only = number >> 10 == 3;
        if (self.privilege as u16) < lowest || (read_only && writes) {
            return false;
        }
        let csrs = &self.csrs;
        let supervisor = self.privilege == Privilege::Supervisor;
        let machine = self.privilege == Privilege::Machine;
        match number {
            number::FFLAGS | number::FRM | number::FCSR => csrs.mstatus & status::FS != 0,
            number::SEED => {
                let gate = match self.privilege {
                    Privilege::Machine => true,
                    Privilege::Supervisor => csrs.mseccfg & SSEED != 0,
                    Privilege::User => csrs.mseccfg & USEED != 0,
                };
                writes && gate
            }
            number::CYCLE..=number::HPMCOUNTER31 => {
                let bit = 1 << (number - number::CYCLE);
                machine || csrs.mcounteren & bit != 0 && (supervisor || csrs.scounteren & bit != 0)
            }
            number::STIMECMP => machine || csrs.menvcfg & STCE != 0 && csrs.mcounteren & 2 != 0,
            number::TSELECT..=number::TINFO => self.cpu.has_trigger_registers(),
            number::SATP => !(supervisor && csrs.mstatus & status::TVM != 0),
            number::HOSTID
            | number::SSTATUS
            | number::SIE..=number::SCOUNTEREN
            | number::SENVCFG
            | number::SSCRATCH..=number::SIP
            | number::MSTATUS..=number::MCOUNTEREN
            | number::MENVCFG
            | number::MCOUNTINHIBIT
            | number::MHPMEVENT3..=number::MHPMEVENT31
            | number::MSCRATCH..=number::MIP
            | number::PMPCFG0
            | number::PMPCFG2
            | number::PMPADDR0..=number::PMPADDR15
            | number::MSECCFG
            | number::MCYCLE
            | number::MINSTRET..=number::MHPMCOUNTER31
            | number::MVENDORID..=number::MCONFIGPTR => true,
            _ => false,
        }
    }

    /// The value of a register that may be read, and that the machine knows by itself.
    fn read_csr<B: Bus>(&self, bus: &B, number: u16) -> u64 {
        let csrs = &self.csrs;
        match number {
            number::FFLAGS => (csrs.fcsr & 0x1f).into(),
            number::FRM => (csrs.fcsr >> 5).into(),
            number::FCSR => csrs.fcsr.into(),
            number::SSTATUS => csrs.sstatus_read(),
            number::SIE => csrs.mie & csrs.mideleg,
            number::STVEC => csrs.stvec,
            number::SCOUNTEREN => csrs.scounteren,
            number::SENVCFG => csrs.senvcfg,
            number::SSCRATCH => csrs.sscratch,
            number::SEPC => csrs.sepc,
            number::SCAUSE => csrs.scause,
            number::STVAL => csrs.stval,
            number::SIP => csrs.mip_read(self.lines) & csrs.mideleg,
            number::STIMECMP => bus.stimecmp(),
            number::SATP => csrs.satp,
            number::MSTATUS => csrs.mstatus_read(),
            number::MISA => MISA,
            number::MEDELEG => csrs.medeleg,
            number::MIDELEG => csrs.mideleg,
            number::MIE => csrs.mie,
            number::MTVEC => csrs.mtvec,
            number::MCOUNTEREN => csrs.mcounteren,
            number::MENVCFG => csrs.menvcfg,
            number::MCOUNTINHIBIT => csrs.mcountinhibit,
            number::MSCRATCH => csrs.mscratch,
            number::MEPC => csrs.mepc,
            number::MCAUSE => csrs.mcause,
            number::MTVAL => csrs.mtval,
            number::MIP => csrs.mip_read(self.lines),
            number::PMPCFG0 => csrs.pmp.config(0),
            number::PMPCFG2 => csrs.pmp.config(8),
            number::PMPADDR0..=number::PMPADDR15 => csrs.pmp.address((number - number::PMPADDR0).into()),
            number::MSECCFG => csrs.mseccfg,
            number::MCYCLE | number::CYCLE => csrs.cycle(self.icount.get()),
            number::MINSTRET | number::INSTRET => csrs.instret(self.retired()),
            number::MVENDORID => VENDOR_ID,
            number::MARCHID => ARCH_ID,
            number::MIMPID => IMPLEMENTATION_ID,
            number::TINFO => TINFO_NONE,
            // One hart, number 0; no configuration structure; triggers, counters and events that are not there.
            _ => 0,
        }
    }

    fn write_csr<B: Bus>(&mut self, bus: &mut B, number: u16, value: u64) {
        // A write takes effect after the instruction: counters count on from the next one.
        let (cycles, instructions) = (self.icount.get() + 1, self.retired() + 1);
        let csrs = &mut self.csrs;
        match number {
            number::FFLAGS => self.set_fcsr(self.csrs.fcsr & 0xe0 | (value & 0x1f) as u8),
            number::FRM => self.set_fcsr(self.csrs.fcsr & 0x1f | (value as u8 & 7) << 5),
            number::FCSR => self.set_fcsr(value as u8),
            number::SSTATUS => self.set_mstatus(value, status::SUPERVISOR),
            number::MSTATUS => self.set_mstatus(value, status::MACHINE),
            number::SIE => csrs.write_mie(value, csrs.mideleg),
            number::STVEC => Csrs::write_tvec(&mut csrs.stvec, value),
            number::SCOUNTEREN => Csrs::write_counteren(&mut csrs.scounteren, value),
            number::SENVCFG => csrs.write_senvcfg(value, self.cpu),
            number::SSCRATCH => csrs.sscratch = value,
            number::SEPC => Csrs::write_epc(&mut csrs.sepc, value),
            number::SCAUSE => csrs.scause = value,
            number::STVAL => csrs.stval = value,
            number::SIP => csrs.write_mip(value, csrs.mideleg & irq::SSI),
            number::STIMECMP => {
                self.bus_used = true;
                bus.set_stimecmp(value);
            }
            number::SATP => {
                let old = csrs.satp;
                csrs.write_satp(value);
                if csrs.satp != old {
                    self.tlb.switch(old, csrs.satp);
                }
            }
            number::MEDELEG => csrs.write_medeleg(value),
            number::MIDELEG => csrs.write_mideleg(value),
            number::MIE => csrs.write_mie(value, u64::MAX),
            number::MTVEC => Csrs::write_tvec(&mut csrs.mtvec, value),
            number::MCOUNTEREN => Csrs::write_counteren(&mut csrs.mcounteren, value),
            number::MENVCFG => csrs.write_menvcfg(value, self.cpu),
            number::MCOUNTINHIBIT => csrs.write_mcountinhibit(value, cycles, instructions),
            number::MSCRATCH => csrs.mscratch = value,
            number::MEPC => Csrs::write_epc(&mut csrs.mepc, value),
            number::MCAUSE => csrs.mcause = value,
            number::MTVAL => csrs.mtval = value,
            number::MIP => csrs.write_mip(value, u64::MAX),
            number::PMPCFG0 | number::PMPCFG2 => {
                csrs.pmp.set_config(if number == number::PMPCFG0 { 0 } else { 8 }, value);
                self.tlb.flush();
            }
            number::PMPADDR0..=number::PMPADDR15 => {
                csrs.pmp.set_address((number - number::PMPADDR0).into(), value);
                self.tlb.flush();
            }
            number::MSECCFG => csrs.write_mseccfg(value),
            number::MCYCLE => csrs.set_cycle(value, cycles),
            number::MINSTRET => csrs.set_instret(value, instructions),
            // `misa`, `seed`, and the triggers, counters and events that are not there.
            _ => {}
        }
        self.unsettled = true;
    }

    fn set_mstatus(&mut self, value: u64, mask: u64) {
        let old = self.csrs.mstatus;
        self.csrs.write_mstatus(value, mask);
        if (old ^ self.csrs.mstatus) & status::MXR != 0 {
            self.flush_translated();
        }
    }

    fn set_fcsr(&mut self, value: u8) {
        self.csrs.fcsr = value;
        self.csrs.mstatus |= status::FS;
    }
}

/// The question that a read of register `number` is.
const fn asked(number: u16) -> Option<Question> {
    match number {
        number::TIME => Some(Question::Time),
        number::SEED => Some(Question::Entropy),
        number::HOSTID => Some(Question::HostId),
        _ => None,
    }
}
