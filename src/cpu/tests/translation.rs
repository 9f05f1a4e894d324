//! Sv39: rights, sizes, faults; PMP on the way; MPRV.

use super::asm::*;
use super::world::{BASE, LATCH, World};

/// V, R, W, X, A, D.
pub const LEAF: u64 = 0xcf;
pub const V: u64 = 1;
pub const R: u64 = 2;
pub const W: u64 = 4;
pub const X: u64 = 8;
pub const U: u64 = 0x10;
pub const A: u64 = 0x40;
pub const D: u64 = 0x80;

pub const SUM: u64 = 1 << 18;
pub const MXR: u64 = 1 << 19;
const MPRV: u64 = 1 << 17;

/// Page tables from `BASE` + 1 MiB on.
pub struct Tables {
    root: u64,
    free: u64,
}

impl Tables {
    pub fn new() -> Self {
        Self { root: BASE + 0x10_0000, free: BASE + 0x10_1000 }
    }

    /// Further mappings beside those that are there, from tables of their own.
    pub fn continued() -> Self {
        Self { free: BASE + 0x18_0000, ..Self::new() }
    }

    /// The place of the entry for `va` on `level`; makes the tables above it.
    fn place(&mut self, world: &mut World, va: u64, level: u32) -> u64 {
        let mut table = self.root;
        for upper in (level + 1..3).rev() {
            let at = table + (va >> (12 + 9 * upper) & 511) * 8;
            if world.u64_at(at) & V == 0 {
                world.put_u64(at, self.free >> 2 | V);
                self.free += 0x1000;
            }
            table = world.u64_at(at) >> 10 << 12;
        }
        table + (va >> (12 + 9 * level) & 511) * 8
    }

    /// Maps a leaf of `level` and says where its entry is.
    pub fn map_at(&mut self, world: &mut World, va: u64, pa: u64, rights: u64, level: u32) -> u64 {
        let at = self.place(world, va, level);
        world.put_u64(at, pa >> 2 | rights);
        at
    }

    pub fn map(&mut self, world: &mut World, va: u64, pa: u64, rights: u64) -> u64 {
        self.map_at(world, va, pa, rights, 0)
    }

    /// Into U- (0) or S-mode (1) at `pc`, translated, PMP open, nothing delegated.
    pub fn enter(&self, world: &mut World, mode: u64, pc: u64) {
        let hart = &mut world.hart;
        hart.csrs.satp = 8 << 60 | self.root >> 12;
        hart.csrs.pmp.set_address(0, u64::MAX);
        hart.csrs.pmp.set_config(0, 0x1f);
        hart.privilege =
            if mode == 0 { crate::cpu::Privilege::User } else { crate::cpu::Privilege::Supervisor };
        hart.pc = pc;
        hart.tlb.flush();
    }
}

/// What one access to a page with `rights` does: 0 or the cause. `status` are bits of mstatus.
fn attempt(mode: u64, rights: u64, status: u64, access: char) -> u64 {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    let code = LEAF | if mode == 0 { U } else { 0 };
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, code);
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, rights);
    let insn = match access {
        'r' => ld(7, 5, 0),
        'w' => sd(7, 5, 0),
        _ => jalr(0, 5, 0),
    };
    world.put(BASE + 0x5000, &[insn]);
    world.put(BASE + 0x6000, &[NOP]);
    tables.enter(&mut world, mode, 0x10_0000);
    world.hart.csrs.mstatus = status;
    world.set_x(5, 0x30_0000);
    world.step(if access == 'x' { 2 } else { 1 });
    let csrs = &world.hart.csrs;
    if world.hart.exceptions == 0 {
        return 0;
    }
    assert_eq!((csrs.mtval, world.hart.exceptions), (0x30_0000, 1));
    csrs.mcause
}

#[test]
fn every_combination_of_rights_mode_and_status() {
    for rights in 0..=0xffu64 {
        for mode in [0, 1] {
            for status in [0, SUM, MXR, SUM | MXR] {
                let usable = rights & V != 0 && rights & (R | W) != W && rights & (R | X) != 0;
                let accessed = rights & A != 0;
                let user = rights & U != 0;
                let data_mode = if mode == 0 { user } else { !user || status & SUM != 0 };
                let readable = rights & R != 0 || status & MXR != 0 && rights & X != 0;
                let expect = |allowed: bool, cause: u64| if allowed { 0 } else { cause };
                let r = usable && accessed && data_mode && readable;
                let w = usable && accessed && data_mode && rights & W != 0 && rights & D != 0;
                let x = usable && accessed && user == (mode == 0) && rights & X != 0;
                for (access, expected) in [('r', expect(r, 13)), ('w', expect(w, 15)), ('x', expect(x, 12))] {
                    let found = attempt(mode, rights, status, access);
                    assert_eq!(found, expected, "{access} mode {mode} pte {rights:02x} status {status:x}");
                }
            }
        }
    }
}

#[test]
fn reserved_bits_of_an_entry_fault() {
    for bit in 54..64 {
        assert_eq!(attempt(1, LEAF | 1 << bit, 0, 'r'), 13, "bit {bit}");
    }
    // Bits 8 and 9 are software's.
    assert_eq!(attempt(1, LEAF | 0x300, 0, 'r'), 0);
}

fn load_at(va: u64, prepare: impl FnOnce(&mut World, &mut Tables)) -> (u64, u64) {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    world.put(BASE + 0x5000, &[ld(7, 5, 0)]);
    for page in 0..512 {
        world.put_u64(BASE + page * 0x1000 + 0x120, 0x1000 + page);
    }
    prepare(&mut world, &mut tables);
    tables.enter(&mut world, 1, 0x10_0000);
    world.set_x(5, va);
    world.step(1);
    if world.hart.exceptions > 0 { (world.hart.csrs.mcause, world.hart.csrs.mtval) } else { (0, world.x(7)) }
}

#[test]
fn superpages_map_their_whole_span_and_must_be_aligned() {
    let megapage = |w: &mut World, t: &mut Tables| {
        t.map_at(w, 0x4000_0000, BASE, LEAF, 1);
    };
    assert_eq!(load_at(0x4000_0120, megapage), (0, 0x1000));
    assert_eq!(load_at(0x4017_8120, megapage), (0, 0x1178));
    assert_eq!(load_at(0x4020_0120, megapage), (13, 0x4020_0120));
    let gigapage = |w: &mut World, t: &mut Tables| {
        t.map_at(w, 0x8000_0000, BASE, LEAF, 2);
    };
    assert_eq!(load_at(0x8017_8120, gigapage), (0, 0x1178));
    // Beyond RAM, but mapped: an access fault.
    assert_eq!(load_at(0xb000_0000, gigapage), (5, 0xb000_0000));
    for (level, pa) in [(1, BASE + 0x1000), (2, BASE + 0x20_0000), (2, BASE + 0x1000)] {
        let misaligned = |w: &mut World, t: &mut Tables| {
            t.map_at(w, 0xc000_0000, pa, LEAF, level);
        };
        assert_eq!(load_at(0xc000_0120, misaligned), (13, 0xc000_0120), "level {level} {pa:x}");
    }
}

#[test]
fn addresses_that_are_not_sign_extended_fault() {
    let high = |w: &mut World, t: &mut Tables| {
        t.map(w, 0xffff_ffff_c000_0000, BASE + 0x6000, LEAF);
    };
    assert_eq!(load_at(0xffff_ffff_c000_0120, high), (0, 0x1006));
    for va in [0x7f_c000_0120, 0x8000_0000_0000_0120, 0x40_0000_0120] {
        assert_eq!(load_at(va, high), (13, va));
    }
}

#[test]
fn pointers_must_be_plain_and_end_somewhere() {
    for (bits, cause) in [(0, 0), (A, 13), (D, 13), (U, 13), (1 << 54, 13), (1 << 63, 13)] {
        let with_bits = |w: &mut World, t: &mut Tables| {
            let at = t.map(w, 0x4000_0000, BASE, LEAF);
            // The pointer on the level above.
            let upper = t.place(w, 0x4000_0000, 1);
            w.put_u64(upper, (at & !0xfff) >> 2 | V | bits);
        };
        assert_eq!(load_at(0x4000_0120, with_bits).0, cause, "{bits:x}");
    }
    // A pointer on the last level.
    let endless = |w: &mut World, t: &mut Tables| {
        t.map(w, 0x4000_0000, BASE, V);
    };
    assert_eq!(load_at(0x4000_0120, endless).0, 13);
    // A table outside RAM.
    let outside = |w: &mut World, t: &mut Tables| {
        t.map_at(w, 0x4000_0000, LATCH, V, 2);
    };
    assert_eq!(load_at(0x4000_0120, outside), (5, 0x4000_0120));
}

#[test]
fn an_access_across_pages_faults_on_the_part_that_fails_and_stores_nothing() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, LEAF);
    tables.map(&mut world, 0x30_1000, BASE + 0x9000, LEAF & !W);
    world.put(BASE + 0x5000, &[ld(7, 5, 0), sd(7, 5, 0)]);
    world.put_u64(BASE + 0x6ff8, 0x1111_1111_1111_1111);
    world.put_u64(BASE + 0x9000, 0x2222_2222_2222_2222);
    tables.enter(&mut world, 1, 0x10_0000);
    world.set_x(5, 0x30_0ffc);
    world.step(1);
    assert_eq!(world.x(7), 0x2222_2222_1111_1111);
    world.set_x(7, 0);
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (15, 0x30_1000));
    assert_eq!(world.u64_at(BASE + 0x6ff8), 0x1111_1111_1111_1111);
}

#[test]
fn misaligned_accesses_to_known_pages_go_where_each_page_leads() {
    for offset in 0..16 {
        let at = 0xff8 + offset;
        let code =
            [ld(0, 5, 0), ld(0, 6, 0), sd(0, 5, 0), sd(0, 6, 0), sd(7, 8, 0), ld(9, 8, 0), lw(10, 8, 0)];
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
        tables.map(&mut world, 0x30_0000, BASE + 0x6000, LEAF);
        tables.map(&mut world, 0x30_1000, BASE + 0x9000, LEAF);
        world.put(BASE + 0x5000, &code);
        tables.enter(&mut world, 1, 0x10_0000);
        world.set_x(5, 0x30_0000);
        world.set_x(6, 0x30_1000);
        world.set_x(8, 0x30_0000 + at);
        world.set_x(7, 0x8877_6655_4433_2211);
        world.step(7);
        assert_eq!((world.x(9), world.x(10)), (0x8877_6655_4433_2211, 0x4433_2211), "{at:x}");
        for byte in 0..8 {
            let va = at + byte;
            let pa = if va < 0x1000 { BASE + 0x6000 + va } else { BASE + 0x9000 + va - 0x1000 };
            let found = world.u64_at(pa & !7) >> (8 * (pa & 7)) & 0xff;
            assert_eq!(found, 0x11 * (byte + 1), "{at:x}: byte {byte}");
        }
    }
}

#[test]
fn an_instruction_across_pages_faults_on_the_half_that_fails() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    world.ram.write_u32(crate::base::GuestPhys(BASE + 0x5ffe), addi(7, 0, 9)).unwrap();
    tables.enter(&mut world, 1, 0x10_0ffe);
    world.step(1);
    let csrs = world.hart.csrs.clone();
    assert_eq!((csrs.mcause, csrs.mepc, csrs.mtval), (12, 0x10_0ffe, 0x10_1000));
    // Mapped to a page that does not follow in RAM.
    tables.map(&mut world, 0x10_1000, BASE + 0x8000, LEAF);
    world.ram.write_u16(crate::base::GuestPhys(BASE + 0x8000), (addi(7, 0, 9) >> 16) as u16).unwrap();
    tables.enter(&mut world, 1, 0x10_0ffe);
    world.step(1);
    assert_eq!((world.x(7), world.hart.pc()), (9, 0x10_1002));
    // A short instruction there needs no second page.
    world.put_u64(BASE + 0x8000, 0);
    tables.map(&mut world, 0x10_1000, 0, 0);
    world.ram.write_u16(crate::base::GuestPhys(BASE + 0x5ffe), 0x4385).unwrap(); // c.li x7, 1
    tables.enter(&mut world, 1, 0x10_0ffe);
    world.step(1);
    assert_eq!((world.x(7), world.hart.pc()), (1, 0x10_1000));
}

#[test]
fn machine_mode_is_not_translated_unless_mprv_lends_it_another_mode() {
    let mut world = World::new(&[ld(7, 5, 0), ld(7, 6, 0)]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, LEAF | U);
    tables.enter(&mut world, 1, BASE);
    world.hart.privilege = crate::cpu::Privilege::Machine;
    world.put_u64(BASE + 0x6000, 66);
    world.set_x(5, BASE + 0x6000);
    world.set_x(6, 0x30_0000);
    world.step(1);
    assert_eq!(world.x(7), 66);
    for (mpp, sum, expected) in [(0, 0, 77), (1, 0, 0), (1, SUM, 77), (3, 0, 0)] {
        world.put_u64(BASE + 0x6000, 77);
        world.set_x(7, 0);
        world.hart.pc = BASE + 4;
        world.hart.csrs.mstatus = MPRV | mpp << 11 | sum;
        world.step(1);
        assert_eq!(world.x(7), expected, "MPP {mpp} SUM {sum:x}");
        world.hart.privilege = crate::cpu::Privilege::Machine;
    }
}

#[test]
fn mxr_and_sum_take_effect_on_the_very_next_access() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, (LEAF | U) & !R & !W);
    let code = [csrrs(0, 0x100, 6), ld(7, 5, 0), csrrc(0, 0x100, 8), ld(7, 5, 0)];
    for (both, without) in [(SUM | MXR, SUM), (SUM | MXR, MXR)] {
        world.put(BASE + 0x5000, &code);
        tables.enter(&mut world, 1, 0x10_0000);
        world.set_x(5, 0x30_0000);
        world.set_x(6, both);
        world.set_x(8, without);
        let before = world.hart.exceptions;
        world.step(3);
        assert_eq!(world.hart.exceptions, before);
        world.step(1);
        assert_eq!((world.hart.exceptions, world.hart.csrs.mcause), (before + 1, 13));
    }
}

#[test]
fn satp_takes_effect_at_the_next_instruction() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    // Virtual BASE is another page than physical BASE.
    tables.map(&mut world, BASE, BASE + 0x5000, LEAF);
    world.put(BASE, &[csrw(0x180, 5), addi(7, 0, 1)]);
    world.put(BASE + 0x5004, &[addi(7, 0, 2), csrw(0x180, 0)]);
    world.put(BASE + 0xc, &[addi(8, 0, 3)]);
    tables.enter(&mut world, 1, BASE);
    let satp = std::mem::take(&mut world.hart.csrs.satp);
    world.set_x(5, satp);
    world.step(4);
    assert_eq!((world.x(7), world.x(8)), (2, 3));
}

#[test]
fn pmp_stops_what_translation_allows() {
    let mut world = World::new(&[]);
    let mut tables = Tables::new();
    tables.map(&mut world, 0x10_0000, BASE + 0x5000, LEAF);
    tables.map(&mut world, 0x30_0000, BASE + 0x6000, LEAF);
    world.put(BASE + 0x5000, &[ld(7, 5, 0), sd(7, 5, 0), amo(0, 3, 7, 5, 0), jalr(0, 5, 0)]);
    tables.enter(&mut world, 1, 0x10_0000);
    // Entry 1 takes over what entry 0 opens, but for one page that entry 0 makes read-only.
    world.hart.csrs.pmp.set_address(1, u64::MAX);
    world.hart.csrs.pmp.set_address(0, (BASE + 0x6000) >> 2 | 0x1ff);
    world.hart.csrs.pmp.set_config(0, 0x1f_19);
    world.hart.tlb.flush();
    world.set_x(5, 0x30_0000);
    for (pc, cause) in [(0, 0), (4, 7), (8, 7)] {
        world.hart.privilege = crate::cpu::Privilege::Supervisor;
        world.hart.pc = 0x10_0000 + pc;
        world.hart.csrs.mcause = 0;
        world.step(1);
        assert_eq!(world.hart.csrs.mcause, cause);
    }
    world.hart.privilege = crate::cpu::Privilege::Supervisor;
    world.hart.pc = 0x10_000c;
    world.step(2);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (1, 0x30_0000));
    // Tables that may not be read: an access fault of the access itself.
    world.hart.csrs.pmp.set_address(0, (BASE + 0x10_0000) >> 2 | 0x1ff);
    world.hart.csrs.pmp.set_config(0, 0x1f_18);
    world.hart.tlb.flush();
    world.hart.privilege = crate::cpu::Privilege::Supervisor;
    world.hart.pc = 0x10_0000;
    world.step(1);
    assert_eq!(world.hart.csrs.mcause, 1);
}

#[test]
fn a_pmp_write_takes_effect_on_the_very_next_access() {
    let mut world = World::new(&[sd(0, 5, 0), csrw(0x3b0, 6), csrw(0x3a0, 7), ld(8, 5, 0), sd(0, 5, 0)]);
    world.set_x(5, BASE + 0x6000);
    world.set_x(6, (BASE + 0x6000) >> 2 | 0x1ff);
    world.set_x(7, 0x99); // locked, NAPOT, R
    world.step(4);
    assert_eq!(world.hart.exceptions, 0);
    world.step(1);
    assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (7, BASE + 0x6000));
}
