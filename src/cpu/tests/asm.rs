//! A tiny assembler: functions that make instruction words, and a buffer that takes them.

pub fn r(opcode: u32, f3: u32, f7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    opcode | rd << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | f7 << 25
}

pub fn i(opcode: u32, f3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    opcode | rd << 7 | f3 << 12 | rs1 << 15 | (imm as u32) << 20
}

pub fn s(opcode: u32, f3: u32, rs1: u32, rs2: u32, imm: i32) -> u32 {
    let imm = imm as u32;
    opcode | (imm & 31) << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | imm >> 5 << 25
}

pub fn b(f3: u32, rs1: u32, rs2: u32, offset: i32) -> u32 {
    let o = offset as u32;
    let imm = (o >> 11 & 1) << 7 | (o >> 1 & 15) << 8 | (o >> 5 & 63) << 25 | (o >> 12 & 1) << 31;
    0x63 | f3 << 12 | rs1 << 15 | rs2 << 20 | imm
}

pub const ECALL: u32 = 0x73;
pub const EBREAK: u32 = 0x10_0073;
pub const MRET: u32 = 0x3020_0073;
pub const SRET: u32 = 0x1020_0073;
pub const WFI: u32 = 0x1050_0073;
pub const SFENCE: u32 = 0x1200_0073;
pub const NOP: u32 = 0x13;

pub fn lui(rd: u32, imm20: u32) -> u32 {
    0x37 | rd << 7 | imm20 << 12
}
pub fn auipc(rd: u32, imm20: u32) -> u32 {
    0x17 | rd << 7 | imm20 << 12
}
pub fn jal(rd: u32, offset: i32) -> u32 {
    let o = offset as u32;
    let imm = (o & 0xf_f000) | (o >> 11 & 1) << 20 | (o >> 1 & 0x3ff) << 21 | (o >> 20 & 1) << 31;
    0x6f | rd << 7 | imm
}
pub fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x67, 0, rd, rs1, imm)
}
pub fn beq(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b(0, rs1, rs2, offset)
}
pub fn bne(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b(1, rs1, rs2, offset)
}
pub fn bltu(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b(6, rs1, rs2, offset)
}
pub fn bgeu(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b(7, rs1, rs2, offset)
}
pub fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x13, 0, rd, rs1, imm)
}
pub fn andi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x13, 7, rd, rs1, imm)
}
pub fn slli(rd: u32, rs1: u32, by: i32) -> u32 {
    i(0x13, 1, rd, rs1, by)
}
pub fn srli(rd: u32, rs1: u32, by: i32) -> u32 {
    i(0x13, 5, rd, rs1, by)
}
pub fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x33, 0, 0, rd, rs1, rs2)
}
pub fn xor(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x33, 4, 0, rd, rs1, rs2)
}
pub fn load(f3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x03, f3, rd, rs1, imm)
}
pub fn lb(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(0, rd, rs1, imm)
}
pub fn lh(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(1, rd, rs1, imm)
}
pub fn lw(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(2, rd, rs1, imm)
}
pub fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(3, rd, rs1, imm)
}
pub fn lbu(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(4, rd, rs1, imm)
}
pub fn lwu(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(6, rd, rs1, imm)
}
pub fn sb(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x23, 0, rs1, rs2, imm)
}
pub fn sh(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x23, 1, rs1, rs2, imm)
}
pub fn sw(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x23, 2, rs1, rs2, imm)
}
pub fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x23, 3, rs1, rs2, imm)
}
/// `cbo.inval` (0), `clean` (1), `flush` (2) or `zero` (4).
pub fn cbo(which: i32, rs1: u32) -> u32 {
    i(0x0f, 2, 0, rs1, which)
}
pub fn csrrw(rd: u32, csr: u16, rs1: u32) -> u32 {
    i(0x73, 1, rd, rs1, csr.into())
}
pub fn csrrs(rd: u32, csr: u16, rs1: u32) -> u32 {
    i(0x73, 2, rd, rs1, csr.into())
}
pub fn csrrc(rd: u32, csr: u16, rs1: u32) -> u32 {
    i(0x73, 3, rd, rs1, csr.into())
}
pub fn csrrwi(rd: u32, csr: u16, imm: u32) -> u32 {
    i(0x73, 5, rd, imm, csr.into())
}
pub fn csrrsi(rd: u32, csr: u16, imm: u32) -> u32 {
    i(0x73, 6, rd, imm, csr.into())
}
pub fn csrrci(rd: u32, csr: u16, imm: u32) -> u32 {
    i(0x73, 7, rd, imm, csr.into())
}
pub fn csrr(rd: u32, csr: u16) -> u32 {
    csrrs(rd, csr, 0)
}
pub fn csrw(csr: u16, rs1: u32) -> u32 {
    csrrw(0, csr, rs1)
}
/// `f5` is the operation, `f3` 2 or 3 the width.
pub fn amo(f5: u32, f3: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x2f, f3, f5 << 2, rd, rs1, rs2)
}
pub fn lr_w(rd: u32, rs1: u32) -> u32 {
    amo(2, 2, rd, rs1, 0)
}
pub fn lr_d(rd: u32, rs1: u32) -> u32 {
    amo(2, 3, rd, rs1, 0)
}
pub fn sc_w(rd: u32, rs2: u32, rs1: u32) -> u32 {
    amo(3, 2, rd, rs1, rs2)
}
pub fn sc_d(rd: u32, rs2: u32, rs1: u32) -> u32 {
    amo(3, 3, rd, rs1, rs2)
}
/// A computational floating-point instruction.
pub fn fp(f7: u32, rm: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x53, rm, f7, rd, rs1, rs2)
}

/// Words one after another.
#[derive(Default)]
pub struct Code(pub Vec<u32>);

impl Code {
    /// Appends `word` and says at which byte it is.
    pub fn put(&mut self, word: u32) -> i32 {
        let at = self.here();
        self.0.push(word);
        at
    }

    /// The byte at which the next word will be.
    pub fn here(&self) -> i32 {
        4 * self.0.len() as i32
    }

    /// Replaces the word at byte `at`.
    pub fn patch(&mut self, at: i32, word: u32) {
        self.0[at as usize / 4] = word;
    }

    /// Loads a constant into `rd`, in the fewest steps that are simple.
    pub fn li(&mut self, rd: u32, value: u64) {
        if value as i32 as u64 == value {
            let low = (value as i32) << 20 >> 20;
            let high = (value as i32).wrapping_sub(low);
            if high == 0 {
                self.put(addi(rd, 0, low));
            } else {
                self.put(lui(rd, high as u32 >> 12));
                // addiw
                self.put(i(0x1b, 0, rd, rd, low));
            }
        } else {
            let low = (value as i32) << 20 >> 20;
            self.li(rd, ((value as i64).wrapping_sub(low.into()) >> 12) as u64);
            self.put(slli(rd, rd, 12));
            self.put(addi(rd, rd, low));
        }
    }
}

/// The instructions of a round of [`long_loop`].
pub const ROUND: usize = 32;

/// `body`, no-ops and a jump back: a loop that is too long to be unrolled.
pub fn long_loop(body: &[u32]) -> Vec<u32> {
    let mut code = body.to_vec();
    code.resize(ROUND - 1, NOP);
    code.push(jal(0, -4 * (ROUND as i32 - 1)));
    code
}
