//! Runs of the interpreter: code that is entered, cut off and written over anywhere counts as a model of it does.

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Prng;
use crate::engine::Engine;

/// Where the code is: two pages and a little more, so that it crosses their ends.
const CODE: u64 = BASE + 0x1000;
const CELLS: u64 = 2060;
/// `c.addi x8, 1`, twice.
const SHORT_TWICE: u32 = 0x0405_0405;
const MSCRATCH: u16 = 0x340;

/// What four bytes of code are.
#[derive(Clone, Copy, Debug)]
enum Cell {
    /// Adds to x7.
    Long,
    /// Two short ones, each of which adds to x8.
    Shorts,
    /// A branch to another cell, that is taken if so.
    Branch(u64, bool),
    Jump(u64),
    /// To the address in x9, a cell's.
    Return,
    /// An instruction that the engines have not.
    Slow,
}

impl Cell {
    fn random(prng: &mut Prng, at: u64) -> Self {
        // Mostly a little further, so that there are long ways.
        let further = |prng: &mut Prng| (at + 1 + prng.below(12)) % CELLS;
        match prng.below(40) {
            0..24 => Cell::Long,
            24..34 => Cell::Shorts,
            34 | 35 => {
                Cell::Branch(further(prng).clamp(at.saturating_sub(900), at + 900), prng.below(3) == 0)
            }
            36 => Cell::Branch(at.saturating_sub(prng.below(20)), prng.below(8) == 0),
            37 => Cell::Jump(further(prng)),
            38 => Cell::Return,
            _ => Cell::Slow,
        }
    }

    fn word(self, at: u64) -> u32 {
        let offset = |to: u64| 4 * (to as i32 - at as i32);
        match self {
            Cell::Long => addi(7, 7, 1),
            Cell::Shorts => SHORT_TWICE,
            Cell::Branch(to, true) => beq(0, 0, offset(to)),
            Cell::Branch(to, false) => bne(0, 0, offset(to)),
            Cell::Jump(to) => jal(0, offset(to)),
            Cell::Return => jalr(0, 9, 0),
            Cell::Slow => csrr(6, MSCRATCH),
        }
    }
}

/// The code as it should run.
struct Model {
    /// Of the first cell.
    start: u64,
    cells: Vec<Cell>,
    pc: u64,
    x7: u64,
    x8: u64,
    /// The cell that [`Cell::Return`] goes to.
    back: u64,
}

impl Model {
    fn at(&self, cell: u64) -> u64 {
        self.start + 4 * cell
    }

    fn step(&mut self) {
        let offset = self.pc - self.start;
        self.pc = match self.cells[(offset / 4) as usize] {
            Cell::Long => {
                self.x7 += 1;
                self.pc + 4
            }
            Cell::Shorts => {
                self.x8 += 1;
                self.pc + 2
            }
            Cell::Branch(to, true) | Cell::Jump(to) => self.at(to),
            Cell::Return => self.at(self.back),
            Cell::Branch(_, false) | Cell::Slow => self.pc + 4,
        };
    }
}

/// With the first cell at `CODE` and so many bytes, random pieces of random code that changes.
fn code_agrees(seed: u64, bytes: u64, engine: Engine) {
    let mut prng = Prng::new(seed);
    // The store that writes code over, and its way back.
    let mut world = World::new(&[sw(6, 5, 0)]).with(engine);
    let start = CODE + bytes;
    let mut cells: Vec<Cell> = (0..CELLS).map(|at| Cell::random(&mut prng, at)).collect();
    // The last one leads back.
    cells[CELLS as usize - 1] = Cell::Return;
    for (at, cell) in cells.iter().enumerate() {
        world.put(start + 4 * at as u64, &[cell.word(at as u64)]);
    }
    let mut model = Model { start, cells, pc: start, x7: 0, x8: 0, back: 0 };
    let mut place = 0;
    for piece in 0..4000 {
        if prng.below(4) == 0 {
            // Near where it is, a cell becomes another: the hart itself writes it.
            let at = (place + prng.below(16)).saturating_sub(8).min(CELLS - 2);
            let cell = Cell::random(&mut prng, at);
            model.cells[at as usize] = cell;
            if model.pc == model.at(at) + 2 {
                model.pc = model.at(at);
            }
            world.hart.pc = BASE;
            world.set_x(5, model.at(at));
            world.set_x(6, cell.word(at).into());
            world.step(1);
        }
        if prng.below(3) == 0 {
            // At a cell, or in the middle of one.
            place = (place + prng.below(40)) % (CELLS - 1);
            let half = matches!(model.cells[place as usize], Cell::Shorts) && prng.below(2) == 0;
            model.pc = model.at(place) + if half { 2 } else { 0 };
        }
        model.back = prng.below(CELLS - 1);
        world.set_x(9, model.at(model.back));
        world.hart.pc = model.pc;
        let most = if prng.below(4) == 0 { 1000 } else { 20 };
        let count = 1 + prng.below(most);
        (0..count).for_each(|_| model.step());
        world.step(count);
        let found = (world.hart.pc, world.x(7), world.x(8));
        assert_eq!(found, (model.pc, model.x7, model.x8), "seed {seed}, {engine}, piece {piece} of {count}");
        place = ((model.pc - start) / 4).min(CELLS - 1);
    }
    assert_eq!(world.hart.exceptions, 0);
}

#[test]
fn code_that_changes_runs_and_counts_as_its_model() {
    let first = std::env::var("LOCKSTEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 4 {
        // With two bytes, an instruction is on two pages.
        for bytes in [0, 2] {
            for engine in [Engine::Interpreter, Engine::Translator] {
                code_agrees(seed, bytes, engine);
            }
        }
    }
}

/// A straight line of `count` instructions before a jump back, entered from the end to the beginning: longer than any run.
#[test]
fn a_line_that_is_decoded_from_its_end_counts_right() {
    let lines = 700;
    let mut code = vec![addi(7, 7, 1); lines];
    code.push(jal(0, -4 * lines as i32));
    let mut world = World::new(&code).with(Engine::Interpreter);
    for at in (0..lines as u64).rev() {
        world.hart.pc = BASE + 4 * at;
        world.step(1);
    }
    for count in (1..2000).step_by(7) {
        world.hart.pc = BASE;
        world.set_x(7, 0);
        world.step(count);
        let line = lines as u64 + 1;
        let (whole, rest) = (count / line, count % line);
        assert_eq!((world.hart.pc, world.x(7)), (BASE + 4 * rest, whole * (line - 1) + rest), "{count}");
    }
}

#[test]
fn what_was_illegal_behind_a_run_is_of_it_later() {
    let mut world = World::new(&[sw(6, 5, 0), jal(0, 0x3c)]).with(Engine::Interpreter);
    world.put(BASE + 0x40, &[addi(7, 7, 1), addi(7, 7, 1), 0, addi(7, 7, 1), jal(0, -16)]);
    world.hart.pc = BASE + 0x40;
    world.step(3);
    assert_eq!((world.x(7), world.hart.exceptions), (2, 1));
    world.set_x(5, BASE + 0x48);
    world.set_x(6, addi(8, 8, 1).into());
    world.hart.pc = BASE;
    world.step(1);
    world.set_x(7, 0);
    for count in 1..60 {
        world.hart.pc = BASE + 0x40;
        world.set_x(7, 0);
        world.set_x(8, 0);
        world.step(count);
        let (whole, rest) = (count / 5, count % 5);
        let wanted =
            (BASE + 0x40 + 4 * rest, 3 * whole + [0, 1, 2, 2, 3][rest as usize], whole + u64::from(rest > 2));
        assert_eq!((world.hart.pc, world.x(7), world.x(8)), wanted, "{count}");
    }
}
