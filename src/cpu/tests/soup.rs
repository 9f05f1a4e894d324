//! Random programs that do everything a guest may do, garbage included, under random inputs; each
//! is run whole, in pieces, through save and restore, and with every cache thrown away before each
//! instruction. All must come to the same state.
//!
//! The program is a soup of instructions. Traps lead to small handlers that go on anywhere in the
//! soup, in any mode; page tables lie where the soup may scribble on them.

use super::asm::*;
use super::world::{BASE, DMA, DMA_LATCH, LATCH, LINES, MTIME, STOP, World};
use crate::base::{GuestPhys, GuestVirt, Prng};
use crate::cpu::Cpu;
use crate::cpu::{Answer, Hart, HartStop, Privilege, Question};
use crate::engine::{Engine, Fared};
use crate::mem::{Extent, Ram};

const SOUP: u64 = BASE + 0x4000;
const SOUP_BYTES: u64 = 0x8000;
const TABLES: u64 = BASE + 0x2_0000;
const HANDLER_M: u64 = BASE + 0x1000;
const HANDLER_S: u64 = BASE + 0x2000;
const SEEDS: u64 = BASE + 0x3000;
const TOHOST: u64 = BASE + 0xd010;

const PTE_LEAF: u64 = 0xcf; // V R W X A D
const PTE_USER: u64 = 0x10;

/// Something that happens at a position.
#[derive(Clone, Copy, Debug)]
enum Input {
    Lines(u64),
    Write { at: u64, value: u64 },
}

struct Recipe {
    seed: u64,
    inputs: Vec<(u64, Input)>,
    end: u64,
}

/// `x30` becomes the next number of a stream kept at `SEEDS` + `offset`; clobbers `x31`.
fn next_number(c: &mut Code, offset: i32) {
    c.li(31, SEEDS);
    c.put(ld(30, 31, offset));
    c.put(slli(29, 30, 7));
    c.put(xor(30, 30, 29));
    c.put(srli(29, 30, 9));
    c.put(xor(30, 30, 29));
    c.put(sd(30, 31, offset));
}

/// Page tables that map RAM twice: for S-mode where it is, for U-mode at its sign-extended twin.
/// Byte offset from `TABLES`, and the entry.
fn table_entries() -> Vec<(u64, u64)> {
    let table = |offset: u64| (TABLES + offset) >> 2 | 1;
    // Root: devices by a superpage, RAM by way of two tables.
    let mut entries = vec![(0, PTE_LEAF & !8), (16, table(0x1000)), (0xff0, table(0x3000))];
    entries.extend([(0x1000, table(0x2000)), (0x3000, table(0x4000))]);
    for page in 0..512 {
        let leaf = (BASE + page * 0x1000) >> 2 | PTE_LEAF;
        entries.push((0x2000 + 8 * page, leaf));
        entries.push((0x4000 + 8 * page, leaf | PTE_USER));
    }
    entries
}

/// A handler: goes on at a random place in the soup, in a random mode that it may choose. The one
/// of M-mode repairs what the other needs of the tables.
fn handler(machine: bool) -> Vec<u32> {
    let mut c = Code::default();
    let (status, epc) = if machine { (0x300, 0x341) } else { (0x100, 0x141) };
    c.put(csrrci(0, 0x144, 2));
    next_number(&mut c, if machine { 0 } else { 8 });
    c.li(31, SOUP_BYTES - 2);
    c.put(r(0x33, 7, 0, 31, 30, 31)); // and
    c.li(29, SOUP);
    c.put(add(31, 31, 29));
    // Which mode, and then usually the addresses that fit it.
    c.li(29, if machine { 0x1800 } else { 0x100 });
    c.put(csrrc(0, status, 29));
    c.put(srli(28, 30, 20));
    c.put(r(0x33, 7, 0, 28, 28, 29));
    c.put(csrrs(0, status, 28));
    c.put(srli(29, 30, 40));
    c.put(andi(29, 29, 7));
    let always = c.put(0);
    let privileged = c.put(0);
    let here = c.here();
    c.patch(always, beq(29, 0, here - always));
    c.put(i(0x1b, 0, 31, 31, 0)); // addiw: to the twin
    let here = c.here();
    c.patch(privileged, bne(28, 0, here - privileged));
    c.put(csrw(epc, 31));
    // FS on, xPIE on.
    c.li(29, if machine { 0x2080 } else { 0x2020 });
    c.put(csrrs(0, status, 29));
    if machine {
        // Interrupts off at their source, or they would come for ever.
        c.li(29, LINES);
        c.put(sd(0, 29, 0));
        for (offset, entry) in table_entries() {
            if matches!(offset, 0..=0x1000 | 0x2008..=0x2018 | 0x3000) {
                c.li(29, TABLES + offset);
                c.li(31, entry);
                c.put(sd(31, 29, 0));
            }
        }
        c.put(MRET);
    } else {
        c.put(SRET);
    }
    c.0
}

fn boot(prng: &mut Prng) -> Vec<u32> {
    let mut c = Code::default();
    // Two entries of PMP that begin and end anywhere in the soup and behind it, then all memory.
    let mut cut = || ((BASE + 0x4000 + prng.below(0xc000)) >> 2) | (prng.below(2) * prng.below(16));
    let cuts = [cut(), cut()];
    let config = 0x1f_0000 | [0, 0x0810, 0x0918, 0x1d08, 0x0d1b, 0x1311][prng.below(6) as usize];
    for (csr, value) in [
        (0x305, HANDLER_M | 1), // vectored: handlers of interrupts are further on
        (0x105, HANDLER_S),
        (0x302, 0x0000_b1ff & !4),
        (0x303, 0x222),
        (0x304, 0xaaa),
        (0x306, 7),
        (0x106, 3),
        // All that there is, but ADUE not always.
        (0x30a, 1 << 63 | prng.below(2) << 61 | 0xf0),
        (0x10a, 0xf0),
        (0x747, 0x200),
        (0x3b0, cuts[0]),
        (0x3b1, cuts[1]),
        (0x3b2, u64::MAX),
        (0x3a0, config),
        (0x180, 8 << 60 | TABLES >> 12),
        (0x300, 0x2_2000 ^ 0x2_0000),
    ] {
        c.li(5, value);
        c.put(csrw(csr, 5));
    }
    c.put(ECALL);
    c.0
}

fn random_word(prng: &mut Prng, words: &mut Vec<u32>) {
    let reg = |prng: &mut Prng| prng.below(32) as u32;
    let rd = prng.between(1, 28) as u32;
    let pointer = prng.between(5, 15) as u32;
    // A pointer somewhere near, most often into the data or the soup itself.
    let near = |prng: &mut Prng| auipc(pointer, (prng.between(0, 24) as u32).wrapping_sub(8) & 0xf_ffff);
    let offset = |prng: &mut Prng| {
        let offset = prng.below(4096) as i32 - 2048;
        if prng.chance(1, 8) { offset } else { offset & !7 }
    };
    match prng.below(35) {
        0..=4 => {
            let extended = [0x04, 0x05, 0x07, 0x10, 0x14, 0x24, 0x30, 0x34];
            let f7 = [0, 0x20, 1, extended[prng.below(8) as usize]][prng.below(4) as usize];
            let opcode = if prng.chance(1, 3) { 0x3b } else { 0x33 };
            let f3 = prng.below(8) as u32;
            let rs2 = if (f7, f3) == (4, 4) { 0 } else { reg(prng) };
            words.push(r(opcode, f3, f7, rd, reg(prng), rs2));
        }
        5..=8 => {
            let opcode = if prng.chance(1, 3) { 0x1b } else { 0x13 };
            let f3 = prng.below(8) as u32;
            let extended =
                [0x600, 0x601, 0x602, 0x604, 0x605, 0x287, 0x6b8, 0x080, 0x280, 0x480, 0x600, 0x680];
            let imm = match prng.below(24) as usize {
                n if n < 12 && matches!(f3, 1 | 5) => {
                    extended[n] | if n < 7 { 0 } else { prng.below(64) as i32 }
                }
                _ => prng.below(4096) as i32 - 2048,
            };
            words.push(i(opcode, f3, rd, reg(prng), imm));
        }
        9..=11 => {
            words.push(near(prng));
            words.push(load(prng.below(8) as u32, rd, pointer, offset(prng)));
        }
        12..=14 => {
            words.push(near(prng));
            words.push(s(0x23, prng.below(4) as u32, pointer, reg(prng), offset(prng)));
        }
        15 => {
            // Onto the instructions just ahead.
            words.push(auipc(pointer, 0));
            let at = prng.below(48) as i32;
            words.push(s(0x23, prng.below(4) as u32, pointer, reg(prng), at));
        }
        16..=17 => {
            let f3 = [0, 1, 4, 5, 6, 7][prng.below(6) as usize];
            let offset = (prng.below(128) as i32 - 40) & !1;
            words.push(b(f3, reg(prng), reg(prng), offset));
        }
        18 => words.push(jal(prng.below(3) as u32, (prng.below(12000) as i32 - 6000) & !1)),
        19 => {
            words.push(auipc(pointer, prng.below(3) as u32));
            words.push(jalr(prng.below(3) as u32, pointer, offset(prng)));
        }
        20 => words.push(prng.next_u64() as u32 & !0x0001_0001),
        21 => {
            let halves = [prng.next_u64() as u16, prng.next_u64() as u16];
            words.push(u32::from(halves[0] & !2) | u32::from(halves[1]) << 16);
        }
        22 => {
            words.push(near(prng));
            let f5 = [2, 3, 1, 0, 4, 12, 8, 16, 20, 24, 28][prng.below(11) as usize];
            let rs2 = if f5 == 2 { 0 } else { reg(prng) };
            let align = if prng.chance(1, 8) { -1 } else { -8 };
            words.push(andi(pointer, pointer, align));
            words.push(amo(f5, prng.between(2, 3) as u32, rd, pointer, rs2));
            if f5 == 2 {
                words.push(sc_d(rd, reg(prng), pointer));
            }
        }
        23 | 24 => {
            let f7 = prng.below(128) as u32;
            let known = [
                0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 0x50, 0x51, 0x60, 0x61, 0x68, 0x69, 0x78, 0x79,
                0x20, 0x21, 0x22, 0x72, 0x7a,
            ];
            let f7 = if prng.chance(1, 8) { f7 } else { known[prng.below(25) as usize] };
            let rs2 = match f7 {
                0x20 | 0x21 => prng.below(6) as u32,
                0x61 if prng.chance(1, 4) => 8,
                0x22 | 0x60.. => prng.below(4) as u32,
                _ => reg(prng),
            };
            words.push(fp(f7, prng.below(8) as u32, rd, reg(prng), rs2));
        }
        25 => {
            let csrs = [
                0x001, 0x002, 0x003, 0x015, 0x100, 0x104, 0x106, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d,
                0x180, 0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x30a, 0x320, 0x340, 0x341, 0x342, 0x344,
                0xb00, 0xb02, 0xc00, 0xc01, 0xc02, 0xcc0, 0x747, 0x3a2, 0x3b4, 0xf14,
            ];
            let csr = csrs[prng.below(csrs.len() as u64) as usize];
            let f3 = [1, 2, 3, 5, 6, 7][prng.below(6) as usize];
            let rs1 = if prng.chance(1, 2) { 0 } else { reg(prng) };
            words.push(i(0x73, f3, rd, rs1, csr));
        }
        26 => {
            let device = [LATCH, LINES, LATCH, MTIME, STOP, LATCH + 0x5000][prng.below(6) as usize];
            words.push(lui(pointer, (device >> 12) as u32));
            let low = (device & 0xfff) as i32;
            let low = low << 20 >> 20;
            words.push(if prng.chance(1, 2) {
                load(prng.below(8) as u32, rd, pointer, low)
            } else {
                s(0x23, prng.below(4) as u32, pointer, reg(prng), low)
            });
        }
        27 => {
            // A device writes somewhere near.
            let device = if prng.chance(1, 2) { DMA } else { DMA_LATCH };
            words.push(near(prng));
            words.push(lui(28, (device >> 12) as u32));
            words.push(sd(pointer, 28, 0));
        }
        28 => {
            // A page table entry, made of a plausible number or rights alone.
            let table = prng.below(5);
            words.push(auipc(pointer, 0));
            let mut c = Code::default();
            c.li(pointer, TABLES + table * 0x1000);
            c.li(28, (BASE + prng.below(0x40) * 0x1000) >> 2 | prng.below(256));
            words.extend(c.0);
            words.push(sd(28, pointer, prng.below(256) as i32 * 8));
        }
        29 => words.push([ECALL, EBREAK, MRET, SRET, WFI, SFENCE][prng.below(6) as usize]),
        30 if prng.chance(1, 8) => words.push(csrrsi(0, 0x144, 2)),
        30 => words.push(csrrs(rd, [0xc00, 0xc02, 0xc01, 0xcc0][prng.below(4) as usize], 0)),
        31 => {
            words.push(near(prng));
            words.push(addi(pointer, pointer, offset(prng)));
            words.push(cbo([0, 1, 2, 4, 4, 4][prng.below(6) as usize], pointer));
        }
        32 => {
            // Another boundary of PMP, where the mode lets it be moved.
            words.push(near(prng));
            words.push(srli(pointer, pointer, 2));
            words.push(csrw(0x3b0 + prng.below(2) as u16, pointer));
        }
        33 => {
            // A and D are taken from some entries.
            let mut c = Code::default();
            c.li(pointer, TABLES + [0x2000, 0x4000][prng.below(2) as usize]);
            c.li(28, prng.next_u64() & 0xc0);
            words.extend(c.0);
            let at = prng.below(64) as i32 * 8;
            words.extend([ld(29, pointer, at), r(0x33, 7, 0, 27, 29, 28)]);
            words.extend([xor(29, 29, 27), sd(29, pointer, at)]);
        }
        _ => words.push([NOP, 0x100f, 0x0ff0_000f][prng.below(3) as usize]),
    }
}

impl Recipe {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed ^ 0x1_0000);
        let end = 20_000;
        let mut inputs = Vec::new();
        let mut at = 0;
        while at < end {
            at += prng.between(50, 900);
            let input = if prng.chance(2, 3) {
                Input::Lines([8, 1 << 7, 1 << 9, 1 << 11, 0][prng.below(5) as usize])
            } else {
                let at = (BASE + prng.below(0x2_3000)) & !7;
                Input::Write { at, value: prng.next_u64() }
            };
            inputs.push((at, input));
        }
        Self { seed, inputs, end }
    }

    fn world(&self) -> World {
        let mut prng = Prng::new(self.seed);
        let plain = self.seed.is_multiple_of(8);
        let cpu: Cpu = if plain { "rv64gc" } else { "rv64" }.parse().unwrap();
        let cpu = Cpu { svadu: !self.seed.is_multiple_of(3), ..cpu };
        let code = boot(&mut prng);
        let mut world = World::of(cpu, &code);
        let (m, s) = (handler(true), handler(false));
        world.put(HANDLER_M, &[jal(0, 0x100)]);
        for code in 1..12 {
            world.put(HANDLER_M + 4 * code, &[jal(0, 0x100 - 4 * code as i32)]);
        }
        world.put(HANDLER_M + 0x100, &m);
        world.put(HANDLER_S, &s);
        world.put_u64(SEEDS, prng.next_u64());
        world.put_u64(SEEDS + 8, prng.next_u64());
        let mut words = Vec::new();
        while words.len() < SOUP_BYTES as usize / 4 {
            random_word(&mut prng, &mut words);
        }
        words.truncate(SOUP_BYTES as usize / 4);
        world.put(SOUP, &words);
        for (offset, entry) in table_entries() {
            // Some pages of the soup and its surroundings have rights of their own.
            let odd = matches!(offset & 0xfff, 0x20..0x1000) && offset > 0x2000 && prng.chance(1, 12);
            let entry = if odd { entry & !0xff | prng.next_u64() & 0xff | 1 } else { entry };
            let leaf = entry & 0xe != 0;
            let entry = if leaf && cpu.svadu { entry & !(prng.next_u64() & 0xc0) } else { entry };
            world.put_u64(TABLES + offset, entry);
        }
        world.hart.set_tohost(Some(GuestPhys(TOHOST)));
        world
    }

    /// Runs to the end. `piece` says how far at a time, `between` sees the world after each piece.
    fn run(&self, piece: impl FnMut() -> u64, between: impl FnMut(World) -> World) -> World {
        self.run_from(self.world(), piece, between)
    }

    fn run_from(
        &self,
        mut world: World,
        mut piece: impl FnMut() -> u64,
        mut between: impl FnMut(World) -> World,
    ) -> World {
        for &(at, input) in &self.inputs {
            while world.hart.icount().get() < at {
                let left = at - world.hart.icount().get();
                let stop = world.step(piece().min(left));
                let now = world.hart.icount().get();
                match stop {
                    HartStop::Reached => {}
                    HartStop::Ask(Question::Time) => world.answer(Answer::Time(now * 3)),
                    HartStop::Ask(Question::Entropy) => world.answer(Answer::Entropy(now as u16)),
                    HartStop::Ask(Question::HostId) => world.answer(Answer::HostId(now ^ 7)),
                    HartStop::Ask(Question::WallClock) => world.answer(Answer::WallClock(now ^ 9)),
                    HartStop::Bus => world.bus.stop = false,
                    HartStop::Idle => {
                        world.bus.lines ^= 1 << 11 | 1 << 9 | 1 << 3 | 1 << 7;
                        world.hart.refresh_lines(&world.bus);
                        if world.hart.is_waiting() {
                            return world;
                        }
                    }
                }
                world = between(world);
            }
            match input {
                Input::Lines(lines) => world.bus.lines = lines,
                Input::Write { at, value } => world.ram.write_u64(GuestPhys(at), value).unwrap(),
            }
            world.hart.refresh_lines(&world.bus);
        }
        assert!(world.hart.icount().get() >= self.end);
        world
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn the_engines_agree() {
    let mut fared = Fared::default();
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        let to = |end: u64, engine| {
            let before = recipe.inputs.iter().copied().take_while(|(at, _)| *at <= end);
            let part = Recipe { seed, inputs: before.chain([(end, Input::Lines(0))]).collect(), end: 0 };
            let mut world = part.world().with(engine);
            if seed.is_multiple_of(5) {
                world.hart.engines.make_basic();
            }
            part.run_from(world, || u64::MAX, |w| w)
        };
        let mut whole = to(recipe.end, Engine::Translator);
        let some = whole.hart.fared().expect("the translator runs");
        fared.regions += some.regions;
        fared.translated += some.translated;
        fared.interpreted += some.interpreted;
        if whole.picture() == to(recipe.end, Engine::Interpreter).picture() {
            continue;
        }
        // The first position at which they differ.
        let (mut good, mut bad) = (0, recipe.end);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let same = to(middle, Engine::Translator).picture() == to(middle, Engine::Interpreter).picture();
            if same { good = middle } else { bad = middle }
        }
        let before = to(good, Engine::Interpreter);
        let word = before.hart.next_word(&before.ram).map(|word| before.hart.decode(word));
        panic!(
            "seed {seed}: at {bad}, after {word:x?} at {:x}:\n{:x?}\n{:x?}",
            before.hart.pc(),
            to(bad, Engine::Translator).hart.state(),
            to(bad, Engine::Interpreter).hart.state()
        );
    }
    assert!(fared.translated > fared.interpreted, "{fared:?}");
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = std::env::var("LOCKSTEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    first..first + 60
}

#[test]
fn cut_anywhere_the_pieces_give_the_state_of_the_whole() {
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        let mut prng = Prng::new(seed);
        let whole = recipe.run(|| u64::MAX, |w| w).picture();
        let pieces = recipe.run(|| prng.between(1, 200), |w| w).picture();
        assert!(whole == pieces, "seed {seed}");
        let steps = recipe.run(|| 1, |w| w).picture();
        assert!(whole == steps, "seed {seed}");
    }
}

#[test]
fn save_and_restore_at_any_position_change_nothing() {
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        let mut prng = Prng::new(!seed);
        let straight = recipe.run(|| u64::MAX, |w| w).picture();
        let restored = recipe.run(|| prng.between(1, 1500), |w| w.reborn()).picture();
        assert!(straight == restored, "seed {seed}");
    }
}

#[test]
fn no_cache_shows_in_the_state() {
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        let cached = recipe.run(|| u64::MAX, |w| w).picture();
        let uncached = recipe
            .run(
                || 1,
                |mut w| {
                    w.hart.tlb.flush();
                    w.hart.engines.forget_all(&mut w.ram);
                    w
                },
            )
            .picture();
        assert!(cached == uncached, "seed {seed}");
    }
}

#[test]
fn digests_taken_on_the_way_change_nothing() {
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        let mut prng = Prng::new(seed * 77);
        let without = recipe.run(|| u64::MAX, |w| w).picture();
        let with = recipe
            .run(
                || prng.between(1, 700),
                |mut w| {
                    let digest = w.ram.digest();
                    assert_eq!(digest, w.reborn().ram.digest(), "seed {seed}");
                    w
                },
            )
            .picture();
        assert!(without == with, "seed {seed}");
    }
}

/// Copies of RAM begin at any position, one after another, while the soup runs on.
#[test]
fn a_copy_of_ram_is_of_where_it_began_under_either_engine() {
    let mut copies = 0;
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        for engine in [Engine::Translator, Engine::Interpreter] {
            let (mut prng, mut pieces) = (Prng::new(seed), Prng::new(!seed));
            let (mut then, mut outline, mut drawn) = (None, None, Ram::new(2 << 20));
            let mut go_on = |ram: &mut Ram| match &then {
                None => {
                    ram.begin_copy(u64::MAX, Extent::Base).unwrap();
                    then = Some(ram.bytes().to_vec());
                }
                Some(_) if outline.is_none() => outline = ram.settle_copy(prng.between(1, 60) as usize),
                Some(bytes) => match ram.draw_copy(prng.between(1, 60) as usize) {
                    Some(pages) => {
                        pages.iter().for_each(|(page, bytes)| drawn.load_page(page, bytes).unwrap());
                    }
                    None => {
                        assert!(drawn.bytes() == bytes, "seed {seed} {engine}");
                        let outline = outline.take().map(|outline| outline.digest);
                        assert_eq!(outline, Some(drawn.digest()), "seed {seed} {engine}");
                        drawn.clear();
                        then = None;
                        copies += 1;
                    }
                },
            };
            let with = recipe.run_from(
                recipe.world().with(engine),
                || pieces.between(1, 300),
                |mut world| {
                    go_on(&mut world.ram);
                    world
                },
            );
            assert!({ with }.picture() == recipe.run(|| u64::MAX, |w| w).picture(), "seed {seed} {engine}");
        }
    }
    assert!(copies > 200, "{copies}");
}

#[test]
fn a_damaged_state_is_refused_or_runs() {
    let (mut refused, mut ran) = (0, 0);
    for seed in 1..=40 {
        let recipe = Recipe::new(seed);
        let mut prng = Prng::new(seed);
        let mut world = recipe.run(|| u64::MAX, |w| w);
        let good = postcard::to_allocvec(&world.hart.state()).unwrap();
        for _ in 0..100 {
            let mut bytes = good.clone();
            for _ in 0..prng.between(1, 4) {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << prng.below(8);
            }
            let hart =
                postcard::from_bytes(&bytes).ok().and_then(|state| Hart::restore(Cpu::default(), state).ok());
            match hart {
                None => refused += 1,
                Some(hart) => {
                    ran += 1;
                    world.hart = hart;
                    world.step(300);
                }
            }
        }
    }
    assert!(refused > 100 && ran > 100, "{refused} refused, {ran} ran");
}

#[test]
fn a_look_at_the_next_instruction_changes_nothing() {
    for seed in 1..=8 {
        let recipe = Recipe::new(seed);
        let unseen = recipe.run(|| 100, |w| w).picture();
        let seen = recipe.run(
            || 100,
            |w| {
                let word = w.hart.next_word(&w.ram);
                let at = w.hart.physical(&w.ram, GuestVirt(w.hart.pc()));
                // In M-mode, what can be fetched can be loaded.
                assert!(w.hart.privilege() != Privilege::Machine || word.is_none() || at.is_some());
                w
            },
        );
        assert!(unseen == { seen }.picture(), "seed {seed}");
    }
}

/// The soups must be worth eating: all modes, translation on, traps of most kinds.
#[test]
fn the_soup_has_everything_in_it() {
    let mut causes = std::collections::BTreeSet::new();
    let mut modes = [0u32; 4];
    let mut translated = 0;
    for seed in seeds() {
        let recipe = Recipe::new(seed);
        recipe.run(
            || 1,
            |w| {
                let state = w.hart.state();
                causes.insert(state.csrs.mcause);
                causes.insert(state.csrs.scause);
                modes[state.privilege as usize] += 1;
                translated += u32::from(state.csrs.satp >> 60 == 8 && state.privilege as u8 != 3);
                w
            },
        );
    }
    for cause in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15] {
        assert!(causes.contains(&cause), "no exception {cause} in {causes:x?}");
    }
    for code in [1, 3, 5, 7, 9, 11] {
        assert!(causes.contains(&(1 << 63 | code)), "no interrupt {code} in {causes:x?}");
    }
    assert!(modes[0] > 10_000 && modes[1] > 10_000 && modes[3] > 10_000, "{modes:?}");
    assert!(translated > 20_000, "{translated}");
}
