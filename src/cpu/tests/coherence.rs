//! Fetch sees every store at once, and translation every change of a table, without any fence.

use super::asm::*;
use super::translation::{LEAF, Tables};
use super::world::{BASE, DMA_LATCH, World};
use crate::base::GuestPhys;
use crate::engine::tlb::{Kind, Space, slot};
use crate::mem::PageFlags;

#[test]
fn a_store_to_the_next_instruction_is_what_runs_next() {
    let mut world = World::new(&[NOP, NOP, sw(6, 5, 12), addi(7, 0, 1), addi(8, 0, 1)]);
    world.set_x(5, BASE);
    world.set_x(6, addi(7, 0, 2).into());
    // Decode it all first.
    world.step(5);
    assert_eq!(world.x(7), 2);
}

#[test]
fn code_that_has_run_can_be_changed_by_any_store() {
    // Each changes only the destination register of `addi x7, x0, 1` at +0x40.
    let target = addi(7, 0, 1);
    let changed = addi(9, 0, 1);
    for (insn, value) in [
        (sb(6, 5, 0x40), changed),
        (sh(6, 5, 0x40), changed),
        (sw(6, 5, 0x40), changed),
        (sd(6, 5, 0x40), changed),
        (amo(1, 2, 0, 10, 6), changed),
        (s(0x27, 2, 5, 6, 0x40), changed), // fsw
    ] {
        let mut world = World::new(&[insn]);
        world.put(BASE + 0x40, &[target, NOP]);
        world.set_x(5, BASE);
        world.set_x(10, BASE + 0x40);
        world.set_x(6, value.into());
        world.hart.regs.f[6] = value.into();
        world.hart.csrs.mstatus = 0x6000;
        world.hart.pc = BASE + 0x40;
        world.step(1);
        assert_eq!((world.x(7), world.x(9)), (1, 0));
        world.hart.pc = BASE;
        world.step(1);
        if insn & 0x7f == 0x23 && insn >> 12 & 7 == 0 {
            // One byte cannot change all of it: bit 7 of the first byte is bit 0 of rd.
            world.ram.write_u32(GuestPhys(BASE + 0x40), changed).unwrap();
        }
        world.hart.pc = BASE + 0x40;
        world.step(1);
        assert_eq!(world.x(9), 1, "{insn:08x}");
    }
}

#[test]
pub fn a_single_instruction_that_has_run_can_be_changed() {
    // At the beginning, in the middle and at the end of a page of which nothing else runs.
    for at in [BASE + 0x2000, BASE + 0x2740, BASE + 0x2ffc] {
        let mut world = World::new(&[sw(6, 5, 0)]);
        world.put(at, &[jalr(0, 5, 0)]);
        world.set_x(5, at);
        world.set_x(6, addi(8, 8, 1).into());
        world.hart.pc = at;
        world.step(3);
        assert_eq!(world.hart.pc, at);
        world.hart.pc = BASE;
        world.step(1);
        world.hart.pc = at;
        world.step(1);
        assert_eq!((world.x(8), world.hart.pc), (1, at + 4));
    }
}

#[test]
pub fn the_instruction_that_ended_translated_code_may_become_another() {
    // 0x40 is the first of its granule, and what is behind it is none.
    let mut world = World::new(&[sw(6, 5, 0x40)]);
    world.put(BASE + 0x38, &[addi(7, 7, 1), NOP, EBREAK]);
    world.set_x(5, BASE);
    world.set_x(6, addi(8, 8, 1).into());
    world.hart.pc = BASE + 0x38;
    world.step(3);
    assert_eq!((world.x(7), world.hart.csrs.mcause), (1, 3));
    world.hart.pc = BASE;
    world.step(1);
    for n in 2..6 {
        world.hart.pc = BASE + 0x38;
        world.step(3);
        assert_eq!((world.x(7), world.x(8), world.hart.exceptions), (n, n - 1, 1));
    }
}

#[test]
fn the_second_half_of_an_instruction_counts_too() {
    let mut world = World::new(&[]);
    let at = BASE + 0x40;
    world.put(at, &[addi(7, 0, 1)]);
    world.put(BASE, &[sh(6, 5, 2)]);
    world.set_x(5, at);
    world.set_x(6, (addi(7, 0, 99) >> 16).into());
    for expected in [1, 99] {
        world.hart.pc = at;
        world.step(1);
        assert_eq!(world.x(7), expected);
        world.hart.pc = BASE;
        world.step(1);
    }
    // Also where that half is on the next page.
    let at = BASE + 0x1ffe;
    world.ram.write_u32(GuestPhys(at), addi(7, 0, 1)).unwrap();
    world.set_x(5, at);
    for expected in [1, 99] {
        world.hart.pc = at;
        world.step(1);
        assert_eq!(world.x(7), expected);
        world.hart.pc = BASE;
        world.step(1);
    }
}

#[test]
fn a_store_through_another_virtual_address_changes_the_code() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x20_0000, BASE + 0x5000, LEAF);
    tables.enter(&mut world, 1, 0x10_0000);
    world.put(BASE + 0x5000, &[addi(7, 7, 1), sw(6, 5, 0), jal(0, -8)]);
    world.set_x(5, 0x20_0000);
    world.set_x(6, addi(7, 7, 100).into());
    world.step(7);
    assert_eq!(world.x(7), 201);
}

#[test]
fn a_device_write_to_code_is_seen_at_once() {
    // The device replaces the instruction behind the store that makes it write.
    let mut world = World::new(&[sd(5, 6, 0), addi(7, 0, 1), NOP]);
    world.set_x(5, BASE);
    world.set_x(6, DMA_LATCH);
    world.bus.latch = u64::from(addi(7, 0, 3)) << 32 | u64::from(NOP);
    world.step(2);
    assert_eq!(world.x(7), 3);
}

#[test]
fn a_write_from_outside_between_runs_is_seen() {
    let mut world = World::new(&[addi(7, 7, 1), jal(0, -4)]);
    world.step(10);
    assert_eq!(world.x(7), 5);
    world.put(BASE, &[addi(7, 7, 100)]);
    world.step(2);
    assert_eq!(world.x(7), 105);
}

/// A world in S-mode at virtual 0x10_0000, with its tables mapped at 0x40_0000 (leaf table) and a
/// data page at 0x30_0000.
fn with_tables(code: &[u32]) -> (World, Tables, u64) {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    let leaf = tables.map(&mut world, 0x30_0000, BASE + 0x6000, LEAF);
    tables.map(&mut world, 0x40_0000, leaf & !0xfff, LEAF);
    world.put(BASE + 0x5000, code);
    world.put_u64(BASE + 0x6000, 6);
    world.put_u64(BASE + 0x7000, 7);
    tables.enter(&mut world, 1, 0x10_0000);
    world.set_x(5, 0x30_0000);
    world.set_x(6, 0x40_0000 + (leaf & 0xfff));
    (world, tables, leaf)
}

#[test]
fn a_store_to_a_table_is_seen_by_the_next_access() {
    let code = [ld(7, 5, 0), sd(8, 6, 0), ld(9, 5, 0), sd(10, 6, 0), ld(11, 5, 0)];
    let (mut world, _, leaf) = with_tables(&code);
    world.set_x(8, (BASE + 0x7000) >> 2 | LEAF);
    world.set_x(10, 0);
    world.step(4);
    assert_eq!((world.x(7), world.x(9)), (6, 7));
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (13, 0x30_0000));
    assert_eq!(world.u64_at(leaf), 0);
}

#[test]
fn an_entry_that_becomes_valid_is_seen_by_the_next_access() {
    let code = [sd(8, 6, 0), ld(9, 5, 0)];
    let (mut world, _, leaf) = with_tables(&code);
    world.put_u64(leaf, 0);
    world.set_x(8, (BASE + 0x7000) >> 2 | LEAF);
    world.step(2);
    assert_eq!(world.x(9), 7);
}

#[test]
fn rights_taken_away_in_a_table_are_gone_at_once() {
    // Part of an entry: its low byte.
    let code = [sd(7, 5, 0), sb(8, 6, 0), ld(9, 5, 0), sd(7, 5, 0)];
    let (mut world, _, _) = with_tables(&code);
    world.set_x(7, 0x55);
    world.set_x(8, LEAF & 0xff & !0x84); // no W, no D
    world.step(3);
    assert_eq!(world.x(9), 0x55);
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (15, 0x30_0000));
}

#[test]
fn the_page_that_runs_can_be_unmapped_under_it() {
    let code = [NOP, sd(0, 6, 0), addi(7, 0, 1)];
    let (mut world, mut tables, _) = with_tables(&code);
    let own = tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x40_1000, own & !0xfff, LEAF);
    world.set_x(6, 0x40_1000 + (own & 0xfff));
    world.step(3);
    assert_eq!(world.x(7), 0);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mepc), (12, 0x10_0008));
}

#[test]
fn a_table_changed_from_outside_is_seen() {
    let code = [ld(7, 5, 0), jal(0, -4)];
    let (mut world, _, leaf) = with_tables(&code);
    world.step(2);
    world.put_u64(leaf, (BASE + 0x7000) >> 2 | LEAF);
    world.step(1);
    assert_eq!(world.x(7), 7);
}

#[test]
fn a_store_to_a_table_that_maps_two_regions_is_seen_in_both() {
    for first in [5, 13] {
        let second = 18 - first;
        let code = [ld(7, first, 0), ld(12, second, 0), sd(8, 6, 0), ld(9, first, 0), ld(14, second, 0)];
        let (mut world, mut tables, leaf) = with_tables(&code);
        tables.map_at(&mut world, 0x60_0000, leaf & !0xfff, 1, 1);
        world.set_x(13, 0x70_0000);
        world.set_x(8, (BASE + 0x7000) >> 2 | LEAF);
        world.step(5);
        assert_eq!([7, 12, 9, 14].map(|n| world.x(n)), [6, 6, 7, 7], "x{first} first");
    }
}

#[test]
fn a_store_to_a_pointer_is_seen_by_the_next_access() {
    let code = [ld(7, 5, 0), sd(8, 6, 0), ld(9, 5, 0)];
    let (mut world, mut tables, _) = with_tables(&code);
    // The tables of the second level have the page behind the root's.
    let pointers = BASE + 0x10_1000;
    tables.map(&mut world, 0x70_0000, BASE + 0x7000, LEAF);
    tables.map(&mut world, 0x40_1000, pointers, LEAF);
    world.set_x(6, 0x40_1000 + 8);
    world.set_x(8, world.u64_at(pointers + 3 * 8));
    world.step(3);
    assert_eq!((world.x(7), world.x(9), world.hart.exceptions), (6, 7, 0));
}

#[test]
fn a_store_to_a_table_drops_the_page_that_hangs_on_it_and_no_other() {
    let code = [ld(7, 5, 0), ld(9, 12, 0), sd(9, 12, 0), sd(8, 6, 0), NOP];
    let (mut world, mut tables, _) = with_tables(&code);
    tables.map(&mut world, 0x30_1000, BASE + 0x9000, LEAF);
    world.set_x(12, 0x30_1000);
    world.set_x(8, (BASE + 0x7000) >> 2 | LEAF);
    world.step(5);
    let known = |world: &World, kind: Kind, va| {
        world.hart.tlb.space(Space::Supervisor)[kind as usize][slot(va)].tag == va
    };
    assert!(!known(&world, Kind::Read, 0x30_0000));
    assert!(known(&world, Kind::Read, 0x30_1000) && known(&world, Kind::Write, 0x30_1000));
    assert!(known(&world, Kind::Fetch, 0x10_0000));
    // A page that gets a flag takes its own write entry away.
    world.hart.flag(&mut world.ram, 9, PageFlags::TABLE);
    assert!(known(&world, Kind::Read, 0x30_1000) && !known(&world, Kind::Write, 0x30_1000));
}

#[test]
fn many_stores_to_tables_lose_no_change() {
    let code =
        [sd(8, 6, 0), ld(7, 5, 0), add(11, 11, 7), sd(10, 6, 0), ld(7, 5, 0), add(11, 11, 7), jal(0, -24)];
    let (mut world, _, _) = with_tables(&code);
    world.set_x(8, (BASE + 0x7000) >> 2 | LEAF);
    world.set_x(10, (BASE + 0x6000) >> 2 | LEAF);
    world.step(7 * 10_000);
    assert_eq!(world.x(11), 13 * 10_000);
}

#[test]
fn more_pages_of_code_than_the_cache_holds_run_right() {
    // One jump to the next page on each page.
    let pages = crate::engine::interpreter::PAGES_MAX as u64 + 100;
    let mut world = World::new(&[]);
    world.ram = crate::mem::Ram::new((pages + 1) * 4096);
    for page in 0..pages {
        world.put(BASE + page * 4096, &[addi(5, 5, 1), jal(0, 4092)]);
    }
    world.put(BASE + pages * 4096, &[jalr(0, 6, 0)]);
    world.set_x(6, BASE);
    world.step(3 * (2 * pages + 1));
    assert_eq!((world.x(5), world.hart.pc()), (3 * pages, BASE));
}
