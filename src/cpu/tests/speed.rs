//! How fast the engine is. Ignored: run by hand with
//! `cargo test --release --lib cpu::hart::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use super::asm::*;
use super::world::{BASE, World};

/// Sieves the numbers below `n` again and again; s0 counts primes.
fn sieve(n: u64) -> Code {
    let mut c = Code::default();
    c.li(5, BASE + 0x10_0000); // table
    c.li(6, n);
    let again = c.here();
    // Clear the table, eight bytes at a time.
    c.put(addi(7, 5, 0));
    c.put(add(28, 5, 6));
    let clear = c.here();
    c.put(sd(0, 7, 0));
    c.put(addi(7, 7, 8));
    let to = clear - c.here();
    c.put(bltu(7, 28, to));
    // For each i from 2, if it is not struck: count, strike its multiples.
    c.put(addi(9, 0, 2));
    let next = c.here();
    c.put(add(10, 5, 9));
    c.put(lbu(11, 10, 0));
    let skip = c.put(0);
    c.put(addi(8, 8, 1));
    c.put(add(12, 10, 9));
    let strike = c.here();
    let done = c.put(0);
    c.put(addi(13, 0, 1));
    c.put(sb(13, 12, 0));
    c.put(add(12, 12, 9));
    let to = strike - c.here();
    c.put(jal(0, to));
    let here = c.here();
    c.patch(done, bgeu(12, 28, here - done));
    c.patch(skip, bne(11, 0, here - skip));
    c.put(addi(9, 9, 1));
    let to = next - c.here();
    c.put(bltu(9, 6, to));
    let to = again - c.here();
    c.put(jal(0, to));
    c
}

/// Rounds of a multiply-xor-shift hash over a buffer, in a function on another page.
fn hash() -> (Code, Code) {
    let mut main = Code::default();
    main.li(5, BASE + 0x10_0000);
    main.li(6, BASE + 0x4000); // the function
    main.li(9, 0x9e37_79b9_7f4a_7c15);
    let again = main.here();
    main.put(addi(10, 5, 0));
    main.put(addi(11, 0, 64));
    main.put(jalr(1, 6, 0));
    main.put(xor(8, 8, 12));
    let to = again - main.here();
    main.put(jal(0, to));

    let mut function = Code::default();
    let top = function.here();
    function.put(ld(13, 10, 0));
    function.put(xor(12, 12, 13));
    function.put(r(0x33, 0, 1, 12, 12, 9)); // mul
    function.put(srli(14, 12, 29));
    function.put(xor(12, 12, 14));
    function.put(sd(12, 10, 0));
    function.put(addi(10, 10, 8));
    function.put(addi(11, 11, -1));
    let to = top - function.here();
    function.put(bne(11, 0, to));
    function.put(jalr(0, 1, 0));
    (main, function)
}

/// A dot product: two loads, a fused multiply-add and loop control.
fn dot() -> Code {
    let mut c = Code::default();
    c.li(5, BASE + 0x10_0000);
    let again = c.here();
    c.put(addi(10, 5, 0));
    c.put(addi(11, 0, 256));
    let top = c.here();
    c.put(i(0x07, 3, 1, 10, 0)); // fld
    c.put(i(0x07, 3, 2, 10, 8));
    c.put(0x43 | 7 << 12 | 3 << 7 | 1 << 15 | 2 << 20 | 1 << 25 | 3 << 27); // fmadd.d
    c.put(addi(10, 10, 16));
    c.put(addi(11, 11, -1));
    let to = top - c.here();
    c.put(bne(11, 0, to));
    let to = again - c.here();
    c.put(jal(0, to));
    c
}

/// Nothing but what an engine leaves over.
fn system() -> Code {
    let mut c = Code::default();
    c.li(5, BASE + 0x10_0000);
    let top = c.here();
    c.put(csrrs(6, 0x340, 0));
    c.put(amo(0, 3, 7, 5, 6));
    c.put(csrrs(6, 0xb02, 0));
    let to = top - c.here();
    c.put(jal(0, to));
    c
}

/// Prints the median and the best rate over many short runs: other work on the host disturbs some.
fn measure(name: &str, world: &mut World) {
    const RUN: u64 = 2_000_000;
    const RUNS: usize = 150;
    world.step(RUN);
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            world.step(RUN);
            RUN as f64 / start.elapsed().as_secs_f64() / 1e6
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (median, best) = (rates[rates.len() / 2], rates[rates.len() - 1]);
    println!("{name}: {median:.0} million instructions/s (best {best:.0}) {:?}", world.hart.fared());
}

#[test]
#[ignore = "a measurement, for release builds"]
fn instructions_per_second() {
    measure("sieve", &mut World::new(&sieve(1 << 16).0));
    let (main, function) = hash();
    let mut world = World::new(&main.0);
    world.put(BASE + 0x4000, &function.0);
    measure("hash", &mut world);
    let mut world = World::new(&dot().0);
    world.hart.csrs.mstatus = 0x6000;
    for i in 0..512u64 {
        world.put_u64(BASE + 0x10_0000 + 8 * i, (1.0 + i as f64 / 512.0).to_bits());
    }
    measure("dot", &mut world);
    measure("system", &mut World::new(&system().0));
}

#[test]
fn the_sieve_counts_right() {
    let mut world = World::new(&sieve(1 << 12).0);
    let jump_back = BASE + sieve(1 << 12).here() as u64 - 4;
    while world.hart.pc() != jump_back {
        world.step(1);
    }
    assert_eq!(world.x(8), 564);
}
