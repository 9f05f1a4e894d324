//! PMP entries that end within a page: every kind of access sees them, and the rest of RAM keeps its
//! caches.

use super::asm::*;
use super::translation::{LEAF, Tables};
use super::world::{BASE, World};
use crate::cpu::Privilege;
use crate::engine::tlb::Kind;

/// Everything but the four bytes at `hole`, which have the rights `rwx`, for S- and U-mode.
fn with_hole(world: &mut World, hole: u64, rwx: u64) {
    let pmp = &mut world.hart.csrs.pmp;
    pmp.set_address(0, hole >> 2);
    pmp.set_address(1, u64::MAX);
    pmp.set_config(0, 0x1f_10 | rwx);
    world.hart.tlb.flush();
}

/// Runs the one instruction `word` in S-mode with x5 = `address`; cause and value, 0 for none.
fn one(word: u32, address: u64, hole: u64, rwx: u64) -> (u64, u64) {
    let mut world = World::new(&[word]);
    with_hole(&mut world, hole, rwx);
    world.hart.privilege = Privilege::Supervisor;
    world.set_x(5, address);
    world.step(1);
    (world.hart.csrs.mcause, world.hart.csrs.mtval)
}

const HOLE: u64 = BASE + 0x5100;

#[test]
fn loads_stores_and_atomics_fault_exactly_in_the_hole() {
    for (size, load_word, store_word) in [
        (1, lb(7, 5, 0), sb(7, 5, 0)),
        (2, lh(7, 5, 0), sh(7, 5, 0)),
        (4, lw(7, 5, 0), sw(7, 5, 0)),
        (8, ld(7, 5, 0), sd(7, 5, 0)),
    ] {
        // Misaligned ones too: the whole access is one, and any byte of it in the hole is too much.
        for address in HOLE - 12..HOLE + 12 {
            let touches = address < HOLE + 4 && HOLE < address + size;
            let fault = |cause| if touches { (cause, address) } else { (0, 0) };
            assert_eq!(one(load_word, address, HOLE, 0), fault(5), "load {size} {address:x}");
            assert_eq!(one(store_word, address, HOLE, 0), fault(7), "store {size} {address:x}");
            // What may be read inside may not be read across the edge.
            let inside = HOLE <= address && address + size <= HOLE + 4;
            let fault = |cause| if touches && !inside { (cause, address) } else { (0, 0) };
            assert_eq!(one(load_word, address, HOLE, 1), fault(5), "load {size} {address:x}");
        }
    }
    for address in [HOLE - 8, HOLE, HOLE + 8] {
        let hit = |cause| if address == HOLE { (cause, address) } else { (0, 0) };
        assert_eq!(one(lr_d(7, 5), address, HOLE, 0), hit(5));
        assert_eq!(one(sc_d(7, 6, 5), address, HOLE, 0), hit(7));
        assert_eq!(one(amo(0, 3, 7, 5, 6), address, HOLE, 0), hit(7));
        assert_eq!(one(amo(0, 2, 7, 5, 6), address, HOLE, 1), hit(7), "may be read, not written");
    }
}

#[test]
fn a_page_with_a_hole_is_looked_at_each_time_and_others_are_not() {
    // Loads beside the hole, in it, beside it; then a store, likewise.
    let mut world =
        World::new(&[lw(7, 5, -4), lw(7, 5, 0), lw(7, 5, 4), sw(7, 5, -4), sw(7, 5, 0), sw(7, 5, 4)]);
    with_hole(&mut world, HOLE, 0);
    world.hart.privilege = Privilege::Supervisor;
    world.set_x(5, HOLE);
    world.hart.csrs.mtvec = BASE + 0x800;
    // mepc += 4
    world.put(BASE + 0x800, &[csrr(6, 0x341), addi(6, 6, 4), csrw(0x341, 6), MRET]);
    world.step(6 + 2 * 4);
    assert_eq!((world.hart.exceptions, world.hart.pc), (2, BASE + 6 * 4));
    let cached = |world: &World, va| {
        let space = world.hart.tlb.space(world.hart.data_space());
        let slot = crate::engine::tlb::slot(va);
        [
            space[Kind::Read as usize][slot].tag == va & !0xfff,
            space[Kind::Write as usize][slot].tag == va & !0xfff,
        ]
    };
    assert_eq!(cached(&world, HOLE), [false, false]);
    world.put(BASE + 6 * 4, &[sw(7, 8, 0), lw(7, 8, 0)]);
    world.set_x(8, HOLE + 0x1000);
    world.step(2);
    assert_eq!(cached(&world, HOLE + 0x1000), [true, true]);
}

#[test]
fn fetches_fault_exactly_in_the_hole() {
    let code = BASE + 0x6000;
    // Three plain instructions, the second in a hole without X.
    let run = |hole: u64, words: &[u32]| {
        let mut world = World::new(&[]);
        world.put(code, words);
        world.put(BASE + 0x800, &[jal(0, 0)]);
        world.hart.csrs.mtvec = BASE + 0x800;
        with_hole(&mut world, hole, 3);
        world.hart.privilege = Privilege::Supervisor;
        world.hart.pc = code;
        world.step(3);
        (world.hart.csrs.mcause, world.hart.csrs.mepc, world.hart.csrs.mtval, world.x(7))
    };
    let plain = [addi(7, 7, 1), addi(7, 7, 1), addi(7, 7, 1), addi(7, 7, 1)];
    assert_eq!(run(code + 12, &plain), (0, 0, 0, 3));
    assert_eq!(run(code + 4, &plain), (1, code + 4, code + 4, 1));
    // A jump within the page leads into it, too.
    assert_eq!(run(code + 8, &[jal(0, 8), NOP, NOP]), (1, code + 8, code + 8, 0));
    // c.nop, then a wide instruction whose second half is in the hole.
    let wide = addi(7, 7, 1);
    assert_eq!(run(code + 4, &[0x0001 | wide << 16, wide >> 16]), (1, code + 2, code + 4, 0));
    // A short one in front of the hole runs.
    assert_eq!(run(code + 4, &[0x0001 | 0x0385 << 16, NOP]), (1, code + 4, code + 4, 1));
}

#[test]
fn code_in_a_page_with_a_hole_runs_as_anywhere() {
    // A loop that stores into itself, beside a hole in the same page.
    let code = BASE + 0x6000;
    let mut world = World::new(&[]);
    world.put(code, &[addi(7, 7, 1), sw(8, 5, 0), NOP, jal(0, -12)]);
    with_hole(&mut world, BASE + 0x6ffc, 0);
    world.hart.privilege = Privilege::Supervisor;
    world.hart.pc = code;
    world.set_x(5, code + 8);
    world.set_x(8, addi(9, 9, 1).into());
    world.step(40);
    assert_eq!((world.x(7), world.x(9), world.hart.exceptions), (10, 10, 0));
    assert_eq!(world.reborn().picture(), world.picture());
}

#[test]
fn a_walk_faults_where_its_entry_is_in_a_hole() {
    let attempt = |word: u32, level_up: bool, rwx: u64| {
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
        let leaf = tables.map(&mut world, 0x4030_0000, BASE + 0x6000, LEAF);
        let root = BASE + 0x10_0000 + 8;
        world.put(BASE + 0x5000, &[word]);
        tables.enter(&mut world, 1, 0x10_0000);
        with_hole(&mut world, if level_up { root + 4 } else { leaf }, rwx);
        world.set_x(5, 0x4030_0000);
        world.step(1);
        (world.hart.csrs.mcause, world.hart.csrs.mtval)
    };
    // An entry is read as one: half of it in the hole is too much, whatever the hole's rights.
    for (level_up, rwx) in [(false, 0), (true, 0), (false, 7), (true, 7)] {
        assert_eq!(attempt(ld(7, 5, 0), level_up, rwx), (5, 0x4030_0000));
        assert_eq!(attempt(sd(7, 5, 0), level_up, rwx), (7, 0x4030_0000));
        assert_eq!(attempt(jalr(0, 5, 0), level_up, rwx), (0, 0), "the jump itself retires");
    }
}

#[test]
fn machine_mode_is_bound_by_locked_holes_and_by_every_edge() {
    let run = |address: u64, config: u64| {
        let mut world = World::new(&[ld(7, 5, 0)]);
        with_hole(&mut world, HOLE, 0);
        world.hart.csrs.pmp.set_config(0, 0x1f_00 | config);
        world.set_x(5, address);
        world.step(1);
        (world.hart.csrs.mcause, world.hart.csrs.mtval)
    };
    // Unlocked, but eight bytes at a hole of four.
    assert_eq!(run(HOLE, 0x10), (5, HOLE));
    assert_eq!(run(HOLE, 0x90), (5, HOLE));
    // NAPOT of eight bytes holds it all.
    assert_eq!(run(HOLE, 0x18), (0, 0));
    assert_eq!(run(HOLE, 0x98), (5, HOLE));
    assert_eq!(run(HOLE, 0x99), (0, 0));
    assert_eq!(run(HOLE + 4, 0x18), (5, HOLE + 4));
    assert_eq!(run(HOLE + 8, 0x98), (0, 0));
}
