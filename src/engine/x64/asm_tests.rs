//! Every form that the assembler emits, read back by a disassembler (iced-x86).

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use super::*;

const REGS: [Reg; 16] = [Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15];
const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
const ALUS: [(Alu, &str); 6] = [
    (Alu::Add, "add"),
    (Alu::Or, "or"),
    (Alu::And, "and"),
    (Alu::Sub, "sub"),
    (Alu::Xor, "xor"),
    (Alu::Cmp, "cmp"),
];
const SHIFTS: [(Shift, &str); 3] = [(Shift::Left, "shl"), (Shift::Right, "shr"), (Shift::Arithmetic, "sar")];
/// With the names that the disassembler gives them.
const CONDS: [(Cond, &str); 10] = [
    (Cond::Below, "b"),
    (Cond::NotBelow, "ae"),
    (Cond::Equal, "e"),
    (Cond::NotEqual, "ne"),
    (Cond::NotAbove, "be"),
    (Cond::Above, "a"),
    (Cond::Parity, "p"),
    (Cond::NotParity, "np"),
    (Cond::Less, "l"),
    (Cond::NotLess, "ge"),
];
const IMMEDIATES: [i32; 13] = [0, 1, -1, 2, 126, 127, 128, -127, -128, -129, 0x1234_5678, i32::MAX, i32::MIN];
const DISPLACEMENTS: [i32; 13] = [0, 1, -1, 8, 126, 127, 128, -127, -128, -129, 0x1_8000, i32::MAX, i32::MIN];

use Reg::*;

/// The name of a register of so many bytes.
fn name(reg: Reg, bytes: u8) -> String {
    const LEGACY: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
    let n = reg as usize;
    match (LEGACY.get(n), bytes) {
        (Some(name), 8) => format!("r{name}"),
        (Some(name), 4) => format!("e{name}"),
        (Some(name), 2) => (*name).into(),
        (Some(name), _) if n < 4 => format!("{}l", &name[..1]),
        (Some(name), _) => format!("{name}l"),
        (None, 8) => format!("r{n}"),
        (None, 4) => format!("r{n}d"),
        (None, 2) => format!("r{n}w"),
        (None, _) => format!("r{n}b"),
    }
}

fn of(reg: Reg, width: Width) -> String {
    name(reg, bytes(width))
}

fn bytes(width: Width) -> u8 {
    if width == Width::W64 { 8 } else { 4 }
}

fn memory(mem: Mem) -> String {
    let mut text = name(mem.base, 8);
    if let Some(index) = mem.index {
        text += &format!("+{}", name(index, 8));
    }
    match mem.disp {
        0 => {}
        disp if disp < 0 => text += &format!("-{}", disp.unsigned_abs()),
        disp => text += &format!("+{disp}"),
    }
    format!("[{text}]")
}

fn sized(mem: Mem, bytes: u8) -> String {
    let size = match bytes {
        1 => "byte",
        2 => "word",
        4 => "dword",
        _ => "qword",
    };
    format!("{size} ptr {}", memory(mem))
}

fn operand(rm: Rm, bytes: u8) -> String {
    match rm {
        Rm::Reg(reg) => name(reg, bytes),
        Rm::Mem(mem) => sized(mem, bytes),
    }
}

fn number(value: i64, width: Width) -> String {
    match width {
        Width::W64 => format!("{}", value as u64),
        Width::W32 => format!("{}", value as u32),
    }
}

/// Every base with every index and none, and every displacement.
fn places() -> Vec<Mem> {
    let mut places = Vec::new();
    for base in REGS {
        for disp in DISPLACEMENTS {
            places.push(Mem::at(base, disp));
            places.extend(REGS.into_iter().filter(|&x| x != Rsp).map(|x| Mem::indexed(base, x, disp)));
        }
    }
    places
}

/// Some places: each base, each index and each displacement, not each with each.
fn some_places() -> Vec<Mem> {
    let all = places();
    let mut some: Vec<Mem> = all.iter().copied().step_by(17).collect();
    some.extend(all.into_iter().filter(|mem| mem.index.is_none() && mem.disp.unsigned_abs() < 129));
    some
}

/// Operands: each register, and some places.
fn operands() -> Vec<Rm> {
    REGS.into_iter().map(Rm::Reg).chain(some_places().into_iter().map(Rm::Mem)).collect()
}

fn xmms() -> impl Iterator<Item = Xmm> {
    (0..16).map(Xmm)
}

fn xmm_operands() -> Vec<XmmRm> {
    xmms().map(XmmRm::Xmm).chain(some_places().into_iter().map(XmmRm::Mem)).collect()
}

fn xmm_text(rm: XmmRm, precision: Precision) -> String {
    match rm {
        XmmRm::Xmm(Xmm(n)) => format!("xmm{n}"),
        XmmRm::Mem(mem) => sized(mem, if precision == Precision::Single { 4 } else { 8 }),
    }
}

/// What was emitted one after the other, and what it should read as.
struct Sheet {
    asm: Asm,
    expected: Vec<(usize, String)>,
}

impl Sheet {
    fn new() -> Self {
        Self { asm: Asm::new(), expected: Vec::new() }
    }

    fn one(&mut self, text: impl Into<String>, emit: impl FnOnce(&mut Asm)) {
        self.expected.push((self.asm.len(), text.into()));
        emit(&mut self.asm);
    }

    /// All that was emitted reads as expected, one instruction each, with nothing between.
    fn check(self) {
        let code = self.asm.finish();
        let mut decoder = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE);
        let mut formatter = IntelFormatter::new();
        let options = formatter.options_mut();
        options.set_number_base(iced_x86::NumberBase::Decimal);
        options.set_signed_memory_displacements(true);
        options.set_memory_size_options(iced_x86::MemorySizeOptions::Always);
        options.set_show_branch_size(false);
        let (mut insn, mut text) = (Instruction::default(), String::new());
        assert!(!self.expected.is_empty());
        for (at, expected) in self.expected {
            assert_eq!(decoder.position(), at, "before {expected}");
            decoder.decode_out(&mut insn);
            text.clear();
            formatter.format(&insn, &mut text);
            let text = text.replace(',', ", ");
            assert_eq!(text, expected, "{:02x?}", &code[at..decoder.position()]);
        }
        assert_eq!(decoder.position(), code.len());
    }
}

#[test]
fn moves_read_back() {
    let mut sheet = Sheet::new();
    for width in WIDTHS {
        for a in REGS {
            for b in REGS {
                if width == Width::W32 || a != b {
                    sheet.one(format!("mov {}, {}", of(a, width), of(b, width)), |asm| asm.mov(width, a, b));
                }
            }
        }
        for (mem, reg) in places().into_iter().zip(REGS.into_iter().cycle()) {
            let (text, reg_text) = (sized(mem, bytes(width)), of(reg, width));
            sheet.one(format!("mov {reg_text}, {text}"), |asm| asm.mov(width, reg, mem));
            sheet.one(format!("mov {text}, {reg_text}"), |asm| asm.store(width, mem, reg));
        }
        for reg in REGS {
            for mem in some_places() {
                let (text, reg_text) = (sized(mem, bytes(width)), of(reg, width));
                sheet.one(format!("mov {reg_text}, {text}"), |asm| asm.mov(width, reg, mem));
                sheet.one(format!("mov {text}, {reg_text}"), |asm| asm.store(width, mem, reg));
            }
        }
        for (mem, value) in places().into_iter().zip(IMMEDIATES.into_iter().cycle()) {
            let text = format!("mov {}, {}", sized(mem, bytes(width)), number(value.into(), width));
            sheet.one(text, |asm| asm.store_imm(width, mem, value));
        }
    }
    // A move of a register to itself is none.
    let mut asm = Asm::new();
    asm.mov(Width::W64, Rbx, Rbx);
    assert_eq!(asm.len(), 0);
    sheet.check();
}

#[test]
fn constants_read_back_in_the_shortest_form() {
    let mut sheet = Sheet::new();
    for reg in REGS {
        for value in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            sheet.one(format!("mov {}, {value}", name(reg, 4)), |asm| asm.mov_imm(reg, value));
        }
        for value in [0x1_0000_0000, 1 << 63, 0xffff_ffff_7fff_ffff, 0x7ff8_0000_0000_0000] {
            sheet.one(format!("mov {}, {value}", name(reg, 8)), |asm| asm.mov_imm(reg, value));
        }
        for value in [u64::MAX, 0xffff_ffff_8000_0000] {
            let at = sheet.asm.len();
            sheet.one(format!("mov {}, {value}", name(reg, 8)), |asm| asm.mov_imm(reg, value));
            assert_eq!(sheet.asm.len() - at, 7);
        }
    }
    sheet.check();
}

#[test]
fn narrow_loads_and_stores_read_back() {
    let mut sheet = Sheet::new();
    for reg in REGS {
        for from in operands() {
            for (bytes, signed, verb, to) in [
                (1, false, "movzx", 4),
                (1, true, "movsx", 8),
                (2, false, "movzx", 4),
                (2, true, "movsx", 8),
                (4, false, "mov", 4),
                (4, true, "movsxd", 8),
            ] {
                let text = format!("{verb} {}, {}", name(reg, to), operand(from, bytes));
                sheet.one(text, |asm| asm.load_narrow(bytes, signed, reg, from));
            }
        }
        for mem in some_places() {
            for bytes in [1, 2] {
                let text = format!("mov {}, {}", sized(mem, bytes), name(reg, bytes));
                sheet.one(text, |asm| asm.store_narrow(bytes, mem, reg));
            }
            let text = format!("lea {}, {}", name(reg, 8), memory(mem));
            sheet.one(text, |asm| asm.lea(reg, mem));
        }
    }
    for (mem, reg) in places().into_iter().zip(REGS.into_iter().cycle()) {
        sheet.one(format!("lea {}, {}", name(reg, 8), memory(mem)), |asm| asm.lea(reg, mem));
    }
    sheet.check();
}

#[test]
fn arithmetic_reads_back() {
    let mut sheet = Sheet::new();
    for width in WIDTHS {
        let size = bytes(width);
        for (op, verb) in ALUS {
            for reg in REGS {
                for from in operands() {
                    let text = format!("{verb} {}, {}", of(reg, width), operand(from, size));
                    sheet.one(text, |asm| asm.alu(op, width, reg, from));
                }
            }
            for to in operands() {
                for value in IMMEDIATES {
                    let text = format!("{verb} {}, {}", operand(to, size), number(value.into(), width));
                    sheet.one(text, |asm| asm.alu_imm(op, width, to, value));
                }
            }
        }
        for a in REGS {
            for b in REGS {
                sheet.one(format!("test {}, {}", of(a, width), of(b, width)), |asm| asm.test(width, a, b));
            }
            for from in operands() {
                let text = format!("imul {}, {}", of(a, width), operand(from, size));
                sheet.one(text, |asm| asm.imul(width, a, from));
            }
            sheet.one(format!("neg {}", of(a, width)), |asm| asm.neg(width, a));
            sheet.one(format!("not {}", of(a, width)), |asm| asm.not(width, a));
        }
        for by in operands() {
            sheet.one(format!("div {}", operand(by, size)), |asm| asm.div(width, by));
            sheet.one(format!("idiv {}", operand(by, size)), |asm| asm.idiv(width, by));
        }
        sheet.one(if width == Width::W64 { "cqo" } else { "cdq" }, |asm| asm.sign_rdx(width));
    }
    for by in operands() {
        sheet.one(format!("mul {}", operand(by, 8)), |asm| asm.mul_wide(by));
        sheet.one(format!("imul {}", operand(by, 8)), |asm| asm.imul_wide(by));
    }
    sheet.check();
}

#[test]
fn shifts_read_back() {
    let mut sheet = Sheet::new();
    for width in WIDTHS {
        for (op, verb) in SHIFTS {
            for reg in REGS {
                for by in 0..if width == Width::W64 { 64 } else { 32 } {
                    let text = format!("{verb} {}, {by}", of(reg, width));
                    sheet.one(text, |asm| asm.shift_imm(op, width, reg, by));
                }
                sheet.one(format!("{verb} {}, cl", of(reg, width)), |asm| asm.shift_cl(op, width, reg));
                for (from, by) in operands().into_iter().flat_map(|from| REGS.map(|by| (from, by))).step_by(3)
                {
                    let (to, from_text) = (of(reg, width), operand(from, bytes(width)));
                    let text = format!("{verb}x {to}, {from_text}, {}", of(by, width));
                    sheet.one(text, |asm| asm.shift_by(op, width, reg, from, by));
                }
            }
        }
    }
    sheet.check();
}

#[test]
fn jumps_calls_and_conditions_read_back() {
    let mut sheet = Sheet::new();
    for (cond, suffix) in CONDS {
        assert_ne!(cond, cond.not());
        assert_eq!(cond, cond.not().not());
        assert_eq!(cond as u8 ^ 1, cond.not() as u8, "the opposite differs in the lowest bit");
        for width in WIDTHS {
            for from in operands() {
                for reg in REGS {
                    let text = format!("cmov{suffix} {}, {}", of(reg, width), operand(from, bytes(width)));
                    sheet.one(text, |asm| asm.cmov(cond, width, reg, from));
                }
            }
        }
        for reg in REGS {
            sheet.one(format!("set{suffix} {}", name(reg, 1)), |asm| asm.set(cond, reg));
        }
        let back = sheet.asm.label();
        sheet.asm.bind(back);
        let at = sheet.asm.len();
        sheet.one(format!("j{suffix} {at}"), |asm| asm.jcc(cond, back));
        let ahead = sheet.asm.label();
        sheet.one(format!("j{suffix} {}", at + 12), |asm| asm.jcc(cond, ahead));
        sheet.asm.bind(ahead);
    }
    let label = sheet.asm.label();
    let to = sheet.asm.len() + 5;
    sheet.one(format!("jmp {to}"), |asm| asm.jmp(label));
    sheet.asm.bind(label);
    sheet.one(format!("jmp {}", 0x4321), |asm| asm.jmp_outside(0x4321));
    sheet.one(format!("jmp {}", -4096i64 as u64), |asm| asm.jmp_outside(-4096));
    for reg in REGS {
        sheet.one(format!("jmp {}", name(reg, 8)), |asm| asm.jmp_reg(reg));
        sheet.one(format!("push {}", name(reg, 8)), |asm| asm.push(reg));
        sheet.one(format!("pop {}", name(reg, 8)), |asm| asm.pop(reg));
    }
    sheet.one("ret", Asm::ret);
    sheet.check();
}

const PRECISIONS: [(Precision, &str); 2] = [(Precision::Single, "s"), (Precision::Double, "d")];

/// What has the same form, but for the letter `v`, in both encodings.
fn floats_of_two_operands(vex: bool) {
    let v = if vex { "v" } else { "" };
    let mut sheet = Sheet { asm: Asm::with_vex(vex), expected: Vec::new() };
    for a in xmms() {
        let to = format!("xmm{}", a.0);
        for mem in some_places() {
            sheet.one(format!("{v}movsd {to}, {}", sized(mem, 8)), |asm| asm.load_double(a, mem));
            sheet.one(format!("{v}movsd {}, {to}", sized(mem, 8)), |asm| asm.store_double(mem, a));
        }
        for b in xmms() {
            if a != b {
                sheet.one(format!("{v}movaps {to}, xmm{}", b.0), |asm| asm.mov_float(a, b));
            }
        }
        for reg in REGS {
            sheet.one(format!("{v}movq {to}, {}", name(reg, 8)), |asm| asm.float_from_bits(a, reg));
            sheet.one(format!("{v}movq {}, {to}", name(reg, 8)), |asm| asm.bits_of_float(reg, a));
            for width in WIDTHS {
                for (precision, letter) in PRECISIONS {
                    for (truncate, t) in [(true, "t"), (false, "")] {
                        let text = format!("{v}cvt{t}s{letter}2si {}, {to}", of(reg, width));
                        sheet.one(text, |asm| asm.int_from_float(precision, truncate, width, reg, a));
                    }
                }
            }
        }
        for b in xmm_operands() {
            for (precision, letter) in PRECISIONS {
                let from = xmm_text(b, precision);
                for (quiet, u) in [(true, "u"), (false, "")] {
                    let text = format!("{v}{u}comis{letter} {to}, {from}");
                    sheet.one(text, |asm| asm.compare_float(precision, quiet, a, b));
                }
            }
        }
    }
    // A move of a register to itself is none.
    let at = sheet.asm.len();
    sheet.asm.mov_float(Xmm(3), Xmm(3));
    assert_eq!(sheet.asm.len(), at);
    sheet.check();
}

#[test]
fn floating_point_of_two_operands_reads_back() {
    floats_of_two_operands(false);
    floats_of_two_operands(true);
    let mut sheet = Sheet::new();
    for mem in places() {
        sheet.one(format!("ldmxcsr {}", sized(mem, 4)), |asm| asm.load_mxcsr(mem));
        sheet.one(format!("stmxcsr {}", sized(mem, 4)), |asm| asm.store_mxcsr(mem));
    }
    sheet.check();
}

/// Three operands are one instruction with VEX; without, two, unless the destination is the first source.
fn floats_of_three_operands(vex: bool) {
    let mut sheet = Sheet { asm: Asm::with_vex(vex), expected: Vec::new() };
    let three = |sheet: &mut Sheet, verb: &str, to: Xmm, a: Xmm, b: String, emit: &dyn Fn(&mut Asm)| {
        if vex {
            return sheet.one(format!("v{verb} xmm{}, xmm{}, {b}", to.0, a.0), emit);
        }
        if to != a {
            // What the call below begins with.
            sheet.expected.push((sheet.asm.len(), format!("movaps xmm{}, xmm{}", to.0, a.0)));
            let mut moved = Asm::new();
            moved.mov_float(to, a);
            sheet.expected.push((sheet.asm.len() + moved.len(), format!("{verb} xmm{}, {b}", to.0)));
            return emit(&mut sheet.asm);
        }
        sheet.one(format!("{verb} xmm{}, {b}", to.0), emit);
    };
    for (to, a) in xmms().flat_map(|to| xmms().map(move |a| (to, a))) {
        for b in xmm_operands().into_iter().filter(|&b| vex || to == a || b != XmmRm::Xmm(to)) {
            for (precision, letter) in PRECISIONS {
                for (op, verb) in [
                    (Sse::Sqrt, "sqrt"),
                    (Sse::Add, "add"),
                    (Sse::Mul, "mul"),
                    (Sse::Sub, "sub"),
                    (Sse::Min, "min"),
                    (Sse::Div, "div"),
                    (Sse::Max, "max"),
                ] {
                    let (verb, b_text) = (format!("{verb}s{letter}"), xmm_text(b, precision));
                    three(&mut sheet, &verb, to, a, b_text, &|asm| asm.arith_float(op, precision, to, a, b));
                }
                let verb = if letter == "d" { "cvtsd2ss" } else { "cvtss2sd" };
                let b_text = xmm_text(b, precision);
                three(&mut sheet, verb, to, a, b_text, &|asm| asm.convert_float(precision, to, a, b));
            }
            let XmmRm::Xmm(b) = b else { continue };
            for (op, verb) in
                [(Logic::And, "andps"), (Logic::AndNot, "andnps"), (Logic::Or, "orps"), (Logic::Xor, "xorps")]
            {
                let b_text = format!("xmm{}", b.0);
                three(&mut sheet, verb, to, a, b_text, &|asm| asm.logic_float(op, to, a, b));
            }
        }
        for (width, from) in
            WIDTHS.into_iter().flat_map(|width| operands().into_iter().map(move |b| (width, b)))
        {
            for (precision, letter) in PRECISIONS {
                let (verb, b) = (format!("cvtsi2s{letter}"), operand(from, bytes(width)));
                three(&mut sheet, &verb, to, a, b, &|asm| asm.float_from_int(precision, width, to, a, from));
            }
        }
    }
    for a in xmms() {
        three(&mut sheet, "pcmpeqd", a, a, format!("xmm{}", a.0), &|asm| asm.ones(a));
    }
    sheet.check();
}

#[test]
fn floating_point_of_three_operands_reads_back() {
    floats_of_three_operands(false);
    floats_of_three_operands(true);
}

#[test]
fn floating_point_of_avx_and_fma_reads_back() {
    let mut sheet = Sheet::new();
    for (a, b) in xmms().flat_map(|a| xmms().map(move |b| (a, b))) {
        for by in [1, 31, 32, 63] {
            let operands = format!("xmm{}, xmm{}, {by}", a.0, b.0);
            sheet.one(format!("vpsllq {operands}"), |asm| asm.shift_float(true, a, b, by));
            sheet.one(format!("vpsrlq {operands}"), |asm| asm.shift_float(false, a, b, by));
        }
        for (precision, letter) in PRECISIONS {
            for how in [0, 4, 8, 11, 12] {
                let text = format!("vrounds{letter} xmm{}, xmm{}, xmm{}, {how}", a.0, b.0, b.0);
                sheet.one(text, |asm| asm.round_float(precision, a, b, how));
            }
        }
        for c in xmm_operands() {
            for (op, verb) in
                [(Fma::Madd, "fmadd"), (Fma::Msub, "fmsub"), (Fma::Nmadd, "fnmadd"), (Fma::Nmsub, "fnmsub")]
            {
                for (form, name) in [(FmaForm::Form213, "213"), (FmaForm::Form231, "231")] {
                    for (precision, letter) in PRECISIONS {
                        let (a_text, c_text) = (a.0, xmm_text(c, precision));
                        let text = format!("v{verb}{name}s{letter} xmm{a_text}, xmm{}, {c_text}", b.0);
                        sheet.one(text, |asm| asm.fma_float(op, form, precision, a, b, c));
                    }
                }
            }
        }
    }
    sheet.check();
}

#[test]
fn bit_manipulation_reads_back() {
    let mut sheet = Sheet::new();
    for a in REGS {
        for width in WIDTHS {
            for (op, verb) in [(Rotate::Left, "rol"), (Rotate::Right, "ror")] {
                sheet.one(format!("{verb} {}, cl", of(a, width)), |asm| asm.rotate_cl(op, width, a));
                for by in 0..if width == Width::W64 { 64 } else { 32 } {
                    sheet.one(format!("{verb} {}, {by}", of(a, width)), |asm| {
                        asm.rotate_imm(op, width, a, by)
                    });
                }
            }
            for from in operands() {
                let text = format!("{}, {}", of(a, width), operand(from, bytes(width)));
                sheet.one(format!("lzcnt {text}"), |asm| asm.leading_zeros(width, a, from));
                sheet.one(format!("tzcnt {text}"), |asm| asm.trailing_zeros(width, a, from));
                sheet.one(format!("popcnt {text}"), |asm| asm.count_ones(width, a, from));
            }
        }
        sheet.one(format!("bswap {}", name(a, 8)), |asm| asm.swap_bytes(a));
        for (op, verb) in [(Bit::Test, "bt"), (Bit::Set, "bts"), (Bit::Clear, "btr"), (Bit::Invert, "btc")] {
            for b in REGS {
                sheet.one(format!("{verb} {}, {}", name(a, 8), name(b, 8)), |asm| asm.bit(op, a, b));
            }
            for n in 0..64 {
                sheet.one(format!("{verb} {}, {n}", name(a, 8)), |asm| asm.bit_imm(op, a, n));
            }
        }
        for b in REGS {
            for (cond, suffix) in CONDS {
                let text = format!("cmov{suffix} {}, {}", name(a, 8), name(b, 8));
                sheet.one(text, |asm| asm.mov_if(cond, a, b));
            }
            for (index, by) in
                REGS.into_iter().filter(|&x| x != Rsp).flat_map(|x| (0..4).map(move |by| (x, by)))
            {
                let scale = if by == 0 { String::new() } else { format!("*{}", 1 << by) };
                let text = format!("lea {}, [{}+{}{scale}]", name(a, 8), name(b, 8), name(index, 8));
                sheet.one(text, |asm| asm.lea_scaled(a, b, index, by));
            }
        }
    }
    sheet.check();
}
