//! What the hart adds to floating-point arithmetic: boxing, rounding modes, flags, `mstatus.FS`.

use super::asm::*;
use super::world::{BASE, World};

const BOX: u64 = 0xffff_ffff_0000_0000;
const NAN32: u64 = BOX | 0x7fc0_0000;
const ONE32: u64 = BOX | 0x3f80_0000;
const TWO32: u64 = BOX | 0x4000_0000;
const ONE64: u64 = 0x3ff0_0000_0000_0000;
const FS: u64 = 0x6000;
const CLEAN: u64 = 0x4000;

pub struct Fpu(pub World);

impl Fpu {
    pub fn new() -> Self {
        Self(World::new(&[]))
    }

    /// Executes `insn` with f1, f2, f3 and x5, and FS Clean. f4 and x6 are destinations.
    pub fn run(&mut self, insn: u32, f: [u64; 3], x5: u64) -> (u64, u64) {
        let world = &mut self.0;
        world.put(BASE, &[insn]);
        world.hart.pc = BASE;
        world.hart.regs.f[1..4].copy_from_slice(&f);
        world.hart.regs.f[4] = 0;
        world.set_x(5, x5);
        world.hart.csrs.mstatus = CLEAN;
        world.hart.csrs.fcsr &= 0xe0;
        let before = world.hart.exceptions;
        world.step(1);
        assert_eq!(world.hart.exceptions, before, "{insn:08x}");
        (world.hart.regs.f[4], world.x(6))
    }

    pub fn is_dirty(&self) -> bool {
        self.0.hart.csrs.mstatus & FS == FS
    }

    pub fn flags(&self) -> u8 {
        self.0.hart.csrs.fcsr & 0x1f
    }
}

#[test]
fn single_results_are_boxed_and_unboxed_sources_are_nan() {
    let mut fpu = Fpu::new();
    let add = fp(0, 0, 4, 1, 2);
    assert_eq!(fpu.run(add, [ONE32, ONE32, 0], 0).0, TWO32);
    assert_eq!(fpu.run(add, [ONE32 & !BOX, ONE32, 0], 0).0, NAN32);
    assert_eq!(fpu.run(add, [ONE32, ONE32 - (1 << 32), 0], 0).0, NAN32);
    assert_eq!(fpu.flags(), 0, "the NaN that stands for it is quiet");
    // Sign injection, comparison and classification unbox as well.
    assert_eq!(fpu.run(fp(0x10, 1, 4, 1, 1), [1, 0, 0], 0).0, NAN32 | 1 << 31);
    assert_eq!(fpu.run(fp(0x50, 2, 6, 1, 1), [1, 0, 0], 0).1, 0);
    assert_eq!(fpu.run(fp(0x70, 1, 6, 1, 0), [1, 0, 0], 0).1, 1 << 9);
    // Moves and stores do not.
    assert_eq!(fpu.run(fp(0x70, 0, 6, 1, 0), [0x1234_5678_8000_0001, 0, 0], 0).1, 0xffff_ffff_8000_0001);
    assert_eq!(fpu.run(fp(0x78, 0, 4, 5, 0), [0; 3], 0x1234_5678_8000_0001).0, BOX | 0x8000_0001);
    assert_eq!(fpu.run(fp(0x79, 0, 4, 5, 0), [0; 3], 0x1234_5678_8000_0001).0, 0x1234_5678_8000_0001);
    fpu.run(s(0x27, 2, 5, 1, 0), [0x55aa, 0, 0], BASE + 0x1004);
    assert_eq!(fpu.0.u64_at(BASE + 0x1000), 0x55aa << 32);
    assert_eq!(fpu.run(i(0x07, 2, 4, 5, 4), [0; 3], BASE + 0x1000).0, BOX | 0x55aa);
    assert_eq!(fpu.run(i(0x07, 3, 4, 5, 0), [0; 3], BASE + 0x1000).0, 0x55aa << 32);
}

#[test]
fn fs_is_dirty_exactly_when_something_changed() {
    let mut fpu = Fpu::new();
    let mut dirty = |insn, f, x5| {
        fpu.run(insn, f, x5);
        fpu.is_dirty()
    };
    assert!(dirty(fp(0, 0, 4, 1, 2), [ONE32, ONE32, 0], 0), "a register written");
    assert!(dirty(i(0x07, 3, 4, 5, 0), [0; 3], BASE), "a load");
    assert!(!dirty(s(0x27, 3, 5, 1, 0), [0; 3], BASE + 0x1000), "a store");
    assert!(!dirty(fp(0x51, 2, 6, 1, 2), [ONE64, ONE64, 0], 0), "a comparison without flags");
    assert!(dirty(fp(0x51, 1, 6, 1, 2), [u64::MAX, ONE64, 0], 0), "a comparison that raises one");
    assert!(!dirty(csrr(6, 3), [0; 3], 0), "fcsr read");
    assert!(dirty(csrrsi(0, 1, 1), [0; 3], 0), "fflags written");
    assert!(dirty(csrw(2, 0), [0; 3], 0), "frm written");
    assert!(!dirty(fp(0x71, 0, 6, 1, 0), [0; 3], 0), "a move to x");
}

#[test]
fn the_rounding_mode_is_the_instructions_or_frms() {
    let mut fpu = Fpu::new();
    // 1 + 2^-24 lies half way between 1 and the next single.
    let tiny = BOX | 0x3380_0000;
    let next = ONE32 + 1;
    for (rm, expected) in [(0, ONE32), (1, ONE32), (2, ONE32), (3, next), (4, next)] {
        assert_eq!(fpu.run(fp(0, rm, 4, 1, 2), [ONE32, tiny, 0], 0).0, expected, "rm {rm}");
        assert_eq!(fpu.flags(), 1);
        fpu.0.hart.csrs.fcsr = (rm as u8) << 5;
        assert_eq!(fpu.run(fp(0, 7, 4, 1, 2), [ONE32, tiny, 0], 0).0, expected, "frm {rm}");
    }
    for frm in [5, 6, 7] {
        let illegal = |insn: u32| {
            let mut world = World::new(&[insn]);
            world.hart.csrs.mstatus = FS;
            world.hart.csrs.fcsr = frm << 5;
            world.step(1);
            world.hart.csrs.mcause == 2 && world.hart.csrs.mtval == u64::from(insn)
        };
        assert!(illegal(fp(0, 7, 4, 1, 2)));
        assert!(illegal(fp(0x69, 7, 4, 5, 0)), "fcvt.d.w, exact, but it has a rounding mode");
        assert!(illegal(fp(0x21, 7, 4, 1, 0)), "fcvt.d.s likewise");
        assert!(!illegal(fp(0, 0, 4, 1, 2)), "a static mode does not look at frm");
        assert!(!illegal(fp(0x10, 0, 4, 1, 2)), "fsgnj has none");
    }
}

#[test]
fn flags_accrue() {
    let mut world =
        World::new(&[fp(0x0d, 0, 4, 1, 2), fp(0x01, 0, 4, 3, 3), csrr(5, 1), csrrw(6, 3, 0), csrr(7, 3)]);
    world.hart.csrs.mstatus = FS;
    world.hart.regs.f[1] = ONE64; // 1 / 0: DZ
    world.hart.regs.f[3] = 0x7fef_ffff_ffff_ffff; // the largest twice: OF, NX
    world.step(5);
    assert_eq!((world.x(5), world.x(6), world.x(7)), (0xd, 0xd, 0));
}

#[test]
fn the_fused_forms_have_their_signs() {
    // 3 * 2 = 6, and 1: fmadd 7, fmsub 5, fnmsub -5, fnmadd -7.
    let double = |v: f64| v.to_bits();
    let single = |v: f32| BOX | u64::from(v.to_bits());
    let mut fpu = Fpu::new();
    for (opcode, expected) in [(0x43, 7.0), (0x47, 5.0), (0x4b, -5.0), (0x4f, -7.0)] {
        let insn = |fmt: u32| opcode | 4 << 7 | 1 << 15 | 2 << 20 | fmt << 25 | 3 << 27;
        let f = [double(3.0), double(2.0), double(1.0)];
        assert_eq!(fpu.run(insn(1), f, 0).0, double(expected), "{opcode:x}");
        let f = [single(3.0), single(2.0), single(1.0)];
        assert_eq!(fpu.run(insn(0), f, 0).0, single(expected as f32), "{opcode:x}");
    }
}

#[test]
fn conversions_extend_as_the_spec_says() {
    let mut fpu = Fpu::new();
    let minus_one = (-1.0f64).to_bits();
    let big = (3_000_000_000.0f64).to_bits();
    let to = |kind: u32| fp(0x61, 1, 6, 1, kind);
    assert_eq!(fpu.run(to(0), [minus_one, 0, 0], 0).1, u64::MAX);
    assert_eq!(fpu.run(to(1), [minus_one, 0, 0], 0).1, 0);
    assert_eq!(fpu.run(to(1), [big, 0, 0], 0).1, 0xffff_ffff_b2d0_5e00, "fcvt.wu.d sign-extends");
    assert_eq!(fpu.run(to(2), [big, 0, 0], 0).1, 3_000_000_000);
    assert_eq!(fpu.run(to(0), [big, 0, 0], 0).1, 0x7fff_ffff);
    assert_eq!(fpu.flags(), 16);
    let from = |kind: u32| fp(0x69, 0, 4, 5, kind);
    let x = 0xffff_ffff_8000_0000;
    for (kind, expected) in
        [(0, -2147483648.0), (1, 2147483648.0), (2, -2147483648.0), (3, 1.8446744071562068e19f64)]
    {
        assert_eq!(fpu.run(from(kind), [0; 3], x).0, f64::to_bits(expected), "kind {kind}");
    }
    assert_eq!(fpu.run(fp(0x20, 0, 4, 1, 1), [ONE64, 0, 0], 0).0, ONE32);
    assert_eq!(fpu.run(fp(0x21, 0, 4, 1, 0), [ONE32, 0, 0], 0).0, ONE64);
    assert_eq!(fpu.run(fp(0x71, 1, 6, 1, 0), [ONE64, 0, 0], 0).1, 1 << 6);
}
