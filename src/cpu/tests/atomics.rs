//! The A extension.

use super::asm::*;
use super::world::{BASE, DMA, LATCH, World};

const AT: u64 = BASE + 0x1000;

/// What is stored for the old value and the operand; `true`: of 32 bits.
type Meaning = fn(i128, i128, bool) -> i128;

fn one(world: &mut World, insn: u32) -> u64 {
    world.put(BASE, &[insn]);
    world.hart.pc = BASE;
    let before = world.hart.exceptions;
    world.step(1);
    if world.hart.exceptions > before { world.hart.csrs.mcause } else { 0 }
}

#[test]
fn amos_return_the_old_value_and_store_the_new() {
    let edges = [0u64, 1, u64::MAX, 1 << 31, (1 << 31) - 1, 1 << 63, (1 << 63) - 1, 0xffff_ffff, 1 << 32];
    let mut world = World::new(&[]);
    let operations: [(u32, Meaning); 9] = [
        (1, |_, b, _| b),
        (0, |a, b, _| a + b),
        (4, |a, b, _| a ^ b),
        (12, |a, b, _| a & b),
        (8, |a, b, _| a | b),
        (16, |a, b, _| a.min(b)),
        (20, |a, b, _| a.max(b)),
        (24, |a, b, w| if cut(a, w) < cut(b, w) { a } else { b }),
        (28, |a, b, w| if cut(a, w) > cut(b, w) { a } else { b }),
    ];
    fn cut(v: i128, word: bool) -> u64 {
        if word { (v as u32).into() } else { v as u64 }
    }
    for (f5, meaning) in operations {
        for a in edges {
            for b in edges {
                for f3 in [2, 3] {
                    let word = f3 == 2;
                    let sign = |v: u64| i128::from(if word { v as i32 as i64 } else { v as i64 });
                    world.put_u64(AT, a);
                    world.set_x(5, AT);
                    world.set_x(6, b);
                    assert_eq!(one(&mut world, amo(f5, f3, 7, 5, 6)), 0);
                    let new = meaning(sign(a), sign(b), word) as u64;
                    let stored = if word { a & !0xffff_ffff | new & 0xffff_ffff } else { new };
                    assert_eq!(world.x(7), sign(a) as u64, "amo {f5} of {a:x}, {b:x}");
                    assert_eq!(world.u64_at(AT), stored, "amo {f5}.{f3} of {a:x}, {b:x}");
                }
            }
        }
    }
}

#[test]
fn source_and_destination_may_be_the_same_register() {
    let mut world = World::new(&[]);
    world.put_u64(AT, 5);
    world.set_x(5, AT);
    one(&mut world, amo(0, 3, 5, 5, 5));
    assert_eq!((world.x(5), world.u64_at(AT)), (5, AT + 5));
}

#[test]
fn misaligned_atomics_and_atomics_on_devices_fault() {
    let mut world = World::new(&[]);
    for (offset, f3) in [(1, 2), (2, 2), (4, 3), (1, 3)] {
        world.set_x(5, AT + offset);
        assert_eq!(one(&mut world, amo(2, f3, 7, 5, 0)), 4);
        assert_eq!(world.hart.csrs.mtval, AT + offset);
        assert_eq!(one(&mut world, amo(3, f3, 7, 5, 6)), 6);
        assert_eq!(one(&mut world, amo(0, f3, 7, 5, 6)), 6);
    }
    world.set_x(5, LATCH);
    assert_eq!(one(&mut world, lr_w(7, 5)), 5);
    assert_eq!(one(&mut world, sc_w(7, 6, 5)), 7);
    assert_eq!(one(&mut world, amo(0, 2, 7, 5, 6)), 7);
    assert_eq!(world.bus.latch, 0);
}

/// Reserves the doubleword at `AT`, does `then`, and tells whether `sc.d` succeeds.
fn succeeds_after(then: &[u32]) -> bool {
    let mut code = vec![lr_d(7, 5)];
    code.extend_from_slice(then);
    code.push(sc_d(8, 9, 5));
    let mut world = World::new(&code);
    // Traps return behind the instruction that raised them.
    world.put(BASE + 0x800, &[csrr(31, 0x341), addi(31, 31, 4), csrw(0x341, 31), MRET]);
    world.hart.csrs.mtvec = BASE + 0x800;
    world.hart.csrs.mepc = BASE + 8;
    world.hart.csrs.mstatus = 0x1800;
    world.set_x(5, AT);
    world.set_x(6, AT);
    world.set_x(9, 0x77);
    world.set_x(10, DMA);
    world.set_x(8, 9);
    while world.x(8) == 9 {
        world.step(1);
    }
    assert!(world.x(8) != 0 || world.u64_at(AT) == 0x77);
    world.x(8) == 0
}

#[test]
fn a_reservation_lasts_until_what_the_table_says() {
    assert!(succeeds_after(&[]));
    assert!(succeeds_after(&[NOP; 100]));
    assert!(succeeds_after(&[ld(0, 5, 0), sd(0, 6, 64)]));
    assert!(succeeds_after(&[sd(0, 6, 0)]), "own store to the doubleword");
    assert!(succeeds_after(&[amo(0, 3, 11, 6, 9)]), "own AMO to the doubleword");
    assert!(succeeds_after(&[sd(6, 10, 0)]), "device write to the doubleword");
    assert!(!succeeds_after(&[sc_d(11, 9, 5)]), "another sc");
    assert!(!succeeds_after(&[addi(6, 6, 64), sc_w(11, 9, 6)]), "a failed sc elsewhere");
    assert!(!succeeds_after(&[ECALL]), "a trap");
    assert!(!succeeds_after(&[MRET]), "mret");
}

#[test]
fn sc_needs_the_reserved_doubleword_and_no_particular_width() {
    let mut world = World::new(&[]);
    world.set_x(5, AT);
    world.set_x(6, AT + 4);
    world.set_x(10, AT + 8);
    world.set_x(9, 3);
    assert_eq!(one(&mut world, sc_w(8, 9, 5)), 0);
    assert_eq!(world.x(8), 1, "without any reservation");
    one(&mut world, lr_w(7, 5));
    one(&mut world, sc_w(8, 9, 6));
    assert_eq!((world.x(8), world.u64_at(AT)), (0, 3 << 32));
    one(&mut world, lr_w(7, 6));
    assert_eq!(world.x(7), 3);
    one(&mut world, sc_d(8, 9, 5));
    assert_eq!((world.x(8), world.u64_at(AT)), (0, 3));
    one(&mut world, lr_d(7, 5));
    one(&mut world, sc_d(8, 9, 10));
    assert_eq!(world.x(8), 1, "the next doubleword");
}
