use std::ops::Range;

use super::*;
use crate::base::{GuestPhys, Prng};
use crate::mem::RAM_BASE;

const PAGES: u64 = 48;
const PAGE: u64 = PAGE_BYTES as u64;
const PLENTY: u64 = u64::MAX;

fn at(offset: u64) -> GuestPhys {
    RAM_BASE.plus(offset)
}

/// RAM with the same bytes and no past.
fn fresh(bytes: &[u8]) -> Ram {
    let mut ram = Ram::new(bytes.len() as u64);
    ram.write(RAM_BASE, bytes).unwrap();
    ram
}

/// RAM of which some pages are digested, some dirty, some zeros of either kind.
fn lived(prng: &mut Prng) -> Ram {
    let mut ram = Ram::new(PAGES * PAGE);
    for round in 0..3 {
        for _ in 0..prng.below(30) {
            scribble(&mut ram, prng);
        }
        if round < 2 {
            ram.digest();
        }
    }
    ram
}

/// One write of any kind.
fn scribble(ram: &mut Ram, prng: &mut Prng) {
    let page = prng.below(PAGES) as u32;
    match prng.below(8) {
        0 => ram.load_page(page, &[0; PAGE_BYTES]).unwrap(),
        1 => ram.load_page(page, &[prng.next_u64() as u8; PAGE_BYTES]).unwrap(),
        2 => {
            // As the hart does.
            ram.mark_dirty(page);
            ram.bytes_mut()[page as usize * PAGE_BYTES + 7] = prng.next_u64() as u8;
        }
        3 if prng.chance(1, 20) => ram.clear(),
        _ => {
            let mut bytes = vec![0; prng.below(6000) as usize];
            prng.fill(&mut bytes);
            let offset = prng.below((PAGES - 2) * PAGE);
            ram.write(at(offset), &bytes).unwrap();
        }
    }
}

/// A copy under way, and what it has to be.
struct Watched {
    bytes: Vec<u8>,
    extent: Extent,
    outline: Option<Outline>,
    drawn: Vec<(u32, Vec<u8>)>,
}

impl Watched {
    fn begin(ram: &mut Ram, extent: Extent) -> Self {
        ram.begin_copy(PLENTY, extent).unwrap();
        Self { bytes: ram.bytes().to_vec(), extent, outline: None, drawn: Vec::new() }
    }

    /// Goes on with it; true at its end.
    fn go_on(&mut self, ram: &mut Ram, pages_max: usize) -> bool {
        if self.outline.is_none() {
            self.outline = ram.settle_copy(pages_max);
            return false;
        }
        let drawn = ram.draw_copy(pages_max);
        let pages = drawn.iter().flat_map(Pages::iter);
        self.drawn.extend(pages.map(|(page, bytes)| (page, bytes.to_vec())));
        assert!(drawn.as_ref().is_none_or(|pages| pages.numbers.len() <= pages_max));
        drawn.is_none()
    }

    /// It is what it has to be, after a copy of `based` if it is an increment.
    fn check(&self, ram: &Ram, based: Option<&[u8]>, what: &str) {
        let mut then = fresh(&self.bytes);
        let pages: Vec<_> = match self.extent {
            Extent::Apart | Extent::Base => {
                then.pages_nonzero().map(|page| (page, then.page(page).to_vec())).collect()
            }
            Extent::Increment => {
                let mut put = based.expect("an increment has something to build on").to_vec();
                for (page, bytes) in &self.drawn {
                    put[*page as usize * PAGE_BYTES..][..PAGE_BYTES].copy_from_slice(bytes);
                }
                assert!(put == self.bytes, "{what}");
                self.drawn.clone()
            }
        };
        let outline = Outline { digest: then.digest(), pages: pages.len() as u32 };
        assert_eq!(self.outline, Some(outline), "{what}");
        assert!(self.drawn == pages && pages.is_sorted_by_key(|(page, _)| page), "{what}");
        assert_eq!((ram.is_copying(), ram.copy_aside_bytes()), (false, 0), "{what}");
    }
}

#[test]
fn whatever_is_written_a_copy_is_of_the_moment_at_which_it_began() {
    let (ended, increments) = copies(0..200);
    assert!(ended > 1000 && increments > 300, "{ended}, {increments}");
}

pub fn copies_are_of_their_moments() -> Result<(), String> {
    match copies(0..50) {
        (0, _) => Err("none came to its end".into()),
        _ => Ok(()),
    }
}

/// How many copies came to their end with these seeds, and how many of them are increments.
fn copies(seeds: Range<u64>) -> (u32, u32) {
    let (mut ended, mut increments) = (0, 0);
    for seed in seeds {
        let mut prng = Prng::new(seed);
        let mut ram = lived(&mut prng);
        let mut copy: Option<Watched> = None;
        // What an increment builds on.
        let mut based: Option<Vec<u8>> = None;
        // As a joiner follows the writes, all the while.
        let mut followed: Option<Vec<u8>> = None;
        for round in 0..400 {
            let what = format!("seed {seed} round {round}");
            match prng.below(20) {
                0..8 => scribble(&mut ram, &mut prng),
                8 => drop(ram.digest()),
                9 if followed.is_none() => {
                    ram.note_writes();
                    followed = Some(ram.bytes().to_vec());
                }
                9 | 10 => {
                    if let Some(bytes) = &mut followed {
                        for page in ram.take_written() {
                            let start = page as usize * PAGE_BYTES;
                            bytes[start..start + PAGE_BYTES].copy_from_slice(ram.page(page));
                        }
                        assert!(bytes == ram.bytes(), "{what}");
                    }
                    if prng.chance(1, 10) {
                        ram.forget_writes();
                        followed = None;
                    }
                }
                11 if prng.chance(1, 10) => ram.replace(lived(&mut prng)),
                12 if prng.chance(1, 10) => {
                    ram.end_copy();
                    copy = None;
                }
                _ => match &mut copy {
                    None => {
                        let extent = match prng.below(4) {
                            0 => Extent::Apart,
                            1 => Extent::Base,
                            _ if based.is_none() => Extent::Base,
                            _ => Extent::Increment,
                        };
                        copy = Some(Watched::begin(&mut ram, extent));
                    }
                    Some(under_way) => {
                        assert_eq!(ram.begin_copy(PLENTY, Extent::Base), Err(CopyUnderWay), "{what}");
                        if under_way.go_on(&mut ram, prng.between(1, 9) as usize) {
                            under_way.check(&ram, based.as_deref(), &what);
                            if under_way.extent != Extent::Apart {
                                based = Some(under_way.bytes.clone());
                            }
                            increments += u32::from(under_way.extent == Extent::Increment);
                            copy = None;
                            ended += 1;
                        }
                    }
                },
            }
        }
        let expected = fresh(ram.bytes()).digest();
        assert_eq!(ram.digest(), expected, "seed {seed}");
    }
    (ended, increments)
}

#[test]
fn a_copy_costs_what_is_written_and_no_page_of_zeros() {
    let mut ram = Ram::new(PAGES * PAGE);
    for page in 0..20 {
        ram.load_page(page, &[1; PAGE_BYTES]).unwrap();
    }
    ram.load_page(3, &[0; PAGE_BYTES]).unwrap();
    ram.digest();
    ram.load_page(4, &[0; PAGE_BYTES]).unwrap();
    ram.begin_copy(4 * PAGE, Extent::Base).unwrap();
    assert_eq!(ram.settle_copy(100).map(|outline| outline.pages), Some(18));
    for page in [3, 4, 30] {
        ram.load_page(page, &[2; PAGE_BYTES]).unwrap();
    }
    assert_eq!((ram.copy_aside_bytes(), ram.copy_is_short()), (0, false), "they were zeros");
    for page in [0, 1, 0, 9] {
        ram.write(at(page * PAGE), &[2]).unwrap();
    }
    assert_eq!((ram.copy_aside_bytes(), ram.copy_is_short()), (3 * PAGE, false), "each page once");
    ram.write(at(10 * PAGE), &[2; 2 * PAGE_BYTES]).unwrap();
    assert_eq!((ram.copy_aside_bytes(), ram.copy_is_short()), (5 * PAGE, true), "nothing is dropped");
    assert_eq!(ram.draw_copy(2).unwrap().numbers, [0, 1]);
    assert_eq!((ram.copy_aside_bytes(), ram.copy_is_short()), (3 * PAGE, false));
    ram.write(RAM_BASE, &[3]).unwrap();
    assert_eq!(ram.copy_aside_bytes(), 3 * PAGE, "what was drawn is not kept");
    ram.end_copy();
    assert_eq!((ram.copy_aside_bytes(), ram.is_copying()), (0, false));
    ram.write(at(12 * PAGE), &[3]).unwrap();
    assert_eq!(ram.copy_aside_bytes(), 0);
}

#[test]
fn ram_that_was_replaced_is_kept_until_its_copy_ends_and_counts() {
    let mut ram = fresh(&[7; 10 * PAGE_BYTES]);
    ram.digest();
    let mut copy = Watched::begin(&mut ram, Extent::Base);
    copy.go_on(&mut ram, 1);
    copy.go_on(&mut ram, 2);
    ram.write(at(5 * PAGE), &[9]).unwrap();
    for _ in 0..2 {
        ram.replace(Ram::new(10 * PAGE));
        assert_eq!(ram.copy_aside_bytes(), 8 * PAGE);
        ram.write(at(6 * PAGE), &[9]).unwrap();
    }
    while !copy.go_on(&mut ram, 3) {}
    copy.check(&ram, None, "replaced twice");
    ram.begin_copy(1, Extent::Base).unwrap();
    ram.replace(Ram::new(10 * PAGE));
    assert!(ram.copy_is_short());
    ram.end_copy();
    assert_eq!((ram.is_copying(), ram.copy_is_short()), (false, false));
}

#[test]
fn an_increment_has_the_pages_of_zeros_that_were_none_and_costs_only_what_was_written() {
    let mut ram = fresh(&[7; 30 * PAGE_BYTES]);
    let mut copy = Watched::begin(&mut ram, Extent::Base);
    while !copy.go_on(&mut ram, 9) {}
    let numbers = |copy: &Watched| copy.drawn.iter().map(|(page, _)| *page).collect::<Vec<_>>();
    for (page, byte) in [(3, 0), (4, 1), (5, 0)] {
        ram.load_page(page, &[byte; PAGE_BYTES]).unwrap();
    }
    let mut copy = Watched::begin(&mut ram, Extent::Increment);
    // Of these only the first two are of the copy, and the second was zeros there.
    for page in [4, 5, 9] {
        ram.load_page(page, &[2; PAGE_BYTES]).unwrap();
    }
    assert_eq!(ram.copy_aside_bytes(), PAGE);
    while !copy.go_on(&mut ram, 2) {}
    assert_eq!((numbers(&copy), copy.outline.unwrap().pages), (vec![3, 4, 5], 3));
    // One that is given up counts for nothing, also after RAM was replaced.
    for is_replaced in [false, true] {
        let mut copy = Watched::begin(&mut ram, Extent::Increment);
        while copy.drawn.is_empty() {
            copy.go_on(&mut ram, 1);
        }
        if is_replaced {
            ram.replace(fresh(&[7; 30 * PAGE_BYTES]));
        }
        ram.end_copy();
        let mut copy = Watched::begin(&mut ram, Extent::Increment);
        while !copy.go_on(&mut ram, 2) {}
        let expected = if is_replaced { (0..30).collect() } else { vec![4, 5, 9] };
        assert_eq!(numbers(&copy), expected);
        ram.load_page(9, &[3; PAGE_BYTES]).unwrap();
    }
}

#[test]
fn pages_of_zeros_are_passed_a_bounded_number_at_a_time() {
    let pages = PASSED_MAX * 2 + 5;
    let mut ram = Ram::new(u64::from(pages) * PAGE);
    ram.load_page(pages - 1, &[1; PAGE_BYTES]).unwrap();
    ram.begin_copy(PLENTY, Extent::Base).unwrap();
    assert!(ram.settle_copy(1).is_some());
    let drawn: Vec<Pages> = std::iter::from_fn(|| ram.draw_copy(60)).collect();
    let numbers: Vec<&[u32]> = drawn.iter().map(|pages| &*pages.numbers).collect();
    assert_eq!(numbers, [&[][..], &[], &[pages - 1]]);
}

#[test]
fn pages_that_were_written_before_are_settled_a_bounded_number_at_a_time() {
    let mut ram = Ram::new(PAGES * PAGE);
    for page in 0..40 {
        ram.load_page(page, &[1; PAGE_BYTES]).unwrap();
    }
    ram.begin_copy(PLENTY, Extent::Base).unwrap();
    let calls = (1..).find(|_| ram.settle_copy(10).is_some());
    assert_eq!(calls, Some(4));
    // For RAM, too: nothing is left that its digest would have to look at.
    assert!(ram.dirty.is_empty());
    assert_eq!(ram.settle_copy(10).map(|outline| outline.digest), Some(ram.digest()));
}
