//! The CSRs beside QEMU's: which exist in which mode, and what each can hold.
//!
//! Both are programs like the random ones: an `ecall` writes the registers down after each probe.
//!
//! What may differ is listed, with the reason: [`EXISTS_DIFFERENTLY`] and the masks of [`HOLDS`].
//! Absent here, and shown by the suite on both machines instead: counters while they run, and the identity
//! registers.

use lockstep::base::Prng;

use crate::asm::*;
use crate::image::{Entry, Image, LOG_M, Mode};
use crate::machines::{LIKE_QEMU, on_lockstep, on_qemu, qemu_is_here};

/// CSRs that one machine has and the other has not, in the modes that may see them.
const EXISTS_DIFFERENTLY: &[(std::ops::RangeInclusive<u16>, &str)] = &[
    (0xcc0..=0xcc0, "lockstep_hostid: ours"),
    (0x747..=0x747, "mseccfg: here because of Zkr, there because of Smepmp, which is off"),
    (0x24d..=0x24d, "vstimecmp: QEMU 7.2 has it without a hypervisor"),
    (0x7a4..=0x7a4, "tinfo: QEMU 7.2 has the other trigger registers, but not this one"),
    (0x7a8..=0x7a8, "mcontext (Sdtrig): QEMU's"),
    (0xda0..=0xda0, "scountovf: where QEMU has Sscofpmf"),
    (0x30c..=0x30f, "mstateen: where QEMU has Smstateen"),
    (0x10c..=0x10f, "sstateen: likewise"),
];

/// What a register can hold on both machines.
struct Held {
    number: u16,
    /// The bits to compare.
    mask: u64,
    /// Bits never written.
    kept_clear: u64,
}

const fn held(number: u16, mask: u64) -> Held {
    Held { number, mask, kept_clear: 0 }
}

const ALL: u64 = u64::MAX;
/// What `pmpaddr` holds.
const ADDRESS: u64 = (1 << 54) - 1;

#[rustfmt::skip]
const HOLDS: &[Held] = &[
    held(0x001, ALL), held(0x002, ALL), held(0x003, ALL),
    // QEMU 7.2 stores VS without vectors (and SD follows it), widths of U- and S-mode that it has not, and GVA and MPV
    // without a hypervisor.
    Held { kept_clear: 3 << 9, ..held(0x100, !(3 << 32)) },
    held(0x104, ALL),
    // QEMU leaves a reserved mode of xtvec as it was; here bit 1 reads 0.
    Held { kept_clear: 2, ..held(0x105, ALL) },
    // QEMU has hpm counters, so their enables too.
    held(0x106, 7),
    // Zicbom and Zicboz are not in QEMU 7.2.
    held(0x10a, 1),
    // QEMU 7.2 keeps bit 0 of xepc.
    held(0x140, ALL), held(0x141, !1), held(0x142, ALL), held(0x143, ALL),
    held(0x144, ALL), held(0x14d, ALL),
    // Sv48 and Sv57 are QEMU's only: see `other_modes` below.
    held(0x180, ALL),
    Held { kept_clear: 3 << 9, ..held(0x300, !(15 << 32 | 3 << 38)) },
    held(0x301, ALL),
    // Misaligned fetches cannot be; whether they can be delegated is free. Nor is there a hypervisor.
    held(0x302, 0xb3fe),
    // VS-mode interrupts are there whether there is a hypervisor or not.
    held(0x303, 0x222), held(0x304, 0xaaa),
    Held { kept_clear: 2, ..held(0x305, ALL) },
    held(0x306, 7),
    // Svpbmt, Zicbom, Zicboz, Svadu: one or the other has not.
    held(0x30a, 1 << 63 | 1),
    held(0x320, 5),
    held(0x340, ALL), held(0x341, !1), held(0x342, ALL), held(0x343, ALL),
    held(0x344, 0x222),
    // Never locked, never W without R, nor bits that mean nothing, which QEMU 7.2 stores.
    Held { kept_clear: 0xe2e2_e2e2_e2e2_e2e2, ..held(0x3a2, ALL) },
    Held { kept_clear: !ADDRESS, ..held(0x3b8, ADDRESS) },
    Held { kept_clear: !ADDRESS, ..held(0x3bf, ADDRESS) },
    held(0xf15, ALL),
];

/// What a write of `value` to `number` becomes, so that both machines must do the same with it.
fn comparable(number: u16, value: u64) -> u64 {
    match number {
        // QEMU 7.2 stores MPP = 2, which is no mode.
        0x300 if value >> 11 & 3 == 2 => value | 1 << 11,
        0x180 if matches!(value >> 60, 9 | 10) => value ^ 1 << 60 ^ 3 << 61,
        _ => value,
    }
}

/// The probes of `words`, each ended by an `ecall`: its trap, and whether an illegal instruction
/// came before it.
fn probes(image: &[u8]) -> Vec<(Entry, bool)> {
    let mut illegal = false;
    let mut found = Vec::new();
    for entry in (0..).map_while(|n| Entry::read(image, LOG_M, n)) {
        if matches!(entry.cause, 8..=11) {
            found.push((entry, std::mem::take(&mut illegal)));
        } else {
            assert_eq!(entry.cause, 2, "{entry}");
            illegal = true;
        }
    }
    found
}

/// Runs `words` on both machines.
fn on_both(prng: &mut Prng, mode: Mode, words: &[u32]) -> [Vec<(Entry, bool)>; 2] {
    let image = Image::new(prng, mode, 0, false, words);
    let directory = tempfile::tempdir().unwrap();
    [probes(&on_lockstep(&image.0, LIKE_QEMU)), probes(&on_qemu(&image.0, "", directory.path()))]
}

#[test]
fn the_same_registers_exist_in_each_mode_as_on_qemu() {
    if !qemu_is_here("the set of CSRs is not compared with QEMU's") {
        return;
    }
    let mut exist = 0;
    for mode in [Mode::Machine, Mode::Supervisor, Mode::User] {
        let words: Vec<u32> = (0..4096).flat_map(|number| [csrr(6, number), ECALL]).collect();
        let mut prng = Prng::new(0);
        let [ours, theirs] = on_both(&mut prng, mode, &words);
        // The last `ecall` is the one that ends the program.
        assert_eq!((ours.len(), theirs.len()), (4097, 4097));
        for number in 0..4096u16 {
            let at = usize::from(number);
            let (here, there) = (!ours[at].1, !theirs[at].1);
            exist += usize::from(here);
            let may = EXISTS_DIFFERENTLY.iter().any(|(range, _)| range.contains(&number));
            assert!(here == there || may, "{number:#x} in {mode:?}: here {here}, QEMU {there}");
        }
    }
    println!("{exist} registers can be read");
    assert!(exist > 150, "{exist}");
}

#[test]
fn registers_hold_what_they_hold_on_qemu() {
    if !qemu_is_here("what the CSRs hold is not compared with QEMU") {
        return;
    }
    const ROUNDS: usize = 24;
    let seed = std::env::var("SEED").map_or(1, |s| s.parse().unwrap());
    let mut prng = Prng::new(seed);
    let mut c = Code::default();
    let mut written = Vec::new();
    // So that sie and sip show something.
    c.li(5, 0x222);
    c.put(csrw(0x303, 5));
    // Its value at reset is free, and QEMU 7.2 raises STIP by it whatever menvcfg says.
    c.li(5, ALL);
    c.put(csrw(0x14d, 5));
    for round in 0..ROUNDS {
        for held in HOLDS {
            let value = match round {
                0 => 0,
                1 => ALL,
                2..=17 if held.number == 0x180 => (round as u64 - 2) << 60 | prng.next_u64() >> 4,
                _ => prng.next_u64(),
            };
            let value = comparable(held.number, value & !held.kept_clear);
            let read_only = held.number >> 10 == 3;
            let change = if read_only { 2 } else { prng.between(1, 3) as u32 };
            c.li(5, value);
            // The old value to x6, the new one to x7; and back.
            c.put(i(0x73, change, 6, if read_only { 0 } else { 5 }, held.number.into()));
            c.put(csrr(7, held.number));
            c.put(if read_only { NOP } else { csrw(held.number, 6) });
            c.put(ECALL);
            written.push((held, value, change));
        }
    }
    let [ours, theirs] = on_both(&mut prng, Mode::Machine, &c.0);
    assert_eq!(ours.len(), written.len() + 1);
    assert_eq!(theirs.len(), written.len() + 1);
    for (n, (held, value, change)) in written.into_iter().enumerate() {
        let Held { number, mask, .. } = *held;
        let [here, there] = [&ours[n], &theirs[n]].map(|(entry, illegal)| {
            let how = [entry.x[6] & mask, entry.x[7] & mask];
            (how.map(|v| format!("{v:016x}")), *illegal)
        });
        assert_eq!(
            here, there,
            "seed {seed}: {number:#x}, change {change} by {value:016x}: (old, new), illegal"
        );
    }
}
