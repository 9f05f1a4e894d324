//! An assembler for the instructions that the translator emits: bytes into a buffer, and labels.
//!
//! The forms and their encodings are those of the Intel 64 manual, volume 2. Safe code: nothing here is
//! executed.

/// A general-purpose register, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[rustfmt::skip]
pub enum Reg { Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15 }

/// An SSE register, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xmm(pub u8);

/// A place in memory: `base + index + disp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    pub base: Reg,
    pub index: Option<Reg>,
    pub disp: i32,
}

impl Mem {
    pub const fn at(base: Reg, disp: i32) -> Self {
        Self { base, index: None, disp }
    }

    pub const fn indexed(base: Reg, index: Reg, disp: i32) -> Self {
        Self { base, index: Some(index), disp }
    }
}

/// A register or a place in memory: what most instructions take as their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    Reg(Reg),
    Mem(Mem),
}

impl From<Reg> for Rm {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl From<Mem> for Rm {
    fn from(mem: Mem) -> Self {
        Self::Mem(mem)
    }
}

/// The width of an operation: 32 bits (the upper half of a register result becomes 0) or 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    W32,
    W64,
}

/// Two-operand arithmetic, by its number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts, by their number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shift {
    Left = 4,
    Right = 5,
    Arithmetic = 7,
}

/// Rotations, by their number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rotate {
    Left = 0,
    Right = 1,
}

/// What is done with a bit, which goes into the carry first; by its number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bit {
    Test = 4,
    Set = 5,
    Clear = 6,
    Invert = 7,
}

/// Conditions, by their number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cond {
    Below = 2,
    NotBelow = 3,
    Equal = 4,
    NotEqual = 5,
    NotAbove = 6,
    Above = 7,
    Parity = 10,
    NotParity = 11,
    Less = 12,
    NotLess = 13,
}

impl Cond {
    /// The opposite condition.
    pub const fn not(self) -> Self {
        match self {
            Cond::Below => Cond::NotBelow,
            Cond::NotBelow => Cond::Below,
            Cond::Equal => Cond::NotEqual,
            Cond::NotEqual => Cond::Equal,
            Cond::NotAbove => Cond::Above,
            Cond::Above => Cond::NotAbove,
            Cond::Parity => Cond::NotParity,
            Cond::NotParity => Cond::Parity,
            Cond::Less => Cond::NotLess,
            Cond::NotLess => Cond::Less,
        }
    }
}

/// A place in the code that is being assembled, perhaps not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u32);

/// Code under way.
pub struct Asm {
    bytes: Vec<u8>,
    /// By label: its offset, once it is bound.
    labels: Vec<Option<u32>>,
    /// Where a 32-bit distance to a label is to be written.
    fixups: Vec<(u32, Label)>,
    /// What the SSE registers are used with has three operands (VEX), as AVX has it.
    vex: bool,
}

const NO_LABEL_UNBOUND: &str = "every label is bound before the code is taken";

impl Asm {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), labels: Vec::new(), fixups: Vec::new(), vex: false }
    }

    /// For a host that has AVX. Nothing that is emitted then keeps the upper half of a 256-bit register, and
    /// nothing mixes both kinds of encoding, which would cost time.
    pub fn with_vex(vex: bool) -> Self {
        Self { vex, ..Self::new() }
    }

    /// How many bytes have been emitted.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// `label` is here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = Some(self.bytes.len() as u32);
    }

    /// The code, with every distance filled in.
    pub fn finish(mut self) -> Vec<u8> {
        for (at, label) in self.fixups {
            let target = self.labels[label.0 as usize].expect(NO_LABEL_UNBOUND);
            let distance = target.wrapping_sub(at + 4);
            self.bytes[at as usize..at as usize + 4].copy_from_slice(&distance.to_le_bytes());
        }
        self.bytes
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn imm32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// REX (where needed), opcode, ModRM, SIB and displacement. `reg` is a register's number or a part of the opcode.
    /// `byte_reg`: the 8-bit registers spl to dil are meant, which need a REX.
    fn op(&mut self, prefix: Option<u8>, opcode: &[u8], wide: bool, reg: u8, rm: Rm, byte_reg: bool) {
        if let Some(prefix) = prefix {
            self.byte(prefix);
        }
        let (b, x) = match rm {
            Rm::Reg(rm) => (rm as u8, 0),
            Rm::Mem(Mem { base, index, .. }) => (base as u8, index.map_or(0, |index| index as u8)),
        };
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | (x >> 3) << 1 | b >> 3;
        if rex != 0x40 || byte_reg {
            self.byte(rex);
        }
        self.bytes.extend_from_slice(opcode);
        self.modrm(reg, rm);
    }

    fn modrm(&mut self, reg: u8, rm: Rm) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(rm) => self.byte(0xc0 | reg | (rm as u8 & 7)),
            Rm::Mem(Mem { base, index, disp }) => {
                let low = base as u8 & 7;
                // rbp and r13 have no form without a displacement.
                let (mode, size) = match disp {
                    0 if low != 5 => (0, 0),
                    -128..=127 => (0x40, 1),
                    _ => (0x80, 4),
                };
                match index {
                    // rsp cannot be an index.
                    Some(index) => {
                        debug_assert!(index != Reg::Rsp);
                        self.byte(mode | reg | 4);
                        self.byte((index as u8 & 7) << 3 | low);
                    }
                    None if low == 4 => {
                        self.byte(mode | reg | 4);
                        self.byte(4 << 3 | low);
                    }
                    None => self.byte(mode | reg | low),
                }
                match size {
                    0 => {}
                    1 => self.byte(disp as u8),
                    _ => self.imm32(disp),
                }
            }
        }
    }

    /// The same with a VEX prefix: `map` is that of the opcode, `pp` the prefix that is part of it, `v` the register
    /// of the additional operand, 0 where there is none.
    #[expect(clippy::too_many_arguments, reason = "the fields of the encoding")]
    fn vex_op(&mut self, map: u8, pp: u8, wide: bool, reg: u8, v: u8, opcode: u8, rm: Rm) {
        let (b, x) = match rm {
            Rm::Reg(rm) => (rm as u8, 0),
            Rm::Mem(Mem { base, index, .. }) => (base as u8, index.map_or(0, |index| index as u8)),
        };
        let inverted = |n: u8| !n >> 3 & 1;
        let rest = (!v & 15) << 3 | pp;
        if map == 1 && !wide && b < 8 && x < 8 {
            self.byte(0xc5);
            self.byte(inverted(reg) << 7 | rest);
        } else {
            self.byte(0xc4);
            self.byte(inverted(reg) << 7 | inverted(x) << 6 | inverted(b) << 5 | map);
            self.byte(u8::from(wide) << 7 | rest);
        }
        self.byte(opcode);
        self.modrm(reg, rm);
    }

    fn plain(&mut self, opcode: u8, width: Width, reg: u8, rm: Rm) {
        self.op(None, &[opcode], width == Width::W64, reg, rm, false);
    }

    // ---- moves

    pub fn mov(&mut self, width: Width, to: Reg, from: impl Into<Rm>) {
        let from = from.into();
        if width == Width::W64 && from == Rm::Reg(to) {
            return;
        }
        self.plain(0x8b, width, to as u8, from);
    }

    pub fn store(&mut self, width: Width, to: Mem, from: Reg) {
        self.plain(0x89, width, from as u8, to.into());
    }

    /// The shortest form that makes `to` hold `value`. Leaves the flags.
    pub fn mov_imm(&mut self, to: Reg, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            if to as u8 >= 8 {
                self.byte(0x41);
            }
            self.byte(0xb8 | (to as u8 & 7));
            self.imm32(value as i32);
        } else if let Ok(value) = i32::try_from(value as i64) {
            self.plain(0xc7, Width::W64, 0, to.into());
            self.imm32(value);
        } else {
            self.byte(0x48 | to as u8 >> 3);
            self.byte(0xb8 | (to as u8 & 7));
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Stores a sign-extended immediate.
    pub fn store_imm(&mut self, width: Width, to: Mem, value: i32) {
        self.plain(0xc7, width, 0, to.into());
        self.imm32(value);
    }

    /// The low 8 or 16 bits of `from` to memory.
    pub fn store_narrow(&mut self, bytes: u8, to: Mem, from: Reg) {
        match bytes {
            1 => self.op(None, &[0x88], false, from as u8, to.into(), from as u8 >= 4),
            _ => self.op(Some(0x66), &[0x89], false, from as u8, to.into(), false),
        }
    }

    /// Loads 1, 2 or 4 bytes, sign- or zero-extended to 64 bits.
    pub fn load_narrow(&mut self, bytes: u8, signed: bool, to: Reg, from: Rm) {
        // An 8-bit register source needs a REX to mean spl to dil.
        let byte_reg = matches!(from, Rm::Reg(reg) if bytes == 1 && reg as u8 >= 4);
        match (bytes, signed) {
            (1, false) => self.op(None, &[0x0f, 0xb6], false, to as u8, from, byte_reg),
            (1, true) => self.op(None, &[0x0f, 0xbe], true, to as u8, from, byte_reg),
            (2, false) => self.op(None, &[0x0f, 0xb7], false, to as u8, from, false),
            (2, true) => self.op(None, &[0x0f, 0xbf], true, to as u8, from, false),
            (_, false) => self.plain(0x8b, Width::W32, to as u8, from),
            (_, true) => self.plain(0x63, Width::W64, to as u8, from),
        }
    }

    pub fn lea(&mut self, to: Reg, mem: Mem) {
        self.plain(0x8d, Width::W64, to as u8, mem.into());
    }

    // ---- arithmetic

    pub fn alu(&mut self, op: Alu, width: Width, to: Reg, from: impl Into<Rm>) {
        self.plain((op as u8) << 3 | 3, width, to as u8, from.into());
    }

    /// With a sign-extended immediate.
    pub fn alu_imm(&mut self, op: Alu, width: Width, to: impl Into<Rm>, value: i32) {
        let to = to.into();
        if let Ok(value) = i8::try_from(value) {
            self.plain(0x83, width, op as u8, to);
            self.byte(value as u8);
        } else {
            self.plain(0x81, width, op as u8, to);
            self.imm32(value);
        }
    }

    pub fn test(&mut self, width: Width, a: Reg, b: Reg) {
        self.plain(0x85, width, b as u8, a.into());
    }

    pub fn imul(&mut self, width: Width, to: Reg, from: impl Into<Rm>) {
        self.op(None, &[0x0f, 0xaf], width == Width::W64, to as u8, from.into(), false);
    }

    pub fn neg(&mut self, width: Width, to: Reg) {
        self.plain(0xf7, width, 3, to.into());
    }

    pub fn not(&mut self, width: Width, to: Reg) {
        self.plain(0xf7, width, 2, to.into());
    }

    /// rdx:rax = rax * `by`, unsigned.
    pub fn mul_wide(&mut self, by: impl Into<Rm>) {
        self.plain(0xf7, Width::W64, 4, by.into());
    }

    /// rdx:rax = rax * `by`, signed.
    pub fn imul_wide(&mut self, by: impl Into<Rm>) {
        self.plain(0xf7, Width::W64, 5, by.into());
    }

    /// rax, rdx = quotient and remainder of rdx:rax by `by`, unsigned.
    pub fn div(&mut self, width: Width, by: impl Into<Rm>) {
        self.plain(0xf7, width, 6, by.into());
    }

    /// rax, rdx = quotient and remainder of rdx:rax by `by`, signed.
    pub fn idiv(&mut self, width: Width, by: impl Into<Rm>) {
        self.plain(0xf7, width, 7, by.into());
    }

    /// The sign of rax into rdx (of eax into edx).
    pub fn sign_rdx(&mut self, width: Width) {
        if width == Width::W64 {
            self.byte(0x48);
        }
        self.byte(0x99);
    }

    pub fn shift_imm(&mut self, op: Shift, width: Width, to: Reg, by: u8) {
        self.plain(0xc1, width, op as u8, to.into());
        self.byte(by);
    }

    /// By cl.
    pub fn shift_cl(&mut self, op: Shift, width: Width, to: Reg) {
        self.plain(0xd3, width, op as u8, to.into());
    }

    /// shlx, shrx, sarx (BMI2): `to` = `from` shifted by `by`. Leaves the flags.
    pub fn shift_by(&mut self, op: Shift, width: Width, to: Reg, from: impl Into<Rm>, by: Reg) {
        let from = from.into();
        let pp = match op {
            Shift::Left => 1,
            Shift::Arithmetic => 2,
            Shift::Right => 3,
        };
        self.vex_op(2, pp, width == Width::W64, to as u8, by as u8, 0xf7, from);
    }

    /// The low byte of `to` becomes 1 when `cond` holds, else 0.
    pub fn set(&mut self, cond: Cond, to: Reg) {
        self.op(None, &[0x0f, 0x90 | cond as u8], false, 0, to.into(), to as u8 >= 4);
    }

    pub fn cmov(&mut self, cond: Cond, width: Width, to: Reg, from: impl Into<Rm>) {
        self.op(None, &[0x0f, 0x40 | cond as u8], width == Width::W64, to as u8, from.into(), false);
    }

    pub fn rotate_imm(&mut self, op: Rotate, width: Width, to: Reg, by: u8) {
        self.plain(0xc1, width, op as u8, to.into());
        self.byte(by);
    }

    /// By cl.
    pub fn rotate_cl(&mut self, op: Rotate, width: Width, to: Reg) {
        self.plain(0xd3, width, op as u8, to.into());
    }

    /// Bit `number` modulo 64 of `of`.
    pub fn bit(&mut self, op: Bit, of: Reg, number: Reg) {
        self.op(None, &[0x0f, 0x83 | (op as u8) << 3], true, number as u8, of.into(), false);
    }

    pub fn bit_imm(&mut self, op: Bit, of: Reg, number: u8) {
        self.op(None, &[0x0f, 0xba], true, op as u8, of.into(), false);
        self.byte(number);
    }

    /// bswap: the bytes of `to`, the other way round.
    pub fn swap_bytes(&mut self, to: Reg) {
        self.byte(0x48 | to as u8 >> 3);
        self.byte(0x0f);
        self.byte(0xc8 | (to as u8 & 7));
    }

    /// lzcnt.
    pub fn leading_zeros(&mut self, width: Width, to: Reg, from: Rm) {
        self.op(Some(0xf3), &[0x0f, 0xbd], width == Width::W64, to as u8, from, false);
    }

    /// tzcnt (BMI1).
    pub fn trailing_zeros(&mut self, width: Width, to: Reg, from: Rm) {
        self.op(Some(0xf3), &[0x0f, 0xbc], width == Width::W64, to as u8, from, false);
    }

    /// popcnt.
    pub fn count_ones(&mut self, width: Width, to: Reg, from: Rm) {
        self.op(Some(0xf3), &[0x0f, 0xb8], width == Width::W64, to as u8, from, false);
    }

    /// cmovcc: all 64 bits.
    pub fn mov_if(&mut self, cond: Cond, to: Reg, from: Reg) {
        self.op(None, &[0x0f, 0x40 | cond as u8], true, to as u8, from.into(), false);
    }

    /// lea: `base` + (`index` << `by`), `by` at most 3. The index is not rsp.
    pub fn lea_scaled(&mut self, to: Reg, base: Reg, index: Reg, by: u8) {
        debug_assert!(index != Reg::Rsp && by <= 3);
        self.byte(0x48 | (to as u8 >> 3) << 2 | (index as u8 >> 3) << 1 | base as u8 >> 3);
        self.byte(0x8d);
        // With a displacement of 0, which rbp and r13 need.
        self.byte(0x44 | (to as u8 & 7) << 3);
        self.byte(by << 6 | (index as u8 & 7) << 3 | (base as u8 & 7));
        self.byte(0);
    }

    // ---- jumps

    pub fn jmp(&mut self, to: Label) {
        self.byte(0xe9);
        self.distance(to);
    }

    pub fn jcc(&mut self, cond: Cond, to: Label) {
        self.byte(0x0f);
        self.byte(0x80 | cond as u8);
        self.distance(to);
    }

    fn distance(&mut self, to: Label) {
        self.fixups.push((self.bytes.len() as u32, to));
        self.imm32(0);
    }

    /// To `offset` bytes from the beginning of this code, which may be negative.
    pub fn jmp_outside(&mut self, offset: i64) {
        self.byte(0xe9);
        let next = self.bytes.len() as i64 + 4;
        self.imm32((offset - next) as i32);
    }

    pub fn jmp_reg(&mut self, to: Reg) {
        self.plain(0xff, Width::W32, 4, to.into());
    }

    pub fn ret(&mut self) {
        self.byte(0xc3);
    }

    pub fn push(&mut self, reg: Reg) {
        if reg as u8 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x50 | (reg as u8 & 7));
    }

    pub fn pop(&mut self, reg: Reg) {
        if reg as u8 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x58 | (reg as u8 & 7));
    }

    // ---- scalar floating point

    /// An instruction on SSE registers, in either encoding. `v` is its first source where it has two, and is its
    /// destination, too, without VEX.
    fn sse(&mut self, prefix: Option<u8>, opcode: u8, wide: bool, reg: u8, v: Option<Xmm>, rm: Rm) {
        if self.vex {
            let pp = match prefix {
                None => 0,
                Some(0x66) => 1,
                Some(0xf3) => 2,
                Some(_) => 3,
            };
            self.vex_op(1, pp, wide, reg, v.map_or(0, |v| v.0), opcode, rm);
        } else {
            self.op(prefix, &[0x0f, opcode], wide, reg, rm, false);
        }
    }

    /// `to` = `a` op `b`. Without VEX `b` must not be `to` unless `a` is.
    fn sse_three(&mut self, prefix: Option<u8>, opcode: u8, wide: bool, to: Xmm, a: Xmm, b: Rm) {
        if !self.vex {
            debug_assert!(to == a || b != xmm(to));
            self.mov_float(to, a);
        }
        self.sse(prefix, opcode, wide, to.0, Some(a), b);
    }

    /// 64 bits from memory.
    pub fn load_double(&mut self, to: Xmm, from: Mem) {
        self.sse(Some(0xf2), 0x10, false, to.0, None, from.into());
    }

    pub fn store_double(&mut self, to: Mem, from: Xmm) {
        self.sse(Some(0xf2), 0x11, false, from.0, None, to.into());
    }

    /// movaps.
    pub fn mov_float(&mut self, to: Xmm, from: Xmm) {
        if to != from {
            self.sse(None, 0x28, false, to.0, None, xmm(from));
        }
    }

    /// movq: 64 bits from a general register.
    pub fn float_from_bits(&mut self, to: Xmm, from: Reg) {
        self.sse(Some(0x66), 0x6e, true, to.0, None, from.into());
    }

    /// movq: 64 bits to a general register.
    pub fn bits_of_float(&mut self, to: Reg, from: Xmm) {
        self.sse(Some(0x66), 0x7e, true, from.0, None, to.into());
    }

    /// addsd and its relatives: `to` = `a` op `b`; sqrtsd: `to` = the root of `b`. The other bits come from `a`.
    pub fn arith_float(&mut self, op: Sse, precision: Precision, to: Xmm, a: Xmm, b: XmmRm) {
        self.sse_three(Some(precision.scalar()), op as u8, false, to, a, b.rm());
    }

    /// andps, andnps (not `a`, and `b`), orps, xorps.
    pub fn logic_float(&mut self, op: Logic, to: Xmm, a: Xmm, b: Xmm) {
        self.sse_three(None, op as u8, false, to, a, xmm(b));
    }

    /// pcmpeqd: all ones.
    pub fn ones(&mut self, to: Xmm) {
        self.sse(Some(0x66), 0x76, false, to.0, Some(to), xmm(to));
    }

    /// vpsllq and vpsrlq (AVX).
    pub fn shift_float(&mut self, left: bool, to: Xmm, from: Xmm, by: u8) {
        self.vex_op(1, 1, false, if left { 6 } else { 2 }, to.0, 0x73, xmm(from));
        self.byte(by);
    }

    /// vroundsd and vroundss (AVX), by their immediate.
    pub fn round_float(&mut self, precision: Precision, to: Xmm, from: Xmm, how: u8) {
        let opcode = if precision == Precision::Double { 0x0b } else { 0x0a };
        self.vex_op(3, 1, false, to.0, from.0, opcode, xmm(from));
        self.byte(how);
    }

    /// ucomisd (quiet) or comisd (signaling), and those of single precision: compares, into the flags.
    pub fn compare_float(&mut self, precision: Precision, quiet: bool, a: Xmm, b: XmmRm) {
        let prefix = (precision == Precision::Double).then_some(0x66);
        self.sse(prefix, if quiet { 0x2e } else { 0x2f }, false, a.0, None, b.rm());
    }

    /// cvtsi2sd, cvtsi2ss. The other bits come from `upper`.
    pub fn float_from_int(
        &mut self,
        precision: Precision,
        width: Width,
        to: Xmm,
        upper: Xmm,
        from: impl Into<Rm>,
    ) {
        if !self.vex {
            self.mov_float(to, upper);
        }
        let wide = width == Width::W64;
        self.sse(Some(precision.scalar()), 0x2a, wide, to.0, Some(upper), from.into());
    }

    /// cvttsd2si (towards zero) or cvtsd2si (as MXCSR says), and those of single precision.
    pub fn int_from_float(&mut self, precision: Precision, truncate: bool, width: Width, to: Reg, from: Xmm) {
        let opcode = if truncate { 0x2c } else { 0x2d };
        self.sse(Some(precision.scalar()), opcode, width == Width::W64, to as u8, None, xmm(from));
    }

    /// cvtsd2ss, cvtss2sd: from `precision` to the other. The other bits come from `upper`.
    pub fn convert_float(&mut self, precision: Precision, to: Xmm, upper: Xmm, from: XmmRm) {
        self.sse_three(Some(precision.scalar()), 0x5a, false, to, upper, from.rm());
    }

    /// vfmadd213sd and its relatives (FMA): a product and a sum of `to`, `b` and `c`, in that order as `form` says.
    pub fn fma_float(&mut self, op: Fma, form: FmaForm, precision: Precision, to: Xmm, b: Xmm, c: XmmRm) {
        self.vex_op(2, 1, precision == Precision::Double, to.0, b.0, op as u8 + form as u8, c.rm());
    }

    pub fn load_mxcsr(&mut self, from: Mem) {
        self.op(None, &[0x0f, 0xae], false, 2, from.into(), false);
    }

    pub fn store_mxcsr(&mut self, to: Mem) {
        self.op(None, &[0x0f, 0xae], false, 3, to.into(), false);
    }
}

/// An SSE register or a double in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmmRm {
    Xmm(Xmm),
    Mem(Mem),
}

impl XmmRm {
    fn rm(self) -> Rm {
        match self {
            XmmRm::Xmm(reg) => xmm(reg),
            XmmRm::Mem(mem) => mem.into(),
        }
    }
}

/// The formats of scalar arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Single,
    Double,
}

impl Precision {
    /// The prefix of scalar instructions.
    const fn scalar(self) -> u8 {
        match self {
            Precision::Single => 0xf3,
            Precision::Double => 0xf2,
        }
    }
}

/// Scalar arithmetic, by the last byte of the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sse {
    Sqrt = 0x51,
    Add = 0x58,
    Mul = 0x59,
    Sub = 0x5c,
    Min = 0x5d,
    Div = 0x5e,
    Max = 0x5f,
}

/// Operations on all bits, by the last byte of the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Logic {
    And = 0x54,
    AndNot = 0x55,
    Or = 0x56,
    Xor = 0x57,
}

/// Fused multiply-add, by the opcode of the 132 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fma {
    /// `a * b + c`
    Madd = 0x99,
    /// `a * b - c`
    Msub = 0x9b,
    /// `-(a * b) + c`
    Nmadd = 0x9d,
    /// `-(a * b) - c`
    Nmsub = 0x9f,
}

/// Which operands of a fused multiply-add are multiplied, by what it adds to the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FmaForm {
    /// The second and the first; the third is added.
    Form213 = 0x10,
    /// The second and the third; the first is added.
    Form231 = 0x20,
}

/// An SSE register in the place of a general one, as ModRM names both.
fn xmm(reg: Xmm) -> Rm {
    use Reg::*;
    const ALL: [Reg; 16] = [Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15];
    Rm::Reg(ALL[usize::from(reg.0 & 15)])
}

#[cfg(test)]
#[path = "asm_tests.rs"]
mod tests;
