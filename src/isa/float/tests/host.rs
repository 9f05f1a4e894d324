//! The fast path is invisible: whatever the accrued flags and the mode, it gives the integers' bits
//! and flags.

use super::operands::{pair, structured, triple};
use crate::base::Prng;
use crate::isa::float::fast::{self, Host};
use crate::isa::float::format::{F32, F64};
use crate::isa::float::{Flags, Rounding, arith};

fn check<F: Host>(
    name: &str,
    operands: [u64; 3],
    accrued: u8,
    rm: Rounding,
    fast: impl FnOnce(Rounding, &mut Flags) -> F::Bits,
    soft: impl FnOnce(Rounding, &mut Flags) -> u64,
) {
    let (mut fast_flags, mut soft_flags) = (Flags(accrued), Flags(accrued));
    let got = fast(rm, &mut fast_flags).into();
    let want = soft(rm, &mut soft_flags);
    assert_eq!(
        (got, fast_flags),
        (want, soft_flags),
        "{name} {operands:#x?} {rm:?}, accrued {accrued}: {got:#x} is not {want:#x}"
    );
}

fn check_all<F: Host>(a: u64, b: u64, c: u64, accrued: u8, rm: Rounding) {
    let (x, y, z) = (F::narrow(a), F::narrow(b), F::narrow(c));
    macro_rules! same {
        ($operation:ident, $($fast:ident $soft:ident),+) => {
            check::<F>(
                stringify!($operation),
                [a, b, c],
                accrued,
                rm,
                |rm, flags| fast::$operation::<F>($($fast),+, rm, flags),
                |rm, flags| arith::$operation::<F>($($soft),+, rm, flags),
            )
        };
    }
    same!(add, x a, y b);
    same!(sub, x a, y b);
    same!(mul, x a, y b);
    same!(div, x a, y b);
    same!(sqrt, x a);
    same!(fma, x a, y b, z c);
}

fn host_agrees<F: Host>(seed: u64) {
    println!("seed {seed}");
    let structured = structured::<F>();
    for &a in &structured {
        for &b in &structured {
            for accrued in [0, Flags::NX] {
                check_all::<F>(a, b, a, accrued, Rounding::Rne);
                check_all::<F>(a, b, b, accrued, Rounding::Rne);
            }
        }
    }
    let prng = &mut Prng::new(seed);
    for i in 0..1_000_000u64 {
        let (a, b, c) = if i % 2 == 0 {
            triple::<F>(prng, &structured)
        } else {
            // Exact results, where the flag hangs on the proof: few bits, or a product's factor.
            let (a, b) = pair::<F>(prng, &structured);
            let mask = !((1u64 << prng.below(u64::from(F::FRACTION_BITS))) - 1);
            let (a, b) = (a & mask, b & mask);
            let product = arith::mul::<F>(a, b, Rounding::Rne, &mut Flags::default());
            (product, b, a)
        };
        let accrued = if i % 4 < 2 { Flags::NX } else { 0 };
        let rm = if i % 16 == 0 { Rounding::ALL[(i / 16 % 5) as usize] } else { Rounding::Rne };
        check_all::<F>(a, b, c, accrued, rm);
    }
}

#[test]
fn the_host_never_shows_in_binary32() {
    host_agrees::<F32>(132);
}

#[test]
fn the_host_never_shows_in_binary64() {
    host_agrees::<F64>(164);
}
