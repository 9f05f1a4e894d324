//! Questions and answers, waiting, interrupts that come from outside.

use super::asm::*;
use super::world::{BASE, LATCH, MTIME, World};
use crate::cpu::{Answer, HartStop, NotAsking, Question};

const TIME: u16 = 0xc01;
const HOSTID: u16 = 0xcc0;
const SEED: u16 = 0x015;

fn try_answer(world: &mut World, answer: Answer) -> Result<(), NotAsking> {
    world.hart.answer(&mut world.ram, &mut world.bus, answer)
}

#[test]
fn a_question_stops_the_run_before_its_instruction() {
    let mut world = World::new(&[addi(5, 0, 1), csrr(6, TIME), addi(5, 5, 1)]);
    assert_eq!(world.step(10), HartStop::Ask(Question::Time));
    assert_eq!((world.hart.icount().get(), world.hart.pc()), (1, BASE + 4));
    // It asks again as long as it is not answered.
    assert_eq!(world.step(10), HartStop::Ask(Question::Time));
    try_answer(&mut world, Answer::Time(77)).unwrap();
    assert_eq!((world.hart.icount().get(), world.x(6), world.bus.time), (2, 77, 77));
    assert_eq!(world.step(1), HartStop::Reached);
    assert_eq!(world.x(5), 2);
}

#[test]
fn a_question_at_the_position_asked_for_is_not_met() {
    let mut world = World::new(&[NOP, csrr(6, TIME)]);
    assert_eq!(world.step(1), HartStop::Reached);
    try_answer(&mut world, Answer::Time(5)).unwrap();
    assert_eq!(world.x(6), 5);
}

#[test]
fn each_kind_is_asked_and_answered() {
    let mut world = World::new(&[
        csrr(5, HOSTID),
        csrrw(6, SEED, 0),
        csrrs(7, SEED, 5),
        ld(8, 9, 0),
        lwu(10, 9, 0),
        csrrs(0, TIME, 0),
    ]);
    world.set_x(9, MTIME);
    for (question, answer) in [
        (Question::HostId, Answer::HostId(0xabc)),
        (Question::Entropy, Answer::Entropy(0x1234)),
        (Question::Entropy, Answer::Entropy(0xffff)),
        (Question::Time, Answer::Time(1 << 40)),
        (Question::Time, Answer::Time(0x1_8000_0001)),
        (Question::Time, Answer::Time(0x1_8000_0002)),
    ] {
        assert_eq!(world.step(1), HartStop::Ask(question));
        try_answer(&mut world, answer).unwrap();
    }
    assert_eq!(world.hart.icount().get(), 6);
    assert_eq!((world.x(5), world.x(6), world.x(7)), (0xabc, 0x8000_1234, 0x8000_ffff));
    assert_eq!((world.x(8), world.x(10), world.x(0)), (1 << 40, 0x8000_0001, 0));
}

#[test]
fn a_wrong_answer_is_refused_and_changes_nothing() {
    let refused = |code: &[u32], answer: Answer, asked: Option<Question>| {
        let mut world = World::new(code);
        world.set_x(9, LATCH);
        world.hart.csrs.mtvec = 0x40;
        let before = world.picture();
        let error = try_answer(&mut world, answer).unwrap_err();
        assert_eq!((error.asked, error.answered), (asked, answer.question()));
        assert!(world.picture() == before);
    };
    let time = Answer::Time(1);
    refused(&[csrr(5, HOSTID)], time, Some(Question::HostId));
    refused(&[csrr(5, TIME)], Answer::Entropy(1), Some(Question::Time));
    refused(&[NOP], time, None);
    refused(&[ld(5, 9, 0)], time, None); // a device that does not ask
    refused(&[ld(5, 0, 0)], time, None); // nothing there
    refused(&[csrrw(5, TIME, 0)], time, None); // read-only
    refused(&[csrr(5, SEED)], Answer::Entropy(1), None); // must be written
    refused(&[0], time, None);
}

#[test]
fn an_answer_comes_too_late_when_an_interrupt_goes_first() {
    let mut world = World::new(&[csrr(6, TIME)]);
    world.hart.csrs.mie = 0x80;
    world.hart.csrs.mstatus = 8;
    world.hart.csrs.mtvec = BASE + 0x100;
    assert_eq!(world.step(1), HartStop::Ask(Question::Time));
    world.bus.lines = 0x80;
    world.hart.refresh_lines(&world.bus);
    assert_eq!(world.hart.pc(), BASE + 0x100);
    assert_eq!(try_answer(&mut world, Answer::Time(1)).unwrap_err().asked, None);
}

#[test]
fn an_answered_time_may_raise_the_timer_interrupt() {
    let mut world = World::new(&[csrw(0x14d, 5), csrr(6, TIME), NOP]);
    world.set_x(5, 100);
    world.hart.csrs.menvcfg = 1 << 63;
    world.hart.csrs.mie = 0x20;
    world.hart.csrs.mstatus = 8;
    world.hart.csrs.mtvec = BASE + 0x100;
    world.step(2);
    try_answer(&mut world, Answer::Time(99)).unwrap();
    assert_eq!(world.hart.pc(), BASE + 8);
    world.hart.pc = BASE + 4;
    try_answer(&mut world, Answer::Time(100)).unwrap();
    // The read has retired; the interrupt comes before the next instruction.
    assert_eq!((world.hart.pc(), world.hart.csrs.mepc), (BASE + 0x100, BASE + 8));
    assert_eq!((world.hart.icount().get(), world.x(6)), (3, 100));
}

#[test]
fn wfi_retires_and_waits_until_something_enabled_is_pending() {
    let mut world = World::new(&[WFI, addi(5, 5, 1)]);
    world.hart.csrs.mie = 0x80;
    assert_eq!(world.step(10), HartStop::Idle);
    assert_eq!((world.hart.icount().get(), world.hart.pc()), (1, BASE + 4));
    // Pending, but not enabled in mie.
    world.bus.lines = 0x800;
    world.hart.refresh_lines(&world.bus);
    assert_eq!(world.step(10), HartStop::Idle);
    assert_eq!(world.hart.icount().get(), 1);
    // Enabled in mie, though not in mstatus: it goes on without a trap.
    world.bus.lines = 0x80;
    world.hart.refresh_lines(&world.bus);
    assert!(!world.hart.is_waiting());
    assert_eq!(world.step(1), HartStop::Reached);
    assert_eq!(world.x(5), 1);
}

#[test]
fn wfi_with_an_interrupt_pending_does_not_wait() {
    let mut world = World::new(&[WFI, addi(5, 5, 1)]);
    world.hart.csrs.mie = 0x80;
    world.bus.lines = 0x80;
    assert_eq!(world.step(2), HartStop::Reached);
    assert_eq!(world.x(5), 1);
}

#[test]
fn an_interrupt_ends_the_wait_behind_the_wfi() {
    let mut world = World::new(&[WFI, addi(5, 5, 1)]);
    world.hart.csrs.mie = 0x80;
    world.hart.csrs.mstatus = 8;
    world.hart.csrs.mtvec = BASE + 0x100;
    assert_eq!(world.step(10), HartStop::Idle);
    world.bus.lines = 0x80;
    world.hart.refresh_lines(&world.bus);
    assert_eq!((world.hart.pc(), world.hart.csrs.mepc), (BASE + 0x100, BASE + 4));
    assert_eq!(world.hart.icount().get(), 1, "taking an interrupt counts nothing");
}

#[test]
fn waiting_is_part_of_the_state() {
    let mut world = World::new(&[WFI]);
    assert_eq!(world.step(10), HartStop::Idle);
    let mut again = world.reborn();
    assert_eq!(again.step(10), HartStop::Idle);
    assert!(again.picture() == world.picture());
}
