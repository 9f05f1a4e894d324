//! One access and all that it meets, chosen or drawn.

use lockstep::base::Prng;

use super::program::SLOT;
use crate::asm::*;
use crate::image::BASE;

/// Sv39's tables.
pub const ROOT: u64 = BASE + 0x10_0000;
pub const MIDDLE: u64 = ROOT + 0x1000;
pub const LEAVES: u64 = ROOT + 0x2000;
/// Aligned as a superpage of 2 MiB is, and as long.
const DATA: u64 = BASE + 0x20_0000;
/// Virtual: behind `LEAVES`, behind the next superpages, behind a gigapage of its own.
const PAGES: u64 = 1 << 30;
const SUPERPAGES: u64 = PAGES + 0x20_0000;
const GIGAPAGE: u64 = 4 << 30;
/// Virtual: RAM for U-mode begins so much behind RAM.
const ALIAS: u64 = 1 << 30;

pub const V: u64 = 1;
pub const R: u64 = 2;
pub const W: u64 = 4;
pub const X: u64 = 8;
pub const U: u64 = 16;
pub const A: u64 = 64;
pub const D: u64 = 128;
const MPRV: u64 = 1 << 17;
const ADUE: u64 = 1 << 61;

/// One access and all that it meets.
#[derive(Clone, Debug)]
pub struct Probe {
    pub operation: Operation,
    /// Addresses of page-table entries, and what they hold.
    pub entries: [(u64, u64); 3],
    pub pmpcfg: u64,
    pub pmpaddr: [u64; 7],
    pub menvcfg: u64,
    pub senvcfg: u64,
    pub mstatus: u64,
    pub satp: u64,
    pub insns: [u32; 2],
    /// Where the instructions are for the mode.
    pub slot: u64,
    /// Stay in M-mode: no `mret` before it.
    pub stays: bool,
    pub rs1: u64,
    pub rs2: u64,
    /// Blocks of 64 bytes, by physical address, and the doubleword that fills them beforehand.
    pub blocks: [(u64, u64); 2],
}

impl Probe {
    /// An aligned access to a page whose leaf of this level has just these low eight bits, from U-mode (0) or S-mode
    /// (1), which M-mode borrows now and then. PMP allows everything.
    pub fn of_leaf(
        prng: &mut Prng,
        operation: Operation,
        bits: u64,
        level: u64,
        mode: u64,
        status: u64,
        adue: bool,
    ) -> Self {
        let stays = !operation.is_fetch() && prng.chance(1, 3);
        let offset = 0x1000 + prng.below(0xf00) / 8 * 8;
        let (at, to, virt) = [
            (LEAVES, DATA + 0x1000, PAGES - 0x1000),
            (MIDDLE + 8, DATA, SUPERPAGES),
            (ROOT + 32, BASE, GIGAPAGE + DATA - BASE),
        ][level as usize];
        Self {
            operation,
            entries: [(at, to >> 2 | bits), (LEAVES + 0xff8, 0), (ROOT + 8, MIDDLE >> 2 | V)],
            pmpcfg: 0x1f << 56,
            pmpaddr: [0; 7],
            menvcfg: 0xf0 | if adue { ADUE } else { 0 },
            senvcfg: 0xf0,
            mstatus: mode << 11 | status | if stays { MPRV } else { 0 },
            satp: 8 << 60 | ROOT >> 12,
            insns: operation.insns(prng),
            slot: SLOT + if mode == 0 && !stays { ALIAS } else { 0 },
            stays,
            rs1: virt + offset,
            rs2: prng.next_u64(),
            blocks: [((DATA + offset) & !63, RETURNS), (DATA, RETURNS)],
        }
    }

    pub fn random(prng: &mut Prng) -> Self {
        let privilege = [3, 1, 1, 0, 0][prng.below(5) as usize];
        let operation = Operation::random(prng);
        // MPRV lends M-mode another mode, but not for fetches.
        let lends = privilege != 3 && !operation.is_fetch() && prng.chance(1, 5);
        let stays = privilege == 3 || lends;
        let translated = privilege != 3 && prng.chance(15, 16);
        let user = privilege == 0;
        // Where in its page: a few bytes around an edge, or anywhere.
        let at_edge = operation.may_be_misaligned() && prng.chance(1, 5);
        let any = match at_edge {
            true => 0x1000 - prng.between(1, 8),
            false => prng.below(0xf80) + 0x20,
        };
        let offset = match operation {
            _ if at_edge => any & !u64::from(operation.is_fetch()),
            Operation::Block(_) => any,
            _ if operation.may_be_misaligned() && prng.chance(1, 4) => any & !u64::from(operation.is_fetch()),
            _ => any & !(operation.bytes().max(2) - 1),
        };
        let (first, second) = (DATA + prng.below(4) * 0x1000, DATA + prng.below(4) * 0x1000 + 0x4000);
        let leaf = |prng: &mut Prng, to: u64| leaf(prng, to, user);
        let mut directory = MIDDLE >> 2 | V;
        if prng.chance(1, 12) {
            directory ^= 1 << [0, 4, 6, 7][prng.below(4) as usize];
        }
        let directory = (ROOT + 8, directory);
        let (entries, virt, phys) = match prng.below(8) {
            0 => {
                // The last page of one superpage and the first of another, which is the same.
                let at = if at_edge { 0x1f_f000 } else { prng.below(16) * 0x1000 } + offset;
                let entries = [
                    (MIDDLE + 8, misaligned(leaf(prng, DATA), 0x400, prng)),
                    (MIDDLE + 16, leaf(prng, DATA)),
                    directory,
                ];
                (entries, SUPERPAGES + at, [DATA + at, DATA])
            }
            1 => {
                let entry = misaligned(leaf(prng, BASE), 0x400 << 9, prng);
                let spare = [(LEAVES + 0xff8, 0), directory];
                (
                    [(ROOT + 32, entry), spare[0], spare[1]],
                    GIGAPAGE + first - BASE + offset,
                    [first + offset, first + 0x1000],
                )
            }
            _ => {
                let page = prng.below(500);
                let at = LEAVES + 8 * page;
                let entries = [(at, leaf(prng, first)), (at + 8, leaf(prng, second)), directory];
                (entries, PAGES + page * 0x1000 + offset, [first + offset, second])
            }
        };
        let (rs1, phys) = match translated {
            true => (virt, phys),
            false => (first + offset, [first + offset, first + 0x1000]),
        };
        let mut probe = Self {
            operation,
            entries,
            pmpcfg: 0x1f << 56,
            pmpaddr: [0; 7],
            menvcfg: prng.below(4) << 4 | prng.below(4) << 6 | if prng.chance(2, 3) { ADUE } else { 0 },
            senvcfg: prng.below(4) << 4 | prng.below(4) << 6,
            mstatus: privilege << 11 | prng.next_u64() & 3 << 18 | if lends { MPRV } else { 0 },
            satp: if translated { 8 << 60 | ROOT >> 12 } else { 0 },
            insns: operation.insns(prng),
            slot: SLOT + if user && translated && !stays { ALIAS } else { 0 },
            stays,
            rs1,
            rs2: prng.next_u64(),
            blocks: [(phys[0] & !63, RETURNS), (phys[1] & !63, RETURNS)],
        };
        // An encoding of 2 is reserved.
        for register in [&mut probe.menvcfg, &mut probe.senvcfg] {
            if *register >> 4 & 3 == 2 {
                *register ^= 0x10;
            }
        }
        if operation.is_fetch() && offset == 0xffe && prng.chance(1, 2) {
            // One instruction, `jalr x0, x1, 0`, that two pages share.
            probe.blocks = [(phys[0] & !63, 0x8067_8082_8082_8082), (phys[1] & !63, 0x8082_8082_8082_0000)];
        }
        if prng.chance(1, 2) {
            probe.protect(prng, phys);
        }
        if !translated && prng.chance(1, 2) {
            // Where nothing is: one bit, or all but one, of those that PMP sees.
            let bit = 1 << prng.between(36, if privilege == 3 { 63 } else { 55 });
            let all = if privilege == 3 { u64::MAX } else { (1 << 56) - 1 };
            probe.rs1 = (if prng.chance(1, 2) { bit } else { all ^ bit }) & !7;
        }
        probe
    }

    /// PMP regions with rights of their own over what the access or its translation touches.
    fn protect(&mut self, prng: &mut Prng, phys: [u64; 2]) {
        for n in 0..prng.between(1, 3) as usize {
            let (at, bytes) = match prng.below(4) {
                0 => (self.entries[prng.below(3) as usize].0, 8 << [0, 1, 3, 9][prng.below(4) as usize]),
                1 => (phys[1], 64 << prng.below(7)),
                _ => (phys[0], 64 << prng.below(7)),
            };
            let rights = [0, 1, 3, 4, 5, 7][prng.below(6) as usize];
            let at = at & !(bytes - 1);
            let (mode, low, high) = match prng.chance(1, 3) {
                true => (0x08, at >> 2, (at + bytes) >> 2),
                false => (0x18, 0, at >> 2 | (bytes / 8 - 1)),
            };
            (self.pmpaddr[2 * n], self.pmpaddr[2 * n + 1]) = (low, high);
            self.pmpcfg |= (mode | rights) << (16 * n + 8);
        }
    }
}

/// Four times `c.jr x1`.
const RETURNS: u64 = 0x8082_8082_8082_8082;

/// A leaf that leads to `to`, most often with what an access needs, but A and D.
fn leaf(prng: &mut Prng, to: u64, user: bool) -> u64 {
    let rights = [R | W | X, R | W | X, R | W | X, R | W, R | X, R, X, W, W | X][prng.below(9) as usize];
    let mut entry = to >> 2 | V | rights | prng.next_u64() & (A | D | 1 << 5 | 3 << 8);
    if user != prng.chance(1, 8) {
        entry |= U;
    }
    if prng.chance(1, 24) {
        entry ^= V;
    }
    if prng.chance(1, 24) {
        entry |= 1 << prng.between(54, 63);
    }
    entry
}

/// Now and then a superpage that begins inside of another: `bit` is one below its own.
fn misaligned(entry: u64, bit: u64, prng: &mut Prng) -> u64 {
    if prng.chance(1, 12) { entry | bit } else { entry }
}

#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// `cbo`, by the number in its immediate.
    Block(i32),
    /// By `funct3`.
    Load(u32),
    Store(u32),
    /// By `funct5`, and the logarithm of its width.
    Atomic(u32, u32),
    /// `lr` and `sc`.
    Reserved(u32),
    Fetch,
    /// `prefetch`: a hint.
    Prefetch(i32),
}

impl Operation {
    fn random(prng: &mut Prng) -> Self {
        match prng.below(16) {
            0..=5 => Self::Block([0, 1, 2, 4, 4, 4, 0, 3][prng.below(8) as usize]),
            6 | 7 => Self::Load(prng.below(7) as u32),
            8..=10 => Self::Store(prng.below(4) as u32),
            11 | 12 => {
                let operation = [0, 1, 4, 8, 12, 16, 20, 24, 28][prng.below(9) as usize];
                Self::Atomic(operation, prng.between(2, 3) as u32)
            }
            13 => Self::Reserved(prng.between(2, 3) as u32),
            14 => Self::Fetch,
            _ => match prng.chance(1, 4) {
                true => Self::Prefetch([0, 1, 3][prng.below(3) as usize]),
                false => Self::Fetch,
            },
        }
    }

    fn may_be_misaligned(self) -> bool {
        matches!(self, Self::Load(_) | Self::Store(_) | Self::Fetch)
    }

    fn is_fetch(self) -> bool {
        matches!(self, Self::Fetch)
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Block(_) | Self::Prefetch(_) => 1,
            Self::Load(width) | Self::Store(width) => 1 << (width & 3),
            Self::Atomic(_, width) | Self::Reserved(width) => 1 << width,
            Self::Fetch => 2,
        }
    }

    fn insns(self, prng: &mut Prng) -> [u32; 2] {
        match self {
            Self::Block(which) => [cbo(which, 10), NOP],
            Self::Load(width) => [load(width, 11, 10, 0), NOP],
            Self::Store(width) => [s(0x23, width, 10, 12, 0), NOP],
            Self::Atomic(operation, width) => [amo(operation, width, 11, 10, 12), NOP],
            Self::Reserved(width) => [amo(2, width, 13, 10, 0), amo(3, width, 11, 10, 12)],
            Self::Fetch => [jalr(1, 10, prng.below(2) as i32), NOP],
            Self::Prefetch(which) => [i(0x13, 6, 0, 10, which), NOP],
        }
    }
}
