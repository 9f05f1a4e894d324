//! The interrupt controller: priorities, gateways, claims.

use super::*;

const CLAIM_M: u64 = 0x20_0004;
const CLAIM_S: u64 = 0x20_1004;

fn plic_with(sources: &[(u32, u32)], context: u64) -> Plic {
    let mut plic = Plic::default();
    let mut enable = 0;
    for &(source, priority) in sources {
        plic.write(4 * u64::from(source), 4, priority).unwrap();
        enable |= 1 << source;
    }
    plic.write(ENABLE + ENABLE_STRIDE * context, 4, enable).unwrap();
    plic
}

#[test]
fn a_level_goes_to_the_context_that_enables_it() {
    let mut plic = plic_with(&[(10, 1)], 1);
    plic.set_levels(1 << 10);
    assert_eq!(plic.lines(), MIP_SEIP);
    assert_eq!(plic.read(PENDING, 4), Ok(1 << 10));
    assert_eq!(plic.read(CLAIM_M, 4), Ok(0), "the other context has nothing to claim");
    assert_eq!(plic.read(CLAIM_S, 4), Ok(10));
    assert_eq!(plic.lines(), 0);
    assert_eq!(plic.read(CLAIM_S, 4), Ok(0));
}

#[test]
fn a_level_still_high_at_completion_is_pending_again() {
    let mut plic = plic_with(&[(3, 1)], 0);
    plic.set_levels(1 << 3);
    assert_eq!(plic.read(CLAIM_M, 4), Ok(3));
    plic.set_levels(1 << 3);
    assert_eq!(plic.lines(), 0, "the gateway waits for the completion");
    plic.write(CLAIM_M, 4, 3).unwrap();
    assert_eq!(plic.lines(), MIP_MEIP);
    assert_eq!(plic.read(CLAIM_M, 4), Ok(3));
    plic.set_levels(0);
    plic.write(CLAIM_M, 4, 3).unwrap();
    assert_eq!(plic.lines(), 0);
}

#[test]
fn a_request_stays_when_its_level_falls_before_the_claim() {
    let mut plic = plic_with(&[(3, 1)], 0);
    plic.set_levels(1 << 3);
    plic.set_levels(0);
    assert_eq!(plic.lines(), MIP_MEIP);
    assert_eq!(plic.read(CLAIM_M, 4), Ok(3));
    plic.write(CLAIM_M, 4, 3).unwrap();
    assert_eq!(plic.lines(), 0);
}

#[test]
fn the_highest_priority_is_claimed_first_and_the_lowest_number_among_equals() {
    let mut plic = plic_with(&[(1, 2), (2, 5), (8, 5), (9, 0)], 0);
    plic.set_levels(1 << 1 | 1 << 2 | 1 << 8 | 1 << 9);
    let claims: Vec<_> = (0..4).map(|_| plic.read(CLAIM_M, 4).unwrap()).collect();
    assert_eq!(claims, [2, 8, 1, 0], "priority 0 never interrupts");
}

#[test]
fn the_threshold_masks_the_line_but_not_the_claim() {
    let mut plic = plic_with(&[(4, 3)], 0);
    plic.set_levels(1 << 4);
    plic.write(CONTEXT, 4, 3).unwrap();
    assert_eq!(plic.lines(), 0);
    plic.write(CONTEXT, 4, 2).unwrap();
    assert_eq!(plic.lines(), MIP_MEIP);
    plic.write(CONTEXT, 4, 7).unwrap();
    assert_eq!(plic.read(CLAIM_M, 4), Ok(4));
}

#[test]
fn completing_what_is_not_enabled_or_does_not_exist_is_ignored() {
    let mut plic = plic_with(&[(4, 1)], 0);
    plic.set_levels(1 << 4);
    plic.read(CLAIM_M, 4).unwrap();
    let before = plic.clone();
    for (register, source) in [(CLAIM_S, 4), (CLAIM_M, 0), (CLAIM_M, 32), (CLAIM_M, u32::MAX)] {
        plic.write(register, 4, source).unwrap();
    }
    assert_eq!(plic, before);
}

#[test]
fn registers_keep_what_they_can_hold() {
    let mut plic = Plic::default();
    for offset in [0, 0x7c, 0x80, PENDING, 0x1004, ENABLE, 0x2004, 0x2080, 0x2100, CONTEXT, 0x20_2000] {
        plic.write(offset, 4, u32::MAX).unwrap();
    }
    assert_eq!(plic.read(0, 4), Ok(0), "source 0 does not exist");
    assert_eq!(plic.read(0x7c, 4), Ok(7));
    assert_eq!(plic.read(0x80, 4), Ok(0));
    assert_eq!(plic.read(PENDING, 4), Ok(0));
    assert_eq!(plic.read(ENABLE, 4), Ok(!1));
    assert_eq!(plic.read(0x2080, 4), Ok(!1));
    assert_eq!(plic.read(CONTEXT, 4), Ok(7));
    assert_eq!(plic.read(0x20_2000, 4), Ok(0));
    assert_eq!(plic.read(PENDING, 8), Err(BusFault));
    assert_eq!(plic.write(PENDING, 1, 0), Err(BusFault));
    assert_eq!(plic.check(), Ok(()));
}

#[test]
fn a_state_from_outside_is_looked_at() {
    let good = Plic::default();
    let mut bad = good.clone();
    bad.priority[5] = 8;
    assert_eq!(bad.check().unwrap_err().field, "priority");
    assert_eq!(Plic { threshold: [0, 9], ..good.clone() }.check().unwrap_err().found, 9);
    assert_eq!(Plic { level: 1, ..good.clone() }.check().unwrap_err().field, "source 0");
    assert_eq!(
        Plic { pending: 6, claimed: 4, ..good.clone() }.check().unwrap_err().field,
        "pending and claimed"
    );
    // Every fixed-size part decodes to its own size or not at all.
    let bytes = postcard::to_allocvec(&good).unwrap();
    assert_eq!(postcard::from_bytes::<Plic>(&bytes).unwrap(), good);
}
