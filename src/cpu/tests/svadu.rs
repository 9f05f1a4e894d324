//! Svadu: the hart sets A and D itself, exactly when an access is made, and it shows nowhere else.

use super::asm::*;
use super::translation::{A, D, LEAF, MXR, R, SUM, Tables, U, V, W, X};
use super::world::{BASE, LATCH, MTIME, World};
use crate::cpu::{Answer, Cpu, HartStop, Question};

const CODE: u64 = 0x10_0000;
const DATA: u64 = 0x30_0000;

/// S-mode at [`CODE`] on a hart with Svadu; [`DATA`] and the page behind it have rights of their own. Beside
/// the world: where the entries of the code and of the data pages are.
struct Pages {
    world: World,
    code: u64,
    data: [u64; 2],
}

fn pages(words: &[u32], code: u64, data: [u64; 2]) -> Pages {
    let mut world = World::of(Cpu { svadu: true, ..Cpu::default() }, &[]);
    world.put(BASE + 0x5000, words);
    world.put(BASE + 0x6000, &[NOP]);
    let mut tables = Tables::new();
    let code = tables.map(&mut world, CODE, BASE + 0x5000, code);
    let data = [0, 1]
        .map(|n| tables.map(&mut world, DATA + 0x1000 * n, BASE + 0x6000 + 0x1000 * n, data[n as usize]));
    tables.enter(&mut world, 1, CODE);
    world.set_x(5, DATA);
    Pages { world, code, data }
}

impl Pages {
    /// The low byte of each entry: code, data, data.
    fn rights(&self) -> [u64; 3] {
        [self.code, self.data[0], self.data[1]].map(|at| self.world.u64_at(at) & 0xff)
    }

    fn cause(&self) -> u64 {
        if self.world.hart.exceptions == 0 { 0 } else { self.world.hart.csrs.mcause }
    }
}

#[test]
fn every_combination_of_rights_and_status_sets_just_what_the_access_needs() {
    for rights in 0..=0xffu64 {
        for status in [0, SUM, MXR, SUM | MXR] {
            let usable = rights & V != 0 && rights & (R | W) != W && rights & (R | X) != 0;
            let user = rights & U != 0;
            let data = usable && (!user || status & SUM != 0);
            let readable = rights & R != 0 || status & MXR != 0 && rights & X != 0;
            for (word, steps, allowed, cause, bits) in [
                (ld(7, 5, 0), 1, data && readable, 13, A),
                (sd(7, 5, 0), 1, data && rights & W != 0, 15, A | D),
                (amo(0, 3, 7, 5, 6), 1, data && rights & W != 0, 15, A | D),
                (lr_d(7, 5), 1, data && readable, 13, A),
                (jalr(0, 5, 0), 2, usable && !user && rights & X != 0, 12, A),
                (cbo(4, 5), 1, data && rights & W != 0, 15, A | D),
                (cbo(1, 5), 1, data && readable, 15, A),
            ] {
                let mut pages = pages(&[word], LEAF & !A & !D, [rights, 0]);
                pages.world.hart.csrs.mstatus = status;
                pages.world.hart.csrs.menvcfg |= 0xf0;
                pages.world.step(steps);
                let found = (pages.cause(), pages.rights());
                let expected = if allowed { (0, rights | bits) } else { (cause, rights) };
                let expected = (expected.0, [LEAF & !D, expected.1, 0]);
                assert_eq!(found, expected, "{word:08x} pte {rights:02x} status {status:x}");
            }
        }
    }
}

#[test]
fn while_adue_is_clear_it_is_the_guests_work() {
    let mut pages = pages(&[ld(7, 5, 0), sd(7, 5, 0)], LEAF, [LEAF & !D, 0]);
    pages.world.hart.csrs.menvcfg = 0;
    pages.world.step(2);
    assert_eq!((pages.cause(), pages.rights()), (15, [LEAF, LEAF & !D, 0]));
    let mut pages = self::pages(&[NOP], LEAF & !A, [0, 0]);
    pages.world.hart.csrs.menvcfg = 0;
    pages.world.step(1);
    assert_eq!((pages.cause(), pages.rights()[0]), (12, LEAF & !A));
}

#[test]
fn bits_that_are_cleared_are_set_again_by_the_next_access() {
    // A store, the clearing of its bits by way of another page, a load, a store.
    let mut pages = pages(&[sd(7, 5, 0), sd(8, 9, 0), ld(7, 5, 0), sd(7, 5, 0)], LEAF, [V | R | W, 0]);
    let (entry, world) = (pages.data[0], &mut pages.world);
    let mut tables = Tables::continued();
    tables.map(world, 0x50_0000, entry & !0xfff, LEAF);
    world.set_x(8, world.u64_at(entry));
    world.set_x(9, 0x50_0000 + (entry & 0xfff));
    for expected in [A | D, 0, A, A | D] {
        world.step(1);
        assert_eq!(world.u64_at(entry) & (A | D), expected);
    }
    // Clearing from outside is seen as well.
    world.put_u64(entry, (BASE + 0x6000) >> 2 | V | R | W);
    world.hart.pc = CODE;
    world.step(1);
    assert_eq!(world.u64_at(entry) & (A | D), A | D);
    assert_eq!(world.hart.exceptions, 0);
}

#[test]
fn an_access_of_which_a_part_faults_sets_nothing() {
    for (word, second, cause, bits) in [
        (sd(7, 5, -4), V | R, 15, 0),
        (sd(7, 5, -4), V | R | W, 0, A | D),
        (ld(7, 5, -4), 0, 13, 0),
        (ld(7, 5, -4), V | R, 0, A),
    ] {
        let mut pages = pages(&[word], LEAF, [V | R | W, second]);
        pages.world.set_x(5, DATA + 0x1000);
        pages.world.step(1);
        assert_eq!(
            (pages.cause(), pages.rights()),
            (cause, [LEAF, V | R | W | bits, second | bits]),
            "{word:x}"
        );
    }
    // An instruction across pages: first half's rights, second half's.
    for (second, cause, bits) in [(0, 12, 0), (V | X, 0, A)] {
        let mut pages = pages(&[], LEAF, [V | X, second]);
        let wide = addi(7, 7, 1);
        pages.world.ram.write_u16(crate::base::GuestPhys(BASE + 0x6ffe), wide as u16).unwrap();
        pages.world.ram.write_u16(crate::base::GuestPhys(BASE + 0x7000), (wide >> 16) as u16).unwrap();
        pages.world.hart.pc = DATA + 0xffe;
        pages.world.step(1);
        assert_eq!((pages.cause(), pages.rights()), (cause, [LEAF, V | X | bits, second | bits]));
    }
}

#[test]
fn an_sc_that_fails_is_no_store_and_an_lr_keeps_its_reservation() {
    let mut pages = pages(&[sc_d(7, 6, 5), lr_d(7, 5), sc_d(8, 6, 5)], LEAF, [V | R | W, 0]);
    pages.world.step(1);
    assert_eq!((pages.world.x(7), pages.rights()[1]), (1, V | R | W));
    // The `sc` sets D between the reservation and its own store.
    pages.world.step(2);
    assert_eq!((pages.world.x(8), pages.rights()[1]), (0, V | R | W | A | D));
}

#[test]
fn pmp_must_let_the_entry_be_written() {
    let deny = |pages: &mut Pages, entry: u64| {
        let pmp = &mut pages.world.hart.csrs.pmp;
        pmp.set_address(0, entry >> 2);
        pmp.set_address(1, u64::MAX);
        pmp.set_config(0, 0x1f_19); // eight bytes that can only be read
    };
    for (word, cause) in [(ld(7, 5, 0), 5), (sd(7, 5, 0), 7)] {
        let mut pages = pages(&[word, NOP], LEAF, [V | R | W, 0]);
        let entry = pages.data[0];
        deny(&mut pages, entry);
        pages.world.step(1);
        assert_eq!((pages.cause(), pages.world.hart.csrs.mtval), (cause, DATA));
        assert_eq!(pages.rights()[1], V | R | W);
        // Where nothing is to be set nothing is written.
        pages.world.put_u64(entry, (BASE + 0x6000) >> 2 | LEAF);
        (pages.world.hart.pc, pages.world.hart.privilege) = (CODE, crate::cpu::Privilege::Supervisor);
        pages.world.step(2);
        assert_eq!((pages.world.hart.exceptions, pages.world.hart.pc), (1, CODE + 8));
    }
    let mut pages = pages(&[NOP], LEAF & !A, [0, 0]);
    let entry = pages.code;
    deny(&mut pages, entry);
    pages.world.step(1);
    assert_eq!((pages.cause(), pages.rights()[0]), (1, LEAF & !A));
}

#[test]
fn where_a_question_stops_the_hart_nothing_is_set_yet() {
    // Asked by a CSR: the fetch has to set A.
    let mut pages = pages(&[csrr(7, 0xc01)], LEAF & !A, [0, 0]);
    pages.world.hart.csrs.mcounteren = 7;
    for _ in 0..2 {
        assert_eq!(pages.world.step(1), HartStop::Ask(Question::Time));
        assert_eq!(pages.rights()[0], LEAF & !A);
    }
    pages.world.answer(Answer::Time(9));
    assert_eq!((pages.world.x(7), pages.rights()[0]), (9, LEAF));
    // Asked by a device: the page of the device, too.
    let mut pages = self::pages(&[ld(7, 5, 0)], LEAF & !A, [0, 0]);
    let entry = pages.data[0];
    let device = (MTIME & !0xfff) >> 2 | V | R | W;
    pages.world.put_u64(entry, device);
    pages.world.set_x(5, DATA + (MTIME & 0xfff));
    assert_eq!(pages.world.step(1), HartStop::Ask(Question::Time));
    assert_eq!(pages.rights()[..2], [LEAF & !A, V | R | W]);
    pages.world.answer(Answer::Time(10));
    assert_eq!((pages.world.x(7), &pages.rights()[..2]), (10, &[LEAF, V | R | W | A][..]));
    // And once the code's page has been fetched from.
    pages.world.hart.pc = CODE;
    pages.world.put_u64(entry, device);
    assert_eq!(pages.world.step(1), HartStop::Ask(Question::Time));
    assert_eq!(pages.rights()[1], V | R | W);
    // A device that does not ask.
    pages.world.put_u64(entry, LATCH >> 2 | V | R | W);
    pages.world.set_x(5, DATA);
    pages.world.step(1);
    assert_eq!((pages.world.x(7), pages.rights()[1]), (1, V | R | W | A));
}

#[test]
fn an_interrupt_instead_of_the_question_leaves_the_page_alone() {
    let mut pages = pages(&[csrr(7, 0xc01)], LEAF & !A, [0, 0]);
    let world = &mut pages.world;
    world.hart.csrs.mcounteren = 7;
    world.hart.csrs.mie = 1 << 11;
    assert_eq!(world.step(1), HartStop::Ask(Question::Time));
    world.bus.lines = 1 << 11;
    world.hart.refresh_lines(&world.bus);
    assert_eq!(world.hart.csrs.mcause, 1 << 63 | 11);
    assert_eq!(pages.rights()[0], LEAF & !A);
}

#[test]
fn machine_mode_sets_them_for_the_mode_that_mprv_lends() {
    let mut pages = pages(&[], LEAF, [V | R | W, 0]);
    let world = &mut pages.world;
    world.put(BASE + 0x800, &[sd(7, 5, 0)]);
    (world.hart.pc, world.hart.privilege) = (BASE + 0x800, crate::cpu::Privilege::Machine);
    world.hart.csrs.mstatus = 1 << 17 | 1 << 11;
    world.step(1);
    assert_eq!((pages.cause(), pages.rights()[1]), (0, V | R | W | A | D));
}

#[test]
fn setting_bits_shows_in_the_digest_and_among_the_written_pages() {
    let mut pages = pages(&[ld(7, 5, 0), NOP], LEAF & !A, [V | R, 0]);
    let world = &mut pages.world;
    world.ram.note_writes();
    world.step(2);
    let tables: Vec<u32> = [pages.code, pages.data[0]].map(|at| ((at - BASE) >> 12) as u32).into();
    let world = &mut pages.world;
    let written = world.ram.take_written();
    assert!(tables.iter().all(|page| written.contains(page)), "{written:?}, {tables:?}");
    assert_eq!(world.ram.digest(), world.reborn().ram.digest());
}

#[test]
fn a_look_sets_nothing() {
    let mut pages = pages(&[ld(7, 5, 0)], LEAF & !A, [V | R, 0]);
    let digest = pages.world.ram.digest();
    assert!(pages.world.hart.next_word(&pages.world.ram).is_some());
    assert!(pages.world.hart.physical(&pages.world.ram, crate::base::GuestVirt(DATA)).is_some());
    assert_eq!(pages.world.ram.digest(), digest);
}

#[test]
fn an_entry_in_a_page_of_code_that_has_run_is_fetched_anew() {
    // The entry for DATA is an instruction that has run, in a page that is mapped for execution: c.addi
    // forms of its low half differ in the bit A.
    let mut pages = pages(&[NOP], LEAF, [V | R, 0]);
    let (entry, world) = (pages.data[0], &mut pages.world);
    let mut tables = Tables::continued();
    tables.map(world, 0x50_0000, entry & !0xfff, LEAF);
    world.hart.pc = 0x50_0000 + (entry & 0xfff);
    let before = world.hart.next_word(&world.ram).unwrap();
    world.step(1);
    world.hart.pc = CODE;
    world.hart.privilege = crate::cpu::Privilege::Supervisor;
    world.put(BASE + 0x5000, &[ld(7, 5, 0)]);
    world.step(1);
    world.hart.pc = 0x50_0000 + (entry & 0xfff);
    assert_eq!(world.hart.next_word(&world.ram), Some(before | A as u32));
    world.step(1);
    assert_eq!(world.reborn().picture(), world.picture());
}
