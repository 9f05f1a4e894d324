use super::*;

const RWX_NAPOT: u64 = 0x1f;

#[test]
fn without_entries_only_machine_mode_passes() {
    let pmp = Pmp::default();
    assert!(pmp.allows(0x8000_0000, 1, Access::Store, true));
    assert!(!pmp.allows(0x8000_0000, 1, Access::Load, false));
}

#[test]
fn all_ones_napot_opens_everything() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, u64::MAX);
    pmp.set_config(0, RWX_NAPOT);
    for at in [0, 0x8000_0000, (1 << 56) - 1] {
        assert!(pmp.allows(at, 1, Access::Fetch, false), "{at:x}");
    }
}

#[test]
fn napot_covers_its_range_and_no_more() {
    let mut pmp = Pmp::default();
    // 64 KiB at 0x8001_0000, read only.
    pmp.set_address(3, (0x8001_0000 >> 2) | 0x1fff);
    pmp.set_config(0, 0x19 << 24);
    for (at, inside) in [(0x8000_ffff, false), (0x8001_0000, true), (0x8001_ffff, true), (0x8002_0000, false)]
    {
        assert_eq!(pmp.allows(at, 1, Access::Load, false), inside, "{at:x}");
        assert!(!pmp.allows(at, 1, Access::Store, false));
    }
}

#[test]
fn tor_starts_where_the_entry_before_ends_and_the_lowest_entry_wins() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, 0x8000_1000 >> 2);
    pmp.set_address(1, 0x8000_3000 >> 2);
    pmp.set_address(2, u64::MAX);
    // Entry 0: TOR, nothing; entry 1: TOR, R; entry 2: NAPOT, RWX.
    pmp.set_config(0, 0x1f_09_08);
    assert!(!pmp.allows(0x8000_0fff, 1, Access::Load, false));
    assert!(pmp.allows(0x8000_1000, 1, Access::Load, false));
    assert!(!pmp.allows(0x8000_2fff, 1, Access::Store, false));
    assert!(pmp.allows(0x8000_3000, 1, Access::Store, false));
    assert!(pmp.allows(0x8000_0000, 1, Access::Store, true));
}

#[test]
fn a_locked_entry_binds_machine_mode_and_cannot_be_changed() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, 0x8000_0000 >> 2);
    pmp.set_address(1, 0x8000_1000 >> 2);
    pmp.set_config(0, 0x89_00);
    assert!(!pmp.allows(0x8000_0000, 1, Access::Store, true));
    assert!(pmp.allows(0x8000_0000, 1, Access::Load, true));
    let before = pmp;
    pmp.set_address(0, 0);
    pmp.set_address(1, 0);
    pmp.set_config(0, 0x00_00);
    assert_eq!(pmp, before);
}

#[test]
fn what_cannot_be_had_is_not_stored() {
    let mut pmp = Pmp::default();
    pmp.set_config(8, 0x7f);
    assert_eq!(pmp.config(8), 0x1f);
    pmp.set_config(8, 0x12); // NA4; W without R
    assert_eq!(pmp.config(8), 0x17);
    pmp.set_address(0, u64::MAX);
    for config in [0x00, 0x08, 0x10, 0x18] {
        pmp.set_config(0, config);
        assert_eq!((pmp.config(0), pmp.address(0)), (config, ADDR_MASK), "every bit is there");
    }
    assert!(pmp.is_legal());
    assert!(!Pmp { cfg: [0x20; PMP_ENTRIES], ..pmp }.is_legal());
    assert!(!Pmp { cfg: [0x02; PMP_ENTRIES], ..pmp }.is_legal());
    assert!(!Pmp { addr: [1 << 54; PMP_ENTRIES], ..pmp }.is_legal());
}

#[test]
fn the_first_revision_knows_pages_only() {
    let mut pmp = Pmp::default();
    pmp.use_page_grain();
    pmp.set_config(8, 0x1f);
    pmp.set_config(8, 0x12); // NA4; W without R
    assert_eq!(pmp.config(8), 0x1f);
    pmp.set_address(0, u64::MAX);
    assert_eq!(pmp.address(0), ADDR_MASK & !PAGE_GRAIN);
    pmp.set_config(0, 0x18);
    assert_eq!(pmp.address(0), ADDR_MASK);
    assert!(pmp.is_legal());
    assert!(!Pmp { cfg: [0x10; PMP_ENTRIES], ..pmp }.is_legal());
    // NAPOT of eight bytes, and TOR in the middle of a page: whole pages.
    pmp.set_address(0, 0x8000_1000 >> 2);
    pmp.set_address(1, 0x8000_3ffc >> 2);
    pmp.set_config(0, 0x09_19);
    for (at, allowed) in
        [(0x8000_0fff, false), (0x8000_1fff, true), (0x8000_2fff, true), (0x8000_3000, false)]
    {
        let verdict = pmp.check(at, 1, Access::Load, false);
        assert_eq!(verdict, Verdict { allowed, whole_page: true }, "{at:x}");
    }
}

/// What each byte of a region may, one at a time.
fn map(pmp: &Pmp, at: u64, bytes: usize) -> String {
    let may = |at| if pmp.allows(at, 1, Access::Load, false) { 'r' } else { '-' };
    (at..at + bytes as u64).map(may).collect()
}

#[test]
fn four_bytes_are_told_apart() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, 0x8000_0008 >> 2);
    pmp.set_config(0, 0x11); // NA4
    assert_eq!(map(&pmp, 0x8000_0004, 12), "----rrrr----");
    pmp.set_config(0, 0x19); // NAPOT of eight bytes
    assert_eq!(map(&pmp, 0x8000_0004, 16), "----rrrrrrrr----");
    pmp.set_address(0, 0x8000_0010 >> 2 | 1); // of 16 bytes
    assert_eq!(map(&pmp, 0x8000_000c, 24), "----rrrrrrrrrrrrrrrr----");
    pmp.set_address(0, 0x8000_0ffc >> 2);
    pmp.set_address(1, 0x8000_1004 >> 2);
    pmp.set_config(0, 0x0900); // TOR, across a page
    assert_eq!(map(&pmp, 0x8000_0ff8, 16), "----rrrrrrrr----");
    pmp.set_address(0, 0x8000_1004 >> 2);
    assert_eq!(map(&pmp, 0x8000_0ff8, 16), "-".repeat(16), "an empty range");
}

#[test]
fn an_entry_must_hold_all_of_an_access_that_it_touches() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, 0x8000_0008 >> 2);
    pmp.set_address(1, u64::MAX);
    pmp.set_config(0, 0x1f_17);
    let allowed = |at, bytes, machine| pmp.allows(at, bytes, Access::Load, machine);
    for machine in [false, true] {
        assert!(allowed(0x8000_0008, 4, machine));
        assert!(allowed(0x8000_000a, 2, machine));
        assert!(allowed(0x8000_0000, 8, machine));
        assert!(allowed(0x8000_000c, 4, machine));
        assert!(!allowed(0x8000_0008, 8, machine), "unlocked and all may, but not across the end");
        assert!(!allowed(0x8000_0006, 4, machine));
        assert!(!allowed(0x8000_0000, 64, machine));
    }
}

#[test]
fn a_page_is_whole_unless_an_entry_that_counts_ends_in_it() {
    let mut pmp = Pmp::default();
    let whole = |pmp: &Pmp, at| pmp.check(at, 4, Access::Load, true).whole_page;
    assert!(whole(&pmp, 0x8000_0000));
    pmp.set_address(4, 0x8000_2008 >> 2);
    pmp.set_config(0, 0x17 << 32);
    assert!(whole(&pmp, 0x8000_1000) && whole(&pmp, 0x8000_3000));
    assert!(!whole(&pmp, 0x8000_2000) && !whole(&pmp, 0x8000_2008) && !whole(&pmp, 0x8000_2ffc));
    // An entry before it that has the whole page decides alone.
    pmp.set_address(3, u64::MAX);
    pmp.set_config(0, 0x17_1f << 24);
    assert!(whole(&pmp, 0x8000_2000));
    // One behind it does not.
    pmp.set_config(0, 0x17 << 32 | 0x1f << 40);
    pmp.set_address(5, u64::MAX);
    assert!(!whole(&pmp, 0x8000_2000) && whole(&pmp, 0x8000_1000));
}
