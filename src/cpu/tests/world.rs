//! A small machine around the hart: RAM, and a bus on which the guest can provoke everything that
//! a bus may do.
//!
//! | address | read | write |
//! |---|---|---|
//! | 0x0200_bff8 | asks the time | |
//! | 0x1000_0000 | the latch, plus 1 each time | the latch |
//! | 0x1000_1000 | the interrupt lines | the interrupt lines |
//! | 0x1000_2000 | | device write: 16 bytes of 0x5a.. at that address of RAM |
//! | 0x1000_3000 | | asks for a stop |
//! | 0x1000_4000 | | device write of the latch (8 bytes) at that address of RAM |

use crate::base::{Digest, GuestPhys, Icount};
use crate::cpu::{Answer, Bus, BusFault, BusRead, Cpu, Hart, HartState, HartStop, Question, Returned};
use crate::engine::Engine;
use crate::mem::{RAM_BASE, Ram};

pub const BASE: u64 = RAM_BASE.0;
pub const MTIME: u64 = 0x0200_bff8;
pub const LATCH: u64 = 0x1000_0000;
pub const LINES: u64 = 0x1000_1000;
pub const DMA: u64 = 0x1000_2000;
pub const STOP: u64 = 0x1000_3000;
pub const DMA_LATCH: u64 = 0x1000_4000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestBus {
    pub latch: u64,
    pub lines: u64,
    pub stop: bool,
    pub time: u64,
    pub stimecmp: u64,
    pub tohost: Vec<u64>,
    /// Answers environment calls: a0 and a1 change places, a7 says what else.
    pub own_sbi: bool,
}

impl Default for TestBus {
    fn default() -> Self {
        Self {
            latch: 0,
            lines: 0,
            stop: false,
            time: 0,
            stimecmp: u64::MAX,
            tohost: Vec::new(),
            own_sbi: false,
        }
    }
}

impl Bus for TestBus {
    fn read(&mut self, at: GuestPhys, _: u8, answer: Option<Answer>) -> Result<BusRead, BusFault> {
        match at.get() {
            MTIME => match answer {
                Some(Answer::Time(time)) => {
                    self.time = time;
                    Ok(BusRead::Value(time))
                }
                _ => Ok(BusRead::Ask(Question::Time)),
            },
            LATCH => {
                self.latch = self.latch.wrapping_add(1);
                Ok(BusRead::Value(self.latch))
            }
            LINES => Ok(BusRead::Value(self.lines)),
            _ => Err(BusFault),
        }
    }

    fn environment_call(&mut self, _: &mut Ram, arguments: [u64; 8]) -> Option<Returned> {
        self.own_sbi.then(|| {
            let [a0, a1, ..] = arguments;
            Returned { a0: a1, a1: a0, software_interrupt: arguments[7] == 1, wait: arguments[7] == 2 }
        })
    }

    fn asks(&self, at: GuestPhys, _: u8) -> Option<Question> {
        (at.get() == MTIME).then_some(Question::Time)
    }

    fn write(&mut self, ram: &mut Ram, at: GuestPhys, _: u8, value: u64) -> Result<(), BusFault> {
        match at.get() {
            LATCH => self.latch = value,
            LINES => self.lines = value,
            DMA => ram.write(GuestPhys(value), &[0x5a; 16]).map_err(|_| BusFault)?,
            DMA_LATCH => {
                ram.write(GuestPhys(value), &self.latch.to_le_bytes()).map_err(|_| BusFault)?;
            }
            STOP => self.stop = true,
            _ => return Err(BusFault),
        }
        Ok(())
    }

    fn tohost(&mut self, value: u64) {
        self.tohost.push(value);
    }

    fn lines(&self) -> u64 {
        self.lines | u64::from(self.time >= self.stimecmp) << 5
    }

    fn wants_stop(&self) -> bool {
        self.stop
    }

    fn time_at(&self, at: Icount) -> u64 {
        self.time.max(at.get() / 4)
    }

    fn learn_time(&mut self, time: u64) {
        self.time = time;
    }

    fn stimecmp(&self) -> u64 {
        self.stimecmp
    }

    fn set_stimecmp(&mut self, value: u64) {
        self.stimecmp = value;
    }
}

pub struct World {
    pub hart: Hart,
    pub ram: Ram,
    pub bus: TestBus,
}

impl World {
    /// 2 MiB of RAM, the hart in M-mode at [`BASE`], where `code` is.
    pub fn new(code: &[u32]) -> Self {
        Self::of(Cpu::default(), code)
    }

    /// The same with another hart.
    pub fn of(cpu: Cpu, code: &[u32]) -> Self {
        let mut world = Self { hart: Hart::new(cpu), ram: Ram::new(2 << 20), bus: TestBus::default() };
        world.hart.engines.make_eager();
        world.hart.reset(BASE, 0, 0);
        world.put(BASE, code);
        world
    }

    /// With this engine, which translates at once.
    pub fn with(mut self, engine: Engine) -> Self {
        self.hart.choose_engine(&mut self.ram, engine);
        self.hart.engines.make_eager();
        self
    }

    /// Puts words into RAM.
    pub fn put(&mut self, at: u64, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            self.ram.write_u32(GuestPhys(at + 4 * i as u64), *word).unwrap();
        }
    }

    pub fn put_u64(&mut self, at: u64, value: u64) {
        self.ram.write_u64(GuestPhys(at), value).unwrap();
    }

    pub fn u64_at(&self, at: u64) -> u64 {
        self.ram.read_u64(GuestPhys(at)).unwrap()
    }

    /// Runs `n` more.
    pub fn step(&mut self, n: u64) -> HartStop {
        let until = self.hart.icount().plus(n);
        self.hart.run_until(&mut self.ram, &mut self.bus, until)
    }

    pub fn run_until(&mut self, until: u64) -> HartStop {
        self.hart.run_until(&mut self.ram, &mut self.bus, Icount(until))
    }

    pub fn x(&self, n: u8) -> u64 {
        self.hart.x(n)
    }

    pub fn set_x(&mut self, n: u8, value: u64) {
        self.hart.regs.set(n, value);
    }

    pub fn answer(&mut self, answer: Answer) {
        self.hart.answer(&mut self.ram, &mut self.bus, answer).unwrap();
    }

    /// Everything that may differ between two worlds.
    pub fn picture(&mut self) -> (HartState, TestBus, Digest) {
        (self.hart.state(), self.bus.clone(), self.ram.digest())
    }

    /// Throws away every cache: a new hart in the same state, and new RAM with the same bytes.
    pub fn reborn(&self) -> Self {
        let mut ram = Ram::new(self.ram.size_bytes());
        for page in self.ram.pages_nonzero() {
            ram.load_page(page, self.ram.page(page)).unwrap();
        }
        let state = postcard::to_allocvec(&self.hart.state()).unwrap();
        let mut hart = Hart::restore(self.hart.cpu, postcard::from_bytes(&state).unwrap()).unwrap();
        hart.set_tohost(self.hart.tohost);
        Self { hart, ram, bus: self.bus.clone() }.with(self.hart.engine())
    }
}
