//! The registers: what each can hold, who sees it, counters.

use super::asm::*;
use super::world::{BASE, World};
use crate::cpu::{Answer, Cpu, HartStop, Privilege, Question};

/// Writes `value` to a register that held `before` and reads it back.
fn write(number: u16, before: u64, value: u64) -> u64 {
    let mut world = World::new(&[csrw(number, 5), csrw(number, 6), csrr(7, number)]);
    world.hart.csrs.mstatus = 0x2000;
    world.set_x(5, before);
    world.set_x(6, value);
    world.step(3);
    assert_eq!(world.hart.exceptions, 0, "{number:x}");
    world.x(7)
}

#[test]
fn each_register_holds_what_it_can() {
    const ALL: u64 = u64::MAX;
    for (number, from_zero, from_ones) in [
        // All ones written over zero; zero written over all ones.
        (0x001, 0x1f, 0),
        (0x002, 7, 0),
        (0x003, 0xff, 0),
        (0x104, 0, 0),
        (0x105, ALL & !2, 0),
        (0x106, 7, 0),
        (0x10a, 0xf1, 0),
        (0x140, ALL, 0),
        (0x141, ALL & !1, 0),
        (0x142, ALL, 0),
        (0x143, ALL, 0),
        (0x144, 0, 0),
        (0x14d, ALL, 0),
        (0x300, 0x8000_000a_007e_79aa, 0xa_0000_6000 & !0x6000),
        (0x301, 0x8000_0000_0014_112d, 0x8000_0000_0014_112d),
        (0x302, 0xb3ff, 0),
        (0x303, 0x222, 0),
        (0x304, 0xaaa, 0),
        (0x305, ALL & !2, 0),
        (0x306, 7, 0),
        (0x30a, 1 << 63 | 0xf1, 0),
        (0x320, 5, 0),
        (0x323, 0, 0),
        (0x33f, 0, 0),
        (0x340, ALL, 0),
        (0x341, ALL & !1, 0),
        (0x342, ALL, 0),
        (0x343, ALL, 0),
        (0x344, 0x222, 0),
        (0x747, 0x300, 0),
        (0x7a0, 0, 0),
        (0x7a1, 0, 0),
        (0x7a2, 0, 0),
        (0x7a3, 0, 0),
        (0x7a4, 1, 1),
        (0xb03, 0, 0),
        (0xb1f, 0, 0),
        (0x3b0, (1 << 54) - 1, 0),
        // Every entry NAPOT, RWX, locked; the second write is then ignored.
        (0x3a2, 0x9f9f_9f9f_9f9f_9f9f, 0x9f9f_9f9f_9f9f_9f9f),
    ] {
        assert_eq!(write(number, 0, ALL), from_zero, "{number:x} all ones");
        assert_eq!(write(number, ALL, 0), from_ones, "{number:x} zero");
    }
}

#[test]
fn fields_with_holes_keep_what_they_had() {
    // MPP: 2 is no mode.
    assert_eq!(write(0x300, 1 << 11, 2 << 11) & 0x1800, 1 << 11);
    assert_eq!(write(0x300, 1 << 11, 3 << 11) & 0x1800, 3 << 11);
    // satp: only Bare and Sv39.
    let sv39 = 8 << 60 | 0xabc << 44 | 0x1234;
    assert_eq!(write(0x180, 0, sv39), sv39);
    for mode in [1, 7, 9, 10, 15] {
        assert_eq!(write(0x180, sv39, mode << 60 | 5), sv39, "mode {mode}");
    }
    assert_eq!(write(0x180, sv39, 0x77), 0x77);
    // xtvec: a reserved mode becomes the one below it.
    assert_eq!(write(0x305, 0, 0x1002), 0x1000);
    assert_eq!(write(0x105, 0, 0x1003), 0x1001);
    // CBIE: 2 is reserved; its neighbours are written all the same.
    for number in [0x10a, 0x30a] {
        assert_eq!(write(number, 0x10, 0xe0), 0xd0, "{number:x}");
        assert_eq!(write(number, 0x30, 0x21), 0x31, "{number:x}");
    }
    // The rounding mode can hold reserved values.
    assert_eq!(write(0x002, 0, 5), 5);
}

#[test]
fn identities_are_constants() {
    for (number, value) in [(0xf11, 0), (0xf12, 0x6c6f_636b), (0xf13, 1), (0xf14, 0), (0xf15, 0)] {
        let mut world = World::new(&[csrr(7, number)]);
        world.set_x(7, 99);
        world.step(1);
        assert_eq!(world.x(7), value, "{number:x}");
    }
}

#[test]
fn sstatus_and_sie_and_sip_are_windows() {
    let mut world = World::new(&[
        csrw(0x100, 5),
        csrr(7, 0x300),
        csrr(8, 0x100),
        csrw(0x104, 5),
        csrr(9, 0x304),
        csrr(10, 0x104),
        csrw(0x144, 5),
        csrr(11, 0x344),
        csrr(12, 0x144),
    ]);
    world.set_x(5, u64::MAX);
    world.hart.csrs.mideleg = 0x22;
    world.hart.csrs.mie = 0x888;
    world.bus.lines = 0x200;
    world.step(9);
    assert_eq!(world.x(7), 0x8000_000a_000c_6122);
    assert_eq!(world.x(8), 0x8000_0002_000c_6122);
    assert_eq!((world.x(9), world.x(10)), (0x8aa, 0x22));
    // Through sip only SSIP can be written, and only what is delegated is seen.
    assert_eq!((world.x(11), world.x(12)), (0x202, 2));
}

#[test]
fn a_line_does_not_stick_in_mip() {
    // csrrs of another bit while SEIP's line is up must not set the software bit.
    let mut world = World::new(&[csrrsi(7, 0x344, 2), csrr(8, 0x344)]);
    world.bus.lines = 0x200;
    world.step(1);
    world.bus.lines = 0;
    world.step(1);
    assert_eq!((world.x(7), world.x(8)), (0x200, 2));
    // The software bit of SEIP is or-ed with the line.
    let mut world = World::new(&[csrw(0x344, 5), csrr(8, 0x344)]);
    world.set_x(5, 0x200);
    world.step(2);
    assert_eq!(world.x(8), 0x200);
}

#[test]
fn stip_is_software_without_sstc_and_the_comparison_with_it() {
    let mut world = World::new(&[
        csrw(0x344, 5),
        csrr(7, 0x344),
        csrrs(0, 0x30a, 6),
        csrr(8, 0x344),
        csrw(0x344, 0),
        csrr(9, 0x344),
    ]);
    world.set_x(5, 0x20);
    world.set_x(6, 1 << 63);
    world.step(4);
    assert_eq!((world.x(7), world.x(8)), (0x20, 0));
    world.bus.lines = 0x20;
    world.step(2);
    assert_eq!(world.x(9), 0x20);
}

#[test]
fn counters_count_from_the_instruction_after_the_write() {
    let mut world = World::new(&[
        csrw(0xb02, 5), // minstret
        csrr(6, 0xb02),
        NOP,
        csrr(7, 0xb02),
        csrrw(8, 0xb00, 5), // mcycle
        csrr(9, 0xb00),
    ]);
    world.set_x(5, 1000);
    world.step(6);
    assert_eq!((world.x(6), world.x(7)), (1000, 1002));
    assert_eq!((world.x(8), world.x(9)), (4, 1000));
}

#[test]
fn inhibited_counters_stand_still() {
    let mut world = World::new(&[
        NOP,
        csrrwi(0, 0x320, 4), // instret
        csrr(5, 0xb02),
        NOP,
        csrr(6, 0xb02),
        csrr(7, 0xb00),
        csrw(0xb02, 10),
        csrrwi(0, 0x320, 1), // cycle instead
        csrr(8, 0xb02),
        csrr(9, 0xb00),
        csrr(11, 0xb00),
    ]);
    world.set_x(10, 500);
    world.step(11);
    assert_eq!((world.x(5), world.x(6), world.x(7)), (2, 2, 5));
    assert_eq!((world.x(8), world.x(9), world.x(11)), (500, 8, 8));
}

#[test]
fn counters_are_seen_below_only_where_they_are_enabled() {
    use Privilege::{Supervisor, User};
    for (mode, mcounteren, scounteren, allowed) in [
        (Supervisor, 0, 7, false),
        (Supervisor, 7, 0, true),
        (User, 7, 0, false),
        (User, 0, 7, false),
        (User, 7, 7, true),
    ] {
        for (bit, number) in [(0, 0xc00), (1, 0xc01), (2, 0xc02)] {
            let mut world = World::new(&[csrr(5, number)]);
            world.hart.csrs.pmp.set_address(0, u64::MAX);
            world.hart.csrs.pmp.set_config(0, 0x1f);
            world.hart.privilege = mode;
            world.hart.csrs.mcounteren = mcounteren & 1 << bit;
            world.hart.csrs.scounteren = scounteren & 1 << bit;
            let stop = world.step(1);
            let worked = matches!(stop, HartStop::Ask(_)) || world.hart.exceptions == 0;
            assert_eq!(worked, allowed, "{mode:?} {number:x} {mcounteren} {scounteren}");
        }
        // The hpm counters are for M-mode only.
        let mut world = World::new(&[csrr(5, 0xc03)]);
        world.step(1);
        assert_eq!(world.hart.exceptions, 0);
        world.hart.privilege = mode;
        world.hart.pc = BASE;
        world.step(1);
        assert_eq!(world.hart.exceptions, 1);
    }
}

#[test]
fn stimecmp_and_seed_are_gated() {
    let allowed = |mode, number: u16, menvcfg, mcounteren, mseccfg| {
        let mut world = World::new(&[csrrw(5, number, 6)]);
        world.hart.csrs.pmp.set_address(0, u64::MAX);
        world.hart.csrs.pmp.set_config(0, 0x1f);
        world.hart.privilege = mode;
        world.hart.csrs.menvcfg = menvcfg;
        world.hart.csrs.mcounteren = mcounteren;
        world.hart.csrs.mseccfg = mseccfg;
        let stop = world.step(1);
        matches!(stop, HartStop::Ask(_)) || world.hart.exceptions == 0
    };
    let stce = 1 << 63;
    let (m, s, u) = (Privilege::Machine, Privilege::Supervisor, Privilege::User);
    assert!(allowed(m, 0x14d, 0, 0, 0));
    assert!(allowed(s, 0x14d, stce, 2, 0));
    assert!(!allowed(s, 0x14d, stce, 0, 0));
    assert!(!allowed(s, 0x14d, 0, 2, 0));
    assert!(!allowed(u, 0x14d, stce, 2, 0));
    assert!(allowed(m, 0x015, 0, 0, 0));
    assert!(allowed(s, 0x015, 0, 0, 0x200) && !allowed(s, 0x015, 0, 0, 0x100));
    assert!(allowed(u, 0x015, 0, 0, 0x100) && !allowed(u, 0x015, 0, 0, 0x200));
    // Every mode may read the host's id.
    assert!(!allowed(m, 0xcc0, 0, 0, 0));
}

#[test]
fn set_and_clear_with_x0_or_zero_do_not_write() {
    // Of a read-only register, so that a write would be illegal.
    for insn in [csrrs(5, 0xf12, 0), csrrc(5, 0xf12, 0), csrrsi(5, 0xf12, 0), csrrci(5, 0xf12, 0)] {
        let mut world = World::new(&[insn]);
        world.step(1);
        assert_eq!((world.hart.exceptions, world.x(5)), (0, 0x6c6f_636b));
    }
    for insn in [csrrs(5, 0xf12, 9), csrrsi(5, 0xf12, 1), csrrw(5, 0xf12, 0)] {
        let mut world = World::new(&[insn]);
        world.step(1);
        assert_eq!(world.hart.exceptions, 1, "x9 is 0, and yet it is written");
    }
    let mut world = World::new(&[
        csrrwi(0, 0x340, 21),
        csrrsi(5, 0x340, 10),
        csrrci(6, 0x340, 17),
        csrrc(7, 0x340, 8),
        csrr(9, 0x340),
    ]);
    world.set_x(8, 2);
    world.step(5);
    assert_eq!((world.x(5), world.x(6), world.x(7), world.x(9)), (21, 31, 14, 12));
}

#[test]
fn a_kernel_begins_with_what_a_firmware_leaves_behind() {
    // Time, entropy and the timer are S-mode's at once, all of memory too; U-mode has its counters.
    let code = [csrr(5, 0xc01), csrrw(6, 0x015, 0), csrw(0x14d, 0), csrr(7, 0xc00), csrr(8, 0x106)];
    let mut world = World::new(&code);
    world.hart.restart(Privilege::Supervisor, BASE, 0x1234, 0);
    assert_eq!((world.x(10), world.x(11)), (0, 0x1234));
    assert_eq!((world.hart.privilege(), world.hart.csrs.satp), (Privilege::Supervisor, 0));
    assert_eq!((world.hart.csrs.medeleg, world.hart.csrs.mideleg), (0xb1ff, 0x222));
    assert_eq!(world.step(5), HartStop::Ask(Question::Time));
    world.answer(Answer::Time(7));
    assert_eq!(world.step(4), HartStop::Ask(Question::Entropy));
    world.answer(Answer::Entropy(9));
    world.step(3);
    assert_eq!((world.hart.exceptions, world.x(5), world.x(8)), (0, 7, 7));
    world.hart.privilege = Privilege::User;
    world.hart.pc = BASE + 12;
    world.step(1);
    assert_eq!(world.hart.exceptions, 0);
}

#[test]
fn what_the_hart_has_not_cannot_be_enabled() {
    let held = |cpu, number| {
        let mut world = World::of(cpu, &[csrr(8, number), csrw(number, 5), csrr(7, number)]);
        world.set_x(5, !0x20);
        world.step(3);
        assert_eq!(world.hart.exceptions, 0);
        (world.x(8), world.x(7))
    };
    let bare = Cpu { zicbom: false, zicboz: false, ..Cpu::default() };
    const STCE: u64 = 1 << 63;
    const ADUE: u64 = 1 << 61;
    for (cpu, menvcfg) in [
        (bare, (0, STCE | 1)),
        (Cpu { zicbom: true, ..bare }, (0, STCE | 0x51)),
        (Cpu { zicboz: true, ..bare }, (0, STCE | 0x81)),
        // Hardware updates are on at reset, as on QEMU.
        (Cpu { svadu: true, ..bare }, (ADUE, STCE | ADUE | 1)),
        (Cpu::FIRST, (0, STCE | 1)),
    ] {
        assert_eq!(held(cpu, 0x30a), menvcfg, "{cpu}");
        assert_eq!(held(cpu, 0x10a), (0, menvcfg.1 & 0xff), "{cpu}");
    }
}

#[test]
fn the_first_revision_has_no_trigger_registers_and_large_pmp_grains() {
    for number in 0x7a0..=0x7a8 {
        for (cpu, here) in [(Cpu::FIRST, false), (Cpu::default(), number <= 0x7a4)] {
            let mut world = World::of(cpu, &[csrr(7, number)]);
            world.step(1);
            assert_eq!(world.hart.exceptions == 0, here, "{number:x} of {cpu}");
        }
    }
    let mut world = World::of(Cpu::FIRST, &[csrw(0x3b0, 5), csrr(7, 0x3b0), csrr(8, 0x3b0)]);
    world.set_x(5, u64::MAX);
    world.step(2);
    assert_eq!(world.x(7), ((1 << 54) - 1) & !0x3ff);
    let mut world = world.reborn();
    world.step(1);
    assert_eq!(world.x(8), world.x(7), "a restored hart is the same one");
}
