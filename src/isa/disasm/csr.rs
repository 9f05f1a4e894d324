//! Names of CSRs, as objdump has them, and this machine's own.
//!
//! Absent on purpose: numbers that only RV32 has (`timeh`, …) and those of extensions that no guest
//! of an RV64GC machine probes. They print as numbers.

use std::fmt;

/// Families that are numbered: first and last CSR, the name, and the number of the first.
const FAMILIES: [(u16, u16, &str, u16); 5] = [
    (0x323, 0x33f, "mhpmevent", 3),
    (0x3a0, 0x3af, "pmpcfg", 0),
    (0x3b0, 0x3ef, "pmpaddr", 0),
    (0xb03, 0xb1f, "mhpmcounter", 3),
    (0xc03, 0xc1f, "hpmcounter", 3),
];

/// All others, in ascending order.
#[rustfmt::skip]
const NAMES: [(u16, &str); 113] = [
    (0x001, "fflags"), (0x002, "frm"), (0x003, "fcsr"), (0x015, "seed"),
    (0x100, "sstatus"), (0x104, "sie"), (0x105, "stvec"), (0x106, "scounteren"), (0x10a, "senvcfg"),
    (0x10c, "sstateen0"), (0x10d, "sstateen1"), (0x10e, "sstateen2"), (0x10f, "sstateen3"),
    (0x140, "sscratch"), (0x141, "sepc"), (0x142, "scause"), (0x143, "stval"), (0x144, "sip"),
    (0x14d, "stimecmp"), (0x150, "siselect"), (0x151, "sireg"), (0x15c, "stopei"), (0x180, "satp"),
    (0x200, "vsstatus"), (0x204, "vsie"), (0x205, "vstvec"), (0x240, "vsscratch"), (0x241, "vsepc"),
    (0x242, "vscause"), (0x243, "vstval"), (0x244, "vsip"), (0x24d, "vstimecmp"), (0x250, "vsiselect"),
    (0x251, "vsireg"), (0x25c, "vstopei"), (0x280, "vsatp"),
    (0x300, "mstatus"), (0x301, "misa"), (0x302, "medeleg"), (0x303, "mideleg"), (0x304, "mie"),
    (0x305, "mtvec"), (0x306, "mcounteren"), (0x308, "mvien"), (0x309, "mvip"), (0x30a, "menvcfg"),
    (0x30c, "mstateen0"), (0x30d, "mstateen1"), (0x30e, "mstateen2"), (0x30f, "mstateen3"),
    (0x320, "mcountinhibit"), (0x340, "mscratch"), (0x341, "mepc"), (0x342, "mcause"), (0x343, "mtval"),
    (0x344, "mip"), (0x34a, "mtinst"), (0x34b, "mtval2"), (0x350, "miselect"), (0x351, "mireg"),
    (0x35c, "mtopei"),
    (0x5a8, "scontext"),
    (0x600, "hstatus"), (0x602, "hedeleg"), (0x603, "hideleg"), (0x604, "hie"), (0x605, "htimedelta"),
    (0x606, "hcounteren"), (0x607, "hgeie"), (0x608, "hvien"), (0x609, "hvictl"), (0x60a, "henvcfg"),
    (0x60c, "hstateen0"), (0x60d, "hstateen1"), (0x60e, "hstateen2"), (0x60f, "hstateen3"),
    (0x643, "htval"), (0x644, "hip"), (0x645, "hvip"), (0x646, "hviprio1"), (0x647, "hviprio2"),
    (0x64a, "htinst"), (0x680, "hgatp"), (0x6a8, "hcontext"),
    (0x747, "mseccfg"), (0x7a0, "tselect"), (0x7a1, "tdata1"), (0x7a2, "tdata2"), (0x7a3, "tdata3"),
    (0x7a4, "tinfo"), (0x7a5, "tcontrol"), (0x7a8, "mcontext"), (0x7aa, "mscontext"), (0x7b0, "dcsr"),
    (0x7b1, "dpc"), (0x7b2, "dscratch0"), (0x7b3, "dscratch1"),
    (0xb00, "mcycle"), (0xb02, "minstret"),
    (0xc00, "cycle"), (0xc01, "time"), (0xc02, "instret"), (0xcc0, "lockstep_hostid"),
    (0xda0, "scountovf"), (0xdb0, "stopi"),
    (0xe12, "hgeip"), (0xeb0, "vstopi"),
    (0xf11, "mvendorid"), (0xf12, "marchid"), (0xf13, "mimpid"), (0xf14, "mhartid"), (0xf15, "mconfigptr"),
    (0xfb0, "mtopi"),
];

/// Writes the name of CSR `number`, or the number when it has none.
pub fn write_name(number: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Ok(found) = NAMES.binary_search_by_key(&number, |&(csr, _)| csr) {
        return f.write_str(NAMES[found].1);
    }
    match FAMILIES.iter().find(|(first, last, ..)| (*first..=*last).contains(&number)) {
        Some((first, _, name, start)) => write!(f, "{name}{}", number - first + start),
        None => write!(f, "{number:#x}"),
    }
}
