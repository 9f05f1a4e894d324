//! Which virtual page hangs on which entry of a page table, as far as the translation cache holds any.
//!
//! A table of the last level that all walks have reached for one region of 2 MiB maps one page by each entry: a
//! store to the entry drops that page. Whatever else a table maps, a store drops everything. Nothing is kept here
//! beyond a flush: what no walk has passed since then, nothing hangs on.
//!
//! Absent on purpose: which tables there are; the flag `TABLE` in RAM says that.

use crate::mem::PAGE_BYTES;
use crate::mem::sv39::Mapping;

/// What a table of the last level maps.
const REGION: u64 = 512 * PAGE_BYTES as u64;

/// Pages of RAM that tables lie in, by their number.
pub(super) struct Tables {
    walked: Vec<Walked>,
    /// Walks are of one age until everything is forgotten.
    age: u32,
}

/// How walks of one age have passed a table.
#[derive(Clone, Copy)]
struct Walked {
    age: u32,
    /// They have ended in it, for this region.
    region: Option<u64>,
}

/// What hangs on an entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maps {
    Nothing,
    /// The virtual page at this address.
    Page(u64),
    /// Any number of pages.
    More,
}

impl Tables {
    pub fn new() -> Self {
        Self { walked: Vec::new(), age: 1 }
    }

    /// A walk for `va` has found `mapping`, which is going to be cached.
    pub fn note_walk(&mut self, mapping: &Mapping, va: u64) {
        let tables = &mapping.tables[..mapping.levels];
        for (level, &table) in tables.iter().enumerate() {
            let last = level + 1 == mapping.tables.len();
            let region = last.then_some(va & !(REGION - 1));
            let table = table as usize;
            if self.walked.len() <= table {
                self.walked.resize(table + 1, Walked { age: 0, region: None });
            }
            let walked = &mut self.walked[table];
            if walked.age != self.age {
                *walked = Walked { age: self.age, region };
            } else if walked.region != region {
                walked.region = None;
            }
        }
    }

    /// What hangs on entry `index` of the table in RAM page `table`.
    pub fn maps(&self, table: u32, index: usize) -> Maps {
        match self.walked.get(table as usize) {
            Some(walked) if walked.age == self.age => match walked.region {
                Some(region) => Maps::Page(region + (index * PAGE_BYTES) as u64),
                None => Maps::More,
            },
            _ => Maps::Nothing,
        }
    }

    /// Nothing is cached any more.
    pub fn forget(&mut self) {
        self.age = self.age.checked_add(1).unwrap_or_else(|| {
            self.walked.clear();
            1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(tables: [u32; 3], levels: usize) -> Mapping {
        Mapping { at: 0, tables, levels, update: None }
    }

    #[test]
    fn an_entry_of_a_last_table_maps_one_page_until_walks_disagree() {
        let mut tables = Tables::new();
        let va = 0xffff_ffc0_1234_5678;
        assert_eq!(tables.maps(3, 0), Maps::Nothing);
        tables.note_walk(&mapping([1, 2, 3], 3), va);
        assert_eq!(tables.maps(3, 0x145), Maps::Page(0xffff_ffc0_1234_5000));
        assert_eq!(tables.maps(3, 0), Maps::Page(0xffff_ffc0_1220_0000));
        assert_eq!([1, 2].map(|table| tables.maps(table, 0)), [Maps::More; 2]);
        assert_eq!(tables.maps(4, 0), Maps::Nothing);
        tables.note_walk(&mapping([1, 2, 3], 3), va + 4096);
        assert_eq!(tables.maps(3, 0x145), Maps::Page(0xffff_ffc0_1234_5000), "the same region");
        tables.note_walk(&mapping([1, 2, 3], 3), va + REGION);
        assert_eq!(tables.maps(3, 0x145), Maps::More, "two regions");
        tables.forget();
        assert_eq!([1, 2, 3].map(|table| tables.maps(table, 0)), [Maps::Nothing; 3]);
        tables.note_walk(&mapping([1, 2, 3], 3), va);
        assert_eq!(tables.maps(3, 0x145), Maps::Page(0xffff_ffc0_1234_5000), "of a new age");
    }

    #[test]
    fn a_table_of_two_levels_or_of_large_pages_maps_more() {
        let mut tables = Tables::new();
        tables.note_walk(&mapping([7, 8, 0], 2), 0);
        assert_eq!(tables.maps(8, 0), Maps::More, "large pages");
        assert_eq!(tables.maps(0, 0), Maps::Nothing, "not among its levels");
        for order in [[[1, 2, 3], [1, 3, 4]], [[1, 3, 4], [1, 2, 3]]] {
            let mut tables = Tables::new();
            for walk in order {
                tables.note_walk(&mapping(walk, 3), 0);
            }
            assert_eq!(tables.maps(3, 0), Maps::More, "last in one walk, not in the other");
        }
        let mut tables = Tables::new();
        tables.note_walk(&mapping([5, 5, 5], 3), 0);
        assert_eq!(tables.maps(5, 0), Maps::More, "a table of itself");
    }

    #[test]
    fn ages_that_run_out_begin_anew() {
        let mut tables = Tables { age: u32::MAX, ..Tables::new() };
        tables.note_walk(&mapping([1, 2, 3], 3), 0);
        tables.forget();
        assert_eq!(tables.maps(3, 0), Maps::Nothing);
        tables.note_walk(&mapping([1, 2, 3], 3), 0);
        assert_eq!(tables.maps(3, 0), Maps::Page(0));
    }
}
