//! Every integer computation on edge values, against arithmetic in 128 bits.

use super::asm::*;
use super::world::{BASE, World};
use crate::base::Prng;

/// What `rd` is for sources `a` and `b` (or the immediate).
type Meaning = fn(i128, i128) -> i128;

fn edges() -> Vec<u64> {
    let mut edges = vec![0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 0x7ff, 0x800, 0xffff_f800];
    for shift in [7, 8, 15, 16, 31, 32, 33, 62, 63] {
        let power = 1u64 << shift;
        edges.extend([power, power - 1, power + 1, power.wrapping_neg(), !power]);
    }
    edges.extend([u64::MAX, u64::MAX - 1, 0x1234_5678_9abc_def0, 0xdead_beef_8000_0000]);
    let mut prng = Prng::new(3);
    edges.extend((0..8).map(|_| prng.next_u64()));
    edges
}

fn signed(v: i128) -> i128 {
    (v as u64 as i64).into()
}

fn unsigned(v: i128) -> i128 {
    (v as u64).into()
}

fn word(v: i128) -> i128 {
    (v as u32 as i32).into()
}

fn unsigned_word(v: i128) -> i128 {
    (v as u32).into()
}

fn check(world: &mut World, insn: u32, a: u64, b: u64, expected: i128, what: &str) {
    world.put(BASE, &[insn]);
    world.hart.pc = BASE;
    world.set_x(5, a);
    world.set_x(6, b);
    world.step(1);
    assert_eq!(world.x(7), expected as u64, "{what} of {a:#x} and {b:#x}");
    assert_eq!(world.hart.pc(), BASE + 4);
}

#[test]
fn register_operations() {
    let operations: &[(&str, u32, u32, u32, Meaning)] =
        &[
            ("add", 0x33, 0, 0, |a, b| a + b),
            ("sub", 0x33, 0, 0x20, |a, b| a - b),
            ("sll", 0x33, 1, 0, |a, b| unsigned(a) << (b & 63)),
            ("slt", 0x33, 2, 0, |a, b| (signed(a) < signed(b)).into()),
            ("sltu", 0x33, 3, 0, |a, b| (unsigned(a) < unsigned(b)).into()),
            ("xor", 0x33, 4, 0, |a, b| a ^ b),
            ("srl", 0x33, 5, 0, |a, b| unsigned(a) >> (b & 63)),
            ("sra", 0x33, 5, 0x20, |a, b| signed(a) >> (b & 63)),
            ("or", 0x33, 6, 0, |a, b| a | b),
            ("and", 0x33, 7, 0, |a, b| a & b),
            ("addw", 0x3b, 0, 0, |a, b| word(a + b)),
            ("subw", 0x3b, 0, 0x20, |a, b| word(a - b)),
            ("sllw", 0x3b, 1, 0, |a, b| word(unsigned_word(a) << (b & 31))),
            ("srlw", 0x3b, 5, 0, |a, b| word(unsigned_word(a) >> (b & 31))),
            ("sraw", 0x3b, 5, 0x20, |a, b| word(a) >> (b & 31)),
            ("mul", 0x33, 0, 1, |a, b| a.wrapping_mul(b)),
            ("mulh", 0x33, 1, 1, |a, b| (signed(a) * signed(b)) >> 64),
            ("mulhsu", 0x33, 2, 1, |a, b| (signed(a) * unsigned(b)) >> 64),
            ("mulhu", 0x33, 3, 1, |a, b| ((unsigned(a) as u128 * unsigned(b) as u128) >> 64) as i128),
            ("div", 0x33, 4, 1, |a, b| if signed(b) == 0 { -1 } else { signed(a) / signed(b) }),
            ("divu", 0x33, 5, 1, |a, b| if unsigned(b) == 0 { -1 } else { unsigned(a) / unsigned(b) }),
            ("rem", 0x33, 6, 1, |a, b| if signed(b) == 0 { a } else { signed(a) % signed(b) }),
            ("remu", 0x33, 7, 1, |a, b| if unsigned(b) == 0 { a } else { unsigned(a) % unsigned(b) }),
            ("mulw", 0x3b, 0, 1, |a, b| word(a.wrapping_mul(b))),
            ("divw", 0x3b, 4, 1, |a, b| if word(b) == 0 { -1 } else { word(word(a) / word(b)) }),
            (
                "divuw",
                0x3b,
                5,
                1,
                |a, b| {
                    if word(b) == 0 { -1 } else { word(unsigned_word(a) / unsigned_word(b)) }
                },
            ),
            ("remw", 0x3b, 6, 1, |a, b| if word(b) == 0 { word(a) } else { word(a) % word(b) }),
            ("remuw", 0x3b, 7, 1, |a, b| {
                if word(b) == 0 { word(a) } else { word(unsigned_word(a) % unsigned_word(b)) }
            }),
        ];
    let mut world = World::new(&[]);
    for &(name, opcode, f3, f7, meaning) in operations {
        for a in edges() {
            for b in edges() {
                let expected = meaning(a.into(), b.into());
                check(&mut world, r(opcode, f3, f7, 7, 5, 6), a, b, expected, name);
            }
        }
    }
}

#[test]
fn immediate_operations() {
    let operations: &[(&str, u32, u32, Meaning)] = &[
        ("addi", 0x13, 0, |a, b| a + b),
        ("slti", 0x13, 2, |a, b| (signed(a) < b).into()),
        ("sltiu", 0x13, 3, |a, b| (unsigned(a) < unsigned(b)).into()),
        ("xori", 0x13, 4, |a, b| a ^ b),
        ("ori", 0x13, 6, |a, b| a | b),
        ("andi", 0x13, 7, |a, b| a & b),
        ("addiw", 0x1b, 0, |a, b| word(a + b)),
    ];
    let mut world = World::new(&[]);
    for &(name, opcode, f3, meaning) in operations {
        for a in edges() {
            for imm in [-2048, -2047, -1, 0, 1, 2, 1023, 2046, 2047] {
                let expected = meaning(a.into(), imm.into());
                check(&mut world, i(opcode, f3, 7, 5, imm), a, 0, expected, name);
            }
        }
    }
    let shifts: &[(&str, u32, u32, u32, i32, Meaning)] = &[
        ("slli", 0x13, 1, 0, 64, |a, b| unsigned(a) << b),
        ("srli", 0x13, 5, 0, 64, |a, b| unsigned(a) >> b),
        ("srai", 0x13, 5, 0x400, 64, |a, b| signed(a) >> b),
        ("slliw", 0x1b, 1, 0, 32, |a, b| word(unsigned_word(a) << b)),
        ("srliw", 0x1b, 5, 0, 32, |a, b| word(unsigned_word(a) >> b)),
        ("sraiw", 0x1b, 5, 0x400, 32, |a, b| word(a) >> b),
    ];
    for &(name, opcode, f3, high, width, meaning) in shifts {
        for a in edges() {
            for by in 0..width {
                let insn = i(opcode, f3, 7, 5, high as i32 | by);
                check(&mut world, insn, a, 0, meaning(a.into(), by.into()), name);
            }
        }
    }
}

#[test]
fn upper_immediates() {
    let mut world = World::new(&[]);
    for imm20 in [0, 1, 0x7_ffff, 0x8_0000, 0xf_ffff] {
        let value = i128::from((imm20 << 12) as i32);
        check(&mut world, lui(7, imm20), 0, 0, value, "lui");
        check(&mut world, auipc(7, imm20), 0, 0, i128::from(BASE) + value, "auipc");
    }
}

#[test]
fn x0_stays_zero_whatever_is_written_to_it() {
    let data = (BASE + 0x1000) as u32 as i32;
    let mut world = World::new(&[
        addi(0, 0, 5),
        lui(0, 0xfffff),
        jal(0, 4),
        ld(0, 5, 0),
        amo(1, 3, 0, 5, 5),
        csrrw(0, 0x340, 5),
        lb(0, 5, 1),
        // Compressed: c.li x0, 1 and c.mv x0, x5.
        0x8016_4005,
        add(8, 0, 0),
    ]);
    world.set_x(5, data as u32 as u64);
    world.put_u64(BASE + 0x1000, 77);
    world.set_x(8, 9);
    world.step(10);
    assert_eq!((world.x(0), world.x(8)), (0, 0));
    assert_eq!(world.hart.state().x[0], 0);
    assert_eq!(world.hart.pc(), BASE + 36);
}
