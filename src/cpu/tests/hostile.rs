//! Code made against translators. Each program runs under both engines, cut in the same places, and must come to the
//! same state after each piece; and to the result that it names.

use super::asm::*;
use super::translation::{LEAF, Tables};
use super::world::{BASE, World};
use crate::base::{GuestPhys, Prng};
use crate::engine::Engine;
use crate::mem::RAM_BASE;

/// Bytes of RAM in a [`World`].
const RAM: u64 = 2 << 20;
const CODE: u64 = BASE + 0x4000;
const SATP: u16 = 0x180;

/// Runs what `make` makes under both engines, `count` instructions in pieces, and gives back the translator's.
fn both(make: impl Fn() -> World, count: u64) -> World {
    let mut prng = Prng::new(count);
    let mut translated = make().with(Engine::Translator);
    let mut interpreted = make().with(Engine::Interpreter);
    let mut done = 0;
    while done < count {
        let piece = prng.between(1, 400).min(count - done);
        done += piece;
        translated.step(piece);
        interpreted.step(piece);
        if translated.picture() != interpreted.picture() {
            let (a, b) = (translated.hart.state(), interpreted.hart.state());
            panic!("within {piece} before {done}:\n{a:x?}\n{b:x?}");
        }
    }
    let fared = translated.hart.fared().expect("the translator runs");
    assert!(fared.translated > 0, "{fared:?}");
    translated
}

#[test]
fn jumps_into_the_middle_of_instructions_agree() {
    // The upper half of the `lui` is `c.addi x8, 1`; by turns it is entered there.
    let c_addi = 0x0405u32;
    let hidden = c_addi << 16 | 5 << 7 | 0x37;
    let make = || {
        let mut code = Code::default();
        let start = code.put(addi(6, 6, 1));
        code.put(andi(7, 6, 1));
        code.put(slli(7, 7, 1));
        code.put(auipc(10, 0));
        code.put(add(10, 10, 7));
        code.put(jalr(0, 10, 12));
        code.put(hidden);
        let here = code.here();
        code.put(jal(0, start - here));
        let mut world = World::new(&[]);
        world.put(CODE, &code.0);
        world.hart.pc = CODE;
        world
    };
    let world = both(make, 8 * 1000);
    assert_eq!((world.x(6), world.x(8)), (1000, 500));
}

#[test]
fn a_block_that_runs_into_a_page_that_is_not_there_agrees() {
    // The last instruction ends with its page, straddles both, or begins the next; which the handler maps and unmaps.
    for before in [4, 2, 0] {
        let at = 0x10_1000 - 40 - before;
        let make = || {
            let mut world = World::new(&[]);
            let mut tables = Tables::new();
            tables.map(&mut world, 0x10_0000, CODE, LEAF);
            let entry = tables.map(&mut world, 0x10_1000, BASE + 0x8000, LEAF & !1);
            let offset = at - 0x10_0000;
            let mut code = vec![addi(7, 7, 1); 10];
            code.extend([addi(8, 8, 1), addi(9, 9, 1), ECALL]);
            // Physically the pages are not neighbours.
            for (n, byte) in code.iter().flat_map(|word| word.to_le_bytes()).enumerate() {
                let to = offset + n as u64;
                let page = if to < 0x1000 { CODE } else { BASE + 0x7000 };
                world.ram.write(GuestPhys(page + to), &[byte]).unwrap();
            }
            let handler = [
                csrr(30, 0x342),
                ld(31, 28, 0),
                i(0x13, 4, 31, 31, 1), // xori: there or not
                sd(31, 28, 0),
                SFENCE,
                addi(30, 30, -12),
                beq(30, 0, 8),
                csrw(0x341, 29),
                MRET,
            ];
            world.put(BASE + 0x1000, &handler);
            world.hart.csrs.mtvec = BASE + 0x1000;
            world.set_x(28, entry);
            world.set_x(29, at);
            tables.enter(&mut world, 1, at);
            world
        };
        let world = both(make, 20_000);
        assert!(world.x(8) > 500 && world.x(9) > 500 && world.x(7) > 5000, "{before}");
    }
}

#[test]
fn code_that_rewrites_what_comes_next_agrees() {
    // Each time round, the instruction behind the store, or the store's own block's first, gets another destination.
    for target in [16i32, 0] {
        let make = || {
            let mut world = World::new(&[]);
            let words = [addi(7, 7, 1), xor(6, 6, 11), sw(6, 5, target), NOP, addi(7, 7, 1), jal(0, -20)];
            world.put(CODE, &words);
            world.set_x(5, CODE);
            world.set_x(6, addi(7, 7, 1).into());
            world.set_x(11, (addi(7, 7, 1) ^ addi(8, 8, 1)).into());
            world.hart.pc = CODE;
            world
        };
        let world = both(make, 6 * 1000);
        assert_eq!((world.x(7), world.x(8)), (1500, 500), "{target}");
    }
}

#[test]
fn code_written_through_another_address_agrees() {
    let make = || {
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, CODE, LEAF & !4);
        tables.map(&mut world, 0x20_0000, CODE, LEAF & !8);
        // At both ends of a granule, so that a store of 8 bytes is half of this one.
        let words = [xor(6, 6, 11), sd(6, 5, 0x3c), addi(9, 9, 1), jal(0, 0x34 - 8)];
        world.put(CODE, &words);
        world.put(CODE + 0x38, &[addi(8, 8, 1), addi(7, 7, 1), NOP, jal(0, -0x44)]);
        world.set_x(5, 0x20_0000);
        let word = |first: u32| u64::from(first) | u64::from(NOP) << 32;
        world.set_x(6, word(addi(7, 7, 1)));
        world.set_x(11, word(addi(7, 7, 1)) ^ word(addi(7, 7, 2)));
        tables.enter(&mut world, 1, 0x10_0000);
        world
    };
    let world = both(make, 8 * 1000);
    assert_eq!((world.x(8), world.x(7), world.hart.exceptions), (1000, 1500, 0));
}

#[test]
fn the_edges_of_ram_and_of_the_address_space_agree() {
    let edges = [
        RAM_BASE.get(),
        RAM_BASE.get() + RAM,
        RAM_BASE.get() + 0x1000,
        0,
        1 << 63,
        1 << 38,
        (1u64 << 38).wrapping_neg(),
        1 << 32,
        1 << 56,
        0x1000,
    ];
    for (n, edge) in edges.into_iter().enumerate() {
        for first in [-16i64, -9, -1, 1] {
            let make = || {
                let mut world = World::new(&[]);
                let mut code = Code::default();
                for imm in 0..18 {
                    for f3 in 0..7 {
                        code.put(load(f3, 7, 5, imm));
                        code.put(add(8, 8, 7));
                    }
                    for f3 in 0..4 {
                        code.put(s(0x23, f3, 5, 8, imm));
                    }
                    code.put(i(0x07, 3, 1, 5, imm));
                    code.put(s(0x27, 2, 5, 1, imm));
                }
                let here = code.here();
                code.put(jal(0, -here));
                world.put(CODE, &code.0);
                world.put(BASE + 0x1000, &[csrr(30, 0x341), addi(30, 30, 4), csrw(0x341, 30), MRET]);
                world.hart.csrs.mtvec = BASE + 0x1000;
                world.hart.csrs.mstatus = 0x6000;
                world.set_x(5, edge.wrapping_add_signed(first));
                world.set_x(8, 0x1234_5678_9abc_def0);
                world.hart.pc = CODE;
                if n % 2 == 1 {
                    // From S-mode, translated, with a page on each side of it.
                    let mut tables = Tables::new();
                    tables.map(&mut world, 0x4000_0000, CODE, LEAF);
                    let entry =
                        |world: &mut World, va: u64, pa| tables.map(world, va & ((1 << 39) - 1), pa, LEAF);
                    let mut entry = entry;
                    entry(&mut world, edge.wrapping_sub(0x1000), BASE + 0x8000);
                    entry(&mut world, edge, BASE + 0x6000);
                    tables.enter(&mut world, 1, 0x4000_0000);
                }
                world
            };
            both(make, 1500);
        }
    }
}

#[test]
fn code_at_the_end_of_ram_runs_off_it_alike() {
    for back in [2, 4, 6, 64] {
        let end = RAM_BASE.get() + RAM;
        let make = || {
            let mut world = World::new(&[]);
            for at in (end - 128..end).step_by(2) {
                // c.addi x8, 1
                world.ram.write(GuestPhys(at), &0x0405u16.to_le_bytes()).unwrap();
            }
            world.ram.write(GuestPhys(end - 2), &[0x13, 0]).unwrap();
            world.put(BASE + 0x1000, &[addi(7, 7, 1), csrw(0x341, 5), MRET]);
            world.hart.csrs.mtvec = BASE + 0x1000;
            world.set_x(5, end - back);
            world.hart.pc = end - back;
            world
        };
        let world = both(make, 3000);
        assert!(world.x(7) > 20);
        assert_eq!((world.hart.csrs.mcause, world.hart.csrs.mtval), (1, end), "{back}");
    }
}

#[test]
fn tight_loops_of_fence_i_agree() {
    const FENCE_I: u32 = 0x100f;
    let make = || {
        let mut world = World::new(&[]);
        world.put(CODE, &[FENCE_I, addi(7, 7, 1), sw(6, 5, 4), FENCE_I, FENCE_I, jal(0, -20)]);
        world.set_x(5, CODE);
        world.set_x(6, addi(7, 7, 3).into());
        world.hart.pc = CODE;
        world
    };
    let world = both(make, 6 * 2000);
    assert_eq!(world.x(7), 1 + 3 * 1999);
}

#[test]
fn tables_in_the_page_of_the_code_that_changes_them_agree() {
    // The leaf that maps 0x20_0000 lies among the code that reads through it and changes it.
    let make = || {
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, CODE, LEAF);
        let entry = tables.map(&mut world, 0x20_0000, BASE + 0x8000, LEAF);
        // Its table is the page of code.
        let table = entry & !0xfff;
        let middle = BASE + 0x10_0000;
        for page in 0..8 {
            for n in 0..512 {
                let at = middle + page * 0x1000 + 8 * n;
                let old = world.u64_at(at);
                if old & 0xf == 1 && old >> 10 << 12 == table {
                    // The entries of this table move to the code page, past the code.
                    let leaves: Vec<(u64, u64)> = (0..512)
                        .map(|n| (n, world.u64_at(table + 8 * n)))
                        .filter(|(_, leaf)| *leaf != 0)
                        .collect();
                    world.put_u64(at, CODE >> 2 | 1);
                    for (n, leaf) in leaves {
                        world.put_u64(CODE + 8 * n, leaf);
                    }
                }
            }
        }
        // 0x10_0000 and 0x20_0000 are leaves 256 and 0 or so of their tables: the code is in between.
        let words = [xor(6, 6, 11), sd(6, 5, 0), ld(7, 10, 0), add(8, 8, 7), jal(0, -16)];
        world.put(CODE + 0x400, &words);
        world.put_u64(BASE + 0x8000, 1);
        world.put_u64(BASE + 0x9000, 1000);
        let leaf = |pa: u64| pa >> 2 | LEAF;
        tables.map(&mut world, 0x30_0000, CODE, LEAF);
        world.set_x(5, 0x10_0000 + (entry & 0xfff));
        world.set_x(6, leaf(BASE + 0x8000));
        world.set_x(11, leaf(BASE + 0x8000) ^ leaf(BASE + 0x9000));
        world.set_x(10, 0x20_0000);
        tables.enter(&mut world, 1, 0x10_0400);
        world
    };
    let world = both(make, 5 * 1000);
    assert_eq!((world.x(8), world.hart.exceptions), (500 + 500 * 1000, 0));
}

#[test]
fn other_tables_and_every_form_of_sfence_agree() {
    // Both tables map the loop, and what it calls to other code each.
    let make = || {
        let mut world = World::new(&[]);
        let mut tables = Tables::new();
        tables.map(&mut world, 0x10_0000, CODE, LEAF);
        tables.map(&mut world, 0x20_0000, BASE + 0x8000, LEAF);
        let root = BASE + 0x10_0000;
        tables.enter(&mut world, 1, 0x10_0000);
        let first = world.hart.csrs.satp;
        // The second: a copy of the root and the middle, and a leaf of its own.
        let (root2, middle2, leaf2) = (BASE + 0x1a_0000, BASE + 0x1a_1000, BASE + 0x1a_2000);
        let follow = |world: &World, at: u64| world.u64_at(at) >> 10 << 12;
        let middle = follow(&world, root);
        world.put_u64(root2, middle2 >> 2 | 1);
        for n in 0..512 {
            let entry = world.u64_at(middle + 8 * n);
            world.put_u64(middle2 + 8 * n, entry);
        }
        world.put_u64(middle2 + 8, leaf2 >> 2 | 1);
        world.put_u64(leaf2, (BASE + 0x9000) >> 2 | LEAF);
        world.put(BASE + 0x8000, &[addi(7, 7, 1), jalr(0, 1, 0)]);
        world.put(BASE + 0x9000, &[addi(8, 8, 1), jalr(0, 1, 0)]);
        let sfence = |rs1, rs2| r(0x73, 0, 9, 0, rs1, rs2);
        let words = [
            xor(6, 6, 11),
            csrw(SATP, 6),
            sfence(0, 0),
            jalr(1, 10, 0),
            sfence(10, 0),
            jalr(1, 10, 0),
            sfence(0, 12),
            jalr(1, 10, 0),
            sfence(10, 12),
            jal(0, -36),
        ];
        world.put(CODE, &words);
        world.set_x(6, first);
        // With another ASID, too.
        world.set_x(11, (root ^ root2) >> 12 | 3 << 44);
        world.set_x(12, 3);
        world.set_x(10, 0x20_0000);
        world
    };
    let world = both(make, 16 * 1000);
    assert_eq!((world.x(7), world.x(8), world.hart.exceptions), (1500, 1500, 0));
}

#[test]
fn garbage_agrees() {
    // Whatever the words are; traps lead to the next word, in a page of which each is random.
    for seed in 1..=60 {
        let make = || {
            let mut world = World::new(&[]);
            let mut prng = Prng::new(seed);
            for at in (0..0x2000).step_by(8) {
                // Half of it legal for certain in its low bits.
                let any = prng.next_u64();
                world.put_u64(CODE + at, if prng.chance(1, 2) { any | 0x3_0000_0003 } else { any });
            }
            let handler = [
                csrr(30, 0x341),
                addi(30, 30, 2),
                andi(30, 30, -2),
                // Back into the garbage, wherever it has gone.
                slli(30, 30, 51),
                srli(30, 30, 51),
                add(30, 30, 29),
                csrw(0x341, 30),
                csrrs(0, 0x300, 28),
                MRET,
            ];
            world.put(BASE + 0x1000, &handler);
            world.hart.csrs.mtvec = BASE + 0x1000;
            world.hart.csrs.mstatus = 0x6000;
            for n in 1..28 {
                let at = BASE + prng.below(0x8000);
                world.set_x(n, if prng.chance(1, 2) { at } else { prng.next_u64() });
            }
            world.set_x(28, 0x7800);
            world.set_x(29, CODE);
            world.hart.pc = CODE;
            world
        };
        both_of_garbage(make, seed);
    }
}

/// As [`both`], without a result to come to: the garbage may destroy its handler.
fn both_of_garbage(make: impl Fn() -> World, seed: u64) {
    let mut prng = Prng::new(!seed);
    let mut translated = make().with(Engine::Translator);
    let mut interpreted = make().with(Engine::Interpreter);
    for n in 0..40 {
        let piece = prng.between(1, 400);
        assert_eq!(translated.step(piece), interpreted.step(piece), "seed {seed}, piece {n}");
        assert!(translated.picture() == interpreted.picture(), "seed {seed}, piece {n}");
    }
}
