//! The program in M-mode that carries out probes, which are data to it, and writes down what became of each.

use super::probe::{A, D, LEAVES, MIDDLE, Probe, R, ROOT, U, V, W, X};
use crate::asm::*;
use crate::image::BASE;

const HANDLER: u64 = BASE + 0x1000;
/// Two instructions, and the `ecall` behind them.
pub const SLOT: u64 = BASE + 0x2000;
const RECORDS: u64 = BASE + 0x40_0000;
const LOG: u64 = BASE + 0x100_0000;
const FINISHER: u64 = 0x10_0000;

const RECORD_BYTES: u64 = 256;
const ENTRY_WORDS: usize = 24;

impl Probe {
    /// As the program reads it.
    fn words(&self) -> Vec<u64> {
        let mut words: Vec<u64> = self.entries.iter().flat_map(|&(at, entry)| [at, entry]).collect();
        words.push(self.pmpcfg);
        words.extend(self.pmpaddr);
        words.extend([self.menvcfg, self.senvcfg, self.satp]);
        words.push(u64::from(self.insns[0]) | u64::from(self.insns[1]) << 32);
        words.extend(self.blocks.iter().flat_map(|&(at, fill)| [at, fill]));
        words.extend([self.slot, u64::from(self.stays), self.mstatus, self.rs1, self.rs2]);
        words.resize(RECORD_BYTES as usize / 8, 0);
        words
    }
}

/// The program: carries out `probes` and powers off.
pub fn image(probes: &[Probe]) -> Vec<u8> {
    let mut image = vec![0; (RECORDS - BASE) as usize + probes.len() * RECORD_BYTES as usize];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = (at - BASE) as usize;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let end = RECORDS + probes.len() as u64 * RECORD_BYTES;
    put(BASE, &words(&begin()));
    put(HANDLER, &words(&handler(end)));
    put(SLOT + 8, &words(&[ECALL]));
    for (at, entry) in [
        (ROOT + 16, BASE >> 2 | V | R | W | X | A | D),
        (ROOT + 24, BASE >> 2 | V | R | W | X | U | A | D),
        (MIDDLE, LEAVES >> 2 | V),
    ] {
        put(at, &entry.to_le_bytes());
    }
    for (at, probe) in (RECORDS..).step_by(RECORD_BYTES as usize).zip(probes) {
        let bytes: Vec<u8> = probe.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        put(at, &bytes);
    }
    image
}

/// x8: the record; x9: the log. Neither is touched by a probe, so no trap needs to save a register.
fn begin() -> Vec<u32> {
    let mut c = Code::default();
    for (register, value) in [(8, RECORDS), (9, LOG), (5, HANDLER + 4)] {
        c.li(register, value);
    }
    c.put(csrw(0x305, 5));
    c.put(addi(5, 0, -1));
    c.put(csrw(0x3b7, 5));
    c.li(5, HANDLER);
    c.put(jalr(0, 5, 0));
    c.0
}

/// First a jump to where the next record is carried out, then the handler.
fn handler(end: u64) -> Vec<u32> {
    let mut c = Code::default();
    let to_next = c.put(NOP);
    for (n, csr) in (0..).zip([0x342, 0x343, 0x341, 0x300]) {
        c.put(csrr(5, csr));
        c.put(sd(5, 9, 8 * n));
    }
    c.put(sd(11, 9, 32));
    for n in 0..3 {
        c.put(ld(6, 8, 16 * n));
        c.put(ld(5, 6, 0));
        c.put(sd(5, 9, 40 + 8 * n));
    }
    for block in 0..2 {
        c.put(ld(6, 8, 144 + 16 * block));
        for n in 0..8 {
            c.put(ld(5, 6, 8 * n));
            c.put(sd(5, 9, 64 + 64 * block + 8 * n));
        }
    }
    c.put(addi(9, 9, 8 * ENTRY_WORDS as i32));
    c.put(addi(8, 8, RECORD_BYTES as i32));
    c.li(5, end);
    let more = c.put(NOP);
    c.li(6, FINISHER);
    c.li(5, 0x5555);
    c.put(sw(5, 6, 0));
    c.put(jal(0, 0));

    c.patch(to_next, jal(0, c.here() - to_next));
    c.patch(more, bltu(8, 5, c.here() - more));
    for n in 0..3 {
        c.put(ld(6, 8, 16 * n));
        c.put(ld(5, 8, 16 * n + 8));
        c.put(sd(5, 6, 0));
    }
    let protection = (0x3b0..0x3b7).chain([0x30a, 0x10a, 0x180]);
    for (n, csr) in (6..).zip([0x3a0].into_iter().chain(protection)) {
        c.put(ld(5, 8, 8 * n));
        c.put(csrw(csr, 5));
    }
    c.li(6, SLOT);
    c.put(ld(5, 8, 136));
    c.put(sd(5, 6, 0));
    for block in 0..2 {
        c.put(ld(6, 8, 144 + 16 * block));
        c.put(ld(5, 8, 152 + 16 * block));
        for n in 0..8 {
            c.put(sd(5, 6, 8 * n));
        }
    }
    c.put(SFENCE);
    c.put(0x100f);
    c.put(ld(6, 8, 176));
    c.put(ld(5, 8, 184));
    c.put(ld(7, 8, 192));
    c.put(ld(10, 8, 200));
    c.put(ld(12, 8, 208));
    c.li(11, 0x1111);
    c.put(csrw(0x341, 6));
    c.put(csrw(0x300, 7));
    c.put(beq(5, 0, 8));
    c.put(jalr(0, 6, 0));
    c.put(MRET);
    c.0
}

/// What became of so many probes, as the program has left it in RAM.
pub fn log(ram: &[u8], probes: usize) -> &[u8] {
    let start = (LOG - BASE) as usize;
    &ram[start..start + probes * 8 * ENTRY_WORDS]
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub cause: u64,
    pub value: u64,
    pub epc: u64,
    pub status: u64,
    pub loaded: u64,
    pub entries: [u64; 3],
    pub bytes: [u64; 16],
}

impl Outcome {
    pub fn read(ram: &[u8], n: usize) -> Self {
        let at = (LOG - BASE) as usize + n * 8 * ENTRY_WORDS;
        let word = |k: usize| u64::from_le_bytes(ram[at + 8 * k..at + 8 * k + 8].try_into().unwrap());
        Self {
            cause: word(0),
            value: word(1),
            epc: word(2),
            status: word(3),
            loaded: word(4),
            entries: std::array::from_fn(|n| word(5 + n)),
            bytes: std::array::from_fn(|n| word(8 + n)),
        }
    }
}
