//! What the random programs stand on: the memory map, the way into the mode, handlers that write
//! down every register at each trap, and the way out.
//!
//! | address | what |
//! |---|---|
//! | `BASE` | entry |
//! | `HANDLER_M`, `HANDLER_S` | the handlers; each writes [`Entry`] after [`Entry`] to its log |
//! | `TABLES` | Sv39: RAM where it is (S-mode), RAM once more for U-mode at `ALIAS`, the window |
//! | `DATA` | one page that every access goes to |
//! | `CODE` | the program |
//! | `LOG_M`, `LOG_S` | the logs |
//!
//! Each `ecall` of the program is a trap to M-mode like any other: that is how registers are written
//! down between blocks. A handler goes on behind the instruction, or, when the fetch itself failed,
//! at x1. The first `ecall` behind the program's end powers off.

use std::fmt;

use lockstep::base::Prng;

use crate::asm::*;

pub const BASE: u64 = 0x8000_0000;
pub const RAM_BYTES: u64 = 32 << 20;
/// Behind it are the device trees, which differ.
pub const COMPARED_BYTES: usize = 28 << 20;

const HANDLER_M: u64 = BASE + 0x1000;
const HANDLER_S: u64 = BASE + 0x2000;
const TABLES: u64 = BASE + 0x8000;
/// One page that all modes store to.
pub const DATA: u64 = BASE + 0xd000;
pub const CODE: u64 = BASE + 0x1_0000;
pub const LOG_M: u64 = BASE + 0x40_0000;
pub const LOG_S: u64 = BASE + 0x100_0000;
/// Virtual: 512 pages that are all `DATA`, with random rights.
pub const WINDOW: u64 = 0x4000_0000;
/// The table of its entries.
pub const WINDOW_TABLE: std::ops::Range<u64> = TABLES + 0x2000..TABLES + 0x3000;
/// Virtual: RAM for U-mode begins so much behind RAM.
const ALIAS: u64 = 0x4000_0000;
/// Nothing is there on either machine, and no table knows it.
pub const NOWHERE: u64 = 0x9_0000_0000;
const FINISHER: u64 = 0x10_0000;

/// The mode that a program runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    User = 0,
    Supervisor = 1,
    Machine = 3,
}

impl Mode {
    /// Where `at`, which is in RAM, is for this mode.
    pub fn sees(self, at: u64) -> u64 {
        if self == Mode::User { at + ALIAS } else { at }
    }
}

/// One trap, as a handler has written it down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub x: [u64; 32],
    pub cause: u64,
    pub value: u64,
    pub epc: u64,
    pub status: u64,
    pub fcsr: u64,
    pub f: [u64; 32],
}

const CAUSE: i32 = 256;
const F: i32 = CAUSE + 40;
pub const ENTRY_BYTES: usize = F as usize + 256;

impl Entry {
    /// The `n`-th entry of the log at `log`; nothing behind the last.
    pub fn read(ram: &[u8], log: u64, n: usize) -> Option<Self> {
        let at = (log - BASE) as usize + ENTRY_BYTES * n;
        let bytes = &ram[at..at + ENTRY_BYTES];
        let word = |k: usize| u64::from_le_bytes(bytes[8 * k..8 * k + 8].try_into().unwrap());
        let c = CAUSE as usize / 8;
        let entry = Self {
            x: std::array::from_fn(|n| if n == 0 { 0 } else { word(n) }),
            cause: word(c),
            value: word(c + 1),
            epc: word(c + 2),
            status: word(c + 3),
            fcsr: word(c + 4),
            f: std::array::from_fn(|n| word(c + 5 + n)),
        };
        (entry.status != 0).then_some(entry)
    }
}

/// A program's RAM before it runs.
pub struct Image(pub Vec<u8>);

impl Image {
    /// An image whose program is `words`, run in `mode` with the exceptions `delegated` going to
    /// S-mode (not `ecall`, which is the way out); everything else is drawn from `prng`. With `fine`, PMP
    /// cuts the page that every access goes to.
    pub fn new(prng: &mut Prng, mode: Mode, delegated: u64, fine: bool, words: &[u32]) -> Self {
        let end = CODE + 4 * words.len() as u64;
        assert!(end < LOG_M);
        let mut image = Self(vec![0; (LOG_M - BASE) as usize]);
        image.put(BASE, &boot(prng, mode, delegated, fine));
        image.put(HANDLER_M, &handler(0x300, Some(end)));
        image.put(HANDLER_S, &handler(0x100, None));
        image.tables(prng, mode);
        image.put(CODE, words);
        image.put(end, &[ECALL; 4]);
        image
    }

    fn put(&mut self, at: u64, words: &[u32]) {
        let at = (at - BASE) as usize;
        for (place, word) in self.0[at..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    fn put_u64(&mut self, at: u64, value: u64) {
        let at = (at - BASE) as usize;
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// RAM where it is, in one gigapage, and once more for U-mode; the window; two misaligned
    /// superpages behind it.
    fn tables(&mut self, prng: &mut Prng, mode: Mode) {
        let leaf = 0xcf | if mode == Mode::User { 0x10 } else { 0 };
        self.put_u64(TABLES + 16, BASE >> 2 | 0xcf);
        self.put_u64(TABLES + 24, BASE >> 2 | 0xdf);
        self.put_u64(TABLES + 8, (TABLES + 0x1000) >> 2 | 1);
        self.put_u64(TABLES + 0x1000, (TABLES + 0x2000) >> 2 | 1);
        self.put_u64(TABLES + 0x1008, BASE >> 2 | leaf);
        self.put_u64(TABLES + 0x1010, (BASE + 0x1000) >> 2 | leaf);
        for page in 0..512 {
            let mut entry = DATA >> 2 | prng.next_u64() & 0x3ff | 1;
            if prng.chance(1, 2) {
                entry |= 6;
            } else if prng.chance(1, 8) {
                entry |= prng.next_u64() << 54;
            }
            self.put_u64(WINDOW_TABLE.start + 8 * page, entry);
        }
    }
}

/// Sets up mode, delegation, tables, rights and registers, and starts the program.
fn boot(prng: &mut Prng, mode: Mode, delegated: u64, fine: bool) -> Vec<u32> {
    let mut c = Code::default();
    let protection = protection(prng, fine);
    let sum_mxr = prng.next_u64() & 3 << 18;
    for (csr, value) in [
        (0x305, HANDLER_M),
        (0x105, HANDLER_S),
        (0x340, LOG_M),
        (0x140, LOG_S),
        (0x302, delegated),
        (0x303, 0),
        (0x341, mode.sees(CODE)),
        (0x306, 0),
        (0x106, 0),
        (0x180, if mode == Mode::Machine { 0 } else { 8 << 60 | TABLES >> 12 }),
        (0x300, 0x2000 | (mode as u64) << 11 | sum_mxr),
    ]
    .into_iter()
    .chain(protection)
    {
        c.li(5, value);
        c.put(csrw(csr, 5));
    }
    c.put(csrw(3, 0));
    for n in 0..32 {
        c.li(5, prng.next_u64());
        c.put(fp(0x79, 0, n, 5, 0));
    }
    for n in 1..32 {
        c.li(n, prng.next_u64());
    }
    c.put(MRET);
    c.0
}

/// PMP: registers and values. The last entry is all of memory; before it, where `fine`, come regions of 8
/// to 64 bytes with rights of their own, some of them locked.
///
/// (None of four bytes: QEMU does not see one that lies inside of a misaligned access.)
fn protection(prng: &mut Prng, fine: bool) -> Vec<(u16, u64)> {
    // The first is where `lr` and `sc` go: what an `sc` does that must fail anyway is free.
    let mut registers = vec![(0x3b0, (DATA + 0x800) >> 2 | 1), (0x3b7, u64::MAX)];
    let mut config = 0x1f << 56 | if fine { 0x1f } else { 0 };
    for entry in (1..7).filter(|_| fine) {
        let bytes = 8 << prng.below(4);
        let at = (DATA + 0x7c0 + prng.below(0x1a0)) & !(bytes - 1);
        // NAPOT, or TOR above the address of the entry before; W only with R.
        let mode = if prng.chance(1, 4) { 0x08 } else { 0x18 };
        let rights = [0, 1, 3, 4, 5, 7][prng.below(6) as usize] | prng.below(2) << 7;
        let address = if mode == 0x08 { (at + bytes) >> 2 } else { at >> 2 | (bytes / 8 - 1) };
        registers.push((0x3b0 + entry, address));
        config |= (mode | rights) << (8 * entry);
    }
    registers.push((0x3a0, config));
    registers
}

/// Writes an [`Entry`] and goes on behind the instruction. `csrs` is the first register of the
/// mode; behind `end` is the power.
fn handler(csrs: u16, end: Option<u64>) -> Vec<u32> {
    let [scratch, epc, cause, value] = [0x40, 0x41, 0x42, 0x43].map(|n| csrs + n);
    let mut c = Code::default();
    c.put(csrrw(31, scratch, 31));
    for n in 1..31 {
        c.put(sd(n, 31, 8 * n as i32));
    }
    for (csr, at) in [
        (scratch, 248),
        (cause, CAUSE),
        (value, CAUSE + 8),
        (epc, CAUSE + 16),
        (csrs, CAUSE + 24),
        (3, CAUSE + 32),
    ] {
        c.put(csrr(30, csr));
        c.put(sd(30, 31, at));
    }
    for n in 0..32 {
        c.put(s(0x27, 3, 31, n, F + 8 * n as i32));
    }
    // x29: where to go on. Where the instruction is, all modes see the same low 30 bits.
    c.put(addi(29, 1, 0));
    c.put(ld(28, 31, CAUSE));
    c.put(addi(27, 0, 12));
    let page_fault = c.put(NOP);
    c.put(addi(27, 0, 1));
    let access_fault = c.put(NOP);
    c.put(ld(30, 31, CAUSE + 16));
    c.put(slli(29, 30, 34));
    c.put(srli(29, 29, 34));
    c.put(slli(27, 27, 31));
    c.put(add(29, 29, 27));
    if let Some(end) = end {
        c.li(27, end);
        let inside = c.put(NOP);
        c.li(27, FINISHER);
        c.li(28, 0x5555);
        c.put(sw(28, 27, 0));
        c.put(jal(0, 0));
        c.patch(inside, bltu(29, 27, c.here() - inside));
    }
    c.put(lbu(29, 29, 0));
    c.put(andi(29, 29, 3));
    c.put(i(0x13, 3, 29, 29, 3)); // sltiu
    c.put(slli(29, 29, 1));
    c.put(addi(30, 30, 4));
    c.put(r(0x33, 0, 0x20, 29, 30, 29)); // sub
    c.patch(page_fault, beq(28, 27, c.here() - page_fault));
    c.patch(access_fault, beq(28, 27, c.here() - access_fault));
    c.put(csrw(epc, 29));
    c.put(addi(30, 31, ENTRY_BYTES as i32));
    c.put(csrw(scratch, 30));
    for n in 1..32 {
        c.put(ld(n, 31, 8 * n as i32));
    }
    c.put(if csrs == 0x300 { MRET } else { SRET });
    c.0
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { cause, value, epc, status, fcsr, .. } = self;
        write!(f, "cause {cause:x} value {value:x} epc {epc:x} status {status:x} fcsr {fcsr:x}")
    }
}

impl Entry {
    /// What differs from QEMU's, for people.
    pub fn difference(&self, their: &Self) -> String {
        let mut text = format!("here: {self}\nQEMU: {their}\n");
        for (name, ours, theirs) in [("x", &self.x, &their.x), ("f", &self.f, &their.f)] {
            for n in (0..32).filter(|&n| ours[n] != theirs[n]) {
                text += &format!("{name}{n}: here {:016x}, QEMU {:016x}\n", ours[n], theirs[n]);
            }
        }
        text
    }
}
