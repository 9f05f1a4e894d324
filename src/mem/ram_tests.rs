use super::*;
use crate::base::Prng;

fn at(offset: u64) -> GuestPhys {
    RAM_BASE.plus(offset)
}

#[test]
fn a_write_is_all_or_nothing() {
    let mut ram = Ram::new(2 * PAGE_BYTES as u64);
    assert!(ram.write(at(2 * 4096 - 2), &[1, 2, 3]).is_err());
    assert!(ram.write(GuestPhys(RAM_BASE.get() - 1), &[1, 2]).is_err());
    assert!(ram.write(GuestPhys(u64::MAX), &[1, 2]).is_err());
    assert!(ram.read(GuestPhys(0), &mut [0]).is_err());
    assert_eq!(ram.digest(), Digest(0));
    ram.write(at(4095), &[1, 2]).unwrap();
    assert_eq!(ram.read_u16(at(4095)), Ok(0x0201));
}

#[test]
fn the_digest_is_of_the_bytes_and_not_of_their_history() {
    let seed = 0x4a3;
    let mut prng = Prng::new(seed);
    let mut ram = Ram::new(16 * PAGE_BYTES as u64);
    for round in 0..50 {
        for _ in 0..prng.below(20) {
            let mut bytes = vec![0; prng.below(6000) as usize];
            prng.fill(&mut bytes);
            ram.write(at(prng.below(10 * 4096)), &bytes).unwrap();
        }
        if prng.chance(1, 3) {
            let page = prng.below(16) as u32;
            ram.load_page(page, &[0; PAGE_BYTES]).unwrap();
        }
        let mut fresh = Ram::new(16 * PAGE_BYTES as u64);
        for page in ram.pages_nonzero() {
            fresh.load_page(page, ram.page(page)).unwrap();
        }
        assert_eq!(ram.bytes(), fresh.bytes(), "seed {seed} round {round}");
        assert_eq!(ram.digest(), fresh.digest(), "seed {seed} round {round}");
        assert!(ram.pages_nonzero().eq(fresh.pages_nonzero()), "seed {seed} round {round}");
    }
    ram.clear();
    assert_eq!(ram.digest(), Digest(0));
    assert_eq!(ram.pages_nonzero().count(), 0);
}

#[test]
fn equal_pages_at_different_places_count_differently() {
    let (mut a, mut b) = (Ram::new(2 * 4096), Ram::new(2 * 4096));
    a.write(at(0), &[7]).unwrap();
    b.write(at(4096), &[7]).unwrap();
    assert_ne!(a.digest(), b.digest());
}

#[test]
fn a_write_from_outside_names_the_cached_pages_once() {
    let mut ram = Ram::new(8 * PAGE_BYTES as u64);
    ram.set_flags(1, PageFlags::CODE);
    ram.set_flags(2, PageFlags::TABLE.union(PageFlags::WATCHED));
    ram.write(at(0), &[1; 4096]).unwrap();
    assert!(!ram.is_touched());
    ram.write(at(8191), &[1; 2]).unwrap();
    ram.write(at(8191), &[1; 2]).unwrap();
    assert_eq!(ram.take_touched(), [1, 2]);
    assert!(!ram.is_touched());
    let own = PageFlags::DIRTY.union(PageFlags::CHANGED);
    assert_eq!(ram.flags(2).without(own), PageFlags::WATCHED);
}

#[test]
fn a_page_written_in_place_counts_when_it_was_marked() {
    let mut ram = Ram::new(4096);
    let before = ram.epoch();
    ram.digest();
    assert_ne!(ram.epoch(), before);
    ram.mark_dirty(0);
    ram.bytes_mut()[5] = 1;
    let with = ram.digest();
    assert_ne!(with, Digest(0));
    ram.mark_dirty(0);
    ram.bytes_mut()[5] = 0;
    assert_eq!(ram.digest(), Digest(0));
}
