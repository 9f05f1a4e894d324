//! Cache-block operations: `cbo.zero`, and `cbo.inval`, `cbo.clean` and `cbo.flush`, which show in
//! nothing but their faults.

use super::asm::*;
use super::translation::{LEAF, Tables};
use super::world::{BASE, LATCH, World};
use crate::cpu::{Cpu, HartStop, Privilege};

const INVAL: i32 = 0;
const CLEAN: i32 = 1;
const FLUSH: i32 = 2;
const ZERO: i32 = 4;

const R: u64 = 2;
const W: u64 = 4;
const X: u64 = 8;
const A: u64 = 0x40;
const D: u64 = 0x80;

#[test]
fn cbo_zero_clears_the_64_bytes_that_hold_the_address_and_no_more() {
    for offset in [0, 1, 32, 63] {
        let mut world = World::new(&[cbo(ZERO, 5), cbo(ZERO, 5), ld(7, 5, 0)]);
        for at in (0..0x1000).step_by(8) {
            world.put_u64(BASE + 0x5000 + at, u64::MAX);
        }
        world.set_x(5, BASE + 0x5040 + offset);
        world.step(1);
        for at in (0..0x1000).step_by(8) {
            let expected = if (0x40..0x80).contains(&at) { 0 } else { u64::MAX };
            assert_eq!(world.u64_at(BASE + 0x5000 + at), expected, "{at:x}");
        }
        // Once more, when the caches know the page.
        world.put_u64(BASE + 0x5078, 5);
        world.step(1);
        assert_eq!(world.u64_at(BASE + 0x5078), 0);
        assert_eq!(world.hart.exceptions, 0);
    }
}

#[test]
fn the_management_operations_change_nothing() {
    let mut world = World::new(&[cbo(INVAL, 5), cbo(CLEAN, 5), cbo(FLUSH, 5), ld(7, 5, 0)]);
    world.put_u64(BASE + 0x5000, 77);
    world.set_x(5, BASE + 0x5000);
    let before = world.ram.digest();
    world.step(4);
    assert_eq!((world.x(7), world.hart.exceptions), (77, 0));
    assert_eq!(world.ram.digest(), before);
}

#[test]
fn a_block_of_instructions_that_is_zeroed_is_zero_to_the_next_fetch() {
    // The block behind this one is code that has run.
    let mut world = World::new(&[jal(0, 64)]);
    world.put(BASE + 64, &[addi(7, 7, 1), jal(0, -68)]);
    world.step(3);
    world.put(BASE, &[cbo(ZERO, 5)]);
    world.set_x(5, BASE + 64);
    world.step(1);
    world.hart.pc = BASE + 64;
    world.step(1);
    assert_eq!((world.x(7), world.hart.csrs.mcause, world.hart.csrs.mtval), (1, 2, 0));
}

#[test]
fn each_operation_is_gated_by_its_field_for_each_mode() {
    for (which, field, other) in [
        (INVAL, 0x10, 0xc0),
        (INVAL, 0x30, 0xc0),
        (CLEAN, 0x40, 0xb0),
        (FLUSH, 0x40, 0xb0),
        (ZERO, 0x80, 0x70),
    ] {
        for (mode, menvcfg, senvcfg, allowed) in [
            (Privilege::Machine, 0, 0, true),
            (Privilege::Supervisor, other, 0xf0, false),
            (Privilege::Supervisor, field, 0, true),
            (Privilege::User, field, other, false),
            (Privilege::User, other, field, false),
            (Privilege::User, field, field, true),
        ] {
            let expected = if allowed { (0, 0, 0) } else { (1, 2, cbo(which, 5).into()) };
            // The second time the caches know the page.
            for warmed in [false, true] {
                let operation = if warmed { [sd(0, 5, 0), cbo(which, 5)] } else { [cbo(which, 5), NOP] };
                let mut world = World::new(&operation);
                world.set_x(5, BASE + 0x5000);
                world.hart.privilege = mode;
                world.hart.csrs.pmp.set_address(0, u64::MAX);
                world.hart.csrs.pmp.set_config(0, 0x1f);
                (world.hart.csrs.menvcfg, world.hart.csrs.senvcfg) = (menvcfg, senvcfg);
                world.step(1 + u64::from(warmed));
                let found = (world.hart.exceptions, world.hart.csrs.mcause, world.hart.csrs.mtval);
                assert_eq!(found, expected, "{which} in {mode:?} with {menvcfg:x}, {senvcfg:x}, {warmed}");
            }
        }
    }
}

#[test]
fn a_hart_without_them_takes_them_as_illegal() {
    for which in [INVAL, CLEAN, FLUSH, ZERO] {
        let allowed = |cpu| {
            let mut world = World::of(cpu, &[cbo(which, 5)]);
            world.set_x(5, BASE + 0x5000);
            world.step(1);
            world.hart.exceptions == 0
        };
        assert_eq!(allowed(Cpu { zicbom: false, ..Cpu::default() }), which == ZERO);
        assert_eq!(allowed(Cpu { zicboz: false, ..Cpu::default() }), which != ZERO);
        assert!(!allowed(Cpu::FIRST));
    }
}

/// Cause and value of `which` at `offset` in a page of S-mode with `rights`, and whether it is zero.
fn on_page(which: i32, rights: u64, offset: u64) -> (u64, u64, bool) {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, rights);
    world.put(BASE + 0x5000, &[cbo(which, 5)]);
    world.put_u64(BASE + 0x6000, 1);
    world.hart.csrs.menvcfg = 0xf0;
    tables.enter(&mut world, 1, 0x10_0000);
    world.set_x(5, 0x30_0000 + offset);
    world.step(1);
    (world.hart.csrs.mcause, world.hart.csrs.mtval, world.u64_at(BASE + 0x6000) == 0)
}

#[test]
fn zeroing_is_a_store_and_managing_is_allowed_where_a_load_is() {
    let all = 1 | R | W | X | A | D;
    let at = 0x30_0000;
    assert_eq!(on_page(ZERO, all, 0), (0, 0, true));
    for rights in [all & !W, all & !D, all & !A, all & !(R | W), 0] {
        assert_eq!(on_page(ZERO, rights, 0), (15, at, false), "{rights:x}");
    }
    assert_eq!(on_page(ZERO, 0, 13), (15, at + 13, false), "the value is the register, not the block");
    for which in [INVAL, CLEAN, FLUSH] {
        for rights in [all, all & !W, all & !D] {
            assert_eq!(on_page(which, rights, 0), (0, 0, false), "{rights:x}");
        }
        for rights in [all & !A, all & !(R | W), 0] {
            assert_eq!(on_page(which, rights, 9), (15, at + 9, false), "{rights:x}");
        }
    }
}

#[test]
fn pmp_must_allow_the_whole_block() {
    for (which, size) in [(ZERO, 64u64), (ZERO, 32), (CLEAN, 64), (CLEAN, 32)] {
        let mut world = World::new(&[cbo(which, 5)]);
        world.set_x(5, BASE + 0x5044);
        // The beginning of the block may be read and written, and so may everything behind it.
        world.hart.csrs.pmp.set_address(0, (BASE + 0x5040) >> 2 | (size / 8 - 1));
        world.hart.csrs.pmp.set_address(1, u64::MAX);
        world.hart.csrs.pmp.set_config(0, 0x1f_1b);
        world.step(1);
        let found = (world.hart.csrs.mcause, world.hart.csrs.mtval);
        assert_eq!(found, if size == 64 { (0, 0) } else { (7, BASE + 0x5044) });
    }
    let mut world = World::new(&[cbo(CLEAN, 5), cbo(ZERO, 5)]);
    world.set_x(5, BASE + 0x5000);
    world.hart.csrs.pmp.set_address(0, (BASE + 0x5000) >> 2 | 0x1ff);
    world.hart.csrs.pmp.set_config(0, 0x99);
    world.step(1);
    assert_eq!(world.hart.exceptions, 0, "it may be read");
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (7, BASE + 0x5000), "locked against writing");
}

#[test]
fn a_device_cannot_be_zeroed_and_does_not_see_the_rest() {
    let mut world = World::new(&[cbo(CLEAN, 5), cbo(INVAL, 5), cbo(FLUSH, 5), cbo(ZERO, 5)]);
    world.set_x(5, LATCH);
    world.bus.latch = 5;
    assert_eq!(world.step(4), HartStop::Reached);
    assert_eq!((world.hart.exceptions, world.hart.csrs.mcause, world.hart.csrs.mtval), (1, 7, LATCH));
    assert_eq!(world.bus.latch, 5);
}

#[test]
fn a_watched_doubleword_that_is_zeroed_is_told() {
    let mut world = World::new(&[cbo(ZERO, 5)]);
    world.put_u64(BASE + 0x5010, 3);
    world.hart.set_tohost(Some(crate::base::GuestPhys(BASE + 0x5010)));
    world.set_x(5, BASE + 0x5000);
    world.step(1);
    assert_eq!(world.bus.tohost, [0]);
}
