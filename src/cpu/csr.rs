//! The control and status registers as values: numbers, fields, what each may hold.
//!
//! WARL fields are made legal on the way in, so a stored value is always one that a read may
//! return. Access rights, and the effects of a write, are in `zicsr`.
//!
//! Implemented: the M-, S- and U-mode registers of RV64GC with Sstc, Zkr and Zicntr, sixteen PMP
//! entries, and the custom `lockstep_hostid`. Absent (an access is an illegal instruction): debug
//! registers, `mstateen`, hypervisor and vector registers. The `hpm` counters and events exist and
//! read 0. The trigger registers exist and show that there is no trigger.
//!
//! What some fields can hold depends on the [`Cpu`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::model::Cpu;
use super::trap::irq;
use crate::mem::Pmp;

/// Register numbers.
pub mod number {
    pub const FFLAGS: u16 = 0x001;
    pub const FRM: u16 = 0x002;
    pub const FCSR: u16 = 0x003;
    pub const SEED: u16 = 0x015;
    pub const SSTATUS: u16 = 0x100;
    pub const SIE: u16 = 0x104;
    pub const STVEC: u16 = 0x105;
    pub const SCOUNTEREN: u16 = 0x106;
    pub const SENVCFG: u16 = 0x10a;
    pub const SSCRATCH: u16 = 0x140;
    pub const SEPC: u16 = 0x141;
    pub const SCAUSE: u16 = 0x142;
    pub const STVAL: u16 = 0x143;
    pub const SIP: u16 = 0x144;
    pub const STIMECMP: u16 = 0x14d;
    pub const SATP: u16 = 0x180;
    pub const MSTATUS: u16 = 0x300;
    pub const MISA: u16 = 0x301;
    pub const MEDELEG: u16 = 0x302;
    pub const MIDELEG: u16 = 0x303;
    pub const MIE: u16 = 0x304;
    pub const MTVEC: u16 = 0x305;
    pub const MCOUNTEREN: u16 = 0x306;
    pub const MENVCFG: u16 = 0x30a;
    pub const MCOUNTINHIBIT: u16 = 0x320;
    pub const MHPMEVENT3: u16 = 0x323;
    pub const MHPMEVENT31: u16 = 0x33f;
    pub const MSCRATCH: u16 = 0x340;
    pub const MEPC: u16 = 0x341;
    pub const MCAUSE: u16 = 0x342;
    pub const MTVAL: u16 = 0x343;
    pub const MIP: u16 = 0x344;
    pub const PMPCFG0: u16 = 0x3a0;
    pub const PMPCFG2: u16 = 0x3a2;
    pub const PMPADDR0: u16 = 0x3b0;
    pub const PMPADDR15: u16 = 0x3bf;
    pub const MSECCFG: u16 = 0x747;
    pub const TSELECT: u16 = 0x7a0;
    pub const TINFO: u16 = 0x7a4;
    pub const MCYCLE: u16 = 0xb00;
    pub const MINSTRET: u16 = 0xb02;
    pub const MHPMCOUNTER31: u16 = 0xb1f;
    pub const CYCLE: u16 = 0xc00;
    pub const TIME: u16 = 0xc01;
    pub const INSTRET: u16 = 0xc02;
    pub const HPMCOUNTER31: u16 = 0xc1f;
    /// `lockstep_hostid`: which host CPU the guest runs on. Custom, read-only, any mode; asked anew
    /// at each read.
    pub const HOSTID: u16 = 0xcc0;
    pub const MVENDORID: u16 = 0xf11;
    pub const MARCHID: u16 = 0xf12;
    pub const MIMPID: u16 = 0xf13;
    pub const MCONFIGPTR: u16 = 0xf15;
}

/// Fields of `mstatus` and `sstatus` (Priv. spec 3.1.6).
pub mod status {
    pub const SIE: u64 = 1 << 1;
    pub const MIE: u64 = 1 << 3;
    pub const SPIE: u64 = 1 << 5;
    pub const MPIE: u64 = 1 << 7;
    pub const SPP: u64 = 1 << 8;
    pub const MPP_SHIFT: u32 = 11;
    pub const MPP: u64 = 3 << MPP_SHIFT;
    pub const FS: u64 = 3 << 13;
    pub const MPRV: u64 = 1 << 17;
    pub const SUM: u64 = 1 << 18;
    pub const MXR: u64 = 1 << 19;
    pub const TVM: u64 = 1 << 20;
    pub const TW: u64 = 1 << 21;
    pub const TSR: u64 = 1 << 22;
    /// U-mode is 64 bits wide: constant.
    pub const UXL: u64 = 2 << 32;
    /// S-mode is 64 bits wide: constant.
    pub const SXL: u64 = 2 << 34;
    /// `FS` is Dirty.
    pub const SD: u64 = 1 << 63;

    /// What `sstatus` shows and changes.
    pub const SUPERVISOR: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
    /// What `mstatus` stores.
    pub const MACHINE: u64 = SUPERVISOR | MIE | MPIE | MPP | MPRV | TVM | TW | TSR;
}

/// `mvendorid`: non-commercial.
pub const VENDOR_ID: u64 = 0;
/// `marchid`: not allocated; "lockstep" in ASCII has too many letters, so "lock". Bit 63 is clear,
/// as the spec asks of a non-commercial implementation.
pub const ARCH_ID: u64 = 0x6c6f_636b;
/// `mimpid`: constant. What differs between the revisions of the [`Cpu`] is found by probing.
pub const IMPLEMENTATION_ID: u64 = 1;
/// `misa`: RV64 with A, C, D, F, I, M, S, U; constant.
pub const MISA: u64 = 2 << 62
    | 1
    | 1 << (b'C' - b'A')
    | 1 << (b'D' - b'A')
    | 1 << (b'F' - b'A')
    | 1 << (b'I' - b'A')
    | 1 << (b'M' - b'A')
    | 1 << (b'S' - b'A')
    | 1 << (b'U' - b'A');

/// Exceptions that can be delegated: all but those of M-mode and the reserved ones.
const MEDELEG: u64 = 0xb3ff;
/// Interrupts that can be delegated: those of S-mode.
const MIDELEG: u64 = irq::SSI | irq::STI | irq::SEI;
const MIE: u64 = MIDELEG | irq::MSI | irq::MTI | irq::MEI;
/// CY, TM and IR; the `hpm` counters are enabled for no mode.
const COUNTEREN: u64 = 7;
/// CY and IR.
const COUNTINHIBIT: u64 = 5;
/// `menvcfg.STCE`: S-mode has `stimecmp`.
pub const STCE: u64 = 1 << 63;
/// `menvcfg.ADUE`: the hart sets A and D (Svadu).
pub const ADUE: u64 = 1 << 61;
/// `xenvcfg.FIOM`: stored; fences order everything anyway.
const FIOM: u64 = 1;
/// `xenvcfg.CBIE`: may the mode below use `cbo.inval`? 0 no; 1 and 3 yes (what it invalidates or flushes
/// is invisible here); 2 is reserved.
pub const CBIE: u64 = 3 << 4;
const CBIE_RESERVED: u64 = 2 << 4;
/// `xenvcfg.CBCFE`: may the mode below use `cbo.clean` and `cbo.flush`?
pub const CBCFE: u64 = 1 << 6;
/// `xenvcfg.CBZE`: may the mode below use `cbo.zero`?
pub const CBZE: u64 = 1 << 7;
/// `tinfo`: no type of trigger can be had (Debug spec 5.7.7).
pub const TINFO_NONE: u64 = 1;
/// `mseccfg.USEED`: U-mode may read `seed`.
pub const USEED: u64 = 1 << 8;
/// `mseccfg.SSEED`: S-mode may read `seed`.
pub const SSEED: u64 = 1 << 9;
/// `satp.MODE` of Sv39.
const SV39: u64 = 8;

/// A privilege mode, by its encoding (Priv. spec 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Privilege {
    /// U-mode: applications.
    User = 0,
    /// S-mode: the kernel.
    Supervisor = 1,
    /// M-mode: the firmware, or a bare-metal guest.
    Machine = 3,
}

/// A register was given a value that it cannot hold (in a state to restore, not by the guest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{register} cannot hold {value:#x}")]
pub struct BadHartState {
    /// The register or field, as the spec names it.
    pub register: &'static str,
    /// The value in the state.
    pub value: u64,
}

/// A counter that can be written and stopped: `held` is added to the hart's own count while it
/// runs, and is the value itself while it is inhibited. Wraps, as the counters do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    held: u64,
}

impl Counter {
    /// The counter's value where the hart's own count is `count`.
    pub const fn value(self, count: u64, inhibited: bool) -> u64 {
        if inhibited { self.held } else { self.held.wrapping_add(count) }
    }

    /// From here on the value is `value`.
    pub const fn set(&mut self, value: u64, count: u64, inhibited: bool) {
        self.held = if inhibited { value } else { value.wrapping_sub(count) };
    }
}

/// The registers. `mstatus` is stored without its constants and `SD`; `mip` holds only the bits
/// that software has set (SSIP, STIP, SEIP), the rest comes over the interrupt lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Csrs {
    pub mstatus: u64,
    pub medeleg: u64,
    pub mideleg: u64,
    pub mie: u64,
    pub mip: u64,
    pub mtvec: u64,
    pub mcounteren: u64,
    pub menvcfg: u64,
    pub mcountinhibit: u64,
    pub mscratch: u64,
    pub mepc: u64,
    pub mcause: u64,
    pub mtval: u64,
    pub mseccfg: u64,
    pub stvec: u64,
    pub scounteren: u64,
    pub senvcfg: u64,
    pub sscratch: u64,
    pub sepc: u64,
    pub scause: u64,
    pub stval: u64,
    pub satp: u64,
    /// `frm` in bits 7..5, `fflags` in bits 4..0.
    pub fcsr: u8,
    pub mcycle: Counter,
    pub minstret: Counter,
    pub pmp: Pmp,
}

impl Csrs {
    /// The registers after reset.
    pub fn at_reset(cpu: Cpu) -> Self {
        let mut csrs = Self { menvcfg: if cpu.svadu { ADUE } else { 0 }, ..Self::default() };
        csrs.adopt(cpu);
        csrs
    }

    /// These are registers of `cpu`: sets what is no state.
    pub fn adopt(&mut self, cpu: Cpu) {
        if !cpu.has_fine_pmp() {
            self.pmp.use_page_grain();
        }
    }

    /// What a firmware leaves behind for a kernel in S-mode: every exception but S-mode's calls and every
    /// supervisor interrupt delegated, counters, `stimecmp`, `seed` and cache-block operations enabled, all
    /// memory allowed.
    pub fn hand_over(&mut self, cpu: Cpu) {
        const CALL_FROM_SUPERVISOR: u64 = 1 << 9;
        const NAPOT_RWX: u64 = 0x1f;
        self.write_medeleg(!CALL_FROM_SUPERVISOR);
        self.write_mideleg(u64::MAX);
        self.mcounteren = COUNTEREN;
        self.scounteren = COUNTEREN;
        self.write_menvcfg(self.menvcfg | STCE | CBIE | CBCFE | CBZE, cpu);
        self.write_mseccfg(SSEED);
        self.pmp.set_address(0, u64::MAX);
        self.pmp.set_config(0, NAPOT_RWX);
    }

    /// `mstatus` as read.
    pub fn mstatus_read(&self) -> u64 {
        self.mstatus | status::UXL | status::SXL | self.dirty_summary()
    }

    /// `sstatus` as read.
    pub fn sstatus_read(&self) -> u64 {
        self.mstatus & status::SUPERVISOR | status::UXL | self.dirty_summary()
    }

    fn dirty_summary(&self) -> u64 {
        if self.mstatus & status::FS == status::FS { status::SD } else { 0 }
    }

    /// Writes the bits of `mstatus` in `mask`. MPP cannot be 2: such a write leaves it.
    pub fn write_mstatus(&mut self, value: u64, mask: u64) {
        let mut mask = mask & status::MACHINE;
        if value & status::MPP == 2 << status::MPP_SHIFT {
            mask &= !status::MPP;
        }
        self.mstatus = self.mstatus & !mask | value & mask;
    }

    /// `mstatus.MPP` as a mode.
    pub fn previous_privilege(&self) -> Privilege {
        match self.mstatus >> status::MPP_SHIFT & 3 {
            0 => Privilege::User,
            1 => Privilege::Supervisor,
            _ => Privilege::Machine,
        }
    }

    /// `mip` as read, with the bus's `lines`. While `menvcfg.STCE` is set, STIP is the comparison
    /// with `stimecmp`, else what software wrote.
    pub fn mip_read(&self, lines: u64) -> u64 {
        let mut hard = irq::MSI | irq::MTI | irq::SEI | irq::MEI;
        let mut soft = irq::SSI | irq::SEI;
        if self.menvcfg & STCE != 0 {
            hard |= irq::STI
        } else {
            soft |= irq::STI
        }
        lines & hard | self.mip & soft
    }

    /// The bits of `mip` that software may write now.
    pub fn mip_writable(&self) -> u64 {
        if self.menvcfg & STCE != 0 { irq::SSI | irq::SEI } else { MIDELEG }
    }

    pub fn write_mip(&mut self, value: u64, mask: u64) {
        let mask = mask & self.mip_writable();
        self.mip = self.mip & !mask | value & mask;
    }

    pub fn write_mie(&mut self, value: u64, mask: u64) {
        let mask = mask & MIE;
        self.mie = self.mie & !mask | value & mask;
    }

    pub fn write_medeleg(&mut self, value: u64) {
        self.medeleg = value & MEDELEG;
    }

    pub fn write_mideleg(&mut self, value: u64) {
        self.mideleg = value & MIDELEG;
    }

    pub fn write_counteren(register: &mut u64, value: u64) {
        *register = value & COUNTEREN;
    }

    pub fn write_menvcfg(&mut self, value: u64, cpu: Cpu) {
        self.menvcfg = legal_envcfg(self.menvcfg, value) & menvcfg_mask(cpu);
    }

    pub fn write_senvcfg(&mut self, value: u64, cpu: Cpu) {
        self.senvcfg = legal_envcfg(self.senvcfg, value) & senvcfg_mask(cpu);
    }

    pub fn write_mseccfg(&mut self, value: u64) {
        self.mseccfg = value & (SSEED | USEED);
    }

    /// `xtvec`: modes 0 and 1; the reserved bit 1 of the mode reads 0.
    pub fn write_tvec(register: &mut u64, value: u64) {
        *register = value & !2;
    }

    /// `xepc`: bit 0 is always 0 (IALIGN = 16).
    pub fn write_epc(register: &mut u64, value: u64) {
        *register = value & !1;
    }

    /// `satp`: modes Bare and Sv39; a write of another mode changes nothing.
    pub fn write_satp(&mut self, value: u64) {
        if matches!(value >> 60, 0 | SV39) {
            self.satp = value;
        }
    }

    /// The root table's physical page number, when S- and U-mode are translated.
    pub fn translation_root(&self) -> Option<u64> {
        (self.satp >> 60 == SV39).then_some(self.satp & ((1 << 44) - 1))
    }

    /// `mcycle` where the hart's count is `count`; likewise `minstret`.
    pub fn cycle(&self, count: u64) -> u64 {
        self.mcycle.value(count, self.mcountinhibit & 1 != 0)
    }

    pub fn instret(&self, count: u64) -> u64 {
        self.minstret.value(count, self.mcountinhibit & 4 != 0)
    }

    pub fn set_cycle(&mut self, value: u64, count: u64) {
        self.mcycle.set(value, count, self.mcountinhibit & 1 != 0);
    }

    pub fn set_instret(&mut self, value: u64, count: u64) {
        self.minstret.set(value, count, self.mcountinhibit & 4 != 0);
    }

    /// Stops or starts the counters; `cycles` and `instructions` are the hart's counts from which
    /// this holds.
    pub fn write_mcountinhibit(&mut self, value: u64, cycles: u64, instructions: u64) {
        let (cycle, instret) = (self.cycle(cycles), self.instret(instructions));
        self.mcountinhibit = value & COUNTINHIBIT;
        self.set_cycle(cycle, cycles);
        self.set_instret(instret, instructions);
    }

    /// An error when a register holds what no write can have put there.
    pub fn check(&self, cpu: Cpu) -> Result<(), BadHartState> {
        let within = |register, value: u64, mask: u64| {
            if value & !mask == 0 { Ok(()) } else { Err(BadHartState { register, value }) }
        };
        within("mstatus", self.mstatus, status::MACHINE)?;
        if self.mstatus & status::MPP == 2 << status::MPP_SHIFT {
            return Err(BadHartState { register: "mstatus", value: self.mstatus });
        }
        within("medeleg", self.medeleg, MEDELEG)?;
        within("mideleg", self.mideleg, MIDELEG)?;
        within("mie", self.mie, MIE)?;
        within("mip", self.mip, MIDELEG)?;
        within("mcounteren", self.mcounteren, COUNTEREN)?;
        within("scounteren", self.scounteren, COUNTEREN)?;
        within("mcountinhibit", self.mcountinhibit, COUNTINHIBIT)?;
        within("menvcfg", self.menvcfg, menvcfg_mask(cpu))?;
        within("senvcfg", self.senvcfg, senvcfg_mask(cpu))?;
        for (register, value) in [("menvcfg", self.menvcfg), ("senvcfg", self.senvcfg)] {
            if value & CBIE == CBIE_RESERVED {
                return Err(BadHartState { register, value });
            }
        }
        within("mseccfg", self.mseccfg, SSEED | USEED)?;
        within("mtvec", self.mtvec, !2)?;
        within("stvec", self.stvec, !2)?;
        within("mepc", self.mepc, !1)?;
        within("sepc", self.sepc, !1)?;
        if !matches!(self.satp >> 60, 0 | SV39) {
            return Err(BadHartState { register: "satp", value: self.satp });
        }
        if !self.pmp.is_legal() {
            return Err(BadHartState { register: "pmpcfg0", value: self.pmp.config(0) });
        }
        Ok(())
    }
}

/// What `senvcfg` holds.
const fn senvcfg_mask(cpu: Cpu) -> u64 {
    let management = if cpu.zicbom { CBIE | CBCFE } else { 0 };
    let zero = if cpu.zicboz { CBZE } else { 0 };
    FIOM | management | zero
}

const fn menvcfg_mask(cpu: Cpu) -> u64 {
    let adue = if cpu.svadu { ADUE } else { 0 };
    senvcfg_mask(cpu) | STCE | adue
}

/// A write of `new` to `xenvcfg`: the reserved value of CBIE leaves it.
const fn legal_envcfg(old: u64, new: u64) -> u64 {
    if new & CBIE == CBIE_RESERVED { new & !CBIE | old & CBIE } else { new }
}
