//! Loads and stores: extension, alignment, the edges of RAM, devices, the watched doubleword.

use super::asm::*;
use super::world::{BASE, LATCH, STOP, World};
use crate::base::GuestPhys;
use crate::cpu::HartStop;

const END: u64 = BASE + (2 << 20);

fn one(world: &mut World, insn: u32, a: u64, b: u64) -> (u64, u64) {
    world.put(BASE, &[insn]);
    world.hart.pc = BASE;
    world.set_x(5, a);
    world.set_x(6, b);
    let before = world.hart.exceptions;
    world.step(1);
    if world.hart.exceptions > before {
        (world.hart.csrs.mcause, world.hart.csrs.mtval)
    } else {
        (0, world.x(7))
    }
}

#[test]
fn loads_extend_and_stores_cut() {
    let mut world = World::new(&[]);
    let at = BASE + 0x1000;
    world.put_u64(at, 0xf1f2_f3f4_8586_8788);
    for (f3, expected) in [
        (0, 0xffff_ffff_ffff_ff88),
        (1, 0xffff_ffff_ffff_8788),
        (2, 0xffff_ffff_8586_8788),
        (3, 0xf1f2_f3f4_8586_8788),
        (4, 0x88),
        (5, 0x8788),
        (6, 0x8586_8788),
    ] {
        // Twice: the long way, and the way of the cache.
        assert_eq!(one(&mut world, load(f3, 7, 5, -8), at + 8, 0), (0, expected), "funct3 {f3}");
        assert_eq!(one(&mut world, load(f3, 7, 5, -8), at + 8, 0), (0, expected), "funct3 {f3}");
    }
    for (f3, expected) in [
        (0, 0xf1f2_f3f4_8586_8701),
        (1, 0xf1f2_f3f4_8586_0201),
        (2, 0xf1f2_f3f4_0403_0201),
        (3, 0x0807_0605_0403_0201),
    ] {
        for _ in 0..2 {
            world.put_u64(at, 0xf1f2_f3f4_8586_8788);
            one(&mut world, s(0x23, f3, 5, 6, 8), at - 8, 0x0807_0605_0403_0201);
            assert_eq!(world.u64_at(at), expected, "funct3 {f3}");
        }
    }
}

#[test]
fn misaligned_accesses_to_ram_succeed_also_across_pages() {
    let mut world = World::new(&[]);
    for offset in 0x1ff0..0x2008 {
        let at = BASE + offset;
        assert_eq!(one(&mut world, sd(6, 5, 0), at, 0x1122_3344_5566_7788).0, 0);
        assert_eq!(one(&mut world, ld(7, 5, 0), at, 0), (0, 0x1122_3344_5566_7788));
        assert_eq!(one(&mut world, lw(7, 5, 2), at, 0), (0, 0x3344_5566));
        assert_eq!(one(&mut world, lh(7, 5, 7), at, 0).0, 0);
    }
}

#[test]
fn at_the_end_of_ram_nothing_is_stored_in_part() {
    let mut world = World::new(&[]);
    assert_eq!(one(&mut world, sd(6, 5, 0), END - 8, 1), (0, 0));
    // The second page does not exist: the fault names its first byte.
    assert_eq!(one(&mut world, sd(6, 5, 0), END - 4, u64::MAX), (7, END));
    assert_eq!(world.u64_at(END - 8), 1);
    assert_eq!(one(&mut world, ld(7, 5, 0), END - 1, 0), (5, END));
    assert_eq!(one(&mut world, ld(7, 5, 0), END, 0), (5, END));
    assert_eq!(one(&mut world, ld(7, 5, 0), BASE - 4, 0), (5, BASE - 4));
    assert_eq!(one(&mut world, lw(7, 5, -4), 0, 0), (5, u64::MAX - 3));
    assert_eq!(one(&mut world, sd(6, 5, -4), 0, 0), (7, u64::MAX - 3));
}

#[test]
fn devices_are_reached_aligned_or_not_at_all() {
    let mut world = World::new(&[]);
    assert_eq!(one(&mut world, sw(6, 5, 0), LATCH, 0xffff_ffff_0000_0010), (0, 0));
    assert_eq!(world.bus.latch, 0x10);
    assert_eq!(one(&mut world, lw(7, 5, 0), LATCH, 0), (0, 0x11));
    assert_eq!(one(&mut world, lbu(7, 5, 0), LATCH, 0), (0, 0x12));
    // A read is not made for an access that faults.
    assert_eq!(one(&mut world, lw(7, 5, 0), LATCH + 2, 0), (5, LATCH + 2));
    assert_eq!(one(&mut world, ld(7, 5, 0), LATCH + 0xffc, 0), (5, LATCH + 0xffc));
    assert_eq!(one(&mut world, lw(7, 5, 0), LATCH + 0x8000, 0), (5, LATCH + 0x8000));
    assert_eq!(one(&mut world, sh(6, 5, 1), LATCH, 0), (7, LATCH + 1));
    assert_eq!(world.bus.latch, 0x12);
    // A value wider than asked for is cut, then extended.
    world.bus.latch = 0x1_ff7f;
    assert_eq!(one(&mut world, lb(7, 5, 0), LATCH, 0), (0, 0xffff_ffff_ffff_ff80));
}

#[test]
fn the_watched_doubleword_is_told_after_each_store_that_touches_it() {
    let mut world = World::new(&[]);
    let at = BASE + 0x3010;
    world.hart.set_tohost(Some(GuestPhys(at)));
    one(&mut world, sd(6, 5, 0), at, 1);
    one(&mut world, sw(6, 5, 4), at, 2);
    one(&mut world, sb(6, 5, 8), at, 3);
    one(&mut world, sb(6, 5, -1), at, 4);
    one(&mut world, sh(6, 5, -1), at, 0x0500);
    one(&mut world, amo(0, 3, 7, 5, 6), at, 0x10);
    one(&mut world, sd(6, 5, -0xd), at + 0x10, 0);
    assert_eq!(world.bus.tohost, [1, 0x2_0000_0001, 0x2_0000_0005, 0x2_0000_0015, 0x15]);
}

#[test]
fn the_run_stops_after_the_instruction_that_made_a_device_want_it() {
    let mut world = World::new(&[sd(0, 5, 0), addi(6, 6, 1), addi(6, 6, 1)]);
    world.set_x(5, STOP);
    assert_eq!(world.step(3), HartStop::Bus);
    assert_eq!((world.hart.icount().get(), world.hart.pc()), (1, BASE + 4));
    world.bus.stop = false;
    assert_eq!(world.step(2), HartStop::Reached);
    assert_eq!(world.x(6), 2);
}
