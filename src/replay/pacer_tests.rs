use super::*;
use crate::base::Prng;
use crate::devices::timebase::Timebase;

/// Ticks in 65,536 instructions at so many million instructions a second.
fn rate_of(minstr_per_s: u64) -> u16 {
    (RATE_INSTRUCTIONS * 10 / minstr_per_s) as u16
}

fn look(guest: u64, host: u64, rate: u16) -> Look {
    Look { guest, rate, host, deadline: None, reads: true }
}

#[test]
fn clocks_that_are_close_need_no_entry() {
    let pacer = Pacer::new(0);
    let good = pacer.rate();
    for host in [100_000 - AHEAD_TICKS_MAX, 100_000, 100_000 + BEHIND_TICKS_MAX] {
        assert_eq!(pacer.correction(look(100_000, host, good)), None, "{host}");
    }
}

#[test]
fn a_guest_behind_is_set_on_where_it_reads_and_nowhere_else() {
    let pacer = Pacer::new(0);
    let good = pacer.rate();
    let behind = look(100_000, 100_001 + BEHIND_TICKS_MAX, good);
    let time = behind.host;
    assert_eq!(pacer.correction(behind), Some(Correction::Read { time }));
    assert_eq!(pacer.correction(Look { reads: false, ..behind }), None);
    let off = Look { rate: good / 2, ..behind };
    assert_eq!(pacer.correction(off), Some(Correction::Clock { time, rate: good }));
}

#[test]
fn a_guest_ahead_is_slowed_once_and_then_stands_until_the_host_has_caught_up() {
    let pacer = Pacer::new(0);
    let good = pacer.rate();
    let ahead = Look { reads: false, ..look(100_001 + AHEAD_TICKS_MAX, 100_000, good) };
    let (time, half) = (ahead.guest, good / 2);
    assert_eq!(pacer.correction(ahead), Some(Correction::Clock { time, rate: half }));
    assert_eq!(pacer.correction(Look { rate: half, ..ahead }), None);
    let far = Look { guest: 100_001 + STOP_TICKS, rate: half, ..ahead };
    assert_eq!(pacer.correction(far), Some(Correction::Clock { time: far.guest, rate: 0 }));
    let stands = Look { rate: 0, reads: true, ..far };
    assert_eq!(pacer.correction(stands), None);
    assert_eq!(
        pacer.correction(Look { host: far.guest, ..stands }),
        Some(Correction::Clock { time: far.guest, rate: good })
    );
}

#[test]
fn a_timer_is_due_by_the_later_clock() {
    let pacer = Pacer::new(0);
    let at = |guest, host| {
        pacer.correction(Look { deadline: Some(1000), reads: false, ..look(guest, host, pacer.rate()) })
    };
    assert_eq!(at(999, 999), None);
    assert_eq!(at(10, 1000), Some(Correction::TimerDue { time: 1000 }));
    assert_eq!(at(1001, 10), Some(Correction::TimerDue { time: 1001 }));
}

#[test]
fn a_new_clock_begins_to_run_at_the_first_read() {
    let pacer = Pacer::new(0);
    assert_eq!(pacer.correction(look(0, 0, 0)), Some(Correction::Clock { time: 0, rate: pacer.rate() }));
    assert_eq!(pacer.correction(Look { reads: false, ..look(0, 1 << 40, 0) }), None);
}

#[test]
fn the_pace_is_found_from_anywhere_and_an_interruption_does_not_unsettle_it() {
    for minstr_per_s in [21, 100, 1000] {
        let mut pacer = Pacer::new(0);
        let (mut at, mut host) = (Icount::ZERO, 0);
        for _ in 0..100 {
            pacer.begins(at, host);
            at = at.plus(81_920);
            host += 819_200 / minstr_per_s;
        }
        let expected = rate_of(minstr_per_s) - rate_of(minstr_per_s) / 16;
        assert!(pacer.rate().abs_diff(expected) <= 1 + expected / 100, "{} {expected}", pacer.rate());
        // A second in which another process runs.
        host += 10_000_000;
        pacer.begins(at, host);
        assert!(u64::from(pacer.rate()) <= u64::from(expected) * 5 / 4, "{} {expected}", pacer.rate());
        // A rest.
        pacer.rests();
        let before = pacer.rate();
        pacer.begins(at.plus(1 << 20), host + 1);
        assert_eq!(pacer.rate(), before);
    }
}

/// Runs guests of all speeds, which change it at will and are interrupted, through slices of 8192.
#[test]
fn reads_are_within_a_millisecond_of_the_host_and_few_entries_are_needed() {
    const MS: u64 = 10_000;
    for seed in 0..40 {
        let mut prng = Prng::new(seed);
        let (mut pacer, mut base) = (Pacer::new(0), Timebase::default());
        // Nanoseconds, so that short stretches take their time.
        let (mut at, mut host_ns, mut last) = (Icount::ZERO, 0_u64, 0);
        let mut ns_per_1000 = prng.between(400, 40_000);
        let (mut entries, mut busy_ns) = (0_u64, 0);
        for _ in 0..3_000 {
            if prng.chance(1, 400) {
                ns_per_1000 = prng.between(400, 40_000);
            }
            // Another process has the processor, or the guest waits.
            if prng.chance(1, 100) {
                host_ns += prng.below(20_000_000);
                if prng.chance(1, 2) {
                    pacer.rests();
                }
            }
            let end = at.plus(8192);
            // None at the slice's start, then where the last read looked.
            let (mut begun, mut looked) = (false, None);
            while at < end {
                let host = host_ns / 100;
                let reads = begun && prng.chance(1, 2);
                let due = looked.is_none_or(|looked: Icount| at.since(looked) >= LOOK_INSTRUCTIONS);
                if !begun || reads && due {
                    if !begun {
                        pacer.begins(at, host);
                    }
                    let look =
                        Look { guest: base.time_at(at), rate: base.rate(), host, deadline: None, reads };
                    match pacer.correction(look) {
                        None => {}
                        Some(Correction::Clock { time, rate }) => {
                            assert!(u64::from(rate) <= RATE_MAX);
                            base.anchor(at, time, Some(rate));
                            entries += 1;
                        }
                        Some(Correction::Read { time }) => {
                            base.anchor(at, time, None);
                            entries += 1;
                        }
                        Some(Correction::TimerDue { .. }) => panic!("no timer is armed"),
                    }
                    looked = reads.then_some(at);
                    if !std::mem::replace(&mut begun, true) {
                        continue;
                    }
                }
                let time = base.time_at(at);
                assert!(time >= last, "seed {seed}: back from {last} to {time}");
                last = time;
                if reads {
                    assert!(time < host + MS, "seed {seed}: {} ahead at {at}", time - host);
                    assert!(host < time + MS, "seed {seed}: {} behind at {at}", host - time);
                }
                let step = prng.between(1, 600).min(end.since(at));
                at = at.plus(step);
                host_ns += step * ns_per_1000 / 1000;
                busy_ns += step * ns_per_1000 / 1000;
            }
        }
        // Interruptions and changes of speed included.
        assert!(entries * 1_000_000 <= busy_ns * 2, "seed {seed}: {entries} entries in {busy_ns} ns");
    }
}

#[test]
fn an_eighth_of_each_sample_goes_into_the_pace_within_a_factor_of_two() {
    let first = RATE_FIRST * FRACTION;
    let after = |instructions: u64, ticks: u64| {
        let mut pacer = Pacer::new(0);
        assert_eq!(pacer.pace, first);
        pacer.begins(Icount(100), 1000);
        pacer.begins(Icount(100 + instructions), 1000 + ticks);
        pacer.pace
    };
    // 250 ticks in 4096 instructions: 4000 in 65,536.
    assert_eq!(after(4096, 250), (7 * first + 4000 * FRACTION) / 8);
    assert_eq!(after(4096, 0), (7 * first + first / 2) / 8);
    assert_eq!(after(4096, 1 << 40), (7 * first + 2 * first) / 8);
    // Too few instructions are no sample.
    assert_eq!((after(1, 250), after(SAMPLE_INSTRUCTIONS_MIN - 1, 250)), (first, first));
    assert_eq!(after(SAMPLE_INSTRUCTIONS_MIN, 125), (7 * first + 4000 * FRACTION) / 8);
}

#[test]
fn each_bound_is_met_exactly() {
    let pacer = Pacer::new(0);
    let good = pacer.rate();
    let ahead = |ticks, rate| pacer.correction(Look { reads: false, ..look(100_000 + ticks, 100_000, rate) });
    assert_eq!(ahead(AHEAD_TICKS_MAX, good), None);
    assert_eq!(ahead(AHEAD_TICKS_MAX + 1, good - good / 4), None, "slow enough already");
    let slower = Correction::Clock { time: 100_001 + AHEAD_TICKS_MAX, rate: good / 2 };
    assert_eq!(ahead(AHEAD_TICKS_MAX + 1, good - good / 4 + 1), Some(slower));
    assert_eq!(ahead(STOP_TICKS, good / 2), None);
    let stop = Correction::Clock { time: 100_001 + STOP_TICKS, rate: 0 };
    assert_eq!(ahead(STOP_TICKS + 1, 1), Some(stop));
    // A rate that is off by an eighth is good.
    let behind = |rate| pacer.correction(look(100_000, 100_001 + BEHIND_TICKS_MAX, rate));
    let time = 100_001 + BEHIND_TICKS_MAX;
    assert_eq!(behind(good - good / 8), Some(Correction::Read { time }));
    assert_eq!(behind(good - good / 8 - 1), Some(Correction::Clock { time, rate: good }));
}
