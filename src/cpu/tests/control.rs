//! Branches, jumps, exact positions.

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Icount;
use crate::cpu::Cpu;
use crate::cpu::{Hart, HartStop};

#[test]
fn branches_compare_as_they_are_called() {
    let values = [0u64, 1, 2, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    let mut world = World::new(&[]);
    for f3 in [0, 1, 4, 5, 6, 7] {
        for a in values {
            for b in values {
                let taken = match f3 {
                    0 => a == b,
                    1 => a != b,
                    4 => (a as i64) < b as i64,
                    5 => a as i64 >= b as i64,
                    6 => a < b,
                    _ => a >= b,
                };
                for offset in [-4096, -2, 2, 8, 4094] {
                    let at = BASE + 0x2000;
                    world.put(at, &[super::asm::b(f3, 5, 6, offset)]);
                    world.hart.pc = at;
                    world.set_x(5, a);
                    world.set_x(6, b);
                    world.step(1);
                    let to = if taken { at.wrapping_add_signed(offset.into()) } else { at + 4 };
                    assert_eq!(world.hart.pc(), to, "funct3 {f3}, {a:x}, {b:x}, {offset}");
                }
            }
        }
    }
}

#[test]
fn jumps_link_and_drop_the_low_bit() {
    let mut world = World::new(&[jal(1, 0x8000)]);
    world.put(BASE + 0x8000, &[jalr(1, 1, 0x7fd)]);
    world.step(1);
    assert_eq!((world.hart.pc(), world.x(1)), (BASE + 0x8000, BASE + 4));
    world.step(1);
    // The target is computed from the old x1.
    assert_eq!((world.hart.pc(), world.x(1)), (BASE + 4 + 0x7fc, BASE + 0x8004));
    // c.jalr x5: the link is two further.
    world.put(BASE + 0x800, &[0x0000_9282]);
    world.set_x(5, BASE);
    world.step(1);
    assert_eq!((world.hart.pc(), world.x(1)), (BASE, BASE + 0x802));
}

#[test]
fn a_jump_retires_and_its_target_faults() {
    let mut world = World::new(&[jalr(1, 5, 0)]);
    world.set_x(5, 0x4000);
    world.step(1);
    assert_eq!((world.hart.pc(), world.hart.retired()), (0x4000, 1));
    world.step(1);
    let csrs = world.hart.state().csrs;
    assert_eq!((csrs.mcause, csrs.mepc, csrs.mtval), (1, 0x4000, 0x4000));
}

#[test]
fn it_stops_at_exactly_the_position_asked_for() {
    let mut code = vec![addi(5, 5, 1); 3000];
    code.push(jal(0, -4 * 3000));
    for asked in [1, 2, 1023, 1024, 1025, 3000, 3001, 3002, 99_999] {
        let mut world = World::new(&code);
        assert_eq!(world.run_until(asked), HartStop::Reached);
        assert_eq!(world.hart.icount(), Icount(asked));
        assert_eq!(world.x(5), asked - asked / 3001);
        // Again, or to an earlier position: nothing happens.
        assert_eq!(world.run_until(asked), HartStop::Reached);
        assert_eq!(world.run_until(0), HartStop::Reached);
        assert_eq!(world.hart.icount(), Icount(asked));
    }
}

#[test]
fn an_endless_chain_of_exceptions_ends_where_it_is_asked_to() {
    // mtvec is 0: the handler itself cannot be fetched.
    let mut world = World::new(&[0]);
    assert_eq!(world.run_until(1_000_003), HartStop::Reached);
    assert_eq!(world.hart.icount(), Icount(1_000_003));
    assert_eq!(world.hart.retired(), 0);
}

#[test]
fn straddling_instructions_run_like_others() {
    // c.nop at the start of the page, so that a 32-bit instruction straddles its end.
    let mut world = World::new(&[]);
    let at = BASE + 0x1ffe;
    let mut put = |insn: u32| {
        world.ram.write_u32(crate::base::GuestPhys(at), insn).unwrap();
        world.hart.pc = at;
        world.step(1);
        (world.hart.pc(), world.x(5))
    };
    assert_eq!(put(addi(5, 0, 7)), (at + 4, 7));
    assert_eq!(put(jal(5, -0x1000)), (at - 0x1000, at + 4));
    assert_eq!(put(beq(0, 0, -16)), (at - 16, at + 4));
    assert_eq!(put(auipc(5, 1)), (at + 4, at + 0x1000));
    assert_eq!(put(ld(5, 0, 0)).0, 0);
    assert_eq!(world.hart.csrs.mcause, 5);
}

#[test]
fn a_state_that_no_hart_can_have_is_refused() {
    let good = World::new(&[]).hart.state();
    assert!(Hart::restore(Cpu::default(), good.clone()).is_ok());
    let refused = |change: fn(&mut crate::cpu::HartState)| {
        let mut state = good.clone();
        change(&mut state);
        Hart::restore(Cpu::default(), state).err().map(|e| e.register)
    };
    assert_eq!(refused(|s| s.x[0] = 1), Some("x0"));
    assert_eq!(refused(|s| s.pc = 1), Some("pc"));
    assert_eq!(refused(|s| s.exceptions = 1), Some("exceptions"));
    assert_eq!(refused(|s| s.icount = Icount(u64::MAX)), Some("icount"));
    assert_eq!(refused(|s| s.reservation = Some(4)), Some("reservation"));
    assert_eq!(refused(|s| s.csrs.mstatus = 2 << 11), Some("mstatus"));
    assert_eq!(refused(|s| s.csrs.mstatus = 1 << 63), Some("mstatus"));
    assert_eq!(refused(|s| s.csrs.satp = 9 << 60), Some("satp"));
    assert_eq!(refused(|s| s.csrs.mideleg = 8), Some("mideleg"));
    assert_eq!(refused(|s| s.csrs.mepc = 1), Some("mepc"));
}
