use super::*;

const RWX_NAPOT: u64 = 0x1f;

#[test]
fn without_entries_only_machine_mode_passes() {
    let pmp = Pmp::default();
    assert!(pmp.allows(0x8000_0000, Access::Store, true));
    assert!(!pmp.allows(0x8000_0000, Access::Load, false));
}

#[test]
fn all_ones_napot_opens_everything() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, u64::MAX);
    pmp.set_config(0, RWX_NAPOT);
    for at in [0, 0x8000_0000, (1 << 56) - 1] {
        assert!(pmp.allows(at, Access::Fetch, false), "{at:x}");
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
        assert_eq!(pmp.allows(at, Access::Load, false), inside, "{at:x}");
        assert!(!pmp.allows(at, Access::Store, false));
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
    assert!(!pmp.allows(0x8000_0fff, Access::Load, false));
    assert!(pmp.allows(0x8000_1000, Access::Load, false));
    assert!(!pmp.allows(0x8000_2fff, Access::Store, false));
    assert!(pmp.allows(0x8000_3000, Access::Store, false));
    assert!(pmp.allows(0x8000_0000, Access::Store, true));
}

#[test]
fn a_locked_entry_binds_machine_mode_and_cannot_be_changed() {
    let mut pmp = Pmp::default();
    pmp.set_address(0, 0x8000_0000 >> 2);
    pmp.set_address(1, 0x8000_1000 >> 2);
    pmp.set_config(0, 0x89_00);
    assert!(!pmp.allows(0x8000_0000, Access::Store, true));
    assert!(pmp.allows(0x8000_0000, Access::Load, true));
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
    pmp.set_config(8, 0x12); // NA4, W without R
    assert_eq!(pmp.config(8), 0x1f);
    pmp.set_address(0, u64::MAX);
    assert_eq!(pmp.address(0), ADDR_MASK & !GRAIN);
    pmp.set_config(0, 0x18);
    assert_eq!(pmp.address(0), ADDR_MASK);
    assert!(pmp.is_legal());
    assert!(!Pmp { cfg: [0x10; PMP_ENTRIES], ..pmp }.is_legal());
}
