//! Exceptions and interrupts: cause, value, delegation, entry and return, priorities.

use super::asm::*;
use super::translation::{LEAF, Tables};
use super::world::{BASE, LINES, World};
use crate::cpu::Cpu;
use crate::cpu::Privilege;

const U: u64 = 0x10;

/// Runs `code` in `mode` and tells (cause, value, epc) of the exception that it raises, at M.
fn exception(mode: u64, code: &[u32], status: u64) -> (u64, u64, u64) {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF | if mode == 0 { U } else { 0 });
    world.put(BASE + 0x5000, code);
    tables.enter(&mut world, mode, 0x10_0000);
    if mode == 3 {
        world.hart.privilege = Privilege::Machine;
        world.hart.pc = BASE + 0x5000;
    }
    world.hart.csrs.mstatus = status;
    world.hart.csrs.mtvec = BASE + 0x100;
    while world.hart.exceptions == 0 {
        world.step(1);
    }
    assert_eq!(world.hart.pc(), BASE + 0x100);
    assert_eq!(world.hart.privilege(), Privilege::Machine);
    let csrs = &world.hart.csrs;
    let from = if mode == 3 { BASE + 0x5000 } else { 0x10_0000 };
    (csrs.mcause, csrs.mtval, csrs.mepc.wrapping_sub(from))
}

#[test]
fn each_exception_has_its_cause_and_value() {
    let at = 0x10_0000;
    assert_eq!(exception(0, &[NOP, ECALL], 0), (8, 0, 4));
    assert_eq!(exception(1, &[NOP, ECALL], 0), (9, 0, 4));
    assert_eq!(exception(3, &[NOP, ECALL], 0), (11, 0, 4));
    assert_eq!(exception(1, &[NOP, EBREAK], 0), (3, at + 4, 4));
    assert_eq!(exception(1, &[0x9002_0001], 0), (3, at + 2, 2), "c.ebreak");
    assert_eq!(exception(1, &[0xffff_ffff], 0), (2, 0xffff_ffff, 0));
    assert_eq!(exception(1, &[0xdead_0000], 0), (2, 0, 0), "the 16 bits of a short one");
    assert_eq!(exception(1, &[0x0001, 0x1234_8000], 0), (2, 0, 2));
    assert_eq!(exception(1, &[0x9000_0001], 0), (2, 0x9000, 2));
    assert_eq!(exception(1, &[jalr(0, 0, 0)], 0), (12, 0, 0u64.wrapping_sub(at)));
    assert_eq!(exception(3, &[jalr(0, 0, 8)], 0), (1, 8, 8u64.wrapping_sub(BASE + 0x5000)));
}

#[test]
fn what_a_mode_may_not_is_illegal_with_its_bits() {
    let (tvm, tw, tsr) = (1 << 20, 1 << 21, 1 << 22);
    let illegal = |mode, insn, status| {
        let end = [insn, ECALL];
        exception(mode, &end, status) == (2, insn.into(), 0)
    };
    for insn in [MRET, csrr(5, 0x300), csrr(5, 0xb00), csrr(5, 0x3a0)] {
        assert!(illegal(0, insn, 0) && illegal(1, insn, 0), "{insn:08x}");
    }
    for insn in [SRET, WFI, SFENCE, csrr(5, 0x100), csrr(5, 0x180)] {
        assert!(illegal(0, insn, 0), "{insn:08x}");
    }
    for (insn, bit) in [(SRET, tsr), (WFI, tw), (SFENCE, tvm), (csrr(5, 0x180), tvm), (csrw(0x180, 0), tvm)] {
        assert!(illegal(1, insn, bit), "{insn:08x}");
        let all_others = (tvm | tw | tsr) & !bit;
        // (These would go elsewhere, or wait.)
        if insn != SRET && insn != WFI && insn != csrw(0x180, 0) {
            assert!(!illegal(1, insn, all_others), "{insn:08x}");
        }
    }
    // Registers that do not exist, and writes to read-only ones.
    for insn in
        [csrr(5, 0x7a5), csrr(5, 0x3a1), csrr(5, 0x5a8), csrr(5, 0xda0), csrw(0xc00, 0), csrw(0xf14, 0)]
    {
        assert!(illegal(3, insn, 0), "{insn:08x}");
    }
    // Floating point while it is off.
    for insn in
        [csrr(5, 3), fp(0, 0, 1, 2, 3), s(0x27, 3, 5, 6, 0), i(0x07, 2, 6, 5, 0), fp(0x79, 0, 1, 2, 0)]
    {
        assert!(illegal(3, insn, 0), "{insn:08x}");
    }
}

#[test]
fn delegated_exceptions_go_to_s_mode_except_from_m_mode() {
    for (mode, spp) in [(0, 0), (1, 0x100)] {
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF | if mode == 0 { U } else { 0 });
        world.put(BASE + 0x5000, &[EBREAK]);
        tables.enter(&mut world, mode, 0x10_0000);
        world.hart.csrs.medeleg = 1 << 3;
        world.hart.csrs.stvec = 0x20_0001; // vectored: not for exceptions
        world.hart.csrs.mstatus = 2; // SIE
        world.step(1);
        let csrs = &world.hart.csrs;
        assert_eq!((csrs.scause, csrs.stval, csrs.sepc), (3, 0x10_0000, 0x10_0000));
        assert_eq!((csrs.mcause, csrs.mepc), (0, 0));
        assert_eq!(csrs.mstatus, spp | 0x20, "SPP, SPIE, and SIE off");
        assert_eq!((world.hart.pc(), world.hart.privilege()), (0x20_0000, Privilege::Supervisor));
    }
    let mut world = World::new(&[EBREAK]);
    world.hart.csrs.medeleg = 1 << 3;
    world.hart.csrs.mstatus = 8;
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.scause), (3, 0));
    assert_eq!(world.hart.csrs.mstatus, 0x1880, "MPP = M, MPIE, and MIE off");
}

/// Where a hart in `mode` with these registers goes when `lines` rise: (mode, pc, cause).
fn interrupt(
    mode: Privilege,
    mie: u64,
    mideleg: u64,
    mstatus: u64,
    lines: u64,
) -> Option<(Privilege, u64, u64)> {
    let mut world = World::new(&[NOP; 4]);
    world.hart.privilege = mode;
    world.hart.csrs.mie = mie;
    world.hart.csrs.mideleg = mideleg;
    world.hart.csrs.mstatus = mstatus;
    world.hart.csrs.menvcfg = 1 << 63;
    world.hart.csrs.mip = lines & 2;
    world.hart.csrs.mtvec = 0x1000 | 1;
    world.hart.csrs.stvec = 0x2000 | 1;
    world.bus.lines = lines & !2;
    world.hart.refresh_lines(&world.bus);
    if world.hart.pc() == BASE {
        return None;
    }
    let to_machine = world.hart.privilege() == Privilege::Machine;
    let csrs = &world.hart.csrs;
    let cause = if to_machine { csrs.mcause } else { csrs.scause };
    assert_eq!(if to_machine { csrs.mepc } else { csrs.sepc }, BASE);
    assert_eq!(world.hart.icount().get(), 0);
    Some((world.hart.privilege(), world.hart.pc(), cause & !(1 << 63)))
}

#[test]
fn interrupts_are_taken_by_mode_enable_and_delegation() {
    use Privilege::{Machine as M, Supervisor as S, User as U};
    let (sie, mie) = (2, 8);
    let all = 0xaaa;
    // A machine interrupt: in M-mode only with MIE, below always; vectored.
    assert_eq!(interrupt(M, all, 0, 0, 0x80), None);
    assert_eq!(interrupt(M, all, 0, mie, 0x80), Some((M, 0x101c, 7)));
    assert_eq!(interrupt(S, all, 0, 0, 0x80), Some((M, 0x101c, 7)));
    assert_eq!(interrupt(U, all, 0, 0, 0x800), Some((M, 0x102c, 11)));
    // Not enabled in mie.
    assert_eq!(interrupt(U, all & !0x80, 0, mie, 0x80), None);
    // A supervisor interrupt that is not delegated goes to M-mode.
    assert_eq!(interrupt(S, all, 0, 0, 0x200), Some((M, 0x1024, 9)));
    // Delegated: in S-mode only with SIE, in U-mode always, in M-mode never.
    assert_eq!(interrupt(S, all, 0x222, 0, 0x200), None);
    assert_eq!(interrupt(S, all, 0x222, sie, 0x200), Some((S, 0x2024, 9)));
    assert_eq!(interrupt(U, all, 0x222, 0, 0x20), Some((S, 0x2014, 5)));
    assert_eq!(interrupt(M, all, 0x222, sie | mie, 0x222), None);
}

#[test]
fn of_several_interrupts_the_highest_goes_first() {
    use Privilege::{Machine as M, Supervisor as S, User as U};
    let mut lines = 0xaaa;
    for code in [11, 3, 7, 9, 1, 5] {
        let (mode, _, cause) = interrupt(U, 0xaaa, 0, 0, lines).unwrap();
        assert_eq!((mode, cause), (M, code));
        lines &= !(1 << code);
    }
    // One for M-mode goes before any that is delegated.
    assert_eq!(interrupt(S, 0xaaa, 0x222, 2, 0x2a2).unwrap(), (M, 0x101c, 7));
    assert_eq!(interrupt(S, 0xaaa, 0x222, 2, 0x222).unwrap(), (S, 0x2024, 9));
    assert_eq!(interrupt(S, 0xaaa, 0x222, 2, 0x022).unwrap(), (S, 0x2004, 1));
}

#[test]
fn an_interrupt_comes_right_behind_the_instruction_that_lets_it() {
    // Each makes an interrupt pending or enabled; the next instruction must not run.
    let lines = LINES;
    for (insn, mip, mie, mstatus) in [
        (csrrsi(0, 0x300, 8), 0x80, 0x80, 0), // MIE set
        (csrrs(0, 0x304, 6), 0x80, 0, 8),     // enabled in mie
        (sd(6, 5, 0), 0, 0x80, 8),            // a device raises its line
        (csrrs(0, 0x344, 7), 0, 0x2, 8),      // software makes it pending
    ] {
        let mut world = World::new(&[insn, addi(9, 0, 1)]);
        world.hart.csrs.mtvec = BASE + 0x100;
        world.hart.csrs.mie = mie;
        world.hart.csrs.mstatus = mstatus;
        world.bus.lines = mip;
        world.set_x(5, lines);
        world.set_x(6, 0x80);
        world.set_x(7, 2);
        world.step(1);
        assert_eq!((world.hart.pc(), world.hart.csrs.mepc), (BASE + 0x100, BASE + 4), "{insn:08x}");
        assert_eq!((world.hart.icount().get(), world.x(9)), (1, 0));
    }
}

#[test]
fn mret_goes_back_to_the_mode_that_was() {
    for (mpp, mode) in [(0, Privilege::User), (1, Privilege::Supervisor), (3, Privilege::Machine)] {
        for mpie in [0, 0x80] {
            let mut world = World::new(&[MRET]);
            world.hart.csrs.mepc = BASE + 0x40;
            world.hart.csrs.mstatus = mpp << 11 | mpie | 1 << 17;
            world.step(1);
            assert_eq!((world.hart.pc(), world.hart.privilege()), (BASE + 0x40, mode));
            // MPIE to MIE, MPIE set, MPP to U; MPRV gone unless it stays in M-mode.
            let mprv = if mpp == 3 { 1 << 17 } else { 0 };
            assert_eq!(world.hart.csrs.mstatus, 0x80 | mpie >> 4 | mprv);
        }
    }
}

#[test]
fn sret_goes_back_to_the_mode_that_was() {
    for (spp, mode) in [(0, Privilege::User), (0x100, Privilege::Supervisor)] {
        for spie in [0, 0x20] {
            let mut world = World::new(&[SRET]);
            world.hart.csrs.sepc = BASE + 0x40;
            world.hart.csrs.mstatus = spp | spie | 1 << 17;
            world.step(1);
            assert_eq!((world.hart.pc(), world.hart.privilege()), (BASE + 0x40, mode));
            assert_eq!(world.hart.csrs.mstatus, 0x20 | spie >> 4);
        }
    }
}

#[test]
fn exceptions_count_but_do_not_retire() {
    let mut world = World::new(&[ECALL]);
    world.put(BASE + 0x100, &[csrr(5, 0xb02), csrr(6, 0xb00), ECALL]);
    world.hart.csrs.mtvec = BASE + 0x100;
    world.step(3);
    assert_eq!((world.x(5), world.x(6)), (0, 2));
    world.step(3);
    assert_eq!((world.x(5), world.x(6)), (2, 5));
}

#[test]
fn a_call_from_s_mode_is_the_machines_to_answer_when_it_is_its_own_firmware() {
    let call = |own_sbi: bool, a7: u64| {
        let mut world = World::new(&[ECALL]);
        world.hart.privilege = Privilege::Supervisor;
        world.hart.csrs.hand_over(Cpu::default());
        world.bus.own_sbi = own_sbi;
        (world.hart.csrs.mtvec, world.hart.csrs.stvec) = (BASE + 0x100, BASE + 0x200);
        world.hart.reservation = Some(BASE);
        for (n, value) in [(10, 1), (11, 2), (17, a7)] {
            world.set_x(n, value);
        }
        world.step(1);
        world
    };
    let trapped = call(false, 0);
    assert_eq!((trapped.hart.pc(), trapped.hart.privilege()), (BASE + 0x100, Privilege::Machine));
    let answered = call(true, 0);
    assert_eq!((answered.hart.pc(), answered.hart.privilege()), (BASE + 4, Privilege::Supervisor));
    assert_eq!((answered.x(10), answered.x(11)), (2, 1));
    assert_eq!((trapped.hart.reservation, answered.hart.reservation), (None, Some(BASE)));
    assert_eq!((trapped.hart.exceptions, answered.hart.exceptions), (1, 0));
    assert_eq!(answered.hart.icount().get(), 1);
    assert_eq!(call(true, 1).hart.csrs.mip_read(0), 1 << 1, "the software interrupt is pending");
    assert!(call(true, 2).hart.is_waiting());
}
